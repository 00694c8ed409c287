//! All that a device may answer, one input as each answer of an interview and of a subscription, raw and as
//! the body of an envelope: no panic, it ends, addresses are of the host that answered, and the password
//! is shown to who asks for it and told to nobody.

#![no_main]

use libfuzzer_sys::fuzz_target;
use moonfire_nvr::config::Secret;
use moonfire_nvr::http::{ClientResponse, ResponseReader};
use moonfire_nvr::onvif::{Interview, Subscription};
use moonfire_nvr::time::Monotonic;
use std::time::Duration;
use url::Url;

const PASSWORD: &str = "no-input-can-know-this-password";

fuzz_target!(|data: &[u8]| {
    let mut reader = ResponseReader::default();
    let raw = match reader.receive(data) {
        Ok(Some(response)) => Some(response),
        Ok(None) => reader.end().ok(),
        Err(_) => None,
    };
    let (status, rest) = match data.split_first() {
        Some((first, rest)) => ([200, 400, 401, 500][usize::from(first % 4)], rest),
        None => (200, data),
    };
    let wrapped = [b"<e><Body>", rest, b"</Body></e>"].concat();
    let wrapped = ClientResponse {
        status,
        headers: Vec::new(),
        body: wrapped,
    };
    for response in raw.iter().chain([&wrapped]) {
        interview(response);
        subscription(response);
    }
});

fn interview(response: &ClientResponse) {
    let device = Url::parse("http://192.0.2.7/onvif/device_service").expect("a URL");
    let password = Secret(PASSWORD.to_owned());
    let mut it = Interview::new(device, "admin", &password, 1);
    let mut asked = 0;
    while let Some(request) = it.next_request(1_800_000_000) {
        asked += 1;
        assert!(asked < 40, "it goes on for ever");
        assert_eq!(request.host, "192.0.2.7");
        let bytes = request.to_bytes();
        let shown = PASSWORD.as_bytes();
        assert!(!bytes.windows(shown.len()).any(|w| w == shown));
        if let Err(e) = it.answered(response, 1_800_000_000) {
            let told = e.to_string();
            assert!(told.chars().count() < 300 && !told.contains(PASSWORD));
            return;
        }
    }
    let report = it.into_report();
    let main = report.main.expect("an interview that ends well knows a stream");
    for url in [Some(main.url), report.sub.map(|s| s.url), report.snapshot, report.events]
        .into_iter()
        .flatten()
    {
        assert_eq!(url.host_str(), Some("192.0.2.7"));
        assert!(url.password().is_none());
    }
}

fn subscription(response: &ClientResponse) {
    let events = Url::parse("http://192.0.2.7/onvif/events").expect("a URL");
    let mut it = Subscription::new(events, "admin", &Secret(PASSWORD.to_owned()), 0, 1);
    for i in 0..8 {
        let now = Monotonic(0) + Duration::from_secs(30 * i);
        let Some(request) = it.next_request(now, 1_800_000_000) else {
            return;
        };
        assert_eq!(request.host, "192.0.2.7");
        let _ = it.answered(now, response);
    }
}
