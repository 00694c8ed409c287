//! A frame asks for no memory on its whole way through the daemon's core: from the bytes of the
//! camera's connection to the writes and syncs of the disk, the journal's included. A recording does:
//! its file, its index, its row; that is bounded.
//!
//! `tests/rtp_allocations.rs` shows the same of what UDP adds, the ingest benchmark of the reactor.

use base64::Engine;
use moonfire_nvr::config::{CameraConfig, Config, StreamConfig};
use moonfire_nvr::db::{self, Database};
use moonfire_nvr::nvr::Nvr;
use moonfire_nvr::nvr::port::{
    Action, ConnId, Core, DiskReply, DiskRequest, Event, LookupId, OpId, Space,
};
use moonfire_nvr::recording::journal;
use moonfire_nvr::simulated_camera::packetize::Packetizer;
use moonfire_nvr::simulated_camera::synthetic::Synthetic;
use moonfire_nvr::time::{Duration90k, Monotonic, Now, Wall90k};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator; counting allocates nothing,
// because the thread-local cell is const-initialized and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.realloc(ptr, layout, new_size) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const STREAMS: usize = 4;
const FRAME_RATE: u32 = 30;
/// How often the connections are read, and how many frames of each have come by then.
const TICK: Duration = Duration::from_millis(200);
const FRAMES_A_TICK: usize = 6;
/// Buffers find their size.
const WARM_UP_TICKS: usize = 50;
/// Four minutes: each stream ends a recording of usual length or two after its first, shorter one.
const TICKS: usize = 1200;
/// What a recording may ask for, its part of a commit included, the database's own work not.
const MOST_OF_A_RECORDING: u64 = 100;

/// One GOP as interleaved packets, a `Vec` for each frame.
fn video() -> (Synthetic, Vec<Vec<u8>>) {
    let synthetic = Synthetic {
        width: 1920,
        height: 1080,
        frame_rate: FRAME_RATE,
        gop_frames: 60,
        sync_bytes: 100_000,
        other_bytes: 13_800,
        ..Synthetic::default()
    };
    let mut packetizer = Packetizer::new(7, 0, 0, 1400);
    let frames = (0..60)
        .map(|n| {
            let unit = synthetic.frame(n);
            let mut bytes = Vec::new();
            for packet in packetizer.packets(&unit, unit.sync) {
                bytes.extend_from_slice(&[b'$', 0]);
                bytes.extend_from_slice(&(packet.len() as u16).to_be_bytes());
                bytes.extend_from_slice(&packet);
            }
            bytes
        })
        .collect();
    (synthetic, frames)
}

/// What a camera has said and is about to say.
struct Camera {
    conn: ConnId,
    playing: bool,
    frames_sent: usize,
    sequence: u16,
}

impl Camera {
    /// The next frame's packets, appended to `out`.
    fn frame(&mut self, video: &[Vec<u8>], out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&video[self.frames_sent % video.len()]);
        let timestamp = self.frames_sent as u32 * (90_000 / FRAME_RATE);
        self.frames_sent += 1;
        let mut rest = &mut out[from..];
        while rest.len() > 16 {
            let len = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            rest[6..8].copy_from_slice(&self.sequence.to_be_bytes());
            rest[8..12].copy_from_slice(&timestamp.to_be_bytes());
            self.sequence = self.sequence.wrapping_add(1);
            rest = &mut rest[4 + len..];
        }
    }
}

/// What a step asked for. See [`Board::tell`].
#[derive(Default)]
struct Counted {
    of_frames: u64,
    of_others: u64,
    recordings: u64,
}

/// The core, and a world without surprises around it.
struct Board {
    nvr: Nvr,
    database: Database,
    now: Now,
    sdp: String,
    cameras: Vec<Camera>,
    /// What the core wants done, in order.
    disk: VecDeque<(OpId, DiskRequest)>,
    lookups: VecDeque<LookupId>,
    connects: VecDeque<ConnId>,
    sent: VecDeque<(ConnId, Vec<u8>)>,
    counted: Counted,
}

impl Board {
    fn new(synthetic: &Synthetic) -> Board {
        let config = Config {
            sample_dirs: vec![PathBuf::from("/sample")],
            cameras: (0..STREAMS)
                .map(|n| CameraConfig {
                    name: format!("camera {n}"),
                    main: Some(StreamConfig::new(&format!("rtsp://192.0.2.{n}/"))),
                    ..CameraConfig::default()
                })
                .collect(),
            ..Config::default()
        };
        let sets = synthetic.parameters(0);
        let encode = |b: &[u8]| base64::engine::general_purpose::STANDARD.encode(b);
        let sdp = format!(
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
             a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets={},{}\r\n\
             a=control:video\r\n",
            encode(&sets.sps),
            encode(&sets.pps)
        );
        Board {
            nvr: Nvr::new(config, 1),
            database: db::memory(1).unwrap(),
            now: Now {
                monotonic: Monotonic(1_000_000_000),
                wall: Wall90k::from_unix_secs(1_795_341_600),
            },
            sdp,
            cameras: Vec::new(),
            disk: VecDeque::with_capacity(256),
            lookups: VecDeque::with_capacity(16),
            connects: VecDeque::with_capacity(16),
            sent: VecDeque::with_capacity(16),
            counted: Counted::default(),
        }
    }

    /// One step: an event and all that the core wants done then. It is one of frames if `of_frames`
    /// says so of the event and nothing comes of it but writes and syncs.
    fn tell(&mut self, event: Event<'_>, mut of_frames: bool) {
        let before = ALLOCATIONS.get();
        let mut of_database = 0;
        self.nvr.handle(self.now, event);
        while let Some(action) = self.nvr.next_action() {
            match action {
                Action::Disk { op, request } => {
                    match &request {
                        DiskRequest::Write { .. } | DiskRequest::Sync { .. } => {}
                        DiskRequest::Create { name, .. } if !name.starts_with(journal::FOLDER) => {
                            self.counted.recordings += 1;
                            of_frames = false;
                        }
                        _ => of_frames = false,
                    }
                    self.disk.push_back((op, request));
                    continue;
                }
                Action::Lookup { lookup, .. } => self.lookups.push_back(lookup),
                Action::Connect { conn, .. } => self.connects.push_back(conn),
                Action::Send { conn, bytes } => self.sent.push_back((conn, bytes)),
                Action::Db { id, request } => {
                    let before = ALLOCATIONS.get();
                    let result = self.database.handle(request);
                    of_database += ALLOCATIONS.get() - before;
                    self.nvr.handle(self.now, Event::Db { id, result });
                }
                _ => {}
            }
            of_frames = false;
        }
        let count = ALLOCATIONS.get() - before - of_database;
        match of_frames {
            true => self.counted.of_frames += count,
            false => self.counted.of_others += count,
        }
    }

    fn answer_all(&mut self) {
        while let Some(lookup) = self.lookups.pop_front() {
            let result = Ok(vec!["192.0.2.1".parse().unwrap()]);
            self.tell(Event::Resolved { lookup, result }, false);
        }
        while let Some(conn) = self.connects.pop_front() {
            self.cameras.push(Camera {
                conn,
                playing: false,
                frames_sent: 0,
                sequence: 0,
            });
            self.tell(Event::Connected { conn }, false);
        }
        while let Some((conn, bytes)) = self.sent.pop_front() {
            let reply = self.reply(conn, &String::from_utf8(bytes).unwrap());
            let bytes = reply.as_bytes();
            self.tell(Event::Received { conn, bytes }, false);
        }
        while let Some((op, request)) = self.disk.pop_front() {
            let of_frames = matches!(
                request,
                DiskRequest::Write { .. } | DiskRequest::Sync { .. }
            );
            let (reply, buffer) = match request {
                DiskRequest::Attach { .. } => (DiskReply::Attached(Box::default()), None),
                DiskRequest::Space { .. } => {
                    let (free, total) = (1 << 40, 1 << 41);
                    (DiskReply::Space(Space { free, total }), None)
                }
                DiskRequest::Write { data, .. } => (DiskReply::Done, Some(data)),
                _ => (DiskReply::Done, None),
            };
            let result = Ok(reply);
            self.tell(Event::Disk { op, result, buffer }, of_frames);
        }
    }

    fn reply(&mut self, conn: ConnId, request: &str) -> String {
        let cseq = request.lines().find(|l| l.starts_with("CSeq:")).unwrap();
        let method = request.split(' ').next().unwrap();
        let (headers, body) = match method {
            "DESCRIBE" => ("Content-Type: application/sdp\r\n", self.sdp.as_str()),
            "SETUP" => (
                "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1;timeout=60\r\n",
                "",
            ),
            "PLAY" => {
                let mut cameras = self.cameras.iter_mut();
                cameras.find(|c| c.conn == conn).unwrap().playing = true;
                ("Session: 1\r\n", "")
            }
            _ => ("", ""),
        };
        format!(
            "RTSP/1.0 200 OK\r\n{cseq}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// A tick goes by, and then each connection has delivered its frames, as `received` says.
    fn tick(&mut self, received: &[(ConnId, Vec<u8>)]) {
        self.now.monotonic = self.now.monotonic + TICK;
        self.now.wall = self.now.wall + Duration90k(TICK.as_millis() as i64 * 90);
        for (conn, bytes) in received {
            let conn = *conn;
            self.tell(Event::Received { conn, bytes }, true);
        }
        self.tell(Event::Timeout, true);
        self.answer_all();
    }
}

#[test]
fn a_frame_asks_for_no_memory() {
    let (synthetic, video) = video();
    let mut board = Board::new(&synthetic);
    board.tell(Event::Timeout, false);
    let mut received = Vec::new();
    for tick in 0..WARM_UP_TICKS + TICKS {
        // The cameras' bytes are made before anything is counted.
        received.clear();
        for camera in board.cameras.iter_mut().filter(|c| c.playing) {
            let mut bytes = Vec::new();
            for _ in 0..FRAMES_A_TICK {
                camera.frame(&video, &mut bytes);
            }
            received.push((camera.conn, bytes));
        }
        if tick == WARM_UP_TICKS {
            assert_eq!(received.len(), STREAMS, "all cameras play");
            assert_eq!(board.counted.recordings, STREAMS as u64);
            board.counted = Counted::default();
        }
        board.tick(&received);
    }
    let Counted {
        of_frames,
        of_others,
        recordings,
    } = board.counted;
    let status = board.nvr.status(board.now);
    let streams = status.cameras.iter().flat_map(|c| &c.streams);
    assert_eq!(streams.filter(|s| s.recording).count(), STREAMS);
    assert!(recordings >= 3 * STREAMS as u64, "{recordings}");
    assert_eq!(of_frames, 0, "frames asked for memory");
    let each = of_others / recordings;
    assert!(each <= MOST_OF_A_RECORDING, "{each} a recording");
    eprintln!("{each} allocations a recording");
}
