//! What the tests of the database share: a configuration and recordings of small cameras.

mod cameras;
mod configure;
mod devices;
mod dirs;
mod flash;
mod flush;
mod late;
mod list;
mod mend;
mod open;
mod query;
mod restamp;
mod sessions;
mod signals;
mod sums;
mod usage;
mod users;
mod verify;

use super::*;
use crate::config::{Secret, StreamConfig};
use crate::h264::VideoSampleEntry;
use crate::recording::GapCause;
use std::sync::Arc;

/// A minute.
pub(super) const MINUTE: Duration90k = Duration90k::from_secs(60);

/// 2026-11-22T10:00:00Z.
pub(super) const TEN: Wall90k = Wall90k::from_unix_secs(1_795_341_600);

pub(super) fn camera(name: &str) -> CameraConfig {
    CameraConfig {
        name: name.to_owned(),
        description: format!("the {name}"),
        username: "admin".to_owned(),
        password: Secret("hunter2".to_owned()),
        main: Some(StreamConfig::new(&format!("rtsp://192.0.2.1/{name}/main"))),
        sub: Some(StreamConfig::new(&format!("rtsp://192.0.2.1/{name}/sub"))),
    }
}

pub(super) fn dirs(paths: &[&str]) -> Vec<PathBuf> {
    paths.iter().map(PathBuf::from).collect()
}

pub(super) fn start(db: &mut Database, paths: &[&str], cameras: &[CameraConfig]) -> Snapshot {
    let request = Request::Start {
        wall: TEN,
        sample_dirs: dirs(paths),
        cameras: cameras.to_vec(),
    };
    match db.handle(request).unwrap() {
        Reply::Snapshot(snapshot) => *snapshot,
        other => panic!("{other:?}"),
    }
}

pub(super) fn configure(db: &mut Database, paths: &[&str], cameras: &[CameraConfig]) -> Snapshot {
    let request = Request::Configure {
        wall: TEN,
        sample_dirs: dirs(paths),
        cameras: cameras.to_vec(),
    };
    match db.handle(request).unwrap() {
        Reply::Snapshot(snapshot) => *snapshot,
        other => panic!("{other:?}"),
    }
}

/// A database in memory with one camera, whose streams record to /a.
pub(super) fn one_camera() -> (Database, Snapshot) {
    let mut db = memory(1).unwrap();
    let snapshot = start(&mut db, &["/a"], &[camera("driveway")]);
    (db, snapshot)
}

pub(super) fn sample_entry() -> Arc<VideoSampleEntry> {
    Arc::new(VideoSampleEntry {
        width: 1920,
        height: 1080,
        pixel_h_spacing: 1,
        pixel_v_spacing: 1,
        rfc6381_codec: "avc1.4d401f".to_owned(),
        avcc: vec![1, 0x4d, 0x40, 0x1f, 0xff],
        reorder_frames: 0,
    })
}

/// A minute of `stream` from minute `sequence` after ten on, 1000 bytes.
pub(super) fn recording(open: OpenId, stream: StreamId, sequence: u32) -> Recording {
    Recording {
        id: RecordingId { stream, sequence },
        open,
        run_offset: sequence,
        start: TEN + Duration90k(MINUTE.0 * i64::from(sequence)),
        wall_duration: MINUTE,
        media_duration: Duration90k(MINUTE.0 + 17),
        clock_untrusted: false,
        sample_file_bytes: 1000,
        video_samples: 1800,
        video_sync_samples: 30,
        sample_entry: sample_entry(),
        index: vec![7; 3600],
        data_hash: [sequence as u8; 16],
        chain_hash: [0; 32],
        end_reason: String::new(),
    }
}

pub(super) fn gap(stream: StreamId, start: Wall90k, end: Wall90k, detail: &str) -> Gap {
    Gap {
        stream,
        start,
        end,
        cause: GapCause::Camera,
        detail: detail.to_owned(),
        clock_untrusted: false,
    }
}

pub(super) fn flush(db: &mut Database, flush: Flush) -> Result<Flushed, Error> {
    match db.handle(Request::Flush(Box::new(flush)))? {
        Reply::Flushed(flushed) => Ok(*flushed),
        other => panic!("{other:?}"),
    }
}

/// The chain hash of a recording that there is.
pub(super) fn chain_hash(db: &Database, stream: StreamId, sequence: u32) -> [u8; 32] {
    let id = RecordingId { stream, sequence };
    db.recording(id).unwrap().unwrap().1.chain_hash
}

/// Commits recordings `sequences` of `stream` to directory 1.
pub(super) fn record(
    db: &mut Database,
    open: OpenId,
    stream: StreamId,
    sequences: std::ops::Range<u32>,
) -> Flushed {
    let recordings = sequences
        .map(|s| (DirId(1), recording(open, stream, s)))
        .collect();
    flush(
        db,
        Flush {
            recordings,
            ..Flush::default()
        },
    )
    .unwrap()
}

/// What schema version 3 and later ones added goes again.
pub(super) const UNDO_3: &str = "
    drop table hole; drop table device; drop table device_try;
    alter table sample_dir drop column in_file; alter table camera drop column removed;
    drop table signal_change; drop table signal_camera; drop table signal; drop table signal_state;
    drop table signal_type; drop table api_token; drop table session; drop table user_camera;
    drop table user; pragma user_version = 2;";

pub(super) fn count(db: &Database, table: &str) -> i64 {
    db.connection
        .query_row(&format!("select count(*) from {table}"), [], |r| r.get(0))
        .unwrap()
}

/// A stream's recordings as (sequence, start, wall duration), in order of sequence.
pub(super) fn placed(db: &Database, stream: StreamId) -> Vec<(u32, i64, i64)> {
    let mut select = db
        .connection
        .prepare(
            "select sequence, start_90k, wall_duration_90k from recording where stream_id = ?1
             order by sequence",
        )
        .unwrap();
    select
        .query_map([stream.0], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}
