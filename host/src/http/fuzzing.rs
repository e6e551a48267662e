//! Entry points for the fuzzers: requests, and encoded streams.

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
use super::format::{BYTES, Envelope, FORMATS, Format, Layout, Names, Notice, SSE};
use super::position::StartPosition;
use super::problem::Problem;
use super::request::{Query, header_list};
use super::resource::ROUTES;
use super::stream::{self, Options};
use super::{Config, accept, negotiation, pruning, routes, runs, several_runs, signals, start};
use crate::event_log::Position;
use crate::model::{
    Channel, Content, ContentType, Event, EventType, Json, MAX_LABELS, MAX_LOCKS, MAX_PRIORITY, NewEvent,
    RunId, TaskRef, Timestamp,
};

/// Parse a request: a line with its target, lines of headers, an empty line, the body.
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
    let Some(query) = checked(Query::of(&uri)) else { return };
    route(uri.path());
    media(&headers, &query);
    position(&headers, &query);
    started(&headers, &query, Bytes::copy_from_slice(body));
    if let Some(filter) = checked(runs::filter(&query)) {
        assert!((1..=1000).contains(&filter.limit));
    }
    checked(pruning::request(&query));
}

/// Split at the first `mark`. Without one, the second part is empty.
fn split<'a>(data: &'a [u8], mark: &[u8]) -> (&'a [u8], &'a [u8]) {
    let at = data.windows(mark.len()).position(|window| window == mark);
    at.map_or((data, &[]), |at| (&data[..at], &data[at + mark.len()..]))
}

/// Check that an error is a client error with a detail, in JSON.
fn checked<T>(result: Result<T, Problem>) -> Option<T> {
    let problem = match result {
        Ok(value) => return Some(value),
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
    if let Some(name) = checked(routes::name(part("name"))) {
        checked(signals::parse_name(&name));
    }
}

fn media(headers: &HeaderMap, query: &Query) {
    Coding::wanted(headers);
    let accept = header_list(headers, header::ACCEPT);
    let offers = negotiation::all_formats();
    if let Some(media_type) = checked(negotiation::media_type(headers, query, &offers, "it")) {
        let mut aliases = FORMATS.iter().flat_map(|info| info.aliases);
        assert!(offers.contains(&media_type) || aliases.any(|alias| *alias == media_type));
    }
    let best = accept::best(accept.as_deref(), &offers);
    assert!(best.is_none_or(|best| offers.contains(&best)));
    // The order of entries with the same quality does not matter.
    if let Some(accept) = accept {
        let reversed: Vec<&str> = accept.rsplit(',').collect();
        assert_eq!(accept::best(Some(&reversed.join(",")), &offers), best);
    }
}

fn position(headers: &HeaderMap, query: &Query) {
    let heartbeat = Duration::from_secs(15);
    let config = Config { max_input_bytes: 1 << 20, heartbeat, ..Config::default() };
    several_runs::check_cursors(headers, query);
    let is_event_format = |media_type: &&str| Format::of(media_type, Layout::default()).is_some();
    for media_type in negotiation::all_formats().into_iter().filter(is_event_format) {
        checked(Options::of(&config, headers, query, media_type));
    }
    checked(Options::of_websocket(&config, headers, query));
    let Some(start) = checked(StartPosition::of(headers, query)) else { return };
    for head in [0, 1, 7, u64::from(u32::MAX), u64::MAX] {
        match (&start, start.resolve(head)) {
            (StartPosition::At(position), resolved) => assert_eq!(resolved, Ok(*position)),
            (StartPosition::Resume(_), Ok(position)) => {
                assert!(matches!(position, Position::After(seq) if seq <= head))
            }
            (StartPosition::Resume(id), Err(requested)) => {
                assert_eq!(*id, requested);
                notices(&Notice::UnknownPosition { requested });
            }
        }
    }
}

fn started(headers: &HeaderMap, query: &Query, body: Bytes) {
    let task = TaskRef::parse("demo", "x").expect("a name");
    let Some(request) = checked(start::request(task, headers, query, body)) else { return };
    assert!(request.labels.len() <= MAX_LABELS && request.resources.len() <= MAX_LOCKS);
    assert!(request.priority.is_none_or(|priority| (-MAX_PRIORITY..=MAX_PRIORITY).contains(&priority)));
    // The host's own keys begin with a character that no header can carry.
    assert!(request.idempotency_key.is_none_or(|key| key.bytes().all(|byte| (b' '..=b'~').contains(&byte))));
    if let Some(time) = request.not_before {
        assert_eq!(Timestamp::parse(&time.to_string()), Some(time), "it is written as {time}");
    }
}

/// Check that streams contain exactly the events that a guest sent. The input consists of events, separated by NUL. Each
/// is a line with its type, one with its channel, one with its content type (empty for JSON), and its data.
pub fn streams(data: &[u8]) {
    let mut events = Vec::new();
    for sent in data.split(|byte| *byte == 0) {
        let Some(what) = parse_event(sent) else { continue };
        let event = Event { seq: events.len() as u64 + 1, attempt: 2, what };
        events.push(event);
    }
    let names = names();
    for envelope in [Envelope::Full, Envelope::Data] {
        for named in [true, false] {
            let (texts, whole) = encoded_texts(sse(envelope, named), &names, &events);
            let all = parse_sse(&whole);
            assert_eq!(all.len(), events.len());
            for ((event, text), received) in events.iter().zip(&texts).zip(&all) {
                assert_eq!(parse_sse(text).as_slice(), std::slice::from_ref(received));
                assert_eq!(received.id, event.seq.to_string());
                let name = if named { event.what.event_type.as_str() } else { "" };
                assert_eq!(received.name, name);
                assert_complete(&received.data, event, envelope);
            }
        }
        let (texts, whole) = encoded_texts(Format::ndjson(envelope), &names, &events);
        assert_eq!(whole.matches('\n').count(), events.len());
        for (event, text) in events.iter().zip(&texts) {
            assert_complete(text.strip_suffix('\n').expect("a line has an end"), event, envelope);
        }
    }
    check_raw(&names, &events);
    // As if all events were updates of a page.
    let coalesced = stream::coalesced_data(events.iter());
    assert!(serde_json::from_str::<Value>(coalesced.as_str()).is_ok(), "{coalesced:?}");
}

fn sse(envelope: Envelope, named: bool) -> Format {
    format(SSE, Layout { envelope, named })
}

fn format(media_type: &str, layout: Layout) -> Format {
    Format::of(media_type, layout).expect("it is in the table")
}

/// Check that raw formats contain the output of the run, and that compression preserves it.
fn check_raw(names: &Names, events: &[Event]) {
    format("text/plain", Layout::default()).encode(names, events);
    let sent = events.iter().filter_map(|event| match &event.what.content {
        Content::Bytes(_, bytes) => Some(&**bytes),
        Content::Json(_) => None,
    });
    let bytes = format(BYTES, Layout::default()).encode(names, events).bytes;
    assert_eq!(bytes, sent.collect::<Vec<_>>().concat());
    let mut unpacked = Vec::new();
    let packed = coding::gzip(&bytes);
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).expect("it is complete");
    assert_eq!(bytes, unpacked);
}

/// Parse an event. `None` if a guest can't send it.
fn parse_event(sent: &[u8]) -> Option<NewEvent> {
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

/// The encoding of each event, and of all.
fn encoded_texts(format: Format, names: &Names, events: &[Event]) -> (Vec<String>, String) {
    let encoded = format.encode(names, events);
    let whole = String::from_utf8(encoded.bytes.to_vec()).expect("a stream is text");
    let mut start = 0;
    let piece = |end: &u32| whole[std::mem::replace(&mut start, *end as usize)..*end as usize].to_owned();
    let texts: Vec<String> = encoded.ends.iter().map(piece).collect();
    assert_eq!(texts.concat(), whole);
    (texts, whole)
}

fn assert_complete(text: &str, event: &Event, envelope: Envelope) {
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
        let text = sse(envelope, true).notice(&names(), notice, 9);
        let received = parse_sse(std::str::from_utf8(&text).expect("a stream is text"));
        assert_eq!(received.len(), 1, "{received:?}");
        let is_json = serde_json::from_str::<Value>(&received[0].data).is_ok();
        assert!(received[0].name == "gap" && is_json, "{received:?}");
    }
}

/// An event as an `EventSource` dispatches it.
#[derive(Clone, Debug, Default, PartialEq)]
struct MessageEvent {
    id: String,
    name: String,
    data: String,
}

/// Parse a stream as an `EventSource` does (HTML Living Standard, section 9.2.6). Written from the standard, and
/// independent of the host's encoder.
fn parse_sse(stream: &str) -> Vec<MessageEvent> {
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    let stream = stream.replace("\r\n", "\n").replace('\r', "\n");
    let (mut all, mut event) = (Vec::new(), MessageEvent::default());
    // The rest after the last line end is not a line yet.
    let (lines, _) = stream.rsplit_once('\n').unwrap_or_default();
    for line in lines.split('\n') {
        if line.is_empty() {
            let next = MessageEvent { id: event.id.clone(), ..MessageEvent::default() };
            let mut ready = std::mem::replace(&mut event, next);
            if ready.data.pop().is_some() {
                all.push(ready);
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => event.name = value.to_owned(),
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
