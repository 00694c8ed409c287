//! Request URLs: which one a track and the whole session have, and where a redirect leads.
//!
//! Controls are joined to their base by appending, not by RFC 1808: cameras write bases with a query
//! string or no trailing slash and mean what appending makes of them.

use super::error::quote;
use url::Url;

/// The longest URL of a camera's that is taken, in bytes: it is said back with each request.
const URL_LIMIT: usize = 1024;

/// `url` without user name and password: they never go on the wire or into a log.
pub(super) fn without_user(mut url: Url) -> Url {
    // Both fail only for URLs with no host, which have no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// The base of the description's controls: `Content-Base`, else `Content-Location`, else the
/// `request`'s own URL (RFC 2326 section C.1.1).
///
/// Seen: no scheme (`192.0.2.1:554/stream0/`), a path alone, another host (kept: it is only ever
/// said back to the camera on this connection), junk (passed over).
pub(super) fn base<'a>(request: &Url, offered: impl Iterator<Item = &'a str>) -> Url {
    offered
        .map(str::trim)
        .filter_map(|text| parse(request, text).or_else(|| parse_without_scheme(text)))
        .next()
        .unwrap_or_else(|| request.clone())
}

/// `control` (of the session or of a track) joined to `base`. The error quotes it.
pub(super) fn join(base: &Url, control: &str) -> Result<Url, String> {
    let control = control.trim();
    if control.is_empty() || control == "*" {
        return Ok(base.clone());
    }
    let joined = if has_scheme(control) {
        control.to_owned()
    } else {
        let base = base.as_str();
        let base = base.strip_suffix('/').unwrap_or(base);
        let control = control.strip_prefix('/').unwrap_or(control);
        format!("{base}/{control}")
    };
    let url = Url::parse(&joined).ok().filter(is_usable);
    url.map(without_user)
        .ok_or_else(|| format!("a=control that makes no URL: \"{}\"", quote(control)))
}

/// Where a `Location` leads. `None` if it is not for RTSP.
pub(super) fn redirect(request: &Url, location: &str) -> Option<Url> {
    parse(request, location.trim())
}

/// An absolute URL, or a path on `request`'s host.
fn parse(request: &Url, text: &str) -> Option<Url> {
    let url = if has_scheme(text) {
        Url::parse(text)
    } else if text.starts_with('/') {
        request.join(text)
    } else {
        return None;
    };
    url.ok().filter(is_usable).map(without_user)
}

/// `host:port/path`.
fn parse_without_scheme(text: &str) -> Option<Url> {
    if text.is_empty() || has_scheme(text) {
        return None;
    }
    let url = Url::parse(&format!("rtsp://{text}"));
    url.ok().filter(is_usable).map(without_user)
}

fn has_scheme(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

fn is_usable(url: &Url) -> bool {
    url.scheme() == "rtsp" && url.has_host() && url.as_str().len() <= URL_LIMIT
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "rtsp://192.0.2.1:554/main?ch=1";

    #[test]
    fn controls_are_appended() {
        for (base, control, url) in [
            ("rtsp://h/s/", "trackID=1", "rtsp://h/s/trackID=1"),
            ("rtsp://h/s", "trackID=1", "rtsp://h/s/trackID=1"),
            ("rtsp://h/s/", "/trackID=1", "rtsp://h/s/trackID=1"),
            ("rtsp://h", "trackID=1", "rtsp://h/trackID=1"),
            (
                "rtsp://h/s?ch=1&sub=0",
                "trackID=0",
                "rtsp://h/s?ch=1&sub=0/trackID=0",
            ),
            ("rtsp://h/s/", "?ctype=video", "rtsp://h/s/?ctype=video"),
            (
                "rtsp://h/s/",
                "rtsp://10.0.0.1:8554/x/1",
                "rtsp://10.0.0.1:8554/x/1",
            ),
            ("rtsp://h/s/", "rtsp://me:pw@h/s/1", "rtsp://h/s/1"),
            ("rtsp://h/s", "*", "rtsp://h/s"),
            ("rtsp://h/s", " ", "rtsp://h/s"),
            ("rtsp://h/s", "a b", "rtsp://h/s/a%20b"),
        ] {
            let joined = join(&Url::parse(base).unwrap(), control);
            assert_eq!(joined.unwrap().as_str(), url, "{base} {control}");
        }
        assert!(join(&Url::parse(REQUEST).unwrap(), "http://h/s").is_err());
        assert!(join(&Url::parse(REQUEST).unwrap(), "rtsp://h:99999/s").is_err());
        assert!(join(&Url::parse(REQUEST).unwrap(), &"\u{fffd}".repeat(200)).is_err());
    }

    #[test]
    fn bases() {
        let request = Url::parse(REQUEST).unwrap();
        for (offered, url) in [
            (&["rtsp://192.0.2.1/main/"][..], "rtsp://192.0.2.1/main/"),
            (&["192.0.2.1:554/stream0/"], "rtsp://192.0.2.1:554/stream0/"),
            (&["/stream0/"], "rtsp://192.0.2.1:554/stream0/"),
            (&["rtsp://10.9.8.7/main"], "rtsp://10.9.8.7/main"),
            (&["rtsp://a:b@192.0.2.1/main/"], "rtsp://192.0.2.1/main/"),
            (&["", "rtsp://192.0.2.1/second"], "rtsp://192.0.2.1/second"),
            (&["http://192.0.2.1/"], REQUEST),
            (&[":::"], REQUEST),
            (&[], REQUEST),
        ] {
            let found = base(&request, offered.iter().copied());
            assert_eq!(found.as_str(), url, "{offered:?}");
        }
    }

    #[test]
    fn redirects() {
        let request = Url::parse(REQUEST).unwrap();
        let to = |location| redirect(&request, location).map(String::from);
        assert_eq!(
            to("rtsp://u:p@192.0.2.9:8554/x").as_deref(),
            Some("rtsp://192.0.2.9:8554/x")
        );
        assert_eq!(
            to(" /other ").as_deref(),
            Some("rtsp://192.0.2.1:554/other")
        );
        assert_eq!(to("rtsps://192.0.2.9/x"), None);
        assert_eq!(to(""), None);
        // A redirect leads to another connection: nothing is guessed, nothing long is taken.
        assert_eq!(to("192.0.2.9:8554/x"), None);
        assert_eq!(to("r\u{fffd};;;;tsp\u{1a}//u:p@192.0.2.9"), None);
        assert_eq!(
            to(&format!("rtsp://192.0.2.9/{}", "x".repeat(URL_LIMIT))),
            None
        );
    }
}
