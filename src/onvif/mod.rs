//! ONVIF, the client's side, without I/O: finding cameras and asking each the few things that recording
//! it needs.
//!
//! [`discovery`] reads and writes the datagrams by which devices are found. [`Interview`] asks one device
//! who it is and where its streams are, [`Subscription`] keeps hearing of its events; both hand out HTTP
//! requests and take responses, one at a time, and never open a connection, wait or ask for the time.
//! Everything a device says is bounded ([`xml`]), and what it says of other hosts is not believed
//! ([`mend`]).
//!
//! What it refuses: TLS, IPv6, changing anything in a device.

pub mod device;
pub mod discovery;
pub mod events;
mod interview;
pub mod media;
pub mod soap;
mod subscription;
pub mod xml;

pub use interview::{Interview, Report, StreamOffer};
pub use subscription::{MESSAGES_PER_PULL, PULL_TIMEOUT_SECS, Subscription, SubscriptionStep};

use url::Url;

/// A device's address as it is to be used: of the host (and for services the port) that has answered, for
/// what a device says is often wrong behind another network, after a change of address, or on purpose.
pub fn mend(url: &Url, answered: &Url) -> Option<Url> {
    let mut mended = url.clone();
    mended.set_host(answered.host_str()).ok()?;
    if mended.scheme() == "https" {
        // What answered by plain HTTP is asked on by it.
        mended.set_scheme("http").ok()?;
    }
    if mended.scheme() == answered.scheme() {
        mended.set_port(answered.port()).ok()?;
    }
    // It would be shown, and is proved otherwise.
    let _ = mended.set_username("");
    let _ = mended.set_password(None);
    Some(mended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_elsewhere_is_mended() {
        let answered = Url::parse("http://192.0.2.7:8000/onvif/device_service").unwrap();
        for (said, mended) in [
            (
                "http://10.0.0.1/onvif/media?a=1",
                "http://192.0.2.7:8000/onvif/media?a=1",
            ),
            (
                "http://192.0.2.7/onvif/media",
                "http://192.0.2.7:8000/onvif/media",
            ),
            (
                "rtsp://10.0.0.1:5554/main?x",
                "rtsp://192.0.2.7:5554/main?x",
            ),
            ("rtsp://u:p@camera.example/main", "rtsp://192.0.2.7/main"),
        ] {
            let url = mend(&Url::parse(said).unwrap(), &answered);
            assert_eq!(url.unwrap().as_str(), mended);
        }
    }
}
