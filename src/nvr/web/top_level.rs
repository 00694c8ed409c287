//! What `/api/` and `/api/cameras/<uuid>/` tell, as JSON.

use super::days::Days;
use crate::nvr::status::{CameraStatus, DirStatus, Status, StreamStatus};
use crate::recording::StreamId;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What is told besides the state.
pub struct Extras<'a> {
    pub zone: &'a TimeZone,
    /// Each stream's days, if they were asked for.
    pub days: Option<&'a BTreeMap<StreamId, Days>>,
    /// Each camera's settings, if they were asked for and may be told; by the camera's id.
    pub configs: Option<BTreeMap<i32, Value>>,
    pub signals: Value,
    pub signal_types: Value,
    pub permissions: Value,
    pub user: Option<Value>,
}

/// `GET /api/`: what clients of this interface have always got, and the state of everything.
pub fn top_level(status: &Status, extras: &Extras<'_>) -> Value {
    let cameras: Vec<Value> = status.cameras.iter().map(|c| camera(c, extras)).collect();
    let mut all = json!({
        "timeZoneName": extras.zone.iana_name().unwrap_or("Etc/UTC"),
        "serverVersion": concat!("moonfire-nvr ", env!("CARGO_PKG_VERSION")),
        "cameras": cameras,
        "signals": extras.signals,
        "signalTypes": extras.signal_types,
        "permissions": extras.permissions,
        "now90k": status.now.0,
        "clockTrusted": status.clock_trusted,
        "stopping": status.stopping,
        "sampleDirs": status.dirs.iter().map(dir).collect::<Vec<_>>(),
        "databaseTrouble": status.database_trouble,
        "uncommittedRecordings": status.uncommitted_recordings,
        "backlogBytes": status.backlog_bytes,
        "reactor": status.reactor.as_ref().map(|r| json!({
            "longestTurnUs": r.turns.longest.as_micros() as u64,
            "longestTurnCpuUs": r.turns_cpu.longest.as_micros() as u64,
            "longestRecentTurnUs": r.turns.longest_recent.as_micros() as u64,
            "longestRecentTurnCpuUs": r.turns_cpu.longest_recent.as_micros() as u64,
            "turns": r.turns.counts,
            "busyUs": r.turns.sum.as_micros() as u64,
            "bytesReceived": r.bytes_received,
            "bytesSent": r.bytes_sent,
            "connections": r.connections,
            "diskBackend": r.disk_backend,
            "diskOperations": r.disk_operations,
            "logLinesDropped": r.log_lines_dropped,
        })),
    });
    if let Some(user) = &extras.user {
        all["user"] = user.clone();
    }
    all
}

/// One camera, as in the list and by itself.
pub fn camera(c: &CameraStatus, extras: &Extras<'_>) -> Value {
    let streams: Map<String, Value> = c
        .streams
        .iter()
        .map(|s| {
            let mut value = stream(s);
            if let Some(days) = extras.days {
                value["days"] = days_of(days.get(&s.id), extras.zone);
            }
            (s.kind.as_str().to_owned(), value)
        })
        .collect();
    let mut camera = json!({
        "uuid": c.uuid,
        "id": c.id,
        "shortName": c.name,
        "description": c.description,
        "removed": c.removed,
        "streams": streams,
    });
    if let Some(config) = extras.configs.as_ref().and_then(|all| all.get(&c.id)) {
        camera["config"] = config.clone();
    }
    camera
}

fn days_of(days: Option<&Days>, zone: &TimeZone) -> Value {
    let all = days.into_iter().flat_map(|d| d.iter(zone));
    let all: Map<String, Value> = all
        .map(|d| {
            let value = json!({
                "totalDuration90k": d.recorded.0,
                "startTime90k": d.span.start.0,
                "endTime90k": d.span.end.0,
            });
            (d.date.to_string(), value)
        })
        .collect();
    Value::Object(all)
}

fn stream(s: &StreamStatus) -> Value {
    json!({
        "id": s.id.0,
        "retainBytes": s.retain_bytes,
        "retainDays": s.retain_days,
        "minStartTime90k": s.totals.first_start.map(|t| t.0),
        "maxEndTime90k": s.totals.last_end.map(|t| t.0),
        "totalDuration90k": s.totals.duration.0,
        "totalSampleFileBytes": s.totals.sample_file_bytes,
        "fsBytes": s.totals.sample_file_bytes,
        "record": s.record,
        "recording": s.recording,
        "state": s.state,
        "video": s.video,
        "gap": s.gap.as_ref().map(|(cause, detail, since)| json!({
            "cause": cause.as_str(),
            "detail": detail,
            "startTime90k": since.0,
        })),
        "lastError": s.last_error.as_ref().map(|(when, what)| json!({
            "time90k": when.0,
            "message": what,
        })),
        "lastFrameTime90k": s.last_sample.map(|t| t.0),
        "inProgressBytes": s.in_progress_bytes,
        "inProgressDuration90k": s.in_progress_duration.0,
        "lostPackets": s.lost_packets,
        "sampleDirId": s.dir.0,
    })
}

fn dir(d: &DirStatus) -> Value {
    json!({
        "id": d.id.0,
        "path": d.path,
        "ready": d.ready,
        "trouble": d.trouble,
        "full": d.full,
        "freeBytes": d.free_bytes,
        "totalBytes": d.total_bytes,
    })
}
