//! Pictures by the real helper: right ones, huge ones, and damaged ones by the hundred.

use super::key_frame::{self, KeyFrame};
use super::*;
use ffmpeg_next as ffmpeg;
use ffmpeg_next::util::{format::Pixel, frame};
use moonfire_nvr::decoder::{Fault, MAX_JPEG_BYTES, MAX_SAMPLE_BYTES};
use moonfire_nvr::h264::VideoSampleEntry;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::sync::Arc;
use std::thread;

/// How many key frames are damaged, each in its own way.
const MUTATIONS: usize = 400;

/// The most memory that the helper may really use, for a 4K picture in full size.
const MAX_RESIDENT_KIB: u64 = 160 << 10;

fn jpeg(keeper: &mut Keeper, request: Request) -> Vec<u8> {
    match keeper.handle(request) {
        Ok(Reply::Picture(jpeg)) => jpeg,
        other => panic!("no picture: {other:?}"),
    }
}

/// Width and height, and red, green and blue at points given in percent.
fn look_at(jpeg: &[u8], points: &[(usize, usize)]) -> ((u32, u32), Vec<[u8; 3]>) {
    let codec = ffmpeg::decoder::find(ffmpeg::codec::Id::MJPEG).unwrap();
    let context = ffmpeg::codec::Context::new_with_codec(codec);
    let mut decoder = context.decoder().video().unwrap();
    decoder.send_packet(&ffmpeg::Packet::copy(jpeg)).unwrap();
    let mut picture = frame::Video::empty();
    decoder.receive_frame(&mut picture).unwrap();
    let (width, height) = (picture.width(), picture.height());
    let mut to_rgb = ffmpeg::software::converter((width, height), picture.format(), Pixel::RGB24);
    let mut rgb = frame::Video::empty();
    to_rgb.as_mut().unwrap().run(&picture, &mut rgb).unwrap();
    let at = |&(x, y): &(usize, usize)| {
        let (x, y) = (width as usize * x / 100, height as usize * y / 100);
        let start = y * rgb.stride(0) + 3 * x;
        [0, 1, 2].map(|i| rgb.data(0)[start + i])
    };
    ((width, height), points.iter().map(at).collect())
}

#[test]
fn a_key_frame_becomes_a_jpeg_of_the_right_size_and_colours() {
    let _alone = alone();
    let mut keeper = keeper(LIMITS);
    let frame = key_frame::of_two_colours(1920, 1080);
    for (max_width, size) in [
        (320, (320, 180)),
        (u32::MAX, (1920, 1080)),
        (641, (641, 361)),
    ] {
        let jpeg = jpeg(&mut keeper, frame.request(max_width));
        let (is, colours) = look_at(&jpeg, &[(50, 25), (50, 75)]);
        assert_eq!(is, size);
        for (expected, is) in [[40, 60, 210], [230, 140, 20]].iter().zip(&colours) {
            let off = expected.iter().zip(is).map(|(a, b)| u8::abs_diff(*a, *b));
            assert!(off.max() <= Some(10), "{is:?}, not {expected:?}");
        }
    }
}

#[test]
fn a_4k_picture_fits_in_its_memory() {
    let _alone = alone();
    let mut keeper = keeper(LIMITS);
    let frame = key_frame::of_scene(3840, 2160);
    for (max_width, size) in [(320, (320, 180)), (u32::MAX, (3840, 2160))] {
        let jpeg = jpeg(&mut keeper, frame.request(max_width));
        assert_eq!(look_at(&jpeg, &[]).0, size);
    }
    let pid = keeper.process_id().unwrap();
    let most = status_of(pid, "VmHWM").unwrap();
    let most: u64 = most.trim_end_matches("kB").trim().parse().unwrap();
    assert!(most < MAX_RESIDENT_KIB, "{most} KiB");
}

#[test]
fn what_is_too_large_is_refused_or_scaled() {
    let _alone = alone();
    let mut keeper = keeper(LIMITS);
    let small = key_frame::small();
    let says = |width, height, avcc: Vec<u8>| {
        let entry = VideoSampleEntry {
            width,
            height,
            avcc,
            ..(*small.entry).clone()
        };
        let entry = Arc::new(entry);
        KeyFrame {
            entry,
            sample: small.sample.clone(),
        }
    };
    let avcc = || small.entry.avcc.clone();
    for frame in [
        says(8193, 16, avcc()),
        says(16, 8200, avcc()),
        says(8192, 8192, avcc()),
        says(320, 180, vec![1; 70_000]),
        KeyFrame {
            entry: small.entry.clone(),
            sample: vec![0; MAX_SAMPLE_BYTES + 1],
        },
    ] {
        assert_eq!(keeper.handle(frame.request(320)), Err(Error::TooLarge));
    }
    assert_eq!(keeper.process_id(), None, "nobody had to be asked");
    // What the stream itself says counts: here twice the pixels that are allowed.
    let huge = key_frame::of_two_colours(8192, 4096);
    let lying = KeyFrame {
        entry: Arc::new(VideoSampleEntry {
            width: 320,
            height: 180,
            ..(*huge.entry).clone()
        }),
        sample: huge.sample.clone(),
    };
    let result = keeper.handle(lying.request(320));
    assert!(matches!(result, Err(Error::Undecodable(_))), "{result:?}");
    // The largest that is allowed.
    let large = key_frame::of_two_colours(4096, 4096);
    let thumbnail = jpeg(&mut keeper, large.request(320));
    assert_eq!(look_at(&thumbnail, &[]).0, (320, 320));
    let full = jpeg(&mut keeper, large.request(u32::MAX));
    assert_eq!(look_at(&full, &[]).0, (3072, 3072));
}

/// Damages bytes: flips, overwrites, cuts, doubles or leaves out some.
fn damage(bytes: &mut Vec<u8>, random: &mut Pcg64Mcg) {
    let mut below = |n: usize| random.next_u64() as usize % n.max(1);
    for _ in 0..1 + below(3) {
        let at = below(bytes.len());
        let len = 1 + below(32).min(bytes.len().saturating_sub(at + 1));
        match below(8) {
            _ if bytes.is_empty() => {}
            0..=3 => bytes[at] ^= 1 << below(8),
            4 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(5)],
            5 => bytes.truncate(at),
            6 => drop(bytes.drain(at..at + len.min(bytes.len() - at))),
            _ => {
                let again = bytes[at..at + len.min(bytes.len() - at)].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
}

#[test]
fn damaged_key_frames_give_errors_or_pictures() {
    let _alone = alone();
    let mut keeper = keeper(LIMITS);
    let whole = key_frame::small();
    let mut random = Pcg64Mcg::seed_from_u64(20);
    let (mut pictures, mut refused, mut crashed) = (0, 0, 0);
    for n in 0..MUTATIONS {
        let mut frame = whole.clone();
        // The parameter sets decide most, and are small.
        if n % 3 == 0 {
            damage(&mut Arc::make_mut(&mut frame.entry).avcc, &mut random);
        } else {
            damage(&mut frame.sample, &mut random);
        }
        match keeper.handle(frame.request(160)) {
            Ok(Reply::Picture(jpeg)) => {
                assert!(jpeg.len() <= MAX_JPEG_BYTES);
                look_at(&jpeg, &[(50, 50)]);
                pictures += 1;
            }
            Err(Error::Undecodable(_) | Error::TooLarge | Error::Unencodable) => refused += 1,
            // It would be FFmpeg's mistake, and must not be ours.
            Err(Error::Crashed(_) | Error::TimedOut(_) | Error::Unavailable(_)) => crashed += 1,
            other => panic!("{n}: {other:?}"),
        }
    }
    println!("{pictures} pictures, {refused} refused, {crashed} crashed");
    assert!(refused > MUTATIONS / 4, "{refused}");
    assert!(pictures > 0, "not all damage is seen");
    wait_until(|| keeper.handle(whole.request(160)).is_ok());
}

#[test]
fn what_is_missing_is_not_made_up() {
    let _alone = alone();
    let mut keeper = keeper(LIMITS);
    let whole = key_frame::small();
    let mut cut = whole.clone();
    let len = cut.sample.len();
    cut.sample.truncate(len * 2 / 3);
    let result = keeper.handle(cut.request(160));
    assert_eq!(result, Err(Error::Undecodable(Fault::Damaged)));
}

#[test]
fn killed_in_the_middle_it_is_one_failed_request() {
    let _alone = alone();
    let mut keeper = keeper(LIMITS);
    let frame = key_frame::of_scene(3840, 2160);
    jpeg(&mut keeper, key_frame::small().request(320));
    // Caught in its work it has to be: it may be done before it is stopped.
    for _ in 0..20 {
        let pid = keeper.process_id().unwrap();
        let request = frame.request(u32::MAX);
        let asking = thread::spawn(move || {
            let result = keeper.handle(request);
            (keeper, result)
        });
        wait_until(|| state_of(pid) == Some('R') || asking.is_finished());
        stop(pid);
        let caught = !asking.is_finished();
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
        let result;
        (keeper, result) = asking.join().unwrap();
        if caught {
            let Err(Error::Crashed(how)) = &result else {
                panic!("{result:?}");
            };
            assert!(how.contains("signal: 9"), "{how}");
            assert_eq!((state_of(pid), keeper.process_id()), (None, None));
            wait_until(|| keeper.handle(key_frame::small().request(320)).is_ok());
            return;
        }
    }
    panic!("it was never caught");
}

#[test]
fn who_has_seen_pictures_sees_no_passwords() {
    let _alone = alone();
    let mut keeper = keeper(LIMITS);
    let picture = || key_frame::small().request(160);
    let mut pids = Vec::new();
    for request in [picture(), picture(), hash("correct horse"), picture()] {
        keeper.handle(request).unwrap();
        pids.push(keeper.process_id().unwrap());
    }
    assert_eq!(pids[0], pids[1]);
    assert!(pids[1] != pids[2] && pids[2] != pids[3]);
    assert_eq!((state_of(pids[0]), state_of(pids[2])), (None, None));
}

/// Not a test: what the design document's table comes from. Run it with `--release -- --ignored`.
#[test]
#[ignore = "measures, for design/decoder.md"]
fn measure() {
    let _alone = alone();
    let timed = |keeper: &mut Keeper, request: Request| {
        let began = Instant::now();
        let reply = keeper.handle(request).unwrap();
        let len = match reply {
            Reply::Picture(jpeg) => jpeg.len(),
            _ => 0,
        };
        (began.elapsed().as_secs_f64() * 1000.0, len)
    };
    let resident = |keeper: &Keeper| {
        let pid = keeper.process_id().unwrap();
        ["VmHWM", "VmRSS", "VmData", "VmSize"].map(|n| status_of(pid, n).unwrap())
    };
    let mut small = keeper(LIMITS);
    let first = timed(&mut small, key_frame::small().request(320)).0;
    println!(
        "start and first small picture: {first:.1} ms, {:?}",
        resident(&small)
    );
    for (width, height) in [(640, 360), (1920, 1080), (3840, 2160)] {
        let frame = key_frame::of_scene(width, height);
        for max_width in [320, u32::MAX] {
            let mut keeper = keeper(LIMITS);
            timed(&mut keeper, key_frame::small().request(320));
            let mut times: Vec<_> = (0..15)
                .map(|_| timed(&mut keeper, frame.request(max_width)))
                .collect();
            times.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (ms, len) = times[times.len() / 2];
            let sample = frame.sample.len();
            let memory = resident(&keeper);
            println!(
                "{width}x{height} ({sample} B) to {max_width}: {ms:.1} ms, {len} B, {memory:?}"
            );
        }
    }
    let mut keeper = keeper(LIMITS);
    timed(&mut keeper, hash("correct horse"));
    let ms = timed(&mut keeper, verify("correct horse", password::DECOY)).0;
    println!("password: {ms:.1} ms, {:?}", resident(&keeper));
}
