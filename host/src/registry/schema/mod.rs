//! JSON Schemas of a task's inputs and results.

mod budget;
mod error;
mod patterns;
mod weight;

use std::fmt;

use jsonschema::{ValidationError, ValidationOptions, Validator};

use self::error::SchemaError;
use crate::model::{Input, Json};

/// Most violations that are reported at once.
const MAX_REPORTED: usize = 10;
/// Longest reported reason: the library quotes the value, which may be the whole input.
const MAX_REASON_BYTES: usize = 1000;
/// Bytes of a value that take as long to parse as one step.
const PARSED_BYTES: usize = 64;

/// A JSON Schema, compiled.
pub(super) struct Schema {
    validator: Validator,
    /// Size of all its patterns.
    patterns_kib: usize,
}

/// Error of a check that has used up its budget.
struct Unfinished;

/// Effort that a check may take.
struct Bounds {
    looks: usize,
    looks_for_reasons: usize,
}

/// An input or a result does not match its task's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Positions (JSON Pointers, empty for the whole) and reasons.
    pub violations: Vec<(String, String)>,
}

impl Mismatch {
    /// All violations in one line; `whole` is the word for an empty pointer.
    fn told(&self, whole: &str) -> String {
        let told = self.violations.iter().map(|(place, why)| match place.as_str() {
            "" => format!("{whole}: {why}"),
            place => format!("{place}: {why}"),
        });
        told.collect::<Vec<_>>().join("; ")
    }

    /// A list of `{"pointer","detail"}`, as in problem details (RFC 9457).
    pub fn to_json(&self) -> serde_json::Value {
        let violations = self.violations.iter();
        violations
            .map(
                |(pointer, detail)| serde_json::json!({ "pointer": format!("#{pointer}"), "detail": detail }),
            )
            .collect()
    }

    /// Message for people about a result.
    pub fn of_result(&self) -> String {
        format!("the result does not match the task's output schema: {}", self.told("all of it"))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told("the input"))
    }
}

/// Options for all schemas. `format` is checked, whatever the draft, except `regex`: that would be a pattern from a client.
pub(super) fn options() -> ValidationOptions<'static> {
    let options = jsonschema::options().with_pattern_options(patterns::engine());
    options.should_validate_formats(true).with_format("regex", |_: &str| true)
}

impl Schema {
    /// Compiles a schema. Fails if it is invalid or its patterns are too large. It may refer to its own parts
    /// only, never to a file or an address.
    pub(super) fn new(schema: &serde_json::Value) -> Result<Self, SchemaError> {
        let options = options().with_keyword(budget::KEYWORD, budget::Look::keyword);
        // Building a schema may check values, too, and the guest controls their cost.
        let built = budget::within(budget::LOOKS, || {
            let (armed, patterns_kib) = budget::arm(schema)?;
            let validator = options.build(&armed).map_err(|error| SchemaError::Invalid(error.to_string()))?;
            Ok(Self { validator, patterns_kib })
        });
        built.unwrap_or(Err(SchemaError::TooSlow))
    }

    /// Checks an input or a result, for at most some tenths of a second.
    pub(super) fn check(&self, value: &Json) -> Result<(), Mismatch> {
        self.check_tree(&value.to_value())
    }

    /// The same for a tree.
    pub(super) fn check_tree(&self, tree: &serde_json::Value) -> Result<(), Mismatch> {
        let bounds = Bounds { looks: budget::LOOKS, looks_for_reasons: budget::LOOKS_FOR_REASONS };
        self.check_within(tree, &bounds)
            .unwrap_or_else(|Unfinished| Err(fault("the task's schema takes too long to check it")))
    }

    /// The same for at most a millisecond; none if it takes longer.
    pub(super) fn check_briefly(&self, value: &Json) -> Option<Result<(), Mismatch>> {
        self.is_brief(value.as_str().len()).then(|| self.check_tree_briefly(&value.to_value()))?
    }

    /// The same for an input.
    pub(super) fn check_input_briefly(&self, input: &Input) -> Option<Result<(), Mismatch>> {
        self.is_brief(input.as_str().len()).then(|| self.check_tree_briefly(input.tree()))?
    }

    /// Whether a value of this size can be parsed and read within a millisecond.
    fn is_brief(&self, bytes: usize) -> bool {
        // Work that is not counted otherwise: parsing the value, and reading each of its texts once.
        let uncounted = bytes / PARSED_BYTES + weight::reading(bytes, self.patterns_kib);
        uncounted <= budget::BRIEF_LOOKS
    }

    fn check_tree_briefly(&self, tree: &serde_json::Value) -> Option<Result<(), Mismatch>> {
        let bounds = Bounds { looks: budget::BRIEF_LOOKS, looks_for_reasons: budget::BRIEF_LOOKS };
        self.check_within(tree, &bounds).ok()
    }

    fn check_within(
        &self,
        value: &serde_json::Value,
        bounds: &Bounds,
    ) -> Result<Result<(), Mismatch>, Unfinished> {
        match budget::within(bounds.looks, || self.validator.is_valid(value)) {
            Ok(true) => return Ok(Ok(())),
            Ok(false) => {}
            Err(_) => return Err(Unfinished),
        }
        // The library stores every reason, so this has a smaller budget.
        let reasons = || self.validator.iter_errors(value).take(MAX_REPORTED).map(reason).collect();
        Ok(Err(match budget::within(bounds.looks_for_reasons, reasons) {
            Ok(violations) => Mismatch { violations },
            Err(_) if bounds.looks < budget::LOOKS => return Err(Unfinished),
            Err(_) => fault("it does not match, for more reasons than can be told"),
        }))
    }
}

fn fault(why: &str) -> Mismatch {
    Mismatch { violations: vec![(String::new(), why.to_owned())] }
}

/// Where and why.
fn reason(error: ValidationError<'_>) -> (String, String) {
    let mut why = error.to_string();
    if why.len() > MAX_REASON_BYTES {
        why.truncate(why.floor_char_boundary(MAX_REASON_BYTES));
        why.push('…');
    }
    (error.instance_path().to_string(), why)
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
    /// Ten lines that require 2^100 steps.
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
        assert!(Schema::new(&hidden).is_err_and(|error| error.to_string().contains("into a value")));
    }

    #[test]
    fn a_format_is_checked_whatever_the_draft() {
        for draft in
            ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"]
        {
            for (format, good, bad) in [
                ("email", "a@example.com", "a at example.com"),
                ("date", "2024-02-29", "2023-02-29"),
                ("date-time", "2024-02-29T12:00:00Z", "yesterday"),
                ("uri", "https://example.com/?a=b", "not a uri"),
                ("regex", "(", "anything"),
            ] {
                let schema = Schema::new(&json!({ "$schema": draft, "format": format })).unwrap();
                assert!(schema.check(&Json::of(&json!(good))).is_ok(), "{format}");
                let checked = schema.check(&Json::of(&json!(bad)));
                assert_eq!(checked.is_err(), format != "regex", "{format}");
            }
        }
    }

    #[test]
    fn patterns_and_comparisons_are_counted() {
        let objects: Vec<_> = (0..8000).map(|n| json!({ "n": n })).collect();
        let letters: Vec<_> = (1..6).map(|n| json!({ "pattern": format!("^\\p{{L}}{{{n}}}$") })).collect();
        let texts: Vec<_> = (0..100).map(|_| "ä".repeat(5000)).collect();
        for (schema, input) in [
            (json!({ "items": { "enum": objects } }), json!(vec![json!({ "n": -1, "m": 1 }); 5000])),
            (json!({ "items": { "not": { "enum": objects } } }), json!(vec![json!({ "m": 1 }); 5000])),
            (json!({ "items": { "not": { "anyOf": letters } } }), json!(texts)),
        ] {
            let schema = Schema::new(&schema).unwrap();
            let input = Json::of(&input);
            assert!(schema.check_briefly(&input).is_none());
            let _ = schema.check(&input);
        }
        let schema = Schema::new(&json!({ "items": { "not": { "enum": objects } } })).unwrap();
        let error = schema.check(&Json::of(&json!(vec![json!({ "m": 1 }); 5000]))).unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }

    #[test]
    fn patterns_of_names_are_counted_and_change_no_schema() {
        let refused = json!({ "$ref": "#/$defs/names" });
        let names = json!({ "patternProperties": { "^(\\p{L}{5})*$": false } });
        let schema = json!({ "not": { "anyOf": vec![refused; 2000] }, "$defs": { "names": names } });
        let schema = Schema::new(&schema).unwrap();
        let error = schema.check(&Json::of(&json!({ "ä".repeat(50_000): 1 })));
        assert!(error.unwrap_err().to_string().contains("too long"));

        let schema = Schema::new(&json!({
            "properties": { "a": { "type": "string" }, "b": { "$ref": "#/properties/a" } },
            "patternProperties": { "^x": { "type": "integer" } },
            "additionalProperties": { "$ref": "#/patternProperties/%5Ex" },
            "required": ["a"]
        }))
        .unwrap();
        let check = |input: serde_json::Value| schema.check(&Json::of(&input)).is_ok();
        assert!(check(json!({ "a": "a", "b": "b", "x": 1, "other": 2 })));
        assert!(!check(json!({})) && !check(json!({ "a": 1 })) && !check(json!({ "a": "a", "b": 1 })));
        assert!(!check(json!({ "a": "a", "x": "x" })) && !check(json!({ "a": "a", "other": "x" })));
    }

    #[test]
    fn a_usual_check_is_brief_and_says_the_same() {
        let schema = Schema::new(&json!({
            "type": "object", "properties": { "name": { "type": "string", "pattern": "^\\p{L}+$" } }
        }))
        .unwrap();
        for input in [json!({ "name": "Ada" }), json!({ "name": "1" }), json!(1)] {
            let input = Json::of(&input);
            assert_eq!(schema.check_briefly(&input), Some(schema.check(&input)));
        }
        let long = Json::of(&json!({ "name": "x".repeat(1 << 20) }));
        assert!(schema.check_briefly(&long).is_none(), "it is checked elsewhere");
        assert!(schema.check(&long).is_ok());
    }

    #[test]
    fn a_reason_does_not_repeat_a_large_input() {
        let schema = Schema::new(&json!({ "type": "object" })).unwrap();
        let error = schema.check(&Json::of(&json!("é".repeat(100_000)))).unwrap_err();
        assert!(error.to_string().len() < 2000);
    }
}
