//! Entity tags: a hash of everything that the bytes of a file depend on.

use super::File;
use super::slices::Laid;
use crate::recording::Summary;
use xxhash_rust::xxh3::Xxh3;

/// To be counted up with each change to what bytes the same segments give.
const FORMAT_VERSION: u64 = 2;

/// Makes a tag. What goes in is told in an order and number that follow from what went in before.
pub(super) struct Hasher(Box<Xxh3>);

impl Hasher {
    pub fn new(kind: &str) -> Hasher {
        let mut h = Hasher(Box::new(Xxh3::new()));
        h.u64(FORMAT_VERSION);
        h.bytes(kind.as_bytes());
        h
    }

    pub fn u64(&mut self, v: u64) {
        self.0.update(&v.to_le_bytes());
    }

    /// Some bytes, and how many they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.0.update(bytes);
    }

    /// Which samples they are: a sequence number is used once in an open, and what was written of a
    /// sample file stays. A recorder that was set up anew differs in the time. How long it lasts is not
    /// among it: of one that grows, what has ended is the same when there is more of it.
    pub fn summary(&mut self, s: &Summary) {
        self.u64(u64::from(s.id.stream.0 as u32) << 32 | u64::from(s.id.sequence));
        self.u64(u64::from(s.open.0));
        self.u64(s.start.0 as u64);
    }

    pub fn laid(&mut self, l: &Laid) {
        self.u64(u64::from(l.first) << 32 | u64::from(l.bytes_start));
        self.u64(u64::from(l.entry) << 32 | u64::from(l.ends.samples));
        self.u64(u64::from(l.ends.sync_samples) << 32 | u64::from(l.ends.duration_runs));
        self.u64(u64::from(l.ends.offset_runs));
        self.u64(l.ends.bytes);
        self.u64(l.ends.media_duration);
    }

    /// The tag (RFC 9110 section 8.8.3), with all constant bytes in it.
    pub fn finish(mut self, file: &File) -> String {
        self.u64(file.len());
        self.0.update(&file.constant);
        format!("\"{:032x}\"", self.0.digest128())
    }
}
