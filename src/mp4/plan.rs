//! One pass over a file's segments: what is kept of each, and what they come to.

use super::runs::Runs;
use super::segment::{Layout, Segment};
use super::slices::{Laid, Sums};
use super::subtitles::Subtitles;
use super::{Error, MAX_SAMPLE_ENTRIES, MAX_SEGMENTS, Source, etag};
use crate::h264::VideoSampleEntry;
use crate::recording::Summary;
use crate::time::{Duration90k, Wall90k};
use std::ops::Range;
use std::sync::Arc;

/// What a file is laid out from.
#[derive(Default)]
pub(super) struct Plan {
    pub laid: Vec<Laid>,
    pub runs: Runs,
    /// The different sample entries, in order of appearance.
    pub entries: Vec<Arc<VideoSampleEntry>>,
    pub edits: Vec<Edit>,
    pub shown_duration: u64,
    /// How much of the first segment comes ahead of what is shown.
    pub leading_duration: i64,
    /// Some sample is not presented in its place in decoding order.
    pub reordered: bool,
    /// The wall time of the first frame shown.
    pub created: Wall90k,
}

/// A part of the media timeline that is shown (section 8.6.6).
pub(super) struct Edit {
    pub duration: u64,
    pub media_time: u64,
}

impl Plan {
    /// Lays out another segment; all that matters of it goes into the tag.
    pub fn push(
        &mut self,
        s: &Segment,
        tag: &mut etag::Hasher,
        subtitles: Option<&mut Subtitles>,
    ) -> Result<(), Error> {
        if self.laid.len() == MAX_SEGMENTS {
            return Err(Error::TooLong("too many recordings in one file"));
        }
        if self.laid.is_empty() {
            self.created = s.summary.start + s.range.start.max(Duration90k::ZERO);
        }
        let layout = Layout::new(s)?;
        tag.summary(&s.summary);
        if let Some(subtitles) = subtitles {
            let shown = (layout.shown.end - layout.shown.start) as u32; // Within `media_duration`.
            let wall = shown_wall(s, shown);
            tag.u64(wall.start.0 as u64);
            tag.u64(wall.end.0 as u64);
            subtitles.add(wall, shown)?;
            subtitles
                .last_zone_facts()
                .iter()
                .for_each(|fact| tag.u64(*fact as u64));
        }
        self.add(&s.summary, &layout)?;
        if let Some(laid) = self.laid.last() {
            tag.laid(laid);
        }
        Ok(())
    }

    fn add(&mut self, summary: &Summary, l: &Layout) -> Result<(), Error> {
        if self.laid.is_empty() {
            self.leading_duration = l.shown.start;
        }
        let before = self.laid.last().map_or_else(Sums::default, |l| l.ends);
        self.edit(before.media_duration, &l.shown);
        self.reordered |= l.reordered;
        let too_many = || Error::TooLong("too many frames in one file");
        let laid = Laid {
            source: Source {
                id: summary.id,
                dir: summary.dir,
            },
            first: l.first,
            bytes_start: l.bytes.start,
            entry: self.entry(&summary.sample_entry)?,
            ends: Sums {
                samples: before.samples.checked_add(l.samples).ok_or_else(too_many)?,
                // None of these is more than the samples.
                sync_samples: before.sync_samples + l.sync_samples,
                duration_runs: before.duration_runs + l.duration_runs,
                offset_runs: before.offset_runs + l.offset_runs,
                bytes: before.bytes + u64::from(l.bytes.end - l.bytes.start),
                media_duration: before.media_duration + u64::from(l.media_duration),
            },
        };
        self.runs.push(laid.source);
        self.laid.push(laid);
        Ok(())
    }

    /// The index of a sample entry; a new one is added.
    fn entry(&mut self, e: &Arc<VideoSampleEntry>) -> Result<u16, Error> {
        // Mostly it is that of the segment before.
        if let Some(last) = self.laid.last() {
            if self.entries[usize::from(last.entry)] == *e {
                return Ok(last.entry);
            }
        }
        let i = match self.entries.iter().position(|other| other == e) {
            Some(i) => i,
            None if self.entries.len() == MAX_SAMPLE_ENTRIES => {
                return Err(Error::TooLong(
                    "too many changes of picture format in one file",
                ));
            }
            None => {
                self.entries.push(e.clone());
                self.entries.len() - 1
            }
        };
        Ok(i as u16)
    }

    /// Shows a segment's part of the media timeline; joins it to the part before if nothing hidden
    /// is between them.
    fn edit(&mut self, media_before: u64, shown: &Range<i64>) {
        let media_time = media_before + shown.start as u64; // From its first sample on.
        let duration = (shown.end - shown.start) as u64;
        self.shown_duration += duration;
        match self.edits.last_mut() {
            Some(e) if e.media_time + e.duration == media_time => e.duration += duration,
            _ => self.edits.push(Edit {
                duration,
                media_time,
            }),
        }
    }
}

/// The wall time of the part of a segment that is shown, `shown` long in media time.
fn shown_wall(s: &Segment, shown: u32) -> Range<Wall90k> {
    let summary = &s.summary;
    let to_wall = |media: i64| {
        let scaled = match summary.media_duration.0 {
            0 => i128::from(media),
            m => i128::from(media) * i128::from(summary.wall_duration.0) / i128::from(m),
        };
        summary.start + Duration90k(i64::try_from(scaled).unwrap_or(i64::MAX))
    };
    let start = s.range.start.0.max(0);
    to_wall(start)..to_wall(start.saturating_add(i64::from(shown)))
}
