//! Signals: what there is, how their states changed, and changing them.
//!
//! What there is, the core keeps a copy of: `/api/` tells it at any time.

use super::access::{denied_response, require, require_own};
use super::exchange::Exchange;
use super::form::{self, Bare};
use super::refusal::{bad, unexpected};
use super::route::OfSignals;
use super::task::{Task, require_any};
use super::users::require_method;
use crate::access::{Denied, Permission, Principal};
use crate::db::{
    self, NewSignal, Reply, Signal, SignalCamera, SignalChange, SignalId, SignalReply,
    SignalRequest, SignalState, SignalType, SignalUpdate,
};
use crate::http::{Method, Request, Response, Status};
use crate::nvr::{DbPurpose, Nvr};
use crate::time::{Duration90k, Now, Wall90k};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use uuid::Uuid;

type Refused = Box<Response>;

/// The signals that there are: a copy of the database's.
#[derive(Default)]
pub struct Signals {
    types: Vec<SignalType>,
    signals: Vec<Signal>,
}

impl Signals {
    pub fn put_type(&mut self, kind: SignalType) {
        self.types.retain(|t| t.uuid != kind.uuid);
        self.types.push(kind);
    }

    pub fn put(&mut self, signal: Signal) {
        self.remove(signal.id);
        self.signals.push(signal);
    }

    pub fn remove(&mut self, id: SignalId) {
        self.signals.retain(|s| s.id != id);
    }

    fn find(&self, id: SignalId) -> Option<&Signal> {
        self.signals.iter().find(|s| s.id == id)
    }

    /// The one of a kind that is a camera's own; of several, the one whose name ends with `input`.
    pub fn find_own(&self, kind: Uuid, camera: Uuid, input: &str) -> Option<SignalId> {
        let mut all = self.signals.iter();
        let is_own = |s: &Signal| s.cameras.iter().any(|c| c.uuid == camera && c.direct);
        all.find(|s| s.kind == kind && is_own(s) && s.name.ends_with(input))
            .map(|s| s.id)
    }

    pub fn of_kinds(&self, kinds: &[Uuid]) -> Vec<SignalId> {
        let all = self.signals.iter().filter(|s| kinds.contains(&s.kind));
        all.map(|s| s.id).collect()
    }

    /// Those of which somebody may know.
    fn shown_to<'a>(&'a self, who: &'a Principal) -> impl Iterator<Item = &'a Signal> {
        self.signals.iter().filter(|s| may_see(who, s))
    }

    /// `signals` of `/api/`.
    pub fn signals_json(&self, who: &Principal) -> Value {
        self.shown_to(who).map(signal_json).collect()
    }

    /// `signalTypes` of `/api/`.
    pub fn types_json(&self) -> Value {
        self.types.iter().map(type_json).collect()
    }
}

/// Whether somebody may know of a signal and its states: who sets signals up, changes this one, or may
/// see recordings of a camera that it concerns; of all cameras, any.
fn may_see(who: &Principal, signal: &Signal) -> bool {
    let mut cameras = signal.cameras.iter();
    who.may(Permission::Configure, None)
        || may_update(who, signal)
        || who.may(Permission::ViewRecordings, None)
        || cameras.any(|c| who.may(Permission::ViewRecordings, Some(c.uuid)))
}

/// Whether somebody may change a signal's states: of all, or of those whose cameras are all its own.
fn may_update(who: &Principal, signal: &Signal) -> bool {
    let mut cameras = signal.cameras.iter();
    who.may(Permission::UpdateSignals, None)
        || !signal.cameras.is_empty()
            && cameras.all(|c| who.may(Permission::UpdateSignals, Some(c.uuid)))
}

fn signal_json(signal: &Signal) -> Value {
    let cameras: Map<String, Value> = signal
        .cameras
        .iter()
        .map(|c| {
            let how = if c.direct { "direct" } else { "indirect" };
            (c.uuid.to_string(), json!(how))
        })
        .collect();
    json!({
        "id": signal.id.0,
        "uuid": signal.uuid,
        "shortName": signal.name,
        "type": signal.kind,
        "cameras": cameras,
    })
}

fn type_json(kind: &SignalType) -> Value {
    let states = kind.states.iter().map(|s| {
        let mut state = json!({ "value": s.state, "name": s.name });
        if s.motion {
            state["motion"] = json!(true);
        }
        if !s.color.is_empty() {
            state["color"] = json!(s.color);
        }
        state
    });
    json!({
        "uuid": kind.uuid,
        "shortName": kind.name,
        "states": states.collect::<Vec<_>>(),
    })
}

/// `POST /api/signals`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Update {
    csrf: Option<String>,
    signal_ids: Vec<i64>,
    states: Vec<u16>,
    #[serde(default)]
    start: Time,
    end: Time,
}

/// A time as it is told in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Time {
    base: Base,
    rel90k: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Base {
    Epoch,
    Now,
}

impl Default for Time {
    fn default() -> Time {
        let base = Base::Now;
        Time { base, rel90k: 0 }
    }
}

impl Time {
    fn at(&self, now: Wall90k) -> Wall90k {
        match self.base {
            Base::Epoch => Wall90k(self.rel90k),
            Base::Now => now + Duration90k(self.rel90k),
        }
    }
}

/// `PUT /api/signalTypes/<uuid>`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PutType {
    csrf: Option<String>,
    #[serde(rename = "type")]
    kind: TypeFields,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TypeFields {
    short_name: String,
    states: Vec<StateFields>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StateFields {
    value: u16,
    name: String,
    #[serde(default)]
    color: String,
    #[serde(default)]
    motion: bool,
}

/// `POST /api/signalTypes/<uuid>/signals`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MakeSignal {
    csrf: Option<String>,
    signal: SignalFields,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SignalFields {
    short_name: String,
    #[serde(default)]
    cameras: BTreeMap<Uuid, Association>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Association {
    Direct,
    Indirect,
}

impl Nvr {
    /// Asks the database for the signals that there are; once, when it is open.
    pub(in crate::nvr) fn begin_signals(&mut self) {
        let ask = db::Request::Signals(SignalRequest::List);
        let id = self.out.db(ask);
        self.requests.insert(id, DbPurpose::Signals);
    }

    /// They have come.
    pub(in crate::nvr) fn signals_read(&mut self, reply: Reply) {
        if let Reply::Signals(SignalReply::Signals { types, signals }) = reply {
            self.web.signals = Signals { types, signals };
        }
    }

    /// What is asked about signals, if it may be asked.
    pub(super) fn begin_of_signals(
        &mut self,
        now: Now,
        of: OfSignals,
        span: Range<Wall90k>,
        request: &Request,
        who: &Principal,
    ) -> Result<Task, Refused> {
        Ok(Task::Exchange(match of {
            OfSignals::Changes => {
                require_method(request, &[Method::Get, Method::Head, Method::Post])?;
                match request.method {
                    Method::Post => self.update_signals(self.at(now).wall, request, who)?,
                    _ => self.changes(span, who)?,
                }
            }
            OfSignals::Signal(id) => {
                require_method(request, &[Method::Delete])?;
                require(who, Permission::Configure, None)?;
                let Bare { csrf } = form::read(request)?;
                require_own(who, csrf.as_deref())?;
                done(SignalRequest::Remove(id))
            }
            OfSignals::Type(uuid) => put_type(uuid, request, who)?,
            OfSignals::OfType(kind) => make(kind, request, who)?,
        }))
    }

    /// `GET /api/signals`.
    fn changes(&self, span: Range<Wall90k>, who: &Principal) -> Result<Exchange, Refused> {
        require_any(who)?;
        let shown: BTreeSet<SignalId> = self.web.signals.shown_to(who).map(|s| s.id).collect();
        let ask = db::Request::Signals(SignalRequest::Changes(span));
        Ok(Exchange::new(ask, move |reply| match reply {
            Reply::Signals(SignalReply::Changes(mut changes)) => {
                changes.retain(|c| shown.contains(&c.signal));
                Response::json(Status::Ok, &parallel(&changes))
            }
            _ => unexpected(),
        }))
    }

    /// `POST /api/signals`.
    fn update_signals(
        &self,
        now: Wall90k,
        request: &Request,
        who: &Principal,
    ) -> Result<Exchange, Refused> {
        if !who.permissions().has(Permission::UpdateSignals) {
            require(who, Permission::UpdateSignals, None)?;
        }
        let update: Update = form::read(request)?;
        require_own(who, update.csrf.as_deref())?;
        if update.signal_ids.len() != update.states.len() {
            return Err(bad("there must be as many states as signalIds"));
        }
        let ids: BTreeSet<i64> = update.signal_ids.iter().copied().collect();
        if ids.len() != update.signal_ids.len() {
            return Err(bad("each of signalIds must be there once"));
        }
        for id in ids.into_iter().map(SignalId) {
            match self.web.signals.find(id) {
                None => return Err(bad(&format!("there is no signal {}", id.0))),
                Some(signal) if !may_update(who, signal) => {
                    return Err(Box::new(denied_response(Denied::Forbidden)));
                }
                Some(_) => {}
            }
        }
        let ids = update.signal_ids.iter().map(|id| SignalId(*id));
        let change = db::Request::Signals(SignalRequest::Update(SignalUpdate {
            states: ids.zip(update.states).collect(),
            span: update.start.at(now)..update.end.at(now),
        }));
        Ok(Exchange::new(change, move |_| {
            Response::json(Status::Ok, &json!({ "time90k": now.0 }))
        }))
    }
}

/// What came of a change that has nothing to tell.
fn done(request: SignalRequest) -> Exchange {
    let request = db::Request::Signals(request);
    Exchange::new(request, |_| Response::empty(Status::NoContent))
}

fn put_type(uuid: Uuid, request: &Request, who: &Principal) -> Result<Exchange, Refused> {
    require_method(request, &[Method::Put])?;
    require(who, Permission::Configure, None)?;
    let PutType { csrf, kind } = form::read(request)?;
    require_own(who, csrf.as_deref())?;
    let states = kind.states.into_iter().map(|s| SignalState {
        state: s.value,
        name: s.name,
        color: s.color,
        motion: s.motion,
    });
    Ok(done(SignalRequest::PutType(SignalType {
        uuid,
        name: kind.short_name,
        states: states.collect(),
    })))
}

fn make(kind: Uuid, request: &Request, who: &Principal) -> Result<Exchange, Refused> {
    require_method(request, &[Method::Post])?;
    require(who, Permission::Configure, None)?;
    let MakeSignal { csrf, signal } = form::read(request)?;
    require_own(who, csrf.as_deref())?;
    let cameras = signal.cameras.into_iter().map(|(uuid, how)| SignalCamera {
        uuid,
        direct: matches!(how, Association::Direct),
    });
    let make = db::Request::Signals(SignalRequest::Make(NewSignal {
        kind,
        name: signal.short_name,
        cameras: cameras.collect(),
    }));
    Ok(Exchange::new(make, |reply| match reply {
        Reply::Signals(SignalReply::Signal(signal)) => Response::json(
            Status::Ok,
            &json!({ "id": signal.id.0, "uuid": signal.uuid }),
        ),
        _ => unexpected(),
    }))
}

/// Changes as parallel arrays.
fn parallel(changes: &[SignalChange]) -> Value {
    let all = |f: fn(&SignalChange) -> i64| changes.iter().map(f).collect::<Vec<_>>();
    json!({
        "times90k": all(|c| c.at.0),
        "signalIds": all(|c| c.signal.0),
        "states": all(|c| c.state.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::client::{Browser, START, Site};
    use super::*;

    const KIND: &str = "/api/signalTypes/3b1a7d3e-40e2-4ba4-8d5b-000000000001";

    fn motion() -> Value {
        json!({ "type": { "shortName": "motion", "states": [
            { "value": 1, "name": "still" },
            { "value": 2, "name": "moving", "color": "red", "motion": true },
        ]}})
    }

    fn over(base: &str, from: i64, to: i64) -> Value {
        json!({
            "start": { "base": base, "rel90k": from },
            "end": { "base": base, "rel90k": to },
        })
    }

    fn update(ids: &[i64], states: &[i64], mut span: Value) -> Value {
        span["signalIds"] = json!(ids);
        span["states"] = json!(states);
        span
    }

    /// With a kind, and a signal of each of two cameras and of none: 1, 2, 3. Carl sees to the first
    /// camera alone.
    fn site() -> (Site, Browser, Browser, Browser) {
        let (mut site, anna, bert) = Site::with_users();
        site.change(&anna, "PUT", KIND, motion()).is(204);
        let uuids: Vec<Uuid> = site.nvr.cameras.iter().map(|c| c.uuid).collect();
        for (name, cameras) in [
            ("first", json!({ (uuids[0].to_string()): "direct" })),
            ("second", json!({ (uuids[1].to_string()): "indirect" })),
            ("alarm", json!({})),
        ] {
            let path = format!("{KIND}/signals");
            let body = json!({ "signal": { "shortName": name, "cameras": cameras } });
            site.change(&anna, "POST", &path, body).is(200);
        }
        let carl = json!({ "user": {
            "username": "carl",
            "password": super::super::client::PASSWORD,
            "cameras": [uuids[0]],
            "permissions": { "viewVideo": true, "updateSignals": true },
        }});
        site.change(&anna, "POST", "/api/users/", carl).is(200);
        let carl = site.sign_in("carl");
        (site, anna, bert, carl)
    }

    #[test]
    fn kinds_and_signals_are_made_and_told() {
        let (mut site, anna, bert, carl) = site();
        site.guards(("PUT", KIND), &motion(), &anna, Some(&bert));
        let path = format!("{KIND}/signals");
        let another = json!({ "signal": { "shortName": "another" } });
        site.guards(("POST", &path), &another, &anna, Some(&bert));
        let top = site.get(&bert, "/api/").json();
        assert_eq!(
            top["signalTypes"],
            json!([{
                "uuid": "3b1a7d3e-40e2-4ba4-8d5b-000000000001",
                "shortName": "motion",
                "states": [
                    { "value": 1, "name": "still" },
                    { "value": 2, "name": "moving", "color": "red", "motion": true },
                ],
            }])
        );
        let signals = top["signals"].as_array().unwrap();
        assert_eq!(signals.len(), 3);
        let camera = site.nvr.cameras[0].uuid.to_string();
        assert_eq!(signals[0]["id"], 1);
        assert_eq!(signals[0]["shortName"], "first");
        assert_eq!(signals[0]["cameras"], json!({ camera: "direct" }));
        assert_eq!(signals[0]["type"], top["signalTypes"][0]["uuid"]);
        let told = site.get(&carl, "/api/").json();
        assert_eq!(told["signals"], json!([signals[0]]));

        let first = json!({ "signal": { "shortName": "first" } });
        let answer = site.change(&anna, "POST", &path, first.clone());
        answer.refuses(409, "a signal named \"first\" already");
        let nowhere = path.replace('3', "4");
        let answer = site.change(&anna, "POST", &nowhere, first);
        answer.refuses(404, "no signal type");
        let zero = json!({ "type": { "shortName": "x", "states": [{ "value": 0, "name": "x" }] } });
        let answer = site.change(&anna, "PUT", KIND, zero);
        answer.refuses(400, "numbered from 1 on");
        site.get(&anna, KIND).refuses(405, "only PUT");

        site.guards(("DELETE", "/api/signals/3"), &json!({}), &anna, Some(&bert));
        site.change(&anna, "DELETE", "/api/signals/3", json!({}))
            .is(204);
        let left = site.get(&anna, "/api/").json()["signals"].take();
        assert_eq!(left.as_array().unwrap().len(), 2);
        site.change(&anna, "DELETE", "/api/signals/3", json!({}))
            .refuses(404, "there is no signal 3");

        // A recorder that starts anew knows what the database knows.
        let before = site.get(&anna, "/api/").json();
        site.nvr.web.signals = Signals::default();
        site.nvr.begin_signals();
        site.tell(crate::nvr::port::Event::Timeout);
        let after = site.get(&anna, "/api/").json();
        assert_eq!(after["signals"], before["signals"]);
        assert_eq!(after["signalTypes"], before["signalTypes"]);
    }

    #[test]
    fn states_change_over_a_span_and_are_told() {
        let (mut site, anna, _, carl) = site();
        let admin = json!({ "user": { "permissions": { "updateSignals": true } } });
        site.change(&anna, "PATCH", "/api/users/1", admin).is(204);
        let minute = 60 * 90_000;
        let body = update(&[1, 2], &[2, 1], over("now", 0, minute));
        let answer = site.change(&anna, "POST", "/api/signals", body);
        assert_eq!(answer.is(200).json(), json!({ "time90k": START.0 }));
        let body = update(&[3], &[2], over("epoch", 90_000, 180_000));
        site.change(&anna, "POST", "/api/signals", body).is(200);
        let all = site.get(&anna, "/api/signals").is(200).json();
        let (now, then) = (START.0, START.0 + minute);
        assert_eq!(
            all,
            json!({
                "times90k": [90_000, 180_000, now, now, then, then],
                "signalIds": [3, 3, 1, 2, 1, 2],
                "states": [2, 0, 2, 1, 0, 0],
            })
        );
        // The state before, then what changes; the end is no part of the span.
        let path = format!(
            "/api/signals?startTime90k={}&endTime90k={then}",
            now + 90_000
        );
        let some = site.get(&anna, &path).json();
        assert_eq!(
            some,
            json!({ "times90k": [now, now], "signalIds": [1, 2], "states": [2, 1] })
        );
        // Without a start it is now.
        let mut body = update(&[1], &[1], over("now", 0, minute));
        body.as_object_mut().unwrap().remove("start");
        site.pass(std::time::Duration::from_secs(1));
        site.change(&carl, "POST", "/api/signals", body).is(200);
        let his = site.get(&carl, "/api/signals").json();
        assert_eq!(his["signalIds"], json!([1, 1, 1]));
        assert_eq!(
            his["times90k"],
            json!([now, now + 90_000, now + 90_000 + minute])
        );
    }

    #[test]
    fn who_may_read_and_change_states() {
        let (mut site, anna, bert, carl) = site();
        let body = update(&[1], &[2], over("now", 0, 90_000));
        site.guards(("POST", "/api/signals"), &body, &carl, Some(&bert));
        let answer = site.get(&Browser::default(), "/api/signals");
        answer.refuses(401, "sign in first");
        let dora = site.make_user("dora", json!({}));
        assert!(dora > 0);
        let body_of_dora =
            json!({ "username": "dora", "password": super::super::client::PASSWORD });
        let login = site.send(&anna, "POST", "/api/login", &body_of_dora.to_string());
        let dora = Browser {
            cookie: Some(super::super::client::cookie(&login)),
            ..Browser::default()
        };
        site.get(&dora, "/api/signals").refuses(403, "you may not");
        // Of another camera's signal, and of one that is of none.
        for id in [2, 3] {
            let body = update(&[1, id], &[2, 2], over("now", 0, 90_000));
            let answer = site.change(&carl, "POST", "/api/signals", body);
            answer.refuses(403, "you may not");
        }
        let none = site.get(&bert, "/api/signals").json();
        assert_eq!(none["times90k"], json!([]));
    }

    #[test]
    fn changes_that_nobody_understands() {
        let (mut site, _, _, carl) = site();
        let span = || over("now", 0, 90_000);
        for (body, words) in [
            (update(&[1], &[], span()), "as many states as signalIds"),
            (update(&[1, 1], &[1, 1], span()), "must be there once"),
            (update(&[9], &[1], span()), "there is no signal 9"),
            (update(&[1], &[3], span()), "signal 1 has no state 3"),
            (update(&[1], &[-1], span()), "expected u16"),
            (
                update(&[1], &[1], over("now", 1, 0)),
                "ends before it starts",
            ),
            (
                update(&[1], &[1], over("then", 0, 1)),
                "unknown variant `then`",
            ),
            (
                json!({ "signalIds": [1], "states": [1] }),
                "missing field `end`",
            ),
        ] {
            let answer = site.change(&carl, "POST", "/api/signals", body);
            answer.refuses(400, words);
        }
        let answer = site.get(&carl, "/api/signals?startTime90k=x");
        answer.refuses(400, "the query parameter startTime90k");
        site.change(&carl, "PUT", "/api/signals", json!({}))
            .refuses(405, "only GET, HEAD, POST");
        // At the ends of time nothing overflows.
        let body = update(&[1], &[1], over("now", i64::MIN, i64::MAX));
        site.change(&carl, "POST", "/api/signals", body).is(200);
    }
}
