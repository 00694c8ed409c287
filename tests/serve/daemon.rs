//! The binary with its simulated cameras, one for each test.

use crate::client::{PATIENCE, get};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// `moonfire-nvr demo`, killed at the end.
pub struct Demo {
    child: Child,
    pub addr: String,
    /// It ends when nobody listens any more.
    _stdout: BufReader<ChildStdout>,
    dir: tempfile::TempDir,
}

impl Demo {
    pub fn start() -> Demo {
        Demo::start_in(tempfile::tempdir().unwrap())
    }

    /// Ends in good order, and goes on with what was recorded.
    pub fn restart(self) -> Demo {
        Demo::start_in(self.stop().0)
    }

    /// Ends in good order; its folder and the configuration in it stay.
    pub fn stop(mut self) -> (tempfile::TempDir, std::path::PathBuf) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
        assert!(self.child.wait().unwrap().success());
        let config = self.config();
        let next = tempfile::tempdir().unwrap();
        (std::mem::replace(&mut self.dir, next), config)
    }

    fn start_in(dir: tempfile::TempDir) -> Demo {
        let mut child = Command::new(env!("CARGO_BIN_EXE_moonfire-nvr"))
            .args(["demo", "--configured", "--listen", "127.0.0.1:0", "--dir"])
            .arg(dir.path().join("demo"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let (_, after) = line.split_once("http://").expect(&line);
        let (addr, _) = after.split_once('/').expect(&line);
        // The line is told before it listens.
        wait(|| std::net::TcpStream::connect(addr).ok());
        Demo {
            child,
            addr: addr.to_owned(),
            _stdout: stdout,
            dir,
        }
    }

    /// Its configuration, for other commands.
    pub fn config(&self) -> std::path::PathBuf {
        self.dir.path().join("demo/moonfire-nvr.toml")
    }

    /// The memory that it holds, its simulated cameras among it.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<u64>().unwrap() << 10
    }

    pub fn get(&self, target: &str) -> crate::client::Reply {
        get(&self.addr, target)
    }

    /// The path of a camera's stream, once at least `seconds` of it can be read.
    pub fn stream(&self, camera: usize, kind: &str, seconds: i64) -> String {
        let base = wait(|| {
            let top = self.get("/api/").json();
            let uuid = top["cameras"][camera]["uuid"].as_str()?.to_owned();
            Some(format!("/api/cameras/{uuid}/{kind}"))
        });
        wait(|| {
            let list = self.get(&format!("{base}/recordings")).json();
            let rows = list["recordings"].as_array()?;
            let whole: i64 = rows.iter().map(duration).sum();
            (whole >= seconds * 90_000).then_some(())
        });
        base
    }

    /// Waits until something of a recording that is not committed can be read.
    pub fn growing(&self, camera: usize, kind: &str) {
        let base = self.stream(camera, kind, 0);
        wait(|| {
            let list = self.get(&format!("{base}/recordings")).json();
            let rows = list["recordings"].as_array()?;
            rows.iter().any(|r| r["growing"] == true).then_some(())
        });
    }
}

fn duration(row: &Value) -> i64 {
    row["endTime90k"].as_i64().unwrap() - row["startTime90k"].as_i64().unwrap()
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again until there is something.
pub fn wait<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "it takes too long");
        std::thread::park_timeout(LOOK_INTERVAL);
    }
}
