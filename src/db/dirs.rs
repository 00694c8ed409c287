//! Sample directories that are added and taken out of use while the recorder runs. Those that the
//! configuration file names are the file's: they are changed there.
//!
//! One that is taken out of use is still read as long as it holds recordings.

use super::configure::{began, move_off_unconfigured, snapshot};
use super::database::new_uuid;
use super::{Database, Error, Snapshot};
use crate::recording::DirId;
use rand_pcg::Pcg64;
use rusqlite::{OptionalExtension, Transaction, params};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The most sample directories, those that are no longer recorded to among them. At the limit no more are
/// made; those of the configuration file are not counted before they are there.
pub const MAX_DIRS: u32 = 100;

/// What is asked about sample directories. Each is one transaction.
#[derive(Debug)]
pub enum DirRequest {
    /// To be recorded to from now on. Absolute; the folder itself is somebody else's to make.
    Add(PathBuf),
    /// Not to be recorded to any more. Its streams go on in the others, what it holds stays.
    Remove(DirId),
    /// There is no recorder: bring in what the configuration file names, as a recorder's start would.
    /// Only for who holds the lock.
    BringIn {
        sample_dirs: Vec<PathBuf>,
        cameras: Vec<crate::config::CameraConfig>,
    },
}

/// Why something about sample directories could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirError {
    #[error("there is no such sample directory")]
    Unknown,
    #[error("{} is a sample directory already", .0.display())]
    There(PathBuf),
    #[error("the configuration file names this directory: change it there, then reload")]
    InFile,
    #[error("this is the only sample directory: add another one first")]
    Last,
    #[error("there are {MAX_DIRS} sample directories already, the most there can be")]
    TooMany,
}

impl Database {
    pub(super) fn dirs(
        &mut self,
        request: &DirRequest,
        rng: &mut Pcg64,
    ) -> Result<Snapshot, Error> {
        let is_alone = !self.is_beside();
        let tx = self.transaction()?;
        let notes = match request {
            DirRequest::Add(path) => add(&tx, path, rng)?,
            DirRequest::Remove(dir) => remove(&tx, *dir)?,
            DirRequest::BringIn {
                sample_dirs,
                cameras,
            } if is_alone => super::configure::bring_in(&tx, sample_dirs, cameras, rng)?,
            DirRequest::BringIn { .. } => {
                return Err(Error::Invalid(
                    "the recorder that is running brings in what its file says".to_owned(),
                ));
            }
        };
        let snapshot = snapshot(&tx, began(&tx)?, notes)?;
        tx.commit()?;
        Ok(snapshot)
    }
}

fn add(tx: &Transaction, path: &Path, rng: &mut Pcg64) -> Result<Vec<String>, Error> {
    let bytes = path.as_os_str().as_bytes();
    let known: Option<(i32, bool)> = tx
        .query_row(
            "select id, configured from sample_dir where path = ?1",
            [bytes],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )
        .optional()?;
    match known {
        Some((_, true)) => return Err(DirError::There(path.to_owned()).into()),
        Some((id, false)) => {
            tx.execute(
                "update sample_dir set configured = 1, in_file = 0 where id = ?1",
                [id],
            )?;
        }
        None => {
            let dirs: u32 = tx.query_row("select count(*) from sample_dir", [], |r| r.get(0))?;
            if dirs >= MAX_DIRS {
                return Err(DirError::TooMany.into());
            }
            tx.execute(
                "insert into sample_dir (path, uuid, configured, in_file) values (?1, ?2, 1, 0)",
                params![bytes, new_uuid(rng)],
            )?;
        }
    }
    Ok(vec![format!(
        "sample directory {} was added",
        path.display()
    )])
}

fn remove(tx: &Transaction, dir: DirId) -> Result<Vec<String>, Error> {
    let found: Option<(Vec<u8>, bool)> = tx
        .query_row(
            "select path, in_file from sample_dir where id = ?1 and configured = 1",
            [dir.0],
            |r| Ok((r.get(0)?, r.get(1)?)),
        )
        .optional()?;
    let path = match found {
        None => return Err(DirError::Unknown.into()),
        Some((_, true)) => return Err(DirError::InFile.into()),
        Some((path, false)) => path,
    };
    let others: u32 = tx.query_row(
        "select count(*) from sample_dir where configured = 1 and id <> ?1",
        [dir.0],
        |r| r.get(0),
    )?;
    if others == 0 {
        return Err(DirError::Last.into());
    }
    tx.execute(
        "update sample_dir set configured = 0 where id = ?1",
        [dir.0],
    )?;
    move_off_unconfigured(tx)?;
    Ok(vec![format!(
        "sample directory {} is not recorded to any more",
        String::from_utf8_lossy(&path)
    )])
}
