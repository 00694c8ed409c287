//! Lists of recordings without their sample indexes: what the page's calendar and the API tell.
//!
//! A day of one stream is about 40 pages of the database, a hundredth of what its indexes take.

use super::{Database, Error, query};
use crate::h264::VideoSampleEntry;
use crate::recording::{DirId, OpenId, RecordingId, StreamId};
use crate::time::{Duration90k, Wall90k};
use rusqlite::{OptionalExtension, Row, params};
use std::ops::{ControlFlow, Range};

/// A committed recording as a list tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub id: RecordingId,
    pub dir: DirId,
    pub open: OpenId,
    pub run_offset: u32,
    pub start: Wall90k,
    pub wall_duration: Duration90k,
    pub media_duration: Duration90k,
    pub clock_untrusted: bool,
    pub sample_file_bytes: u32,
    pub video_samples: u32,
    pub video_sync_samples: u32,
    /// Empty if the next recording of the run just follows on.
    pub end_reason: String,
    /// The row of its sample entry: see [`Database::sample_entry`].
    pub sample_entry_id: i64,
    /// The sum of the media durations of all that its stream ever had before it.
    pub prev_media_duration: Duration90k,
    /// How many runs of its stream began before it.
    pub prev_runs: u32,
}

impl Listed {
    pub fn end(&self) -> Wall90k {
        self.start + self.wall_duration
    }
}

const COLUMNS: &str = "stream_id, sequence, dir_id, open_id, run_offset, start_90k,
    wall_duration_90k, media_duration_90k, clock_untrusted, sample_file_bytes, video_samples,
    video_sync_samples, end_reason, video_sample_entry_id, prev_media_duration_90k, prev_runs";

/// Reads a row of [`COLUMNS`].
fn listed(r: &Row) -> rusqlite::Result<Listed> {
    Ok(Listed {
        id: RecordingId {
            stream: StreamId(r.get(0)?),
            sequence: r.get(1)?,
        },
        dir: DirId(r.get(2)?),
        open: OpenId(r.get(3)?),
        run_offset: r.get(4)?,
        start: Wall90k(r.get(5)?),
        wall_duration: Duration90k(r.get(6)?),
        media_duration: Duration90k(r.get(7)?),
        clock_untrusted: r.get(8)?,
        sample_file_bytes: r.get(9)?,
        video_samples: r.get(10)?,
        video_sync_samples: r.get(11)?,
        end_reason: r.get::<_, Option<String>>(12)?.unwrap_or_default(),
        sample_entry_id: r.get(13)?,
        prev_media_duration: Duration90k(r.get(14)?),
        prev_runs: r.get(15)?,
    })
}

impl Database {
    /// Shows the recordings of `stream` that overlap the half-open span or begin in it, in order of
    /// start, until `visit` breaks. `visit` should not dawdle: meanwhile a daemon's write-ahead log grows.
    pub fn list(
        &self,
        stream: StreamId,
        span: &Range<Wall90k>,
        visit: &mut dyn FnMut(Listed) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        // They never overlap each other, so of those that begin before the span only the last can
        // reach into it. A very short one may have no duration at all.
        let mut select = self.connection.prepare_cached(&format!(
            "select {COLUMNS} from recording r where stream_id = ?1 and start_90k < ?3
               and start_90k >= coalesce(
                 (select max(start_90k) from recording
                  where stream_id = ?1 and start_90k <= ?2 and wall_duration_90k > 0),
                 ?2)
               and (start_90k + wall_duration_90k > ?2 or start_90k >= ?2)
             order by start_90k, sequence"
        ))?;
        let mut rows = select.query(params![stream.0, span.start.0, span.end.0])?;
        while let Some(row) = rows.next()? {
            if visit(listed(row)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The recordings of `stream` with sequence numbers within `sequences`, in their order; at most
    /// `limit`.
    pub fn list_by_sequence(
        &self,
        stream: StreamId,
        sequences: Range<u32>,
        limit: u32,
    ) -> Result<Vec<Listed>, Error> {
        let mut select = self.connection.prepare_cached(&format!(
            "select {COLUMNS} from recording
             where stream_id = ?1 and sequence >= ?2 and sequence < ?3
             order by sequence limit ?4"
        ))?;
        let rows = select.query_map(
            params![stream.0, sequences.start, sequences.end, limit],
            listed,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A sample entry by its row.
    pub fn sample_entry(&self, id: i64) -> Result<Option<VideoSampleEntry>, Error> {
        Ok(self
            .connection
            .prepare_cached(query::SAMPLE_ENTRY)?
            .query_row([id], query::sample_entry)
            .optional()?)
    }
}
