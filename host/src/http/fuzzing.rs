//! What clients send and what they are sent, for the fuzzer.

use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Uri;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::coding::{self, Coding};
use super::format::{BYTES, Envelope, Format, NDJSON, Names, Notice, SSE, TEXT};
use super::position::Wish;
use super::problem::Problem;
use super::request::{Query, header_list};
use super::resource::ROUTES;
use super::stream::{self, JSON, NDJSON_NAMES, Options, WEBSOCKET};
use super::{Config, accept, many, pruning, routes, runs, signals, start};
use crate::event_log::Position;
use crate::model::{
    Channel, Content, ContentType, Event, EventType, Json, MAX_LABELS, MAX_NEEDS, MAX_PRIORITY, NewEvent,
    RunId, TaskRef, Timestamp,
};

/// A request: a line with its target, lines of headers, an empty line, the body.
pub fn requests(data: &[u8]) {
    let (head, body) = split(data, b"\n\n");
    let mut lines = head.split(|byte| *byte == b'\n');
    let Ok(uri) = Uri::try_from(lines.next().unwrap_or_default()) else { return };
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = split(line, b":");
        let header = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()));
        if let (Ok(name), Ok(value)) = header {
            headers.append(name, value);
        }
    }
    let Some(query) = fine(Query::of(&uri)) else { return };
    route(uri.path());
    media(&headers, &query);
    position(&headers, &query);
    started(&headers, &query, Bytes::copy_from_slice(body));
    if let Some(filter) = fine(runs::filter(&query)) {
        assert!((1..=1000).contains(&filter.limit));
    }
    fine(pruning::wish(&query));
}

/// The parts before and after the first `mark`; all is before if there is none.
fn split<'a>(data: &'a [u8], mark: &[u8]) -> (&'a [u8], &'a [u8]) {
    let at = data.windows(mark.len()).position(|window| window == mark);
    at.map_or((data, &[]), |at| (&data[..at], &data[at + mark.len()..]))
}

/// Whatever is wrong with a request, its client is told so, in JSON.
fn fine<T>(result: Result<T, Problem>) -> Option<T> {
    let problem = match result {
        Ok(fine) => return Some(fine),
        Err(problem) => problem.response(),
    };
    assert!(problem.status().is_client_error(), "{}", problem.status());
    let mut body = problem.into_body();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let frame = match std::pin::pin!(body.frame()).as_mut().poll(&mut context) {
        std::task::Poll::Ready(Some(Ok(frame))) => frame.into_data().expect("a problem has no trailers"),
        _ => panic!("a problem has a body"),
    };
    let members: Value = serde_json::from_slice(&frame).expect("a problem is JSON");
    assert!(members["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{members}");
    None
}

fn route(path: &str) {
    let Ok(matched) = ROUTES.at(path) else { return };
    let part = |name| matched.params.get(name).unwrap_or_default();
    if let Ok(task) = TaskRef::parse(part("app"), part("task")) {
        assert_eq!(TaskRef::parse_path(&task.to_string()), Ok(task));
    }
    if let Ok(id) = RunId::parse(part("run")) {
        assert!(HeaderValue::try_from(format!("/api/runs/{id}")).is_ok());
    }
    if let Some(name) = fine(routes::name(part("name"))) {
        fine(signals::parse_name(&name));
    }
}

fn media(headers: &HeaderMap, query: &Query) {
    Coding::wanted(headers);
    let accept = header_list(headers, header::ACCEPT);
    let offers = [SSE, NDJSON, JSON, TEXT, BYTES];
    if let Some(media) = fine(stream::media(headers, query, &offers, "it")) {
        assert!(offers.contains(&media) || NDJSON_NAMES.contains(&media));
    }
    let best = accept::best(accept.as_deref(), &offers);
    assert!(best.is_none_or(|best| offers.contains(&best)));
    // In which order a client names what it likes equally does not matter.
    if let Some(accept) = accept {
        let turned: Vec<&str> = accept.rsplit(',').collect();
        assert_eq!(accept::best(Some(&turned.join(",")), &offers), best);
    }
}

fn position(headers: &HeaderMap, query: &Query) {
    let config = Config {
        max_input_bytes: 1 << 20,
        heartbeat: Duration::from_secs(15),
        cors_origins: Vec::new(),
        allowed_hosts: Vec::new(),
        uploads: false,
    };
    many::positions(headers, query);
    for media in [SSE, NDJSON, TEXT, BYTES, WEBSOCKET] {
        fine(Options::of(&config, headers, query, media));
    }
    let Some(wish) = fine(Wish::of(headers, query)) else { return };
    for head in [0, 1, 7, u64::from(u32::MAX), u64::MAX] {
        match (&wish, wish.resolve(head)) {
            (Wish::At(position), resolved) => assert_eq!(resolved, Ok(*position)),
            (Wish::Resume(_), Ok(position)) => {
                assert!(matches!(position, Position::After(seq) if seq <= head))
            }
            (Wish::Resume(id), Err(requested)) => {
                assert_eq!(*id, requested);
                notices(&Notice::UnknownPosition { requested });
            }
        }
    }
}

fn started(headers: &HeaderMap, query: &Query, body: Bytes) {
    let task = TaskRef::parse("demo", "x").expect("a name");
    let Some(request) = fine(start::request(task, headers, query, body)) else { return };
    assert!(request.labels.len() <= MAX_LABELS && request.resources.len() <= MAX_NEEDS);
    assert!(request.priority.is_none_or(|priority| (-MAX_PRIORITY..=MAX_PRIORITY).contains(&priority)));
    // The host's own keys begin with a character that no header can carry.
    assert!(request.idempotency_key.is_none_or(|key| key.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
    if let Some(time) = request.not_before {
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time), "it is told as {time}");
    }
}

/// What a guest sends: events with a NUL between. Each is a line with its type, one with
/// its channel, one with its content type, which is empty for JSON, and its data.
/// Whatever comes out of a stream is what went in.
pub fn streams(data: &[u8]) {
    let mut events = Vec::new();
    for sent in data.split(|byte| *byte == 0) {
        let Some(what) = accepted(sent) else { continue };
        let event = Event { seq: events.len() as u64 + 1, attempt: 2, what };
        events.push(event);
    }
    let names = names();
    for envelope in [Envelope::Full, Envelope::Data] {
        for named in [true, false] {
            let (texts, whole) = pieces(Format::Sse { envelope, named }, &names, &events);
            let all = dispatched(&whole);
            assert_eq!(all.len(), events.len());
            for ((event, text), came) in events.iter().zip(&texts).zip(&all) {
                assert_eq!(dispatched(text).as_slice(), std::slice::from_ref(came));
                assert_eq!(came.id, event.seq.to_string());
                let kind = if named { event.what.event_type.as_str() } else { "" };
                assert_eq!(came.kind, kind);
                is_whole(&came.data, event, envelope);
            }
        }
        let (texts, whole) = pieces(Format::Ndjson { envelope }, &names, &events);
        assert_eq!(whole.matches('\n').count(), events.len());
        for (event, text) in events.iter().zip(&texts) {
            is_whole(text.strip_suffix('\n').expect("a line has an end"), event, envelope);
        }
    }
    raw(&names, &events);
    // As if all of it were updates of a page.
    let joined = stream::joined(events.iter());
    assert!(serde_json::from_str::<Value>(joined.as_str()).is_ok(), "{joined:?}");
}

/// What the run wrote, and the same packed and unpacked.
fn raw(names: &Names, events: &[Event]) {
    Format::Text.encode(names, events);
    let sent = events.iter().filter_map(|event| match &event.what.content {
        Content::Bytes(_, bytes) => Some(&**bytes),
        Content::Json(_) => None,
    });
    let bytes = Format::Bytes.encode(names, events).bytes;
    assert_eq!(bytes, sent.collect::<Vec<_>>().concat());
    let mut unpacked = Vec::new();
    let packed = coding::gzip(&bytes);
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).expect("it is whole");
    assert_eq!(bytes, unpacked);
}

/// The event, if a guest can send it.
fn accepted(sent: &[u8]) -> Option<NewEvent> {
    let mut parts = sent.splitn(4, |byte| *byte == b'\n');
    let mut text = || String::from_utf8(parts.next().unwrap_or_default().to_vec()).ok();
    let (kind, channel, content_type) = (text()?, text()?, text()?);
    let data = parts.next().unwrap_or_default();
    let content = if content_type.is_empty() {
        Content::Json(Json::parse(std::str::from_utf8(data).ok()?).ok()?)
    } else {
        Content::Bytes(ContentType::of_guest(content_type).ok()?, data.into())
    };
    Some(NewEvent {
        event_type: EventType::of_guest(kind).ok()?,
        channel: Channel::of_guest(channel).ok()?,
        content,
        time: Timestamp::from_millis(1_736_944_496_789),
    })
}

/// What is sent for each event, and for all.
fn pieces(format: Format, names: &Names, events: &[Event]) -> (Vec<String>, String) {
    let encoded = format.encode(names, events);
    let whole = String::from_utf8(encoded.bytes.to_vec()).expect("a stream is text");
    let mut start = 0;
    let piece = |end: &u32| whole[std::mem::replace(&mut start, *end as usize)..*end as usize].to_owned();
    let texts: Vec<String> = encoded.ends.iter().map(piece).collect();
    assert_eq!(texts.concat(), whole);
    (texts, whole)
}

fn is_whole(text: &str, event: &Event, envelope: Envelope) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let data = match envelope {
        Envelope::Full => &value["data"],
        Envelope::Data => &value,
    };
    match &event.what.content {
        Content::Json(json) => assert!(*data == json.to_value(), "{text}"),
        Content::Bytes(_, bytes) => {
            assert_eq!(BASE64.decode(data.as_str().expect("bytes are text")).as_deref(), Ok(&**bytes));
        }
    }
    let (Envelope::Full, what) = (envelope, &event.what) else { return };
    let content_type = match &what.content {
        Content::Json(_) => None,
        Content::Bytes(content_type, _) => Some(content_type.as_str()),
    };
    assert_eq!(value["type"], what.event_type.as_str());
    assert_eq!(value["channel"].as_str(), what.channel.as_ref().map(Channel::as_str));
    assert_eq!(value["content_type"].as_str(), content_type);
    assert_eq!(value["seq"], event.seq);
    assert_eq!(value["_task_id"], "r1");
}

fn notices(notice: &Notice) {
    for envelope in [Envelope::Full, Envelope::Data] {
        let text = Format::Sse { envelope, named: true }.notice(&names(), notice, 9);
        let came = dispatched(std::str::from_utf8(&text).expect("a stream is text"));
        assert_eq!(came.len(), 1, "{came:?}");
        assert!(came[0].kind == "gap" && serde_json::from_str::<Value>(&came[0].data).is_ok(), "{came:?}");
    }
}

/// An event as a page gets to see it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Dispatched {
    id: String,
    kind: String,
    data: String,
}

/// What an `EventSource` makes of a stream (HTML Living Standard, section 9.2.6). Written
/// from there, and not by how the host writes one.
fn dispatched(stream: &str) -> Vec<Dispatched> {
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    let stream = stream.replace("\r\n", "\n").replace('\r', "\n");
    let (mut all, mut event) = (Vec::new(), Dispatched::default());
    // What follows the last end of a line is not a line yet.
    let (lines, _) = stream.rsplit_once('\n').unwrap_or_default();
    for line in lines.split('\n') {
        if line.is_empty() {
            let next = Dispatched { id: event.id.clone(), ..Dispatched::default() };
            let mut ready = std::mem::replace(&mut event, next);
            if ready.data.pop().is_some() {
                all.push(ready);
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => event.kind = value.to_owned(),
            "data" => event.data.extend([value, "\n"]),
            "id" if !value.contains('\0') => event.id = value.to_owned(),
            _ => {}
        }
    }
    all
}

fn names() -> Names {
    Names::new(&RunId::parse("r1").expect("an id"), &TaskRef::parse("demo", "counter").expect("a name"))
}
