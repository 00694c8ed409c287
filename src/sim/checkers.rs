//! What must be true of a world when the recorder is not running, and when the world has ended.
//!
//! At rest (after every power cut, kill and shutdown): each committed recording has its file, byte for
//! byte, its index agrees, the hash chain verifies, no sequence number was used twice, recordings of
//! a stream never overlap, nothing was put where a missing disk belongs. At the end, when everything
//! was healed for a while: what had been acknowledged is there, every stream records again, every gap
//! has a cause, no file is left over, and all limits were kept.

use crate::recording::{DirId, Recording, RecordingId, StreamId, chain, index};
use crate::sim::clock::true_wall_at;
use crate::sim::monitor::Broken;
use crate::sim::rows::{Rows, StreamRows};
use crate::sim::scenario::{Incident, RECOVERY_BOUND, SMALL_DISK_BYTES};
use crate::sim::witness::{FrameId, SentFrame, SentSession, StreamKey, StreamLog};
use crate::sim::world::World;
use crate::time::{Duration90k, Monotonic, Wall90k};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_128;

/// What was delivered this long before a crash, on a healthy disk, is on record: the sync interval and
/// as long again for writing it.
pub const SYNC_SLACK: Duration = Duration::from_millis(2_500);
/// A session is on record from this time on at the latest.
const START_ALLOWANCE: Duration = Duration::from_secs(20);
/// The longest time between recordings that need not be told of.
pub const GAP_TOLERANCE: Duration90k = Duration90k::from_secs(1);
/// Connections to a camera at once, for each of its streams: a new one and one being left.
const CONNECTIONS_A_STREAM: usize = 2;
/// Attempts to connect to a camera in a minute, for each of its streams.
const ATTEMPTS_A_MINUTE: usize = 40;
/// A recording starts within so much of when the camera took its first frame.
const TIME_TOLERANCE: Duration90k = Duration90k::from_secs(5);
/// How much older than its limit of days a recording may be: deleting goes by commits.
const DAYS_SLACK: Duration90k = Duration90k::from_secs(200);
/// How much longer than its limit of bytes a stream may be, in seconds of what it records.
const RETENTION_SLACK_SECS: i64 = 200;

/// What the checkers remember from one rest to the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// Every recording that was ever committed.
    seen: BTreeMap<RecordingId, Seen>,
    /// Those that had been there and are no more, and the latest time that the recorder's clock had
    /// shown when they were missed.
    deleted: BTreeMap<RecordingId, Wall90k>,
    /// Those that were taken in and given up in one commit, so that nothing is known of them.
    unseen: BTreeSet<RecordingId>,
    /// The frames found in recordings.
    recorded: BTreeMap<StreamKey, BTreeMap<FrameId, RecordingId>>,
}

/// What is remembered of a recording: the hashes of its bytes and of its chain, and when it ended.
#[derive(Clone, Copy, Debug)]
struct Seen {
    data_hash: [u8; 16],
    chain_hash: [u8; 32],
    /// The chain hash that it follows, where that can be known.
    follows: Option<[u8; 32]>,
    dir: DirId,
    /// Newer ones had been there before it.
    is_late: bool,
    end: Wall90k,
}

impl Memory {
    /// The frames of a stream that were found in recordings, byte for byte, and in which.
    pub fn recorded(&self, stream: StreamKey) -> impl Iterator<Item = (FrameId, RecordingId)> + '_ {
        let frames = self.recorded.get(&stream).into_iter().flatten();
        frames.map(|(frame, recording)| (*frame, *recording))
    }
}

/// Checks a world whose recorder has just ended, however it did.
pub fn check_at_rest(world: &mut World<'_>) -> Result<(), Broken> {
    for i in 0..world.disks.count() {
        let strays = world.disks.disk(i).strays();
        if !strays.is_empty() {
            let what = format!("{strays:?} where disk {i} belongs");
            return Err(Broken::new("disk-is-known", what));
        }
    }
    check_database(world, Files::All)
}

/// Checks a world whose database has just committed something.
pub fn check_after_commit(world: &mut World<'_>) -> Result<(), Broken> {
    check_database(world, Files::New)
}

/// Whose files are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Files {
    /// Those of recordings that were not seen before: they must be durable.
    New,
    /// All.
    All,
}

fn check_database(world: &mut World<'_>, files: Files) -> Result<(), Broken> {
    let rows = world.rows()?;
    let mut memory = std::mem::take(&mut world.memory);
    let result = check_rows(world, &rows, &mut memory, files);
    world.memory = memory;
    result
}

fn check_rows(
    world: &World<'_>,
    rows: &Rows,
    memory: &mut Memory,
    files: Files,
) -> Result<(), Broken> {
    let unseen = rows.garbage.iter().copied();
    let unseen = unseen.filter(|id| !memory.seen.contains_key(id));
    memory.unseen.extend(unseen.collect::<Vec<_>>());
    for (key, (id, stream)) in &rows.streams {
        let new = see_new(stream, *id, memory);
        let mut previous: Option<&Recording> = None;
        for (dir, r) in &stream.recordings {
            let fail = |rule, what: String| Err(Broken::new(rule, format!("{}: {what}", r.id)));
            if let Some(p) = previous {
                if p.start + p.wall_duration > r.start {
                    let over = p.start + p.wall_duration - r.start;
                    return fail("no-overlap", format!("begins {over} before {} ends", p.id));
                }
            }
            previous = Some(r);
            if let Some(seen) = memory.seen.get(&r.id) {
                if (seen.data_hash, seen.chain_hash) != (r.data_hash, r.chain_hash) {
                    return fail(
                        "sequence-once",
                        "is another recording than before".to_owned(),
                    );
                }
                if seen.follows.is_some_and(|h| chain::verify(&h, r).is_none()) {
                    return fail("chain", "does not follow the one before".to_owned());
                }
                if memory.deleted.contains_key(&r.id) {
                    return fail("sequence-once", "is back after it was deleted".to_owned());
                }
            }
            let is_new = new.contains(&r.id);
            if is_new || files == Files::All {
                let bytes = durable_bytes(world, rows, *dir, r)?;
                check_bytes(r, bytes)?;
                if let (true, Some(log)) = (is_new, world.witness.streams.get(key)) {
                    identify(r, bytes, log, memory.recorded.entry(*key).or_default())?;
                }
            }
            if let Some(seen) = memory.seen.get_mut(&r.id) {
                seen.end = r.start + r.wall_duration;
            }
        }
        let there: BTreeSet<RecordingId> = stream.recordings.iter().map(|(_, r)| r.id).collect();
        let of_stream = memory.seen.iter().filter(|(r, _)| r.stream == *id);
        let (there, gone): (Vec<_>, Vec<_>) = of_stream.partition(|(id, _)| there.contains(id));
        // A disk that is short of room takes it from what is on it, wherever the oldest is. What came late
        // came too late to be given up first.
        let rivals = |a: &Seen, b: &Seen| a.dir == b.dir || !world.scenario.squeezes_disks();
        let in_order = there.iter().filter(|(_, seen)| !seen.is_late);
        for (oldest, seen) in in_order {
            let newest_gone = gone.iter().rfind(|(_, gone)| rivals(gone, seen));
            if let Some((newest_gone, _)) = newest_gone.filter(|(id, _)| id > oldest) {
                let what = format!("{newest_gone} is gone and the older {oldest} is there");
                return Err(Broken::new("oldest-first", what));
            }
        }
        let gone: Vec<RecordingId> = gone.into_iter().map(|(id, _)| *id).collect();
        for id in gone {
            memory.deleted.entry(id).or_insert(world.latest_wall);
        }
    }
    Ok(())
}

/// Remembers what a stream has that was not seen before, and what each of that must follow in the chain: the
/// recording with the highest lower number that the database had when it took it.
fn see_new(rows: &StreamRows, stream: StreamId, memory: &mut Memory) -> BTreeSet<RecordingId> {
    let [first, last] = [0, u32::MAX].map(|sequence| RecordingId { stream, sequence });
    let mut found = BTreeSet::new();
    let by_id: BTreeMap<RecordingId, &(DirId, Recording)> =
        rows.recordings.iter().map(|r| (r.1.id, r)).collect();
    for id in &rows.taken {
        if memory.seen.contains_key(id) {
            continue;
        }
        let (dir, r) = by_id[id];
        let before = memory.seen.range(first..r.id).next_back();
        let is_late = memory.seen.range(r.id..=last).next().is_some();
        let follows = match before {
            // Its hash is not known to the database any more.
            Some((id, _)) if is_late && memory.deleted.contains_key(id) => None,
            Some((id, _)) if memory.unseen.range(*id..r.id).next().is_some() => None,
            None if memory.unseen.range(first..r.id).next().is_some() => None,
            Some((_, seen)) => Some(seen.chain_hash),
            None => Some([0; 32]),
        };
        let seen = Seen {
            data_hash: r.data_hash,
            chain_hash: r.chain_hash,
            follows,
            dir: *dir,
            is_late,
            end: r.start + r.wall_duration,
        };
        memory.seen.insert(r.id, seen);
        found.insert(r.id);
    }
    found
}

/// What of a recording's file no power cut could take away.
fn durable_bytes<'a>(
    world: &'a World<'_>,
    rows: &Rows,
    dir: DirId,
    r: &Recording,
) -> Result<&'a [u8], Broken> {
    let fail = |what: String| Broken::new("rows-and-files", format!("{}: {what}", r.id));
    let disk = rows.dirs.get(&dir).and_then(|path| world.disks.at(path));
    let disk = disk.ok_or_else(|| fail(format!("is in {dir:?}, which is nowhere")))?;
    let bytes = world
        .disks
        .disk(disk)
        .file_system
        .durable_bytes(&r.id.file_name());
    bytes.ok_or_else(|| fail("has no durable file".to_owned()))
}

/// A sample file's bytes against its recording's row.
fn check_bytes(r: &Recording, bytes: &[u8]) -> Result<(), Broken> {
    let fail = |what: String| Err(Broken::new("rows-and-files", format!("{}: {what}", r.id)));
    if bytes.len() as u64 != u64::from(r.sample_file_bytes) {
        return fail(format!(
            "the file has {} bytes, not {}",
            bytes.len(),
            r.sample_file_bytes
        ));
    }
    if xxh3_128(bytes).to_be_bytes() != r.data_hash {
        return fail("the file's bytes have another hash".to_owned());
    }
    let told = match index::totals(&r.index) {
        Ok(t) => t,
        Err(e) => return fail(e.to_string()),
    };
    let expected = index::Totals {
        samples: r.video_samples,
        sync_samples: r.video_sync_samples,
        bytes: r.sample_file_bytes,
        media_duration_90k: r.media_duration.0,
    };
    if told != expected {
        return fail(format!("its index tells of {told}, not {expected}"));
    }
    Ok(())
}

/// Finds which frame each sample is; each is one that the camera made, in order, and whole.
fn identify(
    r: &Recording,
    bytes: &[u8],
    log: &StreamLog,
    recorded: &mut BTreeMap<FrameId, RecordingId>,
) -> Result<(), Broken> {
    let fail = |what: String| Err(Broken::new("byte-for-byte", format!("{}: {what}", r.id)));
    let mut last: Option<FrameId> = None;
    for sample in index::samples(&r.index) {
        let s = sample.map_err(|e| Broken::new("rows-and-files", e.to_string()))?;
        let data = &bytes[s.offset as usize..(s.offset + s.bytes) as usize];
        if s.media_start_90k == 0 && s.offset == 0 && !s.is_sync {
            return fail("does not begin with a sync sample".to_owned());
        }
        let part = || {
            last.filter(|_| log.loses_packets)
                .and_then(|l| log.identify_part(data, l))
        };
        let Some(id) = log.identify(data).or_else(part) else {
            if last.is_none() && log.loses_packets {
                continue;
            }
            let what = log.describe(data);
            return fail(format!(
                "the sample at {}, {what}, is no frame of the camera",
                s.offset
            ));
        };
        if last.is_some_and(|l| l >= id) {
            return fail(format!("{id:?} comes after {last:?}"));
        }
        if let Some(other) = recorded.insert(id, r.id) {
            return fail(format!("{id:?} is in {other} too"));
        }
        last = Some(id);
    }
    Ok(())
}

/// Checks a world that has ended in good order after everything was healed.
pub fn check_at_the_end(world: &mut World<'_>) -> Result<(), Broken> {
    let rows = world.rows()?;
    let memory = std::mem::take(&mut world.memory);
    let result = check_end(world, &rows, &memory);
    world.memory = memory;
    result
}

fn check_end(world: &World<'_>, rows: &Rows, memory: &Memory) -> Result<(), Broken> {
    let empty_log = StreamLog::default();
    let empty_recorded = BTreeMap::new();
    for (camera, plan) in world.scenario.cameras.iter().enumerate() {
        for (kind, _) in plan.streams() {
            let key = (camera, kind);
            let Some((id, stream_rows)) = rows.streams.get(&key) else {
                let what = format!("cam{camera}/{} is unknown", kind.as_str());
                return Err(Broken::new("records-again", what));
            };
            let check = StreamCheck {
                world,
                key,
                id: *id,
                log: world.witness.streams.get(&key).unwrap_or(&empty_log),
                rows: stream_rows,
                recorded: memory.recorded.get(&key).unwrap_or(&empty_recorded),
            };
            check.records_again()?;
            check.acknowledged_is_kept()?;
            check.gaps_have_causes()?;
            check.in_its_time()?;
            check.retention(memory)?;
        }
        check_connections(world, camera)?;
    }
    check_left_over_files(world, rows)
}

/// One stream at the end of the world.
struct StreamCheck<'a, 'w> {
    world: &'a World<'w>,
    key: StreamKey,
    id: StreamId,
    log: &'a StreamLog,
    rows: &'a StreamRows,
    recorded: &'a BTreeMap<FrameId, RecordingId>,
}

impl StreamCheck<'_, '_> {
    fn fail(&self, rule: &'static str, what: String) -> Result<(), Broken> {
        let (camera, kind) = (self.key.0, self.key.1.as_str());
        Err(Broken::new(rule, format!("cam{camera}/{kind}: {what}")))
    }

    /// After the last incident it records again within a bound.
    fn records_again(&self) -> Result<(), Broken> {
        let from = self.world.scenario.healed;
        let by = from + RECOVERY_BOUND;
        if self.world.scenario.ends < by {
            return Ok(());
        }
        let frames = self.log.sessions.iter().flat_map(|s| &s.frames);
        let found = frames
            .filter(|f| f.delivered.is_some_and(|t| t >= from && t <= by))
            .any(|f| self.recorded.contains_key(&f.id));
        if found {
            return Ok(());
        }
        self.fail(
            "records-again",
            format!("nothing recorded within {RECOVERY_BOUND:?}"),
        )
    }

    /// What was delivered and could be written is there.
    fn acknowledged_is_kept(&self) -> Result<(), Broken> {
        let oldest = self.oldest_kept();
        for session in self.log.sessions.iter().filter(|s| s.strict) {
            let Some(first) = self.expected_from(session) else {
                continue;
            };
            for frame in &session.frames[first..] {
                let Some(at) = frame.delivered else {
                    continue;
                };
                if self.recorded.contains_key(&frame.id) || oldest.is_none_or(|o| at < o) {
                    continue;
                }
                if !self.is_excused(session, at) {
                    let secs = at.0 as f64 / 1e9;
                    let what = format!("{:?}, delivered at {secs:.3} s, is lost", frame.id);
                    return self.fail("acknowledged-is-kept", what);
                }
            }
        }
        Ok(())
    }

    /// The index of the first frame of a session that ought to be on record: one that is, or else the
    /// first after a while. Before its first sync sample a session cannot be recorded.
    fn expected_from(&self, session: &SentSession) -> Option<usize> {
        let recorded = session
            .frames
            .iter()
            .position(|f| self.recorded.contains_key(&f.id));
        recorded.or_else(|| {
            let first_sync = session.frames.iter().position(|f| self.log.is_sync(f.id))?;
            let from = session.opened + START_ALLOWANCE;
            let is_late = |f: &SentFrame| f.delivered.is_some_and(|at| at >= from);
            let late = session.frames[first_sync..].iter().position(is_late)?;
            Some(first_sync + late)
        })
    }

    fn is_excused(&self, session: &SentSession, at: Monotonic) -> bool {
        let witness = &self.world.witness;
        if witness
            .stop_after(session.opened)
            .is_some_and(|stop| stop.at <= at)
        {
            // It came while the recorder was saying good-bye.
            return true;
        }
        let by = at + self.world.sync_interval() + SYNC_SLACK;
        witness.crashed_within(at, by) || self.log.troubled(at, by)
    }

    /// When the oldest frame that is still kept was delivered; what came before was given up.
    fn oldest_kept(&self) -> Option<Monotonic> {
        let (_, oldest) = self.rows.recordings.first()?;
        let frames = self.log.sessions.iter().flat_map(|s| &s.frames);
        frames
            .filter(|f| self.recorded.get(&f.id) == Some(&oldest.id))
            .filter_map(|f| f.delivered)
            .min()
    }

    /// From the first recording to the last there is no time of which nothing is known.
    fn gaps_have_causes(&self) -> Result<(), Broken> {
        let (Some((_, first)), Some((_, last))) =
            (self.rows.recordings.first(), self.rows.recordings.last())
        else {
            return Ok(());
        };
        let mut known: Vec<(Wall90k, Wall90k)> = self
            .rows
            .recordings
            .iter()
            .map(|(_, r)| (r.start, r.start + r.wall_duration))
            .chain(self.rows.gaps.iter().map(|g| (g.start, g.end)))
            .collect();
        known.sort();
        let mut covered = first.start;
        for (start, end) in &known {
            let (start, end) = (*start, *end);
            if start > covered + GAP_TOLERANCE && covered < last.start {
                let spans: Vec<String> = known.iter().map(|(s, e)| format!("{s} {e}")).collect();
                let what = format!(
                    "nothing is known of {} from {covered} on, of:\n{}",
                    start - covered,
                    spans.join("\n")
                );
                return self.fail("gaps-have-causes", what);
            }
            covered = covered.max(end);
        }
        Ok(())
    }

    /// Where no clock was wrong but for being at 1970 for a while, recordings start when their first
    /// frames were taken.
    fn in_its_time(&self) -> Result<(), Broken> {
        if !self.world.scenario.has_honest_clocks() {
            return Ok(());
        }
        let mut first = BTreeMap::new();
        for session in self.log.sessions.iter().filter(|s| s.strict) {
            for frame in &session.frames {
                if let Some(id) = self.recorded.get(&frame.id) {
                    first.entry(*id).or_insert(frame.id);
                }
            }
        }
        for (_, r) in &self.rows.recordings {
            let taken = first.get(&r.id).and_then(|f| self.log.taken_at(*f));
            let (Some(taken), false) = (taken, r.clock_untrusted) else {
                continue;
            };
            let off = r.start - true_wall_at(taken);
            if off > TIME_TOLERANCE || off < -TIME_TOLERANCE {
                return self.fail("in-its-time", format!("{} starts {off} late", r.id));
            }
        }
        Ok(())
    }

    /// Limits hold, and nothing is given up without need.
    fn retention(&self, memory: &Memory) -> Result<(), Broken> {
        let plan = &self.world.scenario.cameras[self.key.0];
        let Some((_, plan)) = plan.streams().find(|(kind, _)| *kind == self.key.1) else {
            return Ok(());
        };
        let bytes: i64 = self
            .rows
            .recordings
            .iter()
            .map(|(_, r)| i64::from(r.sample_file_bytes))
            .sum();
        let gop_bytes = plan.sync_bytes + plan.other_bytes * (plan.gop_frames - 1) + 2_000;
        let bytes_a_sec = i64::from(gop_bytes * plan.frame_rate / plan.gop_frames);
        if let Some(limit) = plan.retain_bytes {
            let slack = bytes_a_sec * RETENTION_SLACK_SECS;
            if bytes > limit + slack {
                return self.fail("limits", format!("{bytes} bytes kept, {limit} wanted"));
            }
        }
        let now = self.world.clock.true_wall();
        let kept_from =
            |now: Wall90k, days: u32| now - Duration90k::from_secs(i64::from(days) * 86_400);
        let too_old = plan.retain_days.and_then(|days| {
            let from = kept_from(now, days) - DAYS_SLACK;
            let ends = |r: &Recording| r.start + r.wall_duration;
            self.rows.recordings.iter().find(|(_, r)| ends(r) < from)
        });
        if let Some((_, r)) = too_old {
            return self.fail("limits", format!("{} is too old to be kept", r.id));
        }
        let scenario = &self.world.scenario;
        let mut disks = scenario.disks.iter().enumerate();
        let mut incidents = scenario.incidents.iter();
        let squeezed = disks.any(|(i, d)| plan.is_on(i) && d.capacity < SMALL_DISK_BYTES)
            || incidents
                .any(|(_, i)| matches!(i, Incident::DiskFull { disk, .. } if plan.is_on(*disk)));
        let limited = plan.retain_bytes.is_some() || plan.was_limited;
        let needed = |(id, at): &(&RecordingId, &Wall90k)| {
            let end = memory.seen.get(id).map(|seen| seen.end);
            let from = plan.retain_days.map(|days| kept_from(**at, days));
            id.stream == self.id && (from.is_none() || end > from)
        };
        match memory.deleted.iter().find(needed) {
            Some((id, _)) if !squeezed && !limited => {
                self.fail("limits", format!("{id} was given up without need"))
            }
            _ => Ok(()),
        }
    }
}

fn check_connections(world: &World<'_>, camera: usize) -> Result<(), Broken> {
    let streams = world.scenario.cameras[camera].streams().count();
    let most = world.network.most_connections[camera];
    if most > streams * CONNECTIONS_A_STREAM {
        let what = format!("{most} connections to cam{camera} at once");
        return Err(Broken::new("limits", what));
    }
    let attempts: Vec<Monotonic> = world
        .network
        .attempts
        .iter()
        .filter(|(_, c)| *c == camera)
        .map(|(at, _)| *at)
        .collect();
    let most = streams * ATTEMPTS_A_MINUTE;
    for window in attempts.windows(most + 1) {
        if window[most].since(window[0]) < Duration::from_secs(60) {
            let what = format!("more than {most} connections to cam{camera} in a minute");
            return Err(Broken::new("limits", what));
        }
    }
    Ok(())
}

/// Each sample file belongs to a row or is about to be removed.
fn check_left_over_files(world: &World<'_>, rows: &Rows) -> Result<(), Broken> {
    let mut known: BTreeSet<RecordingId> = rows.garbage.clone();
    for (_, stream) in rows.streams.values() {
        known.extend(stream.recordings.iter().map(|(_, r)| r.id));
    }
    for i in 0..world.disks.count() {
        for name in world.disks.disk(i).file_system.names() {
            let id = RecordingId::from_file_name(name);
            if id.is_some_and(|id| !known.contains(&id)) {
                let what = format!("{name} on disk {i} belongs to nothing");
                return Err(Broken::new("rows-and-files", what));
            }
        }
    }
    Ok(())
}

/// Adds up what was found, for the run's report.
pub fn count(world: &mut World<'_>) {
    let Ok(rows) = world.rows() else {
        return;
    };
    let sent = world
        .witness
        .streams
        .values()
        .flat_map(|l| &l.sessions)
        .map(|s| s.frames.len());
    let frames_sent = sent.sum::<usize>() as u64;
    let frames_recorded = world.memory.recorded.values().map(|r| r.len() as u64).sum();
    let recordings = rows
        .streams
        .values()
        .map(|(_, s)| s.recordings.len() as u64)
        .sum();
    let gaps = rows
        .streams
        .values()
        .map(|(_, s)| s.gaps.len() as u64)
        .sum();
    let report = world.report_mut();
    report.frames_sent = frames_sent;
    report.frames_recorded = frames_recorded;
    report.recordings = recordings;
    report.gaps = gaps;
}
