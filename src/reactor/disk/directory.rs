//! A sample directory on a real file system: what recovery, `export` and `check` work with.
//!
//! All names are relative to a directory that is held open, so that whatever is mounted or renamed
//! at its path later, it stays the one whose marker was seen. Every call may block.

use crate::recording::directory::Directory;
use crate::recording::journal;
use crate::recording::recovery::AttachError;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Flags for every file that is opened: not through a symbolic link, whatever its size.
const FLAGS: libc::c_int = libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_LARGEFILE;

/// The suffix of a file that [`Directory::put`] has not finished. Left over by a power cut it is in
/// nobody's way: the next one of that name replaces it.
const UNFINISHED: &str = ".new";

/// An open sample directory.
#[derive(Debug)]
pub struct SampleDirectory {
    file: File,
    /// The folder of the journal's segments, once the directory was attached: its names are made
    /// durable with the directory's own.
    journal: Option<File>,
}

impl SampleDirectory {
    /// Opens the directory at `path`. Whether it is one of ours is not looked at.
    pub fn open(path: &Path) -> Result<SampleDirectory, AttachError> {
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC)
            .open(path);
        match file {
            Ok(file) => Ok(SampleDirectory {
                file,
                journal: None,
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(AttachError::Missing),
            Err(e) => Err(AttachError::Io(e)),
        }
    }

    /// Takes the directory for this process, until `self` is dropped; false if another has it.
    ///
    /// The lock is on the directory itself: a marker file is replaced by renaming, which would leave
    /// the lock with the old one. File systems that cannot lock a directory (NFS) are let pass.
    pub fn lock(&self) -> io::Result<bool> {
        // SAFETY: the descriptor is open.
        if unsafe { libc::flock(self.file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(true);
        }
        let e = io::Error::last_os_error();
        match e.raw_os_error() {
            Some(libc::EWOULDBLOCK) => Ok(false),
            Some(libc::EBADF | libc::EINVAL | libc::ENOLCK | libc::ENOTSUP) => Ok(true),
            _ => Err(e),
        }
    }

    /// Holds the journal's folder open as well; attaching has made it.
    pub(super) fn open_journal(&mut self) -> io::Result<()> {
        self.journal = match self.folder(journal::FOLDER) {
            Ok(folder) => Some(folder),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        Ok(())
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn journal(&self) -> Option<&File> {
        self.journal.as_ref()
    }

    /// Makes the names of sample files and journal segments durable.
    pub(super) fn sync_names(&self) -> io::Result<()> {
        self.journal.as_ref().map_or(Ok(()), File::sync_all)?;
        self.file.sync_all()
    }

    pub(super) fn open_at(
        &self,
        name: &CStr,
        flags: libc::c_int,
        mode: libc::mode_t,
    ) -> io::Result<File> {
        loop {
            // SAFETY: the descriptor is open, `name` ends with a zero byte.
            let fd = unsafe { libc::openat(self.file.as_raw_fd(), name.as_ptr(), flags, mode) };
            if fd >= 0 {
                // SAFETY: just opened, and nobody else's.
                return Ok(unsafe { File::from_raw_fd(fd) });
            }
            let e = io::Error::last_os_error();
            if e.kind() != io::ErrorKind::Interrupted {
                return Err(e);
            }
        }
    }

    /// Removes a file; no error if there is none.
    pub(super) fn unlink_at(&self, name: &CStr) -> io::Result<()> {
        // SAFETY: the descriptor is open, `name` ends with a zero byte.
        if unsafe { libc::unlinkat(self.file.as_raw_fd(), name.as_ptr(), 0) } == 0 {
            return Ok(());
        }
        let e = io::Error::last_os_error();
        match e.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(e),
        }
    }

    fn open_named(&self, name: &str, flags: libc::c_int) -> io::Result<File> {
        self.open_at(&checked_name(name)?, flags | FLAGS, super::job::FILE_MODE)
    }

    fn folder(&self, sub: &str) -> io::Result<File> {
        match sub {
            "" => self.open_at(c".", libc::O_RDONLY | libc::O_DIRECTORY | FLAGS, 0),
            _ => self.open_named(sub, libc::O_RDONLY | libc::O_DIRECTORY),
        }
    }

    /// The folder that `name` is in, itself a name within the directory; `""` for the directory.
    fn parent(name: &str) -> &str {
        name.rsplit_once('/').map_or("", |(parent, _)| parent)
    }
}

impl Directory for SampleDirectory {
    fn list(&self, sub: &str) -> io::Result<Vec<String>> {
        let mut dir = nix::dir::Dir::from_fd(self.folder(sub)?.into())?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                // A name that is not UTF-8 is none of ours; it is told so that nothing overlooks it.
                names.push(name.to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    fn len(&self, name: &str) -> io::Result<Option<u64>> {
        match self.open_named(name, libc::O_PATH) {
            Ok(file) => Ok(Some(file.metadata()?.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn read_at(&self, name: &str, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        super::job::read_full_at(&self.open_named(name, libc::O_RDONLY)?, buf, offset)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let file = self.open_named(name, libc::O_WRONLY)?;
        file.set_len(len)?;
        file.sync_data()
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = checked_name(&format!("{name}{UNFINISHED}"))?;
        let name_c = checked_name(name)?;
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | FLAGS;
        let file = self.open_at(&unfinished, flags, super::job::FILE_MODE)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        nix::fcntl::renameat(
            &self.file,
            unfinished.as_c_str(),
            &self.file,
            name_c.as_c_str(),
        )?;
        self.folder(Self::parent(name))?.sync_all()
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.unlink_at(&checked_name(name)?)
    }

    fn create_dir(&self, sub: &str) -> io::Result<()> {
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o750);
        match nix::sys::stat::mkdirat(&self.file, checked_name(sub)?.as_c_str(), mode) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(e) => return Err(e.into()),
        }
        self.folder(Self::parent(sub))?.sync_all()
    }

    fn sync(&self) -> io::Result<()> {
        let mut dir = nix::dir::Dir::from_fd(self.folder("")?.into())?;
        for entry in dir.iter() {
            let entry = entry?;
            let name = entry.file_name();
            // A file system that does not tell the type (`None`) is asked by opening.
            let may_be_folder = entry
                .file_type()
                .is_none_or(|t| t == nix::dir::Type::Directory);
            if !may_be_folder || name == c"." || name == c".." {
                continue;
            }
            match self.open_at(name, libc::O_RDONLY | libc::O_DIRECTORY | FLAGS, 0) {
                Ok(folder) => folder.sync_all()?,
                Err(e) if e.kind() == io::ErrorKind::NotADirectory => {}
                Err(e) => return Err(e),
            }
        }
        self.file.sync_all()
    }
}

/// A name within a sample directory for the kernel: relative, and it leads nowhere else.
pub(super) fn checked_name(name: &str) -> io::Result<CString> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !name.split('/').all(plain) {
        let why = format!("{name:?} is no name of a file in a sample directory");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    Ok(CString::new(name)?)
}
