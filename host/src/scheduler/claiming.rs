//! Asking the queue for work whenever there may be some and there is room.

use std::sync::Arc;
use std::time::Duration;

use super::{LEASE, RENEWAL, Scheduler};
use crate::model::{Circuit, Timestamp};
use crate::notifier::Topic;
use crate::registry::Task;
use crate::storage::{ClaimRequest, Offer, Result};

/// How often the queue is asked without a hint, in case one was lost.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How often wishes to cancel are read without a hint.
const READ_CANCELS_AGAIN: Duration = Duration::from_secs(5);
/// Most runs claimed at once; the next are claimed right after.
const MAX_CLAIM: u32 = 64;

/// What the queue answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// As many as are claimed at once: there may be more.
    MoreAtOnce,
    /// Nothing is left, or what is left waits for room.
    Enough,
}

/// How long to wait without a hint.
fn until(next_due: Option<Timestamp>) -> Duration {
    let left = next_due.map(|time| time.as_millis().saturating_sub(Timestamp::now().as_millis()));
    let left = left.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
    left.map_or(ASK_AGAIN, |left| left.min(ASK_AGAIN))
}

impl Scheduler {
    /// Claims until the host stops.
    pub(super) async fn keep_claiming(self: Arc<Self>) {
        let queue = self.notifier.listen(Topic::Queue);
        let mut tasks = self.registry.changes();
        // Which task is served first; moves on, so that none is always last.
        let mut turn = 0;
        let heartbeat = self.heartbeat.begin();
        while !self.stopping.is_cancelled() {
            heartbeat.beat();
            let (asked, next_due) = self.claim(turn).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "could not ask the queue");
                (Asked::Enough, None)
            });
            turn += 1;
            if asked == Asked::MoreAtOnce {
                continue;
            }
            heartbeat.rest();
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => {}
                () = queue.heard() => {}
                // Whatever the answer was: a slot may have been freed while the queue was asked.
                () = self.slots.freed() => {}
                () = tasks.changed() => {}
                () = tokio::time::sleep(until(next_due)) => {}
            }
        }
    }

    /// Claims as many runs as there is room for. Says also when the time of the next
    /// delayed run comes.
    async fn claim(self: &Arc<Self>, turn: usize) -> Result<(Asked, Option<Timestamp>)> {
        // Looked at first: while slots are reserved for the queue, nothing starts beside it.
        let waiting = self.storage.waiting().await?;
        let due = waiting.next_due.filter(|time| *time <= Timestamp::now());
        if !waiting.queued && due.is_none() {
            return Ok((Asked::Enough, waiting.next_due));
        }
        let next_due = waiting.next_due.filter(|_| due.is_none());
        let Some(reservation) = self.slots.reserve() else { return Ok((Asked::Enough, next_due)) };
        let loaded = self.registry.tasks();
        let first = if loaded.is_empty() { 0 } else { turn % loaded.len() };
        let in_turn = loaded[first..].iter().chain(&loaded[..first]);
        let tasks = in_turn
            .map(|task| {
                let room = reservation.room_for(&task.name, self.max_running_of(task));
                let on_interrupt = task.settings.on_interrupt;
                Offer { task: task.name.clone(), version: task.version(), room, on_interrupt }
            })
            .collect();
        let limits = reservation.room().at_most(MAX_CLAIM);
        let claimed = self.storage.claim(ClaimRequest { owner: self.owner.clone(), tasks, limits }).await?;
        let asked = if claimed.len() as u32 == MAX_CLAIM { Asked::MoreAtOnce } else { Asked::Enough };
        for claimed in claimed {
            let task = loaded.iter().find(|task| task.name == claimed.run.task);
            let task = Arc::clone(task.expect("only runs of tasks that were asked for are given"));
            let slot = reservation.take(&task.name, claimed.depth);
            self.launch(claimed, task, slot);
        }
        Ok((asked, self.next_look(&loaded, next_due)))
    }

    /// When the queue has to be looked at although nobody says so: when a delayed run is due,
    /// or when the pause of a circuit that opened is over.
    fn next_look(&self, loaded: &[Arc<Task>], next_due: Option<Timestamp>) -> Option<Timestamp> {
        let circuits = loaded.iter().filter_map(|task| match self.circuit(task) {
            Some(Circuit::Open { until }) => Some(until),
            _ => None,
        });
        circuits.chain(next_due).min()
    }

    /// Says that this host lives, until nothing executes any more.
    pub(super) async fn keep_lease(self: Arc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = self.ended.cancelled() => break,
                () = tokio::time::sleep(RENEWAL) => {}
            }
            if let Err(error) = self.renew_lease().await {
                tracing::warn!(%error, "could not renew the lease");
            }
        }
    }

    /// Notices when the host did not run, until nothing executes any more.
    pub(super) async fn keep_uptime(self: Arc<Self>) {
        tokio::select! {
            biased;
            () = self.ended.cancelled() => {}
            () = self.uptime.keep_looking() => {}
        }
    }

    pub(super) async fn renew_lease(&self) -> Result<()> {
        self.storage.renew_lease(&self.owner, LEASE.as_millis() as u32).await
    }

    /// Passes on wishes to cancel that were made elsewhere, and ends runs that were
    /// abandoned.
    pub(super) async fn keep_listening_for_cancels(self: Arc<Self>) {
        let cancels = self.notifier.listen(Topic::Cancel);
        loop {
            if let Err(error) = self.cancel_abandoned().await {
                tracing::warn!(%error, "could not end runs whose parent has ended");
            }
            tokio::select! {
                biased;
                () = self.ended.cancelled() => break,
                () = cancels.heard() => {}
                () = tokio::time::sleep(READ_CANCELS_AGAIN) => {}
            }
            if self.slots.taken() == 0 {
                continue;
            }
            match self.storage.cancel_requests(&self.owner).await {
                Ok(runs) => runs.iter().for_each(|id| self.tell_cancelled(id)),
                Err(error) => tracing::warn!(%error, "could not read wishes to cancel"),
            }
        }
    }
}
