//! What storage is asked when ended runs are removed.

use async_trait::async_trait;

use super::Result;
use crate::model::{Amount, EndPosition, EndedFilter, EndedRun, Part, TaskRef, Timestamp};

/// What one step of pruning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// What it removed.
    pub amount: Amount,
    /// How many of the runs, from the first one on, need no further step.
    pub done: usize,
}

/// Removing what ended runs leave behind. Runs that have not ended are never touched, nor are runs removed
/// whose parent has not ended: it may still ask how they ended.
#[async_trait]
pub trait Pruning: Send + Sync + 'static {
    /// All tasks that ever had a run.
    async fn tasks(&self) -> Result<Vec<TaskRef>>;

    /// The end of the newest run of the task that is not among the `newest` that ended
    /// last; none if it has no more than those.
    async fn ended_beyond(&self, task: &TaskRef, newest: u64) -> Result<Option<EndPosition>>;

    /// Runs of the task that ended at `from` or later and before `to`, in the order in
    /// which they ended.
    async fn ended(
        &self,
        task: &TaskRef,
        from: EndPosition,
        to: EndPosition,
        which: EndedFilter,
        limit: u32,
    ) -> Result<Vec<EndedRun>>;

    /// How much [`prune`](Self::prune) would remove.
    async fn measure(&self, runs: Vec<i64>, part: Part) -> Result<Amount>;

    /// Removes a part of these runs, as far as one step may go so that nobody else's
    /// write waits for it; the oldest events of a run first, its terminal event
    /// together with the run. After each step everything is whole: a run is there
    /// with its terminal event, or has never been.
    async fn prune(&self, runs: Vec<i64>, part: Part) -> Result<Pruned>;

    /// The end up to which the runs of the task have no events any more, as far as
    /// [`set_without_events`](Self::set_without_events) was told.
    async fn without_events(&self, task: &TaskRef) -> Result<EndPosition>;

    /// Keeps how far the events of the task's runs are removed, so that nobody looks
    /// at those runs again.
    async fn set_without_events(&self, task: &TaskRef, to: EndPosition) -> Result<()>;

    /// What [`set_rules`](Self::set_rules) kept.
    async fn rules(&self) -> Result<Vec<(TaskRef, String)>>;

    /// Keeps by which rules runs of these tasks are removed, in the words of whoever removes them.
    async fn set_rules(&self, rules: Vec<(TaskRef, String)>) -> Result<()>;

    /// What [`set_clock`](Self::set_clock) kept.
    async fn clock(&self) -> Result<Option<(Timestamp, bool)>>;

    /// Keeps the last time of day that was believed, and whether the clock was doubted after it.
    async fn set_clock(&self, believed: Timestamp, doubted: bool) -> Result<()>;

    /// Gives some of the space that was freed back to the file system; says whether
    /// there is more.
    async fn shrink(&self) -> Result<bool>;
}
