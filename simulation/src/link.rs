//! The connection of one host to the database that it shares with others. It can be cut for a time, or for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use parking_lot::Mutex;
use streamtask_host::model::{
    Amount, EndPosition, EndedFilter, EndedRun, Event, Fence, HostId, Json, NewEvent, Outcome, Part, Run,
    RunId, RunKey, Signal, SignalName, TaskRef, Timestamp, Version,
};
use streamtask_host::storage::{
    CancelOutcome, ChildRuns, ChildWaits, ClaimRequest, Claimant, Claimed, Clients, Condition, EventsOfRuns,
    HostInfo, Hosts, Lease, LiveHost, Log, Message, MessageOutcome, NewRun, Outbox, Pruned, Pruning,
    QueueState, Result, RunFilter, Runs, ScheduleProgress, Schedules, Signals, Storage, StorageError,
    SubmitOutcome,
};
use tokio::sync::Notify;

/// What passes through a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passing {
    All,
    /// Calls and their answers wait.
    Nothing,
    /// Calls fail, and answers never come: the host is dead.
    Never,
}

/// A storage through a connection of its own.
pub(crate) struct Link {
    storage: Arc<dyn Storage>,
    passing: Mutex<Passing>,
    /// Whether renewals of the lease wait.
    renewals_wait: AtomicBool,
    /// Notified when one of both changes. Wakes those who wait in their order, which a watch channel does not.
    changed: Notify,
    /// Outboxes that were announced while nothing passed. Each has this storage.
    announced: Mutex<Vec<Weak<dyn Outbox>>>,
}

impl Link {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Arc<Self> {
        Arc::new(Self {
            storage,
            passing: Mutex::new(Passing::All),
            renewals_wait: AtomicBool::new(false),
            changed: Notify::new(),
            announced: Mutex::default(),
        })
    }

    /// Lets nothing pass until it is restored.
    pub(crate) fn cut(&self) {
        self.change(Passing::Nothing);
    }

    /// Whether everything passes in time.
    pub(crate) fn is_whole(&self) -> bool {
        *self.passing.lock() == Passing::All && !self.renewals_wait.load(Ordering::SeqCst)
    }

    /// Lets everything pass again, in the order in which it was sent.
    pub(crate) fn restore(&self) {
        // Before all calls that wait: each run's writes keep their order.
        for outbox in self.take_announced() {
            self.storage.append(outbox);
        }
        self.change(Passing::All);
    }

    /// Lets nothing pass any more.
    pub(crate) fn sever(&self) {
        self.change(Passing::Never);
        self.take_announced().into_iter().for_each(refuse);
    }

    fn change(&self, to: Passing) {
        let mut passing = self.passing.lock();
        if *passing != Passing::Never {
            *passing = to;
        }
        drop(passing);
        self.changed.notify_waiters();
    }

    fn take_announced(&self) -> Vec<Arc<dyn Outbox>> {
        let announced = std::mem::take(&mut *self.announced.lock());
        announced.iter().filter_map(Weak::upgrade).collect()
    }

    /// Makes renewals of the lease wait, or ends that.
    pub(crate) fn delay_renewals(&self, wait: bool) {
        self.renewals_wait.store(wait, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Waits until calls and answers pass.
    async fn pass(&self) -> Result<()> {
        loop {
            let changed = self.changed.notified();
            let passing = *self.passing.lock();
            match passing {
                Passing::All => return Ok(()),
                Passing::Never => return Err(StorageError::Closed),
                Passing::Nothing => changed.await,
            }
        }
    }

    async fn renewals_pass(&self) -> Result<()> {
        loop {
            let changed = self.changed.notified();
            if *self.passing.lock() == Passing::Never || !self.renewals_wait.load(Ordering::SeqCst) {
                return self.pass().await;
            }
            changed.await;
        }
    }
}

fn refuse(outbox: Arc<dyn Outbox>) {
    if outbox.take().is_some() {
        outbox.done(Err(StorageError::Closed));
    }
}

/// Makes a call. Its answer has to pass, too.
macro_rules! through {
    ($link:ident.$call:ident($($argument:expr),*)) => {{
        $link.pass().await?;
        let answer = $link.storage.$call($($argument),*).await;
        $link.pass().await?;
        answer
    }};
}

#[async_trait]
impl Runs for Link {
    async fn submit(&self, run: NewRun, claimant: Option<Claimant>) -> Result<SubmitOutcome> {
        through!(self.submit(run, claimant))
    }

    async fn queue_state(&self) -> Result<QueueState> {
        through!(self.queue_state())
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>> {
        through!(self.claim(request))
    }

    async fn adjust_delays(&self) -> Result<u32> {
        through!(self.adjust_delays())
    }

    async fn claim_orphans(&self, owner: &HostId, limit: u32) -> Result<Vec<Claimed>> {
        through!(self.claim_orphans(owner, limit))
    }

    async fn requeue(
        &self,
        run: &RunKey,
        fence: Fence,
        event: NewEvent,
        not_before: Option<Timestamp>,
    ) -> Result<Vec<Event>> {
        through!(self.requeue(run, fence, event, not_before))
    }

    async fn finish(&self, run: &RunKey, fence: Fence, outcome: Outcome) -> Result<Vec<Event>> {
        through!(self.finish(run, fence, outcome))
    }

    async fn cancel(&self, run: &RunId) -> Result<CancelOutcome> {
        through!(self.cancel(run))
    }

    async fn cancel_requests(&self, owner: &HostId) -> Result<Vec<RunId>> {
        through!(self.cancel_requests(owner))
    }

    async fn run(&self, id: &RunId) -> Result<Option<Run>> {
        through!(self.run(id))
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>> {
        through!(self.runs(filter))
    }
}

#[async_trait]
impl Log for Link {
    fn append(&self, outbox: Arc<dyn Outbox>) {
        let passing = *self.passing.lock();
        match passing {
            Passing::All => self.storage.append(outbox),
            Passing::Nothing => self.announced.lock().push(Arc::downgrade(&outbox)),
            Passing::Never => refuse(outbox),
        }
    }

    async fn events(&self, run: i64, after: u64, limit: u32) -> Result<Vec<Event>> {
        through!(self.events(run, after, limit))
    }

    async fn events_of_types(
        &self,
        run: i64,
        after: u64,
        to: u64,
        types: &'static [&'static str],
    ) -> Result<(Vec<Event>, u64)> {
        through!(self.events_of_types(run, after, to, types))
    }

    async fn events_of_runs(&self, after: Vec<(i64, u64)>, limit: u32) -> Result<EventsOfRuns> {
        through!(self.events_of_runs(after, limit))
    }

    async fn last_seq(&self, run: i64) -> Result<u64> {
        through!(self.last_seq(run))
    }

    async fn save_checkpoint(
        &self,
        run: &RunKey,
        fence: Fence,
        key: String,
        value: Option<Vec<u8>>,
    ) -> Result<()> {
        through!(self.save_checkpoint(run, fence, key, value))
    }

    async fn load_checkpoint(&self, run: i64, key: String) -> Result<Option<Vec<u8>>> {
        through!(self.load_checkpoint(run, key))
    }

    fn health(&self) -> Result<()> {
        self.storage.health()
    }

    fn condition(&self) -> Condition {
        self.storage.condition()
    }

    /// The database stays open for the other hosts.
    async fn close(&self) {}
}

#[async_trait]
impl Signals for Link {
    async fn set_paused(&self, run: &RunId, paused: bool) -> Result<MessageOutcome> {
        through!(self.set_paused(run, paused))
    }

    async fn signal(&self, run: &RunId, signal: Signal) -> Result<MessageOutcome> {
        through!(self.signal(run, signal))
    }

    async fn take_signal(
        &self,
        run: &RunKey,
        fence: Fence,
        name: Option<SignalName>,
    ) -> Result<Option<Signal>> {
        through!(self.take_signal(run, fence, name))
    }

    async fn set_parameter(&self, run: &RunId, name: SignalName, value: Json) -> Result<MessageOutcome> {
        through!(self.set_parameter(run, name, value))
    }

    async fn log_message(&self, run: &RunId, event: NewEvent) -> Result<MessageOutcome> {
        through!(self.log_message(run, event))
    }

    async fn parameters(&self, run: i64) -> Result<Vec<(SignalName, Json)>> {
        through!(self.parameters(run))
    }

    async fn messages(&self, owner: &HostId, limit: u32) -> Result<Vec<Message>> {
        through!(self.messages(owner, limit))
    }

    async fn is_noted(&self, message: i64) -> Result<bool> {
        through!(self.is_noted(message))
    }
}

#[async_trait]
impl ChildRuns for Link {
    async fn first_ended(&self, parent: i64, children: Vec<RunId>) -> Result<Option<(usize, Outcome)>> {
        through!(self.first_ended(parent, children))
    }

    async fn abandoned(&self, limit: u32) -> Result<Vec<RunId>> {
        through!(self.abandoned(limit))
    }

    async fn deadlock(&self, run: i64, waits: Arc<ChildWaits>) -> Result<Option<String>> {
        through!(self.deadlock(run, waits))
    }
}

#[async_trait]
impl Schedules for Link {
    async fn schedules(&self) -> Result<Vec<(TaskRef, String, ScheduleProgress)>> {
        through!(self.schedules())
    }

    async fn advance_schedule(
        &self,
        task: &TaskRef,
        name: &str,
        from: Option<ScheduleProgress>,
        to: ScheduleProgress,
    ) -> Result<bool> {
        through!(self.advance_schedule(task, name, from, to))
    }

    async fn forget_schedule(&self, task: &TaskRef, name: &str) -> Result<()> {
        through!(self.forget_schedule(task, name))
    }
}

#[async_trait]
impl Hosts for Link {
    async fn register(&self, host: &HostInfo, lease_ms: u32) -> Result<Lease> {
        self.renewals_pass().await?;
        through!(self.register(host, lease_ms))
    }

    async fn renew_lease(&self, owner: &HostId, lease_ms: u32) -> Result<Lease> {
        self.renewals_pass().await?;
        through!(self.renew_lease(owner, lease_ms))
    }

    async fn leave(&self, owner: &HostId) -> Result<()> {
        through!(self.leave(owner))
    }

    async fn hosts(&self) -> Result<Vec<LiveHost>> {
        through!(self.hosts())
    }

    async fn offer(&self, owner: &HostId, tasks: &[(TaskRef, Version)]) -> Result<()> {
        through!(self.offer(owner, tasks))
    }

    async fn offered(&self) -> Result<Vec<TaskRef>> {
        through!(self.offered())
    }

    async fn hold_duty(&self, duty: &'static str, owner: &HostId, ms: u32) -> Result<bool> {
        through!(self.hold_duty(duty, owner, ms))
    }
}

#[async_trait]
impl Clients for Link {
    async fn set_clients(&self, run: &RunKey, host: &HostId, clients: u32) -> Result<()> {
        through!(self.set_clients(run, host, clients))
    }

    async fn without_clients(&self, since_ms: u32, limit: u32) -> Result<Vec<RunId>> {
        through!(self.without_clients(since_ms, limit))
    }
}

#[async_trait]
impl Pruning for Link {
    async fn tasks(&self) -> Result<Vec<TaskRef>> {
        through!(self.tasks())
    }

    async fn ended_beyond(&self, task: &TaskRef, newest: u64) -> Result<Option<EndPosition>> {
        through!(self.ended_beyond(task, newest))
    }

    async fn ended(
        &self,
        task: &TaskRef,
        from: EndPosition,
        to: EndPosition,
        which: EndedFilter,
        limit: u32,
    ) -> Result<Vec<EndedRun>> {
        through!(self.ended(task, from, to, which, limit))
    }

    async fn measure(&self, runs: Vec<i64>, part: Part) -> Result<Amount> {
        through!(self.measure(runs, part))
    }

    async fn prune(&self, runs: Vec<i64>, part: Part) -> Result<Pruned> {
        through!(self.prune(runs, part))
    }

    async fn without_events(&self, task: &TaskRef) -> Result<EndPosition> {
        through!(self.without_events(task))
    }

    async fn set_without_events(&self, task: &TaskRef, to: EndPosition) -> Result<()> {
        through!(self.set_without_events(task, to))
    }

    async fn rules(&self) -> Result<Vec<(TaskRef, String)>> {
        through!(self.rules())
    }

    async fn set_rules(&self, rules: Vec<(TaskRef, String)>) -> Result<()> {
        through!(self.set_rules(rules))
    }

    async fn clock(&self) -> Result<Option<(Timestamp, bool)>> {
        through!(self.clock())
    }

    async fn set_clock(&self, believed: Timestamp, doubted: bool) -> Result<()> {
        through!(self.set_clock(believed, doubted))
    }

    async fn shrink(&self) -> Result<bool> {
        through!(self.shrink())
    }
}
