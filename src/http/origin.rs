//! Who a request was made for, and by which page: the checks that keep other people's pages out.
//!
//! * `Host` must be a name that nobody outside can point at this machine: else a page at `evil.example`
//!   lets its own name lead here and reads what it likes (DNS rebinding).
//! * `Origin` must be this site for what changes something and for WebSockets: browsers send cookies along
//!   with what other sites' pages ask for (RFC 6455 section 10.2).
//!
//! `X-Forwarded-*` counts only if the caller says that the peer is a proxy of ours.

use super::request::Request;
use std::net::{IpAddr, Ipv6Addr};

/// The longest host name (RFC 1035 section 2.3.4).
const NAME_BYTES: usize = 255;

/// Endings of names that no public registry gives away (RFC 6762, 6761, 8375; `internal`: ICANN 2024).
const LOCAL_ENDINGS: [&str; 4] = [".local", ".localhost", ".home.arpa", ".internal"];

/// Why a request is refused, in a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// 421 fits (RFC 9110 section 15.5.20).
    #[error("this server does not go by the name that the request was made for")]
    Host,
    /// 403 fits.
    #[error("a page of another site may not ask for this")]
    Origin,
}

/// The site that a request was made for, and who made it, as the browser sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site<'a> {
    pub https: bool,
    /// A name or an address, and perhaps a port; `None` for HTTP/1.0 without `Host`: no browser.
    pub host: Option<&'a str>,
    /// The client that the proxy tells of.
    pub forwarded_for: Option<IpAddr>,
}

impl<'a> Site<'a> {
    /// `tls`: the connection is encrypted. `trusted_proxy`: the peer is a proxy that the configuration names.
    /// What a proxy adds goes to the end of a list, so the last member is its word; those before it are
    /// the client's.
    pub fn of(request: &'a Request, tls: bool, trusted_proxy: bool) -> Site<'a> {
        let forwarded = |name| {
            let last = request.headers.list(name).last();
            last.filter(|_| trusted_proxy)
        };
        Site {
            https: forwarded("x-forwarded-proto").map_or(tls, |p| p.eq_ignore_ascii_case("https")),
            host: forwarded("x-forwarded-host").or_else(|| request.host()),
            forwarded_for: forwarded("x-forwarded-for").and_then(address),
        }
    }

    /// Both checks. Safe methods (RFC 9110 section 9.2.1) are asked for their host only, unless they are
    /// to become a WebSocket.
    pub fn check(&self, request: &Request, names: &Names) -> Result<(), Refused> {
        if !self.host.is_none_or(|h| names.allow(h)) {
            return Err(Refused::Host);
        }
        let changes = !request.method.is_safe() || request.header("upgrade").is_some();
        if changes && !self.is_own(request) {
            return Err(Refused::Origin);
        }
        Ok(())
    }

    /// Whether the request comes from a page of this site, or from no page. Every browser sends `Origin`
    /// with the requests that this is asked of; scripts and other programs need not.
    fn is_own(&self, request: &Request) -> bool {
        match request.origin() {
            Some(origin) => self.is_origin(origin),
            None => request
                .header("sec-fetch-site")
                .is_none_or(|s| matches!(s, "same-origin" | "none")),
        }
    }

    /// Same host and port (RFC 6454 section 5). A page got over TLS may ask where we see none, as a proxy
    /// that is not named may be in between; not the other way around.
    fn is_origin(&self, origin: &str) -> bool {
        let Some((scheme, host)) = origin.split_once("://") else {
            return false;
        };
        let default_port = match scheme {
            "http" if !self.https => 80,
            "https" => 443,
            _ => return false,
        };
        match (Authority::parse(host), self.host.and_then(Authority::parse)) {
            (Some(a), Some(b)) => {
                a.host == b.host && a.port.unwrap_or(default_port) == b.port.unwrap_or(default_port)
            }
            _ => false,
        }
    }
}

/// An address as proxies tell it: bare, in brackets, with a port.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    match Authority::parse(text)?.host {
        Host::Address(ip) => Some(ip),
        Host::Name(_) => None,
    }
}

/// The names that this server goes by, beside addresses, names of one label, `localhost` and names of
/// the local network (`.local`, `.home.arpa`, `.internal`): nobody outside can point those here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// `names` without ports.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Names {
        let normal = |n: S| n.as_ref().trim_end_matches('.').to_ascii_lowercase();
        Names(names.into_iter().map(normal).collect())
    }

    /// Whether a request for `host` (with or without a port) may be answered.
    pub fn allow(&self, host: &str) -> bool {
        match Authority::parse(host).map(|a| a.host) {
            Some(Host::Address(_)) => true,
            Some(Host::Name(name)) => {
                !name.contains('.')
                    || LOCAL_ENDINGS.iter().any(|e| name.ends_with(e))
                    || self.0.contains(&name)
            }
            None => false,
        }
    }
}

/// `host[:port]` (RFC 3986 section 3.2), without a user.
#[derive(Debug, PartialEq, Eq)]
struct Authority {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    /// In lower case, without a dot at the end.
    Name(String),
}

impl Authority {
    fn parse(text: &str) -> Option<Authority> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            let port = match port {
                "" => None,
                port => Some(port.strip_prefix(':')?),
            };
            return Some(Authority {
                host: Host::Address(IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)),
                port: parse_port(port)?,
            });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let port = parse_port(port)?;
        if let Ok(v4) = host.parse() {
            return Some(Authority {
                host: Host::Address(IpAddr::V4(v4)),
                port,
            });
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > NAME_BYTES || !name.bytes().all(good) {
            return None;
        }
        Some(Authority {
            host: Host::Name(name.to_ascii_lowercase()),
            port,
        })
    }
}

/// The outer `None`: not a port. An empty one is as good as none (RFC 3986 section 3.2.3).
fn parse_port(text: Option<&str>) -> Option<Option<u16>> {
    match text {
        None | Some("") => Some(None),
        Some(p) if p.bytes().all(|b| b.is_ascii_digit()) => p.parse().ok().map(Some),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Connection, Step};
    use crate::time::Now;

    fn request(head: &str) -> Request {
        let bytes = format!("{head}\r\n\r\n")
            .replace('\n', "\r\n")
            .replace("\r\r", "\r");
        match Connection::new(Now::default()).receive(Now::default(), bytes.as_bytes()) {
            Step::Answer(r) => r,
            other => panic!("{head}: {other:?}"),
        }
    }

    #[test]
    fn hosts_that_nobody_outside_can_point_here() {
        let names = Names::new(["NVR.example.org", "cams.example.com."]);
        for host in [
            "192.168.1.5",
            "192.168.1.5:8080",
            "[::1]",
            "[fe80::1]:80",
            "[2001:db8::1]:",
            "localhost",
            "LOCALHOST:1",
            "raspberrypi",
            "raspberrypi.local.",
            "a.b.local:80",
            "nvr.home.arpa",
            "nvr.internal",
            "x.localhost",
            "nvr.example.org",
            "Nvr.Example.Org.:443",
            "cams.example.com",
        ] {
            assert!(names.allow(host), "{host}");
        }
        for host in [
            "",
            ":80",
            ".",
            "evil.example",
            "example.org",
            "x.nvr.example.org",
            "nvr.example.org.evil.example",
            "192.168.1.5.evil.example",
            "evil.notlocal",
            "local.evil.example",
            "user@localhost",
            "localhost:80:80",
            "localhost:99999",
            "localhost:+80",
            "local host",
            "localhost/x",
            "[::1",
            "[::1]x",
            "[localhost]",
            "[::1%25eth0]",
            "n\u{e4}me",
        ] {
            assert!(!names.allow(host), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let ok = Ok(());
        let no = Err(Refused::Origin);
        for (head, tls, expected) in [
            (
                "GET / HTTP/1.1\nHost: nvr\nOrigin: http://evil.example",
                false,
                ok,
            ),
            ("POST / HTTP/1.1\nHost: nvr\nOrigin: http://nvr", false, ok),
            (
                "POST / HTTP/1.1\nHost: nvr:80\nOrigin: http://NVR",
                false,
                ok,
            ),
            (
                "POST / HTTP/1.1\nHost: nvr\nOrigin: http://nvr:80",
                false,
                ok,
            ),
            (
                "POST / HTTP/1.1\nHost: [::1]:8\nOrigin: http://[0::1]:8",
                false,
                ok,
            ),
            ("POST / HTTP/1.1\nHost: nvr\nOrigin: https://nvr", true, ok),
            ("POST / HTTP/1.1\nHost: nvr\nOrigin: https://nvr", false, ok),
            ("POST / HTTP/1.1\nHost: nvr\nOrigin: http://nvr", true, no),
            (
                "POST / HTTP/1.1\nHost: nvr\nOrigin: http://nvr:81",
                false,
                no,
            ),
            (
                "POST / HTTP/1.1\nHost: nvr:8080\nOrigin: http://nvr",
                false,
                no,
            ),
            (
                "POST / HTTP/1.1\nHost: nvr\nOrigin: http://evil.example",
                false,
                no,
            ),
            (
                "POST / HTTP/1.1\nHost: nvr\nOrigin: http://nvr.evil.example",
                false,
                no,
            ),
            (
                "POST / HTTP/1.1\nHost: nvr\nOrigin: http://nvr http://nvr",
                false,
                no,
            ),
            ("POST / HTTP/1.1\nHost: nvr\nOrigin: ws://nvr", false, no),
            (
                "POST / HTTP/1.1\nHost: nvr\nOrigin: http://u@nvr",
                false,
                no,
            ),
            ("POST / HTTP/1.1\nHost: nvr\nOrigin: http://nvr/", false, no),
            ("POST / HTTP/1.1\nHost: nvr\nOrigin: null", false, no),
            ("POST / HTTP/1.1\nHost: nvr\nOrigin:", false, no),
            ("POST / HTTP/1.1\nHost: nvr\nOrigin: \u{ff}", false, no),
            ("POST / HTTP/1.0\nOrigin: http://nvr", false, no),
            ("POST / HTTP/1.1\nHost: nvr", false, ok),
            (
                "POST / HTTP/1.1\nHost: nvr\nSec-Fetch-Site: same-origin",
                false,
                ok,
            ),
            (
                "POST / HTTP/1.1\nHost: nvr\nSec-Fetch-Site: none",
                false,
                ok,
            ),
            (
                "POST / HTTP/1.1\nHost: nvr\nSec-Fetch-Site: same-site",
                false,
                no,
            ),
            (
                "DELETE / HTTP/1.1\nHost: nvr\nSec-Fetch-Site: cross-site",
                false,
                no,
            ),
            (
                "GET / HTTP/1.1\nHost: nvr\nUpgrade: websocket\nOrigin: http://evil.example",
                false,
                no,
            ),
            (
                "GET / HTTP/1.1\nHost: nvr\nUpgrade: websocket\nOrigin: http://nvr",
                false,
                ok,
            ),
            ("GET / HTTP/1.1\nHost: nvr\nUpgrade: websocket", false, ok),
            ("GET / HTTP/1.0\n", false, ok),
            (
                "GET / HTTP/1.1\nHost: evil.example",
                false,
                Err(Refused::Host),
            ),
            (
                "GET / HTTP/1.1\nHost: evil.example\nX-Forwarded-Host: nvr",
                false,
                Err(Refused::Host),
            ),
        ] {
            let r = request(head.trim_end());
            let site = Site::of(&r, tls, false);
            assert_eq!(site.check(&r, &Names::default()), expected, "{head}");
        }
    }

    #[test]
    fn a_proxy_is_believed_only_if_it_is_ours_and_only_its_own_word() {
        let r = request(
            "POST / HTTP/1.1\nHost: 10.0.0.2:8080\nOrigin: https://nvr.example.org\n\
             X-Forwarded-Host: evil.example, nvr.example.org\nX-Forwarded-Proto: http\n\
             X-Forwarded-Proto: https\nX-Forwarded-For: 6.6.6.6, 203.0.113.7",
        );
        let names = Names::new(["nvr.example.org"]);
        let site = Site::of(&r, false, true);
        assert_eq!(
            site,
            Site {
                https: true,
                host: Some("nvr.example.org"),
                forwarded_for: Some("203.0.113.7".parse().unwrap()),
            }
        );
        assert_eq!(site.check(&r, &names), Ok(()));
        let site = Site::of(&r, false, false);
        assert_eq!((site.https, site.host), (false, Some("10.0.0.2:8080")));
        assert_eq!(site.forwarded_for, None);
        assert_eq!(site.check(&r, &names), Err(Refused::Origin));
        for (told, expected) in [
            ("[2001:db8::1]:4711", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("192.0.2.1:4711", Some("192.0.2.1")),
            ("unknown", None),
            ("192.0.2.1, ", Some("192.0.2.1")),
        ] {
            let r = request(&format!(
                "GET / HTTP/1.1\nHost: nvr\nX-Forwarded-For: {told}"
            ));
            let client = Site::of(&r, false, true).forwarded_for;
            assert_eq!(
                client.map(|ip| ip.to_string()).as_deref(),
                expected,
                "{told}"
            );
        }
    }
}
