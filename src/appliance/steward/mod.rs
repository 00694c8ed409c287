//! The steward: a small process that is root, so that the recorder need not be. It does what
//! [`Request`] names and nothing else, one at a time.

mod change;
mod job;
pub mod server;
mod state;

use super::disks::{list, ready};
use super::protocol::{Answer, Power, Refusal, RefusalKind, Request};
use super::system::System;
use super::{Places, apply};
use job::Jobs;
use serde_json::{Value, json};
use std::sync::Arc;

/// See the module.
pub struct Steward {
    places: Places,
    system: Arc<dyn System>,
    jobs: Jobs,
}

impl Steward {
    pub fn new(places: Places, system: Arc<dyn System>) -> Steward {
        Steward {
            places,
            system,
            jobs: Jobs::default(),
        }
    }

    /// Something goes on that must not be cut short.
    pub fn is_busy(&self) -> bool {
        self.jobs.is_busy()
    }

    /// Does what is asked for, with the bytes that came with it.
    pub fn handle(&mut self, request: Request, _bytes: &[u8]) -> Answer {
        match request {
            Request::State => Ok(self.state()),
            Request::Disks => {
                let disks = list::list(&*self.system).map_err(failed)?;
                let disks: Vec<Value> = disks.iter().map(|d| d.to_json(&self.places)).collect();
                Ok(json!({ "disks": disks }))
            }
            Request::Job => Ok(json!({ "job": self.jobs.to_json() })),
            Request::Format { disk, confirm } => {
                let device = ready::to_be_formatted(&*self.system, &disk, &confirm)?;
                let (system, places) = (self.system.clone(), self.places.clone());
                self.jobs.start("format", move |step| {
                    // What was looked at may have been unplugged since; its file would be another's.
                    step(&format!("making a file system on {}", device.name));
                    ready::make_file_system(&*system, &device.path())?;
                    step("taking it into use");
                    ready::mount_settled(&*system, &places, &device.name)
                })
            }
            Request::Mount { disk } => {
                let (system, places) = (self.system.clone(), self.places.clone());
                self.jobs.start("mount", move |step| {
                    step(&format!("checking and mounting {disk}"));
                    ready::mount(&*system, &places, &disk)
                })
            }
            Request::Unmount { disk } => {
                let (system, places) = (self.system.clone(), self.places.clone());
                self.jobs.start("unmount", move |step| {
                    step(&format!("letting {disk} go"));
                    ready::unmount(&*system, &places, &disk)
                })
            }
            Request::Change { settings } => change::change(&*self.system, &self.places, &settings),
            Request::Power { action } => self.power(action),
            Request::Reset {
                confirm,
                recordings,
            } => self.reset(&confirm, recordings),
            Request::Lamp { pattern } => state::show(&self.places, pattern),
            _ => Err(Refusal::new(RefusalKind::Bad, "that is not known here")),
        }
    }

    fn power(&self, action: Power) -> Answer {
        if self.jobs.is_busy() {
            return Err(Refusal::new(
                RefusalKind::Conflict,
                "a disk or an update is being worked at; wait for that",
            ));
        }
        let (verb, message) = match action {
            Power::Reboot => ("reboot", "the machine starts again, in about a minute"),
            Power::PowerOff => ("poweroff", "the machine is off once its lamp shows so"),
        };
        self.system
            .run("systemctl", &["--no-block", verb])
            .map_err(failed)?;
        Ok(json!({ "message": message }))
    }

    /// Forgets what was set; what else is to go is noted, and goes at the next start, before the recorder's.
    fn reset(&self, confirm: &str, recordings: bool) -> Answer {
        let hostname = apply::load(&self.places).settings().hostname().to_owned();
        if confirm != hostname {
            let message =
                format!("to reset this machine, `confirm` must be {hostname:?}, its name");
            return Err(Refusal::new(RefusalKind::Conflict, message));
        }
        let note = if recordings {
            "everything\n"
        } else {
            "settings\n"
        };
        apply::write_durably(&self.places.reset(), note.as_bytes(), 0o600)
            .map_err(|e| failed(e.to_string()))?;
        self.power(Power::Reboot)
    }
}

fn failed(message: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Failed, message)
}

#[cfg(test)]
mod tests;
