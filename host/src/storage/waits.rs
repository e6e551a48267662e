//! Runs that wait for child runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::RunId;

/// Runs that wait for child runs, by number. Each continues when one of the children has ended.
#[derive(Debug, Default)]
pub struct ChildWaits(Mutex<BTreeMap<i64, Arc<[RunId]>>>);

impl ChildWaits {
    /// Registers a waiting run until the returned guard is dropped.
    pub fn begin(self: &Arc<Self>, run: i64, waited_for: Arc<[RunId]>) -> ChildWait {
        self.0.lock().insert(run, waited_for);
        ChildWait { waits: Arc::clone(self), run }
    }

    /// All waiting runs, with the children that they wait for.
    pub fn all(&self) -> BTreeMap<i64, Arc<[RunId]>> {
        self.0.lock().clone()
    }

    /// The children that a run waits for; none if it does not wait.
    pub fn of(&self, run: i64) -> Option<Arc<[RunId]>> {
        self.0.lock().get(&run).cloned()
    }
}

/// Registration of a waiting run.
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
