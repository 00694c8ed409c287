//! Schema versions: what a database is, how an empty one gets its tables, how an old one becomes new.
//!
//! A [`Step`] leads from one version to the next. It only adds (tables, columns, indexes), and fills
//! what it added in small transactions, so that it never needs the space of a second copy of the
//! database and may be interrupted at any point: the next run goes on where this one ended. The
//! version changes in the step's last transaction.

use super::Error;
use super::database::{self, APPLICATION_ID, Mode};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::path::Path;
use uuid::Uuid;

/// The version of the schema that this program reads and writes.
pub const VERSION: u32 = 1;

const SCHEMA: &str = include_str!("schema.sql");

/// The steps there are, each to one version more than the one before; the last leads to [`VERSION`].
const STEPS: &[Step] = &[];

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

fn state_for(connection: &Connection, db_dir: &Path, wanted: u32) -> Result<State, Error> {
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
    let (mut connection, _lock) = database::connect(db_dir, Mode::ReadWrite)?;
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
            [next.unwrap_or(i64::MAX)],
        )?;
        tx.commit()?;
        // The log would else keep every page that was touched: the second copy there is no room for.
        checkpoint(connection)?;
        position = next;
        progress(Progress::Filled {
            to: step.to,
            position: next.unwrap_or(i64::MAX),
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
