//! A host from within the same process: start, follow and cancel runs.

use std::sync::Arc;

use crate::event_log::{Delivery, EventLog, Position, Segment, Subscription};
use crate::model::{Event, Run, RunId};
use crate::registry::{Listed, Registry};
use crate::scheduler::{Request, Scheduler, StartError, Started};
use crate::storage::{Cancelled, RunFilter, Storage, StorageError};

/// The controls of a host. Cheap to clone; works until the host has stopped.
#[derive(Clone)]
pub struct Handle {
    pub(crate) registry: Arc<Registry>,
    pub(crate) scheduler: Arc<Scheduler>,
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
