//! What the daemon serves by HTTP.
//!
//! The connections are [`crate::http`]'s; here is who is at the other end, what was asked for and how
//! the answer comes about. A request is routed ([`route`]), looked into ([`task`]: it may have to ask the
//! database, one request at a time) and answered: with a whole response, with a [`body`] that is queued as the
//! connection takes it, or by becoming a [`live`] viewer. See `design/serving.md`.

mod access;
mod appliance;
mod backup;
mod body;
mod calendar;
mod camera_test;
mod cameras;
mod changed;
#[cfg(test)]
pub(super) mod client;
mod days;
mod disks;
mod early;
mod exchange;
mod form;
mod gaps;
mod given_up;
mod hls;
mod indexes;
mod input_end;
mod live;
mod log;
mod login;
mod metrics;
mod onboard;
mod page;
mod picture;
mod query;
mod recordings;
mod refusal;
mod rights;
mod route;
mod sample_files;
mod scrub;
mod sessions;
mod signals;
mod span;
mod system;
mod task;
mod top_level;
mod uncommitted;
mod users;
mod view;

use super::Nvr;
use super::outbox::Outbox;
use super::port::{
    Action, ConnId, DbId, DiskError, DiskReply, Event, FileId, HelperId, Severity, StewardId,
};
use crate::access::{Attempt, LoginAttempts, Principal, SignedIn, SignedInCache, Use};
use crate::db::{self, SessionReply, Signal, SignalId, SignalType};
use crate::decoder;
use crate::h264::VideoSampleEntry;
use crate::http::{Caching, Connection, Method, Request, Response, ResponseHead, Status, Step};
use crate::recording::RecordingId;
use crate::time::{Monotonic, Now};
use access::Shown;
use body::{Body, Progress};
use calendar::Calendar;
pub use calendar::Page as CalendarPage;
pub use camera_test::{PICTURE_WIDTH, seen_without_picture};
use changed::Changed;
use early::Early;
use indexes::Indexes;
use live::Viewer;
use picture::Thumbnails;
use sample_files::SampleFiles;
pub use sample_files::files_for_reading;
use signals::Signals;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use task::{Answer, Came, Need, Task};
use uncommitted::SampleEntryRows;
use uuid::Uuid;
use view::Layouts;

/// Requests that are with the database at a time, so that a commit never waits for more. Those behind
/// them wait here, one of each connection.
const MAX_WITH_DATABASE: usize = 4;

/// Where a connection comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The index of the address in the configuration.
    pub listener: usize,
    pub peer: Option<SocketAddr>,
    pub uid: Option<u32>,
    pub tls: bool,
}

/// What a connection is doing.
enum Doing {
    /// It waits for a request, or for a short answer to be sent.
    Nothing,
    /// A request is being looked into.
    Asking(Box<Asking>),
    /// A long answer is being sent.
    Sending(Box<Body>),
    /// It has become a WebSocket.
    Watching(Box<Viewer>),
}

struct Asking {
    request: Request,
    stage: Stage,
}

impl Asking {
    /// Up to when what it wants may still come.
    fn waits_until(&self) -> Option<Monotonic> {
        match &self.stage {
            Stage::Working(Task::Hls(task)) => task.waits_until(),
            Stage::Working(Task::Log(task)) => task.waits_until(),
            Stage::Working(Task::Upload(task)) => task.waits_until(),
            Stage::Early(early) => Some(early.until),
            _ => None,
        }
    }
}

/// How far a request has got.
#[expect(
    clippy::large_enum_variant,
    reason = "it lies in a box already, and nearly every request comes to have a task"
)]
enum Stage {
    /// The database is asked whose session or token it shows.
    Identifying,
    /// It may be asked.
    Working(Task),
    /// It has come too early: the recorder has just started.
    Early(Box<Early>),
}

/// A connection.
struct Client {
    connection: Connection,
    origin: Origin,
    /// Its peer is not read, or only piece by piece, until the request is answered.
    paused: bool,
    doing: Doing,
    /// What the access log will say of the request being answered.
    access: Option<access::Line>,
    /// Who sent the last request, if it was signed in.
    who: Option<Arc<SignedIn>>,
}

/// A database request and who it is for.
struct Asked {
    conn: ConnId,
    /// The sample entry whose row is asked for.
    entry: Option<Arc<VideoSampleEntry>>,
    /// What is put right when it is answered.
    changed: Option<Changed>,
}

/// All that serving needs beside the recorder.
#[derive(Default)]
pub struct Web {
    clients: BTreeMap<ConnId, Client>,
    asked: BTreeMap<DbId, Asked>,
    to_ask: VecDeque<(ConnId, db::Request)>,
    /// What the helper process works on, and for whom.
    helping: BTreeMap<HelperId, ConnId>,
    /// What the steward works on, and for whom.
    stewarding: BTreeMap<StewardId, ConnId>,
    /// The passwords among it that somebody tries to sign in with.
    trying: BTreeMap<HelperId, Attempt>,
    attempts: LoginAttempts,
    files: SampleFiles,
    indexes: Indexes,
    layouts: Layouts,
    entry_rows: SampleEntryRows,
    calendar: Calendar,
    signed_in: SignedInCache,
    signals: Signals,
    thumbnails: Thumbnails,
    hls: hls::Hls,
    tests: camera_test::Tests,
    rights: rights::Rights,
    /// Somebody watches live.
    watched: bool,
}

impl Web {
    /// See [`SampleFiles::set_descriptors`].
    pub fn set_descriptors(&mut self, limit: usize) {
        self.files.set_descriptors(limit);
    }

    pub fn next_timeout(&self) -> Option<Monotonic> {
        let clients = self.clients.values().filter_map(Client::next_timeout);
        let others = [
            self.hls.next_timeout(),
            self.tests.next_timeout(),
            self.next_rights(),
        ];
        clients.chain(others.into_iter().flatten()).min()
    }

    /// When rights that are being used are looked at again.
    fn next_rights(&self) -> Option<Monotonic> {
        let used = self.clients.values().any(|c| c.uses().is_some());
        self.rights.next_timeout(used)
    }

    /// Asks the database for a client, when it is its turn.
    fn ask(&mut self, out: &mut Outbox, conn: ConnId, request: db::Request) {
        self.to_ask.push_back((conn, request));
        self.ask_more(out);
    }

    fn ask_more(&mut self, out: &mut Outbox) {
        while self.asked.len() < MAX_WITH_DATABASE {
            let Some((conn, request)) = self.to_ask.pop_front() else {
                return;
            };
            if !self.clients.contains_key(&conn) {
                continue;
            }
            let entry = match &request {
                db::Request::SampleEntryId(entry) => Some(entry.clone()),
                _ => None,
            };
            let changed = Changed::by(&request);
            let asked = Asked {
                conn,
                entry,
                changed,
            };
            self.asked.insert(out.db(request), asked);
        }
    }

    /// Uses of sessions and tokens, for the next commit. If it fails, the next use is written instead.
    pub fn take_uses(&mut self) -> Vec<Use> {
        self.signed_in.take_uses()
    }

    /// The signal of a kind that is a camera's own, and of this input if it has several.
    pub fn find_signal(&self, kind: Uuid, camera: Uuid, input: &str) -> Option<SignalId> {
        self.signals.find_own(kind, camera, input)
    }

    /// All signals of some kinds.
    pub fn signals_of(&self, kinds: &[Uuid]) -> Vec<SignalId> {
        self.signals.of_kinds(kinds)
    }

    pub fn put_signal_type(&mut self, kind: SignalType) {
        self.signals.put_type(kind);
    }

    pub fn put_signal(&mut self, signal: Signal) {
        self.signals.put(signal);
    }

    /// Whether somebody is being sent a recording.
    pub fn is_reading(&self, id: RecordingId) -> bool {
        self.clients.values().any(|c| match &c.doing {
            Doing::Sending(body) => body.needs(id),
            _ => false,
        })
    }
}

impl Client {
    fn next_timeout(&self) -> Option<Monotonic> {
        match &self.doing {
            Doing::Watching(viewer) => viewer.next_timeout(),
            Doing::Asking(asking) => asking.waits_until(),
            _ => self.connection.next_timeout(),
        }
    }
}

impl Nvr {
    pub(super) fn accepted(&mut self, now: Now, conn: ConnId, origin: Origin) {
        let connection = Connection::new(now);
        self.wake_at(connection.next_timeout());
        let client = Client {
            connection,
            origin,
            paused: false,
            doing: Doing::Nothing,
            access: None,
            who: None,
        };
        self.web.clients.insert(conn, client);
    }

    /// Something came from, or happened to, an HTTP connection.
    pub(super) fn http_event(&mut self, now: Now, event: Event<'_>) {
        match event {
            Event::Received { conn, bytes } => {
                let Some(client) = self.web.clients.get_mut(&conn) else {
                    return;
                };
                if let Doing::Watching(viewer) = &mut client.doing {
                    let replies = viewer.receive(now.monotonic, bytes);
                    return self.viewer_replies(conn, replies);
                }
                let step = client.connection.receive(now, bytes);
                self.upload_came(now, conn);
                self.http_step(now, conn, step);
            }
            Event::Drained { conn } => self.drained(now, conn),
            Event::Draining { conn } => self.draining(now, conn),
            Event::Sending { conn } => {
                if let Some(client) = self.web.clients.get_mut(&conn) {
                    client.connection.progress(now);
                }
            }
            Event::InputEnded { conn } => self.input_ended(now, conn),
            Event::Closed { conn, reason } => {
                if let Err(super::port::SocketError::File(e)) = reason {
                    let message = format!("a recording could not be sent: {e}");
                    self.out.log(Severity::Error, "read-failed", message);
                }
                self.forget_client(conn);
            }
            _ => {}
        }
    }

    fn drained(&mut self, now: Now, conn: ConnId) {
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        match &mut client.doing {
            Doing::Watching(viewer) => viewer.drained(),
            Doing::Sending(body) => {
                body.drained();
                let _ = client.connection.sent(now);
                self.pump(now, conn);
            }
            Doing::Nothing | Doing::Asking(_) => {
                let step = client.connection.sent(now);
                self.http_step(now, conn, step);
            }
        }
    }

    fn draining(&mut self, now: Now, conn: ConnId) {
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        client.connection.progress(now);
        if let Doing::Sending(body) = &mut client.doing {
            body.drained();
            self.pump(now, conn);
        }
    }

    pub(super) fn http_timeouts(&mut self, now: Now) {
        let due: Vec<ConnId> = self
            .web
            .clients
            .iter()
            .filter(|(_, c)| c.next_timeout().is_some_and(|t| t <= now.monotonic))
            .map(|(id, _)| *id)
            .collect();
        self.hls_timeout(now);
        self.test_timeouts(now);
        self.check_rights(now);
        for conn in due {
            let Some(client) = self.web.clients.get_mut(&conn) else {
                continue;
            };
            if let Doing::Watching(viewer) = &mut client.doing {
                let replies = viewer.handle_timeout(now.monotonic);
                self.viewer_replies(conn, replies);
                continue;
            }
            if let Doing::Asking(asking) = &client.doing {
                match asking.stage {
                    Stage::Working(Task::Log(_)) | Stage::Early(_) => self.look_into(now, conn),
                    Stage::Working(Task::Upload(_)) => {
                        self.respond(now, conn, appliance::stalled())
                    }
                    _ => self.respond(now, conn, hls::too_late()),
                }
                continue;
            }
            let step = client.connection.handle_timeout(now);
            self.http_step(now, conn, step);
        }
    }

    fn http_step(&mut self, now: Now, conn: ConnId, step: Step) {
        match step {
            Step::Wait => {}
            Step::Send(bytes) => self.out.push(Action::Send { conn, bytes }),
            Step::Answer(request) => self.answer(now, conn, request),
            Step::Upload(request) => {
                if let Some(client) = self.web.clients.get_mut(&conn) {
                    client.paused = true;
                }
                self.out.push(Action::Pause { conn });
                self.answer(now, conn, request);
            }
            Step::Refuse(bytes) => {
                self.out.push(Action::Send { conn, bytes });
                self.close_client(conn, true);
            }
            Step::Close => self.close_client(conn, true),
            Step::Abort => self.close_client(conn, false),
        }
        let next = self.web.clients.get(&conn).and_then(Client::next_timeout);
        self.wake_at(next);
    }

    fn close_client(&mut self, conn: ConnId, flush: bool) {
        self.forget_client(conn);
        self.out.close(conn, flush);
    }

    /// Closes all connections once what they wait for is sent; browsers connect again.
    pub(super) fn close_clients(&mut self, now: Now, why: &str) {
        let all: Vec<ConnId> = self.web.clients.keys().copied().collect();
        for conn in all {
            self.close_viewer(now, conn, why);
            self.close_client(conn, true);
        }
    }

    /// A connection is gone, and all that was done for it.
    fn forget_client(&mut self, conn: ConnId) {
        let Some(client) = self.web.clients.remove(&conn) else {
            return;
        };
        match client.doing {
            Doing::Watching(viewer) => self.viewer_left(viewer.stream()),
            Doing::Sending(_) => self.release_garbage(),
            Doing::Asking(asking) => {
                if let Stage::Working(Task::Test(task)) = &asking.stage {
                    self.web.tests.abandon(task);
                    self.wake_at(Some(Monotonic(0)));
                }
            }
            Doing::Nothing => {}
        }
    }

    /// Answers a request, now or once what is asked of the database has come.
    fn answer(&mut self, now: Now, conn: ConnId, request: Request) {
        if let Some(early) = self.early_start(now) {
            return self.wait_early(conn, request, early);
        }
        let Some(client) = self.web.clients.get(&conn) else {
            return;
        };
        let origin = client.origin.clone();
        self.note_access(conn, &origin, &request);
        match self.identify(now, &origin, &request) {
            Ok(Shown::Known(who)) => self.answer_to(now, conn, request, &who),
            Ok(Shown::Unknown(presented)) => {
                let stage = Stage::Identifying;
                self.set_asking(conn, Asking { request, stage });
                let question = self.resume(now, presented);
                self.web.ask(&mut self.out, conn, question);
            }
            Err(response) => self.respond(now, conn, *response),
        }
    }

    /// The same, now that it is known who asks.
    fn answer_to(&mut self, now: Now, conn: ConnId, request: Request, who: &Principal) {
        self.note_user(conn, who);
        self.mind_rights(now, who);
        let Some(client) = self.web.clients.get(&conn) else {
            return;
        };
        let origin = client.origin.clone();
        match self.begin_task(now, &origin, &request, who) {
            Ok(task) => {
                let stage = Stage::Working(task);
                self.set_asking(conn, Asking { request, stage });
                self.look_into(now, conn);
            }
            Err(response) => self.respond(now, conn, *response),
        }
    }

    fn set_asking(&mut self, conn: ConnId, asking: Asking) {
        if let Some(client) = self.web.clients.get_mut(&conn) {
            client.doing = Doing::Asking(Box::new(asking));
        }
    }

    /// Goes on with a request: asks the database what is still wanted, or answers.
    fn look_into(&mut self, now: Now, conn: ConnId) {
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        let Doing::Asking(asking) = std::mem::replace(&mut client.doing, Doing::Nothing) else {
            return;
        };
        let Asking { request, stage } = *asking;
        let mut task = match stage {
            Stage::Working(task) => match self.unless_early(now, task) {
                Ok(task) => task,
                Err(early) => return self.wait_early(conn, request, *early),
            },
            Stage::Early(early) => return self.go_on_early(now, conn, request, *early),
            Stage::Identifying => return self.set_asking(conn, Asking { request, stage }),
        };
        match self.need(now, &mut task) {
            Err(response) => self.respond(now, conn, *response),
            Ok(Need::Nothing) => {
                self.note_signed_in(conn, &task);
                match self.finish(now, task) {
                    Answer::Whole(response) => self.respond(now, conn, response),
                    Answer::File { head, view } => {
                        self.go_on_early(now, conn, request, Early::file(now, head, view));
                    }
                    Answer::Live(stream) => self.begin_watching(now, conn, &request, stream),
                }
            }
            Ok(need) => {
                let stage = Stage::Working(task);
                self.set_asking(conn, Asking { request, stage });
                self.bring(now, conn, need);
            }
        }
    }

    /// Sees to it that a task gets what it needs.
    fn bring(&mut self, now: Now, conn: ConnId, need: Need) {
        match need {
            Need::Nothing | Need::Calendar | Need::Recorded => {}
            Need::Body => self.want_body(now, conn),
            Need::Steward(request, bytes) => {
                let id = self.out.steward(request, bytes);
                self.web.stewarding.insert(id, conn);
            }
            Need::Database(question) => self.web.ask(&mut self.out, conn, question),
            Need::Helper(request) => {
                let id = self.out.helper(request);
                self.web.helping.insert(id, conn);
            }
            Need::Verify(request, attempt) => {
                let id = self.out.helper(request);
                self.web.helping.insert(id, conn);
                self.web.trying.insert(id, attempt);
            }
            Need::Sample(place) => self.read_sample(now, conn, place, None),
        }
    }

    /// A sample was read for a task, or not.
    pub(super) fn sample_read(
        &mut self,
        now: Now,
        conn: ConnId,
        result: Result<DiskReply, DiskError>,
    ) {
        let came = match result {
            Ok(DiskReply::Read(bytes)) => Came::Sample(Ok(bytes)),
            Ok(_) => Came::Sample(Err("nothing was read".to_owned())),
            Err(e) => Came::Sample(Err(e.to_string())),
        };
        self.came(now, conn, came);
    }

    /// The helper process has answered.
    pub(super) fn helper_answered(
        &mut self,
        now: Now,
        id: HelperId,
        result: Result<decoder::Reply, decoder::Error>,
    ) {
        if let Some(attempt) = self.web.trying.remove(&id) {
            self.attempt_ended(attempt, &result);
        }
        if let Some(conn) = self.web.helping.remove(&id) {
            self.came(now, conn, Came::Helper(result));
        }
    }

    /// What a task asked for has come.
    fn came(&mut self, now: Now, conn: ConnId, came: Came) {
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        let Doing::Asking(asking) = &mut client.doing else {
            return;
        };
        let Stage::Working(task) = &mut asking.stage else {
            return;
        };
        match task.came(came) {
            Ok(()) => self.look_into(now, conn),
            Err(response) => self.respond(now, conn, *response),
        }
    }

    /// The database has answered what was asked for a request.
    fn look_at_answer(&mut self, now: Now, conn: ConnId, result: Result<db::Reply, db::Error>) {
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        let Doing::Asking(asking) = std::mem::replace(&mut client.doing, Doing::Nothing) else {
            return;
        };
        let origin = client.origin.clone();
        let Asking { request, stage } = *asking;
        match (stage, result) {
            (Stage::Identifying, Ok(db::Reply::Sessions(SessionReply::SignedIn(found)))) => {
                let who = self.identified(now, &origin, found);
                self.answer_to(now, conn, request, &who);
            }
            (Stage::Working(mut task), result) => match task.take(result) {
                Ok(()) => {
                    let stage = Stage::Working(task);
                    self.set_asking(conn, Asking { request, stage });
                    self.look_into(now, conn);
                }
                Err(response) => self.respond(now, conn, *response),
            },
            // It has asked for nothing.
            (stage @ Stage::Early(_), _) => self.set_asking(conn, Asking { request, stage }),
            (Stage::Identifying, result) => {
                let why = result.err().map_or_else(String::new, |e| format!(": {e}"));
                let sentence = format!("the database does not answer{why}");
                let response = Response::text(Status::ServiceUnavailable, &sentence);
                self.respond(now, conn, response);
            }
        }
    }

    fn respond(&mut self, now: Now, conn: ConnId, response: Response) {
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        if std::mem::take(&mut client.paused) {
            self.out.push(Action::Resume { conn });
        }
        client.doing = Doing::Nothing;
        let bytes = client.connection.respond_whole(now, &response);
        let status = response.head.status;
        self.out.push(Action::Send { conn, bytes });
        let next = client.next_timeout();
        self.log_access(conn, status);
        self.wake_at(next);
    }

    /// Begins to send a virtual file, or what of it is asked for.
    fn send_file(
        &mut self,
        now: Now,
        conn: ConnId,
        request: &Request,
        fields: Vec<(&'static str, String)>,
        view: &Arc<view::View>,
    ) {
        let representation = crate::http::ranges::Representation {
            etag: view.file.etag(),
            len: view.file.len(),
            content_type: view.file.content_type().to_owned().into(),
        };
        let plan = crate::http::ranges::plan(request, &representation);
        if let Some(why) = self.is_away(view).filter(|_| !plan.pieces.is_empty()) {
            // Nothing that cannot be kept is promised.
            let response = Response::text(Status::ServiceUnavailable, &why);
            return self.respond(now, conn, response);
        }
        let refused = plan.head.status.code() >= 400;
        let head: ResponseHead = fields
            .into_iter()
            .fold(plan.head, |head, (name, value)| head.field(name, value))
            .caching(match view.immutable && !refused {
                true => Caching::PrivateImmutable,
                false => Caching::Private,
            });
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        let bytes = client.connection.respond(now, &head, plan.size);
        self.out.push(Action::Send { conn, bytes });
        self.log_access(conn, head.status);
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        if client.connection.wants_body() {
            client.doing = Doing::Sending(Box::new(Body::new(view.clone(), plan.pieces)));
            self.pump(now, conn);
        }
        let next = self.web.clients.get(&conn).and_then(Client::next_timeout);
        self.wake_at(next);
    }

    /// Queues more of a body.
    fn pump(&mut self, now: Now, conn: ConnId) {
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        let Doing::Sending(mut body) = std::mem::replace(&mut client.doing, Doing::Nothing) else {
            return;
        };
        let progress = body.pump(&mut self.web, &mut self.out, conn);
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        match progress {
            Progress::Enough | Progress::Opening => client.doing = Doing::Sending(body),
            Progress::Indexes(ids) => {
                client.doing = Doing::Sending(body);
                self.web.ask(&mut self.out, conn, db::Request::Indexes(ids));
            }
            Progress::Done => {
                drop(body);
                let step = client.connection.body_done(now);
                self.release_garbage();
                self.http_step(now, conn, step);
            }
            Progress::Failed(why) => {
                client.doing = Doing::Sending(body);
                self.fail_body(conn, &why);
            }
        }
    }

    /// What was promised cannot be sent: the connection ends.
    fn fail_body(&mut self, conn: ConnId, why: &str) {
        let message = format!("a recording could not be sent: {why}");
        self.out.log(Severity::Error, "read-failed", message);
        self.close_client(conn, false);
    }

    /// The database has answered something that was asked for a client; false if it was not.
    pub(super) fn web_answered(
        &mut self,
        now: Now,
        id: DbId,
        result: Result<db::Reply, db::Error>,
    ) -> Result<(), Result<db::Reply, db::Error>> {
        let Some(asked) = self.web.asked.remove(&id) else {
            return Err(result);
        };
        self.web.ask_more(&mut self.out);
        if let (Some(entry), Ok(db::Reply::SampleEntryId(Some(row)))) = (&asked.entry, &result) {
            self.web.entry_rows.insert(entry.clone(), *row);
        }
        if let (Some(changed), Ok(reply)) = (asked.changed, &result) {
            self.changed(now, changed, reply);
        }
        let conn = asked.conn;
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return Ok(());
        };
        match &mut client.doing {
            Doing::Asking(_) => self.look_at_answer(now, conn, result),
            Doing::Sending(body) => {
                body.index_answered();
                match result {
                    Ok(db::Reply::Indexes(indexes)) => self.indexes_came(now, conn, indexes),
                    Ok(_) => {}
                    Err(e) => self.fail_body(conn, &e.to_string()),
                }
            }
            // One that watches waits for the row of a sample entry: it looks at each frame.
            Doing::Nothing | Doing::Watching(_) => {}
        }
        Ok(())
    }

    fn indexes_came(&mut self, now: Now, conn: ConnId, indexes: Vec<db::IndexOf>) {
        for (id, index) in indexes {
            match index {
                Some(index) => self.web.indexes.insert(id, index),
                None => return self.fail_body(conn, "it was deleted meanwhile"),
            }
        }
        self.pump(now, conn);
        self.web.indexes.shrink();
    }

    /// A sample file was opened for reading, or not.
    pub(super) fn opened_for_reading(
        &mut self,
        now: Now,
        file: FileId,
        result: Result<(), super::port::DiskError>,
    ) {
        let why = result.err().map(|e| e.to_string());
        for conn in self.web.files.opened(file, why.is_none()) {
            let Some(client) = self.web.clients.get(&conn) else {
                continue;
            };
            match (&client.doing, &why) {
                (Doing::Sending(_), None) => self.pump(now, conn),
                (Doing::Sending(_), Some(why)) => self.fail_body(conn, why),
                (Doing::Asking(_), None) => self.look_into(now, conn),
                (Doing::Asking(_), Some(why)) => {
                    self.came(now, conn, Came::Sample(Err(why.clone())));
                }
                // One that watches looks again at the next frame.
                _ => {}
            }
        }
    }

    /// The days are known: those who wait for them are answered.
    fn calendar_is_ready(&mut self, now: Now) {
        let asking: Vec<ConnId> = self
            .web
            .clients
            .iter()
            .filter(|(_, c)| {
                matches!(&c.doing, Doing::Asking(a)
                    if matches!(a.stage, Stage::Working(Task::TopLevel { .. })))
            })
            .map(|(conn, _)| *conn)
            .collect();
        for conn in asking {
            self.look_into(now, conn);
        }
    }
}

/// Only these may be asked of what is only read.
fn require_read(request: &Request) -> Result<(), Box<Response>> {
    match request.method {
        Method::Get | Method::Head => Ok(()),
        _ => Err(Box::new(Response::method_not_allowed(&[
            Method::Get,
            Method::Head,
        ]))),
    }
}

fn not_found() -> Response {
    Response::text(Status::NotFound, "there is nothing by that name here")
}
