//! Where each byte of a file comes from: a few regions, most of them arrays with an entry for each
//! segment, whose places follow from running sums. Finding one is two binary searches.

use super::fragment::{self, Moof};
use super::subtitles::SAMPLE_BYTES as SUBTITLE_BYTES;
use super::table::{Chosen, Table};
use super::{File, Piece, Source, TablePart};
use crate::recording::RecordingId;
use std::borrow::Cow;
use std::ops::Range;

/// Bytes generated at once at most where that needs no index.
const MAX_GENERATED: u64 = 48 << 10;

/// A part of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    /// Where it ends in the file; it begins where the one before ends.
    pub end: u64,
    pub content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// [`File::constant`], from this position on.
    Constant { position: usize },
    /// An entry for each segment (or, in a scrub stream, for each picture).
    Array(Array),
}

/// An array; clauses are of ISO/IEC 14496-12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Array {
    Durations,
    Offsets,
    SyncSamples,
    Sizes,
    /// `stsc` (section 8.7.4): each segment is a chunk.
    SamplesToChunks,
    /// `stco` or `co64` (section 8.7.5).
    ChunkOffsets {
        wide: bool,
    },
    SubtitleDurations,
    SubtitlesToChunks,
    SubtitleChunkOffsets {
        wide: bool,
    },
    /// The content of the one `mdat`: each segment's samples, then its subtitles.
    Chunks,
    /// A movie fragment and its `mdat` for each segment.
    Fragments,
    /// A movie fragment and its `mdat` for each picture of a scrub stream.
    Pictures,
}

/// What is kept of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Laid {
    pub source: Source,
    /// The position of its first sample in the recording.
    pub first: u32,
    /// Where its first sample is in the sample file.
    pub bytes_start: u32,
    /// Its sample entry, counted from 0.
    pub entry: u16,
    pub ends: Sums,
}

/// Running sums over the segments of a file, up to the end of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub samples: u32,
    pub sync_samples: u32,
    pub duration_runs: u32,
    pub offset_runs: u32,
    pub bytes: u64,
    pub media_duration: u64,
}

impl Array {
    /// Bytes of a record if all entries are one record of one size, which needs no index.
    fn record_bytes(self) -> Option<u64> {
        match self {
            Array::SamplesToChunks | Array::SubtitlesToChunks => Some(12),
            Array::ChunkOffsets { wide } | Array::SubtitleChunkOffsets { wide } => {
                Some(if wide { 8 } else { 4 })
            }
            _ => None,
        }
    }

    /// Entries of it may need an index.
    fn needs_index(self) -> bool {
        matches!(
            self,
            Array::Durations
                | Array::Offsets
                | Array::SyncSamples
                | Array::Sizes
                | Array::Fragments
        )
    }
}

impl File {
    /// How many entries an array has.
    pub(super) fn entries(&self, array: Array) -> usize {
        match array {
            Array::Pictures => self.pictures.len(),
            _ => self.laid.len(),
        }
    }

    /// The length in bytes of an array's first `n` entries.
    pub(super) fn array_len(&self, array: Array, n: usize) -> u64 {
        if let Some(record) = array.record_bytes() {
            return record * n as u64;
        }
        if array == Array::Pictures {
            let bytes = n.checked_sub(1).map_or(0, |i| self.pictures[i].bytes_end);
            return fragment::heads_len(n as u64, n as u64, false) + bytes;
        }
        let s = self.sums(n);
        match array {
            Array::Durations => 8 * u64::from(s.duration_runs),
            Array::Offsets => 8 * u64::from(s.offset_runs),
            Array::SyncSamples => 4 * u64::from(s.sync_samples),
            Array::Sizes => 4 * u64::from(s.samples),
            Array::SubtitleDurations => 8 * self.subtitles_before(n),
            Array::Chunks => s.bytes + SUBTITLE_BYTES * self.subtitles_before(n),
            Array::Fragments => {
                fragment::heads_len(n as u64, u64::from(s.samples), self.reordered) + s.bytes
            }
            Array::SamplesToChunks
            | Array::SubtitlesToChunks
            | Array::ChunkOffsets { .. }
            | Array::SubtitleChunkOffsets { .. }
            | Array::Pictures => 0, // Told above.
        }
    }

    /// The sums over the first `n` segments.
    pub(super) fn sums(&self, n: usize) -> Sums {
        n.checked_sub(1)
            .map_or_else(Sums::default, |i| self.laid[i].ends)
    }

    pub(super) fn subtitles_before(&self, n: usize) -> u64 {
        self.subtitles.as_ref().map_or(0, |s| s.before(n))
    }

    /// The entry that the byte at `offset` of an array is in.
    fn entry_at(&self, array: Array, offset: u64) -> usize {
        let (mut low, mut high) = (0, self.entries(array));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.array_len(array, middle + 1) <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The region that a byte of the file is in, and where that begins.
    fn region_at(&self, at: u64) -> Option<(usize, u64)> {
        let i = self.regions.partition_point(|r| r.end <= at);
        let start = i.checked_sub(1).map_or(0, |i| self.regions[i].end);
        (i < self.regions.len()).then_some((i, start))
    }

    /// The first piece of `range`; `None` if that is empty or behind the file's end. The next one is
    /// that of `range.start + piece.len()..range.end`. Takes O(log segments).
    pub fn piece(&self, range: Range<u64>) -> Option<Piece<'_>> {
        let (i, start) = self.region_at(range.start)?;
        let region = self.regions[i];
        let part = range.start - start..region.end.min(range.end).checked_sub(start)?;
        if part.is_empty() {
            return None;
        }
        Some(match region.content {
            Content::Constant { position } => {
                // Constant bytes are in memory, so their places fit usize.
                let at = position + part.start as usize..position + part.end as usize;
                Piece::Bytes(Cow::Borrowed(&self.constant[at]))
            }
            Content::Array(array) => match array.record_bytes() {
                Some(bytes) => self.records(array, bytes, part),
                None => self.part_of_entry(array, part),
            },
        })
    }

    /// The bytes of `range`, as pieces in order. What lies beyond the end is left out.
    pub fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = Piece<'_>> {
        let mut at = range.start;
        std::iter::from_fn(move || {
            let piece = self.piece(at..range.end)?;
            at += piece.len();
            Some(piece)
        })
    }

    /// Whose indexes the pieces of `range` want, in the order in which they are wanted first; at most
    /// `limit`. To ask for many at once.
    pub fn indexes_wanted(&self, range: Range<u64>, limit: usize) -> Vec<RecordingId> {
        let mut wanted = Vec::new();
        let Some((first, mut start)) = self.region_at(range.start) else {
            return wanted;
        };
        for region in &self.regions[first..] {
            if start >= range.end {
                break;
            }
            if let Content::Array(array) = region.content {
                if array.needs_index() {
                    let part = range.start.saturating_sub(start)..range.end - start;
                    self.wanted_of(array, part, limit, &mut wanted);
                }
            }
            start = region.end;
        }
        wanted
    }

    fn wanted_of(
        &self,
        array: Array,
        part: Range<u64>,
        limit: usize,
        wanted: &mut Vec<RecordingId>,
    ) {
        for i in self.entry_at(array, part.start)..self.laid.len() {
            let start = self.array_len(array, i);
            if wanted.len() >= limit || start >= part.end {
                break;
            }
            if part.start >= start + self.table_at(array, i).len(&self.chosen(i)) {
                continue; // It is a fragment whose head is not asked for.
            }
            let id = self.laid[i].source.id;
            if !wanted.contains(&id) {
                wanted.push(id);
            }
        }
    }

    /// Generates some records.
    fn records(&self, array: Array, bytes: u64, part: Range<u64>) -> Piece<'_> {
        let end = part.end.min(part.start + MAX_GENERATED);
        let (first, last) = (part.start / bytes, end.div_ceil(bytes));
        let mut out = Vec::with_capacity(((last - first) * bytes) as usize);
        for i in first as usize..last as usize {
            self.record(array, i, &mut out);
        }
        Piece::Bytes(cut(out, part.start - first * bytes..end - first * bytes))
    }

    fn record(&self, array: Array, i: usize, out: &mut Vec<u8>) {
        let mut put = |v: u32| out.extend_from_slice(&v.to_be_bytes());
        let subtitles = self.subtitles_before(i + 1) - self.subtitles_before(i);
        match array {
            Array::SamplesToChunks => {
                put(i as u32 + 1);
                put(self.sums(i + 1).samples - self.sums(i).samples);
                put(u32::from(self.laid[i].entry) + 1);
            }
            Array::SubtitlesToChunks => {
                put(i as u32 + 1);
                put(subtitles as u32);
                put(1);
            }
            Array::ChunkOffsets { wide } | Array::SubtitleChunkOffsets { wide } => {
                let chunks = self.array_len(Array::Chunks, i);
                let mut at = self.chunks_start + chunks;
                if matches!(array, Array::SubtitleChunkOffsets { .. }) {
                    at += self.sums(i + 1).bytes - self.sums(i).bytes;
                }
                if wide {
                    put((at >> 32) as u32);
                }
                put(at as u32);
            }
            _ => {} // Not of records.
        }
    }

    /// The beginning of `part` as far as it is in one entry.
    fn part_of_entry(&self, array: Array, part: Range<u64>) -> Piece<'_> {
        let i = self.entry_at(array, part.start);
        let start = self.array_len(array, i);
        let end = part.end.min(self.array_len(array, i + 1)) - start;
        let part = part.start - start..end;
        match array {
            Array::Chunks => self.chunk(i, part),
            Array::Pictures => self.picture(i, part),
            Array::SubtitleDurations => {
                let (first, last) = (part.start / 8, part.end.div_ceil(8));
                let bytes = match &self.subtitles {
                    Some(s) => s.durations(i, first as u32..last as u32),
                    None => Vec::new(),
                };
                Piece::Bytes(cut(bytes, part.start - first * 8..part.end - first * 8))
            }
            _ => {
                let table = self.table_at(array, i);
                let chosen = self.chosen(i);
                let len = table.len(&chosen);
                if part.start >= len {
                    return self.samples(i, part.start - len..part.end - len);
                }
                Piece::Table(TablePart {
                    recording: self.laid[i].source.id,
                    segment: i,
                    table,
                    range: part.start..part.end.min(len),
                })
            }
        }
    }

    /// A part of a segment's samples.
    fn samples(&self, i: usize, part: Range<u64>) -> Piece<'_> {
        let from = u64::from(self.laid[i].bytes_start);
        Piece::Samples {
            segment: i,
            range: from + part.start..from + part.end,
        }
    }

    fn chunk(&self, i: usize, part: Range<u64>) -> Piece<'_> {
        let video = self.sums(i + 1).bytes - self.sums(i).bytes;
        if part.start < video {
            return self.samples(i, part.start..part.end.min(video));
        }
        let end = part.end.min(part.start + MAX_GENERATED) - video;
        let start = part.start - video;
        let (first, last) = (start / SUBTITLE_BYTES, end.div_ceil(SUBTITLE_BYTES));
        let bytes = match &self.subtitles {
            Some(s) => s.samples(i, first as u32..last as u32),
            None => Vec::new(),
        };
        let from = first * SUBTITLE_BYTES;
        Piece::Bytes(cut(bytes, start - from..end - from))
    }

    fn picture(&self, i: usize, part: Range<u64>) -> Piece<'_> {
        let p = &self.pictures[i];
        let change = self
            .changes
            .binary_search_by_key(&i, |c| c.picture as usize);
        let init = change.map_or(&[][..], |n| &self.changes[n].init);
        let head = init.len() as u64 + fragment::heads_len(1, 1, false);
        if part.start < head {
            let mut bytes = init.to_vec();
            bytes.extend(p.head(i));
            return Piece::Bytes(cut(bytes, part.start..part.end.min(head)));
        }
        let from = u64::from(p.offset);
        Piece::Samples {
            segment: p.segment as usize,
            range: from + part.start - head..from + part.end - head,
        }
    }

    /// The table that entry `i` of an array is, or begins with.
    fn table_at(&self, array: Array, i: usize) -> Table {
        match array {
            Array::Durations => Table::Durations,
            Array::Offsets => Table::Offsets,
            Array::SyncSamples => Table::SyncSamples,
            Array::Sizes => Table::Sizes,
            _ => Table::Moof(Moof {
                sequence_number: i as u32 + 1,
                decode_time: self.decode_time + self.sums(i).media_duration,
                with_offsets: self.reordered,
            }),
        }
    }

    /// What a segment's part of a table is made of.
    pub(super) fn chosen(&self, i: usize) -> Chosen {
        let (laid, before, after) = (&self.laid[i], self.sums(i), self.sums(i + 1));
        let bytes = (after.bytes - before.bytes) as u32; // Of one sample file.
        Chosen {
            first: laid.first,
            samples: after.samples - before.samples,
            sync_samples: after.sync_samples - before.sync_samples,
            duration_runs: after.duration_runs - before.duration_runs,
            offset_runs: after.offset_runs - before.offset_runs,
            bytes: laid.bytes_start..laid.bytes_start + bytes,
            media_duration: (after.media_duration - before.media_duration) as u32,
            samples_before: before.samples,
        }
    }
}

/// Some of the bytes that were generated.
fn cut<'a>(mut bytes: Vec<u8>, range: Range<u64>) -> Cow<'a, [u8]> {
    bytes.truncate(range.end as usize);
    bytes.drain(..range.start as usize);
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_kept_of_a_segment() {
        assert!(size_of::<Laid>() <= 56, "{}", size_of::<Laid>());
    }
}
