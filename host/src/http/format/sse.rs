//! Server-sent events (HTML Living Standard, section 9.2).
//!
//! Data is one line of JSON and types have no control characters, so nothing a
//! guest sends can end a line or begin a field.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::writer::{EventWriter, Numbers};
use super::{Encoder, Frame, Layout};
use crate::model::NewEvent;

/// Delay in milliseconds before a client reconnects. Random for each stream, so that clients do not all reconnect at once
/// after a restart.
const RETRY_MS: RangeInclusive<u32> = 1000..=5000;

/// The end of an event after its data.
const FRAME_END: &str = "\n\n";

/// The encoder of `text/event-stream`.
pub(super) struct Sse;

impl Encoder for Sse {
    fn event(&self, writer: &mut EventWriter<'_>, event: &NewEvent, numbers: Numbers, layout: Layout) {
        frame(writer, event, numbers.seq, Some(numbers), layout);
    }

    fn notice(&self, writer: &mut EventWriter<'_>, notice: &NewEvent, position: u64, layout: Layout) {
        frame(writer, notice, position, None, layout);
    }

    /// The reconnection delay, and a comment so that proxies and clients see at once that the stream is open. No blank
    /// line ends it, nor a heartbeat: some clients (httpx-sse) would read an empty event.
    fn preamble(&self) -> Bytes {
        format!("retry: {}\n: open\n", fastrand::u32(RETRY_MS)).into()
    }

    fn heartbeat(&self) -> &'static str {
        ": alive\n"
    }

    fn frame(&self, id: Option<&str>, name: &str, layout: Layout) -> Frame {
        let mut head = String::new();
        for (field, value) in [("id: ", id), ("event: ", layout.named.then_some(name))] {
            if let Some(value) = value {
                head.extend([field, value, "\n"]);
            }
        }
        head.push_str("data: ");
        Frame { head, end: FRAME_END, has_id: id.is_some() }
    }

    fn normalize(&self, layout: Layout) -> Layout {
        layout
    }
}

fn frame(writer: &mut EventWriter<'_>, event: &NewEvent, id: u64, numbers: Option<Numbers>, layout: Layout) {
    writer.text("id: ");
    writer.number(id);
    if layout.named {
        writer.text("\nevent: ");
        writer.text(event.event_type.as_str());
    }
    writer.text("\ndata: ");
    writer.body(event, numbers, layout.envelope);
    writer.text(FRAME_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disconnected_clients_reconnect_spread_over_time() {
        let mut returning = [0; 60];
        for _ in 0..1500 {
            let preamble = Sse.preamble();
            let text = std::str::from_utf8(&preamble).unwrap();
            let retry =
                text.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n: open\n")).unwrap();
            returning[retry.parse::<usize>().unwrap() / 100] += 1;
        }
        assert!(returning.iter().all(|&of_100_ms| of_100_ms <= 150), "{returning:?}");
    }
}
