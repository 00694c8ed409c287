//! The whole daemon in seeded worlds. See `design/simulation.md`.
//!
//! * `MOONFIRE_SEEDS=10000 cargo test --test simulation many_seeds` runs more of them
//!   (`MOONFIRE_FIRST_SEED` says where to begin);
//! * `MOONFIRE_SEED=7 cargo test --test simulation -- --nocapture one_seed` replays one and prints all
//!   that happens in it.

use moonfire_nvr::nvr::Nvr;
use moonfire_nvr::sim::scenario::Scenario;
use moonfire_nvr::sim::world::{Failure, Report, Tracing, run};
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
    run(
        scenario,
        tracing,
        &mut |config, seed| Box::new(Nvr::new(config, seed)),
        |_| (),
    )
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
        handles
            .into_iter()
            .flat_map(|h| h.join().expect("no panic"))
            .collect()
    });
    let mut rules = std::collections::BTreeMap::<&str, Vec<u64>>::new();
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

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..6 {
        let hash = || {
            run_seed(seed, Tracing::Off)
                .map(|r| r.trace_hash)
                .map_err(|f| f.to_string())
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
