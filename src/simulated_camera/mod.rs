//! A simulated camera: an RTSP server that behaves like an IP camera, well or badly as asked.
//!
//! For tests, for the demonstration and for trying things out; no recorder uses it. The server
//! ([`ServerSession`]) and all that it stands on is without I/O: it asks for no time, entropy or
//! socket, so that the deterministic simulation drives the same code as the real
//! command does with sockets. Pictures come from a [`Source`]: small synthetic ones ([`synthetic`]), a clip that is
//! looped, or a live picture with a clock in it (`picture`, with the feature `ffmpeg`).
//!
//! What it refuses: more than one video track to a URL, RTSP 2.0, multicast, encryption.

#[cfg(feature = "ffmpeg")]
mod annex_b;
mod authentication;
pub mod canvas;
#[cfg(feature = "ffmpeg")]
pub mod clip;
mod description;
#[cfg(feature = "ffmpeg")]
pub mod encoder;
mod font;
#[cfg(feature = "ffmpeg")]
mod live;
mod message;
pub mod misbehave;
pub mod network;
pub mod onvif;
pub mod onvif_network;
pub mod packetize;
mod player;
pub mod scene;
pub mod server;
pub mod source;
pub mod synthetic;

#[cfg(test)]
mod tests;

pub use authentication::{Authentication, Scheme};
pub use misbehave::{Fault, Faults};
pub use server::{Config, ServerOutput, ServerSession, StreamConfig};
pub use source::Source;
pub use synthetic::Synthetic;

use std::sync::Arc;

/// The parameter sets of a stream, as NAL units without start codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSets {
    pub sps: Vec<u8>,
    pub pps: Vec<u8>,
}

/// One access unit as the camera's encoder yields it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// Counted from 0 since the camera was switched on.
    pub number: u64,
    /// Presentation time by the camera's clock, in 1/90,000 s since it was switched on.
    pub timestamp_90k: i64,
    /// It starts with an IDR picture.
    pub sync: bool,
    /// The parameter sets that it refers to; sent before it when it is a sync sample.
    pub parameters: Arc<ParameterSets>,
    /// Its NAL units without start codes, without the parameter sets.
    pub nals: Vec<Vec<u8>>,
}

impl AccessUnit {
    /// Its NAL units in the form of an `.mp4` sample, each after its length in 4 bytes
    /// (ISO/IEC 14496-15 section 5.3.3.1), without the parameter sets.
    pub fn to_avc(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.nals.iter().map(|n| n.len() + 4).sum());
        for nal in &self.nals {
            let len = u32::try_from(nal.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(nal);
        }
        out
    }
}
