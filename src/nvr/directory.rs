//! A sample directory in use: attached or away, its open files, its journal, its rounds of syncing.
//!
//! A *round* makes everything handed over before it durable: when all of that is written, the files
//! and the journal segment are synced together. What a finished round covers is acknowledged: it
//! survives a power cut. A recording whose last bytes were covered may be committed.

use super::Cx;
use super::disk_health::DiskHealth;
use super::open_file::{Kind, OpenFile};
use super::outbox::{FileStep, Outbox, Purpose};
use super::port::{DiskError, DiskReply, DiskRequest, FileId, Severity, Space};
use crate::db;
use crate::recording::journal::Journal;
use crate::recording::recovery::{AttachRequest, Attached};
use crate::recording::writer::Writer;
use crate::recording::{DirId, DirIdentity, Gap, Recording, RecordingId, StreamId};
use crate::time::Monotonic;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// How often a directory that is away is looked for.
const RETRY: Duration = Duration::from_secs(5);
/// How long a full disk is left alone when nothing was freed, before its writes are tried again.
const FULL_RETRY: Duration = Duration::from_secs(5);
/// A round that takes longer than this is told in the log, once.
const SLOW_ROUND: Duration = Duration::from_secs(10);

/// That the disk is full is told again after this long, if it is full again then.
const TELL_FULL_AGAIN: Duration = Duration::from_secs(3600);

/// Whether it can be used.
enum State {
    /// Not attached; looked for again at `retry`.
    Away {
        retry: Monotonic,
    },
    Attaching,
    Ready,
    /// Put away for good: the daemon ends, or the configuration no longer names it.
    Closed,
}

/// What a round is waiting for.
enum RoundPhase {
    /// Writes of before the round, that many.
    Writing,
    /// Syncs, that many.
    Syncing(u32),
}

struct Round {
    started: Monotonic,
    phase: RoundPhase,
    told_slow: bool,
}

/// A recording that is durable, and the gap before it.
#[derive(Debug)]
pub struct Durable {
    pub recording: Recording,
    pub gap: Option<Gap>,
}

/// A sample file and, once its recording has ended, the row that waits for its bytes.
struct SampleFile {
    file: OpenFile,
    stream: StreamId,
    /// Ended: to be committed once durable.
    ended: Option<Box<Durable>>,
    /// All bytes were written when the round's sync was asked for.
    covered: bool,
}

/// What came of an answer, for the daemon to act on.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Recordings that are durable now: to be committed.
    pub durable: Vec<Durable>,
    /// It was attached just now.
    pub attached: Option<Box<Attached>>,
    /// It is lost: recordings in progress on it are to be given up, with this reason.
    pub lost: Option<String>,
    /// It is full: old recordings are to be deleted at once.
    pub full: bool,
}

/// See the module.
pub struct SampleDirectory {
    id: DirId,
    path: PathBuf,
    identity: DirIdentity,
    attached_before: bool,
    /// Nothing is written to it.
    read_only: bool,
    state: State,
    /// Why it is or was away, as it was last told; until a round has shown that it can be used.
    trouble: Option<String>,
    space: Option<Space>,
    health: DiskHealth,
    files: BTreeMap<FileId, SampleFile>,
    journal: Journal,
    segment: Option<OpenFile>,
    segment_number: u64,
    /// The segment before, until the new one is durable.
    old_segments: Vec<OpenFile>,
    round: Option<Round>,
    /// Counts rounds; chunks carry it.
    round_number: u32,
    /// Chunks of the rounds up to the current one, and after it, not yet written.
    writes_before: u32,
    writes_after: u32,
    next_round: Monotonic,
    full_since: Option<Monotonic>,
    told_full: Option<Monotonic>,
    /// Files were created or removed since the directory was last synced.
    names_unsynced: bool,
    /// Sample files of which nothing came: they were open when the directory was lost, and the journal
    /// need not know of each. They stay in here until their removal is durable.
    abandoned: Vec<String>,
    /// So many removals of these are under way.
    removals: usize,
    /// So many of these, from the first one on, are removed for good when the directory is synced.
    removals_covered: usize,
    /// The daemon ends: it is not looked for any more, and no round is begun but for open files.
    winding_down: bool,
}

impl SampleDirectory {
    /// One that is still to be attached, to be written to or only to be read.
    pub fn new(row: &db::Dir, database: uuid::Uuid, read_only: bool) -> SampleDirectory {
        SampleDirectory {
            id: row.id,
            path: row.path.clone(),
            identity: DirIdentity {
                database,
                directory: row.uuid,
            },
            attached_before: row.attached_before,
            read_only,
            state: State::Away {
                retry: Monotonic(0),
            },
            trouble: None,
            space: None,
            health: DiskHealth::default(),
            files: BTreeMap::new(),
            journal: Journal::new(row.uuid, 0, Vec::new()),
            segment: None,
            segment_number: 0,
            old_segments: Vec::new(),
            round: None,
            round_number: 0,
            writes_before: 0,
            writes_after: 0,
            next_round: Monotonic(0),
            full_since: None,
            told_full: None,
            names_unsynced: false,
            abandoned: Vec::new(),
            removals: 0,
            removals_covered: 0,
            winding_down: false,
        }
    }

    pub fn id(&self) -> DirId {
        self.id
    }

    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Frames may be written to it.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// It waits for space.
    pub fn is_full(&self) -> bool {
        self.full_since.is_some()
    }

    /// Attaching was tried and has succeeded or failed at least once.
    pub fn is_settled(&self) -> bool {
        self.is_ready() || self.trouble.is_some()
    }

    /// Why it cannot be used, for people.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref().filter(|_| !self.is_ready())
    }

    /// The file system's space when it was last asked for.
    pub fn space(&self) -> Option<Space> {
        self.space
    }

    /// How it has fared.
    pub fn health(&self) -> &DiskHealth {
        &self.health
    }

    /// Nothing of it is open and no round under way.
    pub fn is_idle(&self) -> bool {
        self.files.is_empty() && self.round.is_none()
    }

    /// Nothing is lost if it is closed now.
    pub fn may_go(&self) -> bool {
        self.is_idle() && !matches!(self.state, State::Attaching)
    }

    /// The daemon ends: what is open is made durable at once, and nothing else is begun.
    pub fn wind_down(&mut self) {
        self.winding_down = true;
        self.next_round = Monotonic(0);
        if matches!(self.state, State::Away { .. }) {
            self.state = State::Closed;
        }
    }

    /// It is time to look for it: the daemon calls [`Self::attach`].
    pub fn wants_attach(&self, now: Monotonic) -> bool {
        matches!(self.state, State::Away { retry } if now >= retry)
    }

    /// It cannot be looked for yet.
    pub fn look_later(&mut self, now: Monotonic) {
        if let State::Away { retry } = &mut self.state {
            *retry = now + RETRY;
        }
    }

    /// Opens it; the answer comes through [`Self::disk_done`].
    pub fn attach(
        &mut self,
        cx: &mut Cx<'_>,
        committed: BTreeMap<crate::recording::StreamId, crate::recording::recovery::Committed>,
    ) {
        self.state = State::Attaching;
        let request = AttachRequest {
            identity: self.identity,
            may_create: !self.attached_before,
            read_only: self.read_only,
            committed,
        };
        let request = DiskRequest::Attach {
            dir: self.id,
            path: self.path.clone(),
            request,
        };
        cx.out.disk(self.id, Purpose::Attach, request);
    }

    /// When [`Self::handle_timeout`] or [`Self::wants_attach`] has something to do.
    pub fn next_timeout(&self) -> Option<Monotonic> {
        match &self.state {
            State::Away { retry } => Some(*retry),
            State::Attaching | State::Closed => None,
            State::Ready => {
                let full = self.full_since.map(|t| t + FULL_RETRY);
                let round = match &self.round {
                    Some(r) => (!r.told_slow).then(|| r.started + SLOW_ROUND),
                    None => self.round_wanted().then_some(self.next_round),
                };
                [full, round].into_iter().flatten().min()
            }
        }
    }

    pub fn handle_timeout(&mut self, cx: &mut Cx<'_>) {
        if self
            .full_since
            .is_some_and(|t| cx.now.monotonic >= t + FULL_RETRY)
        {
            self.space_was_made(cx);
        }
        if let Some(round) = &mut self.round {
            if !round.told_slow && cx.now.monotonic >= round.started + SLOW_ROUND {
                round.told_slow = true;
                let message = format!(
                    "the disk at {} has not finished writing for {} s; what is recorded meanwhile \
                     would be lost in a power cut",
                    self.path.display(),
                    SLOW_ROUND.as_secs()
                );
                cx.out.log(Severity::Warning, "disk-slow", message);
            }
        }
    }

    /// Opens the sample file of a new recording.
    pub fn create(&mut self, cx: &mut Cx<'_>, id: RecordingId) -> FileId {
        let file = OpenFile::create(cx.out, self.id, Kind::Sample, id.file_name());
        let key = file.id();
        self.names_unsynced = true;
        self.files.insert(
            key,
            SampleFile {
                file,
                stream: id.stream,
                ended: None,
                covered: false,
            },
        );
        key
    }

    /// Appends a chunk to a sample file.
    pub fn append(&mut self, cx: &mut Cx<'_>, file: FileId, data: Vec<u8>) {
        let hold = self.is_full();
        let round = self.round_number + 1;
        if let Some(f) = self.files.get_mut(&file) {
            cx.buffers.lend(self.id, data.len());
            match f.file.append(cx.out, data, round, hold) {
                Some(spare) => cx.buffers.give_back(self.id, spare),
                None => self.writes_after += 1,
            }
        } else {
            debug_assert!(false, "append to a file that is not open");
        }
    }

    /// Bytes of a stream handed over and not yet written, of whichever of its recordings.
    pub fn backlog_bytes(&self, stream: StreamId) -> u64 {
        let ours = self.files.values().filter(|f| f.stream == stream);
        ours.map(|f| f.file.backlog_bytes()).sum()
    }

    /// So many bytes of an open sample file can be read by now.
    pub fn readable_bytes(&self, file: FileId) -> u64 {
        self.files.get(&file).map_or(0, |f| f.file.readable_bytes())
    }

    /// Recordings that have ended and whose files are not yet durable, with how much of each can be
    /// read by now.
    pub fn ended(&self) -> impl Iterator<Item = (&Recording, u64)> {
        self.files.values().filter_map(|f| {
            let ended = f.ended.as_ref()?;
            Some((&ended.recording, f.file.readable_bytes()))
        })
    }

    /// The recording of `file` has ended; all of its bytes were appended.
    pub fn finish(&mut self, file: FileId, recording: Recording, gap: Option<Gap>) {
        self.journal.finished(&recording);
        if let Some(f) = self.files.get_mut(&file) {
            f.ended = Some(Box::new(Durable { recording, gap }));
        }
    }

    /// Nothing came of the recording of `file`: it goes.
    pub fn discard(&mut self, cx: &mut Cx<'_>, file: FileId) {
        if let Some(f) = self.files.remove(&file) {
            let name = f.file.name().to_owned();
            f.file
                .close(cx.out)
                .for_each(|b| cx.buffers.give_back(self.id, b));
            self.remove(cx, name.clone());
            self.abandoned.push(name);
        }
    }

    /// A recording made while the clock was not trusted has ended and is not yet durable.
    pub fn has_untrusted(&self) -> bool {
        let mut ended = self.files.values().filter_map(|f| f.ended.as_ref());
        ended.any(|d| d.recording.clock_untrusted)
    }

    fn round_wanted(&self) -> bool {
        !self.files.is_empty() || (self.names_unsynced && !self.winding_down)
    }

    /// A round is due: the daemon checkpoints the recordings in progress and calls
    /// [`Self::begin_round`].
    pub fn round_due(&self, now: Monotonic) -> bool {
        self.is_ready() && self.round.is_none() && self.round_wanted() && now >= self.next_round
    }

    /// Takes the progress of the recordings of `open` into the journal, which begins a new segment when
    /// the old one is long enough. `uncommitted` are the directory's durable recordings that the
    /// database does not have yet. Part of a round.
    pub fn checkpoint<'a, 'b>(
        &mut self,
        cx: &mut Cx<'_>,
        open: impl Iterator<Item = &'a mut Writer>,
        uncommitted: impl Iterator<Item = &'b Recording>,
    ) {
        if self.segment.is_some() && !self.journal.should_rotate() {
            open.for_each(|w| self.journal.checkpoint(w));
            return;
        }
        let ended = self
            .files
            .values()
            .filter_map(|f| f.ended.as_ref())
            .map(|d| &d.recording);
        let name = self
            .journal
            .begin_segment(open, uncommitted.map(|r| -> &Recording { r }).chain(ended));
        let file = OpenFile::create(cx.out, self.id, Kind::Journal, name);
        self.names_unsynced = true;
        self.old_segments.extend(self.segment.replace(file));
    }

    /// Begins a round: everything handed over so far will be durable at its end.
    pub fn begin_round(&mut self, cx: &mut Cx<'_>, interval: Duration) {
        let hold = self.is_full();
        let round = self.round_number + 1;
        if let Some(segment) = &mut self.segment {
            if self.journal.has_pending() {
                if let Some(pending) = self.journal.take_pending(cx.buffers.take()) {
                    cx.buffers.lend(self.id, pending.bytes.len());
                    self.segment_number = pending.segment;
                    match segment.append(cx.out, pending.bytes, round, hold) {
                        Some(spare) => cx.buffers.give_back(self.id, spare),
                        None => self.writes_after += 1,
                    }
                }
            }
        }
        self.round_number = round;
        self.writes_before += std::mem::take(&mut self.writes_after);
        self.next_round = cx.now.monotonic + interval;
        self.round = Some(Round {
            started: cx.now.monotonic,
            phase: RoundPhase::Writing,
            told_slow: false,
        });
        self.sync_if_written(cx.out);
    }

    /// When all writes of before the round are done, asks for the syncs.
    fn sync_if_written(&mut self, out: &mut Outbox) {
        let Some(round) = &mut self.round else { return };
        // A file that is not there yet, or not yet gone, would not be covered by the directory's own sync.
        let names_done = self.removals == 0
            && self.files.values().all(|f| f.file.is_created())
            && self.segment.as_ref().is_none_or(OpenFile::is_created);
        if !matches!(round.phase, RoundPhase::Writing) || self.writes_before > 0 || !names_done {
            return;
        }
        let mut syncs = 0;
        // A stream's recordings become durable in their order only: the database takes no other. A
        // write of the next round, to the end of an earlier recording, may still be under way. One that
        // has not ended is its stream's newest.
        let mut held = BTreeSet::new();
        for f in self.files.values_mut() {
            let ended = f.ended.is_some();
            f.covered = ended && f.file.is_written() && !held.contains(&f.stream);
            if ended && !f.covered {
                held.insert(f.stream);
            }
            if f.file.is_unsynced() {
                f.file.sync(out);
                syncs += 1;
            }
        }
        if let Some(segment) = self.segment.as_mut().filter(|s| s.is_unsynced()) {
            segment.sync(out);
            syncs += 1;
        }
        if self.names_unsynced {
            self.names_unsynced = false;
            self.removals_covered = self.abandoned.len();
            out.disk(
                self.id,
                Purpose::SyncDir,
                DiskRequest::SyncDir { dir: self.id },
            );
            syncs += 1;
        }
        round.phase = RoundPhase::Syncing(syncs);
        self.finish_syncing(out, &mut Outcome::default());
    }

    /// One sync of the round is done.
    fn synced_one(&mut self, out: &mut Outbox, outcome: &mut Outcome) {
        if let Some(Round {
            phase: RoundPhase::Syncing(left),
            ..
        }) = &mut self.round
        {
            *left = left.saturating_sub(1);
        }
        self.finish_syncing(out, outcome);
    }

    /// If the round's syncs are all done: ends it, and tells what is durable.
    fn finish_syncing(&mut self, out: &mut Outbox, outcome: &mut Outcome) {
        if !matches!(
            self.round,
            Some(Round {
                phase: RoundPhase::Syncing(0),
                ..
            })
        ) {
            return;
        }
        self.round = None;
        if self.trouble.take().is_some() {
            let message = format!("the sample directory {} is back", self.path.display());
            out.log(Severity::Notice, "disk-back", message);
        }
        let done: Vec<FileId> = self
            .files
            .iter()
            .filter(|(_, f)| f.covered)
            .map(|(id, _)| *id)
            .collect();
        for id in done {
            if let Some(f) = self.files.remove(&id) {
                outcome.durable.extend(f.ended.map(|d| *d));
                f.file.close(out).for_each(drop);
            }
        }
        if let Some(segment) = &self.segment {
            self.journal.synced(self.segment_number, segment.len());
        }
        for old in self.old_segments.drain(..) {
            old.close(out).for_each(drop);
        }
        for name in self.journal.segments_to_unlink() {
            let request = DiskRequest::Unlink { dir: self.id, name };
            out.disk(self.id, Purpose::UnlinkSegment, request);
        }
    }

    /// Tries again what waited for space.
    pub fn space_was_made(&mut self, cx: &mut Cx<'_>) {
        if self.full_since.take().is_some() {
            for f in self.files.values_mut() {
                f.file.submit(cx.out);
            }
            if let Some(segment) = &mut self.segment {
                segment.submit(cx.out);
            }
        }
    }

    /// Asks for the file system's space.
    pub fn ask_space(&self, cx: &mut Cx<'_>) {
        if self.is_ready() {
            cx.out
                .disk(self.id, Purpose::Space, DiskRequest::Space { dir: self.id });
        }
    }

    /// An operation on this directory has ended.
    pub fn disk_done(
        &mut self,
        cx: &mut Cx<'_>,
        purpose: Purpose,
        result: Result<DiskReply, DiskError>,
        buffer: Option<Vec<u8>>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        match (purpose, result) {
            (Purpose::Attach, result) => self.attach_done(cx, result, &mut outcome),
            (Purpose::SampleFile { file, step }, result) => {
                self.file_done(cx, Kind::Sample, file, step, result, buffer, &mut outcome);
            }
            (Purpose::Journal { file, step }, result) => {
                self.file_done(cx, Kind::Journal, file, step, result, buffer, &mut outcome);
            }
            (Purpose::SyncDir, Ok(_)) => {
                self.abandoned.drain(..self.removals_covered);
                self.removals_covered = 0;
                self.synced_one(cx.out, &mut outcome);
            }
            (Purpose::UnlinkEmpty, Ok(_)) => {
                self.removals -= 1;
                self.sync_if_written(cx.out);
            }
            (Purpose::Space, Ok(DiskReply::Space(space))) => self.space = Some(space),
            (Purpose::Abandoned, _) => {
                buffer
                    .into_iter()
                    .for_each(|b| cx.buffers.give_back(self.id, b));
            }
            (_, Ok(_)) => {}
            (_, Err(e)) => self.fail(cx, &e, &mut outcome),
        }
        outcome
    }

    fn attach_done(
        &mut self,
        cx: &mut Cx<'_>,
        result: Result<DiskReply, DiskError>,
        outcome: &mut Outcome,
    ) {
        if !matches!(self.state, State::Attaching) {
            if result.is_ok() {
                let request = DiskRequest::Detach { dir: self.id };
                cx.out.disk(self.id, Purpose::Space, request);
            }
            return;
        }
        match result {
            Ok(DiskReply::Attached(attached)) => {
                self.state = State::Ready;
                self.attached_before = true;
                self.health.attached();
                self.journal = Journal::new(
                    self.identity.directory,
                    attached.next_segment,
                    attached.segments.clone(),
                );
                self.next_round = cx.now.monotonic;
                self.names_unsynced = !self.read_only;
                self.remove_abandoned(cx, &attached);
                outcome.attached = Some(attached);
                self.ask_space(cx);
                return;
            }
            Ok(_) => outcome.lost = Some("the disk gave no answer to attaching".to_owned()),
            Err(e) => {
                self.health.not_attached(cx.wall, &e);
                outcome.lost = Some(e.to_string());
            }
        }
        self.away(cx, outcome.lost.clone().unwrap_or_default());
    }

    /// Removes the files of recordings that were lost with the directory and that its journal does not
    /// bring back. Their sequence numbers are not used again, so nothing else would.
    fn remove_abandoned(&mut self, cx: &mut Cx<'_>, attached: &Attached) {
        let recovered: BTreeSet<String> = attached
            .recovered
            .iter()
            .map(|r| r.id.file_name())
            .collect();
        self.abandoned.retain(|name| !recovered.contains(name));
        for name in self.abandoned.clone() {
            self.remove(cx, name);
        }
    }

    /// Asks for the removal of a sample file, which the next round makes durable.
    fn remove(&mut self, cx: &mut Cx<'_>, name: String) {
        self.names_unsynced = true;
        self.removals += 1;
        let request = DiskRequest::Unlink { dir: self.id, name };
        cx.out.disk(self.id, Purpose::UnlinkEmpty, request);
    }

    /// Not attached: told once for each reason, and looked for again.
    fn away(&mut self, cx: &mut Cx<'_>, reason: String) {
        self.state = match self.winding_down {
            true => State::Closed,
            false => State::Away {
                retry: cx.now.monotonic + RETRY,
            },
        };
        if self.trouble.as_deref() != Some(&reason) {
            let message = format!(
                "the sample directory {} cannot be used: {reason}. Nothing is recorded to it; it is \
                 looked for every {} s",
                self.path.display(),
                RETRY.as_secs()
            );
            cx.out.log(Severity::Error, "disk-lost", message);
            self.trouble = Some(reason);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn file_done(
        &mut self,
        cx: &mut Cx<'_>,
        kind: Kind,
        id: FileId,
        step: FileStep,
        result: Result<DiskReply, DiskError>,
        buffer: Option<Vec<u8>>,
        outcome: &mut Outcome,
    ) {
        let hold = self.full_since.is_some();
        let file = match kind {
            Kind::Sample => self.files.get_mut(&id).map(|f| &mut f.file),
            Kind::Journal => self
                .segment
                .iter_mut()
                .chain(self.old_segments.iter_mut())
                .find(|s| s.id() == id),
        };
        let Some(file) = file else {
            // It was given up, or this is the answer to its closing.
            buffer
                .into_iter()
                .for_each(|b| cx.buffers.give_back(self.id, b));
            return;
        };
        match (step, result) {
            (FileStep::Create, Ok(_)) => file.created(cx.out, hold),
            (FileStep::Create, Err(DiskError::NoSpace)) => {
                file.not_created();
                self.full(cx, outcome);
            }
            (FileStep::Write { bytes, round, .. }, Ok(_)) => {
                file.written(bytes);
                if !hold {
                    file.submit(cx.out);
                }
                self.health.wrote(cx.now.monotonic, bytes);
                buffer
                    .into_iter()
                    .for_each(|b| cx.buffers.give_back(self.id, b));
                let count = if round <= self.round_number {
                    &mut self.writes_before
                } else {
                    &mut self.writes_after
                };
                *count = count.saturating_sub(1);
            }
            (FileStep::Write { offset, round, .. }, Err(DiskError::NoSpace)) => {
                file.not_written(offset, buffer.unwrap_or_default(), round);
                self.full(cx, outcome);
            }
            (FileStep::Sync, Ok(_)) => {
                self.synced_one(cx.out, outcome);
                return;
            }
            (FileStep::Close, _) => {}
            (_, Err(e)) => {
                buffer
                    .into_iter()
                    .for_each(|b| cx.buffers.give_back(self.id, b));
                self.fail(cx, &e, outcome);
                return;
            }
        }
        self.sync_if_written(cx.out);
    }

    fn full(&mut self, cx: &mut Cx<'_>, outcome: &mut Outcome) {
        outcome.full = true;
        let told = self
            .told_full
            .is_some_and(|t| cx.now.monotonic.since(t) < TELL_FULL_AGAIN);
        if !told {
            self.told_full = Some(cx.now.monotonic);
            let message = format!(
                "the disk at {} is full; the oldest recordings on it are deleted",
                self.path.display()
            );
            cx.out.log(Severity::Warning, "disk-full", message);
        }
        if self.full_since.is_none() {
            self.full_since = Some(cx.now.monotonic);
        }
    }

    /// It fails: everything open on it is given up; its journal tells the rest when it is back.
    fn fail(&mut self, cx: &mut Cx<'_>, error: &DiskError, outcome: &mut Outcome) {
        if !self.is_ready() {
            return;
        }
        // Some file systems find out only when they sync.
        outcome.full |= matches!(error, DiskError::NoSpace);
        let reason = error.to_string();
        self.health.failed(cx.wall, error);
        self.put_away(cx);
        self.away(cx, reason.clone());
        outcome.lost = Some(reason);
    }

    /// Closes it for good.
    pub fn close(&mut self, cx: &mut Cx<'_>) {
        if self.is_ready() {
            self.put_away(cx);
        }
        self.state = State::Closed;
    }

    fn put_away(&mut self, cx: &mut Cx<'_>) {
        let names = self.files.values().map(|f| f.file.name().to_owned());
        self.abandoned.extend(names);
        let files = std::mem::take(&mut self.files)
            .into_values()
            .map(|f| f.file);
        for file in files
            .chain(self.segment.take())
            .chain(self.old_segments.drain(..))
        {
            file.close(cx.out)
                .for_each(|b| cx.buffers.give_back(self.id, b));
        }
        self.round = None;
        self.writes_before = 0;
        self.writes_after = 0;
        self.full_since = None;
        self.names_unsynced = false;
        self.removals = 0;
        self.removals_covered = 0;
        cx.out.disk(
            self.id,
            Purpose::Space,
            DiskRequest::Detach { dir: self.id },
        );
        cx.out.abandon_disk(self.id);
    }
}
