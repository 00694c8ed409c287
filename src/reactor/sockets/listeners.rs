//! Where HTTP is served: TCP and UNIX addresses, and sockets that systemd hands over.

use super::conn::{Origin, Phase, Socket, UNNAMED};
use super::{Sockets, options};
use crate::config::Listen;
use crate::reactor::tls::Security;
use crate::reactor::tokens::{SlotKey, Slots, Target};
use crate::time::Monotonic;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrLike, SockaddrStorage, UnixAddr, bind,
    getsockname, getsockopt, listen, setsockopt, socket, sockopt,
};
use nix::sys::stat::{Mode, fchmod};
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// HTTP connections at a time, over all addresses: a thousand that do nothing leave room for those
/// that do. Further ones are accepted and closed at once, so
/// that a page of one visitor with too many of them fails visibly instead of hanging.
pub const MAX_ACCEPTED_CONNECTIONS: usize = 1280;

/// Connections taken from one listener in one turn.
const ACCEPT_BUDGET: usize = 16;

/// How long accepting rests after the system ran out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How often an address that could not be bound is tried again.
const BIND_RETRY: Duration = Duration::from_secs(10);

/// Connections that the kernel may hold ready for us.
const BACKLOG: i32 = 128;

/// The owner and the group (that of a web server in front of us) may connect to a UNIX socket.
const UNIX_SOCKET_MODE: u32 = 0o660;

/// The sockets that the service manager gave, by name. Read once, when the program starts.
#[derive(Debug, Default)]
pub struct GivenSockets(Vec<(String, OwnedFd)>);

impl GivenSockets {
    /// Takes them from `LISTEN_FDS` and `LISTEN_FDNAMES`.
    ///
    /// # Safety
    ///
    /// Called at most once, and nothing else owns the descriptors from 3 on that the environment
    /// names.
    pub unsafe fn from_environment() -> io::Result<GivenSockets> {
        let given = sd_notify::listen_fds_with_names()?
            // SAFETY: open by the service manager's protocol, and ours by the caller's word.
            .map(|(fd, name)| (name, unsafe { OwnedFd::from_raw_fd(fd) }))
            .collect();
        Ok(GivenSockets(given))
    }

    /// A copy of the listening socket of that name.
    fn get(&self, name: &str) -> io::Result<OwnedFd> {
        let given = self.0.iter().find(|(n, _)| n == name);
        let (_, fd) = given.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "the service manager gave no socket of that name (FileDescriptorName=)",
            )
        })?;
        fd.try_clone()
    }
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

#[derive(Debug)]
enum State {
    Listening(Bound),
    /// Not bound; to be tried again then.
    Retry(Monotonic),
}

#[derive(Debug)]
struct Listener {
    address: Listen,
    /// Its number in the configuration.
    number: usize,
    /// What it needs for TLS, if it speaks that.
    tls: Option<Arc<ServerConfig>>,
    state: State,
    /// Accepting rests until then.
    paused: Option<Monotonic>,
    /// In the list of those that may have connections waiting.
    ready: bool,
    /// The present trouble was told.
    complained: bool,
}

/// What a listener has to say.
#[derive(Debug)]
pub(in crate::reactor) enum Notice {
    /// The address could not be bound, or accepting failed; it is tried again.
    Trouble { address: Listen, error: io::Error },
    /// It works again, or at last.
    Works { address: Listen },
}

/// A connection that came in, not yet known to anybody.
#[derive(Debug)]
pub(in crate::reactor) struct Incoming {
    socket: Socket,
    tls: Option<Arc<ServerConfig>>,
    origin: Origin,
}

/// What became of an [`Incoming`].
#[derive(Debug)]
pub(in crate::reactor) enum Taken {
    /// It is open: the core is to be told, and to give it an id ([`Sockets::introduce`]).
    Open(SlotKey, Origin),
    /// TLS's handshake comes first.
    Handshaking,
    /// There are too many already.
    Refused,
}

/// All addresses that are listened on.
#[derive(Debug)]
pub(in crate::reactor) struct Listeners {
    registry: Registry,
    given: GivenSockets,
    slots: Slots<Listener>,
    ready: Vec<SlotKey>,
    notices: Vec<Notice>,
}

impl Listeners {
    pub(in crate::reactor) fn new(registry: Registry, given: GivenSockets) -> Listeners {
        Listeners {
            registry,
            given,
            slots: Slots::default(),
            ready: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Listens on exactly `addresses`. Those that were there before are kept with their backlog. One
    /// whose security is broken keeps what it had, and is not served if it had nothing.
    pub(in crate::reactor) fn configure(
        &mut self,
        addresses: &[(Listen, Security)],
        now: Monotonic,
    ) {
        let old: Vec<SlotKey> = self.slots.iter().map(|(key, _)| key).collect();
        let mut kept = Vec::new();
        for (number, (address, security)) in addresses.iter().enumerate() {
            let same = |key: &&SlotKey| {
                !kept.contains(*key) && self.slots.get(**key).is_some_and(|l| l.address == *address)
            };
            let found = old.iter().find(same).copied();
            let before = found.and_then(|key| self.slots.get(key)?.tls.clone());
            let tls = match (security, before) {
                (Security::Plain, _) => None,
                (Security::Tls(context), _) => Some(context.config.clone()),
                (Security::Broken(_), Some(before)) => Some(before),
                (Security::Broken(_), None) => continue,
            };
            let key = match found {
                Some(key) => Some(key),
                None => self.slots.insert(Listener::new(address.clone(), now)).ok(),
            };
            if let Some(key) = key {
                kept.push(key);
                if let Some(listener) = self.slots.get_mut(key) {
                    listener.number = number;
                    listener.tls = tls;
                }
            }
        }
        for key in old.iter().filter(|key| !kept.contains(key)) {
            if let Some(listener) = self.slots.remove(*key) {
                listener.retire();
            }
        }
        self.retry(now);
    }

    /// Stops listening and removes UNIX sockets' names.
    pub(in crate::reactor) fn close(&mut self) {
        let keys: Vec<SlotKey> = self.slots.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(listener) = self.slots.remove(key) {
                listener.retire();
            }
        }
    }

    /// Where it really listens, by number in the configuration: with the port that the system chose.
    #[cfg(test)]
    pub(in crate::reactor) fn local_addr(&self, number: usize) -> Option<SocketAddr> {
        self.slots.iter().find_map(|(_, l)| match &l.state {
            State::Listening(Bound::Tcp(tcp)) if l.number == number => tcp.local_addr().ok(),
            _ => None,
        })
    }

    pub(in crate::reactor) fn next_notice(&mut self) -> Option<Notice> {
        self.notices.pop()
    }

    /// A readiness event for one of them.
    pub(in crate::reactor) fn mark_ready(&mut self, key: SlotKey) {
        if let Some(listener) = self.slots.get_mut(key) {
            if !std::mem::replace(&mut listener.ready, true) {
                self.ready.push(key);
            }
        }
    }

    /// Whether connections may be waiting that were left over for the sake of fairness.
    pub(in crate::reactor) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When [`Self::retry`] has something to do.
    pub(in crate::reactor) fn next_deadline(&self) -> Option<Monotonic> {
        let due = |listener: &Listener| match listener.state {
            State::Retry(at) => Some(at),
            State::Listening(_) => listener.paused,
        };
        self.slots.iter().filter_map(|(_, l)| due(l)).min()
    }

    /// Binds what could not be bound, and ends pauses, where it is time.
    pub(in crate::reactor) fn retry(&mut self, now: Monotonic) {
        let keys: Vec<SlotKey> = self.slots.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(listener) = self.slots.get_mut(key) else {
                continue;
            };
            if listener.paused.is_some_and(|until| until <= now) {
                listener.paused = None;
                self.mark_ready(key);
                continue;
            }
            if !matches!(listener.state, State::Retry(at) if at <= now) {
                continue;
            }
            let token = Target::Listener(key).token();
            match bind_address(&listener.address, &self.given, &self.registry, token) {
                Ok(bound) => {
                    listener.state = State::Listening(bound);
                    if std::mem::take(&mut listener.complained) {
                        let address = listener.address.clone();
                        self.notices.push(Notice::Works { address });
                    }
                }
                Err(error) => {
                    listener.state = State::Retry(now + BIND_RETRY);
                    if let Some(notice) = listener.complain(error) {
                        self.notices.push(notice);
                    }
                }
            }
        }
    }

    /// Takes connections, within the budget of a turn.
    pub(in crate::reactor) fn accept(&mut self, now: Monotonic, out: &mut Vec<Incoming>) {
        for key in std::mem::take(&mut self.ready) {
            let Some(listener) = self.slots.get_mut(key) else {
                continue;
            };
            listener.ready = false;
            let (end, notice) = listener.accept(now, out);
            self.notices.extend(notice);
            if end == AcceptEnd::Budget {
                self.mark_ready(key);
            }
        }
    }
}

/// Why accepting ended.
#[derive(PartialEq, Eq)]
enum AcceptEnd {
    /// Nobody waits, or accepting rests.
    Empty,
    /// There may be more.
    Budget,
}

impl Sockets {
    /// Takes in an accepted connection.
    pub(in crate::reactor) fn accept(&mut self, incoming: Incoming, now: Monotonic) -> Taken {
        if self.accepted >= MAX_ACCEPTED_CONNECTIONS {
            return Taken::Refused;
        }
        if let Socket::Tcp(stream) = &incoming.socket {
            options::prepare_stream(stream);
        }
        let Ok(key) = self.add(UNNAMED, incoming.socket, Phase::Open, true) else {
            return Taken::Refused;
        };
        match incoming.tls {
            None => Taken::Open(key, incoming.origin),
            Some(tls) => match self.begin_handshake(key, tls, incoming.origin, now) {
                true => Taken::Handshaking,
                false => Taken::Refused,
            },
        }
    }
}

/// Whose the program at the other end of a UNIX connection is (`SO_PEERCRED`).
fn peer_uid(socket: &Socket) -> Option<u32> {
    let Socket::Unix(stream) = socket else {
        return None;
    };
    getsockopt(stream, sockopt::PeerCredentials)
        .ok()
        .map(|peer| peer.uid())
}

impl Listener {
    fn new(address: Listen, now: Monotonic) -> Listener {
        Listener {
            address,
            number: 0,
            tls: None,
            state: State::Retry(now),
            paused: None,
            ready: false,
            complained: false,
        }
    }

    /// Accepts until there is none, the budget is spent or the system has no room.
    fn accept(&mut self, now: Monotonic, out: &mut Vec<Incoming>) -> (AcceptEnd, Option<Notice>) {
        let State::Listening(bound) = &self.state else {
            return (AcceptEnd::Empty, None);
        };
        if self.paused.is_some() {
            return (AcceptEnd::Empty, None);
        }
        let mut end = AcceptEnd::Budget;
        for _ in 0..ACCEPT_BUDGET {
            let accepted = match bound {
                Bound::Tcp(l) => l.accept().map(|(s, peer)| (Socket::Tcp(s), Some(peer))),
                Bound::Unix(l) => l.accept().map(|(s, _)| (Socket::Unix(s), None)),
            };
            match accepted {
                Ok((socket, peer)) => {
                    let origin = Origin {
                        listener: self.number,
                        peer,
                        uid: peer_uid(&socket),
                    };
                    out.push(Incoming {
                        socket,
                        tls: self.tls.clone(),
                        origin,
                    });
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    end = AcceptEnd::Empty;
                    break;
                }
                Err(e) if is_out_of_room(&e) => {
                    self.paused = Some(now + ACCEPT_PAUSE);
                    return (AcceptEnd::Empty, self.complain(e));
                }
                // The connection was gone before we came to it (accept(2), "Error handling").
                Err(_) => {}
            }
        }
        let works = std::mem::take(&mut self.complained).then(|| self.address.clone());
        (end, works.map(|address| Notice::Works { address }))
    }

    /// Trouble is told once until it is over.
    fn complain(&mut self, error: io::Error) -> Option<Notice> {
        if std::mem::replace(&mut self.complained, true) {
            return None;
        }
        Some(Notice::Trouble {
            address: self.address.clone(),
            error,
        })
    }

    fn retire(self) {
        if let (Listen::Unix(path), State::Listening(_)) = (&self.address, &self.state) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn is_out_of_room(e: &io::Error) -> bool {
    matches!(
        e.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

fn bind_address(
    address: &Listen,
    given: &GivenSockets,
    registry: &Registry,
    token: mio::Token,
) -> io::Result<Bound> {
    let mut bound = match address {
        Listen::Tcp(addr) => Bound::Tcp(bind_tcp(*addr)?),
        Listen::Unix(path) => Bound::Unix(bind_unix(path)?),
        Listen::Systemd(name) => from_given(given.get(name)?)?,
    };
    match &mut bound {
        Bound::Tcp(l) => registry.register(l, token, Interest::READABLE)?,
        Bound::Unix(l) => registry.register(l, token, Interest::READABLE)?,
    }
    Ok(bound)
}

fn bind_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let family = match addr {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(family, SockType::Stream, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    // An address that the network has not given us yet is no reason to wait.
    let _ = setsockopt(&fd, sockopt::IpFreebind, &true);
    if addr.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &false)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(addr))?;
    listen(&fd, Backlog::new(BACKLOG)?)?;
    Ok(TcpListener::from_std(fd.into()))
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    // What a run before us left behind is in the way; what somebody listens on is his.
    if UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    match std::fs::symlink_metadata(path) {
        Ok(m) if m.file_type().is_socket() => {
            std::fs::remove_file(path)?;
        }
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => {}
    }
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // Before it has a name, so that there is no moment with more permissions; the umask takes some
    // away, so that they are set once more afterwards.
    fchmod(&fd, Mode::from_bits_truncate(UNIX_SOCKET_MODE))?;
    let name = UnixAddr::new(path)?;
    bind(fd.as_raw_fd(), &name)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(UNIX_SOCKET_MODE))?;
    listen(&fd, Backlog::new(BACKLOG)?)?;
    Ok(UnixListener::from_std(fd.into()))
}

fn from_given(fd: OwnedFd) -> io::Result<Bound> {
    let name: SockaddrStorage = getsockname(fd.as_raw_fd())?;
    match name.family() {
        Some(AddressFamily::Inet | AddressFamily::Inet6) => {
            let listener = std::net::TcpListener::from(fd);
            listener.set_nonblocking(true)?;
            Ok(Bound::Tcp(TcpListener::from_std(listener)))
        }
        Some(AddressFamily::Unix) => {
            let listener = std::os::unix::net::UnixListener::from(fd);
            listener.set_nonblocking(true)?;
            Ok(Bound::Unix(UnixListener::from_std(listener)))
        }
        _ => Err(io::Error::other("the socket given is neither TCP nor UNIX")),
    }
}
