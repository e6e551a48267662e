use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::{Content, EventType, Json, NewEvent, OnDisconnect, TaskRef, Timestamp, Version};
use crate::platform;

/// Most labels a run can have. Each is an index row that is written with the run.
pub const MAX_LABELS: usize = 16;
/// Longest label key or value in bytes.
pub const MAX_LABEL_BYTES: usize = 128;

/// A name breaks the rules of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 64 of the characters A-Z a-z 0-9 _ -")]
pub struct NameError;

/// A run's public name: a UUIDv7, or the caller's own `[A-Za-z0-9_-]{1,64}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Arc<str>);

impl RunId {
    /// A fresh UUIDv7: unique, and in order of time, which keeps its index compact.
    pub fn new() -> Self {
        Self(platform::fresh_uuid().to_string().into())
    }

    /// The caller's own id.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if plain && (1..=64).contains(&text.len()) { Ok(Self(text.into())) } else { Err(NameError) }
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A run as storage addresses it: its number is short and its events are stored
/// under it; its id is what the world sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunKey {
    /// Storage's own number, from 1.
    pub no: i64,
    /// The public id.
    pub id: RunId,
}

/// One start of one host. A run's owner while it is under way.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostId(Arc<str>);

impl HostId {
    /// A fresh id: a host that restarts is another owner.
    pub fn new() -> Self {
        Self(platform::fresh_uuid().to_string().into())
    }

    /// From text that storage returned.
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for HostId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Grows with every claim of a run. Storage refuses writes that carry an older
/// one, so an owner that lost its run without noticing can't add to its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub u32);

/// Where a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Waits for a free slot.
    Queued,
    /// Waits for its time: the pause before another attempt.
    Delayed,
    /// Under way on some host.
    Running,
    /// Under way, and held.
    Paused,
    /// Ended with a value.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended because someone asked for it.
    Cancelled,
}

impl RunStatus {
    /// All, in the order of a run's life.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Delayed,
        Self::Running,
        Self::Paused,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word used in JSON, SQL and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delayed => "delayed",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether the run has ended; an ended run never changes again.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What ended an attempt that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// `process` returned a failure.
    Failure,
    /// The guest trapped: a panic, an unreachable instruction, a stack overflow.
    Trap,
    /// The guest trapped after it was refused more memory.
    OutOfMemory,
    /// The attempt took longer than its task may.
    DeadlineExceeded,
    /// The attempt computed longer than its task may.
    CpuExceeded,
    /// `process` returned text that is not JSON or is too large.
    InvalidOutput,
    /// The version that the run needs could not be loaded or instantiated.
    NotLoaded,
    /// The host stopped, in order or not, while the run was under way.
    Interrupted,
    /// A fault of the host.
    Internal,
}

impl ErrorKind {
    const ALL: [Self; 9] = [
        Self::Failure,
        Self::Trap,
        Self::OutOfMemory,
        Self::DeadlineExceeded,
        Self::CpuExceeded,
        Self::InvalidOutput,
        Self::NotLoaded,
        Self::Interrupted,
        Self::Internal,
    ];

    /// The word used in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Trap => "trap",
            Self::OutOfMemory => "out-of-memory",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::CpuExceeded => "cpu-exceeded",
            Self::InvalidOutput => "invalid-output",
            Self::NotLoaded => "not-loaded",
            Self::Interrupted => "interrupted",
            Self::Internal => "internal",
        }
    }

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunError {
    /// What ended it.
    pub kind: ErrorKind,
    /// One line for people.
    pub message: String,
    /// The task's own word for the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whatever the task found worth keeping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Json>,
    /// Whether the task said that another attempt could succeed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
    /// The least time that it asked to wait before that, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
    /// The guest's call stack, innermost first, one frame a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl RunError {
    /// With a kind and a message alone.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            code: None,
            details: None,
            retryable: false,
            retry_after_ms: None,
            trace: None,
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this value.
    Completed(Json),
    /// With this error.
    Failed(RunError),
    /// By request. What the task returned within its grace time is kept.
    Cancelled(Option<Json>),
}

impl Outcome {
    /// The status that the run then has.
    pub const fn status(&self) -> RunStatus {
        match self {
            Self::Completed(_) => RunStatus::Completed,
            Self::Failed(_) => RunStatus::Failed,
            Self::Cancelled(_) => RunStatus::Cancelled,
        }
    }

    /// What is kept as the run's `final_value`.
    pub const fn final_value(&self) -> Option<&Json> {
        match self {
            Self::Completed(value) => Some(value),
            Self::Cancelled(value) => value.as_ref(),
            Self::Failed(_) => None,
        }
    }

    /// What is kept as the run's `error`.
    pub const fn error(&self) -> Option<&RunError> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// The run's last event. Its data is
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

/// What callers attach to a run to find it again.
pub type Labels = BTreeMap<String, String>;

/// Key and value of a label that is written `key:value`; none if they break the rules.
pub fn parse_label(text: &str) -> Option<(String, String)> {
    let fits = |part: &str| part.len() <= MAX_LABEL_BYTES && !part.chars().any(char::is_control);
    let (key, value) = text.split_once(':')?;
    (!key.is_empty() && fits(key) && fits(value)).then(|| (key.to_owned(), value.to_owned()))
}

/// One execution of a task with one input, as it is now.
#[derive(Clone, Debug)]
pub struct Run {
    /// Number and id.
    pub key: RunKey,
    /// The task.
    pub task: TaskRef,
    /// What the latest attempt ran on; none until one has started.
    pub version: Option<Version>,
    /// Where it is in its life.
    pub status: RunStatus,
    /// The latest attempt, from 1; 0 until one has started.
    pub attempt: u32,
    /// What it was started with.
    pub input: Json,
    /// What it returned.
    pub final_value: Option<Json>,
    /// Why it failed.
    pub error: Option<RunError>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When the first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When someone first asked to cancel it.
    pub cancel_requested_at: Option<Timestamp>,
    /// When it may begin; none if at once.
    pub not_before: Option<Timestamp>,
    /// Higher goes first.
    pub priority: i32,
    /// What it waits for that another run has; none if it waits only for its turn.
    pub waits_for: Option<String>,
    /// The run that started it.
    pub parent: Option<RunId>,
    /// What becomes of it when its last client goes away.
    pub on_disconnect: OnDisconnect,
    /// The caller's labels.
    pub labels: Labels,
    /// The `seq` of its terminal event; none while it has not ended.
    pub last_seq: Option<u64>,
}

impl Run {
    /// The bytes of what can be large: the input, and what came of it.
    pub fn size(&self) -> u64 {
        let error = self.error.as_ref().map_or(0, |error| {
            let details = error.details.as_ref().map_or(0, |details| details.as_str().len());
            error.message.len() + details + error.trace.as_ref().map_or(0, String::len)
        });
        let value = self.final_value.as_ref().map_or(0, |value| value.as_str().len());
        (self.input.as_str().len() + value + error) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_statuses_match_both_ways() {
        for status in RunStatus::ALL {
            assert_eq!(RunStatus::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

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

    #[test]
    fn an_own_id_is_safe_in_a_path() {
        assert!(RunId::parse("order-2024_17").is_ok());
        for bad in ["", "a/b", "..", "a b", "é", &"x".repeat(65)] {
            assert!(RunId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
