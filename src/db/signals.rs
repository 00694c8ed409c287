//! Signals: their kinds, and how their states changed.

use super::{Database, Error};
use crate::time::Wall90k;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::ops::Range;
use uuid::Uuid;

/// The most kinds of signals. At the limit no more are made, as with all of these but changes.
pub const MAX_TYPES: u32 = 100;

/// The most states of a kind, "unknown" not counted.
pub const MAX_STATES: usize = 256;

/// The most signals.
pub const MAX_SIGNALS: u32 = 1000;

/// The most cameras of a signal.
pub const MAX_CAMERAS: usize = 1000;

/// The longest name of a kind, state or signal, or colour.
pub const MAX_TEXT_CHARS: usize = 64;

/// The most changes that are kept of a signal: one a minute for two months, or a hundred a day for
/// three years. Past it the oldest sixteenth goes.
pub const MAX_CHANGES_PER_SIGNAL: u32 = 100_000;

/// The most changes that are told at once, about 1 MB of them. A span with more is refused.
pub const MAX_CHANGES_TOLD: usize = 50_000;

/// A signal's row; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalId(pub i64);

/// A kind of signals: its states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalType {
    pub uuid: Uuid,
    pub name: String,
    /// In order of number. State 0, "unknown", is not among them: every kind has it.
    pub states: Vec<SignalState>,
}

/// A state that signals of a kind may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalState {
    /// From 1 on.
    pub state: u16,
    pub name: String,
    /// For pages: a CSS colour, or empty.
    pub color: String,
    /// There is motion in the pictures of the cameras that the signal directly concerns.
    pub motion: bool,
}

/// A signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    pub id: SignalId,
    pub uuid: Uuid,
    pub kind: Uuid,
    pub name: String,
    pub cameras: Vec<SignalCamera>,
}

/// A camera that a signal concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalCamera {
    pub uuid: Uuid,
    /// The signal is the camera's own (its motion detector), not just of use beside it (the door in
    /// its view).
    pub direct: bool,
}

/// A signal to be.
#[derive(Clone, Debug)]
pub struct NewSignal {
    pub kind: Uuid,
    pub name: String,
    pub cameras: Vec<SignalCamera>,
}

/// From `at` on a signal has a state, until its next change. State 0 is "unknown".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalChange {
    pub at: Wall90k,
    pub signal: SignalId,
    pub state: u16,
}

/// Signals have states over a span, whatever was said of it before. At its end each goes on with the
/// state that it then had before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalUpdate {
    /// Each signal and its state, 0 for "unknown".
    pub states: Vec<(SignalId, u16)>,
    /// From the start up to and without the end.
    pub span: Range<Wall90k>,
}

/// What is asked about signals. Each is one transaction.
#[derive(Debug)]
pub enum SignalRequest {
    /// [`SignalReply::Signals`].
    List,
    /// Make a kind of signals, or change the one of its UUID: [`SignalReply::Done`].
    PutType(SignalType),
    /// Make a signal: [`SignalReply::Signal`].
    Make(NewSignal),
    /// Remove a signal and what is known of it: [`SignalReply::Done`].
    Remove(SignalId),
    /// How states changed within a span: [`SignalReply::Changes`].
    Changes(Range<Wall90k>),
    /// [`SignalReply::Done`]. What changes nothing writes nothing.
    Update(SignalUpdate),
}

/// The answer to a [`SignalRequest`].
#[derive(Debug)]
pub enum SignalReply {
    Signals {
        types: Vec<SignalType>,
        signals: Vec<Signal>,
    },
    Signal(Signal),
    /// In order of time, then signal: for each signal whose state at the span's start is known the
    /// change that led to it, at that change's own time; then those within the span.
    Changes(Vec<SignalChange>),
    Done,
}

/// Why something about signals could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    #[error("there is no signal {}", .0.0)]
    Unknown(SignalId),
    #[error("there is no signal type {0}")]
    UnknownType(Uuid),
    #[error("signal {} has no state {state}", signal.0)]
    UnknownState { signal: SignalId, state: u16 },
    #[error("there is a signal named {0:?} already")]
    NameTaken(String),
    #[error("a signal's span ends before it starts")]
    Span,
    #[error("a name has 1 to {MAX_TEXT_CHARS} characters, none of them a control character")]
    Text,
    #[error("a signal type's states are numbered from 1 on, each number once")]
    StateNumbers,
    #[error("more than {most} {what}")]
    TooMany { what: &'static str, most: usize },
    #[error("more than {MAX_CHANGES_TOLD} changes in this span: ask for a shorter one")]
    SpanTooLong,
}

impl Database {
    pub(super) fn signals(&mut self, request: SignalRequest) -> Result<SignalReply, Error> {
        match request {
            SignalRequest::List => {
                let tx = self.connection.unchecked_transaction()?;
                Ok(SignalReply::Signals {
                    types: types(&tx)?,
                    signals: signals(&tx)?,
                })
            }
            SignalRequest::Changes(span) => {
                let tx = self.connection.unchecked_transaction()?;
                Ok(SignalReply::Changes(changes(&tx, &span)?))
            }
            SignalRequest::PutType(kind) => {
                let tx = self.transaction()?;
                put_type(&tx, &kind)?;
                tx.commit()?;
                Ok(SignalReply::Done)
            }
            SignalRequest::Make(new) => {
                let uuid = self.new_uuid();
                let tx = self.transaction()?;
                let signal = make(&tx, uuid, new)?;
                tx.commit()?;
                Ok(SignalReply::Signal(signal))
            }
            SignalRequest::Remove(id) => {
                let tx = self.transaction()?;
                if tx.execute("delete from signal where id = ?1", [id.0])? == 0 {
                    return Err(SignalError::Unknown(id).into());
                }
                tx.commit()?;
                Ok(SignalReply::Done)
            }
            SignalRequest::Update(update) => {
                let tx = self.transaction()?;
                apply(&tx, &update)?;
                tx.commit()?;
                Ok(SignalReply::Done)
            }
        }
    }
}

fn types(connection: &Connection) -> Result<Vec<SignalType>, Error> {
    let mut select =
        connection.prepare_cached("select uuid, name from signal_type order by uuid")?;
    let mut types = select
        .query_map([], |r| {
            Ok(SignalType {
                uuid: r.get(0)?,
                name: r.get(1)?,
                states: Vec::new(),
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut select = connection.prepare_cached(
        "select state, name, color, motion from signal_state where type_uuid = ?1 order by state",
    )?;
    for kind in &mut types {
        let states = select.query_map([kind.uuid], |r| {
            Ok(SignalState {
                state: r.get(0)?,
                name: r.get(1)?,
                color: r.get(2)?,
                motion: r.get(3)?,
            })
        })?;
        kind.states = states.collect::<Result<_, _>>()?;
    }
    Ok(types)
}

fn signals(connection: &Connection) -> Result<Vec<Signal>, Error> {
    let mut select =
        connection.prepare_cached("select id, uuid, type_uuid, name from signal order by id")?;
    let mut signals = select
        .query_map([], |r| {
            Ok(Signal {
                id: SignalId(r.get(0)?),
                uuid: r.get(1)?,
                kind: r.get(2)?,
                name: r.get(3)?,
                cameras: Vec::new(),
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut select = connection.prepare_cached(
        "select camera_uuid, direct from signal_camera where signal_id = ?1 order by camera_uuid",
    )?;
    for signal in &mut signals {
        let cameras = select.query_map([signal.id.0], |r| {
            Ok(SignalCamera {
                uuid: r.get(0)?,
                direct: r.get(1)?,
            })
        })?;
        signal.cameras = cameras.collect::<Result<_, _>>()?;
    }
    Ok(signals)
}

fn check_text(text: &str) -> Result<(), SignalError> {
    let fits = (1..=MAX_TEXT_CHARS).contains(&text.chars().count());
    match fits && !text.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(SignalError::Text),
    }
}

fn put_type(tx: &Transaction, kind: &SignalType) -> Result<(), Error> {
    check_text(&kind.name)?;
    if kind.states.len() > MAX_STATES {
        return Err(SignalError::TooMany {
            what: "states",
            most: MAX_STATES,
        }
        .into());
    }
    tx.execute(
        "insert into signal_type (uuid, name) values (?1, ?2)
         on conflict (uuid) do update set name = excluded.name",
        params![kind.uuid, kind.name],
    )?;
    check_count(tx, "signal_type", "signal types", MAX_TYPES)?;
    tx.execute("delete from signal_state where type_uuid = ?1", [kind.uuid])?;
    let mut last = 0;
    for s in &kind.states {
        if s.state <= last {
            return Err(SignalError::StateNumbers.into());
        }
        last = s.state;
        check_text(&s.name)?;
        if !s.color.is_empty() {
            check_text(&s.color)?;
        }
        tx.execute(
            "insert into signal_state (type_uuid, state, name, color, motion)
             values (?1, ?2, ?3, ?4, ?5)",
            params![kind.uuid, s.state, s.name, s.color, s.motion],
        )?;
    }
    Ok(())
}

fn check_count(tx: &Transaction, table: &str, what: &'static str, most: u32) -> Result<(), Error> {
    let count: u32 = tx.query_row(&format!("select count(*) from {table}"), [], |r| r.get(0))?;
    match count > most {
        true => Err(SignalError::TooMany {
            what,
            most: most as usize,
        }
        .into()),
        false => Ok(()),
    }
}

fn make(tx: &Transaction, uuid: Uuid, new: NewSignal) -> Result<Signal, Error> {
    check_text(&new.name)?;
    if new.cameras.len() > MAX_CAMERAS {
        return Err(SignalError::TooMany {
            what: "cameras of a signal",
            most: MAX_CAMERAS,
        }
        .into());
    }
    let known: bool = tx.query_row(
        "select exists (select 1 from signal_type where uuid = ?1)",
        [new.kind],
        |r| r.get(0),
    )?;
    if !known {
        return Err(SignalError::UnknownType(new.kind).into());
    }
    let taken: bool = tx.query_row(
        "select exists (select 1 from signal where name = ?1)",
        [&new.name],
        |r| r.get(0),
    )?;
    if taken {
        return Err(SignalError::NameTaken(new.name).into());
    }
    tx.execute(
        "insert into signal (uuid, type_uuid, name) values (?1, ?2, ?3)",
        params![uuid, new.kind, new.name],
    )?;
    let id = SignalId(tx.last_insert_rowid());
    check_count(tx, "signal", "signals", MAX_SIGNALS)?;
    for camera in &new.cameras {
        tx.execute(
            "insert or replace into signal_camera (signal_id, camera_uuid, direct)
             values (?1, ?2, ?3)",
            params![id.0, camera.uuid, camera.direct],
        )?;
    }
    let made = signals(tx)?.into_iter().find(|s| s.id == id);
    made.ok_or_else(|| SignalError::Unknown(id).into())
}

fn changes(tx: &Transaction, span: &Range<Wall90k>) -> Result<Vec<SignalChange>, Error> {
    let mut found = Vec::new();
    let mut ids = tx.prepare_cached("select id from signal")?;
    let mut ids = ids.query([])?;
    let mut select = tx.prepare_cached(
        "select time_90k, state from signal_change
         where signal_id = ?1 and time_90k >= ?2 and time_90k < ?3 order by time_90k",
    )?;
    while let Some(row) = ids.next()? {
        let signal = SignalId(row.get(0)?);
        // That it is unknown goes without saying.
        let before = last_change(tx, signal, span.start, "<")?;
        found.extend(before.filter(|c| c.state != 0));
        let mut rows = select.query([signal.0, span.start.0, span.end.0])?;
        while let Some(r) = rows.next()? {
            if found.len() >= MAX_CHANGES_TOLD {
                return Err(SignalError::SpanTooLong.into());
            }
            found.push(SignalChange {
                at: Wall90k(r.get(0)?),
                signal,
                state: r.get(1)?,
            });
        }
    }
    found.sort_by_key(|c| (c.at, c.signal));
    Ok(found)
}

/// The signal's last change before a time (`<`), or up to it (`<=`).
fn last_change(
    connection: &Connection,
    signal: SignalId,
    at: Wall90k,
    relation: &str,
) -> Result<Option<SignalChange>, Error> {
    Ok(connection
        .prepare_cached(&format!(
            "select time_90k, state from signal_change where signal_id = ?1
             and time_90k {relation} ?2 order by time_90k desc limit 1"
        ))?
        .query_row([signal.0, at.0], |r| {
            Ok(SignalChange {
                at: Wall90k(r.get(0)?),
                signal,
                state: r.get(1)?,
            })
        })
        .optional()?)
}

fn apply(tx: &Transaction, update: &SignalUpdate) -> Result<(), Error> {
    if update.span.end < update.span.start {
        return Err(SignalError::Span.into());
    }
    if update.states.len() > MAX_SIGNALS as usize {
        return Err(SignalError::TooMany {
            what: "signals",
            most: MAX_SIGNALS as usize,
        }
        .into());
    }
    for (signal, state) in &update.states {
        check_state(tx, *signal, *state)?;
        if update.span.start < update.span.end {
            apply_one(tx, *signal, *state, &update.span)?;
        }
    }
    Ok(())
}

fn check_state(tx: &Transaction, signal: SignalId, state: u16) -> Result<(), Error> {
    let known: Option<bool> = tx
        .prepare_cached(
            "select ?2 = 0 or exists (select 1 from signal_state t
               where t.type_uuid = s.type_uuid and t.state = ?2)
             from signal s where s.id = ?1",
        )?
        .query_row(params![signal.0, state], |r| r.get(0))
        .optional()?;
    match known {
        Some(true) => Ok(()),
        Some(false) => Err(SignalError::UnknownState { signal, state }.into()),
        None => Err(SignalError::Unknown(signal).into()),
    }
}

/// Gives one signal a state over a span that is not empty.
fn apply_one(
    tx: &Transaction,
    signal: SignalId,
    state: u16,
    span: &Range<Wall90k>,
) -> Result<(), Error> {
    let state_of = |change: Option<SignalChange>| change.map_or(0, |c| c.state);
    let before = state_of(last_change(tx, signal, span.start, "<")?);
    let after = state_of(last_change(tx, signal, span.end, "<=")?);
    let mut wanted = Vec::with_capacity(2);
    if state != before {
        wanted.push((span.start.0, state));
    }
    if after != state {
        wanted.push((span.end.0, after));
    }
    let bounds = params![signal.0, span.start.0, span.end.0];
    // One more than can be wanted tells a difference.
    let there = tx
        .prepare_cached(
            "select time_90k, state from signal_change
             where signal_id = ?1 and time_90k between ?2 and ?3 order by time_90k limit 3",
        )?
        .query_map(bounds, |r| Ok((r.get(0)?, r.get(1)?)))?
        .collect::<Result<Vec<(i64, u16)>, _>>()?;
    if there == wanted {
        return Ok(());
    }
    let gone = tx
        .prepare_cached(
            "delete from signal_change where signal_id = ?1 and time_90k between ?2 and ?3",
        )?
        .execute(bounds)?;
    for (at, state) in &wanted {
        tx.prepare_cached(
            "insert into signal_change (signal_id, time_90k, state) values (?1, ?2, ?3)",
        )?
        .execute(params![signal.0, at, state])?;
    }
    let kept: u32 = tx
        .prepare_cached(
            "update signal set changes = changes + ?2 - ?3 where id = ?1 returning changes",
        )?
        .query_row(params![signal.0, wanted.len(), gone], |r| r.get(0))?;
    if kept > MAX_CHANGES_PER_SIGNAL {
        drop_oldest(tx, signal, kept - MAX_CHANGES_PER_SIGNAL * 15 / 16)?;
    }
    Ok(())
}

fn drop_oldest(tx: &Transaction, signal: SignalId, changes: u32) -> Result<(), Error> {
    let gone = tx.execute(
        "delete from signal_change where signal_id = ?1 and time_90k in (
           select time_90k from signal_change where signal_id = ?1 order by time_90k limit ?2)",
        params![signal.0, changes],
    )?;
    tx.execute(
        "update signal set changes = changes - ?2 where id = ?1",
        params![signal.0, gone],
    )?;
    Ok(())
}
