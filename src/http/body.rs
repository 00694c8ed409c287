//! Bodies of requests, gathered whole.

use super::head::Refusal;
use super::response::Status;

/// The longest body of a request.
pub const BODY_BYTES: usize = 64 << 10;
/// The longest body that is not gathered but handed on as it comes, where somebody takes it so.
pub const UPLOAD_BYTES: u64 = 1 << 30;
/// The longest line that tells a chunk's size, its extensions included.
const CHUNK_LINE_BYTES: usize = 256;
/// The most bytes of chunk extensions and trailers in one body. They mean nothing here.
const CHUNK_EXTRA_BYTES: usize = 4 << 10;

/// How a body is told from what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes, at most [`BODY_BYTES`].
    Length(usize),
    /// So many bytes, at most [`UPLOAD_BYTES`], which are not gathered.
    Upload(u64),
    /// RFC 9112 section 7.1.
    Chunked,
}

/// What comes next of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes, and then it is whole.
    Plain(usize),
    /// The line with the next chunk's size.
    SizeLine,
    /// So many bytes of a chunk.
    Chunk(usize),
    /// The CR LF behind a chunk.
    ChunkEnd,
    /// Lines, until an empty one.
    Trailers,
    Done,
}

/// Gathers one body.
#[derive(Debug)]
pub(super) struct Reader {
    state: State,
    body: Vec<u8>,
    /// Bytes of extensions and trailers so far.
    extra: usize,
}

impl Reader {
    pub(super) fn new(framing: Framing) -> Reader {
        Reader {
            state: match framing {
                Framing::Length(0) | Framing::Upload(_) => State::Done,
                Framing::Length(n) => State::Plain(n),
                Framing::Chunked => State::SizeLine,
            },
            body: Vec::new(),
            extra: 0,
        }
    }

    /// Takes what belongs to the body from the beginning of `input` and says how many bytes that was. A
    /// line that has not come whole is left there.
    pub(super) fn read(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let mut rest = input;
        loop {
            match self.state {
                State::Plain(n) | State::Chunk(n) => {
                    let taken = n.min(rest.len());
                    self.body.extend_from_slice(&rest[..taken]);
                    rest = &rest[taken..];
                    self.state = match (self.state, n - taken) {
                        (State::Plain(_), 0) => State::Done,
                        (State::Plain(_), left) => State::Plain(left),
                        (_, 0) => State::ChunkEnd,
                        (_, left) => State::Chunk(left),
                    };
                    if taken < n {
                        break;
                    }
                }
                State::SizeLine | State::ChunkEnd | State::Trailers => {
                    let Some(line) = line(rest)? else { break };
                    rest = &rest[line.len() + 2..];
                    self.line(line)?;
                }
                State::Done => break,
            }
        }
        Ok(input.len() - rest.len())
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Nothing of the body has come.
    pub(super) fn is_untouched(&self) -> bool {
        self.body.is_empty() && matches!(self.state, State::Plain(_) | State::SizeLine)
    }

    pub(super) fn capacity(&self) -> usize {
        self.body.capacity()
    }

    pub(super) fn into_body(self) -> Vec<u8> {
        self.body
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        match self.state {
            State::SizeLine => {
                let size = self.chunk_size(line)?;
                self.state = match size {
                    0 => State::Trailers,
                    n => State::Chunk(n),
                };
            }
            State::ChunkEnd if line.is_empty() => self.state = State::SizeLine,
            State::ChunkEnd => {
                return Err((Status::BadRequest, "a chunk is longer than its size"));
            }
            _ if line.is_empty() => self.state = State::Done,
            _ => self.count(line.len())?,
        }
        Ok(())
    }

    /// `1*HEXDIG [chunk-ext]`
    fn chunk_size(&mut self, line: &[u8]) -> Result<usize, Refusal> {
        const NO_SIZE: Refusal = (Status::BadRequest, "a chunk has no size");
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let (digits, extension) = line.split_at(digits);
        // White space before the semicolon is allowed, but nothing else.
        if !extension.is_empty() && !extension.trim_ascii_start().starts_with(b";") {
            return Err(NO_SIZE);
        }
        self.count(extension.len())?;
        let digits = std::str::from_utf8(digits).map_err(|_| NO_SIZE)?;
        if digits.is_empty() {
            return Err(NO_SIZE);
        }
        match usize::from_str_radix(digits, 16) {
            Ok(n) if n <= BODY_BYTES - self.body.len() => Ok(n),
            _ => Err((Status::ContentTooLarge, "the request's body is too long")),
        }
    }

    fn count(&mut self, extra: usize) -> Result<(), Refusal> {
        self.extra += extra;
        if self.extra > CHUNK_EXTRA_BYTES {
            return Err((
                Status::BadRequest,
                "the body's chunks have too much beside their bytes",
            ));
        }
        Ok(())
    }
}

/// The line at the beginning of `input` without its CR LF; `None` if it has not come whole.
fn line(input: &[u8]) -> Result<Option<&[u8]>, Refusal> {
    const BAD: Refusal = (
        Status::BadRequest,
        "lines between the body's chunks end with CR LF and are short",
    );
    let head = &input[..input.len().min(CHUNK_LINE_BYTES)];
    let end = head
        .iter()
        .position(|b| (*b < b' ' && *b != b'\t') || *b == 127);
    match end {
        None if head.len() == CHUNK_LINE_BYTES => Err(BAD),
        None => Ok(None),
        Some(i) if input[i] != b'\r' => Err(BAD),
        Some(i) => match input.get(i + 1) {
            None => Ok(None),
            Some(b'\n') => Ok(Some(&input[..i])),
            Some(_) => Err(BAD),
        },
    }
}
