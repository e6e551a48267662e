//! The API of a host within the same process: every operation that clients have over HTTP.

use std::sync::Arc;

use crate::event_log::{Delivery, EventLog, Position, Segment, Subscription};
use crate::model::{Event, Json, Run, RunId, Signal, SignalName};
use crate::registry::{ListedFile, Registry};
use crate::retention::{DeleteOutcome, PruneError, PruneRequest, Pruner, Report};
use crate::scheduler::{Request, Scheduler, StartError, Started};
use crate::storage::{CancelOutcome, MessageOutcome, RunFilter, Storage, StorageError};

/// A handle of a host. Cheap to clone; works until the host has stopped.
#[derive(Clone)]
pub struct Handle {
    pub(crate) registry: Arc<Registry>,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) pruner: Arc<Pruner>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) log: Arc<EventLog>,
}

impl Handle {
    /// Waits until each file that was in the tasks folder at the start is loaded or refused.
    pub async fn loaded(&self) {
        let mut changes = self.registry.changes();
        while !self.registry.is_complete() {
            changes.changed().await;
        }
    }

    /// All files of the tasks folder, with their loaded versions.
    pub fn tasks(&self) -> Vec<ListedFile> {
        self.registry.list()
    }

    /// Starts a run. The run is durable when this returns.
    pub async fn start(&self, request: Request) -> Result<Started, StartError> {
        self.scheduler.submit(request).await
    }

    /// Cancels a run.
    pub async fn cancel(&self, run: &RunId) -> Result<CancelOutcome, StorageError> {
        self.scheduler.cancel(run).await
    }

    /// Starts an ended run again as a new run, with the same input or with another one.
    pub async fn retry(&self, run: &RunId, input: Option<Json>) -> Result<Retried, StartError> {
        let Some(old) = self.storage.run(run).await? else { return Ok(Retried::NotFound) };
        if !old.status.is_terminal() {
            return Ok(Retried::NotEnded(Box::new(old)));
        }
        let input = input.unwrap_or_else(|| old.input.clone());
        let request = Request::new(old.task.clone(), input).retrying(&old);
        Ok(Retried::Started(Box::new(self.start(request).await?)))
    }

    /// Pauses a run. A queued run stays in the queue until it is resumed.
    pub async fn pause(&self, run: &RunId) -> Result<MessageOutcome, StorageError> {
        self.scheduler.set_paused(run, true).await
    }

    /// Resumes a paused run.
    pub async fn resume(&self, run: &RunId) -> Result<MessageOutcome, StorageError> {
        self.scheduler.set_paused(run, false).await
    }

    /// Sends a signal to a run. When this returns, the signal is durable.
    pub async fn signal(&self, run: &RunId, signal: Signal) -> Result<MessageOutcome, StorageError> {
        self.scheduler.signal(run, signal).await
    }

    /// Sets a parameter of a run. When this returns, the parameter is durable.
    pub async fn set_parameter(
        &self,
        run: &RunId,
        name: SignalName,
        value: Json,
    ) -> Result<MessageOutcome, StorageError> {
        self.scheduler.set_parameter(run, name, value).await
    }

    /// The parameters of a run; none if there is no such run.
    pub async fn parameters(&self, run: &RunId) -> Result<Option<Vec<(SignalName, Json)>>, StorageError> {
        let Some(run) = self.storage.run(run).await? else { return Ok(None) };
        Ok(Some(self.storage.parameters(run.key.no).await?))
    }

    /// Removes ended runs, by `wish` or by each task's manifest.
    pub async fn prune(&self, wish: PruneRequest) -> Result<Report, PruneError> {
        self.pruner.prune(wish).await
    }

    /// How much [`prune`](Self::prune) would remove now.
    pub async fn measure_prune(&self, wish: &PruneRequest) -> Result<Report, StorageError> {
        self.pruner.measure(wish).await
    }

    /// Removes one ended run with its events and files.
    pub async fn remove(&self, run: &RunId) -> Result<DeleteOutcome, StorageError> {
        self.pruner.remove(run).await
    }

    /// The current record of a run.
    pub async fn run(&self, run: &RunId) -> Result<Option<Run>, StorageError> {
        self.storage.run(run).await
    }

    /// The newest runs that match a filter.
    pub async fn runs(&self, filter: RunFilter) -> Result<Vec<Run>, StorageError> {
        self.storage.runs(filter).await
    }

    /// Follows a run from a position. None if the run does not exist.
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
    Started(Box<Started>),
}

/// The events of one run.
pub struct Follow {
    subscription: Subscription,
    /// The current segment, and the index of the next event in it.
    current: Option<(Arc<Segment>, usize)>,
}

/// An item of a [`Follow`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The next event.
    Event(Event),
    /// Events that are no longer stored.
    Gap {
        /// Number of the first missing event.
        from: u64,
        /// Number of the last missing event.
        to: u64,
    },
    /// The run was removed, with its events from this number on.
    Removed {
        /// Number of the first missing event.
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
