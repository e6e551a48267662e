//! The outcome of a run: printed, and turned into an exit code.

use std::io::Write as _;

use serde_json::Value;
use serde_json::value::RawValue;

use super::Exit;
use super::client::ClientError;
use super::stream_event::raw_data;
use crate::process::plain_json;

/// How a run ended, according to its terminal event or its record.
#[derive(Debug, serde::Deserialize)]
pub(super) struct RunOutcome {
    status: String,
    #[serde(default)]
    error: Option<Value>,
    /// Byte for byte as the host sent it.
    #[serde(default)]
    final_value: Option<Box<RawValue>>,
}

impl RunOutcome {
    /// Parses a run's record, or the data of its terminal event.
    pub(super) fn parse(text: &str) -> Result<Self, ClientError> {
        serde_json::from_str(text).map_err(|error| {
            ClientError::Broken(format!("the response of the host has no outcome of the run: {error}"))
        })
    }

    /// The outcome in the line of a terminal event.
    pub(super) fn of_event(line: &[u8]) -> Result<Self, ClientError> {
        Self::parse(raw_data(line).map_or("null", RawValue::get))
    }

    /// Prints the run's result, unless the events went to stdout; returns the exit of the command.
    pub(super) fn conclude(&self, printed_events: bool) -> Result<(), Exit> {
        if let Some(value) = self.final_value.as_ref().filter(|_| !printed_events) {
            writeln!(std::io::stdout().lock(), "{}", plain_json(value.get()))?;
        }
        self.exit()
    }

    /// The exit of a command that followed the run.
    pub(super) fn exit(&self) -> Result<(), Exit> {
        match self.status.as_str() {
            "failed" => {
                let field = |name: &str| self.error.as_ref().and_then(|error| error[name].as_str());
                let kind = field("kind").unwrap_or("failure");
                let message = field("message").unwrap_or_default();
                Err(Exit::RunFailed(format!("the run failed ({kind}): {message}")))
            }
            "cancelled" => Err(Exit::RunCancelled("the run was cancelled".to_owned())),
            _ => Ok(()),
        }
    }
}
