//! Requests as usual clients send them, and requests that say other than their clients mean:
//! the first are answered, the second change nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as BlockingStream};

use hyper::Method;
use serde_json::{Value, json};
use streamtask_tests::{Answer, Api, Connection, EventStream, TestHost, eventually, soon, stream_path};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const START: &str = "/api/tasks/test/probe/runs";
const ECHO: &str = r#"{"do":"echo"}"#;

async fn runs(host: &Api, query: &str) -> Vec<String> {
    let answer = host.get(&format!("/api/runs?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {:?}", answer.body);
    let listed = answer.json();
    let ids = listed["runs"].as_array().expect("a list").iter();
    ids.map(|run| run["id"].as_str().expect("an id").to_owned()).collect()
}

async fn post(host: &Api, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    host.request(&Method::POST, path, headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_that_is_not_known_is_refused_on_every_route_and_changes_nothing() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    let id = run["id"].as_str().unwrap();
    for (path, nearest) in [
        ("/api/prune?older_than=1ms&dryrun=true".to_owned(), "dry_run"),
        ("/api/prune?keep=0&dry_run=true&confirmclock=true".to_owned(), "confirm_clock"),
        (format!("{START}?lable=a:b"), "label"),
        (format!("{START}?label=a:b&prioritty=7"), "priority"),
        (format!("/api/runs/{id}/retry?delays=1h"), "delay"),
    ] {
        let problem = host.post(&path, ECHO).await.problem(400, "unknown-parameter");
        assert_eq!(problem["nearest"], nearest, "{path}");
    }
    for path in [format!("{START}?priority=1&priority=2"), "/api/prune?keep=0&keep=9".to_owned()] {
        host.post(&path, ECHO).await.problem(400, "repeated-parameter");
    }
    let run_path = format!("/api/runs/{id}");
    let stream = stream_path(&run);
    let of_run = |path: &str| format!("{run_path}/{path}");
    for (method, path) in [
        (Method::GET, "/".to_owned()),
        (Method::GET, "/streamtask.js".to_owned()),
        (Method::GET, "/page/main.js".to_owned()),
        (Method::GET, "/healthz".to_owned()),
        (Method::GET, "/readyz".to_owned()),
        (Method::GET, "/metrics".to_owned()),
        (Method::GET, "/schemas/manifest.json".to_owned()),
        (Method::GET, "/api/tasks".to_owned()),
        (Method::GET, "/api/tasks/test/probe".to_owned()),
        (Method::PUT, "/api/tasks/test/probe".to_owned()),
        (Method::DELETE, "/api/tasks/test/probe".to_owned()),
        (Method::POST, START.to_owned()),
        (Method::GET, "/api/runs".to_owned()),
        (Method::GET, run_path.clone()),
        (Method::HEAD, run_path.clone()),
        (Method::DELETE, run_path.clone()),
        (Method::GET, of_run("children")),
        (Method::GET, of_run("progress")),
        (Method::POST, of_run("retry")),
        (Method::POST, of_run("cancel")),
        (Method::POST, of_run("pause")),
        (Method::POST, of_run("resume")),
        (Method::POST, of_run("signals/go")),
        (Method::GET, of_run("parameters")),
        (Method::PUT, of_run("parameters/speed")),
        (Method::GET, of_run("files")),
        (Method::GET, of_run("files/a.txt")),
        (Method::POST, "/api/prune".to_owned()),
        (Method::GET, stream.to_owned()),
        (Method::GET, format!("{stream}/status")),
        (Method::GET, "/api/streams".to_owned()),
        (Method::GET, "/api/events".to_owned()),
    ] {
        let answer = host.request(&method, &format!("{path}?nonsense=1"), &[], "").await;
        assert_eq!(answer.status, 400, "{method} {path}");
    }
    assert_eq!(runs(&host, "").await, [id], "nothing was started and nothing removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_takes_several_values_and_none_that_is_not_text() {
    let host = TestHost::start().await;
    let start = async |query: &str, input: &str| {
        let run = host.post(&format!("{START}?{query}"), input).await.json();
        host.finished(&run).await["id"].as_str().unwrap().to_owned()
    };
    let done = start("label=team:blue&label=n:1", ECHO).await;
    let failed = start("label=team:blue&label=n:2", r#"{"do":"fail"}"#).await;
    let delayed = host.post(&format!("{START}?delay=1h&label=team:red"), ECHO).await.json();
    let delayed = delayed["id"].as_str().unwrap().to_owned();
    for (query, expected) in [
        ("status=failed&status=completed", vec![&failed, &done]),
        ("status=completed,delayed", vec![&delayed, &done]),
        ("status=failed&status=delayed&task=test/probe", vec![&delayed, &failed]),
        ("status=failed&status=completed&created_after=1h", vec![&failed, &done]),
        ("label=team:blue&label=n:2", vec![&failed]),
        ("label=team:red&label=n:2", vec![]),
        ("label=team:blue&label=n:1&status=failed&status=completed", vec![&done]),
    ] {
        assert_eq!(runs(&host, query).await.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    let events = host.get("/api/events?label=team:blue&label=n:2&format=ndjson&run=").await;
    events.problem(404, "unknown-run");
    for path in ["/api/runs?status=failed,", "/api/runs?label=n:1&label=n:2"] {
        host.get(path).await.problem(400, "invalid-parameter");
    }
    for bad in ["label=a:%ff", "id=%c3", "%ff=1"] {
        host.post(&format!("{START}?{bad}"), ECHO).await.problem(400, "invalid-parameter");
    }
    host.post(&format!("{START}?label=n:1&label=n:2"), ECHO).await.problem(400, "invalid-parameter");
    assert_eq!(runs(&host, "").await.len(), 3);
    assert_eq!(start("label=a:b%2Bc+d", ECHO).await, runs(&host, "label=a:b%2Bc%20d").await[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_bounded_in_bytes_and_goes_on_where_it_ended() {
    const RUNS: usize = 12;
    let host = TestHost::start().await;
    let input = json!({ "do": "echo", "more": "x".repeat(900_000) }).to_string();
    for nth in 0..RUNS {
        let answer = host.post(&format!("{START}?delay=1h&id=r{nth}"), input.as_str()).await;
        assert_eq!(answer.status, 202);
    }
    let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = host.get(&format!("/api/runs?limit=1000{cursor}")).await;
        assert!(page.body.len() < 5 << 20, "{}", page.body.len());
        let page = page.json();
        found.extend(
            page["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let newest_first: Vec<String> = (0..RUNS).rev().map(|nth| format!("r{nth}")).collect();
    assert_eq!((found, pages), (newest_first.clone(), 3));
    assert_eq!(runs(&host, "limit=1000&fields=brief").await, newest_first, "in one, for it has no inputs");

    // Live, each is told with its input, and only once.
    let mut list = EventStream::open(host.address, "/api/runs?limit=1000&format=sse", &[]).await;
    let told = list.until("run.list-complete").await;
    assert_eq!((told.len(), told[RUNS].json()["data"]["runs"].as_u64()), (RUNS + 1, Some(RUNS as u64)));
    for (event, id) in told.iter().zip(&newest_first) {
        let run = &event.json()["data"];
        assert_eq!(
            (run["id"].as_str(), run["input"]["more"].as_str().map(str::len)),
            (Some(&**id), Some(900_000))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_host_says_where_a_run_comes_from() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    let id = run["id"].as_str().unwrap();
    for label in ["retry-of:other", "schedule:nightly"] {
        for path in [format!("{START}?label={label}"), format!("/api/runs/{id}/retry?label={label}")] {
            let problem = host.post(&path, ECHO).await.problem(400, "invalid-parameter");
            assert_eq!(problem["parameter"], "label");
        }
        assert_eq!(runs(&host, &format!("label={label}")).await.len(), 0, "it can be looked for");
    }
    let again = host.post(&format!("/api/runs/{id}/retry"), "").await.json();
    let again = host.finished(&again).await["id"].as_str().unwrap().to_owned();
    let twice = host.post(&format!("/api/runs/{again}/retry"), "").await.json();
    assert_eq!(twice["labels"]["retry-of"], again, "one that is repeated can be repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_is_one_value_for_its_schema_and_its_guest() {
    let host = TestHost::start().await;
    for input in [
        r#"{"$serde_json::private::RawValue":"{\"do\":\"echo\"}"}"#,
        r#"{"do":"echo","more":[{"$serde_json::private::Number":"1"}]}"#,
        r#"{"do":"fail","do":"echo"}"#,
        r#"{"do":"echo","\u0064o":"fail"}"#,
        r#"{"do":"echo","more":{"a":1,"a":1}}"#,
    ] {
        let problem = host.post(START, input).await.problem(400, "invalid-json");
        assert!(problem["line"] == 1 && problem["column"].is_u64(), "{problem}");
    }
    assert_eq!(runs(&host, "").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_the_same_however_its_input_is_written() {
    let host = TestHost::start().await;
    let key = [("idempotency-key", "k")];
    let first = post(&host, START, &key, r#"{"do":"echo","n":[1,2]}"#).await.json();
    let again = post(&host, START, &key, "{ \"n\": [1, 2],\n \"do\": \"\\u0065cho\" }").await;
    assert_eq!((again.header("idempotent-replayed"), &again.json()["id"]), ("true", &first["id"]));
    post(&host, START, &key, r#"{"do":"echo","n":[2,1]}"#).await.problem(409, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_pages_can_not_embed_what_they_may_not_read() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    for path in ["/", "/streamtask.js", "/api/runs", "/nowhere", stream_path(&run)] {
        let answer = host.get(path).await;
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{path}");
    }
    let open = TestHost::with(|config| config.cors_origins = vec!["*".to_owned()]).await;
    assert_eq!(open.get("/api/runs").await.header("cross-origin-resource-policy"), "cross-origin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_may_not_read_a_run_can_not_cancel_it_by_leaving() {
    let host = TestHost::start().await;
    let start = async || {
        host.post(&format!("{START}?on_disconnect=cancel"), r#"{"do":"until-cancelled"}"#).await.json()
    };
    let (read, by_page, by_head) = (start().await, start().await, start().await);
    let mut page = host.follow_with(&by_page, "", &[("sec-fetch-site", "cross-site")]).await;
    page.until("run.started").await;
    drop(page);
    let several = format!("/api/events?run={}", by_page["id"].as_str().unwrap());
    let foreign = [("origin", "https://evil.example")];
    drop(EventStream::open(host.address, &several, &foreign).await);
    let head = [("accept", "text/event-stream")];
    assert_eq!(host.request(&Method::HEAD, stream_path(&by_head), &head, "").await.status, 200);
    host.follow(&read).await.until("run.started").await;
    // By its last client, which came and went after all the others.
    eventually("it is cancelled", async || host.read_run(&read).await["status"] == "cancelled").await;
    for run in [by_page, by_head] {
        assert_eq!(host.read_run(&run).await["status"], "running");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_read_all_is_told_so_and_no_cache_tells_others() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    let events = host.follow(&run).await.rest().await;
    let last = events.last().unwrap().id.clone();
    let id = run["id"].as_str().unwrap();
    let of_many = host.get(&format!("/api/events?run={id}&live=false")).await;
    of_many.problem(400, "unknown-parameter");
    let many = Answer::of(
        Connection::open(host.address)
            .await
            .send(&Method::GET, &format!("/api/events?run={id}"), &[], "")
            .await,
    )
    .await;
    let body = String::from_utf8_lossy(&many.body).into_owned();
    let place = body.lines().rev().find_map(|line| line.strip_prefix("id: ")).expect("a position").to_owned();
    for (path, id) in [(stream_path(&run).to_owned(), &last), (format!("/api/events?run={id}"), &place)] {
        for accept in ["text/event-stream", "application/x-ndjson"] {
            let headers = [("accept", accept), ("last-event-id", id)];
            let answer = host.request(&Method::GET, &path, &headers, "").await;
            assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (204, "no-store"), "{path}");
            assert_eq!(answer.header("vary"), "Accept, Accept-Encoding, Last-Event-ID");
            let all = host.request(&Method::GET, &path, &headers[..1], "").await;
            assert_eq!((all.status.as_u16(), all.header("vary")), (200, "Accept, Last-Event-ID"), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_had_under_the_names_that_clients_have_for_it() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    let lines = host.read_stream(&run, "", "application/x-ndjson").await.body;
    for name in [
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonlines",
        "application/jsonlines",
        "application/json-lines",
        "application/stream+json",
    ] {
        for path in [stream_path(&run), "/api/events?run=RUN", START] {
            let path = path.replace("RUN", run["id"].as_str().unwrap());
            let method = if path == START { Method::POST } else { Method::GET };
            let answer = host.request(&method, &path, &[("accept", name)], ECHO).await;
            assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, name), "{path}");
            assert!(path != stream_path(&run) || answer.body == lines);
        }
    }
    host.request(&Method::GET, stream_path(&run), &[("accept", "application/json-seq")], "")
        .await
        .problem(406, "not-acceptable");
    for (method, path, accept, media) in [
        (Method::POST, START, "text/event-stream, */*", "text/event-stream"),
        (Method::POST, START, "application/json, text/event-stream", "application/json"),
        (Method::GET, stream_path(&run), "application/x-ndjson, */*", "application/x-ndjson"),
        (Method::GET, stream_path(&run), "application/json, text/event-stream", "text/event-stream"),
        (Method::GET, stream_path(&run), "*/*", "text/event-stream"),
    ] {
        let answer = host.request(&method, path, &[("accept", accept)], ECHO).await;
        assert!(answer.header("content-type").starts_with(media), "{method} {accept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_position_is_none_and_one_in_the_query_counts() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "flood", "events": 3 })).await;
    let all = host.follow(&run).await.rest().await.len();
    for id in ["", "  "] {
        let events = host.follow_with(&run, "lastEventId=", &[("last-event-id", id)]).await.rest().await;
        assert_eq!(events.len(), all, "{id:?}");
        let path = format!("/api/events?run={}&after=", run["id"].as_str().unwrap());
        assert_eq!(host.request(&Method::GET, &path, &[("last-event-id", id)], "").await.status, 200);
    }
    assert_eq!(host.follow_with(&run, "lastEventId=3", &[]).await.rest().await.len(), all - 3);
    assert_eq!(
        host.follow_with(&run, "lastEventId=1", &[("last-event-id", "4")]).await.rest().await.len(),
        all - 4
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_repeated_for_the_rest_of_a_stream_starts_nothing() {
    let host = TestHost::start().await;
    let resumed = [("accept", "text/event-stream"), ("last-event-id", "2")];
    let refused = post(&host, START, &resumed, ECHO).await.problem(409, "missing-idempotency-key");
    assert!(refused["detail"].as_str().unwrap().contains("Idempotency-Key"), "{refused}");
    post(&host, &format!("{START}?lastEventId=2"), &resumed[..1], ECHO)
        .await
        .problem(409, "missing-idempotency-key");
    assert_eq!(runs(&host, "").await.len(), 0);
    for (path, key) in
        [(format!("{START}?id=mine"), None), (START.to_owned(), Some(("idempotency-key", "k")))]
    {
        let headers: Vec<(&str, &str)> = [("accept", "text/event-stream")].into_iter().chain(key).collect();
        let whole = post(&host, &path, &headers, ECHO).await;
        let rest = post(&host, &path, &[&headers[..], &resumed[1..]].concat(), ECHO).await;
        let text = |answer: &Answer| String::from_utf8_lossy(&answer.body).into_owned();
        assert!(text(&whole).contains("id: 1\n") && !text(&rest).contains("id: 1\n"), "{}", text(&rest));
    }
    assert_eq!(runs(&host, "").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_page_may_send_what_pages_usually_send() {
    let host = TestHost::with(|config| config.cors_origins = vec!["https://app.example".to_owned()]).await;
    let headers = [("origin", "https://app.example"), ("access-control-request-method", "GET")];
    let preflight = host.request(&Method::OPTIONS, "/api/events", &headers, "").await;
    let allowed = preflight.header("access-control-allow-headers").to_ascii_lowercase();
    let allowed: Vec<&str> = allowed.split(',').map(str::trim).collect();
    for header in [
        "cache-control",
        "pragma",
        "if-none-match",
        "x-requested-with",
        "traceparent",
        "tracestate",
        "baggage",
        "last-event-id",
        "authorization",
    ] {
        assert!(allowed.contains(&header), "{header}: {allowed:?}");
    }
}

/// As Python's `http.client`: it writes all of the body before it reads.
fn write_then_read(address: SocketAddr, head: &str, length: usize) -> std::io::Result<String> {
    let mut stream = BlockingStream::connect(address)?;
    stream.write_all(
        format!("{head}host: localhost\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n").as_bytes(),
    )?;
    let piece = vec![b'x'; 1 << 20];
    let mut left = length;
    while left > 0 {
        let part = left.min(piece.len());
        stream.write_all(&piece[..part])?;
        left -= part;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_reaches_a_client_that_writes_on() {
    const TRIES: usize = 5;
    const MIB: usize = 1 << 20;
    let host = TestHost::with(|config| config.uploads = true).await;
    let closed = TestHost::start().await;
    for (address, head, length, status) in [
        (host.address, "PUT /api/tasks/mine/big HTTP/1.1\r\n".to_owned(), 66 * MIB, 413),
        (closed.address, "PUT /api/tasks/mine/big HTTP/1.1\r\n".to_owned(), 66 * MIB, 403),
        (host.address, format!("POST {START} HTTP/1.1\r\n"), 20 * MIB, 413),
        (host.address, "POST /nowhere HTTP/1.1\r\n".to_owned(), 20 * MIB, 404),
        (host.address, "POST /api/runs/nobody/cancel HTTP/1.1\r\n".to_owned(), 20 * MIB, 404),
        (host.address, format!("POST {START}?nonsense=1 HTTP/1.1\r\n"), 20 * MIB, 400),
    ] {
        for nth in 0..TRIES {
            let request = head.clone();
            let asked = tokio::task::spawn_blocking(move || write_then_read(address, &request, length));
            let answer = soon("an answer", asked).await.unwrap();
            let answer = answer.unwrap_or_else(|error| panic!("{head:?} {nth}: {error}"));
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head:?} {nth}: {answer}");
        }
    }
}

/// The head of the next answer, and its body.
async fn next_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let mut byte = [0];
        assert_eq!(soon("an answer", stream.read(&mut byte)).await.unwrap(), 1, "the connection goes on");
        answer.push(byte[0]);
        if answer.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8(answer).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().unwrap()];
    soon("a body", stream.read_exact(&mut body)).await.unwrap();
    head
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_after_a_body_that_its_route_does_not_want() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    for what in ["cancel", "pause", "resume", "cancel"] {
        let path = format!("/api/runs/{}/{what}", run["id"].as_str().unwrap());
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = next_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 409 ") && !answer.contains("connection: close"), "{answer}");
        // Only now, as over a slow network.
        stream.write_all(b"{}").await.unwrap();
    }
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(next_answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
    let path = "/api/tasks/test/probe/runs?nonsense=1";
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = next_answer(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("connection: close"),
        "who was not asked: {answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_run_closes_its_items() {
    let host = TestHost::start().await;
    let steps = json!([
        { "progress": { "id": "a", "percent": 16 } },
        { "progress": { "id": "b", "parent": "a", "status": "waiting" } },
    ]);
    let progress = async |run: &Value| {
        host.get(&format!("/api/runs/{}/progress", run["id"].as_str().unwrap())).await.json()
    };
    let run = host.run(json!({ "do": "report", "steps": steps })).await;
    let told = progress(&run).await;
    assert_eq!((&told["fraction"], &told["items"][0]["fraction"]), (&json!(1.0), &json!(1.0)), "{told}");
    assert_eq!((&told["items"][0]["status"], &told["counts"]["completed"]), (&json!("completed"), &json!(2)));

    let mut waits = steps.as_array().unwrap().clone();
    waits[1]["await"] = json!("go");
    let run = host.probe(json!({ "do": "report", "steps": waits })).await;
    host.follow(&run).await.until("progress").await;
    host.cancel(&run).await;
    host.finished(&run).await;
    let told = progress(&run).await;
    assert_eq!(told["counts"]["running"], 0, "{told}");
    assert_eq!(told["items"][0]["status"], "cancelled", "{told}");
}
