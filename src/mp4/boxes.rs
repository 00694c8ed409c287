//! The boxes that all kinds of files share (clauses of ISO/IEC 14496-12), and what writes them.

use super::slices::{Array, Content, Region};
use crate::h264::VideoSampleEntry;
use crate::time::{TICKS_PER_SECOND, Wall90k};

/// The tracks' ids.
pub(super) const VIDEO_TRACK: u32 = 1;
pub(super) const SUBTITLE_TRACK: u32 = 2;

/// Seconds from 1904-01-01, where this format begins to count, to 1970-01-01.
const FROM_1904_TO_1970: i64 = 2_082_844_800;

/// Of the transformation that changes nothing (section 6.2.2) but moves the picture: its first six
/// numbers and its last, 16.16 and 2.30 fixed point.
const UNITY: [u32; 6] = [0x1_0000, 0, 0, 0, 0x1_0000, 0];
const UNITY_LAST: u32 = 0x4000_0000;

/// `und`, packed as section 8.4.2.3 says: three letters of 5 bits.
const LANGUAGE_UNDETERMINED: u16 = 0x55c4;

/// What the headers of a movie, its tracks and their media have in common.
pub(super) struct Header {
    pub created: Wall90k,
    /// In 90 kHz units.
    pub duration: u64,
}

impl Header {
    fn created_1904(&self) -> u64 {
        match self.created.unix_secs() {
            0 => 0, // None.
            secs => secs.saturating_add(FROM_1904_TO_1970).max(0) as u64,
        }
    }
}

/// What a track header says of its track.
pub(super) struct TrackHeader {
    pub track: u32,
    /// Lower is in front.
    pub layer: i16,
    /// How far down its picture is.
    pub top: u16,
    pub width: u32,
    pub height: u16,
}

/// Movie header, section 8.2.2.
pub(super) fn mvhd(w: &mut Writer, h: &Header, next_track: u32) {
    w.full(b"mvhd", 1, 0, |w| {
        w.u64(h.created_1904());
        w.u64(h.created_1904()); // Modification.
        w.u32(TICKS_PER_SECOND as u32);
        w.u64(h.duration);
        w.u32(0x1_0000); // Rate 1.0.
        w.u16(0x100); // Volume 1.0.
        w.zeros(2 + 8);
        w.u32s(&UNITY);
        w.u32s(&[0, 0, UNITY_LAST]);
        w.zeros(6 * 4);
        w.u32(next_track);
    });
}

/// Track header, section 8.3.2.
pub(super) fn tkhd(w: &mut Writer, h: &Header, t: &TrackHeader) {
    // Flags: enabled, in the movie, in its preview.
    w.full(b"tkhd", 1, 7, |w| {
        w.u64(h.created_1904());
        w.u64(h.created_1904());
        w.u32(t.track);
        w.zeros(4);
        w.u64(h.duration);
        w.zeros(8);
        w.u16(t.layer as u16); // Two's complement.
        w.u16(0); // Alternate group.
        w.u16(0); // Volume: none.
        w.zeros(2);
        w.u32s(&UNITY);
        w.u32s(&[0, u32::from(t.top) << 16, UNITY_LAST]);
        w.u32(t.width << 16);
        w.u32(u32::from(t.height) << 16);
    });
}

/// The video's track header: as large as the largest picture.
pub(super) fn video_tkhd(w: &mut Writer, h: &Header, entries: &[&VideoSampleEntry]) {
    let (width, height) = largest(entries);
    tkhd(
        w,
        h,
        &TrackHeader {
            track: VIDEO_TRACK,
            layer: 0,
            top: 0,
            width: u32::from(width),
            height,
        },
    );
}

/// The largest width on a screen, and the largest height.
pub(super) fn largest(entries: &[&VideoSampleEntry]) -> (u16, u16) {
    let width = entries.iter().map(|e| display_width(e)).max();
    let height = entries.iter().map(|e| e.height).max();
    (width.unwrap_or(0), height.unwrap_or(0))
}

/// The width on a screen of square pixels.
fn display_width(e: &VideoSampleEntry) -> u16 {
    let (h, v) = (u32::from(e.pixel_h_spacing), u32::from(e.pixel_v_spacing));
    if h == 0 || v == 0 {
        return e.width;
    }
    u16::try_from(u32::from(e.width) * h / v).unwrap_or(u16::MAX)
}

/// Media header, section 8.4.2.
pub(super) fn mdhd(w: &mut Writer, h: &Header) {
    w.full(b"mdhd", 1, 0, |w| {
        w.u64(h.created_1904());
        w.u64(h.created_1904());
        w.u32(TICKS_PER_SECOND as u32);
        w.u64(h.duration);
        w.u16(LANGUAGE_UNDETERMINED);
        w.zeros(2);
    });
}

/// Handler, section 8.4.3; `name` ends with a zero.
pub(super) fn hdlr(w: &mut Writer, kind: &[u8; 4], name: &[u8]) {
    w.full(b"hdlr", 0, 0, |w| {
        w.zeros(4);
        w.bytes(kind);
        w.zeros(12);
        w.bytes(name);
    });
}

/// Video media header, section 12.1.2.
pub(super) fn vmhd(w: &mut Writer) {
    w.full(b"vmhd", 0, 1, |w| w.zeros(8));
}

/// Data information and reference, sections 8.7.1 and 8.7.2: flag 1 is "in this file".
pub(super) fn dinf(w: &mut Writer) {
    w.plain(b"dinf", |w| {
        w.full(b"dref", 0, 0, |w| {
            w.u32(1);
            w.full(b"url ", 0, 1, |_| {});
        });
    });
}

/// Sample descriptions, section 8.5.2: sample entries, each once.
pub(super) fn video_stsd(w: &mut Writer, entries: &[&VideoSampleEntry]) {
    w.full(b"stsd", 0, 0, |w| {
        w.u32(entries.len() as u32);
        for e in entries {
            avc1(w, e);
        }
    });
}

/// Visual sample entry, section 12.1.3; AVCSampleEntry, ISO/IEC 14496-15 section 5.4.2.
fn avc1(w: &mut Writer, e: &VideoSampleEntry) {
    w.plain(b"avc1", |w| {
        w.zeros(6);
        w.u16(1); // Data reference index.
        w.zeros(16);
        w.u16(e.width);
        w.u16(e.height);
        w.u32(0x48_0000); // 72 dpi, horizontally
        w.u32(0x48_0000); // and vertically.
        w.zeros(4);
        w.u16(1); // Frames a sample.
        w.zeros(32); // Compressor name.
        w.u16(0x18); // Colour, without alpha.
        w.u16(u16::MAX);
        w.plain(b"avcC", |w| w.bytes(&e.avcc));
        if e.pixel_h_spacing != e.pixel_v_spacing {
            w.plain(b"pasp", |w| {
                w.u32(u32::from(e.pixel_h_spacing));
                w.u32(u32::from(e.pixel_v_spacing));
            });
        }
    });
}

/// The header of `mdat` (section 8.1.1), with a 64-bit length (section 4.2) where 32 bits do not suffice.
pub(super) fn mdat_header(bytes: u64) -> Vec<u8> {
    match u32::try_from(bytes + 8) {
        Ok(len) => [&len.to_be_bytes()[..], b"mdat"].concat(),
        Err(_) => [b"\0\0\0\x01mdat", &(bytes + 16).to_be_bytes()[..]].concat(),
    }
}

/// A box that was written, for the account.
#[derive(Clone, Copy, Debug)]
pub(super) struct BoxNote {
    pub kind: [u8; 4],
    pub depth: u8,
    pub start: u64,
    pub len: u64,
}

/// Writes boxes; a box's length is filled in when it ends.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub constant: Vec<u8>,
    pub regions: Vec<Region>,
    pub notes: Vec<BoxNote>,
    depth: u8,
    /// A box's length did not fit 32 bits.
    pub overflow: bool,
}

impl Writer {
    pub fn with_capacity(bytes: usize) -> Writer {
        Writer {
            constant: Vec::with_capacity(bytes),
            ..Writer::default()
        }
    }

    /// The bytes written, of a writer that was given no array.
    pub fn into_constant(self) -> Vec<u8> {
        self.constant
    }

    /// How long the file is by now.
    pub fn len(&self) -> u64 {
        self.regions.last().map_or(0, |r| r.end)
    }

    /// A box (section 4.2).
    pub fn plain(&mut self, kind: &[u8; 4], content: impl FnOnce(&mut Writer)) {
        let (position, start, note) = (self.constant.len(), self.len(), self.notes.len());
        self.notes.push(BoxNote {
            kind: *kind,
            depth: self.depth,
            start,
            len: 0,
        });
        self.depth += 1;
        self.zeros(4);
        self.bytes(kind);
        content(self);
        self.depth -= 1;
        let len = self.len() - start;
        self.notes[note].len = len;
        match u32::try_from(len) {
            Ok(len) => {
                self.constant[position..position + 4].copy_from_slice(&len.to_be_bytes());
            }
            Err(_) => self.overflow = true,
        }
    }

    /// Notes a box that was written by other means, from `start` to here.
    pub fn note(&mut self, kind: &[u8; 4], start: u64) {
        self.notes.push(BoxNote {
            kind: *kind,
            depth: self.depth,
            start,
            len: self.len() - start,
        });
    }

    /// A box with version and flags.
    pub fn full(
        &mut self,
        kind: &[u8; 4],
        version: u8,
        flags: u32,
        content: impl FnOnce(&mut Writer),
    ) {
        self.plain(kind, |w| {
            w.u32(u32::from(version) << 24 | flags);
            content(w);
        });
    }

    /// Constant bytes; they join those before.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let (position, end) = (self.constant.len(), self.len() + bytes.len() as u64);
        self.constant.extend_from_slice(bytes);
        match self.regions.last_mut() {
            Some(Region {
                end: old,
                content: Content::Constant { .. },
            }) => *old = end,
            _ => self.regions.push(Region {
                end,
                content: Content::Constant { position },
            }),
        }
    }

    /// An array of so many bytes.
    pub fn array(&mut self, array: Array, bytes: u64) {
        if bytes > 0 {
            self.regions.push(Region {
                end: self.len() + bytes,
                content: Content::Array(array),
            });
        }
    }

    pub fn zeros(&mut self, n: usize) {
        const ZEROS: [u8; 64] = [0; 64];
        for at in (0..n).step_by(ZEROS.len()) {
            self.bytes(&ZEROS[..ZEROS.len().min(n - at)]);
        }
    }

    pub fn u16(&mut self, v: u16) {
        self.bytes(&v.to_be_bytes());
    }

    pub fn u32(&mut self, v: u32) {
        self.bytes(&v.to_be_bytes());
    }

    pub fn u64(&mut self, v: u64) {
        self.bytes(&v.to_be_bytes());
    }

    pub fn u32s(&mut self, values: &[u32]) {
        values.iter().for_each(|&v| self.u32(v));
    }
}
