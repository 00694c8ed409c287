//! The session with one camera. See [`Client`].

use super::error::Error;
use crate::config::Secret;
use crate::time::Monotonic;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use url::Url;

/// How long each request waits for its reply before the session is given up.
pub const STEP_LIMIT: Duration = Duration::from_secs(10);
/// How long the first video packet is waited for once the session plays: cameras take seconds.
pub const FIRST_PACKET_LIMIT: Duration = Duration::from_secs(20);
/// No video packet for so long while playing: [`Error::Stalled`].
pub const STALL_LIMIT: Duration = Duration::from_secs(10);
/// How long [`Client::teardown`] waits for the camera's reply.
pub const TEARDOWN_LIMIT: Duration = Duration::from_secs(1);

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

/// What the client wants done, or has to tell. Drained by [`Client::poll_output`].
#[derive(Clone, PartialEq, Eq)]
pub enum Output {
    /// Bytes for the connection.
    Send(Vec<u8>),
    /// Bind two UDP sockets, on an even port and the odd one above; answer with
    /// [`Client::udp_bound`] or [`Client::udp_failed`].
    BindUdp,
    /// The video track is chosen. Comes once, before any packet is handed over (a packet may come
    /// before [`Output::Playing`], though).
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
    /// After [`Client::teardown`]: answered, not needed, or its limit is over. Close the connection.
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

/// A session with one camera on one connection, from the first request to the teardown.
///
/// After each call drain [`Client::poll_output`] and ask [`Client::next_timeout`]. After an error
/// the session is over: take what outputs are left, call [`Client::teardown`] so that the camera
/// frees the session, and close the connection on [`Output::Ended`].
pub struct Client {
    cfg: ClientConfig,
    outputs: std::collections::VecDeque<Output>,
    counters: Counters,
}

impl Client {
    /// Begins a session on a connection that is just made. The first request waits as output.
    pub fn new(cfg: ClientConfig, _now: Monotonic) -> Client {
        Client {
            cfg,
            outputs: Default::default(),
            counters: Counters::default(),
        }
    }

    /// Takes all of `bytes` and hands over each packet of the video track, in order. Packets are
    /// lent out of `bytes` where they lie whole in it.
    pub fn receive<F: FnMut(Packet<'_>)>(
        &mut self,
        _now: Monotonic,
        _bytes: &[u8],
        _on_packet: F,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// The next thing to be done or known.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Client::handle_timeout`] wants to be called.
    pub fn next_timeout(&self) -> Option<Monotonic> {
        None
    }

    /// Time has passed. Harmless when called early.
    pub fn handle_timeout(&mut self, _now: Monotonic) -> Result<(), Error> {
        Ok(())
    }

    /// The answer to [`Output::BindUdp`]: bound on `rtp_port` (even) and the port above it.
    pub fn udp_bound(&mut self, _now: Monotonic, _rtp_port: u16) {}

    /// The answer to [`Output::BindUdp`]: not possible. Goes on with interleaved packets.
    pub fn udp_failed(&mut self, _now: Monotonic) {}

    /// A video RTP packet came over UDP, which the client does not see: holds off
    /// [`Error::Stalled`].
    pub fn udp_rtp_received(&mut self, _now: Monotonic) {}

    /// Ends the session in good order: sends TEARDOWN if there is one, and [`Output::Ended`] when it
    /// is answered or [`TEARDOWN_LIMIT`] is over. Works after an error too.
    pub fn teardown(&mut self, _now: Monotonic) {
        self.outputs.push_back(Output::Ended);
    }

    /// The camera has agreed to play and the session is not over.
    pub fn is_playing(&self) -> bool {
        false
    }

    /// Sends an RTCP packet on the interleaved channel. Dropped where there is none (over UDP the
    /// caller sends it).
    pub fn send_rtcp(&mut self, _bytes: &[u8]) {}

    /// A session that was not torn down lives on until then, at a server known to send to a
    /// connection's successor what belongs to the old session (live555 before June 2017, over
    /// interleaved TCP). Connect again after it. `None`: no need to wait.
    pub fn stale_until(&self) -> Option<Monotonic> {
        None
    }

    /// What was passed over so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The URL of the session, without its user part; for messages.
    pub fn url(&self) -> &Url {
        &self.cfg.url
    }
}
