use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::{Input, TaskRef};

/// Priorities range from minus this to this.
pub const MAX_PRIORITY: i32 = 100;
/// Most locks of one run. Each is checked whenever the run could start.
pub const MAX_LOCKS: usize = 8;
/// Longest name of a resource in bytes.
pub const MAX_RESOURCE_BYTES: usize = 128;

/// A lock that a run holds while it executes. With a capacity above 1, it is a semaphore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The name, which runs share: `resource:printer`, or `key:` with task and value.
    pub name: String,
    /// How many runs may hold it at once.
    pub capacity: u32,
}

/// An exclusive resource, or the part of the input that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The resource of this name.
    Named(String),
    /// The resource named by the value at this JSON Pointer of the input; none if there is no value.
    FromInput(String),
}

/// A text is not the name of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a resource is 1 to {} bytes without control characters", MAX_RESOURCE_BYTES)]
pub struct ResourceError;

impl Resource {
    /// Parses a name, or a JSON Pointer (RFC 6901) if the text begins with `/`.
    pub fn parse(text: &str) -> Result<Self, ResourceError> {
        if text.starts_with('/') {
            return Ok(Self::FromInput(text.to_owned()));
        }
        let plain = !text.chars().any(char::is_control);
        if plain && (1..=MAX_RESOURCE_BYTES).contains(&text.len()) {
            return Ok(Self::Named(text.to_owned()));
        }
        Err(ResourceError)
    }
}

/// Policy for runs that the stop of the host interrupts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnInterrupt {
    /// The run resumes from its checkpoint in a new attempt; without a checkpoint it fails.
    #[default]
    Resume,
    /// The run is repeated in any case, from its checkpoint if it has one.
    Rerun,
    /// The run fails.
    Fail,
}

impl OnInterrupt {
    /// All.
    pub const ALL: [Self; 3] = [Self::Resume, Self::Rerun, Self::Fail];

    /// The word used in manifests and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Rerun => "rerun",
            Self::Fail => "fail",
        }
    }

    /// The policy with that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word)
    }

    /// Whether another attempt follows an interrupted one.
    pub const fn tries_again(self, has_checkpoint: bool) -> bool {
        match self {
            Self::Resume => has_checkpoint,
            Self::Rerun => true,
            Self::Fail => false,
        }
    }
}

/// Policy for runs whose last client disconnects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDisconnect {
    /// The run continues: runs need no client.
    #[default]
    Continue,
    /// The run is cancelled if no client reconnects soon.
    Cancel,
}

impl OnDisconnect {
    const ALL: [Self; 2] = [Self::Continue, Self::Cancel];

    /// The word used in queries and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Cancel => "cancel",
        }
    }

    /// The policy with that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word)
    }
}

/// Queueing settings of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queueing {
    /// Most waiting runs; none for the host's limit.
    pub max_queued: Option<u64>,
    /// Higher goes first, from -100 to 100.
    pub priority: i32,
    /// JSON Pointer to the concurrency key in the input, and how many runs with the same key may execute at once.
    pub key: Option<(String, u32)>,
    /// Exclusive resources of each run.
    pub resources: Vec<Resource>,
    /// Whether a run is rejected if it would have to wait for a lock.
    pub fail_if_busy: bool,
}

impl Queueing {
    /// The locks of a run with this input, including those for the `more` resources that its caller requested.
    pub fn locks(&self, task: &TaskRef, input: &Input, more: &[String]) -> Vec<Lock> {
        let mut locks: Vec<Lock> = Vec::new();
        let mut add = |name: String, capacity| {
            if !locks.iter().any(|lock| lock.name == name) {
                locks.push(Lock { name, capacity });
            }
        };
        let reads_input = |resource: &Resource| matches!(resource, Resource::FromInput(_));
        let input = match self.key.is_some() || self.resources.iter().any(reads_input) {
            true => input.tree(),
            false => &serde_json::Value::Null,
        };
        if let Some((pointer, capacity)) = &self.key
            && let Some(key) = input.pointer(pointer)
        {
            add(format!("key:{task}:{}", short(key)), *capacity);
        }
        for resource in &self.resources {
            match resource {
                Resource::Named(name) => add(format!("resource:{name}"), 1),
                Resource::FromInput(pointer) => {
                    if let Some(name) = input.pointer(pointer) {
                        add(format!("resource:{}", short(name)), 1);
                    }
                }
            }
        }
        for name in more {
            add(format!("resource:{name}"), 1);
        }
        locks
    }
}

/// A value as part of a name. Long values are hashed, because names are in an index, and values with control characters,
/// because not every database stores a NUL and operators read names.
fn short(value: &serde_json::Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.len() <= MAX_RESOURCE_BYTES && !text.chars().any(char::is_control) {
        return text;
    }
    format!("sha256-{}", HEXLOWER.encode_display(&Sha256::digest(&text)))
}

#[cfg(test)]
mod tests {
    use super::super::Json;
    use super::*;

    #[test]
    fn locks_come_from_the_task_the_input_and_the_caller_each_once() {
        let queueing = Queueing {
            key: Some(("/customer/id".to_owned(), 2)),
            resources: vec![
                Resource::parse("printer").unwrap(),
                Resource::parse("/device").unwrap(),
                Resource::parse("/none").unwrap(),
            ],
            ..Queueing::default()
        };
        let task = TaskRef::parse_path("demo/x").unwrap();
        let input = Input::from(Json::of(&serde_json::json!({ "customer": { "id": 7 }, "device": "laser" })));
        let locks = queueing.locks(&task, &input, &["printer".to_owned(), "desk".to_owned()]);
        let locks: Vec<_> = locks.iter().map(|lock| (lock.name.as_str(), lock.capacity)).collect();
        assert_eq!(
            locks,
            [("key:demo/x:7", 2), ("resource:printer", 1), ("resource:laser", 1), ("resource:desk", 1)]
        );
    }

    #[test]
    fn a_long_key_is_distinguished_by_its_hash() {
        let one = serde_json::json!("x".repeat(1000));
        let other = serde_json::json!("x".repeat(999) + "y");
        assert!(short(&one).len() < 80 && short(&one) != short(&other));
    }

    #[test]
    fn a_key_with_control_characters_is_distinguished_by_its_hash() {
        for key in ["\u{0}", "a\u{0}b", "line\nbreak", "\u{1}", "\u{7f}"] {
            let name = short(&serde_json::json!(key));
            assert!(name.starts_with("sha256-") && !name.chars().any(char::is_control), "{key:?}: {name}");
        }
        assert_ne!(short(&serde_json::json!("a\u{0}b")), short(&serde_json::json!("a\u{1}b")));
        // The text of an array or an object is JSON, which escapes them.
        assert_eq!(short(&serde_json::json!(["\u{0}"])), r#"["\u0000"]"#);
    }

    #[test]
    fn words_and_policies_match_both_ways() {
        for policy in OnInterrupt::ALL {
            assert_eq!(OnInterrupt::parse(policy.as_str()), Some(policy));
        }
    }
}
