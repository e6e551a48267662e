//! Bytes that are no proper request: too many, too slow, broken off, or meant to
//! deceive. Each gets an answer or is cut off, and the host goes on.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use streamtask_tests::{Api, TestHost, raw, soon};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const START: &str = "/api/tasks/test/probe/runs";

async fn is_alive(host: &Api) {
    assert_eq!(host.get("/healthz").await.status, 200, "the host goes on");
}

async fn runs(host: &Api) -> usize {
    host.get("/api/runs").await.json()["runs"].as_array().expect("a list").len()
}

/// The status in each answer of raw bytes.
fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

/// Panics unless the raw answer is a problem; returns its status and kind.
fn raw_problem(answer: &str) -> (u64, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    assert!(head.contains("content-type: application/problem+json"), "{answer}");
    let problem: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    let kind = problem["type"].as_str().and_then(|kind| kind.strip_prefix("urn:streamtask:problem:"));
    (problem["status"].as_u64().expect("a number"), kind.expect("a type of the host's").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_is_too_large_is_refused_however_it_comes() {
    let host = TestHost::with(|config| config.limits.input_bytes = 1000).await;
    let fits = format!("\"{}\"", "x".repeat(998));
    // A text is no input of the probe, and that it is looked at shows that it was read.
    host.post(START, fits).await.problem(400, "invalid-input");
    // Larger ones: hyper's client gives up when it can't write on, and would not read the answer that is there.
    for length in [1001, 100_000] {
        let problem = host.post(START, "x".repeat(length)).await.problem(413, "too-large");
        assert_eq!(problem["limit"], 1000);
        assert!(problem["detail"].as_str().unwrap().contains("1000"), "{problem}");
    }
    let head = format!("POST {START} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    let announced = raw(host.address, format!("{head}content-length: 99999999999\r\n\r\n")).await;
    assert_eq!(raw_problem(&announced), (413, "too-large".to_owned()), "before any of it has come");
    let asked =
        raw(host.address, format!("{head}content-length: 1001\r\nexpect: 100-continue\r\n\r\n")).await;
    assert_eq!(raw_problem(&asked), (413, "too-large".to_owned()), "and is not asked for");

    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let chunked = |chunks: usize| {
        let body = chunk.repeat(chunks);
        raw(host.address, format!("{head}transfer-encoding: chunked\r\n\r\n{body}0\r\n\r\n"))
    };
    assert_eq!(raw_problem(&chunked(2).await), (400, "invalid-json".to_owned()));
    for chunks in [3, 1000] {
        assert_eq!(raw_problem(&chunked(chunks).await), (413, "too-large".to_owned()), "{chunks} chunks");
    }
    is_alive(&host).await;
    assert_eq!(runs(&host).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_a_large_body_before_it_listens_learns_that_it_was_too_large() {
    let host = TestHost::start().await;
    let body = "x".repeat(16 << 20);
    let length = body.len();
    let request = format!(
        "POST {START} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    for _ in 0..10 {
        let answer = raw(host.address, &request).await;
        assert_eq!(raw_problem(&answer), (413, "too-large".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_paths_lead_nowhere() {
    let host = TestHost::start().await;
    std::fs::write(host.data().join("secret"), "secret").unwrap();
    for path in [
        "/api/runs/%00",
        "/api/runs/%2e%2e",
        "/api/runs/%2F",
        "/api/runs/%ff",
        "/api/runs/%C3%BC",
        "/api/runs/%",
        "/api/runs/%zz",
        "/api/runs/..",
        "/api/runs/*",
        "/api/runs/{run}",
        "/api/tasks/%2e%2e/%2e%2e",
        "/api/tasks/../..",
        "/api/tasks/test/probe%00",
        "/stream/../../data/secret",
        "/stream/%2e%2e/%2e%2e/secret",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api\\runs",
        "/;/api/runs",
        "/api/runs;x=1",
        "*",
    ] {
        for method in ["GET", "OPTIONS"] {
            let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            let answer = raw(host.address, request).await;
            let found = statuses(&answer);
            // `OPTIONS` asks what a kind of resource allows, not whether this one is there.
            assert!(found == ["404"] || method == "OPTIONS" && found == ["204"], "{method} {path}: {answer}");
            if found == ["404"] {
                raw_problem(&answer);
            }
        }
    }
    for path in [&b"/api/runs/\xff\xfe"[..], b"/api/runs/\xc3\xbc", b"/\xed\xa0\x80", b"/api/runs?task=\xff"]
    {
        let request = [b"GET ", path, b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"].concat();
        let answer = raw(host.address, request).await;
        assert!(["400", "404"].contains(&statuses(&answer)[0]), "{answer}");
    }
    is_alive(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_addresses_and_many_headers_are_read_up_to_a_limit() {
    let host = TestHost::start().await;
    let get = async |path: &str, headers: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        raw(host.address, request).await
    };
    let path = |length: usize| format!("/{}", "x".repeat(length));
    for length in [100, 8_000, 60_000] {
        let answer = get(&path(length), "").await;
        assert_eq!(raw_problem(&answer), (404, "unknown-path".to_owned()), "{length}");
    }
    let answer = get(&format!("/healthz?{}", "a=b&".repeat(15_000)), "").await;
    assert_eq!(raw_problem(&answer), (400, "unknown-parameter".to_owned()));
    for length in [70_000, 1 << 20] {
        let answer = get(&path(length), "").await;
        // The host may have stopped reading, which resets the connection.
        assert!(answer.is_empty() || ["414", "431"].contains(&statuses(&answer)[0]), "{length}: {answer}");
    }
    let many = |count: usize| (0..count).map(|nth| format!("x-{nth}: y\r\n")).collect::<String>();
    let large = |length: usize| format!("x-large: {}\r\n", "y".repeat(length));
    for (headers, status) in
        [(many(90), "200"), (large(50_000), "200"), (many(500), "431"), (large(200_000), "431")]
    {
        assert_eq!(statuses(&get("/healthz", &headers).await), [status], "{:.40}", headers);
    }
    let flood = get("/healthz", &many(100_000)).await;
    assert!(flood.is_empty() || statuses(&flood) == ["431"], "{flood}");
    is_alive(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_refused_and_forgotten() {
    let host = TestHost::start().await;
    let garbage: [&[u8]; 14] = [
        b"\r\n\r\n\r\n nonsense\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\nhost: localhost\r\n\r\n",
        b"GET  /healthz  HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /heal\0thz HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: \0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx y: z\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nnonsense, which is no frame of HTTP/2 at all",
    ];
    for bytes in garbage {
        let answer = raw(host.address, bytes).await;
        let shown = String::from_utf8_lossy(bytes);
        assert!(!answer.contains("HTTP/1.1 2"), "{shown:?}: {answer}");
        if !bytes.starts_with(b"PRI") {
            assert_eq!(statuses(&answer), ["400"], "{shown:?}: {answer}");
        }
        is_alive(&host).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_hides_in_another() {
    let host = TestHost::start().await;
    let hidden = format!("POST {START} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
    let length = hidden.len();
    for framing in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        format!("content-length: {length}\r\ntransfer-encoding: identity\r\n"),
        format!("content-length: {length}\r\ntransfer-encoding: chunked, identity\r\n"),
        format!("content-length: {length}, 0\r\n"),
        format!("content-length: +{length}\r\n"),
        "transfer-encoding: xchunked\r\n".to_owned(),
    ] {
        let request = format!("POST /healthz HTTP/1.1\r\nhost: localhost\r\n{framing}\r\n0\r\n\r\n{hidden}");
        let answer = soon("an answer", raw_until_idle(&host, request.as_bytes())).await;
        let found = statuses(&answer);
        assert!(["400", "405"].contains(&found[0]), "{framing}: {answer}");
        // Where one is read as a request of its own, it must be what stands there by the standard.
        assert!(found.len() == 1 || framing.contains("chunked\r\n"), "{framing}: {answer}");
    }
    is_alive(&host).await;
}

/// Sends bytes, then a request that closes the connection; returns all answers.
async fn raw_until_idle(host: &Api, bytes: &[u8]) -> String {
    let last = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    raw(host.address, [bytes, last].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_breaks_off_starts_nothing() {
    let host = TestHost::start().await;
    let whole =
        format!("POST {START} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 40\r\n\r\n{{\"do\":\"echo\",");
    for cut in [4, 20, whole.len() / 2, whole.len() - 14, whole.len() - 13, whole.len()] {
        let mut client = TcpStream::connect(host.address).await.unwrap();
        client.write_all(&whole.as_bytes()[..cut]).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        let _ = soon("the end of the connection", client.read_to_string(&mut answer)).await;
        assert!(!answer.contains("HTTP/1.1 2"), "{cut}: {answer}");
    }
    let head = format!("POST {START} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    for body in ["zz\r\n", "5\r\n\"abc\"XX0\r\n\r\n", "ffffffffffffffffff\r\n", "-1\r\n"] {
        let answer = raw(host.address, format!("{head}{body}")).await;
        assert_eq!(raw_problem(&answer), (400, "invalid-body".to_owned()), "{body:?}");
    }
    is_alive(&host).await;
    assert_eq!(runs(&host).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_dawdle_are_cut_off_and_hold_up_nobody() {
    let host = TestHost::start().await;
    let body = format!("POST {START} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n ");
    let kept = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let head = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ";
    let mut clients = Vec::new();
    // What is sent at first, what follows once a second, and when the host has had enough, in seconds.
    for (first, drip, limit) in
        [("", "", 60), ("P", "", 60), (head, "", 60), (head, "x", 60), (kept, "", 60), (&body, " ", 30)]
    {
        let stream = TcpStream::connect(host.address).await.unwrap();
        clients.push((first, tokio::spawn(dawdle(stream, first.to_owned(), drip)), limit));
    }
    while clients.iter().any(|(_, client, _)| !client.is_finished()) {
        let before = Instant::now();
        is_alive(&host).await;
        assert!(before.elapsed() < Duration::from_secs(5), "nobody waits for them");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for (first, client, limit) in clients {
        let (after, answer) = client.await.unwrap();
        let after = after.as_secs();
        assert!((limit - 1..limit + 20).contains(&after), "{first:?} was cut off after {after} s");
        if first == body {
            assert_eq!(raw_problem(&answer), (408, "body-timeout".to_owned()));
        } else {
            assert_eq!(statuses(&answer), if first == kept { vec!["200"] } else { vec![] }, "{first:?}");
        }
    }
    assert_eq!(runs(&host).await, 0);
}

/// Sends a head and so much of a body, and no more.
async fn send_body(address: SocketAddr, bytes: usize) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = format!("POST {START} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", bytes + 1);
    client.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b' '; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        match client.write(&piece[..left.min(piece.len())]).await {
            Ok(written) => left -= written,
            // It is refused.
            Err(_) => break,
        }
    }
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_come_slowly_have_a_bound_together_and_usual_ones_are_still_taken() {
    let host = TestHost::with(|config| config.limits.input_bytes = 100 << 20).await;
    // Two of these have room together, and no third.
    let first = send_body(host.address, 60 << 20).await;
    let second = send_body(host.address, 60 << 20).await;
    let mut third = send_body(host.address, 60 << 20).await;
    let mut answer = Vec::new();
    let _ = soon("a refusal", third.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer);
    assert_eq!(raw_problem(&answer), (503, "too-many-bodies".to_owned()));
    assert!(answer.to_lowercase().contains("\r\nretry-after: "), "{answer}");
    host.run(json!({ "do": "echo" })).await;
    // They send nothing more.
    for mut slow in [first, second] {
        let mut answer = Vec::new();
        let _ = soon("a refusal", slow.read_to_end(&mut answer)).await;
        assert_eq!(raw_problem(&String::from_utf8_lossy(&answer)), (408, "body-timeout".to_owned()));
    }
    // That this is no JSON shows that it was read.
    let answer = host.post(START, " ".repeat(60 << 20)).await;
    assert_eq!(answer.status, 400, "there is room again");
}

/// Sends `first`, then `drip` once a second. Returns when the host closed the
/// connection, and what it had answered.
async fn dawdle(mut stream: TcpStream, first: String, drip: &'static str) -> (Duration, String) {
    let begun = Instant::now();
    stream.write_all(first.as_bytes()).await.expect("an open connection");
    let (mut receiving, mut sending) = stream.split();
    let mut answer = Vec::new();
    let reading = receiving.read_to_end(&mut answer);
    tokio::pin!(reading);
    loop {
        assert!(begun.elapsed() < Duration::from_secs(100), "{first:?} is never cut off");
        tokio::select! {
            _ = &mut reading => break,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                let _ = sending.write_all(drip.as_bytes()).await;
            }
        }
    }
    (begun.elapsed(), String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_packed_is_not_taken_for_what_is_in_it() {
    let host = TestHost::start().await;
    let echo = r#"{"do":"echo"}"#;
    let post =
        async |coding: &str| host.request(&Method::POST, START, &[("content-encoding", coding)], echo).await;
    for coding in ["gzip", "br, gzip", "identity, deflate"] {
        post(coding).await.problem(415, "unsupported-content-coding");
    }
    assert_eq!(post("identity").await.status, 202);
    let chunked = async |coding: &str| {
        let head = format!("POST {START} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        let body = format!("{:x}\r\n{echo}\r\n0\r\n\r\n", echo.len());
        raw(host.address, format!("{head}transfer-encoding: {coding}\r\n\r\n{body}")).await
    };
    let answer = chunked("gzip, chunked").await;
    assert!(
        answer.starts_with("HTTP/1.1 501 ") && answer.contains("problem:unsupported-transfer-coding"),
        "{answer}"
    );
    assert!(chunked("Chunked").await.starts_with("HTTP/1.1 202 "));
    assert_eq!(runs(&host).await, 2);
}
