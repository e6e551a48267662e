//! `[retry]`: when a failed attempt is followed by another.

use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use crate::model::{Retry, RetryOn, Time};

/// Most attempts that a manifest can ask for.
const MAX_ATTEMPTS: u32 = 1_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct RetryTable {
    attempts: Option<Spanned<u32>>,
    backoff: Option<Spanned<Time>>,
    factor: Option<Spanned<f64>>,
    max_backoff: Option<Spanned<Time>>,
    jitter: Option<Spanned<f64>>,
    on: Option<Vec<Cause>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Cause {
    Failure,
    Trap,
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
            *present = set.into_inner().0.ok_or((at, "a pause has an end".to_owned()))?;
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
