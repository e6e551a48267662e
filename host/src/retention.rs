//! Removing what ended runs leave behind: by itself, as the manifests say, and when
//! the operator asks for it.
//!
//! It works in small steps with pauses between them, because the thread that writes
//! is everybody's. Whatever stops it, also the end of the process, the next time it
//! goes on.
//!
//! Knows nothing of HTTP or SQL, nor of runs that have not ended.

mod clock;
mod removing;
mod rules;
mod sweep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::event_log::EventLog;
use crate::files::Files;
use crate::model::{
    Amount, EndPosition, EndedRun, Origins, Part, Retention, Run, RunId, RunStatus, TaskRef, Timestamp,
};
use crate::registry::Registry;
use crate::storage::{Result, Storage, StorageError};

use self::rules::Wanted;
use self::sweep::Memory;

/// Which runs to remove.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Of this task; none: of all.
    pub task: Option<TaskRef>,
    /// What is to be kept, in place of what each task's manifest says.
    pub keep: Option<Retention>,
    /// Whether the clock is right, although it has jumped.
    pub confirm_clock: bool,
}

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The clock has jumped ahead, and runs were to be removed for their age.
    #[error("{0}")]
    Clock(String),
    /// Storage refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
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
    /// The run that started it has not ended, and may still ask how it did. It stays.
    Needed(Box<Run>),
    /// It has never been.
    Removed(Amount),
}

/// Removes what is no longer kept.
pub struct Pruner {
    storage: Arc<dyn Storage>,
    registry: Arc<Registry>,
    log: Arc<EventLog>,
    files: Arc<Files>,
    /// How long rules that remove more have to hold before a sweep goes by them.
    delay: Duration,
    /// Held while runs are removed. One at a time: two would walk the same runs, and each would count some of them.
    pruning: AsyncMutex<Option<Memory>>,
    /// Why runs are not removed for their age now.
    suspended: Mutex<Option<String>>,
    /// What goes on although nobody waits for it any more.
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Pruner {
    /// Begins to sweep. Rules that remove more than before are gone by when they have held for `delay`.
    pub fn start(
        storage: Arc<dyn Storage>,
        registry: Arc<Registry>,
        log: Arc<EventLog>,
        files: Arc<Files>,
        delay: Duration,
    ) -> Arc<Self> {
        let pruner = Arc::new(Self {
            storage,
            registry,
            log,
            files,
            delay,
            pruning: AsyncMutex::default(),
            suspended: Mutex::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        });
        pruner.tasks.spawn(Arc::clone(&pruner).keep_sweeping());
        pruner
    }

    /// Why runs are not removed for their age now; none if they are.
    pub fn suspended(&self) -> Option<String> {
        self.suspended.lock().clone()
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
            let amount = self.measure_task(&task, &keep).await?;
            add(&mut report, task, amount);
        }
        Ok(report)
    }

    /// Removes what is not to be kept. Goes on when the caller goes away.
    pub async fn prune(self: &Arc<Self>, wish: Wish) -> Result<Report, PruneError> {
        let pruner = Arc::clone(self);
        self.finish(async move { pruner.prune_now(&wish).await }).await
    }

    async fn prune_now(&self, wish: &Wish) -> Result<Report, PruneError> {
        let mut pruning = self.pruning.lock().await;
        let memory = self.memory(&mut pruning).await?;
        let rules = self.rules(wish).await?;
        let goes_by_age = rules.iter().any(|(_, keep)| has_age(keep));
        if wish.confirm_clock {
            memory.clock.confirm(Timestamp::now(), Instant::now());
        }
        if self.look_at_clock(memory).1.is_some() && goes_by_age {
            let why = self.suspended().unwrap_or_default();
            let what = "say confirm_clock=true (--confirm-clock) if it is right";
            return Err(PruneError::Clock(format!("{why}; {what}")));
        }
        Ok(self.prune_by(rules, memory).await?)
    }

    /// Removes one run that has ended. Goes on when the caller goes away.
    pub async fn remove(self: &Arc<Self>, id: &RunId) -> Result<Removal> {
        let Some(run) = self.storage.run(id).await? else { return Ok(Removal::NotFound) };
        let Some(at) = run.finished_at else { return Ok(Removal::NotEnded(run.status)) };
        // Once it has ended, it stays so: what is decided here still holds when the run goes.
        if let Some(parent) = &run.parent
            && let Some(parent) = self.storage.run(parent).await?
            && !parent.status.is_terminal()
        {
            return Ok(Removal::Needed(Box::new(parent)));
        }
        let pruner = Arc::clone(self);
        self.finish(async move {
            let ending = EndPosition { at, run: run.key.no };
            let amount = pruner.remove_part(vec![EndedRun { key: run.key, ending }], Part::Run).await?;
            pruner.shrink().await?;
            // A sweep may have been faster.
            Ok(if amount.runs == 0 { Removal::NotFound } else { Removal::Removed(amount) })
        })
        .await
    }

    /// Runs to its end whatever becomes of the caller.
    async fn finish<T: Send + 'static, E: From<StorageError> + Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E> {
        self.tasks.spawn(work).await.unwrap_or_else(|_| Err(StorageError::Closed.into()))
    }

    /// What is to be kept of which task; tasks of which everything is kept are left
    /// out.
    async fn rules(&self, wish: &Wish) -> Result<Vec<(TaskRef, Retention)>> {
        let tasks = match &wish.task {
            Some(task) => vec![task.clone()],
            None => self.storage.tasks().await?,
        };
        let wanted = self.wanted(&tasks);
        let rules = tasks.into_iter().filter_map(|task| {
            let keep = wish.keep.or_else(|| wanted.get(&task).map(|wanted| wanted.keep))?;
            (keep != Retention::default()).then_some((task, keep))
        });
        Ok(rules.collect())
    }

    /// What the settings of these tasks say now, of those of which it is known.
    fn wanted(&self, tasks: &[TaskRef]) -> BTreeMap<TaskRef, Wanted> {
        let listed = self.registry.list();
        let listed: BTreeMap<_, _> =
            listed.iter().filter_map(|listed| Some((listed.name.as_ref()?, listed))).collect();
        let own = |task: &TaskRef| match listed.get(task) {
            // Of one that was never loaded nobody knows what its manifest says.
            Some(listed) => listed.task.as_ref().map(|task| {
                let settings = &task.settings;
                Wanted { keep: settings.retention, origins: settings.retention_origins }
            }),
            None => self.registry.is_complete().then(|| {
                let keep = self.registry.host_settings().retention;
                Wanted { keep, origins: Origins::default() }
            }),
        };
        tasks.iter().filter_map(|task| Some((task.clone(), own(task)?))).collect()
    }
}

fn has_age(keep: &Retention) -> bool {
    keep.max_age.is_some() || keep.events_max_age.is_some()
}

fn add(report: &mut Report, task: TaskRef, amount: Amount) {
    if !amount.is_zero() {
        report.push((task, amount));
    }
}
