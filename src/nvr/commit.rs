//! What goes to the database, and what goes from the disks once the database has let go of it.
//!
//! In steady state there is one commit a minute, so that flash lasts. The order that never loses the
//! database's word: a recording's file is durable before its row is committed; a row has become
//! garbage, durably, before its file is unlinked; the unlinking is durable before the garbage row goes.

use super::outbox::{Outbox, Purpose};
use super::port::{DbId, DiskRequest};
use crate::access::Use;
use crate::db::{Delete, Flush, Garbage, Request};
use crate::recording::{DirId, Gap, Recording, RecordingId, StreamId};
use crate::time::{Duration90k, Monotonic, Wall90k};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How often is committed in steady state.
pub const INTERVAL: Duration = Duration::from_secs(60);
/// How soon after a commit that failed it is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Recordings that may wait for a database that does not take them; past that nothing new is begun.
/// The journal keeps them all, so none is lost in a restart.
pub const MAX_PENDING: usize = 2_000;
/// Gaps that may wait for a database that does not take them, beyond one between any two recordings.
pub const MAX_GAPS: usize = 4_000;
/// Files of one directory that are unlinked at a time.
const UNLINK_BATCH: usize = 32;

/// A directory's files on their way out.
#[derive(Default)]
struct Unlinking {
    queue: VecDeque<Garbage>,
    /// The batch under way: unlinked, then made durable together.
    batch: Vec<Garbage>,
    left: usize,
    /// Somebody is being sent these: they go when that is done.
    held: Vec<Garbage>,
}

/// A recording that came back with its disk after its stream had gone on.
struct Late {
    dir: DirId,
    recording: Recording,
    /// What its stream began meanwhile, up to this number, goes to the database first or along with it: it
    /// says how much room is left.
    after: Option<u32>,
}

/// See the module.
pub struct Commit {
    recordings: Vec<(DirId, Recording)>,
    late: Vec<Late>,
    gaps: Vec<Gap>,
    unlinked: Vec<RecordingId>,
    unlinking: BTreeMap<DirId, Unlinking>,
    uses: Vec<Use>,
    forget: Vec<i32>,
    /// The request under way, with what it holds, to be tried again if it fails.
    under_way: Option<(DbId, Box<Flush>)>,
    next: Monotonic,
    urgent: bool,
    /// Why the last one failed.
    trouble: Option<String>,
}

impl Commit {
    pub fn new(now: Monotonic) -> Commit {
        Commit {
            recordings: Vec::new(),
            late: Vec::new(),
            gaps: Vec::new(),
            unlinked: Vec::new(),
            unlinking: BTreeMap::new(),
            uses: Vec::new(),
            forget: Vec::new(),
            under_way: None,
            next: now + INTERVAL,
            urgent: false,
            trouble: None,
        }
    }

    /// A recording's file is durable.
    pub fn add_recording(&mut self, dir: DirId, recording: Recording) {
        self.recordings.push((dir, recording));
    }

    /// A recording has come back late; see [`Late`].
    pub fn add_late(&mut self, dir: DirId, recording: Recording, after: Option<u32>) {
        self.late.push(Late {
            dir,
            recording,
            after,
        });
    }

    /// Takes out those that came late and may be entered, as `may` says of each and of the number of what
    /// was begun meanwhile.
    pub fn take_late(
        &mut self,
        may: impl Fn(&Recording, Option<u32>) -> bool,
    ) -> Vec<(DirId, Recording)> {
        let (mut ready, wait): (Vec<Late>, Vec<Late>) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|l| may(&l.recording, l.after));
        self.late = wait;
        ready.sort_by_key(|l| l.recording.id);
        ready.into_iter().map(|l| (l.dir, l.recording)).collect()
    }

    /// A gap has ended or goes on. One that follows on the stream's gap before, for the same reason,
    /// is added to it; past [`MAX_GAPS`] for whatever reason, so that a database that is away for long
    /// costs no memory.
    pub fn add_gap(&mut self, gap: Gap) {
        let crowded = self.gaps.len() >= MAX_GAPS;
        let mut ours = self.gaps.iter_mut().rev();
        if let Some(before) = ours.find(|g| g.stream == gap.stream) {
            let follows = before.end == gap.start && before.clock_untrusted == gap.clock_untrusted;
            if follows && (crowded || (before.cause == gap.cause && before.detail == gap.detail)) {
                before.end = gap.end;
                return;
            }
        }
        self.gaps.push(gap);
    }

    /// Leaves out what the database will never take, lest the rest wait for ever. Returns how many
    /// recordings that were.
    pub fn leave_out(&mut self, unwanted: impl Fn(DirId, &Recording) -> bool) -> usize {
        let before = self.recordings.len() + self.late.len();
        self.recordings.retain(|(dir, r)| !unwanted(*dir, r));
        self.late.retain(|l| !unwanted(l.dir, &l.recording));
        before - self.recordings.len() - self.late.len()
    }

    /// Uses of sessions and tokens that go along with the next commit. They make none due, and where it
    /// fails they are left out: the next use is written instead.
    pub fn put_uses(&mut self, uses: Vec<Use>) {
        self.uses = uses;
    }

    /// Cameras of which nothing is left, which the next commit may forget. Where it fails they are left
    /// out: they are still there to be forgotten.
    pub fn put_forget(&mut self, cameras: Vec<i32>) {
        self.forget = cameras;
    }

    /// The database has forgotten a stream: nothing can be told of it any more.
    pub fn forget_stream(&mut self, stream: StreamId) {
        self.gaps.retain(|g| g.stream != stream);
    }

    /// Commit as soon as the one under way is answered.
    pub fn hurry(&mut self) {
        self.urgent = true;
    }

    /// Recordings that wait, the ones under way included; but for those that came late.
    pub fn pending(&self) -> impl Iterator<Item = &(DirId, Recording)> {
        let under_way = self.under_way.iter().flat_map(|(_, f)| &f.recordings);
        self.recordings.iter().chain(under_way)
    }

    /// All of one directory that wait.
    pub fn pending_in(&self, dir: DirId) -> impl Iterator<Item = &Recording> {
        let in_time = self.pending().map(|(d, r)| (*d, r));
        let late = self.late.iter().map(|l| (l.dir, &l.recording));
        let under_way = self.under_way.iter().flat_map(|(_, f)| &f.late);
        let late = late.chain(under_way.map(|(d, r)| (*d, r)));
        let ours = in_time.chain(late).filter(move |(d, _)| *d == dir);
        ours.map(|(_, r)| r)
    }

    /// Something of a stream waits, be it late.
    pub fn has_of(&self, stream: StreamId) -> bool {
        let under_way = self.under_way.iter().flat_map(|(_, f)| &f.late);
        let late = self.late.iter().map(|l| &l.recording);
        let mut all = (self.pending().chain(under_way).map(|(_, r)| r)).chain(late);
        all.any(|r| r.id.stream == stream)
    }

    /// The database does not keep up: nothing new is to be begun.
    pub fn is_overfull(&self) -> bool {
        self.recordings.len() >= MAX_PENDING
    }

    /// Why the database took nothing when last asked.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    pub fn has_work(&self) -> bool {
        !self.recordings.is_empty() || !self.gaps.is_empty() || !self.unlinked.is_empty()
    }

    /// When a commit is due.
    pub fn next_timeout(&self) -> Option<Monotonic> {
        if self.under_way.is_some() {
            return None;
        }
        Some(if self.urgent { Monotonic(0) } else { self.next })
    }

    /// Sends one commit with what has gathered. Nothing may be under way.
    #[allow(clippy::too_many_arguments)]
    pub fn begin(
        &mut self,
        out: &mut Outbox,
        now: Monotonic,
        wall: Wall90k,
        late: Vec<(DirId, Recording)>,
        delete: Vec<Delete>,
        restamp: Option<Duration90k>,
        clean_shutdown: bool,
    ) {
        let mut recordings = std::mem::take(&mut self.recordings);
        recordings.sort_by_key(|(_, r)| r.id);
        let flush = Box::new(Flush {
            wall,
            recordings,
            gaps: std::mem::take(&mut self.gaps),
            restamp,
            late,
            delete,
            unlinked: std::mem::take(&mut self.unlinked),
            uses: std::mem::take(&mut self.uses),
            forget: std::mem::take(&mut self.forget),
            clean_shutdown,
        });
        self.urgent = false;
        self.next = now + INTERVAL;
        let id = out.db(Request::Flush(flush.clone()));
        self.under_way = Some((id, flush));
    }

    /// The commit was taken: what it held is the database's now.
    pub fn succeeded(&mut self, id: DbId) -> Option<Box<Flush>> {
        match &self.under_way {
            Some((ours, _)) if *ours == id => {}
            _ => return None,
        }
        self.trouble = None;
        self.under_way.take().map(|(_, flush)| flush)
    }

    /// The move of recordings that commit `id` holds, if it is the one under way.
    pub fn restamp_under_way(&self, id: DbId) -> Option<Duration90k> {
        let (ours, flush) = self.under_way.as_ref()?;
        flush.restamp.filter(|_| *ours == id)
    }

    /// It was not taken, and nothing of it was done: all of it waits again. True if this is news.
    pub fn failed(&mut self, id: DbId, now: Monotonic, why: String) -> bool {
        match &self.under_way {
            Some((ours, _)) if *ours == id => {}
            _ => return false,
        }
        if let Some((_, mut flush)) = self.under_way.take() {
            flush.recordings.append(&mut self.recordings);
            self.recordings = flush.recordings;
            for (dir, recording) in flush.late {
                self.add_late(dir, recording, None);
            }
            flush.gaps.append(&mut self.gaps);
            self.gaps = flush.gaps;
            flush.unlinked.append(&mut self.unlinked);
            self.unlinked = flush.unlinked;
        }
        self.urgent = false;
        self.next = now + RETRY;
        let news = self.trouble.as_deref() != Some(&why);
        self.trouble = Some(why);
        news
    }

    /// Files that the database has let go of. What somebody is being sent stays until
    /// [`Self::release`].
    pub fn add_garbage(
        &mut self,
        garbage: impl IntoIterator<Item = Garbage>,
        is_read: impl Fn(RecordingId) -> bool,
    ) {
        for g in garbage {
            let u = self.unlinking.entry(g.dir).or_default();
            match is_read(g.id) {
                true => u.held.push(g),
                false => u.queue.push_back(g),
            }
        }
    }

    /// Whether some garbage is held for those who are being sent it.
    pub fn holds_garbage(&self) -> bool {
        self.unlinking.values().any(|u| !u.held.is_empty())
    }

    /// The garbage of a directory that is held.
    pub fn held_in(&self, dir: DirId) -> Vec<RecordingId> {
        let held = self.unlinking.get(&dir).map(|u| &u.held);
        held.into_iter().flatten().map(|g| g.id).collect()
    }

    /// Lets go what nobody is being sent any more.
    pub fn release(&mut self, is_read: impl Fn(RecordingId) -> bool) {
        for u in self.unlinking.values_mut() {
            let (held, free) = std::mem::take(&mut u.held)
                .into_iter()
                .partition(|g| is_read(g.id));
            u.held = held;
            u.queue.extend::<Vec<Garbage>>(free);
        }
    }

    /// Bytes of files that are still to be unlinked in a directory.
    pub fn garbage_bytes(&self, dir: DirId) -> i64 {
        self.unlinking.get(&dir).map_or(0, |u| {
            u.queue
                .iter()
                .chain(&u.batch)
                .chain(&u.held)
                .map(|g| g.sample_file_bytes)
                .sum()
        })
    }

    /// Whether files are still to be unlinked in a directory.
    pub fn has_garbage_in(&self, dir: DirId) -> bool {
        let left = |u: &Unlinking| !(u.queue.is_empty() && u.batch.is_empty() && u.held.is_empty());
        self.unlinking.get(&dir).is_some_and(left)
    }

    /// Files that are still to be unlinked, in all directories.
    pub fn garbage_files(&self) -> usize {
        let all = self.unlinking.values();
        all.map(|u| u.queue.len() + u.batch.len() + u.held.len())
            .sum()
    }

    /// Bytes of a stream's recordings that wait.
    pub fn pending_bytes(&self, stream: StreamId) -> i64 {
        let ours = self.pending().filter(|(_, r)| r.id.stream == stream);
        ours.map(|(_, r)| i64::from(r.sample_file_bytes)).sum()
    }

    /// There was nothing to commit: looks again after the usual time.
    pub fn nothing_to_do(&mut self, now: Monotonic) {
        self.urgent = false;
        self.next = now + INTERVAL;
    }

    /// Goes on unlinking in a directory if it is attached (and the daemon does not end).
    pub fn unlink_if(&mut self, out: &mut Outbox, dir: DirId, may: bool) {
        if may {
            self.unlink(out, dir);
        }
    }

    /// Goes on unlinking in a directory that is attached.
    fn unlink(&mut self, out: &mut Outbox, dir: DirId) {
        let Some(u) = self.unlinking.get_mut(&dir) else {
            return;
        };
        if !u.batch.is_empty() || u.queue.is_empty() {
            return;
        }
        let n = u.queue.len().min(UNLINK_BATCH);
        u.batch.extend(u.queue.drain(..n));
        u.left = n;
        for g in &u.batch {
            let request = DiskRequest::Unlink {
                dir,
                name: g.id.file_name(),
            };
            out.disk(dir, Purpose::UnlinkGarbage, request);
        }
    }

    /// One file of the batch is unlinked.
    pub fn unlinked_one(&mut self, out: &mut Outbox, dir: DirId) {
        let Some(u) = self.unlinking.get_mut(&dir) else {
            return;
        };
        u.left = u.left.saturating_sub(1);
        if u.left == 0 && !u.batch.is_empty() {
            out.disk(dir, Purpose::SyncGarbage, DiskRequest::SyncDir { dir });
        }
    }

    /// The batch's removals are durable: space was made. Unless the daemon ends, it goes on.
    pub fn unlinked_all(&mut self, out: &mut Outbox, dir: DirId, goes_on: bool) {
        if let Some(u) = self.unlinking.get_mut(&dir) {
            self.unlinked.extend(u.batch.drain(..).map(|g| g.id));
        }
        self.unlink_if(out, dir, goes_on);
    }

    /// The directory is lost: what was not unlinked durably waits until it is back.
    pub fn directory_lost(&mut self, dir: DirId) {
        if let Some(u) = self.unlinking.get_mut(&dir) {
            u.left = 0;
            for g in u.batch.drain(..).rev() {
                u.queue.push_front(g);
            }
        }
    }
}
