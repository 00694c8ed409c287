//! Files that are not in memory, read by several at a time while six cameras record: how long the loop is
//! kept busy, and how long recordings are not written to.

use crate::client::Client;
use crate::report::Report;
use crate::server::{CORE, Server};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::collections::BTreeMap;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long each is measured.
const SPAN: Duration = Duration::from_secs(20);
const READERS: u64 = 8;
/// What one asks for at a time.
const REQUEST_BYTES: u64 = 32 << 20;
/// Between two looks at the sizes of what is recorded.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// The slow disk: some 12 ms for each read.
const SLOW_READS: u32 = 80;
const SLOW_BYTES: u32 = 40_000_000;

pub struct Hour<'a> {
    pub target: &'a str,
    pub bytes: u64,
    /// The folder of the sample files, and those of the hour in it.
    pub folder: &'a Path,
    pub files: &'a [PathBuf],
}

pub fn measure(report: &mut Report, server: &Server, hour: &Hour) {
    report.title(&format!(
        "{READERS} readers of a cold hour, six cameras being recorded"
    ));
    let (turn, gap, _) = watch(server, hour, false);
    report.target("nobody reads: longest turn, ms", turn.wall, 10.0, 10.0);
    report.told("of a turn, the most processor time, ms", turn.cpu);
    report.told("longest time without a write to a stream, ms", gap);
    let mut read = |name: &str| {
        let stolen_before = stolen();
        let (turn, with_readers, bytes) = watch(server, hour, true);
        let stolen = (stolen() - stolen_before).as_secs_f64() * 1e3;
        let rate = bytes as f64 / SPAN.as_secs_f64() / 1e6;
        report.told(&format!("{name}: read, MB/s"), rate);
        report.target(&format!("{name}: longest turn, ms"), turn.wall, 10.0, 10.0);
        // Long turns in whose midst the core was with another virtual machine are not ours to mend.
        report.told(
            &format!("{name}: the host took the core away for, ms"),
            stolen,
        );
        let most = format!("{name}: of a turn, the most processor time, ms");
        report.target(&most, turn.cpu, 10.0, 10.0);
        let extra = (with_readers - gap).max(0.0);
        report.target(
            &format!("{name}: extra time without a write, ms"),
            extra,
            60.0,
            20.0,
        );
    };
    read("disk as it is");
    match SlowDisk::of(server, hour.folder) {
        Some(_slow) => read("80 reads and 40 MB a second"),
        None => println!("no slow disk: that needs root and the blkio or io controller of cgroups"),
    }
}

/// For how long the server's core, if it is a virtual one, has been taken away so far (proc_stat(5), `steal`).
fn stolen() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let name = format!("cpu{CORE} ");
    let line = stat.lines().find_map(|l| l.strip_prefix(&name)).unwrap();
    let ticks = line.split_whitespace().nth(7).unwrap().parse().unwrap();
    Duration::from_millis(10) * ticks
}

/// The longest turn and the most processor time of one, in milliseconds.
struct Turn {
    wall: f64,
    cpu: f64,
}

/// The longest turn, the longest gap of a stream in milliseconds, and bytes read.
fn watch(server: &Server, hour: &Hour, reading: bool) -> (Turn, f64, u64) {
    let (stop, bytes) = (AtomicBool::new(false), AtomicU64::new(0));
    let before = server.turns();
    let gap = std::thread::scope(|scope| {
        if reading {
            for n in 0..READERS {
                let (stop, bytes) = (&stop, &bytes);
                scope.spawn(move || read(server.port, hour, n, stop, bytes));
            }
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    hour.files.iter().for_each(|f| forget(f));
                    std::thread::park_timeout(Duration::from_millis(500));
                }
            });
        }
        let gap = longest_gap(hour);
        stop.store(true, Ordering::Relaxed);
        gap
    });
    let after = server.turns();
    let turn = Turn {
        wall: after.wall.longest_since_ms(&before.wall),
        cpu: after.cpu.longest_since_ms(&before.cpu),
    };
    (turn, gap.as_secs_f64() * 1e3, bytes.into_inner())
}

/// Reads its part of the hour again and again.
fn read(port: u16, hour: &Hour, n: u64, stop: &AtomicBool, bytes: &AtomicU64) {
    let mut client = Client::connect(port);
    let part = hour.bytes / READERS;
    let mut at = 0;
    while !stop.load(Ordering::Relaxed) {
        let start = n * part + at;
        let len = client.get_while(
            hour.target,
            start..start + REQUEST_BYTES.min(part - at),
            || !stop.load(Ordering::Relaxed),
        );
        bytes.fetch_add(len, Ordering::Relaxed);
        at = (at + REQUEST_BYTES) % (part - REQUEST_BYTES);
    }
}

/// Takes a file out of the page cache.
fn forget(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
}

/// The longest time in which none of a stream's files grew.
fn longest_gap(hour: &Hour) -> Duration {
    let started = Instant::now();
    // By stream: its newest file's name and size, and when that was written to.
    let mut streams: BTreeMap<String, (String, u64, Instant)> = BTreeMap::new();
    let (mut longest, mut listed) = (Duration::ZERO, None::<Instant>);
    while started.elapsed() < SPAN {
        let now = Instant::now();
        if listed.is_none_or(|l| l.elapsed() > Duration::from_millis(100)) {
            listed = Some(now);
            for entry in std::fs::read_dir(hour.folder).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                // Its path is that of an hour's file, the marker, or the journal's folder.
                if name.len() != 16 || hour.files.iter().any(|f| f.ends_with(&name)) {
                    continue;
                }
                let stream = name[..8].to_owned();
                let newest = streams.entry(stream).or_insert((name.clone(), 0, now));
                if name > newest.0 {
                    (newest.0, newest.1) = (name, 0);
                }
            }
        }
        for (name, size, written) in streams.values_mut() {
            let Ok(m) = std::fs::metadata(hour.folder.join(&*name)) else {
                continue;
            };
            if m.len() != *size {
                // The first look tells nothing.
                if *size > 0 {
                    longest = longest.max(now - *written);
                }
                (*size, *written) = (m.len(), now);
            }
        }
        std::thread::park_timeout(LOOK_INTERVAL);
    }
    assert!(streams.len() >= 6, "{} streams are recorded", streams.len());
    longest
}

/// Slows down the recorder's reads while it is there, by a control group.
struct SlowDisk {
    group: PathBuf,
    parent: PathBuf,
    pid: u32,
}

impl SlowDisk {
    fn of(server: &Server, folder: &Path) -> Option<SlowDisk> {
        let device = std::fs::metadata(folder).ok()?.st_dev();
        // Throttling is for whole disks.
        let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
        let v1 = Path::new("/sys/fs/cgroup/blkio");
        let v2 = Path::new("/sys/fs/cgroup");
        let is_v1 = v1.join("blkio.throttle.read_iops_device").exists();
        let parent = if is_v1 { v1 } else { v2 };
        let slow = SlowDisk {
            group: parent.join("moonfire-nvr-bench"),
            parent: parent.to_owned(),
            pid: server.pid(),
        };
        std::fs::create_dir_all(&slow.group).ok()?;
        let limits = match is_v1 {
            true => vec![
                (
                    "blkio.throttle.read_iops_device",
                    format!("{major}:{minor} {SLOW_READS}"),
                ),
                (
                    "blkio.throttle.read_bps_device",
                    format!("{major}:{minor} {SLOW_BYTES}"),
                ),
            ],
            false => vec![(
                "io.max",
                format!("{major}:{minor} riops={SLOW_READS} rbps={SLOW_BYTES}"),
            )],
        };
        for (file, limit) in limits {
            std::fs::write(slow.group.join(file), limit).ok()?;
        }
        std::fs::write(slow.group.join("cgroup.procs"), slow.pid.to_string()).ok()?;
        Some(slow)
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        let _ = std::fs::write(self.parent.join("cgroup.procs"), self.pid.to_string());
        let _ = std::fs::remove_dir(&self.group);
    }
}
