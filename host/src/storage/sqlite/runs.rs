//! Changes of a run's state except its claim: submitted, requeued, cancelled, finished.

use rusqlite::params;

use super::claims::AttemptStart;
use super::run_row::LabelsColumn;
use super::state::{Applied, Queued, Tx};
use super::{
    checkpoints, child_runs, claims, deadlocks, events, list, lock_column, locks, messages, signals,
};
use crate::model::{Event, Fence, NewEvent, OnDisconnect, Outcome, Run, RunId, RunKey, RunStatus, Timestamp};
use crate::storage::{CancelOutcome, Claimant, MessageKind, NewRun, StorageError, SubmitOutcome};

/// See [`Runs::submit`](crate::storage::Runs::submit).
pub(super) fn submit(tx: &mut Tx<'_>, new: &NewRun, claimant: Option<&Claimant>) -> Applied<SubmitOutcome> {
    let owner = claimant.map(|claimant| tx.owner_no(&claimant.owner)).transpose()?;
    let task = tx.task_no(&new.task)?;
    if let Some(existing) = submitted_before(tx, new, task)? {
        return Ok(SubmitOutcome::Existing(existing));
    }
    let depth = new.parent.map_or(Ok(0), |parent| child_runs::depth_below(tx, parent))?;
    let busy = busy_lock(tx, new, task)?;
    let waiting = tx.queued()?.get(&task).copied().unwrap_or_default();
    // A run that is claimed at once would begin without its parameters.
    let may_start = busy.is_none() && new.not_before.is_none() && new.parameters.is_empty();
    let claimant = match claimant.zip(owner) {
        Some(claimant) if may_start && !overtakes(tx, new, waiting)? => Some(claimant),
        _ => None,
    };
    if claimant.is_none()
        && let Some(full) = queue_full(tx, new, waiting.all())?
    {
        return Err(full.into());
    }
    let no = tx.next_run_no()?;
    let mut run = new.waiting(no, busy);
    if let Some((claimant, _)) = claimant {
        claims::next_attempt(&mut run, &claimant.version);
    }
    insert(tx, &run, (task, depth), claimant, new)?;
    match claimant {
        Some((claimant, owner)) => {
            let locks = (!new.locks.is_empty()).then(|| new.locks.as_slice().into());
            let on_interrupt = claimant.on_interrupt;
            let fence = Fence::of_claim(1, owner);
            let start = AttemptStart { fence, last: 0, locks, on_interrupt, depth };
            Ok(SubmitOutcome::Claimed(claims::begin(tx, run, start)?))
        }
        None => Ok(SubmitOutcome::Queued(enqueue(tx, run, task, new)?)),
    }
}

/// The lock that the new run has to wait for, or why it must not.
fn busy_lock(tx: &mut Tx<'_>, new: &NewRun, task: i64) -> Applied<Option<String>> {
    let busy = locks::busy_for_new(tx, &new.locks)?.map(|lock| lock.name.clone());
    if new.fail_if_busy {
        let promised = locks::promised(tx, task, &new.locks)?.map(|lock| lock.name.clone());
        if let Some(name) = busy.clone().or(promised) {
            return Err(StorageError::Busy(name).into());
        }
    }
    if busy.is_some()
        && let Some(deadlock) = deadlocks::of_start(tx.db, new)?
    {
        return Err(StorageError::Deadlock(deadlock).into());
    }
    Ok(busy)
}

/// Whether an older run waits that has to start before the new one: one of the same task or, if the new run takes
/// locks, any, for it may be about to take the same.
fn overtakes(tx: &mut Tx<'_>, new: &NewRun, of_task: Queued) -> rusqlite::Result<bool> {
    Ok(match new.locks.is_empty() {
        true => of_task.ready > 0,
        false => tx.queued()?.values().any(|queued| queued.ready > 0),
    })
}

/// Writes the first events of a run that waits, and its parameters. Returns the run as it is then.
fn enqueue(tx: &mut Tx<'_>, run: Run, task: i64, new: &NewRun) -> rusqlite::Result<Run> {
    let no = run.key.no;
    let mut events = vec![match run.not_before {
        Some(time) => NewEvent::delayed(time, new.delayed_by),
        None => {
            tx.enqueued(task, run.waits_for.is_some());
            NewEvent::queued(run.waits_for.as_deref())
        }
    }];
    for (name, value) in &new.parameters {
        signals::store_parameter(tx, no, name, value)?;
        events.push(NewEvent::parameter(name, value));
    }
    events::insert(tx.db, no, 1, 0, &events)?;
    let Some(name) = &run.waits_for else { return Ok(run) };
    // All runs in line for it may be of tasks that are not loaded. Such runs must not block it.
    locks::unblock_waiting(tx, name)?;
    list::by_no(tx.db, no)
}

/// The error if the queue has reached a limit.
fn queue_full(tx: &mut Tx<'_>, new: &NewRun, of_task: u64) -> rusqlite::Result<Option<StorageError>> {
    let all: u64 = match new.not_before {
        None => tx.queued()?.values().map(|queued| queued.all()).sum(),
        // Delayed runs are counted separately: they occupy disk space too, but delay no other run.
        Some(_) => tx
            .db
            .prepare_cached("SELECT count(*) FROM runs WHERE status = 'delayed'")?
            .query_row([], |row| row.get(0))?,
    };
    let full = [(all, new.max_queued), (of_task, new.max_queued_of_task)];
    Ok(full
        .into_iter()
        .find(|(waiting, most)| waiting >= most)
        .map(|(waiting, _)| StorageError::QueueFull(waiting)))
}

fn insert(
    tx: &mut Tx<'_>,
    run: &Run,
    (task, depth): (i64, u32),
    claimant: Option<(&Claimant, i64)>,
    new: &NewRun,
) -> rusqlite::Result<()> {
    let version = claimant.map(|(claimant, _)| tx.version_no(&claimant.version)).transpose()?;
    tx.db
        .prepare_cached(
            "INSERT INTO runs (no, id, task, status, attempt, fence, owner, version, created_at, started_at, \
             labels, idempotency_key, input, not_before, priority, needs, waits_for, on_interrupt, \
             parent, detached, on_disconnect, depth, request) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, \
             ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)",
        )?
        .execute(params![
            run.key.no,
            run.key.id.as_str(),
            task,
            run.status.as_str(),
            run.attempt,
            run.attempt, // the first claim's fence is 1
            claimant.map(|(_, owner)| owner),
            version,
            run.created_at.as_millis(),
            run.started_at.map(Timestamp::as_millis),
            LabelsColumn(&run.labels),
            new.idempotency_key,
            run.input.as_str(),
            run.not_before.map(Timestamp::as_millis),
            run.priority,
            lock_column::write(&new.locks),
            run.waits_for,
            claimant.and_then(|(claimant, _)| claims::interrupt_column(claimant.on_interrupt)),
            new.parent.map(|parent| parent.run),
            new.parent.filter(|parent| parent.detached).map(|_| 1),
            Some(run.on_disconnect).filter(|policy| *policy != OnDisconnect::default()).map(OnDisconnect::as_str),
            depth,
            new.digest,
        ])?;
    for (key, value) in &run.labels {
        tx.db
            .prepare_cached("INSERT INTO run_labels (key, value, run) VALUES (?1, ?2, ?3)")?
            .execute(params![key, value, run.key.no])?;
    }
    Ok(())
}

/// The run of an earlier equal request. An earlier different one is a conflict.
fn submitted_before(tx: &Tx<'_>, new: &NewRun, task: i64) -> Applied<Option<Run>> {
    let same = |run: &Run| is_same(tx, run, new);
    if let Some(key) = &new.idempotency_key
        && let Some(run) = list::by_idempotency_key(tx.db, task, key)?
    {
        let own_id_differs = new.own_id && run.key.id != new.id;
        if same(&run)? && !own_id_differs {
            return Ok(Some(run));
        }
        let message = format!(
            "the idempotency key {key:?} was used for another request; send the same, or choose another key"
        );
        return Err(StorageError::Conflict(message).into());
    }
    if new.own_id
        && let Some(run) = list::by_id(tx.db, &new.id)?
    {
        if same(&run)? {
            return Ok(Some(run));
        }
        let id = &new.id;
        let message =
            format!("the run {id:?} was started by another request; send the same, or choose another id");
        return Err(StorageError::Conflict(message).into());
    }
    Ok(None)
}

/// Whether the run was submitted by an equal request.
fn is_same(tx: &Tx<'_>, run: &Run, new: &NewRun) -> rusqlite::Result<bool> {
    let request: Option<String> = tx
        .db
        .prepare_cached("SELECT request FROM runs WHERE no = ?1")?
        .query_row([run.key.no], |row| row.get(0))?;
    Ok(run.task == new.task
        && match request {
            Some(request) => {
                [&new.digest, &new.text_digest].into_iter().flatten().any(|digest| *digest == request)
            }
            // Written by a version that stored no digest.
            None => run.input == new.input && run.labels == new.labels,
        })
}

/// See [`Runs::requeue`](crate::storage::Runs::requeue).
pub(super) fn requeue(
    tx: &mut Tx<'_>,
    run: &RunKey,
    fence: Fence,
    event: &NewEvent,
    not_before: Option<Timestamp>,
) -> Applied<Vec<Event>> {
    let live = tx.owned(run.no, fence)?.clone();
    // Its cancellation was requested while the attempt ended, and no attempt would notice before the next one.
    if cancel_requested(tx, run.no)? {
        return finish(tx, run, fence, &Outcome::Cancelled(None));
    }
    let mut events = messages::note(tx, run.no, &live)?;
    let seq = live.last_seq + events.len() as u64 + 1;
    events::insert(tx.db, run.no, seq, live.attempt, std::slice::from_ref(event))?;
    let next = if not_before.is_some() { RunStatus::Delayed } else { RunStatus::Queued };
    let status: String = tx
        .db
        .prepare_cached(
            "UPDATE runs SET status = iif(status = 'paused', status, ?2), not_before = ?3, owner = NULL \
             WHERE no = ?1 RETURNING status",
        )?
        .query_row(params![run.no, next.as_str(), not_before.map(Timestamp::as_millis)], |row| row.get(0))?;
    if status == RunStatus::Queued.as_str() {
        let task = task_of(tx, run.no)?;
        tx.enqueued(task, false);
    }
    locks::release(tx, run.no)?;
    events.push(Event { seq, attempt: live.attempt, what: event.clone() });
    Ok(events)
}

/// See [`Runs::finish`](crate::storage::Runs::finish).
pub(super) fn finish(tx: &mut Tx<'_>, run: &RunKey, fence: Fence, outcome: &Outcome) -> Applied<Vec<Event>> {
    let live = tx.owned(run.no, fence)?.clone();
    // Its cancellation was requested while it ended, and the canceller has got the answer that it would be.
    let cancelled = cancel_requested(tx, run.no)?.then(|| Outcome::Cancelled(outcome.final_value().cloned()));
    let outcome = cancelled.as_ref().unwrap_or(outcome);
    remove_attempt_data(tx, run.no)?;
    let mut events = messages::note(tx, run.no, &live)?;
    let seq = live.last_seq + events.len() as u64 + 1;
    events.push(end(tx, run.no, seq, live.attempt, outcome)?);
    locks::release(tx, run.no)?;
    Ok(events)
}

/// Writes the terminal event and the outcome in the run's row.
fn end(tx: &Tx<'_>, run: i64, seq: u64, attempt: u32, outcome: &Outcome) -> rusqlite::Result<Event> {
    let event = outcome.terminal_event();
    events::insert(tx.db, run, seq, attempt, std::slice::from_ref(&event))?;
    tx.db
        .prepare_cached(
            "UPDATE runs SET status = ?2, final_value = ?3, error = ?4, finished_at = ?5, last_seq = ?6, \
             owner = NULL, waits_for = NULL WHERE no = ?1",
        )?
        .execute(params![
            run,
            outcome.status().as_str(),
            outcome.final_value().map(|value| value.as_str()),
            outcome.error().map(|error| crate::model::Json::of(error).into_string()),
            event.time.as_millis(),
            seq as i64,
        ])?;
    Ok(Event { seq, attempt, what: event })
}

/// See [`Runs::cancel`](crate::storage::Runs::cancel).
pub(super) fn cancel(tx: &mut Tx<'_>, id: &RunId) -> Applied<CancelOutcome> {
    let Some(run) = list::by_id(tx.db, id)? else { return Ok(CancelOutcome::NotFound) };
    if run.status.is_terminal() {
        return Ok(CancelOutcome::AlreadyEnded(run));
    }
    let owner = signals::owner(tx, &run)?;
    // A paused run is resumed, to clean up.
    tx.db
        .prepare_cached(
            "UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, ?2), \
             status = iif(owner IS NULL, status, 'running') WHERE no = ?1",
        )?
        .execute(params![run.key.no, Timestamp::now().as_millis()])?;
    if let Some(owner) = owner {
        let message = messages::keep(tx, run.key.no, owner, &MessageKind::Cancel)?;
        return Ok(CancelOutcome::Requested { run: list::by_no(tx.db, run.key.no)?, message });
    }
    let last = events::last_seq(tx.db, run.key.no)?;
    end(tx, run.key.no, last + 1, run.attempt, &Outcome::Cancelled(None))?;
    remove_attempt_data(tx, run.key.no)?;
    if run.status == RunStatus::Queued {
        let task = task_of(tx, run.key.no)?;
        tx.dequeued(task, run.waits_for.is_some());
        locks::left_queue(tx, &run)?;
    }
    Ok(CancelOutcome::Ended(list::by_no(tx.db, run.key.no)?))
}

fn cancel_requested(tx: &Tx<'_>, run: i64) -> rusqlite::Result<bool> {
    tx.db
        .prepare_cached("SELECT cancel_requested_at IS NOT NULL FROM runs WHERE no = ?1")?
        .query_row([run], |row| row.get(0))
}

/// Removes the data that only another attempt would need.
fn remove_attempt_data(tx: &mut Tx<'_>, run: i64) -> rusqlite::Result<()> {
    if checkpoints::any(tx.db, run)? {
        checkpoints::remove(tx, run)?;
    }
    signals::remove(tx, run)
}

fn task_of(tx: &Tx<'_>, run: i64) -> rusqlite::Result<i64> {
    tx.db.prepare_cached("SELECT task FROM runs WHERE no = ?1")?.query_row([run], |row| row.get(0))
}
