//! What a day of twelve streams writes to the flash: bytes that SQLite hands to the kernel, and bytes that
//! reach the block device that the folder is on.
//!
//! `cargo bench --bench flash -- --dir DIR [--pause-ms N]`
//!
//! The device should be used by nobody else, and a commit's minute passes in `--pause-ms`, so its file
//! system should write what lies about that much more often: of ext4, `-o commit=1` and `--pause-ms 1100`.

use clap::Parser;
use moonfire_nvr::config::{CameraConfig, Secret, StreamConfig};
use moonfire_nvr::db::{Database, Delete, Flush, Mode, Reply, Request};
use moonfire_nvr::h264::VideoSampleEntry;
use moonfire_nvr::recording::index::{IndexEncoder, Sample};
use moonfire_nvr::recording::{DirId, OpenId, Recording, RecordingId, StreamId};
use moonfire_nvr::time::{Duration90k, Wall90k};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const TEN: Wall90k = Wall90k::from_unix_secs(1_795_341_600);
const MINUTE: Duration90k = Duration90k::from_secs(60);
const STREAMS: i32 = 12;
/// Recordings of each stream that are kept; then as many are given up as come.
const KEPT: u32 = 300;

#[derive(Parser)]
struct Arguments {
    /// A folder for the database, which is removed at the end.
    #[arg(long)]
    dir: PathBuf,
    /// Minutes of recordings to count. The write-ahead log should go round more than once.
    #[arg(long, default_value_t = 200)]
    minutes: u32,
    /// How long a minute takes.
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
    /// Frames a second of the six sub streams; the six main streams have 30.
    #[arg(long, default_value_t = 10)]
    sub_fps: u32,
    /// How far durations are spread, in units of 1/90,000 s.
    #[arg(long, default_value_t = 0)]
    jitter: u32,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let dir = tempfile::tempdir_in(&arguments.dir).unwrap();
    let mut steady = Steady::new(dir.path(), &arguments);
    for _ in 0..KEPT * 3 / 2 {
        steady.minute();
    }
    let before = (handed_over(), written(dir.path()));
    let mut index_bytes = 0;
    for _ in 0..arguments.minutes {
        index_bytes += steady.minute();
        std::thread::sleep(Duration::from_millis(arguments.pause_ms));
    }
    let after = (handed_over(), written(dir.path()));
    let a_day = |bytes: u64| bytes as f64 / f64::from(arguments.minutes) * 1_440.0 / 1e6;
    println!(
        "sample indexes in memory: {:.0} MB a day",
        a_day(index_bytes)
    );
    println!(
        "handed over by SQLite: {:.0} MB a day",
        a_day(after.0 - before.0)
    );
    match (before.1, after.1) {
        (Some(before), Some(after)) => {
            println!(
                "written to the device: {:.0} MB a day",
                a_day(after - before)
            );
        }
        _ => println!("written to the device: not known, as there is none"),
    }
}

/// Bytes that this thread has handed to the kernel for writing.
fn handed_over() -> u64 {
    let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let wchar = io.lines().find_map(|l| l.strip_prefix("wchar: "));
    wchar.unwrap().parse().unwrap()
}

/// Bytes that were written to the block device of a folder, the kernel's Documentation/block/stat.rst.
fn written(dir: &Path) -> Option<u64> {
    let device = std::fs::metadata(dir).unwrap().dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).ok()?;
    let sectors: u64 = stat.split_whitespace().nth(6)?.parse().ok()?;
    Some(sectors * 512)
}

/// A recorder that has been running for long.
struct Steady {
    db: Database,
    open: OpenId,
    entry: Arc<VideoSampleEntry>,
    sequence: u32,
    unlinked: Vec<RecordingId>,
    rng: Pcg32,
    sub_fps: u32,
    jitter: u32,
}

impl Steady {
    fn new(dir: &Path, arguments: &Arguments) -> Steady {
        let mut db = Database::open(dir, Mode::Create, 1).unwrap();
        let camera = |n: i32| CameraConfig {
            name: format!("camera {n}"),
            description: String::new(),
            username: String::new(),
            password: Secret(String::new()),
            main: Some(StreamConfig::new(&format!("rtsp://192.0.2.{n}/main"))),
            sub: Some(StreamConfig::new(&format!("rtsp://192.0.2.{n}/sub"))),
        };
        let start = Request::Start {
            wall: TEN,
            sample_dirs: vec!["/a".into()],
            cameras: (0..STREAMS / 2).map(camera).collect(),
        };
        let Ok(Reply::Snapshot(snapshot)) = db.handle(start) else {
            panic!("it did not start");
        };
        Steady {
            open: snapshot.open,
            db,
            entry: Arc::new(VideoSampleEntry {
                width: 1920,
                height: 1080,
                pixel_h_spacing: 1,
                pixel_v_spacing: 1,
                rfc6381_codec: "avc1.4d401f".to_owned(),
                avcc: vec![1; 40],
                reorder_frames: 0,
            }),
            sequence: 0,
            unlinked: Vec::new(),
            rng: Pcg32::seed_from_u64(1),
            sub_fps: arguments.sub_fps,
            jitter: arguments.jitter,
        }
    }

    /// One commit: each stream adds a recording and gives up its oldest. Tells its indexes' bytes.
    fn minute(&mut self) -> u64 {
        let streams = (1..=STREAMS).map(StreamId);
        let recordings: Vec<_> = streams
            .clone()
            .map(|s| (DirId(1), self.recording(s)))
            .collect();
        let index_bytes = recordings.iter().map(|(_, r)| r.index.len() as u64).sum();
        let flush = Flush {
            wall: TEN + Duration90k(MINUTE.0 * i64::from(self.sequence)),
            recordings,
            delete: streams
                .filter(|_| self.sequence >= KEPT)
                .map(|stream| Delete::StreamBytes { stream, bytes: 1 })
                .collect(),
            unlinked: std::mem::take(&mut self.unlinked),
            ..Flush::default()
        };
        let Ok(Reply::Flushed(flushed)) = self.db.handle(Request::Flush(Box::new(flush))) else {
            panic!("it was not committed");
        };
        self.unlinked = flushed.garbage.iter().map(|g| g.id).collect();
        self.sequence += 1;
        index_bytes
    }

    /// A minute of a camera: the even streams are sub streams.
    fn recording(&mut self, stream: StreamId) -> Recording {
        let (fps, mean) = match stream.0 % 2 {
            1 => (30, 12_000),
            _ => (self.sub_fps, 4_000),
        };
        let (mut index, mut bytes, mut media_duration) = (Vec::new(), 0, 0);
        let mut encoder = IndexEncoder::new(&mut index, false);
        for i in 0..fps * 60 {
            let is_sync = i % (2 * fps) == 0;
            // Sizes are spread about their mean by a twelfth of it, as those of a still scene are.
            let spread: u32 = (0..3).map(|_| self.rng.next_u32() % (mean / 3)).sum();
            let sample = Sample {
                media_start_90k: 0, // Follows from the samples before.
                duration_90k: (90_000 / fps + self.rng.next_u32() % (self.jitter + 1)) as i32,
                composition_offset_90k: 0,
                offset: 0, // Likewise.
                bytes: mean / 2 + spread + if is_sync { mean * 5 } else { 0 },
                is_sync,
            };
            encoder.add(&mut index, &sample);
            bytes += sample.bytes;
            media_duration += i64::from(sample.duration_90k);
        }
        Recording {
            id: RecordingId {
                stream,
                sequence: self.sequence,
            },
            open: self.open,
            run_offset: self.sequence,
            start: TEN + Duration90k(MINUTE.0 * i64::from(self.sequence)),
            wall_duration: MINUTE,
            media_duration: Duration90k(media_duration),
            clock_untrusted: false,
            sample_file_bytes: bytes,
            video_samples: fps * 60,
            video_sync_samples: 30,
            sample_entry: self.entry.clone(),
            index,
            data_hash: [0; 16],
            chain_hash: [0; 32],
            end_reason: String::new(),
        }
    }
}
