//! Progress of schedules.

use super::hosts;
use super::run_row::ReadError;
use crate::model::{TaskRef, Timestamp};
use crate::postgres::Session;
use crate::storage::ScheduleProgress;

/// See [`Schedules::schedules`](crate::storage::Schedules::schedules).
pub(super) async fn all(db: &Session) -> Result<Vec<(TaskRef, String, ScheduleProgress)>, ReadError> {
    let sql = "SELECT tasks.app, tasks.task, name, spec, reached, turn \
               FROM schedules JOIN tasks ON tasks.no = schedules.task ORDER BY tasks.app, tasks.task, name";
    let schedule = |row: &tokio_postgres::Row| {
        let reached = Timestamp::from_millis(row.try_get(4)?);
        let progress = ScheduleProgress { spec: row.try_get(3)?, reached, turn: row.try_get(5)? };
        Ok((hosts::task(row, 0)?, row.try_get(2)?, progress))
    };
    db.query(sql, &[]).await?.iter().map(schedule).collect()
}
