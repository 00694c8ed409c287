use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let temp = TempDir::new().unwrap();
    let path = temp.path().join("state").join("db");
    (temp, path)
}

fn mode_of(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn it_is_made_for_its_owner_only_and_found_again() {
    let (_temp, dir) = folder();
    assert!(matches!(
        Database::open(&dir, Mode::ReadWrite, 1),
        Err(Error::Missing(_))
    ));
    let mut db = Database::open(&dir, Mode::Create, 1).unwrap();
    let first = start(&mut db, &["/a"], &[camera("driveway")]);
    record(&mut db, first.open, StreamId(1), 0..2);
    assert_eq!(mode_of(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode_of(&path), 0o600, "{}", path.display());
    }
    drop(db);
    let mut db = Database::open(&dir, Mode::Create, 2).unwrap();
    let again = start(&mut db, &["/a"], &[camera("driveway")]);
    assert_eq!(again.database, first.database);
    assert_eq!(again.cameras[0].streams[0].next_sequence, 2);
}

#[test]
fn one_writer_at_a_time_and_readers_beside_it() {
    let (_temp, dir) = folder();
    let mut db = Database::open(&dir, Mode::Create, 1).unwrap();
    let first = start(&mut db, &["/a"], &[camera("driveway")]);
    for mode in [Mode::ReadWrite, Mode::Create] {
        assert!(matches!(
            Database::open(&dir, mode, 1),
            Err(Error::Locked(_))
        ));
    }
    let mut reader = Database::open(&dir, Mode::ReadOnly, 1).unwrap();
    record(&mut db, first.open, StreamId(1), 0..2);
    let seen = start(&mut reader, &["/z"], &[camera("other")]);
    assert_eq!(seen.open, first.open);
    assert_eq!(seen.cameras.len(), 1);
    assert_eq!(seen.cameras[0].streams[0].totals.recordings, 2);
    assert!(matches!(
        flush(&mut reader, Flush::default()),
        Err(Error::ReadOnly)
    ));
    drop(db);
    // Nobody has it open, and its log is gone.
    drop(reader);
    let reader = Database::open(&dir, Mode::ReadOnly, 1).unwrap();
    assert_eq!(reader.snapshot().unwrap().open, first.open);
}

#[test]
fn files_of_others_are_refused() {
    let (_temp, dir) = folder();
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join(FILE_NAME);
    fs::write(
        &file,
        b"this is a letter and no database, however long it may get",
    )
    .unwrap();
    assert!(matches!(
        Database::open(&dir, Mode::ReadWrite, 1),
        Err(Error::Corrupt(_))
    ));
    fs::remove_file(&file).unwrap();
    rusqlite::Connection::open(&file)
        .unwrap()
        .execute_batch("create table addresses (name text)")
        .unwrap();
    assert!(matches!(
        Database::open(&dir, Mode::Create, 1),
        Err(Error::Foreign(_))
    ));
    fs::remove_file(&file).unwrap();
    // An empty file is what a power cut during creation leaves.
    fs::write(&file, b"").unwrap();
    assert!(matches!(
        Database::open(&dir, Mode::ReadWrite, 1),
        Err(Error::Missing(_))
    ));
    Database::open(&dir, Mode::Create, 1).unwrap();
}

#[test]
fn a_damaged_page_is_told_as_such() {
    let (_temp, dir) = folder();
    let mut db = Database::open(&dir, Mode::Create, 1).unwrap();
    let open = start(&mut db, &["/a"], &[camera("driveway")]).open;
    record(&mut db, open, StreamId(1), 0..200);
    drop(db);
    let file = dir.join(FILE_NAME);
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len();
    bytes[4096..end].fill(0xa5);
    fs::write(&file, bytes).unwrap();
    let Err(error) = Database::open(&dir, Mode::ReadWrite, 1) else {
        panic!("it was opened");
    };
    assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
    assert!(error.to_string().contains("moonfire-nvr check"), "{error}");
}

#[test]
fn a_full_disk_is_told_as_such_and_passes() {
    let (mut db, snapshot) = one_camera();
    db.connection
        .pragma_update(None, "max_page_count", 40)
        .unwrap();
    let big = |s| {
        let mut r = recording(snapshot.open, StreamId(1), s);
        r.index = vec![1; 1 << 20];
        Flush {
            recordings: vec![(DirId(1), r)],
            ..Flush::default()
        }
    };
    assert!(matches!(flush(&mut db, big(0)), Err(Error::Full)));
    assert_eq!(count(&db, "recording"), 0);
    db.connection
        .pragma_update(None, "max_page_count", 100_000)
        .unwrap();
    flush(&mut db, big(0)).unwrap();
}

#[test]
fn what_was_answered_is_there_though_the_writer_never_ended() {
    let (temp, dir) = folder();
    let mut db = Database::open(&dir, Mode::Create, 1).unwrap();
    let open = start(&mut db, &["/a"], &[camera("driveway")]).open;
    record(&mut db, open, StreamId(1), 0..5);
    // As a power cut leaves it: the log is not brought in, and its memory is gone.
    let after = temp.path().join("after");
    fs::create_dir(&after).unwrap();
    for name in ["db", "db-wal"] {
        fs::copy(dir.join(name), after.join(name)).unwrap();
    }
    assert!(fs::metadata(after.join("db-wal")).unwrap().len() > 0);
    let mut db = Database::open(&after, Mode::ReadWrite, 1).unwrap();
    let snapshot = start(&mut db, &["/a"], &[camera("driveway")]);
    assert!(!snapshot.was_clean);
    assert_eq!(snapshot.cameras[0].streams[0].next_sequence, 5);
    let durable: i64 = db
        .connection
        .pragma_query_value(None, "synchronous", |r| r.get(0))
        .unwrap();
    assert_eq!(durable, 2, "full");
}
