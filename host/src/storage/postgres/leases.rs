//! Leases of hosts, and runs of hosts that have lost theirs.

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::Postgres;
use super::claim::ClaimedRow;
use super::group::{Urgency, unreadable};
use super::lane_state::GATED_LANES;
use super::lanes::Lane;
use super::parameters::values;
use crate::model::{HostId, TaskRef, Timestamp, Version};
use crate::storage::{Claimed, HostInfo, Hosts, Lease, LiveHost, Result, StorageError};

#[async_trait]
impl Hosts for Postgres {
    async fn register(&self, host: &HostInfo, lease_ms: u32) -> Result<Lease> {
        let HostInfo { id, name, url, build, started_at } = host.clone();
        let id = id.as_str().to_owned();
        let values = values![id, name, url, build, started_at.as_millis(), i64::from(lease_ms), GATED_LANES];
        let sql = "SELECT others, now, host FROM register_1($1, $2, $3, $4, $5, $6, $7)";
        let rows = self.lanes.plain(Lane::Leases, sql, values, Urgency::Once).await?;
        let row = rows.first().ok_or(StorageError::Fenced)?;
        // From now on, a statement that needs no host shares the host's gate, which is swept when the host is gone.
        self.lanes.write_as(row.get(2));
        Ok(lease(row))
    }

    async fn renew_lease(&self, owner: &HostId, lease_ms: u32) -> Result<Lease> {
        let values = values![owner.as_str().to_owned(), i64::from(lease_ms)];
        let sql = "SELECT others, now FROM renew_lease_1($1, $2)";
        let rows = self.lanes.plain(Lane::Leases, sql, values, Urgency::Once).await?;
        rows.first().map(lease).ok_or(StorageError::Fenced)
    }

    async fn leave(&self, owner: &HostId) -> Result<()> {
        let values = values![self.host_no(owner).await?];
        self.lanes.plain(Lane::Leases, "SELECT leave_1($1)", values, Urgency::Once).await.map(drop)
    }

    async fn hosts(&self) -> Result<Vec<LiveHost>> {
        self.live_hosts().await
    }

    async fn offer(&self, owner: &HostId, tasks: &[(TaskRef, Version)]) -> Result<()> {
        self.store_offer(owner, tasks).await
    }

    async fn offered(&self) -> Result<Vec<TaskRef>> {
        self.offered_tasks().await
    }

    async fn hold_duty(&self, duty: &'static str, owner: &HostId, ms: u32) -> Result<bool> {
        self.take_duty(duty, owner, ms).await
    }
}

/// The lease in the first columns.
fn lease(row: &Row) -> Lease {
    let others = u32::try_from(row.get::<_, i32>(0)).unwrap_or(0);
    Lease { others, now: Timestamp::from_millis(row.get(1)) }
}

impl Postgres {
    /// See [`Runs::claim_orphans`](crate::storage::Runs::claim_orphans).
    pub(super) async fn claim_orphaned_runs(&self, owner: &HostId, limit: u32) -> Result<Vec<Claimed>> {
        let host = self.host_no(owner).await?;
        // Most of the time there are none, and a read costs the server less than a write.
        let orphans =
            self.lanes.plain(Lane::Queue, "SELECT orphans_1($1)", values![host], Urgency::Once).await?;
        match orphans.first().and_then(|row| row.get(0)) {
            None => return Err(StorageError::Fenced),
            Some(false) => return Ok(Vec::new()),
            Some(true) => {}
        }
        let connected = self.lanes.connected_for().unwrap_or(Duration::ZERO);
        let values = values![i64::try_from(connected.as_millis()).unwrap_or(i64::MAX)];
        let sql = "SELECT declare_dead_1($1, $2, $3, $4)";
        self.lanes.call(Some(host), sql, values, Urgency::Once).await?;
        // After the commit: what a dead host had under way is written, and nothing follows.
        let sql = "SELECT claim_orphans_1($1, $2, $3, $4)";
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let answer = self.lanes.call(Some(host), sql, values![limit], Urgency::Once).await?;
        let claimed: Vec<ClaimedRow> = serde_json::from_str(&answer).map_err(|_| unreadable())?;
        self.read_claimed(claimed, host, |_, _| Vec::new()).await
    }
}
