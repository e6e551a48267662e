//! Output formats of event streams.
//!
//! A format encodes a segment once, and all subscribers that read in this format share the bytes. So an encoding never
//! depends on the subscriber.
//!
//! [`FORMATS`] is the table of all formats. Each one is an [`Encoder`] in a file of its own.

pub(super) mod lines;
mod ndjson;
mod notice;
mod raw;
mod sse;
mod writer;

use bytes::Bytes;

pub(super) use notice::Notice;
pub(super) use writer::Names;

use self::writer::{EventWriter, Numbers};
use crate::event_log::{Encoded, Segment};
use crate::model::{Content, Event, Json, NewEvent, Run};

/// Media type of server-sent events.
pub(super) const SSE: &str = "text/event-stream";
/// Media type of newline-delimited JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";
/// Media type of a run without its events.
pub(super) const JSON: &str = "application/json";
/// Media type of a run's bytes.
pub(super) const BYTES: &str = "application/octet-stream";

/// The formats in which a run can be read, in the host's order of preference: `Accept: */*` selects the first.
pub(super) static FORMATS: &[FormatInfo] = &[
    FormatInfo {
        name: "sse",
        media_type: SSE,
        aliases: &[],
        content_type: "text/event-stream; charset=utf-8",
        encoder: Some(&sse::Sse),
        is_raw: false,
        default_heartbeat: true,
    },
    FormatInfo {
        name: "ndjson",
        media_type: NDJSON,
        // Not `application/json-seq`, which has another framing.
        aliases: &[
            "application/ndjson",
            "application/jsonl",
            "application/x-jsonlines",
            "application/jsonlines",
            "application/json-lines",
            "application/stream+json",
        ],
        content_type: "application/x-ndjson; charset=utf-8",
        encoder: Some(&ndjson::Ndjson),
        is_raw: false,
        // Some clients do not skip empty lines.
        default_heartbeat: false,
    },
    FormatInfo {
        name: "json",
        media_type: JSON,
        aliases: &[],
        content_type: JSON,
        encoder: None,
        is_raw: false,
        default_heartbeat: false,
    },
    FormatInfo {
        name: "text",
        media_type: "text/plain",
        aliases: &[],
        content_type: "text/plain; charset=utf-8",
        encoder: Some(&raw::Text),
        is_raw: true,
        default_heartbeat: false,
    },
    FormatInfo {
        name: "bytes",
        media_type: BYTES,
        aliases: &[],
        content_type: BYTES,
        encoder: Some(&raw::Binary),
        is_raw: true,
        default_heartbeat: false,
    },
];

/// A row of the table of formats.
pub(super) struct FormatInfo {
    /// The value of `?format=`. Also names the format in the list of subscribers and in metrics.
    pub(super) name: &'static str,
    pub(super) media_type: &'static str,
    /// Other media types by which clients request the format.
    pub(super) aliases: &'static [&'static str],
    /// With a charset for text, because clients otherwise assume one of their own.
    content_type: &'static str,
    /// `None` for the run without its events.
    encoder: Option<&'static dyn Encoder>,
    /// Whether a body contains only output of the run. Then the host adds neither notices nor heartbeats, and a body
    /// that is incomplete has to break off.
    is_raw: bool,
    /// Whether a stream has heartbeats if the client does not choose.
    default_heartbeat: bool,
}

impl FormatInfo {
    /// Whether this is the media type of the format or an alias.
    fn has_media_type(&self, media_type: &str) -> bool {
        self.media_type == media_type || self.aliases.contains(&media_type)
    }
}

/// The `Content-Type` of a body with this media type. An alias stays as the client named it.
pub(super) fn content_type(media_type: &'static str) -> &'static str {
    let info = FORMATS.iter().find(|info| info.media_type == media_type);
    info.map_or(media_type, |info| info.content_type)
}

/// What surrounds an event's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Envelope {
    /// `{"type","data","timestamp","seq",…}`.
    Full,
    /// Nothing: the bare data.
    #[default]
    Data,
}

/// The options of a format that the client can choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) envelope: Envelope,
    /// Whether server-sent events have names. All unnamed events reach `onmessage`.
    pub(super) named: bool,
}

/// What surrounds a line of JSON that the host encodes elsewhere, such as a message that is no event.
#[derive(Default)]
pub(super) struct Frame {
    pub(super) head: String,
    pub(super) end: &'static str,
    /// Whether the id is in the head. Otherwise the client finds it only in the JSON.
    pub(super) has_id: bool,
}

/// How events are written in one format.
pub(super) trait Encoder: Sync {
    /// Append one event.
    fn event(&self, writer: &mut EventWriter<'_>, event: &NewEvent, numbers: Numbers, layout: Layout);

    /// Append a notice. A subscriber that reconnects with it resumes after the event `position`.
    fn notice(&self, _: &mut EventWriter<'_>, _notice: &NewEvent, _position: u64, _: Layout) {}

    /// Return the first bytes of a stream, which may be different for each subscriber.
    fn preamble(&self) -> Bytes {
        Bytes::new()
    }

    /// Bytes that clients skip.
    fn heartbeat(&self) -> &'static str {
        ""
    }

    /// What surrounds a line of JSON that the host encodes elsewhere.
    fn frame(&self, _id: Option<&str>, _name: &str, _: Layout) -> Frame {
        Frame::default()
    }

    /// Reset the options that this format ignores, so that subscribers who differ only in these share encodings.
    fn normalize(&self, _: Layout) -> Layout {
        Layout::default()
    }

    /// Encode events. This is the only dynamic call for a segment: it calls [`event`](Self::event) statically.
    fn encode(&self, names: &Names, events: &[Event], layout: Layout) -> Encoded {
        let capacity = events.iter().map(|event| event.what.content.len() + 256).sum();
        let mut writer = EventWriter::new(names, capacity);
        let mut ends = Vec::with_capacity(events.len());
        for event in events {
            self.event(&mut writer, &event.what, Numbers::of(event), layout);
            ends.push(writer.out.len() as u32);
        }
        Encoded::new(Bytes::from(writer.out), ends.into_boxed_slice())
    }
}

/// A format with the options that a client chose.
#[derive(Clone, Copy)]
pub(super) struct Format {
    info: &'static FormatInfo,
    encoder: &'static dyn Encoder,
    layout: Layout,
    /// Identifies format and options among the encodings of a segment.
    encoding: usize,
}

impl Format {
    /// The format of a media type or an alias. `None` if the table has no event format of this type.
    pub(super) fn of(media_type: &str, layout: Layout) -> Option<Self> {
        let row = FORMATS.iter().position(|info| info.has_media_type(media_type))?;
        let info = &FORMATS[row];
        let encoder = info.encoder?;
        let layout = encoder.normalize(layout);
        let encoding =
            4 * row + 2 * usize::from(layout.envelope == Envelope::Full) + usize::from(layout.named);
        Some(Self { info, encoder, layout, encoding })
    }

    /// Newline-delimited JSON.
    pub(super) fn ndjson(envelope: Envelope) -> Self {
        Self::of(NDJSON, Layout { envelope, named: false }).expect("NDJSON is in the table")
    }

    pub(super) fn name(self) -> &'static str {
        self.info.name
    }

    pub(super) fn media_type(self) -> &'static str {
        self.info.media_type
    }

    /// Whether a body contains only output of the run.
    pub(super) fn is_raw(self) -> bool {
        self.info.is_raw
    }

    /// Whether a stream has heartbeats if the client does not choose.
    pub(super) fn has_default_heartbeat(self) -> bool {
        self.info.default_heartbeat
    }

    /// The encoding of a segment.
    pub(super) fn segment<'a>(self, names: &Names, segment: &'a Segment) -> &'a Encoded {
        segment.encoded(self.encoding, |events| self.encode(names, events))
    }

    /// The events of a segment from index `from` on, each with its bytes.
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
        self.encoder.encode(names, events, self.layout)
    }

    /// Encode the events `first_seq` to `last.seq` as one event with their coalesced data.
    pub(super) fn coalesced(self, names: &Names, first_seq: u64, last: &Event, data: Json) -> Bytes {
        let NewEvent { event_type, channel, time, .. } = &last.what;
        let event = NewEvent {
            event_type: event_type.clone(),
            channel: channel.clone(),
            content: Content::Json(data),
            time: *time,
        };
        let mut writer = EventWriter::new(names, event.content.len() + 256);
        let numbers = Numbers { first_seq: Some(first_seq), ..Numbers::of(last) };
        self.encoder.event(&mut writer, &event, numbers, self.layout);
        Bytes::from(writer.out)
    }

    /// The first bytes of a stream, which may be different for each subscriber.
    pub(super) fn preamble(self) -> Bytes {
        self.encoder.preamble()
    }

    /// Bytes that clients skip.
    pub(super) fn heartbeat(self) -> &'static str {
        self.encoder.heartbeat()
    }

    /// What surrounds a line of JSON with this id and name, as far as the format and the client's options have these.
    pub(super) fn frame(self, id: Option<&str>, name: &str) -> Frame {
        self.encoder.frame(id, name, self.layout)
    }

    /// Encode a notice. A subscriber that reconnects with it resumes after the event `position`.
    pub(super) fn notice(self, names: &Names, notice: &Notice, position: u64) -> Bytes {
        let mut writer = EventWriter::new(names, 256);
        self.encoder.notice(&mut writer, &notice.event(), position, self.layout);
        Bytes::from(writer.out)
    }
}

/// Encodes the events of one run as lines of JSON, for an observer in this process.
pub struct EventLines {
    names: Names,
    format: Format,
}

impl EventLines {
    /// For the events of `run`.
    pub fn of(run: &Run) -> Self {
        Self { names: Names::of(run), format: Format::ndjson(Envelope::Full) }
    }

    /// Return the line that `application/x-ndjson` has for an event, without its line end.
    pub fn line(&self, event: &Event) -> Bytes {
        let encoded = self.format.encode(&self.names, std::slice::from_ref(event));
        encoded.bytes.slice(..encoded.bytes.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channel, ContentType, EventType, RunId, TaskRef, Timestamp};

    fn names() -> Names {
        Names::new(&RunId::parse("r1").unwrap(), &TaskRef::parse("demo", "counter").unwrap())
    }

    fn event(content: Content, channel: Option<&str>) -> Event {
        let what = NewEvent {
            event_type: EventType::of_guest("a\"b".to_owned()).unwrap(),
            channel: channel.and_then(|channel| Channel::of_guest(channel.to_owned()).unwrap()),
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
        let line =
            encoded(Format::ndjson(Envelope::Full), &event(Content::Json(Json::of("x\ny")), Some("c")));
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
        let content =
            Content::Bytes(ContentType::of_guest("image/png".to_owned()).unwrap(), Box::new([0, 1, 2, 255]));
        let line = encoded(Format::ndjson(Envelope::Full), &event(content.clone(), None));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["data"], &value["content_type"]), (&"AAEC/w==".into(), &"image/png".into()));
        assert_eq!(encoded(Format::ndjson(Envelope::Data), &event(content, None)), "\"AAEC/w==\"\n");
    }

    #[test]
    fn server_sent_events_have_id_name_and_data() {
        let event = event(Content::Json(Json::of(&1)), None);
        let sse = |envelope, named| encoded(Format::of(SSE, Layout { envelope, named }).unwrap(), &event);
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
        let format = Format::of(SSE, Layout { envelope: Envelope::Data, named: true }).unwrap();
        let sse = format.notice(&names(), &gap, 9);
        assert_eq!(sse, "id: 9\nevent: gap\ndata: {\"from\":3,\"reason\":\"pruned\",\"to\":9}\n\n");
        let line = Format::ndjson(Envelope::Full).notice(&names(), &gap, 9);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["data"]["from"], 3);
        assert!(value.get("seq").is_none());
    }

    #[test]
    fn each_combination_of_options_that_matter_has_its_own_encoding() {
        let mut formats: Vec<Format> = Vec::new();
        for info in FORMATS {
            for (envelope, named) in [
                (Envelope::Full, true),
                (Envelope::Full, false),
                (Envelope::Data, true),
                (Envelope::Data, false),
            ] {
                let format = Format::of(info.media_type, Layout { envelope, named });
                assert_eq!(format.is_none(), info.media_type == JSON);
                formats.extend(format);
            }
        }
        for (one, other) in formats.iter().flat_map(|one| formats.iter().map(move |other| (one, other))) {
            let is_same = (one.name(), one.layout) == (other.name(), other.layout);
            assert_eq!(one.encoding == other.encoding, is_same, "{} {}", one.name(), other.name());
        }
        let layouts = |name| {
            let mut layouts: Vec<Layout> = Vec::new();
            for format in formats.iter().filter(|format| format.name() == name) {
                if !layouts.contains(&format.layout) {
                    layouts.push(format.layout);
                }
            }
            layouts.len()
        };
        assert_eq!(["sse", "ndjson", "text", "bytes"].map(layouts), [4, 2, 1, 1]);
    }
}
