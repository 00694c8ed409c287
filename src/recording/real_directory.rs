//! A sample directory on a real file system. See [`Directory`]; all of it blocks.

use super::directory::{Directory, TEMPORARY};
use super::journal;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// The directory at a path. Locking it is the caller's.
#[derive(Clone, Debug)]
pub struct RealDirectory {
    path: PathBuf,
}

impl RealDirectory {
    pub fn new(path: impl Into<PathBuf>) -> RealDirectory {
        RealDirectory { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// `None` for what isn't there.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(v) => Ok(Some(v)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl Directory for RealDirectory {
    fn list(&self, sub: &str) -> io::Result<Vec<String>> {
        fs::read_dir(self.path.join(sub))?
            .map(|e| Ok(e?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn len(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(found(fs::metadata(self.path.join(name)))?.map(|m| m.len()))
    }

    fn read_at(&self, name: &str, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let file = File::open(self.path.join(name))?;
        loop {
            match file.read_at(buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path.join(name))?;
        file.set_len(len)?;
        file.sync_all()
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}{TEMPORARY}"));
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, self.path.join(name))?;
        self.sync()
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        found(fs::remove_file(self.path.join(name))).map(|_| ())
    }

    fn create_dir(&self, sub: &str) -> io::Result<()> {
        match fs::create_dir(self.path.join(sub)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(e),
            Ok(()) => sync_dir(&self.path),
        }
    }

    fn sync(&self) -> io::Result<()> {
        sync_dir(&self.path)?;
        found(sync_dir(&self.path.join(journal::FOLDER))).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_to_the_trait() {
        let temp = tempfile::tempdir().unwrap();
        let d = RealDirectory::new(temp.path());
        assert!(d.list("").unwrap().is_empty());
        assert_eq!(
            d.list("journal").unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        d.create_dir("journal").unwrap();
        d.create_dir("journal").unwrap();
        d.put("journal/a", b"hello").unwrap();
        d.put("journal/a", b"hello, world").unwrap();
        assert_eq!(d.list("journal").unwrap(), ["a"]);
        assert_eq!(d.len("journal/a").unwrap(), Some(12));
        assert_eq!(d.len("b").unwrap(), None);

        let mut buf = [0; 8];
        assert_eq!(d.read_at("journal/a", 7, &mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"world");
        assert_eq!(d.read_at("journal/a", 12, &mut buf).unwrap(), 0);
        d.truncate("journal/a", 5).unwrap();
        assert_eq!(d.len("journal/a").unwrap(), Some(5));
        d.unlink("journal/a").unwrap();
        d.unlink("journal/a").unwrap();
        d.sync().unwrap();
        assert!(d.list("journal").unwrap().is_empty());
    }
}
