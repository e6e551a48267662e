//! Closes input schemas, so that they reject unknown names: a misspelt name would otherwise be ignored
//! silently.

use std::collections::BTreeSet;

use schemars::Schema;
use serde_json::Value;

/// Keywords whose subschemas describe the same object as the schema around them.
const IN_PLACE: [&str; 8] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"];

/// Adds `additionalProperties: false` to each object with known properties, unless its schema mentions other
/// properties. Objects that several schemas describe together stay open, because none of these knows all
/// names.
pub(crate) fn close(schema: &mut Schema) {
    let mut shared = BTreeSet::new();
    find_shared(schema.as_value(), &mut shared);
    if let Some(root) = schema.as_object_mut() {
        close_object(root, false, &shared);
    }
}

/// Collects the references to schemas that describe only a part of an object.
fn find_shared<'a>(schema: &'a Value, shared: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            let is_part = object.contains_key("properties");
            let mut parts: Vec<&'a Value> =
                IN_PLACE.iter().filter_map(|keyword| object.get(*keyword)).collect();
            if is_part {
                if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                    shared.insert(reference.to_owned());
                }
                while let Some(part) = parts.pop() {
                    match part {
                        Value::Array(several) => parts.extend(several),
                        Value::Object(one) => {
                            shared.extend(one.get("$ref").and_then(Value::as_str).map(str::to_owned));
                            parts.extend(IN_PLACE.iter().filter_map(|keyword| one.get(*keyword)));
                        }
                        _ => {}
                    }
                }
            }
            object.values().for_each(|value| find_shared(value, shared));
        }
        Value::Array(values) => values.iter().for_each(|value| find_shared(value, shared)),
        _ => {}
    }
}

/// `is_part`: other schemas describe the same object, too.
fn close_object(object: &mut serde_json::Map<String, Value>, is_part: bool, shared: &BTreeSet<String>) {
    let has_properties = object.contains_key("properties");
    let has_parts =
        object.contains_key("$ref") || IN_PLACE.iter().any(|keyword| object.contains_key(*keyword));
    let is_known =
        object.contains_key("additionalProperties") || object.contains_key("unevaluatedProperties");
    if has_properties && !has_parts && !is_part && !is_known {
        object.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    for (keyword, value) in object.iter_mut() {
        match keyword.as_str() {
            "$defs" | "properties" | "patternProperties" => {
                let Value::Object(schemas) = value else { continue };
                for (name, schema) in schemas {
                    let is_part = keyword == "$defs" && shared.contains(&format!("#/$defs/{name}"));
                    close_value(schema, is_part, shared);
                }
            }
            "const" | "enum" | "default" | "examples" => {}
            keyword => close_value(value, IN_PLACE.contains(&keyword) && (is_part || has_properties), shared),
        }
    }
}

fn close_value(value: &mut Value, is_part: bool, shared: &BTreeSet<String>) {
    match value {
        Value::Object(object) => close_object(object, is_part, shared),
        Value::Array(values) => values.iter_mut().for_each(|value| close_value(value, is_part, shared)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn closed(schema: Value) -> Value {
        let mut schema = Schema::try_from(schema).unwrap();
        close(&mut schema);
        schema.to_value()
    }

    #[test]
    fn objects_with_known_properties_are_closed_wherever_they_are() {
        let schema = closed(json!({
            "type": "object",
            "properties": { "steps": { "$ref": "#/$defs/Step" }, "default": { "type": "object", "properties": {} } },
            "$defs": { "Step": { "type": "object", "properties": { "n": {} } } }
        }));
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["$defs"]["Step"]["additionalProperties"], false);
        assert_eq!(schema["properties"]["default"]["additionalProperties"], false);
        assert_eq!(schema["$defs"].get("additionalProperties"), None);
    }

    #[test]
    fn each_variant_of_an_enum_is_closed() {
        let variant = json!({ "type": "object", "properties": { "a": {} }, "required": ["a"] });
        let schema = closed(json!({ "oneOf": [variant] }));
        assert_eq!(schema["oneOf"][0]["additionalProperties"], false);
    }

    #[test]
    fn what_is_open_by_its_type_or_described_in_several_places_stays_open() {
        let map = json!({ "type": "object", "additionalProperties": { "type": "string" } });
        assert_eq!(closed(map.clone()), map);
        let asked = json!({ "type": "object", "properties": {}, "additionalProperties": true });
        assert_eq!(closed(asked.clone()), asked);
        let tagged = json!({
            "oneOf": [{ "type": "object", "properties": { "kind": { "const": "step" } }, "$ref": "#/$defs/Step" }],
            "$defs": { "Step": { "type": "object", "properties": { "n": {} } } }
        });
        assert_eq!(closed(tagged.clone()), tagged);
        let flattened = json!({
            "type": "object", "properties": { "a": {} },
            "oneOf": [{ "type": "object", "properties": { "b": {} } }, { "$ref": "#/$defs/C" }],
            "$defs": { "C": { "type": "object", "properties": { "c": {} } } }
        });
        assert_eq!(closed(flattened.clone()), flattened);
        let examples = json!({ "examples": [{ "properties": {} }], "default": { "properties": 1 } });
        assert_eq!(closed(examples.clone()), examples);
    }
}
