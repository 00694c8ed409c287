//! What `s=` of a `view.mp4` asks for: `START_ID[-END_ID][@OPEN_ID][.[REL_START]-[REL_END]]`.

use crate::recording::OpenId;
use crate::time::Duration90k;
use std::ops::{Range, RangeInclusive};

/// Parts that one request may ask for.
pub const MAX_PARTS: usize = 1_000;

/// One part: recordings of a stream, and what of their time on end is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first and the last recording, by sequence number.
    pub ids: RangeInclusive<u32>,
    /// The recordings must be of this open: a client that holds ids of what was not yet committed
    /// so finds out that others have taken their place.
    pub open: Option<OpenId>,
    /// From the start of the first recording, over all of them.
    pub time: Range<Duration90k>,
}

impl Part {
    /// Reads one; `None` if it is none.
    pub fn parse(s: &str) -> Option<Part> {
        let (ids, time) = match s.split_once('.') {
            Some((ids, time)) => (ids, time),
            None => (s, "-"),
        };
        let (ids, open) = match ids.split_once('@') {
            Some((ids, open)) => (ids, Some(OpenId(number(open)?))),
            None => (ids, None),
        };
        let (first, last) = ids.split_once('-').unwrap_or((ids, ids));
        let (first, last) = (number(first)?, number(last)?);
        let (start, end) = time.split_once('-')?;
        let wanted = Range {
            start: Duration90k(if start.is_empty() { 0 } else { number(start)? }),
            end: Duration90k(if end.is_empty() {
                i64::MAX
            } else {
                number(end)?
            }),
        };
        (first <= last && wanted.start < wanted.end).then_some(Part {
            ids: first..=last,
            open,
            time: wanted,
        })
    }
}

/// A number in decimal digits alone.
fn number<T: std::str::FromStr>(s: &str) -> Option<T> {
    let digits = !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| s.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_as_clients_write_them() {
        let part = |first, last, open: Option<u32>, start, end| {
            Some(Part {
                ids: first..=last,
                open: open.map(OpenId),
                time: Duration90k(start)..Duration90k(end),
            })
        };
        for (text, expected) in [
            ("7", part(7, 7, None, 0, i64::MAX)),
            ("7-9", part(7, 9, None, 0, i64::MAX)),
            ("7-9@2", part(7, 9, Some(2), 0, i64::MAX)),
            ("7-9@2.90000-", part(7, 9, Some(2), 90_000, i64::MAX)),
            ("7.-180000", part(7, 7, None, 0, 180_000)),
            ("7.1-2", part(7, 7, None, 1, 2)),
            ("7.-", part(7, 7, None, 0, i64::MAX)),
            ("7.", None),
            ("", None),
            ("-7", None),
            ("9-7", None),
            ("7.2-1", None),
            ("7@", None),
            ("+7", None),
            ("7.1", None),
            ("4294967296", None),
        ] {
            assert_eq!(Part::parse(text), expected, "{text:?}");
        }
    }
}
