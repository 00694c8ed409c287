//! The loop with a core that does what a test says and keeps what it hears.

use super::*;
use crate::config::{HttpConfig, Listen, LogTarget};
use crate::nvr::port::{ConnId, DiskReply, DiskRequest, LookupId, OpId, SocketError};
use crate::reactor::disk::directory::SampleDirectory;
use crate::reactor::{BULK_TICK, DiskChoice, GivenSockets};
use crate::recording::DirId;
use crate::recording::recovery::{AttachError, AttachRequest, Attached};
use crate::time::Now;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// What is waited for takes no longer than this, or the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// An event, kept.
#[derive(Debug, PartialEq)]
enum Heard {
    Timeout,
    Resolved(LookupId, bool),
    Connected(ConnId),
    Received(ConnId, usize),
    Datagram(ConnId, SocketAddr, Vec<u8>),
    Drained(ConnId),
    Closed(ConnId, Result<(), SocketError>),
    UdpBound(ConnId, ConnId, Result<u16, SocketError>),
    Accepted(ConnId, usize, bool),
    Disk(OpId, Result<(), String>),
    Db(DbId, Result<(), String>),
    Reload,
    Shutdown,
}

#[derive(Default)]
struct TestCore {
    heard: Vec<Heard>,
    /// When each byte count came, by connection.
    received: Vec<u8>,
    times: Vec<Monotonic>,
    actions: VecDeque<Action>,
    timeout: Option<Monotonic>,
    next_id: u64,
    echo: bool,
    close_accepted: bool,
    stats: Option<ReactorStats>,
}

impl Core for TestCore {
    fn handle(&mut self, now: Now, event: Event<'_>) {
        let heard = match event {
            Event::Timeout => {
                self.timeout = None;
                Heard::Timeout
            }
            Event::Resolved { lookup, result } => Heard::Resolved(lookup, result.is_ok()),
            Event::Connected { conn } => Heard::Connected(conn),
            Event::Received { conn, bytes } => {
                self.received.extend_from_slice(bytes);
                self.times.push(now.monotonic);
                if self.echo {
                    let bytes = bytes.to_vec();
                    self.actions.push_back(Action::Send { conn, bytes });
                }
                Heard::Received(conn, bytes.len())
            }
            Event::Datagram { conn, from, bytes } => Heard::Datagram(conn, from, bytes.to_vec()),
            Event::Drained { conn } => Heard::Drained(conn),
            Event::Closed { conn, reason } => Heard::Closed(conn, reason),
            Event::UdpBound { rtp, rtcp, result } => Heard::UdpBound(rtp, rtcp, result),
            Event::Accepted {
                conn,
                listener,
                peer,
            } => {
                if self.close_accepted {
                    self.actions.push_back(Action::Close { conn, flush: true });
                }
                Heard::Accepted(conn, listener, peer.is_some())
            }
            Event::Disk { op, result, .. } => {
                Heard::Disk(op, result.map(|_: DiskReply| ()).map_err(|e| e.to_string()))
            }
            Event::Db { id, result } => {
                Heard::Db(id, result.map(|_| ()).map_err(|e| e.to_string()))
            }
            Event::Reload(_) => Heard::Reload,
            Event::Stats(stats) => {
                self.stats = Some(stats.clone());
                return;
            }
            Event::Shutdown => Heard::Shutdown,
        };
        self.heard.push(heard);
    }

    fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn next_timeout(&self) -> Option<Monotonic> {
        self.timeout
    }

    fn allocate_conn(&mut self) -> ConnId {
        self.next_id += 1;
        ConnId(1000 + self.next_id)
    }
}

impl TestCore {
    fn heard(&self, what: &Heard) -> bool {
        self.heard.contains(what)
    }

    fn accepted(&self) -> Option<ConnId> {
        self.heard.iter().find_map(|h| match h {
            Heard::Accepted(conn, ..) => Some(*conn),
            _ => None,
        })
    }
}

fn attach(_: &SampleDirectory, _: &AttachRequest) -> Result<Attached, AttachError> {
    Ok(Attached::default())
}

fn setup(listen: &[Listen]) -> Setup {
    let http = listen.iter().map(|listen| HttpConfig {
        listen: listen.clone(),
        allow_unauthenticated: Vec::new(),
    });
    let mut config = Config {
        http: http.collect(),
        ..Config::default()
    };
    config.syslog.to = LogTarget::Nowhere;
    Setup {
        config,
        load_config: None,
        database: Box::new(|_| Ok(db::Reply::Done)),
        attach,
        disk: DiskChoice::Auto,
        given_sockets: GivenSockets::default(),
        bulk_tick: BULK_TICK,
        signals: false,
    }
}

fn event_loop(listen: &[Listen]) -> EventLoop<TestCore> {
    EventLoop::new(TestCore::default(), setup(listen)).unwrap()
}

fn any_port() -> Listen {
    Listen::Tcp((Ipv4Addr::LOCALHOST, 0).into())
}

impl EventLoop<TestCore> {
    fn does(&mut self, action: Action) {
        self.core.actions.push_back(action);
        self.act();
    }

    /// Turns until `done`.
    #[track_caller]
    fn until(&mut self, done: impl Fn(&TestCore) -> bool) {
        self.until_all(|this| done(&this.core));
    }

    #[track_caller]
    fn until_all(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            let heard = &self.core.heard;
            assert!(Instant::now() < deadline, "in vain; heard {heard:?}");
            self.turn(Some(Duration::from_millis(20))).unwrap();
        }
    }

    fn port(&self) -> SocketAddr {
        self.listeners.local_addr(0).unwrap()
    }
}

/// A connection that the core made, and its other side.
fn connected(el: &mut EventLoop<TestCore>, id: ConnId) -> TcpStream {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    el.does(Action::Connect { conn: id, addr });
    el.until(|c| c.heard(&Heard::Connected(id)));
    listener.accept().unwrap().0
}

const A: ConnId = ConnId(1);
const B: ConnId = ConnId(2);

#[test]
fn echoes_over_tcp() {
    let mut el = event_loop(&[any_port()]);
    el.core.echo = true;
    let mut client = TcpStream::connect(el.port()).unwrap();
    client.write_all(b"hello").unwrap();
    el.until(|c| c.received.len() == 5);
    let conn = el.core.accepted().unwrap();
    assert!(el.core.heard(&Heard::Accepted(conn, 0, true)));
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
    drop(client);
    el.until(|c| c.heard(&Heard::Closed(conn, Ok(()))));
    assert_eq!(el.sockets.len(), 0);
}
