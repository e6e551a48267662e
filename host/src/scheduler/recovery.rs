//! What an earlier host left behind when it stopped without a word.

use futures_util::future::join_all;

use super::Scheduler;
use super::runner::interrupted;
use crate::model::{NewEvent, Outcome};
use crate::notifier::Topic;
use crate::storage::{Claimed, Result};

/// Runs taken over at once; they are settled together, in few commits.
const BATCH: u32 = 256;

impl Scheduler {
    /// Settles every run whose owner is gone, as its task's policy was when the
    /// attempt began: put back, or marked as interrupted.
    pub(super) async fn recover(&self) -> Result<()> {
        loop {
            let orphans = self.storage.take_over(&self.owner, BATCH).await?;
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
