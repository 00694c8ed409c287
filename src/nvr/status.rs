//! The daemon's state, for the pages and the service manager.

use super::directory::SampleDirectory;
use super::disk_health::Condition;
use super::{Nvr, Phase};
use crate::db::{StreamKind, StreamTotals};
use crate::recording::{DirId, GapCause, StreamId};
use crate::time::{Duration90k, Wall90k};
use std::path::PathBuf;
use uuid::Uuid;

/// A stream, as it is now.
#[derive(Clone, Debug)]
pub struct StreamStatus {
    pub id: StreamId,
    pub kind: StreamKind,
    /// It is wanted to be recorded.
    pub record: bool,
    /// It is being recorded.
    pub recording: bool,
    /// What the connection is doing, in a word or two.
    pub state: String,
    /// Why nothing is being recorded, and up to when something was.
    pub gap: Option<(GapCause, String, Wall90k)>,
    pub last_error: Option<(Wall90k, String)>,
    /// When the newest frame came.
    pub last_sample: Option<Wall90k>,
    /// `1920x1080 avc1.4d401f`.
    pub video: Option<String>,
    pub totals: StreamTotals,
    pub retain_bytes: Option<i64>,
    pub retain_days: Option<u32>,
    /// Of the recording in progress.
    pub in_progress_bytes: u64,
    pub in_progress_duration: Duration90k,
    /// RTP packets that never came, since the start of the program.
    pub lost_packets: u64,
    pub dir: DirId,
}

/// A camera, as it is now.
#[derive(Clone, Debug)]
pub struct CameraStatus {
    pub id: i32,
    pub uuid: Uuid,
    pub name: String,
    pub description: String,
    /// It is no more than its recordings.
    pub removed: bool,
    pub streams: Vec<StreamStatus>,
}

/// A sample directory, as it is now.
#[derive(Clone, Debug)]
pub struct DirStatus {
    pub id: DirId,
    pub path: PathBuf,
    pub ready: bool,
    /// Why it cannot be used.
    pub trouble: Option<String>,
    pub full: bool,
    /// What it is doing, in a word: `recording`, `ready`, `full`, `attaching`, `away`, `readOnly`, `failed`.
    pub state: &'static str,
    /// Since when it cannot be used.
    pub since: Option<Wall90k>,
    /// How often it has failed in use, since the start.
    pub errors: u64,
    /// Written to it, over the last minute.
    pub bytes_per_second: u64,
    pub free_bytes: Option<u64>,
    pub total_bytes: Option<u64>,
}

/// The daemon, as it is now.
#[derive(Clone, Debug)]
pub struct Status {
    pub now: Wall90k,
    pub clock_trusted: bool,
    pub stopping: bool,
    pub cameras: Vec<CameraStatus>,
    pub dirs: Vec<DirStatus>,
    /// Why the database took nothing when last asked.
    pub database_trouble: Option<String>,
    /// Recordings that are durable and wait for the next commit.
    pub uncommitted_recordings: usize,
    /// Bytes on their way to the disks, and in the streams' buffers.
    pub backlog_bytes: u64,
    pub buffered_bytes: u64,
    pub disk_operations: usize,
    pub reactor: Option<super::port::ReactorStats>,
}

impl Nvr {
    /// Tells how everything is. Cheap enough for a page that asks each second.
    pub fn status(&self, now: crate::time::Now) -> Status {
        let cameras = self.cameras.iter().map(|c| CameraStatus {
            id: c.id,
            uuid: c.uuid,
            name: c.name.clone(),
            description: c.description.clone(),
            removed: c.removed.is_some(),
            streams: c
                .streams
                .iter()
                .filter_map(|s| Some((s, self.stream_status(s.id)?)))
                // One that was removed is there as long as its recordings, those that are still being written
                // and committed among them.
                .filter(|(row, _)| !row.url.is_empty() || !self.is_empty(row.id))
                .map(|(_, s)| s)
                .collect(),
        });
        let dirs = self.dirs.values().map(|d| DirStatus {
            id: d.id(),
            path: d.path().to_owned(),
            ready: d.is_ready(),
            trouble: d.trouble().map(str::to_owned),
            full: d.is_full(),
            state: self.dir_state(d),
            since: d.health().since(),
            errors: d.health().errors(),
            bytes_per_second: d.health().bytes_per_second(now.monotonic),
            free_bytes: d.space().map(|s| s.free),
            total_bytes: d.space().map(|s| s.total),
        });
        Status {
            now: self.clock.as_ref().map_or(now.wall, |c| c.wall(now)),
            clock_trusted: self.clock.as_ref().is_some_and(super::Clock::is_trusted),
            stopping: matches!(self.phase, Phase::Stopping { .. } | Phase::Stopped),
            cameras: cameras.collect(),
            dirs: dirs.collect(),
            database_trouble: self.commit.trouble().map(str::to_owned),
            uncommitted_recordings: self.commit.pending().count(),
            backlog_bytes: self.buffers.lent_bytes(),
            buffered_bytes: self
                .streams
                .values()
                .map(|s| s.recorder.buffered_bytes() as u64)
                .sum(),
            disk_operations: self.out.disk_operations(),
            reactor: self.stats.clone(),
        }
    }

    fn dir_state(&self, d: &SampleDirectory) -> &'static str {
        let mut streams = self.streams.values();
        match (d.is_ready(), d.health().condition()) {
            (true, _) if d.is_full() => "full",
            (true, _) if streams.any(|s| s.dir() == d.id() && s.recorder.is_recording()) => {
                "recording"
            }
            (true, _) => "ready",
            (false, Condition::Good) => "attaching",
            (false, Condition::Away) => "away",
            (false, Condition::ReadOnly) => "readOnly",
            (false, Condition::Failed) => "failed",
        }
    }

    fn stream_status(&self, id: StreamId) -> Option<StreamStatus> {
        let s = self.streams.get(&id)?;
        let progress = s.recorder.in_progress();
        Some(StreamStatus {
            id,
            kind: s.name.kind,
            record: s.settings.record,
            recording: s.recorder.is_recording(),
            state: match &s.session {
                Ok(session) => session.state().to_owned(),
                Err(e) => e.clone(),
            },
            gap: s
                .recorder
                .pause()
                .map(|(c, d)| (c, d.to_owned(), s.recorder.told_until())),
            last_error: s.last_error.clone(),
            last_sample: s.recorder.last_sample(),
            video: s
                .recorder
                .entry()
                .map(|e| format!("{}x{} {}", e.width, e.height, e.rfc6381_codec)),
            totals: s.settings.totals,
            retain_bytes: s.settings.retain_bytes,
            retain_days: s.settings.retain_days,
            in_progress_bytes: progress.map_or(0, |(_, bytes, _)| bytes),
            in_progress_duration: progress.map_or(Duration90k::ZERO, |(_, _, d)| d),
            lost_packets: s.recorder.lost_packets(),
            dir: s.dir(),
        })
    }
}
