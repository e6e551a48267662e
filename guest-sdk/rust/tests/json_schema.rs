//! Our derive gives the schemas that the one of schemars gives.

#![expect(dead_code, reason = "the types are only described")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use streamtask_sdk::__private::schemars;
use streamtask_sdk::JsonSchema;

/// A module with types that derive `$derive`. The modules' names differ, and the
/// names of the types do not.
macro_rules! types {
    ($module:ident, $derive:path) => {
        mod $module {
            use super::*;

            /// A type with a bit of everything.
            #[derive(Deserialize, Serialize, $derive)]
            #[serde(rename_all = "camelCase", deny_unknown_fields)]
            pub(super) struct Mixed {
                /// With a description.
                first_name: String,
                #[serde(default)]
                count: u32,
                #[serde(default = "ten")]
                #[schemars(range(min = 1, max = 100))]
                limit: u64,
                optional: Option<bool>,
                #[serde(skip)]
                hidden: u8,
                #[serde(flatten)]
                rest: BTreeMap<String, Value>,
            }

            #[derive(Deserialize, Serialize, $derive)]
            #[serde(default)]
            pub(super) struct WithDefault {
                steps: u32,
                name: String,
            }

            impl Default for WithDefault {
                fn default() -> Self {
                    Self { steps: 10, name: "x".to_owned() }
                }
            }

            #[derive(Deserialize, Serialize, $derive)]
            #[schemars(rename = "Renamed", description = "said otherwise")]
            pub(super) struct ByAttribute(Vec<(u8, String)>);

            #[derive(Deserialize, Serialize, $derive)]
            #[serde(tag = "how", rename_all = "kebab-case")]
            pub(super) enum Tagged {
                /// The first.
                FirstOne,
                Second {
                    value: Option<u32>,
                },
            }

            #[derive(Deserialize, Serialize, $derive)]
            #[serde(untagged)]
            pub(super) enum Untagged {
                Text(String),
                Number(f64),
            }

            #[derive(Deserialize, Serialize, $derive)]
            pub(super) struct Tree {
                value: String,
                children: Vec<Tree>,
                by_name: BTreeMap<String, Tree>,
            }

            #[derive(Deserialize, Serialize, $derive)]
            pub(super) struct Generic<T: Send, const N: usize> {
                item: T,
                items: Vec<T>,
            }

            #[derive(Deserialize, Serialize, $derive)]
            pub(super) struct Outer {
                mixed: Mixed,
                generic: Generic<Mixed, 3>,
                tagged: Option<Tagged>,
            }

            #[derive(Deserialize, Serialize, $derive)]
            pub(super) struct Unit;
        }
    };
}

types!(ours, streamtask_sdk::JsonSchema);
types!(theirs, schemars::JsonSchema);

fn ten() -> u64 {
    10
}

#[test]
fn the_schemas_are_those_of_schemars() {
    macro_rules! same {
        ($($ty:ident),*) => {$(
            let ours = schemars::schema_for!(ours::$ty).to_value();
            let theirs = schemars::schema_for!(theirs::$ty).to_value();
            assert_eq!(ours, theirs);
        )*};
    }
    same!(Mixed, WithDefault, ByAttribute, Tagged, Untagged, Tree, Outer, Unit);
    let ours = schemars::schema_for!(ours::Generic<u8, 2>).to_value();
    let theirs = schemars::schema_for!(theirs::Generic<u8, 2>).to_value();
    assert_eq!(ours, theirs);
}

#[test]
fn a_type_inside_of_a_function_can_derive_it() {
    #[derive(JsonSchema)]
    struct Local {
        steps: u32,
    }
    assert_eq!(
        schemars::schema_for!(Local).to_value()["properties"],
        json!({ "steps": { "type": "integer", "format": "uint32", "minimum": 0 } })
    );
}

mod without_schemars_in_reach {
    // A type that gets in the way of a sloppy macro.
    #[derive(streamtask_sdk::JsonSchema)]
    pub(super) struct Cow(u8);

    #[allow(unused, reason = "only its name matters")]
    mod std {}
    #[allow(unused, reason = "only its name matters")]
    mod schemars {}
}

#[test]
fn names_in_the_user_s_module_do_no_harm() {
    let schema = schemars::schema_for!(without_schemars_in_reach::Cow).to_value();
    assert_eq!(schema["type"], "integer");
}

/// What the host refuses of an input, by the schema that a task of that input type describes.
mod inputs {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::Value;
    use streamtask_sdk::JsonSchema;

    #[derive(Deserialize, JsonSchema)]
    pub(super) struct Plain {
        pub(super) step: Step,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(tag = "kind", rename_all = "kebab-case")]
    pub(super) enum Step {
        Wait { pause_ms: u32 },
        Other(Named),
    }

    #[derive(Deserialize, JsonSchema)]
    pub(super) struct Named {
        pub(super) name: String,
    }

    #[derive(Deserialize, JsonSchema)]
    pub(super) struct Flat {
        #[serde(flatten)]
        pub(super) step: Step,
        pub(super) note: Option<String>,
    }

    #[derive(Deserialize, JsonSchema)]
    pub(super) struct Keeps {
        pub(super) known: u32,
        #[serde(flatten)]
        pub(super) more: BTreeMap<String, Value>,
    }

    #[derive(Deserialize, JsonSchema)]
    #[schemars(extend("additionalProperties" = true))]
    pub(super) struct Ignores {
        pub(super) known: u32,
    }
}

#[test]
fn an_input_schema_takes_what_its_type_takes_and_refuses_names_that_it_has_no_field_for() {
    fn takes<T: JsonSchema + serde::de::DeserializeOwned>(input: &Value) -> bool {
        let schemas = streamtask_sdk::__private::Schemas::default().with_input::<T>();
        let schemas = serde_json::to_value(&schemas).unwrap();
        let takes = jsonschema::validator_for(&schemas["input_schema"]).unwrap().is_valid(input);
        let read = serde_json::from_value::<T>(input.clone());
        assert!(read.is_ok() || !takes, "what the schema takes, the type does: {input}");
        takes
    }

    assert!(takes::<inputs::Plain>(&json!({ "step": { "kind": "wait", "pause_ms": 5 } })));
    assert!(takes::<inputs::Plain>(&json!({ "step": { "kind": "other", "name": "x" } })));
    assert!(!takes::<inputs::Plain>(&json!({ "step": { "kind": "wait", "pause_ms": 5, "pausems": 6 } })));
    assert!(!takes::<inputs::Plain>(&json!({ "step": { "kind": "wait", "pause_ms": 5 }, "stepp": 1 })));
    assert!(takes::<inputs::Flat>(&json!({ "kind": "wait", "pause_ms": 5, "note": "x" })));
    assert!(takes::<inputs::Flat>(&json!({ "kind": "other", "name": "x", "note": null })));
    assert!(takes::<inputs::Keeps>(&json!({ "known": 1, "more": 2 })));
    assert!(takes::<inputs::Ignores>(&json!({ "known": 1, "more": 2 })));
}
