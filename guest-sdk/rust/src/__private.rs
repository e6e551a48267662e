//! What the code that `#[task]` makes refers to. It changes without notice.

use schemars::Schema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Context, Failure, JsonSchema, closed};

pub use schemars;
pub use serde::de::IgnoredAny;

#[cfg(target_family = "wasm")]
pub use crate::guest::{Component, bindings, bindings::export_task};

/// A function that `#[task]` was put on.
pub trait Task {
    /// What `process` gets.
    type Input: DeserializeOwned;
    /// What the function returns.
    type Outcome: Outcome;
    /// From the doc comment, or from `Cargo.toml`.
    const DESCRIPTION: &'static str;

    /// Calls the function.
    fn call(ctx: &Context, input: Self::Input) -> Self::Outcome;

    /// The schemas of input and output, as far as they are known.
    fn schemas() -> Schemas;
}

/// What a task returns: a `Result`, however it is spelt.
#[diagnostic::on_unimplemented(
    message = "a task returns `Result<Output, Failure>`",
    label = "`Output` has to implement `Serialize`, and `Failure: From` the error"
)]
pub trait Outcome {
    /// The value of success.
    type Output;

    /// The value as JSON.
    fn into_json(self) -> Result<String, Failure>;
}

impl<T: Serialize, E: Into<Failure>> Outcome for Result<T, E> {
    type Output = T;

    fn into_json(self) -> Result<String, Failure> {
        let output = self.map_err(Into::into)?;
        serde_json::to_string(&output).map_err(|error| {
            Failure::new(format_args!("the output has no form in JSON: {error}")).code("invalid-output")
        })
    }
}

/// JSON Schemas.
#[derive(Default, Serialize)]
pub struct Schemas {
    #[serde(rename = "input_schema", skip_serializing_if = "Option::is_none")]
    input: Option<Schema>,
    #[serde(rename = "output_schema", skip_serializing_if = "Option::is_none")]
    output: Option<Schema>,
}

impl Schemas {
    /// Adds the schema of what `T` is read from, which refuses what `T` does not have.
    #[must_use]
    pub fn with_input<T: JsonSchema>(mut self) -> Self {
        let settings = schemars::generate::SchemaSettings::draft2020_12().for_deserialize();
        let mut schema = settings.into_generator().into_root_schema_for::<T>();
        closed::close(&mut schema);
        self.input = Some(schema);
        self
    }

    /// Adds the schema of what `T` is written as.
    #[must_use]
    pub fn with_output<T: JsonSchema>(mut self) -> Self {
        let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
        self.output = Some(settings.into_generator().into_root_schema_for::<T>());
        self
    }
}

/// The export `process`.
pub fn process<T: Task>(ctx: &Context, input: &str) -> Result<String, Failure> {
    T::call(ctx, parse(input)?).into_json()
}

/// The export `describe`.
pub fn describe<T: Task>() -> String {
    #[derive(Serialize)]
    struct Metadata<'a> {
        #[serde(skip_serializing_if = "str::is_empty")]
        description: &'a str,
        #[serde(flatten)]
        schemas: Schemas,
    }
    let metadata = Metadata { description: T::DESCRIPTION.trim(), schemas: T::schemas() };
    serde_json::to_string(&metadata).expect("texts and schemas have a form in JSON")
}

fn parse<T: DeserializeOwned>(input: &str) -> Result<T, Failure> {
    let mut json = serde_json::Deserializer::from_str(input);
    serde_path_to_error::deserialize(&mut json)
        .map_err(|error| Failure::new(format_args!("the input does not fit: {error}")).code("invalid-input"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::Recording;

    struct Doubles;

    impl Task for Doubles {
        type Input = Vec<u32>;
        type Outcome = Result<Vec<u32>, Failure>;
        const DESCRIPTION: &'static str = "Doubles.\n";

        fn call(ctx: &Context, input: Vec<u32>) -> Self::Outcome {
            ctx.send("called", &())?;
            Ok(input.into_iter().map(|number| number * 2).collect())
        }

        fn schemas() -> Schemas {
            Schemas::default().with_input::<Self::Input>()
        }
    }

    #[test]
    fn json_goes_in_and_out() {
        assert_eq!(process::<Doubles>(&Recording::new(), "[1, 2]").unwrap(), "[2,4]");
    }

    #[test]
    fn an_input_that_does_not_fit_is_refused_with_the_place() {
        let run = Recording::new();
        let failure = process::<Doubles>(&run, r#"[1, "2"]"#).unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("invalid-input"));
        assert!(
            failure.message.starts_with("the input does not fit: [1]: invalid type: string"),
            "{failure}"
        );
        assert!(run.events().is_empty());
    }

    #[test]
    fn describes_what_is_known() {
        let metadata: Value = serde_json::from_str(&describe::<Doubles>()).unwrap();
        assert_eq!(metadata["description"], "Doubles.");
        assert_eq!(metadata["input_schema"]["items"]["type"], "integer");
        assert_eq!(metadata.get("output_schema"), None);
    }
}
