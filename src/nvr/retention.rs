//! What to give up: by each stream's own limits, and so that a disk never fills.

use crate::config::Reserve;
use crate::db::{Delete, StreamTotals};
use crate::nvr::port::Space;
use crate::recording::{DirId, StreamId};
use crate::time::{Duration90k, Wall90k};

/// A stream, as far as retention is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    pub id: StreamId,
    pub totals: StreamTotals,
    pub retain_bytes: Option<i64>,
    pub retain_days: Option<u32>,
    /// What the coming commit adds to it.
    pub adding_bytes: i64,
}

/// A sample directory with the streams that record to it.
#[derive(Clone, Copy, Debug)]
pub struct Directory<'a> {
    pub id: DirId,
    /// Its file system's space, where known.
    pub space: Option<Space>,
    /// What is to stay free.
    pub reserve: Reserve,
    /// What is being unlinked already: as good as free.
    pub garbage_bytes: i64,
    /// It is full: at least this much is to be freed.
    pub at_least_bytes: i64,
    pub now: Wall90k,
    pub streams: &'a [Stream],
}

/// What is to be deleted so that each stream stays within its limits and the disk keeps its reserve.
///
/// A stream over its bytes loses its own oldest; one with a limit in days loses what ended before. What
/// the disk still lacks after that is taken from the directory's oldest, of whichever stream: all then
/// reach back equally far.
pub fn plan(dir: &Directory<'_>) -> Vec<Delete> {
    let mut delete = Vec::new();
    let mut freed = dir.garbage_bytes;
    for s in dir.streams {
        if let Some(days) = s.retain_days {
            let before = dir.now - Duration90k::from_secs(i64::from(days) * 86_400);
            if s.totals.first_start.is_some_and(|t| t < before) {
                delete.push(Delete::StreamBefore {
                    stream: s.id,
                    before,
                });
            }
        }
        if let Some(retain) = s.retain_bytes {
            let over = s.totals.sample_file_bytes.saturating_add(s.adding_bytes) - retain;
            let bytes = over.min(s.totals.sample_file_bytes);
            if bytes > 0 {
                freed = freed.saturating_add(bytes);
                delete.push(Delete::StreamBytes {
                    stream: s.id,
                    bytes,
                });
            }
        }
    }
    let lacking = dir.space.map_or(0, |space| {
        let reserve = dir.reserve.bytes_of(space.total);
        i64::try_from(reserve.saturating_sub(space.free)).unwrap_or(i64::MAX)
    });
    let bytes = lacking.saturating_sub(freed).max(dir.at_least_bytes);
    if bytes > 0 {
        delete.push(Delete::DirBytes { dir: dir.id, bytes });
    }
    delete
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall90k = Wall90k::from_unix_secs(1_795_341_600);

    fn stream(id: i32, bytes: i64) -> Stream {
        Stream {
            id: StreamId(id),
            totals: StreamTotals {
                recordings: 10,
                sample_file_bytes: bytes,
                duration: Duration90k::from_secs(600),
                first_start: Some(NOW - Duration90k::from_secs(3 * 86_400)),
                last_end: Some(NOW),
            },
            retain_bytes: None,
            retain_days: None,
            adding_bytes: 0,
        }
    }

    fn dir<'a>(streams: &'a [Stream], free: u64) -> Directory<'a> {
        Directory {
            id: DirId(1),
            space: Some(Space {
                free,
                total: 1_000_000,
            }),
            reserve: Reserve {
                percent: Some(10),
                bytes: None,
            },
            garbage_bytes: 0,
            at_least_bytes: 0,
            now: NOW,
            streams,
        }
    }

    #[test]
    fn within_all_limits_nothing_goes() {
        let mut s = stream(1, 500);
        s.retain_bytes = Some(500);
        s.retain_days = Some(3);
        assert_eq!(plan(&dir(&[s, stream(2, 1 << 40)], 100_000)), vec![]);
    }

    #[test]
    fn what_is_coming_counts() {
        let mut s = stream(1, 500);
        s.retain_bytes = Some(500);
        s.adding_bytes = 20;
        let expected = vec![Delete::StreamBytes {
            stream: s.id,
            bytes: 20,
        }];
        assert_eq!(plan(&dir(&[s], 100_000)), expected);
        // More than there is cannot be asked for.
        s.adding_bytes = 9_999;
        let expected = vec![Delete::StreamBytes {
            stream: s.id,
            bytes: 500,
        }];
        assert_eq!(plan(&dir(&[s], 100_000)), expected);
    }

    #[test]
    fn days_are_counted_from_now() {
        let mut s = stream(1, 500);
        s.retain_days = Some(2);
        let before = NOW - Duration90k::from_secs(2 * 86_400);
        assert_eq!(
            plan(&dir(&[s], 100_000)),
            vec![Delete::StreamBefore {
                stream: s.id,
                before
            }]
        );
    }

    #[test]
    fn the_reserve_takes_from_the_directory_what_is_not_freed_anyway() {
        let s = [stream(1, 500_000), stream(2, 400_000)];
        let mut d = dir(&s, 70_000);
        assert_eq!(
            plan(&d),
            vec![Delete::DirBytes {
                dir: d.id,
                bytes: 30_000
            }]
        );
        d.garbage_bytes = 20_000;
        assert_eq!(
            plan(&d),
            vec![Delete::DirBytes {
                dir: d.id,
                bytes: 10_000
            }]
        );
        d.garbage_bytes = 50_000;
        assert_eq!(plan(&d), vec![]);
        d.at_least_bytes = 64;
        assert_eq!(
            plan(&d),
            vec![Delete::DirBytes {
                dir: d.id,
                bytes: 64
            }]
        );
    }
}
