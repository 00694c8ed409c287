//! The network's interfaces, and UDP sockets for asking and hearing a multicast group on one of them.

use super::{Phase, Socket, Sockets, socket_error};
use crate::nvr::port::{ConnId, Event, Interface};
use mio::net::UdpSocket;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{
    AddressFamily, IpMembershipRequest, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket,
    sockopt,
};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;

/// Addresses that are told; further ones are passed over.
const MAX_INTERFACES: usize = 64;

impl Sockets {
    /// [`crate::nvr::port::Action::Interfaces`]: what the kernel knows at once.
    pub(in crate::reactor) fn tell_interfaces(&mut self) {
        self.events.push_back(Event::Interfaces(interfaces()));
    }

    /// [`crate::nvr::port::Action::BindGroup`].
    pub(in crate::reactor) fn bind_group(
        &mut self,
        id: ConnId,
        interface: Ipv4Addr,
        group: SocketAddrV4,
        listen: bool,
    ) {
        let bound = match listen {
            true => listen_to(interface, group),
            // Datagrams to a group go out by the interface whose address the socket is bound to.
            false => UdpSocket::bind(SocketAddrV4::new(interface, 0).into()),
        };
        let added = bound.and_then(|socket| {
            self.add(id, Socket::Udp { socket, peer: None }, Phase::Open, false)
        });
        if let Err(e) = added {
            self.events.push_back(Event::Closed {
                conn: id,
                reason: Err(socket_error(&e)),
            });
        }
    }
}

/// A socket that hears what comes to the group on one interface, beside others of this machine that do.
fn listen_to(interface: Ipv4Addr, group: SocketAddrV4) -> io::Result<UdpSocket> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    // Bound to the group's own address it hears nothing else.
    bind(fd.as_raw_fd(), &SockaddrIn::from(group))?;
    let membership = IpMembershipRequest::new(*group.ip(), Some(interface));
    setsockopt(&fd, sockopt::IpAddMembership, &membership)?;
    Ok(UdpSocket::from_std(std::net::UdpSocket::from(fd)))
}

/// The IPv4 addresses of interfaces that are up.
pub fn interfaces() -> Vec<Interface> {
    let Ok(all) = getifaddrs() else {
        return Vec::new();
    };
    let ipv4 = |address: Option<nix::sys::socket::SockaddrStorage>| {
        address.and_then(|a| a.as_sockaddr_in().map(SockaddrIn::ip))
    };
    let up = all.filter(|i| i.flags.contains(InterfaceFlags::IFF_UP));
    up.filter_map(|i| {
        let mask = u32::from(ipv4(i.netmask)?);
        Some(Interface {
            name: i.interface_name,
            address: ipv4(i.address)?,
            prefix: mask.leading_ones() as u8,
            multicast: i.flags.contains(InterfaceFlags::IFF_MULTICAST),
            loopback: i.flags.contains(InterfaceFlags::IFF_LOOPBACK),
        })
    })
    .take(MAX_INTERFACES)
    .collect()
}
