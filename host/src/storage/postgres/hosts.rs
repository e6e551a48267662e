//! What hosts know of each other: which ones are alive, what they have loaded, whose clients are connected.

use async_trait::async_trait;

use super::group::Urgency;
use super::parameters::values;
use super::run_row::{ReadError, parsed};
use super::{Postgres, list};
use crate::model::{HostId, RunId, RunKey, TaskRef, Timestamp, Version};
use crate::postgres::Session;
use crate::storage::{Clients, HostInfo, LiveHost, Result};

/// The condition of hosts that are alive: registered, and not declared dead. A program that is no host has no lease.
macro_rules! alive {
    () => {
        "hosts.dead_at IS NULL AND hosts.lease_until > 0"
    };
}

/// See [`Hosts::hosts`](crate::storage::Hosts::hosts).
pub(super) async fn live(db: &Session) -> Result<Vec<LiveHost>, ReadError> {
    let sql = concat!(
        "SELECT id, name, url, build, started_at, lease_until, (SELECT count(*) FROM runs WHERE owner = hosts.no) \
         FROM hosts WHERE ",
        alive!(),
        " ORDER BY no"
    );
    let host = |row: &tokio_postgres::Row| {
        let runs: i64 = row.try_get(6)?;
        let info = HostInfo {
            id: HostId::from_stored(row.try_get(0)?),
            name: row.try_get::<_, Option<String>>(1)?.unwrap_or_default(),
            url: row.try_get(2)?,
            build: row.try_get::<_, Option<String>>(3)?.unwrap_or_default(),
            started_at: Timestamp::from_millis(row.try_get(4)?),
        };
        let lease_until = Timestamp::from_millis(row.try_get(5)?);
        Ok(LiveHost { info, lease_until, runs: u32::try_from(runs).unwrap_or(u32::MAX) })
    };
    db.query(sql, &[]).await?.iter().map(host).collect()
}

/// See [`Hosts::offered`](crate::storage::Hosts::offered).
pub(super) async fn offered(db: &Session) -> Result<Vec<TaskRef>, ReadError> {
    let sql = concat!(
        "SELECT app, task FROM tasks WHERE EXISTS (SELECT 1 FROM offers JOIN hosts ON hosts.no = offers.host \
         WHERE offers.task = tasks.no AND ",
        alive!(),
        ") ORDER BY app, task"
    );
    db.query(sql, &[]).await?.iter().map(|row| task(row, 0)).collect()
}

/// See [`Clients::without_clients`](crate::storage::Clients::without_clients).
pub(super) async fn without_clients(
    db: &Session,
    since_ms: u32,
    limit: u32,
) -> Result<Vec<RunId>, ReadError> {
    // Declaring a host dead takes its clients away.
    let sql = "SELECT runs.id FROM (SELECT run FROM clients GROUP BY run \
                   HAVING bool_and(clients = 0) AND max(left_at) <= (SELECT now_ms() - $1) ORDER BY run) AS deserted \
               JOIN runs ON runs.no = deserted.run \
               WHERE runs.finished_at IS NULL AND runs.cancel_requested_at IS NULL ORDER BY runs.no LIMIT $2";
    list::ids(&db.query(sql, &[&i64::from(since_ms), &i64::from(limit)]).await?)
}

/// The task in two columns.
pub(super) fn task(row: &tokio_postgres::Row, at: usize) -> Result<TaskRef, ReadError> {
    parsed("task", TaskRef::parse(row.try_get(at)?, row.try_get(at + 1)?).ok())
}

#[async_trait]
impl Clients for Postgres {
    async fn set_clients(&self, run: &RunKey, host: &HostId, clients: u32) -> Result<()> {
        let host = self.host_no(host).await?;
        let values = values![run.no, i32::try_from(clients).unwrap_or(i32::MAX)];
        let sql = "SELECT set_clients_1($1, $2, $3, $4, $5)";
        self.lanes.call(Some(host), sql, values, Urgency::Once).await.map(drop)
    }

    async fn without_clients(&self, since_ms: u32, limit: u32) -> Result<Vec<RunId>> {
        let arguments = (since_ms, limit);
        self.readers
            .read(arguments, |db, (since_ms, limit)| Box::pin(without_clients(db, *since_ms, *limit)))
            .await
    }
}

impl Postgres {
    /// See [`Hosts::hosts`](crate::storage::Hosts::hosts).
    pub(super) async fn live_hosts(&self) -> Result<Vec<LiveHost>> {
        self.readers.read((), |db, ()| Box::pin(live(db))).await
    }

    /// See [`Hosts::offer`](crate::storage::Hosts::offer).
    pub(super) async fn store_offer(&self, owner: &HostId, tasks: &[(TaskRef, Version)]) -> Result<()> {
        let host = self.host_no(owner).await?;
        let apps: Vec<String> = tasks.iter().map(|(task, _)| task.app.to_string()).collect();
        let names: Vec<String> = tasks.iter().map(|(task, _)| task.task.to_string()).collect();
        let versions: Vec<String> = tasks.iter().map(|(_, version)| version.to_string()).collect();
        let sql = "SELECT offer_1($1, $2, $3, $4, $5, $6)";
        self.lanes.call(Some(host), sql, values![apps, names, versions], Urgency::Once).await.map(drop)
    }

    /// See [`Hosts::offered`](crate::storage::Hosts::offered).
    pub(super) async fn offered_tasks(&self) -> Result<Vec<TaskRef>> {
        self.readers.read((), |db, ()| Box::pin(offered(db))).await
    }

    /// See [`Hosts::hold_duty`](crate::storage::Hosts::hold_duty).
    pub(super) async fn take_duty(&self, duty: &'static str, owner: &HostId, ms: u32) -> Result<bool> {
        let host = self.host_no(owner).await?;
        let sql = "SELECT hold_duty_1($1, $2, $3, $4, $5)";
        let answer = self.lanes.call(Some(host), sql, values![duty, i64::from(ms)], Urgency::Once).await?;
        Ok(answer == "true")
    }
}
