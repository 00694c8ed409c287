//! The media timeline: 32-bit RTP timestamps, which wrap and jump, as 64-bit ones that do not wrap.

use crate::time::{Monotonic, TICKS_PER_SECOND};
use std::time::Duration;

/// A step forwards by more than this is a jump, unless that much time has passed while waiting for it.
const MAX_STEP: Duration = Duration::from_secs(10);

/// A step backwards by more than this is a jump. B-frames go back by some tenths of a second.
const MAX_STEP_BACK: Duration = Duration::from_secs(3);

/// The timeline of one stream.
#[derive(Clone, Debug)]
pub struct Timeline {
    clock_rate: u32,
    last: Option<Last>,
    /// The next timestamp has nothing to do with the last.
    restarted: bool,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    rtp: u32,
    /// In the stream's clock rate.
    unwrapped: i64,
    arrived: Monotonic,
}

/// A place on the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In units of 1/90,000 s; the first one is the RTP timestamp itself.
    pub timestamp: i64,
    /// It does not follow from the place before it.
    pub discontinuity: bool,
}

impl Timeline {
    /// `clock_rate` in ticks a second; 0 counts as 90,000.
    pub fn new(clock_rate: u32) -> Timeline {
        Timeline {
            clock_rate: if clock_rate == 0 {
                TICKS_PER_SECOND as u32
            } else {
                clock_rate
            },
            last: None,
            restarted: false,
        }
    }

    /// The next timestamp comes from another clock (a new SSRC).
    pub fn restart(&mut self) {
        self.restarted = self.last.is_some();
    }

    /// Places the next access unit in decode order, whose first slice came at `now`.
    pub fn place(&mut self, rtp: u32, now: Monotonic) -> Place {
        let (unwrapped, discontinuity) = match self.last {
            None => (i64::from(rtp), false),
            Some(last) => {
                // The nearest of all timestamps that look like this one (RFC 3550 appendix A.1's
                // way, for timestamps).
                let step = i64::from(rtp.wrapping_sub(last.rtp) as i32);
                let jumped = self.is_jump(step, now.since(last.arrived));
                (last.unwrapped.saturating_add(step), jumped)
            }
        };
        self.last = Some(Last {
            rtp,
            unwrapped,
            arrived: now,
        });
        let restarted = std::mem::take(&mut self.restarted);
        Place {
            timestamp: self.to_90k(unwrapped),
            discontinuity: discontinuity || restarted,
        }
    }

    fn is_jump(&self, step: i64, waited: Duration) -> bool {
        let rate = i64::from(self.clock_rate);
        if step < 0 {
            return -step > rate * MAX_STEP_BACK.as_secs() as i64;
        }
        let waited = i64::try_from(waited.as_secs()).unwrap_or(i64::MAX);
        let allowed = waited.saturating_add(MAX_STEP.as_secs() as i64);
        step > rate.saturating_mul(allowed)
    }

    fn to_90k(&self, ticks: i64) -> i64 {
        if i64::from(self.clock_rate) == TICKS_PER_SECOND {
            return ticks;
        }
        let scaled = i128::from(ticks) * i128::from(TICKS_PER_SECOND);
        let rounded = scaled.div_euclid(i128::from(self.clock_rate));
        i64::try_from(rounded).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    /// Places timestamps that come one second apart.
    fn places(clock_rate: u32, rtp: &[u32]) -> Vec<(i64, bool)> {
        let mut timeline = Timeline::new(clock_rate);
        let at = |(i, &rtp): (usize, &u32)| {
            let p = timeline.place(rtp, Monotonic(i as u64 * S));
            (p.timestamp, p.discontinuity)
        };
        rtp.iter().enumerate().map(at).collect()
    }

    #[test]
    fn wrapping_goes_on() {
        assert_eq!(
            places(90_000, &[0xffff_f000, 0xffff_ffff, 0x0000_1000]),
            [
                (0xffff_f000, false),
                (0xffff_ffff, false),
                (0x1_0000_1000, false)
            ]
        );
    }

    #[test]
    fn b_frames_step_back_a_little() {
        assert_eq!(
            places(90_000, &[9000, 18_000, 12_000, 15_000, 27_000]),
            [
                (9000, false),
                (18_000, false),
                (12_000, false),
                (15_000, false),
                (27_000, false)
            ]
        );
    }

    #[test]
    fn standing_still_is_no_jump() {
        assert_eq!(places(90_000, &[5, 5, 5]), [(5, false); 3]);
    }

    #[test]
    fn jump_forwards_by_hours() {
        let hour = 3600 * 90_000;
        assert_eq!(
            places(90_000, &[0, hour, hour + 3000]),
            [
                (0, false),
                (i64::from(hour), true),
                (i64::from(hour) + 3000, false)
            ]
        );
        // More than half of the circle looks like a step back, and is a jump as well.
        assert!(places(90_000, &[0, 7 * hour])[1].1);
    }

    #[test]
    fn step_back_by_more_than_seconds() {
        let start = 1_000_000;
        let back = start - 4 * 90_000;
        assert_eq!(
            places(90_000, &[start, back]),
            [(i64::from(start), false), (i64::from(back), true)]
        );
        assert!(!places(90_000, &[start, start - 2 * 90_000])[1].1);
    }

    #[test]
    fn a_long_step_that_was_waited_for_is_no_jump() {
        let mut timeline = Timeline::new(90_000);
        timeline.place(0, Monotonic(0));
        let place = timeline.place(60 * 90_000, Monotonic(58 * S));
        assert_eq!(
            place,
            Place {
                timestamp: 60 * 90_000,
                discontinuity: false
            }
        );
        let place = timeline.place(120 * 90_000, Monotonic(59 * S));
        assert!(place.discontinuity);
    }

    #[test]
    fn another_clock_is_a_discontinuity_once() {
        let mut timeline = Timeline::new(90_000);
        timeline.restart();
        assert!(
            !timeline.place(0, Monotonic(0)).discontinuity,
            "there was none before"
        );
        timeline.restart();
        assert!(timeline.place(1 << 30, Monotonic(0)).discontinuity);
        assert!(!timeline.place(1 << 30, Monotonic(0)).discontinuity);
    }

    #[test]
    fn other_clock_rates_do_not_drift() {
        let rtp: Vec<u32> = (0..1000).map(|i| i * 7).collect();
        let last = *places(8000, &rtp).last().unwrap();
        assert_eq!(last, (999 * 7 * 90_000 / 8000, false));
        assert_eq!(places(0, &[77]), [(77, false)]);
    }
}
