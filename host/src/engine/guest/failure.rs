//! The failures and exit codes of guests, as errors of their runs.

use super::bindings::streamtask::task::types::Failure;
use crate::model::{ErrorKind, Json, RunError};

/// The error of a run that a guest reports by a failure.
pub(in crate::engine) fn from_failure(failure: Failure) -> RunError {
    let details =
        failure.details.map(|details| Json::parse(details.clone()).unwrap_or_else(|_| Json::of(&details)));
    RunError {
        kind: ErrorKind::Failure,
        message: failure.message,
        code: failure.code,
        details,
        retryable: failure.retryable,
        retry_after_ms: failure.retry_after_ms.filter(|_| failure.retryable),
        trace: None,
    }
}

/// Describes an exit code. A component's 1 may stand for any code but 0: `exit` of WASI 0.2 distinguishes only success
/// and failure; `exit-with-code` passes the code.
pub(in crate::engine) fn exit_code(code: i32, is_module: bool) -> String {
    match code {
        1 if !is_module => "a non-zero code".to_owned(),
        code => format!("code {code}"),
    }
}
