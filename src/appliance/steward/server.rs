//! The steward's socket: who may ask, one request at a time, within limits.

use super::Steward;
use crate::appliance::protocol::{
    MAX_FRAME_BYTES, MAX_PIECE_BYTES, Refusal, RefusalKind, Request, read_frame, write_frame,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// A peer that takes longer to send its request or to take its answer is given up.
const PEER_LIMIT: Duration = Duration::from_secs(10);

/// How the socket is served.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Who may ask, beside root: the recorder's user.
    pub uid: u32,
    /// After so long without a request it ends, and is started again with the next; `None`: never.
    pub idle: Option<Duration>,
}

/// Serves until it is idle or the socket fails.
pub fn serve(steward: &mut Steward, listener: &UnixListener, terms: Terms) -> io::Result<()> {
    let wait = terms.idle.map_or(PollTimeout::NONE, |idle| {
        PollTimeout::try_from(idle).unwrap_or(PollTimeout::MAX)
    });
    loop {
        let ready = PollFd::new(listener.as_fd(), PollFlags::POLLIN);
        match poll(&mut [ready], wait) {
            Ok(0) if steward.is_busy() => continue,
            Ok(0) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => continue,
            Err(e) => return Err(e.into()),
            Ok(_) => {}
        }
        let (stream, _) = match listener.accept() {
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::Interrupted
                        | io::ErrorKind::WouldBlock
                        | io::ErrorKind::ConnectionAborted
                ) =>
            {
                continue;
            }
            other => other?,
        };
        // What goes wrong with one peer is its own.
        if let Err(e) = answer(steward, &stream, terms.uid) {
            eprintln!("a request came to nothing: {e}");
        }
        steward.answered();
    }
}

fn answer(steward: &mut Steward, stream: &UnixStream, uid: u32) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PEER_LIMIT))?;
    stream.set_write_timeout(Some(PEER_LIMIT))?;
    let peer = getsockopt(stream, PeerCredentials)?;
    let mut stream = stream;
    if peer.uid() != 0 && peer.uid() != uid {
        return Err(io::Error::other(format!("user {} may not ask", peer.uid())));
    }
    let frame = read_frame(&mut stream, MAX_FRAME_BYTES)?;
    let answer = match serde_json::from_slice::<Request>(&frame) {
        Ok(request) => {
            let bytes = match request {
                Request::UpdatePiece => read_frame(&mut stream, MAX_PIECE_BYTES)?,
                _ => Vec::new(),
            };
            steward.handle(request, &bytes)
        }
        Err(e) => Err(Refusal::new(
            RefusalKind::Bad,
            format!("the request cannot be read: {e}"),
        )),
    };
    let answer = serde_json::to_vec(&answer).map_err(io::Error::other)?;
    write_frame(&mut stream, &answer)
}
