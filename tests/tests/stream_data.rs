//! What a stream carries: in every form the same content, and nothing that a guest
//! sends breaks it.

use hyper::Method;
use serde_json::{Value, json};
use streamtask_tests::{Event, Lines, TestHost, hostile, names, stream_path};

const SSE: &str = "text/event-stream";

async fn events(host: &TestHost, run: &Value, query: &str) -> Vec<Event> {
    host.follow_with(run, query, &[]).await.rest().await
}

async fn lines(host: &TestHost, run: &Value, query: &str) -> Vec<String> {
    let path = format!("{}?{query}", stream_path(run));
    Lines::request(host.address, &Method::GET, &path, &[], "").await.rest().await
}

/// A run that has sent these events, of `{"type", "data" (as text), "channel"?}`,
/// and of which none was refused.
async fn sent(host: &TestHost, events: Vec<Value>) -> Value {
    let run = host.run(json!({ "do": "send", "events": events })).await;
    assert_eq!(run["status"], "completed", "{run}");
    for (event, answer) in events.iter().zip(run["final_value"].as_array().expect("a list")) {
        assert_eq!(answer, "ok", "{event}");
    }
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn unnamed_events_and_bare_data() {
    let host = TestHost::start().await;
    let run = sent(&host, vec![json!({ "type": "t", "data": "{ \"a\" : 1 }", "channel": "c" })]).await;
    let full = events(&host, &run, "").await;
    let unnamed = events(&host, &run, "named=false").await;
    assert_eq!(names(&full), ["run.started", "t", "run.completed"]);
    assert_eq!(names(&unnamed), ["message", "message", "message"]);
    for (full, unnamed) in full.iter().zip(&unnamed) {
        assert_eq!((&full.id, &full.data), (&unnamed.id, &unnamed.data));
    }
    let envelope = full[1].json();
    let expected = ["_app", "_model", "_task_id", "attempt", "channel", "data", "seq", "timestamp", "type"];
    assert!(envelope.as_object().unwrap().keys().eq(expected), "{envelope}");
    assert_eq!((&envelope["_app"], &envelope["_model"]), (&json!("test"), &json!("probe")));
    assert_eq!((&envelope["_task_id"], &envelope["seq"]), (&run["id"], &json!(2)));
    assert_eq!((&envelope["type"], &envelope["attempt"]), (&json!("t"), &json!(1)));

    let bare = events(&host, &run, "envelope=data").await;
    assert_eq!((bare[1].name.as_str(), bare[1].data.as_str()), ("t", "{ \"a\" : 1 }"));
    let both = events(&host, &run, "envelope=data&named=false").await;
    assert_eq!((both[1].name.as_str(), both[1].data.as_str()), ("message", "{ \"a\" : 1 }"));
    assert_eq!(lines(&host, &run, "envelope=data").await[1], "{ \"a\" : 1 }");
    assert_eq!(events(&host, &run, "envelope=full&named=true").await, full);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_channels_and_positions_choose_events_and_the_end_always_passes() {
    let host = TestHost::start().await;
    let event = |kind: &str, channel: &str| json!({ "type": kind, "data": "1", "channel": channel });
    let sent =
        sent(&host, vec![event("a", ""), event("b", ""), event("a", "x"), event("b", "x"), event("c", "y")])
            .await;
    for (query, expected) in [
        ("types=a", vec![2, 4, 7]),
        ("types=a,c", vec![2, 4, 6, 7]),
        ("types=a&types=c", vec![2, 4, 6, 7]),
        ("types=run.started", vec![1, 7]),
        ("types=A", vec![7]),
        ("channel=x", vec![4, 5, 7]),
        ("channel=x,y", vec![4, 5, 6, 7]),
        ("channel=", vec![1, 2, 3, 7]),
        ("channel=,y", vec![1, 2, 3, 6, 7]),
        ("types=a&channel=x", vec![4, 7]),
        ("types=a&channel=z", vec![7]),
        ("after=4", vec![5, 6, 7]),
        ("tail=2", vec![6, 7]),
        ("from=start", vec![1, 2, 3, 4, 5, 6, 7]),
        ("from=latest", vec![7]),
        ("types=a&after=2", vec![4, 7]),
        ("types=a&tail=2", vec![7]),
    ] {
        let passed = events(&host, &sent, query).await;
        assert_eq!(passed.iter().map(Event::seq).collect::<Vec<_>>(), expected, "{query}");
        let lines = lines(&host, &sent, query).await;
        let data: Vec<&String> = passed.iter().map(|event| &event.data).collect();
        assert_eq!(lines.iter().collect::<Vec<_>>(), data, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_and_server_sent_events_have_the_same_content() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "flood", "events": 5000, "bytes": 100 })).await;
    let live = tokio::spawn(host.follow(&run).await.rest());
    let lines_live = lines(&host, &run, "").await;
    let live = live.await.unwrap();
    let lines_later = lines(&host, &run, "").await;
    assert_eq!(live.len(), 5002);
    assert_eq!(lines_live.len(), 5002);
    assert!(lines_live == lines_later, "live and later");
    assert!(live.iter().map(|event| &event.data).eq(&lines_live), "as events and as lines");
    for line in &lines_live {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_data_arrives_to_the_byte_in_every_form() {
    let host = TestHost::with(|config| config.limits.input_bytes = 16 << 20).await;
    let texts = hostile::data();
    let run = sent(&host, texts.iter().map(|text| json!({ "type": "t", "data": text })).collect()).await;
    let texts: Vec<String> = texts.iter().map(|text| hostile::arrived(text)).collect();
    for query in ["types=t&envelope=data", "types=t&envelope=data&named=false"] {
        let events = events(&host, &run, query).await;
        assert_eq!(events.len(), texts.len() + 1);
        for (nth, (event, text)) in events.iter().zip(&texts).enumerate() {
            assert!(event.data == *text, "{nth}: {:.100} became {:.100}", text, event.data);
            assert_eq!(event.seq(), nth as u64 + 2);
        }
    }
    let bare = lines(&host, &run, "types=t&envelope=data").await;
    assert!(bare[..texts.len()] == texts, "as lines");
    for (event, text) in events(&host, &run, "types=t").await.iter().zip(&texts) {
        // The data stands in the envelope as it was written.
        assert!(event.data.contains(&format!("\"data\":{text},\"timestamp\":")), "{:.100}", event.data);
        assert_eq!(event.json()["data"], serde_json::from_str::<Value>(text).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn line_breaks_between_tokens_become_spaces() {
    let host = TestHost::start().await;
    let data = "{\n\"a\":\r\n[1,\r2]\n\n}\r";
    let run = sent(&host, vec![json!({ "type": "t", "data": data })]).await;
    let whole = host.read_stream(&run, "types=t&envelope=data", SSE).await;
    let text = std::str::from_utf8(&whole.body).unwrap();
    assert!(text.contains("id: 2\nevent: t\ndata: { \"a\":  [1, 2]  } \n\nid: 3\n"), "{text}");
    assert!(!text.contains('\r'));
    assert_eq!(lines(&host, &run, "types=t&envelope=data").await[0], "{ \"a\":  [1, 2]  } ");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_control_character_gets_into_a_type_or_a_channel() {
    let host = TestHost::start().await;
    let controls: Vec<char> = (0..0x20)
        .chain(0x7f..0xa0)
        .chain([0x2028, 0x2029])
        .map(|code| char::from_u32(code).unwrap())
        .collect();
    let as_type = controls.iter().map(|c| json!({ "type": format!("a{c}b"), "data": "1" }));
    let as_channel =
        controls.iter().map(|c| json!({ "type": "t", "channel": format!("a{c}b"), "data": "1" }));
    let events: Vec<Value> = as_type.chain(as_channel).collect();
    let run = host.run(json!({ "do": "send", "events": events })).await;
    for (event, answer) in events.iter().zip(run["final_value"].as_array().unwrap()) {
        assert_eq!(answer["code"], "invalid-argument", "{event}");
    }
    let whole = host.read_stream(&run, "", SSE).await;
    let ids: Vec<&str> =
        std::str::from_utf8(&whole.body).unwrap().lines().filter(|line| line.starts_with("id:")).collect();
    assert_eq!(ids, ["id: 1", "id: 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_that_look_like_the_protocol_are_just_types() {
    let host = TestHost::start().await;
    let types = hostile::types();
    let run = sent(&host, types.iter().map(|name| json!({ "type": name, "data": "1" })).collect()).await;
    let events = events(&host, &run, "").await;
    assert_eq!(names(&events[1..=types.len()]), types);
    for (event, name) in events[1..].iter().zip(&types) {
        assert_eq!(event.json()["type"], *name);
    }
    assert_eq!(events.last().unwrap().name, "run.completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_types_of_the_host_are_refused_to_guests() {
    let host = TestHost::start().await;
    let types =
        ["run.completed", "run.failed", "run.cancelled", "run.started", "run.stream-closing", "run.", "gap"];
    let sent: Vec<Value> = types.iter().map(|name| json!({ "type": name, "data": "{}" })).collect();
    let run = host.run(json!({ "do": "send", "events": sent })).await;
    for (name, answer) in types.iter().zip(run["final_value"].as_array().unwrap()) {
        assert_eq!(answer["code"], "invalid-argument", "{name}");
    }
    assert_eq!(names(&events(&host, &run, "").await), ["run.started", "run.completed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_base64_in_every_form() {
    let host = TestHost::start().await;
    for (length, base64) in
        [(0, "".to_owned()), (1, "AA==".to_owned()), (2, "AAE=".to_owned()), (3, "AAEC".to_owned())]
    {
        let input = json!({ "do": "bytes", "type": "b", "content_type": "a/b; c=\"d\"", "length": length });
        let run = host.run(input).await;
        assert_eq!(run["final_value"], "ok");
        let envelope = events(&host, &run, "types=b").await[0].json();
        assert_eq!((&envelope["data"], &envelope["content_type"]), (&json!(base64), &json!("a/b; c=\"d\"")));
        assert_eq!(events(&host, &run, "types=b&envelope=data").await[0].data, format!("\"{base64}\""));
        assert_eq!(lines(&host, &run, "types=b&envelope=data").await[0], format!("\"{base64}\""));
    }
}
