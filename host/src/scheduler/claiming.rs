//! The claiming loop: polls the queue whenever runs may be waiting and slots are free.

use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use super::duties::Duty;
use crate::model::{Circuit, Timestamp};
use crate::notifier::Topic;
use crate::registry::Task;
use crate::storage::{ClaimRequest, Offer, Result};

/// Interval at which the queue is polled without a wake-up, in case one was lost.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Interval at which requests to cancel are read without a wake-up.
const CANCEL_POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Most runs claimed at once; the next are claimed right after.
const MAX_CLAIM: u32 = 64;

/// Result of polling the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Polled {
    /// A full batch was claimed: there may be more runs.
    FullBatch,
    /// No run is left that could start now.
    Drained,
}

/// Time until the next poll without a wake-up.
fn poll_delay(next_due: Option<Timestamp>) -> Duration {
    let left = next_due.map(|time| time.as_millis().saturating_sub(Timestamp::now().as_millis()));
    let left = left.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
    left.map_or(POLL_INTERVAL, |left| left.min(POLL_INTERVAL))
}

impl Scheduler {
    /// Claims runs until the host stops.
    pub(super) async fn keep_claiming(self: Arc<Self>) {
        let queue = self.notifier.listen(Topic::Queue);
        let mut tasks = self.registry.changes();
        // The first task in the order of claims. It advances, so that no task is always last.
        let mut turn = 0;
        let heartbeat = self.heartbeat.begin();
        while !self.stopping.is_cancelled() {
            heartbeat.beat();
            let (polled, next_due) = self.claim(turn).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "failed to poll the queue");
                (Polled::Drained, None)
            });
            turn += 1;
            if polled == Polled::FullBatch {
                continue;
            }
            heartbeat.rest();
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => {}
                () = queue.heard() => {}
                // After a full poll too: a slot may have been freed while the queue was polled.
                () = self.slots.freed() => {}
                () = tasks.changed() => {}
                () = tokio::time::sleep(poll_delay(next_due)) => {}
            }
        }
    }

    /// Claims as many runs as there are free slots. Also returns when the queue has to be polled next.
    async fn claim(self: &Arc<Self>, turn: usize) -> Result<(Polled, Option<Timestamp>)> {
        if self.lease.is_late() {
            // A hint comes with the next renewal.
            return Ok((Polled::Drained, None));
        }
        // Checked before slots are reserved: meanwhile no submitted run could start at once.
        let waiting = self.storage.queue_state().await?;
        let due = waiting.next_due.filter(|time| *time <= Timestamp::now());
        if !waiting.queued && due.is_none() {
            return Ok((Polled::Drained, waiting.next_due));
        }
        let next_due = waiting.next_due.filter(|_| due.is_none());
        let Some(reservation) = self.slots.reserve() else { return Ok((Polled::Drained, next_due)) };
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
        let registration = self.lease.registration();
        let request = ClaimRequest { owner: registration.host.clone(), tasks, limits };
        let claimed = self.storage.claim(request).await.inspect_err(|error| self.renew_if_fenced(error))?;
        let polled = if claimed.len() as u32 == MAX_CLAIM { Polled::FullBatch } else { Polled::Drained };
        for claimed in claimed {
            self.launch(claimed, Arc::clone(&registration), |claimed| {
                let task = loaded.iter().find(|task| task.name == claimed.run.task);
                let task = Arc::clone(task.expect("only runs of offered tasks are claimed"));
                let slot = reservation.take(&task.name, claimed.depth);
                (task, slot)
            });
        }
        Ok((polled, self.next_poll(&loaded, next_due)))
    }

    /// When the queue has to be polled without a wake-up: when a delayed run is due, or when an open circuit becomes
    /// half open.
    fn next_poll(&self, loaded: &[Arc<Task>], next_due: Option<Timestamp>) -> Option<Timestamp> {
        let circuits = loaded.iter().filter_map(|task| match self.circuit(task) {
            Some(Circuit::Open { until }) => Some(until),
            _ => None,
        });
        circuits.chain(next_due).min()
    }

    /// Measures the host's uptime until no run executes any more.
    pub(super) async fn keep_uptime(self: Arc<Self>) {
        tokio::select! {
            biased;
            () = self.ended.cancelled() => {}
            () = self.uptime.keep_looking() => {}
        }
    }

    /// Signals requests to cancel that reached another host, and cancels abandoned child runs.
    pub(super) async fn keep_listening_for_cancels(self: Arc<Self>) {
        let cancels = self.notifier.listen(Topic::Cancel);
        let mut duty = Duty::new("orphans");
        // Without a hint, one host looks for abandoned child runs.
        let mut hinted = true;
        loop {
            if (hinted || self.hold_or_log(&mut duty).await.is_held())
                && let Err(error) = self.cancel_abandoned().await
            {
                tracing::warn!(%error, "could not cancel the child runs of ended runs");
            }
            hinted = tokio::select! {
                biased;
                () = self.ended.cancelled() => break,
                () = cancels.heard() => true,
                () = tokio::time::sleep(CANCEL_POLL_INTERVAL) => false,
            };
            if self.slots.taken() == 0 {
                continue;
            }
            match self.storage.cancel_requests(&self.lease.host()).await {
                Ok(runs) => runs.iter().for_each(|id| self.signal_cancel(id)),
                Err(error) => tracing::warn!(%error, "could not read the requests to cancel"),
            }
        }
    }
}
