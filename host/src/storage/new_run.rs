use std::time::Duration;

use crate::model::{
    Json, Labels, Lock, OnDisconnect, Run, RunId, RunKey, RunStatus, SignalName, TaskRef, Timestamp,
};

/// The parent of a new run.
#[derive(Clone, Copy, Debug)]
pub struct Parent {
    /// Its number.
    pub run: i64,
    /// Number of the child's ancestors: 1 if the parent has no parent.
    pub depth: u32,
    /// Whether the child continues after the parent has ended.
    pub detached: bool,
}

/// Most children of one run.
pub const MAX_CHILDREN: u32 = 1_000;
/// Most ancestors of a run. With [`MAX_CHILDREN`] and the limit of the queue, it stops fork bombs, not programs.
pub const MAX_DEPTH: u32 = 8;

/// A run to be stored.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its public id.
    pub id: RunId,
    /// Whether the caller chose the id. Then a request with the same id is the same run if it is equal, and a conflict if
    /// not.
    pub own_id: bool,
    /// The task to run.
    pub task: TaskRef,
    /// Its input.
    pub input: Json,
    /// The caller's labels.
    pub labels: Labels,
    /// The caller's idempotency key; unique within the task.
    pub idempotency_key: Option<String>,
    /// Digest of a request with an idempotency key or an id of its own. The same key or id with a different digest is a
    /// conflict.
    pub digest: Option<String>,
    /// Digest of the texts instead of the values, as earlier versions of the host stored it.
    pub text_digest: Option<String>,
    /// When the caller submitted it.
    pub created_at: Timestamp,
    /// Earliest start; none for at once.
    pub not_before: Option<Timestamp>,
    /// The requested delay, if the caller gave one instead of a time.
    pub delayed_by: Option<Duration>,
    /// Higher goes first.
    pub priority: i32,
    /// Locks that it holds while it runs.
    pub locks: Vec<Lock>,
    /// Reject it if it would have to wait for one of them.
    pub fail_if_busy: bool,
    /// Parameters that are set before it begins. At most [`MAX_PARAMETERS`](super::MAX_PARAMETERS), each name once.
    pub parameters: Vec<(SignalName, Json)>,
    /// The parent run. The child is rejected if the parent has ended or has too many children.
    pub parent: Option<Parent>,
    /// Policy for when its last client disconnects.
    pub on_disconnect: OnDisconnect,
    /// Reject it if this many runs wait already.
    pub max_queued: u64,
    /// Reject it if this many runs of the task wait already.
    pub max_queued_of_task: u64,
}

impl NewRun {
    /// A run without locks, labels, parameters or delay, and without limits of the queue.
    pub fn new(id: RunId, task: TaskRef, input: Json, created_at: Timestamp) -> Self {
        Self {
            id,
            own_id: false,
            task,
            input,
            labels: Labels::new(),
            idempotency_key: None,
            digest: None,
            text_digest: None,
            created_at,
            not_before: None,
            delayed_by: None,
            priority: 0,
            locks: Vec::new(),
            fail_if_busy: false,
            parameters: Vec::new(),
            parent: None,
            on_disconnect: OnDisconnect::default(),
            max_queued: u64::MAX,
            max_queued_of_task: u64::MAX,
        }
    }

    /// The record of it while it waits, under the number that storage has given it. `waits_for`: the lock that another run
    /// holds, if there is one.
    pub(super) fn waiting(&self, no: i64, waits_for: Option<String>) -> Run {
        Run {
            key: RunKey { no, id: self.id.clone() },
            task: self.task.clone(),
            version: None,
            status: if self.not_before.is_some() { RunStatus::Delayed } else { RunStatus::Queued },
            attempt: 0,
            input: self.input.clone(),
            final_value: None,
            error: None,
            created_at: self.created_at,
            started_at: None,
            finished_at: None,
            cancel_requested_at: None,
            not_before: self.not_before,
            priority: self.priority,
            // Checked again when it is due.
            waits_for: waits_for.filter(|_| self.not_before.is_none()),
            // Read with the row; not needed before.
            parent: None,
            on_disconnect: self.on_disconnect,
            labels: self.labels.clone(),
            last_seq: None,
        }
    }
}
