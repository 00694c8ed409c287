//! Mending, in an order that never makes it worse when it is interrupted: rows go before files, and
//! whatever is not surely useless is kept.

use super::files::{Files, SET_ASIDE};
use super::problem::{Mend, Problems, say};
use moonfire_nvr::db::{self, Database};
use moonfire_nvr::recording::RecordingId;
use moonfire_nvr::recording::directory::Directory;
use moonfire_nvr::recording::real_directory::RealDirectory;
use std::fs;
use std::io;
use std::path::Path;

/// What the gap says that a lost recording leaves.
const FILE_GONE: &str = "check --repair: the sample file was gone";

/// What the gap says that a recording without an index leaves.
const NO_INDEX: &str = "check --repair: the sample index was gone";

/// Rows given up in one transaction.
const BATCH: usize = 1_000;

/// A file that is set aside gets a number behind its name if there is one of that name; at most this.
const MAX_NAMESAKES: u32 = 1_000;

/// Mends what can be mended and says what it did. Returns how many problems are left.
pub fn repair(db: &mut Database, files: &Files, problems: Problems) -> Result<usize, db::Error> {
    let (problems, mut left) = problems.into_parts();
    let mut counts = Counts::default();
    let (mut gone, mut without_index) = (Vec::new(), Vec::new());
    for (what, mend) in &problems {
        let done = match mend {
            Mend::Nothing => Err("cannot be mended".to_owned()),
            Mend::Lose(id) => {
                gone.push(*id);
                Ok(())
            }
            Mend::LoseUnplayable(id) => {
                without_index.push(*id);
                Ok(())
            }
            Mend::Database(finding) => match db.mend(finding)? {
                Some(done) => {
                    say(&format!("mended: {what}: {done}"));
                    Ok(())
                }
                None => Err("cannot be mended".to_owned()),
            },
            Mend::Recount(id) => {
                db.recount(*id)?;
                counts.recounted += 1;
                Ok(())
            }
            Mend::Gap { old, new } => {
                db.replace_gap(old, new)?;
                counts.gaps += 1;
                Ok(())
            }
            Mend::Cut { file, len } => {
                counts.cut += 1;
                cut(file, *len).map_err(|e| e.to_string())
            }
            Mend::SetAside { dir, name } => {
                counts.set_aside += 1;
                set_aside(dir, name).map_err(|e| e.to_string())
            }
        };
        if let Err(e) = done {
            left += 1;
            say(&format!("left: {what}: {e}"));
        }
    }
    for ids in gone.chunks(BATCH) {
        db.lose(ids, FILE_GONE)?;
    }
    for ids in without_index.chunks(BATCH) {
        db.lose(ids, NO_INDEX)?;
    }
    counts.gone = gone.len();
    counts.without_index = without_index.len();
    left += set_files_aside(files, &without_index);
    counts.garbage = remove_garbage(db, files)?;
    counts.tell();
    say(&match left {
        0 => "all is in order now".to_owned(),
        1 => "1 problem is left".to_owned(),
        n => format!("{n} problems are left"),
    });
    Ok(left)
}

/// What was done, for people.
#[derive(Default)]
struct Counts {
    recounted: usize,
    gaps: usize,
    cut: usize,
    set_aside: usize,
    gone: usize,
    without_index: usize,
    garbage: usize,
}

impl Counts {
    fn tell(&self) {
        for (n, one, more) in [
            (
                self.gone,
                "recording whose file is gone became a gap",
                "recordings whose files are gone became gaps",
            ),
            (
                self.without_index,
                "recording without an index became a gap",
                "recordings without an index became gaps",
            ),
            (
                self.recounted,
                "index was counted anew",
                "indexes were counted anew",
            ),
            (
                self.gaps,
                "gap was cut to where nothing was recorded",
                "gaps were cut to where nothing was recorded",
            ),
            (
                self.cut,
                "file was cut to its length",
                "files were cut to their length",
            ),
            (
                self.set_aside,
                "file of no recording went to the folder set-aside",
                "files of no recording went to the folder set-aside",
            ),
            (
                self.garbage,
                "file that waited for it was deleted",
                "files that waited for it were deleted",
            ),
        ] {
            match n {
                0 => {}
                1 => say(&format!("mended: 1 {one}")),
                n => say(&format!("mended: {n} {more}")),
            }
        }
    }
}

fn cut(file: &Path, len: u64) -> io::Result<()> {
    let file = fs::File::options().write(true).open(file)?;
    file.set_len(len)?;
    file.sync_all()
}

/// Moves a file to the folder for such, beside one of the same name if need be.
fn set_aside(dir: &Path, name: &str) -> io::Result<()> {
    let directory = RealDirectory::new(dir);
    directory.create_dir(SET_ASIDE)?;
    let folder = dir.join(SET_ASIDE);
    let numbered = (1..MAX_NAMESAKES).map(|n| folder.join(format!("{name}.{n}")));
    let free = std::iter::once(folder.join(name))
        .chain(numbered)
        .find(|p| p.symlink_metadata().is_err())
        .ok_or_else(|| io::Error::other("too many files of that name were set aside"))?;
    fs::rename(dir.join(name), free)?;
    fs::File::open(&folder)?.sync_all()?;
    directory.sync()
}

/// Sets the files of recordings aside, wherever they are. Returns how many could not be.
fn set_files_aside(files: &Files, ids: &[RecordingId]) -> usize {
    let mut left = 0;
    for (dir, id) in files
        .dirs
        .values()
        .flat_map(|d| ids.iter().map(move |id| (d, id)))
    {
        let name = id.file_name();
        if !dir.join(&name).exists() {
            continue;
        }
        if let Err(e) = set_aside(dir, &name) {
            left += 1;
            say(&format!("left: {}: {e}", dir.join(name).display()));
        }
    }
    left
}

/// Deletes files that no row needs: rows of garbage go when the deletion is durable.
fn remove_garbage(db: &mut Database, files: &Files) -> Result<usize, db::Error> {
    let mut removed = 0;
    // As it is now: what was mended may have been about garbage too.
    let garbage = db.snapshot()?.garbage;
    for (dir, path) in &files.dirs {
        let directory = RealDirectory::new(path);
        let mut gone = Vec::new();
        for g in garbage.iter().filter(|g| g.dir == *dir) {
            if db.recording(g.id)?.is_some() {
                continue; // Never the file of a recording, whatever else is wrong.
            }
            match directory.unlink(&g.id.file_name()) {
                Ok(()) => gone.push(g.id),
                Err(e) => say(&format!(
                    "left: {}: {e}",
                    path.join(g.id.file_name()).display()
                )),
            }
        }
        if gone.is_empty() {
            continue;
        }
        if let Err(e) = directory.sync() {
            say(&format!("left: {}: {e}", path.display()));
            continue;
        }
        db.forget_garbage(&gone)?;
        removed += gone.len();
    }
    Ok(removed)
}
