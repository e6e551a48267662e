//! What becomes of a run, whatever its guest does: one clear end, and the host
//! goes on.

use serde_json::{Value, json};
use std::time::Duration;
use streamtask_tests::{TestHost, guests};

/// Runs the probe, and checks what holds for every run: the stream ends with one
/// terminal event, which says the same as the record.
async fn end(host: &TestHost, input: Value) -> Value {
    let run = host.probe(input).await;
    let events = host.follow(&run).await.rest().await;
    let terminal: Vec<_> = events.iter().filter(|event| event.is_terminal()).collect();
    assert_eq!(terminal.len(), 1, "one terminal event");
    assert_eq!(events.last(), Some(terminal[0]), "and it is the last");
    let data = &terminal[0].json()["data"];
    let run = host.get(&format!("/api/runs/{}", run["id"].as_str().unwrap())).await.json();
    assert_eq!(data["status"], run["status"]);
    assert_eq!(data.get("error").cloned().unwrap_or_default(), run["error"]);
    assert_eq!(data.get("final_value").cloned().unwrap_or_default(), run["final_value"]);
    assert!(!run["started_at"].is_null() && !run["finished_at"].is_null());
    run
}

async fn failed(host: &TestHost, input: Value, kind: &str) -> String {
    let run = end(host, input).await;
    assert_eq!(run["status"], "failed", "{run}");
    assert_eq!(run["error"]["kind"], kind, "{run}");
    assert!(run["final_value"].is_null());
    run["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returned_value_is_kept() {
    let host = TestHost::start().await;
    let input = json!({ "do": "echo", "text": "ü\n\u{0}\u{2028}", "nested": [1, { "a": null }] });
    let run = end(&host, input.clone()).await;
    assert_eq!((&run["status"], &run["final_value"], &run["input"]), (&json!("completed"), &input, &input));
    assert_eq!((&run["attempt"], &run["error"]), (&json!(1), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_kept_with_all_it_said() {
    let host = TestHost::start().await;
    let run = end(&host, json!({ "do": "fail" })).await;
    let expected = json!({
        "kind": "failure", "message": "as asked", "code": "asked", "details": { "why": [1, 2] }, "retryable": true
    });
    assert_eq!(run["error"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_says_what_and_where() {
    let host = TestHost::start().await;
    let message = failed(&host, json!({ "do": "panic" }), "trap").await;
    let told = message.strip_prefix("panicked at probe/src/lib.rs:").and_then(|rest| rest.split_once(": "));
    assert_eq!(told.map(|(_, why)| why), Some("boom"), "{message}");
    let message = failed(&host, json!({ "do": "divide", "zero": 0 }), "trap").await;
    assert!(message.contains("divide by zero"), "{message}");
    let message = failed(&host, json!({ "do": "recurse" }), "trap").await;
    assert!(message.contains("stack"), "{message}");
    let message = failed(&host, json!({ "do": "exit" }), "trap").await;
    assert!(message.contains("a non-zero code"), "{message}");
    let run = end(&host, json!({ "do": "panic" })).await;
    assert!(run["error"]["trace"].as_str().is_some_and(|trace| trace.lines().count() > 1), "{run}");
    assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed", "the host goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded() {
    let host = TestHost::with(|config| config.limits.memory_bytes = 20 << 20).await;
    let message = failed(&host, json!({ "do": "oom" }), "out-of-memory").await;
    assert!(message.contains(&(20 << 20).to_string()), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_is_bounded_wherever_the_guest_is() {
    let host = TestHost::with(|config| config.limits.deadline = Some(Duration::from_millis(300))).await;
    for input in [
        json!({ "do": "spin" }),
        json!({ "do": "sleep", "ms": 60_000 }),
        json!({ "do": "std-sleep", "ms": 60_000 }),
        json!({ "do": "wait-for-signal" }),
    ] {
        let before = std::time::Instant::now();
        let message = failed(&host, input, "deadline-exceeded").await;
        assert!(message.contains("300ms"), "{message}");
        assert!(before.elapsed() < Duration::from_secs(10), "ended at its deadline, not at its own time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_checked_and_bounded() {
    let host = TestHost::with(|config| config.limits.output_bytes = 1000).await;
    let message = failed(&host, json!({ "do": "not-json" }), "invalid-output").await;
    assert!(message.contains("line 1 column"), "{message}");
    let message = failed(&host, json!({ "do": "output", "bytes": 2000 }), "invalid-output").await;
    assert!(message.contains("2002") && message.contains("1000"), "{message}");
    // Far beyond: refused before it is copied.
    failed(&host, json!({ "do": "output", "bytes": 30 << 20 }), "trap").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_events_arrive() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "flood", "events": 1_000_000 })).await;
    let mut stream = host.follow(&run).await;
    let mut last = 0;
    while let Some(event) = stream.next().await {
        last += 1;
        assert_eq!(event.seq(), last);
    }
    assert_eq!(last, 1_000_002, "all of them, `run.started` and the end");
    assert_eq!(host.finished(&run).await["final_value"], 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_events_are_refused_with_a_typed_error_and_the_run_goes_on() {
    let host = TestHost::with(|config| config.limits.event_bytes = 1000).await;
    let bad = [
        (json!({ "type": "a\nb", "data": "1" }), "invalid-argument", "control character"),
        (json!({ "type": "a\rdata: x", "data": "1" }), "invalid-argument", "control character"),
        (json!({ "type": "", "data": "1" }), "invalid-argument", "0 bytes"),
        (json!({ "type": "x".repeat(200), "data": "1" }), "invalid-argument", "200 bytes"),
        (json!({ "type": "run.completed", "data": "1" }), "invalid-argument", "reserved"),
        (json!({ "type": "gap", "data": "1" }), "invalid-argument", "reserved"),
        (json!({ "type": "t", "data": "{\"a\":}" }), "invalid-argument", "line 1 column 6"),
        (json!({ "type": "t", "data": "" }), "invalid-argument", "JSON"),
        (json!({ "type": "t", "data": "\"\\ud800\"" }), "invalid-argument", "JSON"),
        (json!({ "type": "t", "data": "[", "repeat": 500 }), "invalid-argument", "JSON"),
        (json!({ "type": "t", "data": " ", "repeat": 2000 }), "too-large", "1000"),
        (json!({ "type": "t", "data": " ", "repeat": 8 << 20 }), "too-large", "1000"),
        (json!({ "type": "t", "data": "1", "channel": "a\nb" }), "invalid-argument", "channel"),
    ];
    let events: Vec<Value> = bad.iter().map(|(event, ..)| event.clone()).collect();
    let run = end(&host, json!({ "do": "send", "events": events })).await;
    for ((event, code, words), answer) in bad.iter().zip(run["final_value"].as_array().unwrap()) {
        assert_eq!(answer["code"], *code, "{event}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(words), "{message:?} for {event}");
    }
    assert_eq!(host.follow(&run).await.rest().await.len(), 2, "none of them was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_event_named_like_an_end_is_just_an_event() {
    let host = TestHost::start().await;
    let types = ["complete", "error", "completed", "run", "done"];
    let events: Vec<Value> = types.iter().map(|name| json!({ "type": name, "data": "{}" })).collect();
    let run = end(&host, json!({ "do": "send", "events": events })).await;
    let names: Vec<String> =
        host.follow(&run).await.rest().await.into_iter().map(|event| event.name).collect();
    assert_eq!(names, ["run.started", "complete", "error", "completed", "run", "done", "run.completed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_and_channels_travel() {
    let host = TestHost::start().await;
    let input = json!({ "do": "bytes", "channel": "images", "type": "frame", "content_type": "image/png", "length": 256 });
    let run = end(&host, input).await;
    assert_eq!(run["final_value"], "ok");
    let events = host.follow(&run).await.rest().await;
    let frame = events[1].json();
    assert_eq!((&frame["channel"], &frame["content_type"]), (&json!("images"), &json!("image/png")));
    assert!(
        frame["data"].as_str().unwrap().starts_with("AAECAwQF")
            && frame["data"].as_str().unwrap().len() == 344
    );
    let refused = end(&host, json!({ "do": "bytes", "type": "frame", "content_type": "png" })).await;
    assert_eq!(refused["final_value"]["code"], "invalid-argument");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_logged_line_by_line_up_to_a_limit() {
    let host = TestHost::with(|config| config.limits.log_bytes = 1000).await;
    let run = end(&host, json!({ "do": "print", "stdout": "one\ntwo\r\nthree", "stderr": "four\n" })).await;
    let log = |events: Vec<streamtask_tests::Event>| -> Vec<Value> {
        let events = events.iter().filter(|event| event.name == "log");
        events.map(|event| event.json()["data"].clone()).collect()
    };
    let lines = log(host.follow(&run).await.rest().await);
    let line = |stream: &str, message: &str| json!({ "stream": stream, "message": message });
    let expected =
        [line("stdout", "one"), line("stdout", "two"), line("stderr", "four"), line("stdout", "three")];
    assert_eq!(lines, expected, "the unfinished line comes at the end");

    let run = end(
        &host,
        json!({ "do": "print", "stdout": "0123456789012345678901234567890123456789\n", "times": 1000 }),
    )
    .await;
    let lines = log(host.follow(&run).await.rest().await);
    assert_eq!(lines.len(), 26, "25 lines of 40 bytes, and a last word");
    assert_eq!(lines[25]["truncated"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_knows_its_run() {
    let host = TestHost::start().await;
    let answer =
        host.post("/api/tasks/test/probe/runs?id=own&label=project:x&label=user:ü", r#"{"do":"info"}"#).await;
    let run = host.finished(&answer.json()).await;
    let info = &run["final_value"];
    assert_eq!((&info["id"], &info["app"], &info["task"]), (&json!("own"), &json!("test"), &json!("probe")));
    assert_eq!((&info["version"], &info["attempt"]), (&run["version"], &json!(1)));
    assert_eq!(info["labels"], json!([["project", "x"], ["user", "ü"]]));
    assert_eq!(run["labels"], json!({ "project": "x", "user": "ü" }));
    assert!(info["remaining_ms"].as_u64().is_some_and(|ms| ms > 80_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn flush_returns_when_all_is_durable_and_checkpoints_are_bounded() {
    let host = TestHost::start().await;
    assert_eq!(end(&host, json!({ "do": "flush" })).await["status"], "completed");
    let run = end(&host, json!({ "do": "checkpoints", "bytes": 1000 })).await;
    assert_eq!(run["final_value"], json!({ "saved": "ok", "loaded": 1000 }));
    let run = end(&host, json!({ "do": "checkpoints", "bytes": 2 << 20 })).await;
    assert_eq!(run["final_value"]["saved"]["code"], "too-large");
    let run = end(&host, json!({ "do": "checkpoints", "key": "a\nb" })).await;
    assert_eq!(run["final_value"]["saved"]["code"], "invalid-argument");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_end_as_they_say() {
    let host = TestHost::start().await;
    for name in ["counter", "generator", "long-operation", "fails", "traps"] {
        host.install(&format!("demo/{name}.wasm"), &guests::example(name)).await;
    }
    let run = async |name: &str, input: &str| {
        let run = host.post(&format!("/api/tasks/demo/{name}/runs"), input).await.json();
        let events = host.follow(&run).await.rest().await;
        (host.finished(&run).await, events)
    };
    let (counted, events) = run("counter", r#"{"steps":3,"delay_ms":1}"#).await;
    assert_eq!(counted["status"], "completed");
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(
        names,
        ["run.started", "start", "progress", "progress", "progress", "complete", "run.completed"]
    );
    let step = &events[2].json()["data"];
    assert_eq!((&step["step"], &step["total"]), (&json!(1), &json!(3)));
    assert!(step["message"].is_string());

    assert_eq!(run("generator", "{}").await.0["status"], "completed");
    assert_eq!(run("fails", "{}").await.0["error"]["kind"], "failure");
    assert_eq!(run("traps", "{}").await.0["error"]["kind"], "trap");
    let answer = host.post("/api/tasks/demo/counter/runs", r#"{"steps":"many"}"#).await;
    assert_eq!(answer.problem(400, "invalid-input")["errors"][0]["pointer"], "#/steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_for_whom_the_pool_has_no_room_yet_wait_for_it() {
    let host = TestHost::with(|config| config.max_running = 20).await;
    // The pool has 1,000 tables for 20 guests, so 10 of these fit at once.
    let tables = "(table 1 funcref)".repeat(99);
    let wide = guests::ticker_with("wide", &tables);
    host.install("test/wide.wasm", &wide).await;
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(host.post("/api/tasks/test/wide/runs", "50").await.json());
    }
    for run in runs {
        let run = host.finished(&run).await;
        assert_eq!(run["status"], "completed", "{run}");
        assert_eq!(run["final_value"], "wide");
    }
}
