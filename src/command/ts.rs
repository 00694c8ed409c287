//! `moonfire-nvr ts`: times as people write them and as the API and the database count them.

use super::{Exit, Failure};
use crate::ConfigArgs;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use moonfire_nvr::time::Wall90k;

/// Convert times: between 1/90,000 seconds since 1970, as the API and the database count them, and
/// dates.
///
/// Each TIME is a whole number of 1/90,000 s, or a date: "2026-11-22T10:00:00Z", or without a zone
/// "2026-11-22T10:00" or "2026-11-22", then in the configuration's zone (the system's, if there is no
/// configuration). Each is printed as number, date in that zone and date in UTC.
#[derive(clap::Args)]
pub struct Ts {
    #[command(flatten)]
    config: ConfigArgs,

    /// What to convert.
    #[arg(value_name = "TIME", required = true, allow_negative_numbers = true)]
    times: Vec<String>,
}

pub fn run(args: Ts) -> Result<Exit, Failure> {
    let zone = match args.config.config.exists() {
        true => args.config.load()?.time_zone,
        false => TimeZone::try_system().unwrap_or(TimeZone::UTC),
    };
    for text in &args.times {
        let wall = parse(text, &zone).map_err(Failure::Usage)?;
        println!("{}", show(wall, &zone));
    }
    Ok(Exit::Fine)
}

/// A time as people write it: a number of 1/90,000 s, RFC 3339, or a date (and time) in `zone`.
pub fn parse(text: &str, zone: &TimeZone) -> Result<Wall90k, String> {
    if let Ok(ticks) = text.parse() {
        return Ok(Wall90k(ticks));
    }
    let timestamp = text
        .parse::<Timestamp>()
        .or_else(|e| match text.parse::<DateTime>() {
            // The earlier of two, where clocks were put back.
            Ok(local) => zone.to_timestamp(local),
            Err(_) => Err(e),
        });
    let timestamp = timestamp.map_err(|_| {
        format!(
            "\"{text}\" is no time; write a number of 1/90,000 s, \"2026-11-22T10:00:00Z\" \
             or \"2026-11-22T10:00\""
        )
    })?;
    // jiff's years end at 9999: this fits.
    let ticks = (timestamp.as_nanosecond() * 90).div_euclid(1_000_000);
    Ok(Wall90k(ticks as i64))
}

/// As number and, if the calendar has it, in `zone` and in UTC.
fn show(wall: Wall90k, zone: &TimeZone) -> String {
    let timestamp = Timestamp::new(wall.unix_secs(), wall.subsec_nanos() as i32);
    match timestamp {
        Ok(t) => {
            let local = Zoned::new(t, zone.clone());
            format!(
                "{}  {}  {wall}",
                wall.0,
                local.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z")
            )
        }
        Err(_) => format!("{}  beyond the calendar", wall.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_ticks_both_ways() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let ten = Wall90k::from_unix_secs(1_795_341_600);
        for text in [
            "161580744000000",
            "2026-11-22T10:00:00Z",
            "2026-11-22T11:00",
            "2026-11-22 11:00:00",
            "2026-11-22T12:00:00+02:00",
        ] {
            assert_eq!(parse(text, &zone), Ok(ten), "{text}");
        }
        assert_eq!(
            show(ten, &zone),
            "161580744000000  2026-11-22T11:00:00.000+01:00  2026-11-22T10:00:00.000Z"
        );
        // A third of a second comes back to the tick.
        assert_eq!(parse("1970-01-01T00:00:00.5Z", &zone), Ok(Wall90k(45_000)));
        assert_eq!(parse("-90000", &zone), Ok(Wall90k(-90_000)));
        assert_eq!(
            parse("2026-07-01", &zone),
            parse("2026-06-30T22:00:00Z", &zone)
        );
    }

    #[test]
    fn what_is_no_time_is_told() {
        let told = parse("yesterday", &TimeZone::UTC).unwrap_err();
        assert!(told.contains("\"yesterday\" is no time"), "{told}");
        assert_eq!(
            show(Wall90k(i64::MAX), &TimeZone::UTC),
            format!("{}  beyond the calendar", i64::MAX)
        );
    }
}
