//! A request that is being looked into: what it still wants from the database, and its answer.

use super::access::{denied_response, require};
use super::appliance::{self, StewardTask, Upload};
use super::backup::BackupTask;
use super::camera_test::TestTask;
use super::cameras;
use super::exchange::Exchange;
use super::gaps::Gaps;
use super::hls;
use super::login::{self, SignIn};
use super::picture::{self, Picture};
use super::query::Query;
use super::recordings::Recordings;
use super::refusal::{helped, refused_by_database};
use super::route::{OfStream, Route};
use super::scrub;
use super::top_level::{self, Extras};
use super::view::{self, Form, View, Wanted};
use super::{Origin, log, metrics, not_found, page, require_read, system};
use crate::access::{Attempt, Denied, Permission, Permissions, Principal};
use crate::appliance::protocol;
use crate::db::{self, Reply, StreamKind};
use crate::decoder;
use crate::h264::VideoSampleEntry;
use crate::http::{Request, Response, Status};
use crate::mp4;
use crate::nvr::Nvr;
use crate::recording::{DirId, RecordingId, StreamId};
use crate::time::{Duration90k, Now};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use uuid::Uuid;

/// What a request is about, and how far its answer has got.
pub enum Task {
    Whole(Response),
    Metrics {
        accept: Option<String>,
    },
    System(Box<system::System>),
    Log(Box<log::LogTask>),
    TopLevel(TopLevel),
    Recordings(Recordings),
    Gaps(Gaps),
    View(ViewTask),
    Init {
        id: i64,
        account: bool,
        entry: Option<Arc<VideoSampleEntry>>,
        asked: bool,
    },
    Picture(Box<Picture>),
    Scrub(Box<scrub::Ask>),
    Live(StreamId),
    SignIn(Box<SignIn>),
    /// One question to the database, most often about users or signals.
    Exchange(Exchange),
    Hls(Box<hls::Task>),
    Test(Box<TestTask>),
    /// One request to the steward.
    Steward(Box<StewardTask>),
    /// Settings as a file, and what is told to those who help.
    Backup(Box<BackupTask>),
    /// A body that is handed on as it comes.
    Upload(Box<Upload>),
}

/// What a task waits for.
pub enum Need {
    Nothing,
    Database(db::Request),
    /// The calendar, which is being made: the task is looked into again when it is.
    Calendar,
    Sample(Place),
    Helper(decoder::Request),
    /// A password verified, of an attempt that ends with the helper's answer, whoever still waits for it.
    Verify(decoder::Request, Attempt),
    Steward(protocol::Request, Vec<u8>),
    /// More of the body: the task is looked into again when it comes.
    Body,
    /// More of a stream, or of the log: the task is looked into again when there is more.
    Recorded,
}

/// Bytes of a sample file.
pub struct Place {
    pub dir: DirId,
    pub id: RecordingId,
    pub range: Range<u32>,
}

/// What came for a task, other than from the database.
pub enum Came {
    Sample(Result<Vec<u8>, String>),
    Helper(Result<decoder::Reply, decoder::Error>),
    Steward(protocol::Answer),
    /// More of the body, and whether it was the last.
    Body(Vec<u8>, bool),
}

/// How a request is answered.
pub enum Answer {
    Whole(Response),
    /// With (ranges of) a virtual file and these header fields.
    File {
        head: Vec<(&'static str, String)>,
        view: Arc<View>,
    },
    /// By becoming a viewer of a stream.
    Live(StreamId),
}

/// `GET /api/` and `/api/cameras/<uuid>/`.
pub struct TopLevel {
    camera: Option<Uuid>,
    days: bool,
    configs: bool,
    who: Principal,
}

/// `GET .../view.mp4` and `view.m4s`.
pub struct ViewTask {
    wanted: Wanted,
    account: bool,
    /// As the client wants it to be saved.
    file_name: Option<String>,
    state: ViewState,
}

enum ViewState {
    New,
    Asking(Box<view::Ask>),
    Done(Arc<View>),
}

type Refused = Box<Response>;

impl Nvr {
    /// What a request is about, if it may be asked.
    pub(super) fn begin_task(
        &mut self,
        now: Now,
        origin: &Origin,
        request: &Request,
        who: &Principal,
    ) -> Result<Task, Refused> {
        let segments = request
            .segments()
            .map_err(|e| Box::new(Response::text(Status::BadRequest, &e.to_string())))?;
        let route = Route::of(&segments).ok_or_else(|| Box::new(not_found()))?;
        let may_change = matches!(
            route,
            Route::OfUsers(_)
                | Route::OfSignals(_)
                | Route::OfSetup(_)
                | Route::OfAppliance(_)
                | Route::OfOnboard(_)
                | Route::Camera(_)
        );
        if !may_change {
            require_read(request)?;
        }
        if request.upload_bytes.is_some() && !appliance::takes_uploads(&route) {
            let sentence = "the request's body is too long";
            return Err(Box::new(Response::text(Status::ContentTooLarge, sentence)));
        }
        let query = Query::of(request)?;
        Ok(match route {
            Route::Page => Task::Whole(page::file(request)),
            Route::Health => Task::Whole(Response::text(Status::Ok, "ok")),
            Route::Metrics => {
                require(who, Permission::ViewLive, None)?;
                let accept = request.header("accept").map(str::to_owned);
                Task::Metrics { accept }
            }
            Route::Log => {
                require(who, Permission::Administer, None)?;
                Task::Log(Box::new(log::LogTask::new(now, request)?))
            }
            Route::System => Task::System(Box::new(self.system_task(now, who)?)),
            Route::TopLevel => {
                if let Err(refused) = require_any(who) {
                    return match who.user().is_none() && self.offers_setup(origin) {
                        true => Ok(Task::Exchange(login::ask_for_setup())),
                        false => Err(refused),
                    };
                }
                Task::TopLevel(TopLevel {
                    camera: None,
                    days: query.days,
                    configs: query.camera_configs,
                    who: who.clone(),
                })
            }
            Route::Camera(uuid) if !request.method.is_safe() => {
                self.begin_camera_change(uuid, request, who)?
            }
            Route::OfAppliance(of) => self.begin_of_appliance(now, of, request, who)?,
            Route::OfSetup(of) => self.begin_of_setup(now, of, request, who)?,
            Route::OfOnboard(of) => self.begin_of_onboard(now, of, request, who)?,
            Route::Camera(uuid) => {
                require_any(who)?;
                if !self.cameras.iter().any(|c| c.uuid == uuid) || !may_see(who, uuid) {
                    return Err(Box::new(not_found()));
                }
                Task::TopLevel(TopLevel {
                    camera: Some(uuid),
                    days: true,
                    configs: query.camera_configs,
                    who: who.clone(),
                })
            }
            Route::Variants(camera) => {
                let permission = match query.start {
                    Some(_) => Permission::ViewRecordings,
                    None => Permission::ViewLive,
                };
                require(who, permission, Some(camera))?;
                self.variants_task(camera, query.start, query.end)?
            }
            Route::Init { id, account } => {
                require_any(who)?;
                Task::Init {
                    id,
                    account,
                    entry: None,
                    asked: false,
                }
            }
            Route::Stream { camera, kind, what } => {
                let permission = match what {
                    OfStream::Live | OfStream::LivePlaylist | OfStream::LiveSegment => {
                        Permission::ViewLive
                    }
                    OfStream::Snapshot if query.time.is_none() => Permission::ViewLive,
                    _ => Permission::ViewRecordings,
                };
                require(who, permission, Some(camera))?;
                self.stream_task(camera, kind, what, query)?
            }
            Route::OfUsers(of) => self.begin_of_users(now, origin, of, request, who)?,
            Route::OfSignals(of) => self.begin_of_signals(now, of, query.span(), request, who)?,
        })
    }

    fn stream_task(
        &mut self,
        camera: Uuid,
        kind: StreamKind,
        what: OfStream,
        query: Query,
    ) -> Result<Task, Refused> {
        let camera = self.cameras.iter().find(|c| c.uuid == camera);
        let camera = camera.ok_or_else(|| Box::new(not_found()))?;
        let stream = camera.streams.iter().find(|s| s.kind == kind);
        let stream = stream.ok_or_else(|| Box::new(not_found()))?.id;
        let (form, account) = match what {
            OfStream::Live => return Ok(Task::Live(stream)),
            OfStream::Playlist => {
                let ask = hls::Recorded::new(stream, query.start, query.end)?;
                return Ok(Task::Hls(Box::new(hls::Task::Recorded(ask))));
            }
            OfStream::LivePlaylist | OfStream::LiveSegment => {
                let of = hls::OfLive::new(stream, what == OfStream::LiveSegment, query.hls)?;
                return Ok(Task::Hls(Box::new(hls::Task::Live(of))));
            }
            OfStream::Snapshot => {
                let wanted = picture::Wanted {
                    stream,
                    at: query.time,
                    max_width: query.width.unwrap_or(u32::MAX),
                };
                let made = self.web.thumbnails.get(&wanted);
                let picture = match made {
                    Some((jpeg, taken)) => Picture::made(wanted, jpeg, taken),
                    None => Picture::new(wanted),
                };
                return Ok(Task::Picture(Box::new(picture)));
            }
            OfStream::Scrub => {
                let every = query.every.unwrap_or_default();
                let ask = scrub::Ask::new(stream, query.span(), every)?;
                return Ok(Task::Scrub(Box::new(ask)));
            }
            OfStream::Recordings => {
                let list = Recordings::new(stream, query.span(), query.split);
                return Ok(Task::Recordings(list));
            }
            OfStream::Gaps => {
                return Ok(Task::Gaps(Gaps {
                    stream,
                    span: query.span(),
                    found: Vec::new(),
                    complete: false,
                }));
            }
            OfStream::File { account } => {
                let subtitles = query.subtitles;
                (Form::Movie { subtitles }, account)
            }
            OfStream::Segment { account } => (Form::MediaSegment, account),
        };
        Ok(Task::View(ViewTask {
            wanted: Wanted {
                stream,
                form,
                parts: query.parts,
                samples: query.samples.filter(|_| form == Form::MediaSegment),
                decode_time: match form {
                    Form::MediaSegment => query.decode_time,
                    Form::Movie { .. } => 0,
                },
            },
            account,
            file_name: query.file_name,
            state: ViewState::New,
        }))
    }

    /// What a task still wants.
    pub(super) fn need(&mut self, now: Now, task: &mut Task) -> Result<Need, Refused> {
        Ok(match task {
            Task::Hls(task) => self.need_of_hls(now, task)?,
            Task::Test(task) => self.need_of_test(task),
            Task::Backup(task) => task.need(),
            Task::Steward(task) => task.need(),
            Task::Upload(task) => task.need(now),
            Task::Whole(_) | Task::Live(_) | Task::Metrics { .. } => Need::Nothing,
            Task::Picture(picture) => {
                if picture.is_new() {
                    let stream = picture.wanted.stream;
                    if let Some(entry) = self.entry_without_row(stream) {
                        return Ok(Need::Database(db::Request::SampleEntryId(entry)));
                    }
                    picture.begin(self.uncommitted(stream))?;
                }
                picture.need()
            }
            Task::TopLevel(task) => match task.days && !self.web.calendar.is_ready() {
                true => Need::Calendar,
                false => Need::Nothing,
            },
            Task::Init {
                id, asked: false, ..
            } => Need::Database(db::Request::SampleEntry(*id)),
            Task::Init { .. } => Need::Nothing,
            Task::Recordings(task) => {
                if task.is_new() {
                    if let Some(entry) = self.entry_without_row(task.stream()) {
                        return Ok(Need::Database(db::Request::SampleEntryId(entry)));
                    }
                    task.begin(self.uncommitted(task.stream()));
                }
                task.need()
            }
            Task::Gaps(task) => task.need(),
            Task::System(task) => task.need(),
            Task::Log(task) => self.need_of_log(now, task),
            Task::SignIn(task) => self.need_of_sign_in(now, task)?,
            Task::Exchange(exchange) => exchange.need(),
            Task::Scrub(ask) => {
                if ask.is_new() {
                    if let Some(entry) = self.entry_without_row(ask.stream()) {
                        return Ok(Need::Database(db::Request::SampleEntryId(entry)));
                    }
                    ask.begin(self.uncommitted(ask.stream()));
                }
                ask.need().map_or(Need::Nothing, Need::Database)
            }
            Task::View(task) => self.need_of_view(task)?,
        })
    }

    fn need_of_view(&mut self, task: &mut ViewTask) -> Result<Need, Refused> {
        if matches!(task.state, ViewState::New) {
            if let Some(view) = self.web.layouts.get(&task.wanted) {
                task.state = ViewState::Done(view);
            } else if let Some(entry) = self.entry_without_row(task.wanted.stream) {
                return Ok(Need::Database(db::Request::SampleEntryId(entry)));
            } else {
                let uncommitted = self.uncommitted(task.wanted.stream);
                let zone = &self.config.time_zone;
                let ask = view::Ask::new(task.wanted.clone(), zone, uncommitted);
                task.state = ViewState::Asking(Box::new(ask.map_err(Box::new)?));
            }
        }
        let ViewState::Asking(ask) = &task.state else {
            return Ok(Need::Nothing);
        };
        if let Some(request) = ask.need() {
            return Ok(Need::Database(request));
        }
        let ViewState::Asking(ask) = std::mem::replace(&mut task.state, ViewState::New) else {
            return Ok(Need::Nothing);
        };
        let view = Arc::new(ask.finish().map_err(Box::new)?);
        if view.settled {
            self.web.layouts.insert(task.wanted.clone(), view.clone());
        }
        task.state = ViewState::Done(view);
        Ok(Need::Nothing)
    }

    /// The answer, once nothing is needed any more.
    pub(super) fn finish(&mut self, now: Now, task: Task) -> Answer {
        Answer::Whole(match task {
            Task::Whole(response) => response,
            Task::Live(stream) => return Answer::Live(stream),
            Task::Hls(task) => return self.finish_hls(now, *task),
            Task::Test(task) => task.answer(),
            Task::Backup(task) => task.answer(),
            Task::Steward(task) => task.answer(),
            Task::Upload(task) => task.answer(),
            Task::Metrics { accept } => {
                let (media_type, text) = metrics::text(self.status(now), accept.as_deref());
                let mut response = Response::text(Status::Ok, "");
                response.head = crate::http::ResponseHead::new(Status::Ok).content_type(media_type);
                response.body = text.into_bytes().into();
                response
            }
            Task::TopLevel(task) => self.top_level(now, &task),
            Task::Recordings(task) => task.answer(),
            Task::Gaps(task) => task.answer(),
            Task::System(task) => task.answer(),
            Task::Log(task) => self.finish_log(&task),
            Task::SignIn(task) => self.finish_sign_in(now, *task),
            Task::Exchange(exchange) => exchange.answer(),
            Task::Scrub(ask) => match ask.finish() {
                Ok(view) => {
                    let (head, view) = (Vec::new(), Arc::new(view));
                    return Answer::File { head, view };
                }
                Err(response) => *response,
            },
            Task::Picture(picture) => {
                if let Some(thumbnail) = picture.to_keep() {
                    self.web.thumbnails.insert(thumbnail);
                }
                picture.answer()
            }
            Task::Init { entry, account, .. } => match entry {
                Some(entry) if account => account_of(&mp4::File::init(&entry)),
                Some(entry) => return init(&entry),
                None => not_found(),
            },
            Task::View(ViewTask {
                state: ViewState::Done(view),
                account,
                file_name,
                wanted,
            }) => {
                if account {
                    return Answer::Whole(account_of(&view.file));
                }
                return Answer::File {
                    head: fields(&wanted, &view, file_name.as_deref()),
                    view,
                };
            }
            Task::View(_) => Response::text(Status::InternalServerError, "the file is not ready"),
        })
    }

    fn top_level(&self, now: Now, task: &TopLevel) -> Response {
        let mut status = self.status(now);
        let who = &task.who;
        status.cameras.retain(|c| may_see(who, c.uuid));
        let user = who.user().map(|signed_in| {
            let user = &signed_in.user;
            let preferences = serde_json::from_str(user.preferences.as_json());
            json!({
                "name": user.name,
                "id": user.id.0,
                "preferences": preferences.unwrap_or(Value::Null),
                "session": signed_in.csrf().map(|csrf| json!({ "csrf": csrf })),
            })
        });
        let extras = Extras {
            zone: &self.config.time_zone,
            days: task.days.then(|| self.web.calendar.days()),
            configs: task.configs.then(|| self.camera_configs(who)),
            signals: self.web.signals.signals_json(who),
            signal_types: self.web.signals.types_json(),
            permissions: json!(who.permissions()),
            user,
        };
        let value = match task.camera {
            None => top_level::top_level(&status, &extras),
            Some(uuid) => match status.cameras.iter().find(|c| c.uuid == uuid) {
                Some(camera) => top_level::camera(camera, &extras),
                None => return not_found(),
            },
        };
        Response::json(Status::Ok, &value)
    }

    /// Each camera's settings without its password.
    fn camera_configs(&self, who: &Principal) -> BTreeMap<i32, Value> {
        let all = self.cameras.iter();
        let readable = all.filter(|c| who.may(Permission::ReadCameraConfigs, Some(c.uuid)));
        readable.map(|c| (c.id, cameras::settings(c))).collect()
    }
}

/// Whether somebody may know of a camera.
pub fn may_see(who: &Principal, camera: Uuid) -> bool {
    let mut all = Permission::ALL.into_iter();
    all.any(|p| who.may(p, Some(camera)))
}

/// Refuses who may do nothing at all.
pub fn require_any(who: &Principal) -> Result<(), Refused> {
    if who.permissions() != Permissions::NONE {
        return Ok(());
    }
    Err(Box::new(denied_response(match who.user() {
        None => Denied::SignIn,
        Some(_) => Denied::Forbidden,
    })))
}

impl Task {
    /// Takes in what the database answered.
    pub fn take(&mut self, result: Result<Reply, db::Error>) -> Result<(), Refused> {
        if let Task::SignIn(task) = self {
            return task.take(result);
        }
        let reply = result.map_err(|e| refused_by_database(&e))?;
        match (self, reply) {
            (Task::Backup(task), reply) => task.take(reply),
            (Task::Exchange(exchange), reply) => exchange.take(reply),
            (_, Reply::SampleEntryId(Some(_))) => {}
            (_, Reply::SampleEntryId(None)) => {
                return Err(Box::new(Response::text(
                    Status::ServiceUnavailable,
                    "the database is open for reading only",
                )));
            }
            (Task::Recordings(task), Reply::Summaries(found)) => task.take(found)?,
            (Task::Gaps(task), Reply::Gaps(found)) => task.take(found)?,
            (Task::System(task), Reply::Gaps(found)) => task.take(found),
            (Task::Picture(picture), reply) => picture.take(reply)?,
            (Task::Scrub(ask), reply) => ask.take(reply)?,
            (Task::Hls(task), reply) => task.take(reply)?,
            (Task::Init { entry, asked, .. }, Reply::SampleEntry(found)) => {
                *entry = found;
                *asked = true;
            }
            (Task::View(task), reply) => {
                if let ViewState::Asking(ask) = &mut task.state {
                    ask.take(reply).map_err(Box::new)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Task {
    /// The streams of which something has to be recorded before there is anything to tell; `None` if the
    /// task is about what was recorded before, too.
    pub fn of_recorded(&self) -> Option<Vec<StreamId>> {
        match self {
            Task::Hls(task) => task.of_recorded(),
            Task::Picture(picture) => picture.of_recorded().map(|stream| vec![stream]),
            _ => None,
        }
    }

    /// Takes in what came from elsewhere.
    pub fn came(&mut self, came: Came) -> Result<(), Refused> {
        match (self, came) {
            (Task::Picture(picture), Came::Sample(result)) => picture.read(result),
            (Task::Picture(picture), Came::Helper(result)) => picture.helped(result),
            (Task::Backup(task), Came::Steward(answer)) => {
                task.machine(answer);
                Ok(())
            }
            (Task::Steward(task), Came::Steward(answer)) => {
                task.take(answer);
                Ok(())
            }
            (Task::Upload(task), Came::Steward(answer)) => task.take(answer),
            (Task::Upload(task), Came::Body(bytes, last)) => {
                task.more(bytes, last);
                Ok(())
            }
            (Task::Test(task), Came::Helper(result)) => {
                task.helped(result);
                Ok(())
            }
            (Task::SignIn(task), Came::Helper(result)) => task.take_help(helped(result)?),
            (Task::Exchange(exchange), Came::Helper(result)) => exchange.take_help(helped(result)?),
            _ => Ok(()),
        }
    }
}

/// The header fields of a view, beyond those of every file.
fn fields(wanted: &Wanted, view: &View, name: Option<&str>) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    if wanted.form == Form::MediaSegment {
        fields.push((
            "X-Prev-Media-Duration",
            view.prev_media_duration.0.to_string(),
        ));
        fields.push(("X-Runs", view.prev_runs.to_string()));
        fields.push((
            "X-Leading-Media-Duration",
            view.file.leading_duration().0.to_string(),
        ));
    }
    if let Some(name) = name {
        fields.push(("Content-Disposition", attachment(name)));
    }
    fields
}

/// `Content-Disposition` (RFC 6266) with a name that is safe on every system.
fn attachment(name: &str) -> String {
    let safe: String = name
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '.' | '-' | '_' | '(' | ')' => c,
            _ => '_',
        })
        .take(120)
        .collect();
    format!("attachment; filename=\"{safe}\"")
}

fn init(entry: &VideoSampleEntry) -> Answer {
    let file = mp4::File::init(entry);
    let (width, height) = mp4::aspect(entry);
    Answer::File {
        head: vec![("X-Aspect", format!("{width}:{height}"))],
        view: Arc::new(View {
            file: Arc::new(file),
            prev_media_duration: Duration90k::ZERO,
            prev_runs: 0,
            settled: true,
            immutable: false,
            indexes: BTreeMap::new(),
        }),
    }
}

fn account_of(file: &mp4::File) -> Response {
    let lines: String = file.account().map(|line| line + "\n").collect();
    let mut response = Response::text(Status::Ok, "");
    response.body = lines.into_bytes().into();
    response
}
