//! The list of a stream's gaps: what is missing, and why.

use super::refusal;
use super::task::Need;
use crate::db;
use crate::http::{Response, Status};
use crate::recording::{Gap, StreamId};
use crate::time::Wall90k;
use serde_json::{Value, json};
use std::ops::Range;

/// Gaps that one list tells of at most.
const MAX_LISTED_GAPS: usize = 50_000;

/// `GET .../gaps`.
pub struct Gaps {
    pub stream: StreamId,
    pub span: Range<Wall90k>,
    pub found: Vec<Gap>,
    pub complete: bool,
}

impl Gaps {
    pub fn need(&self) -> Need {
        let start = self.found.last().map_or(self.span.start, |g| g.end);
        match self.complete {
            true => Need::Nothing,
            false => Need::Database(db::Request::Gaps {
                stream: self.stream,
                span: start..self.span.end,
                limit: db::MAX_GAPS,
            }),
        }
    }

    pub fn take(&mut self, found: Vec<Gap>) -> Result<(), Box<Response>> {
        self.complete = found.len() < db::MAX_GAPS;
        self.found.extend(found);
        match self.found.len() > MAX_LISTED_GAPS {
            true => Err(refusal::too_many()),
            false => Ok(()),
        }
    }

    pub fn answer(self) -> Response {
        let gaps: Vec<Value> = self
            .found
            .iter()
            .map(|g| {
                json!({
                    "startTime90k": g.start.0,
                    "endTime90k": g.end.0,
                    "cause": g.cause.as_str(),
                    "detail": g.detail,
                })
            })
            .collect();
        Response::json(Status::Ok, &json!({ "gaps": gaps }))
    }
}
