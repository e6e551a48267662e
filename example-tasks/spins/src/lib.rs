//! A task that never returns, waits or checks for cancellation: shows that the host can stop it,
//! and that other runs are not delayed.

use std::hint::black_box;

use serde::Deserialize;
use streamtask_sdk::{Context, Error, Failure, JsonSchema, task};

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Input {
    /// The number of events to send first.
    events: u32,
}

/// Spins forever, after some events if requested.
#[task]
fn spins(ctx: &Context, Input { events }: Input) -> Result<(), Failure> {
    announce(ctx, events)?;
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn announce(ctx: &Context, events: u32) -> Result<(), Error> {
    (1..=events).try_for_each(|nth| ctx.send("event", &nth))
}

#[cfg(test)]
mod tests {
    use streamtask_sdk::testing::Recording;

    use super::*;

    #[test]
    fn sends_its_events_first() {
        let run = Recording::new();
        announce(&run, 3).unwrap();
        assert_eq!(run.data("event"), [1, 2, 3]);
    }
}
