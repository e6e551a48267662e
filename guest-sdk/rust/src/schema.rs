//! `JsonSchema`: the trait of schemars, with our own derive macro.

// The glob imports the trait. Our derive macro of the same name takes precedence
// over that of the glob: it works without schemars in the user's `Cargo.toml`.
pub use schemars::*;
pub use streamtask_sdk_macros::JsonSchema;
