//! Asking a device who it is, what it sends and where: a fixed order of calls, of which most may fail.

use super::device::{self, Information, Services};
use super::media::{self, Kind, Profile};
use super::mend;
use super::soap::{Call, Caller, SoapError, Step};
use super::xml::Element;
use crate::config::Secret;
use crate::http::{ClientRequest, ClientResponse};
use url::Url;

/// What a device has told.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub information: Information,
    /// The name that somebody gave it, or its host name.
    pub name: Option<String>,
    pub mac: Option<String>,
    /// So many seconds is its clock ahead of ours; `None` if it does not tell.
    pub clock_ahead_secs: Option<i64>,
    pub main: Option<StreamOffer>,
    pub sub: Option<StreamOffer>,
    /// All that it could send, for judging what is chosen.
    pub profiles: Vec<Profile>,
    pub snapshot: Option<Url>,
    /// Where events can be subscribed to.
    pub events: Option<Url>,
}

/// A stream to record.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamOffer {
    pub profile: Profile,
    /// Mended, without user and password.
    pub url: Url,
}

/// What is being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Clock,
    Services,
    Capabilities,
    Information,
    Network,
    Scopes,
    Hostname,
    Profiles(Kind),
    MainUri,
    SubUri,
    Snapshot,
    Done,
}

/// An interview with one device. See the module.
#[derive(Debug)]
pub struct Interview {
    device: Url,
    caller: Caller,
    stage: Stage,
    services: Services,
    kind: Kind,
    choice: Option<media::Choice>,
    report: Report,
    /// It ends once it is known where events are.
    only_services: bool,
}

impl Interview {
    /// With the device whose service is at `device`, the address that has answered.
    pub fn new(device: Url, username: &str, password: &Secret, seed: u64) -> Interview {
        Interview {
            device,
            caller: Caller::new(username, password, seed),
            stage: Stage::Clock,
            services: Services::default(),
            kind: Kind::Media,
            choice: None,
            report: Report::default(),
            only_services: false,
        }
    }

    /// A short one, which finds out what time it is there and where events are.
    pub fn for_events(device: Url, username: &str, password: &Secret, seed: u64) -> Interview {
        Interview {
            only_services: true,
            ..Interview::new(device, username, password, seed)
        }
    }

    /// Whether the device has taken the user name and password.
    pub fn is_proven(&self) -> bool {
        self.caller.is_proven()
    }

    /// How often the user name and password were shown without having been taken.
    pub fn shown_in_vain(&self) -> u32 {
        self.caller.shown_in_vain()
    }

    /// Whether the next request shows them, and it is not known whether the device takes them.
    pub fn is_about_to_show(&self) -> bool {
        self.caller.is_about_to_show()
    }

    /// What was told so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The next request to be made, on a connection of its own to the device; `None` once all is asked.
    pub fn next_request(&mut self, unix_secs: i64) -> Option<ClientRequest> {
        let call = self.call()?;
        Some(self.caller.request(&call, unix_secs))
    }

    /// What came of it. An error ends the interview.
    pub fn answered(&mut self, response: &ClientResponse, unix_secs: i64) -> Result<(), SoapError> {
        match self.caller.answered(response) {
            // What is shown is dated by the clock that is asked for here: it is shown to the next call.
            Step::Again if self.stage == Stage::Clock => {
                self.take(Err(SoapError::Unsupported), unix_secs)
            }
            Step::Again => Ok(()),
            Step::Done(result) => self.take(result, unix_secs),
        }
    }

    /// All that was told.
    pub fn into_report(self) -> Report {
        self.report
    }

    fn call(&self) -> Option<Call> {
        let device = &self.device;
        let media = || match self.kind {
            Kind::Media => self.services.media.as_ref(),
            Kind::Media2 => self.services.media2.as_ref(),
        };
        let token = |i: usize| Some(self.report.profiles.get(i)?.token.as_str());
        let choice = self.choice;
        Some(match self.stage {
            Stage::Clock => device::get_system_date_and_time(device),
            Stage::Services => device::get_services(device),
            Stage::Capabilities => device::get_capabilities(device),
            Stage::Information => device::get_device_information(device),
            Stage::Network => device::get_network_interfaces(device),
            Stage::Scopes => device::get_scopes(device),
            Stage::Hostname => device::get_hostname(device),
            Stage::Profiles(kind) => media::get_profiles(kind, media()?),
            Stage::MainUri => media::get_stream_uri(self.kind, media()?, token(choice?.main)?),
            Stage::SubUri => media::get_stream_uri(self.kind, media()?, token(choice?.sub?)?),
            Stage::Snapshot => media::get_snapshot_uri(self.kind, media()?, token(choice?.main)?),
            Stage::Done => return None,
        })
    }

    /// Takes in an answer, and goes on to what is to be asked next.
    fn take(
        &mut self,
        result: Result<Element, SoapError>,
        unix_secs: i64,
    ) -> Result<(), SoapError> {
        if let Err(e @ SoapError::Refused) = result {
            return Err(e);
        }
        let report = &mut self.report;
        self.stage = match self.stage {
            Stage::Clock => {
                let clock = result.ok().and_then(|reply| device::date_and_time(&reply));
                report.clock_ahead_secs = clock.map(|secs| secs.saturating_sub(unix_secs));
                self.caller
                    .set_clock_ahead(report.clock_ahead_secs.unwrap_or(0));
                Stage::Services
            }
            Stage::Services => {
                self.services = result.map(|r| device::services(&r)).unwrap_or_default();
                match self.services == Services::default() {
                    true => Stage::Capabilities,
                    false => self.mend_services(),
                }
            }
            Stage::Capabilities => {
                self.services = device::services(&result?);
                self.mend_services()
            }
            Stage::Information => {
                // Some let only administrators ask; the name that they announced must do.
                report.information = result.map(|r| device::information(&r)).unwrap_or_default();
                Stage::Network
            }
            Stage::Network => {
                report.mac = result.ok().and_then(|r| device::mac_address(&r));
                Stage::Scopes
            }
            Stage::Scopes => {
                report.name = result.ok().and_then(|r| device::name_in_scopes(&r));
                match report.name {
                    None => Stage::Hostname,
                    Some(_) => self.first_profiles()?,
                }
            }
            Stage::Hostname => {
                report.name = result.ok().and_then(|r| device::hostname(&r));
                self.first_profiles()?
            }
            Stage::Profiles(kind) => {
                let found = result.map(|r| media::profiles(&r));
                match (found, kind, &self.services.media) {
                    (Ok(profiles), _, _) if media::choose(&profiles).is_some() => {
                        self.choice = media::choose(&profiles);
                        self.report.profiles = profiles;
                        Stage::MainUri
                    }
                    // A new service that does not work well yet, beside the old one.
                    (_, Kind::Media2, Some(_)) => {
                        self.kind = Kind::Media;
                        Stage::Profiles(Kind::Media)
                    }
                    (Ok(_), _, _) => {
                        let why = "none of its profiles sends H.264";
                        return Err(SoapError::Answer(why.to_owned()));
                    }
                    (Err(e), _, _) => return Err(e),
                }
            }
            Stage::MainUri => {
                let Some(url) = self.stream_url(&result?) else {
                    let why = "it tells no address of its stream";
                    return Err(SoapError::Answer(why.to_owned()));
                };
                self.report.main = self.offer(self.choice.map(|c| c.main), url);
                match self.choice.and_then(|c| c.sub) {
                    Some(_) => Stage::SubUri,
                    None => Stage::Snapshot,
                }
            }
            Stage::SubUri => {
                // Without it there is still the main stream.
                if let Some(url) = result.ok().and_then(|r| self.stream_url(&r)) {
                    self.report.sub = self.offer(self.choice.and_then(|c| c.sub), url);
                }
                Stage::Snapshot
            }
            Stage::Snapshot => {
                let url = result.ok().and_then(|r| media::uri(&r));
                self.report.snapshot = url.and_then(|u| mend(&u, &self.device));
                Stage::Done
            }
            Stage::Done => Stage::Done,
        };
        Ok(())
    }

    fn mend_services(&mut self) -> Stage {
        let device = &self.device;
        let services = &mut self.services;
        for url in [
            &mut services.media,
            &mut services.media2,
            &mut services.events,
        ] {
            *url = url.take().and_then(|u| mend(&u, device));
        }
        self.report.events = services.events.clone();
        match self.only_services {
            true => Stage::Done,
            false => Stage::Information,
        }
    }

    fn first_profiles(&mut self) -> Result<Stage, SoapError> {
        self.kind = match (&self.services.media2, &self.services.media) {
            (Some(_), _) => Kind::Media2,
            (None, Some(_)) => Kind::Media,
            (None, None) => {
                let why = "it has no media service, so it is no camera";
                return Err(SoapError::Answer(why.to_owned()));
            }
        };
        Ok(Stage::Profiles(self.kind))
    }

    fn stream_url(&self, reply: &Element) -> Option<Url> {
        let url = media::uri(reply).filter(|u| u.scheme() == "rtsp")?;
        mend(&url, &self.device)
    }

    fn offer(&self, index: Option<usize>, url: Url) -> Option<StreamOffer> {
        let profile = self.report.profiles.get(index?)?.clone();
        Some(StreamOffer { profile, url })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a device answers to each call, by the call's name; and what it was asked, in order.
    struct Device<'a> {
        replies: Vec<(&'a str, &'a str)>,
        asked: Vec<String>,
        /// It wants a token for all but these.
        open: Vec<&'a str>,
        takes: bool,
    }

    const NOW: i64 = 1_800_000_000;

    const CLOCK: &str = "<SystemDateAndTime><UTCDateTime><Time><Hour>0</Hour><Minute>0</Minute>\
        <Second>30</Second></Time><Date><Year>1970</Year><Month>1</Month><Day>1</Day></Date>\
        </UTCDateTime></SystemDateAndTime>";
    const SERVICES: &str = "<Service><Namespace>http://www.onvif.org/ver10/media/wsdl</Namespace>\
        <XAddr>http://10.1.1.1:81/onvif/media</XAddr></Service><Service>\
        <Namespace>http://www.onvif.org/ver10/events/wsdl</Namespace>\
        <XAddr>http://10.1.1.1:81/onvif/events</XAddr></Service>";
    const PROFILES: &str = "<Profiles token='a'><VideoEncoderConfiguration><Encoding>H264</Encoding>\
        <Resolution><Width>1920</Width><Height>1080</Height></Resolution></VideoEncoderConfiguration>\
        </Profiles><Profiles token='b&amp;'><VideoEncoderConfiguration><Encoding>H264</Encoding>\
        <Resolution><Width>640</Width><Height>360</Height></Resolution></VideoEncoderConfiguration></Profiles>";
    const URI: &str = "<MediaUri><Uri>rtsp://10.1.1.1:5554/x</Uri></MediaUri>";

    impl<'a> Device<'a> {
        fn usual() -> Device<'a> {
            Device {
                replies: vec![
                    ("GetSystemDateAndTime", CLOCK),
                    ("GetServices", SERVICES),
                    ("GetDeviceInformation", "<Manufacturer>ACME</Manufacturer>"),
                    ("GetProfiles", PROFILES),
                    ("GetStreamUri", URI),
                ],
                asked: Vec::new(),
                open: vec!["GetSystemDateAndTime", "GetServices"],
                takes: true,
            }
        }

        fn answer(&mut self, request: &ClientRequest) -> ClientResponse {
            let body = String::from_utf8(request.body.clone()).unwrap();
            let envelope = Element::parse(body.as_bytes()).unwrap();
            let name = envelope.child("Body").unwrap().children[0].name.clone();
            let shown = body.contains("UsernameToken");
            self.asked
                .push(format!("{name}{}", if shown { "+" } else { "" }));
            let fault = |code: &str| {
                format!(
                    "<Fault><Code><Value>Sender</Value><Subcode><Value>ter:{code}</Value></Subcode></Code></Fault>"
                )
            };
            let open = self.open.contains(&name.as_str());
            let found = self.replies.iter().find(|(n, _)| *n == name);
            let (status, content) = match found {
                _ if !(open || shown && self.takes) => (400, fault("NotAuthorized")),
                Some((_, reply)) => (200, format!("<{name}Response>{reply}</{name}Response>")),
                None => (500, fault("ActionNotSupported")),
            };
            ClientResponse {
                status,
                headers: Vec::new(),
                body: format!("<Envelope><Body>{content}</Body></Envelope>").into_bytes(),
            }
        }

        fn interview(&mut self, username: &str) -> Result<Report, SoapError> {
            let url = Url::parse("http://192.0.2.7/onvif/device_service").unwrap();
            let password = Secret("secret".to_owned());
            let mut interview = Interview::new(url, username, &password, 1);
            let mut requests = 0;
            while let Some(request) = interview.next_request(NOW) {
                requests += 1;
                assert!(requests < 20);
                let response = self.answer(&request);
                interview.answered(&response, NOW)?;
            }
            Ok(interview.into_report())
        }
    }

    #[test]
    fn a_device_tells_all() {
        let mut device = Device::usual();
        let report = device.interview("admin").unwrap();
        assert_eq!(report.clock_ahead_secs, Some(30 - NOW));
        assert_eq!(report.information.maker.as_deref(), Some("ACME"));
        let main = report.main.unwrap();
        assert_eq!(main.url.as_str(), "rtsp://192.0.2.7:5554/x");
        assert_eq!(report.sub.unwrap().profile.token, "b&");
        assert_eq!(
            report.events.unwrap().as_str(),
            "http://192.0.2.7/onvif/events"
        );
        // The clock first, then whatever needs no password.
        assert_eq!(
            device.asked[..3],
            [
                "GetSystemDateAndTime",
                "GetServices",
                "GetDeviceInformation"
            ]
        );
        assert_eq!(device.asked[3], "GetDeviceInformation+");
    }

    #[test]
    fn a_wrong_password_is_shown_once() {
        let mut device = Device {
            takes: false,
            ..Device::usual()
        };
        assert_eq!(device.interview("admin").unwrap_err(), SoapError::Refused);
        let shown = device.asked.iter().filter(|a| a.ends_with('+')).count();
        assert_eq!(shown, 1);
        // Without a name nothing is shown at all.
        let mut device = Device {
            takes: false,
            ..Device::usual()
        };
        assert_eq!(device.interview("").unwrap_err(), SoapError::Refused);
        assert!(device.asked.iter().all(|a| !a.ends_with('+')));
    }

    #[test]
    fn an_old_device_without_get_services() {
        let mut device = Device::usual();
        device.replies[1] = (
            "GetCapabilities",
            "<Capabilities><Media><XAddr>http://x/onvif/Media</XAddr></Media></Capabilities>",
        );
        let report = device.interview("admin").unwrap();
        assert!(report.main.is_some() && report.events.is_none());
    }

    #[test]
    fn what_is_no_camera_is_told() {
        let mut device = Device::usual();
        device.replies[1].1 = "<Service><Namespace>http://www.onvif.org/ver10/events/wsdl</Namespace>\
            <XAddr>http://x/e</XAddr></Service>";
        let told = device.interview("admin").unwrap_err().to_string();
        assert!(told.contains("no media service"), "{told}");
    }
}
