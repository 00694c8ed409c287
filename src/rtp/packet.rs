//! RTP packets (RFC 3550 section 5.1), and what can be wrong with one.

use crate::h264::ParameterSetError;
use rtp_types::{RtpPacket, RtpParseError};

/// What was wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("packet {sequence} of SSRC {ssrc:08x}, byte {offset}: {kind}")]
pub struct PacketError {
    /// 0 where the packet does not reach that far.
    pub ssrc: u32,
    /// 0 where the packet does not reach that far, and for RTCP.
    pub sequence: u16,
    /// Where in the packet, in bytes from its start.
    pub offset: u32,
    pub kind: PacketErrorKind,
}

/// The kinds of [`PacketError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketErrorKind {
    #[error("cut short: {have} bytes of {need}")]
    Truncated { need: u32, have: u32 },
    #[error("version {0} of RTP")]
    Version(u8),
    #[error("bad padding")]
    Padding,
    /// Another kind of media, or something that the SDP did not announce.
    #[error("payload type {0} is not the stream's")]
    PayloadType(u8),
    /// Somebody else's packet; taken for the stream's if more come (UDP).
    #[error("SSRC is not the stream's")]
    ForeignSsrc,
    /// Far from those before it; taken for a new start if more come (UDP).
    #[error("sequence number is far off")]
    ForeignSequence,
    /// RFC 6184 section 5.2, Table 1: reserved, or of a mode that was not negotiated.
    #[error("packet type {0} is not supported")]
    PacketType(u8),
    /// A STAP-A's NAL unit ends behind the packet's end.
    #[error("aggregated NAL unit of {need} bytes, {have} are there")]
    Aggregate { need: u16, have: u32 },
    #[error("fragment without a header")]
    FragmentHeader,
    /// A parameter set that cannot be read. What was known before stays.
    #[error(transparent)]
    ParameterSet(ParameterSetError),
    #[error("access unit of more than {} bytes", super::MAX_ACCESS_UNIT_BYTES)]
    AccessUnitTooLarge,
    /// More access units in one packet than are queued: the last ones are dropped.
    #[error("more access units than are queued")]
    QueueFull,
    /// RTCP: not a packet of version 2 with a length that makes sense.
    #[error("bad RTCP header")]
    RtcpHeader,
}

/// What is wrong in the middle of a packet: where, in bytes, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub offset: usize,
    pub kind: PacketErrorKind,
}

/// An RTP packet's fields. The payload is without padding; CSRCs and extensions are passed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: &'a [u8],
    /// Where the payload begins.
    pub payload_offset: usize,
}

impl<'a> Packet<'a> {
    pub fn parse(data: &'a [u8]) -> Result<Packet<'a>, PacketError> {
        let p = match RtpPacket::parse(data) {
            Ok(p) => p,
            Err(e) => return Err(header_error(data, &e)),
        };
        let payload_offset = p.payload_offset();
        Ok(Packet {
            marker: p.marker_bit(),
            payload_type: p.payload_type(),
            sequence: p.sequence_number(),
            timestamp: p.timestamp(),
            ssrc: p.ssrc(),
            payload: &data[payload_offset..payload_offset + p.payload_len()],
            payload_offset,
        })
    }

    pub fn error(&self, offset: usize, kind: PacketErrorKind) -> PacketError {
        PacketError {
            ssrc: self.ssrc,
            sequence: self.sequence,
            offset: offset as u32,
            kind,
        }
    }
}

#[cold]
fn header_error(data: &[u8], e: &RtpParseError) -> PacketError {
    let (offset, kind) = match *e {
        RtpParseError::UnsupportedVersion(v) => (0, PacketErrorKind::Version(v)),
        // The last byte says how many are padding.
        RtpParseError::PaddingInvalid(_) => (data.len() - 1, PacketErrorKind::Padding),
        RtpParseError::Truncated { expected, actual } => (
            data.len(),
            PacketErrorKind::Truncated {
                need: expected as u32,
                have: actual as u32,
            },
        ),
    };
    let word = |at: usize| {
        data.get(at..at + 4)
            .map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    };
    PacketError {
        ssrc: word(8),
        sequence: word(0) as u16,
        offset: offset as u32,
        kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [u8; 12] = [0x80, 0xe0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut p = HEADER.to_vec();
        p[0] = first;
        p.extend_from_slice(rest);
        p
    }

    #[test]
    fn fields() {
        let data = packet(0x80, b"payload");
        let p = Packet::parse(&data).unwrap();
        assert!(p.marker);
        assert_eq!(p.payload_type, 96);
        assert_eq!(p.sequence, 0x0102);
        assert_eq!(p.timestamp, 0x0304_0506);
        assert_eq!(p.ssrc, 0x0708_090a);
        assert_eq!((p.payload, p.payload_offset), (&b"payload"[..], 12));
    }

    #[test]
    fn padding_extensions_and_csrcs_are_not_payload() {
        let padded = packet(0xa0, b"payload\0\0\x03");
        assert_eq!(Packet::parse(&padded).unwrap().payload, b"payload");
        let extended = packet(0x90, b"\xbe\xde\0\x01abcdpayload");
        assert_eq!(Packet::parse(&extended).unwrap().payload, b"payload");
        let mixed = packet(0x82, b"aaaabbbbpayload");
        assert_eq!(Packet::parse(&mixed).unwrap().payload, b"payload");
        let all = packet(0xb1, b"aaaa\xbe\xde\0\x01abcdpayload\0\x02");
        let p = Packet::parse(&all).unwrap();
        assert_eq!((p.payload, p.payload_offset), (&b"payload"[..], 24));
        let nothing = packet(0xa0, b"\x01");
        assert_eq!(Packet::parse(&nothing).unwrap().payload, b"");
    }

    #[test]
    fn headers_that_do_not_fit_are_errors_with_a_position() {
        for (data, offset, kind) in [
            (
                HEADER[..11].to_vec(),
                11,
                PacketErrorKind::Truncated { need: 12, have: 11 },
            ),
            (packet(0x40, b"x"), 0, PacketErrorKind::Version(1)),
            (packet(0xa0, b"abc\0"), 15, PacketErrorKind::Padding),
            (
                packet(0xa0, b"abc\x05"),
                16,
                PacketErrorKind::Truncated { need: 17, have: 16 },
            ),
            (
                packet(0x90, b"\0\0\0\x02abcd"),
                20,
                PacketErrorKind::Truncated { need: 24, have: 20 },
            ),
        ] {
            let e = Packet::parse(&data).unwrap_err();
            assert_eq!((e.offset, e.kind, e.sequence), (offset, kind, 0x0102));
        }
        let e = Packet::parse(&[]).unwrap_err();
        assert_eq!((e.ssrc, e.sequence), (0, 0));
    }
}
