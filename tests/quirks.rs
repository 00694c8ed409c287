//! Every fault that a camera may have, through the whole daemon.
//!
//! Each is had, alone, by one camera of a quiet simulated world: whatever a good recorder can make of it
//! (`Kind::effect`) is what this one must. A second camera is healthy and may lose nothing whatever
//! the first does. The faults come from their table, so that a new one cannot be forgotten.
//!
//! * `MOONFIRE_SEEDS=50 cargo test --test quirks every_fault` has each fault in so many worlds;
//! * `MOONFIRE_FAULT=stall=100 MOONFIRE_TRANSPORT=udp cargo test --test quirks -- --nocapture one_fault`
//!   (and `MOONFIRE_SEED=7`, if not 0) prints all that happens in one of them.
//!
//! What else cameras do, and which tests show it, is in `design/camera-quirks.md`.

use moonfire_nvr::config::Transport;
use moonfire_nvr::db::StreamKind;
use moonfire_nvr::nvr::Nvr;
use moonfire_nvr::nvr::port::{Action, ConnId, Core, Event, LogRecord, Severity};
use moonfire_nvr::recording::{Gap, GapCause};
use moonfire_nvr::sim::checkers::GAP_TOLERANCE;
use moonfire_nvr::sim::clock::true_wall_at;
use moonfire_nvr::sim::monitor::Broken;
use moonfire_nvr::sim::rows::StreamRows;
use moonfire_nvr::sim::scenario::{CameraPlan, Scenario, StreamPlan};
use moonfire_nvr::sim::witness::{FrameId, SentFrame};
use moonfire_nvr::sim::world::{Failure, Report, Subject, Tracing, World, run_and_inspect};
use moonfire_nvr::simulated_camera::misbehave::{Effect, Fault, Kind};
use moonfire_nvr::time::{Monotonic, Now};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The camera with the fault, and the one that does all right.
const FAULTY: usize = 0;
const HEALTHY: usize = 1;
const FRAME_RATE: u32 = 10;
const GOP_FRAMES: u32 = 10;
/// How long a world lasts: faults strike after 10 s, a recording takes a minute.
const WORLD: Duration = Duration::from_secs(130);
/// A camera that can be recorded is recorded within this time of any loss, and from its start on: a
/// stall is found after 10 s, a late first sync sample takes 10 s.
const RECOVERY: Duration = Duration::from_secs(20);
/// How much shorter than its doubling time chance makes a wait between attempts.
const JITTER: f64 = 0.75;
/// The longest of those, in seconds, and the shortest after a refused password.
const LONGEST_WAIT_SECS: f64 = 30.0;
const REFUSED_WAIT_SECS: f64 = 120.0;

/// What a recorder was heard to do.
#[derive(Default)]
struct Heard {
    log: Vec<LogRecord>,
    /// The ports that it connected to.
    connects: Vec<u16>,
    /// The ports that it sent datagrams to.
    datagrams: Vec<u16>,
}

/// A recorder that is listened to.
struct Overheard {
    core: Nvr,
    heard: Rc<RefCell<Heard>>,
}

impl Core for Overheard {
    fn handle(&mut self, now: Now, event: Event<'_>) {
        self.core.handle(now, event);
    }

    fn next_action(&mut self) -> Option<Action> {
        let action = self.core.next_action();
        let mut heard = self.heard.borrow_mut();
        match &action {
            Some(Action::Log(record)) => heard.log.push(record.clone()),
            Some(Action::Connect { addr, .. }) => heard.connects.push(addr.port()),
            Some(Action::SendTo { to, .. }) => heard.datagrams.push(to.port()),
            _ => (),
        }
        action
    }

    fn next_timeout(&self) -> Option<Monotonic> {
        self.core.next_timeout()
    }

    fn allocate_conn(&mut self) -> ConnId {
        self.core.allocate_conn()
    }
}

impl Subject for Overheard {
    fn held_bytes(&self, now: Now) -> u64 {
        self.core.held_bytes(now)
    }
}

/// A quiet world with two cameras.
///
/// The seed decides how bytes are cut and how passwords are asked for.
fn scenario(faults: &[Fault], transport: Transport, seed: u64) -> Scenario {
    let mut s = Scenario::quiet(seed, WORLD);
    // Nothing needs healing; when cameras record is looked at here.
    s.healed = s.ends;
    s.disks.truncate(1);
    s.disks[0].capacity = 64 << 20;
    let camera = |name: &str, transport, flaws| CameraPlan {
        name: name.to_owned(),
        transport,
        main: StreamPlan {
            frame_rate: FRAME_RATE,
            gop_frames: GOP_FRAMES,
            sync_bytes: 4_000,
            other_bytes: 1_000,
            ..StreamPlan::default()
        },
        sub: None,
        flaws,
        configured: true,
        names: 0,
    };
    s.cameras = vec![
        camera("cam0", transport, faults.to_vec()),
        camera("cam1", Transport::Tcp, Vec::new()),
    ];
    s
}

/// Runs a world and looks at what became of it.
fn run_faults(
    faults: &[Fault],
    (transport, seed): (Transport, u64),
    tracing: Tracing,
    inspect: impl FnOnce(&mut World<'_>, &Heard) -> Result<(), Broken>,
) -> Result<Report, Box<Failure>> {
    let heard = Rc::new(RefCell::new(Heard::default()));
    let shared = heard.clone();
    run_and_inspect(
        scenario(faults, transport, seed),
        tracing,
        &mut |config, seed| {
            let core = Nvr::new(config, seed);
            let heard = shared.clone();
            Box::new(Overheard { core, heard })
        },
        |world| world.network.lossless = true,
        |world| {
            loses_nothing(&Seen::new(world, HEALTHY)?, "the healthy camera")?;
            inspect(world, &heard.borrow())
        },
    )
}

fn run_fault(
    fault: Fault,
    (transport, seed): (Transport, u64),
    tracing: Tracing,
) -> Result<Report, Box<Failure>> {
    run_faults(&[fault], (transport, seed), tracing, |world, heard| {
        let seen = Seen::new(world, FAULTY)?;
        match fault.kind.effect() {
            Effect::Nothing => loses_nothing(&seen, "the camera"),
            Effect::Losses => records_again(&seen),
            Effect::Refusal => {
                is_left_alone(&attempts(world), &seen, fault.kind)?;
                is_told_once(&heard.log)
            }
        }
    })
}

fn broken<T>(rule: &'static str, what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken::new(rule, what))
}

/// What a camera sent and what became of it.
struct Seen {
    sessions: usize,
    sent: Vec<SentFrame>,
    /// Each is byte for byte what the camera made: the world's own checkers saw to that.
    recorded: Vec<FrameId>,
    /// They are in the order of their recordings.
    in_order: bool,
    rows: StreamRows,
    stopped: Monotonic,
}

impl Seen {
    /// Gaps between the first recording's start and the recorder's end.
    fn gaps(&self) -> impl Iterator<Item = &Gap> {
        let starts = self.rows.recordings.iter().map(|(_, r)| r.start);
        let begin = starts.min().unwrap_or_default();
        let end = true_wall_at(self.stopped);
        let gaps = self.rows.gaps.iter();
        gaps.filter(move |g| g.end > begin + GAP_TOLERANCE && g.end < end)
    }

    fn new(world: &mut World<'_>, camera: usize) -> Result<Seen, Broken> {
        let key = (camera, StreamKind::Main);
        let Some((_, rows)) = world.rows()?.streams.remove(&key) else {
            return broken("known", "the stream is not in the database");
        };
        let Some(stop) = world.witness.stops.first() else {
            return broken("known", "the recorder was never stopped");
        };
        let log = world.witness.streams.get(&key);
        let sessions = log.map(|l| &*l.sessions).unwrap_or_default();
        let recorded: Vec<_> = world.memory.recorded(key).collect();
        Ok(Seen {
            sessions: sessions.len(),
            sent: sessions.iter().flat_map(|s| s.frames.clone()).collect(),
            in_order: recorded.is_sorted_by_key(|(_, recording)| *recording),
            recorded: recorded.into_iter().map(|(frame, _)| frame).collect(),
            rows,
            stopped: stop.at,
        })
    }

    fn has(&self, frame: &SentFrame) -> bool {
        self.recorded.binary_search(&frame.id).is_ok()
    }
}

/// From the first sync sample on every frame is recorded, with no gap.
fn loses_nothing(seen: &Seen, who: &str) -> Result<(), Broken> {
    let rule = "nothing-lost";
    if seen.sessions != 1 {
        let n = seen.sessions;
        return broken(rule, format!("{who} was asked to play {n} times"));
    }
    let is_sync = |f: &SentFrame| f.id.number % u64::from(GOP_FRAMES) == 0;
    let Some(first) = seen.sent.iter().position(is_sync) else {
        return broken(rule, format!("{who} sent no sync sample"));
    };
    let sent = &seen.sent[first..];
    let in_time = |f: &&SentFrame| f.delivered.is_some_and(|at| at < seen.stopped);
    let lost: Vec<_> = sent
        .iter()
        .filter(in_time)
        .filter(|f| !seen.has(f))
        .collect();
    if let Some(f) = lost.first() {
        let (n, of, id) = (lost.len(), sent.len(), f.id);
        let what = format!("{n} of {of} frames of {who} are lost, {id:?} first");
        return broken(rule, what);
    }
    let least = (WORLD - RECOVERY).as_secs() * u64::from(FRAME_RATE);
    if (seen.recorded.len() as u64) < least {
        let n = seen.recorded.len();
        return broken(rule, format!("only {n} frames of {who} are recorded"));
    }
    if !seen.in_order {
        return broken(rule, format!("frames of {who} are out of order"));
    }
    match seen.gaps().next() {
        Some(gap) => broken(rule, format!("{who} has a gap: {gap:?}")),
        None => Ok(()),
    }
}

/// There are losses, none of them long, and each gap says who is to blame. That each hole is a gap, the
/// world's own checkers saw to.
fn records_again(seen: &Seen) -> Result<(), Broken> {
    let rule = "records-again";
    let mut since = Monotonic(0);
    let kept = seen.sent.iter().filter(|f| seen.has(f));
    let times = kept.filter_map(|f| f.delivered).chain([seen.stopped]);
    for at in times {
        if at.since(since) > RECOVERY {
            let what = format!("nothing is recorded of {since:?} to {at:?}");
            return broken(rule, what);
        }
        since = since.max(at);
    }
    let mut gaps = seen.gaps();
    match gaps.find(|g| !matches!(g.cause, GapCause::Camera | GapCause::Network)) {
        Some(gap) => broken(
            rule,
            format!("the camera is to blame, not as told: {gap:?}"),
        ),
        None => Ok(()),
    }
}

/// When the faulty camera was connected to.
fn attempts(world: &World<'_>) -> Vec<Monotonic> {
    let attempts = world.network.attempts.iter();
    let of_faulty = attempts.filter(|(_, camera)| *camera == FAULTY);
    of_faulty.map(|(at, _)| *at).collect()
}

/// A camera that cannot be recorded is asked seldom, but it is asked.
fn is_left_alone(attempts: &[Monotonic], seen: &Seen, kind: Kind) -> Result<(), Broken> {
    let rule = "left-alone";
    if !seen.recorded.is_empty() {
        return broken(rule, "it is recorded all the same");
    }
    for (i, pair) in attempts.windows(2).enumerate() {
        let doubled = match kind {
            Kind::RefusePassword => REFUSED_WAIT_SECS,
            _ => f64::from(1 << i.min(10)).min(LONGEST_WAIT_SECS),
        };
        let waited = pair[1].since(pair[0]).as_secs_f64();
        if waited < doubled * JITTER {
            let what = format!("attempt {} came {waited} s after the one before", i + 2);
            return broken(rule, what);
        }
    }
    match attempts.len() {
        0 | 1 => broken(rule, "it is given up for good"),
        _ => Ok(()),
    }
}

/// The log tells once why the faulty camera is not recorded.
fn is_told_once(log: &[LogRecord]) -> Result<(), Broken> {
    let of_faulty = log.iter().filter(|r| r.camera.as_deref() == Some("cam0"));
    let told: Vec<&str> = of_faulty
        .filter(|r| r.severity <= Severity::Info)
        .map(|r| r.message.as_str())
        .collect();
    match told.len() {
        1 => Ok(()),
        n => broken("told-once", format!("{n} lines: {told:#?}")),
    }
}

/// Faults of what only interleaved packets have, and of what only datagrams have.
fn shows_over(kind: Kind, transport: Transport) -> bool {
    match kind {
        Kind::OtherChannels | Kind::StrayCrlf | Kind::UnknownChannel | Kind::CloseMidPacket => {
            transport == Transport::Tcp
        }
        Kind::Reorder | Kind::Duplicate | Kind::OtherPorts => transport == Transport::Udp,
        _ => true,
    }
}

fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().expect(name))
}

#[test]
fn every_fault_is_lived_with() {
    let transports = [Transport::Tcp, Transport::Udp];
    let seeds = from_environment("MOONFIRE_SEEDS").unwrap_or(1);
    let worlds: Vec<(Kind, Transport, u64)> = Kind::all()
        .flat_map(|kind| transports.map(|t| (kind, t)))
        .filter(|(kind, transport)| shows_over(*kind, *transport))
        .flat_map(|(kind, transport)| (0..seeds).map(move |seed| (kind, transport, seed)))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failures = Vec::new();
        while let Some((kind, transport, seed)) = worlds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let fault = Fault::new(*kind);
            let run = || run_fault(fault, (*transport, *seed), Tracing::Off);
            let what = match std::panic::catch_unwind(AssertUnwindSafe(run)) {
                Ok(Ok(_)) => continue,
                Ok(Err(f)) => format!("{}: {}", f.broken.rule, f.broken.what),
                Err(_) => "it panics".to_owned(),
            };
            let over = name(*transport);
            failures.push(format!(
                "a camera with the fault {fault} over {over} ({}): {what}\n  replay: \
                 MOONFIRE_FAULT={fault} MOONFIRE_TRANSPORT={over} MOONFIRE_SEED={seed} cargo test --test quirks -- \
                 --nocapture one_fault",
                kind.describe()
            ));
        }
        failures
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let failures: Vec<String> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |h: std::thread::ScopedJoinHandle<'_, Vec<String>>| h.join().expect("no panic");
        handles.into_iter().flat_map(join).collect()
    });
    let (bad, all) = (failures.len(), worlds.len());
    assert!(
        bad == 0,
        "{bad} of {all} worlds failed:\n{}",
        failures.join("\n")
    );
}

/// A closed connection is worth a quick second one only while nobody has refused the password.
#[test]
fn a_refused_password_is_not_hurried_by_closed_connections() {
    let faults = [Kind::RefusePassword, Kind::CloseOnError].map(Fault::new);
    let result = run_faults(
        &faults,
        (Transport::Tcp, 0),
        Tracing::Tail,
        |world, heard| {
            let attempts = attempts(world);
            // Two at once: one to be asked for the password, one to tell it.
            let asked: Vec<Monotonic> = attempts.iter().copied().step_by(2).collect();
            is_left_alone(&asked, &Seen::new(world, FAULTY)?, Kind::RefusePassword)?;
            is_told_once(&heard.log)
        },
    );
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// Where it is sent to nobody listens: it is asked again where it was.
#[test]
fn a_redirect_to_another_port_is_followed_and_forgotten() {
    let fault: Fault = "redirect=8554".parse().expect("a fault");
    let result = run_faults(&[fault], (Transport::Tcp, 0), Tracing::Tail, |_, heard| {
        let ports = &heard.connects;
        let followed = ports.windows(2).filter(|p| p[1] == 8554).count();
        let home = ports.windows(2).filter(|p| p == &[8554, 554]).count();
        if followed < 2 || home < 2 {
            return broken("redirect", format!("connected to ports {ports:?}"));
        }
        is_told_once(&heard.log)
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// From both sockets something goes out, so that a firewall lets in what comes from there.
#[test]
fn a_firewall_is_opened_for_datagrams() {
    let result = run_faults(&[], (Transport::Udp, 0), Tracing::Tail, |world, heard| {
        for port in [6970, 6971] {
            if !heard.datagrams.contains(&port) {
                return broken("firewall", format!("no datagram to port {port}"));
            }
        }
        loses_nothing(&Seen::new(world, FAULTY)?, "the camera")
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

/// `design/camera-quirks.md` names tests, dialogues and faults that there are, and each fault.
#[test]
fn the_table_of_quirks_names_what_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    let mut dirs = vec![root.join("src"), root.join("tests")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            match path.extension().and_then(|e| e.to_str()) {
                None if path.is_dir() => dirs.push(path),
                Some("rs") => sources += &std::fs::read_to_string(&path).expect("a source"),
                _ => (),
            }
        }
    }
    let table = std::fs::read_to_string(root.join("design/camera-quirks.md")).expect("the table");
    let mut named = BTreeSet::new();
    for row in table
        .lines()
        .filter(|l| l.starts_with("| "))
        .map(str::trim_end)
    {
        let shown = row
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default();
        for name in shown.split('`').skip(1).step_by(2) {
            let dialogue = format!("src/rtsp/tests/dialogues/{name}.txt");
            let test = name.rsplit("::").next().unwrap_or(name);
            let known = name.parse::<Fault>().is_ok()
                || root.join(dialogue).is_file()
                || sources.contains(&format!("fn {test}("));
            assert!(known, "nothing is named {name:?}, of {row}");
            named.insert(name.to_owned());
        }
    }
    for kind in Kind::all() {
        assert!(named.contains(kind.name()), "{} is missing", kind.name());
    }
}

#[test]
fn one_fault() {
    let Ok(fault) = std::env::var("MOONFIRE_FAULT") else {
        return;
    };
    let fault: Fault = fault.parse().expect("MOONFIRE_FAULT");
    let transport = match std::env::var("MOONFIRE_TRANSPORT").as_deref() {
        Ok("udp") => Transport::Udp,
        _ => Transport::Tcp,
    };
    let seed = from_environment("MOONFIRE_SEED").unwrap_or(0);
    match run_fault(fault, (transport, seed), Tracing::All) {
        Ok(report) => println!("{report:?}"),
        Err(failure) => panic!("{}: {}", failure.broken.rule, failure.broken.what),
    }
}
