//! Retention: removes ended runs, automatically by the rules of the manifests, and at the request of an operator.
//!
//! One of the hosts that share a database sweeps for all. Each host knows only the rules of the tasks that it has loaded.
//!
//! It works in small steps with pauses between them, because all rooms share the writing thread. If anything interrupts it,
//! also the end of the process, it continues the next time.
//!
//! Knows nothing of HTTP or SQL, nor of runs that have not ended.

mod clock;
mod removing;
mod rules;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
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
    Amount, EndPosition, EndedRun, HostId, Origins, Part, Retention, Run, RunId, RunStatus, TaskRef,
    Timestamp,
};
use crate::registry::Registry;
use crate::storage::{Result, Storage, StorageError};

use self::rules::CurrentSettings;
use self::sweep::SweepState;

/// A request to remove runs.
#[derive(Clone, Debug, Default)]
pub struct PruneRequest {
    /// The task; none for all.
    pub task: Option<TaskRef>,
    /// Overrides the retention settings of the tasks.
    pub keep: Option<Retention>,
    /// Confirms that the clock is right although it has jumped.
    pub confirm_clock: bool,
}

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The clock has jumped ahead, and the request removes runs by age.
    #[error("{0}")]
    Clock(String),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The amounts removed per task, or to be removed; without tasks for which it is nothing.
pub type Report = Vec<(TaskRef, Amount)>;

/// Result of a request to remove one run.
#[derive(Debug)]
pub enum DeleteOutcome {
    /// There is no such run.
    NotFound,
    /// It has not ended, and was not removed.
    NotEnded(RunStatus),
    /// Its parent has not ended and may ask for its outcome. It was not removed.
    Needed(Box<Run>),
    /// It was removed.
    Removed(Amount),
}

/// Removes ended runs by the retention rules.
pub struct Pruner {
    storage: Arc<dyn Storage>,
    registry: Arc<Registry>,
    log: Arc<EventLog>,
    files: Arc<Files>,
    /// The id of this host, which may change; none if it has a database of its own.
    host: Box<dyn Fn() -> Option<HostId> + Send + Sync>,
    /// Until when this host sweeps for all, by the boot clock; none if another host does.
    sweeps_until: Mutex<Option<Duration>>,
    /// How long rules that remove more have to be set until they are in force.
    delay: Duration,
    /// Held while runs are removed. Two removals at once would walk the same runs, and each would count some of them.
    pruning: AsyncMutex<Option<SweepState>>,
    /// Why runs are not removed by age now.
    suspended: Mutex<Option<String>>,
    /// Removals that continue if their callers are dropped, and the sweeps.
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Pruner {
    /// Starts the sweeps. Rules that remove more than before are in force after they have been set for `delay`. `host`
    /// returns the id of this host if others share the database.
    pub fn start(
        storage: Arc<dyn Storage>,
        registry: Arc<Registry>,
        log: Arc<EventLog>,
        files: Arc<Files>,
        delay: Duration,
        host: impl Fn() -> Option<HostId> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let pruner = Arc::new(Self {
            storage,
            registry,
            log,
            files,
            host: Box::new(host),
            sweeps_until: Mutex::default(),
            delay,
            pruning: AsyncMutex::default(),
            suspended: Mutex::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        });
        pruner.tasks.spawn(Arc::clone(&pruner).keep_sweeping());
        pruner
    }

    /// Why runs are not removed by age now; none if they are.
    pub fn suspended(&self) -> Option<String> {
        self.suspended.lock().clone()
    }

    /// Stops after the current step.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The amount that [`prune`](Self::prune) would remove now.
    pub async fn measure(&self, wish: &PruneRequest) -> Result<Report> {
        let mut report = Report::new();
        for (task, keep) in self.rules(wish).await? {
            let amount = self.measure_task(&task, &keep).await?;
            add(&mut report, task, amount);
        }
        Ok(report)
    }

    /// Removes runs by the rules. Continues if the caller is dropped.
    pub async fn prune(self: &Arc<Self>, wish: PruneRequest) -> Result<Report, PruneError> {
        let pruner = Arc::clone(self);
        self.detached(async move { pruner.prune_now(&wish).await }).await
    }

    async fn prune_now(&self, wish: &PruneRequest) -> Result<Report, PruneError> {
        let mut pruning = self.pruning.lock().await;
        let state = self.state(&mut pruning).await?;
        let rules = self.rules(wish).await?;
        let goes_by_age = rules.iter().any(|(_, keep)| has_age(keep));
        if wish.confirm_clock {
            state.clock.confirm(Timestamp::now(), Instant::now());
        }
        if self.check_clock(state).1.is_some() && goes_by_age {
            let why = self.suspended().unwrap_or_default();
            let what = "say confirm_clock=true (--confirm-clock) if it is right";
            return Err(PruneError::Clock(format!("{why}; {what}")));
        }
        Ok(self.prune_by(rules, state).await?)
    }

    /// Removes one ended run. Continues if the caller is dropped.
    pub async fn remove(self: &Arc<Self>, id: &RunId) -> Result<DeleteOutcome> {
        let Some(run) = self.storage.run(id).await? else { return Ok(DeleteOutcome::NotFound) };
        let Some(at) = run.finished_at else { return Ok(DeleteOutcome::NotEnded(run.status)) };
        // An ended parent stays ended, so this check is still valid when the run is removed.
        if let Some(parent) = &run.parent
            && let Some(parent) = self.storage.run(parent).await?
            && !parent.status.is_terminal()
        {
            return Ok(DeleteOutcome::Needed(Box::new(parent)));
        }
        let pruner = Arc::clone(self);
        self.detached(async move {
            let ending = EndPosition { at, run: run.key.no };
            let amount = pruner.remove_part(vec![EndedRun { key: run.key, ending }], Part::Run).await?;
            pruner.shrink().await?;
            // A sweep may have removed it meanwhile.
            Ok(if amount.runs == 0 { DeleteOutcome::NotFound } else { DeleteOutcome::Removed(amount) })
        })
        .await
    }

    /// Runs `work` to its end even if the caller is dropped.
    async fn detached<T: Send + 'static, E: From<StorageError> + Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E> {
        self.tasks.spawn(work).await.unwrap_or_else(|_| Err(StorageError::Closed.into()))
    }

    /// The rules of each task, without tasks that keep everything.
    async fn rules(&self, wish: &PruneRequest) -> Result<Vec<(TaskRef, Retention)>> {
        let tasks = match &wish.task {
            Some(task) => vec![task.clone()],
            None => self.storage.tasks().await?,
        };
        let current_settings = self.current_settings(&tasks).await?;
        let rules = tasks.into_iter().filter_map(|task| {
            let keep = wish
                .keep
                .or_else(|| current_settings.get(&task).map(|current_settings| current_settings.keep))?;
            (keep != Retention::default()).then_some((task, keep))
        });
        Ok(rules.collect())
    }

    /// The current retention settings of these tasks, as far as they are known.
    async fn current_settings(&self, tasks: &[TaskRef]) -> Result<BTreeMap<TaskRef, CurrentSettings>> {
        let offered: BTreeSet<TaskRef> = match (self.host)() {
            Some(_) => self.storage.offered().await?.into_iter().collect(),
            None => BTreeSet::new(),
        };
        let listed = self.registry.list();
        let listed: BTreeMap<_, _> =
            listed.iter().filter_map(|listed| Some((listed.name.as_ref()?, listed))).collect();
        let own = |task: &TaskRef| match listed.get(task) {
            // The settings of a task that was never loaded are unknown.
            Some(listed) => listed.task.as_ref().map(|task| {
                let settings = &task.settings;
                CurrentSettings { keep: settings.retention, origins: settings.retention_origins }
            }),
            // Of a task that another host has, only that one knows the settings.
            None => (self.registry.is_complete() && !offered.contains(task)).then(|| {
                let keep = self.registry.host_settings().retention;
                CurrentSettings { keep, origins: Origins::default() }
            }),
        };
        Ok(tasks.iter().filter_map(|task| Some((task.clone(), own(task)?))).collect())
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
