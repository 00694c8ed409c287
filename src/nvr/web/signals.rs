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

/// Whether somebody may know of a signal and its states: all of them, or those that concern a camera
/// whose recordings it may see.
fn may_see(who: &Principal, signal: &Signal) -> bool {
    let mut cameras = signal.cameras.iter();
    who.may(Permission::ViewRecordings, None)
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
