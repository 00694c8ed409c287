//! The box's own subnets, and the sockets by which devices on them are heard: two for each interface, one
//! that asks and is answered, one that hears what devices announce of themselves.

use crate::mdns;
use crate::nvr::outbox::{OfOnboard, Outbox, Owner};
use crate::nvr::port::{Action, ConnId, Interface};
use crate::onvif::discovery;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Interfaces that are listened on; further ones are passed over.
const MAX_INTERFACES: usize = 16;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ear {
    /// Probes go out by it, and are answered to it.
    Probe,
    /// It hears Hello and Bye.
    Announcements,
    Mdns,
}

/// An interface that is listened on.
struct Listening {
    interface: Interface,
    probe: ConnId,
    announcements: ConnId,
    mdns: ConnId,
}

/// See the module.
#[derive(Default)]
pub struct Network {
    listening: BTreeMap<Ipv4Addr, Listening>,
}

impl Network {
    /// Opens and closes sockets so that they are those of the interfaces that there are and that are
    /// `wanted` by name (all but loopback, if none is named).
    pub fn interfaces_are(&mut self, out: &mut Outbox, all: &[Interface], wanted: &[String]) {
        let good = |i: &&Interface| match wanted.is_empty() {
            true => i.multicast && !i.loopback,
            false => wanted.contains(&i.name),
        };
        let now: BTreeMap<Ipv4Addr, &Interface> =
            all.iter().filter(good).map(|i| (i.address, i)).collect();
        self.listening.retain(|address, l| {
            let stays = now.get(address).is_some_and(|i| **i == l.interface);
            if !stays {
                for conn in [l.probe, l.announcements, l.mdns] {
                    out.close(conn, false);
                }
            }
            stays
        });
        for (address, interface) in now {
            if self.listening.len() >= MAX_INTERFACES || self.listening.contains_key(&address) {
                continue;
            }
            let mut bind = |ear, group, listen| {
                let conn = out.conn(Owner::Onboard(OfOnboard::Ear(ear)));
                out.push(Action::BindGroup {
                    conn,
                    interface: address,
                    group,
                    listen,
                });
                conn
            };
            let listening = Listening {
                probe: bind(Ear::Probe, discovery::GROUP, false),
                announcements: bind(Ear::Announcements, discovery::GROUP, true),
                mdns: bind(Ear::Mdns, mdns::GROUP, false),
                interface: interface.clone(),
            };
            self.listening.insert(address, listening);
        }
    }

    /// Nothing is listened on any more.
    pub fn close(&mut self, out: &mut Outbox) {
        self.interfaces_are(out, &[], &[]);
    }

    /// A socket could not be had, or was lost: its interface is taken up anew the next time.
    pub fn lost(&mut self, out: &mut Outbox, conn: ConnId) {
        self.listening.retain(|_, l| {
            let all = [l.probe, l.announcements, l.mdns];
            let stays = !all.contains(&conn);
            if !stays {
                for other in all.into_iter().filter(|c| *c != conn) {
                    out.close(other, false);
                }
            }
            stays
        });
    }

    /// The names of the interfaces, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .listening
            .values()
            .map(|l| &*l.interface.name)
            .collect();
        names.dedup();
        names
    }

    /// Sends a datagram through each interface to the group of its socket.
    pub fn send_to_group(&self, out: &mut Outbox, ear: Ear, mut datagram: impl FnMut() -> Vec<u8>) {
        for l in self.listening.values() {
            let (conn, group) = match ear {
                Ear::Mdns => (l.mdns, mdns::GROUP),
                Ear::Probe | Ear::Announcements => (l.probe, discovery::GROUP),
            };
            out.push(Action::SendTo {
                conn,
                to: SocketAddr::V4(group),
                bytes: datagram(),
            });
        }
    }

    /// Asks one address on an own subnet; false if it is on none.
    pub fn send_to(&self, out: &mut Outbox, to: Ipv4Addr, datagram: Vec<u8>) -> bool {
        let mut all = self.listening.values();
        let Some(l) = all.find(|l| l.interface.holds(to)) else {
            return false;
        };
        out.push(Action::SendTo {
            conn: l.probe,
            to: SocketAddr::from((to, discovery::GROUP.port())),
            bytes: datagram,
        });
        true
    }

    /// Whether an address is on one of the subnets that are listened on. Nothing else is ever asked.
    pub fn is_own(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.listening.values().any(|l| l.interface.holds(v4)),
            IpAddr::V6(_) => false,
        }
    }

    /// The addresses that a scan asks: all hosts of subnets of up to `most` addresses, without our own.
    pub fn hosts(&self, most: u32) -> Vec<Ipv4Addr> {
        let mut all = Vec::new();
        for l in self.listening.values() {
            let i = &l.interface;
            let size = 1u32.checked_shl(32 - u32::from(i.prefix)).unwrap_or(0);
            if i.prefix == 0 || size > most || size < 4 {
                continue;
            }
            let first = u32::from(i.address) & !(size - 1);
            let hosts = (first + 1..first + size - 1).map(Ipv4Addr::from);
            all.extend(
                hosts
                    .filter(|a| *a != i.address && !all.contains(a))
                    .collect::<Vec<_>>(),
            );
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, address: [u8; 4], prefix: u8) -> Interface {
        Interface {
            name: name.to_owned(),
            address: address.into(),
            prefix,
            multicast: name != "lo",
            loopback: name == "lo",
        }
    }

    fn actions(out: &mut Outbox) -> (usize, usize) {
        let (mut bound, mut closed) = (0, 0);
        while let Some(action) = out.pop() {
            match action {
                Action::BindGroup { .. } => bound += 1,
                Action::Close { .. } => closed += 1,
                _ => panic!("{action:?}"),
            }
        }
        (bound, closed)
    }

    #[test]
    fn interfaces_come_and_go() {
        let mut out = Outbox::default();
        let mut network = Network::default();
        let all = [
            interface("lo", [127, 0, 0, 1], 8),
            interface("eth0", [192, 0, 2, 2], 24),
        ];
        network.interfaces_are(&mut out, &all, &[]);
        assert_eq!(actions(&mut out), (3, 0));
        network.interfaces_are(&mut out, &all, &[]);
        assert_eq!(actions(&mut out), (0, 0));
        assert!(network.is_own([192, 0, 2, 9].into()));
        assert!(!network.is_own([192, 0, 3, 9].into()));
        assert!(!network.is_own([127, 0, 0, 1].into()));
        assert!(!network.is_own(std::net::Ipv6Addr::LOCALHOST.into()));
        let moved = [interface("eth0", [192, 0, 2, 3], 24)];
        network.interfaces_are(&mut out, &moved, &[]);
        assert_eq!(actions(&mut out), (3, 3));
        assert_eq!(network.names(), ["eth0"]);
        network.interfaces_are(&mut out, &all, &["lo".to_owned()]);
        assert_eq!(actions(&mut out), (3, 3));
        assert!(network.is_own([127, 0, 0, 7].into()));
        network.close(&mut out);
        assert_eq!(actions(&mut out), (0, 3));
    }

    #[test]
    fn a_scan_asks_the_hosts_of_small_subnets_only() {
        let mut out = Outbox::default();
        let mut network = Network::default();
        let all = [
            interface("a", [192, 0, 2, 2], 29),
            interface("b", [10, 0, 0, 1], 8),
            interface("c", [192, 0, 3, 1], 32),
        ];
        network.interfaces_are(&mut out, &all, &[]);
        let hosts = network.hosts(1024);
        let last: Vec<u8> = hosts.iter().map(|h| h.octets()[3]).collect();
        assert_eq!(last, [1, 3, 4, 5, 6]);
    }
}
