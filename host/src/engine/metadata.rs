//! The description of a task: what its `describe` returns, and what its file imports and exports.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::{Json, JsonError};

/// The kind of a task's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A component for the world of the contract.
    Task,
    /// A component for the async world, an experiment.
    AsyncTask,
    /// An ordinary program: a component with `wasi:cli/run`.
    Command,
    /// An ordinary program: a core module for WASI preview 1.
    Module,
}

/// A task's description of itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Described")]
pub struct TaskMetadata {
    /// Text for people.
    pub description: Option<String>,
    /// JSON Schema of every valid input, as its author wrote it: a form shows the properties in that order, which a
    /// parsed value loses.
    pub input_schema: Option<Json>,
    /// JSON Schema of the result.
    pub output_schema: Option<Json>,
}

/// The JSON that `describe` returns.
#[derive(Deserialize)]
struct Described {
    description: Option<String>,
    input_schema: Option<Box<RawValue>>,
    output_schema: Option<Box<RawValue>>,
}

impl TryFrom<Described> for TaskMetadata {
    type Error = JsonError;

    fn try_from(described: Described) -> Result<Self, JsonError> {
        let text = |schema: Option<Box<RawValue>>| schema.map(|text| Json::parse(text.get())).transpose();
        Ok(Self {
            description: described.description,
            input_schema: text(described.input_schema)?,
            output_schema: text(described.output_schema)?,
        })
    }
}

/// The kind, imports and exports of a task's file, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramOutline {
    /// The kind of task.
    pub kind: Kind,
    /// Imported interfaces and functions, in order.
    pub imports: Vec<String>,
    /// Exported interfaces and functions, in order.
    pub exports: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_keeps_the_order_in_which_it_was_written() {
        let text = r#"{"description":"d","output_schema":null,"input_schema":{"type":"object",
            "properties":{"name":{"type":"string"},"age":{"type":"integer"}}}}"#;
        let metadata: TaskMetadata = serde_json::from_str(text).unwrap();
        let schema = metadata.input_schema.unwrap();
        assert_eq!(schema.to_value()["properties"]["age"]["type"], "integer");
        let written = schema.into_string();
        assert!(written.find("name") < written.find("age") && !written.contains('\n'), "{written}");
        assert_eq!((metadata.description.as_deref(), metadata.output_schema), (Some("d"), None));
        for bad in
            [r#"{"input_schema":}"#, r#"{"input_schema":{"$serde_json::private::RawValue":"{}"}}"#, "[1]"]
        {
            assert!(serde_json::from_str::<TaskMetadata>(bad).is_err(), "{bad}");
        }
    }
}
