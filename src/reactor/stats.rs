//! How long the turns of the loop take: for the status page, and when to complain.

use crate::nvr::port::ReactorStats;
use crate::time::Monotonic;
use std::time::Duration;

/// A turn that takes longer is warned about: sockets and timers had to wait so long for it.
pub(super) const SLOW_TURN: Duration = Duration::from_millis(50);

/// The processor time of turns that take longer is measured; a shorter one's is its length at most, and
/// asking costs a system call.
const MEASURED_TURN: Duration = Duration::from_millis(1);

/// How long the thread's processor time of a moment serves as the base of later turns'. What the thread takes
/// between turns is counted to the next measured one: some microseconds a turn.
const BASE_LIMIT: Duration = Duration::from_millis(100);

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

/// The thread's processor time at some moment, and how long the short turns since took, which is taken for
/// their own.
#[derive(Clone, Copy, Debug)]
struct Base {
    at: Monotonic,
    cpu: Duration,
    short: Duration,
}

/// Counts turns into a [`ReactorStats`].
#[derive(Debug, Default)]
pub(super) struct Turns {
    base: Option<Base>,
    slow: u32,
    slow_longest: Took,
    warned: Option<Monotonic>,
}

impl Turns {
    /// A turn begins; `cpu` asks for the thread's processor time.
    pub(super) fn begin(&mut self, now: Monotonic, cpu: impl FnOnce() -> Duration) {
        if self.base.is_none_or(|b| now.since(b.at) > BASE_LIMIT) {
            self.base = Some(Base {
                at: now,
                cpu: cpu(),
                short: Duration::ZERO,
            });
        }
    }

    /// The turn that began ends after `wall`: what it took.
    pub(super) fn end(
        &mut self,
        wall: Duration,
        now: Monotonic,
        cpu: impl FnOnce() -> Duration,
    ) -> Took {
        let Some(base) = self.base.as_mut().filter(|_| wall > MEASURED_TURN) else {
            if let Some(base) = &mut self.base {
                base.short += wall;
            }
            return Took { wall, cpu: wall };
        };
        let cpu = cpu();
        let own = cpu.saturating_sub(base.cpu).saturating_sub(base.short);
        *base = Base {
            at: now,
            cpu,
            short: Duration::ZERO,
        };
        Took {
            wall,
            cpu: own.min(wall),
        }
    }

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
    fn the_processor_is_asked_about_long_turns_only() {
        let us = Duration::from_micros;
        let at = |us: u64| Monotonic(us * 1_000);
        let mut turns = Turns::default();
        turns.begin(at(0), || us(500));
        // Short ones are their own.
        let took = turns.end(us(300), at(300), || unreachable!());
        assert_eq!((took.wall, took.cpu), (us(300), us(300)));
        turns.begin(at(400), || unreachable!());
        // Of 10 ms it worked for 2, the short one before apart.
        let took = turns.end(us(10_000), at(10_400), || us(500 + 300 + 2_000));
        assert_eq!((took.wall, took.cpu), (us(10_000), us(2_000)));
        // That is the base of the next one, until it is old.
        turns.begin(at(10_500), || unreachable!());
        let took = turns.end(us(3_000), at(13_500), || us(2_800 + 3_500));
        assert_eq!(took.cpu, us(3_000));
        turns.begin(at(200_000), || us(9_000));
        let took = turns.end(us(2_000), at(202_000), || us(9_100));
        assert_eq!(took.cpu, us(100));
    }

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
