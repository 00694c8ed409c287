//! The way that log lines take out of the program. Nothing in here waits.

use crate::reactor::tokens::Target;
use mio::net::TcpStream;
use mio::{Interest, Registry};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Bytes written to standard error at a time: a pipe that can be written to has room for so many
/// (pipe(7), `PIPE_BUF`).
const STDERR_CHUNK_BYTES: usize = 4096;

/// What a server says back is nobody's; so much of it is read away at a time.
const MAX_READ_BYTES: usize = 64 << 10;

/// A way that is open, or about to be.
#[derive(Debug)]
pub(super) enum Link {
    Stderr,
    Unix(UnixDatagram),
    Udp(UdpSocket),
    /// RFC 6587; connecting or connected.
    Tcp(TcpStream),
}

/// How sending went.
#[derive(Debug)]
pub(super) enum Sent {
    /// So many bytes are on their way; a datagram goes whole.
    Bytes(usize),
    /// No room now. With `told`, a readiness event will say when there is.
    Wait { told: bool },
    /// This line cannot be sent this way, ever.
    Unfit,
    /// A line sent before did not arrive.
    Refused,
    /// The way is gone.
    Broken,
}

impl Link {
    pub(super) fn unix(path: &Path) -> io::Result<Link> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(path)?;
        Ok(Link::Unix(socket))
    }

    pub(super) fn udp(to: SocketAddr) -> io::Result<Link> {
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        socket.connect(to)?;
        Ok(Link::Udp(socket))
    }

    pub(super) fn tcp(to: SocketAddr, registry: &Registry) -> io::Result<Link> {
        let mut stream = TcpStream::connect(to)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, Target::Log.token(), both)?;
        Ok(Link::Tcp(stream))
    }

    /// Whether it carries bytes, of which some may go, rather than whole lines.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Sent {
        let result = match self {
            Link::Stderr => return send_stderr(bytes),
            Link::Unix(socket) => socket.send(bytes),
            Link::Udp(socket) => socket.send(bytes),
            Link::Tcp(stream) => {
                if stream.peer_addr().is_err() {
                    return match stream.take_error() {
                        Ok(None) => Sent::Wait { told: true },
                        Ok(Some(_)) | Err(_) => Sent::Broken,
                    };
                }
                stream.write(bytes)
            }
        };
        match result {
            Ok(0) => Sent::Broken,
            Ok(n) => Sent::Bytes(n),
            Err(e) => self.judge(&e),
        }
    }

    fn judge(&self, e: &io::Error) -> Sent {
        let tcp = matches!(self, Link::Tcp(_));
        match e.raw_os_error() {
            Some(libc::EAGAIN) => Sent::Wait { told: tcp },
            Some(libc::EINTR | libc::ENOBUFS | libc::ENOMEM) => Sent::Wait { told: false },
            Some(libc::EMSGSIZE) => Sent::Unfit,
            Some(libc::ECONNREFUSED) if matches!(self, Link::Udp(_)) => Sent::Refused,
            _ => Sent::Broken,
        }
    }

    /// After a readiness event: whether the way is still there.
    pub(super) fn is_alive(&mut self) -> bool {
        let Link::Tcp(stream) = self else {
            return true;
        };
        let mut buf = [0; 1024];
        for _ in 0..MAX_READ_BYTES / buf.len() {
            match stream.read(&mut buf) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    // A connection under way is not connected.
                    let kind = e.kind();
                    return kind == io::ErrorKind::WouldBlock
                        || kind == io::ErrorKind::NotConnected;
                }
            }
        }
        true
    }
}

/// Standard error may be a pipe or a terminal that nobody reads from, and it is not ours alone to
/// make it non-blocking: so it is asked first whether it has room.
fn send_stderr(bytes: &[u8]) -> Sent {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    match poll(&mut fds, PollTimeout::ZERO) {
        Ok(0) | Err(_) => return Sent::Wait { told: false },
        Ok(_) => {}
    }
    let chunk = &bytes[..bytes.len().min(STDERR_CHUNK_BYTES)];
    let result = stderr.lock().write(chunk);
    match result {
        Ok(0) => Sent::Broken,
        Ok(n) => Sent::Bytes(n),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Sent::Wait { told: false },
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Sent::Wait { told: false },
        Err(_) => Sent::Broken,
    }
}
