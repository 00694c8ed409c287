//! Cameras that have another address than before: what each is known by is learned while it is well, and
//! searched for while it is away. Where it is found it goes on under its name, those of the file as well.

use super::Device;
use super::device::Via;
use crate::db::{self, KnownDevice};
use crate::nvr::port::Severity;
use crate::nvr::session::Session;
use crate::nvr::{DbPurpose, Nvr};
use crate::time::{Monotonic, Now};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use url::Url;

/// How often it is looked which cameras are away.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// A camera that is away for so long is searched for.
const AWAY: Duration = Duration::from_secs(15);

/// How soon it is searched for again: doubled from the first to the last.
const SEARCH_AGAIN: Duration = Duration::from_secs(20);
const SEARCH_SELDOM: Duration = Duration::from_secs(300);

/// How often cameras of which nothing is known yet are asked who they are.
const LEARN_AGAIN: Duration = Duration::from_secs(600);

/// Cameras that are away.
#[derive(Default)]
pub struct Lost {
    since: BTreeMap<i32, Monotonic>,
    watch_at: Option<Monotonic>,
    search_at: Option<Monotonic>,
    wait: Duration,
    learn_at: Option<Monotonic>,
}

impl Lost {
    pub fn next_timeout(&self) -> Option<Monotonic> {
        self.watch_at
    }
}

/// The host of a URL, if it is an IPv4 address.
fn address_in(url: &str) -> Option<Ipv4Addr> {
    Url::parse(url).ok()?.host_str()?.parse().ok()
}

impl Nvr {
    /// Some camera's address, as its settings have it.
    fn camera_address(camera: &db::Camera) -> Option<Ipv4Addr> {
        let mut streams = camera.streams.iter();
        streams.find_map(|s| address_in(&s.url))
    }

    /// Puts the addresses at which cameras were found again in place of those in their settings.
    pub(in crate::nvr) fn at_their_addresses(&self, cameras: &mut [db::Camera]) {
        for camera in cameras {
            let Some(known) = self.onboard.known.get(&camera.id) else {
                continue;
            };
            for stream in &mut camera.streams {
                let Ok(mut url) = Url::parse(&stream.url) else {
                    continue;
                };
                let is_of = url.host_str() == Some(&known.learned_host);
                let elsewhere = is_of && known.learned_host != known.address;
                if elsewhere && url.set_host(Some(&known.address)).is_ok() {
                    stream.url = url.to_string();
                }
            }
        }
    }

    /// Asks those of which nothing is known yet who they are: by address, on own subnets.
    pub(super) fn probe_unknown(&mut self, now: Now) {
        let known = &self.onboard.known;
        let in_use = self.cameras.iter().filter(|c| c.removed.is_none());
        let unknown = in_use.filter(|c| !known.contains_key(&c.id));
        let addresses: Vec<Ipv4Addr> = unknown.filter_map(Self::camera_address).collect();
        for address in addresses {
            self.probe_one(address);
        }
        let lost = &mut self.onboard.lost;
        lost.learn_at = Some(now.monotonic + LEARN_AGAIN);
        lost.watch_at.get_or_insert(now.monotonic + WATCH_INTERVAL);
        self.wake_at(self.onboard.lost.watch_at);
    }

    /// Whether some stream of a camera plays, or none of it is wanted.
    fn is_well(&self, camera: &db::Camera) -> bool {
        let mut wanted = camera.streams.iter().filter(|s| s.record).peekable();
        let plays = |s: &db::Stream| {
            let session = self
                .streams
                .get(&s.id)
                .and_then(|s| s.session.as_ref().ok());
            session.and_then(Session::playing_since).is_some()
        };
        wanted.peek().is_none() || wanted.any(plays)
    }

    pub(super) fn watch_for_lost(&mut self, now: Now) {
        let lost = &self.onboard.lost;
        if lost.watch_at.is_none_or(|t| t > now.monotonic) {
            return;
        }
        let away: Vec<i32> = self
            .cameras
            .iter()
            .filter(|c| self.onboard.known.contains_key(&c.id) && !self.is_well(c))
            .map(|c| c.id)
            .collect();
        let lost = &mut self.onboard.lost;
        lost.watch_at = Some(now.monotonic + WATCH_INTERVAL);
        lost.since.retain(|id, _| away.contains(id));
        for id in away {
            lost.since.entry(id).or_insert(now.monotonic);
        }
        let mut since = lost.since.values();
        let long = since.any(|at| now.monotonic.since(*at) >= AWAY);
        let is_due = lost.search_at.is_none_or(|t| t <= now.monotonic);
        match (long, is_due) {
            (false, _) => (lost.search_at, lost.wait) = (None, SEARCH_AGAIN),
            (true, false) => {}
            (true, true) => {
                lost.search_at = Some(now.monotonic + lost.wait);
                lost.wait = (lost.wait * 2).min(SEARCH_SELDOM);
                self.search(now);
            }
        }
        if self
            .onboard
            .lost
            .learn_at
            .is_some_and(|t| t <= now.monotonic)
        {
            self.probe_unknown(now);
        }
    }

    /// A device was heard of: whether it is one of the cameras, maybe elsewhere than before.
    pub(super) fn link(&mut self, now: Now, id: u32) {
        let Some(device) = self.onboard.devices.get(&id) else {
            return;
        };
        let in_use = || self.cameras.iter().filter(|c| c.removed.is_none());
        let by_endpoint = in_use().find(|c| {
            let known = self.onboard.known.get(&c.id);
            known.is_some_and(|k| device.endpoint.as_ref() == Some(&k.endpoint))
        });
        let at_address = || in_use().find(|c| Self::camera_address(c) == Some(device.address));
        let camera = match by_endpoint {
            Some(camera) if Self::camera_address(camera) == Some(device.address) => camera,
            // Several cameras of one batch may call themselves the same: one that is well stays.
            Some(camera) if self.is_well(camera) => return self.unlink(id),
            Some(camera) => return self.moved(now, id, &camera.clone()),
            None => match at_address() {
                Some(camera) => camera,
                None => return self.unlink(id),
            },
        };
        let learned = self.learned(camera, device);
        let uuid = camera.uuid;
        if let Some(device) = self.onboard.devices.get_mut(&id) {
            device.camera = Some(uuid);
        }
        if let Some(known) = learned {
            self.know(known);
            self.events_changed(now);
        }
    }

    /// It is no camera of ours, or not any more.
    fn unlink(&mut self, id: u32) {
        if let Some(device) = self.onboard.devices.get_mut(&id) {
            let was = device.camera.take();
            if was.is_some() && matches!(device.state, super::State::Recorded) {
                device.state = super::State::Found;
            }
        }
    }

    /// What is to be noted of a camera that answers where its settings say that it is.
    fn learned(&self, camera: &db::Camera, device: &Device) -> Option<KnownDevice> {
        if device.via != Via::Onvif {
            return None;
        }
        let host = device.address.to_string();
        let known = self.onboard.known.get(&camera.id);
        // Another device at the address of one that is known and away is not that one.
        let other = |k: &&KnownDevice| device.endpoint.as_ref() != Some(&k.endpoint);
        let elsewhere = |k: &&KnownDevice| k.learned_host != host && k.address != host;
        if known.filter(other).is_some_and(|k| !elsewhere(&k)) {
            return None;
        }
        let fresh = KnownDevice {
            camera: camera.id,
            learned_host: known
                .filter(|k| !elsewhere(k))
                .map_or_else(|| host.clone(), |k| k.learned_host.clone()),
            address: host,
            endpoint: device.endpoint.clone()?,
            service: device.service.as_ref()?.to_string(),
        };
        (known != Some(&fresh)).then_some(fresh)
    }

    fn moved(&mut self, now: Now, id: u32, camera: &db::Camera) {
        let Some(device) = self.onboard.devices.get_mut(&id) else {
            return;
        };
        device.camera = Some(camera.uuid);
        let (address, service) = (device.address.to_string(), device.service.clone());
        let Some(mut known) = self.onboard.known.get(&camera.id).cloned() else {
            return;
        };
        let message = format!(
            "it is at {address} now (it was at {}), and goes on under its name",
            known.address
        );
        known.address = address;
        if let Some(service) = service {
            known.service = service.to_string();
        }
        self.know(known);
        self.log_of_device(id, "camera-moved", message);
        self.out.log(
            Severity::Debug,
            "onboard",
            format!("\"{}\" is brought in anew", camera.name),
        );
        // All that there is, to be brought in at the new address.
        let request = self.out.db(db::Request::Snapshot);
        self.requests.insert(request, DbPurpose::Moved);
        self.wake_at(Some(now.monotonic));
    }
}
