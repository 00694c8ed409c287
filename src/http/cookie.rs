//! Cookies as they are set (RFC 6265 section 4.1).

use std::time::Duration;

/// When a browser sends a cookie with requests that other sites caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When a link to here is followed.
    Lax,
}

/// A cookie to be set, for the whole site and no script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetCookie<'a> {
    /// A token (RFC 9110 section 5.6.2).
    pub name: &'a str,
    /// Visible ASCII without quotes, commas, semicolons and backslashes.
    pub value: &'a str,
    /// Zero removes it; `None`: until the browser ends.
    pub max_age: Option<Duration>,
    /// Only over TLS.
    pub secure: bool,
    pub same_site: SameSite,
}

/// A name or a value that a cookie cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name or the value of a cookie")]
pub struct NotACookie;

impl SetCookie<'_> {
    /// The value of the `Set-Cookie` field. Several cookies are several fields.
    pub fn field_value(&self) -> Result<String, NotACookie> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let octet = |b: u8| b.is_ascii_graphic() && !b"\",;\\".contains(&b);
        if self.name.is_empty() || !self.name.bytes().all(token) || !self.value.bytes().all(octet) {
            return Err(NotACookie);
        }
        let mut out = format!("{}={}; Path=/; HttpOnly", self.name, self.value);
        out.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
        });
        if let Some(age) = self.max_age {
            out.push_str(&format!("; Max-Age={}", age.as_secs()));
        }
        if self.secure {
            out.push_str("; Secure");
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_cookie() {
        let mut c = SetCookie {
            name: "s",
            value: "Zm9v+/=",
            max_age: None,
            secure: false,
            same_site: SameSite::Strict,
        };
        assert_eq!(
            c.field_value().unwrap(),
            "s=Zm9v+/=; Path=/; HttpOnly; SameSite=Strict"
        );
        c.max_age = Some(Duration::from_millis(86_400_900));
        c.secure = true;
        c.same_site = SameSite::Lax;
        assert_eq!(
            c.field_value().unwrap(),
            "s=Zm9v+/=; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400; Secure"
        );
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a=", "x"),
            ("s", "a;Domain=evil"),
            ("s", "a b"),
            ("s", "a\r\nX: y"),
            ("s", "\u{e9}"),
            ("s", "\"a\""),
        ] {
            (c.name, c.value) = (name, value);
            assert_eq!(c.field_value(), Err(NotACookie), "{name}={value}");
        }
    }
}
