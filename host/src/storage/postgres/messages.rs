//! Messages to runs: what is stored of them, and what the functions of the database answer.

use serde::Deserialize;

use super::run_row::{ReadError, parsed};
use crate::model::{HostId, Json, RunId, RunKey, Signal, SignalName};
use crate::postgres::Session;
use crate::storage::{Message, MessageKind};

/// What became of a message: the answer of the functions in `messages.sql`.
#[derive(Debug, Deserialize)]
pub(super) struct MessageAnswer {
    pub(super) outcome: Told,
    /// The number of the run; 0 if there is none.
    pub(super) run: i64,
    /// The number under which the message is kept; 0 if it is not.
    pub(super) message: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Told {
    /// There is no such run.
    None,
    /// It had ended before.
    Ended,
    /// It was in the requested state already.
    Unchanged,
    /// It has no owner. The message is in its log.
    Kept,
    /// It has an owner.
    Owner,
    /// It has ended by this message.
    Cancelled,
    /// It has reached a limit of its own.
    Limit,
}

/// The answer of `take_signal_1`.
#[derive(Debug, Deserialize)]
struct SignalAnswer {
    fenced: bool,
    name: Option<String>,
    payload: Option<String>,
}

/// The signal in an answer; none if none was pending. The outer none: the caller does not own the run.
pub(super) fn taken(answer: &str) -> Result<Option<Option<Signal>>, ReadError> {
    let answer: SignalAnswer = parsed("answer", serde_json::from_str(answer).ok())?;
    if answer.fenced {
        return Ok(None);
    }
    let (Some(name), Some(payload)) = (answer.name, answer.payload) else { return Ok(Some(None)) };
    let name = parsed("name", SignalName::parse(&name).ok())?;
    Ok(Some(Some(Signal { name, payload: Json::from_valid(payload) })))
}

/// See [`Signals::parameters`](crate::storage::Signals::parameters).
pub(super) async fn parameters(db: &Session, run: i64) -> Result<Vec<(SignalName, Json)>, ReadError> {
    let rows = db.query("SELECT name, value FROM parameters WHERE run = $1 ORDER BY name", &[&run]).await?;
    let parameter = |row: &tokio_postgres::Row| {
        let name = parsed("name", SignalName::parse(row.try_get(0)?).ok())?;
        Ok((name, Json::from_valid(row.try_get(1)?)))
    };
    rows.iter().map(parameter).collect()
}

/// See [`Signals::messages`](crate::storage::Signals::messages).
pub(super) async fn of_owner(db: &Session, owner: &HostId, limit: u32) -> Result<Vec<Message>, ReadError> {
    // As a range, so that only the index of owners has them in this order: that of numbers would be walked through the
    // messages of all other hosts.
    let sql = "SELECT messages.no, runs.no, runs.id, messages.kind, messages.name, messages.value \
               FROM messages JOIN runs ON runs.no = messages.run \
               WHERE messages.owner >= (SELECT no FROM hosts WHERE id = $1) \
               AND messages.owner <= (SELECT no FROM hosts WHERE id = $1) \
               ORDER BY messages.owner, messages.no LIMIT $2";
    let rows = db.query(sql, &[&owner.as_str(), &i64::from(limit)]).await?;
    let message = |row: &tokio_postgres::Row| {
        let id = parsed("id", RunId::parse(row.try_get(2)?).ok())?;
        let name = || {
            parsed("name", row.try_get::<_, Option<&str>>(4)?.and_then(|name| SignalName::parse(name).ok()))
        };
        let kind = match row.try_get::<_, &str>(3)? {
            "cancel" => MessageKind::Cancel,
            "pause" => MessageKind::Pause,
            "resume" => MessageKind::Resume,
            "signal" => MessageKind::Signal(name()?),
            "parameter" => {
                MessageKind::Parameter(name()?, Json::from_valid(parsed("value", row.try_get(5)?)?))
            }
            _ => return Err(ReadError::Value("kind")),
        };
        Ok(Message { no: row.try_get(0)?, run: RunKey { no: row.try_get(1)?, id }, kind })
    };
    rows.iter().map(message).collect()
}

/// See [`Signals::is_noted`](crate::storage::Signals::is_noted).
pub(super) async fn is_noted(db: &Session, message: i64) -> Result<bool, ReadError> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM messages WHERE no = $1)";
    Ok(db.query_one(sql, &[&message]).await?.try_get(0)?)
}

/// See [`Log::load_checkpoint`](crate::storage::Log::load_checkpoint).
pub(super) async fn load_checkpoint(db: &Session, run: i64, key: &str) -> Result<Option<Vec<u8>>, ReadError> {
    let sql = "SELECT value FROM checkpoints WHERE run = $1 AND key = $2";
    let row = db.query_opt(sql, &[&run, &key]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}
