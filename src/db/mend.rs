//! What `check --repair` changes in the database once it has looked at the files. What [`super::verify`]
//! finds in the database alone is mended there.

use super::{Database, Error, flush, verify};
use crate::recording::{Gap, GapCause, OpenId, RecordingId};
use crate::time::Wall90k;
use rusqlite::{OptionalExtension, Transaction, params};

impl Database {
    /// Whether this recording's file is known at this moment: as a recording's or as garbage.
    pub fn knows_file(&self, id: RecordingId) -> Result<bool, Error> {
        Ok(self
            .connection
            .prepare_cached(
                "select 1 from recording where stream_id = ?1 and sequence = ?2
                 union all select 1 from garbage where stream_id = ?1 and sequence = ?2",
            )?
            .query_row(params![id.stream.0, id.sequence], |_| Ok(()))
            .optional()?
            .is_some())
    }

    /// Gives up recordings that cannot be played any more, in one transaction. Each becomes a gap of
    /// cause `disk` that says `detail`.
    pub fn lose(&mut self, ids: &[RecordingId], detail: &str) -> Result<(), Error> {
        let tx = self.transaction()?;
        for &id in ids {
            let Some((open, mut gap)) = span_of(&tx, id)? else {
                continue;
            };
            gap.detail = detail.to_owned();
            verify::forget(&tx, id, false)?;
            flush::insert_gap(&tx, open, &gap)?;
        }
        Ok(tx.commit()?)
    }

    /// Puts `new` in the place of a gap.
    pub fn replace_gap(&mut self, old: &Gap, new: &[Gap]) -> Result<(), Error> {
        let tx = self.transaction()?;
        let row: Option<(i64, u32)> = tx
            .prepare_cached(
                "select id, open_id from gap where stream_id = ?1 and start_90k = ?2
                   and end_90k = ?3 and cause = ?4 and detail = ?5 limit 1",
            )?
            .query_row(
                params![
                    old.stream.0,
                    old.start.0,
                    old.end.0,
                    old.cause.as_str(),
                    old.detail
                ],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )
            .optional()?;
        if let Some((id, open)) = row {
            tx.execute("delete from gap where id = ?1", [id])?;
            for gap in new {
                flush::insert_gap(&tx, OpenId(open), gap)?;
            }
        }
        Ok(tx.commit()?)
    }

    /// Forgets garbage whose files are durably gone.
    pub fn forget_garbage(&mut self, ids: &[RecordingId]) -> Result<(), Error> {
        let tx = self.transaction()?;
        for id in ids {
            tx.prepare_cached("delete from garbage where stream_id = ?1 and sequence = ?2")?
                .execute(params![id.stream.0, id.sequence])?;
        }
        Ok(tx.commit()?)
    }
}

/// The gap that a recording leaves, and the open that it was made in.
fn span_of(tx: &Transaction, id: RecordingId) -> Result<Option<(OpenId, Gap)>, Error> {
    Ok(tx
        .prepare_cached(
            "select open_id, start_90k, start_90k + wall_duration_90k, clock_untrusted
             from recording where stream_id = ?1 and sequence = ?2",
        )?
        .query_row(params![id.stream.0, id.sequence], |r| {
            let gap = Gap {
                stream: id.stream,
                start: Wall90k(r.get(1)?),
                end: Wall90k(r.get(2)?),
                cause: GapCause::Disk,
                detail: String::new(),
                clock_untrusted: r.get(3)?,
            };
            Ok((OpenId(r.get(0)?), gap))
        })
        .optional()?)
}
