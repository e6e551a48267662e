//! The event logs of two hosts over one SQLite database. The reads of each are counted.

#![allow(dead_code, reason = "each file of tests uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use streamtask_host::event_log::{EventLog, RunLog};
use streamtask_host::model::{
    Event, Fence, HostId, Json, NewEvent, OnInterrupt, Outcome, Run, RunId, RunKey, TaskRef, Timestamp,
    Version,
};
use streamtask_host::notifier::{LocalNotifier, Notifier};
use streamtask_host::storage::sqlite::Sqlite;
use streamtask_host::storage::{
    CancelOutcome, ClaimRequest, Claimant, Claimed, Condition, DepthLimits, Durability, EventsOfRuns,
    HostInfo, Hosts as _, Log, NewRun, Offer, Outbox, QueueState, Result, RunFilter, Runs, StorageError,
    SubmitOutcome,
};

/// Lease of the hosts. No test lasts that long.
const LEASE_MS: u32 = 600_000;

/// A storage that counts calls by name, and fails reads if asked to.
pub(crate) struct Counted {
    pub(crate) inner: Arc<Sqlite>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    fails: AtomicBool,
}

impl Counted {
    fn new(inner: Arc<Sqlite>) -> Arc<Self> {
        Arc::new(Self { inner, counts: Mutex::default(), fails: AtomicBool::new(false) })
    }

    fn call(&self, name: &'static str) -> Result<()> {
        *self.counts.lock().entry(name).or_default() += 1;
        match READS.contains(&name) && self.fails.load(Ordering::Relaxed) {
            true => Err(StorageError::Unavailable("as the test wants it".to_owned())),
            false => Ok(()),
        }
    }

    /// Makes reads fail from now on, or succeed again.
    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().clone()
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        self.counts.lock().get(name).copied().unwrap_or(0)
    }

    /// The number of reads.
    pub(crate) fn reads(&self) -> u64 {
        READS.iter().map(|name| self.count(name)).sum()
    }
}

/// The methods with which an event log reads.
const READS: &[&str] = &["events", "events_of_runs", "last_seq", "run"];

/// Implements a trait by the same methods of the inner storage.
macro_rules! delegate {
    ($of:ident { $(async fn $name:ident($($argument:ident: $ty:ty),*) -> $result:ty;)* } $($rest:tt)*) => {
        #[async_trait]
        impl $of for Counted {
            $(async fn $name(&self, $($argument: $ty),*) -> $result {
                self.call(stringify!($name))?;
                self.inner.$name($($argument),*).await
            })*
            $($rest)*
        }
    };
}

delegate! {
    Runs {
        async fn submit(run: NewRun, claimant: Option<Claimant>) -> Result<SubmitOutcome>;
        async fn queue_state() -> Result<QueueState>;
        async fn claim(request: ClaimRequest) -> Result<Vec<Claimed>>;
        async fn adjust_delays() -> Result<u32>;
        async fn claim_orphans(owner: &HostId, limit: u32) -> Result<Vec<Claimed>>;
        async fn requeue(
            run: &RunKey,
            fence: Fence,
            event: NewEvent,
            not_before: Option<Timestamp>
        ) -> Result<Vec<Event>>;
        async fn finish(run: &RunKey, fence: Fence, outcome: Outcome) -> Result<Vec<Event>>;
        async fn cancel(run: &RunId) -> Result<CancelOutcome>;
        async fn cancel_requests(owner: &HostId) -> Result<Vec<RunId>>;
        async fn run(id: &RunId) -> Result<Option<Run>>;
        async fn runs(filter: RunFilter) -> Result<Vec<Run>>;
    }
}

delegate! {
    Log {
        async fn events(run: i64, after: u64, limit: u32) -> Result<Vec<Event>>;
        async fn events_of_types(
            run: i64,
            after: u64,
            to: u64,
            types: &'static [&'static str]
        ) -> Result<(Vec<Event>, u64)>;
        async fn events_of_runs(
            after: Vec<(i64, u64)>,
            limit: u32
        ) -> Result<EventsOfRuns>;
        async fn last_seq(run: i64) -> Result<u64>;
        async fn save_checkpoint(
            run: &RunKey,
            fence: Fence,
            key: String,
            value: Option<Vec<u8>>
        ) -> Result<()>;
        async fn load_checkpoint(run: i64, key: String) -> Result<Option<Vec<u8>>>;
    }

    fn append(&self, outbox: Arc<dyn Outbox>) {
        self.inner.append(outbox);
    }

    fn health(&self) -> Result<()> {
        self.inner.health()
    }

    fn condition(&self) -> Condition {
        self.inner.condition()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// A host, as far as its event log goes.
pub(crate) struct Host {
    pub(crate) storage: Arc<Counted>,
    pub(crate) log: Arc<EventLog>,
    owner: HostId,
}

impl Host {
    pub(crate) fn new(storage: &Arc<Sqlite>, notifier: Arc<dyn Notifier>) -> Self {
        let storage = Counted::new(Arc::clone(storage));
        let (runs, events) = (Arc::clone(&storage) as Arc<dyn Runs>, Arc::clone(&storage) as Arc<dyn Log>);
        Self { log: EventLog::over(runs, events, notifier), storage, owner: HostId::new() }
    }

    /// Starts a run, which this host executes.
    pub(crate) async fn start(&self) -> (RunKey, Arc<RunLog>) {
        self.storage.inner.register(&HostInfo::new(self.owner.clone()), LEASE_MS).await.unwrap();
        let run = NewRun::new(RunId::new(), task(), Json::null(), Timestamp::now());
        let claimant = Claimant {
            owner: self.owner.clone(),
            version: Version::of(b"a"),
            on_interrupt: OnInterrupt::Resume,
        };
        let SubmitOutcome::Claimed(claimed) = self.storage.submit(run, Some(claimant)).await.unwrap() else {
            panic!("a run that starts at once is claimed");
        };
        (claimed.run.key.clone(), self.log.open(&claimed))
    }

    /// Claims the queued run.
    pub(crate) async fn claim(&self) -> Arc<RunLog> {
        self.storage.inner.register(&HostInfo::new(self.owner.clone()), LEASE_MS).await.unwrap();
        let offer =
            Offer { task: task(), version: Version::of(b"a"), room: 1, on_interrupt: OnInterrupt::Resume };
        let limits = DepthLimits::all(1);
        let request = ClaimRequest { owner: self.owner.clone(), tasks: vec![offer], limits };
        self.log.open(&self.storage.claim(request).await.unwrap()[0])
    }
}

fn task() -> TaskRef {
    TaskRef::parse("test", "a").unwrap()
}

/// Two hosts on one database.
pub(crate) struct Hosts {
    pub(crate) a: Host,
    pub(crate) b: Host,
    _folder: tempfile::TempDir,
}

impl Hosts {
    /// Hosts whose hints arrive at once.
    pub(crate) fn new() -> Self {
        let notifier = LocalNotifier::between_hosts();
        Self::with_notifiers(notifier.clone(), notifier)
    }

    pub(crate) fn with_notifiers(of_a: impl Notifier, of_b: impl Notifier) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(Sqlite::open(folder.path(), Durability::Normal).unwrap());
        let (a, b) = (Host::new(&storage, Arc::new(of_a)), Host::new(&storage, Arc::new(of_b)));
        Self { a, b, _folder: folder }
    }
}
