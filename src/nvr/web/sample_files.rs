//! Sample files that are open for reading. What is read often, a day that somebody scrubs through,
//! is opened once.

use crate::nvr::outbox::{Outbox, Purpose};
use crate::nvr::port::{ConnId, DiskRequest, FileId};
use crate::recording::{DirId, RecordingId};
use std::collections::HashMap;

/// Files that are open at a time. The one that was not asked for for longest is closed for a new one;
/// what of it is on its way to somebody is still sent.
pub const MAX_OPEN: usize = 64;

/// A file's way.
enum State {
    /// These wait for it.
    Opening(Vec<ConnId>),
    Open,
}

struct Entry {
    file: FileId,
    dir: DirId,
    state: State,
    last_use: u64,
}

/// See the module.
#[derive(Default)]
pub struct SampleFiles {
    entries: HashMap<RecordingId, Entry>,
    by_file: HashMap<FileId, RecordingId>,
    uses: u64,
}

impl SampleFiles {
    /// The open file of a recording; `None` if `conn` will be told when it is
    /// ([`Self::opened`]).
    pub fn get(
        &mut self,
        out: &mut Outbox,
        dir: DirId,
        id: RecordingId,
        conn: ConnId,
    ) -> Option<FileId> {
        self.uses += 1;
        if let Some(entry) = self.entries.get_mut(&id).filter(|e| e.dir == dir) {
            entry.last_use = self.uses;
            return match &mut entry.state {
                State::Open => Some(entry.file),
                State::Opening(waiting) => {
                    waiting.push(conn);
                    None
                }
            };
        }
        self.make_room(out);
        let file = out.file();
        let request = DiskRequest::Open {
            file,
            dir,
            name: id.file_name(),
        };
        out.disk(dir, Purpose::OpenForReading(file), request);
        self.by_file.insert(file, id);
        let entry = Entry {
            file,
            dir,
            state: State::Opening(vec![conn]),
            last_use: self.uses,
        };
        self.entries.insert(id, entry);
        None
    }

    /// An opening was answered: who waited for it.
    pub fn opened(&mut self, file: FileId, ok: bool) -> Vec<ConnId> {
        let Some(&id) = self.by_file.get(&file) else {
            return Vec::new();
        };
        let Some(entry) = self.entries.get_mut(&id) else {
            return Vec::new();
        };
        let State::Opening(waiting) = std::mem::replace(&mut entry.state, State::Open) else {
            return Vec::new();
        };
        if !ok {
            self.by_file.remove(&file);
            self.entries.remove(&id);
        }
        waiting
    }

    /// A recording is given up, or no longer to be shown.
    pub fn forget(&mut self, out: &mut Outbox, id: RecordingId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.close(out, &entry);
        }
    }

    /// A directory is lost or put away. Who waited for one of its files.
    pub fn forget_dir(&mut self, out: &mut Outbox, dir: DirId) -> Vec<ConnId> {
        let lost: Vec<RecordingId> = self
            .entries
            .iter()
            .filter(|(_, e)| e.dir == dir)
            .map(|(id, _)| *id)
            .collect();
        let mut waited = Vec::new();
        for id in lost {
            if let Some(entry) = self.entries.remove(&id) {
                self.close(out, &entry);
                if let State::Opening(waiting) = entry.state {
                    waited.extend(waiting);
                }
            }
        }
        waited
    }

    fn make_room(&mut self, out: &mut Outbox) {
        if self.entries.len() < MAX_OPEN {
            return;
        }
        let open = self
            .entries
            .iter()
            .filter(|(_, e)| matches!(e.state, State::Open));
        let oldest = open.min_by_key(|(_, e)| e.last_use).map(|(id, _)| *id);
        if let Some(id) = oldest {
            self.forget(out, id);
        }
    }

    fn close(&mut self, out: &mut Outbox, entry: &Entry) {
        self.by_file.remove(&entry.file);
        let request = DiskRequest::Close { file: entry.file };
        out.disk(entry.dir, Purpose::Abandoned, request);
    }
}
