use serde::Serialize;

use super::Json;

/// What ended an attempt that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// `process` returned a failure.
    Failure,
    /// The guest trapped: a panic, an unreachable instruction, a stack overflow.
    Trap,
    /// The guest trapped after it was refused more memory.
    OutOfMemory,
    /// The attempt took longer than its task may.
    DeadlineExceeded,
    /// The attempt computed longer than its task may.
    CpuExceeded,
    /// `process` returned text that is not JSON or is too large.
    InvalidOutput,
    /// The version that the run needs could not be loaded or instantiated.
    NotLoaded,
    /// The host stopped, in order or not, while the run was under way.
    Interrupted,
    /// A fault of the host.
    Internal,
}

impl ErrorKind {
    const ALL: [Self; 9] = [
        Self::Failure,
        Self::Trap,
        Self::OutOfMemory,
        Self::DeadlineExceeded,
        Self::CpuExceeded,
        Self::InvalidOutput,
        Self::NotLoaded,
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
            Self::NotLoaded => "not-loaded",
            Self::Interrupted => "interrupted",
            Self::Internal => "internal",
        }
    }

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunError {
    /// What ended it.
    pub kind: ErrorKind,
    /// One line for people.
    pub message: String,
    /// The task's own word for the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whatever the task found worth keeping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Json>,
    /// Whether the task said that another attempt could succeed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
    /// The least time that it asked to wait before that, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
    /// The guest's call stack, innermost first, one frame a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl RunError {
    /// With a kind and a message alone.
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
