//! When a recording ends and the next one of its run begins: at a sync sample once about a minute has
//! passed.
//!
//! Each stream has a phase of the wall minute of its own and is cut at the first sync sample after it,
//! so that files are not all created and synced at the same moment. A recording that began less than
//! [`MIN_DURATION`] before its stream's phase goes on to the next one: usual lengths are a minute, and
//! half a minute to one and a half (and a GOP) at the start of a run.
//!
//! The limits bound what is held for a recording that is being made, and a sample file's size. At
//! one of them the recording ends without a sync sample, and so does its run: a recording always
//! begins with a sync sample.

use super::StreamId;
use crate::time::{Duration90k, Wall90k};

/// The usual length of a recording.
pub const PERIOD: Duration90k = Duration90k::from_secs(60);

/// No recording is cut earlier than this, if it's not for its size.
pub const MIN_DURATION: Duration90k = Duration90k::from_secs(30);

/// A recording that has had no sync sample for a place to cut ends after this.
pub const MAX_DURATION: Duration90k = Duration90k::from_secs(15 * 60);

/// A sample file's largest size, 1 GiB.
pub const MAX_SAMPLE_FILE_BYTES: u32 = 1 << 30;

/// A recording of this size is cut at the next sync sample, whatever its length.
pub const LARGE_SAMPLE_FILE_BYTES: u32 = MAX_SAMPLE_FILE_BYTES / 2;

/// What is to be done before a sample is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Add it to the current recording.
    GoOn,
    /// Finish the recording; the sample begins the next one of the run.
    Here,
    /// A limit was reached and the sample is no sync sample: finish the recording and the run, drop
    /// samples up to the next sync sample.
    Forced,
}

/// When one recording is to be cut.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    due: Duration90k,
}

impl Rotation {
    /// For a recording of `stream` that begins at about `start`.
    pub fn new(stream: StreamId, start: Wall90k) -> Rotation {
        let since_phase = (start.0.rem_euclid(PERIOD.0) - phase(stream).0).rem_euclid(PERIOD.0);
        let to_phase = PERIOD - Duration90k(since_phase);
        Rotation {
            due: if to_phase < MIN_DURATION {
                to_phase + PERIOD
            } else {
                to_phase
            },
        }
    }

    /// Asked before each sample. `media` is how long the recording lasts up to it, `bytes` what the
    /// recording has, `sample_bytes` the size of the sample.
    pub fn before(&self, media: Duration90k, bytes: u32, sample_bytes: u32, is_sync: bool) -> Cut {
        if bytes == 0 {
            return Cut::GoOn; // A lone sample that is too large is the writer's to refuse.
        }
        if is_sync {
            let large = bytes >= LARGE_SAMPLE_FILE_BYTES;
            if media >= self.due || large {
                return Cut::Here;
            }
        }
        let end = bytes.saturating_add(sample_bytes);
        if media < MAX_DURATION && end <= MAX_SAMPLE_FILE_BYTES {
            Cut::GoOn
        } else if is_sync {
            Cut::Here
        } else {
            Cut::Forced
        }
    }
}

/// A stream's place within [`PERIOD`]. Numbers in sequence are spread evenly (by the golden ratio),
/// however many there are.
pub fn phase(stream: StreamId) -> Duration90k {
    let fraction = (stream.0 as u32).wrapping_mul(0x9e37_79b9);
    Duration90k((i64::from(fraction) * PERIOD.0) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of the recordings, in seconds, of a stream with a sync sample each `gop` seconds.
    fn lengths(stream: i32, first: i64, gop: i64) -> Vec<i64> {
        let (mut start, mut out) = (first, Vec::new());
        let mut rotation = Rotation::new(StreamId(stream), Wall90k::from_unix_secs(start));
        for t in (first + gop..first + 1_800).step_by(gop as usize) {
            let media = Duration90k::from_secs(t - start);
            if rotation.before(media, 1, 1, true) == Cut::Here {
                out.push(t - start);
                start = t;
                rotation = Rotation::new(StreamId(stream), Wall90k::from_unix_secs(start));
            }
            assert_eq!(rotation.before(media, 1, 1, false), Cut::GoOn);
        }
        out
    }

    #[test]
    fn recordings_last_about_a_minute() {
        for stream in 1..50 {
            for gop in [1, 2, 5, 10] {
                for first in [1_795_341_600, 1_795_341_629, 5, -30] {
                    let l = lengths(stream, first, gop);
                    assert!((30..=90 + gop).contains(&l[0]), "{l:?}");
                    for &l in &l[1..] {
                        assert!((60 - gop..=60 + gop).contains(&l), "{l} of {stream}, {gop}");
                    }
                }
            }
            for &l in &lengths(stream, 1_795_341_600, 45) {
                assert!((45..=135).contains(&l));
            }
        }
    }

    /// As "smart" codecs make them: each is a recording of its own.
    #[test]
    fn gops_of_minutes_are_not_cut() {
        for gop in [120, 300] {
            for l in lengths(1, 1_795_341_600, gop) {
                assert_eq!(l, gop);
            }
        }
    }

    #[test]
    fn streams_do_not_rotate_at_once() {
        for n in [2, 4, 8, 24, 100] {
            let mut phases: Vec<i64> = (1..=n).map(|s| phase(StreamId(s)).0).collect();
            phases.sort_unstable();
            let ends = phases[0] + PERIOD.0 - phases[phases.len() - 1];
            let closest = phases
                .windows(2)
                .map(|w| w[1] - w[0])
                .min()
                .unwrap()
                .min(ends);
            assert!(closest > PERIOD.0 / i64::from(n) / 4, "{n}: {closest}");
        }
    }

    #[test]
    fn limits_hold() {
        let r = Rotation::new(StreamId(1), Wall90k(0));
        let m = Duration90k::from_secs(5);
        assert_eq!(r.before(m, LARGE_SAMPLE_FILE_BYTES, 1, false), Cut::GoOn);
        assert_eq!(r.before(m, LARGE_SAMPLE_FILE_BYTES, 1, true), Cut::Here);
        let max = MAX_SAMPLE_FILE_BYTES;
        assert_eq!(r.before(m, max - 10, 10, false), Cut::GoOn);
        assert_eq!(r.before(m, max - 10, 11, false), Cut::Forced);
        assert_eq!(r.before(m, 10, u32::MAX, true), Cut::Here);
        assert_eq!(r.before(MAX_DURATION, 10, 10, false), Cut::Forced);
        assert_eq!(r.before(m, 0, u32::MAX, true), Cut::GoOn);
    }
}
