//! What a bare program costs on the same bytes.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// A floor's process: receives until it is killed.
pub fn run(floor: &str, address: &str, streams: usize, dir: &Path) {
    let connections: Vec<(TcpStream, File)> = (0..streams)
        .map(|i| {
            let mut stream = TcpStream::connect(address).expect("the source");
            stream
                .write_all(b"RAW\r\n\r\n")
                .expect("the source takes a request");
            stream.set_nonblocking(true).expect("a socket");
            (
                stream,
                File::create(dir.join(format!("floor-{i}"))).expect("a file"),
            )
        })
        .collect();
    match floor {
        "epoll-each" => epoll_each(connections),
        _ => tick100_parse(connections),
    }
}

fn epoll_each(mut connections: Vec<(TcpStream, File)>) {
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll");
    for (i, (stream, _)) in connections.iter().enumerate() {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, i as u64);
        epoll
            .add(stream.as_fd(), event)
            .expect("epoll takes a socket");
    }
    let mut buffer = vec![0; 256 << 10];
    let mut events = [EpollEvent::empty(); 256];
    loop {
        let n = epoll.wait(&mut events, EpollTimeout::NONE).unwrap_or(0);
        for event in &events[..n] {
            let (stream, file) = &mut connections[event.data() as usize];
            if let Ok(n) = stream.read(&mut buffer) {
                file.write_all(&buffer[..n]).expect("the disk takes it");
            }
        }
    }
}

/// One connection of `tick100-parse`.
struct Parsed {
    stream: TcpStream,
    file: File,
    /// What a read left of a packet.
    torn: Vec<u8>,
    out: Vec<u8>,
    /// Where the length of the NAL unit being put together stands.
    nal: Option<usize>,
}

fn tick100_parse(connections: Vec<(TcpStream, File)>) {
    let mut connections: Vec<Parsed> = connections
        .into_iter()
        .map(|(stream, file)| Parsed {
            stream,
            file,
            torn: Vec::new(),
            out: Vec::new(),
            nal: None,
        })
        .collect();
    let mut buffer = vec![0; 1 << 20];
    let begin = Instant::now();
    for tick in 1u32.. {
        let due = begin + Duration::from_millis(100) * tick;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for c in &mut connections {
            c.drain(&mut buffer);
        }
    }
}

impl Parsed {
    fn drain(&mut self, buffer: &mut [u8]) {
        let torn = self.torn.len();
        buffer[..torn].copy_from_slice(&self.torn);
        self.torn.clear();
        let Ok(n) = self.stream.read(&mut buffer[torn..]) else {
            self.torn.extend_from_slice(&buffer[..torn]);
            return;
        };
        let bytes = &buffer[..torn + n];
        let mut at = 0;
        while at + 4 <= bytes.len() {
            let len = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            let Some(packet) = bytes.get(at + 4..at + 4 + len) else {
                break;
            };
            if bytes[at + 1] == 0 && len > 14 {
                self.packet(&packet[12..]);
            }
            at += 4 + len;
        }
        self.torn.extend_from_slice(&bytes[at..]);
        if self.out.len() >= 256 << 10 {
            self.file.write_all(&self.out).expect("the disk takes it");
            self.out.clear();
            self.nal = None;
        }
    }

    fn packet(&mut self, payload: &[u8]) {
        match payload[0] & 31 {
            28 => {
                if payload[1] & 0x80 != 0 {
                    self.nal = Some(self.out.len());
                    self.out.extend_from_slice(&[0; 4]);
                    self.out.push(payload[0] & 0xe0 | payload[1] & 31);
                }
                self.out.extend_from_slice(&payload[2..]);
                if payload[1] & 0x40 != 0 {
                    if let Some(at) = self.nal.take() {
                        let len = (self.out.len() - at - 4) as u32;
                        self.out[at..at + 4].copy_from_slice(&len.to_be_bytes());
                    }
                }
            }
            _ => {
                self.out
                    .extend_from_slice(&(payload.len() as u32).to_be_bytes());
                self.out.extend_from_slice(payload);
            }
        }
    }
}
