//! Sample files that are open for reading. What is read often, a day that somebody scrubs through,
//! is opened once.

use crate::nvr::outbox::{Outbox, Purpose};
use crate::nvr::port::{ConnId, DiskRequest, FileId};
use crate::recording::{DirId, RecordingId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Files that are open at a time, where the system gives so many descriptors: a day of a stream and some more,
/// as scrubbing through a day goes all over it. The one that was not asked for for longest is
/// closed for a new one; what of it is on its way to somebody is still sent.
pub const MAX_OPEN: usize = 1536;

/// The least, however few descriptors there are.
const MIN_OPEN: usize = 16;

/// Files that are kept open of a process that may have so many descriptors.
pub fn files_for_reading(descriptors: usize) -> usize {
    (descriptors / 8 * 3).clamp(MIN_OPEN, MAX_OPEN)
}

/// What those who look may have asked of a disk that is not answered. One that hangs would be asked for more
/// each time somebody comes, tires of waiting and comes again.
const MAX_READINGS: usize = 128;

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

/// What there is of a file that somebody wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Open(FileId),
    /// It is being opened: who wants it will be told.
    Opening,
    /// Its directory cannot be used now.
    Away,
    /// Its disk has more to answer already than it should: it hangs.
    Hangs,
}

/// See the module.
pub struct SampleFiles {
    /// Directories that can be used.
    here: BTreeSet<DirId>,
    entries: HashMap<RecordingId, Entry>,
    by_file: HashMap<FileId, RecordingId>,
    /// Each entry's last use.
    by_use: BTreeMap<u64, RecordingId>,
    uses: u64,
    most: usize,
}

impl Default for SampleFiles {
    fn default() -> SampleFiles {
        SampleFiles {
            here: BTreeSet::new(),
            entries: HashMap::new(),
            by_file: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            most: MAX_OPEN,
        }
    }
}

impl SampleFiles {
    /// Bounds the files to three of eight descriptors that the process may have: connections need
    /// the others.
    pub fn set_descriptors(&mut self, limit: usize) {
        self.most = files_for_reading(limit);
    }

    /// A directory can be used, until [`Self::forget_dir`].
    pub fn dir_is_here(&mut self, dir: DirId) {
        self.here.insert(dir);
    }

    /// Whether it can be.
    pub fn has_dir(&self, dir: DirId) -> bool {
        self.here.contains(&dir)
    }

    /// The file of a recording. If it is being opened, `conn` is told when it is ([`Self::opened`]).
    pub fn get(&mut self, out: &mut Outbox, dir: DirId, id: RecordingId, conn: ConnId) -> Found {
        if !self.has_dir(dir) {
            return Found::Away;
        }
        self.uses += 1;
        if let Some(entry) = self.entries.get_mut(&id).filter(|e| e.dir == dir) {
            self.by_use.remove(&entry.last_use);
            self.by_use.insert(self.uses, id);
            entry.last_use = self.uses;
            return match &mut entry.state {
                State::Open => Found::Open(entry.file),
                State::Opening(waiting) => {
                    waiting.push(conn);
                    Found::Opening
                }
            };
        }
        if Self::hangs(out, dir) {
            return Found::Hangs;
        }
        let mut waiting = Vec::new();
        // It has come to another directory.
        if let Some(old) = self.entries.remove(&id) {
            self.close(out, &old);
            if let State::Opening(conns) = old.state {
                waiting = conns;
            }
        }
        waiting.push(conn);
        self.make_room(out);
        let file = out.file();
        let request = DiskRequest::Open {
            file,
            dir,
            name: id.file_name(),
        };
        out.disk(dir, Purpose::OpenForReading(file), request);
        self.by_file.insert(file, id);
        self.by_use.insert(self.uses, id);
        let entry = Entry {
            file,
            dir,
            state: State::Opening(waiting),
            last_use: self.uses,
        };
        self.entries.insert(id, entry);
        Found::Opening
    }

    /// A disk that is read from has so much to answer that no more is asked of it.
    pub fn hangs(out: &Outbox, dir: DirId) -> bool {
        out.readings(dir) >= MAX_READINGS
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
            self.by_use.remove(&entry.last_use);
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
        self.here.remove(&dir);
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
        if self.entries.len() < self.most {
            return;
        }
        let is_open = |id: &&RecordingId| {
            let entry = self.entries.get(id);
            entry.is_some_and(|e| matches!(e.state, State::Open))
        };
        let oldest = self.by_use.values().find(is_open).copied();
        if let Some(id) = oldest {
            self.forget(out, id);
        }
    }

    fn close(&mut self, out: &mut Outbox, entry: &Entry) {
        self.by_file.remove(&entry.file);
        self.by_use.remove(&entry.last_use);
        let request = DiskRequest::Close { file: entry.file };
        out.disk(entry.dir, Purpose::Abandoned, request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvr::port::Action;
    use crate::recording::StreamId;

    const DIR: DirId = DirId(1);
    const CONN: ConnId = ConnId(1);

    fn id(sequence: u32) -> RecordingId {
        RecordingId {
            stream: StreamId(1),
            sequence,
        }
    }

    /// Files opened and closed by what was asked for.
    fn asked(out: &mut Outbox) -> (usize, Vec<FileId>) {
        let (mut opened, mut closed) = (0, Vec::new());
        while let Some(action) = out.pop() {
            match action {
                Action::Disk {
                    request: DiskRequest::Open { .. },
                    ..
                } => opened += 1,
                Action::Disk {
                    request: DiskRequest::Close { file },
                    ..
                } => closed.push(file),
                _ => {}
            }
        }
        (opened, closed)
    }

    fn open(files: &mut SampleFiles, out: &mut Outbox, sequence: u32) -> FileId {
        files.dir_is_here(DIR);
        assert_eq!(files.get(out, DIR, id(sequence), CONN), Found::Opening);
        let file = *files
            .by_file
            .iter()
            .find(|(_, i)| **i == id(sequence))
            .unwrap()
            .0;
        assert_eq!(files.opened(file, true), [CONN]);
        file
    }

    #[test]
    fn the_file_that_was_not_used_for_longest_makes_room() {
        let (mut files, mut out) = (SampleFiles::default(), Outbox::default());
        files.set_descriptors(0);
        let open: Vec<FileId> = (0..MIN_OPEN as u32)
            .map(|n| open(&mut files, &mut out, n))
            .collect();
        assert_eq!(asked(&mut out), (MIN_OPEN, Vec::new()));
        // The first one is used again, so the second one goes; then the third, which fails to open anew.
        let found = files.get(&mut out, DIR, id(0), CONN);
        assert_eq!(found, Found::Open(open[0]));
        assert_eq!(files.get(&mut out, DIR, id(100), CONN), Found::Opening);
        assert_eq!(asked(&mut out), (1, vec![open[1]]));
        assert_eq!(files.get(&mut out, DIR, id(101), CONN), Found::Opening);
        assert_eq!(asked(&mut out), (1, vec![open[2]]));
        let file = *files
            .by_file
            .iter()
            .find(|(_, i)| **i == id(101))
            .unwrap()
            .0;
        assert_eq!(files.opened(file, false), [CONN]);
        let counts = [files.entries.len(), files.by_file.len(), files.by_use.len()];
        assert_eq!(counts, [MIN_OPEN - 1; 3]);
    }

    #[test]
    fn who_waits_is_told_though_the_recording_changes_its_directory() {
        let (mut files, mut out) = (SampleFiles::default(), Outbox::default());
        files.dir_is_here(DIR);
        files.dir_is_here(DirId(2));
        assert_eq!(files.get(&mut out, DIR, id(1), CONN), Found::Opening);
        let found = files.get(&mut out, DirId(2), id(1), ConnId(2));
        assert_eq!(found, Found::Opening);
        assert_eq!(asked(&mut out).1.len(), 1);
        let file = files.entries[&id(1)].file;
        assert_eq!(files.opened(file, true), [CONN, ConnId(2)]);
        assert_eq!(files.by_use.len(), 1);
    }

    #[test]
    fn nothing_of_a_directory_that_is_away_is_opened() {
        let (mut files, mut out) = (SampleFiles::default(), Outbox::default());
        assert_eq!(files.get(&mut out, DIR, id(1), CONN), Found::Away);
        open(&mut files, &mut out, 1);
        assert_eq!(files.forget_dir(&mut out, DIR), []);
        assert_eq!(files.get(&mut out, DIR, id(1), CONN), Found::Away);
        assert_eq!(asked(&mut out).0, 1);
    }
}
