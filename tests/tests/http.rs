//! The protocol around the resources: HTTP/2, pages of other origins, names of the
//! host, and connections.

use std::time::{Duration, Instant};

use hyper::{Method, Response};
use serde_json::{Value, json};
use streamtask_tests::{Answer, Connection, EventStream, Http2, Lines, TestHost, raw, soon, stream_path};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const SSE: (&str, &str) = ("accept", "text/event-stream");
const START: &str = "/api/tasks/test/probe/runs";

async fn runs(host: &TestHost) -> usize {
    host.get("/api/runs").await.json()["runs"].as_array().expect("a list").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_carries_the_same_stream() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "flood", "events": 3000, "bytes": 100 })).await;
    let connection = Http2::open(host.address).await;
    let response = connection.send(&Method::GET, stream_path(&run), &[SSE], "").await;
    assert_eq!((response.status().as_u16(), response.version()), (200, hyper::Version::HTTP_2));
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let events = EventStream::of(response).rest().await;
    assert_eq!(events.len(), 3002);
    assert!(events == host.follow(&run).await.rest().await, "as over HTTP/1.1");

    let ended = connection.send(&Method::GET, stream_path(&run), &[SSE, ("last-event-id", "3002")], "").await;
    assert_eq!(ended.status(), 204);
    let started = connection.send(&Method::POST, START, &[SSE], r#"{"do":"ticks","n":2,"ms":1}"#).await;
    assert!(started.headers()["location"].to_str().unwrap().starts_with("/api/runs/"));
    assert_eq!(EventStream::of(started).rest().await.len(), 4);
    Answer::of(connection.send(&Method::GET, "/nowhere", &[], "").await).await.problem(404, "unknown-path");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_http_2_connection_carries_many_streams() {
    let host = TestHost::start().await;
    let connection = Http2::open(host.address).await;
    let mut streams = Vec::new();
    for nth in 0..50 {
        let run = host.probe(json!({ "do": "ticks", "n": 10 + nth % 5, "ms": 5 })).await;
        let stream = EventStream::of(connection.send(&Method::GET, stream_path(&run), &[SSE], "").await);
        streams.push((nth, tokio::spawn(stream.rest())));
    }
    for (nth, stream) in streams {
        let seqs: Vec<u64> = stream.await.unwrap().iter().map(|event| event.seq()).collect();
        assert_eq!(seqs, (1..=12 + nth % 5).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_reads_holds_up_no_other_on_its_connection() {
    let host = TestHost::start().await;
    // Far more than the windows of all stalled streams together.
    let flood = host.probe(json!({ "do": "flood", "events": 20_000, "bytes": 1000 })).await;
    let connection = Http2::open(host.address).await;
    let mut stalled = Vec::new();
    for _ in 0..4 {
        stalled.push(connection.send(&Method::GET, stream_path(&flood), &[SSE], "").await);
    }
    host.finished(&flood).await;
    let ticks = host.probe(json!({ "do": "ticks", "n": 20, "ms": 5 })).await;
    let live = EventStream::of(connection.send(&Method::GET, stream_path(&ticks), &[SSE], "").await);
    assert_eq!(live.rest().await.len(), 22);
    let whole = EventStream::of(connection.send(&Method::GET, stream_path(&flood), &[SSE], "").await);
    assert_eq!(whole.rest().await.len(), 20_002, "the same run, read beside those who do not");
    // And who reads on later has missed nothing.
    let late = EventStream::of(stalled.pop().unwrap()).rest().await;
    assert!(late.iter().map(|event| event.seq()).eq(1..=20_002));
    drop(stalled);
    let health = connection.send(&Method::GET, "/healthz", &[], "").await;
    assert_eq!(Answer::of(health).await.status, 200);
}

/// The body of what answers a `HEAD`, read to its end.
async fn head_body(response: Response<hyper::body::Incoming>) -> usize {
    Answer::of(response).await.body.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_no_body_over_http_2_either() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "until-cancelled" })).await;
    let connection = Http2::open(host.address).await;
    for target in ["/healthz", "/api/tasks", "/nowhere", stream_path(&run)] {
        let head = connection.send(&Method::HEAD, target, &[SSE], "").await;
        let get = connection.send(&Method::GET, target, &[SSE], "").await;
        assert_eq!(head.status(), get.status());
        for name in ["content-type", "content-length", "cache-control"] {
            assert_eq!(head.headers().get(name), get.headers().get(name), "{name} of {target}");
        }
        assert!(hyper::body::Body::is_end_stream(head.body()), "{target}: the head is all there is");
        assert_eq!(head_body(head).await, 0, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_an_allowed_origin_may_read_and_start() {
    let app = "https://app.example";
    let host = TestHost::with(|config| config.cors_origins = vec![app.to_owned()]).await;
    let preflight = [
        ("origin", app),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,idempotency-key"),
    ];
    let answer = host.request(&Method::OPTIONS, START, &preflight, "").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(answer.header("access-control-allow-origin"), app);
    assert_eq!(answer.header("allow"), "POST, OPTIONS");
    let lists = |name: &str, value: &str| {
        let list = answer.header(name).to_lowercase();
        list.split(',').any(|entry| entry.trim() == value)
    };
    assert!(lists("access-control-allow-methods", "post"));
    for header in ["content-type", "idempotency-key", "last-event-id"] {
        assert!(lists("access-control-allow-headers", header), "{header}");
    }
    assert!(answer.header("access-control-max-age").parse::<u32>().unwrap() > 0);

    let started = host.request(&Method::POST, START, &[("origin", app)], r#"{"do":"echo"}"#).await;
    assert_eq!(started.status, 202);
    let run = started.json();
    host.finished(&run).await;
    let read = host.request(&Method::GET, stream_path(&run), &[("origin", app), SSE], "").await;
    let failed = host.request(&Method::GET, "/nowhere", &[("origin", app)], "").await;
    let not_allowed = host.request(&Method::DELETE, START, &[("origin", app)], "").await;
    for (answer, status) in [(started, 202), (read, 200), (failed, 404), (not_allowed, 405)] {
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), app, "{status}");
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert!(answer.header("access-control-expose-headers").contains("Location"));
        assert!(answer.headers.get_all("vary").iter().any(|vary| vary == "Origin"), "{:?}", answer.headers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_any_other_origin_may_not() {
    let host = TestHost::with(|config| config.cors_origins = vec!["https://app.example".to_owned()]).await;
    let own_port = host.address.port();
    let others = [
        "https://evil.example".to_owned(),
        "http://app.example".to_owned(),
        "https://app.example:8443".to_owned(),
        "https://app.example.evil.example".to_owned(),
        "null".to_owned(),
        format!("http://localhost:{own_port}"),
        format!("http://127.0.0.1:{}", own_port ^ 1),
        "http://127.0.0.1".to_owned(),
    ];
    for origin in &others {
        let preflight = [("origin", origin.as_str()), ("access-control-request-method", "POST")];
        let answers = [
            host.request(&Method::OPTIONS, START, &preflight, "").await,
            host.request(&Method::GET, "/api/runs", &[("origin", origin)], "").await,
            host.request(&Method::POST, START, &[("origin", origin)], "{}").await,
        ];
        for answer in &answers {
            assert!(answer.headers.get("access-control-allow-origin").is_none(), "{origin}");
            assert_eq!(answer.header("vary"), "Origin");
        }
        assert_eq!(answers[1].status, 200, "the browser keeps it from the page");
        let problem = answers[2].problem(403, "origin-not-allowed");
        assert!(problem["detail"].as_str().unwrap().contains(origin), "{problem}");
    }
    assert_eq!(runs(&host).await, 0, "nothing was started");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_word_of_the_operator_only_the_hosts_own_pages_may_start() {
    let host = TestHost::start().await;
    let own = format!("http://{}", host.address);
    let answer = host.request(&Method::POST, START, &[("origin", &own)], "{}").await;
    assert_eq!(answer.status, 202);
    for origin in ["https://evil.example", "null", "", "ö"] {
        let answer = host.request(&Method::POST, START, &[("origin", origin)], "{}").await;
        answer.problem(403, "origin-not-allowed");
        let run = host.get("/api/runs").await.json()["runs"][0]["id"].as_str().unwrap().to_owned();
        let cancel = format!("/api/runs/{run}/cancel");
        host.request(&Method::POST, &cancel, &[("origin", origin)], "")
            .await
            .problem(403, "origin-not-allowed");
    }
    assert!(answer.headers.get("access-control-allow-origin").is_none());
    assert_eq!(runs(&host).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_star_any_page_may_but_not_as_the_user() {
    let host = TestHost::with(|config| config.cors_origins = vec!["*".to_owned()]).await;
    for origin in ["https://anyone.example", "null"] {
        let answer = host.request(&Method::POST, START, &[("origin", origin)], "{}").await;
        assert_eq!(answer.status, 202);
        assert!([origin, "*"].contains(&answer.header("access-control-allow-origin")));
        assert!(answer.headers.get("access-control-allow-credentials").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_this_machines_reaches_nothing() {
    let host = TestHost::with(|config| config.allowed_hosts = vec!["tasks.lan".to_owned()]).await;
    let asked = async |request_line: &str, headers: &str| {
        let request =
            format!("{request_line} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: 0\r\n\r\n");
        let answer = raw(host.address, request).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for name in ["localhost", "LocalHost:1", "127.0.0.1:80", "[::1]:80", "app.localhost", "tasks.lan:99"] {
        assert_eq!(asked("GET /healthz", &format!("host: {name}\r\n")).await, "200", "{name}");
    }
    for name in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "xlocalhost"] {
        for request in ["GET /api/runs", "OPTIONS /api/runs", &format!("POST {START}"), "GET /nowhere"] {
            assert_eq!(asked(request, &format!("host: {name}\r\n")).await, "421", "{request} {name}");
        }
    }
    for none in [
        "",
        "host: \r\n",
        "host: löcalhost\r\n",
        "host: localhost:80@evil.example\r\n",
        "host: localhost\r\nhost: localhost\r\n",
    ] {
        assert_eq!(asked("GET /healthz", none).await, "400", "{none:?} is no name");
    }
    // The address in the request line is what counts (RFC 9112, section 3.2.2).
    assert_eq!(asked("GET http://evil.example/healthz", "host: localhost\r\n").await, "421");
    assert_eq!(asked("GET http://localhost/healthz", "host: evil.example\r\n").await, "200");
    assert_eq!(runs(&host).await, 0);

    let connection = Http2::open(host.address).await;
    let foreign = connection.send_to("evil.example", &Method::POST, START, &[], "{}").await;
    Answer::of(foreign).await.problem(421, "host-not-allowed");
    let known = connection.send_to("tasks.lan", &Method::GET, "/healthz", &[], "").await;
    assert_eq!(known.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_one_request_after_the_other() {
    let host = TestHost::start().await;
    let mut connection = Connection::open(host.address).await;
    for _ in 0..3 {
        let run = connection.request(&Method::POST, START, &[], r#"{"do":"ticks","n":3,"ms":1}"#).await;
        let run = run.json();
        let stream = connection.request(&Method::GET, stream_path(&run), &[SSE], "").await;
        assert!(stream.body.ends_with(b"\n\n"), "the stream ended and the connection did not");
        assert_eq!(connection.request(&Method::HEAD, stream_path(&run), &[SSE], "").await.status, 200);
        connection.request(&Method::GET, "/nowhere", &[], "").await.problem(404, "unknown-path");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_sent_at_once_are_answered_in_order() {
    let host = TestHost::start().await;
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n");
    let requests =
        [get("/healthz", ""), get("/nowhere", ""), get("/readyz", "connection: close\r\n")].concat();
    let answers = raw(host.address, requests).await;
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "404", "200"], "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_gets_a_stream_that_ends_with_the_connection() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "flood", "events": 3 })).await;
    let answer = raw(host.address, format!("GET {} HTTP/1.0\r\n\r\n", stream_path(&run))).await;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    assert!(!answer.to_lowercase().contains("transfer-encoding"), "{answer}");
    let events = answer.split("\r\n\r\n").nth(1).unwrap();
    assert!(events.starts_with("retry: ") && events.ends_with("}\n\n"), "{answer}");
    assert_eq!(events.matches("\nid: ").count(), 5);
}

/// How long the host takes to stop while clients have sent these bytes and no more.
async fn stop_with(bytes: &[&str]) -> Duration {
    let host = TestHost::start().await;
    let mut clients = Vec::new();
    for bytes in bytes {
        let mut client = TcpStream::connect(host.address).await.expect("connects");
        client.write_all(bytes.as_bytes()).await.expect("an open connection");
        clients.push(client);
    }
    let mut kept = Connection::open(host.address).await;
    // Accepted last, so the others are accepted too.
    assert_eq!(kept.request(&Method::GET, "/healthz", &[], "").await.status, 200);
    let before = Instant::now();
    host.stop().await;
    before.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_ask_for_nothing_do_not_hold_up_a_stop() {
    let took = stop_with(&["", "P", ""]).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    let took = stop_with(&["PRI * HTTP/2", "GET /healthz HTTP/1.1\r\nhost"]).await;
    assert!(took < Duration::from_secs(10), "half a request has its time, but not for ever: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_end_with_a_notice_when_the_host_stops() {
    let host = TestHost::with(|config| config.max_running = 1).await;
    host.probe(json!({ "do": "sleep", "ms": 600_000 })).await;
    let waiting = host.probe(json!({ "do": "echo" })).await;
    let mut lines = Lines::request(host.address, &Method::GET, stream_path(&waiting), &[], "").await;
    assert!(lines.next().await.unwrap().contains("\"type\":\"run.queued\""));
    let http_2 = Http2::open(host.address).await;
    let events = EventStream::of(http_2.send(&Method::GET, stream_path(&waiting), &[SSE], "").await);
    let reading = tokio::spawn(async move { (lines.rest().await, events.rest().await) });
    host.stop().await;
    let (lines, events) = reading.await.unwrap();
    let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!((&last["type"], last.get("seq")), (&json!("run.stream-closing"), None));
    let last = events.last().unwrap();
    assert_eq!((last.name.as_str(), last.id.as_str()), ("run.stream-closing", "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_is_forgotten() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "until-cancelled" })).await;
    for _ in 0..20 {
        let mut stream = host.follow(&run).await;
        stream.take(1).await;
        drop(stream);
        let connection = Http2::open(host.address).await;
        let response = connection.send(&Method::GET, stream_path(&run), &[SSE], "").await;
        drop((response, connection));
    }
    let before = Instant::now();
    soon("stopping", host.stop()).await;
    assert!(before.elapsed() < Duration::from_secs(5));
}
