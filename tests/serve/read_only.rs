//! `moonfire-nvr run --read-only` shows what there is, beside the recorder and without it.

use crate::client::{Reply, get};
use crate::daemon::{Demo, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

struct OnlyLooks {
    child: Child,
    addr: String,
}

impl OnlyLooks {
    /// With the demo's configuration, but an address of its own.
    fn start(config: &Path) -> OnlyLooks {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = free.local_addr().unwrap().to_string();
        drop(free);
        let text: String = std::fs::read_to_string(config)
            .unwrap()
            .lines()
            .map(|line| match line.starts_with("listen = ") {
                true => format!("listen = \"{addr}\"\n"),
                false => format!("{line}\n"),
            })
            .collect();
        let own = config.with_file_name("only-looks.toml");
        std::fs::write(&own, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_moonfire-nvr"))
            .args(["run", "--read-only", "--config"])
            .arg(&own)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait(|| std::net::TcpStream::connect(&addr).ok());
        // Its disks are there a moment later.
        wait(|| (get(&addr, "/api/").json()["sampleDirs"][0]["ready"] == true).then_some(()));
        OnlyLooks { child, addr }
    }

    fn get(&self, target: &str) -> Reply {
        get(&self.addr, target)
    }

    fn end(mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for OnlyLooks {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All files below a folder, with what would tell of a change.
fn files(folder: &Path, found: &mut BTreeMap<String, (u64, SystemTime)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        if meta.is_dir() {
            files(&entry.path(), found);
        }
        let name = entry.path().display().to_string();
        found.insert(name, (meta.len(), meta.modified().unwrap()));
    }
}

fn same(ours: &Reply, theirs: &Reply) {
    assert_eq!(ours.status, 200, "{}", ours.text());
    assert_eq!(ours.header("etag"), theirs.header("etag"));
    assert!(ours.body == theirs.body, "other bytes");
}

#[test]
fn recordings_are_shown_without_recording() {
    let demo = Demo::start();
    demo.stream(0, "main", 2);
    let demo = demo.restart();
    let base = demo.stream(0, "main", 2);
    let list = demo.get(&format!("{base}/recordings")).json();
    let rows = list["recordings"].as_array().unwrap();
    let id = rows.iter().map(|r| r["startId"].as_i64().unwrap()).min();
    let first = rows.iter().find(|r| r["startId"].as_i64() == id).unwrap();
    let at = first["startTime90k"].as_i64().unwrap();
    let movie = format!("{base}/view.mp4?s={}&ts=true", id.unwrap());
    let picture = format!("{base}/snapshot.jpg?time90k={at}&width=160");
    let written = demo.get(&movie);
    assert_eq!(written.status, 200);

    let beside = OnlyLooks::start(&demo.config());
    same(&beside.get(&movie), &written);
    let jpeg = beside.get(&picture);
    assert_eq!(jpeg.status, 200, "{}", jpeg.text());
    assert!(jpeg.body.starts_with(&[0xff, 0xd8]));
    let state = beside.get("/api/").json();
    let stream = &state["cameras"][0]["streams"]["main"];
    assert_eq!(stream["recording"], false, "{stream}");
    beside.end();
    // The recorder did not notice.
    demo.growing(0, "main");

    let (dir, config) = demo.stop();
    let sample = config.with_file_name("sample");
    let mut before = BTreeMap::new();
    files(&sample, &mut before);
    let alone = OnlyLooks::start(&config);
    same(&alone.get(&movie), &written);
    alone.end();
    let mut after = BTreeMap::new();
    files(&sample, &mut after);
    assert_eq!(before, after);
    drop(dir);
}
