//! The steward as the loop sees it: requests in, answers out, and a thread between them that connects,
//! asks and waits. On a machine that is no appliance there is no socket, and the answer says so.

use super::workers::Workers;
use crate::appliance::protocol::{
    Answer, MAX_FRAME_BYTES, Refusal, RefusalKind, Request, read_frame, write_frame,
};
use crate::nvr::port::StewardId;
use crate::time::Monotonic;
use mio::Waker;
use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// So many requests wait at most.
const MAX_WAITING: usize = 16;

/// An answer that takes longer is given up. What takes long is a job, which is answered at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

type Asked = (StewardId, Box<Request>, Vec<u8>);

/// See the module.
pub(super) struct Steward {
    socket: PathBuf,
    waker: Arc<Waker>,
    /// Started with the first request.
    thread: Option<Workers<Asked, (StewardId, Answer)>>,
    refused: VecDeque<(StewardId, Answer)>,
}

impl Steward {
    pub(super) fn new(socket: PathBuf, waker: Arc<Waker>) -> Steward {
        Steward {
            socket,
            waker,
            thread: None,
            refused: VecDeque::new(),
        }
    }

    pub(super) fn set_socket(&mut self, socket: PathBuf) {
        self.socket = socket;
    }

    /// Takes in a request; it is answered whatever happens.
    pub(super) fn submit(
        &mut self,
        now: Monotonic,
        id: StewardId,
        request: Box<Request>,
        bytes: Vec<u8>,
    ) {
        let socket = self.socket.clone();
        if self.thread.is_none() {
            let handler = move |(id, request, bytes): Asked| (id, ask(&socket, &request, &bytes));
            self.thread = Workers::start("steward", vec![handler], MAX_WAITING, &self.waker).ok();
        }
        let thread = self.thread.as_mut();
        let taken = thread.is_some_and(|t| t.submit(now, (id, request, bytes)).is_ok());
        if !taken {
            let busy = Refusal::new(
                RefusalKind::Away,
                "too much is being asked of the system at once",
            );
            self.refused.push_back((id, Err(busy)));
        }
    }

    /// The next answer, if there is one.
    pub(super) fn next_answer(&mut self, now: Monotonic) -> Option<(StewardId, Answer)> {
        let refused = self.refused.pop_front();
        refused.or_else(|| self.thread.as_mut()?.next_reply(now))
    }

    /// Whether there is an answer that no thread has woken the loop for.
    pub(super) fn has_answer(&self) -> bool {
        !self.refused.is_empty()
    }
}

/// Asks once.
pub fn ask(socket: &Path, request: &Request, bytes: &[u8]) -> Answer {
    let away = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => Refusal::new(
            RefusalKind::NoAppliance,
            "this machine was not set up by the card image: what the system is to do, its own programs do",
        ),
        _ => Refusal::new(
            RefusalKind::Away,
            format!("the system's steward does not answer: {e}"),
        ),
    };
    let mut stream = UnixStream::connect(socket).map_err(away)?;
    // From here on there is one, whatever it says.
    let failed = |e: io::Error| {
        Refusal::new(
            RefusalKind::Away,
            format!("the system's steward does not answer: {e}"),
        )
    };
    let mut exchange = || {
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        let frame = serde_json::to_vec(request).map_err(io::Error::other)?;
        write_frame(&mut stream, &frame)?;
        if matches!(request, Request::UpdatePiece) {
            write_frame(&mut stream, bytes)?;
        }
        let answer = read_frame(&mut stream, MAX_FRAME_BYTES)?;
        serde_json::from_slice::<Answer>(&answer).map_err(io::Error::other)
    };
    exchange().map_err(failed)?
}
