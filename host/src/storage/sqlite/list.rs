//! Reading runs: one, many, and a row as a [`Run`].

use std::borrow::Cow;

use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params, params_from_iter};

use crate::model::{
    ErrorKind, HostId, Json, Labels, OnDisconnect, Run, RunError, RunId, RunKey, RunStatus, TaskRef,
    Timestamp, Version,
};
use crate::storage::{RunFilter, Waiting};

/// The columns that [`run`] reads, in its order, but for those that can be large.
macro_rules! select {
    ($input:literal, $final_value:literal, $error:literal, $runs:literal) => {
        concat!(
            "SELECT runs.no, runs.id, tasks.app, tasks.task, versions.sha256, runs.status, runs.attempt, ",
            $input,
            ", ",
            $final_value,
            ", ",
            $error,
            ", runs.created_at, runs.started_at, runs.finished_at, runs.cancel_requested_at, runs.labels, \
             runs.last_seq, runs.not_before, runs.priority, runs.waits_for, parents.id, \
             runs.on_disconnect FROM ",
            $runs,
            " JOIN tasks ON tasks.no = runs.task LEFT JOIN versions ON versions.no = runs.version \
             LEFT JOIN runs AS parents ON parents.no = runs.parent"
        )
    };
}
const SELECT: &str = select!("runs.input", "runs.final_value", "runs.error", "runs");
const SELECT_BY_TIME: &str =
    select!("runs.input", "runs.final_value", "runs.error", "runs INDEXED BY runs_by_creation");
const BRIEF: &str = select!("'null'", "NULL", "json_remove(runs.error, '$.trace', '$.details')", "runs");
const BRIEF_BY_TIME: &str = select!(
    "'null'",
    "NULL",
    "json_remove(runs.error, '$.trace', '$.details')",
    "runs INDEXED BY runs_by_creation"
);

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
        on_disconnect: row.get_ref(20)?.as_str_or_null()?.and_then(OnDisconnect::parse).unwrap_or_default(),
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
/// task, status, time or other label reads the runs of that label, and a time together
/// with a task or status the runs of that time.
pub(super) fn matching(db: &Connection, filter: &RunFilter) -> rusqlite::Result<Vec<Run>> {
    match filter.max_bytes {
        Some(max_bytes) if !filter.brief => within(db, filter, max_bytes),
        _ => found(db, filter),
    }
}

/// The first of those that match, as many as have no more than so many bytes. What can be large is read of these alone.
fn within(db: &Connection, filter: &RunFilter, max_bytes: u64) -> rusqlite::Result<Vec<Run>> {
    // They are as they were when they were found.
    let reading = db.unchecked_transaction()?;
    let (mut runs, mut bytes) = (Vec::new(), 0);
    for brief in found(&reading, &RunFilter { brief: true, ..filter.clone() })? {
        let run = by_no(&reading, brief.key.no)?;
        bytes += run.size();
        if bytes > max_bytes && !runs.is_empty() {
            break;
        }
        runs.push(run);
    }
    Ok(runs)
}

fn found(db: &Connection, filter: &RunFilter) -> rusqlite::Result<Vec<Run>> {
    let by_status = filter.labels.is_empty() && filter.parent.is_none() && !filter.is_by_time();
    match (&filter.task, &filter.statuses[..]) {
        (Some(_), []) if by_status => merged(db, &RunStatus::ALL, filter),
        (_, [_, _, ..]) if by_status => merged(db, &filter.statuses, filter),
        _ => walked(db, filter),
    }
}

fn walked(db: &Connection, filter: &RunFilter) -> rusqlite::Result<Vec<Run>> {
    let (sql, values) = query(filter);
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), run)?;
    rows.collect()
}

fn query(filter: &RunFilter) -> (String, Vec<Value>) {
    let mut conditions: Vec<Cow<'static, str>> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    // By what the rows of its index are ordered.
    let no = if !filter.labels.is_empty() { "run_labels.run" } else { "runs.no" };
    let in_time = filter.is_by_time() && filter.labels.is_empty() && filter.parent.is_none();
    let mut sql = String::from(match (filter.brief, in_time) {
        (false, false) => SELECT,
        (false, true) => SELECT_BY_TIME,
        (true, false) => BRIEF,
        (true, true) => BRIEF_BY_TIME,
    });
    let mut limit_to = |condition: Cow<'static, str>, with: Vec<Value>| {
        conditions.push(condition);
        values.extend(with);
    };
    for (nth, (key, value)) in filter.labels.iter().enumerate() {
        let label = vec![Value::from(key.clone()), Value::from(value.clone())];
        if nth == 0 {
            sql += " JOIN run_labels ON run_labels.run = runs.no";
            limit_to("run_labels.key = ? AND run_labels.value = ?".into(), label);
        } else {
            let other = "EXISTS (SELECT 1 FROM run_labels AS others WHERE others.key = ? AND others.value = ? \
                         AND others.run = runs.no)";
            limit_to(other.into(), label);
        }
    }
    if let Some(task) = &filter.task {
        let task = vec![Value::from(task.app.to_string()), Value::from(task.task.to_string())];
        limit_to("runs.task = (SELECT no FROM tasks WHERE app = ? AND task = ?)".into(), task);
    }
    let statuses = || filter.statuses.iter().map(|status| Value::from(status.as_str().to_owned())).collect();
    match filter.statuses.len() {
        0 => {}
        1 => limit_to("runs.status = ?".into(), statuses()),
        count => {
            let any = format!("runs.status IN (?{})", ", ?".repeat(count - 1));
            limit_to(any.into(), statuses());
        }
    }
    if let Some(parent) = &filter.parent {
        limit_to(
            "runs.parent = (SELECT no FROM runs WHERE id = ?)".into(),
            vec![Value::from(parent.to_string())],
        );
    }
    if let Some(after) = filter.created_after {
        limit_to("runs.created_at > ?".into(), vec![Value::from(after.as_millis())]);
    }
    if let Some(before) = filter.created_before {
        limit_to("runs.created_at < ?".into(), vec![Value::from(before.as_millis())]);
    }
    match filter.after {
        Some(last) if filter.is_by_time() => {
            let place = vec![Value::from(last.created_at.as_millis()), Value::from(last.no)];
            limit_to("(runs.created_at, runs.no) < (?, ?)".into(), place);
        }
        Some(last) if !filter.labels.is_empty() => {
            limit_to("run_labels.run < ?".into(), vec![Value::from(last.no)])
        }
        Some(last) => limit_to("runs.no < ?".into(), vec![Value::from(last.no)]),
        None => {}
    }
    if let Some(since) = filter.since {
        let condition = if filter.labels.is_empty() { "runs.no > ?" } else { "run_labels.run > ?" };
        limit_to(condition.into(), vec![Value::from(since)]);
    }
    if !conditions.is_empty() {
        sql = sql + " WHERE " + &conditions.join(" AND ");
    }
    sql += " ORDER BY ";
    sql += if filter.is_by_time() { "runs.created_at DESC, runs.no" } else { no };
    sql += if filter.since.is_some() { " LIMIT ?" } else { " DESC LIMIT ?" };
    values.push(Value::from(filter.limit));
    (sql, values)
}

/// The indices order runs by status first, so the newest of each status are read and merged.
fn merged(db: &Connection, statuses: &[RunStatus], filter: &RunFilter) -> rusqlite::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for status in statuses {
        runs.extend(walked(db, &RunFilter { statuses: vec![*status], ..filter.clone() })?);
    }
    match filter.since {
        Some(_) => runs.sort_by_key(|run| run.key.no),
        None => runs.sort_by_key(|run| std::cmp::Reverse(run.key.no)),
    }
    runs.dedup_by_key(|run| run.key.no);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a list costs is bounded by what it is about, whatever the planner knows of the tables.
    #[test]
    fn a_list_by_time_walks_the_index_of_times_and_sorts_nothing() {
        let mut db = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&mut db).unwrap();
        let moment = Some(Timestamp::from_millis(1));
        let after = Some(crate::storage::RunPlace { no: 1, created_at: Timestamp::from_millis(1) });
        let base = RunFilter { created_after: moment, limit: 1, ..RunFilter::default() };
        let task = TaskRef::parse("a", "b").ok();
        let filters = [
            base.clone(),
            RunFilter { created_before: moment, after, brief: true, ..base.clone() },
            RunFilter { task: task.clone(), statuses: vec![RunStatus::Failed], ..base.clone() },
            RunFilter { task, statuses: vec![RunStatus::Failed, RunStatus::Cancelled], ..base },
        ];
        for filter in filters {
            let (sql, values) = query(&filter);
            let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let plan: Vec<String> = statement
                .query_map(params_from_iter(values), |row| row.get(3))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            let by_time = "SEARCH runs USING INDEX runs_by_creation (created_at";
            assert!(plan.iter().any(|step| step.starts_with(by_time)), "{plan:?}");
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?}");
        }
    }
}
