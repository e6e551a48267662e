//! What clients saw, what they were told, and what is stored. Plain values, so
//! that a test can make any history up.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// One event, as it stands in the database.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Its number.
    pub seq: u64,
    /// The attempt that sent it.
    pub attempt: u64,
    /// Its time in milliseconds since 1970.
    pub time: i64,
    /// Its type.
    pub kind: String,
    /// Its data.
    pub data: Value,
}

/// One run, as it stands in the database.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRun {
    /// Its id.
    pub id: String,
    /// How it stands.
    pub status: String,
    /// How many attempts it had.
    pub attempt: u64,
    /// Its input: see [`Work`].
    pub input: Value,
    /// Its idempotency key.
    pub key: Option<String>,
    /// The number of its terminal event.
    pub last_seq: Option<u64>,
    /// Whether someone asked to cancel it.
    pub cancel_requested: bool,
    /// Its log.
    pub events: Vec<StoredEvent>,
    /// Payloads of the signals that wait.
    pub signals: Vec<Value>,
    /// Its parameters.
    pub parameters: BTreeMap<String, Value>,
}

/// What a run was started to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    /// Its number among all that clients started; in the input, so that a run
    /// that was started twice is found.
    pub nth: u64,
    /// Steps; none: until the parameter `stop` is set.
    pub steps: Option<u64>,
    /// Length of a step in milliseconds.
    pub ms: u64,
    /// Events of each step.
    pub burst: u64,
    /// Whether it saves a checkpoint after each step.
    pub save: bool,
    /// Whether it takes signals.
    pub hear: bool,
    /// Attempts below this one fail, and may be tried again.
    pub fail_before: u64,
    /// Whether it fails in the end.
    pub fail: bool,
    /// Attempts that the task's policy allows.
    pub attempts: u64,
}

impl Work {
    /// As the task's input.
    pub fn input(&self) -> Value {
        serde_json::json!({
            "do": "work", "nth": self.nth, "steps": self.steps.unwrap_or(0), "until_stop": self.steps.is_none(),
            "ms": self.ms, "burst": self.burst, "save": self.save, "hear": self.hear,
            "fail_before": self.fail_before, "fail": self.fail,
        })
    }
}

/// What one client was told about the run that it started.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// What it started.
    pub work: Work,
    /// Its idempotency key.
    pub key: Option<String>,
    /// Its own id.
    pub own_id: Option<String>,
    /// The ids that the answers to the request and its repeats had.
    pub ids: Vec<String>,
    /// Signals sent, oldest first, and whether the host said so.
    pub signals: Vec<(u64, bool)>,
    /// Values of the parameter `level`, rising, and whether the host said so.
    pub levels: Vec<(u64, bool)>,
    /// Whether `stop` was set, and the host said so.
    pub stopped: bool,
    /// Whether it was asked to cancel; whether the host said that it would.
    pub cancel: Option<bool>,
    /// Pauses that the host said yes to at the first time of asking.
    pub pauses: u64,
    /// The same for being let go on.
    pub resumes: u64,
    /// What the client saw at once that can't be.
    pub faults: Vec<String>,
}

/// What one connection brought.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Which client, for people.
    pub client: String,
    /// The run.
    pub run: String,
    /// The position that the client came with.
    pub after: u64,
    /// The events as they came, in their envelopes.
    pub lines: Vec<Arc<str>>,
    /// How it ended.
    pub end: End,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It broke, or the client left.
    Broken,
    /// The host ended it in order.
    Over,
    /// The same, and said before that it stops.
    Closing,
    /// The host said that there is nothing more (204).
    Nothing,
}

/// All that clients saw and were told.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What each run's client was told.
    pub told: Vec<Told>,
    /// Every connection.
    pub sights: Vec<Sight>,
    /// Requests that got no answer and were repeated.
    pub lost_answers: u64,
}

/// Something that was promised and did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The run; none for the host as a whole.
    pub run: Option<String>,
    /// Where in its log.
    pub seq: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl Violation {
    /// Of the host as a whole.
    pub fn of_host(what: impl Into<String>) -> Self {
        Self { run: None, seq: None, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.run, self.seq) {
            (Some(run), Some(seq)) => write!(f, "run {run}, event {seq}: {}", self.what),
            (Some(run), None) => write!(f, "run {run}: {}", self.what),
            _ => write!(f, "{}", self.what),
        }
    }
}
