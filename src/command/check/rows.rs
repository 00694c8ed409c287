//! What the rows of recordings and gaps say, each and together.

use super::problem::{Mend, Names, Problems};
use moonfire_nvr::db::{self, Database};
use moonfire_nvr::recording::index::{self, Totals};
use moonfire_nvr::recording::{DirId, Gap, Recording, RecordingId, StreamId, chain};
use moonfire_nvr::time::{Duration90k, Wall90k};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// Recordings that are asked for at a time: about 2 MB of indexes.
const PAGE: u32 = 500;

/// A gap and a recording may overlap by this much: a recording's start is known better after some
/// frames than after the first, which ended the gap.
const GAP_TOLERANCE: Duration90k = Duration90k::from_secs(1);

/// What the file of a recording must be.
pub struct Expected {
    pub id: RecordingId,
    pub bytes: u32,
    pub data_hash: [u8; 16],
}

/// What there must be in the sample directories; 28 bytes a recording.
#[derive(Default)]
pub struct Rows {
    /// Each directory's in order of id.
    pub of_dir: BTreeMap<DirId, Vec<Expected>>,
    pub recordings: u64,
}

/// Checks every row, and gathers what files there must be.
pub fn check(db: &Database, names: &Names, problems: &mut Problems) -> Result<Rows, db::Error> {
    let mut rows = Rows::default();
    let mut stream: Option<OneStream> = None;
    let mut after = None;
    loop {
        let page = db.recordings_after(after, PAGE)?;
        let Some((_, last)) = page.last() else {
            break;
        };
        after = Some(last.id);
        for (dir, r) in page {
            let id = r.id.stream;
            let of_stream = match &mut stream {
                Some(s) if s.id == id => s,
                other => {
                    if let Some(s) = other.take() {
                        s.check_gaps(db, names, problems)?;
                    }
                    other.insert(OneStream::new(id))
                }
            };
            // It may have been given up meanwhile.
            let order = db.order_of(r.id)?.unwrap_or(i64::MAX);
            of_stream.check(&r, order, names, problems);
            check_sums(db, &r, names, problems)?;
            rows.recordings += 1;
            rows.of_dir.entry(dir).or_default().push(Expected {
                id: r.id,
                bytes: r.sample_file_bytes,
                data_hash: r.data_hash,
            });
        }
    }
    if let Some(s) = stream {
        s.check_gaps(db, names, problems)?;
    }
    Ok(rows)
}

/// Long files are laid out from a row's sums alone.
fn check_sums(
    db: &Database,
    r: &Recording,
    names: &Names,
    problems: &mut Problems,
) -> Result<(), db::Error> {
    // A damaged index is told of elsewhere.
    if let Ok(counted) = index::sums(&r.index) {
        if db.sums(r.id)? != counted {
            let what = format!(
                "{}: its row's sums are not those of its index",
                names.recording(r.id)
            );
            problems.found(what, Mend::Recount(r.id));
        }
    }
    Ok(())
}

/// What came late goes before others by its number and after them in the chain. So many recordings before
/// the one that is looked at are remembered for that: more than a disk brings back.
const MAX_LATE: usize = 8_192;

/// A stream, as far as its rows were read.
struct OneStream {
    id: StreamId,
    /// The sequence number of the recording before.
    before: Option<u32>,
    /// The recordings before without a number missing, but for those that came in later than one that follows
    /// them: their order and chain hashes. A recording follows in the chain the last of them that was there when
    /// it came in.
    chain: VecDeque<(i64, [u8; 32])>,
    /// `chain` is all that there ever was before.
    from_first: bool,
    spans: Vec<Range<Wall90k>>,
}

impl OneStream {
    fn new(id: StreamId) -> OneStream {
        OneStream {
            id,
            before: None,
            chain: VecDeque::new(),
            from_first: false,
            spans: Vec::new(),
        }
    }

    /// `order` tells which recordings came in before.
    fn check(&mut self, r: &Recording, order: i64, names: &Names, problems: &mut Problems) {
        let expected = Totals {
            samples: r.video_samples,
            sync_samples: r.video_sync_samples,
            bytes: r.sample_file_bytes,
            media_duration_90k: r.media_duration.0,
        };
        if let Err(e) = index::check(&r.index, &expected) {
            problems.found(format!("{}: {e}", names.recording(r.id)), Mend::Nothing);
        }
        // What came before the oldest, or before one whose neighbor was given up, is not known.
        if r.id.sequence == 0 || r.id.sequence.checked_sub(1) != self.before {
            self.chain.clear();
            self.from_first = r.id.sequence == 0;
        }
        self.before = Some(r.id.sequence);
        while self.chain.back().is_some_and(|(came, _)| *came > order) {
            self.chain.pop_back();
        }
        let first = Some([0; 32]).filter(|_| self.from_first);
        let before = self.chain.back().map(|(_, hash)| *hash).or(first);
        if before.is_some_and(|hash| chain::verify(&hash, r).is_none()) {
            let what = format!(
                "{}: it does not follow in the hash chain: its row or the one before was changed",
                names.recording(r.id)
            );
            problems.found(what, Mend::Nothing);
        }
        self.chain.push_back((order, r.chain_hash));
        if self.chain.len() > MAX_LATE {
            self.chain.pop_front();
            self.from_first = false;
        }
        self.spans.push(r.start..r.start + r.wall_duration);
    }

    /// A gap is where nothing was recorded.
    fn check_gaps(
        mut self,
        db: &Database,
        names: &Names,
        problems: &mut Problems,
    ) -> Result<(), db::Error> {
        self.spans.sort_by_key(|s| s.start);
        for gap in db.gaps(self.id, &(Wall90k(i64::MIN)..Wall90k(i64::MAX)))? {
            let left = without(&gap, &self.spans);
            let before = (gap.end - gap.start).0;
            let after: i64 = left.iter().map(|g| (g.end - g.start).0).sum();
            if before - after <= GAP_TOLERANCE.0 {
                continue;
            }
            let what = format!(
                "{}: the gap from {} to {} is said to have been recorded for {} of it",
                names.stream(self.id),
                problems.told(gap.start),
                problems.told(gap.end),
                Duration90k(before - after)
            );
            let mend = Mend::Gap {
                old: gap,
                new: left,
            };
            problems.found(what, mend);
        }
        Ok(())
    }
}

/// What is left of a gap where none of `spans` (in order of start, apart from each other) is.
fn without(gap: &Gap, spans: &[Range<Wall90k>]) -> Vec<Gap> {
    let mut left = Vec::new();
    let mut at = gap.start;
    let first = spans.partition_point(|s| s.end <= gap.start);
    let overlapping = spans[first..].iter().take_while(|s| s.start < gap.end);
    for span in overlapping {
        if span.start > at {
            left.push(Gap {
                start: at,
                end: span.start,
                ..gap.clone()
            });
        }
        at = at.max(span.end);
    }
    if at < gap.end {
        left.push(Gap {
            start: at,
            ..gap.clone()
        });
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use moonfire_nvr::recording::GapCause;

    #[test]
    fn a_gap_is_cut_to_what_was_not_recorded() {
        let gap = |start, end| Gap {
            stream: StreamId(1),
            start: Wall90k(start),
            end: Wall90k(end),
            cause: GapCause::Camera,
            detail: "it was away".into(),
            clock_untrusted: false,
        };
        let spans = [(0, 10), (20, 30), (30, 40), (60, 70)].map(|(a, b)| Wall90k(a)..Wall90k(b));
        for (old, left) in [
            ((10, 20), vec![gap(10, 20)]),
            ((5, 25), vec![gap(10, 20)]),
            ((15, 65), vec![gap(15, 20), gap(40, 60)]),
            ((22, 38), vec![]),
            (
                (-5, 100),
                vec![gap(-5, 0), gap(10, 20), gap(40, 60), gap(70, 100)],
            ),
            ((80, 90), vec![gap(80, 90)]),
        ] {
            assert_eq!(without(&gap(old.0, old.1), &spans), left, "{old:?}");
        }
    }
}
