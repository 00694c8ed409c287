//! The three kinds of time, each a type of its own so that none is taken for another.
//!
//! * [`Monotonic`]: the board's steady clock; never steps, means nothing across a restart.
//! * [`Wall90k`]: UTC since 1970-01-01T00:00:00Z in units of 1/90,000 s; may step, may be wrong.
//! * media time: the 90 kHz RTP clock of a camera. It stays inside [`crate::rtp`] and the sample
//!   index, as differences ([`Duration90k`]) and unwrapped `i64` ticks.
//!
//! Nothing in this crate but the reactor and the command line asks an operating system for the time.

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::time::Duration;

/// Units of [`Wall90k`] and [`Duration90k`] in a second.
pub const TICKS_PER_SECOND: i64 = 90_000;

/// A point on the board's steady clock, in nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// The time from `earlier` to this point; zero if `earlier` is later.
    pub fn since(self, earlier: Monotonic) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Monotonic {
    type Output = Monotonic;
    fn add(self, d: Duration) -> Monotonic {
        Monotonic(
            self.0
                .saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

/// A span of time in units of 1/90,000 s; may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration90k(pub i64);

impl Duration90k {
    pub const ZERO: Duration90k = Duration90k(0);

    /// Whole seconds.
    pub const fn from_secs(secs: i64) -> Duration90k {
        Duration90k(secs.saturating_mul(TICKS_PER_SECOND))
    }

    /// Seconds, with their fraction; for display and logs.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / TICKS_PER_SECOND as f64
    }
}

impl From<Duration> for Duration90k {
    /// Rounds down to a whole tick; saturates.
    fn from(d: Duration) -> Duration90k {
        let ticks = d.as_nanos().saturating_mul(TICKS_PER_SECOND as u128) / 1_000_000_000;
        Duration90k(i64::try_from(ticks).unwrap_or(i64::MAX))
    }
}

impl Add for Duration90k {
    type Output = Duration90k;
    fn add(self, o: Duration90k) -> Duration90k {
        Duration90k(self.0.saturating_add(o.0))
    }
}

impl AddAssign for Duration90k {
    fn add_assign(&mut self, o: Duration90k) {
        *self = *self + o;
    }
}

impl Sub for Duration90k {
    type Output = Duration90k;
    fn sub(self, o: Duration90k) -> Duration90k {
        Duration90k(self.0.saturating_sub(o.0))
    }
}

impl SubAssign for Duration90k {
    fn sub_assign(&mut self, o: Duration90k) {
        *self = *self - o;
    }
}

impl Neg for Duration90k {
    type Output = Duration90k;
    fn neg(self) -> Duration90k {
        Duration90k(self.0.saturating_neg())
    }
}

impl fmt::Display for Duration90k {
    /// For people: `0.250 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`, `3 d 4 h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let s = self.as_secs_f64().abs();
        let whole = s as u64;
        match whole {
            0 => write!(f, "{sign}{s:.3} s"),
            1..60 => write!(f, "{sign}{s:.1} s"),
            60..3600 => write!(f, "{sign}{} min {:02} s", whole / 60, whole % 60),
            3600..86_400 => write!(f, "{sign}{} h {:02} min", whole / 3600, whole / 60 % 60),
            _ => write!(f, "{sign}{} d {} h", whole / 86_400, whole / 3600 % 24),
        }
    }
}

/// UTC, in units of 1/90,000 s since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall90k(pub i64);

impl Wall90k {
    /// From whole seconds since 1970.
    pub const fn from_unix_secs(secs: i64) -> Wall90k {
        Wall90k(secs.saturating_mul(TICKS_PER_SECOND))
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn unix_secs(self) -> i64 {
        self.0.div_euclid(TICKS_PER_SECOND)
    }

    /// The nanoseconds within [`Self::unix_secs`].
    pub const fn subsec_nanos(self) -> u32 {
        (self.0.rem_euclid(TICKS_PER_SECOND) * 1_000_000_000 / TICKS_PER_SECOND) as u32
    }
}

impl Add<Duration90k> for Wall90k {
    type Output = Wall90k;
    fn add(self, d: Duration90k) -> Wall90k {
        Wall90k(self.0.saturating_add(d.0))
    }
}

impl Sub<Duration90k> for Wall90k {
    type Output = Wall90k;
    fn sub(self, d: Duration90k) -> Wall90k {
        Wall90k(self.0.saturating_sub(d.0))
    }
}

impl Sub for Wall90k {
    type Output = Duration90k;
    fn sub(self, o: Wall90k) -> Duration90k {
        Duration90k(self.0.saturating_sub(o.0))
    }
}

impl fmt::Display for Wall90k {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = (self.subsec_nanos() / 1_000_000) as i32;
        match jiff::Timestamp::new(self.unix_secs(), ms * 1_000_000) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{} /90000 s", self.0),
        }
    }
}

/// Both clocks, read together. Every event reaches the daemon's core with one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub monotonic: Monotonic,
    pub wall: Wall90k,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_for_people() {
        for (ticks, told) in [
            (22_500, "0.250 s"),
            (-22_500, "-0.250 s"),
            (12 * 90_000 + 30_000, "12.3 s"),
            (245 * 90_000, "4 min 05 s"),
            (7_380 * 90_000, "2 h 03 min"),
            (76 * 3_600 * 90_000, "3 d 4 h"),
        ] {
            assert_eq!(Duration90k(ticks).to_string(), told);
        }
    }

    #[test]
    fn wall_time_is_rfc_3339() {
        assert_eq!(Wall90k(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Wall90k(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(
            Wall90k::from_unix_secs(1_795_341_600).to_string(),
            "2026-11-22T10:00:00.000Z"
        );
    }
}
