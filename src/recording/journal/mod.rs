//! The journal of a sample directory: what is being recorded there, so that a power cut costs seconds and
//! start-up needs no scan of old data.
//!
//! It is a few segment files, `journal/` and 16 hex digits, of self-checking records ([`record`]). Each
//! segment is complete: it begins with all that is open or not yet committed, so that those
//! before it can go once that beginning is durable. [`Journal`] is the bookkeeping of one
//! directory's journal, without I/O. Its owner does the disk operations:
//!
//! 1. Where [`Journal::should_rotate`] says so (at first too): [`Journal::begin_segment`] with all open
//!    writers and all finished recordings that the database has not committed; create the file that
//!    it names; sync the directory.
//! 2. Each second or two, a round: [`Journal::checkpoint`] for each open writer; write what
//!    [`Journal::take_pending`] gives; when that and all sample data handed over before is written, sync
//!    the sample files, the segment and, after a creation, the directory, in any order. When all of
//!    that is answered, say [`Journal::synced`]. In between, [`Journal::finished`] when a recording
//!    ends. One that is given up is not told of: its file is unlinked, and recovery takes that for an
//!    answer.
//! 3. Unlink what [`Journal::segments_to_unlink`] names.
//!
//! A frame is safe once the round of a checkpoint that has it is over. Sample data need not be durable
//! before its record: recovery compares the bytes with the record's digest. But the segments before
//! hold the older digests, which the bytes match if the newest of them were lost: hence a segment goes
//! only when the sample files, too, are durable up to what the next one tells.
//!
//! The module refuses records past [`MAX_PENDING_BYTES`]: the disk is too slow or gone. Checkpoints
//! then wait (they are cumulative); anything else makes the next segment due, which tells it.

pub mod record;
pub mod replay;

use super::Recording;
use super::writer::Writer;
use record::{Place, Progress, Record};
use std::borrow::Cow;
use uuid::Uuid;

/// The folder of the segments.
pub const FOLDER: &str = "journal";

/// A segment is left once so much was added to what it began with.
pub const SEGMENT_BYTES: u64 = 1 << 20;

/// The most that waits to be written, not counting a segment's beginning.
pub const MAX_PENDING_BYTES: usize = 4 << 20;

/// A segment's name within its sample directory.
pub fn segment_name(number: u64) -> String {
    format!("{FOLDER}/{number:016x}")
}

/// The number of the segment that has this name within [`FOLDER`]; `None` for any other name.
pub fn segment_number(name: &str) -> Option<u64> {
    if name.len() != 16 || !name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    u64::from_str_radix(name, 16).ok()
}

/// Bytes to be written to the current segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub segment: u64,
    pub offset: u64,
    pub bytes: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub struct Journal {
    directory: Uuid,
    next_segment: u64,
    current: Option<Segment>,
    /// What waits to be written to the current segment.
    pending: Vec<u8>,
    /// Segments before the current one.
    older: Vec<u64>,
    /// Older segments that nothing needs.
    unneeded: Vec<u64>,
    /// Something found no room: only a new segment tells all again.
    is_incomplete: bool,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    number: u64,
    /// The length of what it began with.
    beginning: u64,
    /// Where `pending` begins.
    taken: u64,
}

impl Journal {
    /// The journal of a directory that was attached: its UUID, and `next_segment` and `segments` of
    /// [`super::recovery::Attached`].
    pub fn new(directory: Uuid, next_segment: u64, segments: Vec<u64>) -> Journal {
        Journal {
            directory,
            next_segment,
            current: None,
            pending: Vec::new(),
            older: segments,
            unneeded: Vec::new(),
            is_incomplete: true,
        }
    }

    /// It is time for [`Self::begin_segment`].
    pub fn should_rotate(&self) -> bool {
        self.is_incomplete
            || self
                .current
                .is_none_or(|s| s.taken + self.pending.len() as u64 - s.beginning >= SEGMENT_BYTES)
    }

    /// Leaves the current segment (what is pending for it need not be written) and begins a new one.
    /// `open` are all writers of the directory and `uncommitted` all its finished recordings, recovered
    /// ones too, that a flush has not been answered for. Returns the name of the file to create.
    ///
    /// Also to be called after an operation on the current segment failed.
    pub fn begin_segment<'a, 'b>(
        &mut self,
        open: impl IntoIterator<Item = &'a mut Writer>,
        uncommitted: impl IntoIterator<Item = &'b Recording>,
    ) -> String {
        if let Some(left) = self.current.take() {
            self.older.push(left.number);
        }
        let number = self.next_segment;
        self.next_segment += 1;
        self.pending.clear();
        let mut segment = Segment {
            number,
            beginning: 0,
            taken: 0,
        };
        self.current = Some(segment);
        self.is_incomplete = false;
        for r in uncommitted {
            self.append(&Record::Finished(Cow::Borrowed(r)));
        }
        for w in open {
            self.append_checkpoint(w);
        }
        segment.beginning = self.pending.len() as u64;
        self.current = Some(segment);
        segment_name(number)
    }

    /// Tells what is new of a recording that is being made. Does nothing if nothing is, or if too much
    /// waits to be written.
    pub fn checkpoint(&mut self, writer: &mut Writer) {
        if self.has_room() {
            self.append_checkpoint(writer);
        }
    }

    /// Tells of a recording that ended. It must be among the `uncommitted` of [`Self::begin_segment`]
    /// until the database has it.
    pub fn finished(&mut self, recording: &Recording) {
        self.append_or_rotate(&Record::Finished(Cow::Borrowed(recording)));
    }

    /// Something waits to be written.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What waits to be written to the current segment; each byte is given once. `spare` is a buffer to
    /// gather what follows in: the one of the write before.
    pub fn take_pending(&mut self, mut spare: Vec<u8>) -> Option<Pending> {
        let segment = self.current.as_mut()?;
        if self.pending.is_empty() {
            return None;
        }
        spare.clear();
        let bytes = std::mem::replace(&mut self.pending, spare);
        let offset = segment.taken;
        segment.taken += bytes.len() as u64;
        Some(Pending {
            segment: segment.number,
            offset,
            bytes,
        })
    }

    /// A segment is durable up to `len` bytes, its name too, and so are all bytes of sample files (and
    /// their names) that its records up to there tell of.
    pub fn synced(&mut self, segment: u64, len: u64) {
        if self
            .current
            .is_some_and(|s| s.number == segment && s.beginning <= len)
        {
            self.unneeded.append(&mut self.older);
        }
    }

    /// Names of segments that nothing needs any more; each is given once.
    pub fn segments_to_unlink(&mut self) -> Vec<String> {
        self.unneeded.drain(..).map(segment_name).collect()
    }

    fn has_room(&self) -> bool {
        self.current.is_some() && self.pending.len() < MAX_PENDING_BYTES
    }

    fn append_or_rotate(&mut self, record: &Record<'_>) {
        if self.has_room() {
            self.append(record);
        } else {
            self.is_incomplete = true;
        }
    }

    fn append_checkpoint(&mut self, writer: &mut Writer) {
        let Some(number) = self.current.map(|s| s.number) else {
            return;
        };
        let Some(c) = writer.checkpoint(number) else {
            return;
        };
        let progress = Progress {
            id: c.writer.id(),
            clock_untrusted: c.writer.clock_untrusted(),
            start: c.start,
            error: c.error,
            digest: c.digest,
            index_from: c.index_from as u32,
            index: c.index,
            newest: c.newest,
        };
        let record = if c.is_delta {
            Record::Delta(progress)
        } else {
            Record::Full {
                open: c.writer.open(),
                run_offset: c.writer.run_offset(),
                sample_entry: c.writer.sample_entry().clone(),
                progress,
            }
        };
        self.append(&record);
    }

    fn append(&mut self, record: &Record<'_>) {
        let Some(s) = self.current else {
            return;
        };
        let place = Place {
            directory: self.directory,
            segment: s.number,
            offset: s.taken + self.pending.len() as u64,
        };
        record::append(&mut self.pending, &place, record);
    }
}
