//! What a call to the host can answer instead of success.

use std::fmt;

/// A call to the host was refused.
///
/// Refusals are answers, never traps: a task can look at the [`code`](Self::code)
/// and go on. With `?` it becomes a [`Failure`](crate::Failure) of the same code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: ErrorCode,
    message: String,
}

impl Error {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// `what` has no form in JSON, or its JSON does not fit the type asked for.
    pub(crate) fn json(what: &str, error: &serde_json::Error) -> Self {
        Self::new(ErrorCode::InvalidArgument, format!("{what}: {error}"))
    }

    /// What the task can do about it.
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

/// What went wrong, by what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// An argument breaks a rule; the same call will fail again.
    InvalidArgument,
    /// One argument is larger than the host allows; the message gives the limit.
    TooLarge,
    /// Something that is limited over the whole run is used up, such as the
    /// number of events.
    LimitExceeded,
    /// The operator has not granted this to the task.
    Denied,
    /// What was asked for does not exist.
    NotFound,
    /// What was asked for exists already, in another form.
    Conflict,
    /// The host can't do this now; later it may.
    Unavailable,
    /// A fault of the host.
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

/// Someone asked to cancel the run.
///
/// [`sleep`](crate::Context::sleep) and
/// [`check_cancelled`](crate::Context::check_cancelled) return it. `?` ends the
/// task with it; a task that has to clean up does so first:
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
