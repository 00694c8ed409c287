//! RTP and RTCP (RFC 3550) and H.264 over them (RFC 6184), for receiving only and without I/O.
//!
//! A [`Receiver`] belongs to one stream of one camera. Packets go in with the time at which they
//! came, access units in AVC form come out, written once, straight into the stream's write buffer.
//! It takes what cameras really send (each quirk has a test named after it) and refuses nothing for
//! good: a packet that cannot be used is an error about that packet alone.
//!
//! What it does not do: sockets, the time of day, entropy, encryption (SRTP), retransmission
//! (RFC 4588), interleaved packetization (RFC 6184 section 5.2, mode 2), and codecs other than H.264.

mod depacketize;
mod packet;
mod receiver;
mod reorder;
mod rtcp;
#[cfg(test)]
mod tests;
mod timeline;

pub use depacketize::{AccessUnit, MAX_ACCESS_UNIT_BYTES};
pub use packet::{PacketError, PacketErrorKind};
pub use receiver::{Receiver, ReceiverConfig, Stats};
pub use rtcp::SenderReport;
