//! Descriptions of any kind: no panic, and what is told of them stays short and clean.

#![no_main]

use libfuzzer_sys::fuzz_target;
use moonfire_nvr::rtsp::sdp::{Description, MEDIA_LIMIT};

fuzz_target!(|data: &[u8]| {
    let description = Description::parse(data);
    assert!(description.media.len() <= MEDIA_LIMIT);
    match description.choose_video() {
        Ok(choice) => {
            assert_eq!(choice.video.codec, "H264");
            assert!(choice.video.payload_type < 128);
            assert!(choice.video.clock_rate > 0);
        }
        Err(e) => {
            let told = e.to_string();
            assert!(told.chars().count() < 200);
            assert!(!told.contains(|c: char| c.is_control()));
        }
    }
});
