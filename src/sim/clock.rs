//! The board's two clocks over the world's one time.
//!
//! World time starts at 0 and only goes forwards. A boot gives the board a steady clock that starts
//! anew and a wall clock that may be right, behind, or at 1970, that drifts, and that may be stepped.

use crate::time::{Duration90k, Monotonic, Now, Wall90k};

/// The true time at which every world begins: 2026-11-22T10:00:00Z.
pub const WORLD_BEGIN: Wall90k = Wall90k::from_unix_secs(1_795_341_600);

/// What the wall clock shows when the board boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootClock {
    /// The true time: a board with a real-time clock.
    Right,
    /// A little after 1970-01-01: a board without one.
    Epoch,
    /// So many seconds behind: a time saved at shutdown.
    Behind(i64),
}

/// The clocks.
#[derive(Clone, Debug)]
pub struct Clock {
    world: Monotonic,
    /// The world time at which the steady clock showed `booted_at`.
    booted: Monotonic,
    booted_at: Monotonic,
    /// The wall clock's error at `error_since`.
    error: Duration90k,
    error_since: Monotonic,
    drift_ppm: i64,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}

impl Clock {
    /// At the beginning of the world, and right.
    pub fn new() -> Clock {
        Clock {
            world: Monotonic(0),
            booted: Monotonic(0),
            booted_at: Monotonic(0),
            error: Duration90k::ZERO,
            error_since: Monotonic(0),
            drift_ppm: 0,
        }
    }

    /// The world's time.
    pub fn world(&self) -> Monotonic {
        self.world
    }

    /// Goes on to a world time; never back.
    pub fn advance_to(&mut self, world: Monotonic) {
        self.world = self.world.max(world);
    }

    /// The true time of day.
    pub fn true_wall(&self) -> Wall90k {
        true_wall_at(self.world)
    }

    /// How far ahead of the true time the wall clock is.
    pub fn error(&self) -> Duration90k {
        let since = Duration90k::from(self.world.since(self.error_since));
        self.error + Duration90k(since.0 * self.drift_ppm / 1_000_000)
    }

    /// What the board's clocks show.
    pub fn now(&self) -> Now {
        Now {
            monotonic: self.board_time(self.world),
            wall: self.true_wall() + self.error(),
        }
    }

    /// The steady clock's reading at a world time of this boot.
    pub fn board_time(&self, world: Monotonic) -> Monotonic {
        Monotonic(
            world
                .0
                .saturating_sub(self.booted.0)
                .saturating_add(self.booted_at.0),
        )
    }

    /// The world time at which the steady clock shows `board`.
    pub fn world_time(&self, board: Monotonic) -> Monotonic {
        Monotonic(
            board
                .0
                .saturating_sub(self.booted_at.0)
                .saturating_add(self.booted.0),
        )
    }

    /// The board boots: its steady clock starts at `steady`, its wall clock as `wall` says.
    pub fn boot(&mut self, steady: Monotonic, wall: BootClock) {
        self.booted = self.world;
        self.booted_at = steady;
        let error = match wall {
            BootClock::Right => Duration90k::ZERO,
            BootClock::Epoch => Wall90k::from_unix_secs(30) - self.true_wall(),
            BootClock::Behind(secs) => Duration90k::from_secs(-secs),
        };
        self.set_error(error);
    }

    /// The wall clock is set to the true time plus `error`.
    pub fn set_error(&mut self, error: Duration90k) {
        self.error = error;
        self.error_since = self.world;
    }

    /// From now on the wall clock gains so many parts in a million.
    pub fn set_drift(&mut self, ppm: i64) {
        self.set_error(self.error());
        self.drift_ppm = ppm;
    }
}

/// The true time of day at a world time.
pub fn true_wall_at(world: Monotonic) -> Wall90k {
    WORLD_BEGIN + Duration90k::from(world.since(Monotonic(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn boots_steps_and_drifts() {
        let mut c = Clock::new();
        c.advance_to(Monotonic(0) + Duration::from_secs(100));
        assert_eq!(c.now().wall, WORLD_BEGIN + Duration90k::from_secs(100));
        c.boot(Monotonic(5), BootClock::Epoch);
        assert_eq!(c.now().wall, Wall90k::from_unix_secs(30));
        assert_eq!(c.now().monotonic, Monotonic(5));
        assert_eq!(c.world_time(Monotonic(7)), Monotonic(100_000_000_002));
        c.set_error(Duration90k::ZERO);
        c.set_drift(100);
        c.advance_to(Monotonic(0) + Duration::from_secs(10_100));
        assert_eq!(c.error(), Duration90k::from_secs(1));
        assert_eq!(c.now().wall - c.true_wall(), Duration90k::from_secs(1));
    }
}
