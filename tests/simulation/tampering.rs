//! Cores that do something wrong, each of which some rule must catch: of recording, of the log, of bounds.

use moonfire_nvr::config::Severity;
use moonfire_nvr::db::{self};
use moonfire_nvr::nvr::Nvr;
use moonfire_nvr::nvr::port::{Action, ConnId, Core, DiskRequest, Event, FileId, LogRecord, OpId};
use moonfire_nvr::sim::clock::BootClock;
use moonfire_nvr::sim::scenario::{BoardEnd, Incident, PASSWORD, Scenario};
use moonfire_nvr::sim::world::{Failure, Report, Subject, Tracing, World, run};
use moonfire_nvr::time::{Duration90k, Monotonic, Now};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// What becomes of each of the core's actions.
type Tamper = dyn Fn(&mut Tampering, Action) -> Vec<Action>;

/// A core that does what another one does, but for what a test changes of it.
pub struct Tampered {
    core: Nvr,
    tamper: Rc<Tamper>,
    state: Tampering,
    out: VecDeque<Action>,
}

/// What a test's changes remember.
#[derive(Default)]
pub struct Tampering {
    pub count: usize,
    pub file: Option<FileId>,
    pub conn: Option<ConnId>,
    /// It takes its wall clock for so much ahead.
    pub misreads_clock_by: Duration90k,
    /// It says that it holds far too much.
    pub is_fat: bool,
    /// Connections of those who look.
    pub viewers: BTreeSet<ConnId>,
    pub now: Monotonic,
    pub opened: Option<Action>,
    /// Actions that are held back, and since when.
    pub held: VecDeque<(Monotonic, Action)>,
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
pub fn run_tampered(
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

pub fn broken_rule(result: Result<Report, Box<Failure>>) -> Option<String> {
    result.err().map(|f| f.broken.rule.to_owned())
}

/// A world of one minute past a power cut, in which nothing else goes wrong.
pub fn with_power_cut(seed: u64) -> Scenario {
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
