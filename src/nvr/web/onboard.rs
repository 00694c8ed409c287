//! `/api/onboard/`: the cameras that are found on the network, trying a user name and password on each once,
//! and recording those that take it.

use super::access::{require, require_own};
use super::form::{self, Password};
use super::refusal::{bad, later};
use super::route::OfOnboard;
use super::task::Task;
use super::users::require_method;
use crate::access::{Permission, Principal};
use crate::config::{self, Secret};
use crate::http::{Method, Request, Response, Status};
use crate::nvr::onboard::{Account, Device, ReadyStream, State};
use crate::nvr::{Nvr, Phase};
use crate::time::Now;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::Duration;

type Refused = Box<Response>;

/// The longest user name and password, in bytes.
const MAX_CREDENTIAL_BYTES: usize = 256;

/// How soon to come again while the recorder starts.
const COME_AGAIN: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchBody {
    csrf: Option<String>,
    address: Option<String>,
    #[serde(default)]
    scan: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TryBody {
    csrf: Option<String>,
    #[serde(default)]
    username: String,
    password: Option<Password>,
    devices: Option<Vec<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordBody {
    csrf: Option<String>,
    devices: Option<Vec<RecordFields>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RecordFields {
    id: u32,
    short_name: Option<String>,
}

impl Nvr {
    /// What is asked about cameras that were found, if it may be asked.
    pub(super) fn begin_of_onboard(
        &mut self,
        now: Now,
        of: OfOnboard,
        request: &Request,
        who: &Principal,
    ) -> Result<Task, Refused> {
        match of {
            OfOnboard::List => require_method(request, &[Method::Get, Method::Head])?,
            _ => require_method(request, &[Method::Post])?,
        }
        require(who, Permission::Configure, None)?;
        if !self.config.onboard.discover || self.read_only {
            let sentence = "looking for cameras is switched off ([onboard] discover = false, or the \
                            recorder only shows what there is)";
            return Err(Box::new(Response::text(Status::Conflict, sentence)));
        }
        if self.phase != Phase::Running {
            let sentence = "the recorder is starting or ending: try again in a little while";
            return Err(later(Status::ServiceUnavailable, sentence, COME_AGAIN));
        }
        let response = match of {
            OfOnboard::List => {
                self.search_if_old(now);
                Response::json(Status::Ok, &self.onboard_json())
            }
            OfOnboard::Search => self.search_asked(now, request, who)?,
            OfOnboard::Try => self.try_asked(now, request, who)?,
            OfOnboard::Record => self.record_asked(now, request, who)?,
        };
        Ok(Task::Whole(response))
    }

    fn onboard_json(&self) -> Value {
        let events = self.event_statuses();
        json!({
            "searching": self.onboard.is_searching(),
            "searchTime90k": self.onboard.searched.as_ref().map(|(_, at)| at.0),
            "trying": self.onboard.trying(),
            "interfaces": self.onboard.interfaces(),
            "auto": self.config.onboard.auto,
            "devices": self.onboard.devices.values().map(device_json).collect::<Value>(),
            "events": events.iter().map(|e| json!({
                "camera": e.camera,
                "state": e.state,
                "sinceTime90k": e.since.0,
                "lastTime90k": e.last.map(|t| t.0),
                "subscriptions": e.subscriptions,
                "message": e.message,
            })).collect::<Value>(),
        })
    }

    fn search_asked(
        &mut self,
        now: Now,
        request: &Request,
        who: &Principal,
    ) -> Result<Response, Refused> {
        let body: SearchBody = form::read(request)?;
        require_own(who, body.csrf.as_deref())?;
        if let Some(address) = &body.address {
            let address: Ipv4Addr = address
                .parse()
                .map_err(|_| bad("address: write it like \"192.0.2.7\""))?;
            if !self.probe_one(address) {
                return Err(bad(
                    "this address is on none of the recorder's own networks, and nothing else is asked",
                ));
            }
        } else {
            self.search(now);
        }
        if body.scan {
            self.scan(now);
        }
        Ok(Response::empty(Status::NoContent))
    }

    fn try_asked(
        &mut self,
        now: Now,
        request: &Request,
        who: &Principal,
    ) -> Result<Response, Refused> {
        let body: TryBody = form::read(request)?;
        require_own(who, body.csrf.as_deref())?;
        let password = body.password.map_or_else(Secret::default, |Password(p)| p);
        let odd = |s: &str| s.len() > MAX_CREDENTIAL_BYTES || s.chars().any(char::is_control);
        if odd(&body.username) || odd(&password.0) {
            return Err(bad(&format!(
                "the username or password has a control character in it, or more than \
                 {MAX_CREDENTIAL_BYTES} bytes"
            )));
        }
        let account = Account {
            username: body.username,
            password,
        };
        let all = self.onboard.devices.values();
        let open = |d: &&Device| {
            let idle = matches!(d.state, State::Found | State::Refused(_) | State::Failed(_));
            d.camera.is_none() && !d.gone && idle
        };
        let ids = match body.devices {
            Some(ids) => ids,
            None => all.filter(open).map(|d| d.id).collect(),
        };
        let (mut begun, mut skipped) = (Vec::new(), Vec::new());
        for id in ids {
            match self.try_on_device(now, id, account.clone()) {
                Ok(()) => begun.push(id),
                Err(why) => skipped.push(json!({ "id": id, "message": why })),
            }
        }
        let told = json!({ "devices": begun, "skipped": skipped });
        Ok(Response::json(Status::Ok, &told))
    }

    fn record_asked(
        &mut self,
        now: Now,
        request: &Request,
        who: &Principal,
    ) -> Result<Response, Refused> {
        let body: RecordBody = form::read(request)?;
        require_own(who, body.csrf.as_deref())?;
        let wanted = match body.devices {
            Some(wanted) => wanted,
            None => {
                let all = self.onboard.devices.values();
                let ready = all.filter(|d| matches!(d.state, State::Ready(_)));
                ready
                    .map(|d| RecordFields {
                        id: d.id,
                        short_name: None,
                    })
                    .collect()
            }
        };
        for fields in &wanted {
            if let Some(name) = &fields.short_name {
                config::camera_name(name).map_err(|e| bad(&format!("shortName: {e}")))?;
                if self
                    .cameras
                    .iter()
                    .any(|c| c.name == *name && c.removed.is_none())
                {
                    let sentence = format!("there is a camera named \"{name}\" already");
                    return Err(Box::new(Response::text(Status::Conflict, &sentence)));
                }
            }
        }
        let (mut begun, mut skipped) = (Vec::new(), Vec::new());
        for RecordFields { id, short_name } in wanted {
            match self.record_device(now, id, short_name) {
                Ok(()) => begun.push(id),
                Err(why) => skipped.push(json!({ "id": id, "message": why })),
            }
        }
        let told = json!({ "devices": begun, "skipped": skipped });
        Ok(Response::json(Status::Ok, &told))
    }
}

fn device_json(device: &Device) -> Value {
    let (mut streams, mut picture, mut clock, mut advice) =
        (json!({}), Value::Null, Value::Null, json!([]));
    if let State::Ready(ready) = &device.state {
        streams = json!({ "main": stream_json(&ready.main) });
        if let Some(sub) = &ready.sub {
            streams["sub"] = stream_json(sub);
        }
        picture = json!(ready.picture);
        clock = json!(ready.clock_offset_90k);
        advice = ready.advice.iter().map(|a| a.to_json()).collect();
    }
    let message = match &device.state {
        State::Refused(why) | State::Failed(why) => Some(why),
        _ => None,
    };
    let state = match device.camera {
        Some(_) => "recorded",
        None => device.state.as_str(),
    };
    json!({
        "id": device.id,
        "address": device.address,
        "via": device.via.as_str(),
        "name": device.name,
        "maker": device.maker,
        "model": device.model,
        "firmware": device.firmware,
        "serial": device.serial,
        "mac": device.mac,
        "endpoint": device.endpoint,
        "seenTime90k": device.seen.0,
        "gone": device.gone,
        "camera": device.camera,
        "state": state,
        "message": message,
        "suggestedName": device.camera_name(),
        "streams": streams,
        "picture": picture,
        "clockOffset90k": clock,
        "advice": advice,
    })
}

fn stream_json(stream: &ReadyStream) -> Value {
    let mut value = stream.seen.clone();
    value["url"] = json!(stream.url.as_str());
    value["profile"] = json!(stream.profile.as_ref().map(|p| &p.name));
    value
}

#[cfg(test)]
mod tests;
