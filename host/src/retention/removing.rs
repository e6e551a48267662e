//! Removing runs and events: which of them, and in steps that leave others their time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::sweep::Memory;
use super::{Pruner, Report, add};
use crate::model::{Amount, EndPosition, EndedFilter, EndedRun, Part, Retention, RunKey, TaskRef, Timestamp};
use crate::platform;
use crate::storage::{Result, StorageError};

/// Runs looked at in one go.
const BATCH: u32 = 100;
/// Longest pause between two steps. It is as long as the step took, so that the writer
/// has at least half of its time for others.
const MAX_PAUSE: Duration = Duration::from_millis(100);

impl Pruner {
    /// How much [`prune_task`](Self::prune_task) would remove now.
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
        memory: &mut Memory,
    ) -> Result<Report> {
        let mut report = Report::new();
        for (task, keep) in rules {
            // At each task: the clock may jump while the one before is looked through.
            let (now, jump) = self.look_at_clock(memory);
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
            // The clock was set back: what ends until it has caught up would never be looked at.
            self.storage.set_without_events(task, all.to).await?;
        }
        for range in ranges {
            let mut removed = Amount::default();
            let mut from = range.from;
            while let Some(batch) = self.batch(task, &mut from, &range).await? {
                removed += self.remove_part(batch, range.part).await?;
            }
            // An empty range costs nothing to look at again; a write a minute would.
            if range.part == Part::Events && !removed.is_zero() {
                self.storage.set_without_events(task, range.to).await?;
            }
            amount += removed;
        }
        Ok(amount)
    }

    /// Which of the task's runs are not kept, and of which the events are not.
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
            // From the first on: one that had to stay for its parent goes as soon as that has ended.
            Range { part: Part::Run, which: EndedFilter::Removable, from: EndPosition::FIRST, to: runs },
            // Those that stay for their parents have their events no longer for that.
            Range { part: Part::Events, which: EndedFilter::Needed, from, to: events.min(runs) },
            Range { part: Part::Events, which: EndedFilter::All, from: from.max(runs), to: events },
        ])
    }

    /// The next runs of a range; moves on behind them.
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
                self.forget(&run.key).await;
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
            // Of the next one some events may be gone.
            self.log.forget(&runs[..runs.len().min(pruned.done + 1)]);
            runs.drain(..pruned.done);
            pause_since(began).await;
        }
        Ok(amount)
    }

    /// Removes what is kept of a run anywhere but in storage. Every run that is removed
    /// comes by here, and before it goes: if the host ends in between, the run is still
    /// there and comes by again.
    async fn forget(&self, run: &RunKey) {
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

/// Runs of a task that ended from here to there, and what is removed of them.
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
