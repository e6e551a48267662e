//! The task as a component: the generated bindings, and the host over them.

use std::io::Write as _;
use std::marker::PhantomData;

use crate::__private::{self, Task};
use crate::child::Options;
use crate::host::Host;
use crate::{ChildError, Context, Error, ErrorCode, Failure, Outcome, RunInfo, Signal, Value};

use bindings::streamtask::task::types;
use bindings::streamtask::task::{checkpoints, children, control, events, run};

#[expect(missing_docs, reason = "generated; wit/task.wit has the documentation")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "described-task",
        pub_export_macro: true,
        export_macro_name: "export_task",
    });
}

/// A task with the exports of the contract.
pub struct Component<T>(PhantomData<T>);

impl<T: Task> bindings::Guest for Component<T> {
    fn process(input: String) -> Result<String, types::Failure> {
        let output = __private::process::<T>(&Context::new(Imports), &input);
        // The instance ends when this returns, so an unfinished line in the buffer of std would be
        // lost.
        let _ = std::io::stdout().flush();
        Ok(output?)
    }

    fn describe() -> String {
        __private::describe::<T>()
    }
}

/// The real host.
pub(crate) struct Imports;

impl Host for Imports {
    fn send(&self, channel: Option<&str>, event_type: &str, data: &str) -> Result<(), Error> {
        Ok(match channel {
            None => events::send_event(event_type, data),
            Some(channel) => events::send_event_on(channel, event_type, data),
        }?)
    }

    fn send_bytes(
        &self,
        channel: &str,
        event_type: &str,
        content_type: &str,
        data: &[u8],
    ) -> Result<(), Error> {
        Ok(events::send_bytes(channel, event_type, content_type, data)?)
    }

    fn flush(&self) -> Result<(), Error> {
        Ok(events::flush()?)
    }

    fn info(&self) -> RunInfo {
        let run::RunInfo { id, app, task, version, attempt, labels } = run::info();
        RunInfo { id, app, task, version, attempt, labels }
    }

    fn remaining_ms(&self) -> Option<u32> {
        run::remaining_ms()
    }

    fn cancelled(&self) -> bool {
        control::cancelled()
    }

    fn sleep_ms(&self, ms: u32) -> bool {
        control::sleep_ms(ms)
    }

    fn receive_signal(&self, name: Option<&str>, timeout_ms: Option<u32>) -> Option<Signal> {
        control::receive_signal(name, timeout_ms)
            .map(|control::Signal { name, payload }| Signal { name, payload })
    }

    fn parameter(&self, name: &str) -> Option<String> {
        control::parameter(name)
    }

    fn save(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        Ok(checkpoints::save(key, value)?)
    }

    fn remove(&self, key: &str) -> Result<(), Error> {
        Ok(checkpoints::remove(key)?)
    }

    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(checkpoints::load(key)?)
    }

    fn start_child(&self, task: &str, input: &str, options: &Options<'_>) -> Result<String, Error> {
        let options = children::Options {
            key: options.key.map(str::to_owned),
            detached: options.detached,
            priority: options.priority,
        };
        Ok(children::start(task, input, &options)?)
    }

    fn wait_for_children(
        &self,
        runs: &[String],
        timeout_ms: Option<u32>,
    ) -> Result<Option<(usize, Outcome)>, Error> {
        let ended = children::wait(runs, timeout_ms)?;
        Ok(ended.map(|(at, outcome)| (at as usize, outcome.into())))
    }

    fn cancel_child(&self, run: &str) -> Result<(), Error> {
        Ok(children::cancel(run)?)
    }
}

impl From<children::Outcome> for Outcome {
    fn from(outcome: children::Outcome) -> Self {
        // The host has checked that it is JSON.
        let value = |json: String| serde_json::from_str(&json).unwrap_or(Value::Null);
        match outcome {
            children::Outcome::Completed(json) => Self::Completed(value(json)),
            children::Outcome::Cancelled(json) => Self::Cancelled(json.map(value)),
            children::Outcome::Failed(error) => {
                let children::RunError { kind, message, code, details } = error;
                Self::Failed(ChildError { kind, message, code, details })
            }
        }
    }
}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        let code = match error.code {
            types::ErrorCode::InvalidArgument => ErrorCode::InvalidArgument,
            types::ErrorCode::TooLarge => ErrorCode::TooLarge,
            types::ErrorCode::LimitExceeded => ErrorCode::LimitExceeded,
            types::ErrorCode::Denied => ErrorCode::Denied,
            types::ErrorCode::NotFound => ErrorCode::NotFound,
            types::ErrorCode::Conflict => ErrorCode::Conflict,
            types::ErrorCode::Unavailable => ErrorCode::Unavailable,
            types::ErrorCode::Internal => ErrorCode::Internal,
        };
        Self::new(code, error.message)
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        let message = failure.placed_message();
        let Failure { code, details, retryable, retry_after, .. } = failure;
        Self {
            message,
            code,
            details,
            retryable,
            retry_after_ms: retry_after.map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
        }
    }
}
