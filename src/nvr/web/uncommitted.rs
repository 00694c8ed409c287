//! Recordings that the database does not have yet: those that wait for a commit or for their disk, and
//! the one in progress, up to its last frame that can be read.

use crate::h264::VideoSampleEntry;
use crate::nvr::Nvr;
use crate::recording::{DirId, Place, Recording, StreamId, Summary};
use crate::time::Duration90k;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// A recording that the database does not have yet.
pub struct Uncommitted {
    pub summary: Summary,
    pub index: Arc<[u8]>,
    /// It is being recorded: there will be more of it.
    pub growing: bool,
}

/// The rows of the sample entries of recordings that are not committed yet, as far as they were asked
/// for. They never change.
#[derive(Default)]
pub struct SampleEntryRows(HashMap<Arc<VideoSampleEntry>, i64>);

impl SampleEntryRows {
    pub fn get(&self, entry: &Arc<VideoSampleEntry>) -> Option<i64> {
        self.0.get(entry).copied()
    }

    pub fn insert(&mut self, entry: Arc<VideoSampleEntry>, id: i64) {
        // A camera has a few in its life; one that lies may have many.
        if self.0.len() >= MAX_ROWS {
            self.0.clear();
        }
        self.0.insert(entry, id);
    }
}

/// Sample entries whose rows are remembered. Past it all are asked for again.
const MAX_ROWS: usize = 1_000;

/// One of them, not yet in its place.
struct Found<'a> {
    dir: DirId,
    recording: Cow<'a, Recording>,
    growing: bool,
    readable: bool,
}

impl Nvr {
    /// A sample entry of one of the stream's uncommitted recordings whose row is not known yet.
    pub(super) fn entry_without_row(&self, stream: StreamId) -> Option<Arc<VideoSampleEntry>> {
        let known = |e: &Arc<VideoSampleEntry>| self.web.entry_rows.get(e).is_some();
        let ended = self.ended(stream).map(|(_, r, _)| &r.sample_entry);
        let growing = self.streams.get(&stream).and_then(|s| s.recorder.growing());
        let growing = growing.as_ref().map(|g| g.writer.sample_entry());
        ended.chain(growing).find(|e| !known(e)).cloned()
    }

    /// Whether anything that is not committed can be read of a stream.
    pub(super) fn has_uncommitted(&self, stream: StreamId) -> bool {
        let growing = self.streams.get(&stream).and_then(|s| {
            let growing = s.recorder.growing()?;
            let readable = self.dirs.get(&s.dir())?.readable_bytes(growing.file);
            growing.writer.so_far(readable)
        });
        growing.is_some() || self.ended(stream).next().is_some()
    }

    /// The stream's uncommitted recordings, in order.
    pub(super) fn uncommitted(&self, stream: StreamId) -> Vec<Uncommitted> {
        let Some(s) = self.streams.get(&stream) else {
            return Vec::new();
        };
        let mut found: Vec<Found<'_>> = self
            .ended(stream)
            .map(|(dir, r, readable)| Found {
                dir,
                recording: Cow::Borrowed(r),
                growing: false,
                readable: readable >= u64::from(r.sample_file_bytes),
            })
            .collect();
        if let Some(g) = s.recorder.growing() {
            let dir = self.dirs.get(&s.dir());
            let readable = dir.map_or(0, |d| d.readable_bytes(g.file));
            found.extend(g.writer.so_far(readable).map(|recording| Found {
                dir: s.dir(),
                recording: Cow::Owned(recording),
                growing: true,
                readable: true,
            }));
        }
        found.sort_by_key(|f| f.recording.id);
        found.dedup_by_key(|f| f.recording.id);
        // What came before each: from the end backwards.
        let (mut media, mut runs) = s.recorder.sums_of_ended();
        let mut all = Vec::with_capacity(found.len());
        for f in found.into_iter().rev() {
            if !f.growing {
                media -= f.recording.media_duration;
                runs = runs.saturating_sub(u32::from(f.recording.run_offset == 0));
            }
            match f.readable.then(|| self.one(f, media, runs)).flatten() {
                Some(one) => all.push(one),
                // None that comes after one that cannot be read yet.
                None => all.clear(),
            }
        }
        all.reverse();
        all
    }

    fn one(&self, f: Found<'_>, media: Duration90k, runs: u32) -> Option<Uncommitted> {
        let recording = f.recording;
        let place = Place {
            dir: f.dir,
            sample_entry_id: self.web.entry_rows.get(&recording.sample_entry)?,
            prev_media_duration: media,
            prev_runs: runs,
        };
        Some(Uncommitted {
            // Our own index: it is in order.
            summary: Summary::of(&recording, place).ok()?,
            index: recording.index.as_slice().into(),
            growing: f.growing,
        })
    }

    /// The stream's recordings that have ended and are not committed, each with its directory and how
    /// much of it can be read.
    pub(super) fn ended(&self, stream: StreamId) -> impl Iterator<Item = (DirId, &Recording, u64)> {
        let pending = self.commit.pending();
        let durable = pending.map(|(dir, r)| (*dir, r, u64::from(r.sample_file_bytes)));
        let ending = self.dirs.values().flat_map(|d| {
            d.ended()
                .map(move |(recording, readable)| (d.id(), recording, readable))
        });
        durable
            .chain(ending)
            .filter(move |(_, r, _)| r.id.stream == stream)
    }
}
