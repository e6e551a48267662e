//! A guest that sends faster than it may is held back, and hears of everything
//! meanwhile.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use streamtask_tests::{Event, TestHost, eventually};

/// A host on which the probe has this manifest.
async fn host(limits: &str, configure: impl FnOnce(&mut streamtask_host::config::Config)) -> TestHost {
    let host = TestHost::with(configure).await;
    let text = format!("description = 'limited'\n[limits]\n{limits}\n");
    fs::write(host.tasks().join("test/probe.toml"), text).unwrap();
    eventually("the manifest", || async {
        host.get("/api/tasks/test/probe").await.json()["description"] == "limited"
    })
    .await;
    host
}

async fn sent(host: &TestHost, run: &Value, name: &str) -> Vec<Event> {
    host.follow(run).await.rest().await.into_iter().filter(|event| event.name == name).collect()
}

fn millis(value: &Value) -> i64 {
    value.as_str().unwrap().parse::<Timestamp>().unwrap().as_millisecond()
}

/// From the first event to the last.
fn lasted_ms(events: &[Event]) -> i64 {
    let time = |event: &Event| millis(&event.json()["timestamp"]);
    time(events.last().unwrap()) - time(&events[0])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_held_to_its_rate_and_loses_nothing() {
    let host = host("event-rate = 100", |_| {}).await;
    let run = host.run(json!({ "do": "flood", "events": 250 })).await;
    assert_eq!(run["final_value"], 250, "no call fails: {run}");
    let events = sent(&host, &run, "flood").await;
    assert_eq!(events.len(), 250);
    // A burst of a second's worth, and the rest one by one.
    assert!(lasted_ms(&events) >= 1400, "{} ms", lasted_ms(&events));
    assert!(lasted_ms(&events[..100]) < lasted_ms(&events[100..]), "the burst is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_have_a_rate_too() {
    let host = host("event-bytes-rate = '10KiB'", |_| {}).await;
    let run = host.run(json!({ "do": "flood", "events": 25, "bytes": 1024 })).await;
    let events = sent(&host, &run, "flood").await;
    assert_eq!(events.len(), 25);
    assert!(lasted_ms(&events) >= 1400, "{} ms", lasted_ms(&events));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_counts_as_well() {
    let host = host("event-rate = 100", |_| {}).await;
    let run = host.run(json!({ "do": "print", "stdout": "line\n", "times": 250 })).await;
    assert_eq!(sent(&host, &run, "log").await.len(), 250);
    let took = millis(&run["finished_at"]) - millis(&run["started_at"]);
    assert!(took >= 1400, "{took} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_rate_is_for_all_tasks() {
    let host = TestHost::with(|config| config.limits.event_rate = Some(100)).await;
    let run = host.run(json!({ "do": "flood", "events": 150 })).await;
    assert!(lasted_ms(&sent(&host, &run, "flood").await) >= 450);
    fs::write(host.tasks().join("test/probe.toml"), "[limits]\nevent-rate = 101\n").unwrap();
    eventually("a refusal", || async {
        let task = host.get("/api/tasks/test/probe").await.json();
        task["problem"]["message"].as_str().is_some_and(|message| message.contains("at most 100"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_held_back_can_be_paused_and_cancelled() {
    let host = host("event-rate = 1", |config| config.cancel_grace = Duration::from_millis(200)).await;
    let run = host.probe(json!({ "do": "flood", "events": 1000 })).await;
    let mut stream = host.follow(&run).await;
    stream.until("flood").await;
    let path = |what: &str| format!("/api/runs/{}/{what}", run["id"].as_str().unwrap());
    assert_eq!(host.post(&path("pause"), "").await.json()["status"], "paused");
    stream.until("run.paused").await;
    let count = async || {
        let mut newest = host.follow_with(&run, "tail=1", &[]).await;
        newest.next().await.unwrap().seq()
    };
    let before = count().await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    // One may have been on its way.
    assert!(count().await <= before + 1, "it was held twice over");
    assert_eq!(host.post(&path("resume"), "").await.json()["status"], "running");
    stream.until("flood").await;
    assert_eq!(host.cancel(&run).await.status, 202);
    // It would have had a quarter of an hour to go.
    assert_eq!(host.finished(&run).await["status"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_the_wait_so_that_the_guest_hears_of_it() {
    // Sends one event of so many bytes that the next one has an hour to wait.
    let host =
        host("event-bytes-rate = '1B'", |config| config.cancel_grace = Duration::from_secs(3600)).await;
    let run = host.probe(json!({ "do": "flood", "events": 2, "bytes": 3600 })).await;
    host.follow(&run).await.until("flood").await;
    assert_eq!(host.cancel(&run).await.status, 202);
    let run = host.finished(&run).await;
    assert_eq!((&run["status"], &run["final_value"]), (&json!("cancelled"), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_goes_on_meanwhile() {
    let host = host("event-rate = 1\ndeadline = '300ms'", |_| {}).await;
    let run = host.run(json!({ "do": "flood", "events": 1000 })).await;
    assert_eq!(run["error"]["kind"], "deadline-exceeded", "{run}");
}
