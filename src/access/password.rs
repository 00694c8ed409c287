//! Passwords: what is asked of one, and how it is kept (argon2id, RFC 9106).
//!
//! [`hash`] and [`verify`] take most of a second on a small board, and [`MEMORY_KIB`]. They are pure
//! and may be called in any process, but never on the event loop's thread.

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordVerifier, Version};
use std::fmt;

/// The shortest password. Length alone is asked for: rules about kinds of characters make passwords
/// harder to remember and no harder to guess (NIST SP 800-63B section 3.1.1.2), and attempts are few
/// ([`super::LoginAttempts`]).
pub const MIN_CHARS: usize = 8;

/// The longest password, so that nobody makes us hash a book.
pub const MAX_BYTES: usize = 256;

/// The memory that one hash fills. Twelve MiB in three passes are as hard for an attacker as the 19
/// MiB in two that are recommended as a minimum, and a board with 1 GB has other uses for memory.
pub const MEMORY_KIB: u32 = 12 << 10;

/// How often it is gone over.
pub const PASSES: u32 = 3;

/// One lane: a second would be a second thread's work.
const LANES: u32 = 1;

/// The length of a hash.
const HASH_BYTES: usize = 32;

/// The length of a salt.
pub const SALT_BYTES: usize = 16;

/// What a stored hash may ask of us at most: a database of which somebody changed a byte must not
/// take the board's memory.
const MOST_MEMORY_KIB: u32 = 32 << 10;
const MOST_PASSES: u32 = 8;
const MOST_LANES: u32 = 4;

/// A hash that no password has, with the parameters of now: to be verified against when there is no
/// such user, so that the time taken does not tell.
pub const DECOY: &str = "$argon2id$v=19$m=12288,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                         $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why a password is not taken, for who chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    TooShort,
    TooLong,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::TooShort => write!(
                f,
                "a password needs at least {MIN_CHARS} characters; a few words in a row are easy \
                 to remember and hard to guess"
            ),
            Unfit::TooLong => write!(f, "a password has at most {MAX_BYTES} bytes"),
        }
    }
}

impl std::error::Error for Unfit {}

/// The stored hash is none that this program makes: the database is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored password hash cannot be read")]
pub struct BadHash;

/// Whether a new password will do.
pub fn check(password: &str) -> Result<(), Unfit> {
    if password.chars().count() < MIN_CHARS {
        Err(Unfit::TooShort)
    } else if password.len() > MAX_BYTES {
        Err(Unfit::TooLong)
    } else {
        Ok(())
    }
}

/// The PHC string to keep of a password. `salt` must be fresh from the operating system. Slow: see
/// the module.
pub fn hash(password: &str, salt: [u8; SALT_BYTES]) -> Result<String, Unfit> {
    check(password)?;
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES));
    let hash = params.and_then(|params| {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let mut out = [0; HASH_BYTES];
        argon2.hash_password_into(password.as_bytes(), &salt, &mut out)?;
        Ok(out)
    });
    // The parameters are constants within all limits, and so is the password's length.
    let hash = hash.expect("argon2id with valid parameters");
    let encode = |bytes: &[u8]| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
    };
    Ok(format!(
        "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}",
        encode(&salt),
        encode(&hash)
    ))
}

/// Whether this is the password of which `stored` was kept. Slow: see the module.
pub fn verify(password: &str, stored: &str) -> Result<bool, BadHash> {
    let stored = PasswordHash::new(stored).map_err(|_| BadHash)?;
    let params = Params::try_from(&stored).map_err(|_| BadHash)?;
    let possible = stored.algorithm == Algorithm::Argon2id.ident()
        && stored.salt.is_some()
        && stored.hash.is_some()
        && params.m_cost() <= MOST_MEMORY_KIB
        && params.t_cost() <= MOST_PASSES
        && params.p_cost() <= MOST_LANES;
    if !possible {
        return Err(BadHash);
    }
    if password.len() > MAX_BYTES {
        return Ok(false);
    }
    let argon2 = Argon2::default();
    match argon2.verify_password(password.as_bytes(), &stored) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::Password) => Ok(false),
        Err(_) => Err(BadHash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; SALT_BYTES] = *b"0123456789abcdef";

    #[test]
    fn a_password_is_known_again_and_no_other() {
        let stored = hash("correct horse", SALT).unwrap();
        assert_eq!(verify("correct horse", &stored), Ok(true));
        for wrong in [
            "correct horsf",
            "Correct horse",
            "correct horse ",
            "",
            "correct hors",
        ] {
            assert_eq!(verify(wrong, &stored), Ok(false), "{wrong:?}");
        }
        assert_ne!(hash("correct horse", [1; SALT_BYTES]).unwrap(), stored);
    }

    #[test]
    fn it_is_the_argon2id_that_others_compute() {
        // By libargon2, of the same password and salt.
        let reference = "$argon2id$v=19$m=12288,t=3,p=1$MDEyMzQ1Njc4OWFiY2RlZg\
                         $W2CvwLK2LDlk3BoCN5Nmrigs/uLQ3VdCUrYzjKQtTqo";
        assert_eq!(hash("correct horse", SALT).unwrap(), reference);
    }

    #[test]
    fn the_decoy_costs_as_much_and_is_nobodys() {
        let cost = |stored: &str| stored.rsplitn(3, '$').nth(2).unwrap().to_owned();
        assert_eq!(cost(DECOY), cost(&hash("correct horse", SALT).unwrap()));
        assert_eq!(verify("correct horse", DECOY), Ok(false));
        assert_eq!(verify("", DECOY), Ok(false));
    }

    #[test]
    fn only_the_length_of_a_password_matters() {
        for good in [
            "12345678",
            "        ",
            "пароль12",
            "🐎🐎🐎🐎🐎🐎🐎🐎",
            &"x".repeat(256),
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_eq!(check("1234567"), Err(Unfit::TooShort));
        assert_eq!(check("ééééééé"), Err(Unfit::TooShort), "bytes do not count");
        assert_eq!(check(&"x".repeat(257)), Err(Unfit::TooLong));
        assert_eq!(hash("short", SALT), Err(Unfit::TooShort));
    }

    #[test]
    fn what_is_stored_is_not_trusted() {
        for bad in [
            "",
            "hunter2",
            "$argon2id$",
            "$argon2i$v=19$m=12288,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            // A terabyte of memory; a year of passes; a thousand lanes.
            "$argon2id$v=19$m=1073741824,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=12288,t=4294967295,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=12288,t=3,p=1000$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            // No salt, no hash.
            "$argon2id$v=19$m=12288,t=3,p=1",
            "$argon2id$v=19$m=12288,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(verify("correct horse", bad), Err(BadHash), "{bad}");
        }
        // An older, cheaper one is still good; a long guess is wrong and costs nothing.
        let cheap = "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg\
                     $MjZP1+1U9JUbDWvDvtLyEsZiNXOKEUxfi6O2oe46uxA";
        assert_eq!(verify("correct horse", cheap), Ok(true));
        assert_eq!(verify(&"x".repeat(1 << 20), cheap), Ok(false));
    }
}
