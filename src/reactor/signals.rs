//! Signals as events: SIGTERM and SIGINT end the daemon in good order, a second one ends it at once;
//! SIGHUP has the configuration read again. SIGPIPE is nobody's.

use super::tokens::Target;
use mio::unix::SourceFd;
use mio::{Interest, Registry};
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::AsRawFd;

/// What somebody asked for by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The exit status if it has to be at once: 128 and the signal's number.
    Shutdown(u8),
    Reload,
}

/// The signals that wait for us.
#[derive(Debug)]
pub(super) struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Blocks the signals in this thread and in those that it starts from now on. To be called
    /// before there is any other.
    pub(super) fn take(registry: &Registry) -> io::Result<Signals> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            set.add(signal);
        }
        set.thread_block()?;
        // SAFETY: no handler runs: the signal is ignored.
        unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigIgn) }?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        registry.register(
            &mut SourceFd(&fd.as_raw_fd()),
            Target::Signals.token(),
            Interest::READABLE,
        )?;
        Ok(Signals { fd })
    }

    /// The next one, if there is any.
    pub(super) fn next(&mut self) -> Option<Asked> {
        while let Ok(Some(info)) = self.fd.read_signal() {
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(signal @ (Signal::SIGTERM | Signal::SIGINT)) => {
                    return Some(Asked::Shutdown(128 + signal as u8));
                }
                Ok(Signal::SIGHUP) => return Some(Asked::Reload),
                _ => {}
            }
        }
        None
    }
}
