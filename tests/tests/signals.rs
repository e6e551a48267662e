//! Messages to runs: held and let go on, signals, parameters.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use streamtask_host::config::Durability;
use streamtask_tests::{EventStream, TestHost, eventually, guests, soon};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

async fn post(host: &TestHost, run: &Value, what: &str, body: &str) -> Value {
    let path = format!("/api/runs/{}/{what}", run["id"].as_str().unwrap());
    let answer = host.post(&path, body).await;
    assert!([200, 202].contains(&answer.status.as_u16()), "{what}: {} {:?}", answer.status, answer.body);
    answer.json()
}

async fn until(stream: &mut EventStream, name: &str) -> Value {
    while let Some(event) = stream.next().await {
        if event.name == name {
            return event.json()["data"].clone();
        }
    }
    panic!("the stream ended without {name}");
}

async fn status(host: &TestHost, run: &Value) -> String {
    let run = host.get(&format!("/api/runs/{}", run["id"].as_str().unwrap())).await.json();
    run["status"].as_str().unwrap().to_owned()
}

/// How many events a run has.
async fn count(host: &TestHost, run: &Value) -> u64 {
    let path = format!("{}?tail=1", run["stream"].as_str().unwrap());
    let mut stream = EventStream::open(host.address, &path, &[]).await;
    stream.next().await.unwrap().seq()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_spins_is_held_and_can_be_cancelled_meanwhile() {
    let host = TestHost::with(|config| {
        config.cancel_grace = Duration::from_millis(50);
        config.limits.cpu = Some(Duration::from_millis(500));
    })
    .await;
    let run = host.probe(json!({ "do": "spin" })).await;
    let mut stream = host.follow(&run).await;
    until(&mut stream, "spinning").await;
    assert_eq!(post(&host, &run, "pause", "").await["status"], "paused");
    until(&mut stream, "run.paused").await;
    // Were it not held, it would have computed longer than it may.
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(status(&host, &run).await, "paused");
    assert_eq!(post(&host, &run, "pause", "").await["status"], "paused", "again is no error");
    assert_eq!(post(&host, &run, "cancel", "").await["status"], "running", "it goes on, to clean up");
    until(&mut stream, "run.cancelled").await;
    assert_eq!(status(&host, &run).await, "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_run_says_nothing_and_its_deadline_stands_still() {
    let host = TestHost::with(|config| config.limits.deadline = Some(Duration::from_millis(1500))).await;
    let run = host.probe(json!({ "do": "ticks", "n": 50, "ms": 10 })).await;
    let mut stream = host.follow(&run).await;
    until(&mut stream, "run.started").await;
    post(&host, &run, "pause", "").await;
    until(&mut stream, "run.paused").await;
    let held_at = count(&host, &run).await;
    tokio::time::sleep(Duration::from_millis(1700)).await;
    // One event may have been on its way when the gate closed.
    assert!(count(&host, &run).await <= held_at + 1, "nothing was said while it was held");
    assert_eq!(status(&host, &run).await, "paused", "longer than its deadline");
    assert_eq!(post(&host, &run, "resume", "").await["status"], "running");
    until(&mut stream, "run.resumed").await;
    until(&mut stream, "run.completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_at_once_do_not_overtake_each_other() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "ticks", "n": 20, "ms": 5 })).await;
    for _ in 0..20 {
        tokio::join!(post(&host, &run, "pause", ""), post(&host, &run, "resume", ""));
        tokio::join!(post(&host, &run, "resume", ""), post(&host, &run, "pause", ""));
    }
    assert_eq!(post(&host, &run, "resume", "").await["status"], "running");
    assert_eq!(host.finished(&run).await["status"], "completed", "what storage calls running runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_run_that_is_held_is_passed_over() {
    let host = TestHost::with(|config| config.max_running = 1).await;
    let first = host.probe(json!({ "do": "until-cancelled" })).await;
    let held = host.probe(json!({ "do": "echo", "n": 1 })).await;
    let next = host.probe(json!({ "do": "echo", "n": 2 })).await;
    assert_eq!(post(&host, &held, "pause", "").await["status"], "paused");
    post(&host, &first, "cancel", "").await;
    host.finished(&next).await;
    assert_eq!(status(&host, &held).await, "paused");
    assert_eq!(post(&host, &held, "resume", "").await["status"], "queued");
    assert_eq!(host.finished(&held).await["status"], "completed");
    let names: Vec<String> =
        host.follow(&held).await.rest().await.into_iter().map(|event| event.name).collect();
    assert_eq!(names, ["run.queued", "run.paused", "run.resumed", "run.started", "run.completed"]);

    let first = host.probe(json!({ "do": "until-cancelled" })).await;
    let held = host.probe(json!({ "do": "echo" })).await;
    post(&host, &held, "pause", "").await;
    assert_eq!(post(&host, &held, "cancel", "").await["status"], "cancelled", "at once, for it never ran");
    post(&host, &first, "cancel", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_run_with_a_checkpoint_stays_held_across_a_restart() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "checkpoint-then-wait" })).await;
    let mut stream = host.follow(&run).await;
    until(&mut stream, "saved").await;
    post(&host, &run, "pause", "").await;
    until(&mut stream, "run.paused").await;
    let host = host.stop().await.restart().await;
    assert_eq!(status(&host, &run).await, "paused");
    assert_eq!(post(&host, &run, "resume", "").await["status"], "queued");
    let mut stream = host.follow(&run).await;
    assert_eq!(until(&mut stream, "run.retrying").await["attempt"], 2);
    post(&host, &run, "cancel", "").await;
    until(&mut stream, "run.cancelled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_wait_for_the_run_in_order_and_none_is_lost_or_doubled() {
    let host = TestHost::with(|config| config.max_running = 1).await;
    let first = host.probe(json!({ "do": "until-cancelled" })).await;
    let run = host.probe(json!({ "do": "signals", "count": 61 })).await;
    // Before it runs,
    for nth in 0..20 {
        post(&host, &run, "signals/step", &nth.to_string()).await;
    }
    post(&host, &first, "cancel", "").await;
    // and while it does.
    for nth in 20..60 {
        post(&host, &run, "signals/step", &nth.to_string()).await;
    }
    // It still waits for one, so the log has all others.
    let mut stream = host.follow(&run).await;
    for _ in 0..60 {
        until(&mut stream, "run.signal").await;
    }
    post(&host, &run, "signals/step", "60").await;
    let done = host.finished(&run).await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(done["final_value"], json!((0..61).collect::<Vec<_>>()));
    let told =
        host.follow(&run).await.rest().await.into_iter().filter(|event| event.name == "run.signal").count();
    // A run that ends with the last one may do so before the log is told of it.
    assert!([60, 61].contains(&told), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_can_wait_for_signals_of_one_name_and_with_a_time_limit() {
    let host = TestHost::start().await;
    let run =
        host.probe(json!({ "do": "signals", "count": 1, "name": "approve", "timeout_ms": 60000 })).await;
    post(&host, &run, "signals/other", "1").await;
    post(&host, &run, "signals/approve", "{\"by\":\"Ada\"}").await;
    assert_eq!(host.finished(&run).await["final_value"], json!([{ "by": "Ada" }]));
    let run = host.probe(json!({ "do": "signals", "count": 1, "timeout_ms": 20 })).await;
    assert_eq!(host.finished(&run).await["final_value"], json!([]), "none came in time");
    let run = host.probe(json!({ "do": "signals", "count": 1 })).await;
    post(&host, &run, "cancel", "").await;
    assert_eq!(host.finished(&run).await["status"], "cancelled", "a cancel ends the wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_read_live_and_kept() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "until-parameter", "name": "speed" })).await;
    let path = format!("/api/runs/{}/parameters", run["id"].as_str().unwrap());
    let set = host.request(&Method::PUT, &format!("{path}/speed"), &[], "[1, 2]").await;
    assert_eq!(set.status, 200, "{:?}", set.body);
    assert_eq!(host.finished(&run).await["final_value"], json!([1, 2]));
    assert_eq!(host.get(&path).await.json(), json!({ "speed": [1, 2] }));
    let late = host.request(&Method::PUT, &format!("{path}/speed"), &[], "3").await;
    assert_eq!(late.problem(409, "already-ended")["status"], 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_set_before_the_run_began_are_there() {
    let host = TestHost::with(|config| config.max_running = 1).await;
    let first = host.probe(json!({ "do": "until-cancelled" })).await;
    let run = host.probe(json!({ "do": "until-parameter", "name": "speed" })).await;
    let path = format!("/api/runs/{}/parameters/speed", run["id"].as_str().unwrap());
    assert_eq!(host.request(&Method::PUT, &path, &[], "7").await.status, 200);
    post(&host, &first, "cancel", "").await;
    assert_eq!(host.finished(&run).await["final_value"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_make_no_sense_are_refused() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "until-cancelled" })).await;
    let path = |what: &str| format!("/api/runs/{}/{what}", run["id"].as_str().unwrap());
    assert_eq!(host.post("/api/runs/nobody/pause", "").await.problem(404, "unknown-run")["status"], 404);
    assert_eq!(host.post(&path("signals/x"), "{").await.problem(400, "invalid-json")["status"], 400);
    assert_eq!(host.post(&path("signals/a%0Ab"), "").await.problem(400, "invalid-name")["status"], 400);
    let large = format!("\"{}\"", "x".repeat(70_000));
    assert_eq!(host.post(&path("signals/x"), large).await.problem(413, "too-large")["status"], 413);
    assert_eq!(host.get(&path("pause")).await.problem(405, "method-not-allowed")["status"], 405);
    for _ in 0..1000 {
        assert_eq!(host.post(&path("signals/a%20b"), "").await.status, 202);
    }
    let refused = host.post(&path("signals/x"), "").await.problem(409, "conflict");
    assert!(refused["detail"].as_str().unwrap().contains("1000 signals wait"), "{refused}");
    post(&host, &run, "cancel", "").await;
    eventually("the end", || async { status(&host, &run).await == "cancelled" }).await;
}

/// Asks to hold a run, and goes away after a while, mostly before the answer.
async fn pause_and_leave(host: &TestHost, run: &Value, after: Duration) {
    let id = run["id"].as_str().unwrap();
    let request = format!("POST /api/runs/{id}/pause HTTP/1.1\r\nhost: {}\r\n\r\n", host.address);
    let mut connection = TcpStream::connect(host.address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(after).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_hears_also_of_what_a_client_did_not_wait_for() {
    // Where a commit takes its time, a client can go away meanwhile.
    let host = TestHost::with(|config| config.durability = Durability::Full).await;
    let run = host.probe(json!({ "do": "ticks", "n": 1_000_000, "ms": 1 })).await;
    let path = format!("/api/runs/{}/parameters/x", run["id"].as_str().unwrap());
    let mut stream = host.follow(&run).await;
    for nth in 0..100 {
        pause_and_leave(&host, &run, Duration::from_micros(nth * 50)).await;
        // Written after whatever the one before has asked for.
        assert_eq!(host.request(&Method::PUT, &path, &[], "1").await.status, 200);
        if status(&host, &run).await == "paused" {
            soon("the run is held, as it says", stream.until("run.paused")).await;
            post(&host, &run, "resume", "").await;
            stream.until("run.resumed").await;
        }
    }
    post(&host, &run, "cancel", "").await;
    assert_eq!(stream.rest().await.last().unwrap().name, "run.cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_while_an_attempt_ends_is_in_the_log() {
    const SIGNALS: usize = 150;
    let host = TestHost::with(|config| config.durability = Durability::Full).await;
    let policy = "[retry]\nattempts = 1000\nbackoff = \"5ms\"\nfactor = 1.0\n";
    std::fs::write(host.tasks().join("test/restless.toml"), policy).unwrap();
    host.install("test/restless.wasm", &guests::probe()).await;
    // Each attempt fails at once, and another follows.
    let run = host.start_run("test/restless", json!({ "do": "fail" })).await;
    for _ in 0..SIGNALS {
        post(&host, &run, "signals/x", "").await;
    }
    post(&host, &run, "cancel", "").await;
    let events = host.follow(&run).await.rest().await;
    assert_eq!(events.iter().filter(|event| event.name == "run.signal").count(), SIGNALS);
}
