use super::{Json, TaskRef};

/// Priorities go from minus this to this.
pub const MAX_PRIORITY: i32 = 100;
/// Most things that one run can need for itself. Each is looked at whenever the run
/// could start.
pub const MAX_NEEDS: usize = 8;
/// Longest name of a resource in bytes.
pub const MAX_RESOURCE_BYTES: usize = 128;

/// Something of which there is only so much for all runs together, and of which a
/// run takes one while it is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Runs with the same name share it: `resource:printer`, or `key:` and task
    /// and value.
    pub name: String,
    /// How many runs may have it at once.
    pub capacity: u32,
}

/// A resource that is one run's alone, or the part of the input that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// This one.
    Named(String),
    /// That which stands at this JSON Pointer of the input; none if nothing does.
    FromInput(String),
}

impl Resource {
    /// Text that begins with `/` is a JSON Pointer (RFC 6901).
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self::FromInput(text.to_owned()));
        }
        let plain = !text.chars().any(char::is_control);
        if plain && (1..=MAX_RESOURCE_BYTES).contains(&text.len()) {
            return Ok(Self::Named(text.to_owned()));
        }
        Err(format!("a resource is 1 to {MAX_RESOURCE_BYTES} bytes without control characters"))
    }
}

/// What becomes of a run when the host stops without letting it finish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnInterrupt {
    /// It goes on from its checkpoint in a new attempt; without one it fails.
    #[default]
    Resume,
    /// It runs again in any case, from its checkpoint if it has one.
    Rerun,
    /// It fails.
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

    /// The policy of that word.
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

/// What becomes of a run when its last client goes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDisconnect {
    /// It goes on: runs need no client.
    #[default]
    Continue,
    /// It is cancelled, if nobody comes back soon.
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

    /// The policy of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word)
    }
}

/// How the runs of a task wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queueing {
    /// Runs that may wait; none: as many as the host allows.
    pub max_queued: Option<u64>,
    /// Higher goes first, from -100 to 100.
    pub priority: i32,
    /// Where in the input the key stands, as a JSON Pointer, and how many runs with
    /// the same key may be under way at once.
    pub key: Option<(String, u32)>,
    /// What each run needs for itself alone.
    pub resources: Vec<Resource>,
    /// Whether a run is refused if it would have to wait for one.
    pub fail_if_busy: bool,
}

impl Queueing {
    /// What a run with this input needs, besides `more` resources that its caller
    /// asks for.
    pub fn locks(&self, task: &TaskRef, input: &Json, more: &[String]) -> Vec<Lock> {
        let mut locks: Vec<Lock> = Vec::new();
        let mut add = |name: String, capacity| {
            if !locks.iter().any(|lock| lock.name == name) {
                locks.push(Lock { name, capacity });
            }
        };
        let reads_input = |resource: &Resource| matches!(resource, Resource::FromInput(_));
        let input = match self.key.is_some() || self.resources.iter().any(reads_input) {
            true => input.to_value(),
            false => serde_json::Value::Null,
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

/// A value as part of a name. Long ones are hashed: they stand in an index.
fn short(value: &serde_json::Value) -> String {
    use sha2::{Digest as _, Sha256};
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.len() <= MAX_RESOURCE_BYTES {
        return text;
    }
    Sha256::digest(&text).iter().fold("sha256-".to_owned(), |hash, byte| hash + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_come_from_the_task_the_input_and_the_caller_each_once() {
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
        let input = Json::of(&serde_json::json!({ "customer": { "id": 7 }, "device": "laser" }));
        let locks = queueing.locks(&task, &input, &["printer".to_owned(), "desk".to_owned()]);
        let locks: Vec<_> = locks.iter().map(|lock| (lock.name.as_str(), lock.capacity)).collect();
        assert_eq!(
            locks,
            [("key:demo/x:7", 2), ("resource:printer", 1), ("resource:laser", 1), ("resource:desk", 1)]
        );
    }

    #[test]
    fn a_long_key_is_told_apart_by_its_hash() {
        let one = serde_json::json!("x".repeat(1000));
        let other = serde_json::json!("x".repeat(999) + "y");
        assert!(short(&one).len() < 80 && short(&one) != short(&other));
    }

    #[test]
    fn words_and_policies_match_both_ways() {
        for policy in OnInterrupt::ALL {
            assert_eq!(OnInterrupt::parse(policy.as_str()), Some(policy));
        }
    }
}
