//! Clients that end their requests as they like: without sending on, without listening, with too much.

use crate::client::{self, PATIENCE};
use crate::daemon::{Demo, wait};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What a client gets that shuts down its sending side behind its request.
fn ask_and_fall_silent(addr: &str, target: &str) -> Vec<u8> {
    let mut socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "GET {target} HTTP/1.1\r\nHost: {addr}\r\n\r\n").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    socket.read_to_end(&mut got).unwrap();
    got
}

fn body(reply: &[u8]) -> &[u8] {
    let end = reply.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    &reply[end + 4..]
}

#[test]
fn who_sends_no_more_gets_the_whole_answer() {
    let demo = Demo::start();
    let base = demo.stream(0, "main", 3);
    // The first recording has ended then.
    let demo = demo.restart();
    demo.stream(0, "main", 3);
    let target = format!("{base}/view.mp4?s=0");
    let whole = demo.get(&target).body;
    assert!(whole.len() > 20_000, "{}", whole.len());
    assert_eq!(body(&ask_and_fall_silent(&demo.addr, &target)), whole);

    // As people do it, with a program that is no browser.
    let (host, port) = demo.addr.split_once(':').unwrap();
    let mut nc = Command::new("nc")
        .args(["-N", host, port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("nc is needed");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", demo.addr);
    nc.stdin
        .take()
        .unwrap()
        .write_all(request.as_bytes())
        .unwrap();
    let output = nc.wait_with_output().unwrap();
    assert_eq!(body(&output.stdout), whole);
}

#[test]
fn who_posts_too_much_reads_that_it_is_too_much() {
    let demo = Demo::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large");
    std::fs::write(&file, vec![b'x'; 8 << 20]).unwrap();
    // Without `Expect`, it sends all before it looks for an answer.
    let output = Command::new("curl")
        .args([
            "-sS",
            "-H",
            "Expect:",
            "-w",
            "%{http_code}",
            "--data-binary",
        ])
        .arg(format!("@{}", file.display()))
        .arg(format!("http://{}/api/login", demo.addr))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(told.ends_with("413"), "{told}");
    let fields = format!("X-Long: {}\r\n", "x".repeat(1 << 20));
    let refused = client::request(&demo.addr, "GET", "/healthz", &fields);
    assert_eq!(refused.status, 431);
}

#[test]
fn who_is_gone_is_not_counted_any_more() {
    let demo = Demo::start();
    let base = demo.stream(0, "main", 3);
    let connections = || {
        let text = demo.get("/metrics").text();
        let line = text
            .lines()
            .find(|l| l.starts_with("moonfire_nvr_connections "));
        line.and_then(|l| l.rsplit(' ').next()?.parse::<u64>().ok())
    };
    let before = wait(connections);
    let mut many = Vec::new();
    for _ in 0..50 {
        // Half of an answer, whose rest nobody reads.
        let mut socket = TcpStream::connect(&demo.addr).unwrap();
        let request = format!(
            "GET {base}/view.mp4?s=0 HTTP/1.1\r\nHost: {}\r\n\r\n",
            demo.addr
        );
        socket.write_all(request.as_bytes()).unwrap();
        socket.read_exact(&mut [0; 100]).unwrap();
        many.push(socket);
    }
    wait(|| connections().filter(|n| *n >= before + 50));
    drop(many);
    let began = Instant::now();
    wait(|| connections().filter(|n| *n < before + 25));
    // The figure is as old as ten seconds.
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
}
