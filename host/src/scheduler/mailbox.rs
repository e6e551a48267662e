use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::{Json, SignalName};

/// Messages for a running attempt: a hint that storage has signals, and the current parameters, which are cached
/// because a guest may read them in a loop.
pub(super) struct Mailbox {
    /// Whether storage may have signals that the run has not taken.
    signals: AtomicBool,
    count: AtomicU64,
    arrivals: Notify,
    parameters: Mutex<HashMap<SignalName, Json>>,
}

impl Mailbox {
    pub(super) fn new() -> Self {
        // Signals may have arrived before the attempt began.
        Self {
            signals: AtomicBool::new(true),
            count: AtomicU64::new(0),
            arrivals: Notify::new(),
            parameters: Mutex::default(),
        }
    }

    /// Notes that a signal arrived.
    pub(super) fn arrived(&self) {
        self.signals.store(true, Ordering::SeqCst);
        self.count.fetch_add(1, Ordering::SeqCst);
        self.arrivals.notify_waiters();
    }

    /// Number of signals that arrived during the attempt.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until more than that many have arrived.
    pub(super) async fn more(&self, than: u64) {
        loop {
            let arrivals = self.arrivals.notified();
            tokio::pin!(arrivals);
            // Register before the check.
            arrivals.as_mut().enable();
            if self.count() > than {
                return;
            }
            arrivals.await;
        }
    }

    /// Takes the hint: returns whether storage may have signals, and false from then on until another arrives.
    pub(super) fn take_hint(&self) -> bool {
        self.signals.swap(false, Ordering::SeqCst)
    }

    /// Restores the hint: storage may have more signals.
    pub(super) fn keep_hint(&self) {
        self.signals.store(true, Ordering::SeqCst);
    }

    pub(super) fn set(&self, name: SignalName, value: Json) {
        self.parameters.lock().insert(name, value);
    }

    /// Adds the parameters that were set before the attempt began, except those that were set again since.
    pub(super) fn set_missing(&self, stored: Vec<(SignalName, Json)>) {
        let mut parameters = self.parameters.lock();
        for (name, value) in stored {
            parameters.entry(name).or_insert(value);
        }
    }

    pub(super) fn parameter(&self, name: &SignalName) -> Option<Json> {
        self.parameters.lock().get(name).cloned()
    }
}
