//! One stream's connection to its camera: resolve, connect, RTSP, RTP; and when to try again.
//!
//! What comes in goes to a [`Sink`], most often the stream's recorder. The session knows nothing of disks; it ends with a
//! [`Lost`], which says whose fault it was, and starts anew after a while.

use super::Cx;
use super::backoff::{Backoff, Failure};
use super::outbox::Owner;
use super::port::{Action, ConnId, LookupId, SocketError};
use super::sink::Sink;
use crate::config::Transport;
use crate::db;
use crate::recording::GapCause;
use crate::rtp::{Receiver, ReceiverConfig, SenderReport};
use crate::rtsp::{
    Client, ClientConfig, Error as RtspError, KeptChallenge, Output, Packet, PacketKind,
    UdpTransport,
};
use crate::time::Monotonic;
use rand_core::RngCore;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use url::Url;

/// How long a name may take to resolve.
const RESOLVE_LIMIT: Duration = Duration::from_secs(15);
/// How long each address may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How many addresses of a name are tried before waiting.
const ADDRESSES: usize = 4;
/// How many redirects in a row are followed.
const REDIRECTS: u8 = 5;
/// A connection whose video was recorded for so long was a good one: when it is lost, the camera is
/// asked again at once. One that breaks off sooner, each time, is asked less and less often.
pub const WELL_AFTER: Duration = Duration::from_secs(5);
/// How often a receiver report goes to a camera that sends by UDP; it also keeps firewalls open.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// The port of an RTSP URL that names none (RFC 2326 section 3.2).
const RTSP_PORT: u16 = 554;

/// Why a stream stopped, or could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub cause: GapCause,
    pub reason: String,
    pub failure: Failure,
    pub trouble: Trouble,
}

/// What a failure is about, for those who set a camera up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The name in its URL has no address.
    Name,
    /// No connection could be made.
    Connect(SocketError),
    /// It wants another name and password, or some at all.
    Password,
    /// It said something that cannot be gone on with.
    Rtsp(RtspError),
    /// The connection broke off.
    Connection,
}

impl Lost {
    fn network(reason: String, trouble: Trouble) -> Lost {
        Lost {
            cause: GapCause::Network,
            reason,
            failure: Failure::Passing,
            trouble,
        }
    }

    fn camera(reason: String) -> Lost {
        Lost {
            cause: GapCause::Camera,
            reason,
            failure: Failure::Passing,
            trouble: Trouble::Connection,
        }
    }
}

/// Where to and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub url: Url,
    pub username: String,
    pub password: crate::config::Secret,
    pub transport: Transport,
}

impl Target {
    /// What the database says of a stream; an unusable URL is told in words.
    pub fn new(camera: &db::Camera, stream: &db::Stream) -> Result<Target, String> {
        let url = Url::parse(&stream.url).map_err(|e| format!("its URL is no URL: {e}"))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err("its URL names no host".to_owned());
        }
        Ok(Target {
            url,
            username: camera.username.clone(),
            password: camera.password.clone(),
            transport: stream.transport,
        })
    }
}

/// How far the session has got.
enum Phase {
    /// Not wanted.
    Off,
    /// Waiting to try again.
    Waiting { until: Monotonic },
    /// The camera's name is being resolved.
    Resolving {
        lookup: LookupId,
        deadline: Monotonic,
    },
    /// A TCP connection is being made; `rest` are the addresses to try after this one.
    Connecting {
        conn: ConnId,
        peer: IpAddr,
        rest: VecDeque<IpAddr>,
        deadline: Monotonic,
    },
    /// Speaking RTSP; once the camera plays, packets come.
    Open(Box<Open>),
    /// Good-bye was said; its answer is awaited within the client's own limit.
    Closing(Box<Open>),
}

/// An open connection.
struct Open {
    conn: ConnId,
    peer: IpAddr,
    client: Client,
    receiver: Option<Receiver>,
    udp: Option<Udp>,
    playing: bool,
    /// When it began to.
    playing_since: Monotonic,
    /// It began with the answer to a challenge of the connection before.
    answering: bool,
}

/// The sockets of a stream that comes by UDP.
struct Udp {
    rtp: ConnId,
    rtcp: ConnId,
    /// Where the camera sends from, once it has said so.
    rtp_to: Option<SocketAddr>,
    rtcp_to: Option<SocketAddr>,
    next_report: Monotonic,
}

/// See the module.
pub struct Session {
    owner: Owner,
    target: Target,
    phase: Phase,
    backoff: Backoff,
    redirected: Option<Url>,
    redirects: u8,
    /// What this connection brings is recorded since then.
    records_since: Option<Monotonic>,
    /// What the next connection has to answer, of a camera that closes one after each refusal.
    challenge: Option<KeptChallenge>,
}

impl Session {
    pub fn new(owner: Owner, target: Target) -> Session {
        Session {
            owner,
            target,
            phase: Phase::Off,
            backoff: Backoff::default(),
            redirected: None,
            redirects: 0,
            records_since: None,
            challenge: None,
        }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What it is doing, in a word or two for people.
    pub fn state(&self) -> &'static str {
        match &self.phase {
            Phase::Off => "off",
            Phase::Waiting { .. } => "waiting to try again",
            Phase::Resolving { .. } => "resolving its name",
            Phase::Connecting { .. } => "connecting",
            Phase::Open(o) if o.playing => "receiving",
            Phase::Open(_) => "asking for the stream",
            Phase::Closing(_) => "closing",
        }
    }

    /// Since when the camera has agreed to send.
    pub fn playing_since(&self) -> Option<Monotonic> {
        match &self.phase {
            Phase::Open(open) if open.playing => Some(open.playing_since),
            _ => None,
        }
    }

    /// The camera has agreed to send; how it does, and its last word about its clock.
    pub fn playing(&self) -> Option<(Transport, Option<&SenderReport>)> {
        match &self.phase {
            Phase::Open(open) if open.playing => {
                let transport = match open.udp {
                    Some(_) => Transport::Udp,
                    None => Transport::Tcp,
                };
                let report = open.receiver.as_ref().and_then(Receiver::sender_report);
                Some((transport, report))
            }
            _ => None,
        }
    }

    pub fn is_off(&self) -> bool {
        matches!(self.phase, Phase::Off)
    }

    /// Begins, after a short wait of up to `spread`, so that not all cameras are asked at once.
    pub fn start_within(&mut self, cx: &mut Cx<'_>, spread: Duration) {
        if self.is_off() {
            let wait = spread / 1000 * (cx.rng.next_u32() % 1000);
            self.phase = Phase::Waiting {
                until: cx.now.monotonic + wait,
            };
        }
    }

    /// Ends in good order: says good-bye where there is a connection.
    pub fn stop(&mut self, cx: &mut Cx<'_>) {
        match std::mem::replace(&mut self.phase, Phase::Off) {
            Phase::Open(mut open) => {
                open.close_udp(cx);
                open.client.teardown(cx.now.monotonic);
                self.phase = Phase::Closing(open);
                // Nothing but the good-bye itself can come of this; a failure ends the session too.
                let _ = self.drain_client(cx);
            }
            closing @ Phase::Closing(_) => self.phase = closing,
            Phase::Connecting { conn, .. } => cx.out.close(conn, false),
            Phase::Off | Phase::Waiting { .. } | Phase::Resolving { .. } => {}
        }
    }

    /// Ends at once, with a good-bye that nobody waits to be answered.
    pub fn hang_up(&mut self, cx: &mut Cx<'_>) {
        self.stop(cx);
        if let Phase::Closing(open) = std::mem::replace(&mut self.phase, Phase::Off) {
            cx.out.close(open.conn, true);
        }
    }

    /// When [`Self::handle_timeout`] is to be called next.
    pub fn next_timeout(&self) -> Option<Monotonic> {
        match &self.phase {
            Phase::Off => None,
            Phase::Waiting { until } => Some(*until),
            Phase::Resolving { deadline, .. } | Phase::Connecting { deadline, .. } => {
                Some(*deadline)
            }
            Phase::Open(o) => {
                let report = o
                    .udp
                    .as_ref()
                    .filter(|u| u.rtcp_to.is_some())
                    .map(|u| u.next_report);
                let reorder = o.receiver.as_ref().and_then(Receiver::next_timeout);
                [o.client.next_timeout(), report, reorder]
                    .into_iter()
                    .flatten()
                    .min()
            }
            Phase::Closing(o) => o.client.next_timeout(),
        }
    }

    pub fn handle_timeout(&mut self, cx: &mut Cx<'_>, sink: &mut impl Sink) -> Result<(), Lost> {
        if self.next_timeout().is_none_or(|t| cx.now.monotonic < t) {
            return Ok(());
        }
        match &mut self.phase {
            Phase::Off => Ok(()),
            Phase::Waiting { .. } => {
                self.resolve(cx);
                Ok(())
            }
            Phase::Resolving { .. } => Err(self.fail(
                cx,
                Lost::network(
                    "its name could not be resolved in time".into(),
                    Trouble::Name,
                ),
            )),
            Phase::Connecting { conn, .. } => {
                cx.out.close(*conn, false);
                self.next_address(cx, &SocketError::TimedOut)
            }
            Phase::Open(open) => {
                open.report(cx);
                if let Some(receiver) = &mut open.receiver {
                    receiver.handle_timeout(cx.now.monotonic, sink.buffer(cx.buffers));
                    while let Some(unit) = receiver.pull() {
                        sink.access_unit(cx, unit);
                    }
                    sink.received(cx);
                }
                let result = open.client.handle_timeout(cx.now.monotonic);
                self.after_client(cx, result)
            }
            Phase::Closing(open) => {
                let result = open.client.handle_timeout(cx.now.monotonic);
                self.after_client(cx, result)
            }
        }
    }

    pub fn resolved(
        &mut self,
        cx: &mut Cx<'_>,
        lookup: LookupId,
        result: Result<Vec<IpAddr>, String>,
    ) -> Result<(), Lost> {
        match self.phase {
            Phase::Resolving { lookup: ours, .. } if ours == lookup => {}
            _ => return Ok(()),
        }
        match result {
            Ok(addresses) => self.connect(cx, addresses.into_iter().take(ADDRESSES).collect()),
            Err(e) => Err(self.fail(
                cx,
                Lost::network(
                    format!("its name could not be resolved: {e}"),
                    Trouble::Name,
                ),
            )),
        }
    }

    pub fn connected(&mut self, cx: &mut Cx<'_>, conn: ConnId) -> Result<(), Lost> {
        let peer = match self.phase {
            Phase::Connecting {
                conn: ours, peer, ..
            } if ours == conn => peer,
            _ => return Ok(()),
        };
        self.records_since = None;
        let challenge = self.challenge.take();
        let answering = challenge.is_some();
        let client = Client::answering(
            ClientConfig {
                url: self
                    .redirected
                    .clone()
                    .unwrap_or_else(|| self.target.url.clone()),
                username: Some(self.target.username.clone()).filter(|u| !u.is_empty()),
                password: Some(self.target.password.clone()).filter(|p| !p.0.is_empty()),
                udp: self.target.transport == Transport::Udp,
                user_agent: concat!("moonfire-nvr/", env!("CARGO_PKG_VERSION")).to_owned(),
                seed: cx.rng.next_u64(),
            },
            challenge,
            cx.now.monotonic,
        );
        self.phase = Phase::Open(Box::new(Open {
            conn,
            peer,
            client,
            receiver: None,
            udp: None,
            playing: false,
            playing_since: cx.now.monotonic,
            answering,
        }));
        self.after_client(cx, Ok(()))
    }

    /// Bytes of the RTSP connection: replies and interleaved packets.
    pub fn received(
        &mut self,
        cx: &mut Cx<'_>,
        bytes: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Lost> {
        let result = match &mut self.phase {
            Phase::Open(open) => {
                let receiver = &mut open.receiver;
                open.client
                    .receive(cx.now.monotonic, bytes, |packet: Packet<'_>| {
                        let Some(receiver) = receiver else { return };
                        match packet.kind {
                            PacketKind::Rtp => {
                                // A bad packet is counted by the receiver and costs nothing else.
                                let _ = receiver.push(
                                    cx.now.monotonic,
                                    packet.bytes,
                                    sink.buffer(cx.buffers),
                                );
                                while let Some(unit) = receiver.pull() {
                                    sink.access_unit(cx, unit);
                                }
                            }
                            PacketKind::Rtcp => {
                                let _ = receiver.rtcp(cx.now, packet.bytes);
                            }
                        }
                    })
            }
            Phase::Closing(open) => open.client.receive(cx.now.monotonic, bytes, |_| {}),
            _ => return Ok(()),
        };
        sink.received(cx);
        self.after_client(cx, result)
    }

    /// A datagram on one of the UDP sockets.
    pub fn datagram(&mut self, cx: &mut Cx<'_>, conn: ConnId, bytes: &[u8], sink: &mut impl Sink) {
        let Phase::Open(open) = &mut self.phase else {
            return;
        };
        let Some(receiver) = &mut open.receiver else {
            return;
        };
        match &open.udp {
            Some(udp) if udp.rtp == conn => {
                open.client.udp_rtp_received(cx.now.monotonic);
                let buffer = sink.buffer(cx.buffers);
                let _ = receiver.push(cx.now.monotonic, bytes, buffer);
                while let Some(unit) = receiver.pull() {
                    sink.access_unit(cx, unit);
                }
                sink.received(cx);
            }
            Some(udp) if udp.rtcp == conn => {
                let _ = receiver.rtcp(cx.now, bytes);
            }
            _ => {}
        }
    }

    pub fn udp_bound(
        &mut self,
        cx: &mut Cx<'_>,
        rtp: ConnId,
        result: Result<u16, SocketError>,
    ) -> Result<(), Lost> {
        let Phase::Open(open) = &mut self.phase else {
            return Ok(());
        };
        if open.udp.as_ref().is_none_or(|udp| udp.rtp != rtp) {
            return Ok(());
        }
        match result {
            Ok(port) => open.client.udp_bound(cx.now.monotonic, port),
            Err(_) => {
                open.udp = None;
                open.client.udp_failed(cx.now.monotonic);
            }
        }
        self.after_client(cx, Ok(()))
    }

    /// A socket is gone: refused, closed by the camera, or failed.
    pub fn closed(
        &mut self,
        cx: &mut Cx<'_>,
        conn: ConnId,
        reason: Result<(), SocketError>,
    ) -> Result<(), Lost> {
        match &mut self.phase {
            Phase::Connecting { conn: ours, .. } if *ours == conn => {
                let error = reason.err().unwrap_or(SocketError::Reset);
                self.next_address(cx, &error)
            }
            Phase::Open(open) if open.conn == conn => {
                open.close_udp(cx);
                let (playing, answering) = (open.playing, open.answering);
                let challenge = open.client.unanswered_challenge();
                let challenged = challenge.is_some() && !playing;
                if challenged && !answering {
                    self.challenge = challenge;
                    self.resolve(cx);
                    return Ok(());
                }
                self.challenge = challenge.filter(|_| playing);
                let lost = match reason {
                    _ if challenged => Lost {
                        cause: GapCause::Camera,
                        reason: "it refuses this user name and password, and the connection"
                            .to_owned(),
                        failure: Failure::Refused,
                        trouble: Trouble::Password,
                    },
                    Ok(()) => Lost::camera("it closed the connection".to_owned()),
                    Err(SocketError::Reset) => Lost::camera("it reset the connection".to_owned()),
                    Err(e) => {
                        Lost::network(format!("the connection failed: {e}"), Trouble::Connection)
                    }
                };
                let stale = open.client.stale_until();
                self.phase = Phase::Off;
                Err(self.fail_until(cx, lost, stale))
            }
            Phase::Closing(open) if open.conn == conn => {
                self.phase = Phase::Off;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What comes is recorded. Once that has been so for a while, the next failure is the first again.
    pub fn records(&mut self, now: Monotonic) {
        let since = *self.records_since.get_or_insert(now);
        if now.since(since) >= WELL_AFTER {
            self.backoff.succeeded();
            self.redirects = 0;
        }
    }

    fn resolve(&mut self, cx: &mut Cx<'_>) {
        let url = self.redirected.as_ref().unwrap_or(&self.target.url);
        let host = url.host_str().unwrap_or_default();
        // An IPv6 address stands in brackets in a URL.
        let host = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        let lookup = cx.out.lookup(host, self.owner);
        self.phase = Phase::Resolving {
            lookup,
            deadline: cx.now.monotonic + RESOLVE_LIMIT,
        };
    }

    fn connect(&mut self, cx: &mut Cx<'_>, mut rest: VecDeque<IpAddr>) -> Result<(), Lost> {
        let Some(peer) = rest.pop_front() else {
            let lost = Lost::network("its name has no address".to_owned(), Trouble::Name);
            return Err(self.fail(cx, lost));
        };
        let url = self.redirected.as_ref().unwrap_or(&self.target.url);
        let addr = SocketAddr::new(peer, url.port().unwrap_or(RTSP_PORT));
        let conn = cx.out.conn(self.owner);
        cx.out.push(Action::Connect { conn, addr });
        let deadline = cx.now.monotonic + CONNECT_LIMIT;
        self.phase = Phase::Connecting {
            conn,
            peer,
            rest,
            deadline,
        };
        Ok(())
    }

    /// The address being tried has failed: go on with the next, or give up for now.
    fn next_address(&mut self, cx: &mut Cx<'_>, error: &SocketError) -> Result<(), Lost> {
        if let Phase::Connecting { rest, .. } = &mut self.phase {
            if !rest.is_empty() {
                let rest = std::mem::take(rest);
                return self.connect(cx, rest);
            }
        }
        Err(self.fail(
            cx,
            Lost::network(
                format!("it could not be reached: {error}"),
                Trouble::Connect(error.clone()),
            ),
        ))
    }

    /// Sends what the client wants sent and follows it; then looks at `result`.
    fn after_client(&mut self, cx: &mut Cx<'_>, result: Result<(), RtspError>) -> Result<(), Lost> {
        let drained = self.drain_client(cx);
        let Err(error) = result.and(drained) else {
            return Ok(());
        };
        let (mut stale_until, mut receiving) = (None, false);
        match std::mem::replace(&mut self.phase, Phase::Off) {
            Phase::Open(mut open) => {
                stale_until = open.client.stale_until();
                receiving = open.receiver.is_some();
                open.say_goodbye(cx);
            }
            Phase::Closing(open) => {
                cx.out.close(open.conn, true);
                return Ok(());
            }
            _ => {}
        }
        match error {
            RtspError::Redirect(url) if self.redirects < REDIRECTS => {
                self.redirects += 1;
                self.redirected = Some(url);
                self.resolve(cx);
                match receiving {
                    true => Err(Lost::camera("it is to be called elsewhere".to_owned())),
                    false => Ok(()),
                }
            }
            error => {
                let lost = Lost {
                    cause: GapCause::Camera,
                    reason: error.to_string(),
                    failure: match error {
                        RtspError::Unauthorized { .. } => Failure::Refused,
                        _ => Failure::Passing,
                    },
                    trouble: match error {
                        RtspError::Unauthorized { .. } => Trouble::Password,
                        error => Trouble::Rtsp(error),
                    },
                };
                Err(self.fail_until(cx, lost, stale_until))
            }
        }
    }

    fn drain_client(&mut self, cx: &mut Cx<'_>) -> Result<(), RtspError> {
        loop {
            let (Phase::Open(open) | Phase::Closing(open)) = &mut self.phase else {
                return Ok(());
            };
            match open.client.poll_output() {
                None => return Ok(()),
                Some(Output::Send(bytes)) => {
                    cx.out.push(Action::Send {
                        conn: open.conn,
                        bytes,
                    });
                }
                Some(Output::BindUdp) => {
                    let (rtp, rtcp) = (cx.out.conn(self.owner), cx.out.conn(self.owner));
                    cx.out.push(Action::BindUdp {
                        rtp,
                        rtcp,
                        peer: open.peer,
                    });
                    open.udp = Some(Udp {
                        rtp,
                        rtcp,
                        rtp_to: None,
                        rtcp_to: None,
                        next_report: cx.now.monotonic,
                    });
                }
                Some(Output::Video(video)) => {
                    open.receiver = Some(Receiver::new(ReceiverConfig {
                        payload_type: video.payload_type,
                        clock_rate: video.clock_rate,
                        sprop: video.sprop_parameter_sets,
                        ssrc: None,
                        reorder: open.udp.is_some() || self.target.transport == Transport::Udp,
                    }));
                }
                Some(Output::Playing { udp, .. }) => open.playing(cx, udp),
                Some(Output::Ended) => {
                    open.close_udp(cx);
                    cx.out.close(open.conn, true);
                    self.phase = Phase::Off;
                }
            }
        }
    }

    /// Notes the failure and waits before the next try.
    fn fail(&mut self, cx: &mut Cx<'_>, lost: Lost) -> Lost {
        self.fail_until(cx, lost, None)
    }

    /// The same, and at least until the camera has forgotten the session of before.
    fn fail_until(&mut self, cx: &mut Cx<'_>, lost: Lost, stale: Option<Monotonic>) -> Lost {
        // Where it was redirected to may be the trouble.
        self.redirected = None;
        self.redirects = 0;
        let until = cx.now.monotonic + self.backoff.failed(lost.failure, cx.rng);
        self.phase = Phase::Waiting {
            until: stale.map_or(until, |s| s.max(until)),
        };
        lost
    }
}

impl Open {
    /// After an error: the camera is told, lest it keep the session, and nobody waits for its answer.
    fn say_goodbye(&mut self, cx: &mut Cx<'_>) {
        self.close_udp(cx);
        self.client.teardown(cx.now.monotonic);
        while let Some(output) = self.client.poll_output() {
            if let Output::Send(bytes) = output {
                cx.out.push(Action::Send {
                    conn: self.conn,
                    bytes,
                });
            }
        }
        cx.out.close(self.conn, true);
    }

    fn playing(&mut self, cx: &mut Cx<'_>, udp: Option<UdpTransport>) {
        self.playing = true;
        self.playing_since = cx.now.monotonic;
        match udp {
            Some(transport) => {
                if let Some(ours) = &mut self.udp {
                    let host = transport.source.unwrap_or(self.peer);
                    ours.rtp_to = transport.server_rtp_port.map(|p| SocketAddr::new(host, p));
                    ours.rtcp_to = transport.server_rtcp_port.map(|p| SocketAddr::new(host, p));
                    ours.next_report = cx.now.monotonic;
                }
                self.report(cx);
            }
            None => {
                self.close_udp(cx);
                cx.out.push(Action::Bulk { conn: self.conn });
            }
        }
    }

    /// Sends a receiver report when one is due. The first also opens the way back through a firewall.
    fn report(&mut self, cx: &mut Cx<'_>) {
        let (Some(udp), Some(receiver)) = (&mut self.udp, &mut self.receiver) else {
            return;
        };
        if cx.now.monotonic < udp.next_report {
            return;
        }
        udp.next_report = cx.now.monotonic + REPORT_INTERVAL;
        let mut report = Vec::new();
        receiver.receiver_report(cx.now.monotonic, &mut report);
        if let Some(to) = udp.rtp_to.filter(|_| receiver.stats().packets == 0) {
            cx.out.push(Action::SendTo {
                conn: udp.rtp,
                to,
                bytes: report.clone(),
            });
        }
        if let Some(to) = udp.rtcp_to {
            cx.out.push(Action::SendTo {
                conn: udp.rtcp,
                to,
                bytes: report,
            });
        }
    }

    fn close_udp(&mut self, cx: &mut Cx<'_>) {
        if let Some(udp) = self.udp.take() {
            cx.out.close(udp.rtp, false);
            cx.out.close(udp.rtcp, false);
        }
    }
}
