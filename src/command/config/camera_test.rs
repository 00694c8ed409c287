//! "Test": what a camera sends, or what is wrong with it.

use super::app::{Next, Screen};
use super::draw::{BOLD, PLAIN, put, wrap};
use super::store::Store;
use super::words;
use moonfire_nvr::db::StreamKind;
use moonfire_nvr::nvr::camera_test::{Failed, Outcomes, Seen, Target, advice};
use moonfire_nvr::time::Duration90k;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use std::time::Instant;
use termion::event::Key;

/// See the module.
pub struct CameraTest {
    name: String,
    targets: Vec<(StreamKind, Target)>,
    began: Instant,
    outcomes: Option<Result<Outcomes, String>>,
}

impl CameraTest {
    pub fn begin(
        name: String,
        targets: Vec<(StreamKind, Target)>,
        store: &mut Store,
    ) -> Result<CameraTest, String> {
        store.begin_test(targets.clone())?;
        Ok(CameraTest {
            name,
            targets,
            began: Instant::now(),
            outcomes: None,
        })
    }

    /// The lines that are shown: a label, and what belongs to it.
    fn told(&self) -> Vec<(String, String)> {
        let line = |label: &str, text: String| (label.to_owned(), text);
        let outcomes = match &self.outcomes {
            None => {
                let mut hosts = self.targets.iter().filter_map(|(_, t)| t.url.host_str());
                let host = hosts.next().unwrap_or_default();
                let seconds = self.began.elapsed().as_secs();
                let text =
                    format!("Looking at {host} ... {seconds} s. It takes 10 s at most, mostly 3.");
                return vec![line("", text)];
            }
            Some(Err(e)) => return vec![line("", e.clone())],
            Some(Ok(outcomes)) => outcomes,
        };
        let mut lines = Vec::new();
        for (kind, outcome) in outcomes {
            let name = match kind {
                StreamKind::Main => "Main stream",
                StreamKind::Sub => "Sub stream",
            };
            match outcome {
                Ok(seen) => {
                    lines.push(line(name, "works".to_owned()));
                    lines.extend(facts(seen));
                }
                Err(Failed { message, .. }) => {
                    lines.push(line(name, "does not work".to_owned()));
                    lines.push(line("  Why", message.clone()));
                }
            }
        }
        let told = advice(outcomes);
        lines.extend(
            told.iter()
                .map(|a| line("Worth doing", sentence(&a.message))),
        );
        lines
    }
}

/// "it has no sub stream" as a sentence of its own.
fn sentence(words: &str) -> String {
    let mut chars = words.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), chars.as_str())
}

fn facts(seen: &Seen) -> Vec<(String, String)> {
    let unknown = || "not seen in the time".to_owned();
    let entry = &seen.entry;
    let frames = seen.frame_rate.map(|r| format!("{r} a second"));
    let bits = seen.bit_rate.map(|rate| {
        let a_day = i64::try_from(rate / 8 * 86_400).unwrap_or(i64::MAX);
        format!(
            "{}, which is {} a day",
            words::rate(rate),
            words::size(a_day)
        )
    });
    let key_frames = seen.key_frame_interval;
    let key_frames = key_frames.map(|every| format!("every {}", words::seconds(every)));
    let clock = seen.clock_offset.map(|offset| {
        let off = Duration90k(offset.0.abs());
        let which = if offset.0 < 0 { "behind" } else { "ahead of" };
        format!("{} {which} this machine's", words::seconds(off))
    });
    let line = |label: &str, text: String| (label.to_owned(), text);
    let mut lines = vec![
        line("  Codec", codec(&entry.rfc6381_codec)),
        line("  Size", format!("{} x {}", entry.width, entry.height)),
        line("  Frames", frames.unwrap_or_else(unknown)),
        line("  Bit rate", bits.unwrap_or_else(unknown)),
        line("  Key frames", key_frames.unwrap_or_else(unknown)),
        line(
            "  Clock",
            clock.unwrap_or_else(|| "the camera does not tell".to_owned()),
        ),
    ];
    if seen.lost_packets > 0 {
        let told = format!(
            "{} packets: look at cable, switch or Wi-Fi",
            seen.lost_packets
        );
        lines.push(line("  Lost", told));
    }
    lines
}

/// "H.264 (avc1.4d401f)".
fn codec(rfc6381: &str) -> String {
    let name = match rfc6381.split('.').next() {
        Some("avc1" | "avc3") => "H.264",
        Some("hvc1" | "hev1") => "H.265",
        _ => return rfc6381.to_owned(),
    };
    format!("{name} ({rfc6381})")
}

impl Screen for CameraTest {
    fn title(&self) -> String {
        format!("test of {}", self.name)
    }

    fn keys(&self) -> String {
        match self.outcomes {
            None => "Esc stop".to_owned(),
            Some(_) => "r test again   Esc back".to_owned(),
        }
    }

    fn key(&mut self, key: Key, store: &mut Store) -> Next {
        match key {
            Key::Char('r') if self.outcomes.is_some() => {
                self.outcomes = None;
                self.began = Instant::now();
                match store.begin_test(self.targets.clone()) {
                    Ok(()) => Next::Stay,
                    Err(e) => Next::Say(e),
                }
            }
            Key::Char('q' | '\n') => Next::Close(None),
            _ => Next::Unknown,
        }
    }

    fn draw(&mut self, area: Rect, buf: &mut Buffer, _: &Store) -> Option<Position> {
        let mut y = area.y;
        for (label, text) in self.told() {
            if y >= area.bottom() {
                break;
            }
            let is_heading = !label.is_empty() && !label.starts_with(' ');
            put(
                buf,
                area,
                area.x,
                y,
                &label,
                if is_heading { BOLD } else { PLAIN },
            );
            let indent = if label.is_empty() { 0 } else { 15 };
            let rest = Rect::new(
                area.x + indent,
                y,
                area.width.saturating_sub(indent),
                area.bottom() - y,
            );
            y += wrap(buf, rest, &text, if is_heading { BOLD } else { PLAIN }).max(1);
        }
        None
    }

    fn tick(&mut self, store: &mut Store) -> Next {
        if let Some(outcomes) = store.tested() {
            self.outcomes = Some(outcomes);
        }
        Next::Stay
    }
}
