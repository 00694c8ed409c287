//! The journal's records and their encoding.
//!
//! A segment is a sequence of records; each is a header of [`HEADER_BYTES`] and a payload. Integers are
//! little-endian.
//!
//! | bytes | header |
//! | --- | --- |
//! | 4 | `MNJ1` |
//! | 4 | length of the payload, at most [`MAX_PAYLOAD_BYTES`] |
//! | 8 | XXH3-64 of the directory's UUID, the segment's number, the header's offset in the segment (8 bytes each number), the length and the payload |
//!
//! So a record is taken for one only in its own directory, segment and place: blocks left over from a
//! file of before are not. A reader stops at the first that isn't right; what follows was not
//! acknowledged.

use crate::h264::VideoSampleEntry;
use crate::recording::writer::UntimedSample;
use crate::recording::{OpenId, Recording, RecordingId, StreamId};
use crate::time::{Duration90k, Wall90k};
use std::borrow::Cow;
use std::sync::Arc;
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

pub const MAGIC: [u8; 4] = *b"MNJ1";
pub const HEADER_BYTES: usize = 16;

/// The longest payload: an index of its largest size, a sample entry, and room.
pub const MAX_PAYLOAD_BYTES: usize = 4 << 20;

/// The state of a recording that is being made, as far as it changes. "So far" is up to this record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    pub id: RecordingId,
    pub clock_untrusted: bool,
    /// When it starts, as far as is known.
    pub start: Wall90k,
    /// See [`crate::recording::drift::Drift::error`].
    pub error: Duration90k,
    /// XXH3-128 of the bytes of all samples so far, canonical form.
    pub digest: [u8; 16],
    /// Where in the index `index` goes; 0 in a [`Record::Full`].
    pub index_from: u32,
    pub index: &'a [u8],
    /// One more sample, of which the duration is not known.
    pub newest: Option<UntimedSample>,
}

/// One record of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// All that is known of a recording that is being made.
    Full {
        progress: Progress<'a>,
        open: OpenId,
        run_offset: u32,
        sample_entry: Arc<VideoSampleEntry>,
    },
    /// What was added since the record before of the same recording in the same segment.
    Delta(Progress<'a>),
    /// A recording that ended, and isn't known to be in the database yet.
    Finished(Cow<'a, Recording>),
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the segment ends within a record")]
    Truncated,
    #[error("no record here")]
    Magic,
    #[error("a record that is too long")]
    TooLong,
    #[error("a record with a wrong checksum")]
    Checksum,
    #[error("a record that cannot be understood, at byte {at} of its payload")]
    Payload { at: usize },
}

/// Where a record is: what its checksum binds it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub directory: Uuid,
    pub segment: u64,
    pub offset: u64,
}

/// Appends a record that will be at `place`.
pub fn append(out: &mut Vec<u8>, place: &Place, record: &Record<'_>) {
    let header = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; HEADER_BYTES - MAGIC.len()]);
    let payload = out.len();
    encode(out, record);
    let len = (out.len() - payload) as u32;
    debug_assert!(len as usize <= MAX_PAYLOAD_BYTES);
    let sum = checksum(place, &out[payload..]);
    out[header + 4..header + 8].copy_from_slice(&len.to_le_bytes());
    out[header + 8..payload].copy_from_slice(&sum.to_le_bytes());
}

/// The payload's length by a record's header.
pub fn payload_len(header: &[u8]) -> Result<usize, RecordError> {
    if header.len() < HEADER_BYTES {
        return Err(RecordError::Truncated);
    }
    if header[..4] != MAGIC {
        return Err(RecordError::Magic);
    }
    let len = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    if len > MAX_PAYLOAD_BYTES {
        return Err(RecordError::TooLong);
    }
    Ok(len)
}

/// Reads the record that `bytes` begin with. Returns how many bytes it takes.
pub fn parse<'a>(bytes: &'a [u8], place: &Place) -> Result<(Record<'a>, usize), RecordError> {
    let len = payload_len(bytes)?;
    let end = HEADER_BYTES + len;
    let payload = bytes.get(HEADER_BYTES..end).ok_or(RecordError::Truncated)?;
    if bytes[8..HEADER_BYTES] != checksum(place, payload).to_le_bytes() {
        return Err(RecordError::Checksum);
    }
    let mut r = Reader {
        bytes: payload,
        at: 0,
    };
    let record = decode(&mut r).ok_or(RecordError::Payload { at: r.at })?;
    if r.at != payload.len() {
        return Err(RecordError::Payload { at: r.at });
    }
    Ok((record, end))
}

fn checksum(place: &Place, payload: &[u8]) -> u64 {
    let mut bound = [0; 36];
    bound[..16].copy_from_slice(place.directory.as_bytes());
    bound[16..24].copy_from_slice(&place.segment.to_le_bytes());
    bound[24..32].copy_from_slice(&place.offset.to_le_bytes());
    bound[32..].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    let mut h = Xxh3::new();
    h.update(&bound);
    h.update(payload);
    h.digest()
}

const FULL: u8 = 1;
const DELTA: u8 = 2;
const FINISHED: u8 = 3;

fn encode(out: &mut Vec<u8>, record: &Record<'_>) {
    match record {
        Record::Full {
            progress,
            open,
            run_offset,
            sample_entry,
        } => {
            out.push(FULL);
            put_progress(out, progress);
            put_u32(out, open.0);
            put_u32(out, *run_offset);
            put_entry(out, sample_entry);
        }
        Record::Delta(progress) => {
            out.push(DELTA);
            put_progress(out, progress);
        }
        Record::Finished(r) => put_finished(out, r),
    }
}

fn put_progress(out: &mut Vec<u8>, p: &Progress<'_>) {
    put_id(out, p.id);
    out.push(u8::from(p.clock_untrusted));
    put_i64(out, p.start.0);
    put_i64(out, p.error.0);
    out.extend_from_slice(&p.digest);
    put_u32(out, p.index_from);
    put_bytes(out, p.index);
    match p.newest {
        None => out.push(0),
        Some(s) => {
            out.push(if s.is_sync { 2 } else { 1 });
            put_u32(out, s.bytes);
            out.extend_from_slice(&s.composition_offset_90k.to_le_bytes());
        }
    }
}

fn put_finished(out: &mut Vec<u8>, r: &Recording) {
    out.push(FINISHED);
    put_id(out, r.id);
    put_u32(out, r.open.0);
    put_u32(out, r.run_offset);
    out.push(u8::from(r.clock_untrusted));
    put_i64(out, r.start.0);
    put_i64(out, r.wall_duration.0);
    put_i64(out, r.media_duration.0);
    put_u32(out, r.sample_file_bytes);
    put_u32(out, r.video_samples);
    put_u32(out, r.video_sync_samples);
    put_entry(out, &r.sample_entry);
    put_bytes(out, &r.index);
    out.extend_from_slice(&r.data_hash);
    out.extend_from_slice(&r.chain_hash); // Zeros, as the chain is the database's.
    put_bytes(out, r.end_reason.as_bytes());
}

fn put_entry(out: &mut Vec<u8>, e: &VideoSampleEntry) {
    for v in [e.width, e.height, e.pixel_h_spacing, e.pixel_v_spacing] {
        out.extend_from_slice(&v.to_le_bytes());
    }
    out.push(e.reorder_frames);
    put_bytes(out, e.rfc6381_codec.as_bytes());
    put_bytes(out, &e.avcc);
}

fn put_id(out: &mut Vec<u8>, id: RecordingId) {
    out.extend_from_slice(&id.stream.0.to_le_bytes());
    put_u32(out, id.sequence);
}

fn put_u32(out: &mut Vec<u8>, v: u32) {
    out.extend_from_slice(&v.to_le_bytes());
}

fn put_i64(out: &mut Vec<u8>, v: i64) {
    out.extend_from_slice(&v.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, bytes.len() as u32);
    out.extend_from_slice(bytes);
}

/// Takes a payload apart; each call is `None` where it does not fit.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

fn decode<'a>(r: &mut Reader<'a>) -> Option<Record<'a>> {
    Some(match r.u8()? {
        FULL => Record::Full {
            progress: r.progress()?,
            open: OpenId(r.u32()?),
            run_offset: r.u32()?,
            sample_entry: r.entry()?,
        },
        DELTA => Record::Delta(r.progress()?),
        FINISHED => Record::Finished(Cow::Owned(r.finished()?)),
        _ => return None,
    })
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(n)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn bool(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(usize::try_from(len).ok()?)
    }

    fn string(&mut self) -> Option<String> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes.to_vec()).ok()
    }

    fn id(&mut self) -> Option<RecordingId> {
        Some(RecordingId {
            stream: StreamId(self.array().map(i32::from_le_bytes)?),
            sequence: self.u32()?,
        })
    }

    fn progress(&mut self) -> Option<Progress<'a>> {
        Some(Progress {
            id: self.id()?,
            clock_untrusted: self.bool()?,
            start: Wall90k(self.i64()?),
            error: Duration90k(self.i64()?),
            digest: self.array()?,
            index_from: self.u32()?,
            index: self.bytes()?,
            newest: self.newest()?,
        })
    }

    fn newest(&mut self) -> Option<Option<UntimedSample>> {
        let is_sync = match self.u8()? {
            0 => return Some(None),
            1 => false,
            2 => true,
            _ => return None,
        };
        Some(Some(UntimedSample {
            is_sync,
            bytes: self.u32()?,
            composition_offset_90k: self.array().map(i32::from_le_bytes)?,
        }))
    }

    fn entry(&mut self) -> Option<Arc<VideoSampleEntry>> {
        Some(Arc::new(VideoSampleEntry {
            width: self.u16()?,
            height: self.u16()?,
            pixel_h_spacing: self.u16()?,
            pixel_v_spacing: self.u16()?,
            reorder_frames: self.u8()?,
            rfc6381_codec: self.string()?,
            avcc: self.bytes()?.to_vec(),
        }))
    }

    fn finished(&mut self) -> Option<Recording> {
        Some(Recording {
            id: self.id()?,
            open: OpenId(self.u32()?),
            run_offset: self.u32()?,
            clock_untrusted: self.bool()?,
            start: Wall90k(self.i64()?),
            wall_duration: Duration90k(self.i64()?),
            media_duration: Duration90k(self.i64()?),
            sample_file_bytes: self.u32()?,
            video_samples: self.u32()?,
            video_sync_samples: self.u32()?,
            sample_entry: self.entry()?,
            index: self.bytes()?.to_vec(),
            data_hash: self.array()?,
            chain_hash: self.array()?,
            end_reason: self.string()?,
        })
    }
}
