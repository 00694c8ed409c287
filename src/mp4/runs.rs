//! Which recordings a file is made of, as runs of consecutive ones, and where they are: whether it has a certain
//! one is asked for each that is given up, and whether it can be read for each request.

use super::Source;
use crate::recording::{DirId, RecordingId, StreamId};
use std::ops::RangeInclusive;

/// Add them with [`Self::push`], then [`Self::sort`] them.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: Vec<(StreamId, RangeInclusive<u32>)>,
    /// All the directories, in no order.
    pub(super) dirs: Vec<DirId>,
}

impl Runs {
    /// Adds one, most often that after the one before.
    pub fn push(&mut self, source: Source) {
        let id = source.id;
        if !self.dirs.contains(&source.dir) {
            self.dirs.push(source.dir);
        }
        if let Some((stream, run)) = self.runs.last_mut() {
            if *stream == id.stream && run.end().checked_add(1) == Some(id.sequence) {
                *run = *run.start()..=id.sequence;
                return;
            }
        }
        self.runs.push((id.stream, id.sequence..=id.sequence));
    }

    /// To be done before [`Self::has`] is asked. What is there several times is joined.
    pub fn sort(&mut self) {
        self.runs
            .sort_unstable_by_key(|(stream, run)| (*stream, *run.start()));
        self.runs.dedup_by(|later, first| {
            let joins = later.0 == first.0 && later.1.start() <= first.1.end();
            if joins && later.1.end() > first.1.end() {
                first.1 = *first.1.start()..=*later.1.end();
            }
            joins
        });
    }

    pub fn has(&self, id: RecordingId) -> bool {
        let after = self
            .runs
            .partition_point(|(stream, run)| (*stream, *run.start()) <= (id.stream, id.sequence));
        after.checked_sub(1).is_some_and(|i| {
            let (stream, run) = &self.runs[i];
            *stream == id.stream && run.contains(&id.sequence)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_was_added_is_found_and_nothing_else() {
        let id = |stream, sequence| RecordingId {
            stream: StreamId(stream),
            sequence,
        };
        let mut runs = Runs::default();
        let mut all = BTreeSet::new();
        // Runs that repeat, overlap, touch, go back, and one of another stream between them.
        for (stream, run) in [
            (2, 5..9),
            (2, 9..12),
            (2, 6..20),
            (1, 7..8),
            (2, 0..2),
            (2, 0..2),
            (2, 30..31),
            (2, 7..8),
            (2, u32::MAX - 1..u32::MAX),
        ] {
            for sequence in run {
                runs.push(Source {
                    id: id(stream, sequence),
                    dir: DirId(stream),
                });
                all.insert((stream, sequence));
            }
        }
        runs.push(Source {
            id: id(2, u32::MAX),
            dir: DirId(7),
        });
        all.insert((2, u32::MAX));
        runs.sort();
        for stream in 0..4 {
            for sequence in (0..40).chain(u32::MAX - 3..=u32::MAX) {
                let has = runs.has(id(stream, sequence));
                assert_eq!(
                    has,
                    all.contains(&(stream, sequence)),
                    "{stream}/{sequence}"
                );
            }
        }
        assert_eq!(runs.runs.len(), 5);
        assert_eq!(runs.dirs, [2, 1, 7].map(DirId));
    }
}
