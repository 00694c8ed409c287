//! What systemd is told (sd_notify(3)): ready, state, reloading, stopping, and that we are alive.
//!
//! Without systemd, all of this does nothing.

use crate::time::Monotonic;
use nix::time::{ClockId, clock_gettime};
use sd_notify::NotifyState;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The longest sentence for STATUS, in bytes.
const MAX_STATUS_BYTES: usize = 512;

/// The connection to the service manager.
#[derive(Debug, Default)]
pub(super) struct ServiceManager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Watchdog>,
    ready: bool,
}

#[derive(Debug)]
struct Watchdog {
    interval: Duration,
    next: Monotonic,
}

impl ServiceManager {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub(super) fn from_environment(now: Monotonic) -> ServiceManager {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| connect(name).ok());
        let watchdog = sd_notify::watchdog_enabled()
            .filter(|_| socket.is_some())
            .map(|limit| Watchdog {
                interval: limit / 2,
                next: now,
            });
        ServiceManager {
            socket,
            watchdog,
            ready: false,
        }
    }

    pub(super) fn ready(&mut self) {
        self.ready = true;
        self.tell(&[NotifyState::Ready]);
    }

    pub(super) fn status(&mut self, text: &str) {
        let mut end = text.len().min(MAX_STATUS_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let line = text[..end].replace(|c: char| c.is_control(), " ");
        self.tell(&[NotifyState::Status(&line)]);
    }

    pub(super) fn stopping(&mut self) {
        self.tell(&[NotifyState::Stopping]);
    }

    pub(super) fn reloading(&mut self) {
        // systemd wants its own clock's time with it (sd_notify(3), "MONOTONIC_USEC").
        // `NotifyState::monotonic_usec_now` overflows where `time_t` has 32 bits, after 36 minutes.
        if let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) {
            let us = i128::from(now.tv_sec()) * 1_000_000 + i128::from(now.tv_nsec()) / 1_000;
            self.tell(&[NotifyState::Reloading, NotifyState::MonotonicUsec(us)]);
        }
    }

    /// Reading the configuration again is over, whatever came of it.
    pub(super) fn reloaded(&mut self) {
        if self.ready {
            self.tell(&[NotifyState::Ready]);
        }
    }

    /// When [`Self::alive`] is to be called.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        self.watchdog.as_ref().map(|w| w.next)
    }

    /// A turn has ended and all is well: the watchdog is told so when it is time.
    pub(super) fn alive(&mut self, now: Monotonic) {
        match &mut self.watchdog {
            Some(w) if w.next <= now => w.next = now + w.interval,
            _ => return,
        }
        self.tell(&[NotifyState::Watchdog]);
    }

    /// A turn has ended and all is not well: the watchdog is left without a word this time.
    pub(super) fn keep_silent(&mut self, now: Monotonic) {
        if let Some(w) = self.watchdog.as_mut().filter(|w| w.next <= now) {
            w.next = now + w.interval;
        }
    }

    /// A message that is lost because the manager's queue is full will be followed by others.
    fn tell(&self, states: &[NotifyState<'_>]) {
        if let Some(socket) = &self.socket {
            let lines: Vec<String> = states.iter().map(NotifyState::to_string).collect();
            let _ = socket.send(lines.join("\n").as_bytes());
        }
    }
}

fn connect(name: OsString) -> io::Result<UnixDatagram> {
    let addr = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&addr)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_it_in_the_manager_s_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let at = |secs: u64| Monotonic(secs * 1_000_000_000);
        let mut us = ServiceManager {
            socket: Some(connect(path.into()).unwrap()),
            watchdog: Some(Watchdog {
                interval: Duration::from_secs(5),
                next: at(0),
            }),
            ready: false,
        };
        let mut buf = [0; 1024];
        let mut heard = || match manager.recv(&mut buf) {
            Ok(n) => String::from_utf8(buf[..n].to_vec()).unwrap(),
            Err(_) => String::new(),
        };
        us.reloaded();
        assert_eq!(heard(), "");
        us.ready();
        assert_eq!(heard(), "READY=1");
        us.status("2 of 3 streams\nrecord");
        assert_eq!(heard(), "STATUS=2 of 3 streams record");
        us.status(&"ä".repeat(400));
        assert_eq!(heard(), format!("STATUS={}", "ä".repeat(256)));
        us.reloading();
        assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        us.reloaded();
        assert_eq!(heard(), "READY=1");
        us.alive(at(1));
        assert_eq!(heard(), "WATCHDOG=1");
        us.alive(at(2));
        assert_eq!(heard(), "");
        us.keep_silent(at(6));
        us.alive(at(7));
        assert_eq!((heard().as_str(), us.next_deadline()), ("", Some(at(11))));
        us.stopping();
        assert_eq!(heard(), "STOPPING=1");
    }
}
