//! Which of the two slots the card boots: two small records beside the partitions, of which the newer valid
//! one is in force. The other one is overwritten next, so that a power cut at any byte of a write leaves the
//! one that was in force.
//!
//! A record is 512 bytes of ASCII, NUL behind it: `moonfire-slots 1 serial=N good=a try=b left=3 sum=HEX\n`.
//! The initrd reads and writes them as well, in a shell.

use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Where the records are on the card, in bytes: sectors 16 and 24, before the first partition and apart
/// enough that no card erases both to write one.
pub const RECORD_OFFSETS: [u64; 2] = [16 * 512, 24 * 512];

/// A record's length.
pub const RECORD_BYTES: usize = 512;

/// How often a new version is booted before it is given up.
pub const TRIES: u8 = 3;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    A,
    B,
}

impl Slot {
    pub fn as_str(self) -> &'static str {
        match self {
            Slot::A => "a",
            Slot::B => "b",
        }
    }

    pub fn parse(text: &str) -> Option<Slot> {
        match text {
            "a" => Some(Slot::A),
            "b" => Some(Slot::B),
            _ => None,
        }
    }

    pub fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }

    /// The line by which the firmware finds it. Both are of one length, so that it is rewritten in place.
    pub fn firmware_line(self) -> String {
        format!("os_prefix=slot_{}/\n", self.as_str())
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is to be booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Of two valid records the one with the higher number is in force.
    pub serial: u64,
    /// What is known to work.
    pub good: Slot,
    /// What is on trial, and how often it is still booted.
    pub trial: Option<(Slot, u8)>,
}

impl State {
    /// As a card leaves the factory.
    pub const FIRST: State = State {
        serial: 1,
        good: Slot::A,
        trial: None,
    };

    /// The other slot is to be tried.
    pub fn try_other(self) -> State {
        State {
            serial: self.serial + 1,
            good: self.good,
            trial: Some((self.good.other(), TRIES)),
        }
    }

    /// What is on trial is good; `None` if nothing is.
    pub fn mark_good(self) -> Option<State> {
        let (slot, _) = self.trial?;
        Some(State {
            serial: self.serial + 1,
            good: slot,
            trial: None,
        })
    }

    /// The trial is given up.
    pub fn give_up(self) -> State {
        State {
            serial: self.serial + 1,
            good: self.good,
            trial: None,
        }
    }

    /// The record's bytes.
    pub fn encode(self) -> [u8; RECORD_BYTES] {
        let (tried, left) = match self.trial {
            Some((slot, left)) => (slot.as_str(), left),
            None => ("-", 0),
        };
        let text = format!(
            "moonfire-slots 1 serial={} good={} try={tried} left={left}",
            self.serial, self.good
        );
        let text = format!("{text} sum={}\n", sum(&text));
        let mut bytes = [0; RECORD_BYTES];
        // Numbers and letters: it is a fifth of that at most.
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        bytes
    }

    /// `None` if they are no whole record.
    pub fn decode(bytes: &[u8]) -> Option<State> {
        let end = bytes.iter().position(|b| *b == b'\n')?;
        let text = std::str::from_utf8(&bytes[..end]).ok()?;
        let (text, told) = text.rsplit_once(" sum=")?;
        if sum(text) != told {
            return None;
        }
        let mut words = text.strip_prefix("moonfire-slots 1 ")?.split(' ');
        let mut value = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix('=');
        let serial = value("serial")?
            .parse()
            .ok()
            .filter(|n| *n < u64::MAX / 2)?;
        let good = Slot::parse(value("good")?)?;
        let tried = value("try")?;
        let left = value("left")?.parse().ok()?;
        let trial = match tried {
            "-" => None,
            slot => Some((Slot::parse(slot)?, left)),
        };
        words.next().is_none().then_some(State {
            serial,
            good,
            trial,
        })
    }
}

/// The first 16 hexadecimal digits of SHA-256.
fn sum(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest[..8].iter().map(|b| format!("{b:02x}")).collect()
}

/// The records on a card, or in a file of a test.
pub struct Records<'f>(pub &'f File);

impl Records<'_> {
    /// What is in force; `None` if there is no valid record.
    pub fn read(&self) -> io::Result<Option<State>> {
        let states = self.both()?;
        Ok(states.into_iter().flatten().max_by_key(|s| s.serial))
    }

    /// Writes a new state over the record that is not in force, and reads it back.
    pub fn write(&self, state: State) -> io::Result<()> {
        let at = RECORD_OFFSETS[self.spare()?];
        let bytes = state.encode();
        self.0.write_all_at(&bytes, at)?;
        self.0.sync_all()?;
        let mut back = [0; RECORD_BYTES];
        self.0.read_exact_at(&mut back, at)?;
        match back == bytes {
            true => Ok(()),
            false => Err(io::Error::other(
                "the card does not hold what is written to it",
            )),
        }
    }

    /// The one to be overwritten.
    fn spare(&self) -> io::Result<usize> {
        let [first, second] = self.both()?;
        Ok(match (first, second) {
            (Some(first), Some(second)) if first.serial > second.serial => 1,
            (Some(_), None) => 1,
            _ => 0,
        })
    }

    fn both(&self) -> io::Result<[Option<State>; 2]> {
        let mut states = [None; 2];
        for (state, at) in states.iter_mut().zip(RECORD_OFFSETS) {
            let mut bytes = [0; RECORD_BYTES];
            match self.0.read_exact_at(&mut bytes, at) {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {}
                other => {
                    other?;
                    *state = State::decode(&bytes);
                }
            }
        }
        Ok(states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(states: &[State]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        for state in states {
            Records(&file).write(*state).unwrap();
        }
        file
    }

    #[test]
    fn a_record_is_what_a_shell_reads() {
        let state = State::FIRST.try_other();
        let text = String::from_utf8(state.encode().to_vec()).unwrap();
        let text = text.trim_end_matches('\0');
        let words = "moonfire-slots 1 serial=2 good=a try=b left=3";
        assert_eq!(text, format!("{words} sum=c470070725085236\n"));
        assert_eq!(State::decode(text.as_bytes()), Some(state));
        assert_eq!(state.mark_good().unwrap().good, Slot::B);
        assert_eq!(state.give_up().trial, None);
        assert_eq!(State::FIRST.mark_good(), None);
    }

    #[test]
    fn a_power_cut_at_any_byte_of_a_write_leaves_the_old_or_the_new() {
        let before = [State::FIRST, State::FIRST.try_other()];
        for count in 0..=2 {
            let file = card(&before[..count]);
            let old = Records(&file).read().unwrap();
            let new = State {
                serial: old.map_or(1, |s| s.serial + 1),
                good: Slot::B,
                trial: None,
            };
            let bytes = new.encode();
            let at = RECORD_OFFSETS[Records(&file).spare().unwrap()];
            let mut there = [0; RECORD_BYTES];
            file.read_exact_at(&mut there, at).unwrap();
            for cut in 0..=RECORD_BYTES {
                // So much of it came; the rest is of before, or noise.
                for noise in [None, Some(0xff), Some(0)] {
                    let mut torn = noise.map_or(there, |b| [b; RECORD_BYTES]);
                    torn[..cut].copy_from_slice(&bytes[..cut]);
                    file.write_all_at(&torn, at).unwrap();
                    let found = Records(&file).read().unwrap();
                    assert!(
                        found == old || found == Some(new),
                        "{count} {cut} {found:?}"
                    );
                    // The next write is to the torn one again, or to the older one.
                    let spare = RECORD_OFFSETS[Records(&file).spare().unwrap()];
                    assert!(
                        found != old || spare == at || old.is_none(),
                        "{count} {cut}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        let good = State::FIRST.encode();
        for i in 0..good.iter().position(|b| *b == b'\n').unwrap() {
            let mut bad = good;
            bad[i] ^= 1;
            assert_eq!(State::decode(&bad), None, "{i}");
        }
        let sealed = |text: &str| format!("{text} sum={}\n", sum(text));
        for text in [
            "moonfire-slots 2 serial=1 good=a try=- left=0",
            "moonfire-slots 1 serial=-1 good=a try=- left=0",
            "moonfire-slots 1 serial=18446744073709551615 good=a try=- left=0",
            "moonfire-slots 1 serial=1 good=c try=- left=0",
            "moonfire-slots 1 serial=1 good=a try=b left=300",
            "moonfire-slots 1 serial=1 good=a try=- left=0 more=1",
            "moonfire-slots 1 serial=1",
        ] {
            assert_eq!(State::decode(sealed(text).as_bytes()), None, "{text}");
        }
        assert_eq!(State::decode(b""), None);
        let empty = tempfile::tempfile().unwrap();
        assert_eq!(Records(&empty).read().unwrap(), None);
    }
}
