//! Disk operations by `io_uring`: one system call a turn hands over all that is new, an eventfd
//! tells the loop when something has ended, and completions are read without any system call.

use super::Tag;
use super::job::{self, Done, Job, Outcome};
use crate::nvr::port::DiskError;
use crate::reactor::tokens::Target;
use io_uring::types::{Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, opcode, squeue};
use mio::unix::SourceFd;
use mio::{Interest, Registry};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Operations that the kernel works on at a time; further ones wait here. The completion queue has
/// twice as many entries, so it cannot overflow.
const DEPTH: u32 = 64;

/// Threads that the kernel may keep for what cannot be done at once: enough that a disk that hangs
/// does not hold up the others.
const MAX_KERNEL_THREADS: u32 = 8;

/// How often an operation is begun again that the kernel did not get to.
const MAX_RETRIES: u8 = 16;

/// How long dropping waits for the kernel to be done with our buffers. After that they are leaked:
/// what a dead disk holds is never freed under its hands.
const DROP_LIMIT: Duration = Duration::from_secs(5);

/// The opcodes that must be there (Linux 5.11).
const OPCODES: [u8; 6] = [
    opcode::OpenAt::CODE,
    opcode::Close::CODE,
    opcode::Read::CODE,
    opcode::Write::CODE,
    opcode::Fsync::CODE,
    opcode::UnlinkAt::CODE,
];

/// An operation that the kernel has, or is about to get.
#[derive(Debug)]
struct Flight {
    tag: Tag,
    work: Work,
    /// Bytes written or read so far, or steps made.
    progress: usize,
    retries: u8,
}

/// What the kernel works with. Nothing in here moves in memory or is freed while it does: the bytes
/// of a `Vec` and a `CString` stay where they are when their owner moves.
#[derive(Debug)]
enum Work {
    Job(Job),
    Read {
        file: Arc<File>,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// The descriptor is the kernel's to close.
    Close(RawFd),
}

/// The ring and what is on its way through it.
pub(super) struct Uring {
    ring: IoUring,
    /// By `user_data`.
    flights: Vec<Option<Flight>>,
    free: Vec<u32>,
    waiting: VecDeque<(Tag, Job)>,
    /// Flights to be handed over once more: cut short or not begun.
    again: VecDeque<u32>,
    done: VecDeque<(Tag, Done)>,
    /// The kernel did not take all that is in the submission queue.
    unsubmitted: bool,
    _eventfd: EventFd,
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring")
            .field("in_flight", &(self.flights.len() - self.free.len()))
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

impl Uring {
    /// An error means that this kernel, or what confines us, has not all that is needed.
    pub(super) fn new(registry: &Registry) -> io::Result<Uring> {
        let ring = IoUring::new(DEPTH)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !OPCODES.iter().all(|&code| probe.is_supported(code))
            || !ring.params().is_feature_ext_arg()
        {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // Older kernels (before 5.15) have bounds of their own.
        let mut workers = [MAX_KERNEL_THREADS, MAX_KERNEL_THREADS];
        let _ = ring.submitter().register_iowq_max_workers(&mut workers);
        let eventfd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let raw = std::os::fd::AsFd::as_fd(&eventfd).as_raw_fd();
        ring.submitter().register_eventfd(raw)?;
        // Edge-triggered, and each completion is an edge: its counter need never be read.
        registry.register(
            &mut SourceFd(&raw),
            Target::Uring.token(),
            Interest::READABLE,
        )?;
        Ok(Uring {
            ring,
            flights: (0..DEPTH).map(|_| None).collect(),
            free: (0..DEPTH).collect(),
            waiting: VecDeque::new(),
            again: VecDeque::new(),
            done: VecDeque::new(),
            unsubmitted: false,
            _eventfd: eventfd,
        })
    }

    /// Takes on an operation that [`Job::suits_uring`].
    pub(super) fn push(&mut self, tag: Tag, job: Job) {
        self.waiting.push_back((tag, job));
    }

    /// Hands over what is new, as far as there is room.
    pub(super) fn flush(&mut self) {
        let mut pushed = self.unsubmitted;
        // Those that find no room go back to the end.
        for _ in 0..self.again.len() {
            if let Some(index) = self.again.pop_front() {
                pushed |= self.hand_over(index);
            }
        }
        while let Some(&index) = self.free.last() {
            let Some((tag, job)) = self.waiting.pop_front() else {
                break;
            };
            let work = match Work::new(job) {
                Ok(work) => work,
                Err(done) => {
                    self.done.push_back((tag, done));
                    continue;
                }
            };
            self.free.pop();
            self.flights[index as usize] = Some(Flight {
                tag,
                work,
                progress: 0,
                retries: 0,
            });
            pushed |= self.hand_over(index);
        }
        if pushed {
            // An error (no memory, a signal) leaves the entries in the queue for the next time.
            self.unsubmitted = self.ring.submit().is_err() || !self.ring.submission().is_empty();
        }
    }

    /// Whether there is something to hand over that no completion will remind of.
    pub(super) fn wants_flush(&self) -> bool {
        self.unsubmitted
            || !self.again.is_empty()
            || !self.done.is_empty()
            || (!self.waiting.is_empty() && !self.free.is_empty())
    }

    /// The next operation that has ended.
    pub(super) fn next_done(&mut self) -> Option<(Tag, Done)> {
        loop {
            if let Some(done) = self.done.pop_front() {
                return Some(done);
            }
            let entry = self.ring.completion().next()?;
            self.complete(entry.user_data() as u32, entry.result());
        }
    }

    /// Puts a flight's entry into the submission queue; if that is full it goes the next time.
    fn hand_over(&mut self, index: u32) -> bool {
        let Some(flight) = &mut self.flights[index as usize] else {
            return false;
        };
        let entry = flight.entry().user_data(u64::from(index));
        // SAFETY: what the entry points to is owned by the flight, which stays in `flights` until
        // its completion was seen (or is leaked, see `drop`).
        if unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.again.push_back(index);
            return false;
        }
        true
    }

    fn complete(&mut self, index: u32, result: i32) {
        let Some(flight) = self
            .flights
            .get_mut(index as usize)
            .and_then(Option::as_mut)
        else {
            return;
        };
        match flight.advance(result) {
            Progress::Again => self.again.push_back(index),
            Progress::Ended(result) => {
                if let Some(flight) = self.flights[index as usize].take() {
                    self.free.push(index);
                    self.done.push_back((flight.tag, flight.end(result)));
                }
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.flights.len() - self.free.len() - self.again.len()
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        let deadline = Instant::now() + DROP_LIMIT;
        let step = Timespec::new().nsec(100_000_000);
        let args = SubmitArgs::new().timespec(&step);
        while self.in_flight() > 0 && Instant::now() < deadline {
            let _ = self.ring.submitter().submit_with_args(1, &args);
            while self.next_done().is_some() {}
        }
        if self.in_flight() > 0 {
            std::mem::forget(std::mem::take(&mut self.flights));
        }
    }
}

/// How a completion leaves an operation.
enum Progress {
    /// It has to be handed over (once more).
    Again,
    /// With the system call's non-negative result.
    Ended(Result<u32, io::Error>),
}

impl Work {
    /// Prepares a job; one that cannot be begun has ended.
    fn new(job: Job) -> Result<Work, Done> {
        let no_offset = |offset: u64| i64::try_from(offset).is_err();
        match job {
            Job::Read { offset, .. } | Job::Write { offset, .. } if no_offset(offset) => {
                Err(Done {
                    result: Err(io::Error::from(io::ErrorKind::InvalidInput).into()),
                    buffer: job.into_buffer(),
                })
            }
            Job::Read { file, offset, len } => Ok(Work::Read {
                file,
                offset,
                bytes: vec![0; len as usize],
            }),
            Job::Close { file } => match Arc::into_inner(file) {
                Some(file) => Ok(Work::Close(file.into_raw_fd())),
                None => Err(Done {
                    result: Ok(Outcome::Done),
                    buffer: None,
                }),
            },
            job => Ok(Work::Job(job)),
        }
    }
}

impl Flight {
    fn entry(&mut self) -> squeue::Entry {
        let progress = self.progress;
        let at = |offset: u64| offset + progress as u64;
        let fd = |file: &File| Fd(file.as_raw_fd());
        match &mut self.work {
            Work::Read {
                file,
                offset,
                bytes,
            } => {
                let rest = &mut bytes[progress..];
                opcode::Read::new(fd(file), rest.as_mut_ptr(), rest.len() as u32)
                    .offset(at(*offset))
                    .build()
            }
            // Letting go of a file may free it, which takes the file system its time.
            Work::Close(raw) => opcode::Close::new(Fd(*raw))
                .build()
                .flags(squeue::Flags::ASYNC),
            Work::Job(Job::Write { file, offset, data }) => {
                let rest = &data[progress..];
                opcode::Write::new(fd(file), rest.as_ptr(), rest.len() as u32)
                    .offset(at(*offset))
                    .build()
            }
            Work::Job(Job::Open { dir, name, flags }) => {
                opcode::OpenAt::new(fd(dir.file()), name.as_ptr())
                    .flags(*flags)
                    .mode(job::FILE_MODE)
                    .build()
            }
            Work::Job(Job::Sync { file }) => opcode::Fsync::new(fd(file))
                .flags(FsyncFlags::DATASYNC)
                .build(),
            // First the journal's folder, then the directory.
            Work::Job(Job::SyncDir { dir }) => {
                let folder = dir.journal().filter(|_| progress == 0);
                opcode::Fsync::new(fd(folder.unwrap_or(dir.file()))).build()
            }
            Work::Job(Job::Unlink { dir, name }) => {
                opcode::UnlinkAt::new(fd(dir.file()), name.as_ptr()).build()
            }
            // `suits_uring` keeps these away, and `Work::new` has turned the others into something
            // else. Doing nothing is harmless.
            Work::Job(
                Job::Attach { .. }
                | Job::Space { .. }
                | Job::Read { .. }
                | Job::Close { .. }
                | Job::MakeResident { .. },
            ) => opcode::Nop::new().build(),
        }
    }

    /// Takes in a completion's result: a negative error number, or what the system call says.
    fn advance(&mut self, result: i32) -> Progress {
        let Ok(n) = u32::try_from(result) else {
            let retry = matches!(-result, libc::EINTR | libc::EAGAIN)
                && !matches!(self.work, Work::Close(_))
                && self.retries < MAX_RETRIES;
            if retry {
                self.retries += 1;
                return Progress::Again;
            }
            return Progress::Ended(Err(io::Error::from_raw_os_error(-result)));
        };
        let whole = match &self.work {
            Work::Read { bytes, .. } => bytes.len(),
            Work::Job(Job::Write { data, .. }) => data.len(),
            Work::Job(Job::SyncDir { dir }) if dir.journal().is_some() && self.progress == 0 => {
                self.progress = 1;
                return Progress::Again;
            }
            _ => return Progress::Ended(Ok(n)),
        };
        self.progress += n as usize;
        let is_write = matches!(self.work, Work::Job(_));
        match n {
            _ if self.progress >= whole => Progress::Ended(Ok(n)),
            0 if is_write => Progress::Ended(Err(io::ErrorKind::WriteZero.into())),
            // The end of the file.
            0 => Progress::Ended(Ok(n)),
            _ => {
                self.retries = 0;
                Progress::Again
            }
        }
    }

    fn end(self, result: Result<u32, io::Error>) -> Done {
        let progress = self.progress;
        let failed = |e: io::Error| -> Result<Outcome, DiskError> { Err(job::disk_error(e)) };
        let (result, buffer) = match (self.work, result) {
            (Work::Job(job @ Job::Write { .. }), result) => {
                let result = result.map_or_else(failed, |_| Ok(Outcome::Done));
                (result, job.into_buffer())
            }
            (Work::Read { mut bytes, .. }, Ok(_)) => {
                bytes.truncate(progress);
                (Ok(Outcome::Read(bytes)), None)
            }
            (Work::Job(Job::Open { .. }), Ok(fd)) => {
                // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
                let file = unsafe { File::from_raw_fd(fd as RawFd) };
                (Ok(Outcome::Opened(file)), None)
            }
            (Work::Job(Job::Unlink { .. }), Err(e)) if e.kind() == io::ErrorKind::NotFound => {
                (Ok(Outcome::Done), None)
            }
            (_, Ok(_)) => (Ok(Outcome::Done), None),
            (_, Err(e)) => (failed(e), None),
        };
        Done { result, buffer }
    }
}
