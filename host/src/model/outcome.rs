use serde::Serialize;

use super::{Content, EventType, Json, NewEvent, RunError, RunStatus, Timestamp};

/// Outcome of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Succeeded with this result.
    Completed(Json),
    /// Failed with this error.
    Failed(RunError),
    /// Cancelled, with the result that the task returned within the grace time, if any.
    Cancelled(Option<Json>),
}

impl Outcome {
    /// The status of the run with this outcome.
    pub const fn status(&self) -> RunStatus {
        match self {
            Self::Completed(_) => RunStatus::Completed,
            Self::Failed(_) => RunStatus::Failed,
            Self::Cancelled(_) => RunStatus::Cancelled,
        }
    }

    /// The run's `final_value`.
    pub const fn final_value(&self) -> Option<&Json> {
        match self {
            Self::Completed(value) => Some(value),
            Self::Cancelled(value) => value.as_ref(),
            Self::Failed(_) => None,
        }
    }

    /// The run's `error`.
    pub const fn error(&self) -> Option<&RunError> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// The terminal event of the run. Its data is
    /// `{"_type":"completion","status":…}` with `final_value` or `error`.
    pub fn terminal_event(&self) -> NewEvent {
        #[derive(Serialize)]
        struct Completion<'a> {
            _type: &'static str,
            status: RunStatus,
            #[serde(skip_serializing_if = "Option::is_none")]
            final_value: Option<&'a Json>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'a RunError>,
        }
        let data = Completion {
            _type: "completion",
            status: self.status(),
            final_value: self.final_value(),
            error: self.error(),
        };
        NewEvent {
            event_type: EventType::terminal(self.status()),
            channel: None,
            content: Content::Json(Json::of(&data)),
            time: Timestamp::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ErrorKind;
    use super::*;

    #[test]
    fn the_terminal_event_carries_the_value_or_the_error() {
        let event = Outcome::Completed(Json::of(&7)).terminal_event();
        assert_eq!(event.event_type.as_str(), "run.completed");
        let Content::Json(data) = event.content else { panic!("not JSON") };
        assert_eq!(data.as_str(), r#"{"_type":"completion","status":"completed","final_value":7}"#);

        let event = Outcome::Failed(RunError::new(ErrorKind::Trap, "boom")).terminal_event();
        assert_eq!(event.event_type.as_str(), "run.failed");
        let Content::Json(data) = event.content else { panic!("not JSON") };
        let expected = r#"{"_type":"completion","status":"failed","error":{"kind":"trap","message":"boom"}}"#;
        assert_eq!(data.as_str(), expected);
    }
}
