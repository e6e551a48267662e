//! Messages to runs: pause, resume, signals and parameters.

use std::sync::Arc;
use std::time::Duration;

use super::Scheduler;
use super::control::Control;
use crate::event_log::RunLog;
use crate::model::{Json, NewEvent, RunId, Signal, SignalName};
use crate::notifier::Topic;
use crate::storage::{MessageOutcome, Result, StorageError};

/// Tries to reach a run that was just claimed: between the commit of the claim and the registration of the attempt, the
/// run has an owner and can't be reached.
const REACH_TRIES: u32 = 100;
const REACH_PAUSE: Duration = Duration::from_millis(10);

/// Where a message was delivered.
enum Delivered {
    /// To the running attempt, which has logged it among its own events.
    Attempt(Arc<Control>),
    /// To the log of a run that does not execute here.
    Log,
    /// Nowhere, because the run has ended meanwhile. The sender must get this result.
    TooLate(Box<MessageOutcome>),
}

impl Scheduler {
    /// Pauses a run, or resumes it if `paused` is false. A paused run in the queue is not claimed.
    ///
    /// If the outcome of this or another message is an owner with a message, another host executes the run, and has not
    /// noted the message yet. It is stored, and will be noted.
    pub async fn set_paused(self: &Arc<Self>, id: &RunId, paused: bool) -> Result<MessageOutcome> {
        let (scheduler, id) = (Arc::clone(self), id.clone());
        self.detached(async move { scheduler.set_paused_now(&id, paused).await }).await
    }

    async fn set_paused_now(&self, id: &RunId, paused: bool) -> Result<MessageOutcome> {
        let pausing = self.pausing.lock().await;
        // At once, because the write may have to wait behind other writes. Not in a shared database, where another host may
        // decide at the same time.
        let early = if paused && !self.lease.is_shared() { self.pause_early(id) } else { None };
        let reached = self.as_registered(|_| self.storage.set_paused(id, paused)).await;
        if let Some(control) = early.filter(|_| !matches!(reached, Ok(MessageOutcome::Owner { .. }))) {
            control.gate.resume();
        }
        let reached = reached?;
        match &reached {
            MessageOutcome::Owner { message: 0, .. } => {
                // No event of the run may come between its two events, `paused` and `resumed`.
                let delivered = match paused {
                    true => self.deliver(id, NewEvent::paused(), Control::pause).await?,
                    false => self.deliver(id, NewEvent::resumed(), |_| {}).await?,
                };
                self.notifier.notify(&Topic::Runs);
                match delivered {
                    Delivered::TooLate(reached) => return Ok(*reached),
                    Delivered::Attempt(control) if !paused => control.gate.resume(),
                    Delivered::Attempt(_) | Delivered::Log => {}
                }
                if paused && self.stopping.is_cancelled() {
                    self.cut_off_paused();
                }
            }
            MessageOutcome::Owner { .. } => {
                drop(pausing);
                self.notifier.notify(&Topic::Runs);
                return Ok(self.noted(reached).await);
            }
            MessageOutcome::Kept(_) => self.wake(id),
            MessageOutcome::NotFound | MessageOutcome::AlreadyEnded(_) | MessageOutcome::Unchanged(_) => {}
        }
        Ok(reached)
    }

    /// Pauses a run that executes here and is not paused.
    fn pause_early(&self, id: &RunId) -> Option<Arc<Control>> {
        let control = self.controls.lock().get(id).cloned();
        let control = control.filter(|control| !control.gate.is_paused())?;
        control.pause();
        Some(control)
    }

    /// Sends a signal to a run. When this returns, the signal is durable.
    pub async fn signal(self: &Arc<Self>, id: &RunId, signal: Signal) -> Result<MessageOutcome> {
        let (scheduler, id) = (Arc::clone(self), id.clone());
        self.detached(async move { scheduler.signal_now(&id, signal).await }).await
    }

    async fn signal_now(&self, id: &RunId, signal: Signal) -> Result<MessageOutcome> {
        let event = NewEvent::signalled(&signal.name);
        let in_order = self.deliveries.lock(id).await;
        let reached = self.as_registered(|_| self.storage.signal(id, signal.clone())).await?;
        match &reached {
            MessageOutcome::Owner { message: 0, .. } => match self.deliver(id, event, |_| {}).await? {
                Delivered::Attempt(control) => control.mailbox.arrived(),
                Delivered::Log => {}
                Delivered::TooLate(reached) => return Ok(*reached),
            },
            MessageOutcome::Owner { .. } => {
                drop(in_order);
                return Ok(self.noted(reached).await);
            }
            MessageOutcome::Kept(_) => self.wake(id),
            MessageOutcome::NotFound | MessageOutcome::AlreadyEnded(_) | MessageOutcome::Unchanged(_) => {}
        }
        Ok(reached)
    }

    /// Sets a parameter of a run. When this returns, it is durable and visible to the run.
    pub async fn set_parameter(
        self: &Arc<Self>,
        id: &RunId,
        name: SignalName,
        value: Json,
    ) -> Result<MessageOutcome> {
        let (scheduler, id) = (Arc::clone(self), id.clone());
        self.detached(async move { scheduler.set_parameter_now(&id, name, value).await }).await
    }

    async fn set_parameter_now(&self, id: &RunId, name: SignalName, value: Json) -> Result<MessageOutcome> {
        let event = NewEvent::parameter(&name, &value);
        let in_order = self.deliveries.lock(id).await;
        let set = |_| self.storage.set_parameter(id, name.clone(), value.clone());
        let reached = self.as_registered(set).await?;
        match &reached {
            MessageOutcome::Owner { message: 0, .. } => {
                match self.deliver(id, event, |_| {}).await? {
                    // Not before it is logged: the guest may act on it and end the run.
                    Delivered::Attempt(control) => control.mailbox.set(name, value),
                    Delivered::Log => {}
                    Delivered::TooLate(reached) => return Ok(*reached),
                }
            }
            MessageOutcome::Owner { .. } => {
                drop(in_order);
                return Ok(self.noted(reached).await);
            }
            MessageOutcome::Kept(_) => self.wake(id),
            MessageOutcome::NotFound | MessageOutcome::AlreadyEnded(_) | MessageOutcome::Unchanged(_) => {}
        }
        Ok(reached)
    }

    /// Runs `operation` to its end even if the caller is dropped: a message that storage has recorded must reach the run.
    pub(super) async fn detached<T: Send + 'static>(
        &self,
        operation: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.tasks.spawn(operation).await.unwrap_or(Err(StorageError::Closed))
    }

    /// Applies a message to the run if it executes here, and logs the event durably before the sender gets an answer. The
    /// owner logs it among the run's own events, or storage does if the attempt has ended meanwhile.
    async fn deliver(
        &self,
        id: &RunId,
        event: NewEvent,
        apply: impl Fn(&Control) + Sync,
    ) -> Result<Delivered> {
        for _ in 0..REACH_TRIES {
            let control = self.controls.lock().get(id).cloned();
            if let Some(control) = control {
                apply(&control);
                match log_event(&control.log, event.clone()).await {
                    Ok(()) => return Ok(Delivered::Attempt(control)),
                    Err(StorageError::Fenced) => {}
                    Err(error) => return Err(error),
                }
            }
            match self.storage.log_message(id, event.clone()).await? {
                // The attempt is not registered yet.
                MessageOutcome::Owner { .. } => tokio::time::sleep(REACH_PAUSE).await,
                MessageOutcome::Kept(_) => {
                    self.notifier.notify(&Topic::Run(id.clone()));
                    return Ok(Delivered::Log);
                }
                // It ended after the first write.
                late @ (MessageOutcome::NotFound | MessageOutcome::AlreadyEnded(_)) => {
                    return Ok(Delivered::TooLate(Box::new(late)));
                }
                MessageOutcome::Unchanged(_) => return Ok(Delivered::Log),
            }
        }
        Ok(Delivered::Log)
    }

    /// Wakes subscribers and the claiming loop after storage wrote to the run's log or requeued the run.
    fn wake(&self, id: &RunId) {
        self.notifier.notify(&Topic::Run(id.clone()));
        self.notifier.notify(&Topic::Queue);
        self.notifier.notify(&Topic::Runs);
    }
}

/// Appends the event and waits until it is durable.
async fn log_event(log: &Arc<RunLog>, event: NewEvent) -> Result<()> {
    log.send_when_room(event).await?;
    log.flush().await
}
