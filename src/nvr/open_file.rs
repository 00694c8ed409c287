//! A file being written: created, written in chunks, synced in rounds, closed.
//!
//! It keeps what could not be handed to the disk yet (its creation is not answered, the disk is full)
//! and counts what is under way. Who may add to it bounds how much that is.

use super::outbox::{FileStep, Outbox, Purpose};
use super::port::{DiskRequest, FileId};
use crate::recording::DirId;
use std::collections::VecDeque;

/// Whether the file is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Creation {
    /// The disk was full; to be asked for again.
    Needed,
    UnderWay,
    Done,
}

/// A chunk that waits to be written.
struct Waiting {
    offset: u64,
    data: Vec<u8>,
    round: u32,
}

/// Which kind of file, for the answers' way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sample,
    Journal,
}

/// See the module.
pub struct OpenFile {
    id: FileId,
    dir: DirId,
    name: String,
    kind: Kind,
    creation: Creation,
    waiting: VecDeque<Waiting>,
    /// Bytes handed to this file so far: where the next chunk goes.
    len: u64,
    writes_under_way: u32,
    backlog_bytes: u64,
    unsynced: bool,
    /// A chunk is written out of its turn, because there was no space for it before.
    disordered: bool,
}

impl OpenFile {
    /// Creates the file.
    pub fn create(out: &mut Outbox, dir: DirId, kind: Kind, name: String) -> OpenFile {
        let id = out.file();
        let mut file = OpenFile {
            id,
            dir,
            name,
            kind,
            creation: Creation::Needed,
            waiting: VecDeque::with_capacity(1),
            len: 0,
            writes_under_way: 0,
            backlog_bytes: 0,
            unsynced: true,
            disordered: false,
        };
        file.ask_creation(out);
        file
    }

    pub fn id(&self) -> FileId {
        self.id
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes that were handed over.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that were handed over and are not yet known to be written.
    pub fn backlog_bytes(&self) -> u64 {
        self.backlog_bytes
    }

    /// Everything handed over is written (though perhaps not durable).
    pub fn is_written(&self) -> bool {
        self.creation == Creation::Done && self.backlog_bytes == 0 && self.writes_under_way == 0
    }

    /// So many bytes from its beginning can be read by now; all that can be is not always told.
    pub fn readable_bytes(&self) -> u64 {
        match self.disordered {
            true => 0,
            false => self.len - self.backlog_bytes,
        }
    }

    /// The file is there.
    pub fn is_created(&self) -> bool {
        self.creation == Creation::Done
    }

    /// Something was written since the last sync.
    pub fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    fn purpose(&self, step: FileStep) -> Purpose {
        match self.kind {
            Kind::Sample => Purpose::SampleFile {
                file: self.id,
                step,
            },
            Kind::Journal => Purpose::Journal {
                file: self.id,
                step,
            },
        }
    }

    fn ask_creation(&mut self, out: &mut Outbox) {
        self.creation = Creation::UnderWay;
        let request = DiskRequest::Create {
            file: self.id,
            dir: self.dir,
            name: self.name.clone(),
        };
        out.disk(self.dir, self.purpose(FileStep::Create), request);
    }

    /// Appends a chunk. `round` is the round of syncing that it belongs to.
    pub fn append(&mut self, out: &mut Outbox, data: Vec<u8>, round: u32, hold: bool) {
        let offset = self.len;
        self.len += data.len() as u64;
        self.backlog_bytes += data.len() as u64;
        self.waiting.push_back(Waiting {
            offset,
            data,
            round,
        });
        if !hold {
            self.submit(out);
        }
    }

    /// Hands to the disk what waits: after the creation, and after space was made.
    pub fn submit(&mut self, out: &mut Outbox) {
        match self.creation {
            Creation::Needed => self.ask_creation(out),
            Creation::UnderWay => {}
            Creation::Done => {
                while let Some(w) = self.waiting.pop_front() {
                    self.writes_under_way += 1;
                    let step = FileStep::Write {
                        offset: w.offset,
                        bytes: w.data.len() as u32,
                        round: w.round,
                    };
                    let request = DiskRequest::Write {
                        file: self.id,
                        offset: w.offset,
                        data: w.data,
                    };
                    out.disk(self.dir, self.purpose(step), request);
                }
            }
        }
    }

    /// Its creation was answered.
    pub fn created(&mut self, out: &mut Outbox, hold: bool) {
        self.creation = Creation::Done;
        if !hold {
            self.submit(out);
        }
    }

    /// There was no space to create it.
    pub fn not_created(&mut self) {
        self.creation = Creation::Needed;
    }

    /// A chunk is written.
    pub fn written(&mut self, bytes: u32) {
        self.writes_under_way -= 1;
        self.backlog_bytes -= u64::from(bytes);
        self.unsynced = true;
        self.disordered &= self.backlog_bytes > 0;
    }

    /// There was no space for a chunk: it waits until there is.
    pub fn not_written(&mut self, offset: u64, data: Vec<u8>, round: u32) {
        self.writes_under_way -= 1;
        self.disordered = true;
        self.waiting.push_back(Waiting {
            offset,
            data,
            round,
        });
    }

    /// Makes what is written durable.
    pub fn sync(&mut self, out: &mut Outbox) {
        self.unsynced = false;
        let request = DiskRequest::Sync { file: self.id };
        out.disk(self.dir, self.purpose(FileStep::Sync), request);
    }

    /// Closes it. What still waits is given up; the buffers come back.
    pub fn close(self, out: &mut Outbox) -> impl Iterator<Item = Vec<u8>> + use<> {
        if self.creation != Creation::Needed {
            let request = DiskRequest::Close { file: self.id };
            out.disk(self.dir, self.purpose(FileStep::Close), request);
        }
        self.waiting.into_iter().map(|w| w.data)
    }
}
