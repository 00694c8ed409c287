//! Signals: what is said of a span holds there and nowhere else.

use super::*;
use crate::db::signals::MAX_CHANGES_PER_SIGNAL;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64;
use std::collections::BTreeMap;
use std::ops::Range;
use uuid::Uuid;

const DOOR: Uuid = Uuid::from_u128(1);

fn ask(db: &mut Database, request: SignalRequest) -> Result<SignalReply, SignalError> {
    match db.handle(Request::Signals(request)) {
        Ok(Reply::Signals(reply)) => Ok(reply),
        Err(Error::Signal(error)) => Err(error),
        other => panic!("{other:?}"),
    }
}

fn door() -> SignalType {
    let state = |state, name: &str| SignalState {
        state,
        name: name.to_owned(),
        color: String::new(),
        motion: state == 2,
    };
    SignalType {
        uuid: DOOR,
        name: "door".to_owned(),
        states: vec![state(1, "shut"), state(2, "open")],
    }
}

fn new_signal(name: &str) -> NewSignal {
    NewSignal {
        kind: DOOR,
        name: name.to_owned(),
        cameras: vec![SignalCamera {
            uuid: Uuid::from_u128(77),
            direct: true,
        }],
    }
}

fn make(db: &mut Database, name: &str) -> Signal {
    match ask(db, SignalRequest::Make(new_signal(name))).unwrap() {
        SignalReply::Signal(signal) => signal,
        other => panic!("{other:?}"),
    }
}

/// A database with two doors.
fn two_doors() -> (Database, SignalId, SignalId) {
    let mut db = memory(1).unwrap();
    ask(&mut db, SignalRequest::PutType(door())).unwrap();
    let front = make(&mut db, "front").id;
    let back = make(&mut db, "back").id;
    (db, front, back)
}

fn span(span: Range<i64>) -> Range<Wall90k> {
    Wall90k(span.start)..Wall90k(span.end)
}

fn update(
    db: &mut Database,
    states: &[(SignalId, u16)],
    within: Range<i64>,
) -> Result<(), SignalError> {
    let update = SignalUpdate {
        states: states.to_vec(),
        span: span(within),
    };
    ask(db, SignalRequest::Update(update)).map(|_| ())
}

fn changes(db: &mut Database, within: Range<i64>) -> Vec<(i64, i64, u16)> {
    match ask(db, SignalRequest::Changes(span(within))).unwrap() {
        SignalReply::Changes(changes) => changes
            .iter()
            .map(|c| (c.at.0, c.signal.0, c.state))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn kinds_and_signals_are_told() {
    let (mut db, front, back) = two_doors();
    let SignalReply::Signals { types, signals } = ask(&mut db, SignalRequest::List).unwrap() else {
        panic!("something else");
    };
    assert_eq!(types, [door()]);
    assert_eq!(
        signals.iter().map(|s| s.id).collect::<Vec<_>>(),
        [front, back]
    );
    assert_eq!(signals[0].cameras, new_signal("front").cameras);
    assert_ne!(signals[0].uuid, signals[1].uuid);

    let mut renamed = door();
    renamed.name = "gate".to_owned();
    renamed.states.pop();
    ask(&mut db, SignalRequest::PutType(renamed.clone())).unwrap();
    ask(&mut db, SignalRequest::Remove(back)).unwrap();
    let SignalReply::Signals { types, signals } = ask(&mut db, SignalRequest::List).unwrap() else {
        panic!("something else");
    };
    assert_eq!((types, signals.len()), (vec![renamed], 1));
}

#[test]
fn a_state_holds_within_its_span_and_the_former_one_after_it() {
    let (mut db, front, back) = two_doors();
    update(&mut db, &[(front, 1)], 100..1000).unwrap();
    update(&mut db, &[(front, 2), (back, 2)], 300..400).unwrap();
    let (f, b) = (front.0, back.0);
    assert_eq!(
        changes(&mut db, 0..2000),
        [
            (100, f, 1),
            (300, f, 2),
            (300, b, 2),
            (400, f, 1),
            (400, b, 0),
            (1000, f, 0)
        ]
    );
    // What was before a span is told at its own time, unless it is unknown.
    assert_eq!(changes(&mut db, 350..400), [(300, f, 2), (300, b, 2)]);
    assert_eq!(
        changes(&mut db, 400..401),
        [(300, f, 2), (300, b, 2), (400, f, 1), (400, b, 0)]
    );
    assert_eq!(changes(&mut db, 401..999), [(400, f, 1)]);
    assert_eq!(changes(&mut db, 1001..2000), []);
    assert_eq!(changes(&mut db, 0..100), []);
    // A span that says what holds already writes nothing.
    let before = db.connection.total_changes();
    update(&mut db, &[(front, 1), (back, 0)], 400..900).unwrap();
    update(&mut db, &[(front, 2)], 500..500).unwrap();
    assert_eq!(db.connection.total_changes(), before);
}

#[test]
#[allow(clippy::reversed_empty_ranges)] // One is what is refused.
fn what_cannot_be_is_refused_whole() {
    let (mut db, front, _) = two_doors();
    let nobody = SignalId(99);
    for (states, within, why) in [
        (
            vec![(front, 1)],
            Range { start: 2, end: 1 },
            SignalError::Span,
        ),
        (
            vec![(front, 1), (nobody, 1)],
            1..2,
            SignalError::Unknown(nobody),
        ),
        (
            vec![(front, 1), (front, 3)],
            1..2,
            SignalError::UnknownState {
                signal: front,
                state: 3,
            },
        ),
        (
            vec![(front, 1); 1001],
            1..2,
            SignalError::TooMany {
                what: "signals",
                most: 1000,
            },
        ),
    ] {
        assert_eq!(update(&mut db, &states, within).unwrap_err(), why);
    }
    assert_eq!(changes(&mut db, i64::MIN..i64::MAX), []);
    assert_eq!(
        ask(&mut db, SignalRequest::Make(new_signal("front"))).unwrap_err(),
        SignalError::NameTaken("front".to_owned())
    );
    let stranger = NewSignal {
        kind: Uuid::nil(),
        ..new_signal("side")
    };
    assert_eq!(
        ask(&mut db, SignalRequest::Make(stranger)).unwrap_err(),
        SignalError::UnknownType(Uuid::nil())
    );
    let mut twice = door();
    twice.states[1].state = 1;
    let mut zero = door();
    zero.states[0].state = 0;
    for kind in [twice, zero] {
        assert_eq!(
            ask(&mut db, SignalRequest::PutType(kind)).unwrap_err(),
            SignalError::StateNumbers
        );
    }
    assert_eq!(
        ask(&mut db, SignalRequest::Make(new_signal(""))).unwrap_err(),
        SignalError::Text
    );
    assert_eq!(
        ask(&mut db, SignalRequest::Remove(nobody)).unwrap_err(),
        SignalError::Unknown(nobody)
    );
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    let (mut db, front, _) = two_doors();
    update(&mut db, &[(front, 1)], i64::MIN..i64::MAX).unwrap();
    let f = front.0;
    assert_eq!(changes(&mut db, i64::MIN..i64::MAX), [(i64::MIN, f, 1)]);
    assert_eq!(changes(&mut db, 5..6), [(i64::MIN, f, 1)]);
}

/// Random updates against a table that has the state of each moment.
#[test]
fn any_updates_do_what_they_say() {
    const MOMENTS: i64 = 40;
    for seed in 0..50 {
        let (mut db, front, back) = two_doors();
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut model: BTreeMap<SignalId, Vec<u16>> = [front, back]
            .map(|s| (s, vec![0; MOMENTS as usize + 1]))
            .into();
        for _ in 0..60 {
            let mut below = |n: i64| i64::from(rng.next_u32()) % n;
            let (a, b) = (below(MOMENTS), below(MOMENTS));
            let within = a.min(b)..a.max(b);
            let signal = [front, back][below(2) as usize];
            let state = below(3) as u16;
            update(&mut db, &[(signal, state)], within.clone()).unwrap();
            let states = model.get_mut(&signal).unwrap();
            for moment in within {
                states[moment as usize] = state;
            }
            let (a, b) = (below(MOMENTS), below(MOMENTS));
            check(&mut db, &model, a.min(b)..a.max(b) + 1, seed);
        }
        let kept: i64 = db
            .connection
            .query_row("select sum(changes) from signal", [], |r| r.get(0))
            .unwrap();
        assert_eq!(kept, count(&db, "signal_change"), "seed {seed}");
    }
}

/// What is told of a span, followed from its start, gives the state of each moment in it.
fn check(db: &mut Database, model: &BTreeMap<SignalId, Vec<u16>>, within: Range<i64>, seed: u64) {
    let told = changes(db, within.clone());
    assert!(told.is_sorted_by_key(|(at, signal, _)| (*at, *signal)));
    for (signal, states) in model {
        let mut own = told.iter().filter(|(_, s, _)| *s == signal.0).peekable();
        let mut state = 0;
        for moment in within.clone() {
            while let Some((_, _, next)) = own.next_if(|(at, ..)| *at <= moment) {
                assert_ne!(*next, state, "seed {seed}: no change at all");
                state = *next;
            }
            assert_eq!(
                state, states[moment as usize],
                "seed {seed}: {signal:?} at {moment}"
            );
        }
        assert_eq!(own.next(), None, "seed {seed}: after the span");
    }
}

#[test]
fn changes_are_bounded() {
    let (mut db, front, back) = two_doors();
    update(&mut db, &[(back, 1)], 0..1).unwrap();
    let limit = i64::from(MAX_CHANGES_PER_SIGNAL);
    // A change at each even moment, as if by as many updates.
    db.connection
        .execute_batch(&format!(
            "insert into signal_change (signal_id, time_90k, state)
               with recursive n (i) as (select 1 union all select i + 1 from n limit {})
               select {}, i * 2, 1 + i % 2 from n;
             update signal set changes = {} where id = {};",
            limit - 1,
            front.0,
            limit - 1,
            front.0
        ))
        .unwrap();
    let kept = |db: &Database| -> (i64, i64) {
        db.connection
            .query_row(
                "select count(*), min(time_90k) from signal_change where signal_id = ?1",
                [front.0],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )
            .unwrap()
    };
    let end = limit * 2;
    update(&mut db, &[(front, 1)], end..end + 1).unwrap();
    let (n, oldest) = kept(&db);
    assert_eq!(n, limit * 15 / 16);
    assert_eq!(oldest, 2 * (limit - n + 2));
    // The other signal's are not touched; nor is anything told by halves.
    assert_eq!(changes(&mut db, 0..3), [(0, back.0, 1), (1, back.0, 0)]);
    assert_eq!(
        ask(&mut db, SignalRequest::Changes(span(0..end))).unwrap_err(),
        SignalError::SpanTooLong
    );
    assert!(changes(&mut db, end - 10_000..end).len() > 4000);
}
