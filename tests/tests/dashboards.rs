//! What those need who look after many runs: the list as it changes, the events of several runs on one connection,
//! and who reads what.

use std::collections::HashMap;

use hyper::Method;
use serde_json::{Value, json};
use streamtask_tests::{Event, EventStream, Lines, TestHost, WebSocket, eventually, stream_path};

async fn lines(host: &TestHost, path: &str, headers: &[(&str, &str)]) -> Lines {
    Lines::request(host.address, &Method::GET, path, headers, "").await
}

async fn next(lines: &mut Lines) -> Value {
    serde_json::from_str(&lines.next().await.expect("it goes on")).expect("JSON")
}

/// The next state of that run that is `status`.
async fn until(lines: &mut Lines, run: &str, status: &str) -> Value {
    loop {
        let line = next(lines).await;
        if line["data"]["id"] == run && line["data"]["status"] == status {
            return line["data"].clone();
        }
    }
}

async fn start(host: &TestHost, id: &str, query: &str, input: Value) -> Value {
    let path = format!("/api/tasks/test/probe/runs?id={id}{query}");
    let run = host.post(&path, input.to_string()).await;
    assert_eq!(run.status, 202, "{run:?}");
    run.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_runs_is_told_and_then_each_change_of_it() {
    let host = TestHost::start().await;
    let ended = host.run(json!({ "do": "echo" })).await;
    let mut list = lines(&host, "/api/runs?task=test/probe", &[]).await;
    assert_eq!(list.headers["content-type"], "application/x-ndjson; charset=utf-8");
    let first = next(&mut list).await;
    assert_eq!((&first["type"], &first["data"]), (&json!("run.state"), &ended));
    assert_eq!(next(&mut list).await, json!({ "type": "run.list-complete", "data": { "runs": 1 } }));

    start(&host, "one", "", json!({ "do": "signals", "count": 1 })).await;
    until(&mut list, "one", "running").await;
    host.post("/api/runs/one/pause", "").await;
    until(&mut list, "one", "paused").await;
    host.post("/api/runs/one/resume", "").await;
    until(&mut list, "one", "running").await;
    host.post("/api/runs/one/signals/go", "1").await;
    assert_eq!(until(&mut list, "one", "completed").await["final_value"], json!([1]));

    let gone = host.request(&Method::DELETE, "/api/runs/one", &[], "").await;
    assert!(gone.status.is_success(), "{gone:?}");
    loop {
        let line = next(&mut list).await;
        if line["type"] == "run.removed" {
            assert_eq!(line["data"], json!({ "id": "one" }));
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_list_holds_what_its_filter_lets_pass_in_every_form() {
    let host = TestHost::start().await;
    start(&host, "mine", "&label=team:a", json!({ "do": "signals", "count": 1 })).await;
    let mut list = EventStream::open(
        host.address,
        "/api/runs?label=team:a&status=running",
        &[("accept", "text/event-stream"), ("accept-encoding", "identity")],
    )
    .await;
    start(&host, "other", "&label=team:b", json!({ "do": "echo" })).await;
    host.post("/api/runs/mine/signals/go", "1").await;
    let mut seen = Vec::new();
    loop {
        let event = list.next().await.expect("it goes on");
        let data = event.json()["data"].clone();
        assert_ne!(data["id"], "other");
        seen.push(event.name.clone());
        if event.name == "run.removed" {
            assert_eq!(data["id"], "mine", "it does not run any more");
            break;
        }
    }
    assert!(seen.contains(&"run.list-complete".to_owned()), "{seen:?}");
    host.get("/api/runs?format=text").await.problem(400, "invalid-parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_list_ends_with_a_reason_when_the_host_stops() {
    let host = TestHost::start().await;
    let mut list = lines(&host, "/api/runs", &[]).await;
    let stopping = tokio::spawn(host.stop());
    let last = loop {
        let line = next(&mut list).await;
        if line["type"] != "run.list-complete" {
            break line;
        }
    };
    assert_eq!(last["type"], "run.stream-closing");
    assert_eq!(list.next().await, None);
    stopping.await.unwrap();
}

/// The numbers of each run's events, in the order in which they came.
fn by_run(events: &[Event]) -> HashMap<String, Vec<u64>> {
    let mut runs: HashMap<String, Vec<u64>> = HashMap::new();
    for event in events {
        let envelope = event.json();
        let run = envelope["_task_id"].as_str().expect("a run").to_owned();
        runs.entry(run).or_default().push(envelope["seq"].as_u64().expect("a number"));
    }
    runs
}

async fn follow(host: &TestHost, query: &str, last: Option<&str>) -> EventStream {
    let headers: Vec<(&str, &str)> = last.map(|id| ("last-event-id", id)).into_iter().collect();
    EventStream::open(host.address, &format!("/api/events?{query}"), &headers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn several_runs_are_read_on_one_connection_and_resumed_at_every_event() {
    let host = TestHost::start().await;
    for (id, events) in [("a", 30), ("b", 3), ("c", 300)] {
        start(&host, id, "", json!({ "do": "flood", "events": events, "bytes": 5, "pause_ms": 1 })).await;
    }
    let events = follow(&host, "run=a&run=b,c", None).await.rest().await;
    let whole = by_run(&events);
    for (run, last) in [("a", 32), ("b", 5), ("c", 302)] {
        assert!(whole[run].iter().copied().eq(1..=last), "{run}: {:?}", whole[run]);
    }
    for (at, event) in events.iter().enumerate() {
        let stream = follow(&host, "run=a&run=b&run=c", Some(&event.id)).await;
        if at + 1 == events.len() {
            assert_eq!(stream.status, 204, "who has all is told not to come back");
            continue;
        }
        if at % 7 == 0 {
            let rest = by_run(&stream.rest().await);
            let had = by_run(&events[..=at]);
            for (run, seqs) in &whole {
                let had = had.get(run).map_or(0, Vec::len);
                assert_eq!(
                    rest.get(run).map_or(&[][..], Vec::as_slice),
                    &seqs[had..],
                    "{run} after {}",
                    event.id
                );
            }
        }
    }
    // As lines, each has the cursor; and the types can be chosen.
    let rest = lines(&host, "/api/events?run=a&run=b&types=run.started", &[]).await.rest().await;
    let rest: Vec<Value> = rest.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rest.len(), 4);
    let after = rest[3]["cursor"].as_str().unwrap();
    assert_eq!(host.get(&format!("/api/events?run=a&run=b&after={after}")).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_of_several_runs_are_gathered_for_each_run_and_resumed_exactly() {
    let host = TestHost::start().await;
    let tokens = |target: &str| json!({ "type": "view", "data": format!(r##"{{"op":"text","target":"{target}","text":"#,"}}"##), "times": 2000 });
    let progress = json!({ "type": "progress", "data": "{\"step\":1,\"total\":2}" });
    for run in ["a", "b"] {
        let events = json!([tokens("x"), progress, tokens("y")]);
        start(&host, run, "", json!({ "do": "send", "events": events })).await;
    }
    let events = follow(&host, "run=a&run=b&interval=16", None).await.rest().await;
    assert!(events.len() < 2000, "{} events", events.len());
    let whole: String = (0..2000).map(|nth| format!("{nth},")).collect();
    for run in ["a", "b"] {
        let own: Vec<Value> =
            events.iter().map(Event::json).filter(|event| event["_task_id"] == run).collect();
        let mut next = 1;
        let mut written = HashMap::<String, String>::new();
        for event in &own {
            let seq = event["seq"].as_u64().unwrap();
            assert_eq!(event["first_seq"].as_u64().unwrap_or(seq), next, "{run}: each number once, in order");
            next = seq + 1;
            let data = &event["data"];
            for op in data["ops"].as_array().unwrap_or(&vec![data.clone()]) {
                if let (Some(target), Some(text)) = (op["target"].as_str(), op["text"].as_str()) {
                    written.entry(target.to_owned()).or_default().push_str(text);
                }
            }
        }
        assert_eq!(next, 4004, "{run}");
        assert!(written["x"] == whole && written["y"] == whole, "{run}");
    }
    for at in [1, events.len() / 2, events.len() - 2] {
        let rest = follow(&host, "run=a&run=b", Some(&events[at].id)).await.rest().await;
        let (had, rest) = (by_run(&events[..=at]), by_run(&rest));
        for run in ["a", "b"] {
            let last = had.get(run).map_or(0, |seqs| *seqs.last().unwrap());
            assert!(rest.get(run).map_or(&[][..], Vec::as_slice).iter().copied().eq(last + 1..4004), "{run}");
        }
    }
    host.get("/api/events?interval=soon").await.problem(400, "invalid-parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_begin_later_belong_to_a_stream_by_label_or_task() {
    let host = TestHost::start().await;
    let before = start(&host, "before", "&label=team:a", json!({ "do": "echo" })).await;
    host.finished(&before).await;
    start(&host, "under-way", "&label=team:a", json!({ "do": "signals", "count": 1 })).await;
    let mut all = follow(&host, "label=team:a", None).await;
    while all.next().await.expect("it goes on").json()["_task_id"] != "before" {}
    let mut new = follow(&host, "task=test/probe&from=now", None).await;
    start(&host, "other", "&label=team:b", json!({ "do": "echo" })).await;
    start(&host, "later", "&label=team:a", json!({ "do": "echo" })).await;
    host.post("/api/runs/under-way/signals/go", "1").await;
    let (mut ended, mut last) = (Vec::new(), String::new());
    while !ended.contains(&"later".to_owned()) || !ended.contains(&"under-way".to_owned()) {
        let event = all.next().await.unwrap();
        let run = event.json()["_task_id"].as_str().unwrap().to_owned();
        assert_ne!(run, "other");
        last = event.id.clone();
        if event.is_terminal() {
            ended.push(run);
        }
    }
    let mut seen = Vec::new();
    while seen.iter().filter(|(_, terminal)| *terminal).count() < 3 {
        let event = new.next().await.unwrap();
        seen.push((event.json()["_task_id"].as_str().unwrap().to_owned(), event.is_terminal()));
    }
    assert!(seen.iter().all(|(run, _)| run != "before"), "{seen:?}");
    // Its position says that all these have ended.
    start(&host, "last", "&label=team:a", json!({ "do": "echo" })).await;
    let event = follow(&host, "label=team:a", Some(&last)).await.next().await.unwrap();
    assert_eq!((&event.json()["_task_id"], &event.json()["seq"]), (&json!("last"), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_runs_than_can_be_read_at_once_are_read_one_after_the_other() {
    let host = TestHost::start().await;
    for nth in 0..150 {
        start(&host, &format!("n{nth}"), "&label=many:yes", json!({ "do": "echo" })).await;
    }
    let mut stream = follow(&host, "label=many:yes", None).await;
    let mut events = Vec::new();
    while events.iter().filter(|event: &&Event| event.is_terminal()).count() < 150 {
        events.push(stream.next().await.expect("it goes on"));
    }
    assert_eq!(by_run(&events).len(), 150);
    // Runs under way are not lost among many that were started later and have ended.
    start(&host, "old", "&label=many:yes", json!({ "do": "signals", "count": 1 })).await;
    for nth in 150..230 {
        let run = start(&host, &format!("n{nth}"), "&label=many:yes", json!({ "do": "echo" })).await;
        host.finished(&run).await;
    }
    let mut now = follow(&host, "label=many:yes&from=now", None).await;
    host.post("/api/runs/old/signals/go", "1").await;
    loop {
        let event = now.next().await.expect("it goes on");
        if event.is_terminal() && event.json()["_task_id"] == "old" {
            break;
        }
    }
    let named = |count| (0..count).map(|nth| format!("n{nth}")).collect::<Vec<_>>().join(",");
    let events = follow(&host, &format!("run={}", named(150)), None).await.rest().await;
    assert_eq!(events.iter().filter(|event| event.is_terminal()).count(), 150, "named ones, too");
    let refused = host.get(&format!("/api/events?run={}", named(257))).await;
    assert_eq!(refused.problem(400, "invalid-parameter")["parameter"], "run");
    host.get("/api/events?run=nobody").await.problem(404, "unknown-run");
    for bad in ["after=x", "after=1-2", "from=latest", "envelope=none"] {
        host.get(&format!("/api/events?{bad}")).await.problem(400, "invalid-parameter");
    }
    for (path, headers) in
        [("/api/events", &[("last-event-id", "x")][..]), ("/api/events?lastEventId=x", &[][..])]
    {
        let refused = host.request(&Method::GET, path, headers, "").await;
        assert_eq!(refused.problem(400, "invalid-parameter")["parameter"], "lastEventId");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_shall_not_go_on_alone_is_cancelled_when_its_last_client_is_gone_for_long() {
    let host = TestHost::start().await;
    let input = json!({ "do": "ticks", "n": 100_000, "ms": 20 });
    let run = start(&host, "watched", "&on_disconnect=cancel", input.clone()).await;
    let other = start(&host, "alone", "", input).await;
    assert_eq!((&run["on_disconnect"], &other["on_disconnect"]), (&json!("cancel"), &json!("continue")));
    // Of two, one may go, and who comes back in time changes nothing.
    let mut first = host.follow(&run).await;
    let mut second = host.follow(&run).await;
    first.until("tick").await;
    second.until("tick").await;
    drop(first);
    second.until("tick").await;
    drop(second);
    let mut back = host.follow_with(&run, "from=now", &[]).await;
    back.until("tick").await;
    drop((back, host.follow(&other).await));
    // Not by its stream, for then somebody would be there.
    eventually("it is cancelled", async || host.read_run(&run).await["status"] == "cancelled").await;
    assert_eq!(host.read_run(&other).await["status"], "running");
    host.post("/api/tasks/test/probe/runs?on_disconnect=maybe", "{}").await.problem(400, "invalid-parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_a_run_is_told_with_how_far_behind_it_is() {
    let host = TestHost::start().await;
    let run = start(&host, "read", "", json!({ "do": "signals", "count": 1 })).await;
    let path = stream_path(&run).to_owned();
    let status = async || host.get(&format!("{path}/status")).await.json();
    assert_eq!(status().await["clients"], json!([]));
    let mut stream = host.follow_with(&run, "client_id=my-client", &[]).await;
    stream.until("run.started").await;
    let socket = WebSocket::open(host.address, &path, &[]).await.expect("opens");
    eventually("both are there", async || status().await["clients"].as_array().unwrap().len() == 2).await;
    eventually("all have all", async || {
        status().await["clients"].as_array().unwrap().iter().all(|client| client["lag"] == 0)
    })
    .await;
    let told = status().await;
    assert_eq!(
        (&told["run"], &told["status"], &told["is_complete"]),
        (&json!("read"), &json!("running"), &json!(false))
    );
    let mine = &told["clients"][0];
    assert_eq!(
        (&mine["client_id"], &mine["format"], &mine["sent_seq"]),
        (&json!("my-client"), &json!("sse"), &told["last_seq"])
    );
    assert_eq!(told["clients"][1]["format"], "websocket");
    let streams = host.get("/api/streams").await.json();
    assert_eq!(
        (&streams["streams"][0]["run"], &streams["streams"][0]["clients"]),
        (&json!("read"), &told["clients"])
    );
    let metrics = host.get("/metrics").await;
    assert_eq!(metrics.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    for line in [
        "# TYPE streamtask_streams gauge\n",
        "streamtask_streams{format=\"sse\"} 1\n",
        "# TYPE streamtask_streams_opened_total counter\n",
        "streamtask_streamed_runs 1\n",
        "streamtask_running_runs 1\n",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    // Who reads it beside others reads it, too.
    let mut both = follow(&host, "run=read&client_id=board", None).await;
    both.until("run.started").await;
    eventually("it is there as well", async || {
        let told = status().await;
        let board = &told["clients"][2];
        board["client_id"] == "board" && board["sent_seq"] == told["last_seq"]
    })
    .await;
    drop((stream, socket, both));
    // A connection that is gone is noticed when something is written to it.
    host.post("/api/runs/read/signals/go", "1").await;
    eventually("they have left", async || status().await["clients"] == json!([])).await;
    eventually("it is complete", async || status().await["is_complete"] == true).await;
    for bad in ["", "a b", "<b>", &"x".repeat(65)] {
        let bad: String = form_urlencoded::byte_serialize(bad.as_bytes()).collect();
        host.get(&format!("{path}?client_id={bad}")).await.problem(400, "invalid-parameter");
    }
    host.get("/stream/test/probe/nobody/status").await.problem(404, "unknown-run");
}
