//! `view.mp4` and `view.m4s`: from what `s=` asks for to a file that can be sent.

use super::span::Part;
use super::uncommitted::Uncommitted;
use crate::db::{self, MAX_INDEXES, Reply, Which};
use crate::http::{Response, Status};
use crate::mp4::{Builder, Error, File, Samples, Segment, Source};
use crate::recording::{RecordingId, StreamId, Summary};
use crate::time::Duration90k;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// Recordings that one request may ask for: 60 days of minutes.
const MAX_RECORDINGS: u32 = 86_400;

/// Rows that are asked for at a time: laying out so many keeps the loop busy for well under a millisecond on
/// a desktop, and a few on a small board.
const PAGE: usize = 1_000;

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

/// The way there. A month is laid out in pages, with all else that the loop has to do in between.
pub struct Ask {
    pub wanted: Wanted,
    parts: Vec<Part>,
    /// The next part to ask the database for, and from which sequence number on.
    next: (usize, u32),
    /// How far into the part that is, and whether anything before it is within the wanted time.
    offset: Duration90k,
    part_has_any: bool,
    uncommitted: BTreeMap<u32, Uncommitted>,
    /// Chosen and not laid out: it may wait for an index.
    waiting: VecDeque<Segment>,
    indexes: BTreeMap<RecordingId, Arc<[u8]>>,
    builder: Builder,
    first: Option<First>,
    /// Some recording that was chosen may still grow.
    grows: bool,
}

/// What headers tell of the first recording.
struct First {
    prev_media_duration: Duration90k,
    prev_runs: u32,
    video_samples: u32,
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
        zone: &TimeZone,
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
        let builder = match wanted.form {
            Form::Movie { subtitles } => Builder::movie(subtitles.then_some(zone)),
            Form::MediaSegment => Builder::media_segment(wanted.decode_time),
        };
        Ok(Ask {
            wanted,
            parts,
            next: (0, first),
            offset: Duration90k::ZERO,
            part_has_any: false,
            uncommitted: uncommitted
                .into_iter()
                .map(|u| (u.summary.id.sequence, u))
                .collect(),
            waiting: VecDeque::new(),
            indexes: BTreeMap::new(),
            builder,
            first: None,
            grows: false,
        })
    }

    /// What is to be asked of the database next; `None` once all is there.
    pub fn need(&self) -> Option<db::Request> {
        let missing = self.indexes_missing();
        if !missing.is_empty() {
            return Some(db::Request::Indexes(missing));
        }
        let part = self.parts.get(self.next.0)?;
        Some(db::Request::Summaries {
            stream: self.wanted.stream,
            which: Which::Sequences(self.next.1..part.ids.end().saturating_add(1)),
            limit: PAGE,
        })
    }

    fn needs_index(&self, s: &Segment) -> bool {
        s.index.is_none() && (self.wanted.samples.is_some() || s.needs_index())
    }

    fn indexes_missing(&self) -> Vec<RecordingId> {
        self.waiting
            .iter()
            .filter(|s| self.needs_index(s))
            .map(|s| s.summary.id)
            .take(MAX_INDEXES)
            .collect()
    }

    /// Takes in an answer.
    pub fn take(&mut self, reply: Reply) -> Result<(), Response> {
        match reply {
            Reply::Summaries(summaries) => self.choose(summaries)?,
            Reply::Indexes(indexes) => {
                for (id, index) in indexes {
                    let Some(index) = index else {
                        return Err(gone(format!("recording {} is gone", id.sequence)));
                    };
                    self.indexes.insert(id, index);
                }
                for s in &mut self.waiting {
                    if let Some(index) = self.indexes.get(&s.summary.id) {
                        s.index.get_or_insert_with(|| index.clone());
                    }
                }
                self.indexes.clear();
            }
            _ => {}
        }
        self.lay_out()
    }

    /// Chooses what is wanted of a page of the part's recordings, in the order of their numbers.
    fn choose(&mut self, page: Vec<Summary>) -> Result<(), Response> {
        let (number, from) = self.next;
        let Some(part) = self.parts.get(number).cloned() else {
            return Ok(());
        };
        let last = *part.ids.end();
        // What the database has beyond a full page is in the next one.
        let full = page.len() >= PAGE;
        let reached = page
            .last()
            .map(|s| s.id.sequence)
            .filter(|r| full && *r < last);
        let mut page = page.into_iter().peekable();
        for sequence in from..=reached.unwrap_or(last) {
            let known = page.next_if(|s| s.id.sequence == sequence);
            let (summary, fresh) = match (known, self.uncommitted.get(&sequence)) {
                (Some(summary), _) => (summary, None),
                (None, Some(u)) => (u.summary.clone(), Some(u)),
                (None, None) => return Err(gone(format!("there is no recording {sequence}"))),
            };
            if part.open.is_some_and(|open| open != summary.open) {
                return Err(gone(format!(
                    "recording {sequence} is not of open {}",
                    part.open.map_or(0, |o| o.0)
                )));
            }
            let wall_duration = summary.wall_duration;
            if let Some(mut segment) = segment(summary, &part.time, self.offset) {
                segment.index = fresh.map(|u| u.index.clone());
                let uncommitted = self.uncommitted.get(&sequence);
                self.grows |= uncommitted.is_some_and(|u| u.growing);
                self.first
                    .get_or_insert_with(|| First::of(&segment.summary));
                self.waiting.push_back(segment);
                self.part_has_any = true;
            }
            self.offset += wall_duration;
        }
        if let Some(reached) = reached {
            self.next.1 = reached + 1;
            return Ok(());
        }
        if !self.part_has_any {
            return Err(bad("s= asks for a span that its recordings do not have"));
        }
        let next = number + 1;
        self.next = (next, self.parts.get(next).map_or(0, |p| *p.ids.start()));
        (self.offset, self.part_has_any) = (Duration90k::ZERO, false);
        Ok(())
    }

    /// Lays out what was chosen as far as the indexes are there.
    fn lay_out(&mut self) -> Result<(), Response> {
        // What is wanted by position is made of the one recording that waits.
        while self.wanted.samples.is_none() {
            let Some(segment) = self.waiting.front() else {
                break;
            };
            if self.needs_index(segment) {
                break;
            }
            self.builder.add(segment).map_err(|e| problem(&e))?;
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Lays the file out. All that [`Self::need`] named was taken.
    pub fn finish(mut self) -> Result<View, Response> {
        let Some(first) = self.first.take() else {
            return Err(gone("there is nothing".to_owned()));
        };
        // The newest sample of one that grows lasts as long as is guessed.
        let last_known = first.video_samples.saturating_sub(1);
        let ended = |samples: &Range<u32>| samples.end <= last_known;
        let settled = !self.grows || self.wanted.samples.as_ref().is_some_and(ended);
        let file = match (&self.wanted.samples, self.waiting.front()) {
            (Some(positions), Some(segment)) => {
                counted(segment, positions.clone(), self.wanted.decode_time)
            }
            _ => self.builder.finish(),
        };
        let indexes = self.uncommitted.values();
        Ok(View {
            indexes: indexes.map(|u| (u.summary.id, u.index.clone())).collect(),
            file: Arc::new(file.map_err(|e| problem(&e))?),
            prev_media_duration: first.prev_media_duration,
            prev_runs: first.prev_runs,
            immutable: settled && self.parts.iter().all(|p| p.open.is_some()),
            settled,
        })
    }
}

impl First {
    fn of(s: &Summary) -> First {
        First {
            prev_media_duration: s.prev_media_duration,
            prev_runs: s.prev_runs,
            video_samples: s.video_samples,
        }
    }
}

/// Why there is no such file.
fn problem(e: &Error) -> Response {
    match e {
        Error::Empty | Error::EmptySegment { .. } | Error::TooLong(_) | Error::SeveralEntries => {
            bad(&e.to_string())
        }
        Error::Index { .. } => Response::text(Status::InternalServerError, &e.to_string()),
    }
}

/// Some samples of a recording, which has its index.
fn counted(s: &Segment, positions: Range<u32>, decode_time: u64) -> Result<File, Error> {
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
fn segment(s: Summary, wanted: &Range<Duration90k>, offset: Duration90k) -> Option<Segment> {
    let end = offset + s.wall_duration;
    if wanted.start <= offset && wanted.end >= end {
        return Some(Segment::whole(s));
    }
    let wall = |t: Duration90k| s.start + (t - offset);
    let span = wall(wanted.start)..wall(wanted.end);
    Segment::within(s, &span)
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
        self.kept
            .retain(|(.., view)| !gone.iter().any(|id| view.file.has(*id)));
    }

    /// What is known of the recordings has changed.
    pub fn forget_all(&mut self) {
        self.kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h264::VideoSampleEntry;
    use crate::recording::index::{IndexEncoder, Sample};
    use crate::recording::{DirId, OpenId, Place, Recording};
    use crate::time::Wall90k;

    const FRAME: i32 = 3_000;
    const STREAM: StreamId = StreamId(7);

    fn entry(width: u16) -> Arc<VideoSampleEntry> {
        Arc::new(VideoSampleEntry {
            width,
            height: 480,
            pixel_h_spacing: 1,
            pixel_v_spacing: 1,
            rfc6381_codec: "avc1.4d401e".into(),
            avcc: vec![1],
            reorder_frames: 0,
        })
    }

    /// Recordings of ten frames, one after another.
    fn recordings(count: u32) -> (Vec<Summary>, Arc<[u8]>) {
        let mut index = Vec::new();
        let mut encoder = IndexEncoder::new(&mut index, false);
        for i in 0..10 {
            let sample = Sample {
                media_start_90k: 0, // Follows from the samples before.
                duration_90k: FRAME,
                composition_offset_90k: 0,
                offset: 0, // Likewise.
                bytes: 100,
                is_sync: i % 5 == 0,
            };
            encoder.add(&mut index, &sample);
        }
        let duration = Duration90k(10 * i64::from(FRAME));
        let (open, entry) = (OpenId(3), entry(640));
        let summary = |sequence: u32| {
            let recording = Recording {
                id: RecordingId {
                    stream: STREAM,
                    sequence,
                },
                open,
                run_offset: sequence,
                start: Wall90k::from_unix_secs(1_795_341_600)
                    + Duration90k(duration.0 * i64::from(sequence)),
                wall_duration: duration,
                media_duration: duration,
                clock_untrusted: false,
                sample_file_bytes: 1_000,
                video_samples: 10,
                video_sync_samples: 2,
                sample_entry: entry.clone(),
                index: index.clone(),
                data_hash: [0; 16],
                chain_hash: [0; 32],
                end_reason: String::new(),
            };
            let place = Place {
                dir: DirId(1),
                sample_entry_id: 1,
                prev_media_duration: Duration90k(duration.0 * i64::from(sequence)),
                prev_runs: 1,
            };
            Summary::of(&recording, place).unwrap()
        };
        ((0..count).map(summary).collect(), index.clone().into())
    }

    /// Asks for `s=` of these parts; the view, and how many questions it took.
    fn view(
        form: Form,
        parts: &[&str],
        rows: &[Summary],
        uncommitted: Vec<Uncommitted>,
        index: &Arc<[u8]>,
    ) -> Result<(View, usize), Response> {
        let wanted = Wanted {
            stream: STREAM,
            form,
            parts: parts.iter().map(|p| (*p).to_owned()).collect(),
            samples: None,
            decode_time: 0,
        };
        let mut ask = Ask::new(wanted, &TimeZone::UTC, uncommitted)?;
        let mut questions = 0;
        while let Some(request) = ask.need() {
            questions += 1;
            ask.take(match request {
                db::Request::Summaries {
                    which: Which::Sequences(range),
                    limit,
                    ..
                } => {
                    let rows = rows.iter().filter(|r| range.contains(&r.id.sequence));
                    Reply::Summaries(rows.take(limit).cloned().collect())
                }
                db::Request::Indexes(ids) => Reply::Indexes(
                    ids.into_iter()
                        .map(|id| (id, Some(index.clone())))
                        .collect(),
                ),
                other => panic!("{other:?}"),
            })?;
            assert!(ask.waiting.len() <= PAGE, "{} wait", ask.waiting.len());
        }
        ask.finish().map(|view| (view, questions))
    }

    const MOVIE: Form = Form::Movie { subtitles: false };

    #[test]
    fn what_is_laid_out_in_pages_is_the_same_file() {
        let count = 2 * PAGE as u32 + 500;
        let (mut rows, index) = recordings(count);
        let last = rows.pop().unwrap();
        let segments: Vec<Segment> = rows.iter().cloned().map(Segment::whole).collect();
        let mut all = segments.clone();
        all.push(Segment::whole(last.clone()));
        // The newest one is not in the database yet.
        let uncommitted = || {
            vec![Uncommitted {
                summary: last.clone(),
                index: index.clone(),
                growing: true,
            }]
        };
        let part = format!("0-{}", count - 1);
        let (whole, questions) = view(MOVIE, &[&part], &rows, uncommitted(), &index).unwrap();
        assert_eq!(whole.file.etag(), File::movie(&all, None).unwrap().etag());
        assert_eq!((questions, whole.settled), (3, false));
        // From the middle of the first frame, which is of no page's beginning, in two parts; the last page
        // is full.
        let parts = ["0-999.1500-", "1000-1999@3"];
        let (cut, questions) = view(MOVIE, &parts, &rows, uncommitted(), &index).unwrap();
        let mut of_cut = segments[..2_000].to_vec();
        of_cut[0].range.start = Duration90k(1_500);
        of_cut[0].index = Some(index.clone());
        assert_eq!(cut.file.etag(), File::movie(&of_cut, None).unwrap().etag());
        // A page and an index of the first, and two pages of the second, the later of which is empty.
        assert_eq!((questions, cut.settled), (3, true));
        let zoned = Form::Movie { subtitles: true };
        let (told, _) = view(zoned, &["5-9"], &rows, Vec::new(), &index).unwrap();
        let same = File::movie(&segments[5..10], Some(&TimeZone::UTC)).unwrap();
        assert_eq!(told.file.etag(), same.etag());
        assert_eq!(told.prev_media_duration.0, 5 * 10 * i64::from(FRAME));
    }

    #[test]
    fn what_cannot_be_laid_out_is_the_clients_fault() {
        let (mut rows, index) = recordings(4);
        rows[2].sample_entry = entry(320);
        let refused = |form, parts: &[&str]| {
            let Err(response) = view(form, parts, &rows, Vec::new(), &index) else {
                panic!("{parts:?}");
            };
            (
                response.head.status,
                String::from_utf8(response.body.to_vec()).unwrap(),
            )
        };
        assert!(view(MOVIE, &["0-3"], &rows, Vec::new(), &index).is_ok());
        let (status, told) = refused(Form::MediaSegment, &["0-3"]);
        assert_eq!(status, Status::BadRequest);
        assert!(told.contains("the picture format changes"), "{told}");
        for (parts, status, words) in [
            ("0-4", Status::NotFound, "there is no recording 4"),
            ("0-3@4", Status::NotFound, "recording 0 is not of open 4"),
            (
                "0-3.9000000-",
                Status::BadRequest,
                "a span that its recordings do not have",
            ),
        ] {
            let (got, told) = refused(MOVIE, &[parts]);
            assert_eq!(got, status, "{parts}");
            assert!(told.contains(words), "{told}");
        }
    }
}
