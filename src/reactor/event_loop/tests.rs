//! The loop with a core that does what a test says and keeps what it hears.

mod encrypted;
mod half_closed;
mod reading;
mod serving;

use super::*;
use crate::config::{HttpConfig, Listen, LogTarget};
use crate::nvr::port::{ConnId, DiskReply, DiskRequest, HelperId, LookupId, OpId, SocketError};
use crate::reactor::MAX_SEND_QUEUE_BYTES;
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
    Draining(ConnId),
    Sending(ConnId),
    InputEnded(ConnId),
    Closed(ConnId, Result<(), SocketError>),
    Interfaces(Vec<crate::nvr::port::Interface>),
    UdpBound(ConnId, ConnId, Result<u16, SocketError>),
    Accepted(ConnId, usize, bool),
    Disk(OpId, Result<(), String>),
    Db(DbId, Result<(), String>),
    Helper(HelperId, Result<(), String>),
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
    /// Who sends no more is not closed at once.
    answers_later: bool,
    stats: Option<ReactorStats>,
    uid: Option<u32>,
    tls: bool,
    /// How long it is busy with each event.
    takes: Duration,
}

impl Core for TestCore {
    fn handle(&mut self, now: Now, event: Event<'_>) {
        let began = std::time::Instant::now();
        while began.elapsed() < self.takes {
            std::hint::spin_loop();
        }
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
            Event::Draining { conn } => Heard::Draining(conn),
            Event::Sending { conn } => Heard::Sending(conn),
            Event::InputEnded { conn } => {
                if !self.answers_later {
                    self.actions.push_back(Action::Close { conn, flush: true });
                }
                Heard::InputEnded(conn)
            }
            Event::Closed { conn, reason } => Heard::Closed(conn, reason),
            Event::UdpBound { rtp, rtcp, result } => Heard::UdpBound(rtp, rtcp, result),
            Event::Interfaces(all) => Heard::Interfaces(all),
            Event::Accepted {
                conn,
                listener,
                peer,
                uid,
                tls,
            } => {
                self.uid = uid;
                self.tls = tls;
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
            Event::Helper { id, result } => {
                Heard::Helper(id, result.map(|_| ()).map_err(|e| e.to_string()))
            }
            Event::Reload(_) => Heard::Reload,
            Event::Stats(stats) => {
                self.stats = Some(stats.clone());
                return;
            }
            Event::Logged(_) => return,
            Event::Steward { .. } => return,
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
    let http = listen.iter().cloned().map(HttpConfig::new);
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
    el.until(|c| c.heard(&Heard::InputEnded(conn)));
    el.until_all(|el| el.sockets.len() == 0);
}

#[test]
fn echoes_over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nvr.sock");
    // One that a run before left behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut el = event_loop(&[Listen::Unix(path.clone())]);
    el.core.echo = true;
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"hello").unwrap();
    el.until(|c| c.received.len() == 5);
    let conn = el.core.accepted().unwrap();
    assert!(el.core.heard(&Heard::Accepted(conn, 0, false)));
    assert_eq!(el.core.uid, Some(nix::unistd::getuid().as_raw()));
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o660);

    // Somebody else is not robbed of his socket.
    let mut second = event_loop(&[Listen::Unix(path.clone())]);
    assert!(second.listeners.next_deadline().is_some());
    second.listeners.close();
    assert!(path.exists());
    el.listeners.close();
    assert!(!path.exists());
    drop(client);
    el.until(|c| c.heard(&Heard::Closed(conn, Ok(()))));
}

#[test]
fn a_name_that_systemd_did_not_give_is_tried_again() {
    let el = event_loop(&[Listen::Systemd("web".into())]);
    assert!(el.listeners.next_deadline().is_some());
}

#[test]
fn connecting_fails_with_a_reason() {
    let mut el = event_loop(&[]);
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = nobody.local_addr().unwrap();
    drop(nobody);
    el.does(Action::Connect { conn: A, addr });
    el.until(|c| c.heard(&Heard::Closed(A, Err(SocketError::Refused))));
    // Its id is gone: nothing happens.
    el.does(Action::Send {
        conn: A,
        bytes: vec![1],
    });
    el.does(Action::Close {
        conn: A,
        flush: true,
    });
    assert_eq!(el.core.heard.len(), 1);
}

#[test]
fn a_reset_is_told() {
    let mut el = event_loop(&[]);
    let peer = connected(&mut el, A);
    nix::sys::socket::setsockopt(
        &peer,
        nix::sys::socket::sockopt::Linger,
        &libc::linger {
            l_onoff: 1,
            l_linger: 0,
        },
    )
    .unwrap();
    drop(peer);
    el.until(|c| c.heard(&Heard::Closed(A, Err(SocketError::Reset))));
}

#[test]
fn timers_fire_when_due_and_once() {
    let mut el = event_loop(&[]);
    let due = el.clock.monotonic() + Duration::from_millis(30);
    el.core.timeout = Some(due);
    el.until(|c| c.heard(&Heard::Timeout));
    assert!(el.clock.monotonic() >= due);
    assert_eq!(el.core.heard.len(), 1);
    // Turns are not taken while nothing is due.
    assert!(el.timeout() > Duration::from_secs(1));
}

#[test]
fn what_waits_to_be_sent_is_told_when_it_is_gone() {
    let mut el = event_loop(&[]);
    let mut peer = connected(&mut el, A);
    let bytes: Vec<u8> = (0..MAX_SEND_QUEUE_BYTES).map(|i| (i >> 10) as u8).collect();
    for piece in bytes.chunks(100_000) {
        el.does(Action::Send {
            conn: A,
            bytes: piece.to_vec(),
        });
    }
    el.until_all(|el| !el.sockets.has_unflushed());
    assert!(!el.core.heard(&Heard::Drained(A)));
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; MAX_SEND_QUEUE_BYTES];
        peer.read_exact(&mut got).unwrap();
        (peer, got)
    });
    el.until(|c| c.heard(&Heard::Drained(A)));
    let (peer, got) = reader.join().unwrap();
    assert!(got == bytes);
    assert_eq!(el.sockets.bytes_sent(), bytes.len() as u64);
    let drained = |h: &&Heard| **h == Heard::Drained(A);
    assert_eq!(el.core.heard.iter().filter(drained).count(), 1);
    drop(peer);
}

#[test]
fn too_much_to_send_closes_the_connection() {
    let mut el = event_loop(&[]);
    let _peer = connected(&mut el, A);
    for _ in 0..=MAX_SEND_QUEUE_BYTES / 1_000_000 {
        el.does(Action::Send {
            conn: A,
            bytes: vec![0; 1_000_000],
        });
    }
    el.until(|c| c.heard(&Heard::Closed(A, Err(SocketError::Overflow))));
}

#[test]
fn closing_sends_what_is_queued_and_waits_for_the_peer() {
    let mut el = event_loop(&[]);
    let mut peer = connected(&mut el, A);
    peer.write_all(b"never read by the core").unwrap();
    el.does(Action::Send {
        conn: A,
        bytes: vec![7; 3_000_000],
    });
    el.does(Action::Close {
        conn: A,
        flush: true,
    });
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        peer.write_all(b"and one more").unwrap();
        got.len()
    });
    el.until_all(|el| el.sockets.len() == 0);
    assert_eq!(reader.join().unwrap(), 3_000_000);
    // It was the core that closed it, so it hears nothing.
    assert_eq!(el.core.heard, [Heard::Connected(A)]);
}

#[test]
fn a_peer_that_does_not_close_is_cut() {
    let mut el = event_loop(&[]);
    let _peer = connected(&mut el, A);
    el.does(Action::Close {
        conn: A,
        flush: true,
    });
    el.until_all(|el| !el.sockets.has_flushing());
    assert_eq!(el.sockets.len(), 1);
    let deadline = el.sockets.next_deadline().unwrap();
    assert!(deadline > el.clock.monotonic());
    el.sockets.expire(deadline);
    assert_eq!((el.sockets.len(), el.sockets.next_deadline()), (0, None));
}

#[test]
fn what_the_peer_said_before_it_closed_is_heard() {
    let mut el = event_loop(&[]);
    let mut peer = connected(&mut el, A);
    peer.write_all(&[1; 100_000]).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    el.until(|c| c.heard(&Heard::Closed(A, Ok(()))));
    assert_eq!(el.core.received.len(), 100_000);
    assert_eq!(el.core.heard.last(), Some(&Heard::Closed(A, Ok(()))));
}

#[test]
fn too_many_visitors_are_turned_away() {
    let mut el = event_loop(&[any_port()]);
    let port = el.port();
    let mut clients = Vec::new();
    for n in 1..=crate::reactor::MAX_ACCEPTED_CONNECTIONS {
        clients.push(TcpStream::connect(port).unwrap());
        el.until_all(|el| el.sockets.len() == n);
    }
    let mut one_more = TcpStream::connect(port).unwrap();
    el.until_all(|el| el.stats.connections_refused == 1);
    assert_eq!(one_more.read(&mut [0]).unwrap(), 0);
    clients.pop();
    el.until_all(|el| el.sockets.len() == clients.len());
    let _welcome = TcpStream::connect(port).unwrap();
    el.until_all(|el| el.sockets.len() == clients.len() + 1);
    assert_eq!(el.stats.connections_refused, 1);
}

#[test]
fn addresses_that_stay_keep_their_socket() {
    let mut el = event_loop(&[any_port()]);
    let before = el.port();
    let dir = tempfile::tempdir().unwrap();
    let unix = Listen::Unix(dir.path().join("s"));
    let now = el.clock.monotonic();
    let plain = |listen: &Listen| (listen.clone(), Security::Plain);
    el.listeners
        .configure(&[plain(&unix), plain(&any_port())], now);
    assert_eq!(el.listeners.local_addr(1), Some(before));
    let _client = TcpStream::connect(before).unwrap();
    el.until(|c| c.accepted().is_some());
    assert!(matches!(el.core.heard[0], Heard::Accepted(_, 1, true)));
    el.listeners.configure(&[plain(&unix)], now);
    assert!(TcpStream::connect(before).is_err());
}

#[test]
fn an_address_in_use_is_taken_when_it_is_free() {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = other.local_addr().unwrap();
    let mut el = event_loop(&[Listen::Tcp(addr)]);
    assert_eq!(el.listeners.local_addr(0), None);
    let retry = el.listeners.next_deadline().unwrap();
    drop(other);
    el.listeners.retry(retry);
    assert_eq!(el.listeners.local_addr(0), Some(addr));
    assert!(matches!(
        el.listeners.next_notice(),
        Some(Notice::Works { .. })
    ));
}

#[test]
fn names_are_resolved() {
    let mut el = event_loop(&[]);
    for (n, host) in [(1, "127.0.0.1"), (2, "localhost")] {
        let lookup = LookupId(n);
        let host = host.to_owned();
        el.does(Action::Lookup { lookup, host });
    }
    el.until(|c| {
        c.heard(&Heard::Resolved(LookupId(1), true)) && c.heard(&Heard::Resolved(LookupId(2), true))
    });
}

#[test]
fn the_database_answers_in_order_and_is_bounded() {
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let mut setup = setup(&[]);
    setup.database = Box::new(move |_| {
        let _ = gate.recv();
        Ok(db::Reply::Done)
    });
    let mut el = EventLoop::new(TestCore::default(), setup).unwrap();
    let asked = MAX_DB_REQUESTS as u64 + 5;
    for id in 0..asked {
        let request = db::Request::DirAttached { dir: DirId(1) };
        el.does(Action::Db {
            id: DbId(id),
            request,
        });
    }
    el.until(|c| !c.heard.is_empty());
    let refused = |h: &Heard| matches!(h, Heard::Db(_, Err(_)));
    assert!(el.core.heard.iter().all(refused));
    assert!(el.database.stuck_since().is_some());
    drop(open);
    el.until(|c| c.heard.len() as u64 == asked);
    let fine = el.core.heard.iter().filter_map(|h| match h {
        Heard::Db(id, Ok(())) => Some(id.0),
        _ => None,
    });
    let fine: Vec<u64> = fine.collect();
    assert!(fine.len() >= MAX_DB_REQUESTS);
    assert!(fine.is_sorted() && fine[0] == 0);
}

#[test]
fn answers_that_take_long_are_spread_over_turns() {
    let mut el = event_loop(&[]);
    el.turn(Some(Duration::ZERO)).unwrap();
    el.core.heard.clear();
    el.core.takes = STAGE_LIMIT;
    // The next figures come long after this.
    el.next_stats = el.clock.monotonic() + Duration::from_secs(3600);
    el.refused.extend((0..5).map(DbId));
    let mut turns = Vec::new();
    while el.timeout().is_zero() {
        let before = el.core.heard.len();
        // It would wait if it thought that there is nothing to do.
        el.turn(None).unwrap();
        turns.push(el.core.heard.len() - before);
        assert!(turns.len() < 10, "{turns:?}");
    }
    // One at the turn's beginning and one when all was sent. On a busy machine something else may be due by then.
    turns.retain(|heard| *heard > 0);
    assert_eq!(turns, [2, 2, 1]);
}

#[test]
fn reading_that_takes_long_is_spread_over_turns() {
    let mut el = event_loop(&[any_port()]);
    let clients: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect(el.port()).unwrap())
        .collect();
    let accepted = |c: &TestCore| {
        c.heard
            .iter()
            .filter(|h| matches!(h, Heard::Accepted(..)))
            .count()
    };
    el.until(|c| accepted(c) == 3);
    el.core.takes = STAGE_LIMIT;
    for mut client in &clients {
        client.write_all(b"all at once").unwrap();
    }
    let received = |c: &TestCore| {
        c.heard
            .iter()
            .filter(|h| matches!(h, Heard::Received(..)))
            .count()
    };
    let mut turns = 0;
    while received(&el.core) < 3 {
        let before = received(&el.core);
        el.turn(Some(Duration::from_secs(5))).unwrap();
        assert!(received(&el.core) <= before + 1);
        turns += 1;
        assert!(turns < 100);
    }
}

#[test]
fn the_disk_answers() {
    let dir = tempfile::tempdir().unwrap();
    for disk in [DiskChoice::Auto, DiskChoice::Threads] {
        let mut setup = setup(&[]);
        setup.disk = disk;
        let mut el = EventLoop::new(TestCore::default(), setup).unwrap();
        let request = DiskRequest::Attach {
            dir: DirId(1),
            path: dir.path().to_owned(),
            request: AttachRequest {
                identity: crate::recording::DirIdentity {
                    database: uuid::Uuid::nil(),
                    directory: uuid::Uuid::nil(),
                },
                may_create: true,
                read_only: false,
                committed: Default::default(),
            },
        };
        el.does(Action::Disk {
            op: OpId(1),
            request,
        });
        el.until(|c| c.heard(&Heard::Disk(OpId(1), Ok(()))));
        el.does(Action::Disk {
            op: OpId(2),
            request: DiskRequest::SyncDir { dir: DirId(1) },
        });
        el.until(|c| c.heard(&Heard::Disk(OpId(2), Ok(()))));
        assert_eq!(el.disk.stuck_since(), None);
    }
}

#[test]
fn the_core_is_told_how_the_reactor_fares() {
    let mut el = event_loop(&[]);
    let _peer = connected(&mut el, A);
    let slow = Duration::from_secs(3600);
    el.stats.turns.longest_recent = slow;
    el.next_stats = el.clock.monotonic();
    el.core.stats = None;
    el.until(|c| c.stats.is_some());
    let stats = el.core.stats.as_ref().unwrap();
    assert_eq!(stats.connections, 1);
    assert!(stats.turns.counts.iter().sum::<u64>() > 0);
    assert_eq!(stats.turns.longest_recent, slow);
    assert!(el.stats.turns.longest_recent < slow);
    assert!(["io_uring", "threads"].contains(&stats.disk_backend));
}

#[test]
fn it_ends_after_the_last_words() {
    let mut el = event_loop(&[any_port()]);
    let port = el.port();
    let mut peer = connected(&mut el, A);
    el.core.actions.extend([
        Action::Send {
            conn: A,
            bytes: b"TEARDOWN".to_vec(),
        },
        Action::Close {
            conn: A,
            flush: true,
        },
        Action::Exit,
    ]);
    assert_eq!(el.run().unwrap(), End::InGoodOrder);
    let mut said = Vec::new();
    peer.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"TEARDOWN");
    assert!(TcpStream::connect(port).is_err());
}

#[test]
fn ticks_fall_together() {
    let ms = |n: u64| Monotonic(n * 1_000_000);
    let tick = Duration::from_millis(100);
    assert_eq!(next_multiple(ms(1), tick), ms(100));
    assert_eq!(next_multiple(ms(100), tick), ms(200));
    // A turn that took long is not made up for.
    assert_eq!(next_multiple(ms(1234), tick), ms(1300));
}
