//! Bodies that clients send, as JSON, and what is wrong with one in a sentence.

use super::refusal::bad;
use crate::config::Secret;
use crate::http::{Request, Response};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Reads the body of a request; none at all stands for an empty object. What it does not know is
/// refused: somebody meant something by it.
pub fn read<'a, T: Deserialize<'a>>(request: &'a Request) -> Result<T, Box<Response>> {
    let body: &[u8] = match request.body.is_empty() {
        true => b"{}",
        false => &request.body,
    };
    serde_json::from_slice(body).map_err(|e| bad(&format!("the body cannot be read: {e}")))
}

/// A body with nothing in it but what shows whose page sent it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bare {
    pub csrf: Option<String>,
}

/// A password; what is wrong with one is told without telling it.
pub struct Password(pub Secret);

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Password, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Password(Secret(text))),
            _ => Err(D::Error::custom("a password is a string")),
        }
    }
}

/// For fields in which `null` means something, and leaving them out something else: `None`.
pub fn said<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
