//! RTSP/1.0 requests read and replies written (RFC 2326), as far as a camera needs it.
//!
//! Written by itself rather than with the recorder's own reading and writing of messages, so that a
//! mistake there does not meet its own likeness here.

/// The greatest size of a request's head and body together, and of a data message's, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 66_000;

/// What was found at the start of the bytes received.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing whole yet.
    Incomplete,
    /// A request, and how many bytes it took.
    Request(Request, usize),
    /// So many bytes to pass over: a data message (section 10.12) or an empty line.
    Skip(usize),
    /// Not RTSP, or too long.
    Garbage,
}

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub uri: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// The value of header `name`, without white space around it; the first, if it is repeated.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// The path of the URI without its slashes at either end, without user, host and query.
    pub fn path(&self) -> &str {
        let rest = match self.uri.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
            None => &self.uri,
        };
        let path = rest.split(['?', '#']).next().unwrap_or(rest);
        path.trim_matches('/')
    }

    /// Scheme, host and port of the URI, without a user part; `None` for `*`.
    pub fn origin(&self) -> Option<String> {
        let (scheme, rest) = self.uri.split_once("://")?;
        let authority = rest.split(['/', '?']).next()?;
        let host = authority.rsplit('@').next()?;
        Some(format!("{scheme}://{host}"))
    }
}

/// Looks for one message at the start of `bytes`.
pub fn parse(bytes: &[u8]) -> Input {
    match bytes {
        [] => return Input::Incomplete,
        [b'$', rest @ ..] => {
            let [_, high, low, body @ ..] = rest else {
                return Input::Incomplete;
            };
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            return if body.len() >= len {
                Input::Skip(4 + len)
            } else {
                Input::Incomplete
            };
        }
        [b'\r' | b'\n', ..] => return Input::Skip(1),
        _ => {}
    }
    let Some(head_len) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return if bytes.len() > MAX_MESSAGE_BYTES {
            Input::Garbage
        } else {
            Input::Incomplete
        };
    };
    let Some(request) = parse_head(&bytes[..head_len]) else {
        return Input::Garbage;
    };
    let body_len = match request.header("Content-Length").map(str::parse::<usize>) {
        None => 0,
        Some(Ok(len)) if len <= MAX_MESSAGE_BYTES => len,
        Some(_) => return Input::Garbage,
    };
    let len = head_len + 4 + body_len;
    if len > MAX_MESSAGE_BYTES {
        Input::Garbage
    } else if bytes.len() < len {
        Input::Incomplete
    } else {
        Input::Request(request, len)
    }
}

fn parse_head(head: &[u8]) -> Option<Request> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, uri, version) = (words.next()?, words.next()?, words.next()?);
    if method.is_empty() || uri.is_empty() || version != "RTSP/1.0" || words.next().is_some() {
        return None;
    }
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Some(Request {
        method: method.to_owned(),
        uri: uri.to_owned(),
        headers,
    })
}

/// A reply.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Reply {
    pub fn new(status: u16) -> Reply {
        Reply {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: Vec<u8>) -> Reply {
        self.body = body;
        self
    }

    /// The bytes to send; `odd` writes header names in lower case with white space around values.
    pub fn to_bytes(&self, cseq: &str, odd: bool) -> Vec<u8> {
        let mut out = format!("RTSP/1.0 {} {}\r\n", self.status, reason(self.status));
        let mut line = |name: &str, value: &str| {
            if odd {
                let name = name.to_ascii_lowercase();
                out.push_str(&format!("{name} :  {value} \t\r\n"));
            } else {
                out.push_str(&format!("{name}: {value}\r\n"));
            }
        };
        line("CSeq", cseq);
        for (name, value) in &self.headers {
            line(name, value);
        }
        if !self.body.is_empty() {
            line("Content-Length", &self.body.len().to_string());
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.body);
        out
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        453 => "Not Enough Bandwidth",
        454 => "Session Not Found",
        455 => "Method Not Valid in This State",
        459 => "Aggregate Operation Not Allowed",
        461 => "Unsupported Transport",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_whole_or_not_at_all() {
        let whole = b"SETUP rtsp://u:p@cam:554/main/track1?x=1 RTSP/1.0\r\nCSeq: 3\r\n\
            content-length : 2\r\n\r\nhi$";
        for cut in 0..whole.len() - 1 {
            assert_eq!(parse(&whole[..cut]), Input::Incomplete, "{cut}");
        }
        let Input::Request(r, len) = parse(whole) else {
            panic!("{:?}", parse(whole));
        };
        assert_eq!(len, whole.len() - 1);
        assert_eq!(r.method, "SETUP");
        assert_eq!(r.path(), "main/track1");
        assert_eq!(r.origin().as_deref(), Some("rtsp://cam:554"));
        assert_eq!(r.header("cseq"), Some("3"));
    }

    #[test]
    fn data_and_empty_lines_are_passed_over() {
        assert_eq!(parse(b"$\x01\x00\x02ab"), Input::Skip(6));
        assert_eq!(parse(b"$\x01\x00\x02a"), Input::Incomplete);
        assert_eq!(parse(b"\r\nOPTIONS"), Input::Skip(1));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"OPTIONS * RTSP/1.0\r\nno colon\r\n\r\n",
            b"OPTIONS * RTSP/1.0\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"\xff\xfe * RTSP/1.0\r\n\r\n",
        ] {
            assert_eq!(parse(bad), Input::Garbage);
        }
        assert_eq!(parse(&[b'a'; MAX_MESSAGE_BYTES + 1]), Input::Garbage);
    }
}
