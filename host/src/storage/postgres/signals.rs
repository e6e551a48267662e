//! Messages to runs: pause, resume, cancel, signals, parameters.

use async_trait::async_trait;

use super::group::Urgency;
use super::messages::{self, MessageAnswer, Told};
use super::parameters::{Parameters, values};
use super::run_row::ReadError;
use super::{Postgres, list};
use crate::model::{Content, Fence, HostId, Json, NewEvent, Outcome, Run, RunId, RunKey, Signal, SignalName};
use crate::storage::{
    CancelOutcome, MAX_PARAMETERS, MAX_WAITING_SIGNALS, Message, MessageOutcome, Result, Signals,
    StorageError,
};

#[async_trait]
impl Signals for Postgres {
    async fn set_paused(&self, run: &RunId, paused: bool) -> Result<MessageOutcome> {
        let event = if paused { NewEvent::paused() } else { NewEvent::resumed() };
        let (time, kind, data) = columns(&event);
        let values = values![run.to_string(), paused, time, kind, data];
        let answer = self.tell("SELECT set_paused_1($1, $2, $3, $4, $5, $6, $7, $8)", values).await?;
        self.outcome(answer, String::new).await
    }

    async fn signal(&self, run: &RunId, signal: Signal) -> Result<MessageOutcome> {
        let (time, kind, data) = columns(&NewEvent::signalled(&signal.name));
        let (name, payload) = (signal.name.as_str().to_owned(), signal.payload.into_string());
        let values =
            values![run.to_string(), name, payload, i64::from(MAX_WAITING_SIGNALS), time, kind, data];
        let answer = self.tell("SELECT signal_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", values).await?;
        let limit = || format!("{MAX_WAITING_SIGNALS} signals wait already, and the run takes none");
        self.outcome(answer, limit).await
    }

    async fn take_signal(
        &self,
        run: &RunKey,
        fence: Fence,
        name: Option<SignalName>,
    ) -> Result<Option<Signal>> {
        let sql = "SELECT take_signal_1($1, $2, $3, $4, $5, $6)";
        let number = fence.number() as i32;
        let values = values![run.no, number, name.map(|name| name.as_str().to_owned())];
        let answer = self.lanes.call_of_run(fence.owner(), run.no, sql, values, Urgency::Once).await?;
        messages::taken(&answer).map_err(unavailable)?.ok_or(StorageError::Fenced)
    }

    async fn set_parameter(&self, run: &RunId, name: SignalName, value: Json) -> Result<MessageOutcome> {
        let (time, kind, data) = columns(&NewEvent::parameter(&name, &value));
        let (name, value) = (name.as_str().to_owned(), value.into_string());
        let values = values![run.to_string(), name, value, i64::from(MAX_PARAMETERS), time, kind, data];
        let answer =
            self.tell("SELECT set_parameter_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", values).await?;
        self.outcome(answer, || format!("a run has at most {MAX_PARAMETERS} parameters")).await
    }

    async fn log_message(&self, run: &RunId, event: NewEvent) -> Result<MessageOutcome> {
        let (time, kind, data) = columns(&event);
        let sql = "SELECT log_message_1($1, $2, $3, $4, $5, $6, $7)";
        let values = values![run.to_string(), time, kind, data];
        let answer = self.lanes.call(None, sql, values, Urgency::UntilDone).await?;
        self.outcome(read(&answer)?, String::new).await
    }

    async fn parameters(&self, run: i64) -> Result<Vec<(SignalName, Json)>> {
        self.readers.read(run, |db, run| Box::pin(messages::parameters(db, *run))).await
    }

    async fn messages(&self, owner: &HostId, limit: u32) -> Result<Vec<Message>> {
        // Waits end between two searches for deadlocks, and the last one is followed by none.
        self.report_waits().await;
        let read = self.readers.read((owner.clone(), limit), |db, (owner, limit)| {
            Box::pin(messages::of_owner(db, owner, *limit))
        });
        read.await
    }

    async fn is_noted(&self, message: i64) -> Result<bool> {
        self.readers.read(message, |db, message| Box::pin(messages::is_noted(db, *message))).await
    }
}

impl Postgres {
    /// See [`Runs::cancel`](crate::storage::Runs::cancel).
    pub(super) async fn cancel_run(&self, run: &RunId) -> Result<CancelOutcome> {
        let (time, kind, data) = columns(&Outcome::Cancelled(None).terminal_event());
        let values = values![run.to_string(), time, kind, data];
        let answer = self.tell("SELECT cancel_1($1, $2, $3, $4, $5, $6, $7)", values).await?;
        let Some(run) = self.run_of(&answer).await? else { return Ok(CancelOutcome::NotFound) };
        Ok(match answer.outcome {
            Told::Owner => CancelOutcome::Requested { run, message: answer.message },
            Told::Cancelled => CancelOutcome::Ended(run),
            _ => CancelOutcome::AlreadyEnded(run),
        })
    }

    /// Calls a function that sends a message.
    async fn tell(&self, sql: &'static str, values: Parameters) -> Result<MessageAnswer> {
        read(&self.lanes.call(None, sql, values, Urgency::Once).await?)
    }

    /// What a caller gets of an answer. `limit` is the error of a run that has reached one.
    async fn outcome(&self, answer: MessageAnswer, limit: impl Fn() -> String) -> Result<MessageOutcome> {
        if answer.outcome == Told::Limit {
            return Err(StorageError::Limit(limit()));
        }
        let Some(run) = self.run_of(&answer).await? else { return Ok(MessageOutcome::NotFound) };
        Ok(match answer.outcome {
            Told::Unchanged => MessageOutcome::Unchanged(run),
            Told::Kept => MessageOutcome::Kept(run),
            Told::Owner => MessageOutcome::Owner { run, message: answer.message },
            _ => MessageOutcome::AlreadyEnded(run),
        })
    }

    /// The run that an answer is about, as it is now; none if there is none, or if it was removed meanwhile.
    async fn run_of(&self, answer: &MessageAnswer) -> Result<Option<Run>> {
        match answer.outcome {
            Told::None => Ok(None),
            _ => self.readers.read(answer.run, |db, no| Box::pin(list::by_no(db, *no))).await,
        }
    }
}

/// Time, type and data of an event that the host has made.
fn columns(event: &NewEvent) -> (i64, String, String) {
    let data = match &event.content {
        Content::Json(json) => json.as_str(),
        Content::Bytes(..) => "null",
    };
    (event.time.as_millis(), event.event_type.as_str().to_owned(), data.to_owned())
}

fn read(answer: &str) -> Result<MessageAnswer> {
    serde_json::from_str(answer).map_err(|_| unavailable(ReadError::Value("answer")))
}

pub(super) fn unavailable(error: ReadError) -> StorageError {
    StorageError::Unavailable(error.to_string())
}
