//! Messages that are kept for the owner of a run until they are noted in the run's log.
//!
//! Only if this process has several hosts, one of which may send what another one has to note.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::state::{Live, Tx};
use super::{events, hosts, run_row};
use crate::model::{Event, HostId, Json, RunId, RunKey, SignalName};
use crate::storage::{Message, MessageKind};

/// Keeps a message to a run for its owner. Returns its number; 0 if it needs not be kept.
pub(super) fn keep(tx: &mut Tx<'_>, run: i64, owner: i64, kind: &MessageKind) -> rusqlite::Result<i64> {
    // While the runs of a host that is gone have no other owner yet, nobody can be told of the message.
    if hosts::count_alive(tx.db)? < 2 && hosts::is_alive(tx.db, owner)? {
        return Ok(0);
    }
    let (word, name, value) = match kind {
        MessageKind::Cancel => ("cancel", None, None),
        MessageKind::Pause => ("pause", None, None),
        MessageKind::Resume => ("resume", None, None),
        MessageKind::Signal(name) => ("signal", Some(name), None),
        MessageKind::Parameter(name, value) => ("parameter", Some(name), Some(value)),
    };
    tx.state.any_messages = Some(true);
    tx.db
        .prepare_cached(
            "INSERT INTO messages (run, owner, kind, name, value) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING no",
        )?
        .query_row(params![run, owner, word, name.map(SignalName::as_str), value.map(Json::as_str)], |row| {
            row.get(0)
        })
}

fn kind(row: &Row<'_>, at: usize) -> rusqlite::Result<MessageKind> {
    let name = || run_row::parsed(at + 1, SignalName::parse(row.get_ref(at + 1)?.as_str()?).ok());
    Ok(match row.get_ref(at)?.as_str()? {
        "cancel" => MessageKind::Cancel,
        "pause" => MessageKind::Pause,
        "resume" => MessageKind::Resume,
        "signal" => MessageKind::Signal(name()?),
        "parameter" => MessageKind::Parameter(name()?, Json::from_valid(row.get(at + 2)?)),
        _ => return run_row::parsed(at, None),
    })
}

/// See [`Signals::messages`](crate::storage::Signals::messages).
pub(super) fn of_owner(db: &Connection, owner: &HostId, limit: u32) -> rusqlite::Result<Vec<Message>> {
    let mut statement = db.prepare_cached(
        "SELECT messages.no, runs.no, runs.id, messages.kind, messages.name, messages.value \
         FROM messages JOIN hosts ON hosts.no = messages.owner JOIN runs ON runs.no = messages.run \
         WHERE hosts.id = ?1 ORDER BY messages.no LIMIT ?2",
    )?;
    let rows = statement.query_and_then(params![owner.as_str(), limit], |row| {
        let id = run_row::parsed(2, RunId::parse(row.get_ref(2)?.as_str()?).ok())?;
        Ok(Message { no: row.get(0)?, run: RunKey { no: row.get(1)?, id }, kind: kind(row, 3)? })
    })?;
    rows.collect()
}

/// See [`Signals::is_noted`](crate::storage::Signals::is_noted).
pub(super) fn is_noted(db: &Connection, message: i64) -> rusqlite::Result<bool> {
    let kept: Option<i64> = db
        .prepare_cached("SELECT no FROM messages WHERE no = ?1")?
        .query_row([message], |row| row.get(0))
        .optional()?;
    Ok(kept.is_none())
}

/// Stops to keep messages to a run that its owner notes.
pub(super) fn heard(tx: &mut Tx<'_>, run: i64, messages: &[i64]) -> rusqlite::Result<()> {
    for message in messages {
        tx.db.prepare_cached("DELETE FROM messages WHERE no = ?1 AND run = ?2")?.execute([*message, run])?;
        tx.state.any_messages = None;
    }
    Ok(())
}

/// Notes all messages that are kept for the owner of a run, who loses it now. Returns the events.
pub(super) fn note(tx: &mut Tx<'_>, run: i64, live: &Live) -> rusqlite::Result<Vec<Event>> {
    if !any(tx)? {
        return Ok(Vec::new());
    }
    let kinds: Vec<MessageKind> = tx
        .db
        .prepare_cached("SELECT kind, name, value FROM messages WHERE run = ?1 ORDER BY no")?
        .query_map([run], |row| kind(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    if kinds.is_empty() {
        return Ok(Vec::new());
    }
    tx.db.prepare_cached("DELETE FROM messages WHERE run = ?1")?.execute([run])?;
    tx.state.any_messages = None;
    let notes: Vec<_> = kinds.iter().filter_map(MessageKind::note).collect();
    events::insert(tx.db, run, live.last_seq + 1, live.attempt, &notes)?;
    let numbered = (live.last_seq + 1..).zip(notes);
    Ok(numbered.map(|(seq, what)| Event { seq, attempt: live.attempt, what }).collect())
}

/// Whether any message is kept.
fn any(tx: &mut Tx<'_>) -> rusqlite::Result<bool> {
    if let Some(any) = tx.state.any_messages {
        return Ok(any);
    }
    let any =
        tx.db.prepare_cached("SELECT EXISTS (SELECT 1 FROM messages)")?.query_row([], |row| row.get(0))?;
    tx.state.any_messages = Some(any);
    Ok(any)
}
