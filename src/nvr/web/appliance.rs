//! `/api/appliance`: the machine around the recorder. What is asked for is the steward's to do; here is
//! who may ask, and how its answers are told.

use super::access::{require, require_own};
use super::form;
use super::refusal::{bad, later, unexpected};
use super::route::{OfAppliance, Route};
use super::task::{Came, Need, Task};
use super::users::require_method;
use super::{Doing, Stage};
use crate::access::{Permission, Principal};
use crate::appliance::protocol::{Answer, Power, Refusal, RefusalKind, Request as Ask};
use crate::http::{Method, Request, Response, Status};
use crate::nvr::Nvr;
use crate::nvr::port::{Action, ConnId, StewardId};
use crate::time::{Monotonic, Now};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::time::Duration;

type Refused = Box<Response>;

/// How soon to come again when the steward does not answer.
const STEWARD_AWAY: Duration = Duration::from_secs(5);

/// An upload of which nothing comes for so long is given up.
const UPLOAD_STALL_LIMIT: Duration = Duration::from_secs(60);

/// Whether bodies of any length are taken.
pub fn takes_uploads(route: &Route) -> bool {
    matches!(route, Route::OfAppliance(OfAppliance::Update))
}

/// One request to the steward.
pub struct StewardTask {
    ask: Option<Ask>,
    /// Its answer is told with this status.
    status: Status,
    answer: Option<Answer>,
    /// A machine without a steward is told as one, not refused.
    is_state: bool,
}

impl StewardTask {
    fn task(ask: Ask, status: Status) -> Task {
        Task::Steward(Box::new(StewardTask {
            is_state: ask == Ask::State,
            ask: Some(ask),
            status,
            answer: None,
        }))
    }

    pub fn need(&mut self) -> Need {
        match self.ask.take() {
            Some(ask) => Need::Steward(ask, Vec::new()),
            None => Need::Nothing,
        }
    }

    pub fn take(&mut self, answer: Answer) {
        self.answer = Some(answer);
    }

    pub fn answer(self) -> Response {
        match self.answer {
            Some(Ok(value)) => Response::json(self.status, &value),
            Some(Err(refusal)) if self.is_state && refusal.kind == RefusalKind::NoAppliance => {
                let told = json!({ "appliance": false, "message": refusal.message });
                Response::json(Status::Ok, &told)
            }
            Some(Err(refusal)) => *refused(&refusal),
            None => unexpected(),
        }
    }
}

/// What the steward's refusal is told as.
fn refused(refusal: &Refusal) -> Refused {
    let status = match refusal.kind {
        RefusalKind::Bad => Status::BadRequest,
        RefusalKind::NotFound | RefusalKind::NoAppliance => Status::NotFound,
        RefusalKind::Conflict => Status::Conflict,
        RefusalKind::Failed => Status::InternalServerError,
        RefusalKind::Away => {
            return later(Status::ServiceUnavailable, &refusal.message, STEWARD_AWAY);
        }
    };
    Box::new(Response::text(status, &refusal.message))
}

/// A bundle that is handed to the steward as it comes: one piece at a time, and no more is read of the
/// client before the steward has taken it.
pub struct Upload {
    bytes: u64,
    stage: Sending,
    /// When it is given up unless more comes.
    until: Option<Monotonic>,
}

enum Sending {
    /// Nothing was asked yet. What came with the request itself waits.
    New(Option<Vec<u8>>),
    /// The steward was told that it begins.
    Beginning(Option<Vec<u8>>),
    /// The steward is to be given this.
    Piece(Vec<u8>, bool),
    /// It has that, the last or not.
    Taking(bool),
    /// More is to come from the client.
    Receiving,
    /// The steward looks at all of it.
    Ending,
    Done(Value),
}

impl Upload {
    fn new(request: &Request) -> Upload {
        let (bytes, whole) = match request.upload_bytes {
            Some(bytes) => (bytes, None),
            None => (request.body.len() as u64, Some(request.body.clone())),
        };
        Upload {
            bytes,
            stage: Sending::New(whole),
            until: None,
        }
    }

    pub fn waits_until(&self) -> Option<Monotonic> {
        self.until
    }

    pub fn need(&mut self, now: Now) -> Need {
        match std::mem::replace(&mut self.stage, Sending::Receiving) {
            Sending::New(whole) => {
                self.stage = Sending::Beginning(whole);
                Need::Steward(Ask::UpdateBegin { bytes: self.bytes }, Vec::new())
            }
            Sending::Piece(bytes, last) => {
                self.until = None;
                self.stage = Sending::Taking(last);
                Need::Steward(Ask::UpdatePiece, bytes)
            }
            Sending::Receiving => {
                self.until = Some(now.monotonic + UPLOAD_STALL_LIMIT);
                Need::Body
            }
            Sending::Done(value) => {
                self.stage = Sending::Done(value);
                Need::Nothing
            }
            stage @ (Sending::Beginning(_) | Sending::Taking(_) | Sending::Ending) => {
                self.stage = stage;
                Need::Recorded
            }
        }
    }

    /// More of the body has come.
    pub fn more(&mut self, bytes: Vec<u8>, last: bool) {
        self.stage = Sending::Piece(bytes, last);
    }

    /// The steward has answered.
    pub fn take(&mut self, answer: Answer) -> Result<(), Refused> {
        let value = answer.map_err(|refusal| refused(&refusal))?;
        self.stage = match std::mem::replace(&mut self.stage, Sending::Receiving) {
            Sending::Beginning(Some(whole)) => Sending::Piece(whole, true),
            Sending::Beginning(None) | Sending::Taking(false) => Sending::Receiving,
            Sending::Taking(true) => Sending::Ending,
            Sending::Ending => Sending::Done(value),
            stage => stage,
        };
        Ok(())
    }

    /// The steward has all of the body, and is to be asked what it makes of it.
    fn is_to_end(&self) -> bool {
        matches!(self.stage, Sending::Ending)
    }

    pub fn answer(self) -> Response {
        match self.stage {
            Sending::Done(value) => Response::json(Status::Ok, &value),
            _ => unexpected(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    csrf: Option<String>,
    settings: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PowerBody {
    csrf: Option<String>,
    action: Power,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum DiskAction {
    Format,
    Mount,
    Unmount,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DiskBody {
    csrf: Option<String>,
    action: DiskAction,
    disk: String,
    confirm: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum UpdateAction {
    Install,
    Start,
    Back,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateBody {
    csrf: Option<String>,
    action: UpdateAction,
    file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetBody {
    csrf: Option<String>,
    confirm: String,
    #[serde(default)]
    recordings: bool,
}

impl Nvr {
    pub(super) fn begin_of_appliance(
        &mut self,
        now: Now,
        of: OfAppliance,
        request: &Request,
        who: &Principal,
    ) -> Result<Task, Refused> {
        require(who, Permission::Administer, None)?;
        let ask = |ask| Ok(StewardTask::task(ask, Status::Ok));
        let accepted = |ask| Ok(StewardTask::task(ask, Status::Accepted));
        let reads = request.method.is_safe();
        match of {
            OfAppliance::Backup | OfAppliance::Restore | OfAppliance::Support => {
                self.begin_backup(now, of, request, who)
            }
            OfAppliance::State if reads => ask(Ask::State),
            OfAppliance::State => {
                require_method(request, &[Method::Get, Method::Head, Method::Patch])?;
                let Settings { csrf, settings } = form::read(request)?;
                require_own(who, csrf.as_deref())?;
                ask(Ask::Change { settings })
            }
            OfAppliance::Job => {
                require_method(request, &[Method::Get, Method::Head])?;
                ask(Ask::Job)
            }
            OfAppliance::Disks if reads => ask(Ask::Disks),
            OfAppliance::Disks => {
                require_method(request, &[Method::Get, Method::Head, Method::Post])?;
                let body: DiskBody = form::read(request)?;
                require_own(who, body.csrf.as_deref())?;
                let disk = body.disk;
                accepted(match (body.action, body.confirm) {
                    (DiskAction::Format, Some(confirm)) => Ask::Format { disk, confirm },
                    (DiskAction::Format, None) => {
                        return Err(bad(
                            "to format a disk, repeat what the list tells of it as `confirm`",
                        ));
                    }
                    (DiskAction::Mount, _) => Ask::Mount { disk },
                    (DiskAction::Unmount, _) => Ask::Unmount { disk },
                })
            }
            OfAppliance::Power => {
                require_method(request, &[Method::Post])?;
                let PowerBody { csrf, action } = form::read(request)?;
                require_own(who, csrf.as_deref())?;
                accepted(Ask::Power { action })
            }
            OfAppliance::Update if request.method == Method::Put => {
                // The body is no JSON: what shows whose page sent it is in the head.
                require_own(who, request.header("x-csrf-token"))?;
                Ok(Task::Upload(Box::new(Upload::new(request))))
            }
            OfAppliance::Update => {
                require_method(request, &[Method::Put, Method::Post])?;
                let UpdateBody { csrf, action, file } = form::read(request)?;
                require_own(who, csrf.as_deref())?;
                accepted(match (action, file) {
                    (UpdateAction::Install, Some(file)) => Ask::Install { file },
                    (UpdateAction::Install, None) => {
                        return Err(bad("name the file to be installed as `file`"));
                    }
                    (UpdateAction::Start, _) => Ask::StartUpdate {
                        cameras: self.cameras_recorded(),
                    },
                    (UpdateAction::Back, _) => Ask::FallBack {
                        why: "an administrator asked for the version before".to_owned(),
                    },
                })
            }
            OfAppliance::Reset => {
                require_method(request, &[Method::Post])?;
                let body: ResetBody = form::read(request)?;
                require_own(who, body.csrf.as_deref())?;
                let (confirm, recordings) = (body.confirm, body.recordings);
                accepted(Ask::Reset {
                    confirm,
                    recordings,
                })
            }
        }
    }

    /// The cameras of which something is being recorded.
    pub(in crate::nvr) fn cameras_recorded(&self) -> Vec<String> {
        let recorded = self.cameras.iter().filter(|c| {
            let mut streams = c.streams.iter().filter_map(|s| self.streams.get(&s.id));
            streams.any(|s| s.recorder.is_recording())
        });
        recorded.map(|c| c.uuid.to_string()).collect()
    }

    /// The steward has answered.
    pub(in crate::nvr) fn steward_answered(&mut self, now: Now, id: StewardId, answer: Answer) {
        self.trial_answered(now, id, &answer);
        if let Some(conn) = self.web.stewarding.remove(&id) {
            self.came(now, conn, Came::Steward(answer));
            self.end_upload(conn);
        }
    }

    /// All of an upload was taken: the steward is asked what it makes of it.
    fn end_upload(&mut self, conn: ConnId) {
        let ends = self
            .uploading(conn)
            .is_some_and(|upload| upload.is_to_end());
        if ends {
            let id = self.out.steward(Ask::UpdateEnd, Vec::new());
            self.web.stewarding.insert(id, conn);
        }
    }

    fn uploading(&mut self, conn: ConnId) -> Option<&mut Upload> {
        match &mut self.web.clients.get_mut(&conn)?.doing {
            Doing::Asking(asking) => match &mut asking.stage {
                Stage::Working(Task::Upload(upload)) => Some(upload),
                _ => None,
            },
            _ => None,
        }
    }

    /// More of a body is wanted: what has come already is taken first, and only then the client is read again.
    pub(super) fn want_body(&mut self, now: Now, conn: ConnId) {
        if self.upload_came(now, conn) {
            return;
        }
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        let leave = client.connection.go_on();
        if !leave.is_empty() {
            self.out.push(Action::Send { conn, bytes: leave });
        }
        self.out.push(Action::Resume { conn });
        let until = self.uploading(conn).and_then(|upload| upload.waits_until());
        self.wake_at(until);
    }

    /// More of a body may have come; whether it has, and is wanted.
    pub(super) fn upload_came(&mut self, now: Now, conn: ConnId) -> bool {
        let waits = self.uploading(conn).is_some_and(|u| u.until.is_some());
        if !waits {
            return false;
        }
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return false;
        };
        let (bytes, last) = client.connection.take_upload();
        if bytes.is_empty() {
            return false;
        }
        self.out.push(Action::Pause { conn });
        self.came(now, conn, Came::Body(bytes, last));
        true
    }
}

/// Of an upload nothing came in time.
pub(super) fn stalled() -> Response {
    let limit = UPLOAD_STALL_LIMIT.as_secs();
    let sentence = format!("it was given up: nothing more of it came for {limit} seconds");
    Response::text(Status::RequestTimeout, &sentence)
}

#[cfg(test)]
mod tests;
