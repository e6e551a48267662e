//! What the operator says of a task, in a file beside it.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use streamtask_tests::{TestHost, eventually};

/// Writes a file into the tasks folder and waits until it is what the host goes by.
async fn say(host: &TestHost, file: &str, text: &str, shown: impl Fn(&Value) -> bool) {
    fs::write(host.tasks().join(file), text).unwrap();
    eventually(file, || async { shown(&host.get("/api/tasks/test/probe").await.json()) }).await;
}

async fn names(host: &TestHost, run: &Value) -> Vec<String> {
    host.follow(run).await.rest().await.into_iter().map(|event| event.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_those_of_the_task_and_reload_like_its_file() {
    let host = TestHost::start().await;
    let oom = json!({ "do": "oom" });
    let message = |run: &Value| run["error"]["message"].as_str().unwrap_or_default().to_owned();
    host.manifest("[limits]\nmemory = '4MiB'\n").await;
    let run = host.run(oom.clone()).await;
    assert_eq!(run["error"]["kind"], "out-of-memory");
    assert!(message(&run).contains(&(4 << 20).to_string()), "{run}");
    host.manifest("[limits]\nmemory = '8MiB'\n").await;
    assert!(message(&host.run(oom).await).contains(&(8 << 20).to_string()));

    host.manifest("[limits]\ndeadline = '50ms'\n").await;
    assert_eq!(host.run(json!({ "do": "sleep", "ms": 60000 })).await["error"]["kind"], "deadline-exceeded");
    host.manifest("[limits]\ninput = '30B'\n").await;
    let long = json!({ "do": "echo", "more": "than thirty bytes" });
    let refused = host.post("/api/tasks/test/probe/runs", long.to_string()).await;
    assert!(refused.problem(400, "invalid-input")["detail"].as_str().unwrap().contains("the limit is 30"));
    fs::remove_file(host.tasks().join("test/probe.toml")).unwrap();
    eventually("no manifest", || async {
        host.get("/api/tasks/test/probe").await.json()["description"] == "Does whatever a test asks for."
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_does_not_match_the_output_schema_fails_the_run_unless_that_is_only_told() {
    let host = TestHost::start().await;
    let schema = "[output-schema]\ntype = 'object'\nproperties.n = { type = 'integer' }\n";
    let (fits, misfits) = (json!({ "do": "echo", "n": 7 }), json!({ "do": "echo", "n": "seven" }));
    host.manifest(schema).await;
    assert_eq!(host.run(fits.clone()).await["final_value"], fits);
    let run = host.run(misfits.clone()).await;
    assert_eq!(
        (&run["status"], &run["error"]["kind"]),
        (&json!("failed"), &json!("invalid-output")),
        "{run}"
    );
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("the result does not match the task's output schema: /n: "), "{message}");
    assert_eq!(run["error"]["details"]["errors"][0]["pointer"], "#/n", "{run}");
    assert_eq!(run["error"]["details"]["result"], misfits, "what it took an hour to find is not lost");

    host.manifest(&format!("strict-output = false\n{schema}")).await;
    let run = host.start_run("test/probe", misfits.clone()).await;
    let events = host.follow(&run).await.rest().await;
    assert_eq!(host.finished(&run).await["final_value"], misfits);
    let log = events.iter().find(|event| event.name == "log").expect("a line in the log").json();
    assert_eq!(log["data"]["stream"], "host");
    assert!(log["data"]["message"].as_str().unwrap().contains("/n: "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn computing_is_limited_apart_from_waiting() {
    let host = TestHost::start().await;
    host.manifest("[limits]\ncpu = '100ms'\n").await;
    let begun = Instant::now();
    let run = host.run(json!({ "do": "spin" })).await;
    assert_eq!(run["error"]["kind"], "cpu-exceeded", "{run}");
    assert!(begun.elapsed() >= Duration::from_millis(100));
    let run = host.run(json!({ "do": "sleep", "ms": 300 })).await;
    assert_eq!(run["status"], "completed", "it slept three times as long as it may compute: {run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_limited_in_number_and_in_bytes() {
    let host = TestHost::start().await;
    host.manifest("[limits]\nevents = 5\n").await;
    let run = host.run(json!({ "do": "flood", "events": 6 })).await;
    assert_eq!(run["error"]["message"], "the attempt has reached its limit of 5 events");
    assert_eq!(names(&host, &run).await.iter().filter(|name| *name == "flood").count(), 5);
    host.manifest("[limits]\nevents-size = '1KiB'\n").await;
    let run = host.run(json!({ "do": "flood", "events": 20, "bytes": 100 })).await;
    assert_eq!(run["error"]["message"], "the attempt has reached its limit of 1024 bytes of events");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_tried_again_by_policy_and_in_the_open() {
    let host = TestHost::start().await;
    host.manifest("[retry]\nattempts = 3\nbackoff = '20ms'\njitter = 0\n").await;
    let run = host.run(json!({ "do": "fail" })).await;
    assert_eq!((&run["status"], &run["attempt"]), (&json!("failed"), &json!(3)));
    let events = host.follow(&run).await.rest().await;
    let told: Vec<String> =
        events.iter().map(|event| format!("{} {}", event.name, event.json()["attempt"])).collect();
    let expected = [
        "run.started 1",
        "run.retrying 1",
        "run.started 2",
        "run.retrying 2",
        "run.started 3",
        "run.failed 3",
    ];
    assert_eq!(told, expected);
    let retrying = events[1].json()["data"].clone();
    assert_eq!((&retrying["attempt"], &retrying["error"]["kind"]), (&json!(2), &json!("failure")));
    assert_eq!(events.iter().map(|event| event.seq()).collect::<Vec<_>>(), (1..=6).collect::<Vec<_>>());

    // A trap is tried again only where the operator says so.
    let run = host.run(json!({ "do": "panic" })).await;
    assert_eq!(run["attempt"], 1);
    host.manifest("[retry]\nattempts = 2\nbackoff = '1ms'\non = ['trap']\n").await;
    assert_eq!(host.run(json!({ "do": "panic" })).await["attempt"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_between_two_attempts_waits_in_the_open_and_can_be_cancelled() {
    let host = TestHost::start().await;
    host.manifest("[retry]\nattempts = 2\nbackoff = '1h'\n").await;
    let run = host.probe(json!({ "do": "fail" })).await;
    let path = format!("/api/runs/{}", run["id"].as_str().unwrap());
    eventually("the pause", || async { host.get(&path).await.json()["status"] == "delayed" }).await;
    assert!(host.get(&path).await.json()["not_before"].is_string());
    // It survives a restart,
    let host = host.stop().await.restart().await;
    assert_eq!(host.get(&path).await.json()["status"], "delayed");
    // and takes no slot meanwhile.
    assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed");
    assert_eq!(host.post(&format!("{path}/cancel"), "").await.json()["status"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_a_task_at_once_are_as_many_as_its_manifest_says() {
    let host = TestHost::start().await;
    host.manifest("[concurrency]\nmax-running = 1\n").await;
    let first = host.probe(json!({ "do": "until-cancelled" })).await;
    let second = host.probe(json!({ "do": "echo" })).await;
    assert_eq!((&first["status"], &second["status"]), (&json!("running"), &json!("queued")));
    host.post(&format!("/api/runs/{}/cancel", first["id"].as_str().unwrap()), "").await;
    assert_eq!(host.finished(&second).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_told_with_its_place_and_the_last_good_version_serves_on() {
    let host = TestHost::start().await;
    host.manifest("[limits]\nlog = '1KiB'\n").await;
    let problem = |task: &Value| task["problem"]["message"].as_str().unwrap_or_default().to_owned();
    let mistakes = [
        ("test/probe.toml", "[limits]\nmemroy = '1MiB'\n", "test/probe.toml line 2, column 1: unknown field"),
        (
            "test/probe.toml",
            "[limits]\nmemory = '1TiB'\n",
            "line 2, column 10: the host allows at most 256.0 MiB",
        ),
        ("test/app.toml", "[retry]\nattempts = 'many'\n", "test/app.toml line 2, column 12"),
    ];
    for (file, text, expected) in mistakes {
        say(&host, file, text, |task| problem(task).contains(expected)).await;
        assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed", "{expected}");
    }
    fs::remove_file(host.tasks().join("test/app.toml")).unwrap();
    host.manifest("[limits]\nlog = '2KiB'\n").await;
    assert_eq!(problem(&host.get("/api/tasks/test/probe").await.json()), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_manifest_is_for_all_its_tasks_and_theirs_win() {
    let host = TestHost::start().await;
    say(&host, "test/app.toml", "description = 'Of the app.'\n[limits]\nevents = 2\n", |task| {
        task["description"] == "Of the app."
    })
    .await;
    assert_eq!(host.run(json!({ "do": "flood", "events": 3 })).await["status"], "failed");
    host.manifest("[limits]\nevents = 3\n").await;
    assert_eq!(host.run(json!({ "do": "flood", "events": 3 })).await["status"], "completed");
}
