//! Sizes, times and rates in words.

use moonfire_nvr::time::Duration90k;

/// "1.2 TB", three digits at most.
pub fn size(bytes: i64) -> String {
    let (sign, bytes) = match bytes < 0 {
        true => ("-", bytes.unsigned_abs()),
        false => ("", bytes.unsigned_abs()),
    };
    for (unit, name) in [
        (1_000_000_000_000_u64, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "kB"),
    ] {
        // What would be rounded up to it counts as it.
        if bytes as f64 >= unit as f64 * 0.9995 {
            return format!("{sign}{} {name}", three_digits(bytes as f64 / unit as f64));
        }
    }
    format!("{sign}{bytes} B")
}

/// "4.2 Mbit/s".
pub fn rate(bits_per_second: u64) -> String {
    match bits_per_second {
        0..1_000 => format!("{bits_per_second} bit/s"),
        1_000..1_000_000 => format!("{} kbit/s", three_digits(bits_per_second as f64 / 1e3)),
        _ => format!("{} Mbit/s", three_digits(bits_per_second as f64 / 1e6)),
    }
}

fn three_digits(n: f64) -> String {
    match n {
        _ if n >= 99.95 => format!("{n:.0}"),
        _ if n >= 9.995 => format!("{n:.1}"),
        _ => format!("{n:.2}"),
    }
}

/// "12 days", "1.5 days", "5 hours".
pub fn days(days: f64) -> String {
    match days {
        _ if days >= 730.0 => format!("{:.1} years", days / 365.25),
        _ if days >= 9.95 => format!("{days:.0} days"),
        _ if days >= 1.95 => format!("{days:.1} days"),
        _ => {
            let hours = (days * 24.0).round();
            match hours == 1.0 {
                true => "1 hour".to_owned(),
                false => format!("{hours:.0} hours"),
            }
        }
    }
}

/// "2.0 s", "1 min 40 s".
pub fn seconds(duration: Duration90k) -> String {
    let seconds = duration.as_secs_f64();
    match seconds.abs() < 99.5 {
        true => format!("{seconds:.1} s"),
        false => {
            let whole = seconds.round() as i64;
            match whole.abs() {
                n if n >= 2 * 86_400 => format!("{} days", whole / 86_400),
                n if n >= 2 * 3_600 => format!("{} h {} min", whole / 3_600, n % 3_600 / 60),
                n => format!("{} min {} s", whole / 60, n % 60),
            }
        }
    }
}

/// "3 min ago"; what was committed last is "now".
pub fn ago(since: Duration90k) -> String {
    match since.as_secs_f64() {
        // Commits are about a minute apart.
        s if s < 150.0 => "now".to_owned(),
        s if s < 7_200.0 => format!("{:.0} min ago", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h ago", s / 3_600.0),
        s => format!("{:.0} days ago", s / 86_400.0),
    }
}

/// "1 camera", "2 cameras".
pub fn count(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        let sizes = [
            0,
            999,
            1_000,
            12_345_678,
            999_960_000_000,
            1_500_000_000_000,
            -2_000_000,
        ];
        assert_eq!(
            sizes.map(size),
            [
                "0 B", "999 B", "1.00 kB", "12.3 MB", "1.00 TB", "1.50 TB", "-2.00 MB"
            ]
        );
        assert_eq!(
            [900, 64_000, 4_210_000].map(rate),
            ["900 bit/s", "64.0 kbit/s", "4.21 Mbit/s"]
        );
        assert_eq!(
            [0.04, 0.5, 1.96, 31.2, 1_000.0].map(days),
            ["1 hour", "12 hours", "2.0 days", "31 days", "2.7 years"]
        );
        let spans = [2, -100, 9_000, 400_000].map(|s| seconds(Duration90k::from_secs(s)));
        assert_eq!(spans, ["2.0 s", "-1 min 40 s", "2 h 30 min", "4 days"]);
        let ago = [60, 600, 10_000, 864_000].map(|s| ago(Duration90k::from_secs(s)));
        assert_eq!(ago, ["now", "10 min ago", "3 h ago", "10 days ago"]);
        assert_eq!(count(1, "camera") + &count(0, "user"), "1 camera0 users");
    }
}
