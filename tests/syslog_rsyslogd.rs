//! The log against a server that we did not write: rsyslogd, over a UNIX socket, UDP and TCP.

use moonfire_nvr::config::{Config, LogTarget, SyslogConfig};
use moonfire_nvr::db;
use moonfire_nvr::nvr::port::{Action, ConnId, Core, Event, LogRecord, Severity};
use moonfire_nvr::reactor::{
    BULK_TICK, DiskChoice, End, EventLoop, GivenSockets, MAX_QUEUED_LINES, Setup,
};
use moonfire_nvr::recording::recovery::Attached;
use moonfire_nvr::time::{Monotonic, Now};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// Camera names and messages that break careless loggers.
const NASTY_CAMERA: &str = "drive \"way\" [1] \\ {\n} ä";
const NASTY_MESSAGE: &str = "it said \"no\"] \\ and\r\nwent away: 100 % ü";

/// Where Debian and Ubuntu have it; not every user's PATH has the folder.
const RSYSLOGD: &str = "/usr/sbin/rsyslogd";

/// rsyslogd with its folder; ended when dropped.
struct Server {
    dir: TempDir,
    udp: u16,
    tcp: u16,
    child: Option<Child>,
}

impl Server {
    fn new() -> Server {
        let dir = tempfile::tempdir().unwrap();
        let any = (Ipv4Addr::LOCALHOST, 0);
        let udp = UdpSocket::bind(any).unwrap().local_addr().unwrap().port();
        let tcp = TcpListener::bind(any).unwrap().local_addr().unwrap().port();
        let path = dir.path().display();
        let conf = format!(
            r#"
global(workDirectory="{path}")
module(load="imuxsock" SysSock.Use="off")
module(load="imudp")
module(load="imptcp")
input(type="imuxsock" Socket="{path}/log" RateLimit.Interval="0" UseSpecialParser="off")
input(type="imuxsock" Socket="{path}/dev-log" RateLimit.Interval="0")
input(type="imudp" address="127.0.0.1" port="{udp}")
input(type="imptcp" address="127.0.0.1" port="{tcp}")
template(name="line" type="string"
    string="%programname%|%syslogfacility-text%.%syslogseverity-text%|%structured-data%|%msg%\n")
action(type="omfile" file="{path}/out" template="line")
"#
        );
        std::fs::write(dir.path().join("conf"), conf).unwrap();
        let mut server = Server {
            dir,
            udp,
            tcp,
            child: None,
        };
        server.start();
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&mut self) {
        let child = Command::new(RSYSLOGD)
            .args(["-n", "-C"])
            .arg("-f")
            .arg(self.path("conf"))
            .arg("-i")
            .arg(self.path("pid"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{RSYSLOGD}: {e}: run ./prep.sh test, which installs it"));
        self.child = Some(child);
        // Its pid file is there before its sockets are.
        until("rsyslogd listens", || {
            let up = |port| std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            self.path("log").exists() && up(self.tcp)
        });
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        }
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read(self.path("out")).unwrap_or_default();
        let text = String::from_utf8(text).unwrap();
        // The last one may not be all there.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

/// A core that logs what it is handed, and ends when nobody hands it anything any more.
struct LoggingCore {
    records: Receiver<Vec<LogRecord>>,
    actions: VecDeque<Action>,
    next: Monotonic,
}

impl Core for LoggingCore {
    fn handle(&mut self, now: Now, _: Event<'_>) {
        self.next = now.monotonic + Duration::from_millis(5);
        match self.records.try_recv() {
            Ok(records) => self.actions.extend(records.into_iter().map(Action::Log)),
            Err(TryRecvError::Disconnected) => self.actions.push_back(Action::Exit),
            Err(TryRecvError::Empty) => {}
        }
    }

    fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn next_timeout(&self) -> Option<Monotonic> {
        Some(self.next)
    }

    fn allocate_conn(&mut self) -> ConnId {
        ConnId(0)
    }
}

/// A loop on a thread of its own that logs to `to`.
struct Daemon {
    records: Option<Sender<Vec<LogRecord>>>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    fn new(to: LogTarget) -> Daemon {
        let (sender, records) = channel();
        let thread = std::thread::spawn(move || {
            let core = LoggingCore {
                records,
                actions: VecDeque::new(),
                next: Monotonic::default(),
            };
            let level = Severity::Info;
            let setup = Setup {
                config: Config {
                    syslog: SyslogConfig { to, level },
                    ..Config::default()
                },
                load_config: None,
                database: Box::new(|_| Ok(db::Reply::Done)),
                attach: |_, _| Ok(Attached::default()),
                disk: DiskChoice::Threads,
                given_sockets: GivenSockets::default(),
                bulk_tick: BULK_TICK,
                signals: false,
            };
            let mut event_loop = EventLoop::new(core, setup).unwrap();
            assert_eq!(event_loop.run().unwrap(), End::InGoodOrder);
        });
        Daemon {
            records: Some(sender),
            thread: Some(thread),
        }
    }

    fn log(&self, records: Vec<LogRecord>) {
        self.records.as_ref().unwrap().send(records).unwrap();
    }

    /// Ends it; what it has to say is said before.
    fn end(mut self) {
        self.records = None;
        self.thread.take().unwrap().join().unwrap();
    }
}

fn record(message: String) -> LogRecord {
    LogRecord {
        severity: Severity::Warning,
        event: "test",
        camera: None,
        stream: None,
        message,
    }
}

fn numbered(range: std::ops::Range<usize>) -> Vec<LogRecord> {
    range.map(|n| record(format!("number {n}"))).collect()
}

fn numbers(lines: &[String]) -> Vec<usize> {
    let number = |line: &String| line.rsplit_once("number ")?.1.parse().ok();
    lines.iter().filter_map(number).collect()
}

/// What the server says was lost.
fn told_lost(lines: &[String]) -> usize {
    let lost = |line: &String| {
        let (before, _) = line.split_once(" log lines were lost")?;
        before.rsplit_once('|')?.1.trim().parse::<usize>().ok()
    };
    lines.iter().filter_map(lost).sum()
}

fn understands(target: impl Fn(&Server) -> LogTarget) {
    let server = Server::new();
    let daemon = Daemon::new(target(&server));
    let nasty = LogRecord {
        severity: Severity::Error,
        event: "camera-lost",
        camera: Some(NASTY_CAMERA.to_owned()),
        stream: Some("main"),
        message: NASTY_MESSAGE.to_owned(),
    };
    let long = record("x".repeat(5000));
    daemon.log([vec![nasty, long], numbered(0..200)].concat());
    until("the lines arrive", || server.lines().len() >= 202);
    daemon.end();
    let lines = server.lines();
    assert_eq!(lines.len(), 202);
    assert_eq!(
        lines[0].replace("|it", "| it"),
        "moonfire-nvr|daemon.err|[nvr@32473 camera=\"drive \\\"way\\\" [1\\] \\\\ { } ä\" \
         event=\"camera-lost\" stream=\"main\"]| it said \"no\"] \\ and  went away: 100 % ü"
    );
    assert!(lines[1].ends_with("xxxxx") && lines[1].len() < 2048);
    // Datagrams and a stream from one sender keep their order here.
    assert_eq!(numbers(&lines), (0..200).collect::<Vec<_>>());
}

fn localhost() -> String {
    "localhost".to_owned()
}

#[test]
fn over_a_unix_socket() {
    understands(|s| LogTarget::Unix(s.path("log")));
}

/// As rsyslogd reads `/dev/log` where nobody has told it anything else.
#[test]
fn over_the_local_socket() {
    let server = Server::new();
    let daemon = Daemon::new(LogTarget::Unix(server.path("dev-log")));
    let nasty = LogRecord {
        severity: Severity::Notice,
        event: "camera-back",
        camera: Some(NASTY_CAMERA.to_owned()),
        stream: Some("sub"),
        message: NASTY_MESSAGE.to_owned(),
    };
    daemon.log([vec![nasty], numbered(0..50)].concat());
    until("the lines arrive", || server.lines().len() >= 51);
    daemon.end();
    let lines = server.lines();
    assert_eq!(
        lines[0],
        "moonfire-nvr|daemon.notice|-| [nvr@32473 camera=\"drive \\\"way\\\" [1\\] \\\\ { } ä\" \
         event=\"camera-back\" stream=\"sub\"] it said \"no\"] \\ and  went away: 100 % ü"
    );
    assert_eq!(numbers(&lines), (0..50).collect::<Vec<_>>());
}

#[test]
fn over_udp() {
    understands(|s| LogTarget::Udp {
        host: "127.0.0.1".to_owned(),
        port: s.udp,
    });
}

#[test]
fn over_tcp_to_a_name() {
    understands(|s| LogTarget::Tcp {
        host: localhost(),
        port: s.tcp,
    });
}

/// The server is away: what the queue does not hold is lost, and told when it is back.
#[test]
fn drops_are_told_when_it_is_back() {
    let mut server = Server::new();
    let daemon = Daemon::new(LogTarget::Unix(server.path("log")));
    daemon.log(numbered(0..1));
    until("it arrives", || numbers(&server.lines()) == [0]);
    server.stop();
    remove(&server.path("log"));
    let last = MAX_QUEUED_LINES + 1 + 123;
    daemon.log(numbered(1..last));
    server.start();
    until("the loss is told", || told_lost(&server.lines()) > 0);
    daemon.end();
    assert_eq!(told_lost(&server.lines()), 123);
    let kept: Vec<usize> = (0..=MAX_QUEUED_LINES).collect();
    assert_eq!(numbers(&server.lines()), kept);
}

/// The server stands still: its socket takes a few, the queue the others, and the sum is right.
#[test]
fn drops_are_counted_while_it_stands_still() {
    let server = Server::new();
    let daemon = Daemon::new(LogTarget::Unix(server.path("log")));
    daemon.log(numbered(0..1));
    until("it arrives", || numbers(&server.lines()) == [0]);
    server.signal(Signal::SIGSTOP);
    let mut sent = 1;
    for _ in 0..5 {
        daemon.log(numbered(sent..sent + 500));
        sent += 500;
    }
    server.signal(Signal::SIGCONT);
    until("all is accounted for", || {
        let lines = server.lines();
        numbers(&lines).len() + told_lost(&lines) == sent
    });
    daemon.end();
    let lines = server.lines();
    assert!(numbers(&lines).is_sorted());
    assert_eq!(numbers(&lines).len() + told_lost(&lines), sent);
}

fn remove(path: &Path) {
    // A server that was killed leaves it behind.
    let _ = std::fs::remove_file(path);
}
