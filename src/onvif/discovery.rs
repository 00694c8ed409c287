//! WS-Discovery (the April 2005 draft that ONVIF profiles, ONVIF Core section 7): asking who is there by
//! UDP, and reading what devices say of themselves.

use super::xml::{Element, XmlError};
use std::net::{Ipv4Addr, SocketAddrV4};
use url::Url;
use uuid::Uuid;

/// Where probes go and devices announce themselves.
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 3702);

/// Addresses and scopes that are kept of one device; further ones are passed over.
const MAX_XADDRS: usize = 8;
const MAX_SCOPES: usize = 64;
/// Devices in one message; further ones are passed over.
const MAX_MATCHES: usize = 32;
/// The longest text that is kept of a scope, in characters.
const MAX_TEXT_CHARS: usize = 80;

/// What a device announces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// Its stable identity, usually `urn:uuid:...`; in lower case.
    pub endpoint: String,
    /// Where its device service is; in the device's order, only `http` and `https`.
    pub xaddrs: Vec<Url>,
    /// From its scopes, `onvif://www.onvif.org/name/...`.
    pub name: Option<String>,
    /// The model, from the `hardware` scope.
    pub hardware: Option<String>,
    pub location: Option<String>,
    /// It says that it sends video.
    pub is_camera: bool,
}

/// A message about devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Answers to a probe, or devices that have just come.
    Here(Vec<Announcement>),
    /// A device says good-bye.
    Bye { endpoint: String },
}

/// A probe for video transmitters (ONVIF Core section 7.3.1). `id` is its message id, which must be new.
pub fn probe(id: Uuid) -> Vec<u8> {
    // Some devices answer to a prefix they know only, and many not to one without any types.
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <e:Envelope xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:w=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
         xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\" \
         xmlns:dn=\"http://www.onvif.org/ver10/network/wsdl\">\
         <e:Header><w:MessageID>uuid:{id}</w:MessageID>\
         <w:To e:mustUnderstand=\"true\">urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>\
         <w:Action e:mustUnderstand=\"true\">\
         http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>\
         <e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body>\
         </e:Envelope>"
    )
    .into_bytes()
}

impl Message {
    /// Reads a datagram. `Ok(None)`: well-formed, and about something else, like another's probe.
    pub fn parse(datagram: &[u8]) -> Result<Option<Message>, XmlError> {
        let envelope = Element::parse(datagram)?;
        let Some(body) = envelope.child("Body") else {
            return Ok(None);
        };
        if let Some(bye) = body.child("Bye") {
            return Ok(endpoint(bye).map(|endpoint| Message::Bye { endpoint }));
        }
        let found: Vec<Announcement> = match (body.child("ProbeMatches"), body.child("Hello")) {
            (Some(matches), _) => matches
                .children
                .iter()
                .filter_map(announcement)
                .take(MAX_MATCHES)
                .collect(),
            (None, Some(hello)) => announcement(hello).into_iter().collect(),
            // Some leave out what should be around it.
            (None, None) => body
                .all("ProbeMatch")
                .filter_map(announcement)
                .take(MAX_MATCHES)
                .collect(),
        };
        Ok(Some(Message::Here(found)).filter(|m| !matches!(m, Message::Here(f) if f.is_empty())))
    }
}

fn endpoint(of: &Element) -> Option<String> {
    let address = of.text_at(&["EndpointReference", "Address"])?;
    let short: String = address.chars().take(2 * MAX_TEXT_CHARS).collect();
    Some(short.to_ascii_lowercase())
}

fn announcement(of: &Element) -> Option<Announcement> {
    let mut it = Announcement {
        endpoint: endpoint(of)?,
        ..Announcement::default()
    };
    let words = of
        .text_at(&["XAddrs"])
        .unwrap_or_default()
        .split_whitespace();
    it.xaddrs = words
        .filter_map(|w| Url::parse(w).ok())
        .filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
        .take(MAX_XADDRS)
        .collect();
    let types = of.text_at(&["Types"]).unwrap_or_default();
    it.is_camera = types
        .split_whitespace()
        .any(|t| t.ends_with("NetworkVideoTransmitter"));
    let scopes = of.text_at(&["Scopes"]).unwrap_or_default();
    for scope in scopes.split_whitespace().take(MAX_SCOPES) {
        it.scope(scope);
    }
    Some(it)
}

impl Announcement {
    /// Its device service, as it is to be asked by who got this from `from`: the address that it announces for
    /// that host, or the first one mended to it, or where most have it. `None` if it speaks HTTPS only.
    pub fn service_at(&self, from: Ipv4Addr) -> Option<Url> {
        let host = from.to_string();
        let plain = || self.xaddrs.iter().filter(|u| u.scheme() == "http");
        let own = plain().find(|u| u.host_str() == Some(&host));
        if let Some(url) = own.or(plain().next()) {
            let mut url = url.clone();
            url.set_host(Some(&host)).ok()?;
            return Some(url);
        }
        match self.xaddrs.is_empty() {
            true => Url::parse(&format!("http://{host}/onvif/device_service")).ok(),
            false => None,
        }
    }

    /// Takes in what a scope says (ONVIF Core section 7.3.2.2).
    pub fn scope(&mut self, scope: &str) {
        let Some(path) = scope.strip_prefix("onvif://www.onvif.org/") else {
            return;
        };
        let Some((kind, value)) = path.split_once('/') else {
            return;
        };
        let value = text(value);
        match kind {
            "name" => self.name = value.or(self.name.take()),
            "hardware" => self.hardware = value.or(self.hardware.take()),
            // The street rather than the country, where there are several.
            "location" => self.location = value.or(self.location.take()),
            "type"
                if value
                    .as_deref()
                    .is_some_and(|v| v.starts_with("video_encoder")) =>
            {
                self.is_camera = true;
            }
            "Profile" => self.is_camera = true,
            _ => {}
        }
    }
}

/// A scope's value for people: percent signs undone, one line, not too long.
fn text(value: &str) -> Option<String> {
    let value = value.rsplit('/').find(|part| !part.is_empty())?;
    let spaced = value.replace('+', " ");
    let decoded = percent_decode(&spaced);
    let clean: String = decoded
        .chars()
        .map(|c| if c.is_control() || c == '_' { ' ' } else { c })
        .take(MAX_TEXT_CHARS)
        .collect();
    let clean = clean.trim();
    (!clean.is_empty()).then(|| clean.to_owned())
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                i += 3;
            }
            (b, _, _) => {
                out.push(b);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(body: &str) -> Option<Message> {
        let text = format!(
            "<SOAP-ENV:Envelope xmlns:SOAP-ENV='s' xmlns:d='d' xmlns:a='a'>\
             <SOAP-ENV:Header/><SOAP-ENV:Body>{body}</SOAP-ENV:Body></SOAP-ENV:Envelope>"
        );
        Message::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_answer_with_two_addresses_and_scopes() {
        let found = one(
            "<d:ProbeMatches><d:ProbeMatch><a:EndpointReference><a:Address> \
             urn:uuid:4C4C4544-0001-1020-8030-B8A1C2D3E4F5</a:Address></a:EndpointReference>\
             <d:Types>tds:Device dn:NetworkVideoTransmitter</d:Types><d:Scopes>\
             onvif://www.onvif.org/location/country/china onvif://www.onvif.org/name/Front%20Door\
             \n onvif://www.onvif.org/hardware/DS-2CD2143 onvif://www.onvif.org/Profile/Streaming\
             </d:Scopes><d:XAddrs>http://192.0.2.7/onvif/device_service ftp://x/ \
             http://[fe80::1]/onvif/device_service</d:XAddrs></d:ProbeMatch></d:ProbeMatches>",
        );
        let Some(Message::Here(found)) = found else {
            panic!()
        };
        let it = &found[0];
        assert_eq!(it.endpoint, "urn:uuid:4c4c4544-0001-1020-8030-b8a1c2d3e4f5");
        assert_eq!(it.xaddrs.len(), 2);
        assert_eq!(it.name.as_deref(), Some("Front Door"));
        assert_eq!(it.hardware.as_deref(), Some("DS-2CD2143"));
        assert_eq!(it.location.as_deref(), Some("china"));
        assert!(it.is_camera);
    }

    #[test]
    fn hello_bye_and_what_is_not_for_us() {
        let reference = "<a:EndpointReference><a:Address>urn:X</a:Address></a:EndpointReference>";
        let hello = one(&format!("<d:Hello>{reference}</d:Hello>"));
        assert!(matches!(hello, Some(Message::Here(f)) if f[0].endpoint == "urn:x"));
        let bye = one(&format!("<d:Bye>{reference}</d:Bye>"));
        let endpoint = "urn:x".to_owned();
        assert_eq!(bye, Some(Message::Bye { endpoint }));
        let bare = one(&format!("<d:ProbeMatch>{reference}</d:ProbeMatch>"));
        assert!(matches!(bare, Some(Message::Here(f)) if f[0].endpoint == "urn:x"));
        assert_eq!(one("<d:Probe/>"), None);
        assert_eq!(one("<d:ProbeMatches/>"), None);
        assert_eq!(one("<d:Hello/>"), None);
        assert_eq!(Message::parse(&probe(Uuid::nil())), Ok(None));
    }

    #[test]
    fn a_service_is_where_the_answer_came_from() {
        let of = |xaddrs: &[&str]| {
            let it = Announcement {
                xaddrs: xaddrs.iter().map(|x| Url::parse(x).unwrap()).collect(),
                ..Announcement::default()
            };
            it.service_at([192, 0, 2, 7].into()).map(String::from)
        };
        let own = Some("http://192.0.2.7:8000/x".to_owned());
        assert_eq!(of(&["http://10.0.0.1/y", "http://192.0.2.7:8000/x"]), own);
        assert_eq!(of(&["http://10.0.0.1:8000/x"]), own);
        assert_eq!(
            of(&[]).as_deref(),
            Some("http://192.0.2.7/onvif/device_service")
        );
        assert_eq!(of(&["https://192.0.2.7/x"]), None);
    }
}
