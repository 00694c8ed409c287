//! How long the turns of the loop take: for the status page, and when to complain.

use crate::nvr::port::ReactorStats;
use crate::time::Monotonic;
use std::time::Duration;

/// A turn that takes longer is warned about: sockets and timers had to wait so long for it.
pub(super) const SLOW_TURN: Duration = Duration::from_millis(50);

/// The processor time of turns that take longer is measured; a shorter one's is its length at most, and
/// asking costs a system call.
pub(super) const MEASURED_TURN: Duration = Duration::from_millis(1);

/// Slow turns are told at most so often, with their number.
const SLOW_TURN_WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Slow turns that are to be warned about now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlowTurns {
    pub(super) count: u32,
    pub(super) longest: Took,
}

/// How long a turn kept the loop busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Took {
    pub(super) wall: Duration,
    /// Of that, the thread's own processor time. What is missing it waited for the processor, which others
    /// had, or in the kernel for a page or a lock.
    pub(super) cpu: Duration,
}

/// Counts turns into a [`ReactorStats`].
#[derive(Debug, Default)]
pub(super) struct Turns {
    slow: u32,
    slow_longest: Took,
    warned: Option<Monotonic>,
}

impl Turns {
    /// Counts a turn that was busy for `took`; says what to warn about, if now is the time.
    pub(super) fn count(
        &mut self,
        stats: &mut ReactorStats,
        now: Monotonic,
        took: Took,
    ) -> Option<SlowTurns> {
        stats.turns.count(took.wall);
        stats.turns_cpu.count(took.cpu);
        if took.wall > SLOW_TURN {
            self.slow += 1;
            if took.wall > self.slow_longest.wall {
                self.slow_longest = took;
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_turns_are_told_once_a_minute() {
        let mut stats = ReactorStats::default();
        let mut turns = Turns::default();
        let ms = |wall, cpu| Took {
            wall: Duration::from_millis(wall),
            cpu: Duration::from_millis(cpu),
        };
        let slow = ms(80, 60);
        let mut at =
            |s: u64, took: Took| turns.count(&mut stats, Monotonic(s * 1_000_000_000), took);
        assert_eq!(at(1, ms(50, 50)), None);
        assert_eq!(
            at(2, slow),
            Some(SlowTurns {
                count: 1,
                longest: slow
            })
        );
        assert_eq!(at(3, ms(160, 3)), None);
        assert_eq!(at(4, slow), None);
        assert_eq!(
            at(62, ms(0, 0)),
            Some(SlowTurns {
                count: 2,
                longest: ms(160, 3)
            })
        );
        assert_eq!(at(500, ms(0, 0)), None);
        assert_eq!(stats.turns.longest, Duration::from_millis(160));
        assert_eq!(stats.turns_cpu.longest, Duration::from_millis(60));
        assert_eq!(stats.turns.counts.iter().sum::<u64>(), 6);
        assert_eq!(stats.turns_cpu.sum, Duration::from_millis(50 + 60 + 3 + 60));
    }
}
