//! Answers to a viewer's requests, read strictly: each has a length, and nothing comes that was not
//! asked for.

/// What was answered.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    /// All of it, or of an answer that broke off what there is.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let field = self
            .fields
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str())
    }

    fn parse(head: &[u8]) -> Result<Answer, String> {
        let head = std::str::from_utf8(head).map_err(|e| e.to_string())?;
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|r| r.get(..3));
        let status = status.and_then(|s| s.parse().ok());
        let fields = lines.map(|line| line.split_once(": ").ok_or(line));
        let fields: Result<Vec<_>, _> = fields.collect();
        let fields = fields.map_err(|line| format!("{line:?} is no header field"))?;
        Ok(Answer {
            status: status.ok_or_else(|| format!("{first:?} is no status line"))?,
            fields: fields
                .into_iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            body: Vec::new(),
        })
    }

    /// How long its body is, if it is the answer to HEAD or not.
    fn length(&self, head_only: bool) -> Result<usize, String> {
        if head_only || matches!(self.status, 101 | 204 | 304) {
            return Ok(0);
        }
        let length = self.field("content-length").and_then(|v| v.parse().ok());
        length.ok_or_else(|| format!("an answer of {} has no length", self.status))
    }
}

/// What has come on a connection and is not read yet.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    head: Option<(Answer, usize)>,
}

impl Reader {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next answer, once it is whole.
    pub fn next(&mut self, head_only: bool) -> Result<Option<Answer>, String> {
        if self.head.is_none() {
            let end = self.bytes.windows(4).position(|w| w == b"\r\n\r\n");
            let Some(end) = end else {
                return Ok(None);
            };
            let answer = Answer::parse(&self.bytes[..end])?;
            let length = answer.length(head_only)?;
            self.bytes.drain(..end + 4);
            self.head = Some((answer, length));
        }
        let ready = |(_, length): &mut (Answer, usize)| *length <= self.bytes.len();
        let Some((mut answer, length)) = self.head.take_if(ready) else {
            return Ok(None);
        };
        answer.body = self.bytes.drain(..length).collect();
        Ok(Some(answer))
    }

    /// The answer that is being received, as far as it has come.
    pub fn broken_off(&self) -> Option<Answer> {
        let (answer, _) = self.head.as_ref()?;
        Some(Answer {
            body: self.bytes.clone(),
            ..answer.clone()
        })
    }

    /// Nothing has come that was not asked for.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.head.is_none()
    }

    /// What comes from now on is no answer: what has come of it.
    pub fn into_rest(self) -> Vec<u8> {
        self.bytes
    }
}

/// Bytes of a file, from there on.
pub type Part<'a> = (u64, &'a [u8]);

/// The parts of a file that an answer of 200 or 206 brings, and the file's length.
pub fn parts(answer: &Answer) -> Result<(u64, Vec<Part<'_>>), String> {
    let body = &answer.body;
    if answer.status == 200 {
        let length = answer.field("content-length").and_then(|v| v.parse().ok());
        return Ok((length.unwrap_or(body.len() as u64), vec![(0, body)]));
    }
    let content_type = answer.field("content-type").unwrap_or_default();
    let Some((_, boundary)) = content_type.split_once("multipart/byteranges; boundary=") else {
        let range = answer.field("content-range").unwrap_or_default();
        let (from, end, length) = content_range(range)?;
        return match body.len() as u64 <= end - from {
            true => Ok((length, vec![(from, body)])),
            false => Err(format!("{} bytes of {range}", body.len())),
        };
    };
    let mut found = Vec::new();
    let mut of = None;
    let mut rest = &body[..];
    let start = format!("\r\n--{boundary}\r\n");
    while let Some(part) = rest.strip_prefix(start.as_bytes()) {
        let Some(end) = part.windows(4).position(|w| w == b"\r\n\r\n") else {
            break;
        };
        let head = String::from_utf8_lossy(&part[..end]);
        let range = head.lines().find_map(|l| l.strip_prefix("Content-Range: "));
        let (from, to, length) = content_range(range.unwrap_or_default())?;
        if of.is_some_and(|l| l != length) {
            return Err("the parts are of files of different lengths".to_owned());
        }
        of = Some(length);
        let bytes = &part[end + 4..];
        let bytes = &bytes[..bytes.len().min((to - from) as usize)];
        found.push((from, bytes));
        rest = &part[end + 4 + bytes.len()..];
    }
    Ok((of.unwrap_or(0), found))
}

/// `bytes 2-5/10` (RFC 9110 section 14.4): from, to below, of.
fn content_range(field: &str) -> Result<(u64, u64, u64), String> {
    let numbers = field.strip_prefix("bytes ").and_then(|f| {
        let (range, length) = f.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last, length) = (
            first.parse::<u64>().ok()?,
            last.parse::<u64>().ok()?,
            length.parse::<u64>().ok()?,
        );
        (first <= last && last < length).then_some((first, last + 1, length))
    });
    numbers.ok_or_else(|| format!("{field:?} is no range of a file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_cut_where_their_length_says() {
        let mut reader = Reader::default();
        let bytes =
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 304 Not\r\nX: y\r\n\r\n";
        for b in &bytes[..bytes.len() - 1] {
            reader.push(&[*b]);
        }
        let first = reader.next(false).unwrap().unwrap();
        assert_eq!((first.status, &first.body[..]), (200, &b"abc"[..]));
        assert!(reader.next(false).unwrap().is_none() && !reader.is_empty());
        reader.push(b"\n");
        let second = reader.next(false).unwrap().unwrap();
        assert_eq!((second.status, second.field("x")), (304, Some("y")));
        assert!(reader.is_empty());
        reader.push(b"HTTP/1.1 200 OK\r\n\r\n");
        assert!(reader.next(false).is_err());
    }

    #[test]
    fn parts_of_a_file_know_their_places() {
        let mut answer = Answer::parse(b"HTTP/1.1 206 P\r\nContent-Range: bytes 2-4/10").unwrap();
        answer.body = b"cde".to_vec();
        assert_eq!(parts(&answer), Ok((10, vec![(2, &b"cde"[..])])));
        answer.body.push(b'f');
        assert!(parts(&answer).is_err());
        let head = b"HTTP/1.1 206 P\r\nContent-Type: multipart/byteranges; boundary=B";
        let mut answer = Answer::parse(head).unwrap();
        answer.body = b"\r\n--B\r\nContent-Range: bytes 0-1/9\r\n\r\nab\r\n--B\r\n\
            Content-Range: bytes 7-8/9\r\n\r\nhi\r\n--B--\r\n"
            .to_vec();
        let expected: Vec<Part<'_>> = vec![(0, b"ab"), (7, b"hi")];
        assert_eq!(parts(&answer), Ok((9, expected)));
        // One that broke off has the beginning of its last part.
        answer.body.truncate(answer.body.len() - 10);
        let expected: Vec<Part<'_>> = vec![(0, b"ab"), (7, b"h")];
        assert_eq!(parts(&answer), Ok((9, expected)));
    }
}
