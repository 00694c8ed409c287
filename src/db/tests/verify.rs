use super::*;

const MAIN: StreamId = StreamId(1);

const FIRST: RecordingId = RecordingId {
    stream: MAIN,
    sequence: 0,
};

fn findings(db: &Database) -> Vec<Finding> {
    let mut found = Vec::new();
    db.verify(&mut |f| found.push(f)).unwrap();
    found
}

/// Does damage to a database with three recordings, and expects it told and mended.
fn damage(sql: &str, expected: &[Finding]) -> Database {
    let (mut db, snapshot) = one_camera();
    record(&mut db, snapshot.open, MAIN, 0..3);
    assert_eq!(findings(&db), []);
    db.connection.execute_batch(sql).unwrap();
    let found = findings(&db);
    assert_eq!(found, expected, "{sql}");
    for finding in &found {
        assert!(db.mend(finding).unwrap().is_some(), "{finding}");
    }
    assert_eq!(findings(&db), [], "{sql}");
    db
}

#[test]
fn what_the_daemon_does_is_in_order() {
    let (mut db, snapshot) = one_camera();
    record(&mut db, snapshot.open, MAIN, 0..9);
    record(&mut db, snapshot.open, StreamId(2), 0..9);
    let give_up = Flush {
        delete: vec![
            Delete::StreamBytes {
                stream: MAIN,
                bytes: 2000,
            },
            Delete::DirBytes {
                dir: DirId(1),
                bytes: 5000,
            },
        ],
        ..Flush::default()
    };
    flush(&mut db, give_up).unwrap();
    assert_eq!(findings(&db), []);
}

#[test]
fn wrong_sums_are_counted_anew() {
    let totals = Finding::Totals {
        stream: MAIN,
        dir: DirId(1),
    };
    for sql in [
        "update stream_dir set sample_file_bytes = 1",
        "update stream_dir set recordings = 4",
        "update stream_dir set duration_90k = 0",
        "update stream_dir set oldest_sequence = 1",
        "delete from stream_dir",
    ] {
        let db = damage(sql, std::slice::from_ref(&totals));
        let totals = db.snapshot().unwrap().cameras[0].streams[0].totals;
        assert_eq!((totals.recordings, totals.sample_file_bytes), (3, 3000));
    }
    let nobodys = Finding::Totals {
        stream: StreamId(2),
        dir: DirId(1),
    };
    damage(
        "insert into stream_dir values (2, 1, 1, 1, 1, 0)",
        &[nobodys],
    );
}

#[test]
fn a_streams_position_is_behind_its_last_recording() {
    let db = damage(
        "update stream set next_sequence = 2 where id = 1",
        &[Finding::NextSequence { stream: MAIN }],
    );
    let stream = &db.snapshot().unwrap().cameras[0].streams[0];
    assert_eq!(stream.next_sequence, 3);
    let db = damage(
        "update stream set last_chain_hash = zeroblob(32) where id = 1",
        &[Finding::LastChainHash { stream: MAIN }],
    );
    let stream = &db.snapshot().unwrap().cameras[0].streams[0];
    assert_eq!(stream.last_chain_hash, chain_hash(&db, MAIN, 2));
}

#[test]
fn a_recording_without_index_is_given_up() {
    let db = damage(
        "delete from recording_index where id = 1",
        &[Finding::NoIndex(FIRST)],
    );
    assert_eq!(db.snapshot().unwrap().garbage[0].id, FIRST);
    damage(
        "insert into recording_index (video_index, data_hash, chain_hash)
         values (x'00', zeroblob(16), zeroblob(32))",
        &[Finding::StrayIndexes { count: 1 }],
    );
}

#[test]
fn an_overlap_is_told_and_left() {
    let (mut db, snapshot) = one_camera();
    let mut early = recording(snapshot.open, MAIN, 1);
    early.start = early.start - Duration90k(90);
    let both = Flush {
        recordings: vec![
            (DirId(1), recording(snapshot.open, MAIN, 0)),
            (DirId(1), early),
        ],
        ..Flush::default()
    };
    flush(&mut db, both).unwrap();
    let second = RecordingId {
        sequence: 1,
        ..FIRST
    };
    let overlap = Finding::Overlap {
        first: FIRST,
        second,
        by: Duration90k(90),
    };
    assert_eq!(findings(&db), std::slice::from_ref(&overlap));
    assert_eq!(
        overlap.to_string(),
        "recordings 1/0 and 1/1 overlap by 0.001 s"
    );
    assert_eq!(db.mend(&overlap).unwrap(), None);
}

#[test]
fn what_is_recorded_is_no_garbage() {
    let db = damage(
        "insert into garbage values (1, 0, 1, 1000)",
        &[Finding::GarbageInUse(FIRST)],
    );
    assert_eq!(db.snapshot().unwrap().garbage, []);
    assert_eq!(count(&db, "recording"), 3);
}

#[test]
fn missing_references_are_told_and_left() {
    let (mut db, snapshot) = one_camera();
    record(&mut db, snapshot.open, MAIN, 0..1);
    db.connection
        .execute_batch("pragma foreign_keys = off; delete from video_sample_entry")
        .unwrap();
    let found = findings(&db);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].to_string(),
        "a row of recording names one of video_sample_entry that is not there"
    );
    assert_eq!(db.mend(&found[0]).unwrap(), None);
}

#[test]
fn recordings_whose_files_are_lost_are_forgotten() {
    let (mut db, snapshot) = one_camera();
    record(&mut db, snapshot.open, MAIN, 0..3);
    let second = RecordingId {
        sequence: 1,
        ..FIRST
    };
    db.forget(&[second], false).unwrap();
    db.forget(&[FIRST], true).unwrap();
    assert_eq!(findings(&db), []);
    let snapshot = db.snapshot().unwrap();
    let garbage: Vec<_> = snapshot.garbage.iter().map(|g| g.id).collect();
    assert_eq!(garbage, [FIRST]);
    let totals = snapshot.cameras[0].streams[0].totals;
    assert_eq!((totals.recordings, totals.sample_file_bytes), (1, 1000));
    // To forget what is not there is no harm.
    db.forget(&[second], true).unwrap();
    assert_eq!(findings(&db), []);
}
