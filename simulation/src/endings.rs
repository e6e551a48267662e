//! Invariant: cancelled runs end, and so do the children of ended runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::invariants::RunRow;

/// Longest time until such a run has ended, counted from the last disturbance: a guest that ignores
/// the cancel has five seconds, and a restarted host first recovers the runs of the previous one.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Runs that must end, and since when that is known.
#[derive(Default)]
pub(crate) struct Endings {
    due: BTreeMap<i64, Duration>,
}

impl Endings {
    /// The host was disturbed, so the time restarts.
    pub(crate) fn disturbed(&mut self) {
        self.due.clear();
    }

    pub(crate) fn check(&mut self, rows: &[RunRow], lived: Duration) -> Result<(), String> {
        let ended: BTreeSet<i64> = rows.iter().filter(|row| row.finished).map(|row| row.no).collect();
        let is_abandoned = |row: &RunRow| !row.detached && row.parent.is_some_and(|no| ended.contains(&no));
        let has_to_end = |row: &&RunRow| !row.finished && (row.cancel_requested || is_abandoned(row));
        let before = std::mem::take(&mut self.due);
        for row in rows.iter().filter(has_to_end) {
            let since = before.get(&row.no).copied().unwrap_or(lived);
            if lived.saturating_sub(since) > ENDS_WITHIN {
                let why = if row.cancel_requested { "it was cancelled" } else { "its parent has ended" };
                return Err(format!(
                    "a run that must end is still active: run {} of {}, {why}",
                    row.no, row.task
                ));
            }
            self.due.insert(row.no, since);
        }
        Ok(())
    }
}
