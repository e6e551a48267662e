//! A task that returns a failure: shows how the host handles failures and retries.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamtask_sdk::{Context, Failure, JsonSchema, json, task};

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
struct Input {
    /// The message for people.
    message: String,
    /// The code for programs.
    code: String,
    /// Whether another attempt could succeed.
    retryable: bool,
    /// The minimum delay before the next attempt; implies `retryable`.
    retry_after_ms: Option<u32>,
    /// The number of the attempt that succeeds.
    succeed_on_attempt: Option<u32>,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            message: "it did not work".to_owned(),
            code: "example".to_owned(),
            retryable: false,
            retry_after_ms: None,
            succeed_on_attempt: None,
        }
    }
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Output {
    attempt: u32,
}

/// Fails, unless an attempt is set to succeed.
#[task]
fn fails(ctx: &Context, input: Input) -> Result<Output, Failure> {
    let attempt = ctx.info().attempt;
    ctx.send("attempt", &attempt)?;
    if input.succeed_on_attempt.is_some_and(|success| success <= attempt) {
        return Ok(Output { attempt });
    }
    let mut failure = Failure::new(input.message).code(input.code).details(&json!({ "attempt": attempt }));
    if input.retryable {
        failure = failure.retryable();
    }
    if let Some(ms) = input.retry_after_ms {
        failure = failure.retry_after(Duration::from_millis(ms.into()));
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use streamtask_sdk::testing::Recording;

    use super::*;

    #[test]
    fn fails_as_told() {
        let failure = fails(&Recording::new(), Input::default()).unwrap_err();
        assert_eq!(failure.to_string(), "it did not work (example)");
        assert_eq!(failure.details.as_deref(), Some(r#"{"attempt":1}"#));
        assert!(!failure.retryable);

        let input = Input { retry_after_ms: Some(50), ..Input::default() };
        let failure = fails(&Recording::new(), input).unwrap_err();
        assert_eq!((failure.retryable, failure.retry_after), (true, Some(Duration::from_millis(50))));
    }

    #[test]
    fn a_later_attempt_can_succeed() {
        let input = || Input { retryable: true, succeed_on_attempt: Some(2), ..Input::default() };
        assert!(fails(&Recording::new(), input()).unwrap_err().retryable);
        let output = fails(&Recording::new().with_attempt(2), input());
        assert_eq!(output.unwrap(), Output { attempt: 2 });
    }
}
