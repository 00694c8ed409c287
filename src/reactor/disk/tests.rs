//! One suite for both ways to work, and the real [`SampleDirectory`].

use super::*;
use crate::nvr::port::Space;
use crate::recording::DirIdentity;
use crate::recording::directory::Directory;
use crate::recording::recovery::{AttachError, AttachRequest, Attached};
use mio::{Events, Poll};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);
const NOW: Monotonic = Monotonic(1);
const DIR: DirId = DirId(1);

/// `/dev` can be locked by one at a time.
static DEV: Mutex<()> = Mutex::new(());

type Answer = (Result<DiskReply, DiskError>, Option<Vec<u8>>);

/// A disk and what it answered.
struct Bench {
    disk: Disk,
    poll: Poll,
    next_op: u64,
    answers: BTreeMap<OpId, Answer>,
    order: Vec<OpId>,
}

impl Bench {
    /// `None` where this machine has no `io_uring`, which is then not to be tested.
    fn new(choice: DiskChoice) -> Option<Bench> {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let attach = |_: &SampleDirectory, _: &AttachRequest| Ok(Attached::default());
        let disk = match Disk::start(choice, attach, poll.registry(), &waker) {
            Ok((disk, _)) => disk,
            Err(e) => {
                assert_eq!(choice, DiskChoice::Uring);
                let refused = [libc::ENOSYS, libc::EPERM, libc::EACCES];
                let code = e.raw_os_error();
                assert!(code.is_none_or(|c| refused.contains(&c)), "{e}");
                // No package brings it: the kernel is old, or its owner or a container forbids it.
                eprintln!("passed over: this machine lets nobody use io_uring ({e})");
                return None;
            }
        };
        Some(Bench {
            disk,
            poll,
            next_op: 0,
            answers: BTreeMap::new(),
            order: Vec::new(),
        })
    }

    fn submit(&mut self, request: DiskRequest) -> OpId {
        self.next_op += 1;
        let op = OpId(self.next_op);
        self.disk.submit(NOW, op, request);
        op
    }

    /// A turn of a loop: hands over, waits a little, takes the answers there are.
    fn turn(&mut self) {
        self.disk.flush();
        let wait = match self.disk.wants_flush() || self.disk.has_completed() {
            true => Duration::ZERO,
            false => Duration::from_millis(100),
        };
        let mut events = Events::with_capacity(8);
        match self.poll.poll(&mut events, Some(wait)) {
            Ok(()) => {}
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::Interrupted),
        }
        while let Some(done) = self.disk.next_completed(NOW) {
            self.order.push(done.op);
            self.answers.insert(done.op, (done.result, done.buffer));
        }
    }

    #[track_caller]
    fn answer(&mut self, op: OpId) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.answers.remove(&op) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{op:?} is not answered");
            self.turn();
        }
    }

    #[track_caller]
    fn result(&mut self, request: DiskRequest) -> Result<DiskReply, DiskError> {
        let op = self.submit(request);
        self.answer(op).0
    }

    /// Does it, which must succeed.
    #[track_caller]
    fn done(&mut self, request: DiskRequest) -> DiskReply {
        let what = format!("{request:?}");
        match self.result(request) {
            Ok(reply) => reply,
            Err(e) => panic!("{what}: {e}"),
        }
    }

    #[track_caller]
    fn attach(&mut self, dir: DirId, path: &Path) {
        self.done(attach(dir, path));
    }

    #[track_caller]
    fn read(&mut self, file: u64, offset: u64, len: u32) -> Vec<u8> {
        let file = FileId(file);
        match self.done(DiskRequest::Read { file, offset, len }) {
            DiskReply::Read(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }
}

fn attach(dir: DirId, path: &Path) -> DiskRequest {
    DiskRequest::Attach {
        dir,
        path: path.to_owned(),
        request: AttachRequest {
            identity: DirIdentity {
                database: Uuid::nil(),
                directory: Uuid::nil(),
            },
            may_create: true,
            read_only: false,
            committed: BTreeMap::new(),
        },
    }
}

fn create(file: u64, name: &str) -> DiskRequest {
    DiskRequest::Create {
        file: FileId(file),
        dir: DIR,
        name: name.to_owned(),
    }
}

fn open(file: u64, name: &str) -> DiskRequest {
    DiskRequest::Open {
        file: FileId(file),
        dir: DIR,
        name: name.to_owned(),
    }
}

fn write(file: u64, offset: u64, data: &[u8]) -> DiskRequest {
    DiskRequest::Write {
        file: FileId(file),
        offset,
        data: data.to_vec(),
    }
}

fn read(file: u64, offset: u64, len: u32) -> DiskRequest {
    DiskRequest::Read {
        file: FileId(file),
        offset,
        len,
    }
}

fn sync(file: u64) -> DiskRequest {
    DiskRequest::Sync { file: FileId(file) }
}

fn close(file: u64) -> DiskRequest {
    DiskRequest::Close { file: FileId(file) }
}

fn unlink(name: &str) -> DiskRequest {
    DiskRequest::Unlink {
        dir: DIR,
        name: name.to_owned(),
    }
}

fn is_not_open(result: Result<DiskReply, DiskError>) -> bool {
    matches!(result, Err(DiskError::NotOpen))
}

fn io_kind(result: Result<DiskReply, DiskError>) -> io::ErrorKind {
    match result {
        Err(DiskError::Io(e)) => e.kind(),
        other => panic!("{other:?}"),
    }
}

/// A disk with one directory attached.
fn bench(choice: DiskChoice) -> Option<(Bench, TempDir)> {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(choice)?;
    bench.attach(DIR, dir.path());
    Some((bench, dir))
}

/// A new file that nobody else can open for writing (he hangs) before it is dropped; fcntl(2), "Leases".
fn leased(path: &Path) -> File {
    use std::os::fd::AsRawFd;
    File::create(path).unwrap();
    let file = File::open(path).unwrap();
    let fd = file.as_raw_fd();
    // SAFETY: the descriptor is open; no pointers are involved. The signal that tells of somebody
    // who hangs is one that nobody minds, instead of one that kills.
    unsafe {
        assert_eq!(libc::fcntl(fd, F_SETSIG, libc::SIGWINCH), 0);
        assert_eq!(libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK), 0);
    }
    file
}

/// fcntl(2), "Managing signals".
const F_SETSIG: libc::c_int = 10;

macro_rules! for_both {
    ($($name:ident),* $(,)?) => {
        mod uring {
            $(#[test] fn $name() { super::$name(super::DiskChoice::Uring); })*
        }
        mod threads {
            $(#[test] fn $name() { super::$name(super::DiskChoice::Threads); })*
        }
    };
}

for_both!(
    writes_and_reads_at_offsets,
    offsets_beyond_32_bits,
    creating_empties_what_was_there,
    operations_on_a_file_are_in_order,
    a_file_that_hangs_holds_up_no_other,
    many_at_a_time,
    ids_that_name_nothing,
    names_that_lead_elsewhere,
    missing_files_and_directories,
    a_full_device,
    a_file_system_that_fills_up,
    directories_are_locked,
    space_is_told,
    too_many_operations,
    dropped_in_mid_flight,
);

fn writes_and_reads_at_offsets(choice: DiskChoice) {
    let Some((mut b, dir)) = bench(choice) else {
        return;
    };
    b.done(create(1, "a"));
    b.done(write(1, 3, b"def"));
    let op = b.submit(write(1, 0, b"abc"));
    let (result, buffer) = b.answer(op);
    assert!(matches!(result, Ok(DiskReply::Done)));
    assert_eq!(buffer.as_deref(), Some(&b"abc"[..]));
    b.done(write(1, 6, b""));
    b.done(sync(1));
    assert_eq!(b.read(1, 1, 4), b"bcde");
    assert_eq!(b.read(1, 4, 100), b"ef");
    assert_eq!(b.read(1, 6, 100), b"");
    assert_eq!(b.read(1, 1000, 100), b"");
    assert_eq!(b.read(1, 0, 0), b"");
    let kind = io_kind(b.result(read(1, 0, MAX_READ_BYTES + 1)));
    assert_eq!(kind, io::ErrorKind::InvalidInput);
    b.done(close(1));
    b.done(DiskRequest::SyncDir { dir: DIR });
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"abcdef");
    let large: Vec<u8> = (0..3_000_000).map(|i| (i % 251) as u8).collect();
    b.done(create(2, "b"));
    b.done(write(2, 0, &large));
    assert!(b.read(2, 0, 4_000_000) == large);
    assert_eq!(b.disk.operations().0, 0);
    assert_eq!(b.disk.stuck_since(), None);
}

fn offsets_beyond_32_bits(choice: DiskChoice) {
    let Some((mut b, dir)) = bench(choice) else {
        return;
    };
    let far = 5 << 30;
    b.done(create(1, "a"));
    b.done(write(1, far, b"far"));
    assert_eq!(b.read(1, far - 1, 10), b"\0far");
    b.done(close(1));
    b.done(open(2, "a"));
    assert_eq!(b.read(2, far, 10), b"far");
    let len = std::fs::metadata(dir.path().join("a")).unwrap().len();
    assert_eq!(len, far + 3);
    assert!(b.result(read(2, u64::MAX, 1)).is_err());
    b.done(close(2));
    b.done(create(3, "b"));
    let op = b.submit(write(3, u64::MAX - 10, b"x"));
    let (result, buffer) = b.answer(op);
    assert!(result.is_err());
    assert_eq!(buffer.as_deref(), Some(&b"x"[..]));
}

fn creating_empties_what_was_there(choice: DiskChoice) {
    let Some((mut b, dir)) = bench(choice) else {
        return;
    };
    std::fs::write(dir.path().join("a"), b"old and long").unwrap();
    b.done(create(1, "a"));
    b.done(write(1, 0, b"new"));
    b.done(close(1));
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"new");
    // What is open for reading cannot be written to.
    b.done(open(2, "a"));
    assert!(b.result(write(2, 0, b"no")).is_err());
    assert_eq!(b.read(2, 0, 10), b"new");
}

fn operations_on_a_file_are_in_order(choice: DiskChoice) {
    let Some((mut b, dir)) = bench(choice) else {
        return;
    };
    let mut ops = vec![b.submit(create(1, "a"))];
    for i in 0..50 {
        ops.push(b.submit(write(1, i, &[i as u8, 0xff])));
    }
    ops.push(b.submit(sync(1)));
    ops.push(b.submit(read(1, 0, 100)));
    ops.push(b.submit(close(1)));
    let late = b.submit(sync(1));
    let (result, _) = b.answer(late);
    assert!(is_not_open(result));
    b.order.retain(|op| ops.contains(op));
    assert_eq!(b.order, ops);
    let mut expected: Vec<u8> = (0..50).collect();
    expected.push(0xff);
    match b.answer(ops[52]).0 {
        Ok(DiskReply::Read(bytes)) => assert_eq!(bytes, expected),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), expected);
    assert!(b.disk.files.is_empty());

    // Of a file that cannot be opened, nothing that was asked for ahead is done.
    let ops = [open(2, "none"), write(2, 0, b"x"), close(2)].map(|r| b.submit(r));
    let [opened, written, closed] = ops.map(|op| b.answer(op));
    assert_eq!(io_kind(opened.0), io::ErrorKind::NotFound);
    assert!(is_not_open(written.0) && is_not_open(closed.0));
    assert_eq!(written.1.as_deref(), Some(&b"x"[..]));
    assert!(b.disk.files.is_empty());
    assert_eq!(b.disk.operations().0, 0);
}

fn a_file_that_hangs_holds_up_no_other(choice: DiskChoice) {
    let Some((mut b, dir)) = bench(choice) else {
        return;
    };
    let leased = leased(&dir.path().join("leased"));
    let hanging = b.submit(create(1, "leased"));
    for i in 2..40 {
        b.done(create(i, &format!("{i}")));
        b.done(write(i, 0, b"abc"));
        b.done(close(i));
    }
    assert!(!b.order.contains(&hanging));
    assert_eq!(b.disk.operations().0, 1);
    assert!(b.disk.stuck_since().is_some());
    drop(leased);
    assert!(b.answer(hanging).0.is_ok());
    assert_eq!(b.disk.stuck_since(), None);
}

fn many_at_a_time(choice: DiskChoice) {
    let Some((mut b, dir)) = bench(choice) else {
        return;
    };
    let mut ops = Vec::new();
    for i in 0..100 {
        ops.push(b.submit(create(i, &format!("{i:03}"))));
        ops.push(b.submit(write(i, 0, &[i as u8; 5000])));
        ops.push(b.submit(sync(i)));
        ops.push(b.submit(close(i)));
    }
    for op in ops {
        assert!(b.answer(op).0.is_ok());
    }
    for i in 0..100 {
        let bytes = std::fs::read(dir.path().join(format!("{i:03}"))).unwrap();
        assert!(bytes == [i as u8; 5000]);
    }
    assert_eq!(b.disk.operations(), (0, 400));
}

fn ids_that_name_nothing(choice: DiskChoice) {
    let Some((mut b, _dir)) = bench(choice) else {
        return;
    };
    for request in [write(9, 0, b"x"), read(9, 0, 1), sync(9), close(9)] {
        assert!(is_not_open(b.result(request)));
    }
    let dir = DirId(9);
    for request in [
        DiskRequest::SyncDir { dir },
        DiskRequest::Space { dir },
        DiskRequest::Detach { dir },
    ] {
        assert!(is_not_open(b.result(request)));
    }
    b.done(create(1, "a"));
    let kind = io_kind(b.result(create(1, "b")));
    assert_eq!(kind, io::ErrorKind::AlreadyExists);
    // Files stay open when their directory is forgotten.
    b.done(DiskRequest::Detach { dir: DIR });
    assert!(is_not_open(b.result(create(2, "c"))));
    assert!(is_not_open(b.result(unlink("a"))));
    b.done(write(1, 0, b"still"));
    b.done(close(1));
}

fn names_that_lead_elsewhere(choice: DiskChoice) {
    let Some((mut b, dir)) = bench(choice) else {
        return;
    };
    for name in [
        "",
        ".",
        "..",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "a\0b",
        "a/",
    ] {
        let kind = io_kind(b.result(create(1, name)));
        assert_eq!(kind, io::ErrorKind::InvalidInput, "{name:?}");
        assert!(b.result(unlink(name)).is_err(), "{name:?}");
    }
    std::os::unix::fs::symlink("/dev/null", dir.path().join("link")).unwrap();
    assert!(b.result(open(1, "link")).is_err());
    std::fs::create_dir(dir.path().join("journal")).unwrap();
    b.done(create(1, "journal/00000001"));
    b.done(close(1));
}

fn missing_files_and_directories(choice: DiskChoice) {
    let Some((mut b, dir)) = bench(choice) else {
        return;
    };
    assert_eq!(io_kind(b.result(open(1, "none"))), io::ErrorKind::NotFound);
    b.done(unlink("none"));
    std::fs::write(dir.path().join("a"), b"x").unwrap();
    b.done(unlink("a"));
    assert!(!dir.path().join("a").exists());
    let gone = dir.path().join("gone");
    match b.result(attach(DirId(2), &gone)) {
        Err(DiskError::Attach(AttachError::Missing)) => {}
        other => panic!("{other:?}"),
    }
    // Another one at the same path is not the one that was attached.
    std::fs::create_dir(&gone).unwrap();
    b.attach(DIR, &gone);
    std::fs::remove_dir(&gone).unwrap();
    std::fs::create_dir(&gone).unwrap();
    assert_eq!(io_kind(b.result(create(2, "a"))), io::ErrorKind::NotFound);
    assert_eq!(std::fs::read_dir(&gone).unwrap().count(), 0);
}

fn a_full_device(choice: DiskChoice) {
    let _one = DEV.lock().unwrap_or_else(|e| e.into_inner());
    let Some(mut b) = Bench::new(choice) else {
        return;
    };
    b.attach(DIR, Path::new("/dev"));
    b.done(create(1, "full"));
    let op = b.submit(write(1, 0, b"abc"));
    let (result, buffer) = b.answer(op);
    assert!(matches!(result, Err(DiskError::NoSpace)), "{result:?}");
    assert_eq!(buffer.as_deref(), Some(&b"abc"[..]));
    b.done(close(1));
}

/// Writes that are cut short, and then fail. It takes a small file system, and so a name space of mounts,
/// which an ordinary user gets only together with one of users, and a process with threads not at
/// all: the test starts itself anew in it.
fn a_file_system_that_fills_up(choice: DiskChoice) {
    const WITHIN: &str = "MOONFIRE_NVR_TEST_MAY_MOUNT";
    if std::env::var_os(WITHIN).is_some() {
        return a_small_file_system_fills_up(choice);
    }
    let dir = tempfile::tempdir().unwrap();
    let unshare = |way: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(way).arg("--mount");
        command
    };
    let ways: [&[&str]; 2] = [&[], &["--user", "--map-root-user"]];
    let may_mount = |way: &&&[&str]| {
        let mut command = unshare(way);
        let mount = command
            .args(["mount", "-t", "tmpfs", "none"])
            .arg(dir.path());
        let out = mount.output().expect("unshare, of the package util-linux");
        out.status.success()
    };
    let Some(way) = ways.iter().find(may_mount) else {
        // It is the machine's owner who decides so, and no package changes it.
        eprintln!(
            "passed over: nobody but the true root may mount a file system here, as in many containers \
             (or see kernel.apparmor_restrict_unprivileged_userns)"
        );
        return;
    };
    let (_, module) = module_path!().split_once("::").unwrap();
    let name = match choice {
        DiskChoice::Uring => "uring",
        _ => "threads",
    };
    let out = unshare(way)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg(format!("{module}::{name}::a_file_system_that_fills_up"))
        .env(WITHIN, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success() && told.contains(" 1 passed"),
        "{out:?}"
    );
}

fn a_small_file_system_fills_up(choice: DiskChoice) {
    let dir = tempfile::tempdir().unwrap();
    mount_small(dir.path());
    let Some(mut b) = Bench::new(choice) else {
        return;
    };
    b.attach(DIR, dir.path());
    b.done(create(1, "a"));
    b.done(write(1, 0, &[1; 700_000]));
    let op = b.submit(write(1, 700_000, &[2; 700_000]));
    let (result, buffer) = b.answer(op);
    assert!(matches!(result, Err(DiskError::NoSpace)), "{result:?}");
    assert!(buffer.is_some_and(|b| b == [2; 700_000]));
    let space = match b.done(DiskRequest::Space { dir: DIR }) {
        DiskReply::Space(space) => space,
        other => panic!("{other:?}"),
    };
    let total = 1 << 20;
    assert_eq!(space, Space { free: 0, total });
    // Room again, and the same write goes through.
    b.done(create(1 + 1, "b"));
    b.done(close(1));
    b.done(unlink("a"));
    b.done(write(2, 0, &[2; 700_000]));
    assert!(b.read(2, 0, 1 << 20) == [2; 700_000]);
    b.done(close(2));
}

/// Mounts a tmpfs of 1 MiB.
fn mount_small(target: &Path) {
    use std::os::unix::ffi::OsStrExt;
    let target = std::ffi::CString::new(target.as_os_str().as_bytes()).unwrap();
    let (kind, options) = (c"tmpfs".as_ptr(), c"size=1m".as_ptr().cast());
    // SAFETY: all strings end with a zero byte and outlive the call.
    let result = unsafe { libc::mount(kind, target.as_ptr(), kind, 0, options) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn directories_are_locked(choice: DiskChoice) {
    let Some((mut b, dir)) = bench(choice) else {
        return;
    };
    match b.result(attach(DirId(2), dir.path())) {
        Err(DiskError::Attach(AttachError::Locked)) => {}
        other => panic!("{other:?}"),
    }
    b.done(DiskRequest::Detach { dir: DIR });
    b.attach(DirId(2), dir.path());
    drop(b);
    let deadline = Instant::now() + PATIENCE;
    let again = SampleDirectory::open(dir.path()).unwrap();
    while !again.lock().unwrap() {
        assert!(Instant::now() < deadline, "still locked");
        std::thread::yield_now();
    }
}

fn space_is_told(choice: DiskChoice) {
    let Some((mut b, _dir)) = bench(choice) else {
        return;
    };
    match b.done(DiskRequest::Space { dir: DIR }) {
        DiskReply::Space(Space { free, total }) => assert!(free <= total && total > 0),
        other => panic!("{other:?}"),
    }
}

fn too_many_operations(choice: DiskChoice) {
    let Some((mut b, dir)) = bench(choice) else {
        return;
    };
    let leased = leased(&dir.path().join("leased"));
    b.submit(create(1, "leased"));
    let all = MAX_OPERATIONS;
    let ops: Vec<OpId> = (0..all).map(|_| b.submit(write(1, 0, b"x"))).collect();
    assert_eq!(b.disk.operations().0, all);
    let (result, buffer) = b.answer(ops[all - 1]);
    assert_eq!(io_kind(result), io::ErrorKind::WouldBlock);
    assert!(buffer.is_some());
    drop(leased);
    for op in &ops[..all - 1] {
        let (result, buffer) = b.answer(*op);
        assert!(result.is_ok() && buffer.is_some());
    }
    assert_eq!(b.disk.operations(), (0, all));
}

fn dropped_in_mid_flight(choice: DiskChoice) {
    let Some((mut b, dir)) = bench(choice) else {
        return;
    };
    for i in 0..20 {
        b.submit(create(i, &format!("{i}")));
        b.submit(write(i, 0, &vec![i as u8; 1 << 20]));
        b.submit(sync(i));
        b.submit(read(i, 0, 1 << 20));
    }
    for _ in 0..3 {
        b.turn();
    }
    drop(b);
    // No descriptor is left open, neither of files nor of the directory.
    let path = dir.path().to_owned();
    let open = || {
        let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let targets = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        targets.filter(|target| target.starts_with(&path)).count()
    };
    let deadline = Instant::now() + PATIENCE;
    while open() > 0 {
        assert!(Instant::now() < deadline, "{} are left open", open());
        std::thread::yield_now();
    }
}

#[test]
fn a_real_directory() {
    let temp = tempfile::tempdir().unwrap();
    let dir = SampleDirectory::open(temp.path()).unwrap();
    assert!(dir.list("").unwrap().is_empty());
    assert_eq!(dir.len("marker").unwrap(), None);
    dir.put("marker", b"old").unwrap();
    dir.put("marker", b"0123456789").unwrap();
    assert_eq!(dir.len("marker").unwrap(), Some(10));
    dir.create_dir("journal").unwrap();
    dir.create_dir("journal").unwrap();
    dir.put("journal/1", b"x").unwrap();
    let mut names = dir.list("").unwrap();
    names.sort();
    assert_eq!(names, ["journal", "marker"]);
    assert_eq!(dir.list("journal").unwrap(), ["1"]);
    assert!(dir.list("none").is_err());
    let mut buf = [0; 4];
    assert_eq!(dir.read_at("marker", 8, &mut buf).unwrap(), 2);
    assert_eq!(&buf[..2], b"89");
    dir.truncate("marker", 3).unwrap();
    assert_eq!(dir.len("marker").unwrap(), Some(3));
    dir.truncate("marker", 5 << 30).unwrap();
    assert_eq!(dir.len("marker").unwrap(), Some(5 << 30));
    dir.sync().unwrap();
    dir.unlink("marker").unwrap();
    dir.unlink("marker").unwrap();
    dir.unlink("journal/1").unwrap();
    assert_eq!(dir.list("").unwrap(), ["journal"]);
    for name in ["../x", "", "/etc/passwd"] {
        assert!(dir.len(name).is_err(), "{name}");
        assert!(dir.put(name, b"").is_err(), "{name}");
    }
    let missing = SampleDirectory::open(&temp.path().join("none"));
    assert!(matches!(missing, Err(AttachError::Missing)));
}
