//! The list of users, and what each may.

use super::app::{Focus, Next, Question, Screen};
use super::draw::{BOLD, FOCUS, PLAIN, row, wrap};
use super::form::{Did, Form, Line};
use super::store::{Store, hash};
use super::words::count;
use moonfire_nvr::access::{Cameras, Permission, Permissions, User, UserId, check_name, password};
use moonfire_nvr::db::{NewUser, UserPatch};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use std::collections::BTreeSet;
use termion::event::Key;
use uuid::Uuid;

/// What a permission allows, for people.
const MAY: [(Permission, &str, &str); 7] = [
    (Permission::ViewLive, "Watch live", "To watch cameras live."),
    (
        Permission::ViewRecordings,
        "Recordings",
        "To watch and list recordings.",
    ),
    (
        Permission::Export,
        "Export",
        "To take recordings out as files; comes with watching them.",
    ),
    (
        Permission::ReadCameraConfigs,
        "See setup",
        "To see how cameras are set up, but for their passwords.",
    ),
    (
        Permission::Configure,
        "Set up",
        "To set up cameras and the recorder; comes with seeing that.",
    ),
    (
        Permission::UpdateSignals,
        "Signals",
        "To change the states of signals.",
    ),
    (
        Permission::Administer,
        "Administer",
        "To make and change users. Always for all cameras.",
    ),
];

/// The list.
#[derive(Default)]
pub struct Users {
    focus: Focus,
}

/// "everything", or the words of what it may.
fn may(user: &User) -> String {
    if user.permissions == Permissions::all() {
        return "everything".to_owned();
    }
    let words = MAY.iter().filter(|(p, _, _)| user.permissions.has(*p));
    let words: Vec<String> = words.map(|(_, label, _)| label.to_lowercase()).collect();
    match words.is_empty() {
        true => "nothing".to_owned(),
        false => words.join(", "),
    }
}

fn ask_to_delete(user: &User) -> Next {
    Next::Ask(Question {
        text: format!(
            "Delete the user \"{}\"? It is signed out everywhere, and its API tokens are gone. To only \
             keep it out, disable it instead.",
            user.name
        ),
        answers: vec![('y', "delete")],
    })
}

impl Screen for Users {
    fn title(&self) -> String {
        "users".to_owned()
    }

    fn keys(&self) -> String {
        "Enter edit   a add   x disable or enable   d delete   Esc back".to_owned()
    }

    fn key(&mut self, key: Key, store: &mut Store) -> Next {
        if self.focus.key(key, store.users.len()) {
            return Next::Stay;
        }
        let user = store.users.get(self.focus.at).cloned();
        match (key, user) {
            (Key::Char('a'), _) => Next::Open(Box::new(UserForm::new(None, store))),
            (Key::Char('\n' | 'e'), Some(user)) => {
                Next::Open(Box::new(UserForm::new(Some(&user), store)))
            }
            (Key::Char('x'), Some(user)) => {
                let patch = UserPatch {
                    disabled: Some(!user.disabled),
                    ..UserPatch::default()
                };
                let name = &user.name;
                Next::Say(match (store.change_user(&user, patch), user.disabled) {
                    (Err(e), _) => format!("\"{name}\": {e}."),
                    (Ok(()), true) => format!("\"{name}\" may sign in again."),
                    (Ok(()), false) => format!("\"{name}\" is disabled and signed out everywhere."),
                })
            }
            (Key::Char('d'), Some(user)) => ask_to_delete(&user),
            _ => Next::Unknown,
        }
    }

    fn answered(&mut self, _: char, store: &mut Store) -> Next {
        match store.users.get(self.focus.at).cloned() {
            None => Next::Stay,
            Some(user) => Next::Say(match store.delete_user(&user) {
                Ok(()) => format!("\"{}\" was deleted.", user.name),
                Err(e) => format!("\"{}\" was not deleted: {e}.", user.name),
            }),
        }
    }

    fn draw(&mut self, area: Rect, buf: &mut Buffer, store: &Store) -> Option<Position> {
        if store.users.is_empty() {
            let told = "There is no user yet: press a to add one. The first should be one who may do \
                        everything.";
            wrap(buf, area, told, PLAIN);
            return None;
        }
        row(
            buf,
            area,
            area.y,
            &[(0, "  Name"), (24, "May"), (62, "Cameras")],
            BOLD,
        );
        let seen = self
            .focus
            .seen(store.users.len(), area.height.saturating_sub(1));
        for (index, y) in seen.zip(area.y + 1..) {
            let user = &store.users[index];
            let focused = index == self.focus.at;
            let name = format!("{} {}", if focused { '>' } else { ' ' }, user.name);
            let mut may = may(user);
            if user.disabled {
                may = "disabled".to_owned();
            } else if !user.has_password {
                may = format!("no password; {may}");
            }
            let cameras = match &user.cameras {
                Cameras::All => "all".to_owned(),
                Cameras::Only(set) => count(set.len(), "camera"),
            };
            let style = if focused { FOCUS } else { PLAIN };
            row(
                buf,
                area,
                y,
                &[(0, &*name), (24, &*may), (62, &*cameras)],
                style,
            );
        }
        None
    }
}

/// The names of the lines of cameras, of which a form needs fixed ones.
const CAMERA: &str = "camera";

/// A user being made or changed.
pub struct UserForm {
    stored: Option<UserId>,
    name: String,
    form: Form,
    /// Those that the lines are about, in order.
    cameras: Vec<Uuid>,
    /// The first line of them.
    first_camera: usize,
    /// Those of its cameras that are no more.
    others: BTreeSet<Uuid>,
}

impl UserForm {
    pub fn new(stored: Option<&User>, store: &Store) -> UserForm {
        let buttons: &[&'static str] = match stored {
            Some(_) => &["Save", "Delete"],
            None => &["Save"],
        };
        let mut form = Form::new(buttons);
        form.text(
            "name",
            "Name",
            stored.map_or("", |u| &u.name),
            "As it is typed to sign in.",
        );
        let (about, empty) = match stored.is_some_and(|u| u.has_password) {
            true => (
                "Leave it empty to keep the one it has. A new one signs it out everywhere.",
                "(unchanged)",
            ),
            false => (
                "8 characters or more: a few words in a row are easy to remember.",
                "",
            ),
        };
        form.secret("password", "Password", about, empty);
        form.secret(
            "again",
            "The same again",
            "So that no slip of a finger locks it out.",
            "",
        );
        let disabled = stored.is_some_and(|u| u.disabled);
        let about = "Kept out: it is signed out everywhere, and its API tokens are no good.";
        form.toggle("disabled", "Disabled", disabled, about);
        form.heading("What it may");
        let is_first = store.users.is_empty();
        for (permission, label, about) in MAY {
            let has = match stored {
                Some(user) => user.permissions.has(permission),
                // Somebody must be able to make the others.
                None => is_first || Permission::OF_VISITORS.contains(&permission),
            };
            form.toggle(permission.as_str(), &format!("  {label}"), has, about);
        }
        form.heading("For which cameras");
        let only = stored.and_then(|u| match &u.cameras {
            Cameras::All => None,
            Cameras::Only(set) => Some(set.clone()),
        });
        let about = "All, those to come too, and the recorder as a whole; else those below.";
        form.toggle("all", "  All of them", only.is_none(), about);
        let first_camera = form.lines().len();
        let mut others = only.clone().unwrap_or_default();
        let mut cameras = Vec::new();
        for camera in &store.snapshot.cameras {
            let has = only.as_ref().is_some_and(|set| set.contains(&camera.uuid));
            let about = "Counts only if it is not for all of them.";
            form.toggle(CAMERA, &format!("  {}", camera.name), has, about);
            cameras.push(camera.uuid);
            others.remove(&camera.uuid);
        }
        let mut this = UserForm {
            stored: stored.map(|u| u.id),
            name: stored.map_or_else(String::new, |u| u.name.clone()),
            form,
            cameras,
            first_camera,
            others,
        };
        this.judge(store);
        this
    }

    fn judge(&mut self, store: &Store) {
        let mine = self.stored;
        let names: Vec<String> = store
            .users
            .iter()
            .filter(|u| Some(u.id) != mine)
            .map(|u| u.name.to_ascii_lowercase())
            .collect();
        self.form.judge(|form, line| wrong(form, line, &names));
    }

    fn permissions(&self) -> Permissions {
        let granted = MAY.iter().filter(|(p, _, _)| self.form.is_on(p.as_str()));
        granted.map(|(p, _, _)| *p).collect()
    }

    /// Shows what a permission includes as given, and takes away what rests on one that was taken.
    fn complete(&mut self) {
        let at = self.form.focus();
        let id = self.form.lines().get(at).map(|l| l.id);
        let Some((permission, _, _)) = MAY.iter().find(|(p, _, _)| Some(p.as_str()) == id) else {
            return;
        };
        let mut set = self.permissions();
        match self.form.is_on(permission.as_str()) {
            true => set.insert(*permission),
            false => set.remove(*permission),
        }
        for index in 0..self.form.lines().len() {
            let id = self.form.lines()[index].id;
            if let Some((p, _, _)) = MAY.iter().find(|(p, _, _)| p.as_str() == id) {
                self.form.line_mut(index).turn(set.has(*p));
            }
        }
    }

    fn cameras(&self) -> Cameras {
        if self.form.is_on("all") {
            return Cameras::All;
        }
        let lines = self.form.lines().iter().skip(self.first_camera);
        let chosen = lines.zip(&self.cameras).filter(|(l, _)| l.is_on());
        Cameras::Only(
            chosen
                .map(|(_, uuid)| *uuid)
                .chain(self.others.iter().copied())
                .collect(),
        )
    }

    fn write(&mut self, store: &mut Store) -> Result<String, String> {
        let name = self.form.get("name");
        let typed = self.form.get("password");
        let hash = match typed.is_empty() {
            true => None,
            false => Some(hash(&typed)?),
        };
        let stored = store
            .users
            .iter()
            .find(|u| Some(u.id) == self.stored)
            .cloned();
        match (self.stored, stored) {
            (None, _) => store.make_user(NewUser {
                name: name.clone(),
                password_hash: hash,
                permissions: self.permissions(),
                cameras: self.cameras(),
                ..NewUser::default()
            })?,
            (Some(_), None) => return Err("somebody has deleted it meanwhile".to_owned()),
            (Some(_), Some(user)) => {
                let disabled = self.form.is_on("disabled");
                let cameras = self.cameras();
                let permissions = self.permissions();
                store.change_user(
                    &user,
                    UserPatch {
                        name: (name != user.name).then(|| name.clone()),
                        password_hash: hash.map(Some),
                        permissions: match permissions == user.permissions {
                            true => Default::default(),
                            false => permissions.into(),
                        },
                        cameras: (cameras != user.cameras).then_some(cameras),
                        disabled: (disabled != user.disabled).then_some(disabled),
                        preferences: None,
                    },
                )?;
            }
        }
        if self.stored.is_none() && self.form.is_on("disabled") {
            let made = store.users.iter().find(|u| u.name == name).cloned();
            if let Some(user) = made {
                let patch = UserPatch {
                    disabled: Some(true),
                    ..UserPatch::default()
                };
                store.change_user(&user, patch)?;
            }
        }
        Ok(name)
    }
}

/// What is wrong with a line.
fn wrong(form: &Form, line: &Line, names: &[String]) -> Option<String> {
    let text = line.get();
    match line.id {
        "name" if names.contains(&text.to_ascii_lowercase()) => {
            Some("there is a user of that name already".to_owned())
        }
        "name" => check_name(&text).err().map(|e| e.to_string()),
        "password" if text.is_empty() => None,
        "password" => password::check(&text).err().map(|e| e.to_string()),
        "again" if text != form.get("password") => Some("these two differ".to_owned()),
        "administer" if form.is_on("administer") && !form.is_on("all") => {
            Some("an administrator is one for all cameras".to_owned())
        }
        _ => None,
    }
}

impl Screen for UserForm {
    fn title(&self) -> String {
        match self.stored {
            Some(_) => format!("user {}", self.name),
            None => "new user".to_owned(),
        }
    }

    fn keys(&self) -> String {
        "Up/Down/Tab move   Space choose   Ctrl-O save   Esc back".to_owned()
    }

    fn key(&mut self, key: Key, store: &mut Store) -> Next {
        if key == Key::Ctrl('o') {
            return self.save(store);
        }
        match self.form.key(key) {
            Did::Pressed("Save") => self.save(store),
            Did::Pressed(_) => {
                let stored = store.users.iter().find(|u| Some(u.id) == self.stored);
                stored.map_or(Next::Stay, ask_to_delete)
            }
            Did::Changed => {
                self.complete();
                self.judge(store);
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
        self.judge(store);
        if let Some(e) = self.form.first_error() {
            return Next::Say(format!("Not saved. {e}."));
        }
        match self.write(store) {
            Ok(name) => {
                self.form.is_saved();
                Next::Close(Some(format!("\"{name}\" is saved.")))
            }
            Err(e) => Next::Say(format!("Not saved: {e}.")),
        }
    }

    fn answered(&mut self, _: char, store: &mut Store) -> Next {
        let stored = store
            .users
            .iter()
            .find(|u| Some(u.id) == self.stored)
            .cloned();
        let Some(user) = stored else {
            return Next::Close(None);
        };
        match store.delete_user(&user) {
            Ok(()) => Next::Close(Some(format!("\"{}\" was deleted.", user.name))),
            Err(e) => Next::Say(format!("It was not deleted: {e}.")),
        }
    }
}
