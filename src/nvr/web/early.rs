//! Requests that come right after the start, for what is about to be there: the database that tells which cameras
//! there are, a disk that is looked at for the first time, a camera that is being connected to.
//!
//! They wait, [`LIMIT`] at most: a page or a player that was open while the recorder was started anew should not
//! see an error for that. Later a disk that is away is away, and a camera that is not recorded is not recorded.

use super::given_up::{AWAY, HANGS};
use super::sample_files::{Found, SampleFiles};
use super::task::{Came, Place, Task};
use super::view::View;
use super::{Asking, Doing, Stage};
use crate::http::Request;
use crate::nvr::outbox::Purpose;
use crate::nvr::port::{ConnId, DiskRequest};
use crate::nvr::{Nvr, Phase};
use crate::recording::{DirId, StreamId};
use crate::time::{Monotonic, Now};
use std::sync::Arc;
use std::time::Duration;

/// How long a request waits. Recovery takes a second or two, a camera's first sync sample up to a GOP.
const LIMIT: Duration = Duration::from_secs(10);

/// A request that has come early.
pub struct Early {
    wants: Wants,
    /// Then it is answered with what there is.
    pub until: Monotonic,
}

/// What it waits for.
pub enum Wants {
    /// Nothing was looked into yet: that the database has told what there is.
    Start,
    /// A virtual file is known: the directories that it lies in.
    File {
        head: Vec<(&'static str, String)>,
        view: Arc<View>,
    },
    /// A task wants a sample: its directory.
    Sample { task: Task, place: Place },
    /// A task is about what is being recorded of one of these streams: that something is.
    Recorded { task: Task, of: Vec<StreamId> },
}

impl Early {
    pub fn file(now: Now, head: Vec<(&'static str, String)>, view: Arc<View>) -> Early {
        Early {
            wants: Wants::File { head, view },
            until: now.monotonic + LIMIT,
        }
    }
}

impl Nvr {
    /// The database has told what there is.
    pub(in crate::nvr) fn answer_early(&mut self, now: Now) {
        let waiting = self.early(|wants| matches!(wants, Wants::Start));
        self.look_into_all(now, waiting);
    }

    /// What a request wants that comes before the database has told what there is.
    pub(super) fn early_start(&self, now: Now) -> Option<Early> {
        let starting = matches!(self.phase, Phase::New | Phase::Starting);
        let until = self.early_until().filter(|until| now.monotonic < *until)?;
        let wants = Wants::Start;
        starting.then_some(Early { wants, until })
    }

    /// A directory was attached: what is in it can be read.
    pub(in crate::nvr) fn directory_can_be_read(&mut self, now: Now, dir: DirId) {
        self.web.files.dir_is_here(dir);
        self.look_into_early(now);
    }

    /// Something was recorded, or written: those who wait for the first of a stream are looked into.
    pub(in crate::nvr) fn recorded_early(&mut self, now: Now) {
        if self.is_early(now).is_some() {
            let recorded = |of: &[StreamId]| of.iter().any(|id| self.has_uncommitted(*id));
            let waiting =
                self.early(|wants| matches!(wants, Wants::Recorded { of, .. } if recorded(of)));
            self.look_into_all(now, waiting);
        }
    }

    /// Up to when what is recorded of a stream may still be about to begin.
    fn is_early(&self, now: Now) -> Option<Monotonic> {
        let until = self.early_until()?;
        (now.monotonic < until && !self.read_only).then_some(until)
    }

    fn early_until(&self) -> Option<Monotonic> {
        Some(self.started?.monotonic + LIMIT)
    }

    /// Looks again into requests that wait for a directory.
    pub(super) fn look_into_early(&mut self, now: Now) {
        let waiting =
            self.early(|wants| matches!(wants, Wants::File { .. } | Wants::Sample { .. }));
        self.look_into_all(now, waiting);
    }

    fn look_into_all(&mut self, now: Now, conns: Vec<ConnId>) {
        for conn in conns {
            self.look_into(now, conn);
        }
    }

    /// The connections that wait for such things.
    fn early(&self, wanted: impl Fn(&Wants) -> bool) -> Vec<ConnId> {
        let waits = |doing: &Doing| match doing {
            Doing::Asking(asking) => match &asking.stage {
                Stage::Early(early) => wanted(&early.wants),
                _ => false,
            },
            _ => false,
        };
        let clients = self.web.clients.iter();
        let waiting = clients.filter(|(_, c)| waits(&c.doing));
        waiting.map(|(conn, _)| *conn).collect()
    }

    /// Has a task wait if it is about what is being recorded, nothing is yet, and the recorder has just
    /// started; else gives it back.
    pub(super) fn unless_early(&mut self, now: Now, task: Task) -> Result<Task, Box<Early>> {
        let (Some(until), Some(of)) = (self.is_early(now), task.of_recorded()) else {
            return Ok(task);
        };
        // One that is not to be recorded need not be waited for.
        let mut known = of
            .iter()
            .filter(|id| self.streams.contains_key(*id))
            .peekable();
        let nobody = known.peek().is_none();
        if nobody || known.any(|id| self.has_uncommitted(*id)) {
            return Ok(task);
        }
        let wants = Wants::Recorded { task, of };
        Err(Box::new(Early { wants, until }))
    }

    /// Goes on with a request that waits, or has it wait on.
    pub(super) fn go_on_early(&mut self, now: Now, conn: ConnId, request: Request, early: Early) {
        let until = early.until;
        match early.wants {
            Wants::Start => self.answer(now, conn, request),
            Wants::File { head, view } => {
                let mut dirs = view.file.dirs().iter();
                if now.monotonic < until && dirs.any(|dir| self.is_about_to_be_attached(*dir)) {
                    let wants = Wants::File { head, view };
                    return self.wait_early(conn, request, Early { wants, until });
                }
                self.send_file(now, conn, &request, head, &view);
            }
            Wants::Sample { task, place } => {
                let stage = Stage::Working(task);
                self.set_asking(conn, Asking { request, stage });
                self.read_sample(now, conn, place, Some(until));
            }
            Wants::Recorded { task, .. } => {
                let stage = Stage::Working(task);
                self.set_asking(conn, Asking { request, stage });
                self.look_into(now, conn);
            }
        }
    }

    /// Has a request wait for what it wants.
    pub(super) fn wait_early(&mut self, conn: ConnId, request: Request, early: Early) {
        self.wake_at(Some(early.until));
        let stage = Stage::Early(Box::new(early));
        self.set_asking(conn, Asking { request, stage });
    }

    /// Reads a sample for a connection's task. A directory that is looked at for the first time is waited
    /// for, up to `until` (or [`LIMIT`] from now on).
    pub(super) fn read_sample(
        &mut self,
        now: Now,
        conn: ConnId,
        place: Place,
        until: Option<Monotonic>,
    ) {
        let until = until.unwrap_or(now.monotonic + LIMIT);
        let file = match self.web.files.get(&mut self.out, place.dir, place.id, conn) {
            Found::Open(file) if !SampleFiles::hangs(&self.out, place.dir) => file,
            Found::Open(_) | Found::Hangs => {
                return self.came(now, conn, Came::Sample(Err(HANGS.to_owned())));
            }
            Found::Opening => return,
            Found::Away if now.monotonic < until && self.is_about_to_be_attached(place.dir) => {
                return self.wait_with_task(conn, until, |task| Wants::Sample { task, place });
            }
            Found::Away => return self.came(now, conn, Came::Sample(Err(AWAY.to_owned()))),
        };
        let request = DiskRequest::Read {
            file,
            offset: u64::from(place.range.start),
            len: place.range.end - place.range.start,
        };
        self.out.disk(place.dir, Purpose::ReadFor(conn), request);
    }

    /// Has a connection's task wait.
    fn wait_with_task(
        &mut self,
        conn: ConnId,
        until: Monotonic,
        wants: impl FnOnce(Task) -> Wants,
    ) {
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        match std::mem::replace(&mut client.doing, Doing::Nothing) {
            Doing::Asking(asking) => match *asking {
                Asking {
                    request,
                    stage: Stage::Working(task),
                } => {
                    let wants = wants(task);
                    self.wait_early(conn, request, Early { wants, until });
                }
                asking => self.set_asking(conn, asking),
            },
            doing => client.doing = doing,
        }
    }

    /// It was not looked at since the start.
    fn is_about_to_be_attached(&self, dir: DirId) -> bool {
        let dir = self.dirs.get(&dir).filter(|_| !self.web.files.has_dir(dir));
        dir.is_some_and(|d| !d.is_settled())
    }
}
