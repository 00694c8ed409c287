//! `scrub.mp4`: the sync samples of a span, for a page that lets somebody scrub through a day.

use super::uncommitted::Uncommitted;
use super::view::View;
use crate::db::{self, After, MAX_INDEXES, Reply, Which};
use crate::http::{Response, Status};
use crate::mp4::{Error, Scrub, Segment};
use crate::recording::{RecordingId, StreamId, Summary};
use crate::time::{Duration90k, Wall90k};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Recordings of one scrub stream: two days of minutes.
const MAX_RECORDINGS: usize = 3_000;

/// A scrub stream being laid out.
pub struct Ask {
    stream: StreamId,
    span: Range<Wall90k>,
    uncommitted: Option<Vec<Uncommitted>>,
    found: Vec<Summary>,
    complete: bool,
    /// How many of `found` are in `scrub`.
    added: usize,
    scrub: Scrub,
}

fn bad(sentence: &str) -> Box<Response> {
    Box::new(Response::text(Status::BadRequest, sentence))
}

fn problem(e: &Error) -> Box<Response> {
    match e {
        Error::Empty => Box::new(Response::text(
            Status::NotFound,
            "nothing was recorded at that time",
        )),
        e => bad(&e.to_string()),
    }
}

impl Ask {
    /// Pictures are at least `every` apart.
    pub fn new(
        stream: StreamId,
        span: Range<Wall90k>,
        every: Duration90k,
    ) -> Result<Ask, Box<Response>> {
        if span.start >= span.end || span.start.0 == i64::MIN || span.end.0 == i64::MAX {
            return Err(bad(
                "name the span that you want: startTime90k and, after it, endTime90k",
            ));
        }
        Ok(Ask {
            stream,
            scrub: Scrub::new(span.start, every),
            span,
            uncommitted: None,
            found: Vec::new(),
            complete: false,
            added: 0,
        })
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

    /// What is to be asked of the database next.
    pub fn need(&self) -> Option<db::Request> {
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
        let rest = &self.found[self.added..];
        let ids: Vec<RecordingId> = rest.iter().take(MAX_INDEXES).map(|s| s.id).collect();
        (!ids.is_empty()).then_some(db::Request::Indexes(ids))
    }

    /// Takes in an answer.
    pub fn take(&mut self, reply: Reply) -> Result<(), Box<Response>> {
        match reply {
            Reply::Summaries(found) => {
                self.complete = found.len() < db::MAX_SUMMARIES;
                self.found.extend(found);
                if self.found.len() > MAX_RECORDINGS {
                    return Err(bad(
                        "that is more than can be had at once: ask for a shorter span",
                    ));
                }
            }
            Reply::Indexes(indexes) => {
                let mut indexes: BTreeMap<_, _> = indexes.into_iter().collect();
                while let Some(summary) = self.found.get(self.added) {
                    let Some(index) = indexes.remove(&summary.id) else {
                        break;
                    };
                    self.added += 1;
                    // One that was deleted meanwhile is a gap.
                    if let Some(index) = index {
                        let summary = summary.clone();
                        self.add(summary, index)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, summary: Summary, index: Arc<[u8]>) -> Result<(), Box<Response>> {
        let Some(mut segment) = Segment::within(summary, &self.span) else {
            return Ok(());
        };
        segment.index = Some(index);
        match self.scrub.add(&segment) {
            Ok(()) | Err(Error::EmptySegment { .. }) => Ok(()),
            Err(e) => Err(problem(&e)),
        }
    }

    /// Lays it out. All that [`Self::need`] named was taken.
    pub fn finish(mut self) -> Result<View, Box<Response>> {
        let last = self.found.iter().map(|s| s.id.sequence).max();
        for u in self.uncommitted.take().unwrap_or_default() {
            if Some(u.summary.id.sequence) > last {
                self.add(u.summary, u.index)?;
            }
        }
        let file = self.scrub.finish(true).map_err(|e| problem(&e))?;
        Ok(View {
            file: Arc::new(file),
            prev_media_duration: Duration90k::ZERO,
            prev_runs: 0,
            settled: false,
            immutable: false,
            indexes: BTreeMap::new(),
        })
    }
}
