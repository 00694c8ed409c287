//! Plays a scripted camera against the client.
//!
//! A script is lines; each begins with what it is:
//!
//! ```text
//! # a comment
//! config udp | no-user          how the client is made; at the top
//! > PLAY rtsp://...             the client sends a request that begins so,
//! > Session: 12                 with this line in it,
//! >! Authorization              and nothing like this in it
//! >= bytes                      the client sends just these (with escapes)
//! < RTSP/1.0 200 OK             the camera sends these lines; CSeq (of the last request) and
//! <                             Content-Length are added unless there ("CSeq: none" leaves it out);
//!                               an empty line parts two messages
//! <raw "$\x00\x00\x01a\r\n"     the camera sends these bytes
//! $0 100                        the camera sends an RTP packet of sequence number 100 on channel 0
//! @ 30                          30 s go by
//! = playing                     the client tells this (outputs and errors)
//! = rtp 100 101                 it has handed over just these packets since the last such line
//! do teardown | udp-bound 5000 | udp-failed | udp-packet | rtcp
//! options, describe, setup, play    the usual exchange of that method
//! ```
//!
//! What the camera sends is delivered when the next line asks the client for something. At the end
//! nothing may be left unasked.

use crate::config::Secret;
use crate::rtsp::{Client, ClientConfig, Output, PacketKind};
use crate::time::Monotonic;
use rand_core::{RngCore, SeedableRng};
use std::collections::VecDeque;
use std::time::Duration;

/// What must never be told.
const PASSWORD: &str = "hunter2";

/// Plays `script` with the camera's bytes cut in several ways.
pub fn play(script: &str) {
    let mut whole = |len: usize| len;
    Player::new(script, "in one piece").run(script, &mut whole);
    let mut single = |_: usize| 1;
    Player::new(script, "byte by byte").run(script, &mut single);
    for seed in 0..16 {
        let mut rng = rand_pcg::Pcg32::seed_from_u64(seed);
        let mut random = |_: usize| 1 + (rng.next_u32() % 40) as usize;
        let how = format!("in random pieces, seed {seed}");
        Player::new(script, &how).run(script, &mut random);
    }
}

struct Player {
    client: Client,
    now: Monotonic,
    /// What the camera is about to send.
    flight: Vec<u8>,
    sent: VecDeque<Vec<u8>>,
    told: VecDeque<String>,
    packets: Vec<String>,
    /// The client's last request.
    request: String,
    /// Where we are, for messages.
    at: String,
    how: String,
}

impl Player {
    fn new(script: &str, how: &str) -> Player {
        let config = script.lines().find_map(|l| l.strip_prefix("config "));
        let has = |word| config.is_some_and(|c| c.split(' ').any(|w| w == word));
        let now = Monotonic(1_000_000_000);
        let url = "rtsp://someone:else@192.0.2.1/main";
        let cfg = ClientConfig {
            url: url::Url::parse(url).unwrap(),
            username: (!has("no-user")).then(|| "admin".to_owned()),
            password: (!has("no-user")).then(|| Secret(PASSWORD.to_owned())),
            udp: has("udp"),
            user_agent: "moonfire-nvr".to_owned(),
            seed: 1,
        };
        let mut player = Player {
            client: Client::new(cfg, now),
            now,
            flight: Vec::new(),
            sent: VecDeque::new(),
            told: VecDeque::new(),
            packets: Vec::new(),
            request: String::new(),
            at: String::new(),
            how: how.to_owned(),
        };
        player.drain();
        player
    }

    fn run(&mut self, script: &str, cut: &mut dyn FnMut(usize) -> usize) {
        let mut lines = script.lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            self.at = format!("line {} ({line}), {}", number + 1, self.how);
            if line.starts_with(['>', '=', '@']) || line.starts_with("do ") {
                self.deliver(cut);
            }
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "" | "#" | "config" => {}
                ">=" => assert_eq!(self.next_sent(), unescape(rest), "{}", self.at),
                ">" | ">!" => {
                    self.expect_request(rest);
                    while let Some((_, more)) =
                        lines.next_if(|(_, l)| l.starts_with("> ") || l.starts_with(">! "))
                    {
                        let (word, text) = more.split_once(' ').unwrap();
                        let has = self.request.contains(text);
                        assert_eq!(has, word == ">", "{more} in\n{}\n{}", self.request, self.at);
                    }
                }
                "<" => {
                    let mut message = vec![rest];
                    while let Some((_, more)) = lines.next_if(|(_, l)| is_sent_line(l)) {
                        message.push(more.strip_prefix("< ").unwrap_or(""));
                    }
                    let bytes = self.message(&message);
                    self.flight.extend(bytes);
                }
                "<raw" => self.flight.extend(unescape(rest)),
                "@" => self.pass(rest.parse().unwrap()),
                "=" => self.expect_told(rest),
                "do" => self.act(rest),
                "options" | "describe" | "setup" | "play" => {
                    let turn = usual(word);
                    self.run_part(turn, cut);
                }
                _ if word.starts_with('$') => {
                    let channel = word[1..].parse().unwrap();
                    let sequence = rest.parse().unwrap();
                    self.flight.extend(rtp_packet(channel, sequence));
                }
                _ => panic!("what is this? {}", self.at),
            }
        }
        self.at = format!("at the end, {}", self.how);
        self.deliver(cut);
        assert_eq!(self.told, [""; 0], "{}", self.at);
        assert_eq!(self.packets, [""; 0], "{}", self.at);
        let left: Vec<_> = self
            .sent
            .iter()
            .map(|b| String::from_utf8_lossy(b))
            .collect();
        assert_eq!(left, [""; 0], "{}", self.at);
    }

    /// A part of a script that leaves what it sends for the next line to deliver.
    fn run_part(&mut self, part: &str, cut: &mut dyn FnMut(usize) -> usize) {
        self.deliver(cut);
        let (request, reply) = part.split_once('\n').unwrap();
        self.expect_request(request);
        let lines: Vec<&str> = reply.lines().collect();
        let bytes = self.message(&lines);
        self.flight.extend(bytes);
    }

    /// Gives the client what the camera has sent, in pieces, and takes what it puts out.
    fn deliver(&mut self, cut: &mut dyn FnMut(usize) -> usize) {
        let flight = std::mem::take(&mut self.flight);
        let mut rest = flight.as_slice();
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(cut(rest.len()).min(rest.len()));
            rest = later;
            let packets = &mut self.packets;
            let result = self.client.receive(self.now, piece, |packet| {
                packets.push(match packet.kind {
                    PacketKind::Rtp => {
                        u16::from_be_bytes([packet.bytes[2], packet.bytes[3]]).to_string()
                    }
                    PacketKind::Rtcp => "rtcp".to_owned(),
                });
            });
            if let Err(e) = result {
                self.tell(format!("error {e}"));
                assert!(!format!("{e:?}").contains(PASSWORD));
            }
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            let told = match output {
                Output::Send(bytes) => {
                    self.sent.push_back(bytes);
                    continue;
                }
                Output::BindUdp => "bind-udp".to_owned(),
                Output::Video(v) => format!(
                    "video {} {} {} {}",
                    v.codec,
                    v.payload_type,
                    v.clock_rate,
                    v.sprop_parameter_sets.as_deref().unwrap_or("-")
                ),
                Output::Playing {
                    ssrc,
                    first_seq,
                    first_rtptime,
                    udp,
                } => {
                    let mut told = "playing".to_owned();
                    told += &ssrc.map_or(String::new(), |s| format!(" ssrc={s:08x}"));
                    told += &first_seq.map_or(String::new(), |s| format!(" seq={s}"));
                    told += &first_rtptime.map_or(String::new(), |t| format!(" rtptime={t}"));
                    told += &udp.map_or(String::new(), |u| {
                        format!(
                            " udp={:?},{:?},{:?}",
                            u.server_rtp_port, u.server_rtcp_port, u.source
                        )
                    });
                    told
                }
                Output::Ended => "ended".to_owned(),
            };
            self.tell(told);
        }
    }

    fn tell(&mut self, what: String) {
        assert!(!what.contains(PASSWORD), "{what}");
        self.told.push_back(what);
    }

    fn next_sent(&mut self) -> Vec<u8> {
        let at = &self.at;
        let told = &self.told;
        self.sent
            .pop_front()
            .unwrap_or_else(|| panic!("nothing is sent; told: {told:?}; {at}"))
    }

    fn expect_request(&mut self, start: &str) {
        let bytes = self.next_sent();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.ends_with("\r\n\r\n"), "{text}");
        assert!(text.starts_with(start), "sent:\n{text}\n{}", self.at);
        assert!(
            !text.contains("someone") && !text.contains(PASSWORD),
            "{text}"
        );
        self.request = text;
    }

    fn expect_told(&mut self, what: &str) {
        if let Some(sequences) = what.strip_prefix("rtp") {
            let expected: Vec<&str> = sequences.split_whitespace().collect();
            assert_eq!(self.packets, expected, "{}", self.at);
            self.packets.clear();
            return;
        }
        let told = self.told.pop_front();
        assert_eq!(told.as_deref(), Some(what), "{}", self.at);
    }

    fn act(&mut self, what: &str) {
        match what.split(' ').collect::<Vec<_>>().as_slice() {
            ["teardown"] => self.client.teardown(self.now),
            ["udp-bound", port] => self.client.udp_bound(self.now, port.parse().unwrap()),
            ["udp-failed"] => self.client.udp_failed(self.now),
            ["udp-packet"] => self.client.udp_rtp_received(self.now),
            ["rtcp"] => self.client.send_rtcp(b"rr"),
            ["stale", seconds] => {
                let until = self.client.stale_until();
                let stale = until.map_or(0, |t| t.since(self.now).as_secs());
                assert_eq!(stale.to_string(), *seconds, "{}", self.at);
            }
            _ => panic!("what is this? {}", self.at),
        }
        self.drain();
    }

    /// Lets time go by, with a call at each moment that the client asks for and one at the end.
    fn pass(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        for _ in 0..1000 {
            let next = self.client.next_timeout().filter(|&t| t <= end);
            self.now = next.map_or(end, |t| t.max(self.now));
            if let Err(e) = self.client.handle_timeout(self.now) {
                self.tell(format!("error {e}"));
            }
            self.drain();
            if next.is_none() {
                return;
            }
        }
        panic!("time-outs without end; {}", self.at);
    }

    /// A message of the camera's, its `CSeq` and `Content-Length` filled in.
    fn message(&self, lines: &[&str]) -> Vec<u8> {
        let head_end = lines
            .iter()
            .position(|l| l.is_empty())
            .unwrap_or(lines.len());
        let head = &lines[..head_end];
        let body = lines.get(head_end + 1..).unwrap_or_default();
        let body: String = body.iter().map(|l| format!("{l}\r\n")).collect();
        let has = |name: &str| {
            let mut names = head.iter().map(|l| l.trim_start().to_ascii_lowercase());
            names.any(|l| l.starts_with(name))
        };
        let mut out = String::new();
        for line in head.iter().filter(|l| **l != "CSeq: none") {
            out += &format!("{line}\r\n");
        }
        if !has("cseq") {
            let cseq = self
                .request
                .lines()
                .find(|l| l.starts_with("CSeq"))
                .unwrap();
            out += &format!("{cseq}\r\n");
        }
        if !body.is_empty() && !has("content-length") {
            out += &format!("Content-Length: {}\r\n", body.len());
        }
        (out + "\r\n" + &body).into_bytes()
    }
}

fn is_sent_line(line: &str) -> bool {
    line == "<" || line.starts_with("< ")
}

/// Request and reply of the usual exchange.
fn usual(method: &str) -> &'static str {
    match method {
        "options" => {
            "OPTIONS rtsp://192.0.2.1/main RTSP/1.0\nRTSP/1.0 200 OK\n\
             Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER"
        }
        "describe" => {
            "DESCRIBE rtsp://192.0.2.1/main RTSP/1.0\nRTSP/1.0 200 OK\n\
             Content-Base: rtsp://192.0.2.1/main/\nContent-Type: application/sdp\n\n\
             v=0\no=- 0 0 IN IP4 192.0.2.1\ns=Session\nt=0 0\na=control:*\nm=video 0 RTP/AVP 96\n\
             a=rtpmap:96 H264/90000\na=control:trackID=1"
        }
        "setup" => {
            "SETUP rtsp://192.0.2.1/main/trackID=1 RTSP/1.0\nRTSP/1.0 200 OK\n\
             Session: 12345678;timeout=60\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1"
        }
        _ => {
            "PLAY rtsp://192.0.2.1/main/ RTSP/1.0\nRTSP/1.0 200 OK\nSession: 12345678\n\
             RTP-Info: url=rtsp://192.0.2.1/main/trackID=1;seq=100;rtptime=5000"
        }
    }
}

fn rtp_packet(channel: u8, sequence: u16) -> Vec<u8> {
    let mut packet = vec![b'$', channel, 0, 14, 0x80, 96];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 2, 0x41, 0x9a]);
    packet
}

/// The bytes of a quoted text with `\r`, `\n`, `\0` and `\xHH`.
fn unescape(quoted: &str) -> Vec<u8> {
    let text = quoted.trim().trim_matches('"');
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        match bytes.next().unwrap() {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b'0' => out.push(0),
            b'x' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                let digits = std::str::from_utf8(&digits).unwrap();
                out.push(u8::from_str_radix(digits, 16).unwrap());
            }
            other => panic!("escape \\{}", char::from(other)),
        }
    }
    out
}
