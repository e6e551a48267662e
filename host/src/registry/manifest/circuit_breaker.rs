//! `[circuit-breaker]`: pauses a task that keeps failing. Without the table there is none.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use super::schema::TimeText;
use crate::model::{Breaker, Time};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[schemars(rename = "circuit-breaker")]
pub(super) struct CircuitBreakerTable {
    /// Failures in a row that open the circuit.
    #[schemars(with = "u32", range(min = 1))]
    failures: Option<Spanned<u32>>,
    /// Time within which they have to happen.
    #[schemars(with = "TimeText")]
    window: Option<Spanned<Time>>,
    /// How long no attempt starts while the circuit is open.
    #[schemars(with = "TimeText")]
    pause: Option<Spanned<Time>>,
}

impl CircuitBreakerTable {
    pub(super) fn apply(self, present: &mut Option<Breaker>) -> Result<(), Fault> {
        let mut breaker = present.unwrap_or_default();
        if let Some(failures) = self.failures {
            if *failures.get_ref() == 0 {
                return Err((failures.span().start, "it takes at least one failure".to_owned()));
            }
            breaker.failures = failures.into_inner();
        }
        for (set, present) in [(self.window, &mut breaker.window), (self.pause, &mut breaker.pause)] {
            let Some(set) = set else { continue };
            let at = set.span().start;
            let time = set.into_inner().0.filter(|time| !time.is_zero());
            *present = time.ok_or((at, "it must be more than 0, and not `none`".to_owned()))?;
        }
        *present = Some(breaker);
        Ok(())
    }
}
