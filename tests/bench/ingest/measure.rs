//! What a process cost while it was in its steady state.

use super::source::FRAME_RATE;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time for connections, first frames and buffers to find their size.
const WARM_UP: Duration = Duration::from_secs(8);
/// Allocations are counted for so long from then on, so that each stream's rotation is among them, and
/// a commit.
const COUNT_ALLOCATIONS: Duration = Duration::from_secs(90);
/// System calls are counted apart, for so long: counting them costs time.
const COUNT_CALLS: Duration = Duration::from_secs(5);

/// How often memory was asked for in this process.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Of these, how many the recorder's frames asked for; and recordings begun.
static FRAME_ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static RECORDINGS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OF_THIS_THREAD: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counted.
pub struct Counting;

fn count() {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    OF_THIS_THREAD.set(OF_THIS_THREAD.get() + 1);
}

// SAFETY: everything is passed on to the system's allocator unchanged; counting allocates nothing,
// because the thread-local cell is const-initialized and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

pub fn allocations_of_this_thread() -> u64 {
    OF_THIS_THREAD.get()
}

pub fn count_frame_allocations(count: u64) {
    FRAME_ALLOCATIONS.fetch_add(count, Ordering::Relaxed);
}

pub fn count_recording() {
    RECORDINGS.fetch_add(1, Ordering::Relaxed);
}

/// What the recorder has counted so far.
#[derive(Clone, Copy)]
struct Counts {
    all: u64,
    of_frames: u64,
    recordings: u64,
}

impl Counts {
    /// What there was between these and `later`.
    fn until(&self, later: &Counts, frames: f64) -> Allocations {
        let of_frames = later.of_frames - self.of_frames;
        let others = later.all - self.all - of_frames;
        let recordings = later.recordings - self.recordings;
        Allocations {
            per_frame: of_frames as f64 / frames,
            per_recording: others as f64 / recordings.max(1) as f64,
        }
    }
}

/// Writes the counts to a file whenever the file `ask` is there; for the recorder, whose loop has
/// the main thread.
pub fn tell_counts(dir: &Path) {
    let (ask, told) = (dir.join("ask"), dir.join("counts"));
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            if ask.exists() {
                let counts = [&ALLOCATIONS, &FRAME_ALLOCATIONS, &RECORDINGS]
                    .map(|c| c.load(Ordering::Relaxed).to_string());
                let _ = std::fs::remove_file(&ask);
                let _ = std::fs::write(&told, counts.join(" "));
            }
        }
    });
}

/// What a process cost.
pub struct Measured {
    pub cpu_seconds_per_stream_hour: f64,
    pub rss_mb: f64,
    pub threads: u64,
    /// System calls, if `strace` is installed.
    pub calls_per_frame: Option<f64>,
    /// Only of the recorder.
    pub allocations: Option<Allocations>,
}

/// How often memory was asked for.
pub struct Allocations {
    pub per_frame: f64,
    /// All the rest for each recording: its rotation, its part of the commits, and what other
    /// threads ask for.
    pub per_recording: f64,
}

/// Runs this program as `role` and measures it.
pub fn child(role: &str, address: &str, streams: usize, dir: &Path, seconds: u64) -> Measured {
    let dir = dir.join(format!("{role}-{streams}"));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a folder");
    let exe = std::env::current_exe().expect("this program's path");
    let mut child = Command::new(exe)
        .args([role, address, &streams.to_string()])
        .arg(&dir)
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    std::thread::sleep(WARM_UP);
    let pid = child.id();
    let counts = counts(&dir);
    let (cpu, begin) = (cpu_seconds(pid), Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    let (cpu, wall) = (cpu_seconds(pid) - cpu, begin.elapsed().as_secs_f64());
    let mut measured = Measured {
        cpu_seconds_per_stream_hour: cpu / wall * 3600.0 / streams as f64,
        rss_mb: status(pid, "VmRSS") as f64 / 1024.0,
        threads: status(pid, "Threads"),
        allocations: None,
        calls_per_frame: None,
    };
    if let Some(before) = counts {
        std::thread::sleep(COUNT_ALLOCATIONS.saturating_sub(begin.elapsed()));
        let frames = begin.elapsed().as_secs_f64() * f64::from(FRAME_RATE) * streams as f64;
        measured.allocations = self::counts(&dir).map(|c| before.until(&c, frames));
        // By now all buffers were used.
        measured.rss_mb = status(pid, "VmRSS") as f64 / 1024.0;
    }
    measured.calls_per_frame = calls(pid, streams);
    end(&mut child);
    let _ = std::fs::remove_dir_all(&dir);
    measured
}

fn end(child: &mut Child) {
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    let _ = child.wait();
}

fn counts(dir: &Path) -> Option<Counts> {
    let told = dir.join("counts");
    let _ = std::fs::remove_file(&told);
    std::fs::write(dir.join("ask"), "").ok()?;
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(100));
        let text = std::fs::read_to_string(&told).unwrap_or_default();
        let mut numbers = text.split(' ').filter_map(|n| n.parse().ok());
        if let (Some(all), Some(of_frames), Some(recordings)) =
            (numbers.next(), numbers.next(), numbers.next())
        {
            return Some(Counts {
                all,
                of_frames,
                recordings,
            });
        }
    }
    None
}

/// User and system time of all its threads, the kernel's for its I/O included.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it still runs");
    let after_name = stat.rsplit(')').next().expect("a stat line");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 =
        fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
    let hz = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        .ok()
        .flatten()
        .unwrap_or(100);
    ticks as f64 / hz as f64
}

fn status(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it still runs");
    let line = status
        .lines()
        .find(|l| l.starts_with(field))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// System calls a frame of all threads, counted by `strace` for a few seconds.
fn calls(pid: u32, streams: usize) -> Option<f64> {
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-U", "calls,name", "-p", &pid.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let begin = Instant::now();
    std::thread::sleep(COUNT_CALLS);
    let frames = begin.elapsed().as_secs_f64() * f64::from(FRAME_RATE) * streams as f64;
    let id = nix::unistd::Pid::from_raw(strace.id() as i32);
    let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT);
    let mut report = String::new();
    std::io::Read::read_to_string(strace.stderr.as_mut()?, &mut report).ok()?;
    let _ = strace.wait();
    let total = report.lines().find(|l| l.trim_end().ends_with("total"))?;
    let calls: f64 = total.split_whitespace().next()?.parse().ok()?;
    Some(calls / frames)
}
