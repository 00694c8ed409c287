//! `moonfire-nvr appliance serve-time`.

use super::super::{Exit, Failure};
use super::PlacesArgs;
use moonfire_nvr::appliance::time_server;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};

/// Tell cameras the time (SNTP), at a socket that the service manager has given, or at --listen.
#[derive(clap::Args)]
pub struct ServeTime {
    #[command(flatten)]
    places: PlacesArgs,
    /// Where to serve without a service manager; port 123 is for programs that may.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:123")]
    listen: SocketAddr,
}

pub fn run(args: &ServeTime) -> Result<Exit, Failure> {
    let fail = |error| Failure::Failed(format!("{}: {error}", args.listen));
    let given = sd_notify::listen_fds().map_err(fail)?.next();
    let socket = match given {
        Some(fd) => {
            // SAFETY: the service manager has handed it over, to this process alone, and nothing else of
            // the program has asked for it.
            UdpSocket::from(unsafe { OwnedFd::from_raw_fd(fd) })
        }
        None => UdpSocket::bind(args.listen).map_err(fail)?,
    };
    time_server::serve(&socket, &args.places.places().clock_was_set()).map_err(fail)?;
    Ok(Exit::Fine)
}
