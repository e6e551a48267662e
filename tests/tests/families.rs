//! Parents that wait for their children, in numbers, and locks that families share: whatever
//! can run runs.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use streamtask_tests::{TestHost, eventually};

fn parent(child: Value) -> Value {
    json!({ "do": "children", "runs": [{ "task": "probe", "input": child }] })
}

async fn start(host: &TestHost, query: &str, input: &Value) -> String {
    let run = host.post(&format!("/api/tasks/test/probe/runs{query}"), input.to_string()).await.json();
    run["id"].as_str().unwrap_or_else(|| panic!("{run}")).to_owned()
}

async fn status(host: &TestHost, id: &str) -> String {
    host.get(&format!("/api/runs/{id}")).await.json()["status"].as_str().unwrap().to_owned()
}

async fn all_complete(host: &TestHost, ids: &[String]) {
    for id in ids {
        eventually("it completes", || async { status(host, id).await == "completed" }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_parents_than_there_are_slots_hold_up_neither_their_children_nor_others() {
    let host = TestHost::start().await;
    let mut ids = Vec::new();
    for _ in 0..1_300 {
        ids.push(start(&host, "", &parent(json!({ "do": "echo" }))).await);
    }
    ids.push(start(&host, "", &json!({ "do": "echo" })).await);
    all_complete(&host, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_parents_share_one_slot_with_their_children() {
    let host = TestHost::with(|config| config.max_running = 1).await;
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(start(&host, "", &parent(json!({ "do": "echo" }))).await);
    }
    all_complete(&host, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn six_chains_of_the_greatest_depth_share_one_slot() {
    let host = TestHost::with(|config| config.max_running = 1).await;
    let mut chain = json!({ "do": "echo" });
    for _ in 0..8 {
        chain = parent(chain);
    }
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(start(&host, "", &chain).await);
    }
    all_complete(&host, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_would_wait_for_its_own_parent_is_refused_and_told_why() {
    let host = TestHost::start().await;
    host.manifest("[concurrency]\nresources = [\"/lock\"]\n").await;
    let inner = json!({ "do": "echo", "lock": "printer" });
    let outer = json!({
        "do": "children", "lock": "printer", "runs": [{ "task": "probe", "input": inner }]
    });
    let run = host.run(outer).await;
    let text = run.to_string();
    assert!(text.contains("conflict") && text.contains("resource:printer"), "{text}");
    assert!(text.contains(run["id"].as_str().unwrap()), "it names who holds it: {text}");
}

/// A queued run whose turn it is leaves the queue in every way and at every moment; the next
/// one has its turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_passed_on_in_every_order_in_which_runs_leave_its_queue() {
    for leaves in ["cancel", "pause"] {
        // Paused while it runs, it would keep the lock; so then it leaves while the slot is another's.
        let all = [["a", "b", "f"], ["b", "a", "f"], ["a", "f", "b"], ["f", "a", "b"]];
        for order in &all[..if leaves == "cancel" { 4 } else { 2 }] {
            let host = TestHost::with(|config| config.max_running = 1).await;
            let endless = json!({ "do": "until-cancelled" });
            let a = start(&host, "?resource=printer", &endless).await;
            let f = start(&host, "?priority=5", &endless).await;
            // It has the slot where it leaves last, and ends by its cancellation alone.
            let b = start(&host, "?resource=printer", &endless).await;
            let c = start(&host, "?resource=printer", &json!({ "do": "echo" })).await;
            for run in order {
                let (run, what) = match *run {
                    "a" => (&a, "cancel"),
                    "f" => (&f, "cancel"),
                    _ => (&b, leaves),
                };
                let answer = host.post(&format!("/api/runs/{run}/{what}"), "").await;
                assert!(answer.status.is_success(), "{what}: {}", answer.status);
            }
            eventually("the next one", || async { status(&host, &c).await == "completed" }).await;
            // Nobody holds it any more.
            let last = start(&host, "?resource=printer", &json!({ "do": "echo" })).await;
            eventually("the lock is free", || async { status(&host, &last).await == "completed" }).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_not_held_up_by_runs_that_are_paused_while_they_start_others() {
    let host = TestHost::with(|config| config.drain_grace = Duration::from_secs(3_600)).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = start(&host, "", &parent(json!({ "do": "until-cancelled" }))).await;
        host.post(&format!("/api/runs/{id}/pause"), "").await;
        ids.push(id);
    }
    // Long before its grace is over.
    let stopped = tokio::time::timeout(Duration::from_secs(60), host.stop()).await;
    drop(stopped.expect("paused runs have nothing to finish"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_with_another_request_of_any_kind_is_a_conflict() {
    let host = TestHost::start().await;
    let send = async |query: &str| {
        let path = format!("/api/tasks/test/probe/runs{query}");
        host.request(&Method::POST, &path, &[("idempotency-key", "k")], r#"{"do":"echo"}"#).await
    };
    assert_eq!(send("?delay=1h&priority=3").await.status, 202);
    let again = send("?delay=1h&priority=3").await;
    assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (202, "true"));
    for other in [
        "?delay=2h&priority=3",
        "?delay=1h&priority=4",
        "?delay=1h",
        "?delay=1h&priority=3&resource=printer",
        "?delay=1h&priority=3&on_disconnect=cancel",
        "?delay=1h&priority=3&label=a:b",
        "?delay=1h&priority=3&if_busy=fail",
    ] {
        assert_eq!(send(other).await.status, 409, "{other}");
    }
}
