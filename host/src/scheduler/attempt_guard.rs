use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use tokio::runtime::Handle;

use super::Scheduler;
use super::control::Control;
use super::lease::Registration;
use super::slots::Slot;
use crate::storage::Claimed;

/// A claimed run whose attempt is not registered yet. If it is dropped before that, as by a panic, the run fails: storage
/// has it as running already, and nothing else would end it before the next start of the host.
pub(super) struct ClaimGuard {
    scheduler: Arc<Scheduler>,
    /// None when the attempt is registered.
    claimed: Option<Claimed>,
    /// None until the run has one.
    slot: Option<Slot>,
    registration: Arc<Registration>,
    runtime: Handle,
}

impl ClaimGuard {
    /// To be called within a tokio runtime, for a run that storage has just returned to the host of that registration.
    pub(super) fn new(scheduler: &Arc<Scheduler>, claimed: Claimed, registration: Arc<Registration>) -> Self {
        Self {
            scheduler: Arc::clone(scheduler),
            claimed: Some(claimed),
            slot: None,
            registration,
            runtime: Handle::current(),
        }
    }

    /// Keeps the slot for the attempt, or until the run has failed.
    pub(super) fn assign(&mut self, slot: Slot) {
        self.slot = Some(slot);
    }

    /// The run.
    pub(super) fn claimed(&self) -> &Claimed {
        self.claimed.as_ref().expect("it is there until the attempt is registered, which consumes the guard")
    }
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        let Some(claimed) = self.claimed.take() else { return };
        let (scheduler, slot) = (Arc::clone(&self.scheduler), self.slot.take());
        let failing = async move {
            scheduler.fail_unregistered(&claimed).await;
            // Not before the run has ended: a drain waits for the slots.
            drop(slot);
        };
        drop(self.scheduler.tasks.spawn_on(failing, &self.runtime));
    }
}

/// Registration of a running attempt: its run can be reached, and holds a slot, until this is dropped.
///
/// If a panic drops it before the outcome is written, the run fails: wherever the panic comes from, no run stays
/// without a terminal event.
pub(super) struct AttemptGuard {
    scheduler: Arc<Scheduler>,
    pub(super) control: Arc<Control>,
    pub(super) slot: Arc<Slot>,
    /// An attempt of the same run that this host has lost, and whose guest may not be gone yet.
    lost: Option<Arc<Control>>,
    /// Outlives the engine's threads, on which this may be dropped.
    runtime: Handle,
    is_settled: bool,
}

impl AttemptGuard {
    /// Opens the log of a claimed run and registers the run, which must have a slot.
    pub(super) fn register(mut claim: ClaimGuard) -> (Self, Claimed) {
        let scheduler = Arc::clone(&claim.scheduler);
        let log = scheduler.log.open(claim.claimed());
        let nth = scheduler.attempts.fetch_add(1, Ordering::SeqCst) + 1;
        let control = Arc::new(Control::new(nth, log, Arc::clone(&claim.registration)));
        let mut guard = Self {
            scheduler,
            control: Arc::clone(&control),
            slot: Arc::new(claim.slot.take().expect("a run is launched in its slot")),
            lost: None,
            runtime: claim.runtime.clone(),
            is_settled: false,
        };
        // From here on, the new guard fails the run after a panic.
        let claimed = claim.claimed.take().expect("only this call takes it");
        if claimed.run.cancel_requested_at.is_some() {
            control.cancel();
        }
        let mut controls = guard.scheduler.controls.lock();
        // With the lock: what suspends all guests, or ends that, sees this attempt or comes before it.
        if guard.scheduler.lease.is_late() {
            control.gate.suspend();
        }
        let earlier = controls.insert(claimed.run.key.id.clone(), control);
        drop(controls);
        guard.lost = earlier.filter(|earlier| earlier.registration.lost.is_cancelled());
        (guard, claimed)
    }

    /// Waits until no guest of an attempt that this host has lost executes the run any more.
    pub(super) async fn earlier_gone(&self) {
        if let Some(lost) = &self.lost {
            lost.gone.cancelled().await;
        }
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
        self.control.gone.cancel();
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
