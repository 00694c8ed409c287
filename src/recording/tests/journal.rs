//! The journal's records and bookkeeping.

use super::{T0, entry, id, sample, start};
use crate::recording::journal::record::{self, HEADER_BYTES, Place, Progress, Record, RecordError};
use crate::recording::journal::{
    Journal, MAX_PENDING_BYTES, SEGMENT_BYTES, segment_name, segment_number,
};
use crate::recording::writer::{Run, UntimedSample, Writer};
use crate::recording::{OpenId, Recording};
use crate::time::Duration90k;
use std::borrow::Cow;
use uuid::Uuid;

const PLACE: Place = Place {
    directory: Uuid::from_u128(7),
    segment: 3,
    offset: 1_000,
};

fn recording(sequence: u32) -> Recording {
    let mut w = start(id(1, sequence), Run::new(None));
    w.add(sample(0, 10, true)).unwrap();
    w.add(sample(3_000, 20, false)).unwrap();
    w.written(&[1; 30]);
    w.finish(None, "the camera said good-bye").unwrap().0
}

fn progress(index: &[u8]) -> Progress<'_> {
    Progress {
        id: id(2, 9),
        clock_untrusted: true,
        start: T0,
        error: Duration90k(-77),
        digest: [8; 16],
        index_from: 5,
        index,
        newest: Some(UntimedSample {
            composition_offset_90k: -3_000,
            bytes: 99,
            is_sync: false,
        }),
    }
}

fn all_kinds() -> Vec<Record<'static>> {
    vec![
        Record::Full {
            progress: Progress {
                newest: None,
                index_from: 0,
                ..progress(&[0, 1, 2])
            },
            open: OpenId(6),
            run_offset: 4,
            sample_entry: entry(2),
        },
        Record::Delta(progress(&[1, 2])),
        Record::Delta(Progress {
            newest: Some(UntimedSample {
                composition_offset_90k: 0,
                bytes: 1,
                is_sync: true,
            }),
            ..progress(&[])
        }),
        Record::Finished(Cow::Owned(recording(3))),
    ]
}

#[test]
fn records_are_read_as_written() {
    for r in all_kinds() {
        let mut out = vec![9; 5];
        record::append(&mut out, &PLACE, &r);
        let len = out.len() - 5;
        out.push(1);
        assert_eq!(record::parse(&out[5..], &PLACE), Ok((r, len)));
    }
}

#[test]
fn a_record_is_one_only_as_it_was_and_where_it_was() {
    for r in all_kinds() {
        let mut out = Vec::new();
        record::append(&mut out, &PLACE, &r);
        for len in 0..out.len() {
            assert_eq!(
                record::parse(&out[..len], &PLACE),
                Err(RecordError::Truncated)
            );
        }
        for bit in 0..out.len() * 8 {
            out[bit / 8] ^= 1 << (bit % 8);
            assert!(record::parse(&out, &PLACE).is_err(), "bit {bit}");
            out[bit / 8] ^= 1 << (bit % 8);
        }
        for elsewhere in [
            Place {
                offset: 1_001,
                ..PLACE
            },
            Place {
                segment: 4,
                ..PLACE
            },
            Place {
                directory: Uuid::from_u128(8),
                ..PLACE
            },
        ] {
            assert_eq!(record::parse(&out, &elsewhere), Err(RecordError::Checksum));
        }
    }
    assert_eq!(
        record::parse(&[0; HEADER_BYTES], &PLACE),
        Err(RecordError::Magic)
    );
    let mut long = *b"MNJ1\xff\xff\xff\xff        ";
    assert_eq!(record::parse(&long, &PLACE), Err(RecordError::TooLong));
    long[4..8].copy_from_slice(&[0; 4]);
    assert_eq!(record::parse(&long, &PLACE), Err(RecordError::Checksum));
}

#[test]
fn segment_names() {
    assert_eq!(segment_name(0x1a), "journal/000000000000001a");
    assert_eq!(segment_number("000000000000001a"), Some(0x1a));
    for name in [
        "1a",
        "000000000000001A",
        "+00000000000001a",
        "00000000000000001a",
    ] {
        assert_eq!(segment_number(name), None);
    }
}

/// The records of what was taken, from `offset` of `segment`.
fn records(segment: u64, mut offset: u64, bytes: &[u8]) -> Vec<String> {
    let (mut at, mut out) = (0, Vec::new());
    while at < bytes.len() {
        let place = Place {
            directory: PLACE.directory,
            segment,
            offset,
        };
        let (r, len) = record::parse(&bytes[at..], &place).unwrap();
        out.push(match r {
            Record::Full { progress, .. } => format!("full {}", progress.id),
            Record::Delta(p) => format!("delta {} from {}", p.id, p.index_from),
            Record::Finished(r) => format!("finished {}", r.id),
        });
        at += len;
        offset += len as u64;
    }
    out
}

fn grow(w: &mut Writer, frames: i64) {
    for _ in 0..frames {
        let n = i64::from(w.samples());
        w.add(sample(n * 3_000, 100, n == 0)).unwrap();
        w.written(&[0; 100]);
    }
}

#[test]
fn a_segment_is_complete_and_lets_the_others_go() {
    let mut j = Journal::new(PLACE.directory, 8, vec![5, 7]);
    assert!(j.should_rotate());
    let mut w = start(id(1, 1), Run::new(None));
    // Nothing is told of a writer that has nothing, or while there is no segment.
    j.checkpoint(&mut w);
    assert!(!j.has_pending());
    grow(&mut w, 3);

    let done = recording(0);
    assert_eq!(j.begin_segment([&mut w], [&done]), segment_name(8));
    assert!(!j.should_rotate());
    let p = j.take_pending(Vec::new()).unwrap();
    assert_eq!((p.segment, p.offset), (8, 0));
    assert_eq!(records(8, 0, &p.bytes), ["finished 1/0", "full 1/1"]);
    assert_eq!(j.take_pending(Vec::new()), None);

    // Older ones stay until all of the beginning is durable.
    j.synced(8, p.bytes.len() as u64 - 1);
    j.synced(7, p.bytes.len() as u64);
    assert!(j.segments_to_unlink().is_empty());
    j.synced(8, p.bytes.len() as u64);
    assert_eq!(j.segments_to_unlink(), [segment_name(5), segment_name(7)]);
    assert!(j.segments_to_unlink().is_empty());

    // What is new, once.
    j.checkpoint(&mut w);
    assert!(!j.has_pending());
    grow(&mut w, 2);
    j.checkpoint(&mut w);
    let next = j.take_pending(p.bytes.clone()).unwrap();
    assert_eq!((next.segment, next.offset), (8, p.bytes.len() as u64));
    // Two of three samples were in the index: flags, four bytes and three.
    assert_eq!(records(8, next.offset, &next.bytes), ["delta 1/1 from 8"]);

    // Given up before its end was durable: it goes with the next one's.
    assert_eq!(j.begin_segment([], [&done]), segment_name(9));
    assert_eq!(j.begin_segment([], [&done]), segment_name(10));
    let p = j.take_pending(Vec::new()).unwrap();
    assert_eq!(records(10, 0, &p.bytes), ["finished 1/0"]);
    j.synced(9, 1 << 30);
    assert!(j.segments_to_unlink().is_empty());
    j.synced(10, p.bytes.len() as u64);
    assert_eq!(j.segments_to_unlink(), [segment_name(8), segment_name(9)]);
}

#[test]
fn a_segment_is_left_once_it_has_grown() {
    let mut j = Journal::new(PLACE.directory, 0, Vec::new());
    let mut w = start(id(1, 1), Run::new(None));
    grow(&mut w, 100);
    let done: Vec<_> = (0..8_000).map(recording).collect();
    let _ = j.begin_segment([&mut w], &done);
    // A long beginning does not count: else segments would follow each other at once.
    assert!(j.take_pending(Vec::new()).unwrap().bytes.len() as u64 > SEGMENT_BYTES);
    let (mut added, mut last) = (0, 0);
    while !j.should_rotate() {
        assert!(added < SEGMENT_BYTES);
        j.finished(&done[0]);
        grow(&mut w, 1);
        j.checkpoint(&mut w);
        last = j.take_pending(Vec::new()).unwrap().bytes.len() as u64;
        added += last;
    }
    assert!((SEGMENT_BYTES..SEGMENT_BYTES + last).contains(&added));
    // All of it is told again, in one piece.
    let _ = j.begin_segment([&mut w], &done[..1]);
    let p = j.take_pending(Vec::new()).unwrap();
    assert_eq!(records(1, 0, &p.bytes), ["finished 1/0", "full 1/1"]);
}

#[test]
fn a_disk_that_stands_still_makes_the_next_segment_due() {
    let mut j = Journal::new(PLACE.directory, 0, Vec::new());
    let _ = j.begin_segment([], []);
    let mut r = recording(0);
    r.end_reason = "x".repeat(10_000);
    let mut n = 0;
    while !j.should_rotate() {
        j.finished(&r);
        n += 1;
    }
    assert!(n * 10_500 >= SEGMENT_BYTES, "a segment is full");
    for _ in 0..2 * MAX_PENDING_BYTES / 10_000 {
        j.finished(&r);
    }
    let p = j.take_pending(Vec::new()).unwrap();
    assert!(p.bytes.len() < MAX_PENDING_BYTES + 11_000);
    assert!(j.should_rotate());
    let _ = j.begin_segment([], [&r]);
    assert!(!j.should_rotate());
}
