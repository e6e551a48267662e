//! Storage operations that remove ended runs.

use async_trait::async_trait;

use super::Result;
use crate::model::{Amount, EndPosition, EndedFilter, EndedRun, Part, TaskRef, Timestamp};

/// Result of one step of pruning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The removed amount.
    pub amount: Amount,
    /// How many of the runs, counted from the first, need no further step.
    pub done: usize,
}

/// Removal of ended runs. Runs that have not ended are never touched. Runs whose parent has not ended are never removed,
/// because it may still ask for their outcome.
#[async_trait]
pub trait Pruning: Send + Sync + 'static {
    /// All tasks that ever had a run.
    async fn tasks(&self) -> Result<Vec<TaskRef>>;

    /// The end of the newest run of the task that is not among the `newest` that ended last; none if there is no such run.
    async fn ended_beyond(&self, task: &TaskRef, newest: u64) -> Result<Option<EndPosition>>;

    /// Runs of the task that ended at `from` or later and before `to`, in the order of their ends.
    async fn ended(
        &self,
        task: &TaskRef,
        from: EndPosition,
        to: EndPosition,
        which: EndedFilter,
        limit: u32,
    ) -> Result<Vec<EndedRun>>;

    /// The amount that [`prune`](Self::prune) would remove.
    async fn measure(&self, runs: Vec<i64>, part: Part) -> Result<Amount>;

    /// Removes a part of these runs, in a step that is small enough not to delay other writes: the oldest events of a run
    /// first, its terminal event together with the run. The data is consistent after each step: a run exists with its
    /// terminal event, or not at all.
    async fn prune(&self, runs: Vec<i64>, part: Part) -> Result<Pruned>;

    /// The end up to which the events of the task's runs are removed, as stored by
    /// [`set_without_events`](Self::set_without_events).
    async fn without_events(&self, task: &TaskRef) -> Result<EndPosition>;

    /// Stores the end up to which the events of the task's runs are removed, so that these runs need not be read again.
    async fn set_without_events(&self, task: &TaskRef, to: EndPosition) -> Result<()>;

    /// The rules stored by [`set_rules`](Self::set_rules).
    async fn rules(&self) -> Result<Vec<(TaskRef, String)>>;

    /// Stores the retention rules of these tasks, in a format of the caller's.
    async fn set_rules(&self, rules: Vec<(TaskRef, String)>) -> Result<()>;

    /// The time stored by [`set_clock`](Self::set_clock).
    async fn clock(&self) -> Result<Option<(Timestamp, bool)>>;

    /// Stores the last time of day that was trusted, and whether the clock was in doubt after it.
    async fn set_clock(&self, believed: Timestamp, doubted: bool) -> Result<()>;

    /// Returns some free space to the file system. True if there is more.
    async fn shrink(&self) -> Result<bool>;
}
