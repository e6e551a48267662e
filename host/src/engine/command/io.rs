//! Standard input and output of one program: sends its events, answers its calls, and finds its result.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::{Mutex, MutexGuard};
use wasmtime_wasi::WasiCtxBuilder;

use super::call_handler::CallHandler;
use super::invocation::Invocation;
use super::lines::{FailureLine, PlainOutput, PrintedLine};
use super::settings::CommandSettings;
use crate::engine::guest::bindings::streamtask::task::types::Failure;
use crate::engine::guest::{HostApi, exit_code, from_failure};
use crate::engine::guest_host::GuestHost;
use crate::engine::timing::RateLimiter;
use crate::engine::wasi::stdio::{Backlog, LineBuffer, LinePart, error_line, wait_for_room};
use crate::engine::wasi::{GuestOutput, Outgoing};
use crate::model::{ErrorKind, NewEvent, Refusal, RunError};

/// Longest line: an event of 1 MiB in Base64, with its JSON.
const MAX_LINE_BYTES: usize = 3 << 19;
/// The code of a failure that reports a panic. The guest also prints its trace.
const PANIC: &str = "panic";
/// Most calls that a program may print before it reads the answers.
const MAX_CALLS: usize = 64;
/// Longest input that is also passed as an environment variable. The adapter of preview 1 has
/// little space for variables.
const MAX_INPUT_VARIABLE: usize = 2 << 10;
/// Most bytes of pending events before a program is ended that prints without checking for
/// room.
const MAX_BACKLOG_BYTES: usize = 4 << 20;

/// Standard input and output of one program.
#[derive(Clone)]
pub(in crate::engine) struct CommandIo {
    state: Arc<Mutex<IoState>>,
    settings: Arc<CommandSettings>,
    call_handler: Arc<CallHandler>,
    output: GuestOutput,
}

#[derive(Default)]
struct IoState {
    /// Bytes that it can read now, from `read_position` on.
    input: Vec<u8>,
    read_position: usize,
    /// Calls that have no answer yet, oldest first.
    calls: VecDeque<String>,
    /// The answer in progress. Kept here, because a read can be abandoned and repeated:
    /// what the call has taken (a signal, for example) must not be lost.
    answer: Option<PendingAnswer>,
    lines: LineBuffer,
    backlog: Backlog,
    plain: PlainOutput,
    /// All of its output, if that is its result. None once it exceeds the limit of a result.
    printed: Option<Vec<u8>>,
    result: Option<String>,
    failure: Option<FailureLine>,
}

type PendingAnswer = Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;

impl CommandIo {
    pub(in crate::engine) fn new(
        invocation: Invocation<'_>,
        api: HostApi,
        output: GuestOutput,
        outgoing: Outgoing,
    ) -> Self {
        let state = IoState {
            input: invocation.prepared.stdin.clone(),
            plain: PlainOutput::new(api.limits.output_bytes),
            printed: Some(Vec::new()),
            ..IoState::default()
        };
        let call_handler = Arc::new(CallHandler { api, outgoing: Mutex::new(outgoing) });
        let settings = Arc::clone(invocation.settings);
        Self { state: Arc::new(Mutex::new(state)), settings, call_handler, output }
    }

    /// Sets standard input and output, arguments and environment variables.
    pub(in crate::engine) fn connect(&self, wasi: &mut WasiCtxBuilder, invocation: Invocation<'_>) {
        let info = self.call_handler.api.host.info();
        wasi.stdin(self.stdin()).stdout(self.stdout());
        wasi.arg(info.task.task.as_str()).args(&invocation.prepared.arguments);
        if !self.settings.has_run_variables {
            return;
        }
        let input = invocation.input.as_str();
        if input.len() <= MAX_INPUT_VARIABLE {
            wasi.env("STREAMTASK_INPUT", input);
        }
        wasi.env("STREAMTASK_RUN", &info.id)
            .env("STREAMTASK_APP", info.task.app.as_str())
            .env("STREAMTASK_TASK", info.task.task.as_str())
            .env("STREAMTASK_VERSION", info.version.to_string())
            .env("STREAMTASK_ATTEMPT", info.attempt.to_string());
    }

    /// Logs with which of several successful exit codes the program ended. To be called before the log is finished.
    pub(in crate::engine) fn note_exit(&self, code: i32) {
        if self.settings.success_codes.len() > 1 && self.settings.is_success(code) {
            self.output.note(&format!("exited with code {code}"));
        }
    }

    /// The result or error of the ended program, as `process` would return it. To be called after
    /// [`finish`](Self::finish).
    pub(in crate::engine) fn outcome(&self, code: i32, is_module: bool) -> Result<String, RunError> {
        let mut state = self.state();
        if let Some(failure) = state.failure.take() {
            let mut failure: Failure = failure.into();
            // The printed panic has the same message, and its location.
            if failure.code.as_deref() == Some(PANIC)
                && let Some(panic) = self.output.panic_message()
            {
                failure.message = panic.message;
            }
            return Err(from_failure(failure));
        }
        if self.settings.is_success(code) {
            return self.result(&mut state);
        }
        let panic = self.output.panic_message();
        let is_panic = panic.as_ref().is_some_and(|panic| panic.message.starts_with("panic: "));
        if let Some(panic) = panic.as_ref().filter(|panic| panic.is_out_of_memory) {
            return Err(RunError::new(ErrorKind::OutOfMemory, panic.message.clone()));
        }
        let printed_error = || error_line(&self.output.stderr_tail()).map(str::to_owned);
        let message = panic.map(|panic| panic.message).or_else(printed_error);
        let message = message.unwrap_or_else(|| self.describe_exit(code, is_module));
        // Before it is truncated, perhaps within a secret.
        let printed = state.printed.take().map(|printed| match &self.call_handler.api.mask {
            Some(mask) => mask.bytes(printed),
            None => printed,
        });
        Err(from_failure(Failure {
            message,
            code: Some(if is_panic { PANIC } else { "exit" }.to_owned()),
            details: Some(self.settings.details(code, printed.as_deref())),
            retryable: false,
            retry_after_ms: None,
        }))
    }

    /// The message of a failed program that printed no reason.
    fn describe_exit(&self, code: i32, is_module: bool) -> String {
        let ended = format!("the program exited with {}", exit_code(code, is_module));
        match self.settings.success_codes.as_slice() {
            [0] => ended,
            codes => format!("{ended}; success-codes in its manifest are {codes:?}"),
        }
    }

    fn result(&self, state: &mut IoState) -> Result<String, RunError> {
        if self.settings.uses_line_protocol() {
            let result = state.result.take().or_else(|| state.plain.take());
            return Ok(result.unwrap_or_else(|| "null".to_owned()));
        }
        let invalid = |message: String| RunError::new(ErrorKind::InvalidOutput, message);
        let Some(printed) = state.printed.take() else {
            let limit = self.call_handler.api.limits.output_bytes;
            return Err(invalid(format!(
                "it printed more than {limit} bytes, the limit of a result; `output` under `[limits]` in its manifest can allow more"
            )));
        };
        self.settings.result_of(printed).map_err(|error| invalid(error.to_string()))
    }

    /// Processes an unfinished last line, and sends all pending events.
    pub(in crate::engine) async fn finish(&self) {
        {
            let mut state = self.state();
            let mut lines = std::mem::take(&mut state.lines);
            lines.finish(|part| self.take(&mut state, part));
        }
        // Without the rate limit: the rest is small, and must not delay the end of the run.
        while !self.state().backlog.send(self.host(), None) {
            self.host().room().await;
        }
    }

    /// Processes printed bytes. Returns false if the program prints without checking for room.
    pub(super) fn write(&self, bytes: &[u8]) -> bool {
        let mut state = self.state();
        if !self.settings.uses_line_protocol() {
            let limit = self.call_handler.api.limits.output_bytes;
            let printed = state.printed.take().filter(|printed| printed.len() + bytes.len() <= limit);
            state.printed = printed.map(|mut printed| {
                printed.extend_from_slice(bytes);
                printed
            });
            return true;
        }
        let mut lines = std::mem::take(&mut state.lines);
        let mask = self.call_handler.api.mask.as_ref();
        lines.write(bytes, MAX_LINE_BYTES, mask, |part| self.take(&mut state, part));
        state.lines = lines;
        state.backlog.send(self.host(), self.rate_limiter());
        state.backlog.bytes() <= MAX_BACKLOG_BYTES
    }

    fn take(&self, state: &mut IoState, part: LinePart<'_>) {
        let text = String::from_utf8_lossy(part.text);
        let api = &self.call_handler.api;
        // A part of a line is never parsed: a program that prints foreign text does not control where it is split.
        let line = if part.is_whole() { PrintedLine::read(&text) } else { PrintedLine::Plain };
        match line {
            PrintedLine::Event(event) => self.push(state, event.check(api)),
            PrintedLine::Result(result) => state.result = Some(result),
            PrintedLine::Failure(failure) => state.failure = Some(failure),
            PrintedLine::Call if state.calls.len() < MAX_CALLS => state.calls.push_back(text.into_owned()),
            PrintedLine::Call => {
                self.output.note(&format!("refused: more than {MAX_CALLS} calls with unread answers"))
            }
            PrintedLine::Plain => {
                state.plain.add(&text, part);
                api.output_events(text.into_owned(), |event| self.push(state, event));
            }
        }
    }

    /// Queues an event, or logs why it is refused.
    fn push(&self, state: &mut IoState, event: Result<NewEvent, Refusal>) {
        let api = &self.call_handler.api;
        match event.and_then(|event| api.spend(event.content.len()).map(|()| event)) {
            Ok(event) => state.backlog.push(event),
            Err(refusal) => self.output.note(&format!("refused: {refusal}")),
        }
    }

    /// Waits until the host has accepted all printed events, which a later call must not overtake.
    pub(super) async fn wait_until_sent(&self) {
        while !self.send_backlog() {
            wait_for_room(self.host(), self.rate_limiter()).await;
        }
    }

    /// Waits until there is input to read, or its end.
    pub(super) async fn readable(&self) {
        if self.state().has_input() {
            return;
        }
        self.wait_until_sent().await;
        poll_fn(|context| self.state().poll_answer(&self.call_handler, context)).await;
    }

    /// Up to `size` bytes that the program can read now; none at the end of the input.
    pub(super) fn read(&self, size: usize) -> Option<Vec<u8>> {
        let mut state = self.state();
        if !state.has_input() {
            return (!state.calls.is_empty() || state.answer.is_some()).then(Vec::new);
        }
        let from = state.read_position;
        let to = state.input.len().min(from.saturating_add(size));
        let read = state.input[from..to].to_vec();
        state.read_position = to;
        if to == state.input.len() {
            state.input.clear();
            state.read_position = 0;
        }
        Some(read)
    }

    /// Sends as many pending events as the host accepts. Returns whether none is left.
    pub(super) fn send_backlog(&self) -> bool {
        self.state().backlog.send(self.host(), self.rate_limiter())
    }

    fn state(&self) -> MutexGuard<'_, IoState> {
        self.state.lock()
    }

    fn host(&self) -> &dyn GuestHost {
        &*self.call_handler.api.host
    }

    fn rate_limiter(&self) -> Option<&RateLimiter> {
        self.call_handler.api.rate_limiter.as_deref()
    }
}

impl IoState {
    fn has_input(&self) -> bool {
        self.read_position < self.input.len()
    }

    /// Ready when the next call is answered, or there is no call.
    fn poll_answer(&mut self, call_handler: &Arc<CallHandler>, context: &mut Context<'_>) -> Poll<()> {
        if self.answer.is_none() {
            let Some(call) = self.calls.pop_front() else { return Poll::Ready(()) };
            let call_handler = Arc::clone(call_handler);
            self.answer = Some(Box::pin(async move { call_handler.answer(&call).await }));
        }
        let Some(answer) = &mut self.answer else { return Poll::Ready(()) };
        let Poll::Ready(line) = answer.as_mut().poll(context) else { return Poll::Pending };
        self.answer = None;
        self.input.extend_from_slice(&line);
        Poll::Ready(())
    }
}
