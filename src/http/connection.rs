//! One connection: requests in, one at a time, and responses out in their order.
//!
//! The caller moves the bytes: what [`Connection::respond`] gives, then the body, and tells with
//! [`Connection::sent`] when its queue has run empty. `design/http.md` has the states as a table.

use super::body::{BODY_BYTES, Framing as BodyFraming, Reader};
use super::head::{self, HEAD_BYTES, Head, Refusal, Scanner};
use super::request::{Method, Request};
use super::response::{BodySize, Response, ResponseHead, Status};
use super::websocket::{Endpoint, Handshake};
use crate::time::{Monotonic, Now};
use std::time::Duration;

/// How long a head may take from its first byte to its last, and a new connection to its first byte.
pub const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long a body may take from the end of its head.
pub const BODY_LIMIT: Duration = Duration::from_secs(30);
/// How long a connection is kept without a request.
pub const IDLE_LIMIT: Duration = Duration::from_secs(75);
/// How long a response may be without any progress.
pub const SEND_STALL_LIMIT: Duration = Duration::from_secs(60);
/// Bytes of requests that may wait behind the one that is being answered. What goes past it is dropped,
/// and the connection ends after the response: a client that asks ahead must be ready to ask again
/// (RFC 9112 section 9.3.2).
pub const PIPELINED_BYTES: usize = HEAD_BYTES + BODY_BYTES;

/// The most of an upload's body that is handed on at once, in bytes.
pub const UPLOAD_PIECE_BYTES: usize = 64 << 10;
/// Bytes of an upload's body that may wait for who takes them. The peer is not read while any wait, so that it
/// is what one read brings.
pub const UPLOAD_AHEAD_BYTES: usize = 4 << 20;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What is to be done after something happened to a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until more comes.
    Wait,
    /// Send these bytes: the client waits for leave to send a body.
    Send(Vec<u8>),
    /// A request whose body is not gathered: the peer is not read until somebody wants it. To be answered
    /// as any other; [`Connection::go_on`] asks for the body, [`Connection::take_upload`] gives what came
    /// of it. Answered before all of it was taken, the connection ends after the response.
    Upload(Request),
    /// Answer this request, now or later: [`Connection::respond`], [`Connection::respond_whole`] or
    /// [`Connection::upgrade`].
    Answer(Request),
    /// Send these bytes, then close: the request could not be understood.
    Refuse(Vec<u8>),
    /// Close it, after what is queued was sent.
    Close,
    /// Close it at once: the peer takes nothing.
    Abort,
}

/// How the end of a response is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    /// By its status, or by the end of the connection.
    Bare,
}

/// Where a connection is in its cycle.
#[derive(Debug)]
enum State {
    /// Nothing of a request has come.
    Idle { until: Monotonic },
    /// Some of a head has come.
    Head { until: Monotonic, scanner: Scanner },
    /// A head has come, its body not.
    Body {
        until: Monotonic,
        head: Box<Head>,
        reader: Reader,
    },
    /// A request was handed over and is to be answered. That takes as long as the caller lets it.
    Answering(Answering),
    /// The same, and so many bytes of its body are still to be taken.
    Uploading {
        answering: Answering,
        left: u64,
        expects_continue: bool,
    },
    /// The response is on its way.
    Sending(Sending),
    /// It is to be closed, or has become a WebSocket.
    Closing,
}

#[derive(Clone, Copy, Debug)]
struct Answering {
    keep_alive: bool,
    head_only: bool,
    http_1_1: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sending {
    keep_alive: bool,
    body: Body,
    /// When the response is stalled; `None` if nothing waits to be sent and nothing is promised.
    until: Option<Monotonic>,
}

/// What is left of the body that is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// Nothing but what is queued already.
    Done,
    /// Some of a known length.
    Known,
    /// Chunks are made of it (HTTP/1.1).
    Chunked,
    /// It ends with the connection (HTTP/1.0).
    UntilClose,
}

/// What a request to become a WebSocket leads to.
#[derive(Debug)]
pub struct Upgraded {
    /// To be sent before anything else.
    pub head: Vec<u8>,
    /// It takes the connection's place.
    pub endpoint: Endpoint,
    /// What the client sent too early: for [`Endpoint::receive`].
    pub early: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub struct Connection {
    state: State,
    /// What came and was not looked at, or is part of an unfinished head or line.
    input: Vec<u8>,
    /// No further request is taken: the input has ended or overflowed.
    last: bool,
}

impl Connection {
    pub fn new(now: Now) -> Connection {
        Connection {
            state: State::Idle {
                until: now.monotonic + HEAD_LIMIT,
            },
            input: Vec::new(),
            last: false,
        }
    }

    /// Takes in what came.
    pub fn receive(&mut self, now: Now, bytes: &[u8]) -> Step {
        let mut rest = bytes;
        let mut step = Step::Wait;
        while !rest.is_empty() && !self.last && !matches!(self.state, State::Closing) {
            let most = match self.state {
                State::Uploading { .. } => UPLOAD_AHEAD_BYTES,
                _ => PIPELINED_BYTES,
            };
            let space = most.saturating_sub(self.input.len());
            if space == 0 {
                self.last = true;
                self.input = Vec::new();
                break;
            }
            let (piece, later) = rest.split_at(space.min(rest.len()));
            self.input.extend_from_slice(piece);
            rest = later;
            if step == Step::Wait {
                step = self.advance(now);
            }
        }
        if step == Step::Wait {
            step = self.leave_to_go_on();
        }
        step
    }

    /// The peer will send no more, but may still read: what it asked for is answered, then the connection
    /// ends.
    pub fn input_ended(&mut self, _now: Now) -> Step {
        self.last = true;
        match self.state {
            State::Idle { .. } | State::Head { .. } | State::Body { .. } => self.close(),
            // What is missing of its body will not come.
            State::Uploading { .. } => self.close(),
            State::Answering(_) | State::Sending(_) | State::Closing => Step::Wait,
        }
    }

    /// Nothing more is read: the peer sends no more, or has sent too much ahead.
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Begins the response to the request that was handed over: the bytes of its head.
    ///
    /// If [`Self::wants_body`] then, the caller queues the body and calls [`Self::body_done`] when the last
    /// of it is queued.
    pub fn respond(&mut self, now: Now, head: &ResponseHead, size: BodySize) -> Vec<u8> {
        let answering = match self.state {
            State::Answering(answering) => answering,
            State::Uploading {
                answering, left, ..
            } => {
                // What is left of the body would be read as a request.
                self.last |= left > 0;
                if left > 0 {
                    self.input = Vec::new();
                }
                answering
            }
            _ => {
                debug_assert!(false, "a response to no request");
                return Vec::new();
            }
        };
        let bodiless = head.status.is_bodiless();
        let (framing, body) = match size {
            _ if bodiless => (Framing::Bare, Body::Done),
            BodySize::None | BodySize::Known(0) => (Framing::Length(0), Body::Done),
            BodySize::Known(n) => (Framing::Length(n), Body::Known),
            BodySize::Streamed if answering.http_1_1 => (Framing::Chunked, Body::Chunked),
            BodySize::Streamed => (Framing::Bare, Body::UntilClose),
        };
        // What was asked ahead is still answered after the input has ended.
        let exhausted = self.last && self.input.is_empty();
        let keep_alive =
            answering.keep_alive && !exhausted && !head.is_closing() && body != Body::UntilClose;
        self.state = State::Sending(Sending {
            keep_alive,
            body: if answering.head_only {
                Body::Done
            } else {
                body
            },
            until: Some(now.monotonic + SEND_STALL_LIMIT),
        });
        head.serialize(now, keep_alive, framing).into_bytes()
    }

    /// A whole response: the bytes of head and body. Nothing else is to be done but to tell of
    /// [`Self::sent`].
    pub fn respond_whole(&mut self, now: Now, response: &Response) -> Vec<u8> {
        let mut bytes = self.respond(now, &response.head, response.size());
        if self.wants_body() {
            bytes.extend_from_slice(&response.body);
        }
        if let State::Sending(s) = &mut self.state {
            s.body = Body::Done;
        }
        bytes
    }

    /// Answers the request with `101 Switching Protocols`; the connection is done then.
    pub fn upgrade(&mut self, now: Now, handshake: &Handshake) -> Upgraded {
        debug_assert!(
            matches!(self.state, State::Answering(_)),
            "an upgrade of no request"
        );
        self.state = State::Closing;
        let head = handshake.response();
        Upgraded {
            head: head.serialize(now, true, Framing::Bare).into_bytes(),
            endpoint: Endpoint::new(now.monotonic),
            early: std::mem::take(&mut self.input),
        }
    }

    /// The bytes to be sent so that the body of an upload comes: `100 Continue`, if the client waits for it.
    pub fn go_on(&mut self) -> Vec<u8> {
        let State::Uploading {
            expects_continue, ..
        } = &mut self.state
        else {
            return Vec::new();
        };
        match std::mem::take(expects_continue) && self.input.is_empty() {
            true => CONTINUE.to_vec(),
            false => Vec::new(),
        }
    }

    /// Some of what has come of the body of an upload, and whether that was the last of it.
    pub fn take_upload(&mut self) -> (Vec<u8>, bool) {
        let State::Uploading { left, .. } = &mut self.state else {
            return (Vec::new(), true);
        };
        let most = usize::try_from(*left).map_or(UPLOAD_PIECE_BYTES, |n| n.min(UPLOAD_PIECE_BYTES));
        let rest = self.input.split_off(most.min(self.input.len()));
        let piece = std::mem::replace(&mut self.input, rest);
        *left -= piece.len() as u64;
        (piece, *left == 0)
    }

    /// Whether more of a body is to be sent. Not for HEAD, and not for a status that has none.
    pub fn wants_body(&self) -> bool {
        matches!(self.state, State::Sending(s) if s.body != Body::Done)
    }

    /// A piece of a [`BodySize::Streamed`] body as it is to be sent. An empty piece is the last one
    /// (RFC 9112 section 7.1): [`Self::body_done`] must follow.
    pub fn chunk(&mut self, now: Now, bytes: &[u8]) -> Vec<u8> {
        let State::Sending(s) = &mut self.state else {
            return Vec::new();
        };
        let chunk = match s.body {
            Body::Chunked => {
                let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
                out
            }
            Body::UntilClose => bytes.to_vec(),
            Body::Done | Body::Known => return Vec::new(),
        };
        if !chunk.is_empty() && s.until.is_none() {
            s.until = Some(now.monotonic + SEND_STALL_LIMIT);
        }
        chunk
    }

    /// The last of the body is queued. Called before [`Self::sent`] is told of that.
    pub fn body_done(&mut self, _now: Now) -> Step {
        let State::Sending(s) = &mut self.state else {
            return Step::Wait;
        };
        let nothing_queued = s.body == Body::UntilClose && s.until.is_none();
        s.body = Body::Done;
        if nothing_queued {
            return self.close();
        }
        Step::Wait
    }

    /// Some of what is queued was taken by the peer's system, not all.
    pub fn progress(&mut self, now: Now) {
        if let State::Sending(s) = &mut self.state {
            if s.until.is_some() {
                s.until = Some(now.monotonic + SEND_STALL_LIMIT);
            }
        }
    }

    /// All that was queued is on its way: the next request may be looked at if the body was done, or more
    /// of the body queued.
    pub fn sent(&mut self, now: Now) -> Step {
        let State::Sending(s) = &mut self.state else {
            return Step::Wait;
        };
        match s.body {
            Body::Known => {
                s.until = Some(now.monotonic + SEND_STALL_LIMIT);
                Step::Wait
            }
            Body::Chunked | Body::UntilClose => {
                s.until = None;
                Step::Wait
            }
            Body::Done if !s.keep_alive || (self.last && self.input.is_empty()) => self.close(),
            Body::Done => {
                self.state = State::Idle {
                    until: now.monotonic + IDLE_LIMIT,
                };
                let step = self.advance(now);
                match step {
                    Step::Wait if self.last => self.close(),
                    Step::Wait => self.leave_to_go_on(),
                    step => step,
                }
            }
        }
    }

    pub fn next_timeout(&self) -> Option<Monotonic> {
        match &self.state {
            State::Idle { until } | State::Head { until, .. } | State::Body { until, .. } => {
                Some(*until)
            }
            State::Sending(s) => s.until,
            State::Answering(_) | State::Uploading { .. } | State::Closing => None,
        }
    }

    pub fn handle_timeout(&mut self, now: Now) -> Step {
        if self.next_timeout().is_none_or(|t| now.monotonic < t) {
            return Step::Wait;
        }
        let late = |what| (Status::RequestTimeout, what);
        match self.state {
            State::Head { .. } => self.refuse(now, late("the request's head took too long")),
            State::Body { .. } => self.refuse(now, late("the request's body took too long")),
            State::Sending(_) => {
                self.close();
                Step::Abort
            }
            _ => self.close(),
        }
    }

    /// Between requests: it may be closed without harm.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle { .. })
    }

    /// Bytes of memory that hold what came, to find who costs most.
    pub fn memory_bytes(&self) -> usize {
        let body = match &self.state {
            State::Body { reader, .. } => reader.capacity(),
            _ => 0,
        };
        self.input.capacity() + body
    }

    fn close(&mut self) -> Step {
        self.state = State::Closing;
        self.input = Vec::new();
        Step::Close
    }

    fn refuse(&mut self, now: Now, (status, sentence): Refusal) -> Step {
        let head_only = self.is_asked_for_head();
        self.close();
        let response = Response::text(status, sentence);
        let framing = Framing::Length(response.body.len() as u64);
        let mut bytes = response.head.serialize(now, false, framing).into_bytes();
        if !head_only {
            bytes.extend_from_slice(&response.body);
        }
        Step::Refuse(bytes)
    }

    /// Whether what has come of a request is HEAD: also what refuses it has no body then (RFC 9112 section
    /// 6.3). Of a method that has not come whole, what there is decides.
    fn is_asked_for_head(&self) -> bool {
        const HEAD: &[u8] = b"HEAD ";
        match &self.state {
            State::Head { .. } => {
                let n = self.input.len().min(HEAD.len());
                self.input[..n] == HEAD[..n]
            }
            State::Body { head, .. } => head.request.method == Method::Head,
            _ => false,
        }
    }

    /// Looks at the input as far as that leads.
    fn advance(&mut self, now: Now) -> Step {
        loop {
            let result = match self.state {
                State::Idle { .. } => self.begin(now),
                State::Head { .. } => self.read_head(now),
                State::Body { .. } => self.read_body(),
                State::Answering(_)
                | State::Uploading { .. }
                | State::Sending(_)
                | State::Closing => return Step::Wait,
            };
            match result {
                Ok(None) => {}
                Ok(Some(step)) => return step,
                Err(refusal) => return self.refuse(now, refusal),
            }
        }
    }

    fn begin(&mut self, now: Now) -> Result<Option<Step>, Refusal> {
        // Empty lines before a request are skipped (RFC 9112 section 2.2).
        let blank = self
            .input
            .iter()
            .take_while(|b| matches!(b, b'\r' | b'\n'))
            .count();
        self.input.drain(..blank);
        if self.input.is_empty() {
            // An idle connection holds no buffer.
            self.input = Vec::new();
            return Ok(Some(Step::Wait));
        }
        self.state = State::Head {
            until: now.monotonic + HEAD_LIMIT,
            scanner: Scanner::default(),
        };
        Ok(None)
    }

    fn read_head(&mut self, now: Now) -> Result<Option<Step>, Refusal> {
        let State::Head { scanner, .. } = &mut self.state else {
            return Ok(Some(Step::Wait));
        };
        let Some(end) = scanner.find_end(&self.input)? else {
            return Ok(Some(Step::Wait));
        };
        let head = head::parse(&self.input[..end])?;
        self.input.drain(..end);
        if let BodyFraming::Upload(left) = head.framing {
            let request = head.request;
            self.state = State::Uploading {
                answering: Answering {
                    keep_alive: head.keep_alive,
                    head_only: false,
                    http_1_1: request.http_1_1,
                },
                left,
                expects_continue: head.expects_continue,
            };
            return Ok(Some(Step::Upload(request)));
        }
        self.state = State::Body {
            until: now.monotonic + BODY_LIMIT,
            reader: Reader::new(head.framing),
            head: Box::new(head),
        };
        Ok(None)
    }

    fn read_body(&mut self) -> Result<Option<Step>, Refusal> {
        let State::Body { reader, .. } = &mut self.state else {
            return Ok(Some(Step::Wait));
        };
        let taken = reader.read(&self.input)?;
        self.input.drain(..taken);
        if !reader.is_done() {
            return Ok(Some(Step::Wait));
        }
        let State::Body { head, reader, .. } = std::mem::replace(&mut self.state, State::Closing)
        else {
            return Ok(Some(Step::Wait));
        };
        if self.input.is_empty() {
            // The response may take long: what nobody waits for is given back.
            self.input = Vec::new();
        }
        let mut request = head.request;
        request.body = reader.into_body();
        self.state = State::Answering(Answering {
            keep_alive: head.keep_alive,
            head_only: request.method == Method::Head,
            http_1_1: request.http_1_1,
        });
        Ok(Some(Step::Answer(request)))
    }

    /// `100 Continue`, if the client waits for it (RFC 9110 section 10.1.1).
    fn leave_to_go_on(&mut self) -> Step {
        if let State::Body { head, reader, .. } = &mut self.state {
            if head.expects_continue {
                head.expects_continue = false;
                if reader.is_untouched() && self.input.is_empty() {
                    return Step::Send(CONTINUE.to_vec());
                }
            }
        }
        Step::Wait
    }
}

#[cfg(test)]
mod tests;
