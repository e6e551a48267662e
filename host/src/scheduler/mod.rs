//! Which run executes when, and what becomes of it.
//!
//! A run is submitted, waits until a slot is free, is claimed, executes, and
//! ends with one terminal event, whatever happened. The queue is storage's: this
//! room only decides when to ask it, and keeps count of what runs here.
//!
//! Knows nothing of HTTP or SQL, and of wasm only that an attempt can be
//! executed and dropped.

mod breaker;
mod capacity;
mod children;
mod claiming;
mod mailbox;
mod news;
mod recovery;
mod request;
mod results;
mod run_host;
mod runner;
mod schedules;
mod signals;
mod slots;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::Executor;
use crate::event_log::EventLog;
use crate::files::Files;
use crate::model::{HostId, Json, JsonError, Run, RunId, TaskRef, Timestamp};
use crate::notifier::{Notifier, Topic};
use crate::platform::{self, Uptime};
use crate::process::Heartbeat;
use crate::registry::{Mismatch, Registry, Task};
use crate::storage::{Cancelled, Claimant, Claimed, NewRun, Storage, StorageError, Submitted, Waits};

use self::breaker::Breakers;
use self::news::News;
use self::runner::Control;
use self::schedules::AllSkipped;
use self::slots::{Slot, Slots};

pub use capacity::Capacity;
pub use request::{RETRY_OF, Request};
pub use schedules::{SCHEDULE_LABEL, Skipped};

/// A host's runs stay its own for this long after it last said that it lives.
const LEASE: Duration = Duration::from_secs(30);
/// How often it says so: often enough to survive two that fail.
const RENEWAL: Duration = Duration::from_secs(10);

/// Time for the ends of runs that were cut off to be written. A disk that takes
/// none, such as a full one, must not keep the host from stopping.
const SETTLING: Duration = Duration::from_secs(5);

/// Inputs and results that are checked at once, of those whose check takes long. Each takes a core meanwhile, and memory
/// for what its patterns search with.
const CHECKS: usize = 2;

/// Most runs that are named in the log when they could not be settled.
const MAX_NAMED: usize = 20;

/// Begins the idempotency keys that the host makes itself. No client's key can, for a
/// header has no such character.
const HOST_KEY: &str = "\u{1}";

/// How runs are scheduled and bounded.
#[derive(Clone, Debug)]
pub struct Config {
    /// Runs under way at once.
    pub max_running: u32,
    /// The same for each task.
    pub max_running_per_task: u32,
    /// Runs that may wait.
    pub max_queued: u64,
    /// Time between the wish to cancel and the end by force.
    pub cancel_grace: Duration,
}

/// A started run.
#[derive(Debug)]
pub struct Started {
    /// The run, as it was when it was kept.
    pub run: Run,
    /// Whether an earlier request had started it.
    pub existing: bool,
}

/// Why a run was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such task.
    #[error("there is no task {0}")]
    NoTask(TaskRef),
    /// The file of that task has never been good.
    #[error("the task {0} could not be loaded: {1}")]
    NotLoaded(TaskRef, String),
    /// The tasks folder is still being loaded.
    #[error("the host is still loading its tasks")]
    StillLoading,
    /// The host is stopping.
    #[error("the host is stopping")]
    Stopping,
    /// The input has a name twice in one object.
    #[error("the input can't be used: {0}")]
    Names(JsonError),
    /// The input does not match the task's schema.
    #[error("the input does not match the task's schema: {0}")]
    Input(Mismatch),
    /// The system gives no thread to check the input on.
    #[error("the input can't be checked now: {0}")]
    Unchecked(String),
    /// Storage refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Starts, executes and ends runs.
pub struct Scheduler {
    config: Config,
    owner: HostId,
    storage: Arc<dyn Storage>,
    notifier: Arc<dyn Notifier>,
    log: Arc<EventLog>,
    registry: Arc<Registry>,
    engine: Arc<dyn Executor>,
    files: Arc<Files>,
    slots: Arc<Slots>,
    /// Of the loop that claims.
    heartbeat: Arc<Heartbeat>,
    /// Held while a run is held or let go on, so that its gate ends as storage says:
    /// two such wishes at once must not overtake each other in between.
    holding: AsyncMutex<()>,
    /// A permit for each check of an input or a result that takes long.
    checks: Semaphore,
    breakers: Breakers,
    news: News,
    skipped: AllSkipped,
    /// Which runs wait for which of those that they have started.
    waits: Arc<Waits>,
    /// What runs may take is measured by it.
    uptime: Arc<Uptime>,
    /// Runs that execute here.
    controls: Mutex<BTreeMap<RunId, Arc<Control>>>,
    /// What may still start a run: submissions, and the loop that claims.
    starting: TaskTracker,
    /// Everything else that this room spawns.
    tasks: TaskTracker,
    /// Set when nothing new may start.
    stopping: CancellationToken,
    /// Set when what still executes must end.
    cut_off: CancellationToken,
    /// Set when nothing executes any more.
    ended: CancellationToken,
}

/// What a scheduler works with.
pub struct Parts {
    /// Where runs are kept.
    pub storage: Arc<dyn Storage>,
    /// Carries hints.
    pub notifier: Arc<dyn Notifier>,
    /// Where runs speak.
    pub log: Arc<EventLog>,
    /// Which tasks there are.
    pub registry: Arc<Registry>,
    /// What executes them.
    pub engine: Arc<dyn Executor>,
    /// What they leave behind.
    pub files: Arc<Files>,
}

impl Scheduler {
    /// Takes over what an earlier host left behind, then begins to claim. If the disk takes no writes now, that
    /// happens as soon as it does, and this does not wait for it.
    pub async fn start(config: Config, parts: Parts) -> Result<Arc<Self>, StorageError> {
        let Parts { storage, notifier, log, registry, engine, files } = parts;
        let capacity = Capacity::within(config.max_running, engine.max_instances());
        let scheduler = Arc::new(Self {
            slots: Slots::new(capacity.running, capacity.spare),
            heartbeat: Arc::default(),
            config,
            owner: HostId::new(),
            storage,
            notifier,
            log,
            registry,
            engine,
            files,
            holding: AsyncMutex::default(),
            checks: Semaphore::new(CHECKS),
            breakers: Breakers::default(),
            news: News::default(),
            skipped: AllSkipped::default(),
            waits: Arc::default(),
            uptime: Arc::default(),
            controls: Mutex::default(),
            starting: TaskTracker::new(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            cut_off: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        let recovered = scheduler.starting.spawn(Arc::clone(&scheduler).recover_when_possible());
        scheduler.recovered_or_held_up(recovered).await?;
        Ok(scheduler)
    }

    /// Starts a run: at once if a slot is free and nobody waits, else when its
    /// turn comes. When this returns, the run is durable.
    pub async fn submit(self: &Arc<Self>, request: Request) -> Result<Started, StartError> {
        let task = request.task.clone();
        let submitted = self.take(request).await;
        if let Err(error) = &submitted {
            self.news.refused(&task, error);
        }
        submitted
    }

    async fn take(self: &Arc<Self>, request: Request) -> Result<Started, StartError> {
        let submitting = {
            // Taken before looking whether the host is stopping: a drain that begins after the look waits for this.
            // And given back before anything is waited for: the caller may be a guest that is paused, and then a
            // drain would wait as long as the pause lasts.
            let _starting = self.starting.token();
            let task = self.runnable(&request.task)?;
            request.input.check_names().map_err(StartError::Names)?;
            let checked = task.check_input_briefly(&request.input);
            let checked = checked.transpose().map_err(StartError::Input)?;
            let scheduler = Arc::clone(self);
            // Spawned, because the caller may go away while the claim is being committed, and then the run would
            // belong to this host and never execute.
            self.starting.spawn(async move {
                let request = match checked {
                    Some(()) => request,
                    None => scheduler.check(Arc::clone(&task), request).await?,
                };
                scheduler.submit_to(task, request).await
            })
        };
        submitting.await.unwrap_or(Err(StartError::Stopping))
    }

    /// Checks an input that takes longer than a thread that serves others can be held up.
    async fn check(&self, task: Arc<Task>, request: Request) -> Result<Request, StartError> {
        let permit = self.checks.acquire().await;
        let checking = platform::blocking(move || task.check_input(&request.input).map(|()| request));
        let checked = checking.await.map_err(|error| StartError::Unchecked(error.to_string()))?;
        drop(permit);
        checked.map_err(StartError::Input)
    }

    async fn submit_to(self: &Arc<Self>, task: Arc<Task>, request: Request) -> Result<Started, StartError> {
        let depth = request.parent.map_or(0, |parent| parent.depth);
        let slot = self.slots.try_take(&task.name, self.max_running_of(&task), depth);
        let claimant = slot.as_ref().map(|_| Claimant {
            owner: self.owner.clone(),
            version: task.version(),
            on_interrupt: task.settings.on_interrupt,
        });
        let queueing = &task.settings.queueing;
        let now = Timestamp::now();
        let new = NewRun {
            needs: queueing.needs(&request.task, &request.input, &request.resources),
            priority: request.priority.unwrap_or(queueing.priority),
            fail_if_busy: request.fail_if_busy.unwrap_or(queueing.fail_if_busy),
            max_queued_of_task: queueing.max_queued.unwrap_or(u64::MAX),
            not_before: request.start_time(now),
            delayed_by: request.delay,
            digest: request.digest(Json::canonical),
            text_digest: request.digest(|value| value.as_str().to_owned()),
            own_id: request.id.is_some(),
            id: request.id.unwrap_or_default(),
            task: request.task,
            input: request.input,
            labels: request.labels,
            idempotency_key: request.idempotency_key,
            parameters: request.parameters.into_iter().collect(),
            parent: request.parent,
            on_disconnect: request.on_disconnect,
            created_at: now,
            max_queued: self.config.max_queued,
        };
        match self.storage.submit(new, claimant).await? {
            Submitted::Existing(run) => Ok(Started { run, existing: true }),
            Submitted::Queued(run) => {
                drop(slot);
                self.notifier.notify(&Topic::Queue);
                self.notifier.notify(&Topic::Runs);
                Ok(Started { run, existing: false })
            }
            Submitted::Claimed(claimed) => {
                let run = claimed.run.clone();
                let slot = slot.expect("only who offers a slot is given a run");
                self.launch(claimed, task, slot);
                Ok(Started { run, existing: false })
            }
        }
    }

    /// How many runs of the task may be under way at once.
    fn max_running_of(&self, task: &Task) -> u32 {
        let own = task.settings.max_running.unwrap_or(u32::MAX);
        own.min(self.config.max_running_per_task).min(self.max_by_circuit(task))
    }

    fn runnable(&self, name: &TaskRef) -> Result<Arc<Task>, StartError> {
        if self.stopping.is_cancelled() {
            return Err(StartError::Stopping);
        }
        if let Some(task) = self.registry.task(name) {
            return Ok(task);
        }
        if !self.registry.is_complete() {
            return Err(StartError::StillLoading);
        }
        let listed = self.registry.list();
        let problem = listed.iter().find(|listed| listed.name.as_ref() == Some(name));
        Err(match problem.and_then(|listed| listed.problem.as_ref()) {
            Some((problem, _)) => StartError::NotLoaded(name.clone(), problem.to_string()),
            None => StartError::NoTask(name.clone()),
        })
    }

    /// Asks a run to end. One that waits ends at once; one under way is told, and
    /// ended by force after its grace time.
    pub async fn cancel(self: &Arc<Self>, id: &RunId) -> Result<Cancelled, StorageError> {
        let (scheduler, id) = (Arc::clone(self), id.clone());
        self.to_the_end(async move { scheduler.cancel_now(&id).await }).await
    }

    async fn cancel_now(&self, id: &RunId) -> Result<Cancelled, StorageError> {
        let cancelled = self.storage.cancel(id).await?;
        match &cancelled {
            Cancelled::Requested(run) => {
                self.tell_cancelled(&run.key.id);
                // It may be another host's.
                self.notifier.notify(&Topic::Cancel);
                self.notifier.notify(&Topic::Runs);
            }
            Cancelled::Ended(run) => {
                // It may have been next in line for something.
                self.notifier.notify(&Topic::Queue);
                self.notifier.notify(&Topic::Run(run.key.id.clone()));
                self.notifier.notify(&Topic::Runs);
            }
            Cancelled::NotFound | Cancelled::AlreadyEnded(_) => {}
        }
        Ok(cancelled)
    }

    fn tell_cancelled(&self, id: &RunId) {
        if let Some(control) = self.controls.lock().get(id) {
            control.cancel();
        }
    }

    /// Whether there is room for a run with so many above it.
    #[doc(hidden)]
    pub fn has_room(&self, depth: u32) -> bool {
        self.slots.has_room(depth)
    }

    /// Of the loop that claims runs.
    pub fn heartbeat(&self) -> Arc<Heartbeat> {
        Arc::clone(&self.heartbeat)
    }

    /// Runs that execute here now.
    pub fn running(&self) -> u32 {
        self.slots.taken()
    }

    /// Ends everything: nothing new starts, what runs may go on for `grace`, then
    /// it is cut off. When this returns, every run that executed here has its
    /// terminal event or is back in the queue, unless the disk takes no writes.
    ///
    /// Takes no longer than `grace` and ten seconds more, whatever the runs, their callers
    /// and the disk do.
    pub async fn drain(&self, grace: Duration) {
        self.stopping.cancel();
        self.cut_off_paused();
        self.starting.close();
        let ended = async {
            self.starting.wait().await;
            self.slots.all_free().await;
        };
        if timeout(grace, ended).await.is_err() {
            tracing::info!(running = self.running(), "grace time is over; cutting runs off");
        }
        self.cut_off.cancel();
        let settled = async {
            self.slots.all_free().await;
            self.ended.cancel();
            self.tasks.close();
            self.tasks.wait().await;
        };
        // What is asked of storage and not answered holds nobody up any more.
        if timeout(SETTLING, self.starting.wait()).await.is_err() {
            tracing::error!("starts that are under way get no answer from the database");
        }
        if timeout(SETTLING, settled).await.is_err() {
            let running: Vec<String> =
                self.controls.lock().keys().take(MAX_NAMED).map(RunId::to_string).collect();
            let running = running.join(", ");
            tracing::error!(running, "the ends of runs can't be written now; the next start settles them");
            self.ended.cancel();
        }
    }

    /// A paused run has nothing to finish within the grace time.
    fn cut_off_paused(&self) {
        for control in self.controls.lock().values().filter(|control| control.gate.is_closed()) {
            control.cut_off.cancel();
        }
    }

    fn launch(self: &Arc<Self>, claimed: Claimed, task: Arc<Task>, slot: Slot) {
        runner::launch(self, claimed, task, slot);
    }
}
