//! The session with one camera: a state machine. See [`Client`].

use super::auth::{Authenticator, Challenged, KeptChallenge};
use super::error::{Error, Method, quote};
use super::framer::{Frame, Framer};
use super::headers::{Public, RtpInfo, Session, Transport};
use super::message::{Message, Request, Response};
use super::port::VideoDescription;
use super::port::{ClientConfig, Counters, Output, Packet, PacketKind, UdpTransport};
use super::sdp::Description;
use super::url::{base, join, redirect, without_user};
use crate::time::Monotonic;
use std::collections::VecDeque;
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
/// The longest and shortest pause between signs of life; within them it is half the time-out.
const KEEPALIVE_MAX: Duration = Duration::from_secs(30);
const KEEPALIVE_MIN: Duration = Duration::from_secs(1);
/// The session's time-out where the camera names none (RFC 2326 section 12.37).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// How often one request is sent again because its nonce was stale.
const STALE_LIMIT: u8 = 3;
/// The most outputs that wait: the camera's requests past it get no reply, RTCP is dropped.
const OUTPUT_LIMIT: usize = 32;
/// The shortest RTP packet, in bytes (RFC 3550 section 5.1). A shorter one is no sign of video.
const RTP_HEADER: usize = 12;

/// A session with one camera on one connection, from the first request to the teardown.
///
/// After each call drain [`Client::poll_output`] and ask [`Client::next_timeout`]. After an error
/// the session is over: take what outputs are left, call [`Client::teardown`] so that the camera
/// frees the session, and close the connection on [`Output::Ended`].
pub struct Client {
    url: Url,
    user_agent: String,
    auth: Option<Authenticator>,
    framer: Framer,
    state: State,
    /// The request whose reply the state waits for; none in `BindUdp`, `Playing` and at the end.
    pending: Option<Pending>,
    /// When the state has lasted too long.
    deadline: Option<Monotonic>,
    /// The last sign of life, until it is answered. Nobody waits for that.
    keepalive: Option<Pending>,
    keepalive_at: Option<Monotonic>,
    keepalive_method: Method,
    next_cseq: u32,
    outputs: VecDeque<Output>,
    counters: Counters,
    video: Option<VideoDescription>,
    /// The URL of SETUP, and that of PLAY and all that follows.
    track_url: Url,
    session_url: Url,
    asked: Asked,
    session: Option<Session>,
    /// What the camera answered to SETUP.
    transport: Transport,
    /// The video's interleaved channels: RTP, RTCP.
    channels: Option<(u8, u8)>,
    /// A video packet has come.
    video_seen: bool,
    /// The camera has answered a request that carried the password with success.
    accepted: bool,
    /// The camera was asked for a second DESCRIBE.
    described_again: bool,
    /// The server is known to send an old session's packets to a new connection.
    haunted: bool,
    /// The time of the last call.
    now: Monotonic,
}

/// What the session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// OPTIONS was sent: its reply tells the methods that the camera knows. A refusal is let pass.
    Options,
    /// DESCRIBE was sent.
    Describe,
    /// The caller was asked for UDP sockets.
    BindUdp,
    /// SETUP of the video track was sent.
    Setup,
    /// PLAY was sent. Packets may come already.
    Play,
    /// The camera has agreed to play. Signs of life are sent, a stall is watched for.
    Playing,
    /// An error was returned: whatever comes is dropped, [`Client::teardown`] is expected.
    Failed,
    /// TEARDOWN was sent. Packets are dropped.
    Teardown,
    /// Nothing more happens.
    Ended,
}

/// How SETUP asks for packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Interleaved, on channels 0 and 1.
    Tcp,
    /// By UDP; the port is known once it is bound.
    Udp { rtp_port: Option<u16> },
}

/// A request that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pending {
    method: Method,
    cseq: u32,
    authorized: bool,
    /// How often it was sent again to answer a 401.
    answers: u8,
}

impl Client {
    /// Begins a session on a connection that is just made. The first request waits as output.
    pub fn new(cfg: ClientConfig, now: Monotonic) -> Client {
        Client::answering(cfg, None, now)
    }

    /// The same, with a challenge that the camera made on a connection before this one: see
    /// [`Client::unanswered_challenge`].
    pub fn answering(
        cfg: ClientConfig,
        challenge: Option<KeptChallenge>,
        now: Monotonic,
    ) -> Client {
        let url = without_user(cfg.url);
        let password = cfg.password.unwrap_or_default();
        let mut auth = cfg
            .username
            .filter(|name| !name.is_empty())
            .map(|name| Authenticator::new(name, password, cfg.seed));
        if let (Some(auth), Some(challenge)) = (&mut auth, challenge) {
            auth.take_over(challenge);
        }
        let asked = if cfg.udp {
            Asked::Udp { rtp_port: None }
        } else {
            Asked::Tcp
        };
        let mut client = Client {
            track_url: url.clone(),
            session_url: url.clone(),
            url,
            user_agent: cfg.user_agent,
            auth,
            framer: Framer::default(),
            state: State::Options,
            pending: None,
            deadline: None,
            keepalive: None,
            keepalive_at: None,
            keepalive_method: Method::Options,
            next_cseq: 1,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            video: None,
            asked,
            session: None,
            transport: Transport::default(),
            channels: None,
            video_seen: false,
            accepted: false,
            described_again: false,
            haunted: false,
            now,
        };
        client.step(now, State::Options, Method::Options);
        client
    }

    /// Takes all of `bytes` and hands over each packet of the video track, in order. Packets are
    /// lent out of `bytes` where they lie whole in it. After an error or the end, drops them.
    pub fn receive<F: FnMut(Packet<'_>)>(
        &mut self,
        now: Monotonic,
        bytes: &[u8],
        mut on_packet: F,
    ) -> Result<(), Error> {
        self.now = now;
        // No reply to what is only about to be sent can be in `bytes`.
        let unsent = self.next_cseq;
        let mut input = bytes;
        while !matches!(self.state, State::Failed | State::Ended) {
            let handled = match self.framer.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Frame::Packet { channel, bytes })) => {
                    let kind = match self.channels {
                        Some((rtp, _)) if rtp == channel => PacketKind::Rtp,
                        Some((_, rtcp)) if rtcp == channel => PacketKind::Rtcp,
                        _ => {
                            self.counters.other_packets += 1;
                            continue;
                        }
                    };
                    if kind == PacketKind::Rtp && bytes.len() >= RTP_HEADER {
                        self.video_seen = true;
                        if self.state == State::Playing {
                            self.deadline = Some(now + STALL_LIMIT);
                        }
                    }
                    on_packet(Packet { kind, bytes });
                    continue;
                }
                Ok(Some(Frame::Message { message, position })) => match message {
                    Message::Request(request) => self.on_request(&request),
                    Message::Response(reply) => self.on_response(now, &reply, unsent, position),
                },
                Err(_) if self.state == State::Teardown => {
                    self.end();
                    Ok(())
                }
                Err(e) => Err(e),
            };
            handled.map_err(|e| self.fail(e))?;
        }
        Ok(())
    }

    /// The next thing to be done or known.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Client::handle_timeout`] wants to be called.
    pub fn next_timeout(&self) -> Option<Monotonic> {
        [self.deadline, self.keepalive_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Time has passed. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Monotonic) -> Result<(), Error> {
        self.now = now;
        if self.deadline.is_some_and(|at| now >= at) {
            match self.state {
                State::Teardown => self.end(),
                State::BindUdp => self.udp_failed(now),
                State::Playing => {
                    let limit = if self.video_seen {
                        STALL_LIMIT
                    } else {
                        FIRST_PACKET_LIMIT
                    };
                    let seconds = limit.as_secs();
                    return Err(self.fail(Error::Stalled { seconds }));
                }
                _ => {
                    let step = self.pending.map_or(Method::Options, |p| p.method);
                    return Err(self.fail(Error::Timeout { step }));
                }
            }
        }
        if self.keepalive_at.is_some_and(|at| now >= at) {
            self.keepalive = Some(self.send(self.keepalive_method, 0));
            self.keepalive_at = Some(now + self.keepalive_pause());
        }
        Ok(())
    }

    /// The answer to [`Output::BindUdp`]: bound on `rtp_port` (even) and the port above it.
    pub fn udp_bound(&mut self, now: Monotonic, rtp_port: u16) {
        if let (State::BindUdp, Asked::Udp { rtp_port: port }) = (self.state, &mut self.asked) {
            *port = Some(rtp_port);
            self.step(now, State::Setup, Method::Setup);
        }
    }

    /// The answer to [`Output::BindUdp`]: not possible. Goes on with interleaved packets.
    pub fn udp_failed(&mut self, now: Monotonic) {
        if let State::BindUdp = self.state {
            self.asked = Asked::Tcp;
            self.step(now, State::Setup, Method::Setup);
        }
    }

    /// A video RTP packet came over UDP, which the client does not see: holds off
    /// [`Error::Stalled`].
    pub fn udp_rtp_received(&mut self, now: Monotonic) {
        self.video_seen = true;
        if self.state == State::Playing {
            self.deadline = Some(now + STALL_LIMIT);
        }
    }

    /// Ends the session in good order: sends TEARDOWN if there is one, and [`Output::Ended`] when it
    /// is answered or [`TEARDOWN_LIMIT`] is over. Works after an error too.
    pub fn teardown(&mut self, now: Monotonic) {
        if matches!(self.state, State::Teardown | State::Ended) {
            return;
        }
        self.now = now;
        if self.session.is_none() {
            self.end();
            return;
        }
        self.channels = None;
        self.keepalive = None;
        self.keepalive_at = None;
        // After an error that lost the framing no reply can be read: `receive` ends it then.
        self.step(now, State::Teardown, Method::Teardown);
        self.deadline = Some(now + TEARDOWN_LIMIT);
    }

    /// The camera has agreed to play and the session is not over.
    pub fn is_playing(&self) -> bool {
        self.state == State::Playing
    }

    /// Sends an RTCP packet on the interleaved channel. Dropped where there is none (over UDP the
    /// caller sends it), or while too much waits to be sent.
    pub fn send_rtcp(&mut self, bytes: &[u8]) {
        let (Some((_, channel)), Ok(length)) = (self.channels, u16::try_from(bytes.len())) else {
            return;
        };
        if self.outputs.len() < OUTPUT_LIMIT {
            let mut packet = vec![b'$', channel];
            packet.extend_from_slice(&length.to_be_bytes());
            packet.extend_from_slice(bytes);
            self.outputs.push_back(Output::Send(packet));
        }
    }

    /// A session that was not torn down lives on until then, at a server known to send to a
    /// connection's successor what belongs to the old session (live555 before June 2017, over
    /// interleaved TCP). Connect again after it. `None`: no need to wait.
    pub fn stale_until(&self) -> Option<Monotonic> {
        let session = self.session.as_ref()?;
        let timeout = session.timeout.unwrap_or(DEFAULT_TIMEOUT);
        (self.haunted && self.asked == Asked::Tcp).then(|| self.now + timeout)
    }

    /// The connection was closed with a challenge unanswered: some cameras close it after each 401.
    /// The answer may do on the next connection ([`Client::answering`]).
    pub fn unanswered_challenge(&mut self) -> Option<KeptChallenge> {
        let unanswered = [self.pending, self.keepalive]
            .into_iter()
            .flatten()
            .any(|p| p.answers > 0);
        let auth = self.auth.as_mut().filter(|_| unanswered);
        auth.and_then(Authenticator::give_up)
    }

    /// What was passed over so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The URL of the session, without its user part; for messages.
    pub fn url(&self) -> &Url {
        &self.url
    }
}

/// Sending.
impl Client {
    /// Sends the request of a step and waits for its reply in `state`.
    fn step(&mut self, now: Monotonic, state: State, method: Method) {
        self.state = state;
        self.pending = Some(self.send(method, 0));
        self.deadline = Some(now + STEP_LIMIT);
    }

    /// Puts out a request. All that it says follows from the method and the session so far.
    fn send(&mut self, method: Method, answers: u8) -> Pending {
        let url = match method {
            Method::Describe => &self.url,
            Method::Setup => &self.track_url,
            _ => &self.session_url,
        };
        let mut request = Request::new(method.as_str(), url.as_str());
        let cseq = self.next_cseq;
        self.next_cseq = self.next_cseq.wrapping_add(1);
        request.headers.push("CSeq", cseq.to_string());
        request.headers.push("User-Agent", self.user_agent.as_str());
        if let Some(session) = &self.session {
            request.headers.push("Session", session.id.as_str());
        }
        let authorization = self
            .auth
            .as_mut()
            .and_then(|auth| auth.authorize(method.as_str(), url.as_str()));
        let authorized = authorization.is_some();
        if let Some(value) = authorization {
            request.headers.push("Authorization", value);
        }
        match method {
            Method::Describe => request.headers.push("Accept", "application/sdp"),
            Method::Setup => request.headers.push("Transport", self.asked.transport()),
            Method::Play => request.headers.push("Range", "npt=0.000-"),
            _ => {}
        }
        self.outputs.push_back(Output::Send(request.to_bytes()));
        Pending {
            method,
            cseq,
            authorized,
            answers,
        }
    }

    /// Asks for the track, by UDP once there are sockets for it.
    fn set_up(&mut self, now: Monotonic) {
        if let (Asked::Udp { rtp_port: None }, State::Describe) = (self.asked, self.state) {
            self.state = State::BindUdp;
            self.deadline = Some(now + STEP_LIMIT);
            self.outputs.push_back(Output::BindUdp);
        } else {
            self.step(now, State::Setup, Method::Setup);
        }
    }

    fn keepalive_pause(&self) -> Duration {
        let timeout = self.session.as_ref().and_then(|s| s.timeout);
        (timeout.unwrap_or(DEFAULT_TIMEOUT) / 2).clamp(KEEPALIVE_MIN, KEEPALIVE_MAX)
    }

    fn fail(&mut self, error: Error) -> Error {
        self.state = State::Failed;
        self.stop();
        error
    }

    fn end(&mut self) {
        self.state = State::Ended;
        self.stop();
        self.outputs.push_back(Output::Ended);
    }

    fn stop(&mut self) {
        self.pending = None;
        self.keepalive = None;
        self.deadline = None;
        self.keepalive_at = None;
    }
}

impl Asked {
    fn transport(self) -> String {
        match self {
            Asked::Udp {
                rtp_port: Some(port),
            } => {
                format!(
                    "RTP/AVP;unicast;client_port={port}-{}",
                    port.wrapping_add(1)
                )
            }
            _ => "RTP/AVP/TCP;unicast;interleaved=0-1".to_owned(),
        }
    }
}

/// Receiving.
impl Client {
    /// Answers a request of the camera's.
    fn on_request(&mut self, request: &Request) -> Result<(), Error> {
        let (code, reason) = match request.method.as_str() {
            "OPTIONS" | "GET_PARAMETER" | "SET_PARAMETER" | "ANNOUNCE" | "REDIRECT"
            | "TEARDOWN" => (200, "OK"),
            _ => (501, "Not Implemented"),
        };
        if self.outputs.len() < OUTPUT_LIMIT {
            let mut reply = Response::new(code, reason);
            for name in ["CSeq", "Session"] {
                if let Some(value) = request.headers.get(name) {
                    reply.headers.push(name, value);
                }
            }
            if request.method == "OPTIONS" {
                let public = "OPTIONS, GET_PARAMETER, SET_PARAMETER, ANNOUNCE, REDIRECT, TEARDOWN";
                reply.headers.push("Public", public);
            }
            self.outputs.push_back(Output::Send(reply.to_bytes()));
        } else {
            self.counters.dropped_requests += 1;
        }
        let location = || redirect(&self.url, request.headers.get("Location")?);
        match request.method.as_str() {
            _ if self.state == State::Teardown => Ok(()),
            "REDIRECT" => Err(location().map_or(Error::SessionLost, Error::Redirect)),
            "TEARDOWN" => Err(Error::SessionLost),
            _ => Ok(()),
        }
    }

    /// Finds the request that a reply belongs to. Some cameras leave out the `CSeq`: it is to the
    /// step's request then, if there is one. `unsent`: the first request that is not out yet.
    fn on_response(
        &mut self,
        now: Monotonic,
        reply: &Response,
        unsent: u32,
        position: u64,
    ) -> Result<(), Error> {
        if reply.code < 200 {
            return Ok(());
        }
        let cseq = reply.headers.cseq();
        let is_to = |p: &Pending| p.cseq < unsent && cseq.is_none_or(|c| c == p.cseq);
        if let Some(pending) = self.pending.filter(is_to) {
            self.pending = None;
            return self.on_step_reply(now, pending, reply, position);
        }
        if let Some(pending) = self.keepalive.filter(is_to) {
            self.keepalive = None;
            return self.on_keepalive_reply(pending, reply);
        }
        self.counters.stray_replies += 1;
        Ok(())
    }

    fn on_step_reply(
        &mut self,
        now: Monotonic,
        pending: Pending,
        reply: &Response,
        position: u64,
    ) -> Result<(), Error> {
        let ok = (200..300).contains(&reply.code);
        if self.state == State::Teardown {
            self.on_torn_down(pending, reply);
            return Ok(());
        }
        if reply.code == 401 {
            return self.on_challenge(now, pending, reply);
        }
        self.accepted |= ok && pending.authorized;
        if (300..400).contains(&reply.code) {
            let location = reply.headers.get("Location");
            if let Some(url) = location.and_then(|l| redirect(&self.url, l)) {
                return Err(Error::Redirect(url));
            }
        }
        match self.state {
            State::Options => {
                self.note_server(reply.headers.get("Server"));
                self.keepalive_method = keepalive_method(reply);
                self.step(now, State::Describe, Method::Describe);
            }
            State::Describe if ok => self.on_description(now, reply, position)?,
            State::Setup if ok => self.on_set_up(now, reply, position)?,
            State::Setup => return self.on_setup_refused(now, pending, reply),
            State::Play if ok => self.on_playing(now, reply),
            State::Play if reply.code == 454 => return Err(Error::SessionLost),
            _ => return Err(refused(pending.method, reply)),
        }
        Ok(())
    }

    /// A 401: sends the request again if the challenge can be answered and was not just failed. Some
    /// cameras tie the nonce to DESCRIBE: refused at SETUP, it is asked for once more.
    fn on_challenge(
        &mut self,
        now: Monotonic,
        pending: Pending,
        reply: &Response,
    ) -> Result<(), Error> {
        let Some(auth) = &mut self.auth else {
            return Err(Error::Unauthorized {
                had_credentials: false,
            });
        };
        let again = match auth.challenged(&reply.headers) {
            Challenged::Answerable { stale } => {
                pending.answers == 0 || (stale && pending.answers < STALE_LIMIT)
            }
            Challenged::Unknown if !pending.authorized => {
                return Err(Error::Status {
                    method: pending.method,
                    code: 401,
                    reason: "with no challenge that can be answered".to_owned(),
                });
            }
            Challenged::Unknown => false,
        };
        if again {
            self.pending = Some(self.send(pending.method, pending.answers + 1));
            self.deadline = Some(now + STEP_LIMIT);
            return Ok(());
        }
        if self.state == State::Setup && self.accepted && !self.described_again {
            self.described_again = true;
            self.step(now, State::Describe, Method::Describe);
            return Ok(());
        }
        Err(Error::Unauthorized {
            had_credentials: true,
        })
    }

    /// The reply to TEARDOWN: the end, whatever it says, but for one nonce that was too old.
    fn on_torn_down(&mut self, pending: Pending, reply: &Response) {
        if reply.code == 401 && pending.answers == 0 && self.challenged_again(reply) {
            self.pending = Some(self.send(pending.method, 1));
            return;
        }
        if matches!(reply.code, 200..300 | 454) {
            self.session = None;
        }
        self.end();
    }

    fn on_description(
        &mut self,
        now: Monotonic,
        reply: &Response,
        position: u64,
    ) -> Result<(), Error> {
        let offered = ["Content-Base", "Content-Location"];
        let offered = offered
            .into_iter()
            .filter_map(|name| reply.headers.get(name));
        let base = base(&self.url, offered);
        let description = Description::parse(&reply.body);
        self.note_server(description.tool.as_deref());
        let choice = description.choose_video()?;
        let joined =
            |control: &str| join(&base, control).map_err(|what| Error::Protocol { what, position });
        // A session's control that cannot be used is no loss while the track's can.
        let session_control = description.control.as_deref().unwrap_or("*");
        self.session_url = joined(session_control).unwrap_or_else(|_| base.clone());
        self.track_url = match &choice.control {
            Some(control) => joined(control)?,
            None => self.session_url.clone(),
        };
        if self.video.as_ref() != Some(&choice.video) {
            self.video = Some(choice.video.clone());
            self.outputs.push_back(Output::Video(choice.video));
        }
        self.set_up(now);
        Ok(())
    }

    fn on_set_up(&mut self, now: Monotonic, reply: &Response, position: u64) -> Result<(), Error> {
        self.note_session(reply);
        let transport = Transport::parse(reply.headers.get("Transport").unwrap_or_default());
        let interleaved = match self.asked {
            Asked::Tcp => true,
            Asked::Udp { .. } => transport.tcp == Some(true) || transport.interleaved.is_some(),
        };
        if interleaved {
            if transport.server_port.is_some() && transport.interleaved.is_none() {
                let what = "asked for interleaved packets, SETUP answers with UDP".to_owned();
                return Err(Error::Protocol { what, position });
            }
            self.asked = Asked::Tcp;
            self.channels = Some(transport.interleaved.unwrap_or((0, 1)));
        }
        self.step(now, State::Play, Method::Play);
        self.transport = transport;
        Ok(())
    }

    /// Some want another DESCRIBE first: asks for it, once. UDP refused: asks for interleaved packets.
    fn on_setup_refused(
        &mut self,
        now: Monotonic,
        pending: Pending,
        reply: &Response,
    ) -> Result<(), Error> {
        if matches!(reply.code, 454 | 455) && !self.described_again {
            self.described_again = true;
            self.session = None;
            self.step(now, State::Describe, Method::Describe);
            return Ok(());
        }
        if let Asked::Udp { .. } = self.asked {
            self.asked = Asked::Tcp;
            self.step(now, State::Setup, Method::Setup);
            return Ok(());
        }
        Err(refused(pending.method, reply))
    }

    fn on_playing(&mut self, now: Monotonic, reply: &Response) {
        self.note_session(reply);
        let info = reply.headers.get("RTP-Info").unwrap_or_default();
        let info = RtpInfo::parse(info, self.track_url.as_str());
        let transport = self.transport;
        let udp = match self.asked {
            Asked::Tcp => None,
            Asked::Udp { .. } => Some(UdpTransport {
                server_rtp_port: transport.server_port.map(|(rtp, _)| rtp),
                server_rtcp_port: transport.server_port.map(|(_, rtcp)| rtcp),
                source: transport.source,
            }),
        };
        self.outputs.push_back(Output::Playing {
            ssrc: transport.ssrc,
            first_seq: info.seq,
            first_rtptime: info.rtptime,
            udp,
        });
        self.state = State::Playing;
        self.deadline = Some(now + FIRST_PACKET_LIMIT);
        self.keepalive_at = Some(now + self.keepalive_pause());
    }

    /// The reply to a sign of life: most refusals still kept the session alive.
    fn on_keepalive_reply(&mut self, pending: Pending, reply: &Response) -> Result<(), Error> {
        match reply.code {
            401 if self.challenged_again(reply) && pending.answers == 0 => {
                self.keepalive = Some(self.send(pending.method, 1));
            }
            401 => {}
            454 => return Err(Error::SessionLost),
            400.. => self.keepalive_method = Method::Options,
            _ => {}
        }
        Ok(())
    }

    /// Takes a 401's challenge for what is sent from now on; false if there is no answer to it.
    fn challenged_again(&mut self, reply: &Response) -> bool {
        let auth = self.auth.as_mut();
        auth.is_some_and(|auth| auth.challenged(&reply.headers) != Challenged::Unknown)
    }

    /// The session's id may change with each reply; the last one holds.
    fn note_session(&mut self, reply: &Response) {
        if let Some(mut session) = reply.headers.get("Session").and_then(Session::parse) {
            let known = self.session.as_ref().and_then(|s| s.timeout);
            session.timeout = session.timeout.or(known);
            self.session = Some(session);
        }
    }

    fn note_server(&mut self, software: Option<&str>) {
        self.haunted |= software.is_some_and(is_old_live555);
    }
}

fn refused(method: Method, reply: &Response) -> Error {
    Error::Status {
        method,
        code: reply.code,
        reason: quote(&reply.reason),
    }
}

/// The sign of life that the camera knows, by its reply to OPTIONS.
fn keepalive_method(reply: &Response) -> Method {
    let public = Public::parse(reply.headers.get_all("Public"));
    match public {
        Public {
            get_parameter: true,
            ..
        } => Method::GetParameter,
        Public {
            set_parameter: true,
            ..
        } => Method::SetParameter,
        _ => Method::Options,
    }
}

/// `LIVE555 Streaming Media v2013.02.11`: before 2017-06-04 a closed connection's session went on
/// sending to whatever connection got the same file descriptor next.
fn is_old_live555(software: &str) -> bool {
    let lower = software.to_ascii_lowercase();
    let Some((_, version)) = lower.split_once("live555 streaming media v") else {
        return false;
    };
    let mut parts = version
        .split('.')
        .map(|p| p.trim().parse::<u16>().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    (part(), part(), part()) < (2017, 6, 4)
}
