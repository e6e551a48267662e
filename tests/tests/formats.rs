//! The forms in which a stream can be had: as text, as bytes, compressed, gathered. In each, what a client gets is
//! what the run has said.

use std::io::Read as _;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::Incoming;
use serde_json::{Value, json};
use streamtask_tests::{Answer, Connection, Event, TestHost, WebSocket, names, soon, stream_path};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn view(op: Value) -> Value {
    json!({ "type": "view", "data": op.to_string() })
}

fn token(target: &str, text: &str) -> Value {
    view(json!({ "op": "text", "target": target, "text": text }))
}

/// What a run says that says a little of everything.
fn everything() -> Value {
    json!([
        { "type": "chunk", "data": "\"Chunk 1\\n\"" },
        { "type": "progress", "data": "{\"step\":1,\"total\":2}" },
        { "type": "output", "data": "\"a line\"" },
        token("answer", "to\n"), token("answer", "ken "),
        view(json!({ "op": "text", "target": "answer", "text": "gone", "mode": "replace" })),
        view(json!({ "op": "html", "target": "answer", "html": "<b>no</b>" })),
        { "type": "log", "data": "\"not for readers\"" },
        { "type": "file", "bytes": [104, 105, 10], "content_type": "text/csv; charset=utf-8" },
        { "type": "frame", "bytes": [137, 80, 78, 71], "content_type": "image/png", "channel": "film" },
        { "type": "frame", "bytes": [0, 255], "content_type": "image/png", "channel": "film" },
        { "type": "sound", "bytes": [1, 2, 3], "content_type": "audio/wav" },
    ])
}

async fn get(host: &TestHost, run: &Value, query: &str, headers: &[(&str, &str)]) -> Answer {
    host.request(&Method::GET, &format!("{}?{query}", stream_path(run)), headers, "").await
}

/// A response that has begun.
async fn begun(host: &TestHost, path: &str, headers: &[(&str, &str)]) -> (Connection, Incoming) {
    let mut connection = Connection::open(host.address).await;
    let body = connection.send(&Method::GET, path, headers, "").await.into_body();
    (connection, body)
}

/// All that comes, and whether the body ended as it should.
async fn all_of(mut body: Incoming) -> (Bytes, bool) {
    let mut all = BytesMut::new();
    while let Some(frame) = soon("reading on", body.frame()).await {
        match frame {
            Ok(frame) => all.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
            Err(_) => return (all.freeze(), false),
        }
    }
    (all.freeze(), true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_body_holds_what_the_run_wrote_and_nothing_else() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "send", "events": everything() })).await;
    for (query, accept) in [("", "text/plain"), ("format=text", "application/json")] {
        let text = get(&host, &run, query, &[("accept", accept)]).await;
        assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(text.header("content-security-policy"), "sandbox; default-src 'none'");
        assert_eq!(text.body, "Chunk 1\na line\nto\nken hi\n");
    }
    let chosen = get(&host, &run, "format=text&types=output,chunk&heartbeat=1", &[]).await;
    assert_eq!(chosen.body, "Chunk 1\na line\n");
    let started = json!({ "do": "send", "events": everything() }).to_string();
    let path = "/api/tasks/test/probe/runs?format=text";
    assert_eq!(host.request(&Method::POST, path, &[], &started).await.body, "Chunk 1\na line\nto\nken hi\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_bytes_holds_the_runs_bytes_and_its_media_type_may_be_named() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "send", "events": everything() })).await;
    let all = get(&host, &run, "", &[("accept", "application/octet-stream")]).await;
    assert_eq!(all.header("content-type"), "application/octet-stream");
    assert_eq!(all.body, &b"hi\n\x89PNG\x00\xff\x01\x02\x03"[..]);
    assert_eq!(get(&host, &run, "format=bytes&channel=film", &[]).await.body, &b"\x89PNG\x00\xff"[..]);
    let film = get(&host, &run, "format=bytes&media=image/png", &[("accept-encoding", "gzip")]).await;
    assert_eq!((film.header("content-type"), film.header("content-encoding")), ("image/png", ""));
    assert_eq!(film.header("x-content-type-options"), "nosniff");
    assert_eq!(film.body, &b"\x89PNG\x00\xff"[..]);
    // What a browser might execute is never said of what a guest wrote.
    for media in
        ["text/html", "image/svg+xml", "text/javascript", "image/", "application/xhtml+xml", "image/p\u{e9}"]
    {
        let media: String = form_urlencoded::byte_serialize(media.as_bytes()).collect();
        get(&host, &run, &format!("format=bytes&media={media}"), &[]).await.problem(400, "invalid-parameter");
    }
    get(&host, &run, "media=image/png", &[]).await.problem(400, "invalid-parameter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_body_of_a_run_that_fails_breaks_off_so_that_nobody_takes_it_for_whole() {
    let host = TestHost::start().await;
    let events = json!([{ "type": "output", "data": "\"the last words\"" }]);
    let run = host.run(json!({ "do": "send", "events": events, "fail": true })).await;
    assert_eq!(run["status"], "failed");
    for headers in [&[][..], &[("accept-encoding", "gzip")], &[("accept-encoding", "zstd")]] {
        let (_connection, body) = begun(&host, &format!("{}?format=text", stream_path(&run)), headers).await;
        let (text, is_whole) = all_of(body).await;
        assert!(!is_whole, "{headers:?}");
        if headers.is_empty() {
            assert_eq!(text, "the last words\n", "and nothing is held back");
        }
    }
    // Others are told by an event.
    assert!(names(&host.follow(&run).await.rest().await).contains(&"run.failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_chosen_by_query_or_header_and_an_unknown_one_refused() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    for (query, accept, media) in [
        ("format=ndjson", "text/event-stream", "application/x-ndjson; charset=utf-8"),
        ("format=sse", "application/x-ndjson", "text/event-stream; charset=utf-8"),
        ("format=json", "*/*", "application/json"),
        ("format=bytes", "*/*", "application/octet-stream"),
        ("", "*/*", "text/event-stream; charset=utf-8"),
    ] {
        let answer = get(&host, &run, query, &[("accept", accept)]).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, media), "{query} {accept}");
    }
    get(&host, &run, "format=xml", &[]).await.problem(400, "invalid-parameter");
    get(&host, &run, "", &[("accept", "text/html")]).await.problem(406, "not-acceptable");
    get(&host, &run, "interval=soon", &[]).await.problem(400, "invalid-parameter");
}

const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

/// What a compressed body has come to so far.
fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut decoder: Box<dyn std::io::Read> = match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(body)),
        "deflate" => Box::new(flate2::read::ZlibDecoder::new(body)),
        "br" => Box::new(brotli::Decompressor::new(body, 4096)),
        _ => Box::new(zstd::stream::read::Decoder::new(body).expect("a decoder")),
    };
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = decoder.read(&mut buffer) {
        all.extend_from_slice(&buffer[..count]);
    }
    all
}

/// A body without the line that is drawn for each reader.
fn without_retry(body: &[u8]) -> &[u8] {
    let line = body.starts_with(b"retry: ").then(|| body.iter().position(|&byte| byte == b'\n'));
    &body[line.flatten().unwrap_or(0)..]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_stream_is_the_same_stream() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "flood", "events": 5000, "bytes": 20 })).await;
    for query in
        ["", "format=ndjson&types=flood", "after=777&envelope=data", "tail=3&named=false", "interval=5"]
    {
        let plain = get(&host, &run, query, &[]).await;
        assert_eq!(
            (plain.header("content-encoding"), plain.header("vary")),
            ("", "Accept, Last-Event-ID"),
            "{query}"
        );
        for coding in CODINGS {
            let packed = get(&host, &run, query, &[("accept-encoding", coding)]).await;
            assert_eq!(packed.header("content-encoding"), coding);
            let same = without_retry(&decoded(coding, &packed.body)) == without_retry(&plain.body);
            assert!(same, "{coding} {query}");
            assert!(plain.body.len() < 2000 || packed.body.len() * 3 < plain.body.len(), "{coding} {query}");
        }
    }
    let refused = get(&host, &run, "", &[("accept-encoding", "gzip;q=0, compress")]).await;
    assert_eq!(refused.header("content-encoding"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_in_a_compressor() {
    let host = TestHost::start().await;
    for coding in CODINGS {
        let events =
            json!([{ "type": "first", "data": "1" }, { "wait": "go" }, { "type": "second", "data": "2" }]);
        let run = host.probe(json!({ "do": "send", "events": events })).await;
        let path = format!("{}?format=ndjson", stream_path(&run));
        let (_connection, mut body) = begun(&host, &path, &[("accept-encoding", coding)]).await;
        let mut received = BytesMut::new();
        while !decoded(coding, &received).windows(8).any(|part| part == b"\"first\",") {
            let frame = soon("the first event", body.frame()).await.expect("goes on").expect("is whole");
            received.extend_from_slice(frame.data_ref().unwrap());
        }
        host.post(&format!("/api/runs/{}/signals/go", run["id"].as_str().unwrap()), "").await;
        let (rest, is_whole) = all_of(body).await;
        received.extend_from_slice(&rest);
        let text = String::from_utf8(decoded(coding, &received)).unwrap();
        assert!(
            is_whole && text.contains("\"second\"") && text.contains("run.completed"),
            "{coding}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_long_lists_are_compressed_too() {
    let host = TestHost::start().await;
    let packed = host.request(&Method::GET, "/streamtask.js", &[("accept-encoding", "gzip, br")], "").await;
    let plain = host.get("/streamtask.js").await;
    assert_eq!((packed.header("content-encoding"), plain.header("content-encoding")), ("gzip", ""));
    assert!(decoded("gzip", &packed.body) == plain.body);
    assert!(plain.header("vary").contains("Accept-Encoding"));
    assert_eq!(packed.header("etag"), format!("W/{}", plain.header("etag")));
    for _ in 0..5 {
        host.run(json!({ "do": "echo" })).await;
    }
    let packed_list = host.request(&Method::GET, "/api/runs", &[("accept-encoding", "gzip")], "").await;
    assert_eq!(packed_list.header("content-encoding"), "gzip");
    assert!(decoded("gzip", &packed_list.body) == host.get("/api/runs").await.body);
    let tag = [("if-none-match", packed.header("etag")), ("accept-encoding", "gzip")];
    assert_eq!(host.request(&Method::GET, "/streamtask.js", &tag, "").await.status, 304);
}

/// The numbers that an event stands for.
fn covered(event: &Event) -> std::ops::RangeInclusive<u64> {
    let envelope = event.json();
    let last = envelope["seq"].as_u64().expect("a number");
    envelope["first_seq"].as_u64().unwrap_or(last)..=last
}

/// What updates of a page write to a target, one after the other.
fn written(events: &[Event], target: &str) -> String {
    let ops = events.iter().filter(|event| event.name == "view").flat_map(|event| {
        let data = event.json()["data"].clone();
        if data["op"] == "frame" { data["ops"].as_array().unwrap().clone() } else { vec![data] }
    });
    ops.filter(|op| op["target"] == target).map(|op| op["text"].as_str().unwrap_or("|").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_of_a_page_that_come_between_two_frames_are_one_event_and_no_token_is_lost() {
    let host = TestHost::start().await;
    let tokens = |target: &str| json!({ "type": "view", "data": format!(r##"{{"op":"text","target":"{target}","text":"#,"}}"##), "times": 5000 });
    let events = json!([
        tokens("a"), { "type": "progress", "data": "{\"step\":1,\"total\":2}" }, tokens("b"),
        view(json!({ "op": "done", "target": "b" })),
    ]);
    let expected: String = (0..5000).map(|nth| format!("{nth},")).collect();
    let run = host.probe(json!({ "do": "send", "events": events })).await;
    for pass in ["live", "from the beginning"] {
        let events = host.follow_with(&run, "interval=16", &[]).await.rest().await;
        assert_eq!(written(&events, "a"), expected, "{pass}");
        assert_eq!(written(&events, "b"), format!("{expected}|"), "{pass}: and the mark comes last");
        // Each number once, in order, and far fewer events.
        let mut next = 1;
        for event in &events {
            let range = covered(event);
            assert_eq!((*range.start(), event.seq()), (next, *range.end()), "{pass}");
            next = range.end() + 1;
        }
        assert_eq!(next, 10_005);
        assert!(events.len() < 2500, "{pass}: {} events", events.len());
        let progress = events.iter().position(|event| event.name == "progress").unwrap();
        assert!(written(&events[progress..], "a").is_empty(), "{pass}: nothing moves past another event");
    }
    // Over other forms it is the same.
    let lines = get(&host, &run, "interval=16&format=ndjson", &[]).await.body;
    assert!(lines.iter().filter(|byte| **byte == b'\n').count() < 2500);
    let path = format!("{}?interval=16", stream_path(&run));
    let (said, _) = WebSocket::open(host.address, &path, &[]).await.expect("opens").rest().await;
    assert!(said.len() < 2500 && said.last().unwrap()["type"] == "run.completed");
    // And without it, nothing is joined.
    assert_eq!(host.follow_with(&run, "interval=0", &[]).await.rest().await.len(), 10_004);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_after_a_gathered_event_gets_exactly_what_followed() {
    let host = TestHost::start().await;
    let events = json!([token("a", "one "), token("a", "two "), { "wait": "go" }, token("a", "three "), token("a", "four")]);
    let run = host.probe(json!({ "do": "send", "events": events })).await;
    let mut stream = host.follow_with(&run, "interval=20&types=view", &[]).await;
    let mut first = Vec::new();
    while written(&first, "a") != "one two " {
        first.push(stream.next().await.expect("it goes on"));
    }
    drop(stream);
    host.post(&format!("/api/runs/{}/signals/go", run["id"].as_str().unwrap()), "").await;
    host.finished(&run).await;
    let last = first.last().unwrap().id.clone();
    let rest = host.follow_with(&run, "interval=20", &[("last-event-id", &last)]).await.rest().await;
    assert_eq!(written(&rest, "a"), "three four");
    assert_eq!(*covered(&rest[0]).start(), first.last().unwrap().seq() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_does_not_look_whole_where_only_the_end_of_the_connection_ends_it() {
    let host = TestHost::start().await;
    let failed = host.run(json!({ "do": "send", "events": everything(), "fail": true })).await;
    let whole = host.run(json!({ "do": "send", "events": everything() })).await;
    for format in ["text", "bytes"] {
        let read = async |run: &Value| {
            let mut stream = TcpStream::connect(host.address).await.unwrap();
            let request = format!("GET {}?format={format} HTTP/1.0\r\n\r\n", stream_path(run));
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let end = soon("the end", stream.read_to_end(&mut answer)).await;
            let head = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
            (answer[head..].to_vec(), end.map_err(|error| error.kind()).err())
        };
        let (complete, end) = read(&whole).await;
        assert_eq!(end, None, "{format}");
        let (broken, end) = read(&failed).await;
        assert_eq!(end, Some(std::io::ErrorKind::ConnectionReset), "{format}");
        assert!(broken == complete, "{format}: all that was said is there");
        assert!(format == "bytes" || !complete.is_empty());
    }
}
