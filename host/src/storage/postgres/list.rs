//! Reading runs: one, and many.

use std::sync::LazyLock;

use tokio_postgres::types::ToSql;

use super::list_query::query;
use super::run_row::{self, FROM, ReadError, WHOLE, parsed};
use crate::model::{HostId, Outcome, Run, RunId, Timestamp};
use crate::postgres::Session;
use crate::storage::{QueueState, RunFilter};

static BY_ID: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {} FROM runs {FROM} WHERE runs.id = $1", *WHOLE));
static BY_NO: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {} FROM runs {FROM} WHERE runs.no = $1", *WHOLE));
static BY_NOS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {} FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (no, nth) JOIN runs ON runs.no = wanted.no \
         {FROM} ORDER BY wanted.nth",
        *WHOLE
    )
});

/// The run of that id.
pub(super) async fn by_id(db: &Session, id: &RunId) -> Result<Option<Run>, ReadError> {
    db.query_opt(&BY_ID, &[&id.as_str()]).await?.as_ref().map(run_row::read).transpose()
}

/// The run of that number; none if it was removed.
pub(super) async fn by_no(db: &Session, no: i64) -> Result<Option<Run>, ReadError> {
    db.query_opt(&BY_NO, &[&no]).await?.as_ref().map(run_row::read).transpose()
}

/// The runs of these numbers, in their order, without those that were removed.
pub(super) async fn by_nos(db: &Session, nos: &[i64]) -> Result<Vec<Run>, ReadError> {
    db.query(&BY_NOS, &[&nos]).await?.iter().map(run_row::read).collect()
}

/// The runs that match, newest first.
///
/// Every combination walks an index backwards and stops at the limit, so the cost does not grow with the number of runs,
/// except that: a label together with a task, status, time or other label reads the runs of that label; a time together
/// with a task or status the runs of that time; a task together with a status the runs of that task or of that status. A
/// list of the completed runs reads newer ones that are not completed.
pub(super) async fn matching(db: &Session, filter: &RunFilter) -> Result<Vec<Run>, ReadError> {
    let (sql, values) = query(filter);
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as _).collect();
    db.query(&sql, &values).await?.iter().map(run_row::read).collect()
}

/// See [`Runs::queue_state`](crate::storage::Runs::queue_state).
pub(super) async fn queue_state(db: &Session) -> Result<QueueState, ReadError> {
    // In the order of the index that has no blocked runs: another one would be walked through all of them.
    let sql = "SELECT (SELECT no FROM runs WHERE status = 0 AND waits_for IS NULL \
                   ORDER BY task, priority DESC, no LIMIT 1) IS NOT NULL, \
               (SELECT min(not_before) FROM runs WHERE status = 1)";
    let row = db.query_one(sql, &[]).await?;
    let next_due = row.try_get::<_, Option<i64>>(1)?.map(Timestamp::from_millis);
    Ok(QueueState { queued: row.try_get(0)?, next_due })
}

/// Runs of `owner` with a request to cancel.
pub(super) async fn cancel_requests(db: &Session, owner: &HostId) -> Result<Vec<RunId>, ReadError> {
    let sql = "SELECT runs.id FROM hosts JOIN runs ON runs.owner = hosts.no \
               WHERE hosts.id = $1 AND runs.cancel_requested_at IS NOT NULL";
    ids(&db.query(sql, &[&owner.as_str()]).await?)
}

/// See [`ChildRuns::abandoned`](crate::storage::ChildRuns::abandoned).
pub(super) async fn abandoned(db: &Session, limit: u32) -> Result<Vec<RunId>, ReadError> {
    // The parent is looked up for each child: a join could be made by reading all runs.
    let sql = "SELECT children.id FROM runs AS children WHERE children.parent IS NOT NULL AND NOT children.detached \
               AND children.finished_at IS NULL AND children.cancel_requested_at IS NULL \
               AND (SELECT parents.finished_at IS NULL FROM runs AS parents WHERE parents.no = children.parent) \
                   IS NOT TRUE LIMIT $1";
    ids(&db.query(sql, &[&i64::from(limit)]).await?)
}

/// See [`ChildRuns::first_ended`](crate::storage::ChildRuns::first_ended).
pub(super) async fn first_ended(
    db: &Session,
    parent: i64,
    children: &[RunId],
) -> Result<Option<(usize, Outcome)>, ReadError> {
    // The parent is compared in a way that no index is for: to look for each child among all of a parent would take the
    // square of their number.
    static FIRST_ENDED: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT {}, first.nth FROM (SELECT runs.no, wanted.nth FROM unnest($2::text[]) WITH ORDINALITY \
             AS wanted (id, nth) JOIN runs ON runs.id = wanted.id WHERE (runs.parent = $1) IS TRUE \
             AND runs.finished_at IS NOT NULL ORDER BY wanted.nth LIMIT 1) AS first JOIN runs ON runs.no = first.no \
             {FROM}",
            *WHOLE
        )
    });
    let children: Vec<&str> = children.iter().map(RunId::as_str).collect();
    let Some(row) = db.query_opt(&FIRST_ENDED, &[&parent, &children]).await? else { return Ok(None) };
    let nth: i64 = row.try_get(row.len() - 1)?;
    let at = parsed("nth", usize::try_from(nth - 1).ok())?;
    let outcome = parsed("status", run_row::read(&row)?.into_outcome())?;
    Ok(Some((at, outcome)))
}

/// The ids in the first column.
pub(super) fn ids(rows: &[tokio_postgres::Row]) -> Result<Vec<RunId>, ReadError> {
    rows.iter().map(|row| parsed("id", RunId::parse(row.try_get(0)?).ok())).collect()
}
