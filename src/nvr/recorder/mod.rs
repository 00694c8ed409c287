//! One stream's way from access units to recordings: when to start and cut, what to write, what is
//! lost and why.
//!
//! Access units arrive at the end of the stream's buffer, copied there once by the depacketizer. The
//! bytes of complete ones go to the sample file in chunks, buffer and all; the stream takes another
//! when the next bytes come. A recording starts at a sync sample.

mod ledger;

use super::Cx;
use super::buffers::Buffers;
use super::directory::SampleDirectory;
use super::outbox::StreamName;
use super::port::{FileId, Severity};
use super::reached::Reached;
use crate::h264::VideoSampleEntry;
use crate::recording::index::Sample;
use crate::recording::recovery::Committed;
use crate::recording::rotation::{Cut, Rotation};
use crate::recording::writer::{NewSample, Run, Start, Writer, WriterError};
use crate::recording::{DirId, Gap, GapCause, OpenId, RecordingId};
use crate::rtp::AccessUnit;
use crate::time::{Duration90k, Monotonic, Wall90k};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What has come at once is handed to the disk, as one chunk with what was there before, if that makes
/// this many bytes; less at each round of syncing.
pub const CHUNK_BYTES: usize = 128 << 10;
/// A chunk that has this many bytes is handed over although more is there to come.
pub const LARGEST_CHUNK_BYTES: usize = 256 << 10;

/// What one stream may have on its way to its disk. Past it, recording stops until half of it is
/// written, and the loss is told.
pub const STREAM_BACKLOG_BYTES: u64 = 8 << 20;

/// What all streams together may have on their way to disks, shared evenly among the directories; the
/// same policy.
pub const TOTAL_BACKLOG_BYTES: u64 = 64 << 20;

/// A gap that goes on is told piece by piece once it is longer than this.
const LONG_GAP: Duration90k = Duration90k::from_secs(30);

/// A gap shorter than this is none: the clock's fine correction and the rounding of times.
const SHORTEST_GAP: Duration90k = Duration90k(9_000);
/// Why nothing is recorded after what the journal alone knows of a stream.
const ENDED_BEFORE_COMMIT: &str = "the recorder ended without notice";

/// How long frames may come without one that a recording can begin with before that is told. Cameras
/// that save bits send one every 20 s or so.
const SYNC_AWAITED: Duration = Duration::from_secs(30);
/// What is told then.
const NO_SYNC_SAMPLE: &str = "the camera sends frames, but none that a recording can begin with (a key \
    frame): set its key frame interval to a few seconds";

/// Frames that wait for those who watch. They are asked after each read of a socket, which holds
/// fewer; of more the oldest go.
const MAX_FRAMES: usize = 1024;

/// A recording in progress.
struct Active {
    writer: Writer,
    file: FileId,
    rotation: Rotation,
    clock_untrusted: bool,
}

/// A recording in progress, seen from outside.
pub struct Growing<'a> {
    pub writer: &'a Writer,
    pub file: FileId,
    /// The media durations of all recordings that its stream ever had before it, and their runs.
    pub prev_media_duration: Duration90k,
    pub prev_runs: u32,
}

impl Growing<'_> {
    pub fn facts(&self) -> Facts {
        Facts {
            id: self.writer.id(),
            open: self.writer.open(),
            start: self.writer.start_time(),
            entry: self.writer.sample_entry().clone(),
            prev_media_duration: self.prev_media_duration,
            prev_runs: self.prev_runs,
        }
    }
}

/// What those who watch are told of the recording that a frame is of.
#[derive(Clone, Debug)]
pub struct Facts {
    pub id: RecordingId,
    pub open: OpenId,
    /// As far as is known; it may still move back a little.
    pub start: Wall90k,
    pub entry: Arc<VideoSampleEntry>,
    pub prev_media_duration: Duration90k,
    pub prev_runs: u32,
}

/// A frame for those who watch.
#[derive(Debug)]
pub struct Frame {
    pub of: Facts,
    /// Its duration is that of the one before: its own is not known yet.
    pub sample: Sample,
    /// In AVC form.
    pub data: Vec<u8>,
}

/// Why nothing is being recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pause {
    cause: GapCause,
    detail: String,
}

/// A new run is to begin with the next sync sample, because the clock changed or the recording's time
/// was found to be off: until there, the recording in progress goes on in its own time.
#[derive(Clone, Debug)]
struct CutAtSync {
    cause: GapCause,
    reason: String,
    /// The clock is ahead of the recording's time by so much.
    ahead: Duration90k,
    /// The clock was set: what was recorded before is moved by so much.
    moved: Option<Duration90k>,
}

/// See the module.
pub struct Recorder {
    name: StreamName,
    open: OpenId,
    /// Of no capacity from the moment when it is handed over with all that is in it, until the next
    /// bytes come: by then it, or another stream's, may be back.
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that are complete samples of the recording in progress.
    complete: usize,
    active: Option<Active>,
    /// What carries on into the next recording of the same run.
    run: Option<Run>,
    entry: Option<Arc<VideoSampleEntry>>,
    /// What recordings that have ended and gaps that were told have reached.
    told: Reached,
    /// The same of those that are durable: what is gone on from if the disk is lost.
    durable: Reached,
    /// Which recordings the database has, or is going to have: those that are durable.
    committed: Committed,
    pause: Pause,
    /// The directory is away: its journal may know of recordings that are not known here.
    unsettled: bool,
    /// Nothing of the stream was ever committed, and its directory's journal was not read yet.
    is_new: bool,
    /// Too much was on its way to the disk: nothing is taken until half of it is gone.
    overflow: bool,
    cut: Option<CutAtSync>,
    /// It recorded to this directory before, which may hold what is not yet durable: nothing is begun
    /// elsewhere until all is, because the database takes a stream's recordings in order only.
    moving_from: Option<DirId>,
    /// Gaps that have ended: taken after each event, as `Commit::add_gap` bounds how many wait.
    gaps: Vec<Gap>,
    /// It was told that recording stopped, and it has not begun again.
    told_lost: bool,
    /// Recording has begun at least once.
    begun: bool,
    lost_packets: u64,
    /// When the newest sample was taken.
    last_sample: Option<Wall90k>,
    /// Since when frames come of which none can begin a recording, and that is not told yet.
    sync_awaited_since: Option<Monotonic>,
    watched: bool,
    frames: VecDeque<Frame>,
}

/// What a recorder goes on from.
pub struct Resume {
    pub open: OpenId,
    /// How far the database has got.
    pub committed: Committed,
    /// The media durations of all recordings there ever were, and the runs.
    pub media_duration: Duration90k,
    pub runs: u32,
    /// Up to here recordings and gaps are told.
    pub told_until: Wall90k,
    /// The end of its newest recording.
    pub last_end: Option<Wall90k>,
    /// The database has never had anything of the stream: `told_until` is just when it was asked.
    pub is_new: bool,
    pub clock_untrusted: bool,
    /// Why nothing was recorded since.
    pub cause: GapCause,
    pub detail: String,
}

impl Recorder {
    pub fn new(name: StreamName, resume: Resume) -> Recorder {
        let reached = Reached::new(
            resume.committed.next_sequence,
            resume.told_until,
            resume.is_new && resume.clock_untrusted,
            resume.last_end,
        )
        .with_sums(resume.media_duration, resume.runs);
        Recorder {
            name,
            open: resume.open,
            buffer: Vec::new(),
            complete: 0,
            active: None,
            run: None,
            entry: None,
            told: reached,
            durable: reached,
            committed: resume.committed,
            pause: Pause {
                cause: resume.cause,
                detail: resume.detail,
            },
            unsettled: true,
            is_new: resume.is_new,
            overflow: false,
            cut: None,
            moving_from: None,
            gaps: Vec::new(),
            told_lost: false,
            begun: false,
            lost_packets: 0,
            last_sample: None,
            sync_awaited_since: None,
            watched: false,
            frames: VecDeque::new(),
        }
    }

    /// Where the depacketizer appends.
    pub fn buffer(&mut self, buffers: &mut Buffers) -> &mut Vec<u8> {
        if self.buffer.capacity() == 0 {
            self.buffer = buffers.take();
        }
        &mut self.buffer
    }

    pub fn is_recording(&self) -> bool {
        self.active.is_some()
    }

    /// Which recordings the database has, or is going to have: those that are durable.
    pub fn committed(&self) -> &Committed {
        &self.committed
    }

    /// Why nothing is being recorded, for people; `None` while recording.
    pub fn pause(&self) -> Option<(GapCause, &str)> {
        self.active
            .is_none()
            .then_some((self.pause.cause, self.pause.detail.as_str()))
    }

    /// Up to where recordings that have ended, and gaps, are told.
    pub fn told_until(&self) -> Wall90k {
        self.told.until
    }

    /// Recording has begun at least once since the start.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// The loss was told: so will be the return.
    pub fn tell_return(&mut self) {
        self.told_lost = true;
    }

    /// A recording in progress was begun while the clock was not trusted.
    pub fn has_untrusted(&self) -> bool {
        self.active.as_ref().is_some_and(|a| a.clock_untrusted)
    }

    pub fn take_gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.gaps)
    }

    #[cfg(test)]
    pub fn gaps_waiting(&self) -> usize {
        self.gaps.len()
    }

    pub fn last_sample(&self) -> Option<Wall90k> {
        self.last_sample
    }

    /// RTP packets that never came, since the start.
    pub fn lost_packets(&self) -> u64 {
        self.lost_packets
    }

    /// Bytes that wait in the buffer.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// What is being recorded, for those who watch or read it; `None` while nothing is.
    pub fn growing(&self) -> Option<Growing<'_>> {
        let active = self.active.as_ref()?;
        Some(Growing {
            writer: &active.writer,
            file: active.file,
            prev_media_duration: self.told.media_duration,
            prev_runs: self.told.runs,
        })
    }

    /// The media durations of all recordings of the stream that have ended, and their runs.
    pub fn sums_of_ended(&self) -> (Duration90k, u32) {
        (self.told.media_duration, self.told.runs)
    }

    /// Somebody watches, or nobody does any more: whether frames are copied for [`Self::next_frame`].
    pub fn set_watched(&mut self, watched: bool) {
        self.watched = watched;
        if !watched {
            self.frames = VecDeque::new();
        }
    }

    /// A frame that was recorded, for those who watch.
    pub fn next_frame(&mut self) -> Option<Frame> {
        self.frames.pop_front()
    }

    /// The recording in progress: its bytes and duration so far.
    pub fn in_progress(&self) -> Option<(RecordingId, u64, Duration90k)> {
        let a = self.active.as_ref()?;
        Some((
            a.writer.id(),
            u64::from(a.writer.bytes()),
            a.writer.media_duration(),
        ))
    }

    pub fn entry(&self) -> Option<&Arc<VideoSampleEntry>> {
        self.entry.as_ref()
    }

    /// An access unit is complete: its bytes follow the complete ones in the buffer.
    pub fn access_unit(
        &mut self,
        cx: &mut Cx<'_>,
        dir: &mut SampleDirectory,
        mut unit: AccessUnit,
    ) {
        self.lost_packets += u64::from(unit.lost_packets);
        let mut entry_changed = false;
        if let Some(entry) = unit.sample_entry.take() {
            entry_changed = self.entry.as_ref().is_some_and(|e| *e != entry);
            self.entry = Some(entry);
        }
        self.cut_if_due(cx, dir, &unit, entry_changed);
        if self.active.is_none() && !self.start(cx, dir, &unit) {
            self.break_run(cx, unit.is_sync);
            self.tell_if_no_sync(cx, unit.is_sync);
            self.drop_unit(unit.len);
            return;
        }
        match self.add(cx.wall, &unit) {
            Ok(()) => self.added(cx, dir, unit.len),
            Err(WriterError::NewRun { cause, reason, .. }) => {
                self.stop(cx, dir, cause, &reason);
                self.drop_unit(unit.len);
            }
            Err(e) => {
                self.stop(cx, dir, GapCause::Camera, &e.to_string());
                self.drop_unit(unit.len);
            }
        }
    }

    /// Adds `unit` to the recording in progress. Where only the recording's place in time is off, it
    /// goes on there until the next sync sample, so that no frame is lost for it.
    fn add(&mut self, wall: Wall90k, unit: &AccessUnit) -> Result<(), WriterError> {
        let Some(active) = &mut self.active else {
            return Err(WriterError::NotSync);
        };
        let ahead = self.cut.as_ref().map_or(Duration90k::ZERO, |c| c.ahead);
        let sample = NewSample {
            pts: unit.timestamp,
            bytes: unit.len,
            is_sync: unit.is_sync,
            arrival: wall - ahead,
        };
        match active.writer.add(sample) {
            Err(WriterError::NewRun {
                cause,
                reason,
                ahead: Some(ahead),
            }) => {
                active.writer.keep_time(ahead);
                active.writer.add(sample)?;
                self.cut.get_or_insert(CutAtSync {
                    cause,
                    reason,
                    ahead: Duration90k::ZERO,
                    moved: None,
                });
                Ok(())
            }
            result => result,
        }
    }

    /// The bytes of the access unit behind the complete ones are not wanted.
    fn drop_unit(&mut self, bytes: u32) {
        self.buffer
            .drain(self.complete..self.complete + bytes as usize);
    }

    fn added(&mut self, cx: &mut Cx<'_>, dir: &mut SampleDirectory, bytes: u32) {
        self.last_sample = Some(cx.wall);
        self.complete += bytes as usize;
        if self.watched {
            self.copy_frame(bytes as usize);
        }
        self.hand_over_chunk(cx, dir, LARGEST_CHUNK_BYTES);
    }

    /// All that has come at once was taken.
    pub fn received(&mut self, cx: &mut Cx<'_>, dir: &mut SampleDirectory) {
        self.hand_over_chunk(cx, dir, CHUNK_BYTES);
    }

    fn hand_over_chunk(&mut self, cx: &mut Cx<'_>, dir: &mut SampleDirectory, least_bytes: usize) {
        if self.complete >= least_bytes {
            self.hand_over(cx, dir);
            self.check_backlog(cx, dir);
        }
    }

    /// Keeps the newest sample for those who watch, who are asked after each event of the stream.
    fn copy_frame(&mut self, bytes: usize) {
        let Some(growing) = self.growing() else {
            return;
        };
        let Some(sample) = growing.writer.newest() else {
            return;
        };
        let frame = Frame {
            of: growing.facts(),
            sample,
            data: self.buffer[self.complete - bytes..self.complete].to_vec(),
        };
        if self.frames.len() == MAX_FRAMES {
            self.frames.pop_front();
        }
        self.frames.push_back(frame);
    }

    /// Ends the recording in progress before `unit` where it cannot or should not take it.
    fn cut_if_due(
        &mut self,
        cx: &mut Cx<'_>,
        dir: &mut SampleDirectory,
        unit: &AccessUnit,
        entry_changed: bool,
    ) {
        let Some(active) = &self.active else { return };
        let (media, bytes) = (active.writer.media_duration(), active.writer.bytes());
        if unit.discontinuity {
            return self.stop(cx, dir, GapCause::Camera, "its timestamps jumped");
        }
        // Whatever ends the recording: what follows is not in its time any more.
        let may_cut = unit.is_sync || entry_changed;
        if let Some(cut) = self.cut.clone().filter(|_| may_cut) {
            return self.stop(cx, dir, cut.cause, &cut.reason);
        }
        if entry_changed {
            return self.finish(
                cx,
                dir,
                Some(unit.timestamp),
                "the video parameters changed",
            );
        }
        match active.rotation.before(media, bytes, unit.len, unit.is_sync) {
            Cut::GoOn => {}
            Cut::Here => self.finish(cx, dir, Some(unit.timestamp), ""),
            Cut::Forced => {
                self.stop(
                    cx,
                    dir,
                    GapCause::Camera,
                    "too long between two sync samples",
                );
            }
        }
    }

    /// Starts a recording with `unit`, if that can be.
    fn start(&mut self, cx: &mut Cx<'_>, dir: &mut SampleDirectory, unit: &AccessUnit) -> bool {
        let Some(entry) = self.entry.clone() else {
            return false;
        };
        if !unit.is_sync || unit.len == 0 || !dir.is_ready() || !cx.database_ready {
            return false;
        }
        if self.moving_from.is_some() && !self.is_all_durable() {
            return false;
        }
        self.moving_from = None;
        if self.overflow {
            if dir.backlog_bytes(self.name.id) > STREAM_BACKLOG_BYTES / 2
                || cx.buffers.lent_to(dir.id()) > cx.buffers.share_bytes() / 2
                || dir.is_full()
            {
                return false;
            }
            self.overflow = false;
        }
        let run = self
            .run
            .take()
            .unwrap_or_else(|| Run::new(Some(self.told.until)));
        let id = RecordingId {
            stream: self.name.id,
            sequence: self.told.next_sequence,
        };
        self.told.next_sequence += 1;
        let writer = Writer::start(Start {
            id,
            open: self.open,
            run,
            sample_entry: entry,
            clock_untrusted: !cx.clock_trusted,
        });
        let file = dir.create(cx, id);
        let rotation = Rotation::new(self.name.id, cx.wall);
        let clock_untrusted = !cx.clock_trusted;
        self.active = Some(Active {
            writer,
            file,
            rotation,
            clock_untrusted,
        });
        self.sync_awaited_since = None;
        self.tell_begun(cx);
        true
    }

    /// The run was to go on with a new recording, but that could not be begun.
    fn break_run(&mut self, cx: &Cx<'_>, is_sync: bool) {
        if self.run.take().is_none() {
            return;
        }
        let (cause, detail) = match (is_sync, cx.database_ready) {
            (true, false) => (GapCause::Disk, "the database does not keep up"),
            _ => (GapCause::Camera, "no sync sample where one was due"),
        };
        self.pause = Pause {
            cause,
            detail: detail.to_owned(),
        };
    }

    /// Frames come and nothing can be begun with them: told once that has gone on for long, and for
    /// each such time once.
    fn tell_if_no_sync(&mut self, cx: &mut Cx<'_>, is_sync: bool) {
        if is_sync {
            self.sync_awaited_since = None;
            return;
        }
        let now = cx.now.monotonic;
        let since = *self.sync_awaited_since.get_or_insert(now);
        let is_told = self.pause.detail == NO_SYNC_SAMPLE;
        if is_told || self.unsettled || now.since(since) < SYNC_AWAITED {
            return;
        }
        // What went before keeps its own cause.
        let began = cx.wall - Duration90k::from(now.since(since));
        self.tell_gap_so_far(began, cx.clock_trusted, true);
        self.pause = Pause {
            cause: GapCause::Camera,
            detail: NO_SYNC_SAMPLE.to_owned(),
        };
        self.told_lost = true;
        let message = format!("not recording: {NO_SYNC_SAMPLE}");
        cx.out
            .log_stream(Severity::Warning, "no-sync-sample", &self.name, message);
    }

    /// Recording has begun, for the first time or again.
    fn tell_begun(&mut self, cx: &mut Cx<'_>) {
        if self.told_lost {
            let lost = (cx.wall - self.told.until).max(Duration90k::ZERO);
            let message = format!("recording again; {lost} were not recorded");
            cx.out
                .log_stream(Severity::Notice, "camera-back", &self.name, message);
        } else if !self.begun {
            let what = self.entry.as_ref().map_or_else(String::new, |e| {
                format!("{}x{} {}", e.width, e.height, e.rfc6381_codec)
            });
            cx.out.log_stream(
                Severity::Info,
                "recording",
                &self.name,
                format!("recording {what}"),
            );
        }
        self.told_lost = false;
        self.begun = true;
    }

    /// The recording in progress.
    pub fn writer(&mut self) -> Option<&mut Writer> {
        self.active.as_mut().map(|a| &mut a.writer)
    }

    /// Hands the complete samples to the disk.
    pub fn hand_over(&mut self, cx: &mut Cx<'_>, dir: &mut SampleDirectory) {
        let Some(active) = &mut self.active else {
            return;
        };
        if self.complete == 0 {
            return;
        }
        let mut next = Vec::new();
        if self.complete < self.buffer.len() {
            next = cx.buffers.take();
            next.extend_from_slice(&self.buffer[self.complete..]);
            self.buffer.truncate(self.complete);
        }
        self.complete = 0;
        let chunk = std::mem::replace(&mut self.buffer, next);
        active.writer.written(&chunk);
        dir.append(cx, active.file, chunk);
    }

    fn check_backlog(&mut self, cx: &mut Cx<'_>, dir: &mut SampleDirectory) {
        if dir.backlog_bytes(self.name.id) <= STREAM_BACKLOG_BYTES
            && cx.buffers.lent_to(dir.id()) <= cx.buffers.share_bytes()
        {
            return;
        }
        self.overflow = true;
        let why = if dir.is_full() {
            "the disk is full"
        } else {
            "the disk is too slow"
        };
        self.stop(cx, dir, GapCause::Disk, why);
    }

    /// Ends the recording in progress; the next one follows on if `next_pts` is given.
    fn finish(
        &mut self,
        cx: &mut Cx<'_>,
        dir: &mut SampleDirectory,
        next_pts: Option<i64>,
        reason: &str,
    ) {
        self.hand_over(cx, dir);
        let Some(active) = self.active.take() else {
            return;
        };
        let (recording, run) = match active.writer.finish(next_pts, reason) {
            Ok(finished) => finished,
            Err(_) => return dir.discard(cx, active.file),
        };
        let gap = match recording.run_offset {
            0 => self.gap_until(recording.start, recording.clock_untrusted),
            _ => None,
        };
        self.told.add_recording(&recording, self.open, None);
        dir.finish(active.file, recording, gap);
        self.run = next_pts.map(|_| run);
    }

    /// Ends the run: recording stops, or begins anew at the next sync sample.
    pub fn stop(
        &mut self,
        cx: &mut Cx<'_>,
        dir: &mut SampleDirectory,
        cause: GapCause,
        detail: &str,
    ) {
        if self.active.is_some() {
            self.finish(cx, dir, None, detail);
            self.pause = Pause {
                cause,
                detail: detail.to_owned(),
            };
        } else if self.pause.cause != cause && !self.unsettled {
            // Another cause from now on: what went before keeps its own.
            self.tell_gap_so_far(cx.wall, cx.clock_trusted, true);
            self.pause = Pause {
                cause,
                detail: detail.to_owned(),
            };
        }
        self.run = None;
        self.end_cut();
    }

    /// The settings of its stream were changed, and recording was stopped: it goes on from where it
    /// is. `moved_from` is the directory of before, if it records to another one from now on: with numbers
    /// from `next_sequence` on, as the old one may still bring recordings of lower ones.
    pub fn settings_changed(
        mut self,
        name: StreamName,
        moved_from: Option<DirId>,
        next_sequence: u32,
    ) -> Recorder {
        self.name = name;
        self.told.next_sequence = self.told.next_sequence.max(next_sequence);
        if moved_from.is_some() {
            self.moving_from = self.moving_from.or(moved_from);
            self.unsettled = true;
            self.overflow = false;
        }
        self
    }

    /// Nothing is to be recorded from now on, or something again: the user's will.
    pub fn paused_by_user(&mut self, detail: &str) {
        self.pause = Pause {
            cause: GapCause::User,
            detail: detail.to_owned(),
        };
    }

    /// The connection is gone: what is left of an unfinished access unit goes.
    pub fn forget_unfinished(&mut self) {
        self.sync_awaited_since = None;
        self.buffer.truncate(self.complete);
    }
}
