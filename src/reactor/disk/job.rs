//! One disk operation with all that it needs, and how a thread does it.

use super::directory::SampleDirectory;
use super::window;
use crate::nvr::port::{DiskError, Space};
use crate::recording::recovery::{AttachError, AttachRequest, Attached};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const COMMON_FLAGS: libc::c_int = libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_LARGEFILE;

/// How a file is created for writing.
pub(super) const CREATE_FLAGS: libc::c_int =
    libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | COMMON_FLAGS;

/// How a file is opened for reading.
pub(super) const READ_FLAGS: libc::c_int = libc::O_RDONLY | COMMON_FLAGS;

/// The permissions of new files: the recorder writes, its group may read.
pub(super) const FILE_MODE: libc::mode_t = 0o640;

/// What is done to a directory that is open, and locked unless it is only read, before it is used.
pub type AttachFn = fn(&SampleDirectory, &AttachRequest) -> Result<Attached, AttachError>;

/// An operation. It owns what the kernel works with, until it has ended.
#[derive(Debug)]
pub(in crate::reactor) enum Job {
    Attach {
        attach: AttachFn,
        path: PathBuf,
        request: AttachRequest,
    },
    Open {
        dir: Arc<SampleDirectory>,
        name: CString,
        flags: libc::c_int,
    },
    Write {
        file: Arc<File>,
        offset: u64,
        data: Vec<u8>,
    },
    Read {
        file: Arc<File>,
        offset: u64,
        len: u32,
    },
    Sync {
        file: Arc<File>,
    },
    /// The only reference to the file is in here.
    Close {
        file: Arc<File>,
    },
    Unlink {
        dir: Arc<SampleDirectory>,
        name: CString,
    },
    SyncDir {
        dir: Arc<SampleDirectory>,
    },
    Space {
        dir: Arc<SampleDirectory>,
    },
    /// Bring a range, which lies within one window, into memory: [`window`].
    MakeResident {
        file: Arc<File>,
        range: Range<u64>,
    },
}

/// What an operation yields.
#[derive(Debug)]
pub(in crate::reactor) enum Outcome {
    Done,
    Attached(SampleDirectory, Box<Attached>),
    Opened(File),
    Read(Vec<u8>),
    Space(Space),
    /// Whether a range could be made resident. The file comes back, because letting go of it is work
    /// for the disk too.
    Resident {
        file: Arc<File>,
        range: Range<u64>,
        result: io::Result<()>,
    },
}

/// How an operation ended; `buffer` is that of a write.
#[derive(Debug)]
pub(in crate::reactor) struct Done {
    pub(super) result: Result<Outcome, DiskError>,
    pub(super) buffer: Option<Vec<u8>>,
}

impl Job {
    /// Whether there is an opcode for it.
    pub(super) fn suits_uring(&self) -> bool {
        !matches!(
            self,
            Job::Attach { .. } | Job::Space { .. } | Job::MakeResident { .. }
        )
    }

    pub(super) fn into_buffer(self) -> Option<Vec<u8>> {
        match self {
            Job::Write { data, .. } => Some(data),
            _ => None,
        }
    }

    /// Does it, for as long as it takes.
    pub(super) fn run(self) -> Done {
        let mut buffer = None;
        let result = match self {
            Job::Attach {
                attach,
                path,
                request,
            } => open_and_attach(attach, &path, &request),
            Job::Open { dir, name, flags } => dir
                .open_at(&name, flags, FILE_MODE)
                .map(Outcome::Opened)
                .map_err(disk_error),
            Job::Write { file, offset, data } => {
                let result = file.write_all_at(&data, offset).map(|()| Outcome::Done);
                buffer = Some(data);
                result.map_err(disk_error)
            }
            Job::Read { file, offset, len } => {
                let mut bytes = vec![0; len as usize];
                let result = read_full_at(&file, &mut bytes, offset);
                let read = result.map(|n| {
                    bytes.truncate(n);
                    Outcome::Read(bytes)
                });
                read.map_err(disk_error)
            }
            Job::Sync { file } => file.sync_data().map(|()| Outcome::Done).map_err(disk_error),
            Job::Close { file } => close(file).map_err(disk_error),
            Job::Unlink { dir, name } => dir
                .unlink_at(&name)
                .map(|()| Outcome::Done)
                .map_err(disk_error),
            Job::SyncDir { dir } => dir.sync_names().map(|()| Outcome::Done).map_err(disk_error),
            Job::Space { dir } => space(dir.file()).map(Outcome::Space).map_err(disk_error),
            Job::MakeResident { file, range } => {
                let result = window::make_resident(&file, &range);
                Ok(Outcome::Resident {
                    file,
                    range,
                    result,
                })
            }
        };
        Done { result, buffer }
    }
}

/// The operating system's error in the core's words.
pub(super) fn disk_error(e: io::Error) -> DiskError {
    match e.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => DiskError::NoSpace,
        _ => DiskError::Io(e),
    }
}

fn open_and_attach(
    attach: AttachFn,
    path: &Path,
    request: &AttachRequest,
) -> Result<Outcome, DiskError> {
    let mut dir = SampleDirectory::open(path)?;
    if !request.read_only && !dir.lock().map_err(AttachError::Io)? {
        return Err(AttachError::Locked.into());
    }
    let attached = attach(&dir, request)?;
    if !request.read_only {
        dir.open_journal().map_err(AttachError::Io)?;
    }
    Ok(Outcome::Attached(dir, Box::new(attached)))
}

/// Closes a file and tells what came of it, which dropping would not.
fn close(file: Arc<File>) -> io::Result<Outcome> {
    let Some(file) = Arc::into_inner(file) else {
        return Ok(Outcome::Done);
    };
    // SAFETY: the descriptor is open and from here on nobody else's.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(Outcome::Done),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Reads until `buf` is full or the file ends; how much it was.
pub(super) fn read_full_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buf.len() {
        match file.read_at(&mut buf[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(read)
}

/// The room on the file system of an open file or folder; also of a disk that is too large for 32 bits.
pub fn space(file: &File) -> io::Result<Space> {
    let mut stat = std::mem::MaybeUninit::<libc::statvfs64>::uninit();
    // SAFETY: the descriptor is open, and the kernel fills the whole structure if it says 0.
    let stat = unsafe {
        if libc::fstatvfs64(file.as_raw_fd(), stat.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        stat.assume_init()
    };
    // The blocks' size is a `c_ulong`, which has 32 bits on the smallest board.
    #[allow(clippy::useless_conversion)]
    let block = u64::from(stat.f_frsize);
    Ok(Space {
        free: stat.f_bavail.saturating_mul(block),
        total: stat.f_blocks.saturating_mul(block),
    })
}
