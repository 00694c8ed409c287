//! Trying a user name and password on a device, and making a camera of it, when somebody asks or by itself.

use super::ask::MAX_SHOWN_IN_VAIN;
use super::device::{Account, Device, State};
use crate::config::Secret;
use crate::db::{
    self, CameraPatch, CameraReply, CameraRequest, DeviceRequest, KnownDevice, StreamChange,
    StreamPatch,
};
use crate::nvr::port::Severity;
use crate::nvr::{Clock, Cx, DbPurpose, Nvr, Phase, cx};
use crate::time::Now;
use std::time::Duration;

/// A device that failed for another reason than its password is tried again by itself after this, doubled each
/// time up to about an hour.
const AUTO_AGAIN: Duration = Duration::from_secs(60);
const MAX_DOUBLINGS: u32 = 6;

/// The longest name that is made, in characters.
const MAX_NAME_CHARS: usize = 60;

impl Nvr {
    /// Tries an account on a device, once; or tells why not.
    pub(in crate::nvr) fn try_on_device(
        &mut self,
        now: Now,
        id: u32,
        account: Account,
    ) -> Result<(), String> {
        let Some(device) = self.onboard.devices.get(&id) else {
            return Err("there is no such device".to_owned());
        };
        if device.camera.is_some() {
            return Err("it is recorded already".to_owned());
        }
        if device.state.is_busy() {
            return Err("it is being asked already".to_owned());
        }
        let key = device.key();
        let credentials = account.credentials(&key);
        let tries = &self.onboard.tries;
        let was_tried = |key: &String| tries.contains(&(key.clone(), account.credentials(key)));
        if device.keys().iter().any(was_tried) {
            return Err(
                "this user name and password were refused by it before, or it did not answer to \
                 them, and they are not tried again, lest it lock the account"
                    .to_owned(),
            );
        }
        // Noted before it is done: whatever happens meanwhile, it counts.
        self.onboard.tries.insert((key.clone(), credentials));
        let at = cx!(self, now).wall;
        let request = self.out.db(db::Request::Devices(DeviceRequest::Tried {
            device: key,
            credentials,
            at,
        }));
        self.requests.insert(request, DbPurpose::NoteTry(id));
        if let Some(device) = self.onboard.devices.get_mut(&id) {
            device.state = State::Noting(account);
        }
        Ok(())
    }

    /// The database has noted that an account is tried, or has not.
    pub(in crate::nvr) fn try_noted(&mut self, now: Now, id: u32, result: Result<(), String>) {
        let Some(device) = self.onboard.devices.get_mut(&id) else {
            return;
        };
        match (std::mem::replace(&mut device.state, State::Found), result) {
            (State::Noting(account), Ok(())) => {
                device.state = State::Waiting(account);
                self.ask_more(now);
            }
            (State::Noting(account), Err(why)) => {
                device.state = State::Noting(account);
                let why = format!("the database cannot note that it is tried: {why}");
                self.settle(now, id, State::Failed(why));
            }
            (other, _) => device.state = other,
        }
    }

    fn device_request(&mut self, request: DeviceRequest) {
        let id = self.out.db(db::Request::Devices(request));
        self.requests.insert(id, DbPurpose::Device);
    }

    /// A try has come to an end.
    pub(super) fn settle(&mut self, now: Now, id: u32, state: State) {
        let Some(device) = self.onboard.devices.get_mut(&id) else {
            return;
        };
        let account = match std::mem::replace(&mut device.state, state) {
            State::Noting(account) | State::Waiting(account) => Some(account),
            State::Asking(ask) => {
                device.shown_in_vain = ask.shown_in_vain(device.shown_in_vain);
                Some(ask.account)
            }
            State::Looking(looking) => Some(looking.account),
            _ => match &device.state {
                State::Ready(ready) => Some(ready.account.clone()),
                _ => None,
            },
        };
        let key = device.key();
        let told = match &device.state {
            State::Refused(why) => Some((Severity::Warning, why.clone())),
            State::Failed(why) => Some((Severity::Warning, why.clone())),
            _ => None,
        };
        let refused = matches!(device.state, State::Refused(_));
        match &device.state {
            State::Failed(_) => device.failures += 1,
            State::Ready(_) => (device.failures, device.failure_told) = (0, None),
            _ => {}
        }
        // Once, not at each try.
        let told = told.filter(|(_, why)| device.failure_told.as_ref() != Some(why));
        if let Some((severity, why)) = told {
            device.failure_told = Some(why.clone());
            let message = format!("{} at {}: {why}", device.camera_name(), device.address);
            self.out.log(severity, "camera-not-set-up", message);
        }
        if matches!(device.state, State::Ready(_)) {
            device.shown_in_vain = 0;
        }
        let shown = device.shown_in_vain;
        if let Some(account) = account.filter(|_| !refused && shown < MAX_SHOWN_IN_VAIN) {
            let credentials = account.credentials(&key);
            self.onboard.tries.remove(&(key.clone(), credentials));
            // It was taken, or never shown. Where that is not known it may be tried again for now, but not
            // after a restart, which forgets how often it was shown.
            if shown == 0 {
                self.device_request(DeviceRequest::Took {
                    device: key,
                    credentials,
                });
            }
        }
        self.record_by_itself(now, id);
    }

    /// With `auto`, the configured account is tried on a device that was found.
    pub(super) fn try_by_itself(&mut self, now: Now, id: u32) {
        let config = &self.config.onboard;
        let Some(device) = self.onboard.devices.get(&id) else {
            return;
        };
        // A camera of ours that nobody misses yet, or one that calls itself the same: no new one by itself.
        let mut known = self.onboard.known.values();
        if known.any(|k| device.endpoint.as_ref() == Some(&k.endpoint)) {
            return;
        }
        let idle = match &device.state {
            State::Found => true,
            State::Failed(_) => {
                let last = device.tried_at.map(|at| now.monotonic.since(at));
                let doublings = device.failures.saturating_sub(1).min(MAX_DOUBLINGS);
                last.is_none_or(|d| d >= AUTO_AGAIN * 2u32.pow(doublings))
            }
            _ => false,
        };
        if !config.auto || device.camera.is_some() || !idle || !config.may(device.address) {
            return;
        }
        let account = Account {
            username: config.username.clone(),
            password: config.password.clone(),
        };
        if self.cameras_in_use() >= config.max_cameras as usize {
            if !std::mem::replace(&mut self.onboard.told_full, true) {
                let message = format!(
                    "{} at {} is not set up: there are {} cameras, the most that [onboard] \
                     max_cameras allows",
                    device.camera_name(),
                    device.address,
                    config.max_cameras
                );
                self.out.log(Severity::Warning, "onboard", message);
            }
            return;
        }
        // Refused before: that was told then.
        let _ = self.try_on_device(now, id, account);
        if let Some(device) = self.onboard.devices.get_mut(&id) {
            device.tried_at = Some(now.monotonic);
        }
    }

    fn record_by_itself(&mut self, now: Now, id: u32) {
        let config = &self.config.onboard;
        let device = self.onboard.devices.get(&id);
        let Some(State::Ready(ready)) = device.map(|d| &d.state) else {
            return;
        };
        let ours =
            ready.account.username == config.username && ready.account.password == config.password;
        let making = self.onboard.devices.values();
        let making = making.filter(|d| matches!(d.state, State::Making)).count();
        let room = self.cameras_in_use() + making < config.max_cameras as usize;
        if config.auto && ours && room {
            let _ = self.record_device(now, id, None);
        }
    }

    fn cameras_in_use(&self) -> usize {
        self.cameras.iter().filter(|c| c.removed.is_none()).count()
    }

    /// Makes a camera of a device that is ready, under a name that is given or its own.
    pub(in crate::nvr) fn record_device(
        &mut self,
        _: Now,
        id: u32,
        name: Option<String>,
    ) -> Result<(), String> {
        let Some(device) = self.onboard.devices.get(&id) else {
            return Err("there is no such device".to_owned());
        };
        let State::Ready(ready) = &device.state else {
            return Err(
                "it is not known yet how to record it: try a user name and password first"
                    .to_owned(),
            );
        };
        let name = name.unwrap_or_else(|| self.free_name(device));
        let retain = [self.config.onboard.retain, self.config.onboard.sub_retain];
        let stream = |url: &url::Url, retain: crate::config::Retain| {
            StreamChange::Put(StreamPatch {
                url: Some(url.to_string()),
                retain_bytes: Some(retain.bytes),
                retain_days: Some(retain.days),
                ..StreamPatch::default()
            })
        };
        let words = [&device.maker, &device.model];
        let words: Vec<&str> = words.into_iter().flatten().map(String::as_str).collect();
        let patch = CameraPatch {
            name: Some(name),
            description: Some(words.join(" ")),
            username: Some(ready.account.username.clone()),
            password: Some(Secret(ready.account.password.0.clone())),
            main: stream(&ready.main.url, retain[0]),
            sub: match &ready.sub {
                Some(sub) => stream(&sub.url, retain[1]),
                None => StreamChange::Nothing,
            },
        };
        let request = db::Request::Cameras(CameraRequest::Make(Box::new(patch)));
        let request = self.out.db(request);
        self.requests.insert(request, DbPurpose::MakeCamera(id));
        if let Some(device) = self.onboard.devices.get_mut(&id) {
            device.state = State::Making;
        }
        Ok(())
    }

    /// The device's own name, or that with a number, so that it is no other camera's.
    fn free_name(&self, device: &Device) -> String {
        let own: String = device.camera_name().chars().take(MAX_NAME_CHARS).collect();
        let own = own.trim().to_owned();
        // One that is being made just now has no row yet.
        let taken = |name: &str| self.cameras.iter().any(|c| c.name == name);
        let making = |name: &str| {
            let others = self.onboard.devices.values().filter(|d| d.id != device.id);
            let mut making = others.filter(|d| matches!(d.state, State::Making));
            making.any(|d| d.camera_name() == name)
        };
        if !taken(&own) && !making(&own) {
            return own;
        }
        let addressed = format!("{own} {}", device.address);
        if !taken(&addressed) {
            return addressed;
        }
        let mut numbers = 2..;
        let free = numbers.find_map(|n| {
            let name = format!("{addressed} ({n})");
            (!taken(&name)).then_some(name)
        });
        free.unwrap_or(addressed)
    }

    /// The database has made a camera of a device, or could not.
    pub(in crate::nvr) fn camera_made(
        &mut self,
        now: Now,
        id: u32,
        result: Result<CameraReply, String>,
    ) {
        let reply = match result {
            Ok(reply) => reply,
            Err(why) => {
                if let Some(device) = self.onboard.devices.get_mut(&id) {
                    device.state = State::Failed(format!("it could not be added: {why}"));
                }
                return;
            }
        };
        self.cameras_changed(now, &reply.snapshot);
        let row = reply
            .snapshot
            .cameras
            .iter()
            .find(|c| c.uuid == reply.camera);
        let Some(device) = self.onboard.devices.get_mut(&id) else {
            return;
        };
        device.state = State::Recorded;
        device.camera = Some(reply.camera);
        if let (Some(row), Some(endpoint), Some(service)) = (row, &device.endpoint, &device.service)
        {
            let address = device.address.to_string();
            let known = KnownDevice {
                camera: row.id,
                learned_host: address.clone(),
                address,
                endpoint: endpoint.clone(),
                service: service.to_string(),
            };
            self.know(known);
        }
        self.log_of_device(
            id,
            "camera-set-up",
            "it was found on the network and is recorded".to_owned(),
        );
        self.events_changed(now);
    }

    /// Notes what a camera is known by.
    pub(super) fn know(&mut self, known: KnownDevice) {
        self.onboard.known.insert(known.camera, known.clone());
        self.device_request(DeviceRequest::Put(known));
    }
}
