//! Spans of time as people write them on the command line.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use moonfire_nvr::time::{TICKS_PER_SECOND, Wall90k};
use std::ops::Range;

/// Which end of a span. An hour that happens twice, when summer time ends, is taken in whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    From,
    To,
}

/// Understands `--from` and `--to`.
///
/// Each may be RFC 3339 with its offset (`2026-11-22T10:00:00Z`, `...+01:00`) or a time in `zone`
/// (`2026-11-22T10:00`, `2026-11-22 10:00:30.5`, `2026-11-22` for its first moment); `to` also a
/// time of day alone (`10:05`), on the same day as `from`.
pub fn parse(from: &str, to: &str, zone: &TimeZone) -> Result<Range<Wall90k>, String> {
    let start = moment(from, zone, End::From).ok_or_else(|| refuse("--from", from))?;
    let end = match to.parse::<Time>() {
        Ok(time) if !to.contains(['-', 'T', 't', 'Z', 'z', '+']) => {
            let day = Zoned::new(start, zone.clone()).date();
            in_zone(day.to_datetime(time), zone, End::To).ok_or_else(|| refuse("--to", to))?
        }
        _ => moment(to, zone, End::To).ok_or_else(|| refuse("--to", to))?,
    };
    if end <= start {
        let told = |t: Timestamp| Zoned::new(t, zone.clone()).strftime("%F %T %Z").to_string();
        return Err(format!(
            "the span ends ({}) before it begins ({})",
            told(end),
            told(start)
        ));
    }
    Ok(wall(start)..wall(end))
}

fn refuse(option: &str, given: &str) -> String {
    format!(
        "{option} {given:?} is no time: write 2026-11-22T10:00, 2026-11-22T10:00:30.5 or RFC 3339 \
         (2026-11-22T10:00:00+01:00); --to may also be 10:05, on the same day"
    )
}

fn moment(text: &str, zone: &TimeZone, end: End) -> Option<Timestamp> {
    // One with an offset first: without, it is no timestamp.
    if let Ok(t) = text.parse::<Timestamp>() {
        return Some(t);
    }
    in_zone(text.parse::<DateTime>().ok()?, zone, end)
}

fn in_zone(t: DateTime, zone: &TimeZone, end: End) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(t);
    match end {
        End::From => ambiguous.earlier().ok(),
        End::To => ambiguous.later().ok(),
    }
}

/// A moment as recordings count it.
pub fn wall(t: Timestamp) -> Wall90k {
    let ticks = i128::from(TICKS_PER_SECOND) * t.as_nanosecond() / 1_000_000_000;
    Wall90k(ticks as i64) // Years -9999 to 9999 fit.
}

/// A wall time for people, in `zone`, to the second.
pub fn told(t: Wall90k, zone: &TimeZone) -> String {
    match Timestamp::new(t.unix_secs(), t.subsec_nanos() as i32) {
        Ok(t) => Zoned::new(t, zone.clone()).strftime("%F %T").to_string(),
        Err(_) => t.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(from: &str, to: &str, zone: &str) -> (String, String) {
        let span = parse(from, to, &TimeZone::get(zone).unwrap()).unwrap();
        (span.start.to_string(), span.end.to_string())
    }

    #[test]
    fn times_are_in_the_zone_or_have_their_own() {
        let in_berlin = |from, to| parsed(from, to, "Europe/Berlin");
        let nine = ("2026-11-22T09:00:00.000Z", "2026-11-22T09:05:30.500Z");
        let nine = (nine.0.to_owned(), nine.1.to_owned());
        for (from, to) in [
            ("2026-11-22T10:00", "10:05:30.5"),
            ("2026-11-22 10:00:00", "2026-11-22T10:05:30.5"),
            ("2026-11-22T09:00:00Z", "10:05:30.5"),
            ("2026-11-22T04:00:00-05:00", "2026-11-22T09:05:30.5Z"),
        ] {
            assert_eq!(in_berlin(from, to), nine, "{from} {to}");
        }
        let day = ("2026-11-21T23:00:00.000Z", "2026-11-22T23:00:00.000Z");
        let (start, end) = in_berlin("2026-11-22", "2026-11-23");
        assert_eq!((start.as_str(), end.as_str()), day);
    }

    #[test]
    fn an_hour_that_happens_twice_is_taken_whole() {
        // 2026-10-25: 02:00 to 03:00 in summer time, then again.
        let (start, end) = parsed("2026-10-25T02:00", "02:59", "Europe/Berlin");
        assert_eq!(start, "2026-10-25T00:00:00.000Z");
        assert_eq!(end, "2026-10-25T01:59:00.000Z");
    }

    #[test]
    fn what_is_no_span_is_refused() {
        let error = |from, to| parse(from, to, &TimeZone::UTC).unwrap_err();
        assert!(error("yesterday", "10:05").contains("--from \"yesterday\" is no time"));
        assert!(error("10:00", "10:05").contains("--from \"10:00\" is no time"));
        assert!(error("2026-11-22T10:00", "soon").contains("--to \"soon\" is no time"));
        assert_eq!(
            error("2026-11-22T10:00", "09:00"),
            "the span ends (2026-11-22 09:00:00 UTC) before it begins (2026-11-22 10:00:00 UTC)"
        );
        assert!(error("2026-11-22T10:00", "10:00").contains("before it begins"));
    }
}
