//! The simulated camera's ONVIF: what a device service, a media service and a pull point answer, and what it
//! says to WS-Discovery. Without I/O; it shares no code with the recorder's own ONVIF, so that neither
//! hides a mistake of the other.
//!
//! It understands requests by looking for words in them, as small cameras do. What it refuses: anything but
//! the calls that a recorder makes, and a user name and password that are not shown as a WS-UsernameToken
//! of its own time.

use super::Authentication;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use std::net::{IpAddr, SocketAddr};

/// How far a token's time may be from the camera's, in seconds.
const TOKEN_SECS: i64 = 60;

/// Something moves for so long in each [`MOTION_EVERY_SECS`].
const MOTION_SECS: u64 = 6;
const MOTION_EVERY_SECS: u64 = 30;

/// A pull point lives so long unless it is renewed or pulled from, in seconds.
const LIVES_SECS: u64 = 120;

/// Pull points at a time.
const MAX_POINTS: usize = 8;

/// What it tells of itself.
#[derive(Clone, Debug)]
pub struct OnvifConfig {
    pub name: String,
    /// Tells it from all others: of this its identity is made.
    pub serial: u64,
    pub authentication: Option<Authentication>,
    /// So many seconds is its clock ahead (or behind) of the real one.
    pub clock_ahead_secs: i64,
    /// Where its RTSP server is.
    pub rtsp: SocketAddr,
    /// Where its services are.
    pub services: SocketAddr,
    /// Width, height and frames a second of the main and of the sub stream.
    pub main: (u32, u32, u32),
    pub sub: (u32, u32, u32),
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// Status and body.
    Now(u16, String),
    /// Answer with the messages of this pull point as soon as there are any, and after so many seconds at
    /// the latest.
    Pull { point: u64, wait_secs: u64 },
}

struct Point {
    id: u64,
    /// The state of motion that was told last.
    told: Option<bool>,
    expires_secs: u64,
}

/// A camera's services.
pub struct Onvif {
    config: OnvifConfig,
    points: Vec<Point>,
    made: u64,
    /// Tokens that were shown and refused.
    refused: u64,
}

impl Onvif {
    pub fn new(config: OnvifConfig) -> Onvif {
        Onvif {
            config,
            points: Vec::new(),
            made: 0,
            refused: 0,
        }
    }

    pub fn endpoint(&self) -> String {
        format!(
            "urn:uuid:5e7a0000-0000-4000-8000-{:012x}",
            self.config.serial & 0xffff_ffff_ffff
        )
    }

    /// How many wrong passwords were shown.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Whether something moves, so many seconds after the camera was switched on.
    pub fn moves(secs: u64) -> bool {
        secs % MOTION_EVERY_SECS < MOTION_SECS
    }

    /// The answer to a datagram of WS-Discovery, if it is a probe for cameras.
    pub fn answer_probe(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(datagram).ok()?;
        let probes = text.contains("discovery/Probe<") || text.contains("discovery/Probe ");
        let types = inner(text, "Types").unwrap_or_default();
        if !probes || !(types.trim().is_empty() || types.contains("NetworkVideoTransmitter")) {
            return None;
        }
        let id = inner(text, "MessageID")?;
        Some(self.announcement("ProbeMatches", Some(id.trim())))
    }

    /// What it says when it comes.
    pub fn hello(&self) -> Vec<u8> {
        self.announcement("Hello", None)
    }

    /// What it says when it goes.
    pub fn bye(&self) -> Vec<u8> {
        self.announcement("Bye", None)
    }

    fn announcement(&self, what: &str, relates: Option<&str>) -> Vec<u8> {
        let relates = relates.map_or(String::new(), |id| {
            format!("<wsa:RelatesTo>{}</wsa:RelatesTo>", escape(id))
        });
        let name: String = self.config.name.bytes().map(percent).collect();
        let about = format!(
            "<wsa:EndpointReference><wsa:Address>{}</wsa:Address></wsa:EndpointReference>\
             <d:Types>dn:NetworkVideoTransmitter tds:Device</d:Types>\
             <d:Scopes>onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/Profile/Streaming \
             onvif://www.onvif.org/hardware/Simulated onvif://www.onvif.org/name/{name}</d:Scopes>\
             <d:XAddrs>{}</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion>",
            self.endpoint(),
            self.address("device_service"),
        );
        let body = match what {
            "ProbeMatches" => {
                format!("<d:ProbeMatches><d:ProbeMatch>{about}</d:ProbeMatch></d:ProbeMatches>")
            }
            what => format!("<d:{what}>{about}</d:{what}>"),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <SOAP-ENV:Envelope xmlns:SOAP-ENV=\"http://www.w3.org/2003/05/soap-envelope\" \
             xmlns:wsa=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
             xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\" \
             xmlns:tds=\"http://www.onvif.org/ver10/device/wsdl\" \
             xmlns:dn=\"http://www.onvif.org/ver10/network/wsdl\"><SOAP-ENV:Header>\
             <wsa:MessageID>urn:uuid:5e7b0000-0000-4000-8000-{:012x}</wsa:MessageID>{relates}\
             <wsa:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</wsa:To>\
             <wsa:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/{what}</wsa:Action>\
             </SOAP-ENV:Header><SOAP-ENV:Body>{body}</SOAP-ENV:Body></SOAP-ENV:Envelope>",
            self.config.serial & 0xffff_ffff_ffff,
        )
        .into_bytes()
    }

    fn address(&self, service: &str) -> String {
        format!("http://{}/onvif/{service}", self.config.services)
    }

    /// Answers a SOAP request that was posted to `path`. `unix_secs` is the real time of day, `up_secs` how
    /// long the camera has been on.
    pub fn answer(&mut self, path: &str, body: &str, unix_secs: i64, up_secs: u64) -> Reply {
        let Some(call) = call(body) else {
            return Reply::Now(400, fault("ter:WellFormed", "that is no SOAP request"));
        };
        let is_open = matches!(
            call,
            "GetSystemDateAndTime" | "GetServices" | "GetCapabilities" | "GetServiceCapabilities"
        );
        let shown = self.judge(body, unix_secs);
        if shown == Some(false) {
            self.refused += 1;
        }
        let is_known = self.config.authentication.is_none() || shown == Some(true);
        if !is_open && !is_known {
            let why = "the sender is not authorized";
            return Reply::Now(400, fault("ter:NotAuthorized", why));
        }
        self.points.retain(|p| p.expires_secs > up_secs);
        let point = path
            .rsplit_once("/onvif/pull/")
            .and_then(|(_, id)| id.parse().ok());
        let of_point = matches!(call, "PullMessages" | "Renew" | "Unsubscribe");
        if of_point && !self.points.iter().any(|p| Some(p.id) == point) {
            return Reply::Now(
                400,
                fault("ter:InvalidArgVal", "there is no such pull point"),
            );
        }
        match (call, point) {
            ("PullMessages", Some(point)) => {
                let wait = inner(body, "Timeout").and_then(seconds).unwrap_or(1);
                return Reply::Pull {
                    point,
                    wait_secs: wait.min(60),
                };
            }
            ("Renew", Some(point)) => {
                for p in self.points.iter_mut().filter(|p| p.id == point) {
                    p.expires_secs = up_secs + LIVES_SECS;
                }
            }
            ("Unsubscribe", Some(point)) => self.points.retain(|p| p.id != point),
            _ => {}
        }
        match self.content(call, body, unix_secs, up_secs) {
            Some(content) => Reply::Now(
                200,
                envelope(
                    &format!("<r:{call}Response>{content}</r:{call}Response>"),
                    namespace(call, path),
                ),
            ),
            None => Reply::Now(
                500,
                fault("ter:ActionNotSupported", "this camera cannot do that"),
            ),
        }
    }

    /// The messages of a pull point: what has changed since it was last asked.
    pub fn pull(&mut self, point: u64, unix_secs: i64, up_secs: u64) -> Option<String> {
        let moves = Onvif::moves(up_secs);
        let p = self.points.iter_mut().find(|p| p.id == point)?;
        p.expires_secs = up_secs + LIVES_SECS;
        let operation = match p.told.replace(moves) {
            Some(told) if told == moves => return None,
            Some(_) => "Changed",
            None => "Initialized",
        };
        let at = date_time(unix_secs + self.config.clock_ahead_secs);
        Some(format!(
            "<wsnt:NotificationMessage><wsnt:Topic \
             Dialect=\"http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet\">\
             tns1:VideoSource/MotionAlarm</wsnt:Topic><wsnt:Message>\
             <tt:Message UtcTime=\"{at}\" PropertyOperation=\"{operation}\"><tt:Source>\
             <tt:SimpleItem Name=\"Source\" Value=\"lens\"/></tt:Source><tt:Data>\
             <tt:SimpleItem Name=\"State\" Value=\"{moves}\"/></tt:Data></tt:Message>\
             </wsnt:Message></wsnt:NotificationMessage>"
        ))
    }

    /// The whole answer to a pull.
    pub fn pulled(&self, messages: &str, unix_secs: i64) -> String {
        let now = unix_secs + self.config.clock_ahead_secs;
        let ends = now + LIVES_SECS as i64;
        envelope(
            &format!(
                "<r:PullMessagesResponse><r:CurrentTime>{}</r:CurrentTime>\
                 <r:TerminationTime>{}</r:TerminationTime>{messages}</r:PullMessagesResponse>",
                date_time(now),
                date_time(ends)
            ),
            EVENTS,
        )
    }

    /// What is within the answer to a call.
    fn content(&mut self, call: &str, body: &str, unix_secs: i64, up_secs: u64) -> Option<String> {
        let now = unix_secs + self.config.clock_ahead_secs;
        let name = escape(&self.config.name);
        Some(match call {
            "GetSystemDateAndTime" => {
                let part = |range: std::ops::Range<usize>| {
                    let text = date_time(now);
                    text.get(range).and_then(|t| t.parse::<u32>().ok()).unwrap_or(0)
                };
                format!(
                    "<r:SystemDateAndTime><tt:DateTimeType>Manual</tt:DateTimeType>\
                     <tt:DaylightSavings>false</tt:DaylightSavings><tt:UTCDateTime><tt:Time>\
                     <tt:Hour>{}</tt:Hour><tt:Minute>{}</tt:Minute><tt:Second>{}</tt:Second></tt:Time>\
                     <tt:Date><tt:Year>{}</tt:Year><tt:Month>{}</tt:Month><tt:Day>{}</tt:Day></tt:Date>\
                     </tt:UTCDateTime></r:SystemDateAndTime>",
                    part(11..13),
                    part(14..16),
                    part(17..19),
                    part(0..4),
                    part(5..7),
                    part(8..10)
                )
            }
            "GetServices" => [(DEVICE, "device_service"), (MEDIA, "media"), (EVENTS, "events")]
                .map(|(namespace, path)| {
                    format!(
                        "<r:Service><r:Namespace>{namespace}</r:Namespace><r:XAddr>{}</r:XAddr>\
                         <r:Version><tt:Major>2</tt:Major><tt:Minor>6</tt:Minor></r:Version></r:Service>",
                        self.address(path)
                    )
                })
                .concat(),
            "GetCapabilities" => format!(
                "<r:Capabilities><tt:Device><tt:XAddr>{}</tt:XAddr></tt:Device><tt:Events>\
                 <tt:XAddr>{}</tt:XAddr><tt:WSSubscriptionPolicySupport>false\
                 </tt:WSSubscriptionPolicySupport><tt:WSPullPointSupport>true</tt:WSPullPointSupport>\
                 <tt:WSPausableSubscriptionManagerInterfaceSupport>false\
                 </tt:WSPausableSubscriptionManagerInterfaceSupport></tt:Events><tt:Media>\
                 <tt:XAddr>{}</tt:XAddr><tt:StreamingCapabilities><tt:RTPMulticast>false</tt:RTPMulticast>\
                 <tt:RTP_TCP>true</tt:RTP_TCP><tt:RTP_RTSP_TCP>true</tt:RTP_RTSP_TCP>\
                 </tt:StreamingCapabilities></tt:Media></r:Capabilities>",
                self.address("device_service"),
                self.address("events"),
                self.address("media"),
            ),
            "GetDeviceInformation" => format!(
                "<r:Manufacturer>Moonfire NVR</r:Manufacturer><r:Model>simulated camera</r:Model>\
                 <r:FirmwareVersion>{}</r:FirmwareVersion><r:SerialNumber>{:012X}</r:SerialNumber>\
                 <r:HardwareId>Simulated</r:HardwareId>",
                env!("CARGO_PKG_VERSION"),
                self.config.serial & 0xffff_ffff_ffff
            ),
            "GetScopes" => {
                let coded: String = self.config.name.bytes().map(percent).collect();
                ["type/video_encoder", "hardware/Simulated", &format!("name/{coded}")]
                    .map(|scope| {
                        format!(
                            "<r:Scopes><tt:ScopeDef>Fixed</tt:ScopeDef><tt:ScopeItem>\
                             onvif://www.onvif.org/{scope}</tt:ScopeItem></r:Scopes>"
                        )
                    })
                    .concat()
            }
            "GetHostname" => format!(
                "<r:HostnameInformation><tt:FromDHCP>false</tt:FromDHCP><tt:Name>{name}</tt:Name>\
                 </r:HostnameInformation>"
            ),
            "GetNetworkInterfaces" => {
                let b = self.config.serial.to_be_bytes();
                format!(
                    "<r:NetworkInterfaces token=\"eth0\"><tt:Enabled>true</tt:Enabled><tt:Info>\
                     <tt:Name>eth0</tt:Name>\
                     <tt:HwAddress>02:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}</tt:HwAddress><tt:MTU>1500</tt:MTU>\
                     </tt:Info></r:NetworkInterfaces>",
                    b[3], b[4], b[5], b[6], b[7]
                )
            }
            "GetProfiles" => {
                self.profile("r:Profiles", "main", self.config.main)
                    + &self.profile("r:Profiles", "sub", self.config.sub)
            }
            "GetProfile" => match inner(body, "ProfileToken").unwrap_or_default().trim() {
                "main" => self.profile("r:Profile", "main", self.config.main),
                "sub" => self.profile("r:Profile", "sub", self.config.sub),
                _ => return None,
            },
            "GetStreamUri" => {
                let token = inner(body, "ProfileToken").unwrap_or_default();
                let token = token.trim();
                if !matches!(token, "main" | "sub") {
                    return None;
                }
                format!(
                    "<r:MediaUri><tt:Uri>rtsp://{}/{token}</tt:Uri>\
                     <tt:InvalidAfterConnect>false</tt:InvalidAfterConnect>\
                     <tt:InvalidAfterReboot>false</tt:InvalidAfterReboot><tt:Timeout>PT60S</tt:Timeout>\
                     </r:MediaUri>",
                    self.config.rtsp
                )
            }
            "CreatePullPointSubscription" => {
                if self.points.len() >= MAX_POINTS {
                    return None;
                }
                self.made += 1;
                self.points.push(Point {
                    id: self.made,
                    told: None,
                    expires_secs: up_secs + LIVES_SECS,
                });
                format!(
                    "<r:SubscriptionReference><wsa5:Address>{}</wsa5:Address></r:SubscriptionReference>\
                     <wsnt:CurrentTime>{}</wsnt:CurrentTime>\
                     <wsnt:TerminationTime>{}</wsnt:TerminationTime>",
                    self.address(&format!("pull/{}", self.made)),
                    date_time(now),
                    date_time(now + LIVES_SECS as i64)
                )
            }
            "Renew" => format!(
                "<wsnt:TerminationTime>{}</wsnt:TerminationTime>\
                 <wsnt:CurrentTime>{}</wsnt:CurrentTime>",
                date_time(now + LIVES_SECS as i64),
                date_time(now)
            ),
            "Unsubscribe" => String::new(),
            _ => return None,
        })
    }

    fn profile(&self, tag: &str, token: &str, (width, height, rate): (u32, u32, u32)) -> String {
        format!(
            "<{tag} token=\"{token}\" fixed=\"true\"><tt:Name>{token}</tt:Name>\
             <tt:VideoSourceConfiguration token=\"lens\"><tt:Name>lens</tt:Name><tt:UseCount>2</tt:UseCount>\
             <tt:SourceToken>lens</tt:SourceToken>\
             <tt:Bounds x=\"0\" y=\"0\" width=\"{width}\" height=\"{height}\"/>\
             </tt:VideoSourceConfiguration><tt:VideoEncoderConfiguration token=\"{token}\">\
             <tt:Name>{token}</tt:Name><tt:UseCount>1</tt:UseCount><tt:Encoding>H264</tt:Encoding>\
             <tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height></tt:Resolution>\
             <tt:Quality>5</tt:Quality><tt:RateControl><tt:FrameRateLimit>{rate}</tt:FrameRateLimit>\
             <tt:EncodingInterval>1</tt:EncodingInterval><tt:BitrateLimit>4096</tt:BitrateLimit>\
             </tt:RateControl><tt:H264><tt:GovLength>{}</tt:GovLength>\
             <tt:H264Profile>Main</tt:H264Profile></tt:H264><tt:SessionTimeout>PT60S</tt:SessionTimeout>\
             </tt:VideoEncoderConfiguration></{tag}>",
            rate * 2
        )
    }

    /// Whether the token that is shown is right; `None` if there is none.
    fn judge(&self, body: &str, unix_secs: i64) -> Option<bool> {
        let username = inner(body, "Username")?;
        let Some(known) = &self.config.authentication else {
            return Some(true);
        };
        let part = |name| inner(body, name).map(str::trim);
        let right = part("Password").zip(part("Nonce")).zip(part("Created"));
        let Some(((digest, nonce), created)) = right else {
            return Some(false);
        };
        let now = unix_secs + self.config.clock_ahead_secs;
        let in_time = created
            .parse::<jiff::Timestamp>()
            .is_ok_and(|t| (t.as_second() - now).abs() <= TOKEN_SECS);
        let mut hash = Sha1::new();
        hash.update(STANDARD.decode(nonce).unwrap_or_default());
        hash.update(created);
        hash.update(&known.password);
        let wanted = STANDARD.encode(hash.finalize());
        Some(in_time && unescape(username) == known.username && digest == wanted)
    }
}

const DEVICE: &str = "http://www.onvif.org/ver10/device/wsdl";
const MEDIA: &str = "http://www.onvif.org/ver10/media/wsdl";
const EVENTS: &str = "http://www.onvif.org/ver10/events/wsdl";

/// The namespace of a call's answer.
fn namespace(call: &str, path: &str) -> &'static str {
    match call {
        "GetProfiles" | "GetProfile" | "GetStreamUri" => MEDIA,
        "CreatePullPointSubscription" => EVENTS,
        "Renew" | "Unsubscribe" => "http://docs.oasis-open.org/wsn/b-2",
        "GetServiceCapabilities" if path.ends_with("media") => MEDIA,
        _ => DEVICE,
    }
}

fn envelope(content: &str, namespace: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
         <env:Envelope xmlns:env=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:ter=\"http://www.onvif.org/ver10/error\" \
         xmlns:tt=\"http://www.onvif.org/ver10/schema\" xmlns:tns1=\"http://www.onvif.org/ver10/topics\" \
         xmlns:wsnt=\"http://docs.oasis-open.org/wsn/b-2\" \
         xmlns:wsa5=\"http://www.w3.org/2005/08/addressing\" xmlns:r=\"{namespace}\">\
         <env:Body>{content}</env:Body></env:Envelope>"
    )
}

fn fault(code: &str, reason: &str) -> String {
    let side = if code == "ter:ActionNotSupported" {
        "Receiver"
    } else {
        "Sender"
    };
    envelope(
        &format!(
            "<env:Fault><env:Code><env:Value>env:{side}</env:Value><env:Subcode>\
             <env:Value>{code}</env:Value></env:Subcode></env:Code><env:Reason>\
             <env:Text xml:lang=\"en\">{reason}</env:Text></env:Reason></env:Fault>"
        ),
        DEVICE,
    )
}

/// The name of the element within the body.
fn call(body: &str) -> Option<&str> {
    let start = body.find("Body>").or_else(|| body.find("Body "))?;
    let rest = &body[start..];
    let rest = &rest[rest.find('>')? + 1..];
    let tag = rest.trim_start().strip_prefix('<')?;
    let end = tag.find(|c: char| c.is_whitespace() || matches!(c, '>' | '/'))?;
    let name = &tag[..end];
    Some(name.rsplit(':').next().unwrap_or(name)).filter(|n| !n.is_empty())
}

/// The text within the first element of that name, whatever its prefix.
fn inner<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut at = 0;
    while let Some(found) = text[at..].find(name) {
        let start = at + found;
        let end = start + name.len();
        let before = text[..start].chars().next_back();
        let after = text[end..].chars().next();
        if matches!(before, Some('<' | ':'))
            && matches!(after, Some('>' | ' ' | '\n' | '\r' | '\t'))
        {
            let open = end + text[end..].find('>')?;
            if text[..open].ends_with('/') {
                return Some("");
            }
            let content = &text[open + 1..];
            return Some(&content[..content.find("</")?]);
        }
        at = end;
    }
    None
}

/// `PT20S`, `PT1M`, as seconds.
fn seconds(duration: &str) -> Option<u64> {
    let text = duration.trim().strip_prefix("PT")?;
    match text.strip_suffix('M') {
        Some(minutes) => Some(minutes.parse::<u64>().ok()?.saturating_mul(60)),
        None => Some(text.strip_suffix('S')?.parse::<f64>().ok()?.max(0.0) as u64),
    }
}

fn date_time(unix_secs: i64) -> String {
    let at = jiff::Timestamp::from_second(unix_secs).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn percent(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

/// Where a camera that listens on all addresses is reached by somebody at `peer`.
pub fn own_address(listens: SocketAddr, seen_as: Option<IpAddr>) -> SocketAddr {
    match (listens.ip().is_unspecified(), seen_as) {
        (true, Some(ip)) => SocketAddr::new(ip, listens.port()),
        _ => listens,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scheme;
    use super::*;
    use crate::config::Secret;
    use crate::http::{ClientRequest, ClientResponse};
    use crate::onvif::discovery::{self, Message};
    use crate::onvif::events::Kind;
    use crate::onvif::soap::SoapError;
    use crate::onvif::{Interview, Report, Subscription, SubscriptionStep};
    use crate::time::Monotonic;
    use std::time::Duration;
    use url::Url;
    use uuid::Uuid;

    const NOW: i64 = 1_800_000_000;

    fn camera(clock_ahead_secs: i64) -> Onvif {
        Onvif::new(OnvifConfig {
            name: "shed & more".to_owned(),
            serial: 0x1234,
            authentication: Some(Authentication {
                username: "a&b".to_owned(),
                password: "secret".to_owned(),
                scheme: Scheme::Md5,
            }),
            clock_ahead_secs,
            rtsp: "192.0.2.7:8554".parse().unwrap(),
            services: "192.0.2.7:8080".parse().unwrap(),
            main: (1920, 1080, 25),
            sub: (640, 360, 10),
        })
    }

    fn response(camera: &mut Onvif, request: &ClientRequest, up_secs: u64) -> ClientResponse {
        let body = String::from_utf8(request.body.clone()).unwrap();
        let (status, body) = match camera.answer(&request.target, &body, NOW, up_secs) {
            Reply::Now(status, body) => (status, body),
            Reply::Pull { point, .. } => {
                let messages = camera.pull(point, NOW, up_secs).unwrap_or_default();
                (200, camera.pulled(&messages, NOW))
            }
        };
        ClientResponse {
            status,
            headers: Vec::new(),
            body: body.into_bytes(),
        }
    }

    fn interview(camera: &mut Onvif, password: &str) -> Result<Report, SoapError> {
        let device = Url::parse("http://192.0.2.7:8080/onvif/device_service").unwrap();
        let password = Secret(password.to_owned());
        let mut it = Interview::new(device, "a&b", &password, 3);
        while let Some(request) = it.next_request(NOW) {
            let response = response(camera, &request, 1);
            it.answered(&response, NOW)?;
        }
        Ok(it.into_report())
    }

    #[test]
    fn the_recorder_understands_it_whatever_its_clock_shows() {
        for ahead in [0, -NOW + 30] {
            let mut camera = camera(ahead);
            let report = interview(&mut camera, "secret").unwrap();
            assert_eq!(report.clock_ahead_secs, Some(ahead));
            assert_eq!(report.name.as_deref(), Some("shed & more"));
            assert_eq!(report.mac.as_deref(), Some("02:00:00:00:12:34"));
            assert_eq!(
                report.main.unwrap().url.as_str(),
                "rtsp://192.0.2.7:8554/main"
            );
            assert_eq!(report.sub.unwrap().profile.width, 640);
            assert_eq!(camera.refused(), 0);
        }
        let mut camera = camera(0);
        assert_eq!(
            interview(&mut camera, "wrong").unwrap_err(),
            SoapError::Refused
        );
        assert_eq!(camera.refused(), 1);
    }

    #[test]
    fn it_answers_probes_for_cameras() {
        let camera = camera(0);
        let answer = camera.answer_probe(&discovery::probe(Uuid::nil())).unwrap();
        let Ok(Some(Message::Here(found))) = Message::parse(&answer) else {
            panic!()
        };
        assert_eq!(found[0].endpoint, camera.endpoint());
        assert_eq!(found[0].name.as_deref(), Some("shed & more"));
        assert!(matches!(
            Message::parse(&camera.hello()),
            Ok(Some(Message::Here(_)))
        ));
        assert!(matches!(
            Message::parse(&camera.bye()),
            Ok(Some(Message::Bye { .. }))
        ));
        assert_eq!(camera.answer_probe(&camera.hello()), None);
    }

    #[test]
    fn its_motion_is_heard() {
        let mut camera = camera(0);
        let events = Url::parse("http://192.0.2.7:8080/onvif/events").unwrap();
        let password = Secret("secret".to_owned());
        let mut it = Subscription::new(events, "a&b", &password, 0, 3);
        let mut seen = Vec::new();
        for secs in 0..200 {
            let now = Monotonic(0) + Duration::from_secs(secs);
            let request = it.next_request(now, NOW).unwrap();
            let response = response(&mut camera, &request, secs);
            if let Ok(SubscriptionStep::Pulled(notices)) = it.answered(now, &response) {
                seen.extend(notices.iter().map(|n| (n.kind, n.active)));
            }
        }
        let motion = |active| (Kind::Motion, active);
        assert_eq!(seen[..3], [motion(true), motion(false), motion(true)]);
        assert!(seen.len() >= 12, "{seen:?}");
    }
}
