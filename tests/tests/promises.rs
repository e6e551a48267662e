//! The eight promises of the host (ARCHITECTURE.md), each with a test that fails
//! without it. The second, exact resume, has a file of its own: `resume.rs`.

use std::time::{Duration, Instant};

use hyper::Method;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use streamtask_tests::{ChildHost, TestHost, eventually, guests};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

fn database(host: &TestHost) -> Connection {
    let path = host.data().join("streamtask.db");
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// Promise 1: commit, then deliver.
#[tokio::test(flavor = "multi_thread")]
async fn no_client_sees_an_event_before_it_is_durable() {
    let host = TestHost::start().await;
    let db = database(&host);
    let run = host.probe(json!({ "do": "flood", "events": 3000, "pause_ms": 1 })).await;
    let mut stream = host.follow(&run).await;
    let mut stored = db.prepare("SELECT type, data FROM run_events WHERE run = ?1 AND seq = ?2").unwrap();
    let id = run["id"].as_str().unwrap();
    while let Some(event) = stream.next().await {
        // The event is in the client's hands; another process must find it in the database now.
        let row: (String, String) =
            stored.query_row((id, event.seq()), |row| Ok((row.get(0)?, row.get(1)?))).expect("it is stored");
        assert_eq!(row.0, event.name);
        assert_eq!(serde_json::from_str::<Value>(&row.1).unwrap(), event.json()["data"]);
    }
}

/// Promise 1: what one client has seen, every later client sees too.
#[tokio::test(flavor = "multi_thread")]
async fn early_and_late_clients_see_the_same_bytes() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "flood", "events": 5000 })).await;
    let early = host.follow(&run).await.rest().await;
    let late = host.follow(&run).await.rest().await;
    assert_eq!(early.len(), 5002);
    assert!(early == late, "a client from the start and one after the end saw the same");
    let host = host.stop().await.restart().await;
    assert!(host.follow(&run).await.rest().await == early, "and one after a restart");
}

/// Promise 3: everyone gets everything.
#[tokio::test(flavor = "multi_thread")]
async fn subscribers_do_not_compete() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "flood", "events": 20_000, "pause_ms": 1 })).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(tokio::spawn(host.follow(&run).await.rest()));
    }
    for client in clients {
        let seqs: Vec<u64> = client.await.unwrap().iter().map(|event| event.seq()).collect();
        assert_eq!(seqs, (1..=20_002).collect::<Vec<_>>());
    }
}

/// Promise 3: a slow one costs no memory, delays nobody, and never slows the task.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_costs_nothing_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
    guests::install(&tasks, "test/probe.wasm", &guests::probe());
    let host = ChildHost::start(&tasks, &data, &["--durability", "normal"]);
    let mut api = streamtask_tests::Connection::open(host.address).await;
    // 100 MB of events; what the system's sockets hold of it is little.
    let input = r#"{"do":"flood","wait_ms":300,"events":100000,"bytes":1000}"#;
    let start = async |api: &mut streamtask_tests::Connection| {
        let run = api.request(&Method::POST, "/api/tasks/test/probe/runs", &[], input).await.json();
        run["stream"].as_str().unwrap().to_owned()
    };
    let alone = start(&mut api).await;
    let events = streamtask_tests::EventStream::open(host.address, &alone, &[]).await.rest().await;
    assert_eq!(events.len(), 100_002);
    drop(events);
    // Caches have what they may have now.
    let before = anonymous_memory(host.id());
    let path = start(&mut api).await;
    let mut stalled = Vec::new();
    for _ in 0..50 {
        let mut client = TcpStream::connect(host.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        stalled.push(client);
    }
    let reader = streamtask_tests::EventStream::open(host.address, &path, &[]).await;
    let events = reader.rest().await;
    assert_eq!(events.len(), 100_002, "a client that reads gets all, whatever the others do");
    let memory = anonymous_memory(host.id()).saturating_sub(before);
    assert!(
        memory < 64 << 20,
        "50 stalled clients of 100 MB each, and the host has {} MB more",
        memory >> 20
    );
    drop(stalled);
    let late = streamtask_tests::EventStream::open(host.address, &format!("{path}?after=99000"), &[]).await;
    assert_eq!(late.rest().await.len(), 1002);
}

fn anonymous_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Promise 4: a stream always ends, also when the run is cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_ends_its_stream() {
    let host = TestHost::with(|config| config.cancel_grace = Duration::from_millis(50)).await;
    for (input, partial) in [
        (json!({ "do": "until-cancelled" }), json!("partial")),
        (json!({ "do": "stubborn" }), Value::Null),
        (json!({ "do": "spin" }), Value::Null),
        (json!({ "do": "wait-for-signal" }), Value::Null),
    ] {
        let run = host.probe(input.clone()).await;
        let mut stream = host.follow(&run).await;
        stream.take(1).await;
        let cancel = format!("/api/runs/{}/cancel", run["id"].as_str().unwrap());
        assert_eq!(host.post(&cancel, "").await.status, 202);
        let events = stream.rest().await;
        let last = events.last().unwrap();
        assert_eq!(last.name, "run.cancelled", "{input}");
        assert_eq!(last.json()["data"]["final_value"], partial, "what it returned in time is kept");
        let ended = host.finished(&run).await;
        assert_eq!((&ended["status"], &ended["final_value"]), (&json!("cancelled"), &partial));
        assert!(!ended["cancel_requested_at"].is_null());
        assert_eq!(host.post(&cancel, "").await.status, 200, "cancelling again is no error");
    }
    let done = host.run(json!({ "do": "echo" })).await;
    let cancel = format!("/api/runs/{}/cancel", done["id"].as_str().unwrap());
    host.post(&cancel, "").await.problem(409, "already-ended");
}

/// Promise 4: …and when the host stops.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_host_ends_every_stream_with_a_reason() {
    let host = TestHost::with(|config| config.max_running = 2).await;
    let interrupted = host.probe(json!({ "do": "sleep", "ms": 600_000 })).await;
    let resumable = host.probe(json!({ "do": "steps", "n": 1_000_000, "ms": 1 })).await;
    let waiting = host.probe(json!({ "do": "echo" })).await;
    let mut streams = Vec::new();
    for run in [&interrupted, &resumable, &waiting] {
        let mut stream = host.follow(run).await;
        stream.take(1).await;
        streams.push(stream);
    }
    streams[1].until("step").await;
    let reading = streams.into_iter().map(|stream| tokio::spawn(stream.rest())).collect::<Vec<_>>();
    let stopped = host.stop().await;
    let (mut ends, mut seen) = (Vec::new(), Vec::new());
    for stream in reading {
        let events = stream.await.unwrap();
        ends.push(events.last().unwrap().clone());
        seen.push(events);
    }
    assert_eq!(ends[0].name, "run.failed", "nothing to go on from");
    assert_eq!(ends[0].json()["data"]["error"]["kind"], "interrupted");
    assert_eq!(ends[1].name, "run.stream-closing", "it goes on later");
    assert_eq!(ends[2].name, "run.stream-closing", "it has not begun");

    let host = stopped.restart().await;
    assert_eq!(host.finished(&waiting).await["status"], "completed");
    let mut stream = host.follow_with(&resumable, "", &[("last-event-id", &ends[1].id)]).await;
    let events = stream.until("step").await;
    assert_eq!(events[0].seq(), ends[1].seq() + 1, "the client comes back and misses nothing");
    let all: Vec<&str> = seen[1].iter().chain(&events).map(|event| event.name.as_str()).collect();
    assert_eq!(all.iter().filter(|name| **name == "run.retrying").count(), 1, "before the stop or after it");
    let begin = &events.iter().find(|event| event.name == "begin").unwrap().json()["data"];
    assert_eq!(begin["attempt"], 2);
    assert!(begin["from"].as_u64() > Some(0), "from the checkpoint, not from the start");
}

/// Promise 6: a guest can't hurt its neighbours.
#[tokio::test(flavor = "multi_thread")]
async fn spinning_guests_stop_neither_their_neighbours_nor_the_host() {
    let host = TestHost::with(|config| {
        config.guest_threads = 2;
        config.limits.deadline = Some(Duration::from_secs(20));
        config.cancel_grace = Duration::from_millis(10);
    })
    .await;
    let mut spinners = Vec::new();
    for _ in 0..6 {
        spinners.push(host.probe(json!({ "do": "spin" })).await);
    }
    let before = Instant::now();
    let run = host.run(json!({ "do": "ticks", "n": 20, "ms": 10 })).await;
    assert_eq!(run["status"], "completed");
    assert_eq!(host.get("/healthz").await.status, 200);
    assert!(before.elapsed() < Duration::from_secs(10), "it got its turns while all threads were busy");
    for spinner in &spinners {
        host.post(&format!("/api/runs/{}/cancel", spinner["id"].as_str().unwrap()), "").await;
        assert_eq!(host.finished(spinner).await["status"], "cancelled");
    }
}

/// Promise 7: a failed run is never silently run again.
#[tokio::test(flavor = "multi_thread")]
async fn no_run_is_run_again_behind_the_users_back() {
    let host = TestHost::start().await;
    let failed = host.run(json!({ "do": "fail" })).await;
    let trapped = host.run(json!({ "do": "panic" })).await;
    let interrupted = host.probe(json!({ "do": "sleep", "ms": 600_000 })).await;
    let host = host.stop().await.restart().await;
    for (run, kind) in [(&failed, "failure"), (&trapped, "trap"), (&interrupted, "interrupted")] {
        let now = host.finished(run).await;
        assert_eq!((&now["status"], &now["attempt"]), (&json!("failed"), &json!(1)));
        assert_eq!(now["error"]["kind"], kind);
        let starts =
            host.follow(run).await.rest().await.iter().filter(|event| event.name == "run.started").count();
        assert_eq!(starts, 1);
    }
}

/// Promise 8: GET changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn get_changes_nothing() {
    let host = TestHost::with(|config| config.max_running = 1).await;
    let finished = host.run(json!({ "do": "echo" })).await;
    let running = host.probe(json!({ "do": "sleep", "ms": 600_000 })).await;
    let queued = host.probe(json!({ "do": "echo" })).await;
    let db = database(&host);
    let content = || {
        let dump = |table: &str| {
            let mut statement = db.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).unwrap();
            let columns = statement.column_count();
            let rows = statement.query_map([], |row| {
                (0..columns)
                    .map(|column| row.get::<_, rusqlite::types::Value>(column))
                    .collect::<Result<Vec<_>, _>>()
            });
            format!("{:?}", rows.unwrap().collect::<Vec<_>>())
        };
        // `hosts` changes by itself: the lease.
        ["tasks", "versions", "runs", "run_labels", "events", "checkpoints"].map(dump)
    };
    // The run under way has said all it will.
    eventually("the run begins", || async {
        host.follow_with(&running, "tail=1", &[]).await.take(1).await.len() == 1
    })
    .await;
    let before = content();
    let mut paths: Vec<String> = [
        "/",
        "/healthz",
        "/readyz",
        "/api/tasks",
        "/api/tasks/test/probe",
        "/api/runs",
        "/api/runs?status=queued",
        "/nothing",
    ]
    .map(str::to_owned)
    .into();
    for run in [&finished, &running, &queued] {
        paths.push(format!("/api/runs/{}", run["id"].as_str().unwrap()));
        paths.push(format!("/api/runs/{}/cancel", run["id"].as_str().unwrap()));
        paths.push(run["stream"].as_str().unwrap().to_owned());
    }
    paths.push("/api/tasks/test/probe/runs".to_owned());
    for path in &paths {
        for method in [Method::GET, Method::HEAD] {
            // Streams of what has not ended are read as status; and opened, below.
            host.request(&method, path, &[("accept", "application/json")], "").await;
        }
    }
    for run in [&finished, &running, &queued] {
        host.follow(run).await.take(1).await;
    }
    assert_eq!(content(), before);
}
