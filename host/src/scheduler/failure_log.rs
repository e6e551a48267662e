use crate::model::{RunError, RunKey, TaskRef};
use crate::process::Seldom;

use super::StartError;

/// Characters of a reason that stand in the log; all of it is in the run.
const MAX_REASON: usize = 300;

/// What the log says of runs that go wrong. Thousands can in a second, so only of some.
#[derive(Default)]
pub(super) struct News {
    failed: Seldom,
    refused: Seldom,
}

impl News {
    /// A run has failed, and no other attempt follows.
    pub(super) fn failed(&self, run: &RunKey, task: &TaskRef, error: &RunError) {
        if let Some(left_out) = self.failed.take() {
            let (run, kind, reason) = (&run.id, error.kind.as_str(), brief(&error.message));
            tracing::warn!(%run, %task, kind, reason, "run failed");
            if left_out > 0 {
                tracing::warn!(runs = left_out, "more runs have failed that were not named here");
            }
        }
    }

    /// No run was started.
    pub(super) fn refused(&self, task: &TaskRef, error: &StartError) {
        if let Some(left_out) = self.refused.take() {
            tracing::info!(%task, reason = brief(&without_values(error)), "start refused");
            if left_out > 0 {
                tracing::info!(starts = left_out, "more starts were refused that were not named here");
            }
        }
    }
}

/// The reason, without what a client has sent: an input may carry a secret, and a violation quotes it.
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
        let said = without_values(&StartError::Input(Mismatch { violations }));
        assert_eq!(said, "the input does not match the task's schema at /key, the top");
    }
}
