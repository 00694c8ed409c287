//! Clients that mean no good, or are only careless, at the real binary: that it serves others and records
//! meanwhile, and what it holds for them.

use crate::client::PATIENCE;
use crate::daemon::{Demo, wait};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Connections that do nothing, of the 1,280 that there may be.
const IDLE: usize = 1_000;

/// What all of them may cost the recorder: a quarter of the memory that it has for a dozen streams.
const IDLE_BYTES: u64 = 8 << 20;

/// All that recording has lost so far: packets, and time between recordings.
fn losses(demo: &Demo) -> (u64, usize) {
    let top = demo.get("/api/").json();
    let (mut packets, mut gaps) = (0, 0);
    for camera in top["cameras"].as_array().unwrap() {
        let base = format!("/api/cameras/{}", camera["uuid"].as_str().unwrap());
        for (kind, stream) in camera["streams"].as_object().unwrap() {
            assert_eq!(stream["recording"], true, "{stream}");
            packets += stream["lostPackets"].as_u64().unwrap();
            let told = demo.get(&format!("{base}/{kind}/gaps")).json();
            // That before a stream's first recording is told when that is committed.
            let lost = told["gaps"].as_array().unwrap().iter();
            gaps += lost.filter(|gap| gap["cause"] != "restart").count();
        }
    }
    (packets, gaps)
}

fn all_are_recorded(demo: &Demo) {
    for camera in 0..2 {
        for kind in ["main", "sub"] {
            demo.growing(camera, kind);
        }
    }
}

/// Each connection takes a descriptor of this process, too.
fn allow_descriptors() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most.min(4096), most).unwrap();
}

/// What comes until the other side closes.
fn rest(socket: &mut TcpStream) -> String {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut got = Vec::new();
    socket.read_to_end(&mut got).unwrap();
    String::from_utf8_lossy(&got).into_owned()
}

#[test]
fn a_thousand_idle_connections_cost_next_to_nothing() {
    allow_descriptors();
    let demo = Demo::start();
    all_are_recorded(&demo);
    let (before, memory) = (losses(&demo), demo.resident_bytes());
    let mut idle: Vec<TcpStream> = (0..IDLE)
        .map(|_| TcpStream::connect(&demo.addr).unwrap())
        .collect();
    // Half of them begin a request, and never end it.
    for socket in &mut idle[IDLE / 2..] {
        socket
            .write_all(b"GET /api/ HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            .unwrap();
    }
    assert_eq!(demo.get("/healthz").status, 200);
    let grown = demo.resident_bytes().saturating_sub(memory);
    assert!(grown < IDLE_BYTES, "{grown} bytes for {IDLE} connections");
    // They are given ten seconds: those who began are told so, the others see it closed.
    assert_eq!(rest(&mut idle[0]), "");
    let told = rest(&mut idle[IDLE - 1]);
    assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    assert_eq!(losses(&demo), before);
}

#[test]
fn what_two_readers_could_understand_differently_is_refused_at_once() {
    let demo = Demo::start();
    let hidden = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let post = |fields: &str, body: &str| {
        format!("POST /api/login HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}{hidden}")
    };
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    for request in [
        post(both, "0\r\n\r\n"),
        post("Content-Length: 0\r\nContent-Length: 44\r\n", ""),
        post("Content-Length: +0\r\n", ""),
        post("Content-Length: 0, 0\r\n", ""),
        post("Content-Length : 0\r\n", ""),
        post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "0x0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "1\r\nab\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "0\n\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n folded: yes\r\n\r\n{hidden}"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n{hidden}"),
        format!("GET / HTTP/1.1\nHost: localhost\n\n{hidden}"),
        format!("GET http://other/ HTTP/1.1\r\nHost: localhost\r\n\r\n{hidden}"),
        format!("GET / HTTP/1.1\r\n\r\n{hidden}"),
    ] {
        let mut socket = TcpStream::connect(&demo.addr).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let told = rest(&mut socket);
        // 501 is for codings that are good and not known here.
        let refused = ["HTTP/1.1 400 ", "HTTP/1.1 501 "];
        assert!(
            refused.iter().any(|status| told.starts_with(status)),
            "{request:?}: {told}"
        );
        // What is behind it is nobody's request.
        assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{request:?}: {told}");
    }
    // The same in one reading.
    let mut socket = TcpStream::connect(&demo.addr).unwrap();
    let good = post("Content-Length: 2\r\n", "{}") + "GET /healthz HTTP/1.0\r\n\r\n";
    socket.write_all(good.as_bytes()).unwrap();
    let told = rest(&mut socket);
    assert_eq!(told.matches("HTTP/1.1 200 ").count(), 2, "{told}");
}

/// slowhttptest's three ways to keep a server busy with little: heads and bodies that come a few bytes at a
/// time, and answers that are read so.
#[test]
fn slow_clients_keep_nobody_waiting() {
    allow_descriptors();
    let demo = Demo::start();
    all_are_recorded(&demo);
    let base = demo.stream(0, "main", 3);
    let (before, memory) = (losses(&demo), demo.resident_bytes());
    let url = format!("http://{}{base}/view.mp4?s=0", demo.addr);
    let attacks = ["-H", "-B", "-X"].map(|kind| attack(kind, &url));
    // Others are served, as soon as ever.
    let mut slowest = Duration::ZERO;
    let begun = Instant::now();
    let mut asked = 0;
    while asked < 20 || begun.elapsed().as_secs() < 10 {
        let asks = Instant::now();
        assert_eq!(demo.get("/healthz").status, 200);
        slowest = slowest.max(asks.elapsed());
        asked += 1;
        std::thread::park_timeout(Duration::from_millis(100));
    }
    for attack in attacks {
        let told = attack.join().unwrap();
        assert!(told.contains("service available"), "{told}");
        assert!(!told.contains("service available:   NO"), "{told}");
    }
    println!("the slowest of {asked} answers took {slowest:?}");
    assert!(slowest < PATIENCE / 6, "{slowest:?}");
    let grown = demo.resident_bytes().saturating_sub(memory);
    assert!(grown < 4 * IDLE_BYTES, "{grown} bytes");
    assert_eq!(losses(&demo), before);
    // Nobody of them is left.
    wait(|| {
        let connections = demo.get("/api/").json()["reactor"]["connections"].as_u64();
        connections.is_some_and(|n| n < 20).then_some(())
    });
}

/// Lets slowhttptest loose for twelve seconds; what it tells.
fn attack(kind: &str, url: &str) -> JoinHandle<String> {
    let mut command = Command::new("slowhttptest");
    command
        .args([
            kind, "-c", "300", "-r", "150", "-i", "2", "-x", "24", "-l", "12",
        ])
        .args(["-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "3"])
        .args(["-u", url]);
    std::thread::spawn(move || {
        let output = command.output();
        let output = output.expect("slowhttptest is missing: run ./prep.sh test");
        // Its words are in colours.
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut plain = String::new();
        let mut rest = told.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            plain += before;
            rest = after.split_once('m').map_or("", |(_, after)| after);
        }
        plain + rest
    })
}
