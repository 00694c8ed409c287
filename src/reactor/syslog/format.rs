//! Log records as bytes: RFC 5424 for syslog servers, lines for people.
//!
//! The `syslog` crate writes the header and escapes `"`, `\` and `]` in parameter values. It leaves
//! control characters alone, which would break lines apart in somebody's files, and it sets no limit
//! to the length: both is done here.

use crate::nvr::port::{LogRecord, Severity};
use crate::time::Wall90k;
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use syslog::{Facility, Formatter3164, Formatter5424, LogFormat};

/// The structured data's id. 32473 is the enterprise number that RFC 5612 sets aside for examples:
/// this project has none of its own, and the name before it keeps it apart.
const STRUCTURED_DATA_ID: &str = "nvr@32473";

/// The MSGID of all lines. The crate takes only a number; the `event` parameter says what it is.
const MESSAGE_ID: u32 = 0;

/// The name of the program in each line.
const PROGRAM: &str = "moonfire-nvr";

/// The longest message and parameter, in bytes; the rest is cut. With the header a line so stays
/// below the 2,048 bytes that every receiver should take (RFC 5424 section 6.1).
const MAX_MESSAGE_BYTES: usize = 1200;
const MAX_VALUE_BYTES: usize = 128;

/// Makes lines for syslog servers, without an end.
#[derive(Debug)]
pub(super) struct Syslog {
    rfc5424: Formatter5424,
    local: Formatter3164,
}

impl Syslog {
    pub(super) fn new() -> Syslog {
        let hostname = nix::unistd::gethostname().ok();
        let hostname = hostname.and_then(|name| name.into_string().ok());
        let pid = std::process::id();
        Syslog {
            rfc5424: Formatter5424 {
                facility: Facility::LOG_DAEMON,
                hostname: hostname
                    .filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_graphic())),
                process: PROGRAM.to_owned(),
                pid,
            },
            local: Formatter3164 {
                facility: Facility::LOG_DAEMON,
                hostname: None,
                process: PROGRAM.to_owned(),
                pid,
            },
        }
    }

    /// A line as RFC 5424 has it.
    pub(super) fn rfc5424(&self, record: &LogRecord) -> Vec<u8> {
        let message = tidy(&record.message, MAX_MESSAGE_BYTES);
        let content = (MESSAGE_ID, structured_data(record), message);
        let mut line = Vec::with_capacity(256);
        // Writing to memory does not fail.
        let _ = self
            .rfc5424
            .format(&mut line, severity(record.severity), content);
        line
    }

    /// A line as it is understood on `/dev/log`: systemd's journal knows no other header, and
    /// rsyslogd's imuxsock takes RFC 5424 apart wrongly there unless `UseSpecialParser` is off. The
    /// structured data is part of the message, in the same words.
    pub(super) fn local(&self, record: &LogRecord) -> Vec<u8> {
        let data = structured_data(record);
        let data = self.rfc5424.format_5424_structured_data(data);
        let message = tidy(&record.message, MAX_MESSAGE_BYTES);
        let content = format!("{data} {message}");
        let mut line = Vec::with_capacity(256);
        let _ = self
            .local
            .format(&mut line, severity(record.severity), content);
        line
    }
}

fn structured_data(record: &LogRecord) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut params = BTreeMap::new();
    params.insert("event".to_owned(), record.event.to_owned());
    if let Some(camera) = &record.camera {
        let camera = tidy(camera, MAX_VALUE_BYTES).into_owned();
        params.insert("camera".to_owned(), camera);
    }
    if let Some(stream) = record.stream {
        params.insert("stream".to_owned(), stream.to_owned());
    }
    BTreeMap::from([(STRUCTURED_DATA_ID.to_owned(), params)])
}

/// How lines for people look.
#[derive(Clone, Debug)]
pub(super) enum Style {
    /// With time and level; in colour on a terminal.
    Console { colour: bool, zone: TimeZone },
    /// For systemd's journal, which adds the time and understands `<level>` (sd-daemon(3)).
    Journal,
}

/// A line for people, with its end.
pub(super) fn human(record: &LogRecord, wall: Wall90k, style: &Style) -> Vec<u8> {
    let mut line = String::with_capacity(128);
    let _ = match style {
        Style::Journal => write!(line, "<{}>", record.severity as u8),
        Style::Console { colour, zone } => {
            let (word, on) = match record.severity {
                Severity::Critical => ("CRIT ", "\x1b[1;31m"),
                Severity::Error => ("ERROR", "\x1b[31m"),
                Severity::Warning => ("WARN ", "\x1b[33m"),
                Severity::Notice => ("NOTE ", "\x1b[1m"),
                Severity::Info => ("INFO ", ""),
                Severity::Debug => ("DEBUG", "\x1b[2m"),
            };
            let (on, off) = match *colour && !on.is_empty() {
                true => (on, "\x1b[0m"),
                false => ("", ""),
            };
            write!(line, "{} {on}{word}{off} ", local_time(wall, zone))
        }
    };
    if let Some(camera) = &record.camera {
        line.push_str(&tidy(camera, MAX_VALUE_BYTES));
        if let Some(stream) = record.stream {
            let _ = write!(line, "/{stream}");
        }
        line.push_str(": ");
    }
    line.push_str(&tidy(&record.message, MAX_MESSAGE_BYTES));
    line.push('\n');
    line.into_bytes()
}

fn local_time(wall: Wall90k, zone: &TimeZone) -> String {
    let nanos = wall.subsec_nanos() as i32;
    match jiff::Timestamp::new(wall.unix_secs(), nanos) {
        Ok(at) => at
            .to_zoned(zone.clone())
            .strftime("%Y-%m-%d %H:%M:%S%.3f")
            .to_string(),
        Err(_) => wall.to_string(),
    }
}

fn severity(severity: Severity) -> syslog::Severity {
    match severity {
        Severity::Critical => syslog::Severity::LOG_CRIT,
        Severity::Error => syslog::Severity::LOG_ERR,
        Severity::Warning => syslog::Severity::LOG_WARNING,
        Severity::Notice => syslog::Severity::LOG_NOTICE,
        Severity::Info => syslog::Severity::LOG_INFO,
        Severity::Debug => syslog::Severity::LOG_DEBUG,
    }
}

/// The text on one line and no longer than `max` bytes.
fn tidy(text: &str, max: usize) -> Cow<'_, str> {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    match text.contains(char::is_control) {
        true => Cow::Owned(text.replace(char::is_control, " ")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> LogRecord {
        LogRecord {
            severity: Severity::Warning,
            event: "camera-lost",
            camera: Some("drive\"way]\\\n2".to_owned()),
            stream: Some("main"),
            message: "it is gone:\r\n\x1b[31mtimed out".to_owned(),
        }
    }

    #[test]
    fn rfc_5424_with_nasty_values() {
        let line = String::from_utf8(Syslog::new().rfc5424(&record())).unwrap();
        // Facility 3 (daemon), severity 4.
        assert!(line.starts_with("<28>1 2"), "{line}");
        let expected = format!(
            " moonfire-nvr {} 0 [nvr@32473 camera=\"drive\\\"way\\]\\\\ 2\" event=\"camera-lost\" \
             stream=\"main\"] it is gone:   [31mtimed out",
            std::process::id()
        );
        assert!(line.ends_with(&expected), "{line}");
        assert_eq!(line.split(' ').nth(2).map(|h| h.is_empty()), Some(false));
    }

    #[test]
    fn the_local_form() {
        let line = String::from_utf8(Syslog::new().local(&record())).unwrap();
        let (head, rest) = line.split_once(" moonfire-nvr[").unwrap();
        // `<28>Nov 22 10:00:00`
        assert!(head.starts_with("<28>") && head.len() == 4 + 15, "{head}");
        let expected = format!(
            "{}]: [nvr@32473 camera=\"drive\\\"way\\]\\\\ 2\" event=\"camera-lost\" \
             stream=\"main\"] it is gone:   [31mtimed out",
            std::process::id()
        );
        assert_eq!(rest, expected);
    }

    #[test]
    fn lines_are_short_enough_for_every_receiver() {
        let long = LogRecord {
            camera: Some("\"".repeat(300)),
            message: "ä".repeat(5000),
            ..record()
        };
        let line = Syslog::new().rfc5424(&long);
        assert!(line.len() < 2048, "{}", line.len());
        assert!(String::from_utf8(line).is_ok());
    }

    #[test]
    fn lines_for_people() {
        let wall = Wall90k::from_unix_secs(1_795_341_600);
        let line = |style: &Style| String::from_utf8(human(&record(), wall, style)).unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let text = "drive\"way]\\ 2/main: it is gone:   [31mtimed out\n";
        assert_eq!(line(&Style::Journal), format!("<4>{text}"));
        let mut style = Style::Console {
            colour: false,
            zone: zone.clone(),
        };
        assert_eq!(
            line(&style),
            format!("2026-11-22 11:00:00.000 WARN  {text}")
        );
        style = Style::Console { colour: true, zone };
        assert_eq!(
            line(&style),
            format!("2026-11-22 11:00:00.000 \x1b[33mWARN \x1b[0m {text}")
        );
    }
}
