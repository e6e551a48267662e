//! The failure of a task.

use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::{Cancelled, Error, ErrorCode, http};

/// The failure of a task. It ends the attempt and is stored with the run.
///
/// `?` converts every [`std::error::Error`] to a failure, with the messages of its
/// sources and the place of the `?` in the source code. Others are built:
///
/// ```
/// use std::time::Duration;
/// use streamtask_sdk::{Failure, json};
///
/// let failure = Failure::new("the server is busy")
///     .code("rate-limited")
///     .details(&json!({ "server": "eu-1" }))
///     .retry_after(Duration::from_secs(30));
/// assert!(failure.retryable);
/// ```
///
/// It does not implement `Error` itself, because `?` could then not convert all
/// errors.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// One line for people.
    pub message: String,
    /// A short machine-readable code, such as `rate-limited`.
    pub code: Option<String>,
    /// Further information, as JSON.
    pub details: Option<String>,
    /// Whether another attempt could succeed.
    pub retryable: bool,
    /// The minimum delay before the next attempt.
    pub retry_after: Option<Duration>,
    place: Place,
}

/// The place of the `?` that converted an error. It does not count in comparisons.
#[derive(Clone, Copy, Debug, Default)]
struct Place(Option<&'static Location<'static>>);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Failure {
    /// A failure that is not retryable.
    ///
    /// The message is anything that can be displayed, so that
    /// `.map_err(Failure::new)` also takes errors that do not implement
    /// [`std::error::Error`]. It is written with `{:#}`, which is how
    /// `anyhow::Error` shows its causes.
    pub fn new(message: impl fmt::Display) -> Self {
        Self {
            message: format!("{message:#}"),
            code: None,
            details: None,
            retryable: false,
            retry_after: None,
            place: Place::default(),
        }
    }

    /// Sets the machine-readable code. The task chooses it.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Attaches a value, which is stored as JSON. If it can't be encoded, the
    /// reason is stored instead, because creating a failure must not fail.
    #[must_use]
    pub fn details(mut self, details: &(impl Serialize + ?Sized)) -> Self {
        let json = serde_json::to_string(details);
        self.details = Some(json.unwrap_or_else(|error| Value::from(error.to_string()).to_string()));
        self
    }

    /// Marks the failure as retryable. The host retries only if the task's retry
    /// policy allows it.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Marks the failure as retryable, but not before this time has passed.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self.retryable()
    }

    /// The message with the place in the source, if it is known.
    #[cfg_attr(not(target_family = "wasm"), allow(dead_code))]
    pub(crate) fn placed_message(&self) -> String {
        match self.place.0 {
            Some(place) => format!("{}, at {}:{}", self.message, place.file(), place.line()),
            None => self.message.clone(),
        }
    }

    /// Not generic, so that each type of error adds little code.
    fn from_error(error: &(dyn StdError + 'static)) -> Self {
        let failure = Self::new(with_sources(error));
        if let Some(error) = error.downcast_ref::<Error>() {
            let retryable = error.code() == ErrorCode::Unavailable;
            return Self { retryable, ..failure.code(error.code().as_str()) };
        }
        // Errors of reading a response are wrapped in an `io::Error`.
        let read = || error.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref();
        if let Some(error) = error.downcast_ref::<http::Error>().or_else(read) {
            let retryable = error.kind().is_transient();
            return Self { retryable, ..failure.code(error.kind().as_str()) };
        }
        if error.is::<Cancelled>() {
            return failure.code("cancelled");
        }
        failure
    }
}

impl<E: StdError + 'static> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        let failure = Self::from_error(&error);
        // A cancelled run has no bug to look for.
        let place =
            if failure.code.as_deref() == Some("cancelled") { None } else { Some(Location::caller()) };
        Self { place: Place(place), ..failure }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.code {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

/// The messages of an error and its sources, joined by colons. Many errors repeat
/// the message of their source, which is then omitted.
fn with_sources(error: &dyn StdError) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        source = error.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error with a source; `repeats`: whether its message includes that of the
    /// source.
    #[derive(Debug)]
    struct Layer {
        repeats: bool,
        source: std::num::ParseIntError,
    }

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.repeats {
                true => write!(f, "bad line: {}", self.source),
                false => f.write_str("bad line"),
            }
        }
    }

    impl StdError for Layer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.source)
        }
    }

    #[test]
    fn a_message_names_each_source_once() {
        for repeats in [false, true] {
            let source = "x".parse::<u32>().unwrap_err();
            let failure = Failure::from(Layer { repeats, source });
            assert_eq!(failure.message, "bad line: invalid digit found in string");
        }
    }

    #[test]
    fn the_host_is_told_where_an_error_was_passed_on() {
        fn count(text: &str) -> Result<u32, Failure> {
            Ok(text.parse::<u32>()?)
        }
        let line = line!() - 2;
        let message = count("x").unwrap_err().placed_message();
        assert!(message.starts_with("invalid digit found in string, at "), "{message}");
        assert!(message.ends_with(&format!("failure.rs:{line}")), "{message}");
        assert_eq!(Failure::new("as chosen").placed_message(), "as chosen");
        assert_eq!(Failure::from(Cancelled).placed_message(), "the run was cancelled");
    }

    #[test]
    fn a_refusal_keeps_its_code_and_only_unavailable_is_worth_a_retry() {
        let failure = Failure::from(Error::new(ErrorCode::TooLarge, "too much"));
        assert_eq!((failure.code.as_deref(), failure.retryable), (Some("too-large"), false));
        let failure = Failure::from(Error::new(ErrorCode::Unavailable, "later"));
        assert_eq!((failure.code.as_deref(), failure.retryable), (Some("unavailable"), true));
    }

    #[test]
    fn a_cancelled_run_says_so() {
        assert_eq!(Failure::from(Cancelled).to_string(), "the run was cancelled (cancelled)");
    }

    #[test]
    fn details_without_a_form_in_json_say_why() {
        let by_pair = std::collections::BTreeMap::from([((1, 2), 3)]);
        let failure = Failure::new("x").details(&by_pair);
        assert_eq!(failure.details, Some(r#""key must be a string""#.to_owned()));
    }

    #[test]
    fn a_message_is_anything_that_displays() {
        assert_eq!(Failure::new("no").message, "no");
        assert_eq!(Failure::new(format_args!("{} left", 3)).message, "3 left");
    }
}
