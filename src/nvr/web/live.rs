//! Live view over WebSocket: each frame that is recorded goes to those who watch its stream, encoded once.
//!
//! A viewer begins at the newest sync sample, which is in the file that is being recorded: what there is
//! since then is sent from there, and frames that come meanwhile wait. One that does not keep up loses
//! frames up to a sync sample, and is told how many.

use super::sample_files::Found;
use super::{Doing, Web};
use crate::http::websocket::{self, Endpoint, Handshake, Reaction, Reason};
use crate::http::{Request, Status};
use crate::mp4::{FragmentSample, fragment};
use crate::nvr::clock::Clock;
use crate::nvr::port::{Action, ConnId};
use crate::nvr::recorder::{Facts, Frame};
use crate::nvr::stream::Stream;
use crate::nvr::{Cx, Nvr, Phase, cx};
use crate::recording::index::{self, Sample};
use crate::recording::{RecordingId, StreamId};
use crate::time::{Monotonic, Now};
use serde_json::json;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// How often bulk connections are read while somebody watches: this is added to the delay.
pub const WATCHED_TICK: Duration = Duration::from_millis(20);

/// The same while nobody does.
pub const UNWATCHED_TICK: Duration = Duration::from_millis(200);

/// Bytes that may be on their way to a viewer. One that has more is too slow, and loses frames.
pub const VIEWER_BACKLOG_BYTES: usize = 2 << 20;

/// Somebody who watches a stream.
pub struct Viewer {
    stream: StreamId,
    endpoint: Endpoint,
    state: State,
    /// Queued since the connection last ran dry.
    unsent: usize,
}

/// Where a viewer is.
enum State {
    /// Nothing was sent yet: waits for a sync sample, in the file or to come.
    New,
    /// What is in the file from the newest sync sample up to `until` will be sent once it can be read;
    /// then these.
    Joining {
        recording: RecordingId,
        until: u32,
        frames: Vec<Arc<Vec<u8>>>,
        bytes: usize,
    },
    Watching,
    /// It was too slow: so many frames are lost to it.
    Skipping {
        frames: u32,
    },
}

impl Viewer {
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    pub fn next_timeout(&self) -> Option<Monotonic> {
        self.endpoint.next_timeout()
    }

    pub fn handle_timeout(&mut self, now: Monotonic) -> Reaction {
        self.endpoint.handle_timeout(now)
    }

    /// Clients have nothing to say here: what they say is dropped.
    pub fn receive(&mut self, now: Monotonic, bytes: &[u8]) -> Reaction {
        self.endpoint.receive(now, bytes)
    }

    pub fn drained(&mut self) {
        self.unsent = 0;
        self.endpoint.sent();
    }
}

/// A message of one or more frames, up to the samples' bytes.
fn message_head(
    facts: &Facts,
    entry_row: i64,
    samples: &[Sample],
    media: &Range<i64>,
    sequence: u32,
) -> Vec<u8> {
    let samples: Vec<FragmentSample> = samples
        .iter()
        .map(|s| FragmentSample {
            bytes: s.bytes,
            duration_90k: s.duration_90k.max(0) as u32,
            composition_offset_90k: s.composition_offset_90k,
            is_sync: s.is_sync,
        })
        .collect();
    let bytes: usize = samples.iter().map(|s| s.bytes as usize).sum();
    let codec = &facts.entry.rfc6381_codec;
    let fields = [
        ("Content-Type", format!("video/mp4; codecs=\"{codec}\"")),
        ("X-Video-Sample-Entry-Id", entry_row.to_string()),
        (
            "X-Recording-Id",
            format!("{}.{}", facts.open.0, facts.id.sequence),
        ),
        ("X-Recording-Start", facts.start.0.to_string()),
        (
            "X-Prev-Media-Duration",
            facts.prev_media_duration.0.to_string(),
        ),
        ("X-Runs", facts.prev_runs.to_string()),
        (
            "X-Media-Time-Range",
            format!("{}-{}", media.start, media.end),
        ),
    ];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
    // Times within a segment count from its own beginning, as those of `view.m4s` do.
    let head = fragment(sequence, 0, &samples);
    websocket::encode_binary_head(&fields, &[&head], bytes)
}

impl Nvr {
    /// A client becomes a viewer of `stream`.
    pub(super) fn begin_watching(
        &mut self,
        now: Now,
        conn: ConnId,
        request: &Request,
        stream: StreamId,
    ) {
        let handshake = match Handshake::check(request) {
            Ok(handshake) => handshake,
            Err(response) => return self.respond(now, conn, response),
        };
        let Some(client) = self.web.clients.get_mut(&conn) else {
            return;
        };
        if client.connection.is_last() {
            // Nobody who sends no more can say when to stop.
            return self.close_client(conn, true);
        }
        let upgraded = client.connection.upgrade(now, &handshake);
        let bytes = upgraded.head;
        self.out.push(Action::Send { conn, bytes });
        let mut viewer = Viewer {
            stream,
            endpoint: upgraded.endpoint,
            state: State::New,
            unsent: 0,
        };
        let reaction = viewer.receive(now.monotonic, &upgraded.early);
        client.doing = Doing::Watching(Box::new(viewer));
        self.log_access(conn, Status::SwitchingProtocols);
        self.set_tick();
        if let Some(s) = self.streams.get_mut(&stream) {
            s.recorder.set_watched(true);
        }
        self.join(now, conn, stream);
        self.viewer_replies(conn, reaction);
        let next = self.web.clients.get(&conn).and_then(|c| c.next_timeout());
        self.wake_at(next);
    }

    /// Makes what is recorded of the current GOP go to the disk, from where the viewer will get it.
    fn join(&mut self, now: Now, conn: ConnId, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let Some(dir) = self.dirs.get_mut(&stream.dir()) else {
            return;
        };
        let mut cx = cx!(self, now);
        stream.recorder.hand_over(&mut cx, dir);
        let Some(growing) = stream.recorder.growing() else {
            return;
        };
        let (recording, until) = (growing.writer.id(), growing.writer.bytes());
        if let Some(viewer) = self.web.viewer(conn) {
            viewer.state = State::Joining {
                recording,
                until,
                frames: Vec::new(),
                bytes: 0,
            };
        }
    }

    /// A viewer has left.
    pub(super) fn viewer_left(&mut self, stream: StreamId) {
        if self.web.viewers(Some(stream)) == 0 {
            if let Some(s) = self.streams.get_mut(&stream) {
                s.recorder.set_watched(false);
            }
        }
        self.set_tick();
    }

    /// Has bulk connections read more often while somebody watches.
    pub(super) fn set_tick(&mut self) {
        let watched = self.web.viewers(None) > 0 || self.web.hls.is_watched();
        if std::mem::replace(&mut self.web.watched, watched) != watched {
            self.out.push(Action::BulkTick(match watched {
                true => WATCHED_TICK,
                false => UNWATCHED_TICK,
            }));
        }
    }

    pub(super) fn viewer_replies(&mut self, conn: ConnId, reaction: Reaction) {
        let Reaction { send, close, .. } = reaction;
        if !send.is_empty() {
            self.out.push(Action::Send { conn, bytes: send });
        }
        if close {
            self.close_client(conn, true);
        }
    }

    /// The configuration has changed, or the recorder ends: those who watch are told to come again.
    pub(super) fn close_viewer(&mut self, now: Now, conn: ConnId, sentence: &str) {
        let Some(viewer) = self.web.viewer(conn) else {
            return;
        };
        let error = json!({ "type": "error", "message": sentence });
        let mut bytes = websocket::encode_text(&error.to_string());
        let reason = Reason::GoingAway;
        bytes.extend(viewer.endpoint.close(now.monotonic, reason, sentence));
        self.out.push(Action::Send { conn, bytes });
    }

    /// Sends what a stream has recorded since to those who watch it. Called after each event of it.
    pub(in crate::nvr) fn send_frames(&mut self, now: Now, id: StreamId) {
        loop {
            let Some(stream) = self.streams.get_mut(&id) else {
                return;
            };
            let Some(frame) = stream.recorder.next_frame() else {
                return;
            };
            self.send_frame(now, id, &frame);
        }
    }

    fn send_frame(&mut self, now: Now, id: StreamId, frame: &Frame) {
        let Some(row) = self.web.entry_rows.get(&frame.of.entry) else {
            self.ask_row(id, frame);
            return;
        };
        let viewers: Vec<ConnId> = self
            .web
            .clients
            .iter()
            .filter(|(_, c)| matches!(&c.doing, Doing::Watching(v) if v.stream == id))
            .map(|(conn, _)| *conn)
            .collect();
        let mut encoded: Option<Arc<Vec<u8>>> = None;
        for conn in viewers {
            let message = encoded.get_or_insert_with(|| {
                let media = frame.sample.media_start_90k
                    ..frame.sample.media_start_90k + i64::from(frame.sample.duration_90k);
                let samples = std::slice::from_ref(&frame.sample);
                let mut bytes = message_head(&frame.of, row, samples, &media, 1);
                bytes.extend_from_slice(&frame.data);
                Arc::new(bytes)
            });
            let message = message.clone();
            self.show(now, conn, frame, message);
        }
    }

    /// The row of a new sample entry is asked for, once; frames until it comes are not shown.
    fn ask_row(&mut self, id: StreamId, frame: &Frame) {
        let asked = |e: &Option<Arc<_>>| e.as_ref().is_some_and(|e| *e == frame.of.entry);
        let waits = self.web.asked.values().any(|a| asked(&a.entry));
        let watching = |c: &super::Client| matches!(&c.doing, Doing::Watching(v) if v.stream == id);
        let first = self.web.clients.iter().find(|(_, c)| watching(c));
        if let (false, Some((&conn, _))) = (waits, first) {
            let request = crate::db::Request::SampleEntryId(frame.of.entry.clone());
            self.web.ask(&mut self.out, conn, request);
        }
    }

    /// Shows one viewer a frame, in whichever state it is.
    fn show(&mut self, now: Now, conn: ConnId, frame: &Frame, message: Arc<Vec<u8>>) {
        let Some(viewer) = self.web.viewer(conn) else {
            return;
        };
        if !viewer.endpoint.is_open() {
            return;
        }
        let backlog = viewer.unsent + message.len();
        match &mut viewer.state {
            State::New if frame.sample.is_sync => viewer.state = State::Watching,
            State::New => return,
            State::Watching if backlog > VIEWER_BACKLOG_BYTES => {
                viewer.state = State::Skipping { frames: 1 };
                return;
            }
            State::Watching => {}
            State::Skipping { frames } => {
                if !frame.sample.is_sync || backlog > VIEWER_BACKLOG_BYTES {
                    *frames += 1;
                    return;
                }
                let drop = json!({ "type": "drop", "frames": *frames }).to_string();
                viewer.state = State::Watching;
                let bytes = websocket::encode_text(&drop);
                self.out.push(Action::Send { conn, bytes });
            }
            State::Joining {
                recording,
                frames,
                bytes,
                ..
            } => {
                if *recording != frame.of.id && frame.sample.is_sync {
                    // The next recording has begun meanwhile: its first frame is the newest sync sample.
                    viewer.state = State::Watching;
                } else if *bytes + message.len() > VIEWER_BACKLOG_BYTES {
                    viewer.state = State::New;
                    return;
                } else {
                    *bytes += message.len();
                    frames.push(message);
                    return self.join_if_readable(now, conn);
                }
            }
        }
        self.send_shared(conn, message);
    }

    fn send_shared(&mut self, conn: ConnId, message: Arc<Vec<u8>>) {
        if let Some(viewer) = self.web.viewer(conn) {
            viewer.unsent += message.len();
            let bytes = message;
            self.out.push(Action::SendShared { conn, bytes });
        }
    }

    /// Sends what is in the file and what has come since, if all of it can be read by now.
    fn join_if_readable(&mut self, _now: Now, conn: ConnId) {
        let Some(viewer) = self.web.viewer(conn) else {
            return;
        };
        let State::Joining {
            recording, until, ..
        } = viewer.state
        else {
            return;
        };
        let Some(stream) = self.streams.get(&viewer.stream) else {
            return;
        };
        let Some(growing) = stream.recorder.growing() else {
            return;
        };
        let Some(dir) = self.dirs.get(&stream.dir()) else {
            return;
        };
        let facts = growing.facts();
        if growing.writer.id() != recording || dir.readable_bytes(growing.file) < u64::from(until) {
            return;
        }
        let Some(row) = self.web.entry_rows.get(&facts.entry) else {
            return;
        };
        let (dir, samples) = (dir.id(), newest_gop(stream, until));
        let Found::Open(file) = self.web.files.get(&mut self.out, dir, recording, conn) else {
            return;
        };
        let Some(viewer) = self.web.viewer(conn) else {
            return;
        };
        let State::Joining { frames, .. } = std::mem::replace(&mut viewer.state, State::Watching)
        else {
            return;
        };
        if let (Some(first), Some(last)) = (samples.first(), samples.last()) {
            let media = first.media_start_90k..last.media_start_90k + i64::from(last.duration_90k);
            let range = u64::from(first.offset)..u64::from(last.offset) + u64::from(last.bytes);
            let bytes = message_head(&facts, row, &samples, &media, 1);
            viewer.unsent += bytes.len() + (range.end - range.start) as usize;
            self.out.push(Action::Send { conn, bytes });
            self.out.push(Action::SendFile { conn, file, range });
        }
        for message in frames {
            self.send_shared(conn, message);
        }
    }
}

/// The samples of the recording in progress from its newest sync sample that ends within `until` bytes on.
fn newest_gop(stream: &Stream, until: u32) -> Vec<Sample> {
    let Some(growing) = stream.recorder.growing() else {
        return Vec::new();
    };
    let Some(so_far) = growing.writer.so_far(u64::from(until)) else {
        return Vec::new();
    };
    let mut gop = Vec::new();
    let mut base = None;
    for mut sample in index::samples(&so_far.index).map_while(Result::ok) {
        if sample.is_sync {
            gop.clear();
        }
        let base = *base.get_or_insert(sample.composition_offset_90k);
        sample.composition_offset_90k = sample.composition_offset_90k.saturating_sub(base);
        gop.push(sample);
    }
    gop
}

impl Web {
    fn viewer(&mut self, conn: ConnId) -> Option<&mut Viewer> {
        match &mut self.clients.get_mut(&conn)?.doing {
            Doing::Watching(viewer) => Some(viewer),
            _ => None,
        }
    }

    /// How many watch, one stream or any.
    pub fn viewers(&self, of: Option<StreamId>) -> usize {
        self.clients
            .values()
            .filter(|c| match &c.doing {
                Doing::Watching(v) => of.is_none_or(|id| v.stream == id),
                _ => false,
            })
            .count()
    }
}
