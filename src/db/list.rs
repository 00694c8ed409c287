//! Reading for the API: recordings without their sample indexes, and some of the indexes.
//!
//! A day of one stream is about 150 KiB of the database, a twentieth of what its indexes take. Each
//! call is bounded, so that a commit never waits long behind it.

use super::{Database, Error, MAX_GAPS, MAX_INDEXES, MAX_SPANS, MAX_SUMMARIES, query, sums};
use crate::recording::{DirId, Gap, OpenId, RecordingId, StreamId, Summary, packed};
use crate::time::{Duration90k, Wall90k};
use rusqlite::{OptionalExtension, Row, params};
use std::ops::Range;
use std::sync::Arc;

/// Which recordings of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that overlap the half-open span or begin in it, in order of start, from the one behind
    /// `after` on.
    Overlapping {
        span: Range<Wall90k>,
        after: Option<After>,
    },
    /// Those with these sequence numbers, in their order.
    Sequences(Range<u32>),
}

/// A place in the order of time: of the last recording that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct After {
    pub start: Wall90k,
    pub sequence: u32,
}

impl From<&Summary> for After {
    fn from(s: &Summary) -> After {
        After {
            start: s.start,
            sequence: s.id.sequence,
        }
    }
}

/// The time that a recording fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub sequence: u32,
    pub start: Wall90k,
    pub wall_duration: Duration90k,
}

const COLUMNS: &str = "sequence, dir_id, open_id, run_offset, start_90k, wall_duration_90k,
    media_duration_90k, clock_untrusted, sample_file_bytes, video_samples, video_sync_samples,
    end_reason, video_sample_entry_id, prev_media_duration_90k, prev_runs";

impl Database {
    /// See [`super::Request::Summaries`].
    pub fn summaries(
        &mut self,
        stream: StreamId,
        which: &Which,
        limit: usize,
    ) -> Result<Vec<Summary>, Error> {
        let limit = limit.min(MAX_SUMMARIES);
        match which {
            Which::Overlapping { span, after } => self.overlapping(stream, span, *after, limit),
            Which::Sequences(range) => self.select_summaries(
                stream,
                "sequence >= ?2 and sequence < ?3 order by sequence limit ?4",
                params![stream.0, range.start, range.end, limit],
            ),
        }
    }

    fn overlapping(
        &mut self,
        stream: StreamId,
        span: &Range<Wall90k>,
        after: Option<After>,
        limit: usize,
    ) -> Result<Vec<Summary>, Error> {
        // They never overlap each other, so of those that begin before the span only the last can
        // reach into it. A very short one may have no duration at all.
        let before: Option<i64> = self
            .connection
            .prepare_cached(
                "select max(start_90k) from recording
                 where stream_id = ?1 and start_90k <= ?2 and wall_duration_90k > 0",
            )?
            .query_row(params![stream.0, span.start.0], |r| r.get(0))?;
        let first = before.unwrap_or(span.start.0);
        let (first, sequence) = match after {
            Some(a) if a.start.0 >= first => (a.start.0, i64::from(a.sequence)),
            _ => (first, -1),
        };
        self.select_summaries(
            stream,
            "start_90k >= ?5 and start_90k < ?3 and (start_90k > ?5 or sequence > ?6)
               and (start_90k + wall_duration_90k > ?2 or start_90k >= ?2)
             order by start_90k, sequence limit ?4",
            params![stream.0, span.start.0, span.end.0, limit, first, sequence],
        )
    }

    fn select_summaries(
        &mut self,
        stream: StreamId,
        condition: &str,
        params: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Summary>, Error> {
        let mut select = self.connection.prepare_cached(&format!(
            "select {COLUMNS}, {} from recording where stream_id = ?1 and {condition}",
            sums::COLUMNS
        ))?;
        let mut rows = select.query(params)?;
        let mut found = Vec::new();
        while let Some(r) = rows.next()? {
            let entry: i64 = r.get(12)?;
            let Some(entry) = self.entries.entry(&self.connection, entry)? else {
                return Err(Error::Corrupt(format!("there is no sample entry {entry}")));
            };
            found.push(summary(stream, r, entry)?);
        }
        Ok(found)
    }

    /// See [`super::Request::Indexes`].
    pub fn indexes(&self, ids: &[RecordingId]) -> Result<Vec<super::IndexOf>, Error> {
        if ids.len() > MAX_INDEXES {
            return Err(Error::Invalid(format!(
                "{} indexes at once: {MAX_INDEXES} at most",
                ids.len()
            )));
        }
        let tx = self.connection.unchecked_transaction()?;
        let mut select = tx.prepare_cached(
            "select i.video_index from recording r join recording_index i on i.id = r.index_id
             where r.stream_id = ?1 and r.sequence = ?2",
        )?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let index = select
                .query_row(params![id.stream.0, id.sequence], |r| {
                    Ok(Arc::from(packed::unpack(r.get_ref(0)?.as_blob()?)))
                })
                .optional()?;
            found.push((*id, index));
        }
        Ok(found)
    }

    /// See [`super::Request::Spans`].
    pub fn spans(
        &self,
        stream: StreamId,
        from_sequence: u32,
        limit: usize,
    ) -> Result<Vec<Span>, Error> {
        let mut select = self.connection.prepare_cached(
            "select sequence, start_90k, wall_duration_90k from recording
             where stream_id = ?1 and sequence >= ?2 order by sequence limit ?3",
        )?;
        let limit = limit.min(MAX_SPANS);
        let rows = select.query_map(params![stream.0, from_sequence, limit], |r| {
            Ok(Span {
                sequence: r.get(0)?,
                start: Wall90k(r.get(1)?),
                wall_duration: Duration90k(r.get(2)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// See [`super::Request::Gaps`].
    pub fn some_gaps(
        &self,
        stream: StreamId,
        span: &Range<Wall90k>,
        limit: usize,
    ) -> Result<Vec<Gap>, Error> {
        query::gaps(&self.connection, stream, span, limit.min(MAX_GAPS))
    }
}

/// Reads a row of [`COLUMNS`] and, after them, those of [`sums`].
fn summary(
    stream: StreamId,
    r: &Row,
    sample_entry: Arc<crate::h264::VideoSampleEntry>,
) -> rusqlite::Result<Summary> {
    Ok(Summary {
        id: RecordingId {
            stream,
            sequence: r.get(0)?,
        },
        dir: DirId(r.get(1)?),
        open: OpenId(r.get(2)?),
        run_offset: r.get(3)?,
        start: Wall90k(r.get(4)?),
        wall_duration: Duration90k(r.get(5)?),
        media_duration: Duration90k(r.get(6)?),
        clock_untrusted: r.get(7)?,
        sample_file_bytes: r.get(8)?,
        video_samples: r.get(9)?,
        video_sync_samples: r.get(10)?,
        end_reason: r.get::<_, Option<String>>(11)?.unwrap_or_default(),
        sample_entry_id: r.get(12)?,
        sample_entry,
        prev_media_duration: Duration90k(r.get(13)?),
        prev_runs: r.get(14)?,
        sums: sums::read(r, 15)?,
    })
}
