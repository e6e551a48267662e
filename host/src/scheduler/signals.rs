//! Messages to runs, on their way from whoever sends them to the run.

use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use super::runner::Control;
use crate::model::{Json, NewEvent, RunId, Signal, SignalName};
use crate::notifier::Topic;
use crate::storage::{Reached, Result, StorageError};

/// Between a claim and the moment in which its run can be reached lies one commit.
const REACH_TRIES: u32 = 100;
const REACH_PAUSE: Duration = Duration::from_millis(10);

impl Scheduler {
    /// Holds a run where it is, or lets it go on. One that waits in the queue is
    /// passed over until then.
    pub async fn hold(self: &Arc<Self>, id: &RunId, hold: bool) -> Result<Reached> {
        let (scheduler, id) = (Arc::clone(self), id.clone());
        self.to_the_end(async move { scheduler.hold_now(&id, hold).await }).await
    }

    async fn hold_now(&self, id: &RunId, hold: bool) -> Result<Reached> {
        let _one_at_a_time = self.holding.lock().await;
        let reached = self.storage.hold(id, hold).await?;
        match &reached {
            Reached::Owner(_) => {
                if let Some(control) = self.reach(id).await {
                    // Nothing that the run says comes between the two notes.
                    if hold {
                        control.hold();
                        self.tell(&control, NewEvent::paused()).await?;
                    } else {
                        self.tell(&control, NewEvent::resumed()).await?;
                        control.gate.open();
                    }
                }
            }
            Reached::Kept(_) => self.hint(id),
            Reached::NotFound | Reached::AlreadyEnded(_) | Reached::Unchanged(_) => {}
        }
        Ok(reached)
    }

    /// Sends a signal. When this returns, it is durable and waits for the run.
    pub async fn signal(self: &Arc<Self>, id: &RunId, signal: Signal) -> Result<Reached> {
        let (scheduler, id) = (Arc::clone(self), id.clone());
        self.to_the_end(async move { scheduler.signal_now(&id, signal).await }).await
    }

    async fn signal_now(&self, id: &RunId, signal: Signal) -> Result<Reached> {
        let event = NewEvent::signalled(&signal.name);
        let reached = self.storage.signal(id, signal).await?;
        match &reached {
            Reached::Owner(_) => {
                if let Some(control) = self.reach(id).await {
                    self.tell(&control, event).await?;
                    control.mailbox.arrived();
                }
            }
            Reached::Kept(_) => self.hint(id),
            Reached::NotFound | Reached::AlreadyEnded(_) | Reached::Unchanged(_) => {}
        }
        Ok(reached)
    }

    /// Sets a parameter. When this returns, it is durable and the run reads it.
    pub async fn set_parameter(
        self: &Arc<Self>,
        id: &RunId,
        name: SignalName,
        value: Json,
    ) -> Result<Reached> {
        let (scheduler, id) = (Arc::clone(self), id.clone());
        self.to_the_end(async move { scheduler.set_parameter_now(&id, name, value).await }).await
    }

    async fn set_parameter_now(&self, id: &RunId, name: SignalName, value: Json) -> Result<Reached> {
        let event = NewEvent::parameter(&name, &value);
        let reached = self.storage.set_parameter(id, name.clone(), value.clone()).await?;
        match &reached {
            Reached::Owner(_) => {
                if let Some(control) = self.reach(id).await {
                    control.mailbox.set(name, value);
                    self.tell(&control, event).await?;
                }
            }
            Reached::Kept(_) => self.hint(id),
            Reached::NotFound | Reached::AlreadyEnded(_) | Reached::Unchanged(_) => {}
        }
        Ok(reached)
    }

    /// Goes on although the caller goes away: of what storage has noted, the run must
    /// hear.
    pub(super) async fn to_the_end<T: Send + 'static>(
        &self,
        telling: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.tasks.spawn(telling).await.unwrap_or(Err(StorageError::Closed))
    }

    /// The run's control, if it executes here.
    async fn reach(&self, id: &RunId) -> Option<Arc<Control>> {
        for _ in 0..REACH_TRIES {
            let found = self.controls.lock().expect("no panic while held").get(id).cloned();
            if found.is_some() || self.slots.taken() == 0 {
                return found;
            }
            tokio::time::sleep(REACH_PAUSE).await;
        }
        None
    }

    /// Notes it in the run's log, durably, for whoever is answered relies on it. A
    /// run that ended meanwhile needs no note.
    async fn tell(&self, control: &Control, event: NewEvent) -> Result<()> {
        let told = async {
            control.log.send_when_room(event).await?;
            control.log.flush().await
        };
        match told.await {
            Ok(()) | Err(StorageError::Fenced) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Storage wrote into the run's log, or put it into the queue.
    fn hint(&self, id: &RunId) {
        self.notifier.notify(&Topic::Run(id.clone()));
        self.notifier.notify(&Topic::Queue);
    }
}
