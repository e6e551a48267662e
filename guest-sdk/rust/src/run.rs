//! Information about the run, signals, and log levels.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// Information about the current attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunInfo {
    /// The run's ID.
    pub id: String,
    /// The app that the task belongs to.
    pub app: String,
    /// The task's name.
    pub task: String,
    /// The task's version: the SHA-256 of its file, in hexadecimal.
    pub version: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The labels given when the run was started.
    pub labels: Vec<(String, String)>,
}

impl RunInfo {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A message that a client sent to the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    pub(crate) name: String,
    /// JSON.
    pub(crate) payload: String,
}

impl Signal {
    /// The signal's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The payload, as a `T`. `serde_json::Value` accepts any payload.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.payload)
            .map_err(|error| Error::json(&format!("the payload of the signal {:?}", self.name), &error))
    }
}

/// The level of a [`log`](crate::Context::log) message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every detail.
    Trace,
    /// For debugging.
    Debug,
    /// Worth knowing.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something is wrong.
    Error,
}
