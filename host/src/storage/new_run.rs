use std::time::Duration;

use crate::model::{Json, Labels, Lock, OnDisconnect, RunId, SignalName, TaskRef, Timestamp};

/// The run that starts another.
#[derive(Clone, Copy, Debug)]
pub struct Parent {
    /// Its number.
    pub run: i64,
    /// How many runs are above the child: 1 if the parent was started by no run.
    pub depth: u32,
    /// Whether the child goes on when it has ended.
    pub detached: bool,
}

/// Most runs that one run can start.
pub const MAX_CHILDREN: u32 = 1_000;
/// How deep children of children go. Together with the bound above and that of the
/// queue it stops bombs, not programs.
pub const MAX_DEPTH: u32 = 8;

/// A run to be kept.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its public id.
    pub id: RunId,
    /// Whether the caller chose the id: then the same id with the same body is
    /// the same run, and with another body a conflict.
    pub own_id: bool,
    /// The task to run.
    pub task: TaskRef,
    /// Its input.
    pub input: Json,
    /// The caller's labels.
    pub labels: Labels,
    /// The caller's idempotency key; unique within the task.
    pub idempotency_key: Option<String>,
    /// Of a request with a key or an id of its own: stands for all that was asked for. The
    /// same key or id with another one is another request.
    pub digest: Option<String>,
    /// The same of the texts in place of the values, as earlier versions kept it.
    pub text_digest: Option<String>,
    /// When the caller asked.
    pub created_at: Timestamp,
    /// When it may begin; none if at once.
    pub not_before: Option<Timestamp>,
    /// Whether the caller said how long it is to wait, and not until when.
    pub delayed_by: Option<Duration>,
    /// Higher goes first.
    pub priority: i32,
    /// What it must have while it is under way.
    pub locks: Vec<Lock>,
    /// Refuse if it would have to wait for one of them.
    pub fail_if_busy: bool,
    /// Set before it begins. At most [`MAX_PARAMETERS`](super::MAX_PARAMETERS), each name once.
    pub parameters: Vec<(SignalName, Json)>,
    /// The run that starts it. Refused if that has ended, or has too many.
    pub parent: Option<Parent>,
    /// What becomes of it when its last client goes away.
    pub on_disconnect: OnDisconnect,
    /// Refuse if so many runs wait already.
    pub max_queued: u64,
    /// Refuse if so many runs of the task wait already.
    pub max_queued_of_task: u64,
}

impl NewRun {
    /// A run that may start at once and needs nothing else, without any limit of the queue.
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
}
