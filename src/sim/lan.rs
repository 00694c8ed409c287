//! Devices on the recorder's own network that are no cameras of its configuration: they answer to WS-Discovery
//! and ONVIF, or late, in part, with rubbish or never. Their account is another one than the recorder's, so that
//! nothing ever comes of asking them; what it costs is what matters.

use crate::nvr::port::{ConnId, Interface, SocketError};
use crate::onvif::discovery;
use crate::sim::agenda::Agenda;
use crate::sim::clock::true_wall_at;
use crate::sim::monitor::Broken;
use crate::sim::network::Arrival;
use crate::sim::random::Random;
use crate::sim::scenario::USERNAME;
use crate::simulated_camera::Authentication;
use crate::simulated_camera::onvif::{Onvif, OnvifConfig, Reply};
use crate::time::{Monotonic, TICKS_PER_SECOND};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

/// The recorder's address there; cameras and devices are on the same subnet.
const RECORDER: Ipv4Addr = Ipv4Addr::new(10, 0, 255, 2);
const PREFIX: u8 = 16;

/// How often a device may be shown an account that it does not take: once if it says so, or seldom enough that
/// none locks it.
const MOST_SHOWN: u32 = 1;
const MOST_SHOWN_IN_VAIN: u32 = 3;

/// Devices are asked a few at a time, by one connection each.
const MOST_CONNECTIONS: usize = 4;

/// No connection to a device lasts longer.
const CONNECTION_LIMIT: Duration = Duration::from_secs(15);

/// How a device answers requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// As it should.
    Well,
    /// It refuses connections.
    Refuses,
    /// It takes the request and says nothing.
    Silent,
    /// As it should, but after up to twenty seconds.
    Late,
    /// It ends in the middle.
    Torn,
    Rubbish,
    /// Without end.
    Endless,
    /// It says that something went wrong, and not what.
    Vague,
}

const MANNERS: [Manner; 8] = [
    Manner::Well,
    Manner::Refuses,
    Manner::Silent,
    Manner::Late,
    Manner::Torn,
    Manner::Rubbish,
    Manner::Endless,
    Manner::Vague,
];

struct Device {
    address: Ipv4Addr,
    onvif: Onvif,
    /// What it mostly does; one that does well always does.
    manner: Manner,
    /// How often it was shown an account, over all of the recorder's lives.
    shown: u32,
}

/// A connection to a device.
struct Link {
    device: usize,
    manner: Manner,
    connected: bool,
    request: Vec<u8>,
}

/// What is going to happen.
enum Step {
    Interfaces,
    /// The socket cannot be had.
    Unbound(ConnId),
    Connect(ConnId),
    Answer(ConnId, Vec<u8>),
    Close(ConnId, Result<(), SocketError>),
    /// It must be closed by now.
    Overdue(ConnId),
    Datagram(ConnId, Ipv4Addr, Vec<u8>),
    /// A device tells of itself unasked.
    Speak(usize),
}

/// What the core is to hear.
pub enum Told {
    Interfaces(Vec<Interface>),
    Arrival(Arrival),
}

/// See the module.
pub struct Lan {
    devices: Vec<Device>,
    /// Sockets, and whether they hear what comes to the group of WS-Discovery.
    sockets: BTreeMap<ConnId, bool>,
    links: BTreeMap<ConnId, Link>,
    /// Connections that are not going to be made.
    failing: BTreeSet<ConnId>,
    agenda: Agenda<Step>,
    random: Random,
    broken: Option<Broken>,
}

impl Lan {
    /// A network with so many devices.
    pub fn new(seed: u64, count: usize) -> Lan {
        let mut random = Random::new(seed, "lan");
        let device = |i: usize| {
            let address = Ipv4Addr::new(10, 0, 200, i as u8);
            let at = |port| SocketAddr::from((address, port));
            Device {
                address,
                onvif: Onvif::new(OnvifConfig {
                    name: format!("device {i}"),
                    serial: i as u64,
                    authentication: Some(Authentication {
                        username: USERNAME.to_owned(),
                        password: "another".to_owned(),
                        scheme: Default::default(),
                    }),
                    clock_ahead_secs: 0,
                    rtsp: at(554),
                    services: at(80),
                    main: (1920, 1080, 25),
                    sub: (640, 360, 10),
                }),
                manner: random.pick(&MANNERS),
                shown: 0,
            }
        };
        Lan {
            devices: (0..count).map(device).collect(),
            sockets: BTreeMap::new(),
            links: BTreeMap::new(),
            failing: BTreeSet::new(),
            agenda: Agenda::default(),
            random: random.fork("events"),
            broken: None,
        }
    }

    /// An address is one of the devices'.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.devices
            .iter()
            .any(|d| IpAddr::V4(d.address) == address)
    }

    /// A connection or socket is one of these.
    pub fn has(&self, conn: ConnId) -> bool {
        self.sockets.contains_key(&conn)
            || self.links.contains_key(&conn)
            || self.failing.contains(&conn)
    }

    /// How often devices were shown an account.
    pub fn shown(&self) -> u32 {
        self.devices.iter().map(|d| d.shown).sum()
    }

    pub fn next_wake(&self) -> Option<Monotonic> {
        self.agenda.next()
    }

    /// Takes what there is to find fault with.
    pub fn take_broken(&mut self) -> Result<(), Broken> {
        self.broken.take().map_or(Ok(()), Err)
    }

    fn fault(&mut self, rule: &'static str, what: String) {
        self.broken.get_or_insert(Broken::new(rule, what));
    }

    fn after(&mut self, now: Monotonic, millis: std::ops::RangeInclusive<u64>, step: Step) {
        let at = now + self.random.millis(millis);
        self.agenda.enter(at, step);
    }

    /// The recorder wants to know which interfaces there are. A world without devices has none.
    pub fn interfaces(&mut self, now: Monotonic) {
        if !self.devices.is_empty() {
            self.after(now, 0..=50, Step::Interfaces);
        }
    }

    pub fn bind_group(&mut self, now: Monotonic, conn: ConnId, group: SocketAddrV4, listen: bool) {
        self.sockets
            .insert(conn, listen && group == discovery::GROUP);
        if self.random.one_in(30) {
            self.after(now, 0..=5, Step::Unbound(conn));
        } else if listen && group == discovery::GROUP {
            for device in 0..self.devices.len() {
                self.after(now, 1_000..=60_000, Step::Speak(device));
            }
        }
    }

    /// A datagram to a group, or to one device.
    pub fn send_to(&mut self, now: Monotonic, conn: ConnId, to: SocketAddr, bytes: &[u8]) {
        for i in 0..self.devices.len() {
            let device = &self.devices[i];
            let is_for_it = to == SocketAddr::V4(discovery::GROUP)
                || to == SocketAddr::from((device.address, discovery::GROUP.port()));
            let answer = device.onvif.answer_probe(bytes).filter(|_| is_for_it);
            if let Some(answer) = answer {
                self.post(now, conn, i, answer);
            }
        }
    }

    /// A datagram for the recorder, as far as it comes.
    fn post(&mut self, now: Monotonic, conn: ConnId, device: usize, bytes: Vec<u8>) {
        let from = self.devices[device].address;
        let copies = self.random.pick(&[0, 1, 1, 1, 2]);
        for _ in 0..copies {
            let mut bytes = bytes.clone();
            // Single bytes don't change on their way: datagrams have a checksum.
            match self.random.below(10) {
                0 => bytes.truncate(self.random.index(bytes.len())),
                1 => bytes = self.rubbish(),
                _ => (),
            }
            let most = self.random.pick(&[50, 500, 8_000]);
            self.after(now, 1..=most, Step::Datagram(conn, from, bytes));
        }
    }

    fn rubbish(&mut self) -> Vec<u8> {
        let len = self.random.within(1..=3_000);
        (0..len).map(|_| self.random.below(256) as u8).collect()
    }

    pub fn connect(&mut self, now: Monotonic, conn: ConnId, to: SocketAddr) {
        let of = |d: &Device| IpAddr::V4(d.address) == to.ip();
        let Some(device) = self.devices.iter().position(of) else {
            return;
        };
        let usual = self.devices[device].manner;
        let manner = match usual != Manner::Well && self.random.percent(30) {
            true => self.random.pick(&MANNERS),
            false => usual,
        };
        if manner == Manner::Refuses || to.port() != 80 {
            self.failing.insert(conn);
            return self.after(now, 1..=60, Step::Close(conn, Err(SocketError::Refused)));
        }
        self.links.insert(
            conn,
            Link {
                device,
                manner,
                connected: false,
                request: Vec::new(),
            },
        );
        if self.links.len() > MOST_CONNECTIONS {
            self.fault(
                "bounded",
                format!("{} connections to devices", self.links.len()),
            );
        }
        self.agenda
            .enter(now + CONNECTION_LIMIT, Step::Overdue(conn));
        self.after(now, 1..=60, Step::Connect(conn));
    }

    /// The recorder sends to a device.
    pub fn send(&mut self, now: Monotonic, conn: ConnId, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(&conn).filter(|l| l.connected) else {
            return self.fault(
                "possible",
                format!("sends on {conn:?}, which is not connected"),
            );
        };
        link.request.extend_from_slice(bytes);
        let text = String::from_utf8_lossy(&link.request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return;
        };
        let field = |name: &str| {
            let line = head
                .lines()
                .find(|l| l.to_ascii_lowercase().starts_with(name))?;
            Some(line[name.len()..].trim().to_owned())
        };
        let length = field("content-length:").and_then(|v| v.parse().ok());
        if body.len() < length.unwrap_or(0) {
            return;
        }
        let (device, manner) = (link.device, link.manner);
        link.request.clear();
        let shows = body.contains("UsernameToken") || field("authorization:").is_some();
        let path = head.split(' ').nth(1).unwrap_or_default();
        self.asked(now, conn, (device, manner), (path, body), shows);
    }

    /// A device has a whole request.
    fn asked(
        &mut self,
        now: Monotonic,
        conn: ConnId,
        (device, manner): (usize, Manner),
        (path, body): (&str, &str),
        shows: bool,
    ) {
        let it = &mut self.devices[device];
        it.shown += u32::from(shows);
        let most = match it.manner {
            Manner::Well => MOST_SHOWN,
            _ => MOST_SHOWN_IN_VAIN,
        };
        if it.shown > most {
            let what = format!(
                "{} ({:?}) was shown an account {} times",
                it.address, it.manner, it.shown
            );
            return self.fault("account-is-safe", what);
        }
        let unix_secs = true_wall_at(now).0 / TICKS_PER_SECOND;
        let reply = it
            .onvif
            .answer(path, body, unix_secs, now.0 / 1_000_000_000);
        let Reply::Now(status, text) = reply else {
            return;
        };
        let head = |status: u16, len: usize| {
            format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/soap+xml\r\nContent-Length: {len}\r\n\r\n"
            )
        };
        let mut answer = (head(status, text.len()) + &text).into_bytes();
        match manner {
            Manner::Silent | Manner::Refuses => return,
            Manner::Torn => answer.truncate(self.random.index(answer.len())),
            Manner::Rubbish if self.random.percent(50) => answer = self.rubbish(),
            Manner::Rubbish => {
                let rubbish = self.rubbish();
                answer = head(200, rubbish.len()).into_bytes();
                answer.extend(rubbish);
            }
            Manner::Vague if shows => {
                answer = (head(500, 4) + "oops").into_bytes();
            }
            Manner::Endless => {
                answer = b"HTTP/1.1 200 X\r\n\r\n".to_vec();
                for i in 0..150 {
                    let at = now + Duration::from_millis(100 * (i + 1));
                    self.agenda
                        .enter(at, Step::Answer(conn, vec![b'<'; 8 << 10]));
                }
            }
            Manner::Well | Manner::Late | Manner::Vague => (),
        }
        let wait = match manner {
            Manner::Late => self.random.millis(0..=20_000),
            _ => self.random.millis(1..=300),
        };
        let mut at = now + wait;
        while !answer.is_empty() {
            let n = self.random.within(1..=answer.len() as u64) as usize;
            let rest = answer.split_off(n);
            self.agenda.enter(at, Step::Answer(conn, answer));
            answer = rest;
            at = at + self.random.millis(0..=50);
        }
        if manner == Manner::Torn {
            let how = match self.random.percent(50) {
                true => Ok(()),
                false => Err(SocketError::Reset),
            };
            self.agenda.enter(at, Step::Close(conn, how));
        }
    }

    pub fn close(&mut self, conn: ConnId) {
        self.sockets.remove(&conn);
        self.links.remove(&conn);
        self.failing.remove(&conn);
    }

    /// The recorder is gone, and with it its sockets.
    pub fn end(&mut self) {
        self.sockets.clear();
        self.links.clear();
        self.failing.clear();
        self.agenda.take_all();
    }

    /// What is due by `now`.
    pub fn poll(&mut self, now: Monotonic) -> Option<Told> {
        while let Some(step) = self.agenda.take_due(now) {
            let told = self.step(now, step);
            if told.is_some() || self.broken.is_some() {
                return told;
            }
        }
        None
    }

    fn step(&mut self, now: Monotonic, step: Step) -> Option<Told> {
        let arrival = match step {
            Step::Interfaces => {
                return Some(Told::Interfaces(vec![Interface {
                    name: "eth0".to_owned(),
                    address: RECORDER,
                    prefix: PREFIX,
                    multicast: true,
                    loopback: false,
                }]));
            }
            Step::Unbound(conn) => {
                self.sockets.remove(&conn)?;
                let reason = Err(SocketError::Other("address already in use".to_owned()));
                Arrival::Closed { conn, reason }
            }
            Step::Connect(conn) => {
                self.links.get_mut(&conn)?.connected = true;
                Arrival::Connected { conn }
            }
            Step::Answer(conn, bytes) => {
                self.links.get(&conn)?;
                Arrival::Received { conn, bytes }
            }
            Step::Close(conn, reason) => {
                let was = self.links.remove(&conn).is_some() | self.failing.remove(&conn);
                was.then_some(Arrival::Closed { conn, reason })?
            }
            Step::Overdue(conn) => {
                let device = self.links.get(&conn)?.device;
                let address = self.devices[device].address;
                self.fault(
                    "lets-go",
                    format!("{conn:?} to {address} for {CONNECTION_LIMIT:?}"),
                );
                return None;
            }
            Step::Datagram(conn, from, bytes) => {
                self.sockets.get(&conn)?;
                let from = SocketAddr::from((from, discovery::GROUP.port()));
                Arrival::Datagram { conn, from, bytes }
            }
            Step::Speak(device) => {
                let onvif = &self.devices[device].onvif;
                let said = match self.random.percent(80) {
                    true => onvif.hello(),
                    false => onvif.bye(),
                };
                let listening = self.sockets.iter().find(|(_, listens)| **listens);
                let conn = *listening?.0;
                self.post(now, conn, device, said);
                self.after(now, 5_000..=60_000, Step::Speak(device));
                return None;
            }
        };
        Some(Told::Arrival(arrival))
    }
}
