//! What goes into a session and what comes out of it.

use crate::config::Secret;
use std::fmt;
use std::net::IpAddr;
use url::Url;

/// What a session needs to know.
#[derive(Clone)]
pub struct ClientConfig {
    /// `rtsp://host[:port]/...`. A user part is not used and never sent.
    pub url: Url,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Ask for UDP first; a camera that refuses is asked for interleaved packets.
    pub udp: bool,
    /// The `User-Agent`.
    pub user_agent: String,
    /// Where the client nonces of Digest authentication come from; another one for each session.
    pub seed: u64,
}

/// What kind of packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    Rtp,
    Rtcp,
}

/// An interleaved packet of the chosen video track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub kind: PacketKind,
    pub bytes: &'a [u8],
}

/// The video track that was chosen, as the camera describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoDescription {
    /// RTP payload type.
    pub payload_type: u8,
    /// RTP clock in Hz; 90,000 where the camera says nothing that makes sense.
    pub clock_rate: u32,
    /// The encoding name in upper case: `H264`.
    pub codec: String,
    /// As it stands in the description: base64 with commas, possibly wrong (RFC 6184 section 8.1).
    pub sprop_parameter_sets: Option<String>,
}

/// Where a camera sends from over UDP; anything may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpTransport {
    pub server_rtp_port: Option<u16>,
    pub server_rtcp_port: Option<u16>,
    /// The address it sends from, if it says so; else that of the connection.
    pub source: Option<IpAddr>,
}

/// What the client wants done, or has to tell. Drained by [`Client::poll_output`](super::Client::poll_output).
#[derive(Clone, PartialEq, Eq)]
pub enum Output {
    /// Bytes for the connection.
    Send(Vec<u8>),
    /// Bind two UDP sockets, on an even port and the odd one above; answer with
    /// [`Client::udp_bound`](super::Client::udp_bound) or [`Client::udp_failed`](super::Client::udp_failed).
    BindUdp,
    /// The video track is chosen. Comes before any packet is handed over (a packet may come before
    /// [`Output::Playing`], though); a second time only if the camera changes its mind before that.
    Video(VideoDescription),
    /// The camera plays. Each number is a hint: cameras lie.
    Playing {
        ssrc: Option<u32>,
        /// The first packet's sequence number (`RTP-Info`).
        first_seq: Option<u16>,
        /// The RTP time at the start of play (`RTP-Info`).
        first_rtptime: Option<u32>,
        /// Packets come by UDP (else interleaved).
        udp: Option<UdpTransport>,
    },
    /// After [`Client::teardown`](super::Client::teardown): answered, not needed, or its limit is over. Close the connection.
    Ended,
}

impl fmt::Debug for Output {
    /// Leaves out the bytes to be sent: they may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Send(bytes) => write!(f, "Send({} bytes)", bytes.len()),
            Output::BindUdp => f.write_str("BindUdp"),
            Output::Video(video) => f.debug_tuple("Video").field(video).finish(),
            Output::Playing {
                ssrc,
                first_seq,
                first_rtptime,
                udp,
            } => f
                .debug_struct("Playing")
                .field("ssrc", ssrc)
                .field("first_seq", first_seq)
                .field("first_rtptime", first_rtptime)
                .field("udp", udp)
                .finish(),
            Output::Ended => f.write_str("Ended"),
        }
    }
}

/// What was passed over, for statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets on channels that are not the video's, or before there was a video channel.
    pub other_packets: u64,
    /// Replies that nobody waits for.
    pub stray_replies: u64,
    /// Requests of the camera that got no reply, because too many came at once.
    pub dropped_requests: u64,
}
