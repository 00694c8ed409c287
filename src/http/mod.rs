//! HTTP/1.1 (RFC 9112), the server's side, without I/O: bytes and the time go in, requests come out;
//! a response goes in, bytes come out.
//!
//! It knows nothing of cameras and recordings. What it refuses: bodies (no request here has one), heads
//! past their limits, HTTP before 1.0 and after 1.1, and anything two readers could understand
//! differently.

pub mod connection;
pub mod response;

pub use connection::{Connection, Method, Request};
pub use response::{Response, Status};
