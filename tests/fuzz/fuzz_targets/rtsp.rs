//! A camera that says anything, cut anywhere, while time goes by.
//!
//! The input is a list of pieces: a byte for the length and what to do after it, then the bytes.
//! Whatever comes, the client must not panic, must not pile up output, and must end after teardown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use moonfire_nvr::config::Secret;
use moonfire_nvr::rtsp::{Client, ClientConfig, Output};
use moonfire_nvr::time::Monotonic;
use std::time::Duration;

fuzz_target!(|data: &[u8]| {
    let Some((&options, mut data)) = data.split_first() else {
        return;
    };
    let mut now = Monotonic(0);
    // One that the input does not have, lest the camera be the one who tells it.
    let password = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(data));
    let cfg = ClientConfig {
        url: url::Url::parse("rtsp://192.0.2.1/main").unwrap(),
        username: (options & 1 == 0).then(|| "admin".to_owned()),
        password: (options & 1 == 0).then(|| Secret(password.clone())),
        udp: options & 2 != 0,
        user_agent: "moonfire-nvr".to_owned(),
        seed: 1,
    };
    let mut client = Client::new(cfg, now);
    let mut failed = drain(&mut client, now);
    while let Some((&piece, rest)) = data.split_first() {
        // Long pieces mostly: the interesting replies are longer than 64 bytes.
        let length = (usize::from(piece & 0x3f) * 16).min(rest.len());
        let (bytes, rest) = rest.split_at(length);
        data = rest;
        let mut packets = 0;
        let received = client.receive(now, bytes, |packet| packets += packet.bytes.len());
        assert!(packets <= bytes.len() + 0x10000);
        drain(&mut client, now);
        match piece >> 6 {
            1 => now = now + Duration::from_secs(5),
            2 => client.send_rtcp(&bytes[..bytes.len().min(28)]),
            _ => {}
        }
        let timed = client.handle_timeout(now);
        drain(&mut client, now);
        for error in [received, timed].into_iter().filter_map(Result::err) {
            assert!(!failed, "an error after an error: {error}");
            assert!(!format!("{error} {error:?}").contains(&password));
            assert!(error.to_string().len() < 2000);
            failed = true;
        }
    }
    client.teardown(now);
    let mut ended = drain(&mut client, now);
    let _ = client.handle_timeout(now + Duration::from_secs(2));
    ended |= drain(&mut client, now);
    assert!(ended);
    assert_eq!(client.next_timeout(), None);
});

/// Takes all outputs, answers what asks for an answer, and says whether the session has ended.
fn drain(client: &mut Client, now: Monotonic) -> bool {
    let mut count = 0;
    let mut ended = false;
    while let Some(output) = client.poll_output() {
        count += 1;
        assert!(count <= 64, "outputs pile up");
        match output {
            Output::Send(bytes) => assert!(bytes.len() < 512 * 1024),
            Output::BindUdp => client.udp_bound(now, 5000),
            Output::Ended => ended = true,
            _ => {}
        }
    }
    ended
}
