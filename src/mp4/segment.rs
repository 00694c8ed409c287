//! A span of one recording as a part of a file: which samples, what of them is shown, and its part of
//! each sample table.

use super::Error;
use crate::recording::Recording;
use crate::recording::index::{self, Sample};
use crate::time::{Duration90k, Wall90k};
use std::ops::Range;
use std::sync::Arc;

/// A span of one recording to be shown.
///
/// All samples needed to decode it are in the file, from the sync sample at or before its start on; what
/// comes ahead of the start is hidden by the edit list.
#[derive(Clone, Debug)]
pub struct Segment {
    pub recording: Arc<Recording>,
    /// Media time within the recording, from its first sample on; cut to what there is.
    pub range: Range<Duration90k>,
}

impl Segment {
    /// The whole of a recording.
    pub fn whole(recording: Arc<Recording>) -> Segment {
        Segment {
            recording,
            range: Duration90k::ZERO..Duration90k(i64::MAX),
        }
    }

    /// What of `recording` lies within a span of wall time; `None` if nothing does.
    ///
    /// A recording's media time and wall time differ by up to 500 ppm: wall time is scaled.
    pub fn within(recording: Arc<Recording>, wall: &Range<Wall90k>) -> Option<Segment> {
        let end = recording.start + recording.wall_duration;
        if wall.end <= recording.start || wall.start >= end || wall.start >= wall.end {
            return None;
        }
        let to_media = |t: Wall90k| {
            let (t, w) = ((t - recording.start).0, recording.wall_duration.0);
            let scaled = i128::from(t) * i128::from(recording.media_duration.0) / i128::from(w);
            Duration90k(scaled as i64) // 0 < t < w, so it is within the media duration.
        };
        let first = if wall.start <= recording.start {
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
            recording,
            range: first..last,
        })
    }
}

/// What one pass over a segment's index yields: all that the boxes need, of constant size.
///
/// Times are in 90 kHz units from the decoding time of the segment's first sample. Composition
/// times are counted so that the recording's first sample has the same as its decoding time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The position of the first sample in the recording, in decoding order.
    pub first: u32,
    /// Samples, and sync samples among them.
    pub samples: u32,
    pub sync_samples: u32,
    /// Where the samples are in the sample file: one chunk.
    pub bytes: Range<u64>,
    /// The composition times that are shown.
    pub shown: Range<i64>,
    /// The sum of the samples' durations as the file tells them.
    pub media_duration: i64,
    /// The last sample's duration, shortened (or, with reordering, stretched) so that
    /// `media_duration` comes out.
    pub last_duration: u32,
    /// Runs of equal durations and of equal composition offsets.
    pub stts_entries: u32,
    pub ctts_entries: u32,
    /// Some sample is not presented in its place in decoding order.
    pub reordered: bool,
    /// The composition offset of the recording's first sample: what all are counted from.
    base_offset: i32,
}

/// The samples from a segment's first one on, as far as the pass has got.
#[derive(Clone, Copy, Default)]
struct Gathered {
    first: u32,
    samples: u32,
    sync_samples: u32,
    start: i64,
    bytes_start: u32,
    bytes_end: u32,
    last_decode: i64,
    last_duration: i64,
    /// The latest composition time, which with reordering is not always the last sample's.
    last_composition: i64,
    last_offset: i32,
    /// Runs of durations without the last sample, and the duration of the last of these runs.
    stts_entries: u32,
    run_duration: Option<i64>,
    ctts_entries: u32,
    reordered: bool,
}

impl Gathered {
    /// Nothing yet; `s` will be the first, at `position` in the recording.
    fn new(position: u32, s: &Sample) -> Gathered {
        Gathered {
            first: position,
            start: s.media_start_90k,
            bytes_start: s.offset,
            last_composition: i64::MIN,
            ..Gathered::default()
        }
    }

    /// Takes in the next sample; `offset` is its composition offset.
    fn add(&mut self, s: &Sample, offset: i32) {
        if self.samples > 0 && self.run_duration != Some(self.last_duration) {
            self.stts_entries += 1;
            self.run_duration = Some(self.last_duration);
        }
        if self.samples == 0 || offset != self.last_offset {
            self.ctts_entries += 1;
        }
        self.samples += 1;
        self.sync_samples += u32::from(s.is_sync);
        self.bytes_end = s.offset + s.bytes;
        self.last_decode = s.media_start_90k;
        self.last_duration = i64::from(s.duration_90k);
        self.last_composition = self
            .last_composition
            .max(s.media_start_90k + i64::from(offset));
        self.last_offset = offset;
        self.reordered |= offset != 0;
    }
}

impl Layout {
    pub fn new(segment: &Segment) -> Result<Layout, Error> {
        let recording = &segment.recording;
        let wanted = segment.range.start.0.max(0)..segment.range.end.0;
        let refuse = |problem: String| Error::Index {
            recording: recording.id,
            problem,
        };
        let mut all = Gathered::default(); // Up to the current sample.
        let mut shown = None; // Up to the last one that is shown, once others have followed it.
        let mut base_offset = 0;
        for (sample, position) in index::samples(&recording.index).zip(0..) {
            let s = sample.map_err(|e| refuse(e.to_string()))?;
            if position == 0 {
                base_offset = s.composition_offset_90k;
            }
            let Some(offset) = s.composition_offset_90k.checked_sub(base_offset) else {
                return Err(refuse(format!("sample {position}: mad composition offset")));
            };
            let composition = s.media_start_90k + i64::from(offset);
            let beyond = composition >= wanted.end;
            if s.is_sync && beyond {
                break; // What follows a sync sample is presented after it.
            }
            if position == 0 || (s.is_sync && composition <= wanted.start) {
                all = Gathered::new(position, &s);
            }
            if !beyond {
                shown = None;
            } else if shown.is_none() {
                shown = Some(all);
            }
            all.add(&s, offset);
        }
        // The last sample may last no time at all; it is shown nevertheless.
        let end = (all.last_decode + all.last_duration).max(all.last_composition + 1);
        let end = wanted.end.min(end);
        let g = shown.unwrap_or(all);
        if g.samples == 0 || wanted.start >= end {
            return Err(Error::EmptySegment {
                recording: recording.id,
            });
        }
        if g.bytes_end > recording.sample_file_bytes {
            return Err(refuse(format!(
                "its index tells of {} bytes, its sample file has {}",
                g.bytes_end, recording.sample_file_bytes
            )));
        }
        Layout::of(&g, wanted.start..end, base_offset)
            .ok_or_else(|| refuse("it lasts longer than a recording can".into()))
    }

    fn of(g: &Gathered, shown: Range<i64>, base_offset: i32) -> Option<Layout> {
        // The next segment begins where this one ends. It must come after each sample's composition
        // time, also of those that are there only because samples shown refer to them.
        let media_duration = (shown.end - g.start)
            .max(g.last_composition - g.start + 1)
            .max(g.last_decode - g.start + 1);
        let last_duration = g.start + media_duration - g.last_decode;
        u32::try_from(media_duration).ok()?; // 13 hours: no sum of them overflows.
        let differs = g.run_duration != Some(last_duration);
        Some(Layout {
            first: g.first,
            samples: g.samples,
            sync_samples: g.sync_samples,
            bytes: u64::from(g.bytes_start)..u64::from(g.bytes_end),
            shown: shown.start - g.start..shown.end - g.start,
            media_duration,
            last_duration: u32::try_from(last_duration).ok()?,
            stts_entries: g.stts_entries + u32::from(differs),
            ctts_entries: g.ctts_entries,
            reordered: g.reordered,
            base_offset,
        })
    }
}

/// A sample table, of which each segment generates its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// Decoding durations (ISO/IEC 14496-12 section 8.6.1.2).
    Stts,
    /// Composition offsets (section 8.6.1.3).
    Ctts,
    /// Sync samples (section 8.6.2), numbered from so many samples of the segments before on.
    Stss { samples_before: u32 },
    /// Sizes (section 8.7.3).
    Stsz,
}

impl Table {
    /// The length in bytes of a segment's part.
    pub fn len(self, l: &Layout) -> u64 {
        u64::from(match self {
            Table::Stts => l.stts_entries,
            Table::Ctts => l.ctts_entries,
            Table::Stss { .. } => l.sync_samples,
            Table::Stsz => l.samples,
        }) * match self {
            Table::Stts | Table::Ctts => 8,
            Table::Stss { .. } | Table::Stsz => 4,
        }
    }

    /// Generates a segment's part.
    pub fn generate(self, segment: &Segment, l: &Layout) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len(l) as usize);
        let mut put = |v: u32| out.extend_from_slice(&v.to_be_bytes());
        match self {
            Table::Stts => runs(l.durations(segment), put),
            // Two's complement: version 1 has signed offsets.
            Table::Ctts => runs(l.offsets(segment).map(|o| o as u32), put),
            Table::Stss { samples_before } => l
                .samples(segment)
                .zip(samples_before + 1..)
                .filter(|(s, _)| s.is_sync)
                .for_each(|(_, number)| put(number)),
            Table::Stsz => l.samples(segment).for_each(|s| put(s.bytes)),
        }
        debug_assert_eq!(out.len() as u64, self.len(l));
        out
    }
}

impl Layout {
    /// The segment's samples. The index is the one that [`Layout::new`] found in order.
    fn samples<'a>(&self, segment: &'a Segment) -> impl Iterator<Item = Sample> + use<'a> {
        index::samples(&segment.recording.index)
            .map_while(Result::ok)
            .skip(self.first as usize)
            .take(self.samples as usize)
    }

    fn durations(&self, segment: &Segment) -> impl Iterator<Item = u32> {
        let last = std::iter::once(self.last_duration);
        let others = self.samples(segment).take(self.samples as usize - 1);
        others.map(|s| s.duration_90k as u32).chain(last)
    }

    fn offsets(&self, segment: &Segment) -> impl Iterator<Item = i32> {
        let base = self.base_offset;
        self.samples(segment)
            .map(move |s| s.composition_offset_90k - base)
    }
}

/// Writes (count, value) for each run of equal values.
fn runs(values: impl Iterator<Item = u32>, mut put: impl FnMut(u32)) {
    let mut run: Option<(u32, u32)> = None;
    for v in values {
        match &mut run {
            Some((count, value)) if *value == v => *count += 1,
            _ => {
                if let Some((count, value)) = run.replace((1, v)) {
                    put(count);
                    put(value);
                }
            }
        }
    }
    if let Some((count, value)) = run {
        put(count);
        put(value);
    }
}
