//! Removing what ended runs leave behind: by itself, as the manifests say, and when
//! the operator asks for it.
//!
//! It works in small steps with pauses between them, because the thread that writes
//! is everybody's. Whatever stops it, also the end of the process, the next time it
//! goes on.
//!
//! Knows nothing of HTTP or SQL, nor of runs that have not ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, MutexGuard};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::event_log::EventLog;
use crate::files::Files;
use crate::model::{Amount, EndedRun, Ending, Part, Retention, RunId, RunKey, RunStatus, TaskRef, Timestamp};
use crate::platform;
use crate::registry::Registry;
use crate::storage::{Result, Storage, StorageError};

/// How often it is looked for what is to be removed, besides when a manifest changes.
const SWEEP: Duration = Duration::from_secs(60);
/// How long a task's file has to be gone before the host's own settings count for its
/// runs: it may only be on its way to be replaced, and its manifest with it.
const GONE: Duration = Duration::from_secs(600);
/// Runs looked at in one go.
const BATCH: u32 = 100;
/// Longest pause between two steps. It is as long as the step took, so that the writer
/// has at least half of its time for others.
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// Which runs to remove.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Of this task; none: of all.
    pub task: Option<TaskRef>,
    /// What is to be kept, in place of what each task's manifest says.
    pub keep: Option<Retention>,
}

/// What was removed of each task, or would be; tasks of which it is nothing are left
/// out.
pub type Report = Vec<(TaskRef, Amount)>;

/// What became of the wish to remove one run.
#[derive(Debug)]
pub enum Removal {
    /// There is no such run.
    NotFound,
    /// It has not ended, and stays.
    NotEnded(RunStatus),
    /// It has never been.
    Removed(Amount),
}

/// Removes what is no longer kept.
pub struct Pruner {
    storage: Arc<dyn Storage>,
    registry: Arc<Registry>,
    log: Arc<EventLog>,
    files: Arc<Files>,
    /// One at a time: two would walk the same runs, and each would count some of them.
    pruning: AsyncMutex<()>,
    /// What goes on although nobody waits for it any more.
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Pruner {
    /// Begins to sweep.
    pub fn start(
        storage: Arc<dyn Storage>,
        registry: Arc<Registry>,
        log: Arc<EventLog>,
        files: Arc<Files>,
    ) -> Arc<Self> {
        let pruner = Arc::new(Self {
            storage,
            registry,
            log,
            files,
            pruning: AsyncMutex::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        });
        pruner.tasks.spawn(Arc::clone(&pruner).keep_sweeping());
        pruner
    }

    /// Ends after the step that is under way.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// How much [`prune`](Self::prune) would remove now.
    pub async fn measure(&self, wish: &Wish) -> Result<Report> {
        let mut report = Report::new();
        for (task, keep) in self.rules(wish).await? {
            let mut amount = Amount::default();
            for range in self.ranges(&task, &keep).await? {
                let mut from = range.from;
                while let Some(batch) = self.batch(&task, &mut from, range.to).await? {
                    amount += self.storage.measure(numbers(&batch), range.part).await?;
                }
            }
            add(&mut report, task, amount);
        }
        Ok(report)
    }

    /// Removes what is not to be kept. Goes on when the caller goes away.
    pub async fn prune(self: &Arc<Self>, wish: Wish) -> Result<Report> {
        let pruner = Arc::clone(self);
        self.finish(async move {
            let one_at_a_time = pruner.pruning.lock().await;
            let rules = pruner.rules(&wish).await?;
            pruner.prune_by(rules, &one_at_a_time).await
        })
        .await
    }

    /// Removes one run that has ended. Goes on when the caller goes away.
    pub async fn remove(self: &Arc<Self>, id: &RunId) -> Result<Removal> {
        let Some(run) = self.storage.run(id).await? else { return Ok(Removal::NotFound) };
        let Some(at) = run.finished_at else { return Ok(Removal::NotEnded(run.status)) };
        let pruner = Arc::clone(self);
        self.finish(async move {
            let ending = Ending { at, run: run.key.no };
            let amount = pruner.remove_part(vec![EndedRun { key: run.key, ending }], Part::Run).await?;
            pruner.shrink().await?;
            // A sweep may have been faster.
            Ok(if amount.runs == 0 { Removal::NotFound } else { Removal::Removed(amount) })
        })
        .await
    }

    /// Runs to its end whatever becomes of the caller.
    async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.tasks.spawn(work).await.unwrap_or(Err(StorageError::Closed))
    }

    async fn keep_sweeping(self: Arc<Self>) {
        let mut changes = self.registry.changes();
        // What an earlier host freed and did not come to give back.
        if let Err(error) = self.shrink().await {
            tracing::warn!(%error, "could not give free space back");
        }
        let mut gone = HashMap::new();
        while !self.stopping.is_cancelled() {
            match self.sweep(&mut gone).await {
                Ok(report) => report.iter().for_each(|(task, amount)| {
                    let Amount { runs, events, bytes } = amount;
                    tracing::info!(%task, runs, events, bytes, "removed what is no longer kept");
                }),
                Err(StorageError::Closed) => break,
                Err(error) => tracing::warn!(%error, "could not remove old runs; trying again later"),
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => {}
                _ = changes.changed() => {}
                () = tokio::time::sleep(SWEEP) => {}
            }
        }
    }

    /// Removes what the tasks' own settings say. `gone` are tasks without a file, and
    /// since when.
    async fn sweep(&self, gone: &mut HashMap<TaskRef, Instant>) -> Result<Report> {
        if !self.registry.is_complete() {
            return Ok(Report::new());
        }
        // Before the manifests are looked at: while it waits here, they may change.
        let one_at_a_time = self.pruning.lock().await;
        let mut rules = self.rules(&Wish::default()).await?;
        let listed = self.registry.list();
        let has_file = |task: &TaskRef| listed.iter().any(|listed| listed.name.as_ref() == Some(task));
        gone.retain(|task, _| !has_file(task));
        rules.retain(|(task, _)| {
            has_file(task) || gone.entry(task.clone()).or_insert_with(Instant::now).elapsed() >= GONE
        });
        self.prune_by(rules, &one_at_a_time).await
    }

    /// What is to be kept of which task; tasks of which everything is kept are left
    /// out.
    async fn rules(&self, wish: &Wish) -> Result<Vec<(TaskRef, Retention)>> {
        let tasks = match &wish.task {
            Some(task) => vec![task.clone()],
            None => self.storage.tasks().await?,
        };
        let listed = self.registry.list();
        let own = |task: &TaskRef| match listed.iter().find(|listed| listed.name.as_ref() == Some(task)) {
            // Of one that was never loaded nobody knows what its manifest says.
            Some(listed) => listed.task.as_ref().map(|task| task.settings.retention),
            None => self.registry.is_complete().then(|| self.registry.host_settings().retention),
        };
        let rules = tasks.into_iter().filter_map(|task| {
            let keep = wish.keep.or_else(|| own(&task))?;
            (keep != Retention::default()).then_some((task, keep))
        });
        Ok(rules.collect())
    }

    async fn prune_by(
        &self,
        rules: Vec<(TaskRef, Retention)>,
        _one_at_a_time: &MutexGuard<'_, ()>,
    ) -> Result<Report> {
        let mut report = Report::new();
        for (task, keep) in rules {
            let mut amount = Amount::default();
            for range in self.ranges(&task, &keep).await? {
                let mut removed = Amount::default();
                let mut from = range.from;
                while let Some(batch) = self.batch(&task, &mut from, range.to).await? {
                    removed += self.remove_part(batch, range.part).await?;
                }
                // An empty range costs nothing to look at again; a write a minute would.
                if range.part == Part::Events && !removed.is_zero() {
                    self.storage.set_without_events(&task, range.to).await?;
                }
                amount += removed;
            }
            add(&mut report, task, amount);
        }
        if !report.is_empty() {
            self.shrink().await?;
        }
        Ok(report)
    }

    /// Which of the task's runs are not kept, and of which the events are not.
    async fn ranges(&self, task: &TaskRef, keep: &Retention) -> Result<[Range; 2]> {
        let now = Timestamp::now();
        let before = |age: Option<Duration>| match age {
            Some(age) => Ending::from(now.plus_millis(-i64::try_from(age.as_millis()).unwrap_or(i64::MAX))),
            None => Ending::FIRST,
        };
        let beyond = match keep.max_runs {
            Some(newest) => self.storage.ended_beyond(task, newest).await?.map(Ending::next),
            None => None,
        };
        let runs = before(keep.max_age).max(beyond.unwrap_or(Ending::FIRST));
        let events = match keep.events_max_age {
            Some(age) => {
                let from = self.storage.without_events(task).await?.max(runs);
                Range { part: Part::Events, from, to: before(Some(age)) }
            }
            None => Range { part: Part::Events, from: runs, to: runs },
        };
        Ok([Range { part: Part::Run, from: Ending::FIRST, to: runs }, events])
    }

    /// The next runs of a range; moves on behind them.
    async fn batch(&self, task: &TaskRef, from: &mut Ending, to: Ending) -> Result<Option<Vec<EndedRun>>> {
        if *from >= to {
            return Ok(None);
        }
        let batch = self.storage.ended(task, *from, to, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(None) };
        *from = last.ending.next();
        Ok(Some(batch))
    }

    async fn remove_part(&self, runs: Vec<EndedRun>, part: Part) -> Result<Amount> {
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

    async fn shrink(&self) -> Result<()> {
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
    from: Ending,
    to: Ending,
}

fn numbers(runs: &[EndedRun]) -> Vec<i64> {
    runs.iter().map(|run| run.key.no).collect()
}

fn add(report: &mut Report, task: TaskRef, amount: Amount) {
    if !amount.is_zero() {
        report.push((task, amount));
    }
}

async fn pause_since(began: Instant) {
    tokio::time::sleep(began.elapsed().min(MAX_PAUSE)).await;
}
