use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamtask_sdk::{Context, Failure, JsonSchema, Progress, task};

#[derive(Deserialize, JsonSchema)]
struct Input {
    /// Whom to greet.
    #[serde(default)]
    names: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    greeted: usize,
}

/// Greets everyone.
#[task]
fn greet(ctx: &Context, input: Input) -> Result<Output, Failure> {
    let total = input.names.len();
    for (nth, name) in input.names.iter().enumerate() {
        ctx.send("greeting", &format!("Hello, {name}!"))?;
        ctx.progress(Progress::step(nth as u64 + 1).total(total as u64).message(name))?;
        ctx.sleep(Duration::from_millis(200))?;
    }
    Ok(Output { greeted: total })
}

#[cfg(test)]
mod tests {
    use streamtask_sdk::testing::Recording;

    use super::*;

    #[test]
    fn greets_everyone() {
        let run = Recording::new();
        let names = vec!["Ada".to_owned(), "Alan".to_owned()];
        assert_eq!(greet(&run, Input { names }).unwrap().greeted, 2);
        assert_eq!(run.data("greeting"), ["Hello, Ada!", "Hello, Alan!"]);
    }
}
