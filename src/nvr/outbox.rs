//! What the core wants done, in order, and what each operation under way is for.

use super::log_book::LogBook;
use super::onboard::Ear;
use super::port::{
    Action, ConnId, DbId, DiskRequest, Event, FileId, HelperId, LogRecord, LookupId, OpId,
    Severity, StewardId,
};
use crate::appliance::protocol;
use crate::db;
use crate::decoder;
use crate::recording::{DirId, StreamId};
use crate::time::Wall90k;
use std::collections::{HashMap, VecDeque};

/// What a disk operation under way is for: where its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Attach,
    /// Creating, writing, syncing or closing a sample file.
    SampleFile {
        file: FileId,
        step: FileStep,
    },
    /// The same of a journal segment.
    Journal {
        file: FileId,
        step: FileStep,
    },
    /// Removing an old journal segment.
    UnlinkSegment,
    /// Removing a sample file of which nothing came.
    UnlinkEmpty,
    /// Removing a sample file that the database no longer needs.
    UnlinkGarbage,
    /// Making the removals of a batch durable.
    SyncGarbage,
    /// Making creations durable as part of a round of syncing.
    SyncDir,
    Space,
    /// Opening a sample file for somebody who reads it.
    OpenForReading(FileId),
    /// Reading a sample for somebody.
    ReadFor(ConnId),
    /// Anything that was under way when its directory was put away: nobody waits for it.
    Abandoned,
}

/// A step in a file's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileStep {
    Create,
    Write { offset: u64, bytes: u32, round: u32 },
    Sync,
    Close,
}

/// A disk operation under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub dir: DirId,
    pub purpose: Purpose,
}

/// The queue of actions, with the identifiers that go with them.
#[derive(Default)]
pub struct Outbox {
    actions: VecDeque<Action>,
    next_id: u64,
    operations: HashMap<OpId, Pending>,
    conns: HashMap<ConnId, Owner>,
    lookups: HashMap<LookupId, Owner>,
    /// What was logged last.
    pub log_book: LogBook,
    /// The time of day, as lines of the log are told with.
    pub wall: Wall90k,
}

/// Whose a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Stream(StreamId),
    Http,
    /// A camera that somebody has a look at.
    Test(OfTest),
    /// Finding cameras and asking them.
    Onboard(OfOnboard),
}

/// What of onboarding a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfOnboard {
    Ear(Ear),
    /// An interview with this device.
    Ask(u32),
    /// The events of the camera in this row.
    Events(i32),
    Scan,
}

/// One stream of a camera that is being tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfTest {
    pub test: u64,
    pub kind: db::StreamKind,
}

impl Outbox {
    fn next(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// A connection id never used before, and whose events it brings.
    pub fn conn(&mut self, owner: Owner) -> ConnId {
        let conn = ConnId(self.next());
        self.conns.insert(conn, owner);
        conn
    }

    /// Whose it is, while it is open.
    pub fn owner(&self, conn: ConnId) -> Option<Owner> {
        self.conns.get(&conn).copied()
    }

    /// Whose connection or lookup an event is about, if it is about one.
    pub fn owner_of(&self, event: &Event<'_>) -> Option<Owner> {
        match event {
            Event::Resolved { lookup, .. } => self.lookup_owner(*lookup),
            Event::Connected { conn }
            | Event::Received { conn, .. }
            | Event::Datagram { conn, .. }
            | Event::Closed { conn, .. } => self.owner(*conn),
            Event::UdpBound { rtp, .. } => self.owner(*rtp),
            _ => None,
        }
    }

    /// It was closed by the other side.
    pub fn forget_conn(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
    }

    /// Closes it; no more events of it will find an owner.
    pub fn close(&mut self, conn: ConnId, flush: bool) {
        self.conns.remove(&conn);
        self.push(Action::Close { conn, flush });
    }

    /// A file id never used before.
    pub fn file(&mut self) -> FileId {
        FileId(self.next())
    }

    pub fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub fn pop(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Starts resolving a host name or address.
    pub fn lookup(&mut self, host: &str, owner: Owner) -> LookupId {
        let lookup = LookupId(self.next());
        self.lookups.insert(lookup, owner);
        self.push(Action::Lookup {
            lookup,
            host: host.to_owned(),
        });
        lookup
    }

    /// Whose lookup is under way.
    pub fn lookup_owner(&self, lookup: LookupId) -> Option<Owner> {
        self.lookups.get(&lookup).copied()
    }

    /// Whose lookup was answered.
    pub fn lookup_done(&mut self, lookup: LookupId) -> Option<Owner> {
        self.lookups.remove(&lookup)
    }

    /// Starts a disk operation.
    pub fn disk(&mut self, dir: DirId, purpose: Purpose, request: DiskRequest) -> OpId {
        let op = OpId(self.next());
        self.operations.insert(op, Pending { dir, purpose });
        self.push(Action::Disk { op, request });
        op
    }

    /// What an operation that has ended was for.
    pub fn disk_done(&mut self, op: OpId) -> Option<Pending> {
        self.operations.remove(&op)
    }

    /// A directory is put away: the answers to what is under way there mean nothing any more, also if
    /// they come when it is in use again. But for those who look: [`Self::abandon_readers`].
    pub fn abandon_disk(&mut self, dir: DirId) {
        let is_read = |p: &Pending| matches!(p.purpose, Purpose::ReadFor(_));
        let all = self.operations.values_mut().filter(|p| p.dir == dir);
        for pending in all.filter(|p| !is_read(p)) {
            pending.purpose = Purpose::Abandoned;
        }
    }

    /// The same of what is read for those who look: who they are, for nothing will come for them.
    pub fn abandon_readers(&mut self, dir: DirId) -> Vec<ConnId> {
        let mut readers = Vec::new();
        for pending in self.operations.values_mut().filter(|p| p.dir == dir) {
            if let Purpose::ReadFor(conn) = pending.purpose {
                pending.purpose = Purpose::Abandoned;
                readers.push(conn);
            }
        }
        readers
    }

    /// Openings and readings for those who look that a directory has not answered, be they still there or
    /// not: what was asked of a disk cannot be taken back.
    pub fn readings(&self, dir: DirId) -> usize {
        let reads = |p: &&Pending| {
            p.dir == dir && matches!(p.purpose, Purpose::OpenForReading(_) | Purpose::ReadFor(_))
        };
        self.operations.values().filter(reads).count()
    }

    /// Whether operations on a directory are under way, abandoned ones too.
    pub fn has_operations(&self, dir: DirId) -> bool {
        self.operations.values().any(|p| p.dir == dir)
    }

    /// Whether the answer to a disk operation is waited for, other than by somebody who reads.
    pub fn awaits_disk(&self) -> bool {
        let matters = |purpose: &Purpose| {
            !matches!(
                purpose,
                Purpose::Abandoned | Purpose::OpenForReading(_) | Purpose::ReadFor(_)
            )
        };
        self.operations.values().any(|p| matters(&p.purpose))
    }

    /// How many disk operations are under way.
    pub fn disk_operations(&self) -> usize {
        self.operations.len()
    }

    /// Starts a database request.
    pub fn db(&mut self, request: db::Request) -> DbId {
        let id = DbId(self.next());
        self.push(Action::Db { id, request });
        id
    }

    /// Starts a request to the helper process.
    pub fn helper(&mut self, request: decoder::Request) -> HelperId {
        let id = HelperId(self.next());
        self.push(Action::Helper { id, request });
        id
    }

    /// Starts a request to the steward.
    pub fn steward(&mut self, request: protocol::Request, bytes: Vec<u8>) -> StewardId {
        let id = StewardId(self.next());
        let request = Box::new(request);
        self.push(Action::Steward { id, request, bytes });
        id
    }

    /// One line for the log that is about no single camera.
    pub fn log(&mut self, severity: Severity, event: &'static str, message: String) {
        self.log_record(LogRecord {
            severity,
            event,
            camera: None,
            stream: None,
            message,
        });
    }

    /// One line for the log.
    pub fn log_record(&mut self, record: LogRecord) {
        self.log_book.add(self.wall, &record);
        self.push(Action::Log(record));
    }

    /// One line for the log about a stream.
    pub fn log_stream(
        &mut self,
        severity: Severity,
        event: &'static str,
        name: &StreamName,
        message: String,
    ) {
        self.log_record(LogRecord {
            severity,
            event,
            camera: Some(name.camera.clone()),
            stream: Some(name.kind.as_str()),
            message,
        });
    }
}

/// What a stream is called in logs and on pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamName {
    pub id: StreamId,
    pub camera: String,
    pub kind: db::StreamKind,
}
