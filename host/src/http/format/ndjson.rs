//! Newline-delimited JSON: one line for each event.

use super::writer::{EventWriter, Numbers};
use super::{Encoder, Frame, Layout};
use crate::model::NewEvent;

/// The encoder of `application/x-ndjson`.
pub(super) struct Ndjson;

impl Encoder for Ndjson {
    fn event(&self, writer: &mut EventWriter<'_>, event: &NewEvent, numbers: Numbers, layout: Layout) {
        writer.body(event, Some(numbers), layout.envelope);
        writer.text("\n");
    }

    fn notice(&self, writer: &mut EventWriter<'_>, notice: &NewEvent, _position: u64, layout: Layout) {
        writer.body(notice, None, layout.envelope);
        writer.text("\n");
    }

    /// An empty line, which most clients skip.
    fn heartbeat(&self) -> &'static str {
        "\n"
    }

    fn frame(&self, _id: Option<&str>, _name: &str, _: Layout) -> Frame {
        Frame { end: "\n", ..Frame::default() }
    }

    fn normalize(&self, layout: Layout) -> Layout {
        Layout { named: false, ..layout }
    }
}
