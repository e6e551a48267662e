//! Events of a run as JSON lines, as the host sends them.

use serde_json::Value;
use serde_json::value::RawValue;

use super::client::ClientError;

/// The event in a line of a stream; none for an empty line, which is a heartbeat.
pub(super) fn parse_event(line: &[u8]) -> Result<Option<Value>, ClientError> {
    if line.is_empty() {
        return Ok(None);
    }
    let event = serde_json::from_slice(line);
    event.map(Some).map_err(|error| ClientError::Broken(format!("an event is not valid JSON: {error}")))
}

/// Whether this is the terminal event of its run.
pub(super) fn is_terminal(event: &Value) -> bool {
    let terminal = matches!(event["type"].as_str(), Some("run.completed" | "run.failed" | "run.cancelled"));
    terminal && event["data"]["_type"] == "completion"
}

/// The data of an event, byte for byte: parsing would round an integer of 60 digits.
pub(super) fn raw_data(line: &[u8]) -> Option<&RawValue> {
    #[derive(serde::Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        data: Option<&'a RawValue>,
    }
    serde_json::from_slice::<Event<'_>>(line).ok()?.data
}
