//! A host from within the same process: every operation that clients have over HTTP.

use std::sync::Arc;

use crate::event_log::{Delivery, EventLog, Position, Segment, Subscription};
use crate::model::{Event, Json, Run, RunId, Signal, SignalName};
use crate::registry::{Listed, Registry};
use crate::retention::{PruneError, Pruner, Removal, Report, Wish};
use crate::scheduler::{Request, Scheduler, StartError, Started};
use crate::storage::{Cancelled, Reached, RunFilter, Storage, StorageError};

/// The controls of a host. Cheap to clone; works until the host has stopped.
#[derive(Clone)]
pub struct Handle {
    pub(crate) registry: Arc<Registry>,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) pruner: Arc<Pruner>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) log: Arc<EventLog>,
}

impl Handle {
    /// Waits until everything that was in the tasks folder at the start has been
    /// loaded or refused.
    pub async fn loaded(&self) {
        let mut changes = self.registry.changes();
        while !self.registry.is_complete() {
            changes.changed().await;
        }
    }

    /// Every file of the tasks folder, and what it serves.
    pub fn tasks(&self) -> Vec<Listed> {
        self.registry.list()
    }

    /// Starts a run. When this returns, the run is durable.
    pub async fn start(&self, request: Request) -> Result<Started, StartError> {
        self.scheduler.submit(request).await
    }

    /// Asks a run to end.
    pub async fn cancel(&self, run: &RunId) -> Result<Cancelled, StorageError> {
        self.scheduler.cancel(run).await
    }

    /// Starts an ended run again as a new run, with the same input or with another one.
    pub async fn retry(&self, run: &RunId, input: Option<Json>) -> Result<Retried, StartError> {
        let Some(old) = self.storage.run(run).await? else { return Ok(Retried::NotFound) };
        if !old.status.is_terminal() {
            return Ok(Retried::NotEnded(Box::new(old)));
        }
        let mut request = Request::retry(old);
        request.input = input.unwrap_or(request.input);
        Ok(Retried::Started(self.start(request).await?))
    }

    /// Pauses a run. A queued run stays in the queue until it is resumed.
    pub async fn pause(&self, run: &RunId) -> Result<Reached, StorageError> {
        self.scheduler.hold(run, true).await
    }

    /// Resumes a paused run.
    pub async fn resume(&self, run: &RunId) -> Result<Reached, StorageError> {
        self.scheduler.hold(run, false).await
    }

    /// Sends a signal to a run. When this returns, the signal is durable.
    pub async fn signal(&self, run: &RunId, signal: Signal) -> Result<Reached, StorageError> {
        self.scheduler.signal(run, signal).await
    }

    /// Sets a parameter of a run. When this returns, the parameter is durable.
    pub async fn set_parameter(
        &self,
        run: &RunId,
        name: SignalName,
        value: Json,
    ) -> Result<Reached, StorageError> {
        self.scheduler.set_parameter(run, name, value).await
    }

    /// The parameters of a run; none if there is no such run.
    pub async fn parameters(&self, run: &RunId) -> Result<Option<Vec<(SignalName, Json)>>, StorageError> {
        let Some(run) = self.storage.run(run).await? else { return Ok(None) };
        Ok(Some(self.storage.parameters(run.key.no).await?))
    }

    /// Removes ended runs, by `wish` or by each task's manifest.
    pub async fn prune(&self, wish: Wish) -> Result<Report, PruneError> {
        self.pruner.prune(wish).await
    }

    /// How much [`prune`](Self::prune) would remove now.
    pub async fn measure_prune(&self, wish: &Wish) -> Result<Report, StorageError> {
        self.pruner.measure(wish).await
    }

    /// Removes one ended run with its events and files.
    pub async fn remove(&self, run: &RunId) -> Result<Removal, StorageError> {
        self.pruner.remove(run).await
    }

    /// A run as it is now.
    pub async fn run(&self, run: &RunId) -> Result<Option<Run>, StorageError> {
        self.storage.run(run).await
    }

    /// The newest runs that match.
    pub async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, StorageError> {
        self.storage.runs(filter).await
    }

    /// Follows a run from a position; none if there is no such run.
    pub async fn follow(&self, run: &RunId, position: Position) -> Result<Option<Follow>, StorageError> {
        let Some(run) = self.storage.run(run).await? else { return Ok(None) };
        let subscription = self.log.subscribe(run.key, position).await?;
        Ok(Some(Follow { subscription, current: None }))
    }
}

/// The outcome of [`Handle::retry`].
#[derive(Debug)]
pub enum Retried {
    /// There is no such run.
    NotFound,
    /// The run has not ended.
    NotEnded(Box<Run>),
    /// The new run.
    Started(Started),
}

/// The events of one run, one by one.
pub struct Follow {
    subscription: Subscription,
    /// The segment being read, and the next event in it.
    current: Option<(Arc<Segment>, usize)>,
}

/// What a [`Follow`] yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The next event.
    Event(Event),
    /// The events of these numbers are no longer stored.
    Gap {
        /// First missing number.
        from: u64,
        /// Last missing number.
        to: u64,
    },
    /// The run was removed while it was followed; what it said from this number on is
    /// gone.
    Removed {
        /// First missing number.
        from: u64,
    },
}

impl Follow {
    /// Waits for the next event; none after the terminal one.
    pub async fn next(&mut self) -> Result<Option<Followed>, StorageError> {
        loop {
            if let Some((segment, at)) = &mut self.current {
                if let Some(event) = segment.events().get(*at) {
                    *at += 1;
                    return Ok(Some(Followed::Event(event.clone())));
                }
                self.current = None;
            }
            match self.subscription.next().await? {
                Delivery::Events(segment, from) => self.current = Some((segment, from)),
                Delivery::Gap { from, to } => return Ok(Some(Followed::Gap { from, to })),
                Delivery::Removed { from } => return Ok(Some(Followed::Removed { from })),
                Delivery::End => return Ok(None),
            }
        }
    }
}
