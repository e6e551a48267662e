//! Behind proxies, set up as docs/proxy.md says and as their own defaults have it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use hyper::Method;
use serde_json::{Value, json};
use streamtask_tests::websocket::Message;
use streamtask_tests::{
    Api, Event, EventStream, Lines, TestHost, WebSocket, eventually, nginx::Nginx, optional, proxies, raw,
    root, soon, stream_path,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The page's examples for a proxy.
fn examples(proxy: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/proxy.md")).unwrap();
    let fence = format!("```{proxy}\n");
    let blocks = page.split(&fence).skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// For nginx: what every host needs, what pages and WebSockets need, and what an `EventSource` needs over a restart of
/// the host.
fn documented() -> [String; 3] {
    examples("nginx").try_into().expect("three examples")
}

/// nginx, if it is here; a note if not.
fn program(what: &str) -> Option<PathBuf> {
    let program = Nginx::program();
    if program.is_none() {
        optional::skip(what, "nginx, as the package `nginx-light` of Debian and Ubuntu");
    }
    program
}

async fn signal(api: &Api, run: &Value) {
    let path = format!("/api/runs/{}/signals/go", run["id"].as_str().unwrap());
    assert_eq!(api.post(&path, "").await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_at_once_through_an_nginx_with_two_lines() {
    let Some(program) = program("events through nginx") else { return };
    let host = TestHost::start().await;
    let nginx = Nginx::start(&program, host.address, &documented()[0]);
    let through = Api { address: nginx.address };

    // The run goes on only when its last event was seen.
    let run = host.probe(json!({ "do": "wait-for-signal" })).await;
    let mut events = through.follow(&run).await;
    assert_eq!(events.headers["content-type"], "text/event-stream; charset=utf-8");
    events.until("waiting").await;
    signal(&host, &run).await;
    events.until("run.completed").await;
    assert_eq!(events.next().await, None);

    let run = host.probe(json!({ "do": "wait-for-signal" })).await;
    let mut lines = Lines::request(nginx.address, &Method::GET, stream_path(&run), &[], "").await;
    while !lines.next().await.expect("more lines").contains(r#""type":"waiting""#) {}
    signal(&host, &run).await;
    assert!(lines.rest().await.last().unwrap().contains("run.completed"));

    // The same when the stream begins with the start.
    let start = "/api/tasks/test/probe/runs";
    let input = r#"{"do":"wait-for-signal"}"#;
    let mut events = EventStream::request(nginx.address, &Method::POST, start, &[], input).await;
    let waiting = events.until("waiting").await;
    signal(&host, &json!({ "id": waiting[0].json()["_task_id"] })).await;
    events.until("run.completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_after_a_restart_of_nginx_gets_what_followed() {
    let Some(program) = program("a restart of nginx") else { return };
    let host = TestHost::start().await;
    let mut nginx = Nginx::start(&program, host.address, &documented()[0]);
    let through = Api { address: nginx.address };
    let run = host.probe(json!({ "do": "flood", "events": 3000, "pause_ms": 20, "bytes": 50 })).await;
    let mut seen: Vec<Event> = Vec::new();
    let mut restarts = 0;
    loop {
        let last = seen.last().map_or("0", |event| event.id.as_str()).to_owned();
        let mut stream = through.follow_with(&run, "", &[("last-event-id", &last)]).await;
        if stream.status == 204 {
            break;
        }
        while let Ok(Some(event)) = stream.try_next().await {
            seen.push(event);
            if restarts < 3 && seen.len() > 500 * (restarts + 1) {
                nginx.kill();
                nginx.start_again(&program);
                restarts += 1;
            }
        }
    }
    assert_eq!(restarts, 3);
    assert!(seen.iter().map(Event::seq).eq(1..=3002), "{} events", seen.len());
    assert_eq!(seen, host.follow(&run).await.rest().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn web_sockets_and_pages_pass_an_nginx_with_the_documented_lines() {
    let Some(program) = program("WebSockets through nginx") else { return };
    let host = TestHost::with(|config| config.allowed_hosts = vec!["tasks.example.org".to_owned()]).await;
    let [plain, full, _] = documented();
    let (plain, full) =
        (Nginx::start(&program, host.address, &plain), Nginx::start(&program, host.address, &full));

    let run = host.probe(json!({ "do": "wait-for-signal" })).await;
    let mut socket = WebSocket::open(full.address, stream_path(&run), &[]).await.expect("an upgrade");
    socket.until("waiting").await;
    socket.send(Message::text(r#"{"id":1,"action":"signal","name":"go"}"#)).await;
    socket.until("run.completed").await;
    assert_eq!(socket.rest().await.1, 1000);
    // nginx passes on no upgrade, and whoever sees the answer knows why.
    assert_eq!(WebSocket::open(plain.address, stream_path(&run), &[]).await.err(), Some(426));

    // All else goes through the same lines.
    assert_eq!(Api { address: full.address }.read_run(&run).await["status"], "completed");
    let events = Api { address: full.address }.follow(&run).await.rest().await;
    assert_eq!(events, host.follow(&run).await.rest().await);

    let start = |name: &str| {
        format!(
            "POST /api/tasks/test/probe/runs HTTP/1.1\r\nhost: {name}\r\norigin: http://{name}\r\n\
             connection: close\r\ncontent-length: 2\r\n\r\n{{}}"
        )
    };
    let status = async |nginx: &Nginx, name: &str| {
        let answer = raw(nginx.address, start(name)).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(status(&full, "tasks.example.org").await, "202", "the host's own page");
    assert_eq!(status(&full, "other.example.org").await, "421", "not by a name that the host does not know");
    assert_eq!(status(&plain, "tasks.example.org").await, "403", "nginx has not said under which name");
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_of_life_keep_a_silent_stream_open_for_longer_than_nginx_waits() {
    let Some(program) = program("a silent stream through nginx") else { return };
    let host = TestHost::start().await;
    let location = documented()[1].replace("proxy_pass", "proxy_read_timeout 2s;\nproxy_pass");
    let nginx = Nginx::start(&program, host.address, &location);
    let through = Api { address: nginx.address };
    let run = host.probe(json!({ "do": "ticks", "n": 1, "ms": 5000 })).await;
    let path = |query: &str| format!("{}?{query}", stream_path(&run));

    let events = async {
        let names: Vec<String> = through
            .follow_with(&run, "heartbeat=1", &[])
            .await
            .rest()
            .await
            .into_iter()
            .map(|event| event.name)
            .collect();
        assert_eq!(names, ["run.started", "tick", "run.completed"]);
    };
    let lines = async {
        let lines = Lines::request(nginx.address, &Method::GET, &path("heartbeat=1"), &[], "").await;
        let lines = lines.rest().await;
        assert_eq!(lines.iter().filter(|line| !line.is_empty()).count(), 3, "{lines:?}");
    };
    let socket = async {
        let mut socket = WebSocket::open(nginx.address, &path("heartbeat=1"), &[]).await.expect("an upgrade");
        let (said, code) = socket.rest().await;
        assert_eq!((said.len(), code), (4, 1000), "{said:?}");
    };
    let silent = async {
        let mut stream = through.follow_with(&run, "heartbeat=0", &[]).await;
        while let Ok(Some(event)) = stream.try_next().await {
            assert_eq!(event.name, "run.started", "nginx ends a stream that is silent");
        }
    };
    tokio::join!(events, lines, socket, silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_source_is_told_to_come_back_while_the_host_is_away() {
    let Some(program) = program("a host that is away behind nginx") else { return };
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nginx = Nginx::start(&program, away, &documented()[2]);
    let through = Api { address: nginx.address };
    let get = async |accept: &str| {
        through.request(&Method::GET, "/stream/test/probe/run", &[("accept", accept)], "").await
    };
    let answer = get("text/event-stream").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "text/event-stream"));
    assert_eq!(answer.body, "retry: 2000\n\n");
    assert_eq!(get("application/x-ndjson").await.status, 502);
    // And through the same lines a stream is a stream.
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    let nginx = Nginx::start(&program, host.address, &documented()[2]);
    assert_eq!(
        Api { address: nginx.address }.follow(&run).await.rest().await,
        host.follow(&run).await.rest().await
    );
}

/// What comes over a connection, until it has these bytes.
async fn until(stream: &mut TcpStream, needle: &str) {
    let mut received = Vec::new();
    while !String::from_utf8_lossy(&received).contains(needle) {
        let read = soon(needle, stream.read_buf(&mut received)).await.expect("a living connection");
        assert!(read > 0, "it ends without {needle}: {}", String::from_utf8_lossy(&received));
    }
}

/// Asks for the stream of a run in a form, on a connection of its own.
async fn ask(address: SocketAddr, run: &Value, query: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let path = stream_path(run);
    let request = format!("GET {path}?{query} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_at_once_in_every_form_through_every_proxy_with_its_documented_lines() {
    let host = TestHost::start().await;
    for kind in &proxies::KINDS {
        let Some(program) = kind.found() else {
            optional::skip_here(
                &format!("events through {}", kind.name),
                &format!("the package `{}`", kind.package),
            );
            continue;
        };
        let [lines] = examples(kind.name).try_into().expect("one example");
        let proxy = kind.start(&program, host.address, &lines);
        for query in ["format=sse", "format=ndjson", "format=text", "format=ndjson&envelope=data"] {
            // Each piece is on its way alone, and the run goes on only when it was seen.
            let events = json!([
                { "type": "chunk", "data": "\"first\"" }, { "wait": "go" },
                { "type": "chunk", "data": "\"second\"" }, { "wait": "go" },
            ]);
            let run = host.probe(json!({ "do": "send", "events": events })).await;
            let mut stream = ask(proxy.address, &run, query).await;
            until(&mut stream, "first").await;
            signal(&host, &run).await;
            until(&mut stream, "second").await;
            signal(&host, &run).await;
            // The last chunk of the body.
            until(&mut stream, "0\r\n\r\n").await;
        }
        let run = host.probe(json!({ "do": "wait-for-signal" })).await;
        let mut socket = WebSocket::open(proxy.address, stream_path(&run), &[]).await.expect(kind.name);
        socket.until("waiting").await;
        socket.send(Message::text(r#"{"id":1,"action":"signal","name":"go"}"#)).await;
        socket.until("run.completed").await;
        assert_eq!(socket.rest().await.1, 1000, "{}", kind.name);

        // A client that goes away: at once, or with what comes next.
        let run = host.probe(json!({ "do": "ticks", "n": 10_000, "ms": 100 })).await;
        let mut stream = ask(proxy.address, &run, "format=sse").await;
        until(&mut stream, "event: tick").await;
        drop(stream);
        eventually(&format!("{} tells that the client is gone", kind.name), || async {
            let status = host.get(&format!("{}/status", stream_path(&run))).await.json();
            status["clients"].as_array().is_some_and(Vec::is_empty)
        })
        .await;
        host.cancel(&run).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_compressed_pieces_come_at_once_through_go() {
    let caddy = proxies::KINDS.iter().find(|kind| kind.name == "caddy").unwrap();
    let Some(program) = caddy.found() else {
        optional::skip_here("small pieces through Go's gzip", "the package `caddy`");
        return;
    };
    let host = TestHost::start().await;
    let [lines] = examples("caddy").try_into().expect("one example");
    let proxy = caddy.start(&program, host.address, &lines);
    let events = json!([{ "type": "chunk", "data": "\"a\"" }, { "wait": "go" }]);
    let run = host.probe(json!({ "do": "send", "events": events })).await;
    // It asks the host for gzip, and unpacks it for a client that has not.
    let mut stream = ask(proxy.address, &run, "format=ndjson&envelope=data&types=chunk").await;
    until(&mut stream, "\"a\"").await;
    signal(&host, &run).await;
    until(&mut stream, "0\r\n\r\n").await;
}
