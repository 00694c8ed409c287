//! Having a look at a camera: what comes, how it is encoded, how fast; or what is wrong with it. By the
//! session that records ([`Session`]), without recording.
//!
//! A password is tried once: the second stream is asked for when the first one's was taken, and not at
//! all when it was not. [`Test`] is driven by the recorder for those who ask over HTTP, and by
//! [`alone::CameraTest`], a core of its own, where no recorder need run.

pub mod alone;
mod look;

use super::Cx;
use super::advice::{Advice, Facts, advise};
use super::outbox::{OfTest, Owner};
use super::port::{Event, SocketError};
use super::session::{Lost, Session, Trouble};
use crate::config::{Secret, Transport};
use crate::db::{self, CameraPatch, StreamChange, StreamKind};
use crate::h264::VideoSampleEntry;
use crate::rtsp;
use crate::time::{Duration90k, Monotonic};
use look::Look;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

pub use super::session::Target;

/// How long a stream may take to its first frame.
const FIRST_FRAME_LIMIT: Duration = Duration::from_secs(10);

/// How long it is looked at from then on, at most.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// A stream that shows no second key frame for so long has few of them.
const LONG_WITHOUT_KEY_FRAME_SECS: f64 = 4.5;

/// What came of a look, the main stream first.
pub type Outcomes = Vec<(StreamKind, Result<Seen, Failed>)>;

/// A look at a camera.
pub struct Test {
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
pub struct Seen {
    pub entry: Arc<VideoSampleEntry>,
    /// Frames a second.
    pub frame_rate: Option<f64>,
    /// Bits a second.
    pub bit_rate: Option<u64>,
    pub key_frame_interval: Option<Duration90k>,
    pub lost_packets: u64,
    pub transport: Transport,
    /// How far the camera's clock is ahead of ours.
    pub clock_offset: Option<Duration90k>,
    /// It was watched so many seconds without a second key frame.
    pub without_key_frame: Option<f64>,
    /// One that can be decoded.
    pub key_frame: Option<Vec<u8>>,
}

impl Seen {
    /// What is judged of it.
    pub fn facts(&self) -> Facts {
        let long = |s: &f64| *s >= LONG_WITHOUT_KEY_FRAME_SECS;
        Facts {
            width: self.entry.width.into(),
            height: self.entry.height.into(),
            reorders: self.entry.reorder_frames > 0,
            key_frame_secs: self.key_frame_interval.map(|d| d.as_secs_f64()),
            no_key_frame_secs: self.without_key_frame.filter(long),
        }
    }
}

/// What the camera's owner should know of its settings.
pub fn advice(outcomes: &Outcomes) -> Vec<Advice> {
    let seen = |wanted| {
        let mut all = outcomes.iter().filter(|(kind, _)| *kind == wanted);
        all.find_map(|(_, outcome)| outcome.as_ref().ok())
    };
    let (main, sub) = (seen(StreamKind::Main), seen(StreamKind::Sub));
    let clock = main.or(sub).and_then(|s| s.clock_offset);
    let (main, sub) = (main.map(Seen::facts), sub.map(Seen::facts));
    let mut all = advise(main.as_ref(), sub.as_ref(), clock.map(|d| d.as_secs_f64()));
    // That the other was not looked at says nothing.
    all.retain(|a| outcomes.len() > 1 || a.kind != "noSub");
    all
}

/// What is wrong, as a word for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub kind: &'static str,
    pub message: String,
}

impl Test {
    /// One whose events have this number.
    pub fn new(id: u64, targets: Vec<(StreamKind, Target)>) -> Test {
        let streams = targets.into_iter();
        Test {
            streams: streams
                .map(|(kind, target)| Tried::new(id, kind, target))
                .collect(),
            abandoned: false,
        }
    }

    /// Nobody waits for it any more.
    pub fn abandon(&mut self) {
        self.abandoned = true;
    }

    pub fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    pub fn is_over(&self) -> bool {
        self.streams.iter().all(|s| s.outcome.is_some())
    }

    /// What came of it, of those streams that something came of.
    pub fn into_outcomes(self) -> Outcomes {
        let outcomes = self.streams.into_iter();
        outcomes
            .filter_map(|s| Some((s.kind, s.outcome?)))
            .collect()
    }

    pub fn next_timeout(&self) -> Option<Monotonic> {
        let under_way = self.streams.iter().filter(|s| s.is_under_way());
        let times = under_way.flat_map(|s| [s.session.next_timeout(), s.deadline]);
        match self.abandoned {
            true => Some(Monotonic(0)),
            false => times.flatten().min(),
        }
    }

    /// Whose turn has come, and what can be told of those whose turn never will.
    pub(super) fn take_turns(&mut self, cx: &mut Cx<'_>) {
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

    /// Something has happened to a connection of one of the streams.
    pub(super) fn handle(&mut self, cx: &mut Cx<'_>, of: StreamKind, event: Event<'_>) {
        match event {
            Event::Resolved { lookup, result } => {
                cx.out.lookup_done(lookup);
                self.with(cx, of, |s, cx, _| s.resolved(cx, lookup, result));
            }
            Event::Connected { conn } => self.with(cx, of, |s, cx, _| s.connected(cx, conn)),
            Event::Received { bytes, .. } => {
                self.with(cx, of, |s, cx, look| s.received(cx, bytes, look));
            }
            Event::Datagram { conn, bytes, .. } => self.with(cx, of, |s, cx, look| {
                s.datagram(cx, conn, bytes, look);
                Ok(())
            }),
            Event::Closed { conn, reason } => {
                cx.out.forget_conn(conn);
                self.with(cx, of, |s, cx, _| s.closed(cx, conn, reason));
            }
            Event::UdpBound { rtp, rtcp, result } => {
                if result.is_err() {
                    cx.out.forget_conn(rtp);
                    cx.out.forget_conn(rtcp);
                }
                self.with(cx, of, |s, cx, _| s.udp_bound(cx, rtp, result));
            }
            _ => {}
        }
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.monotonic;
        let is_due = |t: Option<Monotonic>| t.is_some_and(|t| t <= now);
        let under_way = self.streams.iter().filter(|s| s.is_under_way());
        let due = under_way.filter(|s| is_due(s.session.next_timeout()) || is_due(s.deadline));
        let due: Vec<StreamKind> = due.map(|s| s.kind).collect();
        for kind in due {
            self.with(cx, kind, |s, cx, look| s.handle_timeout(cx, look));
        }
    }

    /// Lets one stream's session do something, and looks at what came of it.
    fn with(
        &mut self,
        cx: &mut Cx<'_>,
        of: StreamKind,
        f: impl FnOnce(&mut Session, &mut Cx<'_>, &mut Look) -> Result<(), Lost>,
    ) {
        let mut streams = self.streams.iter_mut();
        let Some(stream) = streams.find(|s| s.kind == of && s.is_under_way()) else {
            return;
        };
        let result = f(&mut stream.session, cx, &mut stream.look);
        if stream.look_at(cx, result) {
            stream.session.hang_up(cx);
        }
        self.take_turns(cx);
    }

    /// Ends all connections.
    pub(super) fn hang_up(&mut self, cx: &mut Cx<'_>) {
        for stream in &mut self.streams {
            stream.session.hang_up(cx);
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
            without_key_frame: look.without_key_frame(),
            key_frame: look.key_frame.take(),
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

/// What is to be tried: the streams that are said, or all that the camera has.
pub fn targets(
    stored: Option<&db::Camera>,
    patch: &CameraPatch,
) -> Result<Vec<(StreamKind, Target)>, String> {
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
            return Err(format!("the {} stream needs a url", kind.as_str()));
        };
        let target = Target {
            password: password(stored, patch, url)?,
            url: Url::parse(url).map_err(|e| format!("the url cannot be read: {e}"))?,
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
        true => Err("say which stream is to be tested, with its url".to_owned()),
        false => Ok(targets),
    }
}

/// The one that is said, or the camera's, which goes to no other host than it was given for.
fn password(stored: Option<&db::Camera>, patch: &CameraPatch, url: &str) -> Result<Secret, String> {
    if let Some(said) = &patch.password {
        return Ok(said.clone());
    }
    let Some(camera) = stored.filter(|c| !c.password.0.is_empty()) else {
        return Ok(Secret::default());
    };
    let mut known = camera.streams.iter();
    match known.any(|s| db::same_host(&s.url, url)) {
        true => Ok(camera.password.clone()),
        false => Err(db::CameraError::OtherHost.to_string()),
    }
}
