//! `#[task]` on functions of every allowed shape. That this compiles is most of
//! the test: the exports themselves exist on WebAssembly only.

use serde::{Deserialize, Serialize};
use streamtask_sdk::testing::Recording;
use streamtask_sdk::{Cancelled, Context, Error, Failure, task};

mod with_everything {
    use super::*;
    use streamtask_sdk::JsonSchema;

    #[derive(Deserialize, JsonSchema)]
    pub(super) struct Input {
        pub(super) steps: u32,
    }

    #[derive(Serialize, JsonSchema)]
    pub(super) struct Output {
        pub(super) steps: u32,
    }

    /// Counts.
    #[doc = include_str!("../Cargo.toml")]
    #[task]
    pub(super) fn counts(ctx: &Context, input: Input) -> Result<Output, Failure> {
        for step in 1..=input.steps {
            ctx.send("step", &step)?;
        }
        Ok(Output { steps: input.steps })
    }
}

mod without_schema {
    use super::*;

    #[derive(Deserialize)]
    pub(super) struct Input {
        pub(super) name: String,
    }

    #[derive(Debug, PartialEq, Serialize)]
    pub(super) struct Output(String);

    #[task(no_schema)]
    pub(super) fn greets(_ctx: &Context, Input { name }: Input) -> Result<Output, Failure> {
        Ok(Output(name))
    }
}

mod without_input {
    use super::*;

    #[task]
    pub(super) fn ticks(ctx: &Context) -> Result<(), Error> {
        ctx.send("tick", &())
    }
}

mod with_an_alias_and_an_error_of_its_own {
    use super::*;

    type Outcome<T> = Result<T, Cancelled>;

    #[task]
    pub(super) fn waits(ctx: &Context, ms: u64) -> Outcome<u64> {
        ctx.sleep(std::time::Duration::from_millis(ms))?;
        Ok(ms)
    }
}

mod with_names_that_are_in_the_way {
    use super::*;

    pub(super) mod sdk {
        #[derive(Debug, PartialEq, serde::Deserialize, serde::Serialize, streamtask_sdk::JsonSchema)]
        pub(crate) struct Component(pub(crate) u8);
    }

    #[derive(Deserialize, streamtask_sdk::JsonSchema)]
    pub(super) struct Task(pub(super) u8);

    #[task]
    pub(super) fn process(_: &Context, Task(input): Task) -> Result<sdk::Component, Failure> {
        Ok(sdk::Component(input))
    }
}

#[test]
fn a_task_is_still_a_function() {
    let run = Recording::new();
    let output = with_everything::counts(&run, with_everything::Input { steps: 2 }).unwrap();
    assert_eq!((output.steps, run.data("step")), (2, vec![1.into(), 2.into()]));

    let output = without_schema::greets(&run, without_schema::Input { name: "Ada".to_owned() });
    assert_eq!(serde_json::to_string(&output.unwrap()).unwrap(), r#""Ada""#);

    without_input::ticks(&run).unwrap();
    assert_eq!(run.types(), ["step", "step", "tick"]);

    assert_eq!(with_an_alias_and_an_error_of_its_own::waits(&run, 5), Ok(5));
    let output = with_names_that_are_in_the_way::process(&run, with_names_that_are_in_the_way::Task(7));
    assert_eq!(output.unwrap().0, 7);
}
