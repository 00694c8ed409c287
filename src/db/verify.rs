//! Whether the database keeps its own promises, and putting right where it does not.
//!
//! This looks at the database alone, for `check`; whether sample files agree with it is that command's
//! own part.

use super::{Database, Error};
use crate::recording::{DirId, RecordingId, StreamId};
use crate::time::Duration90k;
use rusqlite::{Row, Transaction, params};
use std::fmt;

/// The most complaints of SQLite's own check that are told.
const MAX_DAMAGES: u32 = 100;

/// A promise that is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// SQLite finds the file damaged. Nothing here can mend that.
    Damaged(String),
    /// A row names one of another table that is not there.
    MissingReference { table: String, of: String },
    /// The sums of a stream in a directory are not those of its recordings.
    Totals { stream: StreamId, dir: DirId },
    /// A recording's sequence number is not below the stream's next one.
    NextSequence { stream: StreamId },
    /// The stream's last chain hash is not that of its last recording.
    LastChainHash { stream: StreamId },
    /// A recording has no sample index: it cannot be played.
    NoIndex(RecordingId),
    /// Sample indexes of no recording.
    StrayIndexes { count: u64 },
    /// A recording lies upon the one before it in time.
    Overlap {
        first: RecordingId,
        second: RecordingId,
        by: Duration90k,
    },
    /// A file that is to be removed is also a recording's.
    GarbageInUse(RecordingId),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Damaged(what) => write!(f, "the database file is damaged: {what}"),
            Finding::MissingReference { table, of } => {
                write!(f, "a row of {table} names one of {of} that is not there")
            }
            Finding::Totals { stream, dir } => write!(
                f,
                "stream {}: the sums for directory {} are not those of its recordings",
                stream.0, dir.0
            ),
            Finding::NextSequence { stream } => write!(
                f,
                "stream {}: the next sequence number was used before",
                stream.0
            ),
            Finding::LastChainHash { stream } => write!(
                f,
                "stream {}: the last chain hash is not that of its last recording",
                stream.0
            ),
            Finding::NoIndex(id) => write!(f, "recording {id} has no sample index"),
            Finding::StrayIndexes { count } => {
                write!(f, "{count} sample indexes belong to no recording")
            }
            Finding::Overlap { first, second, by } => {
                write!(f, "recordings {first} and {second} overlap by {by}")
            }
            Finding::GarbageInUse(id) => {
                write!(f, "recording {id} is also to be removed")
            }
        }
    }
}

impl Database {
    /// Reads all of the database and tells what is not as it should be. A damaged file ends it
    /// early.
    pub fn verify(&self, found: &mut dyn FnMut(Finding)) -> Result<(), Error> {
        // One moment, though a daemon may be writing beside us.
        let tx = self.connection.unchecked_transaction()?;
        if verify_file(&tx, found)? {
            return Ok(());
        }
        let mut tell = |sql: &str, of: &dyn Fn(&Row) -> rusqlite::Result<Finding>| {
            let mut select = tx.prepare(sql)?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                found(of(row)?);
            }
            Ok::<_, Error>(())
        };
        tell("pragma foreign_key_check", &|r| {
            Ok(Finding::MissingReference {
                table: r.get(0)?,
                of: r.get(2)?,
            })
        })?;
        tell(WRONG_TOTALS, &|r| {
            Ok(Finding::Totals {
                stream: StreamId(r.get(0)?),
                dir: DirId(r.get(1)?),
            })
        })?;
        tell(WRONG_SEQUENCE, &|r| {
            Ok(Finding::NextSequence {
                stream: StreamId(r.get(0)?),
            })
        })?;
        tell(WRONG_CHAIN, &|r| {
            Ok(Finding::LastChainHash {
                stream: StreamId(r.get(0)?),
            })
        })?;
        tell(NO_INDEX, &|r| Ok(Finding::NoIndex(id(r, 0)?)))?;
        tell(STRAY_INDEXES, &|r| {
            Ok(Finding::StrayIndexes { count: r.get(0)? })
        })?;
        tell(OVERLAPS, &|r| {
            Ok(Finding::Overlap {
                first: id(r, 0)?,
                second: id(r, 2)?,
                by: Duration90k(r.get(4)?),
            })
        })?;
        tell(GARBAGE_IN_USE, &|r| Ok(Finding::GarbageInUse(id(r, 0)?)))
    }

    /// Mends what [`Self::verify`] found, if it can be; says what was done.
    pub fn mend(&mut self, finding: &Finding) -> Result<Option<String>, Error> {
        let tx = self.transaction()?;
        let done = match finding {
            // To cut an overlap would break the chain hash, which covers the time.
            Finding::Damaged(_) | Finding::MissingReference { .. } | Finding::Overlap { .. } => {
                None
            }
            Finding::Totals { .. } => {
                tx.execute_batch(RECOUNT)?;
                Some("counted the sums anew".to_owned())
            }
            Finding::NextSequence { stream } => {
                tx.execute(
                    "update stream set next_sequence =
                       (select max(sequence) + 1 from recording where stream_id = ?1)
                     where id = ?1",
                    [stream.0],
                )?;
                Some("set it behind the last recording".to_owned())
            }
            Finding::LastChainHash { stream } => {
                tx.execute(
                    "update stream set last_chain_hash =
                       (select i.chain_hash from recording r
                          join recording_index i on i.id = r.index_id
                        where r.stream_id = ?1 order by r.sequence desc limit 1)
                     where id = ?1",
                    [stream.0],
                )?;
                Some("took that of the last recording".to_owned())
            }
            Finding::NoIndex(id) => {
                forget(&tx, *id, true)?;
                Some("gave the recording up".to_owned())
            }
            Finding::StrayIndexes { .. } => {
                let n = tx.execute(
                    "delete from recording_index where id not in (select index_id from recording)",
                    [],
                )?;
                Some(format!("removed {n}"))
            }
            Finding::GarbageInUse(id) => {
                tx.execute(
                    "delete from garbage where stream_id = ?1 and sequence = ?2",
                    params![id.stream.0, id.sequence],
                )?;
                Some("kept it".to_owned())
            }
        };
        tx.commit()?;
        Ok(done)
    }

    /// Drops recordings whose files are lost, in one transaction; their rows go without a trace, or
    /// become garbage if a file is still to be removed.
    pub fn forget(&mut self, ids: &[RecordingId], has_file: bool) -> Result<(), Error> {
        let tx = self.transaction()?;
        for id in ids {
            forget(&tx, *id, has_file)?;
        }
        tx.commit()?;
        Ok(())
    }
}

pub(super) fn forget(tx: &Transaction, id: RecordingId, has_file: bool) -> Result<(), Error> {
    let key = params![id.stream.0, id.sequence];
    if has_file {
        tx.execute(
            "insert or ignore into garbage (stream_id, sequence, dir_id, sample_file_bytes)
             select stream_id, sequence, dir_id, sample_file_bytes from recording
             where stream_id = ?1 and sequence = ?2",
            key,
        )?;
    }
    tx.execute(
        "update stream_dir as d set recordings = d.recordings - 1,
           sample_file_bytes = max(0, d.sample_file_bytes - r.sample_file_bytes),
           duration_90k = max(0, d.duration_90k - r.wall_duration_90k)
         from recording r
         where r.stream_id = ?1 and r.sequence = ?2 and d.stream_id = ?1 and d.dir_id = r.dir_id
           and d.recordings > 0",
        key,
    )?;
    tx.execute(
        "delete from recording_index where id =
           (select index_id from recording where stream_id = ?1 and sequence = ?2)",
        key,
    )?;
    tx.execute(
        "delete from recording where stream_id = ?1 and sequence = ?2",
        key,
    )?;
    Ok(())
}

/// SQLite's own check; true if it found something.
fn verify_file(tx: &Transaction, found: &mut dyn FnMut(Finding)) -> Result<bool, Error> {
    let mut damaged = false;
    let mut select = tx.prepare(&format!("pragma integrity_check({MAX_DAMAGES})"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            damaged = true;
            found(Finding::Damaged(line));
        }
    }
    Ok(damaged)
}

fn id(r: &Row, at: usize) -> rusqlite::Result<RecordingId> {
    Ok(RecordingId {
        stream: StreamId(r.get(at)?),
        sequence: r.get(at + 1)?,
    })
}

/// Sums that differ from those of the recordings, or are missing, or stand above a lower number.
const WRONG_TOTALS: &str = "
with really as (
  select stream_id, dir_id, count(*) as n, sum(sample_file_bytes) as bytes,
    sum(wall_duration_90k) as duration, min(sequence) as oldest
  from recording group by stream_id, dir_id
)
select coalesce(r.stream_id, d.stream_id), coalesce(r.dir_id, d.dir_id)
from really r
  full join stream_dir d on d.stream_id = r.stream_id and d.dir_id = r.dir_id
where coalesce(r.n, 0) <> coalesce(d.recordings, 0)
  or coalesce(r.bytes, 0) <> coalesce(d.sample_file_bytes, 0)
  or coalesce(r.duration, 0) <> coalesce(d.duration_90k, 0)
  or r.oldest < d.oldest_sequence
order by 1, 2";

const RECOUNT: &str = "
delete from stream_dir;
insert into stream_dir (stream_id, dir_id, recordings, sample_file_bytes, duration_90k,
  oldest_sequence)
select stream_id, dir_id, count(*), sum(sample_file_bytes), sum(wall_duration_90k), min(sequence)
from recording group by stream_id, dir_id;";

const WRONG_SEQUENCE: &str = "
select id from stream s
where next_sequence <= (select max(sequence) from recording r where r.stream_id = s.id)
order by id";

/// Only where the last recording is still there.
const WRONG_CHAIN: &str = "
select s.id from stream s
  join recording r on r.stream_id = s.id and r.sequence = s.next_sequence - 1
  join recording_index i on i.id = r.index_id
where i.chain_hash <> s.last_chain_hash
  and not exists (select 1 from recording l where l.stream_id = s.id and l.sequence > r.sequence)
order by s.id";

const NO_INDEX: &str = "
select stream_id, sequence from recording
where index_id not in (select id from recording_index)
order by stream_id, sequence";

const STRAY_INDEXES: &str = "
select n from (
  select count(*) as n from recording_index where id not in (select index_id from recording)
)
where n > 0";

const OVERLAPS: &str = "
select stream_id, before, stream_id, sequence, before_end - start_90k
from (
  select stream_id, sequence, start_90k,
    lag(sequence) over w as before,
    lag(start_90k + wall_duration_90k) over w as before_end
  from recording
  where wall_duration_90k > 0
  window w as (partition by stream_id order by start_90k, sequence)
)
where before_end > start_90k";

const GARBAGE_IN_USE: &str = "
select g.stream_id, g.sequence from garbage g
  join recording r on r.stream_id = g.stream_id and r.sequence = g.sequence
order by 1, 2";
