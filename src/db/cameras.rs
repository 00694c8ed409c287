//! Cameras that are made, changed and removed while the recorder runs. What the configuration file
//! names is the file's: it is changed there.
//!
//! A camera that is removed is no more than its recordings. Its row goes with the last of them
//! ([`forget`]); until then a camera that is made by its name is the same one again.

use super::configure::{began, least_used_dir, snapshot};
use super::database::new_uuid;
use super::holes;
use super::{Database, Error, Removed, Snapshot, StreamKind};
use crate::config::{self, CameraUrl, Secret, Transport};
use crate::recording::DirId;
use rand_pcg::Pcg64;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use url::Url;
use uuid::Uuid;

/// The most cameras, those that were removed and still have recordings among them. At the limit no more
/// are made; those of the configuration file are not counted before they are there.
pub const MAX_CAMERAS: u32 = 200;

/// The longest description, in characters.
const MAX_DESCRIPTION_CHARS: usize = 1_000;

/// The longest user name and password of a camera, in bytes.
const MAX_CREDENTIAL_BYTES: usize = 256;

/// What is asked about cameras. Each is one transaction, answered by [`super::Reply::Cameras`].
#[derive(Debug)]
pub enum CameraRequest {
    /// Needs a name and a stream with a URL.
    Make(Box<CameraPatch>),
    Change {
        camera: Uuid,
        patch: Box<CameraPatch>,
    },
    Remove {
        camera: Uuid,
        recordings: Removed,
    },
}

/// A change of a camera, or a new one: what is `None` stays, or is as in the configuration file where it
/// is left out.
#[derive(Clone, Debug, Default)]
pub struct CameraPatch {
    pub name: Option<String>,
    pub description: Option<String>,
    /// Empty: none.
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub main: StreamChange,
    pub sub: StreamChange,
}

impl CameraPatch {
    /// The URL of a stream without the user and password that may be in it: those go to the camera. An
    /// error is a part of a sentence.
    pub fn take_url(&mut self, text: &str) -> Result<String, String> {
        let CameraUrl { url, credentials } = config::camera_url(text)?;
        if let Some((user, password)) = credentials {
            let password = Secret(password);
            let differs = self.username.as_ref().is_some_and(|u| *u != user)
                || self.password.as_ref().is_some_and(|p| *p != password);
            if differs {
                return Err(
                    "it has another user or password than the camera; give them once, as \
                     username and password of the camera"
                        .to_owned(),
                );
            }
            (self.username, self.password) = (Some(user), Some(password));
        }
        Ok(url)
    }

    /// Whether what is said of the camera itself is good; its name is [`config::camera_name`]'s to judge.
    pub fn check(&self) -> Result<(), String> {
        check_description(self.description.as_deref().unwrap_or_default())?;
        check_credential("username", self.username.as_deref().unwrap_or_default())?;
        check_credential("password", self.password.as_ref().map_or("", |p| &p.0))
    }
}

/// Whether this can be a camera's description.
pub fn check_description(text: &str) -> Result<(), String> {
    match text.chars().count() > MAX_DESCRIPTION_CHARS {
        true => Err(format!(
            "the description is longer than {MAX_DESCRIPTION_CHARS} characters"
        )),
        false => Ok(()),
    }
}

/// Whether this can be a camera's user name or password; `what` says which it is.
pub fn check_credential(what: &str, text: &str) -> Result<(), String> {
    match text.len() > MAX_CREDENTIAL_BYTES || text.chars().any(char::is_control) {
        true => Err(format!(
            "the {what} has a control character in it, or more than {MAX_CREDENTIAL_BYTES} bytes"
        )),
        false => Ok(()),
    }
}

/// What becomes of a stream.
#[derive(Clone, Debug, Default)]
pub enum StreamChange {
    #[default]
    Nothing,
    /// There is none any more; what was recorded stays as long as it is retained.
    End,
    Put(StreamPatch),
}

/// A change of a stream, or a new one.
#[derive(Clone, Debug, Default)]
pub struct StreamPatch {
    pub url: Option<String>,
    pub transport: Option<Transport>,
    pub record: Option<bool>,
    pub retain_bytes: Option<Option<i64>>,
    pub retain_days: Option<Option<u32>>,
    /// Where its next recordings go; spread if it is not said.
    pub dir: Option<DirId>,
}

/// The answer to a [`CameraRequest`].
#[derive(Debug)]
pub struct CameraReply {
    pub camera: Uuid,
    /// All that there is afterwards.
    pub snapshot: Box<Snapshot>,
}

/// Why something about cameras could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CameraError {
    #[error("there is no such camera")]
    Unknown,
    #[error("there is a camera of that name already")]
    NameTaken,
    #[error("the configuration file names this camera: change it there, then reload")]
    InFile,
    #[error("the {} stream needs a url", .0.as_str())]
    NoUrl(StreamKind),
    /// The password would be told to somebody else than it was given for.
    #[error("the url leads to another host than the password was given for: give it again")]
    OtherHost,
    #[error("a camera needs a stream: main, sub, or both")]
    NoStream,
    #[error("a camera needs a shortName")]
    NoName,
    #[error("there is no sample directory {}", .0.0)]
    UnknownDir(DirId),
    #[error("there are {MAX_CAMERAS} cameras already, the most there can be: remove one first")]
    TooMany,
}

impl Database {
    pub(super) fn cameras(
        &mut self,
        request: CameraRequest,
        rng: &mut Pcg64,
    ) -> Result<CameraReply, Error> {
        let tx = self.transaction()?;
        let (camera, note) = match request {
            CameraRequest::Make(patch) => make(&tx, &patch, rng)?,
            CameraRequest::Change { camera, patch } => change(&tx, camera, &patch)?,
            CameraRequest::Remove { camera, recordings } => remove(&tx, camera, recordings)?,
        };
        let snapshot = Box::new(snapshot(&tx, began(&tx)?, vec![note])?);
        tx.commit()?;
        Ok(CameraReply { camera, snapshot })
    }
}

fn make(tx: &Transaction, patch: &CameraPatch, rng: &mut Pcg64) -> Result<(Uuid, String), Error> {
    let name = patch.name.as_ref().ok_or(CameraError::NoName)?;
    let known = tx
        .query_row(
            "select id, uuid, removed is not null from camera where name = ?1",
            [name],
            |r| Ok((r.get::<_, i64>(0)?, r.get::<_, Uuid>(1)?, r.get(2)?)),
        )
        .optional()?;
    let (id, uuid) = match known {
        Some((_, _, false)) => return Err(CameraError::NameTaken.into()),
        Some((id, uuid, true)) => {
            tx.execute(
                "update camera set removed = null, description = '' where id = ?1",
                [id],
            )?;
            (id, uuid)
        }
        None => {
            let cameras: u32 = tx.query_row("select count(*) from camera", [], |r| r.get(0))?;
            if cameras >= MAX_CAMERAS {
                return Err(CameraError::TooMany.into());
            }
            let uuid = new_uuid(rng);
            tx.execute(
                "insert into camera (uuid, name, description, username, password, in_file)
                 values (?1, ?2, '', '', '', 0)",
                params![uuid, name],
            )?;
            (tx.last_insert_rowid(), uuid)
        }
    };
    put(tx, id, patch)?;
    Ok((uuid, format!("camera \"{name}\" was added")))
}

/// The row of a camera that is in use and the file does not name, and its name.
fn own(tx: &Transaction, camera: Uuid) -> Result<(i64, String), Error> {
    let found = tx
        .query_row(
            "select id, name, in_file from camera where uuid = ?1",
            [camera],
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
        )
        .optional()?;
    match found {
        None => Err(CameraError::Unknown.into()),
        Some((_, _, true)) => Err(CameraError::InFile.into()),
        Some((id, name, false)) => Ok((id, name)),
    }
}

fn change(tx: &Transaction, camera: Uuid, patch: &CameraPatch) -> Result<(Uuid, String), Error> {
    let (id, name) = own(tx, camera)?;
    tx.execute("update camera set removed = null where id = ?1", [id])?;
    put(tx, id, patch)?;
    Ok((camera, format!("camera \"{name}\" was changed")))
}

fn remove(tx: &Transaction, camera: Uuid, recordings: Removed) -> Result<(Uuid, String), Error> {
    let (id, name) = own(tx, camera)?;
    tx.execute(
        "update camera set removed = ?2, username = '', password = '' where id = ?1",
        params![id, recordings.as_str()],
    )?;
    tx.execute(
        "update stream set url = '', record = 0 where camera_id = ?1",
        [id],
    )?;
    let told = match recordings {
        Removed::Kept => "its recordings are kept",
        Removed::Deleting => {
            // Retention sees to it, in steps that a commit can take.
            tx.execute(
                "update stream set retain_bytes = 0, retain_days = null where camera_id = ?1",
                [id],
            )?;
            "its recordings are being deleted"
        }
    };
    Ok((camera, format!("camera \"{name}\" was removed, {told}")))
}

/// Writes what a change says of the camera in row `id`.
fn put(tx: &Transaction, id: i64, patch: &CameraPatch) -> Result<(), Error> {
    if patch.password.is_none() {
        require_known_hosts(tx, id, patch)?;
    }
    tx.execute(
        "update camera set name = coalesce(?2, name), description = coalesce(?3, description),
           username = coalesce(?4, username), password = coalesce(?5, password) where id = ?1",
        params![
            id,
            patch.name,
            patch.description,
            patch.username,
            patch.password.as_ref().map(|s| &s.0)
        ],
    )
    .map_err(name_taken)?;
    for (kind, stream) in [
        (StreamKind::Main, &patch.main),
        (StreamKind::Sub, &patch.sub),
    ] {
        match stream {
            StreamChange::Nothing => {}
            StreamChange::End => {
                tx.execute(
                    "update stream set url = '', record = 0 where camera_id = ?1 and kind = ?2",
                    params![id, kind.as_str()],
                )?;
            }
            StreamChange::Put(stream) => put_stream(tx, id, kind, stream)?,
        }
    }
    let streams: u32 = tx.query_row(
        "select count(*) from stream where camera_id = ?1 and url <> ''",
        [id],
        |r| r.get(0),
    )?;
    match streams {
        0 => Err(CameraError::NoStream.into()),
        _ => Ok(()),
    }
}

/// A password that somebody does not know is not his to send elsewhere.
fn require_known_hosts(tx: &Transaction, id: i64, patch: &CameraPatch) -> Result<(), Error> {
    let has_password: bool = tx.query_row(
        "select password <> '' from camera where id = ?1",
        [id],
        |r| r.get(0),
    )?;
    if !has_password {
        return Ok(());
    }
    let mut select = tx.prepare("select url from stream where camera_id = ?1 and url <> ''")?;
    let known = select
        .query_map([id], |r| r.get::<_, String>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    let streams = [&patch.main, &patch.sub].into_iter();
    let mut urls = streams.filter_map(|s| match s {
        StreamChange::Put(stream) => stream.url.as_deref(),
        StreamChange::Nothing | StreamChange::End => None,
    });
    match urls.all(|url| known.iter().any(|k| same_host(k, url))) {
        true => Ok(()),
        false => Err(CameraError::OtherHost.into()),
    }
}

/// Whether two URLs lead to the same host, whatever the port and path.
pub(crate) fn same_host(a: &str, b: &str) -> bool {
    let host = |url| Url::parse(url).ok()?.host_str().map(str::to_lowercase);
    host(a).is_some_and(|a| host(b) == Some(a))
}

fn put_stream(
    tx: &Transaction,
    camera: i64,
    kind: StreamKind,
    patch: &StreamPatch,
) -> Result<(), Error> {
    let row: Option<(i64, bool)> = tx
        .query_row(
            "select id, url <> '' from stream where camera_id = ?1 and kind = ?2",
            params![camera, kind.as_str()],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )
        .optional()?;
    if patch.url.is_none() && row.is_none_or(|(_, in_use)| !in_use) {
        return Err(CameraError::NoUrl(kind).into());
    }
    if let Some(dir) = patch.dir {
        let known: bool = tx.query_row(
            "select exists (select 1 from sample_dir where id = ?1 and configured = 1)",
            [dir.0],
            |r| r.get(0),
        )?;
        if !known {
            return Err(CameraError::UnknownDir(dir).into());
        }
    }
    let id = match row {
        Some((id, in_use)) => {
            if !in_use {
                // It begins anew; of what it was only the recordings are left.
                tx.execute(
                    "update stream set transport = 'tcp', record = 1, retain_bytes = null,
                       retain_days = null where id = ?1",
                    [id],
                )?;
            }
            id
        }
        None => {
            let dir = patch.dir.map_or_else(|| least_used_dir(tx), Ok)?;
            tx.execute(
                "insert into stream (camera_id, kind, url, transport, record, dir_id)
                 values (?1, ?2, '', 'tcp', 1, ?3)",
                params![camera, kind.as_str(), dir.0],
            )?;
            tx.last_insert_rowid()
        }
    };
    if let Some(dir) = patch.dir {
        holes::stream_goes_to(tx, id, dir)?;
    }
    tx.execute(
        "update stream set url = coalesce(?2, url), transport = coalesce(?3, transport),
           record = coalesce(?4, record), dir_id = coalesce(?5, dir_id),
           retain_bytes = case when ?6 then ?7 else retain_bytes end,
           retain_days = case when ?8 then ?9 else retain_days end
         where id = ?1",
        params![
            id,
            patch.url,
            patch.transport.map(Transport::as_str),
            patch.record,
            patch.dir.map(|d| d.0),
            patch.retain_bytes.is_some(),
            patch.retain_bytes.flatten(),
            patch.retain_days.is_some(),
            patch.retain_days.flatten(),
        ],
    )?;
    Ok(())
}

/// Removes the rows of those cameras that were removed and have nothing any more: tells which.
pub(super) fn forget(connection: &Connection, cameras: &[i32]) -> Result<Vec<i32>, Error> {
    let mut forgotten = Vec::new();
    for id in cameras {
        let empty: bool = connection
            .prepare_cached(
                "select exists (select 1 from camera where id = ?1 and removed is not null)
                   and not exists (select 1 from stream s where s.camera_id = ?1 and (
                     exists (select 1 from recording r where r.stream_id = s.id)
                     or exists (select 1 from garbage g where g.stream_id = s.id)))",
            )?
            .query_row([id], |r| r.get(0))?;
        if !empty {
            continue;
        }
        for sql in [
            "delete from gap where stream_id in (select id from stream where camera_id = ?1)",
            "delete from stream_dir where stream_id in (select id from stream where camera_id = ?1)",
            "delete from stream where camera_id = ?1",
            "delete from camera where id = ?1",
        ] {
            connection.prepare_cached(sql)?.execute([id])?;
        }
        forgotten.push(*id);
    }
    Ok(forgotten)
}

/// The name is the only column of a camera that a change could make a duplicate of.
fn name_taken(error: rusqlite::Error) -> Error {
    match error.sqlite_error() {
        Some(e) if e.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE => {
            CameraError::NameTaken.into()
        }
        _ => error.into(),
    }
}
