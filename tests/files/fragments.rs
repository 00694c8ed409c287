//! Initialization and media segments, live fragments, scrub streams and subtitles: what ffmpeg makes of
//! them.

use crate::footage::{self, Clip, FRAME, Footage, Frame, GOP, Packet};
use crate::store::{Store, TEN};
use jiff::tz::TimeZone;
use moonfire_nvr::mp4::{File, FragmentSample, Scrub, Segment, fragment, sync_parts};
use moonfire_nvr::recording::Summary;
use moonfire_nvr::time::Duration90k;
use std::path::{Path, PathBuf};

fn write(dir: &Path, parts: &[Vec<u8>]) -> PathBuf {
    let path = dir.join("out.mp4");
    let bytes = parts.concat();
    crate::boxes::check(&bytes);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn init(summary: &Summary) -> Vec<u8> {
    let file = File::init(&summary.sample_entry);
    Store::default().read(&file, 0..file.len())
}

fn hashes<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Vec<&'a str> {
    frames.into_iter().map(|f| f.hash.as_str()).collect()
}

fn packet_hashes(packets: &[Packet]) -> Vec<&str> {
    packets.iter().map(|p| p.hash.as_str()).collect()
}

fn clip(b_frames: u32) -> Footage {
    Clip {
        b_frames,
        ..Clip::SMALL
    }
    .code()
}

#[test]
fn an_initialization_segment_says_what_it_is() {
    let footage = clip(0);
    let mut store = Store::default();
    let r = store.add(&footage, &footage.frames, Duration90k::ZERO);
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), &[init(&r)]);
    // It warns that there is no frame to tell the pixel format from.
    let told = footage::probe(&path, &["-show_streams", "-v", "error"]);
    let stream = &told["streams"][0];
    assert_eq!(stream["codec_name"], "h264", "{told}");
    assert_eq!(
        (&stream["width"], &stream["height"]),
        (&320.into(), &240.into())
    );
    assert_eq!(stream["time_base"], "1/90000");
}

#[test]
fn media_segments_play_behind_an_initialization_segment() {
    for b_frames in [0, 2] {
        let footage = clip(b_frames);
        let mut store = Store::default();
        let (a, b) = footage.frames.split_at(4 * GOP);
        let a = store.add(&footage, a, Duration90k::ZERO);
        let b = store.add(&footage, b, a.wall_duration);
        let first = File::media_segment(&[Segment::whole(a.clone())], 90_000).unwrap();
        // A GOP and a half from within the second GOP on.
        let from = 20 * FRAME;
        let second = store.part(&b, from..from + 20 * FRAME);
        let decode_time = 90_000 + a.media_duration.0 as u64;
        let second = File::media_segment(&[second], decode_time).unwrap();
        assert_eq!(second.leading_duration(), Duration90k(5 * FRAME));
        let dir = tempfile::tempdir().unwrap();
        let read = |file: &File| store.read(file, 0..file.len());
        let path = write(dir.path(), &[init(&a), read(&first), read(&second)]);
        let packets = footage::packets(&path);
        let tail = &footage.frames[5 * GOP..];
        let last = tail.iter().rposition(|f| f.pts < 100 * FRAME).unwrap();
        let expected = footage.frames[..4 * GOP].iter().chain(&tail[..=last]);
        let expected: Vec<&Frame> = expected.collect();
        assert_eq!(packet_hashes(&packets), hashes(expected.clone()));
        assert_eq!(footage::decode(&path), expected.len());
        assert_eq!(packets[0].dts, 90_000);
        let shift = packets[0].pts; // ffmpeg adds the largest negative composition offset to all times.
        for (p, f) in packets.iter().zip(&expected).take(4 * GOP) {
            assert_eq!(
                (p.pts - shift, p.sync),
                (f.pts, f.sync),
                "{b_frames} B-frames"
            );
        }
        assert_eq!(packets[4 * GOP].dts, decode_time as i64);
    }
}

#[test]
fn a_media_segment_spans_recordings() {
    let footage = clip(0);
    let mut store = Store::default();
    let segments: Vec<Segment> = footage
        .frames
        .chunks(2 * GOP)
        .enumerate()
        .map(|(i, frames)| {
            let start = Duration90k((i * 2 * GOP) as i64 * FRAME);
            Segment::whole(store.add(&footage, frames, start))
        })
        .collect();
    let file = File::media_segment(&segments, 0).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let media = store.read(&file, 0..file.len());
    let path = write(dir.path(), &[init(&segments[0].summary), media]);
    let packets = footage::packets(&path);
    assert_eq!(packet_hashes(&packets), hashes(&footage.frames));
    assert!(packets.iter().zip(0..).all(|(p, i)| p.pts == i * FRAME));
    assert_eq!(footage::decode(&path), footage.frames.len());
}

#[test]
fn a_playlists_parts_are_the_recording() {
    for b_frames in [0, 2] {
        let footage = clip(b_frames);
        let mut store = Store::default();
        let r = store.add(&footage, &footage.frames, Duration90k::ZERO);
        let whole = store.with_index(Segment::whole(r.clone()));
        let index = whole.index.unwrap();
        let parts = sync_parts(&index, Duration90k(20 * FRAME)).unwrap();
        assert_eq!(parts.len(), 4); // Of two GOPs each.
        let mut files = vec![init(&r)];
        for p in &parts {
            let segment = store.part(&r, p.range.start.0..p.range.end.0);
            let file = File::media_segment(&[segment], p.range.start.0 as u64).unwrap();
            files.push(store.read(&file, 0..file.len()));
        }
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), &files);
        let packets = footage::packets(&path);
        assert_eq!(packet_hashes(&packets), hashes(&footage.frames));
        let shift = packets[0].pts;
        let times: Vec<i64> = packets.iter().map(|p| p.pts - shift).collect();
        let wanted: Vec<i64> = footage.frames.iter().map(|f| f.pts).collect();
        assert_eq!(times, wanted);
        assert_eq!(footage::decode(&path), footage.frames.len());
    }
}

#[test]
fn live_fragments_of_a_frame_each_play() {
    for b_frames in [0, 2] {
        let footage = clip(b_frames);
        let mut store = Store::default();
        let r = store.add(&footage, &footage.frames, Duration90k::ZERO);
        let mut parts = vec![init(&r)];
        let base = footage.frames[0].pts - footage.frames[0].dts;
        for (f, number) in footage.frames.iter().zip(1..) {
            let sample = FragmentSample {
                bytes: f.bytes.len() as u32,
                duration_90k: f.duration as u32,
                composition_offset_90k: (f.pts - f.dts - base) as i32,
                is_sync: f.sync,
            };
            let first = (1 << 33) + (f.dts - footage.frames[0].dts) as u64;
            parts.push(fragment(number, first, &[sample]));
            parts.push(f.bytes.clone());
        }
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), &parts);
        let packets = footage::packets(&path);
        assert_eq!(packet_hashes(&packets), hashes(&footage.frames));
        assert_eq!(packets[0].dts, 1 << 33);
        for (p, f) in packets.iter().zip(&footage.frames) {
            assert_eq!((p.pts - packets[0].pts, p.sync), (f.pts, f.sync));
        }
        assert_eq!(footage::decode(&path), footage.frames.len());
    }
}

#[test]
fn a_scrub_stream_shows_the_sync_samples() {
    let footage = clip(0);
    let mut store = Store::default();
    let (a, b) = footage.frames.split_at(4 * GOP);
    let a = store.add(&footage, a, Duration90k::ZERO);
    let b = store.add(&footage, b, a.wall_duration + Duration90k::from_secs(100));
    let mut scrub = Scrub::new(TEN, Duration90k::ZERO);
    for r in [a, b] {
        scrub.add(&store.with_index(Segment::whole(r))).unwrap();
    }
    let file = scrub.finish(true).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = store.write(&file, dir.path());
    let packets = footage::packets(&path);
    let sync = footage.frames.iter().filter(|f| f.sync);
    assert_eq!(packet_hashes(&packets), hashes(sync));
    let gop = GOP as i64 * FRAME;
    for (p, i) in packets.iter().zip(0..) {
        let gap = if i < 4 { 0 } else { 100 * 90_000 };
        assert_eq!((p.pts, p.sync), (i * gop + gap, true));
    }
    assert_eq!(footage::decode(&path), 8);
}

#[test]
fn a_scrub_stream_of_two_formats_is_two_that_play() {
    let (width, height) = (160, 120);
    let small = Clip {
        width,
        height,
        ..Clip::SMALL
    };
    let (large, small) = (clip(0), small.code());
    let mut store = Store::default();
    let a = store.add(&large, &large.frames, Duration90k::ZERO);
    let b = store.add(&small, &small.frames, a.wall_duration);
    let mut scrub = Scrub::new(TEN, Duration90k::ZERO);
    for r in [a, b] {
        scrub.add(&store.with_index(Segment::whole(r))).unwrap();
    }
    let file = scrub.finish(true).unwrap();
    let bytes = store.read(&file, 0..file.len());
    let dir = tempfile::tempdir().unwrap();
    let inits: Vec<usize> = (4..bytes.len() - 4)
        .filter(|&i| bytes[i..i + 4] == *b"ftyp")
        .map(|i| i - 4)
        .collect();
    let [0, change] = inits[..] else {
        panic!("initialization segments at {inits:?}");
    };
    for (bytes, footage) in [(&bytes[..change], &large), (&bytes[change..], &small)] {
        let path = write(dir.path(), &[bytes.to_vec()]);
        let sync = footage.frames.iter().filter(|f| f.sync);
        assert_eq!(packet_hashes(&footage::packets(&path)), hashes(sync));
        assert_eq!(footage::decode(&path), footage.frames.len() / GOP);
    }
}

#[test]
fn subtitles_tell_the_time_of_day() {
    let footage = clip(2);
    let mut store = Store::default();
    let (a, b) = footage.frames.split_at(4 * GOP);
    let a = store.add(&footage, a, Duration90k::ZERO);
    let b = store.add(&footage, b, Duration90k::from_secs(60));
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    // Half a second into the first to the end of the second.
    let segments = [store.part(&a, 15 * FRAME..i64::MAX), Segment::whole(b)];
    let file = File::movie(&segments, Some(&zone)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = store.write(&file, dir.path());
    // The picture is as it is without them.
    assert_eq!(footage::decode(&path), 105);
    let told = footage::probe(
        &path,
        &["-select_streams", "s", "-show_streams", "-show_packets"],
    );
    let stream = &told["streams"][0];
    assert_eq!(stream["codec_name"], "mov_text", "{told}");
    assert_eq!(stream["codec_tag_string"], "tx3g");
    let times: Vec<(i64, i64)> = told["packets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["pts"].as_i64().unwrap(), p["duration"].as_i64().unwrap()))
        .collect();
    let s = 90_000;
    assert_eq!(
        times,
        [(0, s / 2), (s / 2, s), (s * 3 / 2, s), (s * 5 / 2, s),]
    );
    let text = footage::subtitles(&path);
    let wanted = [
        "2026-11-22 11:00:00 +01:00",
        "2026-11-22 11:00:01 +01:00",
        "2026-11-22 11:01:00 +01:00",
        "2026-11-22 11:01:01 +01:00",
    ];
    let lines: Vec<&str> = text.lines().filter(|l| l.starts_with("2026")).collect();
    assert_eq!(lines, wanted, "{text}");
}
