//! A stream as a response: its head, how it begins, shows that it lives, and ends, and
//! what decides its form.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use streamtask_tests::{EventStream, Lines, TestHost, names, stream_path};

const SSE: &str = "text/event-stream";
const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";

/// What a body of that media type says to be.
fn content_type(media: &str) -> String {
    if media == JSON { media.to_owned() } else { format!("{media}; charset=utf-8") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_says_what_it_is_and_wants_no_buffering_on_its_way() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    for media in [SSE, NDJSON] {
        let answer = host.read_stream(&run, "", media).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), content_type(media));
        assert_eq!(answer.header("cache-control"), "no-store, no-transform");
        assert_eq!(answer.header("x-accel-buffering"), "no");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.headers.get("content-length").is_none(), "its end is not known when it begins");
        assert!(!answer.header("x-request-id").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_request_id_is_taken_over_and_any_other_replaced() {
    let host = TestHost::start().await;
    let id = async |sent: &str| {
        let answer = host.request(&Method::GET, "/healthz", &[("x-request-id", sent)], "").await;
        answer.header("x-request-id").to_owned()
    };
    let longest = "x".repeat(64);
    for plain in ["a", "client-7_b.c:9", &longest] {
        assert_eq!(id(plain).await, plain);
    }
    let too_long = "x".repeat(65);
    for other in ["", "two words", "<script>", "ü", &too_long] {
        let fresh = id(other).await;
        assert!(fresh != other && fresh.len() == 36, "{fresh:?} for {other:?}");
    }
    assert_ne!(id("").await, id("").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_opens_before_anything_happens() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "until-cancelled" })).await;
    host.follow(&run).await.until("waiting").await;
    let mut stream = host.follow_with(&run, "from=now", &[]).await;
    assert_eq!(stream.status, 200, "the head is here though no event is");
    host.cancel(&run).await;
    assert_eq!(stream.next().await.unwrap().name, "run.cancelled");
    assert_eq!(stream.comments, ["open"]);
    assert!(stream.retry.is_some_and(|retry| (1000..=5000).contains(&retry)), "{:?}", stream.retry);
    let whole = host.read_stream(&run, "", SSE).await;
    let text = std::str::from_utf8(&whole.body).unwrap();
    assert!(
        text.starts_with("retry: ") && text.contains("\n: open\nid: 1\nevent: run.started\ndata: {"),
        "{text}"
    );
    assert!(whole.body.ends_with(b"}\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_shows_that_it_lives_and_a_busy_one_need_not() {
    let interval = Duration::from_millis(200);
    let host = TestHost::with(|config| config.heartbeat = interval).await;
    let run = host.probe(json!({ "do": "ticks", "n": 1, "ms": 1500 })).await;
    let before = Instant::now();
    let mut stream = host.follow_with(&run, "from=now", &[]).await;
    let end = stream.until("run.completed").await;
    let most = before.elapsed().as_millis() / interval.as_millis();
    assert_eq!(end.last().unwrap().name, "run.completed");
    assert_eq!(stream.comments[0], "open");
    let alive = stream.comments.len() - 1;
    assert!(stream.comments[1..].iter().all(|comment| comment == "alive"), "{:?}", stream.comments);
    assert!(alive >= 2, "1500 ms of silence, and {alive} signs of life at an interval of 200 ms");
    assert!(alive as u128 <= most, "{alive} signs of life where {most} are due");

    let busy = host.probe(json!({ "do": "ticks", "n": 100, "ms": 5 })).await;
    let mut stream = host.follow(&busy).await;
    let mut last = Instant::now();
    let mut longest_pause = Duration::ZERO;
    while stream.next().await.is_some() {
        longest_pause = longest_pause.max(last.elapsed());
        last = Instant::now();
    }
    // On a machine that stalls for longer than the interval a sign of life is right.
    assert!(stream.comments.len() == 1 || longest_pause >= interval / 2, "{:?}", stream.comments);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_which_nothing_passes_the_filter_shows_that_it_lives() {
    let host = TestHost::with(|config| config.heartbeat = Duration::from_millis(50)).await;
    let run = host.probe(json!({ "do": "ticks", "n": 50, "ms": 10 })).await;
    let mut stream = host.follow_with(&run, "types=nothing", &[]).await;
    assert_eq!(names(&stream.until("run.completed").await), ["run.completed"]);
    assert!(stream.comments.len() > 1, "half a second, and no sign of life");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_chooses_its_own_heartbeat_and_lines_have_none_unless_asked_for() {
    let host = TestHost::with(|config| config.heartbeat = Duration::from_millis(30)).await;
    let run = host.probe(json!({ "do": "ticks", "n": 1, "ms": 1800 })).await;
    let none = tokio::spawn(host.follow_with(&run, "heartbeat=0", &[]).await.rest());
    let path = |query: &str| format!("{}?{query}", stream_path(&run));
    let lines = async |query: &str| {
        Lines::request(host.address, &Method::GET, &path(query), &[], "").await.rest().await
    };
    let mut seldom = host.follow_with(&run, "heartbeat=3600", &[]).await;
    let (plain, beating) = tokio::join!(lines(""), lines("heartbeat=1"));
    seldom.until("run.completed").await;
    assert_eq!(seldom.comments, ["open"]);
    assert_eq!(names(&none.await.unwrap()), ["run.started", "tick", "run.completed"]);
    assert_eq!(plain.len(), 3, "{plain:?}");
    let empty = beating.iter().filter(|line| line.is_empty()).count();
    assert_eq!((empty, beating.len()), (1, 4), "{beating:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_heartbeats_still_delivers() {
    let host = TestHost::with(|config| config.heartbeat = Duration::ZERO).await;
    let run = host.probe(json!({ "do": "ticks", "n": 3, "ms": 10 })).await;
    let mut stream = host.follow(&run).await;
    assert_eq!(stream.until("run.completed").await.len(), 5);
    assert_eq!(stream.comments, ["open"], "no interval, no signs of life");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_seen_the_end_is_told_not_to_come_back() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "flood", "events": 3 })).await;
    for (query, headers) in [
        ("", vec![("last-event-id", "5")]),
        ("after=5", vec![]),
        ("after=99", vec![]),
        ("from=now", vec![]),
        ("tail=0", vec![]),
        ("types=flood", vec![("last-event-id", "5")]),
    ] {
        for media in [SSE, NDJSON] {
            let mut all = vec![("accept", media)];
            all.extend_from_slice(&headers);
            let path = format!("{}?{query}", stream_path(&run));
            let answer = host.request(&Method::GET, &path, &all, "").await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0), "{query} {headers:?}");
            let head = host.request(&Method::HEAD, &path, &all, "").await;
            assert_eq!(head.status, 204, "HEAD says what GET says: {query} {headers:?}");
        }
    }
    let unseen = host.follow_with(&run, "", &[("last-event-id", "4")]).await;
    assert_eq!(unseen.status, 200);
    assert_eq!(names(&unseen.rest().await), ["run.completed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_that_no_log_reaches_do_no_harm() {
    let host = TestHost::with(|config| config.max_running = 1).await;
    let running = host.probe(json!({ "do": "until-cancelled" })).await;
    let queued = host.probe(json!({ "do": "until-cancelled" })).await;
    for after in ["4294967295", "4294967296", "9223372036854775808", "18446744073709551615"] {
        for run in [&running, &queued] {
            let query = format!("after={after}");
            let stream = host.follow_with(run, &query, &[]).await;
            assert_eq!(stream.status, 200, "{after}");
            let tail = host.follow_with(run, &format!("tail={after}"), &[]).await.take(1).await;
            assert_eq!(tail[0].seq(), 1);
            if after == "18446744073709551615" {
                let reading = tokio::spawn(stream.rest());
                assert!(host.cancel(run).await.status.is_success());
                assert_eq!(reading.await.unwrap(), [], "it ends in order, having waited for what never came");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accept_decides_what_a_stream_is() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    for (accept, media) in [
        (None, SSE),
        (Some(""), SSE),
        (Some("*/*"), SSE),
        (Some("text/*"), SSE),
        (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), SSE),
        (Some("TEXT/Event-Stream"), SSE),
        (Some("text/event-stream;charset=utf-8"), SSE),
        (Some("application/x-ndjson"), NDJSON),
        (Some("application/*"), NDJSON),
        (Some("application/json;q=0.9, application/x-ndjson"), NDJSON),
        (Some("text/event-stream;q=0.4, application/x-ndjson;q=0.5, application/json;q=0.3"), NDJSON),
        (Some("text/event-stream; q=0, */*"), NDJSON),
        (Some("*/*;q=0.1,application/json"), JSON),
        (Some("application/json"), JSON),
        (Some("application/json, text/html;q=0.9"), JSON),
    ] {
        let headers: Vec<_> = accept.map(|accept| ("accept", accept)).into_iter().collect();
        let answer = host.request(&Method::GET, stream_path(&run), &headers, "").await;
        let expected = content_type(media);
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, &*expected), "{accept:?}");
    }
    for accept in ["text/html", "image/*", "application/json;q=0", "text/event-stream;q=0.000", "nonsense"] {
        let answer = host.request(&Method::GET, stream_path(&run), &[("accept", accept)], "").await;
        let problem = answer.problem(406, "not-acceptable");
        let detail = problem["detail"].as_str().unwrap();
        assert!([SSE, NDJSON, JSON].iter().all(|media| detail.contains(media)), "{detail}");
    }
    // A list may come in several lines (RFC 9110, section 5.3).
    let lines = [("accept", "text/html"), ("accept", "application/json;q=0.5"), ("accept", NDJSON)];
    let answer = host.request(&Method::GET, stream_path(&run), &lines, "").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, &*content_type(NDJSON)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_run_is_had_at_the_address_of_its_stream() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "until-cancelled" })).await;
    host.follow(&run).await.until("waiting").await;
    let status = host.read_stream(&run, "", JSON).await;
    assert_eq!(status.header("cache-control"), "no-store");
    let status = status.json();
    assert_eq!((&status["status"], &status["finished_at"]), (&json!("running"), &Value::Null));
    assert_eq!(status, host.read_run(&run).await);
    host.cancel(&run).await;
    host.finished(&run).await;
    assert_eq!(host.read_stream(&run, "", JSON).await.json()["status"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_the_head_of_get_and_ends_at_once() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "until-cancelled" })).await;
    host.follow(&run).await.until("waiting").await;
    for accept in [SSE, NDJSON, JSON, "text/html"] {
        let head = host.request(&Method::HEAD, stream_path(&run), &[("accept", accept)], "").await;
        assert!(head.body.is_empty());
        let mut connection = streamtask_tests::Connection::open(host.address).await;
        let get = connection.send(&Method::GET, stream_path(&run), &[("accept", accept)], "").await;
        assert_eq!(head.status, get.status());
        for name in ["content-type", "cache-control", "x-accel-buffering", "content-length"] {
            assert_eq!(head.headers.get(name), get.headers().get(name), "{name} of {accept}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_streams_at_once_if_the_client_accepts_a_stream() {
    let host = TestHost::start().await;
    let start = "/api/tasks/test/probe/runs";
    let input = r#"{"do":"ticks","n":3,"ms":20}"#;
    let located = |location: &str| {
        let id = location.strip_prefix("/api/runs/").unwrap_or_else(|| panic!("{location:?}"));
        id.to_owned()
    };
    let stream = EventStream::request(host.address, &Method::POST, start, &[], input).await;
    assert_eq!(
        (stream.status.as_u16(), &stream.headers["content-type"]),
        (200, &content_type(SSE).parse().unwrap())
    );
    let id = located(stream.headers["location"].to_str().unwrap());
    let events = stream.rest().await;
    assert_eq!(names(&events), ["run.started", "tick", "tick", "tick", "run.completed"]);
    assert_eq!(events[0].json()["_task_id"], id);
    assert_eq!(host.get(&format!("/api/runs/{id}")).await.json()["status"], "completed");

    let path = format!("{start}?envelope=data&types=tick");
    let stream = Lines::request(host.address, &Method::POST, &path, &[], input).await;
    assert_eq!(
        (stream.status.as_u16(), &stream.headers["content-type"]),
        (200, &content_type(NDJSON).parse().unwrap())
    );
    let id = located(stream.headers["location"].to_str().unwrap());
    let lines = stream.rest().await;
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[0].starts_with(r#"{"late_us""#), "{lines:?}");
    assert_eq!(host.get(&format!("/api/runs/{id}")).await.json()["status"], "completed");

    for accept in [vec![], vec![("accept", "*/*")], vec![("accept", "application/json, */*")]] {
        let answer = host.request(&Method::POST, start, &accept, input).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (202, JSON));
        assert_eq!(located(answer.header("location")), answer.json()["id"].as_str().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_can_not_be_answered_starts_nothing() {
    let host = TestHost::start().await;
    let start = |query: &str| format!("/api/tasks/test/probe/runs{query}");
    let refused = async |query: &str, accept: &str| {
        host.request(&Method::POST, &start(query), &[("accept", accept)], "{}").await
    };
    refused("", "text/html").await.problem(406, "not-acceptable");
    for query in ["?envelope=half", "?named=maybe", "?heartbeat=x", "?after=x", "?from=x"] {
        refused(query, SSE).await.problem(400, "invalid-parameter");
    }
    assert_eq!(host.get("/api/runs").await.json()["runs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_of_a_run_that_waits_streams_its_wait() {
    let host = TestHost::with(|config| config.max_running = 1).await;
    let running = host.probe(json!({ "do": "until-cancelled" })).await;
    let start = "/api/tasks/test/probe/runs";
    let mut stream = EventStream::request(host.address, &Method::POST, start, &[], "{}").await;
    assert_eq!(names(&stream.take(1).await), ["run.queued"]);
    host.cancel(&running).await;
    assert_eq!(names(&stream.rest().await), ["run.started", "run.completed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_polls_gets_what_is_there_and_the_end_of_the_answer() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "until-cancelled" })).await;
    host.follow(&run).await.until("waiting").await;
    let poll = async |query: &str| {
        let answer = host.read_stream(&run, &format!("live=false&{query}"), "application/x-ndjson").await;
        String::from_utf8(answer.body.to_vec()).unwrap().lines().count()
    };
    assert_eq!((poll("").await, poll("after=1").await, poll("after=2").await), (2, 1, 0));
    assert_eq!((poll("after=99").await, poll("types=waiting").await, poll("tail=1").await), (0, 1, 1));
    host.cancel(&run).await;
    host.finished(&run).await;
    assert!(poll("").await > 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_end_lines_at_other_characters_get_whole_lines_in_every_form() {
    let host = TestHost::start().await;
    let text = "a\u{85}b\u{2028}c\u{2029}d ü€😀\u{84}\u{2027}\u{202a}\u{7f}\u{9f}\u{feff}";
    let data = serde_json::to_string(text).unwrap();
    let events = json!([{ "type": "chunk", "data": data }, { "type": "view", "data": view(text) }]);
    let run = host.run(json!({ "do": "send", "events": events, "own": text })).await;
    let id = run["id"].as_str().unwrap();
    let splits = ['\u{85}', '\u{2028}', '\u{2029}'];
    let stream = stream_path(&run);
    for (path, accept) in [
        (stream.to_owned(), SSE),
        (format!("{stream}?envelope=data"), SSE),
        (format!("{stream}?interval=10"), SSE),
        (stream.to_owned(), NDJSON),
        (format!("{stream}?envelope=data"), NDJSON),
        (format!("/api/events?run={id}"), SSE),
        (format!("/api/events?run={id}"), NDJSON),
    ] {
        let answer = host.request(&Method::GET, &path, &[("accept", accept)], "").await;
        let body = std::str::from_utf8(&answer.body).unwrap();
        assert!(!body.contains(splits), "{path} {accept}: {body}");
        let lines = body.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
        let data = lines.filter(|line| line.starts_with(['{', '"'])).map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        });
        let has_text = |value: &Value| *value == text || value["data"] == text;
        assert_eq!(data.filter(has_text).count(), 1, "{path} {accept}");
    }
    // What a client has sent comes back in the state of a run.
    for accept in [SSE, NDJSON] {
        let mut connection = streamtask_tests::Connection::open(host.address).await;
        let response = connection.send(&Method::GET, "/api/runs", &[("accept", accept)], "").await;
        let body = http_body_util::BodyExt::frame(&mut response.into_body()).await.unwrap().unwrap();
        let body = String::from_utf8(body.data_ref().unwrap().to_vec()).unwrap();
        assert!(body.contains("own") && !body.contains(splits), "{body}");
    }
    let (said, _) = streamtask_tests::WebSocket::open(host.address, stream, &[]).await.unwrap().rest().await;
    assert!(said.iter().any(|message| message["data"] == text));
    // In a text they mean what they mean.
    let body = host.read_stream(&run, "format=text", "").await.body;
    assert!(std::str::from_utf8(&body).unwrap().contains(splits));
}

/// An update of a page that adds text.
fn view(text: &str) -> String {
    json!({ "op": "text", "target": "answer", "text": text }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_different_times_to_come_back() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    let mut told = std::collections::HashSet::new();
    for path in [stream_path(&run).to_owned(), format!("/api/events?run={}", run["id"].as_str().unwrap())] {
        for coding in ["identity", "gzip", "zstd"] {
            for _ in 0..5 {
                let headers = [("accept", SSE), ("accept-encoding", coding)];
                let body = host.request(&Method::GET, &path, &headers, "").await.body;
                assert!(!body.is_empty());
                if coding == "identity" {
                    let text = String::from_utf8(body.to_vec()).unwrap();
                    told.insert(text.lines().next().unwrap().to_owned());
                }
            }
        }
    }
    assert!(told.len() > 2 && told.iter().all(|line| line.starts_with("retry: ")), "{told:?}");
}
