//! The functions of the contract that a guest can call, and their errors. None of
//! them traps because of what it was given.

use wasmtime::component::{HasSelf, Linker};

use super::bindings::streamtask::task::types::{Error, ErrorCode};
use super::bindings::streamtask::task::{checkpoints, children, control, events, run, types};
use super::calls;
use super::children::ChildOptions;
use super::filesystem;
use super::guest::Guest;
use crate::model::{Json, Outcome, Refusal, RefusalCode};

/// Adds everything that a guest may import.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    filesystem::link(linker)?;
    // Also for tasks that may send nothing: they load, and are told what they lack when they try.
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    types::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    events::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    run::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    control::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    checkpoints::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    children::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

/// Adds what a program for WASI preview 1 may import.
pub(super) fn link_preview_1(linker: &mut wasmtime::Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p1::add_to_linker_async(linker, |guest| {
        guest.preview_1.as_mut().expect("made for every guest that is linked so")
    })?;
    filesystem::link_preview_1(linker)
}

/// The outer error ends the guest, the inner one is its answer.
type Answer<T> = wasmtime::Result<Result<T, Error>>;

fn answer<T>(answer: calls::Answer<T>) -> Answer<T> {
    Ok(answer?.map_err(Error::from))
}

impl types::Host for Guest {}

impl events::Host for Guest {
    async fn send_event(&mut self, event_type: String, data: String) -> Answer<()> {
        answer(self.calls.send_event(None, event_type, data).await)
    }

    async fn send_event_on(&mut self, channel: String, event_type: String, data: String) -> Answer<()> {
        answer(self.calls.send_event(Some(channel), event_type, data).await)
    }

    async fn send_bytes(
        &mut self,
        channel: String,
        event_type: String,
        content_type: String,
        data: Vec<u8>,
    ) -> Answer<()> {
        answer(self.calls.send_bytes(Some(channel), event_type, content_type, data).await)
    }

    async fn flush(&mut self) -> Answer<()> {
        Ok(self.calls.host.flush().await.map_err(Error::from))
    }
}

impl run::Host for Guest {
    async fn info(&mut self) -> wasmtime::Result<run::RunInfo> {
        let info = self.calls.host.info();
        Ok(run::RunInfo {
            id: info.id.clone(),
            app: info.task.app.to_string(),
            task: info.task.task.to_string(),
            version: info.version.to_string(),
            attempt: info.attempt,
            labels: info.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        })
    }

    async fn remaining_ms(&mut self) -> wasmtime::Result<Option<u32>> {
        Ok(self.calls.remaining_ms())
    }
}

impl control::Host for Guest {
    async fn cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(self.calls.host.is_cancelled())
    }

    async fn sleep_ms(&mut self, ms: u32) -> wasmtime::Result<bool> {
        Ok(self.calls.sleep(ms).await)
    }

    async fn receive_signal(
        &mut self,
        name: Option<String>,
        timeout_ms: Option<u32>,
    ) -> wasmtime::Result<Option<control::Signal>> {
        let signal = self.calls.receive_signal(name, timeout_ms).await?;
        Ok(signal.map(|signal| control::Signal {
            name: signal.name.as_str().to_owned(),
            payload: signal.payload.into_string(),
        }))
    }

    async fn parameter(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.calls.host.parameter(&name).map(Json::into_string))
    }
}

impl checkpoints::Host for Guest {
    async fn save(&mut self, key: String, value: Vec<u8>) -> Answer<()> {
        Ok(self.calls.save_checkpoint(key, Some(value)).await.map_err(Error::from))
    }

    async fn remove(&mut self, key: String) -> Answer<()> {
        Ok(self.calls.save_checkpoint(key, None).await.map_err(Error::from))
    }

    async fn load(&mut self, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(self.calls.load_checkpoint(key).await.map_err(Error::from))
    }
}

impl children::Host for Guest {
    async fn start(&mut self, task: String, input: String, options: children::Options) -> Answer<String> {
        let children::Options { key, detached, priority } = options;
        let options = ChildOptions { key, detached, priority };
        Ok(self.calls.start_child(&task, input, options).await.map_err(Error::from))
    }

    async fn wait(
        &mut self,
        runs: Vec<String>,
        timeout_ms: Option<u32>,
    ) -> Answer<Option<(u32, children::Outcome)>> {
        let ended = self.calls.wait_for_children(&runs, timeout_ms).await;
        Ok(ended.map(|ended| ended.map(|(at, outcome)| (at, outcome.into()))).map_err(Error::from))
    }

    async fn cancel(&mut self, run: String) -> Answer<()> {
        Ok(self.calls.host.cancel_child(&run).await.map_err(Error::from))
    }
}

impl From<Outcome> for children::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed(value) => Self::Completed(value.into_string()),
            Outcome::Cancelled(value) => Self::Cancelled(value.map(Json::into_string)),
            Outcome::Failed(error) => Self::Failed(children::RunError {
                kind: error.kind.as_str().to_owned(),
                message: error.message,
                code: error.code,
                details: error.details.map(Json::into_string),
            }),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.code {
            RefusalCode::InvalidArgument => ErrorCode::InvalidArgument,
            RefusalCode::TooLarge => ErrorCode::TooLarge,
            RefusalCode::LimitExceeded => ErrorCode::LimitExceeded,
            RefusalCode::Denied => ErrorCode::Denied,
            RefusalCode::NotFound => ErrorCode::NotFound,
            RefusalCode::Conflict => ErrorCode::Conflict,
            RefusalCode::Unavailable => ErrorCode::Unavailable,
            RefusalCode::Internal => ErrorCode::Internal,
        };
        Self { code, message: refusal.message }
    }
}
