//! Messages to runs: pause, resume, signals, parameters.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::state::{Applied, Tx};
use super::{events, list, locks, messages, run_row};
use crate::model::{Fence, Json, NewEvent, Run, RunId, RunKey, RunStatus, Signal, SignalName, Timestamp};
use crate::storage::{MAX_PARAMETERS, MAX_WAITING_SIGNALS, MessageKind, MessageOutcome, StorageError};

/// See [`Signals::set_paused`](crate::storage::Signals::set_paused).
pub(super) fn set_paused(tx: &mut Tx<'_>, id: &RunId, paused: bool) -> Applied<MessageOutcome> {
    let run = match reachable(tx, id)? {
        Ok(run) => run,
        Err(reached) => return Ok(reached),
    };
    if paused == (run.status == RunStatus::Paused) {
        return Ok(MessageOutcome::Unchanged(run));
    }
    let owner = owner(tx, &run)?;
    let status = match (paused, owner.is_some()) {
        (true, _) => RunStatus::Paused,
        (false, true) => RunStatus::Running,
        (false, false) if run.not_before.is_some_and(|time| time > Timestamp::now()) => RunStatus::Delayed,
        (false, false) => RunStatus::Queued,
    };
    // A paused run waits for no lock. When it is resumed, its locks are checked again.
    tx.db
        .prepare_cached("UPDATE runs SET status = ?2, waits_for = NULL WHERE no = ?1")?
        .execute(params![run.key.no, status.as_str()])?;
    let task = tx.task_no(&run.task)?;
    match (run.status, status) {
        (RunStatus::Queued, _) => {
            tx.dequeued(task, run.waits_for.is_some());
            locks::left_queue(tx, &run)?;
        }
        (_, RunStatus::Queued) => tx.enqueued(task, false),
        _ => {}
    }
    let kind = if paused { MessageKind::Pause } else { MessageKind::Resume };
    Ok(reached(tx, run, owner, &kind)?)
}

/// See [`Signals::signal`](crate::storage::Signals::signal).
pub(super) fn signal(tx: &mut Tx<'_>, id: &RunId, signal: &Signal) -> Applied<MessageOutcome> {
    let run = match reachable(tx, id)? {
        Ok(run) => run,
        Err(reached) => return Ok(reached),
    };
    let waiting: u32 = tx
        .db
        .prepare_cached("SELECT count(*) FROM signals WHERE run = ?1")?
        .query_row([run.key.no], |row| row.get(0))?;
    if waiting >= MAX_WAITING_SIGNALS {
        let message = format!("{waiting} signals wait already, and the run takes none");
        return Err(StorageError::Limit(message).into());
    }
    tx.db
        .prepare_cached("INSERT INTO signals (run, name, payload) VALUES (?1, ?2, ?3)")?
        .execute(params![run.key.no, signal.name.as_str(), signal.payload.as_str()])?;
    let owner = owner(tx, &run)?;
    Ok(reached(tx, run, owner, &MessageKind::Signal(signal.name.clone()))?)
}

/// See [`Signals::take_signal`](crate::storage::Signals::take_signal).
pub(super) fn take_signal(
    tx: &mut Tx<'_>,
    run: &RunKey,
    fence: Fence,
    name: Option<&SignalName>,
) -> Applied<Option<Signal>> {
    tx.owned(run.no, fence)?;
    let oldest: Option<(i64, String, String)> = tx
        .db
        .prepare_cached(
            "SELECT no, name, payload FROM signals WHERE run = ?1 AND (?2 IS NULL OR name = ?2) \
             ORDER BY no LIMIT 1",
        )?
        .query_row(params![run.no, name.map(SignalName::as_str)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((no, name, payload)) = oldest else { return Ok(None) };
    tx.db.prepare_cached("DELETE FROM signals WHERE no = ?1")?.execute([no])?;
    let name = run_row::parsed(1, SignalName::parse(&name).ok())?;
    Ok(Some(Signal { name, payload: Json::from_valid(payload) }))
}

/// See [`Signals::set_parameter`](crate::storage::Signals::set_parameter).
pub(super) fn set_parameter(
    tx: &mut Tx<'_>,
    id: &RunId,
    name: &SignalName,
    value: &Json,
) -> Applied<MessageOutcome> {
    let run = match reachable(tx, id)? {
        Ok(run) => run,
        Err(reached) => return Ok(reached),
    };
    let others: u32 = tx
        .db
        .prepare_cached("SELECT count(*) FROM parameters WHERE run = ?1 AND name <> ?2")?
        .query_row(params![run.key.no, name.as_str()], |row| row.get(0))?;
    if others >= MAX_PARAMETERS {
        return Err(StorageError::Limit(format!("a run has at most {MAX_PARAMETERS} parameters")).into());
    }
    store_parameter(tx, run.key.no, name, value)?;
    let owner = owner(tx, &run)?;
    Ok(reached(tx, run, owner, &MessageKind::Parameter(name.clone(), value.clone()))?)
}

/// Stores a parameter of a run, and replaces an earlier value.
pub(super) fn store_parameter(
    tx: &Tx<'_>,
    run: i64,
    name: &SignalName,
    value: &Json,
) -> rusqlite::Result<()> {
    tx.db
        .prepare_cached("INSERT OR REPLACE INTO parameters (run, name, value) VALUES (?1, ?2, ?3)")?
        .execute(params![run, name.as_str(), value.as_str()])?;
    Ok(())
}

/// See [`Signals::log_message`](crate::storage::Signals::log_message).
pub(super) fn log_message(tx: &mut Tx<'_>, id: &RunId, event: &NewEvent) -> Applied<MessageOutcome> {
    let run = match reachable(tx, id)? {
        Ok(run) => run,
        Err(reached) => return Ok(reached),
    };
    match owner(tx, &run)? {
        Some(_) => Ok(MessageOutcome::Owner { run, message: 0 }),
        None => Ok(logged(tx, &run, event)?),
    }
}

/// See [`Signals::parameters`](crate::storage::Signals::parameters).
pub(super) fn parameters(db: &Connection, run: i64) -> rusqlite::Result<Vec<(SignalName, Json)>> {
    let mut statement =
        db.prepare_cached("SELECT name, value FROM parameters WHERE run = ?1 ORDER BY name")?;
    let rows = statement.query_and_then([run], |row| {
        let name = run_row::parsed(0, SignalName::parse(row.get_ref(0)?.as_str()?).ok())?;
        Ok((name, Json::from_valid(row.get(1)?)))
    })?;
    rows.collect()
}

/// Removes the pending signals of a run that has ended. Its parameters stay, like its input.
pub(super) fn remove(tx: &Tx<'_>, run: i64) -> rusqlite::Result<()> {
    tx.db.prepare_cached("DELETE FROM signals WHERE run = ?1")?.execute([run])?;
    Ok(())
}

/// Removes the parameters of a run that is removed.
pub(super) fn remove_parameters(tx: &Tx<'_>, run: i64) -> rusqlite::Result<()> {
    tx.db.prepare_cached("DELETE FROM parameters WHERE run = ?1")?.execute([run])?;
    Ok(())
}

/// The run, if it can still receive messages.
fn reachable(tx: &Tx<'_>, id: &RunId) -> rusqlite::Result<Result<Run, MessageOutcome>> {
    Ok(match list::by_id(tx.db, id)? {
        None => Err(MessageOutcome::NotFound),
        Some(run) if run.status.is_terminal() => Err(MessageOutcome::AlreadyEnded(run)),
        Some(run) => Ok(run),
    })
}

/// The number of the host that owns the run.
pub(super) fn owner(tx: &Tx<'_>, run: &Run) -> rusqlite::Result<Option<i64>> {
    tx.db.prepare_cached("SELECT owner FROM runs WHERE no = ?1")?.query_row([run.key.no], |row| row.get(0))
}

/// Keeps the message for the owner of the run, or logs it if there is none.
fn reached(
    tx: &mut Tx<'_>,
    run: Run,
    owner: Option<i64>,
    kind: &MessageKind,
) -> rusqlite::Result<MessageOutcome> {
    match (owner, kind.note()) {
        (Some(owner), _) => {
            let message = messages::keep(tx, run.key.no, owner, kind)?;
            Ok(MessageOutcome::Owner { run: list::by_no(tx.db, run.key.no)?, message })
        }
        (None, Some(note)) => logged(tx, &run, &note),
        (None, None) => Ok(MessageOutcome::Kept(run)),
    }
}

/// Logs a message to a run without an owner.
fn logged(tx: &Tx<'_>, run: &Run, event: &NewEvent) -> rusqlite::Result<MessageOutcome> {
    let seq = events::last_seq(tx.db, run.key.no)? + 1;
    events::insert(tx.db, run.key.no, seq, run.attempt, std::slice::from_ref(event))?;
    Ok(MessageOutcome::Kept(list::by_no(tx.db, run.key.no)?))
}
