//! What becomes of those who read what is given up, or lies on a disk that is lost or full.

use super::body::Body;
use super::task::Came;
use super::view::View;
use super::{Asking, Doing, Stage};
use crate::db;
use crate::http::Request;
use crate::nvr::Nvr;
use crate::nvr::port::ConnId;
use crate::recording::{DirId, RecordingId};
use crate::time::{Monotonic, Now};
use std::sync::Arc;
use std::time::Duration;

/// Why something cannot be read.
pub const AWAY: &str = "its sample directory is away";

/// How long a request waits for a disk that is looked at for the first time since the start. Recovery
/// takes a second or two; a page that was open meanwhile should not see an error for that.
const ATTACHING_LIMIT: Duration = Duration::from_secs(10);

/// A virtual file to be sent once the directories that it lies in are attached.
pub struct Attaching {
    head: Vec<(&'static str, String)>,
    view: Arc<View>,
    /// Then it is refused if they are not.
    pub until: Monotonic,
}

impl Attaching {
    pub fn new(now: Now, head: Vec<(&'static str, String)>, view: Arc<View>) -> Attaching {
        let until = now.monotonic + ATTACHING_LIMIT;
        Attaching { head, view, until }
    }
}

impl Nvr {
    /// A directory was attached: what is in it can be read.
    pub(in crate::nvr) fn directory_can_be_read(&mut self, now: Now, dir: DirId) {
        self.web.files.dir_is_here(dir);
        let waiting: Vec<ConnId> = self
            .web
            .clients
            .iter()
            .filter(|(_, c)| {
                matches!(&c.doing, Doing::Asking(a) if matches!(a.stage, Stage::Attaching(_)))
            })
            .map(|(conn, _)| *conn)
            .collect();
        for conn in waiting {
            self.look_into(now, conn);
        }
    }

    /// Begins to send a virtual file, or waits if a directory was not looked at yet.
    pub(super) fn send_file_when_attached(
        &mut self,
        now: Now,
        conn: ConnId,
        request: Request,
        file: Box<Attaching>,
    ) {
        let mut dirs = (0..file.view.file.segments()).map(|i| file.view.file.source(i).dir);
        let unknown = dirs.any(|dir| {
            let dir = self.dirs.get(&dir).filter(|_| !self.web.files.has_dir(dir));
            dir.is_some_and(|d| !d.is_settled())
        });
        if unknown && now.monotonic < file.until {
            self.wake_at(Some(file.until));
            let stage = Stage::Attaching(file);
            return self.set_asking(conn, Asking { request, stage });
        }
        self.send_file(now, conn, &request, file.head, &file.view);
    }

    /// Something of it is in a directory that cannot be used now: why, for people.
    pub(super) fn is_away(&self, view: &View) -> Option<String> {
        let file = &view.file;
        let mut dirs = (0..file.segments()).map(|i| file.source(i).dir);
        let away = dirs.find(|d| !self.web.files.has_dir(*d))?;
        let path = self.dirs.get(&away).map(|d| d.path().display().to_string());
        Some(match path {
            Some(path) => format!("the sample directory {path} is away: try again when it is back"),
            None => "its sample directory is gone".to_owned(),
        })
    }

    /// A directory is lost: what is being sent of it cannot go on.
    pub(in crate::nvr) fn stop_reading(&mut self, now: Now, dir: DirId) {
        self.web.hls.forget_dir(dir);
        for conn in self.web.files.forget_dir(&mut self.out, dir) {
            self.came(now, conn, Came::Sample(Err(AWAY.to_owned())));
        }
        let cut: Vec<ConnId> = self
            .web
            .clients
            .iter()
            .filter(|(_, c)| matches!(&c.doing, Doing::Sending(body) if body.needs_dir(dir)))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in cut {
            self.fail_body(conn, AWAY);
        }
    }

    /// What was held for those who were being sent it may go.
    pub(super) fn release_garbage(&mut self) {
        if self.commit.holds_garbage() {
            let web = &self.web;
            self.commit.release(|id| web.is_reading(id));
            self.wake_at(Some(Monotonic(0)));
        }
    }

    /// A directory is full: nobody is sent what was given up to make room.
    pub(in crate::nvr) fn stop_reading_garbage(&mut self, dir: DirId) {
        let held = self.commit.held_in(dir);
        let reads = |body: &Body| held.iter().any(|id| body.needs(*id));
        let cut: Vec<ConnId> = self
            .web
            .clients
            .iter()
            .filter(|(_, c)| matches!(&c.doing, Doing::Sending(body) if reads(body)))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in cut {
            self.fail_body(conn, "the disk is full, and it was deleted to make room");
        }
    }

    /// Recordings were given up: nobody new gets them.
    pub(in crate::nvr) fn recordings_gone(&mut self, gone: &[db::Garbage]) {
        let ids: Vec<RecordingId> = gone.iter().map(|g| g.id).collect();
        self.web.layouts.forget(&ids);
        self.web.hls.forget(&ids);
        for g in gone {
            self.web.files.forget(&mut self.out, g.id);
            if let Some((_, end)) = g.time {
                self.web.thumbnails.forget(g.id.stream, end);
            }
        }
    }
}
