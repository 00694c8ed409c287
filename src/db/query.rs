//! Reading whole recordings for `check`, and gaps. Changes nothing.
//!
//! Each call is one transaction, so that beside a running daemon it sees a commit whole or not at all.

use super::{Database, Error};
use crate::h264::VideoSampleEntry;
use crate::recording::{DirId, Gap, GapCause, OpenId, Recording, RecordingId, StreamId, packed};
use crate::time::{Duration90k, Wall90k};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// The columns of a [`Recording`], as [`Recordings::read`] wants them.
pub(super) const COLUMNS: &str = "r.sequence, r.dir_id, r.open_id, r.run_offset, r.start_90k, \
    r.wall_duration_90k, r.media_duration_90k, r.clock_untrusted, r.sample_file_bytes, \
    r.video_samples, r.video_sync_samples, r.video_sample_entry_id, r.end_reason, \
    i.video_index, i.data_hash, i.chain_hash";

/// Asks for a sample entry by its id.
pub(super) const SAMPLE_ENTRY: &str = "select width, height, pixel_h_spacing, pixel_v_spacing, \
    rfc6381_codec, avcc, reorder_frames from video_sample_entry where id = ?1";

impl Database {
    /// One recording and its directory; `None` if it was given up meanwhile.
    pub fn recording(&self, id: RecordingId) -> Result<Option<(DirId, Recording)>, Error> {
        let found = self.page_from(id.stream, id.sequence, 1)?;
        Ok(found.into_iter().find(|(_, r)| r.id == id))
    }

    /// Up to `limit` recordings, with their directories, that come after `after` in order of stream
    /// and sequence number; from the very first on if `None`. Empty at the end. Those that
    /// [`super::Finding::NoIndex`] tells of are left out.
    pub fn recordings_after(
        &self,
        after: Option<RecordingId>,
        limit: u32,
    ) -> Result<Vec<(DirId, Recording)>, Error> {
        let mut next_stream = i32::MIN;
        if let Some(id) = after {
            next_stream = id.stream.0.saturating_add(1);
            if let Some(sequence) = id.sequence.checked_add(1) {
                let found = self.page_from(id.stream, sequence, limit)?;
                if !found.is_empty() {
                    return Ok(found);
                }
            }
        }
        let mut select = self
            .connection
            .prepare_cached("select id from stream where id >= ?1 order by id")?;
        let mut rows = select.query([next_stream])?;
        while let Some(row) = rows.next()? {
            let found = self.page_from(StreamId(row.get(0)?), 0, limit)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// Tells which recordings the database took before others: those of which this is lower.
    pub fn order_of(&self, id: RecordingId) -> Result<Option<i64>, Error> {
        let order = self
            .connection
            .prepare_cached(
                "select index_id from recording where stream_id = ?1 and sequence = ?2",
            )?
            .query_row(params![id.stream.0, id.sequence], |r| r.get(0))
            .optional()?;
        Ok(order)
    }

    /// Up to `limit` of the stream's recordings from a sequence number on.
    fn page_from(
        &self,
        stream: StreamId,
        sequence: u32,
        limit: u32,
    ) -> Result<Vec<(DirId, Recording)>, Error> {
        let tx = self.connection.unchecked_transaction()?;
        let mut select = tx.prepare_cached(&format!(
            "select {COLUMNS} from recording r join recording_index i on i.id = r.index_id
             where r.stream_id = ?1 and r.sequence >= ?2 order by r.sequence limit ?3"
        ))?;
        let mut rows = select.query(params![stream.0, sequence, limit])?;
        let mut recordings = Recordings::new(&tx);
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(recordings.read(stream, row)?);
        }
        Ok(found)
    }

    /// The stream's gaps that overlap a span, in order of time.
    pub fn gaps(&self, stream: StreamId, span: &Range<Wall90k>) -> Result<Vec<Gap>, Error> {
        gaps(&self.connection, stream, span, usize::MAX)
    }

    /// The end of the stream's last recording that begins before `at`, and the start of its first one
    /// at or after it.
    pub fn nearest(
        &self,
        stream: StreamId,
        at: Wall90k,
    ) -> Result<(Option<Wall90k>, Option<Wall90k>), Error> {
        let tx = self.connection.unchecked_transaction()?;
        let one = |sql| {
            tx.prepare_cached(sql)?
                .query_row(params![stream.0, at.0], |r| r.get(0).map(Wall90k))
                .optional()
        };
        let before = one("select start_90k + wall_duration_90k from recording
             where stream_id = ?1 and start_90k < ?2 order by start_90k desc limit 1")?;
        let after = one("select start_90k from recording
             where stream_id = ?1 and start_90k >= ?2 order by start_90k limit 1")?;
        Ok((before, after))
    }
}

/// The first `limit` of the stream's gaps that overlap a span, in order of time.
pub(super) fn gaps(
    connection: &Connection,
    stream: StreamId,
    span: &Range<Wall90k>,
    limit: usize,
) -> Result<Vec<Gap>, Error> {
    let mut select = connection.prepare_cached(
        "select start_90k, end_90k, cause, detail, clock_untrusted from gap
         where stream_id = ?1 and end_90k > ?2 and start_90k < ?3 order by start_90k, id
         limit ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = select.query(params![stream.0, span.start.0, span.end.0, limit])?;
    let mut gaps = Vec::new();
    while let Some(r) = rows.next()? {
        gaps.push(Gap {
            stream,
            start: Wall90k(r.get(0)?),
            end: Wall90k(r.get(1)?),
            cause: cause(&r.get::<_, String>(2)?)?,
            detail: r.get(3)?,
            clock_untrusted: r.get(4)?,
        });
    }
    Ok(gaps)
}

fn cause(word: &str) -> Result<GapCause, Error> {
    let known = GapCause::ALL.into_iter().find(|c| c.as_str() == word);
    known.ok_or_else(|| Error::Invalid(format!("a gap has the unknown cause {word:?}")))
}

/// Reads a row of [`SAMPLE_ENTRY`].
pub(super) fn sample_entry(r: &Row) -> rusqlite::Result<VideoSampleEntry> {
    Ok(VideoSampleEntry {
        width: r.get(0)?,
        height: r.get(1)?,
        pixel_h_spacing: r.get(2)?,
        pixel_v_spacing: r.get(3)?,
        rfc6381_codec: r.get(4)?,
        avcc: r.get(5)?,
        reorder_frames: r.get(6)?,
    })
}

/// Makes recordings of rows; those with one sample entry share it.
pub(super) struct Recordings<'a> {
    connection: &'a Connection,
    entries: HashMap<i64, Arc<VideoSampleEntry>>,
}

impl<'a> Recordings<'a> {
    pub fn new(connection: &'a Connection) -> Recordings<'a> {
        Recordings {
            connection,
            entries: HashMap::new(),
        }
    }

    /// Reads a row of [`COLUMNS`].
    pub fn read(&mut self, stream: StreamId, r: &Row) -> Result<(DirId, Recording), Error> {
        let recording = Recording {
            id: RecordingId {
                stream,
                sequence: r.get(0)?,
            },
            open: OpenId(r.get(2)?),
            run_offset: r.get(3)?,
            start: Wall90k(r.get(4)?),
            wall_duration: Duration90k(r.get(5)?),
            media_duration: Duration90k(r.get(6)?),
            clock_untrusted: r.get(7)?,
            sample_file_bytes: r.get(8)?,
            video_samples: r.get(9)?,
            video_sync_samples: r.get(10)?,
            sample_entry: self.entry(r.get(11)?)?,
            end_reason: r.get::<_, Option<String>>(12)?.unwrap_or_default(),
            index: r
                .get_ref(13)?
                .as_blob()
                .map(|kept| packed::unpack(kept).into_owned())
                .map_err(|e| {
                    rusqlite::Error::FromSqlConversionFailure(13, Type::Blob, Box::new(e))
                })?,
            data_hash: r.get(14)?,
            chain_hash: r.get(15)?,
        };
        Ok((DirId(r.get(1)?), recording))
    }

    fn entry(&mut self, id: i64) -> Result<Arc<VideoSampleEntry>, Error> {
        if let Some(entry) = self.entries.get(&id) {
            return Ok(entry.clone());
        }
        let mut select = self.connection.prepare_cached(SAMPLE_ENTRY)?;
        let entry = select.query_row([id], sample_entry)?;
        let entry = Arc::new(entry);
        self.entries.insert(id, entry.clone());
        Ok(entry)
    }
}
