//! What the shell does with bytes for a viewer: they wait in a queue, as does what is still in files,
//! until the kernel takes them, which it does as the viewer's machine does.

use crate::nvr::port::{FileId, SEND_LOW_WATER_BYTES};
use crate::sim::disk::Disks;
use crate::sim::random::Random;
use crate::time::Monotonic;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Parts of files that are asked of the disk at a time; the reactor's are larger, as its files are.
const WINDOW_BYTES: u64 = 32 << 10;

/// Something that waits to be sent.
enum Piece {
    Memory { bytes: Arc<Vec<u8>>, sent: usize },
    File { file: FileId, range: Range<u64> },
}

/// See the module.
pub struct Outgoing {
    queue: VecDeque<Piece>,
    /// Bytes in memory that wait.
    memory: usize,
    /// All that waits.
    waiting: u64,
    /// What the kernel has, and how much it takes.
    kernel: VecDeque<u8>,
    room: usize,
    /// The window at the front is in memory, up to there.
    warm_to: u64,
    /// The disk was asked for it, until then.
    warm_at: Option<Monotonic>,
    /// One window in so many hundred is not in memory.
    cold_percent: u64,
    /// Bytes that the viewer's machine has taken, and how many they were at the last look.
    taken: u64,
    taken_before: u64,
    /// More waited than the core wants to hear of.
    above: bool,
    owes_drained: bool,
}

/// How far sending has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The kernel takes no more, or there is nothing.
    Rests,
    /// The disk gives what comes next at this time.
    Cold(Monotonic),
    /// Everything was taken, and the core is to be told.
    Drained,
    /// So is it that little is left.
    Draining,
    /// What comes next cannot be had.
    Failed(String),
}

impl Outgoing {
    /// A connection whose kernel takes so many bytes.
    pub fn new(room: usize, cold_percent: u64) -> Outgoing {
        Outgoing {
            queue: VecDeque::new(),
            memory: 0,
            waiting: 0,
            kernel: VecDeque::new(),
            room,
            warm_to: 0,
            warm_at: None,
            cold_percent,
            taken: 0,
            taken_before: 0,
            above: false,
            owes_drained: false,
        }
    }

    pub fn push(&mut self, bytes: Arc<Vec<u8>>) {
        self.memory += bytes.len();
        self.queued(bytes.len() as u64);
        self.queue.push_back(Piece::Memory { bytes, sent: 0 });
    }

    /// Queues a range of a file that is held.
    pub fn push_file(&mut self, file: FileId, range: Range<u64>) {
        self.queued(range.end - range.start);
        self.queue.push_back(Piece::File { file, range });
    }

    fn queued(&mut self, bytes: u64) {
        self.waiting += bytes;
        self.above |= self.waiting > SEND_LOW_WATER_BYTES;
        self.owes_drained = true;
    }

    /// Bytes in memory that wait to be sent.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Nothing waits, in the queue or with the kernel.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.kernel.is_empty()
    }

    /// Something waits that the kernel has not taken.
    pub fn waits(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether the viewer's machine has taken anything since the last call.
    pub fn has_progressed(&mut self) -> bool {
        std::mem::replace(&mut self.taken_before, self.taken) != self.taken
    }

    /// Something is with the kernel.
    pub fn has_arrived(&self) -> bool {
        !self.kernel.is_empty()
    }

    /// What the viewer's machine takes at once.
    pub fn take(&mut self, most: usize) -> Vec<u8> {
        let n = most.min(self.kernel.len());
        self.taken += n as u64;
        self.kernel.drain(..n).collect()
    }

    /// Gives the kernel what it takes.
    pub fn advance(&mut self, now: Monotonic, disks: &mut Disks, random: &mut Random) -> Progress {
        while self.kernel.len() < self.room {
            let room = self.room - self.kernel.len();
            let (n, is_over) = match self.queue.front_mut() {
                None => break,
                Some(Piece::Memory { bytes, sent }) => {
                    let n = room.min(bytes.len() - *sent);
                    self.kernel.extend(&bytes[*sent..*sent + n]);
                    *sent += n;
                    self.memory -= n;
                    (n, *sent == bytes.len())
                }
                Some(Piece::File { file, range }) => {
                    let (file, range) = (*file, range.clone());
                    match self.read(now, disks, random, file, range, room) {
                        Ok(read) => read,
                        Err(progress) => return progress,
                    }
                }
            };
            self.waiting -= n as u64;
            if is_over {
                if let Some(Piece::File { file, .. }) = self.queue.pop_front() {
                    disks.release(file);
                    self.warm_to = 0;
                }
            }
        }
        if self.queue.is_empty() {
            self.above = false;
            return match std::mem::take(&mut self.owes_drained) {
                true => Progress::Drained,
                false => Progress::Rests,
            };
        }
        if self.above && self.waiting < SEND_LOW_WATER_BYTES {
            self.above = false;
            return Progress::Draining;
        }
        Progress::Rests
    }

    /// Some of the file at the front, unless the disk has to be waited for. How much, and whether it
    /// was the last of it.
    fn read(
        &mut self,
        now: Monotonic,
        disks: &mut Disks,
        random: &mut Random,
        file: FileId,
        range: Range<u64>,
        room: usize,
    ) -> Result<(usize, bool), Progress> {
        match self.warm_at {
            Some(at) if at > now => return Err(Progress::Cold(at)),
            Some(_) => {
                self.warm_at = None;
                self.warm_to = range.start + WINDOW_BYTES;
            }
            None if range.start >= self.warm_to => {
                if random.percent(self.cold_percent) {
                    let at = disks.reads_by(now, file, random);
                    self.warm_at = Some(at);
                    return Err(Progress::Cold(at));
                }
                self.warm_to = range.start + WINDOW_BYTES;
            }
            None => (),
        }
        let end = range.end.min(self.warm_to).min(range.start + room as u64);
        let bytes = disks.read_held(file, range.start..end);
        self.kernel.extend(bytes.map_err(Progress::Failed)?);
        if let Some(Piece::File { range, .. }) = self.queue.front_mut() {
            range.start = end;
        }
        Ok(((end - range.start) as usize, end == range.end))
    }

    /// Nothing more of what waits is sent.
    pub fn drop_queue(&mut self, disks: &mut Disks) {
        for piece in self.queue.drain(..) {
            if let Piece::File { file, .. } = piece {
                disks.release(file);
            }
        }
        self.memory = 0;
        self.waiting = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_hears_of_little_that_is_left_and_of_nothing() {
        let (mut disks, mut r) = (Disks::new(1), Random::new(1, "test"));
        let mut out = Outgoing::new(100 << 10, 0);
        let now = Monotonic(0);
        let mut advance = |out: &mut Outgoing| out.advance(now, &mut disks, &mut r);
        assert_eq!(advance(&mut out), Progress::Rests);
        out.push(Arc::new(vec![1; 400 << 10]));
        assert_eq!(advance(&mut out), Progress::Rests);
        assert_eq!(out.memory(), 300 << 10);
        assert_eq!(out.take(100 << 10).len(), 100 << 10);
        assert_eq!(advance(&mut out), Progress::Draining);
        assert_eq!(advance(&mut out), Progress::Rests);
        while !out.take(70 << 10).is_empty() {
            match advance(&mut out) {
                Progress::Rests => (),
                told => {
                    assert_eq!((told, out.memory()), (Progress::Drained, 0));
                    break;
                }
            }
        }
        assert!(out.has_arrived() && !out.is_empty());
    }
}
