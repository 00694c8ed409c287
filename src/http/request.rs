//! A request that was understood, and typed views of its parts. Nothing here is trusted yet: who may do
//! what, and whether the host and the origin are right, is for the caller and [`super::origin`].

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// The most segments of a path that [`Request::segments`] takes.
pub const SEGMENTS: usize = 16;

/// What may be asked for (RFC 9110 section 9; PATCH: RFC 5789).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    pub const ALL: [Method; 7] = [
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Patch,
        Method::Delete,
        Method::Options,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
        }
    }

    /// By its name, which is case-sensitive.
    pub fn from_name(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|m| m.as_str() == name)
    }

    /// Whether it only reads (RFC 9110 section 9.2.1).
    pub fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options)
    }
}

/// The header fields of a request, in order. Values that are not UTF-8 were made so: what cannot be
/// read is still seen to be there.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    text: String,
    fields: Vec<(Range<u32>, Range<u32>)>,
}

impl Headers {
    /// Adds a field. Past 4 GiB of text it would be left out; heads are bounded far below.
    pub(super) fn push(&mut self, name: &str, value: &[u8]) {
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        self.text.push_str(&String::from_utf8_lossy(value));
        let at = |n: usize| u32::try_from(n).ok();
        if let (Some(s), Some(m), Some(e)) = (at(start), at(middle), at(self.text.len())) {
            self.fields.push((s..m, m..e));
        }
    }

    /// All fields as name and value; the value is without white space around it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = |r: &Range<u32>| &self.text[r.start as usize..r.end as usize];
        self.fields.iter().map(move |(n, v)| (text(n), text(v)))
    }

    /// The values of all fields of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }

    /// The value of the first field of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }

    /// The members of a comma-separated list that may be spread over several fields (RFC 9110 section
    /// 5.6.1), empty ones left out. Not for fields with quoted strings.
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(name)
            .flat_map(|v| v.split(','))
            .map(|m| m.trim_matches([' ', '\t']))
            .filter(|m| !m.is_empty())
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

/// A request, its body included.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// The path of the target, percent-encoding and all; it begins with a slash, or is `*` for OPTIONS.
    pub path: String,
    /// What follows `?`, undecoded.
    pub query: String,
    pub headers: Headers,
    /// So many bytes follow that are not gathered in `body`, but handed on as they come.
    pub upload_bytes: Option<u64>,
    /// At most [`super::BODY_BYTES`].
    pub body: Vec<u8>,
    /// False: HTTP/1.0.
    pub http_1_1: bool,
}

/// Only what cannot be secret: a query, a field or a body may hold a password.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { method, path, .. } = self;
        write!(
            f,
            "{} {path} ({} fields, {} bytes)",
            method.as_str(),
            self.headers.len(),
            self.body.len()
        )
    }
}

/// Why a path is not taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path has a % that is not followed by two hexadecimal digits")]
    Escape,
    #[error("the path is not UTF-8")]
    NotUtf8,
    #[error("the path has a segment that is . or ..")]
    Dots,
    #[error("the path has a slash, a backslash or a control character inside a segment")]
    Character,
    #[error("the path has too many segments")]
    TooMany,
}

impl Request {
    /// The value of the first header field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// `Host`, or the authority of an absolute target (RFC 9112 section 3.2.2): a name or an address, and
    /// perhaps a port. HTTP/1.0 may do without.
    pub fn host(&self) -> Option<&str> {
        self.header("host")
    }

    /// Which page's script asks, as browsers say it: `scheme://host[:port]` or `null`.
    pub fn origin(&self) -> Option<&str> {
        self.header("origin")
    }

    /// The media type without its parameters.
    pub fn content_type(&self) -> Option<&str> {
        let value = self.header("content-type")?;
        Some(value.split(';').next().unwrap_or(value).trim())
    }

    /// The first cookie of that name (RFC 6265 section 5.4), without quotes around it.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .all("cookie")
            .flat_map(|v| v.split(';'))
            .filter_map(|pair| pair.split_once('='))
            .find(|(n, _)| n.trim() == name)
            .map(|(_, v)| {
                let v = v.trim();
                let unquoted = v.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
                unquoted.unwrap_or(v)
            })
    }

    /// The parameters of the query in order, decoded as forms are (a `+` is a space).
    pub fn query_pairs(&self) -> url::form_urlencoded::Parse<'_> {
        url::form_urlencoded::parse(self.query.as_bytes())
    }

    /// The segments of the path, decoded; a path that ends with a slash ends with an empty one.
    ///
    /// ```
    /// # use moonfire_nvr::http::{Connection, Step};
    /// # use moonfire_nvr::time::Now;
    /// # let mut connection = Connection::new(Now::default());
    /// # let bytes = b"GET /api/front%20door/ HTTP/1.0\r\n\r\n";
    /// # let Step::Answer(request) = connection.receive(Now::default(), bytes) else { panic!() };
    /// assert_eq!(request.path, "/api/front%20door/");
    /// assert_eq!(request.segments().unwrap(), ["api", "front door", ""]);
    /// ```
    pub fn segments(&self) -> Result<Vec<Cow<'_, str>>, PathError> {
        let path = self.path.strip_prefix('/').unwrap_or(&self.path);
        let mut segments = Vec::new();
        for segment in path.split('/') {
            if segments.len() == SEGMENTS {
                return Err(PathError::TooMany);
            }
            let segment = decode(segment)?;
            if matches!(&*segment, "." | "..") {
                return Err(PathError::Dots);
            }
            if segment.contains(|c: char| c.is_control() || matches!(c, '/' | '\\')) {
                return Err(PathError::Character);
            }
            segments.push(segment);
        }
        Ok(segments)
    }
}

/// Percent-decodes (RFC 3986 section 2.1).
fn decode(text: &str) -> Result<Cow<'_, str>, PathError> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let mut digit = || {
            let digit = bytes.next().and_then(|b| char::from(b).to_digit(16));
            digit.map(|d| d as u8).ok_or(PathError::Escape)
        };
        out.push(digit()? << 4 | digit()?);
    }
    match String::from_utf8(out) {
        Ok(s) => Ok(Cow::Owned(s)),
        Err(_) => Err(PathError::NotUtf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, fields: &[(&str, &[u8])]) -> Request {
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(name, value);
        }
        Request {
            method: Method::Get,
            path: path.to_owned(),
            query: "s=1-2&s=3%2e5+6&x".to_owned(),
            headers,
            upload_bytes: None,
            body: b"password".to_vec(),
            http_1_1: true,
        }
    }

    #[test]
    fn paths_come_apart_only_if_nobody_could_read_them_otherwise() {
        use PathError::*;
        for (path, expected) in [
            ("/", Ok(vec![""])),
            ("/api/", Ok(vec!["api", ""])),
            ("/a//b", Ok(vec!["a", "", "b"])),
            ("/T%C3%BCr%20%31", Ok(vec!["Tür 1"])),
            ("/...", Ok(vec!["..."])),
            ("/a/../b", Err(Dots)),
            ("/a/%2e%2E/b", Err(Dots)),
            ("/%2e", Err(Dots)),
            ("/a%00", Err(Character)),
            ("/a%2fb", Err(Character)),
            ("/a%5cb", Err(Character)),
            ("/a\\b", Err(Character)),
            ("/a%7f", Err(Character)),
            ("/a%", Err(Escape)),
            ("/a%4", Err(Escape)),
            ("/a%4g", Err(Escape)),
            ("/a%+4", Err(Escape)),
            ("/a%ff", Err(NotUtf8)),
            ("/a%C0%AE", Err(NotUtf8)),
            ("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", Err(TooMany)),
        ] {
            let segments = request(path, &[]).segments().map(|s| {
                let owned = s.iter().map(|s| s.to_string());
                owned.collect::<Vec<_>>()
            });
            let expected = expected.map(|s| s.into_iter().map(str::to_owned).collect());
            assert_eq!(segments, expected, "{path}");
        }
    }

    #[test]
    fn typed_views() {
        let r = request(
            "/",
            &[
                ("Cookie", b"theme=dark; s=\"abc\"; s=second"),
                ("HOST", b"nvr:8080"),
                ("Content-Type", b"application/json ; charset=utf-8"),
                ("cookie", b"t = x=y ;broken"),
                ("Origin", b"http://nvr:8080"),
                ("X", b"caf\xe9"),
                ("Accept", b"a, b"),
                ("accept", b",c,"),
            ],
        );
        assert_eq!(r.cookie("s"), Some("abc"));
        assert_eq!(r.cookie("theme"), Some("dark"));
        assert_eq!(r.cookie("t"), Some("x=y"));
        assert_eq!(r.cookie("S"), None);
        assert_eq!(r.cookie("broken"), None);
        assert_eq!(r.host(), Some("nvr:8080"));
        assert_eq!(r.origin(), Some("http://nvr:8080"));
        assert_eq!(r.content_type(), Some("application/json"));
        assert_eq!(r.header("x"), Some("caf\u{fffd}"));
        let accepted: Vec<_> = r.headers.list("accept").collect();
        assert_eq!(accepted, ["a", "b", "c"]);
        let pairs: Vec<_> = r.query_pairs().into_owned().collect();
        let expected = [("s", "1-2"), ("s", "3.5 6"), ("x", "")];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert!(!format!("{r:?}").contains("password"));
        assert!(!format!("{r:?}").contains("abc"));
    }

    #[test]
    fn methods_by_name() {
        for m in Method::ALL {
            assert_eq!(Method::from_name(m.as_str()), Some(m));
        }
        assert_eq!(Method::from_name("get"), None);
        let safe = Method::ALL.into_iter().filter(|m| m.is_safe()).count();
        assert_eq!(safe, 3);
    }
}
