//! A core that only has a look at a camera, and ends.

use super::{Outcomes, Target, Test};
use crate::db::StreamKind;
use crate::nvr::Cx;
use crate::nvr::buffers::Buffers;
use crate::nvr::outbox::{Outbox, Owner};
use crate::nvr::port::{Action, ConnId, Core, Event};
use crate::time::{Monotonic, Now};
use rand_core::SeedableRng;
use rand_pcg::Pcg32;

/// See the module. The first event, a [`Event::Timeout`] at once, makes it begin; [`Event::Shutdown`] ends it
/// early. Nothing is asked for but names and sockets.
pub struct CameraTest {
    out: Outbox,
    rng: Pcg32,
    buffers: Buffers,
    /// `None` once it is over.
    test: Option<Test>,
    outcomes: Outcomes,
    has_begun: bool,
}

impl CameraTest {
    /// `seed` is where its jitter comes from.
    pub fn new(targets: Vec<(StreamKind, Target)>, seed: u64) -> CameraTest {
        CameraTest {
            out: Outbox::default(),
            rng: Pcg32::seed_from_u64(seed),
            buffers: Buffers::default(),
            test: Some(Test::new(1, targets)),
            outcomes: Vec::new(),
            has_begun: false,
        }
    }

    /// What came of it, once it has said [`Action::Exit`]; nothing if it was ended before.
    pub fn into_outcomes(self) -> Outcomes {
        self.outcomes
    }
}

impl Core for CameraTest {
    fn handle(&mut self, now: Now, event: Event<'_>) {
        let Some(test) = &mut self.test else { return };
        let owner = self.out.owner_of(&event);
        let mut cx = Cx {
            now,
            wall: now.wall,
            clock_trusted: true,
            database_ready: false,
            out: &mut self.out,
            rng: &mut self.rng,
            buffers: &mut self.buffers,
        };
        if !std::mem::replace(&mut self.has_begun, true) {
            test.take_turns(&mut cx);
        }
        match (owner, event) {
            (Some(Owner::Test(of)), event) => test.handle(&mut cx, of.kind, event),
            (_, Event::Shutdown) => {
                test.hang_up(&mut cx);
                self.test = None;
                self.out.push(Action::Exit);
                return;
            }
            _ => {}
        }
        test.handle_timeout(&mut cx);
        if test.is_over() {
            let test = self.test.take();
            self.outcomes = test.map_or_else(Vec::new, Test::into_outcomes);
            self.out.push(Action::Exit);
        }
    }

    fn next_action(&mut self) -> Option<Action> {
        self.out.pop()
    }

    fn next_timeout(&self) -> Option<Monotonic> {
        self.test.as_ref().and_then(Test::next_timeout)
    }

    fn allocate_conn(&mut self) -> ConnId {
        self.out.conn(Owner::Http)
    }
}
