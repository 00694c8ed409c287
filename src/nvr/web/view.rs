//! `view.mp4` and `view.m4s`: from what `s=` asks for to a file that can be sent.

use super::span::Part;
use super::uncommitted::Uncommitted;
use crate::db::{self, MAX_INDEXES, Reply, Which};
use crate::http::{Response, Status};
use crate::mp4::{File, Samples, Segment, Source};
use crate::recording::{RecordingId, StreamId, Summary};
use crate::time::Duration90k;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Recordings that one request may ask for: 60 days of minutes.
const MAX_RECORDINGS: u32 = 86_400;

/// Of a part that names recordings alone.
const ALL_TIME: Range<Duration90k> = Duration90k::ZERO..Duration90k(i64::MAX);

/// Which kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `view.mp4`; with a track that tells the time.
    Movie { subtitles: bool },
    /// `view.m4s`.
    MediaSegment,
}

/// What is asked for: also the name under which the layout is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub stream: StreamId,
    pub form: Form,
    /// The `s=` as they came.
    pub parts: Vec<String>,
    /// Of a media segment: these samples of one recording only, by their positions in it.
    pub samples: Option<Range<u32>>,
    /// Of a media segment: its first sample's decoding time, in 90 kHz units.
    pub decode_time: u64,
}

/// A file and what headers tell of it.
#[derive(Debug)]
pub struct View {
    pub file: Arc<File>,
    /// Of the first recording.
    pub prev_media_duration: Duration90k,
    pub prev_runs: u32,
    /// None of its recordings may still grow, so that the same will be said of the same question.
    pub settled: bool,
    /// Its URL will never name other bytes.
    pub immutable: bool,
    /// The indexes of recordings that the database did not have.
    pub indexes: BTreeMap<RecordingId, Arc<[u8]>>,
}

/// The way there.
pub struct Ask {
    pub wanted: Wanted,
    parts: Vec<Part>,
    zone: TimeZone,
    /// The next part to ask the database for, and from which sequence number on.
    next: (usize, u32),
    found: BTreeMap<u32, Summary>,
    uncommitted: BTreeMap<u32, Uncommitted>,
    chosen: Option<Vec<Segment>>,
    indexes: BTreeMap<RecordingId, Arc<[u8]>>,
}

fn bad(sentence: &str) -> Response {
    Response::text(Status::BadRequest, sentence)
}

fn gone(sentence: String) -> Response {
    Response::text(Status::NotFound, &sentence)
}

impl Ask {
    /// Understands what is asked for. `uncommitted` is what the database does not have at this moment:
    /// whatever it does not have when it is asked is there.
    pub fn new(
        wanted: Wanted,
        zone: TimeZone,
        uncommitted: Vec<Uncommitted>,
    ) -> Result<Ask, Response> {
        if wanted.parts.is_empty() {
            return Err(bad("name the recordings that you want: s=FIRST-LAST"));
        }
        if wanted.parts.len() > super::span::MAX_PARTS {
            return Err(bad("there are too many s= in this request"));
        }
        let mut parts = Vec::with_capacity(wanted.parts.len());
        let mut recordings = 0u32;
        for text in &wanted.parts {
            let Some(part) = Part::parse(text) else {
                return Err(bad(&format!(
                    "s={text} is not understood: it is START_ID[-END_ID][@OPEN_ID][.[START]-[END]]"
                )));
            };
            let ids = part.ids.end() - part.ids.start();
            recordings = recordings.saturating_add(ids).saturating_add(1);
            parts.push(part);
        }
        if wanted.samples.is_some() && (recordings > 1 || parts[0].time != ALL_TIME) {
            return Err(bad("samples= is of one recording: s=ID"));
        }
        if recordings > MAX_RECORDINGS {
            return Err(bad(
                "that is more than can be had at once: ask for a shorter span",
            ));
        }
        let first = *parts[0].ids.start();
        Ok(Ask {
            wanted,
            parts,
            zone,
            next: (0, first),
            found: BTreeMap::new(),
            uncommitted: uncommitted
                .into_iter()
                .map(|u| (u.summary.id.sequence, u))
                .collect(),
            chosen: None,
            indexes: BTreeMap::new(),
        })
    }

    /// What is to be asked of the database next; `None` once all is there.
    pub fn need(&self) -> Option<db::Request> {
        if let Some(part) = self.parts.get(self.next.0) {
            return Some(db::Request::Summaries {
                stream: self.wanted.stream,
                which: Which::Sequences(self.next.1..part.ids.end().saturating_add(1)),
                limit: db::MAX_SUMMARIES,
            });
        }
        let missing = self.indexes_missing();
        (!missing.is_empty()).then_some(db::Request::Indexes(missing))
    }

    fn indexes_missing(&self) -> Vec<RecordingId> {
        let segments = self.chosen.iter().flatten();
        segments
            .filter(|s| self.wanted.samples.is_some() || s.needs_index())
            .filter(|s| s.index.is_none())
            .map(|s| s.summary.id)
            .filter(|id| !self.indexes.contains_key(id))
            .take(MAX_INDEXES)
            .collect()
    }

    /// Takes in an answer.
    pub fn take(&mut self, reply: Reply) -> Result<(), Response> {
        match reply {
            Reply::Summaries(summaries) => {
                let Some(part) = self.parts.get(self.next.0) else {
                    return Ok(());
                };
                let last = *part.ids.end();
                let full = summaries.len() >= db::MAX_SUMMARIES;
                let reached = summaries.last().map(|s| s.id.sequence);
                self.found
                    .extend(summaries.into_iter().map(|s| (s.id.sequence, s)));
                self.next = match reached.filter(|r| full && *r < last) {
                    Some(reached) => (self.next.0, reached + 1),
                    None => {
                        let next = self.next.0 + 1;
                        (next, self.parts.get(next).map_or(0, |p| *p.ids.start()))
                    }
                };
                if self.next.0 == self.parts.len() {
                    self.chosen = Some(self.choose()?);
                }
            }
            Reply::Indexes(indexes) => {
                for (id, index) in indexes {
                    let Some(index) = index else {
                        return Err(gone(format!("recording {} is gone", id.sequence)));
                    };
                    self.indexes.insert(id, index);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The segments that make up what is asked for.
    fn choose(&self) -> Result<Vec<Segment>, Response> {
        let mut segments = Vec::with_capacity(self.found.len());
        for part in &self.parts {
            let before = segments.len();
            let mut offset = Duration90k::ZERO;
            for sequence in part.ids.clone() {
                let known = self.found.get(&sequence);
                let fresh = self.uncommitted.get(&sequence);
                let Some(summary) = known.or(fresh.map(|u| &u.summary)) else {
                    return Err(gone(format!("there is no recording {sequence}")));
                };
                if part.open.is_some_and(|open| open != summary.open) {
                    return Err(gone(format!(
                        "recording {sequence} is not of open {}",
                        part.open.map_or(0, |o| o.0)
                    )));
                }
                let mut segment = segment(summary, &part.time, offset);
                offset += summary.wall_duration;
                if let (Some(s), None, Some(u)) = (&mut segment, known, fresh) {
                    s.index = Some(u.index.clone());
                }
                segments.extend(segment);
            }
            if segments.len() == before {
                return Err(bad("s= asks for a span that its recordings do not have"));
            }
        }
        Ok(segments)
    }

    /// Lays the file out. All that [`Self::need`] named was taken.
    pub fn finish(mut self) -> Result<View, Response> {
        let mut segments = self.chosen.take().unwrap_or_default();
        for s in &mut segments {
            if s.index.is_none() {
                s.index = self.indexes.get(&s.summary.id).cloned();
            }
        }
        let Some(first) = segments.first() else {
            return Err(gone("there is nothing".to_owned()));
        };
        let (prev_media_duration, prev_runs) =
            (first.summary.prev_media_duration, first.summary.prev_runs);
        let growing = |s: &Segment| {
            let u = self.uncommitted.get(&s.summary.id.sequence);
            u.is_some_and(|u| u.growing)
        };
        // The newest sample of one that grows lasts as long as is guessed.
        let last_known = first.summary.video_samples.saturating_sub(1);
        let settled = match &self.wanted.samples {
            Some(samples) => samples.end <= last_known || !growing(first),
            None => !segments.iter().any(growing),
        };
        let decode_time = self.wanted.decode_time;
        let file = match (self.wanted.form, &self.wanted.samples) {
            (Form::Movie { subtitles }, _) => {
                File::movie(&segments, subtitles.then_some(&self.zone))
            }
            (Form::MediaSegment, None) => File::media_segment(&segments, decode_time),
            (Form::MediaSegment, Some(positions)) => counted(first, positions.clone(), decode_time),
        };
        let file = file.map_err(|e| match e {
            mp4_error @ (crate::mp4::Error::Empty | crate::mp4::Error::EmptySegment { .. }) => {
                bad(&mp4_error.to_string())
            }
            too_long @ crate::mp4::Error::TooLong(_) => bad(&too_long.to_string()),
            damaged => Response::text(Status::InternalServerError, &damaged.to_string()),
        })?;
        let indexes = self.uncommitted.values();
        Ok(View {
            indexes: indexes.map(|u| (u.summary.id, u.index.clone())).collect(),
            file: Arc::new(file),
            prev_media_duration,
            prev_runs,
            immutable: settled && self.parts.iter().all(|p| p.open.is_some()),
            settled,
        })
    }
}

/// Some samples of a recording, which has its index.
fn counted(
    s: &Segment,
    positions: Range<u32>,
    decode_time: u64,
) -> Result<File, crate::mp4::Error> {
    let summary = &s.summary;
    let (id, bytes) = (summary.id, summary.sample_file_bytes);
    let index = s.index.as_deref().unwrap_or_default();
    let samples = Samples::of(id, index, positions, bytes)?;
    let dir = summary.dir;
    File::counted(
        Source { id, dir },
        summary.open,
        &summary.sample_entry,
        &samples,
        decode_time,
    )
}

/// What of a recording that begins `offset` after the part's first one is within the wanted time.
fn segment(s: &Summary, wanted: &Range<Duration90k>, offset: Duration90k) -> Option<Segment> {
    let end = offset + s.wall_duration;
    if wanted.start <= offset && wanted.end >= end {
        return Some(Segment::whole(s.clone()));
    }
    let wall = |t: Duration90k| s.start + (t - offset);
    Segment::within(s.clone(), &(wall(wanted.start)..wall(wanted.end)))
}

/// Laid out files, for those who ask for one range after another.
#[derive(Default)]
pub struct Layouts {
    kept: Vec<(u64, Wanted, Arc<View>)>,
    uses: u64,
}

/// Files that are kept laid out, and the segments that all of them may have together.
const MAX_LAYOUTS: usize = 32;
const MAX_SEGMENTS: usize = 50_000;

impl Layouts {
    pub fn get(&mut self, wanted: &Wanted) -> Option<Arc<View>> {
        self.uses += 1;
        let (last_use, _, view) = self.kept.iter_mut().find(|(_, w, _)| w == wanted)?;
        *last_use = self.uses;
        Some(view.clone())
    }

    pub fn insert(&mut self, wanted: Wanted, view: Arc<View>) {
        self.uses += 1;
        self.kept.retain(|(_, w, _)| *w != wanted);
        self.kept.push((self.uses, wanted, view));
        self.kept.sort_unstable_by_key(|(last_use, ..)| *last_use);
        let sum = |kept: &[(u64, Wanted, Arc<View>)]| -> usize {
            kept.iter().map(|(_, _, v)| v.file.segments()).sum()
        };
        while self.kept.len() > MAX_LAYOUTS
            || (self.kept.len() > 1 && sum(&self.kept) > MAX_SEGMENTS)
        {
            self.kept.remove(0);
        }
    }

    /// Recordings are gone: what had one of them is not to be had any more.
    pub fn forget(&mut self, gone: &[RecordingId]) {
        self.kept.retain(|(_, wanted, view)| {
            let file = &view.file;
            !gone.iter().any(|id| {
                id.stream == wanted.stream && (0..file.segments()).any(|i| file.source(i).id == *id)
            })
        });
    }

    /// What is known of the recordings has changed.
    pub fn forget_all(&mut self) {
        self.kept.clear();
    }
}
