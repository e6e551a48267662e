//! A task that crashes: to see that the stream still ends, that what was sent
//! before is kept, and that no other run notices.

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
    /// Runs into code that can't be reached.
    Unreachable,
    /// Takes memory without end.
    Memory,
    /// Calls itself without end.
    Recursion,
    /// Ends the process, as a program would.
    Exit,
}

/// Crashes in the way that it is told to.
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

/// Writes to what it takes, or it would cost nothing.
fn hoard() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(vec![1u8; 1 << 20]);
        black_box(&taken);
    }
}

#[expect(unconditional_recursion, reason = "that is the point")]
fn deeper(depth: u64) -> u64 {
    // Needed after the call, so it can't become a loop.
    black_box(depth) + deeper(black_box(depth + 1))
}

#[cfg(test)]
mod tests {
    use streamtask_sdk::testing::Recording;

    use super::*;

    // The others would take the test down with them.

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
