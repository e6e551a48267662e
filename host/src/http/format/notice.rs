//! Notices: messages about a stream that are not in the log and have no number.

use crate::model::{Content, EventType, GAP, Json, NewEvent, Timestamp};

/// A message to one subscriber about its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Notice {
    /// The events with these numbers are no longer stored.
    Gap { from: u64, to: u64 },
    /// The run was removed, with all events from this number on.
    Removed { from: u64 },
    /// The log never had the position that the subscriber sent. The subscriber gets all events from the first one on.
    UnknownPosition { requested: String },
    /// The host is stopping. The run continues later or elsewhere, and the subscriber can reconnect with its last
    /// position.
    Closing,
}

impl Notice {
    /// The event type of the notice.
    pub(in crate::http) fn event_type(&self) -> &'static str {
        match self {
            Self::Gap { .. } | Self::Removed { .. } | Self::UnknownPosition { .. } => GAP,
            Self::Closing => "run.stream-closing",
        }
    }

    pub(super) fn event(&self) -> NewEvent {
        let gap = |data: serde_json::Value| NewEvent {
            event_type: EventType::gap(),
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
