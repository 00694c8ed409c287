//! The list of cameras, and setting one up.

use super::app::{Focus, Next, Question, Screen};
use super::camera_test::CameraTest;
use super::draw::{BOLD, FOCUS, PLAIN, row, wrap};
use super::form::{Did, Form, Line};
use super::store::Store;
use super::words;
use moonfire_nvr::config::{self, Secret, Transport};
use moonfire_nvr::db::{
    self, Camera, CameraPatch, Removed, StreamChange, StreamKind, StreamPatch, check_credential,
    check_description,
};
use moonfire_nvr::nvr::camera_test::targets;
use moonfire_nvr::recording::DirId;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use termion::event::Key;
use uuid::Uuid;

/// The list.
#[derive(Default)]
pub struct Cameras {
    focus: Focus,
}

impl Screen for Cameras {
    fn title(&self) -> String {
        "cameras".to_owned()
    }

    fn keys(&self) -> String {
        "Enter edit   a add   t test   d remove   Esc back".to_owned()
    }

    fn key(&mut self, key: Key, store: &mut Store) -> Next {
        let all: Vec<Camera> = store.cameras().cloned().collect();
        if self.focus.key(key, all.len()) {
            return Next::Stay;
        }
        match (key, all.get(self.focus.at)) {
            (Key::Char('a'), _) => Next::Open(Box::new(CameraForm::new(None, store))),
            (Key::Char('\n' | 'e'), Some(camera)) => {
                Next::Open(Box::new(CameraForm::new(Some(camera), store)))
            }
            (Key::Char('t'), Some(camera)) => test(Some(camera), &CameraPatch::default(), store),
            (Key::Char('d'), Some(camera)) => ask_to_remove(camera, store),
            _ => Next::Unknown,
        }
    }

    fn answered(&mut self, answer: char, store: &mut Store) -> Next {
        let camera = store.cameras().nth(self.focus.at).map(|c| c.uuid);
        match camera {
            Some(camera) => match remove(camera, answer, store) {
                Ok(told) | Err(told) => Next::Say(told),
            },
            None => Next::Stay,
        }
    }

    fn draw(&mut self, area: Rect, buf: &mut Buffer, store: &Store) -> Option<Position> {
        let all: Vec<&Camera> = store.cameras().collect();
        if all.is_empty() {
            wrap(
                buf,
                area,
                "There is no camera yet: press a to add one.",
                PLAIN,
            );
            return None;
        }
        let heads = [
            (0, "  Name"),
            (24, "Host"),
            (46, "Streams"),
            (56, "Set in"),
            (63, "Recorded"),
        ];
        row(buf, area, area.y, &heads, BOLD);
        let seen = self.focus.seen(all.len(), area.height.saturating_sub(1));
        for (index, y) in seen.zip(area.y + 1..) {
            let camera = all[index];
            let focused = index == self.focus.at;
            let style = if focused { FOCUS } else { PLAIN };
            let name = format!("{} {}", if focused { '>' } else { ' ' }, camera.name);
            let urls = camera.streams.iter().filter(|s| !s.url.is_empty());
            let kinds: Vec<&str> = urls.clone().map(|s| s.kind.as_str()).collect();
            let host = urls
                .clone()
                .next()
                .map(|s| host(&s.url))
                .unwrap_or_default();
            let record = camera.streams.iter().any(|s| s.record);
            let last = camera
                .streams
                .iter()
                .filter_map(|s| s.totals.last_end)
                .max();
            let last = match (record, last) {
                (false, _) => "off".to_owned(),
                (true, None) => "nothing yet".to_owned(),
                (true, Some(at)) => words::ago(store.now - at),
            };
            let place = if camera.in_file { "file" } else { "here" };
            let cells = [
                (0, &*name),
                (24, &*host),
                (46, &*kinds.join(" ")),
                (56, place),
                (63, &*last),
            ];
            row(buf, area, y, &cells, style);
        }
        None
    }

    fn tick(&mut self, store: &mut Store) -> Next {
        store.reload_if_old();
        Next::Stay
    }
}

fn host(url: &str) -> String {
    let rest = url.split_once("//").map_or("", |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default().to_owned()
}

/// What says that a camera cannot be changed here.
fn in_file(store: &Store, name: &str) -> String {
    format!(
        "{} names this camera: change it there, in its [[camera]] section, name = \"{name}\", then \
         `systemctl reload moonfire-nvr`.",
        store.file()
    )
}

fn ask_to_remove(camera: &Camera, store: &Store) -> Next {
    if camera.in_file {
        return Next::Say(in_file(store, &camera.name));
    }
    let bytes = camera.streams.iter().map(|s| s.totals.sample_file_bytes);
    let bytes: i64 = bytes.sum();
    Next::Ask(Question {
        text: format!(
            "Remove the camera \"{}\"? It has {} of recordings.\n\nKept, they are shown on the page \
             and go when their time has come, like others. Deleted, they are gone for good.",
            camera.name,
            words::size(bytes)
        ),
        answers: vec![
            ('k', "remove, keep recordings"),
            ('d', "remove and delete them"),
        ],
    })
}

fn remove(camera: Uuid, answer: char, store: &mut Store) -> Result<String, String> {
    let name = store.camera(camera).map(|c| c.name.clone());
    let name = name.unwrap_or_default();
    let (recordings, told) = match answer {
        'k' => (Removed::Kept, "its recordings are kept"),
        _ => (Removed::Deleting, "its recordings are being deleted"),
    };
    store.remove_camera(camera, recordings)?;
    Ok(format!("The camera \"{name}\" was removed; {told}."))
}

fn test(stored: Option<&Camera>, patch: &CameraPatch, store: &mut Store) -> Next {
    let name = patch.name.as_deref().or(stored.map(|c| &*c.name));
    let name = name
        .filter(|n| !n.is_empty())
        .unwrap_or("new camera")
        .to_owned();
    match targets(stored, patch) {
        Err(e) => Next::Say(format!("It cannot be tested: {e}.")),
        Ok(targets) => match CameraTest::begin(name, targets, store) {
            Ok(screen) => Next::Open(Box::new(screen)),
            Err(e) => Next::Say(e),
        },
    }
}

/// The names of a stream's lines.
struct StreamIds {
    kind: StreamKind,
    url: &'static str,
    transport: &'static str,
    record: &'static str,
    keep: &'static str,
    dir: &'static str,
}

const STREAMS: [StreamIds; 2] = [
    StreamIds {
        kind: StreamKind::Main,
        url: "main url",
        transport: "main transport",
        record: "main record",
        keep: "main keep",
        dir: "main dir",
    },
    StreamIds {
        kind: StreamKind::Sub,
        url: "sub url",
        transport: "sub transport",
        record: "sub record",
        keep: "sub keep",
        dir: "sub dir",
    },
];

/// Setting a camera up.
pub struct CameraForm {
    /// As it was read; `None` of one that is still to be made.
    stored: Option<Camera>,
    form: Form,
    /// The directories to choose from.
    dirs: Vec<DirId>,
}

impl CameraForm {
    pub fn new(stored: Option<&Camera>, store: &Store) -> CameraForm {
        let buttons: &[&'static str] = match stored {
            Some(camera) if camera.in_file => &["Test"],
            Some(_) => &["Test", "Save", "Remove"],
            None => &["Test", "Save"],
        };
        let mut form = Form::new(buttons);
        let text = |f: fn(&Camera) -> &str| stored.map_or("", f);
        form.text(
            "name",
            "Name",
            text(|c| &c.name),
            "What the camera looks at, as in: driveway",
        );
        let about = "A line for the page; may stay empty.";
        form.text(
            "description",
            "Description",
            text(|c| &c.description),
            about,
        );
        let about = "Who asks the camera: a user that was made in the camera's own settings.";
        form.text("username", "User", text(|c| &c.username), about);
        let (about, empty) = match stored.is_some_and(|c| !c.password.0.is_empty()) {
            true => (
                "Leave it empty to keep the password that is stored.",
                "(unchanged)",
            ),
            false => ("That user's password.", ""),
        };
        form.secret("password", "Password", about, empty);
        let dirs: Vec<&db::Dir> = store.dirs_in_use().collect();
        for ids in STREAMS {
            let row = stored.and_then(|c| c.streams.iter().find(|s| s.kind == ids.kind));
            let row = row.filter(|s| !s.url.is_empty());
            let is_main = ids.kind == StreamKind::Main;
            form.heading(match is_main {
                true => "Main stream: the large picture",
                false => "Sub stream: the small picture, for many cameras at once",
            });
            let about = match is_main {
                true => "As in rtsp://192.0.2.10/main; the camera's manual has the path.",
                false => "As in rtsp://192.0.2.10/sub. Empty: there is none.",
            };
            form.text(ids.url, "  URL", row.map_or("", |s| &s.url), about);
            let options = ["tcp", "udp"].map(str::to_owned).to_vec();
            let udp = row.is_some_and(|s| s.transport == Transport::Udp);
            let about = "How frames travel: tcp, or udp for cameras that cannot do that.";
            form.choice(
                ids.transport,
                "  Transport",
                options,
                usize::from(udp),
                about,
            );
            let record = row.is_none_or(|s| s.record);
            let about = "Space changes it. Without recording it can still be watched live.";
            form.toggle(ids.record, "  Record", record, about);
            let keep = row.map_or_else(config::Retain::default, |s| config::Retain {
                bytes: s.retain_bytes,
                days: s.retain_days,
            });
            let about = "How much is kept: 500 GB, 30 days, both (500 GB, 30 days), or unlimited.";
            form.text(ids.keep, "  Keep", &keep.to_string(), about);
            let mut options: Vec<String> = Vec::new();
            if row.is_none() {
                options.push("wherever there is least".to_owned());
            }
            options.extend(dirs.iter().map(|d| d.path.display().to_string()));
            let at = row.and_then(|s| dirs.iter().position(|d| d.id == s.dir));
            let about = "Where its next recordings go. Space goes on to the next one.";
            form.choice(ids.dir, "  Directory", options, at.unwrap_or(0), about);
        }
        let mut this = CameraForm {
            stored: stored.cloned(),
            form,
            dirs: dirs.iter().map(|d| d.id).collect(),
        };
        if stored.is_some_and(|c| c.in_file) {
            this.form.set_read_only();
        }
        this.judge(store);
        this
    }

    fn had_stream(&self, kind: StreamKind) -> bool {
        let streams = self.stored.iter().flat_map(|c| &c.streams);
        streams
            .filter(|s| !s.url.is_empty())
            .any(|s| s.kind == kind)
    }

    fn judge(&mut self, store: &Store) {
        let mine = self.stored.as_ref().map(|c| c.uuid);
        let names: Vec<String> = store
            .cameras()
            .filter(|c| Some(c.uuid) != mine)
            .map(|c| c.name.clone())
            .collect();
        self.form.judge(|form, line| wrong(form, line, &names));
    }

    /// What the form says, as far as it differs from what is stored.
    fn patch(&self) -> Result<CameraPatch, String> {
        let form = &self.form;
        let is_new = self.stored.is_none();
        let said = |id: &'static str| (is_new || form.is_changed(id)).then(|| form.get(id));
        let password = form.get("password");
        let mut patch = CameraPatch {
            name: said("name"),
            description: said("description"),
            username: said("username").filter(|u| !(is_new && u.is_empty())),
            password: (!password.is_empty()).then_some(Secret(password)),
            ..CameraPatch::default()
        };
        for ids in STREAMS {
            let change = self.stream(&ids, &mut patch)?;
            match ids.kind {
                StreamKind::Main => patch.main = change,
                StreamKind::Sub => patch.sub = change,
            }
        }
        patch.check()?;
        Ok(patch)
    }

    fn stream(&self, ids: &StreamIds, patch: &mut CameraPatch) -> Result<StreamChange, String> {
        let form = &self.form;
        let had = self.had_stream(ids.kind);
        let url = form.get(ids.url);
        if url.is_empty() {
            return Ok(match had {
                true => StreamChange::End,
                false => StreamChange::Nothing,
            });
        }
        let is_new = |id| !had || form.is_changed(id);
        let lines = [ids.url, ids.transport, ids.record, ids.keep, ids.dir];
        if !lines.into_iter().any(is_new) {
            return Ok(StreamChange::Nothing);
        }
        let keep = config::retain(&form.get(ids.keep))?;
        let dir = form.chosen(ids.dir);
        let dir = match had {
            true => self.dirs.get(dir),
            // The first choice is to leave it to the database.
            false => dir.checked_sub(1).and_then(|at| self.dirs.get(at)),
        };
        Ok(StreamChange::Put(StreamPatch {
            url: match is_new(ids.url) {
                true => Some(patch.take_url(&url)?),
                false => None,
            },
            transport: is_new(ids.transport).then(|| match form.chosen(ids.transport) {
                0 => Transport::Tcp,
                _ => Transport::Udp,
            }),
            record: is_new(ids.record).then(|| form.is_on(ids.record)),
            retain_bytes: is_new(ids.keep).then_some(keep.bytes),
            retain_days: is_new(ids.keep).then_some(keep.days),
            dir: dir.copied().filter(|_| is_new(ids.dir)),
        }))
    }

    fn test(&mut self, store: &mut Store) -> Next {
        match self.patch() {
            Err(e) => Next::Say(format!("It cannot be tested: {e}.")),
            Ok(patch) => {
                // All streams that there are, also those that nothing was changed of.
                let mut patch = patch;
                for (change, ids) in [
                    (&mut patch.main, &STREAMS[0]),
                    (&mut patch.sub, &STREAMS[1]),
                ] {
                    if matches!(change, StreamChange::Nothing) && self.had_stream(ids.kind) {
                        *change = StreamChange::Put(StreamPatch::default());
                    }
                }
                test(self.stored.as_ref(), &patch, store)
            }
        }
    }

    fn is_in_file(&self) -> bool {
        self.stored.as_ref().is_some_and(|c| c.in_file)
    }
}

/// What is wrong with a line.
fn wrong(form: &Form, line: &Line, names: &[String]) -> Option<String> {
    let text = line.get();
    let checked = match line.id {
        "name" if names.contains(&text) => Err("there is a camera of that name already".to_owned()),
        "name" => config::camera_name(&text).map(|_| ()),
        "description" => check_description(&text),
        "username" => check_credential("user", &text),
        "password" => check_credential("password", &text),
        "main url" | "sub url" if text.is_empty() => {
            match form.get("main url").is_empty() && form.get("sub url").is_empty() {
                true => Err("a camera needs the URL of a stream: main, sub, or both".to_owned()),
                false => Ok(()),
            }
        }
        "main url" | "sub url" => config::camera_url(&text).map(|_| ()),
        "main keep" | "sub keep" => config::retain(&text).map(|_| ()),
        _ => Ok(()),
    };
    checked.err()
}

impl Screen for CameraForm {
    fn title(&self) -> String {
        match &self.stored {
            Some(camera) => format!("camera {}", camera.name),
            None => "new camera".to_owned(),
        }
    }

    fn keys(&self) -> String {
        match self.is_in_file() {
            true => "Up/Down move   Ctrl-T test   Esc back".to_owned(),
            false => {
                "Up/Down/Tab move   Space choose   Ctrl-T test   Ctrl-O save   Esc back".to_owned()
            }
        }
    }

    fn key(&mut self, key: Key, store: &mut Store) -> Next {
        match key {
            Key::Ctrl('o') => return self.save(store),
            Key::Ctrl('t') => return self.test(store),
            _ => {}
        }
        match self.form.key(key) {
            Did::Pressed("Save") => self.save(store),
            Did::Pressed("Test") => self.test(store),
            Did::Pressed(_) => match &self.stored {
                Some(camera) => ask_to_remove(camera, store),
                None => Next::Stay,
            },
            Did::Refused => {
                let name = self.stored.as_ref().map_or("", |c| &c.name);
                Next::Say(in_file(store, name))
            }
            Did::Changed => {
                self.judge(store);
                Next::Stay
            }
            Did::Nothing => Next::Stay,
            Did::Unknown => Next::Unknown,
        }
    }

    fn draw(&mut self, area: Rect, buf: &mut Buffer, store: &Store) -> Option<Position> {
        let mut rest = area;
        if let Some(camera) = self.stored.as_ref().filter(|c| c.in_file) {
            let told = in_file(store, &camera.name);
            let rows = wrap(buf, Rect::new(area.x, area.y, area.width, 2), &told, PLAIN);
            rest = Rect::new(
                area.x,
                area.y + rows,
                area.width,
                area.height.saturating_sub(rows),
            );
        }
        self.form.draw(rest, buf)
    }

    fn is_dirty(&self) -> bool {
        self.form.is_dirty()
    }

    fn save(&mut self, store: &mut Store) -> Next {
        if self.is_in_file() {
            let name = self.stored.as_ref().map_or("", |c| &c.name);
            return Next::Say(in_file(store, name));
        }
        self.judge(store);
        if let Some(e) = self.form.first_error() {
            return Next::Say(format!("Not saved. {e}."));
        }
        let saved = self.patch().and_then(|patch| match &self.stored {
            Some(camera) => store.change_camera(camera.uuid, patch),
            None => store.make_camera(patch),
        });
        let when = match store.recorder_runs {
            true => "the recorder takes it in within seconds",
            false => "the recorder takes it in when it starts",
        };
        match saved {
            Ok(()) => {
                self.form.is_saved();
                let name = self.form.get("name");
                Next::Close(Some(format!("\"{name}\" is saved; {when}.")))
            }
            Err(e) => Next::Say(format!("Not saved: {e}.")),
        }
    }

    fn answered(&mut self, answer: char, store: &mut Store) -> Next {
        let Some(camera) = &self.stored else {
            return Next::Stay;
        };
        match remove(camera.uuid, answer, store) {
            Ok(told) => Next::Close(Some(told)),
            Err(e) => Next::Say(e),
        }
    }
}
