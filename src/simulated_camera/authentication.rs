//! Who may see the pictures: Basic (RFC 7617) and Digest (RFC 7616, RFC 2069) from the server's side.

use super::message::{Reply, Request};
use md5::{Digest, Md5};
use rand_core::RngCore;
use sha2::Sha256;

const REALM: &str = "simulated camera";

/// A way to prove that one knows the password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    Basic,
    #[default]
    Md5,
    Sha256,
}

/// User name, password and how to prove them.
#[derive(Clone, PartialEq, Eq)]
pub struct Authentication {
    pub username: String,
    pub password: String,
    pub scheme: Scheme,
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authentication")
            .field("username", &self.username)
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

/// What became of a request's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    /// None, or wrong ones.
    Refused,
    /// Right ones for a nonce that is no longer valid.
    Stale,
}

/// How challenges differ from the usual, for the faults of that name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Oddities {
    pub refuse_all: bool,
    pub nonce_uses: Option<u64>,
    pub many: bool,
    pub bare: bool,
}

/// One connection's side of it: the nonces.
#[derive(Debug)]
pub(super) struct Authenticator {
    nonce: String,
    /// The nonce before, so that its user is told that it is stale rather than wrong.
    old_nonce: Option<String>,
    uses: u64,
    oddities: Oddities,
}

impl Authenticator {
    pub fn new(rng: &mut impl RngCore, oddities: Oddities) -> Authenticator {
        Authenticator {
            nonce: new_nonce(rng),
            old_nonce: None,
            uses: 0,
            oddities,
        }
    }

    /// Judges the `Authorization` header of a request.
    pub fn judge(
        &mut self,
        known: &Authentication,
        request: &Request,
        rng: &mut impl RngCore,
    ) -> Verdict {
        if self.oddities.refuse_all {
            return Verdict::Refused;
        }
        let Some((scheme, rest)) = request
            .header("Authorization")
            .and_then(|v| v.split_once(' '))
        else {
            return Verdict::Refused;
        };
        if scheme.eq_ignore_ascii_case("Basic") {
            let offered = known.scheme == Scheme::Basic || self.oddities.many;
            let right = encode_basic(known);
            return if offered && rest.trim() == right {
                Verdict::Accepted
            } else {
                Verdict::Refused
            };
        }
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Verdict::Refused;
        }
        let verdict = self.judge_digest(known, request, rest);
        if verdict == Verdict::Accepted {
            self.uses += 1;
            if self.oddities.nonce_uses.is_some_and(|n| self.uses >= n) {
                self.uses = 0;
                self.old_nonce = Some(std::mem::replace(&mut self.nonce, new_nonce(rng)));
            }
        }
        verdict
    }

    fn judge_digest(&self, known: &Authentication, request: &Request, params: &str) -> Verdict {
        let params = parse_params(params);
        let get = |name: &str| {
            params
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, v)| v.as_str())
        };
        let scheme = match get("algorithm") {
            None => Scheme::Md5,
            Some(a) if a.eq_ignore_ascii_case("MD5") => Scheme::Md5,
            Some(a) if a.eq_ignore_ascii_case("SHA-256") => Scheme::Sha256,
            Some(_) => return Verdict::Refused,
        };
        if scheme != known.scheme && !self.oddities.many {
            return Verdict::Refused;
        }
        let (Some(nonce), Some(uri), Some(response)) = (get("nonce"), get("uri"), get("response"))
        else {
            return Verdict::Refused;
        };
        if get("username") != Some(&known.username)
            || get("realm") != Some(REALM)
            || uri != request.uri
        {
            return Verdict::Refused;
        }
        let hash = |s: &str| hash_hex(scheme, s);
        let secret = hash(&format!("{}:{REALM}:{}", known.username, known.password));
        let what = hash(&format!("{}:{uri}", request.method));
        let right = match get("qop") {
            None => hash(&format!("{secret}:{nonce}:{what}")),
            Some("auth") => {
                let (Some(count), Some(client)) = (get("nc"), get("cnonce")) else {
                    return Verdict::Refused;
                };
                hash(&format!("{secret}:{nonce}:{count}:{client}:auth:{what}"))
            }
            Some(_) => return Verdict::Refused,
        };
        if right != response {
            Verdict::Refused
        } else if nonce == self.nonce {
            Verdict::Accepted
        } else if self.old_nonce.as_deref() == Some(nonce) {
            Verdict::Stale
        } else {
            Verdict::Refused
        }
    }

    /// The reply that asks for credentials.
    pub fn challenge(&self, known: &Authentication, verdict: Verdict) -> Reply {
        let mut schemes = vec![known.scheme];
        if self.oddities.many {
            schemes = vec![Scheme::Sha256, Scheme::Md5, Scheme::Basic];
        }
        let mut reply = Reply::new(401);
        for scheme in schemes {
            let algorithm = match scheme {
                Scheme::Basic => {
                    reply = reply.header("WWW-Authenticate", format!("Basic realm=\"{REALM}\""));
                    continue;
                }
                Scheme::Md5 => "MD5",
                Scheme::Sha256 => "SHA-256",
            };
            let mut value = format!("Digest realm=\"{REALM}\", nonce=\"{}\"", self.nonce);
            if !self.oddities.bare || scheme != Scheme::Md5 {
                value.push_str(&format!(", algorithm={algorithm}, qop=\"auth\""));
            }
            if verdict == Verdict::Stale {
                value.push_str(", stale=true");
            }
            reply = reply.header("WWW-Authenticate", value);
        }
        reply
    }
}

fn encode_basic(known: &Authentication) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD
        .encode(format!("{}:{}", known.username, known.password))
}

fn new_nonce(rng: &mut impl RngCore) -> String {
    format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())
}

fn hash_hex(scheme: Scheme, s: &str) -> String {
    let digest = match scheme {
        Scheme::Sha256 => Sha256::digest(s).to_vec(),
        Scheme::Md5 | Scheme::Basic => Md5::digest(s).to_vec(),
    };
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// `name=value` and `name="value"` pairs between commas.
fn parse_params(s: &str) -> Vec<(String, String)> {
    let mut params = Vec::new();
    let mut rest = s;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([',', ' ', '\t']).to_owned();
        let value;
        if let Some(quoted) = after.strip_prefix('"') {
            let mut escaped = false;
            let end = quoted
                .find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                })
                .unwrap_or(quoted.len());
            value = quoted[..end].replace("\\\"", "\"").replace("\\\\", "\\");
            rest = quoted.get(end + 1..).unwrap_or("");
        } else {
            let end = after.find(',').unwrap_or(after.len());
            value = after[..end].trim().to_owned();
            rest = &after[end..];
        }
        params.push((name, value));
    }
    params
}

#[cfg(test)]
mod tests {
    use super::super::message::{Input, parse};
    use super::*;
    use rand_core::SeedableRng;

    fn rng() -> rand_pcg::Pcg64Mcg {
        rand_pcg::Pcg64Mcg::seed_from_u64(7)
    }

    fn known(scheme: Scheme) -> Authentication {
        Authentication {
            username: "admin".to_owned(),
            password: "gar\"den:1".to_owned(),
            scheme,
        }
    }

    fn request(authorization: Option<&str>) -> Request {
        let header = authorization.map_or(String::new(), |a| format!("Authorization: {a}\r\n"));
        let text = format!("DESCRIBE rtsp://cam/main RTSP/1.0\r\n{header}\r\n");
        match parse(text.as_bytes()) {
            Input::Request(r, _) => r,
            other => panic!("{other:?}"),
        }
    }

    /// The answer of the crate that the recorder's client uses.
    fn answer(reply: &Reply, password: &str) -> String {
        let bytes = String::from_utf8(reply.to_bytes("1", false)).unwrap();
        let challenge = bytes
            .lines()
            .find_map(|l| l.strip_prefix("WWW-Authenticate: "))
            .unwrap();
        http_auth::PasswordClient::try_from(challenge)
            .unwrap()
            .respond(&http_auth::PasswordParams {
                username: "admin",
                password,
                uri: "rtsp://cam/main",
                method: "DESCRIBE",
                body: Some(&[]),
            })
            .unwrap()
    }

    #[test]
    fn every_scheme_takes_the_right_password_only() {
        for scheme in [Scheme::Basic, Scheme::Md5, Scheme::Sha256] {
            for bare in [false, true] {
                let mut rng = rng();
                let known = known(scheme);
                let mut a = Authenticator::new(
                    &mut rng,
                    Oddities {
                        bare,
                        ..Oddities::default()
                    },
                );
                assert_eq!(a.judge(&known, &request(None), &mut rng), Verdict::Refused);
                let challenge = a.challenge(&known, Verdict::Refused);
                for (password, verdict) in [
                    (known.password.as_str(), Verdict::Accepted),
                    ("wrong", Verdict::Refused),
                ] {
                    let answer = answer(&challenge, password);
                    assert_eq!(
                        a.judge(&known, &request(Some(&answer)), &mut rng),
                        verdict,
                        "{answer}"
                    );
                }
            }
        }
    }

    #[test]
    fn nonces_get_stale() {
        let mut rng = rng();
        let known = known(Scheme::Sha256);
        let oddities = Oddities {
            nonce_uses: Some(2),
            ..Oddities::default()
        };
        let mut a = Authenticator::new(&mut rng, oddities);
        let challenge = a.challenge(&known, Verdict::Refused);
        let verdicts: Vec<Verdict> = (0..3)
            .map(|_| {
                let answer = answer(&challenge, &known.password);
                a.judge(&known, &request(Some(&answer)), &mut rng)
            })
            .collect();
        assert_eq!(
            verdicts,
            [Verdict::Accepted, Verdict::Accepted, Verdict::Stale]
        );
    }

    /// The example of RFC 2617 section 3.5.
    #[test]
    fn md5_digest_as_in_the_rfc() {
        let secret = hash_hex(Scheme::Md5, "Mufasa:testrealm@host.com:Circle Of Life");
        let what = hash_hex(Scheme::Md5, "GET:/dir/index.html");
        let response = hash_hex(
            Scheme::Md5,
            &format!("{secret}:dcd98b7102dd2f0e8b11d0f600bfb0c093:00000001:0a4f113b:auth:{what}"),
        );
        assert_eq!(response, "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn parameters_are_told_apart() {
        let params = parse_params("a=\"x, \\\"y\\\"\", b=1,c=\"\" , d=\"open");
        let pairs: Vec<(&str, &str)> = params
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [("a", "x, \"y\""), ("b", "1"), ("c", ""), ("d", "open")]
        );
    }
}
