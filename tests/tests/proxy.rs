//! Behind nginx, set up as docs/proxy.md says and as its own defaults have it.

use std::fs;
use std::path::PathBuf;

use hyper::Method;
use serde_json::{Value, json};
use streamtask_tests::websocket::Message;
use streamtask_tests::{
    Api, Event, EventStream, Lines, TestHost, WebSocket, nginx::Nginx, optional, raw, root, stream_path,
};

/// What the page has for every host, and what for pages and WebSockets.
fn documented() -> [String; 2] {
    let page = fs::read_to_string(root().join("docs/proxy.md")).unwrap();
    let blocks = page.split("```nginx\n").skip(1);
    let blocks: Vec<String> = blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect();
    blocks.try_into().expect("two examples")
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
async fn events_come_at_once_through_an_nginx_with_one_line() {
    let Some(program) = program("events through nginx") else { return };
    let host = TestHost::start().await;
    let nginx = Nginx::start(&program, host.address, &documented()[0]);
    let through = Api { address: nginx.address };

    // The run goes on only when its last event was seen.
    let run = host.probe(json!({ "do": "wait-for-signal" })).await;
    let mut events = through.follow(&run).await;
    assert_eq!(events.headers["content-type"], "text/event-stream");
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
    let [plain, full] = documented();
    let (plain, full) =
        (Nginx::start(&program, host.address, &plain), Nginx::start(&program, host.address, &full));

    let run = host.probe(json!({ "do": "wait-for-signal" })).await;
    let mut socket = WebSocket::open(full.address, stream_path(&run), &[]).await.expect("an upgrade");
    socket.until("waiting").await;
    socket.send(Message::text(r#"{"id":1,"action":"signal","name":"go"}"#)).await;
    socket.until("run.completed").await;
    assert_eq!(socket.rest().await.1, 1000);
    assert!(
        WebSocket::open(plain.address, stream_path(&run), &[]).await.is_err(),
        "nginx passes on no upgrade"
    );

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
