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
///
/// Two parties close it, independently of each other: a client that pauses the run, and the
/// host, which suspends the guest while it may have lost the run. It is open if neither does.
#[derive(Default)]
pub struct PauseGate {
    /// Whether it is closed. Read at each poll of a guest, so it is outside of the lock.
    closed: AtomicBool,
    state: Mutex<PauseState>,
}

#[derive(Default)]
struct PauseState {
    paused: bool,
    suspended: bool,
    /// Since when it is closed.
    closed_at: Option<Instant>,
    /// The total of all finished closures.
    closed_for: Duration,
    /// The task that was polled while it was closed.
    waker: Option<Waker>,
}

impl PauseGate {
    /// Pauses the guest.
    pub fn pause(&self) {
        self.change(|state| state.paused = true);
    }

    /// Resumes the guest, unless it is suspended.
    pub fn resume(&self) {
        self.change(|state| state.paused = false);
    }

    /// Whether the guest is paused. A suspended one may be or not.
    pub fn is_paused(&self) -> bool {
        // A gate that is open needs no lock.
        self.closed.load(Ordering::SeqCst) && self.state.lock().paused
    }

    /// Suspends the guest, whether it is paused or not.
    pub fn suspend(&self) {
        self.change(|state| state.suspended = true);
    }

    /// Ends the suspension. The guest continues unless it is paused.
    pub fn end_suspension(&self) {
        self.change(|state| state.suspended = false);
    }

    fn change(&self, change: impl FnOnce(&mut PauseState)) {
        let mut state = self.state.lock();
        change(&mut state);
        let closed = state.paused || state.suspended;
        if closed {
            state.closed_at.get_or_insert_with(Instant::now);
        } else if let Some(since) = state.closed_at.take() {
            state.closed_for += since.elapsed();
        }
        self.closed.store(closed, Ordering::SeqCst);
        let waker = if closed { None } else { state.waker.take() };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the gate is closed. If so, the guest's task is woken when it opens.
    pub(in crate::engine) fn poll_closed(&self, context: &Context<'_>) -> bool {
        if !self.closed.load(Ordering::SeqCst) {
            return false;
        }
        let mut state = self.state.lock();
        // It may have been opened in between.
        if state.closed_at.is_none() {
            return false;
        }
        state.waker = Some(context.waker().clone());
        true
    }

    /// The total time for which it was closed, without the current closure.
    pub(in crate::engine) fn closed_for(&self) -> Duration {
        self.state.lock().closed_for
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_guest_that_is_paused_and_suspended_continues_when_both_have_ended() {
        let gate = PauseGate::default();
        let is_closed = || gate.poll_closed(&Context::from_waker(Waker::noop()));
        assert!(!is_closed());
        gate.suspend();
        assert!(is_closed() && !gate.is_paused(), "nobody has paused it");
        tokio::time::advance(Duration::from_secs(1)).await;
        gate.pause();
        gate.end_suspension();
        assert!(is_closed() && gate.is_paused());
        tokio::time::advance(Duration::from_secs(1)).await;
        gate.suspend();
        gate.resume();
        assert!(is_closed() && !gate.is_paused());
        tokio::time::advance(Duration::from_secs(1)).await;
        gate.end_suspension();
        assert!(!is_closed());
        assert_eq!(gate.closed_for(), Duration::from_secs(3), "its deadline moves by all of it");
    }
}
