//! Seeded chance. Each part of the world draws from a stream of its own, so that one more draw in
//! one part leaves what the others draw as it was.

use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::ops::RangeInclusive;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A reproducible source of chance.
#[derive(Clone, Debug)]
pub struct Random(Pcg64Mcg);

impl Random {
    /// The stream called `part` of a world's seed.
    pub fn new(seed: u64, part: &str) -> Random {
        Random(Pcg64Mcg::seed_from_u64(xxh3_64_with_seed(
            part.as_bytes(),
            seed,
        )))
    }

    /// Another stream, for a part within this part.
    pub fn fork(&mut self, part: &str) -> Random {
        Random::new(self.0.next_u64(), part)
    }

    /// The generator itself.
    pub fn rng(&mut self) -> &mut impl RngCore {
        &mut self.0
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `n`; 0 if `n` is 0. The bias of the remainder does not matter here.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.0.next_u64() % n }
    }

    /// A number within `range`.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (from, to) = (*range.start(), *range.end());
        from + self.below((to - from).saturating_add(1))
    }

    /// An index or length below `n`.
    pub fn index(&mut self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    /// True in `percent` of 100 cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// True once in `n` cases.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `choices`, which are not empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// A time within the range, in milliseconds, with nanosecond grain.
    pub fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        let (from, to) = (*range.start(), *range.end());
        Duration::from_nanos(from * 1_000_000 + self.below((to - from) * 1_000_000 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_one_seed_differ_and_repeat() {
        let draw = |seed, part| Random::new(seed, part).next_u64();
        assert_eq!(draw(1, "disk"), draw(1, "disk"));
        assert_ne!(draw(1, "disk"), draw(1, "network"));
        assert_ne!(draw(1, "disk"), draw(2, "disk"));
    }

    #[test]
    fn draws_keep_to_their_ranges() {
        let mut r = Random::new(7, "ranges");
        for _ in 0..1000 {
            assert!((3..=5).contains(&r.within(3..=5)));
            let d = r.millis(10..=20);
            assert!(d >= Duration::from_millis(10) && d <= Duration::from_millis(20));
        }
        assert_eq!(r.below(0), 0);
    }
}
