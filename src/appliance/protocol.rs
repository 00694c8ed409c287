//! What the recorder asks of the steward, the process that does for it what needs root.
//!
//! A connection carries one request and its answer. Both are a frame of JSON: its length as four bytes,
//! the most significant first, then so many bytes. Behind a request that brings bytes (a piece of an
//! update) comes a second frame with these.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::io::{self, Read, Write};

/// Where the steward listens.
pub const SOCKET: &str = "/run/moonfire-nvr-steward.sock";

/// The longest frame, in bytes: an answer that lists everything takes a few thousand.
pub const MAX_FRAME_BYTES: usize = 256 << 10;

/// The most bytes that a request may bring.
pub const MAX_PIECE_BYTES: usize = 128 << 10;

/// A request. Who sends it has been found to be allowed to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "camelCase", deny_unknown_fields)]
pub enum Request {
    /// How the machine fares and is set up.
    State,
    Disks,
    /// How far the job that is under way has got, or how the last one ended.
    Job,
    /// Makes a file system on all of a disk, once `confirm` is what the list told of it, and mounts it.
    Format {
        disk: String,
        confirm: String,
    },
    Mount {
        disk: String,
    },
    Unmount {
        disk: String,
    },
    /// Changes settings; `null` is the default again.
    Change {
        settings: Map<String, Value>,
    },
    Power {
        action: Power,
    },
    /// A bundle begins, of so many bytes.
    UpdateBegin {
        bytes: u64,
    },
    /// More of it: brings bytes.
    UpdatePiece,
    /// All of it has come.
    UpdateEnd,
    /// A bundle from a stick, as the state names it.
    Install {
        file: String,
    },
    /// Boots what was written; these cameras are recorded now.
    StartUpdate {
        cameras: Vec<String>,
    },
    /// Whether this start is on trial, and which cameras have to be recorded.
    Trial,
    /// The trial went well.
    MarkGood,
    /// It did not: back to the version before.
    FallBack {
        why: String,
    },
    Reset {
        confirm: String,
        recordings: bool,
    },
    /// What the lamp shows.
    Lamp {
        pattern: Lamp,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Power {
    Reboot,
    PowerOff,
}

/// What the board's lamp shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lamp {
    /// A short flash every two seconds: every camera is recorded.
    Recording,
    /// Slow blinking: there is no disk.
    NoDisk,
    /// Fast blinking: something does not work.
    Fault,
    /// Steady: nothing is to be recorded.
    Idle,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub kind: RefusalKind,
    /// A sentence for people.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusalKind {
    /// It makes no sense.
    Bad,
    NotFound,
    /// It does not go together with what there is.
    Conflict,
    /// It could not be done.
    Failed,
    /// The steward does not answer.
    Away,
    /// This machine is no appliance.
    NoAppliance,
}

impl Refusal {
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Refusal {
        Refusal {
            kind,
            message: message.into(),
        }
    }
}

/// An answer: what an administrator's page is told, as it is.
pub type Answer = Result<Value, Refusal>;

/// Writes a frame.
pub fn write_frame(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len())
        .ok()
        .filter(|n| *n as usize <= MAX_FRAME_BYTES);
    let len = len.ok_or_else(|| io::Error::other("a frame that is too long"))?;
    to.write_all(&len.to_be_bytes())?;
    to.write_all(bytes)?;
    to.flush()
}

/// Reads a frame of at most `most` bytes.
pub fn read_frame(from: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u32::from_be_bytes(len) as usize;
    if len > most {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a frame that is too long",
        ));
    }
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_written_and_nothing_else_is() {
        let request = Request::Format {
            disk: "sda".to_owned(),
            confirm: "WD 1".to_owned(),
        };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"what":"format","disk":"sda","confirm":"WD 1"}"#);
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        for bad in [
            r#"{"what":"shell"}"#,
            r#"{"what":"mount","disk":"a","and":1}"#,
            r#"{"what":"mount"}"#,
            "[]",
        ] {
            assert!(serde_json::from_str::<Request>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn frames_are_bounded_and_whole() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, b"hello").unwrap();
        assert_eq!(read_frame(&mut &bytes[..], 5).unwrap(), b"hello");
        assert!(read_frame(&mut &bytes[..], 4).is_err());
        assert!(read_frame(&mut &bytes[..7], 5).is_err());
        let huge = u32::MAX.to_be_bytes();
        assert!(read_frame(&mut &huge[..], MAX_FRAME_BYTES).is_err());
        assert!(write_frame(&mut Vec::new(), &vec![0; MAX_FRAME_BYTES + 1]).is_err());
    }
}
