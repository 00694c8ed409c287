//! Recordings that come late: their stream went on elsewhere, and then the disk with them came back.
//!
//! Each goes where its number says, and has no more room there than its neighbors leave it. Clocks that
//! are right leave it all of its time.

use super::database::SampleEntries;
use super::{Error, flush};
use crate::recording::{DirId, Gap, GapCause, OpenId, Recording, StreamId};
use crate::time::Wall90k;
use rusqlite::{OptionalExtension, Transaction, params};

/// Takes one in. What was told to be a gap where it lies is none any more.
pub(super) fn insert(
    tx: &Transaction,
    entries: &mut SampleEntries,
    open: OpenId,
    dir: DirId,
    recording: &Recording,
) -> Result<(), Error> {
    let mut r = recording.clone();
    let neighbors = [
        "select start_90k + wall_duration_90k from recording
         where stream_id = ?1 and sequence < ?2 order by sequence desc limit 1",
        "select start_90k from recording
         where stream_id = ?1 and sequence > ?2 order by sequence limit 1",
    ]
    .map(|sql| -> Result<Option<Wall90k>, Error> {
        let at = tx
            .prepare_cached(sql)?
            .query_row(params![r.id.stream.0, r.id.sequence], |r| {
                r.get(0).map(Wall90k)
            })
            .optional()?;
        Ok(at)
    });
    let [before, after] = neighbors;
    let after = after?;
    let mut span = r.start..r.start + r.wall_duration;
    if let Some(before) = before?.filter(|b| *b > span.start) {
        // A time that nobody knew for sure gives way.
        let end = match r.clock_untrusted {
            true => before + r.wall_duration,
            false => span.end.max(before),
        };
        span = before..end;
    }
    if let Some(after) = after {
        span = span.start.min(after)..span.end.min(after);
    }
    (r.start, r.wall_duration) = (span.start, span.end - span.start);
    flush::insert_recording(tx, entries, dir, &r)?;
    cut_gaps(tx, r.id.stream, span.start, span.end)?;
    // Where it is the first now, nothing was told of what follows.
    match after.filter(|after| span.end < *after) {
        Some(after) => tell_gap(tx, open, r.id.stream, span.end, after),
        None => Ok(()),
    }
}

fn tell_gap(
    tx: &Transaction,
    open: OpenId,
    stream: StreamId,
    start: Wall90k,
    end: Wall90k,
) -> Result<(), Error> {
    let is_told = tx
        .query_row(
            "select 1 from gap where stream_id = ?1 and start_90k < ?3 and end_90k > ?2 limit 1",
            params![stream.0, start.0, end.0],
            |_| Ok(()),
        )
        .optional()?
        .is_some();
    if is_told {
        return Ok(());
    }
    let gap = Gap {
        stream,
        start,
        end,
        cause: GapCause::Disk,
        detail: "its disk was away; what follows was recorded to another".to_owned(),
        clock_untrusted: false,
    };
    flush::insert_gap(tx, open, &gap)
}

fn cut_gaps(tx: &Transaction, stream: StreamId, start: Wall90k, end: Wall90k) -> Result<(), Error> {
    if end <= start {
        return Ok(());
    }
    // What is left behind it of one that reaches over it on both sides.
    tx.execute(
        "insert into gap (stream_id, open_id, start_90k, end_90k, cause, detail, clock_untrusted)
         select stream_id, open_id, ?3, end_90k, cause, detail, clock_untrusted from gap
         where stream_id = ?1 and start_90k < ?2 and end_90k > ?3",
        params![stream.0, start.0, end.0],
    )?;
    tx.execute(
        "update gap set end_90k = ?2 where stream_id = ?1 and start_90k < ?2 and end_90k > ?2",
        params![stream.0, start.0],
    )?;
    tx.execute(
        "delete from gap where stream_id = ?1 and start_90k >= ?2 and end_90k <= ?3",
        params![stream.0, start.0, end.0],
    )?;
    tx.execute(
        "update gap set start_90k = ?3
         where stream_id = ?1 and start_90k >= ?2 and start_90k < ?3",
        params![stream.0, start.0, end.0],
    )?;
    Ok(())
}
