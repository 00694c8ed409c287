//! A recording cut at its sync samples: what a playlist lists.

use crate::recording::index::{self, IndexError, Sample};
use crate::time::Duration90k;
use std::ops::Range;

/// A part of a recording that begins with a sync sample (the first one, with whatever comes first).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncPart {
    /// Media time within the recording at which it is to be shown: what [`super::Segment::range`] takes.
    pub range: Range<Duration90k>,
    /// The first sample's decoding time within the recording.
    pub decode_start: Duration90k,
    /// The first sample's position in the recording.
    pub first: u32,
    /// Where it is in the sample file.
    pub bytes: Range<u32>,
    pub samples: u32,
}

impl SyncPart {
    pub fn duration(&self) -> Duration90k {
        self.range.end - self.range.start
    }
}

/// Cuts a recording at sync samples into parts, each of at least a duration but for the last one.
pub fn sync_parts(index: &[u8], at_least: Duration90k) -> Result<Vec<SyncPart>, IndexError> {
    let mut parts: Vec<SyncPart> = Vec::new();
    let (mut base_offset, mut end) = (0, 0);
    for (sample, position) in index::samples(index).zip(0..) {
        let s: Sample = sample?;
        if position == 0 {
            base_offset = i64::from(s.composition_offset_90k);
        }
        let composition = s.media_start_90k + i64::from(s.composition_offset_90k) - base_offset;
        let begins = match parts.last() {
            None => true,
            Some(p) => {
                let long = composition - p.range.start.0 >= at_least.0.max(1);
                s.is_sync && long
            }
        };
        if begins {
            if let Some(before) = parts.last_mut() {
                before.range.end = Duration90k(composition);
            }
            parts.push(SyncPart {
                range: Duration90k(composition)..Duration90k(composition),
                decode_start: Duration90k(s.media_start_90k),
                first: position,
                bytes: s.offset..s.offset,
                samples: 0,
            });
        }
        if let Some(part) = parts.last_mut() {
            part.bytes.end = s.offset + s.bytes;
            part.samples += 1;
        }
        end = (s.media_start_90k + i64::from(s.duration_90k)).max(end.max(composition + 1));
    }
    if let Some(last) = parts.last_mut() {
        last.range.end = Duration90k(end);
    }
    Ok(parts)
}
