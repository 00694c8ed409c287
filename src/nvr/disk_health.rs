//! How a disk has fared: whether it can be used and since when not, its errors, how much it takes.

use super::port::DiskError;
use crate::recording::recovery::AttachError;
use crate::time::{Monotonic, Wall90k};
use std::io::ErrorKind;

/// Written bytes are counted in slots of so many seconds, and told of the last so many slots.
const SLOT_SECS: u64 = 10;
const SLOTS: usize = 6;

/// See the module.
#[derive(Default)]
pub struct DiskHealth {
    condition: Condition,
    since: Option<Wall90k>,
    errors: u64,
    written: [u64; SLOTS],
    /// The newest slot, counted from the program's beginning of time.
    slot: u64,
}

/// Whether it can be used, when last tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing speaks against it.
    #[default]
    Good,
    /// It is not there: nothing mounted, or its marker is missing.
    Away,
    /// It can be read, and not written.
    ReadOnly,
    /// Something else: an error of the device, or it is another disk.
    Failed,
}

impl DiskHealth {
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// Since when it cannot be used.
    pub fn since(&self) -> Option<Wall90k> {
        self.since
    }

    /// How often it has failed in use since the program was started.
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// It is in use.
    pub fn attached(&mut self) {
        (self.condition, self.since) = (Condition::Good, None);
    }

    /// It cannot be attached.
    pub fn not_attached(&mut self, wall: Wall90k, error: &DiskError) {
        self.condition = condition(error);
        self.since.get_or_insert(wall);
    }

    /// It has failed in use.
    pub fn failed(&mut self, wall: Wall90k, error: &DiskError) {
        self.errors += 1;
        self.not_attached(wall, error);
    }

    /// So many bytes were written.
    pub fn wrote(&mut self, now: Monotonic, bytes: u32) {
        self.turn(now);
        self.written[self.slot as usize % SLOTS] += u64::from(bytes);
    }

    /// Bytes written a second, over the last minute.
    pub fn bytes_per_second(&self, now: Monotonic) -> u64 {
        let newest = slot(now);
        let recent = (0..SLOTS as u64).filter_map(|back| self.slot.checked_sub(back));
        // What was written longer ago is not counted, though nothing has taken its slot.
        let recent = recent.filter(|s| s + SLOTS as u64 > newest);
        let bytes: u64 = recent.map(|s| self.written[s as usize % SLOTS]).sum();
        bytes / (SLOT_SECS * SLOTS as u64)
    }

    fn turn(&mut self, now: Monotonic) {
        let newest = slot(now);
        let passed = newest.saturating_sub(self.slot).min(SLOTS as u64);
        for back in 0..passed {
            self.written[(newest - back) as usize % SLOTS] = 0;
        }
        self.slot = newest.max(self.slot);
    }
}

fn slot(now: Monotonic) -> u64 {
    now.since(Monotonic(0)).as_secs() / SLOT_SECS
}

fn condition(error: &DiskError) -> Condition {
    match error {
        DiskError::Attach(AttachError::Missing | AttachError::NoMarker) => Condition::Away,
        DiskError::Attach(AttachError::Io(e)) | DiskError::Io(e)
            if e.kind() == ErrorKind::ReadOnlyFilesystem =>
        {
            Condition::ReadOnly
        }
        _ => Condition::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Monotonic {
        Monotonic(0) + std::time::Duration::from_secs(secs)
    }

    #[test]
    fn a_minute_is_counted_and_no_more() {
        let mut h = DiskHealth::default();
        assert_eq!(h.bytes_per_second(at(5)), 0);
        for s in 100..160 {
            h.wrote(at(s), 600);
        }
        assert_eq!(h.bytes_per_second(at(159)), 600);
        h.wrote(at(165), 600);
        assert_eq!(h.bytes_per_second(at(165)), 510);
        assert_eq!(h.bytes_per_second(at(185)), 310);
        assert_eq!(h.bytes_per_second(at(10_000)), 0);
        h.wrote(at(10_000), 60_000);
        assert_eq!(h.bytes_per_second(at(10_000)), 1_000);
    }

    #[test]
    fn what_is_wrong_and_since_when() {
        let mut h = DiskHealth::default();
        let io = |kind: ErrorKind| DiskError::Io(kind.into());
        h.failed(Wall90k(1), &io(ErrorKind::Other));
        assert_eq!((h.condition(), h.errors()), (Condition::Failed, 1));
        // Looked for again and again, it is the same absence.
        for error in [AttachError::Missing, AttachError::NoMarker] {
            h.not_attached(Wall90k(2), &DiskError::Attach(error));
            assert_eq!((h.condition(), h.errors()), (Condition::Away, 1));
            assert_eq!(h.since(), Some(Wall90k(1)));
        }
        h.attached();
        assert_eq!((h.condition(), h.since()), (Condition::Good, None));
        h.failed(Wall90k(3), &io(ErrorKind::ReadOnlyFilesystem));
        assert_eq!(
            (h.condition(), h.since()),
            (Condition::ReadOnly, Some(Wall90k(3)))
        );
        assert_eq!(h.errors(), 2);
    }
}
