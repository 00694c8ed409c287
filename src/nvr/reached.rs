//! How far a stream has got, in sequence numbers and in time; also while the clock is not set and all
//! that is recorded meanwhile is still to be moved.
//!
//! It foretells where the database puts what it moves (`db::Flush::restamp`): by so much as the clock was
//! set, and never onto older recordings of the stream.

use crate::recording::{OpenId, Recording};
use crate::time::{Duration90k, Wall90k};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    pub next_sequence: u32,
    /// The last recording of this start.
    pub last: Option<u32>,
    /// The media durations of all recordings of the stream so far, and the runs that they begin.
    pub media_duration: Duration90k,
    pub runs: u32,
    /// Up to here recordings and gaps are told.
    pub until: Wall90k,
    /// `until` is of before the clock was set: it moves when it is.
    pub untrusted: bool,
    /// However far back what is untrusted is moved, it ends no earlier: the end of the recordings that
    /// stay where they are, and the lengths of those that move. `None`: nothing stands in the way.
    least: Option<Wall90k>,
}

impl Reached {
    /// Nothing of this start of the recorder. `last_end` is the end of the stream's newest recording.
    pub fn new(
        next_sequence: u32,
        until: Wall90k,
        untrusted: bool,
        last_end: Option<Wall90k>,
    ) -> Reached {
        Reached {
            next_sequence,
            last: None,
            media_duration: Duration90k::ZERO,
            runs: 0,
            until,
            untrusted,
            least: last_end,
        }
    }

    /// The same of a stream that had so much before.
    pub fn with_sums(self, media_duration: Duration90k, runs: u32) -> Reached {
        Reached {
            media_duration,
            runs,
            ..self
        }
    }

    /// Where `recording` starts once it was moved by `moved`.
    pub fn start_of(&self, recording: &Recording, moved: Option<Duration90k>) -> Wall90k {
        match moved {
            Some(by) => self
                .least
                .map_or(recording.start + by, |l| l.max(recording.start + by)),
            None => recording.start,
        }
    }

    /// A recording follows. `moved` is by how much it was or is going to be moved although what is made
    /// from now on is not; `open` tells which recordings can still be moved.
    pub fn add_recording(
        &mut self,
        recording: &Recording,
        open: OpenId,
        moved: Option<Duration90k>,
    ) {
        let movable = recording.clock_untrusted && recording.open == open;
        let moved = moved.filter(|_| movable);
        let end = self.start_of(recording, moved) + recording.wall_duration;
        self.next_sequence = self.next_sequence.max(recording.id.sequence + 1);
        self.last = Some(recording.id.sequence);
        self.media_duration += recording.media_duration;
        self.runs += u32::from(recording.run_offset == 0);
        self.until = self.until.max(end);
        self.untrusted = movable && moved.is_none();
        self.least = match self.untrusted {
            true => self.least.map(|l| l + recording.wall_duration),
            false => Some(end),
        };
    }

    /// A recording came back and goes before others. It is in none of the sums.
    pub fn add_late(&mut self, recording: &Recording, open: OpenId) {
        self.next_sequence = self.next_sequence.max(recording.id.sequence + 1);
        if self.untrusted && recording.clock_untrusted && recording.open == open {
            // It is moved with the others, and may push them.
            self.least = self.least.map(|l| l + recording.wall_duration);
        }
    }

    /// A gap that follows is told.
    pub fn add_gap(&mut self, end: Wall90k, untrusted: bool) {
        self.until = end;
        self.untrusted = untrusted;
    }

    /// What is untrusted is moved by `by`, and is trusted then.
    pub fn set_clock(&mut self, by: Duration90k) {
        if std::mem::take(&mut self.untrusted) {
            let end = self.until + by;
            self.until = self.least.map_or(end, |least| least.max(end));
            self.least = Some(self.until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CameraConfig, StreamConfig};
    use crate::db::{self, Database, Flush, Reply, Request};
    use crate::nvr::tests::recording;
    use crate::recording::{DirId, Gap, GapCause, StreamId};
    use crate::sim::random::Random;

    const STREAM: StreamId = StreamId(1);
    const T: Wall90k = Wall90k::from_unix_secs(1_795_341_600);

    fn secs(s: u64) -> Duration90k {
        Duration90k::from_secs(s as i64)
    }

    fn gap(start: Wall90k, end: Wall90k, clock_untrusted: bool) -> Gap {
        Gap {
            stream: STREAM,
            start,
            end,
            cause: GapCause::Camera,
            detail: String::new(),
            clock_untrusted,
        }
    }

    fn snapshot(database: &mut Database) -> db::Snapshot {
        let camera = CameraConfig {
            name: "camera".into(),
            main: Some(StreamConfig::new("rtsp://192.0.2.1/main")),
            ..CameraConfig::default()
        };
        let start = Request::Start {
            wall: T,
            sample_dirs: vec!["/sample".into()],
            cameras: vec![camera],
        };
        match database.handle(start) {
            Ok(Reply::Snapshot(snapshot)) => *snapshot,
            other => panic!("{other:?}"),
        }
    }

    /// What the stream has of an earlier start.
    struct Before {
        at: Wall90k,
        sequence: u32,
        last_end: Option<Wall90k>,
        gap_end: Option<Wall90k>,
    }

    fn before(r: &mut Random, database: &mut Database) -> Before {
        let open = snapshot(database).open;
        let mut old = Flush::default();
        let mut at = T;
        for sequence in 0..r.below(3) as u32 {
            let length = secs(r.within(1..=90));
            let recording = recording(open, sequence, at, length);
            old.recordings.push((DirId(1), recording));
            at = at + length + secs(r.pick(&[0, 0, 30]));
        }
        let sequence = old.recordings.len() as u32;
        let last = old.recordings.last().map(|(_, r)| r);
        let last_end = last.map(|r| r.start + r.wall_duration);
        let gap_end = r.percent(30).then(|| at + secs(r.within(1..=300)));
        if let Some(end) = gap_end {
            old.gaps.push(gap(at, end, false));
            at = end;
        }
        database.handle(Request::Flush(Box::new(old))).unwrap();
        Before {
            at,
            sequence,
            last_end,
            gap_end,
        }
    }

    /// What was made before, what is made while the clock is not set, and by how much it is set then,
    /// all by chance. What the database makes of it is what is foretold.
    fn foretold(seed: u64) {
        let mut r = Random::new(seed, "reached");
        let mut database = db::memory(1).unwrap();
        let Before {
            mut at,
            sequence,
            last_end,
            gap_end: old_gap_end,
        } = before(&mut r, &mut database);

        let open = snapshot(&mut database).open;
        let mut reached = Reached::new(sequence, at, false, last_end);
        let mut new = Flush::default();
        for n in 0..r.within(1..=5) as u32 {
            let length = secs(r.within(1..=90));
            if r.percent(30) {
                new.gaps.push(gap(at, at + length, true));
                reached.add_gap(at + length, true);
            } else {
                let mut recording = recording(open, sequence + n, at, length);
                recording.clock_untrusted = true;
                reached.add_recording(&recording, open, None);
                new.recordings.push((DirId(1), recording));
            }
            at = at + length;
        }
        let by = secs(r.pick(&[0, 5, 100, 86_400]));
        let by = if r.percent(60) { -by } else { by };
        // Some of it may have been lost with a disk when the clock was set, and come back after.
        let mut late = Reached::new(sequence, old_gap_end.unwrap_or(T), false, last_end);
        for (_, recording) in &new.recordings {
            late.add_recording(recording, open, Some(by));
        }
        reached.set_clock(by);
        new.restamp = Some(by);
        database.handle(Request::Flush(Box::new(new))).unwrap();

        let snapshot = snapshot(&mut database);
        let stream = &snapshot.cameras[0].streams[0];
        if let (true, Some(end)) = (stream.next_sequence > sequence, stream.totals.last_end) {
            assert_eq!(late.least, Some(end), "{seed}: what came back late");
        }
        let told = stream.told_until.unwrap();
        let last = [Some(reached.until), old_gap_end, stream.totals.last_end];
        assert_eq!(last.into_iter().flatten().max(), Some(told), "{seed}");
        // What comes next may begin there.
        assert!(
            stream
                .totals
                .last_end
                .is_none_or(|end| end <= reached.until),
            "{seed}"
        );
    }

    #[test]
    fn it_foretells_where_the_database_puts_what_it_moves() {
        (0..150).for_each(foretold);
    }
}
