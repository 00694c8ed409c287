//! What is going to happen, in order of time; at one time, in the order in which it was entered.

use crate::time::Monotonic;
use std::collections::BTreeMap;

/// Things to come.
#[derive(Debug)]
pub struct Agenda<T> {
    entries: BTreeMap<(Monotonic, u64), T>,
    entered: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Agenda<T> {
        Agenda {
            entries: BTreeMap::new(),
            entered: 0,
        }
    }
}

impl<T> Agenda<T> {
    /// Enters something for `at`.
    pub fn enter(&mut self, at: Monotonic, what: T) {
        self.entered += 1;
        self.entries.insert((at, self.entered), what);
    }

    /// When the next thing is due.
    pub fn next(&self) -> Option<Monotonic> {
        self.entries.keys().next().map(|(at, _)| *at)
    }

    /// Takes the next thing if it is due by `now`.
    pub fn take_due(&mut self, now: Monotonic) -> Option<T> {
        match self.entries.first_entry() {
            Some(first) if first.key().0 <= now => Some(first.remove()),
            _ => None,
        }
    }

    /// Forgets what `keep` refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.entries.retain(|_, what| keep(what));
    }

    /// Takes everything, in order.
    pub fn take_all(&mut self) -> Vec<T> {
        std::mem::take(&mut self.entries).into_values().collect()
    }

    /// Everything, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.values()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_of_time_then_of_entry() {
        let mut a = Agenda::default();
        a.enter(Monotonic(20), "late");
        a.enter(Monotonic(10), "first");
        a.enter(Monotonic(10), "second");
        assert_eq!(a.next(), Some(Monotonic(10)));
        assert_eq!(a.take_due(Monotonic(9)), None);
        assert_eq!(a.take_due(Monotonic(10)), Some("first"));
        assert_eq!(a.take_due(Monotonic(10)), Some("second"));
        assert_eq!(a.take_due(Monotonic(10)), None);
        assert_eq!(a.take_all(), ["late"]);
    }
}
