//! Where claims of a long queue continue.
//!
//! As long as any program of the server holds an old snapshot, an index keeps entries of rows that have changed since. Each
//! claim would walk over those of all runs that were claimed before. A floor spares it that: within a task and a priority,
//! what is below was claimed a moment ago.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Age at which a floor is forgotten. A run that is requeued, resumed or unblocked below it waits for so long, if the queue
/// has others.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Runs of a task in one claim from which on it has a floor: a short queue is claimed in its exact order.
const MIN_CLAIMED: usize = 16;

/// The last claimed run of a task, by priority and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Floor {
    pub(super) priority: i32,
    pub(super) no: i64,
}

/// Floors by the numbers of tasks, with the time from which on they hold.
#[derive(Default)]
pub(super) struct Floors(Mutex<HashMap<i32, (Floor, Instant)>>);

impl Floors {
    /// The floor of a task, if it has one.
    pub(super) fn of(&self, task: i32) -> Option<Floor> {
        let mut floors = self.0.lock();
        floors.retain(|_, (_, since)| since.elapsed() < MAX_AGE);
        floors.get(&task).map(|(floor, _)| *floor)
    }

    /// Stores the end of a claim of so many runs of the task.
    pub(super) fn claimed(&self, task: i32, claimed: usize, last: Floor) {
        if claimed >= MIN_CLAIMED {
            // A floor that rises keeps its age, or what is below would wait for as long as the queue is long.
            self.0.lock().entry(task).or_insert_with(|| (last, Instant::now())).0 = last;
        }
    }

    /// Forgets all floors.
    pub(super) fn forget(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_queue_has_a_floor_until_it_is_forgotten() {
        let floors = Floors::default();
        let floor = |no| Floor { priority: 0, no };
        floors.claimed(1, MIN_CLAIMED - 1, floor(5));
        assert_eq!(floors.of(1), None, "a short claim");
        floors.claimed(1, MIN_CLAIMED, floor(5));
        floors.claimed(1, MIN_CLAIMED, floor(9));
        assert_eq!((floors.of(1), floors.of(2)), (Some(floor(9)), None));
        floors.forget();
        assert_eq!(floors.of(1), None);
    }
}
