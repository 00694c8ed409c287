//! A simulated camera on real sockets, for the commands `simulate-camera` and `demo` and for tests.
//!
//! One thread a camera holds all of its connections in a `mio` loop and feeds their
//! [`ServerSession`]s; live pictures come from one thread a stream ([`super::live`]). Here, and in
//! no other module of the camera, the operating system is asked for the time.

#[cfg(feature = "ffmpeg")]
use super::live::{Live, LiveError, LiveOptions};
use super::server::{Config, ServerOutput, ServerSession, StreamConfig};
use super::source::{Clip, Source};
use super::synthetic::Synthetic;
use super::{AccessUnit, Authentication, Faults};
use crate::time::{Monotonic, Now, Wall90k};
use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// Connections at a time; a further one is closed at once.
pub const MAX_CONNECTIONS: usize = 64;
/// What may wait to be sent to a client, in bytes. One that takes less is closed.
pub const MAX_PENDING_BYTES: usize = 8 << 20;
/// Live frames on their way to the camera's thread. What finds no room is dropped by the encoder.
pub const MAX_QUEUED_FRAMES: usize = 64;
/// How long a connection that is to be closed may take for what is still to be sent.
const CLOSE_TIME: Duration = Duration::from_secs(2);
/// How many ports are tried for an even one with a free one above it.
const UDP_PORT_TRIES: usize = 50;
const READ_BYTES: usize = 16 << 10;

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const RTP: Token = Token(2);
const RTCP: Token = Token(3);
const FIRST_CONNECTION: usize = 4;

/// What a camera shows.
#[derive(Clone, Debug)]
pub enum Picture {
    /// A drawn place with the real time in it, encoded live.
    #[cfg(feature = "ffmpeg")]
    Drawn(super::scene::Place),
    /// Synthetic pictures: the main stream as told, the sub stream at a quarter of its bytes.
    Synthetic(Synthetic),
    /// A file, on both streams.
    Clip(Arc<Clip>),
}

/// A camera to be started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shown in drawn pictures.
    pub name: String,
    /// Port 0 takes any that is free.
    pub listen: SocketAddr,
    pub authentication: Option<Authentication>,
    pub faults: Faults,
    pub picture: Picture,
    /// For nonces, SSRCs and the dice of the faults.
    pub seed: u64,
}

/// Why a camera could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {addr}: {source}")]
    Listen { addr: SocketAddr, source: io::Error },
    #[error("{0}")]
    Io(#[from] io::Error),
    #[cfg(feature = "ffmpeg")]
    #[error("{0}")]
    Live(#[from] LiveError),
}

/// The clocks, counted from when the camera was started.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    fn start() -> Clock {
        Clock {
            start: Instant::now(),
        }
    }

    pub fn now(&self) -> Now {
        let unix = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            monotonic: Monotonic(0) + self.start.elapsed(),
            wall: Wall90k(0) + unix.into(),
        }
    }
}

/// A camera at work. It ends when this is dropped.
#[derive(Debug)]
pub struct RunningCamera {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl RunningCamera {
    /// Binds and starts; when it returns the camera answers.
    pub fn start(options: Options) -> Result<RunningCamera, StartError> {
        let addr = options.listen;
        let listener =
            TcpListener::bind(addr).map_err(|source| StartError::Listen { addr, source })?;
        let addr = listener.local_addr()?;
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let stop = Arc::new(AtomicBool::new(false));
        let mut server = Server::new(&options, poll, listener, waker.clone())?;
        let flag = stop.clone();
        let thread = std::thread::Builder::new()
            .name(format!("camera {}", options.name))
            .spawn(move || server.run(&flag))?;
        Ok(RunningCamera {
            addr,
            stop,
            waker,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of the stream `main` or `sub`, without a password.
    pub fn url(&self, stream: &str) -> String {
        format!("rtsp://{}/{stream}", self.addr)
    }
}

impl Drop for RunningCamera {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Should waking fail the thread ends at its next frame or time-out.
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The camera's thread.
struct Server {
    poll: Poll,
    listener: TcpListener,
    udp: Option<[UdpSocket; 2]>,
    config: Arc<Config>,
    clock: Clock,
    seed: u64,
    connections: BTreeMap<usize, Connection>,
    next_connection: usize,
    frames: mpsc::Receiver<(usize, AccessUnit)>,
    #[cfg(feature = "ffmpeg")]
    live: Vec<Live>,
}

struct Connection {
    socket: TcpStream,
    peer: IpAddr,
    session: ServerSession,
    pending: VecDeque<u8>,
    /// The session wants it closed: when it is, whatever still waits.
    closing: Option<Monotonic>,
}

impl Server {
    fn new(
        options: &Options,
        poll: Poll,
        mut listener: TcpListener,
        waker: Arc<Waker>,
    ) -> Result<Server, StartError> {
        let registry = poll.registry();
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        let mut udp = bind_udp(options.listen.ip());
        if let Some([rtp, rtcp]) = &mut udp {
            registry.register(rtp, RTP, Interest::READABLE)?;
            registry.register(rtcp, RTCP, Interest::READABLE)?;
        }
        let clock = Clock::start();
        let mut config = Config {
            authentication: options.authentication.clone(),
            faults: options.faults.clone(),
            udp_ports: udp.as_ref().and_then(ports),
            ..Config::default()
        };
        let (sender, frames) = mpsc::sync_channel(MAX_QUEUED_FRAMES);
        #[cfg(feature = "ffmpeg")]
        let mut live = Vec::new();
        let sources = match &options.picture {
            Picture::Synthetic(main) => both_synthetic(main),
            Picture::Clip(clip) => [Source::Clip(clip.clone()), Source::Clip(clip.clone())],
            #[cfg(feature = "ffmpeg")]
            Picture::Drawn(place) => {
                let mut start = |index, size, frame_rate| {
                    let stream = LiveOptions {
                        index,
                        place: *place,
                        name: options.name.clone(),
                        size,
                        frame_rate,
                    };
                    let (sender, waker) = (sender.clone(), waker.clone());
                    let stream = Live::start(stream, config.clone(), clock, sender, waker)?;
                    let source = Source::Live(stream.parameters());
                    live.push(stream);
                    Ok::<Source, LiveError>(source)
                };
                [start(0, (1280, 720), 30)?, start(1, (640, 360), 10)?]
            }
        };
        drop((sender, waker));
        config.streams = ["main", "sub"]
            .into_iter()
            .zip(sources)
            .map(|(path, source)| StreamConfig {
                path: path.to_owned(),
                source,
            })
            .collect();
        Ok(Server {
            poll,
            listener,
            udp,
            config: Arc::new(config),
            clock,
            seed: options.seed,
            connections: BTreeMap::new(),
            next_connection: FIRST_CONNECTION,
            frames,
            #[cfg(feature = "ffmpeg")]
            live,
        })
    }

    fn run(&mut self, stop: &AtomicBool) {
        let mut events = Events::with_capacity(128);
        while !stop.load(Ordering::Relaxed) {
            match self.poll.poll(&mut events, self.timeout()) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    WAKER => self.take_frames(),
                    RTP | RTCP => self.discard_datagrams(),
                    Token(number) => self.read(number),
                }
            }
            self.let_time_pass();
            self.tell_demand();
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let deadlines = self.connections.values().map(|c| match c.closing {
            Some(at) => Some(at),
            None => c.session.next_timeout(),
        });
        let next = deadlines.flatten().min()?;
        // Rounded up to the milliseconds that poll counts in, so as not to wake too early.
        let wait = next.since(self.clock.now().monotonic);
        Some(wait + Duration::from_micros(999))
    }

    fn accept(&mut self) {
        while let Ok((mut socket, peer)) = self.listener.accept() {
            if self.connections.len() >= MAX_CONNECTIONS {
                continue;
            }
            let number = self.next_connection;
            self.next_connection += 1;
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registered = self
                .poll
                .registry()
                .register(&mut socket, Token(number), interest);
            if registered.is_err() || socket.set_nodelay(true).is_err() {
                continue;
            }
            let seed = self.seed.wrapping_add(number as u64);
            self.connections.insert(
                number,
                Connection {
                    socket,
                    peer: peer.ip(),
                    session: ServerSession::new(self.config.clone(), seed),
                    pending: VecDeque::new(),
                    closing: None,
                },
            );
        }
    }

    fn take_frames(&mut self) {
        while let Ok((stream, unit)) = self.frames.try_recv() {
            let now = self.clock.now();
            for connection in self.connections.values_mut() {
                connection.session.push(now, stream, &unit);
            }
        }
    }

    /// Receiver reports, and datagrams that open a firewall: nothing to do for either.
    fn discard_datagrams(&mut self) {
        let mut buffer = [0; 2048];
        for socket in self.udp.iter().flatten() {
            while socket.recv_from(&mut buffer).is_ok() {}
        }
    }

    /// Something is to be read from the connection, or may be written; writing is done for all.
    fn read(&mut self, number: usize) {
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        let mut buffer = [0; READ_BYTES];
        loop {
            match connection.socket.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => {
                    let now = self.clock.now();
                    connection.session.receive(now, &buffer[..len]);
                    connection.gather(now.monotonic, self.udp.as_ref());
                    if connection.pending.len() > MAX_PENDING_BYTES {
                        break;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.connections.remove(&number);
    }

    fn let_time_pass(&mut self) {
        let now = self.clock.now();
        let udp = self.udp.as_ref();
        self.connections.retain(|_, connection| {
            let due = connection.session.next_timeout();
            if due.is_some_and(|t| t <= now.monotonic) {
                connection.session.handle_timeout(now);
            }
            connection.gather(now.monotonic, udp);
            connection.write()
                && connection
                    .closing
                    .is_none_or(|at| now.monotonic < at && !connection.pending.is_empty())
        });
    }

    /// Encoders work only while somebody watches.
    fn tell_demand(&self) {
        #[cfg(feature = "ffmpeg")]
        for (stream, live) in self.live.iter().enumerate() {
            let mut sessions = self.connections.values().map(|c| &c.session);
            live.set_demand(sessions.any(|s| s.playing() == Some(stream)));
        }
    }
}

impl Connection {
    /// Takes the session's outputs.
    fn gather(&mut self, now: Monotonic, udp: Option<&[UdpSocket; 2]>) {
        while let Some(output) = self.session.poll_output() {
            match output {
                ServerOutput::Send(bytes) => self.pending.extend(bytes),
                ServerOutput::Datagram {
                    rtcp,
                    client_port,
                    bytes,
                } => {
                    if let Some(sockets) = udp {
                        // A datagram that cannot be sent is lost, as any may be.
                        let to = SocketAddr::new(self.peer, client_port);
                        let _ = sockets[usize::from(rtcp)].send_to(&bytes, to);
                    }
                }
                ServerOutput::Close => {
                    self.closing.get_or_insert(now + CLOSE_TIME);
                }
            }
        }
    }

    /// Writes what the socket takes; `false` when the connection is of no more use.
    fn write(&mut self) -> bool {
        while !self.pending.is_empty() {
            match self.socket.write(self.pending.as_slices().0) {
                Ok(len) => drop(self.pending.drain(..len)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        self.pending.len() <= MAX_PENDING_BYTES
    }
}

/// The main stream as told, the sub stream half as wide and high, with a quarter of the bytes.
fn both_synthetic(main: &Synthetic) -> [Source; 2] {
    let sub = Synthetic {
        width: main.width / 4 * 2,
        height: main.height / 4 * 2,
        sync_bytes: main.sync_bytes / 4,
        other_bytes: main.other_bytes / 4,
        ..main.clone()
    };
    [Source::Synthetic(main.clone()), Source::Synthetic(sub)]
}

fn ports([rtp, rtcp]: &[UdpSocket; 2]) -> Option<(u16, u16)> {
    Some((
        rtp.local_addr().ok()?.port(),
        rtcp.local_addr().ok()?.port(),
    ))
}

/// A pair of sockets on an even port and the odd one above it (RFC 3550 section 11); `None` where
/// none is to be had, and then the camera refuses UDP.
fn bind_udp(ip: IpAddr) -> Option<[UdpSocket; 2]> {
    (0..UDP_PORT_TRIES).find_map(|_| {
        let rtp = UdpSocket::bind(SocketAddr::new(ip, 0)).ok()?;
        let port = rtp.local_addr().ok()?.port();
        if port % 2 == 1 {
            return None;
        }
        let rtcp = UdpSocket::bind(SocketAddr::new(ip, port + 1)).ok()?;
        Some([rtp, rtcp])
    })
}
