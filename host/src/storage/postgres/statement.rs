//! The statements that a lane makes of its commands.

use tokio_postgres::types::ToSql;

use super::group::{Call, Command, Submit, SubmitAnswer, unreadable};
use super::log_group::{Gate, LogGroup};
use crate::postgres::{Result as Sent, Session};
use crate::storage::{MAX_CHILDREN, MAX_DEPTH, StorageError};

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
                            &(MAX_CHILDREN as i32),
                            &(MAX_DEPTH as i32),
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
