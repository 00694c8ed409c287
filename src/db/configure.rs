//! Bringing the configuration's cameras and directories in, and telling the daemon what is there.

use super::database::new_uuid;
use super::{
    Camera, Database, Dir, Error, Garbage, Removed, Snapshot, Stream, StreamKind, StreamTotals,
};
use super::{devices, holes};
use crate::config::{CameraConfig, Secret, StreamConfig, Transport};
use crate::recording::{DirId, OpenId, RecordingId, StreamId};
use crate::time::{Duration90k, Wall90k};
use rand_pcg::Pcg64;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The open that a snapshot is for.
#[derive(Clone, Copy)]
pub(super) struct Began {
    open: OpenId,
    was_clean: bool,
    last_seen: Option<Wall90k>,
}

/// Begins an open.
pub(super) fn start(tx: &Transaction, wall: Wall90k) -> Result<Began, Error> {
    let last_seen = last_seen(tx)?;
    let was_clean = tx
        .query_row("select clean from open order by id desc limit 1", [], |r| {
            r.get(0)
        })
        .optional()?
        .unwrap_or(true);
    tx.execute(
        "insert into open (start_90k, last_90k) values (?1, ?1)",
        [wall.0],
    )?;
    Ok(Began {
        open: newest_open(tx)?,
        was_clean,
        last_seen,
    })
}

/// The open that was begun last, seen from within.
pub(super) fn began(connection: &Connection) -> Result<Began, Error> {
    let open = newest_open(connection)?;
    let was_clean = connection
        .query_row(
            "select clean from open where id < ?1 order by id desc limit 1",
            [open.0],
            |r| r.get(0),
        )
        .optional()?
        .unwrap_or(true);
    Ok(Began {
        open,
        was_clean,
        last_seen: last_seen(connection)?,
    })
}

/// Open 0 is the one before the first.
fn newest_open(connection: &Connection) -> Result<OpenId, Error> {
    Ok(OpenId(connection.query_row(
        "select coalesce(max(id), 0) from open",
        [],
        |r| r.get(0),
    )?))
}

/// The later of the last commit and the last recording's end.
fn last_seen(connection: &Connection) -> Result<Option<Wall90k>, Error> {
    let flushed: Option<i64> = connection
        .query_row(
            "select last_90k from open order by id desc limit 1",
            [],
            |r| r.get(0),
        )
        .optional()?;
    let mut seen = flushed.map(Wall90k);
    let mut ids = connection.prepare("select id from stream")?;
    let mut rows = ids.query([])?;
    while let Some(row) = rows.next()? {
        seen = seen.max(last_end(connection, StreamId(row.get(0)?))?);
    }
    Ok(seen)
}

/// Brings in what the configuration names; says what somebody should know.
pub(super) fn bring_in(
    tx: &Transaction,
    sample_dirs: &[PathBuf],
    cameras: &[CameraConfig],
    rng: &mut Pcg64,
) -> Result<Vec<String>, Error> {
    let mut notes = Vec::new();
    bring_in_dirs(tx, sample_dirs, rng)?;
    forget_unnamed(tx, cameras, &mut notes)?;
    for camera in cameras {
        let id = bring_in_camera(tx, camera, rng)?;
        for (kind, stream) in [
            (StreamKind::Main, &camera.main),
            (StreamKind::Sub, &camera.sub),
        ] {
            match stream {
                Some(stream) => bring_in_stream(tx, id, kind, stream)?,
                None => {
                    tx.execute(
                        "update stream set record = 0 where camera_id = ?1 and kind = ?2",
                        params![id, kind.as_str()],
                    )?;
                }
            }
        }
    }
    move_off_unconfigured(tx)?;
    Ok(notes)
}

fn bring_in_dirs(tx: &Transaction, paths: &[PathBuf], rng: &mut Pcg64) -> Result<(), Error> {
    // Those that somebody added stay, whatever the file says.
    tx.execute("update sample_dir set configured = 0 where in_file = 1", [])?;
    for path in paths {
        // No "on conflict": that would use up an id each time.
        let bytes = path.as_os_str().as_bytes();
        let known = tx.execute(
            "update sample_dir set configured = 1, in_file = 1 where path = ?1",
            [bytes],
        )?;
        if known == 0 {
            tx.execute(
                "insert into sample_dir (path, uuid, configured) values (?1, ?2, 1)",
                params![bytes, new_uuid(rng)],
            )?;
        }
    }
    Ok(())
}

/// Cameras that the file named and no longer does are kept, but not recorded any more. Those that
/// it never named live in the database alone and stay as they are.
fn forget_unnamed(
    tx: &Transaction,
    cameras: &[CameraConfig],
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    let mut select = tx.prepare("select id, name from camera where in_file = 1 order by id")?;
    let before = select
        .query_map([], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    for (id, name) in before {
        if cameras.iter().any(|c| c.name == name) {
            continue;
        }
        tx.execute("update camera set in_file = 0 where id = ?1", [id])?;
        tx.execute("update stream set record = 0 where camera_id = ?1", [id])?;
        notes.push(format!(
            "camera \"{name}\" is no longer in the configuration: \
             it is not recorded any more, its recordings are kept"
        ));
    }
    Ok(())
}

fn bring_in_camera(tx: &Transaction, camera: &CameraConfig, rng: &mut Pcg64) -> Result<i64, Error> {
    let known: Option<i64> = tx
        .query_row(
            "update camera set description = ?2, username = ?3, password = ?4, in_file = 1,
               removed = null
             where name = ?1 returning id",
            params![
                camera.name,
                camera.description,
                camera.username,
                camera.password.0
            ],
            |r| r.get(0),
        )
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    tx.execute(
        "insert into camera (uuid, name, description, username, password, in_file)
         values (?1, ?2, ?3, ?4, ?5, 1)",
        params![
            new_uuid(rng),
            camera.name,
            camera.description,
            camera.username,
            camera.password.0
        ],
    )?;
    Ok(tx.last_insert_rowid())
}

fn bring_in_stream(
    tx: &Transaction,
    camera_id: i64,
    kind: StreamKind,
    stream: &StreamConfig,
) -> Result<(), Error> {
    let dir = match &stream.sample_dir {
        Some(path) => dir_by_path(tx, path)?,
        None => {
            let present: Option<DirId> = tx
                .query_row(
                    "select d.id from stream s join sample_dir d on d.id = s.dir_id
                     where s.camera_id = ?1 and s.kind = ?2 and d.configured = 1",
                    params![camera_id, kind.as_str()],
                    |r| r.get(0).map(DirId),
                )
                .optional()?;
            match present {
                Some(dir) => dir,
                None => least_used_dir(tx)?,
            }
        }
    };
    let there: Option<i64> = tx
        .query_row(
            "select id from stream where camera_id = ?1 and kind = ?2",
            params![camera_id, kind.as_str()],
            |r| r.get(0),
        )
        .optional()?;
    if let Some(id) = there {
        holes::stream_goes_to(tx, id, dir)?;
    }
    let all = params![
        camera_id,
        kind.as_str(),
        stream.url,
        stream.transport.as_str(),
        stream.record,
        stream.retain.bytes,
        stream.retain.days,
        dir.0
    ];
    let known = tx.execute(
        "update stream set url = ?3, transport = ?4, record = ?5, retain_bytes = ?6,
           retain_days = ?7, dir_id = ?8
         where camera_id = ?1 and kind = ?2",
        all,
    )?;
    if known == 0 {
        tx.execute(
            "insert into stream (camera_id, kind, url, transport, record, retain_bytes,
               retain_days, dir_id)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            all,
        )?;
    }
    Ok(())
}

/// Streams that the file does not name may be bound for a directory that is gone.
pub(super) fn move_off_unconfigured(tx: &Transaction) -> Result<(), Error> {
    let mut select = tx.prepare(
        "select s.id from stream s join sample_dir d on d.id = s.dir_id
         where d.configured = 0 order by s.id",
    )?;
    let ids = select
        .query_map([], |r| r.get::<_, i64>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    for id in ids {
        let dir = least_used_dir(tx)?;
        holes::stream_goes_to(tx, id, dir)?;
        tx.execute(
            "update stream set dir_id = ?2 where id = ?1",
            params![id, dir.0],
        )?;
    }
    Ok(())
}

fn dir_by_path(tx: &Transaction, path: &Path) -> Result<DirId, Error> {
    tx.query_row(
        "select id from sample_dir where path = ?1 and configured = 1",
        [path.as_os_str().as_bytes()],
        |r| r.get(0).map(DirId),
    )
    .optional()?
    .ok_or_else(|| Error::UnknownPath(path.to_owned()))
}

/// The directory with the fewest streams bound for it, the first of them.
pub(super) fn least_used_dir(tx: &Transaction) -> Result<DirId, Error> {
    tx.query_row(
        "select d.id from sample_dir d where d.configured = 1
         order by (select count(*) from stream s where s.dir_id = d.id), d.id limit 1",
        [],
        |r| r.get(0).map(DirId),
    )
    .optional()?
    .ok_or_else(|| Error::Invalid("there is no sample directory to record to".to_owned()))
}

pub(super) fn dir_attached(tx: &Transaction, dir: DirId) -> Result<(), Error> {
    match tx.execute("update sample_dir set attached = 1 where id = ?1", [dir.0])? {
        0 => Err(Error::UnknownDir(dir)),
        _ => Ok(()),
    }
}

impl Database {
    /// What [`super::Request::Start`] tells, without beginning an open.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        // One transaction, so that a daemon that commits meanwhile is seen either before or after.
        let tx = self.connection.unchecked_transaction()?;
        snapshot(&tx, began(&tx)?, Vec::new())
    }
}

pub(super) fn snapshot(
    connection: &Connection,
    began: Began,
    notes: Vec<String>,
) -> Result<Snapshot, Error> {
    Ok(Snapshot {
        database: connection.query_row("select uuid from meta", [], |r| r.get(0))?,
        open: began.open,
        was_clean: began.was_clean,
        last_seen: began.last_seen,
        dirs: dirs(connection)?,
        cameras: cameras(connection)?,
        garbage: garbage(connection)?,
        devices: devices::known(connection)?,
        tries: devices::tries(connection)?,
        notes,
    })
}

/// Those configured, and those that still hold something.
fn dirs(connection: &Connection) -> Result<Vec<Dir>, Error> {
    let mut select = connection.prepare(
        "select id, path, uuid, attached, configured, in_file from sample_dir d
         where configured = 1
           or exists (select 1 from stream_dir s where s.dir_id = d.id and s.recordings > 0)
           or exists (select 1 from garbage g where g.dir_id = d.id)
         order by id",
    )?;
    let dirs = select.query_map([], |r| {
        let path: Vec<u8> = r.get(1)?;
        Ok(Dir {
            id: DirId(r.get(0)?),
            path: PathBuf::from(OsStr::from_bytes(&path)),
            uuid: r.get(2)?,
            attached_before: r.get(3)?,
            configured: r.get(4)?,
            in_file: r.get(5)?,
        })
    })?;
    Ok(dirs.collect::<Result<_, _>>()?)
}

fn cameras(connection: &Connection) -> Result<Vec<Camera>, Error> {
    let mut select = connection.prepare(
        "select id, uuid, name, description, username, password, in_file, removed
         from camera order by id",
    )?;
    let mut cameras = select
        .query_map([], |r| {
            Ok(Camera {
                id: r.get(0)?,
                uuid: r.get(1)?,
                name: r.get(2)?,
                description: r.get(3)?,
                username: r.get(4)?,
                password: Secret(r.get(5)?),
                in_file: r.get(6)?,
                removed: match r.get_ref(7)?.as_str_or_null()? {
                    None => None,
                    Some("deleting") => Some(Removed::Deleting),
                    Some(_) => Some(Removed::Kept),
                },
                streams: Vec::new(),
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    for camera in &mut cameras {
        camera.streams = streams(connection, camera.id)?;
    }
    Ok(cameras)
}

fn streams(connection: &Connection, camera: i32) -> Result<Vec<Stream>, Error> {
    let mut select = connection.prepare_cached(
        "select id, kind, url, transport, record, retain_bytes, retain_days, dir_id,
           next_sequence, last_chain_hash, media_duration_90k, runs
         from stream where camera_id = ?1 and kind in ('main', 'sub') order by kind, id",
    )?;
    let mut streams = select
        .query_map([camera], stream)?
        .collect::<Result<Vec<_>, _>>()?;
    for stream in &mut streams {
        stream.totals = totals(connection, stream.id)?;
        stream.holes = holes::of_stream(connection, stream.id)?;
        stream.told_until = stream
            .totals
            .last_end
            .max(last_gap_end(connection, stream.id)?);
    }
    Ok(streams)
}

fn stream(r: &Row) -> rusqlite::Result<Stream> {
    Ok(Stream {
        id: StreamId(r.get(0)?),
        kind: match r.get_ref(1)?.as_str()? {
            "sub" => StreamKind::Sub,
            _ => StreamKind::Main,
        },
        url: r.get(2)?,
        transport: match r.get_ref(3)?.as_str()? {
            "udp" => Transport::Udp,
            _ => Transport::Tcp,
        },
        record: r.get(4)?,
        retain_bytes: r.get(5)?,
        retain_days: r.get(6)?,
        dir: DirId(r.get(7)?),
        totals: StreamTotals::default(),
        told_until: None,
        next_sequence: r.get(8)?,
        holes: Vec::new(),
        last_chain_hash: r.get(9)?,
        media_duration: Duration90k(r.get(10)?),
        runs: r.get(11)?,
    })
}

/// A stream's sums; no recording is read but its first and its last.
pub(super) fn totals(connection: &Connection, stream: StreamId) -> Result<StreamTotals, Error> {
    let (recordings, sample_file_bytes, duration) = connection
        .prepare_cached(
            "select coalesce(sum(recordings), 0), coalesce(sum(sample_file_bytes), 0),
               coalesce(sum(duration_90k), 0)
             from stream_dir where stream_id = ?1",
        )?
        .query_row([stream.0], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    let first_start: Option<i64> = connection
        .prepare_cached(
            "select start_90k from recording where stream_id = ?1 order by start_90k limit 1",
        )?
        .query_row([stream.0], |r| r.get(0))
        .optional()?;
    Ok(StreamTotals {
        recordings,
        sample_file_bytes,
        duration: Duration90k(duration),
        first_start: first_start.map(Wall90k),
        last_end: last_end(connection, stream)?,
    })
}

/// When the stream's latest recording ended.
fn last_end(connection: &Connection, stream: StreamId) -> Result<Option<Wall90k>, Error> {
    let end: Option<i64> = connection
        .prepare_cached(
            "select start_90k + wall_duration_90k from recording where stream_id = ?1
             order by start_90k desc limit 1",
        )?
        .query_row([stream.0], |r| r.get(0))
        .optional()?;
    Ok(end.map(Wall90k))
}

/// When the stream's latest gap ended.
fn last_gap_end(connection: &Connection, stream: StreamId) -> Result<Option<Wall90k>, Error> {
    let end: Option<i64> = connection
        .prepare_cached("select max(end_90k) from gap where stream_id = ?1")?
        .query_row([stream.0], |r| r.get(0))?;
    Ok(end.map(Wall90k))
}

fn garbage(connection: &Connection) -> Result<Vec<Garbage>, Error> {
    let mut select = connection.prepare(
        "select dir_id, stream_id, sequence, sample_file_bytes from garbage
         order by dir_id, stream_id, sequence",
    )?;
    let garbage = select.query_map([], |r| {
        Ok(Garbage {
            dir: DirId(r.get(0)?),
            id: RecordingId {
                stream: StreamId(r.get(1)?),
                sequence: r.get(2)?,
            },
            sample_file_bytes: r.get(3)?,
            time: None,
        })
    })?;
    Ok(garbage.collect::<Result<_, _>>()?)
}
