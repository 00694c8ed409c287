//! A version that is on trial: it is found good once the page is served and every camera that was recorded
//! before it is recorded again, and given up after a time. And what the board's lamp shows.
//!
//! The steward says at the start whether this is a trial; it also looks whether the page is served, before it
//! notes that the version is good. On a machine that is no appliance nothing of this happens.

use super::Nvr;
use super::port::{Severity, StewardId};
use crate::appliance::protocol::{Answer, Lamp, RefusalKind, Request};
use crate::time::{Monotonic, Now};
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

/// After so long a version that does not record what it should is given up.
pub const TRIAL_LIMIT: Duration = Duration::from_secs(600);

/// How often it is looked at, and the steward asked again that did not answer.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Default)]
pub struct Trial {
    step: Step,
    /// What of this was asked of the steward, and not answered.
    asked: Option<StewardId>,
    next: Option<Monotonic>,
    /// What the lamp was last told to show, if this is an appliance.
    lamp: Option<Lamp>,
    lamp_asked: Option<StewardId>,
    is_appliance: bool,
}

#[derive(Debug, Default)]
enum Step {
    /// The steward was not asked, or did not answer.
    #[default]
    New,
    /// Until then these have to be recorded.
    Trying {
        cameras: BTreeSet<Uuid>,
        deadline: Monotonic,
    },
    /// The steward is to note that it is good.
    Marking {
        deadline: Monotonic,
    },
    /// It is given up.
    GivingUp,
    Over,
}

impl Trial {
    pub fn next_timeout(&self) -> Option<Monotonic> {
        self.next
    }
}

impl Nvr {
    /// Looks at the trial, if that is due. Called while it runs.
    pub(super) fn run_trial(&mut self, now: Now) {
        self.show_lamp();
        let due = match self.trial.next {
            Some(next) => next <= now.monotonic,
            None => matches!(self.trial.step, Step::New),
        };
        if !due || self.trial.asked.is_some() {
            return;
        }
        let request = match &self.trial.step {
            Step::New => Some(Request::Trial),
            Step::Trying { cameras, deadline } => {
                let missing = self.not_recorded(cameras);
                match missing.is_empty() {
                    true => {
                        self.trial.step = Step::Marking {
                            deadline: *deadline,
                        };
                        Some(Request::MarkGood)
                    }
                    false if now.monotonic >= *deadline => Some(self.give_up(&missing.join(", "))),
                    false => None,
                }
            }
            Step::Marking { deadline } if now.monotonic >= *deadline => {
                Some(self.give_up("the page, which is not served"))
            }
            Step::Marking { .. } => Some(Request::MarkGood),
            Step::GivingUp => {
                let why = "it did not record as before".to_owned();
                Some(Request::FallBack { why })
            }
            Step::Over => {
                self.trial.next = None;
                return;
            }
        };
        self.trial.asked = request.map(|request| self.out.steward(request, Vec::new()));
        self.trial.next = Some(now.monotonic + LOOK_INTERVAL);
        self.wake_at(self.trial.next);
    }

    fn give_up(&mut self, missing: &str) -> Request {
        self.trial.step = Step::GivingUp;
        let why = format!(
            "after {} minutes it lacked {missing}",
            TRIAL_LIMIT.as_secs() / 60
        );
        let message = format!("this version is given up for the one before: {why}");
        self.out.log(Severity::Error, "update-failed", message);
        Request::FallBack { why }
    }

    /// The names of those cameras of which nothing is being recorded. One that was removed, or is not to be
    /// recorded any more, is not waited for.
    fn not_recorded(&self, cameras: &BTreeSet<Uuid>) -> Vec<String> {
        let lacks = |c: &&crate::db::Camera| {
            let mut streams = c.streams.iter().filter_map(|s| self.streams.get(&s.id));
            let wanted = c.removed.is_none() && streams.clone().any(|s| s.settings.record);
            wanted && !streams.any(|s| s.recorder.is_recording())
        };
        let of_them = self.cameras.iter().filter(|c| cameras.contains(&c.uuid));
        of_them
            .filter(lacks)
            .map(|c| format!("camera {}", c.name))
            .collect()
    }

    /// The steward has answered something that no page asked for.
    pub(super) fn trial_answered(&mut self, now: Now, id: StewardId, answer: &Answer) {
        if self.trial.lamp_asked == Some(id) {
            self.trial.lamp_asked = None;
            if answer.is_err() {
                // Shown again when something changes.
                self.trial.lamp = None;
                self.trial.is_appliance = false;
            }
            return;
        }
        if self.trial.asked != Some(id) {
            return;
        }
        self.trial.asked = None;
        let over = match (&self.trial.step, answer) {
            (_, Err(refusal)) => {
                matches!(refusal.kind, RefusalKind::NoAppliance)
                // There is nothing to be tried here.
                || (matches!(self.trial.step, Step::New) && refusal.kind == RefusalKind::Conflict)
            }
            (Step::New, Ok(told)) => {
                self.trial.is_appliance = true;
                let trying = told["trying"] == serde_json::Value::Bool(true);
                let cameras = told["cameras"].as_array().cloned().unwrap_or_default();
                let cameras = cameras
                    .iter()
                    .filter_map(|c| c.as_str()?.parse().ok())
                    .collect();
                if trying {
                    let message = "this version is on trial: it is kept if every camera is recorded as before";
                    self.out
                        .log(Severity::Notice, "update-trial", message.to_owned());
                    let deadline = now.monotonic + TRIAL_LIMIT;
                    self.trial.step = Step::Trying { cameras, deadline };
                }
                !trying
            }
            (Step::Marking { .. }, Ok(_)) => {
                let message = "this version is good, and is kept";
                self.out
                    .log(Severity::Notice, "update-good", message.to_owned());
                true
            }
            // The machine is about to start again.
            (Step::GivingUp, Ok(_)) => true,
            (Step::Trying { .. } | Step::Over, Ok(_)) => false,
        };
        if let (Err(refusal), false) = (answer, over) {
            let message = format!("the system's steward: {refusal}");
            self.out.log(Severity::Info, "steward", message);
        }
        if over {
            self.trial.is_appliance |= matches!(answer, Err(r) if r.kind == RefusalKind::Conflict);
            self.trial.step = Step::Over;
            self.trial.next = None;
        }
        self.show_lamp();
    }

    fn show_lamp(&mut self) {
        if !self.trial.is_appliance || self.trial.lamp_asked.is_some() {
            return;
        }
        let pattern = self.lamp();
        if self.trial.lamp != Some(pattern) {
            self.trial.lamp = Some(pattern);
            let id = self.out.steward(Request::Lamp { pattern }, Vec::new());
            self.trial.lamp_asked = Some(id);
        }
    }

    fn lamp(&self) -> Lamp {
        let wanted = || self.streams.values().filter(|s| s.settings.record);
        let used: BTreeSet<_> = wanted().map(|s| s.dir()).collect();
        let ready = |id| {
            self.dirs
                .get(id)
                .is_some_and(super::directory::SampleDirectory::is_ready)
        };
        if wanted().next().is_none() {
            Lamp::Idle
        } else if !used.iter().any(ready) {
            Lamp::NoDisk
        } else if wanted().all(|s| s.recorder.is_recording()) {
            Lamp::Recording
        } else {
            Lamp::Fault
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appliance::protocol::Refusal;
    use crate::nvr::web::client::Site;
    use serde_json::json;

    fn asked(site: &Site) -> Vec<&Request> {
        let asked = site.stewarded.iter().map(|(request, _)| request);
        asked
            .filter(|r| !matches!(r, Request::Lamp { .. }))
            .collect()
    }

    /// A recorder that has begun, of which the steward says that it is on trial with its camera.
    fn on_trial(cameras: serde_json::Value) -> Site {
        let (mut site, _, _) = Site::with_users();
        site.nvr.trial = Trial::default();
        site.stewarded.clear();
        site.steward_answers.clear();
        site.steward_answers
            .push_back(Ok(json!({ "trying": true, "cameras": cameras })));
        for _ in 0..400 {
            site.steward_answers.push_back(Ok(json!({})));
        }
        site.nvr.wake_at(Some(site.now.monotonic));
        site.pass(Duration::from_secs(1));
        site
    }

    #[test]
    fn without_a_steward_nothing_is_asked_again() {
        let (mut site, _, _) = Site::with_users();
        let before = site.stewarded.len();
        for _ in 0..100 {
            site.pass(Duration::from_secs(60));
        }
        assert_eq!(site.stewarded.len(), before);
        assert!(before <= 1, "{:?}", site.stewarded);
    }

    #[test]
    fn one_that_lacks_no_camera_is_marked_good() {
        // It was removed since, or never was.
        let mut site = on_trial(json!(["3b1a7d3e-40e2-4ba4-8d5b-77ab1c53ea65"]));
        assert_eq!(asked(&site), [&Request::Trial]);
        site.pass(LOOK_INTERVAL);
        assert_eq!(asked(&site), [&Request::Trial, &Request::MarkGood]);
        site.pass(TRIAL_LIMIT * 2);
        assert_eq!(asked(&site).len(), 2);
    }

    #[test]
    fn one_that_does_not_record_a_camera_is_given_up_after_a_time() {
        let (site, _, _) = Site::with_users();
        let uuid = site.nvr.cameras[0].uuid;
        let mut site = on_trial(json!([uuid]));
        let mut passed = Duration::ZERO;
        while passed < TRIAL_LIMIT - LOOK_INTERVAL * 2 {
            site.pass(LOOK_INTERVAL);
            passed += LOOK_INTERVAL;
            assert_eq!(asked(&site), [&Request::Trial]);
        }
        for _ in 0..4 {
            site.pass(LOOK_INTERVAL);
        }
        let asked = asked(&site);
        assert!(
            matches!(asked[1], Request::FallBack { why } if why.contains("camera ")),
            "{asked:?}"
        );
        assert_eq!(asked.len(), 2);
    }

    #[test]
    fn one_whose_page_is_not_served_is_given_up_too() {
        let mut site = on_trial(json!([]));
        site.steward_answers.clear();
        let not_yet = || Err(Refusal::new(RefusalKind::Failed, "the page is not served"));
        for _ in 0..600 {
            site.steward_answers.push_back(not_yet());
        }
        for _ in 0..200 {
            site.pass(LOOK_INTERVAL);
        }
        let asked = asked(&site);
        let marks = asked.iter().filter(|r| ***r == Request::MarkGood).count();
        assert!((100..=125).contains(&marks), "{marks}");
        // The steward did not take that either, and is asked again.
        let gave_up = asked
            .iter()
            .filter(|r| matches!(r, Request::FallBack { .. }))
            .count();
        assert!(gave_up > 1, "{gave_up}");
    }
}
