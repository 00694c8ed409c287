//! How far the stream's time line is told, and what moves or takes back some of it: gaps, the clock, a
//! directory that is lost and comes back.

use super::{CutAtSync, ENDED_BEFORE_COMMIT, LONG_GAP, Pause, Recorder, SHORTEST_GAP};
use crate::nvr::clock::ClockChange;
use crate::recording::{DirId, Gap, GapCause, Recording};
use crate::time::{Duration90k, Wall90k};

impl Recorder {
    /// The gap from what is told so far to `start`, unless it is too short to be one. `untrusted`:
    /// `start` is of before the clock was set.
    pub(super) fn gap_until(&self, start: Wall90k, untrusted: bool) -> Option<Gap> {
        (start - self.told.until > SHORTEST_GAP).then(|| Gap {
            stream: self.name.id,
            start: self.told.until,
            end: start,
            clock_untrusted: self.told.untrusted || untrusted,
            cause: self.pause.cause,
            detail: self.pause.detail.clone(),
        })
    }

    /// Tells the gap that is open up to `wall`, if it is long enough to be worth a row by itself.
    pub fn tell_gap_so_far(&mut self, wall: Wall90k, clock_trusted: bool, all: bool) {
        let wanted = all || wall - self.told.until > LONG_GAP;
        if self.active.is_some() || self.unsettled || self.cut.is_some() || !wanted {
            return;
        }
        if !self.is_all_durable() {
            // If the recording before is lost with its disk, the gap begins earlier.
            return;
        }
        if let Some(gap) = self.gap_until(wall, !clock_trusted) {
            for reached in [&mut self.told, &mut self.durable] {
                reached.add_gap(gap.end, !clock_trusted);
            }
            self.gaps.push(gap);
        }
    }

    /// The clock was set, stepped or lost.
    pub fn clock_changed(&mut self, change: ClockChange) {
        let (reason, ahead, moved) = match change {
            ClockChange::Set(by) => ("the clock was set", by, Some(by)),
            ClockChange::Stepped(by) => ("the clock was stepped", by, None),
            ClockChange::Lost => return,
        };
        if let Some(by) = moved {
            self.durable.set_clock(by);
        }
        if self.active.is_some() {
            let cut = self.cut.get_or_insert(CutAtSync {
                cause: GapCause::Clock,
                reason: reason.to_owned(),
                ahead: Duration90k::ZERO,
                moved: None,
            });
            cut.ahead += ahead;
            if let Some(by) = moved {
                *cut.moved.get_or_insert_default() += by;
            }
        } else if let Some(by) = moved {
            self.told.set_clock(by);
        } else {
            self.pause = Pause {
                cause: GapCause::Clock,
                detail: reason.to_owned(),
            };
        }
    }

    /// The new run that was to begin may begin.
    pub(super) fn end_cut(&mut self) {
        if let Some(by) = self.cut.take().and_then(|cut| cut.moved) {
            self.told.set_clock(by);
        }
    }

    /// A recording that has ended is durable. `set` is by how much the clock was set since the start:
    /// what was recorded before is moved.
    pub fn durable(&mut self, recording: &Recording, set: Option<Duration90k>) {
        self.durable.add_recording(recording, self.open, set);
        self.committed.add(recording.id.sequence);
    }

    /// All recordings that have ended are durable.
    pub(super) fn is_all_durable(&self) -> bool {
        self.told.last == self.durable.last
    }

    /// The directory is lost: what is not durable is left to its journal.
    pub fn abandon(&mut self, detail: &str) {
        self.active = None;
        self.run = None;
        self.buffer.drain(..self.complete);
        self.complete = 0;
        self.end_cut();
        self.go_back_to_durable();
        self.unsettled = true;
        self.pause = Pause {
            cause: GapCause::Disk,
            detail: detail.to_owned(),
        };
    }

    /// It recorded to that directory before, where something may not be durable yet.
    pub fn comes_from(&self, dir: DirId) -> bool {
        self.moving_from == Some(dir) && !self.is_all_durable()
    }

    /// The directory that it recorded to before is lost: what is not durable there does not hold up
    /// the new one any longer.
    pub fn left_behind(&mut self, dir: DirId, detail: &str) {
        if self.moving_from != Some(dir) {
            return;
        }
        self.moving_from = None;
        self.go_back_to_durable();
        self.pause = Pause {
            cause: GapCause::Disk,
            detail: detail.to_owned(),
        };
    }

    /// What is not durable counts for nothing any more, but its sequence numbers are used up.
    fn go_back_to_durable(&mut self) {
        let next_sequence = self.told.next_sequence;
        self.told = self.durable;
        self.told.next_sequence = next_sequence;
    }

    /// An earlier start of the recorder made `recording` while its clock was not set, and may have moved
    /// the ones before it since: it comes after them.
    pub fn give_way(&self, recording: &mut Recording) {
        recording.start = self.told.start_of(recording, Some(Duration90k::ZERO));
    }

    /// The directory's journal told of a recording; the gap before it is told too. `moved` is by how
    /// much the recording is going to be moved, if it is of before the clock was set.
    pub fn recovered(&mut self, recording: &Recording, moved: Option<Duration90k>) -> Option<Gap> {
        let start = self.told.start_of(recording, moved);
        if std::mem::take(&mut self.is_new) {
            // It is not: the recorder ended before its first commit. Its time line begins here.
            self.told.until = start;
            self.pause = Pause {
                cause: GapCause::Crash,
                detail: ENDED_BEFORE_COMMIT.to_owned(),
            };
        }
        // What an earlier start of the recorder left where its clock put it is not moved any more.
        let untrusted = recording.clock_untrusted && recording.open == self.open && moved.is_none();
        let gap = self.gap_until(start, untrusted);
        self.told.add_recording(recording, self.open, moved);
        self.durable = self.told;
        self.committed.add(recording.id.sequence);
        gap
    }

    /// A recording that a directory's journal told of comes late: its stream has gone on meanwhile, in
    /// another directory, or what is missing there is told already.
    pub fn is_late(&self, recording: &Recording, moved: Option<Duration90k>) -> bool {
        let gives_way = recording.clock_untrusted && recording.open != self.open;
        let start = self.told.start_of(recording, moved);
        let is_told = !self.is_new && !gives_way && start + SHORTEST_GAP < self.told.until;
        self.went_on(recording) || is_told
    }

    /// The stream has gone on after `recording`.
    fn went_on(&self, recording: &Recording) -> bool {
        self.active.is_some()
            || self.told.last > Some(recording.id.sequence)
            || !self.committed.lacks_from(recording.id.sequence)
    }

    /// Such a one is going to be entered once [`Self::has_settled`] what was begun after it, up to the
    /// number that is returned.
    pub fn came_late(&mut self, recording: &Recording, moved: Option<Duration90k>) -> Option<u32> {
        if !self.went_on(recording) && self.is_all_durable() {
            self.told.add_recording(recording, self.open, moved);
            self.durable = self.told;
            self.committed.add(recording.id.sequence);
            return None;
        }
        for reached in [&mut self.told, &mut self.durable] {
            reached.add_late(recording, self.open);
        }
        self.committed.add(recording.id.sequence);
        let active = self.active.as_ref().map(|a| a.writer.id().sequence);
        active.or(self.told.last)
    }

    /// All recordings up to `sequence` are durable, or nothing comes of them any more.
    pub fn has_settled(&self, sequence: Option<u32>) -> bool {
        let active = self.active.as_ref().map(|a| a.writer.id().sequence);
        let goes_on = sequence.is_some() && active.is_some_and(|a| Some(a) <= sequence);
        !goes_on && (self.durable.last >= sequence || self.is_all_durable())
    }

    /// The directory is attached, and its journal has told all that it knows. Sequence numbers below
    /// `next_sequence` are taken.
    pub fn directory_is_back(&mut self, next_sequence: Option<u32>) {
        self.unsettled = false;
        self.is_new = false;
        if let Some(next) = next_sequence {
            self.told.next_sequence = self.told.next_sequence.max(next);
        }
    }
}
