//! HLS: playlists of what was recorded ([`recorded`]), of what is being recorded ([`live`]), and of a
//! camera's streams ([`variants`]).
//!
//! What a live playlist refers to is read from the recording's file like everything else: no frame is kept
//! for it. While somebody asks for a stream's list, the recorder is told to hand frames over part by part,
//! and requests that wait for the next one are answered when it is written. Refused: more than
//! [`MAX_WAITING`] of these, waiting longer than three target durations, and what is further ahead than
//! the protocol allows. See `design/hls.md`.

mod live;
mod playlist;
mod recorded;
#[cfg(test)]
mod tests;
mod variants;

use super::task::{Answer, Need};
use super::view::View;
use super::{Asking, Client, Doing, Stage, Task as WebTask};
use crate::db::{self, Reply};
use crate::http::{Response, Status};
use crate::mp4::Source;
use crate::nvr::clock::Clock;
use crate::nvr::port::ConnId;
use crate::nvr::{Cx, Nvr, Phase, cx};
use crate::recording::{DirId, Recording, RecordingId, StreamId};
use crate::time::{Duration90k, Monotonic, Now, Wall90k};
use live::{Fed, Has, Live, Of};
use playlist::Playlist;
pub use recorded::Recorded;
use recorded::{CUT_SPAN, Kept};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;
use variants::{Variant, Variants};

/// Requests that wait for frames at a time. More are told to come again.
const MAX_WAITING: usize = 64;

/// A stream is watched for so long after the last request: a player that knows nothing of waiting asks once
/// in a target duration.
const WATCHED_FOR: Duration = Duration::from_secs(30);

/// Recordings that have ended from which a new list is made.
const ENDED_AT_START: usize = 2;

/// Viewers that the access log has told of.
const MAX_TOLD: usize = 64;

/// What HLS keeps.
#[derive(Default)]
pub struct Hls {
    lists: BTreeMap<StreamId, Watched>,
    kept: Kept,
    /// Who watches what, as the access log was told.
    told: VecDeque<(Option<IpAddr>, String, String)>,
}

/// A list that somebody asks for.
struct Watched {
    live: Live,
    until: Monotonic,
}

/// What of a live playlist is meant.
#[derive(Clone, Copy, Default)]
pub struct Place {
    /// Its media sequence number.
    pub segment: Option<u64>,
    pub part: Option<u64>,
}

/// A request that is being looked into.
pub enum Task {
    Recorded(Recorded),
    Live(OfLive),
    Variants(Variants),
}

/// `live.m3u8` and `segment.m4s`.
pub struct OfLive {
    stream: StreamId,
    bytes: bool,
    place: Place,
    until: Option<Monotonic>,
}

type Refused = Box<Response>;

impl OfLive {
    pub fn new(stream: StreamId, bytes: bool, place: Place) -> Result<OfLive, Refused> {
        let bad = |sentence| Err(Box::new(Response::text(Status::BadRequest, sentence)));
        if bytes && place.segment.is_none() {
            return bad("tell which one: segment=");
        }
        if place.segment.is_none() && place.part.is_some() {
            return bad("a part is one of a segment");
        }
        Ok(OfLive {
            stream,
            bytes,
            place,
            until: None,
        })
    }

    fn has(&self, live: &Live) -> Has {
        match (self.place.segment, self.bytes) {
            (Some(n), true) => live.has_bytes(n, self.place.part),
            (Some(n), false) => live.has(n, self.place.part),
            // The first one waits until there is something to begin with.
            (None, _) if live.has_any() => Has::Yes,
            (None, _) => Has::NotYet,
        }
    }
}

impl Task {
    /// Up to when what is wanted may still come; `None` if it does not wait.
    pub fn waits_until(&self) -> Option<Monotonic> {
        match self {
            Task::Live(of) => of.until,
            _ => None,
        }
    }

    /// The streams of which any has to be recorded before there is anything to tell; `None` for a span.
    pub fn of_recorded(&self) -> Option<Vec<StreamId>> {
        match self {
            Task::Live(of) => Some(vec![of.stream]),
            Task::Variants(variants) => variants.of_recorded(),
            Task::Recorded(_) => None,
        }
    }

    /// Takes in what the database answered.
    pub fn take(&mut self, reply: Reply) -> Result<(), Refused> {
        match self {
            Task::Recorded(ask) => ask.take(reply)?,
            Task::Variants(variants) => variants.take(&reply),
            Task::Live(_) => {}
        }
        Ok(())
    }
}

/// `FIRST-END`: positions of samples.
pub fn positions(text: &str) -> Option<Range<u32>> {
    let number = |s: &str| {
        let digits = !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| s.parse().ok()).flatten()
    };
    let (first, end) = text.split_once('-')?;
    let range = number(first)?..number(end)?;
    (range.start < range.end).then_some(range)
}

/// What did not come in time.
pub fn too_late() -> Response {
    later("nothing of it was recorded in time")
}

fn later(sentence: &str) -> Response {
    Response::text(Status::ServiceUnavailable, sentence).field("Retry-After", "2")
}

fn too_much() -> Refused {
    Box::new(Response::text(
        Status::BadRequest,
        "that is more than one playlist may have: ask for a shorter span",
    ))
}

fn gone(sentence: &str) -> Refused {
    Box::new(Response::text(Status::NotFound, sentence))
}

impl Hls {
    /// When the next list is given up.
    pub fn next_timeout(&self) -> Option<Monotonic> {
        self.lists.values().map(|w| w.until).min()
    }

    pub fn is_watched(&self) -> bool {
        !self.lists.is_empty()
    }

    /// A directory is lost: what was in it is not listed any more.
    pub fn forget_dir(&mut self, dir: DirId) {
        let lost = |s: Source| s.dir == dir;
        self.lists.retain(|_, w| !w.live.has_recording(lost));
    }

    /// Recordings are gone.
    pub fn forget(&mut self, gone: &[RecordingId]) {
        let lost = |s: Source| gone.contains(&s.id);
        self.lists.retain(|_, w| !w.live.has_recording(lost));
    }

    /// Whether the access log is to tell of this request: the first of each who watches.
    pub fn is_news(&mut self, address: Option<IpAddr>, user: &str, path: &str) -> bool {
        let stream = path.rsplit_once('/').map_or(path, |(stream, _)| stream);
        let known =
            |t: &(Option<IpAddr>, String, String)| t.0 == address && t.1 == user && t.2 == stream;
        if self.told.iter().any(known) {
            return false;
        }
        if self.told.len() >= MAX_TOLD {
            self.told.pop_front();
        }
        self.told
            .push_back((address, user.to_owned(), stream.to_owned()));
        true
    }
}

impl Nvr {
    /// `index.m3u8` of a camera.
    pub(super) fn variants_task(
        &self,
        camera: Uuid,
        start: Option<Wall90k>,
        end: Option<Wall90k>,
    ) -> Result<WebTask, Refused> {
        let camera = self.cameras.iter().find(|c| c.uuid == camera);
        let camera = camera.ok_or_else(|| gone("there is no such camera"))?;
        let streams = camera.streams.iter().map(|s| (s.kind, s.id)).collect();
        let span = start.map(|start| start..end.unwrap_or(start + CUT_SPAN));
        let variants = Variants::new(span, streams);
        Ok(WebTask::Hls(Box::new(Task::Variants(variants))))
    }

    /// What a task still wants.
    pub(super) fn need_of_hls(&mut self, now: Now, task: &mut Task) -> Result<Need, Refused> {
        match task {
            Task::Recorded(ask) => {
                if ask.is_new() {
                    if let Some(entry) = self.entry_without_row(ask.stream()) {
                        return Ok(Need::Database(db::Request::SampleEntryId(entry)));
                    }
                    ask.begin(self.uncommitted(ask.stream()));
                }
                let request = ask.need(&mut self.web.hls.kept);
                Ok(request.map_or(Need::Nothing, Need::Database))
            }
            Task::Variants(variants) => Ok(self.need_of_variants(variants)),
            Task::Live(of) => self.need_of_live(now, of),
        }
    }

    fn need_of_variants(&self, variants: &mut Variants) -> Need {
        while let Some(id) = variants.next_stream() {
            if let Some(request) = variants.need() {
                if let Some(entry) = self.entry_without_row(id) {
                    return Need::Database(db::Request::SampleEntryId(entry));
                }
                return Need::Database(request);
            }
            let recorder = self.streams.get(&id).map(|s| &s.recorder);
            let variant = recorder.and_then(|r| {
                let (_, bytes, duration) = r.in_progress()?;
                Some(Variant::new(r.entry()?, bytes, duration))
            });
            variants.take_live(variant);
        }
        Need::Nothing
    }

    fn need_of_live(&mut self, now: Now, of: &mut OfLive) -> Result<Need, Refused> {
        if let Some(entry) = self.entry_without_row(of.stream) {
            return Ok(Need::Database(db::Request::SampleEntryId(entry)));
        }
        self.watch_list(now, of.stream);
        let Some(watched) = self.web.hls.lists.get(&of.stream) else {
            return Err(Box::new(later("nothing is being recorded of it")));
        };
        match of.has(&watched.live) {
            Has::Yes => {
                of.until = None;
                return Ok(Need::Nothing);
            }
            Has::NotYet => {}
            Has::Gone => return Err(gone("there is no such segment any more")),
            Has::TooFar => {
                let sentence = "that is further ahead than may be asked for";
                let response = Response::text(Status::BadRequest, sentence);
                return Err(Box::new(response));
            }
        }
        if of.until.is_none() {
            let waiting = self.web.clients.values().filter(|c| c.waits_for_frames());
            if waiting.count() >= MAX_WAITING {
                return Err(Box::new(later("too many wait for what is being recorded")));
            }
            let patience = Duration::from_secs(3 * u64::from(watched.live.target_secs()));
            of.until = Some(now.monotonic + patience);
            self.wake_at(of.until);
        }
        Ok(Need::Recorded)
    }

    /// The answer, once nothing is needed any more.
    pub(super) fn finish_hls(&mut self, now: Now, task: Task) -> Answer {
        Answer::Whole(match task {
            Task::Recorded(ask) => {
                let wall = self.at(now).wall;
                match ask.finish(wall, &mut self.web.hls.kept) {
                    Ok(playlist) => playlist.response(),
                    Err(response) => *response,
                }
            }
            Task::Variants(mut variants) => {
                variants.complete(|id| self.uncommitted(id));
                match (variants.playlist(), variants.is_live()) {
                    (Some(playlist), _) => playlist.response(),
                    (None, true) => later("nothing is being recorded of it"),
                    (None, false) => *gone("nothing was recorded in that span"),
                }
            }
            Task::Live(of) if of.bytes => return self.live_bytes(&of),
            Task::Live(of) => match self.live_playlist(of.stream) {
                Some(playlist) => playlist.response(),
                None => too_late(),
            },
        })
    }

    fn live_playlist(&self, id: StreamId) -> Option<Playlist> {
        let lists = &self.web.hls.lists;
        let mut text = lists.get(&id)?.live.playlist();
        // The camera's other streams, so that a player can change over without asking first.
        let mine = |c: &&db::Camera| c.streams.iter().any(|s| s.id == id);
        let streams = self.cameras.iter().find(mine)?.streams.iter();
        for other in streams.filter(|s| s.id != id) {
            let Some(watched) = lists.get(&other.id) else {
                continue;
            };
            let (segment, part) = watched.live.last();
            let part = part.map_or_else(String::new, |p| format!(",LAST-PART={p}"));
            text.line(format_args!(
                "#EXT-X-RENDITION-REPORT:URI=\"../{}/live.m3u8\",LAST-MSN={segment}{part}",
                other.kind.as_str()
            ));
        }
        Some(text)
    }

    fn live_bytes(&self, of: &OfLive) -> Answer {
        let list = self.web.hls.lists.get(&of.stream);
        let file = list
            .zip(of.place.segment)
            .and_then(|(w, n)| w.live.file(n, of.place.part));
        let file = match file {
            Some(Ok(file)) => Arc::new(file),
            Some(Err(e)) => {
                let sentence = e.to_string();
                let response = Response::text(Status::InternalServerError, &sentence);
                return Answer::Whole(response);
            }
            None => return Answer::Whole(*gone("there is no such segment any more")),
        };
        let view = View {
            file,
            prev_media_duration: Duration90k::ZERO,
            prev_runs: 0,
            settled: true,
            immutable: false,
            indexes: BTreeMap::new(),
        };
        Answer::File {
            head: Vec::new(),
            view: Arc::new(view),
        }
    }

    /// Somebody asks for a stream's list: it is made if need be, and kept for some time.
    fn watch_list(&mut self, now: Now, id: StreamId) {
        let until = now.monotonic + WATCHED_FOR;
        if let Some(watched) = self.web.hls.lists.get_mut(&id) {
            watched.until = until;
            return;
        }
        let Some(mut live) = self.new_list(id) else {
            return;
        };
        live.readable(|of| self.readable_bytes(of));
        self.web.hls.lists.insert(id, Watched { live, until });
        self.wake_at(Some(until));
        self.set_tick();
        self.hls_recorded(now, id);
    }

    fn new_list(&self, id: StreamId) -> Option<Live> {
        let mut ended = self.ended_in_memory(id, |_| true);
        ended.drain(..ended.len().saturating_sub(ENDED_AT_START));
        let mut fed: Vec<Fed<'_>> = Vec::with_capacity(ended.len() + 1);
        for (dir, recording) in ended {
            fed.push(self.fed(dir, recording)?);
        }
        fed.extend(self.fed_growing(id));
        Live::new(&fed)
    }

    /// The stream's recordings that have ended and are not committed, in order.
    fn ended_in_memory(
        &self,
        id: StreamId,
        wanted: impl Fn(RecordingId) -> bool,
    ) -> Vec<(DirId, &Recording)> {
        let ended = self.ended(id).filter(|(_, r, _)| wanted(r.id));
        let mut found: Vec<_> = ended.map(|(dir, r, _)| (dir, r)).collect();
        found.sort_by_key(|(_, r)| r.id);
        found.dedup_by_key(|(_, r)| r.id);
        found
    }

    fn fed<'a>(&self, dir: DirId, r: &'a Recording) -> Option<Fed<'a>> {
        Some(Fed {
            of: Of {
                source: Source { id: r.id, dir },
                open: r.open,
                run_offset: r.run_offset,
                start: r.start,
                entry: r.sample_entry.clone(),
                entry_row: self.web.entry_rows.get(&r.sample_entry)?,
            },
            index: &r.index,
            ended: true,
            next_is_sync: false,
        })
    }

    fn fed_growing(&self, id: StreamId) -> Option<Fed<'_>> {
        let stream = self.streams.get(&id)?;
        let growing = stream.recorder.growing()?;
        let facts = growing.facts();
        Some(Fed {
            of: Of {
                source: Source {
                    id: facts.id,
                    dir: stream.dir(),
                },
                open: facts.open,
                run_offset: growing.writer.run_offset(),
                start: facts.start,
                entry_row: self.web.entry_rows.get(&facts.entry)?,
                entry: facts.entry,
            },
            index: growing.writer.index(),
            ended: false,
            next_is_sync: growing.writer.newest().is_some_and(|s| s.is_sync),
        })
    }

    /// How much of a recording's file can be read by now.
    fn readable_bytes(&self, id: RecordingId) -> u64 {
        let stream = self.streams.get(&id.stream);
        let growing = stream.and_then(|s| Some((s.recorder.growing()?, s.dir())));
        if let Some((growing, dir)) = growing.filter(|(g, _)| g.writer.id() == id) {
            let dir = self.dirs.get(&dir);
            return dir.map_or(0, |d| d.readable_bytes(growing.file));
        }
        let ended = self.ended(id.stream).find(|(_, r, _)| r.id == id);
        // What is not known here any more is committed, and so is all of it.
        ended.map_or(u64::MAX, |(_, _, readable)| readable)
    }

    /// Frames of a stream may have come: if its list is asked for, it takes them in.
    pub(in crate::nvr) fn hls_recorded(&mut self, now: Now, id: StreamId) {
        let Some(mut watched) = self.web.hls.lists.remove(&id) else {
            return;
        };
        let known = self.feed_list(id, &mut watched.live);
        let waiting = watched.live.is_waiting();
        self.web.hls.lists.insert(id, watched);
        if waiting {
            // To the disk with the part that is complete, from where it is read.
            self.hand_over(now, id);
            self.hls_readable(now, id);
        }
        if !known {
            self.wake_waiting(now, id);
        }
    }

    /// Whether all could be fed: not if a new sample entry has no row yet, which those who wait then ask
    /// for.
    fn feed_list(&self, id: StreamId, live: &mut Live) -> bool {
        let stream = self.streams.get(&id);
        let growing = stream.and_then(|s| s.recorder.growing());
        let same = growing.is_some_and(|g| live.is_in(g.writer.id()));
        if !same {
            for (dir, recording) in self.ended_in_memory(id, |id| live.wants(id)) {
                match self.fed(dir, recording) {
                    Some(fed) => live.feed(&fed),
                    None => return false,
                }
            }
        }
        match self.fed_growing(id) {
            Some(fed) => live.feed(&fed),
            None => return stream.is_none_or(|s| s.recorder.growing().is_none()),
        }
        true
    }

    fn hand_over(&mut self, now: Now, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let Some(dir) = self.dirs.get_mut(&stream.dir()) else {
            return;
        };
        let mut cx = cx!(self, now);
        stream.recorder.hand_over(&mut cx, dir);
    }

    /// A disk operation of a directory is done: parts may have become readable.
    pub(in crate::nvr) fn hls_written(&mut self, now: Now, dir: DirId) {
        if !self.web.hls.is_watched() {
            return;
        }
        let of_dir = |id: &&StreamId| self.streams.get(id).is_some_and(|s| s.dir() == dir);
        let ids: Vec<StreamId> = self.web.hls.lists.keys().filter(of_dir).copied().collect();
        for id in ids {
            self.hls_readable(now, id);
        }
    }

    fn hls_readable(&mut self, now: Now, id: StreamId) {
        let Some(mut watched) = self.web.hls.lists.remove(&id) else {
            return;
        };
        let more = watched.live.readable(|of| self.readable_bytes(of));
        self.web.hls.lists.insert(id, watched);
        if more {
            self.wake_waiting(now, id);
        }
    }

    /// Looks again into the requests that wait for frames of a stream.
    fn wake_waiting(&mut self, now: Now, id: StreamId) {
        let clients = self.web.clients.iter();
        let waiting = clients.filter(|(_, c)| c.waiting_task().is_some_and(|t| t.stream == id));
        let waiting: Vec<ConnId> = waiting.map(|(conn, _)| *conn).collect();
        for conn in waiting {
            self.look_into(now, conn);
        }
    }

    /// Gives up lists that nobody asks for any more.
    pub(super) fn hls_timeout(&mut self, now: Now) {
        let lists = &mut self.web.hls.lists;
        let before = lists.len();
        lists.retain(|_, w| w.until > now.monotonic);
        if lists.is_empty() {
            self.web.hls.told.clear();
        }
        if self.web.hls.lists.len() != before {
            self.set_tick();
        }
    }
}

impl Client {
    /// The task that waits for frames.
    fn waiting_task(&self) -> Option<&OfLive> {
        let Doing::Asking(asking) = &self.doing else {
            return None;
        };
        let Asking {
            stage: Stage::Working(WebTask::Hls(task)),
            ..
        } = asking.as_ref()
        else {
            return None;
        };
        match task.as_ref() {
            Task::Live(of) if of.until.is_some() => Some(of),
            _ => None,
        }
    }

    fn waits_for_frames(&self) -> bool {
        self.waiting_task().is_some()
    }
}
