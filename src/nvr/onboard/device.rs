//! A device that was found, and how far it has got on its way to being recorded.

use super::ask::Ask;
use crate::config::Secret;
use crate::db::TriedCredentials;
use crate::nvr::advice::Advice;
use crate::onvif::media::Profile;
use crate::onvif::{Report, discovery::Announcement};
use crate::time::{Monotonic, Wall90k};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::net::Ipv4Addr;
use url::Url;
use uuid::Uuid;

/// How a device was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    Onvif,
    /// Multicast DNS tells of an RTSP server.
    Mdns,
    /// An RTSP server answered the scan.
    Rtsp,
}

impl Via {
    pub fn as_str(self) -> &'static str {
        match self {
            Via::Onvif => "onvif",
            Via::Mdns => "mdns",
            Via::Rtsp => "rtsp",
        }
    }
}

/// A user name and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub username: String,
    pub password: Secret,
}

impl Account {
    /// Tells two accounts on one device apart, and gives neither away.
    pub fn credentials(&self, device: &str) -> TriedCredentials {
        let text = format!("{device}\0{}\0{}", self.username, self.password.0);
        let mut short = TriedCredentials::default();
        let len = short.len();
        short.copy_from_slice(&Sha256::digest(text)[..len]);
        short
    }
}

/// How far a device has got.
pub enum State {
    /// It was heard of.
    Found,
    /// The database is noting that this account is tried.
    Noting(Account),
    /// It is to be asked under this account, when others are done.
    Waiting(Account),
    /// It is being asked by ONVIF.
    Asking(Box<Ask>),
    /// Its streams are to be looked at, or are being.
    Looking(Box<Looking>),
    /// It can be recorded.
    Ready(Box<Ready>),
    /// It refuses the user name and password.
    Refused(String),
    Failed(String),
    /// The database is being told.
    Making,
    Recorded,
}

impl State {
    pub fn as_str(&self) -> &'static str {
        match self {
            State::Found => "found",
            State::Noting(_) | State::Waiting(_) => "waiting",
            State::Asking(_) => "asking",
            State::Looking(_) => "looking",
            State::Ready(_) => "ready",
            State::Refused(_) => "refused",
            State::Failed(_) => "failed",
            State::Making | State::Recorded => "recorded",
        }
    }

    /// Something is under way.
    pub fn is_busy(&self) -> bool {
        matches!(
            self,
            State::Noting(_)
                | State::Waiting(_)
                | State::Asking(_)
                | State::Looking(_)
                | State::Making
        )
    }
}

/// Streams that are to be looked at.
pub struct Looking {
    pub account: Account,
    pub report: Report,
    /// What is looked at now, main first; empty for an RTSP server of which no path is known.
    pub urls: Vec<Url>,
    /// Of such a server: the path that is tried next.
    pub next_path: usize,
    /// The look is under way.
    pub begun: bool,
}

/// A device that can be recorded.
pub struct Ready {
    pub account: Account,
    pub main: ReadyStream,
    pub sub: Option<ReadyStream>,
    /// A `data:` URL.
    pub picture: Option<String>,
    pub clock_offset_90k: Option<i64>,
    pub advice: Vec<Advice>,
}

/// One of its streams.
pub struct ReadyStream {
    pub url: Url,
    pub profile: Option<Profile>,
    /// As the camera test tells it, without the picture.
    pub seen: Value,
}

/// See the module.
pub struct Device {
    /// In this run of the program.
    pub id: u32,
    pub via: Via,
    pub address: Ipv4Addr,
    /// Of its RTSP server, where it was found by that.
    pub rtsp_port: u16,
    pub rtsp_path: Option<String>,
    /// Its WS-Discovery endpoint reference.
    pub endpoint: Option<String>,
    /// Its device service, at the address that answered.
    pub service: Option<Url>,
    pub name: Option<String>,
    pub maker: Option<String>,
    pub model: Option<String>,
    pub firmware: Option<String>,
    pub serial: Option<String>,
    pub mac: Option<String>,
    pub seen: Wall90k,
    pub seen_at: Monotonic,
    /// How often it was shown an account without saying yes or no.
    pub shown_in_vain: u32,
    /// How often in a row nothing came of it, and the reason that was told last.
    pub failures: u32,
    pub failure_told: Option<String>,
    /// When it was last tried by itself.
    pub tried_at: Option<Monotonic>,
    /// It has said good-bye.
    pub gone: bool,
    /// It is recorded as this camera.
    pub camera: Option<Uuid>,
    pub state: State,
}

impl Device {
    pub fn new(id: u32, via: Via, address: Ipv4Addr, rtsp_port: u16) -> Device {
        Device {
            id,
            via,
            address,
            rtsp_port,
            rtsp_path: None,
            endpoint: None,
            service: None,
            name: None,
            maker: None,
            model: None,
            firmware: None,
            serial: None,
            mac: None,
            seen: Wall90k(0),
            seen_at: Monotonic(0),
            shown_in_vain: 0,
            failures: 0,
            failure_told: None,
            tried_at: None,
            gone: false,
            camera: None,
            state: State::Found,
        }
    }

    /// What tries are remembered by.
    pub fn key(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("rtsp:{}:{}", self.address, self.rtsp_port),
        }
    }

    /// What else they may be remembered by: it may have been known as an RTSP server only.
    pub fn keys(&self) -> [String; 2] {
        let rtsp = format!("rtsp:{}:{}", self.address, self.rtsp_port);
        [self.key(), rtsp]
    }

    /// Takes in what it announces, from this address.
    pub fn announced(&mut self, it: &Announcement, from: Ipv4Addr) {
        self.via = Via::Onvif;
        self.address = from;
        self.gone = false;
        self.endpoint = Some(it.endpoint.clone());
        self.service = it.service_at(from);
        self.name = it.name.clone().or(self.name.take());
        self.model = self.model.take().or(it.hardware.clone());
    }

    /// Takes in what it has told of itself.
    pub fn told(&mut self, report: &Report) {
        let it = &report.information;
        for (own, told) in [
            (&mut self.name, &report.name),
            (&mut self.maker, &it.maker),
            (&mut self.model, &it.model),
            (&mut self.firmware, &it.firmware),
            (&mut self.serial, &it.serial),
            (&mut self.mac, &report.mac),
        ] {
            *own = told.clone().or(own.take());
        }
    }

    /// What to call it as a camera, unless its owner says.
    pub fn camera_name(&self) -> String {
        let words = [&self.name, &self.model, &self.maker];
        let told = words.into_iter().flatten().find(|w| !w.trim().is_empty());
        told.map_or_else(
            || format!("camera {}", self.address),
            |w| w.trim().to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_told_apart_and_not_told() {
        let account = |p: &str| Account {
            username: "admin".to_owned(),
            password: Secret(p.to_owned()),
        };
        let one = account("a").credentials("urn:1");
        assert_eq!(one, account("a").credentials("urn:1"));
        assert_ne!(one, account("b").credentials("urn:1"));
        assert_ne!(one, account("a").credentials("urn:2"));
        assert!(!format!("{:?}", account("hunter2")).contains("hunter2"));
    }
}
