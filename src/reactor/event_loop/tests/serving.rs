//! Files and shared bytes on their way to many readers.

use super::*;
use crate::nvr::port::{FileId, SEND_LOW_WATER_BYTES};
use crate::recording::DirIdentity;
use std::collections::BTreeMap;
use std::path::Path;
use std::thread::JoinHandle;
use tempfile::TempDir;
use uuid::Uuid;

const DIR: DirId = DirId(1);
const FILE: FileId = FileId(1);

/// Bytes of which no two places a page or a window apart look alike.
fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ i >> 8 ^ i >> 16) as u8).collect()
}

fn disk(el: &mut EventLoop<TestCore>, op: u64, request: DiskRequest) {
    let op = OpId(op);
    el.does(Action::Disk { op, request });
    el.until(|c| c.heard(&Heard::Disk(op, Ok(()))));
}

/// A loop with an open file of these bytes.
fn with_file(content: &[u8]) -> (EventLoop<TestCore>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), content).unwrap();
    let mut el = event_loop(&[any_port()]);
    disk(&mut el, 1, attach_request(dir.path()));
    disk(&mut el, 2, open_request(FILE));
    (el, dir)
}

fn attach_request(path: &Path) -> DiskRequest {
    DiskRequest::Attach {
        dir: DIR,
        path: path.to_owned(),
        request: AttachRequest {
            identity: DirIdentity {
                database: Uuid::nil(),
                directory: Uuid::nil(),
            },
            may_create: true,
            committed: BTreeMap::new(),
        },
    }
}

fn open_request(file: FileId) -> DiskRequest {
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
        el.does(Action::SendFile {
            conn: A,
            file: FILE,
            range: range.start as u64..range.end as u64,
        });
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
    el.does(Action::SendFile {
        conn: A,
        file: FILE,
        range: 0..6_000_000,
    });
    let reader = reader(peer, 6_000_000);
    el.until(|c| c.heard(&Heard::Drained(A)));
    let (_peer, got) = reader.join().unwrap();
    assert!(got == content);
    let told = |h: &&Heard| matches!(h, Heard::Draining(A) | Heard::Drained(A));
    let told: Vec<&Heard> = el.core.heard.iter().filter(told).collect();
    assert!(told.len() <= 2 && told.last() == Some(&&Heard::Drained(A)));
    // What never was above the mark is not told to be below it.
    el.core.heard.clear();
    el.does(Action::SendFile {
        conn: A,
        file: FILE,
        range: 0..SEND_LOW_WATER_BYTES,
    });
    el.until(|c| c.heard(&Heard::Drained(A)));
    assert_eq!(el.core.heard, [Heard::Drained(A)]);
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
    let is_closed = |h: &Heard| matches!(h, Heard::Closed(A, Err(SocketError::File(_))));
    el.until(|c| c.heard.iter().any(is_closed));
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
    el.does(Action::SendFile {
        conn: A,
        file: FILE,
        range: 1..4,
    });
    let is_closed = |h: &Heard| matches!(h, Heard::Closed(A, Err(SocketError::File(_))));
    el.until(|c| c.heard.iter().any(is_closed));
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
