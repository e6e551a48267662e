//! The API of a host within the same process: start, follow and cancel runs.

use std::sync::Arc;

use crate::event_log::{Delivery, EventLog, Position, Segment, Subscription};
use crate::model::{Event, Run, RunId};
use crate::registry::{Listed, Registry};
use crate::scheduler::{Request, Scheduler, StartError, Started};
use crate::storage::{Cancelled, RunFilter, Storage, StorageError};

/// A handle of a host. Cheap to clone; works until the host has stopped.
#[derive(Clone)]
pub struct Handle {
    pub(crate) registry: Arc<Registry>,
    pub(crate) scheduler: Arc<Scheduler>,
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
    pub fn tasks(&self) -> Vec<Listed> {
        self.registry.list()
    }

    /// Starts a run. The run is durable when this returns.
    pub async fn start(&self, request: Request) -> Result<Started, StartError> {
        self.scheduler.submit(request).await
    }

    /// Cancels a run.
    pub async fn cancel(&self, run: &RunId) -> Result<Cancelled, StorageError> {
        self.scheduler.cancel(run).await
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
