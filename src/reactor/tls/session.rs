//! One connection's TLS: bytes of the socket in, bytes for the core out, and the reverse.

use rustls::{ServerConfig, ServerConnection};
use std::io::{self, Read, Write};
use std::sync::Arc;

/// Bytes that are encrypted at a time, and wait for the socket at most: two records (RFC 8446
/// section 5.1) and what they are wrapped in.
pub(in crate::reactor) const PIECE_BYTES: usize = 32 << 10;

/// Reads of a socket for one call of [`Session::receive`].
const MAX_READS: usize = 16;

/// The first byte of a TLS connection: a handshake record (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// What somebody gets who speaks HTTP where TLS is spoken (RFC 9110 section 15.5.1).
pub(in crate::reactor) const PLAIN_HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 74\r\n\
    Connection: close\r\n\r\n\
    This address speaks HTTPS only: write https:// before it instead of http.\n";

/// The server's side of a TLS connection.
#[derive(Debug)]
pub(in crate::reactor) struct Session {
    inner: Box<ServerConnection>,
    /// Nothing was read yet.
    is_fresh: bool,
    is_closed: bool,
}

/// What [`Session::receive`] found.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::reactor) enum Received {
    /// So many bytes for the core.
    Bytes(usize),
    /// The handshake is complete. There may be bytes for the core already.
    HandshakeDone,
    /// Nothing more for now.
    Nothing,
    /// Nothing, but there may be more to read.
    Again,
    /// The peer has closed.
    End,
    /// It begins as a request of HTTP does, not as TLS.
    PlainHttp,
}

/// Why a connection cannot go on. There may be a last word for the peer.
#[derive(Debug)]
pub(in crate::reactor) enum Failure {
    Socket(io::Error),
    /// What was received is not what TLS allows.
    Protocol(rustls::Error),
}

impl Session {
    pub(in crate::reactor) fn new(config: Arc<ServerConfig>) -> Result<Session, rustls::Error> {
        let mut inner = Box::new(ServerConnection::new(config)?);
        inner.set_buffer_limit(Some(PIECE_BYTES));
        Ok(Session {
            inner,
            is_fresh: true,
            is_closed: false,
        })
    }

    pub(in crate::reactor) fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    /// Reads from the socket, and gives what was in it for the core.
    pub(in crate::reactor) fn receive(
        &mut self,
        socket: &mut impl Read,
        plain: &mut [u8],
    ) -> Result<Received, Failure> {
        for _ in 0..MAX_READS {
            let was_handshaking = self.is_handshaking();
            if !was_handshaking {
                match self.inner.reader().read(plain) {
                    Ok(0) => return Ok(Received::End),
                    Ok(n) => return Ok(Received::Bytes(n)),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    // It closed without saying so in TLS. HTTP says itself how long things are.
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                        return Ok(Received::End);
                    }
                    Err(e) => return Err(Failure::Socket(e)),
                }
            }
            let mut first = First { socket, byte: None };
            match self.inner.read_tls(&mut first) {
                // The reader above tells what kind of end it is.
                Ok(0) if was_handshaking => return Ok(Received::End),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Nothing),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Failure::Socket(e)),
            }
            if let (true, Some(byte)) = (std::mem::take(&mut self.is_fresh), first.byte) {
                if byte != HANDSHAKE_RECORD && (byte.is_ascii_uppercase() || byte == b'\r') {
                    return Ok(Received::PlainHttp);
                }
            }
            if let Err(e) = self.inner.process_new_packets() {
                // An alert that says what was wrong waits to be sent.
                self.is_closed = true;
                return Err(Failure::Protocol(e));
            }
            if was_handshaking && !self.is_handshaking() {
                return Ok(Received::HandshakeDone);
            }
        }
        Ok(Received::Again)
    }

    /// Encrypts from the beginning of `plain`; how much of it. It waits to be sent then.
    pub(in crate::reactor) fn encrypt(&mut self, plain: &[u8]) -> io::Result<usize> {
        let most = plain.len().min(PIECE_BYTES);
        self.inner.writer().write(&plain[..most])
    }

    /// Whether something waits to be sent.
    pub(in crate::reactor) fn has_unsent(&self) -> bool {
        self.inner.wants_write()
    }

    /// Sends what waits, as much as the socket takes at once.
    pub(in crate::reactor) fn send(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        self.inner.write_tls(socket)
    }

    /// Tells the peer that nothing more comes (RFC 8446 section 6.1); false if it was told before.
    pub(in crate::reactor) fn close(&mut self) -> bool {
        if std::mem::replace(&mut self.is_closed, true) {
            return false;
        }
        self.inner.send_close_notify();
        true
    }
}

/// Notes the first byte that is read.
struct First<'a, S> {
    socket: &'a mut S,
    byte: Option<u8>,
}

impl<S: Read> Read for First<'_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.socket.read(buf)?;
        if n > 0 && self.byte.is_none() {
            self.byte = Some(buf[0]);
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAIN_HTTP_ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
