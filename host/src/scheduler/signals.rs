//! Messages to runs, on their way from whoever sends them to the run.

use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use super::runner::Control;
use crate::event_log::RunLog;
use crate::model::{Json, NewEvent, RunId, Signal, SignalName};
use crate::notifier::Topic;
use crate::storage::{Reached, Result, StorageError};

/// Between a claim and the moment in which its run can be reached lies one commit.
const REACH_TRIES: u32 = 100;
const REACH_PAUSE: Duration = Duration::from_millis(10);

/// Where a message has come to.
enum Told {
    /// To the attempt, which has noted it among its own events.
    Run(Arc<Control>),
    /// Into the log of a run of which no attempt is under way here.
    Log,
    /// Nowhere: the run has ended meanwhile, and whoever sent the message must not be told otherwise.
    TooLate(Box<Reached>),
}

impl Scheduler {
    /// Holds a run where it is, or lets it go on. One that waits in the queue is
    /// passed over until then.
    pub async fn hold(self: &Arc<Self>, id: &RunId, hold: bool) -> Result<Reached> {
        let (scheduler, id) = (Arc::clone(self), id.clone());
        self.to_the_end(async move { scheduler.hold_now(&id, hold).await }).await
    }

    async fn hold_now(&self, id: &RunId, hold: bool) -> Result<Reached> {
        let _one_at_a_time = self.holding.lock().await;
        // At once, for the note may have to wait behind what others write.
        let early = if hold { self.held_early(id) } else { None };
        let reached = self.storage.hold(id, hold).await;
        if let Some(control) = early.filter(|_| !matches!(reached, Ok(Reached::Owner(_)))) {
            control.gate.open();
        }
        let reached = reached?;
        match &reached {
            Reached::Owner(_) => {
                // Nothing that the run says comes between the two notes.
                let told = match hold {
                    true => self.tell(id, NewEvent::paused(), Control::hold).await?,
                    false => self.tell(id, NewEvent::resumed(), |_| {}).await?,
                };
                self.notifier.notify(&Topic::Runs);
                match told {
                    Told::TooLate(reached) => return Ok(*reached),
                    Told::Run(control) if !hold => control.gate.open(),
                    Told::Run(_) | Told::Log => {}
                }
                if hold && self.stopping.is_cancelled() {
                    self.cut_off_paused();
                }
            }
            Reached::Kept(_) => self.hint(id),
            Reached::NotFound | Reached::AlreadyEnded(_) | Reached::Unchanged(_) => {}
        }
        Ok(reached)
    }

    /// Holds a run that executes here and is not held.
    fn held_early(&self, id: &RunId) -> Option<Arc<Control>> {
        let control = self.controls.lock().get(id).cloned();
        let control = control.filter(|control| !control.gate.is_closed())?;
        control.hold();
        Some(control)
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
            Reached::Owner(_) => match self.tell(id, event, |_| {}).await? {
                Told::Run(control) => control.mailbox.arrived(),
                Told::Log => {}
                Told::TooLate(reached) => return Ok(*reached),
            },
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
                let hear = |control: &Control| control.mailbox.set(name.clone(), value.clone());
                if let Told::TooLate(reached) = self.tell(id, event, hear).await? {
                    return Ok(*reached);
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

    /// Has `hear` done to the run if it executes here, and notes it in the run's log,
    /// durably, for whoever is answered relies on it. The owner notes it, among the
    /// run's own events, or storage, if the attempt has ended meanwhile.
    async fn tell(&self, id: &RunId, event: NewEvent, hear: impl Fn(&Control) + Sync) -> Result<Told> {
        for _ in 0..REACH_TRIES {
            let control = self.controls.lock().get(id).cloned();
            if let Some(control) = control {
                hear(&control);
                match note(&control.log, event.clone()).await {
                    Ok(()) => return Ok(Told::Run(control)),
                    Err(StorageError::Fenced) => {}
                    Err(error) => return Err(error),
                }
            }
            match self.storage.note(id, event.clone()).await? {
                // Of an attempt that is just beginning.
                Reached::Owner(_) => tokio::time::sleep(REACH_PAUSE).await,
                Reached::Kept(_) => {
                    self.notifier.notify(&Topic::Run(id.clone()));
                    return Ok(Told::Log);
                }
                // Storage had it still under way.
                late @ (Reached::NotFound | Reached::AlreadyEnded(_)) => {
                    return Ok(Told::TooLate(Box::new(late)));
                }
                Reached::Unchanged(_) => return Ok(Told::Log),
            }
        }
        Ok(Told::Log)
    }

    /// Storage wrote into the run's log, or put it into the queue.
    fn hint(&self, id: &RunId) {
        self.notifier.notify(&Topic::Run(id.clone()));
        self.notifier.notify(&Topic::Queue);
        self.notifier.notify(&Topic::Runs);
    }
}

/// Appends the event and waits until it is durable.
async fn note(log: &Arc<RunLog>, event: NewEvent) -> Result<()> {
    log.send_when_room(event).await?;
    log.flush().await
}
