//! The memory that frames pass through, between the camera's socket and the disk.

use super::recorder::{LARGEST_CHUNK_BYTES, TOTAL_BACKLOG_BYTES};
use crate::recording::DirId;
use std::collections::BTreeMap;

/// A spare buffer larger than this is given back to the allocator.
const LARGEST_KEPT: usize = 1 << 20;
/// Spare buffers are kept up to so much room in all, of which only what was ever filled takes memory:
/// enough for a hundred streams. Further ones are given back.
const SPARE_BYTES: usize = 40 << 20;
/// What a new buffer has room for: the largest chunk and a large frame behind it. One that meets a
/// larger frame grows, once.
const NEW_BYTES: usize = LARGEST_CHUNK_BYTES + (128 << 10);

/// Spare buffers, and how many bytes are out on their way to each disk.
#[derive(Default)]
pub struct Buffers {
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
    /// Two for each stream and journal, which may fill one while another is on its way: what a slow disk
    /// took beyond that goes back.
    most_spare: usize,
    lent: BTreeMap<DirId, u64>,
    directories: u64,
}

impl Buffers {
    /// So many directories are recorded to: each has its share of what may be on its way, so that one
    /// that hangs stops no other. So many streams are there to need buffers.
    pub fn share_among(&mut self, directories: usize, streams: usize) {
        self.directories = directories as u64;
        self.most_spare = 2 * (streams + directories);
    }

    /// What may be on its way to one directory.
    pub fn share_bytes(&self) -> u64 {
        TOTAL_BACKLOG_BYTES / self.directories.max(1)
    }

    /// An empty buffer, with room where one was spare.
    pub fn take(&mut self) -> Vec<u8> {
        match self.spare.pop() {
            Some(buffer) => {
                self.spare_bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(NEW_BYTES),
        }
    }

    /// So many bytes are handed to a disk.
    pub fn lend(&mut self, dir: DirId, bytes: usize) {
        *self.lent.entry(dir).or_default() += bytes as u64;
    }

    /// A buffer has come back from a disk, with what was handed over still in it.
    pub fn give_back(&mut self, dir: DirId, mut buffer: Vec<u8>) {
        let lent = self.lent.entry(dir).or_default();
        *lent = lent.saturating_sub(buffer.len() as u64);
        let room = buffer.capacity();
        let wanted = self.spare.len() < self.most_spare && self.spare_bytes + room <= SPARE_BYTES;
        if room <= LARGEST_KEPT && wanted {
            buffer.clear();
            self.spare_bytes += room;
            self.spare.push(buffer);
        }
    }

    /// Bytes handed to one directory and not yet written.
    pub fn lent_to(&self, dir: DirId) -> u64 {
        self.lent.get(&dir).copied().unwrap_or_default()
    }

    /// Bytes handed to disks and not yet written.
    pub fn lent_bytes(&self) -> u64 {
        self.lent.values().sum()
    }
}
