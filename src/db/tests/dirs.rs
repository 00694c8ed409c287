//! Sample directories that somebody adds and takes out of use, and what works beside a recorder.

use super::*;
use tempfile::TempDir;

fn ask(db: &mut Database, request: DirRequest) -> Result<Snapshot, Error> {
    match db.handle(Request::Dirs(request))? {
        Reply::Snapshot(snapshot) => Ok(*snapshot),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(db: &mut Database, request: DirRequest) -> DirError {
    match ask(db, request) {
        Err(Error::Dir(e)) => e,
        other => panic!("{other:?}"),
    }
}

fn ids(snapshot: &Snapshot) -> Vec<(i32, bool, bool)> {
    let dirs = snapshot.dirs.iter();
    dirs.map(|d| (d.id.0, d.configured, d.in_file)).collect()
}

#[test]
fn one_that_was_added_is_recorded_to_whatever_the_file_says() {
    let (mut db, _) = one_camera();
    let after = ask(&mut db, DirRequest::Add("/b".into())).unwrap();
    assert_eq!(ids(&after), [(1, true, true), (2, true, false)]);
    let after = configure(&mut db, &["/c"], &[camera("driveway")]);
    assert_eq!(ids(&after), [(2, true, false), (3, true, true)]);
    // The file takes it over, and gives it up again.
    let after = configure(&mut db, &["/b", "/c"], &[camera("driveway")]);
    assert_eq!(ids(&after), [(2, true, true), (3, true, true)]);
    let after = configure(&mut db, &["/c"], &[camera("driveway")]);
    assert_eq!(ids(&after), [(3, true, true)]);
}

#[test]
fn one_that_is_taken_out_of_use_keeps_what_it_holds() {
    let (mut db, first) = one_camera();
    ask(&mut db, DirRequest::Add("/b".into())).unwrap();
    let uuid = db.snapshot().unwrap().dirs[1].uuid;
    let patch = CameraPatch {
        name: Some("garden".to_owned()),
        main: StreamChange::Put(StreamPatch {
            url: Some("rtsp://192.0.2.7/main".to_owned()),
            dir: Some(DirId(2)),
            ..StreamPatch::default()
        }),
        ..CameraPatch::default()
    };
    let make = Request::Cameras(CameraRequest::Make(Box::new(patch)));
    let Ok(Reply::Cameras(made)) = db.handle(make) else {
        panic!();
    };
    let stream = made.snapshot.cameras[1].streams[0].clone();
    assert_eq!(stream.dir, DirId(2));
    db.handle(Request::Flush(Box::new(Flush {
        wall: TEN,
        recordings: vec![(DirId(2), recording(first.open, stream.id, 0))],
        ..Flush::default()
    })))
    .unwrap();
    let after = ask(&mut db, DirRequest::Remove(DirId(2))).unwrap();
    assert_eq!(ids(&after), [(1, true, true), (2, false, false)]);
    let after = &after.cameras[1].streams[0];
    assert_eq!((after.dir, after.totals.recordings), (DirId(1), 1));
    // Added again it is the same one.
    let back = ask(&mut db, DirRequest::Add("/b".into())).unwrap();
    assert_eq!(ids(&back), [(1, true, true), (2, true, false)]);
    assert_eq!(back.dirs[1].uuid, uuid);
}

#[test]
fn what_cannot_be_is_refused() {
    let (mut db, _) = one_camera();
    let there = DirError::There("/a".into());
    assert_eq!(refused(&mut db, DirRequest::Add("/a".into())), there);
    let unknown = refused(&mut db, DirRequest::Remove(DirId(9)));
    assert_eq!(unknown, DirError::Unknown);
    let in_file = refused(&mut db, DirRequest::Remove(DirId(1)));
    assert_eq!(in_file, DirError::InFile);
    ask(&mut db, DirRequest::Add("/b".into())).unwrap();
    configure(&mut db, &[], &[camera("driveway")]);
    let last = refused(&mut db, DirRequest::Remove(DirId(2)));
    assert_eq!(last, DirError::Last);
    for n in 2..MAX_DIRS {
        ask(&mut db, DirRequest::Add(format!("/more/{n}").into())).unwrap();
    }
    let many = refused(&mut db, DirRequest::Add("/more".into()));
    assert_eq!(many, DirError::TooMany);
}

#[test]
fn cameras_and_directories_are_changed_beside_a_recorder_which_sees_that() {
    let temp = TempDir::new().unwrap();
    let mut recorder = Database::open(temp.path(), Mode::Create, 1).unwrap();
    start(&mut recorder, &["/a"], &[camera("driveway")]);
    let version = |db: &mut Database| {
        let question = Request::Sessions(SessionRequest::ChangesOfOthers);
        match db.handle(question).unwrap() {
            Reply::Sessions(SessionReply::ChangesOfOthers(version)) => version,
            other => panic!("{other:?}"),
        }
    };
    let before = version(&mut recorder);
    let mut beside = Database::open(temp.path(), Mode::Beside, 2).unwrap();
    beside.handle(Request::Usage { since: TEN }).unwrap();
    assert_eq!(version(&mut recorder), before);
    ask(&mut beside, DirRequest::Add("/b".into())).unwrap();
    assert_ne!(version(&mut recorder), before);
    let Ok(Reply::Snapshot(seen)) = recorder.handle(Request::Snapshot) else {
        panic!();
    };
    assert_eq!(ids(&seen), [(1, true, true), (2, true, false)]);
    // What the recorder numbers itself is not to be touched, nor what its file says.
    let bring_in = DirRequest::BringIn {
        sample_dirs: dirs(&["/z"]),
        cameras: Vec::new(),
    };
    for request in [
        Request::Dirs(bring_in),
        Request::DirAttached { dir: DirId(1) },
        Request::SampleEntryId(sample_entry()),
        Request::Flush(Box::default()),
    ] {
        let told = beside.handle(request).unwrap_err();
        assert!(matches!(told, Error::Invalid(_)), "{told}");
    }
}

#[test]
fn without_a_recorder_the_file_is_brought_in_and_nothing_begun() {
    let temp = TempDir::new().unwrap();
    let mut alone = Database::open(temp.path(), Mode::Create, 1).unwrap();
    let bring_in = DirRequest::BringIn {
        sample_dirs: dirs(&["/a"]),
        cameras: vec![camera("driveway")],
    };
    let seen = ask(&mut alone, bring_in).unwrap();
    assert_eq!((seen.cameras.len(), ids(&seen)), (1, vec![(1, true, true)]));
    let first = start(&mut alone, &["/a"], &[camera("driveway")]);
    assert!(first.was_clean);
    assert_eq!(
        (first.open, first.cameras[0].uuid),
        (OpenId(1), seen.cameras[0].uuid)
    );
}
