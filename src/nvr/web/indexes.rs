//! Sample indexes that responses need for their tables: fetched from the database when they are
//! about to be sent, and kept for the next table, which wants the same ones again.

use crate::recording::RecordingId;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of indexes that are kept. A day of a stream takes about 5 MB; what is sent needs one batch.
pub const MAX_BYTES: usize = 4 << 20;

/// Indexes that are fetched together.
pub const BATCH: usize = 32;

/// See the module.
#[derive(Default)]
pub struct Indexes {
    kept: HashMap<RecordingId, (u64, Arc<[u8]>)>,
    bytes: usize,
    uses: u64,
}

impl Indexes {
    /// One that is there.
    pub fn get(&mut self, id: RecordingId) -> Option<Arc<[u8]>> {
        self.uses += 1;
        let (last_use, index) = self.kept.get_mut(&id)?;
        *last_use = self.uses;
        Some(index.clone())
    }

    pub fn has(&self, id: RecordingId) -> bool {
        self.kept.contains_key(&id)
    }

    /// Keeps one; those that were not asked for for longest go, never those of the same batch.
    pub fn insert(&mut self, id: RecordingId, index: Arc<[u8]>) {
        self.uses += 1;
        self.bytes += index.len();
        if let Some((_, old)) = self.kept.insert(id, (self.uses, index)) {
            self.bytes -= old.len();
        }
    }

    /// Brings the whole back within its budget. Called after a batch was put in.
    pub fn shrink(&mut self) {
        if self.bytes <= MAX_BYTES {
            return;
        }
        let mut by_age: Vec<(u64, RecordingId)> = self
            .kept
            .iter()
            .map(|(id, (used, _))| (*used, *id))
            .collect();
        by_age.sort_unstable();
        // A quarter at a time, so that this is not done for each.
        for (_, id) in by_age {
            if self.bytes <= MAX_BYTES / 4 * 3 || self.kept.len() <= BATCH {
                break;
            }
            if let Some((_, index)) = self.kept.remove(&id) {
                self.bytes -= index.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::StreamId;

    #[test]
    fn the_oldest_go_and_the_budget_holds() {
        let id = |sequence| RecordingId {
            stream: StreamId(1),
            sequence,
        };
        let mut indexes = Indexes::default();
        let each = MAX_BYTES / 100;
        for i in 0..1_000 {
            indexes.insert(id(i), vec![0; each].into());
            indexes.shrink();
            assert!(indexes.get(id(0)).is_some(), "what is used stays");
            assert!(indexes.kept.len() <= 101);
        }
        assert!(indexes.has(id(999)) && !indexes.has(id(1)));
        assert_eq!(
            indexes.bytes,
            indexes.kept.values().map(|(_, i)| i.len()).sum::<usize>()
        );
    }
}
