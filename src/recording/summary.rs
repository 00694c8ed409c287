//! What a recording is, without its samples: all that lists, calendars and the layout of a file need.

use super::index::{self, IndexError, Sums};
use super::{DirId, OpenId, Recording, RecordingId};
use crate::h264::VideoSampleEntry;
use crate::time::{Duration90k, Wall90k};
use std::sync::Arc;

/// A recording without its index: a committed one as its row tells it, or one that is still growing,
/// as it was at some moment ([`Summary::of`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub id: RecordingId,
    /// Where its sample file is.
    pub dir: DirId,
    pub open: OpenId,
    /// How many recordings of the same run come before this one.
    pub run_offset: u32,
    pub start: Wall90k,
    pub wall_duration: Duration90k,
    pub media_duration: Duration90k,
    /// The clock had not been set when it was made: `start` may be put right later.
    pub clock_untrusted: bool,
    pub sample_file_bytes: u32,
    pub video_samples: u32,
    pub video_sync_samples: u32,
    /// The row of its sample entry: the id in the init segment's URL.
    pub sample_entry_id: i64,
    pub sample_entry: Arc<VideoSampleEntry>,
    /// The sum of the media durations of all that its stream ever had before it.
    pub prev_media_duration: Duration90k,
    /// How many runs of its stream began before it.
    pub prev_runs: u32,
    /// Empty if the next recording of the run just follows on.
    pub end_reason: String,
    /// `None` if they were never counted: a file of it needs its index.
    pub sums: Option<Sums>,
}

/// What a [`Recording`] does not say of itself: its place in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub dir: DirId,
    pub sample_entry_id: i64,
    pub prev_media_duration: Duration90k,
    pub prev_runs: u32,
}

impl Summary {
    /// The summary of a recording that the database does not have yet, such as one that is still
    /// growing; decodes its index.
    pub fn of(recording: &Recording, place: Place) -> Result<Summary, IndexError> {
        Ok(Summary {
            id: recording.id,
            dir: place.dir,
            open: recording.open,
            run_offset: recording.run_offset,
            start: recording.start,
            wall_duration: recording.wall_duration,
            media_duration: recording.media_duration,
            clock_untrusted: recording.clock_untrusted,
            sample_file_bytes: recording.sample_file_bytes,
            video_samples: recording.video_samples,
            video_sync_samples: recording.video_sync_samples,
            sample_entry_id: place.sample_entry_id,
            sample_entry: recording.sample_entry.clone(),
            prev_media_duration: place.prev_media_duration,
            prev_runs: place.prev_runs,
            end_reason: recording.end_reason.clone(),
            sums: index::sums(&recording.index)?,
        })
    }

    /// When it ends.
    pub fn end(&self) -> Wall90k {
        self.start + self.wall_duration
    }
}
