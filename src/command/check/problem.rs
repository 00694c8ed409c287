//! What was found, as it is told and as it is to be mended.

use crate::command::span;
use jiff::tz::TimeZone;
use moonfire_nvr::db::{Finding, Snapshot};
use moonfire_nvr::recording::{Gap, RecordingId, StreamId};
use moonfire_nvr::time::Wall90k;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;

/// Problems that are told one by one; more are counted.
const MAX_TOLD: usize = 1_000;

/// Problems that one run can mend; more need another run.
const MAX_KEPT: usize = 100_000;

/// How a problem is mended.
#[derive(Debug)]
pub enum Mend {
    Nothing,
    /// By the database alone.
    Database(Finding),
    /// The recording's file is gone: its row becomes a gap.
    Lose(RecordingId),
    /// The recording has no index: its row becomes a gap, its file is set aside.
    LoseUnplayable(RecordingId),
    /// The sums of its index are put into the recording's row.
    Recount(RecordingId),
    /// The gap is cut to where nothing was recorded.
    Gap {
        old: Gap,
        new: Vec<Gap>,
    },
    /// The file is cut to its length.
    Cut {
        file: PathBuf,
        len: u64,
    },
    /// A file that belongs to no recording goes to a folder for such.
    SetAside {
        dir: PathBuf,
        name: String,
    },
}

/// Tells a line on standard output. That nobody reads it is no reason to stop.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// All that was found.
pub struct Problems {
    kept: Vec<(String, Mend)>,
    count: usize,
    pub zone: TimeZone,
}

impl Problems {
    pub fn new(zone: TimeZone) -> Problems {
        Problems {
            kept: Vec::new(),
            count: 0,
            zone,
        }
    }

    /// Tells a problem.
    pub fn found(&mut self, what: String, mend: Mend) {
        self.count += 1;
        if self.count <= MAX_TOLD {
            say(&what);
        } else if self.count == MAX_TOLD + 1 {
            say("... more are only counted");
        }
        if self.kept.len() < MAX_KEPT {
            self.kept.push((what, mend));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn summary(&self) -> String {
        let mendable = |(_, m): &&(String, Mend)| !matches!(m, Mend::Nothing);
        let mendable = self.kept.iter().filter(mendable).count();
        match (self.count, mendable) {
            (1, 1) => "1 problem, which `moonfire-nvr check --repair` can mend".into(),
            (1, _) => "1 problem, which cannot be mended".into(),
            (n, 0) => format!("{n} problems, of which none can be mended"),
            (n, m) => format!("{n} problems; `moonfire-nvr check --repair` can mend {m} of them"),
        }
    }

    /// What there is to mend, and how many problems had no room in the list.
    pub fn into_parts(self) -> (Vec<(String, Mend)>, usize) {
        let more = self.count - self.kept.len();
        (self.kept, more)
    }

    /// A wall time for people.
    pub fn told(&self, t: Wall90k) -> String {
        span::told(t, &self.zone)
    }
}

/// What people call the streams.
pub struct Names(HashMap<StreamId, String>);

impl Names {
    pub fn new(snapshot: &Snapshot) -> Names {
        let streams = snapshot.cameras.iter().flat_map(|c| {
            let name = |kind: &str| format!("{} {kind}", c.name);
            c.streams.iter().map(move |s| (s.id, name(s.kind.as_str())))
        });
        Names(streams.collect())
    }

    pub fn stream(&self, id: StreamId) -> &str {
        self.0.get(&id).map_or("a stream that is not known", |s| s)
    }

    /// `driveway main, recording 1/17`.
    pub fn recording(&self, id: RecordingId) -> String {
        format!("{}, recording {id}", self.stream(id.stream))
    }
}
