//! The error of a call to the host.

use std::fmt;

/// The host rejected a call.
///
/// A rejected call never traps: a task can check the [`code`](Self::code) and
/// continue. `?` converts it to a [`Failure`](crate::Failure) with the same code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: ErrorCode,
    message: String,
}

impl Error {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// `what` can't be encoded as JSON, or its JSON does not match the requested
    /// type.
    pub(crate) fn json(what: &str, error: &serde_json::Error) -> Self {
        Self::new(ErrorCode::InvalidArgument, format!("{what}: {error}"))
    }

    /// The kind of error.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// One line for people.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Kinds of errors, distinguished by how the caller can react.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// An argument is invalid; the same call fails again.
    InvalidArgument,
    /// One argument is larger than the host allows; the message gives the limit.
    TooLarge,
    /// The run has reached a limit on its total use, such as the number of events.
    LimitExceeded,
    /// The operator has not granted this to the task.
    Denied,
    /// The requested item does not exist.
    NotFound,
    /// The item already exists, with different content.
    Conflict,
    /// The host can't do this now, but may be able to later.
    Unavailable,
    /// An internal error of the host.
    Internal,
}

impl ErrorCode {
    /// The code's name in the contract, such as `too-large`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid-argument",
            Self::TooLarge => "too-large",
            Self::LimitExceeded => "limit-exceeded",
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Cancellation of the run was requested.
///
/// [`sleep`](crate::Context::sleep) and
/// [`check_cancelled`](crate::Context::check_cancelled) return it. `?` ends the
/// task with it, after any cleanup:
///
/// ```
/// use std::time::Duration;
/// use streamtask_sdk::{Context, Failure};
///
/// fn hold(ctx: &Context) -> Result<(), Failure> {
///     if let Err(cancelled) = ctx.sleep(Duration::from_secs(60)) {
///         ctx.send("released", &())?;
///         return Err(cancelled.into());
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the run was cancelled")
    }
}

impl std::error::Error for Cancelled {}
