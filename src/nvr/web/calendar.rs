//! Every stream's days with something recorded, made after the start and kept true since.
//!
//! The database is read once, page by page; meanwhile what it commits comes with a later page, or is
//! added if its stream was read to the end.

use super::days::Days;
use super::picture::Thumbnails;
use crate::db::{self, MAX_SPANS, Span};
use crate::nvr::port::Severity;
use crate::nvr::{DbPurpose, Nvr};
use crate::recording::{RecordingId, StreamId};
use crate::time::{Duration90k, Now, Wall90k};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// See the module.
#[derive(Default)]
pub struct Calendar {
    days: BTreeMap<StreamId, Days>,
    /// Streams that were not read to the end, the first of which is being read from a sequence number
    /// on.
    unread: VecDeque<StreamId>,
    from_sequence: u32,
    /// [`Self::begin`] was called.
    begun: bool,
}

/// The next page to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    pub stream: StreamId,
    pub from_sequence: u32,
    pub limit: usize,
}

impl Calendar {
    /// Everything is to be read, anew if it was before.
    pub fn begin(&mut self, streams: impl Iterator<Item = StreamId>) {
        *self = Calendar {
            unread: streams.collect(),
            begun: true,
            ..Calendar::default()
        };
    }

    /// So are streams that are new, beside what is known or being read. True if something is to be read
    /// and nothing is yet.
    pub fn add(&mut self, streams: impl Iterator<Item = StreamId>) -> bool {
        let idle = self.unread.is_empty();
        for stream in streams {
            if !self.days.contains_key(&stream) && !self.unread.contains(&stream) {
                self.unread.push_back(stream);
            }
        }
        idle && !self.unread.is_empty()
    }

    /// A stream is gone for good.
    pub fn forget(&mut self, stream: StreamId) {
        self.days.remove(&stream);
    }

    /// The rest cannot be read: there are no more days than are known.
    pub fn give_up(&mut self) {
        self.unread.clear();
    }

    pub fn is_ready(&self) -> bool {
        self.begun && self.unread.is_empty()
    }

    pub fn days(&self) -> &BTreeMap<StreamId, Days> {
        &self.days
    }

    /// What is to be read next.
    pub fn next_page(&self) -> Option<Page> {
        self.unread.front().map(|&stream| Page {
            stream,
            from_sequence: self.from_sequence,
            limit: MAX_SPANS,
        })
    }

    /// A page was read.
    pub fn page_read(&mut self, zone: &TimeZone, page: Page, spans: &[Span]) {
        if self.next_page() != Some(page) {
            // It was begun anew meanwhile.
            return;
        }
        let days = self.days.entry(page.stream).or_default();
        for s in spans {
            days.add(zone, &(s.start..s.start + s.wall_duration));
        }
        match spans.last() {
            Some(last) if spans.len() >= page.limit => self.from_sequence = last.sequence + 1,
            _ => {
                self.unread.pop_front();
                self.from_sequence = 0;
            }
        }
    }

    /// A recording was committed.
    pub fn committed(&mut self, zone: &TimeZone, stream: StreamId, start: Wall90k, d: Duration90k) {
        if self.unread.contains(&stream) {
            return;
        }
        if let Some(days) = self.days.get_mut(&stream) {
            days.add(zone, &(start..start + d));
        }
    }

    /// A recording was given up, before what is read next.
    pub fn deleted(&mut self, zone: &TimeZone, id: RecordingId, time: &Range<Wall90k>) {
        let counted = match self.unread.front() {
            Some(stream) if *stream == id.stream => id.sequence < self.from_sequence,
            _ => true,
        };
        if let Some(days) = self.days.get_mut(&id.stream).filter(|_| counted) {
            days.remove(zone, time);
        }
    }
}

impl Nvr {
    /// Reads what there is, anew if it was read before.
    pub(in crate::nvr) fn begin_calendar(&mut self) {
        self.web.layouts.forget_all();
        self.web.thumbnails = Thumbnails::default();
        self.web.calendar.begin(self.streams.keys().copied());
        self.read_calendar();
    }

    /// There may be streams that are new.
    pub(in crate::nvr) fn add_to_calendar(&mut self) {
        if self.web.calendar.add(self.streams.keys().copied()) {
            self.read_calendar();
        }
    }

    fn read_calendar(&mut self) {
        let Some(page) = self.web.calendar.next_page() else {
            return;
        };
        let id = self.out.db(db::Request::Spans {
            stream: page.stream,
            from_sequence: page.from_sequence,
            limit: page.limit,
        });
        self.requests.insert(id, DbPurpose::Calendar(page));
    }

    /// A page was read, or could not be.
    pub(in crate::nvr) fn calendar_read(
        &mut self,
        now: Now,
        page: Page,
        result: Result<db::Reply, db::Error>,
    ) {
        if self.web.calendar.next_page() != Some(page) {
            // It was begun anew meanwhile.
            return;
        }
        match result {
            Ok(db::Reply::Spans(spans)) => {
                let zone = &self.config.time_zone;
                self.web.calendar.page_read(zone, page, &spans);
            }
            Ok(_) => {}
            Err(e) => {
                let message = format!("the days with recordings are not known: {e}");
                self.out.log(Severity::Error, "database", message);
                // Those who wait are answered with what there is.
                self.web.calendar.give_up();
            }
        }
        self.read_calendar();
        if self.web.calendar.is_ready() {
            self.calendar_is_ready(now);
        }
    }

    /// A commit has succeeded.
    pub(in crate::nvr) fn calendar_committed(&mut self, flush: &db::Flush, gone: &[db::Garbage]) {
        // What is moved, or came late, lies elsewhere than was thought.
        if flush.restamp.is_some() || !flush.late.is_empty() {
            return self.begin_calendar();
        }
        let zone = &self.config.time_zone;
        for (_, r) in &flush.recordings {
            let calendar = &mut self.web.calendar;
            calendar.committed(zone, r.id.stream, r.start, r.wall_duration);
        }
        for g in gone {
            if let Some((start, end)) = g.time {
                self.web.calendar.deleted(zone, g.id, &(start..end));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration90k = Duration90k::from_secs(3600);

    fn span(sequence: u32) -> Span {
        Span {
            sequence,
            start: Wall90k::from_unix_secs(1_700_000_000)
                + Duration90k(HOUR.0 * i64::from(sequence)),
            wall_duration: HOUR,
        }
    }

    fn recorded(c: &Calendar, stream: StreamId) -> i64 {
        let days = c.days().get(&stream).cloned().unwrap_or_default();
        let utc = TimeZone::UTC;
        let all = days.iter(&utc).map(|d| d.recorded.0);
        all.sum::<i64>() / HOUR.0
    }

    #[test]
    fn it_is_read_page_by_page_and_each_recording_counts_once() {
        let zone = TimeZone::UTC;
        let (a, b) = (StreamId(1), StreamId(2));
        let mut c = Calendar::default();
        assert!(!c.is_ready() && c.next_page().is_none());
        c.begin([a, b].into_iter());
        let page = c.next_page().unwrap();
        assert_eq!((page.stream, page.from_sequence), (a, 0));
        // Committed while it is being read: it comes with a page.
        c.committed(&zone, a, span(9).start, HOUR);
        let limit = 2;
        let small = |p: Page| Page { limit, ..p };
        // A full page asks for the next one.
        c.page_read(
            &zone,
            page,
            &(0..MAX_SPANS as u32).map(span).collect::<Vec<_>>(),
        );
        let next = c.next_page().unwrap();
        assert_eq!((next.stream, next.from_sequence), (a, MAX_SPANS as u32));
        assert_ne!(small(next), next);
        c.page_read(&zone, small(next), &[]); // Not the one that was asked for.
        assert_eq!(c.next_page(), Some(next));
        c.page_read(&zone, next, &[span(MAX_SPANS as u32)]);
        assert_eq!(recorded(&c, a), MAX_SPANS as i64 + 1);
        c.committed(&zone, a, span(20_000).start, HOUR);
        assert_eq!(recorded(&c, a), MAX_SPANS as i64 + 2);
        let time = |s: Span| s.start..s.start + s.wall_duration;
        let id = |stream, sequence| RecordingId { stream, sequence };
        c.deleted(&zone, id(a, 0), &time(span(0)));
        assert_eq!(recorded(&c, a), MAX_SPANS as i64 + 1);
        // What is deleted ahead of being read will not be read.
        c.deleted(&zone, id(b, 0), &time(span(0)));
        c.page_read(&zone, c.next_page().unwrap(), &[span(1)]);
        assert_eq!(recorded(&c, b), 1);
        assert!(c.is_ready());
    }
}
