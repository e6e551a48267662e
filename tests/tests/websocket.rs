//! A run's log over a WebSocket, and what can be asked for over it.

use std::time::Duration;

use serde_json::{Value, json};
use streamtask_tests::websocket::{CloseFrame, Message};
use streamtask_tests::{EventStream, TestHost, WebSocket, eventually, raw, soon, stream_path};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn follow(host: &TestHost, run: &Value, query: &str) -> WebSocket {
    WebSocket::open(host.address, &format!("{}?{query}", stream_path(run)), &[]).await.expect("opens")
}

/// Sends a request; returns the answer to it.
async fn ask(socket: &mut WebSocket, request: Value) -> Value {
    socket.send(request.to_string()).await;
    let answer = socket.until("run.response").await;
    assert_eq!(answer["data"]["id"], request["id"], "{answer}");
    answer["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_comes_first_then_the_log_as_ndjson_has_it_then_the_end() {
    let host = TestHost::start().await;
    let run =
        host.probe(json!({ "do": "flood", "events": 3000, "bytes": 10, "wait_ms": 10, "pause_ms": 1 })).await;
    let (said, code) = follow(&host, &run, "").await.rest().await;
    assert_eq!(code, 1000);
    assert_eq!((&said[0]["type"], &said[0]["data"]["id"]), (&json!("run.state"), &run["id"]));
    let lines = host.read_stream(&run, "", "application/x-ndjson").await.body;
    let lines: Vec<Value> = String::from_utf8(lines.to_vec())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3002);
    assert!(said[1..] == lines, "each line is a message");
    // As any reader, one who comes back gets what follows, and one who has all nothing.
    let (said, _) = follow(&host, &run, "after=3000").await.rest().await;
    assert_eq!(said[1..], lines[3000..]);
    let (said, code) = follow(&host, &run, "after=3002").await.rest().await;
    assert_eq!((said.len(), &said[0]["data"]["status"], code), (1, &json!("completed"), 1000));
    let (said, _) = follow(&host, &run, "types=run.started").await.rest().await;
    assert_eq!(
        said.iter().map(|message| message["type"].clone()).collect::<Vec<_>>(),
        ["run.state", "run.started", "run.completed"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_held_signalled_and_cancelled_over_it_with_answers() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "signals", "count": 1 })).await;
    let mut socket = follow(&host, &run, "").await;
    socket.until("run.started").await;
    let paused = ask(&mut socket, json!({ "id": 1, "action": "pause" })).await;
    assert_eq!((&paused["status"], &paused["body"]["status"]), (&json!(200), &json!("paused")), "{paused}");
    let resumed = ask(&mut socket, json!({ "id": "two", "action": "resume" })).await;
    assert_eq!(resumed["body"]["status"], "running");
    let request = json!({ "id": [3], "action": "set-parameter", "name": "speed", "value": null });
    assert_eq!(ask(&mut socket, request).await["status"], 200);
    let path = format!("/api/runs/{}/parameters", run["id"].as_str().unwrap());
    assert_eq!(host.get(&path).await.json(), json!({ "speed": null }));
    let request = json!({ "action": "signal", "name": "go", "payload": { "from": "Ada" } });
    assert_eq!(ask(&mut socket, request).await["status"], 202);
    ends_with(&mut socket, "run.completed").await;
    assert_eq!(host.finished(&run).await["final_value"], json!([{ "from": "Ada" }]));

    let run = host.probe(json!({ "do": "until-cancelled" })).await;
    let mut socket = follow(&host, &run, "").await;
    socket.until("waiting").await;
    let answer = ask(&mut socket, json!({ "id": null, "action": "cancel" })).await;
    assert_eq!(answer["status"], 202, "{answer}");
    ends_with(&mut socket, "run.cancelled").await;
    assert_eq!(host.finished(&run).await["status"], "cancelled");
}

/// Reads to the end, which may have come before the answer that was read last.
async fn ends_with(socket: &mut WebSocket, name: &str) {
    let (said, code) = socket.rest().await;
    assert!(said.last().is_none_or(|last| last["type"] == name) && code == 1000, "{code}: {said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_lets_the_run_end_is_answered_before_the_connection_ends() {
    let host = TestHost::start().await;
    // The answer and the end race.
    for nth in 0..40 {
        let run = host.probe(json!({ "do": "signals", "count": 1 })).await;
        let mut socket = follow(&host, &run, "").await;
        socket.until("run.started").await;
        let answer =
            ask(&mut socket, json!({ "id": nth, "action": "signal", "name": "go", "payload": 1 })).await;
        assert_eq!(answer["status"], 202);
        assert_eq!(socket.rest().await.1, 1000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_wrong_is_answered_as_over_http() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "until-cancelled" })).await;
    let mut socket = follow(&host, &run, "").await;
    for (message, words) in [
        (r#"{"id":7,"action":"explode"}"#, "explode"),
        (r#"{"id":7,"action":"signal"}"#, "`name`"),
        (r#"{"id":7,"action":"set-parameter","name":"a"}"#, "`value`"),
        (r#"{"id":7,"action":"signal","name":""}"#, "name"),
        (r#"{"id":7,"action":"pause","now":true}"#, "now"),
    ] {
        socket.send(message).await;
        let answer = socket.until("run.response").await["data"].clone();
        assert_eq!((&answer["id"], &answer["status"]), (&json!(7), &json!(400)), "{message}: {answer}");
        assert!(answer["body"]["detail"].as_str().unwrap().contains(words), "{message}: {answer}");
    }
    socket.send("nonsense").await;
    let answer = socket.until("run.response").await["data"].clone();
    assert_eq!((&answer["id"], &answer["status"]), (&Value::Null, &json!(400)));
    // All of that has done the connection no harm.
    socket.send(Message::Ping("sign".into())).await;
    while !matches!(socket.next().await.unwrap(), Message::Pong(sign) if sign == "sign") {}
    host.cancel(&run).await;
    assert_eq!(socket.rest().await.1, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_rules_of_websockets_closes_it_with_a_code() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "until-cancelled" })).await;
    for (message, code) in
        [(Message::Binary("data".into()), 1003), (Message::Text("x".repeat(100_000).into()), 1009)]
    {
        let mut socket = follow(&host, &run, "").await;
        socket.send(message).await;
        assert_eq!(socket.rest().await.1, code);
    }
    let path = stream_path(&run);
    let refused = async |path: &str, headers: &[(&'static str, &str)]| {
        WebSocket::open(host.address, path, headers).await.err().expect("refused")
    };
    assert_eq!(refused("/stream/test/probe/nothing", &[]).await, 404);
    assert_eq!(refused(&format!("{path}?after=x"), &[]).await, 400);
    assert_eq!(refused(path, &[("sec-websocket-version", "12")]).await, 400);
    // A page of another origin could cancel over it.
    assert_eq!(refused(path, &[("origin", "http://evil.example")]).await, 403);
    let own = format!("http://{}", host.address);
    assert!(WebSocket::open(host.address, path, &[("origin", own.as_str())]).await.is_ok());
    assert_eq!(host.read_run(&run).await["status"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_can_still_cancel() {
    let host = TestHost::with(|config| {
        config.limits.event_rate = Some(20_000);
        config.cancel_grace = Duration::from_millis(50);
    })
    .await;
    let run = host
        .probe(json!({ "do": "flood", "events": 1_000_000, "bytes": 2000, "wait_ms": 0, "pause_ms": 0 }))
        .await;
    let mut socket = follow(&host, &run, "").await;
    socket.until("flood").await;
    // More than the system takes for a client that sleeps.
    let path = format!("{}?tail=1", stream_path(&run));
    eventually("20 MB of events", || async {
        EventStream::open(host.address, &path, &[]).await.next().await.unwrap().seq() > 10_000
    })
    .await;
    socket.send(r#"{"action":"cancel"}"#).await;
    eventually("the cancel", || async { !host.read_run(&run).await["cancel_requested_at"].is_null() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_broken_by_pings_and_a_host_that_stops_says_so() {
    let host = TestHost::with(|config| {
        config.heartbeat = Duration::from_millis(20);
        config.max_running = 1;
    })
    .await;
    host.probe(json!({ "do": "sleep", "ms": 600_000 })).await;
    // It waits, and goes on after the stop.
    let run = host.probe(json!({ "do": "echo" })).await;
    let mut socket = follow(&host, &run, "").await;
    while !matches!(socket.next().await.unwrap(), Message::Ping(_)) {}
    let stopping = tokio::spawn(host.stop());
    let (said, code) = socket.rest().await;
    assert_eq!((&said.last().unwrap()["type"], code), (&json!("run.stream-closing"), 1001));
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_is_answered_with_its_own_code() {
    let host = TestHost::start().await;
    let quiet = host.probe(json!({ "do": "until-cancelled" })).await;
    let busy = host.probe(json!({ "do": "flood", "events": 1_000_000, "bytes": 500, "pause_ms": 1 })).await;
    for run in [&quiet, &busy] {
        for code in [Some(1000), Some(3000), None] {
            let mut socket = follow(&host, run, "").await;
            socket.until("run.state").await;
            let frame = code.map(|code: u16| CloseFrame { code: code.into(), reason: "done".into() });
            socket.send(Message::Close(frame)).await;
            let answered = loop {
                if let Message::Close(frame) = socket.next().await.expect("an answer") {
                    break frame.map(|frame| u16::from(frame.code));
                }
            };
            assert_eq!(answered, code);
            assert!(socket.next().await.is_none(), "and then it is over");
        }
    }
    eventually("nobody reads any more", || async {
        host.get("/api/streams").await.json()["streams"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_event_comes_as_one_message() {
    let host = TestHost::start().await;
    let data = format!("\"{}\"", "ü€".repeat(200_000));
    let run = host.run(json!({ "do": "send", "events": [{ "type": "large", "data": data }] })).await;
    let (said, code) = follow(&host, &run, "").await.rest().await;
    assert_eq!(code, 1000);
    let large = said.iter().find(|message| message["type"] == "large").expect("the event");
    assert_eq!(large["data"], serde_json::from_str::<Value>(&data).unwrap());
}

/// The head of the answer to a handshake.
async fn head(host: &TestHost, run: &Value, headers: &str) -> String {
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: {}\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n",
        stream_path(run),
        host.address
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("the head", stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_subprotocols_that_are_offered_one_is_chosen() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "until-cancelled" })).await;
    for (offered, chosen) in [
        ("sec-websocket-protocol: streamtask.v1\r\n", Some("streamtask.v1")),
        ("sec-websocket-protocol: other, streamtask.v1\r\n", Some("streamtask.v1")),
        ("sec-websocket-protocol: other\r\nsec-websocket-protocol: streamtask.v1\r\n", Some("streamtask.v1")),
        ("sec-websocket-protocol: first, second\r\n", Some("first")),
        ("sec-websocket-protocol: ,\r\n", None),
        ("", None),
    ] {
        let head =
            head(&host, &run, &format!("connection: upgrade\r\nupgrade: websocket\r\n{offered}")).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        let found = head.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(found, chosen, "{offered}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_a_proxy_has_broken_is_refused_with_words() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    for left in ["", "connection: close\r\n", "upgrade: websocket\r\n"] {
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{left}connection: close\r\n\r\n",
            stream_path(&run),
            host.address
        );
        let answer = raw(host.address, request).await;
        assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
        assert!(answer.contains("\r\nupgrade: websocket\r\n"), "{answer}");
        assert!(answer.contains("upgrade-required") && answer.contains("proxy"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_the_stopping_host_has_ended_does_not_look_like_one_that_was_all() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "stubborn" })).await;
    let mut socket = follow(&host, &run, "").await;
    socket.until("run.started").await;
    let stopping = tokio::spawn(host.stop());
    let (said, code) = socket.rest().await;
    let last = said.last().unwrap();
    assert_eq!(
        (&last["type"], &last["data"]["error"]["kind"]),
        (&json!("run.failed"), &json!("interrupted"))
    );
    assert_eq!(code, 1001);
    stopping.await.unwrap();
}
