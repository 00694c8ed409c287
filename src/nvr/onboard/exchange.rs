//! One HTTP request to a device, on a connection of its own.

use crate::http::{ClientRequest, ClientResponse, ResponseReader};
use crate::nvr::outbox::{OfOnboard, Outbox, Owner};
use crate::nvr::port::{Action, ConnId, SocketError};
use crate::time::Monotonic;
use std::net::SocketAddr;
use std::time::Duration;

/// See the module.
pub struct Exchange {
    pub conn: ConnId,
    /// Until it is sent.
    request: Option<Vec<u8>>,
    reader: ResponseReader,
    pub deadline: Monotonic,
}

impl Exchange {
    /// Connects; the whole may take `limit`.
    pub fn begin(
        out: &mut Outbox,
        now: Monotonic,
        of: OfOnboard,
        to: SocketAddr,
        request: &ClientRequest,
        limit: Duration,
    ) -> Exchange {
        let conn = out.conn(Owner::Onboard(of));
        out.push(Action::Connect { conn, addr: to });
        Exchange {
            conn,
            request: Some(request.to_bytes()),
            reader: ResponseReader::default(),
            deadline: now + limit,
        }
    }

    pub fn connected(&mut self, out: &mut Outbox) {
        if let Some(bytes) = self.request.take() {
            let conn = self.conn;
            out.push(Action::Send { conn, bytes });
        }
    }

    /// The response, once it is whole; then the connection is closed.
    pub fn received(
        &mut self,
        out: &mut Outbox,
        bytes: &[u8],
    ) -> Option<Result<ClientResponse, String>> {
        let result = match self.reader.receive(bytes) {
            Ok(None) => return None,
            Ok(Some(response)) => Ok(response),
            Err(e) => Err(e.to_string()),
        };
        out.close(self.conn, false);
        Some(result)
    }

    /// The connection was closed by the device, or could not be made.
    pub fn closed(self, reason: Result<(), SocketError>) -> Result<ClientResponse, String> {
        match reason {
            Ok(()) => self.reader.end().map_err(|e| e.to_string()),
            Err(e) => Err(format!("it does not answer ({e})")),
        }
    }

    /// Nobody waits any more.
    pub fn abort(self, out: &mut Outbox) {
        out.close(self.conn, false);
    }
}
