//! What clients received, what the host acknowledged, and what is stored. Plain values,
//! so that tests can construct any history.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// An event, as stored in the database.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// Its sequence number.
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

/// A run, as stored in the database.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRun {
    /// Its ID.
    pub id: String,
    /// Its status.
    pub status: String,
    /// The number of its attempts.
    pub attempt: u64,
    /// Its input: see [`Work`].
    pub input: Value,
    /// Its idempotency key.
    pub key: Option<String>,
    /// The number of its terminal event.
    pub last_seq: Option<u64>,
    /// Whether its cancellation was requested.
    pub cancel_requested: bool,
    /// Its log.
    pub events: Vec<StoredEvent>,
    /// Payloads of the queued signals.
    pub signals: Vec<Value>,
    /// Its parameters.
    pub parameters: BTreeMap<String, Value>,
    /// The locks that it holds while it runs, with their capacities.
    pub locks: Vec<(String, usize)>,
}

/// The work of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work {
    /// Its number among all started runs; part of the input, so that duplicate starts are
    /// found.
    pub nth: u64,
    /// The number of steps; none: until the parameter `stop` is set.
    pub steps: Option<u64>,
    /// Duration of a step, in milliseconds.
    pub ms: u64,
    /// Events per step.
    pub burst: u64,
    /// Whether it saves a checkpoint after each step.
    pub save: bool,
    /// Whether it receives signals.
    pub hear: bool,
    /// Attempts before this one fail with a retryable error.
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
            // For the locks of `test/lock`.
            "group": format!("group-{}", self.nth % 2), "device": format!("device-{}", self.nth % 3),
        })
    }
}

/// What the host acknowledged to a client about its run.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The work of the run.
    pub work: Work,
    /// Its idempotency key.
    pub key: Option<String>,
    /// The ID that the client chose.
    pub own_id: Option<String>,
    /// The IDs in the responses to the request and its repetitions.
    pub ids: Vec<String>,
    /// Sent signals, oldest first, and whether the host acknowledged them.
    pub signals: Vec<(u64, bool)>,
    /// Values of the parameter `level`, increasing, and whether the host acknowledged
    /// them.
    pub levels: Vec<(u64, bool)>,
    /// Sent requests by the type of the event that notes them, including those without a response.
    pub sent: BTreeMap<&'static str, u64>,
    /// Values of `level` whose request was repeated.
    pub repeated_levels: Vec<u64>,
    /// Whether `stop` was set, and the host acknowledged it.
    pub stopped: bool,
    /// Whether cancellation was requested, and whether the host acknowledged it.
    pub cancel: Option<bool>,
    /// Pauses that the host acknowledged at the first request.
    pub pauses: u64,
    /// Resumes that the host acknowledged at the first request.
    pub resumes: u64,
    /// Faults that the client itself detected.
    pub faults: Vec<String>,
}

/// The data of one connection.
#[derive(Clone, Debug)]
pub struct Sight {
    /// The client, for people.
    pub client: String,
    /// The run.
    pub run: String,
    /// The client's cursor.
    pub after: u64,
    /// The received events, in their envelopes.
    pub lines: Vec<Arc<str>>,
    /// How the connection ended.
    pub end: End,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was lost, or the client closed it.
    Broken,
    /// The host closed it.
    Over,
    /// The host closed it after it announced its shutdown.
    Closing,
    /// The host reported that nothing follows (204).
    Nothing,
}

/// All that clients received, and all acknowledgements.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The acknowledgements, by run.
    pub told: Vec<Told>,
    /// All connections.
    pub sights: Vec<Sight>,
    /// Requests without a response, which were repeated.
    pub lost_answers: u64,
    /// What readers of all runs received, one for each host.
    pub tails: Vec<Tail>,
    /// Disagreements between rows that were seen while hosts worked.
    pub row_faults: Vec<String>,
    /// How often rows were compared.
    pub row_checks: u64,
}

/// What a reader of all runs (`GET /api/events`) received at one host.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// The host.
    pub host: usize,
    /// The sequence numbers of [`TAIL_TYPES`], by run, as they came.
    pub seen: HashMap<String, Vec<u64>>,
}

/// The types of events that a reader of all runs asks for: each run has at least one.
pub const TAIL_TYPES: [&str; 4] = ["run.started", "run.completed", "run.failed", "run.cancelled"];

/// A violation of a guarantee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The run; none for the whole host.
    pub run: Option<String>,
    /// The position in its log.
    pub seq: Option<u64>,
    /// A description.
    pub what: String,
}

impl Violation {
    /// A violation of the whole host.
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
