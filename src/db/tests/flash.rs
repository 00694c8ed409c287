//! What the steady state writes: flash wears.

use super::*;
use crate::recording::index::{IndexEncoder, Sample};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;
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

/// The index of a minute of a camera: sizes are spread about a mean as those of a still scene are.
fn index(fps: u32, seed: u32) -> Vec<u8> {
    let mut r = Pcg32::seed_from_u64(seed.into());
    let mut index = Vec::new();
    let mut encoder = IndexEncoder::new(&mut index, false);
    for i in 0..fps * 60 {
        let is_sync = i % (2 * fps) == 0;
        let spread: u32 = (0..3).map(|_| r.next_u32() % 4_000).sum();
        let sample = Sample {
            media_start_90k: 0,
            duration_90k: (90_000 / fps) as i32,
            composition_offset_90k: 0,
            offset: 0,
            bytes: spread + if is_sync { 60_000 } else { 6_000 },
            is_sync,
        };
        encoder.add(&mut index, &sample);
    }
    index
}

/// One minute of all streams: each adds a recording, and gives up its oldest past [`KEPT`].
fn minute(db: &mut Database, open: OpenId, sequence: u32, unlinked: Vec<RecordingId>) -> Flushed {
    let streams = (1..=STREAMS).map(StreamId);
    let recordings = streams
        .clone()
        .map(|stream| {
            let mut r = recording(open, stream, sequence);
            // 30 frames a second for the main stream, 10 for the sub stream.
            r.index = index(if stream.0 % 2 == 1 { 30 } else { 10 }, sequence);
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
    assert!(a_flush < 95_000, "{a_flush} bytes a minute");
    let wal = std::fs::metadata(temp.path().join("db-wal")).unwrap().len();
    assert!(wal < 8 << 20, "the write-ahead log has {wal} bytes");
}

/// A file whose writes are counted, with nobody waiting for the disk.
fn counted() -> (TempDir, Database) {
    let temp = TempDir::new().unwrap();
    let db = Database::open(temp.path(), Mode::Create, 1).unwrap();
    db.connection
        .pragma_update(None, "synchronous", "off")
        .unwrap();
    (temp, db)
}

/// A program that says each second what six cameras show, and foretells a minute. The bound is what
/// design/access.md tells, and some more.
#[test]
fn updates_of_signals_cost_the_flash_little() {
    const MEASURED: u16 = 2000;
    let (_temp, mut db) = counted();
    let mut ask = |request| match db.handle(Request::Signals(request)) {
        Ok(Reply::Signals(reply)) => reply,
        other => panic!("{other:?}"),
    };
    let kind = uuid::Uuid::from_u128(1);
    ask(SignalRequest::PutType(SignalType {
        uuid: kind,
        name: "motion".to_owned(),
        states: vec![SignalState {
            state: 1,
            name: "motion".to_owned(),
            color: String::new(),
            motion: true,
        }],
    }));
    let mut ids = Vec::new();
    for n in 0..6u16 {
        let new = NewSignal {
            kind,
            name: format!("camera {n}"),
            cameras: Vec::new(),
        };
        match ask(SignalRequest::Make(new)) {
            SignalReply::Signal(signal) => ids.push((n, signal.id)),
            other => panic!("{other:?}"),
        }
    }
    let before = written();
    for second in 0..MEASURED {
        let start = TEN + Duration90k::from_secs(second.into());
        // The same for half a minute.
        let states = ids.iter().map(|(n, id)| (*id, (second / 30 + n) % 2));
        ask(SignalRequest::Update(SignalUpdate {
            states: states.collect(),
            span: start..start + MINUTE,
        }));
    }
    let an_update = (written() - before) / u64::from(MEASURED);
    assert!(an_update < 5_000, "{an_update} bytes an update");
}

/// Ten browsers in use, written with the commit that takes place anyway.
#[test]
fn uses_of_sessions_cost_the_flash_little() {
    use crate::access::{At, Use};
    const MEASURED: i64 = 500;
    let (_temp, mut db) = counted();
    start(&mut db, &["/a"], &[]);
    let anna = super::users::create(&mut db, "anna", &[]);
    let mut sessions = Vec::new();
    for _ in 0..10 {
        let begun = db.handle(Request::Sessions(SessionRequest::Start {
            user: anna.id,
            verified: Secret("hash of anna".to_owned()),
            at: At {
                wall: TEN,
                trusted: true,
            },
            user_agent: "x".repeat(120),
            address: "192.0.2.7".to_owned(),
        }));
        match begun {
            Ok(Reply::Sessions(SessionReply::Started { who, .. })) => sessions.push(who.id()),
            other => panic!("{other:?}"),
        }
    }
    let mut a_commit_with = |sessions: &[_]| {
        let before = written();
        for hour in 0..MEASURED {
            let at = TEN + Duration90k::from_secs(3600 * hour);
            let uses = sessions.iter().map(|of| Use { of: *of, at }).collect();
            let request = Flush {
                uses,
                ..Flush::default()
            };
            flush(&mut db, request).unwrap();
        }
        (written() - before) / MEASURED as u64
    };
    let without = a_commit_with(&[]);
    let more = a_commit_with(&sessions).saturating_sub(without);
    assert!(more < 5_000, "{more} bytes more than {without}");
}
