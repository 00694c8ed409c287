//! The memory that frames pass through, between the camera's socket and the disk.

/// A spare buffer larger than this is given back to the allocator.
const LARGEST_KEPT: usize = 1 << 20;
/// How many spare buffers are kept.
const SPARE: usize = 64;

/// Spare buffers, and how many bytes are out on their way to a disk.
#[derive(Default)]
pub struct Buffers {
    spare: Vec<Vec<u8>>,
    lent_bytes: u64,
}

impl Buffers {
    /// An empty buffer, with room where one was spare.
    pub fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// So many bytes are handed to a disk.
    pub fn lend(&mut self, bytes: usize) {
        self.lent_bytes += bytes as u64;
    }

    /// A buffer has come back, with what was handed over still in it.
    pub fn give_back(&mut self, mut buffer: Vec<u8>) {
        self.lent_bytes = self.lent_bytes.saturating_sub(buffer.len() as u64);
        if buffer.capacity() <= LARGEST_KEPT && self.spare.len() < SPARE {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Bytes handed to disks and not yet written.
    pub fn lent_bytes(&self) -> u64 {
        self.lent_bytes
    }
}
