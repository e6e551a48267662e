//! Server-sent events (HTML Living Standard, section 9.2).
//!
//! Data is one line of JSON and types have no control characters, so nothing a
//! guest sends can end a line or begin a field.

use super::{Envelope, EventWriter, Place};
use crate::model::{Event, NewEvent};

/// Time after which a client that lost the stream comes back, and a comment so
/// that proxies and clients see the stream open at once. No blank line ends it, nor a
/// sign of life: some readers (httpx-sse) make an empty event of one.
pub(in crate::http) const PREAMBLE: &str = "retry: 2000\n: open\n";
pub(in crate::http) const HEARTBEAT: &str = ": alive\n";

pub(super) fn event(writer: &mut EventWriter<'_>, event: &Event, envelope: Envelope, named: bool) {
    placed(writer, &event.what, Place::of(event), envelope, named);
}

pub(super) fn placed(
    writer: &mut EventWriter<'_>,
    what: &NewEvent,
    place: Place,
    envelope: Envelope,
    named: bool,
) {
    frame(writer, what, place.seq, named, |writer| writer.body(what, Some(place), envelope));
}

pub(super) fn notice(
    writer: &mut EventWriter<'_>,
    what: &NewEvent,
    position: u64,
    envelope: Envelope,
    named: bool,
) {
    frame(writer, what, position, named, |writer| writer.body(what, None, envelope));
}

fn frame(
    writer: &mut EventWriter<'_>,
    what: &NewEvent,
    id: u64,
    named: bool,
    data: impl FnOnce(&mut EventWriter<'_>),
) {
    writer.text("id: ");
    writer.number(id);
    if named {
        writer.text("\nevent: ");
        writer.text(what.event_type.as_str());
    }
    writer.text("\ndata: ");
    data(writer);
    writer.text("\n\n");
}
