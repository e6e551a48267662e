//! Recovery of runs that were orphaned when an earlier host died.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::Scheduler;
use super::outcome::interrupted;
use crate::model::{NewEvent, Outcome};
use crate::notifier::Topic;
use crate::storage::{Claimed, Result, StorageError};

/// Orphaned runs that are claimed at once; they are settled together, in few commits.
const BATCH: u32 = 256;
/// Pause before a recovery that failed for lack of disk space is retried.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Interval at which the health of storage is checked while a recovery waits for it.
const HEALTH_INTERVAL: Duration = Duration::from_millis(100);

impl Scheduler {
    /// Settles orphaned runs as soon as storage accepts writes, then begins to claim.
    pub(super) async fn recover_when_possible(self: Arc<Self>) -> Result<()> {
        loop {
            let recovery = async {
                self.register().await?;
                self.recover().await
            };
            let recovered = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Ok(()),
                recovered = recovery => recovered,
            };
            match recovered {
                Ok(()) => break,
                // Storage has logged the reason.
                Err(StorageError::Unavailable(_)) => {}
                Err(error) => return Err(error),
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Ok(()),
                () = tokio::time::sleep(RETRY_PAUSE) => {}
            }
        }
        self.starting.spawn(Arc::clone(&self).keep_claiming());
        self.starting.spawn(Arc::clone(&self).keep_schedules());
        self.tasks.spawn(Arc::clone(&self).keep_lease());
        self.tasks.spawn(Arc::clone(&self).keep_uptime());
        self.tasks.spawn(Arc::clone(&self).keep_listening_for_cancels());
        Ok(())
    }

    /// Waits until orphaned runs are settled, or storage accepts no writes.
    pub(super) async fn recovered_or_held_up(&self, recovered: JoinHandle<Result<()>>) -> Result<()> {
        let held_up = async {
            while self.storage.health().is_ok() {
                tokio::time::sleep(HEALTH_INTERVAL).await;
            }
        };
        tokio::select! {
            biased;
            recovered = recovered => recovered.unwrap_or(Err(StorageError::Closed)),
            () = held_up => Ok(()),
        }
    }

    /// Settles every orphaned run: it is requeued or marked as interrupted, by the policy that its task had when the
    /// attempt began.
    pub(super) async fn recover(&self) -> Result<()> {
        loop {
            let orphans = self.storage.claim_orphans(&self.owner, BATCH).await?;
            if orphans.is_empty() {
                return Ok(());
            }
            tracing::info!(runs = orphans.len(), "settling runs that an earlier host left behind");
            for settled in join_all(orphans.iter().map(|orphan| self.settle_orphan(orphan))).await {
                settled?;
            }
        }
    }

    async fn settle_orphan(&self, orphan: &Claimed) -> Result<()> {
        let (run, fence) = (&orphan.run.key, orphan.fence);
        if orphan.run.cancel_requested_at.is_some() {
            self.storage.finish(run, fence, Outcome::Cancelled(None)).await?;
        } else if orphan.on_interrupt.tries_again(orphan.has_checkpoint) {
            let event = NewEvent::retrying(orphan.run.attempt + 1, &interrupted(), None);
            self.storage.requeue(run, fence, event, None).await?;
        } else {
            self.storage.finish(run, fence, Outcome::Failed(interrupted())).await?;
        }
        self.notifier.notify(&Topic::Run(run.id.clone()));
        Ok(())
    }
}
