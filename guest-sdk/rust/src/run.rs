//! What a run knows of itself, and what reaches it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// The facts of this attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunInfo {
    /// The run's id.
    pub id: String,
    /// The app that the task belongs to.
    pub app: String,
    /// The task's name.
    pub task: String,
    /// The SHA-256 of the file that this attempt runs on, in hexadecimal.
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

/// A message to the run.
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

    /// What it carries, read as a `T`. A `serde_json::Value` takes anything.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.payload)
            .map_err(|error| Error::json(&format!("the payload of the signal {:?}", self.name), &error))
    }
}

/// How much a [`log`](crate::Context::log) line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every detail.
    Trace,
    /// For whoever looks for a fault.
    Debug,
    /// Worth knowing.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something is wrong.
    Error,
}
