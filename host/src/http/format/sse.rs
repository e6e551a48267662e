//! Server-sent events (HTML Living Standard, section 9.2).
//!
//! Data is one line of JSON and types have no control characters, so nothing a
//! guest sends can end a line or begin a field.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::{Envelope, EventWriter, Place};
use crate::model::{Event, NewEvent};

/// After how many milliseconds a client that lost its stream comes back. Drawn for each stream, so that those whom a
/// restart has thrown out do not all come back in one moment.
const RETRY_MS: RangeInclusive<u32> = 1000..=5000;

/// When to come back, and a comment so that proxies and clients see the stream open at once. No blank line ends it,
/// nor a heartbeat: some readers (httpx-sse) take one for an empty event.
pub(in crate::http) fn preamble() -> Bytes {
    format!("retry: {}\n: open\n", fastrand::u32(RETRY_MS)).into()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_are_thrown_out_together_come_back_one_after_the_other() {
        let mut returning = [0; 60];
        for _ in 0..1500 {
            let preamble = preamble();
            let text = std::str::from_utf8(&preamble).unwrap();
            let retry =
                text.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n: open\n")).unwrap();
            returning[retry.parse::<usize>().unwrap() / 100] += 1;
        }
        assert!(returning.iter().all(|&of_100_ms| of_100_ms <= 150), "{returning:?}");
    }
}
