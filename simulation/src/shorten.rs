//! Finds a shorter list of steps that violates the same invariant.

use std::time::{Duration, Instant};

use crate::Plan;
use crate::steps::Step;

/// Time limit of the search.
const TIME: Duration = Duration::from_secs(60);

/// Removes as many steps as possible while the history still fails in the same way.
pub fn shorten(plan: &Plan, failed_after: usize, violation: &str) -> Plan {
    let began = Instant::now();
    let kind = kind(violation);
    let fails = |steps: &[Step]| {
        let plan = Plan { steps: steps.to_vec(), ..plan.clone() };
        plan.play().violation.is_some_and(|found| self::kind(&found) == kind)
    };
    let mut steps = plan.steps[..failed_after.min(plan.steps.len())].to_vec();
    let mut size = steps.len().div_ceil(2);
    while size > 0 && began.elapsed() < TIME {
        let mut at = 0;
        while at < steps.len() && began.elapsed() < TIME {
            let mut without = steps.clone();
            without.drain(at..(at + size).min(steps.len()));
            if fails(&without) {
                steps = without;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    Plan { steps, ..plan.clone() }
}

/// The kind of a violation: its text before the details of this history.
fn kind(violation: &str) -> &str {
    violation.split(':').next().unwrap_or(violation)
}

/// The steps for people, one per line.
pub fn describe(plan: &Plan) -> String {
    let mut text = format!("{} hosts with at most {} concurrent runs:", plan.hosts, plan.max_running);
    for step in &plan.steps {
        text.push_str(&format!("\n  {step:?}"));
    }
    text
}
