//! A row of the tables `runs` and `run_data` as a [`Run`], and the codes of words in their columns.

use std::sync::LazyLock;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::run_error;
use crate::model::{
    Json, OnDisconnect, Run, RunError, RunId, RunKey, RunStatus, TaskRef, Timestamp, Version,
};
use crate::postgres;
use crate::storage::columns::{columns, selected};

/// The code of a status in the column `runs.status`. Indexes have codes in their conditions, so a code never changes.
pub(super) const fn status_code(status: RunStatus) -> i16 {
    match status {
        RunStatus::Queued => 0,
        RunStatus::Delayed => 1,
        RunStatus::Running => 2,
        RunStatus::Paused => 3,
        RunStatus::Completed => 4,
        RunStatus::Failed => 5,
        RunStatus::Cancelled => 6,
    }
}

/// The status of a code.
pub(super) fn status_of(code: i16) -> Option<RunStatus> {
    RunStatus::ALL.into_iter().find(|status| status_code(*status) == code)
}

columns! {
    No = "runs.no";
    Id = "runs.id";
    App = "tasks.app";
    Task = "tasks.task";
    Version = "versions.sha256";
    Status = "runs.status";
    Attempt = "runs.attempt";
    Input = "run_data.input" or "NULL::text";
    FinalValue = "run_data.final_value" or "NULL::text";
    Error = "run_data.error";
    ErrorMore = "run_data.error_more" or "NULL::text";
    CreatedAt = "runs.created_at";
    StartedAt = "runs.started_at";
    FinishedAt = "runs.finished_at";
    CancelRequestedAt = "runs.cancel_requested_at";
    Labels = "runs.labels";
    LastSeq = "runs.last_seq";
    NotBefore = "runs.not_before";
    Priority = "runs.priority";
    WaitsFor = "runs.waits_for";
    Parent = "parents.id";
    OnDisconnect = "runs.on_disconnect";
}

/// The columns of a run, for a statement that ends with [`FROM`].
pub(super) static WHOLE: LazyLock<String> = LazyLock::new(|| selected(COLUMNS, false));
/// The columns without the large parts, for a statement that ends with [`BRIEF_FROM`].
pub(super) static BRIEF: LazyLock<String> = LazyLock::new(|| selected(COLUMNS, true));

/// Joins a run, which the statement has as `runs`, with the rows that its columns come from.
pub(super) const FROM: &str = "JOIN run_data ON run_data.run = runs.no JOIN tasks ON tasks.no = runs.task \
     LEFT JOIN versions ON versions.no = runs.version LEFT JOIN runs AS parents ON parents.no = runs.parent";
/// Of the large parts, a brief list has the errors of failed runs only.
pub(super) const BRIEF_FROM: &str = "LEFT JOIN run_data ON run_data.run = runs.no AND runs.status = 5 \
     JOIN tasks ON tasks.no = runs.task LEFT JOIN versions ON versions.no = runs.version \
     LEFT JOIN runs AS parents ON parents.no = runs.parent";

/// The run in a row of [`WHOLE`] or [`BRIEF`].
pub(super) fn read(row: &Row) -> Result<Run, ReadError> {
    let row = RunRow(row);
    Ok(Run {
        key: RunKey {
            no: row.get(Column::No)?,
            id: row.parsed("id", RunId::parse(row.get(Column::Id)?).ok())?,
        },
        task: row.parsed("task", TaskRef::parse(row.get(Column::App)?, row.get(Column::Task)?).ok())?,
        version: row.get::<Option<&str>>(Column::Version)?.and_then(Version::parse),
        status: row.parsed("status", status_of(row.get(Column::Status)?))?,
        attempt: row.count("attempt", Column::Attempt)?,
        input: row.json(Column::Input)?.unwrap_or_else(Json::null),
        final_value: row.json(Column::FinalValue)?,
        error: row.error()?,
        created_at: Timestamp::from_millis(row.get(Column::CreatedAt)?),
        started_at: row.time(Column::StartedAt)?,
        finished_at: row.time(Column::FinishedAt)?,
        cancel_requested_at: row.time(Column::CancelRequestedAt)?,
        not_before: row.time(Column::NotBefore)?,
        priority: i32::from(row.get::<i16>(Column::Priority)?),
        waits_for: row.get(Column::WaitsFor)?,
        parent: row.get::<Option<&str>>(Column::Parent)?.and_then(|id| RunId::parse(id).ok()),
        on_disconnect: row
            .get::<Option<&str>>(Column::OnDisconnect)?
            .and_then(OnDisconnect::parse)
            .unwrap_or_default(),
        labels: row
            .get::<Option<&str>>(Column::Labels)?
            .and_then(|labels| serde_json::from_str(labels).ok())
            .unwrap_or_default(),
        last_seq: row.get::<Option<i64>>(Column::LastSeq)?.and_then(|seq| u64::try_from(seq).ok()),
    })
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The statement failed.
    #[error(transparent)]
    Statement(#[from] postgres::Error),
    /// A column has another type than expected.
    #[error(transparent)]
    Column(#[from] tokio_postgres::Error),
    /// A column has a value that streamtask did not write: the database may have been edited by hand.
    #[error("the column {0} has a value that streamtask did not write")]
    Value(&'static str),
}

/// The value of a column, or an error if it could not be parsed.
pub(super) fn parsed<T>(column: &'static str, value: Option<T>) -> Result<T, ReadError> {
    value.ok_or(ReadError::Value(column))
}

/// A row with named columns.
struct RunRow<'a>(&'a Row);

impl<'a> RunRow<'a> {
    fn get<T: FromSql<'a>>(&self, column: Column) -> Result<T, ReadError> {
        Ok(self.0.try_get(column as usize)?)
    }

    fn count(&self, name: &'static str, column: Column) -> Result<u32, ReadError> {
        self.parsed(name, u32::try_from(self.get::<i32>(column)?).ok())
    }

    fn time(&self, column: Column) -> Result<Option<Timestamp>, ReadError> {
        Ok(self.get::<Option<i64>>(column)?.map(Timestamp::from_millis))
    }

    fn json(&self, column: Column) -> Result<Option<Json>, ReadError> {
        Ok(self.get::<Option<String>>(column)?.map(Json::from_valid))
    }

    fn error(&self) -> Result<Option<RunError>, ReadError> {
        let more: Option<&str> = self.get(Column::ErrorMore)?;
        let error: Option<&str> = self.get(Column::Error)?;
        Ok(error.map(|error| run_error::read(error, more)))
    }

    fn parsed<T>(&self, column: &'static str, value: Option<T>) -> Result<T, ReadError> {
        parsed(column, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_code_of_its_own() {
        for status in RunStatus::ALL {
            assert_eq!(status_of(status_code(status)), Some(status));
        }
        assert_eq!(status_of(7), None);
    }
}
