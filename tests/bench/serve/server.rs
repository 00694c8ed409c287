//! The recorder, and nginx, as processes of their own on one core.

use crate::client::Client;
use crate::store::{Configured, free_port};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where servers run.
pub const CORE: &str = "0";
/// Where that runs which is not to disturb them.
pub const OTHER_CORE: &str = "1";

/// A server as a process.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    pub fn recorder(config: &Configured) -> Server {
        let program = env!("CARGO_BIN_EXE_moonfire-nvr");
        let mut command = on_core(program);
        command.args(["run", "--config"]).arg(&config.file);
        Server::start(config.port, &mut command)
    }

    pub fn nginx(dir: &Path) -> Server {
        let port = free_port();
        let conf = format!(
            "daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid;\n\
             error_log /dev/null;\nevents {{ }}\n\
             http {{ access_log off; sendfile on; tcp_nopush off; tcp_nodelay on;\n\
             keepalive_requests 1000000; open_file_cache max=10;\n\
             client_body_temp_path {dir}/n1; proxy_temp_path {dir}/n2; fastcgi_temp_path {dir}/n3;\n\
             uwsgi_temp_path {dir}/n4; scgi_temp_path {dir}/n5;\n\
             server {{ listen 127.0.0.1:{port}; root {dir}/www; }} }}\n",
            dir = dir.display()
        );
        let path = dir.join("nginx.conf");
        std::fs::write(&path, conf).unwrap();
        Server::start(port, on_core("nginx").arg("-c").arg(path))
    }

    fn start(port: u16, command: &mut Command) -> Server {
        let child = command.spawn().unwrap();
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(30), "{command:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Server { child, port }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Seconds of CPU so far, user and system, of all its threads; the kernel's for its I/O included.
    pub fn cpu(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let nanoseconds = tasks.filter_map(|task| {
            let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse::<u64>().ok()
        });
        nanoseconds.sum::<u64>() as f64 / 1e9
    }

    /// Waits until so many streams are being recorded.
    pub fn records(&self, streams: usize) {
        let started = Instant::now();
        loop {
            let told = Client::connect(self.port).text("/metrics");
            let recording = told
                .lines()
                .filter(|l| l.starts_with("moonfire_nvr_stream_recording{") && l.ends_with(" 1"));
            // The loop's figures come every few seconds.
            let has_turns = told.contains("\nmoonfire_nvr_loop_longest_turn_seconds ");
            if recording.count() >= streams && has_turns {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{told}");
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// How long the turns of the loop were up to now.
    pub fn turns(&self) -> Turns {
        // The loop tells its figures every ten seconds: those that come next have all of before.
        let (started, before) = (Instant::now(), self.told_turns());
        loop {
            let told = self.told_turns();
            if told.count() > before.count() {
                return told;
            }
            assert!(started.elapsed() < Duration::from_secs(30));
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    fn told_turns(&self) -> Turns {
        let told = Client::connect(self.port).text("/metrics");
        let of = |what: &str| {
            let longest = format!("moonfire_nvr_loop_longest_{what}_seconds ");
            let longest = told.lines().find_map(|l| l.strip_prefix(&longest));
            let bucket = format!("moonfire_nvr_loop_{what}_seconds_bucket{{le=\"");
            let bucket = |line: &str| {
                let (end, value) = line.strip_prefix(&bucket)?.split_once("\"} ")?;
                Some((end.parse().unwrap_or(f64::INFINITY), value.parse().unwrap()))
            };
            Lengths {
                longest: longest.unwrap().parse().unwrap(),
                buckets: told.lines().filter_map(bucket).collect(),
            }
        };
        Turns {
            wall: of("turn"),
            cpu: of("turn_cpu"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// How long the turns of the recorder's loop were so far.
pub struct Turns {
    /// From beginning to end.
    pub wall: Lengths,
    /// The loop's own processor time of them.
    pub cpu: Lengths,
}

impl Turns {
    fn count(&self) -> f64 {
        self.wall.buckets.last().map_or(0.0, |b| b.1)
    }
}

pub struct Lengths {
    longest: f64,
    /// Where each bucket of the histogram ends, in seconds, and the turns up to there.
    buckets: Vec<(f64, f64)>,
}

impl Lengths {
    /// The longest turn since `before`, in milliseconds: exactly if it was the longest of all, else to
    /// within a factor of two.
    pub fn longest_since_ms(&self, before: &Lengths) -> f64 {
        if self.longest > before.longest {
            return self.longest * 1e3;
        }
        let turns = |n: usize, of: &Lengths| {
            let below = n.checked_sub(1).map_or(0.0, |n| of.buckets[n].1);
            of.buckets[n].1 - below
        };
        let last = (0..self.buckets.len()).rfind(|&n| turns(n, self) > turns(n, before));
        last.map_or(0.0, |n| self.buckets[n].0 * 1e3)
    }
}

fn on_core(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", CORE, program]);
    command
}

/// Moves this process, and what it starts from now on.
pub fn move_to(core: &str) {
    let pid = std::process::id().to_string();
    let done = Command::new("taskset")
        .args(["-a", "-pc", core, &pid])
        .stdout(Stdio::null())
        .status();
    assert!(done.is_ok_and(|s| s.success()), "taskset is needed");
}
