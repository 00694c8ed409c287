//! `GET /api/system`: how the recorder fares, and how much of the last weeks each stream lacks.
//!
//! Made of a [`Status`] and the gap ledger. Who may not administer is told of the cameras that are
//! theirs to see, and nothing of the machine.

use super::task::{Need, may_see, require_any};
use crate::access::{Permission, Principal};
use crate::db;
use crate::http::{Response, Status as Code};
use crate::nvr::Nvr;
use crate::nvr::port::ReactorStats;
use crate::nvr::status::{Status, StreamStatus};
use crate::recording::{Gap, StreamId};
use crate::time::{Duration90k, Now, TICKS_PER_SECOND, Wall90k};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ops::Range;

/// The gaps of so long are told of.
const LATELY: Duration90k = Duration90k::from_secs(30 * 24 * 3600);

/// Gaps are counted this far for each stream: [`db::MAX_GAPS`] times so many.
const MAX_QUESTIONS: usize = 20;

/// See the module.
pub struct System {
    status: Status,
    zone: TimeZone,
    /// Since when the program runs.
    started: Wall90k,
    viewers: usize,
    administers: bool,
    /// What is known of each stream's last weeks.
    lately: BTreeMap<StreamId, Lately>,
}

/// The last weeks of a stream, as far as they are known.
struct Lately {
    span: Range<Wall90k>,
    /// The ledger is read up to here; all of it if `complete`.
    read: Wall90k,
    questions: usize,
    gaps: usize,
    missing: Duration90k,
    complete: bool,
}

impl Lately {
    /// `None` for a stream of which nothing was ever recorded.
    fn of(stream: &StreamStatus, now: Wall90k) -> Option<Lately> {
        let first = stream.totals.first_start?;
        let start = first.max(now - LATELY).min(now);
        let mut lately = Lately {
            span: start..now,
            read: start,
            questions: 0,
            gaps: 0,
            missing: Duration90k::ZERO,
            complete: false,
        };
        // The ledger has the gap of now when it ends.
        if let Some((_, _, since)) = &stream.gap {
            lately.add(*since, now);
        }
        Some(lately)
    }

    fn add(&mut self, start: Wall90k, end: Wall90k) {
        let (start, end) = (start.max(self.span.start), end.min(self.span.end));
        if start < end {
            self.gaps += 1;
            self.missing += end - start;
        }
    }

    fn take(&mut self, found: &[Gap]) {
        for gap in found {
            // The one that the last answer ended with may be told again.
            self.add(gap.start.max(self.read), gap.end);
            self.read = self.read.max(gap.end);
        }
        self.questions += 1;
        self.complete = found.len() < db::MAX_GAPS;
    }

    fn is_done(&self) -> bool {
        self.complete || self.questions >= MAX_QUESTIONS || self.read >= self.span.end
    }

    fn to_json(&self) -> Value {
        let length = (self.span.end - self.span.start).0;
        json!({
            "startTime90k": self.span.start.0,
            "endTime90k": self.span.end.0,
            "gaps": self.gaps,
            "missingDuration90k": self.missing.0,
            "missingPercent": match length {
                0 => 0.0,
                _ => (self.missing.0 as f64 / length as f64 * 1e5).round() / 1e3,
            },
            "complete": self.complete || self.read >= self.span.end,
        })
    }
}

impl Nvr {
    /// What is to be told to somebody.
    pub(super) fn system_task(&self, now: Now, who: &Principal) -> Result<System, Box<Response>> {
        require_any(who)?;
        let mut status = self.status(now);
        status.cameras.retain(|c| may_see(who, c.uuid));
        let streams = status.cameras.iter().flat_map(|c| &c.streams);
        let lately = streams.filter_map(|s| Some((s.id, Lately::of(s, status.now)?)));
        let up = self.started.map_or(Duration90k::ZERO, |at| {
            let up = now.monotonic.since(at.monotonic);
            Duration90k((up.as_secs_f64() * TICKS_PER_SECOND as f64) as i64)
        });
        Ok(System {
            zone: self.config.time_zone.clone(),
            started: status.now - up,
            viewers: self.web.viewers(None),
            administers: who.may(Permission::Administer, None),
            lately: lately.collect(),
            status,
        })
    }
}

impl System {
    pub fn need(&self) -> Need {
        let next = self.lately.iter().find(|(_, l)| !l.is_done());
        match next {
            None => Need::Nothing,
            Some((&stream, lately)) => Need::Database(db::Request::Gaps {
                stream,
                span: lately.read..lately.span.end,
                limit: db::MAX_GAPS,
            }),
        }
    }

    /// Gaps of the stream that was asked for last.
    pub fn take(&mut self, found: Vec<Gap>) {
        if let Some(lately) = self.lately.values_mut().find(|l| !l.is_done()) {
            lately.take(&found);
        }
    }

    pub fn answer(&self) -> Response {
        let s = &self.status;
        let cameras: Vec<Value> = s
            .cameras
            .iter()
            .map(|c| {
                let streams: Map<String, Value> = c
                    .streams
                    .iter()
                    .map(|s| (s.kind.as_str().to_owned(), self.stream(s)))
                    .collect();
                json!({ "uuid": c.uuid, "shortName": c.name, "streams": streams })
            })
            .collect();
        let mut all = json!({
            "serverVersion": concat!("moonfire-nvr ", env!("CARGO_PKG_VERSION")),
            "timeZoneName": self.zone.iana_name().unwrap_or("Etc/UTC"),
            "now90k": s.now.0,
            "clockTrusted": s.clock_trusted,
            "startTime90k": self.started.0,
            "cameras": cameras,
        });
        if self.administers {
            all["viewers"] = json!(self.viewers);
            all["databaseTrouble"] = json!(s.database_trouble);
            all["uncommittedRecordings"] = json!(s.uncommitted_recordings);
            all["backlogBytes"] = json!(s.backlog_bytes);
            if let Some(reactor) = &s.reactor {
                self.machine(reactor, &mut all);
            }
        }
        Response::json(Code::Ok, &all)
    }

    fn machine(&self, r: &ReactorStats, all: &mut Value) {
        let up = (self.status.now - self.started).0.max(1) as f64 / TICKS_PER_SECOND as f64;
        let process = &r.process;
        all["process"] = json!({
            "cpuSeconds": process.cpu.as_secs_f64(),
            "cpuPercent": (process.cpu.as_secs_f64() / up * 1e4).round() / 1e2,
            "residentBytes": process.resident_bytes,
        });
        all["load"] = json!(process.load_hundredths.map(|l| f64::from(l) / 100.0));
        all["loop"] = json!({
            "longestTurnUs": r.turns.longest.as_micros() as u64,
            "longestTurnCpuUs": r.turns_cpu.longest.as_micros() as u64,
            "longestRecentTurnUs": r.turns.longest_recent.as_micros() as u64,
            "longestRecentTurnCpuUs": r.turns_cpu.longest_recent.as_micros() as u64,
            "busyUs": r.turns.sum.as_micros() as u64,
            "diskBackend": r.disk_backend,
            "diskOperations": r.disk_operations,
            "diskOperationsMost": r.disk_operations_most,
        });
        all["connections"] = json!(r.connections);
        all["connectionsRefused"] = json!(r.connections_refused);
        all["bytesReceived"] = json!(r.bytes_received);
        all["bytesSent"] = json!(r.bytes_sent);
        all["logLinesDropped"] = json!(r.log_lines_dropped);
    }

    fn stream(&self, s: &StreamStatus) -> Value {
        let length = s.in_progress_duration.0;
        let bits = |bytes: u64| bytes as f64 * 8.0 * TICKS_PER_SECOND as f64 / length as f64;
        json!({
            "record": s.record,
            "recording": s.recording,
            "state": s.state,
            "video": s.video,
            // Of the minute that is being recorded, if that has begun.
            "bitsPerSecond": (length > 0).then(|| bits(s.in_progress_bytes).round() as u64),
            "lastFrameTime90k": s.last_sample.map(|t| t.0),
            "lostPackets": s.lost_packets,
            "gap": s.gap.as_ref().map(|(cause, detail, since)| json!({
                "cause": cause.as_str(),
                "detail": detail,
                "startTime90k": since.0,
            })),
            "lately": self.lately.get(&s.id).map(Lately::to_json),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvr::web::client::Site;
    use crate::recording::GapCause;

    fn gap(start: i64, end: i64) -> Gap {
        Gap {
            stream: StreamId(1),
            start: Wall90k(start),
            end: Wall90k(end),
            cause: GapCause::Camera,
            clock_untrusted: false,
            detail: String::new(),
        }
    }

    #[test]
    fn what_is_missing_is_counted_once_and_within_the_span() {
        let mut lately = Lately {
            span: Wall90k(1_000)..Wall90k(11_000),
            read: Wall90k(1_000),
            questions: 0,
            gaps: 0,
            missing: Duration90k::ZERO,
            complete: false,
        };
        let many: Vec<Gap> = (0..db::MAX_GAPS as i64)
            .map(|n| gap(n * 2, n * 2 + 1))
            .collect();
        lately.take(&many);
        assert!(!lately.is_done());
        assert_eq!(lately.read, Wall90k(9_999));
        lately.take(&[gap(9_998, 10_000), gap(10_900, 20_000)]);
        assert!(lately.is_done());
        // Those of before, each one tick long, from 1,000 on; the rest of the one told again; the end.
        assert_eq!(lately.missing, Duration90k(4_500 + 1 + 100));
        let json = lately.to_json();
        assert_eq!(json["missingPercent"], json!(46.01));
        assert_eq!(json["complete"], json!(true));
    }

    #[test]
    fn the_machine_is_for_administrators() {
        let (mut site, admin, viewer) = Site::with_users();
        let mut stats = ReactorStats::default();
        stats.process.load_hundredths = [123, 45, 6];
        site.tell(crate::nvr::port::Event::Stats(&stats));
        let all = site.get(&admin, "/api/system").is(200).json();
        assert_eq!(all["load"], json!([1.23, 0.45, 0.06]));
        assert!(all["process"]["cpuSeconds"].is_number());
        let less = site.get(&viewer, "/api/system").is(200).json();
        assert!(less["process"].is_null() && less["load"].is_null());
        assert_eq!(less["cameras"], all["cameras"]);
        assert!(!less["cameras"].as_array().unwrap().is_empty());
    }
}
