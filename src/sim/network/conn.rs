//! A TCP connection from the recorder to a camera: the camera's session and a pipe each way.

use super::camera::Camera;
use super::pipe::{Cutting, Pipe};
use crate::sim::random::Random;
use crate::sim::witness::SessionRef;
use crate::simulated_camera::ServerSession;
use crate::time::Monotonic;

/// A TCP connection.
pub(super) struct Conn {
    pub camera: usize,
    pub connected: bool,
    pub session: ServerSession,
    pub to_recorder: Pipe,
    pub to_camera: Pipe,
    /// Passing is on the agenda.
    pub recorder_due: bool,
    pub camera_due: bool,
    /// When the session is on the agenda.
    pub session_at: Option<Monotonic>,
    pub bulk: bool,
    /// The camera is gone from the other end: nothing comes any more, not even a reset.
    pub dead: bool,
    pub log: Option<SessionRef>,
    /// Sending waits for a while, and then is told of.
    pub owes_drained: bool,
}

impl Conn {
    /// One to `camera` that is being made.
    pub fn new(camera: &Camera, random: &mut Random) -> Conn {
        let to_recorder = [
            Cutting::Whole,
            Cutting::Whole,
            Cutting::Mixed,
            Cutting::Mixed,
            Cutting::Small(700),
        ];
        let to_camera = [Cutting::Whole, Cutting::Mixed, Cutting::Small(5)];
        Conn {
            camera: camera.index,
            connected: false,
            session: ServerSession::new(camera.config.clone(), random.next_u64()),
            to_recorder: Pipe::new(random.pick(&to_recorder)),
            to_camera: Pipe::new(random.pick(&to_camera)),
            recorder_due: false,
            camera_due: false,
            session_at: None,
            bulk: false,
            dead: false,
            log: None,
            owes_drained: false,
        }
    }
}
