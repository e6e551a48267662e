//! The CPU scheduler: decides which guests run on a thread. Guests that compute share as many permits as there
//! are threads for them; a guest that mostly waits runs at once.
//!
//! Without it, a guest whose timer has fired would queue behind all guests that compute, and be late by a tick for
//! each; and a few guests in a long instruction (filling all their memory is one) would occupy every thread. So there
//! are a few more threads than permits, and a guest that has used up its budget needs a permit.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// Threads in addition to the permits, for guests that run at once. The second one is for the
/// case that a guest starts a long instruction within its budget.
pub(in crate::engine) const SPARE_THREADS: usize = 2;
/// CPU time without a permit: one tick, which a guest may use in any case.
const BUDGET: Duration = Duration::from_millis(3);
/// The budget grows by one part in this many of the elapsed time. A guest that computes
/// less than that never waits for a permit.
const SHARE: u32 = 8;

/// The permits of all guests, granted in the order of the requests.
#[derive(Clone)]
pub(in crate::engine) struct CpuScheduler(Arc<Semaphore>);

impl CpuScheduler {
    pub(in crate::engine) fn new(permits: usize) -> Self {
        Self(Arc::new(Semaphore::new(permits)))
    }
}

/// The CPU time that one guest may use without a permit.
pub(in crate::engine) struct CpuBudget {
    scheduler: CpuScheduler,
    /// The queued request for a permit, if any.
    request: Option<PollSemaphore>,
    /// Time that the guest may use now.
    left: Duration,
    /// Time used beyond the budget. It is repaid first, so after a long instruction the guest
    /// needs permits for as long as it would have waited to earn that time.
    debt: Duration,
    /// The time at which `left` and `debt` were computed.
    updated_at: Instant,
}

/// Permission to run on a thread until the next yield.
pub(in crate::engine) struct CpuSlice {
    began: Instant,
    _permit: Option<OwnedSemaphorePermit>,
}

impl CpuBudget {
    pub(in crate::engine) fn new(scheduler: &CpuScheduler) -> Self {
        let scheduler = scheduler.clone();
        Self { scheduler, request: None, left: BUDGET, debt: Duration::ZERO, updated_at: Instant::now() }
    }

    /// Requests a slice. If none is granted yet, the task is woken when one is.
    pub(in crate::engine) fn poll_slice(&mut self, context: &mut Context<'_>) -> Poll<CpuSlice> {
        let began = Instant::now();
        self.replenish(began);
        if !self.left.is_zero() {
            self.request = None;
            return Poll::Ready(CpuSlice { began, _permit: None });
        }
        // If the queue is empty, without a queued request, which would cost an allocation.
        if self.request.is_none()
            && let Ok(permit) = Arc::clone(&self.scheduler.0).try_acquire_owned()
        {
            return Poll::Ready(CpuSlice { began, _permit: Some(permit) });
        }
        let permits = &self.scheduler.0;
        let request = self.request.get_or_insert_with(|| PollSemaphore::new(Arc::clone(permits)));
        let permit = ready!(request.poll_acquire(context));
        // The next request goes to the end of the queue.
        self.request = None;
        Poll::Ready(CpuSlice { began, _permit: permit })
    }

    /// Charges a slice after the guest has yielded.
    pub(in crate::engine) fn charge(&mut self, slice: CpuSlice) {
        let now = Instant::now();
        let used = now.saturating_duration_since(slice.began);
        self.debt += used.saturating_sub(self.left);
        self.left = self.left.saturating_sub(used);
        self.updated_at = now;
    }

    /// Withdraws the request of a guest that is paused, on which a permit would be wasted.
    pub(in crate::engine) fn leave_queue(&mut self) {
        self.request = None;
    }

    fn replenish(&mut self, now: Instant) {
        let earned = now.saturating_duration_since(self.updated_at) / SHARE;
        self.updated_at = now;
        let repaid = earned.min(self.debt);
        self.debt -= repaid;
        self.left = (self.left + (earned - repaid)).min(BUDGET);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn slice(guest: &mut CpuBudget) -> Option<CpuSlice> {
        match guest.poll_slice(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(slice) => Some(slice),
            Poll::Pending => None,
        }
    }

    /// Charges the slice as if the guest had computed for that time.
    fn compute(guest: &mut CpuBudget, mut slice: CpuSlice, time: Duration) {
        slice.began = Instant::now().checked_sub(time).unwrap();
        guest.charge(slice);
    }

    fn guest_in_debt(scheduler: &CpuScheduler) -> CpuBudget {
        let mut guest = CpuBudget::new(scheduler);
        let first = slice(&mut guest).expect("it has its budget");
        compute(&mut guest, first, Duration::from_secs(100));
        guest
    }

    #[test]
    fn a_guest_needs_a_permit_only_after_its_budget() {
        let scheduler = CpuScheduler::new(1);
        let (mut one, mut other) = (guest_in_debt(&scheduler), guest_in_debt(&scheduler));
        let granted = slice(&mut one).unwrap();
        assert!(slice(&mut other).is_none(), "there is one permit");
        let mut rested = CpuBudget::new(&scheduler);
        let at_once = slice(&mut rested).unwrap();
        compute(&mut rested, at_once, Duration::from_micros(10));
        assert!(slice(&mut rested).is_some(), "it used less than its budget");
        compute(&mut one, granted, Duration::from_millis(3));
        assert!(slice(&mut one).is_none(), "another guest requested a permit before");
        assert!(slice(&mut other).is_some());
    }

    #[test]
    fn a_guest_that_leaves_the_queue_takes_no_permit() {
        let scheduler = CpuScheduler::new(1);
        let [mut one, mut paused, mut other] = [(); 3].map(|()| guest_in_debt(&scheduler));
        let granted = slice(&mut one).unwrap();
        assert!(slice(&mut paused).is_none() && slice(&mut other).is_none());
        paused.leave_queue();
        drop(granted);
        assert!(slice(&mut other).is_some());
    }
}
