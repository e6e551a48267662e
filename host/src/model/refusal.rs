/// Error code of a rejected call of a guest; the contract's `error-code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// An argument breaks a rule.
    InvalidArgument,
    /// An argument is too large.
    TooLarge,
    /// A limit for the whole run is reached.
    LimitExceeded,
    /// The task has no grant for it.
    Denied,
    /// It does not exist.
    NotFound,
    /// It exists already with different content.
    Conflict,
    /// It is temporarily unavailable.
    Unavailable,
    /// A fault of the host.
    Internal,
}

impl RefusalCode {
    /// The name of the code in the contract.
    pub const fn as_str(self) -> &'static str {
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

/// Error of a guest's call that the host rejected. The run continues.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The code for programs.
    pub code: RefusalCode,
    /// A message for people, in one line.
    pub message: String,
}

impl Refusal {
    /// With a code and a message.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// `what` is larger than `limit` bytes.
    pub fn too_large(what: &str, len: usize, limit: usize) -> Self {
        Self::new(RefusalCode::TooLarge, format!("{what} has {len} bytes; the limit is {limit}"))
    }
}
