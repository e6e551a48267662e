//! A task's input schema.

use std::fmt;

use jsonschema::{PatternOptions, Validator};

use crate::model::Json;

/// Most violations that are reported at once.
const MAX_REPORTED: usize = 10;

/// A JSON Schema, compiled.
pub(super) struct Schema(Validator);

/// An input does not match its task's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// Where (a JSON Pointer, empty for the whole) and why.
    pub violations: Vec<(String, String)>,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (place, why)) in self.violations.iter().enumerate() {
            let separator = if nth == 0 { "" } else { "; " };
            let place = if place.is_empty() { "the input" } else { place };
            write!(f, "{separator}{place}: {why}")?;
        }
        Ok(())
    }
}

impl Schema {
    /// Fails with the reason if `schema` is not a JSON Schema. It may refer to
    /// parts of itself only, never to a file or an address.
    pub(super) fn new(schema: &serde_json::Value) -> Result<Self, String> {
        // Patterns come from the guest and inputs from clients: only an engine with linear time may match them.
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
        options.build(schema).map(Self).map_err(|error| error.to_string())
    }

    pub(super) fn check(&self, input: &Json) -> Result<(), InputError> {
        let value = input.to_value();
        let violations: Vec<_> = self
            .0
            .iter_errors(&value)
            .take(MAX_REPORTED)
            .map(|error| (error.instance_path().to_string(), error.to_string()))
            .collect();
        if violations.is_empty() { Ok(()) } else { Err(InputError { violations }) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn says_where_an_input_does_not_match() {
        let schema = Schema::new(&json!({
            "type": "object",
            "properties": { "steps": { "type": "integer", "minimum": 1 } },
            "required": ["steps"]
        }))
        .unwrap();
        assert!(schema.check(&Json::of(&json!({ "steps": 3 }))).is_ok());
        let error = schema.check(&Json::of(&json!({ "steps": 0 }))).unwrap_err();
        assert_eq!(error.violations[0].0, "/steps");
        let error = schema.check(&Json::of(&json!({}))).unwrap_err();
        assert_eq!(error.violations[0].0, "");
        assert!(error.to_string().contains("steps"), "{error}");
    }

    #[test]
    fn refuses_what_is_no_schema_or_leads_elsewhere() {
        assert!(Schema::new(&json!({ "type": "nonsense" })).is_err());
        assert!(Schema::new(&json!({ "$ref": "file:///etc/passwd" })).is_err());
        assert!(Schema::new(&json!({ "$ref": "https://example.com/schema.json" })).is_err());
    }
}
