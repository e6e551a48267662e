//! What is asked of the queue: a run to be started.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::model::{Json, Labels, OnDisconnect, Run, RunId, SignalName, TaskRef, Timestamp};
use crate::storage::Parent;

/// Label of a retried run: the id of the run that it repeats.
pub const RETRY_OF: &str = "retry-of";

/// A run to be started.
#[derive(Clone, Debug)]
pub struct Request {
    /// The task.
    pub task: TaskRef,
    /// Its input.
    pub input: Json,
    /// The caller's own id.
    pub id: Option<RunId>,
    /// The caller's labels.
    pub labels: Labels,
    /// Repeating a request with the same key returns the same run.
    pub idempotency_key: Option<String>,
    /// When it may begin; none if at once.
    pub not_before: Option<Timestamp>,
    /// The same, as a time from the start of the run; not together with `not_before`.
    pub delay: Option<Duration>,
    /// In place of the task's own.
    pub priority: Option<i32>,
    /// Parameters that it finds set.
    pub parameters: BTreeMap<SignalName, Json>,
    /// The run that starts it.
    pub parent: Option<Parent>,
    /// Exclusive resources, besides those that its task names.
    pub resources: Vec<String>,
    /// Whether it is refused if it would have to wait for one, in place of what the
    /// task says.
    pub fail_if_busy: Option<bool>,
    /// What becomes of it when its last client goes away.
    pub on_disconnect: OnDisconnect,
}

impl Request {
    /// With nothing but a task and its input.
    pub fn new(task: TaskRef, input: Json) -> Self {
        Self {
            task,
            input,
            id: None,
            labels: Labels::new(),
            idempotency_key: None,
            not_before: None,
            delay: None,
            priority: None,
            parameters: BTreeMap::new(),
            parent: None,
            resources: Vec::new(),
            fail_if_busy: None,
            on_disconnect: OnDisconnect::default(),
        }
    }

    /// Repeats an ended run: with its task, input, labels and priority.
    pub fn retry(old: Run) -> Self {
        let mut request = Self::new(old.task, old.input);
        request.labels = old.labels;
        request.labels.insert(RETRY_OF.to_owned(), old.key.id.to_string());
        request.priority = Some(old.priority);
        request
    }

    /// When it may begin, if it is started at `now`.
    pub(super) fn start_time(&self, now: Timestamp) -> Option<Timestamp> {
        let after = |delay: Duration| now.plus_millis(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX));
        self.not_before.or(self.delay.map(after)).filter(|time| *time > now)
    }

    /// Stands for everything that the caller has asked for, if a later request may have to be
    /// compared with it. A delay is what the caller said, not the time that it led to, so that
    /// the same request is the same later on. `text` stands for a value.
    pub(super) fn digest(&self, text: impl Fn(&Json) -> String) -> Option<String> {
        if self.id.is_none() && self.idempotency_key.is_none() {
            return None;
        }
        #[derive(Serialize)]
        struct Said<'a> {
            /// The value and not its text: a client that repeats itself may write it anew.
            input: String,
            labels: &'a Labels,
            not_before: Option<Timestamp>,
            delay_ms: Option<u128>,
            priority: Option<i32>,
            parameters: Vec<(&'a str, String)>,
            detached: Option<bool>,
            resources: &'a [String],
            fail_if_busy: Option<bool>,
            on_disconnect: &'static str,
        }
        let said = Said {
            input: text(&self.input),
            labels: &self.labels,
            not_before: self.not_before,
            delay_ms: self.delay.map(|delay| delay.as_millis()),
            priority: self.priority,
            parameters: self.parameters.iter().map(|(name, value)| (name.as_str(), text(value))).collect(),
            detached: self.parent.map(|parent| parent.detached),
            resources: &self.resources,
            fail_if_busy: self.fail_if_busy,
            on_disconnect: self.on_disconnect.as_str(),
        };
        let digest = Sha256::digest(Json::of(&said).as_str());
        Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_same_if_its_values_are() {
        let digest = |input: &str, level: &str| {
            let task = TaskRef::parse("demo", "counter").expect("a name");
            let mut request = Request::new(task, Json::parse(input).expect("JSON"));
            request.idempotency_key = Some("key".to_owned());
            let name = SignalName::parse("level").expect("a name");
            request.parameters.insert(name, Json::parse(level).expect("JSON"));
            request.digest(Json::canonical)
        };
        let first = digest(r#"{"a":1,"b":"x"}"#, "[1,2]");
        assert_eq!(first, digest("{ \"b\": \"\\u0078\",\n \"a\": 1 }", "[ 1, 2 ]"));
        assert_ne!(first, digest(r#"{"a":2,"b":"x"}"#, "[1,2]"));
        assert_ne!(first, digest(r#"{"a":1,"b":"x"}"#, "[2,1]"));
    }
}
