//! How long what is kept reaches back, and when a disk is full, if all goes on as it did of late.

use crate::time::{Duration90k, TICKS_PER_SECOND};

/// A day, in 1/90,000 s.
const DAY: i64 = 86_400 * TICKS_PER_SECOND;

/// Over how long a stream's rate is measured.
pub const MEASURED: Duration90k = Duration90k(DAY);

/// A rate of less video than this says nothing of a day.
const LEAST_MEASURED: Duration90k = Duration90k::from_secs(10);

/// What a stream has recorded of late.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    pub bytes: i64,
    /// How much video that is.
    pub recorded: Duration90k,
    /// In how much time.
    pub within: Duration90k,
}

impl Measured {
    /// Of what came since some time; a stream that is new, or has just begun, will go on as it began.
    pub fn of(bytes: i64, recorded: Duration90k, since: Duration90k) -> Measured {
        Measured {
            bytes,
            recorded,
            within: since.min(MEASURED),
        }
    }

    /// Bits a second while it is recorded.
    pub fn bit_rate(&self) -> Option<i64> {
        let ticks = Some(self.recorded).filter(|d| *d >= LEAST_MEASURED)?.0;
        let bits = i128::from(self.bytes) * 8 * i128::from(TICKS_PER_SECOND);
        i64::try_from(bits / i128::from(ticks)).ok()
    }

    /// Bytes that a day adds.
    pub fn bytes_per_day(&self) -> Option<i64> {
        let ticks = Some(self.within).filter(|d| *d >= LEAST_MEASURED)?.0;
        i64::try_from(i128::from(self.bytes) * i128::from(DAY) / i128::from(ticks)).ok()
    }
}

/// A stream that grows up to its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Growing {
    pub used_bytes: i64,
    /// 0 if it is not recorded, or nothing is known.
    pub bytes_per_day: i64,
    pub retain_bytes: Option<i64>,
    pub retain_days: Option<u32>,
}

impl Growing {
    /// What it will take in the end; `None` if nothing limits it but the disk.
    pub fn wanted_bytes(&self) -> Option<i64> {
        let days = self.retain_days.map(i64::from);
        let by_days = days.map(|d| d.saturating_mul(self.bytes_per_day));
        [self.retain_bytes, by_days].into_iter().flatten().min()
    }

    /// Days until its own limit is reached.
    pub fn days_until_limit(&self) -> Option<f64> {
        let left = self.wanted_bytes()?.saturating_sub(self.used_bytes).max(0);
        (self.bytes_per_day > 0).then(|| left as f64 / self.bytes_per_day as f64)
    }

    /// How many days it will reach back, once its limit is reached.
    pub fn days_kept(&self) -> Option<f64> {
        let wanted = self.wanted_bytes()?;
        (self.bytes_per_day > 0).then(|| wanted as f64 / self.bytes_per_day as f64)
    }
}

/// A disk that streams grow on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Room {
    /// Free bytes beyond those that stay free, below 0 where those are touched; `None` if nobody knows.
    pub left_bytes: Option<i64>,
    /// What recordings take now.
    pub used_bytes: i64,
}

impl Room {
    /// What recordings may take in all.
    pub fn usable_bytes(&self) -> Option<i64> {
        self.left_bytes.map(|left| (left + self.used_bytes).max(0))
    }

    /// By how much these streams' limits are beyond that.
    pub fn overcommitted_bytes(&self, streams: &[Growing]) -> Option<i64> {
        let wanted = wanted_bytes(streams);
        self.usable_bytes().map(|usable| (wanted - usable).max(0))
    }

    pub fn days_until_full(&self, streams: &[Growing]) -> Option<f64> {
        self.left_bytes
            .and_then(|left| days_until_full(left, streams))
    }
}

/// What streams that have limits will take in the end.
pub fn wanted_bytes(streams: &[Growing]) -> i64 {
    streams.iter().filter_map(Growing::wanted_bytes).sum()
}

/// Days until these streams have taken so much room; `None` if they never do.
pub fn days_until_full(room_bytes: i64, streams: &[Growing]) -> Option<f64> {
    let endless = |s: &Growing| s.days_until_limit().unwrap_or(f64::INFINITY);
    let mut growing: Vec<(f64, f64)> = streams
        .iter()
        .filter(|s| s.bytes_per_day > 0)
        .map(|s| (endless(s), s.bytes_per_day as f64))
        .collect();
    growing.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut room = room_bytes.max(0) as f64;
    let mut now = 0.0;
    for i in 0..growing.len() {
        let rate: f64 = growing[i..].iter().map(|(_, rate)| rate).sum();
        let (until, _) = growing[i];
        let taken = rate * (until - now);
        // Not "more than": at infinity both may be.
        if taken >= room && (until > now || room == 0.0) {
            return Some(now + room / rate);
        }
        room -= taken;
        now = until;
    }
    None
}

/// For people: hundredths of a day are a quarter of an hour.
pub fn rounded(days: f64) -> f64 {
    (days * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: i64 = 1_000_000_000;

    fn stream(used: i64, per_day: i64, retain: Option<i64>) -> Growing {
        Growing {
            used_bytes: used * GB,
            bytes_per_day: per_day * GB,
            retain_bytes: retain.map(|n| n * GB),
            retain_days: None,
        }
    }

    #[test]
    fn rates() {
        let half_a_day = Measured {
            bytes: 43_200,
            recorded: Duration90k(DAY / 2),
            within: Duration90k(DAY),
        };
        assert_eq!(half_a_day.bit_rate(), Some(8));
        assert_eq!(half_a_day.bytes_per_day(), Some(43_200));
        let new = Measured {
            recorded: Duration90k::from_secs(1),
            within: Duration90k::from_secs(1),
            ..half_a_day
        };
        assert_eq!((new.bit_rate(), new.bytes_per_day()), (None, None));
    }

    #[test]
    fn limits_of_a_stream() {
        let s = stream(10, 5, Some(60));
        assert_eq!(s.days_until_limit(), Some(10.0));
        assert_eq!(s.days_kept(), Some(12.0));
        let both = Growing {
            retain_days: Some(4),
            ..s
        };
        assert_eq!(both.wanted_bytes(), Some(20 * GB));
        assert_eq!(
            (both.days_until_limit(), both.days_kept()),
            (Some(2.0), Some(4.0))
        );
        let over = Growing {
            used_bytes: 100 * GB,
            ..s
        };
        assert_eq!(over.days_until_limit(), Some(0.0));
        assert_eq!(stream(1, 5, None).days_until_limit(), None);
        let still = stream(1, 0, Some(5));
        assert_eq!((still.days_until_limit(), still.days_kept()), (None, None));
    }

    #[test]
    fn a_disk_is_full_when_all_have_taken_their_part() {
        // 10 days of 5 and 10 a day, then 10 a day.
        let two = [stream(0, 5, Some(50)), stream(0, 10, None)];
        assert_eq!(days_until_full(150 * GB, &two), Some(10.0));
        assert_eq!(days_until_full(90 * GB, &two), Some(6.0));
        assert_eq!(days_until_full(250 * GB, &two), Some(20.0));
        let limited = [stream(0, 5, Some(50)), stream(0, 10, Some(100))];
        assert_eq!(days_until_full(151 * GB, &limited), None);
        assert_eq!(days_until_full(120 * GB, &limited), Some(8.0));
        assert_eq!(days_until_full(0, &two), Some(0.0));
        assert_eq!(days_until_full(-1, &two), Some(0.0));
        assert_eq!(days_until_full(10, &[]), None);
        // One that has reached its limit takes nothing more.
        assert_eq!(days_until_full(GB, &[stream(60, 5, Some(50))]), None);
    }
}
