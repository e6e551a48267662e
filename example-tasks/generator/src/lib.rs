//! A task that is an iterator: each value becomes a `progress` event, and the last one is the
//! result.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamtask_sdk::{Context, Failure, JsonSchema, task};

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
struct Input {
    /// The number of values; at most 94 fit into 64 bits.
    #[schemars(range(max = 94))]
    count: usize,
    /// The pause per value.
    delay_ms: u32,
}

impl Default for Input {
    fn default() -> Self {
        Self { count: 20, delay_ms: 100 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
struct Number {
    nth: usize,
    /// As text, because JavaScript rounds numbers this large.
    value: String,
}

/// Yields the Fibonacci numbers.
#[task]
fn generator(ctx: &Context, Input { count, delay_ms }: Input) -> Result<Option<Number>, Failure> {
    let delay = Duration::from_millis(delay_ms.into());
    let numbers = fibonacci().enumerate().take(count);
    ctx.try_stream(numbers.map(|(nth, value)| {
        ctx.sleep(delay)?;
        Ok::<_, Failure>(Number { nth, value: value.to_string() })
    }))
}

/// 0, 1, 1, 2, 3, 5, … up to the largest that fits.
fn fibonacci() -> impl Iterator<Item = u64> {
    let pairs = std::iter::successors(Some((0u64, 1u64)), |&(a, b)| Some((b, a.checked_add(b)?)));
    pairs.map(|(a, _)| a)
}

#[cfg(test)]
mod tests {
    use streamtask_sdk::testing::Recording;

    use super::*;

    #[test]
    fn streams_the_numbers_and_returns_the_last() {
        let run = Recording::new();
        let last = generator(&run, Input { count: 7, delay_ms: 1 }).unwrap();
        let values: Vec<_> = run.data("progress").iter().map(|number| number["value"].clone()).collect();
        assert_eq!(values, ["0", "1", "1", "2", "3", "5", "8"]);
        assert_eq!(last, Some(Number { nth: 6, value: "8".to_owned() }));
    }

    #[test]
    fn ends_with_the_last_number_that_fits() {
        let run = Recording::new();
        let last = generator(&run, Input { count: usize::MAX, delay_ms: 0 }).unwrap();
        assert_eq!(last.unwrap().value, "7540113804746346429");
        assert_eq!(run.events().len(), fibonacci().count());
    }
}
