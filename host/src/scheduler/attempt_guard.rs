use std::sync::Arc;
use std::thread;

use tokio::runtime::Handle;

use super::Scheduler;
use super::control::Control;
use super::slots::Slot;
use crate::storage::Claimed;

/// Registration of a running attempt: its run can be reached, and holds a slot, until this is dropped.
///
/// If a panic drops it before the outcome is written, the run fails: wherever the panic comes from, no run stays
/// without a terminal event.
pub(super) struct AttemptGuard {
    scheduler: Arc<Scheduler>,
    pub(super) control: Arc<Control>,
    pub(super) slot: Arc<Slot>,
    /// Outlives the engine's threads, on which this may be dropped.
    runtime: Handle,
    is_settled: bool,
}

impl AttemptGuard {
    /// Opens the log of a claimed run and registers the run. To be called within a tokio runtime.
    pub(super) fn register(scheduler: &Arc<Scheduler>, claimed: &Claimed, slot: Slot) -> Self {
        let control = Arc::new(Control::new(scheduler.log.open(claimed)));
        let guard = Self {
            scheduler: Arc::clone(scheduler),
            control: Arc::clone(&control),
            slot: Arc::new(slot),
            runtime: Handle::current(),
            is_settled: false,
        };
        if claimed.run.cancel_requested_at.is_some() {
            control.cancel();
        }
        scheduler.controls.lock().insert(claimed.run.key.id.clone(), control);
        guard
    }

    /// Notes that the outcome is written, or belongs to another host.
    pub(super) fn settled(&mut self) {
        self.is_settled = true;
    }

    fn unregister(&self) {
        let id = &self.control.log.run().id;
        let mut controls = self.scheduler.controls.lock();
        // A later attempt may have registered meanwhile.
        if controls.get(id).is_some_and(|current| Arc::ptr_eq(current, &self.control)) {
            controls.remove(id);
        }
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        self.unregister();
        // Without a panic, the host was stopped or killed; the next start settles the run.
        if self.is_settled || !thread::panicking() {
            return;
        }
        let (scheduler, control) = (Arc::clone(&self.scheduler), Arc::clone(&self.control));
        let slot = Arc::clone(&self.slot);
        let failing = async move {
            scheduler.fail_after_panic(&control.log).await;
            // Not before the run has ended: a drain waits for the slots.
            drop(slot);
        };
        drop(self.scheduler.tasks.spawn_on(failing, &self.runtime));
    }
}
