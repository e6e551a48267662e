//! When runs are not removed although a rule says so: the rule is new, comes from a manifest that is away, goes by a
//! clock that has jumped, or a run under way still needs them.

use std::fs;
use std::time::Duration;

use hyper::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use streamtask_host::config::Config;
use streamtask_tests::{Api, ChildHost, Folders, TestHost, child, eventually, guests, soon};

const ECHO: &str = r#"{"do":"echo"}"#;

async fn kept(api: &Api, task: &str) -> usize {
    api.get(&format!("/api/runs?task={task}")).await.json()["runs"].as_array().unwrap().len()
}

async fn prune(api: &Api, query: &str) -> Value {
    let answer = api.post(&format!("/api/prune?{query}"), "").await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.json()
}

async fn delete(api: &Api, id: &str) -> streamtask_tests::Answer {
    api.request(&Method::DELETE, &format!("/api/runs/{id}"), &[], "").await
}

async fn run_some(api: &Api, task: &str, count: usize) {
    for _ in 0..count {
        let run = api.start_run(task, serde_json::from_str(ECHO).unwrap()).await;
        api.finished(&run).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_remove_more_are_told_before_and_wait() {
    let folders = Folders::new();
    let host = folders.start(&["--durability", "normal", "--retention-delay", "4s"]);
    run_some(&host, "test/probe", 6).await;
    let manifest = folders.tasks().join("test/probe.toml");
    fs::write(&manifest, "[retention]\nmax-runs = 1\n").unwrap();
    let told = host.says("will be removed").await;
    assert!(told.contains("5 runs and 10 events will be removed, because max-runs is now 1"), "{told}");
    assert_eq!(kept(&host, "test/probe").await, 6, "not yet");
    // Who asks for it is not kept waiting.
    assert_eq!(prune(&host, "keep=4").await["runs"], 2);
    eventually("the rule holds", || async { kept(&host, "test/probe").await == 1 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_were_in_force_are_so_at_once_after_a_restart() {
    let host = TestHost::with(|config| config.retention_delay = Duration::ZERO).await;
    host.manifest("[retention]\nmax-runs = 2\n").await;
    run_some(&host, "test/probe", 4).await;
    // So that the rules of a task that has runs are seen.
    host.manifest("[retention]\nmax-runs = 2\n#\n").await;
    eventually("a sweep", || async { kept(&host, "test/probe").await == 2 }).await;
    let mut stopped = host.stop().await;
    stopped.config.retention_delay = Duration::from_secs(24 * 60 * 60);
    let host = stopped.restart().await;
    run_some(&host, "test/probe", 3).await;
    host.manifest("[retention]\nmax-runs = 2\n#again\n").await;
    eventually("a sweep", || async { kept(&host, "test/probe").await == 2 }).await;
    // And less is kept no sooner than after a day.
    host.manifest("[retention]\nmax-runs = 1\n").await;
    run_some(&host, "test/probe", 3).await;
    host.manifest("[retention]\nmax-runs = 1\n#\n").await;
    eventually("a sweep by the former rule", || async { kept(&host, "test/probe").await == 2 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_away_has_nothing_removed() {
    let host = TestHost::with(|config: &mut Config| {
        config.retention.max_runs = Some(1);
        config.retention_delay = Duration::ZERO;
    })
    .await;
    host.manifest("[retention]\nmax-runs = 20\n").await;
    host.install("test/second.wasm", &guests::probe()).await;
    run_some(&host, "test/probe", 20).await;
    host.manifest("[retention]\nmax-runs = 20\n#\n").await;
    let manifest = host.tasks().join("test/probe.toml");
    for _ in 0..3 {
        run_some(&host, "test/second", 3).await;
        fs::remove_file(&manifest).unwrap();
        // Tasks are swept in the order of their names, so the sweep that comes by here came by the other one.
        eventually("a sweep", || async { kept(&host, "test/second").await == 1 }).await;
        eventually("the task without its manifest", || async {
            let task = host.get("/api/tasks/test/probe").await.json();
            !task["description"].as_str().unwrap_or_default().contains("max-runs")
        })
        .await;
        run_some(&host, "test/second", 3).await;
        host.install("test/third.wasm", &guests::ticker(&fastrand::u64(..).to_string())).await;
        eventually("a sweep", || async { kept(&host, "test/second").await == 1 }).await;
        assert_eq!(kept(&host, "test/probe").await, 20, "nobody said that fewer are to be kept");
        host.manifest("[retention]\nmax-runs = 20\n").await;
    }
    // One that is there and leaves it to the host does say so.
    host.manifest("").await;
    eventually("a sweep", || async { kept(&host, "test/probe").await == 1 }).await;
}

/// A parent that is held while its only child ends. Returns both.
async fn parent_held_after_its_child(host: &Api) -> (Value, String) {
    let input =
        json!({ "do": "children", "runs": [{ "task": "probe", "input": { "do": "until-cancelled" } }] });
    let parent = host.probe(input).await;
    let started = host.follow(&parent).await.until("started").await;
    let child = started.last().unwrap().json()["data"][0]["run"].as_str().unwrap().to_owned();
    let id = parent["id"].as_str().unwrap();
    assert_eq!(host.post(&format!("/api/runs/{id}/pause"), "").await.status, 200);
    let child_run = host.get(&format!("/api/runs/{child}")).await.json();
    host.follow(&child_run).await.until("waiting").await;
    host.cancel(&child_run).await;
    host.finished(&child_run).await;
    (parent, child)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_has_ended_is_kept_until_its_parent_has() {
    let host = TestHost::with(|config| config.retention_delay = Duration::ZERO).await;
    let (parent, child) = parent_held_after_its_child(&host).await;
    let is_there = async || host.get(&format!("/api/runs/{child}")).await.status == 200;
    let refused = delete(&host, &child).await.problem(409, "parent-not-ended");
    assert_eq!((&refused["parent"], &refused["status_of_parent"]), (&parent["id"], &json!("paused")));
    assert_eq!(prune(&host, "keep=0&dry_run=true").await["runs"], 0);
    assert_eq!(prune(&host, "keep=0").await["runs"], 0);
    // By a rule, beside a run that nobody needs.
    run_some(&host, "test/probe", 1).await;
    host.manifest("[retention]\nmax-runs = 0\n").await;
    eventually("a sweep", || async { kept(&host, "test/probe").await == 2 }).await;
    assert!(is_there().await);

    host.post(&format!("/api/runs/{}/resume", parent["id"].as_str().unwrap()), "").await;
    // It ends, and goes with its child at the next look.
    let end = soon("the parent's end", host.follow(&parent).await.rest()).await;
    let value = &end.last().unwrap().json()["data"]["final_value"];
    assert_eq!(value[0]["outcome"], json!({ "cancelled": "\"partial\"" }), "{value}");
    host.manifest("[retention]\nmax-runs = 0\n#\n").await;
    eventually("a sweep", || async { kept(&host, "test/probe").await == 0 }).await;
    delete(&host, &child).await.problem(404, "unknown-run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_far_ahead_has_nothing_removed_for_its_age_until_someone_confirms_it() {
    const MONTH_MS: i64 = 31 * 24 * 60 * 60 * 1000;
    let folders = Folders::new();
    let policy = "[retention]\nmax-age = '30d'\n";
    fs::write(folders.tasks().join("test/probe.toml"), policy).unwrap();
    let arguments = ["--durability", "normal", "--retention-delay", "0s"];
    let serve = || ChildHost::spawn(child::serve(&folders.tasks(), &folders.data(), &arguments)).unwrap();
    let host = serve().ready();
    run_some(&host, "test/probe", 5).await;
    // So that a sweep comes by, and notes the time.
    fs::write(folders.tasks().join("test/probe.toml"), format!("{policy}# again\n")).unwrap();
    let database = folders.data().join("streamtask.db");
    let noted = || {
        let db = Connection::open(&database).unwrap();
        db.query_row("SELECT count(*) FROM clock", [], |row| row.get::<_, i64>(0)).unwrap() == 1
    };
    eventually("the time is noted", || async { noted() }).await;
    host.terminate();

    // As if the clock had been right until now, and were a month ahead.
    let db = Connection::open(&database).unwrap();
    db.execute("UPDATE clock SET believed = believed - ?1", [MONTH_MS]).unwrap();
    db.execute("UPDATE runs SET finished_at = finished_at - ?1, created_at = created_at - ?1", [MONTH_MS])
        .unwrap();
    drop(db);
    let host = serve().ready();
    let told = host.says("no run is removed for its age").await;
    // After the days for which a host may be away.
    assert!(told.contains("the clock is 27d ahead of what was expected"), "{told}");
    let ready = host.get("/readyz").await;
    assert_eq!(ready.status, 200, "it can work all the same");
    assert!(ready.json()["warnings"][0].as_str().unwrap().contains("no run is removed for its age"));
    assert_eq!(kept(&host, "test/probe").await, 5);
    for query in ["", "older_than=7d"] {
        let refused = host.post(&format!("/api/prune?{query}"), "").await.problem(409, "clock-jumped");
        assert!(refused["detail"].as_str().unwrap().contains("confirm_clock=true"), "{refused}");
    }
    assert_eq!(prune(&host, "dry_run=true").await["runs"], 5, "who only asks is answered");
    assert_eq!(prune(&host, "keep=4").await["runs"], 1, "the number of runs is a matter of no clock");
    // It is remembered as long as nobody has confirmed it.
    host.kill();
    let host = serve().ready();
    host.says("no run is removed for its age").await;
    assert_eq!(prune(&host, "older_than=60d&confirm_clock=true").await["runs"], 0);
    assert!(host.get("/readyz").await.json()["warnings"].is_null());
    assert_eq!(prune(&host, "").await["runs"], 4);
}
