//! How a sample index is kept in the database: in about half the bytes that it has in memory, as flash
//! wears by what is written.
//!
//! A packed index is one byte of flags, then bits, the highest of a byte first. A number is an
//! Exp-Golomb code of an order k (ITU-T H.264 section 9.1 has those of order 0): n + 2^k in binary, of
//! L bits, after L - 1 - k zeros. A signed number is written as its zigzag.
//!
//! 1. The number of samples, of order 0.
//! 2. What each [`Series`] is written against, in the order of [`Header`].
//! 3. For each sample: if it is the first or the one before was a sync sample, the number of samples
//!    until the next sync sample; then its duration, its bytes and, if the flags say so, its
//!    composition offset.
//! 4. Zeros up to the end of the byte.
//!
//! Cameras send frames at one pace, of sizes around a mean: durations that never change take no bits at all,
//! and sizes lose what a whole number of bytes would waste.

use super::index::{
    self, HAS_COMPOSITION_OFFSETS, IndexEncoder, MIN_SAMPLE_BYTES, PACKED, Sample, unzigzag, zigzag,
};
use super::writer::MAX_INDEX_BYTES;
use std::borrow::Cow;

/// The most samples that are unpacked: more were never in an index.
const MAX_SAMPLES: u64 = (MAX_INDEX_BYTES / MIN_SAMPLE_BYTES) as u64;

/// Bits of the largest number: a zigzag of the difference of two numbers of 32 bits, and 2^k.
const MAX_BITS: u32 = 36;

/// Bits that are at hand at once, wherever in a byte they begin.
const PEEKED_BITS: u32 = 57;

/// The highest order of a code.
const MAX_ORDER: u32 = 32;

/// Packs an index; as it is if it has no samples, is damaged, or would not become shorter.
pub fn pack(index: &[u8]) -> Cow<'_, [u8]> {
    let packed = try_pack(index).filter(|p| p.len() < index.len());
    // What comes back has to be the same to the bit: recordings are useless without.
    match packed {
        Some(p) if try_unpack(&p).as_deref() == Some(index) => Cow::Owned(p),
        _ => Cow::Borrowed(index),
    }
}

/// The reverse of [`pack`]. What is packed and damaged stays as it is: whoever reads its samples is
/// told by [`index::IndexError::Packed`].
pub fn unpack(kept: &[u8]) -> Cow<'_, [u8]> {
    match kept.first() {
        Some(flags) if flags & PACKED != 0 => {
            try_unpack(kept).map_or(Cow::Borrowed(kept), Cow::Owned)
        }
        _ => Cow::Borrowed(kept),
    }
}

fn try_pack(index: &[u8]) -> Option<Vec<u8>> {
    let flags = *index.first()?;
    let samples: Vec<Sample> = index::samples(index).collect::<Result<_, _>>().ok()?;
    let header = Header::of(&samples);
    let mut out = BitWriter {
        bytes: vec![PACKED | flags],
        free: 0,
    };
    out.number(samples.len() as u64, 0);
    header.write(&mut out);
    let mut at = Place::default();
    let mut left = samples.split(|s| s.is_sync).map(<[Sample]>::len);
    let mut until_sync = None;
    for s in &samples {
        if until_sync.is_none() {
            until_sync = left.next();
            header.until_sync.write(
                &mut at.until_sync,
                until_sync.unwrap_or_default() as i64,
                &mut out,
            );
        }
        until_sync = until_sync.filter(|_| !s.is_sync);
        header
            .durations
            .write(&mut at.duration, s.duration_90k.into(), &mut out);
        let (series, before) = match s.is_sync {
            true => (&header.sync_bytes, &mut at.sync_bytes),
            false => (&header.other_bytes, &mut at.other_bytes),
        };
        series.write(before, s.bytes.into(), &mut out);
        if flags & HAS_COMPOSITION_OFFSETS != 0 {
            header
                .offsets
                .write(&mut at.offset, s.composition_offset_90k.into(), &mut out);
        }
    }
    Some(out.bytes)
}

/// `None` if it is damaged.
fn try_unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let (&flags, bits) = packed.split_first()?;
    let has_offsets = match flags {
        PACKED => false,
        f if f == PACKED | HAS_COMPOSITION_OFFSETS => true,
        _ => return None,
    };
    let mut bits = BitReader { bytes: bits, at: 0 };
    let samples = bits.number(0).filter(|&n| n <= MAX_SAMPLES)?;
    let header = Header::read(&mut bits)?;
    let mut at = Place::default();
    let mut index = Vec::with_capacity(packed.len() * 2);
    let mut encoder = IndexEncoder::new(&mut index, has_offsets);
    let mut until_sync = None;
    for _ in 0..samples {
        let left = match until_sync {
            Some(left) => left,
            None => header.until_sync.read(&mut at.until_sync, &mut bits)?,
        };
        let is_sync = left == 0;
        until_sync = (!is_sync).then_some(left - 1);
        let duration = header.durations.read(&mut at.duration, &mut bits)?;
        let (series, before) = match is_sync {
            true => (&header.sync_bytes, &mut at.sync_bytes),
            false => (&header.other_bytes, &mut at.other_bytes),
        };
        let bytes = series.read(before, &mut bits)?;
        let offset = match has_offsets {
            true => header.offsets.read(&mut at.offset, &mut bits)?,
            false => 0,
        };
        let sample = Sample {
            // Both follow from the samples before.
            media_start_90k: 0,
            offset: 0,
            duration_90k: i32::try_from(duration).ok().filter(|&d| d > 0)?,
            composition_offset_90k: i32::try_from(offset).ok()?,
            bytes: u32::try_from(bytes).ok().filter(|&b| b > 0)?,
            is_sync,
        };
        encoder.add(&mut index, &sample);
    }
    bits.is_at_end().then_some(index)
}

/// What the numbers of one kind are written against.
#[derive(Clone, Copy, Debug, Default)]
enum Series {
    /// All are the same, and take no bits.
    Constant(i64),
    /// As differences from one number.
    Around { base: i64, order: u32 },
    /// As differences from the one before; the first from `base`.
    Before { base: i64, order: u32 },
    /// There are none.
    #[default]
    Empty,
}

/// All series of an index, in the order in which they are written: two bits of the kind (0 to 3 as
/// above), then the number, of order 0, and the order in six bits, as far as the kind has them.
#[derive(Debug, Default)]
struct Header {
    /// How many samples lie between sync samples; what the last of them says may be more than follow.
    until_sync: Series,
    durations: Series,
    sync_bytes: Series,
    other_bytes: Series,
    offsets: Series,
}

/// The number before, of each series that wants it.
#[derive(Default)]
struct Place {
    until_sync: Option<i64>,
    duration: Option<i64>,
    sync_bytes: Option<i64>,
    other_bytes: Option<i64>,
    offset: Option<i64>,
}

impl Header {
    fn of(samples: &[Sample]) -> Header {
        let mut numbers = Vec::with_capacity(samples.len());
        let mut series = |some: &mut dyn Iterator<Item = i64>| {
            numbers.clear();
            numbers.extend(some);
            Series::of(&numbers)
        };
        let bytes = |is_sync| {
            let of_kind = samples.iter().filter(move |s| s.is_sync == is_sync);
            of_kind.map(|s| i64::from(s.bytes))
        };
        Header {
            until_sync: series(&mut samples.split(|s| s.is_sync).map(|some| some.len() as i64)),
            durations: series(&mut samples.iter().map(|s| s.duration_90k.into())),
            sync_bytes: series(&mut bytes(true)),
            other_bytes: series(&mut bytes(false)),
            offsets: series(&mut samples.iter().map(|s| s.composition_offset_90k.into())),
        }
    }

    fn write(&self, out: &mut BitWriter) {
        for series in [
            &self.until_sync,
            &self.durations,
            &self.sync_bytes,
            &self.other_bytes,
            &self.offsets,
        ] {
            series.describe(out);
        }
    }

    fn read(bits: &mut BitReader) -> Option<Header> {
        Some(Header {
            until_sync: Series::described(bits)?,
            durations: Series::described(bits)?,
            sync_bytes: Series::described(bits)?,
            other_bytes: Series::described(bits)?,
            offsets: Series::described(bits)?,
        })
    }
}

impl Series {
    /// The shortest way to write these numbers.
    fn of(numbers: &[i64]) -> Series {
        let Some(&first) = numbers.first() else {
            return Series::Empty;
        };
        if numbers.iter().all(|&n| n == first) {
            return Series::Constant(first);
        }
        let mut sorted = numbers.to_vec();
        let (_, &mut median, _) = sorted.select_nth_unstable(numbers.len() / 2);
        let around = cheapest(numbers.iter().map(|n| zigzag(n - median)));
        let before = cheapest(numbers.windows(2).map(|w| zigzag(w[1] - w[0])));
        match around.bits <= before.bits {
            true => Series::Around {
                base: median,
                order: around.order,
            },
            false => Series::Before {
                base: first,
                order: before.order,
            },
        }
    }

    fn describe(&self, out: &mut BitWriter) {
        let (kind, base, order) = match *self {
            Series::Constant(base) => (0, Some(base), None),
            Series::Around { base, order } => (1, Some(base), Some(order)),
            Series::Before { base, order } => (2, Some(base), Some(order)),
            Series::Empty => (3, None, None),
        };
        out.bits(kind, 2);
        if let Some(base) = base {
            out.number(zigzag(base), 0);
        }
        if let Some(order) = order {
            out.bits(order.into(), 6);
        }
    }

    fn described(bits: &mut BitReader) -> Option<Series> {
        let kind = bits.bits(2)?;
        if kind == 3 {
            return Some(Series::Empty);
        }
        let base = unzigzag(bits.number(0)?);
        if kind == 0 {
            return Some(Series::Constant(base));
        }
        let order = u32::try_from(bits.bits(6)?).ok()?;
        if order > MAX_ORDER {
            return None;
        }
        Some(match kind {
            1 => Series::Around { base, order },
            _ => Series::Before { base, order },
        })
    }

    /// Writes one number, which is among those that the series was made of.
    fn write(&self, before: &mut Option<i64>, number: i64, out: &mut BitWriter) {
        match *self {
            Series::Constant(_) | Series::Empty => {}
            Series::Around { base, order } => out.number(zigzag(number - base), order),
            Series::Before { base, order } => {
                out.number(zigzag(number - before.unwrap_or(base)), order);
                *before = Some(number);
            }
        }
    }

    fn read(&self, before: &mut Option<i64>, bits: &mut BitReader) -> Option<i64> {
        match *self {
            Series::Constant(base) => Some(base),
            Series::Empty => None,
            Series::Around { base, order } => Some(base + unzigzag(bits.number(order)?)),
            Series::Before { base, order } => {
                // It may run away where the bits are damaged, but not over.
                let number = before
                    .unwrap_or(base)
                    .checked_add(unzigzag(bits.number(order)?))?;
                *before = Some(number);
                Some(number)
            }
        }
    }
}

/// The best order for some numbers, and how many bits it takes.
struct Cost {
    bits: u64,
    order: u32,
}

fn cheapest(numbers: impl Iterator<Item = u64> + Clone) -> Cost {
    let (sum, count) = numbers
        .clone()
        .fold((0u64, 0u64), |(sum, count), n| (sum + n, count + 1));
    // The best order lies near the bits of the mean.
    let near = bit_length(sum / count.max(1));
    let orders = near.saturating_sub(3)..=(near + 1).min(MAX_ORDER);
    let costs = orders.map(|order| Cost {
        bits: numbers
            .clone()
            .map(|n| u64::from(code_length(n, order)))
            .sum(),
        order,
    });
    costs
        .min_by_key(|c| c.bits)
        .unwrap_or(Cost { bits: 0, order: 0 })
}

/// Bits of a number without its leading zeros.
fn bit_length(n: u64) -> u32 {
    u64::BITS - n.leading_zeros()
}

/// Bits of the code of a number.
fn code_length(n: u64, order: u32) -> u32 {
    2 * bit_length(n + (1 << order)) - 1 - order
}

/// Appends bits, the highest of each byte first.
struct BitWriter {
    bytes: Vec<u8>,
    /// How many bits of the last byte are not used yet.
    free: u32,
}

impl BitWriter {
    /// The lowest `count` bits of `value`, of which no others are set.
    fn bits(&mut self, value: u64, mut count: u32) {
        while count > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let now = count.min(self.free);
            count -= now;
            self.free -= now;
            if let Some(last) = self.bytes.last_mut() {
                *last |= (value >> count << self.free & 0xff) as u8;
            }
        }
    }

    /// An Exp-Golomb code.
    fn number(&mut self, n: u64, order: u32) {
        let n = n + (1 << order);
        let length = bit_length(n);
        self.bits(0, length - 1 - order);
        self.bits(n, length);
    }
}

/// Reads what a [`BitWriter`] has written; `None` past the end.
struct BitReader<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: usize,
}

impl BitReader<'_> {
    /// The [`PEEKED_BITS`] that follow at the top of a word; zeros past the end.
    fn peek(&self) -> u64 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let word = match rest.first_chunk() {
            Some(eight) => u64::from_be_bytes(*eight),
            None => {
                let mut eight = [0; 8];
                eight[..rest.len()].copy_from_slice(rest);
                u64::from_be_bytes(eight)
            }
        };
        word << (self.at % 8)
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        self.at += count as usize;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// Up to [`PEEKED_BITS`].
    fn bits(&mut self, count: u32) -> Option<u64> {
        let found = self.peek() >> (64 - count);
        self.skip(count)?;
        Some(found)
    }

    /// An Exp-Golomb code.
    fn number(&mut self, order: u32) -> Option<u64> {
        let word = self.peek();
        let zeros = word.leading_zeros();
        let length = zeros + 1 + order;
        if length > MAX_BITS {
            return None;
        }
        let found = if zeros + length <= PEEKED_BITS {
            self.skip(zeros + length)?;
            word << zeros >> (64 - length)
        } else {
            self.skip(zeros)?;
            self.bits(length)?
        };
        Some(found - (1 << order))
    }

    /// All is read but the zeros that fill the last byte.
    fn is_at_end(&self) -> bool {
        self.at.div_ceil(8) == self.bytes.len() && self.peek() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::index::IndexError;
    use rand_core::{RngCore, SeedableRng};
    use rand_pcg::Pcg32;

    /// What of a stream its index depends on.
    struct Stream {
        samples: u32,
        sync_every: u32,
        bytes: u32,
        /// How far sizes and durations are spread.
        spread: u32,
        jitter: u32,
        offsets: &'static [i32],
    }

    const CAMERA: Stream = Stream {
        samples: 1_800,
        sync_every: 60,
        bytes: 13_000,
        spread: 3_600,
        jitter: 0,
        offsets: &[0],
    };

    fn index(s: &Stream, seed: u64) -> Vec<u8> {
        let mut r = Pcg32::seed_from_u64(seed);
        let mut out = Vec::new();
        let has_offsets = s.offsets != [0];
        let mut encoder = IndexEncoder::new(&mut out, has_offsets);
        for i in 0..s.samples {
            let is_sync = i % s.sync_every == 0;
            // About as frames are spread: most are near the mean.
            let spread = (0..3).map(|_| r.next_u32() % (s.spread + 1)).sum::<u32>() / 3;
            let sample = Sample {
                media_start_90k: 0,
                duration_90k: (3_000 + r.next_u32() % (s.jitter + 1)) as i32,
                composition_offset_90k: s.offsets[i as usize % s.offsets.len()],
                offset: 0,
                bytes: s.bytes * if is_sync { 5 } else { 1 } + spread,
                is_sync,
            };
            encoder.add(&mut out, &sample);
        }
        out
    }

    fn comes_back(index: &[u8]) -> usize {
        let packed = pack(index);
        assert!(packed.len() <= index.len());
        assert_eq!(unpack(&packed), index);
        packed.len()
    }

    #[test]
    fn what_a_camera_sends_takes_about_half() {
        let whole = index(&CAMERA, 1);
        let kept = comes_back(&whole);
        assert!(kept * 100 < whole.len() * 60, "{kept} of {}", whole.len());
        let jittery = index(
            &Stream {
                jitter: 300,
                ..CAMERA
            },
            2,
        );
        let kept = comes_back(&jittery);
        assert!(
            kept * 100 < jittery.len() * 75,
            "{kept} of {}",
            jittery.len()
        );
    }

    #[test]
    fn streams_of_all_kinds_come_back() {
        for seed in 0..300 {
            let mut r = Pcg32::seed_from_u64(seed);
            let stream = Stream {
                samples: 1 + r.next_u32() % 300,
                sync_every: [1, 2, 30, 1_000][r.next_u32() as usize % 4],
                bytes: 1 + (r.next_u32() >> (8 + r.next_u32() % 24)),
                spread: r.next_u32() >> (12 + r.next_u32() % 20),
                jitter: [0, 1, 40, 1 << 22][r.next_u32() as usize % 4],
                offsets: [&[0][..], &[0, 6_000, 3_000], &[5], &[i32::MIN, i32::MAX]]
                    [r.next_u32() as usize % 4],
            };
            comes_back(&index(&stream, seed));
        }
    }

    #[test]
    fn a_stream_that_begins_between_sync_samples_or_has_none_comes_back() {
        for first_sync in [0, 1, 50, 89, 90, 100] {
            let mut out = Vec::new();
            let mut encoder = IndexEncoder::new(&mut out, false);
            for i in 0..90 {
                let sample = Sample {
                    media_start_90k: 0,
                    duration_90k: 3_000,
                    composition_offset_90k: 0,
                    offset: 0,
                    bytes: 70_000 + i * i,
                    is_sync: i >= first_sync,
                };
                encoder.add(&mut out, &sample);
            }
            assert!(comes_back(&out) < out.len(), "{first_sync}");
        }
    }

    #[test]
    fn what_is_no_index_or_has_no_samples_stays_as_it_is() {
        let whole = index(&CAMERA, 3);
        for kept in [
            &[][..],
            &[0],
            &[1],
            &[2, 3, 4],
            &[0, 4],
            &whole[..1_000 - 1],
        ] {
            assert_eq!(unpack(&pack(kept)), kept);
        }
        assert_eq!(*pack(&[0, 4]), [0, 4]);
    }

    /// Cut or changed, it is refused or another index: it never takes long, nor more room than an index may.
    #[test]
    fn damage_is_told_by_who_reads_samples() {
        let whole = index(&CAMERA, 4);
        let packed = pack(&whole).into_owned();
        for cut in 1..packed.len() {
            let left = unpack(&packed[..cut]);
            let told = index::samples(&left).find_map(Result::err);
            assert_eq!(told, Some(IndexError::Packed), "cut at {cut}");
        }
        let longer = [&packed[..], &[0]].concat();
        assert_eq!(*unpack(&longer), longer);
        let mut r = Pcg32::seed_from_u64(5);
        for _ in 0..20_000 {
            let mut changed = packed.clone();
            for _ in 0..1 + r.next_u32() % 3 {
                let at = r.next_u32() as usize % changed.len().min(60);
                changed[at] ^= 1 << (r.next_u32() % 8);
            }
            assert!(unpack(&changed).len() <= MAX_SAMPLES as usize * 15);
        }
    }

    /// The worst that a few bytes can say: as many samples as there may be, none of which takes a bit.
    #[test]
    fn a_few_bytes_unpack_to_a_bounded_index() {
        let bomb = |samples: u64| {
            let mut out = BitWriter {
                bytes: vec![PACKED],
                free: 0,
            };
            out.number(samples, 0);
            for series in [1 << 30, 3_000, 0, 70_000] {
                Series::Constant(series).describe(&mut out);
            }
            Series::Empty.describe(&mut out);
            out.bytes
        };
        assert!(unpack(&bomb(MAX_SAMPLES)).len() < MAX_INDEX_BYTES + 16);
        assert_eq!(*unpack(&bomb(MAX_SAMPLES + 1)), bomb(MAX_SAMPLES + 1));
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // ITU-T H.264 table 9-2; of order 2: 0 is "100".
        let code = |n, order| {
            let mut out = BitWriter {
                bytes: Vec::new(),
                free: 0,
            };
            out.number(n, order);
            (out.bytes, code_length(n, order))
        };
        assert_eq!(code(0, 0), (vec![0b1000_0000], 1));
        assert_eq!(code(2, 0), (vec![0b0110_0000], 3));
        assert_eq!(code(8, 0), (vec![0b0001_0010], 7));
        assert_eq!(code(0, 2), (vec![0b1000_0000], 3));
        assert_eq!(code(4, 2), (vec![0b0100_0000], 5));
    }
}
