//! What the daemon serves by HTTP: the status page and `/api/`.
//!
//! The connections are [`crate::http`]'s; this is who they are, what they may see and what they get.

use super::Nvr;
use super::port::{Action, ConnId, Event};
use super::status::{DirStatus, Status as NvrStatus, StreamStatus};
use crate::http::{Caching, Connection, Method, Request, Response, Status, Step};
use crate::time::{Monotonic, Now};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A connection and the address that it came to.
struct Client {
    connection: Connection,
    listener: usize,
}

/// The open HTTP connections. The shell bounds how many there are.
#[derive(Default)]
pub struct Clients(BTreeMap<ConnId, Client>);

impl Clients {
    pub fn next_timeout(&self) -> Option<Monotonic> {
        self.0
            .values()
            .filter_map(|c| c.connection.next_timeout())
            .min()
    }
}

/// The files of the page, in the program.
const FILES: [(&str, &str, &[u8]); 4] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_bytes!("../ui/index.html"),
    ),
    (
        "/ui/status.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../ui/status.js"),
    ),
    (
        "/ui/style.css",
        "text/css; charset=utf-8",
        include_bytes!("../ui/style.css"),
    ),
    (
        "/favicon.ico",
        "image/svg+xml",
        include_bytes!("../ui/icon.svg"),
    ),
];

impl Nvr {
    pub(super) fn accepted(&mut self, now: Now, conn: ConnId, listener: usize) {
        let connection = Connection::new(now);
        self.wake_at(connection.next_timeout());
        self.clients.0.insert(
            conn,
            Client {
                connection,
                listener,
            },
        );
    }

    /// Something came from, or happened to, an HTTP connection.
    pub(super) fn http_event(&mut self, now: Now, event: Event<'_>) {
        let (conn, step) = match event {
            Event::Received { conn, bytes } => {
                let Some(client) = self.clients.0.get_mut(&conn) else {
                    return;
                };
                (conn, client.connection.receive(now, bytes))
            }
            Event::Drained { conn } => {
                let Some(client) = self.clients.0.get_mut(&conn) else {
                    return;
                };
                (conn, client.connection.sent(now))
            }
            Event::Closed { conn, .. } => {
                self.clients.0.remove(&conn);
                return;
            }
            _ => return,
        };
        self.http_step(now, conn, step);
    }

    pub(super) fn http_timeouts(&mut self, now: Now) {
        let due: Vec<ConnId> = self
            .clients
            .0
            .iter()
            .filter(|(_, c)| {
                c.connection
                    .next_timeout()
                    .is_some_and(|t| t <= now.monotonic)
            })
            .map(|(id, _)| *id)
            .collect();
        for conn in due {
            let Some(client) = self.clients.0.get_mut(&conn) else {
                continue;
            };
            let step = client.connection.handle_timeout(now);
            self.http_step(now, conn, step);
        }
    }

    fn http_step(&mut self, now: Now, conn: ConnId, step: Step) {
        match step {
            Step::Wait => {}
            Step::Send(bytes) => self.out.push(Action::Send { conn, bytes }),
            Step::Answer(request) => {
                let Some(listener) = self.clients.0.get(&conn).map(|c| c.listener) else {
                    return;
                };
                let response = self.answer(now, listener, &request);
                let Some(client) = self.clients.0.get_mut(&conn) else {
                    return;
                };
                let bytes = client.connection.respond_whole(now, &response);
                self.out.push(Action::Send { conn, bytes });
            }
            Step::Refuse(bytes) => {
                self.out.push(Action::Send { conn, bytes });
                self.close_client(conn);
            }
            Step::Close => self.close_client(conn),
            Step::Abort => {
                self.clients.0.remove(&conn);
                self.out.close(conn, false);
            }
        }
        let next = self
            .clients
            .0
            .get(&conn)
            .and_then(|c| c.connection.next_timeout());
        self.wake_at(next);
    }

    fn close_client(&mut self, conn: ConnId) {
        self.clients.0.remove(&conn);
        self.out.close(conn, true);
    }

    /// Closes all connections once what they wait for is sent; browsers connect again.
    pub(super) fn close_clients(&mut self) {
        for conn in std::mem::take(&mut self.clients.0).into_keys() {
            self.out.close(conn, true);
        }
    }

    fn answer(&self, now: Now, listener: usize, request: &Request) -> Response {
        if !matches!(request.method, Method::Get | Method::Head) {
            return Response::method_not_allowed(&[Method::Get, Method::Head]);
        }
        if let Some((_, content_type, body)) = FILES.iter().find(|(p, _, _)| *p == request.path) {
            let etag = format!("\"{:032x}\"", xxhash_rust::xxh3::xxh3_128(body));
            let (caching, body) = (Caching::Revalidate, Cow::Borrowed(*body));
            return Response::file(request, *content_type, &etag, caching, body);
        }
        match request.path.as_str() {
            "/api" | "/api/" => {}
            "/healthz" => return Response::text(Status::Ok, "ok"),
            _ => return Response::text(Status::NotFound, "there is nothing by that name here"),
        }
        let may = self
            .config
            .http
            .get(listener)
            .is_some_and(|l| !l.allow_unauthenticated.is_empty());
        if !may {
            return Response::text(
                Status::Forbidden,
                "nobody may see the cameras at this address: name what visitors may see in \
                 allow_unauthenticated of its [[http]] section",
            );
        }
        let status = top_level(&self.status(now), &self.time_zone_name());
        Response::json(Status::Ok, &status)
    }

    fn time_zone_name(&self) -> String {
        self.config
            .time_zone
            .iana_name()
            .unwrap_or("Etc/UTC")
            .to_owned()
    }
}

/// `GET /api/`: what clients of this interface have always got, and the state of everything.
fn top_level(status: &NvrStatus, time_zone_name: &str) -> Value {
    let cameras: Vec<Value> = status
        .cameras
        .iter()
        .map(|c| {
            let streams: Map<String, Value> = c
                .streams
                .iter()
                .map(|s| (s.kind.as_str().to_owned(), stream(s)))
                .collect();
            json!({
                "uuid": c.uuid,
                "id": c.id,
                "shortName": c.name,
                "description": c.description,
                "streams": streams,
            })
        })
        .collect();
    json!({
        "timeZoneName": time_zone_name,
        "serverVersion": concat!("moonfire-nvr ", env!("CARGO_PKG_VERSION")),
        "cameras": cameras,
        "signals": [],
        "signalTypes": [],
        "now90k": status.now.0,
        "clockTrusted": status.clock_trusted,
        "stopping": status.stopping,
        "sampleDirs": status.dirs.iter().map(dir).collect::<Vec<_>>(),
        "databaseTrouble": status.database_trouble,
        "uncommittedRecordings": status.uncommitted_recordings,
        "backlogBytes": status.backlog_bytes,
        "reactor": status.reactor.as_ref().map(|r| json!({
            "longestTurnUs": r.longest_turn.as_micros() as u64,
            "longestRecentTurnUs": r.longest_recent_turn.as_micros() as u64,
            "turns": r.turns,
            "bytesReceived": r.bytes_received,
            "bytesSent": r.bytes_sent,
            "connections": r.connections,
            "diskBackend": r.disk_backend,
            "diskOperations": r.disk_operations,
            "logLinesDropped": r.log_lines_dropped,
        })),
    })
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
