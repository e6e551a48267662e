//! Executes one attempt: instantiates the guest, calls it, and returns the outcome.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;
use wasmtime::{Store, UpdateDeadline};

use super::entry::{Completion, EntryPoint};
use super::supervise::{StopReason, supervise};
use super::wasm_program::WasmProgram;
use crate::engine::async_world;
use crate::engine::command::{Invocation, Prepared};
use crate::engine::grants::Mask;
use crate::engine::guest::{Access, FolderError, Guest, from_failure};
use crate::engine::guest_host::GuestHost;
use crate::engine::limits::{Limits, MAX_CALL_BYTES};
use crate::engine::metadata::{Kind, ProgramOutline};
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

    fn outline(&self) -> ProgramOutline {
        let (imports, exports) = self.entry.names();
        ProgramOutline { kind: self.entry.kind(), imports, exports }
    }
}

async fn execute(code: &WasmProgram, attempt: Attempt) -> AttemptOutcome {
    try_execute(code, &attempt).await.unwrap_or_else(AttemptOutcome::Failed)
}

/// Fails if the guest can't be called.
async fn try_execute(code: &WasmProgram, attempt: &Attempt) -> Result<AttemptOutcome, RunError> {
    let kind = code.entry.kind();
    let access = open_access(code, attempt).await?;
    let prepared = prepare(kind, attempt)?;
    let invocation = prepared.as_ref().map(|prepared| Invocation {
        input: &attempt.input,
        settings: &attempt.command,
        prepared,
        is_module: kind == Kind::Module,
    });
    let (called, guest) = call(code, attempt, &access, invocation).await?;
    // Sends what the guest has printed, and was not sent yet.
    if let Some(command) = &guest.command {
        command.finish().await;
        if let Ok(Completion::Exited(code)) = &called {
            command.note_exit(*code);
        }
    }
    guest.output.finish().await;
    let outcome = outcome_of(called, &guest, attempt.limits, kind);
    Ok(match &guest.api.mask {
        None => outcome,
        Some(mask) => masked(outcome, mask),
    })
}

/// What the guest may reach, when its granted folders have answered.
async fn open_access(code: &WasmProgram, attempt: &Attempt) -> Result<Access, RunError> {
    let failed = |message: String| RunError::new(ErrorKind::Internal, message);
    let file_pool = code.file_pools.of(&attempt.host.info().task);
    let file_pool = file_pool.map_err(|error| failed(error.to_string()))?;
    let access = Access {
        grants: Arc::clone(&attempt.grants),
        files: attempt.files.clone(),
        network: Arc::clone(&code.network),
        file_pool,
    };
    access.wait_for_folders().await.map_err(|error| failed(error.to_string()))?;
    Ok(access)
}

/// The arguments and standard input of an ordinary program; none for a task.
fn prepare(kind: Kind, attempt: &Attempt) -> Result<Option<Prepared>, RunError> {
    match kind {
        Kind::Command | Kind::Module => {
            attempt.command.prepare(&attempt.input).map(Some).map_err(|invalid| RunError {
                code: Some("invalid-input".to_owned()),
                ..RunError::new(ErrorKind::Failure, invalid.to_string())
            })
        }
        Kind::Task | Kind::AsyncTask => Ok(None),
    }
}

/// Calls the guest, when the system and the pool have what it takes.
async fn call(
    code: &WasmProgram,
    attempt: &Attempt,
    access: &Access,
    invocation: Option<Invocation<'_>>,
) -> Result<(Result<Completion, StopReason>, Guest), RunError> {
    let WasmProgram { entry, pool_waiters, scheduler, .. } = code;
    loop {
        let (host, gate) = (Arc::clone(&attempt.host), Arc::clone(&attempt.gate));
        let guest = Guest::new(host, attempt.limits, gate, access.clone(), invocation);
        let mut store = match guest {
            Ok(guest) => store(entry, guest),
            Err(FolderError { is_transient: true, .. }) => {
                sleep(SCARCITY_PAUSE).await;
                continue;
            }
            Err(FolderError { message, .. }) => return Err(RunError::new(ErrorKind::Internal, message)),
        };
        let called = supervise(&mut store, scheduler, &attempt.uptime, async |store| {
            entry.call(store, &attempt.input).await
        })
        .await;
        let guest = store.into_data();
        if !pool_waiters.must_retry(&called).await {
            return Ok((called, guest));
        }
    }
}

fn outcome_of(
    called: Result<Completion, StopReason>,
    guest: &Guest,
    limits: Limits,
    kind: Kind,
) -> AttemptOutcome {
    let returned = match called {
        Ok(Completion::Exited(code)) => match &guest.command {
            Some(command) => command.outcome(code, kind == Kind::Module),
            None => Ok("null".to_owned()),
        },
        Ok(Completion::Returned(returned)) => returned.map_err(from_failure),
        Err(stop_reason) => return stop_reason.explain(guest),
    };
    match returned.and_then(|output| checked_output(output, limits.output_bytes)) {
        Ok(output) => AttemptOutcome::Output(output),
        Err(error) => AttemptOutcome::Failed(error),
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
            let pre = entry.instance_pre().ok_or_else(|| wasmtime::Error::msg("it is not a component"))?;
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
