//! Which runs wait for which of those that they have started.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::RunId;

/// Which runs wait for runs that they have started, by their numbers. Each goes on when one of
/// those has ended.
#[derive(Debug, Default)]
pub struct Waits(Mutex<BTreeMap<i64, Arc<[RunId]>>>);

impl Waits {
    /// A run waits, until the answer is dropped.
    pub fn begin(self: &Arc<Self>, run: i64, waited_for: Arc<[RunId]>) -> Wait {
        self.0.lock().insert(run, waited_for);
        Wait { waits: Arc::clone(self), run }
    }

    /// What a run waits for; none if it does not wait.
    pub fn of(&self, run: i64) -> Option<Arc<[RunId]>> {
        self.0.lock().get(&run).cloned()
    }
}

/// A run that waits.
#[derive(Debug)]
pub struct Wait {
    waits: Arc<Waits>,
    run: i64,
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.waits.0.lock().remove(&self.run);
    }
}
