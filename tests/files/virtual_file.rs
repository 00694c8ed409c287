//! `mp4::File`: what players make of it, and that any range of it is the whole file's bytes there.

use crate::footage::{self, Clip, FRAME, Frame, GOP};
use crate::store::{Store, TEN};
use moonfire_nvr::mp4::{File, Segment};
use moonfire_nvr::time::Duration90k;
use rand_core::RngCore;

/// Writes the file and checks what holds for all: it decodes without a warning, shows `shown` frames,
/// and its packets are `expected`, byte for byte. Returns the packets.
fn check(store: &Store, file: &File, shown: usize, expected: &[&Frame]) -> Vec<footage::Packet> {
    let dir = tempfile::tempdir().unwrap();
    let path = store.write(file, dir.path());
    let packets = footage::packets(&path);
    let hashes: Vec<&str> = packets.iter().map(|p| p.hash.as_str()).collect();
    let wanted: Vec<&str> = expected.iter().map(|f| f.hash.as_str()).collect();
    assert_eq!(hashes, wanted);
    assert_eq!(footage::decode(&path), shown);
    let told = footage::probe(&path, &["-show_format", "-show_streams"]);
    let seconds = |v: &serde_json::Value| v.as_str().unwrap().parse::<f64>().unwrap();
    let wanted = file.duration().as_secs_f64();
    assert!(
        (seconds(&told["format"]["duration"]) - wanted).abs() < 0.001,
        "{told}"
    );
    assert_eq!(seconds(&told["format"]["start_time"]), 0.0, "{told}");
    packets
}

#[test]
fn whole_recordings_play_without_a_seam() {
    let footage = Clip::SMALL.code();
    let mut store = Store::default();
    let (a, b) = footage.frames.split_at(4 * GOP);
    let a = store.add(&footage, a, Duration90k::ZERO);
    let b = store.add(&footage, b, a.wall_duration);
    let file = File::movie(&[Segment::whole(a), Segment::whole(b)], None).unwrap();
    let all: Vec<&Frame> = footage.frames.iter().collect();
    let packets = check(&store, &file, all.len(), &all);
    for (i, p) in packets.iter().enumerate() {
        assert_eq!((p.pts, p.dts), (i as i64 * FRAME, i as i64 * FRAME));
        assert_eq!(p.sync, i % GOP == 0);
        assert!(!p.hidden);
    }
    assert_eq!(file.duration(), Duration90k(120 * FRAME));
}

#[test]
fn reordered_frames_keep_their_times() {
    let footage = Clip {
        b_frames: 2,
        ..Clip::SMALL
    }
    .code();
    assert!(
        footage.frames.iter().any(|f| f.pts < f.dts),
        "no frame is reordered"
    );
    let mut store = Store::default();
    let (a, b) = footage.frames.split_at(2 * GOP);
    let a = store.add(&footage, a, Duration90k::ZERO);
    let b = store.add(&footage, b, a.wall_duration);
    let file = File::movie(&[Segment::whole(a), Segment::whole(b)], None).unwrap();
    let all: Vec<&Frame> = footage.frames.iter().collect();
    let packets = check(&store, &file, all.len(), &all);
    let times: Vec<i64> = packets.iter().map(|p| p.pts).collect();
    let wanted: Vec<i64> = footage.frames.iter().map(|f| f.pts).collect();
    assert_eq!(times, wanted);
}

#[test]
fn a_start_within_a_gop_is_hidden_up_to() {
    for b_frames in [0, 2] {
        let footage = Clip {
            b_frames,
            ..Clip::SMALL
        }
        .code();
        let mut store = Store::default();
        let r = store.add(&footage, &footage.frames, Duration90k::ZERO);
        // From the 20th frame on: the sync sample before it is the 15th.
        let segment = store.part(&r, 20 * FRAME..50 * FRAME);
        let file = File::movie(&[segment], None).unwrap();
        let expected: Vec<&Frame> = footage
            .frames
            .iter()
            .filter(|f| {
                // With reordering, those that are presented after the end but decoded before a shown one.
                let last = footage
                    .frames
                    .iter()
                    .rposition(|f| f.pts < 50 * FRAME)
                    .unwrap();
                f.dts >= 15 * FRAME && f.dts <= footage.frames[last].dts
            })
            .collect();
        let packets = check(&store, &file, 30, &expected);
        assert_eq!(packets.iter().filter(|p| p.hidden && p.pts < 0).count(), 5);
        assert_eq!(file.duration(), Duration90k(30 * FRAME));
    }
}

#[test]
fn a_span_across_two_recordings_begins_and_ends_within_them() {
    let footage = Clip::SMALL.code();
    let mut store = Store::default();
    let (a, b) = footage.frames.split_at(2 * GOP);
    let a = store.add(&footage, a, Duration90k::ZERO);
    // Nothing was recorded for a minute.
    let b = store.add(&footage, b, a.wall_duration + Duration90k::from_secs(60));
    // Half a frame's time into the 18th frame, and out of the 40th.
    let wall =
        TEN + Duration90k(18 * FRAME + FRAME / 2)..b.start + Duration90k(10 * FRAME + FRAME / 2);
    let segments: Vec<Segment> = [a, b]
        .into_iter()
        .filter_map(|r| Some(store.with_index(Segment::within(r, &wall)?)))
        .collect();
    assert_eq!(segments.len(), 2);
    let file = File::movie(&segments, None).unwrap();
    assert_eq!(file.duration(), Duration90k(22 * FRAME));
    let expected: Vec<&Frame> = footage.frames[15..41].iter().collect();
    // ffmpeg leaves out the frame that is half hidden.
    check(&store, &file, 22, &expected);
}

#[test]
fn segments_that_begin_within_a_gop_can_follow_others() {
    let footage = Clip::SMALL.code();
    let mut store = Store::default();
    let r = store.add(&footage, &footage.frames, Duration90k::ZERO);
    // Each of 10 frames, the last one but one begins within a GOP.
    let segments =
        [5, 33, 60, 100].map(|first| store.part(&r, first * FRAME..(first + 10) * FRAME));
    let file = File::movie(&segments, None).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = store.write(&file, dir.path());
    assert_eq!(file.duration(), Duration90k(40 * FRAME));
    let shown: Vec<String> = {
        let mut p: Vec<_> = footage::packets_of_several_edits(&path)
            .into_iter()
            .filter(|p| !p.hidden)
            .collect();
        p.sort_by_key(|p| p.pts);
        p.into_iter().map(|p| p.hash).collect()
    };
    let mut wanted: Vec<&Frame> = footage.frames.iter().collect();
    wanted.sort_by_key(|f| f.pts);
    let wanted: Vec<&String> = [5usize, 33, 60, 100]
        .iter()
        .flat_map(|&i| &wanted[i..i + 10])
        .map(|f| &f.hash)
        .collect();
    assert_eq!(shown.iter().collect::<Vec<_>>(), wanted);
}

#[test]
fn the_picture_size_may_change() {
    let small = Clip {
        seconds: 1,
        ..Clip::SMALL
    }
    .code();
    let large = Clip {
        width: 640,
        height: 360,
        seconds: 1,
        b_frames: 0,
    }
    .code();
    let mut store = Store::default();
    let a = store.add(&small, &small.frames, Duration90k::ZERO);
    let b = store.add(&large, &large.frames, a.wall_duration);
    let segments = [&a, &b, &b, &a].map(|r| Segment::whole(r.clone()));
    let file = File::movie(&segments, None).unwrap();
    let expected: Vec<&Frame> = [&small, &large, &large, &small]
        .iter()
        .flat_map(|f| &f.frames)
        .collect();
    check(&store, &file, 120, &expected);
    let head = store.read(&file, 0..file.len());
    assert_eq!(
        head.windows(4).filter(|w| w == b"avc1").count(),
        2 + 1,
        "two and the brand"
    );
    let tkhd = head.windows(4).position(|w| w == b"tkhd").unwrap();
    assert_eq!(
        head[tkhd + 92..][..8],
        [640u32 << 16, 360 << 16].map(u32::to_be_bytes).concat()
    );
}

#[test]
fn a_single_frame_is_a_file() {
    let footage = Clip {
        seconds: 1,
        ..Clip::SMALL
    }
    .code();
    let mut store = Store::default();
    let r = store.add(&footage, &footage.frames, Duration90k::ZERO);
    for i in [0, 7, 15, 29] {
        let segment = store.part(&r, i * FRAME..i * FRAME + 1);
        let file = File::movie(&[segment], None).unwrap();
        let first = i as usize / GOP * GOP;
        let expected: Vec<&Frame> = footage.frames[first..=i as usize].iter().collect();
        let dir = tempfile::tempdir().unwrap();
        let path = store.write(&file, dir.path());
        let hashes: Vec<String> = footage::packets(&path)
            .into_iter()
            .map(|p| p.hash)
            .collect();
        assert_eq!(
            hashes,
            expected.iter().map(|f| f.hash.clone()).collect::<Vec<_>>()
        );
        assert_eq!(footage::decode(&path), 1, "frame {i}");
    }
}

#[test]
fn ranges_are_the_whole_files_bytes() {
    let footage = Clip {
        b_frames: 2,
        ..Clip::SMALL
    }
    .code();
    let mut store = Store::default();
    let mut segments = Vec::new();
    for (i, frames) in footage.frames.chunks(GOP).enumerate() {
        let start = Duration90k(i as i64 * GOP as i64 * FRAME);
        segments.push(Segment::whole(store.add(&footage, frames, start)));
    }
    let file = File::movie(&segments, None).unwrap();
    let whole = store.read(&file, 0..file.len());
    assert_eq!(whole.len() as u64, file.len());
    let mut random = rand_pcg::Pcg32::new(1, 1);
    let mdat = whole.windows(4).position(|w| w == b"mdat").unwrap() as u64;
    for round in 0..2_000 {
        // Half of them within the boxes, where the slices are short.
        let end = if round % 2 == 0 { mdat } else { file.len() };
        let a = random.next_u64() % (end + 10);
        let b = a + random.next_u64() % (end + 10);
        let range = a.min(file.len()) as usize..b.min(file.len()) as usize;
        assert_eq!(store.read(&file, a..b), whole[range], "{a}..{b}");
    }
    for at in 0..mdat {
        assert_eq!(
            store.read(&file, at..at + 1),
            whole[at as usize..][..1],
            "{at}"
        );
    }
}
