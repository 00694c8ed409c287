//! What a viewer asks for, and what it makes of the answer: where to look next.

use super::answer::Answer;
use crate::db::StreamKind;
use crate::sim::random::Random;
use crate::sim::witness::StreamKey;
use serde_json::Value;

/// A stream, and where it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub stream: StreamKey,
    /// `/api/cameras/<uuid>/main`.
    pub path: String,
}

/// Something to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// `/api/`: which cameras there are.
    Top,
    /// Something of which only the status is looked at.
    Plain(String),
    /// A stream's recordings.
    List(Place),
    /// A file of a stream.
    File(FileWish),
    /// An HLS playlist.
    Playlist(Place, &'static str),
    /// A picture.
    Picture(Place),
    /// To watch a stream.
    Live(Place),
}

/// See [`Wish::File`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWish {
    pub stream: StreamKey,
    pub url: String,
    pub ask: Ask,
    /// Only if it is still the file that it was.
    pub if_range: bool,
}

/// What is asked for of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Whole,
    Head,
    /// If it is another one than before.
    IfChanged,
    From(u64),
    Within(u64, u64),
    Last(u64),
    Several(Vec<(u64, u64)>),
}

impl Ask {
    /// The `Range` field.
    pub fn range(&self) -> Option<String> {
        let field = match self {
            Ask::Whole | Ask::Head | Ask::IfChanged => return None,
            Ask::From(from) => format!("{from}-"),
            Ask::Within(from, last) => format!("{from}-{last}"),
            Ask::Last(n) => format!("-{n}"),
            Ask::Several(ranges) => {
                let all = ranges.iter().map(|(from, last)| format!("{from}-{last}"));
                all.collect::<Vec<_>>().join(", ")
            }
        };
        Some(format!("bytes={field}"))
    }

    /// Where an answer of one part has to begin and to end, of a file of `length`.
    pub fn expects(&self, length: u64) -> Option<(u64, u64)> {
        match *self {
            Ask::From(from) => Some((from, length)),
            Ask::Within(from, last) => Some((from, length.min(last + 1))),
            Ask::Last(n) => Some((length.saturating_sub(n), length)),
            _ => None,
        }
    }

    /// A part of a file of about `length`, as players seek.
    pub fn draw(length: u64, r: &mut Random) -> Ask {
        let from = r.below(length);
        match r.below(8) {
            0 => Ask::Whole,
            1 => Ask::Head,
            2 => Ask::IfChanged,
            3 => Ask::From(from),
            4 => Ask::From(0),
            5 => Ask::Last(1 + r.below(length)),
            6 => {
                let (a, b) = (from, r.below(length));
                let range = |at| (at, at + r.within(0..=5_000));
                Ask::Several([a, b].map(range).to_vec())
            }
            _ => Ask::Within(from, from + r.within(0..=300_000)),
        }
    }
}

impl Wish {
    /// The path that is asked for.
    pub fn url(&self) -> String {
        match self {
            Wish::Top => "/api/?days=true".to_owned(),
            Wish::Plain(path) => path.clone(),
            Wish::List(place) => format!("{}/recordings", place.path),
            Wish::File(file) => file.url.clone(),
            Wish::Playlist(place, name) => format!("{}/{name}", place.path),
            Wish::Picture(place) => format!("{}/snapshot.jpg", place.path),
            Wish::Live(place) => format!("{}/live.m4s", place.path),
        }
    }

    pub fn is_head(&self) -> bool {
        matches!(self, Wish::File(file) if file.ask == Ask::Head)
    }

    /// The request; `tag` is the entity tag that its URL had before.
    pub fn request(&self, tag: Option<&str>) -> Vec<u8> {
        let method = if self.is_head() { "HEAD" } else { "GET" };
        let mut head = format!("{method} {} HTTP/1.1\r\nHost: 192.0.2.1\r\n", self.url());
        match self {
            Wish::Live(_) => {
                head += "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
            }
            Wish::File(file) => {
                if let Some(range) = file.ask.range() {
                    head += &format!("Range: {range}\r\n");
                }
                match tag {
                    Some(tag) if file.ask == Ask::IfChanged => {
                        head += &format!("If-None-Match: {tag}\r\n");
                    }
                    Some(tag) if file.if_range => head += &format!("If-Range: {tag}\r\n"),
                    _ => (),
                }
            }
            _ => (),
        }
        (head + "\r\n").into_bytes()
    }
}

impl FileWish {
    /// The first recording that it names.
    pub fn first(&self) -> Option<u64> {
        let (_, ids) = self.url.split_once("?s=")?;
        let digits = ids.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }
}

/// The streams that `/api/` tells of.
pub fn places(answer: &Answer) -> Result<Vec<Place>, String> {
    let top: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    for camera in top["cameras"].as_array().into_iter().flatten() {
        let (name, uuid) = (camera["shortName"].as_str(), camera["uuid"].as_str());
        let index = name.and_then(|n| n.strip_prefix("cam")?.parse().ok());
        let (Some(index), Some(uuid)) = (index, uuid) else {
            return Err(format!("a camera without a name: {camera}"));
        };
        for kind in StreamKind::ALL {
            if camera["streams"].get(kind.as_str()).is_some() {
                found.push(Place {
                    stream: (index, kind),
                    path: format!("/api/cameras/{uuid}/{}", kind.as_str()),
                });
            }
        }
    }
    Ok(found)
}

/// A row of the list of recordings.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub first: u64,
    pub last: u64,
    pub open: u64,
    pub duration_90k: u64,
}

/// The rows of a list of recordings.
pub fn rows(answer: &Answer) -> Result<Vec<Row>, String> {
    let list: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
    let rows = list["recordings"].as_array().into_iter().flatten();
    let row = |r: &Value| {
        let first = r["startId"].as_u64()?;
        let (start, end) = (r["startTime90k"].as_u64()?, r["endTime90k"].as_u64()?);
        Some(Row {
            first,
            last: r["endId"].as_u64().unwrap_or(first),
            open: r["openId"].as_u64()?,
            duration_90k: end.checked_sub(start)?,
        })
    };
    let rows: Option<Vec<Row>> = rows.map(row).collect();
    rows.ok_or_else(|| format!("a row is not understood: {list}"))
}

/// The most recordings of a file that a viewer asks for.
const MOST_RECORDINGS: u64 = 3;

/// Something of a list to look at.
pub fn choose(place: &Place, rows: &[Row], r: &mut Random) -> Option<String> {
    let row = rows.get(r.index(rows.len()))?;
    let first = r.within(row.first..=row.last);
    let last = row.last.min(first + r.below(MOST_RECORDINGS));
    let mut parts = format!("{first}-{last}");
    if r.percent(50) {
        parts += &format!("@{}", row.open);
    }
    if r.percent(30) {
        let from = r.below(row.duration_90k.min(5_400_000));
        parts += &format!(".{from}-{}", from + r.within(90_000..=2_700_000));
    }
    let file = r.pick(&["view.mp4", "view.mp4", "view.m4s"]);
    let subtitles = match file == "view.mp4" && r.percent(20) {
        true => "&ts=true",
        false => "",
    };
    Some(format!("{}/{file}?s={parts}{subtitles}", place.path))
}

/// The addresses in a playlist of `place`, as paths.
pub fn addresses(place: &Place, answer: &Answer) -> Vec<String> {
    let text = String::from_utf8_lossy(&answer.body);
    let quoted = |line: &str| {
        let (_, rest) = line.split_once("URI=\"")?;
        Some(rest.split('"').next()?.to_owned())
    };
    let relative = text.lines().filter_map(|line| match line.starts_with('#') {
        true => quoted(line),
        false => Some(line.to_owned()).filter(|l| !l.is_empty()),
    });
    relative.map(|r| resolve(&place.path, &r)).collect()
}

/// A relative address within the folder `base`.
fn resolve(base: &str, relative: &str) -> String {
    let mut folders: Vec<&str> = base.split('/').collect();
    let mut rest = relative;
    while let Some(up) = rest.strip_prefix("../") {
        folders.pop();
        rest = up;
    }
    format!("{}/{rest}", folders.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_playlist_are_found() {
        let place = Place {
            stream: (0, StreamKind::Main),
            path: "/api/cameras/u/main".to_owned(),
        };
        let answer = Answer {
            body: b"#EXTM3U\n#EXT-X-MAP:URI=\"../../../init/3.mp4\"\nview.m4s?s=1@2\n".to_vec(),
            ..Answer::default()
        };
        let expected = ["/api/init/3.mp4", "/api/cameras/u/main/view.m4s?s=1@2"];
        assert_eq!(addresses(&place, &answer), expected);
    }

    #[test]
    fn the_first_recording_of_a_file_is_known() {
        let first = |url: &str| {
            let file = FileWish {
                stream: (0, StreamKind::Main),
                url: url.to_owned(),
                ask: Ask::Whole,
                if_range: false,
            };
            file.first()
        };
        assert_eq!(first("/api/cameras/u/main/view.mp4?s=12@3"), Some(12));
        assert_eq!(first("/api/cameras/u/main/view.m4s?s=7-9@3.0-1"), Some(7));
        assert_eq!(first("/api/cameras/u/main/scrub.mp4?every90k=1"), None);
    }

    #[test]
    fn parts_of_a_file_are_asked_for_and_expected() {
        assert_eq!(Ask::From(7).range().as_deref(), Some("bytes=7-"));
        assert_eq!(Ask::Last(7).expects(5), Some((0, 5)));
        assert_eq!(Ask::Within(2, 9).expects(8), Some((2, 8)));
        assert_eq!(Ask::Several(vec![(1, 2)]).expects(8), None);
    }
}
