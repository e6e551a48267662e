//! The smallest useful task. Without a delay, it is also the fastest: a step does not allocate, so
//! it measures the host.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamtask_sdk::{Context, Failure, JsonSchema, task};

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
struct Input {
    /// The number of steps.
    steps: u32,
    /// The pause after each step.
    delay_ms: u32,
}

impl Default for Input {
    fn default() -> Self {
        Self { steps: 10, delay_ms: 100 }
    }
}

#[derive(Serialize, JsonSchema)]
struct Steps {
    steps: u32,
}

#[derive(Serialize)]
struct Step<'a> {
    step: u32,
    total: u32,
    message: fmt::Arguments<'a>,
}

/// Counts, and sends an event for each step.
#[task]
fn counter(ctx: &Context, Input { steps, delay_ms }: Input) -> Result<Steps, Failure> {
    let delay = Duration::from_millis(delay_ms.into());
    ctx.send("start", &Steps { steps })?;
    for step in 1..=steps {
        let message = format_args!("step {step} of {steps}");
        ctx.send("progress", &Step { step, total: steps, message })?;
        if !delay.is_zero() {
            ctx.sleep(delay)?;
        } else if step % 1024 == 0 {
            // Often enough to end in time, rarely enough to cost nothing.
            ctx.check_cancelled()?;
        }
    }
    ctx.send("complete", &Steps { steps })?;
    Ok(Steps { steps })
}

#[cfg(test)]
mod tests {
    use streamtask_sdk::json;
    use streamtask_sdk::testing::Recording;

    use super::*;

    #[test]
    fn counts_and_waits_after_each_step() {
        let run = Recording::new();
        let output = counter(&run, Input { steps: 2, delay_ms: 50 }).unwrap();
        assert_eq!(output.steps, 2);
        assert_eq!(run.types(), ["start", "progress", "progress", "complete"]);
        assert_eq!(run.data("progress")[1], json!({ "step": 2, "total": 2, "message": "step 2 of 2" }));
        assert_eq!(run.elapsed(), Duration::from_millis(100));
    }

    #[test]
    fn ends_when_cancelled_with_and_without_a_delay() {
        for delay_ms in [0, 10] {
            let run = Recording::new().with_cancel_after(Duration::ZERO);
            let failure = counter(&run, Input { steps: 1_000_000, delay_ms }).err().unwrap();
            assert_eq!(failure.code.as_deref(), Some("cancelled"));
            assert!(run.events().len() < 2_000);
        }
    }
}
