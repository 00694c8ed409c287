//! The polite scan: the hosts of small own subnets are asked one after another whether they speak RTSP. Only
//! when somebody asks for it, or the configuration says so.

use crate::nvr::outbox::{OfOnboard, Outbox, Owner};
use crate::nvr::port::{Action, ConnId};
use crate::time::Monotonic;
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Larger subnets are not scanned: a /22, in addresses.
pub const MAX_SUBNET: u32 = 1024;

/// One connection every so often: a /24 with two ports takes 26 s.
const INTERVAL: Duration = Duration::from_millis(50);

/// Connections at a time.
const MAX_OPEN: usize = 16;

/// How long a host may take to say something.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The ports that are tried.
const PORTS: [u16; 2] = [554, 8554];

/// Bytes of an answer that are enough to know it by.
const ENOUGH: &[u8] = b"RTSP/1.0 ";

struct Probe {
    to: SocketAddr,
    deadline: Monotonic,
    heard: Vec<u8>,
}

/// See the module.
#[derive(Default)]
pub struct Scan {
    left: VecDeque<SocketAddr>,
    open: BTreeMap<ConnId, Probe>,
    next_at: Option<Monotonic>,
}

impl Scan {
    /// Begins, unless one is under way.
    pub fn begin(&mut self, now: Monotonic, hosts: &[Ipv4Addr]) {
        if self.is_under_way() {
            return;
        }
        let each = |host: &Ipv4Addr| PORTS.map(|port| SocketAddr::from((*host, port)));
        self.left = hosts.iter().flat_map(each).collect();
        self.next_at = (!self.left.is_empty()).then_some(now);
    }

    pub fn is_under_way(&self) -> bool {
        !self.left.is_empty() || !self.open.is_empty()
    }

    pub fn next_timeout(&self) -> Option<Monotonic> {
        let open = self.open.values().map(|p| p.deadline);
        open.chain(self.next_at).min()
    }

    pub fn handle_timeout(&mut self, now: Monotonic, out: &mut Outbox) {
        self.open.retain(|conn, probe| {
            let stays = probe.deadline > now;
            if !stays {
                out.close(*conn, false);
            }
            stays
        });
        if self.next_at.is_none_or(|t| t > now) {
            return;
        }
        self.next_at = Some(now + INTERVAL).filter(|_| !self.left.is_empty());
        if self.open.len() >= MAX_OPEN {
            return;
        }
        if let Some(to) = self.left.pop_front() {
            let conn = out.conn(Owner::Onboard(OfOnboard::Scan));
            out.push(Action::Connect { conn, addr: to });
            let deadline = now + ANSWER_LIMIT;
            let heard = Vec::new();
            self.open.insert(
                conn,
                Probe {
                    to,
                    deadline,
                    heard,
                },
            );
        }
    }

    /// Somebody listens there: what it speaks is asked in the most harmless way.
    pub fn connected(&mut self, out: &mut Outbox, conn: ConnId) {
        if let Some(probe) = self.open.get(&conn) {
            let request = format!(
                "OPTIONS rtsp://{}/ RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: moonfire-nvr/{}\r\n\r\n",
                probe.to,
                env!("CARGO_PKG_VERSION")
            );
            let bytes = request.into_bytes();
            out.push(Action::Send { conn, bytes });
        }
    }

    /// Where an RTSP server is, once it shows.
    pub fn received(&mut self, out: &mut Outbox, conn: ConnId, bytes: &[u8]) -> Option<SocketAddr> {
        let probe = self.open.get_mut(&conn)?;
        let wanted = ENOUGH.len().saturating_sub(probe.heard.len());
        probe.heard.extend(bytes.iter().take(wanted));
        if probe.heard.len() < ENOUGH.len() {
            return None;
        }
        let probe = self.open.remove(&conn)?;
        out.close(conn, false);
        (probe.heard == ENOUGH).then_some(probe.to)
    }

    pub fn closed(&mut self, conn: ConnId) {
        self.open.remove(&conn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_asked_slowly_and_each_once() {
        let mut out = Outbox::default();
        let mut scan = Scan::default();
        let hosts: Vec<Ipv4Addr> = (1..=30).map(|i| Ipv4Addr::new(192, 0, 2, i)).collect();
        scan.begin(Monotonic(0), &hosts);
        let (mut asked, mut found) = (Vec::new(), Vec::new());
        let mut most = 0;
        while let Some(at) = scan.next_timeout() {
            scan.handle_timeout(at, &mut out);
            most = most.max(scan.open.len());
            while let Some(action) = out.pop() {
                if let Action::Connect { conn, addr } = action {
                    assert!(asked.iter().all(|(a, _)| *a != addr));
                    asked.push((addr, at));
                    if addr.port() == 8554 {
                        scan.connected(&mut out, conn);
                        found.extend(scan.received(&mut out, conn, b"RTS"));
                        found.extend(scan.received(&mut out, conn, b"P/1.0 200 OK\r\n"));
                    }
                }
            }
        }
        assert_eq!((asked.len(), found.len()), (60, 30));
        assert!(most <= MAX_OPEN);
        assert!(asked[59].1.since(asked[0].1) >= 50 * INTERVAL);
        assert!(!scan.is_under_way());
    }
}
