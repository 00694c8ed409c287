//! Splits a connection's bytes into interleaved packets (RFC 2326 section 10.12) and messages, in
//! place: what lies whole within the caller's slice is lent out of it, with no copy and, for
//! packets, no allocation. Only what is torn at the slice's end is kept, in a tail that is bounded by
//! the larger of a packet (64 KiB) and a message ([`HEAD_LIMIT`] and [`BODY_LIMIT`]).
//!
//! It refuses bytes that begin neither a packet nor a message; it does not search for the next one.

use super::error::Error;
use super::message::{BODY_LIMIT, HEAD_LIMIT, Message};

/// Interleaved packets begin with it.
const DOLLAR: u8 = b'$';
/// Dollar sign, channel, length in 2 bytes.
const PACKET_HEAD: usize = 4;
/// A tail whose capacity has grown past this many bytes gives its memory back when it is empty.
const TAIL_KEPT: usize = 4 * 1024;

/// One thing found in the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    Packet {
        channel: u8,
        bytes: &'a [u8],
    },
    /// `position`: how many bytes of the connection came before it.
    Message {
        message: Message,
        position: u64,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub struct Framer {
    tail: Vec<u8>,
    state: State,
    /// Bytes of the connection up to the frame under way.
    position: u64,
}

/// What the tail holds.
#[derive(Debug, Default)]
enum State {
    /// Nothing: the next byte begins a frame.
    #[default]
    Between,
    /// The start of a packet.
    Packet,
    /// The start of a message whose head has not ended; its current line starts there in the tail.
    Head { line_start: usize },
    /// A message's head, whole, and some of its body; the message has `length` bytes in all.
    Body {
        message: Box<Message>,
        head: usize,
        length: usize,
    },
    /// A frame that was lent out by the last call: to be dropped by the next.
    Lent,
    /// Nothing that makes sense: an error was returned.
    Lost,
}

impl Framer {
    /// Takes the next frame off the front of `input`. `None`: all of `input` was taken and more is
    /// needed. After an error the framer does not know where it is: each further call is one too.
    pub fn next<'s, 'i: 's>(
        &'s mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'s>>, Error> {
        match self.state {
            State::Lent => self.drop_tail(),
            State::Lost => return Err(self.error("lost in the stream".to_owned())),
            _ => {}
        }
        if let State::Between = self.state {
            self.skip_blanks(input);
            let Some(&first) = input.first() else {
                return Ok(None);
            };
            if first == DOLLAR {
                if let Some((channel, bytes, rest)) = split_packet(input) {
                    *input = rest;
                    self.position += (PACKET_HEAD + bytes.len()) as u64;
                    return Ok(Some(Frame::Packet { channel, bytes }));
                }
                self.state = State::Packet;
            } else if first.is_ascii_alphabetic() {
                self.state = State::Head { line_start: 0 };
            } else {
                return Err(self.error(format!(
                    "lost in the stream: {first:#04x} begins neither a packet nor a message"
                )));
            }
        }
        match self.state {
            State::Packet => Ok(self.torn_packet(input)),
            _ => self.message(input),
        }
    }

    /// Skips what strays between a packet and the next reply: CR, LF, white space, NUL.
    fn skip_blanks(&mut self, input: &mut &[u8]) {
        while let [b'\r' | b'\n' | b' ' | b'\t' | 0, rest @ ..] = *input {
            *input = rest;
            self.position += 1;
        }
    }

    /// Goes on with a packet that was torn at the end of a slice.
    fn torn_packet(&mut self, input: &mut &[u8]) -> Option<Frame<'_>> {
        self.fill(input, PACKET_HEAD);
        let &[_, channel, high, low, ..] = self.tail.as_slice() else {
            return None;
        };
        let length = PACKET_HEAD + usize::from(u16::from_be_bytes([high, low]));
        self.fill(input, length);
        if self.tail.len() < length {
            return None;
        }
        self.state = State::Lent;
        Some(Frame::Packet {
            channel,
            bytes: &self.tail[PACKET_HEAD..],
        })
    }

    /// Goes on with a message. Messages are few, so all pass through the tail.
    fn message(&mut self, input: &mut &[u8]) -> Result<Option<Frame<'static>>, Error> {
        if let State::Head { line_start } = self.state {
            if !self.fill_head(input, line_start)? {
                return Ok(None);
            }
            let message = Message::parse_head(&self.tail).map_err(|what| self.error(what))?;
            let body = message
                .content_length()
                .ok_or_else(|| self.error("Content-Length is no number".to_owned()))?;
            if body > BODY_LIMIT as u64 {
                return Err(self.too_long("a message's body", BODY_LIMIT));
            }
            self.state = State::Body {
                message: Box::new(message),
                head: self.tail.len(),
                length: self.tail.len() + body as usize,
            };
        }
        let State::Body { length, .. } = self.state else {
            return Ok(None);
        };
        self.fill(input, length);
        if self.tail.len() < length {
            return Ok(None);
        }
        let State::Body {
            mut message, head, ..
        } = std::mem::take(&mut self.state)
        else {
            return Ok(None);
        };
        message.set_body(&self.tail[head..]);
        let position = self.position;
        self.drop_tail();
        Ok(Some(Frame::Message {
            message: *message,
            position,
        }))
    }

    /// Moves lines to the tail up to and with the empty one that ends a head. False: not there yet.
    fn fill_head(&mut self, input: &mut &[u8], mut line_start: usize) -> Result<bool, Error> {
        loop {
            let line_end = input.iter().position(|&b| b == b'\n').map(|i| i + 1);
            let taken = line_end.unwrap_or(input.len());
            if self.tail.len() + taken > HEAD_LIMIT {
                return Err(self.too_long("a message's head", HEAD_LIMIT));
            }
            self.fill(input, self.tail.len() + taken);
            if line_end.is_none() {
                self.state = State::Head { line_start };
                return Ok(false);
            }
            if matches!(&self.tail[line_start..], b"\n" | b"\r\n") {
                return Ok(true);
            }
            line_start = self.tail.len();
        }
    }

    /// Moves bytes from `input` to the tail until that holds `length` of them or `input` is empty.
    fn fill(&mut self, input: &mut &[u8], length: usize) {
        let count = length.saturating_sub(self.tail.len()).min(input.len());
        let (now, rest) = input.split_at(count);
        self.tail.extend_from_slice(now);
        *input = rest;
    }

    fn drop_tail(&mut self) {
        self.position += self.tail.len() as u64;
        self.tail.clear();
        self.tail.shrink_to(TAIL_KEPT);
        self.state = State::Between;
    }

    fn error(&mut self, what: String) -> Error {
        self.state = State::Lost;
        Error::Protocol {
            what,
            position: self.position,
        }
    }

    fn too_long(&mut self, what: &'static str, limit: usize) -> Error {
        self.state = State::Lost;
        Error::TooLong {
            what,
            limit,
            position: self.position,
        }
    }
}

/// The packet at the front of `input`, if it is there whole: channel, bytes, and what follows.
fn split_packet(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[_, channel, high, low], rest) = input.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let (bytes, rest) = rest.split_at_checked(length)?;
    Some((channel, bytes, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"$\x00\x00\x03abc\r\n\n\rRTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 2\r\n\
        \r\nhi$\x01\x00\x00\0$\x02\x00\x01$OPTIONS * RTSP/1.0\n\nRTSP/1.0 200 OK\r\n\r\n";

    /// All frames of `pieces`, told in words, and the position at the end.
    fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Result<u64, Error>) {
        let mut framer = Framer::default();
        let mut told = Vec::new();
        for piece in pieces {
            let mut input = piece;
            loop {
                match framer.next(&mut input) {
                    Ok(Some(frame)) => told.push(format!("{frame:?}")),
                    Ok(None) => break,
                    Err(e) => return (told, Err(e)),
                }
            }
            assert!(input.is_empty());
        }
        (told, Ok(framer.position))
    }

    #[test]
    fn packets_and_messages_come_in_order_however_the_bytes_are_cut() {
        let (whole, end) = frames([STREAM].into_iter());
        assert_eq!(whole.len(), 6, "{whole:#?}");
        assert!(whole[0].contains("[97, 98, 99]"));
        assert!(whole[1].contains("[104, 105]"));
        assert_eq!(whole[3], "Packet { channel: 2, bytes: [36] }");
        assert_eq!(end, Ok(STREAM.len() as u64));
        for size in 1..STREAM.len() {
            let (cut, end) = frames(STREAM.chunks(size));
            assert_eq!(cut, whole, "in pieces of {size}");
            assert!(end.is_ok());
        }
    }

    #[test]
    fn a_whole_packet_is_lent_out_of_the_slice() {
        let bytes = b"$\x00\x00\x02hi".to_vec();
        let mut framer = Framer::default();
        let mut input = bytes.as_slice();
        match framer.next(&mut input) {
            Ok(Some(Frame::Packet { bytes: lent, .. })) => {
                assert_eq!(lent.as_ptr(), bytes[4..].as_ptr());
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(framer.tail.capacity(), 0);
    }

    #[test]
    fn the_tail_is_bounded() {
        let mut framer = Framer::default();
        let long = vec![b'A'; HEAD_LIMIT + 1];
        assert!(matches!(
            framer.next(&mut long.as_slice()),
            Err(Error::TooLong {
                limit: HEAD_LIMIT,
                ..
            })
        ));
        assert!(framer.tail.is_empty());

        for (length, limit) in [
            ("65537", true),
            ("99999999999999999999999", false),
            ("-1", false),
        ] {
            let head = format!("RTSP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let error = Framer::default().next(&mut head.as_bytes()).unwrap_err();
            assert_eq!(matches!(error, Error::TooLong { .. }), limit, "{error}");
        }

        let mut framer = Framer::default();
        let mut packet = vec![DOLLAR, 0, 0xff, 0xff];
        packet.resize(PACKET_HEAD + 0xffff - 1, 7);
        assert_eq!(framer.next(&mut packet.as_slice()), Ok(None));
        let mut last: &[u8] = &[7];
        assert!(
            matches!(framer.next(&mut last), Ok(Some(Frame::Packet { bytes, .. })) if bytes.len() == 0xffff)
        );
        assert_eq!(framer.next(&mut last), Ok(None));
        assert!(framer.tail.capacity() <= TAIL_KEPT);
    }

    #[test]
    fn what_begins_neither_is_an_error_with_its_place() {
        let (told, end) = frames([b"$\x00\x00\x01a\r\n\x80\x60junk".as_slice()].into_iter());
        assert_eq!(told.len(), 1);
        assert!(
            matches!(end, Err(Error::Protocol { position: 7, .. })),
            "{end:?}"
        );
        let (_, end) = frames([b"v=0\r\n\r\n".as_slice()].into_iter());
        assert!(
            matches!(end, Err(Error::Protocol { position: 0, .. })),
            "{end:?}"
        );
    }
}
