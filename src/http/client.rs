//! HTTP/1.1's client side for small answers, without I/O: a request's bytes, and a reader that takes what
//! comes on the connection until the response is whole. One request a connection.
//!
//! Forgiving where devices are sloppy: a body without any length ends with the connection, `100 Continue`
//! is passed over, names come in any case. Bounded in every part.

use super::HEAD_BYTES;
use std::fmt;

/// The longest body that is taken, in bytes.
pub const MAX_BODY_BYTES: usize = 512 << 10;
/// The most header fields of a response.
const MAX_FIELDS: usize = 64;
/// The longest line that tells a chunk's length.
const MAX_CHUNK_LINE: usize = 256;

/// A request with all that its bytes are made of.
#[derive(Clone)]
pub struct ClientRequest {
    pub method: &'static str,
    /// As in a `Host` field: with the port unless it is 80.
    pub host: String,
    /// Path and query.
    pub target: String,
    pub content_type: Option<String>,
    /// A whole `Authorization` field, which is a secret.
    pub authorization: Option<String>,
    pub body: Vec<u8>,
}

impl fmt::Debug for ClientRequest {
    /// Leaves out what may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method, self.host, self.target)
    }
}

impl ClientRequest {
    /// The bytes for the wire. What would start a line of its own becomes a space.
    pub fn to_bytes(&self) -> Vec<u8> {
        let clean = |s: &str| s.replace(|c: char| c.is_control(), " ");
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: moonfire-nvr/{}\r\n\
             Accept-Encoding: identity\r\nConnection: close\r\n",
            self.method,
            clean(&self.target).replace(' ', "%20"),
            clean(&self.host),
            env!("CARGO_PKG_VERSION"),
        );
        for (name, value) in [
            ("Content-Type", &self.content_type),
            ("Authorization", &self.authorization),
        ] {
            if let Some(value) = value {
                head.push_str(&format!("{name}: {}\r\n", clean(value)));
            }
        }
        if self.method != "GET" {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A response as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientResponse {
    pub status: u16,
    /// In order, white space around values taken away.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl ClientResponse {
    /// The first field of that name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }
}

/// Why an answer is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    #[error("what answers does not speak HTTP")]
    NotHttp,
    #[error("its answer's head is longer than {HEAD_BYTES} bytes")]
    LongHead,
    #[error("its answer is longer than {MAX_BODY_BYTES} bytes")]
    LongBody,
    #[error("the connection was closed in the middle of an answer")]
    Cut,
}

/// How a body's end is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
    /// With the connection.
    UntilEnd,
}

/// Takes one response. See the module.
#[derive(Debug, Default)]
pub struct ResponseReader {
    input: Vec<u8>,
    head: Option<(ClientResponse, Length)>,
}

impl ResponseReader {
    /// Takes in bytes of the connection; the response once it is whole.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<ClientResponse>, ClientError> {
        self.input.extend_from_slice(bytes);
        loop {
            if self.head.is_none() && !self.read_head()? {
                return Ok(None);
            }
            let Some((head, length)) = &mut self.head else {
                return Ok(None);
            };
            if (100..200).contains(&head.status) && head.status != 101 {
                self.head = None;
                continue;
            }
            let whole = match *length {
                Length::Known(len) => {
                    let wanted = len - head.body.len();
                    let there = wanted.min(self.input.len());
                    head.body.extend(self.input.drain(..there));
                    head.body.len() == len
                }
                Length::Chunked => take_chunks(&mut self.input, &mut head.body)?,
                Length::UntilEnd => {
                    head.body.append(&mut self.input);
                    if head.body.len() > MAX_BODY_BYTES {
                        return Err(ClientError::LongBody);
                    }
                    false
                }
            };
            return Ok(self.head.take_if(|_| whole).map(|(response, _)| response));
        }
    }

    /// The connection was closed: what came may be all of it.
    pub fn end(self) -> Result<ClientResponse, ClientError> {
        match self.head {
            Some((response, Length::UntilEnd)) => Ok(response),
            _ => Err(ClientError::Cut),
        }
    }

    /// Takes the head off, once it is there.
    fn read_head(&mut self) -> Result<bool, ClientError> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let mut config = httparse::ParserConfig::default();
        config
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .ignore_invalid_headers_in_responses(true);
        let len = match config.parse_response(&mut response, &self.input) {
            Ok(httparse::Status::Complete(len)) if len <= HEAD_BYTES => len,
            Ok(httparse::Status::Complete(_)) => return Err(ClientError::LongHead),
            Ok(httparse::Status::Partial) if self.input.len() > HEAD_BYTES => {
                return Err(ClientError::LongHead);
            }
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => return Err(ClientError::NotHttp),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let head = ClientResponse {
            status: response.code.unwrap_or(0),
            headers: response
                .headers
                .iter()
                .map(|h| (h.name.to_owned(), text(h.value)))
                .collect(),
            body: Vec::new(),
        };
        let chunked = head
            .header("Transfer-Encoding")
            .is_some_and(|v| v.to_ascii_lowercase().contains("chunked"));
        let length = match (chunked, head.header("Content-Length")) {
            _ if matches!(head.status, 204 | 304) => Length::Known(0),
            (true, _) => Length::Chunked,
            (false, Some(text)) => match text.parse() {
                Ok(len) if len <= MAX_BODY_BYTES => Length::Known(len),
                Ok(_) => return Err(ClientError::LongBody),
                Err(_) => Length::UntilEnd,
            },
            (false, None) => Length::UntilEnd,
        };
        self.input.drain(..len);
        self.head = Some((head, length));
        Ok(true)
    }
}

/// Moves whole chunks (RFC 9112 section 7.1) to the body; whether that was the last one.
fn take_chunks(input: &mut Vec<u8>, body: &mut Vec<u8>) -> Result<bool, ClientError> {
    loop {
        let Some(line) = input.iter().position(|b| *b == b'\n') else {
            return match input.len() > MAX_CHUNK_LINE {
                true => Err(ClientError::NotHttp),
                false => Ok(false),
            };
        };
        let text = String::from_utf8_lossy(&input[..line]);
        let digits = text.split(';').next().unwrap_or_default().trim();
        let len = usize::from_str_radix(digits, 16).map_err(|_| ClientError::NotHttp)?;
        if len == 0 {
            // Trailers, if any, are of no interest, and the connection is closed anyway.
            return Ok(true);
        }
        if len > MAX_BODY_BYTES - body.len() {
            return Err(ClientError::LongBody);
        }
        let start = line + 1;
        if input.len() < start + len + 1 {
            return Ok(false);
        }
        body.extend_from_slice(&input[start..start + len]);
        let end = start + len;
        let ends = match (input[end], input.get(end + 1)) {
            (b'\n', _) => 1,
            (b'\r', Some(b'\n')) => 2,
            (b'\r', None) => {
                // Its line feed is still to come; the chunk is taken once it has.
                body.truncate(body.len() - len);
                return Ok(false);
            }
            _ => return Err(ClientError::NotHttp),
        };
        input.drain(..end + ends);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However it is cut, the same comes out.
    fn read(text: &str) -> Result<Option<ClientResponse>, ClientError> {
        let whole = ResponseReader::default().receive(text.as_bytes());
        let mut reader = ResponseReader::default();
        let mut cut = Ok(None);
        for byte in text.as_bytes() {
            cut = reader.receive(&[*byte]);
            if !matches!(cut, Ok(None)) {
                break;
            }
        }
        assert_eq!(whole, cut, "{text}");
        whole
    }

    #[test]
    fn bodies_of_each_kind() {
        let body = |text: &str| read(text).unwrap().map(|r| r.body);
        let hello = Some(b"hello".to_vec());
        assert_eq!(
            body("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
            hello
        );
        assert_eq!(
            body(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2;x\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
            ),
            hello
        );
        assert_eq!(
            body("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
            hello
        );
        assert_eq!(body("HTTP/1.1 204 No Content\r\n\r\n"), Some(Vec::new()));
        let mut reader = ResponseReader::default();
        let part = reader.receive(b"HTTP/1.0 200 OK\r\n\r\nhel");
        assert_eq!((part, reader.receive(b"lo")), (Ok(None), Ok(None)));
        assert_eq!(reader.end().unwrap().body, b"hello");
    }

    #[test]
    fn what_is_too_much_or_wrong_is_refused() {
        let many = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_BYTES));
        assert_eq!(read(&many), Err(ClientError::LongHead));
        let long = "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
        assert_eq!(read(long), Err(ClientError::LongBody));
        assert_eq!(read("RTSP/1.0 200 OK\r\n\r\n"), Err(ClientError::NotHttp));
        let chunked = |rest: &str| {
            read(&format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}"
            ))
        };
        assert_eq!(chunked("fffffff\r\n"), Err(ClientError::LongBody));
        assert_eq!(
            chunked("ffffffffffffffffffff\r\n"),
            Err(ClientError::NotHttp)
        );
        assert_eq!(chunked("-1\r\n"), Err(ClientError::NotHttp));
        let mut reader = ResponseReader::default();
        let _ = reader.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
        assert_eq!(reader.end(), Err(ClientError::Cut));
    }

    #[test]
    fn a_request_is_whole_and_tells_no_secret() {
        let request = ClientRequest {
            method: "POST",
            host: "192.0.2.7:8000".to_owned(),
            target: "/onvif/x\r\ny".to_owned(),
            content_type: Some("text/xml".to_owned()),
            authorization: Some("Basic c2VjcmV0".to_owned()),
            body: b"<a/>".to_vec(),
        };
        assert!(!format!("{request:?}").contains("c2VjcmV0"));
        let text = String::from_utf8(request.to_bytes()).unwrap();
        assert!(text.starts_with("POST /onvif/x%20%20y HTTP/1.1\r\nHost: 192.0.2.7:8000\r\n"));
        assert!(text.ends_with("Authorization: Basic c2VjcmV0\r\nContent-Length: 4\r\n\r\n<a/>"));
    }
}
