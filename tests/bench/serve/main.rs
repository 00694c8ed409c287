//! What serving costs, beside nginx with sendfile, which has the same bytes as an ordinary file: the whole of
//! an hour, small ranges of it, and how soon the first byte of an hour, a day and a month is there; all
//! of that with server and client on one core. Then, with the clients on the other: live viewers of one
//! stream, and readers of a cold hour while six cameras are being recorded.
//!
//! `cargo bench --bench serve [-- [--dir FOLDER] [nginx] [live] [cold]]` (needs nginx, taskset and two cores;
//! about 4 GB of disk under the temporary folder, or under FOLDER, and as much memory to keep it in; as
//! root it slows the disk down, too).

mod client;
mod cold;
mod fan_out;
mod report;
mod server;
#[path = "../ingest/source.rs"]
mod source;
mod store;

use client::Client;
use report::Report;
use server::{CORE, OTHER_CORE, Server, move_to};
use std::path::Path;
use std::time::Instant;
use store::Store;

/// What can be measured apart.
const PARTS: [&str; 3] = ["nginx", "live", "cold"];
/// How often each is measured, ours and nginx's in turn: the cheapest is told, the least disturbed.
const ROUNDS: usize = 5;
/// How often the whole file is read in a round, and how many ranges of each size.
const WHOLE_READS: u32 = 2;
const RANGES: u32 = 6_000;
const LARGE_RANGES: u32 = 800;
/// First bytes are asked for so often; the middle is told.
const FIRST_BYTES: u32 = 9;
/// Cameras that are recorded.
const CAMERAS: usize = 6;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    let (mut parts, mut temp) = (Vec::new(), tempfile::tempdir());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "source" => return source::run(),
            "--dir" => temp = tempfile::tempdir_in(arguments.next().expect("a folder")),
            part if PARTS.contains(&part) => parts.push(argument),
            other => panic!("{other} is not known; there are --dir FOLDER and {PARTS:?}"),
        }
    }
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    let temp = temp.expect("a folder for what there is to read");
    move_to(OTHER_CORE);
    let source = source::Source::start();
    println!("making what there is to read");
    let store = Store::make(temp.path());
    let mut report = Report::default();
    if wanted("nginx") {
        move_to(CORE);
        beside_nginx(&mut report, temp.path(), &store);
        move_to(OTHER_CORE);
    }
    if wanted("live") || wanted("cold") {
        let config = store::configure(temp.path(), CAMERAS, &source.address);
        let recorder = Server::recorder(&config);
        recorder.records(CAMERAS);
        if wanted("live") {
            live(&mut report, &recorder);
        }
        if wanted("cold") {
            cold(&mut report, &recorder, &store);
        }
    }
    report.end();
}

fn beside_nginx(report: &mut Report, dir: &Path, store: &Store) {
    let recorder = Server::recorder(&store::configure(dir, 0, ""));
    let hour = store.file("main", store.hour);
    let day = store.file("sub", store.day);
    // Answered once the recorder has read what it reads of the database after its start.
    Client::connect(recorder.port).text("/api/?days=true");
    report.title("first byte, of a file that was not asked for yet, and again");
    for (name, stream, n, first_ms, again_ms) in [
        ("1 h", "main", store.hour, [10.0, 5.0], [1.0, 0.3]),
        ("24 h", "sub", store.day, [10.0, 5.0], [1.0, 0.3]),
        ("30 d", "sub", store.month, [f64::NAN; 2], [f64::NAN; 2]),
    ] {
        // Each is another file, if only by its last recordings.
        let first = |i| first_byte(&recorder, &store.file(stream, n - i));
        let again = |_| first_byte(&recorder, &store.file(stream, n - 1));
        let first = middle((1..=FIRST_BYTES).map(first));
        let again = middle((1..=FIRST_BYTES).map(again));
        for (what, ms, [must, aim]) in [("first", first, first_ms), ("again", again, again_ms)] {
            let what = format!("{name}, {what}, ms");
            match must.is_nan() {
                true => report.told(&what, ms),
                false => report.target(&what, ms, must, aim),
            }
        }
    }

    // nginx gets the bytes from us.
    let copy = dir.join("www/hour.mp4");
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    let len = Client::connect(recorder.port).save(&hour, &copy);
    let nginx = Server::nginx(dir);
    let title = format!(
        "CPU of an hour's {:.2} GB, and of ranges of it",
        len as f64 / 1e9
    );
    report.title(&title);
    let (ours, theirs) = in_turn(
        || whole(&recorder, &hour, len),
        || whole(&nginx, "/hour.mp4", len),
    );
    report.told("whole file, s/GB", ours);
    report.told("nginx", theirs);
    report.target("whole file / nginx", ours / theirs, 1.2, 1.05);
    for (size, count) in [
        (1 << 20, LARGE_RANGES),
        (64 << 10, RANGES),
        (4 << 10, RANGES),
    ] {
        let (ours, theirs) = in_turn(
            || ranges(&recorder, &hour, len, size, count),
            || ranges(&nginx, "/hour.mp4", len, size, count),
        );
        let name = format!("{} KiB ranges", size >> 10);
        report.told(&format!("{name}, us"), ours);
        report.told("nginx", theirs);
        let name = format!("{name} / nginx");
        match size > 64 << 10 {
            true => report.told(&name, ours / theirs),
            false => report.target(&name, ours / theirs, 2.5, 1.5),
        }
    }
    // The same samples, in files of one recording and of more.
    for (stream, file, n) in [("main", &hour, store.hour), ("sub", &day, store.day)] {
        let one = store.file(stream, 1);
        let len = Client::connect(recorder.port).get(&one, None);
        let whole = Client::connect(recorder.port).length(file);
        let (one, all) = in_turn(
            || ranges(&recorder, &one, len, 4 << 10, RANGES),
            || ranges(&recorder, file, whole, 4 << 10, RANGES),
        );
        report.told("4 KiB ranges of 1 recording, us", one);
        let what = format!("of {n} / of 1");
        report.target(&what, all / one, 1.1, 1.0);
    }
}

fn live(report: &mut Report, recorder: &Server) {
    let api = Client::connect(recorder.port).text("/api/");
    let api: serde_json::Value = serde_json::from_str(&api).unwrap();
    let mut cameras = api["cameras"].as_array().unwrap().iter();
    let first = cameras.find(|c| c["shortName"] == "camera 0").unwrap();
    let uuid = first["uuid"].as_str().unwrap();
    let target = format!("/api/cameras/{uuid}/main/live.m4s");
    fan_out::measure(report, recorder, &target);
}

fn cold(report: &mut Report, recorder: &Server, store: &Store) {
    let target = store.file("main", store.hour);
    let hour = cold::Hour {
        target: &target,
        bytes: Client::connect(recorder.port).length(&target),
        folder: store.files[0].parent().unwrap(),
        files: &store.files,
    };
    cold::measure(report, recorder, &hour);
}

/// The cheapest of some rounds of both.
fn in_turn(mut a: impl FnMut() -> f64, mut b: impl FnMut() -> f64) -> (f64, f64) {
    let mut least = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        least = (least.0.min(a()), least.1.min(b()));
    }
    least
}

/// The middle one.
fn middle(all: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = all.collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// From the request to the first byte of the body, on a connection that is there, in milliseconds.
fn first_byte(server: &Server, target: &str) -> f64 {
    let mut client = Client::connect(server.port);
    let started = Instant::now();
    client.first_byte(target);
    started.elapsed().as_secs_f64() * 1e3
}

/// CPU seconds of the server for a GB of the whole file.
fn whole(server: &Server, target: &str, len: u64) -> f64 {
    let mut client = Client::connect(server.port);
    let before = server.cpu();
    (0..WHOLE_READS).for_each(|_| assert_eq!(client.get(target, None), len));
    let bytes = (len * u64::from(WHOLE_READS)) as f64;
    (server.cpu() - before) / bytes * 1e9
}

/// CPU microseconds of the server for a range, at places all over the file, on one connection.
fn ranges(server: &Server, target: &str, len: u64, size: u64, count: u32) -> f64 {
    let mut client = Client::connect(server.port);
    let at = |i: u32| u64::from(i).wrapping_mul(2_654_435_761 << 8) % (len - size);
    // So that each file was opened.
    (0..200).for_each(|i| {
        client.get(target, Some(at(i)..at(i) + size));
    });
    let before = server.cpu();
    for i in 0..count {
        assert_eq!(client.get(target, Some(at(i)..at(i) + size)), size);
    }
    (server.cpu() - before) * 1e6 / f64::from(count)
}
