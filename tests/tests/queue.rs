//! Which run goes first, what only one may have, and when runs begin.

use serde_json::{Value, json};
use streamtask_tests::{ChildHost, TestHost, eventually, guests, names};

const START: &str = "/api/tasks/test/probe/runs";

/// Starts a run of the probe with a query.
async fn start(host: &TestHost, query: &str, input: Value) -> Value {
    let answer = host.post(&format!("{START}?{query}"), input.to_string()).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    answer.json()
}

async fn order_of_starts(host: &TestHost, runs: &[&Value]) -> Vec<usize> {
    let mut started = Vec::new();
    for (nth, run) in runs.iter().enumerate() {
        started.push((host.finished(run).await["started_at"].as_str().unwrap().to_owned(), nth));
    }
    started.sort();
    started.into_iter().map(|(_, nth)| nth).collect()
}

fn blocker() -> Value {
    json!({ "do": "until-cancelled" })
}

fn short() -> Value {
    json!({ "do": "sleep", "ms": 5 })
}

#[tokio::test(flavor = "multi_thread")]
async fn higher_priority_goes_first() {
    let host = TestHost::with(|config| config.max_running = 1).await;
    let first = host.probe(blocker()).await;
    let low = start(&host, "priority=-1", short()).await;
    let normal = start(&host, "", short()).await;
    let high = start(&host, "priority=100", short()).await;
    assert_eq!(
        (&low["priority"], &normal["priority"], &high["priority"]),
        (&json!(-1), &json!(0), &json!(100))
    );
    host.cancel(&first).await;
    assert_eq!(order_of_starts(&host, &[&low, &normal, &high]).await, [2, 1, 0]);
    host.manifest("[queue]\npriority = 7\n").await;
    assert_eq!(host.run(short()).await["priority"], 7);
    for wrong in ["101", "-101", "high"] {
        let refused = host.post(&format!("{START}?priority={wrong}"), "{}").await;
        assert_eq!(refused.problem(400, "invalid-parameter")["parameter"], "priority");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_with_the_same_key_go_one_after_the_other_and_others_go_past() {
    let host = TestHost::start().await;
    host.manifest("[concurrency]\nkey = '/customer'\n").await;
    let of = |customer: &str| json!({ "do": "until-cancelled", "customer": customer });
    let first = host.probe(of("ada")).await;
    let second = host.probe(of("ada")).await;
    assert_eq!((&second["status"], &second["waits_for"]), (&json!("queued"), &json!("key:test/probe:ada")));
    let other = host.probe(of("alan")).await;
    host.follow(&other).await.until("waiting").await;
    assert_eq!(host.read_run(&second).await["status"], "queued");
    let keyless = host.probe(json!({ "do": "echo" })).await;
    assert_eq!(host.finished(&keyless).await["status"], "completed");
    host.cancel(&first).await;
    host.follow(&second).await.until("waiting").await;
    assert_eq!(host.read_run(&second).await["waits_for"], Value::Null);
    let events = host.follow(&first).await.rest().await;
    assert_eq!(names(&events), ["run.started", "waiting", "run.cancelled"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_one_runs_alone_whatever_its_task() {
    let host = TestHost::start().await;
    host.install("test/other.wasm", &guests::probe()).await;
    host.manifest("[concurrency]\nresources = ['printer', '/device']\n").await;
    let first = host.probe(json!({ "do": "until-cancelled", "device": "laser" })).await;
    host.follow(&first).await.until("waiting").await;
    let other = "/api/tasks/test/other/runs";
    for name in ["printer", "laser"] {
        let busy = host.post(&format!("{other}?resource={name}&if_busy=fail"), "{}").await;
        let detail = busy.problem(409, "resource-busy")["detail"].to_string();
        assert!(detail.contains(&format!("resource:{name}")), "{detail}");
    }
    let free = host.post(&format!("{other}?resource=desk&if_busy=fail"), "{}").await;
    assert_eq!(host.finished(&free.json()).await["status"], "completed");
    let waiting = host.post(&format!("{other}?resource=laser"), "{}").await.json();
    assert_eq!(waiting["waits_for"], "resource:laser");
    host.cancel(&first).await;
    assert_eq!(host.finished(&waiting).await["status"], "completed");
    for wrong in ["", "/pointer"] {
        let refused = host.post(&format!("{other}?resource={wrong}"), "{}").await;
        assert_eq!(refused.problem(400, "invalid-parameter")["parameter"], "resource");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shares_nothing_is_never_held_up_and_two_never_have_the_same() {
    let host = TestHost::with(|config| config.max_running = 8).await;
    host.manifest("[concurrency]\nkey = '/key'\nmax-running-per-key = 2\n").await;
    let mut runs = Vec::new();
    for nth in 0..60 {
        runs.push(host.probe(json!({ "do": "sleep", "ms": nth % 5, "key": nth % 4 })).await);
    }
    let mut spans: Vec<(u64, String, String)> = Vec::new();
    for (nth, run) in runs.iter().enumerate() {
        let run = host.finished(run).await;
        assert_eq!(run["status"], "completed");
        let time = |name: &str| run[name].as_str().unwrap().to_owned();
        spans.push((nth as u64 % 4, time("started_at"), time("finished_at")));
    }
    for (key, started, _) in &spans {
        let beside = spans.iter().filter(|(other, from, to)| other == key && from <= started && started < to);
        assert!(beside.count() <= 2, "three runs of key {key} at {started}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_begins_no_sooner_than_it_should_also_after_a_restart() {
    let host = TestHost::start().await;
    let delayed = start(&host, "delay=300ms", short()).await;
    assert_eq!(delayed["status"], "delayed");
    let at = delayed["not_before"].as_str().unwrap().to_owned();
    let later = start(&host, "not_before=2099-01-31T08:00:00%2B01:00", short()).await;
    assert_eq!(later["not_before"], "2099-01-31T07:00:00.000Z");
    let host = host.stop().await.restart().await;
    let run = host.finished(&delayed).await;
    assert!(run["started_at"].as_str().unwrap() >= at.as_str(), "{run}");
    let events = host.follow(&run).await.rest().await;
    assert_eq!(names(&events), ["run.delayed", "run.started", "run.completed"]);
    assert_eq!(host.read_run(&later).await["status"], "delayed");
    host.cancel(&later).await;
    assert_eq!(host.read_run(&later).await["status"], "cancelled");
    assert_eq!(start(&host, "not_before=2001-01-01T00:00:00Z", short()).await["not_before"], Value::Null);
    for wrong in
        ["not_before=tomorrow", "delay=soon", "delay=none", "delay=1s&not_before=2099-01-31T08:00:00Z"]
    {
        host.post(&format!("{START}?{wrong}"), "{}").await.problem(400, "invalid-parameter");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_has_its_own_bound_of_waiting_runs() {
    let host = TestHost::with(|config| config.max_running = 1).await;
    host.install("test/other.wasm", &guests::probe()).await;
    host.manifest("[queue]\nmax-queued = 1\n").await;
    let first = host.probe(blocker()).await;
    host.probe(short()).await;
    let full = host.post(START, short().to_string()).await;
    full.problem(503, "queue-full");
    host.start_run("test/other", short()).await;
    host.cancel(&first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_is_treated_as_its_task_says() {
    for (policy, statuses) in
        [("fail", ["failed", "failed"]), ("resume", ["failed", "running"]), ("rerun", ["running", "running"])]
    {
        let host = TestHost::start().await;
        host.manifest(&format!("on-interrupt = '{policy}'\n")).await;
        let without = host.probe(blocker()).await;
        let with = host.probe(json!({ "do": "checkpoint-then-wait" })).await;
        host.follow(&without).await.until("waiting").await;
        host.follow(&with).await.until("waiting").await;
        let host = host.stop().await.restart().await;
        for (run, status) in [&without, &with].into_iter().zip(statuses) {
            eventually(policy, || async { host.read_run(run).await["status"] == status }).await;
            let run = host.read_run(run).await;
            if status == "failed" {
                assert_eq!(run["error"]["kind"], "interrupted");
            } else {
                eventually("another attempt", || async { host.read_run(&run).await["attempt"] == 2 }).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_holds_after_a_kill_too() {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
    guests::install(&tasks, "test/probe.wasm", &guests::probe());
    std::fs::write(tasks.join("test/probe.toml"), "on-interrupt = 'rerun'\n").unwrap();
    let host = ChildHost::start(&tasks, &data, &[]);
    let run = host.probe(blocker()).await;
    host.follow(&run).await.until("waiting").await;
    host.kill();
    let host = ChildHost::start(&tasks, &data, &[]);
    eventually("another attempt", || async {
        let run = host.read_run(&run).await;
        run["attempt"] == 2 && run["status"] == "running"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_runs_start_by_themselves_once_each() {
    let host = TestHost::start().await;
    let schedule = "[[schedule]]\nname = 'often'\ncron = '* * * * * *'\ninput = { do = 'echo', n = 7 }\n";
    host.manifest(schedule).await;
    let task = host.get("/api/tasks/test/probe").await.json();
    let shown = &task["schedules"][0];
    assert_eq!(
        (&shown["name"], &shown["time_zone"], &shown["misfire"]),
        (&json!("often"), &json!("UTC"), &json!("skip"))
    );
    assert!(shown["next"].is_string());
    let runs = async |host: &TestHost| {
        let list = host.get("/api/runs?label=schedule:often&limit=1000").await.json();
        list["runs"].as_array().unwrap().clone()
    };
    eventually("two runs", || async { runs(&host).await.len() >= 2 }).await;
    let host = host.stop().await.restart().await;
    let before = runs(&host).await.len();
    eventually("one more", || async { runs(&host).await.len() > before }).await;
    host.manifest("").await;
    let runs = runs(&host).await;
    let mut seconds: Vec<String> =
        runs.iter().map(|run| run["created_at"].as_str().unwrap()[..19].to_owned()).collect();
    seconds.sort();
    seconds.dedup();
    assert_eq!(seconds.len(), runs.len(), "never two for the same second");
    assert_eq!(host.finished(&runs[0]).await["final_value"], json!({ "do": "echo", "n": 7 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_whose_input_the_task_does_not_take_is_told_at_load() {
    let host = TestHost::start().await;
    let text = "[[schedule]]\ncron = '0 3 * * *'\ninput = { ms = -1 }\n";
    std::fs::write(host.tasks().join("test/probe.toml"), text).unwrap();
    eventually("a problem", || async {
        let problem = &host.get("/api/tasks/test/probe").await.json()["problem"]["message"];
        problem.as_str().is_some_and(|message| message.contains("0 3 * * *") && message.contains("minimum"))
    })
    .await;
    assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed", "the last good one serves on");
}
