//! The host as one run sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Scheduler;
use super::runner::Control;
use super::slots::Slot;
use crate::engine::{Grants, GuestHost, RunInfo, RunLost};
use crate::event_log::RunLog;
use crate::model::{Json, NewEvent, Refusal, RefusalCode, Signal, SignalName};
use crate::storage::{Storage, StorageError};
use async_trait::async_trait;

/// Pause before storage is asked again that did not answer.
pub(super) const STORAGE_PAUSE: Duration = Duration::from_millis(250);

/// Connects a guest with the log and the checkpoints of its run.
pub(super) struct RunHost {
    pub(super) info: RunInfo,
    /// What its task may reach.
    pub(super) grants: Arc<Grants>,
    pub(super) scheduler: Arc<Scheduler>,
    /// Its run's place; left to others while it waits for them.
    pub(super) slot: Arc<Slot>,
    /// How many runs are above it.
    pub(super) depth: u32,
    /// Whether this or an earlier attempt may have started other runs.
    pub(super) has_children: AtomicBool,
    pub(super) log: Arc<RunLog>,
    pub(super) storage: Arc<dyn Storage>,
    /// What reaches the run from outside.
    pub(super) control: Arc<Control>,
    /// Whether this or an earlier attempt has saved a checkpoint.
    pub(super) has_checkpoint: AtomicBool,
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
        // Who only forgets has asked for no other attempt.
        if saves && saved.is_ok() {
            self.has_checkpoint.store(true, Ordering::Relaxed);
        }
        saved.map_err(refusal)
    }

    async fn take_signal(&self, name: Option<SignalName>) -> Result<Option<Signal>, RunLost> {
        let mailbox = &self.control.mailbox;
        while mailbox.take_hint() {
            match self.storage.take_signal(self.log.run(), self.log.fence(), name.clone()).await {
                Ok(taken) => {
                    // With a name, those of others may be left.
                    if taken.is_some() || name.is_some() {
                        mailbox.keep_hint();
                    }
                    return Ok(taken);
                }
                Err(StorageError::Fenced) => return Err(RunLost),
                // The signals are there; that storage can't be read passes.
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
