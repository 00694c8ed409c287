//! `POST /api/cameras/test`: has a look at a camera before or after it is saved, by the session that
//! records ([`Session`]): what comes, how it is encoded, how fast, and a picture; or what is wrong with it.
//!
//! A password is tried once: the second stream is asked for when the first one's was taken, and not at
//! all when it was not. The request waits; if its client goes away, the look ends.

use super::access::{require, require_own};
use super::cameras::Fields;
use super::form;
use super::look::Look;
use super::refusal::{bad, later};
use super::task::{Need, Task};
use super::users::require_method;
use super::{Doing, Stage, not_found};
use crate::access::{Permission, Principal};
use crate::config::{Secret, Transport};
use crate::db::{self, CameraPatch, StreamChange, StreamKind};
use crate::decoder::{self, THUMBNAIL_QUALITY};
use crate::h264::VideoSampleEntry;
use crate::http::{Method, Request, Response, Status};
use crate::nvr::outbox::{OfTest, Owner};
use crate::nvr::port::{ConnId, Event, SocketError};
use crate::nvr::session::{Lost, Session, Target, Trouble};
use crate::nvr::{Clock, Cx, Nvr, Phase, cx};
use crate::rtsp;
use crate::time::{Duration90k, Monotonic, Now};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use uuid::Uuid;

type Refused = Box<Response>;

/// Looks at a time: each costs up to two streams' worth of the network. Further ones are told to come later.
const MAX_TESTS: usize = 2;

/// How soon they are told to.
const COME_AGAIN: Duration = Duration::from_secs(5);

/// How long a stream may take to its first frame.
const FIRST_FRAME_LIMIT: Duration = Duration::from_secs(10);

/// How long it is looked at from then on, at most.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// How wide the picture is at most, in pixels.
const PICTURE_WIDTH: u32 = 640;

/// What is to be looked at: a camera that is there, with what is said instead, or one that is not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    csrf: Option<String>,
    uuid: Option<Uuid>,
    #[serde(default)]
    camera: Fields,
}

/// Looks under way, and those whose requests have not taken what came of them yet.
#[derive(Default)]
pub struct Tests {
    running: BTreeMap<u64, Test>,
    last: u64,
}

struct Test {
    /// The main stream first.
    streams: Vec<Tried>,
    /// Nobody waits for it any more.
    abandoned: bool,
}

/// A stream that is looked at.
struct Tried {
    kind: StreamKind,
    session: Session,
    look: Look,
    /// Until when something must come of it; `None` before its turn.
    deadline: Option<Monotonic>,
    outcome: Option<Result<Seen, Failed>>,
}

/// What there is to see.
struct Seen {
    entry: Arc<VideoSampleEntry>,
    frame_rate: Option<f64>,
    bit_rate: Option<u64>,
    key_frame_interval: Option<Duration90k>,
    lost_packets: u64,
    transport: Transport,
    /// How far the camera's clock is ahead of ours.
    clock_offset: Option<Duration90k>,
    key_frame: Option<Vec<u8>>,
    picture: Option<Result<String, String>>,
}

/// What is wrong, as a word for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failed {
    kind: &'static str,
    message: String,
}

/// A request that waits for a look.
pub struct TestTask {
    id: u64,
    outcomes: Option<Vec<(StreamKind, Result<Seen, Failed>)>>,
    /// Whose picture the helper makes.
    making: Option<usize>,
}

impl Tests {
    pub fn next_timeout(&self) -> Option<Monotonic> {
        self.running.values().filter_map(Test::next_timeout).min()
    }

    /// Nobody waits for it any more.
    pub fn abandon(&mut self, task: &TestTask) {
        if let Some(test) = self.running.get_mut(&task.id) {
            test.abandoned = true;
        }
    }
}

impl Test {
    fn next_timeout(&self) -> Option<Monotonic> {
        let under_way = self.streams.iter().filter(|s| s.is_under_way());
        let times = under_way.flat_map(|s| [s.session.next_timeout(), s.deadline]);
        match self.abandoned {
            true => Some(Monotonic(0)),
            false => times.flatten().min(),
        }
    }

    /// Whose turn has come, and what can be told of those whose turn never will.
    fn take_turns(&mut self, cx: &mut Cx<'_>) {
        for i in 0..self.streams.len() {
            let (before, rest) = self.streams.split_at_mut(i);
            let stream = &mut rest[0];
            if stream.deadline.is_some() || stream.outcome.is_some() {
                continue;
            }
            match before.last() {
                Some(first) if first.is_under_way() && first.session.playing().is_none() => {}
                Some(first) if first.tells_of(stream) => {
                    stream.outcome = first.outcome.as_ref().and_then(|o| {
                        let failed = o.as_ref().err()?;
                        Some(Err(failed.clone()))
                    });
                }
                _ => {
                    stream.deadline = Some(cx.now.monotonic + FIRST_FRAME_LIMIT);
                    stream.session.start_within(cx, Duration::ZERO);
                }
            }
        }
    }
}

impl Tried {
    fn new(id: u64, kind: StreamKind, target: Target) -> Tried {
        let owner = Owner::Test(OfTest { test: id, kind });
        Tried {
            kind,
            session: Session::new(owner, target),
            look: Look::default(),
            deadline: None,
            outcome: None,
        }
    }

    fn is_under_way(&self) -> bool {
        self.deadline.is_some() && self.outcome.is_none()
    }

    /// Its failure is the other's as well, which is better not tried.
    fn tells_of(&self, other: &Tried) -> bool {
        let Some(Err(failed)) = &self.outcome else {
            return false;
        };
        let (a, b) = (self.session.target(), other.session.target());
        let same_host = db::same_host(a.url.as_str(), b.url.as_str());
        let same_place = same_host && a.url.port() == b.url.port();
        match failed.kind {
            "password" => true,
            "name" | "unreachable" => same_host,
            "refused" | "notRtsp" => same_place,
            _ => false,
        }
    }

    /// Something has happened: whether that is enough.
    fn look_at(&mut self, cx: &Cx<'_>, result: Result<(), Lost>) -> bool {
        if let Some(first) = self.look.first_at {
            self.deadline = Some(first + LOOK_LIMIT);
        }
        let is_late = self.deadline.is_some_and(|t| t <= cx.now.monotonic);
        self.outcome = match result {
            // What was seen before counts.
            Err(lost) if self.look.entry.is_none() => {
                Some(Err(failed(&lost, self.session.target())))
            }
            Err(_) => Some(self.seen(cx)),
            Ok(()) if self.look.is_enough() || is_late => Some(self.seen(cx)),
            Ok(()) => return false,
        };
        true
    }

    fn seen(&mut self, cx: &Cx<'_>) -> Result<Seen, Failed> {
        let playing = self.session.playing();
        let (transport, report) = playing.unwrap_or((self.session.target().transport, None));
        let clock_offset = report.and_then(|report| {
            let since = cx.now.wall - report.received.wall;
            Some(report.wall? + since - cx.wall)
        });
        let look = &mut self.look;
        let Some(entry) = look.entry.clone() else {
            return Err(nothing_seen(
                look,
                playing.is_some(),
                transport,
                &self.session,
            ));
        };
        Ok(Seen {
            entry,
            frame_rate: look.frame_rate(),
            bit_rate: look.bit_rate(),
            key_frame_interval: look.key_frame_interval(),
            lost_packets: look.lost_packets,
            transport,
            clock_offset,
            key_frame: look.key_frame.take(),
            picture: None,
        })
    }
}

/// The time is over, and there is no video.
fn nothing_seen(look: &Look, playing: bool, transport: Transport, session: &Session) -> Failed {
    let (kind, message) = match (look.first_at.is_some(), playing, transport) {
        (true, _, _) => (
            "noVideo",
            "frames come, but nothing that tells how to decode them (SPS and PPS): \
             restart the camera"
                .to_owned(),
        ),
        (false, true, Transport::Udp) => (
            "noVideo",
            "the camera agrees to send, but nothing comes by UDP: a firewall may be in the way; \
             try \"tcp\""
                .to_owned(),
        ),
        (false, true, Transport::Tcp) => (
            "noVideo",
            "the camera agrees to send, but nothing comes: restart it, or try \"udp\"".to_owned(),
        ),
        (false, false, _) => (
            "silent",
            format!(
                "it took longer than {} s, and was still {}",
                FIRST_FRAME_LIMIT.as_secs(),
                session.state()
            ),
        ),
    };
    Failed { kind, message }
}

/// What a failure is told as to somebody who sets a camera up.
fn failed(lost: &Lost, target: &Target) -> Failed {
    let host = target.url.host_str().unwrap_or_default();
    let port = target.url.port().unwrap_or(554);
    let (kind, message) = match &lost.trouble {
        Trouble::Name => (
            "name",
            format!(
                "nobody knows the name {host}: check it, or write the camera's address in the url \
                 instead, such as 192.0.2.7"
            ),
        ),
        Trouble::Connect(SocketError::Refused) => (
            "refused",
            format!(
                "{host} is there, but nothing listens on its port {port}: check the port, and that \
                 RTSP is switched on in the camera"
            ),
        ),
        Trouble::Connect(e) => (
            "unreachable",
            format!(
                "{host} does not answer ({e}): check the address, and the camera's power and cable"
            ),
        ),
        Trouble::Password if target.username.is_empty() => (
            "password",
            "the camera wants a user name and password".to_owned(),
        ),
        Trouble::Password => (
            "password",
            "the camera refuses this user name and password. They were tried once and not again, \
             lest it lock the account"
                .to_owned(),
        ),
        Trouble::Rtsp(e) => match e {
            rtsp::Error::Status { code: 404, .. } => (
                "path",
                "the camera has no stream at this path: check what follows the host in the url"
                    .to_owned(),
            ),
            rtsp::Error::UnsupportedCodec { .. } | rtsp::Error::NoVideo { .. } => {
                ("codec", e.to_string())
            }
            rtsp::Error::Protocol { .. } | rtsp::Error::TooLong { .. } => (
                "notRtsp",
                format!("what listens on port {port} of {host} does not speak RTSP: {e}"),
            ),
            rtsp::Error::Timeout { .. } => (
                "silent",
                format!("something listens on port {port} of {host}, but says nothing: {e}"),
            ),
            e => ("camera", format!("the camera does not send: {e}")),
        },
        Trouble::Connection => ("camera", format!("the camera: {}", lost.reason)),
    };
    Failed { kind, message }
}

impl Nvr {
    /// Begins a look, if it may be asked for.
    pub(super) fn begin_camera_test(
        &mut self,
        now: Now,
        request: &Request,
        who: &Principal,
    ) -> Result<Task, Refused> {
        require_method(request, &[Method::Post])?;
        let body: Body = match form::read(request) {
            Ok(body) => body,
            Err(refused) => {
                // Before a visitor is told what is wrong with what he sends.
                self.require_any_setup(who)?;
                return Err(refused);
            }
        };
        require(who, Permission::Configure, body.uuid)?;
        require_own(who, body.csrf.as_deref())?;
        let stored = match body.uuid {
            Some(uuid) => {
                let found = self.cameras.iter().find(|c| c.uuid == uuid);
                Some(found.ok_or_else(|| Box::new(not_found()))?)
            }
            None => None,
        };
        let targets = targets(stored, &body.camera.patch()?)?;
        if self.phase != Phase::Running || self.web.tests.running.len() >= MAX_TESTS {
            let sentence = "other cameras are being tested: try again in a little while";
            return Err(later(Status::ServiceUnavailable, sentence, COME_AGAIN));
        }
        let tests = &mut self.web.tests;
        tests.last += 1;
        let id = tests.last;
        let streams = targets.into_iter().map(|(kind, t)| Tried::new(id, kind, t));
        let mut test = Test {
            streams: streams.collect(),
            abandoned: false,
        };
        test.take_turns(&mut cx!(self, now));
        self.wake_at(test.next_timeout());
        self.web.tests.running.insert(id, test);
        Ok(Task::Test(Box::new(TestTask {
            id,
            outcomes: None,
            making: None,
        })))
    }

    /// Who may set up some camera, or the recorder.
    fn require_any_setup(&self, who: &Principal) -> Result<(), Refused> {
        let may = |c: &db::Camera| who.may(Permission::Configure, Some(c.uuid));
        match self.cameras.iter().any(may) {
            true => Ok(()),
            false => require(who, Permission::Configure, None),
        }
    }

    /// Handles what happens to connections of looks, and gives all else back.
    pub(in crate::nvr) fn not_of_test<'a>(
        &mut self,
        now: Now,
        event: Event<'a>,
    ) -> Option<Event<'a>> {
        if self.web.tests.running.is_empty() {
            return Some(event);
        }
        let owner = match &event {
            Event::Resolved { lookup, .. } => self.out.lookup_owner(*lookup),
            Event::Connected { conn }
            | Event::Received { conn, .. }
            | Event::Datagram { conn, .. }
            | Event::Closed { conn, .. } => self.out.owner(*conn),
            Event::UdpBound { rtp, .. } => self.out.owner(*rtp),
            _ => None,
        };
        let Some(Owner::Test(of)) = owner else {
            return Some(event);
        };
        match event {
            Event::Resolved { lookup, result } => {
                self.out.lookup_done(lookup);
                self.with_test(now, of, |s, cx, _| s.resolved(cx, lookup, result));
            }
            Event::Connected { conn } => self.with_test(now, of, |s, cx, _| s.connected(cx, conn)),
            Event::Received { bytes, .. } => {
                self.with_test(now, of, |s, cx, look| s.received(cx, bytes, look));
            }
            Event::Datagram { conn, bytes, .. } => self.with_test(now, of, |s, cx, look| {
                s.datagram(cx, conn, bytes, look);
                Ok(())
            }),
            Event::Closed { conn, reason } => {
                self.out.forget_conn(conn);
                self.with_test(now, of, |s, cx, _| s.closed(cx, conn, reason));
            }
            Event::UdpBound { rtp, rtcp, result } => {
                if result.is_err() {
                    self.out.forget_conn(rtp);
                    self.out.forget_conn(rtcp);
                }
                self.with_test(now, of, |s, cx, _| s.udp_bound(cx, rtp, result));
            }
            _ => {}
        }
        None
    }

    /// Lets one stream's session do something, and looks at what came of it.
    fn with_test(
        &mut self,
        now: Now,
        of: OfTest,
        f: impl FnOnce(&mut Session, &mut Cx<'_>, &mut Look) -> Result<(), Lost>,
    ) {
        let Some(test) = self.web.tests.running.get_mut(&of.test) else {
            return;
        };
        let mut streams = test.streams.iter_mut();
        let stream = streams.find(|s| s.kind == of.kind && s.is_under_way());
        let Some(stream) = stream else { return };
        let mut cx = cx!(self, now);
        let result = f(&mut stream.session, &mut cx, &mut stream.look);
        if stream.look_at(&cx, result) {
            stream.session.hang_up(&mut cx);
        }
        test.take_turns(&mut cx);
        let next = test.next_timeout();
        let is_over = test.streams.iter().all(|s| s.outcome.is_some());
        self.wake_at(next);
        if is_over {
            self.test_is_over(now, of.test);
        }
    }

    /// The request that waits for a look goes on.
    fn test_is_over(&mut self, now: Now, id: u64) {
        let mut clients = self.web.clients.iter();
        let waiting = clients.find(|(_, c)| {
            matches!(&c.doing, Doing::Asking(a)
                if matches!(&a.stage, Stage::Working(Task::Test(t)) if t.id == id))
        });
        let waiting: Option<ConnId> = waiting.map(|(conn, _)| *conn);
        match waiting {
            Some(conn) => self.look_into(now, conn),
            None => {
                self.web.tests.running.remove(&id);
            }
        }
    }

    /// What is due of looks.
    pub(super) fn test_timeouts(&mut self, now: Now) {
        let is_due = |t: Option<Monotonic>| t.is_some_and(|t| t <= now.monotonic);
        let ids: Vec<u64> = self.web.tests.running.keys().copied().collect();
        for id in ids {
            let Some(test) = self.web.tests.running.get_mut(&id) else {
                continue;
            };
            if test.abandoned {
                let mut cx = cx!(self, now);
                for stream in &mut test.streams {
                    stream.session.hang_up(&mut cx);
                }
                self.web.tests.running.remove(&id);
                continue;
            }
            let under_way = test.streams.iter().filter(|s| s.is_under_way());
            let due = under_way.filter(|s| is_due(s.session.next_timeout()) || is_due(s.deadline));
            let due: Vec<StreamKind> = due.map(|s| s.kind).collect();
            for kind in due {
                let of = OfTest { test: id, kind };
                self.with_test(now, of, |s, cx, look| s.handle_timeout(cx, look));
            }
        }
    }

    /// What the request still waits for.
    pub(super) fn need_of_test(&mut self, task: &mut TestTask) -> Need {
        if task.outcomes.is_none() {
            let running = &mut self.web.tests.running;
            let over = |t: &Test| t.streams.iter().all(|s| s.outcome.is_some());
            if running.get(&task.id).is_some_and(|t| !over(t)) {
                return Need::Recorded;
            }
            let test = running.remove(&task.id);
            let streams = test.into_iter().flat_map(|t| t.streams);
            let outcomes = streams.filter_map(|s| Some((s.kind, s.outcome?)));
            task.outcomes = Some(outcomes.collect());
        }
        if task.making.is_some() {
            return Need::Recorded;
        }
        let outcomes = task.outcomes.iter_mut().flatten().enumerate();
        for (i, (_, outcome)) in outcomes {
            let Ok(seen) = outcome else { continue };
            if let Some(sample) = seen.key_frame.take() {
                task.making = Some(i);
                return Need::Helper(decoder::Request::Picture {
                    entry: seen.entry.clone(),
                    sample,
                    max_width: PICTURE_WIDTH,
                    quality: THUMBNAIL_QUALITY,
                });
            }
        }
        Need::Nothing
    }
}

impl TestTask {
    /// The helper has made a picture, or could not.
    pub fn helped(&mut self, result: Result<decoder::Reply, decoder::Error>) {
        let picture = match result {
            Ok(decoder::Reply::Picture(jpeg)) => {
                Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
            }
            Ok(_) => Err("it could not be made".to_owned()),
            Err(e) => Err(format!("it could not be made: {e}")),
        };
        let making = self.making.take();
        let outcome = making.and_then(|i| self.outcomes.as_mut()?.get_mut(i));
        if let Some((_, Ok(seen))) = outcome {
            seen.picture = Some(picture);
        }
    }

    pub fn answer(self) -> Response {
        let outcomes = self.outcomes.into_iter().flatten();
        let streams: Map<String, Value> = outcomes
            .map(|(kind, outcome)| {
                let value = match outcome {
                    Ok(seen) => seen.to_json(),
                    Err(Failed { kind, message }) => json!({
                        "ok": false,
                        "error": { "kind": kind, "message": message },
                    }),
                };
                (kind.as_str().to_owned(), value)
            })
            .collect();
        Response::json(Status::Ok, &json!({ "streams": streams }))
    }
}

impl Seen {
    fn to_json(&self) -> Value {
        let picture = self.picture.as_ref();
        json!({
            "ok": true,
            "codec": self.entry.rfc6381_codec,
            "width": self.entry.width,
            "height": self.entry.height,
            "frameRate": self.frame_rate,
            "bitRate": self.bit_rate,
            "keyFrameInterval90k": self.key_frame_interval.map(|d| d.0),
            "transport": self.transport.as_str(),
            "clockOffset90k": self.clock_offset.map(|d| d.0),
            "lostPackets": self.lost_packets,
            "picture": picture.and_then(|p| p.as_ref().ok()),
            "pictureError": picture.and_then(|p| p.as_ref().err()),
        })
    }
}

/// What is to be tried: the streams that are said, or all that the camera has.
fn targets(
    stored: Option<&db::Camera>,
    patch: &CameraPatch,
) -> Result<Vec<(StreamKind, Target)>, Refused> {
    let said = [
        (StreamKind::Main, &patch.main),
        (StreamKind::Sub, &patch.sub),
    ];
    let all = said.iter().all(|(_, s)| matches!(s, StreamChange::Nothing));
    let mut targets = Vec::new();
    for (kind, change) in said {
        let row = stored.and_then(|c| c.streams.iter().find(|s| s.kind == kind));
        let row = row.filter(|s| !s.url.is_empty());
        let (url, transport) = match (change, row) {
            (StreamChange::Put(p), row) => {
                let url = p.url.as_deref().or(row.map(|r| r.url.as_str()));
                (url, p.transport.or(row.map(|r| r.transport)))
            }
            (StreamChange::Nothing, Some(row)) if all => (Some(&*row.url), Some(row.transport)),
            (StreamChange::Nothing | StreamChange::End, _) => continue,
        };
        let Some(url) = url else {
            let sentence = format!("the {} stream needs a url", kind.as_str());
            return Err(bad(&sentence));
        };
        let target = Target {
            password: password(stored, patch, url)?,
            url: Url::parse(url).map_err(|e| bad(&format!("the url cannot be read: {e}")))?,
            username: match (&patch.username, stored) {
                (Some(said), _) => said.clone(),
                (None, Some(camera)) => camera.username.clone(),
                (None, None) => String::new(),
            },
            transport: transport.unwrap_or_default(),
        };
        targets.push((kind, target));
    }
    match targets.is_empty() {
        true => Err(bad("say which stream is to be tested, with its url")),
        false => Ok(targets),
    }
}

/// The one that is said, or the camera's, which goes to no other host than it was given for.
fn password(
    stored: Option<&db::Camera>,
    patch: &CameraPatch,
    url: &str,
) -> Result<Secret, Refused> {
    if let Some(said) = &patch.password {
        return Ok(said.clone());
    }
    let Some(camera) = stored.filter(|c| !c.password.0.is_empty()) else {
        return Ok(Secret::default());
    };
    let mut known = camera.streams.iter();
    match known.any(|s| db::same_host(&s.url, url)) {
        true => Ok(camera.password.clone()),
        false => Err(bad(&db::CameraError::OtherHost.to_string())),
    }
}

#[cfg(test)]
mod tests;
