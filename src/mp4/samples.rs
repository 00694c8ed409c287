//! Samples of one recording, counted, as a media segment of one fragment: what playlists refer to.
//!
//! Unlike a span of time ([`super::Segment`]) it may begin with any sample, and its bytes are the same while
//! the recording grows, once the sample after its last one is there.

use super::boxes::Writer;
use super::fragment::{self, FragmentSample, mdat_fits};
use super::runs::Runs;
use super::slices::{Array, Laid, Sums};
use super::{Error, File, Source, describe, etag};
use crate::h264::VideoSampleEntry;
use crate::recording::{OpenId, RecordingId, index};
use crate::time::Duration90k;
use std::ops::Range;

/// Samples in one of these at most: 7 minutes of 240 a second. More are refused.
pub const MAX_SAMPLES: u32 = 100_000;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    /// Where the first one is in the sample file.
    pub offset: u32,
    /// The first one's decoding time within the recording.
    pub start: Duration90k,
    /// In decoding order; composition offsets count from that of the recording's first sample.
    pub samples: Vec<FragmentSample>,
}

impl Samples {
    /// The samples at these positions of a recording with this index, of whose sample file `bytes` can be
    /// read.
    pub fn of(
        recording: RecordingId,
        index: &[u8],
        positions: Range<u32>,
        bytes: u32,
    ) -> Result<Samples, Error> {
        let refuse = |problem: String| Error::Index { recording, problem };
        if positions.end.saturating_sub(positions.start) > MAX_SAMPLES {
            return Err(Error::TooLong("too many samples in one segment"));
        }
        let mut all: Option<Samples> = None;
        let mut base_offset = 0;
        let mut position = 0;
        for sample in index::samples(index) {
            let s = sample.map_err(|e| refuse(e.to_string()))?;
            if position == 0 {
                base_offset = s.composition_offset_90k;
            }
            if position >= positions.end {
                break;
            }
            if position >= positions.start {
                if s.offset + s.bytes > bytes {
                    return Err(refuse(format!("sample {position} is not in its file")));
                }
                let of = all.get_or_insert_with(|| Samples {
                    offset: s.offset,
                    start: Duration90k(s.media_start_90k),
                    samples: Vec::new(),
                });
                of.samples.push(FragmentSample {
                    bytes: s.bytes,
                    duration_90k: s.duration_90k as u32, // Above 0.
                    composition_offset_90k: s.composition_offset_90k.saturating_sub(base_offset),
                    is_sync: s.is_sync,
                });
            }
            position += 1;
        }
        match all {
            Some(all) if position == positions.end => Ok(all),
            _ => Err(Error::EmptySegment { recording }),
        }
    }

    /// How long they last.
    pub fn duration(&self) -> Duration90k {
        let each = self.samples.iter().map(|s| i64::from(s.duration_90k));
        Duration90k(each.sum())
    }
}

impl File {
    /// A media segment of one movie fragment with these samples; the first one's decoding time is
    /// `decode_time`, in 90 kHz units.
    pub fn counted(
        source: Source,
        open: OpenId,
        entry: &VideoSampleEntry,
        samples: &Samples,
        decode_time: u64,
    ) -> Result<File, Error> {
        if decode_time > fragment::MAX_DECODE_TIME {
            return Err(Error::TooLong("the decoding time is too late"));
        }
        let bytes: u64 = samples.samples.iter().map(|s| u64::from(s.bytes)).sum();
        mdat_fits(bytes)?;
        let laid = Laid {
            source,
            first: 0,
            bytes_start: samples.offset,
            entry: 0,
            ends: Sums {
                bytes,
                ..Sums::default()
            },
        };
        let mut w = Writer::default();
        fragment::styp(&mut w);
        w.bytes(&fragment::fragment(1, decode_time, &samples.samples));
        w.array(Array::Chunks, bytes);
        let mut runs = Runs::default();
        runs.push(source);
        let mut file = File {
            laid: vec![laid],
            runs,
            duration: samples.duration(),
            content_type: describe::content_type(&[entry]),
            ..File::default()
        };
        file.take(w);
        // The size and duration of each are among the constant bytes.
        let mut tag = etag::Hasher::new("samples");
        let id = source.id;
        tag.u64(u64::from(id.stream.0 as u32) << 32 | u64::from(id.sequence));
        tag.u64(u64::from(open.0) << 32 | u64::from(samples.offset));
        file.etag = tag.finish(&file);
        Ok(file)
    }
}
