//! Removal of runs and events in small steps, with pauses for other writes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::sweep::SweepState;
use super::{Pruner, Report, add};
use crate::model::{Amount, EndPosition, EndedFilter, EndedRun, Part, Retention, RunKey, TaskRef, Timestamp};
use crate::platform;
use crate::storage::{Result, StorageError};

/// Runs that are read at once.
const BATCH: u32 = 100;
/// Longest pause between two steps. A pause is as long as the step took, so that the writer has half of its time for other
/// writes.
const MAX_PAUSE: Duration = Duration::from_millis(100);

impl Pruner {
    /// The amount that [`prune_task`](Self::prune_task) would remove now.
    pub(super) async fn measure_task(&self, task: &TaskRef, keep: &Retention) -> Result<Amount> {
        let mut amount = Amount::default();
        for range in self.ranges(task, keep, Timestamp::now()).await? {
            let mut from = range.from;
            while let Some(batch) = self.batch(task, &mut from, &range).await? {
                amount += self.storage.measure(numbers(&batch), range.part).await?;
            }
        }
        Ok(amount)
    }

    pub(super) async fn prune_by(
        &self,
        rules: Vec<(TaskRef, Retention)>,
        state: &mut SweepState,
    ) -> Result<Report> {
        let mut report = Report::new();
        for (task, keep) in rules {
            // For each task, because the clock may jump during the previous one.
            let (now, jump) = self.check_clock(state);
            let keep = if jump.is_some() { without_age(keep) } else { keep };
            let amount = self.prune_task(&task, &keep, now).await?;
            add(&mut report, task, amount);
        }
        if !report.is_empty() {
            self.shrink().await?;
        }
        Ok(report)
    }

    async fn prune_task(&self, task: &TaskRef, keep: &Retention, now: Timestamp) -> Result<Amount> {
        let mut amount = Amount::default();
        let ranges = self.ranges(task, keep, now).await?;
        let [_, needed, all] = &ranges;
        if keep.events_max_age.is_some() && needed.from > all.to {
            // The clock was set back: runs that end until it has caught up would never be considered.
            self.storage.set_without_events(task, all.to).await?;
        }
        for range in ranges {
            let mut removed = Amount::default();
            let mut from = range.from;
            while let Some(batch) = self.batch(task, &mut from, &range).await? {
                removed += self.remove_part(batch, range.part).await?;
            }
            // Reading an empty range again costs nothing, a write each minute would.
            if range.part == Part::Events && !removed.is_zero() {
                self.storage.set_without_events(task, range.to).await?;
            }
            amount += removed;
        }
        Ok(amount)
    }

    /// The ranges of the task's runs to remove, and of runs whose events to remove.
    async fn ranges(&self, task: &TaskRef, keep: &Retention, now: Timestamp) -> Result<[Range; 3]> {
        let before = |age: Option<Duration>| match age {
            Some(age) => {
                EndPosition::from(now.plus_millis(-i64::try_from(age.as_millis()).unwrap_or(i64::MAX)))
            }
            None => EndPosition::FIRST,
        };
        let beyond = match keep.max_runs {
            Some(newest) => self.storage.ended_beyond(task, newest).await?.map(EndPosition::next),
            None => None,
        };
        let runs = before(keep.max_age).max(beyond.unwrap_or(EndPosition::FIRST));
        let events = before(keep.events_max_age);
        let from = match keep.events_max_age {
            Some(_) => self.storage.without_events(task).await?,
            None => events,
        };
        Ok([
            // From the first run on: one that was needed by its parent is removed as soon as that has ended.
            Range { part: Part::Run, which: EndedFilter::Removable, from: EndPosition::FIRST, to: runs },
            // Runs that are needed by their parents don't keep their events longer.
            Range { part: Part::Events, which: EndedFilter::Needed, from, to: events.min(runs) },
            Range { part: Part::Events, which: EndedFilter::All, from: from.max(runs), to: events },
        ])
    }

    /// The next runs of a range. Moves `from` behind them.
    async fn batch(
        &self,
        task: &TaskRef,
        from: &mut EndPosition,
        range: &Range,
    ) -> Result<Option<Vec<EndedRun>>> {
        if *from >= range.to {
            return Ok(None);
        }
        let batch = self.storage.ended(task, *from, range.to, range.which, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(None) };
        *from = last.ending.next();
        Ok(Some(batch))
    }

    pub(super) async fn remove_part(&self, runs: Vec<EndedRun>, part: Part) -> Result<Amount> {
        if part == Part::Run {
            for run in &runs {
                self.remove_files(&run.key).await;
            }
        }
        let mut runs = numbers(&runs);
        let mut amount = Amount::default();
        while !runs.is_empty() {
            if self.stopping.is_cancelled() {
                return Err(StorageError::Closed);
            }
            let began = Instant::now();
            let pruned = self.storage.prune(runs.clone(), part).await?;
            amount += pruned.amount;
            // Some events of the next run may be removed, too.
            self.log.forget(&runs[..runs.len().min(pruned.done + 1)]);
            runs.drain(..pruned.done);
            pause_since(began).await;
        }
        Ok(amount)
    }

    /// Removes the data of a run outside storage. Called before the run is removed from storage: if the host ends in between,
    /// the run still exists, and is removed again later.
    async fn remove_files(&self, run: &RunKey) {
        tracing::debug!(run = %run.id, "removing a run");
        let (files, id) = (Arc::clone(&self.files), run.id.clone());
        let removed = platform::blocking(move || files.remove(&id)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(run = %run.id, %error, "the output files of a run could not be removed");
        }
    }

    pub(super) async fn shrink(&self) -> Result<()> {
        loop {
            let began = Instant::now();
            if !self.storage.shrink().await? || self.stopping.is_cancelled() {
                return Ok(());
            }
            pause_since(began).await;
        }
    }
}

/// A range of a task's runs in the order of their ends, and the part of them to remove.
struct Range {
    part: Part,
    which: EndedFilter,
    from: EndPosition,
    to: EndPosition,
}

fn without_age(keep: Retention) -> Retention {
    Retention { max_age: None, events_max_age: None, ..keep }
}

fn numbers(runs: &[EndedRun]) -> Vec<i64> {
    runs.iter().map(|run| run.key.no).collect()
}

async fn pause_since(began: Instant) {
    tokio::time::sleep(began.elapsed().min(MAX_PAUSE)).await;
}
