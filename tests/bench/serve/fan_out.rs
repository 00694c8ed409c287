//! Live: what a viewer's frame costs, and how long it is on its way from the camera's last packet of it to the
//! viewer, by the time that the source puts into each frame.

use crate::report::Report;
use crate::server::Server;
use crate::source;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use moonfire_nvr::simulated_camera::synthetic::number_of;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

const VIEWERS: [usize; 3] = [1, 10, 50];
/// Until everybody has what was there before.
const WARM_UP: Duration = Duration::from_secs(4);
const SPAN: Duration = Duration::from_secs(15);

pub fn measure(report: &mut Report, server: &Server, target: &str) {
    report.title("live viewers of one stream of 30 frames a second");
    let idle = {
        let before = server.cpu();
        std::thread::sleep(SPAN);
        (server.cpu() - before) / SPAN.as_secs_f64()
    };
    report.told("nobody watches: CPU, ms a second", idle * 1e3);
    for viewers in VIEWERS {
        let mut delays = watch(server, target, viewers);
        let cpu = (delays.cpu - idle * delays.seconds) * 1e6 / delays.ms.len() as f64;
        delays.ms.sort_by(f64::total_cmp);
        let share = |s: f64| delays.ms[((delays.ms.len() - 1) as f64 * s) as usize];
        report.told(
            &format!("{viewers} viewers: CPU, us a viewer and frame"),
            cpu,
        );
        report.told(&format!("{viewers} viewers: delay, ms, middle"), share(0.5));
        report.target(
            &format!("{viewers} viewers: delay, ms, 99 of 100"),
            share(0.99),
            50.0,
            30.0,
        );
        report.told(
            &format!("{viewers} viewers: delay, ms, longest"),
            share(1.0),
        );
    }
}

struct Watched {
    ms: Vec<f64>,
    cpu: f64,
    seconds: f64,
}

struct Viewer {
    socket: TcpStream,
    /// What has come and is not a whole message yet.
    bytes: Vec<u8>,
}

fn watch(server: &Server, target: &str, viewers: usize) -> Watched {
    let mut poll = Poll::new().unwrap();
    let mut all: Vec<Viewer> = (0..viewers).map(|_| join(server.port, target)).collect();
    for (n, v) in all.iter_mut().enumerate() {
        let registry = poll.registry();
        registry
            .register(&mut v.socket, Token(n), Interest::READABLE)
            .unwrap();
    }
    let mut events = Events::with_capacity(256);
    let joined = Instant::now();
    let (mut ms, mut begun) = (Vec::new(), None);
    let mut buffer = vec![0; 1 << 18];
    loop {
        if begun.is_none() && joined.elapsed() > WARM_UP {
            begun = Some((Instant::now(), server.cpu()));
        }
        if let Some((at, cpu)) = begun {
            if at.elapsed() > SPAN {
                return Watched {
                    ms,
                    cpu: server.cpu() - cpu,
                    seconds: at.elapsed().as_secs_f64(),
                };
            }
        }
        poll.poll(&mut events, Some(Duration::from_millis(100)))
            .unwrap();
        for event in &events {
            all[event.token().0].receive(&mut buffer, |stamp, now| {
                if begun.is_some() {
                    ms.push(now.saturating_sub(stamp) as f64 / 1e6);
                }
            });
        }
    }
}

/// A viewer who has been let in.
fn join(port: u16, target: &str) -> Viewer {
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101 "),
        "{}",
        String::from_utf8_lossy(&head)
    );
    socket.set_nonblocking(true).unwrap();
    Viewer {
        socket: TcpStream::from_std(socket),
        bytes: Vec::new(),
    }
}

impl Viewer {
    /// Reads what there is and tells of each frame when it was sent and when it had come.
    fn receive(&mut self, buffer: &mut [u8], mut frame: impl FnMut(u64, u64)) {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => panic!("a viewer was turned away"),
                Ok(n) => self.bytes.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => panic!("{e}"),
            }
        }
        let now = source::monotonic_nanoseconds();
        let mut at = 0;
        while let Some((head, len)) = message(&self.bytes[at..]) {
            let payload = &self.bytes[at + head..at + head + len];
            // One frame in each message of video.
            if let Some(stamp) = number_of(payload) {
                frame(stamp, now);
            }
            at += head + len;
        }
        self.bytes.drain(..at);
    }
}

/// The lengths of a server's WebSocket frame's head and payload (RFC 6455 section 5.2), once all of it
/// is there.
fn message(bytes: &[u8]) -> Option<(usize, usize)> {
    let number = |b: &[u8]| b.iter().fold(0, |n, &b| n << 8 | usize::from(b));
    let (head, len) = match bytes.get(1)? & 0x7f {
        126 => (4, number(bytes.get(2..4)?)),
        127 => (10, number(bytes.get(2..10)?)),
        len => (2, usize::from(len)),
    };
    (bytes.len() >= head + len).then_some((head, len))
}
