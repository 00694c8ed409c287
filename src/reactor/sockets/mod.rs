//! Connections: TCP made and accepted, UNIX accepted, UDP pairs. Owned by the event loop; everything
//! here is non-blocking, and nothing here knows what the bytes mean.
//!
//! Sockets are registered once, for reading and writing, edge-triggered. What is to be sent waits in
//! a bounded queue for each connection and goes out at the end of the turn.

mod conn;
pub(super) mod group;
mod handshakes;
pub(super) mod listeners;
mod options;
mod queue;
pub(super) mod udp;

pub(super) use conn::{Bulk, Origin};
pub use handshakes::MAX_HANDSHAKES;

use super::clock::Clock;
use super::disk::{ColdRead, SharedFile, Warmed};
use super::tokens::{SlotKey, Slots, Target};
use crate::nvr::port::{ConnId, Event, SEND_LOW_WATER_BYTES, SocketError};
use crate::time::Monotonic;
use conn::{Budget, Conn, FileDesk, Phase, Socket, UNNAMED};
use handshakes::HANDSHAKE_STEPS_PER_TURN;
use mio::net::TcpStream;
use mio::{Interest, Registry};
use queue::Piece;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Bytes in memory that may wait to be sent on one connection. One that passes it is closed with
/// [`SocketError::Overflow`]: the core paces itself by [`Event::Drained`], so this is its mistake.
pub const MAX_SEND_QUEUE_BYTES: usize = 4 << 20;

/// Bytes that one connection may send in one turn, or more if so few have something to send that all of them
/// together do not use up [`TURN_SEND_BUDGET_BYTES`]; the rest goes in the next one. A MiB of a file and its
/// response's head go together.
const SEND_BUDGET_BYTES: usize = (1 << 20) + (16 << 10);

/// Bytes that all connections may send in one turn. Each counts as [`SEND_COST_BYTES`] at least.
const TURN_SEND_BUDGET_BYTES: usize = 4 << 20;

/// How long all connections may send in one turn. On a small board, or on a machine that does much else, what
/// may be sent by [`TURN_SEND_BUDGET_BYTES`] takes longer.
const TURN_SEND_LIMIT: Duration = Duration::from_millis(2);

/// What a connection's turn costs however little it sends.
const SEND_COST_BYTES: usize = 8 << 10;

/// What a byte that has to be encrypted costs, in bytes that need not be: about right for a board
/// whose processor has no instructions for it.
const TLS_COST: usize = 8;

/// How long a connection that was closed with `flush` may take to send what is queued and to see
/// the peer close in turn. Then it is cut.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// What a peer may still send that is not listened to any more, while it is being told so: a client
/// that posts too much reads its 413 at the end of the post. Past it the connection is cut.
pub const LINGER_BYTES: usize = 16 << 20;

/// A bulk TCP connection wakes the loop ahead of its tick when so many bytes wait in the kernel
/// (`SO_RCVLOWAT`): not for the key frame of a usual camera, but before the window can close. For
/// the kernel makes the receive buffer twice as large at least, while its own tuning, which goes by
/// how fast we read, would hold up a camera for a whole tick.
pub const BULK_WAKE_BYTES: i32 = 512 << 10;

/// What [`Sockets::read`] found.
#[derive(Debug)]
pub(super) enum Reading {
    /// So many bytes for the core are in the buffer. With `more`, it is worth while to read again.
    Bytes {
        conn: ConnId,
        len: usize,
        more: bool,
    },
    /// A datagram is in the buffer.
    Datagram {
        conn: ConnId,
        from: SocketAddr,
        len: usize,
    },
    /// So many bytes that are of no interest to the core were read and dropped; there may be more.
    Dropped(usize),
    /// TLS's handshake is complete: the core can be told of the connection ([`Sockets::introduce`]).
    Handshaken(Origin),
    /// It is not its turn in this turn of the loop.
    Later,
    /// Nothing more to read now, or ever.
    Nothing,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Sockets {
    clock: Clock,
    registry: Registry,
    conns: Slots<Conn>,
    by_id: HashMap<ConnId, SlotKey>,
    accepted: usize,
    /// Have something to send that was not tried yet.
    dirty: VecDeque<SlotKey>,
    desk: FileDesk,
    /// Are flushing or lingering.
    closing: Vec<SlotKey>,
    /// TLS's handshake is under way, the oldest first.
    handshaking: VecDeque<SlotKey>,
    handshake_steps_left: usize,
    bulk: Vec<SlotKey>,
    /// May hold bytes that no readiness event will tell of.
    unread: Vec<SlotKey>,
    events: VecDeque<Event<'static>>,
    bytes_sent: u64,
}

impl Sockets {
    pub(super) fn new(registry: Registry, clock: Clock) -> Sockets {
        Sockets {
            clock,
            registry,
            conns: Slots::default(),
            by_id: HashMap::new(),
            accepted: 0,
            dirty: VecDeque::new(),
            desk: FileDesk::new(clock),
            closing: Vec::new(),
            handshaking: VecDeque::new(),
            handshake_steps_left: HANDSHAKE_STEPS_PER_TURN,
            bulk: Vec::new(),
            unread: Vec::new(),
            events: VecDeque::new(),
            bytes_sent: 0,
        }
    }

    /// What the core is to be told, besides what was read.
    pub(super) fn next_event(&mut self) -> Option<Event<'static>> {
        self.events.pop_front()
    }

    /// Whether [`Self::next_event`] has one.
    pub(super) fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// Bytes that the kernel took, over all sockets there ever were.
    pub(super) fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }

    /// Sockets that are open, closing ones included.
    pub(super) fn len(&self) -> usize {
        self.conns.len()
    }

    /// [`crate::nvr::port::Action::Connect`].
    pub(super) fn connect(&mut self, id: ConnId, addr: SocketAddr) {
        let added = TcpStream::connect(addr)
            .and_then(|stream| self.add(id, Socket::Tcp(stream), Phase::Connecting, false));
        if let Err(e) = added {
            self.events.push_back(Event::Closed {
                conn: id,
                reason: Err(socket_error(&e)),
            });
        }
    }

    /// [`crate::nvr::port::Action::Send`].
    pub(super) fn send(&mut self, id: ConnId, bytes: Vec<u8>) {
        self.enqueue(id, Piece::Bytes(bytes));
    }

    /// [`crate::nvr::port::Action::SendShared`].
    pub(super) fn send_shared(&mut self, id: ConnId, bytes: Arc<Vec<u8>>) {
        self.enqueue(id, Piece::Shared(bytes));
    }

    /// [`crate::nvr::port::Action::SendFile`]; `None` is a file that is not open.
    pub(super) fn send_file(&mut self, id: ConnId, file: Option<SharedFile>, range: Range<u64>) {
        match file {
            Some(file) if range.start <= range.end => self.enqueue(id, Piece::File(file, range)),
            _ => {
                if let Some((key, _)) = self.open_stream(id) {
                    let why = "not open, or a range that ends before it begins".to_owned();
                    self.remove(key, Some(Err(SocketError::File(why))));
                }
            }
        }
    }

    fn enqueue(&mut self, id: ConnId, piece: Piece) {
        let Some((key, conn)) = self.open_stream(id) else {
            return;
        };
        if !conn.queue.push(piece, MAX_SEND_QUEUE_BYTES) {
            self.remove(key, Some(Err(SocketError::Overflow)));
        } else if !conn.queue.is_empty() {
            conn.owes_drained = true;
            if !conn.blocked && conn.phase == Phase::Open {
                self.mark_dirty(key);
            }
        }
    }

    /// [`crate::nvr::port::Action::Bulk`].
    pub(super) fn set_bulk(&mut self, id: ConnId) {
        let Some(&key) = self.by_id.get(&id) else {
            return;
        };
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if conn.bulk.is_some() {
            return;
        }
        conn.bulk = Some(match &mut conn.socket {
            Socket::Tcp(stream) => {
                // Where this fails it only costs wake-ups.
                let _ = options::set_receive_low_water(stream, BULK_WAKE_BYTES);
                Bulk::Tick
            }
            Socket::Unix(_) => Bulk::Tick,
            // Datagrams have no low water mark, so readiness is not asked for at all.
            Socket::Udp { socket, .. } => {
                let _ = self.registry.deregister(socket);
                udp::bulk_kind(socket)
            }
        });
        self.bulk.push(key);
    }

    /// [`crate::nvr::port::Action::Close`].
    pub(super) fn close(&mut self, id: ConnId, flush: bool, now: Monotonic) {
        let Some(&key) = self.by_id.get(&id) else {
            return;
        };
        let stream = self.conns.get(key).is_some_and(|c| {
            c.phase == Phase::Open && matches!(c.socket, Socket::Tcp(_) | Socket::Unix(_))
        });
        if flush && stream {
            self.begin_closing(key, now);
        } else {
            self.remove(key, None);
        }
    }

    /// A socket may be written to, or a connection attempt has ended.
    pub(super) fn writable(&mut self, key: SlotKey) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if conn.phase == Phase::Connecting {
            self.finish_connecting(key);
        } else if conn.has_unsent() {
            self.mark_dirty(key);
        }
    }

    /// The poll says that behind what can be read there is the end, or an error.
    pub(super) fn end_is_near(&mut self, key: SlotKey) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.end_is_near = true;
        }
    }

    /// The poll says that the peer is gone, or that the connection has failed. What it sent before is
    /// still read.
    pub(super) fn hung_up(&mut self, key: SlotKey) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.hung_up = true;
        }
    }

    /// Marks a socket as one to be read; false if it is marked already or gone.
    pub(super) fn mark_ready(&mut self, key: SlotKey) -> bool {
        match self.conns.get_mut(key) {
            Some(conn) => !std::mem::replace(&mut conn.ready, true),
            None => false,
        }
    }

    /// Takes the mark away; false if the socket is gone.
    pub(super) fn unmark_ready(&mut self, key: SlotKey) -> bool {
        match self.conns.get_mut(key) {
            Some(conn) => {
                conn.ready = false;
                true
            }
            None => false,
        }
    }

    /// Whether there is any such.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// [`crate::nvr::port::Action::Pause`]. What comes meanwhile is looked for when it is read again.
    pub(super) fn pause(&mut self, id: ConnId) {
        if let Some((_, conn)) = self.open_stream(id) {
            conn.paused = true;
        }
    }

    /// [`crate::nvr::port::Action::Resume`].
    pub(super) fn resume(&mut self, id: ConnId) {
        if let Some((key, conn)) = self.open_stream(id) {
            if std::mem::take(&mut conn.paused) {
                self.unread.push(key);
            }
        }
    }

    /// Sockets to be read although no readiness event will tell so.
    pub(super) fn next_unread(&mut self) -> Option<SlotKey> {
        self.unread.pop()
    }

    /// The bulk sockets that this kind of tick reads, appended to `keys` and marked ready.
    pub(super) fn on_tick(&mut self, kind: Bulk, keys: &mut VecDeque<SlotKey>) {
        let conns = &mut self.conns;
        self.bulk.retain(|&key| {
            let Some(conn) = conns.get_mut(key) else {
                return false;
            };
            if conn.bulk == Some(kind) && !std::mem::replace(&mut conn.ready, true) {
                keys.push_back(key);
            }
            conn.bulk.is_some()
        });
    }

    /// Whether any socket waits for this kind of tick.
    pub(super) fn has_bulk(&self, kind: Bulk) -> bool {
        self.bulk
            .iter()
            .any(|&key| self.conns.get(key).is_some_and(|c| c.bulk == Some(kind)))
    }

    /// Reads once, into `buf`.
    pub(super) fn read(&mut self, key: SlotKey, buf: &mut [u8], now: Monotonic) -> Reading {
        let Some(conn) = self.conns.get_mut(key) else {
            return Reading::Nothing;
        };
        if conn.paused && conn.phase == Phase::Open {
            return Reading::Nothing;
        }
        if conn.input_ended && conn.phase == Phase::Open {
            // There is nothing to be read but that it is gone.
            if conn.hung_up {
                self.remove(key, Some(Ok(())));
            }
            return Reading::Nothing;
        }
        match (conn.phase, &conn.socket) {
            (Phase::Connecting, _) => return Reading::Nothing,
            (_, Socket::Udp { socket, peer }) => return udp::read(conn.id, socket, *peer, buf),
            (Phase::Handshaking { .. } | Phase::Open, _) if conn.tls.is_some() => {
                return self.read_encrypted(key, buf, now);
            }
            _ => {}
        }
        let result = conn.socket.read(buf);
        match result {
            Ok(0) => {
                self.read_end(key, now);
                Reading::Nothing
            }
            Ok(len) if conn.phase != Phase::Open => {
                conn.dropped += len;
                if conn.dropped > LINGER_BYTES {
                    self.remove(key, None);
                }
                Reading::Dropped(len)
            }
            Ok(len) => Reading::Bytes {
                conn: conn.id,
                len,
                // The poll tells of whatever comes after a short read, except an end that it has told of
                // already. A bulk connection's is seen on the next tick.
                more: len == buf.len() || (conn.end_is_near && conn.bulk.is_none()),
            },
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Reading::Nothing,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Reading::Dropped(0),
            Err(e) => {
                self.remove(key, Some(Err(socket_error(&e))));
                Reading::Nothing
            }
        }
    }

    /// Sends what waits and may be sent, within the budgets of a turn.
    pub(super) fn flush(&mut self, now: Monotonic) {
        self.handshake_steps_left = HANDSHAKE_STEPS_PER_TURN;
        let mut budget = TURN_SEND_BUDGET_BYTES;
        let until = now + TURN_SEND_LIMIT;
        let share = TURN_SEND_BUDGET_BYTES / self.dirty.len().max(1);
        let share = share.max(SEND_BUDGET_BYTES);
        for _ in 0..self.dirty.len() {
            let Some(key) = self.dirty.pop_front() else {
                break;
            };
            let cost = self.flush_one(key, now, share, until);
            budget = budget.saturating_sub(cost.max(SEND_COST_BYTES));
            if budget == 0 || self.clock.monotonic() >= until {
                break;
            }
        }
    }

    /// A window of a file that a connection wants in memory, of a directory that `may` be read.
    pub(super) fn next_cold_read(&mut self, may: impl Fn(&ColdRead) -> bool) -> Option<ColdRead> {
        self.desk.next_cold_read(may)
    }

    /// A window that was asked for is in memory, or cannot be.
    pub(super) fn warmed(&mut self, warmed: Warmed) {
        self.desk.being_read -= 1;
        if let Some(conn) = self.conns.get_mut(warmed.reader) {
            if conn.warmed(warmed.ahead, warmed.result) {
                self.mark_dirty(warmed.reader);
            }
        }
    }

    /// A file that a connection has had enough of.
    pub(super) fn next_released(&mut self) -> Option<Arc<File>> {
        self.desk.released.pop()
    }

    /// Something was left over by [`Self::flush`] only for the sake of fairness.
    pub(super) fn has_unflushed(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Connections that still have to say their last words.
    pub(super) fn has_flushing(&self) -> bool {
        self.closing.iter().any(|&key| {
            let phase = self.conns.get(key).map(|c| c.phase);
            matches!(phase, Some(Phase::Flushing { .. }))
        })
    }

    /// When [`Self::expire`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        let limited = self.closing.iter().chain(&self.handshaking);
        limited
            .filter_map(|&key| self.conns.get(key)?.phase.deadline())
            .min()
    }

    /// Cuts connections that take too long to close, or to shake hands.
    pub(super) fn expire(&mut self, now: Monotonic) {
        if self.next_deadline().is_none_or(|d| d > now) {
            return;
        }
        let limited: Vec<SlotKey> = self
            .closing
            .iter()
            .chain(&self.handshaking)
            .copied()
            .collect();
        for key in limited {
            let deadline = self.conns.get(key).and_then(|c| c.phase.deadline());
            if deadline.is_some_and(|d| d <= now) {
                self.remove(key, None);
            }
        }
    }

    fn add(
        &mut self,
        id: ConnId,
        mut socket: Socket,
        phase: Phase,
        accepted: bool,
    ) -> io::Result<SlotKey> {
        let full = || io::Error::other("too many sockets");
        let key = self.conns.next_key().ok_or_else(full)?;
        let token = Target::Socket(key).token();
        let both = Interest::READABLE | Interest::WRITABLE;
        match &mut socket {
            Socket::Tcp(s) => self.registry.register(s, token, both)?,
            Socket::Unix(s) => self.registry.register(s, token, both)?,
            Socket::Udp { socket, .. } => {
                self.registry.register(socket, token, Interest::READABLE)?
            }
        }
        let conn = Conn::new(id, socket, phase, accepted);
        let key = self.conns.insert(conn).map_err(|_| full())?;
        self.accepted += usize::from(accepted);
        if id != UNNAMED {
            self.by_id.insert(id, key);
        }
        Ok(key)
    }

    /// Gives an accepted connection the id by which the core will know it.
    pub(super) fn introduce(&mut self, key: SlotKey, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(key) {
            conn.id = id;
            self.by_id.insert(id, key);
        }
    }

    /// Forgets a socket, which closes it; tells the core with `reason`, unless it knows.
    fn remove(&mut self, key: SlotKey, reason: Option<Result<(), SocketError>>) {
        let Some(conn) = self.conns.remove(key) else {
            return;
        };
        self.accepted -= usize::from(conn.accepted);
        match conn.phase {
            Phase::Connecting | Phase::Open => {
                self.by_id.remove(&conn.id);
                if let Some(reason) = reason {
                    self.events.push_back(Event::Closed {
                        conn: conn.id,
                        reason,
                    });
                }
            }
            Phase::Handshaking { .. } => self.handshaking.retain(|&k| k != key),
            Phase::Flushing { .. } | Phase::Lingering { .. } => {
                self.closing.retain(|&k| k != key);
            }
        }
        self.desk.forget(key, conn);
    }

    fn open_stream(&mut self, id: ConnId) -> Option<(SlotKey, &mut Conn)> {
        let key = *self.by_id.get(&id)?;
        let conn = self.conns.get_mut(key)?;
        match conn.socket {
            Socket::Tcp(_) | Socket::Unix(_) => Some((key, conn)),
            Socket::Udp { .. } => None,
        }
    }

    fn mark_dirty(&mut self, key: SlotKey) {
        if let Some(conn) = self.conns.get_mut(key) {
            if !conn.disk.waiting && !std::mem::replace(&mut conn.dirty, true) {
                self.dirty.push_back(key);
            }
        }
    }

    fn finish_connecting(&mut self, key: SlotKey) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let Socket::Tcp(stream) = &conn.socket else {
            return;
        };
        match stream.take_error() {
            Ok(None) => {}
            Ok(Some(e)) | Err(e) => {
                self.remove(key, Some(Err(socket_error(&e))));
                return;
            }
        }
        match stream.peer_addr() {
            Ok(_) => {}
            // Not there yet: an event that was about nothing.
            Err(e) if e.kind() == io::ErrorKind::NotConnected => return,
            Err(e) => {
                self.remove(key, Some(Err(socket_error(&e))));
                return;
            }
        }
        options::prepare_stream(stream);
        conn.phase = Phase::Open;
        let (id, queued) = (conn.id, !conn.queue.is_empty());
        if queued {
            self.mark_dirty(key);
        }
        self.events.push_back(Event::Connected { conn: id });
    }

    /// The peer has closed its side. What we still have to send is sent.
    fn read_end(&mut self, key: SlotKey, now: Monotonic) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        match conn.phase {
            // It may read on: what it asked for is the core's to know.
            Phase::Open if conn.accepted && !conn.hung_up => {
                conn.input_ended = true;
                let conn = conn.id;
                self.events.push_back(Event::InputEnded { conn });
            }
            Phase::Open if !conn.accepted && !conn.queue.is_empty() => {
                let id = conn.id;
                self.events.push_back(Event::Closed {
                    conn: id,
                    reason: Ok(()),
                });
                self.begin_closing(key, now);
            }
            // It may well read on.
            Phase::Flushing { .. } => {}
            _ => self.remove(key, Some(Ok(()))),
        }
    }

    fn begin_closing(&mut self, key: SlotKey, now: Monotonic) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        if let Phase::Handshaking { .. } = conn.phase {
            self.handshaking.retain(|&k| k != key);
        }
        conn.phase = Phase::Flushing {
            deadline: now + FLUSH_LIMIT,
        };
        if conn.bulk.take().is_some() {
            // It is read as it comes from now on, though only to be dropped.
            if let Socket::Tcp(stream) = &conn.socket {
                let _ = options::set_receive_low_water(stream, 1);
            }
        }
        self.by_id.remove(&conn.id);
        self.closing.push(key);
        self.unread.push(key);
        self.mark_dirty(key);
    }

    /// Sends what waits on one connection; what that has cost, in bytes that are sent as they are.
    fn flush_one(&mut self, key: SlotKey, now: Monotonic, share: usize, until: Monotonic) -> usize {
        let Some(conn) = self.conns.get_mut(key) else {
            return 0;
        };
        conn.dirty = false;
        conn.blocked = false;
        let was_high = conn.queue.bytes() > SEND_LOW_WATER_BYTES;
        let weight = if conn.tls.is_some() { TLS_COST } else { 1 };
        let budget = Budget {
            bytes: share / weight,
            until,
        };
        let result = conn.write(key, now, budget, &mut self.desk);
        let cost = result.sent * weight;
        conn.sent += result.sent as u64;
        self.bytes_sent += result.sent as u64;
        if let Err(reason) = result.end {
            self.remove(key, Some(Err(reason)));
            return cost;
        }
        if conn.has_unsent() {
            let is_low = conn.queue.bytes() <= SEND_LOW_WATER_BYTES;
            if was_high && is_low && conn.phase == Phase::Open {
                self.events.push_back(Event::Draining { conn: conn.id });
            }
            if !conn.blocked {
                self.mark_dirty(key);
            }
            return cost;
        }
        match conn.phase {
            Phase::Flushing { .. } => {
                // The peer can so tell a whole response from one that was cut.
                let closes = conn.tls.as_mut().is_some_and(|tls| tls.session.close());
                match closes {
                    true => self.mark_dirty(key),
                    false => self.begin_lingering(key, now),
                }
            }
            _ if std::mem::take(&mut conn.owes_drained) => {
                let conn = conn.id;
                self.events.push_back(Event::Drained { conn });
            }
            _ => {}
        }
        cost
    }

    /// Tells the core of accepted connections that are still being sent to, and whose peers take it.
    pub(super) fn tell_progress(&mut self) {
        for conn in self.conns.values_mut() {
            let is_sending = conn.accepted && conn.phase == Phase::Open && conn.has_unsent();
            if is_sending && conn.has_progressed() {
                self.events.push_back(Event::Sending { conn: conn.id });
            }
        }
    }

    fn begin_lingering(&mut self, key: SlotKey, now: Monotonic) {
        let Some(conn) = self.conns.get_mut(key) else {
            return;
        };
        let shut = match &conn.socket {
            Socket::Tcp(s) => s.shutdown(Shutdown::Write),
            Socket::Unix(s) => s.shutdown(Shutdown::Write),
            Socket::Udp { .. } => Ok(()),
        };
        conn.phase = Phase::Lingering {
            deadline: now + FLUSH_LIMIT,
        };
        match shut {
            // Its end may have been read already, and there is no second edge for that.
            Ok(()) => self.unread.push(key),
            Err(_) => self.remove(key, None),
        }
    }
}

/// The operating system's error in the core's words.
pub(super) fn socket_error(e: &io::Error) -> SocketError {
    match e.raw_os_error() {
        Some(libc::ECONNREFUSED) => SocketError::Refused,
        Some(libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ENETDOWN | libc::EHOSTDOWN) => {
            SocketError::Unreachable
        }
        Some(libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED) => SocketError::Reset,
        Some(libc::ETIMEDOUT) => SocketError::TimedOut,
        _ => SocketError::Other(e.to_string()),
    }
}
