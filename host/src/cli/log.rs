//! The log of a command that runs a host.
//!
//! All lines, also panics and the last message of the command, go through a queue to a thread that writes them
//! (`process::LogQueue`): a stalled reader of standard error must block neither a thread of the host nor the exit.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::Exit;
use crate::config::{LogFormat, Settings};
use crate::process::{LogQueue, panic_message, plain, plain_json, plain_lines};

/// Time to write the last lines when the process ends. An active reader takes milliseconds, and a stalled one must not
/// delay the exit.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// The queue of standard error, of which a process has one. Unset if the command logs nothing.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// Handle to change the log filter.
pub(super) struct Filter(reload::Handle<EnvFilter, Registry>);

/// Starts logging to standard error.
pub(super) fn init(settings: &Settings) -> Result<Filter, Exit> {
    let (filter, handle) = reload::Layer::new(filter(settings).map_err(Exit::Usage)?);
    let queue = start()?;
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        // The subscriber would print them directly, past the queue.
        .log_internal_errors(false)
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    match settings.log_format() {
        LogFormat::Text => {
            let fields = debug_fn(write_field).delimited(" ");
            registry.with(lines.fmt_fields(fields).with_writer(move || queue.clone())).init();
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            registry.with(lines.with_writer(move || JsonLines(queue.clone()))).init();
        }
    }
    std::panic::set_hook(Box::new(|panic| {
        let (thread, place, message, trace) = describe(panic);
        tracing::error!(thread, place, trace, "a thread panicked: {message}");
    }));
    Ok(Filter(handle))
}

/// For commands without a log: prints panics.
pub(super) fn init_panics() -> Result<(), Exit> {
    let queue = start()?;
    std::panic::set_hook(Box::new(|panic| {
        let (thread, place, message, trace) = describe(panic);
        let trace = trace.map(|trace| format!("\n{trace}")).unwrap_or_default();
        let message = plain(&message);
        queue.push(format!("thread {thread:?} panicked at {place}: {message}{trace}\n").as_bytes());
    }));
    Ok(())
}

/// Formats a field. Escapes its value, so that a guest or a file name can neither break the line nor control the
/// terminal.
fn write_field(
    writer: &mut Writer<'_>,
    field: &tracing::field::Field,
    value: &dyn fmt::Debug,
) -> fmt::Result {
    let value = format!("{value:?}");
    let value = plain(&value);
    match field.name() {
        "message" => write!(writer, "{value}"),
        name if writer.has_ansi_escapes() => write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}"),
        name => write!(writer, "{name}={value}"),
    }
}

/// Writer of JSON lines that escapes the control characters that JSON leaves as they are.
struct JsonLines(LogQueue);

impl io::Write for JsonLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(plain_json(&String::from_utf8_lossy(line)).as_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Filter {
    /// Applies the filter of the settings.
    pub(super) fn set(&self, settings: &Settings) -> Result<(), String> {
        self.0.reload(filter(settings)?).map_err(|error| error.to_string())
    }
}

/// The levels that a log filter can set for all targets.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Writes the last message of the process, if any, and waits at most [`FLUSH_TIME`] until all lines are written.
pub(super) fn finish(last: Option<&str>) {
    let line = last.map(|message| format!("streamtask: {}\n", plain_lines(message)));
    match (QUEUE.get(), line) {
        (Some(queue), line) => {
            if let Some(line) = line {
                queue.push(line.as_bytes());
            }
            queue.flush(FLUSH_TIME);
        }
        (None, Some(line)) => {
            // A closed standard error must not cause a panic.
            let _ = io::stderr().write_all(line.as_bytes());
        }
        (None, None) => {}
    }
}

/// Checks the filter of the settings.
pub(super) fn check(settings: &Settings) -> Result<(), String> {
    filter(settings).map(drop)
}

fn filter(settings: &Settings) -> Result<EnvFilter, String> {
    let filter = settings.log();
    let refused = |reason: String| format!("log filter {filter:?}: {reason}");
    // As the name of a target, a misspelt level would silence the log.
    if let Some(word) = filter.split(',').map(str::trim).find(|directive| !is_directive(directive)) {
        let levels = LEVELS.join(", ");
        return Err(refused(format!(
            "{word:?} is not a level; use one of {levels}, or a list such as streamtask_host=debug,info"
        )));
    }
    filter.parse().map_err(|error: tracing_subscriber::filter::ParseError| refused(error.to_string()))
}

fn is_directive(text: &str) -> bool {
    text.contains(['=', '[']) || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text))
}

fn start() -> Result<&'static LogQueue, Exit> {
    let queue = LogQueue::start(io::stderr(), |lines| {
        tracing::warn!(lines, "lines of this log were dropped, because they could not be written in time");
    });
    let queue = queue.map_err(|error| Exit::Start(format!("can't start the log thread: {error}")))?;
    Ok(QUEUE.get_or_init(|| queue))
}

fn describe(panic: &PanicHookInfo<'_>) -> (String, String, String, Option<String>) {
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic_message(panic.payload()).unwrap_or("no message").to_owned();
    // Captured only if RUST_BACKTRACE is set.
    let trace = Backtrace::capture();
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    (thread, place, message, trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_would_log_nothing_by_mistake_is_refused() {
        let filter = |text: &str| {
            filter(&Settings { log: Some(text.to_owned()), ..Settings::default() })
                .map(|filter| filter.to_string())
        };
        for fine in ["info", "OFF", "streamtask_host=debug,info", "warn,streamtask_host::http=trace"] {
            assert!(filter(fine).is_ok(), "{fine}");
        }
        for (faulty, reason) in [
            ("nonsense", "is not a level"),
            ("", "is not a level"),
            ("info,streamtask_host", "streamtask_host=debug"),
            ("a=b", "a=b"),
        ] {
            assert!(
                filter(faulty).is_err_and(|error| error.contains(reason)),
                "{faulty}: {:?}",
                filter(faulty)
            );
        }
    }
}
