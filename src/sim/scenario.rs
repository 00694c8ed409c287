//! What a seed makes of the world: how many cameras and disks, and which incidents befall them when.

use crate::access::Permission;
use crate::config::{
    self, CameraConfig, Config, HttpConfig, Listen, OnboardConfig, Reserve, Retain, Secret,
    StreamConfig, Transport,
};
use crate::db::StreamKind;
use crate::sim::clock::BootClock;
use crate::sim::disk::Presence;
use crate::sim::network::{Hangup, Reach};
use crate::sim::random::Random;
use crate::sim::witness::StreamKey;
use crate::simulated_camera::misbehave::{self, Kind};
use crate::time::Monotonic;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The password of every simulated camera; no log line may hold it.
pub const PASSWORD: &str = "corn-flower-77";
/// Their user.
pub const USERNAME: &str = "recorder";
/// After the last incident every stream records again within this time.
pub const RECOVERY_BOUND: Duration = Duration::from_secs(90);
/// How long the world goes on after that. Viewers are all served within it.
pub const AFTERMATH: Duration = Duration::from_secs(20);
/// A disk of less may be filled by what is recorded.
pub const SMALL_DISK_BYTES: u64 = 16 << 20;
/// Descriptors of a usual process.
const DESCRIPTORS: usize = 1024;

/// A world and what befalls it.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub cameras: Vec<CameraPlan>,
    pub disks: Vec<DiskPlan>,
    pub first_boot: BootClock,
    /// Those who look at what is recorded.
    pub viewers: usize,
    /// Devices on the network that are no cameras of the configuration.
    pub devices: usize,
    /// Descriptors that the recorder may have, as it is told.
    pub descriptors: usize,
    /// In order of time.
    pub incidents: Vec<(Monotonic, Incident)>,
    /// Everything is healed at this time.
    pub healed: Monotonic,
    /// The recorder is shut down in good order at this time.
    pub ends: Monotonic,
}

/// One camera.
#[derive(Clone, Debug)]
pub struct CameraPlan {
    pub name: String,
    pub transport: Transport,
    pub main: StreamPlan,
    pub sub: Option<StreamPlan>,
    /// What it does wrong from the beginning.
    pub flaws: Vec<misbehave::Fault>,
    /// It is in the recorder's configuration.
    pub configured: bool,
    /// How many other names it was given in there.
    pub names: u32,
}

/// One stream of a camera.
#[derive(Clone, Debug)]
pub struct StreamPlan {
    pub frame_rate: u32,
    pub gop_frames: u32,
    pub sync_bytes: u32,
    pub other_bytes: u32,
    pub retain_bytes: Option<i64>,
    /// It had a limit of bytes before.
    pub was_limited: bool,
    pub retain_days: Option<u32>,
    /// It is to be recorded.
    pub record: bool,
    pub disk: usize,
    /// Disks that it was recorded to before.
    pub was_on: Vec<usize>,
}

/// One disk.
#[derive(Clone, Debug)]
pub struct DiskPlan {
    pub path: PathBuf,
    pub capacity: u64,
}

/// Something that happens to the world. Times are how long it lasts.
#[derive(Clone, Debug)]
pub enum Incident {
    /// How the camera can be reached changes.
    Reach {
        camera: usize,
        reach: Reach,
        time: Duration,
    },
    /// Its name does not resolve, or slowly (after so long, failing all the same).
    Lookup { camera: usize, time: Duration },
    /// It gets another address, and its connections hang.
    Address { camera: usize },
    /// Nothing comes through for a while; nothing is lost.
    Stall { camera: usize, time: Duration },
    /// Its connections end.
    Hangup { camera: usize, how: Hangup },
    /// It is off for a while and starts anew.
    Reboot { camera: usize, time: Duration },
    /// It does something wrong from its next start on, which is now.
    Flaw {
        camera: usize,
        flaw: misbehave::Fault,
        time: Duration,
    },
    /// The disk is slow: each operation takes up to so many milliseconds.
    DiskSlow {
        disk: usize,
        most_ms: u64,
        time: Duration,
    },
    /// The disk answers nothing for a while.
    DiskFreeze { disk: usize, time: Duration },
    /// Others fill the disk, and clean up later.
    DiskFull { disk: usize, time: Duration },
    /// Every operation fails for a while.
    DiskFails { disk: usize, time: Duration },
    /// The next few operations fail.
    DiskFailsNext { disk: usize, operations: u32 },
    /// The disk is pulled out and put back.
    DiskAway {
        disk: usize,
        shows: Presence,
        time: Duration,
    },
    /// The database is slow: each request takes up to so many milliseconds.
    DatabaseSlow { most_ms: u64, time: Duration },
    /// The next requests fail.
    DatabaseFailsNext { requests: u32 },
    /// The wall clock is set to so many seconds off the true time.
    ClockError { secs: i64 },
    /// The wall clock drifts from now on.
    ClockDrift { ppm: i64 },
    /// The recorder's configuration is changed, and it is told to read it again.
    Configure(Change),
    /// The recorder's end, and how long it is gone.
    Board {
        end: BoardEnd,
        time: Duration,
        clock: BootClock,
    },
    /// The power fails, for hours or days.
    LongOff { time: Duration, clock: BootClock },
}

/// A change of the configuration.
#[derive(Clone, Debug)]
pub enum Change {
    /// How many bytes of a stream are kept.
    Retain {
        camera: usize,
        kind: StreamKind,
        bytes: Option<i64>,
    },
    /// The camera is asked by another name, which leads to it as well.
    Url { camera: usize },
    /// A stream is recorded, or not.
    Record {
        camera: usize,
        kind: StreamKind,
        record: bool,
    },
    /// A camera that is not in it is added.
    Add { camera: usize },
    /// A camera is taken out of it.
    Remove { camera: usize },
    /// A stream is recorded to another disk.
    Move {
        camera: usize,
        kind: StreamKind,
        disk: usize,
    },
}

/// How the recorder ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardEnd {
    PowerCut,
    Kill,
    Shutdown,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn new(seed: u64) -> Scenario {
        let mut r = Random::new(seed, "devices");
        let devices = if r.one_in(4) { r.within(1..=8) } else { 0 };
        Scenario {
            devices: devices as usize,
            ..Scenario::alone(seed)
        }
    }

    /// The same before there were devices that are found and asked.
    pub fn alone(seed: u64) -> Scenario {
        let mut s = Scenario::watched(seed);
        s.draw_moves(&mut Random::new(seed, "moves"));
        s.incidents.sort_by_key(|(at, _)| *at);
        s
    }

    /// The same before cameras were taken out of the configuration and streams moved to other disks.
    pub fn watched(seed: u64) -> Scenario {
        let mut s = Scenario::unwatched(seed);
        s.draw_viewers(&mut Random::new(seed, "viewers"));
        s
    }

    /// The same with nobody who looks at it, as scenarios were before there were viewers.
    pub fn unwatched(seed: u64) -> Scenario {
        let (mut s, last) = Scenario::unchanging(seed);
        s.draw_changes(&mut Random::new(seed, "configuration"));
        s.draw_days(&mut Random::new(seed, "days"));
        s.incidents.sort_by_key(|(at, _)| *at);
        s.set_end(last);
        s
    }

    /// The same without what came to be drawn later: seeds that once failed keep their meaning.
    pub fn of_old(seed: u64) -> Scenario {
        Scenario::unchanging(seed).0
    }

    /// One whose configuration does not change, and when it is healed at the earliest.
    fn unchanging(seed: u64) -> (Scenario, Monotonic) {
        let mut r = Random::new(seed, "scenario");
        // Most worlds have few cameras, so that many seeds are cheap.
        let cameras = r.pick(&[1, 1, 1, 2, 2, 3, 4]);
        let disks = if cameras > 1 && r.percent(40) { 2 } else { 1 };
        let small = r.percent(30);
        let mut s = Scenario {
            seed,
            cameras: (0..cameras)
                .map(|i| CameraPlan::new(i, disks, &mut r))
                .collect(),
            disks: (0..disks)
                .map(|i| DiskPlan {
                    path: PathBuf::from(format!("/media/disk{i}/sample")),
                    // Small, but with room for what is not committed yet, and for a journal.
                    capacity: if small {
                        (6 + 3 * cameras as u64) << 20
                    } else {
                        r.within(16..=64) << 20
                    },
                })
                .collect(),
            first_boot: r.pick(&[BootClock::Right, BootClock::Right, BootClock::Epoch]),
            viewers: 0,
            devices: 0,
            descriptors: DESCRIPTORS,
            incidents: Vec::new(),
            healed: Monotonic(0),
            ends: Monotonic(0),
        };
        let last = s.draw_incidents(&mut r);
        s.set_end(last);
        (s, last)
    }

    /// The scenario of a seed with nothing going wrong: its cameras and disks alone.
    pub fn quiet(seed: u64, time: Duration) -> Scenario {
        let mut s = Scenario::of_old(seed);
        s.incidents.clear();
        s.first_boot = BootClock::Right;
        for c in &mut s.cameras {
            c.flaws.clear();
        }
        s.healed = Monotonic(0);
        s.ends = Monotonic(0) + time;
        s
    }

    /// Draws what befalls the world. Returns when it is healed at the earliest.
    fn draw_incidents(&mut self, r: &mut Random) -> Monotonic {
        let mut at = Monotonic(0) + r.millis(1_000..=60_000);
        let last = Monotonic(0) + r.millis(120_000..=400_000);
        let most = r.within(1..=12);
        // A few kinds at a time: a world where all goes wrong at once shows little.
        let kinds: Vec<u64> = (0..r.within(1..=4)).map(|_| r.below(KINDS)).collect();
        for _ in 0..most {
            if at > last {
                break;
            }
            let kind = r.pick(&kinds);
            let incident = self.draw(kind, r);
            self.incidents.push((at, incident));
            at = at + r.millis(0..=60_000);
        }
        last
    }

    /// Everything is healed once all is over, and not before `last`.
    fn set_end(&mut self, last: Monotonic) {
        let over = self.incidents.iter().map(|(at, i)| *at + i.time()).max();
        self.healed = over.unwrap_or(last).max(last) + Duration::from_millis(1);
        self.ends = self.healed + RECOVERY_BOUND + AFTERMATH;
    }

    /// One of [`KINDS`] incidents.
    fn draw(&self, kind: u64, r: &mut Random) -> Incident {
        let camera = r.index(self.cameras.len());
        let disk = r.index(self.disks.len());
        let short = r.millis(100..=20_000);
        let long = r.millis(1_000..=90_000);
        let time = if r.percent(60) { short } else { long };
        match kind {
            0..7 => draw_of_camera(kind, camera, time, r),
            7..13 => draw_of_disk(kind, disk, time, r),
            13 => Incident::DatabaseSlow {
                most_ms: r.within(100..=10_000),
                time,
            },
            14 => Incident::DatabaseFailsNext {
                requests: r.within(1..=3) as u32,
            },
            15 => {
                let secs = r.pick(&[1, -1, 5, -5, 70, -70, 3_600, -3_600, 86_400, 0]);
                Incident::ClockError { secs }
            }
            16 => Incident::ClockDrift {
                ppm: r.within(0..=400) as i64 - 200,
            },
            // Ends come three times as often as the others.
            _ => draw_of_board(r),
        }
    }

    /// Draws changes of the configuration, in some worlds.
    fn draw_changes(&mut self, r: &mut Random) {
        if !r.percent(30) {
            return;
        }
        if self.cameras.len() > 1 && r.percent(40) {
            let camera = r.index(self.cameras.len());
            self.cameras[camera].configured = false;
            self.change_at(r.millis(2_000..=110_000), Change::Add { camera });
        }
        for _ in 0..r.within(1..=4) {
            let at = r.millis(2_000..=110_000);
            let camera = r.index(self.cameras.len());
            let kinds: Vec<StreamKind> = self.cameras[camera].streams().map(|(k, _)| k).collect();
            let kind = r.pick(&kinds);
            match r.below(3) {
                0 => {
                    let bytes = r.pick(&[None, Some(100_000), Some(400_000), Some(1_500_000)]);
                    let change = Change::Retain {
                        camera,
                        kind,
                        bytes,
                    };
                    self.change_at(at, change);
                }
                1 => self.change_at(at, Change::Url { camera }),
                _ => {
                    let record = |record| Change::Record {
                        camera,
                        kind,
                        record,
                    };
                    let again = at + r.millis(500..=60_000);
                    self.change_at(at, record(false));
                    self.change_at(again, record(true));
                }
            }
        }
    }

    fn change_at(&mut self, at: Duration, change: Change) {
        let incident = Incident::Configure(change);
        self.incidents.push((Monotonic(0) + at, incident));
    }

    /// In some worlds streams are kept for a day or two, and the recorder is off for longer.
    fn draw_days(&mut self, r: &mut Random) {
        if !r.percent(12) {
            return;
        }
        for camera in &mut self.cameras {
            for stream in std::iter::once(&mut camera.main).chain(&mut camera.sub) {
                stream.retain_days = r.pick(&[None, Some(1), Some(2)]);
            }
        }
        let off = Incident::LongOff {
            time: Duration::from_secs(r.within(20 * 3_600..=60 * 3_600)),
            clock: r.pick(&[BootClock::Right, BootClock::Epoch]),
        };
        let at = Monotonic(0) + r.millis(70_000..=200_000);
        // Nothing else starts it meanwhile: days of recording would take long.
        let stays =
            |(t, i): &(Monotonic, Incident)| *t < at || !matches!(i, Incident::Board { .. });
        self.incidents.retain(stays);
        self.incidents.push((at, off));
    }

    /// In some worlds somebody looks at what is recorded.
    fn draw_viewers(&mut self, r: &mut Random) {
        if r.percent(40) {
            self.viewers = r.within(1..=6) as usize;
            self.descriptors = r.pick(&[64, 64, DESCRIPTORS]);
        }
    }

    /// In some worlds a camera is taken out of the configuration for a while, or a stream is moved to
    /// another disk. Nothing of that comes later than other changes do.
    fn draw_moves(&mut self, r: &mut Random) {
        if !r.percent(15) {
            return;
        }
        let camera = r.index(self.cameras.len());
        let at = r.millis(2_000..=110_000);
        if self.disks.len() == 1 || r.percent(40) {
            self.change_at(at, Change::Remove { camera });
            if r.percent(70) {
                let again = at + r.millis(500..=60_000);
                self.change_at(again, Change::Add { camera });
            }
            return;
        }
        for _ in 0..r.within(1..=3) {
            let camera = r.index(self.cameras.len());
            let kinds: Vec<StreamKind> = self.cameras[camera].streams().map(|(k, _)| k).collect();
            let (kind, disk) = (r.pick(&kinds), r.index(self.disks.len()));
            let at = r.millis(2_000..=110_000);
            self.change_at(at, Change::Move { camera, kind, disk });
        }
    }

    /// Changes the configuration. Returns the streams that this may interrupt.
    pub fn change(&mut self, change: &Change) -> Vec<StreamKey> {
        match *change {
            Change::Retain {
                camera,
                kind,
                bytes,
            } => {
                if let Some(stream) = self.cameras[camera].stream_mut(kind) {
                    stream.was_limited |= stream.retain_bytes.is_some();
                    stream.retain_bytes = bytes;
                }
                Vec::new()
            }
            Change::Url { camera } => {
                self.cameras[camera].names += 1;
                self.keys(camera)
            }
            Change::Record {
                camera,
                kind,
                record,
            } => {
                if let Some(stream) = self.cameras[camera].stream_mut(kind) {
                    stream.record = record;
                }
                vec![(camera, kind)]
            }
            Change::Add { camera } => {
                self.cameras[camera].configured = true;
                self.keys(camera)
            }
            Change::Remove { camera } => {
                self.cameras[camera].configured = false;
                self.keys(camera)
            }
            Change::Move { camera, kind, disk } => {
                if let Some(stream) = self.cameras[camera].stream_mut(kind) {
                    let before = std::mem::replace(&mut stream.disk, disk);
                    stream.was_on.push(before);
                }
                vec![(camera, kind)]
            }
        }
    }

    /// The wall clock is right whenever it does not show 1970.
    pub fn has_honest_clocks(&self) -> bool {
        let is_honest = |clock: BootClock| !matches!(clock, BootClock::Behind(_));
        let keeps_it = |incident: &Incident| match incident {
            Incident::ClockError { secs } => *secs == 0,
            Incident::ClockDrift { .. } => false,
            Incident::Board { clock, .. } | Incident::LongOff { clock, .. } => is_honest(*clock),
            _ => true,
        };
        is_honest(self.first_boot) && self.incidents.iter().all(|(_, i)| keeps_it(i))
    }

    /// A disk may be so full that what is being read has to go.
    pub fn squeezes_disks(&self) -> bool {
        let small = |d: &DiskPlan| d.capacity < SMALL_DISK_BYTES;
        let full = |(_, i): &(Monotonic, Incident)| matches!(i, Incident::DiskFull { .. });
        self.disks.iter().any(small) || self.incidents.iter().any(full)
    }

    /// All that there is, is to be recorded. Returns the streams that were not, or not all.
    pub fn record_all(&mut self) -> Vec<StreamKey> {
        let mut changed = Vec::new();
        for (i, camera) in self.cameras.iter_mut().enumerate() {
            let added = !std::mem::replace(&mut camera.configured, true);
            for kind in [StreamKind::Main, StreamKind::Sub] {
                if let Some(stream) = camera.stream_mut(kind) {
                    let switched_on = !std::mem::replace(&mut stream.record, true);
                    changed.extend((added || switched_on).then_some((i, kind)));
                }
            }
        }
        changed
    }

    fn keys(&self, camera: usize) -> Vec<StreamKey> {
        let streams = self.cameras[camera].streams();
        streams.map(|(kind, _)| (camera, kind)).collect()
    }

    /// Where there are devices, the recorder sets up by itself what takes its account.
    fn onboard(&self) -> OnboardConfig {
        OnboardConfig {
            auto: self.devices > 0,
            username: USERNAME.to_owned(),
            password: Secret(PASSWORD.to_owned()),
            ..OnboardConfig::default()
        }
    }

    /// The recorder's configuration.
    pub fn config(&self) -> Config {
        let configured = self.cameras.iter().filter(|c| c.configured);
        let cameras = configured.map(|c| c.config(&self.disks)).collect();
        Config {
            db_dir: PathBuf::from("/var/lib/moonfire-nvr/db"),
            sample_dirs: self.disks.iter().map(|d| d.path.clone()).collect(),
            reserve: Reserve {
                percent: Some(5),
                bytes: None,
            },
            cameras,
            onboard: self.onboard(),
            http: (self.viewers > 0).then(watched).into_iter().collect(),
            ..Config::default()
        }
    }
}

/// An address where everybody may look at everything.
fn watched() -> HttpConfig {
    let address = SocketAddr::from(([192, 0, 2, 1], 80));
    HttpConfig {
        allow_unauthenticated: vec![Permission::ViewLive, Permission::ViewRecordings],
        ..HttpConfig::new(Listen::Tcp(address))
    }
}

/// The kinds of [`Scenario::draw`].
const KINDS: u64 = 20;

/// A flaw, tamed so that a session of minutes can show it and a recorder can live with it.
fn flaw(r: &mut Random) -> misbehave::Fault {
    let mut flaw = misbehave::Fault::random(r.rng());
    match flaw.kind {
        // A refused password is tried again after minutes only: it has a test of its own.
        Kind::RefusePassword => flaw = misbehave::Fault::new(Kind::Busy),
        Kind::RefuseDescribe if matches!(flaw.number, 401 | 403) => flaw.number = 404,
        // Nothing listens on other ports.
        Kind::Redirect => flaw.number = 0,
        Kind::LateSync => flaw.number = flaw.number.min(40),
        Kind::SessionTimeout => flaw.number = flaw.number.max(10),
        Kind::HiddenTimeout => flaw.number = flaw.number.max(60),
        Kind::ClockDrift => flaw.number = flaw.number.clamp(-300, 300),
        Kind::Burst => flaw.number = flaw.number.min(8),
        _ => (),
    }
    flaw
}

fn draw_of_camera(kind: u64, camera: usize, time: Duration, r: &mut Random) -> Incident {
    match kind {
        0 => {
            let reach = r.pick(&[Reach::Refuses, Reach::Unreachable, Reach::NeverAnswers]);
            Incident::Reach {
                camera,
                reach,
                time,
            }
        }
        1 => Incident::Lookup { camera, time },
        2 => Incident::Address { camera },
        3 => Incident::Stall { camera, time },
        4 => {
            let how = r.pick(&[Hangup::Close, Hangup::Reset, Hangup::MidPacket]);
            Incident::Hangup { camera, how }
        }
        5 => Incident::Reboot { camera, time },
        _ => Incident::Flaw {
            camera,
            flaw: flaw(r),
            time: time * 2,
        },
    }
}

fn draw_of_disk(kind: u64, disk: usize, time: Duration, r: &mut Random) -> Incident {
    match kind {
        7 => Incident::DiskSlow {
            disk,
            most_ms: r.within(100..=4_000),
            time,
        },
        8 => Incident::DiskFreeze { disk, time },
        9 => Incident::DiskFull { disk, time },
        10 => Incident::DiskFails { disk, time },
        11 => Incident::DiskFailsNext {
            disk,
            operations: r.within(1..=4) as u32,
        },
        _ => {
            let shows = [Presence::Missing, Presence::EmptyFolder, Presence::Stranger];
            Incident::DiskAway {
                disk,
                shows: r.pick(&shows),
                time,
            }
        }
    }
}

fn draw_of_board(r: &mut Random) -> Incident {
    let ends = [
        BoardEnd::PowerCut,
        BoardEnd::PowerCut,
        BoardEnd::Kill,
        BoardEnd::Shutdown,
    ];
    let clocks = [
        BootClock::Right,
        BootClock::Right,
        BootClock::Epoch,
        BootClock::Behind(r.within(1..=7_200) as i64),
    ];
    Incident::Board {
        end: r.pick(&ends),
        time: r.millis(500..=30_000),
        clock: r.pick(&clocks),
    }
}

impl Default for StreamPlan {
    /// A small picture that is recorded without limits.
    fn default() -> StreamPlan {
        StreamPlan {
            frame_rate: 5,
            gop_frames: 10,
            sync_bytes: 1_000,
            other_bytes: 600,
            retain_bytes: None,
            was_limited: false,
            retain_days: None,
            record: true,
            disk: 0,
            was_on: Vec::new(),
        }
    }
}

impl StreamPlan {
    /// It is, or was, recorded to a disk.
    pub fn is_on(&self, disk: usize) -> bool {
        self.disk == disk || self.was_on.contains(&disk)
    }
}

impl CameraPlan {
    fn new(index: usize, disks: usize, r: &mut Random) -> CameraPlan {
        let main = StreamPlan {
            frame_rate: r.pick(&[5, 6, 10]),
            gop_frames: r.pick(&[5, 10, 20, 50]),
            sync_bytes: r.within(1_000..=6_000) as u32,
            other_bytes: r.within(600..=1_500) as u32,
            retain_bytes: r.pick(&[None, Some(400_000), Some(1_500_000)]),
            disk: r.index(disks),
            ..StreamPlan::default()
        };
        let sub = r.percent(50).then(|| StreamPlan {
            frame_rate: r.pick(&[2, 3, 5]),
            gop_frames: r.pick(&[4, 10, 20]),
            sync_bytes: 1_000,
            other_bytes: 600,
            retain_bytes: r.pick(&[None, Some(100_000)]),
            disk: r.index(disks),
            ..StreamPlan::default()
        });
        let flaws = if r.percent(30) {
            vec![flaw(r)]
        } else {
            Vec::new()
        };
        CameraPlan {
            name: format!("cam{index}"),
            transport: if r.percent(15) {
                Transport::Udp
            } else {
                Transport::Tcp
            },
            main,
            sub,
            flaws: flaws
                .into_iter()
                .filter(|f| f.kind.effect() == misbehave::Effect::Nothing)
                .collect(),
            configured: true,
            names: 0,
        }
    }

    /// The name that the recorder is told.
    pub fn host(&self) -> String {
        match self.names {
            0 => format!("{}.example", self.name),
            n => format!("{}.{n}.example", self.name),
        }
    }

    /// Whether a host name resolves to it.
    pub fn is_called(&self, host: &str) -> bool {
        host.split('.').next() == Some(&self.name) && host.ends_with(".example")
    }

    fn stream_mut(&mut self, kind: StreamKind) -> Option<&mut StreamPlan> {
        match kind {
            StreamKind::Main => Some(&mut self.main),
            StreamKind::Sub => self.sub.as_mut(),
        }
    }

    /// Its streams.
    pub fn streams(&self) -> impl Iterator<Item = (StreamKind, &StreamPlan)> {
        let sub = self.sub.as_ref().map(|s| (StreamKind::Sub, s));
        std::iter::once((StreamKind::Main, &self.main)).chain(sub)
    }

    fn config(&self, disks: &[DiskPlan]) -> CameraConfig {
        let stream = |kind: StreamKind, plan: &StreamPlan| StreamConfig {
            transport: self.transport,
            retain: Retain {
                bytes: plan.retain_bytes,
                days: plan.retain_days,
            },
            record: plan.record,
            sample_dir: Some(disks[plan.disk].path.clone()),
            ..StreamConfig::new(&format!("rtsp://{}/{}", self.host(), kind.as_str()))
        };
        CameraConfig {
            name: self.name.clone(),
            username: USERNAME.to_owned(),
            password: Secret(PASSWORD.to_owned()),
            main: Some(stream(StreamKind::Main, &self.main)),
            sub: self.sub.as_ref().map(|s| stream(StreamKind::Sub, s)),
            ..config::CameraConfig::default()
        }
    }
}

impl Incident {
    /// Answers that are being sent may break off.
    pub fn interrupts_answers(&self) -> bool {
        matches!(
            self,
            Incident::DiskSlow { .. }
                | Incident::DiskFreeze { .. }
                | Incident::DiskFull { .. }
                | Incident::DiskFails { .. }
                | Incident::DiskFailsNext { .. }
                | Incident::DiskAway { .. }
                | Incident::DatabaseSlow { .. }
                | Incident::DatabaseFailsNext { .. }
                | Incident::Configure(_)
        )
    }

    /// How long it lasts; zero if it is over at once.
    pub fn time(&self) -> Duration {
        match self {
            Incident::Reach { time, .. }
            | Incident::Lookup { time, .. }
            | Incident::Stall { time, .. }
            | Incident::Reboot { time, .. }
            | Incident::Flaw { time, .. }
            | Incident::DiskSlow { time, .. }
            | Incident::DiskFreeze { time, .. }
            | Incident::DiskFull { time, .. }
            | Incident::DiskFails { time, .. }
            | Incident::DiskAway { time, .. }
            | Incident::DatabaseSlow { time, .. }
            | Incident::LongOff { time, .. }
            | Incident::Board { time, .. } => *time,
            Incident::Address { .. }
            | Incident::Hangup { .. }
            | Incident::DiskFailsNext { .. }
            | Incident::DatabaseFailsNext { .. }
            | Incident::ClockError { .. }
            | Incident::ClockDrift { .. }
            | Incident::Configure(_) => Duration::ZERO,
        }
    }
}
