//! Those who look at what is recorded, by HTTP: browsers that list, seek, watch live and leave, on
//! machines that are slow, stop reading or vanish.
//!
//! They are strict about what they get: an answer is whole or its connection ends, equal entity tags
//! are equal bytes, and samples are frames that the cameras made ([`seen`]). What the core does to their
//! connections and no correct one would is a fault, too.

pub mod answer;
pub mod boxes;
mod browser;
mod outgoing;
pub mod seen;
mod websocket;
mod wish;

use crate::nvr::port::{ConnId, FileId, SENDING_INTERVAL, SocketError};
use crate::sim::agenda::Agenda;
use crate::sim::disk::Disks;
use crate::sim::monitor::Broken;
use crate::sim::random::Random;
use crate::sim::witness::Witness;
use crate::time::Monotonic;
use browser::{Browser, Knowledge, Leaving, Pace};
use outgoing::{Outgoing, Progress};
use seen::Seen;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Bytes in memory that the core may have waiting on one connection.
pub const MAX_UNSENT_BYTES: usize = 5 << 19;

/// Files beyond those that the core keeps open from which one connection may still be sent.
pub const MAX_FILES_AHEAD: usize = 17;

/// Somebody who takes nothing, or is gone without a word, is let go within this time.
const LET_GO: Duration = Duration::from_secs(200);

/// Somebody who waits for an answer, or for more of one, has it within this time.
const PATIENCE: Duration = Duration::from_secs(200);

/// The reactor's limit for sending the rest on a connection that the core has closed.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// What happens next to a viewer or on a connection.
enum Step {
    /// It does the next thing.
    Act(usize),
    /// Some of its request passes.
    ToRecorder(ConnId),
    /// The shell gives the kernel more.
    Pump(ConnId),
    /// The shell looks whether it takes anything.
    Look(ConnId),
    /// It takes some of what the kernel has.
    Take(ConnId),
    /// The recorder hears that it will send no more.
    InputEnd(ConnId),
    /// The recorder hears that it is gone.
    Reset(ConnId),
    /// Sending the rest has taken too long.
    FlushOver(ConnId),
    /// It must have been let go.
    LetGo(ConnId),
    /// It must have been answered: its request of this number.
    Patience(usize, u64),
}

/// What the core is to hear.
#[derive(Debug)]
pub enum Arrival {
    /// Somebody wants to connect.
    Accept {
        viewer: usize,
    },
    Received {
        conn: ConnId,
        bytes: Vec<u8>,
    },
    Drained {
        conn: ConnId,
    },
    Draining {
        conn: ConnId,
    },
    Sending {
        conn: ConnId,
    },
    InputEnded {
        conn: ConnId,
    },
    Closed {
        conn: ConnId,
        reason: SocketError,
    },
}

/// What is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Takes,
    /// Takes nothing any more.
    Stopped,
    /// Is gone, and its machine says so to whatever comes.
    Left,
    /// Is gone, and nothing says so.
    Vanished,
}

/// A connection.
struct Link {
    viewer: usize,
    out: Outgoing,
    requests: VecDeque<u8>,
    peer: Peer,
    /// The core has closed it: what is queued is still sent.
    flushing: bool,
    said_so: bool,
    rested: bool,
    passing_due: bool,
    pump_due: bool,
    look_due: bool,
    take_due: bool,
}

/// See the module.
pub struct Viewers {
    browsers: Vec<Browser>,
    links: BTreeMap<ConnId, Link>,
    /// When each connection was opened.
    opened: Vec<Monotonic>,
    used: BTreeSet<ConnId>,
    agenda: Agenda<Step>,
    random: Random,
    /// How many percent of what is read from disks is not in memory.
    cold_percent: u64,
    seen: Seen,
    /// The recorder runs.
    on: bool,
    /// When something stood in the way of answers.
    troubles: Vec<(Monotonic, Monotonic)>,
    broken: Option<Broken>,
}

impl Viewers {
    /// So many, who begin within the first minute.
    pub fn new(seed: u64, count: usize) -> Viewers {
        let mut random = Random::new(seed, "viewers");
        let browsers = (0..count).map(|_| Browser::new(random.fork("browser")));
        let browsers: Vec<Browser> = browsers.collect();
        let mut viewers = Viewers {
            browsers,
            links: BTreeMap::new(),
            opened: Vec::new(),
            used: BTreeSet::new(),
            agenda: Agenda::default(),
            cold_percent: random.pick(&[0, 20, 100]),
            random,
            seen: Seen::default(),
            on: false,
            troubles: Vec::new(),
            broken: None,
        };
        for viewer in 0..count {
            viewers.act_within(Monotonic(0), viewer, 0..=60_000);
        }
        viewers
    }

    /// Connections that were opened since then.
    pub fn opened_since(&self, then: Monotonic) -> usize {
        self.opened.len() - self.opened.partition_point(|at| *at < then)
    }

    /// How many there ever were.
    pub fn count(&self) -> usize {
        self.browsers.len()
    }

    /// What was seen.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// When the next thing happens.
    pub fn next_wake(&self) -> Option<Monotonic> {
        self.agenda.next()
    }

    /// Takes what somebody found fault with.
    pub fn take_broken(&mut self) -> Result<(), Broken> {
        self.broken.take().map_or(Ok(()), Err)
    }

    fn fault(&mut self, rule: &'static str, what: String) {
        self.broken.get_or_insert(Broken::new(rule, what));
    }

    /// A connection is, or was, one of theirs.
    pub fn has(&self, conn: ConnId) -> bool {
        self.used.contains(&conn)
    }

    /// Something stands in the way of answers until `to`.
    pub fn trouble(&mut self, from: Monotonic, to: Monotonic) {
        self.troubles.push((from, to));
    }

    /// The recorder runs from now on.
    pub fn begin(&mut self) {
        self.on = true;
    }

    /// The recorder is gone, and its connections with it.
    pub fn end(&mut self, now: Monotonic) {
        self.on = false;
        self.links.clear();
        self.used.clear();
        let due = |step: &Step| matches!(step, Step::Act(_));
        self.agenda.retain(due);
        for viewer in 0..self.browsers.len() {
            let browser = &mut self.browsers[viewer];
            if browser.conn.is_some() {
                browser.cut_off();
                self.act_within(now, viewer, 500..=15_000);
            }
        }
    }

    /// From now on, is everybody served again?
    pub fn examine(&mut self, now: Monotonic) {
        let browser = Browser::examiner(self.random.fork("examiner"));
        self.browsers.push(browser);
        self.act_at(now, self.browsers.len() - 1);
    }

    /// Finds fault where somebody is not served who ought to be.
    pub fn examined(&self) -> Result<(), Broken> {
        let waits = |b: &&Browser| b.examines && !b.is_done;
        match self.browsers.iter().find(waits) {
            Some(b) => {
                let what = format!("nothing came of {:?}", b.first_asked());
                Err(Broken::new("served-again", what))
            }
            None => Ok(()),
        }
    }

    fn act_within(&mut self, now: Monotonic, viewer: usize, millis: std::ops::RangeInclusive<u64>) {
        let at = now + self.random.millis(millis);
        self.act_at(at, viewer);
    }

    fn act_at(&mut self, at: Monotonic, viewer: usize) {
        self.browsers[viewer].acts_at = at;
        self.agenda.enter(at, Step::Act(viewer));
    }

    /// A connection that somebody wanted was accepted.
    pub fn accepted(&mut self, now: Monotonic, viewer: usize, conn: ConnId, witness: &Witness) {
        if !self.used.insert(conn) {
            self.fault("possible", format!("{conn:?} is used twice"));
        }
        let browser = &mut self.browsers[viewer];
        browser.conn = Some(conn);
        let link = Link {
            viewer,
            out: Outgoing::new(browser.habit.room, self.cold_percent),
            requests: VecDeque::new(),
            peer: Peer::Takes,
            flushing: false,
            said_so: false,
            rested: false,
            passing_due: false,
            pump_due: false,
            look_due: false,
            take_due: false,
        };
        self.links.insert(conn, link);
        self.opened.push(now);
        self.ask(now, viewer, witness);
    }

    /// A viewer sends its next requests.
    fn ask(&mut self, now: Monotonic, viewer: usize, witness: &Witness) {
        let browser = &mut self.browsers[viewer];
        let bytes = browser.requests(&mut Knowledge {
            now,
            seen: &mut self.seen,
            witness,
        });
        if let Some(asked) = browser.first_asked() {
            let step = Step::Patience(viewer, asked.serial);
            self.agenda.enter(now + PATIENCE, step);
        }
        self.say(now, viewer, bytes);
    }

    fn say(&mut self, now: Monotonic, viewer: usize, bytes: Vec<u8>) {
        let Some(conn) = self.browsers[viewer].conn else {
            return;
        };
        let Some(link) = self.links.get_mut(&conn).filter(|_| !bytes.is_empty()) else {
            return;
        };
        link.requests.extend(bytes);
        if !std::mem::replace(&mut link.passing_due, true) {
            let at = now + self.random.millis(0..=40);
            self.agenda.enter(at, Step::ToRecorder(conn));
        }
    }

    /// The core sends.
    pub fn send(&mut self, now: Monotonic, conn: ConnId, bytes: Arc<Vec<u8>>) {
        let Some(link) = self.links.get_mut(&conn).filter(|l| !l.flushing) else {
            return self.fault("possible", format!("sends on {conn:?}, which is closed"));
        };
        link.out.push(bytes);
        let memory = link.out.memory();
        if memory > MAX_UNSENT_BYTES {
            self.fault("bounded", format!("{memory} bytes unsent on {conn:?}"));
        }
        self.pump_at(now, conn);
    }

    /// The core sends a range of a file that is held for it.
    pub fn send_file(&mut self, now: Monotonic, conn: ConnId, file: FileId, range: Range<u64>) {
        let Some(link) = self.links.get_mut(&conn).filter(|l| !l.flushing) else {
            return self.fault("possible", format!("sends on {conn:?}, which is closed"));
        };
        link.out.push_file(file, range);
        self.pump_at(now, conn);
    }

    fn pump_at(&mut self, at: Monotonic, conn: ConnId) {
        if let Some(link) = self.links.get_mut(&conn) {
            if !std::mem::replace(&mut link.pump_due, true) {
                self.agenda.enter(at, Step::Pump(conn));
            }
        }
    }

    /// The core closes a connection.
    pub fn close(
        &mut self,
        now: Monotonic,
        conn: ConnId,
        flush: bool,
        disks: &mut Disks,
        witness: &Witness,
    ) {
        let Some(link) = self.links.get_mut(&conn).filter(|l| !l.flushing) else {
            return self.fault("possible", format!("closes {conn:?}, which is closed"));
        };
        if flush && !link.out.is_empty() {
            link.flushing = true;
            self.agenda.enter(now + FLUSH_LIMIT, Step::FlushOver(conn));
            return self.pump_at(now, conn);
        }
        self.finish(now, conn, disks, witness);
    }

    /// A connection is over.
    fn finish(&mut self, now: Monotonic, conn: ConnId, disks: &mut Disks, witness: &Witness) {
        let Some(mut link) = self.links.remove(&conn) else {
            return;
        };
        link.out.drop_queue(disks);
        let browser = &mut self.browsers[link.viewer];
        if browser.conn != Some(conn) {
            return;
        }
        let is_steady = browser.habit.is_steady() && link.peer == Peer::Takes;
        let left = browser.ended(&mut Knowledge {
            now,
            seen: &mut self.seen,
            witness,
        });
        match left {
            Ok(Some(asked)) if is_steady && !self.is_excused(asked.at, now) => {
                let since = now.since(asked.at);
                let what = format!("{:?}, {since:?} after it was asked for", asked.wish);
                self.fault("cut-has-cause", what);
            }
            Ok(_) => (),
            Err(broken) => {
                self.broken.get_or_insert(broken);
            }
        }
        let viewer = link.viewer;
        if !self.browsers[viewer].is_done {
            self.act_within(now, viewer, 50..=10_000);
        }
    }

    fn is_excused(&self, from: Monotonic, to: Monotonic) -> bool {
        self.troubles.iter().any(|(a, b)| *a <= to && from <= *b)
    }

    /// What is due by `now`.
    pub fn poll(
        &mut self,
        now: Monotonic,
        disks: &mut Disks,
        witness: &Witness,
    ) -> Option<Arrival> {
        while let Some(step) = self.agenda.take_due(now) {
            let arrival = self.step(now, step, disks, witness);
            if arrival.is_some() || self.broken.is_some() {
                return arrival;
            }
        }
        None
    }

    fn step(
        &mut self,
        now: Monotonic,
        step: Step,
        disks: &mut Disks,
        witness: &Witness,
    ) -> Option<Arrival> {
        match step {
            Step::Act(viewer) => self.act(now, viewer, witness),
            Step::ToRecorder(conn) => self.pass(now, conn),
            Step::Pump(conn) => self.pump(now, conn, disks, witness),
            Step::Look(conn) => self.look(now, conn),
            Step::Take(conn) => {
                self.take(now, conn, disks, witness);
                None
            }
            Step::InputEnd(conn) => {
                let open = self.links.get(&conn).filter(|l| !l.flushing);
                open.map(|_| Arrival::InputEnded { conn })
            }
            Step::Reset(conn) => {
                let mut link = self.links.remove(&conn)?;
                link.out.drop_queue(disks);
                (!link.flushing).then_some(Arrival::Closed {
                    conn,
                    reason: SocketError::Reset,
                })
            }
            Step::FlushOver(conn) => {
                self.finish(now, conn, disks, witness);
                None
            }
            Step::LetGo(conn) => {
                let link = self.links.get(&conn)?;
                let what = format!("{conn:?} is kept: {:?} for {LET_GO:?}", link.peer);
                self.fault("lets-go", what);
                None
            }
            Step::Patience(viewer, serial) => {
                self.lose_patience(now, viewer, serial);
                None
            }
        }
    }

    /// A viewer does the next thing.
    fn act(&mut self, now: Monotonic, viewer: usize, witness: &Witness) -> Option<Arrival> {
        if self.browsers[viewer].acts_at != now {
            return None;
        }
        if !self.on {
            self.act_within(now, viewer, 500..=5_000);
            return None;
        }
        let browser = &mut self.browsers[viewer];
        let Some(conn) = browser.conn else {
            browser.sit_down();
            return Some(Arrival::Accept { viewer });
        };
        if browser.is_watching() {
            // It has seen enough.
            self.leave(now, conn, Leaving::Close);
        } else if browser.is_satisfied() {
            browser.think();
            self.ask(now, viewer, witness);
        }
        None
    }

    /// Some of a request passes to the recorder.
    fn pass(&mut self, now: Monotonic, conn: ConnId) -> Option<Arrival> {
        let link = self.links.get_mut(&conn)?;
        link.passing_due = false;
        if link.flushing || link.requests.is_empty() {
            return None;
        }
        let browser = &mut self.browsers[link.viewer];
        let most = match browser.habit.dribbles {
            true => 1 + self.random.index(40),
            false => usize::MAX,
        };
        let bytes = link.requests.drain(..most.min(link.requests.len()));
        let bytes: Vec<u8> = bytes.collect();
        if !link.requests.is_empty() {
            link.passing_due = true;
            let at = now + self.random.millis(0..=1_500);
            self.agenda.enter(at, Step::ToRecorder(conn));
        } else if browser.says_so() && !std::mem::replace(&mut link.said_so, true) {
            let at = now + self.random.millis(0..=20);
            self.agenda.enter(at, Step::InputEnd(conn));
        }
        Some(Arrival::Received { conn, bytes })
    }

    /// The kernel takes what it can.
    fn pump(
        &mut self,
        now: Monotonic,
        conn: ConnId,
        disks: &mut Disks,
        witness: &Witness,
    ) -> Option<Arrival> {
        let link = self.links.get_mut(&conn)?;
        link.pump_due = false;
        let progress = link.out.advance(now, disks, &mut self.random);
        let (arrived, peer, flushing) = (link.out.has_arrived(), link.peer, link.flushing);
        if link.out.waits() && !std::mem::replace(&mut link.look_due, true) {
            self.agenda.enter(now + SENDING_INTERVAL, Step::Look(conn));
        }
        if arrived && peer == Peer::Left {
            let at = now + self.random.millis(1..=50);
            self.agenda.enter(at, Step::Reset(conn));
        } else if arrived && peer == Peer::Takes && !link.take_due {
            link.take_due = true;
            let at = now + self.random.millis(1..=10);
            self.agenda.enter(at, Step::Take(conn));
        }
        match progress {
            Progress::Cold(at) => self.pump_at(at, conn),
            Progress::Drained if !flushing => return Some(Arrival::Drained { conn }),
            Progress::Draining if !flushing => {
                // There may be more that the kernel takes.
                self.pump_at(now, conn);
                return Some(Arrival::Draining { conn });
            }
            Progress::Failed(why) => {
                self.finish(now, conn, disks, witness);
                let reason = SocketError::File(why);
                return (!flushing).then_some(Arrival::Closed { conn, reason });
            }
            _ => (),
        }
        None
    }

    /// The shell looks whether somebody takes what it is sent.
    fn look(&mut self, now: Monotonic, conn: ConnId) -> Option<Arrival> {
        let link = self.links.get_mut(&conn)?;
        link.look_due = link.out.waits();
        if link.look_due {
            self.agenda.enter(now + SENDING_INTERVAL, Step::Look(conn));
        }
        let told = link.out.has_progressed() && link.look_due && !link.flushing;
        told.then_some(Arrival::Sending { conn })
    }

    /// A viewer's machine takes some of what the kernel has.
    fn take(&mut self, now: Monotonic, conn: ConnId, disks: &mut Disks, witness: &Witness) {
        let Some(link) = self.links.get_mut(&conn) else {
            return;
        };
        link.take_due = false;
        if link.peer != Peer::Takes {
            return;
        }
        let viewer = link.viewer;
        let browser = &mut self.browsers[viewer];
        let (most, pause) = match browser.habit.pace {
            Pace::Slow(bytes) => (bytes, Duration::from_millis(100)),
            Pace::Rests(after, time) if browser.came >= after && !link.rested => {
                link.rested = true;
                link.take_due = true;
                return self.agenda.enter(now + time, Step::Take(conn));
            }
            Pace::Stops(after) if browser.came >= after => {
                link.peer = Peer::Stopped;
                return self.agenda.enter(now + LET_GO, Step::LetGo(conn));
            }
            _ => (64 << 10, self.random.millis(1..=10)),
        };
        let bytes = link.out.take(most);
        let replies = browser.receive(
            &bytes,
            &mut Knowledge {
                now,
                seen: &mut self.seen,
                witness,
            },
        );
        self.pump_at(now, conn);
        match replies {
            Ok(replies) => self.say(now, viewer, replies),
            Err(broken) => {
                self.broken.get_or_insert(broken);
                return;
            }
        }
        self.after_receiving(now, viewer, conn, pause);
        let over = |l: &Link| l.flushing && l.out.is_empty();
        if self.links.get(&conn).is_some_and(over) {
            self.finish(now, conn, disks, witness);
        }
    }

    /// What a viewer does when it has got something.
    fn after_receiving(&mut self, now: Monotonic, viewer: usize, conn: ConnId, pause: Duration) {
        let browser = &mut self.browsers[viewer];
        if let Some((_, how)) = browser.habit.leaves.filter(|(n, _)| browser.came >= *n) {
            return self.leave(now, conn, how);
        }
        let begins_to_watch = browser.begins_to_watch();
        if browser.examines {
            self.examiner_got(now, viewer, conn);
        } else if begins_to_watch {
            self.act_within(now, viewer, 10..=60_000);
        } else if browser.is_satisfied() {
            self.act_within(now, viewer, 10..=20_000);
        }
        if let Some(asked) = self.browsers[viewer].first_asked() {
            let step = Step::Patience(viewer, asked.serial);
            self.agenda.enter(now + PATIENCE, step);
        }
        let Some(link) = self.links.get_mut(&conn) else {
            return;
        };
        if link.out.has_arrived() && !link.take_due {
            link.take_due = true;
            self.agenda.enter(now + pause, Step::Take(conn));
        }
    }

    /// An examiner that knows which streams there are has each of them watched, too.
    fn examiner_got(&mut self, now: Monotonic, viewer: usize, conn: ConnId) {
        let browser = &mut self.browsers[viewer];
        if browser.is_watching() {
            if browser.frames_watched() > 0 {
                browser.is_done = true;
                self.leave(now, conn, Leaving::Close);
            }
            return;
        }
        let is_satisfied = browser.is_satisfied();
        let watches = std::mem::take(&mut browser.to_watch);
        for place in watches {
            let examiner = Browser::examiner(self.random.fork("examiner"));
            self.browsers.push(examiner.for_live(place));
            self.act_at(now, self.browsers.len() - 1);
        }
        if is_satisfied {
            self.browsers[viewer].is_done = true;
            self.leave(now, conn, Leaving::Close);
        }
    }

    /// A viewer goes away.
    fn leave(&mut self, now: Monotonic, conn: ConnId, how: Leaving) {
        let Some(link) = self.links.get_mut(&conn) else {
            return;
        };
        let viewer = link.viewer;
        let after = self.random.millis(1..=50);
        link.peer = Peer::Left;
        match how {
            Leaving::Close => self.agenda.enter(now + after, Step::InputEnd(conn)),
            Leaving::Reset => self.agenda.enter(now + after, Step::Reset(conn)),
            Leaving::Vanish => {
                link.peer = Peer::Vanished;
                self.agenda.enter(now + LET_GO, Step::LetGo(conn));
            }
        }
        self.browsers[viewer].cut_off();
        if !self.browsers[viewer].is_done {
            self.act_within(now, viewer, 500..=15_000);
        }
    }

    /// Somebody has waited for long.
    fn lose_patience(&mut self, now: Monotonic, viewer: usize, serial: u64) {
        let browser = &self.browsers[viewer];
        let first = browser.first_asked().filter(|a| a.serial == serial);
        let Some(asked) = first.filter(|_| browser.habit.is_steady()) else {
            return;
        };
        let since = asked.at.max(browser.progress);
        if now.since(since) >= PATIENCE {
            let what = format!("nothing came of {:?}", asked.wish);
            self.fault("served-in-time", what);
        }
    }
}
