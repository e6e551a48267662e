//! Invariant: cancelled runs end, and so do the children of ended runs. The runs of a dead host are settled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::invariants::RunRow;

/// Longest time until such a run has ended, counted from the last disturbance: a guest that ignores
/// the cancel has five seconds, and a restarted host first recovers the runs of the previous one.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Additional time if several hosts share the database: until a dead host is declared dead, and its runs are settled.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(30);

/// Runs that must end, and since when that is known.
pub(crate) struct Endings {
    due: BTreeMap<i64, Duration>,
    /// Runs of hosts that are gone, and since when that is known.
    orphans: BTreeMap<i64, Duration>,
    ends_within: Duration,
}

impl Endings {
    pub(crate) fn new(shared: bool) -> Self {
        let more = if shared { TAKEN_OVER_WITHIN } else { Duration::ZERO };
        Self { due: BTreeMap::new(), orphans: BTreeMap::new(), ends_within: ENDS_WITHIN + more }
    }

    /// The host was disturbed, so the time restarts.
    pub(crate) fn disturbed(&mut self) {
        self.due.clear();
        self.orphans.clear();
    }

    /// No run stays with a host that is gone.
    pub(crate) fn check_orphans(
        &mut self,
        rows: &[RunRow],
        hosts: &BTreeSet<String>,
        lived: Duration,
    ) -> Result<(), String> {
        let before = std::mem::take(&mut self.orphans);
        let is_orphan = |row: &&RunRow| row.owner.as_ref().is_some_and(|owner| !hosts.contains(owner));
        for row in rows.iter().filter(is_orphan) {
            let since = before.get(&row.no).copied().unwrap_or(lived);
            if lived.saturating_sub(since) > TAKEN_OVER_WITHIN {
                return Err(format!("nobody settles a run of a dead host: run {} of {}", row.no, row.task));
            }
            self.orphans.insert(row.no, since);
        }
        Ok(())
    }

    pub(crate) fn check(&mut self, rows: &[RunRow], lived: Duration) -> Result<(), String> {
        let ended: BTreeSet<i64> = rows.iter().filter(|row| row.finished).map(|row| row.no).collect();
        let is_abandoned = |row: &RunRow| !row.detached && row.parent.is_some_and(|no| ended.contains(&no));
        let has_to_end = |row: &&RunRow| !row.finished && (row.cancel_requested || is_abandoned(row));
        let before = std::mem::take(&mut self.due);
        for row in rows.iter().filter(has_to_end) {
            let since = before.get(&row.no).copied().unwrap_or(lived);
            if lived.saturating_sub(since) > self.ends_within {
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
