//! How far a run is: a tree that is added up, whatever the log has besides, and over restarts.

use hyper::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use streamtask_tests::{Api, Said, TestHost, child, eventually};

fn path(run: &Value) -> String {
    format!("/api/runs/{}/progress", run["id"].as_str().unwrap())
}

async fn progress(host: &Api, run: &Value) -> Value {
    let answer = host.get(&path(run)).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.json()
}

/// Waits until the message of the run as a whole is `message`.
async fn told(host: &Api, run: &Value, message: &str) -> Value {
    eventually("progress", || async { progress(host, run).await["message"] == message }).await;
    progress(host, run).await
}

async fn signal(host: &Api, run: &Value, what: &str) {
    let path = format!("/api/runs/{}/{what}", run["id"].as_str().unwrap());
    assert!(host.post(&path, "").await.status.is_success(), "{what}");
}

fn report(steps: &[Value]) -> Value {
    json!({ "do": "report", "steps": steps })
}

fn tree() -> Vec<Value> {
    let tell = |data| json!({ "progress": data });
    vec![
        tell(json!({"id":"import","message":"Importing"})),
        tell(json!({"id":"fetch","parent":"import","weight":1,"done":20,"total":80})),
        tell(json!({"id":"index","parent":"import","weight":3,"status":"waiting"})),
        tell(json!({"id":"check","parent":"import","weight":2,"status":"failed","percent":50})),
        tell(json!({"id":"extra","parent":"import","weight":2,"status":"skipped"})),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_added_up_by_weight_and_is_the_same_after_a_restart() {
    let host = TestHost::start().await;
    let mut steps = tree();
    steps.push(json!({ "progress": {"id":"index","status":"running","done":1}, "await": "go" }));
    let run = host.probe(report(&steps)).await;
    eventually("the last word", || async { progress(&host, &run).await["counts"]["running"] == 3 }).await;
    let told = progress(&host, &run).await;
    // (1 × 20/80 + 3 × 0 + 2 × 50 % + 2 × 1) / 8
    assert_eq!(told["fraction"], 0.40625);
    assert_eq!((&told["status"], &told["message"]), (&json!("running"), &json!("Importing")));
    assert_eq!((&told["lag"], &told["pruned"]), (&json!(0), &json!(false)));
    let counts = json!({"waiting":0,"running":3,"completed":0,"skipped":1,"failed":1,"cancelled":0});
    assert_eq!(told["counts"], counts);
    let root = &told["items"][0];
    assert_eq!((root["id"].as_str(), root["parent"].as_str()), (Some("import"), None));
    let parts = root["children"].as_array().unwrap();
    let ids: Vec<&str> = parts.iter().map(|part| part["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["fetch", "index", "check", "extra"]);
    assert_eq!(
        (&parts[0]["done"], &parts[0]["total"], &parts[0]["fraction"]),
        (&json!(20), &json!(80), &json!(0.25))
    );
    assert_eq!((&parts[1]["weight"], &parts[1]["parent"]), (&json!(3.0), &json!("import")));

    host.cancel(&run).await;
    let ended = host.finished(&run).await;
    assert_eq!(ended["status"], "cancelled");
    let last = progress(&host, &run).await;
    assert_eq!((&last["fraction"], &last["remaining_ms"]), (&json!(0.40625), &Value::Null));
    let host = host.stop().await.restart().await;
    assert_eq!(progress(&host, &run).await, last);
    host.get("/api/runs/nobody/progress").await.problem(404, "unknown-run");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_steps_are_progress_and_what_is_left_stands_still_in_a_pause() {
    let host = TestHost::start().await;
    let run = host
        .probe(report(&[
            json!({ "progress": {"step":1,"total":4,"message":"one"}, "sleep_ms": 700 }),
            json!({ "progress": {"step":2,"message":"two"}, "await": "go" }),
            json!({ "progress": {"step":3,"message":"three"} }),
        ]))
        .await;
    let two = told(&host, &run, "two").await;
    assert_eq!((&two["fraction"], &two["done"], &two["total"]), (&json!(0.5), &json!(2), &json!(4)));
    assert_eq!(two["items"], json!([]), "the run as a whole is no item");
    signal(&host, &run, "pause").await;
    host.follow(&run).await.until("run.paused").await;
    let held = progress(&host, &run).await;
    assert_eq!(held["status"], "paused");
    assert!(held["remaining_ms"].is_u64(), "{held}");
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(progress(&host, &run).await, held);
    signal(&host, &run, "resume").await;
    signal(&host, &run, "signals/go").await;
    host.finished(&run).await;
    let ended = progress(&host, &run).await;
    assert_eq!((&ended["fraction"], &ended["done"]), (&json!(1.0), &json!(3)), "completed is all of it");
    assert_eq!((&ended["remaining_ms"], &ended["message"]), (&Value::Null, &json!("three")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_tells_nothing_has_no_progress_and_is_none_the_worse() {
    let host = TestHost::start().await;
    let failed = host.run(json!({ "do": "fail" })).await;
    let told = progress(&host, &failed).await;
    assert_eq!(
        (&told["fraction"], &told["items"], &told["status"]),
        (&Value::Null, &json!([]), &json!("failed"))
    );
    let nonsense =
        [json!({ "progress": "half" }), json!({ "progress": {"id": 7, "done": -1, "percent": "x"} })];
    let run = host.run(report(&nonsense)).await;
    assert_eq!(progress(&host, &run).await["items"], json!([]));
    let head = host.request(&Method::HEAD, &path(&run), &[], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    host.post(&path(&run), "").await.problem(405, "method-not-allowed");
}

/// What was read once is not read again, however long the log is: here it can't be.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_read_on_from_where_it_was_read_to() {
    const FLOOD: u64 = 50_000;
    let host = TestHost::start().await;
    let run = host
        .probe(report(&[
            json!({ "progress": {"id":"a","done":1,"total":4} }),
            json!({ "flood": FLOOD }),
            json!({ "progress": {"step":1,"total":10,"message":"one"}, "await": "go" }),
            json!({ "progress": {"id":"a","done":2} }),
            json!({ "progress": {"message":"two","step":2}, "await": "go" }),
        ]))
        .await;
    let one = told(&host, &run, "one").await;
    assert_eq!((&one["seq"], &one["fraction"]), (&json!(FLOOD + 3), &json!(0.1)));
    let db = Connection::open(host.data().join("streamtask.db")).unwrap();
    db.busy_timeout(streamtask_tests::PATIENCE).unwrap();
    db.execute("DELETE FROM events WHERE type IN ('progress', 'flood')", []).unwrap();
    drop(db);
    signal(&host, &run, "signals/go").await;
    let two = told(&host, &run, "two").await;
    assert_eq!((&two["items"][0]["done"], &two["items"][0]["total"]), (&json!(2), &json!(4)));
    assert_eq!(two["fraction"], 0.2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_log_that_was_removed_nothing_is_told() {
    let host = TestHost::start().await;
    let run = host.run(report(&tree())).await;
    let stopped = host.stop().await;
    let db = Connection::open(stopped.config.data.join("streamtask.db")).unwrap();
    // As far as the item that the others are parts of.
    db.execute("DELETE FROM events WHERE id & 4294967295 <= 2", []).unwrap();
    drop(db);
    let host = stopped.restart().await;
    let told = progress(&host, &run).await;
    assert_eq!((&told["pruned"], &told["items"], &told["fraction"]), (&json!(true), &json!([]), &json!(1.0)));
    assert_eq!(told["lag"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_the_tree() {
    let host = TestHost::start().await;
    let run = host.run(report(&tree())).await;
    let (id, url) = (run["id"].as_str().unwrap(), format!("http://{}", host.address));
    let said = Said::of(child::command().args(["progress", id, "--host", &url]));
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let lines: Vec<Vec<&str>> = said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["completed", "100", "%", "Importing"]);
    assert_eq!(lines[2], ["fetch", "completed", "100", "%", "20/80"], "the end of the run closed it");
    assert_eq!((lines.len(), lines[5][0]), (6, "extra"));
    Said::of(child::command().args(["progress", "nobody", "--host", &url])).refused(3, "there is no run");
}
