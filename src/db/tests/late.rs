//! Recordings that come late, and the numbers that are left to them.

use super::*;
use crate::recording::chain;

const MAIN: StreamId = StreamId(1);
const SUB: StreamId = StreamId(2);
/// More than recordings wait for the database at a time.
const MANY: u32 = 2_000;

/// The stream is recorded to the other of two directories from now on.
fn move_to(db: &mut Database, dir: &str) -> Stream {
    let mut camera = camera("driveway");
    camera.main.as_mut().unwrap().sample_dir = Some(dir.into());
    let request = Request::Configure {
        wall: TEN,
        sample_dirs: vec!["/a".into(), "/b".into()],
        cameras: vec![camera],
    };
    match db.handle(request).unwrap() {
        Reply::Snapshot(s) => s.cameras[0].streams[0].clone(),
        other => panic!("{other:?}"),
    }
}

fn commit(db: &mut Database, recordings: Vec<(DirId, Recording)>) {
    let all = Flush {
        recordings,
        ..Flush::default()
    };
    flush(db, all).unwrap();
}

fn come_late(db: &mut Database, late: Recording) -> Result<Flushed, Error> {
    let all = Flush {
        late: vec![(DirId(1), late)],
        ..Flush::default()
    };
    flush(db, all)
}

fn stored(db: &Database, sequence: u32) -> Recording {
    let id = RecordingId {
        stream: MAIN,
        sequence,
    };
    db.recording(id).unwrap().unwrap().1
}

fn stream(db: &Database) -> Stream {
    db.snapshot().unwrap().cameras[0].streams[0].clone()
}

/// Number 0 was committed, 1 and 2 are in the directory that the stream moves away from.
fn moved() -> (Database, OpenId, u32) {
    let (mut db, snapshot) = one_camera();
    let first = move_to(&mut db, "/a");
    assert_eq!((first.next_sequence, first.holes), (0, vec![]));
    record(&mut db, snapshot.open, MAIN, 0..1);
    let there = move_to(&mut db, "/b");
    let next = there.next_sequence;
    assert_eq!(there.holes.as_slice(), std::slice::from_ref(&(1..next)));
    assert!(next > MANY);
    // Only a move leaves numbers.
    assert_eq!(move_to(&mut db, "/b").next_sequence, next);
    (db, snapshot.open, next)
}

#[test]
fn what_comes_late_goes_where_its_number_says() {
    let (mut db, open, next) = moved();
    let at_minute = |sequence, minute: i64| Recording {
        start: TEN + Duration90k(MINUTE.0 * minute),
        ..recording(open, MAIN, sequence)
    };
    commit(
        &mut db,
        vec![
            (DirId(2), at_minute(next, 5)),
            (DirId(2), at_minute(next + 1, 6)),
        ],
    );
    let before = stream(&db);
    let hole = TEN + MINUTE..TEN + Duration90k(MINUTE.0 * 5);
    let told = Flush {
        gaps: vec![gap(MAIN, hole.start, hole.end, "away")],
        ..Flush::default()
    };
    flush(&mut db, told).unwrap();

    come_late(&mut db, at_minute(2, 3)).unwrap();
    come_late(&mut db, at_minute(1, 2)).unwrap();
    // Each follows what was there before it when it came, and what was there goes on following what it did.
    for (sequence, follows) in [(next, 0), (next + 1, next), (2, 0), (1, 0)] {
        let follows = chain_hash(&db, MAIN, follows);
        let r = stored(&db, sequence);
        assert!(chain::verify(&follows, &r).is_some(), "{sequence}");
    }
    let after = stream(&db);
    assert_eq!(after.last_chain_hash, before.last_chain_hash);
    assert_eq!(after.media_duration, before.media_duration);
    assert_eq!(after.totals.recordings, 5);
    assert_eq!(after.next_sequence, next + 2);
    assert_eq!(after.holes.as_slice(), std::slice::from_ref(&(3..next)));
    // The rest of the gap is left.
    let gaps = db.gaps(MAIN, &hole).unwrap();
    let spans: Vec<i64> = gaps
        .iter()
        .flat_map(|g| [g.start, g.end])
        .map(|t| (t - TEN).0 / MINUTE.0)
        .collect();
    assert_eq!(spans, [1, 2, 4, 5]);
    // What is there now, and what was given up since, is not taken again.
    let give_up = Flush {
        delete: vec![Delete::StreamBytes {
            stream: MAIN,
            bytes: 1_500,
        }],
        ..Flush::default()
    };
    assert_eq!(flush(&mut db, give_up).unwrap().garbage.len(), 2);
    for sequence in [0, 1, 2, next] {
        let again = come_late(&mut db, at_minute(sequence, 2));
        assert!(matches!(again, Err(Error::DuplicateRecording(_))));
    }
    db.verify(&mut |f| panic!("{f}")).unwrap();
}

#[test]
fn what_comes_late_has_the_room_that_its_neighbors_leave() {
    for (minute, start, length) in [(-1, 1, 0), (0, 1, 0), (1, 1, 1), (2, 2, 0), (9, 2, 0)] {
        let (mut db, open, next) = moved();
        let after = Recording {
            start: TEN + Duration90k(2 * MINUTE.0),
            ..recording(open, MAIN, next)
        };
        commit(&mut db, vec![(DirId(2), after)]);
        let late = Recording {
            start: TEN + Duration90k(MINUTE.0 * minute),
            ..recording(open, MAIN, 1)
        };
        come_late(&mut db, late).unwrap();
        let r = stored(&db, 1);
        let got = ((r.start - TEN).0, r.wall_duration.0);
        assert_eq!(got, (start * MINUTE.0, length * MINUTE.0), "{minute}");
        db.verify(&mut |f| panic!("{minute}: {f}")).unwrap();
    }
}

#[test]
fn where_the_first_comes_late_what_follows_it_is_told() {
    let (mut db, open, _) = moved();
    let later = Recording {
        start: TEN + Duration90k(3 * MINUTE.0),
        ..recording(open, SUB, 7)
    };
    commit(&mut db, vec![(DirId(2), later)]);
    come_late(&mut db, recording(open, SUB, 0)).unwrap();
    let gaps = db.gaps(SUB, &(Wall90k(0)..Wall90k(i64::MAX))).unwrap();
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].start, TEN + MINUTE);
    assert_eq!(gaps[0].end, TEN + Duration90k(3 * MINUTE.0));
}

#[test]
fn what_waits_in_the_old_directory_is_no_later_than_the_newest() {
    let (mut db, open, next) = moved();
    commit(
        &mut db,
        vec![
            (DirId(1), recording(open, MAIN, 1)),
            (DirId(1), recording(open, MAIN, 3)),
        ],
    );
    let s = stream(&db);
    assert_eq!(s.last_chain_hash, chain_hash(&db, MAIN, 3));
    assert_eq!((s.next_sequence, s.holes), (next, vec![2..3, 4..next]));
    assert_eq!(s.media_duration.0, 3 * (MINUTE.0 + 17));
}

#[test]
fn few_holes_are_remembered() {
    let (mut db, snapshot) = one_camera();
    for n in 1..100 {
        record(&mut db, snapshot.open, MAIN, 2 * n..2 * n + 1);
    }
    let holes = stream(&db).holes;
    assert_eq!(holes.len(), 64);
    assert_eq!(holes.last(), Some(&(197..198)));
}

#[test]
fn a_disk_without_room_gives_up_what_is_not_the_oldest_and_tells() {
    let (mut db, open, next) = moved();
    commit(
        &mut db,
        (next..next + 3)
            .map(|n| {
                let start = TEN + Duration90k(MINUTE.0 * i64::from(n - next + 1));
                let r = Recording {
                    start,
                    ..recording(open, MAIN, n)
                };
                (DirId(2), r)
            })
            .collect(),
    );
    let give_up = Flush {
        delete: vec![Delete::DirBytes {
            dir: DirId(2),
            bytes: 2_000,
        }],
        ..Flush::default()
    };
    assert_eq!(flush(&mut db, give_up).unwrap().garbage.len(), 2);
    let gaps = db.gaps(MAIN, &(Wall90k(0)..Wall90k(i64::MAX))).unwrap();
    let [gap] = &gaps[..] else { panic!("{gaps:?}") };
    assert_eq!(gap.cause, GapCause::Disk);
    assert_eq!(gap.start, TEN + MINUTE);
    assert_eq!(gap.end, TEN + Duration90k(3 * MINUTE.0));
}
