//! Cost of one step of a check: more than one unit if a keyword compares the value with many others, or reads all of it.

use serde_json::{Map, Value, json};

use super::error::SchemaError;
use super::patterns::Patterns;

/// Comparisons that take as long as a step.
const COMPARISONS: usize = 8;
/// Bytes that are compared in the time of a step.
const COMPARED_BYTES: usize = 1024;
/// KiB of compiled patterns that process one byte in the time of a step, at worst.
const PATTERN_KIB: usize = 256;
/// Cost of reading a byte without patterns, in the same unit.
const READING_KIB: usize = 4;

/// Keywords that read all of a text.
const READERS: [&str; 7] =
    ["pattern", "minLength", "maxLength", "format", "const", "enum", "contentEncoding"];
/// Keywords that look for each of their names in an object.
const NAMES: [&str; 5] = ["properties", "required", "dependentRequired", "dependencies", "dependentSchemas"];

/// Cost of the keywords of one part of a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    /// Cost for any value.
    fixed: usize,
    /// Cost per byte of a text, in KiB of patterns.
    text_kib: usize,
    /// Cost per byte of the names of an object's members.
    names_kib: usize,
    /// Whether the items of an array are compared with one another.
    unique: bool,
}

impl Weight {
    /// The cost of a part. Fails if a pattern is too large.
    pub(super) fn of(members: &Map<String, Value>, patterns: &mut Patterns) -> Result<Self, SchemaError> {
        let mut weight = Self { fixed: 1, ..Self::default() };
        for (name, member) in members {
            let name = name.as_str();
            if READERS.contains(&name) {
                weight.text_kib = weight.text_kib.max(READING_KIB);
            }
            match (name, member) {
                ("const", value) => weight.fixed += comparing(value),
                ("enum", Value::Array(values)) if !is_looked_up(values) => {
                    weight.fixed += values.iter().map(comparing).sum::<usize>();
                }
                ("uniqueItems", Value::Bool(true)) => weight.unique = true,
                ("patternProperties", Value::Object(parts)) => {
                    for pattern in parts.keys() {
                        weight.names_kib += patterns.size(pattern)? as usize;
                    }
                }
                _ if NAMES.contains(&name) => weight.fixed += size(member, 1).0 / COMPARISONS,
                _ => {}
            }
        }
        // Last, or keywords that read a text would count less.
        if let Some(Value::String(pattern)) = members.get("pattern") {
            weight.text_kib += patterns.size(pattern)? as usize;
        }
        Ok(weight)
    }

    /// The cost as a member of a schema.
    pub(super) fn to_value(self) -> Value {
        json!([self.fixed, self.text_kib, self.names_kib, self.unique])
    }

    /// Parses the result of [`to_value`](Self::to_value).
    pub(super) fn from_value(value: &Value) -> Option<Self> {
        let number = |nth: usize| usize::try_from(value.get(nth)?.as_u64()?).ok();
        Some(Self {
            fixed: number(0)?,
            text_kib: number(1)?,
            names_kib: number(2)?,
            unique: value.get(3)?.as_bool()?,
        })
    }

    /// The cost for one value.
    pub(super) fn cost(self, value: &Value) -> usize {
        let of_value = match value {
            Value::String(text) => reading(text.len(), self.text_kib),
            Value::Object(members) if self.names_kib > 0 => {
                let bytes: usize = members.keys().map(|name| name.len() + 1).sum();
                reading(bytes, self.names_kib + READING_KIB)
            }
            Value::Array(items) if self.unique => items.iter().map(comparing).sum(),
            _ => 0,
        };
        self.fixed.saturating_add(of_value)
    }
}

/// Cost of matching a text of that many bytes with patterns of that many KiB.
pub(super) fn reading(bytes: usize, kib: usize) -> usize {
    bytes.saturating_mul(kib) / PATTERN_KIB
}

/// Rounded up, so that many small costs count like a large one.
fn comparing(value: &Value) -> usize {
    let (values, bytes) = size(value, usize::MAX);
    values.div_ceil(COMPARISONS) + bytes / COMPARED_BYTES
}

/// Whether the library finds a value among these by a lookup, in constant time.
fn is_looked_up(values: &[Value]) -> bool {
    values.iter().all(Value::is_string) || values.iter().all(Value::is_i64)
}

/// Number of values in this one down to a depth, and bytes of texts.
fn size(value: &Value, depth: usize) -> (usize, usize) {
    let add = |(values, bytes): (usize, usize), item: &Value| {
        let more = if depth == 0 { (1, 0) } else { size(item, depth - 1) };
        (values + more.0, bytes + more.1)
    };
    match value {
        Value::Array(items) => items.iter().fold((1, 0), add),
        Value::Object(members) => {
            let names = members.keys().map(String::len).sum();
            members.values().fold((1, names), add)
        }
        Value::String(text) => (1, text.len()),
        _ => (1, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(part: &Value) -> Weight {
        Weight::of(part.as_object().unwrap(), &mut Patterns::default()).unwrap()
    }

    #[test]
    fn what_compares_or_reads_more_costs_more() {
        let objects: Vec<Value> = (0..8000).map(|n| json!({ "n": n })).collect();
        let texts: Vec<Value> = (0..8000).map(|n| json!(n.to_string())).collect();
        let names: Vec<String> = (0..8000).map(|n| n.to_string()).collect();
        let long = "x".repeat(100_000);
        for (part, value, least, most) in [
            (json!({ "type": "object" }), json!({}), 1, 1),
            (json!({ "enum": objects }), json!(1), 2000, 10_000),
            (json!({ "enum": texts }), json!("x"), 1, 1),
            (json!({ "const": objects }), json!(1), 2000, 10_000),
            (json!({ "const": long }), json!(1), 90, 110),
            (json!({ "required": names }), json!({}), 1000, 1100),
            (json!({ "uniqueItems": true }), json!(objects), 2000, 10_000),
            (json!({ "uniqueItems": false }), json!(objects), 1, 1),
            (json!({ "minLength": 1 }), json!(long), 1000, 2000),
            (json!({ "pattern": "^[a-z]+$" }), json!(long), 4000, 8000),
            (json!({ "pattern": "^\\p{L}+$" }), json!(long), 10_000, 100_000),
            (json!({ "patternProperties": { "^[a-z]+$": {} } }), json!({ long: 1 }), 4000, 8000),
        ] {
            let cost = weight(&part).cost(&value);
            assert!((least..=most).contains(&cost), "{cost} for {:.60}", part.to_string());
        }
    }

    #[test]
    fn a_weight_comes_back_from_a_schema_as_it_was() {
        let weight = Weight { fixed: 7, text_kib: 12, names_kib: 4, unique: true };
        assert_eq!(Weight::from_value(&weight.to_value()), Some(weight));
    }
}
