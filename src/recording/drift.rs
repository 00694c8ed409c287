//! Where a run of recordings lies in wall time.
//!
//! Durations come from the camera's clock (media time), which is smooth but runs a little fast or
//! slow. The wall clock is known from when frames arrive, which is late by whatever the network, the
//! camera's encoder and the recorder's read tick add, but never early. So the first recording of a
//! run starts at the smallest (arrival - media time) of its frames; each later one starts exactly where
//! the one before ended. How far a recording's own smallest (arrival - media time) is from where it was
//! put is its error; its wall duration is its media duration corrected by that error, by at most
//! [`MAX_CORRECTION_PPM`].
//!
//! The module refuses to go on ([`Lost`]) where the error is past [`MAX_ERROR`]: then the camera's clock
//! is broken or the recorder's was stepped, and only a new run can be put right.

use crate::time::{Duration90k, Wall90k};

/// How much a recording's wall duration may differ from its media duration, in millionths.
pub const MAX_CORRECTION_PPM: i64 = 500;

/// A run ends when its place in time is off by more than this.
pub const MAX_ERROR: Duration90k = Duration90k::from_secs(5);

/// Frames are late for a while when the network stalls. Only if all that arrive within this span are
/// late, the time line is believed to be wrong. It is also how long a new run may move.
pub const WINDOW: Duration90k = Duration90k::from_secs(10);

/// Many cameras begin with the GOP so far, at once. A run may move back by this much in its first
/// [`WINDOW`].
pub const MAX_INITIAL_BURST: Duration90k = Duration90k::from_secs(60);

/// The wall duration of a recording: its media duration, corrected towards `error` ahead.
pub fn wall_duration(media: Duration90k, error: Duration90k) -> Duration90k {
    let most = media.0.max(0).saturating_mul(MAX_CORRECTION_PPM) / 1_000_000;
    media + Duration90k(error.0.clamp(-most, most))
}

/// The time line of a run was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Frames arrive so much later (or earlier) than the time line says.
    pub error: Duration90k,
    /// It came at once, so the recorder's clock was stepped; else the camera's runs wrong.
    pub is_sudden: bool,
}

/// The state of one run. An "anchor" is arrival - media time: where the run's first frame would be
/// in wall time by that one frame. `Copy`, so that a frame can be tried.
#[derive(Clone, Copy, Debug)]
pub struct Drift {
    /// The run's first recording is the current one: its start may still move.
    is_first: bool,
    not_before: Wall90k,
    /// Added to arrivals, where the clock is far behind `not_before`.
    bias: Duration90k,
    /// Media time of the current recording's start, from the run's first frame.
    media_start: Duration90k,
    /// When the current recording starts. Meaningless before the first frame.
    start: Wall90k,
    /// The smallest anchor of the current recording.
    anchor: Option<Wall90k>,
    window: Option<Window>,
    /// The smallest anchor of the window before.
    last_window: Option<Wall90k>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    start: Wall90k,
    anchor: Wall90k,
}

impl Drift {
    /// A new run. `not_before` is the end of the stream's last recording.
    pub fn new(not_before: Option<Wall90k>) -> Drift {
        Drift {
            is_first: true,
            not_before: not_before.unwrap_or(Wall90k(i64::MIN)),
            bias: Duration90k::ZERO,
            media_start: Duration90k::ZERO,
            start: Wall90k::default(),
            anchor: None,
            window: None,
            last_window: None,
        }
    }

    /// A frame arrived at `arrival` that is decoded `media` after the current recording's first one.
    /// After an error nothing has changed.
    pub fn arrived(&mut self, media: Duration90k, arrival: Wall90k) -> Result<(), Lost> {
        let in_run = self.media_start + media;
        let is_run_start = self.is_first && self.anchor.is_none();
        if is_run_start && self.not_before - arrival > MAX_ERROR {
            self.bias = self.not_before - arrival;
        }
        let arrival = arrival + self.bias;
        let anchor = arrival - in_run;
        if is_run_start {
            self.start = anchor.max(self.not_before);
        }
        let error = anchor - self.line();
        let limit = if self.is_first && self.last_window.is_none() {
            MAX_INITIAL_BURST
        } else {
            MAX_ERROR
        };
        if error < -limit {
            return Err(self.lost(error, anchor));
        }
        match &mut self.window {
            Some(w) if arrival - w.start < WINDOW => w.anchor = w.anchor.min(anchor),
            Some(w) => {
                let was = w.anchor;
                let error = was - self.line();
                if error > MAX_ERROR {
                    return Err(self.lost(error, was));
                }
                self.last_window = Some(was);
                self.window = Some(Window {
                    start: arrival,
                    anchor,
                });
            }
            None => {
                self.window = Some(Window {
                    start: arrival,
                    anchor,
                })
            }
        }
        self.anchor = Some(self.anchor.map_or(anchor, |a| a.min(anchor)));
        if self.is_first {
            self.start = self.start.min(anchor.max(self.not_before));
        }
        Ok(())
    }

    /// After [`Lost`]: takes arrivals for so much earlier from now on, so that the time line goes on.
    pub fn keep_time(&mut self, ahead: Duration90k) {
        self.bias -= ahead;
        self.window = None;
    }

    /// When the current recording starts, as far as is known: the run's first may still move back.
    pub fn start(&self) -> Wall90k {
        self.start
    }

    /// How much later (or earlier) than that its frames say.
    pub fn error(&self) -> Duration90k {
        self.anchor.map_or(Duration90k::ZERO, |a| a - self.line())
    }

    /// The current recording ends after `media`; the next one of the run begins there. Returns its
    /// wall duration.
    pub fn end_recording(&mut self, media: Duration90k) -> Duration90k {
        let wall = wall_duration(media, self.error());
        self.start = self.start + wall;
        self.media_start += media;
        self.is_first = false;
        self.anchor = None;
        wall
    }

    /// Where the run's first frame would be if all of the run went like the current recording's start.
    fn line(&self) -> Wall90k {
        self.start - self.media_start
    }

    fn lost(&self, error: Duration90k, anchor: Wall90k) -> Lost {
        let before = self.last_window.unwrap_or(self.line());
        Lost {
            error,
            is_sudden: (anchor - before).0.saturating_abs() > MAX_ERROR.0 / 2,
        }
    }
}
