//! The daemon's beginning, its commits, its changes of configuration and its end.

use super::clock::Clock;
use super::commit::Commit;
use super::directory::SampleDirectory;
use super::port::{Action, DbId, Severity};
use super::recorder::Resume;
use super::retention;
use super::session::Session;
use super::stream::Stream;
use super::{Cx, DbPurpose, Ending, Nvr, Phase, cx};
use crate::config::Config;
use crate::db::{self, Reply, Request, Snapshot};
use crate::recording::recovery::{Attached, Committed};
use crate::recording::{DirId, GapCause, Recording, StreamId};
use crate::time::{Duration90k, Now};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Ending in good order takes no longer; what is not committed by then is in the journal.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

/// After the start, cameras are asked one after another within this time.
const START_SPREAD: Duration = Duration::from_secs(1);

/// How soon a changed configuration that the database did not take is tried again.
const CONFIGURE_AGAIN: Duration = Duration::from_secs(5);

/// What a full disk gets back at least, so that it is not full again in a moment.
const FREED_WHEN_FULL_BYTES: i64 = 64 << 20;

impl Nvr {
    /// The first step: asks the database for what there is.
    pub(super) fn begin(&mut self, now: Now) {
        self.phase = Phase::Starting;
        let request = Request::Start {
            wall: now.wall,
            sample_dirs: self.config.sample_dirs.clone(),
            cameras: self.config.cameras.clone(),
        };
        let id = self.out.db(request);
        self.requests.insert(id, DbPurpose::Start);
        self.commit = Commit::new(now.monotonic);
    }

    pub(super) fn db_done(&mut self, now: Now, id: DbId, result: Result<Reply, db::Error>) {
        let Err(result) = self.web_answered(now, id, result) else {
            return;
        };
        match (self.requests.remove(&id), result) {
            (Some(DbPurpose::Start), Ok(Reply::Snapshot(snapshot))) => self.started(now, *snapshot),
            (Some(DbPurpose::Configure), Ok(Reply::Snapshot(snapshot))) => {
                self.configured(now, *snapshot);
            }
            (Some(DbPurpose::Start), Err(e)) => {
                self.out
                    .log(Severity::Critical, "database", format!("cannot start: {e}"));
                self.phase = Phase::Stopped;
                self.out.push(Action::Exit);
            }
            (Some(DbPurpose::Calendar(page)), result) => self.calendar_read(now, page, result),
            (Some(DbPurpose::Signals), Ok(reply)) => {
                self.signals_read(reply);
                self.events_begin();
            }
            (Some(DbPurpose::MakeCamera(device)), result) => {
                let result = match result {
                    Ok(Reply::Cameras(reply)) => Ok(reply),
                    Ok(_) => Err("the database answers something else".to_owned()),
                    Err(e) => Err(e.to_string()),
                };
                self.camera_made(now, device, result);
            }
            (Some(DbPurpose::NoteTry(device)), result) => {
                let result = result.map(drop).map_err(|e| e.to_string());
                self.try_noted(now, device, result);
            }
            (Some(DbPurpose::MakeSignal(camera)), result) => self.signal_made(now, camera, result),
            (Some(DbPurpose::Moved), Ok(Reply::Snapshot(snapshot))) => {
                self.cameras_changed(now, &snapshot);
            }
            (Some(DbPurpose::Rights), result) => self.rights_answered(now, result),
            (Some(DbPurpose::Beside), result) => self.beside_answered(now, result),
            (Some(DbPurpose::Configure), Err(e)) => self.not_configured(now, &e),
            (Some(purpose), Err(e)) => {
                if let DbPurpose::DirAttached(dir) = purpose {
                    self.unconfirmed.insert(dir);
                }
                self.out.log(Severity::Error, "database", e.to_string());
            }
            (Some(_), Ok(_)) => {}
            (None, Ok(Reply::Flushed(flushed))) => self.flushed(now, id, *flushed),
            (None, Ok(_)) => {}
            (None, Err(e)) => {
                // Nothing of it was done: the move is still to be made.
                if let Some(by) = self.commit.restamp_under_way(id) {
                    self.restamp = Some(self.restamp.unwrap_or_default() + by);
                }
                if self.commit.failed(id, now.monotonic, e.to_string()) {
                    let message = format!(
                        "the database does not take what was recorded: {e}. It is kept in the \
                         journals on the sample disks meanwhile"
                    );
                    self.out.log(Severity::Error, "database", message);
                }
                self.leave_out_refused(&e);
                self.wake_at(self.commit.next_timeout());
            }
        }
    }

    /// What the database can never take is left out, so that the rest is taken. None of it should
    /// happen; a database that is older than the directories' journals may lead to it.
    fn leave_out_refused(&mut self, error: &db::Error) {
        let left_out = match *error {
            db::Error::DuplicateRecording(id) => self.commit.leave_out(|_, r| r.id == id),
            db::Error::UnknownStream(id) => self.commit.leave_out(|_, r| r.id.stream == id),
            db::Error::UnknownDir(id) => self.commit.leave_out(|dir, _| dir == id),
            _ => return,
        };
        let message = format!(
            "{left_out} recordings are left out because the database can never take them ({error}); \
             `moonfire-nvr check` tells of their files"
        );
        self.out.log(Severity::Critical, "left-out", message);
    }

    /// The database has told what there is: everything begins.
    fn started(&mut self, now: Now, snapshot: Snapshot) {
        let clock = Clock::new(now, snapshot.last_seen);
        if !clock.is_trusted() {
            self.tell_impossible_clock(now);
        }
        self.clock = Some(clock);
        self.phase = Phase::Running;
        self.open = Some(snapshot.open);
        let cause = match snapshot.was_clean {
            true => (GapCause::Restart, "the recorder was stopped"),
            false => (GapCause::Crash, "the recorder ended without notice"),
        };
        if !self.read_only {
            self.commit
                .add_garbage(snapshot.garbage.iter().copied(), |_| false);
        }
        self.last_seen = snapshot.last_seen;
        self.bring_in(now, &snapshot, cause);
        self.begin_calendar();
        self.begin_signals();
        self.begin_onboard(now);
        let streams = self.streams.len();
        let cameras = self.cameras.len();
        let plural = |n| if n == 1 { "" } else { "s" };
        let message = format!(
            "moonfire-nvr {} started: {cameras} camera{}, {streams} stream{}",
            env!("CARGO_PKG_VERSION"),
            plural(cameras),
            plural(streams)
        );
        self.out.log(Severity::Notice, "started", message);
        self.answer_early(now);
        self.wake_at(Some(now.monotonic));
    }

    fn tell_impossible_clock(&mut self, now: Now) {
        let message = format!(
            "the clock shows {}, which cannot be; recording begins all the same and is put right \
             when the clock is set",
            now.wall
        );
        self.out.log(Severity::Warning, "clock", message);
    }

    /// A journal may know of recordings that are newer than all that the database knew at the start.
    /// The recorder's time goes on from there, unless something has been placed in it already.
    fn go_on_from_recovered(&mut self, now: Now, recovered: &[Recording]) {
        let of_before = recovered.iter().filter(|r| Some(r.open) != self.open);
        let Some(newest) = of_before.map(|r| r.start + r.wall_duration).max() else {
            return;
        };
        let Some(clock) = &mut self.clock else { return };
        if self.streams.values().any(|s| s.recorder.has_begun()) {
            return;
        }
        let was_trusted = clock.is_trusted();
        if clock.go_on_from(now, newest) && was_trusted {
            self.tell_impossible_clock(now);
        }
    }

    /// Makes directories and streams what the snapshot says; what did not change goes on.
    pub(super) fn bring_in(&mut self, now: Now, snapshot: &Snapshot, cause: (GapCause, &str)) {
        for note in &snapshot.notes {
            self.out
                .log(Severity::Notice, "configuration", note.clone());
        }
        for row in &snapshot.dirs {
            let read_only = self.read_only;
            self.dirs
                .entry(row.id)
                .or_insert_with(|| SampleDirectory::new(row, snapshot.database, read_only));
        }
        self.devices_are(snapshot);
        let mut cameras = snapshot.cameras.clone();
        self.at_their_addresses(&mut cameras);
        self.cameras_are(&cameras);
        for camera in &cameras {
            for row in &camera.streams {
                self.bring_in_stream(now, camera, row, cause);
            }
        }
        self.dirs_are(snapshot);
        self.events_changed(now);
        let recorded_to: BTreeSet<DirId> = self.streams.values().map(Stream::dir).collect();
        self.buffers
            .share_among(recorded_to.len(), self.streams.len());
    }

    fn bring_in_stream(
        &mut self,
        now: Now,
        camera: &db::Camera,
        row: &db::Stream,
        cause: (GapCause, &str),
    ) {
        let Some(open) = self.open else { return };
        let mut cx = cx!(self, now);
        let mut resume = Resume {
            open,
            committed: Committed {
                next_sequence: row.next_sequence,
                holes: row.holes.clone(),
            },
            media_duration: row.media_duration,
            runs: row.runs,
            told_until: row.told_until.unwrap_or(cx.wall),
            last_end: row.totals.last_end,
            is_new: row.told_until.is_none(),
            clock_untrusted: !cx.clock_trusted,
            cause: cause.0,
            detail: cause.1.to_owned(),
        };
        if let Some(old) = self
            .streams
            .get_mut(&row.id)
            .filter(|s| s.is_as(camera, row))
        {
            old.settings = row.clone();
            return;
        }
        if row.told_until.is_none() {
            (resume.cause, resume.detail) = (GapCause::Restart, "the stream is new".to_owned());
        }
        if self.read_only {
            (resume.cause, resume.detail) = (
                GapCause::User,
                "this recorder only shows what there is".to_owned(),
            );
        } else if !row.record {
            (resume.cause, resume.detail) = (GapCause::User, not_wanted(camera, row).to_owned());
        }
        let mut stream = Stream::new(camera, row, resume);
        if let Some(mut old) = self.streams.remove(&row.id) {
            let why = match row.record {
                true => "its settings were changed",
                false => not_wanted(camera, row),
            };
            if let Some(dir) = self.dirs.get_mut(&old.dir()) {
                old.stop(&mut cx, dir, GapCause::User, why);
            }
            if let Ok(session) = &mut old.session {
                session.hang_up(&mut cx);
            }
            let moved_from = Some(old.dir()).filter(|d| *d != row.dir);
            let name = stream.name.clone();
            stream.recorder = old
                .recorder
                .settings_changed(name, moved_from, row.next_sequence);
            stream.recorder.paused_by_user(why);
        }
        match &mut stream.session {
            Ok(session) if row.record && !self.read_only => {
                session.start_within(&mut cx, START_SPREAD)
            }
            // There is no such stream any more.
            _ if row.url.is_empty() => {}
            Ok(_) => {}
            Err(e) => {
                let message = format!("it cannot be recorded: {e}");
                cx.out
                    .log_stream(Severity::Error, "bad-settings", &stream.name, message);
            }
        }
        if self
            .dirs
            .get(&row.dir)
            .is_some_and(SampleDirectory::is_ready)
        {
            stream.recorder.directory_is_back(None);
        }
        self.streams.insert(row.id, stream);
    }

    /// How far the database, and what is on its way to it, has got with each stream: whichever it records
    /// to, a directory may have something of it from before it was moved.
    pub(super) fn committed(&self) -> BTreeMap<StreamId, Committed> {
        let streams = self.streams.iter();
        streams
            .map(|(id, s)| (*id, s.recorder.committed().clone()))
            .collect()
    }

    /// A directory was attached: takes in what its journal told.
    pub(super) fn directory_attached(&mut self, now: Now, id: DirId, attached: Attached) {
        self.directory_can_be_read(now, id);
        if self.read_only {
            return;
        }
        let request = self.out.db(Request::DirAttached { dir: id });
        self.requests.insert(request, DbPurpose::DirAttached(id));
        let recovered = attached.recovered.len();
        if recovered > 0 {
            let message = format!(
                "{recovered} recordings in progress when the directory was last in use are recovered"
            );
            self.out.log(Severity::Notice, "recovered", message);
            self.commit.hurry();
        }
        self.go_on_from_recovered(now, &attached.recovered);
        for mut recording in attached.recovered {
            let stream = self.streams.get_mut(&recording.id.stream);
            let lacks = |s: &&mut Stream| s.recorder.committed().lacks(recording.id.sequence);
            let Some(stream) = stream.filter(lacks) else {
                let message = format!(
                    "recording {} came back twice, or nothing is known of its stream any more",
                    recording.id
                );
                self.out.log(Severity::Error, "left-out", message);
                continue;
            };
            let of_this_start = Some(recording.open) == self.open;
            let moved = self
                .moved
                .filter(|_| recording.clock_untrusted && of_this_start);
            if stream.recorder.is_late(&recording, moved) {
                let after = stream.recorder.came_late(&recording, moved);
                self.commit.add_late(id, recording, after);
                continue;
            }
            if recording.clock_untrusted && !of_this_start {
                stream.recorder.give_way(&mut recording);
            }
            // It missed the move of the others.
            self.restamp = moved.or(self.restamp);
            if let Some(gap) = stream.recorder.recovered(&recording, moved) {
                self.commit.add_gap(gap);
            }
            self.commit.add_recording(id, recording);
        }
        for (stream_id, stream) in self.streams.iter_mut().filter(|(_, s)| s.dir() == id) {
            let reached = attached.streams.get(stream_id).map(|r| r.next_sequence);
            stream.recorder.directory_is_back(reached);
        }
        self.wake_at(Some(now.monotonic));
    }

    /// What came back late and may be entered with the coming commit, which moves what was made before the
    /// clock was set if it is `restamped`: then, or if that was done, these are at their right time as well.
    fn late(&mut self, restamped: bool) -> Vec<(DirId, Recording)> {
        if self.restamp.is_some() && !restamped {
            return Vec::new();
        }
        let streams = &self.streams;
        let mut late = self.commit.take_late(|recording, after| {
            let stream = streams.get(&recording.id.stream);
            stream.is_none_or(|s| s.recorder.has_settled(after))
        });
        for (_, recording) in &mut late {
            let movable = recording.clock_untrusted && Some(recording.open) == self.open;
            if let Some(by) = self.moved.filter(|_| movable) {
                recording.start = recording.start + by;
                recording.clock_untrusted = false;
            }
        }
        late
    }

    /// Sends a commit if one is due.
    pub(super) fn run_commit(&mut self, now: Now) {
        let due = self
            .commit
            .next_timeout()
            .is_some_and(|t| t <= now.monotonic);
        if !self.may_commit() || self.commit.is_under_way() {
            return;
        }
        // By how much to move is known here only: a power cut before this commit would forget it.
        let moves = || self.commit.trouble().is_none() && self.is_restamp_ready();
        if !due && !moves() {
            return;
        }
        self.tell_gaps(now, false);
        let delete = self.deletions(now);
        let forget = self.forgettable();
        let restamp = self.restamp_if_ready();
        // The last commit of all, which the database did not take at first.
        let last = matches!(
            self.phase,
            Phase::Stopping {
                step: Ending::LastCommit,
                ..
            }
        );
        let late = self.late(restamp.is_some());
        let nothing =
            delete.is_empty() && forget.is_empty() && restamp.is_none() && late.is_empty();
        if !last && !self.commit.has_work() && nothing {
            self.commit.nothing_to_do(now.monotonic);
            return;
        }
        let wall = cx!(self, now).wall;
        self.commit.put_uses(self.web.take_uses());
        self.commit.put_forget(forget);
        self.commit.begin(
            &mut self.out,
            now.monotonic,
            wall,
            late,
            delete,
            restamp,
            last,
        );
    }

    /// Tells gaps that have ended, and of those that go on what is worth telling (`all`: everything).
    fn tell_gaps(&mut self, now: Now, all: bool) {
        let wall = cx!(self, now).wall;
        let trusted = cx!(self, now).clock_trusted;
        for stream in self.streams.values_mut() {
            // What the camera has agreed to send may be on its way for long, and is of before now.
            let session = stream.session.as_ref().ok().filter(|_| !all);
            let sending = session.and_then(Session::playing_since);
            let until = sending.map_or(wall, |since| {
                wall - Duration90k::from(now.monotonic.since(since))
            });
            stream.recorder.tell_gap_so_far(until, trusted, all);
            for gap in stream.recorder.take_gaps() {
                self.commit.add_gap(gap);
            }
        }
    }

    /// What was recorded before the clock was set is to be moved, and all of that is durable.
    fn is_restamp_ready(&self) -> bool {
        let waits = || {
            self.streams.values().any(|s| s.recorder.has_untrusted())
                || self.dirs.values().any(SampleDirectory::has_untrusted)
        };
        self.restamp.is_some() && !waits()
    }

    fn restamp_if_ready(&mut self) -> Option<Duration90k> {
        match self.is_restamp_ready() {
            true => self.restamp.take(),
            false => None,
        }
    }

    /// What is to be deleted with the next commit.
    fn deletions(&mut self, now: Now) -> Vec<db::Delete> {
        let wall = cx!(self, now).wall;
        // What is about to be moved is not to come to lie where it was foretold that older ones are; only a
        // disk that needs room does not wait for that.
        let moves = self.restamp.is_some();
        let mut delete = Vec::new();
        for (id, dir) in &self.dirs {
            let streams: Vec<retention::Stream> = self
                .streams
                .values()
                .filter(|s| s.dir() == *id)
                .map(|s| retention::Stream {
                    id: s.settings.id,
                    totals: s.settings.totals,
                    retain_bytes: s.settings.retain_bytes.filter(|_| !moves),
                    retain_days: s.settings.retain_days.filter(|_| !moves),
                    adding_bytes: self.commit.pending_bytes(s.settings.id),
                })
                .collect();
            let at_least = match self.full.contains(id) && self.commit.garbage_bytes(*id) == 0 {
                true => FREED_WHEN_FULL_BYTES,
                false => 0,
            };
            delete.extend(retention::plan(&retention::Directory {
                id: *id,
                space: dir.space().filter(|_| dir.is_ready()),
                reserve: self.config.reserve,
                garbage_bytes: self.commit.garbage_bytes(*id),
                at_least_bytes: at_least,
                now: wall,
                streams: &streams,
            }));
        }
        self.full.clear();
        delete
    }

    fn flushed(&mut self, now: Now, id: DbId, flushed: db::Flushed) {
        let Some(flush) = self.commit.succeeded(id) else {
            return;
        };
        for (stream, totals) in flushed.totals {
            if let Some(stream) = self.streams.get_mut(&stream) {
                stream.settings.totals = totals;
            }
        }
        self.cameras_forgotten(&flushed.forgotten);
        self.go_on_deleting(&flush, &flushed.garbage);
        self.calendar_committed(&flush, &flushed.garbage);
        self.recordings_gone(&flushed.garbage);
        self.dirs_unused(now, &flushed.unused_dirs);
        let web = &self.web;
        self.commit
            .add_garbage(flushed.garbage, |id| web.is_reading(id));
        if let (true, Phase::Stopping { step, .. }) = (flush.clean_shutdown, &mut self.phase) {
            *step = Ending::Closing;
            self.wake_at(Some(now.monotonic));
            return;
        }
        for dir in std::mem::take(&mut self.unconfirmed) {
            let request = self.out.db(Request::DirAttached { dir });
            self.requests.insert(request, DbPurpose::DirAttached(dir));
        }
        let running = self.phase == Phase::Running;
        let mut cx = cx!(self, now);
        for (id, dir) in &mut self.dirs {
            let unlinks = dir.is_ready() && running;
            self.commit.unlink_if(cx.out, *id, unlinks);
            dir.ask_space(&mut cx);
        }
        self.wake_at(self.commit.next_timeout());
    }

    /// The configuration was read again. What of it the database has to know is in force once it does.
    pub(super) fn reload(&mut self, now: Now, config: Config) {
        let may = matches!(self.phase, Phase::New | Phase::Starting | Phase::Running);
        if !may || self.read_only {
            return;
        }
        // Who may see what is told by the order of the addresses.
        let serves_otherwise = self.config.http != config.http;
        self.config = config;
        if self.phase == Phase::New {
            return;
        }
        if serves_otherwise {
            self.close_clients(now, "how the page is served was changed");
        }
        self.reload_onboard(now);
        self.configure_at = Some(now.monotonic);
        self.wake_at(self.configure_at);
    }

    /// Asks the database to take in the changed configuration, once it runs, until it does.
    pub(super) fn configure_if_due(&mut self, now: Now) {
        let due = self.configure_at.is_some_and(|t| t <= now.monotonic);
        if !due || self.phase != Phase::Running {
            return;
        }
        self.configure_at = None;
        let request = Request::Configure {
            wall: cx!(self, now).wall,
            sample_dirs: self.config.sample_dirs.clone(),
            cameras: self.config.cameras.clone(),
        };
        let id = self.out.db(request);
        self.requests.insert(id, DbPurpose::Configure);
    }

    fn not_configured(&mut self, now: Now, error: &db::Error) {
        self.configure_at = Some(now.monotonic + CONFIGURE_AGAIN);
        self.wake_at(self.configure_at);
        let why = error.to_string();
        if self.configure_trouble.as_ref() != Some(&why) {
            let message = format!(
                "the changed configuration is not in force yet, because the database does not take \
                 it: {why}; it is tried again"
            );
            self.out.log(Severity::Error, "configuration", message);
            self.configure_trouble = Some(why);
        }
    }

    fn configured(&mut self, now: Now, snapshot: Snapshot) {
        self.configure_trouble = None;
        self.bring_in(now, &snapshot, (GapCause::User, "it is new"));
        self.begin_calendar();
        self.out.log(
            Severity::Notice,
            "configuration",
            "the changed configuration is in force".into(),
        );
        self.wake_at(Some(now.monotonic));
    }

    /// Begins to end in good order.
    pub(super) fn shut_down(&mut self, now: Now) {
        match self.phase {
            Phase::Stopping { .. } | Phase::Stopped => return,
            Phase::New | Phase::Starting => {
                self.phase = Phase::Stopped;
                self.out.push(Action::Exit);
                return;
            }
            Phase::Running => {}
        }
        let deadline = now.monotonic + SHUTDOWN_LIMIT;
        self.phase = Phase::Stopping {
            deadline,
            step: Ending::Finishing,
        };
        self.out.log(
            Severity::Notice,
            "stopping",
            "the recorder is being stopped".into(),
        );
        self.out.push(Action::Status("stopping".to_owned()));
        let mut cx = cx!(self, now);
        for stream in self.streams.values_mut() {
            if let Some(dir) = self.dirs.get_mut(&stream.settings.dir) {
                stream.stop(&mut cx, dir, GapCause::Restart, "the recorder was stopped");
            }
        }
        self.dirs.values_mut().for_each(SampleDirectory::wind_down);
        self.wake_at(Some(now.monotonic));
    }

    /// While ending: the last commit once all is durable, then the exit once the disks have answered
    /// what was asked before.
    pub(super) fn run_shutdown(&mut self, now: Now) {
        match self.phase {
            Phase::Stopping { deadline, .. } if now.monotonic >= deadline => {
                let message =
                    "not everything could be put away in time; the next start recovers it";
                self.out
                    .log(Severity::Warning, "stopped", message.to_owned());
                self.exit();
            }
            Phase::Stopping {
                deadline,
                step: Ending::Finishing,
            } => {
                let idle = self.dirs.values().all(SampleDirectory::is_idle);
                if self.read_only {
                    self.finish_shutdown(now);
                } else if idle && !self.commit.is_under_way() {
                    self.phase = Phase::Stopping {
                        deadline,
                        step: Ending::LastCommit,
                    };
                    self.tell_gaps(now, true);
                    let restamp = self.restamp_if_ready();
                    let late = self.late(restamp.is_some());
                    let wall = cx!(self, now).wall;
                    self.commit.put_uses(self.web.take_uses());
                    self.commit.begin(
                        &mut self.out,
                        now.monotonic,
                        wall,
                        late,
                        Vec::new(),
                        restamp,
                        true,
                    );
                }
            }
            Phase::Stopping {
                step: Ending::Closing,
                ..
            } if !self.out.awaits_disk() => self.finish_shutdown(now),
            _ => {}
        }
    }

    fn finish_shutdown(&mut self, now: Now) {
        let mut cx: Cx<'_> = cx!(self, now);
        for dir in self.dirs.values_mut() {
            dir.close(&mut cx);
        }
        self.out.log(
            Severity::Notice,
            "stopped",
            "the recorder has stopped".to_owned(),
        );
        self.exit();
    }

    fn exit(&mut self) {
        self.phase = Phase::Stopped;
        self.out.push(Action::Exit);
    }

    /// Tells the service manager when everything was tried once, and how recording goes.
    pub(super) fn tell_ready(&mut self) {
        if !self.told_ready
            && self.phase == Phase::Running
            && self.dirs.values().all(SampleDirectory::is_settled)
        {
            self.told_ready = true;
            self.out.push(Action::Ready);
        }
        let wanted = self.streams.values().filter(|s| s.settings.record).count();
        let recorded = self
            .streams
            .values()
            .filter(|s| s.recorder.is_recording())
            .count();
        if self.phase == Phase::Running && self.told_status != Some((recorded, wanted)) {
            self.told_status = Some((recorded, wanted));
            let status = format!("{recorded} of {wanted} streams recording");
            self.out.push(Action::Status(status));
        }
    }
}

/// Why a stream that is not to be recorded is not.
fn not_wanted(camera: &db::Camera, row: &db::Stream) -> &'static str {
    match (camera.removed, row.url.is_empty()) {
        (Some(_), _) => "the camera was removed",
        (None, true) => "the stream was removed",
        (None, false) => "recording is turned off",
    }
}
