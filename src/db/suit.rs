//! Suiting a database to the version of the program that is to run, where versions come and go by themselves: an
//! older database is upgraded, and as it was is kept beside it until the newer version has proved itself; if it is
//! given up, the older version takes that copy back.

use super::Error;
use super::database::{self, FILE_NAME, Mode, io_error};
use super::upgrade::{self, Progress, State, VERSION};
use rusqlite::Connection;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What the names of copies begin with; the schema's version is behind it.
const COPY: &str = "db-before-upgrade-";

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suited {
    /// It is of this version.
    AsItWas,
    /// It was of this older one.
    Upgraded(u32),
    /// It was of this newer one, and is what it was before it was upgraded: what was recorded since is not in it.
    TakenBack(u32),
}

/// Does what is needed so that this program can use the database in `db_dir`, which nothing else has open. May be
/// interrupted at any point, and goes on the next time.
pub fn suit(db_dir: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Suited, Error> {
    suit_for(db_dir, VERSION, &mut |db_dir| {
        upgrade::upgrade(db_dir, progress)
    })
}

fn suit_for(
    db_dir: &Path,
    wanted: u32,
    upgrade: &mut dyn FnMut(&Path) -> Result<u32, Error>,
) -> Result<Suited, Error> {
    let (_lock, connection) = database::connect(db_dir, Mode::ReadWrite)?;
    match upgrade::state_for(&connection, db_dir, wanted) {
        Ok(State::Current) => Ok(Suited::AsItWas),
        Ok(State::Empty) => Err(Error::Missing(db_dir.to_owned())),
        Ok(State::Old { found }) => {
            let copy = db_dir.join(format!("{COPY}{found}"));
            // One that is there is of before an upgrade that was interrupted.
            if !copy.try_exists().map_err(|e| io_error(&copy, e))? {
                keep(&connection, db_dir, &copy)?;
            }
            drop((connection, _lock));
            upgrade(db_dir)?;
            Ok(Suited::Upgraded(found))
        }
        Err(Error::NewSchema { found, wanted }) => {
            let copy = db_dir.join(format!("{COPY}{wanted}"));
            if !copy.try_exists().map_err(|e| io_error(&copy, e))? {
                return Err(Error::NewSchema { found, wanted });
            }
            drop(connection);
            take_back(db_dir, &copy)?;
            Ok(Suited::TakenBack(found))
        }
        Err(e) => Err(e),
    }
}

/// The version that runs has proved itself: what an older one would go on with is not needed any more.
pub fn drop_copies(db_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(db_dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(COPY) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes a copy that is whole once it has its name.
fn keep(connection: &Connection, db_dir: &Path, copy: &Path) -> Result<(), Error> {
    let new = copy.with_extension("new");
    remove(&new)?;
    // SQLite would let others read it.
    drop(database::private_file(&new)?);
    let path = new.to_string_lossy().into_owned();
    let kept = connection
        .execute("vacuum into ?1", [path])
        .map_err(Error::from)
        .and_then(|_| {
            let file = File::open(&new).and_then(|f| f.sync_all());
            file.map_err(|e| io_error(&new, e))
        });
    if let Err(e) = kept {
        remove(&new)?;
        return Err(e);
    }
    fs::rename(&new, copy).map_err(|e| io_error(copy, e))?;
    sync(db_dir)
}

fn take_back(db_dir: &Path, copy: &Path) -> Result<(), Error> {
    // They are the newer one's, which without them is as far as it was committed to its file; then it goes.
    for suffix in ["-wal", "-shm"] {
        remove(&db_dir.join(format!("{FILE_NAME}{suffix}")))?;
    }
    let file: PathBuf = db_dir.join(FILE_NAME);
    fs::rename(copy, &file).map_err(|e| io_error(&file, e))?;
    sync(db_dir)
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error(path, e)),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> Result<(), Error> {
    let synced = File::open(folder).and_then(|f| f.sync_all());
    synced.map_err(|e| io_error(folder, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Database;
    use tempfile::TempDir;

    /// The version of the program that comes next: it adds a table.
    const NEXT: u32 = VERSION + 1;

    fn upgrade_to_next(db_dir: &Path) -> Result<u32, Error> {
        let (_lock, connection) = database::connect(db_dir, Mode::ReadWrite)?;
        connection.execute_batch(&format!(
            "create table colour (name text); pragma user_version = {NEXT};"
        ))?;
        Ok(VERSION)
    }

    fn files(db_dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(db_dir).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|n| n.starts_with("db")).collect();
        names.sort();
        names
    }

    fn made() -> TempDir {
        let temp = TempDir::new().unwrap();
        drop(Database::open(temp.path(), Mode::Create, 1).unwrap());
        temp
    }

    #[test]
    fn a_version_that_is_given_up_leaves_the_older_one_what_it_had() {
        let temp = made();
        let dir = temp.path();
        let copy = format!("{COPY}{VERSION}");
        assert_eq!(suit(dir, &mut |_| {}).unwrap(), Suited::AsItWas);
        let upgraded = suit_for(dir, NEXT, &mut upgrade_to_next).unwrap();
        assert_eq!(upgraded, Suited::Upgraded(VERSION));
        assert_eq!(files(dir), ["db", copy.as_str()]);
        assert!(Database::open(dir, Mode::ReadWrite, 1).is_err());
        assert_eq!(suit(dir, &mut |_| {}).unwrap(), Suited::TakenBack(NEXT));
        assert_eq!(files(dir), ["db"]);
        Database::open(dir, Mode::ReadWrite, 1).unwrap();
        // And once more; then it proves itself.
        suit_for(dir, NEXT, &mut upgrade_to_next).unwrap();
        drop_copies(dir).unwrap();
        assert_eq!(files(dir), ["db"]);
        let told = suit(dir, &mut |_| {}).unwrap_err();
        assert!(matches!(told, Error::NewSchema { found: NEXT, .. }));
    }

    #[test]
    fn an_upgrade_that_fails_is_begun_again_from_what_it_left() {
        let temp = made();
        let dir = temp.path();
        let fails = |dir: &Path| {
            let (_lock, connection) = database::connect(dir, Mode::ReadWrite)?;
            connection.execute_batch("create table half (name text)")?;
            Err(Error::Full)
        };
        let told = suit_for(dir, NEXT, &mut { fails }).unwrap_err();
        assert!(matches!(told, Error::Full));
        // The copy is of before, and stays that.
        suit_for(dir, NEXT, &mut upgrade_to_next).unwrap();
        assert_eq!(suit(dir, &mut |_| {}).unwrap(), Suited::TakenBack(NEXT));
        let db = Database::open(dir, Mode::ReadWrite, 1).unwrap();
        let half: u32 = db
            .connection
            .query_row(
                "select count(*) from sqlite_schema where name = 'half'",
                [],
                |r| r.get(0),
            )
            .unwrap();
        assert_eq!(half, 0);
    }

    #[test]
    fn nothing_is_done_while_the_recorder_has_it() {
        let temp = made();
        let recorder = Database::open(temp.path(), Mode::ReadWrite, 1).unwrap();
        let told = suit_for(temp.path(), NEXT, &mut upgrade_to_next).unwrap_err();
        assert!(matches!(told, Error::Locked(_)));
        drop(recorder);
    }
}
