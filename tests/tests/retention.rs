//! What ended runs leave behind is removed: by age and number, at the operator's wish
//! and as manifests say, in the open, and never anything of a run that has not ended.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hyper::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use streamtask_host::config::Config;
use streamtask_tests::{Api, ChildHost, Event, EventStream, Said, TestHost, child, eventually, guests};

/// Has sweeps go by rules as soon as they are new.
fn at_once(config: &mut Config) {
    config.retention_delay = Duration::ZERO;
}

/// Some 200 bytes each.
fn flood(events: u64) -> Value {
    json!({ "do": "flood", "events": events, "bytes": 200 })
}

async fn prune(api: &Api, query: &str) -> Value {
    let answer = api.post(&format!("/api/prune?{query}"), "").await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.json()
}

async fn status(api: &Api, run: &Value) -> u16 {
    api.get(&format!("/api/runs/{}", run["id"].as_str().unwrap())).await.status.as_u16()
}

async fn delete(api: &Api, run: &Value) -> streamtask_tests::Answer {
    let path = format!("/api/runs/{}", run["id"].as_str().unwrap());
    api.request(&Method::DELETE, &path, &[], "").await
}

async fn kept(api: &Api) -> usize {
    api.get("/api/runs?task=test/probe").await.json()["runs"].as_array().unwrap().len()
}

fn size(data: &Path, file: &str) -> u64 {
    fs::metadata(data.join(file)).map_or(0, |metadata| metadata.len())
}

fn manifest(host: &TestHost, text: &str) {
    fs::write(host.tasks().join("test/probe.toml"), text).unwrap();
}

/// Reads to the end; checks that nothing is missing but what a notice tells of, which
/// it returns.
async fn read_with_gaps(mut stream: EventStream, mut after: u64) -> (Vec<Value>, Option<Event>) {
    let (mut gaps, mut last) = (Vec::new(), None);
    while let Some(event) = stream.next().await {
        if event.name == "gap" {
            let gap = event.json()["data"].clone();
            assert_eq!(gap["from"], after + 1, "a gap begins where the reader is");
            after = gap["to"].as_u64().unwrap_or(after);
            gaps.push(gap);
        } else {
            assert_eq!(event.seq(), after + 1, "nothing is skipped in silence");
            after += 1;
        }
        last = Some(event);
    }
    (gaps, last)
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_runs_are_gone_the_file_shrinks_and_live_runs_go_on() {
    let host = TestHost::with(|config| config.max_running = 2).await;
    let key = [("idempotency-key", "once")];
    let path = "/api/tasks/test/probe/runs";
    let first = host.request(&Method::POST, path, &key, flood(50_000).to_string()).await.json();
    host.finished(&first).await;
    let mut ended = vec![first];
    for events in [50_000, 50_000, 100] {
        ended.push(host.run(flood(events)).await);
    }
    let live = host.probe(json!({ "do": "until-cancelled" })).await;
    let other = host.probe(json!({ "do": "until-cancelled" })).await;
    let waiting = host.probe(json!({ "do": "echo" })).await;
    let before = size(&host.data(), "streamtask.db");

    let expected = prune(&host, "keep=1&dry_run=true").await;
    assert_eq!((&expected["runs"], &expected["events"]), (&json!(3), &json!(3 * 50_002)));
    assert_eq!(status(&host, &ended[0]).await, 200, "a dry run removes nothing");
    let mut removed = prune(&host, "keep=1").await;
    assert_eq!(removed["dry_run"].take(), false);
    let mut expected = expected;
    assert_eq!(expected["dry_run"].take(), true);
    assert_eq!(removed, expected, "the same numbers");
    assert_eq!(removed["tasks"][0]["task"], "probe");
    assert_eq!(prune(&host, "keep=1").await["runs"], 0, "nothing is left to do");

    for run in &ended[..3] {
        assert_eq!(status(&host, run).await, 404);
        host.read_stream(run, "", "text/event-stream").await.problem(404, "unknown-run");
    }
    let events = host.follow(&ended[3]).await.rest().await;
    assert_eq!(events.len(), 102, "what is kept is whole");
    // The newest may still be in the write-ahead log.
    assert!(before > 12 << 20, "what was removed was worth it: {before}");
    // Some free pages are kept for the next events.
    eventually("the file shrinks", || async { size(&host.data(), "streamtask.db") < 6 << 20 }).await;
    let log = size(&host.data(), "streamtask.db-wal");
    assert!(log <= 64 << 20, "the write-ahead log is bounded: {log}");

    // The key is forgotten with its run.
    let again = host.request(&Method::POST, path, &key, json!({ "do": "echo" }).to_string()).await;
    assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (202, ""));
    for run in [&live, &other] {
        assert_eq!(host.cancel(run).await.status, 202);
        assert_eq!(host.finished(run).await["status"], "cancelled");
        let names: Vec<String> =
            host.follow(run).await.rest().await.into_iter().map(|event| event.name).collect();
        // The slot of an earlier run is free a moment after its last event, so one of them may have waited for it.
        let names = names.strip_prefix(&["run.queued".to_owned()]).unwrap_or(&names);
        assert_eq!(names, ["run.started", "waiting", "run.cancelled"]);
    }
    assert_eq!(host.finished(&waiting).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_can_go_before_their_run_and_a_reader_is_told() {
    let host = TestHost::with(at_once).await;
    let run = host.run(flood(2000)).await;
    manifest(&host, "[retention]\nevents-max-age = '0s'\n");
    let measured = async || prune(&host, "dry_run=true").await["events"].as_u64().unwrap();
    eventually("a sweep", || async {
        let first = host.follow(&run).await.next().await.unwrap();
        first.name == "gap" && first.json()["data"]["to"] == 2001
    })
    .await;
    assert_eq!(measured().await, 0);
    assert_eq!(host.read_run(&run).await["final_value"], 2000, "the run itself is kept");
    for after in [0, 1, 700, 2000] {
        let id = after.to_string();
        let stream = host.follow_with(&run, "", &[("last-event-id", &id)]).await;
        let (gaps, last) = read_with_gaps(stream, after).await;
        assert_eq!(gaps, [json!({ "from": after + 1, "to": 2001, "reason": "pruned" })]);
        assert_eq!(last.unwrap().name, "run.completed");
    }
    let stream = host.follow_with(&run, "tail=5", &[]).await;
    assert_eq!(read_with_gaps(stream, 1997).await.0.len(), 1);
    let (gaps, _) = read_with_gaps(host.follow_with(&run, "after=2001", &[]).await, 2001).await;
    assert!(gaps.is_empty(), "who has missed nothing is told of nothing");
}

/// A run of some 25 MB, and a reader that has read the first event of it and no more
/// when the run ends.
async fn with_slow_reader(host: &TestHost) -> (Value, EventStream) {
    let run = host.probe(json!({ "do": "flood", "events": 50_000, "bytes": 500 })).await;
    let mut stream = host.follow(&run).await;
    assert_eq!(stream.next().await.unwrap().seq(), 1);
    host.finished(&run).await;
    (run, stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_while_the_run_is_removed_is_told() {
    let host = TestHost::start().await;
    let (run, stream) = with_slow_reader(&host).await;
    assert_eq!(delete(&host, &run).await.json()["events"], 50_002);
    let (gaps, last) = read_with_gaps(stream, 1).await;
    assert_eq!(gaps.len(), 1, "once: {gaps:?}");
    assert_eq!((&gaps[0]["reason"], last.unwrap().name.as_str()), (&json!("removed"), "gap"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_while_events_are_removed_is_told_and_gets_the_end() {
    let host = TestHost::with(at_once).await;
    let (run, stream) = with_slow_reader(&host).await;
    manifest(&host, "[retention]\nevents-max-age = '0s'\n");
    eventually("a sweep", || async {
        let first = host.follow(&run).await.next().await.unwrap();
        first.name == "gap" && first.json()["data"]["to"] == 50_001
    })
    .await;
    let (gaps, last) = read_with_gaps(stream, 1).await;
    assert_eq!((gaps.len(), &gaps[0]["to"]), (1, &json!(50_001)), "{gaps:?}");
    assert_eq!(last.unwrap().name, "run.completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_can_be_deleted_once_it_has_ended() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    let other = host.run(json!({ "do": "echo" })).await;
    let live = host.probe(json!({ "do": "until-cancelled" })).await;
    let refused = delete(&host, &live).await.problem(409, "not-ended");
    assert_eq!(refused["status_of_run"], "running");
    assert_eq!(delete(&host, &run).await.json()["runs"], 1);
    delete(&host, &run).await.problem(404, "unknown-run");
    assert_eq!((status(&host, &run).await, status(&host, &other).await), (404, 200));
    host.cancel(&live).await;
    host.finished(&live).await;
    assert_eq!(delete(&host, &live).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_swept_by_and_else_the_host_decides() {
    let host = TestHost::with(|config| {
        config.retention.max_runs = Some(4);
        at_once(config);
    })
    .await;
    let mut runs = Vec::new();
    for _ in 0..6 {
        runs.push(host.run(json!({ "do": "echo" })).await);
    }
    // More than the host keeps by itself.
    manifest(&host, "[retention]\nmax-runs = 5\n");
    eventually("a sweep", || async { kept(&host).await == 5 }).await;
    assert_eq!(status(&host, &runs[0]).await, 404, "the one that ended first");
    manifest(&host, "[retention]\nmax-runs = 2\n");
    eventually("a sweep", || async { kept(&host).await == 2 }).await;
    for _ in 0..3 {
        host.run(json!({ "do": "echo" })).await;
    }
    fs::remove_file(host.tasks().join("test/probe.toml")).unwrap();
    let host = host.stop().await.restart().await;
    eventually("a sweep", || async { kept(&host).await == 4 }).await;
    manifest(&host, "[retention]\nmax-age = '0s'\n");
    eventually("a sweep", || async { kept(&host).await == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_manifest_nobody_can_read_loses_nothing() {
    let host = TestHost::with(|config| config.retention.max_runs = Some(0)).await;
    manifest(&host, "description = 'keeps'\n[retention]\nmax-runs = 9\n");
    let task = async || host.get("/api/tasks/test/probe").await.json();
    eventually("the manifest", || async { task().await["description"] == "keeps" }).await;
    host.run(json!({ "do": "echo" })).await;
    manifest(&host, "[retention]\nmax-runs = 'nine'\n");
    let host = host.stop().await.restart().await;
    let task = host.get("/api/tasks/test/probe").await.json();
    assert!(task["problem"]["message"].as_str().unwrap().contains("line 2"), "{task}");
    assert_eq!(prune(&host, "").await["runs"], 0);
    assert_eq!(kept(&host).await, 1);
    assert_eq!(prune(&host, "keep=0").await["runs"], 1, "who says it himself is obeyed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused() {
    let host = TestHost::start().await;
    for query in ["older_than=7", "older_than=none", "keep=-1", "dry_run=yes", "task=a/b/c"] {
        host.post(&format!("/api/prune?{query}"), "").await.problem(400, "invalid-parameter");
    }
    assert_eq!(prune(&host, "task=no/body&keep=0").await["runs"], 0);
    let methods = host.request(&Method::PUT, "/api/runs/x", &[], "").await;
    methods.problem(405, "method-not-allowed");
    assert_eq!(methods.header("allow"), "GET, HEAD, DELETE, OPTIONS");
}

#[test]
fn the_command_prints_the_same_numbers_before_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
    guests::install(&tasks, "ticker.wasm", &guests::ticker("top"));
    let host = ChildHost::start(&tasks, &data, &["--durability", "normal"]);
    let say = |arguments: &[&str]| {
        let address = format!("http://{}", host.address);
        Said::of(child::command().args(arguments).env("STREAMTASK_HOST", address))
    };
    for _ in 0..3 {
        assert_eq!(say(&["start", "ticker", "-i", "0", "-q"]).code, 0);
    }
    let dry = say(&["prune", "--keep", "1", "--dry-run"]);
    assert!(dry.out.contains("would remove 2 runs, 10 events, "), "{dry:?}");
    let real = say(&["prune", "--keep", "1"]);
    assert_eq!(real.out, dry.out.replace("would remove", "removed"));
    assert_eq!(say(&["prune", "--by-rules"]).out, "removed 0 runs, 0 events, 0 bytes\n");
    let unsaid = say(&["prune"]);
    assert!(unsaid.code == 2 && unsaid.err.contains("--by-rules"), "{unsaid:?}");
    let runs: Value = serde_json::from_str(&say(&["runs", "--json"]).out).unwrap();
    let id = runs["runs"][0]["id"].as_str().unwrap();
    assert!(say(&["delete", id]).out.starts_with("removed 1 runs, 5 events, "));
    say(&["delete", id]).refused(3, "there is no run");
    assert_eq!(say(&["prune", "--older-than", "soon"]).code, 2);
}

/// Every event belongs to a run, and what is there of a run that has ended is its end
/// and what comes before it.
fn check_whole(data: &Path) {
    let db = Connection::open(data.join("streamtask.db")).unwrap();
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let whole: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
    assert_eq!(count("SELECT count(*) FROM events WHERE id >> 32 NOT IN (SELECT no FROM runs)"), 0);
    assert_eq!(count("SELECT count(*) FROM run_labels WHERE run NOT IN (SELECT no FROM runs)"), 0);
    let without_end = "SELECT count(*) FROM runs WHERE finished_at IS NOT NULL AND NOT EXISTS \
                       (SELECT 1 FROM events WHERE id = runs.no << 32 | runs.last_seq)";
    assert_eq!(count(without_end), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_leaves_a_whole_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
    guests::install(&tasks, "test/probe.wasm", &guests::probe());
    let start = || ChildHost::start(&tasks, &data, &["--durability", "normal"]);
    let mut host = start();
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(host.run(flood(100_000)).await);
    }
    let measured =
        async |host: &ChildHost| prune(host, "keep=0&dry_run=true").await["events"].as_u64().unwrap();
    let mut left = measured(&host).await;
    assert_eq!(left, 400_008);
    for _ in 0..3 {
        let api = Api { address: host.address };
        // Nobody is left to hear the answer.
        let pruning = tokio::spawn(async move {
            let mut connection = streamtask_tests::Connection::open(api.address).await;
            let _ = connection.try_send(&Method::POST, "/api/prune?keep=0", &[], "").await;
        });
        eventually("the first steps", || async { measured(&host).await < left }).await;
        host.kill();
        pruning.await.unwrap();
        check_whole(&data);
        host = start();
        left = measured(&host).await;
        for run in &runs {
            if status(&host, run).await == 200 {
                let (gaps, last) = read_with_gaps(host.follow(run).await, 0).await;
                assert!(gaps.len() <= 1 && last.unwrap().name == "run.completed", "{gaps:?}");
            }
        }
    }
    assert!(left > 0, "it was killed in the middle");
    assert_eq!(prune(&host, "keep=0").await["events"], left);
    assert_eq!(kept(&host).await, 0);
    drop(host);
    check_whole(&data);
}
