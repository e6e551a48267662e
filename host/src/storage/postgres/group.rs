//! What a lane is asked to write.

use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::oneshot;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::model::{Event, Fence, NewEvent, Outcome, Timestamp};
use crate::storage::{Batch, Outbox, Result, StorageError};

/// A value of a statement.
pub(super) type Parameter = Box<dyn ToSql + Sync + Send>;

/// Handling of a write while the database is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// It is rejected, unless it may have been carried out: then the caller waits until that is known.
    Once,
    /// It is retried until it succeeds.
    UntilDone,
}

/// A command for a lane.
pub(super) enum Command {
    /// Append the events of an outbox.
    Append(Append),
    /// End a run, or requeue it.
    End(End),
    /// Store a new run.
    Submit(Submit),
    /// Call one function that passes the gate.
    Call(Call),
    /// A statement without a gate, which may be repeated.
    Plain(Plain),
    /// Carry out what is pending, then end.
    Close,
}

impl Command {
    /// Rejects the command.
    pub(super) fn refuse(self, error: &StorageError) {
        // The caller may be gone.
        match self {
            Self::Append(append) => append.outbox.done(Err(error.clone())),
            Self::End(end) => drop(end.answer.send(Err(error.clone()))),
            Self::Submit(submit) => drop(submit.answer.send(Err(error.clone()))),
            Self::Call(call) => drop(call.answer.send(Err(error.clone()))),
            Self::Plain(plain) => drop(plain.answer.send(Err(error.clone()))),
            Self::Close => {}
        }
    }

    /// Whether the lane has to retry the command, because the caller won't.
    pub(super) fn must_be_done(&self) -> bool {
        match self {
            Self::Append(_) | Self::End(_) => true,
            Self::Call(call) => call.urgency == Urgency::UntilDone,
            Self::Plain(plain) => plain.urgency == Urgency::UntilDone,
            Self::Submit(_) | Self::Close => false,
        }
    }

    /// The run whose order of writes it belongs to.
    pub(super) fn run(&self) -> Option<i64> {
        match self {
            Self::Append(append) => Some(append.outbox.run()),
            Self::End(end) => Some(end.run),
            Self::Call(call) => call.run,
            Self::Submit(_) | Self::Plain(_) | Self::Close => None,
        }
    }
}

/// Append of the events of one run.
pub(super) struct Append {
    pub(super) outbox: Arc<dyn Outbox>,
    /// Kept from when the events are taken until they are durable.
    pub(super) batch: Option<Batch>,
}

/// End of an attempt: its run ends or is requeued.
pub(super) struct End {
    pub(super) run: i64,
    pub(super) fence: Fence,
    pub(super) ending: Ending,
    /// The terminal event, or the reason of the requeue.
    pub(super) event: NewEvent,
    pub(super) answer: oneshot::Sender<Result<Vec<Event>>>,
}

pub(super) enum Ending {
    Finish(Outcome),
    Requeue(Option<Timestamp>),
}

impl End {
    pub(super) fn finish(
        run: i64,
        fence: Fence,
        outcome: Outcome,
        answer: oneshot::Sender<Result<Vec<Event>>>,
    ) -> Self {
        Self { run, fence, event: outcome.terminal_event(), ending: Ending::Finish(outcome), answer }
    }

    pub(super) fn requeue(
        run: i64,
        fence: Fence,
        event: NewEvent,
        not_before: Option<Timestamp>,
        answer: oneshot::Sender<Result<Vec<Event>>>,
    ) -> Self {
        Self { run, fence, event, ending: Ending::Requeue(not_before), answer }
    }

    /// The same end of a run whose cancellation was requested: it ends as cancelled, with its value if it has one.
    pub(super) fn into_cancelled(self) -> Self {
        let value = match &self.ending {
            Ending::Finish(outcome) => outcome.final_value().cloned(),
            Ending::Requeue(_) => None,
        };
        Self::finish(self.run, self.fence, Outcome::Cancelled(value), self.answer)
    }
}

/// A new run.
pub(super) struct Submit {
    /// The host that claims it, if it can start at once. None: no host does.
    pub(super) host: Option<i64>,
    /// The run without its input, as JSON.
    pub(super) run: String,
    pub(super) input: String,
    pub(super) answer: oneshot::Sender<Result<SubmitAnswer>>,
}

/// The answer of the database for one new run.
#[derive(Debug, Deserialize)]
pub(super) struct SubmitAnswer {
    pub(super) is: String,
    pub(super) no: Option<i64>,
    pub(super) waits_for: Option<String>,
    pub(super) started_at: Option<i64>,
    pub(super) depth: Option<u32>,
    pub(super) name: Option<String>,
    pub(super) waiting: Option<u64>,
}

/// A call of one function that passes the gate: `SELECT f($1, $2, $3, …)`. The first three parameters are the gate's.
pub(super) struct Call {
    /// The host that writes. None: no host has to be alive for it.
    pub(super) host: Option<i64>,
    pub(super) run: Option<i64>,
    pub(super) sql: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) urgency: Urgency,
    pub(super) answer: oneshot::Sender<Result<String>>,
}

/// A statement without a gate. It may be carried out twice.
pub(super) struct Plain {
    pub(super) sql: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) urgency: Urgency,
    pub(super) answer: oneshot::Sender<Result<Vec<Row>>>,
}

/// The error for an answer that no function of ours gives.
pub(super) fn unreadable() -> StorageError {
    StorageError::Unavailable("the database gave an answer that this host does not understand".to_owned())
}
