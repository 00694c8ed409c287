//! Reading TOML for people: values with their places, unknown keys with what may have been meant, and
//! all that is wrong collected, each with its line. What the keys mean is their files' own.

use super::Problem;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) type Value<'i> = Spanned<DeValue<'i>>;

/// The most problems that are told at once.
const MAX_PROBLEMS: usize = 20;

/// The keys of each section, for the check and for hints: its name for messages, and they.
pub(crate) type Sections = [(&'static str, &'static [&'static str])];

/// A table, and which section of the file it is.
pub(crate) struct Section<'a, 'i> {
    known: &'static [&'static str],
    /// As messages call it.
    pub(crate) name: String,
    table: &'a DeTable<'i>,
    pub(crate) span: Range<usize>,
}

impl<'a, 'i> Section<'a, 'i> {
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value<'i>> {
        debug_assert!(self.known.contains(&key), "{key}");
        self.table.get(key)
    }
}

/// See the module.
pub(crate) struct Reader<'t> {
    text: &'t str,
    sections: &'static Sections,
    problems: Vec<Problem>,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(text: &'t str, sections: &'static Sections) -> Reader<'t> {
        Reader {
            text,
            sections,
            problems: Vec::new(),
        }
    }

    /// All that was wrong, in order of line, and at most [`MAX_PROBLEMS`] of it.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems;
        problems.sort_by_key(|p| p.at);
        problems.truncate(MAX_PROBLEMS);
        problems
    }

    /// An error of the TOML itself. Its `Display` quotes the line, which may hold a password.
    pub(crate) fn syntax(&mut self, error: &toml::de::Error) {
        self.problem(error.span().unwrap_or(0..0), error.message().to_owned());
    }

    pub(crate) fn problem(&mut self, span: Range<usize>, message: String) {
        let at = Some(self.line_and_column(span.start));
        self.problems.push(Problem { at, message });
    }

    /// Both from 1.
    pub(crate) fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }

    /// Begins a section: tells of keys that it cannot have.
    pub(crate) fn section<'a, 'i>(
        &mut self,
        kind: usize,
        name: String,
        table: &'a DeTable<'i>,
        span: Range<usize>,
    ) -> Section<'a, 'i> {
        let known = self.sections[kind].1;
        for key in table.keys() {
            let word = key.get_ref().as_ref();
            if !known.contains(&word) {
                let hint = hint(self.sections, known, word);
                self.problem(key.span(), format!("unknown key `{word}` in {name}{hint}"));
            }
        }
        Section {
            known,
            name,
            table,
            span,
        }
    }

    /// The text of `key`, understood by `parse`; `None` if it isn't there or is wrong.
    pub(crate) fn optional<T>(
        &mut self,
        section: &Section,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = section.get(key)?;
        self.value(key, value, parse)
    }

    pub(crate) fn value<T>(
        &mut self,
        key: &str,
        value: &Value,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let result = match value.get_ref().as_str() {
            Some(text) => parse(text),
            None => Err(not_a(value, "text in quotes")),
        };
        result
            .map_err(|e| self.problem(value.span(), format!("`{key}`: {e}")))
            .ok()
    }

    /// Like [`Self::optional`], and tells if it isn't there.
    pub(crate) fn required<T>(
        &mut self,
        section: &Section,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if section.get(key).is_none() {
            self.missing(section, key);
        }
        self.optional(section, key, parse)
    }

    pub(crate) fn missing(&mut self, section: &Section, key: &str) {
        self.problem(
            section.span.clone(),
            format!("`{key}` is missing in {}", section.name),
        );
    }

    /// The texts of an array; other values in it are told and left out.
    pub(crate) fn texts<T>(
        &mut self,
        section: &Section,
        key: &str,
        mut parse: impl FnMut(&str) -> Result<T, String>,
    ) -> Vec<(T, Range<usize>)> {
        let Some(value) = section.get(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            let message = not_a(value, "a list in brackets, as in [\"...\"]");
            self.problem(value.span(), format!("`{key}`: {message}"));
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in array.iter() {
            if let Some(text) = self.value(key, item, &mut parse) {
                texts.push((text, item.span()));
            }
        }
        texts
    }

    /// The tables of `[[key]]`.
    pub(crate) fn tables<'a, 'i>(
        &mut self,
        top: &Section<'a, 'i>,
        key: &str,
    ) -> Vec<&'a Value<'i>> {
        let Some(value) = top.get(key) else {
            return Vec::new();
        };
        match value.get_ref() {
            DeValue::Array(array) if array.iter().all(|v| v.get_ref().is_table()) => {
                array.iter().collect()
            }
            _ => {
                self.problem(
                    value.span(),
                    format!("write [[{key}]] with two brackets: there may be several"),
                );
                Vec::new()
            }
        }
    }

    /// The table of `[key]`.
    pub(crate) fn table<'a, 'i>(
        &mut self,
        within: &Section<'a, 'i>,
        key: &str,
        kind: usize,
        name: &str,
    ) -> Option<Section<'a, 'i>> {
        let value = within.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(self.section(kind, name.to_owned(), table, value.span())),
            _ => {
                self.problem(
                    value.span(),
                    format!("write {name} as a section of its own"),
                );
                None
            }
        }
    }

    /// A key that is true or false, if it is there.
    pub(crate) fn boolean(&mut self, section: &Section, key: &str) -> Option<bool> {
        let value = section.get(key)?;
        if value.get_ref().as_bool().is_none() {
            let message = not_a(value, "true or false, without quotes");
            self.problem(value.span(), format!("`{key}`: {message}"));
        }
        value.get_ref().as_bool()
    }
}

/// What may have been meant by an unknown key.
fn hint(sections: &Sections, known: &[&str], word: &str) -> String {
    if let Some(near) = nearest(word, known) {
        return format!("; did you mean `{near}`?");
    }
    if let Some((home, _)) = sections.iter().find(|(_, keys)| keys.contains(&word)) {
        return format!("; it belongs in {home}");
    }
    format!("; there are {}", known.join(", "))
}

/// The one of `known` that `word` is a likely slip of.
fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(&word, k), *k))
        .filter(|(distance, k)| *distance <= 1 + k.len() / 5)
        .min()
        .map(|(_, k)| k)
}

/// The one of `all` whose word is `text`.
pub(crate) fn one_of<T: Copy>(
    text: &str,
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Result<T, String> {
    if let Some(found) = all.iter().find(|t| word(**t) == text) {
        return Ok(*found);
    }
    let words: Vec<String> = all.iter().map(|t| format!("\"{}\"", word(*t))).collect();
    Err(format!(
        "\"{text}\" is not known; write {}",
        words.join(" or ")
    ))
}

pub(crate) fn not_a(value: &Value, wanted: &str) -> String {
    let found = match value.get_ref() {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    };
    format!("this is {found}; write {wanted}")
}
