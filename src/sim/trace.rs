//! What happened in a run: always as a running hash, which two runs of one seed must agree in, and as
//! the last lines or all of them where somebody wants to read.

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
