use super::super::{
    CameraError, CameraPatch, CameraReply, CameraRequest, StreamChange, StreamPatch,
};
use super::*;
use crate::config::Secret;

fn ask(db: &mut Database, request: CameraRequest) -> Result<CameraReply, Error> {
    match db.handle(Request::Cameras(request))? {
        Reply::Cameras(reply) => Ok(reply),
        other => panic!("{other:?}"),
    }
}

fn refused(db: &mut Database, request: CameraRequest) -> CameraError {
    match ask(db, request) {
        Err(Error::Camera(e)) => e,
        other => panic!("{other:?}"),
    }
}

fn stream(url: &str) -> StreamChange {
    StreamChange::Put(StreamPatch {
        url: Some(url.to_owned()),
        ..StreamPatch::default()
    })
}

fn garden() -> CameraPatch {
    CameraPatch {
        name: Some("garden".to_owned()),
        username: Some("admin".to_owned()),
        password: Some(Secret("secret".to_owned())),
        main: stream("rtsp://192.0.2.7/main"),
        ..CameraPatch::default()
    }
}

fn make(db: &mut Database, patch: CameraPatch) -> CameraReply {
    ask(db, CameraRequest::Make(Box::new(patch))).unwrap()
}

fn change(camera: uuid::Uuid, patch: CameraPatch) -> CameraRequest {
    let patch = Box::new(patch);
    CameraRequest::Change { camera, patch }
}

fn remove(camera: uuid::Uuid, recordings: Removed) -> CameraRequest {
    CameraRequest::Remove { camera, recordings }
}

#[test]
fn made_changed_and_still_there_after_a_start() {
    let mut db = memory(1).unwrap();
    start(&mut db, &["/a", "/b"], &[camera("driveway")]);
    let made = make(&mut db, garden());
    let new = &made.snapshot.cameras[1];
    assert_eq!(
        (new.uuid, &*new.name, new.in_file),
        (made.camera, "garden", false)
    );
    assert_eq!(new.streams.len(), 1);
    assert!(new.streams[0].record);
    assert_eq!(new.streams[0].retain_bytes, None);
    // The two of the file are spread over both, so either is as good.
    let patch = CameraPatch {
        main: StreamChange::Put(StreamPatch {
            retain_bytes: Some(Some(1_000)),
            transport: Some(Transport::Udp),
            dir: Some(DirId(2)),
            ..StreamPatch::default()
        }),
        sub: stream("rtsp://192.0.2.7:5554/sub"),
        ..CameraPatch::default()
    };
    ask(&mut db, change(made.camera, patch)).unwrap();
    let again = start(&mut db, &["/a", "/b"], &[camera("driveway")]);
    let new = &again.cameras[1];
    assert_eq!((new.uuid, &*new.username), (made.camera, "admin"));
    assert_eq!(new.password.0, "secret");
    let main = &new.streams[0];
    assert_eq!(main.url, "rtsp://192.0.2.7/main");
    assert_eq!(
        (main.retain_bytes, main.transport, main.dir),
        (Some(1_000), Transport::Udp, DirId(2))
    );
    assert_eq!(new.streams[1].kind, StreamKind::Sub);
    // It may be one stream less again, and unlimited.
    let patch = CameraPatch {
        main: StreamChange::Put(StreamPatch {
            retain_bytes: Some(None),
            ..StreamPatch::default()
        }),
        sub: StreamChange::End,
        ..CameraPatch::default()
    };
    let reply = ask(&mut db, change(made.camera, patch)).unwrap();
    let streams = &reply.snapshot.cameras[1].streams;
    assert_eq!(streams[0].retain_bytes, None);
    assert_eq!((&*streams[1].url, streams[1].record), ("", false));
}

#[test]
fn what_cannot_be_is_refused_and_nothing_of_it_done() {
    let mut db = memory(1).unwrap();
    let first = start(&mut db, &["/a"], &[camera("driveway")]);
    let driveway = first.cameras[0].uuid;
    let of_file = [
        change(driveway, CameraPatch::default()),
        remove(driveway, Removed::Deleting),
    ];
    for request in of_file {
        assert_eq!(refused(&mut db, request), CameraError::InFile);
    }
    let uuid = make(&mut db, garden()).camera;
    let nobody = uuid::Uuid::from_u128(1);
    for (patch, error) in [
        (
            CameraPatch {
                name: Some("driveway".to_owned()),
                ..CameraPatch::default()
            },
            CameraError::NameTaken,
        ),
        (
            CameraPatch {
                main: StreamChange::End,
                ..CameraPatch::default()
            },
            CameraError::NoStream,
        ),
        (
            CameraPatch {
                description: Some("half".to_owned()),
                sub: StreamChange::Put(StreamPatch::default()),
                ..CameraPatch::default()
            },
            CameraError::NoUrl(StreamKind::Sub),
        ),
        (
            CameraPatch {
                main: StreamChange::Put(StreamPatch {
                    dir: Some(DirId(9)),
                    ..StreamPatch::default()
                }),
                ..CameraPatch::default()
            },
            CameraError::UnknownDir(DirId(9)),
        ),
        (
            CameraPatch {
                sub: stream("rtsp://192.0.2.66/sub"),
                ..CameraPatch::default()
            },
            CameraError::OtherHost,
        ),
    ] {
        assert_eq!(refused(&mut db, change(uuid, patch)), error);
    }
    let request = change(nobody, CameraPatch::default());
    assert_eq!(refused(&mut db, request), CameraError::Unknown);
    let request = CameraRequest::Make(Box::new(garden()));
    assert_eq!(refused(&mut db, request), CameraError::NameTaken);
    let nameless = CameraPatch {
        name: None,
        ..garden()
    };
    let request = CameraRequest::Make(Box::new(nameless));
    assert_eq!(refused(&mut db, request), CameraError::NoName);
    let after = db.snapshot().unwrap();
    assert_eq!(after.cameras[1].description, "");
    assert_eq!(after.cameras[1].streams.len(), 1);
    // With the password, elsewhere is as good.
    let patch = CameraPatch {
        password: Some(Secret("other".to_owned())),
        main: stream("rtsp://192.0.2.66/main"),
        ..CameraPatch::default()
    };
    ask(&mut db, change(uuid, patch)).unwrap();
}

#[test]
fn there_are_never_too_many() {
    let mut db = memory(1).unwrap();
    start(&mut db, &["/a"], &[]);
    let numbered = |n: u32| CameraPatch {
        name: Some(format!("camera {n}")),
        ..garden()
    };
    for n in 0..super::super::MAX_CAMERAS {
        make(&mut db, numbered(n));
    }
    let request = CameraRequest::Make(Box::new(numbered(9_999)));
    assert_eq!(refused(&mut db, request), CameraError::TooMany);
}

#[test]
fn a_removed_camera_is_the_same_again_by_its_name() {
    let mut db = memory(1).unwrap();
    let open = start(&mut db, &["/a"], &[]).open;
    let made = make(&mut db, garden());
    let id = made.snapshot.cameras[0].streams[0].id;
    record(&mut db, open, id, 0..3);
    let gone = ask(&mut db, remove(made.camera, Removed::Kept)).unwrap();
    let camera = &gone.snapshot.cameras[0];
    assert_eq!(camera.removed, Some(Removed::Kept));
    assert_eq!((&*camera.username, &*camera.password.0), ("", ""));
    assert_eq!(
        (&*camera.streams[0].url, camera.streams[0].record),
        ("", false)
    );
    assert_eq!(camera.streams[0].totals.recordings, 3);
    // It has recordings: it is not forgotten.
    let flushed = flush(
        &mut db,
        Flush {
            forget: vec![camera.id],
            ..Flush::default()
        },
    )
    .unwrap();
    assert!(flushed.forgotten.is_empty());
    let back = make(&mut db, garden());
    let camera = &back.snapshot.cameras[0];
    assert_eq!((back.camera, camera.removed), (made.camera, None));
    assert!(camera.streams[0].record);
    assert_eq!(camera.streams[0].id, id);
    // The file may take it up as well.
    ask(&mut db, remove(made.camera, Removed::Deleting)).unwrap();
    let named = configure(&mut db, &["/a"], &[super::camera("garden")]);
    assert_eq!(
        (named.cameras[0].uuid, named.cameras[0].removed),
        (made.camera, None)
    );
}

#[test]
fn it_is_forgotten_with_its_last_recording_and_not_before() {
    let mut db = memory(1).unwrap();
    let open = start(&mut db, &["/a"], &[camera("driveway")]).open;
    let made = make(&mut db, garden());
    let camera = made.snapshot.cameras[1].clone();
    let id = camera.streams[0].id;
    record(&mut db, open, id, 0..3);
    let gone = ask(&mut db, remove(made.camera, Removed::Deleting)).unwrap();
    let stream = &gone.snapshot.cameras[1].streams[0];
    assert_eq!((stream.retain_bytes, stream.retain_days), (Some(0), None));
    let forget = vec![camera.id, 1];
    let deleted = flush(
        &mut db,
        Flush {
            delete: vec![Delete::StreamBytes {
                stream: id,
                bytes: i64::MAX,
            }],
            forget: forget.clone(),
            ..Flush::default()
        },
    )
    .unwrap();
    assert_eq!((deleted.garbage.len(), deleted.forgotten), (3, vec![]));
    let unlinked = deleted.garbage.iter().map(|g| g.id).collect();
    let last = flush(
        &mut db,
        Flush {
            unlinked,
            forget,
            ..Flush::default()
        },
    )
    .unwrap();
    // The other one is in use.
    assert_eq!(last.forgotten, [camera.id]);
    assert!(last.totals.iter().all(|(s, _)| *s != id));
    let after = db.snapshot().unwrap();
    assert_eq!(after.cameras.len(), 1);
    // A new one of its name is another one, and its numbers are new.
    let again = make(&mut db, garden());
    assert_ne!(again.camera, made.camera);
    assert!(again.snapshot.cameras[1].streams[0].id > id);
}

#[test]
fn a_reset_keeps_what_was_recorded_and_nothing_that_people_have_set() {
    use super::super::{NewUser, UserReply, UserRequest};
    use crate::access::Permissions;
    let mut db = memory(1).unwrap();
    let open = start(&mut db, &["/a"], &[camera("driveway")]).open;
    let made = make(&mut db, garden());
    let id = made.snapshot.cameras[1].streams[0].id;
    record(&mut db, open, id, 0..3);
    let anna = NewUser {
        name: "anna".to_owned(),
        password_hash: Some(Secret("hash".to_owned())),
        permissions: Permissions::all(),
        ..NewUser::default()
    };
    let users = |db: &mut Database, request| match db.handle(Request::Users(request)) {
        Ok(Reply::Users(reply)) => reply,
        other => panic!("{other:?}"),
    };
    users(&mut db, UserRequest::CreateFirst(anna.clone()));
    assert!(matches!(db.handle(Request::Reset), Ok(Reply::Done)));
    let after = db.snapshot().unwrap();
    for camera in &after.cameras {
        let told = (camera.removed, &*camera.username, &*camera.password.0);
        assert_eq!(told, (Some(Removed::Kept), "", ""), "{}", camera.name);
    }
    assert_eq!(after.cameras[1].streams[0].totals.recordings, 3);
    // Whoever comes first is the administrator again.
    let UserReply::AnyAdministrator(any) = users(&mut db, UserRequest::AnyAdministrator) else {
        panic!()
    };
    assert!(!any);
    users(&mut db, UserRequest::CreateFirst(anna));
    // What the configuration file names is there again, and so is what is made by the same name.
    let open = start(&mut db, &["/a"], &[camera("driveway")]);
    assert_eq!(open.cameras[0].removed, None);
    assert!(open.cameras[0].in_file && open.cameras[0].streams[0].record);
    assert_eq!(open.cameras[1].removed, Some(Removed::Kept));
    let back = make(&mut db, garden());
    assert_eq!(back.camera, made.camera);
    assert_eq!(back.snapshot.cameras[1].streams[0].id, id);
    assert_eq!(back.snapshot.cameras[1].streams[0].totals.recordings, 3);
}
