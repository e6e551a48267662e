//! Child runs.

use rusqlite::{Connection, OptionalExtension as _};

use super::run_row;
use super::state::{Applied, Tx};
use crate::model::RunId;
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
