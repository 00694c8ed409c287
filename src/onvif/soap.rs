//! SOAP 1.2 over HTTP as ONVIF profiles it: envelopes, faults, and the two ways to sign in.
//!
//! [`Caller`] speaks with one device under one user name and password. It proves them once: a call is
//! first sent without them, and only what the device then asks for is answered, by HTTP digest
//! (RFC 7616) or WS-UsernameToken (WSS UsernameToken Profile 1.0). A device that refuses that is not asked
//! again, for each further try may lock the account.

use super::xml::{Element, escape};
use crate::config::Secret;
use crate::http::{ClientRequest, ClientResponse};
use crate::rtsp::message::Headers;
use crate::rtsp::{Authenticator, Challenged};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::fmt;
use url::Url;

/// The longest text of a device's that is told to people, in characters.
const MAX_REASON_CHARS: usize = 160;

/// A call to a service.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The service's address, on the device.
    pub url: Url,
    /// `SOAPAction`, and the `Action` of WS-Addressing where `addressed`.
    pub action: String,
    /// The element within the body, with its namespaces.
    pub body: String,
    /// With WS-Addressing headers (events), and what the subscription's reference wants in them.
    pub addressed: Option<String>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.url)
    }
}

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SoapError {
    /// The user name and password are wrong, or there should be some. Not to be tried again.
    #[error("it refuses this user name and password")]
    Refused,
    /// They are right, and may not do this.
    #[error("this user may not ask that")]
    Forbidden,
    /// It does not know the call.
    #[error("it cannot do that")]
    Unsupported,
    #[error("it says: {0}")]
    Fault(String),
    /// Not SOAP, or not what was asked for.
    #[error("it answers something that cannot be understood: {0}")]
    Answer(String),
}

/// What comes of a device's answer to a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The same call is to be sent again ([`Caller::request`]), now with the user's name.
    Again,
    Done(Result<Element, SoapError>),
}

/// How a device wants to be shown who asks.
enum Proof {
    /// It has not asked yet.
    Unasked,
    Token,
    Http(Box<Authenticator>),
}

/// See the module.
pub struct Caller {
    username: String,
    password: Secret,
    seed: u64,
    /// Nonces given out.
    nonces: u64,
    proof: Proof,
    /// The call that was sent last held a proof.
    proving: bool,
    /// A proof was taken.
    proven: bool,
    /// Proofs that were shown before one was taken.
    shown: u32,
    /// A digest's nonce was too old, once for this call.
    renewed: bool,
    /// So many seconds is the device's clock ahead of ours: a token's time is by its clock.
    clock_ahead_secs: i64,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({})", self.username)
    }
}

impl Caller {
    /// `seed` is where nonces come from: another one for each caller.
    pub fn new(username: &str, password: &Secret, seed: u64) -> Caller {
        Caller {
            username: username.to_owned(),
            password: password.clone(),
            seed,
            nonces: 0,
            proof: Proof::Unasked,
            proving: false,
            proven: false,
            shown: 0,
            renewed: false,
            clock_ahead_secs: 0,
        }
    }

    pub fn set_clock_ahead(&mut self, secs: i64) {
        self.clock_ahead_secs = secs;
    }

    /// Whether the device has taken the user name and password.
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// How often the user name and password were shown without having been taken: what a device may count as
    /// wrong.
    pub fn shown_in_vain(&self) -> u32 {
        if self.proven { 0 } else { self.shown }
    }

    /// Whether the next request shows them, and it is not known whether the device takes them.
    pub fn is_about_to_show(&self) -> bool {
        let shows = !self.username.is_empty() && !matches!(self.proof, Proof::Unasked);
        shows && !self.proven
    }

    /// The request that makes a call; `unix_secs` is our time of day.
    pub fn request(&mut self, call: &Call, unix_secs: i64) -> ClientRequest {
        let target = &call.url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut header = String::new();
        let mut authorization = None;
        self.proving = !self.username.is_empty();
        match &mut self.proof {
            Proof::Unasked => self.proving = false,
            Proof::Http(http) => authorization = http.authorize("POST", target),
            Proof::Token => header = self.token(unix_secs),
        }
        self.shown += u32::from(self.proving);
        if let Some(reference) = &call.addressed {
            let id = hex(&self.nonce());
            header.push_str(&format!(
                "<a:Action s:mustUnderstand=\"1\">{}</a:Action>\
                 <a:MessageID>urn:uuid:{}-{}-4{}-8{}-{}</a:MessageID>\
                 <a:ReplyTo><a:Address>http://www.w3.org/2005/08/addressing/anonymous</a:Address>\
                 </a:ReplyTo><a:To s:mustUnderstand=\"1\">{}</a:To>{reference}",
                escape(&call.action),
                &id[..8],
                &id[8..12],
                &id[13..16],
                &id[17..20],
                &id[20..32],
                escape(call.url.as_str()),
            ));
        }
        let header = match header.is_empty() {
            true => String::new(),
            false => format!("<s:Header>{header}</s:Header>"),
        };
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
             xmlns:a=\"http://www.w3.org/2005/08/addressing\">{header}<s:Body>{}</s:Body></s:Envelope>",
            call.body
        );
        ClientRequest {
            method: "POST",
            host: host_field(&call.url),
            target: target.to_owned(),
            content_type: Some(format!(
                "application/soap+xml; charset=utf-8; action=\"{}\"",
                call.action
            )),
            authorization,
            body: body.into_bytes(),
        }
    }

    /// What came of it.
    pub fn answered(&mut self, response: &ClientResponse) -> Step {
        let reply = body_of(response);
        let unauthorized = response.status == 401 || matches!(reply, Err(SoapError::Refused));
        if !unauthorized {
            self.renewed = false;
            self.proven |= self.proving && reply.is_ok();
            return Step::Done(reply);
        }
        if self.username.is_empty() {
            return Step::Done(Err(SoapError::Refused));
        }
        let mut headers = Headers::default();
        for (name, value) in &response.headers {
            headers.push(name, value.clone());
        }
        match &mut self.proof {
            Proof::Unasked => {
                let seed = self.seed ^ 0x5851_f42d_4c95_7f2d;
                let mut http =
                    Authenticator::new(self.username.clone(), self.password.clone(), seed);
                self.proof = match http.challenged(&headers) {
                    Challenged::Answerable { .. } => Proof::Http(Box::new(http)),
                    Challenged::Unknown => Proof::Token,
                };
                Step::Again
            }
            // Only the nonce was too old.
            Proof::Http(http) if !self.renewed && self.proving => match http.challenged(&headers) {
                Challenged::Answerable { stale: true } => {
                    self.renewed = true;
                    Step::Again
                }
                _ => Step::Done(Err(self.refusal())),
            },
            Proof::Http(_) | Proof::Token => Step::Done(Err(self.refusal())),
        }
    }

    fn refusal(&mut self) -> SoapError {
        match self.proven {
            true => SoapError::Forbidden,
            false => SoapError::Refused,
        }
    }

    fn nonce(&mut self) -> [u8; 16] {
        self.nonces += 1;
        let digest = Sha256::digest(format!("{:016x}{}", self.seed, self.nonces));
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&digest[..16]);
        nonce
    }

    /// WS-UsernameToken with a digest (UsernameToken Profile 1.0 section 3.1).
    fn token(&mut self, unix_secs: i64) -> String {
        let nonce = self.nonce();
        let created = timestamp(unix_secs.saturating_add(self.clock_ahead_secs));
        let digest = password_digest(&nonce, &created, &self.password.0);
        const WSS: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss";
        format!(
            "<w:Security s:mustUnderstand=\"1\" xmlns:w=\"{WSS}-wssecurity-secext-1.0.xsd\" \
             xmlns:u=\"{WSS}-wssecurity-utility-1.0.xsd\"><w:UsernameToken>\
             <w:Username>{}</w:Username>\
             <w:Password Type=\"{WSS}-username-token-profile-1.0#PasswordDigest\">{digest}</w:Password>\
             <w:Nonce EncodingType=\"{WSS}-soap-message-security-1.0#Base64Binary\">{}</w:Nonce>\
             <u:Created>{created}</u:Created></w:UsernameToken></w:Security>",
            escape(&self.username),
            STANDARD.encode(nonce),
        )
    }
}

/// `Base64 ( SHA-1 ( nonce + created + password ) )`.
pub fn password_digest(nonce: &[u8], created: &str, password: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(nonce);
    hash.update(created);
    hash.update(password);
    STANDARD.encode(hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn timestamp(unix_secs: i64) -> String {
    match jiff::Timestamp::from_second(unix_secs) {
        Ok(t) => t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => "1970-01-01T00:00:00Z".to_owned(),
    }
}

/// A `Host` field's value.
fn host_field(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// What is within the body, or the fault.
fn body_of(response: &ClientResponse) -> Result<Element, SoapError> {
    let not_soap = |why: String| match response.status {
        200..=299 => SoapError::Answer(why),
        401 => SoapError::Refused,
        403 => SoapError::Forbidden,
        404 | 405 | 501 => SoapError::Unsupported,
        status => SoapError::Answer(format!("HTTP status {status}")),
    };
    let mut envelope = Element::parse(&response.body).map_err(|e| not_soap(e.to_string()))?;
    let body = envelope.children.iter_mut().find(|c| c.name == "Body");
    let Some(body) = body.filter(|b| !b.children.is_empty()) else {
        // An answer without anything in it says yes.
        return match (response.status, envelope.name.as_str()) {
            (200..=299, "Envelope") => Ok(Element::default()),
            _ => Err(not_soap("it is no SOAP message".to_owned())),
        };
    };
    let reply = body.children.swap_remove(0);
    match reply.name.as_str() {
        "Fault" => Err(fault(&reply)),
        _ => Ok(reply),
    }
}

/// What a fault means (SOAP 1.2 section 5.4, ONVIF Core section 5.8.2; 1.1's for those that are older).
fn fault(fault: &Element) -> SoapError {
    let mut codes: Vec<&str> = fault
        .find_all("Value")
        .iter()
        .map(|v| v.text.as_str())
        .collect();
    codes.extend(fault.text_at(&["faultcode"]));
    let is = |word: &str| codes.iter().any(|c| c.ends_with(word));
    let reason = fault
        .text_at(&["Reason", "Text"])
        .or(fault.text_at(&["faultstring"]))
        .unwrap_or_default();
    let lower = reason.to_ascii_lowercase();
    // Some say it in words only.
    let says_so = [
        "not authorized",
        "unauthorized",
        "authority failure",
        "not authenticated",
    ];
    if is("NotAuthorized")
        || is("FailedAuthentication")
        || says_so.iter().any(|w| lower.contains(w))
    {
        return SoapError::Refused;
    }
    if [
        "ActionNotSupported",
        "NoSuchService",
        "OptionalActionNotImplemented",
        "UnknownAction",
    ]
    .iter()
    .any(|code| is(code))
    {
        return SoapError::Unsupported;
    }
    let short: String = reason
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_REASON_CHARS)
        .collect();
    match short.trim() {
        "" => SoapError::Fault(
            codes
                .last()
                .copied()
                .unwrap_or("no")
                .chars()
                .take(MAX_REASON_CHARS)
                .collect(),
        ),
        reason => SoapError::Fault(reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call {
            url: Url::parse("http://192.0.2.7:8000/onvif/device_service?x=1").unwrap(),
            action: "http://www.onvif.org/ver10/device/wsdl/GetScopes".to_owned(),
            body: "<GetScopes/>".to_owned(),
            addressed: None,
        }
    }

    fn caller() -> Caller {
        Caller::new("admin", &Secret("hunter2".to_owned()), 7)
    }

    fn response(status: u16, headers: &[(&str, &str)], body: &str) -> ClientResponse {
        ClientResponse {
            status,
            headers: headers
                .iter()
                .map(|(n, v)| (n.to_string(), v.to_string()))
                .collect(),
            body: format!("<s:Envelope xmlns:s='s'><s:Body>{body}</s:Body></s:Envelope>")
                .into_bytes(),
        }
    }

    const REFUSED: &str = "<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode>\
        <s:Value>ter:NotAuthorized</s:Value></s:Subcode></s:Code><s:Reason>\
        <s:Text>Sender not Authorized</s:Text></s:Reason></s:Fault>";

    #[test]
    fn the_digest_is_the_one_of_the_standard() {
        // ONVIF Application Programmer's Guide, section 6.1.1.3.
        let nonce = STANDARD.decode("LKqI6G/AikKCQrN0zqZFlg==").unwrap();
        let digest = password_digest(&nonce, "2010-09-16T07:50:45Z", "userpassword");
        assert_eq!(digest, "tuOSpGlFlIXsozq4HFNeeGeFLEI=");
    }

    #[test]
    fn a_token_is_shown_once_and_by_the_devices_clock() {
        let mut caller = caller();
        caller.set_clock_ahead(-1_000_000_000);
        let plain = caller.request(&call(), 1_700_000_000);
        assert!(
            !String::from_utf8(plain.body)
                .unwrap()
                .contains("UsernameToken")
        );
        assert_eq!(plain.target, "/onvif/device_service?x=1");
        assert_eq!(plain.host, "192.0.2.7:8000");
        assert_eq!(caller.answered(&response(400, &[], REFUSED)), Step::Again);
        let with = caller.request(&call(), 1_700_000_000);
        let text = String::from_utf8(with.body).unwrap();
        assert!(text.contains("<u:Created>1992-03-07T"), "{text}");
        assert!(!text.contains("hunter2"));
        // Wrong: not once more.
        let step = caller.answered(&response(400, &[], REFUSED));
        assert_eq!(step, Step::Done(Err(SoapError::Refused)));
    }

    #[test]
    fn a_digest_is_shown_once_unless_it_was_taken_or_stale() {
        let mut caller = caller();
        let asks = |stale| {
            let value = format!("Digest realm=\"x\", nonce=\"abc\", qop=\"auth\"{stale}");
            response(401, &[("WWW-Authenticate", &value)], "")
        };
        caller.request(&call(), 0);
        assert_eq!(caller.answered(&asks("")), Step::Again);
        let with = caller.request(&call(), 0);
        let shown = with.authorization.unwrap();
        assert!(
            shown.contains("uri=\"/onvif/device_service?x=1\""),
            "{shown}"
        );
        assert_eq!(caller.answered(&asks(", stale=true")), Step::Again);
        caller.request(&call(), 0);
        let taken = caller.answered(&response(200, &[], "<GetScopesResponse/>"));
        assert!(matches!(taken, Step::Done(Ok(e)) if e.name == "GetScopesResponse"));
        assert!(caller.is_proven());
        caller.request(&call(), 0);
        let step = caller.answered(&asks(""));
        assert_eq!(step, Step::Done(Err(SoapError::Forbidden)));
        let mut other = super::tests::caller();
        other.request(&call(), 0);
        other.answered(&asks(""));
        other.request(&call(), 0);
        assert_eq!(
            other.answered(&asks("")),
            Step::Done(Err(SoapError::Refused))
        );
    }

    #[test]
    fn who_has_no_name_shows_nothing() {
        let mut caller = Caller::new("", &Secret::default(), 1);
        caller.request(&call(), 0);
        let step = caller.answered(&response(400, &[], REFUSED));
        assert_eq!(step, Step::Done(Err(SoapError::Refused)));
    }

    #[test]
    fn faults_are_told_apart() {
        let told = |status, body: &str| {
            let mut caller = caller();
            caller.request(&call(), 0);
            match caller.answered(&response(status, &[], body)) {
                Step::Done(result) => result.map(|e| e.name),
                Step::Again => panic!(),
            }
        };
        let fault = |sub: &str, text: &str| {
            format!(
                "<Fault><Code><Value>e:Receiver</Value><Subcode><Value>{sub}</Value></Subcode>\
                     </Code><Reason><Text>{text}</Text></Reason></Fault>"
            )
        };
        assert_eq!(
            told(500, &fault("ter:ActionNotSupported", "x")),
            Err(SoapError::Unsupported)
        );
        let odd = told(500, &fault("ter:Odd", "it\n rains"));
        assert_eq!(odd, Err(SoapError::Fault("it  rains".to_owned())));
        assert_eq!(told(404, ""), Err(SoapError::Unsupported));
        assert_eq!(told(200, ""), Ok(String::new()));
    }
}
