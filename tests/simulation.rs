//! The whole daemon in seeded worlds. See `design/simulation.md`.
//!
//! * `MOONFIRE_SEEDS=10000 cargo test --test simulation many_seeds` runs more of them
//!   (`MOONFIRE_FIRST_SEED` says where to begin);
//! * `MOONFIRE_SEED=7 cargo test --test simulation one_seed -- --nocapture` replays one and prints all
//!   that happens in it.

use moonfire_nvr::config::Severity;
use moonfire_nvr::db::{self, StreamKind};
use moonfire_nvr::nvr::Nvr;
use moonfire_nvr::nvr::port::{Action, ConnId, Core, DiskRequest, Event, FileId, LogRecord, OpId};
use moonfire_nvr::recording::StreamId;
use moonfire_nvr::sim::clock::BootClock;
use moonfire_nvr::sim::disk::Presence;
use moonfire_nvr::sim::scenario::{BoardEnd, Change, Incident, PASSWORD, Scenario};
use moonfire_nvr::sim::world::{Failure, Report, Subject, Tracing, World, run, run_and_inspect};
use moonfire_nvr::simulated_camera::misbehave::{Fault, Kind};
use moonfire_nvr::time::{Duration90k, Monotonic, Now};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many seeds are run unless the environment says otherwise.
const SEEDS: u64 = 240;
/// Failures are told up to this many.
const TOLD: usize = 5;

fn run_seed(seed: u64, tracing: Tracing) -> Result<Report, Box<Failure>> {
    run_scenario(Scenario::new(seed), tracing)
}

fn run_scenario(scenario: Scenario, tracing: Tracing) -> Result<Report, Box<Failure>> {
    let mut make = |config, seed| -> Box<dyn Subject> { Box::new(Nvr::new(config, seed)) };
    run(scenario, tracing, &mut make, |_| ())
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().expect(name))
}

#[test]
fn many_seeds() {
    let first = from_environment("MOONFIRE_FIRST_SEED").unwrap_or(0);
    let last = first + from_environment("MOONFIRE_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let work = || {
        let mut failures = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= last {
                return failures;
            }
            failures.extend(run_seed(seed, Tracing::Off).err());
        }
    };
    let failures: Vec<Box<Failure>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = handles.into_iter().map(|h| h.join().expect("no panic"));
        joined.flatten().collect()
    });
    let mut rules = BTreeMap::<&str, Vec<u64>>::new();
    for f in &failures {
        rules.entry(f.broken.rule).or_default().push(f.seed);
    }
    let told: Vec<String> = failures.iter().take(TOLD).map(|f| f.to_string()).collect();
    assert!(
        failures.is_empty(),
        "{} seeds failed, by rule: {rules:?}\n{}",
        failures.len(),
        told.join("\n")
    );
}

#[test]
fn one_seed() {
    if let Some(seed) = from_environment("MOONFIRE_SEED") {
        match run_seed(seed, Tracing::All) {
            Ok(report) => println!("{report:?}"),
            Err(failure) => panic!("{failure}"),
        }
    }
}

/// Seeds that failed once, and with what, by what scenarios were made of at the time.
const FIXED_OF_OLD: [(u64, &str); 5] = [
    (700, "an operation was under way when it exited"),
    (
        712,
        "a camera that withholds sync samples was held to account",
    ),
    (2302, "a gap that moved less than was thought left a hole"),
    (2310, "a recording became durable before the one before it"),
    (
        2572,
        "a recording that came back late was moved onto another",
    ),
];
const FIXED_UNWATCHED: [(u64, &str); 6] = [
    (3191, "recordings overlapped after the clock was set"),
    (3621, "recordings overlapped after the clock was set"),
    (6535, "recordings overlapped after the clock was set back"),
    (5495, "frames were lost that had been acknowledged"),
    (7198, "a stream did not come back"),
    (11320, "a power cut in the midst of a good end was none"),
];
const FIXED_WATCHED: [(u64, &str); 2] = [
    (7, "a file in a directory that was away was opened"),
    (172, "a disk that hung was asked for write after write"),
];
const FIXED: [(u64, &str); 25] = [
    (25944, "a late HEAD was refused with a body"),
    (26439, "a late HEAD was refused with a body"),
    (27798, "a late HEAD was refused with a body"),
    (29150, "a late HEAD was refused with a body"),
    (29951, "a late HEAD was refused with a body"),
    (
        25583,
        "retention gave up, in one commit, what four lists had told of",
    ),
    (20526, "who took 8 KB/s was taken for one who had stopped"),
    (22231, "who took 8 KB/s was taken for one who had stopped"),
    (22875, "who took 8 KB/s was taken for one who had stopped"),
    (26305, "who took 8 KB/s was taken for one who had stopped"),
    (25155, "what an old disk had was left out as too late"),
    (26569, "a file stayed on a disk that a stream had left"),
    (28000, "a file stayed on a disk that a stream had left"),
    (28860, "a file stayed on a disk that a stream had left"),
    (21341, "the chain broke where a disk came back"),
    (21545, "the chain broke where two journals tell of a stream"),
    (23598, "the chain broke where a disk came back"),
    (25697, "the chain broke where two journals tell of a stream"),
    (27761, "the chain broke where two journals tell of a stream"),
    (27961, "the chain broke where two journals tell of a stream"),
    (28195, "the chain broke where two journals tell of a stream"),
    (25904, "a full disk could not give up its oldest"),
    (23166, "a disk that had been slow was to be waited for"),
    (20519, "a disk that hangs was asked for more and more"),
    (
        30662,
        "what recordings were to be moved behind was given up before",
    ),
];

#[test]
fn seeds_that_failed_once_pass() {
    let all = FIXED_OF_OLD
        .map(|(seed, what)| (Scenario::of_old(seed), what))
        .into_iter()
        .chain(FIXED_UNWATCHED.map(|(seed, what)| (Scenario::unwatched(seed), what)))
        .chain(FIXED_WATCHED.map(|(seed, what)| (Scenario::watched(seed), what)))
        .chain(FIXED.map(|(seed, what)| (Scenario::alone(seed), what)));
    for (scenario, what) in all {
        if let Err(failure) = run_scenario(scenario, Tracing::Off) {
            panic!("again, {what}: {failure}");
        }
    }
}

/// A quiet world of some minutes in which the configuration is changed in all ways.
fn with_reloads(seed: u64) -> Scenario {
    let mut scenario = Scenario::quiet(seed, Duration::from_secs(300));
    let changes = [
        Change::Retain {
            camera: 0,
            kind: StreamKind::Main,
            bytes: Some(300_000),
        },
        Change::Url { camera: 0 },
        Change::Record {
            camera: 0,
            kind: StreamKind::Main,
            record: false,
        },
        Change::Record {
            camera: 0,
            kind: StreamKind::Main,
            record: true,
        },
    ];
    let incidents = changes.into_iter().zip(1..).map(|(change, n)| {
        let at = Monotonic(0) + Duration::from_secs(30 * n);
        (at, Incident::Configure(change))
    });
    scenario.incidents = incidents.collect();
    if let Some(last) = scenario.cameras.len().checked_sub(1).filter(|l| *l > 0) {
        scenario.cameras[last].configured = false;
        let add = Incident::Configure(Change::Add { camera: last });
        scenario.incidents.push((Monotonic(170_000_000_000), add));
        // Healing would add it.
        scenario.healed = Monotonic(200_000_000_000);
    }
    scenario
}

#[test]
fn a_changed_configuration_leaves_what_did_not_change() {
    for seed in 0..8 {
        match run_scenario(with_reloads(seed), Tracing::Tail) {
            Ok(report) => assert!(report.frames_recorded > 500, "{report:?}"),
            Err(failure) => panic!("{failure}"),
        }
    }
}

#[test]
fn a_reload_that_drops_what_did_not_change_is_caught() {
    let mut scenario = with_reloads(0);
    scenario.incidents.truncate(1);
    let rule = run_tampered(scenario, |t, action| {
        match &action {
            Action::Connect { conn, .. } => t.conn = Some(*conn),
            Action::Log(record) if record.event == "configuration" => {
                let close = t.conn.map(|conn| Action::Close { conn, flush: false });
                return close.into_iter().chain([action]).collect();
            }
            _ => (),
        }
        vec![action]
    });
    assert_eq!(rule.as_deref(), Some("reload-leaves"));
}

#[test]
fn a_clock_that_is_stepped_costs_no_frame() {
    for (seed, secs) in [(1, 70), (2, -3), (3, -70), (4, 3_600), (5, -3_600), (6, -7)] {
        let mut scenario = Scenario::quiet(seed, Duration::from_secs(240));
        let error = |secs| Incident::ClockError { secs };
        scenario.incidents = vec![
            (Monotonic(60_000_000_000), error(secs)),
            (Monotonic(150_000_000_000), error(0)),
        ];
        if let Err(failure) = run_scenario(scenario, Tracing::Tail) {
            panic!("{failure}");
        }
    }
}

/// A world in which the recorder is off for so long that what it had is too old.
fn with_days_off(seed: u64) -> Scenario {
    let mut scenario = Scenario::quiet(seed, Duration::from_secs(30 * 3_600));
    for camera in &mut scenario.cameras {
        camera.main.retain_bytes = None;
        camera.main.retain_days = Some(1);
        camera.sub = None;
    }
    let off = Incident::Board {
        end: BoardEnd::Shutdown,
        time: Duration::from_secs(30 * 3_600 - 600),
        clock: BootClock::Right,
    };
    scenario.incidents = vec![(Monotonic(200_000_000_000), off)];
    scenario
}

#[test]
fn what_is_too_old_goes_and_nothing_else() {
    assert_eq!(run_tampered(with_days_off(1), |_, a| vec![a]), None);
    // One that keeps everything, and one that gives up something new.
    for gives_up in [false, true] {
        let rule = run_tampered(with_days_off(1), move |t, mut action| {
            if let Action::Db {
                request: db::Request::Flush(flush),
                ..
            } = &mut action
            {
                t.count += 1;
                let (stream, bytes) = (StreamId(1), 1);
                match gives_up {
                    true if t.count == 3 => {
                        flush.delete = vec![db::Delete::StreamBytes { stream, bytes }];
                    }
                    true => (),
                    false => flush.delete.clear(),
                }
            }
            vec![action]
        });
        assert_eq!(rule.as_deref(), Some("limits"), "{gives_up}");
    }
}

#[test]
fn recordings_in_a_wrong_time_are_caught() {
    let rule = run_tampered(with_power_cut(1), |t, action| {
        t.misreads_clock_by = Duration90k::from_secs(10);
        vec![action]
    });
    assert_eq!(rule.as_deref(), Some("in-its-time"));
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..6 {
        let hash = || {
            let report = run_seed(seed, Tracing::Off);
            report.map(|r| r.trace_hash).map_err(|f| f.to_string())
        };
        assert_eq!(hash(), hash(), "seed {seed}");
    }
}

#[test]
fn a_quiet_world_records_every_frame() {
    for seed in 0..5 {
        let scenario = Scenario::quiet(seed, Duration::from_secs(200));
        match run_scenario(scenario, Tracing::Tail) {
            Ok(report) => assert!(report.frames_recorded > 100, "{report:?}"),
            Err(failure) => panic!("{failure}"),
        }
    }
}

#[test]
fn a_refused_password_is_tried_slowly() {
    let mut scenario = Scenario::quiet(3, Duration::from_secs(3_600));
    for camera in &mut scenario.cameras {
        camera.flaws = vec![Fault::new(Kind::RefusePassword)];
    }
    // Nothing is ever recorded, so the end of the world is not what is looked at.
    let streams: usize = scenario.cameras.iter().map(|c| c.streams().count()).sum();
    let most = streams * 6;
    let failure = run_tampered(scenario, move |t, action| match action {
        Action::Connect { .. } => {
            t.count += 1;
            assert!(t.count <= most, "{most} attempts in an hour are enough");
            vec![action]
        }
        _ => vec![action],
    });
    assert_eq!(failure.as_deref(), Some("records-again"));
}

/// What becomes of each of the core's actions.
type Tamper = dyn Fn(&mut Tampering, Action) -> Vec<Action>;

/// A core that does what another one does, but for what a test changes of it.
struct Tampered {
    core: Nvr,
    tamper: Rc<Tamper>,
    state: Tampering,
    out: VecDeque<Action>,
}

/// What a test's changes remember.
#[derive(Default)]
struct Tampering {
    count: usize,
    file: Option<FileId>,
    conn: Option<ConnId>,
    /// It takes its wall clock for so much ahead.
    misreads_clock_by: Duration90k,
    /// It says that it holds far too much.
    is_fat: bool,
    /// Connections of those who look.
    viewers: BTreeSet<ConnId>,
    now: Monotonic,
    opened: Option<Action>,
    /// Actions that are held back, and since when.
    held: VecDeque<(Monotonic, Action)>,
}

impl Core for Tampered {
    fn handle(&mut self, now: Now, event: Event<'_>) {
        let wall = now.wall + self.state.misreads_clock_by;
        self.state.now = now.monotonic;
        self.core.handle(Now { wall, ..now }, event);
        while let Some(action) = self.core.next_action() {
            self.out.extend((self.tamper)(&mut self.state, action));
        }
    }

    fn next_action(&mut self) -> Option<Action> {
        self.out.pop_front()
    }

    fn next_timeout(&self) -> Option<Monotonic> {
        self.core.next_timeout()
    }

    fn allocate_conn(&mut self) -> ConnId {
        let conn = self.core.allocate_conn();
        self.state.viewers.insert(conn);
        conn
    }
}

impl Subject for Tampered {
    fn held_bytes(&self, now: Now) -> u64 {
        self.core.held_bytes(now) + if self.state.is_fat { 1 << 40 } else { 0 }
    }

    fn set_descriptors(&mut self, limit: usize) {
        self.core.set_descriptors(limit);
    }
}

/// The rule that is broken when a test changes the core's actions, if any.
fn run_tampered(
    scenario: Scenario,
    tamper: impl Fn(&mut Tampering, Action) -> Vec<Action> + 'static,
) -> Option<String> {
    let tamper: Rc<Tamper> = Rc::new(tamper);
    let mut make = |config, seed| -> Box<dyn Subject> {
        Box::new(Tampered {
            core: Nvr::new(config, seed),
            tamper: tamper.clone(),
            state: Tampering::default(),
            out: VecDeque::new(),
        })
    };
    broken_rule(run(scenario, Tracing::Off, &mut make, |_| ()))
}

fn broken_rule(result: Result<Report, Box<Failure>>) -> Option<String> {
    result.err().map(|f| f.broken.rule.to_owned())
}

/// A world of one minute past a power cut, in which nothing else goes wrong.
fn with_power_cut(seed: u64) -> Scenario {
    let mut scenario = Scenario::quiet(seed, Duration::from_secs(230));
    for camera in &mut scenario.cameras {
        camera.main.retain_bytes = None;
        camera.sub = None;
    }
    let cut = Incident::Board {
        end: BoardEnd::PowerCut,
        time: Duration::from_secs(5),
        clock: BootClock::Right,
    };
    scenario.incidents = vec![(Monotonic(95_500_000_000), cut)];
    scenario
}

#[test]
fn the_untampered_core_breaks_no_rule() {
    assert_eq!(run_tampered(with_power_cut(1), |_, a| vec![a]), None);
}

#[test]
fn a_disk_that_lies_about_syncing_is_caught() {
    let mut make = |config, seed| -> Box<dyn Subject> { Box::new(Nvr::new(config, seed)) };
    let lie = |world: &mut World<'_>| {
        for i in 0..world.disks.count() {
            world.disks.disk_mut(i).file_system.lies_about_sync = true;
        }
    };
    let result = run(with_power_cut(1), Tracing::Off, &mut make, lie);
    assert_eq!(broken_rule(result).as_deref(), Some("rows-and-files"));
}

#[test]
fn frames_that_never_reach_the_journal_are_caught() {
    // Journal segments are written empty: after the power cut nothing in progress comes back.
    let rule = run_tampered(with_power_cut(1), |t, mut action| {
        if let Action::Disk { request, .. } = &mut action {
            match request {
                DiskRequest::Create { file, name, .. } if name.starts_with("journal/") => {
                    t.file = Some(*file);
                }
                DiskRequest::Write { file, data, .. } if t.file == Some(*file) => data.fill(0),
                _ => (),
            }
        }
        vec![action]
    });
    let rule = rule.expect("a broken rule");
    assert!(
        ["acknowledged-is-kept", "gaps-have-causes", "rows-and-files"].contains(&rule.as_str()),
        "{rule}"
    );
}

#[test]
fn bytes_that_were_changed_on_their_way_are_caught() {
    let rule = run_tampered(
        Scenario::quiet(1, Duration::from_secs(120)),
        |t, mut action| {
            if let Action::Disk { request, .. } = &mut action {
                match request {
                    DiskRequest::Create { file, name, .. } if !name.starts_with("journal/") => {
                        t.file.get_or_insert(*file);
                    }
                    DiskRequest::Write { file, data, .. } if t.file == Some(*file) => {
                        t.count += 1;
                        if let (3, Some(byte)) = (t.count, data.last_mut()) {
                            *byte ^= 1;
                        }
                    }
                    _ => (),
                }
            }
            vec![action]
        },
    );
    assert_eq!(rule.as_deref(), Some("rows-and-files"));
}

#[test]
fn gaps_without_a_cause_are_caught() {
    let rule = run_tampered(with_power_cut(1), |_, mut action| {
        if let Action::Db {
            request: db::Request::Flush(flush),
            ..
        } = &mut action
        {
            flush.gaps.clear();
        }
        vec![action]
    });
    assert_eq!(rule.as_deref(), Some("gaps-have-causes"));
}

#[test]
fn a_row_without_its_file_is_caught() {
    let rule = run_tampered(
        Scenario::quiet(1, Duration::from_secs(120)),
        |t, action| match action {
            Action::Db {
                id,
                request: db::Request::Flush(flush),
            } => {
                let mut actions = Vec::new();
                if let (None, Some((dir, r))) = (t.file, flush.recordings.first()) {
                    t.file = Some(FileId(0));
                    let (dir, name) = (*dir, r.id.file_name());
                    let request = DiskRequest::Unlink { dir, name };
                    actions.push(Action::Disk {
                        op: OpId(u64::MAX),
                        request,
                    });
                    let request = DiskRequest::SyncDir { dir };
                    actions.push(Action::Disk {
                        op: OpId(u64::MAX - 1),
                        request,
                    });
                }
                actions.push(Action::Db {
                    id,
                    request: db::Request::Flush(flush),
                });
                actions
            }
            action => vec![action],
        },
    );
    assert_eq!(rule.as_deref(), Some("rows-and-files"));
}

#[test]
fn retention_that_never_deletes_is_caught() {
    let mut scenario = Scenario::quiet(1, Duration::from_secs(600));
    for camera in &mut scenario.cameras {
        camera.main.retain_bytes = Some(50_000);
    }
    let rule = run_tampered(scenario, |_, mut action| {
        if let Action::Db {
            request: db::Request::Flush(flush),
            ..
        } = &mut action
        {
            flush.delete.clear();
        }
        vec![action]
    });
    assert_eq!(rule.as_deref(), Some("limits"));
}

#[test]
fn a_stream_that_stays_away_is_caught() {
    let mut scenario = Scenario::quiet(1, Duration::from_secs(200));
    scenario.healed = Monotonic(60_000_000_000);
    let rule = run_tampered(scenario, |t, action| match action {
        Action::Lookup { lookup, .. } => {
            t.count += 1;
            let host = "nowhere.example".to_owned();
            vec![Action::Lookup { lookup, host }]
        }
        action => vec![action],
    });
    assert_eq!(rule.as_deref(), Some("records-again"));
}

#[test]
fn impossible_actions_are_caught() {
    let impossible: [fn() -> Action; 4] = [
        || Action::Send {
            conn: ConnId(u64::MAX),
            bytes: vec![1],
        },
        || Action::Disk {
            op: OpId(u64::MAX),
            request: DiskRequest::Sync {
                file: FileId(u64::MAX),
            },
        },
        || Action::Close {
            conn: ConnId(u64::MAX),
            flush: false,
        },
        || Action::Exit,
    ];
    for make in impossible {
        let scenario = Scenario::quiet(1, Duration::from_secs(30));
        let rule = run_tampered(scenario, move |t, action| {
            t.count += 1;
            match t.count {
                50 => vec![action, make()],
                _ => vec![action],
            }
        });
        assert_eq!(rule.as_deref(), Some("possible"), "{:?}", make());
    }
}

#[test]
fn a_write_after_a_close_is_caught() {
    let rule = run_tampered(
        Scenario::quiet(1, Duration::from_secs(120)),
        |t, action| match action {
            Action::Disk {
                op,
                request: DiskRequest::Close { file },
            } if t.count == 0 => {
                t.count = 1;
                let request = DiskRequest::Write {
                    file,
                    offset: 0,
                    data: vec![0],
                };
                let write = Action::Disk {
                    op: OpId(u64::MAX),
                    request,
                };
                vec![
                    Action::Disk {
                        op,
                        request: DiskRequest::Close { file },
                    },
                    write,
                ]
            }
            action => vec![action],
        },
    );
    assert_eq!(rule.as_deref(), Some("possible"));
}

fn line(message: String) -> Action {
    Action::Log(LogRecord {
        severity: Severity::Notice,
        event: "test",
        camera: None,
        stream: None,
        message,
    })
}

#[test]
fn passwords_and_floods_in_the_log_are_caught() {
    let leak = |_: &mut Tampering, action: Action| match action {
        Action::Connect { .. } => vec![action, line(format!("with {PASSWORD}"))],
        action => vec![action],
    };
    let quiet = || Scenario::quiet(1, Duration::from_secs(30));
    assert_eq!(
        run_tampered(quiet(), leak).as_deref(),
        Some("no-password-in-logs")
    );
    let flood = |_: &mut Tampering, action: Action| match action {
        Action::Disk { .. } => vec![action, line("a disk does something".to_owned())],
        action => vec![action],
    };
    assert_eq!(
        run_tampered(quiet(), flood).as_deref(),
        Some("no-log-flood")
    );
}

#[test]
fn a_core_without_bounds_is_caught() {
    let rule = run_tampered(Scenario::quiet(1, Duration::from_secs(60)), |t, action| {
        t.is_fat = true;
        vec![action]
    });
    assert_eq!(rule.as_deref(), Some("bounded"));
}

#[test]
fn hasty_retries_are_caught() {
    // Each connection is asked for many times over.
    let rule = run_tampered(
        Scenario::quiet(1, Duration::from_secs(60)),
        |t, action| match action {
            Action::Connect { conn, addr } => {
                t.count += 1;
                let first = u64::MAX - 1_000 * t.count as u64;
                let more = (first..first + 90).map(|n| Action::Connect {
                    conn: ConnId(n),
                    addr,
                });
                more.chain([Action::Connect { conn, addr }]).collect()
            }
            action => vec![action],
        },
    );
    assert_eq!(rule.as_deref(), Some("limits"));
}

/// A quiet world in which somebody looks.
fn with_viewers(seed: u64, time: Duration) -> Scenario {
    Scenario {
        viewers: 6,
        descriptors: 64,
        ..Scenario::quiet(seed, time)
    }
}

#[test]
fn those_who_look_are_served() {
    let (mut whole, mut frames) = (0, 0);
    for seed in 0..4 {
        let scenario = with_viewers(seed, Duration::from_secs(200));
        let mut make = |config, seed| -> Box<dyn Subject> { Box::new(Nvr::new(config, seed)) };
        let result = run_and_inspect(
            scenario,
            Tracing::Tail,
            &mut make,
            |_| (),
            |world| {
                let seen = world.viewers.seen();
                (whole, frames) = (whole + seen.whole, frames + seen.frames);
                Ok(())
            },
        );
        if let Err(failure) = result {
            panic!("{failure}");
        }
    }
    assert!(
        whole > 40 && frames > 10_000,
        "{whole} files, {frames} frames"
    );
}

#[test]
fn bytes_that_were_not_recorded_are_caught() {
    let rule = run_tampered(
        with_viewers(1, Duration::from_secs(200)),
        |_, mut action| {
            if let Action::SendFile { range, .. } = &mut action {
                if range.start > 0 {
                    *range = range.start - 1..range.end - 1;
                }
            }
            vec![action]
        },
    );
    assert_eq!(rule.as_deref(), Some("served-bytes"));
}

#[test]
fn answers_that_are_not_whole_are_caught() {
    // Said twice.
    let rule = run_tampered(
        with_viewers(1, Duration::from_secs(200)),
        |t, action| match &action {
            Action::Send { conn, bytes } if t.viewers.contains(conn) => {
                let (conn, bytes) = (*conn, bytes.clone());
                vec![action, Action::Send { conn, bytes }]
            }
            _ => vec![action],
        },
    );
    assert_eq!(rule.as_deref(), Some("served-whole"));
    // Broken off by the recorder.
    let rule = run_tampered(
        with_viewers(1, Duration::from_secs(200)),
        |t, action| match &action {
            Action::SendFile { conn, .. } => {
                t.count += 1;
                let (conn, flush) = (*conn, false);
                match t.count > 20 && t.conn.is_none() {
                    true => {
                        t.conn = Some(conn);
                        vec![Action::Close { conn, flush }]
                    }
                    false => vec![action],
                }
            }
            _ => vec![action],
        },
    );
    assert_eq!(rule.as_deref(), Some("cut-has-cause"));
}

/// A core that is not told of those who take what they are sent, but slowly.
struct Deaf(Nvr);

impl Core for Deaf {
    fn handle(&mut self, now: Now, event: Event<'_>) {
        if !matches!(event, Event::Sending { .. }) {
            self.0.handle(now, event);
        }
    }

    fn next_action(&mut self) -> Option<Action> {
        self.0.next_action()
    }

    fn next_timeout(&self) -> Option<Monotonic> {
        self.0.next_timeout()
    }

    fn allocate_conn(&mut self) -> ConnId {
        self.0.allocate_conn()
    }
}

impl Subject for Deaf {
    fn held_bytes(&self, now: Now) -> u64 {
        self.0.held_bytes(now)
    }

    fn set_descriptors(&mut self, limit: usize) {
        self.0.set_descriptors(limit);
    }
}

#[test]
fn who_is_cut_for_being_slow_is_caught() {
    let mut make = |config, seed| -> Box<dyn Subject> { Box::new(Deaf(Nvr::new(config, seed))) };
    let rule = broken_rule(run(Scenario::alone(22875), Tracing::Off, &mut make, |_| ()));
    assert_eq!(rule.as_deref(), Some("cut-has-cause"));
}

/// An opening of the same file under another number.
fn open_again(t: &mut Tampering, action: &Action) -> Option<Action> {
    let Action::Disk {
        request: DiskRequest::Open { dir, name, .. },
        ..
    } = action
    else {
        return None;
    };
    t.count += 1;
    let n = u64::MAX - t.count as u64;
    let (file, dir, name) = (FileId(n), *dir, name.clone());
    Some(Action::Disk {
        op: OpId(n),
        request: DiskRequest::Open { file, dir, name },
    })
}

#[test]
fn files_without_bound_are_caught() {
    // Many at once, or one after another that are never closed.
    for at_once in [true, false] {
        let scenario = with_viewers(1, Duration::from_secs(200));
        let rule = run_tampered(scenario, move |t, action| {
            let more = match at_once {
                true => (0..30).filter_map(|_| open_again(t, &action)).collect(),
                false if matches!(action, Action::SendFile { .. } | Action::SendShared { .. }) => {
                    let again = t.opened.take().and_then(|a| open_again(t, &a));
                    t.opened = again.as_ref().and_then(|a| open_again(t, a));
                    again.into_iter().collect()
                }
                false => {
                    t.opened = open_again(t, &action).or(t.opened.take());
                    Vec::new()
                }
            };
            std::iter::once(action).chain(more).collect()
        });
        assert_eq!(rule.as_deref(), Some("bounded"), "{at_once}");
    }
}

#[test]
fn viewers_who_are_kept_for_ever_are_caught() {
    let rule = run_tampered(
        with_viewers(2, Duration::from_secs(500)),
        |t, action| match &action {
            Action::Close { conn, .. } if t.viewers.contains(conn) => Vec::new(),
            _ => vec![action],
        },
    );
    assert_eq!(rule.as_deref(), Some("lets-go"));
}

#[test]
fn viewers_who_are_not_served_again_are_caught() {
    let scenario = with_viewers(1, Duration::from_secs(111));
    let rule = run_tampered(scenario, |t, action| match &action {
        Action::Send { conn, .. } if t.viewers.contains(conn) => {
            let late = t.conn.is_some_and(|first| *conn > first);
            t.count += 1;
            if t.count == 100 {
                t.conn = Some(*conn);
            }
            if late { Vec::new() } else { vec![action] }
        }
        _ => vec![action],
    });
    let rule = rule.expect("a broken rule");
    assert!(
        ["served-again", "cut-has-cause"].contains(&rule.as_str()),
        "{rule}"
    );
}

#[test]
fn recording_that_waits_for_viewers_is_caught() {
    let scenario = Scenario {
        viewers: 6,
        ..with_power_cut(2)
    };
    assert_eq!(run_tampered(scenario.clone(), |_, a| vec![a]), None);
    let rule = run_tampered(scenario, |t, action| {
        t.count += usize::from(matches!(action, Action::SendFile { .. }));
        let writes = matches!(
            action,
            Action::Disk {
                request: DiskRequest::Write { .. },
                ..
            }
        );
        let mut actions = Vec::new();
        match writes && t.count > 0 {
            true => t.held.push_back((t.now, action)),
            false => actions.push(action),
        }
        while t
            .held
            .front()
            .is_some_and(|(at, _)| t.now.since(*at) > Duration::from_secs(8))
        {
            actions.extend(t.held.pop_front().map(|(_, action)| action));
        }
        actions
    });
    assert_eq!(rule.as_deref(), Some("acknowledged-is-kept"));
}

/// A quiet world with devices that are found, and asked by themselves.
fn with_devices(seed: u64) -> Scenario {
    Scenario {
        devices: 8,
        ..Scenario::quiet(seed, Duration::from_secs(900))
    }
}

#[test]
fn devices_that_answer_badly_disturb_nothing_and_are_asked() {
    let mut shown = 0;
    for seed in 0..6 {
        let mut make = |config, seed| -> Box<dyn Subject> { Box::new(Nvr::new(config, seed)) };
        let result = run_and_inspect(
            with_devices(seed),
            Tracing::Tail,
            &mut make,
            |_| (),
            |world| {
                shown += world.lan.shown();
                Ok(())
            },
        );
        if let Err(failure) = result {
            panic!("{failure}");
        }
    }
    assert!(shown > 24, "{shown}");
}

#[test]
fn an_account_that_is_shown_again_is_caught() {
    let rule = run_tampered(with_devices(1), |_, action| match &action {
        Action::Send { conn, bytes }
            if String::from_utf8_lossy(bytes).contains("UsernameToken") =>
        {
            let (conn, bytes) = (*conn, bytes.clone());
            vec![Action::Send { conn, bytes }, action]
        }
        _ => vec![action],
    });
    assert_eq!(rule.as_deref(), Some("account-is-safe"));
}

#[test]
fn devices_that_are_waited_for_without_end_are_caught() {
    // All, or one.
    for (all, broken) in [(true, "bounded"), (false, "lets-go")] {
        let rule = run_tampered(with_devices(1), move |t, action| match &action {
            Action::Connect { conn, addr } if addr.port() == 80 => {
                if all || t.viewers.is_empty() {
                    t.viewers.insert(*conn);
                }
                vec![action]
            }
            Action::Close { conn, .. } if t.viewers.contains(conn) => Vec::new(),
            _ => vec![action],
        });
        assert_eq!(rule.as_deref(), Some(broken));
    }
}

#[test]
fn a_camera_taken_out_and_a_stream_moved_lose_nothing() {
    for seed in 0..200 {
        let mut scenario = Scenario::quiet(seed, Duration::from_secs(240));
        if scenario.disks.len() < 2 {
            continue;
        }
        let kind = StreamKind::Main;
        let disk = 1 - scenario.cameras[0].main.disk;
        let changes = [
            Change::Move {
                camera: 0,
                kind,
                disk,
            },
            Change::Remove { camera: 1 },
            Change::Add { camera: 1 },
            Change::Move {
                camera: 0,
                kind,
                disk: 1 - disk,
            },
        ];
        let incidents = changes.into_iter().zip(1..).map(|(change, n)| {
            let at = Monotonic(0) + Duration::from_secs(20 * n);
            (at, Incident::Configure(change))
        });
        scenario.incidents = incidents.collect();
        scenario.healed = Monotonic(100_000_000_000);
        match run_scenario(scenario, Tracing::Tail) {
            Ok(report) => assert!(report.frames_recorded > 300, "{report:?}"),
            Err(failure) => panic!("{failure}"),
        }
        if seed > 20 {
            return;
        }
    }
    panic!("no world with two disks");
}

/// A stream's disk is lost, or all is, while the stream moves to another: in these orders, at these seconds.
#[test]
fn what_is_on_a_disk_that_a_stream_left_comes_back() {
    let (kind, mut worlds) = (StreamKind::Main, 0);
    for seed in 0..60 {
        let quiet = Scenario::quiet(seed, Duration::from_secs(420));
        if quiet.disks.len() < 2 {
            continue;
        }
        worlds += 1;
        let old = quiet.cameras[0].main.disk;
        let away = |secs, shows| Incident::DiskAway {
            disk: old,
            shows,
            time: Duration::from_secs(secs),
        };
        let cut = |secs| Incident::Board {
            end: BoardEnd::PowerCut,
            time: Duration::from_secs(secs),
            clock: BootClock::Right,
        };
        let to = |disk| {
            let camera = 0;
            Incident::Configure(Change::Move { camera, kind, disk })
        };
        let orders = [
            // It is lost, and comes back while the stream is recorded elsewhere; or after a power cut.
            vec![(80, away(60, Presence::Missing)), (83, to(1 - old))],
            vec![
                (80, away(100, Presence::EmptyFolder)),
                (83, to(1 - old)),
                (120, cut(10)),
            ],
            // Two journals tell of the stream, and one of them comes late.
            vec![(80, to(1 - old)), (100, cut(20))],
            vec![
                (80, to(1 - old)),
                (100, cut(20)),
                (110, away(80, Presence::Stranger)),
            ],
            // It moves while all is off, and there and back.
            vec![
                (90, cut(20)),
                (95, away(60, Presence::Missing)),
                (100, to(1 - old)),
            ],
            vec![
                (80, away(100, Presence::Missing)),
                (83, to(1 - old)),
                (130, to(old)),
            ],
        ];
        for (n, order) in orders.into_iter().enumerate() {
            let mut scenario = quiet.clone();
            scenario.healed = Monotonic(200_000_000_000);
            let at = |(secs, i)| (Monotonic(0) + Duration::from_secs(secs), i);
            scenario.incidents = order.into_iter().map(at).collect();
            if let Err(failure) = run_scenario(scenario, Tracing::Tail) {
                panic!("order {n}: {failure}");
            }
        }
        if worlds == 8 {
            return;
        }
    }
    panic!("few worlds with two disks");
}
