//! A file being written: created, written in chunks, synced in rounds, closed.
//!
//! It keeps what could not be handed to the disk yet (its creation is not answered, the disk is full)
//! and counts what is under way. Who may add to it bounds how much that is.

use super::outbox::{FileStep, Outbox, Purpose};
use super::port::{DiskRequest, FileId};
use super::recorder::LARGEST_CHUNK_BYTES;
use crate::recording::DirId;
use std::collections::VecDeque;

/// Writes to one file that the disk is asked for at a time. What comes while they are under way is
/// gathered: who watches has frames handed over one by one, and a disk that hangs would be asked for
/// thousands, each with a buffer of its own.
const MAX_UNDER_WAY: u32 = 8;

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

impl Waiting {
    /// It can be written together with so many bytes at `offset`. They become durable with it, in an
    /// earlier round than they might have.
    fn takes(&self, offset: u64, bytes: usize) -> bool {
        let follows = self.offset + self.data.len() as u64 == offset;
        follows && self.data.len() + bytes <= LARGEST_CHUNK_BYTES
    }
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

    /// Appends a chunk. `round` is the round of syncing that it belongs to. Where it was made part of
    /// one that still waits, its buffer comes back, empty.
    pub fn append(
        &mut self,
        out: &mut Outbox,
        data: Vec<u8>,
        round: u32,
        hold: bool,
    ) -> Option<Vec<u8>> {
        let offset = self.len;
        self.len += data.len() as u64;
        self.backlog_bytes += data.len() as u64;
        let last = self.waiting.back_mut();
        if let Some(last) = last.filter(|w| w.takes(offset, data.len())) {
            let mut data = data;
            last.data.append(&mut data);
            return Some(data);
        }
        self.waiting.push_back(Waiting {
            offset,
            data,
            round,
        });
        if !hold {
            self.submit(out);
        }
        None
    }

    /// Hands to the disk what waits: after the creation, and after space was made.
    pub fn submit(&mut self, out: &mut Outbox) {
        match self.creation {
            Creation::Needed => self.ask_creation(out),
            Creation::UnderWay => {}
            Creation::Done => {
                while self.writes_under_way < MAX_UNDER_WAY {
                    let Some(w) = self.waiting.pop_front() else {
                        return;
                    };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvr::port::Action;

    /// What the disk was asked to write: offsets and bytes.
    fn written(out: &mut Outbox) -> Vec<(u64, Vec<u8>)> {
        let mut writes = Vec::new();
        while let Some(action) = out.pop() {
            if let Action::Disk {
                request: DiskRequest::Write { offset, data, .. },
                ..
            } = action
            {
                writes.push((offset, data));
            }
        }
        writes
    }

    #[test]
    fn a_disk_that_hangs_is_asked_for_few_writes() {
        let mut out = Outbox::default();
        let name = "0000000100000000".to_owned();
        let mut file = OpenFile::create(&mut out, DirId(1), Kind::Sample, name);
        file.created(&mut out, false);
        let chunk = |n: u32| n.to_be_bytes().repeat(100);
        let mut gathered = 0;
        for n in 0..2_000 {
            let spare = file.append(&mut out, chunk(n), 1, false);
            gathered += u32::from(spare.is_some_and(|s| s.is_empty()));
        }
        let mut writes = written(&mut out);
        assert_eq!(writes.len(), MAX_UNDER_WAY as usize);
        assert_eq!(file.backlog_bytes(), 2_000 * 400);
        // As the disk answers, the rest goes, in order and whole.
        let mut done = 0;
        while let Some((_, data)) = writes.get(done) {
            file.written(data.len() as u32);
            file.submit(&mut out);
            writes.extend(written(&mut out));
            done += 1;
        }
        assert_eq!(done as u32 + gathered, 2_000);
        assert!(file.is_written() && done < 20, "{done}");
        let mut at = 0;
        for (offset, data) in &writes {
            assert_eq!(*offset, at);
            assert!(data.len() <= LARGEST_CHUNK_BYTES);
            at += data.len() as u64;
        }
        let all: Vec<u8> = writes.into_iter().flat_map(|(_, data)| data).collect();
        assert_eq!(all, (0..2_000).flat_map(chunk).collect::<Vec<u8>>());
    }
}
