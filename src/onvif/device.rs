//! The device service (ONVIF Core section 8): what time it is there, which services it has, what it is.

use super::discovery::Announcement;
use super::soap::Call;
use super::xml::Element;
use jiff::civil;
use jiff::tz::TimeZone;
use url::Url;

const NAMESPACE: &str = "http://www.onvif.org/ver10/device/wsdl";
const MEDIA: &str = "http://www.onvif.org/ver10/media/wsdl";
const MEDIA2: &str = "http://www.onvif.org/ver20/media/wsdl";
const EVENTS: &str = "http://www.onvif.org/ver10/events/wsdl";

/// The longest text that is kept of a device, in characters.
const MAX_TEXT_CHARS: usize = 64;

fn call(url: &Url, name: &str, body: &str) -> Call {
    let content = match body {
        "" => format!("<{name} xmlns=\"{NAMESPACE}\"/>"),
        body => format!("<{name} xmlns=\"{NAMESPACE}\">{body}</{name}>"),
    };
    Call {
        url: url.clone(),
        action: format!("{NAMESPACE}/{name}"),
        body: content,
        addressed: None,
    }
}

pub fn get_system_date_and_time(url: &Url) -> Call {
    call(url, "GetSystemDateAndTime", "")
}

pub fn get_services(url: &Url) -> Call {
    call(
        url,
        "GetServices",
        "<IncludeCapability>false</IncludeCapability>",
    )
}

pub fn get_capabilities(url: &Url) -> Call {
    call(url, "GetCapabilities", "<Category>All</Category>")
}

pub fn get_device_information(url: &Url) -> Call {
    call(url, "GetDeviceInformation", "")
}

pub fn get_scopes(url: &Url) -> Call {
    call(url, "GetScopes", "")
}

pub fn get_hostname(url: &Url) -> Call {
    call(url, "GetHostname", "")
}

pub fn get_network_interfaces(url: &Url) -> Call {
    call(url, "GetNetworkInterfaces", "")
}

/// The device's time of day, in seconds since 1970; `None` if it tells none that can be.
pub fn date_and_time(reply: &Element) -> Option<i64> {
    let all = reply.child("SystemDateAndTime")?;
    // Some tell only the local time; their zone's name says little, so it counts as UTC.
    let at = all.child("UTCDateTime").or(all.child("LocalDateTime"))?;
    let number = |path: &[&str]| -> Option<i64> { at.text_at(path)?.parse().ok() };
    let small = |path: &[&str]| -> Option<i8> { i8::try_from(number(path)?).ok() };
    let date = civil::Date::new(
        i16::try_from(number(&["Date", "Year"])?).ok()?,
        small(&["Date", "Month"])?,
        small(&["Date", "Day"])?,
    );
    let time = civil::Time::new(
        small(&["Time", "Hour"])?,
        small(&["Time", "Minute"])?,
        small(&["Time", "Second"])?.min(59),
        0,
    );
    let zoned = date.ok()?.to_datetime(time.ok()?).to_zoned(TimeZone::UTC);
    Some(zoned.ok()?.timestamp().as_second())
}

/// Where the services are, as the device names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services {
    pub media: Option<Url>,
    pub media2: Option<Url>,
    pub events: Option<Url>,
}

/// Reads the answer to [`get_services`] or [`get_capabilities`].
pub fn services(reply: &Element) -> Services {
    let mut found = Services::default();
    let url = |e: &Element| Url::parse(e.text_at(&["XAddr"])?).ok();
    for service in reply.all("Service") {
        match service
            .text_at(&["Namespace"])
            .map(|n| n.trim_end_matches('/'))
        {
            Some(MEDIA) => found.media = url(service),
            Some(MEDIA2) => found.media2 = url(service),
            Some(EVENTS) => found.events = url(service),
            _ => {}
        }
    }
    if let Some(capabilities) = reply.child("Capabilities") {
        found.media = capabilities.child("Media").and_then(url);
        found.events = capabilities.child("Events").and_then(url);
        found.media2 = capabilities.at(&["Extension", "Media2"]).and_then(url);
    }
    found
}

/// What a device says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Information {
    pub maker: Option<String>,
    pub model: Option<String>,
    pub firmware: Option<String>,
    pub serial: Option<String>,
}

fn short(text: &str) -> Option<String> {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_TEXT_CHARS)
        .collect();
    Some(clean.trim().to_owned()).filter(|t| !t.is_empty())
}

pub fn information(reply: &Element) -> Information {
    let text = |name: &str| reply.text_at(&[name]).and_then(short);
    Information {
        maker: text("Manufacturer"),
        model: text("Model"),
        firmware: text("FirmwareVersion"),
        serial: text("SerialNumber"),
    }
}

/// The name that somebody has given it, from its scopes.
pub fn name_in_scopes(reply: &Element) -> Option<String> {
    let mut heard = Announcement::default();
    for scope in reply.all("Scopes") {
        heard.scope(scope.text_at(&["ScopeItem"]).unwrap_or_default());
    }
    heard.name
}

/// Its host name.
pub fn hostname(reply: &Element) -> Option<String> {
    reply
        .text_at(&["HostnameInformation", "Name"])
        .and_then(short)
}

/// The hardware address of the first interface that has one: `aa:bb:cc:dd:ee:ff`.
pub fn mac_address(reply: &Element) -> Option<String> {
    reply
        .find_all("HwAddress")
        .iter()
        .find_map(|e| mac(&e.text))
}

/// However it is written.
pub fn mac(text: &str) -> Option<String> {
    let digits: String = text
        .chars()
        .filter(|c| !matches!(c, ':' | '-' | '.' | ' '))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let good = digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !good || digits.bytes().all(|b| b == b'0') {
        return None;
    }
    let pairs: Vec<&str> = (0..6).map(|i| &digits[2 * i..2 * i + 2]).collect();
    Some(pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Element {
        Element::parse(format!("<r>{text}</r>").as_bytes()).unwrap()
    }

    #[test]
    fn a_clock_is_read_in_utc() {
        let time = |inner: &str| {
            date_and_time(&reply(&format!(
                "<SystemDateAndTime>{inner}</SystemDateAndTime>"
            )))
        };
        let at = "<Time><Hour>0</Hour><Minute>1</Minute><Second>60</Second></Time>\
                  <Date><Year>1970</Year><Month>1</Month><Day>1</Day></Date>";
        assert_eq!(time(&format!("<UTCDateTime>{at}</UTCDateTime>")), Some(119));
        assert_eq!(
            time(&format!("<LocalDateTime>{at}</LocalDateTime>")),
            Some(119)
        );
        assert_eq!(time("<UTCDateTime/>"), None);
        let odd = at.replace("1970", "99999");
        assert_eq!(time(&format!("<UTCDateTime>{odd}</UTCDateTime>")), None);
    }

    #[test]
    fn services_of_either_kind_of_answer() {
        let new = services(&reply(
            "<Service><Namespace>http://www.onvif.org/ver20/media/wsdl</Namespace>\
             <XAddr>http://192.0.2.7/onvif/media2</XAddr></Service>\
             <Service><Namespace>http://www.onvif.org/ver10/events/wsdl/</Namespace>\
             <XAddr> http://192.0.2.7/onvif/events </XAddr></Service><Service/>",
        ));
        assert_eq!(new.media, None);
        assert_eq!(new.media2.unwrap().path(), "/onvif/media2");
        assert_eq!(new.events.unwrap().path(), "/onvif/events");
        let old = services(&reply(
            "<Capabilities><Media><XAddr>http://x/m</XAddr></Media><Events><XAddr>nonsense</XAddr>\
             </Events></Capabilities>",
        ));
        assert_eq!(old.media.unwrap().as_str(), "http://x/m");
        assert_eq!(old.events, None);
    }

    #[test]
    fn what_a_device_says_of_itself() {
        let it = information(&reply(
            "<Manufacturer>ACME\u{2003}</Manufacturer><Model> X1 </Model><SerialNumber/>",
        ));
        assert_eq!(it.maker.as_deref(), Some("ACME"));
        assert_eq!((it.model.as_deref(), it.serial), (Some("X1"), None));
        let scopes = reply(
            "<Scopes><ScopeDef>Fixed</ScopeDef><ScopeItem>onvif://www.onvif.org/name/Shed</ScopeItem></Scopes>",
        );
        assert_eq!(name_in_scopes(&scopes).as_deref(), Some("Shed"));
        let nets = reply(
            "<NetworkInterfaces><Info><HwAddress>00:00:00:00:00:00</HwAddress></Info></NetworkInterfaces>\
                          <NetworkInterfaces><Info><HwAddress>AA-bb-CC-00-11-22</HwAddress></Info></NetworkInterfaces>",
        );
        assert_eq!(mac_address(&nets).as_deref(), Some("aa:bb:cc:00:11:22"));
        assert_eq!(mac("nonsense"), None);
    }
}
