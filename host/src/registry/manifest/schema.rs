//! The JSON Schema of manifests, for editors and programs, generated from the tables that read them.

use std::borrow::Cow;

use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::Manifest;

/// The schema, as text for people.
pub fn manifest_schema() -> String {
    let mut schema = schemars::schema_for!(Manifest);
    // Unset fields have no values in the tables, and the schema would offer these as defaults.
    let mut without_defaults = RecursiveTransform(|schema: &mut Schema| drop(schema.remove("default")));
    without_defaults.transform(&mut schema);
    schema.insert("title".to_owned(), "streamtask manifest".into());
    format!("{:#}\n", schema.to_value())
}

/// Schema of a [`Time`](crate::model::Time).
pub(super) struct TimeText;

impl JsonSchema for TimeText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // It has a unit, or is `none`.
        json_schema!({ "type": "string", "pattern": "[a-z]", "examples": ["250ms", "90s", "1h 30m", "30d", "none"] })
    }
}

/// Schema of a [`ByteSize`](bytesize::ByteSize).
pub(super) struct SizeText;

impl JsonSchema for SizeText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"], "minimum": 0, "pattern": "^ *[0-9.]+ *[kKmMgGtTpPeE]?i?[bB]? *$",
            "examples": ["64KiB", "100MB", 4096]
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    /// Shipped beside the code, for editors.
    const SHIPPED: &str = include_str!("../../../schemas/manifest.schema.json");

    /// The first manifest of a section of the book's page.
    fn page(section: &str) -> &'static str {
        let page = include_str!("../../../../docs/reference/manifest.md");
        let section = page.split(&format!("## {section}\n")).nth(1).unwrap();
        section.split("```toml\n").nth(1).unwrap().split("```").next().unwrap()
    }

    #[test]
    fn the_shipped_schema_is_that_of_the_tables() {
        assert!(
            SHIPPED == manifest_schema(),
            "write it again: cargo run -p streamtask-host -- check --manifest-schema > \
             host/schemas/manifest.schema.json"
        );
    }

    #[test]
    fn the_schema_and_the_parser_take_and_refuse_the_same() {
        let schema = serde_json::from_str(SHIPPED).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let good = [
            "",
            page("What one task may do"),
            "[limits]\nmemory = 1048576\ndeadline = 'none'\n",
            "[limits]\nlog = '1.5 MB'\ninput = '7'\n",
        ];
        let bad = [
            "nonsense = 1",
            "[limits]\nmemroy = '1MiB'",
            "[limits]\nmemory = 'much'",
            "[limits]\nmemory = -1",
            "[limits]\ncpu = 5",
            "[limits]\ncpu = '5'",
            "[limits]\nevent-rate = 0",
            "[concurrency]\nmax-running = 0",
            "[concurrency]\nkey = 'customer'",
            "[concurrency]\nif-busy = 'cry'",
            "[queue]\npriority = 101",
            "[[schedule]]\nname = 'nightly'",
            "[[schedule]]\ncron = '0 3 * * *'\nmisfire = 'some'",
            "on-interrupt = 'pray'",
            "[retry]\nattempts = 1001",
            "[retry]\nfactor = 0.5",
            "[retry]\njitter = 2",
            "[retry]\non = ['rain']",
            "[retention]\nmax-runs = 'all'",
            "[circuit-breaker]\nfailures = 0",
            "limits = 1",
            "[grants]\noutput-files = 'yes'",
            "[[grants.http]]\nports = [80]",
            "[[grants.http]]\nhost = 'a'\nschemes = ['ftp']",
            "[[grants.folders]]\npath = '/'",
            "[grants.secrets]\nA = 'plain'",
        ];
        let cases = good.iter().map(|text| (text, true)).chain(bad.iter().map(|text| (text, false)));
        for (text, valid) in cases {
            let value: Value = toml::from_str(text).unwrap();
            assert_eq!(validator.is_valid(&value), valid, "the schema: {text}");
            assert_eq!(
                super::super::check("x.toml", text, Path::new("/")).is_ok(),
                valid,
                "the parser: {text}"
            );
        }
    }

    #[test]
    fn the_page_has_every_key() {
        let schema: Value = serde_json::from_str(SHIPPED).unwrap();
        let shown = page("What one task may do").to_owned() + page("Grants");
        let shown: Value = toml::from_str(&shown).unwrap();
        for (name, table) in schema["properties"].as_object().unwrap() {
            assert!(!shown[name].is_null(), "the page's manifest has no {name}");
            let reference = table["$ref"].as_str().or_else(|| table["anyOf"][0]["$ref"].as_str());
            let Some(pointer) = reference.and_then(|reference| reference.strip_prefix('#')) else { continue };
            // A word among several has none.
            let Some(keys) = schema.pointer(pointer).unwrap()["properties"].as_object() else { continue };
            for key in keys.keys() {
                assert!(!shown[name][key].is_null(), "the page's manifest has no {name}.{key}");
            }
        }
    }
}
