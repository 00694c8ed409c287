//! What `check --repair` changes.

use super::*;

#[test]
fn what_is_lost_becomes_a_gap() {
    let (mut db, snapshot) = one_camera();
    let stream = snapshot.cameras[0].streams[0].id;
    record(&mut db, snapshot.open, stream, 0..4);
    let id = |sequence| RecordingId { stream, sequence };
    db.lose(&[id(1), id(2), id(9)], "gone").unwrap();
    db.lose(&[id(3)], "no index").unwrap();
    let minute = |n: i64| TEN + Duration90k(MINUTE.0 * n);
    let gaps = db.gaps(stream, &(minute(0)..minute(9))).unwrap();
    let told: Vec<_> = gaps
        .iter()
        .map(|g| (g.start, g.end, g.cause, g.detail.as_str()))
        .collect();
    let wanted = [
        (minute(1), minute(3), GapCause::Disk, "gone"),
        (minute(3), minute(4), GapCause::Disk, "no index"),
    ];
    assert_eq!(told, wanted);
    db.verify(&mut |f| panic!("{f}")).unwrap();
    let after = db.snapshot().unwrap();
    assert_eq!(after.cameras[0].streams[0].totals.recordings, 1);
    assert!(db.knows_file(id(0)).unwrap() && !db.knows_file(id(1)).unwrap());
}

#[test]
fn garbage_is_known_until_it_is_forgotten() {
    let (mut db, snapshot) = one_camera();
    let stream = snapshot.cameras[0].streams[0].id;
    record(&mut db, snapshot.open, stream, 0..1);
    let request = Flush {
        delete: vec![Delete::StreamBytes { stream, bytes: 1 }],
        ..Flush::default()
    };
    let id = flush(&mut db, request).unwrap().garbage[0].id;
    assert!(db.knows_file(id).unwrap());
    db.forget_garbage(&[id]).unwrap();
    assert!(!db.knows_file(id).unwrap());
    assert_eq!(db.snapshot().unwrap().garbage, []);
}

#[test]
fn a_gap_is_replaced() {
    let (mut db, snapshot) = one_camera();
    let stream = snapshot.cameras[0].streams[0].id;
    let minute = |n: i64| TEN + Duration90k(MINUTE.0 * n);
    let old = gap(stream, minute(1), minute(9), "away");
    let request = Flush {
        gaps: vec![old.clone()],
        ..Flush::default()
    };
    flush(&mut db, request).unwrap();
    let new = [
        gap(stream, minute(1), minute(2), "away"),
        gap(stream, minute(5), minute(9), "away"),
    ];
    db.replace_gap(&old, &new).unwrap();
    assert_eq!(db.gaps(stream, &(minute(0)..minute(99))).unwrap(), new);
    // It is not there any more.
    db.replace_gap(&old, &[]).unwrap();
    assert_eq!(count(&db, "gap"), 2);
}
