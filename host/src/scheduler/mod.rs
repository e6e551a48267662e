//! The scheduler: decides when each run executes, and records its outcome.
//!
//! A run is submitted, waits for a free slot, is claimed, executes, and ends with exactly one terminal event, whatever
//! happens. The queue is kept in storage: this room decides when to poll it, and counts the runs that execute here.
//!
//! Knows nothing of HTTP or SQL, and of wasm only that an attempt can be executed and dropped.

mod attempt_guard;
mod breaker;
mod capacity;
mod children;
mod claiming;
mod control;
mod deliveries;
mod duties;
mod failure_log;
mod inbox;
mod lease;
mod mailbox;
mod outcome;
mod recovery;
mod request;
mod results;
mod run_host;
mod runner;
mod schedules;
mod signals;
mod slots;

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::Executor;
use crate::event_log::EventLog;
use crate::files::Files;
use crate::model::{JsonError, Run, RunId, TaskRef, Timestamp};
use crate::notifier::{Notifier, Topic};
use crate::platform::{self, Uptime};
use crate::process::Heartbeat;
use crate::registry::{Mismatch, Registry, Task};
use crate::storage::{
    CancelOutcome, ChildWaits, Claimant, Claimed, NewRun, Storage, StorageError, SubmitOutcome,
};

use self::attempt_guard::ClaimGuard;
use self::breaker::Breakers;
use self::control::Control;
use self::deliveries::Deliveries;
use self::failure_log::FailureLog;
use self::lease::{Lease, Registration};
use self::schedules::LastSkipped;
use self::slots::{Slot, Slots};

pub use capacity::Capacity;
pub use lease::Sharing;
use request::DigestOf;
pub use request::{RETRY_OF, Request};
pub use schedules::{SCHEDULE_LABEL, Skipped};

/// Longest time for writing the outcomes of runs that were cut off. A disk that accepts no writes, such as a full one,
/// must not keep the host from stopping.
const SETTLING: Duration = Duration::from_secs(5);

/// Most long schema checks (of inputs and results) at once. Each occupies a core, and memory for its compiled
/// patterns.
const CHECKS: usize = 2;

/// Most runs that the log names when their outcomes could not be written.
const MAX_NAMED: usize = 20;

/// Prefix of the idempotency keys that the host makes itself. A client can't send it: a header can't contain this
/// character.
const HOST_KEY: &str = "\u{1}";

/// Limits of the scheduler.
#[derive(Clone, Debug)]
pub struct Config {
    /// Most runs that execute at once.
    pub max_running: u32,
    /// Most runs of one task that execute at once.
    pub max_running_per_task: u32,
    /// Most runs in the queue.
    pub max_queued: u64,
    /// Time between the request to cancel a run and its end by force.
    pub cancel_grace: Duration,
    /// How the host takes part in a database that others share; none if the database is its own.
    pub sharing: Option<Sharing>,
}

/// A started run.
#[derive(Debug)]
pub struct Started {
    /// The run as it was when it was stored.
    pub run: Run,
    /// Whether an earlier request already started it.
    pub existing: bool,
}

/// Why a run was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such task.
    #[error("there is no task {0}")]
    NoTask(TaskRef),
    /// No version of the task's file could be loaded so far.
    #[error("the task {0} could not be loaded: {1}")]
    NotLoaded(TaskRef, String),
    /// The tasks folder is still being loaded.
    #[error("the host is still loading its tasks")]
    StillLoading,
    /// The host is stopping.
    #[error("the host is stopping")]
    Stopping,
    /// An object in the input has the same name twice.
    #[error("the input can't be used: {0}")]
    Names(JsonError),
    /// The input does not match the task's schema.
    #[error("the input does not match the task's schema: {0}")]
    Input(Mismatch),
    /// The system has no thread to check the input on.
    #[error("the input can't be checked now: {0}")]
    Unchecked(String),
    /// Storage rejected the run.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Starts, executes and ends runs.
pub struct Scheduler {
    config: Config,
    lease: Lease,
    storage: Arc<dyn Storage>,
    notifier: Arc<dyn Notifier>,
    log: Arc<EventLog>,
    registry: Arc<Registry>,
    engine: Arc<dyn Executor>,
    files: Arc<Files>,
    slots: Arc<Slots>,
    /// Heartbeat of the claiming loop.
    heartbeat: Arc<Heartbeat>,
    /// Held while a run is paused or resumed, so that its pause gate ends in the state that storage has: two such
    /// requests must not overtake each other between the two.
    pausing: AsyncMutex<()>,
    /// Permits for long schema checks of inputs and results.
    checks: Semaphore,
    breakers: Breakers,
    failures: FailureLog,
    skipped: LastSkipped,
    /// Which runs wait for which of their child runs.
    waits: Arc<ChildWaits>,
    /// Clock of deadlines and grace times.
    uptime: Arc<Uptime>,
    /// Runs that execute here, by id.
    controls: Mutex<BTreeMap<RunId, Arc<Control>>>,
    /// Number of attempts that have registered.
    attempts: AtomicU64,
    deliveries: Deliveries,
    /// Held while messages that storage keeps for this host are read and applied, so that each is applied once.
    inbox: AsyncMutex<()>,
    /// Tasks that may still start a run: submissions, and the claiming loop.
    starting: TaskTracker,
    /// All other tasks that this room spawns.
    tasks: TaskTracker,
    /// Cancelled when no run may start any more.
    stopping: CancellationToken,
    /// Cancelled when all runs must end at once.
    cut_off: CancellationToken,
    /// Cancelled when no run executes any more.
    ended: CancellationToken,
}

/// The rooms that a scheduler uses.
pub struct Parts {
    /// Stores the runs.
    pub storage: Arc<dyn Storage>,
    /// Carries wake-ups.
    pub notifier: Arc<dyn Notifier>,
    /// The event logs of runs.
    pub log: Arc<EventLog>,
    /// The loaded tasks.
    pub registry: Arc<Registry>,
    /// Executes guests.
    pub engine: Arc<dyn Executor>,
    /// Output files of runs.
    pub files: Arc<Files>,
}

impl Scheduler {
    /// Settles the orphaned runs of earlier hosts, then begins to claim. If the disk accepts no writes now, both happen
    /// as soon as it does, without this call waiting for it. In a shared database, orphans are settled later, when their
    /// hosts have had the time to renew their leases.
    pub async fn start(config: Config, parts: Parts) -> Result<Arc<Self>, StorageError> {
        let Parts { storage, notifier, log, registry, engine, files } = parts;
        let capacity = Capacity::within(config.max_running, engine.max_instances());
        let scheduler = Arc::new(Self {
            slots: Slots::new(capacity.running, capacity.spare),
            heartbeat: Arc::default(),
            lease: Lease::new(config.sharing.clone()),
            config,
            storage,
            notifier,
            log,
            registry,
            engine,
            files,
            pausing: AsyncMutex::default(),
            checks: Semaphore::new(CHECKS),
            breakers: Breakers::default(),
            failures: FailureLog::default(),
            skipped: LastSkipped::default(),
            waits: Arc::default(),
            uptime: Arc::default(),
            controls: Mutex::default(),
            attempts: AtomicU64::new(0),
            deliveries: Deliveries::default(),
            inbox: AsyncMutex::default(),
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

    /// Submits a run. It starts at once if a slot is free and no run waits before it; otherwise it is queued. When this
    /// returns, the run is durable.
    pub async fn submit(self: &Arc<Self>, request: Request) -> Result<Started, StartError> {
        let task = request.task.clone();
        let submitted = self.accept(request).await;
        if let Err(error) = &submitted {
            self.failures.refused(&task, error);
        }
        submitted
    }

    async fn accept(self: &Arc<Self>, request: Request) -> Result<Started, StartError> {
        let submitting = {
            // Taken before the check for `stopping`: a drain that begins after the check waits for the token. Dropped
            // before the first await: the caller may be a paused guest, and a drain would wait as long as the pause
            // lasts.
            let _starting = self.starting.token();
            let task = self.runnable(&request.task)?;
            request.input.check_names().map_err(StartError::Names)?;
            let checked = task.check_input_briefly(&request.input);
            let checked = checked.transpose().map_err(StartError::Input)?;
            let scheduler = Arc::clone(self);
            // Spawned, because the caller may be dropped while the claim is being committed. The run would then belong
            // to this host and never execute.
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

    /// Checks an input on a thread of its own, because the check would block this one for too long.
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
        let new = self.new_run(&task, request);
        let (submitted, registration) = self.store(new, slot.as_ref().map(|_| &*task)).await?;
        match submitted {
            SubmitOutcome::Existing(run) => Ok(Started { run, existing: true }),
            SubmitOutcome::Queued(run) => {
                drop(slot);
                self.notifier.notify(&Topic::Queue);
                self.notifier.notify(&Topic::Runs);
                Ok(Started { run, existing: false })
            }
            SubmitOutcome::Claimed(claimed) => {
                let run = claimed.run.clone();
                self.launch(claimed, registration, |_| {
                    (task, slot.expect("a claimed run requires a claimant, which requires a slot"))
                });
                Ok(Started { run, existing: false })
            }
        }
    }

    /// Stores a new run. With a task, it may be claimed at once, under the registration that is returned.
    async fn store(
        &self,
        new: NewRun,
        claimed_for: Option<&Task>,
    ) -> Result<(SubmitOutcome, Arc<Registration>), StorageError> {
        let claimant = |registration: &Registration| {
            let task = claimed_for.filter(|_| !self.lease.is_late())?;
            let (version, on_interrupt) = (task.version(), task.settings.on_interrupt);
            Some(Claimant { owner: registration.host.clone(), version, on_interrupt })
        };
        if !self.lease.is_shared() {
            let registration = self.lease.registration();
            let submitted = self.storage.submit(new, claimant(&registration)).await?;
            return Ok((submitted, registration));
        }
        let submit = |registration: Arc<Registration>| {
            let (new, claimant) = (new.clone(), claimant(&registration));
            async move { Ok((self.storage.submit(new, claimant).await?, registration)) }
        };
        self.as_registered(submit).await
    }

    /// The run that a request asks for, with the settings of its task where the request has none of its own.
    fn new_run(&self, task: &Task, request: Request) -> NewRun {
        let queueing = &task.settings.queueing;
        let now = Timestamp::now();
        NewRun {
            locks: queueing.locks(&request.task, &request.input, &request.resources),
            priority: request.priority.unwrap_or(queueing.priority),
            fail_if_busy: request.fail_if_busy.unwrap_or(queueing.fail_if_busy),
            max_queued: self.config.max_queued,
            max_queued_of_task: queueing.max_queued.unwrap_or(u64::MAX),
            not_before: request.start_time(now),
            delayed_by: request.delay,
            digest: request.digest(DigestOf::Values),
            text_digest: request.digest(DigestOf::Texts),
            own_id: request.id.is_some(),
            labels: request.labels,
            idempotency_key: request.idempotency_key,
            parameters: request.parameters.into_iter().collect(),
            parent: request.parent,
            on_disconnect: request.on_disconnect,
            ..NewRun::new(request.id.unwrap_or_default(), request.task, request.input.into_json(), now)
        }
    }

    /// Most runs of the task that may execute at once.
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

    /// Cancels a run. A queued run ends at once. A running one is notified, and ended by force after its grace time.
    pub async fn cancel(self: &Arc<Self>, id: &RunId) -> Result<CancelOutcome, StorageError> {
        let (scheduler, id) = (Arc::clone(self), id.clone());
        self.detached(async move { scheduler.cancel_now(&id).await }).await
    }

    async fn cancel_now(&self, id: &RunId) -> Result<CancelOutcome, StorageError> {
        let cancelled = self.as_registered(|_| self.storage.cancel(id)).await?;
        match &cancelled {
            CancelOutcome::Requested { run, message } => {
                self.signal_cancel(&run.key.id);
                if *message != 0 {
                    self.notify_owner(&run.key.id);
                }
                // Another host may own it.
                self.notifier.notify(&Topic::Cancel);
                self.notifier.notify(&Topic::Runs);
            }
            CancelOutcome::Ended(run) => {
                // It may have been next in line for a lock.
                self.notifier.notify(&Topic::Queue);
                self.notifier.notify(&Topic::Run(run.key.id.clone()));
                self.notifier.notify(&Topic::Runs);
            }
            CancelOutcome::NotFound | CancelOutcome::AlreadyEnded(_) => {}
        }
        Ok(cancelled)
    }

    fn signal_cancel(&self, id: &RunId) {
        if let Some(control) = self.controls.lock().get(id) {
            control.cancel();
        }
    }

    /// Whether a slot is free for a run of that depth.
    #[cfg(feature = "simulation")]
    #[doc(hidden)]
    pub fn has_room(&self, depth: u32) -> bool {
        self.slots.has_room(depth)
    }

    /// Heartbeat of the claiming loop.
    pub fn heartbeat(&self) -> Arc<Heartbeat> {
        Arc::clone(&self.heartbeat)
    }

    /// Number of runs that execute here now.
    pub fn running(&self) -> u32 {
        self.slots.taken()
    }

    /// Shuts down: no run starts any more, running ones continue for `grace`, then they are cut off. When this returns,
    /// every run that executed here has its terminal event or is back in the queue, unless the disk accepts no writes.
    ///
    /// Takes at most ten seconds longer than `grace`, whatever the runs, their callers and the disk do.
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
            self.leave().await;
        };
        // Requests that storage does not answer must not delay the shutdown further.
        if timeout(SETTLING, self.starting.wait()).await.is_err() {
            tracing::error!("pending starts get no answer from the database");
        }
        if timeout(SETTLING, settled).await.is_err() {
            let running: Vec<String> =
                self.controls.lock().keys().take(MAX_NAMED).map(RunId::to_string).collect();
            let running = running.join(", ");
            tracing::error!(
                running,
                "the outcomes of runs can't be written now; the next start settles these runs"
            );
            self.ended.cancel();
        }
    }

    /// Cuts off paused runs: they can't finish within the grace time.
    fn cut_off_paused(&self) {
        for control in self.controls.lock().values().filter(|control| control.gate.is_paused()) {
            control.cut_off.cancel();
        }
    }

    /// Executes a claimed run, in the slot that `assign` returns. A panic, also one of `assign`, ends the run and is not
    /// passed on: it must not end the loop that claims.
    fn launch(
        self: &Arc<Self>,
        claimed: Claimed,
        registration: Arc<Registration>,
        assign: impl FnOnce(&Claimed) -> (Arc<Task>, Slot),
    ) {
        let mut claim = ClaimGuard::new(self, claimed, registration);
        let launch = AssertUnwindSafe(|| {
            let (task, slot) = assign(claim.claimed());
            claim.assign(slot);
            runner::launch(self, claim, task);
        });
        let _ = panic::catch_unwind(launch);
    }
}
