//! A response that is held whole in memory.

use std::borrow::Cow;

/// A status code (RFC 9110 section 15) that this server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok,
    NotModified,
    BadRequest,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    ContentTooLarge,
    UriTooLong,
    HeaderFieldsTooLarge,
    NotImplemented,
    ServiceUnavailable,
    VersionNotSupported,
}

impl Status {
    pub fn code(self) -> u16 {
        match self {
            Status::Ok => 200,
            Status::NotModified => 304,
            Status::BadRequest => 400,
            Status::Forbidden => 403,
            Status::NotFound => 404,
            Status::MethodNotAllowed => 405,
            Status::RequestTimeout => 408,
            Status::ContentTooLarge => 413,
            Status::UriTooLong => 414,
            Status::HeaderFieldsTooLarge => 431,
            Status::NotImplemented => 501,
            Status::ServiceUnavailable => 503,
            Status::VersionNotSupported => 505,
        }
    }

    pub fn reason(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::NotModified => "Not Modified",
            Status::BadRequest => "Bad Request",
            Status::Forbidden => "Forbidden",
            Status::NotFound => "Not Found",
            Status::MethodNotAllowed => "Method Not Allowed",
            Status::RequestTimeout => "Request Timeout",
            Status::ContentTooLarge => "Content Too Large",
            Status::UriTooLong => "URI Too Long",
            Status::HeaderFieldsTooLarge => "Request Header Fields Too Large",
            Status::NotImplemented => "Not Implemented",
            Status::ServiceUnavailable => "Service Unavailable",
            Status::VersionNotSupported => "HTTP Version Not Supported",
        }
    }
}

/// A response. Its head is made when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: Status,
    pub content_type: &'static str,
    /// A strong entity tag with its quotes; what has none must not be stored.
    pub etag: Option<String>,
    pub body: Cow<'static, [u8]>,
}

impl Response {
    /// A sentence for people.
    pub fn text(status: Status, sentence: &str) -> Response {
        Response {
            status,
            content_type: "text/plain; charset=utf-8",
            etag: None,
            body: Cow::Owned(format!("{sentence}\n").into_bytes()),
        }
    }

    /// The whole response. A HEAD request gets the same head and no body (RFC 9110 section 9.3.2).
    pub(super) fn serialize(&self, keep_alive: bool, head_only: bool) -> Vec<u8> {
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let mut out = format!(
            "HTTP/1.1 {} {}\r\nServer: moonfire-nvr\r\nConnection: {connection}\r\n",
            self.status.code(),
            self.status.reason(),
        );
        match &self.etag {
            Some(etag) => {
                out.push_str("Cache-Control: no-cache\r\nETag: ");
                out.push_str(etag);
                out.push_str("\r\n");
            }
            None => out.push_str("Cache-Control: no-store\r\n"),
        }
        if self.status == Status::MethodNotAllowed {
            out.push_str("Allow: GET, HEAD\r\n");
        }
        out.push_str(
            "X-Content-Type-Options: nosniff\r\n\
             Referrer-Policy: no-referrer\r\n\
             Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
             img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'\r\n",
        );
        let has_body = self.status != Status::NotModified;
        if has_body {
            out.push_str(&format!(
                "Content-Type: {}\r\nContent-Length: {}\r\n",
                self.content_type,
                self.body.len()
            ));
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        if has_body && !head_only {
            out.extend_from_slice(&self.body);
        }
        out
    }
}
