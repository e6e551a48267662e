//! How far schedules have been followed.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::state::{Applied, Tx};
use crate::model::{TaskRef, Timestamp};

/// See [`Schedules::schedule`](crate::storage::Schedules::schedule).
pub(super) fn get(
    db: &Connection,
    task: &TaskRef,
    name: &str,
) -> rusqlite::Result<Option<(String, Timestamp)>> {
    db.prepare_cached(
        "SELECT spec, reached FROM schedules \
         WHERE task = (SELECT no FROM tasks WHERE app = ?1 AND task = ?2) AND name = ?3",
    )?
    .query_row(params![task.app.as_str(), task.task.as_str(), name], |row| {
        Ok((row.get(0)?, Timestamp::from_millis(row.get(1)?)))
    })
    .optional()
}

/// See [`Schedules::set_schedule`](crate::storage::Schedules::set_schedule).
pub(super) fn set(
    tx: &mut Tx<'_>,
    task: &TaskRef,
    name: &str,
    spec: &str,
    reached: Timestamp,
) -> Applied<()> {
    let task = tx.task_no(task)?;
    tx.db
        .prepare_cached(
            "INSERT OR REPLACE INTO schedules (task, name, spec, reached) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![task, name, spec, reached.as_millis()])?;
    Ok(Ok(()))
}
