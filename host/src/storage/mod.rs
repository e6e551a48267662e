//! What is kept: runs, their events, their checkpoints, messages to them.
//!
//! A few small traits that every backend passes the same [`conformance`] suite
//! for. [`sqlite`] is the embedded one. The traits take what many hosts on one
//! database need: a claim has an owner, a lease and a fence, and `seq` is
//! assigned in the transaction that appends.
//!
//! Knows nothing of wasm, HTTP, or of who is waiting for an event: it tells an
//! [`Outbox`] that its events are durable, and that is all.

mod condition;
pub mod conformance;
mod depth;
mod new_run;
mod pruning;
pub mod sqlite;
mod waits;

use std::sync::Arc;

use async_trait::async_trait;

use crate::model::{
    Event, Fence, HostId, Json, NewEvent, OnInterrupt, Outcome, Run, RunId, RunKey, RunStatus, Signal,
    SignalName, TaskRef, Timestamp, Version,
};

pub use condition::Condition;
pub use depth::DepthLimits;
pub use new_run::{MAX_CHILDREN, MAX_DEPTH, NewRun, Parent};
pub use pruning::{Pruned, Pruning};
pub use waits::{ChildWait, ChildWaits};

/// Why storage did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// The database can't be used now (full disk, I/O error). Nothing was
    /// changed; what was handed to [`Log::append`] is kept and tried again.
    #[error("storage is unavailable: {0}")]
    Unavailable(String),
    /// The caller does not own the run any more, or the run has ended.
    #[error("the run is no longer this host's")]
    Fenced,
    /// Too many runs wait already.
    #[error("the queue is full: {0} runs are waiting")]
    QueueFull(u64),
    /// What the run needs is another run's, and its caller would not wait.
    #[error("another run has {0}")]
    Busy(String),
    /// The run id exists, or the idempotency key was used, with another body.
    #[error("{0}")]
    Conflict(String),
    /// It would wait for a run that waits for it.
    #[error("{0}")]
    Deadlock(String),
    /// The run has used up something that each run has only so much of.
    #[error("{0}")]
    Limit(String),
    /// Storage is closed, because the host is stopping.
    #[error("storage is closed")]
    Closed,
}

/// A result of storage.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// Who would run something, and on what.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// The host.
    pub owner: HostId,
    /// The version that the attempt will run on.
    pub version: Version,
    /// What becomes of the attempt if the host dies.
    pub on_interrupt: OnInterrupt,
}

/// What became of a [`NewRun`].
#[derive(Debug)]
pub enum Submitted {
    /// It waits in the queue.
    Queued(Run),
    /// It was free to start, and the claimant owns it.
    Claimed(Claimed),
    /// The same request was made before; this is its run.
    Existing(Run),
}

/// A run that now belongs to the asking host.
#[derive(Debug)]
pub struct Claimed {
    /// The run as it is after the claim.
    pub run: Run,
    /// Goes with every write to the run from now on.
    pub fence: Fence,
    /// The events that the claim wrote, newest last; the log ends with them.
    pub events: Vec<Event>,
    /// The number of the last event.
    pub last_seq: u64,
    /// Whether an earlier attempt has saved a checkpoint.
    pub has_checkpoint: bool,
    /// Whether it has something that other runs may wait for.
    pub has_locks: bool,
    /// How many runs are above it.
    pub depth: u32,
    /// What becomes of the attempt if the host dies.
    pub on_interrupt: OnInterrupt,
}

/// What waits to be claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueState {
    /// Whether any run is queued that waits for nothing but its turn.
    pub queued: bool,
    /// When the time of the first delayed run comes.
    pub next_due: Option<Timestamp>,
}

/// A task that a host has loaded, and would run.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The task.
    pub task: TaskRef,
    /// The version that the attempt would run on.
    pub version: Version,
    /// How many more runs of it the host may have.
    pub room: u32,
    /// What becomes of the attempt if the host dies.
    pub on_interrupt: OnInterrupt,
}

/// Which queued runs a host would take.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The host.
    pub owner: HostId,
    /// Runs of the highest priority are taken first; among those of the same,
    /// tasks take turns in this order, one run each.
    pub tasks: Vec<Offer>,
    /// Most runs to take in all, by their depth.
    pub limits: DepthLimits,
}

/// What became of a wish to cancel.
#[derive(Debug)]
pub enum Cancelled {
    /// There is no such run.
    NotFound,
    /// It was waiting and has now ended as cancelled.
    Ended(Run),
    /// It is under way; its owner has to be told.
    Requested(Run),
    /// It had ended before.
    AlreadyEnded(Run),
}

/// Which runs to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of this task.
    pub task: Option<TaskRef>,
    /// In one of these; empty: in any.
    pub statuses: Vec<RunStatus>,
    /// With all of these labels.
    pub labels: Vec<(String, String)>,
    /// Started by this run.
    pub parent: Option<RunId>,
    /// Submitted after this moment. With this or the next, the list is in order of these
    /// times, and not of the runs' numbers; they differ where the clock was set back.
    pub created_after: Option<Timestamp>,
    /// Submitted before this moment.
    pub created_before: Option<Timestamp>,
    /// Only runs that follow this one in the list.
    pub after: Option<RunPlace>,
    /// Only runs with a larger number than this, and oldest first; not together with times.
    pub since: Option<i64>,
    /// Leave out what can be large: the input is `null` then, and there is no final value
    /// and no trace or details of an error.
    pub brief: bool,
    /// Most bytes of what can be large that all returned runs have together; the first is returned whatever it has. None:
    /// without a bound.
    pub max_bytes: Option<u64>,
    /// Most runs to return.
    pub limit: u32,
}

/// A run's place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunPlace {
    /// Its number.
    pub no: i64,
    /// When it was submitted.
    pub created_at: Timestamp,
}

impl RunFilter {
    /// Whether the list is in order of the times at which the runs were submitted.
    pub const fn is_by_time(&self) -> bool {
        self.created_after.is_some() || self.created_before.is_some()
    }
}

impl From<&Run> for RunPlace {
    fn from(run: &Run) -> Self {
        Self { no: run.key.no, created_at: run.created_at }
    }
}

/// Most bytes that one run's checkpoints have together. They are written whole
/// at each save, so more would be slow long before it filled a disk.
pub const MAX_CHECKPOINT_BYTES_PER_RUN: u64 = 64 << 20;

/// Runs and who owns them.
#[async_trait]
pub trait Runs: Send + Sync + 'static {
    /// Keeps a new run. With a claimant, and if no earlier run of the task
    /// waits, the run is claimed in the same transaction.
    async fn submit(&self, run: NewRun, claimant: Option<Claimant>) -> Result<Submitted>;

    /// What waits. Cheaper than asking for it.
    async fn queue_state(&self) -> Result<QueueState>;

    /// Claims queued runs, and delayed ones whose time has come: within a task
    /// those of higher priority first, then the oldest. One that needs what
    /// another run has is passed over, and looked at again when that has ended.
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>>;

    /// The clock may have been set back: runs that were put off for some time, at a moment that
    /// is yet to come by the clock, wait for that time from now on. Returns how many they are.
    async fn adjust_delays(&self) -> Result<u32>;

    /// Says that `owner` lives and keeps its runs for another `lease_ms`.
    async fn renew_lease(&self, owner: &HostId, lease_ms: u32) -> Result<()>;

    /// Claims runs whose owner let its lease run out, as they are: no attempt
    /// begins. The caller ends them or puts them back.
    async fn claim_orphans(&self, owner: &HostId, limit: u32) -> Result<Vec<Claimed>>;

    /// Puts a run back into the queue, for a new attempt, with an event that
    /// says why. With a time, it is delayed until then. One that someone asked to
    /// cancel ends as cancelled instead.
    async fn requeue(
        &self,
        run: &RunKey,
        fence: Fence,
        event: NewEvent,
        not_before: Option<Timestamp>,
    ) -> Result<Event>;

    /// Ends a run: its outcome and its terminal event, which is returned. One that
    /// someone asked to cancel ends as cancelled, with its value if it has one.
    async fn finish(&self, run: &RunKey, fence: Fence, outcome: Outcome) -> Result<Event>;

    /// Ends a queued run as cancelled, or notes the wish on one under way.
    async fn cancel(&self, run: &RunId) -> Result<Cancelled>;

    /// Those runs of `owner` that someone asked to cancel.
    async fn cancel_requests(&self, owner: &HostId) -> Result<Vec<RunId>>;

    /// One run.
    async fn run(&self, id: &RunId) -> Result<Option<Run>>;

    /// Many runs.
    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>>;
}

/// What became of a message to a run.
#[derive(Debug)]
pub enum Reached {
    /// There is no such run.
    NotFound,
    /// It has ended, and hears nothing any more.
    AlreadyEnded(Run),
    /// It was so already, and nothing was written.
    Unchanged(Run),
    /// It is under way: its owner has to be told, and tells so in the run's log.
    Owner(Run),
    /// Nobody owns it now. The log tells so, and its next owner will find it.
    Kept(Run),
}

/// Most signals that wait for one run; one that never listens must not fill the
/// disk.
pub const MAX_WAITING_SIGNALS: u32 = 1_000;
/// Most parameters of one run.
pub const MAX_PARAMETERS: u32 = 100;

/// Messages to runs.
#[async_trait]
pub trait Signals: Send + Sync + 'static {
    /// Holds a run that waits or is under way, or lets it go on.
    async fn set_paused(&self, run: &RunId, paused: bool) -> Result<Reached>;

    /// Keeps a signal until the run takes it.
    async fn signal(&self, run: &RunId, signal: Signal) -> Result<Reached>;

    /// Takes the oldest signal that waits; with a name, the oldest of that name.
    async fn take_signal(
        &self,
        run: &RunKey,
        fence: Fence,
        name: Option<SignalName>,
    ) -> Result<Option<Signal>>;

    /// Sets a parameter, in place of its former value.
    async fn set_parameter(&self, run: &RunId, name: SignalName, value: Json) -> Result<Reached>;

    /// Tells of a message in the log of a run that was under way when it was sent, if
    /// nobody owns it any more. Its owner tells of it otherwise.
    async fn log_message(&self, run: &RunId, event: NewEvent) -> Result<Reached>;

    /// All parameters of a run.
    async fn parameters(&self, run: i64) -> Result<Vec<(SignalName, Json)>>;
}

/// The events of one run that wait to be appended.
#[derive(Debug)]
pub struct Batch {
    /// The run.
    pub run: i64,
    /// The right to append to it.
    pub fence: Fence,
    /// The attempt that sent them.
    pub attempt: u32,
    /// The events, oldest first.
    pub events: Vec<NewEvent>,
}

/// One run's events on their way into the log. Called from the writer, so
/// neither method may block.
pub trait Outbox: Send + Sync + 'static {
    /// Gives away all that waits. Called once for each [`Log::append`].
    fn take(&self) -> Option<Batch>;

    /// What was taken is durable, or refused for good.
    fn done(&self, result: Result<Vec<Event>>);
}

/// Events and checkpoints.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Announces that `outbox` has events. They are taken, appended and made
    /// durable together with whatever else waits. Never blocks, keeps the order
    /// of calls, also with regard to all other writes.
    fn append(&self, outbox: Arc<dyn Outbox>);

    /// Events of a run after `after`, oldest first, at most `limit`, and no
    /// more than about 1 MiB of data, but at least one if there is one.
    async fn events(&self, run: i64, after: u64, limit: u32) -> Result<Vec<Event>>;

    /// Those events of a run after `after` and up to number `to` that are of one of `types`,
    /// oldest first, and the number up to which it looked: that of the last one if they are
    /// more than about 1 MiB of data, else `to`. Costs much less than to read them all.
    async fn events_of_types(
        &self,
        run: i64,
        after: u64,
        to: u64,
        types: &'static [&'static str],
    ) -> Result<(Vec<Event>, u64)>;

    /// The number of the newest event; 0 if there is none.
    async fn last_seq(&self, run: i64) -> Result<u64>;

    /// Saves a value, or forgets the one under the key if there is none; durable
    /// on return, with all appended before. Tried until the database takes it, as
    /// events are.
    async fn save_checkpoint(
        &self,
        run: &RunKey,
        fence: Fence,
        key: String,
        value: Option<Vec<u8>>,
    ) -> Result<()>;

    /// The value saved last.
    async fn load_checkpoint(&self, run: i64, key: String) -> Result<Option<Vec<u8>>>;

    /// Whether writes succeed now; the reason if not.
    fn health(&self) -> Result<()>;

    /// What else is known of it.
    fn condition(&self) -> Condition;

    /// Commits what waits, then refuses everything. Returns when the database
    /// is closed.
    async fn close(&self);
}

/// Runs and the runs that they have started.
#[async_trait]
pub trait ChildRuns: Send + Sync + 'static {
    /// Runs that have not ended nor been asked to, whose parent has ended and did not
    /// let them go.
    async fn abandoned(&self, limit: u32) -> Result<Vec<RunId>>;

    /// Why `run`, which waits, never goes on: all that could let it lead back to it, by runs that
    /// wait for others and by locks that they hold. None if something can, or if it only waits for
    /// such runs: they are told.
    async fn deadlock(&self, run: i64, waits: Arc<ChildWaits>) -> Result<Option<String>>;
}

/// How far a schedule has been followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleProgress {
    /// Tells it from another of the same name.
    pub spec: String,
    /// All starts up to this moment have been made.
    pub reached: Timestamp,
    /// Tells starts at the same time apart: after the clock was set back, a time comes again.
    pub turn: i64,
}

/// How far schedules have been followed.
#[async_trait]
pub trait Schedules: Send + Sync + 'static {
    /// All that [`set_schedule`](Self::set_schedule) kept, by task and name.
    async fn schedules(&self) -> Result<Vec<(TaskRef, String, ScheduleProgress)>>;

    /// Keeps how far a schedule has been followed.
    async fn set_schedule(&self, task: &TaskRef, name: &str, followed: ScheduleProgress) -> Result<()>;

    /// Forgets a schedule: it is there no more. One of the same name is a new one.
    async fn forget_schedule(&self, task: &TaskRef, name: &str) -> Result<()>;
}

/// A backend.
pub trait Storage: Runs + Log + Signals + ChildRuns + Schedules + Pruning {}
impl<T: Runs + Log + Signals + ChildRuns + Schedules + Pruning> Storage for T {}
