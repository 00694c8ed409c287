//! Socket options.

use mio::net::TcpStream;
use nix::sys::socket::{setsockopt, sockopt};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

/// A peer that vanished is asked after this many seconds of silence, then each
/// [`KEEPALIVE_INTERVAL_SECS`], and given up after [`KEEPALIVE_PROBES`] without an answer.
const KEEPALIVE_IDLE_SECS: u32 = 60;
const KEEPALIVE_INTERVAL_SECS: u32 = 15;
const KEEPALIVE_PROBES: u32 = 4;

/// For every TCP connection: small messages go out at once, and a dead peer is noticed. Where an
/// option is refused the connection works all the same.
pub(super) fn prepare_stream(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let fd = stream.as_fd();
    let _ = setsockopt(&fd, sockopt::KeepAlive, &true);
    let _ = setsockopt(&fd, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_SECS);
    let _ = setsockopt(&fd, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_SECS);
    let _ = setsockopt(&fd, sockopt::TcpKeepCount, &KEEPALIVE_PROBES);
}

/// `SO_RCVLOWAT` (socket(7)): readiness is told from so many bytes on, or when the peer has closed.
/// Reading is not affected.
pub(super) fn set_receive_low_water(stream: &TcpStream, bytes: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `stream` is borrowed, and the option's value is
    // a `c_int` that outlives the call.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const bytes).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Bytes that the kernel was given and the peer's has not acknowledged (tcp(7) and unix(7), `SIOCOUTQ`): 0
/// where that cannot be told.
pub(super) fn unacknowledged(fd: RawFd) -> u64 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one `int`, which outlives the call; a descriptor that is not open is an error.
    match unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) } {
        0 => u64::try_from(bytes).unwrap_or(0),
        _ => 0,
    }
}
