//! Movie fragments (ISO/IEC 14496-12 section 8.8): the initialization segment, the head of a media
//! segment, whether it is live or made of recordings.
//!
//! ```text
//! ftyp, moov                4.3, 8.2.1   initialization segment: a movie without samples
//!   mvex/trex               8.8.1, 8.8.3   whose samples come in fragments
//! styp                      8.16.2     media segment
//! moof                      8.8.4      fragment
//!   mfhd                    8.8.5        its number
//!   traf                    8.8.6
//!     tfhd                  8.8.7          the track; offsets count from here
//!     tfdt                  8.8.12         when the first sample is decoded
//!     trun                  8.8.8          the samples
//! mdat                      8.1.1
//! ```

use super::boxes::{self, Writer};
use super::plan::Plan;
use super::slices::Array;
use super::{Builder, Error, File, Segment, describe, etag};
use crate::h264::VideoSampleEntry;
use crate::time::{Duration90k, Wall90k};
use std::sync::Arc;

/// Bytes of a fragment's boxes and of the header of its `mdat`, samples' records not counted.
const HEAD_BYTES: u64 = 96;

/// The latest decoding time that a media segment may begin with: no sum of durations overflows.
pub(super) const MAX_DECODE_TIME: u64 = 1 << 62;

/// `tfhd`: offsets count from the beginning of the `moof`.
const DEFAULT_BASE_IS_MOOF: u32 = 0x2_0000;

/// `trun`: it says where the samples are, and of each sample its duration, size and flags,
const TRUN_FLAGS: u32 = 0x1 | 0x100 | 0x200 | 0x400;

/// and its composition offset.
const TRUN_OFFSETS: u32 = 0x800;

/// Sample flags (section 8.8.3.1): it depends on no other sample.
const SYNC: u32 = 0x0200_0000;

/// It depends on others, and is no sync sample.
const NOT_SYNC: u32 = 0x0101_0000;

/// A sample of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentSample {
    pub bytes: u32,
    pub duration_90k: u32,
    pub composition_offset_90k: i32,
    pub is_sync: bool,
}

/// A media segment up to its samples' bytes, which are to follow: `moof` and the header of `mdat`.
///
/// `decode_time` is the first sample's, in 90 kHz units; fragments of a stream are numbered from 1 on.
pub fn fragment(sequence_number: u32, decode_time: u64, samples: &[FragmentSample]) -> Vec<u8> {
    let moof = Moof {
        sequence_number,
        decode_time,
        with_offsets: samples.iter().any(|s| s.composition_offset_90k != 0),
    };
    moof.write(samples)
}

/// The bytes of so many fragments' heads with so many samples in all.
pub(super) fn heads_len(fragments: u64, samples: u64, with_offsets: bool) -> u64 {
    HEAD_BYTES * fragments + if with_offsets { 16 } else { 12 } * samples
}

/// The facts of a fragment, but for its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moof {
    pub sequence_number: u32,
    pub decode_time: u64,
    /// Each sample has a composition offset.
    pub with_offsets: bool,
}

impl Moof {
    /// The length in bytes of `moof` and the header of `mdat`.
    pub fn len(self, samples: u32) -> u64 {
        heads_len(1, u64::from(samples), self.with_offsets)
    }

    pub fn write(self, samples: &[FragmentSample]) -> Vec<u8> {
        let data: u64 = samples.iter().map(|s| u64::from(s.bytes)).sum();
        let header = boxes::mdat_header(data);
        let len = self.len(samples.len() as u32) - 8 + header.len() as u64;
        let mut w = Writer::with_capacity(len as usize);
        w.plain(b"moof", |w| {
            w.full(b"mfhd", 0, 0, |w| w.u32(self.sequence_number));
            w.plain(b"traf", |w| {
                w.full(b"tfhd", 0, DEFAULT_BASE_IS_MOOF, |w| {
                    w.u32(boxes::VIDEO_TRACK)
                });
                w.full(b"tfdt", 1, 0, |w| w.u64(self.decode_time));
                let offsets = if self.with_offsets { TRUN_OFFSETS } else { 0 };
                w.full(b"trun", 1, TRUN_FLAGS | offsets, |w| {
                    w.u32(samples.len() as u32);
                    w.u32(len as u32); // The samples follow right behind.
                    for s in samples {
                        w.u32(s.duration_90k);
                        w.u32(s.bytes);
                        w.u32(if s.is_sync { SYNC } else { NOT_SYNC });
                        if self.with_offsets {
                            // Two's complement: version 1 has signed offsets.
                            w.u32(s.composition_offset_90k as u32);
                        }
                    }
                });
            });
        });
        w.bytes(&header);
        w.into_constant()
    }
}

/// The initialization segment.
pub(super) fn init(w: &mut Writer, entry: &VideoSampleEntry) {
    w.plain(b"ftyp", |w| {
        w.bytes(b"iso6"); // Major brand,
        w.u32(0); // its minor version;
        w.bytes(b"isomiso5iso6avc1mp41"); // compatible brands.
    });
    w.plain(b"moov", |w| {
        // No time: a sample entry belongs to many recordings.
        let header = boxes::Header {
            created: Wall90k(0),
            duration: 0,
        };
        boxes::mvhd(w, &header, boxes::VIDEO_TRACK + 1);
        w.plain(b"trak", |w| {
            boxes::video_tkhd(w, &header, std::slice::from_ref(&entry));
            w.plain(b"mdia", |w| {
                boxes::mdhd(w, &header);
                boxes::hdlr(w, b"vide", b"video\0");
                w.plain(b"minf", |w| {
                    boxes::vmhd(w);
                    boxes::dinf(w);
                    w.plain(b"stbl", |w| {
                        boxes::video_stsd(w, std::slice::from_ref(&entry));
                        w.full(b"stts", 0, 0, |w| w.u32(0));
                        w.full(b"stsc", 0, 0, |w| w.u32(0));
                        w.full(b"stsz", 0, 0, |w| w.zeros(8));
                        w.full(b"stco", 0, 0, |w| w.u32(0));
                    });
                });
            });
        });
        w.plain(b"mvex", |w| {
            w.full(b"trex", 0, 0, |w| {
                w.u32(boxes::VIDEO_TRACK);
                w.u32(1); // Sample entry.
                w.zeros(3 * 4); // Duration, size and flags: each fragment tells them.
            });
        });
    });
}

/// Segment type: what follows are media segments.
pub(super) fn styp(w: &mut Writer) {
    w.plain(b"styp", |w| {
        w.bytes(b"msdh");
        w.u32(0);
        w.bytes(b"msdhiso6");
    });
}

impl File {
    /// The initialization segment of one sample entry.
    pub fn init(entry: &VideoSampleEntry) -> File {
        let mut w = Writer::default();
        init(&mut w, entry);
        let mut file = File::of(w);
        file.content_type = describe::content_type(&[entry]);
        file.etag = etag::Hasher::new("init").finish(&file);
        file
    }

    /// A media segment (`.m4s`) that plays `segments`, all of one sample entry, one after another: a
    /// movie fragment for each. The first sample's decoding time is `decode_time`, in 90 kHz units.
    ///
    /// There is no edit list: what comes ahead of the asked-for start is [`Self::leading_duration`].
    pub fn media_segment(segments: &[Segment], decode_time: u64) -> Result<File, Error> {
        Builder::media_segment(decode_time).all(segments)
    }

    pub(super) fn media_segment_of(mut plan: Plan, decode_time: u64, tag: etag::Hasher) -> File {
        let mut w = Writer::default();
        styp(&mut w);
        let mut file = File {
            content_type: describe::content_type(&borrowed(&plan.entries)),
            ..File::of_plan(&mut plan)
        };
        file.decode_time = decode_time;
        let len = file.array_len(Array::Fragments, file.laid.len());
        w.array(Array::Fragments, len);
        file.take(w);
        file.etag = tag.finish(&file);
        file
    }

    /// How much of the first segment comes ahead of the asked-for start.
    pub fn leading_duration(&self) -> Duration90k {
        self.leading_duration
    }
}

/// A fragment's `mdat` has a 32-bit length.
pub(super) fn mdat_fits(bytes: u64) -> Result<(), Error> {
    match u32::try_from(bytes + 8) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::TooLong("a recording is too large for a fragment")),
    }
}

/// The entries of a plan, borrowed.
pub(super) fn borrowed(entries: &[Arc<VideoSampleEntry>]) -> Vec<&VideoSampleEntry> {
    entries.iter().map(Arc::as_ref).collect()
}
