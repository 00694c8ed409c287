//! The parameters of a request's query. Those that nothing here knows are ignored; malformed ones are
//! refused with a sentence that says which.

use super::hls;
use crate::http::{Request, Response, Status};
use crate::time::{Duration90k, Wall90k};
use std::ops::Range;

type Refused = Box<Response>;

/// The query's parameters that this interface knows.
#[derive(Default)]
pub struct Query {
    pub days: bool,
    pub camera_configs: bool,
    pub start: Option<Wall90k>,
    pub end: Option<Wall90k>,
    pub split: Option<Duration90k>,
    pub parts: Vec<String>,
    pub subtitles: bool,
    pub file_name: Option<String>,
    pub time: Option<Wall90k>,
    pub width: Option<u32>,
    pub every: Option<Duration90k>,
    pub samples: Option<Range<u32>>,
    pub decode_time: u64,
    pub hls: hls::Place,
}

impl Query {
    pub fn of(request: &Request) -> Result<Query, Refused> {
        let mut q = Query::default();
        for (name, value) in request.query_pairs() {
            let number = || {
                value
                    .parse::<i64>()
                    .map_err(|_| malformed(&name, "is a whole number of 1/90,000 s"))
            };
            let flag = || match &*value {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(malformed(&name, "is true or false")),
            };
            match &*name {
                "days" => q.days = flag()?,
                "cameraConfigs" => q.camera_configs = flag()?,
                "ts" => q.subtitles = flag()?,
                "startTime90k" => q.start = Some(Wall90k(number()?)),
                "endTime90k" => q.end = Some(Wall90k(number()?)),
                "split90k" => {
                    q.split = Some(Duration90k(number()?)).filter(|d| d.0 > 0);
                    if q.split.is_none() {
                        return Err(malformed(&name, "is above 0"));
                    }
                }
                "every90k" => q.every = Some(Duration90k(number()?)),
                "time90k" => q.time = Some(Wall90k(number()?)),
                "width" => {
                    let width = value.parse().ok().filter(|w| *w > 0);
                    q.width = Some(width.ok_or_else(|| malformed(&name, "is pixels"))?);
                }
                "samples" => {
                    let samples = hls::positions(&value);
                    q.samples = Some(samples.ok_or_else(|| malformed(&name, "is FIRST-END"))?);
                }
                "decodeTime90k" => {
                    q.decode_time =
                        u64::try_from(number()?).map_err(|_| malformed(&name, "is not below 0"))?;
                }
                "_HLS_msn" | "segment" => q.hls.segment = Some(count(&name, &value)?),
                "_HLS_part" | "part" => q.hls.part = Some(count(&name, &value)?),
                "s" => q.parts.push(value.into_owned()),
                "filename" => q.file_name = Some(value.into_owned()),
                _ => {}
            }
        }
        Ok(q)
    }

    pub fn span(&self) -> Range<Wall90k> {
        self.start.unwrap_or(Wall90k(i64::MIN))..self.end.unwrap_or(Wall90k(i64::MAX))
    }
}

fn count(name: &str, value: &str) -> Result<u64, Refused> {
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| value.parse().ok()).flatten();
    number.ok_or_else(|| malformed(name, "is a number from 0 on"))
}

fn malformed(name: &str, what: &str) -> Refused {
    Box::new(Response::text(
        Status::BadRequest,
        &format!("the query parameter {name} {what}"),
    ))
}
