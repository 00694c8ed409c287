//! The database of a simulated board: the real one, in memory, behind latency and faults.
//!
//! Answered means durable. Of a request that is under way when the board ends, chance says whether it
//! happened; those behind it did not.

use crate::db::{self, Database};
use crate::nvr::port::DbId;
use crate::sim::random::Random;
use crate::time::Monotonic;
use std::collections::VecDeque;

/// More requests waiting than this mean that the core has no bound of its own.
pub const MAX_WAITING: usize = 32;

/// The database and what is asked of it.
pub struct Store {
    database: Database,
    waiting: VecDeque<(DbId, db::Request)>,
    /// When the first of `waiting` is answered.
    due: Option<Monotonic>,
    /// The usual time of a request, in milliseconds: from, to.
    pub latency_ms: (u64, u64),
    /// So many of the coming requests fail, and nothing of them happens.
    pub fails_next: u32,
    random: Random,
    violations: Vec<String>,
    last_id: Option<DbId>,
    refused_start: bool,
}

/// The usual time of a request, in milliseconds.
pub const USUAL_LATENCY_MS: (u64, u64) = (1, 30);

impl Store {
    pub fn new(seed: u64, database: Database) -> Store {
        Store {
            database,
            waiting: VecDeque::new(),
            due: None,
            latency_ms: USUAL_LATENCY_MS,
            fails_next: 0,
            random: Random::new(seed, "database"),
            violations: Vec::new(),
            last_id: None,
            refused_start: false,
        }
    }

    /// The database itself, for the checkers.
    pub fn database(&mut self) -> &mut Database {
        &mut self.database
    }

    /// Takes what the core did that it never may.
    pub fn violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.violations)
    }

    /// Commits not yet answered.
    pub fn unfinished(&self) -> usize {
        let is_flush = |(_, r): &&(DbId, db::Request)| matches!(r, db::Request::Flush(_));
        self.waiting.iter().filter(is_flush).count()
    }

    /// A change of the configuration is still to be answered.
    pub fn awaits_configuration(&self) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|(_, r)| matches!(r, db::Request::Configure { .. }))
    }

    /// The last request that failed was the recorder's first.
    pub fn refused_start(&self) -> bool {
        self.refused_start
    }

    /// When the next request is answered.
    pub fn next_wake(&self) -> Option<Monotonic> {
        self.due
    }

    /// Takes in a request.
    pub fn submit(&mut self, now: Monotonic, id: DbId, request: db::Request) {
        if self.last_id.is_some_and(|last| last >= id) {
            self.violations
                .push(format!("{id:?} comes after {:?}", self.last_id));
        }
        self.last_id = Some(id);
        self.waiting.push_back((id, request));
        if self.waiting.len() > MAX_WAITING {
            self.violations
                .push(format!("{} database requests at once", self.waiting.len()));
        }
        if self.due.is_none() {
            self.schedule(now);
        }
    }

    fn schedule(&mut self, now: Monotonic) {
        let (from, to) = self.latency_ms;
        self.due = (!self.waiting.is_empty()).then(|| now + self.random.millis(from..=to));
    }

    /// Answers the next request if it is due.
    pub fn poll(&mut self, now: Monotonic) -> Option<(DbId, Result<db::Reply, db::Error>)> {
        if self.due? > now {
            return None;
        }
        let (id, request) = self.waiting.pop_front()?;
        self.schedule(now);
        let is_start = matches!(request, db::Request::Start { .. });
        if self.fails_next > 0 {
            self.fails_next -= 1;
            self.refused_start = is_start;
            return Some((id, Err(db::Error::Full)));
        }
        Some((id, self.database.handle(request)))
    }

    /// The board or the program ends. What is under way may have happened or not.
    pub fn end(&mut self) {
        let first = self.waiting.pop_front();
        if let (Some((_, request)), true) = (first, self.random.percent(50)) {
            let _ = self.database.handle(request);
        }
        self.waiting.clear();
        self.due = None;
        self.last_id = None;
        self.refused_start = false;
    }
}
