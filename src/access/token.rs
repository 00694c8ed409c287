//! Tokens: what a browser's cookie or a program's header holds to be known again.
//!
//! A token is 32 random bytes. The database keeps its hash alone, so that whoever reads the database
//! cannot sign in with what is there. A fast hash is enough: there is nothing to guess.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The length of a token.
pub const TOKEN_BYTES: usize = 32;

/// What an API token begins with, so that one that got into the wrong place is recognized.
const API_TOKEN_PREFIX: &str = "mnvr_";

/// Where a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {
    /// In the cookie of a browser.
    Session,
    /// In a program's header `Authorization: Bearer`.
    Api,
}

/// A token. It is told once, to whom it was made for; its `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    kind: TokenKind,
    bytes: [u8; TOKEN_BYTES],
}

impl Token {
    /// Of fresh bytes of the operating system.
    pub fn new(kind: TokenKind, bytes: [u8; TOKEN_BYTES]) -> Token {
        Token { kind, bytes }
    }

    /// As a cookie or a header holds it; `None` if this can be no token of that kind.
    pub fn parse(kind: TokenKind, text: &str) -> Option<Token> {
        let encoded = match kind {
            TokenKind::Session => text,
            TokenKind::Api => text.strip_prefix(API_TOKEN_PREFIX)?,
        };
        let mut bytes = [0; TOKEN_BYTES];
        // Not one byte more: the decoder refuses what would not fit.
        let n = URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()?;
        (n == TOKEN_BYTES).then_some(Token { kind, bytes })
    }

    /// The characters for the cookie or the header: letters, digits, `-` and `_`.
    pub fn to_text(&self) -> String {
        let encoded = URL_SAFE_NO_PAD.encode(self.bytes);
        match self.kind {
            TokenKind::Session => encoded,
            TokenKind::Api => format!("{API_TOKEN_PREFIX}{encoded}"),
        }
    }

    /// By what it is looked up.
    pub fn presented(&self) -> Presented {
        Presented {
            kind: self.kind,
            hash: TokenHash(Sha256::digest(self.bytes).into()),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    /// Not a secret, but of no use to anybody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

/// A token that somebody showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Presented {
    pub kind: TokenKind,
    pub hash: TokenHash,
}

/// What a session's CSRF token is made of; random, kept in the database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CsrfSecret(pub [u8; 32]);

impl CsrfSecret {
    /// What a page of the session sends along with each change, to show that it is ours: another
    /// site's page can make a browser send the cookie, but cannot read this.
    pub fn token(&self, session: TokenHash) -> String {
        let mut hash = Sha256::new();
        // Both are of one length each, so that no other pair hashes alike.
        hash.update(b"csrf");
        hash.update(self.0);
        hash.update(session.0);
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }

    /// Whether that is what was sent; takes the same time wherever it differs.
    pub fn check(&self, session: TokenHash, sent: &str) -> bool {
        let expected = self.token(session);
        expected.as_bytes().ct_eq(sent.as_bytes()).into()
    }
}

impl fmt::Debug for CsrfSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [TokenKind; 2] = [TokenKind::Session, TokenKind::Api];

    #[test]
    fn text_and_back() {
        for kind in KINDS {
            let token = Token::new(kind, std::array::from_fn(|i| (i as u8).wrapping_mul(9)));
            let text = token.to_text();
            let again = Token::parse(kind, &text).unwrap();
            assert_eq!(again, token);
            assert_eq!(again.presented(), token.presented());
            assert!(
                text.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            );
        }
        let [session, api] = KINDS.map(|k| Token::new(k, [7; 32]).to_text());
        assert_eq!(session.len(), 43);
        assert_eq!(api, format!("mnvr_{session}"));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let text = Token::new(TokenKind::Session, [255; 32]).to_text();
        for bad in [
            "",
            "mnvr_",
            &text[1..],
            &format!("{text}A"),
            &format!("{text}="),
            &text.replace('_', "/"),
            &format!("{}é", &text[2..]),
            &"A".repeat(100_000),
        ] {
            for kind in KINDS {
                assert_eq!(Token::parse(kind, bad), None, "{bad}");
            }
        }
        // Each where it belongs only.
        assert_eq!(Token::parse(TokenKind::Api, &text), None);
        let api = Token::new(TokenKind::Api, [255; 32]).to_text();
        assert_eq!(Token::parse(TokenKind::Session, &api), None);
    }

    #[test]
    fn one_token_has_one_text() {
        // The last of 43 characters has two bits to spare: they must be zero.
        let text = Token::new(TokenKind::Session, [0; 32]).to_text();
        for last in ["B", "C", "D"] {
            let other = format!("{}{last}", &text[..42]);
            assert_eq!(Token::parse(TokenKind::Session, &other), None, "{other}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let token = Token::new(TokenKind::Session, [0x41; 32]);
        let secret = CsrfSecret([0x41; 32]);
        let shown = format!("{token:?} {secret:?} {:?}", token.presented());
        assert!(!shown.contains("65") && !shown.contains("QUFB"), "{shown}");
    }

    #[test]
    fn a_csrf_token_is_good_for_its_session_alone() {
        let (one, other) = (TokenHash([1; 32]), TokenHash([2; 32]));
        let secret = CsrfSecret([3; 32]);
        let token = secret.token(one);
        assert!(secret.check(one, &token));
        assert!(!secret.check(other, &token));
        assert!(!CsrfSecret([4; 32]).check(one, &token));
        for bad in ["", &token[1..], &format!("{token}A")] {
            assert!(!secret.check(one, bad), "{bad}");
        }
        // Any character changed.
        for i in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
            assert!(!secret.check(one, std::str::from_utf8(&bytes).unwrap()));
        }
    }
}
