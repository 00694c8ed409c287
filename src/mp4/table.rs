//! The tables that grow with the frames: each segment's part is generated from its recording's index
//! when it is read.

use super::fragment::{FragmentSample, Moof};
use crate::recording::index::{self, Sample};
use std::ops::Range;

/// A table, of which each segment generates its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// Decoding durations (`stts`, ISO/IEC 14496-12 section 8.6.1.2).
    Durations,
    /// Composition offsets (`ctts`, section 8.6.1.3).
    Offsets,
    /// Sync samples (`stss`, section 8.6.2).
    SyncSamples,
    /// Sizes (`stsz`, section 8.7.3.2).
    Sizes,
    /// A whole movie fragment (`moof`, section 8.8.4) and the header of its `mdat`.
    Moof(Moof),
}

/// What a segment's part of a table is made of, but for the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The position of its first sample in the recording.
    pub first: u32,
    pub samples: u32,
    pub sync_samples: u32,
    pub duration_runs: u32,
    pub offset_runs: u32,
    /// Where its samples are in the sample file.
    pub bytes: Range<u32>,
    /// What its samples' durations come to.
    pub media_duration: u32,
    /// Samples of the segments before.
    pub samples_before: u32,
}

/// The index is not the one that the segment was laid out for, as its sums show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its index does not agree with its row")]
pub(super) struct Disagrees;

impl Table {
    /// The length in bytes of a segment's part.
    pub fn len(self, c: &Chosen) -> u64 {
        match self {
            Table::Durations => u64::from(c.duration_runs) * 8,
            Table::Offsets => u64::from(c.offset_runs) * 8,
            Table::SyncSamples => u64::from(c.sync_samples) * 4,
            Table::Sizes => u64::from(c.samples) * 4,
            Table::Moof(moof) => moof.len(c.samples),
        }
    }

    /// Generates a segment's part.
    pub fn generate(self, c: &Chosen, index: &[u8]) -> Result<Vec<u8>, Disagrees> {
        // Before memory is asked for: what a row says of its recording may be damaged.
        let samples = u64::from(c.first) + u64::from(c.samples);
        if samples > (index.len() / index::MIN_SAMPLE_BYTES) as u64 {
            return Err(Disagrees);
        }
        let len = usize::try_from(self.len(c)).map_err(|_| Disagrees)?;
        let mut out = Vec::with_capacity(len);
        match self {
            Table::Durations => {
                let mut runs = Runs::default();
                c.each(index, |_, duration, _| runs.add(&mut out, duration))?;
                runs.finish(&mut out);
            }
            Table::Offsets => {
                let mut runs = Runs::default();
                // Two's complement: version 1 has signed offsets.
                c.each(index, |_, _, offset| runs.add(&mut out, offset as u32))?;
                runs.finish(&mut out);
            }
            Table::SyncSamples => {
                let mut number = c.samples_before;
                c.each(index, |s, _, _| {
                    number += 1;
                    if s.is_sync {
                        put(&mut out, number);
                    }
                })?;
            }
            Table::Sizes => c.each(index, |s, _, _| put(&mut out, s.bytes))?,
            Table::Moof(moof) => {
                let mut samples = Vec::with_capacity(c.samples as usize);
                c.each(index, |s, duration_90k, composition_offset_90k| {
                    samples.push(FragmentSample {
                        bytes: s.bytes,
                        duration_90k,
                        composition_offset_90k,
                        is_sync: s.is_sync,
                    });
                })?;
                out = moof.write(&samples);
            }
        }
        (out.len() == len).then_some(out).ok_or(Disagrees)
    }
}

impl Chosen {
    /// Shows each sample with its duration and composition offset as the file tells them.
    ///
    /// The recording may have grown since the layout: what is behind the last sample plays no part.
    fn each(&self, index: &[u8], mut f: impl FnMut(&Sample, u32, i32)) -> Result<(), Disagrees> {
        let mut base_offset = 0;
        let (mut start, mut end) = (0, None);
        let (mut left, mut sync_samples) = (self.samples, 0);
        for (sample, position) in index::samples(index).zip(0..) {
            let s = sample.map_err(|_| Disagrees)?;
            if position < self.first {
                continue;
            }
            if position == self.first {
                base_offset = s.composition_offset_90k;
                start = s.media_start_90k;
                if s.offset != self.bytes.start {
                    return Err(Disagrees);
                }
            }
            left -= 1;
            let duration = match left {
                0 => i64::from(self.media_duration) - (s.media_start_90k - start),
                _ => i64::from(s.duration_90k),
            };
            let duration = u32::try_from(duration).map_err(|_| Disagrees)?;
            let offset = s.composition_offset_90k.checked_sub(base_offset);
            f(&s, duration, offset.ok_or(Disagrees)?);
            sync_samples += u32::from(s.is_sync);
            if left == 0 {
                end = Some(s.offset + s.bytes);
                break;
            }
        }
        let agrees = end == Some(self.bytes.end) && sync_samples == self.sync_samples;
        agrees.then_some(()).ok_or(Disagrees)
    }
}

fn put(out: &mut Vec<u8>, v: u32) {
    out.extend_from_slice(&v.to_be_bytes());
}

/// Writes (count, value) for each run of equal values.
#[derive(Default)]
struct Runs(Option<(u32, u32)>);

impl Runs {
    fn add(&mut self, out: &mut Vec<u8>, v: u32) {
        match &mut self.0 {
            Some((count, value)) if *value == v => *count += 1,
            _ => {
                self.finish(out);
                self.0 = Some((1, v));
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some((count, value)) = self.0.take() {
            put(out, count);
            put(out, value);
        }
    }
}
