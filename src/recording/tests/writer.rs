//! One recording after another by [`Writer`].

use super::{FRAME_90K, T0, entry, id, sample, start};
use crate::recording::index::{self, Sample};
use crate::recording::writer::{NewSample, Run, Writer, WriterError};
use crate::recording::{GapCause, Recording, rotation};
use crate::time::Duration90k;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;
use xxhash_rust::xxh3::xxh3_128;

fn samples(r: &Recording) -> Vec<Sample> {
    index::samples(&r.index).map(|s| s.unwrap()).collect()
}

/// Adds a sample and hands its bytes over.
fn add(w: &mut Writer, s: NewSample) {
    w.add(s).unwrap();
    w.written(&vec![7; s.bytes as usize]);
}

#[test]
fn durations_come_from_the_next_sample() {
    let mut w = start(id(1, 4), Run::new(None));
    for (pts, bytes, is_sync) in [(0, 100, true), (3_000, 10, false), (6_010, 11, false)] {
        add(&mut w, sample(pts, bytes, is_sync));
    }
    assert_eq!(w.media_duration(), Duration90k(6_010));
    assert_eq!((w.samples(), w.bytes(), w.bytes_written()), (3, 121, 121));
    let (r, run) = w.finish(Some(9_005), "").unwrap();
    let durations: Vec<_> = samples(&r).iter().map(|s| s.duration_90k).collect();
    assert_eq!(durations, [3_000, 3_010, 2_995]);
    assert_eq!(r.media_duration, Duration90k(9_005));
    assert_eq!(r.sample_file_bytes, 121);
    assert_eq!((r.video_samples, r.video_sync_samples), (3, 1));
    assert_eq!(r.data_hash, xxh3_128(&[7; 121]).to_be_bytes());

    // The next one follows on, exactly.
    let mut w = start(id(1, 5), run);
    add(&mut w, sample(9_005, 50, true));
    add(&mut w, sample(12_005, 50, false));
    let (next, _) = w.finish(None, "the camera went away").unwrap();
    assert_eq!(next.start, r.start + r.wall_duration);
    assert_eq!((r.run_offset, next.run_offset), (0, 1));
    assert_eq!(next.media_duration, Duration90k(6_000)); // The last is taken to be like the one before.
    assert_eq!(next.end_reason, "the camera went away");
}

#[test]
fn what_there_is_so_far_ends_with_a_whole_sample_that_can_be_read() {
    let mut w = start(id(1, 0), Run::new(None));
    assert!(w.so_far(u64::MAX).is_none() && w.newest().is_none());
    for (pts, bytes, is_sync) in [(0, 100, true), (3_000, 10, false), (6_010, 11, false)] {
        add(&mut w, sample(pts, bytes, is_sync));
    }
    assert!(w.so_far(99).is_none());
    for (readable, expected) in [
        (100, &[3_000][..]),
        (110, &[3_000, 3_010]),
        (120, &[3_000, 3_010]),
        // How long the newest will last is not known yet.
        (121, &[3_000, 3_010, 3_010]),
        (u64::MAX, &[3_000, 3_010, 3_010]),
    ] {
        let r = w.so_far(readable).unwrap();
        let durations: Vec<_> = samples(&r).iter().map(|s| s.duration_90k).collect();
        assert_eq!(durations, expected, "{readable}");
        let totals = index::totals(&r.index).unwrap();
        assert_eq!(r.video_samples, totals.samples);
        assert_eq!(r.sample_file_bytes, totals.bytes);
        assert!(u64::from(r.sample_file_bytes) <= readable);
        assert_eq!(r.media_duration.0, totals.media_duration_90k);
    }
    let newest = w.newest().unwrap();
    assert_eq!((newest.media_start_90k, newest.offset), (6_010, 110));
}

#[test]
fn a_lone_frame_is_a_recording() {
    let mut w = start(id(1, 0), Run::new(None));
    add(&mut w, sample(0, 100, true));
    let (r, _) = w.finish(None, "x").unwrap();
    assert_eq!(r.media_duration, Duration90k(FRAME_90K));
    assert_eq!((r.video_samples, r.start), (1, T0));
}

#[test]
fn it_begins_with_a_sync_sample_and_ends_whole() {
    let mut w = start(id(1, 0), Run::new(None));
    assert_eq!(w.add(sample(0, 1, false)), Err(WriterError::NotSync));
    assert_eq!(w.add(sample(0, 0, true)), Err(WriterError::Empty));
    w.add(sample(0, 10, true)).unwrap();
    w.written(&[0; 9]);
    assert_eq!(w.finish(None, "").unwrap_err(), WriterError::Unfinished);
    let w = start(id(1, 0), Run::new(None));
    assert_eq!(w.finish(None, "").unwrap_err(), WriterError::Unfinished);
}

#[test]
fn limits_and_breaks_change_nothing() {
    let mut w = start(id(1, 0), Run::new(None));
    add(&mut w, sample(0, 10, true));
    let max = rotation::MAX_SAMPLE_FILE_BYTES;
    assert_eq!(w.add(sample(3_000, max - 9, false)), Err(WriterError::Full));
    let e = w.add(sample(90_000 * 90, 10, true)).unwrap_err();
    assert!(
        matches!(
            e,
            WriterError::NewRun {
                cause: GapCause::Camera,
                ..
            }
        ),
        "{e}"
    );
    let early = NewSample {
        arrival: T0 - Duration90k::from_secs(600),
        ..sample(3_000, 10, false)
    };
    let e = w.add(early).unwrap_err();
    assert!(
        matches!(
            e,
            WriterError::NewRun {
                cause: GapCause::Clock,
                ..
            }
        ),
        "{e}"
    );
    assert_eq!(e.to_string(), "the clock was stepped back by 10 min 00 s");
    add(&mut w, sample(3_000, 10, false));
    let (r, _) = w.finish(None, "").unwrap();
    assert_eq!((r.video_samples, r.start), (2, T0));
    assert_eq!(r.media_duration, Duration90k(6_000));
}

#[test]
fn reordering_that_shows_late_is_in_the_index() {
    let f = FRAME_90K;
    // Nothing says that there are B-frames; they begin with the fifth frame.
    let pts = [0, 1, 2, 5, 3, 4, 8, 6, 7, 11, 9, 10].map(|n| n * f);
    let mut w = start(id(1, 0), Run::new(None));
    for (i, &p) in pts.iter().enumerate() {
        add(&mut w, sample(p, 10 + i as u32, i == 0));
    }
    let (r, run) = w.finish(Some(14 * f), "").unwrap();
    let got = samples(&r);
    assert!(got[..4].iter().all(|s| s.composition_offset_90k == 0));
    // From where the decoding times have caught up, the times of presentation are right again.
    for (s, p) in got.iter().zip(pts).skip(7) {
        assert_eq!(s.media_start_90k + i64::from(s.composition_offset_90k), p);
    }
    assert_eq!(
        got.iter().map(|s| s.bytes).collect::<Vec<_>>(),
        (10..22).collect::<Vec<_>>()
    );
    // The next recording knows from its start, and goes on in time.
    let mut w = start(id(1, 1), run);
    let pts = [14, 12, 13, 17, 15, 16].map(|n| n * f);
    for (i, &p) in pts.iter().enumerate() {
        add(&mut w, sample(p, 10, i == 0));
    }
    let (next, _) = w.finish(None, "").unwrap();
    for (s, p) in samples(&next).iter().zip(pts) {
        let presented =
            r.media_duration.0 + s.media_start_90k + i64::from(s.composition_offset_90k);
        assert_eq!(presented, p);
    }
}

#[test]
fn a_known_depth_counts_from_the_start() {
    let f = FRAME_90K;
    let mut w = Writer::start(crate::recording::writer::Start {
        id: id(1, 0),
        open: crate::recording::OpenId(1),
        run: Run::new(None),
        sample_entry: entry(1),
        clock_untrusted: true,
    });
    for (i, p) in [0, 3, 1, 2, 6, 4, 5].into_iter().enumerate() {
        add(&mut w, sample(p * f, 10, i == 0));
    }
    let (r, _) = w.finish(None, "").unwrap();
    let offsets: Vec<_> = samples(&r)
        .iter()
        .map(|s| i64::from(s.composition_offset_90k) / f)
        .collect();
    assert_eq!(offsets, [1, 3, 0, 0, 3, 0, 0]);
    assert!(r.clock_untrusted);
}

#[test]
fn the_hash_does_not_depend_on_how_bytes_are_handed_over() {
    let mut r = Pcg32::seed_from_u64(6);
    for _ in 0..100 {
        let mut w = start(id(1, 0), Run::new(None));
        let (mut all, mut waiting) = (Vec::new(), Vec::new());
        for i in 0..100 {
            let mut data = vec![0; 1 + r.next_u32() as usize % 500];
            r.fill_bytes(&mut data);
            w.add(sample(i * 3_000, data.len() as u32, i == 0)).unwrap();
            all.extend_from_slice(&data);
            waiting.extend_from_slice(&data);
            while r.next_u32() % 3 == 0 {
                let some = r.next_u32() as usize % (waiting.len() + 1);
                w.written(&waiting[..some]);
                waiting.drain(..some);
            }
        }
        w.written(&waiting);
        let (recording, _) = w.finish(None, "").unwrap();
        assert_eq!(recording.data_hash, xxh3_128(&all).to_be_bytes());
    }
}

#[test]
fn recordings_of_an_hour_follow_each_other() {
    let (mut pts, mut sequence) = (0, 0);
    let mut run = Run::new(Some(T0 - Duration90k(1)));
    let mut last: Option<Recording> = None;
    for _ in 0..60 {
        let mut w = start(id(1, sequence), run);
        for i in 0..1_800 {
            add(
                &mut w,
                sample(pts, if i % 60 == 0 { 900 } else { 90 }, i % 60 == 0),
            );
            pts += FRAME_90K;
        }
        let (r, next) = w.finish(Some(pts), "").unwrap();
        if let Some(l) = &last {
            assert_eq!(l.start + l.wall_duration, r.start);
        }
        assert_eq!(r.media_duration, Duration90k::from_secs(60));
        (sequence, run) = (sequence + 1, next);
        last = Some(r);
    }
}
