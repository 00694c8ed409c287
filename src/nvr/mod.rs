//! The whole daemon as one state machine without I/O.
//!
//! [`Nvr`] takes an [`Event`] and the time and answers with [`Action`]s. It asks for no time, entropy,
//! socket or file itself. Two shells drive it: [`crate::reactor`] for real, [`crate::sim`] in a seeded
//! world. Read in this order: [`port`] (the border), this file (who gets what), [`stream`] with
//! [`session`] and [`recorder`] (camera to recording), [`directory`] (recording to disk), [`commit`]
//! (to the database, and deleting).

mod absence;
mod advice;
mod backoff;
mod beside;
mod buffers;
pub mod camera_test;
mod cameras;
mod clock;
mod commit;
mod directory;
mod disk_health;
mod lifecycle;
mod log_book;
mod onboard;
mod open_file;
mod outbox;
pub mod port;
mod reached;
mod recorder;
mod retention;
mod session;
mod sink;
mod status;
mod stream;
mod trial;
mod unused;
mod web;

pub use log_book::ACCESS;
pub use recorder::{STREAM_BACKLOG_BYTES, TOTAL_BACKLOG_BYTES};
pub use status::{DirStatus, Status, StreamStatus};
pub use web::files_for_reading;

use crate::config::Config;
use crate::db;
use crate::recording::{DirId, OpenId, StreamId};
use crate::time::{Duration90k, Monotonic, Now, Wall90k};
use buffers::Buffers;
use clock::{Clock, ClockChange};
use commit::Commit;
use directory::{Outcome, SampleDirectory};
use outbox::{Outbox, Owner, Purpose};
use port::{Action, ConnId, Core, DbId, DiskError, DiskReply, Event, OpId, Severity};
use rand_core::SeedableRng;
use rand_pcg::Pcg32;
use sink::ToRecorder;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use stream::Stream;

/// What every part of the core works with while it handles an event.
struct Cx<'a> {
    now: Now,
    /// The recorder's wall time: `now.wall`, unless that cannot be trusted.
    wall: Wall90k,
    clock_trusted: bool,
    /// The database keeps up: recordings may be begun.
    database_ready: bool,
    out: &'a mut Outbox,
    rng: &'a mut Pcg32,
    buffers: &'a mut Buffers,
}

/// How far the daemon has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was asked yet.
    New,
    /// The database was asked for what there is.
    Starting,
    Running,
    /// Ending in good order, until the deadline at most.
    Stopping {
        deadline: Monotonic,
        step: Ending,
    },
    Stopped,
}

/// How far the end has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// What was recorded is made durable.
    Finishing,
    /// The last commit is under way, or is to be tried again.
    LastCommit,
    /// Disk operations are still to be answered.
    Closing,
}

/// What a database request under way, other than a commit, is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DbPurpose {
    Start,
    Configure,
    DirAttached(DirId),
    Calendar(web::CalendarPage),
    Signals,
    /// Whether what somebody watches by still holds.
    Rights,
    /// What is noted of devices and their states.
    Device,
    /// That this device is shown an account.
    NoteTry(u32),
    /// A camera is made of this device.
    MakeCamera(u32),
    /// A signal of the camera in this row is made.
    MakeSignal(i32),
    /// A camera has another address: all is brought in anew.
    Moved,
    /// What another program has changed.
    Beside,
}

/// See the module.
pub struct Nvr {
    config: Config,
    rng: Pcg32,
    out: Outbox,
    buffers: Buffers,
    clock: Option<Clock>,
    phase: Phase,
    open: Option<OpenId>,
    streams: BTreeMap<StreamId, Stream>,
    dirs: BTreeMap<DirId, SampleDirectory>,
    /// Cameras in the database's order, for the pages.
    cameras: Vec<db::Camera>,
    /// Those that were removed: of some, recordings are kept, and these are among [`Self::cameras`] too.
    removed: Vec<db::Camera>,
    commit: Commit,
    requests: BTreeMap<DbId, DbPurpose>,
    /// The configuration is still to be brought into the database, then.
    configure_at: Option<Monotonic>,
    /// Why that failed.
    configure_trouble: Option<String>,
    /// The clock was set: so much is to be added to what was recorded before, once all of it is
    /// durable.
    restamp: Option<Duration90k>,
    /// The clock was set since the start: by so much what was recorded before was or is moved.
    moved: Option<Duration90k>,
    /// Directories that are full: to be freed with the next commit.
    full: BTreeSet<DirId>,
    /// Directories of which the database could not be told that they have their marker: told again.
    unconfirmed: BTreeSet<DirId>,
    /// Directories that are not needed any more: put away once nothing is under way in them.
    unused: BTreeSet<DirId>,
    /// Nothing is recorded or changed: what there is can be looked at.
    read_only: bool,
    /// The shell was told that all is set up.
    told_ready: bool,
    /// How many streams are recorded, of how many, as the service manager was told.
    told_status: Option<(usize, usize)>,
    web: web::Web,
    onboard: onboard::Onboard,
    /// When the database was last used before this start.
    last_seen: Option<Wall90k>,
    trial: trial::Trial,
    beside: beside::Beside,
    /// The user that the program runs as, if the shell has told.
    own_uid: Option<u32>,
    /// When something is to be done without an event; may be earlier than need be.
    wake: Option<Monotonic>,
    stats: Option<port::ReactorStats>,
    started: Option<Now>,
}

/// Splits `self` into the context and what is beside it.
macro_rules! cx {
    ($self:ident, $now:expr) => {
        Cx {
            now: $now,
            wall: $self.clock.as_ref().map_or($now.wall, |c| c.wall($now)),
            clock_trusted: $self.clock.as_ref().is_some_and(Clock::is_trusted),
            database_ready: $self.phase == Phase::Running && !$self.commit.is_overfull(),
            out: &mut $self.out,
            rng: &mut $self.rng,
            buffers: &mut $self.buffers,
        }
    };
}
pub(crate) use cx;

impl Nvr {
    /// A daemon of this configuration; `seed` is where its jitter comes from. The first event, a
    /// [`Event::Timeout`] at once, makes it begin.
    pub fn new(config: Config, seed: u64) -> Nvr {
        Nvr {
            config,
            rng: Pcg32::seed_from_u64(seed),
            out: Outbox::default(),
            buffers: Buffers::default(),
            clock: None,
            phase: Phase::New,
            open: None,
            streams: BTreeMap::new(),
            dirs: BTreeMap::new(),
            cameras: Vec::new(),
            removed: Vec::new(),
            commit: Commit::new(Monotonic(0)),
            requests: BTreeMap::new(),
            configure_at: None,
            configure_trouble: None,
            restamp: None,
            moved: None,
            full: BTreeSet::new(),
            unconfirmed: BTreeSet::new(),
            unused: BTreeSet::new(),
            read_only: false,
            told_ready: false,
            told_status: None,
            web: web::Web::default(),
            onboard: onboard::Onboard::default(),
            last_seen: None,
            trial: trial::Trial::default(),
            beside: beside::Beside::default(),
            own_uid: None,
            wake: Some(Monotonic(0)),
            stats: None,
            started: None,
        }
    }

    /// The same, that only shows what there is: it asks no camera and writes to no disk.
    pub fn read_only(config: Config, seed: u64) -> Nvr {
        Nvr {
            read_only: true,
            ..Nvr::new(config, seed)
        }
    }

    /// Tells which user the program runs as: a UNIX socket may let that one do everything.
    pub fn set_own_uid(&mut self, uid: u32) {
        self.own_uid = Some(uid);
    }

    /// Tells how many descriptors the process may have: so many files are kept open at most.
    pub fn set_descriptors(&mut self, limit: usize) {
        self.web.set_descriptors(limit);
    }

    /// Something is to be done at `at`.
    fn wake_at(&mut self, at: Option<Monotonic>) {
        self.wake = [self.wake, at].into_iter().flatten().min();
    }

    /// Lets one stream's session do something.
    fn with_stream(
        &mut self,
        now: Now,
        id: StreamId,
        f: impl FnOnce(
            &mut session::Session,
            &mut Cx<'_>,
            &mut recorder::Recorder,
            &mut SampleDirectory,
        ) -> Result<(), session::Lost>,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let Some(dir) = self.dirs.get_mut(&stream.dir()) else {
            return;
        };
        let mut cx = cx!(self, now);
        stream.with_session(&mut cx, dir, f);
        for gap in stream.recorder.take_gaps() {
            self.commit.add_gap(gap);
        }
        let wake = [stream.next_timeout(), dir.next_timeout()]
            .into_iter()
            .flatten()
            .min();
        self.wake_at(wake);
        self.send_frames(now, id);
        self.hls_recorded(now, id);
        self.recorded_early(now);
    }

    fn owner_stream(&self, conn: ConnId) -> Option<StreamId> {
        match self.out.owner(conn)? {
            Owner::Stream(id) => Some(id),
            Owner::Http | Owner::Test(_) | Owner::Onboard(_) => None,
        }
    }

    fn dispatch(&mut self, now: Now, event: Event<'_>) {
        let Some(event) = self.not_of_test(now, event) else {
            return;
        };
        let Some(event) = self.not_of_onboard(now, event) else {
            return;
        };
        match event {
            Event::Timeout => {}
            Event::Resolved { lookup, result } => {
                if let Some(Owner::Stream(id)) = self.out.lookup_done(lookup) {
                    self.with_stream(now, id, |s, cx, _, _| s.resolved(cx, lookup, result));
                }
            }
            Event::Connected { conn } => {
                if let Some(id) = self.owner_stream(conn) {
                    self.with_stream(now, id, |s, cx, _, _| s.connected(cx, conn));
                }
            }
            Event::Received { conn, bytes } => match self.out.owner(conn) {
                Some(Owner::Stream(id)) => {
                    self.with_stream(now, id, |s, cx, recorder, dir| {
                        s.received(cx, bytes, &mut ToRecorder { recorder, dir })
                    });
                }
                Some(Owner::Http) => self.http_event(now, Event::Received { conn, bytes }),
                Some(Owner::Test(_) | Owner::Onboard(_)) | None => {}
            },
            Event::Datagram { conn, bytes, .. } => {
                if let Some(id) = self.owner_stream(conn) {
                    self.with_stream(now, id, |s, cx, recorder, dir| {
                        s.datagram(cx, conn, bytes, &mut ToRecorder { recorder, dir });
                        Ok(())
                    });
                }
            }
            Event::Drained { conn } => self.http_event(now, Event::Drained { conn }),
            Event::Draining { conn } => self.http_event(now, Event::Draining { conn }),
            Event::Sending { conn } => self.http_event(now, Event::Sending { conn }),
            Event::InputEnded { conn } => self.http_event(now, Event::InputEnded { conn }),
            Event::Closed { conn, reason } => {
                let owner = self.out.owner(conn);
                self.out.forget_conn(conn);
                match owner {
                    Some(Owner::Stream(id)) => {
                        self.with_stream(now, id, |s, cx, _, _| s.closed(cx, conn, reason));
                    }
                    Some(Owner::Http) => self.http_event(now, Event::Closed { conn, reason }),
                    Some(Owner::Test(_) | Owner::Onboard(_)) | None => {}
                }
            }
            Event::UdpBound { rtp, rtcp, result } => {
                if let Some(id) = self.owner_stream(rtp) {
                    if result.is_err() {
                        self.out.forget_conn(rtp);
                        self.out.forget_conn(rtcp);
                    }
                    self.with_stream(now, id, |s, cx, _, _| s.udp_bound(cx, rtp, result));
                }
            }
            Event::Accepted {
                conn,
                listener,
                peer,
                uid,
                tls,
            } => {
                let origin = web::Origin {
                    listener,
                    peer,
                    uid,
                    tls,
                };
                self.accepted(now, conn, origin);
            }
            Event::Disk { op, result, buffer } => self.disk_done(now, op, result, buffer),
            Event::Db { id, result } => self.db_done(now, id, result),
            Event::Steward { id, result } => self.steward_answered(now, id, result),
            Event::Helper { id, result } => {
                if !self.onboard_helped(id, &result) {
                    self.helper_answered(now, id, result);
                }
            }
            // It was onboarding's.
            Event::Interfaces(_) => {}
            Event::Stats(stats) => self.stats = Some(stats.clone()),
            Event::Logged(record) => self.out.log_book.add(self.out.wall, &record),
            Event::Reload(config) => self.reload(now, *config),
            Event::Shutdown => self.shut_down(now),
        }
    }

    fn disk_done(
        &mut self,
        now: Now,
        op: OpId,
        result: Result<DiskReply, DiskError>,
        buffer: Option<Vec<u8>>,
    ) {
        let Some(pending) = self.out.disk_done(op) else {
            return;
        };
        if matches!(self.phase, Phase::Stopping { .. }) {
            self.wake_at(Some(now.monotonic));
        }
        match pending.purpose {
            Purpose::OpenForReading(file) => {
                return self.opened_for_reading(now, file, result.map(|_| ()));
            }
            Purpose::ReadFor(conn) => return self.sample_read(now, conn, result),
            _ => {}
        }
        match pending.purpose {
            Purpose::UnlinkGarbage if result.is_ok() => {
                self.commit.unlinked_one(&mut self.out, pending.dir);
                return;
            }
            Purpose::SyncGarbage if result.is_ok() => {
                let goes_on = self.phase == Phase::Running;
                self.commit
                    .unlinked_all(&mut self.out, pending.dir, goes_on);
                // What is no longer garbage must show as free at once, or it would be freed again.
                self.space_was_made(now, pending.dir);
                return;
            }
            _ => {}
        }
        let Some(dir) = self.dirs.get_mut(&pending.dir) else {
            return;
        };
        let mut cx = cx!(self, now);
        let outcome = dir.disk_done(&mut cx, pending.purpose, result, buffer);
        let wake = dir.next_timeout();
        self.wake_at(wake);
        self.directory_outcome(now, pending.dir, outcome);
        self.hls_written(now, pending.dir);
        self.recorded_early(now);
    }

    fn space_was_made(&mut self, now: Now, id: DirId) {
        let Some(dir) = self.dirs.get_mut(&id) else {
            return;
        };
        let mut cx = cx!(self, now);
        dir.space_was_made(&mut cx);
        dir.ask_space(&mut cx);
    }

    /// Acts on what came of a disk operation.
    fn directory_outcome(&mut self, now: Now, id: DirId, outcome: Outcome) {
        for durable in outcome.durable {
            if let Some(stream) = self.streams.get_mut(&durable.recording.id.stream) {
                let recorder = &mut stream.recorder;
                recorder.durable(&durable.recording, self.moved);
            }
            if self.is_being_deleted(durable.recording.id.stream) {
                self.commit.hurry();
                self.wake_at(Some(now.monotonic));
            }
            durable.gap.into_iter().for_each(|g| self.commit.add_gap(g));
            self.commit.add_recording(id, durable.recording);
        }
        if let Some(attached) = outcome.attached {
            self.directory_attached(now, id, *attached);
        }
        if let Some(reason) = outcome.lost {
            self.directory_lost(now, id, &reason);
        }
        if outcome.full && self.full.insert(id) {
            self.stop_reading_garbage(id);
            self.commit.hurry();
            self.wake_at(Some(Monotonic(0)));
        }
    }

    fn directory_lost(&mut self, now: Now, id: DirId, reason: &str) {
        self.stop_reading(now, id);
        self.commit.directory_lost(id);
        self.full.remove(&id);
        for stream in self.streams.values_mut() {
            match stream.dir() == id {
                true => stream.recorder.abandon(reason),
                false => stream.recorder.left_behind(id, reason),
            }
        }
    }

    /// Something happened to the clock.
    fn clock_changed(&mut self, now: Now, change: ClockChange) {
        let (severity, message) = match change {
            ClockChange::Set(by) => {
                self.restamp = Some(self.restamp.unwrap_or_default() + by);
                self.moved = Some(by);
                (
                    Severity::Notice,
                    format!("the clock is set; what was recorded before is moved by {by}"),
                )
            }
            ClockChange::Stepped(by) => {
                (Severity::Warning, format!("the clock was stepped by {by}"))
            }
            ClockChange::Lost => (
                Severity::Warning,
                "the clock shows a time that cannot be; recording goes on without it".to_owned(),
            ),
        };
        self.out.log(severity, "clock", message);
        for stream in self.streams.values_mut() {
            stream.recorder.clock_changed(change);
        }
        self.wake_at(Some(now.monotonic));
    }

    /// Does what is due without an event.
    fn run_timers(&mut self, now: Now) {
        self.wake = None;
        if self.phase == Phase::New {
            self.begin(now);
        }
        let due: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, s)| s.next_timeout().is_some_and(|t| t <= now.monotonic))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.with_stream(now, id, |s, cx, recorder, dir| {
                s.handle_timeout(cx, &mut ToRecorder { recorder, dir })
            });
        }
        let mut next = self.dirs.keys().next().copied();
        while let Some(id) = next {
            self.run_directory(now, id);
            let after = (Bound::Excluded(id), Bound::Unbounded);
            next = self.dirs.range(after).next().map(|(id, _)| *id);
        }
        self.http_timeouts(now);
        self.onboard_timeouts(now);
        self.configure_if_due(now);
        self.look_beside(now);
        self.run_commit(now);
        self.put_away_unused(now);
        self.run_shutdown(now);
        self.tell_ready();
        if self.phase == Phase::Running && !self.read_only {
            self.run_trial(now);
        }
        self.wake = self.next_due();
    }

    fn run_directory(&mut self, now: Now, id: DirId) {
        let wants_attach = self
            .dirs
            .get(&id)
            .is_some_and(|d| d.wants_attach(now.monotonic));
        let committed = if wants_attach {
            self.committed()
        } else {
            BTreeMap::new()
        };
        // What a hanging disk still has of before must not meet what recovery makes of its files.
        let busy = wants_attach && self.out.has_operations(id);
        let Some(dir) = self.dirs.get_mut(&id) else {
            return;
        };
        let mut cx = cx!(self, now);
        if busy {
            dir.look_later(now.monotonic);
        } else if wants_attach {
            dir.attach(&mut cx, committed);
        }
        dir.handle_timeout(&mut cx);
        if dir.round_due(now.monotonic) {
            let ours = |s: &&mut Stream| s.dir() == id;
            for stream in self.streams.values_mut().filter(ours) {
                stream.recorder.hand_over(&mut cx, dir);
            }
            let streams = self.streams.values_mut().filter(ours);
            let open = streams.filter_map(|s| s.recorder.writer());
            dir.checkpoint(&mut cx, open, self.commit.pending_in(id));
            dir.begin_round(&mut cx, self.config.sync_interval);
        }
        let unlinks = dir.is_ready() && self.phase == Phase::Running;
        self.commit.unlink_if(&mut self.out, id, unlinks);
    }

    /// Something may be sent to the database when it is due.
    fn may_commit(&self) -> bool {
        let phase_allows = match self.phase {
            Phase::Running => true,
            Phase::Stopping { step, .. } => step != Ending::Closing,
            Phase::New | Phase::Starting | Phase::Stopped => false,
        };
        phase_allows && !self.read_only
    }

    fn next_due(&self) -> Option<Monotonic> {
        let streams = self.streams.values().filter_map(Stream::next_timeout);
        let dirs = self.dirs.values().filter_map(SampleDirectory::next_timeout);
        let commit = Some(&self.commit).filter(|_| self.may_commit());
        let commit = commit.and_then(Commit::next_timeout);
        let stopping = match self.phase {
            Phase::Stopping { deadline, .. } => Some(deadline),
            Phase::New => Some(Monotonic(0)),
            _ => None,
        };
        let clients = self.web.next_timeout();
        let onboard = self.onboard.next_timeout();
        let onboard = onboard.filter(|_| self.phase == Phase::Running);
        let running = self.phase == Phase::Running;
        let trial = self.trial.next_timeout();
        let trial = trial.filter(|_| self.phase == Phase::Running);
        let configure = self.configure_at.filter(|_| running);
        let beside = self.beside.next_timeout().filter(|_| running);
        streams
            .chain(dirs)
            .chain(clients)
            .chain(onboard)
            .chain(commit)
            .chain(configure)
            .chain(trial)
            .chain(beside)
            .chain(stopping)
            .min()
    }
}

impl Core for Nvr {
    fn handle(&mut self, now: Now, event: Event<'_>) {
        if self.phase == Phase::Stopped {
            return;
        }
        self.started.get_or_insert(now);
        self.out.wall = self.clock.as_ref().map_or(now.wall, |c| c.wall(now));
        if let Some(change) = self.clock.as_mut().and_then(|c| c.observe(now)) {
            self.clock_changed(now, change);
        }
        self.dispatch(now, event);
        if self.wake.is_some_and(|t| t <= now.monotonic) {
            self.run_timers(now);
        }
        self.tell_lines(now);
    }

    fn next_action(&mut self) -> Option<Action> {
        self.out.pop()
    }

    fn next_timeout(&self) -> Option<Monotonic> {
        match self.phase {
            Phase::Stopped => None,
            _ => self.wake,
        }
    }

    fn allocate_conn(&mut self) -> ConnId {
        self.out.conn(Owner::Http)
    }
}

#[cfg(test)]
mod tests;
