//! Runs and the runs that they have started.

use rusqlite::{Connection, OptionalExtension as _};

use super::list;
use super::state::Tx;
use crate::model::RunId;
use crate::storage::{MAX_CHILDREN, MAX_DEPTH, Parent, StorageError};

/// How deep the parent's next child stands, or why it can't have another.
pub(super) fn depth_below(tx: &Tx<'_>, parent: Parent) -> rusqlite::Result<Result<u32, StorageError>> {
    let lives: Option<bool> = tx
        .db
        .prepare_cached("SELECT finished_at IS NULL FROM runs WHERE no = ?1")?
        .query_row([parent.run], |row| row.get(0))
        .optional()?;
    if lives != Some(true) {
        return Ok(Err(StorageError::Fenced));
    }
    let children: u32 = tx
        .db
        .prepare_cached("SELECT count(*) FROM runs WHERE parent = ?1")?
        .query_row([parent.run], |row| row.get(0))?;
    if children >= MAX_CHILDREN {
        return Ok(Err(StorageError::Limit(format!("a run starts at most {MAX_CHILDREN} others"))));
    }
    let mut depth = 1;
    let mut run = parent.run;
    while let Some(above) = parent_of(tx, run)? {
        depth += 1;
        run = above;
    }
    Ok(match depth > MAX_DEPTH {
        true => Err(StorageError::Limit(format!("children of children go {MAX_DEPTH} deep"))),
        false => Ok(depth),
    })
}

fn parent_of(tx: &Tx<'_>, run: i64) -> rusqlite::Result<Option<i64>> {
    let found: Option<Option<i64>> = tx
        .db
        .prepare_cached("SELECT parent FROM runs WHERE no = ?1")?
        .query_row([run], |row| row.get(0))
        .optional()?;
    Ok(found.flatten())
}

/// See [`Families::abandoned`](crate::storage::Families::abandoned).
pub(super) fn abandoned(db: &Connection, limit: u32) -> rusqlite::Result<Vec<RunId>> {
    let mut statement = db.prepare_cached(
        "SELECT children.id FROM runs AS children LEFT JOIN runs AS parents ON parents.no = children.parent \
         WHERE children.parent IS NOT NULL AND children.detached IS NULL AND children.finished_at IS NULL \
         AND children.cancel_requested_at IS NULL AND (parents.no IS NULL OR parents.finished_at IS NOT NULL) LIMIT ?1",
    )?;
    let rows = statement
        .query_and_then([limit], |row| list::parsed(0, RunId::parse(row.get_ref(0)?.as_str()?).ok()))?;
    rows.collect()
}
