//! `JsonSchema`, the trait of schemars with a derive of ours.

// The trait comes with the glob. The derive of the same name comes from our
// macros and wins over the glob's: it works without schemars in the user's
// `Cargo.toml`.
pub use schemars::*;
pub use streamtask_sdk_macros::JsonSchema;
