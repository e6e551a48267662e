//! Newline-delimited JSON: one line for each event.

use super::{Envelope, EventWriter};
use crate::model::{Event, NewEvent};

/// An empty line, which readers skip. Sent only to who asks for it.
pub(super) const HEARTBEAT: &str = "\n";

pub(super) fn event(writer: &mut EventWriter<'_>, event: &Event, envelope: Envelope) {
    writer.body(&event.what, Some((event.seq, event.attempt)), envelope);
    writer.text("\n");
}

pub(super) fn notice(writer: &mut EventWriter<'_>, what: &NewEvent, envelope: Envelope) {
    writer.body(what, None, envelope);
    writer.text("\n");
}
