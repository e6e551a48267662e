//! A long operation in phases. It saves its position every few items, so that a later attempt,
//! after a crash of the host or as a retry, continues from there.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamtask_sdk::{Cancelled, Context, Error, Failure, JsonSchema, Progress, Status, task};

/// The checkpoint's key.
const CHECKPOINT: &str = "position";

/// The phases of every item. Later phases take longer; with the weights, the percentage grows
/// evenly.
const PHASES: [Phase; 3] = [
    Phase { id: "read", message: "Reading", effort: 1 },
    Phase { id: "convert", message: "Converting", effort: 3 },
    Phase { id: "write", message: "Writing", effort: 2 },
];

struct Phase {
    id: &'static str,
    message: &'static str,
    effort: u32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
struct Input {
    /// The number of items.
    items: u32,
    /// The duration of the shortest phase of an item.
    item_ms: u32,
    /// The number of items between two checkpoints.
    #[schemars(range(min = 1))]
    checkpoint_every: u32,
    /// Fails the first attempt at this item of the second phase, to demonstrate a retry.
    fail_at: Option<u32>,
}

impl Default for Input {
    fn default() -> Self {
        Self { items: 100, item_ms: 50, checkpoint_every: 10, fail_at: None }
    }
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct Output {
    /// A checksum of all items, in order, independent of the number of attempts.
    checksum: u32,
    attempts: u32,
}

/// The position: `item` items of `phase` are done.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Position {
    phase: usize,
    item: u32,
    checksum: u32,
}

/// Works through many items in phases, and survives a crash.
#[task]
fn long_operation(ctx: &Context, input: Input) -> Result<Output, Failure> {
    let attempts = ctx.info().attempt;
    let mut position: Position = ctx.load_checkpoint(CHECKPOINT)?.unwrap_or_default();
    announce(ctx, &input, position)?;
    while let Some(phase) = PHASES.get(position.phase) {
        run_phase(ctx, &input, phase, &mut position)?;
        position = Position { phase: position.phase + 1, item: 0, ..position };
        ctx.save_checkpoint(CHECKPOINT, &position)?;
    }
    ctx.progress(Progress::item("operation").status(Status::Completed))?;
    Ok(Output { checksum: position.checksum, attempts })
}

/// Reports the whole tree, with the progress of earlier attempts.
fn announce(ctx: &Context, input: &Input, position: Position) -> Result<(), Error> {
    ctx.progress(Progress::item("operation").status(Status::Running).message("Long operation"))?;
    for (nth, phase) in PHASES.iter().enumerate() {
        let (status, done) = match nth.cmp(&position.phase) {
            std::cmp::Ordering::Less => (Status::Completed, input.items),
            std::cmp::Ordering::Equal => (Status::Running, position.item),
            std::cmp::Ordering::Greater => (Status::Waiting, 0),
        };
        let item = Progress::item(phase.id).parent("operation").weight(phase.effort.into());
        let item = item.status(status).done(done.into()).total(input.items.into());
        ctx.progress(item.message(phase.message))?;
    }
    Ok(())
}

fn run_phase(ctx: &Context, input: &Input, phase: &Phase, position: &mut Position) -> Result<(), Failure> {
    ctx.progress(Progress::item(phase.id).status(Status::Running))?;
    while position.item < input.items {
        if let Err(cancelled) = work(ctx, input, phase) {
            // Saved, so that a retry continues from here.
            ctx.save_checkpoint(CHECKPOINT, position)?;
            return Err(cancelled.into());
        }
        position.checksum = position.checksum.wrapping_mul(31).wrapping_add(position.item);
        position.item += 1;
        ctx.progress(Progress::item(phase.id).done(position.item.into()))?;
        if position.item.is_multiple_of(input.checkpoint_every.max(1)) {
            ctx.save_checkpoint(CHECKPOINT, position)?;
        }
        if position.phase == 1 && input.fail_at == Some(position.item) && ctx.info().attempt == 1 {
            return Err(Failure::new("failed as told to").code("example").retryable());
        }
    }
    ctx.progress(Progress::item(phase.id).status(Status::Completed)).map_err(Failure::from)
}

/// Simulates the work on one item.
fn work(ctx: &Context, input: &Input, phase: &Phase) -> Result<(), Cancelled> {
    ctx.sleep(Duration::from_millis(input.item_ms.into()) * phase.effort)
}

#[cfg(test)]
mod tests {
    use streamtask_sdk::json;
    use streamtask_sdk::testing::Recording;

    use super::*;

    fn input() -> Input {
        Input { items: 10, item_ms: 10, checkpoint_every: 4, fail_at: None }
    }

    fn undisturbed() -> Output {
        long_operation(&Recording::new(), input()).unwrap()
    }

    #[test]
    fn reports_a_tree() {
        let run = Recording::new();
        long_operation(&run, input()).unwrap();
        let progress = run.data("progress");
        assert_eq!(
            progress[2],
            json!({
                "id": "convert", "parent": "operation", "weight": 3.0, "status": "waiting",
                "done": 0, "total": 10, "message": "Converting",
            })
        );
        assert_eq!(progress.last(), Some(&json!({ "id": "operation", "status": "completed" })));
    }

    #[test]
    fn a_retry_goes_on_from_the_last_checkpoint_and_comes_to_the_same_result() {
        let first = Recording::new();
        let failure = long_operation(&first, Input { fail_at: Some(6), ..input() }).unwrap_err();
        assert!(failure.retryable);
        let saved: Position = first.load_checkpoint(CHECKPOINT).unwrap().unwrap();
        assert_eq!((saved.phase, saved.item), (1, 4));

        let second = Recording::new().with_attempt(2).with_checkpoint(CHECKPOINT, &saved);
        let output = long_operation(&second, Input { fail_at: Some(6), ..input() }).unwrap();
        assert_eq!(output, Output { attempts: 2, ..undisturbed() });
        // Six items of the second phase and ten of the third were left.
        assert_eq!(second.elapsed(), Duration::from_millis(6 * 30 + 10 * 20));
    }

    #[test]
    fn a_cancelled_run_saves_exactly_where_it_was() {
        let run = Recording::new().with_cancel_after(Duration::from_millis(55));
        let failure = long_operation(&run, input()).unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("cancelled"));
        let saved: Position = run.load_checkpoint(CHECKPOINT).unwrap().unwrap();
        assert_eq!((saved.phase, saved.item), (0, 5));
    }
}
