//! Heads of requests: where one ends, and what it says.
//!
//! The bytes are scanned once as they come, so that a head in single bytes costs no more than one in a
//! piece, and parsed when it is whole. Refused is all that a proxy in front could read differently
//! (RFC 9112 section 11.2): lines that do not end with CR LF, folded lines, white space before a colon,
//! control characters, two lengths, unknown transfer codings, fields twice that may come once.

use super::body::{BODY_BYTES, Framing, UPLOAD_BYTES};
use super::request::{Headers, Method, Request};
use super::response::Status;

/// The longest head of a request, request line included.
pub const HEAD_BYTES: usize = 16 << 10;
/// The longest request target.
pub const TARGET_BYTES: usize = 8 << 10;
/// The most header fields of a request.
pub const HEADERS: usize = 64;

/// Fields that may come once. A second one could be what another reader goes by.
const SINGLE: [&str; 10] = [
    "host",
    "content-length",
    "transfer-encoding",
    "content-type",
    "origin",
    "authorization",
    "range",
    "if-range",
    "expect",
    "sec-websocket-key",
];

/// What to answer, and why, to what is no request.
pub(super) type Refusal = (Status, &'static str);

const TOO_LONG: Refusal = (
    Status::HeaderFieldsTooLarge,
    "the request's head is too long",
);

/// What a head says.
#[derive(Debug)]
pub(super) struct Head {
    /// Its body is still to come.
    pub request: Request,
    pub framing: Framing,
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// Looks for the end of a head, never twice at the same byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scanner {
    /// Bytes looked at.
    scanned: usize,
    after_cr: bool,
    /// Bytes of the line that has begun.
    line: usize,
}

impl Scanner {
    /// The length of the head at the beginning of `input`, its empty line included; `None` if its end has
    /// not come.
    pub(super) fn find_end(&mut self, input: &[u8]) -> Result<Option<usize>, Refusal> {
        // A TLS handshake, say, is told at its first byte, not after the time limit.
        if !input.first().is_none_or(u8::is_ascii_uppercase) {
            return Err((Status::BadRequest, "that is no HTTP request"));
        }
        let whole = &input[..input.len().min(HEAD_BYTES)];
        for (i, &b) in whole.iter().enumerate().skip(self.scanned) {
            self.scanned = i + 1;
            match (self.after_cr, b) {
                (true, b'\n') if self.line == 0 => return Ok(Some(i + 1)),
                (true, b'\n') => {
                    self.after_cr = false;
                    self.line = 0;
                }
                (false, b'\r') => self.after_cr = true,
                (true, _) | (false, b'\n') => {
                    return Err((Status::BadRequest, "lines of a head end with CR LF"));
                }
                (false, 0..=8 | 11..=31 | 127) => {
                    return Err((
                        Status::BadRequest,
                        "there is a control character in the head",
                    ));
                }
                (false, _) => self.line += 1,
            }
        }
        if self.scanned == HEAD_BYTES {
            return Err(TOO_LONG);
        }
        Ok(None)
    }
}

/// Reads a whole head.
pub(super) fn parse(bytes: &[u8]) -> Result<Head, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS];
    let mut head = httparse::Request::new(&mut fields);
    match head.parse(bytes) {
        Ok(httparse::Status::Complete(n)) if n == bytes.len() => {}
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
        _ => return Err((Status::BadRequest, "that is no HTTP request")),
    }
    let name = head.method.unwrap_or_default();
    let Some(method) = Method::from_name(name) else {
        return Err(if matches!(name, "CONNECT" | "TRACE") {
            (Status::MethodNotAllowed, "that method is not allowed here")
        } else {
            (Status::NotImplemented, "that method is not known here")
        });
    };
    let http_1_1 = head.version == Some(1);
    let target = Target::parse(method, head.path.unwrap_or_default())?;
    let mut headers = Headers::default();
    for h in head.headers.iter() {
        headers.push(h.name, h.value);
    }
    check_single(&headers)?;
    check_host(&mut headers, target.authority, http_1_1)?;
    let framing = framing(method, &headers, http_1_1)?;
    let expects_continue = match headers.get("expect") {
        Some(_) if !http_1_1 => false,
        None => false,
        Some(e) if e.eq_ignore_ascii_case("100-continue") => framing != Framing::Length(0),
        Some(_) => {
            return Err((
                Status::ExpectationFailed,
                "the request expects what is not known here",
            ));
        }
    };
    Ok(Head {
        framing,
        keep_alive: keep_alive(&headers, http_1_1),
        expects_continue,
        request: Request {
            method,
            path: target.path.to_owned(),
            query: target.query.to_owned(),
            headers,
            upload_bytes: match framing {
                Framing::Upload(n) => Some(n),
                _ => None,
            },
            body: Vec::new(),
            http_1_1,
        },
    })
}

/// A request target (RFC 9112 section 3.2).
struct Target<'a> {
    /// Of the absolute form.
    authority: Option<&'a str>,
    path: &'a str,
    query: &'a str,
}

impl<'a> Target<'a> {
    fn parse(method: Method, target: &'a str) -> Result<Target<'a>, Refusal> {
        if target.len() > TARGET_BYTES {
            return Err((Status::UriTooLong, "the request's target is too long"));
        }
        if !target.bytes().all(|b| b.is_ascii_graphic()) || target.contains('#') {
            return Err((
                Status::BadRequest,
                "the request's target has a character that must be percent-encoded",
            ));
        }
        if target == "*" && method == Method::Options {
            return Ok(Target {
                authority: None,
                path: target,
                query: "",
            });
        }
        let (authority, rest) = match split_scheme(target) {
            None => (None, target),
            Some(rest) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, rest) = rest.split_at(end);
                if authority.is_empty() || authority.contains('@') {
                    return Err((Status::BadRequest, "the request's target has no good host"));
                }
                (Some(authority), rest)
            }
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = if authority.is_some() && path.is_empty() {
            "/"
        } else {
            path
        };
        if !path.starts_with('/') {
            return Err((
                Status::BadRequest,
                "the request's target must begin with a slash",
            ));
        }
        Ok(Target {
            authority,
            path,
            query,
        })
    }
}

/// What follows `http://` or `https://`.
fn split_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

fn check_single(headers: &Headers) -> Result<(), Refusal> {
    let mut seen = [false; SINGLE.len()];
    for (name, _) in headers.iter() {
        if let Some(i) = SINGLE.iter().position(|s| s.eq_ignore_ascii_case(name)) {
            if seen[i] {
                return Err((
                    Status::BadRequest,
                    "a header field that may come once came twice",
                ));
            }
            seen[i] = true;
        }
    }
    Ok(())
}

/// HTTP/1.1 names its host (RFC 9112 section 3.2). The absolute form names it too: the same, or they
/// could be read differently.
fn check_host(
    headers: &mut Headers,
    authority: Option<&str>,
    http_1_1: bool,
) -> Result<(), Refusal> {
    match (headers.get("host"), authority) {
        (None, _) if http_1_1 => Err((Status::BadRequest, "a request names its Host once")),
        (Some(host), Some(a)) if !host.eq_ignore_ascii_case(a) => Err((
            Status::BadRequest,
            "the request's target and its Host differ",
        )),
        (None, Some(a)) => {
            headers.push("host", a.as_bytes());
            Ok(())
        }
        _ => Ok(()),
    }
}

/// How the body is told from what follows it (RFC 9112 section 6.3).
fn framing(method: Method, headers: &Headers, http_1_1: bool) -> Result<Framing, Refusal> {
    match (
        headers.get("transfer-encoding"),
        headers.get("content-length"),
    ) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(_), Some(_)) => Err((Status::BadRequest, "the body has two lengths")),
        (Some(_), None) if !http_1_1 => {
            Err((Status::BadRequest, "HTTP/1.0 has no transfer codings"))
        }
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        (Some(_), None) => Err((
            Status::NotImplemented,
            "no transfer coding but chunked is known here",
        )),
        (None, Some(digits)) => {
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err((Status::BadRequest, "the body's length is no number"));
            }
            match digits.parse::<u64>() {
                Ok(n) if n <= BODY_BYTES as u64 => Ok(Framing::Length(n as usize)),
                Ok(n) if n <= UPLOAD_BYTES && method == Method::Put => Ok(Framing::Upload(n)),
                _ => Err((Status::ContentTooLarge, "the request's body is too long")),
            }
        }
    }
}

/// Whether the connection stays (RFC 9112 section 9.3).
fn keep_alive(headers: &Headers, http_1_1: bool) -> bool {
    let says = |option: &str| {
        headers
            .list("connection")
            .any(|o| o.eq_ignore_ascii_case(option))
    };
    !says("close") && (http_1_1 || says("keep-alive"))
}
