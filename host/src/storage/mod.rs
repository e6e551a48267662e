//! Storage of runs, their events, their checkpoints and messages to them.
//!
//! A few small traits with one `conformance` suite for all backends. [`sqlite`] is the embedded backend. The traits
//! allow for many hosts on one database: a claim has an owner, a lease and a fence, `seq` is assigned in the transaction
//! that appends, and what is sent to a run is kept for the host that owns it.
//!
//! Knows nothing of wasm, HTTP or subscribers: it notifies an [`Outbox`] that its events are durable, and nobody else.

mod clients;
mod columns;
mod condition;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod depth;
mod durability;
mod hosts;
mod messages;
mod new_run;
pub mod postgres;
mod pruning;
pub mod sqlite;
mod wait_graph;
mod waits;

use std::sync::Arc;

use async_trait::async_trait;

use crate::model::{
    Event, Fence, HostId, NewEvent, OnInterrupt, Outcome, Run, RunId, RunKey, RunStatus, TaskRef, Timestamp,
    Version,
};

pub use clients::Clients;
pub use condition::Condition;
pub use depth::DepthLimits;
pub use durability::Durability;
pub use hosts::{HostInfo, Hosts, Lease, LiveHost};
pub use messages::{MAX_PARAMETERS, MAX_WAITING_SIGNALS, Message, MessageKind, MessageOutcome, Signals};
pub use new_run::{MAX_CHILDREN, MAX_DEPTH, NewRun, Parent};
pub use pruning::{Pruned, Pruning};
pub use waits::{ChildWait, ChildWaits};

/// Error of a storage operation.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// The database can't be used now (full disk, I/O error). Nothing was changed. Events given to [`Log::append`] are kept
    /// and retried.
    #[error("storage is unavailable: {0}")]
    Unavailable(String),
    /// The caller no longer owns the run, or the run has ended, or the calling host was declared dead.
    #[error("this host no longer owns the run")]
    Fenced,
    /// The queue has reached its limit.
    #[error("the queue is full: {0} runs are waiting")]
    QueueFull(u64),
    /// Another run holds a lock, and the caller asked not to wait for it.
    #[error("another run holds {0}")]
    Busy(String),
    /// The run id or the idempotency key was used by a different request.
    #[error("{0}")]
    Conflict(String),
    /// The run would wait for a run that waits for it.
    #[error("{0}")]
    Deadlock(String),
    /// The run has reached a limit of its own.
    #[error("{0}")]
    Limit(String),
    /// Storage is closed, because the host is stopping.
    #[error("storage is closed")]
    Closed,
}

/// A result of storage.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// The host that claims a run, and the version to execute it with.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// The host.
    pub owner: HostId,
    /// The version that the attempt will execute.
    pub version: Version,
    /// Policy for when the host dies during the attempt.
    pub on_interrupt: OnInterrupt,
}

/// Result of submitting a [`NewRun`].
#[derive(Debug)]
pub enum SubmitOutcome {
    /// It waits in the queue.
    Queued(Run),
    /// It could start at once, and the claimant owns it.
    Claimed(Claimed),
    /// The same request was submitted before; this is its run.
    Existing(Run),
}

/// A run that the calling host has claimed.
#[derive(Debug)]
pub struct Claimed {
    /// The run as it is after the claim.
    pub run: Run,
    /// Accompanies every write to the run from now on.
    pub fence: Fence,
    /// The events that the claim wrote, oldest first; the last ones in the log.
    pub events: Vec<Event>,
    /// The number of the last event.
    pub last_seq: u64,
    /// Whether an earlier attempt has saved a checkpoint.
    pub has_checkpoint: bool,
    /// Whether it holds locks that other runs may wait for.
    pub has_locks: bool,
    /// Number of its ancestors.
    pub depth: u32,
    /// Policy for when the host dies during the attempt.
    pub on_interrupt: OnInterrupt,
}

/// State of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueState {
    /// Whether any run is queued that does not wait for a lock.
    pub queued: bool,
    /// When the first delayed run becomes due.
    pub next_due: Option<Timestamp>,
}

/// A task that a host can execute.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The task.
    pub task: TaskRef,
    /// The version that an attempt would execute.
    pub version: Version,
    /// How many more runs of it the host may execute.
    pub room: u32,
    /// Policy for when the host dies during the attempt.
    pub on_interrupt: OnInterrupt,
}

/// A request to claim queued runs.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The host.
    pub owner: HostId,
    /// Tasks of which runs may be claimed. Runs with the highest priority go first; for the same priority, one run of each
    /// task in turn, in this order.
    pub tasks: Vec<Offer>,
    /// Most runs to claim in all, by their depth.
    pub limits: DepthLimits,
}

/// Result of a request to cancel.
#[derive(Debug)]
pub enum CancelOutcome {
    /// There is no such run.
    NotFound,
    /// It was not running, and has now ended as cancelled.
    Ended(Run),
    /// It is running; its owner has to be notified.
    Requested {
        /// The run.
        run: Run,
        /// The number under which storage keeps the message; see [`MessageOutcome::Owner`].
        message: i64,
    },
    /// It had already ended.
    AlreadyEnded(Run),
}

/// Filter of a list of runs, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RunFilter {
    /// Only runs of this task.
    pub task: Option<TaskRef>,
    /// Only runs with one of these statuses; empty for all.
    pub statuses: Vec<RunStatus>,
    /// Only runs with all of these labels.
    pub labels: Vec<(String, String)>,
    /// Only children of this run.
    pub parent: Option<RunId>,
    /// Only runs submitted after this time. This and the next field order the list by that time and not by the number of
    /// the run; the two differ where the clock was set back.
    pub created_after: Option<Timestamp>,
    /// Only runs submitted before this time.
    pub created_before: Option<Timestamp>,
    /// Only runs after this position in the list.
    pub after: Option<ListCursor>,
    /// Only runs with a larger number than this, oldest first; excludes times.
    pub since: Option<i64>,
    /// Leave out large parts: the input is `null`, and the final value and an error's trace and details are missing.
    pub brief: bool,
    /// Most bytes in the large parts of all returned runs together; none for no limit. The first run is returned whatever
    /// its size.
    pub max_bytes: Option<u64>,
    /// Most runs to return.
    pub limit: u32,
}

/// The position of a run in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListCursor {
    /// Its number.
    pub no: i64,
    /// When the run was submitted.
    pub created_at: Timestamp,
}

impl RunFilter {
    /// Whether the list is ordered by the time of submission.
    pub const fn is_by_time(&self) -> bool {
        self.created_after.is_some() || self.created_before.is_some()
    }
}

impl From<&Run> for ListCursor {
    fn from(run: &Run) -> Self {
        Self { no: run.key.no, created_at: run.created_at }
    }
}

/// Most bytes in all checkpoints of one run together. Each save writes a whole checkpoint, so larger ones would be slow
/// long before they filled a disk.
pub const MAX_CHECKPOINT_BYTES_PER_RUN: u64 = 64 << 20;

/// Runs and their owners.
#[async_trait]
pub trait Runs: Send + Sync + 'static {
    /// Stores a new run. With a claimant, and if no earlier run of the task waits, the run is claimed in the same
    /// transaction.
    async fn submit(&self, run: NewRun, claimant: Option<Claimant>) -> Result<SubmitOutcome>;

    /// The state of the queue. Cheaper than a claim.
    async fn queue_state(&self) -> Result<QueueState>;

    /// Claims queued runs, and delayed ones that are due: within a task by priority, then the oldest first. A run whose lock
    /// another run holds is skipped, and considered again when that run has ended.
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>>;

    /// Adjusts delays after the clock was set back: runs that were delayed at a time that is now in the future wait for
    /// their delay from now on. Returns their number.
    async fn adjust_delays(&self) -> Result<u32>;

    /// Declares hosts dead whose lease has expired, and claims their runs without starting an attempt. The caller ends or
    /// requeues them. If the lease of `owner` itself has expired when this is executed, it declares none dead: the call may
    /// have waited for the database as long as they have, and they must have the time to renew their leases.
    async fn claim_orphans(&self, owner: &HostId, limit: u32) -> Result<Vec<Claimed>>;

    /// Puts a run back into the queue for a new attempt, with an event that gives the reason. With a time, the run is
    /// delayed until then. If its cancellation was requested, it ends as cancelled instead. Returns the events that were
    /// written: the notes of messages that were kept for the owner, then `event` or the terminal event.
    async fn requeue(
        &self,
        run: &RunKey,
        fence: Fence,
        event: NewEvent,
        not_before: Option<Timestamp>,
    ) -> Result<Vec<Event>>;

    /// Ends a run: writes its outcome and its terminal event. If its cancellation was requested, it ends as cancelled, with
    /// its value if it has one. Returns the events that were written: the notes of messages that were kept for the owner,
    /// then the terminal event.
    async fn finish(&self, run: &RunKey, fence: Fence, outcome: Outcome) -> Result<Vec<Event>>;

    /// Ends a queued run as cancelled, or records the request for a running one.
    async fn cancel(&self, run: &RunId) -> Result<CancelOutcome>;

    /// Runs of `owner` with a request to cancel.
    async fn cancel_requests(&self, owner: &HostId) -> Result<Vec<RunId>>;

    /// One run.
    async fn run(&self, id: &RunId) -> Result<Option<Run>>;

    /// Many runs.
    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>>;
}

/// Pending events of one run, to be appended together.
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
    /// Messages that these events note, or that need no note, by number. Storage stops to keep them in the transaction that
    /// appends the events, of which there may be none.
    pub heard: Vec<i64>,
}

/// Queue of one run's events that are not stored yet. The writer calls the methods, so they must not block.
pub trait Outbox: Send + Sync + 'static {
    /// The number of the run.
    fn run(&self) -> i64;

    /// Takes all pending events. Called once for each [`Log::append`].
    fn take(&self) -> Option<Batch>;

    /// Reports that the taken events are durable, or were rejected for good.
    fn done(&self, result: Result<Vec<Event>>);
}

/// Events of several runs, by the number of the run, and whether these are all that were asked for.
pub type EventsOfRuns = (Vec<(i64, Vec<Event>)>, bool);

/// Events and checkpoints.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Announces that `outbox` has events. They are taken, appended and committed together with other pending writes. Never
    /// blocks. Keeps the order of calls for each run, including all other writes to the run by its owner.
    fn append(&self, outbox: Arc<dyn Outbox>);

    /// Events of a run after `after`, oldest first: at most `limit`, and about 1 MiB of data, but at least one if there is
    /// one.
    async fn events(&self, run: i64, after: u64, limit: u32) -> Result<Vec<Event>>;

    /// Events of a run after `after` and up to number `to` that have one of `types`, oldest first, and the number up to
    /// which events were considered: `to`, or that of the last returned event if there is more than about 1 MiB of data.
    /// Much cheaper than reading all events.
    async fn events_of_types(
        &self,
        run: i64,
        after: u64,
        to: u64,
        types: &'static [&'static str],
    ) -> Result<(Vec<Event>, u64)>;

    /// Events of several runs, each after the number that is given with it: at most `limit` of each run, and about 2 MiB of
    /// data in all. In the order of the runs, without those that have no such event. And whether that is all: if not, the
    /// caller asks again from where it is now.
    async fn events_of_runs(&self, after: Vec<(i64, u64)>, limit: u32) -> Result<EventsOfRuns>;

    /// The number of the newest event; 0 if there is none.
    async fn last_seq(&self, run: i64) -> Result<u64>;

    /// Saves a value under the key, or removes it if `value` is none. Durable on return, with all events that were appended
    /// before. Retried until the database accepts it, like events.
    async fn save_checkpoint(
        &self,
        run: &RunKey,
        fence: Fence,
        key: String,
        value: Option<Vec<u8>>,
    ) -> Result<()>;

    /// The last saved value.
    async fn load_checkpoint(&self, run: i64, key: String) -> Result<Option<Vec<u8>>>;

    /// Whether writes succeed now; if not, the reason.
    fn health(&self) -> Result<()>;

    /// Further facts about its condition.
    fn condition(&self) -> Condition;

    /// Commits pending writes, then rejects all operations. Returns when the database is closed.
    async fn close(&self);
}

/// Child runs.
#[async_trait]
pub trait ChildRuns: Send + Sync + 'static {
    /// The first of these runs, in the order of the list, that is a child of the run `parent` and has ended: its place in
    /// the list, and its outcome.
    async fn first_ended(&self, parent: i64, children: Vec<RunId>) -> Result<Option<(usize, Outcome)>>;

    /// Attached runs whose parent has ended, except those that have ended or whose cancellation was requested.
    async fn abandoned(&self, limit: u32) -> Result<Vec<RunId>>;

    /// Describes the deadlock of which the waiting `run` is a part, through runs that wait for others and locks that they
    /// hold. None if it can continue, or if it only waits for runs in a deadlock: those get the error.
    async fn deadlock(&self, run: i64, waits: Arc<ChildWaits>) -> Result<Option<String>>;
}

/// Progress of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleProgress {
    /// The text of the schedule: a different one of the same name is another schedule.
    pub spec: String,
    /// All starts up to this time have been made.
    pub reached: Timestamp,
    /// Distinguishes starts at the same time: after the clock was set back, a time comes again.
    pub turn: i64,
}

/// Progress of schedules.
#[async_trait]
pub trait Schedules: Send + Sync + 'static {
    /// The progress of all schedules, by task and name.
    async fn schedules(&self) -> Result<Vec<(TaskRef, String, ScheduleProgress)>>;

    /// Stores the progress of a schedule if the stored progress is `from` (none: nothing is stored). If it is not, another
    /// host has followed the schedule meanwhile: changes nothing, and returns false.
    async fn advance_schedule(
        &self,
        task: &TaskRef,
        name: &str,
        from: Option<ScheduleProgress>,
        to: ScheduleProgress,
    ) -> Result<bool>;

    /// Removes the progress of a schedule. A later one of the same name is a new schedule.
    async fn forget_schedule(&self, task: &TaskRef, name: &str) -> Result<()>;
}

/// A storage backend.
pub trait Storage: Runs + Log + Signals + ChildRuns + Schedules + Hosts + Clients + Pruning {}
impl<T: Runs + Log + Signals + ChildRuns + Schedules + Hosts + Clients + Pruning> Storage for T {}
