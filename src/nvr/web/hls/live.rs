//! What a live playlist of a stream lists: segments of what is being recorded, and parts of the newest
//! ones. It follows the recorder's index frame by frame and is kept while somebody asks for it.
//!
//! A segment begins with a sync sample, unless the camera sends none for longer than the target
//! duration. A part is listed once all of it can be read from its file, which includes that the frame after
//! it has come: from then on neither its length nor its bytes change.

use super::playlist::{Playlist, Seconds};
use crate::h264::VideoSampleEntry;
use crate::mp4::{self, FragmentSample, Samples, Source};
use crate::recording::index::{Cursor, Sample};
use crate::recording::{OpenId, RecordingId};
use crate::time::{Duration90k, Wall90k};
use std::collections::VecDeque;
use std::sync::Arc;

/// A segment ends at the first sync sample after this: a GOP of two seconds is one even if the camera's
/// clock is a little off.
const SEGMENT_AT_LEAST: Duration90k = Duration90k(135_000);

/// Target durations, in seconds. One is chosen when the list is made and never changes: half as long again
/// as the segments are then, for a camera whose GOPs become longer at night.
const TARGET_SECS: std::ops::RangeInclusive<u32> = 4..=10;

/// The same where nothing is known of the camera's GOPs yet.
const UNKNOWN_TARGET_SECS: u32 = 6;

/// About how long parts are.
const PART_AIM: Duration90k = Duration90k(27_000);

/// A playlist goes back this far, or four target durations if that is longer. What has left it can be had
/// for as long again.
const LISTED: Duration90k = Duration90k::from_secs(24);

/// Samples that are kept of a list at most: 100 s of 120 a second. Past it the oldest segments go.
const MAX_SAMPLES: usize = 12_000;

/// What a recording's segments have in common.
#[derive(Debug)]
pub struct Of {
    pub source: Source,
    pub open: OpenId,
    pub run_offset: u32,
    pub start: Wall90k,
    pub entry: Arc<VideoSampleEntry>,
    pub entry_row: i64,
}

/// A recording as the recorder knows it now.
pub struct Fed<'a> {
    pub of: Of,
    /// Of all samples whose duration is known.
    pub index: &'a [u8],
    /// Nothing more will come.
    pub ended: bool,
    /// The sample behind these is there, and is a sync sample.
    pub next_is_sync: bool,
}

#[derive(Debug)]
struct Segment {
    of: Arc<Of>,
    /// Nothing joins it to the one before.
    discontinuity: bool,
    decode_time: u64,
    start: Wall90k,
    /// Where its first sample is in the sample file.
    offset: u32,
    samples: Vec<FragmentSample>,
    duration: Duration90k,
    parts: Vec<Part>,
    /// It has all of its parts.
    closed: bool,
}

#[derive(Debug)]
struct Part {
    /// Its samples: those from the end of the part before up to this one.
    end: usize,
    duration: Duration90k,
    has_sync: bool,
    /// Where it ends in the sample file.
    bytes_end: u32,
    readable: bool,
}

/// Where the list is in the recordings.
struct At {
    of: Arc<Of>,
    cursor: Cursor,
    /// The flags of the index, which is encoded anew when they change.
    flags: u8,
    taken: u32,
    base_offset: i32,
    ended: bool,
}

/// See the module.
pub struct Live {
    target_secs: u32,
    part_target: Duration90k,
    frame: Duration90k,
    segments: VecDeque<Segment>,
    /// The media sequence number of the first of them.
    first_number: u64,
    /// Discontinuities that went with segments before.
    discontinuities: u64,
    at: Option<At>,
    /// The next sample's decoding time.
    decode_time: u64,
    /// The next segment does not join the one before.
    broken: bool,
    samples: usize,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Has {
    Yes,
    NotYet,
    /// It is further ahead than may be asked for.
    TooFar,
    /// It was there, or never will be.
    Gone,
}

impl Live {
    /// A list of what is being recorded, given the recordings that are still in memory, oldest first.
    /// `None` if there is no frame of which the duration is known.
    pub fn new(recordings: &[Fed<'_>]) -> Option<Live> {
        let mut trial = Live::empty(*TARGET_SECS.end(), PART_AIM, PART_AIM);
        recordings.iter().for_each(|r| trial.feed(r));
        let samples = trial.segments.iter().flat_map(|s| &s.samples);
        let mut durations: Vec<u32> = samples.map(|s| s.duration_90k).collect();
        if durations.is_empty() {
            return None;
        }
        durations.sort_unstable();
        let frame = Duration90k(i64::from(durations[durations.len() / 2]));
        let whole = trial.segments.iter().filter(|s| s.closed);
        let longest = whole.map(|s| s.duration.0).max();
        let target_secs = longest.map_or(UNKNOWN_TARGET_SECS, |d| {
            u32::try_from((d + d / 2 + 89_999) / 90_000).unwrap_or(u32::MAX)
        });
        let frames = ((PART_AIM.0 + frame.0 / 2) / frame.0.max(1)).max(1);
        let mut live = Live::empty(
            target_secs.clamp(*TARGET_SECS.start(), *TARGET_SECS.end()),
            // A tenth for frames that are not quite even.
            Duration90k(frames * frame.0 * 11 / 10),
            frame,
        );
        recordings.iter().for_each(|r| live.feed(r));
        // Numbers only ever go up, also over the lists before this one, which were given up when nobody
        // asked: a segment lasts longer than a second.
        let first = live.segments.front()?;
        live.first_number = u64::try_from(first.start.unix_secs()).unwrap_or(0);
        live.drop_old();
        Some(live)
    }

    fn empty(target_secs: u32, part_target: Duration90k, frame: Duration90k) -> Live {
        Live {
            target_secs,
            part_target,
            frame,
            segments: VecDeque::new(),
            first_number: 0,
            discontinuities: 0,
            at: None,
            decode_time: 0,
            broken: false,
            samples: 0,
        }
    }

    pub fn target_secs(&self) -> u32 {
        self.target_secs
    }

    /// Whether a recording is the one that the list is in, and goes on.
    pub fn is_in(&self, id: RecordingId) -> bool {
        matches!(&self.at, Some(at) if at.of.source.id == id && !at.ended)
    }

    /// Whether a recording is still to be fed, or more of it.
    pub fn wants(&self, id: RecordingId) -> bool {
        self.at.as_ref().is_none_or(|at| match at.ended {
            true => id.sequence > at.of.source.id.sequence,
            false => id.sequence >= at.of.source.id.sequence,
        })
    }

    /// Whether something of a recording is listed.
    pub fn has_recording(&self, wanted: impl Fn(Source) -> bool) -> bool {
        self.segments.iter().any(|s| wanted(s.of.source))
    }

    /// Takes in what is new of a recording; they are to come in order.
    pub fn feed(&mut self, r: &Fed<'_>) {
        let flags = r.index.first().copied().unwrap_or(0);
        let mut at = match self.at.take() {
            Some(at) if at.of.source.id == r.of.source.id => at,
            before => self.enter(before, &r.of, flags),
        };
        let mut again = 0;
        if at.flags != flags {
            (at.cursor, at.flags, again) = (Cursor::default(), flags, at.taken);
        }
        // The first byte is not of a sample.
        while r.index.len() > 1 {
            let Some(Ok(s)) = at.cursor.next(r.index) else {
                break;
            };
            if again > 0 {
                again -= 1;
                continue;
            }
            if at.taken == 0 {
                at.base_offset = s.composition_offset_90k;
            }
            at.taken += 1;
            self.add(&at.of, &s, at.base_offset);
        }
        let long = |s: &Segment| s.duration >= SEGMENT_AT_LEAST;
        if r.ended || (r.next_is_sync && self.segments.back().is_some_and(long)) {
            self.close_segment();
        }
        at.ended = r.ended;
        self.at = Some(at);
    }

    /// The next recording begins.
    fn enter(&mut self, before: Option<At>, of: &Of, flags: u8) -> At {
        self.close_segment();
        let joins = before.is_some_and(|b| {
            // Of one that is not told to have ended, the end is missing.
            let (ended, b) = (b.ended, &b.of);
            ended
                && b.source.id.sequence.checked_add(1) == Some(of.source.id.sequence)
                && b.run_offset.checked_add(1) == Some(of.run_offset)
                && b.open == of.open
                && b.entry_row == of.entry_row
        });
        if !joins {
            // Of both streams of a camera, so that players can go from one to the other.
            let wall = u64::try_from(of.start.0).unwrap_or(0);
            self.decode_time = self.decode_time.max(wall);
            self.broken = !self.segments.is_empty();
        }
        At {
            of: Arc::new(Of {
                entry: of.entry.clone(),
                ..*of
            }),
            cursor: Cursor::default(),
            flags,
            taken: 0,
            base_offset: 0,
            ended: false,
        }
    }

    fn add(&mut self, of: &Arc<Of>, s: &Sample, base_offset: i32) {
        let duration = Duration90k(i64::from(s.duration_90k));
        // The longest that is still rounded to the target duration.
        let limit = Duration90k(i64::from(self.target_secs) * 90_000 + 44_999);
        let part_target = self.part_target;
        if let Some(open) = self.open_segment() {
            let ends = s.is_sync && open.duration >= SEGMENT_AT_LEAST;
            if ends || open.duration + duration > limit {
                self.close_segment();
            } else if open.part_duration() + duration > part_target {
                open.close_part();
            }
        }
        if self.open_segment().is_none() {
            self.begin_segment(of, s);
        }
        let (frame, decode_time) = (self.frame, &mut self.decode_time);
        let Some(open) = self.segments.back_mut() else {
            return;
        };
        *decode_time = decode_time.saturating_add(u64::try_from(duration.0).unwrap_or(0));
        open.samples.push(FragmentSample {
            bytes: s.bytes,
            duration_90k: u32::try_from(s.duration_90k).unwrap_or(0),
            composition_offset_90k: s.composition_offset_90k.saturating_sub(base_offset),
            is_sync: s.is_sync,
        });
        open.duration += duration;
        if open.part_duration() + frame > part_target {
            open.close_part();
        }
        self.samples += 1;
        self.drop_old();
    }

    fn begin_segment(&mut self, of: &Arc<Of>, s: &Sample) {
        self.segments.push_back(Segment {
            of: of.clone(),
            discontinuity: std::mem::take(&mut self.broken),
            decode_time: self.decode_time,
            start: of.start + Duration90k(s.media_start_90k),
            offset: s.offset,
            samples: Vec::new(),
            duration: Duration90k::ZERO,
            parts: Vec::new(),
            closed: false,
        });
    }

    fn open_segment(&mut self) -> Option<&mut Segment> {
        self.segments.back_mut().filter(|s| !s.closed)
    }

    fn close_segment(&mut self) {
        if let Some(open) = self.open_segment() {
            open.close_part();
            open.closed = true;
        }
    }

    /// How far back a playlist goes.
    fn listed(&self) -> Duration90k {
        LISTED.max(Duration90k::from_secs(4 * i64::from(self.target_secs)))
    }

    fn drop_old(&mut self) {
        let kept = self.listed() + self.listed();
        let mut all = Duration90k(self.segments.iter().map(|s| s.duration.0).sum());
        while self.segments.len() > 1 {
            let Some(first) = self.segments.front() else {
                return;
            };
            if all - first.duration < kept && self.samples <= MAX_SAMPLES {
                return;
            }
            all -= first.duration;
            self.samples -= first.samples.len();
            self.discontinuities += u64::from(first.discontinuity);
            self.first_number += 1;
            self.segments.pop_front();
        }
    }

    /// Tells how much of each recording's file can be read by now. Returns whether there is more than
    /// before.
    pub fn readable(&mut self, bytes_of: impl Fn(RecordingId) -> u64) -> bool {
        let mut more = false;
        for segment in &mut self.segments {
            let waiting = segment.parts.iter_mut().filter(|p| !p.readable);
            for part in waiting {
                if bytes_of(segment.of.source.id) < u64::from(part.bytes_end) {
                    return more;
                }
                part.readable = true;
                more = true;
            }
        }
        more
    }

    /// Whether some part waits to be readable.
    pub fn is_waiting(&self) -> bool {
        let mut newest = self.segments.iter().rev().flat_map(|s| s.parts.last());
        newest.next().is_some_and(|p| !p.readable)
    }

    /// The segment that is not yet whole, by its place in the list, and how many of its parts are there.
    fn edge(&self) -> (usize, usize) {
        let whole = |s: &Segment| s.closed && s.parts.iter().all(|p| p.readable);
        let at = self.segments.iter().position(|s| !whole(s));
        let at = at.unwrap_or(self.segments.len());
        let parts = self.segments.get(at).map(|s| &s.parts);
        let there = parts.map_or(0, |p| p.iter().take_while(|p| p.readable).count());
        (at, there)
    }

    /// The media sequence number of the next segment to become whole.
    fn edge_number(&self) -> u64 {
        self.first_number + self.edge().0 as u64
    }

    /// Whether a playlist would have at least one whole segment.
    pub fn has_any(&self) -> bool {
        self.edge().0 > 0
    }

    /// Whether the playlist has a segment, or the part of one, or what comes after it.
    pub fn has(&self, number: u64, part: Option<u64>) -> Has {
        let (at, parts) = self.edge();
        let edge = self.edge_number();
        match (number, part) {
            (n, _) if n < edge => Has::Yes,
            (n, Some(p)) if n == edge => {
                let closed = self.segments.get(at).filter(|s| s.closed);
                match closed {
                    _ if p < parts as u64 => Has::Yes,
                    // The one after the last part is the first of the next segment.
                    Some(s) if p >= s.parts.len() as u64 => self.has(n + 1, Some(0)),
                    _ => Has::NotYet,
                }
            }
            (n, _) if n <= edge + 1 => Has::NotYet,
            _ => Has::TooFar,
        }
    }

    /// Whether the bytes of a segment or a part of it can be had.
    pub fn has_bytes(&self, number: u64, part: Option<u64>) -> Has {
        let Some(i) = number.checked_sub(self.first_number) else {
            return Has::Gone;
        };
        let segment = usize::try_from(i).ok().and_then(|i| self.segments.get(i));
        match (segment, part) {
            (Some(s), Some(p)) => match usize::try_from(p).ok().and_then(|p| s.parts.get(p)) {
                Some(part) if part.readable => Has::Yes,
                Some(_) => Has::NotYet,
                None if s.closed => Has::Gone,
                None if p == s.parts.len() as u64 => Has::NotYet,
                None => Has::TooFar,
            },
            (Some(_), None) => match self.has(number, None) {
                Has::Yes => Has::Yes,
                _ => Has::NotYet,
            },
            (None, Some(p)) if p > 0 => Has::TooFar,
            (None, _) if i == self.segments.len() as u64 => Has::NotYet,
            (None, _) => Has::TooFar,
        }
    }

    /// The file of a segment, or of a part of it, that is there.
    pub fn file(&self, number: u64, part: Option<u64>) -> Option<Result<mp4::File, mp4::Error>> {
        let i = usize::try_from(number.checked_sub(self.first_number)?).ok()?;
        let segment = self.segments.get(i)?;
        let range = match part {
            None => 0..segment.samples.len(),
            Some(part) => {
                let part = usize::try_from(part).ok()?;
                let before = part.checked_sub(1).and_then(|b| segment.parts.get(b));
                before.map_or(0, |b| b.end)..segment.parts.get(part)?.end
            }
        };
        let ahead = &segment.samples[..range.start];
        let bytes: u32 = ahead.iter().map(|s| s.bytes).sum();
        let ticks: u64 = ahead.iter().map(|s| u64::from(s.duration_90k)).sum();
        let samples = Samples {
            offset: segment.offset + bytes,
            start: Duration90k::ZERO, // Of no matter here.
            samples: segment.samples[range].to_vec(),
        };
        let of = &segment.of;
        let decode_time = segment.decode_time + ticks;
        Some(mp4::File::counted(
            of.source,
            of.open,
            &of.entry,
            &samples,
            decode_time,
        ))
    }

    /// The last segment and part that are there, for the report of this stream in the other's
    /// playlist.
    pub fn last(&self) -> (u64, Option<u64>) {
        let (at, parts) = self.edge();
        match (parts as u64).checked_sub(1) {
            Some(part) => (self.edge_number(), Some(part)),
            None => {
                let before = at.checked_sub(1).and_then(|i| self.segments.get(i));
                let parts = before.map(|s| (s.parts.len() as u64).saturating_sub(1));
                (self.edge_number().saturating_sub(1), parts)
            }
        }
    }

    /// The playlist.
    pub fn playlist(&self) -> Playlist {
        let (edge, edge_parts) = self.edge();
        let mut first = edge;
        let mut back = Duration90k::ZERO;
        while first > 0 && back < self.listed() {
            first -= 1;
            back += self.segments[first].duration;
        }
        let mut text = Playlist::default();
        self.head(&mut text, first, edge);
        let mut entry_row = None;
        // Parts are told of what ends within three target durations of the end.
        let mut to_end = back
            + self
                .segments
                .get(edge)
                .map_or(Duration90k::ZERO, |s| s.duration);
        let with_parts = Duration90k::from_secs(3 * i64::from(self.target_secs));
        for (i, s) in self.segments.iter().enumerate().skip(first) {
            let parts = match i < edge {
                true => s.parts.len(),
                false => edge_parts,
            };
            to_end -= s.duration;
            if i > edge || parts == 0 {
                break;
            }
            if s.discontinuity {
                text.line("#EXT-X-DISCONTINUITY");
            }
            if entry_row != Some(s.of.entry_row) {
                entry_row = Some(s.of.entry_row);
                text.map(s.of.entry_row);
            }
            text.date(s.start);
            let number = self.first_number + i as u64;
            if i == edge || to_end < with_parts {
                s.parts[..parts].iter().enumerate().for_each(|(p, part)| {
                    let independent = if part.has_sync {
                        ",INDEPENDENT=YES"
                    } else {
                        ""
                    };
                    text.line(format_args!(
                        "#EXT-X-PART:DURATION={},URI=\"segment.m4s?segment={number}&part={p}\"\
                         {independent}",
                        Seconds(part.duration)
                    ));
                });
            }
            if i < edge {
                text.segment(s.duration, format_args!("segment.m4s?segment={number}"));
            }
        }
        text.line(format_args!(
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"segment.m4s?segment={}&part={edge_parts}\"",
            self.edge_number()
        ));
        text
    }

    /// The tags ahead of all segments.
    fn head(&self, text: &mut Playlist, first: usize, edge: usize) {
        let listed = || self.segments.iter().take(edge + 1).skip(first);
        text.line("#EXTM3U");
        text.line("#EXT-X-VERSION:9");
        text.line(format_args!("#EXT-X-TARGETDURATION:{}", self.target_secs));
        let hold_back = Duration90k(self.part_target.0 * 3);
        text.line(format_args!(
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={}",
            Seconds(hold_back + Duration90k(9)) // Never rounded below the least.
        ));
        let part_target = Seconds(self.part_target);
        text.line(format_args!("#EXT-X-PART-INF:PART-TARGET={part_target}"));
        let number = self.first_number + first as u64;
        text.line(format_args!("#EXT-X-MEDIA-SEQUENCE:{number}"));
        let gone = self.segments.iter().take(first);
        let discontinuities =
            self.discontinuities + gone.filter(|s| s.discontinuity).count() as u64;
        if discontinuities > 0 {
            text.line(format_args!(
                "#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}"
            ));
        }
        if listed().all(|s| s.samples.first().is_some_and(|s| s.is_sync)) {
            text.line("#EXT-X-INDEPENDENT-SEGMENTS");
        }
    }
}

impl Segment {
    /// Of the samples that are in no part yet.
    fn part_duration(&self) -> Duration90k {
        let told: i64 = self.parts.iter().map(|p| p.duration.0).sum();
        self.duration - Duration90k(told)
    }

    fn close_part(&mut self) {
        let start = self.parts.last().map_or(0, |p| p.end);
        let samples = &self.samples[start..];
        if samples.is_empty() {
            return;
        }
        let before = self.parts.last().map_or(self.offset, |p| p.bytes_end);
        let part = Part {
            end: self.samples.len(),
            duration: self.part_duration(),
            has_sync: samples.iter().any(|s| s.is_sync),
            bytes_end: before + samples.iter().map(|s| s.bytes).sum::<u32>(),
            readable: false,
        };
        self.parts.push(part);
    }
}
