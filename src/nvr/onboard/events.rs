//! What cameras notice themselves (motion, tampering, inputs), heard through ONVIF pull points and kept as
//! signals. A subscription that dies is made anew for ever; meanwhile the signals are unknown.

use super::ask::unix_secs;
use super::exchange::Exchange;
use crate::config::Secret;
use crate::db::{
    self, NewSignal, Reply, SignalCamera, SignalId, SignalReply, SignalRequest, SignalState,
    SignalType, SignalUpdate,
};
use crate::http::ClientResponse;
use crate::nvr::outbox::OfOnboard;
use crate::nvr::port::{Event, LogRecord, Severity};
use crate::nvr::{Clock, Cx, DbPurpose, Nvr, Phase, cx};
use crate::onvif::events::{Kind, Notice};
use crate::onvif::soap::SoapError;
use crate::onvif::{Interview, PULL_TIMEOUT_SECS, Subscription, SubscriptionStep};
use crate::time::{Monotonic, Now, Wall90k};
use rand_core::RngCore;
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use url::Url;
use uuid::Uuid;

/// How long one answer may take, beyond what a pull is asked to wait.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// After a failure it is tried again after this, doubled up to the last.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_SELDOM: Duration = Duration::from_secs(300);

/// A camera without an event service is asked again after this: it may have been updated.
const UNSUPPORTED_AGAIN: Duration = Duration::from_secs(3_600);

/// A pull that is answered at once with nothing, again and again, is slowed down to this.
const PULL_INTERVAL: Duration = Duration::from_secs(1);

/// A state holds until its camera says something else, or until the subscription dies.
const END_OF_TIME: Wall90k = Wall90k::from_unix_secs(4_102_444_800);

/// Signals of one camera; further inputs are passed over.
const MAX_SIGNALS: usize = 12;

/// Changes of one camera that wait for a signal to be made; the oldest of the same signal gives way.
const MAX_WAITING: usize = 32;

/// The longest name of a camera within a signal's, in characters.
const MAX_NAME_CHARS: usize = 30;

/// The kinds of signals: UUID, name, and the names of the states 1 and 2.
fn signal_type(kind: Kind) -> SignalType {
    let (uuid, name, [off, on], color, motion) = match kind {
        Kind::Motion => (0x6a1f, "motion", ["still", "moving"], "#d9822b", true),
        Kind::Tamper => (
            0x6a20,
            "tampering",
            ["fine", "tampered with"],
            "#c0392b",
            false,
        ),
        Kind::Input => (0x6a21, "input", ["off", "on"], "#2b7bd9", false),
    };
    let uuid = Uuid::from_u128(0x2f6a_c3b1_9d04_4e6b_8c57_1be0_0a5e_0000 + uuid);
    let state = |state, name: &str, color: &str, motion| SignalState {
        state,
        name: name.to_owned(),
        color: color.to_owned(),
        motion,
    };
    SignalType {
        uuid,
        name: format!("camera: {name}"),
        states: vec![state(OFF, off, "", false), state(ON, on, color, motion)],
    }
}

const OFF: u16 = 1;
const ON: u16 = 2;

/// How a camera's events fare, for those who ask.
pub struct EventStatus {
    pub camera: Uuid,
    /// `subscribed`, `connecting`, `waiting`, `unsupported`, `refused`.
    pub state: &'static str,
    /// Since when it is in that state.
    pub since: Wall90k,
    /// When it last answered a pull.
    pub last: Option<Wall90k>,
    pub message: Option<String>,
    pub subscriptions: u64,
}

/// How far a camera's subscription has got.
enum Stage {
    Waiting {
        until: Monotonic,
    },
    /// Where its event service is, is being asked.
    Finding(Box<Interview>),
    Subscribed(Box<Subscription>),
    /// It says good-bye, and is dropped then.
    Leaving(Box<Subscription>),
    Refused,
}

/// The events of one camera.
struct CameraEvents {
    camera: Uuid,
    name: String,
    service: Url,
    username: String,
    password: Secret,
    stage: Stage,
    exchange: Option<Exchange>,
    /// When the next pull may begin.
    pull_at: Option<Monotonic>,
    again: Duration,
    state: &'static str,
    since: Wall90k,
    last: Option<Wall90k>,
    message: Option<String>,
    subscriptions: u64,
    /// The states that were told last, so that only changes are written.
    states: BTreeMap<(Kind, String), bool>,
    /// Its signals, as far as they are known.
    signals: BTreeMap<(Kind, String), SignalId>,
    /// Signals that are being made.
    making: Vec<(Kind, String)>,
    /// Changes that wait for that.
    waiting: VecDeque<((Kind, String), bool, Wall90k)>,
}

/// See the module.
#[derive(Default)]
pub struct AllEvents {
    cameras: BTreeMap<i32, CameraEvents>,
    /// Kinds of signals that the database was told of.
    types_made: bool,
}

impl AllEvents {
    pub fn next_timeout(&self) -> Option<Monotonic> {
        let all = self.cameras.values().flat_map(|c| {
            let wait = match &c.stage {
                Stage::Waiting { until } => Some(*until),
                _ => None,
            };
            [wait, c.pull_at, c.exchange.as_ref().map(|e| e.deadline)]
        });
        all.flatten().min()
    }
}

impl CameraEvents {
    fn enter(&mut self, wall: Wall90k, state: &'static str) {
        if self.state != state {
            (self.state, self.since) = (state, wall);
        }
    }

    fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Leaving(_))
    }

    fn address(&self) -> Option<SocketAddr> {
        let host: Ipv4Addr = self.service.host_str()?.parse().ok()?;
        Some(SocketAddr::from((host, self.service.port().unwrap_or(80))))
    }
}

impl Nvr {
    /// How all cameras' events fare.
    pub(in crate::nvr) fn event_statuses(&self) -> Vec<EventStatus> {
        let all = self.onboard.events.cameras.values();
        let all = all.filter(|c| !c.is_leaving());
        all.map(|c| EventStatus {
            camera: c.camera,
            state: c.state,
            since: c.since,
            last: c.last,
            message: c.message.clone(),
            subscriptions: c.subscriptions,
        })
        .collect()
    }

    /// Cameras, or what they are known by, have changed: subscriptions follow.
    pub(in crate::nvr) fn events_changed(&mut self, now: Now) {
        if self.read_only || !self.config.onboard.events {
            return;
        }
        let wall = cx!(self, now).wall;
        let mut wanted = BTreeMap::new();
        for camera in self.cameras.iter().filter(|c| c.removed.is_none()) {
            let known = self.onboard.known.get(&camera.id);
            if let Some(service) = known.and_then(|k| Url::parse(&k.service).ok()) {
                wanted.insert(camera.id, (camera, service));
            }
        }
        let all = &mut self.onboard.events.cameras;
        let stays = |id: &i32, c: &CameraEvents| {
            wanted.get(id).is_some_and(|(camera, service)| {
                c.service == *service
                    && c.username == camera.username
                    && c.password == camera.password
                    && c.name == camera.name
            })
        };
        let gone = all
            .iter()
            .filter(|(id, c)| !stays(id, c) && !c.is_leaving());
        let gone: Vec<i32> = gone.map(|(id, _)| *id).collect();
        for id in gone {
            let Some(mut camera) = all.remove(&id) else {
                continue;
            };
            if let Some(exchange) = camera.exchange.take() {
                exchange.abort(&mut self.out);
            }
            let stage = std::mem::replace(&mut camera.stage, Stage::Refused);
            if let Stage::Subscribed(mut subscription) = stage {
                if subscription.unsubscribe() {
                    camera.stage = Stage::Leaving(subscription);
                    camera.pull_at = Some(now.monotonic);
                    // No row has such a number.
                    all.insert(-id, camera);
                }
            }
        }
        let spread = AGAIN.as_millis() as u32;
        for (id, (camera, service)) in wanted {
            if all.contains_key(&id) {
                continue;
            }
            let wait = Duration::from_millis(u64::from(self.rng.next_u32() % spread));
            let until = now.monotonic + wait;
            all.insert(
                id,
                CameraEvents {
                    camera: camera.uuid,
                    name: camera.name.clone(),
                    service,
                    username: camera.username.clone(),
                    password: camera.password.clone(),
                    stage: Stage::Waiting { until },
                    exchange: None,
                    pull_at: None,
                    again: AGAIN,
                    state: "waiting",
                    since: wall,
                    last: None,
                    message: None,
                    subscriptions: 0,
                    states: BTreeMap::new(),
                    signals: BTreeMap::new(),
                    making: Vec::new(),
                    waiting: VecDeque::new(),
                },
            );
        }
        self.wake_at(Some(now.monotonic));
    }

    pub(super) fn events_timeouts(&mut self, now: Now) {
        let due = |t: Monotonic| t <= now.monotonic;
        let ids: Vec<i32> = self.onboard.events.cameras.keys().copied().collect();
        for id in ids {
            let Some(camera) = self.onboard.events.cameras.get_mut(&id) else {
                continue;
            };
            if camera.exchange.as_ref().is_some_and(|e| due(e.deadline)) {
                if let Some(exchange) = camera.exchange.take() {
                    exchange.abort(&mut self.out);
                }
                self.events_failed(now, id, "it does not answer (timed out)".to_owned());
                continue;
            }
            match &camera.stage {
                Stage::Waiting { until } if due(*until) => self.find_events(now, id),
                _ if camera.pull_at.is_some_and(due) => self.next_events_call(now, id),
                _ => {}
            }
        }
    }

    fn find_events(&mut self, now: Now, id: i32) {
        let seed = self.rng.next_u64();
        let wall = cx!(self, now).wall;
        let Some(camera) = self.onboard.events.cameras.get_mut(&id) else {
            return;
        };
        let own = camera.address().map(|a| a.ip());
        if !own.is_some_and(|ip| self.onboard.network.is_own(ip)) {
            // Its network is not there (yet).
            camera.stage = Stage::Waiting {
                until: now.monotonic + AGAIN_SELDOM.min(camera.again),
            };
            camera.again = (camera.again * 2).min(AGAIN_SELDOM);
            camera.message = Some("it is on none of this machine's networks".to_owned());
            return;
        }
        camera.enter(wall, "connecting");
        let interview = Interview::for_events(
            camera.service.clone(),
            &camera.username,
            &camera.password,
            seed,
        );
        camera.stage = Stage::Finding(Box::new(interview));
        self.next_events_call(now, id);
    }

    /// Makes the next call to a camera.
    fn next_events_call(&mut self, now: Now, id: i32) {
        let secs = unix_secs(&cx!(self, now));
        let wall = cx!(self, now).wall;
        let seed = self.rng.next_u64();
        let Some(camera) = self.onboard.events.cameras.get_mut(&id) else {
            return;
        };
        camera.pull_at = None;
        if let Stage::Finding(interview) = &mut camera.stage {
            match interview.next_request(secs) {
                Some(request) => return self.begin_events_call(now, id, &request, CALL_LIMIT),
                None => {
                    let report = interview.report();
                    let Some(events) = report.events.clone() else {
                        camera.enter(wall, "unsupported");
                        camera.message = Some("it has no event service".to_owned());
                        camera.stage = Stage::Waiting {
                            until: now.monotonic + UNSUPPORTED_AGAIN,
                        };
                        return self.wake_at(Some(now.monotonic + UNSUPPORTED_AGAIN));
                    };
                    let ahead = report.clock_ahead_secs.unwrap_or(0);
                    let (name, password) = (&camera.username, &camera.password);
                    let subscription = Subscription::new(events, name, password, ahead, seed);
                    camera.stage = Stage::Subscribed(Box::new(subscription));
                }
            }
        }
        let (Stage::Subscribed(subscription) | Stage::Leaving(subscription)) = &mut camera.stage
        else {
            return;
        };
        let limit = CALL_LIMIT + Duration::from_secs(u64::from(PULL_TIMEOUT_SECS));
        match subscription.next_request(now.monotonic, secs) {
            Some(request) => self.begin_events_call(now, id, &request, limit),
            None => self.events_failed(now, id, "there is nothing to ask".to_owned()),
        }
    }

    fn begin_events_call(
        &mut self,
        now: Now,
        id: i32,
        request: &crate::http::ClientRequest,
        limit: Duration,
    ) {
        let Some(camera) = self.onboard.events.cameras.get_mut(&id) else {
            return;
        };
        let Some(to) = camera.address() else { return };
        let of = OfOnboard::Events(id);
        let exchange = Exchange::begin(&mut self.out, now.monotonic, of, to, request, limit);
        let deadline = exchange.deadline;
        camera.exchange = Some(exchange);
        self.wake_at(Some(deadline));
    }

    /// Something happened to the connection of a call.
    pub(super) fn events_event(&mut self, now: Now, id: i32, event: Event<'_>) {
        let Some(camera) = self.onboard.events.cameras.get_mut(&id) else {
            return;
        };
        let Some(exchange) = &mut camera.exchange else {
            return;
        };
        let result = match event {
            Event::Connected { conn } if conn == exchange.conn => {
                return exchange.connected(&mut self.out);
            }
            Event::Received { conn, bytes } if conn == exchange.conn => {
                exchange.received(&mut self.out, bytes)
            }
            Event::Closed { conn, reason } if conn == exchange.conn => {
                camera.exchange.take().map(|e| e.closed(reason))
            }
            _ => None,
        };
        let Some(result) = result else { return };
        camera.exchange = None;
        match result {
            Ok(response) => self.events_answered(now, id, &response),
            Err(why) => self.events_failed(now, id, why),
        }
    }

    fn events_answered(&mut self, now: Now, id: i32, response: &ClientResponse) {
        let secs = unix_secs(&cx!(self, now));
        let wall = cx!(self, now).wall;
        let Some(camera) = self.onboard.events.cameras.get_mut(&id) else {
            return;
        };
        let step = match &mut camera.stage {
            Stage::Finding(interview) => interview
                .answered(response, secs)
                .map(|()| SubscriptionStep::On),
            Stage::Subscribed(subscription) | Stage::Leaving(subscription) => {
                subscription.answered(now.monotonic, response)
            }
            Stage::Waiting { .. } | Stage::Refused => return,
        };
        match step {
            Ok(SubscriptionStep::On) => self.next_events_call(now, id),
            Ok(SubscriptionStep::Subscribed) => {
                camera.enter(wall, "subscribed");
                camera.message = None;
                camera.subscriptions += 1;
                camera.again = AGAIN;
                let (name, first) = (camera.name.clone(), camera.subscriptions == 1);
                if first {
                    let message = "its own events (motion, tampering, inputs) are heard".to_owned();
                    self.log_of_events(Severity::Info, name, message);
                }
                self.next_events_call(now, id);
            }
            Ok(SubscriptionStep::Pulled(notices)) => {
                camera.last = Some(wall);
                // Waiting is the camera's to do; one that does not is not asked all the time.
                camera.pull_at = Some(now.monotonic + PULL_INTERVAL);
                self.wake_at(Some(now.monotonic + PULL_INTERVAL));
                self.noticed(now, id, notices);
            }
            Ok(SubscriptionStep::Ended) => {
                self.onboard.events.cameras.remove(&id);
            }
            Err(SoapError::Refused) => {
                camera.enter(wall, "refused");
                camera.stage = Stage::Refused;
                let why = "it refuses its user name and password for events: make it an ONVIF user in \
                           the camera. They are not tried again until they are changed";
                camera.message = Some(why.to_owned());
                let name = camera.name.clone();
                self.log_of_events(Severity::Warning, name, why.to_owned());
                self.states_unknown(now, id);
            }
            Err(SoapError::Unsupported) => {
                camera.enter(wall, "unsupported");
                camera.message = Some("it has no pull points".to_owned());
                camera.stage = Stage::Waiting {
                    until: now.monotonic + UNSUPPORTED_AGAIN,
                };
                self.wake_at(Some(now.monotonic + UNSUPPORTED_AGAIN));
            }
            Err(e) => self.events_failed(now, id, e.to_string()),
        }
    }

    /// It is tried again later, for ever.
    fn events_failed(&mut self, now: Now, id: i32, why: String) {
        let wall = cx!(self, now).wall;
        let Some(camera) = self.onboard.events.cameras.get_mut(&id) else {
            return;
        };
        if camera.is_leaving() {
            self.onboard.events.cameras.remove(&id);
            return;
        }
        let was = matches!(&camera.stage, Stage::Subscribed(s) if s.is_subscribed());
        camera.enter(wall, "waiting");
        camera.pull_at = None;
        camera.message = Some(why.clone());
        let until = now.monotonic + camera.again;
        camera.again = (camera.again * 2).min(AGAIN_SELDOM);
        camera.stage = Stage::Waiting { until };
        let name = camera.name.clone();
        self.wake_at(Some(until));
        if was {
            let message =
                format!("its events are not heard any more, and are subscribed to anew: {why}");
            self.log_of_events(Severity::Notice, name, message);
        }
        self.states_unknown(now, id);
    }

    fn log_of_events(&mut self, severity: Severity, camera: String, message: String) {
        self.out.log_record(LogRecord {
            severity,
            event: "camera-events",
            camera: Some(camera),
            stream: None,
            message,
        });
    }

    /// Nobody hears whether states change.
    fn states_unknown(&mut self, now: Now, id: i32) {
        let wall = cx!(self, now).wall;
        let Some(camera) = self.onboard.events.cameras.get_mut(&id) else {
            return;
        };
        let known = std::mem::take(&mut camera.states);
        let ids = known.keys().filter_map(|key| camera.signals.get(key));
        let states: Vec<(SignalId, u16)> = ids.map(|id| (*id, 0)).collect();
        self.write_states(states, wall);
    }

    fn write_states(&mut self, states: Vec<(SignalId, u16)>, at: Wall90k) {
        if states.is_empty() || at >= END_OF_TIME {
            return;
        }
        let span = at..END_OF_TIME;
        let update = SignalRequest::Update(SignalUpdate { states, span });
        let request = self.out.db(db::Request::Signals(update));
        self.requests.insert(request, DbPurpose::Device);
    }

    /// A camera tells states; only changes are written.
    fn noticed(&mut self, now: Now, id: i32, notices: Vec<Notice>) {
        let wall = cx!(self, now).wall;
        for notice in notices {
            let Some(camera) = self.onboard.events.cameras.get_mut(&id) else {
                return;
            };
            let key = (notice.kind, notice.source);
            if camera.states.get(&key) == Some(&notice.active) {
                continue;
            }
            if !camera.states.contains_key(&key) && camera.states.len() >= MAX_SIGNALS {
                continue;
            }
            camera.states.insert(key.clone(), notice.active);
            match camera.signals.get(&key).copied() {
                Some(signal) => {
                    let state = if notice.active { ON } else { OFF };
                    self.write_states(vec![(signal, state)], wall);
                }
                None => {
                    if camera.waiting.len() >= MAX_WAITING {
                        camera.waiting.pop_front();
                    }
                    camera.waiting.push_back((key.clone(), notice.active, wall));
                    self.want_signal(now, id, key);
                }
            }
        }
    }

    /// Finds or makes the signal of something that a camera watches.
    fn want_signal(&mut self, now: Now, id: i32, key: (Kind, String)) {
        let kind = signal_type(key.0);
        let Some(camera) = self.onboard.events.cameras.get_mut(&id) else {
            return;
        };
        let short: String = camera.name.chars().take(MAX_NAME_CHARS).collect();
        let what = kind.name.trim_start_matches("camera: ");
        let name = match key.1.as_str() {
            "" => format!("{short}: {what}"),
            source => format!("{short}: {what} {source}"),
        };
        let concerns = SignalCamera {
            uuid: camera.camera,
            direct: true,
        };
        let found = self.web.find_signal(kind.uuid, concerns.uuid, &key.1);
        if let Some(signal) = found {
            return self.signal_is(now, id, key, signal);
        }
        if camera.making.contains(&key) {
            return;
        }
        camera.making.push(key.clone());
        if !std::mem::replace(&mut self.onboard.events.types_made, true) {
            for kind in [Kind::Motion, Kind::Tamper, Kind::Input] {
                let kind = signal_type(kind);
                self.web.put_signal_type(kind.clone());
                let request = db::Request::Signals(SignalRequest::PutType(kind));
                let request = self.out.db(request);
                self.requests.insert(request, DbPurpose::Device);
            }
        }
        let make = db::Request::Signals(SignalRequest::Make(NewSignal {
            kind: kind.uuid,
            name,
            cameras: vec![concerns],
        }));
        let request = self.out.db(make);
        self.requests.insert(request, DbPurpose::MakeSignal(id));
    }

    /// The database has made a signal of a camera, or could not. They are made in the order of asking.
    pub(in crate::nvr) fn signal_made(
        &mut self,
        now: Now,
        id: i32,
        result: Result<Reply, db::Error>,
    ) {
        if let Ok(Reply::Signals(SignalReply::Signal(signal))) = &result {
            self.web.put_signal(signal.clone());
        }
        let Some(camera) = self.onboard.events.cameras.get_mut(&id) else {
            return;
        };
        if camera.making.is_empty() {
            return;
        }
        let key = camera.making.remove(0);
        match result {
            Ok(Reply::Signals(SignalReply::Signal(signal))) => {
                self.signal_is(now, id, key, signal.id);
            }
            Ok(_) => {}
            Err(e) => {
                let name = camera.name.clone();
                let message = format!("its events cannot be kept: {e}");
                self.log_of_events(Severity::Error, name, message);
            }
        }
    }

    fn signal_is(&mut self, _: Now, id: i32, key: (Kind, String), signal: SignalId) {
        let Some(camera) = self.onboard.events.cameras.get_mut(&id) else {
            return;
        };
        camera.signals.insert(key.clone(), signal);
        let mut ours = Vec::new();
        camera.waiting.retain(|(k, active, at)| {
            let is_ours = *k == key;
            if is_ours {
                ours.push((*active, *at));
            }
            !is_ours
        });
        for (active, at) in ours {
            self.write_states(vec![(signal, if active { ON } else { OFF })], at);
        }
    }

    /// At the start: what cameras told before nobody knows any more, from when the recorder was last seen.
    pub(in crate::nvr) fn events_begin(&mut self) {
        let Some(last_seen) = self.last_seen.filter(|_| !self.read_only) else {
            return;
        };
        let kinds = [Kind::Motion, Kind::Tamper, Kind::Input].map(|k| signal_type(k).uuid);
        let states = self.web.signals_of(&kinds);
        self.write_states(states.into_iter().map(|id| (id, 0)).collect(), last_seen);
    }
}
