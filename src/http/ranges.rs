//! Conditional requests and ranges (RFC 9110 sections 13 and 14): which bytes of a representation a request
//! gets, and with which head.
//!
//! There are no dates of modification here, so conditions on them are ignored, as they must be. What makes
//! no sense as a range gets the whole; so does what asks for more than [`RANGES`]. Ranges that overlap or
//! touch are sent as one, so that no answer is longer than the whole and its part heads.

use super::request::{Method, Request};
use super::response::{BodySize, ResponseHead, Status};
use std::borrow::Cow;
use std::ops::Range;

/// The most ranges of one request.
pub const RANGES: usize = 16;

/// What may be read.
#[derive(Clone, Debug)]
pub struct Representation<'a> {
    /// A strong entity tag with its quotes.
    pub etag: &'a str,
    /// Bytes.
    pub len: u64,
    pub content_type: Cow<'static, str>,
}

/// Which bytes a request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    Whole,
    /// Never empty, and within the length.
    Single(Range<u64>),
    /// At least two, apart from each other, in the order that they were asked for.
    Multipart(Vec<Range<u64>>),
    NotModified,
    PreconditionFailed,
    NotSatisfiable,
}

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub head: ResponseHead,
    pub size: BodySize,
    /// The body in order; its lengths add up to `size`. To be left out for HEAD.
    pub pieces: Vec<Piece>,
}

/// A piece of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Between the parts.
    Bytes(Vec<u8>),
    /// Bytes of the representation.
    Range(Range<u64>),
}

/// What a request for `representation` gets. The caller sets the caching.
pub fn plan(request: &Request, representation: &Representation<'_>) -> Plan {
    let Representation {
        etag,
        len,
        content_type,
    } = representation;
    let head = |status| {
        ResponseHead::new(status)
            .field("ETag", (*etag).to_owned())
            .field("Accept-Ranges", "bytes")
    };
    let bare = |head| Plan {
        head,
        size: BodySize::None,
        pieces: Vec::new(),
    };
    let range = |head: ResponseHead, r: Range<u64>| Plan {
        head: head.content_type(content_type.clone()),
        size: BodySize::Known(r.end - r.start),
        pieces: if r.is_empty() {
            Vec::new()
        } else {
            vec![Piece::Range(r)]
        },
    };
    match select(request, etag, *len) {
        Selection::Whole => range(head(Status::Ok), 0..*len),
        Selection::Single(r) => {
            let head = head(Status::PartialContent).field("Content-Range", content_range(&r, *len));
            range(head, r)
        }
        Selection::Multipart(ranges) => {
            let boundary = boundary(etag);
            let pieces = parts(&ranges, &boundary, content_type, *len);
            let total = pieces.iter().map(|p| match p {
                Piece::Bytes(b) => b.len() as u64,
                Piece::Range(r) => r.end - r.start,
            });
            Plan {
                head: head(Status::PartialContent)
                    .content_type(format!("multipart/byteranges; boundary={boundary}")),
                // The ranges are apart, so this is little more than `len`.
                size: BodySize::Known(total.fold(0, u64::saturating_add)),
                pieces,
            }
        }
        Selection::NotModified => bare(head(Status::NotModified)),
        Selection::PreconditionFailed => bare(head(Status::PreconditionFailed)),
        Selection::NotSatisfiable => {
            bare(head(Status::RangeNotSatisfiable).field("Content-Range", format!("bytes */{len}")))
        }
    }
}

/// Evaluates the conditions in the order of RFC 9110 section 13.2.2, then the range. `etag` is strong.
pub fn select(request: &Request, etag: &str, len: u64) -> Selection {
    let readable = matches!(request.method, Method::Get | Method::Head);
    if request.headers.get("if-match").is_some() && !names(request, "if-match", etag, strong) {
        return Selection::PreconditionFailed;
    }
    if names(request, "if-none-match", etag, weak) {
        return if readable {
            Selection::NotModified
        } else {
            Selection::PreconditionFailed
        };
    }
    let range = match request.header("range") {
        // Section 14.2: ranges are defined for GET alone.
        Some(range) if request.method == Method::Get => range,
        _ => return Selection::Whole,
    };
    match request.header("if-range") {
        // A date never matches, as there is none to compare it with (section 13.1.5).
        Some(tag) if !strong(tag, etag) => Selection::Whole,
        _ => evaluate(range, len),
    }
}

/// Whether the list of entity tags in that field has `etag`, or is `*`.
fn names(request: &Request, field: &str, etag: &str, same: fn(&str, &str) -> bool) -> bool {
    let mut found = false;
    for value in request.headers.all(field) {
        let mut rest = value;
        while let Some((tag, after)) = next_tag(rest) {
            found |= tag == "*" || same(tag, etag);
            rest = after;
        }
    }
    found
}

/// The first member of a list of entity tags, and what follows it. A tag may hold commas.
fn next_tag(list: &str) -> Option<(&str, &str)> {
    let list = list.trim_start_matches([' ', '\t', ',']);
    if list.is_empty() {
        return None;
    }
    let open = if list.starts_with("W/\"") {
        3
    } else if list.starts_with('"') {
        1
    } else {
        let end = list.find(',').unwrap_or(list.len());
        return Some((list[..end].trim_end(), &list[end..]));
    };
    let end = list[open..].find('"').map_or(list.len(), |i| open + i + 1);
    Some(list.split_at(end))
}

/// RFC 9110 section 8.8.3.2; ours are strong, so a weak one has `W/` before the quote and differs.
fn strong(tag: &str, etag: &str) -> bool {
    tag == etag
}

fn weak(tag: &str, etag: &str) -> bool {
    tag.strip_prefix("W/").unwrap_or(tag) == etag
}

/// A `Range` field (section 14.1) for `len` bytes.
fn evaluate(field: &str, len: u64) -> Selection {
    let Some((unit, set)) = field.split_once('=') else {
        return Selection::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    let mut ranges = Vec::new();
    let mut count = 0;
    for spec in set.split(',').map(|s| s.trim_matches([' ', '\t'])) {
        if spec.is_empty() {
            continue;
        }
        count += 1;
        let Some(spec) = Spec::parse(spec) else {
            return Selection::Whole;
        };
        if count > RANGES {
            return Selection::Whole;
        }
        match spec.resolve(len) {
            // Satisfiable, but there is nothing: `bytes=-5` of an empty file. 206 cannot tell that.
            Some(r) if r.is_empty() => return Selection::Whole,
            Some(r) => ranges.push(r),
            None => {}
        }
    }
    if count == 0 {
        return Selection::Whole;
    }
    let mut ranges = merge(&ranges);
    match ranges.len() {
        0 => Selection::NotSatisfiable,
        1 => Selection::Single(ranges.remove(0)),
        _ => Selection::Multipart(ranges),
    }
}

/// One member of the list.
enum Spec {
    From { first: u64, last: u64 },
    Suffix(u64),
}

impl Spec {
    fn parse(spec: &str) -> Option<Spec> {
        let (first, last) = spec.split_once('-')?;
        Some(match (first, last) {
            ("", suffix) => Spec::Suffix(number(suffix)?),
            (first, "") => Spec::From {
                first: number(first)?,
                last: u64::MAX,
            },
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                Spec::From { first, last }
            }
        })
    }

    /// `None` if it cannot be satisfied.
    fn resolve(&self, len: u64) -> Option<Range<u64>> {
        match *self {
            Spec::From { first, last } => {
                (first < len).then(|| first..last.saturating_add(1).min(len))
            }
            Spec::Suffix(0) => None,
            Spec::Suffix(n) => Some(len.saturating_sub(n)..len),
        }
    }
}

/// `1*DIGIT`; one past 64 bits is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// Makes one of those that overlap or touch, each in the place of its first member (section 15.3.7.2).
fn merge(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<(usize, Range<u64>)> = ranges.iter().cloned().enumerate().collect();
    sorted.sort_by_key(|(_, r)| r.start);
    let mut merged: Vec<(usize, Range<u64>)> = Vec::new();
    for (place, r) in sorted {
        match merged.last_mut() {
            Some((p, m)) if r.start <= m.end => {
                m.end = m.end.max(r.end);
                *p = place.min(*p);
            }
            _ => merged.push((place, r)),
        }
    }
    merged.sort_by_key(|(place, _)| *place);
    merged.into_iter().map(|(_, r)| r).collect()
}

fn content_range(r: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", r.start, r.end.saturating_sub(1))
}

/// The same for the same entity tag, so that a response is a function of the request. A part that holds
/// it by chance does no harm to a client that goes by `Content-Range`.
fn boundary(etag: &str) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(etag.as_bytes()))
}

/// Section 14.6.
fn parts(ranges: &[Range<u64>], boundary: &str, content_type: &str, len: u64) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(ranges.len() * 2 + 1);
    for r in ranges {
        let range = content_range(r, len);
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {range}\r\n\r\n"
        );
        pieces.push(Piece::Bytes(head.into_bytes()));
        pieces.push(Piece::Range(r.clone()));
    }
    let end = format!("\r\n--{boundary}--\r\n");
    pieces.push(Piece::Bytes(end.into_bytes()));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Headers;
    use rand_core::{RngCore, SeedableRng};
    use rand_pcg::Pcg32;

    const ETAG: &str = "\"v1,a\"";

    fn request(method: Method, fields: &[(&str, &str)]) -> Request {
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(name, value.as_bytes());
        }
        Request {
            method,
            path: "/".to_owned(),
            query: String::new(),
            headers,
            upload_bytes: None,
            body: Vec::new(),
            http_1_1: true,
        }
    }

    fn get(fields: &[(&str, &str)]) -> Selection {
        select(&request(Method::Get, fields), ETAG, 1000)
    }

    #[test]
    fn ranges() {
        use Selection::*;
        let many = |n: u64| {
            (0..n)
                .map(|i| format!("{}-{}", 10 * i, 10 * i))
                .collect::<Vec<_>>()
                .join(",")
        };
        let (most, too_many) = (format!("bytes={}", many(16)), format!("bytes={}", many(17)));
        for (field, expected) in [
            ("bytes=0-0", Single(0..1)),
            ("bytes=0-", Single(0..1000)),
            ("bytes=999-", Single(999..1000)),
            ("bytes=5-99999", Single(5..1000)),
            ("bytes=-1", Single(999..1000)),
            ("bytes=-5000", Single(0..1000)),
            ("BYTES = 1-2", Single(1..3)),
            ("bytes=0-18446744073709551615", Single(0..1000)),
            ("bytes=0-99999999999999999999999", Single(0..1000)),
            ("bytes=99999999999999999999999-", NotSatisfiable),
            ("bytes=1000-", NotSatisfiable),
            ("bytes=1000-2000,5000-", NotSatisfiable),
            ("bytes=-0", NotSatisfiable),
            ("bytes=-0, 1-2", Single(1..3)),
            ("bytes=1-2, 2000-", Single(1..3)),
            ("bytes=1-2, 7-8", Multipart(vec![1..3, 7..9])),
            ("bytes=7-8 ,\t,1-2,", Multipart(vec![7..9, 1..3])),
            (
                "bytes=500-, 0-9, 5-20, -100",
                Multipart(vec![500..1000, 0..21]),
            ),
            ("bytes=0-4,5-9", Single(0..10)),
            ("bytes=0-4,0-4,0-4", Single(0..5)),
            // No ranges at all.
            ("bytes=", Whole),
            ("bytes=,", Whole),
            ("bytes", Whole),
            ("bytes 0-1", Whole),
            ("seconds=0-1", Whole),
            ("bytes=2-1", Whole),
            ("bytes=0-1,2-1", Whole),
            ("bytes=-", Whole),
            ("bytes=1", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1--2", Whole),
            ("bytes=1 - 2", Whole),
            ("bytes=0x1-2", Whole),
            (&too_many, Whole),
        ] {
            assert_eq!(get(&[("Range", field)]), expected, "{field}");
        }
        let Multipart(ranges) = get(&[("Range", &most)]) else {
            panic!()
        };
        assert_eq!(ranges.len(), RANGES);
        // Nothing of nothing.
        for (field, expected) in [("bytes=0-", NotSatisfiable), ("bytes=-5", Whole)] {
            let r = request(Method::Get, &[("Range", field)]);
            assert_eq!(select(&r, ETAG, 0), expected);
        }
    }

    #[test]
    fn conditions() {
        use Selection::*;
        let range = ("Range", "bytes=0-1");
        let single = || Single(0..2);
        for (method, fields, expected) in [
            (Method::Get, vec![], Whole),
            (Method::Head, vec![range], Whole),
            (Method::Get, vec![range, ("If-Range", ETAG)], single()),
            (Method::Get, vec![range, ("If-Range", "\"v2\"")], Whole),
            (Method::Get, vec![range, ("If-Range", "W/\"v1,a\"")], Whole),
            (
                Method::Get,
                vec![range, ("If-Range", "Sun, 06 Nov 1994 08:49:37 GMT")],
                Whole,
            ),
            (Method::Get, vec![("If-None-Match", ETAG)], NotModified),
            (Method::Head, vec![("If-None-Match", "*")], NotModified),
            (
                Method::Get,
                vec![("If-None-Match", "\"x\" , W/\"v1,a\"")],
                NotModified,
            ),
            (
                Method::Get,
                vec![("If-None-Match", "\"x\""), ("If-None-Match", ETAG)],
                NotModified,
            ),
            (
                Method::Get,
                vec![("If-None-Match", "\"v1\", \"a\""), range],
                single(),
            ),
            (Method::Get, vec![("If-None-Match", "v1,a")], Whole),
            (Method::Get, vec![("If-None-Match", "\"v1,a")], Whole),
            (
                Method::Get,
                vec![("If-None-Match", ETAG), range],
                NotModified,
            ),
            (
                Method::Put,
                vec![("If-None-Match", "*")],
                PreconditionFailed,
            ),
            (Method::Put, vec![("If-Match", ETAG)], Whole),
            (Method::Get, vec![("If-Match", "*"), range], single()),
            (
                Method::Get,
                vec![("If-Match", "W/\"v1,a\""), range],
                PreconditionFailed,
            ),
            (Method::Get, vec![("If-Match", "\"x\"")], PreconditionFailed),
            (Method::Get, vec![("If-Match", "")], PreconditionFailed),
            (
                Method::Get,
                vec![("If-Match", "\"x\""), ("If-None-Match", ETAG)],
                PreconditionFailed,
            ),
            (
                Method::Get,
                vec![("If-Modified-Since", "Sun, 06 Nov 2094 08:49:37 GMT")],
                Whole,
            ),
            (
                Method::Get,
                vec![("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")],
                Whole,
            ),
        ] {
            assert_eq!(
                select(&request(method, &fields), ETAG, 1000),
                expected,
                "{fields:?}"
            );
        }
    }

    /// Random lists against a model that marks bytes: what is sent is what was asked for, once, and
    /// the plan's lengths and part heads are true.
    #[test]
    fn what_is_sent_is_what_was_asked_for() {
        let (mut multiparts, mut singles, mut none) = (0, 0, 0);
        for seed in 0..3000 {
            let mut rng = Pcg32::seed_from_u64(seed);
            let len = u64::from(rng.next_u32() % 40) + 1;
            let mut wanted = vec![false; len as usize];
            let mut specs = Vec::new();
            for _ in 0..=rng.next_u32() % 8 {
                let a = u64::from(rng.next_u32() % 60);
                let b = a + u64::from(rng.next_u32() % 6);
                let (spec, range) = match rng.next_u32() % 4 {
                    0 => (format!("-{}", a % 9), len.saturating_sub(a % 9)..len),
                    1 if a > 20 => (format!("{a}-"), a..len),
                    _ => (format!("{a}-{b}"), a..b + 1),
                };
                specs.push(spec);
                for (i, w) in wanted.iter_mut().enumerate() {
                    *w |= range.contains(&(i as u64));
                }
            }
            let field = format!("bytes={}", specs.join(","));
            let request = request(Method::Get, &[("Range", &field)]);
            let plan = plan(
                &request,
                &Representation {
                    etag: ETAG,
                    len,
                    content_type: "video/mp4".into(),
                },
            );
            let mut sent = vec![false; len as usize];
            let mut total = 0;
            let mut ranges = 0;
            let mut text = Vec::new();
            for piece in &plan.pieces {
                match piece {
                    Piece::Bytes(b) => {
                        total += b.len() as u64;
                        text.extend_from_slice(b);
                    }
                    Piece::Range(r) => {
                        assert!(!r.is_empty() && r.end <= len, "{field}");
                        total += r.end - r.start;
                        ranges += 1;
                        for i in r.clone() {
                            assert!(!sent[i as usize], "{field}: byte {i} twice");
                            sent[i as usize] = true;
                        }
                    }
                }
            }
            assert_eq!(sent, wanted, "{field} of {len}");
            match plan.head.status {
                Status::RangeNotSatisfiable => {
                    none += 1;
                    assert_eq!(
                        plan.head.get("content-range"),
                        Some(&*format!("bytes */{len}"))
                    );
                    assert_eq!(plan.size, BodySize::None);
                    continue;
                }
                Status::PartialContent if ranges == 1 => {
                    singles += 1;
                    assert!(text.is_empty() && plan.head.get("content-range").is_some());
                    assert_eq!(plan.head.get("content-type"), Some("video/mp4"));
                }
                Status::PartialContent => {
                    multiparts += 1;
                    let boundary = boundary(ETAG);
                    let text = String::from_utf8(text).unwrap();
                    assert_eq!(
                        text.matches(&format!("\r\n--{boundary}\r\n")).count(),
                        ranges
                    );
                    assert!(text.ends_with(&format!("\r\n--{boundary}--\r\n")));
                    assert_eq!(text.matches(&format!("/{len}\r\n\r\n")).count(), ranges);
                    assert!(plan.head.get("content-range").is_none());
                }
                other => panic!("{field}: {other:?}"),
            }
            assert_eq!(plan.size, BodySize::Known(total), "{field}");
        }
        assert!(
            multiparts > 500 && singles > 300 && none > 50,
            "{multiparts} {singles} {none}"
        );
    }

    #[test]
    fn a_multipart_body_as_it_is_sent() {
        let r = request(Method::Get, &[("Range", "bytes=900-, 0-1")]);
        let representation = Representation {
            etag: "\"e\"",
            len: 5_000_000_000,
            content_type: "text/plain".into(),
        };
        let plan = plan(&r, &representation);
        let b = boundary("\"e\"");
        let head = |range| {
            format!(
                "\r\n--{b}\r\nContent-Type: text/plain\r\nContent-Range: bytes {range}/5000000000\r\n\r\n"
            )
        };
        assert_eq!(
            plan.pieces,
            [
                Piece::Bytes(head("900-4999999999").into_bytes()),
                Piece::Range(900..5_000_000_000),
                Piece::Bytes(head("0-1").into_bytes()),
                Piece::Range(0..2),
                Piece::Bytes(format!("\r\n--{b}--\r\n").into_bytes()),
            ]
        );
        let content_type = plan.head.get("content-type").unwrap();
        assert_eq!(content_type, format!("multipart/byteranges; boundary={b}"));
    }
}
