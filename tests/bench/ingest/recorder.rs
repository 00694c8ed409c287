//! The recorder's process: the whole daemon, as `moonfire-nvr run` runs it, with its core watched.

use super::measure;
use moonfire_nvr::config::{CameraConfig, Config, LogTarget, StreamConfig};
use moonfire_nvr::db::{self, Database};
use moonfire_nvr::nvr::Nvr;
use moonfire_nvr::nvr::port::{Action, ConnId, Core, DiskRequest, Event, OpId};
use moonfire_nvr::reactor::{BULK_TICK, DiskChoice, EventLoop, GivenSockets, Setup};
use moonfire_nvr::recording::{journal, recovery};
use moonfire_nvr::time::{Monotonic, Now};
use std::path::Path;

/// Records `streams` streams of the source into `dir` until it is told to end.
pub fn run(address: &str, streams: usize, dir: &Path) {
    measure::tell_counts(dir);
    let (db_dir, sample_dir) = (dir.join("db"), dir.join("sample"));
    std::fs::create_dir_all(&db_dir).expect("a folder");
    std::fs::create_dir_all(&sample_dir).expect("a folder");
    let mut config = Config::embedded_default(dir);
    config.db_dir = db_dir;
    config.sample_dirs = vec![sample_dir];
    config.http.clear();
    config.syslog.to = LogTarget::Nowhere;
    config.cameras = (0..streams)
        .map(|i| CameraConfig {
            name: format!("camera {i}"),
            main: Some(StreamConfig::new(&format!("rtsp://{address}/{i}"))),
            ..CameraConfig::default()
        })
        .collect();

    let mut database = Database::open(&config.db_dir, db::Mode::Create, 1).expect("a database");
    let setup = Setup {
        config: config.clone(),
        load_config: None,
        database: Box::new(move |request| database.handle(request)),
        attach: |dir, request| recovery::attach(dir, request),
        disk: DiskChoice::default(),
        given_sockets: GivenSockets::default(),
        bulk_tick: BULK_TICK,
        signals: true,
    };
    let core = Watched {
        core: Nvr::new(config, 1),
        is_of_frames: false,
        allocations: measure::allocations_of_this_thread(),
        others: Vec::with_capacity(OPERATIONS),
    };
    let mut event_loop = EventLoop::new(core, setup).expect("an event loop");
    event_loop.run().expect("the recorder runs");
}

/// Disk operations that are known to be no frame's at a time; room is made for so many at first.
const OPERATIONS: usize = 4096;

/// The core, and for what memory was asked on the loop's thread. A *step* is all from where the loop
/// asks for nothing more after one event to there after the next. It is one of frames if its event
/// is received bytes, a time-out, or the answer to a write or a sync, and leads to nothing but such
/// operations. Any other step is a recording's (its file is made, closed, committed, removed) or the
/// connection's.
struct Watched {
    core: Nvr,
    is_of_frames: bool,
    /// The count when the step began.
    allocations: u64,
    others: Vec<OpId>,
}

impl Core for Watched {
    fn handle(&mut self, now: Now, event: Event<'_>) {
        self.is_of_frames = match &event {
            Event::Received { .. } | Event::Datagram { .. } | Event::Timeout => true,
            Event::Disk { op, .. } => match self.others.iter().position(|o| o == op) {
                Some(at) => {
                    self.others.swap_remove(at);
                    false
                }
                None => true,
            },
            _ => false,
        };
        self.core.handle(now, event);
    }

    fn next_action(&mut self) -> Option<Action> {
        let action = self.core.next_action();
        match &action {
            Some(Action::Disk {
                request: DiskRequest::Write { .. } | DiskRequest::Sync { .. },
                ..
            }) => {}
            Some(Action::Disk { op, request }) => {
                self.is_of_frames = false;
                self.others.push(*op);
                if let DiskRequest::Create { name, .. } = request {
                    if !name.starts_with(journal::FOLDER) {
                        measure::count_recording();
                    }
                }
            }
            Some(_) => self.is_of_frames = false,
            None => {
                let count = measure::allocations_of_this_thread();
                if self.is_of_frames {
                    measure::count_frame_allocations(count - self.allocations);
                }
                self.allocations = count;
            }
        }
        action
    }

    fn next_timeout(&self) -> Option<Monotonic> {
        self.core.next_timeout()
    }

    fn allocate_conn(&mut self) -> ConnId {
        self.core.allocate_conn()
    }
}
