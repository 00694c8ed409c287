//! The log over sockets of our own; a real server is tried in tests/syslog_rsyslogd.rs.

use super::*;
use crate::reactor::tokens::Target;
use mio::{Events, Poll};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Instant;

const PATIENCE: Duration = Duration::from_secs(20);

fn record(n: usize) -> LogRecord {
    LogRecord {
        severity: Severity::Warning,
        event: "test",
        camera: None,
        stream: None,
        message: format!("number {n}"),
    }
}

/// A log, and a time that passes only when it is told to.
struct Bench {
    log: Log,
    poll: Poll,
    now: Now,
}

impl Bench {
    fn new(to: LogTarget) -> Bench {
        let poll = Poll::new().unwrap();
        let config = SyslogConfig {
            to,
            level: Severity::Info,
        };
        let registry = poll.registry().try_clone().unwrap();
        Bench {
            log: Log::new(&config, &TimeZone::UTC, registry),
            poll,
            now: Now::default(),
        }
    }

    fn write(&mut self, numbers: std::ops::Range<usize>) {
        for n in numbers {
            self.log.write(self.now, &record(n));
        }
    }

    /// Flushes and passes the time until `done`.
    #[track_caller]
    fn until(&mut self, mut done: impl FnMut(&mut Log) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(&mut self.log) {
            assert!(Instant::now() < deadline, "in vain: {:?}", self.log);
            self.log.flush(self.now);
            if let Some(host) = self.log.wanted_name() {
                let result = host.parse().map(|ip| vec![ip]).map_err(|_| host);
                self.log.resolved(self.now.monotonic, result);
            }
            let mut events = Events::with_capacity(4);
            let wait = Some(Duration::from_millis(10));
            self.poll.poll(&mut events, wait).unwrap();
            if events.iter().any(|e| e.token() == Target::Log.token()) {
                self.log.ready(self.now.monotonic);
            }
            if let Some(at) = self.log.next_deadline() {
                self.now.monotonic = self.now.monotonic.max(at);
            }
        }
    }
}

fn numbers(lines: &[String]) -> Vec<usize> {
    let number = |line: &String| line.rsplit_once("number ")?.1.parse().ok();
    lines.iter().filter_map(number).collect()
}

/// Reads what is there.
fn received(socket: &UnixDatagram, lines: &mut Vec<String>) {
    let mut buf = [0; 4096];
    while let Ok(n) = socket.recv(&mut buf) {
        lines.push(String::from_utf8(buf[..n].to_vec()).unwrap());
    }
}

fn unix_server(path: &PathBuf) -> UnixDatagram {
    let server = UnixDatagram::bind(path).unwrap();
    server.set_nonblocking(true).unwrap();
    server
}

#[test]
fn the_level_decides() {
    let mut b = Bench::new(LogTarget::Unix("/nonexistent/log".into()));
    let debug = LogRecord {
        severity: Severity::Debug,
        ..record(1)
    };
    b.log.write(b.now, &debug);
    assert!(!b.log.has_queued());
    b.log.write(b.now, &record(1));
    assert!(b.log.has_queued());
}

#[test]
fn drops_are_counted_and_told_once_it_flows_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut b = Bench::new(LogTarget::Unix(path.clone()));
    // Nobody is there.
    let written = MAX_QUEUED_LINES + 77;
    b.write(0..written);
    b.log.flush(b.now);
    assert!(b.log.next_deadline().is_some());
    assert_eq!(b.log.dropped(), 77);
    let server = unix_server(&path);
    let mut lines = Vec::new();
    b.until(|log| {
        received(&server, &mut lines);
        !log.has_queued() && log.untold == 0
    });
    received(&server, &mut lines);
    let told = lines.pop().unwrap();
    assert!(told.contains("] 77 log lines were lost"), "{told}");
    assert!(told.contains("event=\"log-lines-lost\""), "{told}");
    assert_eq!(numbers(&lines), (0..MAX_QUEUED_LINES).collect::<Vec<_>>());

    // It goes away and comes back, as when it is started anew.
    drop(server);
    std::fs::remove_file(&path).unwrap();
    b.write(0..1);
    b.log.flush(b.now);
    assert!(b.log.has_queued());
    let server = unix_server(&path);
    b.until(|log| !log.has_queued());
    lines.clear();
    received(&server, &mut lines);
    assert_eq!(numbers(&lines), [0]);
    assert_eq!(b.log.dropped(), 77);
}

#[test]
fn a_server_that_does_not_read_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let server = unix_server(&path);
    let mut b = Bench::new(LogTarget::Unix(path));
    b.write(0..1000);
    for _ in 0..20 {
        b.log.flush(b.now);
    }
    assert!(b.log.has_queued(), "its queue takes about ten");
    let retry = b.log.next_deadline().unwrap();
    assert_eq!(retry, b.now.monotonic + ROOM_INTERVAL);
    let mut lines = Vec::new();
    b.until(|log| {
        received(&server, &mut lines);
        !log.has_queued()
    });
    received(&server, &mut lines);
    assert_eq!(numbers(&lines), (0..1000).collect::<Vec<_>>());
}

#[test]
fn over_udp() {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut b = Bench::new(LogTarget::Udp {
        host: "127.0.0.1".into(),
        port: server.local_addr().unwrap().port(),
    });
    b.write(0..3);
    b.until(|log| !log.has_queued());
    for n in 0..3 {
        let mut buf = [0; 4096];
        let len = server.recv(&mut buf).unwrap();
        assert!(buf[..len].ends_with(format!("number {n}").as_bytes()));
    }
}

#[test]
fn a_name_that_does_not_resolve_is_asked_again_later() {
    let mut b = Bench::new(LogTarget::Udp {
        host: "none".into(),
        port: 514,
    });
    b.write(0..1);
    b.log.flush(b.now);
    assert_eq!(b.log.wanted_name().as_deref(), Some("none"));
    assert_eq!(b.log.wanted_name(), None);
    assert!(!b.log.wants_flush());
    b.log.resolved(b.now.monotonic, Err("no".into()));
    let first = b.log.next_deadline().unwrap();
    assert_eq!(first, b.now.monotonic + MIN_BACKOFF);
    b.now.monotonic = first;
    b.log.flush(b.now);
    assert_eq!(b.log.wanted_name().as_deref(), Some("none"));
    b.log.resolved(b.now.monotonic, Err("no".into()));
    assert_eq!(b.log.next_deadline(), Some(first + MIN_BACKOFF * 2));
}

/// Takes octet-counted messages off `bytes` (RFC 6587 section 3.4.1).
fn messages(bytes: &[u8]) -> Vec<String> {
    let mut text = std::str::from_utf8(bytes).unwrap();
    let mut messages = Vec::new();
    while let Some((len, rest)) = text.split_once(' ') {
        let (message, rest) = rest.split_at(len.parse().unwrap());
        messages.push(message.to_owned());
        text = rest;
    }
    messages
}

#[test]
fn over_tcp_and_over_it_again() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = server.local_addr().unwrap();
    let mut b = Bench::new(LogTarget::Tcp {
        host: "127.0.0.1".into(),
        port: addr.port(),
    });
    b.write(0..500);
    b.until(|log| !log.has_queued());
    let mut first = server.accept().unwrap().0;
    drop(server);
    // It closes, and nobody is there for a while.
    first.set_nonblocking(true).unwrap();
    let mut bytes = Vec::new();
    b.until(|_| {
        let _ = first.read_to_end(&mut bytes);
        bytes.ends_with(b"number 499")
    });
    let all: Vec<usize> = (0..500).collect();
    assert_eq!(numbers(&messages(&bytes)), all);
    drop(first);
    b.until(|log| matches!(log.state, State::Closed));
    b.write(500..510);
    b.until(|log| log.backoff > MIN_BACKOFF * 2);
    assert!(b.log.has_queued());
    let server = TcpListener::bind(addr).unwrap();
    b.until(|log| !log.has_queued());
    let mut second = server.accept().unwrap().0;
    drop(b);
    bytes.clear();
    second.read_to_end(&mut bytes).unwrap();
    let rest: Vec<usize> = (500..510).collect();
    assert_eq!(numbers(&messages(&bytes)), rest);
}

#[test]
fn another_target_loses_what_waits_for_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut b = Bench::new(LogTarget::Unix("/nonexistent/log".into()));
    b.write(0..5);
    b.log.flush(b.now);
    let config = SyslogConfig {
        to: LogTarget::Unix(path.clone()),
        level: Severity::Error,
    };
    b.log.configure(&config, &TimeZone::UTC);
    let server = unix_server(&path);
    let mut lines = Vec::new();
    b.until(|log| {
        received(&server, &mut lines);
        log.untold == 0 && !log.has_queued()
    });
    received(&server, &mut lines);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("5 log lines were lost"));
}
