//! One attempt: instantiate, call `process`, and say how it ended.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline, WasmBacktrace};

use super::async_world::{self, TooMuchUnderWay};
use super::bindings::streamtask::task::types::Failure;
use super::command::CommandSettings;
use super::deadline::Deadline;
use super::entry::{Called, Entry, Kind};
use super::executor::Program;
use super::gate::Gate;
use super::grants::{Grants, Mask, OutputFolder};
use super::guest::{Access, Guest, GuestHost, Invocation, NoFolder, RunLost};
use super::load::Wasm;
use super::trace;
use super::turns::{Allowance, Turns};
use crate::model::{ErrorKind, Json, RunError};
use crate::platform::Uptime;

/// Most bytes that a guest may hand over in one call, as arguments or result.
/// Beyond it the call traps, because the host would have to hold them to answer.
pub(super) const MAX_CALL_BYTES: usize = 16 << 20;
/// How often a guest that waits for room tries again unasked: the one that was
/// woken in its place may need more room than there is.
const VACANCY_POLL: Duration = Duration::from_millis(100);

/// What one attempt may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All memories and tables together.
    pub memory_bytes: usize,
    /// From start to end, however it is spent.
    pub deadline: Option<Duration>,
    /// Time on a processor.
    pub cpu: Option<Duration>,
    /// How many events.
    pub events: Option<u64>,
    /// The data of all events together.
    pub events_bytes: Option<u64>,
    /// How many events a second; a guest that is faster waits.
    pub event_rate: Option<u64>,
    /// How many bytes of their data a second; the same.
    pub event_bytes_rate: Option<u64>,
    /// The input. Checked before the run is kept.
    pub input_bytes: usize,
    /// The result.
    pub output_bytes: usize,
    /// The data of one event.
    pub event_bytes: usize,
    /// Everything printed to stdout and stderr.
    pub log_bytes: usize,
}

/// Pause before a run is tried again for which the system had no descriptor left.
const SCARCITY_PAUSE: Duration = Duration::from_millis(100);

/// What to execute.
pub struct Attempt {
    /// The version to execute.
    pub program: Program,
    /// The input of the run.
    pub input: Json,
    /// Its side of the host.
    pub host: Arc<dyn GuestHost>,
    /// What it may use.
    pub limits: Limits,
    /// How it is called, if it is an ordinary program.
    pub command: Arc<CommandSettings>,
    /// What it may reach.
    pub grants: Arc<Grants>,
    /// Where its output files go, if it is granted any.
    pub files: Option<OutputFolder>,
    /// Holds it.
    pub gate: Arc<Gate>,
    /// The time of its deadline.
    pub uptime: Arc<Uptime>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `process` returned this.
    Output(Json),
    /// It did not, for this reason.
    Failed(RunError),
    /// The run is no longer this host's; nothing is to be written.
    Lost,
}

impl Attempt {
    /// Executes the attempt. Dropping the future stops the guest wherever it is.
    pub async fn run(self) -> Exit {
        let code = Arc::clone(&self.program.code);
        code.execute(self).await
    }
}

/// Executes one attempt of a program of WebAssembly.
pub(super) async fn execute(code: &Wasm, attempt: Attempt) -> Exit {
    let Wasm { entry, vacancies, turns, network, file_threads } = code;
    let lane = match file_threads.of(&attempt.host.info().task) {
        Ok(lane) => lane,
        Err(error) => return Exit::Failed(RunError::new(ErrorKind::Internal, error.to_string())),
    };
    let network = Arc::clone(network);
    let access = Access { grants: attempt.grants, files: attempt.files, network, lane };
    if let Err(message) = access.wait_for_folders().await {
        return Exit::Failed(RunError::new(ErrorKind::Internal, message));
    }
    let is_module = entry.kind() == Kind::Module;
    let prepared = match entry.kind() {
        Kind::Command | Kind::Module => match attempt.command.prepare(&attempt.input) {
            Ok(prepared) => Some(prepared),
            Err(unfit) => {
                let code = Some("invalid-input".to_owned());
                return Exit::Failed(RunError {
                    code,
                    ..RunError::new(ErrorKind::Failure, unfit.to_string())
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
            Err(NoFolder { may_pass: true, .. }) => {
                sleep(SCARCITY_PAUSE).await;
                continue;
            }
            Err(NoFolder { message, .. }) => {
                return Exit::Failed(RunError::new(ErrorKind::Internal, message));
            }
        };
        let called = within_deadline(&mut store, turns, &attempt.uptime, async |store| {
            entry.call(store, &attempt.input).await
        })
        .await;
        let guest = store.into_data();
        if !vacancies.must_try_again(&called).await {
            break (called, guest);
        }
    };
    if let Some(dialogue) = &guest.dialogue {
        dialogue.finish().await;
        if let Ok(Called::Exited(code)) = &called {
            dialogue.note_exit(*code);
        }
    }
    guest.output.finish().await;
    let returned = called.map(|called| match (called, &guest.dialogue) {
        (Called::Exited(code), Some(dialogue)) => dialogue.exit(code, is_module),
        (Called::Exited(_), None) => Ok("null".to_owned()),
        (Called::Returned(returned), _) => returned.map_err(from_failure),
    });
    let exit = match returned {
        Ok(Ok(output)) => match checked_output(output, attempt.limits.output_bytes) {
            Ok(output) => Exit::Output(output),
            Err(error) => Exit::Failed(error),
        },
        Ok(Err(error)) => Exit::Failed(error),
        Err(stop) => stop.explain(&guest),
    };
    match &guest.calls.mask {
        None => exit,
        Some(mask) => exit.masked(mask),
    }
}

impl Exit {
    /// Without the secrets that it may quote.
    fn masked(self, mask: &Mask) -> Self {
        match self {
            Self::Output(json) => Self::Output(mask.json(json)),
            Self::Failed(error) => Self::Failed(mask.error(error)),
            Self::Lost => Self::Lost,
        }
    }
}

/// Calls `describe` of a guest that has no run.
pub(super) async fn describe(
    code: &Wasm,
    host: Arc<dyn GuestHost>,
    limits: Limits,
) -> Result<String, RunError> {
    let Wasm { entry, vacancies, turns, network, file_threads } = code;
    let lane = file_threads.of(&host.info().task);
    let lane = lane.map_err(|error| RunError::new(ErrorKind::Internal, error.to_string()))?;
    let access = Access { grants: Arc::default(), files: None, network: Arc::clone(network), lane };
    let (called, guest) = loop {
        let guest = Guest::new(Arc::clone(&host), limits, Arc::default(), access.clone(), None);
        let mut store =
            store(entry, guest.map_err(|error| RunError::new(ErrorKind::Internal, error.message))?);
        let called = within_deadline(&mut store, turns, &Uptime::default(), async |store| {
            let pre = entry.instance_pre().ok_or_else(|| wasmtime::Error::msg("it is no component"))?;
            let instance = pre.instantiate_async(&mut *store).await?;
            let function = instance.get_typed_func::<(), (String,)>(&mut *store, "describe")?;
            function.call_async(store, ()).await
        })
        .await;
        let guest = store.into_data();
        if !vacancies.must_try_again(&called).await {
            break (called, guest);
        }
    };
    match called {
        Ok((text,)) if text.len() <= limits.output_bytes => Ok(text),
        Ok((text,)) => {
            let message = format!("it returned {} bytes; the limit is {}", text.len(), limits.output_bytes);
            Err(RunError::new(ErrorKind::InvalidOutput, message))
        }
        Err(stop) => match stop.explain(&guest) {
            Exit::Failed(error) => Err(error),
            Exit::Output(_) | Exit::Lost => Err(RunError::new(ErrorKind::Internal, "stopped")),
        },
    }
}

/// Guests that wait because the pool has no room for them, although there are
/// fewer than it has slots: languages differ in how many instances, memories and
/// tables one guest is made of.
#[derive(Default)]
pub(super) struct Vacancies {
    freed: Notify,
}

impl Vacancies {
    /// To be asked after each call, when its store is gone. True, after waiting, if
    /// there was no room for it: it has not begun, so beginning again repeats nothing.
    async fn must_try_again<T>(&self, called: &Result<T, Stop>) -> bool {
        match called {
            Err(Stop::Error(error)) if error.is::<PoolConcurrencyLimitError>() => {
                let _ = timeout(VACANCY_POLL, self.freed.notified()).await;
                true
            }
            _ => {
                self.freed.notify_one();
                false
            }
        }
    }
}

/// A store with every limit armed.
fn store(entry: &Entry, guest: Guest) -> Store<Guest> {
    let mut store = Store::new(entry.engine(), guest);
    store.limiter(|guest| &mut guest.memory);
    store.set_hostcall_fuel(MAX_CALL_BYTES);
    store.set_epoch_deadline(1);
    // Goes to the back of the queue, behind timers and other guests; a plain yield would come back first.
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))));
    async_world::arm(&mut store);
    store
}

/// Why a guest did not return.
enum Stop {
    Deadline,
    Cpu,
    Error(wasmtime::Error),
}

/// Runs `call` until the guest's deadline, while its gate is open. Both are outside
/// of the guest, so that they also reach one that waits in a call to the host.
async fn within_deadline<T>(
    store: &mut Store<Guest>,
    turns: &Turns,
    uptime: &Uptime,
    call: impl AsyncFnOnce(&mut Store<Guest>) -> wasmtime::Result<T>,
) -> Result<T, Stop> {
    let gate = Arc::clone(&store.data().calls.gate);
    let mut deadline = store.data().calls.deadline().map(|at| Deadline::new(at, &gate, uptime));
    let mut timer = pin!(deadline.as_ref().map(Deadline::timer));
    let mut meter = store.data().calls.limits.cpu.map(CpuMeter::new);
    let mut called = pin!(call(store));
    let mut allowance = Allowance::new(turns);
    poll_fn(|context| {
        if gate.holds(context) {
            allowance.leave();
            return Poll::Pending;
        }
        if let Poll::Ready(go) = allowance.poll_go(context) {
            let began = meter.as_ref().map(|_| thread_time());
            let polled = called.as_mut().poll(context);
            allowance.rest(go);
            if let Poll::Ready(called) = polled {
                return Poll::Ready(called.map_err(Stop::Error));
            }
            if let (Some(meter), Some(began)) = (&mut meter, began)
                && meter.is_over(began)
            {
                return Poll::Ready(Err(Stop::Cpu));
            }
        }
        if let (Some(deadline), Some(timer)) = (&mut deadline, timer.as_mut().as_pin_mut())
            && deadline.poll_over(timer, context)
        {
            return Poll::Ready(Err(Stop::Deadline));
        }
        Poll::Pending
    })
    .await
}

/// Counts the time that a guest spends on a processor. It looks each time when the
/// guest gives up its thread, so what is over is noticed within a tick.
struct CpuMeter {
    left: Duration,
}

impl CpuMeter {
    fn new(limit: Duration) -> Self {
        Self { left: limit }
    }

    /// Takes in the time since `began`; says whether all is used up.
    fn is_over(&mut self, began: Duration) -> bool {
        self.left = self.left.saturating_sub(thread_time().saturating_sub(began));
        self.left.is_zero()
    }
}

/// Time that this thread has spent on a processor.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
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

pub(super) fn from_failure(failure: Failure) -> RunError {
    let details =
        failure.details.map(|details| Json::parse(details.clone()).unwrap_or_else(|_| Json::of(&details)));
    RunError {
        kind: ErrorKind::Failure,
        message: failure.message,
        code: failure.code,
        details,
        retryable: failure.retryable,
        retry_after_ms: failure.retry_after_ms.filter(|_| failure.retryable),
        trace: None,
    }
}

/// In words. A component's 1 may be any that is not 0: `exit` of WASI 0.2 tells success and failure, and only
/// `exit-with-code` says which.
pub(super) fn exit_code(code: i32, is_module: bool) -> String {
    match code {
        1 if !is_module => "a failing exit code".to_owned(),
        code => format!("exit code {code}"),
    }
}

impl Stop {
    fn explain(self, guest: &Guest) -> Exit {
        let error = match self {
            Self::Deadline => {
                let limit = guest.calls.limits.deadline.unwrap_or_default();
                let message = format!("the attempt took longer than {limit:?}");
                return Exit::Failed(RunError::new(ErrorKind::DeadlineExceeded, message));
            }
            Self::Cpu => {
                let limit = guest.calls.limits.cpu.unwrap_or_default();
                let message = format!("the attempt computed longer than {limit:?}");
                return Exit::Failed(RunError::new(ErrorKind::CpuExceeded, message));
            }
            Self::Error(error) => error,
        };
        if error.downcast_ref::<RunLost>().is_some() {
            return Exit::Lost;
        }
        let backtrace = error.downcast_ref::<WasmBacktrace>();
        let place = backtrace.and_then(trace::author_function);
        let place = place.map(|function| format!(", in {function}")).unwrap_or_default();
        let mut is_abort = false;
        let (kind, message) = if let Some(limit) = guest.memory.exceeded() {
            (ErrorKind::OutOfMemory, format!("the guest needs more than {limit} bytes of memory{place}"))
        } else if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
            (ErrorKind::Trap, format!("the guest ended itself with {}", exit_code(exit.0, false)))
        } else if let Some(too_much) = error.downcast_ref::<TooMuchUnderWay>() {
            (ErrorKind::Trap, too_much.to_string())
        } else if let Some(trap) = error.downcast_ref::<Trap>() {
            is_abort = *trap == Trap::UnreachableCodeReached;
            (ErrorKind::Trap, format!("{trap}{place}"))
        } else {
            (ErrorKind::Trap, error.root_cause().to_string())
        };
        // What the guest printed last usually says why.
        let (kind, message) = match guest.output.reason() {
            Some(reason) if reason.is_out_of_memory => (ErrorKind::OutOfMemory, reason.message),
            Some(reason) if kind == ErrorKind::Trap => (kind, reason.message),
            _ => match guest.output.stderr_tail() {
                last_words if last_words.is_empty() => (kind, message),
                // What aborts says why before, and how a machine aborts is nobody's question.
                last_words if is_abort => (kind, format!("{last_words}{place}")),
                last_words => (kind, format!("{message}: {last_words}")),
            },
        };
        Exit::Failed(RunError { trace: backtrace.map(trace::of), ..RunError::new(kind, message) })
    }
}
