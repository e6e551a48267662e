//! One attempt, from claimed to ended.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Scheduler;
use super::mailbox::Mailbox;
use super::run_host::{RunHost, STORAGE_PAUSE};
use super::slots::Slot;
use crate::engine::{Attempt, Exit, Gate, OutputFolder, RunInfo};
use crate::event_log::RunLog;
use crate::files::Prepared;
use crate::model::{ErrorKind, NewEvent, OnInterrupt, Outcome, Retry, RunError, RunId, Timestamp};
use crate::notifier::Topic;
use crate::platform;
use crate::registry::Task;
use crate::storage::{Claimed, StorageError};

/// Longest time that a run's end waits until an empty folder for its files is removed, which happens anyway.
const TIDYING: Duration = Duration::from_secs(1);

/// How a run under way is reached.
pub(super) struct Control {
    pub(super) cancel: CancellationToken,
    /// Set when it has to end although others may go on: it is paused, and the host stops.
    pub(super) cut_off: CancellationToken,
    pub(super) gate: Arc<Gate>,
    pub(super) mailbox: Mailbox,
    pub(super) log: Arc<RunLog>,
}

impl Control {
    /// Asks the run to end; the grace time begins, and a run that is held goes on.
    pub(super) fn cancel(&self) {
        self.cancel.cancel();
        self.gate.open();
    }

    /// Holds the run, unless it was asked to end: that one goes on, to clean up.
    pub(super) fn hold(&self) {
        self.gate.close();
        // Looked at last: whoever cancels opens the gate after that is to be seen.
        if self.cancel.is_cancelled() {
            self.gate.open();
        }
    }
}

/// What matters when an attempt ends.
struct End {
    retry: Retry,
    on_interrupt: OnInterrupt,
    /// Whether other runs may wait for what it had.
    has_needs: bool,
}

/// How an attempt's time was over.
pub(super) enum Ended {
    /// By itself.
    Exit(Exit),
    /// By force, after the grace time of a cancel.
    Forced,
    /// By force, because the host stops.
    CutOff,
}

/// Executes a claimed run on the threads for guests. The slot is free again when
/// the run has ended.
pub(super) fn launch(scheduler: &Arc<Scheduler>, claimed: Claimed, task: Arc<Task>, slot: Slot) {
    let id = claimed.run.key.id.clone();
    let log = scheduler.log.open(&claimed);
    let control = Arc::new(Control {
        cancel: CancellationToken::new(),
        cut_off: CancellationToken::new(),
        gate: Arc::default(),
        mailbox: Mailbox::new(),
        log: Arc::clone(&log),
    });
    if claimed.run.cancel_requested_at.is_some() {
        control.cancel();
    }
    scheduler.controls.lock().insert(id.clone(), Arc::clone(&control));
    // Nobody can have set any before a run that never waited.
    let may_have_parameters = claimed.last_seq > 1;
    let slot = Arc::new(slot);
    let host = Arc::new(RunHost {
        grants: Arc::clone(&task.settings.grants),
        scheduler: Arc::clone(scheduler),
        slot: Arc::clone(&slot),
        depth: claimed.depth,
        has_children: AtomicBool::new(claimed.run.attempt > 1),
        info: RunInfo {
            id: id.to_string(),
            task: claimed.run.task.clone(),
            version: task.version(),
            attempt: claimed.run.attempt,
            labels: claimed.run.labels.clone(),
        },
        log: Arc::clone(&log),
        storage: Arc::clone(&scheduler.storage),
        control: Arc::clone(&control),
        has_checkpoint: AtomicBool::new(claimed.has_checkpoint),
    });
    let mut attempt = Attempt {
        program: task.program.clone(),
        input: claimed.run.input,
        host: Arc::clone(&host) as _,
        limits: task.settings.limits,
        command: Arc::clone(&task.settings.command),
        grants: Arc::clone(&task.settings.grants),
        files: None,
        gate: Arc::clone(&control.gate),
        uptime: Arc::clone(&scheduler.uptime),
    };
    let end = End {
        retry: task.settings.retry.clone(),
        on_interrupt: claimed.on_interrupt,
        has_needs: claimed.has_needs,
    };
    let running = Arc::clone(scheduler);
    let under_way = UnderWay { scheduler: Arc::clone(scheduler), id: id.clone() };
    let execution = scheduler.tasks.track_future(async move {
        let prepared = async {
            platform::fault_point();
            if may_have_parameters {
                running.load_parameters(&log, &control).await;
            }
            match attempt.grants.files.is_some() {
                true => running.give_folder(&mut attempt, &id).await,
                false => Ok(()),
            }
        };
        let has_files = task.settings.grants.files.is_some();
        let ready = whole(prepared).await.unwrap_or_else(|| Err(host_failed()));
        let ended = match ready {
            Ok(()) => {
                let ended = running.execute(attempt, &control).await;
                whole(running.check_result(&task, &control, ended))
                    .await
                    .unwrap_or_else(|| Ended::Exit(Exit::Failed(host_failed())))
            }
            Err(error) => Ended::Exit(Exit::Failed(error)),
        };
        let tidied = async {
            platform::fault_point();
            running.note_end(&task, &control, &ended);
            if has_files {
                // Of one that is ended by force, nothing is waited for.
                let forced = !matches!(ended, Ended::Exit(_));
                let longest = if forced { Duration::ZERO } else { TIDYING };
                let _ = timeout(longest, running.take_folder(&id)).await;
            }
        };
        // At worst the breaker knows less, or an empty folder stays.
        let _ = whole(tidied).await;
        if whole(running.settle(&log, &host, &end, ended)).await.is_none() {
            let failed = running.log.finish(&log, Outcome::Failed(host_failed()));
            let _ = whole(failed).await;
        }
        drop(under_way);
        // The last that holds the slot.
        drop(host);
        drop(slot);
    });
    scheduler.engine.spawn(Box::pin(execution));
}

/// None if it panicked: a fault of the host, which must not leave a run without an end.
async fn whole<T>(part: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(part).catch_unwind().await.ok()
}

fn host_failed() -> RunError {
    RunError::new(ErrorKind::Internal, "the host failed while executing the task")
}

/// A run is reached through its control until this is dropped, however its attempt ends.
struct UnderWay {
    scheduler: Arc<Scheduler>,
    id: RunId,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.scheduler.controls.lock().remove(&self.id);
    }
}

impl Scheduler {
    /// Tries until they are there: a run without the parameters that were set would
    /// wait for them for ever.
    async fn load_parameters(&self, log: &RunLog, control: &Control) {
        loop {
            match self.storage.parameters(log.run().no).await {
                Ok(stored) => return control.mailbox.set_missing(stored),
                Err(error) => {
                    tracing::warn!(run = %log.run().id, %error, "could not read the run's parameters");
                }
            }
            tokio::select! {
                biased;
                () = self.cut_off.cancelled() => return,
                () = tokio::time::sleep(STORAGE_PAUSE) => {}
            }
        }
    }

    /// A folder for what the attempt leaves as files.
    async fn give_folder(&self, attempt: &mut Attempt, id: &RunId) -> Result<(), RunError> {
        let (files, id) = (Arc::clone(&self.files), id.clone());
        let prepared = platform::blocking(move || files.prepare(&id)).await;
        let prepared = prepared.map_err(io::Error::other).and_then(|prepared| prepared).map_err(|error| {
            let message = format!("the folder for its output files can't be made: {error}");
            RunError::new(ErrorKind::Internal, message)
        })?;
        let Prepared { path, bytes, count } = prepared;
        attempt.files = Some(OutputFolder { path, used_bytes: bytes, used_count: count });
        Ok(())
    }

    /// A run that left nothing needs none.
    async fn take_folder(&self, id: &RunId) {
        let (files, id) = (Arc::clone(&self.files), id.clone());
        // At worst an empty folder stays.
        let _ = platform::blocking(move || files.tidy(&id)).await;
    }

    /// Executes until the attempt ends or is ended. In every case the guest is
    /// gone when this returns.
    async fn execute(&self, attempt: Attempt, control: &Control) -> Ended {
        let grace = self.config.cancel_grace;
        let forced = async {
            control.cancel.cancelled().await;
            self.uptime.sleep(grace).await;
        };
        let attempt = whole(attempt.run());
        tokio::select! {
            biased;
            exit = attempt => Ended::Exit(exit.unwrap_or_else(|| Exit::Failed(host_failed()))),
            () = forced => Ended::Forced,
            () = self.cut_off.cancelled() => Ended::CutOff,
            () = control.cut_off.cancelled() => Ended::CutOff,
        }
    }

    /// Writes how the attempt ended.
    async fn settle(&self, log: &Arc<RunLog>, host: &RunHost, end: &End, ended: Ended) {
        let asked = host.control.cancel.is_cancelled();
        let settled = match ended {
            Ended::Exit(Exit::Lost) => Err(StorageError::Fenced),
            // Once it was asked to end, any end is the one that was asked for.
            Ended::Exit(Exit::Output(value)) if asked => {
                self.log.finish(log, Outcome::Cancelled(Some(value))).await
            }
            Ended::Exit(Exit::Failed(_)) if asked => self.log.finish(log, Outcome::Cancelled(None)).await,
            Ended::Exit(Exit::Output(value)) => self.log.finish(log, Outcome::Completed(value)).await,
            Ended::Exit(Exit::Failed(error)) => {
                match end.retry.pause_after(host.info.attempt, &error, fastrand::f64()) {
                    Some(pause) => self.retry(log, host, &error, pause).await,
                    None => {
                        self.news.failed(log.run(), &host.info.task, &error);
                        self.log.finish(log, Outcome::Failed(error)).await
                    }
                }
            }
            Ended::Forced => self.log.finish(log, Outcome::Cancelled(None)).await,
            Ended::CutOff if asked => self.log.finish(log, Outcome::Cancelled(None)).await,
            Ended::CutOff => self.interrupt(log, host, end.on_interrupt).await,
        };
        if let Err(error) = settled {
            tracing::warn!(run = %log.run().id, %error, "the run's end could not be written here");
            self.log.close(log);
        }
        if host.has_children.load(Ordering::Relaxed) {
            // Those that it did not let go are to end.
            self.notifier.notify(&Topic::Cancel);
        }
        if end.has_needs {
            self.notifier.notify(&Topic::Queue);
        }
    }

    /// Another attempt follows, after the pause.
    async fn retry(
        &self,
        log: &Arc<RunLog>,
        host: &RunHost,
        error: &RunError,
        pause: Duration,
    ) -> Result<(), StorageError> {
        let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        let not_before = (pause > 0).then(|| Timestamp::now().plus_millis(pause));
        let event = NewEvent::retrying(host.info.attempt + 1, error, not_before);
        self.log.requeue(log, event, not_before).await?;
        self.notifier.notify(&Topic::Queue);
        Ok(())
    }

    /// The host stops. Unless its task's policy says otherwise, what has a checkpoint
    /// goes on later from there, and the rest is not run again behind anybody's back.
    async fn interrupt(
        &self,
        log: &Arc<RunLog>,
        host: &RunHost,
        policy: OnInterrupt,
    ) -> Result<(), StorageError> {
        let error = interrupted();
        if policy.tries_again(host.has_checkpoint.load(Ordering::Relaxed)) {
            self.log.requeue(log, NewEvent::retrying(host.info.attempt + 1, &error, None), None).await
        } else {
            self.log.finish(log, Outcome::Failed(error)).await
        }
    }
}

/// Why a run ended or begins again that nobody wanted to end.
pub(super) fn interrupted() -> RunError {
    RunError::new(ErrorKind::Interrupted, "the host stopped while the run was under way")
}
