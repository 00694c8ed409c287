//! `POST /api/cameras/test`: has a look at a camera before or after it is saved ([`Test`]), and makes a picture
//! of what was seen. The request waits; if its client goes away, the look ends.

use super::access::{require, require_own};
use super::cameras::Fields;
use super::form;
use super::refusal::{bad, later};
use super::task::{Need, Task};
use super::users::require_method;
use super::{Doing, Stage, not_found};
use crate::access::{Permission, Principal};
use crate::db::{self, StreamKind};
use crate::decoder::{self, THUMBNAIL_QUALITY};
use crate::http::{Method, Request, Response, Status};
use crate::nvr::advice::Advice;
use crate::nvr::camera_test::{Failed, Outcomes, Seen, Target, Test, advice, targets};
use crate::nvr::outbox::Owner;
use crate::nvr::port::{ConnId, Event};
use crate::nvr::{Clock, Cx, Nvr, Phase, cx};
use crate::time::{Monotonic, Now};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

type Refused = Box<Response>;

/// Looks at a time: each costs up to two streams' worth of the network. Further ones are told to come later.
const MAX_TESTS: usize = 2;

/// How soon they are told to.
const COME_AGAIN: Duration = Duration::from_secs(5);

/// How wide the picture is at most, in pixels.
pub const PICTURE_WIDTH: u32 = 640;

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
    /// Those that are of devices that were found, rather than of requests.
    of_devices: BTreeMap<u64, u32>,
    last: u64,
}

/// A picture as a `data:` URL, or why there is none.
type Picture = Result<String, String>;

/// A request that waits for a look.
pub struct TestTask {
    id: u64,
    outcomes: Option<Outcomes>,
    /// Whose picture the helper makes.
    making: Option<StreamKind>,
    pictures: BTreeMap<StreamKind, Picture>,
}

impl Tests {
    pub fn next_timeout(&self) -> Option<Monotonic> {
        self.running.values().filter_map(Test::next_timeout).min()
    }

    /// Nobody waits for it any more.
    pub fn abandon(&mut self, task: &TestTask) {
        if let Some(test) = self.running.get_mut(&task.id) {
            test.abandon();
        }
    }
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
        let targets = targets(stored, &body.camera.patch()?).map_err(|e| bad(&e))?;
        if self.phase != Phase::Running || self.web.tests.running.len() >= MAX_TESTS {
            let sentence = "other cameras are being tested: try again in a little while";
            return Err(later(Status::ServiceUnavailable, sentence, COME_AGAIN));
        }
        let tests = &mut self.web.tests;
        tests.last += 1;
        let id = tests.last;
        let mut test = Test::new(id, targets);
        test.take_turns(&mut cx!(self, now));
        self.wake_at(test.next_timeout());
        self.web.tests.running.insert(id, test);
        Ok(Task::Test(Box::new(TestTask {
            id,
            outcomes: None,
            making: None,
            pictures: BTreeMap::new(),
        })))
    }

    /// Begins a look at a device that was found ([`Nvr::looked`] tells what came of it); false if there is
    /// no room for it now.
    pub(in crate::nvr) fn begin_look(
        &mut self,
        now: Now,
        device: u32,
        targets: Vec<(StreamKind, Target)>,
    ) -> bool {
        let tests = &mut self.web.tests;
        if tests.running.len() >= MAX_TESTS {
            return false;
        }
        tests.last += 1;
        let id = tests.last;
        let mut test = Test::new(id, targets);
        test.take_turns(&mut cx!(self, now));
        self.wake_at(test.next_timeout());
        self.web.tests.running.insert(id, test);
        self.web.tests.of_devices.insert(id, device);
        true
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
        let Some(Owner::Test(of)) = self.out.owner_of(&event) else {
            return Some(event);
        };
        self.with_test(now, of.test, |test, cx| test.handle(cx, of.kind, event));
        None
    }

    /// Lets a look go on, and its request if it is over.
    fn with_test(&mut self, now: Now, id: u64, f: impl FnOnce(&mut Test, &mut Cx<'_>)) {
        let Some(test) = self.web.tests.running.get_mut(&id) else {
            return;
        };
        let was_over = test.is_over();
        f(test, &mut cx!(self, now));
        let (next, is_over) = (test.next_timeout(), test.is_over());
        self.wake_at(next);
        if is_over && !was_over {
            self.test_is_over(now, id);
        }
    }

    /// The request that waits for a look goes on.
    fn test_is_over(&mut self, now: Now, id: u64) {
        let tests = &mut self.web.tests;
        if let Some(device) = tests.of_devices.remove(&id) {
            let test = tests.running.remove(&id);
            let outcomes = test.map_or_else(Vec::new, Test::into_outcomes);
            return self.looked(now, device, outcomes);
        }
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
        let ids: Vec<u64> = self.web.tests.running.keys().copied().collect();
        for id in ids {
            let Some(test) = self.web.tests.running.get_mut(&id) else {
                continue;
            };
            if test.is_abandoned() {
                test.hang_up(&mut cx!(self, now));
                self.web.tests.running.remove(&id);
                continue;
            }
            self.with_test(now, id, |test, cx| test.handle_timeout(cx));
        }
    }

    /// What the request still waits for.
    pub(super) fn need_of_test(&mut self, task: &mut TestTask) -> Need {
        if task.outcomes.is_none() {
            let running = &mut self.web.tests.running;
            if running.get(&task.id).is_some_and(|t| !t.is_over()) {
                return Need::Recorded;
            }
            let test = running.remove(&task.id);
            task.outcomes = Some(test.map_or_else(Vec::new, Test::into_outcomes));
        }
        if task.making.is_some() {
            return Need::Recorded;
        }
        for (kind, outcome) in task.outcomes.iter_mut().flatten() {
            let Ok(seen) = outcome else { continue };
            if let Some(sample) = seen.key_frame.take() {
                task.making = Some(*kind);
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
        if let Some(kind) = self.making.take() {
            self.pictures.insert(kind, picture);
        }
    }

    pub fn answer(self) -> Response {
        let told = self.outcomes.as_ref().map(advice).unwrap_or_default();
        let advice: Value = told.iter().map(Advice::to_json).collect();
        let outcomes = self.outcomes.into_iter().flatten();
        let streams: Map<String, Value> = outcomes
            .map(|(kind, outcome)| {
                let value = match outcome {
                    Ok(seen) => seen_json(&seen, self.pictures.get(&kind)),
                    Err(Failed { kind, message }) => json!({
                        "ok": false,
                        "error": { "kind": kind, "message": message },
                    }),
                };
                (kind.as_str().to_owned(), value)
            })
            .collect();
        let told = json!({ "streams": streams, "advice": advice });
        Response::json(Status::Ok, &told)
    }
}

/// What is told of a stream, but the picture.
pub fn seen_without_picture(seen: &Seen) -> Value {
    let mut value = seen_json(seen, None);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("picture");
        fields.remove("pictureError");
    }
    value
}

fn seen_json(seen: &Seen, picture: Option<&Picture>) -> Value {
    json!({
        "ok": true,
        "codec": seen.entry.rfc6381_codec,
        "width": seen.entry.width,
        "height": seen.entry.height,
        "frameRate": seen.frame_rate,
        "bitRate": seen.bit_rate,
        "keyFrameInterval90k": seen.key_frame_interval.map(|d| d.0),
        "transport": seen.transport.as_str(),
        "clockOffset90k": seen.clock_offset.map(|d| d.0),
        "lostPackets": seen.lost_packets,
        "picture": picture.and_then(|p| p.as_ref().ok()),
        "pictureError": picture.and_then(|p| p.as_ref().err()),
    })
}

#[cfg(test)]
mod tests;
