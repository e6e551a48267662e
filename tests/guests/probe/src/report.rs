//! Progress, as defined by a test.

use serde_json::Value;

use super::Failure;
use super::streamtask::task::{control, events};

/// Does `steps`, each of `{"progress": DATA}`, `{"sleep_ms": N}`, `{"flood": N}` (so many events
/// of another type) or `{"await": NAME}` (a signal).
pub fn report(input: &Value) -> Result<String, Failure> {
    for step in input["steps"].as_array().into_iter().flatten() {
        if !step["progress"].is_null() {
            super::send("progress", &step["progress"]);
        }
        if let Some(ms) = step["sleep_ms"].as_u64() {
            control::sleep_ms(ms as u32);
        }
        for n in 0..step["flood"].as_u64().unwrap_or(0) {
            events::send_event("flood", &n.to_string()).map_err(|error| super::failure(&error.message))?;
        }
        if let Some(name) = step["await"].as_str() {
            control::receive_signal(Some(name), None);
        }
    }
    Ok("null".to_owned())
}
