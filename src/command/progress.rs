//! How far long work has got: a line that is painted over on a terminal, a line now and then elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line on a terminal is painted.
const PAINT_INTERVAL: Duration = Duration::from_millis(200);

/// How often a line is written elsewhere.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Progress in bytes, on standard error. Dropping it clears the line.
pub struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    begun: Instant,
    told: Instant,
    terminal: bool,
}

impl Progress {
    pub fn new(what: &'static str, total: u64) -> Progress {
        let now = Instant::now();
        Progress {
            what,
            total,
            done: 0,
            begun: now,
            told: now,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// So many bytes more are done.
    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let interval = if self.terminal {
            PAINT_INTERVAL
        } else {
            LINE_INTERVAL
        };
        if self.told.elapsed() < interval {
            return;
        }
        self.told = Instant::now();
        let line = line(self.what, self.done, self.total, self.begun.elapsed());
        // Nobody reads it: that is no reason to stop.
        let _ = match self.terminal {
            true => write!(std::io::stderr(), "\r{line}\x1b[K"),
            false => writeln!(std::io::stderr(), "{line}"),
        };
    }

    /// Makes room for another line.
    pub fn clear(&self) {
        if self.terminal && self.told > self.begun {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// `read 1.2 GB of 3.4 GB (35 %), 95 MB/s, 23 s left`.
fn line(what: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let mut line = format!("{what} {} of {}", bytes(done), bytes(total));
    if let Some(percent) = (u128::from(done) * 100).checked_div(u128::from(total)) {
        let _ = write!(line, " ({percent} %)");
    }
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let _ = write!(line, ", {}/s", bytes(rate as u64));
    if rate >= 1.0 && done < total {
        let left = Duration::from_secs_f64(((total - done) as f64 / rate).min(1e9));
        let left = moonfire_nvr::time::Duration90k::from_secs(left.as_secs() as i64 + 1);
        let _ = write!(line, ", {left} left");
    }
    line
}

/// Bytes for people: three digits and a decimal unit, as disks are sold.
pub fn bytes(n: u64) -> String {
    if n < 1_000 {
        return format!("{n} B");
    }
    let mut value = n as f64;
    let mut unit = "";
    for next in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        if value < 999.5 {
            break;
        }
        value /= 1_000.0;
        unit = next;
    }
    match value {
        v if v < 9.995 => format!("{v:.2} {unit}"),
        v if v < 99.95 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_for_people() {
        for (n, told) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.00 kB"),
            (9_996, "10.0 kB"),
            (123_456, "123 kB"),
            (999_700, "1.00 MB"),
            (4_321_000_000, "4.32 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(n), told);
        }
    }

    #[test]
    fn a_line_tells_rate_and_time_left() {
        let ten = Duration::from_secs(10);
        assert_eq!(
            line("read", 1_000_000_000, 4_000_000_000, ten),
            "read 1.00 GB of 4.00 GB (25 %), 100 MB/s, 31.0 s left"
        );
        assert_eq!(line("read", 0, 0, ten), "read 0 B of 0 B, 0 B/s");
        assert_eq!(
            line("read", 5, 5, Duration::ZERO),
            "read 5 B of 5 B (100 %), 5.00 kB/s"
        );
    }
}
