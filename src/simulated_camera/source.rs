//! Where a simulated camera's access units come from, and when each is due.

use super::synthetic::Synthetic;
use super::{AccessUnit, ParameterSets};
use std::sync::Arc;
use std::time::Duration;

/// A camera's encoder.
#[derive(Clone, Debug)]
pub enum Source {
    /// Made on demand from a seed.
    Synthetic(Synthetic),
    /// A clip, looped without end.
    Clip(Arc<Clip>),
    /// Handed in as it is made: [`super::ServerSession::push`].
    Live(Arc<ParameterSets>),
}

/// One access unit of a [`Clip`].
#[derive(Clone, Debug)]
pub struct ClipUnit {
    /// Decoding time from the clip's start, in 1/90,000 s; never decreasing.
    pub decode_90k: i64,
    /// Presentation time from the clip's start, in 1/90,000 s.
    pub present_90k: i64,
    pub sync: bool,
    /// NAL units without start codes and without parameter sets.
    pub nals: Vec<Vec<u8>>,
}

/// A recorded span of video; starts with a sync sample.
#[derive(Clone, Debug)]
pub struct Clip {
    units: Vec<ClipUnit>,
    duration_90k: i64,
    parameters: Arc<ParameterSets>,
}

/// Why access units make no [`Clip`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClipError {
    #[error("there is no frame in it")]
    Empty,
    #[error("it does not start with a sync sample")]
    NoSync,
    #[error("the times of frame {0} make no sense")]
    Time(usize),
}

impl Clip {
    /// `duration_90k` is what one turn of the loop takes; longer than the last unit's decoding time.
    pub fn new(
        units: Vec<ClipUnit>,
        duration_90k: i64,
        parameters: ParameterSets,
    ) -> Result<Clip, ClipError> {
        let first = units.first().ok_or(ClipError::Empty)?;
        if !first.sync {
            return Err(ClipError::NoSync);
        }
        let mut before = 0;
        for (i, u) in units.iter().enumerate() {
            if u.decode_90k < before || u.decode_90k >= duration_90k {
                return Err(ClipError::Time(i));
            }
            before = u.decode_90k;
        }
        Ok(Clip {
            units,
            duration_90k,
            parameters: Arc::new(parameters),
        })
    }

    /// How many access units one turn has.
    pub fn len(&self) -> usize {
        self.units.len()
    }

    /// Never: a clip has at least one.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// Unit and start of the turn that frame `number` is in.
    fn at(&self, number: u64) -> (&ClipUnit, i64) {
        let len = self.units.len() as u64;
        let turn = i64::try_from(number / len).unwrap_or(i64::MAX);
        (
            &self.units[(number % len) as usize],
            turn.saturating_mul(self.duration_90k),
        )
    }
}

impl Source {
    /// The parameter sets in force at `elapsed` since the camera was switched on, for the SDP.
    pub fn parameters(&self, elapsed: Duration) -> Arc<ParameterSets> {
        match self {
            Source::Synthetic(s) => {
                let next = self.first_sync_from(elapsed).unwrap_or(0);
                Arc::new(s.parameters(next))
            }
            Source::Clip(c) => c.parameters.clone(),
            Source::Live(p) => p.clone(),
        }
    }

    /// Halves a synthetic picture at the first sync sample from frame `number` on.
    pub fn change_at(&mut self, number: u64) {
        if let Source::Synthetic(s) = self {
            s.change_at = Some(number);
        }
    }

    /// Frame `number`; `None` where frames are handed in.
    pub fn frame(&self, number: u64) -> Option<AccessUnit> {
        match self {
            Source::Synthetic(s) => Some(s.frame(number)),
            Source::Clip(c) => {
                let (unit, start) = c.at(number);
                Some(AccessUnit {
                    number,
                    timestamp_90k: start.saturating_add(unit.present_90k),
                    sync: unit.sync,
                    parameters: c.parameters.clone(),
                    nals: unit.nals.clone(),
                })
            }
            Source::Live(_) => None,
        }
    }

    /// When frame `number` leaves the encoder, by the camera's clock since it was switched on;
    /// `None` where frames are handed in.
    pub fn due(&self, number: u64) -> Option<Duration> {
        let ticks = match self {
            Source::Synthetic(s) => s.timestamp_90k(number),
            Source::Clip(c) => {
                let (unit, start) = c.at(number);
                start.saturating_add(unit.decode_90k)
            }
            Source::Live(_) => return None,
        };
        let ticks = u64::try_from(ticks).unwrap_or(0);
        // Rounded up: no frame is due before its time.
        Some(
            Duration::from_secs(ticks / 90_000)
                + Duration::from_nanos((ticks % 90_000 * 1_000_000_000).div_ceil(90_000)),
        )
    }

    /// The number of the first sync sample that is due at `elapsed` or later; `None` where frames
    /// are handed in.
    pub fn first_sync_from(&self, elapsed: Duration) -> Option<u64> {
        let ticks = elapsed.as_nanos() * 90_000 / 1_000_000_000;
        let mut number = match self {
            Source::Synthetic(s) => {
                u64::try_from(ticks * u128::from(s.frame_rate.max(1)) / 90_000).unwrap_or(u64::MAX)
            }
            Source::Clip(c) => {
                let turn = ticks / c.duration_90k as u128;
                u64::try_from(turn)
                    .unwrap_or(u64::MAX)
                    .saturating_mul(c.units.len() as u64)
            }
            Source::Live(_) => return None,
        };
        match self {
            Source::Synthetic(s) => {
                while s.next_sync(number) != number || self.due(number)? < elapsed {
                    number = s.next_sync(number + 1);
                }
            }
            // At most two turns: the first unit of a turn is a sync sample.
            Source::Clip(c) => {
                while !c.at(number).0.sync || self.due(number)? < elapsed {
                    number += 1;
                }
            }
            Source::Live(_) => return None,
        }
        Some(number)
    }
}
