//! XML as cameras send it, into a small tree: bounded in bytes, depth and elements, and without
//! document types, so that no entity of a camera's making is ever expanded (XML 1.0 section 4).
//!
//! Names are kept without their prefixes: devices differ in those, and nothing here needs a namespace to
//! tell two elements apart.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// The longest document, in bytes. Event messages and profile lists of real cameras have up to 60 KiB.
pub const MAX_BYTES: usize = 512 << 10;
/// How deep elements may lie in one another.
pub const MAX_DEPTH: usize = 40;
/// The most elements of a document.
pub const MAX_ELEMENTS: usize = 8_000;
/// The most attributes that are kept of an element; further ones are passed over.
const MAX_ATTRIBUTES: usize = 24;

/// Why a document is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("its elements lie deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("it has more than {MAX_ELEMENTS} elements")]
    TooMany,
    #[error("it declares a document type, which no camera needs")]
    DocumentType,
    #[error("it refers to an entity that is not one of XML's own")]
    Entity,
    #[error("it is no well-formed XML")]
    Malformed,
}

/// An element and all that is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Without its prefix.
    pub name: String,
    /// Names without prefixes, values with references resolved.
    pub attributes: Vec<(String, String)>,
    /// All of its own text, without white space at either end.
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a document's only element.
    pub fn parse(bytes: &[u8]) -> Result<Element, XmlError> {
        if bytes.len() > MAX_BYTES {
            return Err(XmlError::TooLong);
        }
        // Bytes that are not UTF-8 cost the name that they are in, not the camera.
        let text = String::from_utf8_lossy(bytes);
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}').trim());
        let mut open: Vec<Element> = Vec::new();
        let mut root = None;
        let mut elements = 0;
        loop {
            let event = reader.read_event().map_err(|_| XmlError::Malformed)?;
            match event {
                Event::Start(start) => {
                    elements += 1;
                    if open.len() >= MAX_DEPTH {
                        return Err(XmlError::TooDeep);
                    }
                    if root.is_some() {
                        return Err(XmlError::Malformed);
                    }
                    open.push(element(&start)?);
                }
                Event::Empty(start) => {
                    elements += 1;
                    let element = element(&start)?;
                    match open.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None if root.is_none() => root = Some(element),
                        None => return Err(XmlError::Malformed),
                    }
                }
                Event::End(_) => {
                    let mut element = open.pop().ok_or(XmlError::Malformed)?;
                    let trimmed = element.text.trim();
                    if trimmed.len() != element.text.len() {
                        element.text = trimmed.to_owned();
                    }
                    match open.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None => root = Some(element),
                    }
                }
                Event::Text(text) => {
                    let text = text.decode().map_err(|_| XmlError::Malformed)?;
                    push_text(&mut open, &text);
                }
                Event::CData(data) => {
                    let data = data.decode().map_err(|_| XmlError::Malformed)?;
                    push_text(&mut open, &data);
                }
                Event::GeneralRef(reference) => {
                    let name = reference.decode().map_err(|_| XmlError::Malformed)?;
                    let resolved = match reference.resolve_char_ref() {
                        Ok(Some(c)) => c.to_string(),
                        Ok(None) => quick_xml::escape::resolve_predefined_entity(&name)
                            .ok_or(XmlError::Entity)?
                            .to_owned(),
                        Err(_) => return Err(XmlError::Malformed),
                    };
                    push_text(&mut open, &resolved);
                }
                Event::DocType(_) => return Err(XmlError::DocumentType),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof => break,
            }
            if elements > MAX_ELEMENTS {
                return Err(XmlError::TooMany);
            }
        }
        match open.is_empty() {
            true => root.ok_or(XmlError::Malformed),
            false => Err(XmlError::Malformed),
        }
    }

    /// The first child of that name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|c| c.name == name)
    }

    /// All children of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// What lies at the end of a path of names.
    pub fn at(&self, path: &[&str]) -> Option<&Element> {
        let mut element = self;
        for name in path {
            element = element.child(name)?;
        }
        Some(element)
    }

    /// The text there, unless it is empty.
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path)
            .map(|e| e.text.as_str())
            .filter(|t| !t.is_empty())
    }

    /// A number there.
    pub fn number_at(&self, path: &[&str]) -> Option<f64> {
        let number: f64 = self.text_at(path)?.parse().ok()?;
        number.is_finite().then_some(number)
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        attributes.find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The first element of that name anywhere below, in the document's order.
    pub fn find(&self, name: &str) -> Option<&Element> {
        self.children.iter().find_map(|c| {
            if c.name == name {
                Some(c)
            } else {
                c.find(name)
            }
        })
    }

    /// All elements of that name anywhere below.
    pub fn find_all<'a>(&'a self, name: &str) -> Vec<&'a Element> {
        let mut found = Vec::new();
        let mut open = vec![self];
        while let Some(element) = open.pop() {
            // In the document's order: the last one pushed comes first.
            open.extend(element.children.iter().rev());
            if element.name == name && !std::ptr::eq(element, self) {
                found.push(element);
            }
        }
        found
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, XmlError> {
    let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
    let mut attributes = Vec::new();
    // One that cannot be read costs itself.
    let mut all = start.attributes();
    for attribute in all.with_checks(false).flatten().take(MAX_ATTRIBUTES) {
        let key = String::from_utf8_lossy(attribute.key.local_name().as_ref()).into_owned();
        let raw = String::from_utf8_lossy(&attribute.value);
        let value = quick_xml::escape::unescape(&raw).map_err(|_| XmlError::Entity)?;
        attributes.push((key, value.into_owned()));
    }
    Ok(Element {
        name,
        attributes,
        ..Element::default()
    })
}

fn push_text(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        if !(element.text.is_empty() && text.trim().is_empty()) {
            element.text.push_str(text);
        }
    }
}

/// Text for between tags or in an attribute.
pub fn escape(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    quick_xml::escape::escape(clean).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_references_and_cdata_are_understood() {
        let text = "<?xml version='1.0'?>\n<!-- x --><a:root xmlns:a='u' n='1 &amp; 2'>\
                    <b:x> one &lt; <![CDATA[<two>]]>&#33; </b:x><x/></a:root>";
        let root = Element::parse(text.as_bytes()).unwrap();
        assert_eq!(
            (root.name.as_str(), root.attribute("n")),
            ("root", Some("1 & 2"))
        );
        assert_eq!(root.text_at(&["x"]), Some("one < <two>!"));
        assert_eq!(root.all("x").count(), 2);
        assert_eq!(root.find_all("x").len(), 2);
        assert_eq!(root.find("y"), None);
    }

    #[test]
    fn what_could_grow_is_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY b 'bb'><!ENTITY c '&b;&b;'>]><a>&c;</a>";
        assert_eq!(Element::parse(bomb.as_bytes()), Err(XmlError::DocumentType));
        assert_eq!(Element::parse(b"<a>&b;</a>"), Err(XmlError::Entity));
        assert_eq!(Element::parse(b"<a b='&c;'/>"), Err(XmlError::Entity));
        let deep = "<a>".repeat(MAX_DEPTH + 1);
        assert_eq!(Element::parse(deep.as_bytes()), Err(XmlError::TooDeep));
        let many = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS + 1));
        assert_eq!(Element::parse(many.as_bytes()), Err(XmlError::TooMany));
        let long = format!("<a>{}</a>", "x".repeat(MAX_BYTES));
        assert_eq!(Element::parse(long.as_bytes()), Err(XmlError::TooLong));
    }

    #[test]
    fn what_is_broken_is_refused() {
        for text in [
            "",
            "x",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a><b></a></b>",
            "&lt;",
        ] {
            assert!(Element::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let odd = "a<b>&\"c'\u{1}d\né";
        let text = format!("<x y=\"{0}\">{0}</x>", escape(odd));
        let read = Element::parse(text.as_bytes()).unwrap();
        assert_eq!(read.text, "a<b>&\"c'dé");
        assert_eq!(read.attribute("y"), Some("a<b>&\"c'dé"));
    }
}
