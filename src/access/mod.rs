//! Who may do what: permissions, passwords, sessions, tokens, attempts to sign in. Pure rules.
//!
//! Nothing here asks for the time, for entropy or for the database: the caller passes times, the
//! database draws tokens ([`crate::db::SessionRequest`]), and password hashing, which takes long, is for
//! a process of its own. See `design/access.md`.

mod attempts;
mod cache;
pub mod password;
mod permission;
mod principal;
mod session;
mod token;
mod user;

pub use attempts::{Attempt, LoginAttempts, Outcome, TooMany};
pub use cache::SignedInCache;
pub use permission::{Permission, Permissions, PermissionsPatch};
pub use principal::{Denied, Principal};
pub use session::{
    ApiToken, At, Credential, CredentialId, SESSION_IDLE, SESSION_LONGEST, Session, SessionId,
    SignedIn, TokenId, USE_WRITTEN_EVERY, Use,
};
pub use token::{CsrfSecret, Presented, TOKEN_BYTES, Token, TokenHash, TokenKind};
pub use user::{
    Cameras, InvalidUser, MAX_NAME_CHARS, Preferences, User, UserId, check_name, check_permissions,
};

#[cfg(test)]
mod tests {
    //! What the tests of the rules share: Anna and what she shows.

    use super::*;
    use crate::time::{Duration90k, Wall90k};

    /// 2026-11-22T10:00:00Z.
    pub(super) const T0: Wall90k = Wall90k::from_unix_secs(1_795_341_600);

    /// Made at [`T0`].
    pub(super) fn session() -> Session {
        Session {
            id: SessionId(1),
            user: UserId(1),
            created: T0,
            last_use: T0,
            expires: T0 + SESSION_LONGEST,
            clock_untrusted: false,
            user_agent: "Browser/1.0".to_owned(),
            address: "192.0.2.7".to_owned(),
            revoked: None,
        }
    }

    /// Made at [`T0`], never used.
    pub(super) fn api_token() -> ApiToken {
        ApiToken {
            id: TokenId(1),
            user: UserId(1),
            name: "doorbell".to_owned(),
            mask: Permissions::all(),
            created: T0,
            last_use: None,
        }
    }

    pub(super) fn signed_in(credential: Credential) -> SignedIn {
        SignedIn {
            user: User {
                id: UserId(1),
                name: "anna".to_owned(),
                permissions: Permissions::all(),
                cameras: Cameras::All,
                preferences: Preferences::default(),
                disabled: false,
                has_password: true,
            },
            credential,
            presented: Token::new(TokenKind::Session, [1; TOKEN_BYTES]).presented(),
        }
    }

    #[test]
    fn a_last_use_is_known_well_enough_to_judge_by() {
        let ratio = SESSION_IDLE.0 / USE_WRITTEN_EVERY.0;
        assert!(ratio > 100, "{ratio}");
        assert!(SESSION_LONGEST > SESSION_IDLE + Duration90k::from_secs(1));
    }
}
