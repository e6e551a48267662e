//! The order of a run's messages.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::model::RunId;

/// Locks, one for each run to which a message is being delivered.
///
/// A message is stored first and then logged. Without a lock, the guest could take it in between, act on it and end its
/// run; then the log would lack the message, and its sender would hear that it came too late.
#[derive(Default)]
pub(super) struct Deliveries(Mutex<HashMap<RunId, Arc<AsyncMutex<()>>>>);

/// The lock of a run, until it is dropped.
pub(super) struct Delivery<'a> {
    deliveries: &'a Deliveries,
    run: RunId,
    held: Option<OwnedMutexGuard<()>>,
}

impl Deliveries {
    /// Waits until no other message of the run is being delivered or taken.
    pub(super) async fn lock(&self, run: &RunId) -> Delivery<'_> {
        // Made before the wait: a caller that is dropped meanwhile leaves no entry behind.
        let mut delivery = Delivery { deliveries: self, run: run.clone(), held: None };
        let lock = Arc::clone(self.0.lock().entry(run.clone()).or_default());
        delivery.held = Some(lock.lock_owned().await);
        delivery
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        let mut locks = self.deliveries.0.lock();
        self.held = None;
        if locks.get(&self.run).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn messages_of_one_run_wait_for_each_other_and_leave_nothing_behind() {
        let deliveries = Deliveries::default();
        let [a, b] = ["a", "b"].map(|id| RunId::parse(id).unwrap());
        let first = deliveries.lock(&a).await;
        let other = deliveries.lock(&b).now_or_never();
        assert!(other.is_some(), "of another run");
        let mut second = Box::pin(deliveries.lock(&a));
        let mut dropped = Box::pin(deliveries.lock(&a));
        assert!((&mut second).now_or_never().is_none() && (&mut dropped).now_or_never().is_none());
        drop(dropped);
        drop(first);
        let second = second.now_or_never();
        assert!(second.is_some());
        drop((second, other));
        assert!(deliveries.0.lock().is_empty());
        let held = deliveries.lock(&a).await;
        let mut waiting = Box::pin(deliveries.lock(&a));
        assert!((&mut waiting).now_or_never().is_none());
        drop(held);
        drop(waiting);
        assert!(deliveries.0.lock().is_empty());
    }
}
