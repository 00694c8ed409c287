//! One recording being made: its index, its place in time, its hash.
//!
//! The owner (one for each stream that records) gives the writer each sample's facts ([`Writer::add`])
//! and, separately, the bytes as they are handed to the disk ([`Writer::written`]): frames gather in
//! between. A sample's duration is known when the next one comes, so the newest sample is in the
//! index only then; the last one's comes from the first of the next recording or, at the end of a
//! run, is taken to be that of the sample before.
//!
//! The journal takes from the writer what a recording would be if nothing more of it came
//! ([`super::journal::Journal::checkpoint`]): the samples that are wholly written and the hash of their
//! bytes. If the newest one is among them its duration is not known; recovery takes that of the
//! sample before.
//!
//! The writer refuses ([`WriterError`]) to begin without a sync sample and to grow past its limits, and
//! asks for a new run where time breaks. It does no I/O, and allocates at its start and
//! where its index turns out unusually long.

use super::drift::{Drift, Lost};
use super::index::{Cursor, IndexEncoder, Sample};
use super::reorder::{GUESSED_DURATION_90K, Reorder};
use super::{GapCause, OpenId, Recording, RecordingId, rotation};
use crate::h264::VideoSampleEntry;
use crate::time::{Duration90k, Wall90k};
use std::fmt;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// An index may become this large; at 240 frames a second that takes 15 minutes and 4 bytes a frame.
pub const MAX_INDEX_BYTES: usize = 1 << 20;

/// Room that every index has from the start, so that none asks for memory as it grows unless frames
/// come faster or recordings are longer than usual: 90 s of 30 frames a second at 3 bytes.
const USUAL_INDEX_BYTES: usize = 8 << 10;

/// What is carried from one recording of a run to the next. A run has no gap within.
#[derive(Clone, Debug)]
pub struct Run {
    offset: u32,
    reorder: Reorder,
    drift: Drift,
    /// The size of the last index: what to make room for.
    index_bytes: usize,
}

impl Run {
    /// A new run: a stream begins, or goes on after a gap. `not_before` is the end of the stream's last
    /// recording.
    pub fn new(not_before: Option<Wall90k>) -> Run {
        Run {
            offset: 0,
            reorder: Reorder::default(),
            drift: Drift::new(not_before),
            index_bytes: 0,
        }
    }

    /// The run offset of its next recording.
    pub fn offset(&self) -> u32 {
        self.offset
    }
}

/// What a recording starts with.
#[derive(Debug)]
pub struct Start {
    pub id: RecordingId,
    pub open: OpenId,
    pub run: Run,
    pub sample_entry: Arc<VideoSampleEntry>,
    pub clock_untrusted: bool,
}

/// A sample as it comes from the stream.
#[derive(Clone, Copy, Debug)]
pub struct NewSample {
    /// When it is to be presented: RTP timestamp, unwrapped.
    pub pts: i64,
    /// Its size, never zero.
    pub bytes: u32,
    pub is_sync: bool,
    /// When its last byte was received.
    pub arrival: Wall90k,
}

/// Why a sample was not added. The writer is as it was before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriterError {
    #[error("a recording begins with a sync sample")]
    NotSync,
    #[error("a sample without bytes")]
    Empty,
    /// Finish it and the run; [`super::rotation::Rotation`] should have said so before.
    #[error("the recording is as large as it may be")]
    Full,
    /// Finish it and begin a new run with this sample, or the next that is a sync sample. Where `ahead`
    /// is given, only the place in time is off, by so much, and [`Writer::keep_time`] makes it take
    /// samples until then.
    #[error("{reason}")]
    NewRun {
        cause: GapCause,
        reason: String,
        ahead: Option<Duration90k>,
    },
    /// Only by [`Writer::finish`].
    #[error("not all of its bytes were handed to the disk, or it has no samples")]
    Unfinished,
}

/// See the module.
pub struct Writer {
    id: RecordingId,
    open: OpenId,
    sample_entry: Arc<VideoSampleEntry>,
    clock_untrusted: bool,
    run: Run,
    /// All samples but the newest.
    index: Vec<u8>,
    encoder: IndexEncoder,
    last_duration_90k: i32,
    newest: Option<Newest>,
    first_dts: i64,
    /// The first sample's composition offset.
    first_offset_90k: i32,
    samples: u32,
    sync_samples: u32,
    bytes: u32,
    /// The bytes that were handed to the disk, and their hash.
    written: u32,
    hasher: Box<Xxh3>,
    /// The end of the last sample that is wholly written, and the hash up to there.
    whole: u32,
    whole_digest: [u8; 16],
    /// The samples of the index that are wholly written, or most of them.
    covered: Cursor,
    journaled: Journaled,
}

/// The sample whose duration is not known yet.
#[derive(Clone, Copy, Debug)]
struct Newest {
    dts: i64,
    sample: UntimedSample,
}

/// A sample of which the duration is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UntimedSample {
    pub composition_offset_90k: i32,
    pub bytes: u32,
    pub is_sync: bool,
}

impl UntimedSample {
    /// Appends it to an index. Returns whether all of that was encoded anew.
    pub fn append(
        &self,
        encoder: &mut IndexEncoder,
        index: &mut Vec<u8>,
        duration_90k: i32,
    ) -> bool {
        let sample = Sample {
            media_start_90k: 0,
            duration_90k,
            composition_offset_90k: self.composition_offset_90k,
            offset: 0,
            bytes: self.bytes,
            is_sync: self.is_sync,
        };
        encoder.add(index, &sample)
    }
}

/// What the journal has of a recording.
#[derive(Clone, Copy, Debug, Default)]
struct Journaled {
    /// The segment whose records make up a whole.
    segment: Option<u64>,
    index_bytes: usize,
    whole: u32,
}

/// What a recording would be if nothing more of it came.
#[derive(Debug)]
pub(super) struct Checkpoint<'a> {
    pub writer: &'a Writer,
    /// It goes on from the last one in the same segment.
    pub is_delta: bool,
    /// Where `index` begins.
    pub index_from: usize,
    /// Of the samples that are wholly written and whose durations are known.
    pub index: &'a [u8],
    /// The sample after these, if it is wholly written.
    pub newest: Option<UntimedSample>,
    pub start: Wall90k,
    pub error: Duration90k,
    /// XXH3-128 of the bytes of all these samples.
    pub digest: [u8; 16],
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("id", &self.id)
            .field("samples", &self.samples)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Writer {
    pub fn start(s: Start) -> Writer {
        let mut run = s.run;
        run.reorder.raise_depth(s.sample_entry.reorder_frames);
        let room = USUAL_INDEX_BYTES.max(run.index_bytes + run.index_bytes / 8);
        let mut index = Vec::with_capacity(room);
        let encoder = IndexEncoder::new(&mut index, run.reorder.depth() > 0);
        Writer {
            id: s.id,
            open: s.open,
            sample_entry: s.sample_entry,
            clock_untrusted: s.clock_untrusted,
            run,
            index,
            encoder,
            last_duration_90k: GUESSED_DURATION_90K as i32,
            newest: None,
            first_dts: 0,
            first_offset_90k: 0,
            samples: 0,
            sync_samples: 0,
            bytes: 0,
            written: 0,
            hasher: Box::new(Xxh3::new()),
            whole: 0,
            whole_digest: [0; 16],
            covered: Cursor::default(),
            journaled: Journaled::default(),
        }
    }

    /// Adds a sample, in decoding order.
    pub fn add(&mut self, s: NewSample) -> Result<(), WriterError> {
        if s.bytes == 0 {
            return Err(WriterError::Empty);
        }
        if self.newest.is_none() && !s.is_sync {
            return Err(WriterError::NotSync);
        }
        let bytes = self
            .bytes
            .checked_add(s.bytes)
            .filter(|&b| b <= rotation::MAX_SAMPLE_FILE_BYTES)
            .filter(|_| self.index.len() < MAX_INDEX_BYTES)
            .ok_or(WriterError::Full)?;

        let mut reorder = self.run.reorder;
        let times = reorder.next(s.pts).map_err(|d| WriterError::NewRun {
            cause: GapCause::Camera,
            reason: d.to_string(),
            ahead: None,
        })?;
        if self.newest.is_none() {
            self.first_dts = times.dts_90k;
            self.first_offset_90k = times.composition_offset_90k;
        }
        let media = Duration90k(times.dts_90k.saturating_sub(self.first_dts));
        let duration = match &self.newest {
            None => 0,
            Some(n) => duration_between(n.dts, times.dts_90k)?,
        };
        self.run
            .drift
            .arrived(media, s.arrival)
            .map_err(|l| new_run(&l))?;

        // Nothing fails from here on.
        self.run.reorder = reorder;
        self.push_newest(duration);
        self.newest = Some(Newest {
            dts: times.dts_90k,
            sample: UntimedSample {
                composition_offset_90k: times.composition_offset_90k,
                bytes: s.bytes,
                is_sync: s.is_sync,
            },
        });
        self.samples += 1;
        self.sync_samples += u32::from(s.is_sync);
        self.bytes = bytes;
        Ok(())
    }

    /// Goes on where it is in time, although samples arrive so much later than that says (or earlier),
    /// until the run can end: see [`WriterError::NewRun`].
    pub fn keep_time(&mut self, ahead: Duration90k) {
        self.run.drift.keep_time(ahead);
    }

    /// Puts the newest sample into the index, now that its duration is known.
    fn push_newest(&mut self, duration_90k: i32) {
        let Some(n) = self.newest.take() else {
            return;
        };
        if n.sample
            .append(&mut self.encoder, &mut self.index, duration_90k)
        {
            self.covered = Cursor::default();
            self.journaled = Journaled::default();
        }
        self.last_duration_90k = duration_90k;
    }

    /// These bytes are handed to the disk: the samples' own, in order, in pieces of any size.
    pub fn written(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() as u64 + u64::from(self.written) <= u64::from(self.bytes));
        let before = self.written;
        self.written = before.saturating_add(bytes.len() as u32);
        let whole = if self.written >= self.bytes {
            self.bytes
        } else {
            self.cover(self.written)
        };
        let mut rest = bytes;
        if whole > self.whole && whole >= before {
            let (head, tail) = bytes.split_at(bytes.len().min((whole - before) as usize));
            self.hasher.update(head);
            self.whole = whole;
            self.whole_digest = self.hasher.digest128().to_be_bytes();
            rest = tail;
        }
        self.hasher.update(rest);
    }

    /// Moves `covered` on to the last sample in the index that ends at or before `bytes`, and returns
    /// its end.
    fn cover(&mut self, bytes: u32) -> u32 {
        let mut next = self.covered;
        while let Some(Ok(s)) = next.next(&self.index) {
            if s.offset + s.bytes > bytes {
                break;
            }
            self.covered = next;
        }
        self.covered.totals().bytes
    }

    /// What is new since the last checkpoint in the journal's segment, or all if there was none in it.
    /// `None` if nothing is new.
    pub(super) fn checkpoint(&mut self, segment: u64) -> Option<Checkpoint<'_>> {
        let is_delta = self.journaled.segment == Some(segment);
        if self.whole == 0 || is_delta && self.journaled.whole == self.whole {
            return None;
        }
        // What is wholly written and not in the index is the newest.
        let newest = if self.cover(self.whole) < self.whole {
            self.newest.map(|n| n.sample)
        } else {
            None
        };
        let index_from = if is_delta {
            self.journaled.index_bytes
        } else {
            0
        };
        self.journaled = Journaled {
            segment: Some(segment),
            index_bytes: self.covered.position(),
            whole: self.whole,
        };
        Some(Checkpoint {
            is_delta,
            index_from,
            index: &self.index[index_from..self.covered.position()],
            newest,
            start: self.run.drift.start(),
            error: self.run.drift.error(),
            digest: self.whole_digest,
            writer: self,
        })
    }

    /// Ends the recording. `next_pts` is the PTS of the sample that follows in the run; without one (the
    /// run ends too) the last sample lasts as long as the one before it. All bytes must have been
    /// handed over.
    pub fn finish(
        mut self,
        next_pts: Option<i64>,
        end_reason: &str,
    ) -> Result<(Recording, Run), WriterError> {
        let Some(newest) = self.newest else {
            return Err(WriterError::Unfinished);
        };
        if self.written != self.bytes {
            return Err(WriterError::Unfinished);
        }
        let mut reorder = self.run.reorder;
        let duration = next_pts
            .and_then(|pts| reorder.next(pts).ok())
            .and_then(|t| duration_between(newest.dts, t.dts_90k).ok())
            .unwrap_or(self.last_duration_90k);
        self.push_newest(duration);
        let media = newest.dts.saturating_sub(self.first_dts) + i64::from(duration);
        let start = self.run.drift.start();
        let wall_duration = self.run.drift.end_recording(Duration90k(media));
        let recording = Recording {
            id: self.id,
            open: self.open,
            run_offset: self.run.offset,
            start,
            wall_duration,
            media_duration: Duration90k(media),
            clock_untrusted: self.clock_untrusted,
            sample_file_bytes: self.bytes,
            video_samples: self.samples,
            video_sync_samples: self.sync_samples,
            sample_entry: self.sample_entry,
            index: self.index,
            data_hash: self.whole_digest,
            chain_hash: [0; 32],
            end_reason: end_reason.into(),
        };
        self.run.offset += 1;
        self.run.index_bytes = recording.index.len();
        Ok((recording, self.run))
    }

    pub fn id(&self) -> RecordingId {
        self.id
    }

    pub fn open(&self) -> OpenId {
        self.open
    }

    pub fn run_offset(&self) -> u32 {
        self.run.offset
    }

    pub fn sample_entry(&self) -> &Arc<VideoSampleEntry> {
        &self.sample_entry
    }

    pub fn clock_untrusted(&self) -> bool {
        self.clock_untrusted
    }

    /// From the first sample's decoding time to the newest one's.
    pub fn media_duration(&self) -> Duration90k {
        Duration90k(
            self.newest
                .map_or(0, |n| n.dts.saturating_sub(self.first_dts)),
        )
    }

    /// The newest sample, as if it lasted as long as the one before it; `None` before the first.
    /// Its offset in the file and its composition offset count from the first sample's.
    pub fn newest(&self) -> Option<Sample> {
        let n = self.newest.as_ref()?;
        Some(Sample {
            media_start_90k: n.dts.saturating_sub(self.first_dts),
            duration_90k: self.last_duration_90k,
            composition_offset_90k: n
                .sample
                .composition_offset_90k
                .saturating_sub(self.first_offset_90k),
            offset: self.bytes - n.sample.bytes,
            bytes: n.sample.bytes,
            is_sync: n.sample.is_sync,
        })
    }

    /// The index so far: of all samples but the newest. It is encoded anew, with other flags in its first
    /// byte, when the first composition offset comes.
    pub fn index(&self) -> &[u8] {
        &self.index
    }

    /// What the recording would be if it ended with the last sample that lies within its first
    /// `readable` bytes: for those who read it while it grows. It has no hashes. `None` if no sample
    /// lies there.
    pub fn so_far(&self, readable: u64) -> Option<Recording> {
        let mut last = Cursor::default();
        let mut next = last;
        while let Some(Ok(s)) = next.next(&self.index) {
            if u64::from(s.offset) + u64::from(s.bytes) > readable {
                break;
            }
            last = next;
        }
        let mut totals = *last.totals();
        let mut index = self.index[..last.position().max(1)].to_vec();
        if let Some(n) = &self.newest {
            if u64::from(self.bytes) <= readable && totals.samples + 1 == self.samples {
                let mut encoder = last.encoder(&index);
                n.sample
                    .append(&mut encoder, &mut index, self.last_duration_90k);
                totals.samples += 1;
                totals.sync_samples += u32::from(n.sample.is_sync);
                totals.bytes = self.bytes;
                totals.media_duration_90k += i64::from(self.last_duration_90k);
            }
        }
        let media_duration = Duration90k(totals.media_duration_90k);
        (totals.samples > 0).then(|| Recording {
            id: self.id,
            open: self.open,
            run_offset: self.run.offset,
            start: self.run.drift.start(),
            wall_duration: media_duration,
            media_duration,
            clock_untrusted: self.clock_untrusted,
            sample_file_bytes: totals.bytes,
            video_samples: totals.samples,
            video_sync_samples: totals.sync_samples,
            sample_entry: self.sample_entry.clone(),
            index,
            data_hash: [0; 16],
            chain_hash: [0; 32],
            end_reason: String::new(),
        })
    }

    /// Samples added.
    pub fn samples(&self) -> u32 {
        self.samples
    }

    /// The bytes of the samples added.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// How many of them were handed to the disk.
    pub fn bytes_written(&self) -> u32 {
        self.written
    }

    /// When it started, as far as is known; a run's first recording may still move back a little.
    /// Before the first sample: meaningless.
    pub fn start_time(&self) -> Wall90k {
        self.run.drift.start()
    }
}

fn duration_between(dts: i64, next: i64) -> Result<i32, WriterError> {
    // The reordering keeps them apart by at least one and less than two minutes.
    i32::try_from(next.saturating_sub(dts))
        .ok()
        .filter(|&d| d > 0)
        .ok_or_else(|| WriterError::NewRun {
            cause: GapCause::Camera,
            reason: "the camera's timestamps cannot be".into(),
            ahead: None,
        })
}

fn new_run(l: &Lost) -> WriterError {
    let error = Duration90k(l.error.0.saturating_abs());
    let (cause, reason) = match (l.is_sudden, l.error < Duration90k::ZERO) {
        (true, true) => (
            GapCause::Clock,
            format!("the clock was stepped back by {error}"),
        ),
        (true, false) => (
            GapCause::Clock,
            format!("the clock was stepped ahead by {error}"),
        ),
        (false, true) => (
            GapCause::Camera,
            format!("the camera's clock is fast by {error}"),
        ),
        (false, false) => (
            GapCause::Camera,
            format!("the camera's clock is slow by {error}"),
        ),
    };
    WriterError::NewRun {
        cause,
        reason,
        ahead: Some(l.error),
    }
}
