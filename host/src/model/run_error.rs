use serde::Serialize;

use super::Json;

/// Kind of error that ended an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// `process` returned a failure.
    Failure,
    /// The guest trapped: a panic, an unreachable instruction, a stack overflow.
    Trap,
    /// The guest trapped after it was refused more memory.
    OutOfMemory,
    /// The attempt exceeded the deadline of its task.
    DeadlineExceeded,
    /// The attempt exceeded the CPU time limit of its task.
    CpuExceeded,
    /// `process` returned text that is not JSON or is too large.
    InvalidOutput,
    /// The host stopped, orderly or not, during the attempt.
    Interrupted,
    /// A fault of the host.
    Internal,
}

impl ErrorKind {
    const ALL: [Self; 8] = [
        Self::Failure,
        Self::Trap,
        Self::OutOfMemory,
        Self::DeadlineExceeded,
        Self::CpuExceeded,
        Self::InvalidOutput,
        Self::Interrupted,
        Self::Internal,
    ];

    /// The word used in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Trap => "trap",
            Self::OutOfMemory => "out-of-memory",
            Self::DeadlineExceeded => "deadline-exceeded",
            Self::CpuExceeded => "cpu-exceeded",
            Self::InvalidOutput => "invalid-output",
            Self::Interrupted => "interrupted",
            Self::Internal => "internal",
        }
    }

    /// The kind with that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunError {
    /// The kind.
    pub kind: ErrorKind,
    /// A message for people, in one line.
    pub message: String,
    /// The task's own code for the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Details from the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Json>,
    /// Whether the task reported that another attempt may succeed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
    /// The least pause before that attempt that the task asked for, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
    /// The guest's call stack, innermost frame first, one per line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl RunError {
    /// An error with only a kind and a message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            code: None,
            details: None,
            retryable: false,
            retry_after_ms: None,
            trace: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_kinds_match_both_ways() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
