//! How much there is and how fast it grows, for forecasts. Changes nothing.

use super::flush::oldest_in_dir;
use super::{Database, Error};
use crate::recording::{DirId, StreamId};
use crate::time::{Duration90k, Wall90k};
use rusqlite::{Transaction, params};

/// The most recordings of a stream that its rate is measured by, the newest: a day has 1,440, unless its
/// camera comes and goes.
const MAX_MEASURED: u32 = 5_000;

/// The answer to a [`super::Request::Usage`].
#[derive(Clone, Debug, Default)]
pub struct Usage {
    pub streams: Vec<StreamUsage>,
    pub dirs: Vec<DirUsage>,
}

/// What a stream has recorded lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamUsage {
    pub stream: StreamId,
    /// Since then.
    pub since: Wall90k,
    pub bytes: i64,
    pub duration: Duration90k,
}

/// What a directory holds of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirUsage {
    pub dir: DirId,
    pub recordings: u64,
    pub bytes: i64,
    /// When the oldest of them began.
    pub oldest: Option<Wall90k>,
}

impl Database {
    /// What each stream has recorded since `since`, and what each directory holds.
    pub(super) fn usage(&self, since: Wall90k) -> Result<Usage, Error> {
        let tx = self.connection.unchecked_transaction()?;
        let ids = |sql| -> Result<Vec<i32>, Error> {
            let mut select = tx.prepare_cached(sql)?;
            let ids = select.query_map([], |r| r.get(0))?;
            Ok(ids.collect::<Result<_, _>>()?)
        };
        let mut usage = Usage::default();
        for id in ids("select id from stream order by id")? {
            usage.streams.extend(of_stream(&tx, StreamId(id), since)?);
        }
        for id in ids("select id from sample_dir order by id")? {
            usage.dirs.push(of_dir(&tx, DirId(id))?);
        }
        Ok(usage)
    }
}

fn of_stream(
    tx: &Transaction,
    stream: StreamId,
    since: Wall90k,
) -> Result<Option<StreamUsage>, Error> {
    let mut select = tx.prepare_cached(
        "select min(start_90k), coalesce(sum(sample_file_bytes), 0),
           coalesce(sum(wall_duration_90k), 0)
         from (select start_90k, sample_file_bytes, wall_duration_90k from recording
               where stream_id = ?1 and start_90k >= ?2 order by start_90k desc limit ?3)",
    )?;
    Ok(
        select.query_row(params![stream.0, since.0, MAX_MEASURED], |r| {
            let start: Option<i64> = r.get(0)?;
            Ok(start.map(|start| StreamUsage {
                stream,
                since: Wall90k(start),
                bytes: r.get(1).unwrap_or_default(),
                duration: Duration90k(r.get(2).unwrap_or_default()),
            }))
        })?,
    )
}

fn of_dir(tx: &Transaction, dir: DirId) -> Result<DirUsage, Error> {
    let mut select = tx.prepare_cached(
        "select stream_id, recordings, sample_file_bytes from stream_dir
         where dir_id = ?1 and recordings > 0",
    )?;
    let mut rows = select.query([dir.0])?;
    let mut usage = DirUsage {
        dir,
        recordings: 0,
        bytes: 0,
        oldest: None,
    };
    while let Some(r) = rows.next()? {
        usage.recordings += r.get::<_, u64>(1)?;
        usage.bytes += r.get::<_, i64>(2)?;
        let oldest = oldest_in_dir(tx, StreamId(r.get(0)?), dir)?.map(|o| o.start);
        usage.oldest = [usage.oldest, oldest].into_iter().flatten().min();
    }
    Ok(usage)
}
