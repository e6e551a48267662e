//! Requests that ask for what can't be had, or can't be had now: each gets an answer
//! that says why, and the host goes on.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use streamtask_host::app::Host;
use streamtask_host::config::Config;
use streamtask_tests::{Answer, Api, Connection, EventStream, TestHost, eventually, guests, soon};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const START: &str = "/api/tasks/test/probe/runs";
const SSE: (&str, &str) = ("accept", "text/event-stream");

async fn is_alive(host: &Api) {
    assert_eq!(host.get("/healthz").await.status, 200, "the host goes on");
}

async fn runs(host: &Api) -> usize {
    host.get("/api/runs").await.json()["runs"].as_array().expect("a list").len()
}

async fn start_with(host: &Api, headers: &[(&str, &str)], query: &str, input: &str) -> Answer {
    host.request(&Method::POST, &format!("{START}{query}"), headers, input).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_not_found() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    let id = run["id"].as_str().unwrap();
    for path in ["/nowhere", "/api", "/api/", "/api/runs/", "//api/runs", "/healthz/", "/stream/test/probe"] {
        let problem = host.get(path).await.problem(404, "unknown-path");
        assert!(problem["detail"].as_str().unwrap().contains(path), "{problem}");
    }
    for task in ["test/nobody", "nobody/probe", "test/PROBE", "test/probe.wasm", "test/pr%6fbe"] {
        host.get(&format!("/api/tasks/{task}")).await.problem(404, "unknown-task");
        host.post(&format!("/api/tasks/{task}/runs"), "{}").await.problem(404, "unknown-task");
    }
    for path in ["/api/runs/nobody", "/stream/test/probe/nobody", "/api/runs/a.b"] {
        host.get(path).await.problem(404, "unknown-run");
    }
    for path in [format!("/stream/test/other/{id}"), format!("/stream/other/probe/{id}")] {
        host.get(&path).await.problem(404, "unknown-run");
    }
    host.post("/api/runs/nobody/cancel", "").await.problem(404, "unknown-run");
    host.request(&Method::GET, "/stream/test/probe/nobody", &[SSE], "").await.problem(404, "unknown-run");
    is_alive(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_json_is_refused_with_the_place() {
    let host = TestHost::start().await;
    for (body, line, column) in [
        ("{\"a\":}", 1, 6),
        ("{\"a\": 1,\n \"b\": }", 2, 7),
        ("nonsense", 1, 2),
        ("{} {}", 1, 4),
        ("\u{feff}{}", 1, 1),
        ("\"\\ud800\"", 1, 8),
        (" ", 1, 1),
    ] {
        let problem = host.post(START, body).await.problem(400, "invalid-json");
        assert_eq!((&problem["line"], &problem["column"]), (&json!(line), &json!(column)), "{body:?}");
        assert!(problem["detail"].as_str().unwrap().contains(&format!("line {line} column {column}")));
    }
    let mut connection = Connection::open(host.address).await;
    let answer = connection.request(&Method::POST, START, &[], &b"\"ab\xff\""[..]).await;
    let problem = answer.problem(400, "invalid-json");
    assert!(problem["detail"].as_str().unwrap().contains("byte 3"), "{problem}");
    assert_eq!(runs(&host).await, 0);
    assert_eq!(host.post(START, "").await.json()["input"], json!({}), "no body is an empty object");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_the_task_does_not_take_is_refused_with_every_reason() {
    let host = TestHost::start().await;
    for (input, pointers) in [
        (json!({ "do": 1 }), vec!["#/do"]),
        (json!({ "do": "sleep", "ms": -1 }), vec!["#/ms"]),
        (json!({ "do": [], "ms": 1.5 }), vec!["#/do", "#/ms"]),
        (json!([]), vec!["#"]),
        (json!(null), vec!["#"]),
    ] {
        let problem = host.post(START, input.to_string()).await.problem(400, "invalid-input");
        let errors = problem["errors"].as_array().unwrap();
        let mut named: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        named.sort_unstable();
        assert_eq!(named, pointers, "{problem}");
        assert!(errors.iter().all(|error| !error["detail"].as_str().unwrap().is_empty()), "{problem}");
    }
    assert_eq!(runs(&host).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_is_refused_with_the_right_ones() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    let record = format!("/api/runs/{}", run["id"].as_str().unwrap());
    let (cancel, stream) = (format!("{record}/cancel"), run["stream"].as_str().unwrap());
    let read = "GET, HEAD, OPTIONS";
    for (path, wrong, allow) in [
        ("/healthz", "POST", read),
        ("/readyz", "PUT", read),
        ("/api/tasks", "POST", read),
        ("/api/tasks/test/probe", "PATCH", "GET, HEAD, PUT, DELETE, OPTIONS"),
        (START, "GET", "POST, OPTIONS"),
        (START, "PUT", "POST, OPTIONS"),
        ("/api/runs", "POST", read),
        (&record, "BREW", "GET, HEAD, DELETE, OPTIONS"),
        (&cancel, "GET", "POST, OPTIONS"),
        (stream, "POST", read),
        (stream, "TRACE", read),
    ] {
        let method = Method::from_bytes(wrong.as_bytes()).unwrap();
        let answer = host.request(&method, path, &[], "").await;
        answer.problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), allow, "{wrong} {path}");
        let options = host.request(&Method::OPTIONS, path, &[], "").await;
        assert_eq!((options.status.as_u16(), options.header("allow")), (204, allow));
    }
    let head = host.request(&Method::HEAD, START, &[], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (405, 0));
    host.request(&Method::DELETE, "/nowhere", &[], "").await.problem(404, "unknown-path");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_the_same_run_and_another_request_a_conflict() {
    let host = TestHost::start().await;
    let key = ("idempotency-key", "order 66");
    let first = start_with(&host, &[key], "?label=a:b", r#"{"do":"echo"}"#).await;
    assert_eq!(first.status, 202);
    assert!(first.headers.get("idempotent-replayed").is_none());
    let run = host.finished(&first.json()).await;

    let again = start_with(&host, &[key], "?label=a:b", r#"{"do":"echo"}"#).await;
    assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (202, "true"));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.json(), run, "as it is now");
    let stream = EventStream::request(
        host.address,
        &Method::POST,
        &format!("{START}?label=a:b"),
        &[key],
        r#"{"do":"echo"}"#,
    )
    .await;
    assert_eq!(stream.headers["idempotent-replayed"], "true");
    assert_eq!(stream.rest().await.len(), 2, "its stream from the beginning");

    for (query, body) in
        [("?label=a:b", r#"{"do":"fail"}"#), ("?label=a:c", r#"{"do":"echo"}"#), ("", r#"{"do":"echo"}"#)]
    {
        let problem = start_with(&host, &[key], query, body).await.problem(409, "conflict");
        assert!(problem["detail"].as_str().unwrap().contains("order 66"), "{problem}");
    }
    assert_eq!(runs(&host).await, 1);
    host.install("test/other.wasm", &guests::probe()).await;
    let other = host.request(&Method::POST, "/api/tasks/test/other/runs", &[key], "{}").await;
    assert_eq!(other.status, 202, "a key belongs to one task");

    let longest = "k".repeat(255);
    assert_eq!(start_with(&host, &[("idempotency-key", &longest)], "", "{}").await.status, 202);
    let too_long = "k".repeat(256);
    for key in ["", "schlüssel", &too_long] {
        let answer = start_with(&host, &[("idempotency-key", key)], "", "{}").await;
        answer.problem(400, "invalid-idempotency-key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_the_same_key_at_the_same_time_start_one_run() {
    let host = TestHost::start().await;
    let mut requests = Vec::new();
    for _ in 0..20 {
        let api = *host;
        requests.push(tokio::spawn(async move {
            let answer = start_with(&api, &[("idempotency-key", "k")], "", r#"{"do":"echo"}"#).await;
            (
                answer.status.as_u16(),
                answer.header("idempotent-replayed").to_owned(),
                answer.json()["id"].clone(),
            )
        }));
    }
    let mut first = 0;
    let mut ids = Vec::new();
    for request in requests {
        let (status, replayed, id) = request.await.unwrap();
        assert_eq!(status, 202);
        first += u32::from(replayed.is_empty());
        ids.push(id);
    }
    ids.dedup();
    assert_eq!((first, ids.len()), (1, 1), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_the_callers_own_is_unique() {
    let host = TestHost::start().await;
    let first = start_with(&host, &[], "?id=mine", "{}").await;
    assert_eq!((first.status.as_u16(), first.header("location")), (202, "/api/runs/mine"));
    host.finished(&first.json()).await;
    let again = start_with(&host, &[], "?id=mine", "{}").await;
    assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (202, "true"));
    let problem = start_with(&host, &[], "?id=mine", r#"{"do":"fail"}"#).await.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("mine"), "{problem}");
    let too_long = "x".repeat(65);
    for id in ["", "a.b", "a%2Fb", "%00", "%C3%BC", &too_long] {
        let problem =
            start_with(&host, &[], &format!("?id={id}"), "{}").await.problem(400, "invalid-parameter");
        assert_eq!(problem["parameter"], "id");
    }
    assert_eq!(runs(&host).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_asks_to_come_back_later() {
    let host = TestHost::with(|config| {
        config.max_running = 1;
        config.max_queued = 2;
    })
    .await;
    let input = r#"{"do":"until-cancelled"}"#;
    host.probe(json!({ "do": "until-cancelled" })).await;
    let key = [("idempotency-key", "k")];
    let waiting = start_with(&host, &key, "", input).await.json();
    start_with(&host, &[], "", input).await;
    for accept in ["application/json", "text/event-stream"] {
        let answer = start_with(&host, &[("accept", accept)], "", input).await;
        let problem = answer.problem(503, "queue-full");
        assert!(problem["detail"].as_str().unwrap().contains("2 runs"), "{problem}");
        assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    }
    assert_eq!(runs(&host).await, 3, "what was refused is not there");
    let again = start_with(&host, &key, "", input).await;
    assert_eq!((again.status.as_u16(), &again.json()["id"]), (202, &waiting["id"]), "it was taken before");
    assert_eq!(host.get("/readyz").await.status, 200, "others may still be served");
    assert_eq!(host.cancel(&waiting).await.status, 200);
    assert_eq!(start_with(&host, &[], "", input).await.status, 202, "there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_makes_no_sense_is_refused_with_its_parameter() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    let stream = run["stream"].as_str().unwrap();
    for (path, query) in [
        ("/api/runs", "limit=x"),
        ("/api/runs", "limit=-1"),
        ("/api/runs", "limit=99999999999"),
        ("/api/runs", "limit="),
        ("/api/runs", "status=sleeping"),
        ("/api/runs", "status=%00"),
        ("/api/runs", "task=a/b/c"),
        ("/api/runs", "task=%2e%2e/x"),
        ("/api/runs", "label=no-colon"),
        ("/api/runs", "label=:x"),
        ("/api/runs", "cursor=x"),
        ("/api/runs", "cursor=1"),
        ("/api/runs", "cursor=1.x"),
        (stream, "after=x"),
        (stream, "after=%FF"),
        (stream, "after=18446744073709551616"),
        (stream, "tail=-1"),
        (stream, "from=yesterday"),
        (stream, "envelope=half"),
        (stream, "named=1"),
        (stream, "heartbeat=1s"),
        (stream, "heartbeat=-1"),
    ] {
        let problem = host.get(&format!("{path}?{query}")).await.problem(400, "invalid-parameter");
        let (name, _) = query.split_once('=').unwrap();
        assert_eq!(problem["parameter"], name, "{query}");
        assert!(problem["detail"].as_str().unwrap().contains(&format!("`{name}`")), "{problem}");
    }
    let long = format!("?label=k:{}", "x".repeat(2000));
    let too_many: String = (0..100).map(|nth| format!("&label=k{nth}:v")).collect();
    for query in ["?label=x", "?label=k:%0A", &long, &format!("?{}", &too_many[1..])] {
        let problem = start_with(&host, &[], query, "{}").await.problem(400, "invalid-parameter");
        assert_eq!(problem["parameter"], "label", "{problem}");
    }
    assert_eq!(runs(&host).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_event_id_of_any_length_is_answered() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "flood", "events": 3 })).await;
    let long = "9".repeat(10_000);
    for id in [long.as_str(), " 3 ", "0x3", "3, 4", "\"3\"", "data: x"] {
        let events = host.follow_with(&run, "", &[("last-event-id", id)]).await.rest().await;
        if id.trim() == "3" {
            assert_eq!(events.len(), 2, "spaces around a header's value mean nothing");
            continue;
        }
        assert_eq!(events.len(), 6, "{id:.20}: told, and everything sent");
        assert_eq!(events[0].name, "gap");
        assert_eq!(events[0].json()["data"]["requested"], *id);
    }
    let twice = [("last-event-id", "4"), ("last-event-id", "1")];
    assert_eq!(host.follow_with(&run, "", &twice).await.rest().await.len(), 1, "the first counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_what_is_over_or_was_never_there_says_so() {
    let host = TestHost::with(|config| config.max_running = 1).await;
    for (input, status) in [(json!({ "do": "echo" }), "completed"), (json!({ "do": "fail" }), "failed")] {
        let run = host.run(input).await;
        let problem = host.cancel(&run).await.problem(409, "already-ended");
        assert_eq!(problem["status_of_run"], status);
        assert!(problem["detail"].as_str().unwrap().contains(status), "{problem}");
    }
    let running = host.probe(json!({ "do": "until-cancelled" })).await;
    let queued = host.probe(json!({ "do": "echo" })).await;
    let ended = host.cancel(&queued).await;
    assert_eq!((ended.status.as_u16(), &ended.json()["status"]), (200, &json!("cancelled")));
    assert_eq!(host.cancel(&queued).await.status, 200, "again is no error");
    assert_eq!(host.cancel(&running).await.status, 202);
    assert_eq!(host.finished(&running).await["status"], "cancelled");
    assert_eq!(host.cancel(&running).await.status, 200);
    for id in ["nobody", "%00", "a.b", "0197a0c4-0000-7000-8000-000000000000"] {
        host.post(&format!("/api/runs/{id}/cancel"), "").await.problem(404, "unknown-run");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_reported_to_who_asks_for_its_task() {
    let host = TestHost::start().await;
    guests::install(&host.tasks(), "test/broken.wasm", b"this is no wasm");
    let (list, task) = ("/api/tasks", "/api/tasks/test/broken");
    eventually("the file is looked at", || async { host.get(task).await.status == 200 }).await;
    let broken = host.get(task).await.json();
    let message = broken["problem"]["message"].as_str().unwrap();
    assert_eq!(broken["version"], Value::Null);
    let problem = host.post(&format!("{task}/runs"), "{}").await.problem(404, "task-not-loaded");
    assert!(problem["detail"].as_str().unwrap().contains(message), "{problem} {message}");
    let listed = host.get(list).await.json();
    assert!(listed["tasks"].as_array().unwrap().contains(&broken), "{listed}");
    assert_eq!(host.get("/readyz").await.status, 200, "the others serve");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_tasks_are_being_loaded_the_host_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::new(folder.path().join("tasks"), folder.path().join("data"));
    for nth in 0..8 {
        let wasm = guests::marked(&guests::probe(), &nth.to_string());
        guests::install(&config.tasks, &format!("test/probe{nth}.wasm"), &wasm);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (shutdown, stopping) = oneshot::channel::<()>();
    let host = Host::launch(config, listener, async { drop(stopping.await) }).await.unwrap();
    let api = Api { address: host.address() };
    // Nothing can be said of a name before all files have been looked at.
    let answer = api.post("/api/tasks/test/nobody/runs", "{}").await;
    answer.problem(503, "loading");
    assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    let not_ready = api.get("/readyz").await;
    assert_eq!(not_ready.status, 503);
    assert!(not_ready.json()["reasons"][0].as_str().unwrap().contains("loading"), "{not_ready:?}");
    assert_eq!(api.get("/api/tasks").await.json()["complete"], false);
    is_alive(&api).await;

    eventually("the tasks are loaded", || async { api.get("/readyz").await.status == 200 }).await;
    api.post("/api/tasks/test/nobody/runs", "{}").await.problem(404, "unknown-task");
    assert_eq!(api.post("/api/tasks/test/probe7/runs", "{}").await.status, 202);
    shutdown.send(()).unwrap();
    soon("stopping", host.stopped()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_host_takes_no_more_and_says_so() {
    let host = TestHost::with(|config| config.drain_grace = Duration::from_secs(60)).await;
    let api = *host;
    assert_eq!(api.get("/readyz").await.status, 200);
    let run = host.probe(json!({ "do": "until-cancelled" })).await;
    host.follow(&run).await.until("waiting").await;
    let stopped = tokio::spawn(host.stop());
    eventually("the host stops", || async { api.get("/readyz").await.status == 503 }).await;
    assert!(api.get("/readyz").await.json()["reasons"][0].as_str().unwrap().contains("stopping"));
    is_alive(&api).await;
    let answer = api.post(START, "{}").await;
    answer.problem(503, "stopping");
    assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0);
    let stream = api.follow(&run).await;
    assert_eq!(api.cancel(&run).await.status, 202, "what runs can still be watched and ended");
    assert_eq!(stream.rest().await.last().unwrap().name, "run.cancelled");
    soon("stopping", stopped).await.unwrap();
}
