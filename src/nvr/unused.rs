//! Sample directories that the configuration does not name any more. What is in them is shown until it is
//! given up; then they are put away, so that their disks can be unmounted while the recorder runs.

use super::clock::Clock;
use super::directory::SampleDirectory;
use super::port::Severity;
use super::{Cx, Nvr, Phase, cx};
use crate::db::Snapshot;
use crate::recording::DirId;
use crate::time::Now;
use std::collections::BTreeSet;

impl Nvr {
    /// All that there is was read: directories that are not in it have nothing left, and are not named.
    pub(super) fn dirs_are(&mut self, snapshot: &Snapshot) {
        let named: BTreeSet<DirId> = snapshot.dirs.iter().map(|d| d.id).collect();
        let unused = self.dirs.keys().filter(|d| !named.contains(d));
        self.unused = unused.copied().collect();
    }

    /// A commit was made: nothing is left in these, which are not named.
    pub(super) fn dirs_unused(&mut self, now: Now, unused: &[DirId]) {
        let ours = unused.iter().filter(|d| self.dirs.contains_key(d));
        self.unused = ours.copied().collect();
        if !self.unused.is_empty() {
            self.wake_at(Some(now.monotonic));
        }
    }

    /// Puts away what nothing is under way in any more.
    pub(super) fn put_away_unused(&mut self, now: Now) {
        if self.unused.is_empty() || self.phase != Phase::Running {
            return;
        }
        let unused = self.unused.iter().copied();
        let ready: Vec<DirId> = unused.filter(|id| self.is_unused(*id)).collect();
        for id in ready {
            self.unused.remove(&id);
            self.stop_reading(now, id);
            let Some(mut dir) = self.dirs.remove(&id) else {
                continue;
            };
            let mut cx = cx!(self, now);
            dir.close(&mut cx);
            self.full.remove(&id);
            self.unconfirmed.remove(&id);
            let path = dir.path().display();
            let message = format!(
                "the sample directory {path} is put away: the configuration does not name it any more, \
                 and nothing is left in it"
            );
            self.out.log(Severity::Notice, "disk-put-away", message);
        }
    }

    fn is_unused(&self, id: DirId) -> bool {
        let mut streams = self.streams.values();
        let needed = streams.any(|s| s.dir() == id || s.recorder.comes_from(id));
        let busy = self.commit.pending_in(id).next().is_some()
            || self.commit.has_garbage_in(id)
            || self.commit.is_under_way();
        let may_go = self.dirs.get(&id).is_some_and(SampleDirectory::may_go);
        !needed && !busy && may_go
    }
}
