//! Putting times right once the clock is known: see [`super::Flush::restamp`].
//!
//! What moves keeps its order. It never comes to lie upon or before an earlier recording of its stream:
//! it is pushed on past it. It is cut short before a later one. What is pushed is no longer for that,
//! and what follows it moves no further than it must: `nvr` foretells all of this.

use super::Error;
use crate::recording::{GapCause, OpenId, StreamId};
use crate::time::Duration90k;
use rusqlite::{OptionalExtension, Transaction, params};

/// The most obstacles that one recording is pushed past. There is one, if any, unless the clock is
/// off by much; then what is left of the overlap is cut.
const MAX_PUSHES: u32 = 1000;

/// What ends this long after the start of another thing of its stream, at most, comes before it.
const TOUCHING_90K: i64 = 90_000;

/// A span of a stream, in ticks of wall time.
#[derive(Clone, Copy)]
struct Span {
    start: i64,
    end: i64,
}

/// A recording that stands where it is.
struct Obstacle {
    sequence: u32,
    span: Span,
}

/// Moves what `open` made with an untrusted clock; it is trusted afterwards.
pub(super) fn restamp(tx: &Transaction, open: OpenId, by: Duration90k) -> Result<(), Error> {
    let mut select = tx.prepare(
        "select stream_id, min(start) from (
           select stream_id, start_90k as start from recording
             where clock_untrusted = 1 and open_id = ?1
           union all select stream_id, start_90k from gap
             where clock_untrusted = 1 and open_id = ?1)
         group by stream_id order by stream_id",
    )?;
    let streams = select
        .query_map([open.0], |r| Ok((r.get(0).map(StreamId)?, r.get(1)?)))?
        .collect::<Result<Vec<(StreamId, i64)>, _>>()?;
    let mut edges = Vec::new();
    for (stream, first) in streams {
        edges.push((stream, edge(tx, open, stream, first)?));
        move_recordings(tx, open, stream, by)?;
    }
    move_gaps(tx, open, by)?;
    for (stream, edge) in edges {
        if let Some(edge) = edge {
            tell_what_opened(tx, open, stream, edge)?;
        }
    }
    Ok(())
}

/// The end of what the stream has before the first thing of it that moves.
fn edge(
    tx: &Transaction,
    open: OpenId,
    stream: StreamId,
    first: i64,
) -> Result<Option<i64>, Error> {
    let edge = tx
        .prepare_cached(
            "select max(e) from (
               select max(start_90k + wall_duration_90k) as e from recording
                 where stream_id = ?1 and start_90k < ?2 + ?4
                   and start_90k + wall_duration_90k <= ?2 + ?4
                   and not (clock_untrusted = 1 and open_id = ?3)
               union all select max(end_90k) from gap
                 where stream_id = ?1 and end_90k <= ?2 + ?4
                   and not (clock_untrusted = 1 and open_id = ?3))",
        )?
        .query_row(params![stream.0, first, open.0, TOUCHING_90K], |r| r.get(0))?;
    Ok(edge)
}

/// Between `edge` and what was moved away from it, a gap: nobody knew how long the recorder had been
/// away before the clock was set.
fn tell_what_opened(
    tx: &Transaction,
    open: OpenId,
    stream: StreamId,
    edge: i64,
) -> Result<(), Error> {
    let next: Option<i64> = tx
        .prepare_cached(
            "select min(s) from (
               select min(start_90k) as s from recording where stream_id = ?1 and start_90k >= ?2
               union all
               select min(start_90k) from gap where stream_id = ?1 and start_90k >= ?2)",
        )?
        .query_row(params![stream.0, edge], |r| r.get(0))?;
    let Some(next) = next.filter(|n| *n > edge) else {
        return Ok(());
    };
    // A gap that was moved away from there is as much longer.
    let extended = tx
        .prepare_cached(
            "update gap set start_90k = ?3 where stream_id = ?1 and start_90k = ?2 and open_id = ?4",
        )?
        .execute(params![stream.0, next, edge, open.0])?;
    if extended == 0 {
        tx.prepare_cached(
            "insert into gap (stream_id, open_id, start_90k, end_90k, cause, detail,
               clock_untrusted)
             values (?1, ?2, ?3, ?4, ?5, ?6, 0)",
        )?
        .execute(params![
            stream.0,
            open.0,
            edge,
            next,
            GapCause::Clock.as_str(),
            "the recorder was away for longer than its clock, which was not set, could tell",
        ])?;
    }
    Ok(())
}

fn move_recordings(
    tx: &Transaction,
    open: OpenId,
    stream: StreamId,
    by: Duration90k,
) -> Result<(), Error> {
    // One after another: the list may be long, if the clock was not set for months.
    let mut next: u32 = 0;
    loop {
        let row: Option<(u32, i64, i64, i64)> = tx
            .prepare_cached(
                "select sequence, dir_id, start_90k, wall_duration_90k from recording
                 where clock_untrusted = 1 and open_id = ?1 and stream_id = ?2 and sequence >= ?3
                 order by sequence limit 1",
            )?
            .query_row(params![open.0, stream.0, next], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
            })
            .optional()?;
        let Some((sequence, dir, start, duration)) = row else {
            return Ok(());
        };
        let wanted = start.saturating_add(by.0);
        let span = fit(
            tx,
            open,
            stream,
            sequence,
            Span {
                start: wanted,
                end: wanted.saturating_add(duration),
            },
        )?;
        tx.prepare_cached(
            "update recording set start_90k = ?3, wall_duration_90k = ?4, clock_untrusted = 0
             where stream_id = ?1 and sequence = ?2",
        )?
        .execute(params![
            stream.0,
            sequence,
            span.start,
            span.end - span.start
        ])?;
        if span.end - span.start != duration {
            tx.execute(
                "update stream_dir set duration_90k = duration_90k + ?3
                 where stream_id = ?1 and dir_id = ?2",
                params![stream.0, dir, span.end - span.start - duration],
            )?;
        }
        let Some(following) = sequence.checked_add(1) else {
            return Ok(());
        };
        next = following;
    }
}

/// The place nearest to `span`, not before it and not before the recording before, where recording
/// `sequence` lies on no other.
fn fit(
    tx: &Transaction,
    open: OpenId,
    stream: StreamId,
    sequence: u32,
    mut span: Span,
) -> Result<Span, Error> {
    let before: Option<i64> = tx
        .prepare_cached(
            "select start_90k + wall_duration_90k from recording
             where stream_id = ?1 and sequence < ?2 order by sequence desc limit 1",
        )?
        .query_row(params![stream.0, sequence], |r| r.get(0))
        .optional()?;
    if let Some(end) = before.filter(|end| *end > span.start) {
        span.end = end.saturating_add(span.end - span.start);
        span.start = end;
    }
    for _ in 0..MAX_PUSHES {
        let Some(obstacle) = obstacle(tx, open, stream, span)? else {
            return Ok(span);
        };
        if obstacle.sequence < sequence {
            let duration = span.end - span.start;
            span.start = obstacle.span.end;
            span.end = span.start.saturating_add(duration);
        } else {
            span.end = obstacle.span.start;
            span.start = span.start.min(span.end);
        }
    }
    span.end = span.start;
    Ok(span)
}

/// A recording that stands and overlaps `span`, the latest of them.
fn obstacle(
    tx: &Transaction,
    open: OpenId,
    stream: StreamId,
    span: Span,
) -> Result<Option<Obstacle>, Error> {
    let latest = tx
        .prepare_cached(
            "select sequence, start_90k, start_90k + wall_duration_90k from recording
             where stream_id = ?1 and start_90k < ?2 and wall_duration_90k > 0
               and not (clock_untrusted = 1 and open_id = ?3)
             order by start_90k desc limit 1",
        )?
        .query_row(params![stream.0, span.end, open.0], |r| {
            Ok(Obstacle {
                sequence: r.get(0)?,
                span: Span {
                    start: r.get(1)?,
                    end: r.get(2)?,
                },
            })
        })
        .optional()?;
    Ok(latest.filter(|o| o.span.end > span.start))
}

/// Gaps move like recordings, and give way to them: what is left of one may be in pieces.
fn move_gaps(tx: &Transaction, open: OpenId, by: Duration90k) -> Result<(), Error> {
    let mut select = tx.prepare(
        "select id, stream_id, start_90k, end_90k from gap
         where clock_untrusted = 1 and open_id = ?1 order by id",
    )?;
    let gaps = select
        .query_map([open.0], |r| {
            Ok((
                r.get::<_, i64>(0)?,
                StreamId(r.get(1)?),
                Span {
                    start: r.get::<_, i64>(2)?.saturating_add(by.0),
                    end: r.get::<_, i64>(3)?.saturating_add(by.0),
                },
            ))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    for (id, stream, span) in gaps {
        for piece in free_pieces(tx, open, stream, span)? {
            tx.execute(
                "insert into gap (stream_id, open_id, start_90k, end_90k, cause, detail,
                   clock_untrusted)
                 select stream_id, open_id, ?2, ?3, cause, detail, 0 from gap where id = ?1",
                params![id, piece.start, piece.end],
            )?;
        }
        tx.execute("delete from gap where id = ?1", [id])?;
    }
    Ok(())
}

/// What of `span` no recording lies on, the latest first.
fn free_pieces(
    tx: &Transaction,
    open: OpenId,
    stream: StreamId,
    mut span: Span,
) -> Result<Vec<Span>, Error> {
    let mut pieces = Vec::new();
    for _ in 0..MAX_PUSHES {
        if span.end <= span.start {
            break;
        }
        let Some(o) = obstacle(tx, open, stream, span)? else {
            pieces.push(span);
            break;
        };
        if o.span.end < span.end {
            pieces.push(Span {
                start: o.span.end,
                end: span.end,
            });
        }
        span.end = o.span.start;
    }
    Ok(pieces)
}
