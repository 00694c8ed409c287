//! A client that costs little: one connection, bodies thrown away.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::path::Path;

pub struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(port: u16) -> Client {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_nodelay(true).unwrap();
        Client {
            socket,
            buffer: vec![0; 1 << 20],
        }
    }

    fn ask(&mut self, target: &str, range: Option<Range<u64>>) {
        let range = range.map_or_else(String::new, |r| {
            format!("Range: bytes={}-{}\r\n", r.start, r.end - 1)
        });
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{range}\r\n");
        self.socket.write_all(request.as_bytes()).unwrap();
    }

    /// Reads up to the end of the head: the body's length, and how much of it has come already.
    fn head(&mut self) -> (u64, Range<usize>) {
        let mut filled = 0;
        loop {
            let n = self.socket.read(&mut self.buffer[filled..]).unwrap();
            assert!(n > 0, "the connection has ended");
            filled += n;
            let end = self.buffer[..filled]
                .windows(4)
                .position(|w| w == b"\r\n\r\n");
            if let Some(end) = end {
                let head = std::str::from_utf8(&self.buffer[..end]).unwrap();
                let ok = head.starts_with("HTTP/1.1 20");
                assert!(ok, "{head}");
                let len = head
                    .lines()
                    .find_map(|l| l.strip_prefix("Content-Length: "))
                    .unwrap();
                return (len.parse().unwrap(), end + 4..filled);
            }
        }
    }

    /// Reads a whole body; how long it is.
    pub fn get(&mut self, target: &str, range: Option<Range<u64>>) -> u64 {
        self.ask(target, range);
        self.body(|| true)
    }

    /// Reads a range as long as it is wanted: how much it got. Then the connection may be of no more use.
    pub fn get_while(&mut self, target: &str, range: Range<u64>, wanted: impl Fn() -> bool) -> u64 {
        self.ask(target, Some(range));
        self.body(wanted)
    }

    /// The length of a whole body, which is not read.
    pub fn length(mut self, target: &str) -> u64 {
        self.ask(target, None);
        self.head().0
    }

    /// A body as text.
    pub fn text(&mut self, target: &str) -> String {
        self.ask(target, None);
        let (len, got) = self.head();
        let mut body = self.buffer[got].to_vec();
        while (body.len() as u64) < len {
            let n = self.socket.read(&mut self.buffer).unwrap();
            assert!(n > 0, "the connection has ended");
            body.extend_from_slice(&self.buffer[..n]);
        }
        String::from_utf8(body).unwrap()
    }

    fn body(&mut self, wanted: impl Fn() -> bool) -> u64 {
        let (len, got) = self.head();
        let mut left = len - got.len() as u64;
        while left > 0 && wanted() {
            let n = self.socket.read(&mut self.buffer).unwrap();
            assert!(n > 0, "the connection has ended");
            left -= n as u64;
        }
        len - left
    }

    /// Reads the first byte of a body, and no more.
    pub fn first_byte(&mut self, target: &str) {
        self.ask(target, None);
        let (_, got) = self.head();
        if got.is_empty() {
            assert!(self.socket.read(&mut self.buffer[..1]).unwrap() > 0);
        }
    }

    pub fn save(&mut self, target: &str, path: &Path) -> u64 {
        self.ask(target, None);
        let (len, got) = self.head();
        let mut file = std::fs::File::create(path).unwrap();
        let mut left = len - got.len() as u64;
        file.write_all(&self.buffer[got]).unwrap();
        while left > 0 {
            let n = self.socket.read(&mut self.buffer).unwrap();
            assert!(n > 0, "the connection has ended");
            file.write_all(&self.buffer[..n]).unwrap();
            left -= n as u64;
        }
        len
    }
}
