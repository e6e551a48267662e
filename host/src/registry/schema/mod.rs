//! A task's input schema.

mod budget;

use std::fmt;

use jsonschema::{PatternOptions, ValidationError, Validator};

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
        let options = options.with_keyword(budget::KEYWORD, budget::Look::keyword);
        // Building may check too, with what the guest says of itself.
        let built = budget::within(budget::LOOKS, || {
            options.build(&budget::arm(schema)?).map_err(|error| error.to_string())
        });
        built.unwrap_or_else(|_| Err("it takes too long to build".to_owned())).map(Self)
    }

    pub(super) fn check(&self, input: &Json) -> Result<(), InputError> {
        let value = input.to_value();
        let place = |error: ValidationError<'_>| (error.instance_path().to_string(), error.to_string());
        let fault = |why: &str| InputError { violations: vec![(String::new(), why.to_owned())] };
        match budget::within(budget::LOOKS, || self.0.is_valid(&value)) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(_) => return Err(fault("the task's schema takes too long to check it")),
        }
        // The library keeps every reason that it finds, so these get fewer looks.
        let reasons = || self.0.iter_errors(&value).take(MAX_REPORTED).map(place).collect();
        match budget::within(budget::LOOKS_FOR_REASONS, reasons) {
            Ok(violations) => Err(InputError { violations }),
            Err(_) => Err(fault("it does not match, for more reasons than can be told")),
        }
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
    /// Ten lines that ask for 2^100 looks.
    fn doubling(keyword: &str) -> serde_json::Value {
        let mut definitions = serde_json::Map::new();
        for nth in 0..100 {
            let next = json!({ "$ref": format!("#/$defs/d{}", nth + 1) });
            definitions.insert(format!("d{nth}"), json!({ keyword: [next, next] }));
        }
        definitions.insert("d100".to_owned(), json!({ "type": "string" }));
        json!({ "$ref": "#/$defs/d0", "$defs": definitions })
    }

    #[test]
    fn a_schema_without_end_is_given_up() {
        let itself_twice =
            json!({ "items": { "anyOf": [{ "$ref": "#" }, { "$ref": "#" }] }, "type": "array" });
        let deep: serde_json::Value =
            serde_json::from_str(&format!("{}1{}", "[".repeat(60), "]".repeat(60))).unwrap();
        for (schema, input) in [
            (doubling("allOf"), json!({})),
            (doubling("anyOf"), json!(1)),
            (doubling("oneOf"), json!([1])),
            (itself_twice, deep),
        ] {
            let schema = Schema::new(&schema).unwrap();
            assert!(schema.check(&Json::of(&input)).is_err());
        }
    }

    #[test]
    fn a_budget_changes_no_schema() {
        let schema = json!({
            "properties": {
                "const": { "const": { "a": 1 } },
                "enum": { "enum": [{ "a": 1 }] },
                "properties": { "$ref": "#/$defs/default" },
                "allOf": { "$ref": "#/allOf/1" },
                "a b": { "$ref": "#/properties/allOf" }
            },
            "allOf": [{ "type": "object" }, { "not": { "type": "null" } }],
            "dependentRequired": { "a b": ["enum"] },
            "$defs": { "default": { "type": "string" } },
            "additionalProperties": false
        });
        let schema = Schema::new(&schema).unwrap();
        let check = |input: serde_json::Value| schema.check(&Json::of(&input)).is_ok();
        assert!(check(json!({ "const": { "a": 1 }, "enum": { "a": 1 }, "properties": "x" })));
        assert!(!check(json!({ "const": { "a": 2 } })) && !check(json!({ "enum": 1 })));
        assert!(check(json!({ "allOf": 1, "a b": 1, "enum": { "a": 1 } })));
        assert!(!check(json!({ "allOf": null })) && !check(json!({ "a b": null, "enum": { "a": 1 } })));
        assert!(!check(json!({ "a b": 1 })) && !check(json!(1)));
        assert!(!check(json!({ "properties": 1 })) && !check(json!({ "x-streamtask-look": 1 })));
        let hidden = json!({ "$ref": "#/%63onst/x", "const": { "x": {} } });
        assert!(Schema::new(&hidden).is_err_and(|reason| reason.contains("into a value")));
    }
}
