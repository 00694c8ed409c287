//! The sample index: what a recording knows of each of its samples, in about three bytes a frame; in half
//! of that where it is kept (`packed.rs`).
//!
//! An index is one byte of flags, then for each sample, in decoding order, two or three varints
//! (seven bits a byte, lowest first, the shortest form only):
//!
//! 1. zigzag(duration - duration of the sample before) * 2, plus 1 for a sync sample;
//! 2. zigzag(bytes - bytes of the sample of the same kind before), sync and other samples apart;
//! 3. only where the flags say so: zigzag(composition offset - that of the sample before).
//!
//! What is "before" the first sample is 0. Durations and offsets are in 90 kHz units. Each sample has at
//! least one byte and lasts at least one unit. A list of samples has exactly one encoding, or two where
//! all offsets are zero: told or not.
//!
//! The module refuses, with the position in the index, whatever no encoder would write.

use std::fmt;

/// Flag: each sample has a composition offset.
pub(super) const HAS_COMPOSITION_OFFSETS: u8 = 1;

/// Flag: it is packed, as it is in the database. [`super::packed::unpack`] comes first.
pub(super) const PACKED: u8 = 0x80;

/// Bytes of an index that a sample takes at least.
pub const MIN_SAMPLE_BYTES: usize = 2;

/// Bytes of the longest varint: 35 bits.
const MAX_VARINT_BYTES: usize = 5;

/// One sample as its index tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Decoding time, from that of the recording's first sample.
    pub media_start_90k: i64,
    /// From this sample's decoding time to the next one's; never zero.
    pub duration_90k: i32,
    /// What is to be added to the decoding time for the time of presentation; may be negative.
    pub composition_offset_90k: i32,
    /// Where it is in the sample file.
    pub offset: u32,
    /// Its size, never zero.
    pub bytes: u32,
    pub is_sync: bool,
}

/// What is wrong with an index, and at which of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    #[error("index ends within a sample (byte {at})")]
    Truncated { at: usize },
    #[error("index has flags that are not known ({flags:#04x})")]
    Flags { flags: u8 },
    #[error("the packed index is damaged")]
    Packed,
    #[error("a number in the index is longer than it may be (byte {at})")]
    Varint { at: usize },
    #[error("a sample's duration is zero, negative or too long (byte {at})")]
    Duration { at: usize },
    #[error("a sample's size is zero, negative or too large (byte {at})")]
    Bytes { at: usize },
    #[error("a sample's composition offset is out of range (byte {at})")]
    CompositionOffset { at: usize },
    #[error("the samples have more bytes than a sample file may (byte {at})")]
    TotalBytes { at: usize },
    #[error("the index tells of {found}, not {expected}")]
    Totals { found: Totals, expected: Totals },
}

/// Sums over all samples of an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub samples: u32,
    pub sync_samples: u32,
    pub bytes: u32,
    pub media_duration_90k: i64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} samples ({} sync), {} bytes, {}/90000 s",
            self.samples, self.sync_samples, self.bytes, self.media_duration_90k
        )
    }
}

impl Totals {
    fn add(&mut self, s: &Sample) {
        self.samples += 1; // Each has a byte of a u32.
        self.sync_samples += u32::from(s.is_sync);
        self.bytes = s.offset + s.bytes;
        self.media_duration_90k = s.media_start_90k + i64::from(s.duration_90k);
    }
}

/// The samples of an index, in decoding order. Ends after the first error.
pub fn samples(index: &[u8]) -> IndexIterator<'_> {
    IndexIterator {
        index,
        cursor: Cursor::default(),
        failed: false,
    }
}

/// Decodes the whole index.
pub fn totals(index: &[u8]) -> Result<Totals, IndexError> {
    let mut totals = Totals::default();
    for s in samples(index) {
        totals.add(&s?);
    }
    Ok(totals)
}

/// Decodes the whole index and compares its sums.
pub fn check(index: &[u8], expected: &Totals) -> Result<(), IndexError> {
    let found = totals(index)?;
    if found != *expected {
        return Err(IndexError::Totals {
            found,
            expected: *expected,
        });
    }
    Ok(())
}

/// What of an index, beyond its [`Totals`], the layout of a file of the whole recording depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sums {
    /// Runs of equal durations. The last sample's counts as stretched to the end of the presentation.
    pub duration_runs: u32,
    /// `None` if each sample is presented in its place in decoding order.
    pub reordering: Option<Reordering>,
}

/// See [`Sums`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reordering {
    /// Runs of equal composition offsets.
    pub offset_runs: u32,
    /// When the presentation ends, from the presentation of the recording's first sample on: the end
    /// of the last sample's duration, or one unit after the last presented sample if that is later.
    pub presentation_duration_90k: i64,
}

/// Decodes the whole index; `None` if it has no samples, or composition offsets so far from the first
/// one's that no file could tell them.
pub fn sums(index: &[u8]) -> Result<Option<Sums>, IndexError> {
    let mut samples = samples(index);
    let Some(first) = samples.next().transpose()? else {
        return Ok(None);
    };
    let base = i64::from(first.composition_offset_90k);
    let (mut last, mut last_presented) = (first, 0);
    // Runs of durations without the last sample, and the duration of the last of them.
    let (mut duration_runs, mut run_duration) = (0, 0);
    let mut offset_runs = 1;
    let mut reordered = false;
    for sample in samples {
        let s = sample?;
        if run_duration != i64::from(last.duration_90k) {
            run_duration = i64::from(last.duration_90k);
            duration_runs += 1;
        }
        offset_runs += u32::from(s.composition_offset_90k != last.composition_offset_90k);
        let offset = i64::from(s.composition_offset_90k) - base;
        if i32::try_from(offset).is_err() {
            return Ok(None);
        }
        reordered |= offset != 0;
        last_presented = last_presented.max(s.media_start_90k + offset);
        last = s;
    }
    let end = (last.media_start_90k + i64::from(last.duration_90k)).max(last_presented + 1);
    duration_runs += u32::from(run_duration != end - last.media_start_90k);
    Ok(Some(Sums {
        duration_runs,
        reordering: reordered.then_some(Reordering {
            offset_runs,
            presentation_duration_90k: end,
        }),
    }))
}

/// See [`samples`].
#[derive(Clone, Debug)]
pub struct IndexIterator<'a> {
    index: &'a [u8],
    cursor: Cursor,
    failed: bool,
}

impl Iterator for IndexIterator<'_> {
    type Item = Result<Sample, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.cursor.next(self.index);
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

/// A place between two samples of an index, which may grow meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    at: usize,
    duration: i32,
    sync_bytes: u32,
    other_bytes: u32,
    composition_offset: i32,
    totals: Totals,
}

impl Cursor {
    /// How many bytes of the index lie before it.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The sums over the samples before it.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The duration of the sample before it; 0 at the beginning.
    pub fn last_duration_90k(&self) -> i32 {
        self.duration
    }

    /// What appends to an index that ends here.
    pub fn encoder(&self, index: &[u8]) -> IndexEncoder {
        IndexEncoder {
            has_composition_offsets: index
                .first()
                .is_some_and(|f| f & HAS_COMPOSITION_OFFSETS != 0),
            duration: self.duration,
            sync_bytes: self.sync_bytes,
            other_bytes: self.other_bytes,
            composition_offset: self.composition_offset,
        }
    }

    /// The sample that follows, and steps over it; `None` at the end.
    pub fn next(&mut self, index: &[u8]) -> Option<Result<Sample, IndexError>> {
        if self.at == index.len() {
            return None;
        }
        Some(self.decode(index))
    }

    fn decode(&mut self, index: &[u8]) -> Result<Sample, IndexError> {
        let flags = index[0];
        if flags & PACKED != 0 {
            return Err(IndexError::Packed);
        }
        if flags & !HAS_COMPOSITION_OFFSETS != 0 {
            return Err(IndexError::Flags { flags });
        }
        let mut at = self.at.max(1);
        let start = at;
        let head = read_varint(index, &mut at)?;
        let is_sync = head & 1 == 1;
        let duration_90k = i32::try_from(i64::from(self.duration) + unzigzag(head >> 1))
            .ok()
            .filter(|&d| d > 0)
            .ok_or(IndexError::Duration { at: start })?;

        let start = at;
        let before = if is_sync {
            &mut self.sync_bytes
        } else {
            &mut self.other_bytes
        };
        let delta = unzigzag(read_varint(index, &mut at)?);
        let bytes = u32::try_from(i64::from(*before) + delta)
            .ok()
            .filter(|&b| b > 0)
            .ok_or(IndexError::Bytes { at: start })?;
        if self.totals.bytes.checked_add(bytes).is_none() {
            return Err(IndexError::TotalBytes { at: start });
        }
        *before = bytes;

        let mut composition_offset_90k = 0;
        if flags & HAS_COMPOSITION_OFFSETS != 0 {
            let start = at;
            let delta = unzigzag(read_varint(index, &mut at)?);
            composition_offset_90k = i32::try_from(i64::from(self.composition_offset) + delta)
                .map_err(|_| IndexError::CompositionOffset { at: start })?;
        }

        let sample = Sample {
            media_start_90k: self.totals.media_duration_90k,
            duration_90k,
            composition_offset_90k,
            offset: self.totals.bytes,
            bytes,
            is_sync,
        };
        self.at = at;
        self.duration = duration_90k;
        self.composition_offset = composition_offset_90k;
        self.totals.add(&sample);
        Ok(sample)
    }
}

/// Appends samples to an index.
#[derive(Clone, Copy, Debug, Default)]
pub struct IndexEncoder {
    has_composition_offsets: bool,
    duration: i32,
    sync_bytes: u32,
    other_bytes: u32,
    composition_offset: i32,
}

impl IndexEncoder {
    /// An encoder for the empty `index`, into which it puts the flags.
    pub fn new(index: &mut Vec<u8>, has_composition_offsets: bool) -> IndexEncoder {
        index.clear();
        index.push(if has_composition_offsets {
            HAS_COMPOSITION_OFFSETS
        } else {
            0
        });
        IndexEncoder {
            has_composition_offsets,
            ..IndexEncoder::default()
        }
    }

    /// Appends one sample; its `media_start_90k` and `offset` follow from those before. The caller
    /// keeps to what the decoder demands. The first composition offset other than 0 in an index that
    /// has none makes it encode all of it once more: then true is returned.
    pub fn add(&mut self, index: &mut Vec<u8>, s: &Sample) -> bool {
        debug_assert!(s.duration_90k > 0 && s.bytes > 0);
        let begins_offsets = s.composition_offset_90k != 0 && !self.has_composition_offsets;
        if begins_offsets {
            let before = std::mem::take(index);
            *self = IndexEncoder::new(index, true);
            for s in samples(&before).map_while(Result::ok) {
                self.add(index, &s);
            }
        }
        let delta = i64::from(s.duration_90k) - i64::from(self.duration);
        write_varint(index, zigzag(delta) << 1 | u64::from(s.is_sync));
        self.duration = s.duration_90k;
        let before = if s.is_sync {
            &mut self.sync_bytes
        } else {
            &mut self.other_bytes
        };
        write_varint(index, zigzag(i64::from(s.bytes) - i64::from(*before)));
        *before = s.bytes;
        if self.has_composition_offsets {
            let delta = i64::from(s.composition_offset_90k) - i64::from(self.composition_offset);
            write_varint(index, zigzag(delta));
            self.composition_offset = s.composition_offset_90k;
        }
        begins_offsets
    }
}

pub(super) fn zigzag(v: i64) -> u64 {
    (v << 1 ^ v >> 63) as u64
}

pub(super) fn unzigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

fn write_varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

fn read_varint(index: &[u8], at: &mut usize) -> Result<u64, IndexError> {
    let start = *at;
    let mut v = 0;
    for i in 0..MAX_VARINT_BYTES {
        let Some(&b) = index.get(start + i) else {
            return Err(IndexError::Truncated { at: start + i });
        };
        v |= u64::from(b & 0x7f) << (7 * i);
        if b & 0x80 == 0 {
            if b == 0 && i > 0 {
                break; // A longer form of a number that has a shorter one.
            }
            *at = start + i + 1;
            return Ok(v);
        }
    }
    Err(IndexError::Varint { at: start })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::{RngCore, SeedableRng};
    use rand_pcg::Pcg32;

    fn encode(samples: &[Sample], offsets: bool) -> Vec<u8> {
        let mut index = Vec::new();
        let mut e = IndexEncoder::new(&mut index, offsets);
        for s in samples {
            e.add(&mut index, s);
        }
        index
    }

    /// A number of up to 31 bits, of any magnitude.
    fn any(r: &mut Pcg32) -> i32 {
        (r.next_u32() >> (1 + r.next_u32() % 31)) as i32
    }

    fn any_samples(r: &mut Pcg32, offsets: bool) -> Vec<Sample> {
        let (mut out, mut media, mut offset) = (Vec::new(), 0, 0u32);
        for _ in 0..1 + r.next_u32() % 50 {
            let s = Sample {
                media_start_90k: media,
                duration_90k: any(r).max(1),
                composition_offset_90k: match (offsets, r.next_u32() & 1) {
                    (true, 0) => any(r),
                    (true, _) => -any(r) - 1,
                    (false, _) => 0,
                },
                offset,
                bytes: any(r).max(1) as u32,
                is_sync: r.next_u32() % 4 == 0,
            };
            let Some(end) = offset.checked_add(s.bytes) else {
                break;
            };
            media += i64::from(s.duration_90k);
            offset = end;
            out.push(s);
        }
        out
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut r = Pcg32::seed_from_u64(1);
        for round in 0..2_000 {
            let offsets = round % 2 == 0;
            let samples_in = any_samples(&mut r, offsets);
            // An encoder that is not told of the offsets finds out.
            let index = encode(&samples_in, offsets && round % 4 == 0);
            let out: Result<Vec<Sample>, _> = samples(&index).collect();
            assert_eq!(out.unwrap(), samples_in, "round {round}");
            let t = totals(&index).unwrap();
            assert_eq!(t.samples as usize, samples_in.len());
            assert!(check(&index, &t).is_ok());
            let wrong = Totals {
                bytes: t.bytes ^ 1,
                ..t
            };
            assert!(matches!(
                check(&index, &wrong),
                Err(IndexError::Totals { .. })
            ));
        }
    }

    #[test]
    fn a_cut_index_ends_between_samples_or_is_refused() {
        let mut r = Pcg32::seed_from_u64(2);
        for _ in 0..200 {
            let index = encode(&any_samples(&mut r, true), true);
            let mut boundaries = vec![0, 1];
            let mut c = Cursor::default();
            while let Some(s) = c.next(&index) {
                s.unwrap();
                boundaries.push(c.position());
                // Going on from there gives the same.
                let mut again = index[..c.position()].to_vec();
                let mut e = c.encoder(&index);
                for s in samples(&index).skip(c.totals().samples as usize) {
                    assert!(!e.add(&mut again, &s.unwrap()));
                }
                assert_eq!(again, index);
            }
            for cut in 0..index.len() {
                let ok = samples(&index[..cut]).all(|s| s.is_ok());
                assert_eq!(ok, boundaries.contains(&cut) && cut != 1, "cut at {cut}");
            }
        }
    }

    #[test]
    fn any_bytes_decode_to_one_encoding_or_an_error() {
        let mut r = Pcg32::seed_from_u64(3);
        let mut decoded = 0;
        for _ in 0..50_000 {
            let mut bytes = vec![0; 1 + r.next_u32() as usize % 24];
            r.fill_bytes(&mut bytes);
            bytes[0] &= 1;
            if r.next_u32() & 1 == 0 {
                bytes.iter_mut().for_each(|b| *b &= 0x3f);
            }
            let Ok(s) = samples(&bytes).collect::<Result<Vec<_>, _>>() else {
                continue;
            };
            decoded += 1;
            assert_eq!(encode(&s, bytes[0] == 1), bytes);
        }
        assert!(decoded > 100, "{decoded}");
    }

    #[test]
    fn errors_name_the_byte() {
        let e = |bytes: &[u8]| samples(bytes).find_map(Result::err).unwrap();
        assert_eq!(e(&[2]), IndexError::Flags { flags: 2 });
        assert_eq!(e(&[0]), IndexError::Truncated { at: 1 });
        assert_eq!(e(&[0, 4]), IndexError::Truncated { at: 2 });
        assert_eq!(e(&[0, 0x84, 0, 2]), IndexError::Varint { at: 1 });
        assert_eq!(
            e(&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            IndexError::Varint { at: 1 }
        );
        assert_eq!(e(&[0, 2, 2]), IndexError::Duration { at: 1 }); // -1
        assert_eq!(e(&[0, 0, 2]), IndexError::Duration { at: 1 }); // 0
        assert_eq!(e(&[0, 4, 0]), IndexError::Bytes { at: 2 });
        assert_eq!(e(&[0, 4, 1]), IndexError::Bytes { at: 2 });
        // Twice 2^31 bytes; a second sync sample of the same size.
        let half = [0x80, 0x80, 0x80, 0x80, 0x10];
        let two = [&[0, 5][..], &half, &[1, 0]].concat();
        assert_eq!(e(&two), IndexError::TotalBytes { at: 8 });
        let far = [&[1, 4, 2][..], &[0x80, 0x80, 0x80, 0x80, 0x10]].concat();
        assert_eq!(e(&far), IndexError::CompositionOffset { at: 3 });
    }

    #[test]
    fn a_usual_stream_takes_about_two_bytes_a_frame() {
        let mut r = Pcg32::seed_from_u64(4);
        let (mut index, mut n) = (Vec::new(), 0);
        let mut e = IndexEncoder::new(&mut index, false);
        for i in 0..1_800u32 {
            let is_sync = i % 60 == 0;
            e.add(
                &mut index,
                &Sample {
                    media_start_90k: 0,
                    duration_90k: 3_000 + (r.next_u32() % 3) as i32 - 1,
                    composition_offset_90k: 0,
                    offset: 0,
                    bytes: if is_sync { 120_000 } else { 10_000 } + r.next_u32() % 2_000,
                    is_sync,
                },
            );
            n += 1;
        }
        let per_frame = index.len() as f64 / f64::from(n);
        assert!((2.0..3.2).contains(&per_frame), "{per_frame}");
    }
}
