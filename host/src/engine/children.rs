//! The calls with which a guest starts other runs and waits for them.

use std::time::Duration;

use tokio::time::sleep;

use super::bindings::streamtask::task::children::{Host, Options, Outcome as Ended, RunError};
use super::bindings::streamtask::task::types::Error;
use super::guest::{Guest, NewChild};
use super::imports::{Answer, FOREVER};
use crate::model::{Json, MAX_NAME_BYTES, MAX_PRIORITY, Outcome, Refusal, RefusalCode, TaskName, TaskRef};

/// Most runs that one call waits for; as many as one run can start.
const MAX_AWAITED: usize = 1_000;

impl Host for Guest {
    async fn start(&mut self, task: String, input: String, options: Options) -> Answer<String> {
        let child = match self.new_child(&task, input, options) {
            Ok(child) => child,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        Ok(self.host.start_child(child).await.map_err(Error::from))
    }

    async fn wait(&mut self, runs: Vec<String>, timeout_ms: Option<u32>) -> Answer<Option<(u32, Ended)>> {
        if !(1..=MAX_AWAITED).contains(&runs.len()) {
            let message = format!("{} runs are given to wait for; it must be 1 to {MAX_AWAITED}", runs.len());
            return Ok(Err(Refusal::new(RefusalCode::InvalidArgument, message).into()));
        }
        // Before the clock is looked at: with no time at all, what has ended is still told.
        let mut ended = self.host.look_at_children(&runs).await;
        if matches!(ended, Ok(None)) {
            let time = timeout_ms.map_or(FOREVER, |ms| Duration::from_millis(ms.into()));
            ended = tokio::select! {
                ended = self.host.wait_for_children(&runs) => ended.map(Some),
                () = self.host.cancelled() => Ok(None),
                () = sleep(time) => Ok(None),
            };
        }
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Ok(ended.map(|ended| ended.map(|(at, outcome)| (place(at), outcome.into()))).map_err(Error::from))
    }

    async fn cancel(&mut self, run: String) -> Answer<()> {
        Ok(self.host.cancel_child(&run).await.map_err(Error::from))
    }
}

impl Guest {
    fn new_child(&self, task: &str, input: String, options: Options) -> Result<NewChild, Refusal> {
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
        let Options { key, detached, priority } = options;
        Ok(NewChild { task, input, key, detached, priority })
    }
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed(value) => Self::Completed(value.into_string()),
            Outcome::Cancelled(value) => Self::Cancelled(value.map(Json::into_string)),
            Outcome::Failed(error) => Self::Failed(RunError {
                kind: error.kind.as_str().to_owned(),
                message: error.message,
                code: error.code,
                details: error.details.map(Json::into_string),
            }),
        }
    }
}
