//! The database: schema, upgrades and queries. The only user of rusqlite.
//!
//! A [`Database`] is owned by one thread; it answers [`Request`]s one after another.

mod backup;
mod cameras;
mod configure;
mod database;
mod devices;
mod dirs;
mod flush;
mod holes;
mod late;
mod list;
mod mend;
mod query;
mod reset;
mod restamp;
mod sessions;
mod signals;
mod suit;
mod sums;
mod upgrade;
mod usage;
mod users;
mod verify;

pub use backup::{BackupError, MAX_BACKUP_BYTES, Restored};
pub(crate) use cameras::same_host;
pub use cameras::{
    CameraError, CameraPatch, CameraReply, CameraRequest, MAX_CAMERAS, StreamChange, StreamPatch,
    check_credential, check_description,
};
pub use database::{Database, FILE_NAME, LOCK_NAME, Mode, memory};
pub use devices::{DeviceRequest, KnownDevice, MAX_TRIES, TriedCredentials};
pub use dirs::{DirError, DirRequest, MAX_DIRS};
pub use list::{After, Span, Which};
pub use sessions::{SessionReply, SessionRequest};
pub use signals::{
    NewSignal, Signal, SignalCamera, SignalChange, SignalError, SignalId, SignalReply,
    SignalRequest, SignalState, SignalType, SignalUpdate,
};
pub use suit::{Suited, drop_copies, suit};
pub use upgrade::{Progress, VERSION, upgrade};
pub use usage::{DirUsage, StreamUsage, Usage};
pub use users::{Credentials, NewUser, UserError, UserPatch, UserReply, UserRequest};
pub use verify::Finding;

use crate::config::{CameraConfig, Transport};
use crate::h264::VideoSampleEntry;
use crate::recording::{DirId, Gap, OpenId, Recording, RecordingId, StreamId, Summary};
use crate::time::{Duration90k, Wall90k};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use uuid::Uuid;

/// What the daemon asks of the database. Each is one transaction: it happens whole or not at all.
#[derive(Debug)]
pub enum Request {
    /// Begin an open: bring in cameras and sample directories of the configuration, count up the
    /// open id, and tell all that the daemon needs to know. Answered by [`Reply::Snapshot`].
    Start {
        wall: Wall90k,
        sample_dirs: Vec<PathBuf>,
        cameras: Vec<CameraConfig>,
    },
    /// The configuration has changed: bring it in again. Answered by [`Reply::Snapshot`].
    Configure {
        wall: Wall90k,
        sample_dirs: Vec<PathBuf>,
        cameras: Vec<CameraConfig>,
    },
    /// Commit what happened since the last one. Answered by [`Reply::Flushed`].
    Flush(Box<Flush>),
    /// A directory's marker is in place: from now on it is refused without one. [`Reply::Done`].
    DirAttached { dir: DirId },
    /// Some of a stream's recordings, without their indexes. [`Reply::Summaries`], in order; at most
    /// `limit`, and never more than [`MAX_SUMMARIES`]: if there are as many, ask for those after.
    Summaries {
        stream: StreamId,
        which: Which,
        limit: usize,
    },
    /// The sample indexes of up to [`MAX_INDEXES`] recordings. [`Reply::Indexes`].
    Indexes(Vec<RecordingId>),
    /// Which times the stream's recordings from a sequence number on fill. [`Reply::Spans`], in order of
    /// sequence number; at most `limit`, and never more than [`MAX_SPANS`].
    Spans {
        stream: StreamId,
        from_sequence: u32,
        limit: usize,
    },
    /// The stream's gaps that overlap a span. [`Reply::Gaps`], in order of start; at most `limit`, and never
    /// more than [`MAX_GAPS`].
    Gaps {
        stream: StreamId,
        span: Range<Wall90k>,
        limit: usize,
    },
    /// A sample entry by its row. [`Reply::SampleEntry`].
    SampleEntry(i64),
    /// The row of a sample entry, which is made if there is none and the database may be written.
    /// [`Reply::SampleEntryId`].
    SampleEntryId(Arc<VideoSampleEntry>),
    /// What streams have recorded since a time, and what directories hold. [`Reply::Usage`].
    Usage { since: Wall90k },
    /// Users. Answered by [`Reply::Users`].
    Users(UserRequest),
    /// Sessions and API tokens. Answered by [`Reply::Sessions`].
    Sessions(SessionRequest),
    /// Signals. Answered by [`Reply::Signals`].
    Signals(SignalRequest),
    /// Cameras that the configuration file does not name. Answered by [`Reply::Cameras`].
    Cameras(CameraRequest),
    /// Settings as one file, with what the machine tells of its own. [`Reply::Backup`].
    Backup {
        passphrase: Option<crate::config::Secret>,
        machine: serde_json::Value,
    },
    /// Adds what such a file holds to what there is. [`Reply::Restored`].
    Restore {
        file: Vec<u8>,
        passphrase: Option<crate::config::Secret>,
    },
    /// Forgets users, cameras and signals, and keeps what was recorded. [`Reply::Done`].
    Reset,
    /// Devices on the network. Answered by [`Reply::Devices`].
    Devices(DeviceRequest),
    /// Sample directories that the configuration file does not name. Answered by [`Reply::Snapshot`].
    Dirs(DirRequest),
    /// All that there is, as it is now: another program may have changed it. Changes nothing.
    /// [`Reply::Snapshot`].
    Snapshot,
}

/// The most recordings that one [`Request::Summaries`] tells of.
pub const MAX_SUMMARIES: usize = 5_000;

/// The most indexes that one [`Request::Indexes`] asks for; more are refused.
pub const MAX_INDEXES: usize = 64;

/// The most recordings that one [`Request::Spans`] tells of.
pub const MAX_SPANS: usize = 10_000;

/// The most gaps that one [`Request::Gaps`] tells of.
pub const MAX_GAPS: usize = 5_000;

/// The answer to a [`Request`].
#[derive(Debug)]
pub enum Reply {
    Snapshot(Box<Snapshot>),
    Flushed(Box<Flushed>),
    Done,
    Summaries(Vec<Summary>),
    /// In the order of the request; `None` for a recording that is not (or no longer) there.
    Indexes(Vec<IndexOf>),
    Spans(Vec<Span>),
    Gaps(Vec<Gap>),
    /// `None` if there is no such row.
    SampleEntry(Option<Arc<VideoSampleEntry>>),
    /// `None` if it has no row and the database is open for reading only.
    SampleEntryId(Option<i64>),
    Usage(Usage),
    Users(UserReply),
    Sessions(SessionReply),
    Signals(SignalReply),
    Cameras(CameraReply),
    Backup(String),
    Restored(Box<Restored>),
    /// It is noted.
    Devices,
}

/// A recording and its sample index, if it is there.
pub type IndexOf = (RecordingId, Option<Arc<[u8]>>);

/// All that the daemon keeps of the database.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub database: Uuid,
    pub open: OpenId,
    /// The open before this one ended with [`Flush::clean_shutdown`] (or there was none).
    pub was_clean: bool,
    /// The latest wall time that the database has seen: of a recording's end or a flush.
    pub last_seen: Option<Wall90k>,
    pub dirs: Vec<Dir>,
    pub cameras: Vec<Camera>,
    /// Files whose rows are deleted, still to be unlinked.
    pub garbage: Vec<Garbage>,
    /// What cameras are known by.
    pub devices: Vec<KnownDevice>,
    /// What was tried on devices and not taken.
    pub tries: Vec<(String, TriedCredentials)>,
    /// What bringing the configuration in led to that somebody should know: sentences for the log.
    pub notes: Vec<String>,
}

/// A sample directory: one of the configuration, or one that was and still holds recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dir {
    pub id: DirId,
    pub path: PathBuf,
    pub uuid: Uuid,
    /// It has had our marker: an empty directory at its path is not it.
    pub attached_before: bool,
    /// It is recorded to. If not, it only holds what was.
    pub configured: bool,
    /// The configuration file says so, and is where to change it.
    pub in_file: bool,
}

/// A camera.
#[derive(Clone, Debug)]
pub struct Camera {
    pub id: i32,
    pub uuid: Uuid,
    pub name: String,
    pub description: String,
    pub username: String,
    pub password: crate::config::Secret,
    /// The configuration file names it, and says all of the above.
    pub in_file: bool,
    /// It is no more than its recordings.
    pub removed: Option<Removed>,
    pub streams: Vec<Stream>,
}

/// What becomes of the recordings of a camera that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// They stay as long as they would have.
    Kept,
    /// They go, a commit's worth at a time.
    Deleting,
}

impl Removed {
    /// The word in the database.
    fn as_str(self) -> &'static str {
        match self {
            Removed::Kept => "kept",
            Removed::Deleting => "deleting",
        }
    }
}

/// Which of a camera's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    Main,
    Sub,
}

impl StreamKind {
    pub const ALL: [StreamKind; 2] = [StreamKind::Main, StreamKind::Sub];

    /// The word used in the configuration, the database, the API and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            StreamKind::Main => "main",
            StreamKind::Sub => "sub",
        }
    }
}

/// A stream of a camera and how far it has got.
#[derive(Clone, Debug)]
pub struct Stream {
    pub id: StreamId,
    pub kind: StreamKind,
    /// Empty if there is no such stream any more, but what was recorded of it.
    pub url: String,
    pub transport: Transport,
    pub record: bool,
    pub retain_bytes: Option<i64>,
    pub retain_days: Option<u32>,
    /// Where its next recordings go. Its older ones may be elsewhere.
    pub dir: DirId,
    pub totals: StreamTotals,
    /// Up to here its time line is told: the end of its last recording or gap.
    pub told_until: Option<Wall90k>,
    /// The sequence number of its next recording.
    pub next_sequence: u32,
    /// Numbers below that of which there was never a recording; a directory that is away may have one.
    pub holes: Vec<Range<u32>>,
    /// The chain hash of its last recording; zeros before the first.
    pub last_chain_hash: [u8; 32],
    /// The sum of the media durations of all recordings that it ever had, and the runs it began.
    pub media_duration: Duration90k,
    pub runs: u32,
}

/// Sums over a stream's recordings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamTotals {
    pub recordings: u64,
    pub sample_file_bytes: i64,
    pub duration: Duration90k,
    pub first_start: Option<Wall90k>,
    pub last_end: Option<Wall90k>,
}

/// A sample file that the database no longer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Garbage {
    pub dir: DirId,
    pub id: RecordingId,
    pub sample_file_bytes: i64,
    /// When the recording began and ended; only what deletes it knows that.
    pub time: Option<(Wall90k, Wall90k)>,
}

/// One commit of the steady state. Carried out in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Flush {
    pub wall: Wall90k,
    /// Finished recordings whose files are durable, each stream's in order of sequence. Their chain hashes
    /// are not looked at: the database makes them, so that they tell the order in which it took them.
    pub recordings: Vec<(DirId, Recording)>,
    pub gaps: Vec<Gap>,
    /// Move this open's recordings and gaps that were made with an untrusted clock by so much;
    /// they are trusted afterwards. Never onto older recordings of their stream: cut to fit.
    pub restamp: Option<Duration90k>,
    /// Recordings that came back with a disk after their stream had gone on: they get what room there is
    /// where their numbers belong, and what gaps were told there are cut.
    pub late: Vec<(DirId, Recording)>,
    /// Recordings to give up. Their rows become garbage.
    pub delete: Vec<Delete>,
    /// Garbage whose unlinking is durable: its rows go.
    pub unlinked: Vec<RecordingId>,
    /// Uses of sessions and tokens. A commit need not be made for them: they can wait for one.
    pub uses: Vec<crate::access::Use>,
    /// Cameras that were removed, of which nothing is under way: their rows go if they have no
    /// recordings any more.
    pub forget: Vec<i32>,
    /// The daemon ends after this in good order.
    pub clean_shutdown: bool,
}

/// The most recordings that one [`Flush`] gives up, so that it stays short: what is left over stays
/// until it is asked for again.
pub const MAX_DELETED_PER_FLUSH: usize = 4096;

/// Which recordings to give up: always whole ones and always a stream's oldest first (of those in
/// the directory, if it is about one). At most [`MAX_DELETED_PER_FLUSH`] in all of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delete {
    /// The stream's oldest, until at least so many bytes are freed.
    StreamBytes { stream: StreamId, bytes: i64 },
    /// All of the stream that ended at or before a time.
    StreamBefore { stream: StreamId, before: Wall90k },
    /// The directory's oldest, of whichever stream, until at least so many bytes are freed.
    DirBytes { dir: DirId, bytes: i64 },
}

/// What a [`Flush`] led to.
#[derive(Clone, Debug, Default)]
pub struct Flushed {
    /// New garbage, to be unlinked now.
    pub garbage: Vec<Garbage>,
    /// The totals of every stream, after it.
    pub totals: Vec<(StreamId, StreamTotals)>,
    /// Of [`Flush::forget`], those whose rows have gone.
    pub forgotten: Vec<i32>,
    /// Sample directories that are not configured any more and that nothing is left in.
    pub unused_dirs: Vec<DirId>,
}

/// Why the database could not answer. Whatever it is, nothing of the request was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no database in {}: run `moonfire-nvr init`", .0.display())]
    Missing(PathBuf),
    #[error("{} is not a Moonfire NVR database", .0.display())]
    Foreign(PathBuf),
    #[error("another moonfire-nvr is using the database in {}", .0.display())]
    Locked(PathBuf),
    #[error(
        "the database has schema version {found} and this program wants {wanted}: \
         stop the recorder and run `moonfire-nvr upgrade`"
    )]
    OldSchema { found: u32, wanted: u32 },
    #[error(
        "the database has schema version {found}, newer than this program's {wanted}: \
         use the newer moonfire-nvr that wrote it"
    )]
    NewSchema { found: u32, wanted: u32 },
    /// The file system with the database is full. The same request may succeed later.
    #[error("no space left for the database")]
    Full,
    #[error(
        "the database is damaged ({0}): stop the recorder, keep a copy of the folder, \
         and run `moonfire-nvr check`"
    )]
    Corrupt(String),
    #[error("the database is open for reading only")]
    ReadOnly,
    #[error("{}: {error}", path.display())]
    Io {
        path: PathBuf,
        error: std::io::Error,
    },
    /// [`Request::Start`] was not answered yet.
    #[error("no open was begun")]
    NotStarted,
    /// The sequence number is not above all those that its stream ever had.
    #[error("recording {0} was committed before, or one that follows it was")]
    DuplicateRecording(RecordingId),
    #[error("there is no stream {}", .0.0)]
    UnknownStream(StreamId),
    #[error("there is no sample directory {}", .0.0)]
    UnknownDir(DirId),
    /// A stream wants a sample directory that is not among those given.
    #[error("{} is not one of the sample directories", .0.display())]
    UnknownPath(PathBuf),
    #[error("{0}")]
    User(#[from] UserError),
    #[error("{0}")]
    Signal(#[from] SignalError),
    #[error("{0}")]
    Camera(#[from] CameraError),
    #[error("{0}")]
    Backup(#[from] BackupError),
    #[error("{0}")]
    Dir(#[from] DirError),
    /// A value that the schema cannot hold, or a row that this program cannot have written.
    #[error("{0}")]
    Invalid(String),
    /// Anything else that SQLite says; an input or output error of the flash is among it.
    #[error("database: {0}")]
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Error::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Error::Corrupt(error.to_string())
            }
            Some(ErrorCode::ReadOnly) => Error::ReadOnly,
            Some(_) => Error::Sqlite(error),
            None => match error {
                // A row with a value that no column of ours can have.
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..) => Error::Corrupt(error.to_string()),
                error => Error::Sqlite(error),
            },
        }
    }
}

#[cfg(test)]
mod tests;
