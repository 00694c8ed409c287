//! One stream of one camera: its session, its recorder, and what people are told of it.

use super::Cx;
use super::backoff::Failure;
use super::directory::SampleDirectory;
use super::outbox::StreamName;
use super::port::Severity;
use super::recorder::{Recorder, Resume};
use super::session::{Lost, Session, Target};
use crate::db;
use crate::recording::{DirId, GapCause};
use crate::time::{Monotonic, Wall90k};

/// See the module.
pub struct Stream {
    pub name: StreamName,
    pub settings: db::Stream,
    pub session: Result<Session, String>,
    pub recorder: Recorder,
    /// The newest failure and when it was.
    pub last_error: Option<(Wall90k, String)>,
    /// The loss of this camera was told, and it has not come back.
    told_lost: bool,
}

impl Stream {
    pub fn new(camera: &db::Camera, row: &db::Stream, resume: Resume) -> Stream {
        let name = StreamName {
            id: row.id,
            camera: camera.name.clone(),
            kind: row.kind,
        };
        let session = Target::new(camera, row).map(|t| Session::new(row.id, t));
        Stream {
            recorder: Recorder::new(name.clone(), resume),
            name,
            settings: row.clone(),
            last_error: session
                .as_ref()
                .err()
                .map(|e| (Wall90k::default(), e.clone())),
            session,
            told_lost: false,
        }
    }

    pub fn dir(&self) -> DirId {
        self.settings.dir
    }

    /// A row says the same that it was made of, as far as recording is concerned.
    pub fn is_as(&self, camera: &db::Camera, row: &db::Stream) -> bool {
        self.settings.dir == row.dir
            && self.settings.record == row.record
            && self.name.camera == camera.name
            && match (&self.session, Target::new(camera, row)) {
                (Ok(session), Ok(target)) => *session.target() == target,
                (Err(a), Err(b)) => *a == b,
                _ => false,
            }
    }

    pub fn next_timeout(&self) -> Option<Monotonic> {
        self.session.as_ref().ok().and_then(Session::next_timeout)
    }

    /// Lets the session do something, and looks at what came of it.
    pub fn with_session(
        &mut self,
        cx: &mut Cx<'_>,
        dir: &mut SampleDirectory,
        f: impl FnOnce(
            &mut Session,
            &mut Cx<'_>,
            &mut Recorder,
            &mut SampleDirectory,
        ) -> Result<(), Lost>,
    ) {
        let Ok(session) = &mut self.session else {
            return;
        };
        match f(session, cx, &mut self.recorder, dir) {
            Ok(()) => {
                if self.recorder.is_recording() {
                    session.proved_good();
                    if self.told_lost || self.last_error.is_some() {
                        self.told_lost = false;
                        self.last_error = None;
                    }
                }
            }
            Err(lost) => self.lost(cx, dir, lost),
        }
    }

    fn lost(&mut self, cx: &mut Cx<'_>, dir: &mut SampleDirectory, lost: Lost) {
        self.recorder.forget_unfinished();
        self.recorder.stop(cx, dir, lost.cause, &lost.reason);
        let changed = self
            .last_error
            .as_ref()
            .is_none_or(|(_, e)| *e != lost.reason);
        if !self.told_lost || (changed && lost.failure == Failure::Refused) {
            self.told_lost = true;
            self.recorder.tell_return();
            let advice = match lost.failure {
                Failure::Refused => "; trying again only in some minutes, lest it lock the account",
                Failure::Passing => "; trying again until it is back",
            };
            let message = format!("not recording: {}{advice}", lost.reason);
            cx.out
                .log_stream(Severity::Warning, "camera-lost", &self.name, message);
        }
        self.last_error = Some((cx.wall, lost.reason));
    }

    /// Ends the session and the recording in good order.
    pub fn stop(
        &mut self,
        cx: &mut Cx<'_>,
        dir: &mut SampleDirectory,
        cause: GapCause,
        detail: &str,
    ) {
        self.recorder.forget_unfinished();
        self.recorder.stop(cx, dir, cause, detail);
        if let Ok(session) = &mut self.session {
            session.stop(cx);
        }
    }
}
