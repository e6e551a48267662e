/// What a refused call can do about it; the contract's `error-code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// An argument breaks a rule.
    InvalidArgument,
    /// An argument is too large.
    TooLarge,
    /// Something limited over the run's life is used up.
    LimitExceeded,
    /// The operator has not granted it.
    Denied,
    /// It does not exist.
    NotFound,
    /// It exists already, in another form.
    Conflict,
    /// Not now.
    Unavailable,
    /// A fault of the host.
    Internal,
}

impl RefusalCode {
    /// The word for it, as in the contract.
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

/// A guest's call was refused; its run goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What the caller can do about it.
    pub code: RefusalCode,
    /// One line for people.
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
