//! "Edit retention": how much of each stream is kept, with totals of the disks and how long that lasts, as
//! it is typed.

use super::app::{Next, Question, Screen};
use super::draw::{BOLD, FOCUS, PLAIN, put, row, wrap};
use super::form::Text;
use super::store::Store;
use super::words::{days, size};
use moonfire_nvr::config::{self, Retain};
use moonfire_nvr::db::{CameraPatch, StreamChange, StreamKind, StreamPatch};
use moonfire_nvr::recording::DirId;
use moonfire_nvr::recording::forecast::{Growing, Room, wanted_bytes};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use std::path::PathBuf;
use termion::event::Key;
use uuid::Uuid;

/// Where the columns begin: what is kept, what is there, what a day adds, how far it reaches back.
const KEEP: u16 = 24;
const KEEP_COLUMNS: usize = 20;
const NOW: u16 = 47;
const A_DAY: u16 = 57;
const LASTS: u16 = 67;

/// One stream.
struct Stream {
    camera: Uuid,
    name: String,
    kind: StreamKind,
    in_file: bool,
    dir: DirId,
    grows: Growing,
    text: Text,
    before: Retain,
}

impl Stream {
    fn keep(&self) -> Result<Retain, String> {
        config::retain(self.text.get().trim())
    }

    fn is_changed(&self) -> bool {
        self.keep().as_ref() != Ok(&self.before)
    }

    /// How it grows with what is typed, or with what was there while that makes no sense.
    fn growing(&self) -> Growing {
        let keep = self.keep().unwrap_or(self.before);
        Growing {
            retain_bytes: keep.bytes,
            // How much that is, is known of what grows.
            retain_days: keep.days.filter(|_| self.grows.bytes_per_day > 0),
            ..self.grows
        }
    }

    /// About how many bytes of recordings the limit deletes that is typed.
    fn deletes_bytes(&self) -> i64 {
        let wanted = self.growing().wanted_bytes();
        wanted.map_or(0, |wanted| (self.grows.used_bytes - wanted).max(0))
    }
}

/// A disk that is recorded to.
struct Disk {
    id: DirId,
    path: PathBuf,
    room: Room,
}

/// See the module.
pub struct Retention {
    streams: Vec<Stream>,
    disks: Vec<Disk>,
    at: usize,
    top: usize,
}

impl Retention {
    pub fn new(store: &Store) -> Retention {
        let mut this = Retention {
            streams: Vec::new(),
            disks: Vec::new(),
            at: 0,
            top: 0,
        };
        this.read(store);
        this.at = this.streams.iter().position(|s| !s.in_file).unwrap_or(0);
        this
    }

    fn read(&mut self, store: &Store) {
        self.streams.clear();
        for camera in store.cameras() {
            for stream in camera.streams.iter().filter(|s| !s.url.is_empty()) {
                let before = Retain {
                    bytes: stream.retain_bytes,
                    days: stream.retain_days,
                };
                self.streams.push(Stream {
                    camera: camera.uuid,
                    name: camera.name.clone(),
                    kind: stream.kind,
                    in_file: camera.in_file,
                    dir: stream.dir,
                    grows: store.growing(stream),
                    text: Text::new(&before.to_string()),
                    before,
                });
            }
        }
        let disks = store.dirs_in_use().map(|d| Disk {
            id: d.id,
            path: d.path.clone(),
            room: store.room(d),
        });
        self.disks = disks.collect();
        self.at = self.at.min(self.streams.len().saturating_sub(1));
    }

    fn draw_stream(&self, index: usize, y: u16, area: Rect, buf: &mut Buffer) -> Option<Position> {
        let s = &self.streams[index];
        let focused = index == self.at;
        let mark = match (s.keep().is_err(), focused) {
            (true, _) => '!',
            (false, true) => '>',
            (false, false) => ' ',
        };
        let name = format!("{mark} {}", s.name);
        let grows = s.growing();
        let used = size(grows.used_bytes);
        let a_day = match grows.bytes_per_day {
            0 => "-".to_owned(),
            n => size(n),
        };
        let lasts = match (grows.days_kept(), grows.wanted_bytes(), grows.bytes_per_day) {
            (Some(n), _, _) => days(n),
            (None, None, 1..) => "disk's room".to_owned(),
            (None, _, _) => "not known".to_owned(),
        };
        let kind = s.kind.as_str();
        let cells = [
            (0, &*name),
            (19, kind),
            (NOW, &*used),
            (A_DAY, &*a_day),
            (LASTS, &*lasts),
        ];
        row(buf, area, y, &cells, PLAIN);
        let style = if focused { FOCUS } else { PLAIN };
        if s.in_file {
            let text = format!(" {} (in file)", s.before);
            let cell = Rect::new(area.x + KEEP, y, KEEP_COLUMNS as u16 + 2, 1);
            put(buf, cell, cell.x, y, &text, style);
            return None;
        }
        let (shown, at) = s.text.window(KEEP_COLUMNS, false);
        let padded = format!("[{shown:<KEEP_COLUMNS$}]");
        put(buf, area, area.x + KEEP, y, &padded, style);
        focused.then(|| Position::new(area.x + KEEP + 1 + at, y))
    }

    /// What is told of a disk.
    fn of_disk(&self, disk: &Disk) -> String {
        let streams = self.streams.iter().filter(|s| s.dir == disk.id);
        let streams: Vec<Growing> = streams.map(Stream::growing).collect();
        let unlimited = streams
            .iter()
            .filter(|s| s.wanted_bytes().is_none())
            .count();
        let usable = disk.room.usable_bytes();
        let has = match usable {
            Some(usable) => format!("room for {}", size(usable)),
            None => "not there now".to_owned(),
        };
        let limits = format!("limits add up to {}", size(wanted_bytes(&streams)));
        let over = disk.room.overcommitted_bytes(&streams).unwrap_or(0);
        let forecast = match (disk.room.days_until_full(&streams), over) {
            (_, over) if over > 0 => {
                format!("{} too much: the oldest goes before its time", size(over))
            }
            (Some(n), _) if n < 0.02 && unlimited > 0 => "full: the oldest makes room".to_owned(),
            (Some(n), _) => format!("full in {}, then the oldest makes room", days(n)),
            (None, _) if usable.is_none() => "no forecast".to_owned(),
            (None, _) if streams.iter().all(|s| s.bytes_per_day == 0) => {
                "no forecast before something is recorded".to_owned()
            }
            (None, _) => "never full".to_owned(),
        };
        let unlimited = match unlimited {
            0 => String::new(),
            n => format!(" ({n} unlimited)"),
        };
        format!(
            "{}: {has}; {limits}{unlimited}; {forecast}",
            disk.path.display()
        )
    }

    fn write(&mut self, store: &mut Store) -> Next {
        for s in self.streams.iter().filter(|s| s.is_changed()) {
            let keep = match s.keep() {
                Ok(keep) => keep,
                Err(e) => return Next::Say(format!("Not saved: {e}.")),
            };
            let change = StreamChange::Put(StreamPatch {
                retain_bytes: Some(keep.bytes),
                retain_days: Some(keep.days),
                ..StreamPatch::default()
            });
            let patch = match s.kind {
                StreamKind::Main => CameraPatch {
                    main: change,
                    ..CameraPatch::default()
                },
                StreamKind::Sub => CameraPatch {
                    sub: change,
                    ..CameraPatch::default()
                },
            };
            if let Err(e) = store.change_camera(s.camera, patch) {
                return Next::Say(format!("{} {}: not saved: {e}.", s.name, s.kind.as_str()));
            }
        }
        self.read(store);
        Next::Close(Some("What is kept is saved.".to_owned()))
    }
}

impl Screen for Retention {
    fn title(&self) -> String {
        "edit retention".to_owned()
    }

    fn keys(&self) -> String {
        "Up/Down move   type to change   Ctrl-O save   Esc back".to_owned()
    }

    fn key(&mut self, key: Key, store: &mut Store) -> Next {
        let last = self.streams.len().saturating_sub(1);
        match key {
            Key::Ctrl('o') => return self.save(store),
            Key::Up | Key::BackTab => self.at = self.at.saturating_sub(1),
            Key::Down | Key::Char('\t' | '\n') => self.at = (self.at + 1).min(last),
            key => {
                let Some(stream) = self.streams.get_mut(self.at) else {
                    return Next::Unknown;
                };
                if stream.in_file {
                    let told = format!(
                        "{} names this camera: change `retain` there, then `systemctl reload \
                         moonfire-nvr`.",
                        store.file()
                    );
                    return Next::Say(told);
                }
                if !stream.text.key(key) {
                    return Next::Unknown;
                }
            }
        }
        Next::Stay
    }

    fn draw(&mut self, area: Rect, buf: &mut Buffer, _: &Store) -> Option<Position> {
        if self.streams.is_empty() {
            wrap(
                buf,
                area,
                "There is no camera yet, so there is nothing to keep.",
                PLAIN,
            );
            return None;
        }
        let heads = [
            (0, "  Camera"),
            (19, "Stream"),
            (KEEP + 2, "Keep"),
            (NOW, "Now"),
            (A_DAY, "A day"),
            (LASTS, "Lasts"),
        ];
        row(buf, area, area.y, &heads, BOLD);
        // Two rows for each disk, one for what is wrong.
        let below = (2 * self.disks.len() as u16 + 2).min(area.height.saturating_sub(4));
        let rows = usize::from(area.height - 1 - below).max(1);
        self.top = self
            .top
            .min(self.at)
            .max((self.at + 1).saturating_sub(rows));
        let seen = self.top..self.streams.len().min(self.top + rows);
        let mut cursor = None;
        let mut y = area.y + 1;
        for index in seen {
            cursor = cursor.or(self.draw_stream(index, y, area, buf));
            y += 1;
        }
        let wrong = self.streams.get(self.at).and_then(|s| s.keep().err());
        let told = match wrong {
            Some(e) => format!("! {e}"),
            None => "500 GB, 30 days, both (500 GB, 30 days), or unlimited".to_owned(),
        };
        let mut rest = Rect::new(area.x, y, area.width, area.bottom().saturating_sub(y));
        let mut skip = |rows: u16| {
            rest.y += rows;
            rest.height = rest.height.saturating_sub(rows);
            rest
        };
        let taken = wrap(buf, skip(0), &told, PLAIN);
        skip(taken);
        for disk in &self.disks {
            let taken = wrap(buf, skip(0), &self.of_disk(disk), PLAIN);
            skip(taken);
        }
        cursor
    }

    fn is_dirty(&self) -> bool {
        self.streams.iter().any(Stream::is_changed)
    }

    fn save(&mut self, store: &mut Store) -> Next {
        if let Some(wrong) = self.streams.iter().position(|s| s.keep().is_err()) {
            self.at = wrong;
            return Next::Say("Not saved: see the line with the exclamation mark.".to_owned());
        }
        if !self.is_dirty() {
            return Next::Say("Nothing was changed.".to_owned());
        }
        let deletes: Vec<&Stream> = self
            .streams
            .iter()
            .filter(|s| s.is_changed() && s.deletes_bytes() > 0)
            .collect();
        if deletes.is_empty() {
            return self.write(store);
        }
        let mut text = "This deletes recordings, the oldest, within a minute or so:\n".to_owned();
        for s in deletes {
            let (name, kind) = (&s.name, s.kind.as_str());
            text += &format!("\n{name} {kind}: {}", size(s.deletes_bytes()));
        }
        Next::Ask(Question {
            text,
            answers: vec![('y', "save and delete them")],
        })
    }

    fn answered(&mut self, _: char, store: &mut Store) -> Next {
        self.write(store)
    }
}
