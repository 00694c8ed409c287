use super::*;

fn usage(db: &mut Database, since: Wall90k) -> Usage {
    match db.handle(Request::Usage { since }).unwrap() {
        Reply::Usage(usage) => usage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_recorded_of_late_and_what_a_directory_holds() {
    let (mut db, snapshot) = one_camera();
    let empty = usage(&mut db, TEN);
    assert_eq!(empty.streams, []);
    assert_eq!((empty.dirs[0].recordings, empty.dirs[0].oldest), (0, None));
    record(&mut db, snapshot.open, StreamId(1), 0..10);
    let all = placed(&db, StreamId(1));
    let bytes: i64 = db
        .connection
        .query_row("select sum(sample_file_bytes) from recording", [], |r| {
            r.get(0)
        })
        .unwrap();
    let told = usage(&mut db, TEN);
    assert_eq!(told.streams.len(), 1);
    let s = told.streams[0];
    assert_eq!(
        (s.stream, s.since, s.bytes),
        (StreamId(1), Wall90k(all[0].1), bytes)
    );
    assert_eq!(s.duration.0, all.iter().map(|r| r.2).sum::<i64>());
    let d = told.dirs[0];
    assert_eq!(
        (d.recordings, d.bytes, d.oldest),
        (10, bytes, Some(Wall90k(all[0].1)))
    );
    // From the eighth on.
    let late = usage(&mut db, Wall90k(all[7].1)).streams[0];
    assert_eq!(
        (late.since, late.bytes),
        (Wall90k(all[7].1), bytes * 3 / 10)
    );
}
