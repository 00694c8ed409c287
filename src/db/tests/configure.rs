use super::*;

#[test]
fn a_start_counts_up_and_tells_whether_the_last_end_was_clean() {
    let mut db = memory(1).unwrap();
    let first = start(&mut db, &["/a"], &[]);
    assert!(first.was_clean);
    assert_eq!(first.last_seen, None);
    let second = start(&mut db, &["/a"], &[]);
    assert!(!second.was_clean);
    assert_eq!(second.open.0, first.open.0 + 1);
    assert_eq!(second.last_seen, Some(TEN));
    let good_bye = Flush {
        wall: TEN + MINUTE,
        clean_shutdown: true,
        ..Flush::default()
    };
    flush(&mut db, good_bye).unwrap();
    let third = start(&mut db, &["/a"], &[]);
    assert!(third.was_clean);
    assert_eq!(third.last_seen, Some(TEN + MINUTE));
    assert_eq!(third.database, first.database);
}

#[test]
fn the_last_recordings_end_was_seen_though_the_clock_fell_back() {
    let (mut db, snapshot) = one_camera();
    record(&mut db, snapshot.open, StreamId(1), 0..2);
    let again = start(&mut db, &["/a"], &[camera("driveway")]);
    assert_eq!(again.last_seen, Some(TEN + Duration90k(2 * MINUTE.0)));
}

#[test]
fn the_same_seed_makes_the_same_uuids() {
    let make = |seed| {
        let mut db = memory(seed).unwrap();
        let s = start(&mut db, &["/a"], &[camera("driveway")]);
        (s.database, s.dirs[0].uuid, s.cameras[0].uuid)
    };
    assert_eq!(make(7), make(7));
    assert_ne!(make(7), make(8));
    let (database, dir, camera) = make(7);
    assert!(database != dir && dir != camera);
    assert_eq!(database.get_version_num(), 4);
}

#[test]
fn the_file_says_all_of_a_camera_and_its_identity_stays() {
    let (mut db, before) = one_camera();
    let mut changed = camera("driveway");
    changed.username = String::new();
    changed.main.as_mut().unwrap().url = "rtsp://192.0.2.9/other".to_owned();
    changed.main.as_mut().unwrap().transport = Transport::Udp;
    changed.main.as_mut().unwrap().retain.days = Some(30);
    changed.sub = None;
    let after = configure(&mut db, &["/a"], &[changed]);
    let (old, new) = (&before.cameras[0], &after.cameras[0]);
    assert_eq!((old.id, old.uuid), (new.id, new.uuid));
    assert_eq!(new.username, "");
    assert_eq!(new.streams[0].id, old.streams[0].id);
    assert_eq!(new.streams[0].url, "rtsp://192.0.2.9/other");
    assert_eq!(new.streams[0].transport, Transport::Udp);
    assert_eq!(new.streams[0].retain_days, Some(30));
    // What the file no longer has is kept, but not recorded.
    assert!(old.streams[1].record);
    assert!(!new.streams[1].record);
    assert_eq!(new.streams[1].kind, StreamKind::Sub);
}

#[test]
fn a_camera_that_leaves_the_file_is_kept_but_not_recorded() {
    let mut db = memory(1).unwrap();
    start(&mut db, &["/a"], &[camera("driveway"), camera("door")]);
    let after = configure(&mut db, &["/a"], &[camera("door")]);
    assert_eq!(after.notes.len(), 1);
    assert!(after.notes[0].contains("\"driveway\""), "{:?}", after.notes);
    let recorded = |s: &Snapshot, i: usize| s.cameras[i].streams.iter().all(|s| s.record);
    assert!(!recorded(&after, 0) && recorded(&after, 1));
    // It is said once, and undone when the camera comes back.
    let again = configure(&mut db, &["/a"], &[camera("door")]);
    assert_eq!(again.notes, Vec::<String>::new());
    let back = configure(&mut db, &["/a"], &[camera("driveway"), camera("door")]);
    assert!(recorded(&back, 0));
    assert_eq!(back.cameras[0].id, after.cameras[0].id);
}

#[test]
fn a_camera_that_only_the_database_knows_stays_as_it_is() {
    let (mut db, _) = one_camera();
    db.connection
        .execute("update camera set in_file = 0", [])
        .unwrap();
    let after = configure(&mut db, &["/a"], &[]);
    assert_eq!(after.notes, Vec::<String>::new());
    assert!(after.cameras[0].streams[0].record);
}

#[test]
fn streams_are_spread_over_directories_and_stay() {
    let mut db = memory(1).unwrap();
    let of = |s: &Snapshot| -> Vec<i32> {
        s.cameras
            .iter()
            .flat_map(|c| c.streams.iter().map(|s| s.dir.0))
            .collect()
    };
    let s = start(&mut db, &["/a", "/b"], &[camera("x"), camera("y")]);
    assert_eq!(of(&s), [1, 2, 1, 2]);
    let s = configure(
        &mut db,
        &["/a", "/b", "/c"],
        &[camera("x"), camera("y"), camera("z")],
    );
    assert_eq!(of(&s), [1, 2, 1, 2, 3, 3]);
    let mut x = camera("x");
    x.main.as_mut().unwrap().sample_dir = Some("/c".into());
    let s = configure(
        &mut db,
        &["/a", "/b", "/c"],
        &[x.clone(), camera("y"), camera("z")],
    );
    assert_eq!(of(&s), [3, 2, 1, 2, 3, 3]);
    // A directory that leaves the file gets nothing new.
    let s = configure(&mut db, &["/b", "/c"], &[x, camera("y"), camera("z")]);
    assert_eq!(of(&s), [3, 2, 2, 2, 3, 3]);
    assert_eq!(s.dirs.iter().map(|d| d.id.0).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_directory_that_holds_recordings_is_told_though_the_file_dropped_it() {
    let (mut db, snapshot) = one_camera();
    record(&mut db, snapshot.open, StreamId(1), 0..1);
    db.handle(Request::DirAttached { dir: DirId(1) }).unwrap();
    let after = configure(&mut db, &["/b"], &[camera("driveway")]);
    assert_eq!(after.dirs.len(), 2);
    assert!(after.dirs[0].attached_before && !after.dirs[0].configured);
    assert!(!after.dirs[1].attached_before && after.dirs[1].configured);
    assert_eq!(after.cameras[0].streams[0].dir, DirId(2));
    // Its identity is known when it comes back, even if it held nothing.
    let back = configure(&mut db, &["/a"], &[camera("driveway")]);
    assert_eq!(back.dirs[0].uuid, snapshot.dirs[0].uuid);
}

#[test]
fn a_configuration_that_cannot_be_brought_in_changes_nothing() {
    let (mut db, before) = one_camera();
    let mut x = camera("x");
    x.main.as_mut().unwrap().sample_dir = Some("/nowhere".into());
    let request = |sample_dirs: &[&str]| Request::Configure {
        wall: TEN,
        sample_dirs: dirs(sample_dirs),
        cameras: vec![x.clone()],
    };
    let error = db.handle(request(&["/a"])).unwrap_err();
    assert!(matches!(error, Error::UnknownPath(_)), "{error}");
    let error = db.handle(request(&[])).unwrap_err();
    assert!(matches!(error, Error::UnknownPath(_)), "{error}");
    let after = db.snapshot().unwrap();
    assert_eq!(after.cameras.len(), 1);
    assert!(after.cameras[0].streams[0].record);
    assert_eq!(after.dirs, before.dirs);
    assert!(matches!(
        db.handle(Request::DirAttached { dir: DirId(5) }),
        Err(Error::UnknownDir(_))
    ));
}
