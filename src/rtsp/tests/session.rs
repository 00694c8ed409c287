//! What dialogues cannot tell: limits, seeds, and who is to blame.

use crate::config::Secret;
use crate::rtsp::{Blame, Client, ClientConfig, Error, Method, Output, Packet};
use crate::time::Monotonic;
use rand_core::{RngCore, SeedableRng};

const NOW: Monotonic = Monotonic(5);

fn config(seed: u64) -> ClientConfig {
    ClientConfig {
        url: url::Url::parse("rtsp://192.0.2.1/main").unwrap(),
        username: Some("admin".into()),
        password: Some(Secret("hunter2".into())),
        udp: false,
        user_agent: "moonfire-nvr".into(),
        seed,
    }
}

fn client(seed: u64) -> Client {
    Client::new(config(seed), NOW)
}

fn receive(client: &mut Client, bytes: &[u8]) -> Result<(), Error> {
    client.receive(NOW, bytes, |_: Packet<'_>| {})
}

fn outputs(client: &mut Client) -> Vec<String> {
    std::iter::from_fn(|| client.poll_output())
        .map(|o| match o {
            Output::Send(bytes) => String::from_utf8(bytes).unwrap(),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn no_reply_can_come_before_its_request_has_left() {
    let mut client = client(1);
    let sdp = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
    let describe = format!("RTSP/1.0 200 OK\r\nContent-Length: {}\r\n", sdp.len());
    let all = format!(
        "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n{describe}CSeq: 2\r\n\r\n{sdp}{describe}\r\n{sdp}"
    );
    receive(&mut client, all.as_bytes()).unwrap();
    assert_eq!(client.counters().stray_replies, 2);
    let sent = outputs(&mut client);
    assert_eq!(sent.len(), 2);
    assert!(sent[1].starts_with("DESCRIBE"));
}

#[test]
fn a_flood_of_requests_is_not_all_answered() {
    let mut client = client(1);
    let flood = "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n".repeat(1000);
    receive(&mut client, flood.as_bytes()).unwrap();
    let sent = outputs(&mut client);
    assert!(sent.len() < 40, "{}", sent.len());
    assert_eq!(
        client.counters().dropped_requests as usize + sent.len(),
        1001
    );
}

#[test]
fn packets_that_nobody_asked_for_are_counted() {
    let mut client = client(1);
    receive(&mut client, b"$\x00\x00\x01a$\x05\x00\x00").unwrap();
    assert_eq!(client.counters().other_packets, 2);
}

#[test]
fn rtcp_does_not_pile_up() {
    let mut client = client(1);
    let to = |client: &mut Client, head: &str| {
        let told = outputs(client);
        let last = told.last().unwrap();
        assert!(last.contains(head), "{told:?}");
        let cseq = last
            .lines()
            .find(|l| l.starts_with("CSeq"))
            .unwrap()
            .to_owned();
        format!("RTSP/1.0 200 OK\r\n{cseq}\r\n")
    };
    let reply = to(&mut client, "OPTIONS") + "\r\n";
    receive(&mut client, reply.as_bytes()).unwrap();
    let sdp = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
    let reply =
        to(&mut client, "DESCRIBE") + &format!("Content-Length: {}\r\n\r\n{sdp}", sdp.len());
    receive(&mut client, reply.as_bytes()).unwrap();
    let reply = to(&mut client, "SETUP") + "Transport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n";
    receive(&mut client, reply.as_bytes()).unwrap();
    for _ in 0..1000 {
        client.send_rtcp(&[0; 28]);
    }
    client.send_rtcp(&[0; 70_000]);
    let waiting = std::iter::from_fn(|| client.poll_output()).count();
    assert!((1..=32).contains(&waiting), "{waiting}");
}

#[test]
fn passwords_are_not_told() {
    let mut client = client(1);
    outputs(&mut client);
    receive(
        &mut client,
        b"RTSP/1.0 401 no\r\nCSeq: 1\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\r\n",
    )
    .unwrap();
    let output = client.poll_output().unwrap();
    let Output::Send(bytes) = &output else {
        panic!("{output:?}");
    };
    assert!(String::from_utf8_lossy(bytes).contains("YWRtaW46aHVudGVyMg=="));
    assert_eq!(
        format!("{output:?}"),
        format!("Send({} bytes)", bytes.len())
    );
}

#[test]
fn another_seed_makes_another_client_nonce() {
    let challenge =
        b"RTSP/1.0 401 no\r\nCSeq: 1\r\nWWW-Authenticate: Digest nonce=\"n\", qop=\"auth\"\r\n\r\n";
    let answer = |seed| {
        let mut client = client(seed);
        outputs(&mut client);
        receive(&mut client, challenge).unwrap();
        outputs(&mut client).remove(0)
    };
    assert_eq!(answer(1), answer(1));
    assert_ne!(answer(1), answer(2));
}

#[test]
fn each_error_has_its_blame() {
    let status = |code| Error::Status {
        method: Method::Describe,
        code,
        reason: String::new(),
    };
    for (error, blame) in [
        (
            Error::Unauthorized {
                had_credentials: true,
            },
            Blame::Settings,
        ),
        (
            Error::UnsupportedCodec {
                name: "H265".into(),
            },
            Blame::Settings,
        ),
        (status(404), Blame::Settings),
        (status(503), Blame::Camera),
        (Error::Timeout { step: Method::Play }, Blame::Camera),
        (Error::SessionLost, Blame::Camera),
        (
            Error::Redirect(url::Url::parse("rtsp://192.0.2.2/").unwrap()),
            Blame::Nobody,
        ),
    ] {
        assert_eq!(error.blame(), blame, "{error}");
    }
}

/// Random pieces of RTSP in random order: no panic, and what waits stays bounded.
#[test]
fn nonsense_does_no_harm() {
    let words: [&[u8]; 20] = [
        b"RTSP/1.0 200 OK\r\n",
        b"RTSP/1.0 401 x\r\n",
        b"RTSP/1.0 302 x\r\n",
        b"OPTIONS * RTSP/1.0\r\n",
        b"REDIRECT * RTSP/1.0\r\n",
        b"CSeq: 1\r\n",
        b"CSeq: 2\r\n",
        b"CSeq: 3\r\n",
        b"Content-Length: 46\r\n",
        b"Session: ;timeout=\r\n",
        b"Session: 1;timeout=9999999999\r\n",
        b"Transport: RTP/AVP/TCP;interleaved=254-255;ssrc=zz\r\n",
        b"WWW-Authenticate: Digest nonce=\"\\\r\n",
        b"Location: rtsp://[::1\r\n",
        b"Content-Base: //\xff\r\n",
        b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
        b"\r\n",
        b"$\x00\x00\x0c\x80\x60\x00\x01\0\0\0\0\0\0\0\0",
        b"$\xfe\x00\x03abc",
        b"\n",
    ];
    for seed in 0..500 {
        let mut rng = rand_pcg::Pcg32::seed_from_u64(seed);
        let mut client = client(seed);
        let mut now = NOW;
        for _ in 0..200 {
            let word = words[rng.next_u32() as usize % words.len()];
            now.0 += u64::from(rng.next_u32() % 2) * 300_000_000;
            let received = client.receive(now, word, |_: Packet<'_>| {});
            if received.and(client.handle_timeout(now)).is_err() {
                client.teardown(now);
            }
            let waiting = std::iter::from_fn(|| client.poll_output()).count();
            assert!(waiting <= 40, "seed {seed}: {waiting}");
        }
    }
}

#[test]
fn a_challenge_is_answered_on_the_next_connection_where_its_own_was_closed() {
    let mut first = client(1);
    assert!(first.unanswered_challenge().is_none());
    let refusal = "RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n\
                   WWW-Authenticate: Digest realm=\"cam\", nonce=\"n1\"\r\n\r\n";
    outputs(&mut first);
    receive(&mut first, refusal.as_bytes()).unwrap();
    let challenge = first.unanswered_challenge();
    assert!(challenge.is_some());
    let mut second = Client::answering(config(2), challenge, NOW);
    let sent = outputs(&mut second);
    assert!(sent[0].contains("nonce=\"n1\""), "{sent:?}");
    assert!(!format!("{sent:?}").contains("hunter2"));
    // It was answered: a connection that is closed now was closed for another reason.
    receive(&mut second, b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n").unwrap();
    assert!(second.unanswered_challenge().is_none());
}
