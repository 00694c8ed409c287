//! The newest lines of the log, kept in memory for those who look at it in the page: the log itself goes to
//! syslog, which may be far away.
//!
//! Bounded by bytes; the oldest lines go first. Lines about requests have a budget of their own, as there may
//! be many of them: they push no other out.

use super::port::{LogRecord, Severity};
use crate::time::Wall90k;
use std::collections::VecDeque;

/// Lines about requests, and all others, take at most so many bytes each.
const MAX_BYTES: usize = 128 << 10;

/// Of longer messages the rest is not kept.
const MAX_MESSAGE_BYTES: usize = 2048;

/// What a line takes besides its message and the camera's name.
const LINE_BYTES: usize = size_of::<Line>();

/// The event of lines about requests.
pub const ACCESS: &str = "access";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Lines are numbered from 1 on since the program started.
    pub number: u64,
    pub time: Wall90k,
    pub record: LogRecord,
}

/// Which lines are wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Only lines with higher numbers.
    pub after: u64,
    /// This bad or worse.
    pub severity: Severity,
    /// About this camera.
    pub camera: Option<String>,
    /// With these words in the message, the event or the camera's name, in whatever case.
    pub text: Option<String>,
    /// The newest ones, if there are more.
    pub limit: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct LogBook {
    last: u64,
    events: Shelf,
    accesses: Shelf,
    /// Somebody waits for a line, and one has come.
    awaited: bool,
    came: bool,
}

#[derive(Debug, Default)]
struct Shelf {
    lines: VecDeque<Line>,
    bytes: usize,
    /// The number of the newest line that went.
    gone: u64,
}

impl LogBook {
    /// Takes a line in. Lines for those who look for faults in the program are not kept.
    pub fn add(&mut self, time: Wall90k, record: &LogRecord) {
        if record.severity == Severity::Debug {
            return;
        }
        self.last += 1;
        self.came = self.awaited;
        let end = (0..=MAX_MESSAGE_BYTES.min(record.message.len()))
            .rev()
            .find(|&at| record.message.is_char_boundary(at));
        let line = Line {
            number: self.last,
            time,
            // A copy of what is kept, and of no more: a longer one would keep its memory.
            record: LogRecord {
                message: record.message[..end.unwrap_or(0)].to_owned(),
                camera: record.camera.clone(),
                ..*record
            },
        };
        match line.record.event {
            ACCESS => self.accesses.add(line),
            _ => self.events.add(line),
        }
    }

    /// Somebody waits for the next line.
    pub fn await_next(&mut self) {
        self.awaited = true;
    }

    /// Whether a line has come that was waited for; told once.
    pub fn take_news(&mut self) -> bool {
        self.awaited &= !self.came;
        std::mem::take(&mut self.came)
    }

    /// The number of the newest line; 0 before the first.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The lines that are wanted, oldest first, and whether some of them are not kept or told any more.
    pub fn find(&self, wanted: &Wanted) -> (Vec<&Line>, bool) {
        let text = wanted.text.as_ref().map(|t| t.to_lowercase());
        let fits = |line: &&Line| {
            let r = &line.record;
            let camera = r.camera.as_deref();
            r.severity <= wanted.severity
                && wanted.camera.as_deref().is_none_or(|c| camera == Some(c))
                && text.as_deref().is_none_or(|text| {
                    [r.message.as_str(), r.event, camera.unwrap_or_default()]
                        .iter()
                        .any(|field| field.to_lowercase().contains(text))
                })
        };
        let shelves = [&self.events, &self.accesses];
        let mut lines: Vec<&Line> = shelves
            .iter()
            .flat_map(|shelf| shelf.lines.iter().rev())
            .filter(|line| line.number > wanted.after)
            .filter(fits)
            .collect();
        lines.sort_unstable_by_key(|line| line.number);
        let excess = lines.len().saturating_sub(wanted.limit);
        lines.drain(..excess);
        let gone = shelves.iter().any(|shelf| shelf.gone > wanted.after);
        (lines, excess > 0 || gone)
    }
}

impl Shelf {
    fn add(&mut self, line: Line) {
        self.bytes += bytes(&line);
        self.lines.push_back(line);
        while self.bytes > MAX_BYTES {
            match self.lines.pop_front() {
                Some(oldest) => {
                    self.bytes -= bytes(&oldest);
                    self.gone = oldest.number;
                }
                None => return,
            }
        }
    }
}

fn bytes(line: &Line) -> usize {
    let r = &line.record;
    LINE_BYTES + r.message.len() + r.camera.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &'static str, severity: Severity, message: &str) -> LogRecord {
        LogRecord {
            severity,
            event,
            camera: (event != ACCESS).then(|| "Driveway".to_owned()),
            stream: None,
            message: message.to_owned(),
        }
    }

    fn all() -> Wanted {
        Wanted {
            after: 0,
            severity: Severity::Info,
            camera: None,
            text: None,
            limit: 1_000_000,
        }
    }

    fn numbers(book: &LogBook, wanted: &Wanted) -> (Vec<u64>, bool) {
        let (lines, lost) = book.find(wanted);
        (lines.iter().map(|l| l.number).collect(), lost)
    }

    #[test]
    fn lines_are_found_by_what_is_asked_for() {
        let mut book = LogBook::default();
        for record in [
            line("recording", Severity::Info, "1920x1080"),
            line("detail", Severity::Debug, "not for people"),
            line(ACCESS, Severity::Info, "192.0.2.7 - GET /api/ 200"),
            line("camera-lost", Severity::Warning, "it does not answer"),
        ] {
            book.add(Wall90k(5), &record);
        }
        assert_eq!(book.last(), 3);
        assert_eq!(numbers(&book, &all()), (vec![1, 2, 3], false));
        for (wanted, found) in [
            (Wanted { after: 2, ..all() }, vec![3]),
            (
                Wanted {
                    severity: Severity::Warning,
                    ..all()
                },
                vec![3],
            ),
            (
                Wanted {
                    camera: Some("Driveway".to_owned()),
                    ..all()
                },
                vec![1, 3],
            ),
            (
                Wanted {
                    text: Some("DRIVE".to_owned()),
                    ..all()
                },
                vec![1, 3],
            ),
            (
                Wanted {
                    text: Some("get /api".to_owned()),
                    ..all()
                },
                vec![2],
            ),
        ] {
            assert_eq!(numbers(&book, &wanted), (found, false), "{wanted:?}");
        }
        let newest = Wanted { limit: 2, ..all() };
        assert_eq!(numbers(&book, &newest), (vec![2, 3], true));
    }

    #[test]
    fn many_requests_push_nothing_else_out() {
        let mut book = LogBook::default();
        book.add(Wall90k(1), &line("camera-lost", Severity::Warning, "gone"));
        for _ in 0..10_000 {
            book.add(Wall90k(2), &line(ACCESS, Severity::Info, "GET /"));
        }
        assert!(book.accesses.bytes <= MAX_BYTES);
        let (found, lost) = numbers(&book, &all());
        assert!(lost);
        assert_eq!((found[0], *found.last().unwrap()), (1, 10_001));
        let since = Wanted {
            after: 9_990,
            ..all()
        };
        assert_eq!(numbers(&book, &since), ((9_991..=10_001).collect(), false));
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let mut book = LogBook::default();
        let long = "\u{20ac}".repeat(MAX_MESSAGE_BYTES);
        book.add(Wall90k(1), &line("long", Severity::Error, &long));
        let (lines, _) = book.find(&all());
        let kept = &lines[0].record.message;
        assert!(long.starts_with(kept) && kept.len() > MAX_MESSAGE_BYTES - 3);
        assert!(kept.capacity() <= MAX_MESSAGE_BYTES);
    }
}
