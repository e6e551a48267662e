//! The bytes of an event stream, read as the HTML standard says: what the web-platform-tests ask of a
//! browser (eventsource/format-*, request-*), asked of what a browser gets from this host.

use hyper::Method;
use serde_json::{Value, json};
use streamtask_tests::standard::{Interpreted, interpret};
use streamtask_tests::{Event, TestHost, hostile, stream_path};

const SSE: &str = "text/event-stream";

/// What a stream comes to: each event as its id, type and data; then the last id, and the retry.
type Meaning<'a> = (&'a [(&'a str, &'a str, &'a str)], &'a str, Option<u64>);

#[test]
fn the_reader_of_these_tests_passes_the_web_platform_tests() {
    let x = "x".repeat(2048);
    let comments = format!("data:1\r:\0\n:\r\ndata:2\n:{x}\rdata:3\n:data:fail\r:{x}\ndata:4\n\n");
    let message = |data| ("", "message", data);
    let cases: [(&str, &str, Meaning<'_>); 20] = [
        ("bom", "\u{feff}data:1\n\n\u{feff}data:2\n\ndata:3\n\n", (&[message("1"), message("3")], "", None)),
        ("bom-2", "\u{feff}\u{feff}data:1\n\ndata:2\n\n", (&[message("2")], "", None)),
        ("comments", &comments, (&[message("1\n2\n3\n4")], "", None)),
        (
            "data-before-final-empty-line",
            "retry:1000\ndata:test1\n\nid:test\ndata:test2",
            (&[message("test1")], "", Some(1000)),
        ),
        (
            "field-data",
            "data:\n\ndata\ndata\n\ndata:test\n\n",
            (&[message(""), message("\n"), message("test")], "", None),
        ),
        ("field-event", "event:test\ndata:x\n\ndata:x\n\n", (&[("", "test", "x"), message("x")], "", None)),
        ("field-event-empty", "event: \ndata:data\n\n", (&[message("data")], "", None)),
        ("field-id", "id:…\ndata:hello\n\n", (&[("…", "message", "hello")], "…", None)),
        (
            "field-id-2",
            "id\ndata:hello\n\nid:1\ndata:a\n\ndata:b\n\n",
            (&[message("hello"), ("1", "message", "a"), ("1", "message", "b")], "1", None),
        ),
        (
            "field-id-3, resets",
            "id: 1\ndata: 1\n\nid\ndata: 2\n\ndata: 3\n\n",
            (&[("1", "message", "1"), message("2"), message("3")], "", None),
        ),
        ("field-id-null", "id:\0\0\ndata:hello\n\n", (&[message("hello")], "", None)),
        (
            "field-parsing",
            "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
            (&[message("\0\n 2\n1\n3\n\n4")], "", None),
        ),
        ("field-retry", "retry:03000\ndata:x\n\n", (&[message("x")], "", Some(3000))),
        ("field-retry-bogus", "retry:3000\nretry:1000x\ndata:x\n\n", (&[message("x")], "", Some(3000))),
        ("field-retry-empty", "retry\ndata:test\n\n", (&[message("test")], "", None)),
        (
            "field-unknown",
            "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
            (&[message("test\n\ntest")], "", None),
        ),
        ("leading-space", "data:\ttest\rdata: \ndata:test\n\n", (&[message("\ttest\n\ntest")], "", None)),
        ("newlines", "data:test\r\ndata\ndata:test\r\n\r", (&[message("test\n\ntest")], "", None)),
        ("null-character", "data:\0\n\n", (&[message("\0")], "", None)),
        ("utf-8", "data:ok…\n\n", (&[message("ok…")], "", None)),
    ];
    for (name, stream, (events, id, retry)) in cases {
        let read = interpret(stream.as_bytes());
        let own = |&(id, name, data): &(&str, &str, &str)| Event {
            id: id.to_owned(),
            name: name.to_owned(),
            data: data.to_owned(),
        };
        assert_eq!(read.events, events.iter().map(own).collect::<Vec<_>>(), "{name}");
        assert_eq!((read.last_event_id.as_str(), read.retry), (id, retry), "{name}");
    }
    let broken = interpret(b"data: \xff\xed\xa0\x80\n\ndata: cut");
    assert_eq!(
        (broken.events[0].data.as_str(), broken.is_complete),
        ("\u{fffd}\u{fffd}\u{fffd}\u{fffd}", false)
    );
}

/// Interprets a stream, and checks what each of ours is, whatever a guest or a client says.
async fn read(host: &TestHost, run: &Value, query: &str, headers: &[(&str, &str)]) -> Interpreted {
    let mut all = vec![("accept", SSE)];
    all.extend_from_slice(headers);
    let answer = host.request(&Method::GET, &format!("{}?{query}", stream_path(run)), &all, "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "text/event-stream; charset=utf-8"),
        "{query}"
    );
    let text = std::str::from_utf8(&answer.body).expect("UTF-8 and nothing else");
    assert!(text.starts_with("retry: "), "no byte order mark, nor anything before it");
    assert!(text.split_once('\n').is_some_and(|(_, rest)| rest.starts_with(": open\nid: ")), "{text:.80}");
    assert!(!text.contains(['\r', '\0']), "no carriage return, and no null character");
    let fields = ["id: ", "event: ", "data: ", "retry: ", ": "];
    for line in text.split('\n').filter(|line| !line.is_empty()) {
        assert!(fields.iter().any(|field| line.starts_with(field)), "{line:.80}");
    }
    // Some readers make an event of every blank line.
    assert!(text.split("\n\n").all(|block| block.is_empty() || block.contains("\ndata: ")), "{query}");
    let mut read = interpret(&answer.body);
    assert!(read.is_complete && read.retry.is_some_and(|retry| (1000..=5000).contains(&retry)), "{query}");
    assert_eq!(read.last_event_id, read.events.last().map_or("", |event| &event.id));
    // It is drawn for each reader, and all else is the same.
    read.retry = None;
    read
}

/// A run that sends these events, as `(type, data)`.
async fn sent(host: &TestHost, events: &[(&str, &str)]) -> Value {
    let list: Vec<Value> = events.iter().map(|(name, data)| json!({ "type": name, "data": data })).collect();
    host.run(json!({ "do": "send", "events": list })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_reads_from_the_bytes_exactly_what_hostile_guests_have_sent() {
    let host = TestHost::with(|config| config.limits.input_bytes = 32 << 20).await;
    let (texts, types) = (hostile::data(), hostile::types());
    // Each text under some type, each type with some text.
    let pairs = texts.iter().zip(types.iter().cycle());
    let pairs = pairs.chain(texts.iter().cycle().zip(&types).filter(|(text, _)| text.len() < 1000));
    let events: Vec<(&str, &str)> = pairs.map(|(text, name)| (name.as_str(), text.as_str())).collect();
    let run = sent(&host, &events).await;
    assert_eq!(run["final_value"], json!(vec!["ok"; events.len()]));

    for named in [true, false] {
        let names =
            |name: &str| if named && !name.is_empty() { name.to_owned() } else { "message".to_owned() };
        for envelope in ["data", "full"] {
            let query = format!("after=1&named={named}&envelope={envelope}");
            let mut read = read(&host, &run, &query, &[]).await.events;
            assert_eq!(read.pop().expect("the end").name, names("run.completed"));
            assert_eq!(read.len(), events.len());
            for ((event, (name, text)), seq) in read.iter().zip(&events).zip(2..) {
                assert_eq!((event.seq(), &event.name), (seq, &names(name)), "{query}");
                let text = hostile::arrived(text);
                let whole = format!(r#"{{"type":{},"data":{text},"#, json!(name));
                let is_whole =
                    if envelope == "data" { event.data == text } else { event.data.starts_with(&whole) };
                assert!(is_whole, "{query}: {text:.100} became {:.150}", event.data);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_break_a_line_is_refused_or_becomes_a_space() {
    let host = TestHost::start().await;
    let controls = ["\n", "\r", "\r\n", "\0", "\u{1}", "\u{7f}", "\u{85}"];
    let types: Vec<String> = controls.iter().map(|control| format!("a{control}b")).collect();
    let between: Vec<String> =
        ["\n", "\r", "\r\n"].iter().map(|end| format!("{{{end}\"a\":{end}1}}")).collect();
    // Within a string they are no JSON.
    let within: Vec<String> = ["\n", "\r", "\0"].iter().map(|end| format!("\"a{end}b\"")).collect();
    let refused = types.iter().map(|name| (name.as_str(), "1"));
    let refused = refused.chain(within.iter().map(|text| ("t", text.as_str())));
    let refused = refused.chain([("t", "\u{feff}1"), ("t", "1\0"), ("t", ""), ("", "1"), ("run.x", "1")]);
    let events: Vec<(&str, &str)> = refused.chain(between.iter().map(|text| ("t", text.as_str()))).collect();
    let run = sent(&host, &events).await;
    let answers = run["final_value"].as_array().expect("a list");
    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| **answer == "ok");
    assert_eq!(taken.len(), between.len(), "{answers:?}");
    assert!(refused.iter().all(|answer| answer["code"] == "invalid-argument"), "{refused:?}");

    let read = read(&host, &run, "envelope=data", &[]).await.events;
    assert_eq!(read.len(), between.len() + 2);
    for event in &read[1..=between.len()] {
        assert_eq!((event.name.as_str(), event.json()), ("t", json!({ "a": 1 })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_it_has_seen_comes_back_as_data_and_nothing_else() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "flood", "events": 2 })).await;
    let long = "9".repeat(3000);
    for id in
        ["99", "x", "\"},{\"", "\\u000a", "a\tb", "data: 1", "\u{2028}\u{85}\u{feff}é", "<script>", &long]
    {
        let read = read(&host, &run, "", &[("last-event-id", id)]).await.events;
        assert_eq!(read.len(), 5, "{id}");
        assert_eq!((read[0].name.as_str(), read[0].id.as_str()), ("gap", "0"), "{id}");
        assert_eq!(read[0].json()["data"], json!({ "reason": "unknown-position", "requested": id }));
        assert!(read[1..].iter().map(Event::seq).eq(1..=4), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_of_life_is_no_event_and_changes_no_id() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "ticks", "n": 1, "ms": 2500 })).await;
    let alive = host.request(&Method::GET, &format!("{}?heartbeat=1", stream_path(&run)), &[], "").await;
    let text = String::from_utf8(alive.body.to_vec()).unwrap();
    assert!(text.contains("\n\n: alive\n"), "{text}");
    assert_eq!(text.matches("\n\n").count(), 3, "no blank line but at the end of an event: {text}");
    let came = Interpreted { retry: None, ..interpret(text.as_bytes()) };
    assert_eq!(came, read(&host, &run, "", &[]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_source_is_told_plainly_what_is_no_stream_and_is_never_sent_elsewhere() {
    let host = TestHost::start().await;
    let run = host.run(json!({ "do": "echo" })).await;
    let path = stream_path(&run);
    let asked = async |method: &Method, path: &str, id: &str| {
        let mut headers = vec![("accept", SSE)];
        headers.extend((!id.is_empty()).then_some(("last-event-id", id)));
        host.request(method, path, &headers, "").await
    };
    // Told so, it does not come back.
    for id in ["2", "02"] {
        let over = asked(&Method::GET, path, id).await;
        assert_eq!((over.status.as_u16(), over.body.len(), over.header("content-type")), (204, 0, ""));
        assert!(over.headers.get("location").is_none());
    }
    for (method, path, status) in [
        (&Method::GET, format!("{path}/"), 404),
        (&Method::GET, format!("{path}//"), 404),
        (&Method::GET, format!("/{path}"), 404),
        (&Method::GET, path.replace("stream", "STREAM"), 404),
        (&Method::GET, path.replace("probe", "probe/x"), 404),
        (&Method::GET, "/stream".to_owned(), 404),
        (&Method::GET, "/stream/".to_owned(), 404),
        (&Method::GET, "/stream/test/probe/nothing".to_owned(), 404),
        (&Method::GET, "/stream/test/nothing/nothing".to_owned(), 404),
        (&Method::GET, format!("{path}?after=x"), 400),
        (&Method::GET, format!("{path}?named=x"), 400),
        (&Method::POST, path.to_owned(), 405),
        (&Method::POST, "/api/tasks/test/nothing/runs".to_owned(), 404),
    ] {
        let answer = asked(method, &path, "").await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{method} {path}");
        assert!(answer.headers.get("location").is_none(), "{method} {path}");
    }
}
