//! Submission of runs: they are stored, repeated requests return the same run, and the queue is fair.

use std::future::Future;
use std::sync::Arc;

use super::{claim, claimant, claimed, events, get, host, new_run, queued, task, types, version};
use crate::model::{Json, RunId, RunStatus};
use crate::storage::{Claimed, NewRun, QueueState, Storage, StorageError, SubmitOutcome};

pub(super) async fn run<F: Future<Output = Arc<dyn Storage>>>(open: &impl Fn() -> F) {
    submitted_runs_are_found_again(&*open().await).await;
    the_same_request_is_the_same_run(&*open().await).await;
    a_full_queue_rejects_runs(&*open().await).await;
    tasks_take_turns_and_the_oldest_goes_first(&*open().await).await;
    no_run_overtakes_a_waiting_one(&*open().await).await;
}

async fn submitted_runs_are_found_again(storage: &dyn Storage) {
    let owner = host(storage).await;
    assert_eq!(storage.queue_state().await.expect("reads"), QueueState::default());
    let mut new = new_run("a");
    new.labels.insert("project".to_owned(), "x".to_owned());
    let id = new.id.clone();
    let run = queued(storage, new).await;
    let read = get(storage, &id).await;
    assert_eq!((read.status, read.attempt, read.version), (RunStatus::Queued, 0, None));
    assert_eq!((&read.input, &read.labels, &read.key), (&run.input, &run.labels, &run.key));
    assert!(storage.queue_state().await.expect("reads").queued);
    assert_eq!(types(&events(storage, run.key.no).await), ["run.queued"]);

    let new = new_run("b");
    let id = new.id.clone();
    let claimed = claimed(storage, new, &owner).await;
    let read = get(storage, &id).await;
    assert_eq!((read.status, read.attempt, read.version), (RunStatus::Running, 1, Some(version())));
    assert!(read.started_at.is_some() && read.finished_at.is_none() && read.last_seq.is_none());
    assert_eq!(claimed.events, events(storage, claimed.run.key.no).await);
    assert_eq!((types(&claimed.events), claimed.last_seq), (vec!["run.started"], 1));
    assert!(storage.run(&RunId::new()).await.expect("reads").is_none());
}

async fn the_same_request_is_the_same_run(storage: &dyn Storage) {
    let own_id = NewRun { own_id: true, ..new_run("a") };
    queued(storage, own_id.clone()).await;
    let again = storage.submit(own_id.clone(), claimant(&host(storage).await)).await;
    assert!(matches!(again, Ok(SubmitOutcome::Existing(run)) if run.key.id == own_id.id));
    let other = NewRun { input: Json::null(), ..own_id.clone() };
    assert!(matches!(storage.submit(other, None).await, Err(StorageError::Conflict(_))));
    let other = NewRun { task: task("b"), ..own_id };
    assert!(matches!(storage.submit(other, None).await, Err(StorageError::Conflict(_))));

    let keyed = NewRun { idempotency_key: Some("k".to_owned()), ..new_run("a") };
    queued(storage, keyed.clone()).await;
    let again = NewRun { id: RunId::new(), ..keyed.clone() };
    assert!(
        matches!(storage.submit(again, None).await, Ok(SubmitOutcome::Existing(run)) if run.key.id == keyed.id)
    );
    let other = NewRun { id: RunId::new(), input: Json::null(), ..keyed.clone() };
    assert!(matches!(storage.submit(other, None).await, Err(StorageError::Conflict(_))));
    // A different digest is a different request, whatever differs.
    let keyed_by = |digest: &str| NewRun {
        id: RunId::new(),
        idempotency_key: Some("said".to_owned()),
        digest: Some(digest.to_owned()),
        ..new_run("a")
    };
    queued(storage, keyed_by("one")).await;
    assert!(matches!(storage.submit(keyed_by("one"), None).await, Ok(SubmitOutcome::Existing(_))));
    assert!(matches!(storage.submit(keyed_by("other"), None).await, Err(StorageError::Conflict(_))));
    // Earlier versions stored the digest of the texts.
    let of_text = NewRun { text_digest: Some("one".to_owned()), ..keyed_by("of values") };
    assert!(matches!(storage.submit(of_text, None).await, Ok(SubmitOutcome::Existing(_))));
    // A key belongs to its task.
    queued(storage, NewRun { id: RunId::new(), task: task("b"), ..keyed }).await;
}

async fn a_full_queue_rejects_runs(storage: &dyn Storage) {
    let new = || NewRun { max_queued: 2, ..new_run("a") };
    queued(storage, new()).await;
    queued(storage, new()).await;
    assert!(matches!(storage.submit(new(), None).await, Err(StorageError::QueueFull(2))));
    // A run that need not wait is not rejected.
    claimed(storage, NewRun { task: task("b"), ..new() }, &host(storage).await).await;
    // A run that leaves the queue makes room.
    assert_eq!(claim(storage, &host(storage).await, &[("a", 1)], 1).await.len(), 1);
    queued(storage, new()).await;
}

async fn tasks_take_turns_and_the_oldest_goes_first(storage: &dyn Storage) {
    let owner = host(storage).await;
    let mut ids = Vec::new();
    for name in ["a", "a", "a", "a", "b", "b", "c"] {
        ids.push(queued(storage, new_run(name)).await.key.id);
    }
    let order =
        |claimed: &[Claimed]| claimed.iter().map(|c| ids.iter().position(|id| *id == c.run.key.id)).collect();
    let all: Vec<Option<usize>> = order(&claim(storage, &owner, &[("a", 2), ("b", 9), ("c", 9)], 4).await);
    assert_eq!(all, [Some(0), Some(4), Some(6), Some(1)], "one of each in turn");
    let rest: Vec<Option<usize>> = order(&claim(storage, &owner, &[("b", 9), ("a", 1)], 9).await);
    assert_eq!(rest, [Some(5), Some(2)], "no more of a task than there is room for");
    assert!(claim(storage, &owner, &[("b", 9), ("unknown", 9), ("a", 0)], 9).await.is_empty());
    let last = claim(storage, &owner, &[("a", 9)], 9).await;
    assert_eq!((last.len(), last[0].run.attempt, last[0].last_seq), (1, 1, 2), "after `run.queued`");
}

async fn no_run_overtakes_a_waiting_one(storage: &dyn Storage) {
    queued(storage, new_run("a")).await;
    let later = storage.submit(new_run("a"), claimant(&host(storage).await)).await.expect("submits");
    assert!(matches!(later, SubmitOutcome::Queued(_)));
    claimed(storage, new_run("b"), &host(storage).await).await;
}
