//! The steward: a small process that is root, so that the recorder need not be. It does what
//! [`Request`] names and nothing else, one at a time.

mod change;
mod job;
pub mod server;
mod state;
mod stick;

use super::disks::{list, ready};
use super::protocol::{Answer, Power, Refusal, RefusalKind, Request};
use super::system::System;
use super::{Places, apply};
use crate::appliance::update::{Card, Writer};
use job::Jobs;
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// So long the page may take.
const PAGE_LIMIT: Duration = Duration::from_secs(5);

/// So much of it is looked at.
const PAGE_HEAD_BYTES: usize = 64;

/// See the module.
pub struct Steward {
    places: Places,
    system: Arc<dyn System>,
    jobs: Jobs,
    /// An update that is being written.
    writer: Option<Writer>,
    sticks: stick::Sticks,
    /// Where the page is served.
    page: SocketAddr,
    /// What the machine is to do once whoever asked for it has the answer: afterwards nobody may be left to give it.
    turn: Option<Power>,
}

impl Steward {
    pub fn new(places: Places, system: Arc<dyn System>) -> Steward {
        Steward {
            places,
            system,
            jobs: Jobs::default(),
            writer: None,
            sticks: stick::Sticks::default(),
            page: SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
            turn: None,
        }
    }

    /// Where the page is looked for before a version is found good, instead of port 80.
    pub fn with_page(mut self, page: SocketAddr) -> Steward {
        self.page = page;
        self
    }

    /// Something goes on that must not be cut short.
    pub fn is_busy(&self) -> bool {
        self.jobs.is_busy() || self.writer.is_some()
    }

    /// Does what is asked for, with the bytes that came with it.
    pub fn handle(&mut self, request: Request, bytes: &[u8]) -> Answer {
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
                    ready::give_up(&*system, &places, &disk)
                })
            }
            Request::Change { settings } => change::change(&*self.system, &self.places, &settings),
            Request::Power { action } => self.power(action),
            Request::Reset {
                confirm,
                recordings,
            } => self.reset(&confirm, recordings),
            Request::Lamp { pattern } => state::show(&self.places, pattern),
            Request::UpdateBegin { bytes } => {
                self.not_busy()?;
                self.writer = None;
                self.writer = Some(Writer::begin(&self.places, bytes)?);
                Ok(json!({}))
            }
            Request::UpdatePiece => {
                let result = match &mut self.writer {
                    Some(writer) => writer.piece(bytes),
                    None => Err(no_update()),
                };
                if result.is_err() {
                    self.writer = None;
                }
                result.map(|()| json!({}))
            }
            Request::UpdateEnd => {
                let writer = self.writer.take().ok_or_else(no_update)?;
                Ok(json!({ "version": writer.end()? }))
            }
            Request::Install { file } => {
                self.not_busy()?;
                self.writer = None;
                let (system, places) = (self.system.clone(), self.places.clone());
                self.jobs.start_measured("install", move |step| {
                    stick::install(&*system, &places, &file, step)
                })
            }
            Request::StartUpdate { cameras } => {
                self.not_busy()?;
                Card::find(&self.places)?.start(cameras)?;
                self.power(Power::Reboot)
            }
            Request::Trial => Ok(Card::find(&self.places)?.trial()),
            Request::MarkGood => {
                served(self.page)?;
                Card::find(&self.places)?.mark_good()?;
                Ok(json!({}))
            }
            Request::FallBack { why } => {
                self.not_busy()?;
                Card::find(&self.places)?.fall_back(&why)?;
                self.power(Power::Reboot)
            }
        }
    }

    fn not_busy(&self) -> Result<(), Refusal> {
        let message = "a disk or an update is being worked at; wait for that";
        match self.jobs.is_busy() {
            true => Err(Refusal::new(RefusalKind::Conflict, message)),
            false => Ok(()),
        }
    }

    fn power(&mut self, action: Power) -> Answer {
        self.not_busy()?;
        self.turn = Some(action);
        let message = match action {
            Power::Reboot => "the machine starts again, in about a minute",
            Power::PowerOff => "the machine is off once its lamp shows so",
        };
        Ok(json!({ "message": message }))
    }

    /// The answer is given: what was announced in it is done.
    fn answered(&mut self) {
        let verb = match self.turn.take() {
            None => return,
            Some(Power::Reboot) => "reboot",
            Some(Power::PowerOff) => "poweroff",
        };
        if let Err(e) = self.system.run("systemctl", &["--no-block", verb]) {
            eprintln!("{e}");
        }
    }

    /// Forgets what was set; what else is to go is noted, and goes at the next start, before the recorder's.
    fn reset(&mut self, confirm: &str, recordings: bool) -> Answer {
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

/// Looks whether the page is served.
fn served(page: SocketAddr) -> Result<(), Refusal> {
    let look = || -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&page, PAGE_LIMIT)?;
        stream.set_read_timeout(Some(PAGE_LIMIT))?;
        stream.set_write_timeout(Some(PAGE_LIMIT))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut head = vec![0; PAGE_HEAD_BYTES];
        stream.read_exact(&mut head)?;
        Ok(head)
    };
    let head = look().map_err(|e| failed(format!("the page is not served: {e}")))?;
    match head.starts_with(b"HTTP/1.1 200 ") {
        true => Ok(()),
        false => Err(failed("the page is not served: something else answers")),
    }
}

fn no_update() -> Refusal {
    Refusal::new(RefusalKind::Conflict, "no update is being written")
}

fn failed(message: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Failed, message)
}

#[cfg(test)]
mod tests;
