//! The screens, one above the other, and what keys do to them. No terminal: keys go in, a buffer is drawn.

use super::draw::{BOLD, FOCUS, PLAIN, dialog, put, wrap};
use super::menu::Menu;
use super::store::Store;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use termion::event::Key;

/// Rows that a message may take.
const MESSAGE_ROWS: u16 = 2;

/// The smallest terminal that all fits on.
const SMALLEST: (u16, u16) = (40, 12);

/// What a screen wants after a key.
pub enum Next {
    Stay,
    /// The key means nothing here.
    Unknown,
    /// A sentence for the line at the bottom.
    Say(String),
    Open(Box<dyn Screen>),
    /// Back to the one below, perhaps with a sentence.
    Close(Option<String>),
    /// Something that must be answered first, by [`Screen::answered`].
    Ask(Question),
}

/// A question, and the keys that answer it; Escape always goes back to where it was asked.
pub struct Question {
    pub text: String,
    /// The key and what it does.
    pub answers: Vec<(char, &'static str)>,
}

/// One screen.
pub trait Screen {
    fn title(&self) -> String;
    /// The keys that mean something, for the last line.
    fn keys(&self) -> String;
    fn key(&mut self, key: Key, store: &mut Store) -> Next;
    /// Where the cursor belongs, if anywhere.
    fn draw(&mut self, area: Rect, buf: &mut Buffer, store: &Store) -> Option<Position>;
    /// Something was typed here that is not saved.
    fn is_dirty(&self) -> bool {
        false
    }
    /// Saves it, when somebody leaves and says so.
    fn save(&mut self, _: &mut Store) -> Next {
        Next::Stay
    }
    /// A question of this screen was answered.
    fn answered(&mut self, _: char, _: &mut Store) -> Next {
        Next::Stay
    }
    /// Time has passed.
    fn tick(&mut self, _: &mut Store) -> Next {
        Next::Stay
    }
    /// It is the topmost one again: what it shows may have changed.
    fn refresh(&mut self, _: &mut Store) {}
}

/// A question that is open.
struct Asked {
    question: Question,
    /// It is whether to leave what was typed, and not the screen's own.
    leaves: bool,
}

impl Asked {
    fn about_leaving() -> Asked {
        Asked {
            question: Question {
                text: "What you typed here is not saved.".to_owned(),
                answers: vec![('s', "save and leave"), ('d', "leave without saving")],
            },
            leaves: true,
        }
    }

    /// The keys and what they do.
    fn keys(&self) -> Vec<(String, &'static str)> {
        let answers = self.question.answers.iter();
        let mut keys: Vec<_> = answers.map(|(c, what)| (c.to_string(), *what)).collect();
        keys.push((
            "Esc".to_owned(),
            if self.leaves {
                "go on typing"
            } else {
                "go back"
            },
        ));
        keys
    }
}

/// See the module.
pub struct App {
    pub store: Store,
    screens: Vec<Box<dyn Screen>>,
    asked: Option<Asked>,
    message: Option<String>,
    ended: bool,
}

impl App {
    pub fn new(store: Store) -> App {
        App {
            store,
            screens: vec![Box::new(Menu::default())],
            asked: None,
            message: None,
            ended: false,
        }
    }

    /// The last screen was left.
    pub fn has_ended(&self) -> bool {
        self.ended || self.screens.is_empty()
    }

    /// Something was typed that is not saved.
    pub fn is_dirty(&self) -> bool {
        self.screens.iter().any(|s| s.is_dirty())
    }

    pub fn key(&mut self, key: Key) {
        self.message = None;
        if key == Key::Ctrl('c') {
            self.ended = true;
            return;
        }
        if let Some(asked) = self.asked.take() {
            self.answer(asked, key);
            return;
        }
        let Some(screen) = self.screens.last_mut() else {
            return;
        };
        let next = match key {
            Key::Esc if screen.is_dirty() => {
                self.asked = Some(Asked::about_leaving());
                return;
            }
            Key::Esc => Next::Close(None),
            key => screen.key(key, &mut self.store),
        };
        self.follow(next);
    }

    fn answer(&mut self, asked: Asked, key: Key) {
        if key == Key::Esc {
            return;
        }
        let Some(screen) = self.screens.last_mut() else {
            return;
        };
        let next = match key {
            Key::Char(c) => {
                let c = c.to_ascii_lowercase();
                let known = asked.question.answers.iter().any(|(known, _)| *known == c);
                match (known, asked.leaves, c) {
                    (false, _, _) => Next::Unknown,
                    (true, false, c) => screen.answered(c, &mut self.store),
                    (true, true, 's') => screen.save(&mut self.store),
                    (true, true, _) => Next::Close(None),
                }
            }
            _ => Next::Unknown,
        };
        match next {
            // It is still to be answered.
            Next::Unknown => self.asked = Some(asked),
            next => self.follow(next),
        }
    }

    fn follow(&mut self, next: Next) {
        match next {
            Next::Stay | Next::Unknown => {}
            Next::Say(sentence) => self.message = Some(sentence),
            Next::Open(screen) => self.screens.push(screen),
            Next::Ask(question) => {
                self.asked = Some(Asked {
                    question,
                    leaves: false,
                });
            }
            Next::Close(sentence) => {
                self.message = sentence;
                self.screens.pop();
                // Nobody waits for it any more.
                self.store.stop_test();
                if let Some(screen) = self.screens.last_mut() {
                    screen.refresh(&mut self.store);
                }
            }
        }
    }

    /// Time has passed: what is shown is as new as that, unless somebody is typing.
    pub fn tick(&mut self) {
        if let Some(screen) = self.screens.last_mut() {
            let next = screen.tick(&mut self.store);
            self.follow(next);
        }
    }

    pub fn draw(&mut self, area: Rect, buf: &mut Buffer) -> Option<Position> {
        if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
            let (columns, rows) = SMALLEST;
            let told =
                format!("This terminal is too small: it needs {columns} columns and {rows} rows.");
            wrap(buf, area, &told, PLAIN);
            return None;
        }
        let screen = self.screens.last_mut()?;
        let bar = " ".repeat(usize::from(area.width));
        put(buf, area, area.x, area.y, &bar, FOCUS);
        let title = format!(" Moonfire NVR: {}", screen.title());
        put(buf, area, area.x, area.y, &title, FOCUS.patch(BOLD));
        let last = area.bottom() - 1;
        put(buf, area, area.x, last, &bar, FOCUS);
        let keys = match &self.asked {
            None => screen.keys(),
            Some(asked) => {
                let keys = asked.keys().into_iter();
                let keys: Vec<String> = keys.map(|(key, what)| format!("{key} {what}")).collect();
                keys.join("   ")
            }
        };
        put(buf, area, area.x + 1, last, &keys, FOCUS);
        let inside = Rect::new(
            area.x + 1,
            area.y + 2,
            area.width - 2,
            area.height - 3 - MESSAGE_ROWS,
        );
        let cursor = screen.draw(inside, buf, &self.store);
        if let Some(message) = &self.message {
            let rows = Rect::new(inside.x, inside.bottom(), inside.width, MESSAGE_ROWS);
            wrap(buf, rows, message, BOLD);
        }
        let Some(asked) = &self.asked else {
            return cursor;
        };
        let mut text = format!("{}\n", asked.question.text);
        for (key, what) in asked.keys() {
            text += &format!("\n{key}: {what}");
        }
        dialog(buf, inside, &text);
        None
    }
}

/// A list with one line in focus: which, and the first that is shown.
#[derive(Default)]
pub struct Focus {
    pub at: usize,
    top: usize,
}

impl Focus {
    /// Whether the key moved it within so many lines.
    pub fn key(&mut self, key: Key, count: usize) -> bool {
        let last = count.saturating_sub(1);
        self.at = match key {
            Key::Up | Key::Char('k') => self.at.saturating_sub(1),
            Key::Down | Key::Char('j' | '\t') => self.at + 1,
            Key::PageUp => self.at.saturating_sub(10),
            Key::PageDown => self.at + 10,
            Key::Home => 0,
            Key::End => last,
            _ => return false,
        }
        .min(last);
        true
    }

    /// The lines that are seen in so many rows.
    pub fn seen(&mut self, count: usize, rows: u16) -> std::ops::Range<usize> {
        let rows = usize::from(rows).max(1);
        self.at = self.at.min(count.saturating_sub(1));
        self.top = self
            .top
            .min(self.at)
            .max((self.at + 1).saturating_sub(rows));
        self.top..count.min(self.top + rows)
    }
}
