use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Json, NameError, OnDisconnect, RunError, RunStatus, TaskRef, Timestamp, Version};
use crate::platform;

/// Most labels a run can have. Each is an index row that is written with the run.
pub const MAX_LABELS: usize = 16;
/// Longest label key or value in bytes.
pub const MAX_LABEL_BYTES: usize = 128;

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
    fn an_own_id_is_safe_in_a_path() {
        assert!(RunId::parse("order-2024_17").is_ok());
        for bad in ["", "a/b", "..", "a b", "é", &"x".repeat(65)] {
            assert!(RunId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
