//! What another program changes in the database beside the recorder: `moonfire-nvr config` makes,
//! changes and removes cameras, limits and sample directories.
//!
//! The database is asked every few seconds whether another program has written to it, which is a look at
//! shared memory. Only if so is all read again and brought in like a change over HTTP: what did not
//! change goes on. Users' rights are looked at on their own ([`super::web`]).

use super::{DbPurpose, Nvr, Phase};
use crate::db::{self, Removed, Reply, SessionReply, SessionRequest, Snapshot};
use crate::nvr::port::Severity;
use crate::time::{Monotonic, Now};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often is asked: a change is in force so much later at most, and what the database takes for its
/// answers.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug, Default)]
pub struct Beside {
    /// The shell's database is a file, which others may write to.
    is_shared: bool,
    /// What it said when it was asked last.
    seen: Option<i64>,
    /// A question is under way.
    asking: bool,
    next: Monotonic,
}

impl Beside {
    pub fn next_timeout(&self) -> Option<Monotonic> {
        (self.is_shared && !self.asking).then_some(self.next)
    }
}

impl Nvr {
    /// Tells that other programs may write to the database: the core then looks for it.
    pub fn mind_other_programs(&mut self) {
        self.beside.is_shared = true;
    }

    pub(super) fn look_beside(&mut self, now: Now) {
        let due = self.beside.next_timeout();
        if self.phase != Phase::Running || due.is_none_or(|t| now.monotonic < t) {
            return;
        }
        self.ask_beside(db::Request::Sessions(SessionRequest::ChangesOfOthers));
    }

    fn ask_beside(&mut self, question: db::Request) {
        self.beside.asking = true;
        let id = self.out.db(question);
        self.requests.insert(id, DbPurpose::Beside);
    }

    /// The database has answered. What it cannot say it is asked again, in full.
    pub(super) fn beside_answered(&mut self, now: Now, result: Result<Reply, db::Error>) {
        self.beside.asking = false;
        self.beside.next = now.monotonic + CHECK_INTERVAL;
        match result {
            Ok(Reply::Sessions(SessionReply::ChangesOfOthers(version))) => {
                // The first answer is no news of a change, but one may have been made since the start.
                if self.beside.seen.replace(version) != Some(version) {
                    self.ask_beside(db::Request::Snapshot);
                }
            }
            Ok(Reply::Snapshot(snapshot)) => self.changed_beside(now, &snapshot),
            _ => self.beside.seen = None,
        }
        self.wake_at(self.beside.next_timeout());
    }

    fn changed_beside(&mut self, now: Now, snapshot: &Snapshot) {
        if self.phase != Phase::Running || !self.differs(snapshot) {
            return;
        }
        self.out.log(
            Severity::Notice,
            "configuration",
            "cameras or sample directories were changed by another program (`moonfire-nvr config`); \
             the change is in force"
                .to_owned(),
        );
        self.cameras_changed(now, snapshot);
    }

    /// Whether it says something else than what is in force, sums and counts aside.
    fn differs(&self, snapshot: &Snapshot) -> bool {
        let mut cameras = snapshot.cameras.clone();
        self.at_their_addresses(&mut cameras);
        let deleting = |c: &&db::Camera| c.removed == Some(Removed::Deleting);
        let known = self
            .cameras
            .iter()
            .chain(self.removed.iter().filter(deleting));
        let known: BTreeMap<i32, &db::Camera> = known.map(|c| (c.id, c)).collect();
        let is_known = |c: &db::Camera| known.get(&c.id).is_some_and(|k| has_settings_of(k, c));
        let is_new = |d: &db::Dir| d.configured && !self.dirs.contains_key(&d.id);
        known.len() != snapshot.cameras.len()
            || !cameras.iter().all(is_known)
            || snapshot.dirs.iter().any(is_new)
    }
}

/// Whether somebody has set the same of both.
fn has_settings_of(a: &db::Camera, b: &db::Camera) -> bool {
    let said = |a: &db::Stream, b: &db::Stream| {
        (a.id, &a.url, a.transport, a.record) == (b.id, &b.url, b.transport, b.record)
            && (a.retain_bytes, a.retain_days, a.dir) == (b.retain_bytes, b.retain_days, b.dir)
    };
    (&a.name, &a.description, &a.username) == (&b.name, &b.description, &b.username)
        && (&a.password, a.in_file, a.removed) == (&b.password, b.in_file, b.removed)
        && a.streams.len() == b.streams.len()
        && a.streams.iter().zip(&b.streams).all(|(a, b)| said(a, b))
}

#[cfg(test)]
mod tests {
    use super::super::web::client::Site;
    use super::*;
    use crate::db::{CameraPatch, CameraRequest, StreamChange, StreamPatch};
    use crate::nvr::port::Event;

    /// A site whose database is looked at, after the first look.
    fn site() -> Site {
        let (mut site, _, _) = Site::with_users();
        site.nvr.mind_other_programs();
        site.pass(CHECK_INTERVAL);
        site.network.clear();
        site
    }

    /// Another program does this.
    fn does(site: &mut Site, request: CameraRequest) -> db::CameraReply {
        let request = db::Request::Cameras(request);
        let Ok(Reply::Cameras(reply)) = site.database.handle(request) else {
            panic!("the database refuses it");
        };
        // The tests have one connection; another program has another.
        site.nvr.beside.seen = Some(-1);
        reply
    }

    fn garden() -> CameraPatch {
        CameraPatch {
            name: Some("garden".to_owned()),
            main: StreamChange::Put(StreamPatch {
                url: Some("rtsp://192.0.2.7/main".to_owned()),
                ..StreamPatch::default()
            }),
            ..CameraPatch::default()
        }
    }

    fn told(site: &Site) -> usize {
        let about = |r: &&crate::nvr::port::LogRecord| r.message.contains("another program");
        site.log.iter().filter(about).count()
    }

    #[test]
    fn a_camera_is_taken_in_within_seconds_and_the_others_go_on() {
        let mut site = site();
        assert_eq!((told(&site), site.nvr.streams.len()), (0, 2));
        let lookups = |site: &mut Site| {
            let actions = site.network.drain(..);
            actions.count()
        };
        let made = does(&mut site, CameraRequest::Make(Box::new(garden())));
        site.pass(CHECK_INTERVAL);
        assert_eq!((told(&site), site.nvr.streams.len()), (1, 3));
        site.pass(Duration::from_secs(1));
        // The new one is asked, and nobody else anew.
        assert_eq!(lookups(&mut site), 1);
        let name = |site: &Site| site.nvr.cameras[2].name.clone();
        assert_eq!(name(&site), "garden");

        let renamed = CameraPatch {
            name: Some("orchard".to_owned()),
            ..CameraPatch::default()
        };
        let camera = made.camera;
        let patch = Box::new(renamed);
        does(&mut site, CameraRequest::Change { camera, patch });
        site.pass(CHECK_INTERVAL);
        assert_eq!((told(&site), name(&site)), (2, "orchard".to_owned()));
        let recordings = db::Removed::Kept;
        does(&mut site, CameraRequest::Remove { camera, recordings });
        site.pass(CHECK_INTERVAL);
        assert_eq!(told(&site), 3);
        assert!(site.nvr.cameras[2].removed.is_some());
        // What the recorder writes itself is no news.
        site.pass(Duration::from_secs(120));
        assert_eq!(told(&site), 3);
    }

    #[test]
    fn a_change_of_users_disturbs_nothing() {
        let mut site = site();
        site.make_user("carl", serde_json::json!({}));
        site.nvr.beside.seen = Some(-1);
        site.pass(CHECK_INTERVAL * 2);
        assert_eq!(told(&site), 0);
        assert!(site.network.is_empty());
    }

    #[test]
    fn a_database_that_naps_is_asked_once_and_in_full_afterwards() {
        let mut site = site();
        site.database_naps = true;
        site.pass(CHECK_INTERVAL * 5);
        let ours =
            |r: &db::Request| matches!(r, db::Request::Sessions(SessionRequest::ChangesOfOthers));
        let asked: Vec<_> = site.asked.drain(..).filter(|(_, r)| ours(r)).collect();
        assert_eq!(asked.len(), 1);
        site.database_naps = false;
        does(&mut site, CameraRequest::Make(Box::new(garden())));
        let (id, result) = (asked[0].0, Err(db::Error::Full));
        site.tell(Event::Db { id, result });
        site.pass(CHECK_INTERVAL);
        assert_eq!((told(&site), site.nvr.streams.len()), (1, 3));
        assert!(site.log.iter().all(|r| r.event != "database"));
    }
}
