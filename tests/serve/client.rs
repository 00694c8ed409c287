//! A small HTTP client: one request, one connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long anything may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a header field; its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (n, v) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then_some(v.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Asks with further header lines, each with its line end.
pub fn request(addr: &str, method: &str, target: &str, fields: &str) -> Reply {
    exchange(addr, method, target, fields, &[]).unwrap()
}

/// Asks with a body of JSON.
pub fn send(addr: &str, method: &str, target: &str, body: &[u8]) -> Reply {
    send_with(addr, method, target, "", body)
}

/// The same with further header lines, each with its line end.
pub fn send_with(addr: &str, method: &str, target: &str, fields: &str, body: &[u8]) -> Reply {
    let fields = format!(
        "{fields}Content-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    exchange(addr, method, target, &fields, body).unwrap()
}

/// Asks somebody who may not be there any more.
pub fn try_send(addr: &str, method: &str, target: &str) {
    let _ = exchange(addr, method, target, "", &[]);
}

fn exchange(
    addr: &str,
    method: &str,
    target: &str,
    fields: &str,
    body: &[u8],
) -> std::io::Result<Reply> {
    let mut socket = TcpStream::connect(addr)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{fields}\r\n");
    socket.write_all(&[head.as_bytes(), body].concat())?;
    // To its end, or to the connection's: not everybody closes it when asked to.
    let (mut reply, mut buf) = (Vec::new(), vec![0; 1 << 16]);
    let mut end = None;
    loop {
        let n = socket.read(&mut buf)?;
        reply.extend_from_slice(&buf[..n]);
        end = end.or_else(|| reply.windows(4).position(|w| w == b"\r\n\r\n"));
        let got = end.map(|end| reply.len() - end - 4);
        let len = end.and_then(|end| body_len(&reply[..end]));
        if n == 0 || (len.is_some() && got >= len) {
            break;
        }
    }
    let end = end.expect("a head");
    let head = String::from_utf8(reply[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = reply.split_off(end + 4);
    Ok(Reply { status, head, body })
}

fn body_len(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).unwrap();
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse().unwrap())
    })
}

pub fn get(addr: &str, target: &str) -> Reply {
    request(addr, "GET", target, "")
}

pub fn range(addr: &str, target: &str, range: &str) -> Reply {
    request(addr, "GET", target, &format!("Range: bytes={range}\r\n"))
}
