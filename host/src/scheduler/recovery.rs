//! Recovery of runs that were orphaned when their host died.
//!
//! With a database of its own, a host settles the runs of its predecessors before it claims any. In a shared one, each host
//! looks for orphans for as long as it works.

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
/// Interval at which a host looks for the orphans of others, on average. They differ, so that hosts don't look at once.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Interval at which the health of storage is checked while a recovery waits for it.
const HEALTH_INTERVAL: Duration = Duration::from_millis(100);

impl Scheduler {
    /// Settles orphaned runs as soon as storage accepts writes, then begins to claim. In a shared database, it only
    /// registers before that.
    pub(super) async fn recover_when_possible(self: Arc<Self>) -> Result<()> {
        loop {
            let recovery = async {
                self.register().await?;
                if self.lease.is_shared() { Ok(()) } else { self.recover().await }
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
        if self.lease.is_shared() {
            self.watch_lease();
            self.tasks.spawn(Arc::clone(&self).keep_recovering());
            self.tasks.spawn(Arc::clone(&self).keep_reading_messages());
            self.tasks.spawn(Arc::clone(&self).keep_offering());
        }
        Ok(())
    }

    /// Settles the orphans of other hosts until this one stops.
    async fn keep_recovering(self: Arc<Self>) {
        loop {
            // Between a half and one and a half of the interval.
            let pause = LOOK_INTERVAL.mul_f64(0.5 + fastrand::f64());
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if !self.lease.is_steady() {
                continue;
            }
            if let Err(error) = self.recover().await {
                self.renew_if_fenced(&error);
                tracing::warn!(%error, "could not settle the runs of a host that died");
            }
        }
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
            let orphans = self.storage.claim_orphans(&self.lease.host(), BATCH).await?;
            if orphans.is_empty() {
                return Ok(());
            }
            tracing::info!(runs = orphans.len(), "settling runs that another host left behind");
            let settled = join_all(orphans.iter().map(|orphan| self.settle_in_time(orphan))).await;
            // They may be in the queue again, or have held locks or had children.
            for topic in [Topic::Queue, Topic::Cancel, Topic::Runs] {
                self.notifier.notify(&topic);
            }
            settled.into_iter().collect::<Result<()>>()?;
            if self.lease.is_shared() && self.stopping.is_cancelled() {
                // The next ones are for hosts that stay.
                return Ok(());
            }
        }
    }

    /// Settles an orphan. In a shared database it is tried until it is done, because nobody claims the orphan again while
    /// this host lives.
    async fn settle_in_time(&self, orphan: &Claimed) -> Result<()> {
        loop {
            match self.settle_orphan(orphan).await {
                // It belongs to another host, because this one was declared dead.
                Err(StorageError::Fenced) if self.lease.is_shared() => return Ok(()),
                Err(error) if self.lease.is_shared() && !matches!(error, StorageError::Closed) => {
                    tracing::warn!(run = %orphan.run.key.id, %error, "could not settle a run; retrying");
                }
                settled => return settled,
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Ok(()),
                () = tokio::time::sleep(RETRY_PAUSE) => {}
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
