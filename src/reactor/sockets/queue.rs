//! What waits to be sent on a connection: bytes of its own, bytes that it shares with others, and
//! ranges of files, in order.

use crate::reactor::disk::SharedFile;
use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

/// Pieces that may wait on one connection; files are counted only here, since they take no memory.
pub const MAX_QUEUED_PIECES: usize = 4096;

/// One thing to send.
#[derive(Debug)]
pub(super) enum Piece {
    Bytes(Vec<u8>),
    Shared(Arc<Vec<u8>>),
    /// What is left to be sent of a file: not empty.
    File(SharedFile, Range<u64>),
}

/// See the module. No piece in it is empty.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    pieces: VecDeque<Piece>,
    /// Bytes of the front that are sent, if it is not a file.
    front_sent: usize,
    bytes: u64,
    in_memory: usize,
}

/// What comes next.
pub(super) enum Front<'a> {
    Memory(&'a [u8]),
    File(&'a SharedFile, Range<u64>),
}

impl Piece {
    fn memory(&self) -> Option<&[u8]> {
        match self {
            Piece::Bytes(bytes) => Some(bytes),
            Piece::Shared(bytes) => Some(bytes),
            Piece::File(..) => None,
        }
    }

    /// Bytes.
    fn len(&self) -> u64 {
        match self {
            Piece::File(_, range) => range.end - range.start,
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Shared(bytes) => bytes.len() as u64,
        }
    }
}

impl SendQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that wait, those of files included.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends, unless `piece` is empty. False if there would be more than `max_in_memory` bytes, or
    /// too many pieces.
    #[must_use]
    pub(super) fn push(&mut self, piece: Piece, max_in_memory: usize) -> bool {
        let len = piece.len();
        if len == 0 {
            return true;
        }
        let in_memory = self.in_memory + piece.memory().map_or(0, <[u8]>::len);
        if in_memory > max_in_memory || self.pieces.len() >= MAX_QUEUED_PIECES {
            return false;
        }
        self.in_memory = in_memory;
        self.bytes += len;
        self.pieces.push_back(piece);
        true
    }

    pub(super) fn front(&self) -> Option<Front<'_>> {
        self.iter().next()
    }

    /// What comes next, and after that.
    pub(super) fn iter(&self) -> impl Iterator<Item = Front<'_>> {
        let mut sent = self.front_sent;
        self.pieces.iter().map(move |piece| {
            let sent = std::mem::take(&mut sent);
            match piece {
                Piece::File(file, range) => Front::File(file, range.clone()),
                Piece::Bytes(bytes) => Front::Memory(&bytes[sent..]),
                Piece::Shared(bytes) => Front::Memory(&bytes[sent..]),
            }
        })
    }

    /// What is to be sent of a file once the file at the front is sent up to `offset`: the rest of
    /// it, or the next one.
    pub(super) fn file_after(&self, offset: u64) -> Option<(&SharedFile, Range<u64>)> {
        self.pieces.iter().enumerate().find_map(|(i, p)| match p {
            Piece::File(file, range) if i == 0 => {
                (offset < range.end).then(|| (file, offset.max(range.start)..range.end))
            }
            Piece::File(file, range) => Some((file, range.clone())),
            Piece::Bytes(_) | Piece::Shared(_) => None,
        })
    }

    /// Takes `n` sent bytes off the front. Files of which nothing is left go to `released`.
    pub(super) fn advance(&mut self, mut n: u64, released: &mut Vec<Arc<File>>) {
        self.bytes -= n;
        while n > 0 {
            let Some(front) = self.pieces.front_mut() else {
                return;
            };
            let left = match front {
                Piece::File(_, range) => {
                    let taken = n.min(range.end - range.start);
                    range.start += taken;
                    n -= taken;
                    range.end - range.start
                }
                Piece::Bytes(_) | Piece::Shared(_) => {
                    let left = front.len() - self.front_sent as u64;
                    let taken = n.min(left);
                    self.front_sent += taken as usize;
                    n -= taken;
                    left - taken
                }
            };
            if left == 0 {
                self.front_sent = 0;
                match self.pieces.pop_front() {
                    Some(Piece::File(file, _)) => released.push(file.file),
                    Some(piece) => self.in_memory -= piece.len() as usize,
                    None => {}
                }
            }
        }
    }

    /// The files in it.
    pub(super) fn into_files(self) -> impl Iterator<Item = Arc<File>> {
        self.pieces.into_iter().filter_map(|p| match p {
            Piece::File(file, _) => Some(file.file),
            Piece::Bytes(_) | Piece::Shared(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::DirId;

    const NO_LIMIT: usize = usize::MAX;

    fn file() -> SharedFile {
        SharedFile {
            dir: DirId(1),
            file: Arc::new(File::open("/dev/null").unwrap()),
        }
    }

    fn memory(q: &SendQueue) -> Vec<&[u8]> {
        let memory = |f| match f {
            Front::Memory(bytes) => Some(bytes),
            Front::File(..) => None,
        };
        q.iter().map_while(memory).collect()
    }

    #[test]
    fn pieces_leave_in_order_and_are_accounted_for() {
        let mut q = SendQueue::default();
        let mut released = Vec::new();
        assert!(q.push(Piece::Bytes(b"abc".to_vec()), NO_LIMIT));
        assert!(q.push(Piece::Bytes(Vec::new()), NO_LIMIT));
        assert!(q.push(Piece::Shared(Arc::new(b"defg".to_vec())), NO_LIMIT));
        assert!(q.push(Piece::File(file(), 10..10), NO_LIMIT));
        assert!(q.push(Piece::File(file(), (5 << 32)..(5 << 32) + 100), NO_LIMIT));
        assert!(q.push(Piece::Bytes(b"h".to_vec()), NO_LIMIT));
        assert_eq!((q.bytes(), q.in_memory, q.pieces.len()), (108, 8, 4));
        q.advance(2, &mut released);
        assert_eq!(memory(&q), [&b"c"[..], b"defg"]);
        q.advance(5, &mut released);
        assert!(memory(&q).is_empty());
        q.advance(40, &mut released);
        match q.front() {
            Some(Front::File(_, range)) => {
                assert_eq!(range, (5 << 32) + 40..(5 << 32) + 100);
            }
            _ => panic!("not the file"),
        }
        assert_eq!((q.bytes(), q.in_memory), (61, 1));
        q.advance(61, &mut released);
        assert!(q.is_empty() && q.front().is_none());
        assert_eq!((q.bytes(), q.in_memory, q.front_sent), (0, 0, 0));
        assert_eq!(released.len(), 1);
    }

    #[test]
    fn the_next_file_is_seen_behind_what_is_before_it() {
        let mut q = SendQueue::default();
        assert!(q.push(Piece::File(file(), 100..200), NO_LIMIT));
        assert!(q.push(Piece::Bytes(vec![0; 10]), NO_LIMIT));
        assert!(q.push(Piece::File(file(), 7..9), NO_LIMIT));
        let after = |q: &SendQueue, offset| q.file_after(offset).map(|(_, range)| range);
        assert_eq!(after(&q, 150), Some(150..200));
        assert_eq!(after(&q, 200), Some(7..9));
        q.advance(105, &mut Vec::new());
        assert_eq!(after(&q, 0), Some(7..9));
        assert_eq!(q.into_files().count(), 1);
    }

    #[test]
    fn memory_and_pieces_are_bounded() {
        let mut q = SendQueue::default();
        assert!(q.push(Piece::Bytes(vec![0; 60]), 100));
        assert!(!q.push(Piece::Shared(Arc::new(vec![0; 41])), 100));
        assert!(q.push(Piece::Shared(Arc::new(vec![0; 40])), 100));
        // A file of any size takes no memory.
        assert!(q.push(Piece::File(file(), 0..u64::MAX / 2), 100));
        let file = file();
        let more = (0..2 * MAX_QUEUED_PIECES)
            .take_while(|_| q.push(Piece::File(file.clone(), 0..1), 100))
            .count();
        assert_eq!(more, MAX_QUEUED_PIECES - 3);
    }
}
