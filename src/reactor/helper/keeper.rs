//! The blocking side of the helper process: starts it, asks it, and ends it when it is late, idle, or
//! of the wrong kind.
//!
//! A process that has decoded bytes from a network never sees a password, and the other way round: for
//! a request of the other kind a fresh one is started. One of them runs at a time.

use crate::access::password::{MAX_BYTES as MAX_PASSWORD_BYTES, Unfit};
use crate::config::Secret;
use crate::decoder::message::{self, Answered, Asked, PictureHead};
use crate::decoder::{
    Error, Kind, MAX_AVCC_BYTES, MAX_HASH_BYTES, MAX_PIXELS, MAX_SAMPLE_BYTES, MAX_SIDE_PIXELS,
    NO_FFMPEG, Reply, Request, SUBCOMMAND, serve,
};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair,
};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// This program itself, also when its file was replaced meanwhile.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

/// A request that is not done in this time has failed: the helper is killed. Most take far less than
/// a second, but the helper has to leave the processor to everybody else.
pub const TIME_LIMIT: Duration = Duration::from_secs(20);

/// The processor time that one request may take, and whatever the helper does behind it.
pub const CPU_LIMIT: Duration = Duration::from_secs(15);

/// A helper that nobody has asked anything for so long is ended, for its memory.
pub const IDLE_LIMIT: Duration = Duration::from_secs(120);

/// After a failure there are no requests of its kind for so long; doubled with each further one in a row.
pub const FIRST_REST: Duration = Duration::from_secs(1);
pub const LONGEST_REST: Duration = Duration::from_secs(60);

/// How often it is looked whether an idle helper still lives.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The first bytes of a JPEG: start of image, and of the next marker (ITU-T T.81 section B.1.1.3).
const JPEG_START: [u8; 3] = [0xff, 0xd8, 0xff];

/// How all hashes of passwords begin.
const HASH_START: &str = "$argon2id$";

/// The times that a keeper minds; other ones only in tests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub time: Duration,
    pub cpu: Duration,
    pub idle: Duration,
    pub first_rest: Duration,
    pub longest_rest: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            time: TIME_LIMIT,
            cpu: CPU_LIMIT,
            idle: IDLE_LIMIT,
            first_rest: FIRST_REST,
            longest_rest: LONGEST_REST,
        }
    }
}

/// Keeps the helper process.
#[derive(Debug)]
pub struct Keeper {
    program: PathBuf,
    limits: Limits,
    process: Option<Process>,
    /// By [`Kind`].
    rests: [Rest; 2],
}

/// After failures in a row.
#[derive(Debug, Default)]
struct Rest {
    failures: u32,
    until: Option<Instant>,
}

/// A request in the form that goes over the socket.
struct Prepared {
    kind: Kind,
    bytes: Vec<u8>,
    files: Option<Files>,
}

/// A picture's memory files.
struct Files {
    sample: File,
    jpeg: File,
}

/// How a conversation failed.
enum Broken {
    /// The helper was gone before the request could be sent.
    Gone,
    /// It ended instead of answering.
    Ended,
    TimedOut,
    /// It answered what it never should.
    Nonsense,
    System(io::Error),
}

impl Keeper {
    /// `program` is started with [`SUBCOMMAND`] and the kind as its arguments when it is needed.
    pub fn new(program: PathBuf, limits: Limits) -> Keeper {
        Keeper {
            program,
            limits,
            process: None,
            rests: Default::default(),
        }
    }

    /// Answers a request; blocks until then, a little longer than the time limit at most.
    pub fn handle(&mut self, request: Request) -> Result<Reply, Error> {
        let prepared = match prepare(request)? {
            Preparation::Ask(prepared) => prepared,
            Preparation::Known(reply) => return Ok(reply),
        };
        let rest = &self.rests[prepared.kind as usize];
        if let Some(wait) = rest.left(Instant::now()) {
            let secs = wait.as_secs_f64();
            let why = format!("it failed, and may be started again in {secs:.1} s");
            return Err(Error::Unavailable(why));
        }
        let result = self.ask(&prepared);
        let failed = result.is_err();
        self.rests[prepared.kind as usize].note(failed, &self.limits);
        // What the helper says itself is no failure of the helper.
        result.and_then(|answered| answered)
    }

    /// The process id of the helper, if there is one.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(|p| p.child.id())
    }

    /// When to call [`Self::look`], if nothing is asked until then.
    pub fn next_look(&self) -> Option<Duration> {
        let process = self.process.as_ref()?;
        let idle = self.limits.idle.saturating_sub(process.asked.elapsed());
        Some(idle.min(LOOK_INTERVAL))
    }

    /// Ends an idle helper, and buries one that has ended by itself.
    pub fn look(&mut self) {
        let limit = self.limits.idle;
        self.process
            .take_if(|p| p.asked.elapsed() >= limit || p.has_ended());
    }

    /// The outer result is the process's, the inner one the request's.
    fn ask(&mut self, prepared: &Prepared) -> Result<Result<Reply, Error>, Error> {
        // One that was started for something else, or has ended in its idle time.
        self.process
            .take_if(|p| p.kind != prepared.kind || p.has_ended());
        let was_there = self.process.is_some();
        let mut result = self.ask_once(prepared);
        if was_there && matches!(result, Err(Broken::Gone)) {
            // It ended in the moment before: that is not this request's fault.
            self.process = None;
            result = self.ask_once(prepared);
        }
        let limit = self.limits.time.as_secs();
        result.map_err(|broken| {
            let ended = self.process.take().map(Process::end);
            match broken {
                Broken::TimedOut => Error::TimedOut(limit),
                Broken::Nonsense => Error::Crashed("it answered nonsense".to_owned()),
                Broken::Gone | Broken::Ended => Error::Crashed(told(ended.flatten())),
                Broken::System(e) => Error::Unavailable(e.to_string()),
            }
        })
    }

    fn ask_once(&mut self, prepared: &Prepared) -> Result<Result<Reply, Error>, Broken> {
        let process = match &mut self.process {
            Some(process) => process,
            none => {
                let process = Process::start(&self.program, prepared.kind);
                none.insert(process.map_err(Broken::System)?)
            }
        };
        process.limit_cpu(self.limits.cpu);
        process.asked = Instant::now();
        process.send(prepared)?;
        let answered = process.receive(process.asked + self.limits.time)?;
        process.asked = Instant::now();
        match (answered, &prepared.files) {
            (Answered::Failed(error), _) => Ok(Err(error)),
            (Answered::Picture(len), Some(files)) => {
                let mut jpeg = vec![0; len as usize];
                let read = files.jpeg.read_exact_at(&mut jpeg, 0);
                if read.is_err() || !jpeg.starts_with(&JPEG_START) {
                    return Err(Broken::Nonsense);
                }
                Ok(Ok(Reply::Picture(jpeg)))
            }
            (Answered::Hash(hash), None) if hash.starts_with(HASH_START) => {
                Ok(Ok(Reply::Hash(Secret(hash))))
            }
            (Answered::Verified(right), None) => Ok(Ok(Reply::Verified(right))),
            _ => Err(Broken::Nonsense),
        }
    }
}

impl Rest {
    /// How long nothing is asked for.
    fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    fn note(&mut self, failed: bool, limits: &Limits) {
        if !failed {
            *self = Rest::default();
            return;
        }
        let doubled = limits.first_rest.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.until = Some(Instant::now() + doubled.min(limits.longest_rest));
    }
}

/// What a request comes to before anybody is asked.
enum Preparation {
    Ask(Prepared),
    Known(Reply),
}

/// Checks a request against all limits, and makes what is to be sent of it.
fn prepare(request: Request) -> Result<Preparation, Error> {
    let (asked, files) = match request {
        Request::Picture { .. } if cfg!(not(feature = "ffmpeg")) => {
            return Err(Error::Unsupported(NO_FFMPEG));
        }
        Request::Picture {
            entry,
            sample,
            max_width,
            quality,
        } => {
            let (width, height) = (u32::from(entry.width), u32::from(entry.height));
            let fits = sample.len() <= MAX_SAMPLE_BYTES
                && entry.avcc.len() <= MAX_AVCC_BYTES
                && width.max(height) <= MAX_SIDE_PIXELS
                && width * height <= MAX_PIXELS;
            if !fits {
                return Err(Error::TooLarge);
            }
            let head = PictureHead {
                avcc_bytes: entry.avcc.len() as u32,
                sample_bytes: sample.len() as u32,
                pixel_h_spacing: entry.pixel_h_spacing,
                pixel_v_spacing: entry.pixel_v_spacing,
                max_width,
                quality,
            };
            let files = Files::new(&entry.avcc, &sample);
            let files = files.map_err(|e| Error::Unavailable(format!("memory file: {e}")))?;
            (Asked::Picture(head), Some(files))
        }
        Request::HashPassword(password) => {
            if password.0.len() > MAX_PASSWORD_BYTES {
                return Err(Error::Unfit(Unfit::TooLong));
            }
            (Asked::Hash(password.0), None)
        }
        Request::VerifyPassword { password, hash } => {
            if hash.0.len() > MAX_HASH_BYTES {
                return Err(Error::BadHash);
            }
            if password.0.len() > MAX_PASSWORD_BYTES {
                return Ok(Preparation::Known(Reply::Verified(false)));
            }
            let asked = Asked::Verify {
                password: password.0,
                hash: hash.0,
            };
            (asked, None)
        }
    };
    // All lengths were checked, so it fits.
    let bytes = asked.encode().ok_or(Error::TooLarge)?;
    Ok(Preparation::Ask(Prepared {
        kind: asked.kind(),
        bytes,
        files,
    }))
}

impl Files {
    fn new(avcc: &[u8], sample: &[u8]) -> io::Result<Files> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let from = File::from(memfd_create(c"sample", flags)?);
        // The position stays at the start, where the helper reads.
        from.write_all_at(avcc, 0)?;
        from.write_all_at(sample, avcc.len() as u64)?;
        let seals = SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_WRITE
            | SealFlag::F_SEAL_SEAL;
        fcntl(&from, FcntlArg::F_ADD_SEALS(seals))?;
        let jpeg = File::from(memfd_create(c"jpeg", MFdFlags::MFD_CLOEXEC)?);
        Ok(Files { sample: from, jpeg })
    }
}

/// A helper process. Dropped, it is killed and buried.
#[derive(Debug)]
struct Process {
    kind: Kind,
    child: Child,
    socket: OwnedFd,
    /// When it was last asked something or answered.
    asked: Instant,
}

impl Process {
    fn start(program: &PathBuf, kind: Kind) -> io::Result<Process> {
        let (socket, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        let mut command = Command::new(program);
        command
            .arg0("moonfire-nvr")
            .args([SUBCOMMAND, kind.as_str()])
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What is typed at our terminal is not for it.
            .process_group(0);
        // Where FFmpeg is, if it is somewhere special.
        if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
            command.env("LD_LIBRARY_PATH", path);
        }
        Ok(Process {
            kind,
            child: command.spawn()?,
            socket,
            asked: Instant::now(),
        })
    }

    /// Whether it has ended by itself; it is then buried.
    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// From now on it may compute for so long, until the next request: then `SIGXCPU` ends it. Where the
    /// system refuses, there is still the time limit.
    fn limit_cpu(&self, limit: Duration) {
        let pid = self.child.id() as libc::pid_t;
        // SAFETY: all pointers are to values that live through the calls; the process is our child
        // and not yet waited for, so that the number is its own.
        unsafe {
            let mut clock = 0;
            let mut used: libc::timespec = std::mem::zeroed();
            let mut old: libc::rlimit = std::mem::zeroed();
            let known = libc::clock_getcpuclockid(pid, &raw mut clock) == 0
                && libc::clock_gettime(clock, &raw mut used) == 0
                && libc::prlimit(pid, libc::RLIMIT_CPU, std::ptr::null(), &raw mut old) == 0;
            if known {
                // Begun seconds count.
                let most = used.tv_sec as libc::rlim_t + limit.as_secs() as libc::rlim_t + 1;
                old.rlim_cur = most.min(old.rlim_max);
                libc::prlimit(pid, libc::RLIMIT_CPU, &raw const old, std::ptr::null_mut());
            }
        }
    }

    fn send(&self, prepared: &Prepared) -> Result<(), Broken> {
        let part = [IoSlice::new(&prepared.bytes)];
        let fds: Vec<RawFd> = match &prepared.files {
            Some(files) => vec![files.sample.as_raw_fd(), files.jpeg.as_raw_fd()],
            None => Vec::new(),
        };
        let rights = [ControlMessage::ScmRights(&fds)];
        let control = if fds.is_empty() { &[] } else { &rights[..] };
        // The buffer is empty: what was sent before has been answered.
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        match sendmsg::<()>(self.socket.as_raw_fd(), &part, control, flags, None) {
            Ok(_) => Ok(()),
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(Broken::Gone),
            Err(e) => Err(Broken::System(e.into())),
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<Answered, Broken> {
        // One byte more than there may be, so that a longer datagram shows.
        let mut bytes = [0; message::MAX_BYTES + 1];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Broken::TimedOut);
            }
            let ready = PollFd::new(self.socket.as_fd(), PollFlags::POLLIN);
            // Rounded up, so that the last millisecond is not spent turning.
            let wait = PollTimeout::try_from(left + Duration::from_millis(1));
            match poll(&mut [ready], wait.unwrap_or(PollTimeout::MAX)) {
                Ok(0) | Err(Errno::EINTR) => continue,
                Ok(_) => {}
                Err(e) => return Err(Broken::System(e.into())),
            }
            // Without a place for them, descriptors that it might send are closed by the kernel.
            match recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
                Ok(0) | Err(Errno::ECONNRESET) => return Err(Broken::Ended),
                Ok(len) => return Answered::decode(&bytes[..len]).ok_or(Broken::Nonsense),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(e) => return Err(Broken::System(e.into())),
            }
        }
    }

    /// Ends it now, if it has not ended itself, and says how it ended.
    fn end(mut self) -> Option<ExitStatus> {
        self.kill()
    }

    fn kill(&mut self) -> Option<ExitStatus> {
        // It has nothing to put away. One that has ended by itself keeps its own status.
        let _ = self.child.kill();
        self.child.wait().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How it ended, for the log.
fn told(status: Option<ExitStatus>) -> String {
    let Some(status) = status else {
        return "it ended".to_owned();
    };
    match (status.code().map(u8::try_from), status.signal()) {
        (Some(Ok(serve::NO_SANDBOX)), _) => "this system gave it no sandbox".to_owned(),
        (Some(Ok(serve::BAD_REQUEST)), _) => "it did not understand the request".to_owned(),
        (_, Some(libc::SIGSYS)) => "its sandbox ended it".to_owned(),
        (_, Some(libc::SIGXCPU)) => "it took too much processor time".to_owned(),
        _ => status.to_string(),
    }
}
