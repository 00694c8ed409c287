//! A form: lines that each have a label and a value, and buttons below them. Keys go in; what was asked for
//! comes out. It knows nothing of what the values mean: who owns it judges them after each key
//! ([`Form::judge`]).

use super::draw::{BOLD, FOCUS, PLAIN, put, wrap};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use termion::event::Key;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The most characters of a line; more are not taken.
const MAX_CHARS: usize = 2048;

/// Columns of the labels.
const LABEL_COLUMNS: u16 = 15;

/// Rows for what is wrong with a line, or what belongs there.
const HELP_ROWS: u16 = 2;

/// A line of text that is being edited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    chars: Vec<char>,
    /// Before which character what is typed goes.
    cursor: usize,
}

impl Text {
    pub fn new(text: &str) -> Text {
        let chars: Vec<char> = text.chars().collect();
        Text {
            cursor: chars.len(),
            chars,
        }
    }

    pub fn get(&self) -> String {
        self.chars.iter().collect()
    }

    /// Whether the key meant something here.
    pub fn key(&mut self, key: Key) -> bool {
        match key {
            Key::Char(c) if !c.is_control() => {
                if self.chars.len() < MAX_CHARS {
                    self.chars.insert(self.cursor, c);
                    self.cursor += 1;
                }
            }
            Key::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.chars.remove(self.cursor);
            }
            Key::Delete | Key::Ctrl('d') if self.cursor < self.chars.len() => {
                self.chars.remove(self.cursor);
            }
            Key::Backspace | Key::Delete | Key::Ctrl('d') => {}
            Key::Left => self.cursor = self.cursor.saturating_sub(1),
            Key::Right => self.cursor = (self.cursor + 1).min(self.chars.len()),
            Key::Home | Key::Ctrl('a') => self.cursor = 0,
            Key::End | Key::Ctrl('e') => self.cursor = self.chars.len(),
            Key::Ctrl('u') => {
                self.chars.drain(..self.cursor);
                self.cursor = 0;
            }
            Key::Ctrl('k') => self.chars.truncate(self.cursor),
            _ => return false,
        }
        true
    }

    /// The part of it that fits `columns`, around the cursor, and the cursor's column in there.
    pub fn window(&self, columns: usize, hidden: bool) -> (String, u16) {
        let shown = |c: char| if hidden { '*' } else { c };
        let width = |c: char| shown(c).width().unwrap_or(0);
        let mut from = self.cursor;
        let mut before = 0;
        while from > 0 && before + width(self.chars[from - 1]) < columns {
            from -= 1;
            before += width(self.chars[from]);
        }
        let mut text = String::new();
        let mut used = 0;
        for c in &self.chars[from..] {
            if used + width(*c) > columns {
                break;
            }
            used += width(*c);
            text.push(shown(*c));
        }
        (text, before as u16)
    }
}

/// What a line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(Text),
    /// Shown as stars.
    Secret(Text),
    Toggle(bool),
    Choice {
        options: Vec<String>,
        at: usize,
    },
    /// A heading, or something that cannot be changed.
    Fixed(String),
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is asked for by.
    pub id: &'static str,
    pub label: String,
    /// What belongs there.
    pub help: &'static str,
    pub value: Value,
    before: Value,
    /// What a secret shows that is empty.
    empty: &'static str,
    /// What is wrong with it.
    error: Option<String>,
    /// Somebody has been there: its errors are told.
    touched: bool,
}

/// What somebody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// Nothing that concerns the owner.
    Nothing,
    /// A value was changed.
    Changed,
    /// It cannot be changed here.
    Refused,
    /// A button was pressed, by its name.
    Pressed(&'static str),
    /// The key means nothing here.
    Unknown,
}

/// See the module.
pub struct Form {
    lines: Vec<Line>,
    buttons: Vec<&'static str>,
    /// The line, or behind them the button, that keys go to.
    focus: usize,
    /// The first line that is shown.
    top: usize,
    read_only: bool,
}

impl Form {
    pub fn new(buttons: &[&'static str]) -> Form {
        Form {
            lines: Vec::new(),
            buttons: buttons.to_vec(),
            focus: 0,
            top: 0,
            read_only: false,
        }
    }

    /// Nothing can be changed; buttons can be pressed.
    pub fn set_read_only(&mut self) {
        self.read_only = true;
    }

    fn add(&mut self, id: &'static str, label: &str, value: Value, help: &'static str) {
        self.lines.push(Line {
            id,
            label: label.to_owned(),
            help,
            before: value.clone(),
            value,
            empty: "",
            error: None,
            touched: false,
        });
    }

    pub fn text(&mut self, id: &'static str, label: &str, value: &str, help: &'static str) {
        self.add(id, label, Value::Text(Text::new(value)), help);
    }

    /// One that shows `empty` while nothing was typed.
    pub fn secret(
        &mut self,
        id: &'static str,
        label: &str,
        help: &'static str,
        empty: &'static str,
    ) {
        self.add(id, label, Value::Secret(Text::default()), help);
        if let Some(line) = self.lines.last_mut() {
            line.empty = empty;
        }
    }

    pub fn toggle(&mut self, id: &'static str, label: &str, value: bool, help: &'static str) {
        self.add(id, label, Value::Toggle(value), help);
    }

    pub fn choice(
        &mut self,
        id: &'static str,
        label: &str,
        options: Vec<String>,
        at: usize,
        help: &'static str,
    ) {
        self.add(id, label, Value::Choice { options, at }, help);
    }

    pub fn heading(&mut self, text: &str) {
        self.add("", text, Value::Fixed(String::new()), "");
        if self.focus + 1 == self.lines.len() {
            self.focus += 1;
        }
    }

    /// The lines, for who made them all alike.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub fn line_mut(&mut self, index: usize) -> &mut Line {
        &mut self.lines[index]
    }

    pub fn focus(&self) -> usize {
        self.focus
    }

    fn line(&self, id: &str) -> Option<&Line> {
        self.lines.iter().find(|l| l.id == id)
    }

    /// The text of a line, without white space around it unless it is a secret.
    pub fn get(&self, id: &str) -> String {
        match self.line(id).map(|l| &l.value) {
            Some(Value::Text(text)) => text.get().trim().to_owned(),
            Some(Value::Secret(text)) => text.get(),
            _ => String::new(),
        }
    }

    pub fn is_on(&self, id: &str) -> bool {
        matches!(self.line(id).map(|l| &l.value), Some(Value::Toggle(true)))
    }

    pub fn chosen(&self, id: &str) -> usize {
        match self.line(id).map(|l| &l.value) {
            Some(Value::Choice { at, .. }) => *at,
            _ => 0,
        }
    }

    pub fn is_changed(&self, id: &str) -> bool {
        self.line(id).is_some_and(Line::is_changed)
    }

    /// Something was typed that was not there before.
    pub fn is_dirty(&self) -> bool {
        self.lines.iter().any(Line::is_changed)
    }

    /// What is there now is what was there before.
    pub fn is_saved(&mut self) {
        for line in &mut self.lines {
            line.before = line.value.clone();
        }
    }

    /// Says what is wrong with each line that has a name.
    pub fn judge(&mut self, judge: impl Fn(&Form, &Line) -> Option<String>) {
        let errors: Vec<_> = self.lines.iter().map(|l| judge(self, l)).collect();
        for (line, error) in self.lines.iter_mut().zip(errors) {
            line.error = error;
        }
    }

    /// The first error, and the focus goes there: before saving.
    pub fn first_error(&mut self) -> Option<String> {
        let wrong = self.lines.iter().position(|l| l.error.is_some())?;
        self.lines.iter_mut().for_each(|l| l.touched = true);
        self.focus = wrong;
        let line = &self.lines[wrong];
        let sentence = line.error.as_deref().unwrap_or_default();
        Some(format!("{}: {sentence}", line.label.trim()))
    }

    fn can_focus(&self, at: usize) -> bool {
        self.lines
            .get(at)
            .is_none_or(|l| !matches!(l.value, Value::Fixed(_)))
    }

    fn go(&mut self, forward: bool) {
        let count = self.lines.len() + self.buttons.len();
        if let Some(line) = self.lines.get_mut(self.focus) {
            line.touched = true;
        }
        for _ in 0..count {
            self.focus = match forward {
                true => (self.focus + 1) % count,
                false => (self.focus + count - 1) % count,
            };
            if self.can_focus(self.focus) {
                return;
            }
        }
    }

    pub fn key(&mut self, key: Key) -> Did {
        match key {
            Key::Char('\t') | Key::Down => {
                self.go(true);
                return Did::Nothing;
            }
            Key::BackTab | Key::Up => {
                self.go(false);
                return Did::Nothing;
            }
            _ => {}
        }
        let on_button = self.focus.checked_sub(self.lines.len());
        let Some(at) = on_button else {
            return self.line_key(key);
        };
        match key {
            Key::Char('\n' | ' ') => Did::Pressed(self.buttons[at]),
            Key::Right => {
                self.go(true);
                Did::Nothing
            }
            Key::Left => {
                self.go(false);
                Did::Nothing
            }
            _ => Did::Unknown,
        }
    }

    fn line_key(&mut self, key: Key) -> Did {
        if key == Key::Char('\n') {
            self.go(true);
            return Did::Nothing;
        }
        let read_only = self.read_only;
        let Some(line) = self.lines.get_mut(self.focus) else {
            return Did::Unknown;
        };
        let mut value = line.value.clone();
        let known = match &mut value {
            Value::Text(text) | Value::Secret(text) => text.key(key),
            Value::Toggle(on) => match key {
                Key::Char(' ') | Key::Left | Key::Right => {
                    *on = !*on;
                    true
                }
                Key::Char('y') => {
                    *on = true;
                    true
                }
                Key::Char('n') => {
                    *on = false;
                    true
                }
                _ => false,
            },
            Value::Choice { options, at } => match key {
                Key::Char(' ') | Key::Right => {
                    *at = (*at + 1) % options.len().max(1);
                    true
                }
                Key::Left => {
                    *at = (*at + options.len().max(1) - 1) % options.len().max(1);
                    true
                }
                _ => false,
            },
            Value::Fixed(_) => false,
        };
        let is_other = match (&value, &line.value) {
            (Value::Text(a), Value::Text(b)) | (Value::Secret(a), Value::Secret(b)) => {
                a.chars != b.chars
            }
            (a, b) => a != b,
        };
        if read_only && is_other {
            return Did::Refused;
        }
        line.value = value;
        line.touched |= is_other;
        match (known, is_other) {
            (_, true) => Did::Changed,
            (true, false) => Did::Nothing,
            (false, false) => Did::Unknown,
        }
    }

    /// Draws it; where the cursor belongs.
    pub fn draw(&mut self, area: Rect, buf: &mut Buffer) -> Option<Position> {
        let rows = usize::from(area.height.saturating_sub(HELP_ROWS + 1).max(1));
        // The line in focus is seen, and what is above the first one.
        let at = self.focus.min(self.lines.len().saturating_sub(1));
        if at < self.top {
            self.top = if at <= 1 { 0 } else { at };
        }
        if at >= self.top + rows {
            self.top = at + 1 - rows;
        }
        self.top = self.top.min(self.lines.len().saturating_sub(rows));
        let mut cursor = None;
        let shown = self.lines.iter().enumerate().skip(self.top).take(rows);
        for ((index, line), y) in shown.zip(area.y..) {
            let row = Rect::new(area.x, y, area.width, 1);
            let place = line.draw(row, buf, index == self.focus, self.read_only);
            cursor = cursor.or(place);
        }
        let below = area.y + self.lines.len().min(rows) as u16;
        if self.top + rows < self.lines.len() {
            put(
                buf,
                area,
                area.right().saturating_sub(6),
                below - 1,
                "(more)",
                PLAIN,
            );
        }
        self.draw_buttons(Rect::new(area.x, below, area.width, 1), buf);
        let help_area = Rect::new(area.x, below + 1, area.width, HELP_ROWS);
        let help_area = help_area.intersection(area);
        let focused = self.lines.get(self.focus);
        let told = focused.map(|l| match &l.error {
            Some(error) if l.touched => format!("! {error}"),
            _ => l.help.to_owned(),
        });
        wrap(buf, help_area, told.as_deref().unwrap_or_default(), PLAIN);
        cursor
    }

    fn draw_buttons(&self, area: Rect, buf: &mut Buffer) {
        let mut x = area.x + LABEL_COLUMNS + 1;
        for (index, name) in self.buttons.iter().enumerate() {
            let is_focused = self.focus == self.lines.len() + index;
            let style = if is_focused { FOCUS } else { PLAIN };
            // Seen without reverse video too.
            let text = match is_focused {
                true => format!(">{name}<"),
                false => format!("[{name}]"),
            };
            put(buf, area, x, area.y, &text, style);
            x += text.width() as u16 + 2;
        }
    }
}

impl Line {
    fn is_changed(&self) -> bool {
        match (&self.value, &self.before) {
            (Value::Text(a), Value::Text(b)) | (Value::Secret(a), Value::Secret(b)) => {
                a.chars != b.chars
            }
            (a, b) => a != b,
        }
    }

    pub fn get(&self) -> String {
        match &self.value {
            Value::Text(text) => text.get().trim().to_owned(),
            Value::Secret(text) => text.get(),
            Value::Fixed(text) => text.clone(),
            Value::Toggle(_) | Value::Choice { .. } => String::new(),
        }
    }

    pub fn is_on(&self) -> bool {
        self.value == Value::Toggle(true)
    }

    /// Turns a toggle on or off.
    pub fn turn(&mut self, on: bool) {
        self.value = Value::Toggle(on);
    }

    fn draw(
        &self,
        area: Rect,
        buf: &mut Buffer,
        is_focused: bool,
        read_only: bool,
    ) -> Option<Position> {
        let mark = match (&self.error, self.touched, is_focused) {
            (Some(_), true, _) => "!",
            (_, _, true) => ">",
            _ => " ",
        };
        put(buf, area, area.x, area.y, mark, BOLD);
        let is_heading = matches!(&self.value, Value::Fixed(text) if text.is_empty());
        let style = if is_heading { BOLD } else { PLAIN };
        put(buf, area, area.x + 1, area.y, &self.label, style);
        if is_heading {
            return None;
        }
        let x = area.x + LABEL_COLUMNS + 1;
        let columns = usize::from(area.right().saturating_sub(x + 2).max(1));
        let style: Style = if is_focused { FOCUS } else { PLAIN };
        let boxed = |text: &str| {
            format!(
                "[{text}{}]",
                " ".repeat(columns - text.width().min(columns))
            )
        };
        match &self.value {
            Value::Text(text) | Value::Secret(text) => {
                let hidden = matches!(self.value, Value::Secret(_));
                let (shown, at) = text.window(columns, hidden);
                if read_only {
                    put(buf, area, x + 1, area.y, &shown, style);
                    return None;
                }
                let is_empty = text.chars.is_empty();
                let shown = if is_empty { self.empty } else { &shown };
                put(buf, area, x, area.y, &boxed(shown), style);
                is_focused.then(|| Position::new(x + 1 + at, area.y))
            }
            Value::Toggle(on) => {
                let text = if *on { "[x] yes" } else { "[ ] no" };
                put(buf, area, x, area.y, text, style);
                is_focused.then(|| Position::new(x + 1, area.y))
            }
            Value::Choice { options, at } => {
                let text = options.get(*at).map_or("", String::as_str);
                put(buf, area, x, area.y, &format!("< {text} >"), style);
                is_focused.then(|| Position::new(x, area.y))
            }
            Value::Fixed(text) => {
                put(buf, area, x + 1, area.y, text, PLAIN);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Form {
        let mut form = Form::new(&["Save", "Test"]);
        form.heading("A camera");
        form.text("name", "Name", "old", "what it looks at");
        form.secret("password", "Password", "", "");
        form.toggle("record", "Record", true, "");
        let options = ["tcp", "udp"].map(str::to_owned).to_vec();
        form.choice("transport", "Transport", options, 0, "");
        form
    }

    fn typed(form: &mut Form, text: &str) {
        for c in text.chars() {
            form.key(Key::Char(c));
        }
    }

    fn picture(form: &mut Form, columns: u16, rows: u16) -> Vec<String> {
        let area = Rect::new(0, 0, columns, rows);
        let mut buf = Buffer::empty(area);
        form.draw(area, &mut buf);
        super::super::draw::lines(&buf)
    }

    #[test]
    fn text_is_edited_as_one_expects() {
        let mut form = form();
        assert_eq!(form.focus(), 1, "headings are passed over");
        typed(&mut form, "er");
        for key in [
            Key::Home,
            Key::Char('b'),
            Key::Delete,
            Key::End,
            Key::Backspace,
        ] {
            form.key(key);
        }
        assert_eq!(form.get("name"), "blde");
        for key in [Key::Left, Key::Left, Key::Ctrl('k')] {
            form.key(key);
        }
        assert_eq!(form.get("name"), "bl");
        form.key(Key::Ctrl('u'));
        typed(&mut form, " \u{e4}rger ");
        assert_eq!(
            form.get("name"),
            "\u{e4}rger",
            "white space around it is no part of it"
        );
        assert!(form.is_dirty());
        form.is_saved();
        assert!(!form.is_dirty());
        form.key(Key::Left);
        assert!(!form.is_dirty(), "moving about is no change");
    }

    #[test]
    fn the_focus_goes_around_and_buttons_are_pressed() {
        let mut form = form();
        assert_eq!(form.key(Key::BackTab), Did::Nothing);
        assert_eq!(form.key(Key::Char('\n')), Did::Pressed("Test"));
        form.key(Key::Left);
        assert_eq!(form.key(Key::Char(' ')), Did::Pressed("Save"));
        form.key(Key::Up);
        assert_eq!(form.key(Key::Right), Did::Changed);
        assert_eq!(form.chosen("transport"), 1);
        form.key(Key::Up);
        assert_eq!(form.key(Key::Char('n')), Did::Changed);
        assert_eq!(form.key(Key::Char('n')), Did::Nothing);
        assert!(!form.is_on("record"));
        assert_eq!(form.key(Key::Ctrl('o')), Did::Unknown);
        form.key(Key::Char('\n'));
        assert_eq!(form.focus(), 4);
    }

    #[test]
    fn what_is_wrong_is_told_where_somebody_has_been() {
        let mut form = form();
        let judge = |form: &mut Form| {
            form.judge(|f, l| {
                (l.id == "name" && f.get("name").len() > 3).then(|| "too long".into())
            });
        };
        judge(&mut form);
        assert_eq!(form.first_error(), None);
        typed(&mut form, "er");
        judge(&mut form);
        let told = picture(&mut form, 60, 10);
        assert!(told[1].starts_with("!Name"), "{told:?}");
        assert!(told.iter().any(|l| l.contains("! too long")), "{told:?}");
        form.key(Key::Down);
        assert_eq!(form.first_error().unwrap(), "Name: too long");
        assert_eq!(form.focus(), 1, "the focus goes to the error");
    }

    #[test]
    fn a_secret_shows_as_stars_and_a_long_text_around_the_cursor() {
        let mut form = form();
        form.key(Key::Ctrl('u'));
        typed(&mut form, &"0123456789".repeat(9));
        form.key(Key::Down);
        typed(&mut form, "hunter2");
        let told = picture(&mut form, 40, 10);
        assert!(told[1].contains("456789"), "{told:?}");
        assert!(told[2].contains("[*******"), "{told:?}");
        assert!(!told.concat().contains("hunter"), "{told:?}");
        form.key(Key::Up);
        form.key(Key::Home);
        let told = picture(&mut form, 40, 10);
        assert!(told[1].contains("[0123456789"), "{told:?}");
    }

    #[test]
    fn what_cannot_be_changed_says_so_and_a_small_screen_scrolls() {
        let mut form = form();
        form.set_read_only();
        assert_eq!(form.key(Key::Char('x')), Did::Refused);
        assert_eq!(form.get("name"), "old");
        let told = picture(&mut form, 60, 5);
        assert!(
            told[1].contains("old") && !told[1].contains('['),
            "{told:?}"
        );
        for _ in 0..3 {
            form.key(Key::Down);
        }
        let told = picture(&mut form, 60, 5);
        assert!(told[1].contains("Transport"), "{told:?}");
    }

    #[test]
    fn no_key_at_all_makes_it_stumble() {
        use rand_core::{RngCore, SeedableRng};
        let mut rng = rand_pcg::Pcg32::seed_from_u64(1);
        let mut form = form();
        let keys = [
            Key::Left,
            Key::Right,
            Key::Up,
            Key::Down,
            Key::Home,
            Key::End,
            Key::Delete,
            Key::Backspace,
            Key::Char('\t'),
            Key::BackTab,
            Key::Char('\n'),
            Key::Char(' '),
            Key::Char('\u{1f4f7}'),
            Key::Char('\u{301}'),
            Key::Ctrl('k'),
            Key::Ctrl('u'),
            Key::F(1),
        ];
        for n in 0..5_000 {
            form.key(keys[rng.next_u32() as usize % keys.len()]);
            picture(&mut form, 1 + n % 60, 1 + n % 12);
        }
    }
}
