//! Writing events: numbers, strings, data, envelopes.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Envelope, lines};
use crate::model::{Content, Event, NewEvent, Run, RunId, TaskRef, Timestamp};

/// The members of an envelope that all events of a run have in common, as text: `"_task_id":…,"_app":…,"_model":…}`.
pub(in crate::http) struct Names(Box<str>);

impl Names {
    pub(in crate::http) fn of(run: &Run) -> Self {
        Self::new(&run.key.id, &run.task)
    }

    /// The members of a notice that concerns no single run.
    pub(in crate::http) fn none() -> Self {
        Self(r#""_task_id":null,"_app":null,"_model":null}"#.into())
    }

    pub(in crate::http) fn new(id: &RunId, TaskRef { app, task }: &TaskRef) -> Self {
        // Ids and names consist of characters that need no escaping.
        Self(format!(r#""_task_id":"{id}","_app":"{app}","_model":"{task}"}}"#).into_boxed_str())
    }
}

/// The numbers of an event.
#[derive(Clone, Copy)]
pub(in crate::http) struct Numbers {
    pub(super) seq: u64,
    pub(super) attempt: u32,
    /// The number of the first event, if this one coalesces several.
    pub(super) first_seq: Option<u64>,
}

impl Numbers {
    pub(super) fn of(event: &Event) -> Self {
        Self { seq: event.seq, attempt: event.attempt, first_seq: None }
    }
}

/// Writes events one after the other.
pub(in crate::http) struct EventWriter<'a> {
    pub(super) out: Vec<u8>,
    names: &'a Names,
    /// The time formatted last: many events share a millisecond.
    clock: (Timestamp, String),
}

impl<'a> EventWriter<'a> {
    pub(super) fn new(names: &'a Names, capacity: usize) -> Self {
        let epoch = Timestamp::from_millis(0);
        Self { out: Vec::with_capacity(capacity), names, clock: (epoch, epoch.to_string()) }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    pub(super) fn number(&mut self, number: u64) {
        self.text(itoa::Buffer::new().format(number));
    }

    pub(super) fn quoted(&mut self, text: &str) {
        serde_json::to_writer(&mut self.out, text).expect("writing to memory can't fail");
    }

    pub(super) fn time(&mut self, time: Timestamp) {
        if self.clock.0 != time {
            self.clock.0 = time;
            self.clock.1.clear();
            write!(self.clock.1, "{time}").expect("writing to memory can't fail");
        }
        self.out.extend_from_slice(self.clock.1.as_bytes());
    }

    /// Write the data alone: JSON, or bytes as a base64 string.
    pub(super) fn data(&mut self, content: &Content) {
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

    /// Write the data in its envelope. Notices have no numbers.
    fn enveloped(&mut self, event: &NewEvent, numbers: Option<Numbers>) {
        self.text(r#"{"type":"#);
        self.quoted(event.event_type.as_str());
        self.text(r#","data":"#);
        self.data(&event.content);
        if let Content::Bytes(content_type, _) = &event.content {
            self.text(r#","content_type":"#);
            self.quoted(content_type.as_str());
        }
        if let Some(channel) = &event.channel {
            self.text(r#","channel":"#);
            self.quoted(channel.as_str());
        }
        self.text(r#","timestamp":""#);
        self.time(event.time);
        self.text("\",");
        if let Some(Numbers { seq, attempt, first_seq }) = numbers {
            self.text(r#""seq":"#);
            self.number(seq);
            if let Some(first_seq) = first_seq {
                self.text(r#","first_seq":"#);
                self.number(first_seq);
            }
            self.text(r#","attempt":"#);
            self.number(attempt.into());
            self.text(",");
        }
        self.text(&self.names.0);
    }

    pub(super) fn body(&mut self, event: &NewEvent, numbers: Option<Numbers>, envelope: Envelope) {
        match envelope {
            Envelope::Full => self.enveloped(event, numbers),
            Envelope::Data => self.data(&event.content),
        }
    }
}
