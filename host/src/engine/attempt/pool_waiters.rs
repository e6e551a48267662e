//! Guests that wait for memory in wasmtime's pool.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use wasmtime::PoolConcurrencyLimitError;

use super::supervise::StopReason;

/// Interval at which a waiting guest retries without being woken: the waiter that was
/// woken may need more of the pool than has been freed.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Guests that wait for the pool although fewer guests are alive than it has slots:
/// languages differ in how many instances, memories and tables one guest needs.
#[derive(Default)]
pub(in crate::engine) struct PoolWaiters {
    freed: Notify,
}

impl PoolWaiters {
    /// To be called after each call of a guest, once its store is dropped. If the pool was full, waits and
    /// returns true. The guest has not started then, so a retry repeats nothing.
    pub(super) async fn must_retry<T>(&self, called: &Result<T, StopReason>) -> bool {
        match called {
            Err(StopReason::Error(error)) if error.is::<PoolConcurrencyLimitError>() => {
                let _ = timeout(RETRY_INTERVAL, self.freed.notified()).await;
                true
            }
            _ => {
                self.freed.notify_one();
                false
            }
        }
    }
}
