//! The sums over a recording's index that its row has, so that a file is laid out without the index.

use super::{Database, Error};
use crate::recording::index::{self, Reordering, Sums};
use crate::recording::{RecordingId, StreamId, packed};
use rusqlite::{OptionalExtension, Row, Transaction, params};

/// Recordings that one transaction of the upgrade counts: about 2 MB of indexes are read for it.
const COUNTED_AT_ONCE: usize = 500;

/// The columns of a row, as they are written. All are null where the index cannot be counted.
#[derive(Default)]
pub(super) struct Columns {
    pub composition_offsets: Option<bool>,
    pub duration_runs: Option<u32>,
    pub offset_runs: Option<u32>,
    pub presentation_duration_90k: Option<i64>,
}

impl Columns {
    /// Counts an index. One that is damaged is for `check` to tell.
    pub fn count(index: &[u8]) -> Columns {
        Columns::of(index::sums(index).ok().flatten())
    }

    fn of(sums: Option<Sums>) -> Columns {
        let Some(sums) = sums else {
            return Columns::default();
        };
        let r = sums.reordering;
        Columns {
            composition_offsets: Some(r.is_some()),
            duration_runs: Some(sums.duration_runs),
            offset_runs: r.map(|r| r.offset_runs),
            presentation_duration_90k: r.map(|r| r.presentation_duration_90k),
        }
    }
}

/// The columns as [`read`] wants them.
pub(super) const COLUMNS: &str =
    "composition_offsets, duration_runs, offset_runs, presentation_duration_90k";

/// Reads [`COLUMNS`], the first of which is column `at` of the row.
pub(super) fn read(r: &Row, at: usize) -> rusqlite::Result<Option<Sums>> {
    let reordered: Option<bool> = r.get(at)?;
    let duration_runs: Option<u32> = r.get(at + 1)?;
    let (Some(reordered), Some(duration_runs)) = (reordered, duration_runs) else {
        return Ok(None);
    };
    let reordering = match reordered {
        false => None,
        true => Some(Reordering {
            offset_runs: r.get(at + 2)?,
            presentation_duration_90k: r.get(at + 3)?,
        }),
    };
    Ok(Some(Sums {
        duration_runs,
        reordering,
    }))
}

impl Database {
    /// What a recording's row says of its index; `None` if there is no such row or it says nothing.
    pub fn sums(&self, id: RecordingId) -> Result<Option<Sums>, Error> {
        let mut select = self.connection.prepare_cached(&format!(
            "select {COLUMNS} from recording where stream_id = ?1 and sequence = ?2"
        ))?;
        let found = select
            .query_row(params![id.stream.0, id.sequence], |r| read(r, 0))
            .optional()?;
        Ok(found.flatten())
    }

    /// Counts a recording's index anew; for `check --repair`.
    pub fn recount(&mut self, id: RecordingId) -> Result<(), Error> {
        let tx = self.transaction()?;
        let index: Vec<u8> = tx.query_row(
            "select i.video_index from recording r join recording_index i on i.id = r.index_id
             where r.stream_id = ?1 and r.sequence = ?2",
            params![id.stream.0, id.sequence],
            |r| r.get(0),
        )?;
        write(&tx, id, &Columns::count(&packed::unpack(&index)))?;
        Ok(tx.commit()?)
    }
}

fn write(tx: &Transaction, id: RecordingId, c: &Columns) -> Result<(), Error> {
    tx.prepare_cached(
        "update recording set composition_offsets = ?3, duration_runs = ?4, offset_runs = ?5,
           presentation_duration_90k = ?6
         where stream_id = ?1 and sequence = ?2",
    )?
    .execute(params![
        id.stream.0,
        id.sequence,
        c.composition_offsets,
        c.duration_runs,
        c.offset_runs,
        c.presentation_duration_90k
    ])?;
    Ok(())
}

/// Adds the columns to a database of version 1.
pub(super) fn add(tx: &Transaction) -> Result<(), Error> {
    Ok(tx.execute_batch(
        "alter table recording add column duration_runs integer check (duration_runs > 0);
         alter table recording add column offset_runs integer check (offset_runs > 0);
         alter table recording add column presentation_duration_90k integer
           check (presentation_duration_90k > 0);",
    )?)
}

/// Counts some recordings of before. A position is the last one's stream and sequence number.
pub(super) fn fill(tx: &Transaction, position: i64) -> Result<Option<i64>, Error> {
    let mut select = tx.prepare_cached(
        "select r.stream_id, r.sequence, i.video_index
         from recording r join recording_index i on i.id = r.index_id
         where (r.stream_id, r.sequence) > (?1, ?2) order by r.stream_id, r.sequence limit ?3",
    )?;
    let (stream, sequence) = (position >> 32, position & i64::from(u32::MAX));
    let mut rows = select.query(params![stream, sequence, COUNTED_AT_ONCE])?;
    let (mut counted, mut last) = (0, None);
    let mut found = Vec::with_capacity(COUNTED_AT_ONCE);
    while let Some(r) = rows.next()? {
        let id = RecordingId {
            stream: StreamId(r.get(0)?),
            sequence: r.get(1)?,
        };
        found.push((
            id,
            Columns::count(r.get_ref(2)?.as_blob().unwrap_or_default()),
        ));
        last = Some(i64::from(id.stream.0) << 32 | i64::from(id.sequence));
        counted += 1;
    }
    for (id, columns) in &found {
        write(tx, *id, columns)?;
    }
    Ok(last.filter(|_| counted == COUNTED_AT_ONCE))
}
