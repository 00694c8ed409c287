//! The track that tells the time of day: one subtitle for each second of wall time (3GPP timed text,
//! 3GPP TS 26.245), generated when it is read.
//!
//! All subtitles have one length, so that their places need not be kept.

use super::boxes::{self, Header, Writer};
use super::slices::Array;
use super::{Error, File};
use crate::time::{TICKS_PER_SECOND, Wall90k};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::ops::Range;

/// The text: `2026-11-22 10:00:00 +01:00`.
const TEXT_BYTES: usize = 26;

/// What stands for a time that no calendar has.
const NO_TIME: &str = "????-??-?? ??:??:?? ??????";

/// A sample: the text after its length in 16 bits (3GPP TS 26.245 section 5.17.1).
pub(super) const SAMPLE_BYTES: u64 = 2 + TEXT_BYTES as u64;

/// The strip at the bottom of the picture that the text is in: this part of its height.
const STRIP: u16 = 12;

/// What the text is written on, and its colour: red, green, blue, opacity.
const BACKGROUND: u32 = 0x0000_0080;
const COLOUR: u32 = 0xffff_ffff;

/// What is kept for the track.
#[derive(Clone, Debug)]
pub(super) struct Subtitles {
    zone: TimeZone,
    spans: Vec<Span>,
}

/// A segment's part.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Subtitles up to its end.
    end: u32,
    /// When its shown part begins.
    start: Wall90k,
    /// How long that is, by the recorder's clock and by the camera's.
    wall_duration: u32,
    shown: u32,
}

impl Subtitles {
    pub fn new(zone: &TimeZone) -> Subtitles {
        Subtitles {
            zone: zone.clone(),
            spans: Vec::new(),
        }
    }

    /// Adds a segment that is shown for `shown` 90 kHz units of media time.
    pub fn add(&mut self, wall: Range<Wall90k>, shown: u32) -> Result<(), Error> {
        let too_long = || Error::TooLong("too much time in one file");
        let wall_duration = u32::try_from((wall.end - wall.start).0).map_err(|_| too_long())?;
        let first = wall.start.unix_secs();
        let seconds = wall.end.0.saturating_sub(1).div_euclid(TICKS_PER_SECOND) - first + 1;
        let seconds = u32::try_from(seconds.max(1)).map_err(|_| too_long())?;
        let before = self.spans.last().map_or(0, |s| s.end);
        self.spans.push(Span {
            end: before.checked_add(seconds).ok_or_else(too_long)?,
            start: wall.start,
            wall_duration,
            shown,
        });
        Ok(())
    }

    /// Subtitles of the first `n` segments.
    pub fn before(&self, n: usize) -> u64 {
        n.checked_sub(1).map_or(0, |i| u64::from(self.spans[i].end))
    }

    /// The records of `stts` of some of a segment's subtitles.
    pub fn durations(&self, i: usize, which: Range<u32>) -> Vec<u8> {
        let span = &self.spans[i];
        let count = (self.before(i + 1) - self.before(i)) as u32;
        let mut out = Vec::with_capacity(which.len() * 8);
        for n in which {
            let end = if n + 1 == count {
                span.shown
            } else {
                span.from(n + 1)
            };
            out.extend_from_slice(&1u32.to_be_bytes());
            out.extend_from_slice(&(end - span.from(n)).to_be_bytes());
        }
        out
    }

    /// Some of a segment's subtitles.
    pub fn samples(&self, i: usize, which: Range<u32>) -> Vec<u8> {
        let first = self.spans[i].start.unix_secs();
        let mut out = Vec::with_capacity(which.len() * SAMPLE_BYTES as usize);
        for n in which {
            out.extend_from_slice(&(TEXT_BYTES as u16).to_be_bytes());
            out.extend_from_slice(self.text(first + i64::from(n)).as_bytes());
        }
        out
    }

    /// The text of a second since 1970.
    fn text(&self, second: i64) -> String {
        let told = Timestamp::new(second, 0).ok().map(|t| {
            let offset = self.zone.to_offset(t);
            let minutes = offset.seconds() / 60;
            let sign = if minutes < 0 { '-' } else { '+' };
            let minutes = minutes.abs();
            let t = offset.to_datetime(t);
            format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02} {sign}{:02}:{:02}",
                t.year(),
                t.month(),
                t.day(),
                t.hour(),
                t.minute(),
                t.second(),
                minutes / 60,
                minutes % 60
            )
        });
        told.filter(|t| t.len() == TEXT_BYTES && !t.starts_with('-'))
            .unwrap_or_else(|| NO_TIME.to_owned())
    }

    /// What of the zone decides the texts of the segment added last: how many facts there are, then the offset at
    /// its start and end and, where they differ, when it changes.
    pub fn last_zone_facts(&self) -> Vec<i64> {
        let Some(s) = self.spans.last() else {
            return vec![0];
        };
        let first = Timestamp::new(s.start.unix_secs(), 0);
        let end = Wall90k(s.start.0.saturating_add(i64::from(s.wall_duration)));
        let last = Timestamp::new(end.unix_secs(), 0);
        let (Ok(first), Ok(last)) = (first, last) else {
            return vec![0]; // No time is told.
        };
        let [before, after] = [first, last].map(|t| i64::from(self.zone.to_offset(t).seconds()));
        // A segment is hours long at most.
        let change = (before != after).then(|| self.zone.following(first).next());
        match change.flatten() {
            None => vec![2, before, after],
            Some(change) => vec![3, before, after, change.timestamp().as_second()],
        }
    }
}

impl Span {
    /// When subtitle `n` begins, in media time from the shown part's start on.
    fn from(&self, n: u32) -> u32 {
        if n == 0 {
            return 0;
        }
        let second = self.start.unix_secs() + i64::from(n);
        let wall = (Wall90k::from_unix_secs(second) - self.start).0;
        let wall = u64::try_from(wall).unwrap_or(0);
        let scaled = wall * u64::from(self.shown) / u64::from(self.wall_duration.max(1));
        scaled.min(u64::from(self.shown)) as u32
    }
}

/// The track (`trak`). `width` and `height` are the picture's.
pub(super) fn trak(w: &mut Writer, file: &File, header: &Header, size: (u16, u16), wide: bool) {
    let (width, height) = size;
    let strip = (height / STRIP).max(1);
    let n = file.laid.len();
    let count = file.subtitles_before(n) as u32;
    w.plain(b"trak", |w| {
        boxes::tkhd(
            w,
            header,
            &boxes::TrackHeader {
                track: boxes::SUBTITLE_TRACK,
                layer: -1, // In front of the picture.
                top: height - strip,
                width: u32::from(width),
                height: strip,
            },
        );
        w.plain(b"mdia", |w| {
            boxes::mdhd(w, header);
            boxes::hdlr(w, b"sbtl", b"time of day\0");
            w.plain(b"minf", |w| {
                w.full(b"nmhd", 0, 0, |_| {}); // Null media header, section 8.4.5.2.
                boxes::dinf(w);
                w.plain(b"stbl", |w| {
                    w.full(b"stsd", 0, 0, |w| {
                        w.u32(1);
                        tx3g(w, width, strip);
                    });
                    w.full(b"stts", 0, 0, |w| {
                        w.u32(count);
                        w.array(
                            Array::SubtitleDurations,
                            file.array_len(Array::SubtitleDurations, n),
                        );
                    });
                    w.full(b"stsc", 0, 0, |w| {
                        w.u32(n as u32);
                        let array = Array::SubtitlesToChunks;
                        w.array(array, file.array_len(array, n));
                    });
                    w.full(b"stsz", 0, 0, |w| {
                        w.u32(SAMPLE_BYTES as u32); // All are of this size.
                        w.u32(count);
                    });
                    w.full(if wide { b"co64" } else { b"stco" }, 0, 0, |w| {
                        w.u32(n as u32);
                        let array = Array::SubtitleChunkOffsets { wide };
                        w.array(array, file.array_len(array, n));
                    });
                });
            });
        });
    });
}

/// Text sample entry, 3GPP TS 26.245 section 5.16.
fn tx3g(w: &mut Writer, width: u16, height: u16) {
    w.plain(b"tx3g", |w| {
        w.zeros(6);
        w.u16(1); // Data reference index.
        w.u32(0); // Display flags.
        w.bytes(&[1, 1]); // In the middle, across and down.
        w.u32(BACKGROUND);
        w.zeros(4); // The text box: top, left,
        w.u16(height); // bottom
        w.u16(width); // and right.
        w.zeros(4); // The style of all characters:
        w.u16(1); // font,
        w.bytes(&[0]); // neither bold nor italic,
        w.bytes(&[u8::try_from(height * 2 / 3).unwrap_or(u8::MAX)]); // size,
        w.u32(COLOUR);
        w.plain(b"ftab", |w| {
            w.u16(1);
            w.u16(1); // Font 1 is
            w.bytes(&[5]);
            w.bytes(b"Serif");
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_berlin() -> Subtitles {
        Subtitles::new(&TimeZone::get("Europe/Berlin").unwrap())
    }

    #[test]
    fn the_time_of_day_follows_the_zones_clock() {
        let s = in_berlin();
        // The last second of summer time of 2026, and the first of winter.
        assert_eq!(s.text(1_792_889_999), "2026-10-25 02:59:59 +02:00");
        assert_eq!(s.text(1_792_890_000), "2026-10-25 02:00:00 +01:00");
        let newfoundland = Subtitles::new(&TimeZone::get("America/St_Johns").unwrap());
        assert_eq!(
            newfoundland.text(1_795_341_600),
            "2026-11-22 06:30:00 -03:30"
        );
        for (second, told) in [(0, "1970-01-01 01:00:00 +01:00"), (i64::MAX, NO_TIME)] {
            assert_eq!(s.text(second), told);
        }
        assert_eq!(s.text(-100_000_000_000), NO_TIME); // Before year 0.
    }

    #[test]
    fn there_is_one_for_each_second() {
        let durations = |start: i64, wall: i64, shown: u32| {
            let mut s = in_berlin();
            s.add(Wall90k(start)..Wall90k(start + wall), shown).unwrap();
            let n = s.before(1) as u32;
            let bytes = s.durations(0, 0..n);
            assert_eq!(s.samples(0, 0..n).len() as u64, SAMPLE_BYTES * s.before(1));
            let found: Vec<u32> = bytes
                .chunks(8)
                .map(|c| u32::from_be_bytes(c[4..].try_into().unwrap()))
                .collect();
            assert_eq!(found.iter().sum::<u32>(), shown);
            found
        };
        assert_eq!(durations(0, 180_000, 180_000), [90_000, 90_000]);
        assert_eq!(durations(89_999, 90_002, 90_002), [1, 90_000, 1]);
        assert_eq!(durations(100, 10, 10), [10]);
        assert_eq!(durations(90_000, 0, 7), [7]);
        assert_eq!(durations(-10, 20, 20), [10, 10]);
        // The camera's clock is slower.
        assert_eq!(durations(45_000, 90_000, 89_990), [44_995, 44_995]);
    }

    #[test]
    fn clock_changes_are_facts_of_the_zone() {
        let facts = |start| {
            let mut s = in_berlin();
            let start = Wall90k::from_unix_secs(start);
            s.add(start..Wall90k(start.0 + 5_400_000), 5_400_000)
                .unwrap();
            s.last_zone_facts()
        };
        assert_eq!(facts(1_792_889_000), [2, 7200, 7200]);
        assert_eq!(facts(1_792_889_990), [3, 7200, 3600, 1_792_890_000]);
    }

    #[test]
    fn absurd_times_are_refused_or_told_as_none() {
        let mut s = in_berlin();
        assert!(s.add(Wall90k(0)..Wall90k(1 << 40), 5).is_err());
        s.add(Wall90k(i64::MAX - 5)..Wall90k(i64::MAX), 5).unwrap();
        assert_eq!(s.last_zone_facts(), [0]);
        assert!(s.samples(0, 0..1).ends_with(NO_TIME.as_bytes()));
    }
}
