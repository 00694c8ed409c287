//! The first screen: where to go, and how it stands.

use super::app::{Focus, Next, Screen};
use super::cameras::Cameras;
use super::dirs::Dirs;
use super::draw::{FOCUS, PLAIN, put, wrap};
use super::retention::Retention;
use super::store::Store;
use super::users::Users;
use super::words::count;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use termion::event::Key;

const PLACES: [(&str, &str); 4] = [
    ("Cameras", "add, change, test, remove"),
    (
        "Edit retention",
        "how much is kept, and how long that lasts",
    ),
    ("Users", "who may watch and change what"),
    ("Sample directories", "the disks that are recorded to"),
];

/// See the module.
#[derive(Default)]
pub struct Menu {
    focus: Focus,
}

impl Menu {
    fn open(&self, at: usize, store: &mut Store) -> Next {
        if let Err(e) = store.reload() {
            return Next::Say(e);
        }
        Next::Open(match at {
            0 => Box::new(Cameras::default()),
            1 => Box::new(Retention::new(store)),
            2 => Box::new(Users::default()),
            _ => Box::new(Dirs::default()),
        })
    }
}

impl Screen for Menu {
    fn title(&self) -> String {
        "configuration".to_owned()
    }

    fn keys(&self) -> String {
        "Up/Down choose   Enter open   1-4 open   q quit".to_owned()
    }

    fn key(&mut self, key: Key, store: &mut Store) -> Next {
        if self.focus.key(key, PLACES.len()) {
            return Next::Stay;
        }
        match key {
            Key::Char('\n' | ' ') => self.open(self.focus.at, store),
            Key::Char(c @ '1'..='4') => {
                self.focus.at = c as usize - '1' as usize;
                self.open(self.focus.at, store)
            }
            Key::Char('q') => Next::Close(None),
            _ => Next::Unknown,
        }
    }

    fn draw(&mut self, area: Rect, buf: &mut Buffer, store: &Store) -> Option<Position> {
        for (index, ((name, about), y)) in PLACES.iter().zip(area.y..).enumerate() {
            let focused = index == self.focus.at;
            let text = format!(
                "{} {}  {name:<20}",
                if focused { '>' } else { ' ' },
                index + 1
            );
            put(
                buf,
                area,
                area.x,
                y,
                &text,
                if focused { FOCUS } else { PLAIN },
            );
            put(buf, area, area.x + 26, y, about, PLAIN);
        }
        let cameras = store.cameras().count();
        let mut told = format!(
            "{}, {}, {}.",
            count(cameras, "camera"),
            count(store.users.len(), "user"),
            match store.dirs_in_use().count() {
                1 => "1 sample directory".to_owned(),
                n => format!("{n} sample directories"),
            }
        );
        told += match store.recorder_runs {
            true => " The recorder is running: it takes what you save here in within seconds.",
            false => {
                " The recorder is not running: what you save here is taken in when it starts \
                 (`systemctl start moonfire-nvr`)."
            }
        };
        if cameras == 0 {
            told += "\n\nThere is no camera yet: choose Cameras, then press a to add one.";
        }
        if store.users.is_empty() {
            told += "\n\nThere is no user yet: who is to use the page from elsewhere needs one.";
        }
        let below = Rect::new(
            area.x,
            area.y + 6,
            area.width,
            area.height.saturating_sub(6),
        );
        wrap(buf, below, &told, PLAIN);
        let configured = format!("Configuration file: {}", store.file());
        put(
            buf,
            area,
            area.x,
            area.bottom().saturating_sub(1),
            &configured,
            PLAIN,
        );
        None
    }

    fn tick(&mut self, store: &mut Store) -> Next {
        store.reload_if_old();
        Next::Stay
    }

    fn refresh(&mut self, store: &mut Store) {
        // What cannot be read is told by whoever needs it.
        let _ = store.reload();
    }
}
