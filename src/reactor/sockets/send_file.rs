//! Sending bytes of a file.

use super::Socket;
use nix::sys::sendfile::sendfile64;
use std::fs::File;
use std::io;

/// Sends up to `most` bytes of `file` from `offset` on; how many it was, 0 at the file's end.
pub(super) fn send(socket: &Socket, file: &File, offset: u64, most: usize) -> io::Result<usize> {
    let mut offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    let sent = match socket {
        Socket::Tcp(s) => sendfile64(s, file, Some(&mut offset), most),
        Socket::Unix(s) => sendfile64(s, file, Some(&mut offset), most),
        Socket::Udp { .. } => Ok(0),
    };
    Ok(sent?)
}
