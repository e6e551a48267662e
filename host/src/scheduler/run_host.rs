//! The host functions that one running guest may call.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Scheduler;
use super::attempt_guard::AttemptGuard;
use super::control::Control;
use super::slots::Slot;
use crate::engine::{Grants, GuestHost, RunInfo, RunLost};
use crate::event_log::RunLog;
use crate::model::{Json, NewEvent, Refusal, RefusalCode, RunId, Signal, SignalName};
use crate::registry::Task;
use crate::storage::{Claimed, Storage, StorageError};
use async_trait::async_trait;
use parking_lot::Mutex;

/// Pause before a failed read from storage is retried.
pub(super) const STORAGE_PAUSE: Duration = Duration::from_millis(250);

/// Connects a guest with the log, checkpoints, messages and child runs of its run.
pub(super) struct RunHost {
    pub(super) info: RunInfo,
    /// The grants of its task.
    pub(super) grants: Arc<Grants>,
    pub(super) scheduler: Arc<Scheduler>,
    /// The run's slot; vacated while the run waits for its children.
    pub(super) slot: Arc<Slot>,
    /// Number of ancestors of the run.
    pub(super) depth: u32,
    /// Whether this or an earlier attempt may have started child runs.
    pub(super) has_children: AtomicBool,
    /// Child runs that this attempt has started or found.
    pub(super) known_children: Mutex<HashSet<RunId>>,
    pub(super) log: Arc<RunLog>,
    pub(super) storage: Arc<dyn Storage>,
    /// Cancellation, pause and messages from outside.
    pub(super) control: Arc<Control>,
    /// Whether this or an earlier attempt has saved a checkpoint.
    pub(super) has_checkpoint: AtomicBool,
}

impl RunHost {
    pub(super) fn new(
        scheduler: &Arc<Scheduler>,
        claimed: &Claimed,
        task: &Task,
        guard: &AttemptGuard,
    ) -> Self {
        Self {
            info: RunInfo {
                id: claimed.run.key.id.to_string(),
                task: claimed.run.task.clone(),
                version: task.version(),
                attempt: claimed.run.attempt,
                labels: claimed.run.labels.clone(),
            },
            grants: Arc::clone(&task.settings.grants),
            scheduler: Arc::clone(scheduler),
            slot: Arc::clone(&guard.slot),
            depth: claimed.depth,
            has_children: AtomicBool::new(claimed.run.attempt > 1),
            known_children: Mutex::default(),
            log: Arc::clone(&guard.control.log),
            storage: Arc::clone(&scheduler.storage),
            control: Arc::clone(&guard.control),
            has_checkpoint: AtomicBool::new(claimed.has_checkpoint),
        }
    }
}

pub(super) fn refusal(error: StorageError) -> Refusal {
    let code = match error {
        StorageError::Conflict(_) | StorageError::Deadlock(_) => RefusalCode::Conflict,
        StorageError::Limit(_) | StorageError::QueueFull(_) | StorageError::Busy(_) => {
            RefusalCode::LimitExceeded
        }
        StorageError::Unavailable(_) | StorageError::Fenced | StorageError::Closed => {
            RefusalCode::Unavailable
        }
    };
    Refusal::new(code, error.to_string())
}

#[async_trait]
impl GuestHost for RunHost {
    fn send(&self, event: NewEvent) -> Result<Option<NewEvent>, RunLost> {
        self.log.send(event).map_err(|_| RunLost)
    }

    async fn room(&self) {
        self.log.room().await;
    }

    async fn flush(&self) -> Result<(), Refusal> {
        self.log.flush().await.map_err(refusal)
    }

    fn info(&self) -> &RunInfo {
        &self.info
    }

    fn is_cancelled(&self) -> bool {
        self.control.cancel.is_cancelled()
    }

    async fn cancelled(&self) {
        self.control.cancel.cancelled().await;
    }

    async fn save_checkpoint(&self, key: String, value: Option<Vec<u8>>) -> Result<(), Refusal> {
        let saves = value.is_some();
        let saved = self.storage.save_checkpoint(self.log.run(), self.log.fence(), key, value).await;
        // Removing a checkpoint does not ask for another attempt.
        if saves && saved.is_ok() {
            self.has_checkpoint.store(true, Ordering::Relaxed);
        }
        saved.map_err(refusal)
    }

    async fn take_signal(&self, name: Option<SignalName>) -> Result<Option<Signal>, RunLost> {
        let mailbox = &self.control.mailbox;
        while mailbox.take_hint() {
            let in_order = self.scheduler.deliveries.lock(&self.log.run().id).await;
            let taken = self.storage.take_signal(self.log.run(), self.log.fence(), name.clone()).await;
            drop(in_order);
            match taken {
                Ok(taken) => {
                    // Signals with other names may be left.
                    if taken.is_some() || name.is_some() {
                        mailbox.keep_hint();
                    }
                    if taken.is_some() {
                        // In a shared database, its note may not be logged yet.
                        self.scheduler.read_messages_now().await;
                    }
                    return Ok(taken);
                }
                Err(StorageError::Fenced) => return Err(RunLost),
                // A failure to read is temporary, and the signals are still stored.
                Err(_) => {
                    mailbox.keep_hint();
                    tokio::time::sleep(STORAGE_PAUSE).await;
                }
            }
        }
        Ok(None)
    }

    fn signals(&self) -> u64 {
        self.control.mailbox.count()
    }

    async fn more_signals(&self, than: u64) {
        self.control.mailbox.more(than).await;
    }

    fn parameter(&self, name: &str) -> Option<Json> {
        let name = SignalName::parse(name).ok()?;
        self.control.mailbox.parameter(&name)
    }

    async fn load_checkpoint(&self, key: String) -> Result<Option<Vec<u8>>, Refusal> {
        self.storage.load_checkpoint(self.log.run().no, key).await.map_err(refusal)
    }
}
