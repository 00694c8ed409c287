use super::*;
use crate::http::head::{HEADERS, TARGET_BYTES};
use crate::http::{Caching, PathError};
use crate::time::Wall90k;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg32;

const NOW: Now = Now {
    monotonic: Monotonic(1_000_000_000),
    wall: Wall90k::from_unix_secs(784_111_777 + 1_000_000_000),
};

fn after(d: Duration) -> Now {
    Now {
        monotonic: NOW.monotonic + d,
        ..NOW
    }
}

fn ask(bytes: impl AsRef<[u8]>) -> Step {
    Connection::new(NOW).receive(NOW, bytes.as_ref())
}

#[track_caller]
fn request(step: Step) -> Request {
    match step {
        Step::Answer(request) => request,
        other => panic!("no request: {other:?}"),
    }
}

/// The code of a refusal, or 200 for a request, or 0 for waiting.
fn code(step: &Step) -> u16 {
    match step {
        Step::Refuse(bytes) => {
            let text = std::str::from_utf8(bytes).unwrap();
            assert!(text.contains("\r\nConnection: close\r\n"));
            text.split(' ').nth(1).unwrap().parse().unwrap()
        }
        Step::Answer(_) => 200,
        Step::Wait => 0,
        other => panic!("{other:?}"),
    }
}

/// A connection with a request to be answered.
fn asked(bytes: &str) -> Connection {
    let mut c = Connection::new(NOW);
    request(c.receive(NOW, bytes.as_bytes()));
    c
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn hello() -> Response {
    Response::text(Status::Ok, "hello")
}

#[test]
fn the_same_requests_however_they_are_cut() {
    let stream = "\r\n\r\nGET /api/?days=true HTTP/1.1\r\nHost: nvr\r\nIf-None-Match: \"x\"\r\n\r\n\
        POST /api/login HTTP/1.1\r\nHost: nvr\r\nContent-Length: 11\r\n\r\n{\"a\":\r\n\r\n1}\
        \r\nPUT /x HTTP/1.1\r\nHost: nvr\r\nTransfer-Encoding: Chunked\r\n\r\n\
        5\r\nhello\r\n006;ext=\"1\"\r\n world\r\n0\r\nX-Trailer: y\r\n\r\n\
        DELETE /y HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\
        HEAD http://NVR/z?q HTTP/1.1\r\nhost: nvr\r\nconnection: x, CLOSE\r\n\r\n";
    let run = |cut: &mut dyn FnMut() -> usize| {
        let mut c = Connection::new(NOW);
        let mut requests = Vec::new();
        let mut rest = stream.as_bytes();
        let mut closed = false;
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(cut().min(rest.len()));
            rest = later;
            let mut step = c.receive(NOW, piece);
            while let Step::Answer(r) = step {
                requests.push((r, c.respond_whole(NOW, &hello())));
                step = c.sent(NOW);
            }
            closed = step == Step::Close;
            assert!(closed || step == Step::Wait, "{step:?}");
        }
        assert!(closed);
        requests
    };
    let whole = run(&mut || usize::MAX);
    let told: Vec<_> = whole
        .iter()
        .map(|(r, _)| {
            let body = String::from_utf8(r.body.clone()).unwrap();
            (r.method.as_str(), &*r.path, &*r.query, body, r.http_1_1)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("GET", "/api/", "days=true", "".to_owned(), true),
            (
                "POST",
                "/api/login",
                "",
                "{\"a\":\r\n\r\n1}".to_owned(),
                true
            ),
            ("PUT", "/x", "", "hello world".to_owned(), true),
            ("DELETE", "/y", "", "".to_owned(), false),
            ("HEAD", "/z", "q", "".to_owned(), true),
        ]
    );
    assert_eq!(whole[0].0.header("if-none-match"), Some("\"x\""));
    assert!(whole[0].1.ends_with(b"\r\n\r\nhello\n"));
    assert!(whole[4].1.ends_with(b"\r\n\r\n"));
    assert_eq!(run(&mut || 1), whole);
    for seed in 0..50 {
        let mut rng = Pcg32::seed_from_u64(seed);
        let cut = &mut || 1 + rng.next_u32() as usize % 70;
        assert_eq!(run(cut), whole, "seed {seed}");
    }
}

#[test]
fn heads_that_two_readers_could_understand_differently() {
    let long = "9".repeat(30);
    let too_long_cl = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {long}\r\n\r\n");
    for (head, expected) in [
        (GET, 200),
        ("GET / HTTP/1.0\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 200),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET http://a:80?x HTTP/1.1\r\nHost: a:80\r\n\r\n", 200),
        ("HTTPS://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        // Hosts.
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400),
        ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        // Targets.
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 505),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\r\nHost: a\r\n\r\n", 400),
        // Lines.
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\rX: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nX: a\rb\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
        ("GET / HTTP/1.1\r\nX: a\0b\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nX: a\x0bb\r\nHost: a\r\n\r\n", 400),
        // Fields.
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n\tfolded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX(: x\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nOrigin: b\r\nOrigin: c\r\n\r\n",
            400,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nRange: b\r\nrange: c\r\n\r\n",
            400,
        ),
        // Methods and versions.
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("\u{16}\u{3}\u{1}", 400),
        // Lengths.
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            200,
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", 0),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0003\r\n\r\nabc",
            200,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3,3\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n",
            413,
        ),
        (&too_long_cl, 413),
        // Transfer codings.
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
            400,
        ),
        // Expectations.
        (
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\n",
            417,
        ),
    ] {
        assert_eq!(code(&ask(head)), expected, "{head:?}");
    }
}

#[test]
fn chunks_that_two_readers_could_understand_differently() {
    let extension = format!("1;{}\r\nx\r\n", "e".repeat(250));
    let extensions = extension.repeat(20) + "0\r\n\r\n";
    let trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(2000));
    let long_line = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(300));
    let long_trailer = format!("0\r\nX: {}\r\n\r\n", "e".repeat(300));
    let one_too_many = format!("8000\r\n{}\r\n8001\r\n", "x".repeat(0x8000));
    for (body, expected) in [
        ("0\r\n\r\n", 200),
        ("00000000000000000000\r\n\r\n", 200),
        ("a ; x=y\r\n0123456789\r\n0;z\r\nA: b\r\n\r\n", 200),
        ("1\r\nx\r\n", 0),
        ("1\r\nx\r\n0\r\n", 0),
        ("1\nx\n0\n\n", 400),
        ("1\r\nx\r\n0\r\n\n", 400),
        ("1\r\nxx\r\n0\r\n\r\n", 400),
        ("2\r\nx\r\n0\r\n\r\n", 400),
        ("1\r\nx\n0\r\n\r\n", 400),
        ("1\r\rx\r\n", 400),
        ("1\r\nx\rx", 400),
        ("\r\n", 400),
        (" 1\r\nx\r\n", 400),
        ("+1\r\nx\r\n", 400),
        ("-1\r\nx\r\n", 400),
        ("0x1\r\nx\r\n", 400),
        ("1 1\r\nx\r\n", 400),
        ("1,\r\nx\r\n", 400),
        ("g\r\nx\r\n", 400),
        ("1;\0\r\nx\r\n", 400),
        ("0\r\nA: \0\r\n\r\n", 400),
        ("10001\r\n", 413),
        ("ffffffffffffffffffffffff\r\n", 413),
        (&one_too_many, 413),
        (&extensions, 400),
        (&trailers, 400),
        (&long_line, 400),
        (&long_trailer, 400),
    ] {
        let step = ask(format!("{CHUNKED}{body}"));
        assert_eq!(code(&step), expected, "{body:.40}");
    }
}

#[test]
fn oversize_is_refused_before_it_costs_memory() {
    let target = |n| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(n));
    assert_eq!(code(&ask(target(TARGET_BYTES - 1))), 200);
    assert_eq!(code(&ask(target(TARGET_BYTES))), 414);
    let many = |n| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(n));
    assert_eq!(code(&ask(many(HEADERS - 1))), 200);
    assert_eq!(code(&ask(many(HEADERS))), 431);
    // A head without an end, and a stream of megabytes in one piece.
    for piece in [7, 1000, 1 << 20] {
        let mut c = Connection::new(NOW);
        let mut step = c.receive(NOW, b"GET / HTTP/1.1\r\nHost: a\r\nX: ");
        let mut taken = 0;
        while step == Step::Wait {
            assert!(taken <= HEAD_BYTES);
            step = c.receive(NOW, &vec![b'x'; piece]);
            taken += piece;
        }
        assert_eq!(code(&step), 431);
        assert_eq!(c.memory_bytes(), 0);
    }
    // The largest body, and one that has chunks of one byte.
    let body = vec![b'x'; BODY_BYTES];
    let mut whole =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY_BYTES}\r\n\r\n").into_bytes();
    whole.extend_from_slice(&body);
    assert_eq!(request(ask(whole)).body, body);
    let chunks = CHUNKED.to_owned() + &"1\r\nx\r\n".repeat(BODY_BYTES);
    let mut c = Connection::new(NOW);
    assert_eq!(c.receive(NOW, chunks.as_bytes()), Step::Wait);
    assert!(c.memory_bytes() < 8 * BODY_BYTES);
    assert_eq!(request(c.receive(NOW, b"0\r\n\r\n")).body, body);
}

#[test]
fn what_is_asked_ahead_is_answered_in_turn_as_far_as_it_is_kept() {
    let n = 40;
    let ahead: String = (0..n)
        .map(|i| {
            format!(
                "POST /{i} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n{}",
                i % 10
            )
        })
        .collect();
    let mut c = Connection::new(NOW);
    let mut step = c.receive(NOW, ahead.as_bytes());
    for i in 0..n {
        let r = request(step);
        assert_eq!((&*r.path, r.body[0]), (&*format!("/{i}"), b'0' + i % 10));
        assert_eq!(c.receive(NOW, b""), Step::Wait);
        c.respond_whole(NOW, &hello());
        step = c.sent(NOW);
    }
    assert_eq!(step, Step::Wait);
    assert!(c.is_idle());
    assert_eq!(c.memory_bytes(), 0, "an idle connection holds nothing");

    // Too much ahead: it is dropped, the response goes out whole, and the connection ends.
    let mut c = asked(GET);
    for _ in 0..PIPELINED_BYTES * 2 / GET.len() {
        assert_eq!(c.receive(NOW, GET.as_bytes()), Step::Wait);
        assert!(c.memory_bytes() <= 2 * PIPELINED_BYTES);
    }
    let bytes = c.respond_whole(NOW, &hello());
    assert!(
        String::from_utf8(bytes)
            .unwrap()
            .contains("\r\nConnection: close\r\n")
    );
    assert_eq!(c.sent(NOW), Step::Close);
    assert_eq!(c.receive(NOW, GET.as_bytes()), Step::Wait);
}

#[test]
fn leave_to_go_on_is_given_to_those_who_wait_for_it() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
    let mut c = Connection::new(NOW);
    assert_eq!(c.receive(NOW, &head.as_bytes()[..20]), Step::Wait);
    let step = c.receive(NOW, &head.as_bytes()[20..]);
    assert_eq!(step, Step::Send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()));
    assert_eq!(c.sent(NOW), Step::Wait);
    assert_eq!(c.receive(NOW, b"h"), Step::Wait);
    assert_eq!(request(c.receive(NOW, b"i")).body, b"hi");
    // Behind another request.
    let mut c = asked(&format!("{GET}{head}"));
    c.respond_whole(NOW, &hello());
    assert!(matches!(c.sent(NOW), Step::Send(_)));
    // Not to who has begun already, has nothing to send, or speaks HTTP/1.0.
    assert_eq!(ask(format!("{head}h")), Step::Wait);
    assert_eq!(code(&ask(head.replace("h: 2", "h: 0"))), 200);
    assert_eq!(ask(head.replace("1.1", "1.0")), Step::Wait);
    let chunked = head.replace("Content-Length: 2", "Transfer-Encoding: chunked");
    assert!(matches!(ask(chunked), Step::Send(_)));
}

#[test]
fn each_wait_has_a_limit_that_a_trickle_does_not_move() {
    let trickle = |c: &mut Connection, byte: u8| {
        assert_eq!(
            c.receive(after(Duration::from_secs(5)), &[byte]),
            Step::Wait
        );
    };
    let mut c = Connection::new(NOW);
    assert_eq!(c.next_timeout(), Some(NOW.monotonic + HEAD_LIMIT));
    assert_eq!(c.handle_timeout(after(HEAD_LIMIT)), Step::Close);
    assert_eq!(c.next_timeout(), None);

    let mut c = Connection::new(NOW);
    c.receive(NOW, b"GET / HT");
    trickle(&mut c, b'T');
    assert_eq!(c.handle_timeout(after(HEAD_LIMIT / 2)), Step::Wait);
    assert_eq!(code(&c.handle_timeout(after(HEAD_LIMIT))), 408);

    let mut c = Connection::new(NOW);
    c.receive(
        NOW,
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
    );
    trickle(&mut c, b'x');
    assert_eq!(c.next_timeout(), Some(NOW.monotonic + BODY_LIMIT));
    assert_eq!(code(&c.handle_timeout(after(BODY_LIMIT))), 408);

    let mut c = asked(GET);
    assert_eq!(c.next_timeout(), None, "the caller may take its time");
    c.respond_whole(NOW, &hello());
    assert_eq!(c.sent(NOW), Step::Wait);
    assert_eq!(c.next_timeout(), Some(NOW.monotonic + IDLE_LIMIT));
    assert_eq!(c.handle_timeout(after(IDLE_LIMIT)), Step::Close);
}

/// A client that asks for the head alone takes what comes after it for the next answer.
#[test]
fn what_is_asked_with_head_is_refused_without_a_body() {
    let refusal = |step: Step| match step {
        Step::Refuse(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    };
    let is_bare = |text: &str| {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("Content-Length: 0"), "{text}");
        body.is_empty()
    };
    let late = |beginning: &str| {
        let mut c = Connection::new(NOW);
        assert_eq!(c.receive(NOW, beginning.as_bytes()), Step::Wait);
        refusal(c.handle_timeout(after(BODY_LIMIT)))
    };
    let body = "HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh";
    for beginning in ["H", "HEA", "HEAD /x HTTP/1", &format!("HEAD / {body}")] {
        let text = late(beginning);
        assert!(text.starts_with("HTTP/1.1 408 ") && is_bare(&text));
    }
    for beginning in ["G", "HEADS / HT", &format!("GET / {body}")] {
        assert!(!is_bare(&late(beginning)), "{beginning}");
    }
    for wrong in ["/x HTTP/2.0\r\n\r\n", "/ HTTP/1.1\r\n\r\n", "/\n"] {
        assert!(is_bare(&refusal(ask(format!("HEAD {wrong}")))), "{wrong}");
        assert!(!is_bare(&refusal(ask(format!("GET {wrong}")))), "{wrong}");
    }
    let head = GET.replace("GET", "HEAD");
    let mut c = asked(&head);
    c.respond_whole(NOW, &hello());
    c.sent(NOW);
    assert_eq!(c.receive(NOW, b"HEAD /"), Step::Wait);
    assert!(is_bare(&refusal(c.handle_timeout(after(HEAD_LIMIT)))));
}

#[test]
fn a_response_ends_without_progress_and_may_be_slow_with_it() {
    let ok = ResponseHead::new(Status::Ok);
    let mut c = asked(GET);
    c.respond(NOW, &ok, BodySize::Known(1 << 40));
    let mut now = NOW;
    for i in 0..1000 {
        now.monotonic = now.monotonic + (SEND_STALL_LIMIT - Duration::from_secs(1));
        assert_eq!(c.handle_timeout(now), Step::Wait);
        if i % 2 == 0 {
            c.progress(now);
        } else {
            assert_eq!(c.sent(now), Step::Wait);
        }
    }
    now.monotonic = now.monotonic + SEND_STALL_LIMIT;
    assert_eq!(c.handle_timeout(now), Step::Abort);
    assert_eq!(c.next_timeout(), None);

    // What is told as it happens may be silent for long, if all of it was taken.
    let mut c = asked(GET);
    c.respond(NOW, &ok, BodySize::Streamed);
    assert!(c.next_timeout().is_some());
    assert_eq!(c.sent(NOW), Step::Wait);
    assert_eq!(c.next_timeout(), None);
    assert_eq!(c.chunk(NOW, b"tick"), b"4\r\ntick\r\n");
    assert_eq!(c.handle_timeout(after(SEND_STALL_LIMIT)), Step::Abort);
}

#[test]
fn a_peer_that_sends_no_more_gets_its_answers() {
    let mut c = asked(&format!("{GET}{GET}GET /half"));
    assert_eq!(c.input_ended(NOW), Step::Wait);
    let first = String::from_utf8(c.respond_whole(NOW, &hello())).unwrap();
    assert!(first.contains("\r\nConnection: keep-alive\r\n"));
    request(c.sent(NOW));
    c.respond_whole(NOW, &hello());
    assert_eq!(c.sent(NOW), Step::Close);

    let mut c = asked(GET);
    c.respond(NOW, &ResponseHead::new(Status::Ok), BodySize::Known(5));
    assert_eq!(c.input_ended(NOW), Step::Wait);
    assert_eq!(c.sent(NOW), Step::Wait);
    assert_eq!(c.body_done(NOW), Step::Wait);
    assert_eq!(c.sent(NOW), Step::Close);

    for unfinished in [
        "",
        "GET",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx",
    ] {
        let mut c = Connection::new(NOW);
        c.receive(NOW, unfinished.as_bytes());
        assert_eq!(c.input_ended(NOW), Step::Close, "{unfinished}");
    }
}

#[test]
fn the_end_of_a_response_can_be_told() {
    use BodySize::*;
    const LENGTH: &str = "Content-Length: ";
    const CHUNKS: &str = "Transfer-Encoding: chunked";
    for (request, status, size, framing, wants_body, keeps) in [
        (
            "GET / HTTP/1.1",
            Status::Ok,
            Known(7),
            "Content-Length: 7",
            true,
            true,
        ),
        (
            "GET / HTTP/1.1",
            Status::Ok,
            Known(0),
            "Content-Length: 0",
            false,
            true,
        ),
        (
            "GET / HTTP/1.1",
            Status::Found,
            None,
            "Content-Length: 0",
            false,
            true,
        ),
        ("GET / HTTP/1.1", Status::Ok, Streamed, CHUNKS, true, true),
        ("GET / HTTP/1.0", Status::Ok, Streamed, "", true, false),
        (
            "GET / HTTP/1.0",
            Status::Ok,
            Known(7),
            "Content-Length: 7",
            true,
            false,
        ),
        (
            "HEAD / HTTP/1.1",
            Status::Ok,
            Known(7),
            "Content-Length: 7",
            false,
            true,
        ),
        ("HEAD / HTTP/1.1", Status::Ok, Streamed, CHUNKS, false, true),
        (
            "GET / HTTP/1.1",
            Status::NotModified,
            Known(7),
            "",
            false,
            true,
        ),
        (
            "DELETE / HTTP/1.1",
            Status::NoContent,
            None,
            "",
            false,
            true,
        ),
    ] {
        let mut c = asked(&format!("{request}\r\nHost: a\r\n\r\n"));
        let head = c.respond(NOW, &ResponseHead::new(status), size);
        let head = String::from_utf8(head).unwrap();
        let told: Vec<&str> = head
            .lines()
            .filter(|l| l.starts_with(LENGTH) || l.starts_with("Transfer-Encoding"))
            .collect();
        assert_eq!(told.join(""), framing, "{request} {status:?} {size:?}");
        assert_eq!(c.wants_body(), wants_body, "{request} {status:?} {size:?}");
        assert_eq!(head.contains("\r\nConnection: keep-alive\r\n"), keeps);
        assert_eq!(head.contains("\r\nConnection: close\r\n"), !keeps);
        assert_eq!(head.matches("\r\n\r\n").count(), 1);
        if wants_body {
            assert_eq!(c.sent(NOW), Step::Wait, "the body is to come");
        }
        assert_eq!(
            c.body_done(NOW),
            if size == Streamed && !keeps {
                Step::Close
            } else {
                Step::Wait
            }
        );
        let end = c.sent(NOW);
        assert!(
            end == if keeps || size == Streamed {
                Step::Wait
            } else {
                Step::Close
            }
        );
    }
    // Who wants to end says so.
    let mut c = asked(GET);
    let head = c.respond(NOW, &ResponseHead::new(Status::Ok).closing(), None);
    assert!(
        String::from_utf8(head)
            .unwrap()
            .contains("\r\nConnection: close\r\n")
    );
    assert_eq!(c.sent(NOW), Step::Close);
}

#[test]
fn chunks_are_framed_for_those_who_know_them() {
    let ok = ResponseHead::new(Status::Ok);
    let mut c = asked(GET);
    c.respond(NOW, &ok, BodySize::Streamed);
    assert_eq!(
        c.chunk(NOW, &[b'x'; 26]),
        [b"1a\r\n", &[b'x'; 26][..], b"\r\n"].concat()
    );
    assert_eq!(c.chunk(NOW, b""), b"0\r\n\r\n");
    assert_eq!(c.body_done(NOW), Step::Wait);
    assert_eq!(c.chunk(NOW, b"late"), b"");
    assert_eq!(c.sent(NOW), Step::Wait);
    assert!(c.is_idle());
    let mut c = asked("GET / HTTP/1.0\r\n\r\n");
    c.respond(NOW, &ok, BodySize::Streamed);
    assert_eq!(c.sent(NOW), Step::Wait);
    assert_eq!(c.chunk(NOW, b"tick"), b"tick");
    assert_eq!(c.chunk(NOW, b""), b"");
    assert_eq!(c.body_done(NOW), Step::Wait);
    assert_eq!(c.sent(NOW), Step::Close);
}

#[test]
fn heads_of_responses_are_safe_by_default() {
    let text = |head: ResponseHead, now: Now| {
        let bytes = asked(GET).respond(now, &head, BodySize::Known(1));
        String::from_utf8(bytes).unwrap()
    };
    let plain = text(ResponseHead::new(Status::Ok), NOW);
    for line in [
        "HTTP/1.1 200 OK",
        "Date: Wed, 15 Jul 2026 10:36:17 GMT",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Referrer-Policy: same-origin",
        "Cross-Origin-Resource-Policy: same-origin",
        "Server: moonfire-nvr",
    ] {
        assert!(plain.lines().any(|l| l == line), "{line} in {plain}");
    }
    assert!(plain.contains("Content-Security-Policy: default-src 'none'; "));
    // A clock that was never set tells no date.
    let unset = Now {
        wall: Wall90k(5),
        ..NOW
    };
    assert!(!text(ResponseHead::new(Status::Ok), unset).contains("Date"));
    // Set fields replace defaults, may come several times, and cannot begin another field.
    let own = text(
        ResponseHead::new(Status::Ok)
            .field("content-security-policy", "sandbox")
            .field("Set-Cookie", "a=b")
            .field("Set-Cookie", "c=d")
            .field("Location", "/x\r\nX-Evil: 1\u{85}")
            .caching(Caching::PrivateImmutable),
        NOW,
    );
    assert_eq!(
        own.to_ascii_lowercase()
            .matches("content-security-policy")
            .count(),
        1
    );
    assert!(own.contains("\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n"));
    assert!(own.contains("\r\nLocation: /x  X-Evil: 1 \r\n"));
    assert!(
        own.contains("private, max-age=31536000, immutable\r\nVary: Cookie, Authorization\r\n")
    );
    let refused = Response::method_not_allowed(&[Method::Get, Method::Head]);
    assert_eq!(refused.head.get("allow"), Some("GET, HEAD"));
}

#[test]
fn files_in_memory_come_whole_in_ranges_or_not_at_all() {
    for (fields, status, body) in [
        ("", 200, "0123456789"),
        ("Range: bytes=2-3\r\n", 206, "23"),
        ("If-None-Match: \"e\"\r\n", 304, ""),
        ("Range: bytes=10-\r\n", 416, ""),
        ("If-Match: \"f\"\r\n", 412, ""),
    ] {
        let mut c = Connection::new(NOW);
        let head = format!("GET /f HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let r = request(c.receive(NOW, head.as_bytes()));
        let content = b"0123456789"[..].into();
        let file = Response::file(&r, "text/plain", "\"e\"", Caching::Revalidate, content);
        let sent = String::from_utf8(c.respond_whole(NOW, &file)).unwrap();
        let (head, sent_body) = sent.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{fields} {head}"
        );
        assert_eq!(sent_body, body, "{fields}");
        assert!(head.contains("\r\nETag: \"e\""));
        assert!(head.contains("\r\nCache-Control: no-cache"));
        assert_eq!(c.sent(NOW), Step::Wait);
    }
}

#[test]
fn an_upgrade_hands_on_what_came_too_early() {
    let head = "GET /live HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut c = Connection::new(NOW);
    let r = request(c.receive(NOW, format!("{head}early").as_bytes()));
    let handshake = Handshake::check(&r).unwrap();
    let upgraded = c.upgrade(NOW, &handshake);
    let sent = String::from_utf8(upgraded.head).unwrap();
    assert!(
        sent.starts_with(
            "HTTP/1.1 101 Switching Protocols\r\nDate: Wed, 15 Jul 2026 10:36:17 GMT\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        ),
        "{sent}"
    );
    assert!(!sent.contains("Content-Length"));
    assert_eq!(upgraded.early, b"early");
    assert!(upgraded.endpoint.is_open());
    assert_eq!((c.next_timeout(), c.memory_bytes()), (None, 0));
}

#[test]
fn segments_of_a_real_request() {
    assert_eq!(request(ask(GET)).segments().unwrap(), [""]);
    let dots = request(ask("GET /a/%2e./ HTTP/1.0\r\n\r\n"));
    assert_eq!(dots.segments(), Err(PathError::Dots));
}
