//! Files and shared bytes on their way to many readers.

use super::*;
use crate::nvr::port::{FileId, SEND_LOW_WATER_BYTES};
use crate::reactor::MAX_ACCEPTED_CONNECTIONS;
use crate::reactor::disk::MAX_COLD_READS;
use crate::reactor::disk::window::{self, WINDOW_BYTES, faults};
use crate::recording::DirIdentity;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::RwLock;
use std::thread::JoinHandle;
use tempfile::TempDir;
use uuid::Uuid;

const DIR: DirId = DirId(1);
pub(super) const FILE: FileId = FileId(1);

/// Bytes of which no two places a page or a window apart look alike.
pub(super) fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ i >> 8 ^ i >> 16) as u8).collect()
}

pub(super) fn disk(el: &mut EventLoop<TestCore>, op: u64, request: DiskRequest) {
    let op = OpId(op);
    el.does(Action::Disk { op, request });
    el.until(|c| c.heard(&Heard::Disk(op, Ok(()))));
}

/// A loop with an open file of these bytes.
fn with_file(content: &[u8]) -> (EventLoop<TestCore>, TempDir) {
    with_file_by(DiskChoice::Auto, content).unwrap()
}

/// `None` where this machine has no `io_uring`, which is then not to be tested.
fn with_file_by(choice: DiskChoice, content: &[u8]) -> Option<(EventLoop<TestCore>, TempDir)> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), content).unwrap();
    let mut setup = setup(&[any_port()]);
    setup.disk = choice;
    let mut el = match EventLoop::new(TestCore::default(), setup) {
        Ok(el) => el,
        Err(StartError::Disk(e)) if choice == DiskChoice::Uring => {
            eprintln!("passed over: this machine lets nobody use io_uring ({e})");
            return None;
        }
        Err(e) => panic!("{e}"),
    };
    disk(&mut el, 1, attach_request(dir.path()));
    disk(&mut el, 2, open_request(FILE));
    Some((el, dir))
}

/// Has the kernel forget what is in memory of the file; false where it keeps it (tmpfs).
pub(super) fn chill(dir: &TempDir) -> bool {
    let file = File::open(dir.path().join("file")).unwrap();
    file.sync_all().unwrap();
    let all = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
    nix::fcntl::posix_fadvise(&file, 0, 0, all).unwrap();
    let cold = resident_bytes(&file) == 0;
    if !cold {
        eprintln!("passed over: this file system keeps all in memory");
    }
    cold
}

fn resident_bytes(file: &File) -> u64 {
    let len = file.metadata().unwrap().len();
    (0..len)
        .step_by(WINDOW_BYTES as usize)
        .map(|at| window::resident(file, &window::window_at(at, len)).unwrap())
        .sum()
}

pub(super) fn send_file(el: &mut EventLoop<TestCore>, conn: ConnId, range: Range<u64>) {
    let file = FILE;
    el.does(Action::SendFile { conn, file, range });
}

/// Turns until nothing happens any more but by itself.
pub(super) fn settle(el: &mut EventLoop<TestCore>) {
    el.until_all(|el| el.timeout() > Duration::from_millis(100) && el.disk.operations().0 == 0);
}

/// Descriptors of this process that are open on the file.
fn descriptors(dir: &TempDir) -> usize {
    let path = dir.path().join("file");
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let targets = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok());
    let of_file = |t: &std::path::PathBuf| {
        let name = t.to_string_lossy();
        name.trim_end_matches(" (deleted)") == path.to_string_lossy()
    };
    targets.filter(of_file).count()
}

pub(super) fn ended_by_file(c: &TestCore, conn: ConnId) -> bool {
    c.heard
        .iter()
        .any(|h| matches!(h, Heard::Closed(id, Err(SocketError::File(_))) if *id == conn))
}

pub(super) fn attach_request(path: &Path) -> DiskRequest {
    DiskRequest::Attach {
        dir: DIR,
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

pub(super) fn open_request(file: FileId) -> DiskRequest {
    DiskRequest::Open {
        file,
        dir: DIR,
        name: "file".to_owned(),
    }
}

/// Reads `len` bytes of a connection, on a thread.
fn reader(mut stream: TcpStream, len: usize) -> JoinHandle<(TcpStream, Vec<u8>)> {
    std::thread::spawn(move || {
        let mut got = vec![0; len];
        stream.read_exact(&mut got).unwrap();
        (stream, got)
    })
}

#[test]
fn ranges_of_a_file_go_in_order_with_bytes() {
    let content = content(3_000_000);
    let (mut el, _dir) = with_file(&content);
    let peer = connected(&mut el, A);
    let shared = Arc::new(b"shared".to_vec());
    let mut expected = b"head".to_vec();
    el.does(Action::Send {
        conn: A,
        bytes: b"head".to_vec(),
    });
    for range in [5..5, 1_234_567..2_999_999, 0..1, 4095..4097, 0..3_000_000] {
        expected.extend_from_slice(&content[range.clone()]);
        expected.extend_from_slice(&shared);
        send_file(&mut el, A, range.start as u64..range.end as u64);
        el.does(Action::SendShared {
            conn: A,
            bytes: shared.clone(),
        });
    }
    // It may be closed at once.
    let close = DiskRequest::Close { file: FILE };
    disk(&mut el, 3, close);
    let reader = reader(peer, expected.len());
    el.until(|c| c.heard(&Heard::Drained(A)));
    assert!(reader.join().unwrap().1 == expected);
    assert_eq!(Arc::strong_count(&shared), 1);
}

#[test]
fn what_follows_is_asked_for_before_all_is_sent() {
    let content = content(6_000_000);
    let (mut el, _dir) = with_file(&content);
    let peer = connected(&mut el, A);
    send_file(&mut el, A, 0..6_000_000);
    let reader = reader(peer, 6_000_000);
    el.until(|c| c.heard(&Heard::Drained(A)));
    let (_peer, got) = reader.join().unwrap();
    assert!(got == content);
    let told = |h: &&Heard| matches!(h, Heard::Draining(A) | Heard::Drained(A));
    let told: Vec<&Heard> = el.core.heard.iter().filter(told).collect();
    assert!(told.len() <= 2 && told.last() == Some(&&Heard::Drained(A)));
    // What never was above the mark is not told to be below it.
    el.core.heard.clear();
    send_file(&mut el, A, 0..SEND_LOW_WATER_BYTES);
    el.until(|c| c.heard(&Heard::Drained(A)));
    assert_eq!(el.core.heard, [Heard::Drained(A)]);
}

#[test]
fn who_takes_a_little_is_told_from_who_has_stopped() {
    const LEN: usize = 24 << 20;
    let (mut el, _dir) = with_file(&content(LEN));
    let mut peer = TcpStream::connect(el.port()).unwrap();
    el.until(|c| c.accepted().is_some());
    let conn = el.core.accepted().unwrap();
    send_file(&mut el, conn, 0..LEN as u64);
    // Both kernels have all that they take.
    settle(&mut el);
    let looks = |el: &mut EventLoop<TestCore>| {
        el.core.heard.clear();
        el.sockets.tell_progress();
        el.answers();
        std::mem::take(&mut el.core.heard)
    };
    looks(&mut el);
    assert_eq!(looks(&mut el), [], "it takes nothing");
    // Our kernel has not asked for more.
    let mut few = vec![0; 64 << 10];
    let (mut taken, deadline) = (0, Instant::now() + PATIENCE);
    while looks(&mut el) != [Heard::Sending(conn)] {
        assert!(Instant::now() < deadline && taken < LEN, "nothing is told");
        if taken < LEN / 2 {
            peer.read_exact(&mut few).unwrap();
            taken += few.len();
        }
    }
    let reader = reader(peer, LEN - taken);
    el.until(|c| c.heard(&Heard::Drained(conn)));
    reader.join().unwrap();
    assert_eq!(looks(&mut el), [], "nothing is left to be sent");
}

#[test]
fn a_file_that_is_not_open_ends_the_connection_alone() {
    let (mut el, _dir) = with_file(b"abc");
    let _a = connected(&mut el, A);
    let _b = connected(&mut el, B);
    el.does(Action::SendFile {
        conn: A,
        file: FileId(99),
        range: 0..1,
    });
    el.until(|c| ended_by_file(c, A));
    el.does(Action::Send {
        conn: B,
        bytes: vec![1],
    });
    el.until(|c| c.heard(&Heard::Drained(B)));
}

#[test]
fn a_file_shorter_than_the_range_ends_the_connection_alone() {
    let (mut el, _dir) = with_file(b"abc");
    let mut peer = connected(&mut el, A);
    send_file(&mut el, A, 1..4);
    el.until(|c| ended_by_file(c, A));
    let mut got = Vec::new();
    peer.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"bc");
}

#[test]
fn the_core_sets_how_often_bulk_connections_are_read() {
    let mut setup = setup(&[]);
    setup.bulk_tick = Duration::from_secs(3600);
    let mut el = EventLoop::new(TestCore::default(), setup).unwrap();
    let mut peer = connected(&mut el, A);
    el.does(Action::Bulk { conn: A });
    el.turn(Some(Duration::ZERO)).unwrap();
    peer.write_all(b"abc").unwrap();
    el.turn(Some(Duration::from_millis(5))).unwrap();
    assert_eq!(el.core.received, b"");
    el.does(Action::BulkTick(Duration::from_millis(25)));
    el.until(|c| c.received == b"abc");
    assert!(el.timeout() <= Duration::from_millis(25));
}

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
    a_cold_file_reaches_all_readers,
    small_and_large_cold_ranges_go_in_order,
    a_file_cut_during_sending_ends_the_connection_alone,
    a_cold_file_that_was_cut_ends_the_connection_alone,
    an_unlinked_file_is_sent_on,
    what_cannot_be_mapped_ends_the_connection_alone,
    a_reader_that_reads_nothing_has_nothing_read_for_it,
);

fn a_cold_file_reaches_all_readers(choice: DiskChoice) {
    let content = content(9_999_999);
    let Some((mut el, dir)) = with_file_by(choice, &content) else {
        return;
    };
    let conns: Vec<ConnId> = (0..6).map(ConnId).collect();
    let peers: Vec<TcpStream> = conns.iter().map(|id| connected(&mut el, *id)).collect();
    if !chill(&dir) {
        return;
    }
    let from = |i: usize| i * 1_000_001;
    for (i, conn) in conns.iter().enumerate() {
        send_file(&mut el, *conn, from(i) as u64..content.len() as u64);
    }
    let readers: Vec<_> = peers
        .into_iter()
        .enumerate()
        .map(|(i, peer)| reader(peer, content.len() - from(i)))
        .collect();
    el.until(|c| conns.iter().all(|id| c.heard(&Heard::Drained(*id))));
    for (i, reader) in readers.into_iter().enumerate() {
        let (_peer, got) = reader.join().unwrap();
        assert!(got == content[from(i)..], "reader {i}");
    }
    assert!(el.disk.operations().1 <= 1 + MAX_COLD_READS);
}

fn small_and_large_cold_ranges_go_in_order(choice: DiskChoice) {
    let content = content(3_000_000);
    let Some((mut el, dir)) = with_file_by(choice, &content) else {
        return;
    };
    let peer = connected(&mut el, A);
    let mut expected = Vec::new();
    for (i, len) in [10, 16_384, 16_385, 1, 900_000, 4096, 2_000_000, 7]
        .into_iter()
        .enumerate()
    {
        if !chill(&dir) {
            return;
        }
        let start = 123_456 * i;
        send_file(&mut el, A, start as u64..(start + len) as u64);
        expected.extend_from_slice(&content[start..start + len]);
        let bytes = format!("then {i}").into_bytes();
        expected.extend_from_slice(&bytes);
        el.does(Action::Send { conn: A, bytes });
    }
    let reader = reader(peer, expected.len());
    el.until(|c| c.heard(&Heard::Drained(A)));
    assert!(reader.join().unwrap().1 == expected);
}

fn a_file_cut_during_sending_ends_the_connection_alone(choice: DiskChoice) {
    let content = content(32 << 20);
    let Some((mut el, dir)) = with_file_by(choice, &content) else {
        return;
    };
    let mut peer = connected(&mut el, A);
    let other = connected(&mut el, B);
    send_file(&mut el, A, 0..content.len() as u64);
    settle(&mut el);
    // The socket is full; what is sent of the rest comes from a file that has none.
    let sent = el.sockets.bytes_sent();
    assert!(sent < content.len() as u64);
    let file = File::options().write(true).open(dir.path().join("file"));
    file.unwrap().set_len(sent + 5_000).unwrap();
    let all = std::thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        got
    });
    el.until(|c| ended_by_file(c, A));
    let got = all.join().unwrap();
    assert!(got == content[..sent as usize + 5_000]);
    send_file(&mut el, B, 0..5_000);
    el.until(|c| c.heard(&Heard::Drained(B)));
    drop(other);
}

fn a_cold_file_that_was_cut_ends_the_connection_alone(choice: DiskChoice) {
    let Some((mut el, dir)) = with_file_by(choice, &content(5_000_000)) else {
        return;
    };
    let mut peer = connected(&mut el, A);
    let file = File::options().write(true).open(dir.path().join("file"));
    file.unwrap().set_len(1_500_000).unwrap();
    if !chill(&dir) {
        return;
    }
    send_file(&mut el, A, 1_000_000..4_000_000);
    let all = std::thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        got
    });
    el.until(|c| ended_by_file(c, A));
    assert!(all.join().unwrap() == content(1_500_000)[1_000_000..]);
}

fn an_unlinked_file_is_sent_on(choice: DiskChoice) {
    let content = content(20_000_000);
    let Some((mut el, dir)) = with_file_by(choice, &content) else {
        return;
    };
    let peer = connected(&mut el, A);
    let _other = connected(&mut el, B);
    send_file(&mut el, A, 0..content.len() as u64);
    send_file(&mut el, B, 0..content.len() as u64);
    settle(&mut el);
    disk(&mut el, 3, DiskRequest::Close { file: FILE });
    std::fs::remove_file(dir.path().join("file")).unwrap();
    assert_eq!(descriptors(&dir), 1);
    let reader = reader(peer, content.len());
    el.until(|c| c.heard(&Heard::Drained(A)));
    assert!(reader.join().unwrap().1 == content);
    // The connection that is not read from holds it open until it is gone.
    assert_eq!(descriptors(&dir), 1);
    el.does(Action::Close {
        conn: B,
        flush: false,
    });
    el.until_all(|_| descriptors(&dir) == 0);
}

fn what_cannot_be_mapped_ends_the_connection_alone(choice: DiskChoice) {
    let Some((mut el, dir)) = with_file_by(choice, b"abc") else {
        return;
    };
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    let folder = FileId(2);
    let open = DiskRequest::Open {
        file: folder,
        dir: DIR,
        name: "folder".to_owned(),
    };
    disk(&mut el, 3, open);
    for (conn, range) in [(A, 0..10), (B, 0..1 << 30)] {
        let _peer = connected(&mut el, conn);
        el.does(Action::SendFile {
            conn,
            file: folder,
            range,
        });
        el.until(|c| ended_by_file(c, conn));
    }
}

fn a_reader_that_reads_nothing_has_nothing_read_for_it(choice: DiskChoice) {
    let content = content(48 << 20);
    let Some((mut el, dir)) = with_file_by(choice, &content) else {
        return;
    };
    let _peer = connected(&mut el, A);
    let busy = connected(&mut el, B);
    if !chill(&dir) {
        return;
    }
    // A terabyte that waits takes no memory.
    send_file(&mut el, A, 0..1 << 40);
    settle(&mut el);
    let file = File::open(dir.path().join("file")).unwrap();
    // What is sent, the window that is next, the one after it, and what the kernel reads ahead.
    let most = el.sockets.bytes_sent() + 4 * WINDOW_BYTES;
    assert!(resident_bytes(&file) <= most);
    assert!(most < content.len() as u64);
    // Others are not held up.
    send_file(&mut el, B, 0..content.len() as u64);
    let reader = reader(busy, content.len());
    el.until(|c| c.heard(&Heard::Drained(B)));
    assert!(reader.join().unwrap().1 == content);
}

#[test]
fn a_disk_that_cannot_read_ends_the_connection_alone() {
    let (mut el, dir) = with_file_by(DiskChoice::Threads, &content(3_000_000)).unwrap();
    let _peers = [A, B].map(|id| connected(&mut el, id));
    if !chill(&dir) {
        return;
    }
    let file = File::open(dir.path().join("file")).unwrap();
    faults::set(&file, faults::Fault::Fails);
    send_file(&mut el, A, 0..3_000_000);
    el.until(|c| ended_by_file(c, A));
    let told =
        |h: &Heard| matches!(h, Heard::Closed(_, Err(e)) if e.to_string().contains("put/output"));
    assert!(el.core.heard.iter().any(told));
    el.does(Action::Send {
        conn: B,
        bytes: vec![1],
    });
    el.until(|c| c.heard(&Heard::Drained(B)));
}

#[test]
fn a_disk_that_hangs_for_readers_does_not_hang_for_recording() {
    let (mut el, dir) = with_file_by(DiskChoice::Threads, &content(30_000_000)).unwrap();
    let conns: Vec<ConnId> = (1..20).map(ConnId).collect();
    let mut peers: Vec<TcpStream> = conns.iter().map(|id| connected(&mut el, *id)).collect();
    if !chill(&dir) {
        return;
    }
    let file = File::open(dir.path().join("file")).unwrap();
    let gate = Arc::new(RwLock::new(()));
    faults::set(&file, faults::Fault::Waits(gate.clone()));
    let closed = gate.write().unwrap();
    for (i, conn) in (0..).zip(&conns) {
        send_file(&mut el, *conn, i * WINDOW_BYTES..(i + 1) * WINDOW_BYTES);
    }
    el.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(el.disk.operations().0, 2, "reads on one disk at a time");
    let new = FileId(7);
    let create = DiskRequest::Create {
        file: new,
        dir: DIR,
        name: "new".to_owned(),
    };
    let (offset, data) = (0, b"recorded".to_vec());
    disk(&mut el, 10, create);
    disk(
        &mut el,
        11,
        DiskRequest::Write {
            file: new,
            offset,
            data,
        },
    );
    disk(&mut el, 12, DiskRequest::Sync { file: new });
    assert_eq!(el.disk.operations().0, 2);
    // Who goes away in the meantime is forgotten, whether his turn came or not.
    for conn in [conns[0], conns[5]] {
        el.does(Action::Close { conn, flush: false });
    }
    el.turn(Some(Duration::ZERO)).unwrap();
    drop(closed);
    let stay = |id: &&ConnId| **id != conns[0] && **id != conns[5];
    el.until(|c| {
        conns
            .iter()
            .filter(stay)
            .all(|id| c.heard(&Heard::Drained(*id)))
    });
    settle(&mut el);
    assert_eq!(el.disk.operations().0, 0);
    let mut got = vec![0; WINDOW_BYTES as usize];
    peers[18].read_exact(&mut got).unwrap();
    assert!(got == content(30_000_000)[18 << 20..19 << 20]);
}

#[test]
fn a_thousand_idle_connections_take_little_and_leave_room() {
    crate::reactor::raise_descriptor_limit();
    let (mut el, _dir) = with_file(&content(100_000));
    let port = el.port();
    let idle: Vec<TcpStream> = (0..1000)
        .map(|_| {
            let client = TcpStream::connect(port).unwrap();
            el.turn(Some(Duration::ZERO)).unwrap();
            client
        })
        .collect();
    el.until(|c| c.next_id == 1000);
    assert_eq!(el.sockets.len(), 1000);
    el.core.echo = true;
    let mut client = TcpStream::connect(port).unwrap();
    client.write_all(b"hello").unwrap();
    el.until(|c| c.received == b"hello");
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    // They cost no turns, and further ones are told at once that there are too many.
    assert!(el.timeout() > Duration::from_secs(1));
    let more = MAX_ACCEPTED_CONNECTIONS - 1001;
    let _more: Vec<TcpStream> = (0..more)
        .map(|_| {
            let client = TcpStream::connect(port).unwrap();
            el.turn(Some(Duration::ZERO)).unwrap();
            client
        })
        .collect();
    el.until_all(|el| el.sockets.len() == MAX_ACCEPTED_CONNECTIONS);
    let mut refused = TcpStream::connect(port).unwrap();
    el.until_all(|el| el.stats.connections_refused == 1);
    assert_eq!(refused.read(&mut answer).unwrap(), 0);
    drop(idle);
    el.until_all(|el| el.sockets.len() < 1000);
}
