//! Who asks, and whether it may: the one place where that is decided.

use super::session::SignedIn;
use super::{Credential, Permission, Permissions};
use std::sync::Arc;
use uuid::Uuid;

/// Who a request comes from: what its address allows anybody, and who it shows itself to be.
#[derive(Clone, Debug)]
pub struct Principal {
    anybody: Permissions,
    who: Who,
}

#[derive(Clone, Debug)]
enum Who {
    Visitor,
    /// The recorder's own user, or root, by a UNIX socket.
    Owner,
    SignedIn(Arc<SignedIn>),
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// 401.
    #[error("sign in first")]
    SignIn,
    /// 403.
    #[error("you may not do that")]
    Forbidden,
    /// 403: the request may be another site's doing.
    #[error("the csrf value is missing or wrong: load the page again")]
    Csrf,
}

impl Principal {
    /// Somebody without a sign. `allowed` is what the address allows anybody, of which nothing but
    /// [`Permission::OF_VISITORS`] counts.
    pub fn visitor(allowed: &[Permission]) -> Principal {
        Principal::new(allowed, Who::Visitor)
    }

    /// The user of a session or token that [`SignedIn::is_good`] now. Where the address allows
    /// anybody more, it may that too: it need only sign out.
    pub fn signed_in(allowed: &[Permission], who: Arc<SignedIn>) -> Principal {
        Principal::new(allowed, Who::SignedIn(who))
    }

    /// Whoever runs the recorder, known by the user id at the other end of a UNIX socket: it could
    /// read and change the database itself.
    pub fn owner() -> Principal {
        Principal::new(&[], Who::Owner)
    }

    fn new(allowed: &[Permission], who: Who) -> Principal {
        let allowed = allowed
            .iter()
            .copied()
            .filter(|p| Permission::OF_VISITORS.contains(p));
        Principal {
            anybody: allowed.collect(),
            who,
        }
    }

    /// Whether it may do this: with `camera`, or with the recorder as a whole if `None`.
    pub fn may(&self, permission: Permission, camera: Option<Uuid>) -> bool {
        self.anybody.has(permission)
            || match &self.who {
                Who::Visitor => false,
                Who::Owner => true,
                Who::SignedIn(who) => who.may(permission, camera),
            }
    }

    /// The same as a result: who may not because it has not signed in is told so.
    pub fn check(&self, permission: Permission, camera: Option<Uuid>) -> Result<(), Denied> {
        match (self.may(permission, camera), &self.who) {
            (true, _) => Ok(()),
            (false, Who::Visitor) => Err(Denied::SignIn),
            (false, _) => Err(Denied::Forbidden),
        }
    }

    /// Whether a request that changes something is its own. Only a browser sends its cookie along
    /// with what other sites make it ask for; a session therefore shows its CSRF token as well.
    pub fn check_csrf(&self, sent: Option<&str>) -> Result<(), Denied> {
        let Some(who) = self.user() else {
            return Ok(());
        };
        match &who.credential {
            Credential::Token(_) => Ok(()),
            Credential::Session { csrf, .. } => {
                let good = sent.is_some_and(|sent| csrf.check(who.presented.hash, sent));
                if good { Ok(()) } else { Err(Denied::Csrf) }
            }
        }
    }

    /// The user that is signed in.
    pub fn user(&self) -> Option<&Arc<SignedIn>> {
        match &self.who {
            Who::SignedIn(who) => Some(who),
            Who::Visitor | Who::Owner => None,
        }
    }

    /// All that it may, with some camera at least; for pages, which show what is of use.
    pub fn permissions(&self) -> Permissions {
        let own = match &self.who {
            Who::Visitor => Permissions::NONE,
            Who::Owner => Permissions::all(),
            Who::SignedIn(who) => who.permissions(),
        };
        self.anybody.iter().chain(own.iter()).collect()
    }

    /// For the access log: a user's name, or what it is instead.
    pub fn name(&self) -> &str {
        match &self.who {
            Who::Visitor => "-",
            Who::Owner => "(owner)",
            Who::SignedIn(who) => &who.user.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::tests::{api_token, session, signed_in};
    use crate::access::{ApiToken, Cameras, CsrfSecret};
    use std::collections::BTreeSet;

    fn cookie() -> SignedIn {
        signed_in(Credential::Session {
            session: session(),
            csrf: CsrfSecret([5; 32]),
        })
    }

    const ONE: Uuid = Uuid::from_u128(1);
    const TWO: Uuid = Uuid::from_u128(2);

    /// Every kind of principal with every set of permissions; the oracle says what each was given.
    #[test]
    fn nobody_is_granted_what_it_was_not_given() {
        let sets = || (0..128).map(Permissions::from_bits);
        let cameras = [
            Cameras::All,
            Cameras::Only(BTreeSet::from([ONE])),
            Cameras::Only(BTreeSet::new()),
        ];
        let mut granted = 0;
        for given in sets() {
            for allowed in [&[][..], &[Permission::ViewLive], &Permission::ALL] {
                for cameras in &cameras {
                    for (mask, disabled) in [(127, false), (0b1001, false), (127, true)] {
                        let mut who = signed_in(Credential::Token(ApiToken {
                            mask: Permissions::from_bits(mask),
                            ..api_token()
                        }));
                        who.user.permissions = given;
                        who.user.cameras = cameras.clone();
                        who.user.disabled = disabled;
                        let p = Principal::signed_in(allowed, Arc::new(who));
                        for permission in Permission::ALL {
                            for camera in [None, Some(ONE), Some(TWO)] {
                                let visitors = allowed.contains(&permission)
                                    && Permission::OF_VISITORS.contains(&permission);
                                let users = given.has(permission)
                                    && Permissions::from_bits(mask).has(permission)
                                    && !disabled
                                    && match (cameras, camera) {
                                        (Cameras::All, _) => true,
                                        (Cameras::Only(set), Some(c)) => set.contains(&c),
                                        (Cameras::Only(_), None) => false,
                                    };
                                let may = p.may(permission, camera);
                                assert_eq!(may, visitors || users, "{p:?} {permission:?}");
                                assert_eq!(p.check(permission, camera).is_ok(), may);
                                granted += u32::from(may);
                            }
                        }
                    }
                }
            }
        }
        assert!(granted > 1000, "the test tries too little");
    }

    #[test]
    fn a_visitor_may_watch_at_most() {
        let p = Principal::visitor(&Permission::ALL);
        for permission in Permission::ALL {
            let watch = Permission::OF_VISITORS.contains(&permission);
            assert_eq!(p.may(permission, Some(ONE)), watch);
            let expected = if watch { Ok(()) } else { Err(Denied::SignIn) };
            assert_eq!(p.check(permission, None), expected);
        }
        let nobody = Principal::visitor(&[]);
        assert!(nobody.permissions().is_empty());
        assert_eq!(
            nobody.check(Permission::ViewLive, None),
            Err(Denied::SignIn)
        );
    }

    #[test]
    fn the_owner_may_all_and_a_user_is_told_when_it_may_not() {
        assert_eq!(Principal::owner().permissions(), Permissions::all());
        let mut who = cookie();
        who.user.permissions = Permissions::NONE;
        let p = Principal::signed_in(&[Permission::ViewLive], Arc::new(who));
        assert_eq!(
            p.check(Permission::Administer, None),
            Err(Denied::Forbidden)
        );
        assert_eq!(p.check(Permission::ViewLive, Some(ONE)), Ok(()));
        let told: Vec<_> = p.permissions().iter().collect();
        assert_eq!(told, [Permission::ViewLive]);
    }

    #[test]
    fn only_a_session_shows_a_csrf_token() {
        let who = Arc::new(cookie());
        let token = who.csrf().unwrap();
        let p = Principal::signed_in(&[], who);
        assert_eq!(p.check_csrf(Some(&token)), Ok(()));
        assert_eq!(p.check_csrf(None), Err(Denied::Csrf));
        assert_eq!(p.check_csrf(Some("")), Err(Denied::Csrf));
        assert_eq!(p.check_csrf(Some(&token[1..])), Err(Denied::Csrf));
        let program = Arc::new(signed_in(Credential::Token(api_token())));
        for p in [
            Principal::signed_in(&[], program),
            Principal::owner(),
            Principal::visitor(&[]),
        ] {
            assert_eq!(p.check_csrf(None), Ok(()));
        }
    }

    #[test]
    fn names_for_the_log() {
        assert_eq!(Principal::visitor(&[]).name(), "-");
        assert_eq!(Principal::owner().name(), "(owner)");
        assert_eq!(Principal::signed_in(&[], Arc::new(cookie())).name(), "anna");
    }
}
