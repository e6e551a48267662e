//! What becomes of runs when one of several hosts, or their database, fails: each goes on or ends once, by its policy, and
//! whoever reads it at another host sees that.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use serde_json::{Value, json};
use streamtask_test_postgres::Options;
use streamtask_tests::{Api, ChildHost, Cluster, Connection, Event, EventStream, eventually, names};

/// The lease of the hosts, the longest pause until another host looks, and the time in which a busy machine starts an
/// attempt.
const SETTLED_WITHIN: Duration = Duration::from_secs(3 + 8 + 9);

/// The events of a run up to its end, as a host shows them.
async fn log(host: &Api, run: &Value) -> Vec<Event> {
    host.follow(run).await.rest().await
}

/// Panics unless their numbers are without a gap, and the last one alone ends the run.
#[track_caller]
fn are_whole(events: &[Event]) {
    let seqs: Vec<u64> = events.iter().map(Event::seq).collect();
    assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<_>>(), "{:?}", names(events));
    let ends = events.iter().filter(|event| event.is_terminal()).count();
    assert!(ends == 1 && events.last().is_some_and(Event::is_terminal), "{:?}", names(events));
}

/// Events of a run of `steps` up to its second step: before that, the checkpoint of the first was saved.
async fn with_checkpoint(stream: &mut EventStream) -> Vec<Event> {
    let mut events = stream.until("step").await;
    events.extend(stream.until("step").await);
    events
}

/// The ids under which the hosts of that name are alive, as another one sees them.
async fn ids(host: &Api, name: &str) -> Vec<String> {
    let hosts = host.get("/api/hosts").await.json();
    let hosts = hosts["hosts"].as_array().expect("a list").clone();
    let named = hosts.iter().filter(|host| host["name"] == name);
    named.map(|host| host["id"].as_str().expect("an id").to_owned()).collect()
}

/// Both hosts know of each other, and have had their leases for as long as one lasts: only then a host judges others.
async fn are_steady(hosts: &[ChildHost]) {
    let started = Instant::now();
    eventually("a lease has passed", || async { started.elapsed() > Duration::from_secs(4) }).await;
    for host in hosts {
        assert_eq!(
            host.get("/api/hosts").await.json()["hosts"].as_array().expect("a list").len(),
            hosts.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runs_of_a_host_that_is_killed_are_settled_by_another_soon() {
    let Some(cluster) = Cluster::new("a host that is killed") else { return };
    let hosts = cluster.two(&[]);
    are_steady(&hosts).await;
    let [a, b] = hosts;
    let lost = a.probe(json!({ "do": "until-cancelled" })).await;
    let saved = a.probe(json!({ "do": "steps", "n": 40, "ms": 100 })).await;
    let held = a.probe(json!({ "do": "until-cancelled" })).await;
    let mut stream = b.follow(&saved).await;
    let mut before = with_checkpoint(&mut stream).await;
    let mut reader = b.follow(&lost).await;
    reader.until("waiting").await;
    b.follow(&held).await.until("waiting").await;
    let paused = b.post(&format!("/api/runs/{}/pause", held["id"].as_str().unwrap()), "").await;
    assert_eq!(paused.json()["status"], "paused");
    let killed = Instant::now();
    a.kill();

    let last = reader.rest().await;
    assert!(killed.elapsed() < SETTLED_WITHIN, "it took {:?}", killed.elapsed());
    let last = last.last().expect("an end").json();
    assert_eq!(
        (&last["type"], &last["data"]["error"]["kind"]),
        (&json!("run.failed"), &json!("interrupted"))
    );
    before.extend(stream.until("run.retrying").await);
    assert!(killed.elapsed() < SETTLED_WITHIN, "it took {:?}", killed.elapsed());
    before.extend(stream.rest().await);
    are_whole(&before);
    let begins: Vec<Value> = before
        .iter()
        .filter(|event| event.name == "begin")
        .map(|event| event.json()["data"].clone())
        .collect();
    assert_eq!((begins.len(), &begins[1]["attempt"]), (2, &json!(2)), "{begins:?}");
    assert!(begins[1]["from"].as_u64() > Some(0), "it continues from its checkpoint: {begins:?}");
    assert_eq!(b.read_run(&saved).await["status"], "completed");
    assert_eq!(b.finished(&held).await["error"]["kind"], "interrupted", "also one that was paused");
    assert!(ids(&b, "a").await.is_empty(), "the list of hosts has only the living");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_the_task_holds_at_the_host_that_settles_its_run() {
    let Some(cluster) = Cluster::new("policies of interrupted runs") else { return };
    cluster.manifest("on-interrupt = 'rerun'\n");
    let hosts = cluster.two(&[]);
    are_steady(&hosts).await;
    let [a, b] = hosts;
    let run = a.probe(json!({ "do": "wait-for-signal" })).await;
    let mut stream = b.follow(&run).await;
    stream.until("waiting").await;
    a.kill();
    let again = stream.until("waiting").await;
    assert!(names(&again).contains(&"run.retrying"), "{:?}", names(&again));
    // A signal by way of the host that executes it now.
    b.post(&format!("/api/runs/{}/signals/go", run["id"].as_str().unwrap()), "1").await;
    assert_eq!(stream.rest().await.last().expect("an end").name, "run.completed");
    are_whole(&log(&b, &run).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_a_dead_host_never_heard_ends_its_run_as_cancelled() {
    let Some(cluster) = Cluster::new("a cancel for a dead host") else { return };
    let hosts = cluster.two(&[]);
    are_steady(&hosts).await;
    let [a, b] = hosts;
    let run = a.probe(json!({ "do": "until-cancelled" })).await;
    b.follow(&run).await.until("waiting").await;
    a.signal("STOP");
    b.cancel(&run).await;
    a.kill();
    assert_eq!(b.finished(&run).await["status"], "cancelled");
    are_whole(&log(&b, &run).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_stopped_for_longer_than_its_lease_writes_nothing_late_and_works_on() {
    let Some(cluster) = Cluster::new("a host that is stopped") else { return };
    let hosts = cluster.two(&[]);
    are_steady(&hosts).await;
    let [a, b] = hosts;
    let saved = a.probe(json!({ "do": "work", "until_stop": true, "ms": 5, "burst": 3, "save": true })).await;
    let lost = a.probe(json!({ "do": "work", "until_stop": true, "ms": 5, "burst": 3 })).await;
    let mut stream = b.follow(&saved).await;
    stream.until("saved").await;
    let old = ids(&b, "a").await;
    a.signal("STOP");
    stream.until("run.retrying").await;
    stream.until("saved").await;
    assert_eq!(b.finished(&lost).await["error"]["kind"], "interrupted");
    let settled = log(&b, &lost).await;
    a.signal("CONT");
    eventually("it comes back under a new id", || async {
        let new = ids(&b, "a").await;
        new.len() == 1 && new != old
    })
    .await;
    // What executes now is known to both, and ends once.
    let stop = format!("/api/runs/{}/parameters/stop", saved["id"].as_str().unwrap());
    assert!(a.request(&hyper::Method::PUT, &stop, &[], "true").await.status.is_success());
    assert_eq!(a.finished(&saved).await["status"], "completed");
    for host in [&a, &b] {
        let events = log(host, &saved).await;
        are_whole(&events);
        let retrying =
            events.iter().position(|event| event.name == "run.retrying").expect("a second attempt");
        let late = events[retrying..]
            .iter()
            .filter(|event| event.json()["data"]["attempt"] == 1 && event.name == "step");
        assert_eq!(late.count(), 0, "the first attempt says nothing after the second has begun");
        assert_eq!(log(host, &lost).await, settled, "nothing follows the end");
    }
    let run = a.run(json!({ "do": "echo" })).await;
    assert_eq!(run["status"], "completed", "it executes again");
    assert_eq!(b.read_run(&run).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_stopped_for_less_than_its_lease_keeps_its_runs() {
    let Some(cluster) = Cluster::new("a host that is stopped for a moment") else { return };
    let hosts = cluster.two(&[]);
    are_steady(&hosts).await;
    let [a, b] = &hosts;
    let run = a.probe(json!({ "do": "work", "until_stop": true, "ms": 5, "burst": 1 })).await;
    let mut stream = b.follow(&run).await;
    stream.until("step").await;
    let before = ids(b, "a").await;
    a.signal("STOP");
    let stopped = Instant::now();
    eventually("a moment has passed", || async { stopped.elapsed() > Duration::from_millis(800) }).await;
    a.signal("CONT");
    stream.until("step").await;
    let stop = format!("/api/runs/{}/parameters/stop", run["id"].as_str().unwrap());
    assert!(b.request(&hyper::Method::PUT, &stop, &[], "true").await.status.is_success());
    assert_eq!(b.finished(&run).await["status"], "completed");
    let events = log(b, &run).await;
    are_whole(&events);
    assert!(!names(&events).contains(&"run.retrying"), "it was never taken");
    assert_eq!(ids(b, "a").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stops_in_order_hands_its_runs_over_at_once() {
    let Some(cluster) = Cluster::new("a host that stops in order") else { return };
    // A lease that nobody waits for in this test.
    let hosts = ["a", "b"].map(|name| cluster.start(name, &["--lease", "10m", "--drain-grace", "100ms"]));
    let [a, b] = hosts;
    let saved = a.probe(json!({ "do": "steps", "n": 30, "ms": 50 })).await;
    let lost = a.probe(json!({ "do": "until-cancelled" })).await;
    let mut stream = b.follow(&saved).await;
    let mut events = with_checkpoint(&mut stream).await;
    b.follow(&lost).await.until("waiting").await;
    let (status, said) = a.terminate();
    assert!(status.success(), "{said:?}");
    events.extend(stream.rest().await);
    are_whole(&events);
    assert_eq!(b.read_run(&saved).await["status"], "completed");
    assert_eq!(b.finished(&lost).await["error"]["kind"], "interrupted");
    assert!(ids(&b, "a").await.is_empty(), "it has left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_host_that_dies_goes_on_at_another_without_a_gap() {
    let Some(cluster) = Cluster::new("clients of a dead host") else { return };
    let hosts = cluster.two(&[]);
    are_steady(&hosts).await;
    let [a, b] = hosts;
    // Executed by the host that lives.
    let run = b.probe(json!({ "do": "flood", "events": 4000, "bytes": 50, "pause_ms": 10 })).await;
    let mut stream = a.follow(&run).await;
    let mut events = stream.take(100).await;
    a.kill();
    while let Ok(Some(event)) = stream.try_next().await {
        events.push(event);
    }
    let last = events.last().expect("some").id.clone();
    events.extend(b.follow_with(&run, "", &[("last-event-id", &last)]).await.rest().await);
    are_whole(&events);
    assert_eq!(events.iter().filter(|event| event.name == "flood").count(), 4000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_host_that_dies_leaves_its_runs_to_the_next_one_that_starts() {
    let Some(cluster) = Cluster::new("a host alone that is killed") else { return };
    let a = cluster.start("a", &[]);
    let run = a.probe(json!({ "do": "steps", "n": 20, "ms": 50 })).await;
    with_checkpoint(&mut a.follow(&run).await).await;
    a.kill();
    let b = cluster.start("b", &[]);
    assert_eq!(b.finished(&run).await["status"], "completed");
    are_whole(&log(&b, &run).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_and_comes_back_loses_nothing() {
    let Some(cluster) =
        Cluster::with_own_server("a database that restarts", Options { fsync: true, ..Options::default() })
    else {
        return;
    };
    let hosts = cluster.two(&[]);
    let [a, b] = &hosts;
    let run = a.probe(json!({ "do": "flood", "events": 4000, "bytes": 50, "pause_ms": 50 })).await;
    let (mut here, mut there) = (a.follow(&run).await, b.follow(&run).await);
    let (mut here_events, mut there_events) = (here.take(50).await, there.take(50).await);
    cluster.server().restart();
    here_events.extend(here.rest().await);
    there_events.extend(there.rest().await);
    for events in [&here_events, &there_events] {
        are_whole(events);
        assert_eq!(events.iter().filter(|event| event.name == "flood").count(), 4000);
        assert!(!names(events).contains(&"run.retrying"), "nobody was declared dead");
    }
    assert_eq!(b.read_run(&run).await["status"], "completed");
    for host in &hosts {
        assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_says_that_its_database_is_away_and_goes_on_when_it_is_back() {
    let Some(cluster) = Cluster::with_own_server("a database that is away", Options::default()) else {
        return;
    };
    let hosts = cluster.two(&[]);
    let [a, b] = &hosts;
    let run = a.probe(json!({ "do": "work", "until_stop": true, "ms": 20, "burst": 1 })).await;
    let mut stream = b.follow_with(&run, "heartbeat=1", &[]).await;
    let mut events = stream.until("step").await;
    cluster.server().crash();
    for host in &hosts {
        eventually("it says why it is not ready", || async {
            let ready = host.get("/readyz").await;
            ready.status == StatusCode::SERVICE_UNAVAILABLE
                && ready.json()["reasons"].to_string().to_lowercase().contains("database")
        })
        .await;
        // Not accepted rather than lost; and the answer does not keep the client waiting for long.
        let asked = Instant::now();
        let mut connection = Connection::open(host.address).await;
        let start = "/api/tasks/test/probe/runs";
        let refused = connection.request(&hyper::Method::POST, start, &[], r#"{"do":"echo"}"#).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
        assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
        assert_eq!(host.get("/healthz").await.status, 200, "a restart would not help");
    }
    cluster.server().start_again();
    for host in &hosts {
        eventually("it is ready again", || async { host.get("/readyz").await.status == 200 }).await;
    }
    events.extend(stream.until("step").await);
    let stop = format!("/api/runs/{}/parameters/stop", run["id"].as_str().unwrap());
    assert!(b.request(&hyper::Method::PUT, &stop, &[], "true").await.status.is_success());
    events.extend(stream.rest().await);
    are_whole(&events);
    assert!(!names(&events).contains(&"run.retrying"), "both hosts had the time to renew their leases");
    assert_eq!(a.read_run(&run).await["status"], "completed");
}
