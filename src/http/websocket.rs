//! WebSocket (RFC 6455), the server's end: the handshake, and messages in both directions.
//!
//! Data for many viewers is encoded once ([`encode_binary`], [`encode_text`]: a server's frames are not
//! masked, so they are the same for all) and queued by the caller. [`Endpoint`] is one viewer's: it reads
//! what comes, answers pings, pings itself, and ends in good order. tungstenite reads the frames and
//! keeps the state of the closing; it is handed a pair of buffers in place of a socket.
//!
//! Refused: subprotocols and extensions (video does not compress), messages past [`MESSAGE_BYTES`],
//! unmasked frames, everything that RFC 6455 forbids.

use super::request::{Method, Request};
use super::response::{Response, ResponseHead, Status};
use crate::time::Monotonic;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest, Sha1};
use std::io::{self, Read, Write};
use std::time::Duration;
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, FrameHeader};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message as Incoming, Utf8Bytes};

/// The longest message that is taken from a client, and the longest frame.
pub const MESSAGE_BYTES: usize = 4 << 10;
/// The most messages that are taken from one [`Endpoint::receive`]; with more the connection ends.
pub const MESSAGES: usize = 32;
/// How often the client is asked for a sign of life.
pub const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long a client may give none.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(90);
/// How long the client may take to answer our closing.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// Answers to pings that may wait to be sent; further pings are not answered until [`Endpoint::sent`].
pub const PONGS_UNSENT: usize = 8;

/// What is read from the client at a time.
const READ_BYTES: usize = 4 << 10;
/// Appended to the client's key (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request to become a WebSocket that is in order (RFC 6455 section 4.2.1). Whether it is allowed is the
/// caller's: [`super::origin::Site::check`] covers its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    accept: String,
}

impl Handshake {
    /// Reads the client's half; the error is what to answer.
    // The response is made once for a connection: its size does not matter.
    #[allow(clippy::result_large_err)]
    pub fn check(request: &Request) -> Result<Handshake, Response> {
        let has = |field: &str, token: &str| {
            let mut list = request.headers.list(field);
            list.any(|t| t.eq_ignore_ascii_case(token))
        };
        if request.method != Method::Get || !request.http_1_1 || !request.body.is_empty() {
            return Err(bad("a WebSocket begins with a GET of HTTP/1.1"));
        }
        if !has("upgrade", "websocket") || !has("connection", "upgrade") {
            return Err(Response::text(
                Status::UpgradeRequired,
                "this is to be had over a WebSocket only",
            ));
        }
        if request.header("sec-websocket-version") != Some("13") {
            return Err(Response::text(
                Status::UpgradeRequired,
                "only version 13 of WebSocket is spoken here",
            )
            .field("Sec-WebSocket-Version", "13"));
        }
        let key = request.header("sec-websocket-key").unwrap_or_default();
        if BASE64.decode(key).map_or(0, |k| k.len()) != 16 {
            return Err(bad("Sec-WebSocket-Key is not 16 bytes in base64"));
        }
        let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
        Ok(Handshake {
            accept: BASE64.encode(digest),
        })
    }

    /// `Sec-WebSocket-Accept` for the client's key.
    pub fn accept(&self) -> &str {
        &self.accept
    }

    pub(super) fn response(&self) -> ResponseHead {
        ResponseHead::new(Status::SwitchingProtocols)
            .field("Sec-WebSocket-Accept", self.accept.clone())
    }
}

fn bad(sentence: &str) -> Response {
    Response::text(Status::BadRequest, sentence)
}

/// One binary message whose payload is header lines (`Name: value`, CR LF), an empty line, and `payload`
/// in its pieces: as bytes to send to any number of viewers. Control characters in a value become spaces.
pub fn encode_binary(fields: &[(&str, &str)], payload: &[&[u8]]) -> Vec<u8> {
    encode_binary_head(fields, payload, 0)
}

/// The same of a message that `later` more bytes belong to, which are sent behind it.
pub fn encode_binary_head(fields: &[(&str, &str)], payload: &[&[u8]], later: usize) -> Vec<u8> {
    let mut head = String::with_capacity(256);
    for (name, value) in fields {
        head.push_str(name);
        head.push_str(": ");
        head.extend(value.chars().map(|c| if c.is_control() { ' ' } else { c }));
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    let len = payload.iter().fold(head.len(), |n, p| n + p.len());
    let mut out = frame(OpCode::Data(Data::Binary), len + later);
    out.extend_from_slice(head.as_bytes());
    for piece in payload {
        out.extend_from_slice(piece);
    }
    out
}

/// One text message.
pub fn encode_text(text: &str) -> Vec<u8> {
    let mut out = frame(OpCode::Data(Data::Text), text.len());
    out.extend_from_slice(text.as_bytes());
    out
}

/// The header of a frame that is a whole message, with room for its payload.
fn frame(opcode: OpCode, len: usize) -> Vec<u8> {
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    let mut out = Vec::with_capacity(len + 10);
    // Writing to a vector cannot fail.
    let _ = header.format(len as u64, &mut out);
    out
}

/// A message of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
}

/// What is to be done after something happened to an endpoint, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    pub messages: Vec<Message>,
    /// Bytes to queue, perhaps none. They may go between messages, never within one.
    pub send: Vec<u8>,
    /// The connection is to be closed, after what is queued was sent.
    pub close: bool,
}

/// Why the server ends (RFC 6455 section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing more will come: 1000.
    Done,
    /// The server stops or restarts: 1001.
    GoingAway,
    /// The client may no longer watch, or did too much: 1008.
    Policy,
    /// Something failed here: 1011.
    Failed,
}

/// See the module.
#[derive(Debug)]
pub struct Endpoint {
    context: WebSocketContext,
    /// When anything came last.
    heard: Monotonic,
    next_ping: Monotonic,
    /// Our closing was sent: the client's is waited for until then.
    closing: Option<Monotonic>,
    ended: bool,
    pongs_unsent: usize,
}

/// Buffers in place of a socket.
struct Pipe<'i, 'o> {
    input: &'i [u8],
    output: &'o mut Vec<u8>,
}

impl Read for Pipe<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.read(buf)
    }
}

impl Write for Pipe<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.output.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Endpoint {
    pub fn new(now: Monotonic) -> Endpoint {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        Endpoint {
            context: WebSocketContext::new(Role::Server, Some(config)),
            heard: now,
            next_ping: now + PING_INTERVAL,
            closing: None,
            ended: false,
            pongs_unsent: 0,
        }
    }

    /// Whether messages may still be queued: neither end has begun to close.
    pub fn is_open(&self) -> bool {
        !self.ended && self.closing.is_none() && self.context.can_write()
    }

    /// Takes in what came.
    pub fn receive(&mut self, now: Monotonic, bytes: &[u8]) -> Reaction {
        let mut reaction = Reaction::default();
        if self.ended || bytes.is_empty() {
            return reaction;
        }
        self.heard = now;
        let mut output = Vec::new();
        let mut input = bytes;
        loop {
            let mut pipe = Pipe {
                input,
                output: &mut output,
            };
            let result = self.context.read(&mut pipe);
            input = pipe.input;
            // What was written is the answer to what was read before: a pong, or the closing.
            if !output.is_empty() {
                self.answer(&mut output, &mut reaction);
            }
            match result {
                Ok(Incoming::Text(t)) => reaction.messages.push(Message::Text(t.to_string())),
                Ok(Incoming::Binary(b)) => reaction.messages.push(Message::Binary(b.to_vec())),
                Ok(_) => {}
                Err(Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    self.end(&mut reaction);
                    break;
                }
                Err(e) => {
                    self.fail(&e, &mut reaction);
                    break;
                }
            }
            if reaction.messages.len() > MESSAGES {
                reaction.messages.truncate(MESSAGES);
                self.give_up(CloseCode::Policy, "too many messages", &mut reaction);
                break;
            }
        }
        reaction
    }

    /// Ends in good order: bytes to queue after all else. The connection is closed when the client has
    /// answered, or at a [`Self::next_timeout`].
    pub fn close(&mut self, now: Monotonic, reason: Reason, sentence: &str) -> Vec<u8> {
        if !self.is_open() {
            return Vec::new();
        }
        let code = match reason {
            Reason::Done => CloseCode::Normal,
            Reason::GoingAway => CloseCode::Away,
            Reason::Policy => CloseCode::Policy,
            Reason::Failed => CloseCode::Error,
        };
        self.closing = Some(now + CLOSE_LIMIT);
        self.write_close(code, sentence)
    }

    /// All that was queued is on its way.
    pub fn sent(&mut self) {
        self.pongs_unsent = 0;
    }

    pub fn next_timeout(&self) -> Option<Monotonic> {
        if self.ended {
            return None;
        }
        let silent = self.heard + SILENCE_LIMIT;
        Some(match self.closing {
            Some(until) => until.min(silent),
            None => self.next_ping.min(silent),
        })
    }

    pub fn handle_timeout(&mut self, now: Monotonic) -> Reaction {
        let mut reaction = Reaction::default();
        if self.ended {
            return reaction;
        }
        let late = self.closing.is_some_and(|until| until <= now);
        if late || self.heard + SILENCE_LIMIT <= now {
            self.end(&mut reaction);
        } else if self.next_ping <= now {
            self.next_ping = now + PING_INTERVAL;
            if self.is_open() {
                reaction.send = frame(OpCode::Control(Control::Ping), 0);
            }
        }
        reaction
    }

    fn answer(&mut self, output: &mut Vec<u8>, reaction: &mut Reaction) {
        const PONG: u8 = 0x8a;
        if output.first() == Some(&PONG) {
            // A client that pings and does not read must not fill the queue.
            if self.pongs_unsent == PONGS_UNSENT {
                output.clear();
                return;
            }
            self.pongs_unsent += 1;
        }
        reaction.send.append(output);
    }

    /// Tells the client what it did wrong, then ends.
    fn fail(&mut self, error: &Error, reaction: &mut Reaction) {
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                self.give_up(CloseCode::Size, "the message is too long", reaction);
            }
            Error::Utf8(_) => {
                self.give_up(CloseCode::Invalid, "the text is not UTF-8", reaction);
            }
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => self.end(reaction),
            _ => self.give_up(CloseCode::Protocol, "", reaction),
        }
    }

    fn give_up(&mut self, code: CloseCode, sentence: &str, reaction: &mut Reaction) {
        if self.is_open() {
            let bytes = self.write_close(code, sentence);
            reaction.send.extend_from_slice(&bytes);
        }
        self.end(reaction);
    }

    fn write_close(&mut self, code: CloseCode, sentence: &str) -> Vec<u8> {
        // A control frame has 125 bytes at most, two of which are the code.
        let mut end = sentence.len().min(123);
        while !sentence.is_char_boundary(end) {
            end -= 1;
        }
        let mut output = Vec::new();
        let mut pipe = Pipe {
            input: &[],
            output: &mut output,
        };
        let frame = CloseFrame {
            code,
            reason: Utf8Bytes::from(&sentence[..end]),
        };
        // The pipe takes all, so the only failure is that it is closed already: nothing was written then.
        let _ = self.context.close(&mut pipe, Some(frame));
        output
    }

    fn end(&mut self, reaction: &mut Reaction) {
        self.ended = true;
        reaction.close = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Headers;
    use tungstenite::protocol::frame::Frame;

    const NOW: Monotonic = Monotonic(1_000_000_000);

    fn request(method: Method, http_1_1: bool, fields: &[(&str, &str)]) -> Request {
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(name, value.as_bytes());
        }
        Request {
            method,
            path: "/live".to_owned(),
            query: String::new(),
            headers,
            upload_bytes: None,
            body: Vec::new(),
            http_1_1,
        }
    }

    /// A frame as a client sends it.
    fn client_frame(opcode: OpCode, is_final: bool, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader {
            is_final,
            opcode,
            mask: Some([1, 2, 3, 4]),
            ..FrameHeader::default()
        };
        let frame = Frame::from_payload(header, payload.to_vec().into());
        let mut out = Vec::new();
        frame.format(&mut out).unwrap();
        out
    }

    fn text(payload: &str) -> Vec<u8> {
        client_frame(OpCode::Data(Data::Text), true, payload.as_bytes())
    }

    fn ping(payload: &[u8]) -> Vec<u8> {
        client_frame(OpCode::Control(Control::Ping), true, payload)
    }

    fn close_frame(code: u16) -> Vec<u8> {
        client_frame(OpCode::Control(Control::Close), true, &code.to_be_bytes())
    }

    /// The code of a close frame of ours that is all of `bytes`.
    fn close_code(bytes: &[u8]) -> Option<u16> {
        let [0x88, len, a, b, sentence @ ..] = bytes else {
            return None;
        };
        assert_eq!(usize::from(*len), 2 + sentence.len());
        std::str::from_utf8(sentence).unwrap();
        Some(u16::from_be_bytes([*a, *b]))
    }

    #[test]
    fn the_handshake_of_the_standard_and_those_that_are_refused() {
        let good = [
            ("Upgrade", "h2c, WebSocket"),
            ("Connection", "keep-alive, upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        // RFC 6455 section 1.3.
        let handshake = Handshake::check(&request(Method::Get, true, &good)).unwrap();
        assert_eq!(handshake.accept(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let refused = |r: &Request| Handshake::check(r).unwrap_err().head.status.code();
        assert_eq!(refused(&request(Method::Post, true, &good)), 400);
        assert_eq!(refused(&request(Method::Get, false, &good)), 400);
        for (i, value, code) in [
            (0, "h2c", 426),
            (1, "keep-alive", 426),
            (2, "8", 426),
            (2, "", 426),
            (3, "", 400),
            (3, "dGhlIHNhbXBsZSBub25jZQ", 400),
            (3, "dGhlIHNhbXBsZSBub25jZQ==dGhl", 400),
            (3, "c2hvcnQ=", 400),
        ] {
            let mut fields = good;
            fields[i].1 = value;
            assert_eq!(
                refused(&request(Method::Get, true, &fields)),
                code,
                "{fields:?}"
            );
        }
    }

    /// tungstenite's client reads what was encoded once for all viewers.
    #[test]
    fn messages_for_many_arrive_at_each() {
        for len in [0, 1, 100, 125, 126, 65_535, 65_536, 300_000] {
            let media = vec![7; len];
            let (first, second) = media.split_at(len / 3);
            let fields = [
                ("Content-Type", "video/mp4; codecs=\"avc1\""),
                ("X-Runs", "a\r\nb"),
            ];
            let shared = encode_binary(&fields, &[first, second]);
            let mut stream = shared.clone();
            stream.extend(encode_text("{\"type\":\"drop\"}"));
            let mut output = Vec::new();
            let mut pipe = Pipe {
                input: &stream,
                output: &mut output,
            };
            let mut client = WebSocketContext::new(Role::Client, None);
            let expected = "Content-Type: video/mp4; codecs=\"avc1\"\r\nX-Runs: a  b\r\n\r\n";
            let expected = [expected.as_bytes(), &media].concat();
            assert_eq!(client.read(&mut pipe).unwrap(), Incoming::binary(expected));
            let text = client.read(&mut pipe).unwrap();
            assert_eq!(text, Incoming::text("{\"type\":\"drop\"}"));
            assert!(pipe.input.is_empty());
        }
    }

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let mut stream = text("one");
        stream.extend(client_frame(OpCode::Data(Data::Binary), false, b"tw"));
        stream.extend(ping(b"are you there"));
        stream.extend(client_frame(OpCode::Data(Data::Continue), true, b"o"));
        stream.extend(text(&"x".repeat(MESSAGE_BYTES)));
        for cut in [1, 2, 7, 1000, usize::MAX] {
            let mut e = Endpoint::new(NOW);
            let (mut messages, mut send) = (Vec::new(), Vec::new());
            for piece in stream.chunks(cut) {
                let mut reaction = e.receive(NOW, piece);
                assert!(!reaction.close);
                messages.append(&mut reaction.messages);
                send.append(&mut reaction.send);
            }
            assert_eq!(
                messages,
                [
                    Message::Text("one".to_owned()),
                    Message::Binary(b"two".to_vec()),
                    Message::Text("x".repeat(MESSAGE_BYTES)),
                ]
            );
            assert_eq!(send, b"\x8a\x0dare you there");
            assert!(e.is_open());
        }
    }

    #[test]
    fn what_the_standard_forbids_ends_the_connection_with_its_code() {
        let data = OpCode::Data;
        let long = text(&"x".repeat(MESSAGE_BYTES + 1));
        let mut in_parts = client_frame(data(Data::Text), false, &[b'x'; MESSAGE_BYTES]);
        in_parts.extend(client_frame(data(Data::Continue), true, b"x"));
        let huge = [
            0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4,
        ];
        for (what, bytes, code) in [
            ("unmasked", encode_text("x"), 1002),
            ("reserved bit", vec![0xc1, 0x80, 1, 2, 3, 4], 1002),
            ("unknown opcode", vec![0x83, 0x80, 1, 2, 3, 4], 1002),
            ("unknown control", vec![0x8b, 0x80, 1, 2, 3, 4], 1002),
            ("control in parts", vec![0x09, 0x80, 1, 2, 3, 4], 1002),
            ("long ping", ping(&[0; 126]), 1002),
            (
                "continues nothing",
                client_frame(data(Data::Continue), true, b"x"),
                1002,
            ),
            (
                "close of one byte",
                client_frame(OpCode::Control(Control::Close), true, b"x"),
                1002,
            ),
            (
                "not UTF-8",
                client_frame(data(Data::Text), true, b"\xff"),
                1007,
            ),
            ("too long", long, 1009),
            ("too long in parts", in_parts, 1009),
            ("8 EiB", huge.to_vec(), 1009),
            ("too many", text("x").repeat(MESSAGES + 1), 1008),
        ] {
            let mut e = Endpoint::new(NOW);
            let reaction = e.receive(NOW, &bytes);
            assert!(reaction.close, "{what}");
            assert_eq!(
                close_code(&reaction.send),
                Some(code),
                "{what}: {:?}",
                reaction.send
            );
            assert!(reaction.messages.len() <= MESSAGES);
            assert!(!e.is_open());
            assert_eq!(e.next_timeout(), None);
            assert_eq!(e.receive(NOW, &text("more")), Reaction::default());
            assert_eq!(e.close(NOW, Reason::Done, ""), b"");
        }
    }

    #[test]
    fn either_end_may_close_and_the_other_answers() {
        let mut e = Endpoint::new(NOW);
        let reaction = e.receive(NOW, &close_frame(1001));
        assert_eq!(
            (close_code(&reaction.send), reaction.close),
            (Some(1001), true)
        );

        let mut e = Endpoint::new(NOW);
        let long = "\u{e9}".repeat(200);
        assert_eq!(
            close_code(&e.close(NOW, Reason::GoingAway, &long)),
            Some(1001)
        );
        assert!(!e.is_open());
        assert_eq!(e.close(NOW, Reason::Failed, "again"), b"");
        // What was under way may still come; pings are answered no more.
        let reaction = e.receive(NOW, &[text("late"), ping(b"")].concat());
        assert_eq!(reaction.messages, [Message::Text("late".to_owned())]);
        assert_eq!((&reaction.send[..], reaction.close), (&b""[..], false));
        let reaction = e.receive(NOW, &close_frame(1001));
        assert_eq!((&reaction.send[..], reaction.close), (&b""[..], true));

        let mut e = Endpoint::new(NOW);
        e.close(NOW, Reason::Done, "");
        assert_eq!(e.next_timeout(), Some(NOW + CLOSE_LIMIT));
        assert!(!e.handle_timeout(NOW).close);
        assert!(e.handle_timeout(NOW + CLOSE_LIMIT).close);
        assert_eq!(e.next_timeout(), None);
    }

    #[test]
    fn a_client_is_asked_for_signs_of_life_and_given_up_without() {
        let mut e = Endpoint::new(NOW);
        let mut pings = 0;
        let ended = loop {
            let now = e.next_timeout().unwrap();
            let reaction = e.handle_timeout(now);
            if reaction.close {
                break now;
            }
            assert_eq!(reaction.send, [0x89, 0]);
            pings += 1;
            if pings == 2 {
                // Any byte is a sign.
                e.receive(now, &text("x")[..1]);
            }
        };
        assert_eq!(pings, 4);
        assert_eq!(ended, NOW + 2 * PING_INTERVAL + SILENCE_LIMIT);
    }

    #[test]
    fn pings_of_a_client_that_does_not_read_are_answered_for_a_while() {
        let mut e = Endpoint::new(NOW);
        let reaction = e.receive(NOW, &ping(&[1; 125]).repeat(500));
        assert_eq!(reaction.send.len(), PONGS_UNSENT * 127);
        assert!(!reaction.close);
        assert_eq!(e.receive(NOW, &ping(b"x")).send, b"");
        e.sent();
        assert_eq!(e.receive(NOW, &ping(b"x")).send, b"\x8a\x01x");
    }
}
