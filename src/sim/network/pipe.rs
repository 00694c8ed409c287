//! One direction of a TCP connection: bytes in order, with places in them that are watched.

use crate::sim::random::Random;
use crate::sim::witness::FrameId;
use std::collections::VecDeque;

/// The most that a receiving end is handed at once, as the reactor reads it.
pub const MAX_READ_BYTES: usize = 64 * 1024;

/// More than this waiting: a camera gives the connection up.
pub const MAX_WAITING_BYTES: usize = 512 * 1024;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    Reset,
}

/// How the network cuts a stream of bytes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cutting {
    /// All that is there is handed over.
    Whole,
    /// Mostly all, at times a part.
    Mixed,
    /// At most so many bytes at a time.
    Small(usize),
}

/// See the module.
#[derive(Debug)]
pub struct Pipe {
    waiting: VecDeque<u8>,
    /// Bytes taken since the beginning.
    taken: u64,
    marks: VecDeque<(u64, FrameId)>,
    /// How it ends after what is waiting.
    pub end: Option<End>,
    pub cutting: Cutting,
}

impl Pipe {
    pub fn new(cutting: Cutting) -> Pipe {
        Pipe {
            waiting: VecDeque::new(),
            taken: 0,
            marks: VecDeque::new(),
            end: None,
            cutting,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if self.end.is_none() {
            self.waiting.extend(bytes);
        }
    }

    /// Watches for the byte `ahead` of those that are waiting.
    pub fn mark(&mut self, ahead: usize, frame: FrameId) {
        self.marks.push_back((self.taken + ahead as u64, frame));
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Forgets all but the first `bytes` of what is waiting.
    pub fn cut_to(&mut self, bytes: usize) {
        self.waiting.truncate(bytes);
        let end = self.taken + self.waiting.len() as u64;
        self.marks.retain(|(at, _)| *at < end);
    }

    /// Takes what arrives at once.
    pub fn take(&mut self, random: &mut Random) -> Vec<u8> {
        let all = self.waiting.len().min(MAX_READ_BYTES);
        let n = match self.cutting {
            Cutting::Whole => all,
            Cutting::Mixed if random.percent(80) => all,
            Cutting::Mixed => 1 + random.index(all.max(1)),
            Cutting::Small(most) => 1 + random.index(most),
        };
        let taken: Vec<u8> = self.waiting.drain(..n.min(all)).collect();
        self.taken += taken.len() as u64;
        taken
    }

    /// The next watched place that was taken.
    pub fn passed(&mut self) -> Option<FrameId> {
        match self.marks.front() {
            Some((at, frame)) if *at < self.taken => {
                let frame = *frame;
                self.marks.pop_front();
                Some(frame)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_whole_and_in_order_however_cut() {
        let mut r = Random::new(1, "pipe");
        for cutting in [Cutting::Whole, Cutting::Mixed, Cutting::Small(3)] {
            let mut p = Pipe::new(cutting);
            let sent: Vec<u8> = (0..=255).collect();
            p.push(&sent);
            let mut got = Vec::new();
            while p.waiting() > 0 {
                let bytes = p.take(&mut r);
                assert!(!bytes.is_empty());
                got.extend(bytes);
            }
            assert_eq!(got, sent);
        }
    }

    #[test]
    fn a_watched_place_is_passed_with_its_byte() {
        let mut r = Random::new(1, "pipe");
        let mut p = Pipe::new(Cutting::Whole);
        let frame = FrameId {
            power_on: 0,
            number: 7,
        };
        p.push(b"abc");
        p.mark(3, frame);
        p.take(&mut r);
        assert_eq!(p.passed(), None);
        p.push(b"d");
        p.take(&mut r);
        assert_eq!(p.passed(), Some(frame));
        p.push(b"xyz");
        p.mark(2, frame);
        p.cut_to(2);
        p.take(&mut r);
        assert_eq!(p.passed(), None);
    }
}
