//! The playlist of a camera: its streams, among which players choose and change.

use super::playlist::Playlist;
use crate::db::{self, Reply, StreamKind, Which};
use crate::h264::VideoSampleEntry;
use crate::nvr::web::uncommitted::Uncommitted;
use crate::recording::{StreamId, Summary};
use crate::time::{Duration90k, Wall90k};
use std::ops::Range;
use std::sync::Arc;

/// Recordings from which a stream's bandwidth is told.
const LOOKED_AT: usize = 8;

/// What a stream is taken to need while nothing is known of it, in bits a second.
const UNKNOWN_BANDWIDTH: u64 = 2_000_000;

/// The way to it.
pub struct Variants {
    /// Of what was recorded; without it, of what is being recorded.
    span: Option<Range<Wall90k>>,
    streams: Vec<(StreamKind, StreamId)>,
    /// For each stream that was asked for: what it is like, if there is any of it.
    found: Vec<Option<Variant>>,
}

/// A stream as it is or was.
pub struct Variant {
    entry: Arc<VideoSampleEntry>,
    /// The average, in bits a second.
    bandwidth: u64,
}

impl Variant {
    pub fn new(entry: &Arc<VideoSampleEntry>, bytes: u64, duration: Duration90k) -> Variant {
        let ticks = u64::try_from(duration.0).unwrap_or(0);
        let bits = u128::from(bytes) * 8 * 90_000;
        let bandwidth = match ticks < 90_000 {
            true => UNKNOWN_BANDWIDTH,
            false => u64::try_from(bits / u128::from(ticks)).unwrap_or(u64::MAX),
        };
        Variant {
            entry: entry.clone(),
            bandwidth: bandwidth.clamp(1, i32::MAX as u64 / 2),
        }
    }

    /// Of recordings, the format of the first; `None` if there is none.
    fn of<'a>(mut recordings: impl Iterator<Item = &'a Summary> + Clone) -> Option<Variant> {
        let all = recordings.clone();
        let entry = &recordings.next()?.sample_entry;
        let (bytes, duration) = all.fold((0, Duration90k::ZERO), |(bytes, duration), s| {
            let bytes = bytes + u64::from(s.sample_file_bytes);
            (bytes, duration + s.media_duration)
        });
        Some(Variant::new(entry, bytes, duration))
    }
}

impl Variants {
    pub fn new(span: Option<Range<Wall90k>>, streams: Vec<(StreamKind, StreamId)>) -> Variants {
        Variants {
            span,
            streams,
            found: Vec::new(),
        }
    }

    pub fn is_live(&self) -> bool {
        self.span.is_none()
    }

    /// All streams, if it is about what is being recorded and none was looked at yet.
    pub fn of_recorded(&self) -> Option<Vec<StreamId>> {
        let is_new = self.is_live() && self.found.is_empty();
        is_new.then(|| self.streams.iter().map(|(_, id)| *id).collect())
    }

    /// The next stream of which something is wanted.
    pub fn next_stream(&self) -> Option<StreamId> {
        self.streams.get(self.found.len()).map(|(_, id)| *id)
    }

    /// What is to be asked of the database next; `None` once all is there.
    pub fn need(&self) -> Option<db::Request> {
        Some(db::Request::Summaries {
            stream: self.next_stream()?,
            which: Which::Overlapping {
                span: self.span.clone()?,
                after: None,
            },
            limit: LOOKED_AT,
        })
    }

    /// Takes in what the database answered.
    pub fn take(&mut self, reply: &Reply) {
        if let Reply::Summaries(found) = reply {
            self.found.push(Variant::of(found.iter()));
        }
    }

    /// What is being recorded of the next stream, if anything is.
    pub fn take_live(&mut self, variant: Option<Variant>) {
        self.found.push(variant);
    }

    /// What the database does not have, for streams of which it has nothing in the span.
    pub fn complete(&mut self, uncommitted: impl Fn(StreamId) -> Vec<Uncommitted>) {
        let Some(span) = &self.span else { return };
        for (found, (_, id)) in self.found.iter_mut().zip(&self.streams) {
            if found.is_none() {
                let all = uncommitted(*id);
                let within = |s: &&Summary| s.start < span.end && s.end() > span.start;
                *found = Variant::of(all.iter().map(|u| &u.summary).filter(within));
            }
        }
    }

    /// The playlist; `None` if there is nothing of any stream.
    pub fn playlist(&self) -> Option<Playlist> {
        let mut text = Playlist::default();
        text.line("#EXTM3U");
        text.line("#EXT-X-VERSION:7");
        let mut any = false;
        for ((kind, _), found) in self.streams.iter().zip(&self.found) {
            let Some(v) = found else { continue };
            any = true;
            // Frames that are whole pictures come at once: at most twice the average, over a segment.
            text.line(format_args!(
                "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\",\
                 RESOLUTION={}x{}",
                v.bandwidth * 2,
                v.bandwidth,
                codec(&v.entry),
                v.entry.width,
                v.entry.height
            ));
            let kind = kind.as_str();
            match &self.span {
                None => text.line(format_args!("{kind}/live.m3u8")),
                Some(span) => text.line(format_args!(
                    "{kind}/vod.m3u8?startTime90k={}&endTime90k={}",
                    span.start.0, span.end.0
                )),
            }
        }
        any.then_some(text)
    }
}

/// As it may stand in a quoted string (RFC 8216 section 4.2).
fn codec(entry: &VideoSampleEntry) -> String {
    let codec = entry.rfc6381_codec.chars();
    codec
        .filter(|c| c.is_ascii_graphic() && *c != '"')
        .collect()
}
