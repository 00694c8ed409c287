//! `moonfire-nvr config`: a text interface for setting up, over SSH or a serial line.
//!
//! It writes to the database beside the recorder, which notices (`design/configuration.md`). The screens
//! ([`app`]) take keys and draw into a buffer; [`terminal`] alone knows that there is a terminal.

mod app;
mod camera_test;
mod cameras;
mod dirs;
mod draw;
mod form;
mod menu;
mod retention;
mod store;
mod terminal;
#[cfg(test)]
mod tests;
mod users;
mod words;

use super::{Exit, Failure};
use crate::ConfigArgs;
use app::App;
use std::io::{self, IsTerminal};
use std::time::Duration;
use store::Store;
use terminal::{Happened, Screen, Terminal, is_utf8};
use termion::event::Key;

/// How often what is shown is read again, and looked whether a test is over.
const TICK: Duration = Duration::from_millis(500);

/// Set up cameras, limits, users and sample directories in a text interface.
///
/// For a terminal of any kind, over SSH or a serial line: cameras (add, change, test, remove), how much is
/// kept of each and how long that lasts, users, sample directories. It works beside a running recorder,
/// which takes changes in within seconds, and without one. What the configuration file names is shown
/// and can be tested; it is changed in the file.
#[derive(clap::Args)]
pub struct Configure {
    #[command(flatten)]
    config: ConfigArgs,

    /// Draw with plain ASCII, for terminals that show rubbish otherwise. By default as the locale says
    /// (LANG).
    #[arg(long)]
    ascii: bool,
}

pub fn run(args: Configure) -> Result<Exit, Failure> {
    let config = args.config.load()?;
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "this needs a terminal for input and output; for scripts there is the HTTP API \
             (guide/api.md), `moonfire-nvr login` and `moonfire-nvr users`"
                .to_owned(),
        ));
    }
    let mut app = App::new(Store::open(config)?);
    let fail = |e: io::Error| Failure::Failed(format!("the terminal: {e}"));
    let mut terminal = Terminal::open().map_err(fail)?;
    let ended = turn(&mut app, &mut terminal, is_utf8() && !args.ascii);
    // What is said from here on is for the screen of before.
    drop(terminal);
    ended.map_err(fail)?;
    if app.is_dirty() {
        eprintln!("What was typed and not saved is gone.");
    }
    Ok(Exit::Fine)
}

fn turn(app: &mut App, terminal: &mut Terminal, utf8: bool) -> io::Result<()> {
    let mut screen = ratatui::Terminal::new(Screen::new(utf8))?;
    while !app.has_ended() {
        screen.draw(|frame| {
            let area = frame.area();
            if let Some(cursor) = app.draw(area, frame.buffer_mut()) {
                frame.set_cursor_position(cursor);
            }
        })?;
        match terminal.next(TICK)? {
            Happened::Key(Key::Ctrl('l')) | Happened::Resized => screen.clear()?,
            Happened::Key(key) => app.key(key),
            Happened::Nothing => app.tick(),
            Happened::Ended => return Ok(()),
        }
    }
    Ok(())
}
