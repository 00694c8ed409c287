//! Datagrams that tell of devices, from anybody on the LAN: no panic, and what is kept is short and clean.

#![no_main]

use libfuzzer_sys::fuzz_target;
use moonfire_nvr::onvif::discovery::Message;

fuzz_target!(|data: &[u8]| {
    let Ok(Some(Message::Here(found))) = Message::parse(data) else {
        return;
    };
    assert!(!found.is_empty() && found.len() <= 32);
    for it in found {
        assert!(it.xaddrs.len() <= 8);
        assert!(it.xaddrs.iter().all(|u| u.has_host()));
        for text in [it.name, it.hardware, it.location].into_iter().flatten() {
            assert!(!text.is_empty() && text.chars().count() <= 80);
            assert!(!text.contains(|c: char| c.is_control()));
        }
    }
});
