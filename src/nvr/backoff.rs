//! When to try again: doubling waits with jitter, so that a dozen cameras behind one switch that comes
//! back are not all asked in the same instant, and a camera is not locked by a wrong password.

use rand_core::RngCore;
use std::time::Duration;

/// What went wrong, as far as the waiting is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Anything that may be over in a moment.
    Passing,
    /// The password was refused: trying often would lock the account.
    Refused,
}

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
const REFUSED_FIRST: Duration = Duration::from_secs(120);
const REFUSED_LONGEST: Duration = Duration::from_secs(1800);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    passing: u32,
    refused: u32,
}

impl Backoff {
    /// The wait before the next try: doubled with each failure in a row, up to a limit, less up to a
    /// quarter by chance.
    pub fn failed(&mut self, failure: Failure, rng: &mut impl RngCore) -> Duration {
        let (count, first, longest) = match failure {
            Failure::Passing => (&mut self.passing, FIRST, LONGEST),
            Failure::Refused => (&mut self.refused, REFUSED_FIRST, REFUSED_LONGEST),
        };
        let wait = first.saturating_mul(1 << (*count).min(16)).min(longest);
        *count = count.saturating_add(1);
        let jitter = wait / 4 * (rng.next_u32() >> 16) / 65_536;
        wait - jitter
    }

    /// All is well again.
    pub fn succeeded(&mut self) {
        *self = Backoff::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn waits_double_up_to_their_limit() {
        let mut rng = rand_pcg::Pcg32::seed_from_u64(1);
        let mut b = Backoff::default();
        for expected in [1, 2, 4, 8, 16, 30, 30] {
            let w = b.failed(Failure::Passing, &mut rng).as_secs_f64();
            assert!(
                w <= f64::from(expected) && w >= f64::from(expected) * 0.75,
                "{w} {expected}"
            );
        }
        for expected in [120, 240, 480, 960, 1800, 1800] {
            let w = b.failed(Failure::Refused, &mut rng).as_secs_f64();
            assert!(
                w <= f64::from(expected) && w >= f64::from(expected) * 0.75,
                "{w} {expected}"
            );
        }
        b.succeeded();
        assert!(b.failed(Failure::Passing, &mut rng) <= FIRST);
    }
}
