//! The simulated network between the recorder and its cameras.
//!
//! Names resolve or don't, connections are made or refused or never answered, bytes come cut up,
//! gathered, late or not at all, and datagrams may be lost, doubled or out of order. Actions that no
//! correct core asks for (an id used twice, sending on a connection that is gone) are noted in
//! [`Network::violations`].

pub mod camera;
mod conn;
pub mod pipe;

pub use camera::{Camera, Reach};

use crate::config::Transport;
use crate::nvr::port::{ConnId, LookupId, SocketError};
use crate::sim::agenda::Agenda;
use crate::sim::clock::true_wall_at;
use crate::sim::random::Random;
use crate::sim::scenario::CameraPlan;
use crate::sim::witness::{FrameId, SessionRef, StreamKey, Witness};
use crate::simulated_camera::misbehave::Fault;
use crate::simulated_camera::{ServerOutput, ServerSession, synthetic};
use crate::time::{Monotonic, Now};
use camera::{RTSP_PORT, UDP_PORTS};
use conn::Conn;
use pipe::{End, MAX_WAITING_BYTES, Pipe};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// More bytes than this sent by the core and not yet taken mean that it has no bound of its own.
pub const MAX_UNSENT_BYTES: usize = 256 * 1024;

/// How connections to a camera end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// In good order.
    Close,
    Reset,
    /// In the middle of what was being sent.
    MidPacket,
}

/// What reaches the recorder.
#[derive(Debug)]
pub enum Arrival {
    Resolved {
        lookup: LookupId,
        result: Result<Vec<IpAddr>, String>,
    },
    Connected {
        conn: ConnId,
    },
    Received {
        conn: ConnId,
        bytes: Vec<u8>,
    },
    Datagram {
        conn: ConnId,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    Drained {
        conn: ConnId,
    },
    Closed {
        conn: ConnId,
        reason: Result<(), SocketError>,
    },
    UdpBound {
        rtp: ConnId,
        rtcp: ConnId,
        result: Result<u16, SocketError>,
    },
}

/// What is going to happen within the network.
enum Step {
    Arrive(Arrival),
    Connect(ConnId),
    /// It could not be made.
    Fail(ConnId, SocketError),
    /// Bytes for the recorder may pass.
    ToRecorder(ConnId),
    /// Bytes for the camera may pass.
    ToCamera(ConnId),
    /// The camera's session has something to do.
    Session(ConnId),
    Datagram {
        to: ConnId,
        from: SocketAddr,
        bytes: Vec<u8>,
        frame: Option<(SessionRef, FrameId)>,
    },
}

struct UdpSocket {
    port: u16,
    peer: IpAddr,
}

/// The network and everything on it.
pub struct Network {
    pub cameras: Vec<Camera>,
    conns: BTreeMap<ConnId, Conn>,
    sockets: BTreeMap<ConnId, UdpSocket>,
    /// Connections that are being made and won't be.
    failing: BTreeSet<ConnId>,
    next_port: u16,
    agenda: Agenda<Step>,
    random: Random,
    /// Datagrams arrive, once and in order, and UDP sockets can be had.
    pub lossless: bool,
    conns_used: HashSet<ConnId>,
    lookups_used: HashSet<LookupId>,
    violations: Vec<String>,
    /// Every attempt to connect: when and to which camera.
    pub attempts: Vec<(Monotonic, usize)>,
    /// The most connections that each camera had at once.
    pub most_connections: Vec<usize>,
}

impl Network {
    /// A network with cameras that are switched on at the beginning of the world.
    pub fn new(seed: u64, plans: &[CameraPlan], witness: &mut Witness) -> Network {
        let mut random = Random::new(seed, "network");
        let mut cameras: Vec<Camera> = plans
            .iter()
            .enumerate()
            .map(|(i, p)| Camera::new(i, p, &mut random))
            .collect();
        for camera in &mut cameras {
            camera.switch_on(Monotonic(0), witness);
        }
        Network {
            most_connections: vec![0; cameras.len()],
            cameras,
            conns: BTreeMap::new(),
            sockets: BTreeMap::new(),
            failing: BTreeSet::new(),
            next_port: 40_000,
            agenda: Agenda::default(),
            random,
            lossless: false,
            conns_used: HashSet::new(),
            lookups_used: HashSet::new(),
            violations: Vec::new(),
            attempts: Vec::new(),
        }
    }

    /// Takes what the core did that it never may.
    pub fn violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.violations)
    }

    /// When something happens next.
    pub fn next_wake(&self) -> Option<Monotonic> {
        self.agenda.next()
    }

    /// The connections that carry video to the recorder, and of which streams.
    pub fn playing(&self) -> BTreeMap<ConnId, StreamKey> {
        let stream = |c: &Conn| c.log.map(|log| log.stream);
        let playing = self
            .conns
            .iter()
            .filter_map(|(id, c)| Some((*id, stream(c)?)));
        playing.collect()
    }

    /// Connections and sockets that the recorder has open.
    pub fn open(&self) -> usize {
        self.conns.len() + self.sockets.len()
    }

    pub fn lookup(&mut self, now: Monotonic, lookup: LookupId, host: &str) {
        if !self.lookups_used.insert(lookup) {
            self.violations.push(format!("{lookup:?} is used twice"));
        }
        let camera = self.cameras.iter().find(|c| c.plan.is_called(host));
        let (result, millis) = match (camera, host.parse::<IpAddr>()) {
            (_, Ok(address)) => (Ok(vec![address]), 0..=1),
            (Some(c), _) if c.lookup_fails_until > now => (
                Err("temporary failure in name resolution".to_owned()),
                10..=12_000,
            ),
            (Some(c), _) => (Ok(vec![c.address]), 1..=50),
            (None, _) => (Err("name or service not known".to_owned()), 1..=50),
        };
        let at = now + self.random.millis(millis);
        self.agenda
            .enter(at, Step::Arrive(Arrival::Resolved { lookup, result }));
    }

    fn use_conn(&mut self, conn: ConnId) {
        if !self.conns_used.insert(conn) {
            self.violations.push(format!("{conn:?} is used twice"));
        }
    }

    pub fn connect(&mut self, now: Monotonic, conn: ConnId, to: SocketAddr) {
        self.use_conn(conn);
        let Some(index) = self.cameras.iter().position(|c| c.address == to.ip()) else {
            let after = self.random.millis(5..=3_000);
            return self.fail(now + after, conn, SocketError::Unreachable);
        };
        self.attempts.push((now, index));
        let camera = &self.cameras[index];
        let reach = match camera.off || camera.stalled_until > now {
            true => Reach::NeverAnswers,
            false => camera.reach,
        };
        let state = Conn::new(camera, &mut self.random);
        let after = self.random.millis(1..=60);
        match reach {
            Reach::Unreachable => self.fail(now + after * 20, conn, SocketError::Unreachable),
            Reach::Refuses => self.fail(now + after, conn, SocketError::Refused),
            _ if to.port() != RTSP_PORT => self.fail(now + after, conn, SocketError::Refused),
            Reach::Reachable => {
                self.conns.insert(conn, state);
                self.agenda.enter(now + after, Step::Connect(conn));
            }
            Reach::NeverAnswers => {
                self.conns.insert(conn, state);
            }
        }
        let to_camera = self.conns.values().filter(|c| c.camera == index && !c.dead);
        self.most_connections[index] = self.most_connections[index].max(to_camera.count());
    }

    /// A connection is not going to be made.
    fn fail(&mut self, at: Monotonic, conn: ConnId, reason: SocketError) {
        self.failing.insert(conn);
        self.agenda.enter(at, Step::Fail(conn, reason));
    }

    pub fn bind_udp(&mut self, now: Monotonic, rtp: ConnId, rtcp: ConnId, peer: IpAddr) {
        self.use_conn(rtp);
        self.use_conn(rtcp);
        let port = self.next_port;
        self.next_port = if port >= 60_000 { 40_000 } else { port + 2 };
        let result = if !self.lossless && self.random.one_in(30) {
            Err(SocketError::Other("address already in use".to_owned()))
        } else {
            self.sockets.insert(rtp, UdpSocket { port, peer });
            self.sockets.insert(
                rtcp,
                UdpSocket {
                    port: port + 1,
                    peer,
                },
            );
            Ok(port)
        };
        let at = now + self.random.millis(0..=1);
        self.agenda
            .enter(at, Step::Arrive(Arrival::UdpBound { rtp, rtcp, result }));
    }

    pub fn send(&mut self, now: Monotonic, conn: ConnId, bytes: &[u8]) {
        let Some(c) = self.conns.get_mut(&conn).filter(|c| c.connected) else {
            self.violations
                .push(format!("sends on {conn:?}, which is not connected"));
            return;
        };
        c.to_camera.push(bytes);
        if c.to_camera.waiting() > MAX_UNSENT_BYTES {
            self.violations.push(format!(
                "{} bytes unsent on {conn:?}",
                c.to_camera.waiting()
            ));
        }
        c.owes_drained |= self.random.one_in(20);
        if !c.camera_due {
            c.camera_due = true;
            let at = now + self.random.millis(0..=20);
            self.agenda.enter(at, Step::ToCamera(conn));
        }
    }

    pub fn send_to(&mut self, conn: ConnId) {
        // What reaches a camera by UDP (receiver reports) makes no difference to it.
        if !self.sockets.contains_key(&conn) {
            self.violations
                .push(format!("sends on {conn:?}, which is no UDP socket"));
        }
    }

    pub fn bulk(&mut self, conn: ConnId) {
        match self.conns.get_mut(&conn) {
            Some(c) => c.bulk = true,
            None => self
                .violations
                .push(format!("bulk on {conn:?}, which is not open")),
        }
    }

    pub fn close(&mut self, now: Monotonic, conn: ConnId, flush: bool) {
        let Some(mut c) = self.conns.remove(&conn) else {
            if self.sockets.remove(&conn).is_none() && !self.failing.remove(&conn) {
                self.violations
                    .push(format!("closes {conn:?}, which is not open"));
            }
            return;
        };
        if flush && c.connected && !c.dead {
            let rest = c.to_camera.take(&mut Random::new(0, "all"));
            c.session.receive(camera_now(now), &rest);
        }
    }

    /// The recorder is gone, and with it its sockets.
    pub fn end(&mut self) {
        self.conns.clear();
        self.sockets.clear();
        self.failing.clear();
        self.agenda.take_all();
        self.conns_used.clear();
        self.lookups_used.clear();
    }

    /// What arrives by `now`.
    pub fn poll(&mut self, now: Monotonic, witness: &mut Witness) -> Option<Arrival> {
        while let Some(step) = self.agenda.take_due(now) {
            if let Some(arrival) = self.step(now, step, witness) {
                return Some(arrival);
            }
        }
        None
    }

    fn step(&mut self, now: Monotonic, step: Step, witness: &mut Witness) -> Option<Arrival> {
        match step {
            Step::Arrive(Arrival::Drained { conn }) => self
                .conns
                .contains_key(&conn)
                .then_some(Arrival::Drained { conn }),
            Step::Arrive(arrival) => Some(arrival),
            Step::Fail(conn, reason) => self.failing.remove(&conn).then_some(Arrival::Closed {
                conn,
                reason: Err(reason),
            }),
            Step::Connect(conn) => {
                let c = self.conns.get_mut(&conn)?;
                c.connected = true;
                Some(Arrival::Connected { conn })
            }
            Step::ToRecorder(conn) => self.pass_to_recorder(now, conn, witness),
            Step::ToCamera(conn) => {
                self.pass_to_camera(now, conn, witness);
                None
            }
            Step::Session(conn) => {
                let c = self.conns.get_mut(&conn)?;
                if c.session_at.is_some_and(|at| at <= now) {
                    c.session_at = None;
                    c.session.handle_timeout(camera_now(now));
                    self.drain_session(now, conn, witness);
                }
                None
            }
            Step::Datagram {
                to,
                from,
                bytes,
                frame,
            } => {
                let camera = self.cameras.iter().find(|c| c.address == from.ip());
                if !self.sockets.contains_key(&to) || camera.is_none_or(|c| c.stalled_until > now) {
                    return None;
                }
                if let Some((session, id)) = frame {
                    witness.begun(session, id, now);
                }
                Some(Arrival::Datagram {
                    conn: to,
                    from,
                    bytes,
                })
            }
        }
    }

    fn pass_to_recorder(
        &mut self,
        now: Monotonic,
        conn: ConnId,
        witness: &mut Witness,
    ) -> Option<Arrival> {
        let c = self.conns.get_mut(&conn)?;
        c.recorder_due = false;
        if c.dead {
            return None;
        }
        let stalled_until = self.cameras[c.camera].stalled_until;
        if stalled_until > now {
            c.recorder_due = true;
            self.agenda.enter(stalled_until, Step::ToRecorder(conn));
            return None;
        }
        let bytes = c.to_recorder.take(&mut self.random);
        while let Some(id) = c.to_recorder.passed() {
            if let Some(log) = c.log {
                witness.begun(log, id, now);
            }
        }
        if c.to_recorder.waiting() > 0 || (!bytes.is_empty() && c.to_recorder.end.is_some()) {
            c.recorder_due = true;
            let after = self.random.millis(0..=5);
            self.agenda.enter(now + after, Step::ToRecorder(conn));
        }
        if !bytes.is_empty() {
            return Some(Arrival::Received { conn, bytes });
        }
        let reason = match c.to_recorder.end? {
            End::Closed => Ok(()),
            End::Reset => Err(SocketError::Reset),
        };
        self.conns.remove(&conn);
        Some(Arrival::Closed { conn, reason })
    }

    fn pass_to_camera(&mut self, now: Monotonic, conn: ConnId, witness: &mut Witness) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        c.camera_due = false;
        let stalled_until = self.cameras[c.camera].stalled_until;
        if c.dead {
            return;
        }
        if stalled_until > now {
            c.camera_due = true;
            self.agenda.enter(stalled_until, Step::ToCamera(conn));
            return;
        }
        let bytes = c.to_camera.take(&mut self.random);
        c.session.receive(camera_now(now), &bytes);
        if c.to_camera.waiting() > 0 {
            c.camera_due = true;
            let after = self.random.millis(0..=5);
            self.agenda.enter(now + after, Step::ToCamera(conn));
        } else if c.owes_drained {
            c.owes_drained = false;
            self.agenda
                .enter(now, Step::Arrive(Arrival::Drained { conn }));
        }
        self.drain_session(now, conn, witness);
    }

    /// Sends on what a camera's session has to say.
    fn drain_session(&mut self, now: Monotonic, conn: ConnId, witness: &mut Witness) {
        let Some(c) = self.conns.get_mut(&conn) else {
            return;
        };
        let camera = &self.cameras[c.camera];
        let mut datagrams = Vec::new();
        while let Some(output) = c.session.poll_output() {
            if c.log.is_none() {
                if let Some(kind) = c.session.playing().and_then(|s| camera.kind_of(s)) {
                    let tcp = camera.plan.transport == Transport::Tcp;
                    let strict = camera.is_strict() && (tcp || self.lossless);
                    c.log = Some(witness.open((camera.index, kind), now, strict));
                }
            }
            match output {
                ServerOutput::Send(bytes) => {
                    if c.to_recorder.end.is_none() {
                        watch_for_frames(&mut c.to_recorder, &bytes, camera.power_on);
                        c.to_recorder.push(&bytes);
                    }
                    if c.to_recorder.waiting() > MAX_WAITING_BYTES {
                        c.to_recorder.end = Some(End::Reset);
                    }
                }
                ServerOutput::Datagram {
                    rtcp,
                    client_port,
                    bytes,
                } => {
                    // A camera that is gone, or has ended the connection, sends nothing by UDP either.
                    if c.dead || c.to_recorder.end.is_some() {
                        continue;
                    }
                    let number = synthetic::number_of(&bytes);
                    let frame = c.log.zip(number).map(|(log, number)| {
                        (
                            log,
                            FrameId {
                                power_on: camera.power_on,
                                number,
                            },
                        )
                    });
                    datagrams.push((rtcp, client_port, bytes, frame));
                }
                ServerOutput::Close => {
                    c.to_recorder.end.get_or_insert(End::Closed);
                }
            }
        }
        let address = camera.address;
        let waits = c.to_recorder.waiting() > 0 || c.to_recorder.end.is_some();
        if waits && !c.recorder_due {
            c.recorder_due = true;
            let most = if c.bulk { 120 } else { 30 };
            let after = self.random.millis(1..=most);
            self.agenda.enter(now + after, Step::ToRecorder(conn));
        }
        if let Some(at) = c.session.next_timeout() {
            if c.session_at.is_none_or(|scheduled| at < scheduled) {
                c.session_at = Some(at.max(now));
                self.agenda.enter(at.max(now), Step::Session(conn));
            }
        }
        for (rtcp, client_port, bytes, frame) in datagrams {
            let port = if rtcp { UDP_PORTS.1 } else { UDP_PORTS.0 };
            let from = SocketAddr::new(address, port);
            self.post(now, from, client_port, bytes, frame);
        }
    }

    /// Sends a datagram on its way: it may be lost, come twice, or be overtaken.
    fn post(
        &mut self,
        now: Monotonic,
        from: SocketAddr,
        port: u16,
        bytes: Vec<u8>,
        frame: Option<(SessionRef, FrameId)>,
    ) {
        let socket = self
            .sockets
            .iter()
            .find(|(_, s)| s.port == port && s.peer == from.ip());
        let Some((to, _)) = socket.map(|(id, s)| (*id, s)) else {
            return;
        };
        let copies = match self.random.below(1000) {
            _ if self.lossless => 1,
            0..3 => 0,
            3..6 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let after = if !self.lossless && self.random.one_in(50) {
                self.random.millis(2..=30)
            } else {
                Duration::from_millis(2)
            };
            let step = Step::Datagram {
                to,
                from,
                bytes: bytes.clone(),
                frame,
            };
            self.agenda.enter(now + after, step);
        }
    }

    /// The connections to a camera end.
    pub fn hang_up(&mut self, now: Monotonic, camera: usize, how: Hangup) {
        for (id, c) in self
            .conns
            .iter_mut()
            .filter(|(_, c)| c.camera == camera && c.connected)
        {
            match how {
                Hangup::Close => c.to_recorder.end = Some(End::Closed),
                Hangup::Reset => {
                    c.to_recorder.cut_to(0);
                    c.to_recorder.end = Some(End::Reset);
                }
                Hangup::MidPacket => {
                    let waiting = c.to_recorder.waiting();
                    if waiting > 1 {
                        c.to_recorder.cut_to(self.random.index(waiting));
                    } else {
                        c.to_recorder.push(b"$\0\x05");
                    }
                    c.to_recorder.end = Some(End::Closed);
                }
            }
            if !c.recorder_due {
                c.recorder_due = true;
                self.agenda.enter(now, Step::ToRecorder(*id));
            }
        }
    }

    /// The connections to a camera lead nowhere any more.
    pub fn strand(&mut self, camera: usize) {
        for c in self.conns.values_mut().filter(|c| c.camera == camera) {
            c.dead = true;
        }
    }

    /// A camera is switched off; its connections are reset or lead nowhere.
    pub fn switch_off(&mut self, now: Monotonic, camera: usize) {
        self.cameras[camera].off = true;
        if self.random.percent(50) {
            self.hang_up(now, camera, Hangup::Reset);
        } else {
            self.strand(camera);
        }
    }

    /// A camera starts anew with these flaws.
    pub fn switch_on(
        &mut self,
        now: Monotonic,
        camera: usize,
        flaws: Vec<Fault>,
        witness: &mut Witness,
    ) {
        self.hang_up(now, camera, Hangup::Reset);
        self.cameras[camera].flaws = flaws;
        self.cameras[camera].switch_on(now, witness);
        // Connections that are only being made will be to the camera as it is now.
        let config = &self.cameras[camera].config;
        let being_made = self.conns.values_mut();
        for c in being_made.filter(|c| c.camera == camera && !c.connected) {
            c.session = ServerSession::new(config.clone(), self.random.next_u64());
        }
    }
}

/// Watches for the ends of the packets in which frames begin, in what a camera is about to send: some
/// cameras do not mark a frame's last packet, and only the next one shows that it was.
fn watch_for_frames(pipe: &mut Pipe, bytes: &[u8], power_on: u32) {
    let before = pipe.waiting();
    let mut at = 0;
    while let Some((place, number)) = synthetic::find_number(&bytes[at..]) {
        pipe.mark(before + bytes.len() - 1, FrameId { power_on, number });
        at += place + 1;
    }
}

/// What a camera's clocks show.
fn camera_now(now: Monotonic) -> Now {
    Now {
        monotonic: now,
        wall: true_wall_at(now),
    }
}
