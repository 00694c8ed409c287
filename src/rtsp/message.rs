//! RTSP messages: forgiving parsing, strict writing (RFC 2326 sections 4 to 7).

use super::error::quote;
use std::fmt;

/// The longest request or status line with all headers, in bytes. Longer ones end the session.
pub const HEAD_LIMIT: usize = 16 * 1024;
/// The longest body (a description), in bytes. Longer ones end the session.
pub const BODY_LIMIT: usize = 64 * 1024;

/// Headers in order, looked up without regard to case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first header of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        all.next().map(|(_, v)| v.as_str())
    }

    /// All headers of that name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// Adds one at the end. A control character in it, which would start a header of its own on the
    /// wire, becomes a space.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        let mut value: String = value.into();
        if value.contains(|c: char| c.is_control()) {
            value = value.replace(|c: char| c.is_control(), " ");
        }
        self.0.push((name.to_owned(), value));
    }

    /// The `CSeq`, where there is one that is a number.
    pub fn cseq(&self) -> Option<u32> {
        self.get("CSeq")?.parse().ok()
    }

    fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl fmt::Debug for Headers {
    /// Leaves out what could give a password away.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(n, v)| {
                let secret = n.eq_ignore_ascii_case("Authorization");
                (n, if secret { "***" } else { v.as_str() })
            }))
            .finish()
    }
}

/// A request, of either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// In upper case.
    pub method: String,
    pub uri: String,
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, uri: &str) -> Request {
        Request {
            method: method.to_owned(),
            uri: uri.to_owned(),
            headers: Headers::default(),
            body: Vec::new(),
        }
    }

    /// The bytes for the wire; `Content-Length` is added where there is a body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} RTSP/1.0\r\n", self.method, self.uri).into_bytes();
        write_rest(&mut out, &self.headers, &self.body);
        out
    }
}

/// A reply, of either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub code: u16,
    pub reason: String,
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Response {
    pub fn new(code: u16, reason: &str) -> Response {
        Response {
            code,
            reason: reason.to_owned(),
            headers: Headers::default(),
            body: Vec::new(),
        }
    }

    /// The bytes for the wire; `Content-Length` is added where there is a body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("RTSP/1.0 {} {}\r\n", self.code, self.reason).into_bytes();
        write_rest(&mut out, &self.headers, &self.body);
        out
    }
}

fn write_rest(out: &mut Vec<u8>, headers: &Headers, body: &[u8]) {
    headers.write(out);
    if !body.is_empty() {
        out.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

/// A request or a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Request(Request),
    Response(Response),
}

impl Message {
    /// Parses a head (everything up to and including the empty line). The body is empty yet.
    ///
    /// Forgiven: line ends of LF alone, white space around names and values, folded lines, a status
    /// line with no reason, headers with no colon (dropped), bytes that are not UTF-8 (replaced).
    /// Refused, with what was seen: a first line that is neither a request nor a reply.
    pub fn parse_head(head: &[u8]) -> Result<Message, String> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split('\n').map(|l| l.trim_end_matches('\r'));
        let first = lines.next().unwrap_or_default();
        let mut message = parse_first_line(first)
            .ok_or_else(|| format!("not an RTSP message: \"{}\"", quote(first)))?;
        let headers = &mut message.headers_mut().0;
        for line in lines {
            let field = split_field(line);
            match (headers.last_mut(), field) {
                (_, Some((name, value))) => headers.push((name.to_owned(), value.to_owned())),
                (Some((_, value)), None) if line.starts_with([' ', '\t']) => {
                    if !value.is_empty() {
                        value.push(' ');
                    }
                    value.push_str(line.trim());
                }
                _ => {}
            }
        }
        Ok(message)
    }

    pub fn headers(&self) -> &Headers {
        match self {
            Message::Request(m) => &m.headers,
            Message::Response(m) => &m.headers,
        }
    }

    fn headers_mut(&mut self) -> &mut Headers {
        match self {
            Message::Request(m) => &mut m.headers,
            Message::Response(m) => &mut m.headers,
        }
    }

    pub(super) fn set_body(&mut self, bytes: &[u8]) {
        let body = match self {
            Message::Request(m) => &mut m.body,
            Message::Response(m) => &mut m.body,
        };
        *body = bytes.to_vec();
    }

    /// The length of the body to come, in bytes; 0 where none is told. `None` if it is no number.
    pub fn content_length(&self) -> Option<u64> {
        match self.headers().get("Content-Length") {
            None | Some("") => Some(0),
            Some(value) => value.split_ascii_whitespace().next()?.parse().ok(),
        }
    }
}

/// A status line (`RTSP/1.0 200 OK`) or a request line (`OPTIONS * RTSP/1.0`).
fn parse_first_line(line: &str) -> Option<Message> {
    let mut words = line.split_ascii_whitespace();
    let first = words.next()?;
    if is_version(first) {
        let code = words.next()?;
        if code.len() != 3 {
            return None;
        }
        let code = code.parse().ok().filter(|c| (100..600).contains(c))?;
        let reason = words.collect::<Vec<_>>().join(" ");
        return Some(Message::Response(Response::new(code, &reason)));
    }
    let uri = words.next()?;
    let method_ok = first.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    if !method_ok || !is_version(words.next()?) || words.next().is_some() {
        return None;
    }
    let method = first.to_ascii_uppercase();
    Some(Message::Request(Request::new(&method, uri)))
}

/// Splits a header line. One that starts with white space is a header only if it looks like one (some
/// cameras indent them); else it continues the line before (RFC 2068 section 4.2).
fn split_field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let is_token = |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if line.starts_with([' ', '\t']) && (!is_token(name.trim()) || value.starts_with("//")) {
        return None;
    }
    Some((name.trim(), value.trim()))
}

fn is_version(word: &str) -> bool {
    word.get(..5)
        .is_some_and(|w| w.eq_ignore_ascii_case("RTSP/"))
        && word.as_bytes().get(5) == Some(&b'1')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(head: &str) -> Response {
        match Message::parse_head(head.as_bytes()) {
            Ok(Message::Response(r)) => r,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn white_space_and_case_do_not_matter() {
        let r = response(
            "RTSP/1.0 200  OK \r\n  cseq : 7 \r\nSESSION:\t12 ; timeout=5\r\n\
             Content-Base:\r\n\trtsp://192.0.2.1/\r\nPublic: PLAY,\r\n  SETUP\r\n\r\n",
        );
        assert_eq!((r.code, r.reason.as_str()), (200, "OK"));
        assert_eq!(r.headers.cseq(), Some(7));
        assert_eq!(r.headers.get("session"), Some("12 ; timeout=5"));
        assert_eq!(r.headers.get("Content-Base"), Some("rtsp://192.0.2.1/"));
        assert_eq!(r.headers.get("PUBLIC"), Some("PLAY, SETUP"));
    }

    #[test]
    fn lone_line_feeds_and_a_missing_reason_are_taken() {
        let r = response("RTSP/1.0 401\nCSeq: 3\nno colon here\nX: \u{fffd}\n\n");
        assert_eq!((r.code, r.reason.as_str()), (401, ""));
        assert_eq!(r.headers.cseq(), Some(3));
    }

    #[test]
    fn bytes_that_are_not_utf8_do_no_harm() {
        let m = Message::parse_head(b"RTSP/1.0 200 OK\r\nServer: Kam\xe9ra\r\nCSeq: 1\r\n\r\n");
        assert_eq!(m.unwrap().headers().cseq(), Some(1));
    }

    #[test]
    fn what_is_neither_request_nor_reply_is_refused_and_quoted() {
        for bad in [
            "",
            "HTTP/1.1 200 OK",
            "RTSP/1.0 20 OK",
            "RTSP/1.0 999 OK",
            "RTSP/2.0 200 OK",
            "PLAY rtsp://h/",
            "PL\u{0}AY * RTSP/1.0",
            "\u{fffd}x",
        ] {
            let told = Message::parse_head(bad.as_bytes()).unwrap_err();
            assert!(told.starts_with("not an RTSP message"), "{told}");
            assert!(!told.contains('\0'));
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut request = Request::new("SETUP", "rtsp://192.0.2.1/main/trackID=1");
        request.headers.push("CSeq", "4");
        request.headers.push("X-Sly", "a\r\nTransport: b");
        request.body = b"body".to_vec();
        let bytes = request.to_bytes();
        let head = bytes.len() - request.body.len();
        let mut read = Message::parse_head(&bytes[..head]).unwrap();
        assert_eq!(read.content_length(), Some(4));
        assert_eq!(read.headers().get("Transport"), None);
        read.set_body(&bytes[head..]);
        request.headers.push("Content-Length", "4");
        assert_eq!(read, Message::Request(request));
    }

    #[test]
    fn debug_hides_the_authorization() {
        let mut request = Request::new("PLAY", "rtsp://192.0.2.1/");
        request.headers.push("authorization", "Basic aHVudGVyMg==");
        assert!(!format!("{request:?}").contains("aHVudGVyMg"));
    }
}
