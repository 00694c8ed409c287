//! H.264 (ITU-T H.264): NAL units, parameter sets and the sample entry that an `.mp4` needs of them.
//!
//! It reads no more than a recorder must know: where an access unit begins, whether decoding can start
//! at it, and what the sample entry says. Nothing is decoded, and nothing in a stream is refused that
//! a decoder might still make use of. Why it reads parameter sets itself: `design/h264.md`.

pub mod annexb;
pub mod nal;
mod parameter_sets;
mod sps;
#[cfg(test)]
mod tests;

pub use parameter_sets::{ParameterSetError, ParameterSets, SpropError};
pub use sps::{Sps, SpsError};

/// What an `.mp4` says once about a run of samples: the visual sample entry's facts.
///
/// Two streams of samples with equal entries can follow each other without a new entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VideoSampleEntry {
    /// Width and height in pixels after cropping.
    pub width: u16,
    pub height: u16,
    /// Pixel aspect ratio (`pasp`), 1:1 where the stream says nothing.
    pub pixel_h_spacing: u16,
    pub pixel_v_spacing: u16,
    /// RFC 6381 codec string, such as `avc1.4d401f`.
    pub rfc6381_codec: String,
    /// AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1), 4-byte NAL lengths.
    pub avcc: Vec<u8>,
    /// How many frames may precede a frame in decode order and follow it in output order
    /// (`max_num_reorder_frames`); 0 where the stream does not say so.
    pub reorder_frames: u8,
}
