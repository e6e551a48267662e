//! Reading runs: one, and many.

use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use super::list_query::query;
use super::run_row::{self, WHOLE, parsed};
use crate::model::{HostId, Run, RunId, RunStatus, Timestamp};
use crate::storage::{QueueState, RunFilter};

/// The run of that number, which must exist.
pub(super) fn by_no(db: &Connection, no: i64) -> rusqlite::Result<Run> {
    db.prepare_cached(&format!("{} WHERE runs.no = ?1", *WHOLE))?.query_row([no], run_row::read)
}

/// The run of that id.
pub(super) fn by_id(db: &Connection, id: &RunId) -> rusqlite::Result<Option<Run>> {
    db.prepare_cached(&format!("{} WHERE runs.id = ?1", *WHOLE))?
        .query_row([id.as_str()], run_row::read)
        .optional()
}

/// The run of the task that was submitted with that idempotency key.
pub(super) fn by_idempotency_key(db: &Connection, task: i64, key: &str) -> rusqlite::Result<Option<Run>> {
    db.prepare_cached(&format!("{} WHERE runs.task = ?1 AND runs.idempotency_key = ?2", *WHOLE))?
        .query_row(params![task, key], run_row::read)
        .optional()
}

/// See [`Runs::queue_state`](crate::storage::Runs::queue_state).
pub(super) fn queue_state(db: &Connection) -> rusqlite::Result<QueueState> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM runs WHERE status = 'queued' AND waits_for IS NULL), \
         (SELECT min(not_before) FROM runs WHERE status = 'delayed')",
    )?
    .query_row([], |row| {
        let next_due = row.get::<_, Option<i64>>(1)?.map(Timestamp::from_millis);
        Ok(QueueState { queued: row.get(0)?, next_due })
    })
}

/// Runs of `owner` with a request to cancel.
pub(super) fn cancel_requests(db: &Connection, owner: &HostId) -> rusqlite::Result<Vec<RunId>> {
    let mut statement = db.prepare_cached(
        "SELECT runs.id FROM runs JOIN hosts ON hosts.no = runs.owner \
         WHERE hosts.id = ?1 AND runs.cancel_requested_at IS NOT NULL",
    )?;
    let rows = statement
        .query_and_then([owner.as_str()], |row| parsed(0, RunId::parse(row.get_ref(0)?.as_str()?).ok()))?;
    rows.collect()
}

/// The newest runs that match, newest first.
///
/// Every combination walks an index backwards and stops at the limit, so the
/// cost does not grow with the number of runs; only a label together with a
/// task, status, time or other label reads the runs of that label, and a time together
/// with a task or status the runs of that time.
pub(super) fn matching(db: &Connection, filter: &RunFilter) -> rusqlite::Result<Vec<Run>> {
    match filter.max_bytes {
        Some(max_bytes) if !filter.brief => within(db, filter, max_bytes),
        _ => find(db, filter),
    }
}

/// The first matching runs with at most `max_bytes` in their large parts, which are read for these runs only.
fn within(db: &Connection, filter: &RunFilter, max_bytes: u64) -> rusqlite::Result<Vec<Run>> {
    // One snapshot for both queries.
    let reading = db.unchecked_transaction()?;
    let (mut runs, mut bytes) = (Vec::new(), 0);
    for brief in find(&reading, &RunFilter { brief: true, ..filter.clone() })? {
        let run = by_no(&reading, brief.key.no)?;
        bytes += run.size();
        if bytes > max_bytes && !runs.is_empty() {
            break;
        }
        runs.push(run);
    }
    Ok(runs)
}

fn find(db: &Connection, filter: &RunFilter) -> rusqlite::Result<Vec<Run>> {
    let by_status = filter.labels.is_empty() && filter.parent.is_none() && !filter.is_by_time();
    match (&filter.task, &filter.statuses[..]) {
        (Some(_), []) if by_status => merge(db, &RunStatus::ALL, filter),
        (_, [_, _, ..]) if by_status => merge(db, &filter.statuses, filter),
        _ => walk(db, filter),
    }
}

fn walk(db: &Connection, filter: &RunFilter) -> rusqlite::Result<Vec<Run>> {
    let (sql, values) = query(filter);
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), run_row::read)?;
    rows.collect()
}

/// Runs of several statuses. The indices order runs by status first, so the newest of each status are read and merged.
fn merge(db: &Connection, statuses: &[RunStatus], filter: &RunFilter) -> rusqlite::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for status in statuses {
        runs.extend(walk(db, &RunFilter { statuses: vec![*status], ..filter.clone() })?);
    }
    match filter.since {
        Some(_) => runs.sort_by_key(|run| run.key.no),
        None => runs.sort_by_key(|run| std::cmp::Reverse(run.key.no)),
    }
    runs.dedup_by_key(|run| run.key.no);
    runs.truncate(filter.limit as usize);
    Ok(runs)
}
