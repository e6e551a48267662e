//! Which run executes when: no limit is exceeded, nobody is starved, nobody
//! overtakes, and no slot stays empty while somebody waits.

use std::process::Command;
use std::time::{Duration, Instant};

use hyper::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use streamtask_host::config::Config;
use streamtask_tests::{ChildHost, TestHost, child, eventually, guests};

/// A run as it was executed; times in milliseconds.
#[derive(Debug)]
struct Executed {
    task: String,
    created: i64,
    started: i64,
    finished: i64,
}

/// All runs that have ended, in the order in which they were submitted.
fn executed(host: &TestHost) -> Vec<Executed> {
    let db = Connection::open(host.data().join("streamtask.db")).unwrap();
    let query = "SELECT tasks.task, created_at, started_at, finished_at FROM runs JOIN tasks ON tasks.no = runs.task \
                 WHERE started_at IS NOT NULL AND finished_at IS NOT NULL ORDER BY runs.no";
    let mut query = db.prepare(query).unwrap();
    let rows = query.query_map([], |row| {
        Ok(Executed { task: row.get(0)?, created: row.get(1)?, started: row.get(2)?, finished: row.get(3)? })
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

/// Most of these runs that were under way at one moment.
fn peak<'a>(runs: impl Iterator<Item = &'a Executed>) -> i64 {
    // Within one millisecond, ends come before starts: a slot is free when the run before has ended.
    let mut changes: Vec<(i64, i64)> = runs.flat_map(|run| [(run.started, 1), (run.finished, -1)]).collect();
    changes.sort_unstable();
    let under_way = changes.iter().scan(0, |running, (_, change)| {
        *running += change;
        Some(*running)
    });
    under_way.max().unwrap_or(0)
}

/// A host with tasks of these names, all alike: their input is the time that they
/// wait, three times.
async fn host_with(tasks: &[&str], configure: impl FnOnce(&mut Config)) -> TestHost {
    let host = TestHost::with(configure).await;
    for task in tasks {
        host.install(&format!("test/{task}.wasm"), &guests::ticker(task)).await;
    }
    host
}

async fn start(host: &TestHost, task: &str, ms: u32) -> Value {
    host.start_run(&format!("test/{task}"), json!(ms)).await
}

async fn start_many(host: &TestHost, task: &str, ms: u32, count: usize) -> Vec<Value> {
    let mut runs = Vec::with_capacity(count);
    for _ in 0..count {
        runs.push(start(host, task, ms).await);
    }
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_limit_is_ever_exceeded_and_both_are_used_up() {
    let host = host_with(&["a", "b", "c"], |config| {
        (config.max_running, config.max_running_per_task) = (5, 2);
    })
    .await;
    let mut starting = tokio::task::JoinSet::new();
    for (nth, task) in ["a", "b", "c"].into_iter().cycle().take(90).enumerate() {
        let api = *host;
        starting.spawn(async move { api.start_run(&format!("test/{task}"), json!(nth % 7)).await });
    }
    for run in starting.join_all().await {
        assert_eq!(host.finished(&run).await["status"], "completed");
    }
    let runs = executed(&host);
    assert_eq!((runs.len(), peak(runs.iter())), (90, 5), "runs at once, in all");
    for task in ["a", "b", "c"] {
        assert_eq!(peak(runs.iter().filter(|run| run.task == task)), 2, "runs of {task} at once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_until_there_is_room_again() {
    let host = host_with(&["a", "b"], |config| (config.max_running, config.max_queued) = (1, 3)).await;
    let running = host.probe(json!({ "do": "until-cancelled" })).await;
    let headers = [("idempotency-key", "first")];
    let first = host.request(&Method::POST, "/api/tasks/test/a/runs", &headers, "0").await.json();
    let waiting = start_many(&host, "a", 0, 2).await;
    for task in ["a", "b"] {
        let refused = host.post(&format!("/api/tasks/test/{task}/runs"), "0").await;
        assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0));
        let problem = refused.problem(503, "queue-full");
        assert!(problem["detail"].as_str().unwrap().contains("3 runs are waiting"), "{problem}");
    }
    let again = host.request(&Method::POST, "/api/tasks/test/a/runs", &headers, "0").await;
    assert_eq!((again.status.as_u16(), &again.json()["id"]), (202, &first["id"]), "it has been taken before");

    host.cancel(&waiting[0]).await;
    let next = start(&host, "b", 0).await;
    assert_eq!(next["status"], "queued", "in the room of the one that was withdrawn");
    host.post("/api/tasks/test/b/runs", "0").await.problem(503, "queue-full");
    host.cancel(&running).await;
    for run in [&first, &waiting[1], &next] {
        assert_eq!(host.finished(run).await["status"], "completed");
    }
    assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed");
    let runs = host.get("/api/runs").await.json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 6, "who was refused has no run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_of_one_task_does_not_starve_another() {
    let host = host_with(&["crowd", "lone"], |config| config.max_running = 2).await;
    let crowd = start_many(&host, "crowd", 2, 200).await;
    let mut lone = Vec::new();
    for nth in [0, 40, 80] {
        // In the middle of it all.
        host.finished(&crowd[nth + 5]).await;
        let run = start(&host, "lone", 0).await;
        host.finished(&run).await;
        lone.push(run);
    }
    host.finished(crowd.last().unwrap()).await;
    let runs = executed(&host);
    let (lone, crowd): (Vec<_>, Vec<_>) = runs.iter().partition(|run| run.task == "lone");
    assert_eq!((lone.len(), peak(runs.iter())), (3, 2));
    for lone in lone {
        assert!(crowd.last().unwrap().started > lone.finished, "others still waited");
        let before =
            crowd.iter().filter(|run| (lone.created + 1..lone.started).contains(&run.started)).count();
        assert!(before <= 6, "{before} of the crowd went first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_at_its_limit_holds_up_no_other() {
    let host = host_with(&["crowd", "lone"], |config| config.max_running_per_task = 1).await;
    let crowd = start_many(&host, "crowd", 600_000, 20).await;
    for _ in 0..5 {
        let run = start(&host, "lone", 0).await;
        assert_eq!(host.finished(&run).await["status"], "completed");
    }
    assert_eq!(host.read_run(&crowd[0]).await["status"], "running");
    assert_eq!(host.read_run(&crowd[1]).await["status"], "queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_overtakes_an_older_run_of_the_same_task() {
    let host = host_with(&["a", "b"], |config| config.max_running = 3).await;
    let mut starting = tokio::task::JoinSet::new();
    for client in 0..6 {
        let api = *host;
        starting.spawn(async move {
            let task = if client % 2 == 0 { "test/a" } else { "test/b" };
            for nth in 0..40 {
                let run = api.start_run(task, json!(nth % 3)).await;
                // So that now somebody waits, and now a slot is free.
                if nth % 10 == 9 {
                    api.finished(&run).await;
                }
            }
        });
    }
    starting.join_all().await;
    eventually("all have ended", || async { executed(&host).len() == 240 }).await;
    let runs = executed(&host);
    for task in ["a", "b"] {
        let started: Vec<i64> = runs.iter().filter(|run| run.task == task).map(|run| run.started).collect();
        assert!(started.is_sorted(), "{task} in the order of submission: {started:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_becomes_free_is_used_at_once() {
    let host = host_with(&["a"], |config| config.max_running = 1).await;
    let first = host.probe(json!({ "do": "until-cancelled" })).await;
    let waiting = start_many(&host, "a", 0, 30).await;
    let before = Instant::now();
    host.cancel(&first).await;
    assert_eq!(host.finished(waiting.last().unwrap()).await["status"], "completed");
    // Without being told, the queue is asked once a second.
    assert!(before.elapsed() < Duration::from_secs(8), "30 runs took {:?}", before.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_withdrawn_while_it_waits_never_executes() {
    let host = host_with(&["a"], |config| config.max_running = 1).await;
    let running = host.probe(json!({ "do": "until-cancelled" })).await;
    let runs = start_many(&host, "a", 0, 3).await;
    let mut watching = host.follow(&runs[1]).await;
    assert_eq!(watching.next().await.unwrap().name, "run.queued");
    assert_eq!(host.cancel(&runs[1]).await.status, 200, "it has ended already");
    let last = watching.rest().await;
    assert_eq!(last.len(), 1, "who watches it sees its end at once");
    assert_eq!((last[0].name.as_str(), last[0].seq()), ("run.cancelled", 2));
    assert_eq!(last[0].json()["data"]["status"], "cancelled");

    let withdrawn = host.finished(&runs[1]).await;
    assert_eq!((&withdrawn["status"], &withdrawn["attempt"]), (&json!("cancelled"), &json!(0)));
    assert!(withdrawn["started_at"].is_null() && withdrawn["version"].is_null(), "{withdrawn}");
    host.cancel(&running).await;
    for run in [&runs[0], &runs[2]] {
        assert_eq!(host.finished(run).await["status"], "completed", "those around it are not touched");
    }
    assert_eq!(host.read_run(&runs[1]).await, withdrawn);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_execute_where_the_address_space_is_too_small_for_a_pool() {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
    guests::install(&tasks, "test/probe.wasm", &guests::probe());
    // A pool would reserve 4 GB for each guest.
    for gigabytes in [2, 8, 40] {
        let serve = child::serve(&tasks, &data, &["--durability", "normal"]);
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -v {} && exec \"$@\"", gigabytes << 20), "sh"]);
        limited.arg(serve.get_program()).args(serve.get_args());
        let host =
            ChildHost::spawn(limited).unwrap_or_else(|said| panic!("{gigabytes} GB: {said:?}")).ready();
        assert!(host.opening.iter().any(|line| line.contains("no memory pool")), "{:?}", host.opening);
        let mut runs = Vec::new();
        for _ in 0..60 {
            runs.push(host.probe(json!({ "do": "ticks", "n": 5, "ms": 50 })).await);
        }
        for run in &runs {
            let run = host.finished(run).await;
            assert_eq!(run["status"], "completed", "{gigabytes} GB: {}", run["error"]);
        }
        let run = host.run(json!({ "do": "oom" })).await;
        assert_eq!(run["error"]["kind"], "out-of-memory", "its own limit holds here too: {run}");
    }
}
