//! Newline-delimited JSON: one line for each event.

use super::{Envelope, EventWriter, Place};
use crate::model::{Event, NewEvent};

/// An empty line, which readers skip. Sent only to who asks for it.
pub(super) const HEARTBEAT: &str = "\n";

pub(super) fn event(writer: &mut EventWriter<'_>, event: &Event, envelope: Envelope) {
    placed(writer, &event.what, Place::of(event), envelope);
}

pub(super) fn placed(writer: &mut EventWriter<'_>, what: &NewEvent, place: Place, envelope: Envelope) {
    writer.body(what, Some(place), envelope);
    writer.text("\n");
}

pub(super) fn notice(writer: &mut EventWriter<'_>, what: &NewEvent, envelope: Envelope) {
    writer.body(what, None, envelope);
    writer.text("\n");
}
