//! Putting text on the screen. There are no colours: bold, reverse video and characters say all, so that
//! an old terminal on a serial line shows as much as a new one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::widgets::{Block, Clear, Widget};
use unicode_width::UnicodeWidthStr;

pub const PLAIN: Style = Style::new();
pub const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
/// Where keys go to.
pub const FOCUS: Style = Style::new().add_modifier(Modifier::REVERSED);

/// Puts text at a place, cut at the right edge of `area`; nothing outside it.
pub fn put(buf: &mut Buffer, area: Rect, x: u16, y: u16, text: &str, style: Style) {
    let area = area.intersection(buf.area);
    if y < area.y || y >= area.bottom() || x < area.x || x >= area.right() {
        return;
    }
    buf.set_stringn(x, y, text, usize::from(area.right() - x), style);
}

/// Breaks text at spaces into lines of at most so many columns; a longer word is cut into pieces.
pub fn broken(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.width() + 1 + word.width() > columns {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            for c in word.chars() {
                if line.width() >= columns {
                    lines.push(std::mem::take(&mut line));
                }
                line.push(c);
            }
        }
        lines.push(line);
    }
    lines
}

/// Puts text into an area, broken at spaces; how many rows it took.
pub fn wrap(buf: &mut Buffer, area: Rect, text: &str, style: Style) -> u16 {
    let lines = broken(text, usize::from(area.width));
    for (line, y) in lines.iter().zip(area.y..area.bottom()) {
        put(buf, area, area.x, y, line, style);
    }
    lines.len().min(usize::from(area.height)) as u16
}

/// A box with a text in the middle of `area`, over what is there.
pub fn dialog(buf: &mut Buffer, area: Rect, text: &str) {
    let columns = usize::from(area.width.saturating_sub(6)).clamp(1, 60);
    let lines = broken(text, columns);
    let width = lines.iter().map(|l| l.width()).max().unwrap_or(0) as u16 + 4;
    let height = lines.len() as u16 + 2;
    let place = Rect::new(
        area.x + area.width.saturating_sub(width) / 2,
        area.y + area.height.saturating_sub(height) / 2,
        width.min(area.width),
        height.min(area.height),
    );
    Clear.render(place, buf);
    Block::bordered().render(place, buf);
    for (line, y) in lines
        .iter()
        .zip(place.y + 1..place.bottom().saturating_sub(1))
    {
        put(buf, place, place.x + 2, y, line, PLAIN);
    }
}

/// A table's row: each text in its column, whose right edge is where the next one begins.
pub fn row(buf: &mut Buffer, area: Rect, y: u16, columns: &[(u16, &str)], style: Style) {
    for (index, (x, text)) in columns.iter().enumerate() {
        let x = area.x + x;
        let end = columns
            .get(index + 1)
            .map_or(area.right(), |(next, _)| area.x + next.saturating_sub(1));
        let cell = Rect::new(x, y, end.saturating_sub(x), 1).intersection(area);
        put(buf, cell, x, y, text, style);
    }
}

/// The screen as text, for tests.
#[cfg(test)]
pub fn lines(buf: &Buffer) -> Vec<String> {
    let row = |y| {
        let cells = (buf.area.x..buf.area.right()).map(|x| buf[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    (buf.area.y..buf.area.bottom()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_at_spaces() {
        assert_eq!(broken("one two  three", 7), ["one two", "three"]);
        assert_eq!(broken("a\n\nbcdefgh", 3), ["a", "", "bcd", "efg", "h"]);
        assert_eq!(broken("", 0), [""]);
    }

    #[test]
    fn nothing_is_put_outside() {
        let area = Rect::new(0, 0, 10, 3);
        let mut buf = Buffer::empty(area);
        put(&mut buf, area, 8, 0, "abcdef", PLAIN);
        put(&mut buf, area, 12, 0, "abcdef", PLAIN);
        put(&mut buf, area, 0, 9, "abcdef", PLAIN);
        row(&mut buf, area, 1, &[(0, "camera"), (5, "main")], PLAIN);
        dialog(&mut buf, Rect::new(0, 2, 3, 1), "too small for this");
        assert_eq!(lines(&buf)[..2], ["        ab", "came main"]);
    }
}
