//! What serving costs, beside nginx with sendfile, which has the same bytes as an ordinary file: the whole of
//! an hour, small ranges of it, and how soon the first byte of an hour, a day and a month is there. Server and
//! client share one core.
//!
//! `cargo bench --bench serve` (needs nginx and taskset; about 4 GB of disk under the temporary folder,
//! or under the folder that is named as an argument, and as much memory to keep it in).

mod client;
mod store;

use client::Client;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use store::Store;

/// Where all of it runs.
const CORE: &str = "0";
/// How often the whole file is read, and how many ranges of each size.
const WHOLE_ROUNDS: u32 = 3;
const RANGES: u32 = 20_000;
/// First bytes are asked for so often; the middle is told.
const FIRST_BYTES: usize = 9;

fn main() {
    let folder = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    let temp = match folder {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    pin_self();
    println!("making what there is to read");
    let store = Store::make(temp.path());
    let recorder = Server::recorder(temp.path());
    let base = format!("/api/cameras/{}", store.camera);
    let hour = format!("{base}/main/view.mp4?s=0-{}", store.hour - 1);
    let day = format!("{base}/sub/view.mp4?s=0-1439");
    let month = format!("{base}/sub/view.mp4?s=0-{}", store.month - 1);

    // Before any of them was laid out, and again.
    for (name, target) in [("1 h", &hour), ("24 h", &day), ("30 d", &month)] {
        let first = first_byte(&recorder, target);
        let mut again: Vec<Duration> = (0..FIRST_BYTES)
            .map(|_| first_byte(&recorder, target))
            .collect();
        again.sort_unstable();
        println!(
            "first byte of {name}: {:.2} ms; again {:.2} ms",
            ms(first),
            ms(again[FIRST_BYTES / 2])
        );
    }

    // nginx gets the bytes from us.
    let copy = temp.path().join("www/hour.mp4");
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    let len = Client::connect(recorder.port).save(&hour, &copy);
    let nginx = Server::nginx(temp.path());
    let (ours, theirs) = (&recorder, &nginx);
    println!("the hour has {:.2} GB", len as f64 / 1e9);
    let whole = |server: &Server, target: &str| {
        let mut client = Client::connect(server.port);
        client.get(target, None);
        let before = server.cpu();
        (0..WHOLE_ROUNDS).for_each(|_| assert_eq!(client.get(target, None), len));
        let bytes = (len * u64::from(WHOLE_ROUNDS)) as f64;
        (server.cpu() - before).as_secs_f64() / bytes * 1e9
    };
    let (a, b) = (whole(ours, &hour), whole(theirs, "/hour.mp4"));
    println!("whole file: {a:.3} CPU-s/GB, nginx {b:.3}: {:.2}", a / b);
    for size in [1 << 20, 64 << 10, 4 << 10] {
        let of_hour = ranges(ours, &hour, len, size);
        let nginx = ranges(theirs, "/hour.mp4", len, size);
        println!(
            "{} KB ranges: {of_hour:.1} us of CPU, nginx {nginx:.1}: {:.2}",
            size >> 10,
            of_hour / nginx
        );
    }
    // The same samples, in a file of one recording and of all.
    let one = format!("{base}/main/view.mp4?s=0");
    let one_len = Client::connect(recorder.port).get(&one, None);
    let (a, b) = (
        ranges(ours, &one, one_len, 4 << 10),
        ranges(ours, &hour, one_len, 4 << 10),
    );
    println!(
        "4 KB ranges of 1 recording: {a:.1} us, of {}: {b:.1} us: {:.2}",
        store.hour,
        b / a
    );
}

fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

/// From the request to the first byte of the body, on a connection that is there.
fn first_byte(server: &Server, target: &str) -> Duration {
    let mut client = Client::connect(server.port);
    let started = Instant::now();
    client.first_byte(target);
    started.elapsed()
}

/// CPU microseconds of the server for a range, at places all over the file, on one connection.
fn ranges(server: &Server, target: &str, len: u64, size: u64) -> f64 {
    let mut client = Client::connect(server.port);
    let count = if size > 1 << 19 { RANGES / 5 } else { RANGES };
    let at = |i: u32| u64::from(i).wrapping_mul(2_654_435_761 << 8) % (len - size);
    // So that each file was opened.
    (0..200).for_each(|i| {
        client.get(target, Some(at(i)..at(i) + size));
    });
    let before = server.cpu();
    for i in 0..count {
        assert_eq!(client.get(target, Some(at(i)..at(i) + size)), size);
    }
    (server.cpu() - before).as_secs_f64() * 1e6 / f64::from(count)
}

/// A server as a process.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn recorder(dir: &Path) -> Server {
        let program = env!("CARGO_BIN_EXE_moonfire-nvr");
        let config = dir.join("nvr.toml");
        Server::start(
            store::PORT,
            Command::new("taskset")
                .args(["-c", CORE, program, "run", "--config"])
                .arg(config)
                .stderr(Stdio::null()),
        )
    }

    fn nginx(dir: &Path) -> Server {
        let port = store::PORT + 1;
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
        Server::start(
            port,
            Command::new("taskset")
                .args(["-c", CORE, "nginx", "-c"])
                .arg(path)
                .stderr(Stdio::null()),
        )
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

    /// User and system time so far, of all its threads.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // USER_HZ is 100 on every Linux that this runs on.
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pin_self() {
    let pid = std::process::id().to_string();
    let done = Command::new("taskset")
        .args(["-pc", CORE, &pid])
        .stdout(Stdio::null())
        .status();
    assert!(done.is_ok_and(|s| s.success()), "taskset is needed");
}
