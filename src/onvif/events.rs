//! The event service (ONVIF Core section 9, WS-BaseNotification): pull points, and what their messages mean.

use super::soap::Call;
use super::xml::{Element, escape};
use url::Url;

const NAMESPACE: &str = "http://www.onvif.org/ver10/events/wsdl";
const NOTIFICATION: &str = "http://docs.oasis-open.org/wsn/b-2";
const NOTIFICATION_ACTION: &str = "http://docs.oasis-open.org/wsn/bw-2";

/// Messages that are taken of one answer; further ones are passed over.
const MAX_MESSAGES: usize = 200;
/// The longest name of an input that is kept, in characters.
const MAX_SOURCE_CHARS: usize = 24;
/// Reference parameters of a subscription: elements, and how much text.
const MAX_REFERENCES: usize = 8;
const MAX_REFERENCE_CHARS: usize = 256;

/// What a camera may notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Motion,
    /// The lens is covered, turned away, or out of focus.
    Tamper,
    /// A contact at one of its terminals.
    Input,
}

/// A state of something that the camera watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub kind: Kind,
    /// Which input, where there are several; else empty.
    pub source: String,
    pub active: bool,
}

/// A subscription's address, and what its calls must carry in their headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullPoint {
    pub url: Url,
    pub reference: String,
}

fn call(url: &Url, action: String, body: String, reference: &str) -> Call {
    Call {
        url: url.clone(),
        action,
        body,
        addressed: Some(reference.to_owned()),
    }
}

pub fn create_pull_point(url: &Url, lives_secs: u32) -> Call {
    let body = format!(
        "<CreatePullPointSubscription xmlns=\"{NAMESPACE}\">\
         <InitialTerminationTime>PT{lives_secs}S</InitialTerminationTime>\
         </CreatePullPointSubscription>"
    );
    let action = format!("{NAMESPACE}/EventPortType/CreatePullPointSubscriptionRequest");
    call(url, action, body, "")
}

pub fn pull_messages(at: &PullPoint, wait_secs: u32, most: u32) -> Call {
    let body = format!(
        "<PullMessages xmlns=\"{NAMESPACE}\"><Timeout>PT{wait_secs}S</Timeout>\
         <MessageLimit>{most}</MessageLimit></PullMessages>"
    );
    let action = format!("{NAMESPACE}/PullPointSubscription/PullMessagesRequest");
    call(&at.url, action, body, &at.reference)
}

pub fn renew(at: &PullPoint, lives_secs: u32) -> Call {
    let body = format!(
        "<Renew xmlns=\"{NOTIFICATION}\"><TerminationTime>PT{lives_secs}S</TerminationTime></Renew>"
    );
    let action = format!("{NOTIFICATION_ACTION}/SubscriptionManager/RenewRequest");
    call(&at.url, action, body, &at.reference)
}

pub fn unsubscribe(at: &PullPoint) -> Call {
    let body = format!("<Unsubscribe xmlns=\"{NOTIFICATION}\"/>");
    let action = format!("{NOTIFICATION_ACTION}/SubscriptionManager/UnsubscribeRequest");
    call(&at.url, action, body, &at.reference)
}

/// Where the messages are to be pulled from.
pub fn pull_point(reply: &Element) -> Option<PullPoint> {
    let reference = reply.child("SubscriptionReference")?;
    let url = Url::parse(reference.text_at(&["Address"])?).ok()?;
    let mut headers = String::new();
    let parameters = reference.child("ReferenceParameters");
    for child in parameters
        .iter()
        .flat_map(|p| &p.children)
        .take(MAX_REFERENCES)
    {
        if child.text.len() > MAX_REFERENCE_CHARS || child.name.len() > MAX_REFERENCE_CHARS {
            continue;
        }
        // Its namespace is lost with its prefix; those that use these at all look at the name.
        headers.push_str(&format!(
            "<{0} a:IsReferenceParameter=\"true\">{1}</{0}>",
            child.name,
            escape(&child.text)
        ));
    }
    Some(PullPoint {
        url,
        reference: headers,
    })
}

/// What the messages of an answer to [`pull_messages`] say, in order. Those about other things are passed
/// over, and so are those that are about none any more (`Deleted`).
pub fn notices(reply: &Element) -> Vec<Notice> {
    let all = reply.all("NotificationMessage").take(MAX_MESSAGES);
    all.filter_map(notice).collect()
}

fn notice(of: &Element) -> Option<Notice> {
    let topic = of.text_at(&["Topic"])?;
    let message = of.at(&["Message", "Message"])?;
    if message.attribute("PropertyOperation") == Some("Deleted") {
        return None;
    }
    let kind = kind(topic)?;
    let items = |within: &str| {
        let part = message.child(within);
        part.map(|p| p.find_all("SimpleItem")).unwrap_or_default()
    };
    let active = items("Data").into_iter().find_map(|item| {
        let name = item.attribute("Name")?;
        let known = [
            "IsMotion",
            "State",
            "LogicalState",
            "IsTamper",
            "Value",
            "state",
        ];
        known
            .contains(&name)
            .then(|| truth(item.attribute("Value")?))?
    })?;
    let source = match kind {
        Kind::Input => items("Source")
            .into_iter()
            .find_map(|i| i.attribute("Value")),
        // Several rules and lenses, one signal: which of them saw it is of no use to the timeline.
        Kind::Motion | Kind::Tamper => None,
    };
    let clean = |c: &char| !c.is_control();
    let source: String = source
        .unwrap_or_default()
        .chars()
        .filter(clean)
        .take(MAX_SOURCE_CHARS)
        .collect();
    Some(Notice {
        kind,
        source: source.trim().to_owned(),
        active,
    })
}

/// Topics by their words (ONVIF Imaging, Analytics and Device IO specifications, and what makers send).
fn kind(topic: &str) -> Option<Kind> {
    let words: Vec<&str> = topic
        .split('/')
        .map(|w| w.rsplit(':').next().unwrap_or(w).trim())
        .collect();
    let has = |word: &str| words.contains(&word);
    if has("DigitalInput") {
        return Some(Kind::Input);
    }
    if has("TamperDetector") || has("Tamper") || has("GlobalSceneChange") || has("ImageTooDark") {
        return Some(Kind::Tamper);
    }
    let motion = [
        "Motion",
        "MotionAlarm",
        "CellMotionDetector",
        "MotionRegionDetector",
    ];
    motion.iter().any(|word| has(word)).then_some(Kind::Motion)
}

fn truth(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "active" | "on" => Some(true),
        "false" | "0" | "inactive" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulled(messages: &str) -> Vec<Notice> {
        let text = format!("<PullMessagesResponse>{messages}</PullMessagesResponse>");
        notices(&Element::parse(text.as_bytes()).unwrap())
    }

    fn message(topic: &str, operation: &str, source: &str, name: &str, value: &str) -> String {
        format!(
            "<NotificationMessage><Topic Dialect='d'>{topic}</Topic><Message><Message \
             UtcTime='2026-01-01T00:00:00Z' PropertyOperation='{operation}'><Source>\
             <SimpleItem Name='Token' Value='{source}'/></Source><Key/><Data>\
             <SimpleItem Name='{name}' Value='{value}'/></Data></Message></Message></NotificationMessage>"
        )
    }

    #[test]
    fn what_makers_send_is_told_apart() {
        let of = |topic: &str, name: &str, value: &str| {
            let all = pulled(&message(topic, "Changed", "in_1", name, value));
            all.first().map(|n| (n.kind, n.source.clone(), n.active))
        };
        let motion = |active| Some((Kind::Motion, String::new(), active));
        assert_eq!(
            of(
                "tns1:RuleEngine/CellMotionDetector/Motion",
                "IsMotion",
                "true"
            ),
            motion(true)
        );
        assert_eq!(
            of("tns1:VideoSource/MotionAlarm", "State", "0"),
            motion(false)
        );
        let tamper = of(
            "tns1:VideoSource/GlobalSceneChange/ImagingService",
            "State",
            "true",
        );
        assert_eq!(tamper, Some((Kind::Tamper, String::new(), true)));
        let input = of(
            "tns1:Device/tns1:Trigger/tns1:DigitalInput",
            "LogicalState",
            "true",
        );
        assert_eq!(input, Some((Kind::Input, "in_1".to_owned(), true)));
        assert_eq!(of("tns1:Monitoring/ProcessorUsage", "Value", "0.2"), None);
        assert_eq!(of("tns1:VideoSource/MotionAlarm", "State", "perhaps"), None);
        let gone = message(
            "tns1:VideoSource/MotionAlarm",
            "Deleted",
            "",
            "State",
            "true",
        );
        assert_eq!(pulled(&gone), []);
    }

    #[test]
    fn a_pull_point_with_parameters() {
        let reply = Element::parse(
            b"<r><SubscriptionReference><Address>http://10.0.0.1/onvif/sub?Idx=7</Address>\
              <ReferenceParameters><SubscriptionId>a&amp;b</SubscriptionId></ReferenceParameters>\
              </SubscriptionReference></r>",
        );
        let point = pull_point(&reply.unwrap()).unwrap();
        assert_eq!(point.url.query(), Some("Idx=7"));
        assert_eq!(
            point.reference,
            "<SubscriptionId a:IsReferenceParameter=\"true\">a&amp;b</SubscriptionId>"
        );
    }
}
