//! What the cameras sent to the recorder, frame for frame, and when something stood in its way: what
//! the checkers hold the recordings against.

use crate::db::StreamKind;
use crate::simulated_camera::{Synthetic, synthetic};
use crate::time::Monotonic;
use std::collections::BTreeMap;
use std::time::Duration;

/// The most frames in a row that a lossy network loses within a recording.
const MOST_LOST_FRAMES: u64 = 200;

/// A stream: its camera's index, and which of its streams.
pub type StreamKey = (usize, StreamKind);

/// A frame's identity: how often the camera had been switched on, and the frame's number since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId {
    pub power_on: u32,
    pub number: u64,
}

/// A frame that was sent in a session.
#[derive(Clone, Copy, Debug)]
pub struct SentFrame {
    pub id: FrameId,
    /// When the recorder had been handed all of it and the beginning of the next one.
    pub delivered: Option<Monotonic>,
}

/// The frames that one connection carried, in order.
#[derive(Clone, Debug)]
pub struct SentSession {
    pub opened: Monotonic,
    /// Everything of it that was delivered ought to be recorded.
    pub strict: bool,
    pub frames: Vec<SentFrame>,
}

/// Where a session's log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRef {
    pub stream: StreamKey,
    pub index: usize,
}

/// A span in which a stream cannot be blamed for losing frames.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    pub from: Monotonic,
    pub to: Monotonic,
}

/// An end of the recorder.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    pub at: Monotonic,
    /// It was told to end; otherwise it ended without notice.
    pub in_good_order: bool,
}

/// One stream's log.
#[derive(Clone, Debug, Default)]
pub struct StreamLog {
    /// Its pictures by how often the camera had been switched on.
    pub sources: BTreeMap<u32, Synthetic>,
    /// When it was, and by how many parts in a million its clock runs too fast, by the same.
    pub switched_on: BTreeMap<u32, (Monotonic, i64)>,
    pub sessions: Vec<SentSession>,
    pub troubles: Vec<Trouble>,
    /// Packets were lost on the way, so that a frame may lack NAL units at its beginning that
    /// nobody can miss.
    pub loses_packets: bool,
}

/// All streams' logs, and the ends of the recorder.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    pub streams: BTreeMap<StreamKey, StreamLog>,
    /// When the recorder was told to end, or ended without being told.
    pub stops: Vec<Stop>,
}

impl Witness {
    /// Opens a session's log.
    pub fn open(&mut self, stream: StreamKey, at: Monotonic, strict: bool) -> SessionRef {
        let log = self.streams.entry(stream).or_default();
        log.loses_packets |= !strict;
        log.sessions.push(SentSession {
            opened: at,
            strict,
            frames: Vec::new(),
        });
        SessionRef {
            stream,
            index: log.sessions.len() - 1,
        }
    }

    fn session(&mut self, at: SessionRef) -> Option<&mut SentSession> {
        self.streams.get_mut(&at.stream)?.sessions.get_mut(at.index)
    }

    /// The beginning of a frame was handed to the recorder: the one before it is complete.
    pub fn begun(&mut self, session: SessionRef, id: FrameId, now: Monotonic) {
        let Some(session) = self.session(session) else {
            return;
        };
        if let Some(last) = session.frames.last_mut() {
            if last.id == id {
                return;
            }
            last.delivered = Some(now);
        }
        session.frames.push(SentFrame {
            id,
            delivered: None,
        });
    }

    /// The recorder was told to end, or ended without notice.
    pub fn stopped(&mut self, at: Monotonic, in_good_order: bool) {
        self.stops.push(Stop { at, in_good_order });
    }

    /// How the recorder's life of `at` ended.
    pub fn stop_after(&self, at: Monotonic) -> Option<Stop> {
        self.stops.iter().copied().find(|stop| stop.at >= at)
    }

    /// The recorder ended without notice from `from` on and before `to`, perhaps in the midst of ending
    /// in good order.
    pub fn crashed_within(&self, from: Monotonic, to: Monotonic) -> bool {
        let within = |s: &&Stop| s.at >= from && s.at < to;
        let mut stops = self.stops.iter().filter(within);
        stops.any(|s| !s.in_good_order)
    }

    /// Something stands in the way of a stream for `time`.
    pub fn trouble(&mut self, stream: StreamKey, from: Monotonic, time: Duration) {
        let trouble = Trouble {
            from,
            to: from + time,
        };
        self.streams
            .entry(stream)
            .or_default()
            .troubles
            .push(trouble);
    }
}

impl StreamLog {
    /// Something stood in the way at some time between `from` and `to`.
    pub fn troubled(&self, from: Monotonic, to: Monotonic) -> bool {
        self.troubles.iter().any(|t| t.from <= to && from <= t.to)
    }

    /// Whether a frame is a sync sample.
    pub fn is_sync(&self, id: FrameId) -> bool {
        let source = self.sources.get(&id.power_on);
        source.is_some_and(|s| s.is_sync(id.number))
    }

    /// When the camera took a frame.
    pub fn taken_at(&self, id: FrameId) -> Option<Monotonic> {
        let since_90k = self.sources.get(&id.power_on)?.timestamp_90k(id.number);
        let (switched_on, ppm) = *self.switched_on.get(&id.power_on)?;
        let micros = since_90k * 100 / 9;
        let micros = micros - micros * ppm / (1_000_000 + ppm);
        Some(switched_on + Duration::from_micros(micros.unsigned_abs()))
    }

    /// The bytes that a frame's sample ought to have.
    pub fn sample(&self, id: FrameId) -> Option<Vec<u8>> {
        Some(self.sources.get(&id.power_on)?.frame(id.number).to_avc())
    }

    /// The frame soon after `last` whose slice bytes end with: what came before it in the frame may
    /// be lost, and what is left of a frame before it may stand there.
    pub fn identify_part(&self, sample: &[u8], last: FrameId) -> Option<FrameId> {
        let coming = (1..=MOST_LOST_FRAMES).map(|n| FrameId {
            number: last.number + n,
            ..last
        });
        let mut coming = coming.filter(|id| {
            let source = self.sources.get(&id.power_on);
            let frame = source.map(|s| s.frame(id.number));
            let slice = frame.as_ref().and_then(|f| f.nals.last());
            slice.is_some_and(|slice| sample.ends_with(slice))
        });
        coming.next()
    }

    /// What is to be said of bytes that are no frame's.
    pub fn describe(&self, sample: &[u8]) -> String {
        let bytes = sample.len();
        let Some(number) = synthetic::number_of(sample) else {
            return format!("{bytes} bytes without a number");
        };
        let of = |power_on: &u32| {
            let id = FrameId {
                power_on: *power_on,
                number,
            };
            let frame = self.sample(id).unwrap_or_default();
            let same = frame.iter().zip(sample).take_while(|(a, b)| a == b).count();
            format!("the first {same} bytes of {} of {power_on}", frame.len())
        };
        let told: Vec<String> = self.sources.keys().map(of).collect();
        format!("{bytes} bytes with number {number}: {}", told.join(", "))
    }

    /// The frame that a sample's bytes are of, if they are those of one.
    pub fn identify(&self, sample: &[u8]) -> Option<FrameId> {
        let number = synthetic::number_of(sample)?;
        let of = |power_on: &u32| FrameId {
            power_on: *power_on,
            number,
        };
        self.sources
            .keys()
            .map(of)
            .find(|id| self.sample(*id).as_deref() == Some(sample))
    }
}
