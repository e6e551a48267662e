//! The host as a library: what HTTP can do, a program that embeds it can do too.

use std::time::Duration;

use serde_json::{Value, json};
use streamtask_host::app::{Followed, Handle};
use streamtask_host::event_log::Position;
use streamtask_host::model::{Json, RunId, RunStatus, TaskRef};
use streamtask_host::scheduler::{Request, StartError};
use streamtask_host::storage::{Cancelled, RunFilter};
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
    assert!(matches!(handle.cancel(&id).await.unwrap(), Cancelled::Requested(_)));
    assert_eq!(types(&handle, &id, Position::After(0)).await.last().unwrap(), "run.cancelled");
    assert!(matches!(handle.cancel(&RunId::parse("unknown").unwrap()).await.unwrap(), Cancelled::NotFound));
    assert!(handle.follow(&RunId::parse("unknown").unwrap(), Position::Now).await.unwrap().is_none());

    let nowhere = Request { task: TaskRef::parse("test", "nothing").unwrap(), ..request(&json!({})) };
    assert!(matches!(handle.start(nowhere).await, Err(StartError::NoTask(_))));
    let _stopped = host.stop().await;
    assert!(matches!(handle.start(request(&json!({}))).await, Err(StartError::Stopping)));
}
