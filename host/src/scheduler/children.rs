//! Child runs: starting, waiting for and cancelling them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::select_all;
use tokio::time::timeout;

use super::run_host::{RunHost, refusal};
use super::{HOST_KEY, Request, Scheduler, StartError};
use crate::engine::{ChildRunHost, ChildRunRequest};
use crate::model::{NewEvent, Outcome, Refusal, RefusalCode, Run, RunId};
use crate::notifier::Topic;
use crate::storage::{Parent, Result as StorageResult};

/// Interval at which children are checked without a wake-up, in case one was lost.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Abandoned runs that are read from storage at once.
const BATCH: u32 = 256;

#[async_trait]
impl ChildRunHost for RunHost {
    async fn start_child(&self, child: ChildRunRequest) -> Result<String, Refusal> {
        let granted = |task| self.grants.start.iter().any(|tasks| tasks.is_for(task));
        if child.task.app != self.info.task.app && !granted(&child.task) {
            let message = format!(
                "the task {} is of another app; add start = [\"{0}\"] to [grants] in {1}.toml",
                child.task, self.info.task.task
            );
            return Err(Refusal::new(RefusalCode::Denied, message));
        }
        self.has_children.store(true, Ordering::Relaxed);
        let run = self.log.run();
        let mut request = Request::new(child.task, child.input);
        request.priority = child.priority;
        request.parent = Some(Parent { run: run.no, depth: self.depth + 1, detached: child.detached });
        request.idempotency_key = child.key.map(|key| format!("{HOST_KEY}child:{}:{key}", run.id));
        let started = self.scheduler.submit(request).await.map_err(not_started)?;
        if !started.existing {
            self.log.send_when_room(NewEvent::child(&started.run)).await.map_err(refusal)?;
        }
        self.known_children.lock().insert(started.run.key.id.clone());
        Ok(started.run.key.id.to_string())
    }

    async fn first_ended_child(&self, runs: &[String]) -> Result<Option<(usize, Outcome)>, Refusal> {
        let (children, foreign) = self.leading_children(runs).await?;
        let ended = self.storage.first_ended(self.log.run().no, children).await.map_err(refusal)?;
        match foreign {
            // An earlier one that has ended goes first.
            Some(refused) if ended.is_none() => Err(refused),
            _ => Ok(ended),
        }
    }

    async fn wait_for_children(&self, runs: &[String]) -> Result<(usize, Outcome), Refusal> {
        let listen = |id: &String| {
            let id = RunId::parse(id).map_err(|_| no_child(id))?;
            Ok(self.scheduler.notifier.listen(Topic::Run(id)))
        };
        let listeners = runs.iter().map(listen).collect::<Result<Vec<_>, Refusal>>()?;
        let _vacated = self.slot.vacate();
        let ids = runs.iter().filter_map(|id| RunId::parse(id).ok()).collect();
        let _waits = self.scheduler.waits.begin(self.log.run().no, ids);
        loop {
            // Checked after the listeners are registered: an end in between wakes them.
            if let Some(ended) = self.first_ended_child(runs).await? {
                return Ok(ended);
            }
            // Checked each time, because a run that waits later may close the circle.
            let deadlock = self.storage.deadlock(self.log.run().no, Arc::clone(&self.scheduler.waits)).await;
            if let Some(deadlock) = deadlock.map_err(refusal)? {
                return Err(Refusal::new(RefusalCode::Conflict, deadlock));
            }
            if self.scheduler.slots.must_fail_wait() {
                let message =
                    "all runs wait for others, and the host has room for no more; start fewer at once";
                return Err(Refusal::new(RefusalCode::LimitExceeded, message));
            }
            let ended = async {
                loop {
                    let heard = listeners.iter().map(|listener| Box::pin(listener.heard()));
                    let ((), at, _) = select_all(heard).await;
                    if let Some((_, outcome)) = self.first_ended_child(&runs[at..=at]).await? {
                        return Ok((at, outcome));
                    }
                }
            };
            if let Ok(ended) = timeout(POLL_INTERVAL, ended).await {
                return ended;
            }
        }
    }

    async fn cancel_child(&self, run: &str) -> Result<(), Refusal> {
        let child = self.child(run).await?;
        self.scheduler.cancel(&child.key.id).await.map_err(refusal)?;
        Ok(())
    }
}

impl RunHost {
    /// The child run of that id.
    async fn child(&self, id: &str) -> Result<Run, Refusal> {
        let id = RunId::parse(id).map_err(|_| no_child(id))?;
        let run = self.storage.run(&id).await.map_err(refusal)?;
        // The same error for other runs and for none: a guest must not learn which runs exist.
        run.filter(|run| run.parent.as_ref() == Some(&self.log.run().id)).ok_or_else(|| no_child(id.as_str()))
    }

    /// The runs up to the first that is no child of this one, and the refusal for that. Each is looked up once, and then
    /// known: one query for all then finds those that have ended.
    async fn leading_children(&self, runs: &[String]) -> Result<(Vec<RunId>, Option<Refusal>), Refusal> {
        let mut children = Vec::with_capacity(runs.len());
        for run in runs {
            let id = match RunId::parse(run) {
                Ok(id) => id,
                Err(_) => return Ok((children, Some(no_child(run)))),
            };
            let is_known = self.known_children.lock().contains(&id);
            if !is_known {
                match self.child(run).await {
                    Ok(_) => drop(self.known_children.lock().insert(id.clone())),
                    Err(refused) if refused.code == RefusalCode::NotFound => {
                        return Ok((children, Some(refused)));
                    }
                    Err(refused) => return Err(refused),
                }
            }
            children.push(id);
        }
        Ok((children, None))
    }
}

fn no_child(id: &str) -> Refusal {
    Refusal::new(RefusalCode::NotFound, format!("this run has started no run {id:?}"))
}

fn not_started(error: StartError) -> Refusal {
    let code = match error {
        StartError::Storage(error) => return refusal(error),
        StartError::NoTask(_) | StartError::NotLoaded(..) => RefusalCode::NotFound,
        StartError::Names(_) | StartError::Input(_) => RefusalCode::InvalidArgument,
        StartError::StillLoading | StartError::Stopping | StartError::Unchecked(_) => {
            RefusalCode::Unavailable
        }
    };
    Refusal::new(code, error.to_string())
}

impl Scheduler {
    /// Cancels all attached child runs whose parent has ended. Storage finds them after a crash in between, too.
    pub(super) async fn cancel_abandoned(self: &Arc<Self>) -> StorageResult<()> {
        loop {
            let abandoned = self.storage.abandoned(BATCH).await?;
            for run in &abandoned {
                self.cancel(run).await?;
            }
            if abandoned.len() < BATCH as usize {
                return Ok(());
            }
        }
    }
}
