//! One stream of one camera: its session, its recorder, and what people are told of it.

use super::Cx;
use super::absence::{Absence, Loss};
use super::backoff::Failure;
use super::directory::SampleDirectory;
use super::outbox::{Owner, StreamName};
use super::port::Severity;
use super::recorder::{Recorder, Resume};
use super::session::{Lost, Session, Target};
use crate::db;
use crate::recording::{DirId, GapCause};
use crate::time::{Duration90k, Monotonic, Wall90k};

/// See the module.
pub struct Stream {
    pub name: StreamName,
    pub settings: db::Stream,
    pub session: Result<Session, String>,
    pub recorder: Recorder,
    /// The newest failure and when it was.
    pub last_error: Option<(Wall90k, String)>,
    /// What was told of its going and coming back.
    absence: Absence,
}

impl Stream {
    pub fn new(camera: &db::Camera, row: &db::Stream, resume: Resume) -> Stream {
        let name = StreamName {
            id: row.id,
            camera: camera.name.clone(),
            kind: row.kind,
        };
        let session = Target::new(camera, row).map(|t| Session::new(Owner::Stream(row.id), t));
        Stream {
            recorder: Recorder::new(name.clone(), resume),
            name,
            settings: row.clone(),
            last_error: session
                .as_ref()
                .err()
                .map(|e| (Wall90k::default(), e.clone())),
            session,
            absence: Absence::default(),
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
                    session.records(cx.now.monotonic);
                    self.last_error = None;
                    self.tell_if_steady(cx);
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
        let loss = self.absence.lost(cx.now.monotonic);
        let reason = &lost.reason;
        let message = match (loss, lost.failure) {
            (Some(Loss::ComesAndGoes), _) => Some(format!(
                "not recording: {reason}; it comes and goes, and that is not told each time"
            )),
            (Some(Loss::StillComesAndGoes { losses, within }), _) => Some(format!(
                "not recording: {reason}; it still comes and goes, {losses} times in {}",
                Duration90k::from(within)
            )),
            (loss, Failure::Refused) if loss.is_some() || changed => Some(format!(
                "not recording: {reason}; trying again only in some minutes, lest it lock the account"
            )),
            (Some(Loss::Gone), _) => Some(format!(
                "not recording: {reason}; trying again until it is back"
            )),
            (None, _) => None,
        };
        if loss == Some(Loss::Gone) {
            self.recorder.tell_return();
        }
        if let Some(message) = message {
            cx.out
                .log_stream(Severity::Warning, "camera-lost", &self.name, message);
        }
        self.last_error = Some((cx.wall, lost.reason));
    }

    /// One that came and went is told to be back once it has stayed for a while.
    fn tell_if_steady(&mut self, cx: &mut Cx<'_>) {
        if let Some(steady) = self.absence.recording(cx.now.monotonic) {
            let (losses, within) = (steady.losses, Duration90k::from(steady.within));
            let message =
                format!("recording steadily again; it had gone {losses} times in {within}");
            cx.out
                .log_stream(Severity::Notice, "camera-back", &self.name, message);
        }
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
