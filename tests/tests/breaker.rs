//! A task that only fails is given a pause, in the open; then one run is let through.

use std::fs;

use serde_json::{Value, json};
use streamtask_tests::{TestHost, eventually, guests};

/// A host on which the probe has this breaker.
async fn host(breaker: &str) -> TestHost {
    let host = TestHost::with(|config| config.max_running = 4).await;
    say(&host, breaker).await;
    host
}

async fn say(host: &TestHost, breaker: &str) {
    let text = format!("description = {breaker:?}\n[circuit-breaker]\n{breaker}\n");
    fs::write(host.tasks().join("test/probe.toml"), text).unwrap();
    eventually("the manifest", || async { task(host).await["description"] == breaker }).await;
}

async fn task(host: &TestHost) -> Value {
    host.get("/api/tasks/test/probe").await.json()
}

async fn circuit(host: &TestHost) -> Value {
    task(host).await["circuit"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_in_a_row_make_runs_wait_and_a_success_lets_them_go() {
    let host = host("failures = 3\npause = '1h'").await;
    assert_eq!(circuit(&host).await, json!({ "state": "closed" }));
    for kind in ["fail", "panic"] {
        host.run(json!({ "do": kind })).await;
    }
    host.run(json!({ "do": "echo" })).await;
    for kind in ["fail", "divide"] {
        host.run(json!({ "do": kind })).await;
    }
    assert_eq!(circuit(&host).await["state"], "closed", "a success between them");
    host.run(json!({ "do": "fail" })).await;
    let open = circuit(&host).await;
    assert_eq!(open["state"], "open");
    assert!(open["until"].as_str().unwrap().ends_with('Z'), "{open}");

    // They wait, and others do not.
    host.install("ticker.wasm", &guests::ticker("top")).await;
    let waiting = [host.probe(json!({ "do": "echo" })).await, host.probe(json!({ "do": "echo" })).await];
    let other = host.start_run("default/ticker", json!(0)).await;
    assert_eq!(host.finished(&other).await["status"], "completed");
    for run in &waiting {
        assert_eq!(host.read_run(run).await["status"], "queued");
    }
    assert!(host.get("/api/tasks/default/ticker").await.json()["circuit"].is_null(), "it has no breaker");
    // Without a breaker there is nothing to wait for.
    fs::remove_file(host.tasks().join("test/probe.toml")).unwrap();
    for run in &waiting {
        assert_eq!(host.finished(run).await["status"], "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_pause_one_is_let_through_and_decides() {
    let host = host("failures = 1\npause = '100ms'").await;
    host.run(json!({ "do": "fail" })).await;
    eventually("the end of the pause", || async { circuit(&host).await["state"] == "half-open" }).await;
    let trial = host.probe(json!({ "do": "wait-for-signal" })).await;
    host.follow(&trial).await.until("waiting").await;
    let waiting = host.probe(json!({ "do": "fail" })).await;
    assert_eq!(host.read_run(&waiting).await["status"], "queued", "one at a time");
    assert_eq!(circuit(&host).await, json!({ "state": "half-open" }));
    let signal = format!("/api/runs/{}/signals/go", trial["id"].as_str().unwrap());
    assert_eq!(host.post(&signal, "").await.status, 202);
    assert_eq!(host.finished(&trial).await["status"], "completed");
    // The next one runs at once, fails, and opens it again; the one after that closes it.
    assert_eq!(host.finished(&waiting).await["status"], "failed");
    assert_ne!(circuit(&host).await["state"], "closed");
    assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed");
    assert_eq!(circuit(&host).await["state"], "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_asked_to_end_says_nothing_of_its_task() {
    let host = host("failures = 1\npause = '1h'").await;
    let run = host.probe(json!({ "do": "until-cancelled" })).await;
    host.follow(&run).await.until("waiting").await;
    host.cancel(&run).await;
    assert_eq!(host.finished(&run).await["status"], "cancelled");
    assert_eq!(circuit(&host).await["state"], "closed");
    host.run(json!({ "do": "fail" })).await;
    assert_eq!(circuit(&host).await["state"], "open");
    let host = host.stop().await.restart().await;
    assert_eq!(circuit(&host).await["state"], "closed", "a restart closes it");
}
