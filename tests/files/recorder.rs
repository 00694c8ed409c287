//! What a recorder leaves on disk: a configuration, a database, a sample directory with its marker,
//! sample files and a journal. Made with the recorder's own rules, but without its loop.

use crate::footage::{Footage, Frame};
use moonfire_nvr::config::{CameraConfig, StreamConfig};
use moonfire_nvr::db::{Database, Flush, Mode, Reply, Request, Snapshot};
use moonfire_nvr::h264::VideoSampleEntry;
use moonfire_nvr::recording::journal::Journal;
use moonfire_nvr::recording::real_directory::RealDirectory;
use moonfire_nvr::recording::recovery::{AttachRequest, attach};
use moonfire_nvr::recording::writer::{NewSample, Run, Start, Writer};
use moonfire_nvr::recording::{
    DirId, DirIdentity, Gap, GapCause, Recording, RecordingId, StreamId,
};
use moonfire_nvr::time::{Duration90k, Wall90k};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

/// 2026-11-22T10:00:00Z.
pub const TEN: Wall90k = Wall90k::from_unix_secs(1_795_341_600);

pub struct Recorder {
    temp: tempfile::TempDir,
    /// Open as a daemon has it, with its lock.
    db: Option<Database>,
    pub snapshot: Snapshot,
    /// The next sequence number of each stream.
    ends: BTreeMap<StreamId, u32>,
}

impl Recorder {
    /// A recorder with a camera `driveway`, of which it has nothing yet.
    pub fn new() -> Recorder {
        let temp = tempfile::tempdir().unwrap();
        let (db_dir, sample_dir) = (temp.path().join("db"), temp.path().join("sample"));
        std::fs::create_dir(&sample_dir).unwrap();
        let config = format!(
            "db_dir = {db_dir:?}\nsample_dirs = [{sample_dir:?}]\ntime_zone = \"UTC\"\n\
             [[camera]]\nname = \"driveway\"\n\
             [camera.main]\nurl = \"rtsp://192.0.2.1/main\"\n\
             [camera.sub]\nurl = \"rtsp://192.0.2.1/sub\"\n"
        );
        std::fs::write(temp.path().join("nvr.toml"), config).unwrap();
        let mut db = Database::open(&db_dir, Mode::Create, uuid::Uuid::new_v4().as_u128()).unwrap();
        let camera = CameraConfig {
            name: "driveway".into(),
            main: Some(StreamConfig::new("rtsp://192.0.2.1/main")),
            sub: Some(StreamConfig::new("rtsp://192.0.2.1/sub")),
            ..CameraConfig::default()
        };
        let request = Request::Start {
            wall: TEN,
            sample_dirs: vec![sample_dir.clone()],
            cameras: vec![camera],
        };
        let Reply::Snapshot(snapshot) = db.handle(request).unwrap() else {
            panic!("no snapshot");
        };
        let dir = &snapshot.dirs[0];
        let request = AttachRequest {
            identity: DirIdentity {
                database: snapshot.database,
                directory: dir.uuid,
            },
            may_create: true,
            read_only: false,
            committed: BTreeMap::new(),
        };
        attach(&RealDirectory::new(&sample_dir), &request).unwrap();
        db.handle(Request::DirAttached { dir: dir.id }).unwrap();
        Recorder {
            temp,
            db: Some(db),
            snapshot: *snapshot,
            ends: BTreeMap::new(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub fn sample_file(&self, id: RecordingId) -> PathBuf {
        self.path("sample").join(id.file_name())
    }

    pub fn main(&self) -> StreamId {
        self.snapshot.cameras[0].streams[0].id
    }

    pub fn sub(&self) -> StreamId {
        self.snapshot.cameras[0].streams[1].id
    }

    pub fn dir(&self) -> DirId {
        self.snapshot.dirs[0].id
    }

    pub fn flush(&mut self, flush: Flush) {
        let db = self.db.as_mut().unwrap();
        db.handle(Request::Flush(Box::new(flush))).unwrap();
    }

    /// Ends the daemon: its lock is free.
    pub fn stop(&mut self) {
        self.db = None;
    }

    pub fn gap(&mut self, start: Wall90k, end: Wall90k, detail: &str) {
        let gap = Gap {
            stream: self.main(),
            start,
            end,
            cause: GapCause::Network,
            detail: detail.into(),
            clock_untrusted: false,
        };
        self.flush(Flush {
            gaps: vec![gap],
            ..Flush::default()
        });
    }

    fn writer(&self, stream: StreamId, footage: &Footage) -> Writer {
        let sequence = self.ends.get(&stream).copied().unwrap_or_default();
        let reordered = footage.frames.iter().any(|f| f.pts < f.dts);
        Writer::start(Start {
            id: RecordingId { stream, sequence },
            open: self.snapshot.open,
            run: Run::new(None),
            sample_entry: Arc::new(VideoSampleEntry {
                width: footage.width,
                height: footage.height,
                pixel_h_spacing: 1,
                pixel_v_spacing: 1,
                rfc6381_codec: "avc1.64000d".into(),
                avcc: footage.avcc.clone(),
                reorder_frames: if reordered { 2 } else { 0 },
            }),
            clock_untrusted: false,
        })
    }

    /// Records frames, the first captured at `start`, in a run of its own, and commits the recording.
    pub fn record(
        &mut self,
        stream: StreamId,
        footage: &Footage,
        frames: &[Frame],
        start: Wall90k,
    ) -> Recording {
        let recording = self.record_unknown(stream, footage, frames, start);
        self.flush(Flush {
            wall: start,
            recordings: vec![(self.dir(), recording.clone())],
            ..Flush::default()
        });
        recording
    }

    /// The same, but neither database nor journal get to know of it.
    pub fn record_unknown(
        &mut self,
        stream: StreamId,
        footage: &Footage,
        frames: &[Frame],
        start: Wall90k,
    ) -> Recording {
        let mut writer = self.writer(stream, footage);
        let bytes = add(&mut writer, frames, start);
        writer.written(&bytes);
        let (recording, _) = writer.finish(None, "it was enough").unwrap();
        std::fs::write(self.sample_file(recording.id), &bytes).unwrap();
        self.ends.insert(stream, recording.id.sequence + 1);
        recording
    }

    /// Records frames, of which sample file and journal know and the database does not.
    pub fn record_uncommitted(
        &mut self,
        stream: StreamId,
        footage: &Footage,
        frames: &[Frame],
        start: Wall90k,
    ) -> RecordingId {
        let mut writer = self.writer(stream, footage);
        let bytes = add(&mut writer, frames, start);
        writer.written(&bytes);
        let id = writer.id();
        std::fs::write(self.sample_file(id), &bytes).unwrap();
        let mut journal = Journal::new(self.snapshot.dirs[0].uuid, 0, Vec::new());
        let name = journal.begin_segment([&mut writer], []);
        let pending = journal.take_pending(Vec::new()).unwrap();
        std::fs::write(self.path("sample").join(name), pending.bytes).unwrap();
        id
    }

    /// Runs the program with this recorder's configuration.
    pub fn run(&self, command: &str, arguments: &[&str]) -> Told {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(env!("CARGO_BIN_EXE_moonfire-nvr"))
            .arg(command)
            .arg("--config")
            .arg(self.path("nvr.toml"))
            .args(arguments)
            .current_dir(self.temp.path())
            .output()
            .unwrap();
        Told {
            code: status.code().unwrap(),
            stdout,
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }
}

/// How the program ended and what it said.
#[derive(Debug)]
pub struct Told {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

fn add(writer: &mut Writer, frames: &[Frame], start: Wall90k) -> Vec<u8> {
    let mut bytes = Vec::new();
    let first = frames[0].pts;
    for f in frames {
        let sample = NewSample {
            pts: f.pts,
            bytes: f.bytes.len() as u32,
            is_sync: f.sync,
            arrival: start + Duration90k(f.pts - first),
        };
        writer.add(sample).unwrap();
        bytes.extend_from_slice(&f.bytes);
    }
    bytes
}

/// The names in a folder, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
