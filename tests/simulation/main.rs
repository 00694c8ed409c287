//! The whole daemon in seeded worlds. See `design/simulation.md`.
//!
//! * `MOONFIRE_SEEDS=10000 cargo test --test simulation many_seeds` runs more of them
//!   (`MOONFIRE_FIRST_SEED` says where to begin);
//! * `MOONFIRE_SEED=7 cargo test --test simulation one_seed -- --nocapture` replays one and prints all
//!   that happens in it.

mod devices;
mod tampering;
mod viewers;

use crate::tampering::{run_tampered, with_power_cut};
use moonfire_nvr::db::{self, StreamKind};
use moonfire_nvr::nvr::Nvr;
use moonfire_nvr::nvr::port::Action;
use moonfire_nvr::recording::StreamId;
use moonfire_nvr::sim::clock::BootClock;
use moonfire_nvr::sim::disk::Presence;
use moonfire_nvr::sim::scenario::{BoardEnd, Change, Incident, Scenario};
use moonfire_nvr::sim::world::{Failure, Report, Subject, Tracing, run};
use moonfire_nvr::simulated_camera::misbehave::{Fault, Kind};
use moonfire_nvr::time::{Duration90k, Monotonic};
use std::collections::BTreeMap;
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
const FIXED_ALONE: [(u64, &str); 25] = [
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
const FIXED: [(u64, &str); 1] = [(33796, "who read of a disk that was lost was told nothing")];

#[test]
fn seeds_that_failed_once_pass() {
    let all = FIXED_OF_OLD
        .map(|(seed, what)| (Scenario::of_old(seed), what))
        .into_iter()
        .chain(FIXED_UNWATCHED.map(|(seed, what)| (Scenario::unwatched(seed), what)))
        .chain(FIXED_WATCHED.map(|(seed, what)| (Scenario::watched(seed), what)))
        .chain(FIXED_ALONE.map(|(seed, what)| (Scenario::alone(seed), what)))
        .chain(FIXED.map(|(seed, what)| (Scenario::new(seed), what)));
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
