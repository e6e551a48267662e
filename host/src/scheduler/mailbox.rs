use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::{Json, SignalName};

/// What waits for one run: a hint that there are signals, which are storage's, and
/// the present parameters, for a run may read those in a loop.
pub(super) struct Mailbox {
    /// Whether storage may have signals that were not taken.
    signals: AtomicBool,
    count: AtomicU64,
    came: Notify,
    parameters: Mutex<HashMap<SignalName, Json>>,
}

impl Mailbox {
    pub(super) fn new() -> Self {
        // Signals may have come before the run began.
        Self {
            signals: AtomicBool::new(true),
            count: AtomicU64::new(0),
            came: Notify::new(),
            parameters: Mutex::default(),
        }
    }

    /// A signal came.
    pub(super) fn arrived(&self) {
        self.signals.store(true, Ordering::SeqCst);
        self.count.fetch_add(1, Ordering::SeqCst);
        self.came.notify_waiters();
    }

    /// How many came while the run was under way.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until more than so many have come.
    pub(super) async fn more(&self, than: u64) {
        loop {
            let came = self.came.notified();
            tokio::pin!(came);
            // Listen before looking.
            came.as_mut().enable();
            if self.count() > than {
                return;
            }
            came.await;
        }
    }

    /// Whether it is worth asking storage. From now on not, unless another comes.
    pub(super) fn take_hint(&self) -> bool {
        self.signals.swap(false, Ordering::SeqCst)
    }

    /// One signal was taken: there may be more.
    pub(super) fn keep_hint(&self) {
        self.signals.store(true, Ordering::SeqCst);
    }

    pub(super) fn set(&self, name: SignalName, value: Json) {
        self.parameters.lock().insert(name, value);
    }

    /// Those set before the run began; what was set meanwhile is newer.
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
