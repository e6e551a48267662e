//! The part of the host API that starts child runs and waits for them.

use std::time::Duration;

use tokio::time::sleep;

use super::host_api::{FOREVER, HostApi};
use crate::engine::guest_host::ChildRunRequest;
use crate::model::{Json, MAX_NAME_BYTES, MAX_PRIORITY, Outcome, Refusal, RefusalCode, TaskName, TaskRef};

/// Most runs that one call waits for: as many as one run can start.
const MAX_AWAITED: usize = 1_000;

/// Options of a child run, chosen by the guest.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub(in crate::engine) struct ChildOptions {
    pub(in crate::engine) key: Option<String>,
    pub(in crate::engine) detached: bool,
    pub(in crate::engine) priority: Option<i32>,
}

impl HostApi {
    pub(in crate::engine) async fn start_child(
        &self,
        task: &str,
        input: String,
        options: ChildOptions,
    ) -> Result<String, Refusal> {
        let child = self.new_child(task, input, options)?;
        self.host.start_child(child).await
    }

    /// Waits until one of the runs has ended, and returns its index and outcome; none after the
    /// timeout or when the guest's run is cancelled.
    pub(in crate::engine) async fn wait_for_children(
        &self,
        runs: &[String],
        timeout_ms: Option<u32>,
    ) -> Result<Option<(u32, Outcome)>, Refusal> {
        if !(1..=MAX_AWAITED).contains(&runs.len()) {
            let message = format!("a call can wait for 1 to {MAX_AWAITED} runs, not {}", runs.len());
            return Err(Refusal::new(RefusalCode::InvalidArgument, message));
        }
        // Before the timer: a call with a timeout of 0 still reports a run that has ended.
        let mut ended = self.host.first_ended_child(runs).await?;
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

    fn new_child(
        &self,
        task: &str,
        input: String,
        options: ChildOptions,
    ) -> Result<ChildRunRequest, Refusal> {
        let invalid = |message: String| Refusal::new(RefusalCode::InvalidArgument, message);
        let task = match task.contains('/') {
            true => TaskRef::parse_path(task),
            // Without an app, the task is of the same app.
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
        Ok(ChildRunRequest { task, input, key, detached, priority })
    }
}
