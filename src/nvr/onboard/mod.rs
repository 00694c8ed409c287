//! Finding cameras on the box's own subnets, asking them once, and recording those that answer.
//!
//! [`network`] hears devices, [`device`] is what is known of one, [`ask`] and [`look`] find out what it
//! sends, [`record`] makes a camera of it, [`moved`] finds a camera again that has another address, and
//! [`events`] hears what cameras notice. See `design/onboarding.md`.
//!
//! Nothing outside the own subnets is ever asked. A user name and password is shown to a device once: what
//! it refused is never tried on it again.

mod ask;
mod device;
mod events;
mod exchange;
mod look;
mod moved;
mod network;
mod record;
mod scan;

pub use device::{Account, Device, ReadyStream, State};
pub use network::Ear;

use super::outbox::{OfOnboard, Owner};
use super::port::{Action, ConnId, Event, HelperId, Interface, LogRecord, Severity};
use super::{Clock, Cx, Nvr, Phase, cx};
use crate::db::{self, KnownDevice, TriedCredentials};
use crate::mdns;
use crate::onvif::discovery::{self, Announcement, Message};
use crate::time::{Monotonic, Now, Wall90k};
use device::Via;
use network::Network;
use rand_core::RngCore;
use scan::Scan;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use uuid::Uuid;

/// Devices that are remembered. At the limit the one that was not heard of for longest makes room, unless all
/// are being asked or recorded.
const MAX_DEVICES: usize = 256;

/// After the start, before the network is looked at.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// How often the interfaces are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// A search asks again after these, for datagrams get lost, and ends after the last.
const PROBES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(700),
    Duration::from_millis(1_800),
];
const SEARCH_TIME: Duration = Duration::from_secs(4);

/// Somebody who asks for the list gets a new search if the last one is older.
const SEARCH_AGAIN: Duration = Duration::from_secs(30);

/// With `auto` it is searched as often.
const AUTO_SEARCH: Duration = Duration::from_secs(300);

/// A search under way.
struct Search {
    began: Monotonic,
    /// How many of [`PROBES`] went out.
    sent: usize,
}

/// See the module.
#[derive(Default)]
pub struct Onboard {
    network: Network,
    pub devices: BTreeMap<u32, Device>,
    last_id: u32,
    /// What cameras are known by, by their row.
    known: BTreeMap<i32, KnownDevice>,
    /// What was tried and not taken.
    tries: BTreeSet<(String, TriedCredentials)>,
    /// Pictures that the helper makes, and of which device.
    helping: BTreeMap<HelperId, u32>,
    search: Option<Search>,
    pub searched: Option<(Monotonic, Wall90k)>,
    scan: Scan,
    scan_wanted: bool,
    look_around_at: Option<Monotonic>,
    look_again_at: Option<Monotonic>,
    auto_search_at: Option<Monotonic>,
    lost: moved::Lost,
    events: events::AllEvents,
    /// The most recent thing that is to be told only once: that there are too many cameras.
    told_full: bool,
}

impl Onboard {
    pub fn next_timeout(&self) -> Option<Monotonic> {
        let search = self.search.as_ref().map(|s| {
            let next = PROBES.get(s.sent).copied().unwrap_or(SEARCH_TIME);
            s.began + next
        });
        let asked = self.devices.values().filter_map(|d| match &d.state {
            State::Asking(ask) => ask.next_timeout(),
            _ => None,
        });
        let others = [
            search,
            self.scan.next_timeout(),
            self.look_around_at,
            self.look_again_at,
            self.auto_search_at,
            self.lost.next_timeout(),
            self.events.next_timeout(),
        ];
        asked.chain(others.into_iter().flatten()).min()
    }

    pub fn is_searching(&self) -> bool {
        self.search.is_some() || self.scan.is_under_way()
    }

    /// Devices that are being asked, or wait for it.
    pub fn trying(&self) -> usize {
        self.devices.values().filter(|d| d.state.is_busy()).count()
    }

    pub fn interfaces(&self) -> Vec<&str> {
        self.network.names()
    }
}

impl Nvr {
    /// The recorder runs: the network is looked at soon, if it may be.
    pub(super) fn begin_onboard(&mut self, now: Now) {
        if self.read_only || !self.config.onboard.discover {
            return;
        }
        self.onboard.look_around_at = Some(now.monotonic + FIRST_LOOK);
        if self.config.onboard.auto {
            let message = "cameras that are found and take the configured user name and password are \
                           recorded by themselves ([onboard] auto = true)";
            self.out
                .log(Severity::Notice, "onboard", message.to_owned());
            self.onboard.auto_search_at = Some(now.monotonic + FIRST_LOOK);
        }
    }

    /// The configuration was read again.
    pub(super) fn reload_onboard(&mut self, now: Now) {
        self.onboard.network.close(&mut self.out);
        (self.onboard.look_around_at, self.onboard.auto_search_at) = (None, None);
        if self.phase == Phase::Running {
            self.begin_onboard(now);
        }
    }

    /// What the database knows of devices, with all else that there is.
    pub(super) fn devices_are(&mut self, snapshot: &db::Snapshot) {
        let known = &mut self.onboard.known;
        known.retain(|id, _| snapshot.cameras.iter().any(|c| c.id == *id));
        for device in &snapshot.devices {
            // What was learned since it was asked is newer.
            known.entry(device.camera).or_insert_with(|| device.clone());
        }
        self.onboard.tries.extend(snapshot.tries.iter().cloned());
    }

    pub(super) fn onboard_timeouts(&mut self, now: Now) {
        if self.phase != Phase::Running {
            return;
        }
        let due = |t: Option<Monotonic>| t.is_some_and(|t| t <= now.monotonic);
        if due(self.onboard.look_around_at) {
            self.onboard.look_around_at = Some(now.monotonic + LOOK_INTERVAL);
            self.out.push(Action::Interfaces);
        }
        if due(self.onboard.auto_search_at) {
            self.onboard.auto_search_at = Some(now.monotonic + AUTO_SEARCH);
            self.search(now);
            if self.config.onboard.scan {
                self.scan(now);
            }
        }
        self.go_on_searching(now);
        let out = &mut self.out;
        self.onboard.scan.handle_timeout(now.monotonic, out);
        self.ask_timeouts(now);
        if due(self.onboard.look_again_at) {
            self.look_more(now);
        }
        self.watch_for_lost(now);
        self.events_timeouts(now);
    }

    /// Begins a search, unless one is under way.
    pub(super) fn search(&mut self, now: Now) {
        if self.onboard.search.is_none() {
            let began = now.monotonic;
            self.onboard.search = Some(Search { began, sent: 0 });
            self.onboard.searched = Some((began, cx!(self, now).wall));
            // Those that have come since are asked through as well.
            self.out.push(Action::Interfaces);
        }
        self.wake_at(Some(now.monotonic));
    }

    /// The same for somebody who looks at the list.
    pub(super) fn search_if_old(&mut self, now: Now) {
        let is_old = |(at, _): &(Monotonic, Wall90k)| now.monotonic.since(*at) >= SEARCH_AGAIN;
        if self.onboard.searched.as_ref().is_none_or(is_old) {
            self.search(now);
        }
    }

    /// Begins the polite scan of own subnets.
    pub(super) fn scan(&mut self, now: Now) {
        // Begun once it is known which networks there are.
        self.onboard.scan_wanted = true;
        self.out.push(Action::Interfaces);
        self.wake_at(Some(now.monotonic));
    }

    fn go_on_searching(&mut self, now: Now) {
        let Some(search) = &mut self.onboard.search else {
            return;
        };
        let elapsed = now.monotonic.since(search.began);
        if PROBES.get(search.sent).is_some_and(|at| *at <= elapsed) {
            search.sent += 1;
            self.probe_all();
        } else if elapsed >= SEARCH_TIME {
            self.onboard.search = None;
        }
    }

    fn probe_all(&mut self) {
        let network = &self.onboard.network;
        let rng = &mut self.rng;
        network.send_to_group(&mut self.out, Ear::Probe, || {
            discovery::probe(message_id(rng))
        });
        network.send_to_group(&mut self.out, Ear::Mdns, mdns::question);
    }

    /// Asks one address on an own subnet who it is, without a multicast; false if it is on none.
    pub(super) fn probe_one(&mut self, address: Ipv4Addr) -> bool {
        let probe = discovery::probe(message_id(&mut self.rng));
        self.onboard.network.send_to(&mut self.out, address, probe)
    }

    /// Handles what happens to connections of onboarding, and gives all else back.
    pub(super) fn not_of_onboard<'a>(&mut self, now: Now, event: Event<'a>) -> Option<Event<'a>> {
        let conn = match &event {
            Event::Connected { conn }
            | Event::Received { conn, .. }
            | Event::Datagram { conn, .. }
            | Event::Closed { conn, .. }
            | Event::Drained { conn } => *conn,
            Event::Interfaces(all) => {
                self.interfaces_are(now, all);
                return None;
            }
            _ => return Some(event),
        };
        let Some(Owner::Onboard(of)) = self.out.owner(conn) else {
            return Some(event);
        };
        if let Event::Closed { conn, .. } = &event {
            self.out.forget_conn(*conn);
        }
        match of {
            OfOnboard::Ear(ear) => self.heard(now, ear, event),
            OfOnboard::Ask(device) => self.ask_event(now, device, event),
            OfOnboard::Events(camera) => self.events_event(now, camera, event),
            OfOnboard::Scan => self.scan_event(now, conn, event),
        }
        None
    }

    fn interfaces_are(&mut self, now: Now, all: &[Interface]) {
        if self.phase != Phase::Running || !self.config.onboard.discover {
            return;
        }
        let wanted = &self.config.onboard.interfaces;
        let network = &mut self.onboard.network;
        let before = network.names().len();
        network.interfaces_are(&mut self.out, all, wanted);
        // One that has just come up may have cameras behind it.
        let more = network.names().len() > before;
        if let Some(search) = self.onboard.search.as_mut().filter(|_| more) {
            search.sent = 0;
            search.began = now.monotonic;
            self.wake_at(Some(now.monotonic));
        }
        if more {
            self.probe_unknown(now);
        }
        if std::mem::take(&mut self.onboard.scan_wanted) {
            let hosts = self.onboard.network.hosts(scan::MAX_SUBNET);
            self.onboard.scan.begin(now.monotonic, &hosts);
            self.wake_at(Some(now.monotonic));
        }
    }

    fn heard(&mut self, now: Now, ear: Ear, event: Event<'_>) {
        match event {
            Event::Datagram { from, bytes, .. } => {
                let SocketAddr::V4(from) = from else { return };
                if !self.onboard.network.is_own(IpAddr::V4(*from.ip())) {
                    return;
                }
                match ear {
                    Ear::Probe | Ear::Announcements => self.announced(now, *from.ip(), bytes),
                    Ear::Mdns => {
                        for server in mdns::servers(bytes) {
                            let to = (*from.ip(), server.port);
                            self.found_rtsp(now, Via::Mdns, to, Some(server));
                        }
                    }
                }
            }
            Event::Closed { conn, .. } => self.onboard.network.lost(&mut self.out, conn),
            _ => {}
        }
    }

    /// A datagram of WS-Discovery. One that cannot be read costs itself.
    fn announced(&mut self, now: Now, from: Ipv4Addr, bytes: &[u8]) {
        match discovery::Message::parse(bytes) {
            Ok(Some(Message::Here(all))) => {
                for it in all {
                    self.device_announced(now, from, &it);
                }
            }
            Ok(Some(Message::Bye { endpoint })) => {
                let mut devices = self.onboard.devices.values_mut();
                let ours = |d: &&mut Device| d.endpoint.as_ref() == Some(&endpoint);
                if let Some(device) = devices.find(ours).filter(|d| d.address == from) {
                    device.gone = true;
                }
            }
            Ok(None) | Err(_) => {}
        }
    }

    fn device_announced(&mut self, now: Now, from: Ipv4Addr, it: &Announcement) {
        let has_onvif = it.xaddrs.iter().any(|u| u.path().contains("onvif"));
        if !it.is_camera && !has_onvif {
            return;
        }
        let devices = self.onboard.devices.values();
        let asked = |d: &Device| d.endpoint.is_none() && d.address == from && d.state.is_busy();
        if devices.clone().any(asked) {
            // It is one device: what it is asked as an RTSP server counts first. It will be heard of again.
            return;
        }
        let same = |d: &&Device| match &d.endpoint {
            Some(endpoint) => *endpoint == it.endpoint,
            // What was an RTSP server only says more of itself now.
            None => d.address == from,
        };
        let known = devices.filter(same).map(|d| d.id).next();
        let is_new = known.is_none();
        let Some(id) = known.or_else(|| self.new_device(Via::Onvif, from, 554)) else {
            return;
        };
        let wall = cx!(self, now).wall;
        if let Some(device) = self.onboard.devices.get_mut(&id) {
            // While it is being asked, it is asked where it was.
            if !device.state.is_busy() {
                device.announced(it, from);
            }
            (device.seen, device.seen_at) = (wall, now.monotonic);
        }
        self.link(now, id);
        if is_new {
            self.tell_found(id);
        }
        self.try_by_itself(now, id);
    }

    /// An RTSP server has shown, of which nothing else is known.
    fn found_rtsp(
        &mut self,
        now: Now,
        via: Via,
        (address, port): (Ipv4Addr, u16),
        server: Option<mdns::Server>,
    ) {
        let mut devices = self.onboard.devices.values();
        let known = devices.find(|d| d.address == address).map(|d| d.id);
        let is_new = known.is_none();
        let Some(id) = known.or_else(|| self.new_device(via, address, port)) else {
            return;
        };
        let wall = cx!(self, now).wall;
        if let Some(device) = self.onboard.devices.get_mut(&id) {
            (device.seen, device.seen_at) = (wall, now.monotonic);
            if let Some(server) = server.filter(|_| device.via != Via::Onvif) {
                device.rtsp_port = server.port;
                device.rtsp_path = server.path;
                device.name = Some(server.name).filter(|n| !n.is_empty());
            }
        }
        self.link(now, id);
        if is_new {
            self.tell_found(id);
        }
        self.try_by_itself(now, id);
    }

    fn scan_event(&mut self, now: Now, conn: ConnId, event: Event<'_>) {
        let scan = &mut self.onboard.scan;
        match event {
            Event::Connected { .. } => scan.connected(&mut self.out, conn),
            Event::Received { bytes, .. } => {
                let found = scan.received(&mut self.out, conn, bytes);
                if let Some(SocketAddr::V4(at)) = found {
                    self.found_rtsp(now, Via::Rtsp, (*at.ip(), at.port()), None);
                }
            }
            Event::Closed { .. } => scan.closed(conn),
            _ => {}
        }
    }

    /// A place for one more device; `None` if there is none.
    fn new_device(&mut self, via: Via, address: Ipv4Addr, port: u16) -> Option<u32> {
        let onboard = &mut self.onboard;
        if onboard.devices.len() >= MAX_DEVICES {
            let idle = |d: &&Device| d.camera.is_none() && !d.state.is_busy();
            let idle = onboard.devices.values().filter(idle);
            let oldest = idle.min_by_key(|d| d.seen_at).map(|d| d.id)?;
            onboard.devices.remove(&oldest);
        }
        onboard.last_id += 1;
        let id = onboard.last_id;
        onboard
            .devices
            .insert(id, Device::new(id, via, address, port));
        Some(id)
    }

    fn tell_found(&mut self, id: u32) {
        let Some(device) = self.onboard.devices.get(&id) else {
            return;
        };
        if device.camera.is_some() {
            return;
        }
        let what = match device.via {
            Via::Onvif => "a camera",
            Via::Mdns | Via::Rtsp => "an RTSP server",
        };
        let message = format!(
            "found {what} at {}: {}",
            device.address,
            device.camera_name()
        );
        self.out.log(Severity::Info, "camera-found", message);
    }

    /// A line for the log about a device, by its camera's name if it has one.
    fn log_of_device(&mut self, id: u32, event: &'static str, message: String) {
        let Some(device) = self.onboard.devices.get(&id) else {
            return;
        };
        let camera = device.camera.and_then(|uuid| {
            let mut cameras = self.cameras.iter();
            Some(cameras.find(|c| c.uuid == uuid)?.name.clone())
        });
        let message = match &camera {
            Some(_) => message,
            None => format!("{} at {}: {message}", device.camera_name(), device.address),
        };
        self.out.log_record(LogRecord {
            severity: Severity::Notice,
            event,
            camera,
            stream: None,
            message,
        });
    }
}

/// A message's id, new each time (RFC 9562 section 5.4).
fn message_id(rng: &mut impl RngCore) -> Uuid {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
