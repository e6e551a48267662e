//! A shorter list of steps that breaks the same invariant.

use std::time::{Duration, Instant};

use crate::Plan;
use crate::steps::Step;

/// Longest time to look for one.
const TIME: Duration = Duration::from_secs(60);

/// Leaves out steps, as many as possible, so that it still fails in the same way.
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

/// The words of a violation up to the first that names something of this history alone.
fn kind(violation: &str) -> &str {
    violation.split(':').next().unwrap_or(violation)
}

/// The steps for people, one a line.
pub fn describe(plan: &Plan) -> String {
    let mut text = format!("with room for {} runs at once:", plan.max_running);
    for step in &plan.steps {
        text.push_str(&format!("\n  {step:?}"));
    }
    text
}
