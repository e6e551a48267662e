//! A task that crashes: shows that the stream still ends, that earlier events are stored, and that
//! other runs are not affected.

use std::hint::black_box;

use serde::{Deserialize, Serialize};
use streamtask_sdk::{Context, Failure, JsonSchema, task};

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Input {
    how: How,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum How {
    /// Panics with a message.
    #[default]
    Panic,
    /// Divides by zero.
    DivideByZero,
    /// Executes an `unreachable` instruction.
    Unreachable,
    /// Allocates memory until none is left.
    Memory,
    /// Recurses without end.
    Recursion,
    /// Exits, like a program.
    Exit,
}

/// Crashes in the chosen way.
#[task]
fn traps(ctx: &Context, Input { how }: Input) -> Result<(), Failure> {
    ctx.send("about-to-crash", &how)?;
    match how {
        How::Panic => panic!("told to panic"),
        How::DivideByZero => drop(black_box(1 / black_box(0))),
        How::Unreachable => unreachable(),
        How::Memory => hoard(),
        How::Recursion => drop(black_box(deeper(0))),
        How::Exit => std::process::exit(3),
    }
    Err(Failure::new("survived"))
}

#[cfg(target_family = "wasm")]
fn unreachable() -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(not(target_family = "wasm"))]
fn unreachable() -> ! {
    std::process::abort()
}

/// Writes to the memory, because otherwise it would not be used.
fn hoard() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1u8; 1 << 20]);
        black_box(&taken);
    }
}

#[expect(unconditional_recursion, reason = "that is the point")]
fn deeper(depth: u64) -> u64 {
    // Used after the call, so that it can't be optimised to a loop.
    black_box(depth) + deeper(black_box(depth + 1))
}

#[cfg(test)]
mod tests {
    use streamtask_sdk::testing::Recording;

    use super::*;

    // The others would crash the test.

    #[test]
    #[should_panic(expected = "told to panic")]
    fn panics() {
        let _ = traps(&Recording::new(), Input::default());
    }

    #[test]
    #[should_panic(expected = "divide by zero")]
    fn divides_by_zero() {
        let _ = traps(&Recording::new(), Input { how: How::DivideByZero });
    }
}
