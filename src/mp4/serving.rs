//! What serving uses of this module. It takes the place of the rest of it in the next commits, under
//! the same names directly in `mp4`.

use super::Error;
use crate::h264::VideoSampleEntry;
use crate::recording::index::IndexError;
use crate::recording::{DirId, RecordingId, Summary};
use crate::time::{Duration90k, Wall90k};
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// A span of one recording to be shown. All samples needed to decode it are in the file, from the sync
/// sample at or before its start on; what comes ahead of the start is hidden by an edit list, or
/// told as [`File::leading_duration`].
#[derive(Clone, Debug)]
pub struct Segment {
    pub summary: Summary,
    /// Media time within the recording, from its first sample on; cut to what there is.
    pub range: Range<Duration90k>,
    /// The recording's sample index; only where [`Self::needs_index`]. Not kept beyond the layout.
    pub index: Option<Arc<[u8]>>,
}

impl Segment {
    /// The whole of a recording.
    pub fn whole(summary: Summary) -> Segment {
        Segment {
            summary,
            range: Duration90k::ZERO..Duration90k(i64::MAX),
            index: None,
        }
    }

    /// What of a recording lies within a span of wall time; `None` if nothing does.
    pub fn within(_summary: Summary, _wall: &Range<Wall90k>) -> Option<Segment> {
        unimplemented!()
    }

    /// It cannot be laid out without its index: it is not the whole recording, or its sums are not known.
    pub fn needs_index(&self) -> bool {
        unimplemented!()
    }
}

/// A virtual file: `.mp4`, media segment, init segment or scrub stream. Keep it in an `Arc`; it is cheap to read
/// at any place and never changes.
#[derive(Debug)]
pub struct File {}

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
    /// To be generated from the index of one recording by [`File::table`].
    Table(TablePart),
    /// These bytes of the sample file of [`File::source`]`(segment)`.
    Samples {
        segment: usize,
        range: Range<u64>,
    },
}

impl Piece<'_> {
    /// The piece's length in bytes; never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        unimplemented!()
    }
}

/// A part of a sample table; see [`Piece::Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePart {
    /// Whose index it is made of.
    pub recording: RecordingId,
    segment: usize,
    range: Range<u64>,
}

impl File {
    /// An `.mp4` that plays `segments` one after another; with a track of the time of day in a zone.
    pub fn movie(_segments: Vec<Segment>, _subtitles: Option<&TimeZone>) -> Result<File, Error> {
        unimplemented!()
    }

    /// A media segment (`.m4s`) of recordings of one sample entry. The decoding time of its first
    /// sample is `decode_time`, in 90 kHz units.
    pub fn media_segment(_segments: Vec<Segment>, _decode_time: u64) -> Result<File, Error> {
        unimplemented!()
    }

    /// The initialization segment of one sample entry.
    pub fn init(_entry: &VideoSampleEntry) -> File {
        unimplemented!()
    }

    /// The file's length in bytes.
    #[allow(clippy::len_without_is_empty)] // It is never empty.
    pub fn len(&self) -> u64 {
        unimplemented!()
    }

    /// A strong entity tag, with its quotes: equal tags, equal bytes.
    pub fn etag(&self) -> &str {
        unimplemented!()
    }

    /// `video/mp4; codecs="avc1.4d401f"`.
    pub fn content_type(&self) -> &str {
        unimplemented!()
    }

    /// How long it plays: the sum of the spans shown.
    pub fn duration(&self) -> Duration90k {
        unimplemented!()
    }

    /// How much of the first segment comes ahead of the asked-for start.
    pub fn leading_duration(&self) -> Duration90k {
        unimplemented!()
    }

    /// How many segments it is made of.
    pub fn segments(&self) -> usize {
        unimplemented!()
    }

    /// Where the samples of a segment are.
    pub fn source(&self, _segment: usize) -> Source {
        unimplemented!()
    }

    /// The first piece of `range`; `None` if that is empty or behind the end. The next one is that of
    /// `range.start + piece.len()..range.end`. Takes O(log segments).
    pub fn piece(&self, _range: Range<u64>) -> Option<Piece<'_>> {
        unimplemented!()
    }

    /// Generates a table's part from its recording's index (it may have grown since the layout). An index that
    /// does not agree with the layout is an error that names the recording.
    pub fn table(&self, _part: &TablePart, _index: &[u8]) -> Result<Vec<u8>, Error> {
        unimplemented!()
    }

    /// Whose indexes the pieces of `range` will want first, in that order; at most `limit`. To ask for many at
    /// once.
    pub fn indexes_wanted(&self, _range: Range<u64>, _limit: usize) -> Vec<RecordingId> {
        unimplemented!()
    }

    /// An account of its boxes and slices for people, line by line, with line ends.
    pub fn account(&self) -> impl Iterator<Item = String> + '_ {
        std::iter::empty()
    }
}

/// A fragmented `.mp4` of sync samples only, each shown until the next one. Add segments in order of time,
/// each with its index; then make the file.
#[derive(Debug)]
pub struct Scrub {}

impl Scrub {
    /// Decoding times count from `origin` in wall time. Samples closer than `every` to the one before are left
    /// out (zero: none is).
    pub fn new(_origin: Wall90k, _every: Duration90k) -> Scrub {
        unimplemented!()
    }

    /// Adds what `segment.range` has of its recording; `segment.index` must be there.
    pub fn add(&mut self, _segment: &Segment) -> Result<(), Error> {
        unimplemented!()
    }

    /// The file: with the init segment ahead, or media segments only.
    pub fn finish(self, _with_init: bool) -> Result<File, Error> {
        unimplemented!()
    }
}

/// A sample of a live fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentSample {
    pub bytes: u32,
    pub duration_90k: u32,
    pub composition_offset_90k: i32,
    pub is_sync: bool,
}

/// A media segment's bytes up to the samples' own, which are to follow: `moof` and the header of `mdat`.
pub fn fragment(_sequence_number: u32, _decode_time: u64, _samples: &[FragmentSample]) -> Vec<u8> {
    unimplemented!()
}

/// A part of a recording that begins with a sync sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncPart {
    /// When it begins, from the recording's start on; what [`Segment::range`] takes.
    pub start: Duration90k,
    pub duration: Duration90k,
    /// Where it is in the sample file.
    pub bytes: Range<u32>,
    pub samples: u32,
}

/// Cuts a recording at sync samples into parts of at least a duration (but for the last one).
pub fn sync_parts(_index: &[u8], _at_least: Duration90k) -> Result<Vec<SyncPart>, IndexError> {
    unimplemented!()
}

/// Width and height of the picture on a screen as the smallest whole numbers: (16, 9).
pub fn aspect(_entry: &VideoSampleEntry) -> (u32, u32) {
    unimplemented!()
}
