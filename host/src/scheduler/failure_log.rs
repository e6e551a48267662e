use crate::model::{RunError, RunKey, TaskRef};
use crate::process::LogRateLimiter;

use super::StartError;

/// Characters of a reason that are logged. The run has all of it.
const MAX_REASON: usize = 300;

/// Logs failed runs and rejected starts. There can be thousands per second, so it logs only some of them.
#[derive(Default)]
pub(super) struct FailureLog {
    failed: LogRateLimiter,
    refused: LogRateLimiter,
}

impl FailureLog {
    /// Logs a failed run that will not be retried.
    pub(super) fn failed(&self, run: &RunKey, task: &TaskRef, error: &RunError) {
        if let Some(left_out) = self.failed.take() {
            let (run, kind, reason) = (&run.id, error.kind.as_str(), brief(&error.message));
            tracing::warn!(%run, %task, kind, reason, "run failed");
            if left_out > 0 {
                tracing::warn!(runs = left_out, "more runs have failed that are not logged");
            }
        }
    }

    /// Logs a rejected start.
    pub(super) fn refused(&self, task: &TaskRef, error: &StartError) {
        if let Some(left_out) = self.refused.take() {
            tracing::info!(%task, reason = brief(&without_values(error)), "start rejected");
            if left_out > 0 {
                tracing::info!(starts = left_out, "more starts were rejected that are not logged");
            }
        }
    }
}

/// The reason without values from the client: violations quote the input, which may contain a secret.
fn without_values(error: &StartError) -> String {
    let StartError::Input(input) = error else { return error.to_string() };
    let place = |place: &str| if place.is_empty() { "the top".to_owned() } else { place.to_owned() };
    let places: Vec<String> = input.violations.iter().map(|(at, _)| place(at)).collect();
    format!("the input does not match the task's schema at {}", places.join(", "))
}

fn brief(reason: &str) -> String {
    let mut brief: String = reason.chars().take(MAX_REASON).collect();
    if brief.len() < reason.len() {
        brief.push('…');
    }
    brief
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Mismatch;

    #[test]
    fn a_refused_input_is_logged_without_its_values() {
        let why = || "\"sk-live-1\" is not a number".to_owned();
        let violations = vec![("/key".to_owned(), why()), (String::new(), why())];
        let reason = without_values(&StartError::Input(Mismatch { violations }));
        assert_eq!(reason, "the input does not match the task's schema at /key, the top");
    }
}
