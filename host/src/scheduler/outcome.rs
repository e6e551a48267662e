//! How attempts end, and writing it: a terminal event, or another attempt.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::Scheduler;
use super::run_host::RunHost;
use crate::engine::AttemptOutcome;
use crate::event_log::RunLog;
use crate::model::{ErrorKind, NewEvent, OnInterrupt, Outcome, Retry, RunError, Timestamp};
use crate::notifier::Topic;
use crate::platform;
use crate::storage::{Claimed, StorageError};

/// How the execution of an attempt ended.
pub(super) enum ExecutionOutcome {
    /// By itself.
    Exited(AttemptOutcome),
    /// By force, after the grace time of a cancellation.
    Killed,
    /// By force, because the host stops.
    CutOff,
    /// By force, because the run belongs to another host.
    Lost,
}

/// Decides whether another attempt follows.
pub(super) struct OutcomePolicy {
    pub(super) retry: Retry,
    pub(super) on_interrupt: OnInterrupt,
    /// Whether the run holds locks that other runs may wait for.
    pub(super) has_locks: bool,
}

/// Runs `part`; none if it panicked.
pub(super) async fn catch_panic<T>(part: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(part).catch_unwind().await.ok()
}

/// The error of a run whose attempt panicked in the host.
pub(super) fn host_failed() -> RunError {
    RunError::new(ErrorKind::Internal, "the host failed while executing the task")
}

/// The error of a run that the host's stop interrupted.
pub(super) fn interrupted() -> RunError {
    RunError::new(ErrorKind::Interrupted, "the host stopped during the run")
}

impl Scheduler {
    /// Writes the outcome of an attempt.
    pub(super) async fn settle(&self, host: &RunHost, policy: &OutcomePolicy, outcome: ExecutionOutcome) {
        platform::fault_point();
        let log = &host.log;
        if matches!(outcome, ExecutionOutcome::Lost) {
            self.log.close(log);
        } else if let Err(error) = self.write_outcome(host, policy, outcome).await {
            tracing::warn!(run = %log.run().id, %error, "could not write the outcome of the run");
            self.log.close(log);
        }
        if host.has_children.load(Ordering::Relaxed) {
            // Children that are not detached end with it.
            self.notifier.notify(&Topic::Cancel);
        }
        if policy.has_locks {
            self.notifier.notify(&Topic::Queue);
        }
        platform::fault_point();
    }

    async fn write_outcome(
        &self,
        host: &RunHost,
        policy: &OutcomePolicy,
        outcome: ExecutionOutcome,
    ) -> Result<(), StorageError> {
        let log = &host.log;
        let cancel_requested = host.control.cancel.is_cancelled();
        match outcome {
            ExecutionOutcome::Exited(AttemptOutcome::Lost) | ExecutionOutcome::Lost => {
                Err(StorageError::Fenced)
            }
            // After a request to cancel, every outcome counts as cancelled.
            ExecutionOutcome::Exited(AttemptOutcome::Output(value)) if cancel_requested => {
                self.log.finish(log, Outcome::Cancelled(Some(value))).await
            }
            _ if cancel_requested => self.log.finish(log, Outcome::Cancelled(None)).await,
            ExecutionOutcome::Exited(AttemptOutcome::Output(value)) => {
                self.log.finish(log, Outcome::Completed(value)).await
            }
            ExecutionOutcome::Exited(AttemptOutcome::Failed(error)) => {
                match policy.retry.pause_after(host.info.attempt, &error, fastrand::f64()) {
                    Some(pause) => self.retry(host, &error, pause).await,
                    None => {
                        self.failures.failed(log.run(), &host.info.task, &error);
                        self.log.finish(log, Outcome::Failed(error)).await
                    }
                }
            }
            ExecutionOutcome::Killed => self.log.finish(log, Outcome::Cancelled(None)).await,
            ExecutionOutcome::CutOff => self.interrupt(host, policy.on_interrupt).await,
        }
    }

    /// Puts the run back into the queue for another attempt after the pause.
    async fn retry(&self, host: &RunHost, error: &RunError, pause: Duration) -> Result<(), StorageError> {
        let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        let not_before = (pause > 0).then(|| Timestamp::now().plus_millis(pause));
        let event = NewEvent::retrying(host.info.attempt + 1, error, not_before);
        self.log.requeue(&host.log, event, not_before).await?;
        self.notifier.notify(&Topic::Queue);
        Ok(())
    }

    /// Ends or requeues a run because the host stops. Unless the task's policy says otherwise, a run with a
    /// checkpoint resumes from it after the next start, and any other fails: a task is not repeated without being asked to.
    async fn interrupt(&self, host: &RunHost, policy: OnInterrupt) -> Result<(), StorageError> {
        let (log, error) = (&host.log, interrupted());
        if policy.tries_again(host.has_checkpoint.load(Ordering::Relaxed)) {
            self.log.requeue(log, NewEvent::retrying(host.info.attempt + 1, &error, None), None).await
        } else {
            self.log.finish(log, Outcome::Failed(error)).await
        }
    }

    /// Ends a run whose launch panicked before its attempt was registered.
    pub(super) async fn fail_unregistered(&self, claimed: &Claimed) {
        // Through a log, in which subscribers look for the end of a running run.
        match catch_panic(async { self.log.open(claimed) }).await {
            Some(log) => self.fail_after_panic(&log).await,
            None => self.fail_without_log(claimed).await,
        }
    }

    /// Ends a run whose log can't be opened. Subscribers find its end in storage.
    async fn fail_without_log(&self, claimed: &Claimed) {
        let key = &claimed.run.key;
        if let Err(error) = self.storage.finish(key, claimed.fence, Outcome::Failed(host_failed())).await {
            tracing::warn!(run = %key.id, %error, "could not write the outcome of the run");
        }
        self.notifier.notify(&Topic::Run(key.id.clone()));
        self.notifier.notify(&Topic::Queue);
    }

    /// Ends a run whose attempt panicked before its outcome was written.
    pub(super) async fn fail_after_panic(&self, log: &Arc<RunLog>) {
        let finished = self.log.finish(log, Outcome::Failed(host_failed()));
        match catch_panic(finished).await {
            // Fenced: the outcome was written before the panic.
            Some(Ok(()) | Err(StorageError::Fenced)) => {}
            Some(Err(error)) => {
                tracing::warn!(run = %log.run().id, %error, "could not write the outcome of the run");
            }
            None => self.log.close(log),
        }
        // The run may have had children, or locks that others wait for.
        self.notifier.notify(&Topic::Cancel);
        self.notifier.notify(&Topic::Queue);
    }
}
