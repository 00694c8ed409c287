//! A stream of sync samples only, to be leafed through: each picture is a movie fragment of its own.

use super::boxes::Writer;
use super::fragment::{self, FragmentSample, mdat_fits};
use super::runs::Runs;
use super::segment::Segment;
use super::slices::{Array, Laid, Sums};
use super::{Error, File, MAX_SAMPLE_ENTRIES, MAX_SEGMENTS, Source, describe, etag};
use crate::h264::VideoSampleEntry;
use crate::recording::index;
use crate::time::{Duration90k, Wall90k};
use std::sync::Arc;

/// Pictures in one stream at most: two days of one every two seconds. More are refused.
pub const MAX_PICTURES: usize = 100_000;

/// A gap shorter than this is bridged by the picture before it: clocks and frame durations leave such.
const SHORTEST_GAP: Duration90k = Duration90k::from_secs(1);

/// What is kept of a picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picture {
    /// Whose it is.
    pub segment: u32,
    /// Where it is in the sample file.
    pub offset: u32,
    pub bytes: u32,
    /// Bytes of all pictures up to its end, with the initialization segments among them, without their
    /// fragments' boxes.
    pub bytes_end: u64,
    /// When it is shown, and how long.
    pub time: u64,
    pub duration: u32,
}

impl Picture {
    /// Its fragment's boxes.
    pub fn head(&self, i: usize) -> Vec<u8> {
        let sample = FragmentSample {
            bytes: self.bytes,
            duration_90k: self.duration,
            composition_offset_90k: 0,
            is_sync: true,
        };
        fragment::fragment(i as u32 + 1, self.time, &[sample])
    }
}

/// Where the picture's format changes: what comes ahead of a picture's fragment.
#[derive(Debug)]
pub(super) struct Change {
    /// Which picture.
    pub picture: u32,
    pub init: Vec<u8>,
}

/// Makes a scrub stream: give it segments in order of time, each with its index, then finish it.
///
/// Where the format changes there is another initialization segment: so Media Source Extensions want it
/// (ISO BMFF Byte Stream Format, section 3), and a stream of one format is an ordinary fragmented file.
///
/// Media time is wall time from an origin on, so that gaps are gaps. Each picture is shown until the next
/// one, or to the end of what was recorded without a gap.
pub struct Scrub {
    origin: Wall90k,
    every: Duration90k,
    laid: Vec<Laid>,
    runs: Runs,
    /// The different sample entries, in order of appearance.
    entries: Vec<Arc<VideoSampleEntry>>,
    pictures: Vec<Picture>,
    changes: Vec<Change>,
    /// Where what was recorded without a gap ends, from the origin on.
    end: i64,
    tag: etag::Hasher,
}

impl Scrub {
    /// Pictures less than `every` after the one before are left out; with zero, none is.
    pub fn new(origin: Wall90k, every: Duration90k) -> Scrub {
        let mut tag = etag::Hasher::new("scrub");
        tag.u64(origin.0 as u64);
        tag.u64(every.0 as u64);
        Scrub {
            origin,
            every,
            laid: Vec::new(),
            runs: Runs::default(),
            entries: Vec::new(),
            pictures: Vec::new(),
            changes: Vec::new(),
            end: 0,
            tag,
        }
    }

    /// Adds what a segment's range has of its recording, from the sync sample at or before its start on; it
    /// must have its index. What comes before the origin is left out.
    pub fn add(&mut self, segment: &Segment) -> Result<(), Error> {
        let s = &segment.summary;
        let refuse = |problem: String| Error::Index {
            recording: s.id,
            problem,
        };
        if self.laid.len() == MAX_SEGMENTS {
            return Err(Error::TooLong("too many recordings in one file"));
        }
        let entry = self.entry(&s.sample_entry)?;
        let Some(index) = &segment.index else {
            return Err(refuse("its index is needed and was not given".into()));
        };
        mdat_fits(u64::from(s.sample_file_bytes))?;
        self.tag.summary(s);
        self.tag.u64(s.wall_duration.0 as u64);
        self.tag.u64(s.media_duration.0 as u64);
        let number = self.laid.len() as u32;
        let source = Source {
            id: s.id,
            dir: s.dir,
        };
        self.runs.push(source);
        self.laid.push(Laid {
            source,
            first: 0,
            bytes_start: 0,
            entry,
            ends: Sums::default(),
        });
        let (first, last) = (segment.range.start.0.max(0), segment.range.end.0);
        let start = (s.start - self.origin).0;
        if start - self.end >= SHORTEST_GAP.0 {
            self.show_until(self.end);
        }
        let to_wall = |media: i64| match s.media_duration.0 {
            0 => media,
            m => (i128::from(media) * i128::from(s.wall_duration.0) / i128::from(m)) as i64,
        };
        let mut base_offset = 0;
        let mut candidate = None; // The last one at or before the start.
        for (sample, position) in index::samples(index).zip(0..) {
            let sample = sample.map_err(|e| refuse(e.to_string()))?;
            if position == 0 {
                base_offset = i64::from(sample.composition_offset_90k);
            }
            if !sample.is_sync {
                continue;
            }
            if sample.offset + sample.bytes > s.sample_file_bytes {
                return Err(refuse(
                    "its index tells of more bytes than its sample file has".into(),
                ));
            }
            let offset = i64::from(sample.composition_offset_90k) - base_offset;
            let media = sample.media_start_90k + offset;
            if media >= last {
                break;
            }
            let picture = (start + to_wall(media), sample.offset, sample.bytes);
            if media <= first {
                candidate = Some(picture);
                continue;
            }
            if let Some(before) = candidate.take() {
                self.picture(number, before)?;
            }
            self.picture(number, picture)?;
        }
        if let Some(only) = candidate {
            self.picture(number, only)?;
        }
        let end = start.saturating_add(to_wall(last.min(s.media_duration.0)));
        self.end = self.end.max(end);
        Ok(())
    }

    /// The index of a sample entry; a new one is added.
    fn entry(&mut self, entry: &Arc<VideoSampleEntry>) -> Result<u16, Error> {
        // Most often it is the newest.
        let known = self.entries.iter().rposition(|e| e == entry);
        let i = match known {
            Some(i) => i,
            None if self.entries.len() == MAX_SAMPLE_ENTRIES => {
                return Err(Error::TooLong(
                    "too many changes of picture format in one file",
                ));
            }
            None => {
                self.entries.push(entry.clone());
                self.entries.len() - 1
            }
        };
        Ok(i as u16) // It is below `MAX_SAMPLE_ENTRIES`.
    }

    /// Ends the last picture, if it was not ended.
    fn show_until(&mut self, end: i64) {
        if let Some(p) = self.pictures.last_mut() {
            if p.duration == 0 {
                let duration = end.saturating_sub(p.time as i64).max(1);
                p.duration = u32::try_from(duration).unwrap_or(u32::MAX);
            }
        }
    }

    /// Adds the picture of a time, size and place, unless it is too close to the one before.
    fn picture(
        &mut self,
        segment: u32,
        (time, offset, bytes): (i64, u32, u32),
    ) -> Result<(), Error> {
        let time = time.max(0);
        let due = self
            .pictures
            .last()
            .map_or(0, |p| (p.time as i64).saturating_add(self.every.0.max(1)));
        if time < due {
            return Ok(());
        }
        if self.pictures.len() == MAX_PICTURES {
            return Err(Error::TooLong("too many pictures in one stream"));
        }
        self.show_until(time);
        let mut before = self.pictures.last().map_or(0, |p| p.bytes_end);
        let entry_of = |segment: u32| self.laid[segment as usize].entry;
        let last = self.pictures.last().map(|p| entry_of(p.segment));
        if last.is_some_and(|last| last != entry_of(segment)) {
            let mut w = Writer::default();
            fragment::init(&mut w, &self.entries[usize::from(entry_of(segment))]);
            before += w.len();
            self.changes.push(Change {
                picture: self.pictures.len() as u32, // It is below `MAX_PICTURES`.
                init: w.into_constant(),
            });
        }
        self.pictures.push(Picture {
            segment,
            offset,
            bytes,
            bytes_end: before + u64::from(bytes),
            time: time as u64,
            duration: 0, // Not known yet.
        });
        Ok(())
    }

    /// The file: with the initialization segment ahead, or media segments only.
    pub fn finish(mut self, with_init: bool) -> Result<File, Error> {
        self.show_until(self.end);
        let (Some(first), Some(last)) = (self.pictures.first(), self.pictures.last()) else {
            return Err(Error::Empty);
        };
        let first = self.laid[first.segment as usize].entry;
        let duration = last.time as i64 + i64::from(last.duration);
        for p in &self.pictures {
            self.tag
                .u64(u64::from(p.segment) << 32 | u64::from(p.offset));
            self.tag
                .u64(u64::from(p.bytes) << 32 | u64::from(p.duration));
            self.tag.u64(p.time);
        }
        for c in &self.changes {
            self.tag.u64(u64::from(c.picture));
            self.tag.bytes(&c.init);
        }
        let mut w = Writer::default();
        if with_init {
            fragment::init(&mut w, &self.entries[usize::from(first)]);
        } else {
            fragment::styp(&mut w);
        }
        self.runs.sort();
        let mut file = File {
            laid: self.laid,
            runs: self.runs,
            pictures: self.pictures,
            changes: self.changes,
            duration: Duration90k(duration),
            content_type: describe::content_type(&fragment::borrowed(&self.entries)),
            ..File::default()
        };
        w.array(
            Array::Pictures,
            file.array_len(Array::Pictures, file.pictures.len()),
        );
        file.take(w);
        file.etag = self.tag.finish(&file);
        Ok(file)
    }
}
