//! When it is told that a camera goes and comes back: one line each, unless it does so all the time.
//!
//! The rule, which bounds the log: after a camera came back, it is told only that it comes and goes, once,
//! if it does not stay for [`STEADY`]; then nothing until it has stayed for that long, but a reminder
//! each [`TOLD_AGAIN`].

use crate::time::Monotonic;
use std::time::Duration;

/// A camera that was recorded for so long without a break is not one that comes and goes.
pub const STEADY: Duration = Duration::from_secs(60);

/// That a camera still comes and goes is told this often.
pub const TOLD_AGAIN: Duration = Duration::from_secs(3_600);

/// What is to be told of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It is gone; its return will be told.
    Gone,
    /// It is gone again, soon after it came back.
    ComesAndGoes,
    /// It has gone so often within so long, and went again.
    StillComesAndGoes { losses: u32, within: Duration },
}

/// A camera that came and went has stayed: how often it had gone, within how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steady {
    pub losses: u32,
    pub within: Duration,
}

/// What was told of a camera last.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Here,
    Gone,
    Back {
        at: Monotonic,
    },
    ComesAndGoes {
        since: Monotonic,
        told: Monotonic,
        losses: u32,
        /// It is being recorded since then.
        here: Option<Monotonic>,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub struct Absence(State);

impl Absence {
    /// It is gone, or still is: another attempt has failed.
    pub fn lost(&mut self, now: Monotonic) -> Option<Loss> {
        match &mut self.0 {
            State::Gone => None,
            State::Back { at } if now.since(*at) < STEADY => {
                self.0 = State::ComesAndGoes {
                    since: *at,
                    told: now,
                    losses: 1,
                    here: None,
                };
                Some(Loss::ComesAndGoes)
            }
            State::Here | State::Back { .. } => {
                self.0 = State::Gone;
                Some(Loss::Gone)
            }
            State::ComesAndGoes {
                since,
                told,
                losses,
                here,
            } => {
                here.take()?;
                *losses = losses.saturating_add(1);
                if now.since(*told) < TOLD_AGAIN {
                    return None;
                }
                *told = now;
                Some(Loss::StillComesAndGoes {
                    losses: *losses,
                    within: now.since(*since),
                })
            }
        }
    }

    /// It is being recorded. Tells when one that came and went has stayed.
    pub fn recording(&mut self, now: Monotonic) -> Option<Steady> {
        match &mut self.0 {
            State::Here => None,
            State::Gone => {
                self.0 = State::Back { at: now };
                None
            }
            State::Back { at } => {
                if now.since(*at) >= STEADY {
                    self.0 = State::Here;
                }
                None
            }
            State::ComesAndGoes {
                since,
                losses,
                here,
                ..
            } => {
                let here = *here.get_or_insert(now);
                if now.since(here) < STEADY {
                    return None;
                }
                let steady = Steady {
                    losses: *losses,
                    within: here.since(*since),
                };
                self.0 = State::Here;
                Some(steady)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Monotonic {
        Monotonic(secs * 1_000_000_000)
    }

    #[test]
    fn one_that_goes_and_comes_back_is_told_each_time() {
        let mut a = Absence::default();
        for hour in 1..5 {
            let t = hour * 3_600;
            assert_eq!(a.lost(at(t)), Some(Loss::Gone));
            assert_eq!(a.lost(at(t + 1)), None);
            assert_eq!(a.recording(at(t + 10)), None);
            assert_eq!(a.recording(at(t + 80)), None);
        }
    }

    #[test]
    fn one_that_comes_and_goes_is_told_now_and_then() {
        let mut a = Absence::default();
        let mut told = Vec::new();
        // A frame each two seconds, for three hours.
        for n in 0..5_400 {
            told.extend(a.lost(at(2 * n)));
            assert_eq!(a.recording(at(2 * n + 1)), None);
        }
        assert_eq!(told[..2], [Loss::Gone, Loss::ComesAndGoes]);
        let again = Loss::StillComesAndGoes {
            losses: 1_801,
            within: Duration::from_secs(3_601),
        };
        assert_eq!(told[2], again);
        assert_eq!(told.len(), 4);
        // Attempts that fail count for nothing.
        assert_eq!(a.lost(at(10_801)), None);
        assert_eq!(a.lost(at(10_900)), None);
        assert_eq!(a.recording(at(11_000)), None);
        assert_eq!(a.recording(at(11_059)), None);
        let steady = Steady {
            losses: 5_400,
            within: Duration::from_secs(10_999),
        };
        assert_eq!(a.recording(at(11_060)), Some(steady));
        assert_eq!(a.lost(at(11_061)), Some(Loss::Gone));
    }
}
