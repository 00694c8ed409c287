//! `live.m4s`, watched by a WebSocket client that we did not write.

use crate::daemon::Demo;
use std::collections::BTreeMap;
use std::net::TcpStream;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

/// A message of live video.
struct Part {
    fields: BTreeMap<String, String>,
    segment: Vec<u8>,
}

fn watch(demo: &Demo, base: &str) -> WebSocket<TcpStream> {
    let url = format!("ws://{}{base}/live.m4s", demo.addr);
    let socket = TcpStream::connect(&demo.addr).unwrap();
    socket
        .set_read_timeout(Some(crate::client::PATIENCE))
        .unwrap();
    tungstenite::client(url, socket).unwrap().0
}

fn part(message: &[u8]) -> Part {
    let end = message.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&message[..end]).unwrap();
    let fields = head.lines().map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    });
    Part {
        fields: fields.collect(),
        segment: message[end + 4..].to_vec(),
    }
}

fn next(socket: &mut WebSocket<TcpStream>) -> Part {
    loop {
        match socket.read().unwrap() {
            Message::Binary(bytes) => return part(&bytes),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// From the recording's start on, in 90 kHz units.
fn times(part: &Part) -> (i64, i64) {
    let (start, end) = part.fields["X-Media-Time-Range"].split_once('-').unwrap();
    (start.parse().unwrap(), end.parse().unwrap())
}

/// The segment with its decoding time, which counts from its own beginning, put where the fields say
/// (`tfdt`, ISO/IEC 14496-12 section 8.8.12): what a page does with `timestampOffset`.
fn in_its_place(part: &Part) -> Vec<u8> {
    let mut segment = part.segment.clone();
    let at = segment.windows(4).position(|w| w == b"tfdt").unwrap();
    assert_eq!(segment[at + 4], 1, "64 bits");
    let before: i64 = part.fields["X-Prev-Media-Duration"].parse().unwrap();
    let time = before + times(part).0;
    segment[at + 8..at + 16].copy_from_slice(&time.to_be_bytes());
    segment
}

#[test]
fn a_viewer_begins_at_a_sync_sample_and_misses_nothing() {
    let demo = Demo::start();
    let base = demo.stream(0, "main", 3);
    let mut socket = watch(&demo, &base);
    let first = next(&mut socket);
    let content_type = &first.fields["Content-Type"];
    assert!(
        content_type.starts_with("video/mp4; codecs=\"avc1."),
        "{content_type}"
    );
    let id = &first.fields["X-Video-Sample-Entry-Id"];
    let mut file = demo.get(&format!("/api/init/{id}.mp4")).body;
    let mut before = times(&first);
    let (mut recording, mut parts) = (first.fields["X-Recording-Id"].clone(), 1);
    file.extend(in_its_place(&first));
    while parts < 60 {
        let part = next(&mut socket);
        let now = times(&part);
        if part.fields["X-Recording-Id"] == recording {
            // The start is exact; the end was foretold from the frame before.
            assert!(
                now.0 > before.0 && (now.0 - before.1).abs() < 90_000,
                "{before:?} {now:?}"
            );
        } else {
            recording = part.fields["X-Recording-Id"].clone();
            assert_eq!(now.0, 0);
        }
        before = now;
        file.extend(in_its_place(&part));
        parts += 1;
    }
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("live.mp4");
    std::fs::write(&path, file).unwrap();
    let out = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&path)
        .args([
            "-map",
            "0:v",
            "-f",
            "framemd5",
            "-fps_mode",
            "passthrough",
            "-",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.is_empty(), "{said}");
    let frames = String::from_utf8_lossy(&out.stdout)
        .lines()
        .filter(|l| !l.starts_with('#'))
        .count();
    assert!(frames >= parts, "{frames} of at least {parts}: {said}");
}

#[test]
fn many_viewers_and_other_sites() {
    let demo = Demo::start();
    let base = demo.stream(0, "sub", 1);
    let mut sockets: Vec<_> = (0..20).map(|_| watch(&demo, &base)).collect();
    let mut seen: Vec<Part> = sockets.iter_mut().map(next).collect();
    let last = seen.pop().unwrap();
    for part in &seen {
        assert_eq!(part.fields["X-Recording-Id"], last.fields["X-Recording-Id"]);
    }
    // One that goes does not disturb the others.
    sockets.truncate(10);
    for socket in &mut sockets {
        next(socket);
        next(socket);
    }
    let url = format!("ws://{}{base}/live.m4s", demo.addr);
    let mut request = url.into_client_request().unwrap();
    let origin = "http://evil.example".parse().unwrap();
    request.headers_mut().insert("Origin", origin);
    let socket = TcpStream::connect(&demo.addr).unwrap();
    let refused = tungstenite::client(request, socket).unwrap_err();
    assert!(refused.to_string().contains("403"), "{refused}");
}
