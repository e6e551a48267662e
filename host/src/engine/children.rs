//! The calls with which a guest starts other runs and waits for them.

use std::time::Duration;

use tokio::time::sleep;

use super::calls::{Calls, FOREVER};
use super::guest::NewChild;
use crate::model::{Json, MAX_NAME_BYTES, MAX_PRIORITY, Outcome, Refusal, RefusalCode, TaskName, TaskRef};

/// Most runs that one call waits for; as many as one run can start.
const MAX_AWAITED: usize = 1_000;

/// How a child runs, as the guest wishes it.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct ChildOptions {
    pub(super) key: Option<String>,
    pub(super) detached: bool,
    pub(super) priority: Option<i32>,
}

impl Calls {
    pub(super) async fn start_child(
        &self,
        task: &str,
        input: String,
        options: ChildOptions,
    ) -> Result<String, Refusal> {
        let child = self.new_child(task, input, options)?;
        self.host.start_child(child).await
    }

    /// The place of the one that has ended, and how it did; none if the time is over
    /// or the run is cancelled.
    pub(super) async fn wait_for_children(
        &self,
        runs: &[String],
        timeout_ms: Option<u32>,
    ) -> Result<Option<(u32, Outcome)>, Refusal> {
        if !(1..=MAX_AWAITED).contains(&runs.len()) {
            let message = format!("{} runs are given to wait for; it must be 1 to {MAX_AWAITED}", runs.len());
            return Err(Refusal::new(RefusalCode::InvalidArgument, message));
        }
        // Before the clock is looked at: with no time at all, what has ended is still told.
        let mut ended = self.host.look_at_children(runs).await?;
        if ended.is_none() {
            let time = timeout_ms.map_or(FOREVER, |ms| Duration::from_millis(ms.into()));
            ended = tokio::select! {
                ended = self.host.wait_for_children(runs) => Some(ended?),
                () = self.host.cancelled() => None,
                () = sleep(time) => None,
            };
        }
        Ok(ended.map(|(at, outcome)| (u32::try_from(at).unwrap_or(u32::MAX), outcome)))
    }

    fn new_child(&self, task: &str, input: String, options: ChildOptions) -> Result<NewChild, Refusal> {
        let invalid = |message: String| Refusal::new(RefusalCode::InvalidArgument, message);
        let task = match task.contains('/') {
            true => TaskRef::parse_path(task),
            // Without an app, it is this one's.
            false => TaskName::parse(task)
                .map(|name| TaskRef { app: self.host.info().task.app.clone(), task: name }),
        };
        let task = task.map_err(|error| invalid(format!("the task's name can't be used: {error}")))?;
        let input = Json::parse(input)
            .map_err(|error| invalid(format!("the child's input is not valid JSON: {error}")))?;
        if let Some(key) = &options.key
            && (!(1..=MAX_NAME_BYTES).contains(&key.len()) || key.chars().any(char::is_control))
        {
            return Err(invalid(format!(
                "a child's key has 1 to {MAX_NAME_BYTES} bytes without control characters"
            )));
        }
        if let Some(priority) = options.priority
            && !(-MAX_PRIORITY..=MAX_PRIORITY).contains(&priority)
        {
            return Err(invalid(format!("a priority is from -{MAX_PRIORITY} to {MAX_PRIORITY}")));
        }
        let ChildOptions { key, detached, priority } = options;
        Ok(NewChild { task, input, key, detached, priority })
    }
}
