//! Invariant: retention only removes runs that a rule in force allows, and that no active run
//! needs.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::invariants::{RunRow, numbers};
use crate::tasks::TASKS;

/// The task with retention rules.
const TASK: &str = "kept";
/// How long a replaced rule may still be applied.
const MEMORY: Duration = Duration::from_secs(15 * 60);
/// The age in that task's manifests.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// What the manifest of that task said, and since when runs may have ended.
pub(crate) struct Kept {
    rules: Vec<(Duration, String)>,
    ended: BTreeMap<i64, Duration>,
    looked_at: Duration,
    /// Whether an operator has pruned since the clock was set: that confirms the clock, which then
    /// determines ages.
    confirmed: bool,
}

impl Default for Kept {
    fn default() -> Self {
        let first = TASKS.iter().find(|task| task.name == TASK).map(|task| task.manifests[0].to_owned());
        Self {
            rules: vec![(Duration::ZERO, first.unwrap_or_default())],
            ended: BTreeMap::new(),
            looked_at: Duration::ZERO,
            confirmed: false,
        }
    }
}

impl Kept {
    pub(crate) fn pruned(&mut self) {
        self.confirmed = true;
    }

    pub(crate) fn clock_set(&mut self) {
        self.confirmed = false;
    }

    pub(crate) fn saved(&mut self, task: &str, text: &str, lived: Duration) {
        if task == TASK {
            self.rules.push((lived, text.to_owned()));
        }
    }

    /// The rules that may be applied now.
    fn in_force(&self, lived: Duration) -> impl Iterator<Item = &str> {
        let until = |at: usize| self.rules.get(at + 1).map(|(since, _)| *since);
        self.rules
            .iter()
            .enumerate()
            .filter(move |(at, _)| until(*at).is_none_or(|until| until + MEMORY >= lived))
            .map(|(_, (_, text))| text.as_str())
    }

    pub(crate) fn check(&mut self, before: &[RunRow], now: &[RunRow], lived: Duration) -> Result<(), String> {
        for row in now.iter().filter(|row| row.finished) {
            // Just after the last check, in a step that can be long.
            self.ended.entry(row.no).or_insert(self.looked_at);
        }
        self.looked_at = lived;
        let there = numbers(now);
        let left = now.iter().filter(|row| row.task == TASK && row.finished).count();
        for row in before.iter().filter(|row| !there.contains(&row.no)) {
            let parent = row.parent.and_then(|no| now.iter().find(|other| other.no == no));
            if let Some(parent) = parent.filter(|parent| !parent.finished) {
                return Err(format!(
                    "a run was removed whose parent has not ended: run {} of run {}",
                    row.no, parent.no
                ));
            }
            let age = self.ended.get(&row.no).map(|ended| lived.saturating_sub(*ended));
            if row.task != TASK || !self.in_force(lived).any(|rule| permits(rule, left, age, self.confirmed))
            {
                return Err(format!(
                    "a run was removed that no rule in force allows to remove: run {} of {}, ended since {age:?}, {left} left",
                    row.no, row.task
                ));
            }
        }
        Ok(())
    }
}

/// Whether the rule allows to remove a run of this age when this many are left.
fn permits(rule: &str, left: usize, age: Option<Duration>, confirmed: bool) -> bool {
    let most = rule.split("max-runs = ").nth(1).and_then(|rest| rest.trim().parse::<usize>().ok());
    let is_old = confirmed || age.is_some_and(|age| age + Duration::from_secs(60) >= MAX_AGE);
    let by_age = rule.contains("max-age") && is_old;
    most.is_some_and(|most| left >= most) || by_age
}
