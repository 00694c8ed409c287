//! How much was recorded on each day, as the calendar of the server's zone has them.
//!
//! Kept up to date as recordings come and go; a stream's older ones are read once, page by page, after
//! the start. A day is as long as the clocks make it: 23, 24 or 25 hours.

use crate::time::{Duration90k, TICKS_PER_SECOND, Wall90k};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use std::collections::BTreeMap;
use std::ops::Range;

/// Days that one recording may touch; a longer one is no recording of ours.
const MAX_DAYS_TOUCHED: usize = 32;

/// A stream's days with something recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Days(BTreeMap<Date, Duration90k>);

/// A day with something recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    pub date: Date,
    /// From its first midnight to the next.
    pub span: Range<Wall90k>,
    pub recorded: Duration90k,
}

impl Days {
    /// A recording was added.
    pub fn add(&mut self, zone: &TimeZone, span: &Range<Wall90k>) {
        for (date, part) in split(zone, span) {
            *self.0.entry(date).or_default() += part;
        }
    }

    /// A recording that was added before is gone.
    pub fn remove(&mut self, zone: &TimeZone, span: &Range<Wall90k>) {
        for (date, part) in split(zone, span) {
            if let Some(recorded) = self.0.get_mut(&date) {
                *recorded -= part;
                if *recorded <= Duration90k::ZERO {
                    self.0.remove(&date);
                }
            }
        }
    }

    /// All days with something recorded, in order.
    pub fn iter(&self, zone: &TimeZone) -> impl Iterator<Item = Day> {
        self.0.iter().filter_map(|(&date, &recorded)| {
            Some(Day {
                date,
                span: span_of(zone, date)?,
                recorded,
            })
        })
    }
}

/// The days that a span touches, and how much of it is in each.
fn split(zone: &TimeZone, span: &Range<Wall90k>) -> Vec<(Date, Duration90k)> {
    let mut parts = Vec::with_capacity(1);
    let mut at = span.start;
    while at < span.end && parts.len() < MAX_DAYS_TOUCHED {
        let second = at.0.div_euclid(TICKS_PER_SECOND);
        let Ok(time) = Timestamp::from_second(second) else {
            break;
        };
        let date = zone.to_datetime(time).date();
        let Some(day) = span_of(zone, date) else {
            break;
        };
        let end = day.end.min(span.end);
        if end <= at {
            break;
        }
        parts.push((date, end - at));
        at = end;
    }
    parts
}

/// From a day's first midnight to the next.
fn span_of(zone: &TimeZone, date: Date) -> Option<Range<Wall90k>> {
    let midnight = |date: Date| {
        let zoned = date.to_zoned(zone.clone()).ok()?;
        Some(Wall90k(zoned.timestamp().as_second() * TICKS_PER_SECOND))
    };
    Some(midnight(date)?..midnight(date.checked_add(1.day()).ok()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(zone: &TimeZone, text: &str) -> Wall90k {
        let time: jiff::civil::DateTime = text.parse().unwrap();
        let zoned = time.to_zoned(zone.clone()).unwrap();
        Wall90k(zoned.timestamp().as_second() * TICKS_PER_SECOND)
    }

    fn hours(days: &Days, zone: &TimeZone) -> Vec<(String, i64, i64)> {
        let hours = |d: Duration90k| d.0 / TICKS_PER_SECOND / 3600;
        days.iter(zone)
            .map(|d| {
                let length = d.span.end - d.span.start;
                (d.date.to_string(), hours(d.recorded), hours(length))
            })
            .collect()
    }

    #[test]
    fn a_recording_over_midnight_is_of_both_days() {
        let zone = TimeZone::get("Europe/Zurich").unwrap();
        let span = at(&zone, "2026-11-21T22:00")..at(&zone, "2026-11-22T03:00");
        let mut days = Days::default();
        days.add(&zone, &span);
        assert_eq!(
            hours(&days, &zone),
            [
                ("2026-11-21".to_owned(), 2, 24),
                ("2026-11-22".to_owned(), 3, 24)
            ]
        );
        days.remove(&zone, &span);
        assert_eq!(days, Days::default());
    }

    #[test]
    fn days_at_clock_changes_have_23_and_25_hours() {
        let zone = TimeZone::get("Europe/Zurich").unwrap();
        for (day, next, length) in [
            ("2026-03-29T00:00", "2026-03-30T00:00", 23),
            ("2026-10-25T00:00", "2026-10-26T00:00", 25),
        ] {
            let mut days = Days::default();
            days.add(&zone, &(at(&zone, day)..at(&zone, next)));
            assert_eq!(
                hours(&days, &zone),
                [(day[..10].to_owned(), length, length)]
            );
        }
    }

    #[test]
    fn times_that_no_calendar_has_cost_nothing() {
        let mut days = Days::default();
        days.add(&TimeZone::UTC, &(Wall90k(i64::MAX - 5)..Wall90k(i64::MAX)));
        days.add(&TimeZone::UTC, &(Wall90k(0)..Wall90k(i64::MAX)));
        assert_eq!(days.iter(&TimeZone::UTC).count(), MAX_DAYS_TOUCHED);
    }
}
