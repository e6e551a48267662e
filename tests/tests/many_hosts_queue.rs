//! Which run executes when, and where: bounds, locks, keys and schedules hold over all hosts of a database.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use streamtask_tests::{Answer, Api, ChildHost, Cluster, eventually, guests};
use tokio::task::JoinSet;

const START: &str = "/api/tasks/test/probe/runs";

/// All runs, oldest last.
async fn runs(host: &Api) -> Vec<Value> {
    host.get("/api/runs?limit=500").await.json()["runs"].as_array().expect("a list").clone()
}

/// Most of these runs that were under way at one moment.
fn peak<'a>(runs: impl IntoIterator<Item = &'a Value>) -> i64 {
    let mut changes: Vec<(String, i64)> = Vec::new();
    for run in runs {
        changes.push((run["started_at"].as_str().expect("it has started").to_owned(), 1));
        changes.push((run["finished_at"].as_str().expect("it has ended").to_owned(), -1));
    }
    // Times of one form are ordered as texts. Within a millisecond, ends come before starts.
    changes.sort_unstable();
    let under_way = changes.iter().scan(0, |running, (_, change)| {
        *running += change;
        Some(*running)
    });
    under_way.max().unwrap_or(0)
}

async fn post(host: Api, path: String, headers: Vec<(&'static str, &'static str)>, input: Value) -> Answer {
    host.request(&hyper::Method::POST, &path, &headers, input.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bound_of_the_queue_counts_the_runs_of_all_hosts() {
    let Some(cluster) = Cluster::new("the bound of a shared queue") else { return };
    let [a, b] = cluster.two(&["--max-running", "1", "--max-queued", "3"]);
    let running = [
        a.probe(json!({ "do": "until-cancelled" })).await,
        b.probe(json!({ "do": "until-cancelled" })).await,
    ];
    for (host, run) in [(&a, &running[0]), (&b, &running[1])] {
        host.follow(run).await.until("waiting").await;
    }
    let mut waiting = Vec::new();
    for host in [&a, &b, &a] {
        let run = host.probe(json!({ "do": "echo" })).await;
        assert_eq!(run["status"], "queued");
        waiting.push(run);
    }
    for host in [&a, &b] {
        host.post(START, r#"{"do":"echo"}"#).await.problem(503, "queue-full");
    }
    // One leaves; there is room for one, at either host.
    assert_eq!(a.cancel(&waiting[1]).await.status, 200);
    waiting[1] = b.probe(json!({ "do": "echo" })).await;
    a.post(START, r#"{"do":"echo"}"#).await.problem(503, "queue-full");
    // Whoever has room executes the runs, wherever they came from.
    b.cancel(&running[0]).await;
    for run in &waiting {
        assert_eq!(b.finished(run).await["status"], "completed");
    }
    a.cancel(&running[1]).await;
    assert_eq!(a.finished(&running[1]).await["status"], "cancelled");
    assert_eq!(cluster.query("SELECT coalesce(sum(ready), 0), coalesce(sum(blocked), 0) FROM queued"), "0|0");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_hosts_execute_what_one_was_given_and_none_executes_more_than_it_may() {
    let Some(cluster) = Cluster::new("work that two hosts share") else { return };
    let [a, b] = cluster.two(&["--max-running", "3"]);
    let mut started = Vec::new();
    for _ in 0..40 {
        started.push(a.probe(json!({ "do": "sleep", "ms": 500 })).await);
    }
    for run in &started {
        assert_eq!(b.finished(run).await["status"], "completed");
    }
    let all = runs(&b).await;
    assert_eq!(all.len(), 40);
    let peak = peak(&all);
    assert!((4..=6).contains(&peak), "{peak} at once on two hosts with three places each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_one_runs_alone_on_whichever_host() {
    let Some(cluster) = Cluster::new("exclusive resources of several hosts") else { return };
    let hosts = cluster.two(&[]);
    let held =
        hosts[0].post(&format!("{START}?resource=printer"), r#"{"do":"wait-for-signal"}"#).await.json();
    hosts[1].follow(&held).await.until("waiting").await;
    let busy = hosts[1].post(&format!("{START}?resource=printer&if_busy=fail"), r#"{"do":"echo"}"#).await;
    busy.problem(409, "resource-busy");
    let mut starting = JoinSet::new();
    for nth in 0..24 {
        let path = format!("{START}?resource=printer");
        starting.spawn(post(*hosts[nth % 2], path, vec![], json!({ "do": "sleep", "ms": 5 })));
    }
    let waiting = starting.join_all().await;
    assert!(waiting.iter().all(|answer| answer.json()["waits_for"] == "resource:printer"), "{waiting:?}");
    hosts[1].post(&format!("/api/runs/{}/signals/go", held["id"].as_str().unwrap()), "1").await;
    for run in &waiting {
        assert_eq!(hosts[1].finished(&run.json()).await["status"], "completed");
    }
    let all = runs(&hosts[0]).await;
    assert_eq!((all.len(), peak(&all)), (25, 1));
    assert_eq!(cluster.query("SELECT coalesce(sum(used), 0) FROM locks"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_a_host_that_is_killed_goes_to_who_waits_for_it() {
    let Some(cluster) = Cluster::new("locks of a host that is killed") else { return };
    let [a, b] = cluster.two(&[]);
    let held = a.post(&format!("{START}?resource=printer"), r#"{"do":"until-cancelled"}"#).await.json();
    b.follow(&held).await.until("waiting").await;
    let next = b.post(&format!("{START}?resource=printer"), r#"{"do":"echo"}"#).await.json();
    assert_eq!(next["waits_for"], "resource:printer");
    a.kill();
    assert_eq!(b.finished(&next).await["status"], "completed");
    assert_eq!(b.read_run(&held).await["error"]["kind"], "interrupted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_at_several_hosts_at_once_is_one_run() {
    let Some(cluster) = Cluster::new("idempotency keys at several hosts") else { return };
    let hosts = ["a", "b", "c"].map(|name| cluster.start(name, &[]));
    for key in ["one", "two", "three", "four", "five"] {
        let mut starting = JoinSet::new();
        for nth in 0..18 {
            let headers = vec![("idempotency-key", key)];
            starting.spawn(post(
                *hosts[nth % 3],
                START.to_owned(),
                headers,
                json!({ "do": "echo", "key": key }),
            ));
        }
        let answers = starting.join_all().await;
        assert!(answers.iter().all(|answer| [200, 202].contains(&answer.status.as_u16())), "{answers:?}");
        let ids: HashSet<String> =
            answers.iter().map(|answer| answer.json()["id"].as_str().expect("an id").to_owned()).collect();
        assert_eq!(ids.len(), 1, "{key}: {ids:?}");
    }
    let other =
        post(*hosts[1], START.to_owned(), vec![("idempotency-key", "one")], json!({ "do": "info" })).await;
    other.problem(409, "conflict");
    assert_eq!(runs(&hosts[2]).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_at_several_hosts_at_once_is_one_run() {
    let Some(cluster) = Cluster::new("ids at several hosts") else { return };
    let hosts = cluster.two(&[]);
    let mut starting = JoinSet::new();
    for nth in 0..16 {
        starting.spawn(post(*hosts[nth % 2], format!("{START}?id=mine"), vec![], json!({ "do": "echo" })));
    }
    let answers = starting.join_all().await;
    assert!(answers.iter().all(|answer| answer.json()["id"] == "mine"), "{answers:?}");
    let run = json!({ "id": "mine", "stream": answers[0].json()["stream"] });
    let events = { hosts[1].follow(&run).await.rest().await };
    assert_eq!(events.iter().filter(|event| event.name == "run.started").count(), 1, "{events:?}");
    assert_eq!(runs(&hosts[0]).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_start_of_a_schedule_is_made_once_however_many_hosts_follow_it() {
    let Some(cluster) = Cluster::new("schedules on several hosts") else { return };
    let schedule =
        "[[schedule]]\nname = 'often'\ncron = '* * * * * *'\nmisfire = 'all'\ninput = { do = 'echo' }\n";
    cluster.manifest(schedule);
    let hosts = cluster.two(&[]);
    eventually("some starts", || async { runs(&hosts[1]).await.len() >= 6 }).await;
    // Whoever had the duty: the other goes on, and makes up for the time in which nobody had it.
    let [a, b] = hosts;
    a.kill();
    let before = runs(&b).await.len();
    eventually("starts after the death of a host", || async { runs(&b).await.len() >= before + 6 }).await;
    let keys = cluster.query("SELECT idempotency_key FROM runs");
    let mut due: Vec<i64> = keys.lines().map(due_second).collect();
    due.sort_unstable();
    assert!(due.windows(2).all(|pair| pair[1] == pair[0] + 1), "once for each second: {keys}");
}

/// The second for which a run of the schedule `often` was due, from its key.
fn due_second(key: &str) -> i64 {
    let (_, time) = key.split_once("schedule:often:").unwrap_or_else(|| panic!("{key:?} is of no schedule"));
    let end = time.find('Z').expect("a time in UTC");
    time[..=end].parse::<Timestamp>().expect("a time").as_second()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_run_starts_once_at_whichever_host() {
    let Some(cluster) = Cluster::new("delayed runs on several hosts") else { return };
    let hosts = cluster.two(&[]);
    let mut delayed = Vec::new();
    for nth in 0..10 {
        let run = hosts[nth % 2].post(&format!("{START}?delay=1s"), r#"{"do":"echo"}"#).await.json();
        assert_eq!(run["status"], "delayed", "{run}");
        delayed.push(run);
    }
    for run in &delayed {
        assert_eq!(hosts[0].finished(run).await["status"], "completed");
        let events = hosts[1].follow(run).await.rest().await;
        assert_eq!(events.iter().filter(|event| event.name == "run.started").count(), 1, "{events:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_a_host_that_has_its_task() {
    let Some(cluster) = Cluster::new("hosts with different tasks") else { return };
    let [a, b] = cluster.two(&["--max-running", "1"]);
    let busy = [
        a.probe(json!({ "do": "until-cancelled" })).await,
        b.probe(json!({ "do": "until-cancelled" })).await,
    ];
    for (host, run) in [(&a, &busy[0]), (&b, &busy[1])] {
        host.follow(run).await.until("waiting").await;
    }
    // A third host, of which the tasks folder has nothing else.
    let folder = tempfile::tempdir().expect("a folder");
    guests::install(folder.path(), "other/ticker.wasm", &guests::ticker("other"));
    let command = cluster.command_with_tasks(folder.path(), "c", &[]);
    let c = ChildHost::spawn(command).expect("it starts").ready();
    let waiting = a.probe(json!({ "do": "echo" })).await;
    let other = c.start_run("other/ticker", json!(1)).await;
    assert_eq!(a.finished(&other).await["status"], "completed", "followed where the task is not loaded");
    assert_eq!(c.post(START, "{}").await.status, 404, "a host starts only what it has");
    assert_eq!(c.read_run(&waiting).await["status"], "queued", "though it has room");
    b.cancel(&busy[0]).await;
    assert_eq!(c.finished(&waiting).await["status"], "completed");
}
