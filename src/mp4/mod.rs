//! `.mp4` files that exist only as they are read (ISO/IEC 14496-12): movies, initialization and media
//! segments, live fragments, scrub streams.
//!
//! A [`File`] is made of [`Segment`]s: spans of recordings, one after another, in one video track. Whole
//! recordings are laid out from the sums in their rows; only one that is cut needs its sample index. What is
//! kept is 56 bytes a segment; which bytes are where follows from running sums. Constant bytes
//! are the boxes; the tables that grow with the frames are generated when they are read, one segment's part
//! at a time, from an index that the caller brings then; frames are ranges of sample files. See
//! `design/mp4.md`.
//!
//! Owner: whoever asks for a file (`export`, an HTTP response). This module refuses I/O: sample files and
//! indexes are read by its caller. It refuses an index that lies (sizes beyond the sample file, a
//! damaged code, other sums than its row) with an error that names the recording.

mod account;
mod boxes;
mod builder;
mod describe;
mod etag;
mod fragment;
mod movie;
mod parts;
mod plan;
mod runs;
mod samples;
mod scrub;
mod segment;
mod slices;
mod subtitles;
mod table;
#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use describe::aspect;
pub use fragment::{FragmentSample, fragment};
pub use parts::{SyncPart, sync_parts};
pub use samples::{MAX_SAMPLES, Samples};
pub use scrub::{MAX_PICTURES, Scrub};
pub use segment::Segment;

use crate::recording::{DirId, RecordingId};
use crate::time::Duration90k;
use boxes::{BoxNote, Writer};
use plan::Plan;
use runs::Runs;
use scrub::{Change, Picture};
use slices::{Laid, Region};
use std::borrow::Cow;
use std::ops::Range;
use subtitles::Subtitles;
use table::Table;

/// Segments in one file at most: about 70 days of one-minute recordings. More is refused.
pub const MAX_SEGMENTS: usize = 100_000;

/// Different sample entries in one file at most; more are refused.
const MAX_SAMPLE_ENTRIES: usize = 1_000;

/// Why a file cannot be made of the given segments, or a table not of the given index.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("there is nothing to make a file of")]
    Empty,
    #[error("recording {recording}: nothing of it is within the wanted span")]
    EmptySegment { recording: RecordingId },
    #[error("recording {recording}: {problem}")]
    Index {
        recording: RecordingId,
        problem: String,
    },
    #[error("the picture format changes within the span: ask for each part of its own")]
    SeveralEntries,
    #[error("{0}: ask for a shorter span")]
    TooLong(&'static str),
}

/// A virtual file: a movie ([`File::movie`]), a media segment ([`File::media_segment`]), an initialization
/// segment ([`File::init`]) or a scrub stream ([`Scrub`]). Cheap to read at any place; the same segments
/// always give the same bytes.
#[derive(Debug, Default)]
pub struct File {
    laid: Vec<Laid>,
    runs: Runs,
    subtitles: Option<Subtitles>,
    /// Of a scrub stream, and where its format changes.
    pictures: Vec<Picture>,
    changes: Vec<Change>,
    constant: Vec<u8>,
    regions: Vec<Region>,
    notes: Vec<BoxNote>,
    /// Where the content of a movie's `mdat` begins.
    chunks_start: u64,
    /// The first sample's, in a media segment.
    decode_time: u64,
    reordered: bool,
    duration: Duration90k,
    leading_duration: Duration90k,
    content_type: String,
    etag: String,
}

/// Where a segment's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub id: RecordingId,
    pub dir: DirId,
}

/// Some of a file's bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Bytes(Cow<'a, [u8]>),
    /// To be generated from a recording's index, by [`File::table`].
    Table(TablePart),
    /// These bytes of the sample file of [`File::source`]`(segment)`.
    Samples {
        segment: usize,
        range: Range<u64>,
    },
}

impl Piece<'_> {
    /// The piece's length in bytes; never 0 in what [`File::piece`] gives.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        match self {
            Piece::Bytes(b) => b.len() as u64,
            Piece::Table(part) => part.range.end - part.range.start,
            Piece::Samples { range, .. } => range.end - range.start,
        }
    }
}

/// Some bytes of a segment's part of a table: see [`Piece::Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePart {
    /// Whose index it is made of.
    pub recording: RecordingId,
    segment: usize,
    table: Table,
    range: Range<u64>,
}

impl File {
    fn of(w: Writer) -> File {
        let mut file = File::default();
        file.take(w);
        file
    }

    /// What a plan says of segments, which it gives away, and no bytes yet.
    fn of_plan(plan: &mut Plan) -> File {
        File {
            laid: std::mem::take(&mut plan.laid),
            runs: std::mem::take(&mut plan.runs),
            reordered: plan.reordered,
            duration: Duration90k(plan.shown_duration as i64),
            leading_duration: Duration90k(plan.leading_duration),
            ..File::default()
        }
    }

    /// Takes what was written.
    fn take(&mut self, w: Writer) {
        self.constant = w.constant;
        self.regions = w.regions;
        self.notes = w.notes;
    }

    /// The file's length in bytes.
    #[allow(clippy::len_without_is_empty)] // It is never empty.
    pub fn len(&self) -> u64 {
        self.regions.last().map_or(0, |r| r.end)
    }

    /// A strong entity tag, quotes included: files of equal tags have equal bytes.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// The value of `Content-Type`: `video/mp4; codecs="avc1.4d401f"`.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// How many segments the file was made of.
    pub fn segments(&self) -> usize {
        self.laid.len()
    }

    /// Where the samples of a segment are.
    pub fn source(&self, segment: usize) -> Source {
        self.laid[segment].source
    }

    /// Each directory that any of its samples are in, once.
    pub fn dirs(&self) -> &[DirId] {
        &self.runs.dirs
    }

    /// Whether any of a recording's samples are in it. Takes O(log runs of consecutive recordings).
    pub fn has(&self, recording: RecordingId) -> bool {
        self.runs.has(recording)
    }

    /// How long the file plays: the sum of the spans shown. A scrub stream's counts from its origin.
    pub fn duration(&self) -> Duration90k {
        self.duration
    }

    /// Generates a part of a table from its recording's index. The recording may have grown since the
    /// layout; another index than that is an error.
    pub fn table(&self, part: &TablePart, index: &[u8]) -> Result<Vec<u8>, Error> {
        let whole = part.table.generate(&self.chosen(part.segment), index);
        let mut bytes = whole.map_err(|e| Error::Index {
            recording: part.recording,
            problem: e.to_string(),
        })?;
        bytes.truncate(part.range.end as usize);
        bytes.drain(..part.range.start as usize);
        Ok(bytes)
    }
}
