//! One connection to a simulated camera: RTSP/1.0 (RFC 2326) from the server's side, without I/O.
//!
//! Owned by whoever holds the connection: the command with a real socket, the simulation with its own.
//! After each call that takes `now`, drain [`ServerSession::poll_output`], then ask
//! [`ServerSession::next_timeout`].

use super::authentication::{Authentication, Authenticator, Oddities, Verdict};
use super::description::{self, TRACK};
use super::message::{self, Input, Reply, Request};
use super::misbehave::{Faults, Kind};
use super::packetize::MAX_PAYLOAD_BYTES;
use super::player::{Player, Transport, Wish};
use super::{AccessUnit, Source};
use crate::time::{Monotonic, Now};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A camera, as all connections to it share it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its streams; usually `main` and `sub`.
    pub streams: Vec<StreamConfig>,
    /// `None`: whoever asks is let in.
    pub authentication: Option<Authentication>,
    /// How long a session lives without a request.
    pub session_timeout: Duration,
    /// RTP payload bytes in a packet at most.
    pub max_payload_bytes: usize,
    /// When the camera was switched on: its frame 0.
    pub switched_on: Monotonic,
    /// The server's UDP ports for RTP and RTCP; `None` refuses UDP.
    pub udp_ports: Option<(u16, u16)>,
    pub faults: Faults,
}

impl Default for Config {
    /// No stream yet, no password, TCP only, no faults.
    fn default() -> Config {
        Config {
            streams: Vec::new(),
            authentication: None,
            session_timeout: Duration::from_secs(60),
            max_payload_bytes: MAX_PAYLOAD_BYTES,
            switched_on: Monotonic(0),
            udp_ports: None,
            faults: Faults::none(),
        }
    }
}

/// One stream of a camera.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// Its path in URLs, without slashes at either end.
    pub path: String,
    pub source: Source,
}

impl Config {
    /// The camera's own time at `now`, since it was switched on; by its clock, which may drift.
    pub fn camera_time(&self, now: Monotonic) -> Duration {
        let real = now.since(self.switched_on).as_nanos();
        duration(real * self.clock_rate() / 1_000_000)
    }

    /// The reverse of [`Self::camera_time`], rounded up.
    pub fn monotonic_of(&self, camera: Duration) -> Monotonic {
        let real = (camera.as_nanos() * 1_000_000).div_ceil(self.clock_rate());
        self.switched_on + duration(real)
    }

    /// The camera's microseconds in a second.
    fn clock_rate(&self) -> u128 {
        let ppm = self.faults.get(Kind::ClockDrift).unwrap_or(0);
        u128::from(1_000_000_u64.saturating_add_signed(ppm).max(1))
    }
}

fn duration(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What a session wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerOutput {
    /// Send on the connection.
    Send(Vec<u8>),
    /// Send from the server's RTP (or RTCP) port to this port of the client's address.
    Datagram {
        rtcp: bool,
        client_port: u16,
        bytes: Vec<u8>,
    },
    /// Close the connection, after all that was to be sent.
    Close,
}

/// How far a connection has got.
#[derive(Debug)]
enum State {
    /// No session.
    Init,
    /// SETUP was done; playing or not.
    Session(Box<Session>),
    /// [`ServerOutput::Close`] was given out; nothing more comes.
    Closed,
}

#[derive(Debug)]
struct Session {
    id: String,
    player: Player,
    /// When it ends unless a request comes.
    expires: Monotonic,
}

/// One connection to a simulated camera.
#[derive(Debug)]
pub struct ServerSession {
    config: Arc<Config>,
    rng: Pcg64Mcg,
    authenticator: Authenticator,
    state: State,
    input: Vec<u8>,
    output: VecDeque<ServerOutput>,
}

impl ServerSession {
    /// A connection that was just accepted. Nonces, session ids, SSRCs and the dice of the faults
    /// all come from `seed`.
    pub fn new(config: Arc<Config>, seed: u64) -> ServerSession {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let config = with_changing_parameters(config);
        let faults = &config.faults;
        let oddities = Oddities {
            refuse_all: faults.has(Kind::RefusePassword),
            nonce_uses: faults.get(Kind::StaleNonce).map(i64::unsigned_abs),
            many: faults.has(Kind::ManyChallenges),
            bare: faults.has(Kind::BareChallenge),
        };
        let authenticator = match faults.has(Kind::CloseOnError) {
            // The answer to its challenge can only come on another connection: one nonce for all.
            true => {
                let seed = config.switched_on.0;
                Authenticator::new(&mut Pcg64Mcg::seed_from_u64(seed), oddities)
            }
            false => Authenticator::new(&mut rng, oddities),
        };
        ServerSession {
            config,
            rng,
            authenticator,
            state: State::Init,
            input: Vec::new(),
            output: VecDeque::new(),
        }
    }

    /// Bytes have come on the connection, cut anywhere.
    pub fn receive(&mut self, now: Now, bytes: &[u8]) {
        if matches!(self.state, State::Closed) || self.has(Kind::NeverAnswer) {
            return;
        }
        self.input.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut self.input);
        let mut at = 0;
        while !matches!(self.state, State::Closed) {
            match message::parse(&input[at..]) {
                Input::Incomplete => break,
                Input::Skip(len) => at += len,
                Input::Request(request, len) => {
                    at += len;
                    self.answer(now, &request);
                }
                Input::Garbage => {
                    self.send_reply(&Reply::new(400), "0");
                    self.close();
                }
            }
        }
        input.drain(..at.min(input.len()));
        self.input = input;
    }

    /// A live encoder has made a frame of stream `stream` (index in [`Config::streams`]).
    pub fn push(&mut self, now: Now, stream: usize, unit: &AccessUnit) {
        if let State::Session(s) = &mut self.state {
            if s.player.stream == stream
                && s.player.push(now, unit, &mut self.output) == Wish::Close
            {
                self.close();
            }
        }
    }

    /// The stream that is being played (index in [`Config::streams`]).
    pub fn playing(&self) -> Option<usize> {
        match &self.state {
            State::Session(s) if s.player.is_playing() => Some(s.player.stream),
            _ => None,
        }
    }

    /// When [`Self::handle_timeout`] is to be called, unless something else happens before.
    pub fn next_timeout(&self) -> Option<Monotonic> {
        match &self.state {
            State::Session(s) => Some(
                s.player
                    .next_timeout()
                    .map_or(s.expires, |t| t.min(s.expires)),
            ),
            State::Init | State::Closed => None,
        }
    }

    /// Time has passed: send what is due, end what has expired.
    pub fn handle_timeout(&mut self, now: Now) {
        let State::Session(s) = &mut self.state else {
            return;
        };
        let expired = now.monotonic >= s.expires;
        if s.player.handle_timeout(now, &mut self.output) == Wish::Close || expired {
            self.close();
        }
    }

    /// What to do next; `None` when all is done.
    pub fn poll_output(&mut self) -> Option<ServerOutput> {
        self.output.pop_front()
    }

    fn has(&self, kind: Kind) -> bool {
        self.config.faults.has(kind)
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.output.push_back(ServerOutput::Close);
    }

    fn answer(&mut self, now: Now, request: &Request) {
        let cseq = request.header("CSeq").unwrap_or("0").to_owned();
        if let State::Session(s) = &mut self.state {
            s.expires = now.monotonic + session_timeout(&self.config);
        }
        let reply = self.reply(now, request);
        let refused = reply.status >= 400;
        if self.has(Kind::EarlyData) && request.method == "PLAY" && !refused {
            self.send_early_data(now);
        }
        self.send_reply(&reply, &cseq);
        let method_unknown = matches!(request.method.as_str(), "GET_PARAMETER" | "SET_PARAMETER")
            && self.has(Kind::OptionsOnly);
        if refused && self.has(Kind::CloseOnError) || method_unknown {
            self.close();
        }
    }

    fn send_reply(&mut self, reply: &Reply, cseq: &str) {
        let mut bytes = reply.to_bytes(cseq, self.has(Kind::OddHeaders));
        if self.has(Kind::StrayCrlf) && self.playing().is_some() {
            bytes.splice(0..0, *b"\r\n");
        }
        self.output.push_back(ServerOutput::Send(bytes));
    }

    /// Frame 0 (in the stead of a live encoder, which has none at hand, nothing) before its time.
    fn send_early_data(&mut self, now: Now) {
        if let State::Session(s) = &mut self.state {
            let source = &self.config.streams[s.player.stream].source;
            let camera = self.config.camera_time(now.monotonic);
            let first = source.first_sync_from(camera).and_then(|n| source.frame(n));
            if let Some(unit) = first {
                s.player.push(now, &unit, &mut self.output);
                s.player.skip_past(unit.number);
            }
        }
    }

    fn reply(&mut self, now: Now, request: &Request) -> Reply {
        if request.method == "OPTIONS" {
            return self.with_session(Reply::new(200).header("Public", self.methods()));
        }
        if let Some(known) = &self.config.authentication {
            let verdict = self.authenticator.judge(known, request, &mut self.rng);
            if verdict != Verdict::Accepted {
                return self.authenticator.challenge(known, verdict);
            }
        }
        match request.method.as_str() {
            "DESCRIBE" => self.describe(now, request),
            "SETUP" => self.set_up(now, request),
            "PLAY" | "PAUSE" | "TEARDOWN" if !self.names_session(request) => Reply::new(454),
            "PLAY" => self.play(now, request),
            "PAUSE" => self.pause(),
            "TEARDOWN" => self.tear_down(),
            "GET_PARAMETER" | "SET_PARAMETER" if !self.has(Kind::OptionsOnly) => {
                self.with_session(Reply::new(200))
            }
            _ => Reply::new(501).header("Public", self.methods()),
        }
    }

    fn methods(&self) -> &'static str {
        if self.has(Kind::OptionsOnly) {
            "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
        } else {
            "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN"
        }
    }

    fn names_session(&self, request: &Request) -> bool {
        let named = request
            .header("Session")
            .and_then(|v| v.split(';').next())
            .map(str::trim);
        match &self.state {
            State::Session(s) => named == Some(&s.id),
            State::Init | State::Closed => false,
        }
    }

    fn with_session(&self, reply: Reply) -> Reply {
        match &self.state {
            State::Session(s) => reply.header("Session", s.id.clone()),
            State::Init | State::Closed => reply,
        }
    }

    /// The stream that a URL names, as a whole or by its track.
    fn stream_of(&self, request: &Request) -> Option<usize> {
        let path = request.path();
        let path = path.strip_suffix(TRACK).unwrap_or(path);
        let path = path.strip_prefix("moved/").unwrap_or(path);
        let path = path.trim_end_matches('/');
        self.config.streams.iter().position(|s| s.path == path)
    }

    fn describe(&mut self, now: Now, request: &Request) -> Reply {
        let Some(stream) = self.stream_of(request) else {
            return Reply::new(404);
        };
        let faults = &self.config.faults;
        if let Some(status) = faults.get(Kind::RefuseDescribe) {
            return Reply::new(u16::try_from(status).unwrap_or(404));
        }
        let path = &self.config.streams[stream].path;
        let origin = request.origin().unwrap_or_default();
        if let Some(port) = faults.get(Kind::Redirect) {
            if port != 0 || !request.path().starts_with("moved/") {
                return Reply::new(302).header("Location", redirect(&origin, port, path));
            }
        }
        let base = format!("{origin}/{}/", request.path());
        let camera = self.config.camera_time(now.monotonic);
        let parameters = self.config.streams[stream].source.parameters(camera);
        let sdp = description::sdp(faults, &parameters, &base);
        let reply = Reply::new(200);
        let reply = if faults.has(Kind::NoContentBase) {
            reply
        } else if faults.has(Kind::BareContentBase) {
            let bare = base.trim_start_matches("rtsp://").trim_end_matches('/');
            reply
                .header("Content-Base", bare)
                .header("Content-Type", "application/sdp")
        } else {
            reply
                .header("Content-Base", base)
                .header("Content-Type", "application/sdp")
        };
        reply.body(sdp)
    }

    fn set_up(&mut self, now: Now, request: &Request) -> Reply {
        if self.has(Kind::Busy) {
            return Reply::new(453);
        }
        let Some(stream) = self.stream_of(request) else {
            return Reply::new(404);
        };
        if matches!(&self.state, State::Session(s) if s.player.is_playing()) {
            return Reply::new(455);
        }
        let offers = request.header("Transport").unwrap_or("");
        let transport = offers.split(',').find_map(|offer| self.choose(offer));
        let Some(transport) = transport else {
            return Reply::new(461);
        };
        let seed = self.rng.next_u64();
        let player = Player::new(
            self.config.clone(),
            stream,
            transport,
            Pcg64Mcg::seed_from_u64(seed),
        );
        let ssrc = player.packetizer.ssrc;
        let id = format!("{:08x}", self.rng.next_u32());
        let timeout = session_timeout(&self.config);
        let session = if self.has(Kind::HiddenTimeout) {
            id.clone()
        } else {
            format!("{id};timeout={}", timeout.as_secs())
        };
        self.state = State::Session(Box::new(Session {
            id,
            player,
            expires: now.monotonic + timeout,
        }));
        Reply::new(200)
            .header("Transport", self.tell_transport(transport, ssrc))
            .header("Session", session)
    }

    /// Whether one of the transports that the client offers will do, and with which numbers.
    fn choose(&self, offer: &str) -> Option<Transport> {
        let mut parts = offer.split(';').map(str::trim);
        let protocol = parts.next()?;
        let parts: Vec<&str> = parts.collect();
        let numbers = |name: &str| {
            let value = parts.iter().find_map(|p| p.strip_prefix(name))?;
            Some(value.split_once('-').unwrap_or((value, "")))
        };
        match protocol {
            "RTP/AVP/TCP" => {
                if self.has(Kind::OtherChannels) {
                    return Some(Transport::Interleaved(4, 5));
                }
                let (rtp, rtcp) = numbers("interleaved=").unwrap_or(("0", "1"));
                let rtp: u8 = rtp.parse().ok()?;
                let rtcp = rtcp.parse().unwrap_or(rtp.wrapping_add(1));
                Some(Transport::Interleaved(rtp, rtcp))
            }
            "RTP/AVP" | "RTP/AVP/UDP" if !parts.contains(&"multicast") => {
                self.config.udp_ports?;
                let (rtp, rtcp) = numbers("client_port=")?;
                let rtp: u16 = rtp.parse().ok()?;
                let rtcp = rtcp.parse().unwrap_or(rtp.wrapping_add(1));
                Some(Transport::Udp(rtp, rtcp))
            }
            _ => None,
        }
    }

    fn tell_transport(&self, transport: Transport, ssrc: u32) -> String {
        let numbers = match (transport, self.config.udp_ports) {
            (Transport::Interleaved(rtp, rtcp), _) => format!("interleaved={rtp}-{rtcp}"),
            (Transport::Udp(rtp, rtcp), ports) => {
                let (mut from_rtp, mut from_rtcp) = ports.unwrap_or((0, 0));
                if self.has(Kind::OtherPorts) {
                    (from_rtp, from_rtcp) = (from_rtp ^ 0x100, from_rtcp ^ 0x100);
                }
                format!("client_port={rtp}-{rtcp};server_port={from_rtp}-{from_rtcp}")
            }
        };
        let protocol = match transport {
            Transport::Interleaved(..) => "RTP/AVP/TCP",
            Transport::Udp(..) => "RTP/AVP",
        };
        if self.has(Kind::OddTransport) {
            format!("{protocol};ssrc= {ssrc:x} ;unicast; {numbers}; mode=play")
        } else {
            format!("{protocol};unicast;{numbers};ssrc={ssrc:08X}")
        }
    }

    fn play(&mut self, now: Now, request: &Request) -> Reply {
        let odd = self.has(Kind::WrongRtpInfo);
        let State::Session(s) = &mut self.state else {
            return Reply::new(454);
        };
        s.player.play(now);
        let url = request.uri.trim_end_matches('/');
        let url = url.strip_suffix(TRACK).unwrap_or(url).trim_end_matches('/');
        let mut info = format!("url={url}/{TRACK}");
        if odd {
            info.push_str(";seq=0;rtptime=-1,");
        } else {
            info.push_str(&format!(";seq={}", s.player.packetizer.sequence));
            if let Some(time) = s.player.first_rtp_timestamp() {
                info.push_str(&format!(";rtptime={time}"));
            }
        }
        let reply = Reply::new(200)
            .header("Range", "npt=now-")
            .header("RTP-Info", info);
        self.with_session(reply)
    }

    fn pause(&mut self) -> Reply {
        if let State::Session(s) = &mut self.state {
            s.player.pause();
        }
        self.with_session(Reply::new(200))
    }

    fn tear_down(&mut self) -> Reply {
        if !self.has(Kind::IgnoreTeardown) {
            self.state = State::Init;
        }
        Reply::new(200)
    }
}

/// The fault is one of the camera rather than the session: frames are the same to all sessions.
fn with_changing_parameters(config: Arc<Config>) -> Arc<Config> {
    let Some(number) = config.faults.get(Kind::ChangeParameters) else {
        return config;
    };
    let mut config = Config::clone(&config);
    for stream in &mut config.streams {
        stream.source.change_at(number.unsigned_abs());
    }
    Arc::new(config)
}

fn session_timeout(config: &Config) -> Duration {
    let fault = [Kind::SessionTimeout, Kind::HiddenTimeout]
        .into_iter()
        .find_map(|kind| config.faults.get(kind));
    match fault {
        Some(secs) => Duration::from_secs(secs.unsigned_abs()),
        None => config.session_timeout,
    }
}

/// Where a client is sent: the same host, at `port` unless that is 0, under `moved/`.
fn redirect(origin: &str, port: i64, path: &str) -> String {
    if port == 0 {
        return format!("{origin}/moved/{path}");
    }
    let host = match origin.rfind(':') {
        Some(at) if origin[at + 1..].bytes().all(|b| b.is_ascii_digit()) => &origin[..at],
        _ => origin,
    };
    format!("{host}:{port}/{path}")
}
