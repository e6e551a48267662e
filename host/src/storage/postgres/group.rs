//! What a lane is asked to write, and the statements that it makes of that.

use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::oneshot;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::log_group::{End, LogGroup};
use crate::postgres::{Result as Sent, Session};
use crate::storage::{Batch, Outbox, Result, StorageError};

/// A value of a statement.
pub(super) type Parameter = Box<dyn ToSql + Sync + Send>;

/// Handling of a write while the database is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// It is rejected.
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

/// The row of `lanes` through which a statement passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    pub(super) host: i64,
    pub(super) lane: i32,
    /// The number of the statement.
    pub(super) n: i64,
}

/// The commands of one statement. The same group makes the same statement each time.
pub(super) enum Group {
    Log(LogGroup),
    Submits(Vec<Submit>),
    Call(Call),
}

impl Group {
    /// Sends the statement. The answer is none if the gate was closed.
    pub(super) async fn send(&self, session: &Session, gate: Gate) -> Sent<Option<String>> {
        let row = match self {
            Self::Log(group) => return group.send(session, gate).await,
            Self::Submits(submits) => {
                let runs: Vec<&str> = submits.iter().map(|submit| submit.run.as_str()).collect();
                let runs = format!("[{}]", runs.join(","));
                let inputs: Vec<&str> = submits.iter().map(|submit| submit.input.as_str()).collect();
                session
                    .query_one(
                        "SELECT submit_1($1, $2, $3, $4, $5, $6, $7)",
                        &[
                            &gate.host,
                            &gate.lane,
                            &gate.n,
                            &runs,
                            &inputs,
                            &(crate::storage::MAX_CHILDREN as i32),
                            &(crate::storage::MAX_DEPTH as i32),
                        ],
                    )
                    .await?
            }
            Self::Call(call) => {
                let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&gate.host, &gate.lane, &gate.n];
                parameters.extend(call.parameters.iter().map(|value| &**value as &(dyn ToSql + Sync)));
                session.query_one(call.sql, &parameters).await?
            }
        };
        row.try_get(0).map_err(Into::into)
    }

    /// The host that it writes for. None: no host has to be alive for it.
    pub(super) fn host(&self) -> Option<i64> {
        match self {
            Self::Log(group) => Some(group.host),
            Self::Submits(submits) => submits.first().and_then(|submit| submit.host),
            Self::Call(call) => call.host,
        }
    }

    /// The commands, in their order.
    pub(super) fn into_commands(self) -> Vec<Command> {
        match self {
            Self::Log(group) => group.into_commands(),
            Self::Submits(submits) => submits.into_iter().map(Command::Submit).collect(),
            Self::Call(call) => vec![Command::Call(call)],
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Log(group) => group.len(),
            Self::Submits(submits) => submits.len(),
            Self::Call(_) => 1,
        }
    }

    /// Rejects all commands.
    pub(super) fn refuse(self, error: &StorageError) {
        self.into_commands().into_iter().for_each(|command| command.refuse(error));
    }
}

/// Sends the answers of new runs.
pub(super) fn answer_submits(submits: Vec<Submit>, answer: &str) {
    let answers: Vec<SubmitAnswer> = serde_json::from_str(answer).unwrap_or_default();
    let mut answers = answers.into_iter();
    for submit in submits {
        let answer = answers.next().ok_or_else(unreadable);
        // The caller may be gone; the run stands.
        let _ = submit.answer.send(answer);
    }
}

/// The error for an answer that no function of ours gives.
pub(super) fn unreadable() -> StorageError {
    StorageError::Unavailable("the database gave an answer that this host does not understand".to_owned())
}
