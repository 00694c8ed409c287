//! Playlists (RFC 8216 and its second edition), as text.

use crate::http::{Response, ResponseHead, Status};
use crate::time::{Duration90k, Wall90k};
use std::fmt::{self, Display, Write as _};

/// The media type of playlists (RFC 8216 section 10).
pub const CONTENT_TYPE: &str = "application/vnd.apple.mpegurl";

/// A playlist being written.
#[derive(Default)]
pub struct Playlist(String);

impl Playlist {
    /// Adds a line.
    pub fn line(&mut self, line: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }

    /// Adds lines that were written apart.
    pub fn append(&mut self, lines: &Playlist) {
        self.0.push_str(&lines.0);
    }

    /// The initialization segment of a sample entry, given by its row, for the segments from here on.
    /// Playlists of streams are three levels below `/api/`.
    pub fn map(&mut self, entry_row: i64) {
        self.line(format_args!(
            "#EXT-X-MAP:URI=\"../../../init/{entry_row}.mp4\""
        ));
    }

    /// When the next segment was recorded.
    pub fn date(&mut self, start: Wall90k) {
        self.line(format_args!("#EXT-X-PROGRAM-DATE-TIME:{start}"));
    }

    pub fn segment(&mut self, duration: Duration90k, uri: impl Display) {
        self.line(format_args!("#EXTINF:{},", Seconds(duration)));
        self.line(uri);
    }

    pub fn response(self) -> Response {
        Response {
            head: ResponseHead::new(Status::Ok).content_type(CONTENT_TYPE),
            body: self.0.into_bytes().into(),
        }
    }

    #[cfg(test)]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Seconds with six decimals: each tick has its own.
pub struct Seconds(pub Duration90k);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.0.max(0).saturating_mul(100) / 9;
        write!(f, "{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

/// A duration in whole seconds as the target duration counts it: rounded to the nearest.
pub fn rounded_secs(duration: Duration90k) -> u32 {
    u32::try_from((duration.0 + 45_000) / 90_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_seconds() {
        for (ticks, told, rounded) in [
            (0, "0.000000", 0),
            (1, "0.000011", 0),
            (90_000, "1.000000", 1),
            (134_999, "1.499988", 1),
            (135_000, "1.500000", 2),
            (-5, "0.000000", 0),
        ] {
            let duration = Duration90k(ticks);
            assert_eq!(Seconds(duration).to_string(), told);
            assert_eq!(rounded_secs(duration), rounded);
        }
    }
}
