use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Json, NameError, OnDisconnect, Outcome, RunError, RunStatus, TaskRef, Timestamp, Version};
use crate::platform;

/// Most labels of a run. Each is a row of an index that is written with the run.
pub const MAX_LABELS: usize = 16;
/// Longest label key or value in bytes.
pub const MAX_LABEL_BYTES: usize = 128;

/// Public id of a run: a UUIDv7, or the caller's own `[A-Za-z0-9_-]{1,64}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Arc<str>);

impl RunId {
    /// A new UUIDv7: unique, and ordered by time, which keeps its index compact.
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

/// Key of a run: storage's number, under which its events are stored, and the public id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunKey {
    /// Storage's own number, from 1.
    pub no: i64,
    /// The public id.
    pub id: RunId,
}

/// Identifies one start of a host. The owner of a running run.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostId(Arc<str>);

impl HostId {
    /// A new id: a host that restarts is another owner.
    pub fn new() -> Self {
        Self(platform::fresh_uuid().to_string().into())
    }

    /// The id that another host has made, as it is stored.
    pub fn from_stored(text: &str) -> Self {
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

/// Fencing token: grows with every claim of a run. Storage rejects writes with an older one, so an owner that lost its run
/// without noticing can't write to it.
///
/// Opaque to all but backends of storage, which make one for each claim. Fences of one run are ordered by their number.
#[derive(Clone, Copy, Debug)]
pub struct Fence {
    n: u32,
    /// Storage's number of the host that made the claim: storage also rejects the writes of a host that was declared dead.
    owner: i64,
}

impl Fence {
    /// For backends of storage: the fence of claim `n` of a run, made by the host that storage numbers `owner`.
    pub const fn of_claim(n: u32, owner: i64) -> Self {
        Self { n, owner }
    }

    /// For backends of storage: which claim of the run this is.
    pub const fn number(self) -> u32 {
        self.n
    }

    /// For backends of storage: its number of the host that made the claim.
    pub const fn owner(self) -> i64 {
        self.owner
    }
}

impl PartialEq for Fence {
    fn eq(&self, other: &Self) -> bool {
        self.n == other.n
    }
}

impl Eq for Fence {}

impl PartialOrd for Fence {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Fence {
    fn cmp(&self, other: &Self) -> Ordering {
        self.n.cmp(&other.n)
    }
}

/// Labels of a run, for finding it again.
pub type Labels = BTreeMap<String, String>;

/// Key and value of a label that is written `key:value`; none if they break the rules.
pub fn parse_label(text: &str) -> Option<(String, String)> {
    let fits = |part: &str| part.len() <= MAX_LABEL_BYTES && !part.chars().any(char::is_control);
    let (key, value) = text.split_once(':')?;
    (!key.is_empty() && fits(key) && fits(value)).then(|| (key.to_owned(), value.to_owned()))
}

/// One execution of a task with one input, in its current state.
#[derive(Clone, Debug)]
pub struct Run {
    /// Number and id.
    pub key: RunKey,
    /// The task.
    pub task: TaskRef,
    /// The version of the latest attempt; none before the first.
    pub version: Option<Version>,
    /// The status.
    pub status: RunStatus,
    /// The latest attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// The input.
    pub input: Json,
    /// The result.
    pub final_value: Option<Json>,
    /// The error, if it failed.
    pub error: Option<RunError>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When the first attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When its cancellation was first requested.
    pub cancel_requested_at: Option<Timestamp>,
    /// Earliest start; none for at once.
    pub not_before: Option<Timestamp>,
    /// Higher goes first.
    pub priority: i32,
    /// The lock that it waits for; none if it waits for a slot only.
    pub waits_for: Option<String>,
    /// The parent run.
    pub parent: Option<RunId>,
    /// Policy for when its last client disconnects.
    pub on_disconnect: OnDisconnect,
    /// The caller's labels.
    pub labels: Labels,
    /// The `seq` of its terminal event; none while it has not ended.
    pub last_seq: Option<u64>,
}

impl Run {
    /// Size in bytes of the parts that can be large: the input, and the result or error.
    pub fn size(&self) -> u64 {
        let error = self.error.as_ref().map_or(0, |error| {
            let details = error.details.as_ref().map_or(0, |details| details.as_str().len());
            error.message.len() + details + error.trace.as_ref().map_or(0, String::len)
        });
        let value = self.final_value.as_ref().map_or(0, |value| value.as_str().len());
        (self.input.as_str().len() + value + error) as u64
    }

    /// How it ended; none if it has not.
    pub fn into_outcome(self) -> Option<Outcome> {
        match (self.status, self.final_value, self.error) {
            (RunStatus::Completed, Some(value), _) => Some(Outcome::Completed(value)),
            (RunStatus::Failed, _, Some(error)) => Some(Outcome::Failed(error)),
            (RunStatus::Cancelled, value, _) => Some(Outcome::Cancelled(value)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_id_is_safe_in_a_path() {
        assert!(RunId::parse("order-2024_17").is_ok());
        for bad in ["", "a/b", "..", "a b", "é", &"x".repeat(65)] {
            assert!(RunId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
