//! `[retry]`: retry policy.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use super::schema::TimeText;
use crate::model::{Retry, RetryOn, Time};

/// Largest number of attempts in a manifest.
const MAX_ATTEMPTS: u32 = 1_000;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[schemars(rename = "retry")]
pub(super) struct RetryTable {
    /// Most attempts in all; 1 means no retry.
    #[schemars(with = "u32", range(min = 1, max = MAX_ATTEMPTS))]
    attempts: Option<Spanned<u32>>,
    /// Pause before the second attempt.
    #[schemars(with = "TimeText")]
    backoff: Option<Spanned<Time>>,
    /// Factor by which each further pause is longer.
    #[schemars(with = "f64", range(min = 1, max = 100))]
    factor: Option<Spanned<f64>>,
    /// Longest pause.
    #[schemars(with = "TimeText")]
    max_backoff: Option<Spanned<Time>>,
    /// Random part of a pause, from 0 to 1.
    #[schemars(with = "f64", range(min = 0, max = 1))]
    jitter: Option<Spanned<f64>>,
    /// Kinds of failures that are retried.
    #[schemars(with = "Vec<Cause>")]
    on: Option<Vec<Cause>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum Cause {
    /// A failure that the task calls retryable.
    Failure,
    /// A trap.
    Trap,
    /// A limit of memory or time.
    Limit,
}

impl RetryTable {
    pub(super) fn apply(self, retry: &mut Retry) -> Result<(), Fault> {
        if let Some(attempts) = self.attempts {
            let at = attempts.span().start;
            if !(1..=MAX_ATTEMPTS).contains(attempts.get_ref()) {
                return Err((at, format!("a run has 1 to {MAX_ATTEMPTS} attempts")));
            }
            retry.attempts = attempts.into_inner();
        }
        for (set, present) in [(self.backoff, &mut retry.backoff), (self.max_backoff, &mut retry.max_backoff)]
        {
            let Some(set) = set else { continue };
            let at = set.span().start;
            *present = set.into_inner().0.ok_or((at, "a pause can't be `none`".to_owned()))?;
        }
        if let Some(factor) = self.factor {
            if !(1.0..=100.0).contains(factor.get_ref()) {
                return Err((factor.span().start, "a factor is from 1 to 100".to_owned()));
            }
            retry.factor = factor.into_inner();
        }
        if let Some(jitter) = self.jitter {
            if !(0.0..=1.0).contains(jitter.get_ref()) {
                return Err((jitter.span().start, "jitter is a part of the pause, from 0 to 1".to_owned()));
            }
            retry.jitter = jitter.into_inner();
        }
        if let Some(on) = self.on {
            retry.on = on.into_iter().map(RetryOn::from).collect();
        }
        Ok(())
    }
}

impl From<Cause> for RetryOn {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Failure => Self::Failure,
            Cause::Trap => Self::Trap,
            Cause::Limit => Self::Limit,
        }
    }
}
