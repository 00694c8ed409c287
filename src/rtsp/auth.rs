//! Basic (RFC 7617) and Digest (RFC 7616, 2617 and 2069) authentication, the client's side.
//!
//! Refuses: other schemes, algorithms other than MD5 and SHA-256, hashed user names. The client
//! nonce is made from a seed of the caller's; the password never leaves but in an `Authorization`.

use super::message::Headers;
use crate::config::Secret;
use base64::Engine;
use md5::Md5;
use sha2::{Digest as _, Sha256};

/// A hash for Digest authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    /// Hashes `parts` joined by colons; hex in lower case.
    fn hash(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Algorithm::Md5 => hex(&Md5::digest(text)),
            Algorithm::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// What a Digest response is computed from (RFC 7616 section 3.4.1), quoting undone.
#[derive(Clone, Copy)]
pub struct DigestInput<'a> {
    pub algorithm: Algorithm,
    /// A `-sess` algorithm.
    pub session: bool,
    pub username: &'a str,
    pub realm: &'a str,
    pub password: &'a str,
    pub method: &'a str,
    pub uri: &'a str,
    pub nonce: &'a str,
    /// `qop` (`auth` or `auth-int`), nonce count (8 hex digits) and client nonce; `None` as in
    /// RFC 2069.
    pub qop: Option<(&'a str, &'a str, &'a str)>,
}

/// The `response` of Digest authentication for a request without a body; either side computes it.
pub fn digest_response(d: &DigestInput<'_>) -> String {
    let hash = |parts: &[&str]| d.algorithm.hash(parts);
    let mut a1 = hash(&[d.username, d.realm, d.password]);
    if let (true, Some((_, _, cnonce))) = (d.session, d.qop) {
        a1 = hash(&[&a1, d.nonce, cnonce]);
    }
    let a2 = match d.qop {
        Some(("auth-int", _, _)) => hash(&[d.method, d.uri, &hash(&[""])]),
        _ => hash(&[d.method, d.uri]),
    };
    match d.qop {
        Some((qop, nc, cnonce)) => hash(&[&a1, d.nonce, nc, cnonce, qop, &a2]),
        None => hash(&[&a1, d.nonce, &a2]),
    }
}

/// Answers a server's challenges with a user's name and password.
pub(crate) struct Authenticator {
    username: String,
    password: Secret,
    seed: u64,
    challenge: Option<Challenge>,
    /// Challenges taken so far: no two get the same client nonce.
    taken: u64,
}

/// A challenge that outlives its connection, for a camera that closes one after each refusal.
#[derive(Debug)]
pub struct KeptChallenge(Challenge);

#[derive(Debug)]
enum Challenge {
    Basic,
    Digest(Box<Digest>),
}

/// A Digest challenge; strings as they were between the quotes, escapes and all.
#[derive(Debug)]
struct Digest {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    session: bool,
    /// The server named the algorithm, so it is named back.
    algorithm_named: bool,
    qop: Option<&'static str>,
    stale: bool,
    cnonce: String,
    count: u32,
}

/// What a 401 meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Challenged {
    /// It can be answered. `stale`: the server says that only the nonce was too old.
    Answerable { stale: bool },
    /// No challenge in it that we know how to answer.
    Unknown,
}

impl Authenticator {
    pub(crate) fn new(username: String, password: Secret, seed: u64) -> Authenticator {
        Authenticator {
            username,
            password,
            seed,
            challenge: None,
            taken: 0,
        }
    }

    /// Takes the challenges of a 401: the first Digest that we know, else Basic (RFC 7616 section
    /// 3.7: the server lists them in the order it likes).
    pub(crate) fn challenged(&mut self, headers: &Headers) -> Challenged {
        let offers: Vec<Offer> = headers
            .get_all("WWW-Authenticate")
            .flat_map(parse_offers)
            .collect();
        self.taken += 1;
        let cnonce = hex(&Sha256::digest(format!("{:016x}{}", self.seed, self.taken))[..16]);
        if let Some(digest) = offers.iter().find_map(|o| Digest::new(o, &cnonce)) {
            let stale = digest.stale;
            self.challenge = Some(Challenge::Digest(Box::new(digest)));
            return Challenged::Answerable { stale };
        }
        if offers
            .iter()
            .any(|o| o.scheme.eq_ignore_ascii_case("Basic"))
        {
            self.challenge = Some(Challenge::Basic);
            return Challenged::Answerable { stale: false };
        }
        Challenged::Unknown
    }

    /// Takes a challenge that another connection brought.
    pub(super) fn take_over(&mut self, challenge: KeptChallenge) {
        self.challenge = Some(challenge.0);
    }

    /// Gives the newest challenge away, for another connection.
    pub(super) fn give_up(&mut self) -> Option<KeptChallenge> {
        self.challenge.take().map(KeptChallenge)
    }

    /// The `Authorization` for a request without a body. `None` before the first challenge.
    pub(crate) fn authorize(&mut self, method: &str, uri: &str) -> Option<String> {
        match self.challenge.as_mut()? {
            Challenge::Basic => {
                let plain = format!("{}:{}", self.username, self.password.0);
                let coded = base64::engine::general_purpose::STANDARD.encode(plain);
                Some(format!("Basic {coded}"))
            }
            Challenge::Digest(d) => Some(d.authorize(&self.username, &self.password, method, uri)),
        }
    }
}

impl Digest {
    /// `None` if the offer is none for Digest, lacks the nonce, or wants what we do not know.
    fn new(offer: &Offer, cnonce: &str) -> Option<Digest> {
        if !offer.scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let (algorithm, session) = match offer.get("algorithm") {
            None | Some("") => (Algorithm::Md5, false),
            Some(name) => match name.to_ascii_lowercase().as_str() {
                "md5" => (Algorithm::Md5, false),
                "md5-sess" => (Algorithm::Md5, true),
                "sha-256" => (Algorithm::Sha256, false),
                "sha-256-sess" => (Algorithm::Sha256, true),
                _ => return None,
            },
        };
        let qops = || offer.get("qop").unwrap_or_default().split([',', ' ']);
        Some(Digest {
            realm: offer.get("realm").unwrap_or_default().to_owned(),
            nonce: offer.get("nonce")?.to_owned(),
            opaque: offer.get("opaque").map(str::to_owned),
            algorithm,
            session,
            algorithm_named: offer.get("algorithm").is_some(),
            qop: ["auth", "auth-int"]
                .into_iter()
                .find(|known| qops().any(|q| q.eq_ignore_ascii_case(known))),
            stale: offer
                .get("stale")
                .is_some_and(|s| s.eq_ignore_ascii_case("true")),
            cnonce: cnonce.to_owned(),
            count: 0,
        })
    }

    fn authorize(&mut self, username: &str, password: &Secret, method: &str, uri: &str) -> String {
        self.count = self.count.saturating_add(1);
        let count = format!("{:08x}", self.count);
        let response = digest_response(&DigestInput {
            algorithm: self.algorithm,
            session: self.session,
            username,
            realm: &unescape(&self.realm),
            password: &password.0,
            method,
            uri,
            nonce: &unescape(&self.nonce),
            qop: self
                .qop
                .map(|qop| (qop, count.as_str(), self.cnonce.as_str())),
        });
        let username = username.replace('\\', "\\\\").replace('"', "\\\"");
        let (realm, nonce) = (&self.realm, &self.nonce);
        let mut out = format!(
            "Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", \
             uri=\"{uri}\", response=\"{response}\""
        );
        if self.algorithm_named {
            out.push_str(match (self.algorithm, self.session) {
                (Algorithm::Md5, false) => ", algorithm=MD5",
                (Algorithm::Md5, true) => ", algorithm=MD5-sess",
                (Algorithm::Sha256, false) => ", algorithm=SHA-256",
                (Algorithm::Sha256, true) => ", algorithm=SHA-256-sess",
            });
        }
        if let Some(opaque) = &self.opaque {
            out.push_str(&format!(", opaque=\"{opaque}\""));
        }
        if let Some(qop) = self.qop {
            out.push_str(&format!(
                ", qop={qop}, nc={count}, cnonce=\"{}\"",
                self.cnonce
            ));
        }
        out
    }
}

/// One challenge as offered.
#[derive(Debug, Default, PartialEq, Eq)]
struct Offer {
    scheme: String,
    params: Vec<(String, String)>,
}

impl Offer {
    fn get(&self, key: &str) -> Option<&str> {
        let mut params = self.params.iter();
        params
            .find(|(k, _)| k.eq_ignore_ascii_case(key))
            .map(|(_, v)| v.as_str())
    }
}

/// The challenges of one header (RFC 7235 section 4.1). Forgives missing and double commas, spaces
/// around `=`, tokens that should be quoted and the reverse, a missing last quote.
fn parse_offers(value: &str) -> Vec<Offer> {
    let mut offers: Vec<Offer> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t', '=', '"']);
        if rest.is_empty() {
            return offers;
        }
        let (word, after) = split_at_any(rest, &[',', ' ', '\t', '=', '"']);
        match (after.trim_start().strip_prefix('='), offers.last_mut()) {
            (Some(after), Some(offer)) => {
                let (v, after) = parse_value(after.trim_start());
                offer.params.push((word.to_owned(), v.to_owned()));
                rest = after;
            }
            (Some(after), None) => rest = parse_value(after.trim_start()).1,
            (None, _) => {
                offers.push(Offer {
                    scheme: word.to_owned(),
                    params: Vec::new(),
                });
                rest = after;
            }
        }
    }
}

/// A quoted string (escapes left in) or a token, and what follows.
fn parse_value(text: &str) -> (&str, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        return split_at_any(text, &[',', ' ', '\t']);
    };
    let mut escaped = false;
    for (i, c) in quoted.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return (&quoted[..i], &quoted[i + 1..]),
            _ => {}
        }
    }
    // A lone backslash at the end would escape our own closing quote.
    (quoted.trim_end_matches('\\'), "")
}

fn split_at_any<'a>(text: &'a str, ends: &[char]) -> (&'a str, &'a str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

fn unescape(quoted: &str) -> String {
    let mut out = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authenticator() -> Authenticator {
        Authenticator::new("admin".into(), Secret("hunter2".into()), 1)
    }

    fn headers(challenges: &[&str]) -> Headers {
        let mut headers = Headers::default();
        for c in challenges {
            headers.push("www-authenticate", *c);
        }
        headers
    }

    /// RFC 7616 section 3.9.1, RFC 2617 section 3.5, and RFC 2069 section 2.4 as its erratum mends it.
    #[test]
    fn the_rfcs_examples() {
        let rfc7616 = DigestInput {
            algorithm: Algorithm::Md5,
            session: false,
            username: "Mufasa",
            realm: "http-auth@example.org",
            password: "Circle of Life",
            method: "GET",
            uri: "/dir/index.html",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            qop: Some((
                "auth",
                "00000001",
                "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            )),
        };
        assert_eq!(
            digest_response(&rfc7616),
            "8ca523f5e9506fed4657c9700eebdbec"
        );
        let sha256 = DigestInput {
            algorithm: Algorithm::Sha256,
            ..rfc7616
        };
        assert_eq!(
            digest_response(&sha256),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
        let rfc2617 = DigestInput {
            realm: "testrealm@host.com",
            password: "Circle Of Life",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            qop: Some(("auth", "00000001", "0a4f113b")),
            ..rfc7616
        };
        assert_eq!(
            digest_response(&rfc2617),
            "6629fae49393a05397450978507c4ef1"
        );
        let rfc2069 = DigestInput {
            password: "CircleOfLife",
            qop: None,
            ..rfc2617
        };
        assert_eq!(
            digest_response(&rfc2069),
            "1949323746fe6a43ef61f9606e7febea"
        );
    }

    #[test]
    fn challenges_are_read_forgivingly() {
        for value in [
            r#"Digest realm="a", nonce="b", stale=FALSE, Basic realm="c""#,
            r#"digest REALM = "a" nonce="b",, stale="FALSE"  ,Basic realm=c"#,
            r#"Digest realm=a,nonce=b,stale=false,Basic realm="c"#,
        ] {
            let offers = parse_offers(value);
            assert_eq!(offers.len(), 2, "{offers:?}");
            assert_eq!(
                (offers[0].get("realm"), offers[0].get("nonce")),
                (Some("a"), Some("b"))
            );
            assert_eq!(offers[1].get("Realm"), Some("c"));
        }
        let odd = parse_offers(r#"Digest realm="a, b=\"c\"", nonce="==", opaque="""#);
        assert_eq!(odd[0].get("realm"), Some(r#"a, b=\"c\""#));
        assert_eq!(
            (odd[0].get("nonce"), odd[0].get("opaque")),
            (Some("=="), Some(""))
        );
        assert_eq!(parse_offers(r#"x="y", ,="#), vec![]);
        assert_eq!(
            parse_offers("Digest nonce=\"é\\")[0].get("nonce"),
            Some("é")
        );
    }

    #[test]
    fn digest_is_preferred_and_the_first_known_algorithm_taken() {
        let basic = "Basic realm=\"x\"";
        let unknown = "Digest realm=\"x\", nonce=\"1\", algorithm=SHA-512-256, qop=\"auth\"";
        let sha = "Digest realm=\"x\", nonce=\"2\", algorithm=SHA-256, qop=\"auth,auth-int\"";
        let md5 = "Digest realm=\"x\", nonce=\"3\", algorithm=\"MD5\"";
        for (offered, has) in [
            (
                &[basic, unknown, sha, md5][..],
                Some("algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\""),
            ),
            (&[md5, sha], Some("nonce=\"3\"")),
            (&[unknown, basic], Some("Basic YWRtaW46aHVudGVyMg==")),
            (&[unknown, "Negotiate"], None),
            (&["Digest realm=\"no nonce\""], None),
            (&[], None),
        ] {
            let mut auth = authenticator();
            let challenged = auth.challenged(&headers(offered));
            let answer = auth.authorize("PLAY", "rtsp://192.0.2.1/");
            assert_eq!(challenged == Challenged::Unknown, has.is_none());
            match has {
                Some(has) => assert!(answer.as_deref().unwrap().contains(has), "{answer:?}"),
                None => assert_eq!(answer, None),
            }
        }
    }

    #[test]
    fn no_algorithm_and_no_qop_leave_both_out() {
        let mut auth = authenticator();
        auth.challenged(&headers(&[
            "Digest realm=\"IP Camera\", nonce=\"abc\", stale=\"FALSE\"",
        ]));
        let answer = auth.authorize("DESCRIBE", "rtsp://192.0.2.1/main").unwrap();
        let expected = digest_response(&DigestInput {
            algorithm: Algorithm::Md5,
            session: false,
            username: "admin",
            realm: "IP Camera",
            password: "hunter2",
            method: "DESCRIBE",
            uri: "rtsp://192.0.2.1/main",
            nonce: "abc",
            qop: None,
        });
        assert_eq!(
            answer,
            format!(
                "Digest username=\"admin\", realm=\"IP Camera\", nonce=\"abc\", \
                 uri=\"rtsp://192.0.2.1/main\", response=\"{expected}\""
            )
        );
    }

    #[test]
    fn the_nonce_count_goes_up_and_the_client_nonce_follows_the_seed() {
        let challenge = headers(&["Digest realm=\"r\", nonce=\"n\", qop=\"auth\", stale=true"]);
        let mut auth = authenticator();
        assert_eq!(
            auth.challenged(&challenge),
            Challenged::Answerable { stale: true }
        );
        let first = auth.authorize("PLAY", "u").unwrap();
        assert!(first.contains("nc=00000001"));
        assert!(auth.authorize("PLAY", "u").unwrap().contains("nc=00000002"));
        auth.challenged(&challenge);
        assert_ne!(auth.authorize("PLAY", "u").unwrap(), first);
        let mut again = authenticator();
        again.challenged(&challenge);
        assert_eq!(again.authorize("PLAY", "u").unwrap(), first);
    }

    /// Another implementation comes to the same answers. (Not for `auth-int`: it leaves out the hash of
    /// the body that RFC 7616 section 3.4.3 asks for.)
    #[test]
    fn http_auth_agrees() {
        for challenge in [
            r#"Digest realm="IP Camera", nonce="abc""#,
            r#"Digest realm="a \"b\" c", nonce="ab\\c", opaque="o", algorithm=MD5, qop="auth""#,
            r#"Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth""#,
            r#"Digest realm="r", nonce="n", algorithm=MD5-sess, qop="auth""#,
        ] {
            let mut ours = authenticator();
            ours.challenged(&headers(&[challenge]));
            let answer = ours.authorize("SETUP", "rtsp://192.0.2.1/main").unwrap();
            let Some(Challenge::Digest(d)) = &ours.challenge else {
                panic!("no digest");
            };
            let offers = http_auth::parse_challenges(challenge).unwrap();
            let mut theirs = http_auth::DigestClient::try_from(&offers[0]).unwrap();
            let params = http_auth::PasswordParams {
                username: "admin",
                password: "hunter2",
                uri: "rtsp://192.0.2.1/main",
                method: "SETUP",
                body: Some(&[]),
            };
            let expected = theirs.respond_with_testing_cnonce(&params, &d.cnonce);
            let expected = expected.unwrap();
            let response = |a: &str| parse_offers(a)[0].get("response").map(str::to_owned);
            assert_eq!(response(&answer), response(&expected), "{challenge}");
            for key in ["realm", "nonce", "opaque", "nc", "qop"] {
                assert_eq!(
                    parse_offers(&answer)[0].get(key),
                    parse_offers(&expected)[0].get(key)
                );
            }
        }
    }

    #[test]
    fn session_algorithms_and_auth_int() {
        let mut auth = authenticator();
        auth.challenged(&headers(&[
            "Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\", algorithm=MD5-sess",
        ]));
        let answer = auth.authorize("PLAY", "u").unwrap();
        let Some(Challenge::Digest(d)) = &auth.challenge else {
            panic!("no digest");
        };
        let md5 = |parts: &[&str]| Algorithm::Md5.hash(parts);
        let a1 = md5(&[&md5(&["admin", "r", "hunter2"]), "n", &d.cnonce]);
        let a2 = md5(&["PLAY", "u", "d41d8cd98f00b204e9800998ecf8427e"]);
        let response = md5(&[&a1, "n", "00000001", &d.cnonce, "auth-int", &a2]);
        assert!(answer.contains(&response));
        assert!(answer.contains("algorithm=MD5-sess, qop=auth-int"));
    }
}
