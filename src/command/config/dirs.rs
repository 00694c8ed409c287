//! The list of sample directories with their state, adding one and taking one out of use.

use super::app::{Focus, Next, Question, Screen};
use super::draw::{BOLD, FOCUS, PLAIN, put, wrap};
use super::form::{Did, Form};
use super::store::Store;
use super::words::{count, size};
use moonfire_nvr::config;
use moonfire_nvr::db::Dir;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use std::path::Path;
use termion::event::Key;

/// Rows of each in the list.
const ROWS: u16 = 2;

/// The list.
#[derive(Default)]
pub struct Dirs {
    focus: Focus,
}

fn in_file(store: &Store) -> String {
    format!(
        "{} names this directory: change it there, in `sample_dirs`, then `systemctl reload \
         moonfire-nvr`.",
        store.file()
    )
}

impl Screen for Dirs {
    fn title(&self) -> String {
        "sample directories".to_owned()
    }

    fn keys(&self) -> String {
        "Up/Down choose   a add   d take out of use   Esc back".to_owned()
    }

    fn key(&mut self, key: Key, store: &mut Store) -> Next {
        if self.focus.key(key, store.snapshot.dirs.len()) {
            return Next::Stay;
        }
        let dir = store.snapshot.dirs.get(self.focus.at);
        match (key, dir) {
            (Key::Char('a'), _) => Next::Open(Box::new(AddDir::new())),
            (Key::Char('d'), Some(dir)) if !dir.configured => {
                let told = "It is out of use already; it is shown as long as it holds recordings.";
                Next::Say(told.to_owned())
            }
            (Key::Char('d'), Some(dir)) if dir.in_file => Next::Say(in_file(store)),
            (Key::Char('d'), Some(dir)) => Next::Ask(Question {
                text: format!(
                    "Take {} out of use? Its streams go on in the other directories. Its {} of \
                     recordings stay and are shown as long as the disk is there.",
                    dir.path.display(),
                    size(store.used(dir.id)),
                ),
                answers: vec![('y', "take out of use")],
            }),
            _ => Next::Unknown,
        }
    }

    fn answered(&mut self, _: char, store: &mut Store) -> Next {
        let Some(dir) = store.snapshot.dirs.get(self.focus.at).cloned() else {
            return Next::Stay;
        };
        Next::Say(match store.remove_dir(dir.id) {
            Ok(()) => format!("{} is not recorded to any more.", dir.path.display()),
            Err(e) => format!("Nothing was changed: {e}."),
        })
    }

    fn draw(&mut self, area: Rect, buf: &mut Buffer, store: &Store) -> Option<Position> {
        let all: &[Dir] = &store.snapshot.dirs;
        if all.is_empty() {
            wrap(
                buf,
                area,
                "There is no sample directory: press a to add one.",
                PLAIN,
            );
            return None;
        }
        put(
            buf,
            area,
            area.x,
            area.y,
            "  Folder, its state and its disk",
            BOLD,
        );
        let seen = self
            .focus
            .seen(all.len(), area.height.saturating_sub(1) / ROWS);
        for (index, y) in seen.zip((area.y + 1..).step_by(usize::from(ROWS))) {
            let dir = &all[index];
            let focused = index == self.focus.at;
            let Some(state) = store.dir_state(dir) else {
                continue;
            };
            let mark = match (state.is_good, focused) {
                (false, _) => '!',
                (true, true) => '>',
                (true, false) => ' ',
            };
            let file = if dir.in_file { " (in file)" } else { "" };
            let head = format!("{mark} {}{file}: {}", dir.path.display(), state.told);
            put(
                buf,
                area,
                area.x,
                y,
                &head,
                if focused { FOCUS } else { PLAIN },
            );
            let streams = store.cameras().flat_map(|c| &c.streams);
            let streams = streams
                .filter(|s| s.dir == dir.id && !s.url.is_empty())
                .count();
            let mut told = format!(
                "{}, {} of recordings",
                count(streams, "stream"),
                size(store.used(dir.id))
            );
            if let Some((free, total)) = state.space {
                let bytes = |n: u64| size(i64::try_from(n).unwrap_or(i64::MAX));
                told += &format!(
                    ", {} of {} free, {} stay free",
                    bytes(free),
                    bytes(total),
                    bytes(store.config.reserve.bytes_of(total))
                );
            }
            put(buf, area, area.x + 4, y + 1, &told, PLAIN);
        }
        None
    }

    fn tick(&mut self, store: &mut Store) -> Next {
        store.reload_if_old();
        Next::Stay
    }
}

/// A directory to be added.
struct AddDir {
    form: Form,
}

impl AddDir {
    fn new() -> AddDir {
        let mut form = Form::new(&["Add"]);
        let about = "As in /media/nvr/sample, on the disk, mounted. The last folder is made if it is not \
                     there; if it is there it must be empty.";
        form.text("path", "Folder", "", about);
        let mut this = AddDir { form };
        this.judge(None);
        this
    }

    fn judge(&mut self, store: Option<&Store>) {
        let db_dir = store.map(|s| s.config.db_dir.clone());
        let known: Vec<_> = store
            .map(|s| s.dirs_in_use().map(|d| d.path.clone()).collect())
            .unwrap_or_default();
        self.form.judge(|form, _| {
            let path = match config::path(&form.get("path")) {
                Err(e) => return Some(e),
                Ok(path) => path,
            };
            if known.contains(&path) {
                return Some("it is a sample directory already".to_owned());
            }
            if db_dir.as_ref() == Some(&path) {
                return Some(
                    "the database is there: give the frames a folder of their own".to_owned(),
                );
            }
            let above = path.parent().unwrap_or(Path::new("/"));
            match path.is_dir() || above.is_dir() {
                true => None,
                false => Some(format!(
                    "there is no folder {}: mount the disk, or make it first",
                    above.display()
                )),
            }
        });
    }
}

impl Screen for AddDir {
    fn title(&self) -> String {
        "new sample directory".to_owned()
    }

    fn keys(&self) -> String {
        "Ctrl-O add   Esc back".to_owned()
    }

    fn key(&mut self, key: Key, store: &mut Store) -> Next {
        if key == Key::Ctrl('o') {
            return self.save(store);
        }
        match self.form.key(key) {
            Did::Pressed(_) => self.save(store),
            Did::Changed => {
                self.judge(Some(store));
                Next::Stay
            }
            Did::Nothing | Did::Refused => Next::Stay,
            Did::Unknown => Next::Unknown,
        }
    }

    fn draw(&mut self, area: Rect, buf: &mut Buffer, _: &Store) -> Option<Position> {
        self.form.draw(area, buf)
    }

    fn is_dirty(&self) -> bool {
        self.form.is_dirty()
    }

    fn save(&mut self, store: &mut Store) -> Next {
        self.judge(Some(store));
        if let Some(e) = self.form.first_error() {
            return Next::Say(format!("Not added. {e}."));
        }
        let path = self.form.get("path");
        let added = config::path(&path).and_then(|path| store.add_dir(&path));
        match added {
            Ok(()) => {
                self.form.is_saved();
                Next::Close(Some(format!("{path} was added.")))
            }
            Err(e) => Next::Say(format!("Not added: {e}.")),
        }
    }
}
