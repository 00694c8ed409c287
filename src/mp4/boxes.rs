//! The box tree of a file, and the clause of ISO/IEC 14496-12 beside each box.
//!
//! ```text
//! ftyp                      4.3      file type
//! moov                      8.2.1    movie
//!   mvhd                    8.2.2      header: when it was made, how long it is
//!   trak                    8.3.1      the one track
//!     tkhd                  8.3.2        header: the largest picture size
//!     edts/elst             8.6.5, 8.6.6 what of the media is shown
//!     mdia                  8.4.1
//!       mdhd                8.4.2        timescale
//!       hdlr                8.4.3        video
//!       minf                8.4.4
//!         vmhd              12.1.2
//!         dinf/dref/url     8.7.1, 8.7.2 the samples are in this very file
//!         stbl              8.5.1
//!           stsd            8.5.2          sample entries, each once
//!             avc1          12.1.3, 14496-15 section 5.4.2
//!               avcC        14496-15 section 5.4.2
//!               pasp        12.1.4
//!           stts            8.6.1.2        durations (generated)
//!           ctts            8.6.1.3        composition offsets (generated), if samples are reordered
//!           stss            8.6.2          sync samples (generated)
//!           stsc            8.7.4          samples to chunks: a chunk for each segment
//!           stsz            8.7.3          sizes (generated)
//!           stco or co64    8.7.5          where the chunks are
//! mdat                      8.1.1    the segments' ranges of sample files
//! ```

use super::Error;
use super::segment::{Layout, Segment, Table};
use super::slices::Slices;
use crate::h264::VideoSampleEntry;
use crate::time::{Duration90k, TICKS_PER_SECOND, Wall90k};

/// Seconds from 1904-01-01, where this format begins to count, to 1970-01-01.
const FROM_1904_TO_1970: i64 = 2_082_844_800;

/// The transformation that changes nothing (section 6.2.2), 16.16 and 2.30 fixed point.
const UNITY_MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// Different sample entries in one file at most; more are refused.
const MAX_SAMPLE_ENTRIES: usize = 1_000;

/// `und`, packed as section 8.4.2.3 says: three letters of 5 bits.
const LANGUAGE_UNDETERMINED: u16 = 0x55c4;

/// Lays out the file's slices.
pub(super) fn lay_out(segments: &[Segment], layouts: &[Layout]) -> Result<Slices, Error> {
    let tree = Tree::new(segments, layouts)?;
    let narrow = tree.build(false)?;
    if narrow.len() <= u64::from(u32::MAX) {
        return Ok(narrow);
    }
    tree.build(true)
}

/// What the boxes are made of.
struct Tree<'a> {
    layouts: &'a [Layout],
    created: Wall90k,
    /// The different sample entries, in order of appearance.
    entries: Vec<&'a VideoSampleEntry>,
    /// For each segment, its sample entry's index in `entries`.
    entry_of: Vec<u32>,
    edits: Vec<Edit>,
    media_duration: u64,
    shown_duration: u64,
    samples: u32,
    sync_samples: u32,
    reordered: bool,
    mdat_bytes: u64,
}

/// A part of the media timeline that is shown (section 8.6.6).
struct Edit {
    duration: u64,
    media_time: i64,
}

impl<'a> Tree<'a> {
    fn new(segments: &'a [Segment], layouts: &'a [Layout]) -> Result<Tree<'a>, Error> {
        let first = &segments[0];
        let mut t = Tree {
            layouts,
            created: first.recording.start + first.range.start.max(Duration90k::ZERO),
            entries: Vec::new(),
            entry_of: Vec::with_capacity(segments.len()),
            edits: Vec::new(),
            media_duration: 0,
            shown_duration: 0,
            samples: 0,
            sync_samples: 0,
            reordered: false,
            mdat_bytes: 0,
        };
        for (s, l) in segments.iter().zip(layouts) {
            let entry = t.entry(&s.recording.sample_entry)?;
            t.entry_of.push(entry);
            t.edit(l);
            t.media_duration += l.media_duration as u64;
            t.samples = t
                .samples
                .checked_add(l.samples)
                .ok_or(Error::TooLong("too many frames in one file"))?;
            t.sync_samples += l.sync_samples;
            t.reordered |= l.reordered;
            t.mdat_bytes += l.bytes.end - l.bytes.start;
        }
        Ok(t)
    }

    /// The index of a sample entry; a new one is added.
    fn entry(&mut self, e: &'a VideoSampleEntry) -> Result<u32, Error> {
        let i = match self.entries.iter().position(|&other| other == e) {
            Some(i) => i,
            None if self.entries.len() == MAX_SAMPLE_ENTRIES => {
                return Err(Error::TooLong(
                    "too many changes of picture format in one file",
                ));
            }
            None => {
                self.entries.push(e);
                self.entries.len() - 1
            }
        };
        Ok(i as u32)
    }

    /// Shows a segment's part of the media timeline; joins it to the part before if nothing hidden
    /// is between them.
    fn edit(&mut self, l: &Layout) {
        let media_time = self.media_duration as i64 + l.shown.start;
        let duration = (l.shown.end - l.shown.start) as u64;
        self.shown_duration += duration;
        match self.edits.last_mut() {
            Some(e) if e.media_time + e.duration as i64 == media_time => e.duration += duration,
            _ => self.edits.push(Edit {
                duration,
                media_time,
            }),
        }
    }

    /// The whole file; `wide` is with 64-bit chunk offsets.
    fn build(&self, wide: bool) -> Result<Slices, Error> {
        let mut w = Writer::default();
        w.plain(b"ftyp", |w| {
            w.bytes(b"isom"); // Major brand,
            w.u32(0x200); // its minor version;
            w.bytes(b"isomiso4avc1mp41"); // compatible brands: `iso4` has signed offsets in `ctts`.
        });
        let mut chunk_offsets = 0;
        w.plain(b"moov", |w| {
            self.mvhd(w);
            w.plain(b"trak", |w| {
                self.tkhd(w);
                w.plain(b"edts", |w| self.elst(w));
                w.plain(b"mdia", |w| {
                    self.mdhd(w);
                    hdlr(w);
                    w.plain(b"minf", |w| {
                        vmhd(w);
                        dinf(w);
                        w.plain(b"stbl", |w| chunk_offsets = self.stbl(w, wide));
                    });
                });
            });
        });
        self.mdat_header(&mut w);
        if w.overflow {
            return Err(Error::TooLong(
                "the tables of so many frames do not fit an .mp4",
            ));
        }
        let mut chunk = w.slices.len();
        for (i, l) in self.layouts.iter().enumerate() {
            if wide {
                w.slices.patch(chunk_offsets + 8 * i, &chunk.to_be_bytes());
            } else {
                // Too large ones are cut off here: the file is then built again, wide.
                w.slices
                    .patch(chunk_offsets + 4 * i, &(chunk as u32).to_be_bytes());
            }
            chunk += l.bytes.end - l.bytes.start;
            w.slices.samples(i, l);
        }
        Ok(w.slices)
    }

    fn created_1904(&self) -> u64 {
        (self.created.unix_secs() + FROM_1904_TO_1970).max(0) as u64
    }

    /// Movie header, section 8.2.2.
    fn mvhd(&self, w: &mut Writer) {
        w.full(b"mvhd", 1, 0, |w| {
            w.u64(self.created_1904());
            w.u64(self.created_1904()); // Modification.
            w.u32(TICKS_PER_SECOND as u32);
            w.u64(self.shown_duration);
            w.u32(0x1_0000); // Rate 1.0.
            w.u16(0x100); // Volume 1.0.
            w.zeros(2 + 8);
            w.u32s(&UNITY_MATRIX);
            w.zeros(6 * 4);
            w.u32(2); // Next track id.
        });
    }

    /// Track header, section 8.3.2.
    fn tkhd(&self, w: &mut Writer) {
        // Flags: enabled, in the movie, in its preview.
        w.full(b"tkhd", 1, 7, |w| {
            w.u64(self.created_1904());
            w.u64(self.created_1904());
            w.u32(1); // Track id.
            w.zeros(4);
            w.u64(self.shown_duration);
            w.zeros(8);
            w.u16(0); // Layer.
            w.u16(0); // Alternate group.
            w.u16(0); // Volume: none.
            w.zeros(2);
            w.u32s(&UNITY_MATRIX);
            w.u32(
                self.entries
                    .iter()
                    .map(|e| display_width(e))
                    .max()
                    .unwrap_or(0)
                    << 16,
            );
            w.u32(u32::from(self.entries.iter().map(|e| e.height).max().unwrap_or(0)) << 16);
        });
    }

    /// Edit list, section 8.6.6.
    fn elst(&self, w: &mut Writer) {
        w.full(b"elst", 1, 0, |w| {
            w.u32(self.edits.len() as u32);
            for e in &self.edits {
                w.u64(e.duration);
                w.u64(e.media_time as u64);
                w.u32(0x1_0000); // Rate 1.0.
            }
        });
    }

    /// Media header, section 8.4.2.
    fn mdhd(&self, w: &mut Writer) {
        w.full(b"mdhd", 1, 0, |w| {
            w.u64(self.created_1904());
            w.u64(self.created_1904());
            w.u32(TICKS_PER_SECOND as u32);
            w.u64(self.media_duration);
            w.u16(LANGUAGE_UNDETERMINED);
            w.zeros(2);
        });
    }

    /// The sample tables, section 8.5.1. Returns where in the constant bytes the chunk offsets are to be.
    fn stbl(&self, w: &mut Writer, wide: bool) -> usize {
        w.full(b"stsd", 0, 0, |w| {
            w.u32(self.entries.len() as u32);
            for e in &self.entries {
                avc1(w, e);
            }
        });
        w.full(b"stts", 0, 0, |w| {
            w.u32(self.layouts.iter().map(|l| l.stts_entries).sum());
            self.tables(w, |_| Table::Stts);
        });
        if self.reordered {
            w.full(b"ctts", 1, 0, |w| {
                w.u32(self.layouts.iter().map(|l| l.ctts_entries).sum());
                self.tables(w, |_| Table::Ctts);
            });
        }
        w.full(b"stss", 0, 0, |w| {
            w.u32(self.sync_samples);
            let mut samples_before = 0;
            self.tables(w, |l| {
                let table = Table::Stss { samples_before };
                samples_before += l.samples;
                table
            });
        });
        self.stsc(w);
        w.full(b"stsz", 0, 0, |w| {
            w.u32(0); // The sizes differ.
            w.u32(self.samples);
            self.tables(w, |_| Table::Stsz);
        });
        let chunks = self.layouts.len();
        let mut chunk_offsets = 0;
        w.full(if wide { b"co64" } else { b"stco" }, 0, 0, |w| {
            w.u32(chunks as u32);
            chunk_offsets = w.slices.constant_len();
            w.zeros(chunks * if wide { 8 } else { 4 });
        });
        chunk_offsets
    }

    fn tables(&self, w: &mut Writer, mut table: impl FnMut(&Layout) -> Table) {
        for (i, l) in self.layouts.iter().enumerate() {
            w.slices.table(table(l), i, l);
        }
    }

    /// Sample to chunk, section 8.7.4: a new entry where the number of samples or the sample entry
    /// differs from the chunk before.
    fn stsc(&self, w: &mut Writer) {
        let mut entries: Vec<[u32; 3]> = Vec::new();
        for (i, (l, entry)) in self.layouts.iter().zip(&self.entry_of).enumerate() {
            let [samples, description] = [l.samples, entry + 1];
            match entries.last() {
                Some(&[_, s, d]) if (s, d) == (samples, description) => {}
                _ => entries.push([i as u32 + 1, samples, description]),
            }
        }
        w.full(b"stsc", 0, 0, |w| {
            w.u32(entries.len() as u32);
            entries.iter().for_each(|e| w.u32s(e));
        });
    }

    /// Media data, section 8.1.1, with a 64-bit length (section 4.2) where 32 bits do not suffice.
    fn mdat_header(&self, w: &mut Writer) {
        match u32::try_from(self.mdat_bytes + 8) {
            Ok(len) => {
                w.u32(len);
                w.bytes(b"mdat");
            }
            Err(_) => {
                w.u32(1);
                w.bytes(b"mdat");
                w.u64(self.mdat_bytes + 16);
            }
        }
    }
}

/// The width on a screen of square pixels.
fn display_width(e: &VideoSampleEntry) -> u32 {
    let (h, v) = (u32::from(e.pixel_h_spacing), u32::from(e.pixel_v_spacing));
    if h == 0 || v == 0 {
        return u32::from(e.width);
    }
    (u32::from(e.width) * h / v).min(u32::from(u16::MAX))
}

/// Handler, section 8.4.3.
fn hdlr(w: &mut Writer) {
    w.full(b"hdlr", 0, 0, |w| {
        w.zeros(4);
        w.bytes(b"vide");
        w.zeros(12);
        w.bytes(b"video\0");
    });
}

/// Video media header, section 12.1.2.
fn vmhd(w: &mut Writer) {
    w.full(b"vmhd", 0, 1, |w| w.zeros(8));
}

/// Data information and reference, sections 8.7.1 and 8.7.2: flag 1 is "in this file".
fn dinf(w: &mut Writer) {
    w.plain(b"dinf", |w| {
        w.full(b"dref", 0, 0, |w| {
            w.u32(1);
            w.full(b"url ", 0, 1, |_| {});
        });
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

/// Writes boxes into slices; a box's length is filled in when it ends.
#[derive(Default)]
struct Writer {
    slices: Slices,
    /// A box's length did not fit 32 bits.
    overflow: bool,
}

impl Writer {
    /// A box (section 4.2).
    fn plain(&mut self, kind: &[u8; 4], content: impl FnOnce(&mut Writer)) {
        let (position, start) = (self.slices.constant_len(), self.slices.len());
        self.zeros(4);
        self.bytes(kind);
        content(self);
        match u32::try_from(self.slices.len() - start) {
            Ok(len) => self.slices.patch(position, &len.to_be_bytes()),
            Err(_) => self.overflow = true,
        }
    }

    /// A box with version and flags.
    fn full(&mut self, kind: &[u8; 4], version: u8, flags: u32, content: impl FnOnce(&mut Writer)) {
        self.plain(kind, |w| {
            w.u32(u32::from(version) << 24 | flags);
            content(w);
        });
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.slices.constant(bytes);
    }

    fn zeros(&mut self, n: usize) {
        self.slices.constant(&vec![0; n]);
    }

    fn u16(&mut self, v: u16) {
        self.bytes(&v.to_be_bytes());
    }

    fn u32(&mut self, v: u32) {
        self.bytes(&v.to_be_bytes());
    }

    fn u64(&mut self, v: u64) {
        self.bytes(&v.to_be_bytes());
    }

    fn u32s(&mut self, values: &[u32]) {
        values.iter().for_each(|&v| self.u32(v));
    }
}
