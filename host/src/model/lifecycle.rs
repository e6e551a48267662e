//! The events by which the host reports the life of a run, except the terminal one ([`Outcome`](super::Outcome)).

use std::time::Duration;

use super::{Content, EventType, Json, NewEvent, Run, RunError, SignalName, Timestamp, Version};

impl NewEvent {
    /// A log line from the host.
    pub fn log(message: &str) -> Self {
        Self {
            event_type: EventType::log(),
            channel: None,
            content: Content::Json(Json::of(&serde_json::json!({ "stream": "host", "message": message }))),
            time: Timestamp::now(),
        }
    }

    /// `run.queued`: the run waits for a slot, or for a lock.
    pub fn queued(waits_for: Option<&str>) -> Self {
        match waits_for {
            Some(name) => Self::of_host("queued", &serde_json::json!({ "waits_for": name })),
            None => Self::of_host("queued", &serde_json::json!({})),
        }
    }

    /// `run.delayed`: the run waits until a time, or for a delay if that was requested.
    pub fn delayed(not_before: Timestamp, delay: Option<Duration>) -> Self {
        let mut data = serde_json::json!({ "not_before": not_before });
        if let Some(delay) = delay {
            data["delay_ms"] = serde_json::json!(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        }
        Self::of_host("delayed", &data)
    }

    /// `run.started`: an attempt begins, with a version.
    pub fn started(attempt: u32, version: Option<&Version>) -> Self {
        Self::of_host("started", &serde_json::json!({ "attempt": attempt, "version": version }))
    }

    /// `run.retrying`: `attempt` will follow because of `reason`, not before the given time.
    pub fn retrying(attempt: u32, reason: &RunError, not_before: Option<Timestamp>) -> Self {
        let mut data = serde_json::json!({ "attempt": attempt, "error": reason });
        if let Some(time) = not_before {
            data["not_before"] = serde_json::json!(time);
        }
        Self::of_host("retrying", &data)
    }

    /// `run.child`: the run has started a child run.
    pub fn child(run: &Run) -> Self {
        Self::of_host(
            "child",
            &serde_json::json!({ "run": run.key.id.as_str(), "task": run.task.to_string() }),
        )
    }

    /// `run.paused`: the run is paused.
    pub fn paused() -> Self {
        Self::of_host("paused", &serde_json::json!({}))
    }

    /// `run.resumed`: the run is resumed.
    pub fn resumed() -> Self {
        Self::of_host("resumed", &serde_json::json!({}))
    }

    /// `run.signal`: a signal was sent to the run. The payload is not logged.
    pub fn signalled(name: &SignalName) -> Self {
        Self::of_host("signal", &serde_json::json!({ "name": name.as_str() }))
    }

    /// `run.parameter`: a parameter of the run was set.
    pub fn parameter(name: &SignalName, value: &Json) -> Self {
        Self::of_host("parameter", &serde_json::json!({ "name": name.as_str(), "value": value }))
    }
}
