//! Event logs of runs: events are appended, committed, then delivered to subscribers.
//!
//! The hot path of the host goes through this room:
//! guest → [`RunLog::send`] → storage's group commit → [`Outbox::done`] →
//! window → every [`Subscription`]. Nothing is published before it is durable.
//!
//! Each running run has a [`RunLog`]: a bounded outbox towards storage, and a window of its newest events for subscribers. A
//! run that another host executes has a follower with such a window, as long as it has subscribers here. A subscriber
//! owns no queue: it is a cursor, and reads from the window or, if it is further behind, from storage, in pages that are
//! shared too.
//!
//! Knows nothing of formats, connections, or of how a run is executed. Formats can cache their encoding of a segment
//! ([`Segment::encoded`]).
//!
//! [`Outbox::done`]: crate::storage::Outbox::done

mod follower;
mod followers;
mod pages;
mod run_log;
mod subscription;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use parking_lot::Mutex;

use crate::model::{NewEvent, Outcome, RunId, RunKey, Timestamp};
use crate::notifier::{Listener, Notifier, Topic};
use crate::storage::{Claimed, Log, Result, Runs, Storage};

use self::follower::{Ending, Follower};
use self::followers::Followers;
use self::pages::Pages;
use self::window::Window;

pub use run_log::RunLog;
pub use subscription::{Delivery, Position, Subscription};
pub use window::{Encoded, Segment};

/// Most bytes of events in one window.
const WINDOW_BYTES: usize = 1 << 20;
/// Bytes that all windows share. With many runs, each window is smaller, down to [`WINDOW_MIN_BYTES`].
const WINDOW_BYTES_IN_ALL: usize = 64 << 20;
/// Least bytes of one window: some events for subscribers that are close to the end.
const WINDOW_MIN_BYTES: usize = 4 << 10;

/// The event logs of all runs.
pub struct EventLog {
    runs: Arc<dyn Runs>,
    events: Arc<dyn Log>,
    pages: Pages,
    /// Hears of runs that any host has removed.
    removals: Listener,
    notifier: Arc<dyn Notifier>,
    /// Runs that this host executes, by id.
    live: Mutex<HashMap<RunId, Arc<RunLog>>>,
    /// Runs with subscribers here that this host does not execute.
    followers: Followers,
    shared: Arc<Shared>,
}

/// Totals over all running runs, which bound their memory and how long they delay other writes.
#[derive(Default)]
struct Shared {
    /// Number of windows: of running runs and of followed ones.
    windows: AtomicUsize,
    /// Weight of all outboxes.
    waiting: AtomicUsize,
}

impl Shared {
    fn add_window(&self) {
        self.windows.fetch_add(1, Ordering::Relaxed);
    }

    fn remove_window(&self) {
        self.windows.fetch_sub(1, Ordering::Relaxed);
    }

    /// Most bytes of events in one window, as many as there are now.
    fn window_bytes(&self) -> usize {
        let windows = self.windows.load(Ordering::Relaxed).max(1);
        (WINDOW_BYTES_IN_ALL / windows).clamp(WINDOW_MIN_BYTES, WINDOW_BYTES)
    }
}

impl EventLog {
    /// Without any running run.
    pub fn new(storage: Arc<dyn Storage>, notifier: Arc<dyn Notifier>) -> Arc<Self> {
        Self::over(Arc::clone(&storage) as Arc<dyn Runs>, storage as Arc<dyn Log>, notifier)
    }

    /// The same over the parts of a storage backend that it needs.
    pub fn over(runs: Arc<dyn Runs>, events: Arc<dyn Log>, notifier: Arc<dyn Notifier>) -> Arc<Self> {
        let shared = Arc::<Shared>::default();
        Arc::new(Self {
            pages: Pages::new(Arc::clone(&events)),
            removals: notifier.listen(Topic::Removed),
            live: Mutex::default(),
            followers: Followers::new(
                Arc::clone(&runs),
                Arc::clone(&events),
                Arc::clone(&notifier),
                Arc::clone(&shared),
            ),
            runs,
            events,
            notifier,
            shared,
        })
    }

    /// Opens the log of a claimed run for its attempt.
    pub fn open(&self, claimed: &Claimed) -> Arc<RunLog> {
        let (events, notifier) = (Arc::clone(&self.events), Arc::clone(&self.notifier));
        let log = RunLog::new(claimed, events, notifier, Arc::clone(&self.shared));
        self.live.lock().insert(claimed.run.key.id.clone(), Arc::clone(&log));
        // After the insertion: a subscriber that follows the run now looks for its log again.
        self.followers.close(claimed.run.key.no);
        // Subscribers that waited while the run was queued now find its log here.
        self.notifier.notify(&Topic::Run(claimed.run.key.id.clone()));
        self.notifier.notify(&Topic::Runs);
        log
    }

    /// Ends a run after all events that it has sent. When this returns, the terminal event is durable and published.
    pub async fn finish(&self, log: &Arc<RunLog>, outcome: Outcome) -> Result<()> {
        let finished = self.runs.finish(log.run(), log.fence(), outcome).await;
        let result = finished.map(|events| log.publish_last(events));
        self.close(log);
        result
    }

    /// Puts a run back into the queue for another attempt, after all events that it has sent. `event` gives the reason. With a
    /// time, the run is delayed until then.
    pub async fn requeue(
        &self,
        log: &Arc<RunLog>,
        event: NewEvent,
        not_before: Option<Timestamp>,
    ) -> Result<()> {
        let requeued = self.runs.requeue(log.run(), log.fence(), event, not_before).await;
        self.close(log);
        requeued.map(drop)
    }

    /// Closes the log: this host no longer executes the run. Subscribers continue from storage.
    pub fn close(&self, log: &Arc<RunLog>) {
        let id = &log.run().id;
        let mut live = self.live.lock();
        // A later attempt may have opened its own log meanwhile.
        if live.get(id).is_some_and(|current| Arc::ptr_eq(current, log)) {
            live.remove(id);
        }
        drop(live);
        log.detach();
        self.notifier.notify(&Topic::Run(id.clone()));
        self.notifier.notify(&Topic::Runs);
    }

    /// Subscribes to a run from a position. `run` must exist.
    pub async fn subscribe(self: &Arc<Self>, run: RunKey, position: Position) -> Result<Subscription> {
        Subscription::new(Arc::clone(self), run, position).await
    }

    /// Drops cached events of these ended runs after they were removed. Subscribers find a gap from now on.
    pub fn forget(&self, runs: &[i64]) {
        self.pages.forget(runs);
        self.notifier.notify(&Topic::Runs);
        if self.notifier.reaches_others() {
            self.notifier.notify(&Topic::Removed);
        }
    }

    /// The pages of all runs, without those that are known to be outdated.
    fn pages(&self) -> &Pages {
        // A hint does not say which runs another host has removed.
        if self.notifier.reaches_others() && self.removals.heard().now_or_never().is_some() {
            self.pages.clear();
        }
        &self.pages
    }

    /// The number of a run's newest durable event; 0 if there is none. Asks storage about a run of another host: a client that
    /// comes from that host may have events that have not arrived here yet.
    pub async fn head(&self, run: &RunKey) -> Result<u64> {
        match self.live(run) {
            Some(log) => Ok(log.window().head()),
            None => self.events.last_seq(run.no).await,
        }
    }

    /// The number of the newest event that subscribers here can have. Like [`head`](Self::head), but cheap also for a run of
    /// another host that has subscribers.
    pub async fn published_head(&self, run: &RunKey) -> Result<u64> {
        match self.source(run).and_then(|source| source.head()) {
            Some(head) => Ok(head),
            None => self.events.last_seq(run.no).await,
        }
    }

    fn live(&self, run: &RunKey) -> Option<Arc<RunLog>> {
        let live = self.live.lock();
        // After a run was removed, another may have its id.
        live.get(&run.id).filter(|log| log.run().no == run.no).cloned()
    }

    /// What has the newest events of a run, besides storage.
    fn source(&self, run: &RunKey) -> Option<Source> {
        if let Some(log) = self.live(run) {
            return Some(Source::Own(log));
        }
        // A host that is alone follows nothing.
        if !self.notifier.reaches_others() {
            return None;
        }
        self.followers.get(run.no).map(Source::Followed)
    }

    /// Follows a run that this host does not execute, if another one may.
    fn follow(&self, run: &RunKey) -> Option<Source> {
        if !self.notifier.reaches_others() {
            return None;
        }
        let follower = self.followers.follow(run);
        if let Some(log) = self.live(run) {
            // It was claimed here meanwhile, perhaps before there was a follower to close.
            follower.close(None);
            return Some(Source::Own(log));
        }
        Some(Source::Followed(follower))
    }
}

/// The holder of a run's newest events.
#[derive(Clone)]
enum Source {
    /// The run executes here.
    Own(Arc<RunLog>),
    /// It does not, and its events are read for all subscribers here.
    Followed(Arc<Follower>),
}

impl Source {
    fn window(&self) -> &Window {
        match self {
            Self::Own(log) => log.window(),
            Self::Followed(follower) => follower.window(),
        }
    }

    /// The number of the newest event; none if it is not known yet.
    fn head(&self) -> Option<u64> {
        match self {
            Self::Own(log) => Some(log.window().head()),
            Self::Followed(follower) => follower.head(),
        }
    }

    /// How the run ended, if this was closed without its terminal event.
    fn ending(&self) -> Option<Ending> {
        match self {
            Self::Own(_) => None,
            Self::Followed(follower) => follower.ending(),
        }
    }
}
