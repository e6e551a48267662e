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
pub struct PauseGate {
    /// Read at each poll of a guest, so it is outside of the lock.
    paused: AtomicBool,
    state: Mutex<PauseState>,
}

#[derive(Default)]
struct PauseState {
    /// The start of the current pause.
    paused_at: Option<Instant>,
    /// The total of all finished pauses.
    paused_for: Duration,
    /// The task that was polled during the pause.
    waker: Option<Waker>,
}

impl PauseGate {
    /// Pauses the guest.
    pub fn pause(&self) {
        let mut state = self.state.lock();
        state.paused_at.get_or_insert_with(Instant::now);
        self.paused.store(true, Ordering::SeqCst);
    }

    /// Resumes the guest.
    pub fn resume(&self) {
        let mut state = self.state.lock();
        if let Some(since) = state.paused_at.take() {
            state.paused_for += since.elapsed();
        }
        self.paused.store(false, Ordering::SeqCst);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the guest is paused.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Whether the guest is paused. If so, its task is woken when it is resumed.
    pub(in crate::engine) fn poll_paused(&self, context: &Context<'_>) -> bool {
        if !self.paused.load(Ordering::SeqCst) {
            return false;
        }
        let mut state = self.state.lock();
        // It may have been resumed in between.
        if state.paused_at.is_none() {
            return false;
        }
        state.waker = Some(context.waker().clone());
        true
    }

    /// The total of all finished pauses.
    pub(in crate::engine) fn paused_for(&self) -> Duration {
        self.state.lock().paused_for
    }
}
