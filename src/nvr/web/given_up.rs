//! What becomes of those who read what is given up, or lies on a disk that is lost or full.

use super::Doing;
use super::body::Body;
use super::task::Came;
use super::view::View;
use crate::db;
use crate::nvr::Nvr;
use crate::nvr::port::ConnId;
use crate::recording::{DirId, RecordingId};
use crate::time::{Monotonic, Now};

/// Why something cannot be read.
pub const AWAY: &str = "its sample directory is away";
/// Why it cannot either.
pub const HANGS: &str = "its disk does not answer";

impl Nvr {
    /// Something of it is in a directory that cannot be used now: why, for people.
    pub(super) fn is_away(&self, view: &View) -> Option<String> {
        let mut dirs = view.file.dirs().iter();
        let away = dirs.find(|d| !self.web.files.has_dir(**d))?;
        let path = self.dirs.get(away).map(|d| d.path().display().to_string());
        Some(match path {
            Some(path) => format!("the sample directory {path} is away: try again when it is back"),
            None => "its sample directory is gone".to_owned(),
        })
    }

    /// A directory is lost: what is being sent of it cannot go on.
    pub(in crate::nvr) fn stop_reading(&mut self, now: Now, dir: DirId) {
        self.web.hls.forget_dir(dir);
        let mut waiting = self.web.files.forget_dir(&mut self.out, dir);
        waiting.extend(self.out.abandon_readers(dir));
        for conn in waiting {
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
        // It was looked at in vain: who waited for it need not wait longer.
        self.look_into_early(now);
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
