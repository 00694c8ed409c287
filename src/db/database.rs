//! A database that is open: how it is found, created, locked and asked.

use super::{Error, Reply, Request, configure, flush, query, upgrade};
use crate::access::TOKEN_BYTES;
use crate::h264::VideoSampleEntry;
use crate::recording::OpenId;
use nix::fcntl::{Flock, FlockArg};
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The database's file within its folder. SQLite keeps `db-wal` and `db-shm` beside it.
pub const FILE_NAME: &str = "db";

/// The file whose lock says that somebody writes to the database. It stays empty.
pub const LOCK_NAME: &str = "lock";

/// `pragma application_id`: "MNVR".
pub(super) const APPLICATION_ID: u32 = 0x4d4e_5652;

/// How long to wait for another connection's short lock before giving up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The most bytes of pages that a connection keeps in memory, in KiB.
const CACHE_KIB: u32 = 2048;

/// The size of a page, of a database that is made now. A commit writes each page that it touches as a
/// whole, and touches a little of each stream; see design/schema.md for what small ones save.
const PAGE_BYTES: u32 = 512;

/// The write-ahead log is brought into the database when its pages have so many bytes. A page that
/// many commits change is then written there once; see design/schema.md for what that saves.
const CHECKPOINT_BYTES: u32 = 6 << 20;

/// A write-ahead log that a long reader let grow is cut to this size afterwards.
const WAL_BYTES_KEPT: u32 = 8 << 20;

/// The most sample entries that are kept in memory; past it, all are forgotten and read again.
const MAX_ENTRIES_CACHED: usize = 256;

/// What a database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The daemon and `check --repair`: one at a time.
    ReadWrite,
    /// Works beside a daemon. [`Request::Start`] tells what is there and changes nothing; other
    /// requests that would change something are refused.
    ReadOnly,
    /// Works beside a daemon. Requests about users, sessions, signals, cameras and sample directories
    /// are answered, and those that change nothing: of the former the daemon keeps nothing that it does
    /// not read again within a minute; of the latter it sees within seconds that they were changed.
    Beside,
    /// Like [`Mode::ReadWrite`], and makes the folder and the database where there is none.
    Create,
}

/// An open database. One thread owns it.
pub struct Database {
    pub(super) connection: Connection,
    mode: Mode,
    open: Option<OpenId>,
    /// Makes UUIDs. Not the operating system's, so that a simulation is repeatable.
    pub(super) rng: Pcg64,
    tokens: TokenSource,
    pub(super) entries: SampleEntries,
    /// Held as long as this lives.
    _lock: Option<Flock<File>>,
}

/// A database in memory, which lives as long as the handle: a [`Request::Start`] more is a restart.
pub fn memory(seed: u128) -> Result<Database, Error> {
    let mut connection = Connection::open_in_memory()?;
    prepare(&connection)?;
    let mut rng = Pcg64::from_seed(spread(seed));
    upgrade::create(&mut connection, new_uuid(&mut rng))?;
    Ok(Database {
        connection,
        mode: Mode::ReadWrite,
        open: None,
        rng,
        tokens: TokenSource::Seeded(Pcg64::from_seed(spread(!seed))),
        entries: SampleEntries::default(),
        _lock: None,
    })
}

impl Database {
    /// Opens the database in the folder `db_dir`. `seed` must be fresh from the operating system
    /// but for tests: UUIDs are made of it.
    pub fn open(db_dir: &Path, mode: Mode, seed: u128) -> Result<Database, Error> {
        let mut rng = Pcg64::from_seed(spread(seed));
        let (lock, mut connection) = connect(db_dir, mode)?;
        match upgrade::state(&connection, db_dir)? {
            upgrade::State::Current => {}
            upgrade::State::Empty if mode == Mode::Create => {
                upgrade::create(&mut connection, new_uuid(&mut rng))?;
            }
            upgrade::State::Empty => return Err(Error::Missing(db_dir.to_owned())),
            upgrade::State::Old { found } => {
                return Err(Error::OldSchema {
                    found,
                    wanted: upgrade::VERSION,
                });
            }
        }
        Ok(Database {
            connection,
            mode,
            open: None,
            rng,
            tokens: TokenSource::System,
            entries: SampleEntries::default(),
            _lock: lock,
        })
    }

    /// Answers a request, in one transaction: after an error nothing has changed.
    pub fn handle(&mut self, request: Request) -> Result<Reply, Error> {
        match request {
            Request::Users(request) => Ok(Reply::Users(self.users(request)?)),
            Request::Sessions(request) => Ok(Reply::Sessions(self.sessions(request)?)),
            Request::Signals(request) => Ok(Reply::Signals(self.signals(request)?)),
            Request::Snapshot => Ok(Reply::Snapshot(Box::new(self.snapshot()?))),
            Request::Summaries {
                stream,
                which,
                limit,
            } => Ok(Reply::Summaries(self.summaries(stream, &which, limit)?)),
            Request::Indexes(ids) => Ok(Reply::Indexes(self.indexes(&ids)?)),
            Request::Spans {
                stream,
                from_sequence,
                limit,
            } => Ok(Reply::Spans(self.spans(stream, from_sequence, limit)?)),
            Request::Gaps {
                stream,
                span,
                limit,
            } => Ok(Reply::Gaps(self.some_gaps(stream, &span, limit)?)),
            Request::Usage { since } => Ok(Reply::Usage(self.usage(since)?)),
            Request::SampleEntry(id) => Ok(Reply::SampleEntry(
                self.entries.entry(&self.connection, id)?,
            )),
            Request::Start { .. } if self.mode == Mode::ReadOnly => {
                Ok(Reply::Snapshot(Box::new(self.snapshot()?)))
            }
            Request::SampleEntryId(entry) if self.mode == Mode::ReadOnly => {
                Ok(Reply::SampleEntryId(self.entry_id(&entry)?))
            }
            Request::Backup {
                passphrase,
                machine,
            } => Ok(Reply::Backup(self.backup(passphrase.as_ref(), machine)?)),
            _ if self.mode == Mode::ReadOnly => Err(Error::ReadOnly),
            Request::Restore { file, passphrase } => {
                let restored = self.restore(&file, passphrase.as_ref())?;
                Ok(Reply::Restored(Box::new(restored)))
            }
            Request::Devices(request) => {
                self.devices(request)?;
                Ok(Reply::Devices)
            }
            Request::Cameras(request) => {
                let mut rng = self.rng.clone();
                let reply = self.cameras(request, &mut rng)?;
                self.rng = rng;
                Ok(Reply::Cameras(reply))
            }
            Request::Dirs(request) => {
                let mut rng = self.rng.clone();
                let snapshot = self.dirs(&request, &mut rng)?;
                self.rng = rng;
                Ok(Reply::Snapshot(Box::new(snapshot)))
            }
            _ if self.mode == Mode::Beside => Err(Error::Invalid(
                "another moonfire-nvr is using the database: this is for that one".to_owned(),
            )),
            Request::SampleEntryId(entry) => Ok(Reply::SampleEntryId(self.entry_id(&entry)?)),
            Request::Start {
                wall,
                sample_dirs,
                cameras,
            } => {
                let mut rng = self.rng.clone();
                let tx = self.transaction()?;
                let began = configure::start(&tx, wall)?;
                let notes = configure::bring_in(&tx, &sample_dirs, &cameras, &mut rng)?;
                let snapshot = configure::snapshot(&tx, began, notes)?;
                tx.commit()?;
                self.rng = rng;
                self.open = Some(snapshot.open);
                Ok(Reply::Snapshot(Box::new(snapshot)))
            }
            Request::Configure {
                wall: _,
                sample_dirs,
                cameras,
            } => {
                self.open.ok_or(Error::NotStarted)?;
                let mut rng = self.rng.clone();
                let tx = self.transaction()?;
                let began = configure::began(&tx)?;
                let notes = configure::bring_in(&tx, &sample_dirs, &cameras, &mut rng)?;
                let snapshot = configure::snapshot(&tx, began, notes)?;
                tx.commit()?;
                self.rng = rng;
                Ok(Reply::Snapshot(Box::new(snapshot)))
            }
            Request::Flush(request) => {
                let open = self.open.ok_or(Error::NotStarted)?;
                let mut entries = std::mem::take(&mut self.entries);
                let tx = self.transaction()?;
                let flushed = flush::flush(&tx, &mut entries, open, &request)?;
                tx.commit()?;
                self.entries = entries;
                Ok(Reply::Flushed(Box::new(flushed)))
            }
            Request::DirAttached { dir } => {
                let tx = self.transaction()?;
                configure::dir_attached(&tx, dir)?;
                tx.commit()?;
                Ok(Reply::Done)
            }
            Request::Reset => {
                self.reset()?;
                Ok(Reply::Done)
            }
        }
    }

    /// Whether it works beside the program that holds the lock, if any does.
    pub(super) fn is_beside(&self) -> bool {
        self.mode == Mode::Beside
    }

    /// Whether this connection may write.
    pub fn is_read_only(&self) -> bool {
        self.mode == Mode::ReadOnly
    }

    /// The row of a sample entry; makes one if it may.
    fn entry_id(&mut self, entry: &Arc<VideoSampleEntry>) -> Result<Option<i64>, Error> {
        if self.mode == Mode::ReadOnly {
            return flush::find_entry(&self.connection, entry);
        }
        let mut entries = std::mem::take(&mut self.entries);
        let tx = self.transaction()?;
        let id = flush::entry_id(&tx, &mut entries, entry)?;
        tx.commit()?;
        self.entries = entries;
        Ok(Some(id))
    }

    /// Fresh bytes for a token or a secret.
    pub(super) fn secret_bytes(&mut self) -> Result<[u8; TOKEN_BYTES], Error> {
        let mut bytes = [0; TOKEN_BYTES];
        match &mut self.tokens {
            TokenSource::System => getrandom::fill(&mut bytes).map_err(|e| {
                Error::Invalid(format!("the operating system has no random bytes: {e}"))
            })?,
            TokenSource::Seeded(rng) => rng.fill_bytes(&mut bytes),
        }
        Ok(bytes)
    }

    /// A UUID for something new.
    pub(super) fn new_uuid(&mut self) -> Uuid {
        new_uuid(&mut self.rng)
    }

    pub(super) fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        if self.mode == Mode::ReadOnly {
            return Err(Error::ReadOnly);
        }
        let beside = self.mode == Mode::Beside;
        let tx = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        if beside {
            // Who holds the lock may be upgrading the database just now.
            upgrade::still_current(&tx)?;
        }
        Ok(tx)
    }
}

/// Where tokens and secrets come from. Not from the generator of UUIDs: those are public, and tell
/// its state.
enum TokenSource {
    System,
    /// For tests and simulations, which are repeatable.
    Seeded(Pcg64),
}

/// The rows of sample entries that were seen, so that they need not be looked up each time.
#[derive(Default)]
pub(super) struct SampleEntries {
    ids: HashMap<Arc<VideoSampleEntry>, i64>,
    by_id: HashMap<i64, Arc<VideoSampleEntry>>,
}

impl SampleEntries {
    /// The row of an entry, if it is known.
    pub fn id(&self, entry: &Arc<VideoSampleEntry>) -> Option<i64> {
        self.ids.get(entry).copied()
    }

    /// The entry of a row; `None` if there is no such row. Those of one row share one entry.
    pub fn entry(
        &mut self,
        connection: &Connection,
        id: i64,
    ) -> Result<Option<Arc<VideoSampleEntry>>, Error> {
        if let Some(entry) = self.by_id.get(&id) {
            return Ok(Some(entry.clone()));
        }
        let entry = connection
            .prepare_cached(query::SAMPLE_ENTRY)?
            .query_row([id], query::sample_entry)
            .optional()?;
        let Some(entry) = entry.map(Arc::new) else {
            return Ok(None);
        };
        self.insert(&entry, id);
        Ok(Some(entry))
    }

    pub fn insert(&mut self, entry: &Arc<VideoSampleEntry>, id: i64) {
        if self.ids.len() >= MAX_ENTRIES_CACHED {
            self.ids.clear();
            self.by_id.clear();
        }
        self.ids.insert(Arc::clone(entry), id);
        self.by_id.insert(id, Arc::clone(entry));
    }
}

/// The seed of a generator whose state is 256 bits.
fn spread(seed: u128) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&seed.to_le_bytes());
    bytes
}

/// A version 4 UUID (RFC 9562 section 5.4).
pub(super) fn new_uuid(rng: &mut Pcg64) -> Uuid {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Takes the lock that `mode` needs and opens the file, whatever is in it. The lock comes first, so
/// that variables of this order end the connection before they give it up.
pub(super) fn connect(
    db_dir: &Path,
    mode: Mode,
) -> Result<(Option<Flock<File>>, Connection), Error> {
    let file = db_dir.join(FILE_NAME);
    if mode == Mode::Create {
        make_dir(db_dir)?;
    }
    if mode != Mode::Create && !file.try_exists().map_err(|e| io_error(&file, e))? {
        return Err(Error::Missing(db_dir.to_owned()));
    }
    let lock = match mode {
        Mode::ReadOnly | Mode::Beside => None,
        Mode::ReadWrite | Mode::Create => Some(take_lock(db_dir)?),
    };
    if mode == Mode::Create {
        // Before SQLite does it, which would let others read it. Its -wal and -shm files take after
        // it.
        private_file(&file)?;
    }
    let access = match mode {
        Mode::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Mode::ReadWrite | Mode::Beside | Mode::Create => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let connection = Connection::open_with_flags(&file, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    prepare(&connection)?;
    if mode != Mode::ReadOnly {
        connection.pragma_update(None, "journal_mode", "wal")?;
    }
    Ok((lock, connection))
}

/// Sets what SQLite forgets when a connection ends.
fn prepare(connection: &Connection) -> Result<(), Error> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Does nothing to a database that has something in it.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A commit that was answered survives a power cut: each syncs the write-ahead log.
    connection.pragma_update(None, "synchronous", "full")?;
    // A database keeps the pages that it was made with.
    let page_bytes: u32 = connection.pragma_query_value(None, "page_size", |r| r.get(0))?;
    connection.pragma_update(
        None,
        "wal_autocheckpoint",
        CHECKPOINT_BYTES / page_bytes.max(1),
    )?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    connection.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Makes the folder and those above it that are missing, each for its owner only.
fn make_dir(dir: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| io_error(dir, e))
}

fn take_lock(db_dir: &Path) -> Result<Flock<File>, Error> {
    let path = db_dir.join(LOCK_NAME);
    let file = private_file(&path)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => Error::Locked(db_dir.to_owned()),
        errno => io_error(&path, errno.into()),
    })
}

/// Opens a file for writing, making it for its owner only if it isn't there.
pub(super) fn private_file(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|e| io_error(path, e))
}

pub(super) fn io_error(path: &Path, error: io::Error) -> Error {
    Error::Io {
        path: PathBuf::from(path),
        error,
    }
}
