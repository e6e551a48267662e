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
