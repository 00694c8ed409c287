//! What there is to read: 62 minutes of a main stream with its sample files, and a month of a sub stream: a day
//! of it has sample files (one, under many names), of the rest the database alone knows.

use moonfire_nvr::config::{CameraConfig, StreamConfig};
use moonfire_nvr::db::{Database, Flush, Mode, Reply, Request};
use moonfire_nvr::h264::VideoSampleEntry;
use moonfire_nvr::recording::index::{IndexEncoder, Sample};
use moonfire_nvr::recording::real_directory::RealDirectory;
use moonfire_nvr::recording::recovery::{AttachRequest, attach};
use moonfire_nvr::recording::{DirIdentity, OpenId, Recording, RecordingId, StreamId};
use moonfire_nvr::time::{Duration90k, Wall90k};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// A month ago, as far as this board knows.
const START: Wall90k = Wall90k::from_unix_secs(1_760_000_000);
const MINUTE: Duration90k = Duration90k::from_secs(60);
const FRAMES: u32 = 1_800;
const HOUR: u32 = 62;
const DAY: u32 = 1_440;
const MONTH: u32 = 43_200;
/// Recordings that are committed together.
const BATCH: u32 = 1_000;

/// Where no camera answers.
const NOBODY: &str = "rtsp://127.0.0.1:9/";

pub struct Store {
    pub camera: Uuid,
    /// The sample files of the hour.
    pub files: Vec<PathBuf>,
    /// Recordings of the main stream, and of a day and all of the sub stream.
    pub hour: u32,
    pub day: u32,
    pub month: u32,
}

impl Store {
    /// The URL of the first `n` recordings of a stream.
    pub fn file(&self, stream: &str, n: u32) -> String {
        let last = n - 1;
        format!("/api/cameras/{}/{stream}/view.mp4?s=0-{last}", self.camera)
    }

    /// Makes database, sample directory and configuration in `dir`.
    pub fn make(dir: &Path) -> Store {
        let (db_dir, sample_dir) = (dir.join("db"), dir.join("sample"));
        std::fs::create_dir(&sample_dir).unwrap();
        let url = NOBODY;
        configure(dir, 0, "");
        let mut db = Database::open(&db_dir, Mode::Create, 1).unwrap();
        let request = Request::Start {
            wall: START,
            sample_dirs: vec![sample_dir.clone()],
            cameras: vec![CameraConfig {
                name: "driveway".into(),
                main: Some(StreamConfig::new(url)),
                sub: Some(StreamConfig::new(url)),
                ..CameraConfig::default()
            }],
        };
        let Ok(Reply::Snapshot(snapshot)) = db.handle(request) else {
            panic!("it did not start");
        };
        let camera = &snapshot.cameras[0];
        let dir_id = snapshot.dirs[0].id;
        let request = AttachRequest {
            identity: DirIdentity {
                database: snapshot.database,
                directory: snapshot.dirs[0].uuid,
            },
            may_create: true,
            read_only: false,
            committed: BTreeMap::new(),
        };
        attach(&RealDirectory::new(&sample_dir), &request).unwrap();
        db.handle(Request::DirAttached { dir: dir_id }).unwrap();
        let (main, sub) = (camera.streams[0].id, camera.streams[1].id);
        let maker = Maker {
            open: snapshot.open,
            // 4 Mbit/s and 0.25 Mbit/s.
            main: index(14_000, 180_000),
            sub: index(900, 8_000),
        };
        let bytes: Vec<u8> = (0..maker.main.1 as usize)
            .map(|i| ((i * 2_654_435_761) >> 13) as u8)
            .collect();
        let (mut flush, mut files) = (Flush::default(), Vec::new());
        for sequence in 0..HOUR {
            let recording = maker.recording(main, sequence, &maker.main);
            files.push(sample_dir.join(recording.id.file_name()));
            write_synced(&files[sequence as usize], &bytes);
            flush.recordings.push((dir_id, recording));
        }
        // A day of the sub stream: many files, and the bytes of one.
        let first = sample_dir.join(
            RecordingId {
                stream: sub,
                sequence: 0,
            }
            .file_name(),
        );
        write_synced(&first, &bytes[..maker.sub.1 as usize]);
        for sequence in 1..DAY {
            let id = RecordingId {
                stream: sub,
                sequence,
            };
            std::fs::hard_link(&first, sample_dir.join(id.file_name())).unwrap();
        }
        for sequence in 0..MONTH {
            let recording = maker.recording(sub, sequence, &maker.sub);
            flush.recordings.push((dir_id, recording));
            if sequence % BATCH == BATCH - 1 {
                let flush = std::mem::take(&mut flush);
                db.handle(Request::Flush(Box::new(flush))).unwrap();
            }
        }
        flush.clean_shutdown = true;
        db.handle(Request::Flush(Box::new(flush))).unwrap();
        Store {
            camera: camera.uuid,
            files,
            hour: HOUR,
            day: DAY,
            month: MONTH,
        }
    }
}

/// The configuration of a recorder, and the port that it will listen at.
pub struct Configured {
    pub file: PathBuf,
    pub port: u16,
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Writes the configuration, with so many cameras more, of which the source at an address sends video.
pub fn configure(dir: &Path, cameras: usize, source: &str) -> Configured {
    let port = free_port();
    let (db_dir, sample_dir) = (dir.join("db"), dir.join("sample"));
    let mut config = format!(
        "db_dir = {db_dir:?}\nsample_dirs = [{sample_dir:?}]\ntime_zone = \"UTC\"\n\
         reserve = \"0 %\"\n[[http]]\nlisten = \"127.0.0.1:{port}\"\n\
         allow_unauthenticated = [\"view_live\", \"view_recordings\"]\n\
         [[camera]]\nname = \"driveway\"\n[camera.main]\nurl = {NOBODY:?}\nrecord = false\n\
         [camera.sub]\nurl = {NOBODY:?}\nrecord = false\n"
    );
    for n in 0..cameras {
        config += &format!(
            "[[camera]]\nname = \"camera {n}\"\n[camera.main]\nurl = \"rtsp://{source}/{n}\"\n"
        );
    }
    let file = dir.join("nvr.toml");
    std::fs::write(&file, config).unwrap();
    Configured { file, port }
}

/// The bytes of a sample file, on the disk: what is not there cannot leave the page cache.
fn write_synced(path: &Path, bytes: &[u8]) {
    let mut file = File::create(path).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
}

struct Maker {
    open: OpenId,
    main: (Vec<u8>, u32),
    sub: (Vec<u8>, u32),
}

impl Maker {
    fn recording(
        &self,
        stream: StreamId,
        sequence: u32,
        (index, bytes): &(Vec<u8>, u32),
    ) -> Recording {
        Recording {
            id: RecordingId { stream, sequence },
            open: self.open,
            run_offset: sequence,
            start: START + Duration90k(MINUTE.0 * i64::from(sequence)),
            wall_duration: MINUTE,
            media_duration: Duration90k(i64::from(FRAMES) * 3_000),
            clock_untrusted: false,
            sample_file_bytes: *bytes,
            video_samples: FRAMES,
            video_sync_samples: FRAMES / 60,
            sample_entry: Arc::new(VideoSampleEntry {
                width: 1920,
                height: 1080,
                pixel_h_spacing: 1,
                pixel_v_spacing: 1,
                rfc6381_codec: "avc1.4d401f".to_owned(),
                avcc: vec![1; 40],
                reorder_frames: 0,
            }),
            index: index.clone(),
            data_hash: [0; 16],
            chain_hash: [0; 32],
            end_reason: String::new(),
        }
    }
}

/// The index of a minute, and its samples' bytes.
fn index(frame: u32, sync: u32) -> (Vec<u8>, u32) {
    let (mut index, mut bytes) = (Vec::new(), 0);
    let mut encoder = IndexEncoder::new(&mut index, false);
    for i in 0..FRAMES {
        let sample = Sample {
            media_start_90k: 0, // Follows from the samples before.
            // A camera whose clock ticks in milliseconds.
            duration_90k: if i % 3 == 2 { 3_060 } else { 2_970 },
            composition_offset_90k: 0,
            offset: 0, // Likewise.
            bytes: frame + i * 7 % 1_000 + if i % 60 == 0 { sync } else { 0 },
            is_sync: i % 60 == 0,
        };
        encoder.add(&mut index, &sample);
        bytes += sample.bytes;
    }
    (index, bytes)
}
