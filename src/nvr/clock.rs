//! The recorder's idea of the wall time: the operating system's, once it can be trusted.
//!
//! A board without a battery-backed clock starts at 1970 or at the time it was last shut down, and is
//! set some seconds or hours later. Until then the recorder keeps a time line of its own, which goes
//! on from the newest thing in the database, so that recordings never overlap; when the clock is
//! set, what was recorded meanwhile is moved to where it belongs. See `design/recording.md`.

use crate::time::{Duration90k, Monotonic, Now, Wall90k};
use std::time::Duration;

/// No clock that shows less than this (2024-01-01) has been set.
pub const EARLIEST: Wall90k = Wall90k::from_unix_secs(1_704_067_200);

/// A clock that differs by more than this from what the steady clock makes of it was stepped. Less
/// is corrected gently, within the recordings.
pub const STEP: Duration90k = Duration90k(45_000);

/// A clock that shows a possible time, but one before the newest recording, is believed after this
/// long: then it is more likely that the earlier recordings were stamped by a clock gone wrong.
pub const BELIEVED_AFTER: Duration = Duration::from_secs(600);

/// What happened to the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockChange {
    /// It has become trusted: what was recorded before must move by so much.
    Set(Duration90k),
    /// It was trusted and was stepped by so much.
    Stepped(Duration90k),
    /// It was trusted and now shows a time that cannot be.
    Lost,
}

/// See the module.
#[derive(Debug)]
pub struct Clock {
    last: Now,
    started: Monotonic,
    /// What is added to the operating system's time; not zero only while it is not trusted.
    offset: Duration90k,
    trusted: bool,
    /// The newest time that the database knows of.
    newest: Wall90k,
}

impl Clock {
    /// A clock that goes on from `newest`, the latest time that the database has seen.
    pub fn new(now: Now, newest: Option<Wall90k>) -> Clock {
        let newest = newest.unwrap_or(EARLIEST);
        let floor = newest.max(EARLIEST);
        let trusted = now.wall >= floor;
        let offset = if trusted {
            Duration90k::ZERO
        } else {
            floor - now.wall
        };
        Clock {
            last: now,
            started: now.monotonic,
            offset,
            trusted,
            newest,
        }
    }

    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// The recorder's wall time at `now`.
    pub fn wall(&self, now: Now) -> Wall90k {
        now.wall + self.offset
    }

    /// A journal told of a recording that ends at `newest`, which the database did not know of: the
    /// recorder's time goes on from there, and a clock that shows less is not trusted. True if that
    /// changes anything. Nothing may have been recorded since the start.
    pub fn go_on_from(&mut self, now: Now, newest: Wall90k) -> bool {
        self.newest = self.newest.max(newest);
        if self.wall(now) >= newest {
            return false;
        }
        self.trusted = false;
        self.offset = newest - now.wall;
        true
    }

    /// Compares the two clocks; to be called with each event before anything else.
    pub fn observe(&mut self, now: Now) -> Option<ClockChange> {
        let elapsed = Duration90k::from(now.monotonic.since(self.last.monotonic));
        let expected = self.last.wall + elapsed;
        let step = now.wall - expected;
        let stepped = step.0.abs() > STEP.0;
        // Keep the reference while nothing happens within the same tick, lest rounding add up.
        if elapsed > Duration90k::ZERO || stepped {
            self.last = now;
        }
        if self.trusted {
            if !stepped {
                return None;
            }
            if now.wall < EARLIEST {
                self.trusted = false;
                self.offset = -step;
                self.newest = expected;
                self.started = now.monotonic;
                return Some(ClockChange::Lost);
            }
            return Some(ClockChange::Stepped(step));
        }
        let believed = now.wall >= EARLIEST
            && (now.wall >= self.newest || now.monotonic.since(self.started) >= BELIEVED_AFTER);
        if believed {
            let by = now.wall - (expected + self.offset);
            self.trusted = true;
            self.offset = Duration90k::ZERO;
            return Some(ClockChange::Set(by));
        }
        if stepped {
            self.offset -= step;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64, wall_secs: i64) -> Now {
        Now {
            monotonic: Monotonic(secs * 1_000_000_000),
            wall: Wall90k::from_unix_secs(wall_secs),
        }
    }

    const T: i64 = 1_795_341_600;

    #[test]
    fn a_right_clock_is_passed_through() {
        let mut c = Clock::new(at(1, T), Some(Wall90k::from_unix_secs(T - 100)));
        assert!(c.is_trusted());
        assert_eq!(c.observe(at(61, T + 60)), None);
        assert_eq!(c.wall(at(61, T + 60)), Wall90k::from_unix_secs(T + 60));
    }

    #[test]
    fn from_1970_it_goes_on_from_the_newest_and_is_set_once() {
        let newest = Wall90k::from_unix_secs(T - 100);
        let mut c = Clock::new(at(1, 5), Some(newest));
        assert!(!c.is_trusted());
        assert_eq!(c.observe(at(11, 15)), None);
        assert_eq!(c.wall(at(11, 15)), newest + Duration90k::from_secs(10));
        // Set, 20 s after the start: what was recorded belongs 100 - 0 s later.
        assert_eq!(
            c.observe(at(21, T + 20)),
            Some(ClockChange::Set(Duration90k::from_secs(100)))
        );
        assert!(c.is_trusted());
        assert_eq!(c.wall(at(21, T + 20)), Wall90k::from_unix_secs(T + 20));
        assert_eq!(c.observe(at(22, T + 21)), None);
    }

    #[test]
    fn it_goes_on_from_what_a_journal_tells() {
        let newest = Wall90k::from_unix_secs(T - 100);
        let later = newest + Duration90k::from_secs(40);
        let mut c = Clock::new(at(1, 5), Some(newest));
        assert!(c.go_on_from(at(1, 5), later));
        assert!(!c.go_on_from(at(1, 5), newest));
        assert_eq!(c.wall(at(11, 15)), later + Duration90k::from_secs(10));
        assert_eq!(
            c.observe(at(21, T + 20)),
            Some(ClockChange::Set(Duration90k::from_secs(60)))
        );
        // A clock that seemed to be right is behind what is there.
        let mut c = Clock::new(at(1, T - 90), Some(newest));
        assert!(c.is_trusted());
        assert!(c.go_on_from(at(1, T - 90), later));
        assert!(!c.is_trusted());
        assert_eq!(c.observe(at(30, T - 61)), None);
        let by = Duration90k::from_secs(-30);
        assert_eq!(c.observe(at(31, T - 60)), Some(ClockChange::Set(by)));
    }

    #[test]
    fn a_step_while_untrusted_leaves_the_time_line_whole() {
        let mut c = Clock::new(at(1, 5), None);
        assert_eq!(c.observe(at(2, 1_000_000)), None);
        assert_eq!(
            c.wall(at(2, 1_000_000)),
            EARLIEST + Duration90k::from_secs(1)
        );
    }

    #[test]
    fn a_clock_behind_the_newest_recording_is_believed_in_the_end() {
        let mut c = Clock::new(at(1, T), Some(Wall90k::from_unix_secs(T + 1_000_000)));
        assert_eq!(c.observe(at(600, T + 599)), None);
        let change = c.observe(at(601, T + 600));
        assert_eq!(
            change,
            Some(ClockChange::Set(Duration90k::from_secs(-1_000_000)))
        );
    }

    #[test]
    fn steps_are_seen_and_slews_are_not() {
        let mut c = Clock::new(at(1, T), None);
        assert_eq!(c.observe(at(2, T + 1)), None);
        let slewed = Now {
            monotonic: Monotonic(3_000_000_000),
            wall: Wall90k::from_unix_secs(T + 2) + Duration90k(40),
        };
        assert_eq!(c.observe(slewed), None);
        let step = Duration90k::from_secs(3600) - Duration90k(40);
        assert_eq!(
            c.observe(at(4, T + 3 + 3600)),
            Some(ClockChange::Stepped(step))
        );
        assert_eq!(c.observe(at(5, T + 4 + 3600)), None);
        assert_eq!(c.observe(at(6, 6)), Some(ClockChange::Lost));
        assert_eq!(c.wall(at(6, 6)), Wall90k::from_unix_secs(T + 5 + 3600));
    }
}
