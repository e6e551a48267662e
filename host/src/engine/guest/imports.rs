//! Links the functions that a guest can import: WASI and the contract. No function of the contract traps because of
//! its arguments.

use wasmtime::component::{HasSelf, Linker};

use super::bindings::streamtask::task::types::{Error, ErrorCode};
use super::bindings::streamtask::task::{checkpoints, children, control, events, run, types};
use super::child_runs::ChildOptions;
use super::host_api::ApiResult;
use super::store_data::Guest;
use crate::engine::wasi::filesystem;
use crate::model::{Json, Outcome, Refusal, RefusalCode};

/// Links everything that a guest may import.
pub(in crate::engine) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    filesystem::link(linker)?;
    // Also for tasks without a grant: they load, and a denied request says in the log which grant is missing.
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    types::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    events::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    run::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    control::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    checkpoints::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    children::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)
}

/// Links everything that a program for WASI preview 1 may import.
pub(in crate::engine) fn link_preview_1(linker: &mut wasmtime::Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p1::add_to_linker_async(linker, |guest| {
        guest.preview_1.as_mut().expect("present in every guest that is linked this way")
    })?;
    filesystem::link_preview_1(linker)
}

/// The outer error ends the guest, the inner one is returned to it.
type ImportResult<T> = wasmtime::Result<Result<T, Error>>;

fn import_result<T>(result: ApiResult<T>) -> ImportResult<T> {
    Ok(result?.map_err(Error::from))
}

impl types::Host for Guest {}

impl events::Host for Guest {
    async fn send_event(&mut self, event_type: String, data: String) -> ImportResult<()> {
        import_result(self.api.send_event(None, event_type, data).await)
    }

    async fn send_event_on(&mut self, channel: String, event_type: String, data: String) -> ImportResult<()> {
        import_result(self.api.send_event(Some(channel), event_type, data).await)
    }

    async fn send_bytes(
        &mut self,
        channel: String,
        event_type: String,
        content_type: String,
        data: Vec<u8>,
    ) -> ImportResult<()> {
        import_result(self.api.send_bytes(Some(channel), event_type, content_type, data).await)
    }

    async fn flush(&mut self) -> ImportResult<()> {
        Ok(self.api.host.flush().await.map_err(Error::from))
    }
}

impl run::Host for Guest {
    async fn info(&mut self) -> wasmtime::Result<run::RunInfo> {
        let info = self.api.host.info();
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
        Ok(self.api.remaining_ms())
    }
}

impl control::Host for Guest {
    async fn cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(self.api.host.is_cancelled())
    }

    async fn sleep_ms(&mut self, ms: u32) -> wasmtime::Result<bool> {
        Ok(self.api.sleep(ms).await)
    }

    async fn receive_signal(
        &mut self,
        name: Option<String>,
        timeout_ms: Option<u32>,
    ) -> wasmtime::Result<Option<control::Signal>> {
        let signal = self.api.receive_signal(name, timeout_ms).await?;
        Ok(signal.map(|signal| control::Signal {
            name: signal.name.as_str().to_owned(),
            payload: signal.payload.into_string(),
        }))
    }

    async fn parameter(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.api.host.parameter(&name).map(Json::into_string))
    }
}

impl checkpoints::Host for Guest {
    async fn save(&mut self, key: String, value: Vec<u8>) -> ImportResult<()> {
        Ok(self.api.save_checkpoint(key, Some(value)).await.map_err(Error::from))
    }

    async fn remove(&mut self, key: String) -> ImportResult<()> {
        Ok(self.api.save_checkpoint(key, None).await.map_err(Error::from))
    }

    async fn load(&mut self, key: String) -> ImportResult<Option<Vec<u8>>> {
        Ok(self.api.load_checkpoint(key).await.map_err(Error::from))
    }
}

impl children::Host for Guest {
    async fn start(
        &mut self,
        task: String,
        input: String,
        options: children::Options,
    ) -> ImportResult<String> {
        let children::Options { key, detached, priority } = options;
        let options = ChildOptions { key, detached, priority };
        Ok(self.api.start_child(&task, input, options).await.map_err(Error::from))
    }

    async fn wait(
        &mut self,
        runs: Vec<String>,
        timeout_ms: Option<u32>,
    ) -> ImportResult<Option<(u32, children::Outcome)>> {
        let ended = self.api.wait_for_children(&runs, timeout_ms).await;
        Ok(ended.map(|ended| ended.map(|(at, outcome)| (at, outcome.into()))).map_err(Error::from))
    }

    async fn cancel(&mut self, run: String) -> ImportResult<()> {
        Ok(self.api.host.cancel_child(&run).await.map_err(Error::from))
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
