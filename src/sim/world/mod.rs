//! Runs a scenario: the loop of virtual time, and the recorder's lives and deaths. What befalls it is in
//! [`incidents`].

mod incidents;

use crate::appliance::protocol::{Refusal, RefusalKind};
use crate::config::Config;
use crate::db;
use crate::nvr::port::{Action, Core, Event, StewardId};
use crate::nvr::{Nvr, STREAM_BACKLOG_BYTES, TOTAL_BACKLOG_BYTES, files_for_reading};
use crate::sim::agenda::Agenda;
use crate::sim::checkers::{self, Memory};
use crate::sim::clock::{BootClock, Clock};
use crate::sim::database::Store;
use crate::sim::disk::Disks;
use crate::sim::helper::Helper;
use crate::sim::lan::{Lan, Told};
use crate::sim::monitor::{Broken, LogWatch, MAX_ACTIONS_AN_EVENT};
use crate::sim::network::{Arrival, Network};
use crate::sim::random::Random;
use crate::sim::rows::Rows;
use crate::sim::scenario::{AFTERMATH, Incident, RECOVERY_BOUND, Scenario};
use crate::sim::trace::{self, Trace};
use crate::sim::viewers::{self, MAX_FILES_AHEAD, Viewers};
use crate::sim::witness::{StreamKey, Witness};
use crate::time::{Monotonic, Now, Wall90k};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A core that was told to shut down is gone after this time.
pub const SHUTDOWN_BOUND: Duration = Duration::from_secs(30);
/// The service manager starts a recorder that gave up again after this time.
const RESTART_AFTER: Duration = Duration::from_secs(2);
/// So many time-outs in a row at one time mean that the core spins.
const MAX_IDLE_TIMEOUTS: u32 = 1_000;

/// How often the core is asked what it holds, in events.
const EVENTS_A_LOOK: u64 = 128;

/// A core that tells what it holds.
pub trait Subject: Core {
    /// Bytes of frames in its buffers and on their way to disks.
    fn held_bytes(&self, now: Now) -> u64;
    /// It may have so many descriptors. Where nobody looks, that makes no difference.
    fn set_descriptors(&mut self, _limit: usize) {}
}

impl Subject for Nvr {
    fn held_bytes(&self, now: Now) -> u64 {
        let status = self.status(now);
        status.backlog_bytes + status.buffered_bytes
    }

    fn set_descriptors(&mut self, limit: usize) {
        Nvr::set_descriptors(self, limit);
    }
}

/// Makes a core at each start of the recorder, of its configuration and a seed.
pub type MakeCore<'a> = dyn FnMut(Config, u64) -> Box<dyn Subject> + 'a;

/// What is going to happen to the world.
enum Todo {
    Incident(Incident),
    /// An incident that lasts is over.
    Over(Incident),
    Boot(BootClock),
    /// Everything is healed.
    Heal,
    /// Everybody who looks ought to be served again.
    Examine,
    /// The end of the world: the last shutdown.
    End,
}

/// The recorder's life.
enum Board {
    Off,
    On(Box<dyn Subject>),
    /// Told to shut down; when it has to be gone, and when it starts again.
    Stopping {
        core: Box<dyn Subject>,
        deadline: Monotonic,
        then: Option<(Duration, BootClock)>,
    },
}

/// What a run that went well amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The same for each run of the seed.
    pub trace_hash: u64,
    pub events: u64,
    pub boots: u32,
    pub frames_sent: u64,
    pub frames_recorded: u64,
    pub recordings: u64,
    pub gaps: u64,
    pub log_lines: u64,
}

/// What went wrong, and when.
#[derive(Clone, Debug)]
pub struct Failure {
    pub seed: u64,
    pub at: Monotonic,
    pub broken: Broken,
    /// The last lines of the trace, where it was kept.
    pub trace: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        let (seed, rule, what) = (self.seed, self.broken.rule, &self.broken.what);
        writeln!(
            f,
            "seed {seed} at {:.3} s: {rule}: {what}",
            self.at.0 as f64 / 1e9
        )?;
        write!(
            f,
            "replay: MOONFIRE_SEED={seed} cargo test --test simulation -- --nocapture one_seed"
        )
    }
}

/// How a run is to be traced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracing {
    /// Only its hash.
    #[default]
    Off,
    /// The last lines, for a failure's report.
    Tail,
    /// Every line on standard output.
    All,
}

/// A world in progress.
pub struct World<'a> {
    pub scenario: Scenario,
    /// What the recorder is told to do.
    pub config: Config,
    pub clock: Clock,
    pub network: Network,
    pub lan: Lan,
    pub disks: Disks,
    pub store: Store,
    pub helper: Helper,
    /// What was asked of the steward, which there is none of.
    stewards: VecDeque<StewardId>,
    pub witness: Witness,
    pub viewers: Viewers,
    pub memory: Memory,
    /// The latest time that the recorder's wall clock has shown.
    pub latest_wall: Wall90k,
    /// Disks in trouble, and until when they excuse what is lost.
    disk_troubles: Vec<(usize, Monotonic)>,
    /// Streams that changes of the configuration not yet in force may interrupt.
    reconfigured: BTreeSet<StreamKey>,
    trace: Trace,
    log: LogWatch,
    board: Board,
    make_core: &'a mut MakeCore<'a>,
    agenda: Agenda<Todo>,
    random: Random,
    report: Report,
    idle_timeouts: u32,
    ended: bool,
}

/// Runs a scenario to its end. `prepare` may change the world before it begins.
pub fn run<'a>(
    scenario: Scenario,
    tracing: Tracing,
    make_core: &'a mut MakeCore<'a>,
    prepare: impl FnOnce(&mut World<'a>),
) -> Result<Report, Box<Failure>> {
    run_and_inspect(scenario, tracing, make_core, prepare, |_| Ok(()))
}

/// The same; `inspect` may then find fault with how the world ended, where the usual checkers did not.
pub fn run_and_inspect<'a>(
    scenario: Scenario,
    tracing: Tracing,
    make_core: &'a mut MakeCore<'a>,
    prepare: impl FnOnce(&mut World<'a>),
    inspect: impl FnOnce(&mut World<'a>) -> Result<(), Broken>,
) -> Result<Report, Box<Failure>> {
    let seed = scenario.seed;
    let mut world = World::new(scenario, tracing, make_core);
    prepare(&mut world);
    let result = world.live();
    let result = result.and_then(|report| inspect(&mut world).map(|()| report));
    result.map_err(|broken| {
        let at = world.clock.world();
        Box::new(Failure {
            seed,
            at,
            broken,
            trace: world.trace.tail(),
        })
    })
}

impl<'a> World<'a> {
    fn new(scenario: Scenario, tracing: Tracing, make_core: &'a mut MakeCore<'a>) -> World<'a> {
        let seed = scenario.seed;
        let mut witness = Witness::default();
        let network = Network::new(seed, &scenario.cameras, &mut witness);
        let mut disks = Disks::new(seed);
        for plan in &scenario.disks {
            disks.add(&plan.path, plan.capacity);
        }
        // A database in memory fails only where SQLite itself does.
        let database = db::memory(u128::from(seed)).expect("a database in memory");
        let mut agenda = Agenda::default();
        agenda.enter(Monotonic(0), Todo::Boot(scenario.first_boot));
        for (at, incident) in &scenario.incidents {
            agenda.enter(*at, Todo::Incident(incident.clone()));
        }
        agenda.enter(scenario.healed, Todo::Heal);
        agenda.enter(scenario.ends, Todo::End);
        let mut viewers = Viewers::new(seed, scenario.viewers);
        if scenario.viewers > 0 {
            let back = scenario.healed + RECOVERY_BOUND;
            if back + AFTERMATH <= scenario.ends {
                agenda.enter(back, Todo::Examine);
            }
            if scenario.squeezes_disks() {
                // What is given up to make room is taken from those who are being sent it.
                viewers.trouble(Monotonic(0), scenario.ends);
            }
        }
        let parts = scenario.cameras.len() + scenario.disks.len() + scenario.devices;
        World {
            config: scenario.config(),
            clock: Clock::new(),
            network,
            lan: Lan::new(seed, scenario.devices),
            disks,
            store: Store::new(seed, database),
            helper: Helper::new(seed),
            stewards: VecDeque::new(),
            witness,
            viewers,
            memory: Memory::default(),
            latest_wall: Wall90k::default(),
            disk_troubles: Vec::new(),
            reconfigured: BTreeSet::new(),
            trace: Trace::new(tracing == Tracing::Tail, tracing == Tracing::All),
            log: LogWatch::new(parts),
            board: Board::Off,
            make_core,
            agenda,
            random: Random::new(seed, "world"),
            report: Report::default(),
            idle_timeouts: 0,
            ended: false,
            scenario,
        }
    }

    fn live(&mut self) -> Result<Report, Broken> {
        self.trace.note(Monotonic(0), "world", 0, || {
            let (cameras, disks) = (&self.scenario.cameras, &self.scenario.disks);
            format!("{cameras:#?} {disks:?}")
        });
        while let Some(next) = self.next_wake() {
            self.clock.advance_to(next);
            self.turn()?;
            if self.ended && matches!(self.board, Board::Off) {
                break;
            }
        }
        checkers::check_at_the_end(self)?;
        self.report.trace_hash = self.trace.hash();
        self.report.log_lines = self.log.lines;
        checkers::count(self);
        Ok(self.report)
    }

    /// What the run amounts to so far.
    pub fn report_mut(&mut self) -> &mut Report {
        &mut self.report
    }

    /// How often the recorder makes durable what it records.
    pub fn sync_interval(&self) -> Duration {
        self.config.sync_interval
    }

    /// What the database holds.
    pub fn rows(&mut self) -> Result<Rows, Broken> {
        Rows::read(self.store.database(), &self.scenario)
            .map_err(|e| Broken::new("database", e.to_string()))
    }

    fn core(&self) -> Option<&dyn Subject> {
        match &self.board {
            Board::Off => None,
            Board::On(core) | Board::Stopping { core, .. } => Some(&**core),
        }
    }

    fn core_timeout(&self) -> Option<Monotonic> {
        self.core()?
            .next_timeout()
            .map(|t| self.clock.world_time(t))
    }

    fn next_wake(&self) -> Option<Monotonic> {
        let deadline = match &self.board {
            Board::Stopping { deadline, .. } => Some(*deadline),
            Board::Off | Board::On(_) => None,
        };
        [
            self.agenda.next(),
            self.store.next_wake(),
            self.helper.next_wake(),
            self.stewards.front().map(|_| self.clock.world()),
            self.disks.next_wake(),
            self.network.next_wake(),
            self.lan.next_wake(),
            self.viewers.next_wake(),
            self.core_timeout(),
            deadline,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// One thing that is due, in a fixed order.
    fn turn(&mut self) -> Result<(), Broken> {
        let now = self.clock.world();
        if let Some(todo) = self.agenda.take_due(now) {
            return self.happen(todo);
        }
        if let Some((id, result)) = self.store.poll(now) {
            let ok = result.is_ok();
            self.trace.note(now, "db", id.0, || {
                format!("{id:?} {}", trace::told(&result))
            });
            self.trace.note(now, "db-ok", u64::from(ok), String::new);
            if matches!(result, Ok(db::Reply::Flushed(_))) {
                checkers::check_after_commit(self)?;
            }
            if matches!(result, Ok(db::Reply::Snapshot(_))) {
                self.deliver_and_watch(Event::Db { id, result })?;
                if !self.store.awaits_configuration() {
                    self.reconfigured.clear();
                }
                return Ok(());
            }
            return self.deliver(Event::Db { id, result });
        }
        if let Some(done) = self.disks.poll(now) {
            self.trace.note(now, "disk", done.op.0, || {
                format!("{:?} {}", done.op, trace::brief_reply(&done.result))
            });
            return self.deliver(Event::Disk {
                op: done.op,
                result: done.result,
                buffer: done.buffer,
            });
        }
        if let Some(id) = self.stewards.pop_front() {
            // A simulated board is no appliance.
            let result = Err(Refusal::new(RefusalKind::NoAppliance, "no steward"));
            return self.deliver(Event::Steward { id, result });
        }
        if let Some((id, result)) = self.helper.poll(now) {
            self.trace.note(now, "helper", id.0, || {
                format!("{id:?} {}", trace::told(&result))
            });
            return self.deliver(Event::Helper { id, result });
        }
        if let Some(arrival) = self.network.poll(now, &mut self.witness) {
            return self.arrive(arrival);
        }
        let told = self.lan.poll(now);
        self.lan.take_broken()?;
        match told {
            Some(Told::Arrival(arrival)) => return self.arrive(arrival),
            Some(Told::Interfaces(all)) => return self.deliver(Event::Interfaces(all)),
            None => (),
        }
        let arrival = self.viewers.poll(now, &mut self.disks, &self.witness);
        self.viewers.take_broken()?;
        if let Some(arrival) = arrival {
            return self.viewer_arrives(arrival);
        }
        if self.core_timeout().is_some_and(|t| t <= now) {
            self.idle_timeouts += 1;
            if self.idle_timeouts > MAX_IDLE_TIMEOUTS {
                return Err(Broken::new(
                    "no-spinning",
                    "the core wants a time-out again and again",
                ));
            }
            return self.deliver(Event::Timeout);
        }
        self.idle_timeouts = 0;
        if let Board::Stopping { deadline, .. } = &self.board {
            if *deadline <= now {
                let what = format!("not gone {SHUTDOWN_BOUND:?} after it was told to end");
                return Err(Broken::new("shutdown-ends", what));
            }
        }
        Ok(())
    }

    fn arrive(&mut self, arrival: Arrival) -> Result<(), Broken> {
        let now = self.clock.world();
        let (number, size) = match &arrival {
            Arrival::Received { conn, bytes } => (conn.0, bytes.len()),
            Arrival::Datagram { conn, bytes, .. } => (conn.0, bytes.len()),
            Arrival::Connected { conn } | Arrival::Drained { conn } => (conn.0, 0),
            Arrival::Closed { conn, .. } => (conn.0, 0),
            Arrival::Resolved { lookup, .. } => (lookup.0, 0),
            Arrival::UdpBound { rtp, .. } => (rtp.0, 0),
        };
        self.trace.note(
            now,
            "network",
            number << 32 | size as u64,
            || match &arrival {
                Arrival::Received { conn, bytes } => {
                    format!("{conn:?} received {} bytes", bytes.len())
                }
                Arrival::Datagram { conn, bytes, .. } => format!("{conn:?} {} bytes", bytes.len()),
                other => format!("{other:?}"),
            },
        );
        match arrival {
            Arrival::Resolved { lookup, result } => {
                self.deliver(Event::Resolved { lookup, result })
            }
            Arrival::Connected { conn } => self.deliver(Event::Connected { conn }),
            Arrival::Received { conn, bytes } => self.deliver(Event::Received {
                conn,
                bytes: &bytes,
            }),
            Arrival::Datagram { conn, from, bytes } => self.deliver(Event::Datagram {
                conn,
                from,
                bytes: &bytes,
            }),
            Arrival::Drained { conn } => self.deliver(Event::Drained { conn }),
            Arrival::Closed { conn, reason } => self.deliver(Event::Closed { conn, reason }),
            Arrival::UdpBound { rtp, rtcp, result } => {
                self.deliver(Event::UdpBound { rtp, rtcp, result })
            }
        }
    }

    /// Something comes from those who look.
    fn viewer_arrives(&mut self, arrival: viewers::Arrival) -> Result<(), Broken> {
        use viewers::Arrival;
        let now = self.clock.world();
        self.trace.note(now, "viewer", 0, || match &arrival {
            Arrival::Received { conn, bytes } => {
                let text = String::from_utf8_lossy(bytes);
                let first = text.lines().next().unwrap_or_default().to_owned();
                format!("{conn:?} received {} bytes: {first}", bytes.len())
            }
            other => format!("{other:?}"),
        });
        match arrival {
            Arrival::Accept { viewer } => self.accept(viewer),
            Arrival::Received { conn, bytes } => self.deliver(Event::Received {
                conn,
                bytes: &bytes,
            }),
            Arrival::Drained { conn } => self.deliver(Event::Drained { conn }),
            Arrival::Draining { conn } => self.deliver(Event::Draining { conn }),
            Arrival::Sending { conn } => self.deliver(Event::Sending { conn }),
            Arrival::InputEnded { conn } => self.deliver(Event::InputEnded { conn }),
            Arrival::Closed { conn, reason } => self.deliver(Event::Closed {
                conn,
                reason: Err(reason),
            }),
        }
    }

    fn accept(&mut self, viewer: usize) -> Result<(), Broken> {
        let (Board::On(core) | Board::Stopping { core, .. }) = &mut self.board else {
            return Ok(());
        };
        let conn = core.allocate_conn();
        let now = self.clock.world();
        self.viewers.accepted(now, viewer, conn, &self.witness);
        self.deliver(Event::Accepted {
            conn,
            listener: 0,
            peer: Some(SocketAddr::from(([192, 0, 2, 100], 40_000))),
            uid: None,
            tls: false,
        })
    }

    /// Hands the core an event that may interrupt only what the configuration has changed of.
    fn deliver_and_watch(&mut self, event: Event<'_>) -> Result<(), Broken> {
        let before = self.network.playing();
        self.deliver(event)?;
        let after = self.network.playing();
        let harmed = before
            .iter()
            .find(|(conn, key)| !after.contains_key(conn) && !self.reconfigured.contains(key));
        match harmed {
            Some((_, (camera, kind))) => {
                let what = format!("cam{camera}/{} was dropped", kind.as_str());
                Err(Broken::new("reload-leaves", what))
            }
            None => Ok(()),
        }
    }

    /// Hands the core an event and carries out what it wants done.
    fn deliver(&mut self, event: Event<'_>) -> Result<(), Broken> {
        if !matches!(event, Event::Timeout) {
            self.idle_timeouts = 0;
        }
        self.report.events += 1;
        let board_now = self.clock.now();
        let (Board::On(core) | Board::Stopping { core, .. }) = &mut self.board else {
            return Ok(());
        };
        self.latest_wall = self.latest_wall.max(board_now.wall);
        core.handle(board_now, event);
        // One stream may have filled its share before it is told to stop.
        let most = TOTAL_BACKLOG_BYTES + STREAM_BACKLOG_BYTES;
        let look = self.report.events % EVENTS_A_LOOK == 0;
        let held = if look { core.held_bytes(board_now) } else { 0 };
        if held > most {
            return Err(Broken::new(
                "bounded",
                format!("the core holds {held} bytes"),
            ));
        }
        let mut actions = Vec::new();
        while let Some(action) = core.next_action() {
            actions.push(action);
            if actions.len() > MAX_ACTIONS_AN_EVENT {
                return Err(Broken::new(
                    "bounded",
                    "an event leads to actions without end",
                ));
            }
        }
        let mut exited = false;
        for action in actions {
            if exited {
                return Err(Broken::new("possible", format!("{action:?} after Exit")));
            }
            exited = matches!(action, Action::Exit);
            self.act(action)?;
        }
        self.check_contract()?;
        if exited { self.exit() } else { Ok(()) }
    }

    fn check_contract(&mut self) -> Result<(), Broken> {
        let parts = [
            self.disks.violations(),
            self.network.violations(),
            self.store.violations(),
            self.helper.violations(),
        ];
        match parts.into_iter().flatten().next() {
            Some(what) => Err(Broken::new("possible", what)),
            None => self.check_bounds_of_viewers(),
        }
    }

    /// However many look, they take no more than is meant for them.
    fn check_bounds_of_viewers(&self) -> Result<(), Broken> {
        let viewers = self.viewers.count();
        // One for each connection, of which some may be gone since.
        let (reads, since) = self.disks.reads_under_way();
        if reads > viewers && reads > viewers + since.map_or(0, |t| self.viewers.opened_since(t)) {
            let what = format!("{reads} reads under way for {viewers} viewers");
            return Err(Broken::new("bounded", what));
        }
        let open = self.disks.most_open_for_reading();
        let most = files_for_reading(self.scenario.descriptors) + viewers * MAX_FILES_AHEAD;
        match open > most {
            true => Err(Broken::new(
                "bounded",
                format!("{open} files open for reading by {viewers} viewers"),
            )),
            false => Ok(()),
        }
    }

    fn act(&mut self, action: Action) -> Result<(), Broken> {
        let now = self.clock.world();
        match &action {
            Action::Send { conn, bytes } => self.trace.note(now, "send", conn.0, || {
                let text = String::from_utf8_lossy(bytes);
                let first = text.lines().next().unwrap_or_default().to_owned();
                format!("{conn:?} {} bytes: {first}", bytes.len())
            }),
            Action::Log(record) => {
                self.trace
                    .note(now, "log", record.message.len() as u64, || {
                        let of = record.camera.as_deref().unwrap_or("-");
                        let stream = record.stream.unwrap_or("-");
                        let (severity, event) = (record.severity, record.event);
                        format!("{severity:?} {event} {of}/{stream}: {}", record.message)
                    });
            }
            other => self.trace.note(now, "action", 0, || trace::brief(other)),
        }
        match action {
            Action::Lookup { lookup, host } => self.network.lookup(now, lookup, &host),
            Action::Connect { conn, addr } if self.lan.holds(addr.ip()) => {
                self.lan.connect(now, conn, addr);
            }
            Action::Connect { conn, addr } => self.network.connect(now, conn, addr),
            Action::BindUdp { rtp, rtcp, peer } => self.network.bind_udp(now, rtp, rtcp, peer),
            Action::Send { conn, bytes } if self.viewers.has(conn) => {
                self.viewers.send(now, conn, Arc::new(bytes));
            }
            Action::Interfaces => self.lan.interfaces(now),
            Action::BindGroup {
                conn,
                group,
                listen,
                ..
            } => self.lan.bind_group(now, conn, group, listen),
            Action::Send { conn, bytes } if self.lan.has(conn) => self.lan.send(now, conn, &bytes),
            Action::Send { conn, bytes } => self.network.send(now, conn, &bytes),
            Action::SendShared { conn, bytes } => self.viewers.send(now, conn, bytes),
            Action::SendFile { conn, file, range } => {
                if !self.disks.hold(file) {
                    let what = format!("sends of {file:?}, which is not open");
                    return Err(Broken::new("possible", what));
                }
                self.viewers.send_file(now, conn, file, range);
            }
            Action::SendTo { conn, to, bytes } if self.lan.has(conn) => {
                self.lan.send_to(now, conn, to, &bytes);
            }
            Action::SendTo { conn, .. } => self.network.send_to(conn),
            Action::Bulk { conn } => self.network.bulk(conn),
            Action::Close { conn, flush } if self.viewers.has(conn) => {
                let (disks, witness) = (&mut self.disks, &self.witness);
                self.viewers.close(now, conn, flush, disks, witness);
            }
            Action::Close { conn, .. } if self.lan.has(conn) => self.lan.close(conn),
            Action::Close { conn, flush } => self.network.close(now, conn, flush),
            Action::Disk { op, request } => self.disks.submit(now, op, request),
            Action::Db { id, request } => self.store.submit(now, id, request),
            Action::Helper { id, request } => self.helper.submit(now, id, request),
            Action::Steward { id, .. } => self.stewards.push_back(id),
            // Nothing is uploaded here.
            Action::Pause { .. } | Action::Resume { .. } => {}
            Action::Log(record) => self.log.line(now, &record)?,
            Action::Ready | Action::Status(_) | Action::BulkTick(_) | Action::Exit => (),
        }
        self.lan.take_broken()?;
        self.viewers.take_broken()
    }

    /// The core has put everything away.
    fn exit(&mut self) -> Result<(), Broken> {
        let then = match std::mem::replace(&mut self.board, Board::Off) {
            Board::Stopping { then, .. } => then,
            _ if self.store.refused_start() => {
                // It could not start at all: the service manager tries again.
                Some((RESTART_AFTER, BootClock::Right))
            }
            _ => {
                return Err(Broken::new(
                    "possible",
                    "it exits without having been told to",
                ));
            }
        };
        let left = [
            ("commits", self.store.unfinished()),
            ("disk operations", self.disks.unfinished()),
        ];
        let slow = self.store.latency_ms.1 > 500;
        if let (Some((what, n)), false) = (left.iter().find(|(_, n)| *n > 0), slow) {
            return Err(Broken::new(
                "clean-exit",
                format!("{n} {what} are left behind"),
            ));
        }
        self.disks.kill();
        self.store.end();
        self.helper.end();
        self.stewards.clear();
        self.network.end();
        self.lan.end();
        self.viewers.end(self.clock.world());
        checkers::check_at_rest(self)?;
        if let (Some((time, clock)), false) = (then, self.ended) {
            self.agenda
                .enter(self.clock.world() + time, Todo::Boot(clock));
        }
        Ok(())
    }

    fn happen(&mut self, todo: Todo) -> Result<(), Broken> {
        let now = self.clock.world();
        match todo {
            Todo::Incident(incident) => {
                self.trace
                    .note(now, "incident", 0, || format!("{incident:?}"));
                self.note_trouble(&incident);
                let ends_itself =
                    matches!(incident, Incident::Board { .. } | Incident::LongOff { .. });
                if incident.time() > Duration::ZERO && !ends_itself {
                    self.agenda
                        .enter(now + incident.time(), Todo::Over(incident.clone()));
                }
                self.befall(incident)
            }
            Todo::Over(incident) => {
                self.trace.note(now, "over", 0, || format!("{incident:?}"));
                self.relieve(&incident);
                Ok(())
            }
            Todo::Boot(clock) => self.boot(clock),
            Todo::Heal => {
                self.trace.note(now, "healed", 0, String::new);
                self.heal()
            }
            Todo::Examine => {
                self.trace.note(now, "examined", 0, String::new);
                self.viewers.examine(now);
                Ok(())
            }
            Todo::End => {
                self.viewers.examined()?;
                self.ended = true;
                self.trace.note(now, "end", 0, String::new);
                self.stop(None)
            }
        }
    }

    fn boot(&mut self, wall: BootClock) -> Result<(), Broken> {
        let now = self.clock.world();
        if !matches!(self.board, Board::Off) || self.ended {
            return Ok(());
        }
        let steady = Monotonic(self.random.below(1 << 40));
        self.clock.boot(steady, wall);
        self.report.boots += 1;
        self.trace.note(now, "boot", 0, || format!("{wall:?}"));
        if wall != BootClock::Right && self.clock.world() < self.scenario.healed {
            // Time comes from the network after a while.
            let after = self.random.millis(500..=90_000);
            let at = (now + after).min(self.scenario.healed);
            self.agenda
                .enter(at, Todo::Incident(Incident::ClockError { secs: 0 }));
        }
        self.reconfigured.clear();
        let mut core = (self.make_core)(self.config.clone(), self.random.next_u64());
        core.set_descriptors(self.scenario.descriptors);
        self.viewers.begin();
        self.board = Board::On(core);
        self.deliver(Event::Timeout)
    }

    /// Tells the core to end in good order.
    fn stop(&mut self, then: Option<(Duration, BootClock)>) -> Result<(), Broken> {
        let board = std::mem::replace(&mut self.board, Board::Off);
        match board {
            Board::On(core) => {
                let deadline = self.clock.world() + SHUTDOWN_BOUND;
                self.board = Board::Stopping {
                    core,
                    deadline,
                    then,
                };
                self.witness.stopped(self.clock.world(), true);
                self.deliver(Event::Shutdown)
            }
            other => {
                self.board = other;
                Ok(())
            }
        }
    }

    /// The recorder ends without notice.
    fn crash(&mut self, power_cut: bool) -> Result<(), Broken> {
        if matches!(self.board, Board::Off) {
            return Ok(());
        }
        self.board = Board::Off;
        let now = self.clock.world();
        self.witness.stopped(now, false);
        self.viewers.end(now);
        self.network.end();
        self.lan.end();
        self.store.end();
        self.helper.end();
        self.stewards.clear();
        if power_cut {
            self.disks.cut();
        } else {
            self.disks.kill();
        }
        let stray = self.check_contract();
        stray.and_then(|()| checkers::check_at_rest(self))
    }

    /// The streams that are, or were, recorded to a disk.
    pub fn streams_on(&self, disk: usize) -> Vec<StreamKey> {
        let streams = self.scenario.cameras.iter().enumerate().flat_map(|(i, c)| {
            c.streams()
                .filter(|(_, s)| s.is_on(disk))
                .map(move |(kind, _)| (i, kind))
        });
        streams.collect()
    }
}
