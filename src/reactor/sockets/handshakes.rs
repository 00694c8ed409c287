//! Connections with TLS: from accepting to the core, and reading.

use super::conn::{Origin, Phase, Tls, UNNAMED};
use super::queue::Piece;
use super::{MAX_SEND_QUEUE_BYTES, Reading, Sockets, socket_error};
use crate::nvr::port::{Event, SocketError};
use crate::reactor::tls::session::{Failure, PLAIN_HTTP_ANSWER, Received, Session};
use crate::reactor::tokens::SlotKey;
use crate::time::Monotonic;
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Duration;

/// How long a handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Handshakes that may be under way. One more takes the place of the oldest: who means it is done
/// in no time.
pub const MAX_HANDSHAKES: usize = 64;

/// Steps of handshakes in one turn of the loop. Each may be a signature, milliseconds on a small
/// board.
pub(super) const HANDSHAKE_STEPS_PER_TURN: usize = 2;

impl Sockets {
    /// Begins the handshake on a connection that was just accepted. False if it cannot be.
    pub(super) fn begin_handshake(
        &mut self,
        key: SlotKey,
        config: Arc<ServerConfig>,
        origin: Origin,
        now: Monotonic,
    ) -> bool {
        let session = Session::new(config);
        let (Some(conn), Ok(session)) = (self.conns.get_mut(key), session) else {
            self.remove(key, None);
            return false;
        };
        conn.tls = Some(Box::new(Tls { session, origin }));
        conn.phase = Phase::Handshaking {
            deadline: now + HANDSHAKE_LIMIT,
        };
        if self.handshaking.len() >= MAX_HANDSHAKES {
            if let Some(oldest) = self.handshaking.front().copied() {
                self.remove(oldest, None);
            }
        }
        self.handshaking.push_back(key);
        true
    }

    /// Reads once from a connection with TLS whose core may still know it.
    pub(super) fn read_encrypted(
        &mut self,
        key: SlotKey,
        buf: &mut [u8],
        now: Monotonic,
    ) -> Reading {
        let Some(conn) = self.conns.get_mut(key) else {
            return Reading::Nothing;
        };
        let Some(tls) = &mut conn.tls else {
            return Reading::Nothing;
        };
        if tls.session.is_handshaking() {
            match self.handshake_steps_left.checked_sub(1) {
                Some(left) => self.handshake_steps_left = left,
                None => return Reading::Later,
            }
        }
        let received = tls.session.receive(&mut conn.socket, buf);
        let (id, origin) = (conn.id, tls.origin);
        let has_unsent = tls.session.has_unsent();
        let reading = match received {
            Ok(Received::Bytes(len)) => Reading::Bytes {
                conn: id,
                len,
                more: true,
            },
            Ok(Received::HandshakeDone) => {
                conn.phase = Phase::Open;
                self.handshaking.retain(|k| *k != key);
                Reading::Handshaken(origin)
            }
            Ok(Received::Nothing) => Reading::Nothing,
            Ok(Received::Again) => Reading::Dropped(0),
            Ok(Received::End) => {
                self.read_end(key, now);
                return Reading::Nothing;
            }
            Ok(Received::PlainHttp) => {
                conn.tls = None;
                let answer = Piece::Bytes(PLAIN_HTTP_ANSWER.to_vec());
                // There is nothing else in the queue.
                let _ = conn.queue.push(answer, MAX_SEND_QUEUE_BYTES);
                self.begin_closing(key, now);
                return Reading::Nothing;
            }
            Err(Failure::Socket(e)) => {
                self.remove(key, Some(Err(socket_error(&e))));
                return Reading::Nothing;
            }
            Err(Failure::Protocol(e)) => {
                if conn.id != UNNAMED {
                    self.events.push_back(Event::Closed {
                        conn: id,
                        reason: Err(SocketError::Other(format!("TLS: {e}"))),
                    });
                }
                // Only the alert that says why is sent.
                if let Some(conn) = self.conns.get_mut(key) {
                    let queue = std::mem::take(&mut conn.queue);
                    self.desk.released.extend(queue.into_files());
                }
                self.begin_closing(key, now);
                return Reading::Nothing;
            }
        };
        if has_unsent {
            self.mark_dirty(key);
        }
        reading
    }
}
