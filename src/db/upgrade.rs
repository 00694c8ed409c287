//! Schema versions: what a database is, how an empty one gets its tables, how an old one becomes new.
//!
//! A [`Step`] leads from one version to the next. It only adds (tables, columns, indexes), and fills
//! what it added in small transactions, so that it never needs the space of a second copy of the
//! database and may be interrupted at any point: the next run goes on where this one ended. The
//! version changes in the step's last transaction.

use super::database::{self, APPLICATION_ID, Mode};
use super::{Error, sums};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::path::Path;
use uuid::Uuid;

/// The version of the schema that this program reads and writes.
pub const VERSION: u32 = 8;

const SCHEMA: &str = include_str!("schema.sql");

/// The steps there are, each to one version more than the one before; the last leads to [`VERSION`].
const STEPS: &[Step] = &[
    Step {
        to: 2,
        about: "count what long files are laid out from",
        add: sums::add,
        fill: Some(sums::fill),
    },
    Step {
        to: 3,
        about: "know of users and signals",
        add: |tx| Ok(tx.execute_batch(include_str!("upgrade_3.sql"))?),
        fill: None,
    },
    Step {
        to: 4,
        about: "know of cameras that were removed",
        add: |tx| Ok(tx.execute_batch(include_str!("upgrade_4.sql"))?),
        fill: None,
    },
    Step {
        to: 5,
        about: "know of sample directories that the configuration file does not name",
        add: |tx| Ok(tx.execute_batch(include_str!("upgrade_5.sql"))?),
        fill: None,
    },
    Step {
        to: 6,
        about: "know cameras again at another address",
        add: |tx| Ok(tx.execute_batch(include_str!("upgrade_6.sql"))?),
        fill: None,
    },
    Step {
        to: 7,
        about: "know which numbers a disk that was away may still bring recordings of",
        add: |tx| Ok(tx.execute_batch(include_str!("upgrade_7.sql"))?),
        fill: None,
    },
    Step {
        to: 8,
        about: "keep the sample indexes of new recordings packed",
        // What is there stays as it is, and can be read.
        add: |_| Ok(()),
        fill: None,
    },
];

/// From one schema version to the next.
pub struct Step {
    /// The version it leads to.
    pub to: u32,
    /// What it does, for people: "keep the audio track's samples".
    pub about: &'static str,
    /// Adds tables, columns and indexes. One transaction; happens once.
    pub add: fn(&Transaction) -> Result<(), Error>,
    /// Fills what was added, if anything is to be filled.
    pub fill: Option<Fill>,
}

/// Fills some rows from a position (at first 0) on and says where to go on, `None` at the end. Each
/// call is a transaction of its own, so it should do some hundred rows and no more.
pub type Fill = fn(&Transaction, position: i64) -> Result<Option<i64>, Error>;

/// The position once all is filled.
const FILLED: i64 = i64::MAX;

/// How far an upgrade has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A step begins, or goes on after an interruption.
    Step { to: u32, about: &'a str },
    /// A transaction of its filling was committed.
    Filled { to: u32, position: i64 },
    /// The database has this version now.
    Reached { version: u32 },
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing at all.
    Empty,
    Current,
    Old {
        found: u32,
    },
}

/// Judges the file in `db_dir`; a newer schema and a stranger's file are errors.
pub(super) fn state(connection: &Connection, db_dir: &Path) -> Result<State, Error> {
    state_for(connection, db_dir, VERSION)
}

pub(super) fn state_for(
    connection: &Connection,
    db_dir: &Path,
    wanted: u32,
) -> Result<State, Error> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |r| r.get(0))?;
    let application: u32 = connection.pragma_query_value(None, "application_id", |r| r.get(0))?;
    let tables: u32 =
        connection.query_row("select count(*) from sqlite_schema", [], |r| r.get(0))?;
    if (application, found, tables) == (0, 0, 0) {
        return Ok(State::Empty);
    }
    if application != APPLICATION_ID {
        return Err(Error::Foreign(db_dir.to_owned()));
    }
    match found {
        _ if found == wanted => Ok(State::Current),
        _ if found > wanted => Err(Error::NewSchema { found, wanted }),
        _ => Ok(State::Old { found }),
    }
}

/// Whether the schema is, within a transaction, still the one that was found when the database was
/// opened without its lock.
pub(super) fn still_current(tx: &Transaction) -> Result<(), Error> {
    let found: u32 = tx.pragma_query_value(None, "user_version", |r| r.get(0))?;
    let upgrading: bool =
        tx.query_row("select upgrade_to is not null from meta", [], |r| r.get(0))?;
    match found {
        VERSION if !upgrading => Ok(()),
        VERSION.. => Err(Error::NewSchema {
            found,
            wanted: VERSION,
        }),
        _ => Err(Error::OldSchema {
            found,
            wanted: VERSION,
        }),
    }
}

/// Gives an empty database its tables and its identity.
pub(super) fn create(connection: &mut Connection, uuid: Uuid) -> Result<(), Error> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(SCHEMA)?;
    tx.execute(
        "insert into meta (id, uuid, created_90k) values (1, ?1, unixepoch() * 90000)",
        [uuid],
    )?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    Ok(tx.commit()?)
}

/// Brings the database in `db_dir` to [`VERSION`]. The recorder must not be running. Tells the
/// version it had; that of a current one is [`VERSION`].
pub fn upgrade(db_dir: &Path, progress: &mut dyn FnMut(Progress)) -> Result<u32, Error> {
    let (_lock, mut connection) = database::connect(db_dir, Mode::ReadWrite)?;
    match state(&connection, db_dir)? {
        State::Empty => Err(Error::Missing(db_dir.to_owned())),
        State::Current => Ok(VERSION),
        State::Old { found } => {
            run(&mut connection, found, STEPS, progress)?;
            Ok(found)
        }
    }
}

/// Runs the steps above version `found`.
fn run(
    connection: &mut Connection,
    found: u32,
    steps: &[Step],
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    let first = steps.iter().find(|s| s.to > found).map(|s| s.to);
    if first != Some(found + 1) {
        return Err(Error::Invalid(format!(
            "there is no way from schema version {found} to a newer one: \
             use an older moonfire-nvr for the first part of the way"
        )));
    }
    for step in steps.iter().filter(|s| s.to > found) {
        run_step(connection, step, progress)?;
    }
    Ok(())
}

fn run_step(
    connection: &mut Connection,
    step: &Step,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    progress(Progress::Step {
        to: step.to,
        about: step.about,
    });
    let begun: Option<i64> = connection
        .query_row(
            "select upgrade_position from meta where upgrade_to = ?1",
            [step.to],
            |r| r.get(0),
        )
        .optional()?;
    let mut position = match begun {
        Some(FILLED) => None,
        Some(position) => Some(position),
        None => {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            (step.add)(&tx)?;
            tx.execute(
                "update meta set upgrade_to = ?1, upgrade_position = 0",
                [step.to],
            )?;
            tx.commit()?;
            Some(0)
        }
    };
    while let (Some(fill), Some(from)) = (step.fill, position) {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let next = fill(&tx, from)?;
        tx.execute(
            "update meta set upgrade_position = ?1",
            [next.unwrap_or(FILLED)],
        )?;
        tx.commit()?;
        // The log would else keep every page that was touched: the second copy there is no room for.
        checkpoint(connection)?;
        position = next;
        progress(Progress::Filled {
            to: step.to,
            position: next.unwrap_or(FILLED),
        });
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute(
        "update meta set upgrade_to = null, upgrade_position = null",
        [],
    )?;
    tx.pragma_update(None, "user_version", step.to)?;
    tx.commit()?;
    progress(Progress::Reached { version: step.to });
    Ok(())
}

fn checkpoint(connection: &Connection) -> Result<(), Error> {
    Ok(connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use tempfile::TempDir;

    /// Steps from an invented version 1 to 3: the second has something to fill.
    const INVENTED: [Step; 2] = [
        Step {
            to: 2,
            about: "know of colours",
            add: |tx| Ok(tx.execute_batch("create table colour (name text)")?),
            fill: None,
        },
        Step {
            to: 3,
            about: "number the sheep",
            add: |tx| Ok(tx.execute_batch("alter table sheep add column number integer")?),
            fill: Some(|tx, position| {
                tx.execute(
                    "update sheep set number = id * 10 where id > ?1 and id <= ?1 + 2",
                    [position],
                )?;
                let next = position + 2;
                let more = tx.query_row("select max(id) > ?1 from sheep", [next], |r| r.get(0))?;
                Ok(Some(next).filter(|_| more))
            }),
        },
    ];

    /// A database of an invented version 1, with five sheep.
    fn old() -> (TempDir, PathBuf) {
        let temp = TempDir::new().unwrap();
        let dir = temp.path().to_owned();
        let (_lock, mut connection) = database::connect(&dir, Mode::Create).unwrap();
        create(&mut connection, Uuid::nil()).unwrap();
        connection
            .execute_batch(
                "pragma user_version = 1;
                 create table sheep (id integer primary key);
                 insert into sheep values (1), (2), (3), (4), (5);",
            )
            .unwrap();
        (temp, dir)
    }

    fn sheep(connection: &Connection) -> Vec<Option<i64>> {
        let mut select = connection
            .prepare("select number from sheep order by id")
            .unwrap();
        let numbers = select.query_map([], |r| r.get(0)).unwrap();
        numbers.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn every_step_is_taken_and_told() {
        let (_temp, dir) = old();
        let (_lock, mut connection) = database::connect(&dir, Mode::ReadWrite).unwrap();
        assert_eq!(
            state_for(&connection, &dir, 3).unwrap(),
            State::Old { found: 1 }
        );
        let mut told = Vec::new();
        run(&mut connection, 1, &INVENTED, &mut |p| {
            told.push(format!("{p:?}"));
        })
        .unwrap();
        assert_eq!(state_for(&connection, &dir, 3).unwrap(), State::Current);
        let numbers: Vec<_> = (1..=5).map(|n| Some(n * 10)).collect();
        assert_eq!(sheep(&connection), numbers);
        let kinds: Vec<_> = told
            .iter()
            .map(|t| t.split(' ').next().unwrap_or_default())
            .collect();
        assert_eq!(
            kinds,
            [
                "Step", "Reached", "Step", "Filled", "Filled", "Filled", "Reached"
            ]
        );
    }

    #[test]
    fn it_goes_on_where_it_was_interrupted() {
        let (_temp, dir) = old();
        // The power fails after each transaction in turn: the process's memory and lock are gone.
        let mut interruptions = 0;
        loop {
            let (_lock, mut connection) = database::connect(&dir, Mode::ReadWrite).unwrap();
            let State::Old { found } = state_for(&connection, &dir, 3).unwrap() else {
                break;
            };
            let mut transactions = 0;
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                run(&mut connection, found, &INVENTED, &mut |p| {
                    if matches!(p, Progress::Filled { .. } | Progress::Reached { .. }) {
                        transactions += 1;
                        // Not a panic's message on the test's output.
                        std::panic::resume_unwind(Box::new("power cut"));
                    }
                })
            }));
            assert!(ended.is_err());
            assert_eq!(transactions, 1);
            interruptions += 1;
            assert!(interruptions < 20, "it gets nowhere");
        }
        assert_eq!(interruptions, 5);
        let (_lock, connection) = database::connect(&dir, Mode::ReadOnly).unwrap();
        assert_eq!(sheep(&connection)[4], Some(50));
    }

    #[test]
    fn a_step_that_fails_changes_nothing() {
        let (_temp, dir) = old();
        let (_lock, mut connection) = database::connect(&dir, Mode::ReadWrite).unwrap();
        let bad = [Step {
            to: 2,
            about: "stumble",
            add: |tx| Ok(tx.execute_batch("create table half (x); create table sheep (x)")?),
            fill: None,
        }];
        run(&mut connection, 1, &bad, &mut |_| {}).unwrap_err();
        assert_eq!(
            state_for(&connection, &dir, 2).unwrap(),
            State::Old { found: 1 }
        );
        let half: u32 = connection
            .query_row(
                "select count(*) from sqlite_schema where name = 'half'",
                [],
                |r| r.get(0),
            )
            .unwrap();
        assert_eq!(half, 0);
    }

    #[test]
    fn filling_needs_no_second_copy() {
        let (_temp, dir) = old();
        let (_lock, mut connection) = database::connect(&dir, Mode::ReadWrite).unwrap();
        connection
            .execute_batch("create table big (id integer primary key, data blob, mark integer)")
            .unwrap();
        connection
            .execute_batch(
                "insert into big (data) select zeroblob(10000)
                 from (with recursive n (i) as (select 1 union all select i + 1 from n limit 400)
                       select i from n)",
            )
            .unwrap();
        checkpoint(&connection).unwrap();
        let step = [Step {
            to: 2,
            about: "mark what is big",
            add: |_| Ok(()),
            fill: Some(|tx, position| {
                tx.execute(
                    "update big set mark = 1 where id > ?1 and id <= ?1 + 10",
                    [position],
                )?;
                Ok(Some(position + 10).filter(|p| *p < 400))
            }),
        }];
        let size = |name: &str| std::fs::metadata(dir.join(name)).map_or(0, |m| m.len());
        let before = size("db");
        assert!(before > 4_000_000);
        let mut most = 0;
        run(&mut connection, 1, &step, &mut |_| {
            most = most.max(size("db") + size("db-wal") - before);
        })
        .unwrap();
        assert!(most < before / 10, "{most} more than {before}");
    }

    #[test]
    fn other_versions_are_told_plainly() {
        let (_temp, dir) = old();
        let (lock, mut connection) = database::connect(&dir, Mode::ReadWrite).unwrap();
        let newer = state_for(&connection, &dir, 0).unwrap_err().to_string();
        assert!(
            newer.contains("schema version 1, newer than this program's 0"),
            "{newer}"
        );
        let told = run(&mut connection, 1, &INVENTED[1..], &mut |_| {})
            .unwrap_err()
            .to_string();
        assert!(told.contains("no way from schema version 1"), "{told}");
        connection.pragma_update(None, "user_version", 0).unwrap();
        drop((connection, lock));
        let Err(old) = crate::db::Database::open(&dir, Mode::ReadWrite, 1) else {
            panic!("it was opened");
        };
        assert!(
            old.to_string().contains("run `moonfire-nvr upgrade`"),
            "{old}"
        );
        // There is no step for a version that never was.
        upgrade(&dir, &mut |_| {}).unwrap_err();
    }

    #[test]
    fn a_current_database_needs_nothing_and_none_cannot_be_upgraded() {
        let (_temp, dir) = old();
        let (lock, connection) = database::connect(&dir, Mode::ReadWrite).unwrap();
        connection
            .pragma_update(None, "user_version", VERSION)
            .unwrap();
        drop((connection, lock));
        let mut told = 0;
        assert_eq!(upgrade(&dir, &mut |_| told += 1).unwrap(), VERSION);
        assert_eq!(told, 0);
        let missing = dir.join("elsewhere");
        assert!(matches!(
            upgrade(&missing, &mut |_| {}),
            Err(Error::Missing(_))
        ));
    }
}
