//! What is watched while a world runs: rules that hold at every moment.

use crate::nvr::ACCESS;
use crate::nvr::port::{LogRecord, Severity};
use crate::sim::scenario::PASSWORD;
use crate::time::Monotonic;
use std::collections::VecDeque;
use std::time::Duration;

/// The most log lines of Info and above in any minute, for each camera and disk, and besides.
pub const LOG_LINES_A_MINUTE: usize = 24;

/// The most actions that one event may lead to.
pub const MAX_ACTIONS_AN_EVENT: usize = 4_096;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The checker's name.
    pub rule: &'static str,
    pub what: String,
}

impl Broken {
    pub fn new(rule: &'static str, what: impl Into<String>) -> Broken {
        Broken {
            rule,
            what: what.into(),
        }
    }
}

/// Watches the core's log.
#[derive(Debug, Default)]
pub struct LogWatch {
    recent: VecDeque<Monotonic>,
    /// How many parts of the world have something to tell of.
    parts: usize,
    pub lines: u64,
}

impl LogWatch {
    /// For a world of so many cameras, disks and devices.
    pub fn new(parts: usize) -> LogWatch {
        LogWatch {
            parts,
            ..LogWatch::default()
        }
    }

    /// Takes in a line.
    pub fn line(&mut self, now: Monotonic, record: &LogRecord) -> Result<(), Broken> {
        if record.message.contains(PASSWORD) {
            return Err(Broken::new("no-password-in-logs", record.message.clone()));
        }
        // One for each request that is worth a line: as many as there are requests.
        if record.severity > Severity::Info || record.event == ACCESS {
            return Ok(());
        }
        self.lines += 1;
        self.recent.push_back(now);
        while self
            .recent
            .front()
            .is_some_and(|t| now.since(*t) > Duration::from_secs(60))
        {
            self.recent.pop_front();
        }
        let most = LOG_LINES_A_MINUTE * (self.parts + 1);
        if self.recent.len() > most {
            let told = &record.message;
            let what = format!("{} lines in a minute, the last: {told}", self.recent.len());
            return Err(Broken::new("no-log-flood", what));
        }
        Ok(())
    }
}
