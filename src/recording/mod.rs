//! The rules of recording, without I/O: the sample index, the writer, rotation, drift,
//! the journal and how it is read back after a power cut.

pub mod chain;
pub mod directory;
pub mod drift;
pub mod forecast;
pub mod index;
pub mod journal;
pub mod packed;
pub mod real_directory;
pub mod recovery;
pub mod reorder;
pub mod rotation;
mod summary;
pub mod writer;

#[cfg(test)]
mod tests;

pub use summary::{Place, Summary};

use crate::h264::VideoSampleEntry;
use crate::time::{Duration90k, Wall90k};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// A stream of one camera (its main or sub stream): the database's row id, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub i32);

/// A recording: the stream and the sequence number within it, counted from 0 and never used again
/// once it was committed or journaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordingId {
    pub stream: StreamId,
    pub sequence: u32,
}

impl fmt::Display for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream.0, self.sequence)
    }
}

impl RecordingId {
    /// The sample file's name within its directory: stream and sequence number, 8 hex digits each.
    pub fn file_name(self) -> String {
        format!("{:08x}{:08x}", self.stream.0, self.sequence)
    }

    /// The reverse of [`Self::file_name`]; `None` for any other name.
    pub fn from_file_name(name: &str) -> Option<RecordingId> {
        if name.len() != 16 || !name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        Some(RecordingId {
            stream: StreamId(i32::from_str_radix(&name[..8], 16).ok()?),
            sequence: u32::from_str_radix(&name[8..], 16).ok()?,
        })
    }
}

/// One span in which the database was open for writing; counted up at each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenId(pub u32);

/// A sample directory: the database's row id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirId(pub i32);

/// One finished recording: about a minute of one stream, its bytes in a sample file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    pub id: RecordingId,
    pub open: OpenId,
    /// How many recordings of the same run come before this one. A run has no gap within.
    pub run_offset: u32,
    /// When its first sample was captured, as far as the recorder can tell.
    pub start: Wall90k,
    /// How long it took by the recorder's clock; within 500 ppm of `media_duration`.
    pub wall_duration: Duration90k,
    /// The sum of its samples' durations by the camera's clock.
    pub media_duration: Duration90k,
    /// The clock had not been set when it was made: `start` may be put right later.
    pub clock_untrusted: bool,
    pub sample_file_bytes: u32,
    pub video_samples: u32,
    pub video_sync_samples: u32,
    pub sample_entry: Arc<VideoSampleEntry>,
    /// See [`index`].
    pub index: Vec<u8>,
    /// XXH3-128 of the sample file's bytes, big-endian (its canonical form).
    pub data_hash: [u8; 16],
    /// See [`chain`]. Zeros until the database has taken the recording in, which ties it to the chain.
    pub chain_hash: [u8; 32],
    /// Why it ended where it does; empty if the next recording of the run just follows on.
    pub end_reason: String,
}

/// Why a span of time was not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GapCause {
    /// The camera refused, misbehaved or went away while the network was there.
    Camera,
    /// The camera could not be reached.
    Network,
    /// The sample directory was missing, failing, full or too slow.
    Disk,
    /// The recorder was stopped and started again in good order.
    Restart,
    /// The recorder ended without notice: power cut, crash, kill.
    Crash,
    /// The recorder's clock was stepped.
    Clock,
    /// Somebody turned recording off.
    User,
}

impl GapCause {
    pub const ALL: [GapCause; 7] = [
        GapCause::Camera,
        GapCause::Network,
        GapCause::Disk,
        GapCause::Restart,
        GapCause::Crash,
        GapCause::Clock,
        GapCause::User,
    ];

    /// The word used in the database, the API and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            GapCause::Camera => "camera",
            GapCause::Network => "network",
            GapCause::Disk => "disk",
            GapCause::Restart => "restart",
            GapCause::Crash => "crash",
            GapCause::Clock => "clock",
            GapCause::User => "user",
        }
    }
}

/// A span of a stream that was not recorded, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub stream: StreamId,
    pub start: Wall90k,
    pub end: Wall90k,
    pub cause: GapCause,
    /// A sentence for people.
    pub detail: String,
    /// The clock had not been set: both times may be put right later, with the recordings'.
    pub clock_untrusted: bool,
}

/// What ties a sample directory to one database: the content of its marker file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirIdentity {
    pub database: Uuid,
    pub directory: Uuid,
}
