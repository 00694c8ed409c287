//! What happened in a run: always as a running hash, which two runs of one seed must agree in, and as
//! the last lines or all of them where somebody wants to read.

use crate::db;
use crate::nvr::port::{Action, DiskError, DiskReply};
use crate::recording::Recording;
use crate::time::Monotonic;
use std::collections::VecDeque;
use xxhash_rust::xxh3::Xxh3;

/// How many of the last lines are kept for a failure's report.
const KEPT_LINES: usize = 60;

/// A run's trace.
pub struct Trace {
    hash: Xxh3,
    lines: VecDeque<String>,
    /// Lines are kept; without, only the hash is.
    pub keeps: bool,
    /// Each line is printed as it comes, too.
    pub prints: bool,
}

impl Trace {
    pub fn new(keeps: bool, prints: bool) -> Trace {
        Trace {
            hash: Xxh3::new(),
            lines: VecDeque::new(),
            keeps,
            prints,
        }
    }

    /// Notes that something happened. `number` should tell it from others of its kind.
    pub fn note(&mut self, at: Monotonic, what: &str, number: u64, line: impl FnOnce() -> String) {
        self.hash.update(&at.0.to_le_bytes());
        self.hash.update(what.as_bytes());
        self.hash.update(&number.to_le_bytes());
        if !self.keeps && !self.prints {
            return;
        }
        let secs = at.0 as f64 / 1e9;
        let line = format!("{secs:>12.6} {what:<10} {}", line());
        if self.prints {
            println!("{line}");
        }
        if self.keeps {
            if self.lines.len() == KEPT_LINES {
                self.lines.pop_front();
            }
            self.lines.push_back(line);
        }
    }

    /// The hash of all that was noted so far.
    pub fn hash(&self) -> u64 {
        self.hash.digest()
    }

    /// The last lines.
    pub fn tail(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}

/// A result in a few words.
pub fn told<T: std::fmt::Debug, E: std::fmt::Display>(result: &Result<T, E>) -> String {
    match result {
        Ok(reply) => format!("{reply:?}").chars().take(300).collect(),
        Err(e) => format!("failed: {e}"),
    }
}

/// The answer to a disk operation, without bytes.
pub fn brief_reply(result: &Result<DiskReply, DiskError>) -> String {
    match result {
        Ok(DiskReply::Attached(attached)) => {
            let recovered: Vec<String> = attached.recovered.iter().map(brief_recording).collect();
            format!("attached, recovered: {}", recovered.join("; "))
        }
        other => told(other),
    }
}

/// An action without its bytes.
pub fn brief(action: &Action) -> String {
    let text = match action {
        Action::Disk { op, request } => format!("{op:?} {}", crate::sim::disk::brief(request)),
        Action::Db {
            id,
            request: db::Request::Flush(flush),
        } => return format!("{id:?} {}", brief_flush(flush)),
        other => format!("{other:?}"),
    };
    text.chars().take(400).collect()
}

/// A commit without indexes and hashes.
fn brief_flush(flush: &db::Flush) -> String {
    let recordings: Vec<String> = flush
        .recordings
        .iter()
        .map(|(_, r)| brief_recording(r))
        .collect();
    let gaps: Vec<String> = flush
        .gaps
        .iter()
        .map(|g| {
            let (stream, cause, length) = (g.stream.0, g.cause.as_str(), g.end - g.start);
            format!(
                "{stream}: {} {length} {cause} {}",
                g.start,
                mark(g.clock_untrusted)
            )
        })
        .collect();
    format!(
        "flush at {}: recordings [{}], gaps [{}], restamp {:?}, delete {:?}, unlinked {}{}",
        flush.wall,
        recordings.join("; "),
        gaps.join("; "),
        flush.restamp,
        flush.delete,
        flush.unlinked.len(),
        if flush.clean_shutdown {
            ", the last"
        } else {
            ""
        }
    )
}

fn brief_recording(r: &Recording) -> String {
    let trust = mark(r.clock_untrusted);
    format!(
        "{} of {:?} {} {} {trust}",
        r.id, r.open, r.start, r.wall_duration
    )
}

fn mark(untrusted: bool) -> &'static str {
    if untrusted { "untrusted" } else { "" }
}
