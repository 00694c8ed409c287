//! Which cameras there are, as it changes while the recorder runs: the configuration file is read again,
//! or somebody makes, changes or removes one over HTTP or with `moonfire-nvr config`. All come as a [`Snapshot`] of the database,
//! which has all of it by then, and go the same way ([`Nvr::bring_in`]): what did not change goes on.
//!
//! A camera that was removed is kept until its last recording has gone; then the next commit forgets it.

use super::directory::SampleDirectory;
use super::session::Session;
use super::{Nvr, Phase};
use crate::db::{self, Removed, Snapshot};
use crate::recording::{GapCause, StreamId};
use crate::time::Now;

impl Nvr {
    /// Cameras were changed over HTTP or by another program, and the database has it.
    pub(super) fn cameras_changed(&mut self, now: Now, snapshot: &Snapshot) {
        if self.phase != Phase::Running {
            return;
        }
        self.bring_in(now, snapshot, (GapCause::User, "it is new"));
        self.add_to_calendar();
        self.end_views_of_removed(now);
        // What is to be deleted goes at once, as far as one commit takes it.
        self.commit.hurry();
        self.wake_at(Some(now.monotonic));
    }

    /// Notes which cameras there are. Those whose recordings are being deleted are shown to nobody.
    pub(super) fn cameras_are(&mut self, cameras: &[db::Camera]) {
        let (deleting, shown): (Vec<_>, Vec<_>) = cameras
            .iter()
            .cloned()
            .partition(|c| c.removed == Some(Removed::Deleting));
        let kept = shown.iter().filter(|c| c.removed.is_some()).cloned();
        self.removed = kept.chain(deleting).collect();
        self.cameras = shown;
    }

    /// Whether a stream's recordings are being deleted, whatever its limits were.
    pub(super) fn is_being_deleted(&self, id: StreamId) -> bool {
        let mut removed = self.removed.iter();
        removed
            .any(|c| c.removed == Some(Removed::Deleting) && c.streams.iter().any(|s| s.id == id))
    }

    /// After a commit: more of what is being deleted goes with the next one, at once unless the disks
    /// still have enough to do with what has gone.
    pub(super) fn go_on_deleting(&mut self, committed: &db::Flush, gone: &[db::Garbage]) {
        let ours = |id| self.is_being_deleted(id);
        let mut committed = committed.recordings.iter().chain(&committed.late);
        let progress =
            committed.any(|(_, r)| ours(r.id.stream)) || gone.iter().any(|g| ours(g.id.stream));
        if progress && self.commit.garbage_files() < db::MAX_DELETED_PER_FLUSH {
            self.commit.hurry();
        }
    }

    /// Cameras that were removed and of which nothing is left or under way. While a directory is away,
    /// its journal may know of more.
    pub(super) fn forgettable(&self) -> Vec<i32> {
        if !self.dirs.values().all(SampleDirectory::is_ready) {
            return Vec::new();
        }
        let empty = |c: &&db::Camera| c.streams.iter().all(|s| self.is_empty(s.id));
        self.removed.iter().filter(empty).map(|c| c.id).collect()
    }

    /// Whether there is nothing of a stream, and nothing on its way.
    pub(super) fn is_empty(&self, id: StreamId) -> bool {
        let Some(stream) = self.streams.get(&id) else {
            return true;
        };
        let mut dirs = self.dirs.values();
        stream.settings.totals.recordings == 0
            && !stream.recorder.is_recording()
            && stream.session.as_ref().map_or(true, Session::is_off)
            && !dirs.any(|d| d.ended().any(|(r, _)| r.id.stream == id))
            && !self.commit.has_of(id)
    }

    /// The database has forgotten cameras that had nothing any more.
    pub(super) fn cameras_forgotten(&mut self, forgotten: &[i32]) {
        let (gone, removed) = std::mem::take(&mut self.removed)
            .into_iter()
            .partition(|c| forgotten.contains(&c.id));
        self.removed = removed;
        self.cameras.retain(|c| !forgotten.contains(&c.id));
        for stream in gone.iter().flat_map(|c: &db::Camera| &c.streams) {
            self.streams.remove(&stream.id);
            self.commit.forget_stream(stream.id);
            self.web_forget_stream(stream.id);
        }
    }
}
