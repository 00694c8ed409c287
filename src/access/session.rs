//! Who is signed in, by what, and for how long that is good.

use super::token::{CsrfSecret, Presented};
use super::{Permission, Permissions, User, UserId};
use crate::time::{Duration90k, Wall90k};
use uuid::Uuid;

const DAY: i64 = 86_400;

/// A session that was not used for so long is over: a browser that was given away.
pub const SESSION_IDLE: Duration90k = Duration90k::from_secs(30 * DAY);

/// However much it is used, a session is over after so long: a cookie that was stolen unnoticed is
/// not good for ever. Also the cookie's own lifetime.
pub const SESSION_LONGEST: Duration90k = Duration90k::from_secs(365 * DAY);

/// The last use is known to within this: it is written no more often, as flash wears. Much less than
/// [`SESSION_IDLE`].
pub const USE_WRITTEN_EVERY: Duration90k = Duration90k::from_secs(3600);

/// The recorder's wall time, and whether its clock has been set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    pub wall: Wall90k,
    pub trusted: bool,
}

/// A session's row; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i64);

/// An API token's row; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub i64);

/// A browser that somebody signed in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub user: UserId,
    pub created: Wall90k,
    /// To within [`USE_WRITTEN_EVERY`].
    pub last_use: Wall90k,
    pub expires: Wall90k,
    /// The clock had not been set when it was made: its times mean nothing until its next use.
    pub clock_untrusted: bool,
    /// As the browser names itself, cut to a sensible length.
    pub user_agent: String,
    /// Where it was made from; empty if that has no address (a UNIX socket).
    pub address: String,
    /// When somebody ended it.
    pub revoked: Option<Wall90k>,
}

impl Session {
    /// Whether it is good at this time. While the clock is not set, or was not when the session was
    /// made, nothing can be said of its age: then it is.
    pub fn is_good(&self, at: At) -> bool {
        let age_known = at.trusted && !self.clock_untrusted;
        let over = at.wall >= self.expires || at.wall - self.last_use >= SESSION_IDLE;
        self.revoked.is_none() && !(age_known && over)
    }
}

/// What a program shows instead of a session: made by its user, good until it is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    pub id: TokenId,
    pub user: UserId,
    /// For people: what it is used for.
    pub name: String,
    /// Of its user's permissions it has these at most.
    pub mask: Permissions,
    pub created: Wall90k,
    /// To within [`USE_WRITTEN_EVERY`]; `None` if it was never used.
    pub last_use: Option<Wall90k>,
}

/// By what somebody is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    Session { session: Session, csrf: CsrfSecret },
    Token(ApiToken),
}

/// Which session or token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialId {
    Session(SessionId),
    Token(TokenId),
}

/// A use of a session or token that is to be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    pub of: CredentialId,
    /// The clock was trusted.
    pub at: Wall90k,
}

/// A user that is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    pub user: User,
    pub credential: Credential,
    /// What was shown.
    pub presented: Presented,
}

impl SignedIn {
    pub fn id(&self) -> CredentialId {
        match &self.credential {
            Credential::Session { session, .. } => CredentialId::Session(session.id),
            Credential::Token(token) => CredentialId::Token(token.id),
        }
    }

    /// Whether it is good at this time.
    pub fn is_good(&self, at: At) -> bool {
        !self.user.disabled
            && match &self.credential {
                Credential::Session { session, .. } => session.is_good(at),
                Credential::Token(_) => true,
            }
    }

    /// What it may at most; for which cameras, its user tells.
    pub fn permissions(&self) -> Permissions {
        match &self.credential {
            Credential::Session { .. } => self.user.permissions,
            Credential::Token(token) => self.user.permissions.intersection(token.mask),
        }
    }

    /// Whether it may do this: with `camera`, or with the recorder as a whole if `None`.
    pub fn may(&self, permission: Permission, camera: Option<Uuid>) -> bool {
        self.permissions().has(permission) && self.user.may(permission, camera)
    }

    /// The CSRF token of its pages; tokens have no pages.
    pub fn csrf(&self) -> Option<String> {
        match &self.credential {
            Credential::Session { csrf, .. } => Some(csrf.token(self.presented.hash)),
            Credential::Token(_) => None,
        }
    }

    /// The use at this time, if it is to be written down: the last one is long ago.
    pub(super) fn use_to_write(&self, at: At) -> Option<Use> {
        let stale = match &self.credential {
            Credential::Session { session, .. } => {
                session.clock_untrusted || at.wall - session.last_use >= USE_WRITTEN_EVERY
            }
            Credential::Token(token) => token
                .last_use
                .is_none_or(|last| at.wall - last >= USE_WRITTEN_EVERY),
        };
        (at.trusted && stale).then(|| Use {
            of: self.id(),
            at: at.wall,
        })
    }

    /// Takes note that a use was written, as the database does.
    pub(super) fn used(&mut self, at: Wall90k) {
        match &mut self.credential {
            Credential::Session { session, .. } => session.used(at),
            Credential::Token(token) => token.last_use = Some(at),
        }
    }
}

impl Session {
    /// It is used, and the clock is trusted. One that was made before the clock was set begins now.
    pub fn used(&mut self, at: Wall90k) {
        if self.clock_untrusted {
            self.clock_untrusted = false;
            self.created = at;
            self.expires = at + SESSION_LONGEST;
        }
        self.last_use = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::tests::{T0, api_token, session, signed_in};

    fn at(seconds: i64) -> At {
        At {
            wall: T0 + Duration90k::from_secs(seconds),
            trusted: true,
        }
    }

    const IDLE: i64 = 30 * DAY;
    const LONGEST: i64 = 365 * DAY;

    #[test]
    fn a_session_ends_when_it_is_not_used_and_at_last_in_any_case() {
        let mut s = session();
        assert!(s.is_good(at(0)));
        assert!(s.is_good(at(IDLE - 1)));
        assert!(!s.is_good(at(IDLE)));
        let mut used = 0;
        while used < LONGEST {
            assert!(s.is_good(at(used)), "{used}");
            s.used(at(used).wall);
            used += IDLE - 1;
        }
        assert!(s.is_good(at(LONGEST - 1)));
        assert!(!s.is_good(at(LONGEST)));
    }

    #[test]
    fn a_revoked_session_is_never_good() {
        let revoked = Session {
            revoked: Some(T0),
            ..session()
        };
        for trusted in [true, false] {
            assert!(!revoked.is_good(At { wall: T0, trusted }));
        }
        let untrusted = Session {
            clock_untrusted: true,
            ..revoked
        };
        assert!(!untrusted.is_good(at(1)));
    }

    #[test]
    fn a_clock_that_is_not_set_ends_no_session() {
        let s = session();
        for seconds in [-LONGEST, IDLE, 2 * LONGEST] {
            let unset = At {
                trusted: false,
                ..at(seconds)
            };
            assert!(s.is_good(unset));
        }
        // Set back by a day: it is not older than before.
        assert!(s.is_good(at(-DAY)));
    }

    #[test]
    fn a_session_from_before_the_clock_was_set_begins_when_it_is_used_next() {
        let mut s = Session {
            clock_untrusted: true,
            ..session()
        };
        let late = at(2 * LONGEST);
        assert!(s.is_good(late));
        s.used(late.wall);
        assert!(s.is_good(late));
        assert_eq!(s.created, late.wall);
        assert!(!s.is_good(at(2 * LONGEST + IDLE)));
        assert!(s.expires == late.wall + SESSION_LONGEST);
    }

    #[test]
    fn uses_are_written_once_an_hour() {
        for (mut who, first) in [
            (signed_in(Credential::Token(api_token())), true),
            (
                signed_in(Credential::Session {
                    session: session(),
                    csrf: CsrfSecret([0; 32]),
                }),
                false,
            ),
        ] {
            assert_eq!(who.use_to_write(at(0)).is_some(), first);
            let mut written = Vec::new();
            for minute in 0..180 {
                if let Some(written_use) = who.use_to_write(at(minute * 60)) {
                    assert_eq!(written_use.of, who.id());
                    who.used(written_use.at);
                    written.push(minute);
                }
            }
            let expected: &[i64] = if first { &[0, 60, 120] } else { &[60, 120] };
            assert_eq!(written, expected);
            // Nothing that an unset clock says is written.
            let unset = At {
                trusted: false,
                ..at(LONGEST)
            };
            assert_eq!(who.use_to_write(unset), None);
        }
    }

    #[test]
    fn a_token_has_no_more_than_its_user_and_its_mask() {
        for (user, mask) in [
            (0, 127),
            (127, 0),
            (0b011, 0b110),
            (127, 127),
            (0b101_1000, 0b0001),
        ] {
            let mut who = signed_in(Credential::Token(ApiToken {
                mask: Permissions::from_bits(mask),
                ..api_token()
            }));
            who.user.permissions = Permissions::from_bits(user);
            for p in Permission::ALL {
                let both = who.user.permissions.has(p) && Permissions::from_bits(mask).has(p);
                assert_eq!(who.may(p, None), both, "{p:?}");
            }
            assert_eq!(who.csrf(), None);
        }
    }
}
