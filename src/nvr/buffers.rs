//! The memory that frames pass through, between the camera's socket and the disk.

/// A spare buffer larger than this is given back to the allocator.
const LARGEST_KEPT: usize = 1 << 20;
/// Spare buffers are kept up to so many bytes in all; further ones are given back, so that a hundred
/// streams fit a small board.
const SPARE_BYTES: usize = 16 << 20;
/// What a new buffer has room for: a chunk and a large frame behind it.
const NEW_BYTES: usize = 192 << 10;

/// Spare buffers, and how many bytes are out on their way to a disk.
#[derive(Default)]
pub struct Buffers {
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
    lent_bytes: u64,
}

impl Buffers {
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
    pub fn lend(&mut self, bytes: usize) {
        self.lent_bytes += bytes as u64;
    }

    /// A buffer has come back, with what was handed over still in it.
    pub fn give_back(&mut self, mut buffer: Vec<u8>) {
        self.lent_bytes = self.lent_bytes.saturating_sub(buffer.len() as u64);
        let fits = self.spare_bytes + buffer.capacity() <= SPARE_BYTES;
        if buffer.capacity() <= LARGEST_KEPT && fits {
            buffer.clear();
            self.spare_bytes += buffer.capacity();
            self.spare.push(buffer);
        }
    }

    /// Bytes handed to disks and not yet written.
    pub fn lent_bytes(&self) -> u64 {
        self.lent_bytes
    }
}
