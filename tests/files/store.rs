//! Recordings of real footage, and the files that are made of them.

use crate::footage::{Footage, Frame};
use moonfire_nvr::h264::VideoSampleEntry;
use moonfire_nvr::mp4::{File, Piece, Segment};
use moonfire_nvr::recording::index::{IndexEncoder, Sample};
use moonfire_nvr::recording::{DirId, OpenId, Place, Recording, RecordingId, StreamId, Summary};
use moonfire_nvr::time::{Duration90k, Wall90k};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// 2026-11-22T10:00:00Z.
pub const TEN: Wall90k = Wall90k::from_unix_secs(1_795_341_600);

/// Recordings' indexes and the bytes of their sample files.
#[derive(Default)]
pub struct Store {
    indexes: Vec<Arc<[u8]>>,
    files: Vec<Vec<u8>>,
}

impl Store {
    /// Adds a recording of some of the footage's frames, `start` after [`TEN`].
    pub fn add(&mut self, footage: &Footage, frames: &[Frame], start: Duration90k) -> Summary {
        let base = frames[0].pts - frames[0].dts;
        let reordered = frames.iter().any(|f| f.pts - f.dts != base);
        let mut index = Vec::new();
        let mut encoder = IndexEncoder::new(&mut index, reordered);
        for f in frames {
            encoder.add(
                &mut index,
                &Sample {
                    media_start_90k: 0, // Follows from the samples before.
                    duration_90k: f.duration as i32,
                    composition_offset_90k: (f.pts - f.dts - base) as i32,
                    offset: 0, // Likewise.
                    bytes: f.bytes.len() as u32,
                    is_sync: f.sync,
                },
            );
        }
        let bytes: Vec<u8> = frames.iter().flat_map(|f| f.bytes.clone()).collect();
        let duration = Duration90k(frames.iter().map(|f| f.duration).sum());
        let recording = Recording {
            id: RecordingId {
                stream: StreamId(1),
                sequence: self.files.len() as u32,
            },
            open: OpenId(1),
            run_offset: 0,
            start: TEN + start,
            wall_duration: duration,
            media_duration: duration,
            clock_untrusted: false,
            sample_file_bytes: bytes.len() as u32,
            video_samples: frames.len() as u32,
            video_sync_samples: frames.iter().filter(|f| f.sync).count() as u32,
            sample_entry: Arc::new(VideoSampleEntry {
                width: footage.width,
                height: footage.height,
                pixel_h_spacing: 1,
                pixel_v_spacing: 1,
                rfc6381_codec: "avc1.64000d".into(),
                avcc: footage.avcc.clone(),
                reorder_frames: 0,
            }),
            index,
            data_hash: [0; 16],
            chain_hash: [0; 32],
            end_reason: String::new(),
        };
        let place = Place {
            dir: DirId(1),
            sample_entry_id: 1,
            prev_media_duration: Duration90k::ZERO,
            prev_runs: 0,
        };
        let summary = Summary::of(&recording, place).unwrap();
        self.indexes.push(recording.index.into());
        self.files.push(bytes);
        summary
    }

    /// A segment with the index that it may need.
    pub fn with_index(&self, segment: Segment) -> Segment {
        let index = self.indexes[segment.summary.id.sequence as usize].clone();
        segment.with_index(index)
    }

    /// A part of a recording.
    pub fn part(&self, summary: &Summary, range: Range<i64>) -> Segment {
        self.with_index(Segment {
            range: Duration90k(range.start)..Duration90k(range.end),
            ..Segment::whole(summary.clone())
        })
    }

    pub fn read(&self, file: &File, range: Range<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in file.pieces(range) {
            match piece {
                Piece::Bytes(b) => out.extend_from_slice(&b),
                Piece::Table(part) => {
                    let index = &self.indexes[part.recording.sequence as usize];
                    out.extend(file.table(&part, index).unwrap());
                }
                Piece::Samples { segment, range } => {
                    let bytes = &self.files[file.source(segment).id.sequence as usize];
                    out.extend_from_slice(&bytes[range.start as usize..range.end as usize]);
                }
            }
        }
        out
    }

    /// Writes a file, which must be sound.
    pub fn write(&self, file: &File, dir: &Path) -> PathBuf {
        let path = dir.join("out.mp4");
        let bytes = self.read(file, 0..file.len());
        crate::boxes::check(&bytes);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}
