//! A file that appears under its name only when it is whole.

use nix::fcntl::{Flock, FlockArg};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

/// Where an export goes: standard output, or a file that is made beside its final place.
///
/// Dropped before [`Output::finish`], the unfinished file is removed.
pub enum Output {
    Stdout(File),
    File(Part),
}

/// `FILE.part`, locked while it is written.
pub struct Part {
    file: Flock<File>,
    part: PathBuf,
    path: PathBuf,
    replace: bool,
    finished: bool,
}

impl Output {
    /// Prepares to write `path`; `-` is standard output. A file that is there is left alone unless
    /// `replace` is given.
    pub fn create(path: &Path, replace: bool) -> Result<Output, String> {
        if path == Path::new("-") {
            let stdout = io::stdout();
            if stdout.is_terminal() {
                return Err(
                    "an .mp4 is nothing for a terminal: send it to a file or a program".into(),
                );
            }
            // The descriptor itself, without the line buffer.
            let fd = std::os::fd::AsFd::as_fd(&stdout).try_clone_to_owned();
            return Ok(Output::Stdout(fd.map_err(|e| e.to_string())?.into()));
        }
        Part::create(path, replace).map(Output::File)
    }

    /// What to write to.
    pub fn file(&mut self) -> &mut File {
        match self {
            Output::Stdout(file) => file,
            Output::File(part) => &mut part.file,
        }
    }

    /// All is written: makes a file durable and gives it its name.
    pub fn finish(self) -> Result<(), String> {
        match self {
            Output::Stdout(_) => Ok(()),
            Output::File(part) => part.finish(),
        }
    }
}

impl Part {
    fn create(path: &Path, replace: bool) -> Result<Part, String> {
        refuse_existing(path, replace)?;
        let mut part = OsString::from(path);
        part.push(".part");
        let part = PathBuf::from(part);
        let told = |e: io::Error| format!("cannot write {}: {e}", part.display());
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false) // Not before it is ours.
            .open(&part)
            .map_err(told)?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| format!("{} is being written by another export", part.display()))?;
        file.set_len(0).map_err(told)?;
        Ok(Part {
            file,
            part,
            path: path.to_owned(),
            replace,
            finished: false,
        })
    }

    fn finish(mut self) -> Result<(), String> {
        refuse_existing(&self.path, self.replace)?;
        let told = |e: io::Error| format!("cannot write {}: {e}", self.path.display());
        self.file.sync_all().map_err(told)?;
        fs::rename(&self.part, &self.path).map_err(told)?;
        self.finished = true;
        let folder = match self.path.parent() {
            Some(p) if p != Path::new("") => p,
            _ => Path::new("."),
        };
        File::open(folder).and_then(|f| f.sync_all()).map_err(told)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing more can be done about it.
            let _ = fs::remove_file(&self.part);
        }
    }
}

fn refuse_existing(path: &Path, replace: bool) -> Result<(), String> {
    match path.symlink_metadata() {
        Ok(m) if m.is_dir() => Err(format!("{} is a folder: name a file in it", path.display())),
        Ok(_) if !replace => Err(format!(
            "{} exists: give --force to replace it",
            path.display()
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_name_appears_when_all_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.mp4");
        fs::write(dir.path().join("clip.mp4.part"), "left by a power cut").unwrap();
        let mut out = Output::create(&path, false).unwrap();
        out.file().write_all(b"whole").unwrap();
        assert_eq!(names(dir.path()), ["clip.mp4.part"]);
        let second = Output::create(&path, false).err().unwrap();
        assert!(second.contains("another export"), "{second}");
        out.finish().unwrap();
        assert_eq!(names(dir.path()), ["clip.mp4"]);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }

    #[test]
    fn what_is_given_up_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut out = Output::create(&dir.path().join("clip.mp4"), false).unwrap();
        out.file().write_all(b"half").unwrap();
        drop(out);
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_on_request() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.mp4");
        fs::write(&path, "old").unwrap();
        let error = Output::create(&path, false).err().unwrap();
        assert!(error.contains("give --force"), "{error}");
        Output::create(&path, true).unwrap().finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        let error = Output::create(dir.path(), true).err().unwrap();
        assert!(error.contains("is a folder"), "{error}");
        let error = Output::create(&dir.path().join("no/clip.mp4"), true).err();
        assert!(error.unwrap().contains("cannot write"));
    }

    #[test]
    fn one_that_appeared_meanwhile_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clip.mp4");
        let out = Output::create(&path, false).unwrap();
        fs::write(&path, "another's").unwrap();
        assert!(out.finish().unwrap_err().contains("exists"));
        assert_eq!(names(dir.path()), ["clip.mp4"]);
        assert_eq!(fs::read(&path).unwrap(), b"another's");
    }
}
