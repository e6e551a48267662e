//! The host as a library: what HTTP can do, a program that embeds it can do too.

use std::time::Duration;

use serde_json::{Value, json};
use streamtask_host::app::{Followed, Handle, Retried};
use streamtask_host::event_log::Position;
use streamtask_host::model::{Json, Retention, RunId, RunStatus, Signal, SignalName, TaskRef};
use streamtask_host::retention::{DeleteOutcome, PruneRequest};
use streamtask_host::scheduler::{Request, StartError};
use streamtask_host::storage::{CancelOutcome, MessageOutcome, RunFilter};
use streamtask_tests::{TestHost, soon};

fn request(input: &Value) -> Request {
    Request::new(TaskRef::parse("test", "probe").unwrap(), Json::parse(input.to_string()).unwrap())
}

async fn types(handle: &Handle, run: &RunId, position: Position) -> Vec<String> {
    let mut follow = handle.follow(run, position).await.unwrap().expect("there is such a run");
    let mut types = Vec::new();
    while let Some(followed) = soon("following", follow.next()).await.unwrap() {
        let Followed::Event(event) = followed else { panic!("nothing was pruned: {followed:?}") };
        types.push(event.what.event_type.as_str().to_owned());
    }
    types
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_started_followed_and_found_from_within() {
    let host = TestHost::start().await;
    let handle = host.handle.clone();
    let started = handle.start(request(&json!({ "do": "flood", "events": 3 }))).await.unwrap();
    let id = started.run.key.id;
    let seen = types(&handle, &id, Position::After(0)).await;
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert_eq!((seen[0].as_str(), seen[4].as_str()), ("run.started", "run.completed"));
    assert_eq!(types(&handle, &id, Position::Tail(1)).await, ["run.completed"]);

    let run = handle.run(&id).await.unwrap().unwrap();
    assert_eq!(run.status, RunStatus::Completed);
    let runs = handle.runs(RunFilter { limit: 10, ..RunFilter::default() }).await.unwrap();
    assert_eq!(runs.iter().map(|run| &run.key.id).collect::<Vec<_>>(), [&id]);
    let over_http = host.get(&format!("/api/runs/{id}")).await.json();
    assert_eq!(over_http["status"], "completed", "it is the same host");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_from_within_and_a_stopped_host_starts_nothing() {
    let host = TestHost::with(|config| config.cancel_grace = Duration::from_millis(50)).await;
    let handle = host.handle.clone();
    let id = handle.start(request(&json!({ "do": "stubborn" }))).await.unwrap().run.key.id;
    assert!(matches!(handle.cancel(&id).await.unwrap(), CancelOutcome::Requested { .. }));
    assert_eq!(types(&handle, &id, Position::After(0)).await.last().unwrap(), "run.cancelled");
    assert!(matches!(
        handle.cancel(&RunId::parse("unknown").unwrap()).await.unwrap(),
        CancelOutcome::NotFound
    ));
    assert!(handle.follow(&RunId::parse("unknown").unwrap(), Position::Now).await.unwrap().is_none());

    let nowhere = Request { task: TaskRef::parse("test", "nothing").unwrap(), ..request(&json!({})) };
    assert!(matches!(handle.start(nowhere).await, Err(StartError::NoTask(_))));
    let _stopped = host.stop().await;
    assert!(matches!(handle.start(request(&json!({}))).await, Err(StartError::Stopping)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_paused_resumed_and_told_from_within() {
    let host = TestHost::start().await;
    let handle = host.handle.clone();
    let input = json!({ "do": "until-parameter", "name": "level" });
    let id = handle.start(request(&input)).await.unwrap().run.key.id;
    assert!(matches!(
        handle.pause(&id).await.unwrap(),
        MessageOutcome::Owner { .. } | MessageOutcome::Kept(_)
    ));
    assert!(matches!(handle.pause(&id).await.unwrap(), MessageOutcome::Unchanged(_)), "it is paused");
    let (level, high) = (SignalName::parse("level").unwrap(), Json::parse("\"high\"").unwrap());
    assert!(!matches!(
        handle.set_parameter(&id, level.clone(), high.clone()).await.unwrap(),
        MessageOutcome::NotFound | MessageOutcome::AlreadyEnded(_)
    ));
    assert_eq!(handle.parameters(&id).await.unwrap().unwrap(), [(level, high.clone())]);
    assert_eq!(handle.run(&id).await.unwrap().unwrap().status, RunStatus::Paused);
    assert!(matches!(
        handle.resume(&id).await.unwrap(),
        MessageOutcome::Owner { .. } | MessageOutcome::Kept(_)
    ));
    assert_eq!(types(&handle, &id, Position::Tail(1)).await.last().unwrap(), "run.completed");
    assert_eq!(handle.run(&id).await.unwrap().unwrap().final_value, Some(high));

    let id = handle.start(request(&json!({ "do": "wait-for-signal" }))).await.unwrap().run.key.id;
    let go = Signal { name: SignalName::parse("go").unwrap(), payload: Json::parse("null").unwrap() };
    assert!(!matches!(
        handle.signal(&id, go.clone()).await.unwrap(),
        MessageOutcome::NotFound | MessageOutcome::AlreadyEnded(_)
    ));
    types(&handle, &id, Position::After(0)).await;
    assert!(matches!(handle.signal(&id, go).await.unwrap(), MessageOutcome::AlreadyEnded(_)));
    let unknown = RunId::parse("unknown").unwrap();
    assert!(matches!(handle.pause(&unknown).await.unwrap(), MessageOutcome::NotFound));
    assert!(handle.parameters(&unknown).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_retried_and_removed_from_within() {
    let host = TestHost::start().await;
    let handle = host.handle.clone();
    let mut first = request(&json!({ "do": "echo", "n": 1 }));
    first.labels.insert("team".to_owned(), "a".to_owned());
    let first = handle.start(first).await.unwrap().run.key.id;
    types(&handle, &first, Position::After(0)).await;
    let retried = handle.retry(&first, None).await.unwrap();
    let Retried::Started(second) = retried else { panic!("{retried:?}") };
    assert_eq!(second.run.labels["team"], "a");
    assert_eq!(second.run.labels["retry-of"], first.to_string());
    assert_eq!(second.run.input, handle.run(&first).await.unwrap().unwrap().input);
    types(&handle, &second.run.key.id, Position::After(0)).await;

    let waiting = Json::parse(r#"{"do":"wait-for-signal"}"#).unwrap();
    let retried = handle.retry(&second.run.key.id, Some(waiting)).await.unwrap();
    let Retried::Started(third) = retried else { panic!("{retried:?}") };
    let third = third.run.key.id;
    assert!(matches!(handle.retry(&third, None).await.unwrap(), Retried::NotEnded(_)));
    assert!(matches!(handle.remove(&third).await.unwrap(), DeleteOutcome::NotEnded(_)));
    assert!(matches!(handle.remove(&first).await.unwrap(), DeleteOutcome::Removed(_)));
    assert!(matches!(handle.retry(&first, None).await.unwrap(), Retried::NotFound));

    let keep = Some(Retention { max_runs: Some(0), ..Retention::default() });
    let wish = PruneRequest { keep, ..PruneRequest::default() };
    let measured = handle.measure_prune(&wish).await.unwrap();
    assert_eq!(measured.iter().map(|(_, amount)| amount.runs).sum::<u64>(), 1, "{measured:?}");
    assert_eq!(handle.prune(wish).await.unwrap(), measured);
    let left = handle.runs(RunFilter { limit: 10, ..RunFilter::default() }).await.unwrap();
    assert_eq!(left.iter().map(|run| &run.key.id).collect::<Vec<_>>(), [&third]);
}
