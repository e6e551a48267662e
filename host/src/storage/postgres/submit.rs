//! Submission of runs.

use serde::Serialize;

use super::claim::interrupt_column;
use super::group::{SubmitAnswer, unreadable};
use super::{Postgres, deadlocks, list};
use crate::model::{Content, Event, Fence, Json, NewEvent, OnDisconnect, Run, RunStatus, Timestamp};
use crate::storage::{
    Claimant, Claimed, MAX_CHILDREN, MAX_DEPTH, NewRun, Result, StorageError, SubmitOutcome,
};

/// A new run as the database takes it, without its input.
#[derive(Serialize)]
struct NewRow<'a> {
    id: &'a str,
    own_id: bool,
    task: i32,
    labels: Option<String>,
    key: Option<&'a str>,
    digest: Option<&'a str>,
    text_digest: Option<&'a str>,
    created_at: i64,
    not_before: Option<i64>,
    priority: i32,
    locks: Vec<&'a str>,
    capacities: Vec<u32>,
    fail_if_busy: bool,
    parent: Option<i64>,
    detached: bool,
    on_disconnect: Option<&'static str>,
    max_queued: i64,
    max_queued_of_task: i64,
    parameters: Vec<ParameterRow<'a>>,
    /// Whether it may be claimed at once, and as what.
    claim: bool,
    version: Option<i32>,
    on_interrupt: Option<&'static str>,
    /// The time of its first events, and their data.
    time: i64,
    started: Option<&'a str>,
    delayed: Option<String>,
    /// Whether the search for a deadlock was made.
    may_wait: bool,
}

#[derive(Serialize)]
struct ParameterRow<'a> {
    name: &'a str,
    value: &'a str,
    /// Of the event.
    data: String,
}

impl Postgres {
    /// See [`Runs::submit`](crate::storage::Runs::submit).
    pub(super) async fn submit_run(&self, new: NewRun, claimant: Option<Claimant>) -> Result<SubmitOutcome> {
        let (mut host, mut version) = (None, None);
        if let Some(claimant) = &claimant {
            host = Some(self.host_no(&claimant.owner).await?);
            version = Some(self.version_no(&claimant.version).await?);
        }
        let task = self.task_no(&new.task).await?;
        let started = claimant.as_ref().map(|claimant| NewEvent::started(1, Some(&claimant.version)));
        let mut may_wait = false;
        loop {
            let row = row(&new, task, claimant.as_ref(), version, started.as_ref(), may_wait);
            let (row, input) = (Json::of(&row).into_string(), new.input.as_str().to_owned());
            let answer = self.lanes.submit(host, row, input).await?;
            match answer.is.as_str() {
                "must_wait" if !may_wait => {
                    self.check_deadlock(&new).await?;
                    may_wait = true;
                }
                "existing" => {
                    // None: it was removed meanwhile.
                    if let Some(run) = self.existing(answer.no).await? {
                        return Ok(SubmitOutcome::Existing(run));
                    }
                }
                _ => return outcome(&new, claimant.as_ref().zip(started).zip(host), &answer),
            }
        }
    }

    async fn check_deadlock(&self, new: &NewRun) -> Result<()> {
        let search = self.readers.read(new.clone(), |db, new| Box::pin(deadlocks::of_start(db, new)));
        match search.await? {
            Some(deadlock) => Err(StorageError::Deadlock(deadlock)),
            None => Ok(()),
        }
    }

    async fn existing(&self, no: Option<i64>) -> Result<Option<Run>> {
        let no = no.ok_or_else(unreadable)?;
        self.readers.read(no, |db, no| Box::pin(list::by_no(db, *no))).await
    }
}

fn row<'a>(
    new: &'a NewRun,
    task: i32,
    claimant: Option<&Claimant>,
    version: Option<i32>,
    started: Option<&'a NewEvent>,
    may_wait: bool,
) -> NewRow<'a> {
    let parameter = |(name, value): &'a (crate::model::SignalName, Json)| ParameterRow {
        name: name.as_str(),
        value: value.as_str(),
        data: data(&NewEvent::parameter(name, value)).to_owned(),
    };
    NewRow {
        id: new.id.as_str(),
        own_id: new.own_id,
        task,
        labels: (!new.labels.is_empty()).then(|| Json::of(&new.labels).into_string()),
        key: new.idempotency_key.as_deref(),
        digest: new.digest.as_deref(),
        text_digest: new.text_digest.as_deref(),
        created_at: new.created_at.as_millis(),
        not_before: new.not_before.map(Timestamp::as_millis),
        priority: new.priority,
        locks: new.locks.iter().map(|lock| lock.name.as_str()).collect(),
        // The database's integers have a sign.
        capacities: new.locks.iter().map(|lock| lock.capacity.min(i32::MAX.cast_unsigned())).collect(),
        fail_if_busy: new.fail_if_busy,
        parent: new.parent.map(|parent| parent.run),
        detached: new.parent.is_some_and(|parent| parent.detached),
        on_disconnect: (new.on_disconnect != OnDisconnect::default()).then(|| new.on_disconnect.as_str()),
        max_queued: i64::try_from(new.max_queued).unwrap_or(i64::MAX),
        max_queued_of_task: i64::try_from(new.max_queued_of_task).unwrap_or(i64::MAX),
        parameters: new.parameters.iter().map(parameter).collect(),
        claim: claimant.is_some(),
        version,
        on_interrupt: claimant.and_then(|claimant| interrupt_column(claimant.on_interrupt)),
        time: started.map_or_else(Timestamp::now, |started| started.time).as_millis(),
        started: started.map(data),
        delayed: new.not_before.map(|time| data(&NewEvent::delayed(time, new.delayed_by)).to_owned()),
        may_wait,
    }
}

/// The data of an event of the host.
fn data(event: &NewEvent) -> &str {
    match &event.content {
        Content::Json(json) => json.as_str(),
        Content::Bytes(..) => "null",
    }
}

/// What the caller gets.
fn outcome(
    new: &NewRun,
    claim: Option<((&Claimant, NewEvent), i64)>,
    answer: &SubmitAnswer,
) -> Result<SubmitOutcome> {
    match (answer.is.as_str(), answer.no, claim) {
        ("claimed", Some(no), Some(((claimant, started), host))) => {
            let mut run = new.waiting(no, None);
            run.status = RunStatus::Running;
            run.attempt = 1;
            run.version = Some(claimant.version);
            run.started_at = answer.started_at.map(Timestamp::from_millis);
            Ok(SubmitOutcome::Claimed(Claimed {
                run,
                fence: Fence::of_claim(1, host),
                events: vec![Event { seq: 1, attempt: 1, what: started }],
                last_seq: 1,
                has_checkpoint: false,
                has_locks: !new.locks.is_empty(),
                depth: answer.depth.unwrap_or_default(),
                on_interrupt: claimant.on_interrupt,
            }))
        }
        ("queued", Some(no), _) => Ok(SubmitOutcome::Queued(new.waiting(no, answer.waits_for.clone()))),
        _ => Err(refusal(new, answer)),
    }
}

/// Why the run was not stored.
fn refusal(new: &NewRun, answer: &SubmitAnswer) -> StorageError {
    match answer.is.as_str() {
        "key" => {
            let key = new.idempotency_key.as_deref().unwrap_or_default();
            StorageError::Conflict(format!(
                "the idempotency key {key:?} was used for another request; send the same, or choose another key"
            ))
        }
        "id" => StorageError::Conflict(format!(
            "the run {:?} was started by another request; send the same, or choose another id",
            new.id
        )),
        "fenced" => StorageError::Fenced,
        "children" => StorageError::Limit(format!("a run starts at most {MAX_CHILDREN} others")),
        "depth" => StorageError::Limit(format!("children of children go {MAX_DEPTH} deep")),
        "busy" => StorageError::Busy(answer.name.clone().unwrap_or_default()),
        "full" => StorageError::QueueFull(answer.waiting.unwrap_or_default()),
        _ => unreadable(),
    }
}
