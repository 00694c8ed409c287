//! The terminal: raw input, a screen of its own, and all as it was before when the program ends,
//! however it ends.
//!
//! What is sent is what a VT100 understands: moving the cursor, clearing, bold, underline and reverse
//! video, each change beginning with "all attributes off". The rest (a second screen, showing and
//! hiding the cursor) is private to newer terminals and passed over by others. Where the locale is not
//! UTF-8, lines are drawn in ASCII.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::style::Modifier;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use termion::event::{Event, Key, parse_event};
use unicode_width::UnicodeWidthStr;

/// What a terminal that does not say its size is taken to have: the VT100's.
const USUAL_SIZE: Size = Size {
    width: 80,
    height: 24,
};

/// How long the rest of a key's sequence may take after its escape: on a serial line of 1,200 bit/s a
/// byte takes 8 ms.
const ESCAPE_WAIT: Duration = Duration::from_millis(100);

/// The most bytes of typing that wait; more (something large was pasted) are taken later.
const MAX_TYPED: usize = 4096;

/// A second screen, so that what was there before comes back; then cleared, for those without.
const BEGIN: &str = "\x1b[?1049h\x1b[m\x1b[2J\x1b[H";
const END: &str = "\x1b[m\x1b[?25h\x1b[2J\x1b[H\x1b[?1049l";

/// How the terminal was before. Here, so that a panic finds it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    Key(Key),
    /// The size may have changed: draw all of it.
    Resized,
    /// SIGTERM, SIGINT or SIGHUP, or nobody is at the other end any more.
    Ended,
    /// Nothing, for so long as was asked.
    Nothing,
}

/// The terminal that the program runs on, until it is dropped.
pub struct Terminal {
    signals: SignalFd,
    typed: VecDeque<u8>,
    closed: bool,
}

impl Terminal {
    /// Takes standard input and output over.
    pub fn open() -> io::Result<Terminal> {
        let mut mask = SigSet::empty();
        for signal in [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGWINCH,
        ] {
            mask.add(signal);
        }
        mask.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals = SignalFd::with_flags(&mask, flags)?;
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        if let Ok(mut place) = BEFORE.lock() {
            *place = Some(before);
        }
        // The program aborts after a panic: what runs then is this.
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            told(panic);
        }));
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw)?;
        write_all(BEGIN.as_bytes())?;
        Ok(Terminal {
            signals,
            typed: VecDeque::new(),
            closed: false,
        })
    }

    /// Waits for the next thing, no longer than `limit`.
    pub fn next(&mut self, limit: Duration) -> io::Result<Happened> {
        let mut wait = limit;
        loop {
            if let Some(key) = self.key()? {
                return Ok(Happened::Key(key));
            }
            if self.closed {
                return Ok(Happened::Ended);
            }
            let (input, signalled) = self.ready(wait)?;
            if signalled {
                if let Some(info) = self.signals.read_signal()? {
                    return Ok(match Signal::try_from(info.ssi_signo as i32) {
                        Ok(Signal::SIGWINCH) => Happened::Resized,
                        _ => Happened::Ended,
                    });
                }
            }
            match input {
                true => self.read()?,
                false => return Ok(Happened::Nothing),
            }
            wait = Duration::ZERO;
        }
    }

    /// Whether there is input, and a signal.
    fn ready(&self, wait: Duration) -> io::Result<(bool, bool)> {
        let stdin = io::stdin();
        let mut fds = [
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, wait) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let any = |fd: &PollFd| fd.any().unwrap_or(false);
        Ok((any(&fds[0]), any(&fds[1])))
    }

    fn read(&mut self) -> io::Result<()> {
        let mut bytes = [0; 1024];
        let room = MAX_TYPED.saturating_sub(self.typed.len()).min(bytes.len());
        match io::stdin().lock().read(&mut bytes[..room.max(1)]) {
            Ok(0) => self.closed = true,
            Ok(n) => self.typed.extend(&bytes[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // The other end has gone.
            Err(_) => self.closed = true,
        }
        Ok(())
    }

    /// The next whole key of what was typed.
    fn key(&mut self) -> io::Result<Option<Key>> {
        // The rest of a sequence may still be on its way, as slow lines are.
        let deadline = Instant::now() + ESCAPE_WAIT;
        while is_part(self.typed.make_contiguous()) && !self.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.ready(left)?.0 {
                break;
            }
            self.read()?;
        }
        while !self.typed.is_empty() {
            if let Some(key) = take_key(&mut self.typed) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Makes the terminal what it was. Once; and nothing can be done if it does not take it.
fn restore() {
    let before = match BEFORE.try_lock() {
        Ok(mut place) => place.take(),
        Err(_) => None,
    };
    if let Some(before) = before {
        let _ = write_all(END.as_bytes());
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &before);
    }
}

fn write_all(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Whether the bytes end within a key's sequence, or a character.
fn is_part(bytes: &[u8]) -> bool {
    match bytes {
        [] => false,
        [0x1b] | [0x1b, b'[' | b'O'] => true,
        [0x1b, b'[', rest @ ..] => {
            // ECMA-48 section 5.4: parameters and intermediates, then the final byte.
            let ended = rest.iter().any(|b| (0x40..=0x7e).contains(b) && *b != b'[');
            !ended && rest.len() < 32
        }
        [first, rest @ ..] => rest.len() < first.leading_ones().saturating_sub(1) as usize,
    }
}

/// Takes one key off; `None` of what is no key.
fn take_key(typed: &mut VecDeque<u8>) -> Option<Key> {
    let first = typed.pop_front()?;
    if first == 0x1b && typed.front() == Some(&b'O') {
        // Cursor keys in application mode (DECCKM).
        if typed.get(1).is_some_and(|b| b"ABCDFH".contains(b)) {
            typed[0] = b'[';
        }
    }
    match first {
        // Alone, or before something that is no sequence.
        0x1b if typed.is_empty() || typed.front() == Some(&0x1b) => return Some(Key::Esc),
        b'\r' | b'\n' => return Some(Key::Char('\n')),
        // No character begins so (RFC 3629 section 3).
        0x80..=0xc1 | 0xf5..=0xff => return None,
        // The key that deletes to the left sends one or the other.
        0x08 | 0x7f => return Some(Key::Backspace),
        _ => {}
    }
    let mut bytes = std::iter::from_fn(|| typed.pop_front().map(Ok));
    match parse_event(first, &mut bytes) {
        Ok(Event::Key(key)) => Some(key),
        _ => None,
    }
}

/// Whether what the terminal is told may be UTF-8, as the locale says (setlocale(3)).
pub fn is_utf8() -> bool {
    let named = ["LC_ALL", "LC_CTYPE", "LANG"].map(std::env::var);
    let locale = named
        .into_iter()
        .flatten()
        .find(|v| !v.is_empty())
        .unwrap_or_default()
        .to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// What is drawn on: keeps what is to be sent until it is flushed.
pub struct Screen {
    out: Vec<u8>,
    utf8: bool,
}

impl Screen {
    pub fn new(utf8: bool) -> Screen {
        Screen {
            out: Vec::new(),
            utf8,
        }
    }

    fn attributes(&mut self, modifier: Modifier) {
        self.out.extend(b"\x1b[0");
        for (bit, code) in [
            (Modifier::BOLD, b";1"),
            (Modifier::UNDERLINED, b";4"),
            (Modifier::REVERSED, b";7"),
        ] {
            if modifier.contains(bit) {
                self.out.extend(code);
            }
        }
        self.out.push(b'm');
    }

    /// Sends what is in a cell; where the cursor is then from there on, if that is sure.
    fn symbol(&mut self, symbol: &str) -> Option<u16> {
        let columns = symbol.width().max(1);
        if symbol.is_ascii() || self.utf8 {
            self.out.extend(symbol.as_bytes());
            // How wide a wide character is, terminals do not agree on.
            return (columns == 1).then_some(1);
        }
        let instead = match symbol.chars().next() {
            Some('\u{2500}' | '\u{2501}') => b'-',
            Some('\u{2502}' | '\u{2503}') => b'|',
            Some('\u{250c}'..='\u{254b}' | '\u{256d}'..='\u{2570}') => b'+',
            _ => b'?',
        };
        self.out.extend(std::iter::repeat_n(instead, columns));
        Some(columns as u16)
    }
}

impl Backend for Screen {
    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut next = None;
        let mut modifier = Modifier::empty();
        for (x, y, cell) in content {
            if next != Some((x, y)) {
                write!(self.out, "\x1b[{};{}H", y + 1, x + 1)?;
            }
            if cell.modifier != modifier {
                modifier = cell.modifier;
                self.attributes(modifier);
            }
            next = self.symbol(cell.symbol()).map(|columns| (x + columns, y));
        }
        if modifier != Modifier::empty() {
            self.attributes(Modifier::empty());
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.out.extend(b"\x1b[?25l");
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.out.extend(b"\x1b[?25h");
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        // Asked for by inline viewports only.
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let Position { x, y } = position.into();
        write!(self.out, "\x1b[{};{}H", y + 1, x + 1)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.out.extend(b"\x1b[m\x1b[2J");
        Ok(())
    }

    fn clear_region(&mut self, _: ClearType) -> io::Result<()> {
        self.clear()
    }

    fn size(&self) -> io::Result<Size> {
        let told = termion::terminal_size().ok();
        let told = told.filter(|(width, height)| *width > 0 && *height > 0);
        Ok(told.map_or(USUAL_SIZE, |(width, height)| Size { width, height }))
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize {
            columns_rows: self.size()?,
            pixels: Size::default(),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::widgets::{Block, Widget};

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut typed: VecDeque<u8> = bytes.iter().copied().collect();
        let mut keys = Vec::new();
        while !typed.is_empty() {
            keys.extend(take_key(&mut typed));
        }
        keys
    }

    #[test]
    fn keys_of_old_and_new_terminals() {
        assert_eq!(keys(b"\x1b[A\x1bOB"), [Key::Up, Key::Down]);
        assert_eq!(keys(b"\x1b[3~\x1b[5~"), [Key::Delete, Key::PageUp]);
        assert_eq!(keys(b"\x1b[1~\x1b[H"), [Key::Home, Key::Home]);
        assert_eq!(keys(b"\x08\x7f"), [Key::Backspace, Key::Backspace]);
        assert_eq!(keys(b"\r"), [Key::Char('\n')]);
        assert_eq!(keys(b"\t\x1b[Z"), [Key::Char('\t'), Key::BackTab]);
        assert_eq!(keys(b"\x03\x0f"), [Key::Ctrl('c'), Key::Ctrl('o')]);
        assert_eq!(
            keys("\u{e4}x".as_bytes()),
            [Key::Char('\u{e4}'), Key::Char('x')]
        );
        assert_eq!(keys(b"\x1b"), [Key::Esc]);
        assert_eq!(keys(b"\x1b\x1b[A"), [Key::Esc, Key::Up]);
        // Rubbish of a line is no key, and nothing after it is lost.
        assert_eq!(keys(b"\xff\xfea").last(), Some(&Key::Char('a')));
    }

    #[test]
    fn what_is_not_whole_yet_is_waited_for() {
        for part in [
            &b"\x1b"[..],
            b"\x1b[",
            b"\x1bO",
            b"\x1b[1",
            b"\x1b[1;5",
            b"\xc3",
            b"\xe2\x82",
        ] {
            assert!(is_part(part), "{part:?}");
        }
        for whole in [
            &b""[..],
            b"a",
            b"\x1b[A",
            b"\x1bOP",
            b"\x1b[15~",
            b"\xc3\xa4",
            b"\x1bx",
        ] {
            assert!(!is_part(whole), "{whole:?}");
        }
        assert!(!is_part(&[b"\x1b["[..].to_vec(), vec![b'1'; 99]].concat()));
    }

    #[test]
    fn only_what_a_vt100_knows_is_sent() {
        let area = ratatui::layout::Rect::new(0, 0, 12, 3);
        let mut buf = ratatui::buffer::Buffer::empty(area);
        Block::bordered().render(area, &mut buf);
        super::super::draw::put(&mut buf, area, 2, 1, "caf\u{e9}", super::super::draw::FOCUS);
        let cells = || {
            buf.content
                .iter()
                .zip(0u16..)
                .map(|(c, i)| (i % 12, i / 12, c))
        };
        let sent = |utf8| {
            let mut screen = Screen::new(utf8);
            screen.draw(cells()).unwrap();
            screen.out
        };
        let ascii = String::from_utf8(sent(false)).unwrap();
        assert!(ascii.is_ascii());
        assert!(
            ascii.starts_with("\x1b[1;1H+----------+\x1b[2;1H| \x1b"),
            "{ascii:?}"
        );
        assert!(ascii.contains("\x1b[0;7mcaf?"), "{ascii:?}");
        assert!(ascii.contains("\x1b[0m"), "{ascii:?}");
        let utf8 = String::from_utf8(sent(true)).unwrap();
        assert!(
            utf8.contains('\u{250c}') && utf8.contains("caf\u{e9}"),
            "{utf8:?}"
        );
    }

    /// Run by the test below, in a terminal; without one there is nothing to be seen.
    #[test]
    #[ignore = "panics, in a terminal of its own"]
    fn panics() {
        let Ok(terminal) = Terminal::open() else {
            return;
        };
        // The program that is installed aborts: nothing is dropped.
        std::mem::forget(terminal);
        let _ = write_all(b"a screen of its own");
        panic!("on purpose");
    }

    #[test]
    fn a_panic_leaves_the_terminal_as_it_was() {
        let temp = tempfile::TempDir::new().unwrap();
        let dir = temp.path().display();
        let this = std::env::current_exe().unwrap();
        let name = "command::config::terminal::tests::panics";
        let script = format!(
            "stty -a >{dir}/before; {} --ignored --exact {name} --nocapture 2>{dir}/err; \
             stty -a >{dir}/after; touch {dir}/done; sleep 60",
            this.display()
        );
        let tmux = |args: &[&str]| {
            let socket = temp.path().join("tmux");
            let mut command = std::process::Command::new("tmux");
            command.arg("-S").arg(socket).args(args).output().unwrap()
        };
        tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            &script,
        ]);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !temp.path().join("done").exists() {
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        tmux(&["kill-server"]);
        let read = |name: &str| std::fs::read_to_string(temp.path().join(name)).unwrap();
        assert_eq!(read("after"), read("before"));
        assert!(read("err").contains("on purpose"), "{}", read("err"));
    }
}
