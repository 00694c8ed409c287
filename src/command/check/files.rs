//! The sample directories: the right disk, each recording's file, its length and bytes, and what else
//! lies there.

use super::problem::{Mend, Names, Problems, say};
use super::rows::{Expected, Rows};
use crate::command::progress::Progress;
use moonfire_nvr::db::{self, Database, Dir, Snapshot};
use moonfire_nvr::recording::directory::{Directory, TEMPORARY};
use moonfire_nvr::recording::real_directory::RealDirectory;
use moonfire_nvr::recording::recovery::{
    AttachError, Committed, MARKER, read_marker, read_uncommitted,
};
use moonfire_nvr::recording::{DirId, DirIdentity, RecordingId, StreamId, journal};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// The folder of a sample directory where files go that belong to no recording.
pub const SET_ASIDE: &str = "set-aside";

/// Sample files are read in pieces of this size.
const READ_BYTES: usize = 1 << 20;

/// What was found in the sample directories.
#[derive(Default)]
pub struct Files {
    /// The directories that are there and ours.
    pub dirs: BTreeMap<DirId, PathBuf>,
    /// Files that no row needs any more, to be deleted.
    pub garbage: usize,
    /// Recordings that only a journal knows.
    pub uncommitted: u64,
    pub bytes_read: u64,
}

/// Compares every sample directory with what must be there.
pub fn check(
    db: &Database,
    snapshot: &Snapshot,
    rows: &Rows,
    names: &Names,
    fast: bool,
    problems: &mut Problems,
) -> Result<Files, db::Error> {
    let mut files = Files {
        garbage: snapshot.garbage.len(),
        ..Files::default()
    };
    let committed = committed(snapshot);
    for dir in &snapshot.dirs {
        match open(dir, snapshot, &committed) {
            Ok(uncommitted) => {
                files.uncommitted += uncommitted;
                files.dirs.insert(dir.id, dir.path.clone());
            }
            // One that was never in use may still come.
            Err(AttachError::Missing | AttachError::NoMarker) if !dir.attached_before => {}
            Err(e) => {
                let n = rows.of_dir.get(&dir.id).map_or(0, Vec::len);
                let what = format!(
                    "{}: {e}; {n} recordings in it cannot be checked",
                    dir.path.display()
                );
                problems.found(what, Mend::Nothing);
            }
        }
    }
    let mut check = FileCheck {
        db,
        rows,
        names,
        committed: &committed,
        problems,
        progress: Progress::new("read", if fast { 0 } else { total(&files, rows) }),
        buffer: vec![0; if fast { 0 } else { READ_BYTES }],
        bytes_read: 0,
    };
    for (dir, path) in &files.dirs {
        check.names_in(*dir, path)?;
        for expected in rows.of_dir.get(dir).into_iter().flatten() {
            check.file(path, expected)?;
        }
    }
    files.bytes_read = check.bytes_read;
    Ok(files)
}

fn committed(snapshot: &Snapshot) -> BTreeMap<StreamId, Committed> {
    let streams = snapshot.cameras.iter().flat_map(|c| &c.streams);
    let committed = streams.map(|s| {
        let committed = Committed {
            next_sequence: s.next_sequence,
            holes: s.holes.clone(),
        };
        (s.id, committed)
    });
    committed.collect()
}

/// Whether the directory is ours; how many recordings only its journal knows.
fn open(
    dir: &Dir,
    snapshot: &Snapshot,
    committed: &BTreeMap<StreamId, Committed>,
) -> Result<u64, AttachError> {
    let identity = DirIdentity {
        database: snapshot.database,
        directory: dir.uuid,
    };
    let directory = RealDirectory::new(&dir.path);
    match read_marker(&directory)? {
        Some(found) if found != identity => return Err(AttachError::Foreign { found }),
        Some(_) => {}
        None => return Err(AttachError::NoMarker),
    }
    Ok(read_uncommitted(&directory, &identity, committed)?.len() as u64)
}

fn total(files: &Files, rows: &Rows) -> u64 {
    let expected = files.dirs.keys().filter_map(|dir| rows.of_dir.get(dir));
    expected.flatten().map(|e| u64::from(e.bytes)).sum()
}

struct FileCheck<'a> {
    db: &'a Database,
    rows: &'a Rows,
    names: &'a Names,
    committed: &'a BTreeMap<StreamId, Committed>,
    problems: &'a mut Problems,
    progress: Progress,
    buffer: Vec<u8>,
    bytes_read: u64,
}

impl FileCheck<'_> {
    fn found(&mut self, what: String, mend: Mend) {
        self.progress.clear();
        self.problems.found(what, mend);
    }

    /// What lies in the directory that belongs to no recording.
    fn names_in(&mut self, dir: DirId, path: &Path) -> Result<(), db::Error> {
        let names = match RealDirectory::new(path).list("") {
            Ok(names) => names,
            Err(e) => {
                self.found(format!("{}: {e}", path.display()), Mend::Nothing);
                return Ok(());
            }
        };
        let expected = self.rows.of_dir.get(&dir).map_or(&[][..], Vec::as_slice);
        let mut strange = BTreeSet::new();
        for name in names {
            let Some(id) = RecordingId::from_file_name(&name) else {
                if !is_known(&name) {
                    strange.insert(name);
                }
                continue;
            };
            let has_row = expected.binary_search_by_key(&id, |e| e.id).is_ok();
            // What is being recorded, or was when the recorder ended: the journal's business.
            let is_new = self
                .committed
                .get(&id.stream)
                .is_some_and(|c| c.lacks(id.sequence));
            if has_row || is_new || self.db.knows_file(id)? {
                continue;
            }
            // Garbage when we listed, it may have been deleted with its row since.
            if path.join(&name).exists() {
                let what = format!("{}: belongs to no recording", path.join(&name).display());
                let dir = path.to_owned();
                self.found(what, Mend::SetAside { dir, name });
            }
        }
        for name in strange {
            let what = format!("note: {} is not ours", path.join(name).display());
            self.progress.clear();
            say(&what);
        }
        Ok(())
    }

    /// A recording's file.
    fn file(&mut self, dir: &Path, expected: &Expected) -> Result<(), db::Error> {
        let path = dir.join(expected.id.file_name());
        let told = |what: String, names: &Names| {
            format!(
                "{}: {}: {what}",
                names.recording(expected.id),
                path.display()
            )
        };
        let len = match path.metadata() {
            Ok(m) => m.len(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                // It may have been given up meanwhile.
                if self.db.recording(expected.id)?.is_some() {
                    let what = told("the file is gone".into(), self.names);
                    self.found(what, Mend::Lose(expected.id));
                }
                return Ok(());
            }
            Err(e) => {
                self.found(told(e.to_string(), self.names), Mend::Nothing);
                return Ok(());
            }
        };
        let wanted = u64::from(expected.bytes);
        if len < wanted {
            let what = format!("has {len} bytes of {wanted}");
            self.found(told(what, self.names), Mend::Nothing);
            self.progress.add(wanted);
            return Ok(());
        }
        if !self.buffer.is_empty() {
            let problem = match self.hash(&path, wanted) {
                Ok(Some(hash)) if hash == expected.data_hash => None,
                Ok(Some(_)) => Some("its bytes are not those that were recorded".to_owned()),
                // Given up and deleted between the two looks.
                Ok(None) => None,
                Err(e) => Some(format!("cannot be read: {e}")),
            };
            if let Some(problem) = problem {
                self.found(told(problem, self.names), Mend::Nothing);
                return Ok(());
            }
        }
        if len > wanted {
            let what = format!("has {len} bytes, {} too many", len - wanted);
            let mend = Mend::Cut {
                file: path.clone(),
                len: wanted,
            };
            self.found(told(what, self.names), mend);
        }
        Ok(())
    }

    /// XXH3-128 of the first `len` bytes; `None` if there is no such file any more.
    fn hash(&mut self, path: &Path, len: u64) -> io::Result<Option<[u8; 16]>> {
        let file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut reader = (&file).take(len);
        let mut hasher = Xxh3::new();
        loop {
            match reader.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(n) => {
                    hasher.update(&self.buffer[..n]);
                    self.bytes_read += n as u64;
                    self.progress.add(n as u64);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        // Old recordings should not push out of memory what a recorder is at work with. It is a
        // wish: whether it is granted does not matter.
        let advice = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        let _ = nix::fcntl::posix_fadvise(&file, 0, 0, advice);
        Ok(Some(hasher.digest128().to_be_bytes()))
    }
}

/// What may lie in a sample directory besides sample files.
fn is_known(name: &str) -> bool {
    [MARKER, journal::FOLDER, SET_ASIDE, "lost+found"].contains(&name) || name.ends_with(TEMPORARY)
}
