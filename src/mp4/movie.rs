//! The box tree of an `.mp4`, and the clause of ISO/IEC 14496-12 beside each box.
//!
//! ```text
//! ftyp                      4.3      file type
//! moov                      8.2.1    movie
//!   mvhd                    8.2.2      header: when it was made, how long it is
//!   trak                    8.3.1      the video
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
//!           stts            8.6.1.2        durations
//!           ctts            8.6.1.3        composition offsets, if samples are reordered
//!           stss            8.6.2          sync samples
//!           stsc            8.7.4          samples to chunks: a chunk for each segment
//!           stsz            8.7.3          sizes
//!           stco or co64    8.7.5          where the chunks are
//!   trak                               the time of day, if it is wanted: see `subtitles`
//! mdat                      8.1.1    the segments' ranges of sample files, each before its subtitles
//! ```

use super::boxes::{self, Header, Writer};
use super::fragment::borrowed;
use super::plan::Plan;
use super::slices::Array;
use super::subtitles::{self, Subtitles};
use super::{Builder, Error, File, Segment, describe, etag};
use jiff::tz::TimeZone;

impl File {
    /// An `.mp4` that plays `segments` in their order without a pause between them; if a zone is given,
    /// with a subtitle track that tells the time of day there.
    pub fn movie(segments: &[Segment], zone: Option<&TimeZone>) -> Result<File, Error> {
        Builder::movie(zone).all(segments)
    }

    pub(super) fn movie_of(
        mut plan: Plan,
        subtitles: Option<Subtitles>,
        tag: etag::Hasher,
    ) -> Result<File, Error> {
        let mut file = File::of_plan(&mut plan);
        let count = subtitles.as_ref().map_or(0, |s| s.before(file.laid.len()));
        if u32::try_from(count).is_err() {
            return Err(Error::TooLong("too much time in one file"));
        }
        file.subtitles = subtitles;
        file.content_type = describe::content_type(&borrowed(&plan.entries));
        let mut w = write(&plan, &file, false);
        if w.len() > u64::from(u32::MAX) {
            w = write(&plan, &file, true);
        }
        if w.overflow {
            return Err(Error::TooLong(
                "the tables of so many frames do not fit an .mp4",
            ));
        }
        file.chunks_start = w.len() - file.array_len(Array::Chunks, file.laid.len());
        file.take(w);
        file.etag = tag.finish(&file);
        Ok(file)
    }
}

/// The whole file; `wide` is with 64-bit chunk offsets.
fn write(plan: &Plan, file: &File, wide: bool) -> Writer {
    let mut w = Writer::default();
    w.plain(b"ftyp", |w| {
        w.bytes(b"isom"); // Major brand,
        w.u32(0x200); // its minor version;
        w.bytes(b"isomiso4avc1mp41"); // compatible brands: `iso4` has signed offsets in `ctts`.
    });
    w.plain(b"moov", |w| {
        let header = Header {
            created: plan.created,
            duration: plan.shown_duration,
        };
        let next_track = 1 + if file.subtitles.is_some() {
            boxes::SUBTITLE_TRACK
        } else {
            boxes::VIDEO_TRACK
        };
        boxes::mvhd(w, &header, next_track);
        video_trak(w, plan, file, &header, wide);
        if file.subtitles.is_some() {
            let size = boxes::largest(&borrowed(&plan.entries));
            subtitles::trak(w, file, &header, size, wide);
        }
    });
    let bytes = file.array_len(Array::Chunks, file.laid.len());
    let start = w.len();
    w.bytes(&boxes::mdat_header(bytes));
    w.array(Array::Chunks, bytes);
    w.note(b"mdat", start);
    w
}

fn video_trak(w: &mut Writer, plan: &Plan, file: &File, header: &Header, wide: bool) {
    let entries = borrowed(&plan.entries);
    let media = Header {
        created: header.created,
        duration: file.sums(file.laid.len()).media_duration,
    };
    w.plain(b"trak", |w| {
        boxes::video_tkhd(w, header, &entries);
        w.plain(b"edts", |w| elst(w, plan));
        w.plain(b"mdia", |w| {
            boxes::mdhd(w, &media);
            boxes::hdlr(w, b"vide", b"video\0");
            w.plain(b"minf", |w| {
                boxes::vmhd(w);
                boxes::dinf(w);
                w.plain(b"stbl", |w| {
                    boxes::video_stsd(w, &entries);
                    sample_tables(w, plan, file, wide);
                });
            });
        });
    });
}

/// Edit list, section 8.6.6.
fn elst(w: &mut Writer, plan: &Plan) {
    w.full(b"elst", 1, 0, |w| {
        w.u32(plan.edits.len() as u32);
        for e in &plan.edits {
            w.u64(e.duration);
            w.u64(e.media_time);
            w.u32(0x1_0000); // Rate 1.0.
        }
    });
}

/// The sample tables, section 8.5.1.
fn sample_tables(w: &mut Writer, plan: &Plan, file: &File, wide: bool) {
    let n = file.laid.len();
    let sums = file.sums(n);
    let array = |w: &mut Writer, a| w.array(a, file.array_len(a, n));
    w.full(b"stts", 0, 0, |w| {
        w.u32(sums.duration_runs);
        array(w, Array::Durations);
    });
    if plan.reordered {
        w.full(b"ctts", 1, 0, |w| {
            w.u32(sums.offset_runs);
            array(w, Array::Offsets);
        });
    }
    w.full(b"stss", 0, 0, |w| {
        w.u32(sums.sync_samples);
        array(w, Array::SyncSamples);
    });
    w.full(b"stsc", 0, 0, |w| {
        w.u32(n as u32);
        array(w, Array::SamplesToChunks);
    });
    w.full(b"stsz", 0, 0, |w| {
        w.u32(0); // The sizes differ.
        w.u32(sums.samples);
        array(w, Array::Sizes);
    });
    w.full(if wide { b"co64" } else { b"stco" }, 0, 0, |w| {
        w.u32(n as u32);
        array(w, Array::ChunkOffsets { wide });
    });
}
