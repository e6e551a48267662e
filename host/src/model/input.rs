use std::sync::OnceLock;

use serde_json::Value;

use super::{Json, JsonError};

/// The input of a run that is being started. Its text is parsed into a tree once, when a schema, a lock or an idempotency key
/// first needs it.
#[derive(Clone, Debug)]
pub struct Input {
    json: Json,
    tree: OnceLock<Value>,
}

impl Input {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.json.as_str()
    }

    /// Rejects an object with a duplicate name; see [`Json::check_names`].
    pub fn check_names(&self) -> Result<(), JsonError> {
        self.json.check_names()
    }

    /// The value as a tree.
    pub fn tree(&self) -> &Value {
        self.tree.get_or_init(|| self.json.to_value())
    }

    /// A text that is the same for equal values; see [`Json::canonical`].
    pub fn canonical(&self) -> String {
        Json::canonical_of(self.tree().clone())
    }

    /// The JSON, without the tree.
    pub fn into_json(self) -> Json {
        self.json
    }
}

impl From<Json> for Input {
    fn from(json: Json) -> Self {
        Self { json, tree: OnceLock::new() }
    }
}
