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
