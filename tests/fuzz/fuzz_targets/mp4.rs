//! Whatever recordings a file is made of, and whatever of them is asked for: it is refused or has the length
//! that it tells, its boxes fill it, and however it is read its bytes are the same.
//!
//! The input tells of a few recordings (indexes as they come, or of samples), of the segments and of the kind
//! of the file, and where to cut it. Rows may lie about their recordings: then tables may be refused.

#![no_main]

use jiff::tz::{Offset, TimeZone};
use libfuzzer_sys::fuzz_target;
use moonfire_nvr::h264::VideoSampleEntry;
use moonfire_nvr::mp4::{self, File, Piece, Samples, Scrub, Segment, Source};
use moonfire_nvr::recording::index::{self, IndexEncoder, Reordering, Sample, Sums, Totals};
use moonfire_nvr::recording::{DirId, OpenId, RecordingId, StreamId, Summary};
use moonfire_nvr::time::{Duration90k, Wall90k};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// At most: more tell nothing new, and take time.
const RECORDINGS: u32 = 4;
const SEGMENTS: u8 = 8;
const SAMPLES: u8 = 64;

/// All of time that recordings lie in: some 3,000 years.
const WALL_BITS: u32 = 53;

/// The input, from which numbers are taken; zeros behind its end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken.to_vec()
    }

    /// A number of 0 to 8 bytes, its sign spread.
    fn number(&mut self) -> i64 {
        let len = usize::from(self.byte() % 9);
        let bytes = self.bytes(len);
        let negative = bytes.last().is_some_and(|&b| b & 0x80 != 0);
        let mut all = [if negative { 0xff } else { 0 }; 8];
        all[..bytes.len()].copy_from_slice(&bytes);
        i64::from_le_bytes(all)
    }

    /// The number cut to 32 bits.
    fn small(&mut self) -> u32 {
        self.number() as u32
    }
}

struct Store {
    summaries: Vec<Summary>,
    indexes: BTreeMap<RecordingId, Vec<u8>>,
    /// All rows agree with their indexes.
    honest: bool,
}

fn sample_index(input: &mut Input) -> Vec<u8> {
    let kind = input.byte();
    let count = input.byte() % SAMPLES;
    if kind % 4 == 0 {
        return input.bytes(usize::from(count) * 4);
    }
    let mut index = Vec::new();
    let mut encoder = IndexEncoder::new(&mut index, kind & 4 != 0);
    let mut total = 0u32;
    for _ in 0..count {
        let shape = input.byte();
        let duration = match shape % 4 {
            0 => 3_000,
            1 => 2_990,
            2 => i32::from(input.byte()) + 1,
            _ => (input.small() as i32).max(1),
        };
        let bytes = match shape / 4 % 4 {
            3 => input.small().max(1),
            n => u32::from(input.byte()) + u32::from(n) * 256 + 1,
        };
        let Some(sum) = total.checked_add(bytes) else {
            break;
        };
        total = sum;
        let offset = match shape / 16 % 4 {
            3 if kind & 8 != 0 => input.small() as i32,
            n => 3_000 * (i32::from(n) - 1),
        };
        let sample = Sample {
            media_start_90k: 0, // Follows from the samples before.
            duration_90k: duration,
            composition_offset_90k: if kind & 4 != 0 { offset } else { 0 },
            offset: 0, // Likewise.
            bytes,
            is_sync: shape & 0xc0 == 0,
        };
        encoder.add(&mut index, &sample);
    }
    index
}

fn entry(number: u8) -> VideoSampleEntry {
    VideoSampleEntry {
        width: 640 << (number & 1),
        height: 360 << (number & 1),
        pixel_h_spacing: 1,
        pixel_v_spacing: 1 + u16::from(number & 2),
        rfc6381_codec: "avc1.4d401f".into(),
        avcc: vec![number; 8],
        reorder_frames: 0,
    }
}

impl Store {
    fn of(input: &mut Input) -> Store {
        let mut store = Store {
            summaries: Vec::new(),
            indexes: BTreeMap::new(),
            honest: true,
        };
        for sequence in 0..1 + u32::from(input.byte()) % RECORDINGS {
            store.add(sequence, input);
        }
        store
    }

    fn add(&mut self, sequence: u32, input: &mut Input) {
        let id = RecordingId {
            stream: StreamId(1),
            sequence,
        };
        let flags = input.byte();
        let index = sample_index(input);
        let known = index::totals(&index).unwrap_or_default();
        let mut summary = Summary {
            id,
            dir: DirId(1),
            open: OpenId(1),
            run_offset: sequence,
            start: Wall90k(input.number() >> (64 - WALL_BITS)),
            wall_duration: Duration90k(known.media_duration_90k + i64::from(flags & 8)),
            media_duration: Duration90k(known.media_duration_90k),
            clock_untrusted: false,
            sample_file_bytes: known.bytes,
            video_samples: known.samples,
            video_sync_samples: known.sync_samples,
            sample_entry_id: 1,
            sample_entry: Arc::new(entry(flags >> 4 & 3)),
            prev_media_duration: Duration90k::ZERO,
            prev_runs: 0,
            end_reason: String::new(),
            sums: index::sums(&index).ok().flatten(),
        };
        if flags & 1 != 0 {
            summary.sums = None;
        }
        if flags & 6 == 6 {
            self.honest = false;
            lie(&mut summary, &known, input);
        }
        self.summaries.push(summary);
        self.indexes.insert(id, index);
    }

    /// A segment of any recording, with any range, and mostly with the index that it needs.
    fn segment(&self, input: &mut Input) -> Segment {
        let which = input.byte();
        let summary = self.summaries[usize::from(which) % self.summaries.len()].clone();
        let index = self.indexes[&summary.id].clone();
        let mut segment = Segment::whole(summary);
        match which >> 6 {
            0 => {}
            1 => {
                let (a, b) = (input.small(), input.small());
                segment.range = Duration90k(a.into())..Duration90k(b.into());
            }
            2 => {
                let end = segment.summary.media_duration;
                segment.range = Duration90k(input.number())..end;
            }
            _ => segment.range = Duration90k(input.number())..Duration90k(input.number()),
        }
        let needed = segment.needs_index();
        if needed != (input.byte() == 0xff) {
            segment = segment.with_index(index.into());
        }
        segment
    }
}

/// A row that damage, or somebody, has changed.
fn lie(s: &mut Summary, known: &Totals, input: &mut Input) {
    s.sample_file_bytes = input.small();
    s.video_samples = input.small();
    s.video_sync_samples = input.small();
    s.media_duration = Duration90k(known.media_duration_90k + i64::from(input.small() as i32));
    s.wall_duration = Duration90k(i64::from(input.small()));
    s.sums = Some(Sums {
        duration_runs: input.small(),
        reordering: (input.byte() & 1 != 0).then(|| Reordering {
            offset_runs: input.small(),
            presentation_duration_90k: input.number(),
        }),
    });
}

/// What some of a file's bytes are: bytes, or those of a segment's sample file.
#[derive(Debug, PartialEq)]
enum Part {
    Bytes(Vec<u8>),
    Samples(usize, Range<u64>),
}

fn append(parts: &mut Vec<Part>, part: Part) {
    match (parts.last_mut(), part) {
        (Some(Part::Bytes(all)), Part::Bytes(more)) => all.extend(more),
        (Some(Part::Samples(a, all)), Part::Samples(b, more))
            if *a == b && all.end == more.start =>
        {
            all.end = more.end;
        }
        (_, part) => parts.push(part),
    }
}

/// The bytes of a range, behind what is there; false if a table of it was refused.
fn read(store: &Store, file: &File, range: Range<u64>, parts: &mut Vec<Part>) -> bool {
    let mut left = range.end - range.start;
    for piece in file.pieces(range) {
        assert!(piece.len() > 0 && piece.len() <= left);
        left -= piece.len();
        let told = piece.len();
        match piece {
            Piece::Bytes(bytes) => append(parts, Part::Bytes(bytes.into_owned())),
            Piece::Table(part) => match file.table(&part, &store.indexes[&part.recording]) {
                Ok(bytes) => {
                    assert_eq!(bytes.len() as u64, told);
                    append(parts, Part::Bytes(bytes));
                }
                Err(e) => {
                    assert!(!store.honest, "{e}");
                    return false;
                }
            },
            Piece::Samples { segment, range } => {
                assert!(range.end <= u64::from(u32::MAX));
                assert!(segment < file.segments());
                append(parts, Part::Samples(segment, range));
            }
        }
    }
    assert_eq!(left, 0);
    true
}

/// Top-level boxes fill the file.
fn check_boxes(store: &Store, file: &File) {
    let mut at = 0;
    while at < file.len() {
        let mut parts = Vec::new();
        let end = file.len().min(at + 16);
        if !read(store, file, at..end, &mut parts) {
            return;
        }
        let Some(Part::Bytes(head)) = parts.first() else {
            panic!("no box at {at}");
        };
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b));
        let len = match number(&head[..4]) {
            1 => number(&head[8..16]),
            short => short,
        };
        assert!(len >= 8, "a box of {len} bytes at {at}");
        at += len;
    }
    assert_eq!(at, file.len());
}

fn check(store: &Store, file: &File, cuts: &mut Input) {
    check_boxes(store, file);
    let mut whole = Vec::new();
    if !read(store, file, 0..file.len(), &mut whole) {
        return;
    }
    let (mut at, mut joined) = (0, Vec::new());
    while at < file.len() {
        let step = match cuts.byte() {
            0 => file.len() - at,
            n => 1 + u64::from(n) * u64::from(cuts.byte()) * file.len() / 65_536 / 4,
        };
        let end = file.len().min(at + step);
        assert!(read(store, file, at..end, &mut joined));
        let wanted = file.indexes_wanted(at..end, 3);
        assert!(wanted.iter().all(|id| store.indexes.contains_key(id)));
        at = end;
    }
    assert_eq!(joined, whole);
    assert!(file.piece(file.len()..u64::MAX).is_none());
    assert!(file.account().count() > 0);
    assert!(!file.etag().is_empty() && file.duration() >= Duration90k::ZERO);
}

/// The file that the input tells of.
fn file(store: &Store, input: &mut Input) -> Result<File, mp4::Error> {
    let kind = input.byte();
    let count = 1 + input.byte() % SEGMENTS;
    let mut segments = || -> Vec<Segment> { (0..count).map(|_| store.segment(input)).collect() };
    match kind % 5 {
        0 => File::movie(&segments(), None),
        1 => {
            let zone = TimeZone::fixed(Offset::constant((kind / 5) as i8 % 24));
            File::movie(&segments(), Some(&zone))
        }
        2 => {
            let segments = segments();
            File::media_segment(&segments, input.number() as u64)
        }
        3 => {
            let segments = segments();
            let mut scrub = Scrub::new(segments[0].summary.start, Duration90k(input.number()));
            for s in segments {
                let index = store.indexes[&s.summary.id].clone();
                scrub.add(&s.with_index(index.into()))?;
            }
            scrub.finish(kind & 8 != 0)
        }
        _ => {
            let of = &store.summaries[usize::from(count) % store.summaries.len()];
            let positions = u32::from(input.byte())..input.small();
            let index = &store.indexes[&of.id];
            let samples = Samples::of(of.id, index, positions, of.sample_file_bytes)?;
            let source = Source {
                id: of.id,
                dir: of.dir,
            };
            let time = input.number() as u64;
            File::counted(source, of.open, &of.sample_entry, &samples, time)
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let store = Store::of(&mut input);
    for index in store.indexes.values() {
        let at_least = Duration90k(i64::from(input.small()));
        if let Ok(parts) = mp4::sync_parts(index, at_least) {
            let samples: u32 = parts.iter().map(|p| p.samples).sum();
            assert_eq!(Ok(samples), index::totals(index).map(|t| t.samples));
        }
    }
    if let Ok(file) = file(&store, &mut input) {
        check(&store, &file, &mut input);
    }
});
