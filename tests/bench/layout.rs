//! What it costs to begin a file of 24 hours: 1,440 recordings of 1,800 frames, among those of five
//! other streams, asked of a database on disk that was just opened.
//!
//! `cargo bench --bench layout`

use moonfire_nvr::config::{CameraConfig, Secret, StreamConfig};
use moonfire_nvr::db::{Database, Flush, MAX_INDEXES, MAX_SUMMARIES, Mode, Reply, Request, Which};
use moonfire_nvr::h264::VideoSampleEntry;
use moonfire_nvr::mp4::{File, Piece, Segment};
use moonfire_nvr::recording::index::{IndexEncoder, Sample};
use moonfire_nvr::recording::{DirId, OpenId, Recording, RecordingId, StreamId, Summary};
use moonfire_nvr::time::{Duration90k, Wall90k};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TEN: Wall90k = Wall90k::from_unix_secs(1_795_341_600);
const MINUTE: Duration90k = Duration90k::from_secs(60);
const RECORDINGS: u32 = 1_440;
const FRAMES: u32 = 1_800;
const STREAMS: i32 = 6;
const STREAM: StreamId = StreamId(3);

/// How often each thing is done; the least and the middle are told.
const ROUNDS: usize = 21;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let day = TEN..TEN + Duration90k(MINUTE.0 * i64::from(RECORDINGS));

    tell("query, database just opened", || {
        let mut db = Database::open(dir.path(), Mode::ReadOnly, 0).unwrap();
        let started = Instant::now();
        black_box(summaries(&mut db, &day));
        started.elapsed()
    });
    let mut db = Database::open(dir.path(), Mode::ReadOnly, 0).unwrap();
    tell("query", || timed(|| summaries(&mut db, &day)));
    let segments: Vec<Segment> = summaries(&mut db, &day)
        .into_iter()
        .map(Segment::whole)
        .collect();
    assert_eq!(segments.len(), RECORDINGS as usize);
    tell("layout", || timed(|| File::movie(&segments, None).unwrap()));
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    tell("layout with the time of day", || {
        timed(|| File::movie(&segments, Some(&zone)).unwrap())
    });
    tell("layout of a media segment", || {
        timed(|| File::media_segment(&segments, 0).unwrap())
    });
    tell("query, layout and first piece, just opened", || {
        let mut db = Database::open(dir.path(), Mode::ReadOnly, 0).unwrap();
        timed(|| {
            let segments = summaries(&mut db, &day).into_iter().map(Segment::whole);
            let file = File::movie(&segments.collect::<Vec<_>>(), None).unwrap();
            assert!(file.piece(0..file.len()).unwrap().len() > 0);
        })
    });
    let month: Vec<Segment> = (0..30).flat_map(|_| segments.clone()).collect();
    tell("layout of 30 days", || {
        timed(|| File::movie(&month, None).unwrap())
    });
    ranges(&File::movie(&segments, None).unwrap(), &db);
    ranges(&File::movie(&segments[..1], None).unwrap(), &db);
}

fn summaries(db: &mut Database, day: &std::ops::Range<Wall90k>) -> Vec<Summary> {
    let which = Which::Overlapping {
        span: day.clone(),
        after: None,
    };
    db.summaries(STREAM, &which, MAX_SUMMARIES).unwrap()
}

/// Small ranges, and the head as a whole.
fn ranges(file: &File, db: &Database) {
    let head = (0..=file.len() - 1)
        .step_by(1 << 12)
        .find(|&at| matches!(file.piece(at..file.len()), Some(Piece::Samples { .. })));
    let head = head.unwrap();
    let told = format!("of {} recordings", file.segments());
    let far = head + (file.len() - head) / 3 * 2;
    tell(&format!("a piece of the samples {told}"), || {
        timed(|| {
            for i in 0..1_000 {
                let at = black_box(far + i);
                black_box(file.piece(at..at + 4_096));
            }
        }) / 1_000
    });
    tell(&format!("a table's part {told}, index in memory"), || {
        let wanted = file.indexes_wanted(head / 3 * 2..head, 1);
        let index = db.indexes(&wanted).unwrap()[0].1.clone().unwrap();
        let Some(Piece::Table(part)) = file.piece(head / 3 * 2..head) else {
            return Duration::ZERO;
        };
        timed(|| file.table(&part, &index).unwrap())
    });
    tell(
        &format!("the head, {head} bytes, {told}, read in order"),
        || {
            timed(|| {
                let (mut at, mut indexes) = (0, std::collections::HashMap::new());
                while let Some(piece) = file.piece(at..head) {
                    if let Piece::Table(part) = &piece {
                        if !indexes.contains_key(&part.recording) {
                            let wanted = file.indexes_wanted(at..head, MAX_INDEXES);
                            indexes = db.indexes(&wanted).unwrap().into_iter().collect();
                        }
                        let index = indexes[&part.recording].as_ref().unwrap();
                        black_box(file.table(part, index).unwrap());
                    }
                    at += piece.len();
                }
            })
        },
    );
}

fn timed<T>(f: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    black_box(f());
    started.elapsed()
}

fn tell(what: &str, mut f: impl FnMut() -> Duration) {
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| f()).collect();
    times.sort_unstable();
    println!(
        "{what}: {:.2} us, at least {:.2} us",
        times[ROUNDS / 2].as_secs_f64() * 1e6,
        times[0].as_secs_f64() * 1e6
    );
}

/// Commits a day of each stream, minute by minute.
fn fill(dir: &Path) {
    let mut db = Database::open(dir, Mode::Create, 1).unwrap();
    let camera = |n: i32| CameraConfig {
        name: format!("camera {n}"),
        description: String::new(),
        username: String::new(),
        password: Secret(String::new()),
        main: Some(StreamConfig::new("rtsp://192.0.2.1/main")),
        sub: Some(StreamConfig::new("rtsp://192.0.2.1/sub")),
    };
    let start = Request::Start {
        wall: TEN,
        sample_dirs: vec!["/a".into()],
        cameras: (0..STREAMS / 2).map(camera).collect(),
    };
    let Ok(Reply::Snapshot(snapshot)) = db.handle(start) else {
        panic!("it did not start");
    };
    let (index, bytes) = index();
    let entry = Arc::new(VideoSampleEntry {
        width: 1920,
        height: 1080,
        pixel_h_spacing: 1,
        pixel_v_spacing: 1,
        rfc6381_codec: "avc1.4d401f".to_owned(),
        avcc: vec![1; 40],
        reorder_frames: 0,
    });
    for sequence in 0..RECORDINGS {
        let of_stream = |stream: i32| Recording {
            id: RecordingId {
                stream: StreamId(stream),
                sequence,
            },
            open: OpenId(snapshot.open.0),
            run_offset: sequence,
            start: TEN + Duration90k(MINUTE.0 * i64::from(sequence)),
            wall_duration: MINUTE,
            media_duration: Duration90k(i64::from(FRAMES) * 3_000),
            clock_untrusted: false,
            sample_file_bytes: bytes,
            video_samples: FRAMES,
            video_sync_samples: FRAMES / 60,
            sample_entry: entry.clone(),
            index: index.clone(),
            data_hash: [0; 16],
            chain_hash: [0; 32],
            end_reason: String::new(),
        };
        let flush = Flush {
            wall: TEN,
            recordings: (1..=STREAMS).map(|s| (DirId(1), of_stream(s))).collect(),
            ..Flush::default()
        };
        db.handle(Request::Flush(Box::new(flush))).unwrap();
    }
}

/// The index of a minute and its samples' bytes.
fn index() -> (Vec<u8>, u32) {
    let (mut index, mut bytes) = (Vec::new(), 0);
    let mut encoder = IndexEncoder::new(&mut index, false);
    for i in 0..FRAMES {
        let sample = Sample {
            media_start_90k: 0, // Follows from the samples before.
            // A camera whose clock ticks in milliseconds.
            duration_90k: if i % 3 == 2 { 3_060 } else { 2_970 },
            composition_offset_90k: 0,
            offset: 0, // Likewise.
            bytes: 12_000 + i * 7 % 1_000 + if i % 60 == 0 { 100_000 } else { 0 },
            is_sync: i % 60 == 0,
        };
        encoder.add(&mut index, &sample);
        bytes += sample.bytes;
    }
    (index, bytes)
}
