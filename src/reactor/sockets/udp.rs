//! UDP: a pair of sockets on an even and the next odd port (RFC 3550 section 11), and receiving
//! from one peer only.

use super::{Bulk, Phase, Reading, Socket, Sockets, socket_error};
use crate::nvr::port::{ConnId, Event, SocketError};
use mio::net::UdpSocket;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What is asked of the kernel; it gives no more than `net.core.rmem_max`.
const RECEIVE_BUFFER_BYTES: usize = 2 << 20;

/// With at least so much (the kernel's own bookkeeping counts), a socket is read on the long tick.
/// A key frame of 300 KB takes about 600 KB of it.
const LONG_TICK_BUFFER_BYTES: usize = 1 << 20;

/// How many pairs of ports are tried.
const MAX_BIND_ATTEMPTS: usize = 64;

impl Sockets {
    /// [`crate::nvr::port::Action::BindUdp`].
    pub(in crate::reactor) fn bind_udp(&mut self, rtp: ConnId, rtcp: ConnId, peer: IpAddr) {
        let result = self.try_bind_udp(rtp, rtcp, peer);
        self.events.push_back(Event::UdpBound { rtp, rtcp, result });
    }

    fn try_bind_udp(
        &mut self,
        rtp: ConnId,
        rtcp: ConnId,
        peer: IpAddr,
    ) -> Result<u16, SocketError> {
        let (even, odd, port) = bind_pair(peer).map_err(|e| socket_error(&e))?;
        let _ = setsockopt(&even, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES);
        let add = |sockets: &mut Sockets, id, socket| {
            sockets
                .add(
                    id,
                    Socket::Udp {
                        socket,
                        peer: Some(peer),
                    },
                    Phase::Open,
                    false,
                )
                .map_err(|e| socket_error(&e))
        };
        let key = add(self, rtp, even)?;
        if let Err(e) = add(self, rtcp, odd) {
            self.remove(key, None);
            return Err(e);
        }
        Ok(port)
    }

    /// [`crate::nvr::port::Action::SendTo`]: what the kernel does not take at once is lost.
    pub(in crate::reactor) fn send_to(&mut self, id: ConnId, to: SocketAddr, bytes: &[u8]) {
        let conn = self.by_id.get(&id).and_then(|&key| self.conns.get(key));
        if let Some(Socket::Udp { socket, .. }) = conn.map(|c| &c.socket) {
            if let Ok(n) = socket.send_to(bytes, to) {
                self.bytes_sent += n as u64;
            }
        }
    }
}

/// On which tick the socket can be read without loss.
pub(super) fn bulk_kind(socket: &UdpSocket) -> Bulk {
    match getsockopt(socket, sockopt::RcvBuf) {
        Ok(bytes) if bytes >= LONG_TICK_BUFFER_BYTES => Bulk::Tick,
        _ => Bulk::ShortTick,
    }
}

/// Receives one datagram; one that is not from `peer`, if there is one, is dropped.
pub(super) fn read(
    id: ConnId,
    socket: &UdpSocket,
    peer: Option<IpAddr>,
    buf: &mut [u8],
) -> Reading {
    let is_taken = |from: IpAddr| match peer {
        Some(peer) => from.to_canonical() == peer.to_canonical(),
        None => true,
    };
    match socket.recv_from(buf) {
        Ok((len, from)) if is_taken(from.ip()) => Reading::Datagram {
            conn: id,
            from,
            len,
        },
        Ok((len, _)) => Reading::Dropped(len),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Reading::Nothing,
        // An ICMP message about something that was sent before; each is told once.
        Err(_) => Reading::Dropped(0),
    }
}

/// Binds an even port, which is also returned, and the odd one above it.
fn bind_pair(peer: IpAddr) -> io::Result<(UdpSocket, UdpSocket, u16)> {
    let any = match peer {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let mut last_error = io::ErrorKind::AddrInUse.into();
    for _ in 0..MAX_BIND_ATTEMPTS {
        let first = UdpSocket::bind(SocketAddr::new(any, 0))?;
        let port = first.local_addr()?.port();
        match UdpSocket::bind(SocketAddr::new(any, port ^ 1)) {
            Ok(second) if port % 2 == 0 => return Ok((first, second, port)),
            Ok(second) => return Ok((second, first, port ^ 1)),
            Err(e) => last_error = e,
        }
    }
    Err(last_error)
}
