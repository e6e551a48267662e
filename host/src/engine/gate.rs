use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Holds a guest where it is, whether it cooperates or not.
///
/// While the gate is closed, the guest's future is not polled. One that computes
/// comes by at its next pause, after a few milliseconds at most; one that waits in
/// a call to the host stays there. Its deadline stands still meanwhile.
#[derive(Default)]
pub struct Gate {
    /// Looked at for each poll of a guest, so it is apart from the lock.
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Since when.
    closed_at: Option<Instant>,
    /// In all, up to the last time it was opened.
    closed_for: Duration,
    /// Who came by meanwhile.
    waiting: Option<Waker>,
}

impl Gate {
    /// Holds the guest from now on.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed_at.get_or_insert_with(Instant::now);
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Lets it go on.
    pub fn open(&self) {
        let mut state = self.state.lock();
        if let Some(since) = state.closed_at.take() {
            state.closed_for += since.elapsed();
        }
        self.closed.store(false, Ordering::SeqCst);
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// Whether it holds the guest.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Whether the guest must not go on now. If so, its task is woken when it may.
    pub(super) fn holds(&self, context: &Context<'_>) -> bool {
        if !self.closed.load(Ordering::SeqCst) {
            return false;
        }
        let mut state = self.state.lock();
        // It may have been opened in between.
        if state.closed_at.is_none() {
            return false;
        }
        state.waiting = Some(context.waker().clone());
        true
    }

    /// How long it was closed in all, without the time since it was closed last.
    pub(super) fn closed_for(&self) -> Duration {
        self.state.lock().closed_for
    }
}
