//! Child runs.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::state::{Applied, Tx};
use super::{list, run_row};
use crate::model::{Outcome, RunId};
use crate::storage::{MAX_CHILDREN, MAX_DEPTH, Parent, StorageError};

/// Depth of the parent's next child, or the error if the parent can't have another one.
pub(super) fn depth_below(tx: &Tx<'_>, parent: Parent) -> Applied<u32> {
    let found: Option<(bool, u32)> = tx
        .db
        .prepare_cached("SELECT finished_at IS NULL, depth FROM runs WHERE no = ?1")?
        .query_row([parent.run], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((true, above)) = found else { return Err(StorageError::Fenced.into()) };
    let children: u32 = tx
        .db
        .prepare_cached("SELECT count(*) FROM runs WHERE parent = ?1")?
        .query_row([parent.run], |row| row.get(0))?;
    if children >= MAX_CHILDREN {
        return Err(StorageError::Limit(format!("a run starts at most {MAX_CHILDREN} others")).into());
    }
    let depth = above + 1;
    match depth > MAX_DEPTH {
        true => Err(StorageError::Limit(format!("children of children go {MAX_DEPTH} deep")).into()),
        false => Ok(depth),
    }
}

/// See [`ChildRuns::first_ended`](crate::storage::ChildRuns::first_ended).
pub(super) fn first_ended(
    db: &Connection,
    parent: i64,
    children: &[RunId],
) -> rusqlite::Result<Option<(usize, Outcome)>> {
    let mut ended =
        db.prepare_cached("SELECT no FROM runs WHERE id = ?1 AND parent = ?2 AND finished_at IS NOT NULL")?;
    for (at, id) in children.iter().enumerate() {
        let found: Option<i64> =
            ended.query_row(params![id.as_str(), parent], |row| row.get(0)).optional()?;
        if let Some(no) = found {
            return Ok(list::by_no(db, no)?.into_outcome().map(|outcome| (at, outcome)));
        }
    }
    Ok(None)
}

/// See [`ChildRuns::abandoned`](crate::storage::ChildRuns::abandoned).
pub(super) fn abandoned(db: &Connection, limit: u32) -> rusqlite::Result<Vec<RunId>> {
    let mut statement = db.prepare_cached(
        "SELECT children.id FROM runs AS children LEFT JOIN runs AS parents ON parents.no = children.parent \
         WHERE children.parent IS NOT NULL AND children.detached IS NULL AND children.finished_at IS NULL \
         AND children.cancel_requested_at IS NULL AND (parents.no IS NULL OR parents.finished_at IS NOT NULL) LIMIT ?1",
    )?;
    let rows = statement
        .query_and_then([limit], |row| run_row::parsed(0, RunId::parse(row.get_ref(0)?.as_str()?).ok()))?;
    rows.collect()
}
