//! The backend for many hosts on one PostgreSQL database.
//!
//! ```text
//! submit, claim, cancel, … ──▶ Lanes ──▶ LaneTask   one for each writing connection: gathers, sends one statement, answers
//! append, finish, …                        │
//!                                          ▼
//!                                  SELECT f(gate, …)   sql/: each operation is one function of the database
//! reads ─────────────────────▶ Readers                 sessions that refuse writes
//! ```
//!
//! - **No lock that others wait for is held while the server waits for a client**, which may be stopped or gone: each write
//!   is one statement, a call of a function.
//! - **Each write passes the gate of its host** (`sql/lanes.sql`). So a host that was declared dead writes nothing, and a
//!   statement whose connection was lost is sent again and carried out once.
//! - **Numbers of runs become visible in their order** (`sql/submit.sql`), and those of events are given by the owner's lane.
//! - **Time is the server's** for leases, delays and ends; events and submissions have the time of the host.
//!
//! Knows nothing of wake-ups: callers are notified by the [`Outbox`] or by the result of the call.

mod child_runs;
mod claim;
mod deadlocks;
mod events;
mod floors;
mod group;
mod hosts;
mod lane_queue;
mod lane_state;
mod lane_task;
mod lanes;
mod leases;
mod list;
mod list_query;
mod log_group;
mod messages;
mod migrate;
mod numbers;
mod parameters;
#[cfg(test)]
mod plans;
mod pruning;
mod readers;
mod run_error;
mod run_row;
mod schedules;
mod schema;
mod signals;
mod statement;
mod submit;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wait_deadlocks;
mod waits;

use std::sync::Arc;

use async_trait::async_trait;

use self::floors::Floors;
use self::group::{End, Urgency};
use self::lanes::Lanes;
use self::numbers::Numbers;
use self::parameters::values;
use self::readers::Readers;
use self::waits::WaitReports;
use super::{
    CancelOutcome, ClaimRequest, Claimant, Claimed, Condition, Durability, EventsOfRuns, Log,
    MAX_CHECKPOINT_BYTES_PER_RUN, NewRun, Outbox, QueueState, Result, RunFilter, Runs, StorageError,
    SubmitOutcome,
};
use crate::model::{
    Event, Fence, HostId, NewEvent, Outcome, Run, RunId, RunKey, TaskRef, Timestamp, Version,
};
use crate::postgres::Connector;

pub use migrate::{OpenError, migrate, pending};

/// An open database.
pub struct Postgres {
    lanes: Lanes,
    readers: Readers,
    numbers: Numbers,
    floors: Floors,
    waits: WaitReports,
    connector: Connector,
}

impl Postgres {
    /// Opens the database, with that many connections for reads. Creates the schema if it is empty.
    pub async fn open(
        connector: Connector,
        durability: Durability,
        readers: usize,
    ) -> Result<Self, OpenError> {
        migrate::prepare(&connector).await?;
        Ok(Self {
            lanes: Lanes::start(&connector, durability),
            readers: Readers::open(&connector, readers),
            numbers: Numbers::default(),
            floors: Floors::default(),
            waits: WaitReports::default(),
            connector,
        })
    }

    /// The number of a host that writes, new or known.
    async fn host_no(&self, host: &HostId) -> Result<i64> {
        self.numbers.host(&self.lanes, host).await
    }

    /// The number of a task, new or known.
    async fn task_no(&self, task: &TaskRef) -> Result<i32> {
        self.numbers.task(&self.lanes, task).await
    }

    /// The number of a version, new or known.
    async fn version_no(&self, version: &Version) -> Result<i32> {
        self.numbers.version(&self.lanes, version).await
    }
}

#[async_trait]
impl Runs for Postgres {
    async fn submit(&self, run: NewRun, claimant: Option<Claimant>) -> Result<SubmitOutcome> {
        self.submit_run(run, claimant).await
    }

    async fn queue_state(&self) -> Result<QueueState> {
        self.readers.read((), |db, ()| Box::pin(list::queue_state(db))).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>> {
        self.claim_runs(&request).await
    }

    async fn adjust_delays(&self) -> Result<u32> {
        // Delays end by the server's clock, which all hosts see alike; to correct it is not for one of them.
        Ok(0)
    }

    async fn claim_orphans(&self, owner: &HostId, limit: u32) -> Result<Vec<Claimed>> {
        self.claim_orphaned_runs(owner, limit).await
    }

    async fn requeue(
        &self,
        run: &RunKey,
        fence: Fence,
        event: NewEvent,
        not_before: Option<Timestamp>,
    ) -> Result<Vec<Event>> {
        self.lanes.end(run.no, |answer| End::requeue(run.no, fence, event, not_before, answer)).await
    }

    async fn finish(&self, run: &RunKey, fence: Fence, outcome: Outcome) -> Result<Vec<Event>> {
        self.lanes.end(run.no, |answer| End::finish(run.no, fence, outcome, answer)).await
    }

    async fn cancel(&self, run: &RunId) -> Result<CancelOutcome> {
        self.cancel_run(run).await
    }

    async fn cancel_requests(&self, owner: &HostId) -> Result<Vec<RunId>> {
        self.readers.read(owner.clone(), |db, owner| Box::pin(list::cancel_requests(db, owner))).await
    }

    async fn run(&self, id: &RunId) -> Result<Option<Run>> {
        self.readers.read(id.clone(), |db, id| Box::pin(list::by_id(db, id))).await
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>> {
        self.readers.read(filter, |db, filter| Box::pin(list::matching(db, filter))).await
    }
}

#[async_trait]
impl Log for Postgres {
    fn append(&self, outbox: Arc<dyn Outbox>) {
        self.lanes.append(outbox);
    }

    async fn events(&self, run: i64, after: u64, limit: u32) -> Result<Vec<Event>> {
        let arguments = (run, after, limit);
        self.readers
            .read(arguments, |db, (run, after, limit)| Box::pin(events::page(db, *run, *after, *limit)))
            .await
    }

    async fn events_of_types(
        &self,
        run: i64,
        after: u64,
        to: u64,
        types: &'static [&'static str],
    ) -> Result<(Vec<Event>, u64)> {
        let read = self.readers.read((run, after, to, types), |db, (run, after, to, types)| {
            Box::pin(events::of_types(db, *run, *after, *to, types))
        });
        read.await
    }

    async fn events_of_runs(&self, after: Vec<(i64, u64)>, limit: u32) -> Result<EventsOfRuns> {
        let read = self
            .readers
            .read((after, limit), |db, (after, limit)| Box::pin(events::of_runs(db, after, *limit)));
        read.await
    }

    async fn last_seq(&self, run: i64) -> Result<u64> {
        self.readers.read(run, |db, run| Box::pin(events::last_seq(db, *run))).await
    }

    async fn save_checkpoint(
        &self,
        run: &RunKey,
        fence: Fence,
        key: String,
        value: Option<Vec<u8>>,
    ) -> Result<()> {
        let sql = "SELECT save_checkpoint_1($1, $2, $3, $4, $5, $6, $7, $8)";
        let values = values![run.no, fence.number() as i32, key, value, MAX_CHECKPOINT_BYTES_PER_RUN as i64];
        let answer = self.lanes.call_of_run(fence.owner(), run.no, sql, values, Urgency::UntilDone).await?;
        match answer.as_str() {
            "" => Ok(()),
            "limit" => Err(StorageError::Limit(format!(
                "the run's checkpoints would have more than {MAX_CHECKPOINT_BYTES_PER_RUN} bytes"
            ))),
            _ => Err(StorageError::Fenced),
        }
    }

    async fn load_checkpoint(&self, run: i64, key: String) -> Result<Option<Vec<u8>>> {
        self.readers
            .read((run, key), |db, (run, key)| Box::pin(messages::load_checkpoint(db, *run, key)))
            .await
    }

    fn health(&self) -> Result<()> {
        match self.connector.outage() {
            Some(outage) => Err(StorageError::Unavailable(outage.error)),
            None => self.lanes.health(),
        }
    }

    fn condition(&self) -> Condition {
        // The server's log and its readers are its operator's.
        Condition::default()
    }

    async fn close(&self) {
        self.lanes.close().await;
        self.readers.close();
    }
}
