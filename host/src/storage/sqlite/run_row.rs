//! A row of the table `runs` as a [`Run`].

use std::sync::LazyLock;

use rusqlite::types::{FromSql, ToSqlOutput, Value};
use rusqlite::{Row, ToSql};

use crate::model::{
    ErrorKind, Json, Labels, OnDisconnect, Run, RunError, RunId, RunKey, RunStatus, TaskRef, Timestamp,
    Version,
};
use crate::storage::columns::{columns, selected};

columns! {
    No = "runs.no";
    Id = "runs.id";
    App = "tasks.app";
    Task = "tasks.task";
    Version = "versions.sha256";
    Status = "runs.status";
    Attempt = "runs.attempt";
    Input = "runs.input" or "'null'";
    FinalValue = "runs.final_value" or "NULL";
    Error = "runs.error" or "json_remove(runs.error, '$.trace', '$.details')";
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

/// Selects all columns.
pub(super) static WHOLE: LazyLock<String> = LazyLock::new(|| select(false, "runs"));
/// The same in the order of an index of times.
pub(super) static WHOLE_BY_TIME: LazyLock<String> =
    LazyLock::new(|| select(false, "runs INDEXED BY runs_by_creation"));
/// Selects all columns without their large parts.
pub(super) static BRIEF: LazyLock<String> = LazyLock::new(|| select(true, "runs"));
/// The same in the order of an index of times.
pub(super) static BRIEF_BY_TIME: LazyLock<String> =
    LazyLock::new(|| select(true, "runs INDEXED BY runs_by_creation"));

fn select(brief: bool, runs: &str) -> String {
    format!(
        "SELECT {} FROM {runs} JOIN tasks ON tasks.no = runs.task \
         LEFT JOIN versions ON versions.no = runs.version LEFT JOIN runs AS parents ON parents.no = runs.parent",
        selected(COLUMNS, brief)
    )
}

/// The run in a row of [`WHOLE`], [`BRIEF`] or one of the others.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Run> {
    let row = RunRow(row);
    Ok(Run {
        key: RunKey {
            no: row.get(Column::No)?,
            id: row.parsed(Column::Id, RunId::parse(row.text(Column::Id)?).ok())?,
        },
        task: row
            .parsed(Column::App, TaskRef::parse(row.text(Column::App)?, row.text(Column::Task)?).ok())?,
        version: row.optional_text(Column::Version)?.and_then(Version::parse),
        status: row.parsed(Column::Status, RunStatus::parse(row.text(Column::Status)?))?,
        attempt: row.get(Column::Attempt)?,
        input: Json::from_valid(row.get(Column::Input)?),
        final_value: row.json(Column::FinalValue)?,
        error: row.json(Column::Error)?.map(|error| error_from(&error)),
        created_at: Timestamp::from_millis(row.get(Column::CreatedAt)?),
        started_at: row.time(Column::StartedAt)?,
        finished_at: row.time(Column::FinishedAt)?,
        cancel_requested_at: row.time(Column::CancelRequestedAt)?,
        not_before: row.time(Column::NotBefore)?,
        priority: row.get(Column::Priority)?,
        waits_for: row.get(Column::WaitsFor)?,
        parent: row.optional_text(Column::Parent)?.and_then(|id| RunId::parse(id).ok()),
        on_disconnect: row
            .optional_text(Column::OnDisconnect)?
            .and_then(OnDisconnect::parse)
            .unwrap_or_default(),
        labels: row.json(Column::Labels)?.map(|labels| labels_from(&labels)).unwrap_or_default(),
        last_seq: row.get(Column::LastSeq)?,
    })
}

/// A row with named columns.
struct RunRow<'a, 'row>(&'a Row<'row>);

impl RunRow<'_, '_> {
    fn get<T: FromSql>(&self, column: Column) -> rusqlite::Result<T> {
        self.0.get(column as usize)
    }

    fn text(&self, column: Column) -> rusqlite::Result<&str> {
        Ok(self.0.get_ref(column as usize)?.as_str()?)
    }

    fn optional_text(&self, column: Column) -> rusqlite::Result<Option<&str>> {
        Ok(self.0.get_ref(column as usize)?.as_str_or_null()?)
    }

    fn time(&self, column: Column) -> rusqlite::Result<Option<Timestamp>> {
        Ok(self.get::<Option<i64>>(column)?.map(Timestamp::from_millis))
    }

    fn json(&self, column: Column) -> rusqlite::Result<Option<Json>> {
        Ok(self.get::<Option<String>>(column)?.map(Json::from_valid))
    }

    fn parsed<T>(&self, column: Column, value: Option<T>) -> rusqlite::Result<T> {
        parsed(column as usize, value)
    }
}

/// The value of a column, or an error if it could not be parsed: the database may have been edited by hand.
pub(super) fn parsed<T>(column: usize, value: Option<T>) -> rusqlite::Result<T> {
    value.ok_or_else(|| {
        let message = "not a value that streamtask wrote".into();
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, message)
    })
}

fn labels_from(json: &Json) -> Labels {
    serde_json::from_str(json.as_str()).unwrap_or_default()
}

fn error_from(json: &Json) -> RunError {
    let value = json.to_value();
    let text = |key: &str| value.get(key).and_then(|text| text.as_str()).map(str::to_owned);
    RunError {
        kind: text("kind").and_then(|kind| ErrorKind::parse(&kind)).unwrap_or(ErrorKind::Internal),
        message: text("message").unwrap_or_default(),
        code: text("code"),
        details: value.get("details").map(Json::of),
        retryable: value.get("retryable").is_some_and(|value| value == true),
        retry_after_ms: value.get("retry_after_ms").and_then(|ms| u32::try_from(ms.as_u64()?).ok()),
        trace: text("trace"),
    }
}

/// Labels as a column: NULL for none.
pub(super) struct LabelsColumn<'a>(pub(super) &'a Labels);

impl ToSql for LabelsColumn<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match self.0.is_empty() {
            true => Value::Null,
            false => Value::Text(Json::of(self.0).into_string()),
        }))
    }
}
