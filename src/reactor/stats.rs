//! How long the turns of the loop take: the histogram for the status page, and when to complain.

use crate::nvr::port::{ReactorStats, TURN_BUCKETS};
use crate::time::Monotonic;
use std::time::Duration;

/// A turn that takes longer is warned about: sockets and timers had to wait so long for it.
pub(super) const SLOW_TURN: Duration = Duration::from_millis(50);

/// Slow turns are told at most so often, with their number.
const SLOW_TURN_WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Slow turns that are to be warned about now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlowTurns {
    pub(super) count: u32,
    pub(super) longest: Duration,
}

/// Counts turns into a [`ReactorStats`].
#[derive(Debug, Default)]
pub(super) struct Turns {
    slow: u32,
    slow_longest: Duration,
    warned: Option<Monotonic>,
}

impl Turns {
    /// Counts a turn that was busy for `took`; says what to warn about, if now is the time.
    pub(super) fn count(
        &mut self,
        stats: &mut ReactorStats,
        now: Monotonic,
        took: Duration,
    ) -> Option<SlowTurns> {
        stats.turns[bucket(took)] += 1;
        stats.busy += took;
        stats.longest_turn = stats.longest_turn.max(took);
        stats.longest_recent_turn = stats.longest_recent_turn.max(took);
        if took > SLOW_TURN {
            self.slow += 1;
            self.slow_longest = self.slow_longest.max(took);
        }
        let quiet = self
            .warned
            .is_some_and(|at| now.since(at) < SLOW_TURN_WARNING_INTERVAL);
        if self.slow == 0 || quiet {
            return None;
        }
        let slow = SlowTurns {
            count: std::mem::take(&mut self.slow),
            longest: std::mem::take(&mut self.slow_longest),
        };
        self.warned = Some(now);
        Some(slow)
    }
}

/// The bucket of [`ReactorStats::turns`] for a turn of this length.
fn bucket(took: Duration) -> usize {
    let us = took.as_micros();
    ((u128::BITS - us.leading_zeros()) as usize).min(TURN_BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_powers_of_two() {
        for (took, expected) in [
            (Duration::from_nanos(999), 0),
            (Duration::from_micros(1), 1),
            (Duration::from_micros(2), 2),
            (Duration::from_micros(3), 2),
            (Duration::from_micros(4), 3),
            (Duration::from_millis(50), 16),
            (Duration::from_micros((1 << 22) - 1), 22),
            (Duration::from_micros(1 << 22), 23),
            (Duration::MAX, 23),
        ] {
            assert_eq!(bucket(took), expected, "{took:?}");
        }
    }

    #[test]
    fn slow_turns_are_told_once_a_minute() {
        let mut stats = ReactorStats::default();
        let mut turns = Turns::default();
        let slow = Duration::from_millis(80);
        let mut at = |s: u64, took| turns.count(&mut stats, Monotonic(s * 1_000_000_000), took);
        assert_eq!(at(1, SLOW_TURN), None);
        assert_eq!(
            at(2, slow),
            Some(SlowTurns {
                count: 1,
                longest: slow
            })
        );
        assert_eq!(at(3, slow * 2), None);
        assert_eq!(at(4, slow), None);
        assert_eq!(
            at(62, Duration::ZERO),
            Some(SlowTurns {
                count: 2,
                longest: slow * 2
            })
        );
        assert_eq!(at(500, Duration::ZERO), None);
        assert_eq!(stats.longest_turn, slow * 2);
        assert_eq!(stats.turns.iter().sum::<u64>(), 6);
    }
}
