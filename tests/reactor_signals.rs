//! Signals, the service manager's messages and its sockets: a loop in a process of its own.
//!
//! The program starts itself anew with [`ROLE`] set, and then is a loop whose core says on standard
//! output what it hears.

use moonfire_nvr::config::{Config, HttpConfig, Listen};
use moonfire_nvr::db;
use moonfire_nvr::nvr::port::{Action, ConnId, Core, Event};
use moonfire_nvr::reactor::{BULK_TICK, DiskChoice, End, EventLoop, GivenSockets, Setup};
use moonfire_nvr::recording::recovery::Attached;
use moonfire_nvr::time::{Monotonic, Now};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// `stays`: does not end when it is asked to. `ends`: does.
const ROLE: &str = "REACTOR_SIGNALS_ROLE";

/// A test waits no longer for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    if let Ok(role) = std::env::var(ROLE) {
        std::process::exit(be_the_loop(role == "ends"));
    }
    // What hangs is ended by the signal's default action, and the run fails.
    nix::unistd::alarm::set(PATIENCE.as_secs() as u32 * 4);
    let tests: [(&str, fn()); 5] = [
        ("a second signal ends it at once", second_signal),
        ("the first signal ends it in good order", first_signal),
        ("the configuration is read again", reload),
        ("the service manager is told", service_manager),
        ("sockets are handed over", sockets_handed_over),
    ];
    for (name, test) in tests {
        test();
        println!("test {name} ... ok");
    }
}

struct TellingCore {
    ends: bool,
    actions: VecDeque<Action>,
    next_id: u64,
}

impl Core for TellingCore {
    fn handle(&mut self, _: Now, event: Event<'_>) {
        match event {
            Event::Timeout => {
                println!("began");
                self.actions.push_back(Action::Ready);
            }
            Event::Shutdown => {
                println!("shutdown");
                if self.ends {
                    self.actions.push_back(Action::Exit);
                }
            }
            Event::Reload(config) => println!("reload {}", config.db_dir.display()),
            Event::Accepted { conn, listener, .. } => {
                println!("accepted {listener}");
                let bytes = b"hello".to_vec();
                self.actions.push_back(Action::Send { conn, bytes });
                self.actions.push_back(Action::Close { conn, flush: true });
            }
            _ => {}
        }
    }

    fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn next_timeout(&self) -> Option<Monotonic> {
        None
    }

    fn allocate_conn(&mut self) -> ConnId {
        self.next_id += 1;
        ConnId(self.next_id)
    }
}

fn be_the_loop(ends: bool) -> i32 {
    // SAFETY: nothing was opened yet, and this is the only call.
    let given_sockets = unsafe { GivenSockets::from_environment() }.unwrap();
    let mut config = Config::default();
    config
        .http
        .push(HttpConfig::new(Listen::Systemd("web".to_owned())));
    let mut times = 0;
    let load = move || {
        times += 1;
        match times {
            1 => Err("line 7: no such key".to_owned()),
            _ => Ok(Config {
                db_dir: "/new".into(),
                ..Config::default()
            }),
        }
    };
    let setup = Setup {
        config,
        load_config: Some(Box::new(load)),
        database: Box::new(|_| Ok(db::Reply::Done)),
        attach: |_, _| Ok(Attached::default()),
        disk: DiskChoice::Auto,
        given_sockets,
        bulk_tick: BULK_TICK,
        signals: true,
    };
    let core = TellingCore {
        ends,
        actions: VecDeque::new(),
        next_id: 0,
    };
    let mut event_loop = EventLoop::new(core, setup).unwrap();
    match event_loop.run().unwrap() {
        End::InGoodOrder => 0,
        End::AtOnce(status) => status.into(),
    }
}

/// A process that is a loop, and what it says.
struct Loop {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Loop {
    fn start(role: &str, prepare: impl FnOnce(&mut Command)) -> Loop {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC");
        prepare(&mut command);
        Loop::spawn(role, command)
    }

    fn spawn(role: &str, mut command: Command) -> Loop {
        command
            .env(ROLE, role)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut this = Loop { child, said };
        assert_eq!(this.says(), "began");
        this
    }

    fn says(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits for the end: the exit status, and what the log says.
    fn end(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

fn second_signal() {
    for (first, second, status) in [
        (Signal::SIGTERM, Signal::SIGTERM, 143),
        (Signal::SIGTERM, Signal::SIGINT, 130),
        (Signal::SIGINT, Signal::SIGTERM, 143),
    ] {
        let mut it = Loop::start("stays", |_| {});
        it.signal(first);
        assert_eq!(it.says(), "shutdown");
        it.signal(second);
        assert_eq!(it.end().0, Some(status));
    }
}

fn first_signal() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut it = Loop::start("ends", |_| {});
        it.signal(Signal::SIGPIPE);
        it.signal(signal);
        assert_eq!(it.says(), "shutdown");
        assert_eq!(it.end().0, Some(0));
    }
}

fn reload() {
    let dir = tempfile::tempdir().unwrap();
    let (manager, path) = manager(&dir);
    let mut it = Loop::start("ends", |c| {
        c.env("NOTIFY_SOCKET", path);
    });
    assert_eq!(hears(&manager), "READY=1");
    // The first file is a bad one: the core hears nothing of it.
    it.signal(Signal::SIGHUP);
    assert!(hears(&manager).starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(hears(&manager), "READY=1");
    it.signal(Signal::SIGHUP);
    assert_eq!(it.says(), "reload /new");
    it.signal(Signal::SIGTERM);
    assert_eq!(it.says(), "shutdown");
    let (status, log) = it.end();
    assert_eq!(status, Some(0));
    assert!(log.contains("stays in force: line 7: no such key"), "{log}");
    assert!(log.contains("the configuration was read again"), "{log}");
}

fn service_manager() {
    let dir = tempfile::tempdir().unwrap();
    let (manager, path) = manager(&dir);
    let mut it = Loop::start("ends", |c| {
        c.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "100000");
    });
    let mut heard = Vec::new();
    while heard.iter().filter(|h| *h == "WATCHDOG=1").count() < 3 {
        heard.push(hears(&manager));
    }
    assert!(heard.contains(&"READY=1".to_owned()));
    it.signal(Signal::SIGTERM);
    assert_eq!(it.says(), "shutdown");
    while hears(&manager) != "STOPPING=1" {}
    assert_eq!(it.end().0, Some(0));
}

fn sockets_handed_over() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let given: RawFd = listener.as_raw_fd();
    // Only the shell knows the process's number in time; it becomes the program.
    let mut command = Command::new("/bin/sh");
    let exe = std::env::current_exe().unwrap();
    command.args(["-c", "LISTEN_PID=$$ exec \"$0\""]).arg(exe);
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "web");
    // SAFETY: these calls are async-signal-safe. By way of another number, because copying 3 to 3
    // would leave it to be closed by exec.
    unsafe {
        command.pre_exec(move || {
            let other = libc::fcntl(given, libc::F_DUPFD, 10);
            match libc::dup2(other, 3) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            }
        });
    }
    let mut it = Loop::spawn("ends", command);
    drop(listener);
    let mut answer = String::new();
    let mut client = TcpStream::connect(addr).unwrap();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello");
    assert_eq!(it.says(), "accepted 0");
    it.signal(Signal::SIGTERM);
    assert_eq!(it.says(), "shutdown");
    assert_eq!(it.end().0, Some(0));
}

fn manager(dir: &tempfile::TempDir) -> (UnixDatagram, std::path::PathBuf) {
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    (manager, path)
}

fn hears(manager: &UnixDatagram) -> String {
    let mut buf = [0; 1024];
    let n = manager.recv(&mut buf).unwrap();
    String::from_utf8(buf[..n].to_vec()).unwrap()
}
