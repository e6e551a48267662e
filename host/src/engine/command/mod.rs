//! Ordinary programs: what they read and print, as `docs/commands.md` says.
//!
//! Each line that a program prints is an event, a call, its result, or just output.
//! It reads its input, then the answers to its calls. Knows nothing of the contract.

mod answers;
mod lines;
mod settings;
mod streams;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::{Mutex, MutexGuard};
use wasmtime_wasi::WasiCtxBuilder;

pub(super) use self::settings::Prepared;
pub use self::settings::{CommandSettings, ResultSource, StdinSource};

use self::answers::Answering;
use self::lines::{FailureLine, Line, PlainOutput};
use super::backlog::{self, Backlog};
use super::bindings::streamtask::task::types::Failure;
use super::calls::Calls;
use super::guest::Invocation;
use super::last_words::telling_line;
use super::line_buffer::{LineBuffer, Part};
use super::outgoing::Outgoing;
use super::run::{exit_code, from_failure};
use super::stdio::GuestOutput;
use crate::model::{ErrorKind, NewEvent, Refusal, RunError};

/// Longest line: an event of 1 MiB in Base64, and what is around it.
const MAX_LINE_BYTES: usize = 3 << 19;
/// The code of a failure that is a panic, whose trace is printed too.
const PANIC: &str = "panic";
/// Calls that a program may print before it reads the answers.
const MAX_CALLS: usize = 64;
/// Longest input that is also an environment variable. The adapter of preview 1 has
/// little room for them.
const MAX_INPUT_VARIABLE: usize = 2 << 10;
/// What may wait for the host, at least: a program that prints without asking whether
/// there is room is ended beyond it.
const MAX_WAITING_BYTES: usize = 4 << 20;

/// What one program has read and printed.
#[derive(Clone)]
pub(super) struct Dialogue {
    state: Arc<Mutex<State>>,
    settings: Arc<CommandSettings>,
    answering: Arc<Answering>,
    output: GuestOutput,
}

#[derive(Default)]
struct State {
    /// What it can read now, from `read` on.
    input: Vec<u8>,
    read: usize,
    /// Calls that have no answer yet, oldest first.
    calls: VecDeque<String>,
    /// The answer to the call that was taken last. Kept here, because who reads may look
    /// away and come back: what the call has taken (a signal, say) must not be lost.
    answer: Option<Answer>,
    lines: LineBuffer,
    waiting: Backlog,
    plain: PlainOutput,
    /// All that it printed, where that is its result. None when it is more than a result may be.
    printed: Option<Vec<u8>>,
    result: Option<String>,
    failure: Option<FailureLine>,
}

type Answer = Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;

impl Dialogue {
    pub(super) fn new(
        invocation: Invocation<'_>,
        calls: Calls,
        output: GuestOutput,
        outgoing: Outgoing,
    ) -> Self {
        let state = State {
            input: invocation.prepared.stdin.clone(),
            plain: PlainOutput::new(calls.limits.output_bytes),
            printed: Some(Vec::new()),
            ..State::default()
        };
        let answering = Arc::new(Answering { calls, outgoing: Mutex::new(outgoing) });
        let settings = Arc::clone(invocation.settings);
        Self { state: Arc::new(Mutex::new(state)), settings, answering, output }
    }

    /// Gives the program its standard input and output, arguments and variables.
    pub(super) fn connect(&self, wasi: &mut WasiCtxBuilder, invocation: Invocation<'_>) {
        let info = self.answering.calls.host.info();
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

    /// Notes with which of several exit codes a program has succeeded. To be called before the log is finished.
    pub(super) fn note_exit(&self, code: i32) {
        if self.settings.success_codes.len() > 1 && self.settings.is_success(code) {
            self.output.note(&format!("ended with exit code {code}"));
        }
    }

    /// What the program's end means, as `process` would say it. To be called after
    /// [`finish`](Self::finish).
    pub(super) fn exit(&self, code: i32, is_module: bool) -> Result<String, RunError> {
        let mut state = self.state();
        if let Some(failure) = state.failure.take() {
            let mut failure: Failure = failure.into();
            // Which says the same, and where.
            if failure.code.as_deref() == Some(PANIC)
                && let Some(reason) = self.output.reason()
            {
                failure.message = reason.message;
            }
            return Err(from_failure(failure));
        }
        if self.settings.is_success(code) {
            return self.result(&mut state);
        }
        let reason = self.output.reason();
        let is_panic = reason.as_ref().is_some_and(|reason| reason.message.starts_with("panic: "));
        if let Some(reason) = reason.as_ref().filter(|reason| reason.is_out_of_memory) {
            return Err(RunError::new(ErrorKind::OutOfMemory, reason.message.clone()));
        }
        let said = || telling_line(&self.output.stderr_tail()).map(str::to_owned);
        let message = reason.map(|reason| reason.message).or_else(said);
        let message = message.unwrap_or_else(|| self.unlike_success(code, is_module));
        // Before it is cut, perhaps in the middle of a secret.
        let printed = state.printed.take().map(|printed| match &self.answering.calls.mask {
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

    /// For a program that said nothing.
    fn unlike_success(&self, code: i32, is_module: bool) -> String {
        let ended = format!("it ended with {}", exit_code(code, is_module));
        match self.settings.success_codes.as_slice() {
            [0] => ended,
            codes => format!("{ended}; success-codes in its manifest are {codes:?}"),
        }
    }

    fn result(&self, state: &mut State) -> Result<String, RunError> {
        if self.settings.is_dialogue() {
            let result = state.result.take().or_else(|| state.plain.take());
            return Ok(result.unwrap_or_else(|| "null".to_owned()));
        }
        let invalid = |message| RunError::new(ErrorKind::InvalidOutput, message);
        let Some(printed) = state.printed.take() else {
            let limit = self.answering.calls.limits.output_bytes;
            return Err(invalid(format!(
                "it printed more than {limit} bytes, the limit of a result; `output` under `[limits]` in its manifest can allow more"
            )));
        };
        self.settings.result_of(printed).map_err(invalid)
    }

    /// Takes a last line without an end, and sends what waits.
    pub(super) async fn finish(&self) {
        {
            let mut state = self.state();
            let mut lines = std::mem::take(&mut state.lines);
            lines.finish(|part| self.take(&mut state, part));
        }
        // What an ended guest left is little, and no reason to keep its run waiting.
        while !self.state().waiting.send(self.host(), None) {
            self.host().room().await;
        }
    }

    /// What the program prints. False if it prints without asking whether there is room.
    fn hear(&self, bytes: &[u8]) -> bool {
        let mut state = self.state();
        if !self.settings.is_dialogue() {
            let limit = self.answering.calls.limits.output_bytes;
            let printed = state.printed.take().filter(|printed| printed.len() + bytes.len() <= limit);
            state.printed = printed.map(|mut printed| {
                printed.extend_from_slice(bytes);
                printed
            });
            return true;
        }
        let mut lines = std::mem::take(&mut state.lines);
        let mask = self.answering.calls.mask.as_ref();
        lines.write(bytes, MAX_LINE_BYTES, mask, |part| self.take(&mut state, part));
        state.lines = lines;
        state.waiting.send(self.host(), self.pace());
        state.waiting.bytes() <= MAX_WAITING_BYTES
    }

    fn take(&self, state: &mut State, part: Part<'_>) {
        let text = String::from_utf8_lossy(part.text);
        let calls = &self.answering.calls;
        // A part of a line says nothing: who prints what others wrote has no say in where it is cut.
        let line = if part.is_whole() { Line::read(&text) } else { Line::Plain };
        match line {
            Line::Event(event) => self.push(state, event.check(calls)),
            Line::Result(result) => state.result = Some(result),
            Line::Failure(failure) => state.failure = Some(failure),
            Line::Call if state.calls.len() < MAX_CALLS => state.calls.push_back(text.into_owned()),
            Line::Call => self
                .output
                .note(&format!("refused: more than {MAX_CALLS} calls whose answers it does not read")),
            Line::Plain => {
                state.plain.add(&text, part);
                calls.output_events(text.into_owned(), |event| self.push(state, event));
            }
        }
    }

    /// Sends an event with the next that go, or says why not.
    fn push(&self, state: &mut State, event: Result<NewEvent, Refusal>) {
        let calls = &self.answering.calls;
        match event.and_then(|event| calls.spend(event.content.len()).map(|()| event)) {
            Ok(event) => state.waiting.push(event),
            Err(refusal) => self.output.note(&format!("refused: {refusal}")),
        }
    }

    /// Waits until what was printed is with the host: what follows must not overtake it.
    async fn sent(&self) {
        while !self.state().waiting.send(self.host(), self.pace()) {
            backlog::room(self.host(), self.pace()).await;
        }
    }

    /// Waits until there is something to read, or the end.
    async fn readable(&self) {
        if self.state().has_input() {
            return;
        }
        self.sent().await;
        poll_fn(|context| self.state().poll_answer(&self.answering, context)).await;
    }

    /// Up to `size` bytes of what the program can read now; none at the end.
    fn read(&self, size: usize) -> Option<Vec<u8>> {
        let mut state = self.state();
        if !state.has_input() {
            return (!state.calls.is_empty() || state.answer.is_some()).then(Vec::new);
        }
        let from = state.read;
        let to = state.input.len().min(from.saturating_add(size));
        let read = state.input[from..to].to_vec();
        state.read = to;
        if to == state.input.len() {
            state.input.clear();
            state.read = 0;
        }
        Some(read)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn host(&self) -> &dyn super::guest::GuestHost {
        &*self.answering.calls.host
    }

    fn pace(&self) -> Option<&super::pace::Pace> {
        self.answering.calls.pace.as_deref()
    }
}

impl State {
    fn has_input(&self) -> bool {
        self.read < self.input.len()
    }

    /// Ready when the next call is answered, or there is none.
    fn poll_answer(&mut self, answering: &Arc<Answering>, context: &mut Context<'_>) -> Poll<()> {
        if self.answer.is_none() {
            let Some(call) = self.calls.pop_front() else { return Poll::Ready(()) };
            let answering = Arc::clone(answering);
            self.answer = Some(Box::pin(async move { answering.answer(&call).await }));
        }
        let Some(answer) = &mut self.answer else { return Poll::Ready(()) };
        let Poll::Ready(line) = answer.as_mut().poll(context) else { return Poll::Pending };
        self.answer = None;
        self.input.extend_from_slice(&line);
        Poll::Ready(())
    }
}
