//! The SQL of a list of runs.

use tokio_postgres::types::ToSql;

use super::run_row::{BRIEF, BRIEF_FROM, FROM, WHOLE, status_code};
use crate::model::RunStatus;
use crate::storage::RunFilter;

/// A value of a statement's parameter.
pub(super) type Value = Box<dyn ToSql + Sync + Send>;

/// Conditions of a list, all of which apply, with the values of the statement's parameters.
#[derive(Default)]
struct Conditions {
    sql: Vec<String>,
    /// Selects the number of the task, if the list is of one.
    task: Option<String>,
    /// Comparisons of the run's number, such as `<` with a parameter.
    position: Vec<(&'static str, String)>,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds a parameter. Returns its place in the statement.
    fn number(&mut self, value: i64) -> String {
        self.value(Box::new(value))
    }

    fn text(&mut self, value: &str) -> String {
        self.value(Box::new(value.to_owned()))
    }

    fn value(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn add(&mut self, sql: String) {
        self.sql.push(sql);
    }
}

/// The statement that lists runs, and its values.
///
/// It finds the numbers of the runs in an index that has them in order, and then joins the rows of these runs alone.
/// Statuses are in its text and not among its values: the conditions of partial indexes are about them, and the planner
/// has to see that these apply.
pub(super) fn query(filter: &RunFilter) -> (String, Vec<Value>) {
    let mut conditions = Conditions::default();
    of_labels(filter, &mut conditions);
    of_task(filter, &mut conditions);
    of_parent_and_times(filter, &mut conditions);
    of_position(filter, &mut conditions);
    let limit = conditions.number(i64::from(filter.limit));
    let mut page = numbers(filter, &conditions, &limit);
    if let Some(max_bytes) = filter.max_bytes.filter(|_| !filter.brief) {
        let most = conditions.number(i64::try_from(max_bytes).unwrap_or(i64::MAX));
        page = up_to(filter, &page, &most);
    }
    let (columns, from) = if filter.brief { (&*BRIEF, BRIEF_FROM) } else { (&*WHOLE, FROM) };
    let order = order(filter, "page");
    let sql = format!(
        "SELECT {columns} FROM ({page}) AS page JOIN runs ON runs.no = page.no {from} ORDER BY {order}"
    );
    (sql, conditions.values)
}

/// Selects numbers and times of the runs.
fn numbers(filter: &RunFilter, conditions: &Conditions, limit: &str) -> String {
    let mut statuses = filter.statuses.clone();
    statuses.sort_by_key(|status| status_code(*status));
    statuses.dedup();
    // An index of one status has its runs in order. Those of several are merged.
    let merges = statuses.len() > 1 && has_index_of_status(filter);
    let from = match filter.labels.is_empty() {
        true => "runs",
        false => "run_labels JOIN runs ON runs.no = run_labels.run",
    };
    let walk = |statuses: &[RunStatus]| {
        let all = conditions_of_walk(filter, conditions, statuses);
        let order = order(filter, "runs").replace("runs.no", number_column(filter));
        let condition = if all.is_empty() { String::new() } else { format!("WHERE {}", all.join(" AND ")) };
        format!(
            "SELECT runs.no, runs.created_at, runs.task FROM {from} {condition} ORDER BY {order} LIMIT {limit}"
        )
    };
    if !merges {
        return walk(&statuses);
    }
    let walks: Vec<String> = statuses.iter().map(|status| format!("({})", walk(&[*status]))).collect();
    let order = order(filter, "found");
    format!(
        "SELECT found.no, found.created_at, found.task FROM ({}) AS found ORDER BY {order} LIMIT {limit}",
        walks.join(" UNION ALL ")
    )
}

/// The conditions of one walk through an index.
fn conditions_of_walk(filter: &RunFilter, conditions: &Conditions, statuses: &[RunStatus]) -> Vec<String> {
    let number = number_column(filter);
    let mut all = conditions.sql.clone();
    all.extend(of_statuses(statuses));
    match &conditions.task {
        Some(task) if walks_task(filter) => {
            all.push(format!("runs.task >= {task} AND runs.task <= {task}"));
            let position = |(sign, no): &(_, String)| format!("(runs.task, runs.no) {sign} ({task}, {no})");
            all.extend(conditions.position.iter().map(position));
        }
        task => {
            all.extend(task.iter().map(|task| format!("runs.task = {task}")));
            all.extend(conditions.position.iter().map(|(sign, no)| format!("{number} {sign} {no}")));
        }
    }
    all
}

/// Whether to walk the index of tasks. It alone has a range of tasks in their order, so the list is written as one, and as
/// ordered by task: else the planner, which takes the runs of a task to be spread evenly, might walk all runs that came since
/// the task was last used. Few runs have one of the other statuses, so an index of these may be the better one.
fn walks_task(filter: &RunFilter) -> bool {
    let completed = filter.statuses.iter().all(|status| *status == RunStatus::Completed);
    filter.task.is_some() && completed && has_index_of_status(filter)
}

/// Whether an index that has the runs of one status in order is the one to walk.
fn has_index_of_status(filter: &RunFilter) -> bool {
    filter.labels.is_empty() && filter.parent.is_none() && !filter.is_by_time()
}

fn of_statuses(statuses: &[RunStatus]) -> Option<String> {
    match statuses {
        [] => None,
        [one] => Some(format!("runs.status = {}", status_code(*one))),
        several => {
            let codes: Vec<String> = several.iter().map(|status| status_code(*status).to_string()).collect();
            Some(format!("runs.status IN ({})", codes.join(", ")))
        }
    }
}

/// Ends a page where its runs have enough bytes in their large parts, of which only the sizes are read.
fn up_to(filter: &RunFilter, page: &str, most: &str) -> String {
    let order = order(filter, "page");
    format!(
        "SELECT sized.no, sized.created_at, sized.task FROM (SELECT page.no, page.created_at, page.task, row_number() OVER sofar AS nth, \
         sum(octet_length(run_data.input) + coalesce(octet_length(run_data.final_value), 0) \
         + coalesce(octet_length(run_data.error), 0) + coalesce(octet_length(run_data.error_more), 0)) \
         OVER sofar AS bytes FROM ({page}) AS page JOIN run_data ON run_data.run = page.no \
         WINDOW sofar AS (ORDER BY {order} ROWS UNBOUNDED PRECEDING)) AS sized \
         WHERE sized.nth = 1 OR sized.bytes <= {most}"
    )
}

/// The order of the list, by columns of `table`. All steps of a statement have the same, so that none sorts.
fn order(filter: &RunFilter, table: &str) -> String {
    match (filter.is_by_time(), walks_task(filter), filter.since) {
        (true, ..) => format!("{table}.created_at DESC, {table}.no DESC"),
        (false, false, None) => format!("{table}.no DESC"),
        (false, false, Some(_)) => format!("{table}.no"),
        (false, true, None) => format!("{table}.task DESC, {table}.no DESC"),
        (false, true, Some(_)) => format!("{table}.task, {table}.no"),
    }
}

/// The number of the run, as a column of the index that is walked.
fn number_column(filter: &RunFilter) -> &'static str {
    if filter.labels.is_empty() { "runs.no" } else { "run_labels.run" }
}

fn of_labels(filter: &RunFilter, conditions: &mut Conditions) {
    for (nth, (key, value)) in filter.labels.iter().enumerate() {
        let (key, value) = (conditions.text(key), conditions.text(value));
        conditions.add(match nth {
            0 => format!("run_labels.key = {key} AND run_labels.value = {value}"),
            _ => format!(
                "EXISTS (SELECT 1 FROM run_labels AS others WHERE others.key = {key} AND others.value = {value} \
                 AND others.run = run_labels.run)"
            ),
        });
    }
}

fn of_task(filter: &RunFilter, conditions: &mut Conditions) {
    if let Some(task) = &filter.task {
        let (app, task) = (conditions.text(task.app.as_str()), conditions.text(task.task.as_str()));
        conditions.task = Some(format!("(SELECT no FROM tasks WHERE app = {app} AND task = {task})"));
    }
}

fn of_parent_and_times(filter: &RunFilter, conditions: &mut Conditions) {
    if let Some(parent) = &filter.parent {
        let parent = conditions.text(parent.as_str());
        conditions.add(format!("runs.parent = (SELECT no FROM runs WHERE id = {parent})"));
    }
    if let Some(after) = filter.created_after {
        let after = conditions.number(after.as_millis());
        conditions.add(format!("runs.created_at > {after}"));
    }
    if let Some(before) = filter.created_before {
        let before = conditions.number(before.as_millis());
        conditions.add(format!("runs.created_at < {before}"));
    }
}

/// Conditions for the position in the list.
fn of_position(filter: &RunFilter, conditions: &mut Conditions) {
    match filter.after {
        Some(last) if filter.is_by_time() => {
            let (time, no) = (conditions.number(last.created_at.as_millis()), conditions.number(last.no));
            conditions.add(format!("(runs.created_at, runs.no) < ({time}, {no})"));
        }
        Some(last) => {
            let no = conditions.number(last.no);
            conditions.position.push(("<", no));
        }
        None => {}
    }
    if let Some(since) = filter.since {
        let since = conditions.number(since);
        conditions.position.push((">", since));
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::types::ToSql;

    use super::super::testing::Schema;
    use super::*;
    use crate::model::{RunId, TaskRef, Timestamp};
    use crate::postgres::SessionSettings;
    use crate::storage::ListCursor;

    /// The cost of a list must depend on the listed runs only, whatever statistics the planner has: here it has none.
    #[tokio::test]
    async fn a_list_walks_an_index_and_sorts_nothing() {
        let Some(schema) = Schema::fresh("the plans of lists") else { return };
        let _storage = schema.open().await;
        let session = schema.connector().connect(&SessionSettings::reader("plans")).await.unwrap();
        for (filter, index) in filters() {
            let (sql, values) = query(&filter);
            let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as _).collect();
            let rows = session.query(&format!("EXPLAIN {sql}"), &values).await.unwrap();
            let plan: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
            let plan = plan.join("\n");
            assert!(plan.contains(index), "{filter:?} walks {index}:\n{plan}");
            for costly in ["Seq Scan", "Bitmap", "Sort  ", "Hash", "Materialize"] {
                assert!(!plan.contains(costly), "{filter:?} {costly}:\n{plan}");
            }
        }
    }

    /// Filters, and the index that each one walks.
    fn filters() -> Vec<(RunFilter, &'static str)> {
        let moment = Some(Timestamp::from_millis(1));
        let after = Some(ListCursor { no: 1, created_at: Timestamp::from_millis(1) });
        let task = TaskRef::parse("a", "b").ok();
        let base = RunFilter { limit: 1, ..RunFilter::default() };
        let live = vec![RunStatus::Queued, RunStatus::Running];
        let labels = vec![("a".to_owned(), "b".to_owned()), ("c".to_owned(), "d".to_owned())];
        let by_time = RunFilter { created_after: moment, ..base.clone() };
        vec![
            (base.clone(), "Scan Backward using runs_pkey"),
            (RunFilter { after, brief: true, ..base.clone() }, "Scan Backward using runs_pkey"),
            (RunFilter { since: Some(1), brief: true, ..base.clone() }, "using runs_pkey"),
            (RunFilter { max_bytes: Some(1), ..base.clone() }, "Scan Backward using runs_pkey"),
            (RunFilter { task: task.clone(), ..base.clone() }, "Scan Backward using runs_by_task"),
            (RunFilter { task: task.clone(), after, ..base.clone() }, "Scan Backward using runs_by_task"),
            (RunFilter { task: task.clone(), since: Some(1), ..base.clone() }, "Scan using runs_by_task"),
            (
                RunFilter { task: task.clone(), statuses: vec![RunStatus::Completed], ..base.clone() },
                "Scan Backward using runs_by_task",
            ),
            (
                RunFilter { task: task.clone(), max_bytes: Some(1), ..base.clone() },
                "Scan Backward using runs_by_task",
            ),
            (RunFilter { statuses: live.clone(), ..base.clone() }, "Scan Backward using runs_not_ended"),
            (
                RunFilter { statuses: vec![RunStatus::Failed], ..base.clone() },
                "Backward using runs_not_completed",
            ),
            (RunFilter { statuses: vec![RunStatus::Completed], ..base.clone() }, "Backward using runs_pkey"),
            (
                RunFilter { parent: Some(RunId::new()), since: Some(1), ..base.clone() },
                "using runs_by_parent",
            ),
            (RunFilter { labels: labels.clone(), after, ..base.clone() }, "Backward using run_labels_pkey"),
            (RunFilter { labels, statuses: live, ..base }, "Backward using run_labels_pkey"),
            (by_time.clone(), "Backward using runs_by_creation"),
            (
                RunFilter { created_before: moment, after, ..by_time.clone() },
                "Backward using runs_by_creation",
            ),
            (RunFilter { task, max_bytes: Some(1), ..by_time }, "Backward using runs_by_creation"),
        ]
    }
}
