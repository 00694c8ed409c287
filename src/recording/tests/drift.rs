//! Runs of an hour with simulated cameras, clocks and networks.

use super::T0;
use crate::recording::drift::{Drift, Lost, MAX_CORRECTION_PPM, MAX_ERROR, WINDOW};
use crate::time::{Duration90k, Wall90k};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

const FRAME: i64 = 3_000;
const RECORDING: i64 = 60 * 90_000;
const TICK: i64 = 9_000;

/// A recording as the run places it, and where it truly was.
struct Placed {
    start: Wall90k,
    wall: Duration90k,
    media: Duration90k,
    truth: Wall90k,
}

/// A camera whose clock is fast by `ppm`; a frame's true time is that of its capture.
struct World {
    r: Pcg32,
    ppm: i64,
    /// How late a frame that was captured at so much true time is, in addition to the tick.
    late: fn(i64) -> i64,
    /// What the recorder's clock adds at so much true time.
    clock: fn(i64) -> i64,
    not_before: Option<Wall90k>,
}

impl World {
    fn new(seed: u64, ppm: i64) -> World {
        World {
            r: Pcg32::seed_from_u64(seed),
            ppm,
            late: |_| 0,
            clock: |_| 0,
            not_before: None,
        }
    }

    /// Records `minutes`; the recordings until the time line was lost.
    fn run(&mut self, minutes: i64) -> (Vec<Placed>, Option<(i64, Lost)>) {
        let mut d = Drift::new(self.not_before);
        let (mut out, mut start_media) = (Vec::new(), 0);
        let truth = |media: i64| media * 1_000_000 / (1_000_000 + self.ppm);
        let (mut media, mut last_arrival) = (0, 0);
        while media < minutes * RECORDING {
            if media - start_media >= RECORDING {
                let start = d.start();
                let length = Duration90k(media - start_media);
                out.push(Placed {
                    start,
                    wall: d.end_recording(length),
                    media: length,
                    truth: T0 + Duration90k(truth(start_media)),
                });
                start_media = media;
            }
            let captured = truth(media);
            let jitter = i64::from(self.r.next_u32() % 900);
            let tick = i64::from(self.r.next_u32() % TICK as u32);
            // In order, whatever the network does.
            let arrival = (captured + (self.late)(captured) + jitter + tick).max(last_arrival);
            last_arrival = arrival;
            let shown = T0 + Duration90k(arrival + (self.clock)(arrival));
            if let Err(lost) = d.arrived(Duration90k(media - start_media), shown) {
                return (out, Some((captured, lost)));
            }
            media += FRAME;
        }
        (out, None)
    }
}

/// No gap, no overlap, and no more correction than allowed.
fn check_line(placed: &[Placed]) {
    for w in placed.windows(2) {
        assert_eq!(w[0].start + w[0].wall, w[1].start);
    }
    for p in placed {
        let correction = (p.wall - p.media).0.abs();
        assert!(correction * 1_000_000 <= p.media.0 * MAX_CORRECTION_PPM);
    }
}

#[test]
fn a_drifting_camera_is_followed() {
    for ppm in [-200, -100, -20, 0, 20, 100, 200] {
        for seed in 0..3 {
            let (placed, lost) = World::new(seed, ppm).run(60);
            assert_eq!(lost, None);
            check_line(&placed);
            for p in &placed {
                let off = (p.start - p.truth).0;
                // 200 ppm of a minute are 12 ms; frames are never early, the best one is just late.
                assert!((-2_000..2_000).contains(&off), "{ppm} ppm: off by {off}");
            }
        }
    }
}

#[test]
fn a_stalling_network_changes_nothing() {
    let mut w = World::new(1, 50);
    // Each 97 s nothing arrives for 8 s, then all at once.
    w.late = |t| match t / (97 * 90_000) {
        0 => 0,
        _ => (8 * 90_000 - t % (97 * 90_000)).max(0),
    };
    let (placed, lost) = w.run(30);
    assert_eq!(lost, None);
    check_line(&placed);
    for p in &placed {
        assert!((p.start - p.truth).0.abs() < 2_000);
    }
}

#[test]
fn a_camera_that_begins_with_its_last_gop_moves_the_start_back() {
    // The first 20 s of media arrive at once.
    let mut w = World::new(2, 0);
    w.late = |t| (20 * 90_000 - t).max(0);
    let (placed, lost) = w.run(5);
    assert_eq!(lost, None);
    assert!((placed[0].start - T0).0.abs() < 2_000);
    // But never into the recording before.
    let mut w = World::new(2, 0);
    w.late = |t| (20 * 90_000 - t).max(0);
    w.not_before = Some(T0 + Duration90k::from_secs(3));
    let (placed, lost) = w.run(20);
    assert_eq!(lost, None);
    check_line(&placed);
    assert_eq!(placed[0].start, T0 + Duration90k::from_secs(3));
    // The error shrinks by what may be corrected, 30 ms a minute.
    let left = (placed[18].start - placed[18].truth).0;
    assert!((left - (270_000 - 18 * 2_700)).abs() < 2_000, "{left}");
}

#[test]
fn a_camera_clock_that_is_far_off_asks_for_a_new_run() {
    for (ppm, fast) in [(100_000, true), (-100_000, false)] {
        let (placed, lost) = World::new(3, ppm).run(60);
        check_line(&placed);
        let (at, lost) = lost.unwrap();
        // 10 % is 6 s a minute. (While the first recording may still move, a fast clock shows later.)
        assert!(at < 130 * 90_000, "{at}");
        assert_eq!(lost.error < Duration90k::ZERO, fast);
        assert!(lost.error.0.abs() >= MAX_ERROR.0);
        assert!(!lost.is_sudden);
        for p in &placed {
            assert!((p.start - p.truth).0.abs() < 2 * MAX_ERROR.0);
        }
    }
}

#[test]
fn a_stepped_clock_asks_for_a_new_run() {
    const AT: i64 = 150 * 90_000;
    let ahead = |t| if t < AT { 0 } else { 3_600 * 90_000 };
    let back = |t| if t < AT { 0 } else { -3_600 * 90_000 };
    let steps: [fn(i64) -> i64; 2] = [ahead, back];
    for (clock, sign) in steps.into_iter().zip([1, -1]) {
        let mut w = World::new(4, 30);
        w.clock = clock;
        let (placed, lost) = w.run(60);
        check_line(&placed);
        assert_eq!(placed.len(), 2);
        let (at, lost) = lost.unwrap();
        assert!((AT - TICK..=AT + WINDOW.0 + 90_000).contains(&at), "{at}");
        assert!(lost.is_sudden);
        assert_eq!(lost.error.0.signum(), sign);
    }
}

#[test]
fn a_clock_behind_the_last_recording_goes_on_from_there() {
    let mut w = World::new(5, 0);
    w.not_before = Some(T0 + Duration90k::from_secs(86_400));
    let (placed, lost) = w.run(10);
    assert_eq!(lost, None);
    check_line(&placed);
    assert_eq!(placed[0].start, T0 + Duration90k::from_secs(86_400));
}
