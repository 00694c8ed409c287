//! What the database holds, read for the checkers.

use crate::db::{Database, Error};
use crate::recording::{DirId, Gap, Recording, RecordingId, StreamId};
use crate::sim::scenario::Scenario;
use crate::sim::witness::StreamKey;
use crate::time::Wall90k;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Recordings that are read at a time.
const PAGE: u32 = 500;

/// All rows.
#[derive(Debug, Default)]
pub struct Rows {
    pub dirs: BTreeMap<DirId, PathBuf>,
    pub streams: BTreeMap<StreamKey, (StreamId, StreamRows)>,
    pub garbage: BTreeSet<RecordingId>,
}

/// One stream's recordings and gaps.
#[derive(Debug, Default)]
pub struct StreamRows {
    /// In order of sequence number, each with the directory that it is in.
    pub recordings: Vec<(DirId, Recording)>,
    /// The recordings in the order in which the database took them.
    pub taken: Vec<RecordingId>,
    /// In order of start.
    pub gaps: Vec<Gap>,
}

impl Rows {
    /// Reads them all. Before the recorder's first start there are none.
    pub fn read(database: &Database, scenario: &Scenario) -> Result<Rows, Error> {
        let snapshot = match database.snapshot() {
            Ok(snapshot) => snapshot,
            Err(Error::NotStarted) => return Ok(Rows::default()),
            Err(e) => return Err(e),
        };
        let mut rows = Rows {
            dirs: snapshot.dirs.into_iter().map(|d| (d.id, d.path)).collect(),
            streams: BTreeMap::new(),
            garbage: snapshot.garbage.into_iter().map(|g| g.id).collect(),
        };
        let mut recordings: BTreeMap<StreamId, Vec<(DirId, Recording)>> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = database.recordings_after(after, PAGE)?;
            let Some((_, last)) = page.last() else {
                break;
            };
            after = Some(last.id);
            recordings.entry(last.id.stream).or_default().extend(page);
        }
        for camera in snapshot.cameras {
            let index = scenario.cameras.iter().position(|c| c.name == camera.name);
            for stream in camera.streams {
                if let Some(index) = index {
                    let ever = Wall90k(i64::MIN / 4)..Wall90k(i64::MAX / 4);
                    let recordings = recordings.remove(&stream.id).unwrap_or_default();
                    let gaps = database.gaps(stream.id, &ever)?;
                    let mut taken = Vec::new();
                    for (_, r) in &recordings {
                        taken.push((database.order_of(r.id)?, r.id));
                    }
                    taken.sort();
                    let all = StreamRows {
                        recordings,
                        taken: taken.into_iter().map(|(_, id)| id).collect(),
                        gaps,
                    };
                    rows.streams.insert((index, stream.kind), (stream.id, all));
                }
            }
        }
        Ok(rows)
    }
}
