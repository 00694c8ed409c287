//! Sequence numbers below a stream's next one that the database has never had a recording of.
//!
//! A directory that is away may still bring such a recording back, and only such a one: what was
//! committed once and given up is in no hole. Holes come about where a number was used up for nothing,
//! where a disk was lost, and where a stream moves to another directory: numbers are left to what the old
//! one may yet bring, so that none is used twice.

use super::Error;
use crate::recording::{DirId, StreamId};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::ops::Range;

/// So many numbers are left to the directory that a stream moves away from: more than recordings wait
/// for the database at a time.
const LEFT_AT_A_MOVE: u32 = 4_096;

/// Holes that are remembered of a stream; past that the oldest are forgotten, and what would belong in
/// them is no longer taken.
const MAX_HOLES: u32 = 64;

/// A stream's holes, in order.
pub(super) fn of_stream(
    connection: &Connection,
    stream: StreamId,
) -> Result<Vec<Range<u32>>, Error> {
    let mut select = connection
        .prepare_cached("select first, past from hole where stream_id = ?1 order by first")?;
    let holes = select.query_map([stream.0], |r| Ok(r.get(0)?..r.get(1)?))?;
    Ok(holes.collect::<Result<_, _>>()?)
}

/// The numbers `left_out`, which end the stream's hole before or begin where its numbers end, are in a hole
/// from now on.
fn add(tx: &Transaction, stream: StreamId, left_out: Range<u32>) -> Result<(), Error> {
    let extended = tx
        .prepare_cached("update hole set past = ?3 where stream_id = ?1 and past = ?2")?
        .execute(params![stream.0, left_out.start, left_out.end])?;
    if extended > 0 {
        return Ok(());
    }
    tx.prepare_cached("insert into hole (stream_id, first, past) values (?1, ?2, ?3)")?
        .execute(params![stream.0, left_out.start, left_out.end])?;
    tx.prepare_cached(
        "delete from hole where stream_id = ?1 and first not in
           (select first from hole where stream_id = ?1 order by first desc limit ?2)",
    )?
    .execute(params![stream.0, MAX_HOLES])?;
    Ok(())
}

/// A recording takes `number`, where the stream's next would be `next`. True if it is the newest that the
/// database has ever had of the stream; `None` if the number was used before.
pub(super) fn take(
    tx: &Transaction,
    stream: StreamId,
    next: u32,
    number: u32,
) -> Result<Option<bool>, Error> {
    if number >= next {
        if number > next {
            add(tx, stream, next..number)?;
        }
        return Ok(Some(true));
    }
    let hole: Option<Range<u32>> = tx
        .prepare_cached(
            "select first, past from hole where stream_id = ?1 and first <= ?2 and past > ?2",
        )?
        .query_row(params![stream.0, number], |r| Ok(r.get(0)?..r.get(1)?))
        .optional()?;
    let Some(hole) = hole else {
        return Ok(None);
    };
    tx.prepare_cached("delete from hole where stream_id = ?1 and first = ?2")?
        .execute(params![stream.0, hole.start])?;
    for rest in [hole.start..number, number + 1..hole.end] {
        if !rest.is_empty() {
            add(tx, stream, rest)?;
        }
    }
    Ok(Some(hole.end == next))
}

/// A stream is about to be recorded to `to`: if that is another directory than before, numbers are left
/// to the old one.
pub(super) fn stream_goes_to(tx: &Transaction, stream: i64, to: DirId) -> Result<(), Error> {
    let moves: Option<(i32, u32)> = tx
        .query_row(
            "select id, next_sequence from stream where id = ?1 and dir_id <> ?2",
            params![stream, to.0],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )
        .optional()?;
    let Some((id, next)) = moves else {
        return Ok(());
    };
    let past = next.saturating_add(LEFT_AT_A_MOVE);
    add(tx, StreamId(id), next..past)?;
    tx.execute(
        "update stream set next_sequence = ?2 where id = ?1",
        params![id, past],
    )?;
    Ok(())
}
