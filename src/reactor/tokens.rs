//! What a readiness event is about: typed tokens, and a table whose entries are never mistaken for
//! those that had their place before.
//!
//! `mio` hands back one `usize`, 32 bits on the smallest board: 4 bits say what kind of thing it is,
//! 16 bits its place in a table, 12 bits how often that place was used before. A readiness event
//! that was already collected for a closed socket so misses the socket that took its place.

use mio::Token;

const INDEX_BITS: u32 = 16;
const GENERATION_BITS: u32 = 12;
const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

/// An entry of a [`Slots`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotKey {
    index: u16,
    generation: u16,
}

/// Whom a readiness event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A thread has put something into one of the reply queues.
    Waker,
    /// The completion queue of `io_uring` has entries.
    Uring,
    Signals,
    /// The connection to the log's server.
    Log,
    Listener(SlotKey),
    Socket(SlotKey),
}

impl Target {
    pub(super) fn token(self) -> Token {
        let (kind, key) = match self {
            Target::Waker => (0, SlotKey::NONE),
            Target::Uring => (1, SlotKey::NONE),
            Target::Signals => (2, SlotKey::NONE),
            Target::Log => (3, SlotKey::NONE),
            Target::Listener(key) => (4, key),
            Target::Socket(key) => (5, key),
        };
        let bits = kind << (INDEX_BITS + GENERATION_BITS)
            | u32::from(key.generation) << INDEX_BITS
            | u32::from(key.index);
        Token(bits as usize)
    }

    /// The reverse of [`Self::token`]; `None` for a number that it never gives.
    pub(super) fn from_token(token: Token) -> Option<Target> {
        let bits = u32::try_from(token.0).ok()?;
        let key = SlotKey {
            index: (bits & INDEX_MASK) as u16,
            generation: (bits >> INDEX_BITS & GENERATION_MASK) as u16,
        };
        match bits >> (INDEX_BITS + GENERATION_BITS) {
            0 => Some(Target::Waker),
            1 => Some(Target::Uring),
            2 => Some(Target::Signals),
            3 => Some(Target::Log),
            4 => Some(Target::Listener(key)),
            5 => Some(Target::Socket(key)),
            _ => None,
        }
    }
}

impl SlotKey {
    const NONE: SlotKey = SlotKey {
        index: 0,
        generation: 0,
    };
}

/// A table with keys that outlive their entries without harm.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<(u16, Option<T>)>,
    free: Vec<u16>,
    len: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots {
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }
}

impl<T> Slots<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The key that the next [`Self::insert`] will use; `None` if the table is full.
    pub(super) fn next_key(&self) -> Option<SlotKey> {
        match self.free.last() {
            Some(&index) => Some(SlotKey {
                index,
                generation: self.slots[usize::from(index)].0,
            }),
            None => Some(SlotKey {
                index: u16::try_from(self.slots.len()).ok()?,
                generation: 0,
            }),
        }
    }

    /// Puts in `value`; gives it back if all of the 65,536 places are taken.
    pub(super) fn insert(&mut self, value: T) -> Result<SlotKey, T> {
        let Some(key) = self.next_key() else {
            return Err(value);
        };
        if self.free.pop().is_some() {
            self.slots[usize::from(key.index)].1 = Some(value);
        } else {
            self.slots.push((key.generation, Some(value)));
        }
        self.len += 1;
        Ok(key)
    }

    pub(super) fn get(&self, key: SlotKey) -> Option<&T> {
        let (generation, value) = self.slots.get(usize::from(key.index))?;
        value.as_ref().filter(|_| *generation == key.generation)
    }

    pub(super) fn get_mut(&mut self, key: SlotKey) -> Option<&mut T> {
        let (generation, value) = self.slots.get_mut(usize::from(key.index))?;
        value.as_mut().filter(|_| *generation == key.generation)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots
            .iter_mut()
            .filter_map(|(_, value)| value.as_mut())
    }

    pub(super) fn remove(&mut self, key: SlotKey) -> Option<T> {
        self.get(key)?;
        let (generation, value) = &mut self.slots[usize::from(key.index)];
        *generation = (*generation + 1) & GENERATION_MASK as u16;
        self.free.push(key.index);
        self.len -= 1;
        value.take()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SlotKey, &T)> {
        (0u16..).zip(&self.slots).filter_map(|(index, (g, v))| {
            let generation = *g;
            Some((SlotKey { index, generation }, v.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_there_and_back() {
        let key = SlotKey {
            index: 0xabcd,
            generation: 0xfff,
        };
        for target in [
            Target::Waker,
            Target::Uring,
            Target::Signals,
            Target::Log,
            Target::Listener(SlotKey::NONE),
            Target::Listener(key),
            Target::Socket(key),
        ] {
            assert_eq!(Target::from_token(target.token()), Some(target));
        }
        assert_eq!(Target::from_token(Token(0xf000_0000)), None);
    }

    #[test]
    fn a_key_does_not_reach_its_successor() {
        let mut slots = Slots::default();
        let a = slots.insert("a").unwrap();
        assert_eq!(slots.remove(a), Some("a"));
        assert_eq!(slots.next_key().unwrap().index, a.index);
        let b = slots.insert("b").unwrap();
        assert_eq!(a.index, b.index);
        assert_eq!(slots.get(a), None);
        assert_eq!(slots.remove(a), None);
        assert_eq!(slots.get(b), Some(&"b"));
        assert_eq!((slots.len(), slots.iter().count()), (1, 1));
    }

    #[test]
    fn a_full_table_gives_back() {
        let mut slots = Slots::default();
        for i in 0..=INDEX_MASK {
            assert!(slots.insert(i).is_ok());
        }
        assert_eq!(slots.insert(7), Err(7));
        assert!(slots.next_key().is_none());
    }
}
