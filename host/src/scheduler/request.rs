//! A request to start a run.

use std::collections::BTreeMap;
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::model::{Input, Json, Labels, OnDisconnect, Run, RunId, SignalName, TaskRef, Timestamp};
use crate::storage::Parent;

/// Label of a retried run: the id of the run that it repeats.
pub const RETRY_OF: &str = "retry-of";

/// A request to start a run.
#[derive(Clone, Debug)]
pub struct Request {
    /// The task.
    pub task: TaskRef,
    /// Its input.
    pub input: Input,
    /// The caller's own id.
    pub id: Option<RunId>,
    /// The caller's labels.
    pub labels: Labels,
    /// Repeating a request with the same key returns the same run.
    pub idempotency_key: Option<String>,
    /// Earliest start; none for at once.
    pub not_before: Option<Timestamp>,
    /// Earliest start as a delay from now; excludes `not_before`.
    pub delay: Option<Duration>,
    /// Overrides the priority of the task.
    pub priority: Option<i32>,
    /// Parameters that are set before it starts.
    pub parameters: BTreeMap<SignalName, Json>,
    /// The parent run.
    pub parent: Option<Parent>,
    /// Exclusive resources to lock, in addition to those of the task.
    pub resources: Vec<String>,
    /// Whether to reject the run if it would have to wait for a lock. Overrides the setting of the task.
    pub fail_if_busy: Option<bool>,
    /// Policy for when its last client disconnects.
    pub on_disconnect: OnDisconnect,
}

/// What the digest of a request covers.
#[derive(Clone, Copy)]
pub(super) enum DigestOf {
    /// The values, which a client may format differently when it repeats the request.
    Values,
    /// The texts, as in digests of earlier versions.
    Texts,
}

impl Request {
    /// A request with defaults for everything but the task and its input.
    pub fn new(task: TaskRef, input: impl Into<Input>) -> Self {
        Self {
            task,
            input: input.into(),
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

    /// Makes this the retry of an ended run: with its labels and priority where the request has none of its own.
    pub fn retrying(mut self, old: &Run) -> Self {
        let mut labels = old.labels.clone();
        labels.append(&mut self.labels);
        labels.insert(RETRY_OF.to_owned(), old.key.id.to_string());
        self.labels = labels;
        self.priority = self.priority.or(Some(old.priority));
        self
    }

    /// Earliest start if the run is submitted at `now`; none for at once.
    pub(super) fn start_time(&self, now: Timestamp) -> Option<Timestamp> {
        let after = |delay: Duration| now.plus_millis(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX));
        self.not_before.or(self.delay.map(after)).filter(|time| *time > now)
    }

    /// Digest of the whole request, if a later one may have to be compared with it. It covers the delay as requested,
    /// not the resulting time, so that a repeated request has the same digest.
    pub(super) fn digest(&self, of: DigestOf) -> Option<String> {
        if self.id.is_none() && self.idempotency_key.is_none() {
            return None;
        }
        #[derive(Serialize)]
        struct Digested<'a> {
            /// The value, not its text: a client may format it differently when it repeats the request.
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
        let text = |value: &Json| match of {
            DigestOf::Values => value.canonical(),
            DigestOf::Texts => value.as_str().to_owned(),
        };
        let digested = Digested {
            input: match of {
                DigestOf::Values => self.input.canonical(),
                DigestOf::Texts => self.input.as_str().to_owned(),
            },
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
        Some(HEXLOWER.encode(&Sha256::digest(Json::of(&digested).as_str())))
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
            request.digest(DigestOf::Values)
        };
        let first = digest(r#"{"a":1,"b":"x"}"#, "[1,2]");
        assert_eq!(first, digest("{ \"b\": \"\\u0078\",\n \"a\": 1 }", "[ 1, 2 ]"));
        assert_ne!(first, digest(r#"{"a":2,"b":"x"}"#, "[1,2]"));
        assert_ne!(first, digest(r#"{"a":1,"b":"x"}"#, "[2,1]"));
    }
}
