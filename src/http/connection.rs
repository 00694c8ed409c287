//! One connection: heads in, one request at a time, responses out in order.

use super::{Response, Status};
use crate::time::Monotonic;
use std::time::Duration;

/// The longest head of a request, request line included.
pub const HEAD_BYTES: usize = 16 << 10;
/// The longest request target.
pub const TARGET_BYTES: usize = 8 << 10;
/// The most header fields of a request.
pub const HEADERS: usize = 64;
/// How long a head may take from its first byte to its last.
pub const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection is kept without a request.
pub const IDLE_LIMIT: Duration = Duration::from_secs(75);
/// How long a response may take to be sent.
pub const SEND_LIMIT: Duration = Duration::from_secs(60);
/// Bytes of requests that may wait behind the one being answered.
pub const PIPELINED_BYTES: usize = HEAD_BYTES;

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// The path of the target, percent-encoding and all.
    pub path: String,
    /// What follows `?`.
    pub query: String,
    pub if_none_match: Option<String>,
}

/// Where a connection is in its cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing of a request has come.
    Idle { until: Monotonic },
    /// Some of a head has come.
    Head { until: Monotonic },
    /// A request was handed over and is to be answered.
    Answering { keep_alive: bool, head_only: bool },
    /// The response is being sent by the kernel.
    Sending { keep_alive: bool, until: Monotonic },
    /// It is to be closed once everything is sent.
    Closing,
}

/// What is to be done after something happened to a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until more comes.
    Wait,
    /// Answer this request with [`Connection::respond`].
    Answer(Request),
    /// Send these bytes, then close: the request could not be understood.
    Refuse(Vec<u8>),
    /// Close it.
    Close,
}

/// See the module.
#[derive(Debug)]
pub struct Connection {
    state: State,
    input: Vec<u8>,
}

impl Connection {
    pub fn new(now: Monotonic) -> Connection {
        Connection {
            state: State::Idle {
                until: now + HEAD_LIMIT,
            },
            input: Vec::new(),
        }
    }

    /// Takes in what came.
    pub fn receive(&mut self, now: Monotonic, bytes: &[u8]) -> Step {
        if self.state == State::Closing {
            return Step::Wait;
        }
        if self.input.len() + bytes.len() > HEAD_BYTES + PIPELINED_BYTES {
            return self.refuse(
                Status::HeaderFieldsTooLarge,
                "the request's head is too long",
            );
        }
        self.input.extend_from_slice(bytes);
        if let State::Idle { .. } = self.state {
            self.state = State::Head {
                until: now + HEAD_LIMIT,
            };
        }
        self.next(now)
    }

    /// The response to the request that was handed over, as bytes to send.
    pub fn respond(&mut self, now: Monotonic, response: &Response) -> Vec<u8> {
        let State::Answering {
            keep_alive,
            head_only,
        } = self.state
        else {
            debug_assert!(false, "a response to no request");
            return Vec::new();
        };
        self.state = State::Sending {
            keep_alive,
            until: now + SEND_LIMIT,
        };
        response.serialize(keep_alive, head_only)
    }

    /// Everything handed to the kernel is on its way: the next request may be looked at.
    pub fn sent(&mut self, now: Monotonic) -> Step {
        match self.state {
            State::Sending {
                keep_alive: true, ..
            } => {
                self.state = if self.input.is_empty() {
                    State::Idle {
                        until: now + IDLE_LIMIT,
                    }
                } else {
                    State::Head {
                        until: now + HEAD_LIMIT,
                    }
                };
                self.next(now)
            }
            State::Sending {
                keep_alive: false, ..
            } => {
                self.state = State::Closing;
                Step::Close
            }
            _ => Step::Wait,
        }
    }

    pub fn next_timeout(&self) -> Option<Monotonic> {
        match self.state {
            State::Idle { until } | State::Head { until } | State::Sending { until, .. } => {
                Some(until)
            }
            State::Answering { .. } | State::Closing => None,
        }
    }

    pub fn handle_timeout(&mut self, now: Monotonic) -> Step {
        if self.next_timeout().is_none_or(|t| now < t) {
            return Step::Wait;
        }
        match self.state {
            State::Head { .. } => {
                self.refuse(Status::RequestTimeout, "the request's head took too long")
            }
            _ => {
                self.state = State::Closing;
                Step::Close
            }
        }
    }

    fn refuse(&mut self, status: Status, sentence: &str) -> Step {
        self.state = State::Closing;
        self.input = Vec::new();
        Step::Refuse(Response::text(status, sentence).serialize(false, false))
    }

    /// Looks for a whole head in the input.
    fn next(&mut self, now: Monotonic) -> Step {
        if !matches!(self.state, State::Head { .. }) {
            return Step::Wait;
        }
        // Empty lines before a request are skipped (RFC 9112 section 2.2).
        let blank = self
            .input
            .iter()
            .take_while(|b| matches!(b, b'\r' | b'\n'))
            .count();
        self.input.drain(..blank);
        if self.input.is_empty() {
            self.state = State::Idle {
                until: now + IDLE_LIMIT,
            };
            return Step::Wait;
        }
        match parse(&self.input) {
            Ok(None) if self.input.len() > HEAD_BYTES => self.refuse(
                Status::HeaderFieldsTooLarge,
                "the request's head is too long",
            ),
            Ok(None) => Step::Wait,
            Ok(Some(parsed)) => {
                self.input.drain(..parsed.head_bytes);
                self.state = State::Answering {
                    keep_alive: parsed.keep_alive,
                    head_only: parsed.request.method == Method::Head,
                };
                Step::Answer(parsed.request)
            }
            Err((status, sentence)) => self.refuse(status, sentence),
        }
    }
}

struct Parsed {
    request: Request,
    head_bytes: usize,
    keep_alive: bool,
}

type Refusal = (Status, &'static str);

/// Reads one head; `None` if it is not all there.
fn parse(input: &[u8]) -> Result<Option<Parsed>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let head_bytes = match head.parse(input) {
        Ok(httparse::Status::Complete(n)) => n,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err((
                Status::HeaderFieldsTooLarge,
                "the request has too many header fields",
            ));
        }
        Err(httparse::Error::Version) => {
            return Err((
                Status::VersionNotSupported,
                "only HTTP/1.0 and HTTP/1.1 are spoken here",
            ));
        }
        Err(_) => return Err((Status::BadRequest, "that is no HTTP request")),
    };
    let method = match head.method {
        Some("GET") => Method::Get,
        Some("HEAD") => Method::Head,
        Some("POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" | "CONNECT" | "TRACE") => {
            return Err((
                Status::MethodNotAllowed,
                "only GET and HEAD are allowed here",
            ));
        }
        _ => return Err((Status::NotImplemented, "that method is not known here")),
    };
    let target = head.path.unwrap_or_default();
    if target.len() > TARGET_BYTES {
        return Err((Status::UriTooLong, "the request's target is too long"));
    }
    if !target.starts_with('/') {
        return Err((
            Status::BadRequest,
            "the request's target must begin with a slash",
        ));
    }
    let is_1_1 = head.version == Some(1);
    let facts = Facts::of(head.headers, is_1_1)?;
    let target = target.split_once('#').map_or(target, |(t, _)| t);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(Some(Parsed {
        request: Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            if_none_match: facts.if_none_match,
        },
        head_bytes,
        keep_alive: facts.keep_alive,
    }))
}

/// What the header fields say that matters here.
struct Facts {
    keep_alive: bool,
    if_none_match: Option<String>,
}

impl Facts {
    fn of(headers: &[httparse::Header<'_>], is_1_1: bool) -> Result<Facts, Refusal> {
        let mut facts = Facts {
            keep_alive: is_1_1,
            if_none_match: None,
        };
        let mut hosts = 0;
        for h in headers {
            let value = || String::from_utf8_lossy(h.value);
            if h.name.eq_ignore_ascii_case("host") {
                hosts += 1;
            } else if h.name.eq_ignore_ascii_case("transfer-encoding") {
                return Err((
                    Status::ContentTooLarge,
                    "requests with a body are not taken here",
                ));
            } else if h.name.eq_ignore_ascii_case("content-length") {
                if h.value.trim_ascii() != b"0" {
                    return Err((
                        Status::ContentTooLarge,
                        "requests with a body are not taken here",
                    ));
                }
            } else if h.name.eq_ignore_ascii_case("connection") {
                for option in value().split(',') {
                    if option.trim().eq_ignore_ascii_case("close") {
                        facts.keep_alive = false;
                    } else if option.trim().eq_ignore_ascii_case("keep-alive") {
                        facts.keep_alive = true;
                    }
                }
            } else if h.name.eq_ignore_ascii_case("if-none-match") {
                facts.if_none_match = Some(value().into_owned());
            }
        }
        // RFC 9112 section 3.2: exactly one in HTTP/1.1.
        if hosts > 1 || (is_1_1 && hosts == 0) {
            return Err((Status::BadRequest, "a request names its Host once"));
        }
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Monotonic = Monotonic(1_000_000_000);

    fn ask(bytes: &[u8]) -> Step {
        Connection::new(NOW).receive(NOW, bytes)
    }

    fn status(step: Step) -> String {
        match step {
            Step::Refuse(bytes) => String::from_utf8(bytes)
                .unwrap()
                .split(' ')
                .nth(1)
                .unwrap()
                .to_owned(),
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_request_in_single_bytes_is_the_same_request() {
        let whole = b"GET /api/?days=true HTTP/1.1\r\nHost: nvr\r\nIf-None-Match: \"x\"\r\n\r\n";
        let Step::Answer(expected) = ask(whole) else {
            panic!()
        };
        assert_eq!(
            (expected.path.as_str(), expected.query.as_str()),
            ("/api/", "days=true")
        );
        assert_eq!(expected.if_none_match.as_deref(), Some("\"x\""));
        let mut c = Connection::new(NOW);
        for (i, b) in whole.iter().enumerate() {
            match c.receive(NOW, &[*b]) {
                Step::Wait => assert!(i + 1 < whole.len()),
                Step::Answer(r) => assert_eq!((i + 1, &r), (whole.len(), &expected)),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn pipelined_requests_are_answered_in_turn() {
        let mut c = Connection::new(NOW);
        let two = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nHEAD /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let Step::Answer(a) = c.receive(NOW, two) else {
            panic!()
        };
        assert_eq!(a.path, "/a");
        assert_eq!(c.receive(NOW, b""), Step::Wait);
        let bytes = c.respond(NOW, &Response::text(Status::Ok, "hello"));
        assert!(bytes.ends_with(b"\r\n\r\nhello\n"));
        let Step::Answer(b) = c.sent(NOW) else {
            panic!()
        };
        assert_eq!((b.path.as_str(), b.method), ("/b", Method::Head));
        let bytes = c.respond(NOW, &Response::text(Status::Ok, "hello"));
        assert!(bytes.ends_with(b"Content-Length: 6\r\n\r\n"));
        assert_eq!(c.sent(NOW), Step::Close);
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        for (request, code) in [
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
                "413",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                "413",
            ),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "400"),
            ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", "405"),
            ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "501"),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
            ("\0\0\0\0", "400"),
        ] {
            assert_eq!(status(ask(request.as_bytes())), code, "{request}");
        }
    }

    #[test]
    fn oversize_is_refused_before_it_costs_memory() {
        let long = format!(
            "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
            "x".repeat(TARGET_BYTES)
        );
        assert_eq!(status(ask(long.as_bytes())), "414");
        let many = format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "A: b\r\n".repeat(HEADERS)
        );
        assert_eq!(status(ask(many.as_bytes())), "431");
        let mut c = Connection::new(NOW);
        let mut refused = None;
        assert_eq!(
            c.receive(NOW, b"GET / HTTP/1.1\r\nHost: a\r\nX: "),
            Step::Wait
        );
        for i in 0..1000 {
            match c.receive(NOW, &[b'x'; 1000]) {
                Step::Wait => assert!(c.input.len() <= HEAD_BYTES + PIPELINED_BYTES),
                step => {
                    refused = Some((i, status(step)));
                    break;
                }
            }
        }
        assert_eq!(refused, Some((16, "431".to_owned())));
    }

    #[test]
    fn slow_heads_and_idle_connections_end() {
        let mut c = Connection::new(NOW);
        assert_eq!(c.next_timeout(), Some(NOW + HEAD_LIMIT));
        c.receive(NOW, b"GET / HT");
        assert_eq!(c.handle_timeout(NOW), Step::Wait);
        assert_eq!(status(c.handle_timeout(NOW + HEAD_LIMIT)), "408");
        let mut c = Connection::new(NOW);
        assert_eq!(c.handle_timeout(NOW + HEAD_LIMIT), Step::Close);
    }
}
