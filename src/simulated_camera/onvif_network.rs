//! A simulated camera's ONVIF on real sockets: one thread hears WS-Discovery, one accepts HTTP connections,
//! and each of those has a thread for its one request.

use super::onvif::{Onvif, OnvifConfig, Reply, own_address};
use nix::sys::socket::{
    AddressFamily, IpMembershipRequest, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket,
    sockopt,
};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 3702);

/// Requests at a time; a further connection is closed at once.
const MAX_REQUESTS: usize = 32;
/// The longest request, in bytes.
const MAX_REQUEST_BYTES: u64 = 256 << 10;
/// How long a client may take.
const IO_LIMIT: Duration = Duration::from_secs(10);
/// How soon the threads see that they are to end.
const TICK: Duration = Duration::from_millis(100);

/// The services at work. They end when this is dropped, with a Bye.
#[derive(Debug)]
pub struct RunningOnvif {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What all threads of a camera share.
struct Shared {
    onvif: Mutex<Onvif>,
    stop: Arc<AtomicBool>,
    requests: AtomicUsize,
    start: Instant,
}

impl Shared {
    fn with<T>(&self, f: impl FnOnce(&mut Onvif) -> T) -> T {
        f(&mut self.onvif.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn unix_secs() -> i64 {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        unix.map_or(0, |d| d.as_secs() as i64)
    }

    fn up_secs(&self) -> u64 {
        self.start.elapsed().as_secs()
    }
}

impl RunningOnvif {
    /// Binds `listen` (port 0 takes any that is free) and starts; with `announces`, WS-Discovery is answered on
    /// the interface of that address, or on that of the default route for an unspecified one.
    pub fn start(
        config: OnvifConfig,
        listen: SocketAddr,
        announces: bool,
    ) -> io::Result<RunningOnvif> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let interface = match listen.ip() {
            std::net::IpAddr::V4(v4) => v4,
            std::net::IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        };
        let rtsp = own_address(config.rtsp, Some(addr.ip()));
        let config = OnvifConfig {
            services: addr,
            rtsp,
            ..config
        };
        let name = config.name.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared {
            onvif: Mutex::new(Onvif::new(config)),
            stop: stop.clone(),
            requests: AtomicUsize::new(0),
            start: Instant::now(),
        });
        let mut threads = Vec::new();
        if announces {
            let ears = listen_to_group(interface)?;
            let mouth = UdpSocket::bind(SocketAddrV4::new(interface, 0))?;
            let shared = shared.clone();
            let thread = std::thread::Builder::new().name(format!("discovery {name}"));
            threads.push(thread.spawn(move || discovery(&shared, &ears, &mouth))?);
        }
        let thread = std::thread::Builder::new().name(format!("onvif {name}"));
        threads.push(thread.spawn(move || accept(&shared, &listener))?);
        Ok(RunningOnvif {
            addr,
            stop,
            threads,
        })
    }

    /// Where its services are.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for RunningOnvif {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn listen_to_group(interface: Ipv4Addr) -> io::Result<UdpSocket> {
    let fd = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    // By unicast it is asked as well, but of several cameras on one machine only one can hear that.
    bind(
        fd.as_raw_fd(),
        &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, GROUP.port())),
    )?;
    let membership = IpMembershipRequest::new(*GROUP.ip(), Some(interface));
    setsockopt(&fd, sockopt::IpAddMembership, &membership)?;
    let socket = UdpSocket::from(fd);
    socket.set_read_timeout(Some(TICK))?;
    Ok(socket)
}

fn discovery(shared: &Shared, ears: &UdpSocket, mouth: &UdpSocket) {
    let _ = mouth.send_to(&shared.with(|o| o.hello()), GROUP);
    let mut buffer = vec![0; 64 << 10];
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((len, from)) = ears.recv_from(&mut buffer) else {
            continue;
        };
        if let Some(answer) = shared.with(|o| o.answer_probe(&buffer[..len])) {
            let _ = mouth.send_to(&answer, from);
        }
    }
    let _ = mouth.send_to(&shared.with(|o| o.bye()), GROUP);
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(TICK / 10);
            continue;
        };
        if shared.requests.fetch_add(1, Ordering::Relaxed) >= MAX_REQUESTS {
            shared.requests.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let one = shared.clone();
        let spawned = std::thread::Builder::new().spawn(move || {
            // A client that is gone is not told anything.
            let _ = serve(&one, stream);
            one.requests.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            shared.requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Answers one request.
fn serve(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(IO_LIMIT))?;
    stream.set_write_timeout(Some(IO_LIMIT))?;
    let mut reader = BufReader::new((&stream).take(MAX_REQUEST_BYTES));
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace();
    let (method, path) = (
        words.next().unwrap_or(""),
        words.next().unwrap_or("/").to_owned(),
    );
    let is_post = method == "POST";
    let mut len = 0;
    let mut expects = false;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            len = value.trim().parse().unwrap_or(0);
        }
        expects |= lower.starts_with("expect:") && lower.contains("100-continue");
    }
    if expects {
        (&stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = vec![0; len.min(MAX_REQUEST_BYTES as usize)];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body);
    let (status, answer) = match is_post {
        false => (405, String::new()),
        true => {
            let up_secs = shared.up_secs();
            match shared.with(|o| o.answer(&path, &body, Shared::unix_secs(), up_secs)) {
                Reply::Now(status, answer) => (status, answer),
                Reply::Pull { point, wait_secs } => {
                    let until = Instant::now() + Duration::from_secs(wait_secs);
                    (200, wait_for_messages(shared, point, until))
                }
            }
        }
    };
    let reason = if status == 200 { "OK" } else { "Refused" };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/soap+xml; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        answer.len()
    );
    (&stream).write_all(head.as_bytes())?;
    (&stream).write_all(answer.as_bytes())
}

fn wait_for_messages(shared: &Shared, point: u64, until: Instant) -> String {
    loop {
        let up_secs = shared.up_secs();
        let messages = shared.with(|o| o.pull(point, Shared::unix_secs(), up_secs));
        let over = Instant::now() >= until || shared.stop.load(Ordering::Relaxed);
        if messages.is_some() || over {
            let messages = messages.unwrap_or_default();
            return shared.with(|o| o.pulled(&messages, Shared::unix_secs()));
        }
        std::thread::sleep(TICK);
    }
}
