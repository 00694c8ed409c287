//! The border between the daemon's core and its shells: [`Event`]s go in with the time, [`Action`]s
//! come out. The reactor does them for real, the simulation in a seeded world.
//!
//! All identifiers are chosen by the core and never used twice within a run of the program, so a
//! late answer to something that was given up is recognized and dropped.

use crate::appliance::protocol;
use crate::config::Config;
pub use crate::config::Severity;
use crate::db;
use crate::decoder;
use crate::recording::DirId;
use crate::recording::recovery::{AttachError, AttachRequest, Attached};
use crate::time::{Monotonic, Now};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// [`Event::Draining`] is told when fewer bytes than these wait to be sent.
pub const SEND_LOW_WATER_BYTES: u64 = 256 << 10;

/// [`Event::Sending`] is told about so often.
pub const SENDING_INTERVAL: Duration = Duration::from_secs(10);

/// What a shell drives: one event in, then the actions out until there is none.
///
/// [`super::Nvr`] is the daemon's; the reactor's own tests use small ones.
pub trait Core {
    /// Takes in what happened. Never blocks.
    fn handle(&mut self, now: Now, event: Event<'_>);
    /// The next thing to do; asked after each [`Self::handle`] until it is `None`.
    fn next_action(&mut self) -> Option<Action>;
    /// When [`Event::Timeout`] is due, if ever. Looked at once a turn.
    fn next_timeout(&self) -> Option<Monotonic>;
    /// A fresh id for [`Event::Accepted`].
    fn allocate_conn(&mut self) -> ConnId;
}

/// A socket: a TCP connection made or accepted, a UNIX connection accepted, or a UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// A name to resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub u64);

/// A disk operation under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// An open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// A database request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DbId(pub u64);

/// A picture or a password that the helper process works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HelperId(pub u64);

/// A request that the steward works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StewardId(pub u64);

/// An IPv4 address of a network interface that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub address: Ipv4Addr,
    /// How many bits of the address are its subnet's.
    pub prefix: u8,
    pub multicast: bool,
    pub loopback: bool,
}

impl Interface {
    /// Whether an address is on this interface's subnet.
    pub fn holds(&self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32)));
        let mask = mask.unwrap_or(0);
        u32::from(self.address) & mask == u32::from(address) & mask
    }
}

/// What happened outside.
#[derive(Debug)]
pub enum Event<'a> {
    /// Time has passed: the deadline of `next_timeout` was reached, or nothing else to say.
    Timeout,
    /// A name was resolved (at least one address) or could not be.
    Resolved {
        lookup: LookupId,
        result: Result<Vec<IpAddr>, String>,
    },
    /// [`Action::Connect`] succeeded.
    Connected { conn: ConnId },
    /// Bytes of a stream socket, in order. The slice is only lent.
    Received { conn: ConnId, bytes: &'a [u8] },
    /// A datagram on a UDP socket.
    Datagram {
        conn: ConnId,
        from: SocketAddr,
        bytes: &'a [u8],
    },
    /// All that was sent on `conn` has been taken by the kernel; reported each time that it is so again.
    Drained { conn: ConnId },
    /// More than [`SEND_LOW_WATER_BYTES`] waited to be sent on `conn`, ranges of files included, and
    /// now fewer do: what is to follow should be queued now, so that sending does not stop for it.
    /// Where all of it goes at once there is only [`Event::Drained`].
    Draining { conn: ConnId },
    /// More waits to be sent on an accepted connection, and its peer has taken some of it lately: told about
    /// every [`SENDING_INTERVAL`] while that is so, however little it was.
    Sending { conn: ConnId },
    /// The peer of a connection that was accepted will send no more, and may still read what is sent to
    /// it: a client that shuts down its sending side behind its request (RFC 9112 section 9.6). Told
    /// once. The connection stays open until it is closed here or the peer is seen to be gone.
    InputEnded { conn: ConnId },
    /// The connection could not be made, was closed by the peer (`Ok`) or failed. The core need not
    /// close it; the id is gone.
    Closed {
        conn: ConnId,
        reason: Result<(), SocketError>,
    },
    /// A pair of UDP sockets is bound, on an even port and the odd one above it.
    UdpBound {
        rtp: ConnId,
        rtcp: ConnId,
        result: Result<u16, SocketError>,
    },
    /// The network's interfaces, as asked for by [`Action::Interfaces`].
    Interfaces(Vec<Interface>),
    /// Somebody connected to the HTTP address `listener` (index in [`Config::http`]).
    Accepted {
        conn: ConnId,
        listener: usize,
        /// Of a TCP connection.
        peer: Option<SocketAddr>,
        /// Of a UNIX connection: the user that the program at the other end ran as when it connected
        /// (`SO_PEERCRED`, unix(7)).
        uid: Option<u32>,
        /// What is sent and received is encrypted between the peer and the shell.
        tls: bool,
    },
    /// A disk operation ended. `buffer` gives back the buffer of a write, whatever its result.
    Disk {
        op: OpId,
        result: Result<DiskReply, DiskError>,
        buffer: Option<Vec<u8>>,
    },
    /// The database answered.
    Db {
        id: DbId,
        result: Result<db::Reply, db::Error>,
    },
    /// The helper process answered, or could not.
    Helper {
        id: HelperId,
        result: Result<decoder::Reply, decoder::Error>,
    },
    /// The steward answered, or there is none.
    Steward {
        id: StewardId,
        result: protocol::Answer,
    },
    /// The configuration was read again (SIGHUP); it is valid in itself.
    Reload(Box<Config>),
    /// How the shell fares, every ten seconds; for the status page. The simulation need not send it.
    Stats(&'a ReactorStats),
    /// The shell has logged something of its own; for those who read the log in the page.
    Logged(Box<LogRecord>),
    /// End in good order: finish recordings, commit, say good-bye to the cameras.
    Shutdown,
}

/// What the core wants done. Actions are carried out in order, each exactly once.
#[derive(Debug)]
pub enum Action {
    /// Resolve `host` (a name or an address). Answered by [`Event::Resolved`].
    Lookup { lookup: LookupId, host: String },
    /// Connect by TCP. Answered by [`Event::Connected`] or [`Event::Closed`]. The core minds the time.
    Connect { conn: ConnId, addr: SocketAddr },
    /// Bind two UDP sockets for receiving from `peer`. Answered by [`Event::UdpBound`].
    BindUdp {
        rtp: ConnId,
        rtcp: ConnId,
        peer: IpAddr,
    },
    /// Tell which network interfaces there are. Answered by [`Event::Interfaces`].
    Interfaces,
    /// A UDP socket on the interface with this address, for datagrams to `group` through it. It hears
    /// anybody's answers to those; with `listen` it hears what comes to the group there, and sends nothing.
    /// If it cannot be had, [`Event::Closed`] says so.
    BindGroup {
        conn: ConnId,
        interface: Ipv4Addr,
        group: SocketAddrV4,
        listen: bool,
    },
    /// Queue bytes on a stream socket. The core keeps within its own bounds by [`Event::Drained`].
    Send { conn: ConnId, bytes: Vec<u8> },
    /// Like `Send`: the same bytes for many connections, kept once.
    SendShared { conn: ConnId, bytes: Arc<Vec<u8>> },
    /// Queue bytes of a file that is open (its `Open` or `Create` was answered), in order with `Send`.
    /// They are read when their turn comes, and neither the loop nor the disk operations of recording
    /// wait for it; what was queued takes no memory meanwhile. A file that is shorter than the range
    /// then, or cannot be read, ends this connection alone, with [`SocketError::File`].
    ///
    /// The file may be closed or unlinked at once afterwards: it stays open inside the shell until the
    /// range is sent or the connection is gone. Before `Close` the core waits for [`Event::Drained`],
    /// as the time for flushing is short.
    SendFile {
        conn: ConnId,
        file: FileId,
        range: Range<u64>,
    },
    /// Send one datagram; loss is no error.
    SendTo {
        conn: ConnId,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    /// The connection now carries a media stream: the shell lets bytes gather and reads it on ticks.
    Bulk { conn: ConnId },
    /// How often bulk connections are read from now on (200 ms unless told otherwise): less often
    /// costs less, more often delays live viewers less.
    BulkTick(Duration),
    /// Close it, after what is queued was sent if `flush` (within the shell's own time limit).
    Close { conn: ConnId, flush: bool },
    /// A disk operation. Answered by [`Event::Disk`]; `Close` is answered too. Operations on one file are
    /// done one after another as they were asked for; all others in any order.
    Disk { op: OpId, request: DiskRequest },
    /// A database request. Answered by [`Event::Db`], in order.
    Db { id: DbId, request: db::Request },
    /// A picture or a password, for the helper process. Always answered by [`Event::Helper`]: one
    /// after another, passwords before pictures, and at once with an error where too many wait.
    Helper {
        id: HelperId,
        request: decoder::Request,
    },
    /// A request for the steward, with the bytes that it brings. Always answered by [`Event::Steward`], in
    /// order; at once with an error where too many wait.
    Steward {
        id: StewardId,
        request: Box<protocol::Request>,
        bytes: Vec<u8>,
    },
    /// Read no more from a connection that was accepted, until [`Action::Resume`]: what its peer sends waits
    /// in the kernel, and then at the peer.
    Pause { conn: ConnId },
    /// Read it again.
    Resume { conn: ConnId },
    /// One line for the log.
    Log(LogRecord),
    /// All is set up: tell the service manager.
    Ready,
    /// The state in a sentence, for the service manager.
    Status(String),
    /// Everything is put away: leave the loop.
    Exit,
}

/// A disk operation. Directories and files are named by ids that the core chose.
#[derive(Debug)]
pub enum DiskRequest {
    /// Open a sample directory, make sure that it is ours, and recover what its journal tells.
    Attach {
        dir: DirId,
        path: PathBuf,
        request: AttachRequest,
    },
    /// Forget a directory. Files of it that are open must be closed each.
    Detach {
        dir: DirId,
    },
    /// Create a file for writing, emptying one of that name that was never acknowledged.
    Create {
        file: FileId,
        dir: DirId,
        name: String,
    },
    /// Open a file for reading.
    Open {
        file: FileId,
        dir: DirId,
        name: String,
    },
    /// Write all of `data` at `offset` (bytes).
    Write {
        file: FileId,
        offset: u64,
        data: Vec<u8>,
    },
    /// Read up to `len` bytes; fewer only at the file's end.
    Read {
        file: FileId,
        offset: u64,
        len: u32,
    },
    /// fdatasync: the file's bytes and length are durable when it is answered.
    Sync {
        file: FileId,
    },
    Close {
        file: FileId,
    },
    /// Remove a file; one that is not there is no error.
    Unlink {
        dir: DirId,
        name: String,
    },
    /// fsync of the directory: creations and removals are durable when it is answered.
    SyncDir {
        dir: DirId,
    },
    /// Ask for the file system's free and total bytes.
    Space {
        dir: DirId,
    },
}

/// What a disk operation yields.
#[derive(Debug)]
pub enum DiskReply {
    Done,
    Attached(Box<Attached>),
    Read(Vec<u8>),
    Space(Space),
}

/// A file system's space in bytes; `free` is what an ordinary user may still write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub free: u64,
    pub total: u64,
}

/// Why a disk operation failed.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("no space left")]
    NoSpace,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Attach(#[from] AttachError),
    /// The id names no open directory or file.
    #[error("not open")]
    NotOpen,
}

/// Why a socket was closed, from the operating system's error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    #[error("connection refused")]
    Refused,
    #[error("host or network unreachable")]
    Unreachable,
    #[error("connection reset")]
    Reset,
    #[error("timed out")]
    TimedOut,
    #[error("too much waiting to be sent")]
    Overflow,
    /// Of [`Action::SendFile`].
    #[error("a file to be sent: {0}")]
    File(String),
    #[error("{0}")]
    Other(String),
}

/// Buckets of [`Turns`]: the last one takes all from 2^22 us (4.2 s) up.
pub const TURN_BUCKETS: usize = 24;

/// Turns of the loop by how long they took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// Bucket 0 counts those below 1 us, bucket `n` those from 2^(n-1) us to below 2^n us.
    pub counts: [u64; TURN_BUCKETS],
    /// All turns together.
    pub sum: Duration,
    /// The longest since the start.
    pub longest: Duration,
    /// The longest since the report before this one.
    pub longest_recent: Duration,
}

impl Turns {
    /// Counts a turn.
    pub fn count(&mut self, took: Duration) {
        let us = took.as_micros();
        let bucket = ((u128::BITS - us.leading_zeros()) as usize).min(TURN_BUCKETS - 1);
        self.counts[bucket] += 1;
        self.sum += took;
        self.longest = self.longest.max(took);
        self.longest_recent = self.longest_recent.max(took);
    }
}

/// How the reactor fares: counters since the program started, and some states of now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReactorStats {
    /// How long the turns kept the loop busy, waiting for events not counted.
    pub turns: Turns,
    /// The loop's own processor time of them (at most: that of turns below a millisecond is taken for as long
    /// as they lasted). A turn that lasted longer than this waited: for a processor that others kept busy,
    /// or in the kernel.
    pub turns_cpu: Turns,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// Sockets that are open now, and HTTP connections turned away because there were too many.
    pub connections: u32,
    pub connections_refused: u64,
    /// Disk operations under way or waiting now, and the most there ever were.
    pub disk_operations: u32,
    pub disk_operations_most: u32,
    /// Log lines that were lost because nobody took them.
    pub log_lines_dropped: u64,
    /// `io_uring` or `threads`.
    pub disk_backend: &'static str,
    pub process: ProcessStats,
}

/// What the program takes of the machine, and how busy that is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessStats {
    /// Time of all its processors and threads since the program started.
    pub cpu: Duration,
    pub resident_bytes: u64,
    /// The machine's load of the last 1, 5 and 15 minutes, in hundredths.
    pub load_hundredths: [u32; 3],
}

/// One line of the log. It never holds a password; URLs in it are without their user part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    pub severity: Severity,
    /// What kind of thing happened, one word with hyphens: `camera-lost`, `disk-full`. The MSGID.
    pub event: &'static str,
    /// The camera's name, where it is about one.
    pub camera: Option<String>,
    /// `main` or `sub`, where it is about one.
    pub stream: Option<&'static str>,
    /// A sentence for people.
    pub message: String,
}
