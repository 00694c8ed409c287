//! A user: a name, what it may, and for which cameras.

use super::{Permission, Permissions};
use std::collections::BTreeSet;
use std::fmt;
use uuid::Uuid;

/// The longest name of a user.
pub const MAX_NAME_CHARS: usize = 64;

/// The most cameras that a user is restricted to.
pub const MAX_CAMERAS: usize = 1000;

/// The most bytes of preferences that are kept for a user, as JSON.
pub const MAX_PREFERENCES_BYTES: usize = 64 << 10;

/// A user's row; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub i64);

/// A user, without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub permissions: Permissions,
    /// Where the permissions hold.
    pub cameras: Cameras,
    pub preferences: Preferences,
    /// It cannot sign in, and none of its sessions and tokens is good.
    pub disabled: bool,
    /// Without one it cannot sign in; tokens are still good.
    pub has_password: bool,
}

impl User {
    /// Whether it may do this: with `camera`, or with the recorder as a whole if `None`.
    pub fn may(&self, permission: Permission, camera: Option<Uuid>) -> bool {
        !self.disabled && self.permissions.has(permission) && self.cameras.include(camera)
    }
}

/// The cameras for which a user's permissions hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cameras {
    /// All, those to come included, and the recorder as a whole.
    #[default]
    All,
    /// These, of which some may have been removed since; nothing of the recorder as a whole.
    Only(BTreeSet<Uuid>),
}

impl Cameras {
    /// Whether `camera` is among them, or the recorder as a whole if `None`.
    pub fn include(&self, camera: Option<Uuid>) -> bool {
        match (self, camera) {
            (Cameras::All, _) => true,
            (Cameras::Only(set), Some(camera)) => set.contains(&camera),
            (Cameras::Only(_), None) => false,
        }
    }
}

/// What a page wants to remember for a user: a JSON object, which nobody else looks into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preferences(String);

impl Preferences {
    /// Of the text of a JSON object.
    pub fn parse(json: &str) -> Result<Preferences, InvalidUser> {
        if json.len() > MAX_PREFERENCES_BYTES {
            return Err(InvalidUser::PreferencesTooLong);
        }
        match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json) {
            Ok(object) => Ok(Preferences(serde_json::Value::Object(object).to_string())),
            Err(_) => Err(InvalidUser::PreferencesNoObject),
        }
    }

    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl Default for Preferences {
    fn default() -> Preferences {
        Preferences("{}".to_owned())
    }
}

/// Why a user cannot be like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidUser {
    NameEmpty,
    NameTooLong,
    NameCharacters,
    PreferencesTooLong,
    PreferencesNoObject,
    TooManyCameras,
    RestrictedAdministrator,
}

impl fmt::Display for InvalidUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidUser::NameEmpty => f.write_str("a user needs a name"),
            InvalidUser::NameTooLong => {
                write!(f, "a user's name has at most {MAX_NAME_CHARS} characters")
            }
            InvalidUser::NameCharacters => f.write_str(
                "a user's name has no control characters, and no space at its begin or end",
            ),
            InvalidUser::PreferencesTooLong => write!(
                f,
                "a user's preferences are at most {MAX_PREFERENCES_BYTES} bytes of JSON"
            ),
            InvalidUser::PreferencesNoObject => {
                f.write_str("a user's preferences are a JSON object")
            }
            InvalidUser::TooManyCameras => write!(
                f,
                "a user is restricted to at most {MAX_CAMERAS} cameras, or not at all"
            ),
            InvalidUser::RestrictedAdministrator => f.write_str(
                "an administrator cannot be restricted to some cameras: who may change users \
                 may lift any restriction",
            ),
        }
    }
}

impl std::error::Error for InvalidUser {}

/// Whether a user may have this name. Letters of any script are fine. Two names that differ in the
/// case of ASCII letters only are the same.
pub fn check_name(name: &str) -> Result<(), InvalidUser> {
    if name.is_empty() {
        Err(InvalidUser::NameEmpty)
    } else if name.chars().count() > MAX_NAME_CHARS {
        Err(InvalidUser::NameTooLong)
    } else if name.trim() != name || name.chars().any(char::is_control) {
        Err(InvalidUser::NameCharacters)
    } else {
        Ok(())
    }
}

/// Whether these go together.
pub fn check_permissions(permissions: Permissions, cameras: &Cameras) -> Result<(), InvalidUser> {
    match cameras {
        Cameras::All => Ok(()),
        Cameras::Only(_) if permissions.has(Permission::Administer) => {
            Err(InvalidUser::RestrictedAdministrator)
        }
        Cameras::Only(set) if set.len() > MAX_CAMERAS => Err(InvalidUser::TooManyCameras),
        Cameras::Only(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in [
            "a",
            "Jörg",
            "anna@example.org",
            "night shift",
            &"x".repeat(64),
        ] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", InvalidUser::NameEmpty),
            (" a", InvalidUser::NameCharacters),
            ("a\n", InvalidUser::NameCharacters),
            ("a\0b", InvalidUser::NameCharacters),
            ("a\u{85}b", InvalidUser::NameCharacters),
            (&"é".repeat(65), InvalidUser::NameTooLong),
        ] {
            assert_eq!(check_name(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn preferences_are_a_small_object() {
        let some = Preferences::parse(" {\"theme\": \"dark\"} ").unwrap();
        assert_eq!(some.as_json(), r#"{"theme":"dark"}"#);
        for bad in ["", "[]", "1", "{", "{} x"] {
            assert_eq!(
                Preferences::parse(bad),
                Err(InvalidUser::PreferencesNoObject),
                "{bad}"
            );
        }
        // Deeper than anybody's preferences: an error and no overflow of the stack.
        let deep = format!("{{\"a\":{}}}", "[".repeat(60_000));
        Preferences::parse(&deep).unwrap_err();
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_PREFERENCES_BYTES));
        assert_eq!(
            Preferences::parse(&long),
            Err(InvalidUser::PreferencesTooLong)
        );
    }

    #[test]
    fn an_administrator_is_one_for_all_cameras() {
        let only = Cameras::Only(BTreeSet::from([Uuid::nil()]));
        check_permissions(Permissions::all(), &Cameras::All).unwrap();
        check_permissions(Permissions::all(), &only).unwrap_err();
        let mut less = Permissions::all();
        less.remove(Permission::Administer);
        check_permissions(less, &only).unwrap();
        let many = (0..=MAX_CAMERAS as u128).map(Uuid::from_u128).collect();
        assert_eq!(
            check_permissions(less, &Cameras::Only(many)),
            Err(InvalidUser::TooManyCameras)
        );
    }
}
