//! Follows runs that other hosts execute, for the subscribers of this host.
//!
//! A run has one [`Follower`] here, however many subscribers it has. One task reads the new events of all followed runs
//! together: of those that a hint names, as soon as it has read the last ones, and of all of them once a second, because
//! hints can be lost. So the cost of a followed run is one read of each group of its events, and one copy and encoding.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::Shared;
use super::follower::{Ending, Follower};
use super::pages;
use crate::model::RunKey;
use crate::notifier::{Listener, Notifier, Topic};
use crate::storage::{Log, Result, Runs};

/// Interval at which all followed runs are read, in case a hint was lost.
const POLL: Duration = Duration::from_secs(1);
/// Most runs in one read, so that those with news don't wait for a read of thousands.
const RUNS_OF_READ: usize = 100;
/// Most events of one run in one read: as many as a full outbox gives to one commit.
const EVENTS_OF_READ: u32 = 2048;
/// Runs that are looked up in each [`POLL`]: whether they still exist, and have not ended. Events tell that of most. The
/// rest waits for the next turns.
const LOOKED_UP: usize = 16;

/// All runs that this host follows.
pub(super) struct Followers {
    followed: Arc<Followed>,
    /// The task that reads for all. It is started by the first follower, and stopped with this.
    reading: Mutex<Option<AbortOnDropHandle<()>>>,
}

struct Followed {
    storage: Arc<dyn Runs>,
    events: Arc<dyn Log>,
    notifier: Arc<dyn Notifier>,
    shared: Arc<Shared>,
    /// By run number. The next poll removes those of dropped followers.
    runs: Mutex<BTreeMap<i64, Weak<Follower>>>,
    /// Followers that the reading task does not know yet.
    arrivals: Mutex<Vec<Hints>>,
    /// Notified when there are arrivals.
    arrived: Notify,
}

impl Followed {
    /// The follower of a run, if it has one that is open.
    fn get(&self, run: i64) -> Option<Arc<Follower>> {
        let follower = self.runs.lock().get(&run).and_then(Weak::upgrade);
        follower.filter(|follower| !follower.window().is_closed())
    }

    /// Begins a follower: its window has the events that are in no full page yet. All others are read in pages.
    async fn start(&self, follower: &Follower) -> Result<()> {
        if !self.has_ended(follower).await? {
            let newest = self.events.last_seq(follower.run().no).await?;
            // The newest event itself is read again, because it may be the terminal one by now.
            follower.start(pages::begin(newest.saturating_sub(1)));
        }
        Ok(())
    }

    /// Closes the follower of a run that has ended or was removed. Returns whether it has.
    async fn has_ended(&self, follower: &Follower) -> Result<bool> {
        let run = self.storage.run(&follower.run().id).await?;
        // Another run may have the id now.
        let ending = match run.filter(|run| run.key.no == follower.run().no) {
            None => Ending::Removed,
            Some(run) => match run.last_seq {
                None => return Ok(false),
                Some(last) => Ending::Ended(last),
            },
        };
        follower.close(Some(ending));
        Ok(true)
    }
}

/// The hints about one followed run, until it is dropped.
struct Hints {
    run: i64,
    listener: Listener,
    dropped: Arc<Notify>,
}

impl Hints {
    /// Waits for a hint. Returns none when nobody follows the run any more.
    async fn wait(self) -> Option<Self> {
        tokio::select! {
            biased;
            () = self.dropped.notified() => None,
            () = self.listener.heard() => Some(self),
        }
    }
}

impl Followers {
    pub(super) fn new(
        storage: Arc<dyn Runs>,
        events: Arc<dyn Log>,
        notifier: Arc<dyn Notifier>,
        shared: Arc<Shared>,
    ) -> Self {
        let (runs, arrivals, arrived) = Default::default();
        let followed = Followed { storage, events, notifier, shared, runs, arrivals, arrived };
        Self { followed: Arc::new(followed), reading: Mutex::default() }
    }

    /// The follower of a run, if it has one.
    pub(super) fn get(&self, run: i64) -> Option<Arc<Follower>> {
        self.followed.get(run)
    }

    /// The follower of a run, which is made if it has none.
    pub(super) fn follow(&self, run: &RunKey) -> Arc<Follower> {
        let followed = &self.followed;
        let mut runs = followed.runs.lock();
        if let Some(follower) = runs.get(&run.no).and_then(Weak::upgrade)
            && !follower.window().is_closed()
        {
            return follower;
        }
        let follower = Arc::new(Follower::new(run.clone(), Arc::clone(&followed.shared)));
        // Before its first read, so that no event is missed between the two.
        let listener = followed.notifier.listen(Topic::Run(run.id.clone()));
        runs.insert(run.no, Arc::downgrade(&follower));
        drop(runs);
        followed.arrivals.lock().push(Hints { run: run.no, listener, dropped: follower.dropped() });
        followed.arrived.notify_one();
        self.ensure_reading();
        follower
    }

    /// Starts the reading task unless it runs. It may have ended with the runtime of the subscriber that started it: then the
    /// new one hears no hints about earlier followers, and reads them at each poll.
    fn ensure_reading(&self) {
        let mut reading = self.reading.lock();
        if reading.as_ref().is_none_or(AbortOnDropHandle::is_finished) {
            let task = ReadingTask::new(Arc::clone(&self.followed));
            *reading = Some(AbortOnDropHandle::new(tokio::spawn(task.read_all())));
        }
    }

    /// Stops to follow a run: it executes here.
    pub(super) fn close(&self, run: i64) {
        if let Some(follower) = self.get(run) {
            follower.close(None);
        }
    }
}

/// Waits for a hint. `Sync`, because the reading task is borrowed while it waits for storage.
type Waiting = Pin<Box<dyn Future<Output = Option<Hints>> + Send + Sync>>;

/// Reads the followed runs.
struct ReadingTask {
    followed: Arc<Followed>,
    hints: FuturesUnordered<Waiting>,
    /// Runs that may have new events.
    due: BTreeSet<i64>,
    /// Runs that have more new events than the last read brought.
    flooding: BTreeSet<i64>,
    next_poll: Instant,
    /// The run that was looked up last.
    looked_up: i64,
    /// Whether the last read failed.
    failing: bool,
}

impl ReadingTask {
    fn new(followed: Arc<Followed>) -> Self {
        Self {
            followed,
            hints: FuturesUnordered::new(),
            due: BTreeSet::new(),
            flooding: BTreeSet::new(),
            next_poll: Instant::now() + POLL,
            looked_up: 0,
            failing: false,
        }
    }

    async fn read_all(mut self) {
        loop {
            if self.due.is_empty() && self.flooding.is_empty() {
                self.wait().await;
            }
            self.take_hints();
            let polls = self.next_poll <= Instant::now();
            if polls {
                self.poll();
            }
            let read = self.read_due().await;
            let looked_up = if polls && read.is_ok() { self.look_up().await } else { Ok(()) };
            self.report(read.and(looked_up));
        }
    }

    /// Waits for something to do.
    async fn wait(&mut self) {
        let follows_any = !self.followed.runs.lock().is_empty();
        tokio::select! {
            biased;
            () = self.followed.arrived.notified() => {}
            Some(hints) = self.hints.next() => self.take(hints),
            () = sleep_until(self.next_poll), if follows_any => {}
        }
    }

    fn poll(&mut self) {
        self.next_poll = Instant::now() + POLL;
        let mut runs = self.followed.runs.lock();
        runs.retain(|_, follower| follower.strong_count() > 0);
        self.due.extend(runs.keys());
    }

    /// Takes all arrivals and hints, so that one read covers them.
    fn take_hints(&mut self) {
        let arrivals = std::mem::take(&mut *self.followed.arrivals.lock());
        for hints in arrivals {
            self.take(Some(hints));
        }
        while let Some(Some(hints)) = self.hints.next().now_or_never() {
            self.take(hints);
        }
    }

    fn take(&mut self, hints: Option<Hints>) {
        if let Some(hints) = hints {
            self.due.insert(hints.run);
            self.hints.push(Box::pin(hints.wait()));
        }
    }

    /// Reads the runs that are due. After an error, they wait for the next poll.
    async fn read_due(&mut self) -> Result<()> {
        // Runs that had more than one read brings come last, or a flood of one would hold up all others.
        let flooding = std::mem::take(&mut self.flooding);
        let due = std::mem::take(&mut self.due).into_iter().filter(|run| !flooding.contains(run));
        let runs: Vec<i64> = due.chain(flooding.iter().copied()).collect();
        for some in runs.chunks(RUNS_OF_READ) {
            let followers: Vec<_> = some.iter().filter_map(|run| self.followed.get(*run)).collect();
            for follower in followers.iter().filter(|follower| follower.head().is_none()) {
                self.followed.start(follower).await?;
            }
            self.read(&followers).await?;
        }
        Ok(())
    }

    /// Reads and publishes the new events of some runs.
    async fn read(&mut self, followers: &[Arc<Follower>]) -> Result<()> {
        let open = followers.iter().filter(|follower| !follower.window().is_closed());
        let after: Vec<_> = open.filter_map(|open| Some((open.run().no, open.head()?))).collect();
        if after.is_empty() {
            return Ok(());
        }
        let asked = after.iter().map(|(run, _)| *run).collect::<Vec<_>>();
        let (found, is_all) = self.followed.events.events_of_runs(after, EVENTS_OF_READ).await?;
        if !is_all {
            let flooding = found.iter().map(|(run, _)| *run);
            self.flooding.extend(flooding);
            self.due.extend(asked.iter().filter(|run| !self.flooding.contains(*run)));
        }
        let mut followers = followers.iter();
        for (run, events) in found {
            // In the same order.
            if let Some(follower) = followers.find(|follower| follower.run().no == run) {
                follower.publish(events);
            }
        }
        Ok(())
    }

    /// Looks up some runs: an end of which no event tells, because it was removed before it was read here.
    async fn look_up(&mut self) -> Result<()> {
        let later = (Bound::Excluded(self.looked_up), Bound::Unbounded);
        let next: Vec<i64> =
            self.followed.runs.lock().range(later).take(LOOKED_UP).map(|(run, _)| *run).collect();
        self.looked_up = if next.len() < LOOKED_UP { 0 } else { next[LOOKED_UP - 1] };
        for follower in next.into_iter().filter_map(|run| self.followed.get(run)) {
            self.followed.has_ended(&follower).await?;
        }
        Ok(())
    }

    fn report(&mut self, read: Result<()>) {
        let failed = std::mem::replace(&mut self.failing, read.is_err());
        if let Err(error) = read
            && !failed
        {
            tracing::warn!(%error, "failed to read the events of runs that other hosts execute; trying again");
        }
    }
}
