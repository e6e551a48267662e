//! Which runs wait for which of those that they have started.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::RunId;

/// Which runs wait for runs that they have started, by their numbers. Each goes on when one of
/// those has ended.
#[derive(Debug, Default)]
pub struct ChildWaits(Mutex<BTreeMap<i64, Arc<[RunId]>>>);

impl ChildWaits {
    /// A run waits, until the answer is dropped.
    pub fn begin(self: &Arc<Self>, run: i64, waited_for: Arc<[RunId]>) -> ChildWait {
        self.0.lock().insert(run, waited_for);
        ChildWait { waits: Arc::clone(self), run }
    }

    /// What a run waits for; none if it does not wait.
    pub fn of(&self, run: i64) -> Option<Arc<[RunId]>> {
        self.0.lock().get(&run).cloned()
    }
}

/// A run that waits.
#[derive(Debug)]
pub struct ChildWait {
    waits: Arc<ChildWaits>,
    run: i64,
}

impl Drop for ChildWait {
    fn drop(&mut self) {
        self.waits.0.lock().remove(&self.run);
    }
}
