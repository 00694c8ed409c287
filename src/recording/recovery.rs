//! Opening a sample directory: is it ours, and what was being recorded when it was last in use?

use super::{DirIdentity, Recording, StreamId};
use crate::time::Wall90k;
use std::collections::BTreeMap;

/// What a directory is opened with.
#[derive(Clone, Debug)]
pub struct AttachRequest {
    pub identity: DirIdentity,
    /// An empty directory may be taken and marked as ours. A marked one that isn't ours never may.
    pub may_create: bool,
    /// How far the database has got with each stream.
    pub committed: BTreeMap<StreamId, Committed>,
}

/// How far the database has got with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The sequence number of its next recording.
    pub next_sequence: u32,
    /// The chain hash of its last recording; zeros before the first.
    pub chain_hash: [u8; 32],
}

/// A directory that was opened and found in order.
#[derive(Clone, Debug, Default)]
pub struct Attached {
    /// Recordings that the journal tells of and the database lacks, each stream's in order, their
    /// bytes verified and their files cut to fit and durable.
    pub recovered: Vec<Recording>,
    /// How far each stream has got that the journal tells of, also where nothing could be recovered.
    pub streams: BTreeMap<StreamId, Reached>,
    /// The first number free for a new journal segment.
    pub next_segment: u64,
    /// The journal segments that are there. They hold what was recovered until the new journal does:
    /// to be handed to `Journal::new`.
    pub segments: Vec<u64>,
}

/// How far a stream has got in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The first sequence number that was neither committed nor journaled.
    pub next_sequence: u32,
    /// The end of the last recording that was recovered; the gap begins there.
    pub last_end: Option<Wall90k>,
}

/// Why a directory is refused.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error("there is no such directory")]
    Missing,
    #[error("it has no marker file: the disk is not mounted, or it is a new one")]
    NoMarker,
    #[error("it is not empty and has no marker file: it is not taken as a new one")]
    NotEmpty,
    #[error("its marker file cannot be understood: {0}")]
    BadMarker(String),
    #[error("it belongs to another recorder or is another directory (its marker says {found:?})")]
    Foreign { found: DirIdentity },
    #[error("another program is using it")]
    Locked,
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
