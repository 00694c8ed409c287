//! One socket with what waits to be sent on it, and how that is sent: bytes in memory together, small
//! ranges of files with them, large ones by the kernel itself.
//!
//! On a connection with TLS all of it is encrypted here, a piece at a time.
//!
//! Nothing here waits for the disk. A range that is not in memory is asked for ([`ColdRead`]), and the
//! connection rests until it is there.

use super::queue::{Front, SendQueue};
use super::{options, socket_error};
use crate::nvr::port::{ConnId, SocketError};
use crate::reactor::clock::Clock;
use crate::reactor::disk::window::{self, Resident, window_at};
use crate::reactor::disk::{ColdRead, SharedFile};
use crate::reactor::tls::session::{PIECE_BYTES, Session};
use crate::reactor::tokens::SlotKey;
use crate::time::Monotonic;
use mio::net::{TcpStream, UdpSocket, UnixStream};
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{MsgFlags, sendmsg};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// Pieces in a send queue that one `writev` takes.
const MAX_WRITE_SLICES: usize = 16;

/// Ranges of files up to this size are read and sent together with what is before and after them;
/// larger ones go by `sendfile`. It is about where both cost the same (design/disk.md).
const SMALL_RANGE_BYTES: u64 = 16 << 10;

/// What small ranges are read into, at the end of the turn.
const SCRATCH_BYTES: usize = 64 << 10;

/// For how long what was found in memory is taken to be there still. A reader that is fast so asks once a
/// window instead of once a turn: asking costs about a fifth of sending. One that had to wait for the disk asks
/// in each turn: what came from there a moment ago may go as soon, and then the loop would wait for it.
const RESIDENT_LIFE: Duration = Duration::from_millis(50);

/// About how long one call of `sendfile` may take: it cannot be interrupted. How many bytes that is, is
/// learned from the calls before.
const STEP_TIME: Duration = Duration::from_micros(500);

/// The bounds of what is learned, and what it begins with.
const STEP_BYTES: std::ops::RangeInclusive<usize> = 64 << 10..=1 << 20;
const FIRST_STEP_BYTES: usize = 256 << 10;

/// How often in a row the kernel may have let go of a window again before anything of it was sent.
const MAX_LOST_WINDOWS: u8 = 8;

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Udp {
        socket: UdpSocket,
        /// Whose datagrams are taken; `None`: anybody's.
        peer: Option<IpAddr>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// TCP's handshake is under way.
    Connecting,
    /// TLS's handshake is under way. The core does not know of the connection.
    Handshaking {
        deadline: Monotonic,
    },
    Open,
    /// Closed by the core (its id is gone): sending the rest of the queue.
    Flushing {
        deadline: Monotonic,
    },
    /// Sent it all and said so; what the peer still sends is dropped, because closing over unread
    /// bytes would reset the connection and could take our last words with it.
    Lingering {
        deadline: Monotonic,
    },
}

/// How a bulk socket is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reactor) enum Bulk {
    /// On each tick.
    Tick,
    /// On each short tick: its buffer in the kernel is small, and what does not fit is lost.
    ShortTick,
}

/// Where an accepted connection comes from.
#[derive(Clone, Copy, Debug)]
pub(in crate::reactor) struct Origin {
    /// The number of the address in the configuration.
    pub(in crate::reactor) listener: usize,
    pub(in crate::reactor) peer: Option<SocketAddr>,
    pub(in crate::reactor) uid: Option<u32>,
}

/// The TLS of a connection.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) session: Session,
    /// For the core, once it is told of the connection.
    pub(super) origin: Origin,
}

#[derive(Debug)]
pub(super) struct Conn {
    /// [`UNNAMED`] until the core has given one.
    pub(super) id: ConnId,
    pub(super) socket: Socket,
    pub(super) phase: Phase,
    pub(super) accepted: bool,
    /// How it is drained, if on ticks.
    pub(super) bulk: Option<Bulk>,
    pub(super) queue: SendQueue,
    /// The kernel took no more: nothing is tried until it says that it does again.
    pub(super) blocked: bool,
    pub(super) dirty: bool,
    /// In the loop's list of sockets with something to read.
    pub(super) ready: bool,
    /// It is not read until the core says so.
    pub(super) paused: bool,
    pub(super) disk: DiskWait,
    pub(super) tls: Option<Box<Tls>>,
    /// The peer of an accepted connection will send no more; the core was told.
    pub(super) input_ended: bool,
    /// Behind what can be read there is the end, or an error: so the poll says, and will not say it again.
    pub(super) end_is_near: bool,
    /// The peer is gone, or takes nothing any more: so the poll says.
    pub(super) hung_up: bool,
    /// Bytes that were read and dropped since it was closed.
    pub(super) dropped: usize,
    /// Something was queued since the core was last told that all is sent.
    pub(super) owes_drained: bool,
    /// Bytes that were sent, and how that and what the peer has not acknowledged was at the last look.
    pub(super) sent: u64,
    sent_before: u64,
    unacknowledged_before: u64,
}

/// The id of connections that the core does not know. It never gives this one.
pub(super) const UNNAMED: ConnId = ConnId(u64::MAX);

/// How a connection fares with the disk.
#[derive(Debug, Default)]
pub(super) struct DiskWait {
    /// Nothing is sent until the window at the queue's front is in memory.
    pub(super) waiting: bool,
    /// It had to wait. From then on the next window is asked for while one is being sent, until it is
    /// found in memory.
    cold: bool,
    /// The next window was asked for, and is not there.
    ahead: bool,
    /// The last window that was looked at in advance: its file's address, and where it begins.
    looked_ahead: Option<(usize, u64)>,
    /// The bytes at the queue's front that were in memory, if it is a large file, and when: good for
    /// [`RESIDENT_LIFE`].
    resident: u64,
    resident_at: Monotonic,
    /// Windows in a row that were made resident, and of which nothing was sent.
    lost: u8,
    /// Why the window at the front cannot be had.
    failed: Option<String>,
}

/// What connections need for sending files, and what they leave behind.
#[derive(Debug)]
pub(super) struct FileDesk {
    clock: Clock,
    /// Bytes for one call of `sendfile`.
    step: usize,
    scratch: Vec<u8>,
    /// Windows that connections want in memory: those that are waited for in the order of asking.
    pub(super) cold_reads: VecDeque<ColdRead>,
    /// How many of them the disk has, and has not answered yet.
    pub(super) being_read: usize,
    /// Files that a connection has had enough of.
    pub(super) released: Vec<Arc<File>>,
}

/// What [`Conn::write`] did.
pub(super) struct Written {
    pub(super) sent: usize,
    pub(super) end: Result<(), SocketError>,
}

enum Step {
    /// So many bytes of the queue: none if it was what encrypting had left.
    Sent(usize),
    /// There is nothing to be sent.
    Empty,
    /// The disk has to be waited for.
    Cold,
}

/// Why nothing can be sent any more.
enum Failure {
    Socket(io::Error),
    File(String),
}

impl Socket {
    /// Writes as [`Write::write_vectored`] does. With `more`, a file follows at once: the kernel need not send a small
    /// packet, nor wake the peer up, for what is before it. It keeps that for 200 ms at most (tcp(7), `MSG_MORE`).
    fn write_some(&mut self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        match self {
            Socket::Tcp(s) if more => {
                let flags = MsgFlags::from_bits_retain(libc::MSG_MORE) | MsgFlags::MSG_NOSIGNAL;
                let sent = sendmsg::<()>(s.as_raw_fd(), slices, &[], flags, None);
                sent.map_err(io::Error::from)
            }
            _ => self.write_vectored(slices),
        }
    }
}

impl Read for Socket {
    /// Of a stream; datagrams are read elsewhere.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(s) => s.read(buf),
            Socket::Unix(s) => s.read(buf),
            Socket::Udp { .. } => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(s) => s.write_vectored(slices),
            Socket::Unix(s) => s.write_vectored(slices),
            Socket::Udp { .. } => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Phase {
    pub(super) fn deadline(self) -> Option<Monotonic> {
        match self {
            Phase::Handshaking { deadline }
            | Phase::Flushing { deadline }
            | Phase::Lingering { deadline } => Some(deadline),
            Phase::Connecting | Phase::Open => None,
        }
    }
}

/// What a connection may send in a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) bytes: usize,
    /// Once something is sent, nothing more is from then on.
    pub(super) until: Monotonic,
}

impl FileDesk {
    pub(super) fn new(clock: Clock) -> FileDesk {
        FileDesk {
            clock,
            step: FIRST_STEP_BYTES,
            scratch: vec![0; SCRATCH_BYTES],
            cold_reads: VecDeque::new(),
            being_read: 0,
            released: Vec::new(),
        }
    }
}

impl Conn {
    pub(super) fn new(id: ConnId, socket: Socket, phase: Phase, accepted: bool) -> Conn {
        Conn {
            id,
            socket,
            phase,
            accepted,
            bulk: None,
            queue: SendQueue::default(),
            blocked: false,
            dirty: false,
            ready: false,
            paused: false,
            disk: DiskWait::default(),
            tls: None,
            input_ended: false,
            end_is_near: false,
            hung_up: false,
            dropped: 0,
            owes_drained: false,
            sent: 0,
            sent_before: 0,
            unacknowledged_before: 0,
        }
    }

    /// Whether the peer has taken anything since the last call. What the kernel has counts: it tells of
    /// room only when a third of its buffer is free, which is a minute's work for who takes 10 KB/s.
    pub(super) fn has_progressed(&mut self) -> bool {
        let unacknowledged = match &self.socket {
            Socket::Tcp(s) => options::unacknowledged(s.as_raw_fd()),
            Socket::Unix(s) => options::unacknowledged(s.as_raw_fd()),
            Socket::Udp { .. } => 0,
        };
        let sent_before = std::mem::replace(&mut self.sent_before, self.sent);
        let before = std::mem::replace(&mut self.unacknowledged_before, unacknowledged);
        sent_before != self.sent || unacknowledged < before
    }

    /// Whether something waits to be sent.
    pub(super) fn has_unsent(&self) -> bool {
        !self.queue.is_empty() || self.tls.as_ref().is_some_and(|t| t.session.has_unsent())
    }

    /// A window that was asked for is there, or cannot be had. True if something can be sent now, or
    /// an error is due.
    pub(super) fn warmed(&mut self, ahead: bool, result: Result<(), String>) -> bool {
        if ahead {
            self.disk.ahead = false;
        }
        if !self.disk.waiting {
            return false;
        }
        self.disk.waiting = false;
        self.disk.lost += 1;
        if !ahead {
            self.disk.failed = result.err();
        }
        true
    }

    /// Whether the disk was asked for something.
    pub(super) fn has_asked(&self) -> bool {
        self.disk.waiting || self.disk.ahead
    }

    /// Writes from the queue until it is empty, the kernel takes no more (`blocked` is set), the disk
    /// has to be waited for or the budget is spent.
    pub(super) fn write(
        &mut self,
        key: SlotKey,
        now: Monotonic,
        budget: Budget,
        desk: &mut FileDesk,
    ) -> Written {
        let mut sent = 0;
        if self.disk.cold || now.since(self.disk.resident_at) > RESIDENT_LIFE {
            self.disk.resident = 0;
            self.disk.resident_at = now;
        }
        while sent < budget.bytes && (sent == 0 || desk.clock.monotonic() < budget.until) {
            let step = match self.tls {
                Some(_) => self.write_encrypted(key, desk),
                None => self.write_plain(key, now, budget.bytes - sent, desk),
            };
            let failure = match step {
                Ok(Step::Empty) => break,
                Ok(Step::Sent(0)) => continue,
                Ok(Step::Sent(n)) => {
                    sent += n;
                    self.disk.lost = 0;
                    // Its last bytes may have gone as a small range, with what comes after them.
                    self.disk.resident = self.disk.resident.saturating_sub(n as u64);
                    self.queue.advance(n as u64, &mut desk.released);
                    continue;
                }
                Ok(Step::Cold) => match self.await_disk(key, desk) {
                    Ok(()) => break,
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            let reason = match failure {
                Failure::Socket(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Failure::Socket(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Failure::Socket(e) => socket_error(&e),
                Failure::File(why) => SocketError::File(why),
            };
            let end = Err(reason);
            return Written { sent, end };
        }
        Written { sent, end: Ok(()) }
    }

    fn write_plain(
        &mut self,
        key: SlotKey,
        now: Monotonic,
        budget: usize,
        desk: &mut FileDesk,
    ) -> Result<Step, Failure> {
        match self.queue.front() {
            None => Ok(Step::Empty),
            Some(Front::File(file, range)) if range.end - range.start > SMALL_RANGE_BYTES => {
                let file = file.clone();
                self.write_file(key, now, &file, range, budget, desk)
            }
            Some(_) => self.write_gathered(&mut desk.scratch),
        }
    }

    /// Sends what is encrypted, else encrypts a piece of what is queued.
    fn write_encrypted(&mut self, key: SlotKey, desk: &mut FileDesk) -> Result<Step, Failure> {
        let Some(tls) = &mut self.tls else {
            return Ok(Step::Empty);
        };
        if tls.session.has_unsent() {
            return match tls.session.send(&mut self.socket) {
                Ok(0) => Err(Failure::Socket(io::ErrorKind::WriteZero.into())),
                Ok(_) => Ok(Step::Sent(0)),
                Err(e) => Err(Failure::Socket(e)),
            };
        }
        let mut window = None;
        let plain = match self.queue.front() {
            None => return Ok(Step::Empty),
            Some(Front::Memory(bytes)) => bytes,
            Some(Front::File(file, range)) => {
                let most = (range.end - range.start).min(PIECE_BYTES as u64) as usize;
                let scratch = &mut desk.scratch[..most];
                window = Some(window_at(range.start, range.end));
                match window::read_resident(&file.file, range.start, scratch) {
                    Ok(Resident::Bytes(n)) => &scratch[..n],
                    Ok(Resident::Cold) => return Ok(Step::Cold),
                    Ok(Resident::End) => return Err(too_short(range.start)),
                    Err(e) => return Err(Failure::File(e.to_string())),
                }
            }
        };
        let encrypted = match tls.session.encrypt(plain) {
            Ok(0) => Err(Failure::Socket(io::ErrorKind::WriteZero.into())),
            Ok(n) => Ok(Step::Sent(n)),
            Err(e) => Err(Failure::Socket(e)),
        };
        if let Some(window) = window {
            self.look_ahead(key, &window, desk);
        }
        encrypted
    }

    /// Sends what is in memory, and small ranges of files that lie among it, by one call.
    fn write_gathered(&mut self, scratch: &mut [u8]) -> Result<Step, Failure> {
        let mut slices = [IoSlice::new(&[]); MAX_WRITE_SLICES];
        let mut scratch = scratch;
        let mut count = 0;
        let mut more = false;
        for (slice, front) in slices.iter_mut().zip(self.queue.iter()) {
            let (file, range) = match front {
                Front::Memory(bytes) => {
                    *slice = IoSlice::new(bytes);
                    count += 1;
                    continue;
                }
                Front::File(file, range) => (file, range),
            };
            let len = range.end - range.start;
            if len > SMALL_RANGE_BYTES.min(scratch.len() as u64) {
                more = true;
                break;
            }
            let (part, rest) = scratch.split_at_mut(len as usize);
            scratch = rest;
            match window::read_resident(&file.file, range.start, part) {
                Ok(Resident::Bytes(n)) => {
                    *slice = IoSlice::new(&part[..n]);
                    count += 1;
                    if n < len as usize {
                        break;
                    }
                }
                // What comes before it goes first.
                _ if count > 0 => break,
                Ok(Resident::Cold) => return Ok(Step::Cold),
                Ok(Resident::End) => return Err(too_short(range.start)),
                Err(e) => return Err(Failure::File(e.to_string())),
            }
        }
        match self.socket.write_some(&slices[..count], more) {
            Ok(0) => Err(Failure::Socket(io::ErrorKind::WriteZero.into())),
            Ok(n) => Ok(Step::Sent(n)),
            Err(e) => Err(Failure::Socket(e)),
        }
    }

    /// Has the kernel send from a file what is in memory.
    fn write_file(
        &mut self,
        key: SlotKey,
        now: Monotonic,
        file: &SharedFile,
        range: Range<u64>,
        budget: usize,
        desk: &mut FileDesk,
    ) -> Result<Step, Failure> {
        if self.disk.resident == 0 {
            let window = window_at(range.start, range.end);
            let ask = match desk.being_read {
                0 => window::resident_quickly,
                _ => window::resident,
            };
            self.disk.resident =
                ask(&file.file, &window).map_err(|e| Failure::File(e.to_string()))?;
            if self.disk.resident == 0 {
                return Ok(Step::Cold);
            }
            self.disk.resident_at = now;
            self.look_ahead(key, &window, desk);
        }
        let mut offset = i64::try_from(range.start).map_err(|_| too_short(range.start))?;
        let most = self.disk.resident.min(budget.min(desk.step) as u64) as usize;
        let began = desk.clock.monotonic();
        let sent = match &self.socket {
            Socket::Tcp(s) => sendfile64(s, &file.file, Some(&mut offset), most),
            Socket::Unix(s) => sendfile64(s, &file.file, Some(&mut offset), most),
            Socket::Udp { .. } => Ok(0),
        };
        match sent.map_err(io::Error::from) {
            // It was cut since its pages were looked for.
            Ok(0) => Err(too_short(range.start)),
            Ok(n) => {
                desk.learn_step(n, desk.clock.monotonic().since(began));
                Ok(Step::Sent(n))
            }
            Err(e) if e.raw_os_error() == Some(libc::EIO) => Err(Failure::File(e.to_string())),
            Err(e) => Err(Failure::Socket(e)),
        }
    }

    /// Asks for the window at the queue's front, unless that cannot help.
    fn await_disk(&mut self, key: SlotKey, desk: &mut FileDesk) -> Result<(), Failure> {
        if let Some(why) = self.disk.failed.take() {
            return Err(Failure::File(why));
        }
        if self.disk.lost >= MAX_LOST_WINDOWS {
            let why = "there is too little memory to hold it until it is sent";
            return Err(Failure::File(why.to_owned()));
        }
        self.disk.waiting = true;
        self.disk.cold = true;
        // The window that was asked for in advance is this one, or comes before it is asked for.
        if self.disk.ahead {
            return Ok(());
        }
        if let Some(Front::File(file, range)) = self.queue.front() {
            desk.cold_reads.push_back(ColdRead {
                reader: key,
                ahead: false,
                file: file.clone(),
                range: window_at(range.start, range.end),
            });
        }
        Ok(())
    }

    /// Asks for the window after `current`, which is about to be sent: for those who had to wait for
    /// the disk before.
    fn look_ahead(&mut self, key: SlotKey, current: &Range<u64>, desk: &mut FileDesk) {
        if !self.disk.cold || self.disk.ahead {
            return;
        }
        let Some((file, range)) = self.queue.file_after(current.end) else {
            return;
        };
        let window = window_at(range.start, range.end);
        let place = (Arc::as_ptr(&file.file) as usize, window.start);
        if self.disk.looked_ahead.replace(place) == Some(place) {
            return;
        }
        let there = window::resident(&file.file, &window);
        if there.is_ok_and(|bytes| bytes == window.end - window.start) {
            // Asking costs more than it gains where all is in memory.
            self.disk.cold = false;
            return;
        }
        self.disk.ahead = true;
        desk.cold_reads.push_back(ColdRead {
            reader: key,
            ahead: true,
            file: file.clone(),
            range: window,
        });
    }
}

impl FileDesk {
    /// `sendfile` has taken so long for so many bytes.
    fn learn_step(&mut self, bytes: usize, took: Duration) {
        if bytes < *STEP_BYTES.start() {
            return; // The call itself may have cost more than its bytes.
        }
        let fits = bytes as u128 * STEP_TIME.as_nanos() / took.as_nanos().max(1);
        let fits = usize::try_from(fits).unwrap_or(usize::MAX);
        // Once it was interrupted it need not be so the next time: up again in a few steps.
        let fits = fits.min(self.step * 2);
        self.step = fits.clamp(*STEP_BYTES.start(), *STEP_BYTES.end());
    }

    /// The next window to be made resident of a directory that `may` be read: first what is waited
    /// for.
    pub(super) fn next_cold_read(&mut self, may: impl Fn(&ColdRead) -> bool) -> Option<ColdRead> {
        let find = |ahead| {
            let wanted = |r: &ColdRead| r.ahead == ahead && may(r);
            self.cold_reads.iter().position(wanted)
        };
        let index = find(false).or_else(|| find(true))?;
        self.being_read += 1;
        self.cold_reads.remove(index)
    }

    /// Takes back what a connection that is gone has left.
    pub(super) fn forget(&mut self, key: SlotKey, conn: Conn) {
        if conn.has_asked() {
            let released = &mut self.released;
            self.cold_reads.retain(|read| {
                let keep = read.reader != key;
                if !keep {
                    released.push(read.file.file.clone());
                }
                keep
            });
        }
        self.released.extend(conn.queue.into_files());
    }
}

fn too_short(at: u64) -> Failure {
    Failure::File(format!("it ends at byte {at} or before, within the range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_what_fits_its_time() {
        let mut desk = FileDesk::new(Clock::new());
        let mut learn = |bytes, us| {
            desk.learn_step(bytes, Duration::from_micros(us));
            desk.step
        };
        // A fast machine: all of a window at once, soon.
        assert_eq!(learn(256 << 10, 20), 512 << 10);
        assert_eq!(learn(512 << 10, 40), 1 << 20);
        assert_eq!(learn(1 << 20, 80), 1 << 20);
        // A slow one.
        assert_eq!(learn(1 << 20, 4_000), 128 << 10);
        // What says nothing, and one that was interrupted.
        assert_eq!(learn(10 << 10, 900), 128 << 10);
        assert_eq!(learn(128 << 10, 40_000), 64 << 10);
        assert_eq!(learn(64 << 10, 0), 128 << 10);
    }
}
