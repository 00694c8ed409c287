//! Clients that may say anything: heads and bodies, ranges and conditions, WebSocket frames.
//!
//! The first byte says which, the second how the rest is cut. However it is cut, the same comes out.

#![no_main]

use libfuzzer_sys::fuzz_target;
use moonfire_nvr::http::connection::PIPELINED_BYTES;
use moonfire_nvr::http::origin::{Names, Site};
use moonfire_nvr::http::ranges::{self, Piece, Representation};
use moonfire_nvr::http::websocket::{self, Endpoint, Handshake, Message};
use moonfire_nvr::http::{BODY_BYTES, BodySize, Connection, Request, Response, Status, Step};
use moonfire_nvr::time::{Monotonic, Now};

const NOW: Now = Now {
    monotonic: Monotonic(0),
    wall: moonfire_nvr::time::Wall90k(0),
};

fuzz_target!(|data: &[u8]| {
    let [mode, cut, data @ ..] = data else { return };
    let cut = usize::from(*cut) + 1;
    match mode % 3 {
        0 => {
            let whole = requests(data, usize::MAX);
            assert_eq!(requests(data, cut), whole);
            whole.0.iter().for_each(look_at);
        }
        1 => conditions(data),
        _ => {
            let whole = messages(data, usize::MAX);
            assert_eq!(messages(data, cut), whole);
        }
    }
});

/// All requests that come of `data`, and the status of the refusal that ended it.
fn requests(data: &[u8], cut: usize) -> (Vec<Request>, Option<Vec<u8>>) {
    let mut connection = Connection::new(NOW);
    let mut requests = Vec::new();
    for piece in data.chunks(cut) {
        // Each step gives time to no more than what came.
        let mut step = connection.receive(NOW, piece);
        loop {
            assert!(connection.memory_bytes() <= 4 * (PIPELINED_BYTES + BODY_BYTES));
            match step {
                Step::Wait | Step::Send(_) => break,
                Step::Answer(request) | Step::Upload(request) => {
                    assert!(request.body.len() <= BODY_BYTES);
                    requests.push(request);
                    let bytes = connection.respond_whole(NOW, &Response::text(Status::Ok, "x"));
                    assert!(bytes.starts_with(b"HTTP/1.1 200 OK\r\n"));
                    step = connection.sent(NOW);
                }
                Step::Refuse(bytes) => return (requests, Some(bytes)),
                Step::Close => return (requests, None),
                Step::Abort => panic!("nothing was stalled"),
            }
        }
    }
    (requests, None)
}

/// Everything that asks a request something.
fn look_at(request: &Request) {
    assert!(request.path == "*" || request.path.starts_with('/'));
    if let Ok(segments) = request.segments() {
        for s in segments {
            assert!(s != ".." && s != "." && !s.contains(['/', '\\', '\0']));
        }
    }
    request.query_pairs().for_each(drop);
    let _ = (request.cookie("s"), request.content_type());
    let names = Names::new(["nvr.example.org"]);
    for trusted in [false, true] {
        let site = Site::of(request, false, trusted);
        let _ = site.check(request, &names);
    }
    if let Ok(handshake) = Handshake::check(request) {
        assert_eq!(handshake.accept().len(), 28);
    }
    conditions_of(request, 1000);
}

/// `data` as the lines of a head behind its first.
fn conditions(data: &[u8]) {
    let [len, data @ ..] = data else { return };
    let head = [
        b"GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=",
        data,
        b"\r\n\r\n",
    ]
    .concat();
    if let Step::Answer(request) = Connection::new(NOW).receive(NOW, &head) {
        conditions_of(&request, u64::from(*len) * u64::from(*len));
    }
}

fn conditions_of(request: &Request, len: u64) {
    let representation = Representation {
        etag: "\"e\"",
        len,
        content_type: "video/mp4".into(),
    };
    let plan = ranges::plan(request, &representation);
    assert!(plan.pieces.len() <= 2 * ranges::RANGES + 1);
    let mut seen: Vec<std::ops::Range<u64>> = Vec::new();
    let mut total = 0;
    for piece in &plan.pieces {
        match piece {
            Piece::Bytes(b) => total += b.len() as u64,
            Piece::Range(r) => {
                assert!(r.start < r.end && r.end <= len);
                assert!(seen.iter().all(|s| s.end <= r.start || r.end <= s.start));
                total += r.end - r.start;
                seen.push(r.clone());
            }
        }
    }
    match plan.size {
        BodySize::Known(n) => assert_eq!(n, total),
        _ => assert_eq!(total, 0),
    }
}

/// All messages that come of `data`, and whether it ended.
fn messages(data: &[u8], cut: usize) -> (Vec<Message>, bool) {
    let now = Monotonic(0);
    let mut endpoint = Endpoint::new(now);
    let mut messages = Vec::new();
    // More than so many at once end it, so it is handed over in pieces that cannot have more.
    for piece in data.chunks(cut.min(6 * websocket::MESSAGES)) {
        let reaction = endpoint.receive(now, piece);
        endpoint.sent();
        for m in reaction.messages {
            let (Message::Text(_) | Message::Binary(_)) = &m;
            messages.push(m);
        }
        assert!(reaction.send.len() <= websocket::PONGS_UNSENT * 127 + 127);
        if reaction.close {
            assert!(!endpoint.is_open());
            assert_eq!(endpoint.next_timeout(), None);
            return (messages, true);
        }
    }
    (messages, false)
}
