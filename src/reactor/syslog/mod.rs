//! The log: records become bytes at once, wait in a bounded queue, and go out when that can be done
//! without waiting. What does not fit is counted, and told in one line when the rest is through.
//!
//! Owned by the event loop, which hands it readiness events, time, and addresses of names.

mod format;
mod link;
#[cfg(test)]
mod tests;

use crate::config::{LogTarget, SyslogConfig};
use crate::nvr::port::{LogRecord, Severity};
use crate::time::{Monotonic, Now};
use format::{Style, Syslog, human};
use jiff::tz::TimeZone;
use link::{Link, Sent};
use mio::Registry;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Lines, and their bytes, that wait at most. Newer ones are dropped and counted: the oldest tell
/// how the trouble began.
pub const MAX_QUEUED_LINES: usize = 1024;
const MAX_QUEUED_BYTES: usize = 256 << 10;

/// Lines that go out in one turn.
const SEND_BUDGET_LINES: usize = 128;

/// When to try again where nobody tells that there is room.
const ROOM_INTERVAL: Duration = Duration::from_millis(100);

/// How long after a failure it is tried again, at first; twice as long after each further one.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// What stands between us and the other side.
#[derive(Debug)]
enum State {
    /// Nothing is open.
    Closed,
    /// The name is being looked up.
    Resolving,
    Open(Link),
}

/// The log.
#[derive(Debug)]
pub(super) struct Log {
    registry: Registry,
    config: SyslogConfig,
    style: Style,
    syslog: Syslog,
    state: State,
    /// Nothing is tried before.
    retry: Option<Monotonic>,
    /// A readiness event will tell when to go on.
    blocked: bool,
    backoff: Duration,
    /// Lines, ready to be sent, and their bytes.
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    /// Bytes of the front that are sent.
    front_sent: usize,
    /// Lines that were dropped and not told of, and all that ever were.
    untold: u64,
    dropped: u64,
    /// A name that somebody has to look up.
    wanted: Option<String>,
}

impl Log {
    pub(super) fn new(config: &SyslogConfig, zone: &TimeZone, registry: Registry) -> Log {
        Log {
            registry,
            config: config.clone(),
            style: style(zone),
            syslog: Syslog::new(),
            state: State::Closed,
            retry: None,
            blocked: false,
            backoff: MIN_BACKOFF,
            queue: VecDeque::new(),
            queued_bytes: 0,
            front_sent: 0,
            untold: 0,
            dropped: 0,
            wanted: None,
        }
    }

    /// Goes on as a configuration that was read again says. Lines that wait for a target that is no
    /// longer one are lost.
    pub(super) fn configure(&mut self, config: &SyslogConfig, zone: &TimeZone) {
        self.style = style(zone);
        if self.config.to != config.to {
            self.count_lost(self.queue.len() as u64);
            self.queue.clear();
            self.queued_bytes = 0;
            self.close();
            self.retry = None;
            self.backoff = MIN_BACKOFF;
        }
        self.config = config.clone();
    }

    /// Takes in a record.
    pub(super) fn write(&mut self, now: Now, record: &LogRecord) {
        if record.severity <= self.config.level {
            self.push(now, record);
        }
    }

    /// Sends what can be sent.
    pub(super) fn flush(&mut self, now: Now) {
        if self.retry.is_some_and(|at| at > now.monotonic) || self.blocked {
            return;
        }
        for _ in 0..SEND_BUDGET_LINES {
            if self.queue.is_empty() && !self.tell_of_lost(now) {
                return;
            }
            if !self.send_front(now.monotonic) {
                return;
            }
        }
    }

    /// A readiness event for [`crate::reactor::tokens::Target::Log`].
    pub(super) fn ready(&mut self, now: Monotonic) {
        if let State::Open(link) = &mut self.state {
            self.blocked = false;
            if !link.is_alive() {
                self.fail(now);
            }
        }
    }

    /// A name that has to be resolved for us, told once.
    pub(super) fn wanted_name(&mut self) -> Option<String> {
        self.wanted.take()
    }

    /// The answer for [`Self::wanted_name`].
    pub(super) fn resolved(&mut self, now: Monotonic, result: Result<Vec<IpAddr>, String>) {
        if !matches!(self.state, State::Resolving) {
            return;
        }
        match result.ok().and_then(|addrs| addrs.first().copied()) {
            Some(ip) => self.open_ip(now, ip),
            None => self.fail(now),
        }
    }

    /// Whether there are lines that could go now if [`Self::flush`] was called.
    pub(super) fn wants_flush(&self) -> bool {
        let something = !self.queue.is_empty() || self.untold > 0;
        let resolving = matches!(self.state, State::Resolving);
        something && !self.blocked && !resolving && self.retry.is_none()
    }

    /// When [`Self::flush`] has something to try again.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        let something = !self.queue.is_empty() || self.untold > 0;
        self.retry.filter(|_| something)
    }

    /// Whether lines wait.
    pub(super) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Lines that were lost since the program started.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn push(&mut self, now: Now, record: &LogRecord) {
        let line = match &self.config.to {
            LogTarget::Nowhere => return,
            LogTarget::Stderr => human(record, now.wall, &self.style),
            LogTarget::Unix(path) if is_local(path) => self.syslog.local(record),
            LogTarget::Unix(_) | LogTarget::Udp { .. } => self.syslog.rfc5424(record),
            LogTarget::Tcp { .. } => {
                let line = self.syslog.rfc5424(record);
                // Octet counting (RFC 6587 section 3.4.1).
                let mut framed = format!("{} ", line.len()).into_bytes();
                framed.extend_from_slice(&line);
                framed
            }
        };
        if self.queue.len() >= MAX_QUEUED_LINES || self.queued_bytes + line.len() > MAX_QUEUED_BYTES
        {
            self.count_lost(1);
            return;
        }
        self.queued_bytes += line.len();
        self.queue.push_back(line);
    }

    /// Queues the line that says how much was lost, if anything was.
    fn tell_of_lost(&mut self, now: Now) -> bool {
        let lost = std::mem::take(&mut self.untold);
        if lost == 0 {
            return false;
        }
        let record = LogRecord {
            severity: Severity::Warning,
            event: "log-lines-lost",
            camera: None,
            stream: None,
            message: format!("{lost} log lines were lost because they were not taken in time"),
        };
        self.push(now, &record);
        true
    }

    fn count_lost(&mut self, lines: u64) {
        self.untold += lines;
        self.dropped += lines;
    }

    /// Sends (some of) the oldest line; false if nothing more goes for now.
    fn send_front(&mut self, now: Monotonic) -> bool {
        if matches!(self.state, State::Closed) {
            self.open(now);
        }
        let (State::Open(link), Some(front)) = (&mut self.state, self.queue.front()) else {
            return false;
        };
        match link.send(&front[self.front_sent..]) {
            Sent::Bytes(n) => {
                self.retry = None;
                self.backoff = MIN_BACKOFF;
                self.front_sent += n;
                if self.front_sent >= front.len() {
                    self.pop();
                }
                true
            }
            Sent::Wait { told } => {
                self.blocked = told;
                self.retry = (!told).then(|| now + ROOM_INTERVAL);
                false
            }
            Sent::Unfit => {
                self.pop();
                self.count_lost(1);
                true
            }
            Sent::Refused => {
                self.count_lost(1);
                self.back_off(now);
                false
            }
            Sent::Broken => {
                self.fail(now);
                false
            }
        }
    }

    fn pop(&mut self) {
        self.front_sent = 0;
        if let Some(line) = self.queue.pop_front() {
            self.queued_bytes -= line.len();
        }
    }

    fn open(&mut self, now: Monotonic) {
        let opened = match &self.config.to {
            LogTarget::Nowhere => return,
            LogTarget::Stderr => Ok(Link::Stderr),
            LogTarget::Unix(path) => Link::unix(path),
            LogTarget::Udp { host, .. } | LogTarget::Tcp { host, .. } => {
                self.wanted = Some(host.clone());
                self.state = State::Resolving;
                return;
            }
        };
        self.opened(now, opened);
    }

    fn open_ip(&mut self, now: Monotonic, ip: IpAddr) {
        let opened = match self.config.to {
            LogTarget::Udp { port, .. } => Link::udp(SocketAddr::new(ip, port)),
            LogTarget::Tcp { port, .. } => Link::tcp(SocketAddr::new(ip, port), &self.registry),
            _ => return,
        };
        self.opened(now, opened);
    }

    fn opened(&mut self, now: Monotonic, opened: io::Result<Link>) {
        match opened {
            Ok(link) => {
                // A connection under way tells when it is there.
                self.blocked = matches!(link, Link::Tcp(_));
                self.retry = None;
                self.state = State::Open(link);
            }
            Err(_) => self.fail(now),
        }
    }

    /// The way is gone: begin anew a little later, with the whole of the line that was cut short.
    fn fail(&mut self, now: Monotonic) {
        self.close();
        self.back_off(now);
    }

    fn back_off(&mut self, now: Monotonic) {
        self.retry = Some(now + self.backoff);
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.blocked = false;
        self.front_sent = 0;
        self.wanted = None;
    }
}

/// Whether it is the machine's own log: `/dev/log`, or `dev-log`, which that is a link to where
/// systemd's journal reads it.
fn is_local(path: &Path) -> bool {
    path == Path::new("/dev/log") || path.file_name() == Some(OsStr::new("dev-log"))
}

/// How lines on standard error should look.
fn style(zone: &TimeZone) -> Style {
    if is_journal() {
        return Style::Journal;
    }
    Style::Console {
        colour: io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        zone: zone.clone(),
    }
}

/// Whether standard error is systemd's journal (systemd.exec(5), `$JOURNAL_STREAM`).
fn is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let actual = std::fs::metadata("/proc/self/fd/2").map(|m| format!("{}:{}", m.dev(), m.ino()));
    actual.is_ok_and(|actual| actual == named)
}
