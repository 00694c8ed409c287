//! `moonfire-nvr steward`: what root does for the recorder.

use super::{Exit, Failure};
use moonfire_nvr::appliance::Places;
use moonfire_nvr::appliance::places::RECORDER_ID;
use moonfire_nvr::appliance::protocol::SOCKET;
use moonfire_nvr::appliance::steward::Steward as Server;
use moonfire_nvr::appliance::steward::server::{Terms, serve};
use moonfire_nvr::appliance::system::Programs;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// After so long without a request it ends; its socket unit starts it again.
const IDLE: Duration = Duration::from_secs(300);

/// Do for the recorder what needs root: disks, settings, updates, power. For the card image.
///
/// Started by systemd with its socket. It listens to root and the recorder's user only, does one thing
/// at a time and ends when nobody asks.
#[derive(clap::Args)]
pub struct Steward {
    /// Listen here, if systemd hands over no socket. Then it does not end by itself.
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
    /// The root of the machine; another one than / is only written to.
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,
    /// The card's first partition, if not at /boot/firmware below the root.
    #[arg(long, value_name = "FOLDER")]
    boot: Option<PathBuf>,
    /// The user that may ask, beside root.
    #[arg(long, value_name = "ID", default_value_t = RECORDER_ID)]
    uid: u32,
}

pub fn run(args: Steward) -> Result<Exit, Failure> {
    let places = Places::new(&args.root, args.boot.as_deref());
    let fail = |error| Failure::Io {
        path: args.socket.clone(),
        error,
    };
    let mut steward = Server::new(places, Arc::new(Programs));
    let given = sd_notify::listen_fds().map_err(fail)?.next();
    let (listener, idle) = match given {
        Some(fd) => {
            // SAFETY: the service manager has handed it over, to this process alone, and nothing else of
            // the program has asked for it.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            (UnixListener::from(fd), Some(IDLE))
        }
        None => {
            // One that is left of before is in the way.
            let _ = std::fs::remove_file(&args.socket);
            let bound = UnixListener::bind(&args.socket).map_err(fail)?;
            (bound, None)
        }
    };
    let terms = Terms {
        uid: args.uid,
        idle,
    };
    serve(&mut steward, &listener, terms).map_err(fail)?;
    Ok(Exit::Fine)
}
