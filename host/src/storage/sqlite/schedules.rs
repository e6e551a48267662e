//! Progress of schedules.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::run_row;
use super::state::{Applied, Tx};
use crate::model::{TaskRef, Timestamp};
use crate::storage::ScheduleProgress;

/// See [`Schedules::schedules`](crate::storage::Schedules::schedules).
pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<(TaskRef, String, ScheduleProgress)>> {
    let mut statement = db.prepare_cached(
        "SELECT tasks.app, tasks.task, name, spec, reached, turn \
         FROM schedules JOIN tasks ON tasks.no = schedules.task ORDER BY tasks.app, tasks.task, name",
    )?;
    let rows = statement.query_and_then([], |row| {
        let task =
            run_row::parsed(0, TaskRef::parse(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?).ok())?;
        let reached = Timestamp::from_millis(row.get(4)?);
        Ok((task, row.get(2)?, ScheduleProgress { spec: row.get(3)?, reached, turn: row.get(5)? }))
    })?;
    rows.collect()
}

/// See [`Schedules::advance_schedule`](crate::storage::Schedules::advance_schedule).
pub(super) fn advance(
    tx: &mut Tx<'_>,
    task: &TaskRef,
    name: &str,
    from: Option<&ScheduleProgress>,
    to: &ScheduleProgress,
) -> Applied<bool> {
    let task = tx.task_no(task)?;
    let stored = tx
        .db
        .prepare_cached("SELECT spec, reached, turn FROM schedules WHERE task = ?1 AND name = ?2")?
        .query_row(params![task, name], |row| {
            let reached = Timestamp::from_millis(row.get(1)?);
            Ok(ScheduleProgress { spec: row.get(0)?, reached, turn: row.get(2)? })
        })
        .optional()?;
    if stored.as_ref() != from {
        return Ok(false);
    }
    let ScheduleProgress { spec, reached, turn } = to;
    tx.db
        .prepare_cached(
            "INSERT OR REPLACE INTO schedules (task, name, spec, reached, turn) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![task, name, spec, reached.as_millis(), turn])?;
    Ok(true)
}

/// See [`Schedules::forget_schedule`](crate::storage::Schedules::forget_schedule).
pub(super) fn forget(tx: &mut Tx<'_>, task: &TaskRef, name: &str) -> Applied<()> {
    let task = tx.task_no(task)?;
    tx.db
        .prepare_cached("DELETE FROM schedules WHERE task = ?1 AND name = ?2")?
        .execute(params![task, name])?;
    Ok(())
}
