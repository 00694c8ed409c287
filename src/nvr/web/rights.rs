//! Rights that another program takes away while they are being used.
//!
//! What is changed over HTTP counts at once ([`super::changed`]). But `moonfire-nvr users` and `login` write
//! to the database beside the recorder. So while somebody who is signed in watches, is sent a file or
//! waits for something, the database is asked every few seconds whether another program has written to
//! it, which costs it next to nothing; if so, each of them is looked at again. With nobody there, nothing is
//! asked.

use super::{Client, Doing};
use crate::access::{Presented, Principal, SignedIn};
use crate::db::{self, Reply, SessionReply, SessionRequest};
use crate::nvr::{DbPurpose, Nvr};
use crate::time::{Monotonic, Now};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// How often is asked. What is over ends so much later, and what the database takes for its answers.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// What the database is being asked.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Nothing,
    /// Whether another program has changed anything.
    Changes,
    /// Whose this is.
    Whose(Presented),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Rights {
    /// What it said when it was asked last. `None` makes the next answer news.
    seen: Option<i64>,
    stage: Stage,
    /// What is to be looked at again: no more than there are connections.
    left: VecDeque<Presented>,
    next: Monotonic,
}

impl Rights {
    /// When to ask, if `used`: if anybody who is signed in uses a right for longer than a moment.
    pub fn next_timeout(&self, used: bool) -> Option<Monotonic> {
        (used && matches!(self.stage, Stage::Nothing)).then_some(self.next)
    }
}

impl Client {
    /// By what it watches, is sent a file or waits for something.
    pub fn uses(&self) -> Option<&SignedIn> {
        let lasts = match &self.doing {
            Doing::Watching(_) | Doing::Sending(_) => true,
            Doing::Asking(asking) => asking.waits_until().is_some(),
            Doing::Nothing => false,
        };
        self.who.as_deref().filter(|_| lasts)
    }
}

impl Nvr {
    /// Somebody asks for something that may last.
    pub(super) fn mind_rights(&mut self, now: Now, who: &Principal) {
        if who.user().is_none() {
            return;
        }
        let soon = now.monotonic + CHECK_INTERVAL;
        if self.web.next_rights().is_none() {
            self.web.rights.next = soon;
        }
        self.wake_at(Some(soon));
    }

    pub(super) fn check_rights(&mut self, now: Now) {
        let due = self.web.next_rights();
        if due.is_none_or(|t| now.monotonic < t) {
            return;
        }
        self.web.rights.next = now.monotonic + CHECK_INTERVAL;
        let question = db::Request::Sessions(SessionRequest::ChangesOfOthers);
        self.ask_about_rights(Stage::Changes, question);
    }

    fn ask_about_rights(&mut self, stage: Stage, question: db::Request) {
        self.web.rights.stage = stage;
        let id = self.out.db(question);
        self.requests.insert(id, DbPurpose::Rights);
    }

    /// The database has answered. What it cannot say it is asked again, in full.
    pub(in crate::nvr) fn rights_answered(&mut self, now: Now, result: Result<Reply, db::Error>) {
        let web = &mut self.web;
        match (std::mem::take(&mut web.rights.stage), result) {
            (Stage::Changes, Ok(Reply::Sessions(SessionReply::ChangesOfOthers(seen)))) => {
                if web.rights.seen.replace(seen) != Some(seen) {
                    web.signed_in.forget_all();
                    let used = web.clients.values().filter_map(Client::uses);
                    let used: BTreeSet<Presented> = used.map(|who| who.presented).collect();
                    web.rights.left = used.into_iter().collect();
                }
            }
            (Stage::Whose(shown), Ok(Reply::Sessions(SessionReply::SignedIn(found)))) => {
                let same =
                    |old: &SignedIn| found.as_ref().is_some_and(|new| may_the_same(old, new));
                self.end_views(now, |old| old.presented == shown && !same(old));
            }
            _ => {
                web.rights.seen = None;
                web.rights.left.clear();
            }
        }
        match self.web.rights.left.pop_front() {
            Some(shown) => {
                let question = self.resume(now, shown);
                self.ask_about_rights(Stage::Whose(shown), question);
            }
            None => self.wake_at(self.web.next_rights()),
        }
    }
}

fn may_the_same(old: &SignedIn, new: &SignedIn) -> bool {
    old.user.id == new.user.id
        && old.user.cameras == new.user.cameras
        && old.permissions() == new.permissions()
}

#[cfg(test)]
mod tests {
    use super::super::client::{Browser, Site};
    use super::*;
    use crate::db::{UserPatch, UserRequest};
    use serde_json::json;

    /// What the database was asked about rights while time passed.
    fn questions(site: &mut Site) -> (usize, usize) {
        site.database_naps = true;
        site.pass(CHECK_INTERVAL);
        let (mut changes, mut whose) = (0, 0);
        while let Some((id, request)) = site.asked.pop_front() {
            match &request {
                db::Request::Sessions(SessionRequest::ChangesOfOthers) => changes += 1,
                db::Request::Sessions(SessionRequest::Resume { .. }) => whose += 1,
                _ => {}
            }
            let result = site.database.handle(request);
            site.tell(crate::nvr::port::Event::Db { id, result });
        }
        site.database_naps = false;
        (changes, whose)
    }

    fn patch(site: &mut Site, name: &str, patch: UserPatch) {
        let list = site.database.handle(db::Request::Users(UserRequest::List));
        let Ok(Reply::Users(db::UserReply::Users(users))) = list else {
            panic!("{list:?}")
        };
        let user = users.iter().find(|u| u.name == name).unwrap().id;
        let patch = Box::new(patch);
        let keep = None;
        let change = UserRequest::Patch { user, patch, keep };
        site.database.handle(db::Request::Users(change)).unwrap();
        // The tests have one connection; another program has another.
        site.nvr.web.rights.seen = Some(-1);
    }

    fn disabled(disabled: bool) -> UserPatch {
        UserPatch {
            disabled: Some(disabled),
            ..UserPatch::default()
        }
    }

    #[test]
    fn nothing_is_asked_while_nobody_who_is_signed_in_watches() {
        let (mut site, _, _) = Site::with_users();
        for _ in 0..5 {
            assert_eq!(questions(&mut site), (0, 0));
        }
        let anybody = crate::config::HttpConfig {
            allow_unauthenticated: vec![crate::access::Permission::ViewLive],
            ..super::super::client::public()
        };
        let mut site = Site::new(vec![anybody]);
        let visitor = site.watch(&Browser::default());
        assert_eq!(questions(&mut site), (0, 0));
        assert!(!site.is_closed(visitor));
    }

    #[test]
    fn what_another_program_takes_away_ends_what_is_being_shown() {
        let (mut site, anna, bert) = Site::with_users();
        let views = [&anna, &bert, &bert].map(|b| site.watch(b));
        let closed = |site: &Site| views.map(|c| site.is_closed(c));
        // At first all are looked at, then none as long as nothing was changed.
        assert_eq!(questions(&mut site), (1, 2));
        assert_eq!(questions(&mut site), (1, 0));
        // What changes nothing of what they may ends nothing.
        let renamed = UserPatch {
            name: Some("robert".to_owned()),
            ..UserPatch::default()
        };
        patch(&mut site, "bert", renamed);
        assert_eq!(questions(&mut site), (1, 2));
        assert_eq!(closed(&site), [false; 3]);
        patch(&mut site, "robert", disabled(true));
        site.pass(CHECK_INTERVAL - Duration::from_millis(1));
        assert_eq!(closed(&site), [false; 3]);
        site.pass(Duration::from_millis(1));
        assert_eq!(closed(&site), [false, true, true]);
        // Nor does he get anything else, though he was remembered.
        site.get(&bert, "/api/").refuses(401, "sign in");
        assert_eq!(questions(&mut site), (1, 0));
    }

    #[test]
    fn fewer_cameras_and_fewer_permissions_count_too() {
        let other = UserPatch {
            cameras: Some(crate::access::Cameras::Only([uuid::Uuid::nil()].into())),
            ..UserPatch::default()
        };
        let fewer = UserPatch {
            permissions: serde_json::from_value(json!({ "viewRecordings": false })).unwrap(),
            ..UserPatch::default()
        };
        for change in [other, fewer] {
            let (mut site, _, bert) = Site::with_users();
            let view = site.watch(&bert);
            patch(&mut site, "bert", change);
            site.pass(CHECK_INTERVAL);
            assert!(site.is_closed(view));
        }
    }

    #[test]
    fn a_reload_ends_views_only_if_it_changes_how_the_page_is_served() {
        let (mut site, anna, bert) = Site::with_users();
        let view = site.watch(&bert);
        let reload = |site: &mut Site, config: crate::config::Config| {
            site.tell(crate::nvr::port::Event::Reload(Box::new(config)));
        };
        let mut config = site.nvr.config.clone();
        config.sample_dirs.push("/another".into());
        reload(&mut site, config.clone());
        assert!(!site.is_closed(view));
        assert_eq!(site.nvr.config.sample_dirs, config.sample_dirs);
        config.http[0].names.push("attic".to_owned());
        reload(&mut site, config);
        assert!(site.is_closed(view));
        site.get(&anna, "/api/").is(200);
    }

    #[test]
    fn a_database_that_does_not_answer_is_asked_again_in_full() {
        let (mut site, _, bert) = Site::with_users();
        let view = site.watch(&bert);
        assert_eq!(questions(&mut site), (1, 1));
        site.database_naps = true;
        site.pass(CHECK_INTERVAL);
        site.pass(CHECK_INTERVAL * 3);
        let asked = site.asked.drain(..);
        let ours = asked
            .filter(|(_, r)| matches!(r, db::Request::Sessions(SessionRequest::ChangesOfOthers)));
        let ids: Vec<_> = ours.map(|(id, _)| id).collect();
        assert_eq!(ids.len(), 1, "one question at a time");
        let (id, result) = (ids[0], Err(db::Error::Full));
        site.tell(crate::nvr::port::Event::Db { id, result });
        assert!(!site.is_closed(view));
        assert!(site.log.iter().all(|r| r.event != "database"));
        assert_eq!(questions(&mut site).1, 1);
    }
}
