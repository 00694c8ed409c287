//! The loop: one thread, one fixed turn, nothing in it that waits but the poll at its head.
//!
//! A turn: poll; take note of what is ready; hand answers of disk, database and resolver to the core;
//! read sockets within budgets; accept; timers; send what is queued; ask the disk for what was not in
//! memory; hand the disk operations of the turn to the kernel. After each event the core's actions are carried out at once, so that a closed
//! connection delivers nothing more. See design/event-loop.md.

#[cfg(test)]
mod tests;

use super::clock::Clock;
use super::disk::{ColdRead, Disk};
use super::helper::{Helper, THIS_PROGRAM};
use super::process;
use super::resolver::{Asker, Resolver};
use super::service_manager::ServiceManager;
use super::signals::{Asked, Signals};
use super::sockets::listeners::{Incoming, Listeners, Notice, Taken};
use super::sockets::{Bulk, Origin, Reading, Sockets};
use super::stats::{SLOW_TURN, SlowTurns, Turns};
use super::steward::Steward;
use super::stuck::{Watch, Worry};
use super::syslog::Log;
use super::tls::{self, Security};
use super::tokens::{SlotKey, Target};
use super::workers::Workers;
use super::{LoadConfig, Setup, StartError};
use crate::appliance::protocol::SOCKET;
use crate::config::Config;
use crate::db;
use crate::decoder;
use crate::nvr::port::{
    Action, Core, DbId, Event, LogRecord, ReactorStats, SENDING_INTERVAL, Severity,
};
use crate::time::Monotonic;
use mio::{Events, Poll, Waker};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The one buffer that all sockets are read into. One `recv` so takes all that gathered in a tick.
/// Only the part that was ever filled takes memory.
const BUFFER_BYTES: usize = 1 << 20;

/// How often bulk connections are read.
pub const BULK_TICK: Duration = Duration::from_millis(200);

/// How often bulk UDP sockets are read whose buffer in the kernel is too small for [`BULK_TICK`], and
/// the least that [`Action::BulkTick`] may ask for.
const SHORT_TICK: Duration = Duration::from_millis(20);

/// Bytes that one connection may deliver in one turn; the rest waits for the next one.
const CONNECTION_BUDGET_BYTES: usize = 1 << 20;

/// Bytes that all connections may deliver in one turn, so that sending, timers and the disk get
/// their turn in time even when everybody sends at once.
const TURN_BUDGET_BYTES: usize = 4 << 20;

/// Datagrams or dropped reads that one socket may have in one turn.
const READS_PER_CONNECTION: usize = 1024;

/// How long answers, and reading, may take in one turn. Where handling what is within the budgets above takes
/// longer, the rest comes first in the next turn.
const STAGE_LIMIT: Duration = Duration::from_millis(2);

/// Readiness events taken in one turn.
const EVENTS_PER_POLL: usize = 256;

/// Events of our own making (closed, drained, disk answers) that the core gets in one turn before
/// everything else has its turn again.
const ANSWERS_PER_TURN: usize = 1024;

/// Database requests that wait; further ones fail. The core has one or two at a time.
const MAX_DB_REQUESTS: usize = 16;

/// Log lines of the reactor's own that wait to be told to the core; further ones are in the log only.
const MAX_SAID: usize = 64;

/// How often the core gets [`Event::Stats`], and is told of who takes what it sends.
const STATS_INTERVAL: Duration = SENDING_INTERVAL;

/// What did not go at once is tried again after this.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// With the database silent for so long, systemd's watchdog is no longer told that all is well.
const DATABASE_LIMIT: Duration = Duration::from_secs(300);

/// How long the last words (responses, good-byes to cameras, log lines) may take at the end.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(1);

/// A database request on its way, and its answer.
type DbWorkers = Workers<(DbId, db::Request), (DbId, Result<db::Reply, db::Error>)>;

/// A configuration and what its addresses need, both read from files.
type Loaded = (Config, Vec<Security>);

/// The event loop around a core.
pub struct EventLoop<C> {
    core: C,
    clock: Clock,
    poll: Poll,
    events: Events,
    sockets: Sockets,
    listeners: Listeners,
    disk: Disk,
    database: DbWorkers,
    refused: VecDeque<DbId>,
    /// What was logged here, for the core.
    said: VecDeque<LogRecord>,
    resolver: Resolver,
    helper: Helper,
    steward: Steward,
    signals: Option<Signals>,
    loader: Option<Workers<(), Result<Loaded, String>>>,
    service: ServiceManager,
    log: Log,
    buffer: Vec<u8>,
    /// There may be more to hand to the core than one turn took: no wake-up will tell of it again.
    has_more_answers: bool,
    /// Sockets that may have something to read.
    ready: VecDeque<SlotKey>,
    incoming: Vec<Incoming>,
    /// How often bulk connections are read.
    tick: Duration,
    next_tick: Monotonic,
    next_short_tick: Monotonic,
    next_stats: Monotonic,
    turns: Turns,
    stats: ReactorStats,
    disk_watch: Watch,
    database_watch: Watch,
    /// SIGTERM or SIGINT came.
    stopping: bool,
    end: Option<End>,
}

/// How a loop ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The core said [`Action::Exit`].
    InGoodOrder,
    /// A second signal came: leave with this status, and wait for nothing.
    AtOnce(u8),
}

impl<C: Core> EventLoop<C> {
    /// Sets everything up; the core hears nothing before the first turn.
    pub fn new(core: C, setup: Setup) -> Result<EventLoop<C>, StartError> {
        let system = StartError::System;
        let clock = Clock::new();
        let now = clock.now();
        let poll = Poll::new().map_err(system)?;
        let registry = poll.registry();
        let clone = || registry.try_clone().map_err(system);
        // Before any thread is started, so that none of them gets the signals.
        let signals = match setup.signals {
            true => Some(Signals::take(registry).map_err(system)?),
            false => None,
        };
        let waker = Waker::new(registry, Target::Waker.token()).map_err(system)?;
        let waker = Arc::new(waker);
        let (disk, no_uring) =
            Disk::start(setup.disk, setup.attach, registry, &waker).map_err(StartError::Disk)?;
        let mut handle = setup.database;
        let database = vec![move |(id, request)| (id, handle(request))];
        let database =
            Workers::start("database", database, MAX_DB_REQUESTS, &waker).map_err(system)?;
        let loader = setup.load_config.map(|load| loader(load, &waker));
        let mut this = EventLoop {
            core,
            clock,
            sockets: Sockets::new(clone()?, clock),
            listeners: Listeners::new(clone()?, setup.given_sockets),
            log: Log::new(&setup.config.syslog, &setup.config.time_zone, clone()?),
            disk,
            database,
            refused: VecDeque::new(),
            said: VecDeque::new(),
            helper: Helper::new(THIS_PROGRAM.into(), waker.clone()),
            steward: Steward::new(SOCKET.into(), waker.clone()),
            resolver: Resolver::new(waker),
            signals,
            loader: loader.transpose().map_err(system)?,
            service: ServiceManager::from_environment(now.monotonic),
            buffer: vec![0; BUFFER_BYTES],
            has_more_answers: false,
            ready: VecDeque::new(),
            incoming: Vec::new(),
            tick: setup.bulk_tick,
            next_tick: now.monotonic,
            next_short_tick: now.monotonic,
            // At once, so that they are there for who asks first.
            next_stats: now.monotonic,
            turns: Turns::default(),
            stats: ReactorStats::default(),
            disk_watch: Watch::default(),
            database_watch: Watch::default(),
            stopping: false,
            end: None,
            events: Events::with_capacity(EVENTS_PER_POLL),
            poll,
        };
        this.stats.disk_backend = this.disk.backend();
        if let Some(e) = no_uring {
            let message = format!("no io_uring here ({e}): the disk is served by threads");
            this.say(Severity::Info, "disk-threads", message);
        }
        this.listen(&setup.config, tls::contexts(&setup.config));
        Ok(this)
    }

    /// Where the steward listens instead of [`SOCKET`]. Before the first request only.
    pub fn set_steward_socket(&mut self, socket: PathBuf) {
        self.steward.set_socket(socket);
    }

    /// What is started as the helper instead of this program itself. Before the first request only;
    /// for programs that are no `moonfire-nvr`.
    pub fn set_helper_program(&mut self, program: PathBuf) {
        self.helper.set_program(program);
    }

    /// The core, to ask what came of it; after [`Self::run`].
    pub fn into_core(self) -> C {
        self.core
    }

    /// Turns until the core says [`Action::Exit`] or a second signal says so.
    pub fn run(&mut self) -> io::Result<End> {
        // The core is told that time has begun.
        self.tell(Event::Timeout);
        loop {
            match self.end {
                None => self.turn(None)?,
                Some(End::InGoodOrder) => {
                    self.last_words()?;
                    return Ok(End::InGoodOrder);
                }
                Some(end) => return Ok(end),
            }
        }
    }

    /// One turn, which waits until something is ready or due, and no longer than `limit`.
    pub(super) fn turn(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let timeout = self.timeout();
        let timeout = limit.map_or(timeout, |limit| timeout.min(limit));
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Ok(()) => {}
            // How `io_uring` says that it has finished something while we waited.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        let began = self.clock.monotonic();
        let clock = self.clock;
        self.turns.begin(began, || clock.thread_cpu());
        self.take_note(began);
        self.answers();
        self.ticks();
        self.receive();
        self.accept();
        self.timers();
        self.send();
        self.read_cold();
        self.disk.flush();
        self.measure(began);
        Ok(())
    }

    /// How long nothing has to be done unless something happens.
    fn timeout(&self) -> Duration {
        let now = self.clock.monotonic();
        let at_once = self.has_more_answers
            || !self.ready.is_empty()
            || self.sockets.has_event()
            || self.sockets.has_unflushed()
            || self.sockets.has_unread()
            || self.listeners.has_ready()
            || self.disk.has_completed()
            || self.resolver.has_answer()
            || self.helper.has_answer()
            || self.steward.has_answer()
            || !self.refused.is_empty()
            || !self.said.is_empty();
        if at_once || self.end.is_some() {
            return Duration::ZERO;
        }
        let tick = self.sockets.has_bulk(Bulk::Tick).then_some(self.next_tick);
        let short = self.sockets.has_bulk(Bulk::ShortTick);
        let retry = self.disk.wants_flush() || self.log.wants_flush();
        let due = [
            self.core.next_timeout(),
            tick,
            short.then_some(self.next_short_tick),
            retry.then(|| now + RETRY_INTERVAL),
            self.sockets.next_deadline(),
            self.listeners.next_deadline(),
            self.log.next_deadline(),
            self.service.next_deadline(),
            Some(self.next_stats),
        ];
        let first = due.into_iter().flatten().min();
        first.map_or(STATS_INTERVAL, |at| at.since(now))
    }

    /// Sorts what the poll found.
    fn take_note(&mut self, now: Monotonic) {
        let mut signalled = false;
        for event in &self.events {
            match Target::from_token(event.token()) {
                Some(Target::Socket(key)) => {
                    if event.is_writable() || event.is_error() {
                        self.sockets.writable(key);
                    }
                    if event.is_write_closed() {
                        self.sockets.hung_up(key);
                    }
                    if event.is_read_closed() || event.is_error() {
                        self.sockets.end_is_near(key);
                    }
                    let readable = event.is_readable() || event.is_read_closed();
                    if (readable || event.is_error()) && self.sockets.mark_ready(key) {
                        self.ready.push_back(key);
                    }
                }
                Some(Target::Listener(key)) => self.listeners.mark_ready(key),
                Some(Target::Signals) => signalled = true,
                Some(Target::Log) => self.log.ready(now),
                // What these bring is looked for in every turn.
                Some(Target::Waker | Target::Uring) | None => {}
            }
        }
        if signalled {
            self.signals();
        }
    }

    fn signals(&mut self) {
        while let Some(asked) = self.signals.as_mut().and_then(Signals::next) {
            match asked {
                Asked::Shutdown(status) if self.stopping => {
                    self.end = Some(End::AtOnce(status));
                }
                Asked::Shutdown(_) => {
                    self.stopping = true;
                    self.service.stopping();
                    self.tell(Event::Shutdown);
                }
                Asked::Reload => self.load_config(),
            }
        }
    }

    fn load_config(&mut self) {
        let now = self.clock.monotonic();
        match &mut self.loader {
            Some(loader) => {
                self.service.reloading();
                // One that is under way may have read the old file; one more waits for it, and
                // a third one is not needed.
                let _ = loader.submit(now, ());
            }
            None => self.say(
                Severity::Notice,
                "config-none",
                "there is no configuration file to read again".to_owned(),
            ),
        }
    }

    fn config_loaded(&mut self, result: Result<Loaded, String>) {
        match result {
            Ok((config, securities)) => {
                self.log.configure(&config.syslog, &config.time_zone);
                self.listen(&config, securities);
                self.say(
                    Severity::Notice,
                    "config-read",
                    "the configuration was read again".to_owned(),
                );
                self.tell(Event::Reload(Box::new(config)));
            }
            Err(why) => {
                let message = format!("the old configuration stays in force: {why}");
                self.say(Severity::Error, "config-refused", message);
            }
        }
        self.service.reloaded();
    }

    fn listen(&mut self, config: &Config, securities: Vec<Security>) {
        let listens = config.http.iter().map(|h| h.listen.clone());
        let addresses: Vec<_> = listens.zip(securities).collect();
        let now = self.clock.monotonic();
        self.listeners.configure(&addresses, now);
        for (address, security) in addresses {
            match security {
                Security::Plain => {}
                Security::Tls(context) => {
                    let message = format!(
                        "{address} speaks HTTPS; its certificate's SHA-256 fingerprint is {}",
                        context.fingerprint
                    );
                    self.say(Severity::Notice, "tls-certificate", message);
                    if let Some(warning) = context.warning {
                        self.say(Severity::Warning, "tls-certificate", warning);
                    }
                }
                Security::Broken(why) => {
                    let message = format!(
                        "{address} cannot speak HTTPS: {why}; it goes on with the certificate of \
                         before, or is not served at all"
                    );
                    self.say(Severity::Error, "tls-refused", message);
                }
            }
        }
        self.listener_notices();
    }

    /// Hands the core what has come back from elsewhere.
    fn answers(&mut self) {
        let until = self.clock.monotonic() + STAGE_LIMIT;
        self.has_more_answers = true;
        for _ in 0..ANSWERS_PER_TURN {
            match self.next_answer() {
                Some(event) => self.tell(event),
                None => {
                    self.has_more_answers = false;
                    break;
                }
            }
            if self.clock.monotonic() >= until {
                break;
            }
        }
        while let Some(warmed) = self.disk.next_warmed() {
            self.sockets.warmed(warmed);
        }
        let now = self.clock.monotonic();
        if let Some(config) = self.loader.as_mut().and_then(|l| l.next_reply(now)) {
            self.config_loaded(config);
        }
    }

    /// Has the disk bring into memory what connections wait for, within its bounds, after all that the
    /// core has asked of it in this turn.
    fn read_cold(&mut self) {
        let now = self.clock.monotonic();
        while let Some(file) = self.sockets.next_released() {
            self.disk.release(now, file);
        }
        loop {
            let may = |read: &ColdRead| self.disk.may_read(read.file.dir);
            let Some(read) = self.sockets.next_cold_read(may) else {
                break;
            };
            self.disk.make_resident(now, read);
        }
    }

    fn next_answer(&mut self) -> Option<Event<'static>> {
        if let Some(event) = self.sockets.next_event() {
            return Some(event);
        }
        let now = self.clock.monotonic();
        if let Some(done) = self.disk.next_completed(now) {
            return Some(Event::Disk {
                op: done.op,
                result: done.result,
                buffer: done.buffer,
            });
        }
        if let Some(id) = self.refused.pop_front() {
            let why = "too many database requests are waiting".to_owned();
            return Some(Event::Db {
                id,
                result: Err(db::Error::Invalid(why)),
            });
        }
        if let Some(record) = self.said.pop_front() {
            return Some(Event::Logged(Box::new(record)));
        }
        if let Some((id, result)) = self.database.next_reply(now) {
            return Some(Event::Db { id, result });
        }
        if let Some((id, result)) = self.helper.next_answer() {
            self.note_helper(&result);
            return Some(Event::Helper { id, result });
        }
        if let Some((id, result)) = self.steward.next_answer(now) {
            return Some(Event::Steward { id, result });
        }
        while let Some((asker, result)) = self.resolver.next_answer(now) {
            match asker {
                Asker::Core(lookup) => return Some(Event::Resolved { lookup, result }),
                Asker::Log => self.log.resolved(now, result),
            }
        }
        None
    }

    /// A helper that failed is for the log; how often is bounded by the rests that it takes.
    fn note_helper(&mut self, result: &Result<decoder::Reply, decoder::Error>) {
        if let Err(e @ (decoder::Error::Crashed(_) | decoder::Error::TimedOut(_))) = result {
            let message = format!("a picture or a password came to nothing: {e}");
            self.say(Severity::Warning, "helper-failed", message);
        }
    }

    fn ticks(&mut self) {
        let now = self.clock.monotonic();
        if self.next_tick <= now {
            self.next_tick = next_multiple(now, self.tick);
            self.sockets.on_tick(Bulk::Tick, &mut self.ready);
        }
        if self.next_short_tick <= now {
            self.next_short_tick = next_multiple(now, SHORT_TICK);
            self.sockets.on_tick(Bulk::ShortTick, &mut self.ready);
        }
        while let Some(key) = self.sockets.next_unread() {
            if self.sockets.mark_ready(key) {
                self.ready.push_back(key);
            }
        }
    }

    /// Reads what is ready, each socket once and within its budget.
    fn receive(&mut self) {
        let mut budget = TURN_BUDGET_BYTES;
        let until = self.clock.monotonic() + STAGE_LIMIT;
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else {
                break;
            };
            if !self.sockets.unmark_ready(key) {
                continue;
            }
            let (bytes, more) = self.receive_from(key, until);
            budget = budget.saturating_sub(bytes);
            if more && self.sockets.mark_ready(key) {
                self.ready.push_back(key);
            }
            if budget == 0 || self.clock.monotonic() >= until {
                break;
            }
        }
    }

    /// Reads one socket until it is empty (`false`), its budget is spent or the time is up.
    fn receive_from(&mut self, key: SlotKey, until: Monotonic) -> (usize, bool) {
        let mut bytes = 0;
        for reads in 0..READS_PER_CONNECTION {
            let now = self.clock.now();
            if bytes >= CONNECTION_BUDGET_BYTES || (reads > 0 && now.monotonic >= until) {
                return (bytes, true);
            }
            let (event, len, more) = match self.sockets.read(key, &mut self.buffer, now.monotonic) {
                Reading::Nothing => return (bytes, false),
                Reading::Later => return (bytes, true),
                Reading::Handshaken(origin) => {
                    self.introduce(key, origin, true);
                    continue;
                }
                Reading::Dropped(len) => {
                    bytes += len;
                    continue;
                }
                Reading::Bytes { conn, len, more } => {
                    let bytes = &self.buffer[..len];
                    (Event::Received { conn, bytes }, len, more)
                }
                Reading::Datagram { conn, from, len } => {
                    let bytes = &self.buffer[..len];
                    (Event::Datagram { conn, from, bytes }, len, true)
                }
            };
            bytes += len;
            self.stats.bytes_received += len as u64;
            self.core.handle(now, event);
            self.act();
            if !more {
                return (bytes, false);
            }
        }
        (bytes, true)
    }

    fn accept(&mut self) {
        if !self.listeners.has_ready() {
            return;
        }
        let mut incoming = std::mem::take(&mut self.incoming);
        self.listeners.accept(self.clock.monotonic(), &mut incoming);
        let now = self.clock.monotonic();
        for new in incoming.drain(..) {
            match self.sockets.accept(new, now) {
                Taken::Open(key, origin) => self.introduce(key, origin, false),
                Taken::Handshaking => {}
                Taken::Refused => self.stats.connections_refused += 1,
            }
        }
        self.incoming = incoming;
        self.listener_notices();
    }

    /// Tells the core of a connection that somebody made.
    fn introduce(&mut self, key: SlotKey, origin: Origin, tls: bool) {
        let conn = self.core.allocate_conn();
        self.sockets.introduce(key, conn);
        self.tell(Event::Accepted {
            conn,
            listener: origin.listener,
            peer: origin.peer,
            uid: origin.uid,
            tls,
        });
    }

    fn listener_notices(&mut self) {
        while let Some(notice) = self.listeners.next_notice() {
            match notice {
                Notice::Trouble { address, error } => {
                    let message = format!("cannot serve on {address}: {error}; trying on");
                    self.say(Severity::Error, "http-listen-failed", message);
                }
                Notice::Works { address } => {
                    let message = format!("serving on {address} again");
                    self.say(Severity::Notice, "http-listen", message);
                }
            }
        }
    }

    fn timers(&mut self) {
        let now = self.clock.monotonic();
        if self.core.next_timeout().is_some_and(|at| at <= now) {
            self.tell(Event::Timeout);
        }
        self.sockets.expire(now);
        if self.listeners.next_deadline().is_some_and(|at| at <= now) {
            self.listeners.retry(now);
            self.listener_notices();
        }
        if self.next_stats <= now {
            self.next_stats = now + STATS_INTERVAL;
            self.look_around(now);
        }
        if self.service.next_deadline().is_some_and(|at| at <= now) {
            // A database that hangs cannot be helped but by a new start, after which the journals
            // tell what it has missed. A disk that hangs would hang again, and others may work.
            match self.database.stuck_since() {
                Some(since) if now.since(since) > DATABASE_LIMIT => self.service.keep_silent(now),
                _ => self.service.alive(now),
            }
        }
    }

    /// Tells the core how the reactor fares, and the log what hangs.
    fn look_around(&mut self, now: Monotonic) {
        let (operations, most) = self.disk.operations();
        self.stats.connections = self.sockets.len() as u32;
        self.stats.bytes_sent = self.sockets.bytes_sent();
        self.stats.disk_operations = operations as u32;
        self.stats.disk_operations_most = most as u32;
        self.stats.log_lines_dropped = self.log.dropped();
        self.stats.process = process::stats();
        let both = [
            (self.disk_watch.check(now, self.disk.stuck_since()), "disk"),
            (
                self.database_watch.check(now, self.database.stuck_since()),
                "database",
            ),
        ];
        for (worry, what) in both {
            match worry {
                Some(Worry::Hangs(how_long)) => {
                    let secs = how_long.as_secs();
                    let message = format!("the {what} has not answered for {secs} s");
                    self.say(Severity::Critical, "hangs", message);
                }
                Some(Worry::MovesAgain) => {
                    self.say(
                        Severity::Notice,
                        "moves-again",
                        format!("the {what} answers again"),
                    );
                }
                None => {}
            }
        }
        self.core
            .handle(self.clock.now(), Event::Stats(&self.stats));
        self.act();
        self.sockets.tell_progress();
        self.stats.turns.longest_recent = Duration::ZERO;
        self.stats.turns_cpu.longest_recent = Duration::ZERO;
    }

    /// Sends what is queued, and tells the core what came of it.
    fn send(&mut self) {
        self.sockets.flush(self.clock.monotonic());
        self.answers();
        self.log.flush(self.clock.now());
        if let Some(host) = self.log.wanted_name() {
            self.resolver.ask(self.clock.monotonic(), Asker::Log, host);
        }
    }

    fn measure(&mut self, began: Monotonic) {
        let now = self.clock.monotonic();
        let clock = self.clock;
        let took = self.turns.end(now.since(began), now, || clock.thread_cpu());
        let slow = self.turns.count(&mut self.stats, now, took);
        if let Some(SlowTurns { count, longest }) = slow {
            let message = format!(
                "{count} turns of the event loop took longer than {} ms, up to {} ms, of which {} ms were \
                 its own work and the rest was waiting",
                SLOW_TURN.as_millis(),
                longest.wall.as_millis(),
                longest.cpu.as_millis(),
            );
            self.say(Severity::Warning, "slow-turn", message);
        }
    }

    fn tell(&mut self, event: Event<'_>) {
        self.core.handle(self.clock.now(), event);
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.core.next_action() {
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Lookup { lookup, host } => {
                let asker = Asker::Core(lookup);
                self.resolver.ask(self.clock.monotonic(), asker, host);
            }
            Action::Connect { conn, addr } => self.sockets.connect(conn, addr),
            Action::BindUdp { rtp, rtcp, peer } => self.sockets.bind_udp(rtp, rtcp, peer),
            Action::Interfaces => self.sockets.tell_interfaces(),
            Action::BindGroup {
                conn,
                interface,
                group,
                listen,
            } => self.sockets.bind_group(conn, interface, group, listen),
            Action::Send { conn, bytes } => self.sockets.send(conn, bytes),
            Action::SendShared { conn, bytes } => self.sockets.send_shared(conn, bytes),
            Action::SendFile { conn, file, range } => {
                self.sockets.send_file(conn, self.disk.file(file), range);
            }
            Action::SendTo { conn, to, bytes } => self.sockets.send_to(conn, to, &bytes),
            Action::Bulk { conn } => self.sockets.set_bulk(conn),
            Action::BulkTick(interval) => {
                self.tick = interval.max(SHORT_TICK);
                self.next_tick = self.next_tick.min(self.clock.monotonic() + self.tick);
            }
            Action::Close { conn, flush } => {
                self.sockets.close(conn, flush, self.clock.monotonic());
            }
            Action::Disk { op, request } => {
                self.disk.submit(self.clock.monotonic(), op, request);
            }
            Action::Db { id, request } => {
                let submitted = self.database.submit(self.clock.monotonic(), (id, request));
                if let Err((id, _)) = submitted {
                    self.refused.push_back(id);
                }
            }
            Action::Helper { id, request } => self.helper.submit(id, request),
            Action::Steward { id, request, bytes } => {
                let now = self.clock.monotonic();
                self.steward.submit(now, id, request, bytes);
            }
            Action::Pause { conn } => self.sockets.pause(conn),
            Action::Resume { conn } => self.sockets.resume(conn),
            Action::Log(record) => self.log.write(self.clock.now(), &record),
            Action::Ready => self.service.ready(),
            Action::Status(text) => self.service.status(&text),
            Action::Exit => self.end = Some(End::InGoodOrder),
        }
    }

    /// Something of the reactor's own for the log.
    fn say(&mut self, severity: Severity, event: &'static str, message: String) {
        let record = LogRecord {
            severity,
            event,
            camera: None,
            stream: None,
            message,
        };
        self.log.write(self.clock.now(), &record);
        if self.said.len() < MAX_SAID {
            self.said.push_back(record);
        }
    }

    /// Lets connections and the log finish what they have begun, within a limit.
    fn last_words(&mut self) -> io::Result<()> {
        self.listeners.close();
        let deadline = self.clock.monotonic() + LAST_WORDS_LIMIT;
        loop {
            let now = self.clock.monotonic();
            self.sockets.flush(now);
            self.log.flush(self.clock.now());
            let open = self.sockets.has_flushing() || self.log.has_queued();
            if !open || now >= deadline {
                return Ok(());
            }
            let wait = deadline.since(now).min(RETRY_INTERVAL);
            match self.poll.poll(&mut self.events, Some(wait)) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
            self.take_note(now);
        }
    }
}

/// The first multiple of `interval` after `now`: all ticks fall together, and none is made up for.
fn next_multiple(now: Monotonic, interval: Duration) -> Monotonic {
    let interval = u64::try_from(interval.as_nanos())
        .unwrap_or(u64::MAX)
        .max(1);
    Monotonic(
        (now.0 / interval)
            .saturating_add(1)
            .saturating_mul(interval),
    )
}

/// The thread that reads the configuration again.
fn loader(
    mut load: LoadConfig,
    waker: &Arc<Waker>,
) -> io::Result<Workers<(), Result<Loaded, String>>> {
    let load = move |()| {
        let config = load()?;
        let securities = tls::contexts(&config);
        Ok((config, securities))
    };
    Workers::start("config", vec![load], 1, waker)
}
