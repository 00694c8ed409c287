//! Those who look: they are served, and what is wrong with their answers is caught.

use crate::tampering::{Tampering, broken_rule, run_tampered, with_power_cut};
use moonfire_nvr::nvr::Nvr;
use moonfire_nvr::nvr::port::{Action, ConnId, Core, DiskRequest, Event, FileId, OpId};
use moonfire_nvr::sim::scenario::Scenario;
use moonfire_nvr::sim::world::{Subject, Tracing, run, run_and_inspect};
use moonfire_nvr::time::{Monotonic, Now};
use std::time::Duration;

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
