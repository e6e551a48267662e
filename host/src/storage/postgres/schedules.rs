//! Progress of schedules.

use async_trait::async_trait;

use super::group::Urgency;
use super::parameters::values;
use super::run_row::ReadError;
use super::{Postgres, hosts};
use crate::model::{TaskRef, Timestamp};
use crate::postgres::Session;
use crate::storage::{Result, ScheduleProgress, Schedules};

/// See [`Schedules::schedules`](crate::storage::Schedules::schedules).
async fn all(db: &Session) -> Result<Vec<(TaskRef, String, ScheduleProgress)>, ReadError> {
    let sql = "SELECT tasks.app, tasks.task, name, spec, reached, turn \
               FROM schedules JOIN tasks ON tasks.no = schedules.task ORDER BY tasks.app, tasks.task, name";
    let schedule = |row: &tokio_postgres::Row| {
        let reached = Timestamp::from_millis(row.try_get(4)?);
        let progress = ScheduleProgress { spec: row.try_get(3)?, reached, turn: row.try_get(5)? };
        Ok((hosts::task(row, 0)?, row.try_get(2)?, progress))
    };
    db.query(sql, &[]).await?.iter().map(schedule).collect()
}

#[async_trait]
impl Schedules for Postgres {
    async fn schedules(&self) -> Result<Vec<(TaskRef, String, ScheduleProgress)>> {
        self.readers.read((), |db, ()| Box::pin(all(db))).await
    }

    async fn advance_schedule(
        &self,
        task: &TaskRef,
        name: &str,
        from: Option<ScheduleProgress>,
        to: ScheduleProgress,
    ) -> Result<bool> {
        let sql = "SELECT advance_schedule_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let (spec, reached, turn) = match from {
            Some(from) => (Some(from.spec), Some(from.reached.as_millis()), Some(from.turn)),
            None => (None, None, None),
        };
        let task = self.task_no(task).await?;
        let values =
            values![task, name.to_owned(), spec, reached, turn, to.spec, to.reached.as_millis(), to.turn];
        Ok(self.lanes.call(None, sql, values, Urgency::Once).await? == "true")
    }

    async fn forget_schedule(&self, task: &TaskRef, name: &str) -> Result<()> {
        let values = values![self.task_no(task).await?, name.to_owned()];
        let sql = "SELECT forget_schedule_1($1, $2, $3, $4, $5)";
        self.lanes.call(None, sql, values, Urgency::Once).await.map(drop)
    }
}
