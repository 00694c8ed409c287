//! Reading the journal back: what was being recorded, and up to which bytes it can be checked.
//!
//! Segments are read in the order of their numbers, each up to the first record that isn't right: what
//! follows a torn record was not acknowledged. A record that contradicts those before it (which a sound
//! writer does not make) is ignored.

use super::record::{self, HEADER_BYTES, Place, Progress, Record, RecordError};
use super::{FOLDER, segment_name, segment_number};
use crate::h264::VideoSampleEntry;
use crate::recording::directory::Directory;
use crate::recording::drift;
use crate::recording::index::{Cursor, IndexEncoder, Totals};
use crate::recording::reorder::GUESSED_DURATION_90K;
use crate::recording::writer::{MAX_INDEX_BYTES, UntimedSample};
use crate::recording::{OpenId, Recording, RecordingId, StreamId};
use crate::time::{Duration90k, Wall90k};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use uuid::Uuid;

/// Read from a segment at once.
const READ_BYTES: usize = 64 << 10;

/// More recordings than this are not taken from a journal: those with the highest ids are left alone.
/// The recorder stops long before if its database does not answer.
pub const MAX_RECORDINGS: usize = 1 << 14;

/// The newest checkpoints of a recording that are kept; it has one a second.
pub const MAX_CHECKPOINTS: usize = 1 << 10;

/// A point up to which a recording can be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The end of a sample.
    pub bytes: u32,
    /// XXH3-128 of the file up to there.
    pub digest: [u8; 16],
}

/// A recording that the journal tells of.
#[derive(Clone, Debug)]
pub struct Journaled {
    pub id: RecordingId,
    pub open: OpenId,
    pub run_offset: u32,
    pub clock_untrusted: bool,
    /// By the latest record: also true of a shorter recording.
    pub start: Wall90k,
    pub error: Duration90k,
    pub sample_entry: Arc<VideoSampleEntry>,
    pub index: Vec<u8>,
    /// The sample after those of the index.
    newest: Option<UntimedSample>,
    /// In the order of the records.
    pub checkpoints: VecDeque<Checkpoint>,
    /// It ended, and this is its end reason.
    pub finished: Option<String>,
    cursor: Cursor,
}

/// What a journal tells.
#[derive(Debug, Default)]
pub struct Replay {
    pub recordings: BTreeMap<RecordingId, Journaled>,
    /// For each stream the first sequence number that no record tells of.
    pub next_sequence: BTreeMap<StreamId, u32>,
    /// The segments that are there, in order.
    pub segments: Vec<u64>,
}

/// Reads all segments of a directory. An error of kind `NotFound` means that the journal is in use
/// and a segment went away meanwhile.
pub fn replay(dir: &dyn Directory, directory: Uuid) -> io::Result<Replay> {
    let names = dir.list(FOLDER)?;
    let mut segments: Vec<u64> = names.iter().filter_map(|n| segment_number(n)).collect();
    segments.sort_unstable();
    let mut out = Replay::default();
    for &segment in &segments {
        read_segment(dir, directory, segment, |r| out.take(r))?;
    }
    out.segments = segments;
    Ok(out)
}

/// Calls `f` with each record of a segment up to the first that isn't right.
fn read_segment(
    dir: &dyn Directory,
    directory: Uuid,
    segment: u64,
    mut f: impl FnMut(Record<'_>),
) -> io::Result<()> {
    let name = segment_name(segment);
    let mut place = Place {
        directory,
        segment,
        offset: 0,
    };
    let mut buf: Vec<u8> = Vec::new(); // What follows `place.offset`, as far as it was read.
    loop {
        let mut at = 0;
        let needed = loop {
            match record::parse(&buf[at..], &place) {
                Ok((r, len)) => {
                    f(r);
                    at += len;
                    place.offset += len as u64;
                }
                Err(RecordError::Truncated) => {
                    let payload = record::payload_len(&buf[at..]).unwrap_or(0);
                    break HEADER_BYTES + payload;
                }
                Err(_) => return Ok(()),
            }
        };
        buf.drain(..at);
        let have = buf.len();
        buf.resize(needed.max(have + READ_BYTES), 0);
        let read = dir.read_at(&name, place.offset + have as u64, &mut buf[have..])?;
        buf.truncate(have + read);
        if read == 0 {
            return Ok(());
        }
    }
}

impl Replay {
    fn take(&mut self, record: Record<'_>) {
        let id = match &record {
            Record::Full { progress, .. } | Record::Delta(progress) => progress.id,
            Record::Finished(r) => r.id,
        };
        let next = self.next_sequence.entry(id.stream).or_default();
        *next = (*next).max(id.sequence.saturating_add(1));
        match record {
            Record::Full {
                progress,
                open,
                run_offset,
                sample_entry,
            } => {
                let mut new = Journaled {
                    id,
                    open,
                    run_offset,
                    clock_untrusted: false,
                    start: Wall90k::default(),
                    error: Duration90k::ZERO,
                    sample_entry,
                    index: Vec::new(),
                    newest: None,
                    checkpoints: VecDeque::new(),
                    finished: None,
                    cursor: Cursor::default(),
                };
                if new.add(&progress) {
                    self.put(new);
                }
            }
            Record::Delta(progress) => {
                if let Some(j) = self.recordings.get_mut(&id) {
                    j.add(&progress);
                }
            }
            Record::Finished(r) => {
                if let Some(new) = Journaled::finished(r.into_owned()) {
                    self.put(new);
                }
            }
        }
    }

    /// Puts what is known of a recording in the place of what was known before.
    fn put(&mut self, mut new: Journaled) {
        if let Some(old) = self.recordings.remove(&new.id) {
            let newer = std::mem::replace(&mut new.checkpoints, old.checkpoints);
            newer.into_iter().for_each(|c| new.push_checkpoint(c));
        }
        self.recordings.insert(new.id, new);
        if self.recordings.len() > MAX_RECORDINGS {
            self.recordings.pop_last();
        }
    }
}

impl Journaled {
    /// Takes in a record; says whether it goes on from those before.
    fn add(&mut self, p: &Progress<'_>) -> bool {
        let from = p.index_from as usize;
        if from != self.index.len()
            || self.finished.is_some()
            || from + p.index.len() > MAX_INDEX_BYTES + READ_BYTES
        {
            return false;
        }
        self.index.extend_from_slice(p.index);
        let mut cursor = self.cursor;
        while let Some(s) = cursor.next(&self.index) {
            if s.is_err() {
                self.index.truncate(from);
                return false;
            }
        }
        let newest_bytes = p.newest.map_or(0, |s| s.bytes);
        let Some(bytes) = cursor.totals().bytes.checked_add(newest_bytes) else {
            self.index.truncate(from);
            return false;
        };
        self.cursor = cursor;
        self.newest = p.newest.filter(|s| s.bytes > 0);
        self.clock_untrusted = p.clock_untrusted;
        self.start = p.start;
        self.error = p.error;
        self.push_checkpoint(Checkpoint {
            bytes,
            digest: p.digest,
        });
        true
    }

    /// From the record of a recording that ended; `None` if it contradicts itself.
    fn finished(r: Recording) -> Option<Journaled> {
        let mut cursor = Cursor::default();
        while let Some(s) = cursor.next(&r.index) {
            s.ok()?;
        }
        let expected = Totals {
            samples: r.video_samples,
            sync_samples: r.video_sync_samples,
            bytes: r.sample_file_bytes,
            media_duration_90k: r.media_duration.0,
        };
        if *cursor.totals() != expected {
            return None;
        }
        let error = r.wall_duration - r.media_duration;
        if drift::wall_duration(r.media_duration, error) != r.wall_duration {
            return None;
        }
        Some(Journaled {
            id: r.id,
            open: r.open,
            run_offset: r.run_offset,
            clock_untrusted: r.clock_untrusted,
            start: r.start,
            error,
            sample_entry: r.sample_entry,
            index: r.index,
            newest: None,
            checkpoints: VecDeque::from([Checkpoint {
                bytes: r.sample_file_bytes,
                digest: r.data_hash,
            }]),
            finished: Some(r.end_reason),
            cursor,
        })
    }

    fn push_checkpoint(&mut self, c: Checkpoint) {
        if self.checkpoints.back() == Some(&c) {
            return;
        }
        if self.checkpoints.len() == MAX_CHECKPOINTS {
            self.checkpoints.pop_front();
        }
        self.checkpoints.push_back(c);
    }

    /// The end of all its samples.
    pub fn bytes(&self) -> u32 {
        let newest = self.newest.map_or(0, |s| s.bytes);
        self.cursor.totals().bytes + newest // Checked when they were added.
    }

    /// A sample ends at `bytes`.
    pub fn ends_at(&self, bytes: u32) -> bool {
        bytes > 0 && (bytes == self.bytes() || self.cursor_at(bytes).is_some())
    }

    /// The index of the samples up to the one that ends at `bytes`, and its sums. A sample whose
    /// duration is not known is given that of the one before.
    pub fn cut(mut self, bytes: u32) -> (Vec<u8>, Totals) {
        if let (Some(newest), true) = (self.newest, bytes == self.bytes()) {
            let duration = match self.cursor.last_duration_90k() {
                0 => GUESSED_DURATION_90K as i32,
                d => d,
            };
            if self.index.is_empty() {
                IndexEncoder::new(&mut self.index, false);
            }
            let mut encoder = self.cursor.encoder(&self.index);
            newest.append(&mut encoder, &mut self.index, duration);
            self.cursor = Cursor::default();
            while let Some(Ok(_)) = self.cursor.next(&self.index) {}
        } else if let Some(cursor) = self.cursor_at(bytes) {
            self.index.truncate(cursor.position());
            self.cursor = cursor;
        }
        (self.index, *self.cursor.totals())
    }

    fn cursor_at(&self, bytes: u32) -> Option<Cursor> {
        let mut cursor = Cursor::default();
        while cursor.totals().bytes < bytes {
            cursor.next(&self.index)?.ok()?;
        }
        (cursor.totals().bytes == bytes).then_some(cursor)
    }
}
