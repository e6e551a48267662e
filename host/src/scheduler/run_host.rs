//! The host as one run sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::engine::{GuestHost, RunInfo, RunLost};
use crate::event_log::RunLog;
use crate::model::{NewEvent, Refusal, RefusalCode};
use crate::storage::{Storage, StorageError};

/// Connects a guest with the log and the checkpoints of its run.
pub(super) struct RunHost {
    pub(super) info: RunInfo,
    pub(super) log: Arc<RunLog>,
    pub(super) storage: Arc<dyn Storage>,
    /// Set once someone asked to cancel the run.
    pub(super) cancel: CancellationToken,
    /// Whether this or an earlier attempt has saved a checkpoint.
    pub(super) has_checkpoint: AtomicBool,
}

fn refusal(error: StorageError) -> Refusal {
    let code = match error {
        StorageError::Limit(_) | StorageError::Conflict(_) | StorageError::QueueFull(_) => {
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
        self.cancel.is_cancelled()
    }

    async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    async fn save_checkpoint(&self, key: String, value: Option<Vec<u8>>) -> Result<(), Refusal> {
        let saved = self.storage.save_checkpoint(self.log.run(), self.log.fence(), key, value).await;
        if saved.is_ok() {
            self.has_checkpoint.store(true, Ordering::Relaxed);
        }
        saved.map_err(refusal)
    }

    async fn load_checkpoint(&self, key: String) -> Result<Option<Vec<u8>>, Refusal> {
        self.storage.load_checkpoint(self.log.run().no, key).await.map_err(refusal)
    }
}
