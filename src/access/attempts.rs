//! How often one may try to sign in.
//!
//! Each attempt costs the board most of a second of hashing, and each that is allowed is a guess. So
//! failures make the next attempt wait: by address and by user name, each counted in a bounded table.

use crate::time::Monotonic;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Failures from one address that cost nothing: people mistype.
const FREE_PER_ADDRESS: u32 = 5;

/// The longest that an address is made to wait.
const LONGEST_PER_ADDRESS: Duration = Duration::from_secs(15 * 60);

/// Failures for one name, from wherever, that cost nothing.
const FREE_PER_NAME: u32 = 10;

/// The longest that a name is made to wait. Short: who goes on trying a name keeps its owner from
/// signing in meanwhile.
const LONGEST_PER_NAME: Duration = Duration::from_secs(30);

/// The first wait; each further failure doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// One failure is forgotten after each such time without another.
const FORGIVEN_AFTER: Duration = Duration::from_secs(15 * 60);

/// The most addresses, and names, that are counted. At the limit the one with the fewest failures
/// goes, of those the one longest ago: who is being tried hardest stays.
const MAX_COUNTED: usize = 1024;

/// The most attempts that are under way at once; all hash one after another. Further ones wait.
const MAX_UNDER_WAY: u32 = 4;

/// The longest name that is counted; no user has a longer one.
const MAX_NAME_BYTES: usize = 4 * super::MAX_NAME_CHARS;

/// Too many attempts: `429` with `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    pub retry_after: Duration,
}

/// An attempt under way; give it back with [`LoginAttempts::end`].
#[derive(Debug)]
#[must_use = "an attempt that is not ended counts as under way for ever"]
pub struct Attempt {
    name: String,
    address: Option<IpAddr>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The password was right: earlier failures of that name are forgotten.
    Right,
    Wrong,
    /// Nobody can say, by our own fault: it is not counted.
    Unknown,
}

/// Failures by address and by name. The core owns it; a restart forgets it.
#[derive(Debug, Default)]
pub struct LoginAttempts {
    addresses: Table<IpAddr>,
    names: Table<String>,
    under_way: u32,
}

impl LoginAttempts {
    /// An attempt begins, if it may. It counts as a failure until it ends otherwise, so that many at
    /// once are not more guesses than one after another. `address` is `None` for a UNIX socket.
    pub fn begin(
        &mut self,
        now: Monotonic,
        name: &str,
        address: Option<IpAddr>,
    ) -> Result<Attempt, TooMany> {
        if self.under_way >= MAX_UNDER_WAY {
            let retry_after = FIRST_WAIT;
            return Err(TooMany { retry_after });
        }
        let attempt = Attempt {
            name: counted_name(name),
            address: address.map(network),
        };
        let wait = attempt
            .address
            .and_then(|a| self.addresses.wait(now, &a, &PER_ADDRESS))
            .max(self.names.wait(now, &attempt.name, &PER_NAME));
        if let Some(retry_after) = wait {
            return Err(TooMany { retry_after });
        }
        if let Some(address) = attempt.address {
            self.addresses.fail(now, address);
        }
        self.names.fail(now, attempt.name.clone());
        self.under_way += 1;
        Ok(attempt)
    }

    /// An attempt has ended.
    pub fn end(&mut self, attempt: Attempt, outcome: Outcome) {
        self.under_way = self.under_way.saturating_sub(1);
        match outcome {
            Outcome::Wrong => {}
            Outcome::Right => {
                self.names.counts.remove(&attempt.name);
            }
            Outcome::Unknown => self.names.take_back(&attempt.name),
        }
        // Of an address nothing more is forgotten: else who has a password of its own could clear
        // the way for guessing others' by signing in now and then.
        if let (Some(address), Outcome::Right | Outcome::Unknown) = (attempt.address, outcome) {
            self.addresses.take_back(&address);
        }
    }
}

/// How a kind of key is treated.
struct Policy {
    free: u32,
    longest: Duration,
}

const PER_ADDRESS: Policy = Policy {
    free: FREE_PER_ADDRESS,
    longest: LONGEST_PER_ADDRESS,
};

const PER_NAME: Policy = Policy {
    free: FREE_PER_NAME,
    longest: LONGEST_PER_NAME,
};

#[derive(Debug)]
struct Table<K> {
    counts: BTreeMap<K, Count>,
}

impl<K> Default for Table<K> {
    fn default() -> Table<K> {
        Table {
            counts: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Count {
    failures: u32,
    last: Monotonic,
}

impl Count {
    /// Failures that are not forgiven by now.
    fn failures_at(&self, now: Monotonic) -> u32 {
        let forgiven = now.since(self.last).as_secs() / FORGIVEN_AFTER.as_secs();
        self.failures
            .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }
}

impl<K: Ord + Clone> Table<K> {
    /// How long this key has still to wait, if at all.
    fn wait(&self, now: Monotonic, key: &K, policy: &Policy) -> Option<Duration> {
        let count = self.counts.get(key)?;
        let costly = count.failures_at(now).checked_sub(policy.free)?;
        let doubled = FIRST_WAIT.saturating_mul(1u32.checked_shl(costly).unwrap_or(u32::MAX));
        let wait = doubled.min(policy.longest);
        let left = wait.saturating_sub(now.since(count.last));
        (!left.is_zero()).then_some(left)
    }

    fn fail(&mut self, now: Monotonic, key: K) {
        if let Some(count) = self.counts.get_mut(&key) {
            count.failures = count.failures_at(now).saturating_add(1);
            count.last = now;
            return;
        }
        if self.counts.len() >= MAX_COUNTED {
            self.make_room(now);
        }
        let first = Count {
            failures: 1,
            last: now,
        };
        self.counts.insert(key, first);
    }

    /// The attempt that was counted last did not count.
    fn take_back(&mut self, key: &K) {
        if let Some(count) = self.counts.get_mut(key) {
            count.failures = count.failures.saturating_sub(1);
            if count.failures == 0 {
                self.counts.remove(key);
            }
        }
    }

    fn make_room(&mut self, now: Monotonic) {
        self.counts.retain(|_, c| c.failures_at(now) > 0);
        if self.counts.len() >= MAX_COUNTED {
            let least = self
                .counts
                .iter()
                .min_by_key(|(_, c)| (c.failures_at(now), c.last));
            if let Some(key) = least.map(|(key, _)| key.clone()) {
                self.counts.remove(&key);
            }
        }
    }
}

/// A name as it is counted: as it is looked up, and not longer than any user's.
fn counted_name(name: &str) -> String {
    let end = name
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= MAX_NAME_BYTES)
        .last()
        .unwrap_or(0);
    name[..end].to_ascii_lowercase()
}

/// Whom an address stands for: of IPv6, a network of 64 bits is one host's to choose addresses from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let prefix = u128::from(v6) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(n.into()))
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::default() + Duration::from_secs(seconds)
    }

    /// Tries and fails; tells how long one must wait instead.
    fn fail(
        attempts: &mut LoginAttempts,
        now: Monotonic,
        name: &str,
        address: Option<IpAddr>,
    ) -> Result<(), Duration> {
        match attempts.begin(now, name, address) {
            Ok(attempt) => {
                attempts.end(attempt, Outcome::Wrong);
                Ok(())
            }
            Err(too_many) => Err(too_many.retry_after),
        }
    }

    /// How many guesses somebody gets who tries as soon as it may, within `seconds`.
    fn guesses(seconds: u64, mut who: impl FnMut(u64) -> (String, Option<IpAddr>)) -> u64 {
        let mut attempts = LoginAttempts::default();
        let mut n = 0;
        for second in 0..seconds {
            // As often a second as anybody may hash.
            for _ in 0..10 {
                let (name, address) = who(n);
                n += u64::from(fail(&mut attempts, at(second), &name, address).is_ok());
            }
        }
        n
    }

    #[test]
    fn an_address_waits_longer_and_longer() {
        let mut attempts = LoginAttempts::default();
        let mut now = 0;
        let mut waits = Vec::new();
        for n in 0..20 {
            // A name of its own each time.
            let name = format!("user{n}");
            if let Err(wait) = fail(&mut attempts, at(now), &name, ip(1)) {
                waits.push(wait.as_secs());
                now += wait.as_secs();
                fail(&mut attempts, at(now), &name, ip(1)).unwrap();
            }
            fail(&mut attempts, at(now), &name, ip(2 + n)).unwrap();
        }
        assert_eq!(waits[..6], [1, 2, 4, 8, 16, 32]);
        assert_eq!(waits.len(), 15);
        assert_eq!(waits[14], 900);
    }

    #[test]
    fn guesses_are_few() {
        let day = 86_400;
        let one_address = guesses(day, |n| (format!("user{n}"), ip(1)));
        assert!((50..200).contains(&one_address), "{one_address}");
        let one_name = guesses(day, |n| ("anna".to_owned(), ip(n as u32)));
        assert!((1000..5000).contains(&one_name), "{one_name}");
    }

    #[test]
    fn people_who_mistype_are_not_held_up() {
        let mut attempts = LoginAttempts::default();
        for _ in 0..FREE_PER_ADDRESS {
            fail(&mut attempts, at(0), "anna", ip(1)).unwrap();
        }
        fail(&mut attempts, at(0), "anna", ip(1)).unwrap_err();
        // A second later it may.
        let attempt = attempts.begin(at(1), "Anna", ip(1)).unwrap();
        attempts.end(attempt, Outcome::Right);
        assert!(attempts.names.counts.is_empty());
        // Time forgives the rest.
        for _ in 0..FREE_PER_ADDRESS {
            fail(&mut attempts, at(1 + 5 * 900), "anna", ip(1)).unwrap();
        }
    }

    #[test]
    fn a_password_of_ones_own_does_not_clear_the_way() {
        let mut attempts = LoginAttempts::default();
        let mut guesses = 0;
        for second in 0..3600 {
            for n in 0..4 {
                let name = format!("user{}", (second * 4 + n) % 100);
                guesses += u32::from(fail(&mut attempts, at(second), &name, ip(1)).is_ok());
            }
            if let Ok(own) = attempts.begin(at(second), "mallory", ip(1)) {
                attempts.end(own, Outcome::Right);
            }
        }
        assert!(guesses < 30, "{guesses} in an hour");
    }

    #[test]
    fn a_name_never_waits_long_whoever_tries_it() {
        let mut attempts = LoginAttempts::default();
        let mut now = 0;
        for n in 0..1000 {
            let address = ip(n);
            if let Err(wait) = fail(&mut attempts, at(now), "anna", address) {
                assert!(wait <= LONGEST_PER_NAME);
                now += wait.as_secs() + 1;
            }
        }
        // Another name is not concerned, and neither is one from a UNIX socket.
        fail(&mut attempts, at(now), "bert", None).unwrap();
    }

    #[test]
    fn attempts_at_once_count_like_those_after_another() {
        let mut attempts = LoginAttempts::default();
        let mut under_way = Vec::new();
        for n in 0..MAX_UNDER_WAY {
            under_way.push(attempts.begin(at(0), "anna", ip(n)).unwrap());
        }
        // The board is busy, for anybody.
        let busy = attempts.begin(at(0), "bert", ip(9)).unwrap_err();
        assert_eq!(busy.retry_after, FIRST_WAIT);
        for attempt in under_way.drain(..) {
            attempts.end(attempt, Outcome::Wrong);
        }
        let _again = attempts.begin(at(0), "bert", ip(9)).unwrap();
        let mut one = LoginAttempts::default();
        let mut begun = 0;
        for _ in 0..3 {
            while let Ok(attempt) = one.begin(at(0), "anna", ip(1)) {
                under_way.push(attempt);
                begun += 1;
            }
            for attempt in under_way.drain(..) {
                one.end(attempt, Outcome::Wrong);
            }
        }
        assert_eq!(begun, FREE_PER_ADDRESS);
    }

    #[test]
    fn what_was_our_own_fault_is_not_counted() {
        let mut attempts = LoginAttempts::default();
        for _ in 0..100 {
            let attempt = attempts.begin(at(0), "anna", ip(1)).unwrap();
            attempts.end(attempt, Outcome::Unknown);
        }
        assert!(attempts.names.counts.is_empty() && attempts.addresses.counts.is_empty());
    }

    #[test]
    fn tables_are_bounded_and_keep_who_is_tried_hardest() {
        let mut attempts = LoginAttempts::default();
        for _ in 0..FREE_PER_ADDRESS {
            fail(&mut attempts, at(0), "anna", ip(7)).unwrap();
        }
        for n in 0..3 * MAX_COUNTED as u32 {
            fail(&mut attempts, at(0), &format!("user{n}"), ip(1000 + n)).unwrap();
        }
        assert_eq!(attempts.addresses.counts.len(), MAX_COUNTED);
        assert_eq!(attempts.names.counts.len(), MAX_COUNTED);
        fail(&mut attempts, at(0), "other", ip(7)).unwrap_err();
        // A day later all is forgiven, and that makes room too.
        fail(&mut attempts, at(86_400), "other", ip(8)).unwrap();
        assert_eq!(attempts.addresses.counts.len(), 1);
    }

    #[test]
    fn addresses_of_one_host_are_one() {
        let v6 = |text: &str| network(text.parse().unwrap());
        assert_eq!(v6("2001:db8::1"), v6("2001:db8::ffff:1:2:3"));
        assert_ne!(v6("2001:db8::1"), v6("2001:db8:0:1::1"));
        assert_eq!(v6("::ffff:192.0.2.1"), v6("192.0.2.1"));
    }

    #[test]
    fn long_names_are_cut() {
        let long = "é".repeat(100_000);
        assert_eq!(counted_name(&long).len(), MAX_NAME_BYTES);
        assert_eq!(counted_name(""), "");
        assert_eq!(counted_name("AnnÄ"), "annÄ");
    }
}
