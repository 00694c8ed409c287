//! What befalls a world: incidents, their ends, and the healing of everything.

use super::{Board, Todo, World};
use crate::nvr::port::Event;
use crate::sim::clock::BootClock;
use crate::sim::database;
use crate::sim::disk::Health;
use crate::sim::monitor::Broken;
use crate::sim::network::Reach;
use crate::sim::scenario::{BoardEnd, Change, Incident, RECOVERY_BOUND};
use crate::sim::witness::StreamKey;
use crate::time::Duration90k;

impl World<'_> {
    pub(super) fn befall(&mut self, incident: Incident) -> Result<(), Broken> {
        let now = self.clock.world();
        match incident {
            Incident::DiskSlow { .. }
            | Incident::DiskFreeze { .. }
            | Incident::DiskFull { .. }
            | Incident::DiskFails { .. }
            | Incident::DiskFailsNext { .. }
            | Incident::DiskAway { .. } => self.befall_disk(incident),
            Incident::DatabaseSlow { most_ms, .. } => self.store.latency_ms = (1, most_ms),
            Incident::DatabaseFailsNext { requests } => self.store.fails_next = requests,
            Incident::ClockError { secs } => self.clock.set_error(Duration90k::from_secs(secs)),
            Incident::ClockDrift { ppm } => self.clock.set_drift(ppm),
            Incident::Configure(change) => {
                let interrupted = self.scenario.change(&change);
                if let Change::Move { camera, kind, disk } = change {
                    self.share_trouble((camera, kind), disk);
                }
                return self.reload(interrupted);
            }
            Incident::Board { end, time, clock } => match end {
                BoardEnd::Shutdown => return self.stop(Some((time, clock))),
                BoardEnd::PowerCut | BoardEnd::Kill => {
                    self.crash(end == BoardEnd::PowerCut)?;
                    self.agenda.enter(now + time, Todo::Boot(clock));
                }
            },
            Incident::LongOff { time, clock } => {
                self.crash(true)?;
                self.agenda.retain(|t| !matches!(t, Todo::Boot(_)));
                self.agenda.enter(now + time, Todo::Boot(clock));
            }
            of_camera => self.befall_camera(of_camera),
        }
        Ok(())
    }

    fn befall_camera(&mut self, incident: Incident) {
        let now = self.clock.world();
        match incident {
            Incident::Reach { camera, reach, .. } => self.network.cameras[camera].reach = reach,
            Incident::Lookup { camera, time } => {
                self.network.cameras[camera].lookup_fails_until = now + time;
            }
            Incident::Address { camera } => {
                self.network.strand(camera);
                self.network.cameras[camera].readdress();
            }
            Incident::Stall { camera, time } => {
                self.network.cameras[camera].stalled_until = now + time;
            }
            Incident::Hangup { camera, how } => self.network.hang_up(now, camera, how),
            Incident::Reboot { camera, .. } => self.network.switch_off(now, camera),
            Incident::Flaw { camera, flaw, .. } => {
                self.network
                    .switch_on(now, camera, vec![flaw], &mut self.witness);
            }
            _ => (),
        }
    }

    fn befall_disk(&mut self, incident: Incident) {
        let now = self.clock.world();
        match incident {
            Incident::DiskSlow { disk, most_ms, .. } => {
                self.disks.disk_mut(disk).health.latency_ms = (0, most_ms);
            }
            Incident::DiskFreeze { disk, time } => {
                self.disks.disk_mut(disk).health.frozen_until = now + time;
            }
            Incident::DiskFull { disk, .. } => {
                let file_system = &mut self.disks.disk_mut(disk).file_system;
                file_system.ballast += file_system.free();
            }
            Incident::DiskFails { disk, .. } => self.disks.disk_mut(disk).health.fails = true,
            Incident::DiskFailsNext { disk, operations } => {
                self.disks.disk_mut(disk).health.fails_next = operations;
            }
            Incident::DiskAway { disk, shows, .. } => self.disks.pull_out(disk, shows),
            _ => (),
        }
    }

    /// An incident that lasts is over.
    pub(super) fn relieve(&mut self, incident: &Incident) {
        let now = self.clock.world();
        match *incident {
            Incident::Reach { camera, .. } => {
                self.network.cameras[camera].reach = Reach::Reachable;
            }
            Incident::Reboot { camera, .. } => {
                let flaws = self.network.cameras[camera].flaws.clone();
                self.network
                    .switch_on(now, camera, flaws, &mut self.witness);
            }
            Incident::Flaw { camera, .. } => {
                let flaws = self.scenario.cameras[camera].flaws.clone();
                self.network
                    .switch_on(now, camera, flaws, &mut self.witness);
            }
            Incident::DiskSlow { disk, .. } => {
                self.disks.disk_mut(disk).health.latency_ms = Health::good().latency_ms;
            }
            Incident::DiskFull { disk, .. } => self.disks.disk_mut(disk).file_system.ballast = 0,
            Incident::DiskFails { disk, .. } => self.disks.disk_mut(disk).health.fails = false,
            Incident::DiskAway { disk, .. } => self.disks.put_back(disk),
            Incident::DatabaseSlow { .. } => self.store.latency_ms = database::USUAL_LATENCY_MS,
            // The others end by themselves.
            _ => (),
        }
    }

    /// Everything is in order from now on.
    pub(super) fn heal(&mut self) -> Result<(), Broken> {
        let now = self.clock.world();
        for i in 0..self.network.cameras.len() {
            let camera = &mut self.network.cameras[i];
            camera.reach = Reach::Reachable;
            camera.lookup_fails_until = now;
            camera.stalled_until = now;
            let flaws = self.scenario.cameras[i].flaws.clone();
            if self.network.cameras[i].off || self.network.cameras[i].flaws != flaws {
                self.network.switch_on(now, i, flaws, &mut self.witness);
            }
        }
        for i in 0..self.disks.count() {
            self.disks.put_back(i);
            let disk = self.disks.disk_mut(i);
            disk.health = Health::good();
            disk.file_system.ballast = 0;
        }
        self.store.latency_ms = database::USUAL_LATENCY_MS;
        self.store.fails_next = 0;
        self.helper.fails_one_in = 0;
        self.clock.set_drift(0);
        self.clock.set_error(Duration90k::ZERO);
        if matches!(self.board, Board::Off) {
            self.agenda.retain(|t| !matches!(t, Todo::Boot(_)));
            self.agenda.enter(now, Todo::Boot(BootClock::Right));
        }
        let switched_on = self.scenario.record_all();
        match switched_on.is_empty() {
            true => Ok(()),
            false => self.reload(switched_on),
        }
    }

    /// The recorder is told to read its configuration again; a change of it may interrupt these streams.
    fn reload(&mut self, interrupted: Vec<StreamKey>) -> Result<(), Broken> {
        self.config = self.scenario.config();
        let now = self.clock.world();
        self.viewers.trouble(now, now + RECOVERY_BOUND);
        if !matches!(self.board, Board::On(_)) {
            // It reads it when it starts.
            return Ok(());
        }
        self.reconfigured.extend(interrupted);
        let config = self.config.clone();
        self.deliver_and_watch(Event::Reload(Box::new(config)))
    }

    /// A stream comes to a disk: what troubles that one troubles it.
    fn share_trouble(&mut self, key: StreamKey, disk: usize) {
        let now = self.clock.world();
        for (of, until) in &self.disk_troubles {
            if *of == disk && *until > now {
                self.witness.trouble(key, now, until.since(now));
            }
        }
    }

    /// Tells the witness which streams an incident may cost frames that were delivered.
    pub(super) fn note_trouble(&mut self, incident: &Incident) {
        let now = self.clock.world();
        if incident.interrupts_answers() {
            let time = incident.time() + RECOVERY_BOUND;
            self.viewers.trouble(now, now + time);
        }
        let disk = match *incident {
            // The recorder's budget carries it over less than this.
            Incident::DiskSlow { most_ms, .. } if most_ms < 500 => return,
            Incident::DiskSlow { disk, .. }
            | Incident::DiskFreeze { disk, .. }
            | Incident::DiskFull { disk, .. }
            | Incident::DiskFails { disk, .. }
            | Incident::DiskFailsNext { disk, .. }
            | Incident::DiskAway { disk, .. } => disk,
            _ => return,
        };
        let time = incident.time() + RECOVERY_BOUND;
        self.disk_troubles.push((disk, now + time));
        for key in self.streams_on(disk) {
            self.witness.trouble(key, now, time);
        }
    }
}
