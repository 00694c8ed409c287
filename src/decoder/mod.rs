//! Pictures and passwords, in a process of their own: a key frame becomes a JPEG, a password its hash.
//!
//! Both take long, and one of them runs a large decoder over bytes that came from a network. So neither
//! is done in the recorder: the reactor starts this program again as a helper, which gives up every
//! right that it does not need before it reads its first request. What goes wrong in it is one request
//! that failed. This file is what both sides agree on; see `design/decoder.md`.
//!
//! It refuses anything but H.264 key frames, opens no file, and knows no cameras, users or recordings.

pub mod message;
#[cfg(feature = "ffmpeg")]
mod picture;
mod sandbox;
mod seccomp;
pub mod serve;

pub use serve::SUBCOMMAND;

use crate::access::password::Unfit;
use crate::config::Secret;
use crate::h264::VideoSampleEntry;
use std::sync::Arc;

/// The longest access unit that is decoded; what is longer was no camera's picture.
pub const MAX_SAMPLE_BYTES: usize = crate::rtp::MAX_ACCESS_UNIT_BYTES;

/// The longest avcC that is looked at: more parameter sets than any camera sends.
pub const MAX_AVCC_BYTES: usize = 64 << 10;

/// The most pixels a side of a picture may have.
pub const MAX_SIDE_PIXELS: u32 = 8192;

/// The most pixels a picture may have: 16 megapixels, twice those of a 4K camera.
pub const MAX_PIXELS: u32 = 16 << 20;

/// The most pixels of a JPEG: those of H.264's level 5.2. A larger picture is scaled down to it.
pub const MAX_JPEG_PIXELS: u32 = 4096 * 2304;

/// The longest JPEG that is taken back.
pub const MAX_JPEG_BYTES: usize = 8 << 20;

/// The longest PHC string that is looked at; those of [`crate::access::password`] have about a
/// hundred bytes.
pub const MAX_HASH_BYTES: usize = 512;

/// Requests that wait besides the one under way; further ones are answered with [`Error::Busy`]. A
/// picture that waits keeps its sample, so what asks for many should ask for one after another.
pub const MAX_WAITING_PICTURES: usize = 8;
pub const MAX_WAITING_PASSWORDS: usize = 16;

/// Why there is no picture from a build without FFmpeg.
pub const NO_FFMPEG: &str = "this program was built without pictures";

/// A good JPEG quality for a thumbnail, and for a picture in full size.
pub const THUMBNAIL_QUALITY: u8 = 70;
pub const SNAPSHOT_QUALITY: u8 = 85;

/// What the helper is asked for.
#[derive(Clone, PartialEq, Eq)]
pub enum Request {
    /// A JPEG of one sync sample, with square pixels. Answered by [`Reply::Picture`].
    Picture {
        entry: Arc<VideoSampleEntry>,
        /// The whole sample, as it is in the file (ISO/IEC 14496-15 section 5.3.2: NAL units behind
        /// their lengths); at most [`MAX_SAMPLE_BYTES`].
        sample: Vec<u8>,
        /// The picture is scaled down to at most so many pixels across, never up; `u32::MAX` for its
        /// full size.
        max_width: u32,
        /// From 1, small, to 100, fine.
        quality: u8,
    },
    /// Answered by [`Reply::Hash`]. The salt comes from the helper's operating system.
    HashPassword(Secret),
    /// Answered by [`Reply::Verified`].
    VerifyPassword {
        password: Secret,
        /// A PHC string of [`crate::access::password`]; its `DECOY` where there is no such user.
        hash: Secret,
    },
}

impl std::fmt::Debug for Request {
    /// Without the sample's bytes; a [`Secret`] never shows itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Request::Picture {
                entry,
                sample,
                max_width,
                quality,
            } => f
                .debug_struct("Picture")
                .field("size", &(entry.width, entry.height))
                .field("sample_bytes", &sample.len())
                .field("max_width", max_width)
                .field("quality", quality)
                .finish(),
            Request::HashPassword(_) => f.write_str("HashPassword"),
            Request::VerifyPassword { .. } => f.write_str("VerifyPassword"),
        }
    }
}

/// What a helper process is for. One that has decoded bytes from a network never sees a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pictures,
    Passwords,
}

impl Kind {
    /// The argument that the helper is started with.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Pictures => "pictures",
            Kind::Passwords => "passwords",
        }
    }

    /// The reverse of [`Self::as_str`].
    pub fn from_word(word: &str) -> Option<Kind> {
        [Kind::Pictures, Kind::Passwords]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// What it answers.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// A JPEG (JFIF, BT.601 in full range), at most [`MAX_JPEG_BYTES`].
    Picture(Vec<u8>),
    /// A PHC string, for the database.
    Hash(Secret),
    /// Whether it is the password of that hash.
    Verified(bool),
}

impl std::fmt::Debug for Reply {
    /// Without the picture's bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reply::Picture(jpeg) => write!(f, "Picture({} bytes)", jpeg.len()),
            Reply::Hash(_) => f.write_str("Hash"),
            Reply::Verified(right) => write!(f, "Verified({right})"),
        }
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too many requests wait. Ask again later.
    #[error("too many pictures and passwords wait")]
    Busy,
    /// This build or this machine cannot do it, now or later.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The sample, its avcC or the picture in it is larger than the limits above.
    #[error("the picture is too large")]
    TooLarge,
    /// There is no whole key frame in the sample, or its avcC is none.
    #[error("the picture cannot be decoded: {0}")]
    Undecodable(Fault),
    /// The JPEG would be longer than [`MAX_JPEG_BYTES`], or the encoder refused.
    #[error("the picture cannot be encoded")]
    Unencodable,
    /// The password to be hashed is none that is taken.
    #[error("{0}")]
    Unfit(Unfit),
    /// The stored hash is none: the database is damaged.
    #[error("the stored password hash cannot be read")]
    BadHash,
    /// The helper was not done in time and was killed.
    #[error("not done within {0} s")]
    TimedOut(u64),
    /// The helper ended over this request.
    #[error("the helper failed: {0}")]
    Crashed(String),
    /// There is no helper: it could not be started, or it failed and may not start again yet.
    #[error("no helper now: {0}")]
    Unavailable(String),
}

/// What is wrong with a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("its parameter sets make no sense")]
    Parameters,
    #[error("there is no key frame in it")]
    NoPicture,
    #[error("it is damaged")]
    Damaged,
}
