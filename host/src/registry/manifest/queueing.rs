//! `[queue]` and `[concurrency]`: queueing, concurrency and exclusive resources.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::Fault;
use crate::model::{MAX_LOCKS, MAX_PRIORITY, Queueing, Resource};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[schemars(rename = "queue")]
pub(super) struct QueueTable {
    /// Most waiting runs; more are rejected.
    #[schemars(with = "u64")]
    max_queued: Option<u64>,
    /// Runs with a higher priority go first; a request can override it.
    #[schemars(with = "i32", range(min = -MAX_PRIORITY, max = MAX_PRIORITY))]
    priority: Option<Spanned<i32>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[schemars(rename = "concurrency")]
pub(super) struct ConcurrencyTable {
    /// Most runs that execute at once; others wait.
    #[schemars(with = "u32", range(min = 1))]
    max_running: Option<Spanned<u32>>,
    /// JSON Pointer to a key in the input: runs with the same key execute one after the other.
    #[schemars(with = "String", regex(pattern = POINTER))]
    key: Option<Spanned<String>>,
    /// Most runs with the same key that execute at once.
    #[schemars(with = "u32", range(min = 1))]
    max_running_per_key: Option<Spanned<u32>>,
    /// Exclusive resources that a run locks, across all tasks. Text that begins with `/` is a JSON Pointer to the
    /// name in the input.
    #[schemars(with = "Vec<String>", length(max = MAX_LOCKS - 1))]
    resources: Option<Spanned<Vec<Spanned<String>>>>,
    /// What to do with a run if a lock is taken.
    #[schemars(with = "IfBusy")]
    if_busy: Option<IfBusy>,
}

/// Pattern of a JSON Pointer.
const POINTER: &str = "^(/([^~]|~[01])*)?$";

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum IfBusy {
    /// The run waits.
    Wait,
    /// The run is rejected.
    Fail,
}

impl QueueTable {
    pub(super) fn apply(self, queueing: &mut Queueing) -> Result<(), Fault> {
        queueing.max_queued = self.max_queued.or(queueing.max_queued);
        if let Some(priority) = self.priority {
            if !(-MAX_PRIORITY..=MAX_PRIORITY).contains(priority.get_ref()) {
                let message = format!("a priority is from -{MAX_PRIORITY} to {MAX_PRIORITY}");
                return Err((priority.span().start, message));
            }
            queueing.priority = priority.into_inner();
        }
        Ok(())
    }
}

impl ConcurrencyTable {
    pub(super) fn apply(self, queueing: &mut Queueing, max_running: &mut Option<u32>) -> Result<(), Fault> {
        if let Some(max) = self.max_running {
            if *max.get_ref() == 0 {
                let message = "it must be at least 1; to disable the task, remove its file".to_owned();
                return Err((max.span().start, message));
            }
            *max_running = Some(max.into_inner());
        }
        let per_key = match self.max_running_per_key {
            Some(most) if *most.get_ref() == 0 => {
                return Err((most.span().start, "it must be at least 1".to_owned()));
            }
            Some(most) if self.key.is_none() && queueing.key.is_none() => {
                let message = "it needs `key`, a JSON Pointer to the key in the input".to_owned();
                return Err((most.span().start, message));
            }
            Some(most) => Some(most.into_inner()),
            None => None,
        };
        if let Some(key) = self.key {
            check_pointer(&key)?;
            queueing.key = Some((key.into_inner(), 1));
        }
        if let (Some(per_key), Some((_, most))) = (per_key, &mut queueing.key) {
            *most = per_key;
        }
        if let Some(resources) = self.resources {
            // One lock is reserved for the key.
            if resources.get_ref().len() >= MAX_LOCKS {
                let message = format!("a run has at most {} resources", MAX_LOCKS - 1);
                return Err((resources.span().start, message));
            }
            queueing.resources =
                resources.into_inner().into_iter().map(resource).collect::<Result<_, _>>()?;
        }
        if let Some(if_busy) = self.if_busy {
            queueing.fail_if_busy = matches!(if_busy, IfBusy::Fail);
        }
        Ok(())
    }
}

fn resource(text: Spanned<String>) -> Result<Resource, Fault> {
    if text.get_ref().starts_with('/') {
        check_pointer(&text)?;
    }
    Resource::parse(text.get_ref()).map_err(|error| (text.span().start, error.to_string()))
}

fn check_pointer(text: &Spanned<String>) -> Result<(), Fault> {
    let pointer = text.get_ref();
    let escapes = pointer.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    if (pointer.is_empty() || pointer.starts_with('/')) && escapes {
        return Ok(());
    }
    Err((text.span().start, "a JSON Pointer begins with `/`, as in \"/customer/id\"".to_owned()))
}
