//! The whole core, driven by hand: a real database in memory, disk operations that the test answers
//! (or does not), frames put in behind the RTSP session.

mod clock;
mod database;
mod early;

use super::port::{DiskError, DiskReply, DiskRequest, SocketError, Space};
use super::*;
use crate::config::{CameraConfig, StreamConfig};
use crate::db::{Database, Request};
use crate::h264::VideoSampleEntry;
use crate::recording::recovery::Attached;
use crate::recording::{Gap, GapCause, OpenId, Recording, RecordingId};
use crate::rtp::AccessUnit;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const START_SECS: i64 = 1_795_341_600;

/// The core and the world around it.
struct Board {
    nvr: Nvr,
    database: Database,
    now: Now,
    /// Disk operations that were not answered yet, in order.
    disk: VecDeque<(OpId, DiskRequest)>,
    /// What else the core wanted.
    actions: VecDeque<Action>,
    flushes: Vec<db::Flush>,
    /// The database refuses commits with this.
    refuses: Option<fn() -> db::Error>,
    /// The database does not answer; what it was asked meanwhile.
    hanging: Option<Vec<(DbId, Request)>>,
    /// What the journal tells when a directory is attached next.
    recovers: Vec<Recording>,
    picture_width: u16,
    frames: i64,
}

fn config(urls: &[&str], dirs: usize) -> Config {
    let dir = |n: usize| PathBuf::from(format!("/sample/{}", n % dirs));
    let cameras = urls.iter().enumerate().map(|(n, url)| CameraConfig {
        name: format!("camera{n}"),
        main: Some(StreamConfig {
            sample_dir: Some(dir(n)),
            ..StreamConfig::new(url)
        }),
        ..CameraConfig::default()
    });
    Config {
        sample_dirs: (0..dirs).map(dir).collect(),
        cameras: cameras.collect(),
        ..Config::default()
    }
}

impl Board {
    fn new(nvr: Nvr) -> Board {
        let mut board = Board {
            nvr,
            database: db::memory(1).unwrap(),
            now: Now {
                monotonic: Monotonic(1_000_000_000),
                wall: Wall90k::from_unix_secs(START_SECS),
            },
            disk: VecDeque::new(),
            actions: VecDeque::new(),
            flushes: Vec::new(),
            refuses: None,
            hanging: None,
            recovers: Vec::new(),
            picture_width: 16,
            frames: 0,
        };
        board.tell(Event::Timeout);
        board
    }

    /// One that records to its directories.
    fn ready(urls: &[&str], dirs: usize) -> Board {
        let mut board = Board::new(Nvr::new(config(urls, dirs), 1));
        board.pass(0);
        board.answer_all();
        board
    }

    fn tell(&mut self, event: Event<'_>) {
        self.nvr.handle(self.now, event);
        while let Some(action) = self.nvr.next_action() {
            match action {
                Action::Db { id, request } => match &mut self.hanging {
                    Some(hanging) => hanging.push((id, request)),
                    None => self.answer_database(id, request),
                },
                Action::Disk { op, request } => self.disk.push_back((op, request)),
                other => self.actions.push_back(other),
            }
        }
    }

    fn answer_database(&mut self, id: DbId, request: Request) {
        if let Request::Flush(flush) = &request {
            self.flushes.push((**flush).clone());
        }
        let result = match (&request, self.refuses) {
            (Request::Flush(_) | Request::Configure { .. }, Some(error)) => Err(error()),
            _ => self.database.handle(request),
        };
        self.tell(Event::Db { id, result });
    }

    /// The database answers what it was asked while it hung.
    fn database_is_back(&mut self) {
        for (id, request) in self.hanging.take().into_iter().flatten() {
            self.answer_database(id, request);
        }
    }

    /// The log lines so far of this kind.
    fn lines(&self, event: &str) -> Vec<&str> {
        let records = self.actions.iter().filter_map(|a| match a {
            Action::Log(record) => Some(record),
            _ => None,
        });
        let ours = records.filter(|r| r.event == event);
        ours.map(|r| r.message.as_str()).collect()
    }

    fn pass(&mut self, millis: u64) {
        self.now.monotonic = self.now.monotonic + Duration::from_millis(millis);
        self.now.wall = self.now.wall + Duration90k(millis as i64 * 90);
        self.tell(Event::Timeout);
    }

    fn answer(&mut self, (op, request): (OpId, DiskRequest)) {
        let (reply, buffer) = match request {
            DiskRequest::Attach { .. } => {
                let recovered = std::mem::take(&mut self.recovers);
                let attached = Attached {
                    recovered,
                    ..Attached::default()
                };
                (DiskReply::Attached(Box::new(attached)), None)
            }
            DiskRequest::Space { .. } => {
                let (free, total) = (1 << 40, 1 << 41);
                (DiskReply::Space(Space { free, total }), None)
            }
            DiskRequest::Write { data, .. } => (DiskReply::Done, Some(data)),
            DiskRequest::Read { len, .. } => (DiskReply::Read(vec![0; len as usize]), None),
            _ => (DiskReply::Done, None),
        };
        let result = Ok(reply);
        self.tell(Event::Disk { op, result, buffer });
    }

    fn answer_all(&mut self) {
        while let Some(operation) = self.disk.pop_front() {
            self.answer(operation);
        }
    }

    /// Answers what `which` picks, and what follows of that, and leaves the rest.
    fn answer_those(&mut self, which: impl Fn(&DiskRequest) -> bool) {
        while let Some(at) = self.disk.iter().position(|(_, r)| which(r)) {
            let operation = self.disk.remove(at).unwrap();
            self.answer(operation);
        }
    }

    fn fail(&mut self, which: impl Fn(&DiskRequest) -> bool) {
        let at = self.disk.iter().position(|(_, r)| which(r)).unwrap();
        let (op, request) = self.disk.remove(at).unwrap();
        let buffer = match request {
            DiskRequest::Write { data, .. } => Some(data),
            _ => None,
        };
        let result = Err(DiskError::Io(std::io::Error::from_raw_os_error(5)));
        self.tell(Event::Disk { op, result, buffer });
    }

    /// A sync sample of `bytes` bytes of each of `streams` comes, a tenth of a second later.
    fn frame(&mut self, streams: &[i32], bytes: u32) {
        self.pass(100);
        self.frames += 1;
        self.sample(streams, bytes, self.frames * 9_000, true);
    }

    /// A sample of each of `streams` comes.
    fn sample(&mut self, streams: &[i32], bytes: u32, timestamp: i64, is_sync: bool) {
        for id in streams {
            let unit = AccessUnit {
                len: bytes,
                timestamp,
                is_sync,
                sample_entry: Some(Arc::new(VideoSampleEntry {
                    width: self.picture_width,
                    ..(*entry()).clone()
                })),
                lost_packets: 0,
                discontinuity: false,
            };
            let take = |rec: &mut recorder::Recorder, cx: &mut Cx<'_>, dir: &mut _| {
                rec.buffer(cx.buffers).extend((0..bytes).map(|b| b as u8));
                rec.access_unit(cx, dir, unit);
                rec.received(cx, dir);
                Ok(())
            };
            let id = StreamId(*id);
            self.nvr
                .with_stream(self.now, id, |_, cx, rec, dir| take(rec, cx, dir));
        }
        self.tell(Event::Timeout);
    }

    /// No camera is there to answer, and that is not what it is about.
    fn no_camera(&mut self) {
        for id in self.nvr.streams.keys().copied().collect::<Vec<_>>() {
            self.nvr.with_stream(self.now, id, |session, cx, _, _| {
                session.hang_up(cx);
                Ok(())
            });
        }
        self.answer_all();
    }

    fn recorder(&self, id: i32) -> &recorder::Recorder {
        &self.nvr.streams[&StreamId(id)].recorder
    }

    fn reload(&mut self, config: Config) {
        self.tell(Event::Reload(Box::new(config)));
    }

    /// The newest request to attach a directory.
    fn attach_request(&self) -> Option<&crate::recording::recovery::AttachRequest> {
        self.disk.iter().rev().find_map(|(_, r)| match r {
            DiskRequest::Attach { request, .. } => Some(request),
            _ => None,
        })
    }
}

fn entry() -> Arc<VideoSampleEntry> {
    Arc::new(VideoSampleEntry {
        width: 16,
        height: 16,
        pixel_h_spacing: 1,
        pixel_v_spacing: 1,
        rfc6381_codec: "avc1.4d401f".into(),
        avcc: vec![1, 0x4d, 0x40, 0x1f, 0xff],
        reorder_frames: 0,
    })
}

/// A recording of stream 1, without samples.
pub(super) fn recording(
    open: OpenId,
    sequence: u32,
    start: Wall90k,
    length: Duration90k,
) -> Recording {
    Recording {
        id: RecordingId {
            stream: StreamId(1),
            sequence,
        },
        open,
        run_offset: 0,
        start,
        wall_duration: length,
        media_duration: length,
        clock_untrusted: false,
        sample_file_bytes: 1,
        video_samples: 1,
        video_sync_samples: 1,
        sample_entry: entry(),
        index: Vec::new(),
        data_hash: [0; 16],
        chain_hash: [sequence as u8; 32],
        end_reason: String::new(),
    }
}

const URL: &str = "rtsp://192.0.2.1/main";
const OTHER_URL: &str = "rtsp://192.0.2.2/main";

fn is_sync(r: &DiskRequest) -> bool {
    matches!(r, DiskRequest::Sync { .. } | DiskRequest::SyncDir { .. })
}

fn is_write(r: &DiskRequest) -> bool {
    matches!(r, DiskRequest::Write { .. })
}

#[test]
fn nothing_is_due_for_ever_where_nothing_is_recorded() {
    let mut board = Board::new(Nvr::read_only(config(&[URL], 1), 1));
    board.pass(61_000);
    let next = board.nvr.next_timeout();
    assert!(next.is_none_or(|t| t > board.now.monotonic), "{next:?}");
}

#[test]
fn a_lost_disk_is_looked_for_when_nothing_of_before_is_under_way() {
    let mut board = Board::ready(&[URL], 1);
    board.frame(&[1], 1_000);
    board.pass(1_000);
    board.answer_those(|r| !is_sync(r));
    let late: Vec<_> = board.disk.drain(..).collect();
    assert!(
        late.iter()
            .any(|(_, r)| matches!(r, DiskRequest::SyncDir { .. }))
    );
    // The round hangs in its syncs; more is written, and that fails.
    board.frame(&[1], 200_000);
    board.fail(is_write);
    assert!(!board.recorder(1).is_recording());
    board.answer_all();
    board.pass(5_000);
    assert!(
        board.attach_request().is_none(),
        "late writes may still change files"
    );
    late.into_iter().for_each(|o| board.answer(o));
    let committed: usize = board.flushes.iter().map(|f| f.recordings.len()).sum();
    assert_eq!(committed, 0, "a sync of before says nothing");
    board.pass(5_000);
    assert!(board.attach_request().is_some());
    board.answer_all();
    board.frame(&[1], 1_000);
    board.tell(Event::Shutdown);
    for _ in 0..3 {
        board.answer_all();
        board.pass(1_000);
    }
    let committed: usize = board.flushes.iter().map(|f| f.recordings.len()).sum();
    assert_eq!(committed, 1);
}

#[test]
fn a_disk_that_hangs_stops_its_own_streams_only() {
    // As many as would use up the bytes of all.
    let mut board = Board::ready(&[URL; 24], 2);
    board.answer_all();
    let hanging: Vec<i32> = board
        .nvr
        .streams
        .iter()
        .filter(|(_, s)| s.dir() == board.nvr.streams[&StreamId(1)].dir())
        .map(|(id, _)| id.0)
        .collect();
    let good = 2;
    board.no_camera();
    assert!(!hanging.contains(&good));
    let slow = board.nvr.streams[&StreamId(1)].dir();
    for _ in 0..400 {
        board.frame(&hanging, 150_000);
        board.frame(&[good], 150_000);
        let files: Vec<_> = board
            .disk
            .iter()
            .filter_map(|(_, r)| match r {
                DiskRequest::Create { file, dir, .. } if *dir == slow => Some(*file),
                _ => None,
            })
            .collect();
        // What is written to the slow one is never answered.
        board.answer_those(|r| match r {
            DiskRequest::Create { dir, .. } | DiskRequest::SyncDir { dir } => *dir != slow,
            DiskRequest::Write { file, .. } | DiskRequest::Sync { file } => !files.contains(file),
            _ => true,
        });
        assert!(board.recorder(good).is_recording());
        let lent = board.nvr.buffers.lent_bytes();
        assert!(lent <= TOTAL_BACKLOG_BYTES, "{lent}");
    }
    for id in hanging {
        assert!(!board.recorder(id).is_recording());
        assert_eq!(board.recorder(id).pause().unwrap().0, GapCause::Disk);
    }
}

#[test]
fn what_is_not_durable_survives_a_change_of_settings() {
    let mut board = Board::ready(&[URL], 1);
    board.frame(&[1], 1_000);
    board.pass(1_000);
    board.answer_all();
    board.frame(&[1], 200_000);
    board.reload(config(&[OTHER_URL], 1));
    assert!(!board.recorder(1).is_recording());
    board.fail(is_write);
    board.answer_all();
    board.pass(5_000);
    let committed = &board.attach_request().unwrap().committed[&StreamId(1)];
    assert_eq!(
        committed.next_sequence, 0,
        "its journal still tells of recording 0"
    );
}

#[test]
fn a_stream_that_moves_waits_for_the_disk_of_before() {
    let mut board = Board::ready(&[URL, OTHER_URL], 2);
    board.frame(&[1], 1_000);
    board.pass(1_000);
    board.answer_all();
    board.frame(&[1], 200_000);
    let mut moved = config(&[URL, OTHER_URL], 2);
    moved.cameras[0].main.as_mut().unwrap().sample_dir = Some(moved.sample_dirs[1].clone());
    board.reload(moved);
    board.frame(&[1], 1_000);
    assert!(!board.recorder(1).is_recording());
    for _ in 0..3 {
        board.answer_all();
        board.pass(1_000);
    }
    assert_eq!(board.nvr.commit.pending().count(), 1);
    board.frame(&[1], 1_000);
    assert!(board.recorder(1).is_recording());
}

#[test]
fn a_directory_that_is_not_named_any_more_is_put_away_when_nothing_is_left_in_it() {
    let mut board = Board::ready(&[URL, OTHER_URL], 2);
    board.no_camera();
    for _ in 0..5 {
        board.frame(&[1, 2], 1_000);
    }
    // The second stream moves to the first directory, and the second directory is not named any more.
    let mut one = config(&[URL, OTHER_URL], 1);
    one.cameras[1].main.as_mut().unwrap().retain.bytes = Some(100_000);
    board.reload(one.clone());
    board.no_camera();
    board.pass(1_000);
    board.answer_all();
    board.pass(61_000);
    board.answer_all();
    let detaches = |board: &Board, dir| {
        let is_it =
            |r: &DiskRequest| matches!(r, DiskRequest::Detach { dir: d } if *d == DirId(dir));
        board.disk.iter().any(|(_, r)| is_it(r))
    };
    // What was recorded to it is still there.
    let kept: Vec<DirId> = board
        .flushes
        .iter()
        .flat_map(|f| f.recordings.iter().map(|(d, _)| *d))
        .collect();
    assert!(kept.contains(&DirId(2)), "{kept:?}");
    assert!(board.nvr.dirs.contains_key(&DirId(2)));
    // It is given up as newer ones come.
    one.cameras[1].main.as_mut().unwrap().retain.bytes = Some(0);
    board.reload(one);
    board.no_camera();
    let mut put_away = false;
    for _ in 0..4 {
        board.pass(61_000);
        while let Some(operation) = board.disk.pop_front() {
            put_away |= matches!(operation.1, DiskRequest::Detach { dir } if dir == DirId(2));
            board.answer(operation);
        }
        put_away |= detaches(&board, 2);
    }
    assert!(put_away, "{:?}", board.flushes.last());
    assert!(!board.nvr.dirs.contains_key(&DirId(2)));
    assert_eq!(board.lines("disk-put-away").len(), 1);
    // One that was never used goes at once, and comes back when it is named again.
    board.reload(config(&[URL, OTHER_URL], 2));
    board.pass(5_000);
    board.answer_all();
    board.pass(5_000);
    assert!(board.nvr.dirs[&DirId(2)].is_ready() || board.attach_request().is_some());
}

#[test]
fn frames_that_no_recording_can_begin_with_are_told() {
    let mut board = Board::ready(&[URL], 1);
    board.no_camera();
    for n in 0..450 {
        board.pass(100);
        board.sample(&[1], 500, n * 9_000, false);
        board.answer_all();
    }
    assert!(!board.recorder(1).is_recording());
    let lines = board.lines("no-sync-sample");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("key frame interval"), "{lines:?}");
    let (cause, detail) = board.recorder(1).pause().unwrap();
    let detail = detail.to_owned();
    assert_eq!(cause, GapCause::Camera);
    assert!(detail.contains("key frame"), "{detail}");
    board.pass(61_000);
    let gaps: Vec<&Gap> = board.flushes.iter().flat_map(|f| &f.gaps).collect();
    let told = gaps
        .iter()
        .any(|g| g.detail == detail && g.end - g.start > Duration90k::from_secs(40));
    assert!(told, "{gaps:?}");
    // One comes at last.
    board.frame(&[1], 1_000);
    assert!(board.recorder(1).is_recording());
    assert_eq!(board.lines("camera-back").len(), 1);
}

#[test]
fn a_camera_is_redirected_again_after_any_number_of_failures() {
    let mut board = Board::ready(&[URL], 1);
    for attempt in 0..8 {
        let mut redirected = false;
        board.pass(40_000);
        while let Some(action) = board.actions.pop_front() {
            match action {
                Action::Lookup { lookup, host } => {
                    redirected |= host == "192.0.2.77";
                    let result = Ok(vec![host.parse().unwrap()]);
                    board.tell(Event::Resolved { lookup, result });
                }
                Action::Connect { conn, .. } if redirected => {
                    let reason = Err(SocketError::Refused);
                    board.tell(Event::Closed { conn, reason });
                }
                Action::Connect { conn, .. } => board.tell(Event::Connected { conn }),
                Action::Send { conn, .. } => {
                    let reply =
                        b"RTSP/1.0 302 Moved\r\nCSeq: 1\r\nLocation: rtsp://192.0.2.77/x\r\n\r\n";
                    board.tell(Event::Received { conn, bytes: reply });
                }
                _ => {}
            }
        }
        assert!(redirected, "attempt {attempt}");
    }
}

#[test]
fn the_end_waits_for_what_the_disk_was_asked_for() {
    let mut board = Board::ready(&[URL], 1);
    board.pass(1_000);
    board.frame(&[1], 1_000);
    board.answer_all();
    board.tell(Event::Shutdown);
    board.pass(10);
    // The round of the last recording is over but for an old segment's removal, or whatever it be.
    let dir = board.nvr.streams[&StreamId(1)].dir();
    let request = DiskRequest::Space { dir };
    board
        .nvr
        .out
        .disk(dir, super::outbox::Purpose::Space, request);
    board.tell(Event::Timeout);
    board.answer_those(|r| !matches!(r, DiskRequest::Space { .. }));
    board.pass(10);
    assert!(board.flushes.last().unwrap().clean_shutdown);
    let exits = |b: &Board| b.actions.iter().any(|a| matches!(a, Action::Exit));
    assert!(!exits(&board));
    let flushes = board.flushes.len();
    board.pass(5_000);
    assert!(!exits(&board));
    board.answer_all();
    assert!(exits(&board));
    assert_eq!(board.flushes.len(), flushes, "the last commit is the last");

    // What hangs is not waited for without end.
    let mut board = Board::ready(&[URL], 1);
    board.frame(&[1], 1_000);
    board.tell(Event::Shutdown);
    board.pass(9_000);
    assert!(!exits(&board));
    board.pass(2_000);
    assert!(exits(&board));
}

#[test]
fn a_streams_recordings_become_durable_in_their_order() {
    let mut board = Board::ready(&[URL], 1);
    board.frame(&[1], 1_000);
    board.pass(1_000);
    board.answer_all();
    // A round that hangs in a write, the end of a recording behind it, and a short one after that.
    board.frame(&[1], 1_000);
    board.pass(1_000);
    let end_of = |board: &mut Board, millis: u64| {
        let id = StreamId(1);
        board.nvr.with_stream(board.now, id, |_, cx, rec, dir| {
            rec.stop(cx, dir, GapCause::Camera, "it is gone");
            Ok(())
        });
        board.pass(millis);
    };
    board.frame(&[1], 1_000);
    end_of(&mut board, 0);
    board.frame(&[1], 1_000);
    end_of(&mut board, 0);
    let first = board.recorder(1).committed().next_sequence;
    assert_eq!(first, 0);
    // All is written but the very last bytes of the first one.
    let last_of_first = board
        .disk
        .iter()
        .rposition(|(_, r)| matches!(r, DiskRequest::Write { offset, .. } if *offset > 0))
        .unwrap();
    let held = board.disk.remove(last_of_first).unwrap();
    board.answer_all();
    assert_eq!(board.nvr.commit.pending().count(), 0);
    board.answer(held);
    board.answer_all();
    board.pass(1_000);
    board.answer_all();
    let committed: Vec<u32> = board
        .nvr
        .commit
        .pending()
        .map(|(_, r)| r.id.sequence)
        .collect();
    assert_eq!(committed, [0, 1]);
}

#[test]
fn all_that_comes_back_with_a_disk_is_taken() {
    let mut board = Board::ready(&[URL], 1);
    board.no_camera();
    board.frame(&[1], 1_000);
    let (open, start) = (board.nvr.open.unwrap(), board.now.wall);
    board
        .nvr
        .with_stream(board.now, StreamId(1), |_, cx, rec, dir| {
            rec.stop(cx, dir, GapCause::Camera, "it is gone");
            Ok(())
        });
    board.frame(&[1], 200_000);
    board.answer_those(|r| !is_write(r));
    board.fail(is_write);
    let length = Duration90k(9_000);
    board.recovers = vec![
        recording(open, 0, start, length),
        recording(open, 1, start + length, length),
    ];
    board.answer_all();
    board.pass(5_000);
    board.answer_all();
    let last = &board.flushes.last().unwrap().recordings;
    let sequences: Vec<u32> = last.iter().map(|(_, r)| r.id.sequence).collect();
    assert_eq!(sequences, [0, 1]);
    // What is recorded now is none of these.
    board.frame(&[1], 1_000);
    let (id, ..) = board.recorder(1).in_progress().unwrap();
    assert_eq!(id.sequence, 2);
}

#[test]
fn a_file_of_which_nothing_came_is_removed_until_that_is_durable() {
    let mut board = Board::ready(&[URL], 1);
    let of_first = |r: &DiskRequest| matches!(r, DiskRequest::Unlink { name, .. } if name == "0000000100000000");
    let is_sync_dir = |r: &DiskRequest| matches!(r, DiskRequest::SyncDir { .. });
    board.no_camera();
    board.frame(&[1], 200_000);
    board.answer_those(|r| !is_write(r));
    board.fail(is_write);
    board.answer_all();
    // It comes back without the file's journal, and goes before the removal is durable.
    board.pass(5_000);
    board.answer_those(|r| !of_first(r));
    assert!(!board.disk.is_empty(), "the removal is not asked for");
    board.pass(1_000);
    board.answer_those(|r| !of_first(r) && !is_sync_dir(r));
    assert!(
        !board.disk.iter().any(|(_, r)| is_sync_dir(r)),
        "a sync before the removal is done does not cover it"
    );
    board.answer_those(of_first);
    board.fail(is_sync_dir);
    board.answer_all();
    board.pass(5_000);
    board.answer_those(|r| !of_first(r));
    assert!(!board.disk.is_empty(), "it may be there again");
    board.answer_all();
    board.pass(1_000);
    board.answer_all();
    // Now it is gone for good.
    board.frame(&[1], 200_000);
    board.answer_those(|r| !is_write(r));
    board.fail(is_write);
    board.answer_all();
    board.pass(5_000);
    board.answer_those(|r| !of_first(r));
    assert!(board.disk.is_empty());
}

impl Board {
    /// The program ends without notice and is started again; the clock shows `wall`.
    fn restarted(self, wall: Wall90k) -> Board {
        let mut board = Board {
            nvr: Nvr::new(config(&[URL], 1), 2),
            now: Now { wall, ..self.now },
            disk: VecDeque::new(),
            ..self
        };
        board.tell(Event::Timeout);
        board.pass(0);
        board
    }
}

#[test]
fn a_camera_that_drops_after_each_frame_is_asked_less_and_less() {
    let mut board = Board::ready(&[URL], 1);
    let (mut attempts, mut frames) = (0, 0);
    for _ in 0..3_400 {
        board.pass(1_000);
        while let Some(at) = board
            .actions
            .iter()
            .position(|a| !matches!(a, Action::Log(_)))
        {
            match board.actions.remove(at).unwrap() {
                Action::Lookup { lookup, host } => {
                    let result = Ok(vec![host.parse().unwrap()]);
                    board.tell(Event::Resolved { lookup, result });
                }
                Action::Connect { conn, .. } => {
                    attempts += 1;
                    board.tell(Event::Connected { conn });
                    board.frame(&[1], 100);
                    frames += u32::from(board.recorder(1).is_recording());
                    let reason = Ok(());
                    board.tell(Event::Closed { conn, reason });
                }
                _ => {}
            }
        }
        board.answer_all();
    }
    assert!((110..200).contains(&attempts), "{attempts}");
    assert_eq!(frames, attempts);
    assert_eq!(board.lines("camera-lost").len(), 2);
    assert_eq!(board.lines("camera-back").len(), 1);
}
