//! A span of one recording as a part of a file: which samples, and what of them is shown.

use super::Error;
use crate::recording::Summary;
use crate::recording::index::{self, Sample};
use crate::time::{Duration90k, Wall90k};
use std::ops::Range;
use std::sync::Arc;

/// A span of one recording to be shown.
///
/// All samples needed to decode it are in the file, from the sync sample at or before its start on; what
/// comes ahead of the start is hidden by an edit list, or told as [`super::File::leading_duration`].
#[derive(Clone, Debug)]
pub struct Segment {
    pub summary: Summary,
    /// Media time within the recording, from its first sample on; cut to what there is.
    pub range: Range<Duration90k>,
    /// The recording's sample index, where [`Self::needs_index`]. Not kept beyond the layout.
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
    ///
    /// A recording's media time and wall time differ by up to 500 ppm: wall time is scaled.
    pub fn within(summary: Summary, wall: &Range<Wall90k>) -> Option<Segment> {
        let (start, end) = (summary.start, summary.end());
        if wall.end <= start || wall.start >= end || wall.start >= wall.end {
            return None;
        }
        let to_media = |t: Wall90k| {
            let (t, w) = ((t - start).0, summary.wall_duration.0);
            let scaled = i128::from(t) * i128::from(summary.media_duration.0) / i128::from(w);
            Duration90k(scaled as i64) // 0 < t < w, so it is within the media duration.
        };
        let first = if wall.start <= start {
            Duration90k::ZERO
        } else {
            to_media(wall.start)
        };
        let last = if wall.end >= end {
            Duration90k(i64::MAX)
        } else {
            to_media(wall.end)
        };
        (first < last).then_some(Segment {
            summary,
            range: first..last,
            index: None,
        })
    }

    /// The same with the recording's index.
    pub fn with_index(self, index: Arc<[u8]>) -> Segment {
        Segment {
            index: Some(index),
            ..self
        }
    }

    /// It cannot be laid out without its index: it is not the whole recording, or the sums of that are
    /// not known.
    pub fn needs_index(&self) -> bool {
        let end = presentation_duration(&self.summary);
        !end.is_some_and(|end| self.range.start <= Duration90k::ZERO && self.range.end.0 >= end)
    }
}

/// How long the whole recording is shown; `None` if its sums are not known.
fn presentation_duration(s: &Summary) -> Option<i64> {
    let reordering = s.sums?.reordering;
    Some(reordering.map_or(s.media_duration.0, |r| r.presentation_duration_90k))
}

/// All that the boxes need of a segment, of constant size.
///
/// Times are in 90 kHz units from the decoding time of the segment's first sample. Composition
/// times are counted so that this sample has the same as its decoding time, whatever the first
/// sample of the recording has: nothing that is shown comes ahead of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The position of the first sample in the recording, in decoding order.
    pub first: u32,
    /// Samples, and sync samples among them.
    pub samples: u32,
    pub sync_samples: u32,
    /// Where the samples are in the sample file: one chunk.
    pub bytes: Range<u32>,
    /// The composition times that are shown.
    pub shown: Range<i64>,
    /// The sum of the samples' durations as the file tells them: the last one's is shortened (or, with
    /// reordering, stretched) so that it comes out.
    pub media_duration: u32,
    /// Runs of equal durations and of equal composition offsets.
    pub duration_runs: u32,
    pub offset_runs: u32,
    /// Some sample is not presented in its place in decoding order.
    pub reordered: bool,
}

/// The samples from a segment's first one on, as far as the pass has got.
#[derive(Clone, Copy, Default)]
struct Gathered {
    first: u32,
    samples: u32,
    sync_samples: u32,
    start: i64,
    /// The first one's composition time in the recording, and its composition offset in the index.
    origin: i64,
    base_offset: i32,
    bytes_start: u32,
    bytes_end: u32,
    last_decode: i64,
    last_duration: i64,
    /// The latest composition time, which with reordering is not always the last sample's.
    last_composition: i64,
    last_offset: i32,
    /// Runs of durations without the last sample, and the duration of the last of these runs.
    duration_runs: u32,
    run_duration: Option<i64>,
    offset_runs: u32,
    reordered: bool,
}

impl Gathered {
    /// Nothing yet; `s` will be the first, at `position` and presented at `composition` in the recording.
    fn new(position: u32, s: &Sample, composition: i64) -> Gathered {
        Gathered {
            first: position,
            start: s.media_start_90k,
            origin: composition,
            base_offset: s.composition_offset_90k,
            bytes_start: s.offset,
            last_composition: i64::MIN,
            ..Gathered::default()
        }
    }

    /// Takes in the next sample, presented at `composition` in the recording; `None` if its composition
    /// offset is too far from the first one's to be told.
    fn add(&mut self, s: &Sample, composition: i64) -> Option<()> {
        let offset = s.composition_offset_90k.checked_sub(self.base_offset)?;
        if self.samples > 0 && self.run_duration != Some(self.last_duration) {
            self.duration_runs += 1;
            self.run_duration = Some(self.last_duration);
        }
        if self.samples == 0 || offset != self.last_offset {
            self.offset_runs += 1;
        }
        self.samples += 1;
        self.sync_samples += u32::from(s.is_sync);
        self.bytes_end = s.offset + s.bytes;
        self.last_decode = s.media_start_90k;
        self.last_duration = i64::from(s.duration_90k);
        self.last_composition = self.last_composition.max(composition);
        self.last_offset = offset;
        self.reordered |= offset != 0;
        Some(())
    }
}

impl Layout {
    /// From the recording's sums if they suffice, else in one pass over its index.
    pub fn new(segment: &Segment) -> Result<Layout, Error> {
        let refuse = |problem: String| Error::Index {
            recording: segment.summary.id,
            problem,
        };
        if !segment.needs_index() {
            return Layout::of_sums(&segment.summary)
                .ok_or_else(|| refuse("its row tells of sums that cannot be".into()));
        }
        let Some(index) = &segment.index else {
            return Err(refuse("its index is needed and was not given".into()));
        };
        Layout::of_index(segment, index)
    }

    /// A whole recording; `None` if its sums cannot be.
    fn of_sums(s: &Summary) -> Option<Layout> {
        let sums = s.sums?;
        let end = presentation_duration(s)?;
        let samples = s.video_samples;
        let reordering = sums.reordering;
        let layout = Layout {
            first: 0,
            samples,
            sync_samples: s.video_sync_samples,
            bytes: 0..s.sample_file_bytes,
            shown: 0..end,
            media_duration: u32::try_from(end).ok()?, // 13 hours: no sum of them overflows.
            duration_runs: sums.duration_runs,
            offset_runs: reordering.map_or(1, |r| r.offset_runs),
            reordered: reordering.is_some(),
        };
        // Each sample has a byte and a unit of time.
        let counts = [
            layout.sync_samples,
            layout.duration_runs,
            layout.offset_runs,
        ];
        let sane = samples > 0
            && counts.iter().all(|&n| n <= samples)
            && layout.bytes.end >= samples
            && layout.media_duration >= samples;
        sane.then_some(layout)
    }

    fn of_index(segment: &Segment, index: &[u8]) -> Result<Layout, Error> {
        let recording = segment.summary.id;
        let wanted = segment.range.start.0.max(0)..segment.range.end.0;
        let refuse = |problem: String| Error::Index { recording, problem };
        let mut all = Gathered::default(); // Up to the current sample.
        let mut shown = None; // Up to the last one that is shown, once others have followed it.
        let mut base_offset = 0;
        for (sample, position) in index::samples(index).zip(0..) {
            let s = sample.map_err(|e| refuse(e.to_string()))?;
            if position == 0 {
                base_offset = i64::from(s.composition_offset_90k);
            }
            let offset = i64::from(s.composition_offset_90k) - base_offset;
            let composition = s.media_start_90k + offset;
            let beyond = composition >= wanted.end;
            if s.is_sync && beyond {
                break; // What follows a sync sample is presented after it.
            }
            let before = s.is_sync && composition <= wanted.start;
            if position == 0 || (before && wanted.start > 0) {
                all = Gathered::new(position, &s, composition);
            }
            if !beyond {
                shown = None;
            } else if shown.is_none() {
                shown = Some(all);
            }
            if all.add(&s, composition).is_none() {
                return Err(refuse(format!("sample {position}: mad composition offset")));
            }
        }
        // The last sample may be presented for no time at all; it is shown nevertheless.
        let end = (all.last_decode + all.last_duration).max(all.last_composition + 1);
        let end = wanted.end.min(end);
        let g = shown.unwrap_or(all);
        if g.samples == 0 || wanted.start >= end {
            return Err(Error::EmptySegment { recording });
        }
        if g.bytes_end > segment.summary.sample_file_bytes {
            return Err(refuse(format!(
                "its index tells of {} bytes, its sample file has {}",
                g.bytes_end, segment.summary.sample_file_bytes
            )));
        }
        Layout::of(&g, wanted.start..end)
            .ok_or_else(|| refuse("it lasts longer than a recording can".into()))
    }

    fn of(g: &Gathered, shown: Range<i64>) -> Option<Layout> {
        // The next segment begins where this one ends. It must come after each sample's composition
        // time, also of those that are there only because samples shown refer to them.
        let media_duration = (shown.end - g.origin)
            .max(g.last_composition - g.origin + 1)
            .max(g.last_decode - g.start + 1);
        let last_duration = g.start + media_duration - g.last_decode;
        let differs = g.run_duration != Some(last_duration);
        Some(Layout {
            first: g.first,
            samples: g.samples,
            sync_samples: g.sync_samples,
            bytes: g.bytes_start..g.bytes_end,
            shown: shown.start - g.origin..shown.end - g.origin,
            media_duration: u32::try_from(media_duration).ok()?, // As above.
            duration_runs: g.duration_runs + u32::from(differs),
            offset_runs: g.offset_runs,
            reordered: g.reordered,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mp4::tests::{any_recording, segment};
    use rand_core::SeedableRng;

    #[test]
    fn sums_lay_out_what_the_index_does() {
        let mut random = rand_pcg::Pcg32::seed_from_u64(5);
        let (mut reordered, mut refused) = (0, 0);
        for round in 0..3_000 {
            let recording = any_recording(&mut random, round % 2 == 0);
            let whole = segment(&recording, 0..i64::MAX);
            assert!(!whole.needs_index());
            let by_index = Layout::of_index(&whole, &recording.index);
            let by_sums = Layout::of_sums(&whole.summary);
            match by_index {
                Ok(layout) => {
                    reordered += u32::from(layout.reordered);
                    assert_eq!(by_sums, Some(layout), "round {round}");
                }
                Err(_) => {
                    refused += 1;
                    assert_eq!(by_sums, None, "round {round}");
                }
            }
        }
        assert!(reordered > 1_000 && refused < 500, "{reordered} {refused}");
    }

    #[test]
    fn sums_that_cannot_be_are_refused() {
        let mut random = rand_pcg::Pcg32::seed_from_u64(6);
        let good = segment(&any_recording(&mut random, false), 0..i64::MAX).summary;
        assert!(Layout::of_sums(&good).is_some());
        let changes: [fn(&mut Summary); 6] = [
            |s| s.sums = None,
            |s| s.sums.as_mut().unwrap().duration_runs = s.video_samples + 1,
            |s| s.video_sync_samples = s.video_samples + 1,
            |s| s.video_samples = 0,
            |s| s.sample_file_bytes = s.video_samples - 1,
            |s| s.media_duration = Duration90k(1 << 32),
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut s = good.clone();
            change(&mut s);
            assert_eq!(Layout::of_sums(&s), None, "change {i}");
        }
    }
}
