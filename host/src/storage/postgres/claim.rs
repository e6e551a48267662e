//! Claims of queued runs.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::floors::Floor;
use super::group::{Urgency, unreadable};
use super::parameters::values;
use super::{Postgres, list};
use crate::model::{Event, Fence, Json, NewEvent, OnInterrupt, Run, RunStatus, TaskRef, Timestamp};
use crate::storage::{ClaimRequest, Claimed, Offer, Result, StorageError};

/// Statements in one claim: each of those after the first follows one that has blocked a run, or met a lock that it did not
/// know. The rest is for the next claim.
const MAX_STATEMENTS: u32 = 64;
/// Pause before claimed runs are read again, if they could not be.
const READ_PAUSE: Duration = Duration::from_millis(250);

/// An offer as the database takes it.
#[derive(Serialize)]
struct OfferRow {
    task: i32,
    room: u32,
    version: i32,
    sha256: String,
    on_interrupt: Option<&'static str>,
    floor_priority: Option<i32>,
    floor_no: Option<i64>,
}

/// The answer of `claim_1`.
#[derive(Deserialize)]
struct ClaimAnswer {
    claimed: Vec<ClaimedRow>,
    again: bool,
}

/// A claimed run in an answer.
#[derive(Debug, Deserialize)]
pub(super) struct ClaimedRow {
    no: i64,
    attempt: u32,
    fence: u32,
    depth: u32,
    locks: bool,
    on_interrupt: Option<String>,
    last_seq: u64,
    checkpoint: bool,
}

/// The policy as a column. The default is NULL, so that a run that never waits writes nothing for it.
pub(super) fn interrupt_column(policy: OnInterrupt) -> Option<&'static str> {
    (policy != OnInterrupt::default()).then(|| policy.as_str())
}

impl Postgres {
    /// See [`Runs::claim`](crate::storage::Runs::claim).
    ///
    /// One statement for each depth, which is one in all unless slots are few. What a statement has claimed stands, even if
    /// the next one fails.
    pub(super) async fn claim_runs(&self, request: &ClaimRequest) -> Result<Vec<Claimed>> {
        let host = self.host_no(&request.owner).await?;
        let mut claiming =
            Claiming { storage: self, host, offers: Vec::new(), claimed: Vec::new(), statements: 0 };
        for offer in &request.tasks {
            claiming.offers.push((offer, self.offer_row(offer).await?));
        }
        if claiming.offers.is_empty() {
            return Ok(Vec::new());
        }
        let limits = &request.limits;
        // With few free slots, the runs that others wait for go first: each level that is full leaves only deeper ones.
        while let Some(depth) = limits.least_depth(claiming.claimed.len() as u32) {
            let until = limits.of(depth);
            if !claiming.claim_from_depth(depth, until).await? || (claiming.claimed.len() as u32) < until {
                // No run of this depth or deeper is left.
                break;
            }
        }
        let mut beyond = limits.beyond();
        while claiming.claimed.is_empty()
            && let Some(depth) = beyond.next()
        {
            if !claiming.claim_from_depth(depth, 1).await? {
                break;
            }
        }
        Ok(claiming.claimed)
    }

    async fn offer_row(&self, offer: &Offer) -> Result<OfferRow> {
        Ok(OfferRow {
            task: self.task_no(&offer.task).await?,
            // The database's integers have a sign. Without a limit of its own, a task has room for any number of runs.
            room: offer.room.min(i32::MAX.cast_unsigned()),
            version: self.version_no(&offer.version).await?,
            sha256: offer.version.to_string(),
            on_interrupt: interrupt_column(offer.on_interrupt),
            floor_priority: None,
            floor_no: None,
        })
    }

    /// The runs of an answer as they are after the claim. Tries until it succeeds: this host owns them, and nobody else
    /// would begin them.
    pub(super) async fn read_claimed(
        &self,
        rows: Vec<ClaimedRow>,
        host: i64,
        events: impl Fn(&ClaimedRow, &Run) -> Vec<Event>,
    ) -> Result<Vec<Claimed>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let nos: Vec<i64> = rows.iter().map(|row| row.no).collect();
        let runs = loop {
            match self.readers.read(nos.clone(), |db, nos| Box::pin(list::by_nos(db, nos))).await {
                Ok(runs) => break runs,
                Err(StorageError::Closed) => return Err(StorageError::Closed),
                Err(error) => {
                    tracing::warn!(%error, "can't read the runs that were claimed; trying again");
                    tokio::time::sleep(READ_PAUSE).await;
                }
            }
        };
        let mut runs: HashMap<i64, Run> = runs.into_iter().map(|run| (run.key.no, run)).collect();
        let claimed = rows.into_iter().filter_map(|row| {
            let run = runs.remove(&row.no)?;
            let events = events(&row, &run);
            let policy = row.on_interrupt.as_deref().and_then(OnInterrupt::parse);
            Some(Claimed {
                fence: Fence::of_claim(row.fence, host),
                events,
                last_seq: row.last_seq,
                has_checkpoint: row.checkpoint,
                has_locks: row.locks,
                depth: row.depth,
                on_interrupt: policy.unwrap_or_default(),
                run,
            })
        });
        Ok(claimed.collect())
    }
}

/// A claim under way.
struct Claiming<'a> {
    storage: &'a Postgres,
    host: i64,
    offers: Vec<(&'a Offer, OfferRow)>,
    claimed: Vec<Claimed>,
    statements: u32,
}

impl Claiming<'_> {
    /// Claims runs of this depth and deeper, until there are `until` in all. Returns false if the claim has to end.
    async fn claim_from_depth(&mut self, depth: u32, until: u32) -> Result<bool> {
        loop {
            let taken = self.claimed.len() as u32;
            if taken >= until {
                return Ok(true);
            }
            if self.statements >= MAX_STATEMENTS {
                return Ok(false);
            }
            self.statements += 1;
            let answer = match self.statement(depth, until - taken).await {
                Ok(answer) => answer,
                Err(_) if taken > 0 => return Ok(false),
                Err(error) => return Err(error),
            };
            if !answer {
                return Ok(true);
            }
        }
    }

    /// Makes one statement. Returns whether another might find more.
    async fn statement(&mut self, depth: u32, most: u32) -> Result<bool> {
        let time = Timestamp::now();
        for (_, row) in &mut self.offers {
            let floor = (depth == 0).then(|| self.storage.floors.of(row.task)).flatten();
            row.floor_priority = floor.map(|floor| floor.priority);
            row.floor_no = floor.map(|floor| floor.no);
        }
        let rows: Vec<&OfferRow> = self.offers.iter().map(|(_, row)| row).collect();
        let offers = Json::of(&rows).into_string();
        let sql = "SELECT claim_1($1, $2, $3, $4, $5, $6, $7)";
        let asked = most as usize;
        // The function looks at four times as many.
        let most = i32::try_from(most).unwrap_or(i32::MAX).min(i32::MAX / 4);
        let values = values![offers, depth as i32, most, time.as_millis()];
        let answer = self.storage.lanes.call(Some(self.host), sql, values, Urgency::Once).await?;
        let answer: ClaimAnswer = serde_json::from_str(&answer).map_err(|_| unreadable())?;
        let version_of = |task: &TaskRef| {
            self.offers.iter().find(|(offer, _)| offer.task == *task).map(|(offer, _)| offer.version)
        };
        let started = |row: &ClaimedRow, run: &Run| {
            let what = NewEvent { time, ..NewEvent::started(row.attempt, version_of(&run.task).as_ref()) };
            vec![Event { seq: row.last_seq, attempt: row.attempt, what }]
        };
        let mut claimed = self.storage.read_claimed(answer.claimed, self.host, started).await?;
        for claimed in &mut claimed {
            // What is asked of it since then reaches the owner as a message.
            claimed.run.status = RunStatus::Running;
            claimed.run.cancel_requested_at = None;
        }
        let mut again = answer.again;
        for (offer, row) in &mut self.offers {
            let mut of_task = claimed.iter().filter(|claimed| claimed.run.task == offer.task);
            let count = of_task.clone().count();
            row.room = row.room.saturating_sub(count as u32);
            if let Some(last) = of_task.next_back().filter(|_| depth == 0) {
                let last = Floor { priority: last.run.priority, no: last.run.key.no };
                self.storage.floors.claimed(row.task, count, last);
            }
        }
        let has_floors = self.offers.iter().any(|(_, row)| row.floor_no.is_some() && row.room > 0);
        if has_floors && claimed.len() < asked {
            // What is left is below a floor.
            self.storage.floors.forget();
            again = true;
        }
        self.claimed.append(&mut claimed);
        Ok(again)
    }
}
