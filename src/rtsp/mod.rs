//! RTSP 1.0 (RFC 2326), the client's side, without I/O: bytes, the time and answers go in; requests,
//! packets and facts come out.
//!
//! [`Client`] is one session with one camera on one connection; whoever owns the connection owns it.
//! It is strict in what it sends and forgiving in what it takes: each kindness has a test named
//! after what was seen (`tests/`). [`message`] and [`framer`] serve a server just as well.
//!
//! What it refuses: anything but one H.264 video track, RTSP over TLS or HTTP, RTSP 2.0, SRTP,
//! multicast, and a stream whose framing is lost (reconnecting is quicker and safer than guessing).
//! It never opens a socket, waits, asks for entropy, or puts a password into an error or a `Debug`.

mod auth;
mod client;
mod error;
pub mod framer;
pub mod headers;
pub mod message;
mod port;
pub mod sdp;
mod url;

pub use auth::{Algorithm, DigestInput, KeptChallenge, digest_response};
pub(crate) use auth::{Authenticator, Challenged};
pub use client::{Client, FIRST_PACKET_LIMIT, STALL_LIMIT, STEP_LIMIT, TEARDOWN_LIMIT};
pub use error::{Blame, Error, Method};
pub use port::{
    ClientConfig, Counters, Output, Packet, PacketKind, UdpTransport, VideoDescription,
};

#[cfg(test)]
mod tests;
