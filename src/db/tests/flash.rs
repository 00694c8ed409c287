//! What the steady state writes: flash wears.

use super::*;
use tempfile::TempDir;

const STREAMS: i32 = 12;

/// Recordings of each stream that are kept: at first only added, then as many given up as added.
const KEPT: u32 = 200;

/// Bytes that this thread has handed to the kernel for writing.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let wchar = io.lines().find_map(|l| l.strip_prefix("wchar: "));
    wchar.unwrap().parse().unwrap()
}

/// One minute of all streams: each adds a recording, and gives up its oldest past [`KEPT`].
fn minute(db: &mut Database, open: OpenId, sequence: u32, unlinked: Vec<RecordingId>) -> Flushed {
    let streams = (1..=STREAMS).map(StreamId);
    let recordings = streams
        .clone()
        .map(|stream| {
            let mut r = recording(open, stream, sequence);
            // 30 frames a second for the main stream, 10 for the sub stream; two bytes a frame.
            r.index = vec![7; if stream.0 % 2 == 1 { 3600 } else { 1200 }];
            (DirId(1), r)
        })
        .collect();
    let delete = streams
        .filter(|_| sequence >= KEPT)
        .map(|stream| Delete::StreamBytes { stream, bytes: 1 })
        .collect();
    let request = Flush {
        wall: TEN + Duration90k(MINUTE.0 * i64::from(sequence)),
        recordings,
        delete,
        unlinked,
        ..Flush::default()
    };
    flush(db, request).unwrap()
}

/// The bound is what design/schema.md tells, and some more.
#[test]
fn a_minute_of_twelve_streams_costs_the_flash_little() {
    let temp = TempDir::new().unwrap();
    let mut db = Database::open(temp.path(), Mode::Create, 1).unwrap();
    // Only bytes are counted here, so the test need not wait for the disk.
    db.connection
        .pragma_update(None, "synchronous", "off")
        .unwrap();
    let cameras: Vec<_> = (0..STREAMS / 2).map(|i| camera(&format!("{i}"))).collect();
    let open = start(&mut db, &["/a"], &cameras).open;
    let mut unlinked = Vec::new();
    let mut before = 0;
    const MEASURED: u32 = 100;
    for sequence in 0..KEPT * 3 / 2 + MEASURED {
        if sequence == KEPT * 3 / 2 {
            before = written();
        }
        let flushed = minute(&mut db, open, sequence, std::mem::take(&mut unlinked));
        unlinked = flushed.garbage.iter().map(|g| g.id).collect();
    }
    assert_eq!(
        count(&db, "recording"),
        i64::from(KEPT) * i64::from(STREAMS)
    );
    let a_flush = (written() - before) / u64::from(MEASURED);
    assert!(a_flush < 300_000, "{a_flush} bytes a minute");
    let wal = std::fs::metadata(temp.path().join("db-wal")).unwrap().len();
    assert!(wal < 8 << 20, "the write-ahead log has {wal} bytes");
}
