//! The disk: sample directories and files behind one port, for which there are two ways to work.
//!
//! [`uring`] is preferred: one system call a turn for whatever there is to do, and no thread of ours
//! waits. Where the kernel has none of it, two threads do the same one after another. What is made
//! of several steps ([`Job::Attach`]) or has no opcode ([`Job::Space`]) is done by the threads either
//! way. Some threads more bring what is to be sent into memory ([`Disk::make_resident`]).
//!
//! Owned by the event loop. What it promises beyond the port: operations on one file are done one
//! at a time in the order in which they were asked for, so that they may be asked for ahead of
//! answers (create, write, sync, close); those on different files are not ordered.

pub mod directory;
pub(in crate::reactor) mod job;
#[cfg(test)]
mod tests;
pub(in crate::reactor) mod uring;
pub(in crate::reactor) mod window;

use super::tokens::SlotKey;
use super::workers::Workers;
use crate::nvr::port::{DiskError, DiskReply, DiskRequest, FileId, OpId};
use crate::recording::DirId;
use crate::time::Monotonic;
use directory::SampleDirectory;
use job::{AttachFn, Done, Job, Outcome};
use mio::{Registry, Waker};
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use uring::Uring;

/// Operations under way or waiting. Further ones fail: the core has bounds of its own that are well
/// below this.
pub const MAX_OPERATIONS: usize = 2048;

/// The most that one read may ask for.
pub const MAX_READ_BYTES: u32 = 4 << 20;

/// Threads for what `io_uring` does not do; or for everything. Two, so that a disk that hangs does
/// not hold up all of the others.
const THREADS: usize = 2;

/// Windows that are made resident at a time, over all disks, by a thread each: they are not those that recording
/// needs.
pub(in crate::reactor) const MAX_COLD_READS: usize = 4;

/// The same on one disk: the head of a slow one moves between recording and so many readers, and
/// one that hangs leaves others their share.
const MAX_COLD_READS_A_DIRECTORY: usize = 2;

/// Which way to work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskChoice {
    /// `io_uring` if the kernel has all that is needed of it, else threads.
    #[default]
    Auto,
    /// `io_uring` or an error.
    Uring,
    Threads,
}

/// Whom an operation's end concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reactor) enum Tag {
    Core {
        op: OpId,
        about: About,
    },
    /// A connection that waits for a window, or will want it next.
    Reader {
        reader: SlotKey,
        ahead: bool,
        dir: DirId,
    },
    Nobody,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reactor) enum About {
    Dir(DirId),
    File(FileId),
}

/// An answer for the core: [`crate::nvr::port::Event::Disk`].
#[derive(Debug)]
pub(in crate::reactor) struct Completed {
    pub(in crate::reactor) op: OpId,
    pub(in crate::reactor) result: Result<DiskReply, DiskError>,
    pub(in crate::reactor) buffer: Option<Vec<u8>>,
}

/// A window that a connection wants in memory.
#[derive(Debug)]
pub(in crate::reactor) struct ColdRead {
    pub(in crate::reactor) reader: SlotKey,
    /// The connection does not wait for it yet.
    pub(in crate::reactor) ahead: bool,
    pub(in crate::reactor) file: SharedFile,
    pub(in crate::reactor) range: Range<u64>,
}

/// What became of a [`ColdRead`]; an error is why the range cannot be had, in words.
#[derive(Debug)]
pub(in crate::reactor) struct Warmed {
    pub(in crate::reactor) reader: SlotKey,
    pub(in crate::reactor) ahead: bool,
    pub(in crate::reactor) result: Result<(), String>,
}

/// An open file and the directory it was opened in.
#[derive(Clone, Debug)]
pub(in crate::reactor) struct SharedFile {
    pub(in crate::reactor) dir: DirId,
    pub(in crate::reactor) file: Arc<File>,
}

/// A file that the core knows by an id.
#[derive(Debug)]
struct OpenFile {
    dir: DirId,
    /// `None` until it is open, and once it is being closed.
    file: Option<Arc<File>>,
    /// An operation on it is under way.
    busy: bool,
    waiting: VecDeque<(OpId, FileJob)>,
}

/// An operation on a file that waits for those before it.
#[derive(Debug)]
enum FileJob {
    Write { offset: u64, data: Vec<u8> },
    Read { offset: u64, len: u32 },
    Sync,
    Close,
}

type DiskThreads = Workers<(Tag, Job), (Tag, Done)>;

/// The disk.
#[derive(Debug)]
pub(in crate::reactor) struct Disk {
    attach: AttachFn,
    uring: Option<Uring>,
    threads: DiskThreads,
    /// Threads that make windows resident.
    readers: DiskThreads,
    /// The directories of windows that are being made resident.
    cold_reads: Vec<DirId>,
    warmed: VecDeque<Warmed>,
    dirs: HashMap<DirId, Arc<SampleDirectory>>,
    files: HashMap<FileId, OpenFile>,
    /// Operations that are not answered yet, those that are about to be not counted.
    unanswered: usize,
    most_unanswered: usize,
    completed: VecDeque<Completed>,
    /// When an operation last ended, or the first one began to wait.
    moved: Monotonic,
}

impl Disk {
    /// Sets out to work as `choice` says. The second value is why there is no `io_uring`, if it was
    /// wanted.
    pub(in crate::reactor) fn start(
        choice: DiskChoice,
        attach: AttachFn,
        registry: &Registry,
        waker: &Arc<Waker>,
    ) -> io::Result<(Disk, Option<io::Error>)> {
        let (uring, refused) = match choice {
            DiskChoice::Threads => (None, None),
            DiskChoice::Uring => (Some(Uring::new(registry)?), None),
            DiskChoice::Auto => match Uring::new(registry) {
                Ok(uring) => (Some(uring), None),
                Err(e) => (None, Some(e)),
            },
        };
        let threads = |name, count, capacity| {
            let handlers = vec![|(tag, job): (Tag, Job)| (tag, job.run()); count];
            Workers::start(name, handlers, capacity, waker)
        };
        let disk = Disk {
            attach,
            uring,
            threads: threads("disk", THREADS, MAX_OPERATIONS)?,
            readers: threads("read", MAX_COLD_READS, MAX_COLD_READS)?,
            cold_reads: Vec::new(),
            warmed: VecDeque::new(),
            dirs: HashMap::new(),
            files: HashMap::new(),
            unanswered: 0,
            most_unanswered: 0,
            completed: VecDeque::new(),
            moved: Monotonic::default(),
        };
        Ok((disk, refused))
    }

    /// `io_uring` or `threads`.
    pub(in crate::reactor) fn backend(&self) -> &'static str {
        match self.uring {
            Some(_) => "io_uring",
            None => "threads",
        }
    }

    /// Operations that are not answered, and the most there ever were.
    pub(in crate::reactor) fn operations(&self) -> (usize, usize) {
        (self.unanswered, self.most_unanswered)
    }

    /// Since when operations have waited without any of them ending.
    pub(in crate::reactor) fn stuck_since(&self) -> Option<Monotonic> {
        (self.unanswered > 0).then_some(self.moved)
    }

    /// Takes on an operation. Nothing reaches `io_uring` before [`Self::flush`].
    pub(in crate::reactor) fn submit(&mut self, now: Monotonic, op: OpId, request: DiskRequest) {
        if self.unanswered >= MAX_OPERATIONS {
            let busy = io::Error::new(io::ErrorKind::WouldBlock, "too many disk operations");
            let buffer = match request {
                DiskRequest::Write { data, .. } => Some(data),
                _ => None,
            };
            return self.answer(op, Err(busy.into()), buffer);
        }
        if self.unanswered == 0 {
            self.moved = now;
        }
        match request {
            DiskRequest::Attach { dir, path, request } => {
                let attach = self.attach;
                let job = Job::Attach {
                    attach,
                    path,
                    request,
                };
                self.begin(
                    now,
                    Tag::Core {
                        op,
                        about: About::Dir(dir),
                    },
                    job,
                );
            }
            DiskRequest::Detach { dir } => {
                let known = self.dirs.remove(&dir).ok_or(DiskError::NotOpen);
                self.answer(op, known.map(|_| DiskReply::Done), None);
            }
            DiskRequest::Create { file, dir, name } => {
                self.open(now, op, file, dir, &name, job::CREATE_FLAGS);
            }
            DiskRequest::Open { file, dir, name } => {
                self.open(now, op, file, dir, &name, job::READ_FLAGS);
            }
            DiskRequest::Write { file, offset, data } => {
                self.enqueue(now, op, file, FileJob::Write { offset, data });
            }
            DiskRequest::Read { len, .. } if len > MAX_READ_BYTES => {
                let e = io::Error::new(io::ErrorKind::InvalidInput, "too much to read at once");
                self.answer(op, Err(e.into()), None);
            }
            DiskRequest::Read { file, offset, len } => {
                self.enqueue(now, op, file, FileJob::Read { offset, len });
            }
            DiskRequest::Sync { file } => self.enqueue(now, op, file, FileJob::Sync),
            DiskRequest::Close { file } => self.enqueue(now, op, file, FileJob::Close),
            DiskRequest::Unlink { dir, name } => {
                let job = |dir| {
                    let name = directory::checked_name(&name)?;
                    Ok(Job::Unlink { dir, name })
                };
                self.begin_in_dir(now, op, dir, job);
            }
            DiskRequest::SyncDir { dir } => {
                self.begin_in_dir(now, op, dir, |dir| Ok(Job::SyncDir { dir }));
            }
            DiskRequest::Space { dir } => {
                self.begin_in_dir(now, op, dir, |dir| Ok(Job::Space { dir }));
            }
        }
    }

    /// An open file, which stays open for as long as somebody has it. Who has had enough of it says
    /// so by [`Self::release`].
    pub(in crate::reactor) fn file(&self, id: FileId) -> Option<SharedFile> {
        let open = self.files.get(&id)?;
        let file = open.file.clone()?;
        Some(SharedFile {
            dir: open.dir,
            file,
        })
    }

    /// Lets go of a file. Closing the last reference to one that was unlinked frees it, which takes
    /// the file system its time: not on this thread.
    pub(in crate::reactor) fn release(&mut self, now: Monotonic, file: Arc<File>) {
        if let Some(file) = Arc::into_inner(file) {
            let file = Arc::new(file);
            self.begin(now, Tag::Nobody, Job::Close { file });
        }
    }

    /// Whether [`Self::make_resident`] may be asked for files of this directory.
    pub(in crate::reactor) fn may_read(&self, dir: DirId) -> bool {
        let of_dir = self.cold_reads.iter().filter(|d| **d == dir).count();
        self.cold_reads.len() < MAX_COLD_READS && of_dir < MAX_COLD_READS_A_DIRECTORY
    }

    /// Brings a window into memory. Told by [`Self::next_warmed`].
    pub(in crate::reactor) fn make_resident(&mut self, now: Monotonic, read: ColdRead) {
        let SharedFile { dir, file } = read.file;
        let tag = Tag::Reader {
            reader: read.reader,
            ahead: read.ahead,
            dir,
        };
        self.cold_reads.push(dir);
        let range = read.range;
        self.begin(now, tag, Job::MakeResident { file, range });
    }

    /// The next window that is in memory now, or cannot be. They are found by
    /// [`Self::next_completed`].
    pub(in crate::reactor) fn next_warmed(&mut self) -> Option<Warmed> {
        self.warmed.pop_front()
    }

    /// Hands to the kernel what was taken on since the last time.
    pub(in crate::reactor) fn flush(&mut self) {
        if let Some(uring) = &mut self.uring {
            uring.flush();
        }
    }

    /// Whether [`Self::flush`] should be called again soon although nothing new happens.
    pub(in crate::reactor) fn wants_flush(&self) -> bool {
        self.uring.as_ref().is_some_and(Uring::wants_flush)
    }

    /// The next answer. To be called until there is none, in every turn.
    pub(in crate::reactor) fn next_completed(&mut self, now: Monotonic) -> Option<Completed> {
        loop {
            if let Some(completed) = self.completed.pop_front() {
                return Some(completed);
            }
            let from_uring = self.uring.as_mut().and_then(Uring::next_done);
            let (tag, done) = match from_uring {
                Some(done) => done,
                None => self.next_of_threads(now)?,
            };
            self.finish(now, tag, done);
        }
    }

    fn next_of_threads(&mut self, now: Monotonic) -> Option<(Tag, Done)> {
        let reply = self.threads.next_reply(now);
        reply.or_else(|| self.readers.next_reply(now))
    }

    /// Whether an answer is there that no wake-up will tell of.
    pub(in crate::reactor) fn has_completed(&self) -> bool {
        !self.completed.is_empty() || !self.warmed.is_empty()
    }

    fn open(
        &mut self,
        now: Monotonic,
        op: OpId,
        file: FileId,
        dir: DirId,
        name: &str,
        flags: libc::c_int,
    ) {
        if self.files.contains_key(&file) {
            let e = io::Error::new(io::ErrorKind::AlreadyExists, "the file's id is in use");
            return self.answer(op, Err(e.into()), None);
        }
        let Some(open_dir) = self.dirs.get(&dir).cloned() else {
            return self.answer(op, Err(DiskError::NotOpen), None);
        };
        match directory::checked_name(name) {
            Ok(name) => {
                let new = OpenFile {
                    dir,
                    file: None,
                    busy: true,
                    // So that its first operation asks for no memory.
                    waiting: VecDeque::with_capacity(1),
                };
                self.files.insert(file, new);
                let about = About::File(file);
                let job = Job::Open {
                    dir: open_dir,
                    name,
                    flags,
                };
                self.begin(now, Tag::Core { op, about }, job);
            }
            Err(e) => self.answer(op, Err(e.into()), None),
        }
    }

    fn enqueue(&mut self, now: Monotonic, op: OpId, id: FileId, job: FileJob) {
        match self.files.get_mut(&id) {
            Some(file) => {
                file.waiting.push_back((op, job));
                self.unanswered += 1;
                self.most_unanswered = self.most_unanswered.max(self.unanswered);
                self.next_of_file(now, id);
            }
            None => {
                let buffer = job.into_buffer();
                self.answer(op, Err(DiskError::NotOpen), buffer);
            }
        }
    }

    /// Begins the next operation on a file, if there is one and it may begin.
    fn next_of_file(&mut self, now: Monotonic, id: FileId) {
        let Some(open) = self.files.get_mut(&id) else {
            return;
        };
        if open.busy {
            return;
        }
        let Some((op, job)) = open.waiting.pop_front() else {
            return;
        };
        // It is counted again when it begins.
        self.unanswered -= 1;
        let Some(file) = open.file.clone() else {
            // It could not be opened, or was closed.
            self.answer(op, Err(DiskError::NotOpen), job.into_buffer());
            if self.files.get(&id).is_some_and(|f| f.waiting.is_empty()) {
                self.files.remove(&id);
            }
            return self.next_of_file(now, id);
        };
        open.busy = true;
        let job = match job {
            FileJob::Write { offset, data } => Job::Write { file, offset, data },
            FileJob::Read { offset, len } => Job::Read { file, offset, len },
            FileJob::Sync => Job::Sync { file },
            FileJob::Close => {
                open.file = None;
                Job::Close { file }
            }
        };
        self.begin(
            now,
            Tag::Core {
                op,
                about: About::File(id),
            },
            job,
        );
    }

    fn begin_in_dir(
        &mut self,
        now: Monotonic,
        op: OpId,
        dir: DirId,
        job: impl FnOnce(Arc<SampleDirectory>) -> io::Result<Job>,
    ) {
        let job = match self.dirs.get(&dir) {
            Some(open) => job(open.clone()).map_err(DiskError::from),
            None => Err(DiskError::NotOpen),
        };
        match job {
            Ok(job) => self.begin(
                now,
                Tag::Core {
                    op,
                    about: About::Dir(dir),
                },
                job,
            ),
            Err(e) => self.answer(op, Err(e), None),
        }
    }

    fn begin(&mut self, now: Monotonic, tag: Tag, job: Job) {
        self.unanswered += 1;
        self.most_unanswered = self.most_unanswered.max(self.unanswered);
        let threads = match &mut self.uring {
            _ if matches!(job, Job::MakeResident { .. }) => &mut self.readers,
            Some(uring) if job.suits_uring() => return uring.push(tag, job),
            _ => &mut self.threads,
        };
        // There is room for all that is let in, so this fails only if the threads are dead.
        if let Err((tag, job)) = threads.submit(now, (tag, job)) {
            let dead = io::Error::other("the disk threads have ended");
            let done = Done {
                result: Err(dead.into()),
                buffer: job.into_buffer(),
            };
            self.finish(now, tag, done);
        }
    }

    /// An operation has ended.
    fn finish(&mut self, now: Monotonic, tag: Tag, done: Done) {
        self.unanswered -= 1;
        self.moved = now;
        match tag {
            Tag::Core { op, about } => self.finish_core(now, op, about, done),
            Tag::Reader { reader, ahead, dir } => {
                if let Some(i) = self.cold_reads.iter().position(|d| *d == dir) {
                    self.cold_reads.swap_remove(i);
                }
                let result = match done.result {
                    Ok(Outcome::Resident {
                        file,
                        range,
                        result,
                    }) => {
                        let result =
                            result.map_err(|e| window::why_not_resident(&file, &range, &e));
                        self.release(now, file);
                        result
                    }
                    Ok(_) => Ok(()),
                    Err(e) => Err(e.to_string()),
                };
                self.warmed.push_back(Warmed {
                    reader,
                    ahead,
                    result,
                });
            }
            // A file that was only read has nothing to tell.
            Tag::Nobody => {}
        }
    }

    /// Keeps what an operation of the core's has opened, answers, and goes on with the file's next.
    fn finish_core(&mut self, now: Monotonic, op: OpId, about: About, done: Done) {
        let reply = match (done.result, about) {
            (Ok(Outcome::Attached(open, attached)), About::Dir(dir)) => {
                self.dirs.insert(dir, Arc::new(open));
                Ok(DiskReply::Attached(attached))
            }
            (Ok(Outcome::Opened(file)), About::File(id)) => {
                if let Some(open) = self.files.get_mut(&id) {
                    open.file = Some(Arc::new(file));
                }
                Ok(DiskReply::Done)
            }
            (Ok(Outcome::Read(bytes)), _) => Ok(DiskReply::Read(bytes)),
            (Ok(Outcome::Space(space)), _) => Ok(DiskReply::Space(space)),
            (Ok(_), _) => Ok(DiskReply::Done),
            (Err(e), _) => Err(e),
        };
        self.answer(op, reply, done.buffer);
        if let About::File(id) = about {
            if let Some(open) = self.files.get_mut(&id) {
                open.busy = false;
                if open.file.is_none() && open.waiting.is_empty() {
                    self.files.remove(&id);
                }
            }
            self.next_of_file(now, id);
        }
    }

    fn answer(&mut self, op: OpId, result: Result<DiskReply, DiskError>, buffer: Option<Vec<u8>>) {
        self.completed.push_back(Completed { op, result, buffer });
    }
}

impl FileJob {
    fn into_buffer(self) -> Option<Vec<u8>> {
        match self {
            FileJob::Write { data, .. } => Some(data),
            _ => None,
        }
    }
}
