//! Hearing of a device's events for ever: a pull point is made, pulled from, renewed, and made anew when it
//! is lost. When to try again after a failure is the owner's to say.

use super::events::{self, Notice, PullPoint};
use super::mend;
use super::soap::{Call, Caller, SoapError, Step};
use crate::config::Secret;
use crate::http::{ClientRequest, ClientResponse};
use crate::time::Monotonic;
use std::time::Duration;
use url::Url;

/// How long a device is asked to wait for something to tell, in seconds: an answer without messages after
/// that is also the sign that it lives.
pub const PULL_TIMEOUT_SECS: u32 = 20;
/// Messages that are asked for at a time.
pub const MESSAGES_PER_PULL: u32 = 50;
/// How long a subscription lives unless it is renewed, in seconds.
const LIVES_SECS: u32 = 120;
/// When it is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(45);

/// What is being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    Create,
    Pull,
    Renew,
    Unsubscribe,
}

/// What came of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum SubscriptionStep {
    /// Go on with [`Subscription::next_request`].
    On,
    /// It is subscribed now; states that it tells first are those of now.
    Subscribed,
    /// Messages have come, or none: it lives.
    Pulled(Vec<Notice>),
    /// Good-bye was said.
    Ended,
}

/// A subscription to one device's events.
#[derive(Debug)]
pub struct Subscription {
    events: Url,
    caller: Caller,
    asking: Asking,
    point: Option<PullPoint>,
    renewed_at: Monotonic,
    /// A device that cannot renew extends it by pulling; ONVIF Core section 9.1.
    renews: bool,
}

impl Subscription {
    /// With the event service at `events`, the address that has answered.
    pub fn new(
        events: Url,
        username: &str,
        password: &Secret,
        clock_ahead_secs: i64,
        seed: u64,
    ) -> Subscription {
        let mut caller = Caller::new(username, password, seed);
        caller.set_clock_ahead(clock_ahead_secs);
        Subscription {
            events,
            caller,
            asking: Asking::Create,
            point: None,
            renewed_at: Monotonic(0),
            renews: true,
        }
    }

    /// It has a pull point.
    pub fn is_subscribed(&self) -> bool {
        self.point.is_some()
    }

    /// Makes good-bye the next request; false if there is nothing to say good-bye to.
    pub fn unsubscribe(&mut self) -> bool {
        self.asking = Asking::Unsubscribe;
        self.point.is_some()
    }

    /// The request to be made next, on a connection of its own; its answer may take
    /// [`PULL_TIMEOUT_SECS`] longer than others.
    pub fn next_request(&mut self, now: Monotonic, unix_secs: i64) -> Option<ClientRequest> {
        if self.asking == Asking::Pull && self.renews && now.since(self.renewed_at) >= RENEW_AFTER {
            self.asking = Asking::Renew;
        }
        let call = self.call()?;
        Some(self.caller.request(&call, unix_secs))
    }

    fn call(&self) -> Option<Call> {
        let point = self.point.as_ref();
        Some(match self.asking {
            Asking::Create => events::create_pull_point(&self.events, LIVES_SECS),
            Asking::Pull => events::pull_messages(point?, PULL_TIMEOUT_SECS, MESSAGES_PER_PULL),
            Asking::Renew => events::renew(point?, LIVES_SECS),
            Asking::Unsubscribe => events::unsubscribe(point?),
        })
    }

    /// What came of it. After an error the subscription is as at its beginning.
    pub fn answered(
        &mut self,
        now: Monotonic,
        response: &ClientResponse,
    ) -> Result<SubscriptionStep, SoapError> {
        let result = match self.caller.answered(response) {
            Step::Again => return Ok(SubscriptionStep::On),
            Step::Done(result) => result,
        };
        match (self.asking, result) {
            (Asking::Create, Ok(reply)) => {
                let point = events::pull_point(&reply).and_then(|p| {
                    let url = mend(&p.url, &self.events)?;
                    Some(PullPoint { url, ..p })
                });
                let Some(point) = point else {
                    let why = "it tells no address of the subscription".to_owned();
                    return Err(SoapError::Answer(why));
                };
                self.point = Some(point);
                self.renewed_at = now;
                self.asking = Asking::Pull;
                Ok(SubscriptionStep::Subscribed)
            }
            (Asking::Pull, Ok(reply)) => Ok(SubscriptionStep::Pulled(events::notices(&reply))),
            (Asking::Renew, result) => {
                // One that does not live on shows at the next pull.
                if let Err(SoapError::Unsupported) = result {
                    self.renews = false;
                }
                self.renewed_at = now;
                self.asking = Asking::Pull;
                Ok(SubscriptionStep::On)
            }
            (Asking::Unsubscribe, _) => {
                self.lost();
                Ok(SubscriptionStep::Ended)
            }
            (Asking::Create | Asking::Pull, Err(e)) => {
                self.lost();
                Err(e)
            }
        }
    }

    /// The connection failed, or the device forgot it: it is to be made anew.
    pub fn lost(&mut self) {
        self.point = None;
        self.asking = Asking::Create;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> ClientResponse {
        ClientResponse {
            status: 200,
            headers: Vec::new(),
            body: format!("<Envelope><Body>{body}</Body></Envelope>").into_bytes(),
        }
    }

    fn name(request: &ClientRequest) -> String {
        let body = crate::onvif::xml::Element::parse(&request.body).unwrap();
        body.child("Body").unwrap().children[0].name.clone()
    }

    #[test]
    fn it_pulls_renews_and_begins_anew() {
        let events = Url::parse("http://192.0.2.7/onvif/events").unwrap();
        let mut it = Subscription::new(events, "", &Secret::default(), 0, 1);
        let at = |secs| Monotonic(0) + Duration::from_secs(secs);
        assert!(!it.unsubscribe());
        it.lost();
        assert_eq!(
            name(&it.next_request(at(0), 0).unwrap()),
            "CreatePullPointSubscription"
        );
        let created = "<r><SubscriptionReference><Address>http://10.9.9.9/sub/1</Address></SubscriptionReference></r>";
        assert_eq!(
            it.answered(at(0), &answer(created)),
            Ok(SubscriptionStep::Subscribed)
        );
        let pull = it.next_request(at(1), 0).unwrap();
        assert_eq!(
            (name(&pull).as_str(), pull.target.as_str()),
            ("PullMessages", "/sub/1")
        );
        assert_eq!(pull.host, "192.0.2.7");
        assert_eq!(
            it.answered(at(21), &answer("<r/>")),
            Ok(SubscriptionStep::Pulled(Vec::new()))
        );
        assert_eq!(name(&it.next_request(at(50), 0).unwrap()), "Renew");
        assert_eq!(
            it.answered(at(50), &answer("<r/>")),
            Ok(SubscriptionStep::On)
        );
        assert_eq!(name(&it.next_request(at(51), 0).unwrap()), "PullMessages");
        let fault = answer("<Fault><Reason><Text>no such subscription</Text></Reason></Fault>");
        assert!(it.answered(at(52), &fault).is_err());
        assert!(!it.is_subscribed());
        assert_eq!(
            name(&it.next_request(at(60), 0).unwrap()),
            "CreatePullPointSubscription"
        );
        it.answered(at(60), &answer(created)).unwrap();
        assert!(it.unsubscribe());
        assert_eq!(name(&it.next_request(at(61), 0).unwrap()), "Unsubscribe");
        assert_eq!(
            it.answered(at(61), &answer("<r/>")),
            Ok(SubscriptionStep::Ended)
        );
    }
}
