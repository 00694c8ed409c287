//! Decoding times for streams whose frames are not sent in the order of presentation.
//!
//! RTP tells when a frame is to be presented (PTS). An `.mp4` wants the time of decoding (DTS), which
//! rises from frame to frame, and what lies between the two. With a reorder depth of N (how many frames
//! come before another one and are presented after it) a frame's decoding time is the (N+1)th
//! largest PTS so far, its own included: that frame is the next one to be presented. The first N
//! frames have none; their times are counted back from the first PTS at a guessed frame rate.
//!
//! N comes from the sample entry. Where that does not say so and a PTS steps back a little, N is
//! learned, and never lowered within a run.
//!
//! The module refuses a PTS that is far from those before: the camera's clock was set, and the caller
//! begins a new run.

/// The highest reorder depth (ITU-T H.264 section A.3.1: `max_dec_frame_buffering` is at most 16).
pub const MAX_REORDER_FRAMES: usize = 16;

/// A PTS this far behind the largest is a break in the stream, not reordering.
pub const MAX_STEP_BACK_90K: i64 = 2 * 90_000;

/// A PTS this far ahead of the largest is a break in the stream, not a slow frame rate.
pub const MAX_STEP_AHEAD_90K: i64 = 60 * 90_000;

/// A frame's duration where nothing is known yet: 1/30 s.
pub const GUESSED_DURATION_90K: i64 = 3_000;

/// A frame's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTimes {
    /// Rises from frame to frame.
    pub dts_90k: i64,
    /// PTS - DTS; 0 throughout a stream without reordering.
    pub composition_offset_90k: i32,
}

/// A PTS that does not go on from those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the camera's timestamps stepped by {:.3} s", *step_90k as f64 / 90_000.0)]
pub struct Discontinuity {
    /// From the largest PTS so far.
    pub step_90k: i64,
}

/// The state of one run. `Copy`, so that a frame can be tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reorder {
    depth: usize,
    /// The largest PTSs so far, in falling order.
    largest: [i64; MAX_REORDER_FRAMES + 1],
    len: usize,
    last_dts: i64,
}

impl Reorder {
    /// Takes over what a sample entry says. A depth is never lowered.
    pub fn raise_depth(&mut self, frames: u8) {
        self.depth = self.depth.max(usize::from(frames).min(MAX_REORDER_FRAMES));
    }

    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The times of the next frame in decoding order. `pts_90k` is unwrapped. After an error nothing
    /// has changed.
    pub fn next(&mut self, pts_90k: i64) -> Result<FrameTimes, Discontinuity> {
        if self.len == 0 {
            let lead = self.depth as i64 * GUESSED_DURATION_90K;
            self.insert(0, pts_90k);
            return self.times(pts_90k, pts_90k.saturating_sub(lead));
        }
        let step_90k = pts_90k.saturating_sub(self.largest[0]);
        let later = self.largest[..self.len]
            .iter()
            .take_while(|&&p| p > pts_90k)
            .count();
        if !(-MAX_STEP_BACK_90K..=MAX_STEP_AHEAD_90K).contains(&step_90k)
            || later > MAX_REORDER_FRAMES
        {
            return Err(Discontinuity { step_90k });
        }
        let before = *self;
        self.depth = self.depth.max(later);
        self.insert(later, pts_90k);
        let earliest = self.last_dts.saturating_add(1);
        let dts = if self.depth < self.len {
            self.largest[self.depth].max(earliest)
        } else {
            self.last_dts.saturating_add(GUESSED_DURATION_90K)
        };
        self.times(pts_90k, dts).inspect_err(|_| *self = before)
    }

    fn times(&mut self, pts: i64, dts: i64) -> Result<FrameTimes, Discontinuity> {
        self.last_dts = dts;
        // Timestamps that stand still make the DTS run ahead of the PTS: no reordering.
        let offset = if self.depth == 0 {
            0
        } else {
            pts.saturating_sub(dts)
        };
        Ok(FrameTimes {
            dts_90k: dts,
            composition_offset_90k: i32::try_from(offset)
                .map_err(|_| Discontinuity { step_90k: offset })?,
        })
    }

    fn insert(&mut self, at: usize, pts: i64) {
        let end = self.len.min(MAX_REORDER_FRAMES);
        self.largest.copy_within(at..end, at + 1);
        self.largest[at] = pts;
        self.len = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::{RngCore, SeedableRng};
    use rand_pcg::Pcg32;

    fn run(depth: u8, pts: &[i64]) -> (Reorder, Vec<FrameTimes>) {
        let mut r = Reorder::default();
        r.raise_depth(depth);
        let times: Vec<_> = pts.iter().map(|&p| r.next(p).unwrap()).collect();
        for (t, &p) in times.iter().zip(pts) {
            if r.depth() > 0 {
                assert!(
                    t.composition_offset_90k == 0
                        || t.dts_90k + i64::from(t.composition_offset_90k) == p
                );
            }
        }
        for w in times.windows(2) {
            assert!(w[0].dts_90k < w[1].dts_90k, "{times:?}");
        }
        (r, times)
    }

    #[test]
    fn without_reordering_both_are_equal() {
        let (_, t) = run(0, &[7, 3_007, 6_010, 9_000]);
        let dts: Vec<_> = t.iter().map(|t| t.dts_90k).collect();
        assert_eq!(dts, [7, 3_007, 6_010, 9_000]);
        assert!(t.iter().all(|t| t.composition_offset_90k == 0));
    }

    #[test]
    fn timestamps_that_stand_still_are_no_reordering() {
        let (r, t) = run(0, &[0, 3_000, 3_000, 3_000, 9_000]);
        let dts: Vec<_> = t.iter().map(|t| t.dts_90k).collect();
        assert_eq!(dts, [0, 3_000, 3_001, 3_002, 9_000]);
        assert!(t.iter().all(|t| t.composition_offset_90k == 0));
        assert_eq!(r.depth(), 0);
    }

    #[test]
    fn b_frames_with_a_known_depth() {
        let f = GUESSED_DURATION_90K;
        let pts = [0, 3, 1, 2, 6, 4, 5].map(|n| n * f);
        let (_, t) = run(1, &pts);
        let dts: Vec<_> = t.iter().map(|t| t.dts_90k / f).collect();
        assert_eq!(dts, [-1, 0, 1, 2, 3, 4, 5]);
        // B-pyramid: depth 2.
        let pts = [0, 4, 2, 1, 3, 8, 6, 5, 7].map(|n| n * f);
        let (_, t) = run(2, &pts);
        let dts: Vec<_> = t.iter().map(|t| t.dts_90k / f).collect();
        assert_eq!(dts, [-2, -1, 0, 1, 2, 3, 4, 5, 6]);
        assert!(t.iter().all(|t| t.composition_offset_90k >= 0));
    }

    #[test]
    fn the_depth_is_learned() {
        let f = 3_000;
        let pts = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8].map(|n| n * f);
        let (r, t) = run(0, &pts);
        assert_eq!(r.depth(), 1);
        assert_eq!(t[5].dts_90k, 4 * f);
        assert_eq!(t[9].dts_90k, 8 * f);
        assert_eq!(t[9].composition_offset_90k, 0);
    }

    #[test]
    fn breaks_are_told_and_change_nothing() {
        let mut r = Reorder::default();
        r.next(0).unwrap();
        r.next(3_000).unwrap();
        for step in [
            -MAX_STEP_BACK_90K - 1,
            MAX_STEP_AHEAD_90K + 1,
            i64::MIN,
            i64::MAX,
        ] {
            assert!(r.next(3_000i64.saturating_add(step)).is_err());
        }
        assert_eq!(r.next(6_000).unwrap().dts_90k, 6_000);
    }

    #[test]
    fn the_ends_of_the_range_do_not_overflow() {
        for start in [i64::MIN, i64::MIN + 5_000, i64::MAX - 5_000, i64::MAX] {
            let mut r = Reorder::default();
            r.raise_depth(16);
            for i in 0..40 {
                let _ = r.next(start.saturating_add(i * 100));
                let _ = r.next(start.saturating_sub(i * 100));
            }
        }
    }

    /// Any order of presentation within a depth: decoding times rise, and once the depth is known no
    /// frame is presented before it is decoded.
    #[test]
    fn any_reordering_within_the_depth() {
        let mut r = Pcg32::seed_from_u64(5);
        for _ in 0..500 {
            let depth = (r.next_u32() % 5) as u8;
            // Presentation order is 0, 1, 2...; decode by picking among what the depth allows.
            let mut waiting: Vec<i64> = Vec::new(); // Presented after frames not yet decoded.
            // The first frame is an IDR picture: all others are presented after it.
            let (mut next, mut pts) = (1i64, vec![0]);
            while pts.len() < 60 {
                // Hold back frames: decode a later one first, up to `depth` of them.
                if waiting.len() < usize::from(depth) && r.next_u32() % 3 == 0 {
                    let ahead = waiting.last().copied().unwrap_or(next).max(next) + 1;
                    waiting.push(ahead);
                    pts.push(ahead);
                } else {
                    while waiting.first() == Some(&next) {
                        waiting.remove(0);
                        next += 1;
                    }
                    pts.push(next);
                    next += 1;
                }
            }
            let pts: Vec<i64> = pts.iter().map(|p| p * 3_000).collect();
            let (state, times) = run(depth, &pts);
            assert_eq!(state.depth(), usize::from(depth), "{pts:?}");
            assert!(
                times.iter().all(|t| t.composition_offset_90k >= 0),
                "{pts:?}"
            );
            run(0, &pts);
        }
    }
}
