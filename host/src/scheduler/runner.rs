//! One attempt, from its claim until its outcome is written.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Scheduler;
use super::attempt_guard::{AttemptGuard, ClaimGuard};
use super::control::Control;
use super::outcome::{ExecutionOutcome, OutcomePolicy, catch_panic, host_failed};
use super::run_host::{RunHost, STORAGE_PAUSE};
use crate::engine::{Attempt, AttemptOutcome, OutputFolder};
use crate::event_log::RunLog;
use crate::files::Prepared;
use crate::model::{ErrorKind, Json, RunError, RunId};
use crate::platform;
use crate::registry::Task;

/// Longest time that the end of a run waits for the removal of its output folder, if that is empty. The removal
/// happens in any case.
const TIDYING: Duration = Duration::from_secs(1);

/// Executes a claimed run on the threads for guests. The slot is free again when the run has ended. A panic in here
/// ends the run too.
pub(super) fn launch(scheduler: &Arc<Scheduler>, claim: ClaimGuard, task: Arc<Task>) {
    platform::fault_point();
    let (guard, claimed) = AttemptGuard::register(claim);
    platform::fault_point();
    let attempt = RunningAttempt {
        scheduler: Arc::clone(scheduler),
        host: Arc::new(RunHost::new(scheduler, &claimed, &task, &guard)),
        policy: OutcomePolicy {
            retry: task.settings.retry.clone(),
            on_interrupt: claimed.on_interrupt,
            has_locks: claimed.has_locks,
        },
        // A run whose log holds only the event of its claim has never waited, so it can't have any.
        may_have_parameters: claimed.last_seq > 1,
        task,
        guard,
    };
    let running = scheduler.tasks.track_future(attempt.run(claimed.run.input));
    scheduler.engine.spawn(Box::pin(running));
}

/// A running attempt.
struct RunningAttempt {
    scheduler: Arc<Scheduler>,
    host: Arc<RunHost>,
    task: Arc<Task>,
    policy: OutcomePolicy,
    may_have_parameters: bool,
    /// Dropped last: the slot is free when everything else is gone.
    guard: AttemptGuard,
}

impl RunningAttempt {
    async fn run(mut self, input: Json) {
        let executed = catch_panic(self.execute(input)).await;
        let outcome =
            executed.unwrap_or_else(|| ExecutionOutcome::Exited(AttemptOutcome::Failed(host_failed())));
        // At worst, the circuit breaker misses an attempt, or an empty folder stays.
        let _ = catch_panic(self.clean_up(&outcome)).await;
        self.scheduler.settle(&self.host, &self.policy, outcome).await;
        self.guard.settled();
    }

    async fn execute(&self, input: Json) -> ExecutionOutcome {
        let control = &self.guard.control;
        self.guard.earlier_gone().await;
        match self.prepare(input).await {
            Ok(attempt) => {
                let outcome = self.scheduler.execute(attempt, control).await;
                self.scheduler.check_result(&self.task, control, outcome).await
            }
            Err(error) => ExecutionOutcome::Exited(AttemptOutcome::Failed(error)),
        }
    }

    async fn prepare(&self, input: Json) -> Result<Attempt, RunError> {
        platform::fault_point();
        let (control, settings) = (&self.guard.control, &self.task.settings);
        if self.may_have_parameters {
            self.scheduler.load_parameters(&control.log, control).await;
        }
        let files = match settings.grants.files.is_some() {
            true => Some(self.scheduler.prepare_folder(self.run_id()).await?),
            false => None,
        };
        Ok(Attempt {
            program: self.task.program.clone(),
            input,
            host: Arc::clone(&self.host) as _,
            limits: settings.limits,
            command: Arc::clone(&settings.command),
            grants: Arc::clone(&settings.grants),
            files,
            gate: Arc::clone(&control.gate),
            uptime: Arc::clone(&self.scheduler.uptime),
        })
    }

    async fn clean_up(&self, outcome: &ExecutionOutcome) {
        platform::fault_point();
        self.scheduler.count_outcome(&self.task, &self.guard.control, outcome);
        // The folder of a lost attempt may be the next attempt's already.
        let is_lost = matches!(outcome, ExecutionOutcome::Lost);
        if self.task.settings.grants.files.is_some() && !is_lost {
            // A run that is ended by force waits for nothing.
            let forced = !matches!(outcome, ExecutionOutcome::Exited(_));
            let longest = if forced { Duration::ZERO } else { TIDYING };
            let _ = timeout(longest, self.scheduler.tidy_folder(self.run_id())).await;
        }
    }

    fn run_id(&self) -> &RunId {
        &self.guard.control.log.run().id
    }
}

impl Scheduler {
    /// Loads the parameters that were set before the attempt. Repeats until it succeeds: without them, the run could
    /// wait for them for ever.
    async fn load_parameters(self: &Arc<Self>, log: &RunLog, control: &Control) {
        loop {
            // One that is being set comes after its event.
            let in_order = tokio::select! {
                biased;
                () = self.cut_off.cancelled() => return,
                () = control.registration.lost.cancelled() => return,
                in_order = self.deliveries.lock(&log.run().id) => in_order,
            };
            let stored = self.storage.parameters(log.run().no).await;
            drop(in_order);
            match stored {
                Ok(stored) => {
                    self.read_messages_now().await;
                    return control.mailbox.set_missing(stored);
                }
                Err(error) => {
                    tracing::warn!(run = %log.run().id, %error, "could not read the run's parameters");
                }
            }
            tokio::select! {
                biased;
                () = self.cut_off.cancelled() => return,
                () = control.registration.lost.cancelled() => return,
                () = tokio::time::sleep(STORAGE_PAUSE) => {}
            }
        }
    }

    /// Makes the folder for the attempt's output files.
    async fn prepare_folder(&self, id: &RunId) -> Result<OutputFolder, RunError> {
        let (files, id) = (Arc::clone(&self.files), id.clone());
        let prepared = platform::blocking(move || files.prepare(&id)).await;
        let prepared = prepared.map_err(io::Error::other).and_then(|prepared| prepared).map_err(|error| {
            let message = format!("the folder for its output files can't be made: {error}");
            RunError::new(ErrorKind::Internal, message)
        })?;
        let Prepared { path, bytes, count } = prepared;
        Ok(OutputFolder { path, used_bytes: bytes, used_count: count })
    }

    /// Removes the folder for output files if it is empty.
    async fn tidy_folder(&self, id: &RunId) {
        let (files, id) = (Arc::clone(&self.files), id.clone());
        // At worst an empty folder stays.
        let _ = platform::blocking(move || files.tidy(&id)).await;
    }

    /// Executes the attempt until it ends or is ended. The guest is gone when this returns.
    async fn execute(&self, attempt: Attempt, control: &Control) -> ExecutionOutcome {
        let grace = self.config.cancel_grace;
        let grace_is_over = async {
            control.cancel.cancelled().await;
            self.uptime.sleep(grace).await;
        };
        tokio::select! {
            biased;
            exit = attempt.run() => ExecutionOutcome::Exited(exit),
            () = grace_is_over => ExecutionOutcome::Killed,
            () = self.cut_off.cancelled() => ExecutionOutcome::CutOff,
            () = control.cut_off.cancelled() => ExecutionOutcome::CutOff,
            () = control.registration.lost.cancelled() => ExecutionOutcome::Lost,
        }
    }
}
