//! Reading runs: one, many, and a row as a [`Run`].

use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params, params_from_iter};

use crate::model::{
    ErrorKind, HostId, Json, Labels, Run, RunError, RunId, RunKey, RunStatus, TaskRef, Timestamp, Version,
};
use crate::storage::{RunFilter, Waiting};

/// The columns that [`run`] reads, in its order.
const SELECT: &str = "SELECT runs.no, runs.id, tasks.app, tasks.task, versions.sha256, runs.status, runs.attempt, \
     runs.input, runs.final_value, runs.error, runs.created_at, runs.started_at, runs.finished_at, \
     runs.cancel_requested_at, runs.labels, runs.last_seq, runs.not_before, runs.priority, runs.waits_for, \
     parents.id FROM runs JOIN tasks ON tasks.no = runs.task \
     LEFT JOIN versions ON versions.no = runs.version LEFT JOIN runs AS parents ON parents.no = runs.parent";

fn run(row: &Row<'_>) -> rusqlite::Result<Run> {
    let time =
        |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(at)?.map(Timestamp::from_millis));
    let json = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(at)?.map(Json::trusted));
    let status: String = row.get(5)?;
    Ok(Run {
        key: RunKey { no: row.get(0)?, id: parsed(1, RunId::parse(row.get_ref(1)?.as_str()?).ok())? },
        task: parsed(2, TaskRef::parse(row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?).ok())?,
        version: row.get_ref(4)?.as_str_or_null()?.and_then(Version::parse),
        status: parsed(5, RunStatus::parse(&status))?,
        attempt: row.get(6)?,
        input: Json::trusted(row.get(7)?),
        final_value: json(8)?,
        error: json(9)?.map(|error| error_from(&error)),
        created_at: Timestamp::from_millis(row.get(10)?),
        started_at: time(11)?,
        finished_at: time(12)?,
        cancel_requested_at: time(13)?,
        labels: json(14)?.map(|labels| labels_from(&labels)).unwrap_or_default(),
        last_seq: row.get(15)?,
        not_before: time(16)?,
        priority: row.get(17)?,
        waits_for: row.get(18)?,
        parent: row.get_ref(19)?.as_str_or_null()?.and_then(|id| RunId::parse(id).ok()),
    })
}

/// A column that someone has edited by hand into something that is no value of
/// its kind is an error of the row, not a panic.
pub(super) fn parsed<T>(column: usize, value: Option<T>) -> rusqlite::Result<T> {
    value.ok_or_else(|| {
        let message = "not a value that streamtask wrote".into();
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, message)
    })
}

fn labels_from(json: &Json) -> Labels {
    serde_json::from_str(json.as_str()).unwrap_or_default()
}

fn error_from(json: &Json) -> RunError {
    let value = json.to_value();
    let text = |key: &str| value.get(key).and_then(|text| text.as_str()).map(str::to_owned);
    RunError {
        kind: text("kind").and_then(|kind| ErrorKind::parse(&kind)).unwrap_or(ErrorKind::Internal),
        message: text("message").unwrap_or_default(),
        code: text("code"),
        details: value.get("details").map(Json::of),
        retryable: value.get("retryable").is_some_and(|value| value == true),
        retry_after_ms: value.get("retry_after_ms").and_then(|ms| u32::try_from(ms.as_u64()?).ok()),
        trace: text("trace"),
    }
}

/// The run of that number, which must exist.
pub(super) fn by_no(db: &Connection, no: i64) -> rusqlite::Result<Run> {
    db.prepare_cached(&format!("{SELECT} WHERE runs.no = ?1"))?.query_row([no], run)
}

/// The run of that id.
pub(super) fn by_id(db: &Connection, id: &RunId) -> rusqlite::Result<Option<Run>> {
    db.prepare_cached(&format!("{SELECT} WHERE runs.id = ?1"))?.query_row([id.as_str()], run).optional()
}

/// The run of the task that was started with that idempotency key.
pub(super) fn by_idempotency_key(db: &Connection, task: i64, key: &str) -> rusqlite::Result<Option<Run>> {
    db.prepare_cached(&format!("{SELECT} WHERE runs.task = ?1 AND runs.idempotency_key = ?2"))?
        .query_row(params![task, key], run)
        .optional()
}

/// What waits to be claimed.
pub(super) fn waiting(db: &Connection) -> rusqlite::Result<Waiting> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM runs WHERE status = 'queued' AND waits_for IS NULL), \
         (SELECT min(not_before) FROM runs WHERE status = 'delayed')",
    )?
    .query_row([], |row| {
        let next_due = row.get::<_, Option<i64>>(1)?.map(Timestamp::from_millis);
        Ok(Waiting { queued: row.get(0)?, next_due })
    })
}

/// Runs of `owner` that someone asked to cancel.
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
/// task or status reads the runs of that label.
pub(super) fn matching(db: &Connection, filter: &RunFilter) -> rusqlite::Result<Vec<Run>> {
    if let (Some(task), None, None, None) = (&filter.task, filter.status, &filter.label, &filter.parent) {
        return of_task(db, task, filter);
    }
    let mut sql = String::from(SELECT);
    let mut values: Vec<Value> = Vec::new();
    let mut conditions: Vec<&str> = Vec::new();
    if let Some((key, value)) = &filter.label {
        sql += " JOIN run_labels ON run_labels.run = runs.no";
        conditions.push("run_labels.key = ? AND run_labels.value = ?");
        values.extend([Value::from(key.clone()), Value::from(value.clone())]);
    }
    if let Some(task) = &filter.task {
        conditions.push("runs.task = (SELECT no FROM tasks WHERE app = ? AND task = ?)");
        values.extend([Value::from(task.app.to_string()), Value::from(task.task.to_string())]);
    }
    if let Some(status) = filter.status {
        conditions.push("runs.status = ?");
        values.push(Value::from(status.as_str().to_owned()));
    }
    if let Some(parent) = &filter.parent {
        conditions.push("runs.parent = (SELECT no FROM runs WHERE id = ?)");
        values.push(Value::from(parent.to_string()));
    }
    if let Some(before) = filter.before {
        conditions.push(if filter.label.is_some() { "run_labels.run < ?" } else { "runs.no < ?" });
        values.push(Value::from(before));
    }
    let no = if filter.label.is_some() { "run_labels.run" } else { "runs.no" };
    if let Some(since) = filter.since {
        conditions.push(if filter.label.is_some() { "run_labels.run > ?" } else { "runs.no > ?" });
        values.push(Value::from(since));
    }
    if !conditions.is_empty() {
        sql = sql + " WHERE " + &conditions.join(" AND ");
    }
    sql = sql + " ORDER BY " + no;
    sql += if filter.since.is_some() { " LIMIT ?" } else { " DESC LIMIT ?" };
    values.push(Value::from(filter.limit));
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), run)?;
    rows.collect()
}

/// The index orders the runs of a task by status first, so the newest of each
/// status are read and merged.
fn of_task(db: &Connection, task: &TaskRef, filter: &RunFilter) -> rusqlite::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for status in RunStatus::ALL {
        runs.extend(matching(
            db,
            &RunFilter { status: Some(status), task: Some(task.clone()), ..filter.clone() },
        )?);
    }
    match filter.since {
        Some(_) => runs.sort_by_key(|run| run.key.no),
        None => runs.sort_by_key(|run| std::cmp::Reverse(run.key.no)),
    }
    runs.truncate(filter.limit as usize);
    Ok(runs)
}

/// Labels as they stand in the run's row: none is NULL.
pub(super) struct LabelsColumn<'a>(pub(super) &'a Labels);

impl ToSql for LabelsColumn<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match self.0.is_empty() {
            true => Value::Null,
            false => Value::Text(Json::of(self.0).into_string()),
        }))
    }
}
