//! What can end a session, and who is to blame.

use std::fmt;
use url::Url;

/// A request's method, also the name of the step that waits for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Options,
    Describe,
    Setup,
    Play,
    GetParameter,
    SetParameter,
    Teardown,
}

impl Method {
    /// As it is written in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Options => "OPTIONS",
            Method::Describe => "DESCRIBE",
            Method::Setup => "SETUP",
            Method::Play => "PLAY",
            Method::GetParameter => "GET_PARAMETER",
            Method::SetParameter => "SET_PARAMETER",
            Method::Teardown => "TEARDOWN",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose move it is to mend an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The camera broke the protocol, refused, or went silent with the connection open.
    Camera,
    /// The user: name and password, or a URL that leads to no video that can be recorded.
    Settings,
    /// Nobody: the camera is to be asked elsewhere, or again.
    Nobody,
}

/// Why a session ended. No text in it holds a password; what a camera said is cut short and cleaned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Name and password were refused, or none were given and some are wanted. Retry slowly: many
    /// cameras lock the account.
    #[error("{}", if *.had_credentials { "the camera refuses this user name and password" } else { "the camera wants a user name and password" })]
    Unauthorized { had_credentials: bool },
    /// The camera asks to be called at another URL (it has no user part).
    #[error("redirected to {0}")]
    Redirect(Url),
    /// The description has no video that can be received; `seen` lists what it has.
    #[error("no video among {seen}")]
    NoVideo { seen: String },
    /// There is video, but not H.264.
    #[error("the video is {name}, not H.264: set the camera to H.264")]
    UnsupportedCodec { name: String },
    /// A request was refused.
    #[error("{method} refused: {code} {reason}")]
    Status {
        method: Method,
        code: u16,
        reason: String,
    },
    /// No reply in [`STEP_LIMIT`](super::STEP_LIMIT).
    #[error("no reply to {step}")]
    Timeout { step: Method },
    /// What came is not RTSP or breaks its rules; `position` counts the bytes received on the
    /// connection up to the message that it is about.
    #[error("{what} (byte {position} of the connection)")]
    Protocol { what: String, position: u64 },
    /// No video packet for so many seconds, with the connection open.
    #[error("no video for {seconds} s")]
    Stalled { seconds: u64 },
    /// More than a limit of ours allows.
    #[error("{what} is longer than {limit} bytes (byte {position} of the connection)")]
    TooLong {
        what: &'static str,
        limit: usize,
        position: u64,
    },
    /// The camera no longer knows the session, or ended it.
    #[error("the camera ended the session")]
    SessionLost,
}

impl Error {
    /// Who is to blame.
    pub fn blame(&self) -> Blame {
        match self {
            Error::Unauthorized { .. } | Error::NoVideo { .. } | Error::UnsupportedCodec { .. } => {
                Blame::Settings
            }
            Error::Status { code: 404, .. } => Blame::Settings,
            Error::Redirect(_) => Blame::Nobody,
            Error::Status { .. }
            | Error::Timeout { .. }
            | Error::Protocol { .. }
            | Error::Stalled { .. }
            | Error::TooLong { .. }
            | Error::SessionLost => Blame::Camera,
        }
    }
}

/// The longest text of a camera that gets into an error, in characters.
const QUOTE_LIMIT: usize = 80;

/// What a camera said, fit for a log line: no control characters, cut at [`QUOTE_LIMIT`].
pub(super) fn quote(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut out: String = clean.clone().take(QUOTE_LIMIT).collect();
    if clean.count() > QUOTE_LIMIT {
        out.push('…');
    }
    out.trim().to_owned()
}
