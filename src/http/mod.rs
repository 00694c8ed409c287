//! HTTP/1.1 (RFC 9110 and 9112) and WebSocket (RFC 6455), the server's side (and a small client, [`client`]), without I/O: bytes and the
//! time go in, requests come out; a response goes in, bytes come out.
//!
//! [`Connection`] owns what came on one socket until it is a whole [`Request`]. Everything else is
//! about one request ([`origin`], [`ranges`], [`websocket::Handshake`]) or one response
//! ([`ResponseHead`], [`Response`], [`cookie`]), but [`websocket::Endpoint`], which takes the connection's
//! place after an upgrade.
//!
//! It knows nothing of cameras and recordings, and streams no body itself: the caller does. What it
//! refuses: heads and bodies past their limits, HTTP before 1.0 and after 1.1, and anything that two
//! readers could understand differently.

mod body;
pub mod client;
pub mod connection;
pub mod cookie;
mod head;
pub mod origin;
pub mod ranges;
pub mod request;
pub mod response;
pub mod websocket;

pub use body::BODY_BYTES;
pub use client::{ClientError, ClientRequest, ClientResponse, ResponseReader};
pub use connection::{Connection, Step};
pub use head::{HEAD_BYTES, HEADERS, TARGET_BYTES};
pub use request::{Headers, Method, PathError, Request};
pub use response::{BodySize, Caching, Response, ResponseHead, Status};
