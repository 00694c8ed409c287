//! The server as a client meets it, in virtual time.

use super::misbehave::{Effect, Fault, Kind};
use super::*;
use crate::time::{Duration90k, Monotonic, Now, Wall90k};
use std::collections::BTreeMap;
use std::time::Duration;

const CLIENT_PORTS: (u16, u16) = (5000, 5001);

/// A client that takes things as they come.
struct Client {
    session: ServerSession,
    start: Now,
    elapsed: Duration,
    cseq: u32,
    /// What the server sent and was not looked at yet.
    bytes: Vec<u8>,
    replies: Vec<String>,
    /// By interleaved channel, or by UDP port.
    packets: BTreeMap<u16, Vec<Vec<u8>>>,
    closed: bool,
    session_id: String,
}

fn config(faults: &[Fault]) -> Config {
    let source = |seed| {
        Source::Synthetic(Synthetic {
            seed,
            ..Synthetic::default()
        })
    };
    Config {
        streams: vec![
            StreamConfig {
                path: "main".to_owned(),
                source: source(1),
            },
            StreamConfig {
                path: "sub".to_owned(),
                source: source(2),
            },
        ],
        udp_ports: Some((6000, 6001)),
        faults: faults.iter().copied().collect(),
        ..Config::default()
    }
}

impl Client {
    fn new(config: Config) -> Client {
        Client {
            session: ServerSession::new(Arc::new(config), 5),
            start: Now {
                monotonic: Monotonic(7_654_321_000),
                wall: Wall90k::from_unix_secs(1_795_341_600),
            },
            elapsed: Duration::ZERO,
            cseq: 0,
            bytes: Vec::new(),
            replies: Vec::new(),
            packets: BTreeMap::new(),
            closed: false,
            session_id: String::new(),
        }
    }

    fn with_faults(faults: &[Fault]) -> Client {
        Client::new(config(faults))
    }

    fn now(&self) -> Now {
        Now {
            monotonic: self.start.monotonic + self.elapsed,
            wall: self.start.wall + Duration90k::from(self.elapsed),
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            assert!(!self.closed, "nothing comes after the close");
            match output {
                ServerOutput::Send(bytes) => self.bytes.extend(bytes),
                ServerOutput::Datagram {
                    client_port, bytes, ..
                } => self.packets.entry(client_port).or_default().push(bytes),
                ServerOutput::Close => self.closed = true,
            }
        }
        self.read();
    }

    /// Takes replies and data messages apart.
    fn read(&mut self) {
        loop {
            match self.bytes[..] {
                [b'\r' | b'\n', ..] => drop(self.bytes.remove(0)),
                [b'$', channel, high, low, ..] => {
                    let len = 4 + usize::from(u16::from_be_bytes([high, low]));
                    if self.bytes.len() < len {
                        return;
                    }
                    let packet = self.bytes.drain(..len).skip(4).collect();
                    self.packets.entry(channel.into()).or_default().push(packet);
                }
                _ => {
                    let Some(end) = self.bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
                        return;
                    };
                    let head = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
                    let body = header(&head, "content-length").map_or(0, |v| v.parse().unwrap());
                    let reply: Vec<u8> = self.bytes.drain(..end + 4 + body).collect();
                    self.replies.push(String::from_utf8(reply).unwrap());
                }
            }
        }
    }

    /// Sends a request and returns the reply's text; empty if none came.
    fn ask(&mut self, method: &str, url: &str, headers: &str) -> String {
        self.cseq += 1;
        let cseq = self.cseq;
        let request = format!("{method} {url} RTSP/1.0\r\nCSeq: {cseq}\r\n{headers}\r\n");
        // In two pieces, as a network may hand it over.
        let (a, b) = request.as_bytes().split_at(request.len() / 2);
        let now = self.now();
        self.session.receive(now, a);
        self.session.receive(now, b);
        self.drain();
        let reply = self.replies.pop().unwrap_or_default();
        if !reply.is_empty() {
            assert_eq!(header(&reply, "cseq"), Some(cseq.to_string().as_str()));
        }
        reply
    }

    fn set_up(&mut self, url: &str, transport: &str) -> String {
        let reply = self.ask("SETUP", url, &format!("Transport: {transport}\r\n"));
        if let Some(id) = header(&reply, "session") {
            self.session_id = id.split(';').next().unwrap().to_owned();
        }
        reply
    }

    fn with_session(&mut self, method: &str, url: &str) -> String {
        let header = format!("Session: {}\r\n", self.session_id);
        self.ask(method, url, &header)
    }

    /// From DESCRIBE to PLAY on the main stream; the SDP.
    fn start(&mut self, transport: &str) -> String {
        let mut url = "rtsp://cam/main".to_owned();
        let mut described = self.ask("DESCRIBE", &url, "");
        if let Some(location) = header(&described, "location") {
            url = location.to_owned();
            described = self.ask("DESCRIBE", &url, "");
        }
        assert!(status(&described) == 200, "{described}");
        let reply = self.set_up(&format!("{url}/trackID=0"), transport);
        assert!(status(&reply) == 200, "{reply}");
        let reply = self.with_session("PLAY", &url);
        assert!(status(&reply) == 200, "{reply}");
        described
    }

    /// Lets time pass, waking the server when it asks for it; every 5 s a request keeps the session.
    fn run(&mut self, time: Duration) {
        let end = self.elapsed + time;
        let mut keepalive = self.elapsed + Duration::from_secs(5);
        while self.elapsed < end && !self.closed {
            let next = self.session.next_timeout();
            let next = next.map_or(end, |t| t.since(self.start.monotonic));
            self.elapsed = next.clamp(self.elapsed, end.min(keepalive));
            if self.elapsed == keepalive {
                keepalive += Duration::from_secs(5);
                self.with_session("OPTIONS", "rtsp://cam/main");
            }
            let now = self.now();
            self.session.handle_timeout(now);
            self.drain();
        }
    }

    /// The access units of an RTP channel, each as its NAL units without parameter sets.
    fn units(&self, channel: u16) -> Vec<Vec<Vec<u8>>> {
        let none = Vec::new();
        let mut packets = self.packets.get(&channel).unwrap_or(&none).clone();
        let sequence = |p: &[u8]| u16::from_be_bytes([p[2], p[3]]);
        if let Some(first) = packets.first().map(|p| sequence(p).wrapping_sub(50)) {
            packets.sort_by_key(|p| sequence(p).wrapping_sub(first));
            packets.dedup();
        }
        let mut units: Vec<Vec<Vec<u8>>> = Vec::new();
        let mut timestamp = None;
        for packet in &packets {
            if timestamp.replace(packet[4..8].to_vec()) != Some(packet[4..8].to_vec()) {
                units.push(Vec::new());
            }
            unpack(packet, units.last_mut().unwrap());
        }
        for unit in &mut units {
            unit.retain(|nal| !matches!(nal[0] & 0x1f, 7 | 8));
        }
        units
    }
}

fn status(reply: &str) -> u16 {
    reply.split(' ').nth(1).map_or(0, |s| s.parse().unwrap())
}

fn header<'a>(reply: &'a str, name: &str) -> Option<&'a str> {
    reply.lines().find_map(|line| {
        let (n, value) = line.split_once(':')?;
        n.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Adds the NAL units of an RTP packet (RFC 3550 section 5.1, RFC 6184 section 5.2).
fn unpack(packet: &[u8], nals: &mut Vec<Vec<u8>>) {
    let mut at = 12 + usize::from(packet[0] & 0xf) * 4;
    if packet[0] & 0x10 != 0 {
        at += 4 + usize::from(u16::from_be_bytes([packet[at + 2], packet[at + 3]])) * 4;
    }
    let mut end = packet.len();
    if packet[0] & 0x20 != 0 {
        end -= usize::from(packet[end - 1]);
    }
    let payload = &packet[at..end];
    match payload[0] & 0x1f {
        24 => {
            let mut rest = &payload[1..];
            while let [high, low, after @ ..] = rest {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                nals.push(after[..len].to_vec());
                rest = &after[len..];
            }
        }
        28 => {
            if payload[1] & 0x80 != 0 {
                nals.push(vec![payload[0] & 0xe0 | payload[1] & 0x1f]);
            }
            nals.last_mut().unwrap().extend_from_slice(&payload[2..]);
        }
        _ => {
            let start_code = [0, 0, 0, 1];
            let mut rest = payload;
            while let Some(at) = rest.windows(4).position(|w| w == start_code) {
                nals.push(rest[..at].to_vec());
                rest = &rest[at + 4..];
            }
            nals.push(rest.to_vec());
        }
    }
}

const TCP: &str = "RTP/AVP/TCP;unicast;interleaved=0-1";

fn udp() -> String {
    let (rtp, rtcp) = CLIENT_PORTS;
    format!("RTP/AVP;unicast;client_port={rtp}-{rtcp}")
}

/// Every frame of the main stream, from frame `first` on.
fn sent_from(first: u64, count: usize, change_at: Option<u64>) -> Vec<Vec<Vec<u8>>> {
    let stream = Synthetic {
        seed: 1,
        change_at,
        ..Synthetic::default()
    };
    (first..first + count as u64)
        .map(|n| stream.frame(n).nals)
        .collect()
}

#[test]
fn a_camera_that_does_all_right() {
    for (transport, channel, rtcp) in [(TCP.to_owned(), 0, 1), (udp(), 5000, 5001)] {
        let mut c = Client::with_faults(&[]);
        assert_eq!(status(&c.ask("OPTIONS", "*", "")), 200);
        let sdp = c.start(&transport);
        assert!(sdp.contains("sprop-parameter-sets=Z"), "{sdp}");
        c.run(Duration::from_secs(12));
        let units = c.units(channel);
        // Switched on 7.65 s ago, 10 frames a second, 20 to a GOP: frame 80 is the next sync sample.
        assert!((115..=118).contains(&units.len()), "{}", units.len());
        assert_eq!(units, sent_from(80, units.len(), None));
        let reports = &c.packets[&rtcp];
        assert_eq!(reports.len(), 3);
        assert!(reports.iter().all(|r| r[1] == 200));
        assert_eq!(status(&c.with_session("TEARDOWN", "rtsp://cam/main")), 200);
        assert_eq!(c.session.next_timeout(), None);
    }
}

#[test]
fn requests_out_of_place_are_refused() {
    let mut c = Client::with_faults(&[]);
    assert_eq!(status(&c.ask("PLAY", "rtsp://cam/main", "")), 454);
    assert_eq!(status(&c.ask("DESCRIBE", "rtsp://cam/other", "")), 404);
    assert_eq!(status(&c.ask("RECORD", "rtsp://cam/main", "")), 501);
    let multicast = "RTP/AVP;multicast;client_port=5000-5001";
    assert_eq!(status(&c.set_up("rtsp://cam/main", multicast)), 461);
    assert_eq!(status(&c.set_up("rtsp://cam/main", "")), 461);
    let two = format!("{multicast}, {TCP}");
    assert_eq!(status(&c.set_up("rtsp://cam/sub/trackID=0", &two)), 200);
    c.session_id = "wrong".to_owned();
    assert_eq!(status(&c.with_session("PLAY", "rtsp://cam/sub")), 454);
    c.session.receive(c.now(), b"GET / HTTP/1.1\r\n\r\n");
    c.drain();
    assert!(c.closed);
}

#[test]
fn a_session_without_requests_ends() {
    for fault in ["session-timeout=3", "hidden-timeout=3"] {
        let mut c = Client::with_faults(&[fault.parse().unwrap()]);
        let reply = c.set_up("rtsp://cam/main", TCP);
        let told = header(&reply, "session").unwrap().contains("timeout=3");
        assert_eq!(told, fault.starts_with("session"));
        c.with_session("PLAY", "rtsp://cam/main");
        c.run(Duration::from_millis(2900));
        assert!(!c.closed);
        c.run(Duration::from_millis(200));
        assert!(c.closed);
    }
}

/// Whatever a good recorder gets through is all there, for a client that is forgiving enough.
#[test]
fn faults_without_losses_lose_nothing() {
    for kind in Kind::all().filter(|k| k.effect() == Effect::Nothing) {
        for (transport, channel) in [(TCP.to_owned(), 0), (udp(), 5000)] {
            let fault = match kind {
                Kind::Reorder | Kind::Duplicate => Fault { kind, number: 300 },
                Kind::LateSync => Fault { kind, number: 30 },
                Kind::ChangeParameters => Fault { kind, number: 90 },
                _ => Fault::new(kind),
            };
            let mut c = Client::with_faults(&[fault]);
            c.start(&transport);
            c.run(Duration::from_secs(12));
            assert!(!c.closed, "{fault}");
            let channel = match (kind, channel) {
                (Kind::OtherChannels, 0) => 4,
                _ => channel,
            };
            let mut units = c.units(channel);
            let (first, least) = match kind {
                // Without sync samples until 30 frames after frame 80.
                Kind::LateSync => {
                    assert!(units.iter().take(29).all(|u| u[1][0] & 0x1f == 1));
                    units.retain(|u| u.iter().any(|n| n[0] & 0x1f == 5));
                    (120, 3)
                }
                _ => (80, 110),
            };
            assert!(units.len() >= least, "{fault}: {} units", units.len());
            let mut sent = sent_from(first, 119, (kind == Kind::ChangeParameters).then_some(90));
            if kind == Kind::LateSync {
                sent = sent.into_iter().step_by(20).collect();
            }
            sent.truncate(units.len());
            assert!(units == sent, "{fault} over {transport}");
        }
    }
}

/// The same seed and the same calls give the same bytes, whatever is wrong with the camera.
#[test]
fn seeds_replay_exactly() {
    use rand_core::SeedableRng;
    for seed in 0..100 {
        let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
        let faults: Vec<Fault> = (0..3).map(|_| Fault::random(&mut rng)).collect();
        let run = || {
            let mut c = Client::with_faults(&faults);
            c.ask("DESCRIBE", "rtsp://cam/main", "");
            c.set_up(
                "rtsp://cam/main",
                if seed % 2 == 0 {
                    TCP
                } else {
                    "RTP/AVP;client_port=5000-5001"
                },
            );
            c.with_session("PLAY", "rtsp://cam/main");
            c.run(Duration::from_secs(20));
            (c.packets, c.closed, c.bytes)
        };
        assert!(run() == run(), "seed {seed}: {faults:?}");
    }
}

#[test]
fn faults_of_the_connection() {
    let with = |fault: &str| Client::with_faults(&[fault.parse().unwrap()]);
    let mut c = with("never-answer");
    assert_eq!(c.ask("OPTIONS", "*", ""), "");
    assert_eq!(c.session.next_timeout(), None);

    let mut c = with("stall=5");
    c.start(TCP);
    c.run(Duration::from_secs(20));
    assert!(!c.closed);
    assert_eq!(c.units(0).len(), 5);

    let mut c = with("close=5");
    c.start(TCP);
    c.run(Duration::from_secs(20));
    assert!(c.closed && c.bytes.is_empty());
    assert_eq!(c.units(0).len(), 5);

    let mut c = with("close-mid-packet=5");
    c.start(TCP);
    c.run(Duration::from_secs(20));
    assert!(c.closed && c.bytes.len() > 4);

    let mut c = with("close-on-error");
    c.ask("DESCRIBE", "rtsp://cam/other", "");
    assert!(c.closed);

    let mut c = with("busy");
    assert_eq!(status(&c.set_up("rtsp://cam/main", TCP)), 453);
    let mut c = with("refuse-describe=500");
    assert_eq!(status(&c.ask("DESCRIBE", "rtsp://cam/main", "")), 500);
    let mut c = with("redirect=8554");
    let reply = c.ask("DESCRIBE", "rtsp://cam:554/main", "");
    assert_eq!(header(&reply, "location"), Some("rtsp://cam:8554/main"));

    let mut c = with("options-only");
    c.start(TCP);
    assert_eq!(
        status(&c.with_session("GET_PARAMETER", "rtsp://cam/main")),
        501
    );
    assert!(c.closed);

    let mut c = with("ignore-teardown");
    c.start(TCP);
    c.with_session("TEARDOWN", "rtsp://cam/main");
    c.run(Duration::from_secs(5));
    assert!(c.units(0).len() > 20);
}

#[test]
fn faults_of_rtp() {
    let run = |fault: &str| {
        let mut c = Client::with_faults(&[fault.parse().unwrap()]);
        c.start(TCP);
        c.run(Duration::from_secs(12));
        c.packets
    };
    let timestamp = |p: &Vec<u8>| u32::from_be_bytes(p[4..8].try_into().unwrap());
    let steps = |packets: &BTreeMap<u16, Vec<Vec<u8>>>| {
        let mut times: Vec<u32> = packets[&0].iter().map(timestamp).collect();
        times.dedup();
        let steps = times.windows(2).map(|w| w[1].wrapping_sub(w[0]) as i32);
        steps.collect::<Vec<i32>>()
    };
    assert!(run("no-marker")[&0].iter().all(|p| p[1] & 0x80 == 0));
    assert!(run("marker-always")[&0].iter().all(|p| p[1] & 0x80 != 0));
    assert!(!run("no-reports").contains_key(&1));
    assert!(run("wrong-reports")[&1].iter().all(|p| p[8..12] == [0; 4]));
    assert_eq!(
        run("unknown-channel")[&99].len(),
        run("no-reports")[&0]
            .iter()
            .filter(|p| p[1] & 0x80 != 0)
            .count()
    );
    let jump = 3 * 3600 * 90_000 + 9000;
    let count = |steps: &[i32], step: i32| steps.iter().filter(|s| **s == step).count();
    assert_eq!(count(&steps(&run("timestamp-jump=20")), jump), 1);
    assert_eq!(count(&steps(&run("timestamp-back=20")), 9000 - 180_000), 1);
    assert!(count(&steps(&run("timestamp-still=10")), 18_000) >= 10);
    let wrapped = run("timestamp-wrap=5");
    let times: Vec<u32> = wrapped[&0].iter().map(timestamp).collect();
    assert_eq!(times.windows(2).filter(|w| w[1] < w[0]).count(), 1);
    let lost = run("drop=200")[&0].len();
    let all = run("no-reports")[&0].len();
    assert!(
        lost > all * 7 / 10 && lost < all * 9 / 10,
        "{lost} of {all}"
    );
    let ssrcs = run("ssrc-change=20");
    let ssrcs: std::collections::BTreeSet<_> =
        ssrcs[&0].iter().map(|p| p[8..12].to_vec()).collect();
    assert_eq!(ssrcs.len(), 2);
    let jumped = run("sequence-jump=20");
    let sequence = |p: &Vec<u8>| u16::from_be_bytes([p[2], p[3]]);
    let jumps = jumped[&0]
        .windows(2)
        .filter(|w| sequence(&w[1]).wrapping_sub(sequence(&w[0])) == 5001);
    assert_eq!(jumps.count(), 1);
}

#[test]
fn a_clock_that_drifts_changes_the_pace() {
    let frames = |fault: Option<Fault>| {
        let mut c = Client::with_faults(fault.as_slice());
        c.start(TCP);
        c.run(Duration::from_secs(300));
        c.units(0).len()
    };
    let right = frames(None);
    let fast = frames(Some("clock-drift=10000".parse().unwrap()));
    assert!((28..=32).contains(&(fast - right)), "{right} {fast}");
}

#[test]
fn descriptions_that_lie() {
    let describe = |fault: &str| {
        let mut c = Client::with_faults(&[fault.parse().unwrap()]);
        c.ask("DESCRIBE", "rtsp://u:p@cam:554/main", "")
    };
    assert!(!describe("no-sprop").contains("sprop"));
    assert!(describe("wrong-sprop").contains("sprop-parameter-sets=Z"));
    assert_ne!(describe("wrong-sprop"), describe("no-reports"));
    assert!(describe("broken-sprop").contains("=Z0I@!"));
    assert!(describe("extra-media").contains("m=audio"));
    let lf = describe("sdp-lf");
    assert!(lf.ends_with("\n\0") && !lf.contains("\ns="));
    let absolute = describe("absolute-control");
    assert!(absolute.contains("a=control:rtsp://cam:554/main/trackID=0"));
    assert_eq!(header(&describe("no-content-base"), "content-base"), None);
    let bare = describe("bare-content-base");
    assert_eq!(header(&bare, "content-base"), Some("cam:554/main"));
    assert!(describe("odd-headers").contains("\r\ncseq :  1 \t\r\n"));
    assert!(describe("stray-crlf").starts_with("RTSP/1.0 200"));
}

#[test]
fn a_password_is_asked_for() {
    let mut c = Client::new(Config {
        authentication: Some(Authentication {
            username: "admin".to_owned(),
            password: "secret".to_owned(),
            scheme: Scheme::Basic,
        }),
        ..config(&[])
    });
    assert_eq!(status(&c.ask("OPTIONS", "*", "")), 200);
    let reply = c.ask("DESCRIBE", "rtsp://cam/main", "");
    assert_eq!(status(&reply), 401);
    assert!(
        header(&reply, "www-authenticate")
            .unwrap()
            .starts_with("Basic realm=")
    );
    let right = "Authorization: Basic YWRtaW46c2VjcmV0\r\n";
    assert_eq!(status(&c.ask("DESCRIBE", "rtsp://cam/main", right)), 200);
    let wrong = "Authorization: Basic YWRtaW46c2VjcmV1\r\n";
    assert_eq!(status(&c.ask("DESCRIBE", "rtsp://cam/main", wrong)), 401);
}

#[test]
fn a_client_that_comes_back_late_gets_what_is_new() {
    let mut c = Client::with_faults(&[]);
    c.start(TCP);
    c.run(Duration::from_secs(1));
    let before = c.units(0).len();
    // The keepalive is not missed: only the server's time-outs were.
    c.elapsed += Duration::from_secs(50);
    c.with_session("OPTIONS", "rtsp://cam/main");
    c.run(Duration::from_secs(3));
    let units = c.units(0);
    let most = before + player::MAX_CATCH_UP_FRAMES as usize + 30;
    assert!(units.len() > before && units.len() <= most);
    let last = synthetic::number_of(&units.last().unwrap().concat()).unwrap();
    assert!(last > 600, "{last}");
}

/// Bytes that no client would send: answered, refused or passed over, never a panic, and the
/// connection takes no more memory than a message may have.
#[test]
fn damaged_requests_do_no_harm() {
    use rand_core::{RngCore, SeedableRng};
    let whole = format!(
        "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n\
         DESCRIBE rtsp://cam/main RTSP/1.0\r\nCSeq: 2\r\nAuthorization: Digest username=\"a\", \
         realm=\"b\", nonce=\"c\", uri=\"d\", response=\"e\"\r\n\r\n\
         SETUP rtsp://cam/main/trackID=0 RTSP/1.0\r\nCSeq: 3\r\nTransport: {TCP}, {}\r\n\r\n\
         SET_PARAMETER rtsp://cam/main RTSP/1.0\r\nCSeq: 4\r\nContent-Length: 5\r\n\r\nhello\
         $\x01\x00\x02ab",
        udp()
    )
    .into_bytes();
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(3);
    for round in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..rng.next_u32() % 6 {
            let at = rng.next_u32() as usize % bytes.len();
            let other = rng.next_u32() as usize % bytes.len();
            match rng.next_u32() % 4 {
                0 => bytes[at] = rng.next_u32() as u8,
                1 => bytes.truncate(at.max(1)),
                2 => drop(bytes.drain(at.min(other)..at.max(other))),
                _ => bytes.insert(at, bytes[other]),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let mut c = Client::new(Config {
            authentication: (round % 2 == 0).then(|| Authentication {
                username: "a".to_owned(),
                password: "p".to_owned(),
                scheme: Scheme::Md5,
            }),
            ..config(&[])
        });
        let now = c.now();
        for piece in bytes.chunks(1 + rng.next_u32() as usize % 100) {
            c.session.receive(now, piece);
        }
        c.session.handle_timeout(now);
        let mut sent = 0;
        while let Some(output) = c.session.poll_output() {
            if let ServerOutput::Send(bytes) = output {
                sent += bytes.len();
            }
        }
        assert!(sent < 10 * message::MAX_MESSAGE_BYTES, "round {round}");
    }
}
