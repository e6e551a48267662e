//! The SQL of a list of runs.

use std::borrow::Cow;

use rusqlite::types::Value;

use super::run_row::{BRIEF, BRIEF_BY_TIME, WHOLE, WHOLE_BY_TIME};
use crate::storage::RunFilter;

/// Conditions of a list, all of which apply, with the values of their parameters.
#[derive(Default)]
struct Conditions {
    sql: Vec<Cow<'static, str>>,
    values: Vec<Value>,
}

impl Conditions {
    fn add<const N: usize>(&mut self, sql: impl Into<Cow<'static, str>>, values: [Value; N]) {
        self.sql.push(sql.into());
        self.values.extend(values);
    }
}

/// The statement that lists the runs of one walk through an index, and its values.
pub(super) fn query(filter: &RunFilter) -> (String, Vec<Value>) {
    let mut conditions = Conditions::default();
    of_labels(filter, &mut conditions);
    of_task_and_status(filter, &mut conditions);
    of_parent_and_times(filter, &mut conditions);
    of_position(filter, &mut conditions);
    let Conditions { sql: conditions, mut values } = conditions;
    let mut sql = select(filter).to_owned();
    if !filter.labels.is_empty() {
        sql += " JOIN run_labels ON run_labels.run = runs.no";
    }
    if !conditions.is_empty() {
        sql += " WHERE ";
        sql += &conditions.join(" AND ");
    }
    sql += " ORDER BY ";
    sql += if filter.is_by_time() { "runs.created_at DESC, runs.no" } else { number_column(filter) };
    sql += if filter.since.is_some() { " LIMIT ?" } else { " DESC LIMIT ?" };
    values.push(Value::from(filter.limit));
    (sql, values)
}

fn select(filter: &RunFilter) -> &'static str {
    // The planner can't know that sorting all runs by time is worse than the index.
    let walks_times = filter.is_by_time() && filter.labels.is_empty() && filter.parent.is_none();
    match (filter.brief, walks_times) {
        (false, false) => &WHOLE,
        (false, true) => &WHOLE_BY_TIME,
        (true, false) => &BRIEF,
        (true, true) => &BRIEF_BY_TIME,
    }
}

/// The number of the run, as a column of the index that is walked.
fn number_column(filter: &RunFilter) -> &'static str {
    if filter.labels.is_empty() { "runs.no" } else { "run_labels.run" }
}

fn of_labels(filter: &RunFilter, conditions: &mut Conditions) {
    for (nth, (key, value)) in filter.labels.iter().enumerate() {
        let sql = match nth {
            0 => "run_labels.key = ? AND run_labels.value = ?",
            _ => {
                "EXISTS (SELECT 1 FROM run_labels AS others WHERE others.key = ? AND others.value = ? \
                 AND others.run = runs.no)"
            }
        };
        conditions.add(sql, [Value::from(key.clone()), Value::from(value.clone())]);
    }
}

fn of_task_and_status(filter: &RunFilter, conditions: &mut Conditions) {
    if let Some(task) = &filter.task {
        let task = [Value::from(task.app.to_string()), Value::from(task.task.to_string())];
        conditions.add("runs.task = (SELECT no FROM tasks WHERE app = ? AND task = ?)", task);
    }
    match filter.statuses.len() {
        0 => {}
        1 => conditions.add("runs.status = ?", []),
        count => conditions.add(format!("runs.status IN (?{})", ", ?".repeat(count - 1)), []),
    }
    let statuses = filter.statuses.iter().map(|status| Value::from(status.as_str().to_owned()));
    conditions.values.extend(statuses);
}

fn of_parent_and_times(filter: &RunFilter, conditions: &mut Conditions) {
    if let Some(parent) = &filter.parent {
        conditions.add("runs.parent = (SELECT no FROM runs WHERE id = ?)", [Value::from(parent.to_string())]);
    }
    if let Some(after) = filter.created_after {
        conditions.add("runs.created_at > ?", [Value::from(after.as_millis())]);
    }
    if let Some(before) = filter.created_before {
        conditions.add("runs.created_at < ?", [Value::from(before.as_millis())]);
    }
}

/// Conditions for the position in the list.
fn of_position(filter: &RunFilter, conditions: &mut Conditions) {
    let number = number_column(filter);
    match filter.after {
        Some(last) if filter.is_by_time() => {
            let last = [Value::from(last.created_at.as_millis()), Value::from(last.no)];
            conditions.add("(runs.created_at, runs.no) < (?, ?)", last);
        }
        Some(last) => conditions.add(format!("{number} < ?"), [Value::from(last.no)]),
        None => {}
    }
    if let Some(since) = filter.since {
        conditions.add(format!("{number} > ?"), [Value::from(since)]);
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, params_from_iter};

    use super::super::schema;
    use super::*;
    use crate::model::{RunStatus, TaskRef, Timestamp};
    use crate::storage::ListCursor;

    /// The cost of a list must depend on the listed runs only, whatever statistics the planner has.
    #[test]
    fn a_list_by_time_walks_the_index_of_times_and_sorts_nothing() {
        let mut db = Connection::open_in_memory().unwrap();
        schema::migrate(&mut db).unwrap();
        let moment = Some(Timestamp::from_millis(1));
        let after = Some(ListCursor { no: 1, created_at: Timestamp::from_millis(1) });
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
