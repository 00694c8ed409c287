//! Parts of files that are to be sent: whether they are in memory, and how they get there.
//!
//! A window is mapped to ask the kernel about its pages, and for nothing else: it is never read through the map. A
//! file that shrinks can so cost an error and not the process (SIGBUS), whoever made it shrink. Nor are its
//! pages brought into memory by way of a map: whoever does that holds the lock on the process's memory map,
//! and the loop, which maps windows to ask about them, would wait for it.

use memmap2::{MmapOptions, MmapRaw};
use nix::sys::sendfile::sendfile64;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

/// Bytes of a file that are asked about and made resident at a time. One is mapped at a time, on the loop, which
/// fits an address space of 32 bits many times over.
pub(in crate::reactor) const WINDOW_BYTES: u64 = 1 << 20;

/// The smallest page of any kernel. Larger ones make for fewer.
const MIN_PAGE_BYTES: usize = 4096;

/// Bytes that are waited for at a time. A disk may take no larger requests, and the kernel sends for one only.
const STEP_BYTES: u64 = 128 << 10;

/// Bytes that are read at a time where they cannot be gone through without reading them.
const SCRATCH_BYTES: usize = 64 << 10;

/// A mapped part of a file.
#[derive(Debug)]
struct Window(MmapRaw);

/// What [`read_resident`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reactor) enum Resident {
    /// So many bytes, at least one.
    Bytes(usize),
    /// The disk has to be waited for.
    Cold,
    /// The file ends here.
    End,
}

/// From `offset` to the end of the window that it is in, or to `end` if that is nearer. Windows lie
/// next to each other from the file's beginning on.
pub(in crate::reactor) fn window_at(offset: u64, end: u64) -> Range<u64> {
    let next = (offset / WINDOW_BYTES)
        .saturating_add(1)
        .saturating_mul(WINDOW_BYTES);
    offset..next.min(end)
}

/// How many bytes of `range` are in memory without a gap from its beginning on. `range` is within
/// one window.
///
/// The kernel tells the truth about files that this process owns or may write to, and calls all
/// others resident (mincore(2)): sending from those may wait for the disk. The recorder's are its own.
pub(in crate::reactor) fn resident(file: &File, range: &Range<u64>) -> io::Result<u64> {
    let skip = range.start % page_bytes() as u64;
    let window = Window::new(file, range)?;
    let mut pages = [0u8; WINDOW_BYTES as usize / MIN_PAGE_BYTES + 1];
    let count = window.len().div_ceil(page_bytes());
    let Some(pages) = pages.get_mut(..count) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let address = window.address().cast_mut().cast();
    // SAFETY: the range is mapped, and there is room for a byte for each of its pages.
    if unsafe { libc::mincore(address, window.len(), pages.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let present = pages.iter().take_while(|p| **p & 1 == 1).count();
    let bytes = (present * page_bytes()) as u64;
    Ok(bytes.saturating_sub(skip).min(range.end - range.start))
}

/// The same, by two cheaper calls where all of it is there and the kernel is of 6.5 or later (`cachestat`). To be asked only while no window is being brought into memory: the kernel counts pages
/// that are on their way, too. Those that another program has just asked for come in order, which is why it is tried
/// whether the last of them is there.
pub(in crate::reactor) fn resident_quickly(file: &File, range: &Range<u64>) -> io::Result<u64> {
    let is_there = |at| matches!(read_nowait(file, at, &mut [0]), Ok(1));
    if is_cached(file, range) && is_there(range.end - 1) {
        return Ok(range.end - range.start);
    }
    resident(file, range)
}

/// Whether there is memory with all of a range, be it on its way. False if the kernel cannot say.
fn is_cached(file: &File, range: &Range<u64>) -> bool {
    /// The number of the call, which is the same on all architectures.
    const CACHESTAT: libc::c_long = 451;
    /// Arguments and result as in the kernel's `linux/mman.h`.
    #[repr(C)]
    struct CachestatRange {
        offset: u64,
        len: u64,
    }
    #[repr(C)]
    #[derive(Default)]
    struct Cachestat {
        cached: u64,
        dirty: u64,
        writeback: u64,
        evicted: u64,
        recently_evicted: u64,
    }
    if range.is_empty() {
        return false;
    }
    let page = page_bytes() as u64;
    let pages = (range.end - 1) / page - range.start / page + 1;
    let wanted = CachestatRange {
        offset: range.start,
        len: range.end - range.start,
    };
    let mut told = Cachestat::default();
    let (wanted, out) = (&raw const wanted, &raw mut told);
    // SAFETY: both structures are as the kernel has them, and live until it returns.
    let result = unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), wanted, out, 0) };
    result == 0 && told.cached == pages
}

/// Reads what is in memory at `offset`, without waiting for the disk.
pub(in crate::reactor) fn read_resident(
    file: &File,
    offset: u64,
    buf: &mut [u8],
) -> io::Result<Resident> {
    let found = |n| match n {
        0 => Resident::End,
        n => Resident::Bytes(n),
    };
    match read_nowait(file, offset, buf) {
        Ok(n) => Ok(found(n)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Resident::Cold),
        // The file system cannot say: ask in the other way.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) => {
            let range = window_at(offset, offset.saturating_add(buf.len() as u64));
            match resident(file, &range)? as usize {
                0 if offset >= file.metadata()?.len() => Ok(Resident::End),
                0 => Ok(Resident::Cold),
                n => Ok(found(file.read_at(&mut buf[..n], offset)?)),
            }
        }
        Err(e) => Err(e),
    }
}

fn read_nowait(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    let offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    let slice = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    // SAFETY: the descriptor is open, and the buffer ours and borrowed for writing.
    let n = unsafe { libc::preadv64v2(file.as_raw_fd(), &slice, 1, offset, libc::RWF_NOWAIT) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Brings a range into memory, for as long as it takes. For threads.
pub(super) fn make_resident(file: &File, range: &Range<u64>) -> io::Result<()> {
    #[cfg(test)]
    faults::meet(file)?;
    // By itself the kernel would read ahead, beyond the window, and leave marks at which the loop's `sendfile`
    // would set out to read ahead further.
    advise(file, 0..0, libc::POSIX_FADV_RANDOM);
    send_for(file, range.clone());
    let mut at = range.start;
    while at < range.end {
        let next = (at + STEP_BYTES).min(range.end);
        send_for(file, next..range.end);
        go_through(file, at..next)?;
        at = next;
    }
    Ok(())
}

/// Has all of a range on its way, or as much as a disk takes at a time, in as few requests as can be. What comes
/// of it shows when it is waited for.
fn send_for(file: &File, range: Range<u64>) {
    if !range.is_empty() {
        advise(file, range, libc::POSIX_FADV_WILLNEED);
    }
}

fn advise(file: &File, range: Range<u64>, advice: libc::c_int) {
    let len = range.end - range.start;
    if let (Ok(start), Ok(len)) = (i64::try_from(range.start), i64::try_from(len)) {
        // SAFETY: the descriptor is open; no memory is involved.
        unsafe { libc::posix_fadvise64(file.as_raw_fd(), start, len, advice) };
    }
}

/// Waits for each page in turn, without copying any.
fn go_through(file: &File, range: Range<u64>) -> io::Result<()> {
    let Some(null) = NULL.get_or_init(|| File::options().write(true).open("/dev/null").ok()) else {
        return read_through(file, &range);
    };
    let mut at = i64::try_from(range.start).map_err(|_| io::ErrorKind::InvalidInput)?;
    while (at as u64) < range.end {
        let left = (range.end - at as u64).min(STEP_BYTES) as usize;
        match sendfile64(null, file, Some(&mut at), left) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(nix::Error::EINTR) => {}
            // The file system knows only reading.
            Err(nix::Error::EINVAL) => return read_through(file, &(at as u64..range.end)),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Where bytes go that nobody wants to see.
static NULL: OnceLock<Option<File>> = OnceLock::new();

fn read_through(file: &File, range: &Range<u64>) -> io::Result<()> {
    let mut scratch = vec![0; SCRATCH_BYTES];
    let mut at = range.start;
    while at < range.end {
        let most = (range.end - at).min(SCRATCH_BYTES as u64) as usize;
        file.read_exact_at(&mut scratch[..most], at)?;
        at += most as u64;
    }
    Ok(())
}

/// What making `range` resident failed of, in words.
pub(super) fn why_not_resident(file: &File, range: &Range<u64>, error: &io::Error) -> String {
    match file.metadata() {
        Ok(m) if m.len() < range.end => format!(
            "it ends at byte {}, before the end of the range at {}",
            m.len(),
            range.end
        ),
        _ => error.to_string(),
    }
}

impl Window {
    /// Maps the pages that `range` is on.
    fn new(file: &File, range: &Range<u64>) -> io::Result<Window> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let start = range.start - range.start % page_bytes() as u64;
        let len = range.end.checked_sub(start).ok_or_else(invalid)?;
        if len > WINDOW_BYTES + page_bytes() as u64 || i64::try_from(range.end).is_err() {
            return Err(invalid());
        }
        let mut options = MmapOptions::new();
        let map = options.offset(start).len(len as usize);
        map.map_raw_read_only(file).map(Window)
    }

    fn address(&self) -> *const u8 {
        self.0.as_ptr()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// The size of a page of memory, in bytes.
fn page_bytes() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
        let bytes = bytes.ok().flatten().and_then(|n| usize::try_from(n).ok());
        bytes.unwrap_or(MIN_PAGE_BYTES).max(MIN_PAGE_BYTES)
    })
}

/// Disks that are slow or broken, for tests: what befalls a thread that reads a certain file.
#[cfg(test)]
pub(in crate::reactor) mod faults {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::sync::{Arc, Mutex, RwLock};

    #[derive(Clone)]
    pub(in crate::reactor) enum Fault {
        /// The disk cannot read it.
        Fails,
        /// Nothing comes while somebody holds the lock for writing.
        Waits(Arc<RwLock<()>>),
    }

    /// A file: its inode, which the next file may get, and when it was made.
    type Identity = (u64, std::time::SystemTime);

    static FAULTS: Mutex<Vec<(Identity, Fault)>> = Mutex::new(Vec::new());

    fn identity(file: &File) -> io::Result<Identity> {
        let metadata = file.metadata()?;
        Ok((metadata.ino(), metadata.created()?))
    }

    pub(in crate::reactor) fn set(file: &File, fault: Fault) {
        let file = identity(file).unwrap();
        FAULTS.lock().unwrap().push((file, fault));
    }

    pub(super) fn meet(file: &File) -> io::Result<()> {
        let file = identity(file)?;
        let faults = FAULTS.lock().unwrap();
        let fault = faults.iter().rev().find(|(f, _)| *f == file);
        let fault = fault.map(|(_, fault)| fault.clone());
        drop(faults);
        match fault {
            Some(Fault::Fails) => Err(io::Error::from_raw_os_error(libc::EIO)),
            Some(Fault::Waits(gate)) => {
                drop(gate.read());
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(len: usize) -> File {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..len).map(|i| (i ^ i >> 8) as u8).collect();
        file.write_all(&bytes).unwrap();
        file
    }

    #[test]
    fn windows_lie_next_to_each_other() {
        assert_eq!(window_at(0, 10), 0..10);
        assert_eq!(window_at(5, u64::MAX), 5..WINDOW_BYTES);
        assert_eq!(
            window_at(WINDOW_BYTES, u64::MAX),
            WINDOW_BYTES..2 * WINDOW_BYTES
        );
        assert_eq!(window_at(u64::MAX - 1, u64::MAX), u64::MAX - 1..u64::MAX);
    }

    #[test]
    fn what_was_just_written_is_resident_to_the_files_end() {
        let file = file(100_000);
        // The rest of the last page exists; those after it do not.
        for ask in [resident, resident_quickly] {
            assert_eq!(ask(&file, &(0..100_000)).unwrap(), 100_000);
            assert_eq!(ask(&file, &(12_345..99_999)).unwrap(), 87_654);
            let past = ask(&file, &(99_000..200_000)).unwrap();
            assert!(
                (1_000..1_000 + page_bytes() as u64).contains(&past),
                "{past}"
            );
            assert_eq!(ask(&file, &(200_000..200_001)).unwrap(), 0);
        }
        let mut buf = [0; 10];
        let read = |offset, buf: &mut [u8]| read_resident(&file, offset, buf).unwrap();
        assert_eq!(read(99_995, &mut buf), Resident::Bytes(5));
        assert_eq!(buf[0], (99_995 ^ 99_995 >> 8) as u8);
        assert_eq!(read(100_000, &mut buf), Resident::End);
        assert_eq!(read(1 << 40, &mut buf), Resident::End);
        assert!(read_resident(&file, u64::MAX, &mut buf).is_err());
    }

    #[test]
    fn ranges_that_no_window_holds_are_refused() {
        let file = file(10);
        let too_long = 0..2 * WINDOW_BYTES;
        let backwards = Range {
            start: 8192,
            end: 1,
        };
        for range in [too_long, backwards, u64::MAX - 10..u64::MAX] {
            assert!(resident(&file, &range).is_err(), "{range:?}");
        }
    }

    #[test]
    fn a_file_that_ends_too_early_is_told_from_one_that_cannot_be_read() {
        let file = file(10);
        let range = 5..10_000;
        for make in [make_resident, read_through] {
            make(&file, &(0..10)).unwrap();
            let error = make(&file, &range).unwrap_err();
            let why = why_not_resident(&file, &range, &error);
            assert_eq!(
                why,
                "it ends at byte 10, before the end of the range at 10000"
            );
        }
        let error = io::Error::from_raw_os_error(libc::EIO);
        let why = why_not_resident(&file, &(0..10), &error);
        assert!(why.contains("nput/output error"), "{why}");
    }
}
