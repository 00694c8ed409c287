//! Responses: status, header fields with safe defaults, and small ones held whole in memory.

use super::request::{Method, Request};
use super::{connection::Framing, ranges};
use crate::time::{Now, Wall90k};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Write as _;

/// A status code (RFC 9110 section 15; 429 and 431: RFC 6585) that this server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Status {
    SwitchingProtocols = 101,
    Ok = 200,
    Created = 201,
    Accepted = 202,
    NoContent = 204,
    PartialContent = 206,
    Found = 302,
    SeeOther = 303,
    NotModified = 304,
    TemporaryRedirect = 307,
    PermanentRedirect = 308,
    BadRequest = 400,
    Unauthorized = 401,
    Forbidden = 403,
    NotFound = 404,
    MethodNotAllowed = 405,
    RequestTimeout = 408,
    Conflict = 409,
    Gone = 410,
    PreconditionFailed = 412,
    ContentTooLarge = 413,
    UriTooLong = 414,
    UnsupportedMediaType = 415,
    RangeNotSatisfiable = 416,
    ExpectationFailed = 417,
    MisdirectedRequest = 421,
    UnprocessableContent = 422,
    UpgradeRequired = 426,
    TooManyRequests = 429,
    HeaderFieldsTooLarge = 431,
    InternalServerError = 500,
    NotImplemented = 501,
    BadGateway = 502,
    ServiceUnavailable = 503,
    GatewayTimeout = 504,
    VersionNotSupported = 505,
    InsufficientStorage = 507,
}

impl Status {
    pub fn code(self) -> u16 {
        self as u16
    }

    pub fn reason(self) -> &'static str {
        match self {
            Status::SwitchingProtocols => "Switching Protocols",
            Status::Ok => "OK",
            Status::Created => "Created",
            Status::Accepted => "Accepted",
            Status::NoContent => "No Content",
            Status::PartialContent => "Partial Content",
            Status::Found => "Found",
            Status::SeeOther => "See Other",
            Status::NotModified => "Not Modified",
            Status::TemporaryRedirect => "Temporary Redirect",
            Status::PermanentRedirect => "Permanent Redirect",
            Status::BadRequest => "Bad Request",
            Status::Unauthorized => "Unauthorized",
            Status::Forbidden => "Forbidden",
            Status::NotFound => "Not Found",
            Status::MethodNotAllowed => "Method Not Allowed",
            Status::RequestTimeout => "Request Timeout",
            Status::Conflict => "Conflict",
            Status::Gone => "Gone",
            Status::PreconditionFailed => "Precondition Failed",
            Status::ContentTooLarge => "Content Too Large",
            Status::UriTooLong => "URI Too Long",
            Status::UnsupportedMediaType => "Unsupported Media Type",
            Status::RangeNotSatisfiable => "Range Not Satisfiable",
            Status::ExpectationFailed => "Expectation Failed",
            Status::MisdirectedRequest => "Misdirected Request",
            Status::UnprocessableContent => "Unprocessable Content",
            Status::UpgradeRequired => "Upgrade Required",
            Status::TooManyRequests => "Too Many Requests",
            Status::HeaderFieldsTooLarge => "Request Header Fields Too Large",
            Status::InternalServerError => "Internal Server Error",
            Status::NotImplemented => "Not Implemented",
            Status::BadGateway => "Bad Gateway",
            Status::ServiceUnavailable => "Service Unavailable",
            Status::GatewayTimeout => "Gateway Timeout",
            Status::VersionNotSupported => "HTTP Version Not Supported",
            Status::InsufficientStorage => "Insufficient Storage",
        }
    }

    /// Whether a response of this status ends with its head (RFC 9110 section 6.4.1).
    pub fn is_bodiless(self) -> bool {
        matches!(
            self,
            Status::SwitchingProtocols | Status::NoContent | Status::NotModified
        )
    }
}

/// Who may keep a response for how long (RFC 9111 section 5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caching {
    /// Nobody: what is of the moment or secret.
    #[default]
    NoStore,
    /// Anybody, who asks again each time whether it is still the same: needs an entity tag.
    Revalidate,
    /// The same, but the browser alone, as not everyone may see it.
    Private,
    /// The browser, for a year: what its URL names never changes.
    PrivateImmutable,
}

impl Caching {
    fn fields(self) -> &'static str {
        match self {
            Caching::NoStore => "Cache-Control: no-store\r\n",
            Caching::Revalidate => "Cache-Control: no-cache\r\n",
            Caching::Private => {
                "Cache-Control: private, no-cache\r\nVary: Cookie, Authorization\r\n"
            }
            Caching::PrivateImmutable => {
                "Cache-Control: private, max-age=31536000, immutable\r\n\
                 Vary: Cookie, Authorization\r\n"
            }
        }
    }
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodySize {
    /// There is none.
    None,
    /// So many bytes.
    Known(u64),
    /// It is not known beforehand: each piece goes through [`super::Connection::chunk`].
    Streamed,
}

/// What a page of ours may do: scripts, styles and data from here alone, WebSockets of the same host
/// (`'self'` covers them in CSP level 3), video from Media Source Extensions (`blob:`), no frames.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; worker-src 'self'; \
     manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Fields of every response that does not set them otherwise.
const DEFAULTS: [(&str, &str); 5] = [
    ("Server", "moonfire-nvr"),
    ("X-Content-Type-Options", "nosniff"),
    // Not `no-referrer`: with that one browsers say `Origin: null` for forms of our own.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
];

/// Fields that only [`super::Connection`] can get right.
const RESERVED: [&str; 6] = [
    "connection",
    "content-length",
    "transfer-encoding",
    "date",
    "upgrade",
    "cache-control",
];

/// The clock is not believed before this (2024-01-01T00:00:00Z): a board without a battery starts at
/// 1970, and such a date would be worse than none (RFC 9110 section 6.6.1).
const DATES_FROM: Wall90k = Wall90k::from_unix_secs(1_704_067_200);

/// The head of a response. Its framing, its date and the defaults are added when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    pub status: Status,
    fields: Vec<(&'static str, Cow<'static, str>)>,
    caching: Caching,
    closing: bool,
}

impl ResponseHead {
    /// Of a response that nobody may store.
    pub fn new(status: Status) -> ResponseHead {
        ResponseHead {
            status,
            fields: Vec::new(),
            caching: Caching::NoStore,
            closing: false,
        }
    }

    /// Adds a field; it takes the place of a default of that name. Control characters of the value
    /// become spaces, so that no value can begin another field.
    pub fn field(
        mut self,
        name: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) -> ResponseHead {
        debug_assert!(!RESERVED.iter().any(|r| r.eq_ignore_ascii_case(name)));
        let mut value = value.into();
        if value.contains(|c: char| c.is_control()) {
            value = Cow::Owned(value.replace(|c: char| c.is_control(), " "));
        }
        self.fields.push((name, value));
        self
    }

    pub fn content_type(self, value: impl Into<Cow<'static, str>>) -> ResponseHead {
        self.field("Content-Type", value)
    }

    pub fn caching(mut self, caching: Caching) -> ResponseHead {
        self.caching = caching;
        self
    }

    /// The connection ends after this response.
    pub fn closing(mut self) -> ResponseHead {
        self.closing = true;
        self
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// The value of the first field of that name that was set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| &**v)
    }

    /// The bytes of the head, the empty line included.
    pub(super) fn serialize(&self, now: Now, keep_alive: bool, framing: Framing) -> String {
        let mut out = String::with_capacity(1024);
        let status = self.status;
        // Writing to a string cannot fail.
        let _ = write!(out, "HTTP/1.1 {} {}\r\n", status.code(), status.reason());
        if now.wall >= DATES_FROM {
            if let Some(date) = imf_fixdate(now.wall) {
                let _ = write!(out, "Date: {date}\r\n");
            }
        }
        out.push_str(match (status, keep_alive) {
            (Status::SwitchingProtocols, _) => "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            // RFC 9110 section 15.5.22: it tells what to upgrade to.
            (Status::UpgradeRequired, true) => {
                "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
            }
            (Status::UpgradeRequired, false) => {
                "Connection: close, Upgrade\r\nUpgrade: websocket\r\n"
            }
            (_, true) => "Connection: keep-alive\r\n",
            (_, false) => "Connection: close\r\n",
        });
        match framing {
            Framing::Length(n) => {
                let _ = write!(out, "Content-Length: {n}\r\n");
            }
            Framing::Chunked => out.push_str("Transfer-Encoding: chunked\r\n"),
            Framing::Bare => {}
        }
        if status != Status::SwitchingProtocols {
            out.push_str(self.caching.fields());
        }
        for (name, value) in &self.fields {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        for (name, value) in DEFAULTS {
            if self.get(name).is_none() {
                let _ = write!(out, "{name}: {value}\r\n");
            }
        }
        out.push_str("\r\n");
        out
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
fn imf_fixdate(t: Wall90k) -> Option<String> {
    let t = jiff::Timestamp::from_second(t.unix_secs()).ok()?;
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&t)
        .ok()
}

/// A small response with its body: sent by [`super::Connection::respond_whole`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub head: ResponseHead,
    /// Not looked at if the status has none or HEAD was asked.
    pub body: Cow<'static, [u8]>,
}

impl Response {
    /// No body: 204, and redirects with a `Location` field.
    pub fn empty(status: Status) -> Response {
        Response {
            head: ResponseHead::new(status),
            body: Cow::Borrowed(&[]),
        }
    }

    /// A sentence for people.
    pub fn text(status: Status, sentence: &str) -> Response {
        Response {
            head: ResponseHead::new(status).content_type("text/plain; charset=utf-8"),
            body: Cow::Owned(format!("{sentence}\n").into_bytes()),
        }
    }

    /// JSON (RFC 8259). What cannot be told in JSON (a map with keys that are no strings) gives 500.
    pub fn json(status: Status, value: &impl Serialize) -> Response {
        match serde_json::to_vec(value) {
            Ok(body) => Response {
                head: ResponseHead::new(status).content_type("application/json"),
                body: Cow::Owned(body),
            },
            Err(_) => Response::text(
                Status::InternalServerError,
                "the answer could not be written as JSON",
            ),
        }
    }

    /// 405 with what is allowed (RFC 9110 section 15.5.6).
    pub fn method_not_allowed(allowed: &[Method]) -> Response {
        let names: Vec<&str> = allowed.iter().map(|m| m.as_str()).collect();
        let names = names.join(", ");
        let sentence = format!("only {names} can be asked of this");
        let mut response = Response::text(Status::MethodNotAllowed, &sentence);
        response.head = response.head.field("Allow", names);
        response
    }

    /// A file held in memory, with ranges and conditions as asked for. `etag` is strong and has its
    /// quotes.
    pub fn file(
        request: &Request,
        content_type: impl Into<Cow<'static, str>>,
        etag: &str,
        caching: Caching,
        body: Cow<'static, [u8]>,
    ) -> Response {
        let plan = ranges::plan(
            request,
            &ranges::Representation {
                etag,
                len: body.len() as u64,
                content_type: content_type.into(),
            },
        );
        let body = match &plan.pieces[..] {
            [ranges::Piece::Range(r)] if r.end - r.start == body.len() as u64 => body,
            pieces => {
                let mut out = Vec::new();
                for piece in pieces {
                    match piece {
                        ranges::Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                        // Within the body, so within usize.
                        ranges::Piece::Range(r) => {
                            out.extend_from_slice(&body[r.start as usize..r.end as usize]);
                        }
                    }
                }
                Cow::Owned(out)
            }
        };
        Response {
            head: plan.head.caching(caching),
            body,
        }
    }

    /// Adds a field to the head.
    pub fn field(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Response {
        self.head = self.head.field(name, value);
        self
    }

    pub fn caching(mut self, caching: Caching) -> Response {
        self.head = self.head.caching(caching);
        self
    }

    pub(super) fn size(&self) -> BodySize {
        if self.head.status.is_bodiless() {
            BodySize::None
        } else {
            BodySize::Known(self.body.len() as u64)
        }
    }
}
