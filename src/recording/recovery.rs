//! Opening a sample directory: is it ours, and what was being recorded when it was last in use?
//!
//! A directory is known by its marker file ([`MARKER`]), never by its path: a disk that is not mounted
//! leaves an empty directory behind, and another recorder's disk looks like ours.
//!
//! What the database lacks is in the journal. Each such recording is cut to the longest whole samples
//! whose bytes match a digest of the journal, and taken as an ordinary recording; one of which
//! nothing matches vanishes with its file. No older file is looked at. Recovery can be cut short at
//! any point and done again.
//!
//! Called by the shells (it blocks), by `check` and by `export`; refuses what isn't surely ours.

use super::directory::Directory;
use super::journal::replay::{Checkpoint, Journaled, Replay, replay};
use super::{DirIdentity, Recording, RecordingId, StreamId, drift, journal};
use crate::time::{Duration90k, Wall90k};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

/// The marker file of a sample directory.
pub const MARKER: &str = "moonfire-nvr.toml";

/// A marker file is at most this long.
const MAX_MARKER_BYTES: usize = 4096;

/// Sample files are read in pieces of this size.
const READ_BYTES: usize = 256 << 10;

/// How often [`read_uncommitted`] begins anew because the journal went on meanwhile.
const MAX_ATTEMPTS: usize = 8;

/// The most recordings of a stream that are begun between two rounds of syncing: there is one.
const BEGUN_UNTOLD: u32 = 8;

/// The end reason of a recording that was being made when the recorder ended.
pub const ENDED_WITHOUT_NOTICE: &str = "recovered: the recorder ended without notice";

/// The end reason of a recording that had ended, but not all of it was on the disk.
pub const LOST_ITS_END: &str = "recovered: its end had not reached the disk";

/// What a directory is opened with.
#[derive(Clone, Debug)]
pub struct AttachRequest {
    pub identity: DirIdentity,
    /// An empty directory may be taken and marked as ours. A marked one that isn't ours never may.
    pub may_create: bool,
    /// It is only read, perhaps beside the recorder that writes to it: neither locked nor changed, and
    /// nothing is recovered.
    pub read_only: bool,
    /// How far the database has got with each stream. Others are left alone.
    pub committed: BTreeMap<StreamId, Committed>,
}

/// How far the database has got with a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The sequence number of its next recording.
    pub next_sequence: u32,
    /// Numbers below that of which it has never had a recording, in order.
    pub holes: Vec<Range<u32>>,
}

impl Committed {
    /// The database has never had a recording of this number.
    pub fn lacks(&self, sequence: u32) -> bool {
        sequence >= self.next_sequence || self.holes.iter().any(|h| h.contains(&sequence))
    }

    /// Nor one of a higher number.
    pub fn lacks_from(&self, sequence: u32) -> bool {
        let last = self.holes.last();
        let end = last.filter(|h| h.end == self.next_sequence);
        sequence >= end.map_or(self.next_sequence, |h| h.start)
    }

    /// It has, or is going to have, this one.
    pub fn add(&mut self, sequence: u32) {
        if sequence >= self.next_sequence {
            if sequence > self.next_sequence {
                self.holes.push(self.next_sequence..sequence);
            }
            self.next_sequence = sequence + 1;
            return;
        }
        let Some(i) = self.holes.iter().position(|h| h.contains(&sequence)) else {
            return;
        };
        let hole = self.holes[i].clone();
        let rest = [hole.start..sequence, sequence + 1..hole.end];
        let rest = rest.into_iter().filter(|r| !r.is_empty());
        self.holes.splice(i..=i, rest);
    }
}

/// A directory that was opened and found in order.
#[derive(Clone, Debug, Default)]
pub struct Attached {
    /// Recordings that the journal tells of and the database lacks, each stream's in order, their
    /// bytes verified and their files cut to fit and durable.
    pub recovered: Vec<Recording>,
    /// How far each stream has got that the journal tells of, also where nothing could be recovered.
    pub streams: BTreeMap<StreamId, Reached>,
    /// The first number free for a new journal segment.
    pub next_segment: u64,
    /// The journal segments that are there. They hold what was recovered until the new journal does:
    /// to be handed to [`journal::Journal::new`].
    pub segments: Vec<u64>,
}

/// How far a stream has got in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The first sequence number that was neither committed nor journaled.
    pub next_sequence: u32,
    /// The end of the last recording that was recovered; the gap begins there.
    pub last_end: Option<Wall90k>,
}

/// Why a directory is refused.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error("there is no such directory")]
    Missing,
    #[error("it has no marker file: the disk is not mounted, or it is a new one")]
    NoMarker,
    #[error("it is not empty and has no marker file: it is not taken as a new one")]
    NotEmpty,
    #[error("its marker file cannot be understood: {0}")]
    BadMarker(String),
    #[error("it belongs to another recorder or is another directory (its marker says {found:?})")]
    Foreign { found: DirIdentity },
    #[error("another program is using it")]
    Locked,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Opens a directory: checks or makes its marker, and recovers what its journal tells. Keeping
/// others out (the lock) is the caller's.
pub fn attach(dir: &dyn Directory, request: &AttachRequest) -> Result<Attached, AttachError> {
    match read_marker(dir)? {
        Some(found) if found == request.identity => {}
        Some(found) => return Err(AttachError::Foreign { found }),
        None if request.may_create && !request.read_only => create_marker(dir, &request.identity)?,
        None => return Err(AttachError::NoMarker),
    }
    if request.read_only {
        return Ok(Attached::default());
    }
    dir.create_dir(journal::FOLDER)?;

    let replay = replay(dir, request.identity.directory)?;
    let settled = settle(dir, &replay, &request.committed)?;
    for r in &settled.kept {
        dir.truncate(&r.id.file_name(), u64::from(r.sample_file_bytes))?;
    }
    for id in settled.lost {
        dir.unlink(&id.file_name())?;
    }
    for id in begun_untold(dir, &replay, &request.committed)? {
        dir.unlink(&id.file_name())?;
    }
    dir.sync()?;
    Ok(Attached {
        streams: reached(&replay, &request.committed, &settled.kept),
        recovered: settled.kept,
        next_segment: replay.segments.last().map_or(0, |s| s + 1),
        segments: replay.segments,
    })
}

/// What [`attach`] would recover, without changing anything: for reading beside a running recorder.
/// `committed` should have been read before; recordings committed meanwhile may be among these.
pub fn read_uncommitted(
    dir: &dyn Directory,
    identity: &DirIdentity,
    committed: &BTreeMap<StreamId, Committed>,
) -> Result<Vec<Recording>, AttachError> {
    match read_marker(dir)? {
        Some(found) if found == *identity => {}
        Some(found) => return Err(AttachError::Foreign { found }),
        None => return Err(AttachError::NoMarker),
    }
    let mut attempt = 0;
    loop {
        attempt += 1;
        match replay(dir, identity.directory) {
            Ok(replay) => return Ok(settle(dir, &replay, committed)?.kept),
            // A segment went away, which is after the next one has told all of it.
            Err(e) if e.kind() == io::ErrorKind::NotFound && attempt < MAX_ATTEMPTS => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// The marker file's content.
#[derive(Deserialize)]
struct Marker {
    format: u32,
    database: Uuid,
    directory: Uuid,
}

/// The version of all that is in a sample directory.
const FORMAT: u32 = 1;

/// Reads a directory's marker file; `None` if it has none.
pub fn read_marker(dir: &dyn Directory) -> Result<Option<DirIdentity>, AttachError> {
    let bad = |e: &str| AttachError::BadMarker(e.trim_end().to_owned());
    let missing = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => AttachError::Missing,
        _ => AttachError::Io(e),
    };
    dir.list("").map_err(missing)?;
    if dir.len(MARKER)?.is_none() {
        return Ok(None);
    }
    let mut buf = vec![0; MAX_MARKER_BYTES];
    let len = read_full(dir, MARKER, 0, &mut buf)?;
    let text = std::str::from_utf8(&buf[..len]).map_err(|_| bad("it is not text"))?;
    let m: Marker = toml::from_str(text).map_err(|e| bad(&e.to_string()))?;
    if m.format != FORMAT {
        return Err(bad(&format!(
            "format {} is not known, only {FORMAT}",
            m.format
        )));
    }
    Ok(Some(DirIdentity {
        database: m.database,
        directory: m.directory,
    }))
}

/// Takes an empty directory as ours.
fn create_marker(dir: &dyn Directory, identity: &DirIdentity) -> Result<(), AttachError> {
    let leftover = |name: &str| name.strip_prefix(MARKER) == Some(super::directory::TEMPORARY);
    let ours = |name: &String| name == "lost+found" || leftover(name);
    if !dir.list("")?.iter().all(ours) {
        return Err(AttachError::NotEmpty);
    }
    let DirIdentity {
        database,
        directory,
    } = identity;
    let text = format!(
        "# This folder holds video recorded by Moonfire NVR. Its files belong to the database with the\n\
         # UUID below: do not add, change or remove any. This file tells the recorder that the right\n\
         # disk is mounted here.\n\
         format = {FORMAT}\n\
         database = \"{database}\"\n\
         directory = \"{directory}\"\n"
    );
    Ok(dir.put(MARKER, text.as_bytes())?)
}

/// Sample files of recordings that were begun so shortly before the end that no journal tells of them.
/// Their numbers may not be used again in this directory, so nothing else would remove them.
fn begun_untold(
    dir: &dyn Directory,
    replay: &Replay,
    committed: &BTreeMap<StreamId, Committed>,
) -> io::Result<Vec<RecordingId>> {
    let mut found = Vec::new();
    for (&stream, c) in committed {
        let told = replay.next_sequence.get(&stream).copied();
        let holes = c.holes.iter().map(|h| h.start);
        let candidates: BTreeSet<u32> = holes
            .chain([c.next_sequence])
            .chain(told)
            .flat_map(|first| first..first.saturating_add(BEGUN_UNTOLD))
            .filter(|n| c.lacks(*n))
            .collect();
        for sequence in candidates {
            let id = RecordingId { stream, sequence };
            let is_told = replay.recordings.contains_key(&id);
            if !is_told && dir.len(&id.file_name())?.is_some() {
                found.push(id);
            }
        }
    }
    Ok(found)
}

fn reached(
    replay: &Replay,
    committed: &BTreeMap<StreamId, Committed>,
    kept: &[Recording],
) -> BTreeMap<StreamId, Reached> {
    let of_stream = |(&stream, &next): (&StreamId, &u32)| {
        let c = committed.get(&stream)?;
        let last = kept.iter().rev().find(|r| r.id.stream == stream);
        let reached = Reached {
            next_sequence: next.max(c.next_sequence),
            last_end: last.map(|r| r.start + r.wall_duration),
        };
        Some((stream, reached))
    };
    replay.next_sequence.iter().filter_map(of_stream).collect()
}

/// What became of the recordings that the database lacks.
#[derive(Default)]
struct Settled {
    kept: Vec<Recording>,
    /// Nothing of these is on the disk.
    lost: Vec<RecordingId>,
}

/// The stream's recording before the one that is looked at.
#[derive(Clone, Copy)]
struct Before {
    stream: StreamId,
    sequence: Option<u32>,
    end: Option<Wall90k>,
    /// It, or one after it, lost its end: the next one does not follow on. What is to be taken off
    /// the run offsets then.
    run_base: u32,
    is_cut: bool,
}

/// Verifies all recordings that the database lacks, in order.
fn settle(
    dir: &dyn Directory,
    replay: &Replay,
    committed: &BTreeMap<StreamId, Committed>,
) -> io::Result<Settled> {
    let mut out = Settled::default();
    let mut buf = vec![0; READ_BYTES];
    let mut before: Option<Before> = None;
    for j in replay.recordings.values() {
        let Some(c) = committed.get(&j.id.stream) else {
            continue;
        };
        if !c.lacks(j.id.sequence) {
            continue;
        }
        let follows = j.id.sequence.checked_sub(1);
        let b = match &mut before {
            Some(b) if b.stream == j.id.stream => b,
            _ => before.insert(Before {
                stream: j.id.stream,
                sequence: None,
                end: None,
                run_base: 0,
                is_cut: false,
            }),
        };
        b.is_cut |= b.sequence != follows && follows.is_none_or(|n| c.lacks(n));
        b.sequence = Some(j.id.sequence);
        match longest_prefix(dir, j, &mut buf)? {
            Some((bytes, data_hash)) => out.kept.push(keep(j, bytes, data_hash, b)),
            None => {
                b.is_cut = true;
                out.lost.push(j.id);
            }
        }
    }
    Ok(out)
}

/// The recording that is left of `j` when it's cut to `bytes`.
fn keep(j: &Journaled, bytes: u32, data_hash: [u8; 16], before: &mut Before) -> Recording {
    let is_whole = bytes == j.bytes();
    let (index, totals) = j.clone().cut(bytes);
    if j.run_offset == 0 {
        before.run_base = 0;
    } else if before.is_cut {
        before.run_base = j.run_offset;
    }
    let media_duration = Duration90k(totals.media_duration_90k);
    let end_reason = match &j.finished {
        Some(reason) if is_whole => reason,
        Some(_) => LOST_ITS_END,
        None => ENDED_WITHOUT_NOTICE,
    };
    let r = Recording {
        id: j.id,
        open: j.open,
        run_offset: j.run_offset.saturating_sub(before.run_base),
        start: before.end.map_or(j.start, |end| j.start.max(end)),
        wall_duration: drift::wall_duration(media_duration, j.error),
        media_duration,
        clock_untrusted: j.clock_untrusted,
        sample_file_bytes: totals.bytes,
        video_samples: totals.samples,
        video_sync_samples: totals.sync_samples,
        sample_entry: j.sample_entry.clone(),
        index,
        data_hash,
        chain_hash: [0; 32],
        end_reason: end_reason.into(),
    };
    before.end = Some(r.start + r.wall_duration);
    before.is_cut = !is_whole || r.end_reason == ENDED_WITHOUT_NOTICE;
    r
}

/// The longest whole samples whose bytes are on the disk as the journal says, and their XXH3-128.
/// One pass over the file with one buffer. Bytes that can't be read count as not there.
fn longest_prefix(
    dir: &dyn Directory,
    j: &Journaled,
    buf: &mut [u8],
) -> io::Result<Option<(u32, [u8; 16])>> {
    let name = j.id.file_name();
    let Some(len) = dir.len(&name)? else {
        return Ok(None);
    };
    let mut checkpoints: Vec<Checkpoint> = j
        .checkpoints
        .iter()
        .filter(|c| u64::from(c.bytes) <= len)
        .copied()
        .collect();
    checkpoints.sort_by_key(|c| c.bytes);

    let (mut hasher, mut at, mut best) = (Xxh3::new(), 0, None);
    for c in checkpoints {
        while at < c.bytes {
            let want = buf.len().min((c.bytes - at) as usize);
            match read_full(dir, &name, u64::from(at), &mut buf[..want]) {
                Ok(read) if read == want => {}
                _ => return Ok(best),
            }
            hasher.update(&buf[..want]);
            at += want as u32;
        }
        if hasher.digest128().to_be_bytes() == c.digest && j.ends_at(c.bytes) {
            best = Some((c.bytes, c.digest));
        }
    }
    Ok(best)
}

/// Reads until `buf` is full or the file ends.
fn read_full(dir: &dyn Directory, name: &str, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buf.len() {
        match dir.read_at(name, offset + read as u64, &mut buf[read..])? {
            0 => break,
            n => read += n,
        }
    }
    Ok(read)
}
