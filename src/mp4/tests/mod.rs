//! What the tests of virtual files share: invented recordings, and a reader of files of them.

mod fragments;
mod movie;
mod reading;

use super::*;
use crate::h264::VideoSampleEntry;
use crate::recording::index::{IndexEncoder, Sample};
use crate::recording::{OpenId, Place, Recording, StreamId, Summary};
use crate::time::Wall90k;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;
use std::collections::HashMap;
use std::sync::Arc;

/// A recording of samples of (duration, bytes); each `gop`th is a sync sample.
fn recording(sequence: u32, gop: usize, samples: &[(i32, u32)]) -> Recording {
    let samples = samples
        .iter()
        .enumerate()
        .map(|(i, &(duration, bytes))| (duration, bytes, 0, i % gop == 0));
    recording_of(sequence, &samples.collect::<Vec<_>>())
}

/// A recording of samples of (duration, bytes, composition offset, sync).
fn recording_of(sequence: u32, samples: &[(i32, u32, i32, bool)]) -> Recording {
    let mut index = Vec::new();
    let mut encoder = IndexEncoder::new(&mut index, false);
    for &(duration_90k, bytes, composition_offset_90k, is_sync) in samples {
        encoder.add(
            &mut index,
            &Sample {
                media_start_90k: 0, // Follows from the samples before.
                duration_90k,
                composition_offset_90k,
                offset: 0, // Likewise.
                bytes,
                is_sync,
            },
        );
    }
    let media_duration = Duration90k(samples.iter().map(|s| i64::from(s.0)).sum());
    Recording {
        id: RecordingId {
            stream: StreamId(1),
            sequence,
        },
        open: OpenId(1),
        run_offset: sequence,
        start: Wall90k::from_unix_secs(1_795_341_600),
        wall_duration: media_duration,
        media_duration,
        clock_untrusted: false,
        sample_file_bytes: samples.iter().map(|s| s.1).sum(),
        video_samples: samples.len() as u32,
        video_sync_samples: samples.iter().filter(|s| s.3).count() as u32,
        sample_entry: Arc::new(VideoSampleEntry {
            width: 704,
            height: 576,
            pixel_h_spacing: 16,
            pixel_v_spacing: 11,
            rfc6381_codec: "avc1.4d401e".into(),
            avcc: vec![1, 2, 3, 4],
            reorder_frames: 0,
        }),
        index,
        data_hash: [0; 16],
        chain_hash: [0; 32],
        end_reason: String::new(),
    }
}

/// A recording of some samples of any kind.
pub(super) fn any_recording(random: &mut Pcg32, reordered: bool) -> Recording {
    let mut any = |n: u32| random.next_u32() % n;
    let samples: Vec<_> = (0..1 + any(40))
        .map(|i| {
            let duration = 2_900 + any(3) as i32 * 100;
            let offset = match (reordered, any(3)) {
                (true, n) => n as i32 * 3_000 - 3_000,
                (false, _) => 0,
            };
            (duration, 1 + any(50), offset, i == 0 || any(6) == 0)
        })
        .collect();
    recording_of(any(1_000), &samples)
}

fn summary(recording: &Recording) -> Summary {
    let place = Place {
        dir: DirId(1),
        sample_entry_id: 1,
        prev_media_duration: Duration90k::ZERO,
        prev_runs: 0,
    };
    Summary::of(recording, place).unwrap()
}

/// A part of a recording, with its index only if it is needed.
pub(super) fn segment(recording: &Recording, range: Range<i64>) -> Segment {
    let segment = Segment {
        range: Duration90k(range.start)..Duration90k(range.end),
        ..Segment::whole(summary(recording))
    };
    match segment.needs_index() {
        true => segment.with_index(recording.index.clone().into()),
        false => segment,
    }
}

fn whole(recording: &Recording) -> Segment {
    segment(recording, 0..i64::MAX)
}

/// Reads files of some recordings.
struct Reader<'a>(HashMap<RecordingId, &'a Recording>);

impl<'a> Reader<'a> {
    fn new(recordings: impl IntoIterator<Item = &'a Recording>) -> Reader<'a> {
        Reader(recordings.into_iter().map(|r| (r.id, r)).collect())
    }

    /// A byte of a sample file.
    fn sample_byte(id: RecordingId, at: u64) -> u8 {
        (u64::from(id.sequence) * 7 + at * 13 + at / 251) as u8
    }

    fn read(&self, file: &File, range: Range<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in file.pieces(range) {
            match piece {
                Piece::Bytes(b) => out.extend_from_slice(&b),
                Piece::Table(part) => {
                    let index = &self.0[&part.recording].index;
                    let bytes = file.table(&part, index).unwrap();
                    assert_eq!(bytes.len() as u64, Piece::Table(part).len());
                    out.extend_from_slice(&bytes);
                }
                Piece::Samples { segment, range } => {
                    let id = file.source(segment).id;
                    out.extend(range.map(|at| Reader::sample_byte(id, at)));
                }
            }
        }
        out
    }
}

/// All bytes ahead of the samples.
fn head(recordings: &[&Recording], file: &File) -> Vec<u8> {
    let mut samples = file.pieces(0..file.len()).scan(0, |at, piece| {
        let start = *at;
        *at += piece.len();
        Some((start, matches!(piece, Piece::Samples { .. })))
    });
    let end = samples.find(|(_, is_samples)| *is_samples);
    let end = end.map_or(file.len(), |(start, _)| start);
    Reader::new(recordings.iter().copied()).read(file, 0..end)
}

/// The content of the first box of a kind, with version and flags if it has them.
fn content<'a>(head: &'a [u8], kind: &[u8; 4]) -> &'a [u8] {
    let at = head.windows(4).position(|w| w == kind).unwrap();
    let len = u32::from_be_bytes(head[at - 4..at].try_into().unwrap()) as usize;
    &head[at + 4..at - 4 + len]
}

/// The numbers of a table after version, flags and `skip` bytes.
fn numbers(head: &[u8], kind: &[u8; 4], skip: usize) -> Vec<u32> {
    content(head, kind)[4 + skip..]
        .chunks(4)
        .map(|c| u32::from_be_bytes(c.try_into().unwrap()))
        .collect()
}
