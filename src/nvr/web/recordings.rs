//! The list of a stream's recordings as clients get it: runs of several told as one.

use super::refusal;
use super::task::Need;
use super::uncommitted::Uncommitted;
use crate::db::{self, After, Which};
use crate::h264::VideoSampleEntry;
use crate::http::{Response, Status};
use crate::recording::{OpenId, RecordingId, StreamId, Summary};
use crate::time::{Duration90k, Wall90k};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Recordings that one list tells of at most.
const MAX_LISTED: usize = 250_000;

/// Rows of a list at most: 10 MB of text.
const MAX_ROWS: usize = 50_000;

/// Recordings that are asked for at a time, so that the loop does something else in between.
const PAGE: usize = 1_000;

/// `GET .../recordings`.
pub struct Recordings {
    stream: StreamId,
    span: Range<Wall90k>,
    list: List,
    listed: usize,
    after: Option<After>,
    /// The highest sequence number so far.
    last: Option<u32>,
    uncommitted: Option<Vec<Uncommitted>>,
    complete: bool,
}

impl Recordings {
    pub fn new(stream: StreamId, span: Range<Wall90k>, split: Option<Duration90k>) -> Recordings {
        Recordings {
            stream,
            span,
            list: List::new(split),
            listed: 0,
            after: None,
            last: None,
            uncommitted: None,
            complete: false,
        }
    }

    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// Whether what the database does not have is to be given with [`Self::begin`].
    pub fn is_new(&self) -> bool {
        self.uncommitted.is_none()
    }

    pub fn begin(&mut self, uncommitted: Vec<Uncommitted>) {
        self.uncommitted = Some(uncommitted);
    }

    pub fn need(&self) -> Need {
        match self.complete {
            true => Need::Nothing,
            false => Need::Database(db::Request::Summaries {
                stream: self.stream,
                which: Which::Overlapping {
                    span: self.span.clone(),
                    after: self.after,
                },
                limit: PAGE,
            }),
        }
    }

    pub fn take(&mut self, found: Vec<Summary>) -> Result<(), Box<Response>> {
        self.complete = found.len() < PAGE;
        self.listed += found.len();
        self.after = found.last().map(After::from).or(self.after);
        for recording in &found {
            self.last = self.last.max(Some(recording.id.sequence));
            self.list.push(Item {
                recording,
                uncommitted: false,
                growing: false,
            });
        }
        match self.listed > MAX_LISTED || self.list.rows > MAX_ROWS {
            true => Err(refusal::too_many()),
            false => Ok(()),
        }
    }

    pub fn answer(mut self) -> Response {
        for u in self.uncommitted.take().unwrap_or_default() {
            let s = &u.summary;
            // The database may have got it since.
            let fresh = Some(s.id.sequence) > self.last;
            if fresh && s.start < self.span.end && s.end() > self.span.start {
                self.list.push(Item {
                    recording: s,
                    uncommitted: true,
                    growing: u.growing,
                });
            }
        }
        let mut response = Response::json(Status::Ok, &Value::Null);
        response.body = self.list.into_json().into_bytes().into();
        response
    }
}

/// Recordings of one run, told as one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    ids: (u32, u32),
    run_start: u32,
    open: OpenId,
    first_uncommitted: Option<u32>,
    growing: bool,
    start: Wall90k,
    end: Wall90k,
    sample_entry_id: i64,
    samples: u64,
    bytes: u64,
    end_reason: String,
}

/// A recording and how it is kept.
pub struct Item<'a> {
    pub recording: &'a Summary,
    /// The database does not know it yet.
    pub uncommitted: bool,
    /// It is being recorded.
    pub growing: bool,
}

/// Gathers rows.
pub struct List {
    /// Those that are complete, as JSON.
    text: String,
    /// How many there are, with the one that may go on.
    rows: usize,
    row: Option<Row>,
    /// The sample entries that they refer to.
    entries: BTreeMap<i64, Arc<VideoSampleEntry>>,
    split: Option<Duration90k>,
}

impl List {
    /// Rows are ended at the next boundary between recordings once they are longer than `split`.
    pub fn new(split: Option<Duration90k>) -> List {
        List {
            text: String::new(),
            rows: 0,
            row: None,
            entries: BTreeMap::new(),
            split,
        }
    }

    /// Adds the next recording, in order of time.
    pub fn push(&mut self, item: Item<'_>) {
        let r = item.recording;
        let RecordingId { sequence, .. } = r.id;
        let split = self.split;
        let joins = |row: &Row| {
            row.ids.1.checked_add(1) == Some(sequence)
                && Some(row.run_start) == sequence.checked_sub(r.run_offset)
                && row.open == r.open
                && row.sample_entry_id == r.sample_entry_id
                && row.end_reason.is_empty()
                && split.is_none_or(|s| row.end - row.start < s)
        };
        if !self.row.as_ref().is_some_and(joins) {
            self.end_row();
            self.rows += 1;
            let entry = self.entries.entry(r.sample_entry_id);
            entry.or_insert_with(|| r.sample_entry.clone());
        }
        let row = self.row.get_or_insert_with(|| Row {
            ids: (sequence, sequence),
            run_start: sequence.saturating_sub(r.run_offset),
            open: r.open,
            first_uncommitted: None,
            growing: false,
            start: r.start,
            end: r.start,
            sample_entry_id: r.sample_entry_id,
            samples: 0,
            bytes: 0,
            end_reason: String::new(),
        });
        row.ids.1 = sequence;
        if item.uncommitted && row.first_uncommitted.is_none() {
            row.first_uncommitted = Some(sequence);
        }
        row.growing |= item.growing;
        row.end = r.end();
        row.samples += u64::from(r.video_samples);
        row.bytes += u64::from(r.sample_file_bytes);
        row.end_reason.clone_from(&r.end_reason);
    }

    fn end_row(&mut self) {
        if let Some(row) = self.row.take() {
            if !self.text.is_empty() {
                self.text.push(',');
            }
            self.text += &row.to_json().to_string();
        }
    }

    /// The answer to `GET .../recordings`, with the sample entries that the rows refer to.
    pub fn into_json(mut self) -> String {
        self.end_row();
        let entries: Map<String, Value> = self
            .entries
            .iter()
            .map(|(id, e)| (id.to_string(), sample_entry(e)))
            .collect();
        let entries = Value::from(entries);
        format!(
            "{{\"recordings\":[{}],\"videoSampleEntries\":{entries}}}",
            self.text
        )
    }
}

impl Row {
    fn to_json(&self) -> Value {
        let mut row = json!({
            "startId": self.ids.0,
            "runStartId": self.run_start,
            "openId": self.open.0,
            "startTime90k": self.start.0,
            "endTime90k": self.end.0,
            "videoSampleEntryId": self.sample_entry_id,
            "videoSamples": self.samples,
            "sampleFileBytes": self.bytes,
            // No recording here ends with a frame that lasts no time.
            "hasTrailingZero": false,
        });
        if self.ids.1 != self.ids.0 {
            row["endId"] = json!(self.ids.1);
        }
        if let Some(first) = self.first_uncommitted {
            row["firstUncommitted"] = json!(first);
        }
        if self.growing {
            row["growing"] = json!(true);
        }
        if !self.end_reason.is_empty() {
            row["endReason"] = json!(self.end_reason);
        }
        row
    }
}

/// What clients are told of a picture's format.
pub fn sample_entry(e: &VideoSampleEntry) -> Value {
    let (aspect_width, aspect_height) = aspect(e);
    json!({
        "width": e.width,
        "height": e.height,
        "pixelHSpacing": e.pixel_h_spacing,
        "pixelVSpacing": e.pixel_v_spacing,
        "aspectWidth": aspect_width,
        "aspectHeight": aspect_height,
        "codec": e.rfc6381_codec,
    })
}

/// The picture's shape as it is to be shown, in lowest terms: 16 to 9.
pub fn aspect(e: &VideoSampleEntry) -> (u32, u32) {
    let width = u64::from(e.width) * u64::from(e.pixel_h_spacing.max(1));
    let height = u64::from(e.height) * u64::from(e.pixel_v_spacing.max(1));
    let (mut a, mut b) = (width, height);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    let divisor = a.max(1);
    // 16-bit sides times 16-bit spacings.
    ((width / divisor) as u32, (height / divisor) as u32)
}
