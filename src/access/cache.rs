//! Those that are signed in and were here lately, so that not each request asks the database.

use super::session::{At, CredentialId, SessionId, SignedIn, TokenId, Use};
use super::{Presented, UserId};
use crate::time::Monotonic;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What was read so long ago is read again: a change that another program made to the database (a
/// password set from the shell) counts after this long at the latest.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The most that are remembered: about 1 KiB each. At the limit, who was here longest ago is
/// forgotten, which costs it a question to the database.
const MAX_REMEMBERED: usize = 256;

/// The most uses that wait to be written. At the limit further ones are dropped: the next use of the
/// same session will be written instead.
const MAX_USES: usize = 256;

/// See the module. The core owns it; it is a copy, and the database is right.
///
/// [`Self::get`]; if there is nothing, ask the database ([`crate::db::SessionRequest::Resume`]) and
/// [`Self::insert`] what it answers. The database answers in order, so what is forgotten when the
/// answer to a change comes is not brought back by an earlier question.
#[derive(Debug, Default)]
pub struct SignedInCache {
    entries: BTreeMap<Presented, Entry>,
    uses: BTreeMap<CredentialId, Use>,
    /// Counted up at each look; tells who was here longest ago.
    looks: u64,
}

#[derive(Debug)]
struct Entry {
    who: Arc<SignedIn>,
    read: Monotonic,
    look: u64,
}

impl SignedInCache {
    /// Who showed this, if that is known and good; notes the use. `None` says nothing: ask the
    /// database.
    pub fn get(&mut self, now: Monotonic, at: At, presented: Presented) -> Option<Arc<SignedIn>> {
        let entry = self.entries.get_mut(&presented)?;
        if now.since(entry.read) >= READ_AGAIN_AFTER || !entry.who.is_good(at) {
            self.entries.remove(&presented);
            return None;
        }
        self.looks += 1;
        entry.look = self.looks;
        note_use(&mut self.uses, &mut entry.who, at);
        Some(entry.who.clone())
    }

    /// Remembers what the database has just told; notes the use.
    pub fn insert(&mut self, now: Monotonic, at: At, who: SignedIn) -> Arc<SignedIn> {
        let presented = who.presented;
        let mut who = Arc::new(who);
        note_use(&mut self.uses, &mut who, at);
        if self.entries.len() >= MAX_REMEMBERED && !self.entries.contains_key(&presented) {
            let oldest = self.entries.iter().min_by_key(|(_, e)| e.look);
            if let Some(key) = oldest.map(|(key, _)| *key) {
                self.entries.remove(&key);
            }
        }
        self.looks += 1;
        let entry = Entry {
            who: who.clone(),
            read: now,
            look: self.looks,
        };
        self.entries.insert(presented, entry);
        who
    }

    /// Another program has written to the database.
    pub fn forget_all(&mut self) {
        self.entries.clear();
    }

    /// A user was changed or removed.
    pub fn forget_user(&mut self, user: UserId) {
        self.entries.retain(|_, e| e.who.user.id != user);
    }

    /// A session was ended.
    pub fn forget_session(&mut self, session: SessionId) {
        self.forget(CredentialId::Session(session));
    }

    /// A token was removed.
    pub fn forget_token(&mut self, token: TokenId) {
        self.forget(CredentialId::Token(token));
    }

    fn forget(&mut self, id: CredentialId) {
        self.entries.retain(|_, e| e.who.id() != id);
        self.uses.remove(&id);
    }

    /// Takes the uses that are to be written with the next commit ([`crate::db::Flush::uses`]). If that
    /// fails, nothing is lost but the hour.
    pub fn take_uses(&mut self) -> Vec<Use> {
        std::mem::take(&mut self.uses).into_values().collect()
    }

    /// Whether [`Self::take_uses`] has something.
    pub fn has_uses(&self) -> bool {
        !self.uses.is_empty()
    }
}

/// Notes a use that is to be written, once.
fn note_use(uses: &mut BTreeMap<CredentialId, Use>, who: &mut Arc<SignedIn>, at: At) {
    let Some(new) = who.use_to_write(at) else {
        return;
    };
    if uses.len() >= MAX_USES && !uses.contains_key(&new.of) {
        return;
    }
    uses.insert(new.of, new);
    Arc::make_mut(who).used(new.at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::tests::{T0, session, signed_in};
    use crate::access::{Credential, CsrfSecret, Session, TokenHash, TokenKind};
    use crate::time::Duration90k;

    fn presented(n: u16) -> Presented {
        let mut hash = [0; 32];
        hash[..2].copy_from_slice(&n.to_be_bytes());
        Presented {
            kind: TokenKind::Session,
            hash: TokenHash(hash),
        }
    }

    fn who(n: u16) -> SignedIn {
        let mut who = signed_in(Credential::Session {
            session: Session {
                id: SessionId(n.into()),
                ..session()
            },
            csrf: CsrfSecret([0; 32]),
        });
        who.presented = presented(n);
        who.user.id = UserId(i64::from(n) % 2);
        who
    }

    fn mono(seconds: u64) -> Monotonic {
        Monotonic::default() + Duration::from_secs(seconds)
    }

    fn at(seconds: i64) -> At {
        At {
            wall: T0 + Duration90k::from_secs(seconds),
            trusted: true,
        }
    }

    const T: At = At {
        wall: T0,
        trusted: true,
    };

    #[test]
    fn it_remembers_for_a_minute() {
        let mut cache = SignedInCache::default();
        assert!(cache.get(mono(0), T, presented(1)).is_none());
        cache.insert(mono(0), T, who(1));
        let found = cache.get(mono(59), T, presented(1)).unwrap();
        assert_eq!(*found, who(1));
        assert!(cache.get(mono(59), T, presented(2)).is_none());
        let elsewhere = Presented {
            kind: TokenKind::Api,
            ..presented(1)
        };
        assert!(cache.get(mono(59), T, elsewhere).is_none());
        // However often it is asked for.
        assert!(cache.get(mono(60), T, presented(1)).is_none());
    }

    #[test]
    fn what_is_over_is_not_given() {
        let mut cache = SignedInCache::default();
        let day = 86_400;
        cache.insert(mono(0), T, who(1));
        assert!(cache.get(mono(1), at(30 * day), presented(1)).is_none());
        let mut disabled = who(2);
        disabled.user.disabled = true;
        cache.insert(mono(0), T, disabled);
        assert!(cache.get(mono(1), T, presented(2)).is_none());
    }

    #[test]
    fn what_was_changed_is_forgotten_and_nothing_else() {
        let mut cache = SignedInCache::default();
        let fill = |cache: &mut SignedInCache| {
            for n in 0..6 {
                cache.insert(mono(0), T, who(n));
            }
        };
        let left = |cache: &mut SignedInCache| -> Vec<u16> {
            (0..6)
                .filter(|n| cache.get(mono(0), T, presented(*n)).is_some())
                .collect()
        };
        fill(&mut cache);
        cache.forget_user(UserId(1));
        assert_eq!(left(&mut cache), [0, 2, 4]);
        fill(&mut cache);
        cache.forget_session(SessionId(3));
        cache.forget_token(TokenId(4));
        assert_eq!(left(&mut cache), [0, 1, 2, 4, 5]);
    }

    #[test]
    fn at_the_limit_the_one_that_was_here_longest_ago_goes() {
        let mut cache = SignedInCache::default();
        let limit = MAX_REMEMBERED as u16;
        for n in 0..limit {
            cache.insert(mono(0), T, who(n));
        }
        // Told again: takes no place.
        cache.insert(mono(0), T, who(5));
        assert!(cache.get(mono(0), T, presented(0)).is_some());
        cache.insert(mono(0), T, who(limit));
        assert_eq!(cache.entries.len(), MAX_REMEMBERED);
        assert!(cache.get(mono(0), T, presented(1)).is_none());
        for n in [0, 2, 5, limit] {
            assert!(cache.get(mono(0), T, presented(n)).is_some(), "{n}");
        }
    }

    #[test]
    fn uses_are_noted_once_an_hour_and_bounded() {
        let mut cache = SignedInCache::default();
        let hour = 3600;
        cache.insert(mono(0), T, who(1));
        assert!(!cache.has_uses(), "it has just been made");
        cache.insert(mono(0), at(hour), who(1));
        cache.get(mono(1), at(hour + 1), presented(1)).unwrap();
        let uses = cache.take_uses();
        assert_eq!(uses.len(), 1);
        assert_eq!(uses[0].of, CredentialId::Session(SessionId(1)));
        assert_eq!(uses[0].at, at(hour).wall);
        cache.get(mono(2), at(2 * hour - 1), presented(1)).unwrap();
        assert!(!cache.has_uses());
        cache.get(mono(3), at(2 * hour), presented(1)).unwrap();
        assert!(cache.has_uses());
        for n in 0..2 * MAX_USES as u16 {
            cache.insert(mono(0), at(9 * hour), who(n));
        }
        assert_eq!(cache.take_uses().len(), MAX_USES);
    }

    #[test]
    fn an_ended_session_leaves_no_use_behind() {
        let mut cache = SignedInCache::default();
        cache.insert(mono(0), at(9 * 3600), who(1));
        cache.forget_session(SessionId(1));
        assert!(!cache.has_uses());
    }
}
