//! Events as bytes: the forms in which a stream can be read.
//!
//! Each form of a segment is made once and shared by all who follow the run in
//! that form, so nothing here may depend on the reader.

pub(super) mod lines;
mod ndjson;
mod raw;
mod sse;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

pub(super) use sse::{HEARTBEAT, preamble};

use crate::event_log::{ENCODINGS, Encoded, Segment};
use crate::model::{Content, Event, GAP, Json, NewEvent, Run, RunId, TaskRef, Timestamp};

/// What stands around an event's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Envelope {
    /// `{"type","data","timestamp","seq",…}`.
    Full,
    /// Nothing: the bare data.
    Data,
}

/// The form of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `text/event-stream`. Unnamed events all reach `onmessage`.
    Sse { envelope: Envelope, named: bool },
    /// `application/x-ndjson`.
    Ndjson { envelope: Envelope },
    /// `text/plain`: the run's own text.
    Text,
    /// The run's own bytes.
    Bytes,
}

/// Media type of server-sent events.
pub(super) const SSE: &str = "text/event-stream";
/// Media type of newline-delimited JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";
/// Media type of text that a client can ask for.
pub(super) const TEXT: &str = "text/plain";
/// Media type of bytes of any kind.
pub(super) const BYTES: &str = "application/octet-stream";

/// The `Content-Type` of a body of one of these. With a charset, for readers that would else take one of their own.
pub(super) fn content_type(media: &'static str) -> &'static str {
    match media {
        SSE => "text/event-stream; charset=utf-8",
        NDJSON => "application/x-ndjson; charset=utf-8",
        TEXT => "text/plain; charset=utf-8",
        other => other,
    }
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        content_type(match self {
            Self::Sse { .. } => SSE,
            Self::Ndjson { .. } => NDJSON,
            Self::Text => TEXT,
            Self::Bytes => BYTES,
        })
    }

    /// Whether a body holds what the run wrote and nothing of the host. Only its end can then say whether it is
    /// whole.
    pub(super) const fn is_raw(self) -> bool {
        matches!(self, Self::Text | Self::Bytes)
    }

    /// Which of a segment's encodings this is.
    const fn encoding(self) -> usize {
        let nth = match self {
            Self::Sse { envelope: Envelope::Full, named: true } => 0,
            Self::Sse { envelope: Envelope::Full, named: false } => 1,
            Self::Sse { envelope: Envelope::Data, named: true } => 2,
            Self::Sse { envelope: Envelope::Data, named: false } => 3,
            Self::Ndjson { envelope: Envelope::Full } => 4,
            Self::Ndjson { envelope: Envelope::Data } => 5,
            Self::Text => 6,
            Self::Bytes => 7,
        };
        assert!(nth < ENCODINGS);
        nth
    }

    /// A segment in this form.
    pub(super) fn segment<'a>(self, names: &Names, segment: &'a Segment) -> &'a Encoded {
        segment.encoded(self.encoding(), |events| self.encode(names, events))
    }

    /// The events of a segment from the one at `from` on, each with its bytes in this form.
    pub(super) fn events<'a>(
        self,
        names: &Names,
        segment: &'a Segment,
        from: usize,
    ) -> impl Iterator<Item = (&'a Event, Bytes)> {
        let encoded = self.segment(names, segment);
        let mut start = from.checked_sub(1).map_or(0, |before| encoded.ends[before] as usize);
        segment.events().iter().zip(&encoded.ends).skip(from).map(move |(event, &end)| {
            let bytes = encoded.bytes.slice(start..end as usize);
            start = end as usize;
            (event, bytes)
        })
    }

    pub(super) fn encode(self, names: &Names, events: &[Event]) -> Encoded {
        let mut writer =
            EventWriter::new(names, events.iter().map(|event| event.what.content.len() + 256).sum());
        let mut ends = Vec::with_capacity(events.len());
        for event in events {
            match self {
                Self::Sse { envelope, named } => sse::event(&mut writer, event, envelope, named),
                Self::Ndjson { envelope } => ndjson::event(&mut writer, event, envelope),
                Self::Text => raw::text(&mut writer, event),
                Self::Bytes => raw::bytes(&mut writer, event),
            }
            ends.push(writer.out.len() as u32);
        }
        Encoded::new(Bytes::from(writer.out), ends.into_boxed_slice())
    }

    /// Events `first` to `last.seq` as one, with the data that they come to. Of a reader that has asked for events
    /// to be gathered.
    pub(super) fn joined(self, names: &Names, first: u64, last: &Event, data: Json) -> Bytes {
        let NewEvent { event_type, channel, time, .. } = &last.what;
        let what = NewEvent {
            event_type: event_type.clone(),
            channel: channel.clone(),
            content: Content::Json(data),
            time: *time,
        };
        let mut writer = EventWriter::new(names, what.content.len() + 256);
        let place = Place { seq: last.seq, attempt: last.attempt, first: Some(first) };
        match self {
            Self::Sse { envelope, named } => sse::placed(&mut writer, &what, place, envelope, named),
            Self::Ndjson { envelope } => ndjson::placed(&mut writer, &what, place, envelope),
            Self::Text | Self::Bytes => {}
        }
        Bytes::from(writer.out)
    }

    /// What a stream begins with, another one for each reader.
    pub(super) fn preamble(self) -> Bytes {
        match self {
            Self::Sse { .. } => preamble(),
            Self::Ndjson { .. } | Self::Text | Self::Bytes => Bytes::new(),
        }
    }

    /// A sign of life that is no event.
    pub(super) fn heartbeat(self) -> &'static str {
        match self {
            Self::Sse { .. } => HEARTBEAT,
            Self::Ndjson { .. } => ndjson::HEARTBEAT,
            Self::Text | Self::Bytes => "",
        }
    }

    /// Tells one reader about the stream itself. It is not in the log and has no
    /// number; a reader that comes back after it continues after `position`.
    pub(super) fn notice(self, names: &Names, notice: &Notice, position: u64) -> Bytes {
        let what = notice.event();
        let mut writer = EventWriter::new(names, 256);
        match self {
            Self::Sse { envelope, named } => sse::notice(&mut writer, &what, position, envelope, named),
            Self::Ndjson { envelope } => ndjson::notice(&mut writer, &what, envelope),
            Self::Text | Self::Bytes => {}
        }
        Bytes::from(writer.out)
    }
}

/// What one reader is told about its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The events of these numbers are no longer stored.
    Gap { from: u64, to: u64 },
    /// The run was removed; from this number on all is gone.
    Removed { from: u64 },
    /// The log has never had the position that the reader came back with; it
    /// gets everything from the beginning.
    UnknownPosition { requested: String },
    /// The host stops; the run goes on later or elsewhere, and the reader can
    /// come back with its last position.
    Closing,
}

impl Notice {
    /// Its type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Gap { .. } | Self::Removed { .. } | Self::UnknownPosition { .. } => GAP,
            Self::Closing => "run.stream-closing",
        }
    }

    fn event(&self) -> NewEvent {
        let gap = |data: serde_json::Value| NewEvent {
            event_type: crate::model::EventType::trusted(GAP),
            channel: None,
            content: Content::Json(Json::of(&data)),
            time: Timestamp::now(),
        };
        match self {
            Self::Gap { from, to } => gap(serde_json::json!({ "from": from, "to": to, "reason": "pruned" })),
            Self::Removed { from } => gap(serde_json::json!({ "from": from, "reason": "removed" })),
            Self::UnknownPosition { requested } => {
                gap(serde_json::json!({ "requested": requested, "reason": "unknown-position" }))
            }
            Self::Closing => {
                NewEvent::of_host("stream-closing", &serde_json::json!({ "reason": "the host is stopping" }))
            }
        }
    }
}

/// The members of an envelope that are the same for every event of a run,
/// written once: `"_task_id":…,"_app":…,"_model":…}`.
pub(super) struct Names(Box<str>);

impl Names {
    pub(super) fn of(run: &Run) -> Self {
        Self::new(&run.key.id, &run.task)
    }

    /// Of no run.
    pub(super) fn none() -> Self {
        Self(r#""_task_id":null,"_app":null,"_model":null}"#.into())
    }

    pub(super) fn new(id: &RunId, TaskRef { app, task }: &TaskRef) -> Self {
        // Ids and names consist of characters that need no escaping.
        Self(format!(r#""_task_id":"{id}","_app":"{app}","_model":"{task}"}}"#).into_boxed_str())
    }
}

/// The events of one run as lines of JSON, for a reader within this process.
pub struct EventLines(Names);

impl EventLines {
    /// Of that run.
    pub fn of(run: &Run) -> Self {
        Self(Names::of(run))
    }

    /// As a stream of `application/x-ndjson` has it, without the end of the line.
    pub fn line(&self, event: &Event) -> Bytes {
        let encoded =
            Format::Ndjson { envelope: Envelope::Full }.encode(&self.0, std::slice::from_ref(event));
        encoded.bytes.slice(..encoded.bytes.len() - 1)
    }
}

/// Where an event stands in the log.
#[derive(Clone, Copy)]
struct Place {
    seq: u64,
    attempt: u32,
    /// The first of those that it stands for, if it stands for several.
    first: Option<u64>,
}

impl Place {
    fn of(event: &Event) -> Self {
        Self { seq: event.seq, attempt: event.attempt, first: None }
    }
}

/// Writes events one after the other.
struct EventWriter<'a> {
    out: Vec<u8>,
    names: &'a Names,
    /// The moment printed last: events come many to a millisecond.
    clock: (Timestamp, String),
}

impl<'a> EventWriter<'a> {
    fn new(names: &'a Names, capacity: usize) -> Self {
        let epoch = Timestamp::from_millis(0);
        Self { out: Vec::with_capacity(capacity), names, clock: (epoch, epoch.to_string()) }
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.text(itoa::Buffer::new().format(number));
    }

    fn quoted(&mut self, text: &str) {
        serde_json::to_writer(&mut self.out, text).expect("writing to memory can't fail");
    }

    fn time(&mut self, time: Timestamp) {
        if self.clock.0 != time {
            self.clock.0 = time;
            self.clock.1.clear();
            write!(self.clock.1, "{time}").expect("writing to memory can't fail");
        }
        self.out.extend_from_slice(self.clock.1.as_bytes());
    }

    /// The data alone: JSON, bytes as a base64 string.
    fn data(&mut self, content: &Content) {
        match content {
            Content::Json(json) => lines::append(&mut self.out, json.as_str().as_bytes()),
            Content::Bytes(_, bytes) => {
                self.out.push(b'"');
                let at = self.out.len();
                self.out.resize(at + bytes.len().div_ceil(3) * 4, 0);
                BASE64.encode_slice(bytes, &mut self.out[at..]).expect("sized for the result");
                self.out.push(b'"');
            }
        }
    }

    /// The data in its envelope. Notices have no number.
    fn enveloped(&mut self, what: &NewEvent, place: Option<Place>) {
        self.text(r#"{"type":"#);
        self.quoted(what.event_type.as_str());
        self.text(r#","data":"#);
        self.data(&what.content);
        if let Content::Bytes(content_type, _) = &what.content {
            self.text(r#","content_type":"#);
            self.quoted(content_type.as_str());
        }
        if let Some(channel) = &what.channel {
            self.text(r#","channel":"#);
            self.quoted(channel.as_str());
        }
        self.text(r#","timestamp":""#);
        self.time(what.time);
        self.text("\",");
        if let Some(Place { seq, attempt, first }) = place {
            self.text(r#""seq":"#);
            self.number(seq);
            if let Some(first) = first {
                self.text(r#","first_seq":"#);
                self.number(first);
            }
            self.text(r#","attempt":"#);
            self.number(attempt.into());
            self.text(",");
        }
        self.text(&self.names.0);
    }

    fn body(&mut self, what: &NewEvent, place: Option<Place>, envelope: Envelope) {
        match envelope {
            Envelope::Full => self.enveloped(what, place),
            Envelope::Data => self.data(&what.content),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channel, ContentType, EventType};

    fn names() -> Names {
        Names::new(&RunId::parse("r1").unwrap(), &TaskRef::parse("demo", "counter").unwrap())
    }

    fn event(content: Content, channel: Option<&str>) -> Event {
        let what = NewEvent {
            event_type: EventType::trusted("a\"b"),
            channel: channel.map(Channel::trusted),
            content,
            time: Timestamp::from_millis(1_736_944_496_789),
        };
        Event { seq: 7, attempt: 2, what }
    }

    fn encoded(format: Format, event: &Event) -> String {
        let encoded = format.encode(&names(), std::slice::from_ref(event));
        assert_eq!(encoded.ends.last().copied(), Some(encoded.bytes.len() as u32));
        String::from_utf8(encoded.bytes.to_vec()).unwrap()
    }

    #[test]
    fn an_envelope_is_valid_json_with_every_member() {
        let line = encoded(
            Format::Ndjson { envelope: Envelope::Full },
            &event(Content::Json(Json::of("x\ny")), Some("c")),
        );
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({
            "type": "a\"b", "data": "x\ny", "channel": "c", "timestamp": "2025-01-15T12:34:56.789Z", "seq": 7,
            "attempt": 2, "_task_id": "r1", "_app": "demo", "_model": "counter"
        });
        assert_eq!(value, expected);
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1);
    }

    #[test]
    fn bytes_travel_as_base64_with_their_media_type() {
        let content = Content::Bytes(ContentType::trusted("image/png"), Box::new([0, 1, 2, 255]));
        let line = encoded(Format::Ndjson { envelope: Envelope::Full }, &event(content.clone(), None));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["data"], &value["content_type"]), (&"AAEC/w==".into(), &"image/png".into()));
        assert_eq!(
            encoded(Format::Ndjson { envelope: Envelope::Data }, &event(content, None)),
            "\"AAEC/w==\"\n"
        );
    }

    #[test]
    fn server_sent_events_have_id_name_and_data() {
        let event = event(Content::Json(Json::of(&1)), None);
        let sse = |envelope, named| encoded(Format::Sse { envelope, named }, &event);
        assert_eq!(sse(Envelope::Data, true), "id: 7\nevent: a\"b\ndata: 1\n\n");
        assert_eq!(sse(Envelope::Data, false), "id: 7\ndata: 1\n\n");
        assert!(
            sse(Envelope::Full, true)
                .starts_with("id: 7\nevent: a\"b\ndata: {\"type\":\"a\\\"b\",\"data\":1,")
        );
    }

    #[test]
    fn a_notice_has_no_number_but_a_position_to_come_back_to() {
        let gap = Notice::Gap { from: 3, to: 9 };
        let sse = Format::Sse { envelope: Envelope::Data, named: true }.notice(&names(), &gap, 9);
        assert_eq!(sse, "id: 9\nevent: gap\ndata: {\"from\":3,\"reason\":\"pruned\",\"to\":9}\n\n");
        let line = Format::Ndjson { envelope: Envelope::Full }.notice(&names(), &gap, 9);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["data"]["from"], 3);
        assert!(value.get("seq").is_none());
    }
}
