//! The columns `error` and `error_more` of a run. Lists leave out the second, which can be large.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::{ErrorKind, Json, RunError, also_null};

/// What lists show.
#[derive(Deserialize, Serialize)]
struct Main {
    kind: String,
    message: String,
    code: Option<String>,
    #[serde(default)]
    retryable: bool,
    retry_after_ms: Option<u32>,
}

/// What only a single run shows.
#[derive(Serialize)]
struct More<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Json>,
    trace: Option<&'a str>,
}

#[derive(Default, Deserialize)]
struct StoredMore<'a> {
    /// As it was written: numbers and lone surrogates would not survive a parser.
    #[serde(borrow, default, deserialize_with = "also_null")]
    details: Option<&'a RawValue>,
    trace: Option<String>,
}

/// An error as the two columns.
pub(super) fn columns(error: &RunError) -> (String, Option<String>) {
    let main = Main {
        kind: error.kind.as_str().to_owned(),
        message: error.message.clone(),
        code: error.code.clone(),
        retryable: error.retryable,
        retry_after_ms: error.retry_after_ms,
    };
    let has_more = error.details.is_some() || error.trace.is_some();
    let more = has_more.then_some(More { details: error.details.as_ref(), trace: error.trace.as_deref() });
    (Json::of(&main).into_string(), more.map(|more| Json::of(&more).into_string()))
}

/// The error in the two columns. What was edited by hand is an internal error.
pub(super) fn read(main: &str, more: Option<&str>) -> RunError {
    let main: Main = match serde_json::from_str(main) {
        Ok(main) => main,
        Err(_) => return RunError::new(ErrorKind::Internal, main),
    };
    let more: StoredMore<'_> = more.and_then(|more| serde_json::from_str(more).ok()).unwrap_or_default();
    RunError {
        kind: ErrorKind::parse(&main.kind).unwrap_or(ErrorKind::Internal),
        message: main.message,
        code: main.code,
        details: more.details.map(|details| Json::from_valid(details.get().to_owned())),
        retryable: main.retryable,
        retry_after_ms: main.retry_after_ms,
        trace: more.trace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_as_it_was_written() {
        let whole = RunError {
            code: Some("c".to_owned()),
            details: Some(Json::of(&serde_json::json!({ "nul": "a\0b" }))),
            trace: Some("t".to_owned()),
            retryable: true,
            retry_after_ms: Some(5),
            ..RunError::new(ErrorKind::Failure, "with a NUL: \0")
        };
        let null = RunError { details: Some(Json::null()), ..whole.clone() };
        for error in [whole, null, RunError::new(ErrorKind::Trap, "short")] {
            let (main, more) = columns(&error);
            assert!(!main.contains('\0'), "PostgreSQL stores none");
            assert_eq!(read(&main, more.as_deref()), error);
            assert_eq!(more.is_some(), error.trace.is_some());
        }
    }
}
