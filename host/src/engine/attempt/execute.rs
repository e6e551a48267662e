//! Executes one attempt: instantiates the guest, calls it, and returns the outcome.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;
use wasmtime::{Store, UpdateDeadline};

use super::entry::{Completion, EntryPoint};
use super::supervise::supervise;
use super::wasm_program::WasmProgram;
use crate::engine::async_world;
use crate::engine::command::Invocation;
use crate::engine::grants::Mask;
use crate::engine::guest::{Access, FolderError, Guest, from_failure};
use crate::engine::guest_host::GuestHost;
use crate::engine::limits::{Limits, MAX_CALL_BYTES};
use crate::engine::metadata::{Kind, Outline};
use crate::engine::program::{Attempt, AttemptOutcome, Executable};
use crate::model::{ErrorKind, Json, RunError};
use crate::platform::Uptime;

/// Pause before the retry of an attempt for which the system had no descriptor or memory left.
const SCARCITY_PAUSE: Duration = Duration::from_millis(100);

#[async_trait]
impl Executable for WasmProgram {
    async fn execute(&self, attempt: Attempt) -> AttemptOutcome {
        execute(self, attempt).await
    }

    fn outline(&self) -> Outline {
        let (imports, exports) = self.entry.names();
        Outline { kind: self.entry.kind(), imports, exports }
    }
}

async fn execute(code: &WasmProgram, attempt: Attempt) -> AttemptOutcome {
    let WasmProgram { entry, pool_waiters, scheduler, network, file_pools } = code;
    let file_pool = match file_pools.of(&attempt.host.info().task) {
        Ok(file_pool) => file_pool,
        Err(error) => return AttemptOutcome::Failed(RunError::new(ErrorKind::Internal, error.to_string())),
    };
    let network = Arc::clone(network);
    let access = Access { grants: attempt.grants, files: attempt.files, network, file_pool };
    if let Err(error) = access.wait_for_folders().await {
        return AttemptOutcome::Failed(RunError::new(ErrorKind::Internal, error.to_string()));
    }
    let is_module = entry.kind() == Kind::Module;
    let prepared = match entry.kind() {
        Kind::Command | Kind::Module => match attempt.command.prepare(&attempt.input) {
            Ok(prepared) => Some(prepared),
            Err(invalid) => {
                let code = Some("invalid-input".to_owned());
                return AttemptOutcome::Failed(RunError {
                    code,
                    ..RunError::new(ErrorKind::Failure, invalid.to_string())
                });
            }
        },
        Kind::Task | Kind::AsyncTask => None,
    };
    let (input, settings) = (&attempt.input, &attempt.command);
    let invocation = prepared.as_ref().map(|prepared| Invocation { input, settings, prepared, is_module });
    let (called, guest) = loop {
        let host = Arc::clone(&attempt.host);
        let gate = Arc::clone(&attempt.gate);
        let guest = Guest::new(host, attempt.limits, gate, access.clone(), invocation);
        let mut store = match guest {
            Ok(guest) => store(entry, guest),
            Err(FolderError { is_transient: true, .. }) => {
                sleep(SCARCITY_PAUSE).await;
                continue;
            }
            Err(FolderError { message, .. }) => {
                return AttemptOutcome::Failed(RunError::new(ErrorKind::Internal, message));
            }
        };
        let called = supervise(&mut store, scheduler, &attempt.uptime, async |store| {
            entry.call(store, &attempt.input).await
        })
        .await;
        let guest = store.into_data();
        if !pool_waiters.must_retry(&called).await {
            break (called, guest);
        }
    };
    if let Some(command) = &guest.command {
        command.finish().await;
        if let Ok(Completion::Exited(code)) = &called {
            command.note_exit(*code);
        }
    }
    guest.output.finish().await;
    let returned = called.map(|called| match (called, &guest.command) {
        (Completion::Exited(code), Some(command)) => command.outcome(code, is_module),
        (Completion::Exited(_), None) => Ok("null".to_owned()),
        (Completion::Returned(returned), _) => returned.map_err(from_failure),
    });
    let outcome = match returned {
        Ok(Ok(output)) => match checked_output(output, attempt.limits.output_bytes) {
            Ok(output) => AttemptOutcome::Output(output),
            Err(error) => AttemptOutcome::Failed(error),
        },
        Ok(Err(error)) => AttemptOutcome::Failed(error),
        Err(stop_reason) => stop_reason.explain(&guest),
    };
    match &guest.api.mask {
        None => outcome,
        Some(mask) => masked(outcome, mask),
    }
}

/// The outcome without the secrets that it may quote.
fn masked(outcome: AttemptOutcome, mask: &Mask) -> AttemptOutcome {
    match outcome {
        AttemptOutcome::Output(json) => AttemptOutcome::Output(mask.json(json)),
        AttemptOutcome::Failed(error) => AttemptOutcome::Failed(mask.error(error)),
        AttemptOutcome::Lost => AttemptOutcome::Lost,
    }
}

/// Calls `describe` of a guest that has no run.
pub(in crate::engine) async fn describe(
    code: &WasmProgram,
    host: Arc<dyn GuestHost>,
    limits: Limits,
) -> Result<String, RunError> {
    let WasmProgram { entry, pool_waiters, scheduler, network, file_pools } = code;
    let file_pool = file_pools.of(&host.info().task);
    let file_pool = file_pool.map_err(|error| RunError::new(ErrorKind::Internal, error.to_string()))?;
    let access = Access { grants: Arc::default(), files: None, network: Arc::clone(network), file_pool };
    let (called, guest) = loop {
        let guest = Guest::new(Arc::clone(&host), limits, Arc::default(), access.clone(), None);
        let mut store =
            store(entry, guest.map_err(|error| RunError::new(ErrorKind::Internal, error.message))?);
        let called = supervise(&mut store, scheduler, &Uptime::default(), async |store| {
            let pre = entry.instance_pre().ok_or_else(|| wasmtime::Error::msg("it is no component"))?;
            let instance = pre.instantiate_async(&mut *store).await?;
            let function = instance.get_typed_func::<(), (String,)>(&mut *store, "describe")?;
            function.call_async(store, ()).await
        })
        .await;
        let guest = store.into_data();
        if !pool_waiters.must_retry(&called).await {
            break (called, guest);
        }
    };
    match called {
        Ok((text,)) if text.len() <= limits.output_bytes => Ok(text),
        Ok((text,)) => {
            let message = format!("it returned {} bytes; the limit is {}", text.len(), limits.output_bytes);
            Err(RunError::new(ErrorKind::InvalidOutput, message))
        }
        Err(stop_reason) => match stop_reason.explain(&guest) {
            AttemptOutcome::Failed(error) => Err(error),
            AttemptOutcome::Output(_) | AttemptOutcome::Lost => {
                Err(RunError::new(ErrorKind::Internal, "stopped"))
            }
        },
    }
}

/// A store with all limits set.
fn store(entry: &EntryPoint, guest: Guest) -> Store<Guest> {
    let mut store = Store::new(entry.engine(), guest);
    store.limiter(|guest| &mut guest.memory);
    store.set_hostcall_fuel(MAX_CALL_BYTES);
    store.set_epoch_deadline(1);
    // Goes to the back of the queue, behind timers and other guests; a plain yield would be polled first.
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))));
    async_world::limit_pending(&mut store);
    store
}

fn checked_output(text: String, limit: usize) -> Result<Json, RunError> {
    if text.len() > limit {
        let message = format!("the result has {} bytes; the limit is {limit}", text.len());
        return Err(RunError::new(ErrorKind::InvalidOutput, message));
    }
    Json::parse(text).map_err(|error| {
        RunError::new(ErrorKind::InvalidOutput, format!("the result is not valid JSON: {error}"))
    })
}
