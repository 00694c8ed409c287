//! A playlist of what was recorded in a span.
//!
//! Up to [`CUT_SPAN`] the segments are cut at sync samples, which takes the recordings' indexes: players
//! start and seek within seconds. A longer playlist lists whole recordings, which its rows alone tell of: a
//! day's is made in milliseconds. Which of the two follows from the URL, so that a playlist that is read
//! again as it grows only ever gets longer.

use super::playlist::{Playlist, Seconds, rounded_secs};
use super::too_much;
use crate::db::{self, After, Reply, Which};
use crate::http::{Response, Status};
use crate::mp4::{SyncPart, sync_parts};
use crate::nvr::web::uncommitted::Uncommitted;
use crate::recording::{OpenId, RecordingId, StreamId, Summary};
use crate::time::{Duration90k, Wall90k};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// Spans up to this are cut into short segments. Also how long one is that has no end.
pub const CUT_SPAN: Duration90k = Duration90k::from_secs(4 * 3600);

/// The longest span of one playlist.
pub const MAX_SPAN: Duration90k = Duration90k::from_secs(7 * 24 * 3600);

/// Recordings in one playlist at most: a week of minutes.
const MAX_RECORDINGS: usize = 10_080;

/// How long a short segment is at least, but for the last of a recording.
const SEGMENT_AT_LEAST: Duration90k = Duration90k::from_secs(6);

/// The target durations of playlists that still grow, which must not change: short segments are one GOP
/// longer than they must be, recordings last up to a minute and a half and a GOP.
const GROWING_TARGET_SECS: u32 = 12;
const GROWING_TARGET_SECS_WHOLE: u32 = 100;

/// Indexes that are cut together: how long the loop is kept.
const BATCH: usize = 16;

/// Recordings whose cuts are kept: a day and a half of minutes, about 24 KB an hour. Past it all are
/// forgotten.
const MAX_KEPT: usize = 2_160;

/// Beginnings of runs whose start was told while they might still move; one for each time that a camera
/// comes back while somebody watches. Past it all are forgotten.
const MAX_STARTS: usize = 1_000;

/// Where one recording is cut.
type Cuts = Arc<[SyncPart]>;

/// What is kept for who reads a growing playlist again and again.
#[derive(Default)]
pub struct Kept {
    /// Where recordings are cut.
    cuts: HashMap<(RecordingId, OpenId), Cuts>,
    /// When the first recording of a run began, as a playlist told while it was being recorded: until it
    /// ends that may move back, and what was told may not.
    starts: HashMap<(RecordingId, OpenId), Wall90k>,
}

impl Kept {
    fn insert(&mut self, s: &Summary, cuts: Cuts) {
        if self.cuts.len() >= MAX_KEPT {
            self.cuts.clear();
        }
        self.cuts.insert((s.id, s.open), cuts);
    }

    /// The start of a recording as it is to be told from now on.
    fn start(&mut self, s: &Summary, grows: bool) -> Wall90k {
        let key = (s.id, s.open);
        if let Some(told) = self.starts.get(&key) {
            return *told;
        }
        if grows && s.run_offset == 0 {
            if self.starts.len() >= MAX_STARTS {
                self.starts.clear();
            }
            self.starts.insert(key, s.start);
        }
        s.start
    }
}

/// The way to a playlist.
pub struct Recorded {
    stream: StreamId,
    span: Range<Wall90k>,
    found: Vec<Summary>,
    complete: bool,
    uncommitted: Option<Vec<Uncommitted>>,
    /// By sequence number. Those of a recording that was deleted meanwhile are none.
    cuts: BTreeMap<u32, Cuts>,
    /// Cut just now, to be kept.
    fresh: Vec<u32>,
}

/// A recording to be listed.
struct Listed<'a> {
    summary: &'a Summary,
    /// `None` if it is one segment.
    cuts: Option<&'a [SyncPart]>,
}

impl Recorded {
    pub fn new(
        stream: StreamId,
        start: Option<Wall90k>,
        end: Option<Wall90k>,
    ) -> Result<Recorded, Box<Response>> {
        let bad = |sentence| Box::new(Response::text(Status::BadRequest, sentence));
        let Some(start) = start else {
            return Err(bad("tell from when on: startTime90k="));
        };
        let end = end.unwrap_or(start + CUT_SPAN);
        if end <= start {
            return Err(bad("the span ends before it begins"));
        }
        if end - start > MAX_SPAN {
            return Err(too_much());
        }
        Ok(Recorded {
            stream,
            span: start..end,
            found: Vec::new(),
            complete: false,
            uncommitted: None,
            cuts: BTreeMap::new(),
            fresh: Vec::new(),
        })
    }

    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// Whether [`Self::begin`] is still to be told.
    pub fn is_new(&self) -> bool {
        self.uncommitted.is_none()
    }

    /// Takes what the database does not have at this moment.
    pub fn begin(&mut self, uncommitted: Vec<Uncommitted>) {
        self.uncommitted = Some(uncommitted);
    }

    fn is_cut(&self) -> bool {
        self.span.end - self.span.start <= CUT_SPAN
    }

    /// What is to be asked of the database next; `None` once all is there.
    pub fn need(&mut self, kept: &mut Kept) -> Option<db::Request> {
        if !self.complete {
            return Some(db::Request::Summaries {
                stream: self.stream,
                which: Which::Overlapping {
                    span: self.span.clone(),
                    after: self.found.last().map(After::from),
                },
                limit: db::MAX_SUMMARIES,
            });
        }
        if !self.is_cut() {
            return None;
        }
        let fresh = std::mem::take(&mut self.fresh);
        let mut missing = Vec::new();
        for s in &self.found {
            match self.cuts.get(&s.id.sequence) {
                Some(cuts) if fresh.contains(&s.id.sequence) => kept.insert(s, cuts.clone()),
                Some(_) => {}
                None => match kept.cuts.get(&(s.id, s.open)) {
                    Some(cuts) => {
                        self.cuts.insert(s.id.sequence, cuts.clone());
                    }
                    None if missing.len() < BATCH => missing.push(s.id),
                    None => {}
                },
            }
        }
        (!missing.is_empty()).then_some(db::Request::Indexes(missing))
    }

    /// Takes in what the database answered.
    pub fn take(&mut self, reply: Reply) -> Result<(), Box<Response>> {
        match reply {
            Reply::Summaries(found) => {
                self.complete = found.len() < db::MAX_SUMMARIES;
                self.found.extend(found);
                if self.found.len() > MAX_RECORDINGS {
                    return Err(too_much());
                }
            }
            Reply::Indexes(indexes) => {
                for (id, index) in indexes {
                    let cuts = match index {
                        Some(index) => cut(id, &index)?,
                        None => Arc::default(),
                    };
                    if !cuts.is_empty() {
                        self.fresh.push(id.sequence);
                    }
                    self.cuts.insert(id.sequence, cuts);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The playlist. All that [`Self::need`] named was taken; `now` is the recorder's wall time.
    pub fn finish(mut self, now: Wall90k, kept: &mut Kept) -> Result<Playlist, Box<Response>> {
        let is_cut = self.is_cut();
        let last = self.found.iter().map(|s| s.id.sequence).max();
        // The database may have got some since.
        let mut fresh = self.uncommitted.take().unwrap_or_default();
        fresh.retain(|u| {
            let s = &u.summary;
            Some(s.id.sequence) > last && s.start < self.span.end && s.end() > self.span.start
        });
        let grows = fresh.iter().any(|u| u.growing);
        for s in &mut self.found {
            s.start = kept.start(s, false);
        }
        for u in &mut fresh {
            u.summary.start = kept.start(&u.summary, u.growing && is_cut);
        }
        for u in fresh.iter().filter(|_| is_cut) {
            let mut cuts = cut(u.summary.id, &u.index)?.to_vec();
            if u.growing {
                // There will be more of the last one.
                cuts.pop();
            }
            self.cuts.insert(u.summary.id.sequence, cuts.into());
        }
        let cuts = &self.cuts;
        let committed = self.found.iter();
        let ended = fresh.iter().filter(|u| is_cut || !u.growing);
        let listed = committed
            .chain(ended.map(|u| &u.summary))
            .map(|summary| Listed {
                summary,
                cuts: is_cut.then(|| cuts.get(&summary.id.sequence).map_or(&[][..], |c| c)),
            });
        let mut body = Body::new(self.span.clone());
        listed.for_each(|l| body.add(&l));
        let complete = now >= self.span.end && (!grows || body.end >= self.span.end);
        if body.first.is_none() {
            return Err(Box::new(Response::text(
                Status::NotFound,
                "nothing was recorded in that span",
            )));
        }
        Ok(body.playlist(&self.span, is_cut, complete))
    }
}

fn cut(id: RecordingId, index: &[u8]) -> Result<Cuts, Box<Response>> {
    let parts = sync_parts(index, SEGMENT_AT_LEAST);
    parts.map(Into::into).map_err(|e| {
        let sentence = format!("recording {}: {e}", id.sequence);
        Box::new(Response::text(Status::InternalServerError, &sentence))
    })
}

/// What comes behind the head.
struct Body {
    span: Range<Wall90k>,
    lines: Playlist,
    /// When the first segment begins.
    first: Option<Wall90k>,
    /// When the last one ends.
    end: Wall90k,
    longest_secs: u32,
    /// The recording before, and whether any of it is listed.
    before: Option<Before>,
    /// The decoding time at which the next recording begins.
    decode_time: u64,
    /// Nothing joins the next segment to those before it.
    broken: bool,
    entry_row: Option<i64>,
}

struct Before {
    id: RecordingId,
    open: OpenId,
    run_offset: u32,
    entry_row: i64,
}

impl Before {
    fn joins(&self, s: &Summary) -> bool {
        self.id.sequence.checked_add(1) == Some(s.id.sequence)
            && self.run_offset.checked_add(1) == Some(s.run_offset)
            && self.open == s.open
            && self.entry_row == s.sample_entry_id
    }
}

impl Body {
    fn new(span: Range<Wall90k>) -> Body {
        Body {
            end: span.start,
            span,
            lines: Playlist::default(),
            first: None,
            longest_secs: 1,
            before: None,
            decode_time: 0,
            broken: false,
            entry_row: None,
        }
    }

    fn add(&mut self, r: &Listed<'_>) {
        let s = r.summary;
        if !self.before.as_ref().is_some_and(|b| b.joins(s)) {
            self.decode_time = u64::try_from(s.start.0).unwrap_or(0);
            self.broken = self.first.is_some();
        }
        let id = format!("view.m4s?s={}@{}", s.id.sequence, s.open.0);
        let mut dated = false;
        match r.cuts {
            None => {
                let duration = s
                    .sums
                    .and_then(|s| s.reordering)
                    .map_or(s.media_duration, |reordering| {
                        Duration90k(reordering.presentation_duration_90k)
                    });
                let uri = format!("{id}&decodeTime90k={}", self.decode_time);
                self.segment(s, &(s.start..s.end()), duration, &uri, &mut dated);
            }
            Some(cuts) => {
                for cut in cuts {
                    let wall = wall(s, cut.range.start)..wall(s, cut.range.end);
                    if wall.start >= self.span.end || wall.end <= self.span.start {
                        continue;
                    }
                    let ahead = u64::try_from(cut.decode_start.0).unwrap_or(0);
                    let uri = format!(
                        "{id}&samples={}-{}&decodeTime90k={}",
                        cut.first,
                        cut.first + cut.samples,
                        self.decode_time + ahead
                    );
                    self.segment(s, &wall, cut.duration(), &uri, &mut dated);
                }
            }
        }
        self.decode_time += u64::try_from(s.media_duration.0).unwrap_or(0);
        // One of which nothing is left breaks what it was part of.
        let gone = r.cuts.is_some_and(<[SyncPart]>::is_empty);
        self.before = (!gone).then_some(Before {
            id: s.id,
            open: s.open,
            run_offset: s.run_offset,
            entry_row: s.sample_entry_id,
        });
    }

    fn segment(
        &mut self,
        s: &Summary,
        wall: &Range<Wall90k>,
        duration: Duration90k,
        uri: &str,
        dated: &mut bool,
    ) {
        if std::mem::take(&mut self.broken) {
            self.lines.line("#EXT-X-DISCONTINUITY");
        }
        if self.entry_row != Some(s.sample_entry_id) {
            self.entry_row = Some(s.sample_entry_id);
            self.lines.map(s.sample_entry_id);
        }
        if !std::mem::replace(dated, true) {
            self.lines.date(wall.start);
        }
        self.first.get_or_insert(wall.start);
        self.end = wall.end;
        self.longest_secs = self.longest_secs.max(rounded_secs(duration));
        self.lines.segment(duration, uri);
    }

    fn playlist(self, span: &Range<Wall90k>, is_cut: bool, complete: bool) -> Playlist {
        let mut text = Playlist::default();
        text.line("#EXTM3U");
        text.line("#EXT-X-VERSION:7");
        let target = match (complete, is_cut) {
            (true, _) => self.longest_secs,
            (false, true) => self.longest_secs.max(GROWING_TARGET_SECS),
            (false, false) => self.longest_secs.max(GROWING_TARGET_SECS_WHOLE),
        };
        text.line(format_args!("#EXT-X-TARGETDURATION:{target}"));
        text.line("#EXT-X-MEDIA-SEQUENCE:0");
        text.line(match complete {
            true => "#EXT-X-PLAYLIST-TYPE:VOD",
            false => "#EXT-X-PLAYLIST-TYPE:EVENT",
        });
        text.line("#EXT-X-INDEPENDENT-SEGMENTS");
        // The first segment begins with a sync sample, ahead of the span.
        let ahead = span.start - self.first.unwrap_or(span.start);
        if ahead.0 > 0 {
            let offset = Seconds(ahead);
            text.line(format_args!(
                "#EXT-X-START:TIME-OFFSET={offset},PRECISE=YES"
            ));
        }
        text.append(&self.lines);
        if complete {
            text.line("#EXT-X-ENDLIST");
        }
        text
    }
}

/// The wall time of a time within a recording.
fn wall(s: &Summary, media: Duration90k) -> Wall90k {
    let scaled = match s.media_duration.0 {
        0 => i128::from(media.0),
        m => i128::from(media.0) * i128::from(s.wall_duration.0) / i128::from(m),
    };
    s.start + Duration90k(i64::try_from(scaled).unwrap_or(i64::MAX))
}
