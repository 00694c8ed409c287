//! The only place in the daemon that asks the operating system for the time.

use crate::time::{Monotonic, Now, TICKS_PER_SECOND, Wall90k};
use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The steady clock, that of the wall, and the thread's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock {
            start: Instant::now(),
        }
    }

    pub(super) fn monotonic(&self) -> Monotonic {
        // Not 0 at the start, so that what is due "an hour ago" can be told.
        Monotonic(0) + Duration::from_secs(3600) + self.start.elapsed()
    }

    pub(super) fn now(&self) -> Now {
        Now {
            monotonic: self.monotonic(),
            wall: wall(SystemTime::now()),
        }
    }

    /// Processor time that this thread has taken, in the kernel too. It stands still while the thread waits
    /// for the processor or for anything else.
    pub(super) fn thread_cpu(&self) -> Duration {
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
    }
}

fn wall(at: SystemTime) -> Wall90k {
    let ticks = |d: Duration| {
        let whole = i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
        let part = i64::from(d.subsec_nanos()) * TICKS_PER_SECOND / 1_000_000_000;
        whole.saturating_mul(TICKS_PER_SECOND).saturating_add(part)
    };
    Wall90k(match at.duration_since(UNIX_EPOCH) {
        Ok(since) => ticks(since),
        Err(before) => -ticks(before.duration()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_in_ticks() {
        assert_eq!(wall(UNIX_EPOCH), Wall90k(0));
        assert_eq!(
            wall(UNIX_EPOCH + Duration::from_millis(1500)),
            Wall90k(135_000)
        );
        assert_eq!(
            wall(UNIX_EPOCH - Duration::from_millis(1500)),
            Wall90k(-135_000)
        );
        // 2040, when 32 bits of seconds have run out.
        let late = UNIX_EPOCH + Duration::from_secs(2_208_988_800);
        assert_eq!(wall(late).unix_secs(), 2_208_988_800);
    }

    #[test]
    fn a_threads_own_time_stands_still_while_it_waits() {
        let clock = Clock::new();
        let (began, cpu) = (clock.monotonic(), clock.thread_cpu());
        std::thread::park_timeout(Duration::from_millis(20));
        let waited = clock.thread_cpu() - cpu;
        assert!(waited < clock.monotonic().since(began), "{waited:?}");
        let before = clock.thread_cpu();
        while clock.thread_cpu() - before < Duration::from_millis(1) {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn the_steady_clock_does_not_go_back() {
        let clock = Clock::new();
        let a = clock.now().monotonic;
        assert!(clock.monotonic() >= a);
    }
}
