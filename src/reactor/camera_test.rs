//! A look at a camera without a recorder: the same session on a loop of its own.

use super::event_loop::EventLoop;
use super::sockets::listeners::GivenSockets;
use super::{BULK_TICK, DiskChoice, Setup, StartError};
use crate::config::{Config, LogTarget, Severity, SyslogConfig};
use crate::db::{self, StreamKind};
use crate::nvr::camera_test::alone::CameraTest;
use crate::nvr::camera_test::{Outcomes, Target};
use crate::nvr::port::{Action, ConnId, Core, Event};
use crate::recording::recovery;
use crate::time::{Monotonic, Now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often is looked whether nobody waits for it any more.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Has a look at these streams of a camera, which takes some seconds: on a thread of its own. Ends soon with
/// no outcome once `stop` is set. Nothing is logged, and no signal is touched.
pub fn test_camera(
    targets: Vec<(StreamKind, Target)>,
    stop: Arc<AtomicBool>,
) -> Result<Outcomes, StartError> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|e| StartError::System(std::io::Error::other(e)))?;
    let core = Stoppable {
        core: CameraTest::new(targets, u64::from_le_bytes(seed)),
        stop,
        next_look: None,
    };
    let setup = Setup {
        config: Config {
            syslog: SyslogConfig {
                to: LogTarget::Nowhere,
                level: Severity::Critical,
            },
            ..Config::default()
        },
        load_config: None,
        database: Box::new(|_| Err(db::Error::ReadOnly)),
        attach: |dir, request| recovery::attach(dir, request),
        disk: DiskChoice::Threads,
        given_sockets: GivenSockets::default(),
        bulk_tick: BULK_TICK,
        signals: false,
    };
    let mut event_loop = EventLoop::new(core, setup)?;
    event_loop.run().map_err(StartError::System)?;
    Ok(event_loop.into_core().core.into_outcomes())
}

/// A core that is told to end when a flag is set.
struct Stoppable<C> {
    core: C,
    stop: Arc<AtomicBool>,
    next_look: Option<Monotonic>,
}

impl<C: Core> Core for Stoppable<C> {
    fn handle(&mut self, now: Now, event: Event<'_>) {
        self.next_look = Some(now.monotonic + LOOK_INTERVAL);
        let event = match self.stop.load(Ordering::Relaxed) {
            true => Event::Shutdown,
            false => event,
        };
        self.core.handle(now, event);
    }

    fn next_action(&mut self) -> Option<Action> {
        self.core.next_action()
    }

    fn next_timeout(&self) -> Option<Monotonic> {
        [self.core.next_timeout(), self.next_look]
            .into_iter()
            .flatten()
            .min()
    }

    fn allocate_conn(&mut self) -> ConnId {
        self.core.allocate_conn()
    }
}
