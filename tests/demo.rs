//! `moonfire-nvr demo` as a newcomer starts it, ends it and starts it again.

#![cfg(feature = "ffmpeg")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the page.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
    addr: String,
}

impl Demo {
    fn start(dir: &Path) -> Demo {
        let mut child = Command::new(env!("CARGO_BIN_EXE_moonfire-nvr"))
            .args(["demo", "--configured", "--listen", "127.0.0.1:0", "--dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let (_, after) = line.split_once("http://").expect(&line);
        let (addr, _) = after.split_once('/').expect(&line);
        Demo {
            child,
            stdout,
            addr: addr.to_owned(),
        }
    }

    /// The status as JSON, once the page answers.
    fn status(&self) -> Option<serde_json::Value> {
        let mut socket = TcpStream::connect(&self.addr).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        let request = format!(
            "GET /api/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.addr
        );
        socket.write_all(request.as_bytes()).ok()?;
        let mut reply = String::new();
        socket.read_to_string(&mut reply).ok()?;
        let (_, body) = reply.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }

    /// Waits until all four streams are being recorded.
    fn wait_for_recording(&self) {
        let start = Instant::now();
        loop {
            let status = self.status();
            if status.as_ref().is_some_and(|s| recording(s) == 4) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{status:?}");
            std::thread::park_timeout(LOOK_INTERVAL);
        }
    }

    /// Ctrl-C; what it said last.
    fn end(mut self) -> String {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {said}");
        said
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A second one in the same folder says so, and leaves the first one's file alone.
fn is_refused_while_one_runs(dir: &Path) -> bool {
    let file = dir.join("moonfire-nvr.toml");
    let before = std::fs::read(&file).unwrap();
    let second = Command::new(env!("CARGO_BIN_EXE_moonfire-nvr"))
        .args(["demo", "--configured", "--listen", "127.0.0.1:0", "--dir"])
        .arg(dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another demonstration"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    !second.status.success() && second.stdout.is_empty()
}

/// How many streams have bytes of a recording in progress.
fn recording(status: &serde_json::Value) -> usize {
    let cameras = status["cameras"].as_array().unwrap();
    cameras
        .iter()
        .flat_map(|c| ["main", "sub"].map(|s| &c["streams"][s]["inProgressBytes"]))
        .filter(|bytes| bytes.as_u64() > Some(0))
        .count()
}

#[test]
fn it_records_ends_and_goes_on() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("state/demo");
    for turn in 1..=2 {
        let demo = Demo::start(&dir);
        demo.wait_for_recording();
        assert!(is_refused_while_one_runs(&dir));
        let said = demo.end();
        assert!(said.contains("in good order"), "{said}");
        let sample_files = std::fs::read_dir(dir.join("sample")).unwrap();
        let sample_files = sample_files
            .filter(|f| f.as_ref().unwrap().file_name().len() == 16)
            .count();
        assert_eq!(sample_files, turn * 4);
    }
}
