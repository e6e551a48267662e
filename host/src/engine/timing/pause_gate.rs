//! The pause gate of one guest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Pauses and resumes a guest, whether it cooperates or not.
///
/// While the gate is closed, the guest's future is not polled. A guest that computes
/// stops at its next yield, after a few milliseconds at most; one that waits in
/// a call to the host stays there. Its deadline is extended by the pause.
#[derive(Default)]
pub struct Gate {
    /// Read at each poll of a guest, so it is outside of the lock.
    closed: AtomicBool,
    state: Mutex<GateState>,
}

#[derive(Default)]
struct GateState {
    /// The start of the current pause.
    closed_at: Option<Instant>,
    /// The total of all finished pauses.
    closed_for: Duration,
    /// The task that was polled during the pause.
    waker: Option<Waker>,
}

impl Gate {
    /// Pauses the guest.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed_at.get_or_insert_with(Instant::now);
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Resumes the guest.
    pub fn open(&self) {
        let mut state = self.state.lock();
        if let Some(since) = state.closed_at.take() {
            state.closed_for += since.elapsed();
        }
        self.closed.store(false, Ordering::SeqCst);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the guest is paused.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Whether the guest is paused. If so, its task is woken when it is resumed.
    pub(in crate::engine) fn poll_paused(&self, context: &Context<'_>) -> bool {
        if !self.closed.load(Ordering::SeqCst) {
            return false;
        }
        let mut state = self.state.lock();
        // It may have been resumed in between.
        if state.closed_at.is_none() {
            return false;
        }
        state.waker = Some(context.waker().clone());
        true
    }

    /// The total of all finished pauses.
    pub(in crate::engine) fn closed_for(&self) -> Duration {
        self.state.lock().closed_for
    }
}
